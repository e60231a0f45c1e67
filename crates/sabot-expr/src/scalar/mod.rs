//! One typed value, null included: a literal, and what the interpreter computes.
//!
//! Equality here is identity: floats are compared by their bits, so that two plans are equal exactly
//! when they mean the same. The equality of the expression language (−0.0 equals 0.0, NaN equals NaN)
//! is the interpreter's.

mod array;
mod display;
mod identity;
mod read;
mod stored;

use arrow::array::ArrayRef;
use arrow::datatypes::{ArrowPrimitiveType, DataType, Float16Type, IntervalUnit, TimeUnit, i256};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

use crate::error::ExprError;
use crate::temporal::Interval;
use crate::types::{check_type, type_serde, unit_serde};
use stored::{bytes_text, float_text, float16_text, i128_text, i256_text};

/// A float of 16 bits, as Arrow has it.
pub type Float16 = <Float16Type as ArrowPrimitiveType>::Native;

/// A value of one of the types, or a null of such a type.
///
/// A dictionary or a run has no scalar of its own: its values are what they stand for.
/// `Null(DataType::Null)` is the literal NULL whose type is not known yet; resolving gives it the type that
/// its place needs.
///
/// In a stored plan floats, decimals and bytes are text, because JSON has neither NaN nor 128-bit integers
/// nor bytes; a NaN keeps its bits.
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
    /// A float of 16 bits.
    Float16(#[serde(with = "float16_text")] Float16),
    /// A float of 32 bits.
    Float32(#[serde(with = "float_text")] f32),
    /// A float of 64 bits.
    Float64(#[serde(with = "float_text")] f64),
    /// A decimal in 32 bits: `value` divided by ten to the `scale`.
    Decimal32 {
        /// The digits.
        value: i32,
        /// Digits in all, 1 to 9.
        precision: u8,
        /// Digits after the point; negative for multiples of a power of ten.
        scale: i8,
    },
    /// A decimal in 64 bits.
    Decimal64 {
        /// The digits.
        value: i64,
        /// Digits in all, 1 to 18.
        precision: u8,
        /// Digits after the point.
        scale: i8,
    },
    /// A decimal in 128 bits.
    Decimal128 {
        /// The digits.
        #[serde(with = "i128_text")]
        value: i128,
        /// Digits in all, 1 to 38.
        precision: u8,
        /// Digits after the point.
        scale: i8,
    },
    /// A decimal in 256 bits.
    Decimal256 {
        /// The digits.
        #[serde(with = "i256_text")]
        value: i256,
        /// Digits in all, 1 to 76.
        precision: u8,
        /// Digits after the point.
        scale: i8,
    },
    /// A string.
    Utf8(Arc<str>),
    /// A string in a column with 64-bit offsets.
    LargeUtf8(Arc<str>),
    /// A string in a column of views.
    Utf8View(Arc<str>),
    /// Bytes.
    Binary(#[serde(with = "bytes_text")] Arc<[u8]>),
    /// Bytes in a column with 64-bit offsets.
    LargeBinary(#[serde(with = "bytes_text")] Arc<[u8]>),
    /// Bytes in a column of views.
    BinaryView(#[serde(with = "bytes_text")] Arc<[u8]>),
    /// Bytes of a column whose values all have this length.
    FixedSizeBinary(#[serde(with = "bytes_text")] Arc<[u8]>),
    /// Days since 1970-01-01.
    Date32(i32),
    /// Milliseconds since 1970-01-01T00:00:00, which should be whole days.
    Date64(i64),
    /// A time of day: `value` units since midnight. Seconds and milliseconds are time32, finer units time64.
    Time {
        /// Units since midnight.
        value: i64,
        /// The unit.
        #[serde(with = "unit_serde")]
        unit: TimeUnit,
    },
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
    /// A span of time of fixed length: `value` units.
    Duration {
        /// The units.
        value: i64,
        /// The unit.
        #[serde(with = "unit_serde")]
        unit: TimeUnit,
    },
    /// A span of whole months.
    IntervalYearMonth(i32),
    /// A span of days and milliseconds, which are not added up.
    IntervalDayTime {
        /// Calendar days.
        days: i32,
        /// Milliseconds.
        milliseconds: i32,
    },
    /// A span of months, days and nanoseconds, which are not added up.
    IntervalMonthDayNano {
        /// Months.
        months: i32,
        /// Calendar days.
        days: i32,
        /// Nanoseconds.
        nanoseconds: i64,
    },
    /// The items of a list of any kind, or the entries of a map, each a struct of key and value.
    List {
        /// The type of the list.
        #[serde(with = "type_serde")]
        data_type: DataType,
        /// The items, in order; encoded ones looked up.
        items: Vec<Scalar>,
    },
    /// The fields of a struct.
    Struct {
        /// The type of the struct.
        #[serde(with = "type_serde")]
        data_type: DataType,
        /// One value for each field.
        values: Vec<Scalar>,
    },
    /// A value of one of the types of a union. Null in a union is a value that is null.
    Union {
        /// The type of the union.
        #[serde(with = "type_serde")]
        data_type: DataType,
        /// Which of the types.
        type_id: i8,
        /// The value.
        value: Box<Scalar>,
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
            Scalar::Float16(_) => DataType::Float16,
            Scalar::Float32(_) => DataType::Float32,
            Scalar::Float64(_) => DataType::Float64,
            Scalar::Decimal32 { precision, scale, .. } => DataType::Decimal32(*precision, *scale),
            Scalar::Decimal64 { precision, scale, .. } => DataType::Decimal64(*precision, *scale),
            Scalar::Decimal128 { precision, scale, .. } => DataType::Decimal128(*precision, *scale),
            Scalar::Decimal256 { precision, scale, .. } => DataType::Decimal256(*precision, *scale),
            Scalar::Utf8(_) => DataType::Utf8,
            Scalar::LargeUtf8(_) => DataType::LargeUtf8,
            Scalar::Utf8View(_) => DataType::Utf8View,
            Scalar::Binary(_) => DataType::Binary,
            Scalar::LargeBinary(_) => DataType::LargeBinary,
            Scalar::BinaryView(_) => DataType::BinaryView,
            // Arrow counts the bytes of a value in 31 bits.
            Scalar::FixedSizeBinary(bytes) => {
                DataType::FixedSizeBinary(i32::try_from(bytes.len()).unwrap_or(i32::MAX))
            }
            Scalar::Date32(_) => DataType::Date32,
            Scalar::Date64(_) => DataType::Date64,
            Scalar::Time { unit, .. } => match unit {
                TimeUnit::Second | TimeUnit::Millisecond => DataType::Time32(*unit),
                TimeUnit::Microsecond | TimeUnit::Nanosecond => DataType::Time64(*unit),
            },
            Scalar::Timestamp { unit, zone, .. } => DataType::Timestamp(*unit, zone.clone()),
            Scalar::Duration { unit, .. } => DataType::Duration(*unit),
            Scalar::IntervalYearMonth(_) => DataType::Interval(IntervalUnit::YearMonth),
            Scalar::IntervalDayTime { .. } => DataType::Interval(IntervalUnit::DayTime),
            Scalar::IntervalMonthDayNano { .. } => DataType::Interval(IntervalUnit::MonthDayNano),
            Scalar::List { data_type, .. }
            | Scalar::Struct { data_type, .. }
            | Scalar::Union { data_type, .. } => data_type.clone(),
        }
    }

    /// Whether the value is null. A union is null where the value that it holds is.
    pub fn is_null(&self) -> bool {
        match self {
            Scalar::Null(_) => true,
            Scalar::Union { value, .. } => value.is_null(),
            _ => false,
        }
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
            Scalar::Utf8(text) | Scalar::LargeUtf8(text) | Scalar::Utf8View(text) => Some(text),
            _ => None,
        }
    }

    /// The bytes of a binary value of any kind; `None` for null and for every other type.
    ///
    /// ```
    /// # use sabot_expr::Scalar;
    /// let bytes = Scalar::Binary([0, 255].into());
    /// assert_eq!((bytes.as_bytes(), bytes.to_string()), (Some(&[0, 255][..]), "X'00ff'".to_owned()));
    /// ```
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Scalar::Binary(bytes)
            | Scalar::LargeBinary(bytes)
            | Scalar::BinaryView(bytes)
            | Scalar::FixedSizeBinary(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The digits and the scale of a decimal of any width; `None` for null and for every other type.
    ///
    /// ```
    /// # use arrow::datatypes::i256;
    /// # use sabot_expr::Scalar;
    /// let price = Scalar::Decimal128 { value: 1_999, precision: 10, scale: 2 };
    /// assert_eq!((price.as_decimal(), price.to_string()), (Some((i256::from(1_999), 2)), "19.99".to_owned()));
    /// ```
    pub fn as_decimal(&self) -> Option<(i256, i8)> {
        Some(match self {
            Scalar::Decimal32 { value, scale, .. } => (i256::from(*value), *scale),
            Scalar::Decimal64 { value, scale, .. } => (i256::from(*value), *scale),
            Scalar::Decimal128 { value, scale, .. } => (i256::from_i128(*value), *scale),
            Scalar::Decimal256 { value, scale, .. } => (*value, *scale),
            _ => return None,
        })
    }

    /// An interval of any kind by its parts; `None` for null and for every other type.
    ///
    /// ```
    /// # use sabot_expr::Scalar;
    /// let quarter = Scalar::IntervalYearMonth(3);
    /// assert_eq!(quarter.as_interval().map(|parts| (parts.months, parts.days)), Some((3, 0)));
    /// ```
    pub fn as_interval(&self) -> Option<Interval> {
        let (months, days, nanoseconds) = match self {
            Scalar::IntervalYearMonth(months) => (*months, 0, 0),
            Scalar::IntervalDayTime { days, milliseconds } => {
                (0, *days, i64::from(*milliseconds) * 1_000_000)
            }
            Scalar::IntervalMonthDayNano { months, days, nanoseconds } => (*months, *days, *nanoseconds),
            _ => return None,
        };
        Some(Interval { months, days, nanoseconds })
    }

    /// A decimal of a decimal type from its digits; `None` when they are more than its precision, or the type is no
    /// decimal.
    ///
    /// ```
    /// # use arrow::datatypes::{DataType, i256};
    /// # use sabot_expr::Scalar;
    /// let price = Scalar::from_decimal(i256::from(1_999), &DataType::Decimal128(10, 2)).unwrap();
    /// assert_eq!(price.to_string(), "19.99");
    /// assert_eq!(Scalar::from_decimal(i256::from(1_999), &DataType::Decimal128(3, 2)), None);
    /// ```
    pub fn from_decimal(digits: i256, data_type: &DataType) -> Option<Scalar> {
        let (precision, scale) = crate::decimal::precision_and_scale(data_type)?;
        if !crate::decimal::fits(digits, precision) {
            return None;
        }
        let narrow = digits.to_i128();
        Some(match data_type {
            DataType::Decimal32(..) => {
                Scalar::Decimal32 { value: narrow?.try_into().ok()?, precision, scale }
            }
            DataType::Decimal64(..) => {
                Scalar::Decimal64 { value: narrow?.try_into().ok()?, precision, scale }
            }
            DataType::Decimal128(..) => Scalar::Decimal128 { value: narrow?, precision, scale },
            _ => Scalar::Decimal256 { value: digits, precision, scale },
        })
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
            Scalar::Float16(v) => Some(v.to_f64()),
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
    /// [`ExprError::UnsupportedType`] for an untyped null or a type that is not well-formed.
    pub fn to_array(&self, rows: usize) -> Result<ArrayRef, ExprError> {
        let data_type = self.data_type();
        if data_type == DataType::Null {
            return Err(ExprError::unsupported_type(&data_type, "a null needs a type"));
        }
        check_type(&data_type)?;
        array::build(&data_type, &vec![self; rows])
    }

    /// The values as one array of a type. Those of a dictionary or of runs are what these stand for.
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
    /// [`ExprError::InvalidLiteral`] when a value is of another type, or there are more different values than
    /// a dictionary's keys can count.
    pub fn collect(data_type: &DataType, values: &[Scalar]) -> Result<ArrayRef, ExprError> {
        check_type(data_type)?;
        array::build(data_type, &values.iter().collect::<Vec<_>>())
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

#[cfg(test)]
pub(crate) mod tests;
