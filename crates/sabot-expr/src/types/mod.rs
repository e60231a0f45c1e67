//! The types that expressions know, their names, and their form in a serialised plan.
//!
//! Every Arrow type passes through: as a column, as the argument and result of a user function, in CASE
//! and COALESCE, and in a null test. What can be computed with it is said by the predicates here and by the tables
//! of [`rules`]. [`check_type`] refuses what is no type at all (a decimal of 99 digits, a dictionary keyed by
//! strings), so that no kernel ever meets one. A type is written as text (`int64`,
//! `timestamp(us, UTC)`, `list(int64)`): the same words appear in messages and in stored plans, and do not
//! change when Arrow's own serialisation does.

mod name;
pub mod rules;

use arrow::datatypes::{
    DECIMAL32_MAX_PRECISION, DECIMAL64_MAX_PRECISION, DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION,
    DataType, FieldRef, TimeUnit,
};

use crate::error::ExprError;
pub(crate) use name::parse_unit;
pub use name::{parse_type, type_name, unit_name};

/// The types there are, as messages list them.
pub const SUPPORTED_TYPES: &str = "null, bool, int8, int16, int32, int64, uint8, uint16, uint32, uint64, float16, float32, \
     float64, decimal32(p, s), decimal64(p, s), decimal128(p, s), decimal256(p, s), utf8, large_utf8, utf8_view, \
     binary, large_binary, binary_view, fixed_size_binary(n), date32, date64, time32(s|ms), time64(us|ns), \
     timestamp(s|ms|us|ns), timestamp(unit, zone), duration(unit), interval(year_month|day_time|month_day_nano), \
     list(t), large_list(t), list_view(t), large_list_view(t), fixed_size_list(t, n), struct(name: t, ...), \
     map(entries), union(mode, ...), dictionary(integer, t), run_end_encoded(...)";

/// Levels of nesting that a type may have. Checks, names and kernels recurse into nested types.
pub const TYPE_DEPTH_MAX: usize = 64;

/// Accepts every well-formed Arrow type and refuses anything else by name.
///
/// # Errors
/// [`ExprError::UnsupportedType`] with the type and what is wrong with it.
///
/// ```
/// use arrow::datatypes::DataType;
/// assert!(sabot_expr::check_type(&DataType::Binary).is_ok());
/// let refused = sabot_expr::check_type(&DataType::Decimal128(77, 0)).unwrap_err();
/// assert_eq!(
///     refused.to_string(),
///     "type decimal128(77, 0) is not supported: its precision is not 1 to 38, or its scale is above it"
/// );
/// ```
pub fn check_type(data_type: &DataType) -> Result<(), ExprError> {
    flaw(data_type, 0).map_or(Ok(()), |reason| Err(ExprError::unsupported_type(data_type, reason)))
}

/// Whether a type is well-formed; [`check_type`] with the reason left out.
pub fn is_supported(data_type: &DataType) -> bool {
    flaw(data_type, 0).is_none()
}

/// What keeps a type from being one.
fn flaw(data_type: &DataType, depth: usize) -> Option<&'static str> {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    if depth > TYPE_DEPTH_MAX {
        return Some("it is nested more than 64 levels deep");
    }
    let inner = |field: &FieldRef| flaw(field.data_type(), depth + 1);
    match data_type {
        DataType::Decimal32(p, s) => decimal_flaw(
            *p,
            *s,
            DECIMAL32_MAX_PRECISION,
            "its precision is not 1 to 9, or its scale is above it",
        ),
        DataType::Decimal64(p, s) => decimal_flaw(
            *p,
            *s,
            DECIMAL64_MAX_PRECISION,
            "its precision is not 1 to 18, or its scale is above it",
        ),
        DataType::Decimal128(p, s) => decimal_flaw(
            *p,
            *s,
            DECIMAL128_MAX_PRECISION,
            "its precision is not 1 to 38, or its scale is above it",
        ),
        DataType::Decimal256(p, s) => decimal_flaw(
            *p,
            *s,
            DECIMAL256_MAX_PRECISION,
            "its precision is not 1 to 76, or its scale is above it",
        ),
        DataType::Time32(Microsecond | Nanosecond) => Some("time32 counts seconds or milliseconds"),
        DataType::Time64(Second | Millisecond) => Some("time64 counts microseconds or nanoseconds"),
        DataType::FixedSizeBinary(size) if *size < 0 => Some("its size is negative"),
        DataType::FixedSizeList(_, size) if *size < 0 => Some("its size is negative"),
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::FixedSizeList(field, _) => inner(field),
        DataType::Struct(fields) => fields.iter().find_map(inner),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => inner(entries),
            _ => Some("the entries of a map are a struct of key and value"),
        },
        DataType::Union(fields, _) if fields.is_empty() => Some("a union needs at least one field"),
        DataType::Union(fields, _) => fields.iter().find_map(|(_, field)| inner(field)),
        DataType::Dictionary(key, _) if !is_integer(key) => Some("the keys of a dictionary are integers"),
        DataType::Dictionary(_, value) if is_encoded(value) => {
            Some("the values of a dictionary are not encoded themselves")
        }
        DataType::Dictionary(_, value) => flaw(value, depth + 1),
        DataType::RunEndEncoded(ends, _)
            if !matches!(ends.data_type(), DataType::Int16 | DataType::Int32 | DataType::Int64) =>
        {
            Some("run ends are int16, int32 or int64")
        }
        DataType::RunEndEncoded(_, values) if is_encoded(values.data_type()) => {
            Some("the values of runs are not encoded themselves")
        }
        DataType::RunEndEncoded(_, values) => inner(values),
        _ => None,
    }
}

fn decimal_flaw(precision: u8, scale: i8, most: u8, reason: &'static str) -> Option<&'static str> {
    let fits = (1..=most).contains(&precision)
        && scale.unsigned_abs() <= most
        && i16::from(scale) <= i16::from(precision);
    (!fits).then_some(reason)
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

/// Whether the type is float32 or float64, the floats that are computed with. A float16 is widened first.
pub fn is_float(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Float32 | DataType::Float64)
}

/// Whether the type is an integer, float32 or float64.
pub fn is_numeric(data_type: &DataType) -> bool {
    is_integer(data_type) || is_float(data_type)
}

/// Whether the type is a string as it is, and no dictionary of strings: utf8, large_utf8 or utf8_view.
pub fn is_plain_string(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Whether the type is a string of bytes: binary, large_binary, binary_view or of fixed size.
pub fn is_binary(data_type: &DataType) -> bool {
    use DataType::{Binary, BinaryView, FixedSizeBinary, LargeBinary};
    matches!(data_type, Binary | LargeBinary | BinaryView | FixedSizeBinary(_))
}

/// Whether the type is a decimal of any width.
pub fn is_decimal(data_type: &DataType) -> bool {
    use DataType::{Decimal32, Decimal64, Decimal128, Decimal256};
    matches!(data_type, Decimal32(..) | Decimal64(..) | Decimal128(..) | Decimal256(..))
}

/// The type of the items of a list of any kind; `None` for other types. A map is no list here.
pub fn list_item(data_type: &DataType) -> Option<&FieldRef> {
    match data_type {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => Some(item),
        _ => None,
    }
}

/// Whether the type says how values are stored and not what they are: a dictionary or run ends.
pub fn is_encoded(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Dictionary(..) | DataType::RunEndEncoded(..))
}

/// The type that a value has once its encoding is undone: that of the values of a dictionary or of runs, any other
/// type itself.
pub fn decoded_type(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, value) => value,
        DataType::RunEndEncoded(_, values) => values.data_type(),
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

/// A type as its name, for `#[serde(with = "sabot_expr::types::type_serde")]`.
pub mod type_serde {
    use arrow::datatypes::DataType;
    use serde::{Deserialize, Deserializer, Serializer, de, ser};

    /// Writes the type's name.
    ///
    /// # Errors
    /// When the type is not well-formed, so that its name could not be read back.
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
