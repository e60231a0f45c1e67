//! Folds of values over rows: sums, least and greatest values, moments.
//!
//! Each has a state that rows are added to and that is merged with that of the rows behind it. What is no
//! value has the word 0, which sums may add; the others skip it.

use arrow::datatypes::i256;
use sabot_ops::WideSum;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Range;

use super::history::{BLOCK_BITS, History, Lane, Shape};
use super::lanes::{Form, Interned, very_wide, very_wide_words, wide};

/// The kinds of folds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FoldKind {
    /// Integers, in 128 bits.
    Sum,
    /// Decimals of 128 bits, in 256 bits.
    WideSum,
    /// Doubles.
    FloatSum,
    Least,
    Greatest,
    WideLeast,
    WideGreatest,
    InternedLeast,
    InternedGreatest,
    /// Count, mean and squares of the distances from it, of doubles.
    Moments,
    /// Count, sum and sum of squares of integers.
    ExactMoments,
}

impl FoldKind {
    pub(super) fn sum(form: Form) -> Self {
        match form {
            Form::Double => FoldKind::FloatSum,
            Form::Wide => FoldKind::WideSum,
            _ => FoldKind::Sum,
        }
    }

    pub(super) fn least(form: Form) -> Self {
        match form {
            Form::Wide => FoldKind::WideLeast,
            Form::Interned(_) => FoldKind::InternedLeast,
            _ => FoldKind::Least,
        }
    }

    pub(super) fn greatest(form: Form) -> Self {
        match form {
            Form::Wide => FoldKind::WideGreatest,
            Form::Interned(_) => FoldKind::InternedGreatest,
            _ => FoldKind::Greatest,
        }
    }

    /// Words of the state.
    pub(super) fn words(self) -> usize {
        match self {
            FoldKind::FloatSum
            | FoldKind::Least
            | FoldKind::Greatest
            | FoldKind::InternedLeast
            | FoldKind::InternedGreatest => 1,
            FoldKind::Sum | FoldKind::WideLeast | FoldKind::WideGreatest => 2,
            FoldKind::Moments => 3,
            FoldKind::WideSum => 4,
            FoldKind::ExactMoments => 7,
        }
    }
}

/// The values of an input in one history.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) words: Lane<'a>,
    /// The second lane of wide values.
    pub(super) high: Lane<'a>,
    /// The lane in which rows without value are marked, and the place of the mark.
    pub(super) flags: Option<(Lane<'a>, u32)>,
}

impl Rows<'_> {
    fn each(self, rows: Range<usize>, mut f: impl FnMut(usize)) {
        match self.flags {
            None => rows.for_each(f),
            Some((flags, shift)) => {
                for row in rows {
                    if flags.get(row) >> shift & 1 == 1 {
                        f(row);
                    }
                }
            }
        }
    }
}

/// A fold: a monoid, and how rows become its elements. `load` and `store` are its form in a block.
pub(super) trait Fold {
    type State: Copy;

    fn empty(&self) -> Self::State;
    fn rows(&self, values: Rows<'_>, rows: Range<usize>) -> Self::State;
    /// `b` is of the rows behind those of `a`.
    fn merge(&self, a: Self::State, b: Self::State) -> Self::State;
    fn load(&self, words: &[u64]) -> Self::State;
    fn store(&self, state: Self::State, words: &mut [u64]);
}

/// The fold over the rows of these numbers, of which all are there. `offset` is its place in a block.
pub(super) fn fold<F: Fold>(
    fold: &F,
    history: &History,
    (shape, offset): (Shape, usize),
    values: Rows<'_>,
    numbers: Range<u64>,
) -> F::State {
    let place = |number| history.place(number);
    let blocks = |level, numbers: Range<u64>| {
        numbers.fold(fold.empty(), |state, number| {
            fold.merge(state, fold.load(&history.block(shape, level, number)[offset..]))
        })
    };
    let some = |level: u32, numbers: Range<u64>| match level {
        0 => fold.rows(values, place(numbers.start)..place(numbers.end)),
        level => blocks(level, numbers),
    };
    let (mut left, mut right) = (fold.empty(), fold.empty());
    let (mut from, mut to) = (numbers.start, numbers.end);
    for level in 0.. {
        let whole = from.div_ceil(1 << BLOCK_BITS)..to >> BLOCK_BITS;
        if whole.is_empty() {
            left = fold.merge(left, some(level, from..to));
            break;
        }
        let (lead, tail) = (from..whole.start << BLOCK_BITS, whole.end << BLOCK_BITS..to);
        if !lead.is_empty() {
            left = fold.merge(left, some(level, lead));
        }
        if !tail.is_empty() {
            right = fold.merge(some(level, tail), right);
        }
        (from, to) = (whole.start, whole.end);
    }
    fold.merge(left, right)
}

/// Sums of integers. `largest` bounds their absolute values: whether 64 bits are enough for some of them.
pub(super) struct Sum {
    pub(super) largest: u64,
    /// What the words of unsigned numbers are shifted by.
    pub(super) shift: i128,
}

impl Fold for Sum {
    type State = i128;

    fn empty(&self) -> i128 {
        0
    }

    fn rows(&self, values: Rows<'_>, rows: Range<usize>) -> i128 {
        let count = rows.len() as u64;
        if self.shift == 0 && self.largest.checked_mul(count).is_some_and(|bound| bound <= i64::MAX as u64) {
            return i128::from(values.words.fold(rows, 0, |sum: i64, word| sum + word as i64));
        }
        let mut sum = 0;
        values.each(rows, |row| sum += i128::from(values.words.get(row) as i64) + self.shift);
        sum
    }

    fn merge(&self, a: i128, b: i128) -> i128 {
        // 2⁶³ rows of 2⁶⁴ are fewer than 2¹²⁷.
        a + b
    }

    fn load(&self, words: &[u64]) -> i128 {
        wide(words[0], words[1])
    }

    fn store(&self, state: i128, words: &mut [u64]) {
        (words[0], words[1]) = (state as u64, (state >> 64) as u64);
    }
}

/// Sums of decimals of 128 bits.
pub(super) struct WideSums;

impl Fold for WideSums {
    type State = i256;

    fn empty(&self) -> i256 {
        i256::ZERO
    }

    fn rows(&self, values: Rows<'_>, rows: Range<usize>) -> i256 {
        rows.fold(i256::ZERO, |sum, row| {
            sum.wrapping_add(i256::from_i128(wide(values.words.get(row), values.high.get(row))))
        })
    }

    fn merge(&self, a: i256, b: i256) -> i256 {
        a.wrapping_add(b)
    }

    fn load(&self, words: &[u64]) -> i256 {
        very_wide(words)
    }

    fn store(&self, state: i256, words: &mut [u64]) {
        words[..4].copy_from_slice(&very_wide_words(state));
    }
}

/// Sums of doubles, added up in four lines that are then added: a fixed order, in which an addition need not
/// wait for the one before.
pub(super) struct FloatSum;

impl Fold for FloatSum {
    type State = f64;

    fn empty(&self) -> f64 {
        0.0
    }

    fn rows(&self, values: Rows<'_>, rows: Range<usize>) -> f64 {
        let mut lines = [0.0; 4];
        // What is folded stands one behind another; it is copied only where a layout has it otherwise.
        let words = values
            .words
            .slice(rows.clone())
            .map_or_else(|| Cow::Owned(values.words.iter(rows).collect()), Cow::Borrowed);
        let mut fours = words.chunks_exact(4);
        for four in &mut fours {
            lines.iter_mut().zip(four).for_each(|(line, w)| *line += f64::from_bits(*w));
        }
        let rest = fours.remainder().iter().fold(0.0, |sum, w| sum + f64::from_bits(*w));
        (lines[0] + lines[1]) + (lines[2] + lines[3]) + rest
    }

    fn merge(&self, a: f64, b: f64) -> f64 {
        a + b
    }

    fn load(&self, words: &[u64]) -> f64 {
        f64::from_bits(words[0])
    }

    fn store(&self, state: f64, words: &mut [u64]) {
        words[0] = state.to_bits();
    }
}

/// The least or the greatest of ordered words.
pub(super) struct Extreme<const LEAST: bool>;

impl<const LEAST: bool> Fold for Extreme<LEAST> {
    type State = i64;

    fn empty(&self) -> i64 {
        if LEAST { i64::MAX } else { i64::MIN }
    }

    fn rows(&self, values: Rows<'_>, rows: Range<usize>) -> i64 {
        if values.flags.is_none() {
            return values.words.fold(rows, self.empty(), |best, word| self.merge(best, word as i64));
        }
        let mut best = self.empty();
        values.each(rows, |row| best = self.merge(best, values.words.get(row) as i64));
        best
    }

    fn merge(&self, a: i64, b: i64) -> i64 {
        if LEAST { a.min(b) } else { a.max(b) }
    }

    fn load(&self, words: &[u64]) -> i64 {
        words[0] as i64
    }

    fn store(&self, state: i64, words: &mut [u64]) {
        words[0] = state as u64;
    }
}

/// The least or the greatest decimal of 128 bits.
pub(super) struct WideExtreme {
    pub(super) wanted: Ordering,
}

impl WideExtreme {
    fn better(&self, a: i128, b: i128) -> i128 {
        if a.cmp(&b) == self.wanted { a } else { b }
    }
}

impl Fold for WideExtreme {
    type State = i128;

    fn empty(&self) -> i128 {
        if self.wanted == Ordering::Less { i128::MAX } else { i128::MIN }
    }

    fn rows(&self, values: Rows<'_>, rows: Range<usize>) -> i128 {
        let mut best = self.empty();
        values.each(rows, |row| best = self.better(best, wide(values.words.get(row), values.high.get(row))));
        best
    }

    fn merge(&self, a: i128, b: i128) -> i128 {
        self.better(a, b)
    }

    fn load(&self, words: &[u64]) -> i128 {
        wide(words[0], words[1])
    }

    fn store(&self, state: i128, words: &mut [u64]) {
        (words[0], words[1]) = (state as u64, (state >> 64) as u64);
    }
}

/// The least or the greatest interned value; id 0 is none.
pub(super) struct InternedExtreme<'a> {
    pub(super) wanted: Ordering,
    pub(super) interned: &'a Interned,
}

impl Fold for InternedExtreme<'_> {
    type State = u64;

    fn empty(&self) -> u64 {
        0
    }

    fn rows(&self, values: Rows<'_>, rows: Range<usize>) -> u64 {
        values.words.fold(rows, 0, |best, id| self.merge(best, id))
    }

    fn merge(&self, a: u64, b: u64) -> u64 {
        match (a, b) {
            (0, other) | (other, 0) => other,
            _ if self.interned.compare(b, a) == self.wanted => b,
            _ => a,
        }
    }

    fn load(&self, words: &[u64]) -> u64 {
        words[0]
    }

    fn store(&self, state: u64, words: &mut [u64]) {
        words[0] = state;
    }
}

/// Moments of doubles: count, mean, sum of the squares of distances from it. Rows are looked at twice, states
/// merged by Chan's formula, as in a group-by.
pub(super) struct Moments;

#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) count: u64,
    pub(super) mean: f64,
    pub(super) squares: f64,
}

impl Fold for Moments {
    type State = Moment;

    fn empty(&self) -> Moment {
        Moment { count: 0, mean: 0.0, squares: 0.0 }
    }

    fn rows(&self, values: Rows<'_>, rows: Range<usize>) -> Moment {
        let value = |row: usize| f64::from_bits(values.words.get(row));
        let (mut first, mut count, mut sum) = (None, 0u64, 0.0);
        values.each(rows.clone(), |row| {
            let first = *first.get_or_insert(value(row));
            count += 1;
            sum += value(row) - first;
        });
        let Some(first) = first else { return self.empty() };
        let mean = first + sum / count as f64;
        if !mean.is_finite() {
            return Moment { count, mean: f64::NAN, squares: f64::NAN };
        }
        let (mut squares, mut rest) = (0.0, 0.0);
        values.each(rows, |row| {
            let distance = value(row) - mean;
            squares += distance * distance;
            rest += distance;
        });
        // What the distances add up to is 0 but for rounding, which it corrects.
        let rest_mean = rest / count as f64;
        let squares = squares - rest * rest_mean;
        // Squares are not negative; the comparison leaves NaN as it is.
        Moment { count, mean: mean + rest_mean, squares: if squares < 0.0 { 0.0 } else { squares } }
    }

    fn merge(&self, a: Moment, b: Moment) -> Moment {
        if a.count == 0 || b.count == 0 {
            return if a.count == 0 { b } else { a };
        }
        let count = a.count + b.count;
        let share = b.count as f64 / count as f64;
        let distance = b.mean - a.mean;
        let mean = a.mean + distance * share;
        let squares = a.squares + b.squares + distance * distance * (a.count as f64 * share);
        if mean.is_finite() {
            Moment { count, mean, squares }
        } else {
            Moment { count, mean: f64::NAN, squares: f64::NAN }
        }
    }

    fn load(&self, words: &[u64]) -> Moment {
        Moment { count: words[0], mean: f64::from_bits(words[1]), squares: f64::from_bits(words[2]) }
    }

    fn store(&self, state: Moment, words: &mut [u64]) {
        (words[0], words[1], words[2]) = (state.count, state.mean.to_bits(), state.squares.to_bits());
    }
}

/// Count, sum and sum of squares of integers.
pub(super) struct ExactMoments {
    /// What the words of unsigned numbers are shifted by.
    pub(super) shift: i128,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct ExactMoment {
    pub(super) count: u64,
    pub(super) sum: i128,
    /// `None` beyond what it can hold, which takes more than 2⁶⁰ rows.
    pub(super) squares: Option<WideSum>,
}

impl Fold for ExactMoments {
    type State = ExactMoment;

    fn empty(&self) -> ExactMoment {
        ExactMoment { count: 0, sum: 0, squares: Some(WideSum::default()) }
    }

    fn rows(&self, values: Rows<'_>, rows: Range<usize>) -> ExactMoment {
        let mut state = self.empty();
        values.each(rows, |row| {
            let x = i128::from(values.words.get(row) as i64) + self.shift;
            state.count += 1;
            state.sum += x;
            state.squares = state.squares.and_then(|squares| squares.plus_product(x, x));
        });
        state
    }

    fn merge(&self, a: ExactMoment, b: ExactMoment) -> ExactMoment {
        let squares = a.squares.zip(b.squares).and_then(|(a, b)| a.plus(b));
        ExactMoment { count: a.count + b.count, sum: a.sum + b.sum, squares }
    }

    fn load(&self, words: &[u64]) -> ExactMoment {
        let squares = WideSum { high: wide(words[3], words[4]), low: wide(words[5], words[6]) };
        ExactMoment { count: words[0], sum: wide(words[1], words[2]), squares: Some(squares) }
    }

    fn store(&self, state: ExactMoment, words: &mut [u64]) {
        // A block that could not be held would have been refused with its rows.
        let squares = state.squares.unwrap_or_default();
        let halves = [state.sum, squares.high, squares.low].map(|x| [x as u64, (x >> 64) as u64]);
        words[0] = state.count;
        words[1..7].copy_from_slice(halves.as_flattened());
    }
}
