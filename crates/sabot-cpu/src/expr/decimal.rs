//! `+ − × ÷ %` of decimals, by the rules of [`sabot_expr::decimal`].
//!
//! Nearly all values are far from the ends of their type. So each row is computed in the width of its type first,
//! with steps that say when they would overflow; the rows for which one does, and results that need
//! rounding to a reduced scale, are computed exactly by the shared function.

use arrow::array::{ArrayRef, ArrowPrimitiveType, PrimitiveArray};
use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, i256};
use sabot_expr::BinaryOp;
use sabot_expr::decimal::{compute, fits, power_of_ten, precision_and_scale};
use sabot_ops::Failure;
use std::sync::Arc;

use super::value::{Value, both_valid, is_valid};
use super::{Active, Scope, wrong_type};

/// Integers of one width; every step says when it has no result.
trait Digits: Copy + Default + PartialOrd {
    fn times(self, other: Self) -> Option<Self>;
    fn plus(self, other: Self) -> Option<Self>;
    fn minus(self, other: Self) -> Option<Self>;
    /// Quotient and remainder, truncated.
    fn divided(self, other: Self) -> Option<(Self, Self)>;
    fn magnitude(self) -> Option<Self>;
    /// One with the sign of a number.
    fn unit(self) -> Self;
    fn widen(self) -> i256;
    fn narrow(wide: i256) -> Option<Self>;
}

impl Digits for i128 {
    fn times(self, other: Self) -> Option<Self> {
        self.checked_mul(other)
    }
    fn plus(self, other: Self) -> Option<Self> {
        self.checked_add(other)
    }
    fn minus(self, other: Self) -> Option<Self> {
        self.checked_sub(other)
    }
    fn divided(self, other: Self) -> Option<(Self, Self)> {
        Some((self.checked_div(other)?, self.checked_rem(other)?))
    }
    fn magnitude(self) -> Option<Self> {
        self.checked_abs()
    }
    fn unit(self) -> Self {
        if self < 0 { -1 } else { 1 }
    }
    fn widen(self) -> i256 {
        i256::from_i128(self)
    }
    fn narrow(wide: i256) -> Option<Self> {
        wide.to_i128()
    }
}

impl Digits for i256 {
    fn times(self, other: Self) -> Option<Self> {
        self.checked_mul(other)
    }
    fn plus(self, other: Self) -> Option<Self> {
        self.checked_add(other)
    }
    fn minus(self, other: Self) -> Option<Self> {
        self.checked_sub(other)
    }
    fn divided(self, other: Self) -> Option<(Self, Self)> {
        Some((self.checked_div(other)?, self.checked_rem(other)?))
    }
    fn magnitude(self) -> Option<Self> {
        self.checked_abs()
    }
    fn unit(self) -> Self {
        if self.is_negative() { i256::MINUS_ONE } else { i256::ONE }
    }
    fn widen(self) -> i256 {
        self
    }
    fn narrow(wide: i256) -> Option<Self> {
        Some(wide)
    }
}

/// What is known of an operation before any row is seen.
struct Steps<D> {
    op: BinaryOp,
    scales: [i8; 2],
    precision: u8,
    scale: i8,
    /// What both sides are multiplied by first; `None` where the short way does not exist.
    factors: Option<[D; 2]>,
    /// The least number that has too many digits; `None` beyond the width.
    limit: Option<D>,
}

impl<D: Digits> Steps<D> {
    fn new(op: BinaryOp, scales: [i8; 2], precision: u8, scale: i8) -> Self {
        let [a, b] = scales.map(i32::from);
        let wanted = i32::from(scale);
        let aligned = a.max(b);
        let shifts = match op {
            BinaryOp::Mul if wanted == a + b => Some([0, 0]),
            BinaryOp::Div if wanted + b >= a => Some([wanted + b - a, 0]),
            BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mod if wanted == aligned => {
                Some([aligned - a, aligned - b])
            }
            _ => None,
        };
        let power = |shift: i32| D::narrow(power_of_ten(shift.unsigned_abs())?);
        let factors = shifts.and_then(|[a, b]| Some([power(a)?, power(b)?]));
        let limit = power_of_ten(u32::from(precision)).and_then(D::narrow);
        Self { op, scales, precision, scale, factors, limit }
    }

    /// The result, and whether there is none.
    fn apply(&self, a: D, b: D) -> (D, bool) {
        if let Some(result) = self.short(a, b)
            && let (Some(limit), Some(magnitude)) = (self.limit, result.magnitude())
        {
            return (result, magnitude >= limit);
        }
        let exact = compute(self.op, (a.widen(), self.scales[0]), (b.widen(), self.scales[1]), self.scale);
        let result = exact.filter(|digits| fits(*digits, self.precision)).and_then(D::narrow);
        (result.unwrap_or_default(), result.is_none())
    }

    /// The result in the width of the type; `None` where a step does not fit, or the divisor is zero.
    #[inline]
    fn short(&self, a: D, b: D) -> Option<D> {
        let [left, right] = self.factors?;
        match self.op {
            BinaryOp::Add => a.times(left)?.plus(b.times(right)?),
            BinaryOp::Sub => a.times(left)?.minus(b.times(right)?),
            BinaryOp::Mul => a.times(b),
            BinaryOp::Div => {
                let (quotient, rest) = a.times(left)?.divided(b)?;
                let (rest, divisor) = (rest.magnitude()?, b.magnitude()?);
                // Halves go away from zero; twice the rest may not fit where the rest does.
                if rest < divisor.minus(rest)? {
                    return Some(quotient);
                }
                quotient.plus(a.unit().times(b.unit())?)
            }
            _ => a.times(left)?.divided(b.times(right)?).map(|(_, rest)| rest),
        }
    }
}

impl Scope<'_> {
    /// `left op right` of two decimals of one width, as a decimal of that width.
    pub(super) fn decimals(
        &self,
        op: BinaryOp,
        data_type: &DataType,
        left: &Value,
        right: &Value,
        active: Active<'_>,
    ) -> Result<Value, Failure> {
        let found = match data_type {
            DataType::Decimal256(..) => {
                self.decimals_of::<Decimal256Type>(op, data_type, left, right, active)
            }
            _ => self.decimals_of::<Decimal128Type>(op, data_type, left, right, active),
        };
        found.ok_or_else(|| wrong_type(op.symbol(), left.array().data_type()))
    }

    fn decimals_of<T: ArrowPrimitiveType<Native: Digits>>(
        &self,
        op: BinaryOp,
        data_type: &DataType,
        left: &Value,
        right: &Value,
        active: Active<'_>,
    ) -> Option<Value> {
        let (a, b) = (left.operand::<T>()?, right.operand::<T>()?);
        let (_, s1) = precision_and_scale(left.array().data_type())?;
        let (_, s2) = precision_and_scale(right.array().data_type())?;
        let (precision, scale) = precision_and_scale(data_type)?;
        let steps = Steps::<T::Native>::new(op, [s1, s2], precision, scale);
        let mut flags = false;
        let values = a.zip(b, |a, b| {
            let (value, flag) = steps.apply(a, b);
            flags |= flag;
            value
        });
        let constant = left.is_constant() && right.is_constant();
        let nulls = both_valid(left, right);
        let array: ArrayRef =
            Arc::new(PrimitiveArray::<T>::new(values.into(), nulls).with_data_type(data_type.clone()));
        if flags {
            let nulls = array.nulls();
            self.fail_where(active, constant, |row| {
                is_valid(nulls, row) && steps.apply(a.get(row), b.get(row)).1
            });
        }
        Some(Value::of(array, constant))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// The short way gives what the exact way gives, or says that it cannot.
    #[test]
    fn the_short_way_is_exact() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let ops = [BinaryOp::Add, BinaryOp::Sub, BinaryOp::Mul, BinaryOp::Div, BinaryOp::Mod];
        let mut short = [0; 5];
        for _ in 0..40_000 {
            let at = rng.random_range(0..5usize);
            let scales = [rng.random_range(-3..12i8), rng.random_range(-3..12i8)];
            let scale = match ops[at] {
                BinaryOp::Mul if rng.random_bool(0.8) => scales[0] + scales[1],
                BinaryOp::Div => rng.random_range(0..20),
                _ => scales[0].max(scales[1]),
            };
            let draw = |rng: &mut ChaCha8Rng| rng.random::<i128>() >> rng.random_range(20..128);
            let (a, b) = (draw(&mut rng), draw(&mut rng));
            let exact = compute(ops[at], (a.widen(), scales[0]), (b.widen(), scales[1]), scale);
            let narrow = Steps::<i128>::new(ops[at], scales, 38, scale);
            let wide = Steps::<i256>::new(ops[at], scales, 76, scale);
            let about = format!("{a} {:?} {b} with {scales:?} at {scale}", ops[at]);
            if let Some(result) = narrow.short(a, b) {
                assert_eq!(Some(result.widen()), exact, "{about}");
                short[at] += 1;
            }
            if let Some(result) = wide.short(a.widen(), b.widen()) {
                assert_eq!(Some(result), exact, "{about}");
            }
            let in_38 = exact.filter(|digits| fits(*digits, 38)).and_then(|digits| digits.to_i128());
            let (value, failed) = narrow.apply(a, b);
            assert_eq!((!failed).then_some(value), in_38, "{about}");
        }
        assert!(short.iter().all(|count| *count > 1_000), "{short:?}");
    }
}
