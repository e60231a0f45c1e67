//! Scalars as SQL writes them.

use arrow::datatypes::DataType;
use std::fmt::{self, Display, Formatter};

use super::Scalar;
use crate::decimal::format_decimal;
use crate::temporal::{
    Zone, format_date, format_date64, format_duration, format_interval, format_time, format_timestamp,
};

/// Prints the value as SQL writes it: `'it''s'`, `DATE '2001-01-01'`, `NULL`. A list is printed as `[1, 2]`, a
/// struct as `{a: 1}`, a map as `MAP {'k': 1}`.
impl Display for Scalar {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::Null(_) => f.write_str("NULL"),
            Scalar::Boolean(value) => f.write_str(if *value { "TRUE" } else { "FALSE" }),
            Scalar::Float16(value) => write!(f, "{value:?}"),
            Scalar::Float32(value) => write!(f, "{value:?}"),
            Scalar::Float64(value) => write!(f, "{value:?}"),
            Scalar::Utf8(text) | Scalar::LargeUtf8(text) | Scalar::Utf8View(text) => {
                write!(f, "'{}'", text.replace('\'', "''"))
            }
            Scalar::Binary(bytes)
            | Scalar::LargeBinary(bytes)
            | Scalar::BinaryView(bytes)
            | Scalar::FixedSizeBinary(bytes) => write!(f, "X'{}'", Hex(bytes)),
            Scalar::Date32(days) => write!(f, "DATE '{}'", format_date(*days)),
            Scalar::Date64(value) => write!(f, "DATE '{}'", format_date64(*value)),
            Scalar::Time { value, unit } => write!(f, "TIME '{}'", format_time(*value, *unit)),
            Scalar::Timestamp { value, unit, zone } => {
                let zone = zone.as_deref().map(|name| Zone::parse(name).unwrap_or(Zone::UTC));
                write!(f, "TIMESTAMP '{}'", format_timestamp(*value, *unit, zone.as_ref()))
            }
            Scalar::Duration { value, unit } => write!(f, "DURATION '{}'", format_duration(*value, *unit)),
            Scalar::IntervalYearMonth(months) => write!(f, "INTERVAL '{}'", format_interval(*months, 0, 0)),
            Scalar::IntervalDayTime { days, milliseconds } => {
                write!(f, "INTERVAL '{}'", format_interval(0, *days, i64::from(*milliseconds) * 1_000_000))
            }
            Scalar::IntervalMonthDayNano { months, days, nanoseconds } => {
                write!(f, "INTERVAL '{}'", format_interval(*months, *days, *nanoseconds))
            }
            Scalar::List { data_type: DataType::Map(..), items } => {
                f.write_str("MAP {")?;
                for (i, entry) in items.iter().enumerate() {
                    if let Scalar::Struct { values, .. } = entry {
                        write!(f, "{}{}", comma(i), Joined(values, ": "))?;
                    }
                }
                f.write_str("}")
            }
            Scalar::List { items, .. } => write!(f, "[{}]", Joined(items, ", ")),
            Scalar::Struct { data_type, values } => {
                let DataType::Struct(fields) = data_type else { return Err(fmt::Error) };
                f.write_str("{")?;
                for (i, (field, value)) in fields.iter().zip(values).enumerate() {
                    write!(f, "{}{}: {value}", comma(i), field.name())?;
                }
                f.write_str("}")
            }
            Scalar::Union { value, .. } => value.fmt(f),
            number => match (number.as_decimal(), number.as_integer()) {
                (Some((digits, scale)), _) => f.write_str(&format_decimal(digits, scale)),
                (_, Some(value)) => write!(f, "{value}"),
                (None, None) => Err(fmt::Error),
            },
        }
    }
}

fn comma(position: usize) -> &'static str {
    if position > 0 { ", " } else { "" }
}

struct Joined<'a>(&'a [Scalar], &'static str);

impl Display for Joined<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (i, value) in self.0.iter().enumerate() {
            write!(f, "{}{value}", if i > 0 { self.1 } else { "" })?;
        }
        Ok(())
    }
}

/// Bytes as hexadecimal digits.
pub(super) struct Hex<'a>(pub(super) &'a [u8]);

impl Display for Hex<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
