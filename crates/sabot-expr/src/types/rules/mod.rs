//! The type rules: which type two operands meet in, what a literal adapts to, which casts there are.
//!
//! **Two operands of different types** (arithmetic, comparison, branches of CASE and COALESCE, IN) meet in
//! their common type, and the resolver casts each to it:
//!
//! | operands | common type |
//! |---|---|
//! | both signed, or both unsigned integers | the wider |
//! | signed and unsigned integer | the narrowest signed type that holds both: `uint8, int8` → int16, `uint8, int32` → int32 |
//! | uint64 and a signed integer | none: nothing holds both; cast one of them |
//! | float32, float32 | float32 |
//! | float64 with any number, float32 with any integer | float64 |
//! | utf8, large_utf8, dictionaries of either | large_utf8 if one is, else utf8 |
//! | date32 and a timestamp | the timestamp; the date is its midnight in UTC |
//! | timestamps | the finer unit, the zone of the first; one without zone meets one in UTC, not one in another zone |
//! | NULL and any type | that type |
//! | bool, decimal128 | only with exactly their own type |
//!
//! An integer of 64 bits loses digits beyond 2⁵³ when it meets a float, as in SQL. Casting a date or a
//! timestamp to a finer unit can overflow, which is an error of the row.
//!
//! **Literals adapt.** Next to something that is not a literal, a literal takes the other's type if its
//! value exists there exactly, so that `int8_column + 1` stays int8:
//!
//! - an integer becomes any integer type that it fits, and any float type that holds it exactly;
//! - a string becomes utf8 or large_utf8; next to a date or timestamp it is parsed, and refused when it
//!   is neither;
//! - a date becomes a timestamp, and a timestamp another unit, if it fits exactly;
//! - NULL becomes any type.
//!
//! A float literal keeps its width: `float32_column * 0.5` is float64, `float32_column * 0.5f32` is
//! float32. A literal that does not fit meets the other by the table above: `int8_column > 1000i32`
//! compares as int32. `lit(1).cast(Int64)` is not a literal and keeps its type. Two literals meet by
//! the table.
//!
//! **Casts** are listed by [`can_cast`]; what they do to values is said in [`cast`](crate::cast).

use arrow::datatypes::{DataType, TimeUnit};

use super::{decoded_type, is_float, is_integer, is_numeric, is_plain_string, is_signed_integer, is_utc};
use crate::scalar::Scalar;
use crate::temporal;

/// The type in which two operands meet, by the table of this module; `None` where there is none.
///
/// ```
/// use arrow::datatypes::DataType::*;
/// use sabot_expr::types::rules::common_type;
/// assert_eq!(common_type(&Int8, &UInt8), Some(Int16));
/// assert_eq!(common_type(&UInt64, &Int8), None);
/// assert_eq!(common_type(&Int32, &Float32), Some(Float64));
/// ```
pub fn common_type(left: &DataType, right: &DataType) -> Option<DataType> {
    use DataType::{Date32, Float32, Float64, LargeUtf8, Null, Timestamp, Utf8};
    let (left, right) = (decoded_type(left), decoded_type(right));
    Some(match (left, right) {
        (a, b) if a == b => a.clone(),
        (Null, other) | (other, Null) => other.clone(),
        (a, b) if is_integer(a) && is_integer(b) => return common_integer(a, b),
        (Float32, Float32) => Float32,
        (a, b) if is_numeric(a) && is_numeric(b) => Float64,
        (Utf8 | LargeUtf8, Utf8 | LargeUtf8) => LargeUtf8,
        (Date32, Timestamp(unit, zone)) | (Timestamp(unit, zone), Date32) if is_utc(zone.as_deref()) => {
            Timestamp(*unit, zone.clone())
        }
        (Timestamp(a, zone), Timestamp(b, other)) if zones_meet(zone.as_deref(), other.as_deref()) => {
            Timestamp(finer(*a, *b), zone.clone())
        }
        _ => return None,
    })
}

/// Bytes of an integer type; 0 for any other.
fn width(data_type: &DataType) -> usize {
    if is_integer(data_type) { data_type.primitive_width().unwrap_or(0) } else { 0 }
}

fn common_integer(left: &DataType, right: &DataType) -> Option<DataType> {
    if is_signed_integer(left) == is_signed_integer(right) {
        return Some(if width(left) >= width(right) { left.clone() } else { right.clone() });
    }
    let (signed, unsigned) = if is_signed_integer(left) { (left, right) } else { (right, left) };
    match width(signed).max(2 * width(unsigned)) {
        2 => Some(DataType::Int16),
        4 => Some(DataType::Int32),
        8 => Some(DataType::Int64),
        _ => None,
    }
}

fn finer(a: TimeUnit, b: TimeUnit) -> TimeUnit {
    if temporal::units_per_second(a) >= temporal::units_per_second(b) { a } else { b }
}

/// Whether timestamps of two zones count the same thing. With a zone they are points in time; without
/// one they are read as UTC, which is a guess that must not be mixed with another zone.
fn zones_meet(a: Option<&str>, b: Option<&str>) -> bool {
    match (a, b) {
        (None, zone) | (zone, None) => is_utc(zone),
        (Some(_), Some(_)) => true,
    }
}

/// What became of a literal that met a type.
#[derive(Clone, Debug, PartialEq)]
pub enum Adapted {
    /// The literal as a value of that type.
    Value(Scalar),
    /// The literal keeps its own type; the table of common types decides.
    Keeps,
    /// The literal is text that had to be a date or timestamp and is neither.
    Unreadable,
}

/// A literal next to an operand of type `to`, by the rules of this module.
pub fn adapt_literal(literal: &Scalar, to: &DataType) -> Adapted {
    let to = decoded_type(to);
    if literal.data_type() == *to {
        return Adapted::Value(literal.clone());
    }
    match literal {
        Scalar::Null(own) if *own == DataType::Null || (is_numeric(own) && is_numeric(to)) => {
            Adapted::Value(Scalar::Null(to.clone()))
        }
        Scalar::Utf8(text) | Scalar::LargeUtf8(text) => adapt_text(text, to),
        Scalar::Date32(days) => match to {
            DataType::Timestamp(unit, zone) if is_utc(zone.as_deref()) => {
                value_or_keep(temporal::date_to_timestamp(*days, *unit).map(|v| timestamp(v, to)))
            }
            _ => Adapted::Keeps,
        },
        Scalar::Timestamp { value, unit, zone } => match to {
            DataType::Timestamp(wanted, other) if zones_meet(zone.as_deref(), other.as_deref()) => {
                let converted = temporal::convert_unit(*value, *unit, *wanted);
                let exact = converted.filter(|v| temporal::convert_unit(*v, *wanted, *unit) == Some(*value));
                value_or_keep(exact.map(|v| timestamp(v, to)))
            }
            _ => Adapted::Keeps,
        },
        number => match number.as_integer() {
            Some(value) if is_integer(to) => value_or_keep(Scalar::from_integer(value, to)),
            Some(value) if is_float(to) => value_or_keep(exact_float(value, to)),
            _ => Adapted::Keeps,
        },
    }
}

fn value_or_keep(value: Option<Scalar>) -> Adapted {
    value.map_or(Adapted::Keeps, Adapted::Value)
}

fn timestamp(value: i64, to: &DataType) -> Scalar {
    match to {
        DataType::Timestamp(unit, zone) => Scalar::Timestamp { value, unit: *unit, zone: zone.clone() },
        other => Scalar::Null(other.clone()),
    }
}

fn adapt_text(text: &std::sync::Arc<str>, to: &DataType) -> Adapted {
    let parsed = match to {
        DataType::Utf8 => Some(Scalar::Utf8(text.clone())),
        DataType::LargeUtf8 => Some(Scalar::LargeUtf8(text.clone())),
        DataType::Date32 => temporal::parse_date(text).map(Scalar::Date32),
        DataType::Timestamp(unit, zone) if is_utc(zone.as_deref()) => {
            temporal::parse_timestamp(text, *unit).map(|v| timestamp(v, to))
        }
        _ => return Adapted::Keeps,
    };
    parsed.map_or(Adapted::Unreadable, Adapted::Value)
}

/// The integer as a float that is exactly equal to it: every integer up to two to the number of
/// mantissa bits is one.
fn exact_float(value: i128, to: &DataType) -> Option<Scalar> {
    match to {
        DataType::Float32 if value.unsigned_abs() <= 1 << f32::MANTISSA_DIGITS => {
            Some(Scalar::Float32(value as f32))
        }
        DataType::Float64 if value.unsigned_abs() <= 1 << f64::MANTISSA_DIGITS => {
            Some(Scalar::Float64(value as f64))
        }
        _ => None,
    }
}

/// Whether there is a cast from one type to another.
///
/// - numbers and bool to each other, and to and from strings;
/// - strings to and from dates and UTC timestamps, and to each other; dictionaries as their strings;
/// - dates and UTC timestamps to each other; timestamps to another unit or zone, which changes no point in
///   time (but not between no zone and a zone other than UTC);
/// - int64 to and from timestamps, int32 to and from dates: the count itself;
/// - every type to itself, which is the only cast of a decimal128, and of a dictionary to a dictionary.
pub fn can_cast(from: &DataType, to: &DataType) -> bool {
    use DataType::{Boolean, Date32, Int32, Int64, Timestamp};
    if from == to {
        return true;
    }
    let number = |t: &DataType| is_numeric(t) || *t == Boolean;
    match (decoded_type(from), to) {
        (a, b) if (number(a) || is_plain_string(a)) && (number(b) || is_plain_string(b)) => true,
        (Date32, Int32) | (Int32, Date32) | (Int64, Timestamp(_, _)) | (Timestamp(_, _), Int64) => true,
        (Timestamp(_, a), Timestamp(_, b)) => zones_meet(a.as_deref(), b.as_deref()),
        (Timestamp(_, zone), other) | (other, Timestamp(_, zone)) => {
            is_utc(zone.as_deref()) && (is_plain_string(other) || *other == Date32)
        }
        (Date32, other) | (other, Date32) => is_plain_string(other),
        _ => false,
    }
}

/// Whether every value of one type has a counterpart in the other, so that the cast cannot fail. Only
/// for pairs that [`can_cast`] allows.
pub fn cast_is_total(from: &DataType, to: &DataType) -> bool {
    use DataType::{Boolean, Date32, Timestamp};
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    let from = decoded_type(from);
    match (from, to) {
        (a, b) if a == b || is_plain_string(b) || *a == Boolean => true,
        (a, Boolean) => is_numeric(a),
        (a, b) if is_integer(a) && is_integer(b) => common_integer(a, b).as_ref() == Some(b),
        (a, b) if is_numeric(a) && is_float(b) => true,
        (Timestamp(a, _), Timestamp(b, _)) => finer(*a, *b) == *a,
        (Timestamp(unit, _), Date32) => matches!(unit, Microsecond | Nanosecond),
        (Date32, Timestamp(unit, _)) => matches!(unit, Second | Millisecond),
        (Timestamp(_, _), b) | (b, Timestamp(_, _)) => is_integer(b),
        (Date32, b) | (b, Date32) => is_integer(b),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
