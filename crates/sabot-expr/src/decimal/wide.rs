//! Integers of 1,024 bits with a sign: room for every step between two decimals of 76 digits and their result.
//!
//! The longest step multiplies 255 bits by ten to the power of 228, which has 758 bits: the scales of two
//! operands and of a result lie at most that far apart. Slow and obvious; where numbers are small, kernels compute with
//! fewer bits and come here only when these do not do.

use arrow::datatypes::i256;

const LIMBS: usize = 16;
type Magnitude = [u64; LIMBS];

/// A signed integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wide {
    negative: bool,
    /// Lowest limb first.
    magnitude: Magnitude,
}

impl From<i256> for Wide {
    fn from(value: i256) -> Self {
        // The magnitude of the smallest number is its own two's complement read without a sign.
        let (low, high) = value.wrapping_abs().to_parts();
        let mut magnitude = [0; LIMBS];
        // The casts take the halves of 128 bits apart.
        magnitude[..4].copy_from_slice(&[low as u64, (low >> 64) as u64, high as u64, (high >> 64) as u64]);
        Wide { negative: value.is_negative(), magnitude }
    }
}

impl Wide {
    /// The number in 256 bits; `None` when it does not fit.
    pub(super) fn to_i256(self) -> Option<i256> {
        if self.magnitude[4..].iter().any(|limb| *limb != 0) {
            return None;
        }
        let half = |at: usize| u128::from(self.magnitude[at + 1]) << 64 | u128::from(self.magnitude[at]);
        let value = i256::from_parts(half(0), i128::try_from(half(2)).ok()?);
        Some(if self.negative { value.wrapping_neg() } else { value })
    }

    pub(super) fn negated(self) -> Self {
        Wide { negative: !self.negative, ..self }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        if self.negative == other.negative {
            return Wide { magnitude: sum(&self.magnitude, &other.magnitude), ..self };
        }
        match is_less(&self.magnitude, &other.magnitude) {
            true => Wide { magnitude: difference(&other.magnitude, &self.magnitude), ..other },
            false => Wide { magnitude: difference(&self.magnitude, &other.magnitude), ..self },
        }
    }

    pub(super) fn times(self, other: Self) -> Self {
        let magnitude = product(&self.magnitude, &other.magnitude);
        Wide { negative: self.negative != other.negative, magnitude }
    }

    /// The quotient, rounded, halves away from zero; `None` for a divisor of zero.
    pub(super) fn divided_by(self, divisor: Self) -> Option<Self> {
        let (mut quotient, rest) = divide(&self.magnitude, &divisor.magnitude)?;
        let twice = sum(&rest, &rest);
        if !is_less(&twice, &divisor.magnitude) {
            let mut one = [0; LIMBS];
            one[0] = 1;
            quotient = sum(&quotient, &one);
        }
        Some(Wide { negative: self.negative != divisor.negative, magnitude: quotient })
    }

    /// What is left of the truncated quotient, with the sign of the dividend; `None` for a divisor of zero.
    pub(super) fn remainder_of(self, divisor: Self) -> Option<Self> {
        let (_, rest) = divide(&self.magnitude, &divisor.magnitude)?;
        Some(Wide { magnitude: rest, ..self })
    }

    /// A number counted in units of ten to the minus `from`, counted in units of ten to the minus `to`; rounded,
    /// halves away from zero.
    pub(super) fn rescaled(self, from: i32, to: i32) -> Self {
        let power = Wide { negative: false, magnitude: power_of_ten(from.abs_diff(to)) };
        if to >= from { self.times(power) } else { self.divided_by(power).unwrap_or(self) }
    }
}

fn power_of_ten(exponent: u32) -> Magnitude {
    let mut power = [0; LIMBS];
    power[0] = 1;
    for _ in 0..exponent {
        let mut carry = 0u128;
        for limb in &mut power {
            carry += u128::from(*limb) * 10;
            // The cast keeps the low half; the high half is carried.
            *limb = carry as u64;
            carry >>= 64;
        }
    }
    power
}

fn is_less(a: &Magnitude, b: &Magnitude) -> bool {
    a.iter().rev().lt(b.iter().rev())
}

fn sum(a: &Magnitude, b: &Magnitude) -> Magnitude {
    let mut carry = false;
    std::array::from_fn(|i| {
        let (sum, first) = a[i].overflowing_add(b[i]);
        let (sum, second) = sum.overflowing_add(u64::from(carry));
        carry = first || second;
        sum
    })
}

/// `a − b`, where `b` is not the larger.
fn difference(a: &Magnitude, b: &Magnitude) -> Magnitude {
    let mut borrow = false;
    std::array::from_fn(|i| {
        let (rest, first) = a[i].overflowing_sub(b[i]);
        let (rest, second) = rest.overflowing_sub(u64::from(borrow));
        borrow = first || second;
        rest
    })
}

fn product(a: &Magnitude, b: &Magnitude) -> Magnitude {
    let mut all = [0u64; LIMBS];
    for (i, x) in a.iter().enumerate().filter(|(_, x)| **x != 0) {
        let mut carry = 0u128;
        for (j, y) in b[..LIMBS - i].iter().enumerate() {
            carry += u128::from(*x) * u128::from(*y) + u128::from(all[i + j]);
            // The cast keeps the low half; the high half is carried.
            all[i + j] = carry as u64;
            carry >>= 64;
        }
    }
    all
}

/// Quotient and remainder by long division, bit by bit; `None` for a divisor of zero.
fn divide(dividend: &Magnitude, divisor: &Magnitude) -> Option<(Magnitude, Magnitude)> {
    if divisor.iter().all(|limb| *limb == 0) {
        return None;
    }
    let (mut quotient, mut rest) = ([0u64; LIMBS], [0u64; LIMBS]);
    for bit in (0..LIMBS * 64).rev() {
        rest = sum(&rest, &rest);
        rest[0] |= dividend[bit / 64] >> (bit % 64) & 1;
        if !is_less(&rest, divisor) {
            rest = difference(&rest, divisor);
            quotient[bit / 64] |= 1 << (bit % 64);
        }
    }
    Some((quotient, rest))
}
