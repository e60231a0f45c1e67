//! From Arrow arrays to the lanes: which loop serves which type, and how nulls and dictionaries enter.
//!
//! Fixed-width types run through a loop over their value buffer as if nothing were null; null rows are
//! then redone from a copy of the state before the loop. What lies under a null is computed with and
//! thrown away, so it cannot matter. The other types ask for the null bit first, row by row.

use arrow::array::{
    Array, ArrayAccessor, ArrowPrimitiveType, AsArray, PrimitiveArray, downcast_integer_array,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    ArrowNativeType, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

use super::encode;
use super::lanes::{Encoded, Lanes};
use super::supports_plain;

const MICROS_PER_MILLI: i64 = 1_000;
const MICROS_PER_SECOND: i64 = 1_000_000;

/// A key column, ready to be absorbed block by block.
pub(super) enum Column<'a> {
    /// A column that is not a dictionary.
    Plain { array: &'a dyn Array, start: (u32, u32) },
    /// Keys into a dictionary whose values are encoded already.
    Dictionary { keys: &'a dyn Array, values: Vec<Encoded> },
    /// Keys into a dictionary that has more values than there are rows: encoding only what the rows
    /// point at is less work, and a small slice of a large dictionary is common.
    LargeDictionary { keys: &'a dyn Array, values: &'a dyn Array, start: (u32, u32) },
}

impl<'a> Column<'a> {
    /// The column over `array`, or `None` where its type cannot be a key.
    pub(super) fn new(array: &'a dyn Array, start: (u32, u32)) -> Option<Self> {
        let Some(dictionary) = array.as_any_dictionary_opt() else {
            return supports_plain(array.data_type()).then_some(Column::Plain { array, start });
        };
        let (keys, values) = (dictionary.keys(), dictionary.values().as_ref());
        if !supports_plain(values.data_type()) {
            return None;
        }
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

/// Absorbs a block of a column that is not a dictionary.
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
        DataType::Decimal128(_, scale) => {
            let values = array.as_primitive::<Decimal128Type>().values();
            absorb_valid(array.nulls(), first, lanes, |i| encode::decimal(start, values[first + i], *scale));
        }
        DataType::Date32 => absorb_fixed::<Date32Type>(array, first, lanes, encode::date),
        DataType::Timestamp(unit, _) => absorb_timestamps(*unit, array, first, lanes),
        DataType::Utf8 => absorb_text(array.as_string::<i32>(), start, first, lanes),
        DataType::LargeUtf8 => absorb_text(array.as_string::<i64>(), start, first, lanes),
        DataType::Utf8View => absorb_text(array.as_string_view(), start, first, lanes),
        other => {
            debug_assert!(matches!(other, DataType::Null), "{other} is not a key type");
            lanes.absorb_rows(|_| encode::NULL);
        }
    }
}

fn absorb_timestamps(unit: TimeUnit, array: &dyn Array, first: usize, lanes: &mut Lanes) {
    use encode::{timestamp_coarse, timestamp_micros, timestamp_nanos};
    match unit {
        TimeUnit::Second => absorb_fixed::<TimestampSecondType>(array, first, lanes, |x| {
            timestamp_coarse(x, MICROS_PER_SECOND)
        }),
        TimeUnit::Millisecond => absorb_fixed::<TimestampMillisecondType>(array, first, lanes, |x| {
            timestamp_coarse(x, MICROS_PER_MILLI)
        }),
        TimeUnit::Microsecond => {
            absorb_fixed::<TimestampMicrosecondType>(array, first, lanes, timestamp_micros);
        }
        TimeUnit::Nanosecond => {
            absorb_fixed::<TimestampNanosecondType>(array, first, lanes, timestamp_nanos);
        }
    }
}

/// Encodes one value of an array that is not a dictionary.
fn encode_one(array: &dyn Array, row: usize, start: (u32, u32)) -> Encoded {
    if array.is_null(row) {
        return encode::NULL;
    }
    fn value<T: ArrowPrimitiveType>(array: &dyn Array, row: usize) -> T::Native {
        array.as_primitive::<T>().value(row)
    }
    use encode::signed;
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
        DataType::Float32 => encode::float(f64::from(value::<Float32Type>(array, row))),
        DataType::Float64 => encode::float(value::<Float64Type>(array, row)),
        DataType::Decimal128(_, scale) => encode::decimal(start, value::<Decimal128Type>(array, row), *scale),
        DataType::Date32 => encode::date(value::<Date32Type>(array, row)),
        DataType::Timestamp(TimeUnit::Second, _) => {
            encode::timestamp_coarse(value::<TimestampSecondType>(array, row), MICROS_PER_SECOND)
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            encode::timestamp_coarse(value::<TimestampMillisecondType>(array, row), MICROS_PER_MILLI)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            encode::timestamp_micros(value::<TimestampMicrosecondType>(array, row))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            encode::timestamp_nanos(value::<TimestampNanosecondType>(array, row))
        }
        DataType::Utf8 => encode::text(start, array.as_string::<i32>().value(row).as_bytes()),
        DataType::LargeUtf8 => encode::text(start, array.as_string::<i64>().value(row).as_bytes()),
        DataType::Utf8View => encode::text(start, array.as_string_view().value(row).as_bytes()),
        other => {
            debug_assert!(matches!(other, DataType::Null), "{other} is not a key type");
            encode::NULL
        }
    }
}
