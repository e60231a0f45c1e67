//! What a cast does to a value: the one rule, for the interpreter and for every backend.
//!
//! Which casts exist is said by [`can_cast`]. A value without counterpart
//! is an error of its row for CAST and null for TRY_CAST; null stays null.
//!
//! | from → to | rule | no counterpart |
//! |---|---|---|
//! | integer → integer | same value | outside the range |
//! | integer → float, float64 → float32 | nearest value, ties to even; float64 beyond float32 is ±∞ | never |
//! | any number → float16 | nearest float32, then nearest float16 | never |
//! | float, decimal → integer | truncated toward zero | NaN, ±∞, outside the range |
//! | integer, decimal → decimal | same value, rounded to the scale, halves away from zero | more digits than the precision |
//! | float → decimal | the shortest text that reads back to the float, rounded so | NaN, ±∞, more digits than the precision |
//! | decimal → float | nearest value, ties to even | never |
//! | bool → number | 1 or 0 | more digits than the precision |
//! | number → bool | false for zero (also −0.0), else true (also NaN) | never |
//! | string → integer | optional sign, decimal digits | any other text, outside the range |
//! | string → float | decimal or exponent form, `inf`, `infinity`, `nan`; nearest value | any other text |
//! | string → decimal | decimal or exponent form, rounded to the scale, halves away from zero | any other text, more digits than the precision |
//! | string → bool | `true t yes y on 1`, `false f no n off 0`, any letter case | any other text |
//! | string → date, timestamp, time of day | ISO 8601, see [`parse_date`], [`parse_timestamp`] and [`parse_time`] | any other text, outside the range |
//! | string → duration, interval | see [`parse_duration`] and [`parse_interval`] | any other text, outside the range |
//! | string → binary | its bytes in UTF-8, whitespace included | another length than that of a fixed size |
//! | binary → string | the text | bytes that are no UTF-8 |
//! | binary → binary | the bytes | another length than that of a fixed size |
//! | bool, integer, decimal → string | `true`, `false`; decimal digits, as many after the point as the scale says | never |
//! | float → string | shortest text that reads back to the value: `1.0`, `1e16`, `NaN`, `inf` | never |
//! | date, timestamp, time of day → string | ISO 8601, see [`format_date`], [`format_timestamp`] and [`format_time`] | never |
//! | duration, interval → string | see [`format_duration`] and [`format_interval`] | never |
//! | timestamp, time of day, duration → finer unit | same point in time, same span | beyond 64 bits, beyond 32 of a time32 |
//! | timestamp, time of day, duration → coarser unit | floored, also before 1970 | beyond 32 bits of a time32 |
//! | date → timestamp | midnight; of a date64 the instant that it counts | beyond 64 bits, a day that clocks skip |
//! | timestamp, date64 → date; date32 → date64 | the day it lies in (floored) | beyond the range |
//! | timestamp → time of day | the time since midnight, floored | never |
//! | interval → interval | the same months, days and nanoseconds | parts that the type does not have |
//! | int64 ↔ timestamp, date64, time64, duration; int32 ↔ date32, time32 | the count itself | never |
//!
//! Dates, times of day and texts are what calendar and clocks of a timestamp's zone show, of one without zone those
//! of UTC. Text names the offset as well (`2024-07-01T14:00:00+02:00`), so that it holds the point in time; text
//! that names none, and dates, are read by [`Zone::second_at`]: a time that clocks show twice is the first of both,
//! one that they skip has no counterpart, and a midnight that they skip is the beginning of its day.
//!
//! ASCII whitespace around a text is ignored, but for binaries. Arrow's cast kernels agree except here: they truncate
//! timestamps before 1970 toward zero where this floors; they read more forms of dates and timestamps
//! than ISO 8601, and timestamps only between 1677 and 2262; they cannot print dates and times beyond
//! the year ±262,142, nor take the date or change the zone of such timestamps. A backend that uses them must treat
//! these itself, and for decimals, binaries, times of day, durations and intervals it must use the rules here.

use arrow::array::{ArrayRef, Float32Array, Float64Array};
use arrow::datatypes::{DataType, IntervalUnit, TimeUnit, i256};
use arrow::util::display::array_value_to_string;
use std::sync::Arc;

use crate::decimal::{self, parse_decimal, rescale};
use crate::scalar::{Float16, Scalar};
use crate::temporal::{
    Interval, MILLIS_PER_DAY, Zone, convert_unit, format_date, format_date64, format_duration,
    format_interval, format_time, format_timestamp, parse_date, parse_duration, parse_interval, parse_time,
    parse_timestamp,
};
use crate::types::rules::can_cast;
use crate::types::{is_decimal, is_integer};

/// The value as another type; `None` when it has no counterpart there, or when there is no such cast.
///
/// ```
/// use arrow::datatypes::DataType;
/// use sabot_expr::{Scalar, cast::cast_scalar};
/// assert_eq!(cast_scalar(&Scalar::Float64(-1.9), &DataType::Int8), Some(Scalar::Int8(-1)));
/// assert_eq!(cast_scalar(&Scalar::Int32(300), &DataType::UInt8), None);
/// assert_eq!(cast_scalar(&Scalar::from(" 42 "), &DataType::Int64), Some(Scalar::Int64(42)));
/// assert_eq!(cast_scalar(&Scalar::from("1.255"), &DataType::Decimal128(5, 2)).unwrap().to_string(), "1.26");
/// ```
pub fn cast_scalar(value: &Scalar, to: &DataType) -> Option<Scalar> {
    let from = value.data_type();
    if from == *to {
        return Some(value.clone());
    }
    if let Scalar::Null(_) = value {
        return Some(Scalar::Null(to.clone()));
    }
    if !can_cast(&from, to) {
        return None;
    }
    match value {
        Scalar::Boolean(value) => from_bool(*value, to),
        Scalar::Float16(value) => from_float(value.to_f64(), &value.to_f32(), to)
            .or_else(|| text(to, || float32_text(value.to_f32()))),
        Scalar::Float32(value) => {
            from_float(f64::from(*value), value, to).or_else(|| text(to, || float32_text(*value)))
        }
        Scalar::Float64(value) => from_float(*value, value, to).or_else(|| text(to, || float64_text(*value))),
        Scalar::Utf8(value) | Scalar::LargeUtf8(value) | Scalar::Utf8View(value) => from_text(value, to),
        Scalar::Binary(bytes)
        | Scalar::LargeBinary(bytes)
        | Scalar::BinaryView(bytes)
        | Scalar::FixedSizeBinary(bytes) => from_bytes(bytes, to),
        other => match (other.as_decimal(), other.as_integer()) {
            (Some((digits, scale)), _) => from_decimal(digits, scale, to),
            (_, Some(value)) => from_integer(other, value, to),
            _ => from_time(other, to),
        },
    }
}

fn from_time(value: &Scalar, to: &DataType) -> Option<Scalar> {
    match value {
        Scalar::Date32(days) => match to {
            DataType::Int32 => Some(Scalar::Int32(*days)),
            DataType::Date64 => Some(Scalar::Date64(i64::from(*days) * MILLIS_PER_DAY)),
            DataType::Timestamp(unit, zone) => {
                Zone::of(zone.as_deref())?.midnight(*days, *unit).and_then(|v| timestamp(v, to))
            }
            _ => text(to, || format_date(*days)),
        },
        Scalar::Date64(millis) => match to {
            DataType::Int64 => Some(Scalar::Int64(*millis)),
            DataType::Date32 => i32::try_from(millis.div_euclid(MILLIS_PER_DAY)).ok().map(Scalar::Date32),
            DataType::Timestamp(unit, zone) => {
                let zone = Zone::of(zone.as_deref())?;
                let local = millis.div_euclid(1_000);
                let millis = millis.checked_add((zone.second_at(local)? - local) * 1_000)?;
                convert_unit(millis, TimeUnit::Millisecond, *unit).and_then(|v| timestamp(v, to))
            }
            _ => text(to, || format_date64(*millis)),
        },
        Scalar::Timestamp { value, unit, zone } => match to {
            DataType::Int64 => Some(Scalar::Int64(*value)),
            DataType::Timestamp(wanted, _) => {
                convert_unit(*value, *unit, *wanted).and_then(|v| timestamp(v, to))
            }
            _ => {
                let named = zone.as_deref().map(|name| Zone::parse(name).unwrap_or(Zone::UTC));
                from_local(*value, *unit, named.as_ref(), to)
            }
        },
        Scalar::Time { value, unit } => match (to, unit) {
            (DataType::Int32, TimeUnit::Second | TimeUnit::Millisecond) => {
                i32::try_from(*value).ok().map(Scalar::Int32)
            }
            (DataType::Int64, TimeUnit::Microsecond | TimeUnit::Nanosecond) => Some(Scalar::Int64(*value)),
            (DataType::Time32(wanted) | DataType::Time64(wanted), _) => {
                time(convert_unit(*value, *unit, *wanted)?, *wanted)
            }
            _ => text(to, || format_time(*value, *unit)),
        },
        Scalar::Duration { value, unit } => match to {
            DataType::Int64 => Some(Scalar::Int64(*value)),
            DataType::Duration(wanted) => {
                convert_unit(*value, *unit, *wanted).map(|value| Scalar::Duration { value, unit: *wanted })
            }
            _ => text(to, || format_duration(*value, *unit)),
        },
        other => {
            let Interval { months, days, nanoseconds } = other.as_interval()?;
            interval(Interval { months, days, nanoseconds }, to)
                .or_else(|| text(to, || format_interval(months, days, nanoseconds)))
        }
    }
}

/// What the calendar and clocks of a zone show at a timestamp; in UTC where there is none.
fn from_local(value: i64, unit: TimeUnit, zone: Option<&Zone>, to: &DataType) -> Option<Scalar> {
    let (days, clock) = zone.unwrap_or(&Zone::UTC).local(value, unit);
    match to {
        DataType::Date32 => i32::try_from(days).ok().map(Scalar::Date32),
        DataType::Date64 => days.checked_mul(MILLIS_PER_DAY).map(Scalar::Date64),
        DataType::Time32(wanted) | DataType::Time64(wanted) => {
            time(convert_unit(clock, unit, *wanted)?, *wanted)
        }
        _ => text(to, || format_timestamp(value, unit, zone)),
    }
}

/// An interval in an interval type; `None` when it has parts that the type does not have.
fn interval(value: Interval, to: &DataType) -> Option<Scalar> {
    let Interval { months, days, nanoseconds } = value;
    match to {
        DataType::Interval(IntervalUnit::YearMonth) if (days, nanoseconds) == (0, 0) => {
            Some(Scalar::IntervalYearMonth(months))
        }
        DataType::Interval(IntervalUnit::DayTime) if months == 0 && nanoseconds % 1_000_000 == 0 => {
            let milliseconds = i32::try_from(nanoseconds / 1_000_000).ok()?;
            Some(Scalar::IntervalDayTime { days, milliseconds })
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            Some(Scalar::IntervalMonthDayNano { months, days, nanoseconds })
        }
        _ => None,
    }
}

/// The interval that a text stands for, in an interval type.
pub(crate) fn parse_interval_as(text: &str, to: &DataType) -> Option<Scalar> {
    interval(parse_interval(text)?, to)
}

fn time(value: i64, unit: TimeUnit) -> Option<Scalar> {
    let fits = matches!(unit, TimeUnit::Microsecond | TimeUnit::Nanosecond) || i32::try_from(value).is_ok();
    fits.then_some(Scalar::Time { value, unit })
}

fn timestamp(value: i64, to: &DataType) -> Option<Scalar> {
    match to {
        DataType::Timestamp(unit, zone) => Some(Scalar::Timestamp { value, unit: *unit, zone: zone.clone() }),
        _ => None,
    }
}

fn text(to: &DataType, value: impl FnOnce() -> String) -> Option<Scalar> {
    match to {
        DataType::Utf8 => Some(Scalar::Utf8(value().into())),
        DataType::LargeUtf8 => Some(Scalar::LargeUtf8(value().into())),
        DataType::Utf8View => Some(Scalar::Utf8View(value().into())),
        _ => None,
    }
}

/// Digits of a scale in a decimal type, rounded.
fn decimal(digits: i256, scale: i8, to: &DataType) -> Option<Scalar> {
    let (_, wanted) = decimal::precision_and_scale(to)?;
    Scalar::from_decimal(rescale(digits, scale, wanted)?, to)
}

fn from_bool(value: bool, to: &DataType) -> Option<Scalar> {
    match to {
        DataType::Float16 => Some(Scalar::Float16(Float16::from_f32(f32::from(value)))),
        DataType::Float32 => Some(Scalar::Float32(f32::from(value))),
        DataType::Float64 => Some(Scalar::Float64(f64::from(value))),
        number if is_integer(number) => Scalar::from_integer(i128::from(value), number),
        number if is_decimal(number) => decimal(i256::from(i32::from(value)), 0, number),
        _ => text(to, || value.to_string()),
    }
}

fn from_integer(scalar: &Scalar, value: i128, to: &DataType) -> Option<Scalar> {
    match to {
        DataType::Boolean => Some(Scalar::Boolean(value != 0)),
        // The conversions round to nearest, ties to even. Widened first, the value is still exact.
        DataType::Float16 => Some(Scalar::Float16(Float16::from_f32(value as f32))),
        DataType::Float32 => Some(Scalar::Float32(value as f32)),
        DataType::Float64 => Some(Scalar::Float64(value as f64)),
        number if is_integer(number) => Scalar::from_integer(value, number),
        number if is_decimal(number) => decimal(i256::from_i128(value), 0, number),
        _ => counted(scalar, to).or_else(|| text(to, || value.to_string())),
    }
}

/// A count as the date, time or span that it counts.
fn counted(scalar: &Scalar, to: &DataType) -> Option<Scalar> {
    match (scalar, to) {
        (Scalar::Int32(days), DataType::Date32) => Some(Scalar::Date32(*days)),
        (Scalar::Int32(count), DataType::Time32(unit)) => time(i64::from(*count), *unit),
        (Scalar::Int64(millis), DataType::Date64) => Some(Scalar::Date64(*millis)),
        (Scalar::Int64(count), DataType::Time64(unit)) => time(*count, *unit),
        (Scalar::Int64(count), DataType::Duration(unit)) => {
            Some(Scalar::Duration { value: *count, unit: *unit })
        }
        (Scalar::Int64(count), DataType::Timestamp(_, _)) => timestamp(*count, to),
        _ => None,
    }
}

/// Casts to numbers and bool; a narrower float is widened first, which is exact, and `printed` as it is.
fn from_float(value: f64, printed: &dyn std::fmt::LowerExp, to: &DataType) -> Option<Scalar> {
    match to {
        DataType::Boolean => Some(Scalar::Boolean(value != 0.0)),
        DataType::Float16 => Some(Scalar::Float16(Float16::from_f32(value as f32))),
        DataType::Float32 => Some(Scalar::Float32(value as f32)),
        DataType::Float64 => Some(Scalar::Float64(value)),
        number if is_integer(number) => {
            // Every integer type lies far inside ±1e30, and i128 holds every whole float below that.
            let whole = value.trunc();
            if whole.abs() < 1e30 { Scalar::from_integer(whole as i128, number) } else { None }
        }
        number => {
            let (_, scale) = decimal::precision_and_scale(number)?;
            Scalar::from_decimal(parse_decimal(&format!("{printed:e}"), scale)?, number)
        }
    }
}

fn from_decimal(digits: i256, scale: i8, to: &DataType) -> Option<Scalar> {
    match to {
        DataType::Boolean => Some(Scalar::Boolean(digits != i256::ZERO)),
        DataType::Float16 => Some(Scalar::Float16(Float16::from_f32(decimal::to_f32(digits, scale)))),
        DataType::Float32 => Some(Scalar::Float32(decimal::to_f32(digits, scale))),
        DataType::Float64 => Some(Scalar::Float64(decimal::to_f64(digits, scale))),
        number if is_integer(number) => {
            Scalar::from_integer(decimal::truncate(digits, scale)?.to_i128()?, number)
        }
        number if is_decimal(number) => decimal(digits, scale, number),
        _ => text(to, || decimal::format_decimal(digits, scale)),
    }
}

fn from_text(value: &Arc<str>, to: &DataType) -> Option<Scalar> {
    let trimmed = value.trim_ascii();
    match to {
        DataType::Utf8 => Some(Scalar::Utf8(value.clone())),
        DataType::LargeUtf8 => Some(Scalar::LargeUtf8(value.clone())),
        DataType::Utf8View => Some(Scalar::Utf8View(value.clone())),
        DataType::Boolean => parse_bool(trimmed).map(Scalar::Boolean),
        DataType::Float16 => trimmed.parse().ok().map(|v| Scalar::Float16(Float16::from_f32(v))),
        DataType::Float32 => trimmed.parse().ok().map(Scalar::Float32),
        DataType::Float64 => trimmed.parse().ok().map(Scalar::Float64),
        DataType::Date32 => parse_date(trimmed).map(Scalar::Date32),
        DataType::Date64 => parse_date(trimmed).map(|days| Scalar::Date64(i64::from(days) * MILLIS_PER_DAY)),
        DataType::Time32(unit) | DataType::Time64(unit) => time(parse_time(trimmed, *unit)?, *unit),
        DataType::Timestamp(unit, zone) => {
            parse_timestamp(trimmed, *unit, &Zone::of(zone.as_deref())?).and_then(|v| timestamp(v, to))
        }
        DataType::Duration(unit) => {
            parse_duration(trimmed, *unit).map(|value| Scalar::Duration { value, unit: *unit })
        }
        DataType::Interval(_) => parse_interval_as(trimmed, to),
        number if is_integer(number) => Scalar::from_integer(trimmed.parse().ok()?, number),
        number if is_decimal(number) => {
            let (_, scale) = decimal::precision_and_scale(number)?;
            Scalar::from_decimal(parse_decimal(trimmed, scale)?, number)
        }
        other => from_bytes(value.as_bytes(), other),
    }
}

fn from_bytes(bytes: &[u8], to: &DataType) -> Option<Scalar> {
    match to {
        DataType::Binary => Some(Scalar::Binary(bytes.into())),
        DataType::LargeBinary => Some(Scalar::LargeBinary(bytes.into())),
        DataType::BinaryView => Some(Scalar::BinaryView(bytes.into())),
        DataType::FixedSizeBinary(size) if usize::try_from(*size) == Ok(bytes.len()) => {
            Some(Scalar::FixedSizeBinary(bytes.into()))
        }
        _ => {
            let value = std::str::from_utf8(bytes).ok()?;
            text(to, || value.to_owned())
        }
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
