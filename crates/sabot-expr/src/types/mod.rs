//! The types that expressions know, their names, and their form in a serialised plan.
//!
//! Arrow has far more types than Sabot computes with. Everything that enters an expression passes
//! [`check_type`], so an unsupported type is refused by name when a plan is built and no kernel ever
//! meets one. A type is written as text (`int64`, `timestamp(us, UTC)`): the same words appear in
//! messages and in stored plans, and do not change when Arrow's own serialisation does.

pub mod rules;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, TimeUnit};

use crate::error::ExprError;

/// The types that expressions support, as messages list them.
pub const SUPPORTED_TYPES: &str = "bool, int8, int16, int32, int64, uint8, uint16, uint32, uint64, float32, float64, \
     decimal128(p, s), utf8, large_utf8, date32, timestamp(s|ms|us|ns), timestamp(unit, zone), \
     dictionary(integer, utf8|large_utf8)";

/// Accepts the types that expressions support and refuses every other by name.
///
/// # Errors
/// [`ExprError::UnsupportedType`] with the type and the list of supported types.
///
/// ```
/// use arrow::datatypes::DataType;
/// assert!(sabot_expr::check_type(&DataType::Int64).is_ok());
/// let refused = sabot_expr::check_type(&DataType::Binary).unwrap_err();
/// assert!(refused.to_string().starts_with("type Binary is not supported"));
/// ```
pub fn check_type(data_type: &DataType) -> Result<(), ExprError> {
    if is_supported(data_type) { Ok(()) } else { Err(ExprError::unsupported_type(data_type)) }
}

/// Whether expressions support the type; [`check_type`] with the reason left out.
pub fn is_supported(data_type: &DataType) -> bool {
    match data_type {
        DataType::Boolean
        | DataType::Float32
        | DataType::Float64
        | DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Date32
        | DataType::Timestamp(_, _) => true,
        DataType::Decimal128(precision, scale) => {
            (1..=DECIMAL128_MAX_PRECISION).contains(precision)
                && scale.unsigned_abs() <= DECIMAL128_MAX_PRECISION
        }
        DataType::Dictionary(key, value) => is_integer(key) && is_plain_string(value),
        other => is_integer(other),
    }
}

/// Whether the type is one of the eight integer types.
pub fn is_integer(data_type: &DataType) -> bool {
    is_signed_integer(data_type) || is_unsigned_integer(data_type)
}

/// Whether the type is int8, int16, int32 or int64.
pub fn is_signed_integer(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64)
}

/// Whether the type is uint8, uint16, uint32 or uint64.
pub fn is_unsigned_integer(data_type: &DataType) -> bool {
    matches!(data_type, DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64)
}

/// Whether the type is float32 or float64.
pub fn is_float(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Float32 | DataType::Float64)
}

/// Whether arithmetic is defined on the type: an integer or a float. Decimals are payload only.
pub fn is_numeric(data_type: &DataType) -> bool {
    is_integer(data_type) || is_float(data_type)
}

/// Whether the type is a string without dictionary: utf8 or large_utf8.
pub fn is_plain_string(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8)
}

/// The type that a value has once a dictionary is looked up: a dictionary's value type, any other type itself.
pub fn decoded_type(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, value) => value,
        other => other,
    }
}

/// Whether a timestamp's zone is UTC: no zone at all, `UTC`, `Z`, `GMT` or a zero offset.
///
/// Times without zone are read as UTC everywhere in Sabot.
pub fn is_utc(zone: Option<&str>) -> bool {
    zone.is_none_or(|z| {
        ["utc", "etc/utc", "z", "gmt", "+00:00", "-00:00", "+00", "+0000"].contains(&&*z.to_lowercase())
    })
}

/// The type's name in messages and stored plans: `int64`, `timestamp(us, UTC)`, `dictionary(int32, utf8)`.
///
/// A type that expressions do not support keeps the name that Arrow gives it.
///
/// ```
/// # use arrow::datatypes::{DataType, TimeUnit};
/// # use sabot_expr::type_name;
/// assert_eq!(type_name(&DataType::Int64), "int64");
/// assert_eq!(type_name(&DataType::Timestamp(TimeUnit::Microsecond, None)), "timestamp(us)");
/// ```
pub fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Null => "null".to_owned(),
        DataType::Boolean => "bool".to_owned(),
        DataType::Int8 => "int8".to_owned(),
        DataType::Int16 => "int16".to_owned(),
        DataType::Int32 => "int32".to_owned(),
        DataType::Int64 => "int64".to_owned(),
        DataType::UInt8 => "uint8".to_owned(),
        DataType::UInt16 => "uint16".to_owned(),
        DataType::UInt32 => "uint32".to_owned(),
        DataType::UInt64 => "uint64".to_owned(),
        DataType::Float32 => "float32".to_owned(),
        DataType::Float64 => "float64".to_owned(),
        DataType::Utf8 => "utf8".to_owned(),
        DataType::LargeUtf8 => "large_utf8".to_owned(),
        DataType::Date32 => "date32".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal128({precision}, {scale})"),
        DataType::Timestamp(unit, None) => format!("timestamp({})", unit_name(*unit)),
        DataType::Timestamp(unit, Some(zone)) => format!("timestamp({}, {zone})", unit_name(*unit)),
        DataType::Dictionary(key, value) => format!("dictionary({}, {})", type_name(key), type_name(value)),
        other => other.to_string(),
    }
}

/// The type that a name of [`type_name`] stands for; `None` for any other text.
///
/// ```
/// use arrow::datatypes::{DataType, TimeUnit};
/// use sabot_expr::types::{parse_type, type_name};
/// let zoned = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
/// assert_eq!(parse_type(&type_name(&zoned)), Some(zoned));
/// assert_eq!(parse_type("int65"), None);
/// ```
pub fn parse_type(name: &str) -> Option<DataType> {
    Some(match name {
        "null" => DataType::Null,
        "bool" => DataType::Boolean,
        "int8" => DataType::Int8,
        "int16" => DataType::Int16,
        "int32" => DataType::Int32,
        "int64" => DataType::Int64,
        "uint8" => DataType::UInt8,
        "uint16" => DataType::UInt16,
        "uint32" => DataType::UInt32,
        "uint64" => DataType::UInt64,
        "float32" => DataType::Float32,
        "float64" => DataType::Float64,
        "utf8" => DataType::Utf8,
        "large_utf8" => DataType::LargeUtf8,
        "date32" => DataType::Date32,
        composite => return parse_composite(composite),
    })
}

fn parse_composite(name: &str) -> Option<DataType> {
    let (head, arguments) = name.strip_suffix(')')?.split_once('(')?;
    match (head, arguments.split_once(", ")) {
        ("timestamp", None) => Some(DataType::Timestamp(parse_unit(arguments)?, None)),
        ("timestamp", Some((unit, zone))) => Some(DataType::Timestamp(parse_unit(unit)?, Some(zone.into()))),
        ("decimal128", Some((precision, scale))) => {
            Some(DataType::Decimal128(precision.parse().ok()?, scale.parse().ok()?))
        }
        ("dictionary", Some((key, value))) => {
            Some(DataType::Dictionary(Box::new(parse_type(key)?), Box::new(parse_type(value)?)))
        }
        _ => None,
    }
}

/// The short name of a time unit: `s`, `ms`, `us`, `ns`.
pub fn unit_name(unit: TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Second => "s",
        TimeUnit::Millisecond => "ms",
        TimeUnit::Microsecond => "us",
        TimeUnit::Nanosecond => "ns",
    }
}

fn parse_unit(name: &str) -> Option<TimeUnit> {
    match name {
        "s" => Some(TimeUnit::Second),
        "ms" => Some(TimeUnit::Millisecond),
        "us" => Some(TimeUnit::Microsecond),
        "ns" => Some(TimeUnit::Nanosecond),
        _ => None,
    }
}

/// A type as its name, for `#[serde(with = "sabot_expr::types::type_serde")]`.
pub mod type_serde {
    use arrow::datatypes::DataType;
    use serde::{Deserialize, Deserializer, Serializer, de, ser};

    /// Writes the type's name.
    ///
    /// # Errors
    /// When the type has no name that can be read back: it is not one that expressions support.
    pub fn serialize<S: Serializer>(data_type: &DataType, serializer: S) -> Result<S::Ok, S::Error> {
        let name = super::type_name(data_type);
        if super::parse_type(&name).as_ref() != Some(data_type) {
            return Err(ser::Error::custom(format!("type {name} cannot be stored in a plan")));
        }
        serializer.serialize_str(&name)
    }

    /// Reads a type by its name.
    ///
    /// # Errors
    /// When the text names no type.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DataType, D::Error> {
        let name = String::deserialize(deserializer)?;
        super::parse_type(&name).ok_or_else(|| {
            de::Error::custom(format!("unknown type \"{name}\"; types: {}", super::SUPPORTED_TYPES))
        })
    }
}

/// A time unit as its short name, for `#[serde(with = "…")]`.
pub(crate) mod unit_serde {
    use arrow::datatypes::TimeUnit;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(unit: &TimeUnit, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(super::unit_name(*unit))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TimeUnit, D::Error> {
        let name = String::deserialize(deserializer)?;
        super::parse_unit(&name)
            .ok_or_else(|| de::Error::custom(format!("unknown time unit \"{name}\"; units: s, ms, us, ns")))
    }
}

#[cfg(test)]
mod tests;
