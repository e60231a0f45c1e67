//! What a cast does to a value: the one rule, for the interpreter and for every backend.
//!
//! Which casts exist is said by [`can_cast`](crate::types::rules::can_cast). A value without counterpart
//! is an error of its row for CAST and null for TRY_CAST; null stays null.
//!
//! | from → to | rule | no counterpart |
//! |---|---|---|
//! | integer → integer | same value | outside the range |
//! | integer → float, float64 → float32 | nearest value, ties to even; float64 beyond float32 is ±∞ | never |
//! | float → integer | truncated toward zero | NaN, ±∞, outside the range |
//! | bool → number | 1 or 0 | never |
//! | number → bool | false for zero (also −0.0), else true (also NaN) | never |
//! | string → integer | optional sign, decimal digits | any other text, outside the range |
//! | string → float | decimal or exponent form, `inf`, `infinity`, `nan`; nearest value | any other text |
//! | string → bool | `true t yes y on 1`, `false f no n off 0`, any letter case | any other text |
//! | string → date32, timestamp | ISO 8601, see [`parse_date`] and [`parse_timestamp`] | any other text, outside the range |
//! | bool, integer → string | `true`, `false`; decimal digits | never |
//! | float → string | shortest text that reads back to the value: `1.0`, `1e16`, `NaN`, `inf` | never |
//! | date32, timestamp → string | ISO 8601, see [`format_date`] and [`format_timestamp`] | never |
//! | timestamp → finer unit | same point in time | beyond 64 bits |
//! | timestamp → coarser unit | floored, also before 1970 | never |
//! | date32 → timestamp | midnight UTC | beyond 64 bits |
//! | timestamp → date32 | the day it lies in (floored) | beyond 32 bits |
//! | int64 ↔ timestamp, int32 ↔ date32 | the count itself | never |
//!
//! ASCII whitespace around a text is ignored. Arrow's cast kernels agree except here: they truncate
//! timestamps before 1970 toward zero where this floors; they read more forms of dates and timestamps
//! than ISO 8601, and timestamps only between 1677 and 2262; they cannot print dates and times beyond
//! the year ±262,142, nor take the date or change the zone of such timestamps. A backend that uses them must treat these itself.

use arrow::array::{ArrayRef, Float32Array, Float64Array};
use arrow::datatypes::DataType;
use arrow::util::display::array_value_to_string;
use std::sync::Arc;

use crate::scalar::Scalar;
use crate::temporal::{
    convert_unit, date_to_timestamp, format_date, format_timestamp, parse_date, parse_timestamp,
    timestamp_to_date,
};
use crate::types::is_integer;

/// The value as another type; `None` when it has no counterpart there, or when there is no such cast.
///
/// ```
/// use arrow::datatypes::DataType;
/// use sabot_expr::{Scalar, cast::cast_scalar};
/// assert_eq!(cast_scalar(&Scalar::Float64(-1.9), &DataType::Int8), Some(Scalar::Int8(-1)));
/// assert_eq!(cast_scalar(&Scalar::Int32(300), &DataType::UInt8), None);
/// assert_eq!(cast_scalar(&Scalar::from(" 42 "), &DataType::Int64), Some(Scalar::Int64(42)));
/// ```
pub fn cast_scalar(value: &Scalar, to: &DataType) -> Option<Scalar> {
    if value.data_type() == *to {
        return Some(value.clone());
    }
    match value {
        Scalar::Null(_) => Some(Scalar::Null(to.clone())),
        Scalar::Boolean(value) => from_bool(*value, to),
        Scalar::Float32(value) => {
            from_float(f64::from(*value), to).or_else(|| text(float32_text(*value), to))
        }
        Scalar::Float64(value) => from_float(*value, to).or_else(|| text(float64_text(*value), to)),
        Scalar::Utf8(value) | Scalar::LargeUtf8(value) => from_text(value, to),
        Scalar::Date32(days) => match to {
            DataType::Int32 => Some(Scalar::Int32(*days)),
            DataType::Timestamp(unit, _) => date_to_timestamp(*days, *unit).and_then(|v| timestamp(v, to)),
            _ => text(format_date(*days), to),
        },
        Scalar::Timestamp { value, unit, zone } => match to {
            DataType::Int64 => Some(Scalar::Int64(*value)),
            DataType::Date32 => timestamp_to_date(*value, *unit).map(Scalar::Date32),
            DataType::Timestamp(wanted, _) => {
                convert_unit(*value, *unit, *wanted).and_then(|v| timestamp(v, to))
            }
            _ => text(format_timestamp(*value, *unit, zone.as_deref()), to),
        },
        Scalar::Decimal128 { .. } => None,
        integer => from_integer(integer, to),
    }
}

fn timestamp(value: i64, to: &DataType) -> Option<Scalar> {
    match to {
        DataType::Timestamp(unit, zone) => Some(Scalar::Timestamp { value, unit: *unit, zone: zone.clone() }),
        _ => None,
    }
}

fn text(value: String, to: &DataType) -> Option<Scalar> {
    match to {
        DataType::Utf8 => Some(Scalar::Utf8(value.into())),
        DataType::LargeUtf8 => Some(Scalar::LargeUtf8(value.into())),
        _ => None,
    }
}

fn from_bool(value: bool, to: &DataType) -> Option<Scalar> {
    match to {
        DataType::Float32 => Some(Scalar::Float32(f32::from(value))),
        DataType::Float64 => Some(Scalar::Float64(f64::from(value))),
        number if is_integer(number) => Scalar::from_integer(i128::from(value), number),
        _ => text(value.to_string(), to),
    }
}

fn from_integer(scalar: &Scalar, to: &DataType) -> Option<Scalar> {
    let value = scalar.as_integer()?;
    match to {
        DataType::Boolean => Some(Scalar::Boolean(value != 0)),
        // Both conversions round to nearest, ties to even. Widened first, the value is still exact.
        DataType::Float32 => Some(Scalar::Float32(value as f32)),
        DataType::Float64 => Some(Scalar::Float64(value as f64)),
        DataType::Timestamp(_, _) => match scalar {
            Scalar::Int64(count) => timestamp(*count, to),
            _ => None,
        },
        DataType::Date32 => match scalar {
            Scalar::Int32(days) => Some(Scalar::Date32(*days)),
            _ => None,
        },
        number if is_integer(number) => Scalar::from_integer(value, number),
        _ => text(value.to_string(), to),
    }
}

/// Casts to numbers and bool; a float32 is widened first, which is exact.
fn from_float(value: f64, to: &DataType) -> Option<Scalar> {
    match to {
        DataType::Boolean => Some(Scalar::Boolean(value != 0.0)),
        DataType::Float32 => Some(Scalar::Float32(value as f32)),
        DataType::Float64 => Some(Scalar::Float64(value)),
        number if is_integer(number) => {
            // Every integer type lies far inside ±1e30, and i128 holds every whole float below that.
            let whole = value.trunc();
            if whole.abs() < 1e30 { Scalar::from_integer(whole as i128, number) } else { None }
        }
        _ => None,
    }
}

fn from_text(value: &Arc<str>, to: &DataType) -> Option<Scalar> {
    let trimmed = value.trim_ascii();
    match to {
        DataType::Utf8 => Some(Scalar::Utf8(value.clone())),
        DataType::LargeUtf8 => Some(Scalar::LargeUtf8(value.clone())),
        DataType::Boolean => parse_bool(trimmed).map(Scalar::Boolean),
        DataType::Float32 => trimmed.parse().ok().map(Scalar::Float32),
        DataType::Float64 => trimmed.parse().ok().map(Scalar::Float64),
        DataType::Date32 => parse_date(trimmed).map(Scalar::Date32),
        DataType::Timestamp(unit, _) => parse_timestamp(trimmed, *unit).and_then(|v| timestamp(v, to)),
        number if is_integer(number) => Scalar::from_integer(trimmed.parse().ok()?, number),
        _ => None,
    }
}

/// A truth value by the words that casts know; `None` for any other text.
pub fn parse_bool(text: &str) -> Option<bool> {
    let text = text.to_ascii_lowercase();
    match text.as_str() {
        "true" | "t" | "yes" | "y" | "on" | "1" => Some(true),
        "false" | "f" | "no" | "n" | "off" | "0" => Some(false),
        _ => None,
    }
}

fn float32_text(value: f32) -> String {
    shown(&(Arc::new(Float32Array::from(vec![value])) as ArrayRef)).unwrap_or_else(|| value.to_string())
}

fn float64_text(value: f64) -> String {
    shown(&(Arc::new(Float64Array::from(vec![value])) as ArrayRef)).unwrap_or_else(|| value.to_string())
}

/// The only value of an array as Arrow prints it.
fn shown(array: &ArrayRef) -> Option<String> {
    array_value_to_string(array, 0).ok()
}

#[cfg(test)]
mod tests;
