//! Fixed-width values as signed 64-bit words whose order is the total order of the values.
//!
//! Grouping, sorting, min and max over a dozen Arrow types would be a dozen copies of each loop. They
//! all become one loop over `i64` when every type is first mapped to words such that
//! *equal as keys ⇔ equal words* and *less in the total order ⇔ smaller word*. For int64 and timestamps
//! the words are the column's own buffer, without a copy.
//!
//! The total order: false < true; numbers by value; −0.0 equals 0.0; all NaNs are equal and greatest.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, NullArray, PrimitiveArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, DurationMicrosecondType,
    DurationMillisecondType, DurationNanosecondType, DurationSecondType, Float16Type, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, IntervalDayTime, IntervalDayTimeType,
    IntervalUnit, IntervalYearMonthType, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
    Time64NanosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use std::borrow::Cow;
use std::sync::Arc;

/// A column as words, one a row. What stands under a null is any word.
#[derive(Clone, Debug)]
pub struct Words<'a> {
    /// The words.
    pub values: Cow<'a, [i64]>,
    /// Which rows are null; `None` when none is.
    pub nulls: Option<NullBuffer>,
}

/// Whether columns of this type can be words.
pub fn is_word_type(data_type: &DataType) -> bool {
    use DataType::*;
    matches!(
        data_type,
        Null | Boolean
            | Int8
            | Int16
            | Int32
            | Int64
            | UInt8
            | UInt16
            | UInt32
            | UInt64
            | Float16
            | Float32
            | Float64
            | Decimal32(_, _)
            | Decimal64(_, _)
            | Date32
            | Date64
            | Time32(_)
            | Time64(_)
            | Timestamp(_, _)
            | Duration(_)
            | Interval(IntervalUnit::YearMonth | IntervalUnit::DayTime)
    )
}

/// The column as words; `None` when [`is_word_type`] is false for its type.
///
/// ```
/// use arrow::array::Float64Array;
/// use sabot_batch::key_index::words;
/// let column = Float64Array::from(vec![-0.0, 0.0, f64::INFINITY, -f64::NAN, -1.0]);
/// let w = words::encode(&column).unwrap().values;
/// assert!(w[0] == w[1] && w[2] < w[3] && w[4] < w[0]);
/// ```
pub fn encode(array: &dyn Array) -> Option<Words<'_>> {
    let values = match array.data_type() {
        DataType::Null => Cow::Owned(vec![0; array.len()]),
        DataType::Boolean => Cow::Owned(bits(array.as_boolean().values())),
        DataType::Int8 => mapped::<Int8Type>(array, i64::from),
        DataType::Int16 => mapped::<Int16Type>(array, i64::from),
        DataType::Int32 => mapped::<Int32Type>(array, i64::from),
        DataType::Int64 => borrowed::<Int64Type>(array),
        DataType::UInt8 => mapped::<UInt8Type>(array, i64::from),
        DataType::UInt16 => mapped::<UInt16Type>(array, i64::from),
        DataType::UInt32 => mapped::<UInt32Type>(array, i64::from),
        DataType::UInt64 => mapped::<UInt64Type>(array, from_u64),
        DataType::Float16 => mapped::<Float16Type>(array, |v| from_f32(v.to_f32())),
        DataType::Float32 => mapped::<Float32Type>(array, from_f32),
        DataType::Float64 => mapped::<Float64Type>(array, from_f64),
        DataType::Decimal32(_, _) => mapped::<Decimal32Type>(array, i64::from),
        DataType::Decimal64(_, _) => borrowed::<Decimal64Type>(array),
        DataType::Date32 => mapped::<Date32Type>(array, i64::from),
        DataType::Date64 => borrowed::<Date64Type>(array),
        DataType::Time32(TimeUnit::Second) => mapped::<Time32SecondType>(array, i64::from),
        DataType::Time32(_) => mapped::<Time32MillisecondType>(array, i64::from),
        DataType::Time64(TimeUnit::Microsecond) => borrowed::<Time64MicrosecondType>(array),
        DataType::Time64(_) => borrowed::<Time64NanosecondType>(array),
        DataType::Duration(TimeUnit::Second) => borrowed::<DurationSecondType>(array),
        DataType::Duration(TimeUnit::Millisecond) => borrowed::<DurationMillisecondType>(array),
        DataType::Duration(TimeUnit::Microsecond) => borrowed::<DurationMicrosecondType>(array),
        DataType::Duration(TimeUnit::Nanosecond) => borrowed::<DurationNanosecondType>(array),
        DataType::Interval(IntervalUnit::YearMonth) => mapped::<IntervalYearMonthType>(array, i64::from),
        DataType::Interval(IntervalUnit::DayTime) => mapped::<IntervalDayTimeType>(array, |span| {
            i64::from(span.days) << 32 | i64::from(order_bits(span.milliseconds))
        }),
        DataType::Timestamp(TimeUnit::Second, _) => borrowed::<TimestampSecondType>(array),
        DataType::Timestamp(TimeUnit::Millisecond, _) => borrowed::<TimestampMillisecondType>(array),
        DataType::Timestamp(TimeUnit::Microsecond, _) => borrowed::<TimestampMicrosecondType>(array),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => borrowed::<TimestampNanosecondType>(array),
        _ => return None,
    };
    let nulls = array.logical_nulls().filter(|n| n.null_count() > 0);
    Some(Words { values, nulls })
}

/// A column of this type from words that came from one; `None` when [`is_word_type`] is false.
pub fn decode(data_type: &DataType, values: Vec<i64>, nulls: Option<NullBuffer>) -> Option<ArrayRef> {
    // Narrowing cannot lose anything: the words came from values of the very type they go back to, or
    // stand under a null.
    Some(match data_type {
        DataType::Null => Arc::new(NullArray::new(values.len())),
        DataType::Boolean => {
            Arc::new(BooleanArray::new(BooleanBuffer::collect_bool(values.len(), |i| values[i] != 0), nulls))
        }
        DataType::Int8 => narrowed::<Int8Type>(&values, nulls, |w| w as i8),
        DataType::Int16 => narrowed::<Int16Type>(&values, nulls, |w| w as i16),
        DataType::Int32 => narrowed::<Int32Type>(&values, nulls, |w| w as i32),
        DataType::Int64 => whole::<Int64Type>(data_type, values, nulls),
        DataType::UInt8 => narrowed::<UInt8Type>(&values, nulls, |w| w as u8),
        DataType::UInt16 => narrowed::<UInt16Type>(&values, nulls, |w| w as u16),
        DataType::UInt32 => narrowed::<UInt32Type>(&values, nulls, |w| w as u32),
        DataType::UInt64 => narrowed::<UInt64Type>(&values, nulls, to_u64),
        DataType::Float16 => narrowed::<Float16Type>(&values, nulls, |w| {
            <Float16Type as ArrowPrimitiveType>::Native::from_f32(to_f32(w))
        }),
        DataType::Float32 => narrowed::<Float32Type>(&values, nulls, to_f32),
        DataType::Float64 => narrowed::<Float64Type>(&values, nulls, to_f64),
        DataType::Decimal32(_, _) => {
            let digits: Vec<i32> = values.iter().map(|w| *w as i32).collect();
            Arc::new(
                PrimitiveArray::<Decimal32Type>::new(digits.into(), nulls).with_data_type(data_type.clone()),
            )
        }
        DataType::Decimal64(_, _) => whole::<Decimal64Type>(data_type, values, nulls),
        DataType::Date32 => narrowed::<Date32Type>(&values, nulls, |w| w as i32),
        DataType::Date64 => whole::<Date64Type>(data_type, values, nulls),
        DataType::Time32(TimeUnit::Second) => narrowed::<Time32SecondType>(&values, nulls, |w| w as i32),
        DataType::Time32(_) => narrowed::<Time32MillisecondType>(&values, nulls, |w| w as i32),
        DataType::Time64(TimeUnit::Microsecond) => whole::<Time64MicrosecondType>(data_type, values, nulls),
        DataType::Time64(_) => whole::<Time64NanosecondType>(data_type, values, nulls),
        DataType::Duration(TimeUnit::Second) => whole::<DurationSecondType>(data_type, values, nulls),
        DataType::Duration(TimeUnit::Millisecond) => {
            whole::<DurationMillisecondType>(data_type, values, nulls)
        }
        DataType::Duration(TimeUnit::Microsecond) => {
            whole::<DurationMicrosecondType>(data_type, values, nulls)
        }
        DataType::Duration(TimeUnit::Nanosecond) => whole::<DurationNanosecondType>(data_type, values, nulls),
        DataType::Interval(IntervalUnit::YearMonth) => {
            narrowed::<IntervalYearMonthType>(&values, nulls, |w| w as i32)
        }
        DataType::Interval(IntervalUnit::DayTime) => narrowed::<IntervalDayTimeType>(&values, nulls, |w| {
            IntervalDayTime::new((w >> 32) as i32, from_order_bits(w as u32))
        }),
        DataType::Timestamp(TimeUnit::Second, _) => whole::<TimestampSecondType>(data_type, values, nulls),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            whole::<TimestampMillisecondType>(data_type, values, nulls)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            whole::<TimestampMicrosecondType>(data_type, values, nulls)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            whole::<TimestampNanosecondType>(data_type, values, nulls)
        }
        _ => return None,
    })
}

/// One word a bit, 64 bits at a time.
fn bits(values: &BooleanBuffer) -> Vec<i64> {
    let mut words = Vec::with_capacity(values.len() + 63);
    for chunk in values.bit_chunks().iter_padded() {
        words.extend((0..64).map(|bit| (chunk >> bit & 1) as i64));
    }
    words.truncate(values.len());
    words
}

fn borrowed<T: ArrowPrimitiveType<Native = i64>>(array: &dyn Array) -> Cow<'_, [i64]> {
    Cow::Borrowed(array.as_primitive::<T>().values())
}

fn mapped<T: ArrowPrimitiveType>(array: &dyn Array, f: impl Fn(T::Native) -> i64) -> Cow<'static, [i64]> {
    Cow::Owned(array.as_primitive::<T>().values().iter().map(|v| f(*v)).collect())
}

fn whole<T: ArrowPrimitiveType<Native = i64>>(
    data_type: &DataType,
    values: Vec<i64>,
    nulls: Option<NullBuffer>,
) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(values.into(), nulls).with_data_type(data_type.clone()))
}

fn narrowed<T: ArrowPrimitiveType>(
    words: &[i64],
    nulls: Option<NullBuffer>,
    f: impl Fn(i64) -> T::Native,
) -> ArrayRef {
    let values: Vec<T::Native> = words.iter().map(|w| f(*w)).collect();
    Arc::new(PrimitiveArray::<T>::new(values.into(), nulls))
}

/// A signed number as an unsigned one in the same order.
pub(super) fn order_bits(value: i32) -> u32 {
    value.cast_unsigned() ^ (1 << 31)
}

/// The inverse of [`order_bits`].
pub(super) fn from_order_bits(bits: u32) -> i32 {
    (bits ^ (1 << 31)).cast_signed()
}

fn from_u64(value: u64) -> i64 {
    (value ^ (1 << 63)) as i64
}

fn to_u64(word: i64) -> u64 {
    (word as u64) ^ (1 << 63)
}

/// Flips the value bits of negative numbers, so that sign-and-magnitude compares like two's
/// complement; its own inverse.
fn flip64(bits: i64) -> i64 {
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

fn flip32(bits: i32) -> i32 {
    bits ^ (((bits >> 31) as u32) >> 1) as i32
}

fn from_f64(value: f64) -> i64 {
    // Adding zero turns −0.0 into 0.0 and changes nothing else.
    let canonical = if value.is_nan() { f64::NAN.abs() } else { value + 0.0 };
    flip64(canonical.to_bits() as i64)
}

fn to_f64(word: i64) -> f64 {
    f64::from_bits(flip64(word) as u64)
}

fn from_f32(value: f32) -> i64 {
    let canonical = if value.is_nan() { f32::NAN.abs() } else { value + 0.0 };
    i64::from(flip32(canonical.to_bits() as i32))
}

fn to_f32(word: i64) -> f32 {
    f32::from_bits(flip32(word as i32) as u32)
}
