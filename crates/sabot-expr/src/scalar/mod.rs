//! One typed value, null included: a literal, and what the interpreter computes.
//!
//! Equality here is identity: floats are compared by their bits, so that two plans are equal exactly
//! when they mean the same. The equality of the expression language (−0.0 equals 0.0, NaN equals NaN)
//! is the interpreter's.

mod array;

use arrow::array::{Array, ArrayRef, AsArray, new_null_array};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DecimalType, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::error::ExprError;
use crate::temporal;
use crate::types::{check_type, type_serde, unit_serde};

/// A value of one of the supported types, or a null of such a type.
///
/// A dictionary of strings has no scalar of its own: its values are strings. `Null(DataType::Null)` is
/// the literal NULL whose type is not known yet; resolving gives it the type that its place needs.
///
/// In a stored plan floats and decimals are text, because JSON has neither NaN nor 128-bit integers; a
/// NaN keeps its bits.
///
/// ```
/// # use arrow::datatypes::DataType;
/// # use sabot_expr::Scalar;
/// let delay = Scalar::from(15_i64);
/// assert_eq!(delay.data_type(), DataType::Int64);
/// assert_eq!((delay.as_integer(), delay.as_float(), delay.as_bool()), (Some(15), None, None));
/// assert_eq!(Scalar::from("it's").as_str(), Some("it's"));
/// assert_eq!(Scalar::from("it's").to_string(), "'it''s'");
/// assert!(Scalar::Null(DataType::Utf8).is_null());
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Scalar {
    /// A null of a type.
    Null(#[serde(with = "type_serde")] DataType),
    /// A truth value.
    Boolean(bool),
    /// An integer of 8 bits.
    Int8(i8),
    /// An integer of 16 bits.
    Int16(i16),
    /// An integer of 32 bits.
    Int32(i32),
    /// An integer of 64 bits.
    Int64(i64),
    /// An unsigned integer of 8 bits.
    UInt8(u8),
    /// An unsigned integer of 16 bits.
    UInt16(u16),
    /// An unsigned integer of 32 bits.
    UInt32(u32),
    /// An unsigned integer of 64 bits.
    UInt64(u64),
    /// A float of 32 bits.
    Float32(#[serde(with = "float_text")] f32),
    /// A float of 64 bits.
    Float64(#[serde(with = "float_text")] f64),
    /// A decimal: `value` divided by ten to the `scale`.
    Decimal128 {
        /// The digits.
        #[serde(with = "i128_text")]
        value: i128,
        /// Digits in all, 1 to 38.
        precision: u8,
        /// Digits after the point; negative for multiples of a power of ten.
        scale: i8,
    },
    /// A string.
    Utf8(Arc<str>),
    /// A string in a column with 64-bit offsets.
    LargeUtf8(Arc<str>),
    /// Days since 1970-01-01.
    Date32(i32),
    /// A point in time: `value` units since 1970-01-01T00:00:00 UTC, whatever the zone.
    Timestamp {
        /// Units since the epoch.
        value: i64,
        /// The unit.
        #[serde(with = "unit_serde")]
        unit: TimeUnit,
        /// The zone that the column names; it does not change the point in time.
        zone: Option<Arc<str>>,
    },
}

impl Scalar {
    /// The type of the value.
    pub fn data_type(&self) -> DataType {
        match self {
            Scalar::Null(data_type) => data_type.clone(),
            Scalar::Boolean(_) => DataType::Boolean,
            Scalar::Int8(_) => DataType::Int8,
            Scalar::Int16(_) => DataType::Int16,
            Scalar::Int32(_) => DataType::Int32,
            Scalar::Int64(_) => DataType::Int64,
            Scalar::UInt8(_) => DataType::UInt8,
            Scalar::UInt16(_) => DataType::UInt16,
            Scalar::UInt32(_) => DataType::UInt32,
            Scalar::UInt64(_) => DataType::UInt64,
            Scalar::Float32(_) => DataType::Float32,
            Scalar::Float64(_) => DataType::Float64,
            Scalar::Decimal128 { precision, scale, .. } => DataType::Decimal128(*precision, *scale),
            Scalar::Utf8(_) => DataType::Utf8,
            Scalar::LargeUtf8(_) => DataType::LargeUtf8,
            Scalar::Date32(_) => DataType::Date32,
            Scalar::Timestamp { unit, zone, .. } => DataType::Timestamp(*unit, zone.clone()),
        }
    }

    /// Whether the value is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Scalar::Null(_))
    }

    /// The truth value; `None` for null and for every other type.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Scalar::Boolean(value) => Some(*value),
            _ => None,
        }
    }

    /// The string; `None` for null and for every other type.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Scalar::Utf8(text) | Scalar::LargeUtf8(text) => Some(text),
            _ => None,
        }
    }

    /// The integer, widened; `None` for null and for every other type.
    pub fn as_integer(&self) -> Option<i128> {
        Some(match self {
            Scalar::Int8(v) => i128::from(*v),
            Scalar::Int16(v) => i128::from(*v),
            Scalar::Int32(v) => i128::from(*v),
            Scalar::Int64(v) => i128::from(*v),
            Scalar::UInt8(v) => i128::from(*v),
            Scalar::UInt16(v) => i128::from(*v),
            Scalar::UInt32(v) => i128::from(*v),
            Scalar::UInt64(v) => i128::from(*v),
            _ => return None,
        })
    }

    /// The float, widened; `None` for null and for every other type.
    pub fn as_float(&self) -> Option<f64> {
        match self {
            Scalar::Float32(v) => Some(f64::from(*v)),
            Scalar::Float64(v) => Some(*v),
            _ => None,
        }
    }

    /// The integer as a scalar of an integer type; `None` when it does not fit, or the type is no integer.
    ///
    /// ```
    /// # use arrow::datatypes::DataType;
    /// # use sabot_expr::Scalar;
    /// assert_eq!(Scalar::from_integer(200, &DataType::UInt8), Some(200_u8.into()));
    /// assert_eq!(Scalar::from_integer(200, &DataType::Int8), None);
    /// ```
    pub fn from_integer(value: i128, data_type: &DataType) -> Option<Scalar> {
        Some(match data_type {
            DataType::Int8 => Scalar::Int8(value.try_into().ok()?),
            DataType::Int16 => Scalar::Int16(value.try_into().ok()?),
            DataType::Int32 => Scalar::Int32(value.try_into().ok()?),
            DataType::Int64 => Scalar::Int64(value.try_into().ok()?),
            DataType::UInt8 => Scalar::UInt8(value.try_into().ok()?),
            DataType::UInt16 => Scalar::UInt16(value.try_into().ok()?),
            DataType::UInt32 => Scalar::UInt32(value.try_into().ok()?),
            DataType::UInt64 => Scalar::UInt64(value.try_into().ok()?),
            _ => return None,
        })
    }

    /// The value at `row`; dictionaries are looked up.
    ///
    /// ```
    /// # use arrow::array::Int64Array;
    /// # use sabot_expr::Scalar;
    /// let delays = Int64Array::from(vec![Some(15), None]);
    /// assert_eq!(Scalar::from_array(&delays, 0)?, 15_i64.into());
    /// assert!(Scalar::from_array(&delays, 1)?.is_null());
    /// # Ok::<(), sabot_expr::ExprError>(())
    /// ```
    ///
    /// # Errors
    /// [`ExprError::UnsupportedType`] for an array of another type. `row` must be below the length.
    pub fn from_array(array: &dyn Array, row: usize) -> Result<Scalar, ExprError> {
        if let Some(dictionary) = array.as_any_dictionary_opt() {
            check_type(array.data_type())?;
            let key = Scalar::from_array(dictionary.keys(), row)?.as_integer();
            return match key.and_then(|key| usize::try_from(key).ok()) {
                Some(key) => Scalar::from_array(dictionary.values().as_ref(), key),
                None => Ok(Scalar::Null(dictionary.values().data_type().clone())),
            };
        }
        if array.is_null(row) {
            check_type(array.data_type())?;
            return Ok(Scalar::Null(array.data_type().clone()));
        }
        Ok(match array.data_type() {
            DataType::Boolean => Scalar::Boolean(array.as_boolean().value(row)),
            DataType::Int8 => Scalar::Int8(array.as_primitive::<Int8Type>().value(row)),
            DataType::Int16 => Scalar::Int16(array.as_primitive::<Int16Type>().value(row)),
            DataType::Int32 => Scalar::Int32(array.as_primitive::<Int32Type>().value(row)),
            DataType::Int64 => Scalar::Int64(array.as_primitive::<Int64Type>().value(row)),
            DataType::UInt8 => Scalar::UInt8(array.as_primitive::<UInt8Type>().value(row)),
            DataType::UInt16 => Scalar::UInt16(array.as_primitive::<UInt16Type>().value(row)),
            DataType::UInt32 => Scalar::UInt32(array.as_primitive::<UInt32Type>().value(row)),
            DataType::UInt64 => Scalar::UInt64(array.as_primitive::<UInt64Type>().value(row)),
            DataType::Float32 => Scalar::Float32(array.as_primitive::<Float32Type>().value(row)),
            DataType::Float64 => Scalar::Float64(array.as_primitive::<Float64Type>().value(row)),
            DataType::Decimal128(precision, scale) => Scalar::Decimal128 {
                value: array.as_primitive::<Decimal128Type>().value(row),
                precision: *precision,
                scale: *scale,
            },
            DataType::Utf8 => Scalar::Utf8(array.as_string::<i32>().value(row).into()),
            DataType::LargeUtf8 => Scalar::LargeUtf8(array.as_string::<i64>().value(row).into()),
            DataType::Date32 => Scalar::Date32(array.as_primitive::<Date32Type>().value(row)),
            DataType::Timestamp(unit, zone) => {
                let value = match unit {
                    TimeUnit::Second => array.as_primitive::<TimestampSecondType>().value(row),
                    TimeUnit::Millisecond => array.as_primitive::<TimestampMillisecondType>().value(row),
                    TimeUnit::Microsecond => array.as_primitive::<TimestampMicrosecondType>().value(row),
                    TimeUnit::Nanosecond => array.as_primitive::<TimestampNanosecondType>().value(row),
                };
                Scalar::Timestamp { value, unit: *unit, zone: zone.clone() }
            }
            other => return Err(ExprError::unsupported_type(other)),
        })
    }

    /// An array of `rows` times this value.
    ///
    /// ```
    /// # use arrow::array::{AsArray, StringArray};
    /// # use sabot_expr::Scalar;
    /// assert_eq!(Scalar::from("SFO").to_array(2)?.as_string(), &StringArray::from(vec!["SFO", "SFO"]));
    /// # Ok::<(), sabot_expr::ExprError>(())
    /// ```
    ///
    /// # Errors
    /// [`ExprError::UnsupportedType`] for an untyped null, or a decimal whose precision or scale Arrow
    /// does not know.
    pub fn to_array(&self, rows: usize) -> Result<ArrayRef, ExprError> {
        if let Scalar::Null(data_type) = self {
            check_type(data_type)?;
            return Ok(new_null_array(data_type, rows));
        }
        array::build(&self.data_type(), std::iter::repeat_n(self, rows))
    }

    /// The values as one array of a type; a dictionary type is not possible, as no scalar has one.
    ///
    /// ```
    /// # use arrow::array::{Array, AsArray};
    /// # use arrow::datatypes::{DataType, Int64Type};
    /// # use sabot_expr::Scalar;
    /// let array = Scalar::collect(&DataType::Int64, &[7_i64.into(), Scalar::Null(DataType::Int64)])?;
    /// assert_eq!((array.len(), array.null_count()), (2, 1));
    /// assert_eq!(array.as_primitive::<Int64Type>().value(0), 7);
    /// # Ok::<(), sabot_expr::ExprError>(())
    /// ```
    ///
    /// # Errors
    /// [`ExprError::InvalidLiteral`] when a value is of another type.
    pub fn collect(data_type: &DataType, values: &[Scalar]) -> Result<ArrayRef, ExprError> {
        array::build(data_type, values.iter())
    }
}

/// Identity: same type and same value, floats by their bits.
impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        use Scalar::*;
        match (self, other) {
            (Null(a), Null(b)) => a == b,
            (Boolean(a), Boolean(b)) => a == b,
            (Float32(a), Float32(b)) => a.to_bits() == b.to_bits(),
            (Float64(a), Float64(b)) => a.to_bits() == b.to_bits(),
            (
                Decimal128 { value: a, precision: p, scale: s },
                Decimal128 { value: b, precision: q, scale: t },
            ) => (a, p, s) == (b, q, t),
            (Utf8(a), Utf8(b)) | (LargeUtf8(a), LargeUtf8(b)) => a == b,
            (Date32(a), Date32(b)) => a == b,
            (Timestamp { value: a, unit: u, zone: z }, Timestamp { value: b, unit: v, zone: y }) => {
                (a, u, z) == (b, v, y)
            }
            _ => {
                std::mem::discriminant(self) == std::mem::discriminant(other)
                    && self.as_integer().is_some()
                    && self.as_integer() == other.as_integer()
            }
        }
    }
}

impl Eq for Scalar {}

impl Hash for Scalar {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Scalar::Null(data_type) => data_type.hash(state),
            Scalar::Boolean(value) => value.hash(state),
            Scalar::Float32(value) => value.to_bits().hash(state),
            Scalar::Float64(value) => value.to_bits().hash(state),
            Scalar::Decimal128 { value, precision, scale } => (value, precision, scale).hash(state),
            Scalar::Utf8(text) | Scalar::LargeUtf8(text) => text.hash(state),
            Scalar::Date32(days) => days.hash(state),
            Scalar::Timestamp { value, unit, zone } => (value, unit, zone).hash(state),
            integer => integer.as_integer().hash(state),
        }
    }
}

/// Prints the value as SQL writes it: `'it''s'`, `DATE '2001-01-01'`, `NULL`.
impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::Null(_) => f.write_str("NULL"),
            Scalar::Boolean(value) => f.write_str(if *value { "TRUE" } else { "FALSE" }),
            Scalar::Float32(value) => write!(f, "{value:?}"),
            Scalar::Float64(value) => write!(f, "{value:?}"),
            Scalar::Decimal128 { value, precision, scale } => {
                f.write_str(&Decimal128Type::format_decimal(*value, *precision, *scale))
            }
            Scalar::Utf8(text) | Scalar::LargeUtf8(text) => write!(f, "'{}'", text.replace('\'', "''")),
            Scalar::Date32(days) => write!(f, "DATE '{}'", temporal::format_date(*days)),
            Scalar::Timestamp { value, unit, zone } => {
                write!(f, "TIMESTAMP '{}'", temporal::format_timestamp(*value, *unit, zone.as_deref()))
            }
            integer => match integer.as_integer() {
                Some(value) => write!(f, "{value}"),
                None => Err(fmt::Error),
            },
        }
    }
}

macro_rules! scalar_from {
    ($($from:ty => $variant:ident),* $(,)?) => {$(
        impl From<$from> for Scalar {
            fn from(value: $from) -> Self {
                Scalar::$variant(value)
            }
        }
    )*};
}

scalar_from!(bool => Boolean, i8 => Int8, i16 => Int16, i32 => Int32, i64 => Int64, u8 => UInt8, u16 => UInt16,
    u32 => UInt32, u64 => UInt64, f32 => Float32, f64 => Float64, Arc<str> => Utf8);

impl From<&str> for Scalar {
    fn from(text: &str) -> Self {
        Scalar::Utf8(text.into())
    }
}

impl From<String> for Scalar {
    fn from(text: String) -> Self {
        Scalar::Utf8(text.into())
    }
}

/// Floats as text: Rust's shortest form that reads back to the same value; a NaN carries its bits.
mod float_text {
    use serde::{Deserialize, Deserializer, Serializer, de};

    /// The two float types.
    pub(super) trait Float: Sized + Copy + std::fmt::Debug + std::str::FromStr {
        fn nan_bits(self) -> Option<u64>;
        fn from_nan_bits(bits: u64) -> Option<Self>;
    }

    impl Float for f32 {
        fn nan_bits(self) -> Option<u64> {
            self.is_nan().then(|| u64::from(self.to_bits()))
        }
        fn from_nan_bits(bits: u64) -> Option<Self> {
            u32::try_from(bits).ok().map(f32::from_bits).filter(|v| v.is_nan())
        }
    }

    impl Float for f64 {
        fn nan_bits(self) -> Option<u64> {
            self.is_nan().then(|| self.to_bits())
        }
        fn from_nan_bits(bits: u64) -> Option<Self> {
            Some(f64::from_bits(bits)).filter(|v| v.is_nan())
        }
    }

    pub(super) fn serialize<F: Float, S: Serializer>(value: &F, serializer: S) -> Result<S::Ok, S::Error> {
        match value.nan_bits() {
            Some(bits) => serializer.collect_str(&format_args!("nan:{bits:x}")),
            None => serializer.collect_str(&format_args!("{value:?}")),
        }
    }

    pub(super) fn deserialize<'de, F: Float, D: Deserializer<'de>>(deserializer: D) -> Result<F, D::Error> {
        let text = String::deserialize(deserializer)?;
        let value = match text.strip_prefix("nan:") {
            Some(bits) => u64::from_str_radix(bits, 16).ok().and_then(F::from_nan_bits),
            None => text.parse().ok(),
        };
        value.ok_or_else(|| de::Error::custom(format!("\"{text}\" is not a float")))
    }
}

mod i128_text {
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(value: &i128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i128, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| de::Error::custom(format!("\"{text}\" is not a 128-bit integer")))
    }
}

#[cfg(test)]
pub(crate) mod tests;
