//! Which value lies where in the order: DDSketch.
//!
//! Values are counted in buckets whose width is a share of the value, so that a quantile is off by a share
//! of itself (Masson, Rim, Lee: *DDSketch*, 2019). The buckets here are those of the paper's linearly
//! interpolated logarithm with 64 buckets for each power of two, which is nothing but the upper bits of the
//! double: sign, exponent, six bits of the mantissa. A bucket is known by a number that rises with its
//! values: 0 for zeros of both signs; `b + 1` for positive values and `−(b + 1)` for negative ones, where
//! `b` is the bits of the magnitude without their lower 46; 2³¹ − 1 for NaN, which is greatest.
//!
//! A quantile is the middle of its bucket: off by 1/128 of the value at most. Below 2⁻¹⁰²² buckets get no
//! narrower, and it is off by 2⁻¹⁰²⁹ at most.
//!
//! The bytes: `01`, then for each bucket that is not empty its number (4 bytes, big end first, sign bit
//! turned) and its count (8 bytes, big end first), ascending by number.

use std::collections::BTreeMap;

use super::SketchError;
use crate::Quantile;

const FORMAT: u8 = 1;
/// Bits of a double that are below a bucket.
const BELOW: u32 = 46;
const NAN: i32 = i32::MAX;
/// The bucket of infinity, which no finite value reaches.
const INFINITE: i32 = ((f64::INFINITY.to_bits() >> BELOW) + 1) as i32;
/// Buckets that are kept side by side: those of one power of two.
const PAGE: usize = 64;

/// A sketch of how values are distributed.
///
/// ```
/// use sabot_ops::{Quantile, sketch::DdSketch};
/// let mut sketch = DdSketch::default();
/// for value in 1..=1000 {
///     sketch.add(f64::from(value));
/// }
/// let median = sketch.quantile(Quantile(0.5));
/// assert!(median.is_some_and(|m| (m - 500.0).abs() <= 500.0 / 128.0));
/// ```
#[derive(Clone, Debug, Default)]
pub struct DdSketch {
    pages: BTreeMap<i32, Box<[u64; PAGE]>>,
}

impl DdSketch {
    /// Takes in a value.
    pub fn add(&mut self, value: f64) {
        let slot = self.slot(bucket_of(value));
        // Nobody counts to 2⁶⁴ one by one; only merged counts could get there, and those are checked.
        *slot = slot.saturating_add(1);
    }

    /// Takes in all that another sketch has seen; `None` when a count would leave 64 bits.
    #[must_use]
    pub fn merge(&mut self, other: &DdSketch) -> Option<()> {
        for (bucket, count) in other.buckets() {
            let slot = self.slot(bucket);
            *slot = slot.checked_add(count)?;
        }
        Some(())
    }

    /// The value of rank ⌊q · (n − 1)⌋ of n values in order, counted from 0, as the middle of its bucket;
    /// `None` without values.
    pub fn quantile(&self, quantile: Quantile) -> Option<f64> {
        let total: u128 = self.buckets().map(|(_, count)| u128::from(count)).sum();
        // A share that is none asks for the end that it lies beyond.
        let rank = (quantile.0 * total.checked_sub(1)? as f64).floor() as u128;
        let mut seen = 0u128;
        let found = self.buckets().find(|(_, count)| {
            seen += u128::from(*count);
            seen > rank
        });
        // Rounding may ask for one rank too many.
        found.or_else(|| self.buckets().last()).map(|(bucket, _)| middle_of(bucket))
    }

    /// The sketch as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![FORMAT];
        for (bucket, count) in self.buckets() {
            bytes.extend((bucket.cast_unsigned() ^ (1 << 31)).to_be_bytes());
            bytes.extend(count.to_be_bytes());
        }
        bytes
    }

    /// The sketch that bytes stand for.
    ///
    /// # Errors
    /// [`SketchError`] for anything that [`DdSketch::to_bytes`] does not give.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SketchError> {
        let error = |problem| SketchError { sketch: "a DDSketch", bytes: bytes.len(), problem };
        let Some((&FORMAT, rest)) = bytes.split_first() else { return Err(error("its format is unknown")) };
        if !rest.len().is_multiple_of(12) {
            return Err(error("not buckets of twelve bytes"));
        }
        let mut sketch = Self::default();
        let mut last = None;
        for entry in rest.chunks_exact(12) {
            let (Some(bucket), Some(count)) = (entry.first_chunk::<4>(), entry.last_chunk::<8>()) else {
                return Err(error("not buckets of twelve bytes"));
            };
            let bucket = (u32::from_be_bytes(*bucket) ^ (1 << 31)).cast_signed();
            let count = u64::from_be_bytes(*count);
            if last.is_some_and(|last| last >= bucket) {
                return Err(error("its buckets do not ascend"));
            }
            if bucket != NAN && !(-INFINITE..=INFINITE).contains(&bucket) || count == 0 {
                return Err(error("a bucket that there is not, or an empty one"));
            }
            last = Some(bucket);
            *sketch.slot(bucket) = count;
        }
        Ok(sketch)
    }

    /// Allocated bytes.
    pub fn allocated_bytes(&self) -> usize {
        self.pages.len() * (size_of::<[u64; PAGE]>() + size_of::<(i32, usize)>())
    }

    fn slot(&mut self, bucket: i32) -> &mut u64 {
        let page = self.pages.entry(bucket.div_euclid(PAGE as i32)).or_insert_with(|| Box::new([0; PAGE]));
        &mut page[bucket.rem_euclid(PAGE as i32) as usize]
    }

    /// The buckets that are not empty, ascending.
    fn buckets(&self) -> impl Iterator<Item = (i32, u64)> {
        self.pages.iter().flat_map(|(page, counts)| {
            let first = page * PAGE as i32;
            let all = (0i32..).zip(**counts).filter(|(_, count)| *count > 0);
            all.map(move |(i, count)| (first + i, count))
        })
    }
}

fn bucket_of(value: f64) -> i32 {
    if value.is_nan() {
        return NAN;
    }
    if value == 0.0 {
        return 0;
    }
    // At most `INFINITE`.
    let bucket = (value.abs().to_bits() >> BELOW) as i32 + 1;
    if value < 0.0 { -bucket } else { bucket }
}

fn middle_of(bucket: i32) -> f64 {
    let magnitude = match bucket.unsigned_abs() {
        0 => return 0.0,
        b if b == NAN.unsigned_abs() => return f64::NAN,
        b if b == INFINITE.unsigned_abs() => f64::INFINITY,
        b => f64::from_bits((u64::from(b - 1) << BELOW) | (1 << (BELOW - 1))),
    };
    if bucket < 0 { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::seq::SliceRandom;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn of(values: &[f64]) -> DdSketch {
        let mut sketch = DdSketch::default();
        values.iter().for_each(|value| sketch.add(*value));
        sketch
    }

    #[test]
    fn golden_bytes_never_change() {
        assert_eq!(DdSketch::default().to_bytes(), [1]);
        let bytes = of(&[1.0, -0.0, 1.0, -2.0, f64::NAN, 0.0, 1.015_625]).to_bytes();
        let bucket = |number: u32, count: u64| [&number.to_be_bytes()[..], &count.to_be_bytes()].concat();
        let golden = [
            vec![1],
            bucket(0x7fff_0000 - 1, 1),
            bucket(0x8000_0000, 2),
            bucket(0x8000_ffc1, 2),
            bucket(0x8000_ffc2, 1),
            bucket(0xffff_ffff, 1),
        ];
        assert_eq!(bytes, golden.concat());
    }

    #[test]
    fn bytes_depend_on_the_values_alone() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let special = [
            0.0,
            -0.0,
            f64::NAN,
            -f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MAX,
            f64::MIN_POSITIVE,
            5e-324,
        ];
        let mut values: Vec<f64> = (0..3000).map(|_| f64::from_bits(rng.random())).collect();
        values.extend(special);
        let whole = of(&values).to_bytes();
        assert_eq!(DdSketch::from_bytes(&whole).unwrap().to_bytes(), whole);
        values.shuffle(&mut rng);
        let parts: Vec<DdSketch> = values.chunks(1100).map(of).collect();
        for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0]] {
            let mut merged = DdSketch::default();
            order.into_iter().for_each(|i| merged.merge(&parts[i]).unwrap());
            assert_eq!(merged.to_bytes(), whole);
        }
    }

    #[test]
    fn quantiles_are_within_a_share_of_the_value() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let mut values: Vec<f64> =
            (0..20_000).map(|_| rng.random_range(-1.0f64..1.0).powi(9) * 1e6).collect();
        let sketch = of(&values);
        values.sort_by(f64::total_cmp);
        for share in [0.0, 0.001, 0.25, 0.5, 0.9, 0.999, 1.0] {
            let exact = values[(share * 19_999f64).floor() as usize];
            let got = sketch.quantile(Quantile(share)).unwrap();
            assert!((got - exact).abs() <= exact.abs() / 128.0, "{share}: {got}, exactly {exact}");
        }
    }

    #[test]
    fn special_values_have_buckets_of_their_own() {
        let at = |sketch: &DdSketch, share| sketch.quantile(Quantile(share));
        assert_eq!(at(&DdSketch::default(), 0.5), None);
        let sketch = of(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, f64::MAX]);
        assert_eq!(at(&sketch, 0.0), Some(f64::NEG_INFINITY));
        assert_eq!(at(&sketch, 0.25), Some(0.0));
        assert!(at(&sketch, 0.5).is_some_and(|x| x.is_finite() && x > 1e308));
        assert_eq!(at(&sketch, 0.75), Some(f64::INFINITY));
        assert!(at(&sketch, 1.0).is_some_and(f64::is_nan));
        let tiny = of(&[5e-324]);
        assert!(at(&tiny, 0.5).is_some_and(|x| x.abs() <= 2f64.powi(-1029)));
    }

    #[test]
    fn damaged_bytes_are_refused() {
        let good = of(&[1.0, 2.0]).to_bytes();
        let swapped = [&good[..1], &good[13..], &good[1..13]].concat();
        let beyond = [vec![1], 0x8002_0000u32.to_be_bytes().to_vec(), 1u64.to_be_bytes().to_vec()].concat();
        let empty = [vec![1], 0x8000_0001u32.to_be_bytes().to_vec(), vec![0; 8]].concat();
        for bytes in [&[][..], &[2], &good[..5], &swapped, &beyond, &empty] {
            assert!(DdSketch::from_bytes(bytes).is_err(), "{bytes:?}");
        }
        let mut full =
            DdSketch::from_bytes(&[vec![1], 0x8000_0001u32.to_be_bytes().to_vec(), vec![0xff; 8]].concat())
                .unwrap();
        assert_eq!(full.merge(&full.clone()), None);
    }
}
