//! Arrays from scalars: literals in front of vectorised code, and the interpreter's results.

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array, Int16Array,
    Int32Array, Int64Array, LargeStringArray, StringArray, TimestampMicrosecondArray,
    TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray, UInt8Array, UInt16Array,
    UInt32Array, UInt64Array,
};
use arrow::datatypes::{DataType, TimeUnit};
use std::sync::Arc;

use super::Scalar;
use crate::error::ExprError;
use crate::types::type_name;

/// Collects values of one variant; anything but that variant or a null of the type is an error.
macro_rules! collect {
    ($array:ty, $values:expr, $data_type:expr, $pattern:pat $(if $guard:expr)? => $value:expr) => {
        $values
            .map(|scalar| match scalar {
                $pattern $(if $guard)? => Ok(Some($value)),
                Scalar::Null(data_type) if data_type == $data_type => Ok(None),
                other => Err(wrong_type(other, $data_type)),
            })
            .collect::<Result<$array, ExprError>>()?
    };
}

pub(super) fn build<'a>(
    data_type: &DataType,
    values: impl Iterator<Item = &'a Scalar>,
) -> Result<ArrayRef, ExprError> {
    Ok(match data_type {
        DataType::Boolean => Arc::new(collect!(BooleanArray, values, data_type, Scalar::Boolean(v) => *v)),
        DataType::Int8 => Arc::new(collect!(Int8Array, values, data_type, Scalar::Int8(v) => *v)),
        DataType::Int16 => Arc::new(collect!(Int16Array, values, data_type, Scalar::Int16(v) => *v)),
        DataType::Int32 => Arc::new(collect!(Int32Array, values, data_type, Scalar::Int32(v) => *v)),
        DataType::Int64 => Arc::new(collect!(Int64Array, values, data_type, Scalar::Int64(v) => *v)),
        DataType::UInt8 => Arc::new(collect!(UInt8Array, values, data_type, Scalar::UInt8(v) => *v)),
        DataType::UInt16 => Arc::new(collect!(UInt16Array, values, data_type, Scalar::UInt16(v) => *v)),
        DataType::UInt32 => Arc::new(collect!(UInt32Array, values, data_type, Scalar::UInt32(v) => *v)),
        DataType::UInt64 => Arc::new(collect!(UInt64Array, values, data_type, Scalar::UInt64(v) => *v)),
        DataType::Float32 => Arc::new(collect!(Float32Array, values, data_type, Scalar::Float32(v) => *v)),
        DataType::Float64 => Arc::new(collect!(Float64Array, values, data_type, Scalar::Float64(v) => *v)),
        DataType::Utf8 => Arc::new(collect!(StringArray, values, data_type, Scalar::Utf8(v) => &**v)),
        DataType::LargeUtf8 => {
            Arc::new(collect!(LargeStringArray, values, data_type, Scalar::LargeUtf8(v) => &**v))
        }
        DataType::Date32 => Arc::new(collect!(Date32Array, values, data_type, Scalar::Date32(v) => *v)),
        DataType::Decimal128(p, s) => {
            let array = collect!(Decimal128Array, values, data_type,
                Scalar::Decimal128 { value, precision, scale } if precision == p && scale == s => *value);
            let typed = array.with_precision_and_scale(*p, *s);
            Arc::new(typed.map_err(|_| ExprError::unsupported_type(data_type))?)
        }
        DataType::Timestamp(wanted, named) => timestamps(data_type, *wanted, named.as_ref(), values)?,
        other => return Err(ExprError::unsupported_type(other)),
    })
}

fn timestamps<'a>(
    data_type: &DataType,
    wanted: TimeUnit,
    named: Option<&Arc<str>>,
    values: impl Iterator<Item = &'a Scalar>,
) -> Result<ArrayRef, ExprError> {
    macro_rules! of_unit {
        ($array:ty) => {{
            let array = collect!($array, values, data_type,
                Scalar::Timestamp { value, unit, zone } if *unit == wanted && zone.as_ref() == named => *value);
            Arc::new(array.with_timezone_opt(named.cloned()))
        }};
    }
    Ok(match wanted {
        TimeUnit::Second => of_unit!(TimestampSecondArray),
        TimeUnit::Millisecond => of_unit!(TimestampMillisecondArray),
        TimeUnit::Microsecond => of_unit!(TimestampMicrosecondArray),
        TimeUnit::Nanosecond => of_unit!(TimestampNanosecondArray),
    })
}

fn wrong_type(value: &Scalar, wanted: &DataType) -> ExprError {
    ExprError::InvalidLiteral {
        literal: value.to_string(),
        expected: type_name(wanted),
        reason: format!("it is of type {}", type_name(&value.data_type())),
    }
}
