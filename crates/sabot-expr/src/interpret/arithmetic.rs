//! Arithmetic of two scalars of one type.
//!
//! Integers are computed in 128 bits and then have to fit their type, which is the definition of
//! overflow and not an optimisation. Floats follow IEEE 754 in their own width: division by zero gives
//! an infinity or NaN and never an error.

use arrow::datatypes::DataType;

use crate::error::RowErrorKind;
use crate::expr::BinaryOp;
use crate::scalar::Scalar;

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
        _ => match (left.as_integer(), right.as_integer()) {
            (Some(a), Some(b)) => integer(op, a, b, data_type),
            _ => Ok(Scalar::Null(data_type.clone())),
        },
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
        other => {
            let Some(value) = other.as_integer() else { return Ok(Scalar::Null(data_type.clone())) };
            Scalar::from_integer(-value, data_type).ok_or_else(|| RowErrorKind::Overflow {
                op: "-",
                left: value.to_string(),
                right: None,
                data_type: data_type.clone(),
            })
        }
    }
}
