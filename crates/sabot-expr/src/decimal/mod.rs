//! Decimals: digits and scale, the types that arithmetic gives, and the exact results.
//!
//! **The type of a result** follows the rules of SQL as Flink and Spark have them. With precision *p* and scale
//! *s* of the operands:
//!
//! | operation | scale | precision |
//! |---|---|---|
//! | `a + b`, `a - b` | max(s₁, s₂) | max(p₁ − s₁, p₂ − s₂) + scale + 1 |
//! | `a * b` | s₁ + s₂ | p₁ + p₂ |
//! | `a / b` | max(6, s₁ + p₂ + 1) | p₁ − s₁ + s₂ + scale |
//! | `a % b` | max(s₁, s₂) | min(p₁ − s₁, p₂ − s₂) + scale |
//! | `-a` | s₁ | p₁ |
//!
//! The result is a decimal256 if an operand is one, else a decimal128, with at most 76 or 38 digits. If the
//! precision would be more than that, digits after the point give way to those before it: the scale becomes
//! what is left behind the whole digits, but not less than 6 or the scale that it was.
//!
//! An integer takes part as a decimal of scale 0 with 3, 5, 10, 19 or, for uint64, 20 digits; an integer literal with as
//! many digits as it has. Next to a float a decimal becomes a float64.
//!
//! **The value of a result** is exact, and then rounded to the scale, halves away from zero. `%` has the sign of
//! the dividend. A result with more digits than its type, and division by zero, are errors of the row; nothing
//! ever wraps.
//!
//! **Comparison, CASE, COALESCE and IN** need no room for results: there decimals meet in the type that holds
//! both exactly, with scale max(s₁, s₂) and precision max(p₁ − s₁, p₂ − s₂) + scale. If that takes more than 38
//! digits it is a decimal256; two decimals that no 76 digits hold have no common type.

mod text;
mod wide;

use arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DECIMAL128_MAX_SCALE, DECIMAL256_MAX_PRECISION, DECIMAL256_MAX_SCALE, DataType,
    i256,
};

use crate::expr::BinaryOp;
pub use text::{format_decimal, parse_decimal, to_f32, to_f64};
use wide::Wide;

/// Digits after the point that give way last.
const SCALE_KEPT: i32 = 6;

/// Precision and scale of a decimal type; `None` for any other.
pub fn precision_and_scale(data_type: &DataType) -> Option<(u8, i8)> {
    match data_type {
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => Some((*p, *s)),
        _ => None,
    }
}

/// The decimal that holds every value of an integer type or is a decimal type already; `None` for any other.
pub fn decimal_of(data_type: &DataType) -> Option<DataType> {
    let digits = match data_type {
        DataType::Int8 | DataType::UInt8 => 3,
        DataType::Int16 | DataType::UInt16 => 5,
        DataType::Int32 | DataType::UInt32 => 10,
        DataType::Int64 => 19,
        DataType::UInt64 => 20,
        decimal => return precision_and_scale(decimal).map(|_| decimal.clone()),
    };
    Some(DataType::Decimal128(digits, 0))
}

/// Ten to a power; `None` beyond 256 bits.
pub fn power_of_ten(exponent: u32) -> Option<i256> {
    i256::from(10).checked_pow(exponent)
}

/// Whether a number has at most `precision` digits.
pub fn fits(digits: i256, precision: u8) -> bool {
    power_of_ten(u32::from(precision)).is_none_or(|limit| digits < limit && digits > limit.wrapping_neg())
}

/// The type in which two decimals meet without a loss; `None` when none has enough digits.
///
/// ```
/// use arrow::datatypes::DataType::{Decimal128, Decimal256};
/// use sabot_expr::decimal::common_decimal;
/// assert_eq!(common_decimal(&Decimal128(10, 2), &Decimal128(5, 4)), Some(Decimal128(12, 4)));
/// assert_eq!(common_decimal(&Decimal128(38, 0), &Decimal128(5, 4)), Some(Decimal256(42, 4)));
/// ```
pub fn common_decimal(left: &DataType, right: &DataType) -> Option<DataType> {
    if left == right {
        return precision_and_scale(left).map(|_| left.clone());
    }
    let ((p1, s1), (p2, s2)) = (numbers(left)?, numbers(right)?);
    let scale = s1.max(s2);
    let precision = ((p1 - s1).max(p2 - s2) + scale).max(scale).max(1);
    let narrow = precision <= i32::from(DECIMAL128_MAX_PRECISION) && !is_256(left) && !is_256(right);
    decimal_type(precision, scale, !narrow)
}

/// The type of the result of an arithmetic operator; `None` when an operand is no decimal or the operator wraps.
///
/// ```
/// use arrow::datatypes::DataType::Decimal128;
/// use sabot_expr::{BinaryOp, decimal::result_type};
/// let (price, rate) = (Decimal128(10, 2), Decimal128(5, 4));
/// assert_eq!(result_type(BinaryOp::Add, &price, &rate), Some(Decimal128(13, 4)));
/// assert_eq!(result_type(BinaryOp::Mul, &price, &rate), Some(Decimal128(15, 6)));
/// assert_eq!(result_type(BinaryOp::Div, &price, &rate), Some(Decimal128(20, 8)));
/// assert_eq!(result_type(BinaryOp::Mul, &Decimal128(38, 10), &Decimal128(38, 10)), Some(Decimal128(38, 6)));
/// ```
pub fn result_type(op: BinaryOp, left: &DataType, right: &DataType) -> Option<DataType> {
    let ((p1, s1), (p2, s2)) = (numbers(left)?, numbers(right)?);
    let (scale, precision) = match op {
        BinaryOp::Add | BinaryOp::Sub => {
            let scale = s1.max(s2);
            (scale, (p1 - s1).max(p2 - s2) + scale + 1)
        }
        BinaryOp::Mul => (s1 + s2, p1 + p2),
        BinaryOp::Div => {
            let scale = SCALE_KEPT.max(s1 + p2 + 1);
            (scale, p1 - s1 + s2 + scale)
        }
        BinaryOp::Mod => {
            let scale = s1.max(s2);
            (scale, (p1 - s1).min(p2 - s2) + scale)
        }
        _ => return None,
    };
    let wide = is_256(left) || is_256(right);
    let (most, scale_max) = match wide {
        true => (i32::from(DECIMAL256_MAX_PRECISION), i32::from(DECIMAL256_MAX_SCALE)),
        false => (i32::from(DECIMAL128_MAX_PRECISION), i32::from(DECIMAL128_MAX_SCALE)),
    };
    // No type has a scale below that, and with more zeros written out there are more digits.
    let raised = scale.max(-scale_max);
    let precision = (precision + raised - scale).max(raised).max(1);
    if precision <= most {
        return decimal_type(precision, raised, wide);
    }
    let whole = precision - raised;
    let scale = (most - whole).max(raised.min(SCALE_KEPT));
    decimal_type(most, scale, wide)
}

/// Whether no two values of these types overflow the type of their result.
pub fn never_overflows(op: BinaryOp, left: &DataType, right: &DataType) -> bool {
    let (Some((p1, s1)), Some((p2, s2))) = (numbers(left), numbers(right)) else { return false };
    let Some((precision, scale)) = result_type(op, left, right).as_ref().and_then(numbers) else {
        return false;
    };
    match op {
        BinaryOp::Add | BinaryOp::Sub => scale == s1.max(s2) && precision > (p1 - s1).max(p2 - s2) + scale,
        BinaryOp::Mul => scale == s1 + s2 && precision == p1 + p2,
        _ => false,
    }
}

fn is_256(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Decimal256(..))
}

fn numbers(data_type: &DataType) -> Option<(i32, i32)> {
    precision_and_scale(data_type).map(|(p, s)| (i32::from(p), i32::from(s)))
}

fn decimal_type(precision: i32, scale: i32, wide: bool) -> Option<DataType> {
    let (precision, scale) = (u8::try_from(precision).ok()?, i8::try_from(scale).ok()?);
    let most = if wide { DECIMAL256_MAX_PRECISION } else { DECIMAL128_MAX_PRECISION };
    let fits = precision <= most && scale.unsigned_abs() <= most;
    fits.then_some(if wide {
        DataType::Decimal256(precision, scale)
    } else {
        DataType::Decimal128(precision, scale)
    })
}

/// Whether a decimal type has room for every value of another; rounding to fewer digits after the point is no loss
/// of room, but for a half that becomes one digit more.
pub fn holds(outer: &DataType, inner: &DataType) -> bool {
    let (Some((p1, s1)), Some((p2, s2))) = (numbers(outer), numbers(inner)) else { return false };
    p1 - s1 >= p2 - s2 + i32::from(s1 < s2)
}

/// Digits with another scale, rounded, halves away from zero; `None` beyond 256 bits.
///
/// ```
/// use arrow::datatypes::i256;
/// use sabot_expr::decimal::rescale;
/// assert_eq!(rescale(i256::from(-125), 2, 1), Some(i256::from(-13)));
/// assert_eq!(rescale(i256::from(5), 0, 2), Some(i256::from(500)));
/// ```
pub fn rescale(digits: i256, from: i8, to: i8) -> Option<i256> {
    let (from, to) = (i32::from(from), i32::from(to));
    match power_of_ten(from.abs_diff(to)) {
        Some(power) if to >= from => digits.checked_mul(power),
        Some(power) => {
            let (quotient, rest) = (digits.wrapping_div(power), digits.wrapping_rem(power).wrapping_abs());
            // Twice the rest may not fit where the rest does.
            if rest < power.wrapping_sub(rest) {
                return Some(quotient);
            }
            let one = if digits.is_negative() { i256::MINUS_ONE } else { i256::ONE };
            Some(quotient.wrapping_add(one))
        }
        None => Wide::from(digits).rescaled(from, to).to_i256(),
    }
}

/// The whole part of a decimal, truncated toward zero; `None` beyond 256 bits.
pub fn truncate(digits: i256, scale: i8) -> Option<i256> {
    let power = power_of_ten(u32::from(scale.unsigned_abs()));
    match scale {
        ..=0 => digits.checked_mul(power?),
        // A power beyond 256 bits is larger than any digits.
        _ => Some(power.map_or(i256::ZERO, |power| digits.wrapping_div(power))),
    }
}

/// The digits of `left op right`, exact and then rounded to `scale`; `None` when they exceed 256 bits, when the
/// operator is no arithmetic, and when the divisor is zero.
pub fn compute(op: BinaryOp, left: (i256, i8), right: (i256, i8), scale: i8) -> Option<i256> {
    let ((a, s1), (b, s2)) = (left, right);
    let (s1, s2, scale) = (i32::from(s1), i32::from(s2), i32::from(scale));
    let aligned = s1.max(s2);
    let (a, b) = (Wide::from(a), Wide::from(b));
    let exact = match op {
        BinaryOp::Add => (a.rescaled(s1, aligned).plus(b.rescaled(s2, aligned))).rescaled(aligned, scale),
        BinaryOp::Sub => {
            (a.rescaled(s1, aligned).plus(b.rescaled(s2, aligned).negated())).rescaled(aligned, scale)
        }
        BinaryOp::Mul => a.times(b).rescaled(s1 + s2, scale),
        BinaryOp::Div => {
            let shift = scale + s2 - s1;
            let (dividend, divisor) = (a.rescaled(0, shift.max(0)), b.rescaled(0, (-shift).max(0)));
            dividend.divided_by(divisor)?
        }
        BinaryOp::Mod => {
            a.rescaled(s1, aligned).remainder_of(b.rescaled(s2, aligned))?.rescaled(aligned, scale)
        }
        _ => return None,
    };
    exact.to_i256()
}

#[cfg(test)]
mod tests;
