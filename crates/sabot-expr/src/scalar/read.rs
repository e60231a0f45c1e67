//! Scalars from arrays.

use arrow::array::{Array, ArrayRef, AsArray, RunArray, StructArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type,
    Decimal256Type, DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType,
    DurationSecondType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    IntervalDayTimeType, IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType, RunEndIndexType,
    Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

use super::Scalar;
use crate::error::ExprError;
use crate::types::{check_type, decoded_type};

fn value<T: ArrowPrimitiveType>(array: &dyn Array, row: usize) -> T::Native {
    array.as_primitive::<T>().value(row)
}

impl Scalar {
    /// The value at `row`; dictionaries and runs are looked up.
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
    /// [`ExprError::UnsupportedType`] for a type that is not well-formed. `row` must be below the length.
    pub fn from_array(array: &dyn Array, row: usize) -> Result<Scalar, ExprError> {
        check_type(array.data_type())?;
        Ok(read(array, row))
    }
}

/// The value at `row` of an array of a well-formed type.
fn read(array: &dyn Array, row: usize) -> Scalar {
    let null = || Scalar::Null(decoded_type(array.data_type()).clone());
    if array.is_null(row) {
        return null();
    }
    match array.data_type() {
        DataType::Null => null(),
        DataType::Boolean => Scalar::Boolean(array.as_boolean().value(row)),
        DataType::Int8 => Scalar::Int8(value::<Int8Type>(array, row)),
        DataType::Int16 => Scalar::Int16(value::<Int16Type>(array, row)),
        DataType::Int32 => Scalar::Int32(value::<Int32Type>(array, row)),
        DataType::Int64 => Scalar::Int64(value::<Int64Type>(array, row)),
        DataType::UInt8 => Scalar::UInt8(value::<UInt8Type>(array, row)),
        DataType::UInt16 => Scalar::UInt16(value::<UInt16Type>(array, row)),
        DataType::UInt32 => Scalar::UInt32(value::<UInt32Type>(array, row)),
        DataType::UInt64 => Scalar::UInt64(value::<UInt64Type>(array, row)),
        DataType::Float16 => Scalar::Float16(value::<Float16Type>(array, row)),
        DataType::Float32 => Scalar::Float32(value::<Float32Type>(array, row)),
        DataType::Float64 => Scalar::Float64(value::<Float64Type>(array, row)),
        DataType::Decimal32(precision, scale) => Scalar::Decimal32 {
            value: value::<Decimal32Type>(array, row),
            precision: *precision,
            scale: *scale,
        },
        DataType::Decimal64(precision, scale) => Scalar::Decimal64 {
            value: value::<Decimal64Type>(array, row),
            precision: *precision,
            scale: *scale,
        },
        DataType::Decimal128(precision, scale) => Scalar::Decimal128 {
            value: value::<Decimal128Type>(array, row),
            precision: *precision,
            scale: *scale,
        },
        DataType::Decimal256(precision, scale) => Scalar::Decimal256 {
            value: value::<Decimal256Type>(array, row),
            precision: *precision,
            scale: *scale,
        },
        DataType::Utf8 => Scalar::Utf8(array.as_string::<i32>().value(row).into()),
        DataType::LargeUtf8 => Scalar::LargeUtf8(array.as_string::<i64>().value(row).into()),
        DataType::Utf8View => Scalar::Utf8View(array.as_string_view().value(row).into()),
        DataType::Binary => Scalar::Binary(array.as_binary::<i32>().value(row).into()),
        DataType::LargeBinary => Scalar::LargeBinary(array.as_binary::<i64>().value(row).into()),
        DataType::BinaryView => Scalar::BinaryView(array.as_binary_view().value(row).into()),
        DataType::FixedSizeBinary(_) => {
            Scalar::FixedSizeBinary(array.as_fixed_size_binary().value(row).into())
        }
        DataType::Date32 => Scalar::Date32(value::<Date32Type>(array, row)),
        DataType::Date64 => Scalar::Date64(value::<Date64Type>(array, row)),
        DataType::Time32(unit) | DataType::Time64(unit) => {
            let value = match unit {
                TimeUnit::Second => i64::from(value::<Time32SecondType>(array, row)),
                TimeUnit::Millisecond => i64::from(value::<Time32MillisecondType>(array, row)),
                TimeUnit::Microsecond => value::<Time64MicrosecondType>(array, row),
                TimeUnit::Nanosecond => value::<Time64NanosecondType>(array, row),
            };
            Scalar::Time { value, unit: *unit }
        }
        DataType::Timestamp(unit, zone) => {
            let value = match unit {
                TimeUnit::Second => value::<TimestampSecondType>(array, row),
                TimeUnit::Millisecond => value::<TimestampMillisecondType>(array, row),
                TimeUnit::Microsecond => value::<TimestampMicrosecondType>(array, row),
                TimeUnit::Nanosecond => value::<TimestampNanosecondType>(array, row),
            };
            Scalar::Timestamp { value, unit: *unit, zone: zone.clone() }
        }
        DataType::Duration(unit) => {
            let value = match unit {
                TimeUnit::Second => value::<DurationSecondType>(array, row),
                TimeUnit::Millisecond => value::<DurationMillisecondType>(array, row),
                TimeUnit::Microsecond => value::<DurationMicrosecondType>(array, row),
                TimeUnit::Nanosecond => value::<DurationNanosecondType>(array, row),
            };
            Scalar::Duration { value, unit: *unit }
        }
        DataType::Interval(IntervalUnit::YearMonth) => {
            Scalar::IntervalYearMonth(value::<IntervalYearMonthType>(array, row))
        }
        DataType::Interval(IntervalUnit::DayTime) => {
            let span = value::<IntervalDayTimeType>(array, row);
            Scalar::IntervalDayTime { days: span.days, milliseconds: span.milliseconds }
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let span = value::<IntervalMonthDayNanoType>(array, row);
            Scalar::IntervalMonthDayNano {
                months: span.months,
                days: span.days,
                nanoseconds: span.nanoseconds,
            }
        }
        DataType::List(_) => list(array, array.as_list::<i32>().value(row).as_ref()),
        DataType::LargeList(_) => list(array, array.as_list::<i64>().value(row).as_ref()),
        DataType::ListView(_) => list(array, array.as_list_view::<i32>().value(row).as_ref()),
        DataType::LargeListView(_) => list(array, array.as_list_view::<i64>().value(row).as_ref()),
        DataType::FixedSizeList(_, _) => list(array, array.as_fixed_size_list().value(row).as_ref()),
        DataType::Map(_, _) => list(array, &array.as_map().value(row)),
        DataType::Struct(_) => {
            Scalar::Struct { data_type: array.data_type().clone(), values: fields(array.as_struct(), row) }
        }
        DataType::Union(_, _) => {
            let union = array.as_union();
            let value = read(union.value(row).as_ref(), 0);
            Scalar::Union {
                data_type: array.data_type().clone(),
                type_id: union.type_id(row),
                value: Box::new(value),
            }
        }
        DataType::Dictionary(_, _) => {
            let dictionary = array.as_any_dictionary();
            let key = read(dictionary.keys(), row).as_integer().and_then(|key| usize::try_from(key).ok());
            key.map_or_else(null, |key| read(dictionary.values().as_ref(), key))
        }
        DataType::RunEndEncoded(ends, _) => {
            let at = match ends.data_type() {
                DataType::Int16 => run::<Int16Type>(array, row),
                DataType::Int32 => run::<Int32Type>(array, row),
                _ => run::<Int64Type>(array, row),
            };
            at.map_or_else(null, |(values, at)| read(values.as_ref(), at))
        }
    }
}

fn list(array: &dyn Array, items: &dyn Array) -> Scalar {
    Scalar::List {
        data_type: array.data_type().clone(),
        items: (0..items.len()).map(|i| read(items, i)).collect(),
    }
}

fn fields(array: &StructArray, row: usize) -> Vec<Scalar> {
    array.columns().iter().map(|column| read(column.as_ref(), row)).collect()
}

/// The values of an array of runs, and the place there of the value of a row.
fn run<R: RunEndIndexType>(array: &dyn Array, row: usize) -> Option<(&ArrayRef, usize)> {
    let runs = array.as_any().downcast_ref::<RunArray<R>>()?;
    Some((runs.values(), runs.get_physical_index(row)))
}
