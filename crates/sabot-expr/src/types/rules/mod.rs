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
//! | float16, float16 and float32, float32 | the wider; arithmetic and comparison compute a float16 as float32 |
//! | any float with any other number | float64 |
//! | decimals, and decimals with integers | the decimal that holds both exactly, see [`decimal`]; arithmetic has types of its own |
//! | strings, dictionaries of strings | large_utf8 if one is, else utf8_view if one is, else utf8 |
//! | binaries | large_binary if one is, else binary_view if one is, else binary; of one fixed size that size |
//! | date32 and date64 | date64 |
//! | a date and a timestamp | the timestamp, with a date64 at least in ms; the date is its midnight in UTC |
//! | timestamps | the finer unit, the zone of the first; one without zone meets one in UTC, not one in another zone |
//! | times of day, durations | the finer unit |
//! | intervals | interval(month_day_nano) |
//! | NULL and any type | that type |
//! | any other | only with exactly their own type |
//!
//! An integer of 64 bits loses digits beyond 2⁵³ when it meets a float, as in SQL. Casting a date or a
//! timestamp to a finer unit can overflow, which is an error of the row.
//!
//! **Comparison** is defined for all types but maps and unions, and what holds one: [`is_comparable`]. Intervals of
//! days and of nanoseconds know only `=` and `<>`: a day has no fixed length, so that they have no order. Lists
//! compare item by item, structs field by field; a null inside of them equals a null and is greater than
//! everything else.
//!
//! **Arithmetic with time**:
//!
//! | operation | result |
//! |---|---|
//! | timestamp ± duration | the timestamp, in the finer unit |
//! | timestamp ± interval | the same type: months first, on the calendar, where a day that the month does not have becomes its last; then days, then the rest. In UTC only |
//! | date ± duration, date ± interval | the same from midnight on, as timestamp in the unit of the duration, or in µs |
//! | timestamp − timestamp, date − date, one of each | duration in their common unit; of two dates in seconds |
//! | duration ± duration | duration in the finer unit |
//! | interval ± interval | interval(month_day_nano), part by part |
//! | duration or interval × integer | the same, part by part |
//! | −duration, −interval | the same |
//!
//! A result outside the range of its type is an error of the row. What a duration is finer than a unit is floored.
//!
//! **Literals adapt.** Next to something that is not a literal, a literal takes the other's type if its
//! value exists there exactly, so that `int8_column + 1` stays int8:
//!
//! - an integer becomes any integer type that it fits, any float type that holds it exactly, and any decimal type that
//!   has its digits;
//! - a string becomes any string type; next to a date, a time of day, a timestamp or a decimal it is parsed (a
//!   timestamp without offset by the clocks of the other's zone), and refused when it is none;
//! - a date becomes a timestamp, and a timestamp, a time of day or a duration another unit, if it fits exactly;
//!   a decimal another decimal;
//! - NULL becomes any type.
//!
//! A float literal keeps its width: `float32_column * 0.5` is float64, `float32_column * 0.5f32` is
//! float32. A literal that does not fit meets the other by the table above: `int8_column > 1000i32`
//! compares as int32. `lit(1).cast(Int64)` is not a literal and keeps its type. Two literals meet by
//! the table.
//!
//! **Casts** are listed by [`can_cast`]; what they do to values is said in [`cast`](crate::cast).

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};

use super::{
    decoded_type, is_binary, is_decimal, is_float, is_integer, is_numeric, is_plain_string,
    is_signed_integer, is_utc, list_item,
};
use crate::cast::{cast_scalar, parse_interval_as};
use crate::decimal;
use crate::scalar::{Float16, Scalar};
use crate::temporal::{self, Zone};

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
    use DataType::{
        Binary, BinaryView, Date32, Date64, Duration, Float16, Float32, Float64, Interval, LargeBinary,
        LargeUtf8, Null, Time32, Time64, Timestamp, Utf8, Utf8View,
    };
    let (left, right) = (decoded_type(left), decoded_type(right));
    Some(match (left, right) {
        (a, b) if a == b => a.clone(),
        (Null, other) | (other, Null) => other.clone(),
        (a, b) if is_integer(a) && is_integer(b) => return common_integer(a, b),
        (Float16, Float32) | (Float32, Float16) => Float32,
        (a, b) if is_any_number(a) && is_any_number(b) && (is_any_float(a) || is_any_float(b)) => Float64,
        (a, b) if is_any_number(a) && is_any_number(b) => {
            return decimal::common_decimal(&decimal::decimal_of(a)?, &decimal::decimal_of(b)?);
        }
        (LargeUtf8, b) | (b, LargeUtf8) if is_plain_string(b) => LargeUtf8,
        (Utf8View, b) | (b, Utf8View) if is_plain_string(b) => Utf8View,
        (Utf8, Utf8) => Utf8,
        (LargeBinary, b) | (b, LargeBinary) if is_binary(b) => LargeBinary,
        (BinaryView, b) | (b, BinaryView) if is_binary(b) => BinaryView,
        (a, b) if is_binary(a) && is_binary(b) => Binary,
        (Date32, Date64) | (Date64, Date32) => Date64,
        (Date32, Timestamp(unit, zone)) | (Timestamp(unit, zone), Date32) if is_utc(zone.as_deref()) => {
            Timestamp(*unit, zone.clone())
        }
        (Date64, Timestamp(unit, zone)) | (Timestamp(unit, zone), Date64) if is_utc(zone.as_deref()) => {
            Timestamp(finer(*unit, TimeUnit::Millisecond), zone.clone())
        }
        (Timestamp(a, zone), Timestamp(b, other)) if zones_meet(zone.as_deref(), other.as_deref()) => {
            Timestamp(finer(*a, *b), zone.clone())
        }
        (Time32(a) | Time64(a), Time32(b) | Time64(b)) => time_type(finer(*a, *b)),
        (Duration(a), Duration(b)) => Duration(finer(*a, *b)),
        (Interval(_), Interval(_)) => Interval(IntervalUnit::MonthDayNano),
        _ => return None,
    })
}

/// Whether the type is a number of any kind.
pub(crate) fn is_any_number(data_type: &DataType) -> bool {
    is_numeric(data_type) || is_decimal(data_type) || *data_type == DataType::Float16
}

pub(crate) fn is_any_float(data_type: &DataType) -> bool {
    is_float(data_type) || *data_type == DataType::Float16
}

/// The type of a time of day in a unit.
pub(crate) fn time_type(unit: TimeUnit) -> DataType {
    match unit {
        TimeUnit::Second | TimeUnit::Millisecond => DataType::Time32(unit),
        TimeUnit::Microsecond | TimeUnit::Nanosecond => DataType::Time64(unit),
    }
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

pub(crate) fn finer(a: TimeUnit, b: TimeUnit) -> TimeUnit {
    if temporal::units_per_second(a) >= temporal::units_per_second(b) { a } else { b }
}

/// Whether timestamps of two zones count the same thing. With a zone they are points in time; without
/// one they are read as UTC, which is a guess that must not be mixed with another zone.
pub(crate) fn zones_meet(a: Option<&str>, b: Option<&str>) -> bool {
    match (a, b) {
        (None, zone) | (zone, None) => is_utc(zone),
        (Some(_), Some(_)) => true,
    }
}

/// Whether values of a type can be compared for equality, by `=`, `<>` and IN: all but maps, unions, and what
/// holds one.
pub fn is_comparable(data_type: &DataType) -> bool {
    match decoded_type(data_type) {
        DataType::Null | DataType::Map(..) | DataType::Union(..) => false,
        DataType::Struct(fields) => fields.iter().all(|field| is_comparable(field.data_type())),
        other => list_item(other).is_none_or(|item| is_comparable(item.data_type())),
    }
}

/// Whether values of a type have an order, for `<` and the like and BETWEEN: the comparable ones without an interval of
/// days.
pub fn is_ordered(data_type: &DataType) -> bool {
    match decoded_type(data_type) {
        DataType::Interval(IntervalUnit::DayTime | IntervalUnit::MonthDayNano) => false,
        DataType::Struct(fields) => fields.iter().all(|field| is_ordered(field.data_type())),
        other => is_comparable(other) && list_item(other).is_none_or(|item| is_ordered(item.data_type())),
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
        Scalar::Null(own) if *own == DataType::Null || (is_any_number(own) && is_any_number(to)) => {
            Adapted::Value(Scalar::Null(to.clone()))
        }
        Scalar::Utf8(text) | Scalar::LargeUtf8(text) | Scalar::Utf8View(text) => adapt_text(text, to),
        Scalar::Date32(days) => match to {
            DataType::Timestamp(unit, zone) if is_utc(zone.as_deref()) => {
                value_or_keep(Zone::UTC.midnight(*days, *unit).map(|v| timestamp(v, to)))
            }
            DataType::Date64 => value_or_keep(cast_scalar(literal, to)),
            _ => Adapted::Keeps,
        },
        Scalar::Timestamp { zone, .. } => match to {
            DataType::Timestamp(_, other) if zones_meet(zone.as_deref(), other.as_deref()) => {
                value_or_keep(exactly(literal, to))
            }
            _ => Adapted::Keeps,
        },
        Scalar::Time { .. } if matches!(to, DataType::Time32(_) | DataType::Time64(_)) => {
            value_or_keep(exactly(literal, to))
        }
        Scalar::Duration { .. } if matches!(to, DataType::Duration(_)) => value_or_keep(exactly(literal, to)),
        Scalar::IntervalYearMonth(_)
        | Scalar::IntervalDayTime { .. }
        | Scalar::IntervalMonthDayNano { .. }
            if matches!(to, DataType::Interval(_)) =>
        {
            value_or_keep(cast_scalar(literal, to))
        }
        number => match (number.as_integer(), number.as_decimal()) {
            (Some(value), _) if is_integer(to) => value_or_keep(Scalar::from_integer(value, to)),
            (Some(value), _) if is_any_float(to) => value_or_keep(exact_float(value, to)),
            (Some(_), _) if is_decimal(to) => value_or_keep(exactly(number, to)),
            (_, Some(_)) if is_decimal(to) => value_or_keep(exactly(number, to)),
            _ => Adapted::Keeps,
        },
    }
}

/// The literal as another type, if it comes back from there as the same.
fn exactly(literal: &Scalar, to: &DataType) -> Option<Scalar> {
    let value = cast_scalar(literal, to)?;
    (cast_scalar(&value, &literal.data_type()).as_ref() == Some(literal)).then_some(value)
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
        DataType::Utf8View => Some(Scalar::Utf8View(text.clone())),
        DataType::Date32 => temporal::parse_date(text).map(Scalar::Date32),
        DataType::Timestamp(unit, zone) => match Zone::of(zone.as_deref()) {
            Some(zone) => temporal::parse_timestamp(text, *unit, &zone).map(|v| timestamp(v, to)),
            None => return Adapted::Keeps,
        },
        DataType::Date64 | DataType::Time32(_) | DataType::Time64(_) => {
            cast_scalar(&Scalar::Utf8(text.clone()), to)
        }
        DataType::Interval(_) => parse_interval_as(text, to),
        // Digits that the type does not have would be rounded off without a word.
        decimal if is_decimal(decimal) => {
            let digits = text.split_once(['e', 'E']).map_or(&**text, |(digits, _)| digits);
            let fraction = digits.split_once('.').map_or(0, |(_, fraction)| fraction.len());
            let (_, scale) = decimal::precision_and_scale(decimal).unwrap_or((1, 0));
            let exact =
                digits.len() == text.len() && i64::try_from(fraction).is_ok_and(|f| f <= i64::from(scale));
            cast_scalar(&Scalar::Utf8(text.clone()), to).filter(|_| exact)
        }
        _ => return Adapted::Keeps,
    };
    parsed.map_or(Adapted::Unreadable, Adapted::Value)
}

/// The integer as a float that is exactly equal to it: every integer up to two to the number of
/// mantissa bits is one.
fn exact_float(value: i128, to: &DataType) -> Option<Scalar> {
    match to {
        DataType::Float16 if value.unsigned_abs() <= 1 << Float16::MANTISSA_DIGITS => {
            Some(Scalar::Float16(Float16::from_f32(value as f32)))
        }
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
/// - numbers of all kinds and bool to each other, and to and from strings;
/// - strings to and from dates, times of day, timestamps, durations and intervals, to binaries and back, and to
///   each other; dictionaries and runs as their values;
/// - dates and timestamps to each other; timestamps to another unit or zone, which changes no point in
///   time (but not between no zone and a zone other than UTC);
/// - a timestamp to its time of day; times of day and durations to another unit; intervals to each other;
/// - int64 to and from timestamps, date64, time64 and durations, int32 to and from date32 and time32: the count
///   itself;
/// - every type to itself, and NULL to every type.
pub fn can_cast(from: &DataType, to: &DataType) -> bool {
    use DataType::{
        Boolean, Date32, Date64, Duration, Int32, Int64, Interval, Null, Time32, Time64, Timestamp,
    };
    if from == to {
        return true;
    }
    let number = |t: &DataType| is_any_number(t) || *t == Boolean;
    match (decoded_type(from), to) {
        (Null, _) => true,
        (a, b) if a == b => true,
        (a, b) if (number(a) || is_plain_string(a)) && (number(b) || is_plain_string(b)) => true,
        (a, b) if (is_binary(a) || is_plain_string(a)) && (is_binary(b) || is_plain_string(b)) => true,
        (Date32 | Time32(_), Int32) | (Int32, Date32 | Time32(_)) => true,
        (Date64 | Time64(_) | Timestamp(_, _) | Duration(_), Int64) => true,
        (Int64, Date64 | Time64(_) | Timestamp(_, _) | Duration(_)) => true,
        (Timestamp(_, a), Timestamp(_, b)) => zones_meet(a.as_deref(), b.as_deref()),
        (Timestamp(_, zone), Time32(_) | Time64(_)) => Zone::of(zone.as_deref()).is_some(),
        (Timestamp(_, zone), other) | (other, Timestamp(_, zone)) => {
            let on_a_clock = is_plain_string(other) || matches!(other, Date32 | Date64);
            on_a_clock && Zone::of(zone.as_deref()).is_some()
        }
        (Date32, Date64) | (Date64, Date32) | (Duration(_), Duration(_)) | (Interval(_), Interval(_)) => true,
        (Time32(_) | Time64(_), Time32(_) | Time64(_)) => true,
        (a, b) => {
            let span = |t: &DataType| {
                matches!(t, Date32 | Date64 | Time32(_) | Time64(_) | Duration(_) | Interval(_))
            };
            (span(a) && is_plain_string(b)) || (is_plain_string(a) && span(b))
        }
    }
}

/// Whether every value of one type has a counterpart in the other, so that the cast cannot fail. Only
/// for pairs that [`can_cast`] allows.
pub fn cast_is_total(from: &DataType, to: &DataType) -> bool {
    use DataType::{Boolean, Date32, Date64, Duration, Interval, Null, Time32, Time64, Timestamp};
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    let from = decoded_type(from);
    match (from, to) {
        (a, b) if a == b || *a == Null => true,
        (a, b) if is_plain_string(b) => !is_binary(a),
        (a, b) if is_binary(b) => {
            !matches!(b, DataType::FixedSizeBinary(_)) && (is_binary(a) || is_plain_string(a))
        }
        (a, Boolean) => is_any_number(a),
        (a, b) if is_any_float(b) => is_any_number(a) || *a == Boolean,
        (Boolean, b) if is_decimal(b) => {
            decimal::precision_and_scale(b).is_some_and(|(p, s)| i16::from(p) > i16::from(s))
        }
        (Boolean, _) => true,
        (a, b) if is_decimal(b) => decimal::decimal_of(a).is_some_and(|a| decimal::holds(b, &a)),
        (a, b) if is_integer(a) && is_integer(b) => common_integer(a, b).as_ref() == Some(b),
        (Timestamp(a, _), Timestamp(b, _)) | (Duration(a), Duration(b)) => finer(*a, *b) == *a,
        (Time32(_), Time64(_)) | (Time32(Millisecond), Time32(_)) | (Time64(Nanosecond), Time64(_)) => true,
        (Timestamp(unit, _), Date32 | Date64) => matches!(unit, Microsecond | Nanosecond),
        (Timestamp(_, _), Time32(_) | Time64(_)) => true,
        // A zone may skip a day.
        (Date32 | Date64, Timestamp(unit, zone)) => {
            matches!(unit, Second | Millisecond) && is_utc(zone.as_deref())
        }
        (Date32, Date64) => true,
        (Interval(a), Interval(b)) => *a != IntervalUnit::MonthDayNano && *b == IntervalUnit::MonthDayNano,
        // The count itself.
        (Timestamp(..) | Date32 | Date64 | Time32(_) | Time64(_) | Duration(_), b) => is_integer(b),
        (a, Timestamp(..) | Date32 | Date64 | Time32(_) | Time64(_) | Duration(_)) => is_integer(a),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
