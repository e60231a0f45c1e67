//! From Arrow arrays to the lanes: which loop serves which type, and how nulls and dictionaries enter.
//!
//! Fixed-width types run through a loop over their value buffer as if nothing were null; null rows are
//! then redone from a copy of the state before the loop. What lies under a null is computed with and
//! thrown away, so it cannot matter. The other types ask for the null bit first, row by row.

use arrow::array::{
    Array, ArrayAccessor, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, downcast_integer_array,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    ArrowNativeType, DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type,
    Decimal256Type, DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType,
    DurationSecondType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    IntervalDayTimeType, IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType,
    Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

use super::encode::{self, tag};
use super::lanes::{Encoded, Lanes};
use super::supports_key;
use crate::run_values;

const MICROS_PER_MILLI: i64 = 1_000;
const MICROS_PER_SECOND: i64 = 1_000_000;
const NANOS_PER_MILLI: i64 = 1_000_000;

/// A key column, ready to be absorbed block by block.
pub(super) enum Column<'a> {
    /// A column that is not encoded.
    Plain { array: &'a dyn Array, start: (u32, u32) },
    /// Keys into a dictionary whose values are encoded already.
    Dictionary { keys: &'a dyn Array, values: Vec<Encoded> },
    /// Runs, by the place of each row's value among the values, which are encoded already.
    Runs { places: Vec<usize>, values: Vec<Encoded> },
    /// Keys into a dictionary that has more values than there are rows: encoding only what the rows
    /// point at is less work, and a small slice of a large dictionary is common.
    LargeDictionary { keys: &'a dyn Array, values: &'a dyn Array, start: (u32, u32) },
}

impl<'a> Column<'a> {
    /// The column over `array`, or `None` where its type cannot be a key.
    pub(super) fn new(array: &'a dyn Array, start: (u32, u32)) -> Option<Self> {
        if !supports_key(array.data_type()) {
            return None;
        }
        if let Some((places, values)) = run_values(array) {
            let values = values.as_ref();
            let encoded = |place: &usize| encode_one(values, *place, start);
            // A slice of long runs reads few of the values; encoded by row, each is encoded once a row.
            return Some(match values.len() > array.len() {
                true => {
                    let values = places.iter().map(encoded).collect();
                    Column::Runs { places: (0..places.len()).collect(), values }
                }
                false => {
                    let values = (0..values.len()).map(|place| encoded(&place)).collect();
                    Column::Runs { places, values }
                }
            });
        }
        let Some(dictionary) = array.as_any_dictionary_opt() else {
            return Some(Column::Plain { array, start });
        };
        let (keys, values) = (dictionary.keys(), dictionary.values().as_ref());
        if values.len() > keys.len() {
            return Some(Column::LargeDictionary { keys, values, start });
        }
        let values = (0..values.len()).map(|i| encode_one(values, i, start)).collect();
        Some(Column::Dictionary { keys, values })
    }

    /// Absorbs the block of rows that starts at `first`.
    pub(super) fn absorb(&self, first: usize, lanes: &mut Lanes) {
        match self {
            Column::Plain { array, start } => absorb_plain(*array, *start, first, lanes),
            Column::Runs { places, values } => {
                lanes.absorb_rows(|i| values[places[first + i]]);
            }
            Column::Dictionary { keys, values } => {
                absorb_keys(*keys, first, lanes, |k| values.get(k).copied());
            }
            Column::LargeDictionary { keys, values, start } => {
                absorb_keys(*keys, first, lanes, |k| {
                    (k < values.len()).then(|| encode_one(*values, k, *start))
                });
            }
        }
    }
}

/// Absorbs what `value` gives for each key; null keys, and keys outside the dictionary, are null.
fn absorb_keys(keys: &dyn Array, first: usize, lanes: &mut Lanes, value: impl Fn(usize) -> Option<Encoded>) {
    downcast_integer_array!(
        keys => absorb_typed_keys(keys, first, lanes, value),
        other => debug_assert!(false, "dictionary keys of type {other}")
    )
}

fn absorb_typed_keys<K: ArrowPrimitiveType>(
    keys: &PrimitiveArray<K>,
    first: usize,
    lanes: &mut Lanes,
    value: impl Fn(usize) -> Option<Encoded>,
) {
    let codes = &keys.values()[first..first + lanes.len()];
    absorb_valid(keys.nulls(), first, lanes, |i| {
        codes[i].to_usize().and_then(&value).unwrap_or(encode::NULL)
    });
}

/// Absorbs what `encoded` gives for each valid row of the block, and null for the others.
fn absorb_valid(
    nulls: Option<&NullBuffer>,
    first: usize,
    lanes: &mut Lanes,
    encoded: impl Fn(usize) -> Encoded,
) {
    match nulls {
        None => lanes.absorb_rows(encoded),
        Some(nulls) => {
            lanes.absorb_rows(|i| if nulls.is_valid(first + i) { encoded(i) } else { encode::NULL })
        }
    }
}

/// Absorbs a block of a fixed-width column through the vector loop, then redoes its null rows.
fn absorb_fixed<T: ArrowPrimitiveType>(
    array: &dyn Array,
    first: usize,
    lanes: &mut Lanes,
    encode: impl Fn(T::Native) -> Encoded,
) {
    let array = array.as_primitive::<T>();
    let values = &array.values()[first..first + lanes.len()];
    match array.nulls() {
        None => lanes.absorb_each(values, encode),
        Some(nulls) => {
            let before = lanes.clone();
            lanes.absorb_each(values, encode);
            for_each_null(nulls, first, lanes.len(), |row| lanes.redo(row, &before, encode::NULL));
        }
    }
}

/// Calls `f` with the number, within the block, of each null row of the block.
fn for_each_null(nulls: &NullBuffer, first: usize, len: usize, mut f: impl FnMut(usize)) {
    let valid = nulls.inner().slice(first, len);
    for (chunk, word) in valid.bit_chunks().iter_padded().enumerate() {
        let mut null_bits = !word;
        while null_bits != 0 {
            let row = chunk * 64 + null_bits.trailing_zeros() as usize;
            if row >= len {
                break; // the padding of the last word
            }
            f(row);
            null_bits &= null_bits - 1;
        }
    }
}

fn absorb_text<'a>(
    array: impl ArrayAccessor<Item = &'a str>,
    start: (u32, u32),
    first: usize,
    lanes: &mut Lanes,
) {
    absorb_valid(array.nulls(), first, lanes, |i| encode::text(start, array.value(first + i).as_bytes()));
}

/// Absorbs a block of a column that is not encoded.
fn absorb_plain(array: &dyn Array, start: (u32, u32), first: usize, lanes: &mut Lanes) {
    use encode::{signed, unsigned};
    match array.data_type() {
        DataType::Boolean => {
            let values = array.as_boolean();
            absorb_valid(array.nulls(), first, lanes, |i| encode::boolean(values.value(first + i)));
        }
        DataType::Int8 => absorb_fixed::<Int8Type>(array, first, lanes, |x| signed(i64::from(x))),
        DataType::Int16 => absorb_fixed::<Int16Type>(array, first, lanes, |x| signed(i64::from(x))),
        DataType::Int32 => absorb_fixed::<Int32Type>(array, first, lanes, |x| signed(i64::from(x))),
        DataType::Int64 => absorb_fixed::<Int64Type>(array, first, lanes, signed),
        DataType::UInt8 => absorb_fixed::<UInt8Type>(array, first, lanes, |x| signed(i64::from(x))),
        DataType::UInt16 => absorb_fixed::<UInt16Type>(array, first, lanes, |x| signed(i64::from(x))),
        DataType::UInt32 => absorb_fixed::<UInt32Type>(array, first, lanes, |x| signed(i64::from(x))),
        DataType::UInt64 => absorb_fixed::<UInt64Type>(array, first, lanes, unsigned),
        DataType::Float32 => {
            absorb_fixed::<Float32Type>(array, first, lanes, |x| encode::float(f64::from(x)));
        }
        DataType::Float64 => absorb_fixed::<Float64Type>(array, first, lanes, encode::float),
        DataType::Date32 => absorb_fixed::<Date32Type>(array, first, lanes, encode::date),
        DataType::Timestamp(unit, _) => absorb_timestamps(*unit, array, first, lanes),
        DataType::Utf8 => absorb_text(array.as_string::<i32>(), start, first, lanes),
        DataType::LargeUtf8 => absorb_text(array.as_string::<i64>(), start, first, lanes),
        DataType::Utf8View => absorb_text(array.as_string_view(), start, first, lanes),
        // Everything else costs more to encode than to look at row by row.
        _ => lanes.absorb_rows(|i| encode_one(array, first + i, start)),
    }
}

fn absorb_timestamps(unit: TimeUnit, array: &dyn Array, first: usize, lanes: &mut Lanes) {
    use encode::{coarse, micros, nanos};
    use tag::TIMESTAMP;
    match unit {
        TimeUnit::Second => absorb_fixed::<TimestampSecondType>(array, first, lanes, |x| {
            coarse(TIMESTAMP, x, MICROS_PER_SECOND)
        }),
        TimeUnit::Millisecond => absorb_fixed::<TimestampMillisecondType>(array, first, lanes, |x| {
            coarse(TIMESTAMP, x, MICROS_PER_MILLI)
        }),
        TimeUnit::Microsecond => {
            absorb_fixed::<TimestampMicrosecondType>(array, first, lanes, |x| micros(TIMESTAMP, x));
        }
        TimeUnit::Nanosecond => {
            absorb_fixed::<TimestampNanosecondType>(array, first, lanes, |x| nanos(TIMESTAMP, x));
        }
    }
}

/// Encodes one value of a column that can be a key.
fn encode_one(array: &dyn Array, row: usize, start: (u32, u32)) -> Encoded {
    if array.is_null(row) {
        return encode::NULL;
    }
    fn value<T: ArrowPrimitiveType>(array: &dyn Array, row: usize) -> T::Native {
        array.as_primitive::<T>().value(row)
    }
    use encode::{coarse, micros, nanos, signed};
    let list = |items: ArrayRef| {
        encode::values(tag::LIST, start, (0..items.len()).map(|i| encode_one(items.as_ref(), i, start)))
    };
    match array.data_type() {
        DataType::Boolean => encode::boolean(array.as_boolean().value(row)),
        DataType::Int8 => signed(i64::from(value::<Int8Type>(array, row))),
        DataType::Int16 => signed(i64::from(value::<Int16Type>(array, row))),
        DataType::Int32 => signed(i64::from(value::<Int32Type>(array, row))),
        DataType::Int64 => signed(value::<Int64Type>(array, row)),
        DataType::UInt8 => signed(i64::from(value::<UInt8Type>(array, row))),
        DataType::UInt16 => signed(i64::from(value::<UInt16Type>(array, row))),
        DataType::UInt32 => signed(i64::from(value::<UInt32Type>(array, row))),
        DataType::UInt64 => encode::unsigned(value::<UInt64Type>(array, row)),
        DataType::Float16 => encode::float(value::<Float16Type>(array, row).to_f64()),
        DataType::Float32 => encode::float(f64::from(value::<Float32Type>(array, row))),
        DataType::Float64 => encode::float(value::<Float64Type>(array, row)),
        DataType::Decimal32(_, scale) => {
            encode::decimal(start, i128::from(value::<Decimal32Type>(array, row)), *scale)
        }
        DataType::Decimal64(_, scale) => {
            encode::decimal(start, i128::from(value::<Decimal64Type>(array, row)), *scale)
        }
        DataType::Decimal128(_, scale) => encode::decimal(start, value::<Decimal128Type>(array, row), *scale),
        DataType::Decimal256(_, scale) => {
            encode::decimal_256(start, value::<Decimal256Type>(array, row), *scale)
        }
        DataType::Date32 => encode::date(value::<Date32Type>(array, row)),
        DataType::Date64 => encode::date_millis(value::<Date64Type>(array, row)),
        DataType::Time32(TimeUnit::Second) => {
            coarse(tag::TIME, i64::from(value::<Time32SecondType>(array, row)), MICROS_PER_SECOND)
        }
        DataType::Time32(_) => {
            coarse(tag::TIME, i64::from(value::<Time32MillisecondType>(array, row)), MICROS_PER_MILLI)
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            micros(tag::TIME, value::<Time64MicrosecondType>(array, row))
        }
        DataType::Time64(_) => nanos(tag::TIME, value::<Time64NanosecondType>(array, row)),
        DataType::Timestamp(TimeUnit::Second, _) => {
            coarse(tag::TIMESTAMP, value::<TimestampSecondType>(array, row), MICROS_PER_SECOND)
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            coarse(tag::TIMESTAMP, value::<TimestampMillisecondType>(array, row), MICROS_PER_MILLI)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            micros(tag::TIMESTAMP, value::<TimestampMicrosecondType>(array, row))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            nanos(tag::TIMESTAMP, value::<TimestampNanosecondType>(array, row))
        }
        DataType::Duration(TimeUnit::Second) => {
            coarse(tag::DURATION, value::<DurationSecondType>(array, row), MICROS_PER_SECOND)
        }
        DataType::Duration(TimeUnit::Millisecond) => {
            coarse(tag::DURATION, value::<DurationMillisecondType>(array, row), MICROS_PER_MILLI)
        }
        DataType::Duration(TimeUnit::Microsecond) => {
            micros(tag::DURATION, value::<DurationMicrosecondType>(array, row))
        }
        DataType::Duration(TimeUnit::Nanosecond) => {
            nanos(tag::DURATION, value::<DurationNanosecondType>(array, row))
        }
        DataType::Interval(IntervalUnit::YearMonth) => {
            encode::interval(start, value::<IntervalYearMonthType>(array, row), 0, 0)
        }
        DataType::Interval(IntervalUnit::DayTime) => {
            let span = value::<IntervalDayTimeType>(array, row);
            encode::interval(start, 0, span.days, i64::from(span.milliseconds) * NANOS_PER_MILLI)
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let span = value::<IntervalMonthDayNanoType>(array, row);
            encode::interval(start, span.months, span.days, span.nanoseconds)
        }
        DataType::Utf8 => encode::text(start, array.as_string::<i32>().value(row).as_bytes()),
        DataType::LargeUtf8 => encode::text(start, array.as_string::<i64>().value(row).as_bytes()),
        DataType::Utf8View => encode::text(start, array.as_string_view().value(row).as_bytes()),
        DataType::Binary => encode::binary(start, array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => encode::binary(start, array.as_binary::<i64>().value(row)),
        DataType::BinaryView => encode::binary(start, array.as_binary_view().value(row)),
        DataType::FixedSizeBinary(_) => encode::binary(start, array.as_fixed_size_binary().value(row)),
        DataType::List(_) => list(array.as_list::<i32>().value(row)),
        DataType::LargeList(_) => list(array.as_list::<i64>().value(row)),
        DataType::ListView(_) => list(array.as_list_view::<i32>().value(row)),
        DataType::LargeListView(_) => list(array.as_list_view::<i64>().value(row)),
        DataType::FixedSizeList(_, _) => list(array.as_fixed_size_list().value(row)),
        DataType::Struct(_) => {
            let columns = array.as_struct().columns();
            encode::values(tag::STRUCT, start, columns.iter().map(|c| encode_one(c.as_ref(), row, start)))
        }
        DataType::Dictionary(_, _) => {
            let dictionary = array.as_any_dictionary();
            let (keys, values) = (dictionary.keys(), dictionary.values().as_ref());
            key_at(keys, row)
                .filter(|k| *k < values.len())
                .map_or(encode::NULL, |k| encode_one(values, k, start))
        }
        DataType::RunEndEncoded(_, _) => match run_values(&array.slice(row, 1)) {
            Some((places, values)) => encode_one(values.as_ref(), places[0], start),
            None => encode::NULL,
        },
        other => {
            debug_assert!(matches!(other, DataType::Null), "{other} is not a key type");
            encode::NULL
        }
    }
}

fn key_at(keys: &dyn Array, row: usize) -> Option<usize> {
    downcast_integer_array!(
        keys => keys.value(row).to_usize(),
        _ => None
    )
}
