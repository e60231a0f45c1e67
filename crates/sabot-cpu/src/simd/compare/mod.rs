//! A column compared with one value, to 64-bit selection words: bit `i % 64` of word `i / 64` is the
//! outcome of row `i`, bits beyond the last row are zero.
//!
//! Floats compare in the engine's total order: −0.0 equals 0.0, NaN equals NaN and is greater than
//! every number. With a literal that is a number this is one IEEE predicate per operator, ordered or
//! unordered as needed; a NaN literal turns into a test for NaN.

#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

use sabot_expr::BinaryOp;

use super::{Level, Set};

/// One of the six comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Eq,
    NotEq,
    Lt,
    LtEq,
    Gt,
    GtEq,
}

impl Comparison {
    /// Every comparison.
    #[cfg(test)]
    pub(crate) const ALL: [Comparison; 6] = [
        Comparison::Eq,
        Comparison::NotEq,
        Comparison::Lt,
        Comparison::LtEq,
        Comparison::Gt,
        Comparison::GtEq,
    ];

    /// The comparison that an operator is; `None` for operators that do not compare.
    pub(crate) fn of(op: BinaryOp) -> Option<Self> {
        Some(match op {
            BinaryOp::Eq => Comparison::Eq,
            BinaryOp::NotEq => Comparison::NotEq,
            BinaryOp::Lt => Comparison::Lt,
            BinaryOp::LtEq => Comparison::LtEq,
            BinaryOp::Gt => Comparison::Gt,
            BinaryOp::GtEq => Comparison::GtEq,
            _ => return None,
        })
    }

    /// The comparison that gives the same when the operands change places.
    pub(crate) fn flipped(self) -> Self {
        match self {
            Comparison::Eq | Comparison::NotEq => self,
            Comparison::Lt => Comparison::Gt,
            Comparison::LtEq => Comparison::GtEq,
            Comparison::Gt => Comparison::Lt,
            Comparison::GtEq => Comparison::LtEq,
        }
    }
}

/// A comparison of floats with a literal, reduced to what the instructions can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FloatTest {
    /// A comparison with a number.
    Number(Comparison),
    /// Whether the value is NaN.
    IsNan,
    /// Whether the value is a number.
    IsNumber,
    /// The same for every value.
    Always(bool),
}

impl FloatTest {
    fn new(op: Comparison, literal: f64) -> Self {
        if !literal.is_nan() {
            return FloatTest::Number(op);
        }
        match op {
            Comparison::Eq | Comparison::GtEq => FloatTest::IsNan,
            Comparison::NotEq | Comparison::Lt => FloatTest::IsNumber,
            Comparison::LtEq => FloatTest::Always(true),
            Comparison::Gt => FloatTest::Always(false),
        }
    }
}

/// The words of `values[i] op literal`.
pub(crate) fn compare_i64(level: Level, op: Comparison, values: &[i64], literal: i64) -> Vec<u64> {
    let (blocks, tail) = values.as_chunks::<64>();
    let mut words = Vec::with_capacity(values.len().div_ceil(64));
    match level.0 {
        Set::Scalar => scalar_i64(op, blocks.as_flattened(), literal, &mut words),
        #[cfg(target_arch = "x86_64")]
        Set::Avx2 => x86::avx2_i64(level, op, blocks, literal, &mut words),
        #[cfg(target_arch = "x86_64")]
        Set::Avx512 => x86::avx512_i64(level, op, blocks, literal, &mut words),
    }
    scalar_i64(op, tail, literal, &mut words);
    words
}

/// The words of `values[i] op literal`, in the total order of floats.
pub(crate) fn compare_f64(level: Level, op: Comparison, values: &[f64], literal: f64) -> Vec<u64> {
    let test = FloatTest::new(op, literal);
    let (blocks, tail) = values.as_chunks::<64>();
    let mut words = Vec::with_capacity(values.len().div_ceil(64));
    match level.0 {
        Set::Scalar => scalar_f64(test, blocks.as_flattened(), literal, &mut words),
        #[cfg(target_arch = "x86_64")]
        Set::Avx2 => x86::avx2_f64(level, test, blocks, literal, &mut words),
        #[cfg(target_arch = "x86_64")]
        Set::Avx512 => x86::avx512_f64(level, test, blocks, literal, &mut words),
    }
    scalar_f64(test, tail, literal, &mut words);
    words
}

fn scalar_i64(op: Comparison, values: &[i64], literal: i64, words: &mut Vec<u64>) {
    match op {
        Comparison::Eq => push_words(values, words, |v| v == literal),
        Comparison::NotEq => push_words(values, words, |v| v != literal),
        Comparison::Lt => push_words(values, words, |v| v < literal),
        Comparison::LtEq => push_words(values, words, |v| v <= literal),
        Comparison::Gt => push_words(values, words, |v| v > literal),
        Comparison::GtEq => push_words(values, words, |v| v >= literal),
    }
}

#[expect(clippy::neg_cmp_op_on_partial_ord, reason = "a NaN must pass: it is greater than every number")]
fn scalar_f64(test: FloatTest, values: &[f64], literal: f64, words: &mut Vec<u64>) {
    match test {
        FloatTest::Number(Comparison::Eq) => push_words(values, words, |v| v == literal),
        FloatTest::Number(Comparison::NotEq) => push_words(values, words, |v| v != literal),
        FloatTest::Number(Comparison::Lt) => push_words(values, words, |v| v < literal),
        FloatTest::Number(Comparison::LtEq) => push_words(values, words, |v| v <= literal),
        FloatTest::Number(Comparison::Gt) => push_words(values, words, |v| !(v <= literal)),
        FloatTest::Number(Comparison::GtEq) => push_words(values, words, |v| !(v < literal)),
        FloatTest::IsNan => push_words(values, words, f64::is_nan),
        FloatTest::IsNumber => push_words(values, words, |v| !v.is_nan()),
        FloatTest::Always(outcome) => push_words(values, words, |_| outcome),
    }
}

/// Appends one word per 64 values, the last one padded with zeros.
fn push_words<T: Copy>(values: &[T], words: &mut Vec<u64>, test: impl Fn(T) -> bool) {
    for chunk in values.chunks(64) {
        let word = chunk.iter().enumerate().fold(0, |word, (i, v)| word | (u64::from(test(*v)) << i));
        words.push(word);
    }
}
