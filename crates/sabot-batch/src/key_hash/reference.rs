//! The key hash once more: slow, one value at a time, straight from `docs/key-hash.md`.
//!
//! It shares no code with the fast form, so that a mistake in one shows as a difference. Timestamps are
//! computed in 128 bits, decimals digit by digit, text byte by byte.

use arrow::array::{Array, ArrayRef, AsArray, make_array};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type,
    Decimal256Type, Float64Type, Int64Type, IntervalDayTimeType, IntervalMonthDayNanoType, IntervalUnit,
    IntervalYearMonthType, TimeUnit, UInt64Type, i256,
};

use super::{KeyHashError, supports_key};

/// One value of a key as it arrives. Two that differ only in how they are written (`1.5` and `1.50`,
/// −0.0 and 0.0, 1 s and 1,000 ms, signed and unsigned 7) have one hash.
#[derive(Clone, Debug, PartialEq)]
pub enum KeyValue {
    /// Null of any type.
    Null,
    /// A boolean.
    Bool(bool),
    /// A signed integer of any width.
    Signed(i64),
    /// An unsigned integer of any width.
    Unsigned(u64),
    /// A float; single precision is widened.
    Float(f64),
    /// `coefficient · 10^(−scale)`.
    Decimal {
        /// The digits.
        coefficient: i256,
        /// How many of them stand after the point; negative for trailing zeros before it.
        scale: i8,
    },
    /// Text.
    Text(String),
    /// Bytes that are not text.
    Bytes(Vec<u8>),
    /// Days since 1970-01-01.
    Date(i32),
    /// Milliseconds since 1970-01-01, of a date that counts these.
    DateMillis(i64),
    /// A time of day.
    Time {
        /// Units since midnight.
        count: i64,
        /// The unit.
        unit: TimeUnit,
    },
    /// An instant.
    Timestamp {
        /// Units since 1970-01-01T00:00:00 UTC.
        count: i64,
        /// The unit.
        unit: TimeUnit,
    },
    /// A span of time of fixed length.
    Duration {
        /// Units.
        count: i64,
        /// The unit.
        unit: TimeUnit,
    },
    /// A span of time by the calendar; its parts are not added up.
    Interval {
        /// Months.
        months: i32,
        /// Days.
        days: i32,
        /// Nanoseconds.
        nanoseconds: i64,
    },
    /// The items of a list of any kind.
    List(Vec<KeyValue>),
    /// The values of the fields of a struct.
    Struct(Vec<KeyValue>),
}

impl KeyValue {
    /// The value at `row` of `array`. Slow: it casts a slice of one row to the family's widest type.
    ///
    /// # Errors
    /// [`KeyHashError::UnsupportedType`], as column 0, for a type that cannot be a key.
    ///
    /// # Panics
    /// If `row` is outside the array, as Arrow's own accessors do.
    pub fn from_array(array: &dyn Array, row: usize) -> Result<KeyValue, KeyHashError> {
        let refuse = || KeyHashError::UnsupportedType { column: 0, data_type: array.data_type().clone() };
        if !supports_key(array.data_type()) {
            return Err(refuse());
        }
        let mut one = array.slice(row, 1);
        while let DataType::Dictionary(..) | DataType::RunEndEncoded(..) = one.data_type() {
            one = decoded(&one).ok_or_else(refuse)?;
        }
        if one.data_type() == &DataType::Null || one.is_null(0) {
            return Ok(KeyValue::Null);
        }
        fn first<T: ArrowPrimitiveType>(one: &ArrayRef) -> T::Native {
            one.as_primitive::<T>().value(0)
        }
        let widened = |to: DataType| cast(&one, &to).map_err(|_| refuse());
        let all = |items: ArrayRef| {
            (0..items.len()).map(|i| KeyValue::from_array(&items, i)).collect::<Result<Vec<_>, _>>()
        };
        let decimal = |coefficient, scale: &i8| KeyValue::Decimal { coefficient, scale: *scale };
        let interval = |months, days, nanoseconds| KeyValue::Interval { months, days, nanoseconds };
        Ok(match one.data_type() {
            DataType::Boolean => KeyValue::Bool(one.as_boolean().value(0)),
            DataType::Float16 | DataType::Float32 | DataType::Float64 => {
                KeyValue::Float(first::<Float64Type>(&widened(DataType::Float64)?))
            }
            DataType::Decimal32(_, scale) => decimal(i256::from(first::<Decimal32Type>(&one)), scale),
            DataType::Decimal64(_, scale) => decimal(i256::from(first::<Decimal64Type>(&one)), scale),
            DataType::Decimal128(_, scale) => decimal(i256::from(first::<Decimal128Type>(&one)), scale),
            DataType::Decimal256(_, scale) => decimal(first::<Decimal256Type>(&one), scale),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                KeyValue::Text(widened(DataType::LargeUtf8)?.as_string::<i64>().value(0).to_owned())
            }
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => {
                KeyValue::Bytes(widened(DataType::LargeBinary)?.as_binary::<i64>().value(0).to_owned())
            }
            DataType::Date32 => KeyValue::Date(first::<Date32Type>(&one)),
            DataType::Date64 => KeyValue::DateMillis(first::<Date64Type>(&one)),
            DataType::Time32(unit) => {
                let narrow = cast(&one, &DataType::Int32).map_err(|_| refuse())?;
                let count = cast(&narrow, &DataType::Int64).map_err(|_| refuse())?;
                KeyValue::Time { count: first::<Int64Type>(&count), unit: *unit }
            }
            DataType::Time64(unit) => {
                KeyValue::Time { count: first::<Int64Type>(&widened(DataType::Int64)?), unit: *unit }
            }
            DataType::Timestamp(unit, _) => {
                KeyValue::Timestamp { count: first::<Int64Type>(&widened(DataType::Int64)?), unit: *unit }
            }
            DataType::Duration(unit) => {
                KeyValue::Duration { count: first::<Int64Type>(&widened(DataType::Int64)?), unit: *unit }
            }
            DataType::Interval(IntervalUnit::YearMonth) => {
                interval(first::<IntervalYearMonthType>(&one), 0, 0)
            }
            DataType::Interval(IntervalUnit::DayTime) => {
                let span = first::<IntervalDayTimeType>(&one);
                interval(0, span.days, i64::from(span.milliseconds) * 1_000_000)
            }
            DataType::Interval(IntervalUnit::MonthDayNano) => {
                let span = first::<IntervalMonthDayNanoType>(&one);
                interval(span.months, span.days, span.nanoseconds)
            }
            DataType::List(_) => KeyValue::List(all(one.as_list::<i32>().value(0))?),
            DataType::LargeList(_) => KeyValue::List(all(one.as_list::<i64>().value(0))?),
            DataType::ListView(_) => KeyValue::List(all(one.as_list_view::<i32>().value(0))?),
            DataType::LargeListView(_) => KeyValue::List(all(one.as_list_view::<i64>().value(0))?),
            DataType::FixedSizeList(_, _) => KeyValue::List(all(one.as_fixed_size_list().value(0))?),
            DataType::Struct(_) => {
                let columns = one.as_struct().columns();
                KeyValue::Struct(
                    columns.iter().map(|c| KeyValue::from_array(c, 0)).collect::<Result<_, _>>()?,
                )
            }
            unsigned if unsigned.is_unsigned_integer() => {
                KeyValue::Unsigned(first::<UInt64Type>(&widened(DataType::UInt64)?))
            }
            _ => KeyValue::Signed(first::<Int64Type>(&widened(DataType::Int64)?)),
        })
    }
}

/// One row of a dictionary or of runs, looked up. As short as it is: the value of its only row, or a null.
fn decoded(one: &ArrayRef) -> Option<ArrayRef> {
    if let Some(dictionary) = one.as_any_dictionary_opt() {
        let key = cast(dictionary.keys(), &DataType::Int64).ok()?;
        let values = dictionary.values();
        if key.is_null(0) {
            return Some(arrow::array::new_null_array(values.data_type(), 1));
        }
        let place = usize::try_from(key.as_primitive::<Int64Type>().value(0)).ok()?;
        return Some(values.slice(place, 1));
    }
    // The only run that is left of a slice of one row stands at its offset in the data.
    let data = one.to_data();
    let ends = cast(&make_array(data.child_data()[0].clone()), &DataType::Int64).ok()?;
    let ends = ends.as_primitive::<Int64Type>();
    let place =
        ends.values().iter().position(|end| usize::try_from(*end).is_ok_and(|end| end > data.offset()))?;
    Some(make_array(data.child_data()[1].clone()).slice(place, 1))
}

/// The hash of one key under `seed`, computed the slow way.
///
/// ```
/// use sabot_batch::key_hash::{KeyValue, reference_hash};
/// let a = reference_hash(1, &[KeyValue::Decimal { coefficient: 150.into(), scale: 2 }]);
/// let b = reference_hash(1, &[KeyValue::Decimal { coefficient: 15.into(), scale: 1 }]);
/// assert_eq!(a, b);
/// assert_ne!(a, reference_hash(1, &[KeyValue::Float(1.5)]), "families are tagged");
/// ```
pub fn reference_hash(seed: u64, key: &[KeyValue]) -> u64 {
    let mut state = State::start(seed);
    key.iter().for_each(|value| state.absorb(encode(seed, value)));
    state.finish();
    (u64::from(state.b) << 32) + u64::from(state.a)
}

struct State {
    a: u32,
    b: u32,
}

impl State {
    fn start(seed: u64) -> State {
        let [low, high] = halves(seed);
        let mut state = State { a: low ^ 0x243f_6a88, b: high ^ 0x85a3_08d3 };
        state.finish();
        state
    }

    fn step(&mut self, w0: u32, w1: u32) {
        let k = w0.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
        self.a = (self.a ^ k).rotate_left(13).wrapping_add(self.b);
        let k = w1.wrapping_mul(0x239b_961b).rotate_left(16).wrapping_mul(0xab0e_9789);
        self.b = (self.b ^ k).rotate_left(17).wrapping_add(self.a);
    }

    fn absorb(&mut self, (header, words): (u32, [u32; 2])) {
        self.a = self.a.wrapping_add(header.wrapping_mul(0x9e37_79b1));
        self.b ^= header.wrapping_mul(0x85eb_ca77);
        self.step(words[0], words[1]);
    }

    fn finish(&mut self) {
        self.a = mix(self.a.wrapping_add(self.b));
        self.b = mix(self.b.wrapping_add(self.a));
        self.a = self.a.wrapping_add(self.b);
    }
}

fn mix(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x7feb_352d);
    x ^= x >> 15;
    x = x.wrapping_mul(0x846c_a68b);
    x ^= x >> 16;
    x
}

fn halves(x: u64) -> [u32; 2] {
    let bytes = x.to_le_bytes();
    [0, 4].map(|i| u32::from_le_bytes([bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]]))
}

fn header(tag: u32, aux: i128) -> u32 {
    // A remainder below 2^24 fits a word.
    tag + 256 * aux.rem_euclid(1 << 24) as u32
}

fn encode(seed: u64, value: &KeyValue) -> (u32, [u32; 2]) {
    match value {
        KeyValue::Null => (1, [0, 0]),
        KeyValue::Bool(x) => (2, [u32::from(*x), 0]),
        KeyValue::Signed(x) => (3, halves(x.cast_unsigned())),
        KeyValue::Unsigned(x) => (if *x < 1 << 63 { 3 } else { 4 }, halves(*x)),
        KeyValue::Float(x) if x.is_nan() => (5, halves(0x7ff8_0000_0000_0000)),
        KeyValue::Float(x) if *x == 0.0 => (5, [0, 0]),
        KeyValue::Float(x) => (5, halves(x.to_bits())),
        KeyValue::Decimal { coefficient, scale } => encode_decimal(seed, *coefficient, i128::from(*scale)),
        KeyValue::Text(text) => encode_bytes(seed, 8, text.as_bytes()),
        KeyValue::Date(days) => (9, halves(i64::from(*days).cast_unsigned())),
        KeyValue::DateMillis(millis) => {
            let rest = header(9, i128::from(millis.rem_euclid(86_400_000)));
            (rest, halves(millis.div_euclid(86_400_000).cast_unsigned()))
        }
        KeyValue::Timestamp { count, unit } => encode_micros(10, *count, *unit),
        KeyValue::Bytes(bytes) => encode_bytes(seed, 12, bytes),
        KeyValue::Time { count, unit } => encode_micros(13, *count, *unit),
        KeyValue::Duration { count, unit } => encode_micros(14, *count, *unit),
        KeyValue::Interval { months, days, nanoseconds } => {
            let mut bytes = months.to_le_bytes().to_vec();
            bytes.extend(days.to_le_bytes());
            bytes.extend(nanoseconds.to_le_bytes());
            (16, digest(seed, &bytes))
        }
        KeyValue::List(items) => encode_values(seed, 17, items),
        KeyValue::Struct(fields) => encode_values(seed, 18, fields),
    }
}

fn encode_values(seed: u64, tag: u32, values: &[KeyValue]) -> (u32, [u32; 2]) {
    let mut state = State::start(seed);
    values.iter().for_each(|value| state.absorb(encode(seed, value)));
    (header(tag, values.len() as i128), [state.a, state.b])
}

fn encode_decimal(seed: u64, mut coefficient: i256, mut scale: i128) -> (u32, [u32; 2]) {
    let ten = i256::from(10);
    if coefficient == i256::ZERO {
        scale = 0;
    }
    while coefficient != i256::ZERO && coefficient.wrapping_rem(ten) == i256::ZERO {
        coefficient = coefficient.wrapping_div(ten);
        scale -= 1;
    }
    match coefficient.to_i128() {
        None => (header(7, scale), digest(seed, &coefficient.to_le_bytes())),
        Some(narrow) => match i64::try_from(narrow) {
            Ok(small) => (header(6, scale), halves(small.cast_unsigned())),
            Err(_) => (header(7, scale), digest(seed, &narrow.to_le_bytes())),
        },
    }
}

fn encode_bytes(seed: u64, tag: u32, bytes: &[u8]) -> (u32, [u32; 2]) {
    // Nothing is longer than 2^63 bytes.
    let header = header(tag, bytes.len() as i128);
    if bytes.len() > 8 {
        return (header, digest(seed, bytes));
    }
    (header, halves(padded(bytes)))
}

fn encode_micros(tag: u32, count: i64, unit: TimeUnit) -> (u32, [u32; 2]) {
    let nanos_per_unit: i128 = match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    };
    let nanos = i128::from(count) * nanos_per_unit;
    let micros = nanos.div_euclid(1000);
    match i64::try_from(micros) {
        Ok(narrow) => (header(tag, nanos.rem_euclid(1000)), halves(narrow.cast_unsigned())),
        // The cast keeps the low 64 bits, the header what stands above them.
        Err(_) => (header(tag + 1, micros >> 64), halves(micros as u64)),
    }
}

fn digest(seed: u64, bytes: &[u8]) -> [u32; 2] {
    let mut state = State::start(seed);
    for block in bytes.chunks(8) {
        let [w0, w1] = halves(padded(block));
        state.step(w0, w1);
    }
    [state.a, state.b]
}

fn padded(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
