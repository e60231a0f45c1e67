//! Arithmetic of two scalars: of one number type, of decimals, of times and spans.
//!
//! Integers are computed in 128 bits and then have to fit their type, which is the definition of
//! overflow and not an optimisation. Floats follow IEEE 754 in their own width: division by zero gives
//! an infinity or NaN and never an error.

use arrow::datatypes::{DataType, i256};

use crate::decimal::{compute, precision_and_scale};
use crate::error::RowErrorKind;
use crate::expr::BinaryOp;
use crate::scalar::Scalar;
use crate::temporal::{Interval, add_interval};

/// The result of an arithmetic operator; null when an operand is null.
pub(super) fn binary(
    op: BinaryOp,
    left: &Scalar,
    right: &Scalar,
    data_type: &DataType,
) -> Result<Scalar, RowErrorKind> {
    match (left, right) {
        (Scalar::Float32(a), Scalar::Float32(b)) => Ok(float32(op, *a, *b)),
        (Scalar::Float64(a), Scalar::Float64(b)) => Ok(float64(op, *a, *b)),
        (left, right) if left.is_null() || right.is_null() => Ok(Scalar::Null(data_type.clone())),
        _ => match (left.as_integer(), right.as_integer(), left.as_decimal(), right.as_decimal()) {
            (Some(a), Some(b), ..) => integer(op, a, b, data_type),
            (.., Some(a), Some(b)) => decimal(op, (left, a), (right, b), data_type),
            _ => time(op, left, right, data_type),
        },
    }
}

fn decimal(
    op: BinaryOp,
    (left, a): (&Scalar, (i256, i8)),
    (right, b): (&Scalar, (i256, i8)),
    data_type: &DataType,
) -> Result<Scalar, RowErrorKind> {
    if matches!(op, BinaryOp::Div | BinaryOp::Mod) && b.0 == i256::ZERO {
        return Err(RowErrorKind::DivisionByZero { op: op.symbol(), left: left.to_string() });
    }
    let (_, scale) = precision_and_scale(data_type).unwrap_or((1, 0));
    let digits = compute(op, a, b, scale);
    digits
        .and_then(|digits| Scalar::from_decimal(digits, data_type))
        .ok_or_else(|| overflow(op, left, right, data_type))
}

/// Points in time and spans of time, of the types that the resolver lets through.
fn time(op: BinaryOp, left: &Scalar, right: &Scalar, data_type: &DataType) -> Result<Scalar, RowErrorKind> {
    let sign = if op == BinaryOp::Sub { -1 } else { 1 };
    if let (Scalar::Duration { .. }, Some(0), BinaryOp::Div) = (left, right.as_integer(), op) {
        return Err(RowErrorKind::DivisionByZero { op: op.symbol(), left: left.to_string() });
    }
    let result = match (left, right) {
        (Scalar::Timestamp { value, unit, zone }, other) => match other {
            Scalar::Timestamp { value: before, .. } => {
                value.checked_sub(*before).map(|value| Scalar::Duration { value, unit: *unit })
            }
            span => match (span, span.as_interval()) {
                (Scalar::Duration { value: span, .. }, _) => {
                    i64::try_from(i128::from(*value) + sign * i128::from(*span)).ok()
                }
                (_, Some(span)) => add_interval(*value, *unit, span, if sign < 0 { -1 } else { 1 }),
                _ => None,
            }
            .map(|value| Scalar::Timestamp { value, unit: *unit, zone: zone.clone() }),
        },
        (Scalar::Duration { value, unit }, other) => match (op, other, other.as_integer()) {
            (BinaryOp::Add, Scalar::Duration { value: b, .. }, _) => value.checked_add(*b),
            (BinaryOp::Sub, Scalar::Duration { value: b, .. }, _) => value.checked_sub(*b),
            (BinaryOp::Mul, _, Some(factor)) => {
                i128::from(*value).checked_mul(factor).and_then(|v| i64::try_from(v).ok())
            }
            (BinaryOp::Div, _, Some(factor)) => i64::try_from(i128::from(*value) / factor).ok(),
            _ => None,
        }
        .map(|value| Scalar::Duration { value, unit: *unit }),
        _ => match (left.as_interval(), right.as_interval(), right.as_integer()) {
            (Some(a), Some(b), _) if op == BinaryOp::Add => a.zip(b, i64::checked_add),
            (Some(a), Some(b), _) if op == BinaryOp::Sub => a.zip(b, i64::checked_sub),
            (Some(a), _, Some(factor)) => i64::try_from(factor).ok().and_then(|factor| a.times(factor)),
            _ => None,
        }
        .map(interval),
    };
    result.ok_or_else(|| overflow(op, left, right, data_type))
}

fn interval(span: Interval) -> Scalar {
    Scalar::IntervalMonthDayNano { months: span.months, days: span.days, nanoseconds: span.nanoseconds }
}

fn overflow(op: BinaryOp, left: &Scalar, right: &Scalar, data_type: &DataType) -> RowErrorKind {
    RowErrorKind::Overflow {
        op: op.symbol(),
        left: left.to_string(),
        right: Some(right.to_string()),
        data_type: data_type.clone(),
    }
}

fn float32(op: BinaryOp, a: f32, b: f32) -> Scalar {
    match op {
        BinaryOp::Add => Scalar::Float32(a + b),
        BinaryOp::Sub => Scalar::Float32(a - b),
        BinaryOp::Mul => Scalar::Float32(a * b),
        BinaryOp::Div => Scalar::Float32(a / b),
        BinaryOp::Mod => Scalar::Float32(a % b),
        _ => Scalar::Null(DataType::Float32),
    }
}

fn float64(op: BinaryOp, a: f64, b: f64) -> Scalar {
    match op {
        BinaryOp::Add => Scalar::Float64(a + b),
        BinaryOp::Sub => Scalar::Float64(a - b),
        BinaryOp::Mul => Scalar::Float64(a * b),
        BinaryOp::Div => Scalar::Float64(a / b),
        BinaryOp::Mod => Scalar::Float64(a % b),
        _ => Scalar::Null(DataType::Float64),
    }
}

fn integer(op: BinaryOp, a: i128, b: i128, data_type: &DataType) -> Result<Scalar, RowErrorKind> {
    let division = matches!(op, BinaryOp::Div | BinaryOp::Mod);
    if division && b == 0 {
        return Err(RowErrorKind::DivisionByZero { op: op.symbol(), left: a.to_string() });
    }
    let fits = |value: i128| Scalar::from_integer(value, data_type);
    let result = match op {
        BinaryOp::Add => fits(a + b),
        BinaryOp::Sub => fits(a - b),
        // The product of two uint64 can exceed even 128 signed bits.
        BinaryOp::Mul => a.checked_mul(b).and_then(fits),
        BinaryOp::Div => fits(a / b),
        // A remainder exists exactly when its quotient does: MIN % −1 overflows like MIN / −1.
        BinaryOp::Mod => fits(a / b).and_then(|_| fits(a % b)),
        BinaryOp::WrappingAdd => wrap(a + b, data_type),
        BinaryOp::WrappingSub => wrap(a - b, data_type),
        BinaryOp::WrappingMul => wrap(a.wrapping_mul(b), data_type),
        _ => None,
    };
    result.ok_or_else(|| RowErrorKind::Overflow {
        op: op.symbol(),
        left: a.to_string(),
        right: Some(b.to_string()),
        data_type: data_type.clone(),
    })
}

/// The lowest bits of a value as an integer type: the value modulo two to the width.
fn wrap(value: i128, data_type: &DataType) -> Option<Scalar> {
    Some(match data_type {
        DataType::Int8 => Scalar::Int8(value as i8),
        DataType::Int16 => Scalar::Int16(value as i16),
        DataType::Int32 => Scalar::Int32(value as i32),
        DataType::Int64 => Scalar::Int64(value as i64),
        DataType::UInt8 => Scalar::UInt8(value as u8),
        DataType::UInt16 => Scalar::UInt16(value as u16),
        DataType::UInt32 => Scalar::UInt32(value as u32),
        DataType::UInt64 => Scalar::UInt64(value as u64),
        _ => return None,
    })
}

/// The number with its sign turned.
pub(super) fn negate(value: &Scalar, data_type: &DataType) -> Result<Scalar, RowErrorKind> {
    match value {
        Scalar::Float32(v) => Ok(Scalar::Float32(-v)),
        Scalar::Float64(v) => Ok(Scalar::Float64(-v)),
        Scalar::Duration { value: v, unit } => match v.checked_neg() {
            Some(value) => Ok(Scalar::Duration { value, unit: *unit }),
            None => Err(negative_overflow(value, data_type)),
        },
        other => match (other.as_decimal(), other.as_interval()) {
            (Some((digits, _)), _) => Scalar::from_decimal(digits.wrapping_neg(), data_type)
                .ok_or_else(|| negative_overflow(value, data_type)),
            (_, Some(span)) => {
                span.times(-1).map(interval).ok_or_else(|| negative_overflow(value, data_type))
            }
            _ => unary_integer("-", other, data_type, |v| -v),
        },
    }
}

fn negative_overflow(value: &Scalar, data_type: &DataType) -> RowErrorKind {
    RowErrorKind::Overflow { op: "-", left: value.to_string(), right: None, data_type: data_type.clone() }
}

/// A function of an integer whose result has to fit the type; only `-` and `abs` get here.
fn unary_integer(
    op: &'static str,
    value: &Scalar,
    data_type: &DataType,
    function: impl Fn(i128) -> i128,
) -> Result<Scalar, RowErrorKind> {
    let Some(value) = value.as_integer() else { return Ok(Scalar::Null(data_type.clone())) };
    Scalar::from_integer(function(value), data_type).ok_or_else(|| RowErrorKind::Overflow {
        op,
        left: value.to_string(),
        right: None,
        data_type: data_type.clone(),
    })
}
