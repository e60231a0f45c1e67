//! Making the cells of a column.

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, StringBuilder, TimestampMicrosecondArray,
};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use std::sync::Arc;

use super::{DISTINCT_MAX, GeneratorColumn, Values, bad};
use crate::ConnectError;

/// Makes the cells of one column.
#[derive(Debug)]
pub(super) struct Maker {
    seed: u64,
    /// Cells whose random number, read as a fraction of 2^64, is below this are null.
    nulls: f64,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Sequence { start: i64, step: i64 },
    Int { min: i64, span: u64 },
    Float { min: f64, max: f64 },
    Bool { share: f64 },
    Words { words: Vec<String>, odds: Odds },
    Labels { prefix: String, odds: Odds },
    Time { start: i64, rate: u32, disorder: u64 },
}

/// Which rows of the whole a run of rows of a partition are: row `r` is `r · step + offset`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows {
    pub(super) first: u64,
    pub(super) count: usize,
    pub(super) offset: u64,
    pub(super) step: u64,
}

impl Rows {
    fn numbers(self) -> impl Iterator<Item = u64> {
        (0..self.count as u64)
            .map(move |i| self.first.wrapping_add(i).wrapping_mul(self.step).wrapping_add(self.offset))
    }
}

impl Maker {
    pub(super) fn new(seed: u64, number: u64, column: &GeneratorColumn) -> Result<Self, ConnectError> {
        let share = |name: &str, value: f64| match (0.0..=1.0).contains(&value) {
            true => Ok(value),
            false => Err(bad(&format!("{}: {name}", column.name), "a share from 0 to 1", value)),
        };
        let option = |what: &str| format!("{}: {what}", column.name);
        let kind = match &column.values {
            Values::Sequence { start, step } => Kind::Sequence { start: *start, step: *step },
            Values::Int { min, max } if min <= max => Kind::Int { min: *min, span: max.abs_diff(*min) },
            Values::Int { min, max } => {
                return Err(bad(&option("int"), "a range that is not empty", format!("{min} to {max}")));
            }
            Values::Float { min, max } if min <= max && (max - min).is_finite() => {
                Kind::Float { min: *min, max: *max }
            }
            Values::Float { min, max } => {
                return Err(bad(
                    &option("float"),
                    "a finite range that is not empty",
                    format!("{min} to {max}"),
                ));
            }
            Values::Bool { share: value } => Kind::Bool { share: share("bool", *value)? },
            Values::Choice { words, skew } => {
                let distinct = u32::try_from(words.len()).unwrap_or(u32::MAX);
                Kind::Words { words: words.clone(), odds: Odds::new(&option("choice"), distinct, *skew)? }
            }
            Values::Label { prefix, distinct, skew } => {
                Kind::Labels { prefix: prefix.clone(), odds: Odds::new(&option("label"), *distinct, *skew)? }
            }
            Values::Time { rate: 0, .. } => return Err(bad(&option("rate"), "at least 1 row a second", 0)),
            Values::Time { start, rate, disorder } => match u64::try_from(disorder.micros()) {
                Ok(disorder) => Kind::Time { start: *start, rate: *rate, disorder },
                Err(_) => return Err(bad(&option("disorder"), "a span that is not negative", disorder)),
            },
        };
        // Columns of one seed must not resemble one another.
        let seed = mix(seed ^ mix(number.wrapping_add(1)));
        Ok(Self { seed, nulls: share("nulls", column.nulls)?, kind })
    }

    /// The cells of a run of rows.
    pub(super) fn make(&self, rows: Rows) -> ArrayRef {
        let nulls = self.null_buffer(rows);
        let random = rows.numbers().map(|n| mix(self.seed.wrapping_add(n.wrapping_mul(GOLDEN))));
        match &self.kind {
            Kind::Sequence { start, step } => {
                let value = |n: u64| start.wrapping_add(step.wrapping_mul(n.cast_signed()));
                Arc::new(Int64Array::new(rows.numbers().map(value).collect(), nulls))
            }
            Kind::Int { min, span } => {
                let value = |r: u64| min.wrapping_add_unsigned(scale(r, *span));
                Arc::new(Int64Array::new(random.map(value).collect(), nulls))
            }
            Kind::Float { min, max } => {
                let value = |r: u64| min + (max - min) * fraction(r);
                Arc::new(Float64Array::new(random.map(value).collect(), nulls))
            }
            Kind::Bool { share } => {
                let values: BooleanBuffer = random.map(|r| fraction(r) < *share).collect();
                Arc::new(BooleanArray::new(values, nulls))
            }
            Kind::Words { words, odds } => Arc::new(texts(random, nulls, |r, out| {
                out.push_str(&words[odds.pick(fraction(r))]);
            })),
            Kind::Labels { prefix, odds } => Arc::new(texts(random, nulls, |r, out| {
                out.push_str(prefix);
                out.push_str(&odds.pick(fraction(r)).to_string());
            })),
            Kind::Time { start, rate, disorder } => {
                let values = rows.numbers().zip(random).map(|(n, r)| {
                    // Below 2^64 rows this is below 2^84, and is cut to the range of times.
                    let place = u128::from(n) * 1_000_000 / u128::from(*rate);
                    let place = i64::try_from(place).unwrap_or(i64::MAX);
                    start.saturating_add(place).saturating_sub_unsigned(scale(r, *disorder))
                });
                Arc::new(TimestampMicrosecondArray::new(values.collect(), nulls))
            }
        }
    }

    fn null_buffer(&self, rows: Rows) -> Option<NullBuffer> {
        if self.nulls <= 0.0 {
            return None;
        }
        let seed = mix(!self.seed);
        let valid = |n: u64| fraction(mix(seed.wrapping_add(n.wrapping_mul(GOLDEN)))) >= self.nulls;
        Some(NullBuffer::new(rows.numbers().map(valid).collect()))
    }
}

fn texts(
    random: impl Iterator<Item = u64>,
    nulls: Option<NullBuffer>,
    append: impl Fn(u64, &mut String),
) -> StringArray {
    let mut builder = StringBuilder::new();
    let mut text = String::new();
    for (i, r) in random.enumerate() {
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(i)) {
            builder.append_null();
            continue;
        }
        text.clear();
        append(r, &mut text);
        builder.append_value(&text);
    }
    builder.finish()
}

/// The odd number nearest to 2^64 divided by the golden ratio: its multiples spread evenly.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The finaliser of SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators").
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A random number as one from 0 to `span`, both included, by Lemire's multiplication.
fn scale(random: u64, span: u64) -> u64 {
    let values = u128::from(span) + 1;
    // The product is below 2^64 · (span + 1), so its upper half is at most `span`.
    ((u128::from(random) * values) >> 64) as u64
}

/// A random number as a fraction from 0 to just below 1: its upper 53 bits, which a float holds exactly.
fn fraction(random: u64) -> f64 {
    (random >> 11) as f64 / (1u64 << 53) as f64
}

/// The odds of values of which the later are rarer.
#[derive(Debug)]
struct Odds {
    /// For each value the share of it and all before it; the last is 1.
    below: Vec<f64>,
}

impl Odds {
    fn new(option: &str, distinct: u32, skew: f64) -> Result<Self, ConnectError> {
        if distinct == 0 || distinct > DISTINCT_MAX {
            return Err(bad(option, &format!("1 to {DISTINCT_MAX} values"), distinct));
        }
        if !(0.0..=10.0).contains(&skew) {
            return Err(bad(option, "a skew from 0 to 10", skew));
        }
        let mut below = Vec::new();
        let mut sum = 0.0;
        for rank in 1..=distinct {
            sum += f64::from(rank).powf(-skew);
            below.push(sum);
        }
        below.iter_mut().for_each(|share| *share /= sum);
        Ok(Self { below })
    }

    fn pick(&self, fraction: f64) -> usize {
        self.below.partition_point(|share| *share <= fraction).min(self.below.len() - 1)
    }
}
