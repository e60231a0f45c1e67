//! Exact sums of products of integers, and their way to a double.
//!
//! A product of two 64-bit integers takes 128 bits, a sum of these more. In partial state such a sum is two
//! 128-bit columns, `high · 2⁶⁴ + low`, with `low` from 0 to 2⁶⁴ − 1: each is a plain sum of words, which
//! every device can add without a carry.

use arrow::datatypes::i256;

/// A sum of products.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WideSum {
    /// What counts 2⁶⁴.
    pub high: i128,
    /// The rest; of any size while adding goes on.
    pub low: i128,
}

impl WideSum {
    /// Adds `x · y`; `None` when that leaves the range. Both lie within 64 bits, signed or not.
    #[must_use]
    pub fn plus_product(self, x: i128, y: i128) -> Option<Self> {
        let magnitude = x.unsigned_abs().checked_mul(y.unsigned_abs())?;
        // Both halves are below 2⁶⁴.
        let (high, low) = ((magnitude >> 64) as i128, (magnitude & u128::from(u64::MAX)) as i128);
        match (x < 0) == (y < 0) {
            true => self.plus(WideSum { high, low }),
            false => self.plus(WideSum { high: -high, low: -low }),
        }
    }

    /// Adds another sum; `None` when that leaves the range, which takes more rows than there are.
    #[must_use]
    pub fn plus(self, other: WideSum) -> Option<Self> {
        let (high, low) = (self.high.checked_add(other.high)?, self.low.checked_add(other.low)?);
        Some(Self { high, low })
    }

    /// The same sum with `low` in its range, as partial state has it.
    #[must_use]
    pub fn normalised(self) -> Option<Self> {
        let high = self.high.checked_add(self.low >> 64)?;
        Some(Self { high, low: self.low & i128::from(u64::MAX) })
    }

    fn value(self) -> Option<i256> {
        i256::from_i128(self.high)
            .checked_mul(i256::from_i128(1 << 64))?
            .checked_add(i256::from_i128(self.low))
    }
}

/// `n · Σxy − Σx · Σy`, exactly: n² times the covariance of n pairs. `None` beyond 256 bits.
pub fn central_product(n: i64, sum_xy: WideSum, sum_x: i128, sum_y: i128) -> Option<i256> {
    let first = sum_xy.value()?.checked_mul(i256::from_i128(n.into()))?;
    first.checked_sub(i256::from_i128(sum_x).checked_mul(i256::from_i128(sum_y))?)
}

/// The double that is nearest, ties to even.
pub fn nearest_double(value: i256) -> f64 {
    let (low, high) = value.to_parts();
    let negative = high < 0;
    // The magnitude of the least value fits as well: 2²⁵⁵ in unsigned words.
    let (high, low) = match negative {
        true => (!high.cast_unsigned() + u128::from(low == 0), low.wrapping_neg()),
        false => (high.cast_unsigned(), low),
    };
    let magnitude = match high {
        0 => low as f64,
        _ => {
            // The upper 128 bits, with one bit for all that lies below them: enough to round by.
            let shift = 128 - high.leading_zeros();
            let upper = if shift == 128 { high } else { (high << (128 - shift)) | (low >> shift) };
            let rest = if shift == 128 { low } else { low & ((1 << shift) - 1) };
            let scale = 2f64.powi(shift.cast_signed());
            (upper | u128::from(rest != 0)) as f64 * scale
        }
    };
    if negative { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_the_nearest() {
        for value in [0, 1, -1, i128::MAX, i128::MIN, (1 << 53) + 1, (1 << 53) + 3, -(1 << 100) - 1] {
            assert_eq!(nearest_double(i256::from_i128(value)), value as f64, "{value}");
        }
        let two = |power: u32| {
            i256::from_i128(1 << (power / 2)).wrapping_mul(i256::from_i128(1 << (power - power / 2)))
        };
        let one = i256::ONE;
        for power in [127, 128, 129, 180, 181, 240] {
            let (whole, half) = (2f64.powi(power as i32), two(power - 53));
            let up = whole + 2f64.powi(power as i32 - 52);
            assert_eq!(nearest_double(two(power)), whole);
            // Exactly between two doubles the even one, and just above it the other.
            assert_eq!(nearest_double(two(power).wrapping_add(half)), whole, "{power}");
            assert_eq!(nearest_double(two(power).wrapping_add(half).wrapping_add(one)), up, "{power}");
            assert_eq!(nearest_double(i256::ZERO.wrapping_sub(two(power))), -whole);
        }
        assert_eq!(nearest_double(i256::MIN), -2f64.powi(255));
    }

    #[test]
    fn products_of_the_largest_numbers_add_up() {
        let (least, most) = (i128::from(i64::MIN), i128::from(u64::MAX));
        let mut sum = WideSum::default();
        for _ in 0..1000 {
            sum = sum.plus_product(most, most).unwrap().plus_product(least, most).unwrap();
        }
        let exact =
            i256::from_i128(most).wrapping_add(i256::from_i128(least)).wrapping_mul(i256::from_i128(most));
        let exact = exact.wrapping_mul(i256::from_i128(1000));
        assert_eq!(sum.value(), Some(exact));
        let stored = sum.normalised().unwrap();
        assert_eq!(stored.value(), Some(exact));
        assert!((0..1 << 64).contains(&stored.low));
        assert_eq!(stored.plus(WideSum { high: i128::MAX, low: 0 }), None);
    }

    #[test]
    fn central_products_are_exact() {
        // 10¹⁸ and 10¹⁸ + 2: mean square distance 1, which no double arithmetic on squares would see.
        let values = [1_000_000_000_000_000_000i128, 1_000_000_000_000_000_002];
        let squares = values.iter().fold(WideSum::default(), |s, x| s.plus_product(*x, *x).unwrap());
        let sum = values.iter().sum();
        assert_eq!(central_product(2, squares, sum, sum), Some(i256::from_i128(4)));
    }
}
