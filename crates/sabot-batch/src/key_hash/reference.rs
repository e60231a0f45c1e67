//! The key hash once more: slow, one value at a time, straight from `docs/key-hash.md`.
//!
//! It shares no code with the fast form, so that a mistake in one shows as a difference. Timestamps are
//! computed in 128 bits, decimals digit by digit, text byte by byte.

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt64Type,
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
        coefficient: i128,
        /// How many of them stand after the point; negative for trailing zeros before it.
        scale: i8,
    },
    /// Text.
    Text(String),
    /// Days since 1970-01-01.
    Date(i32),
    /// An instant.
    Timestamp {
        /// Units since 1970-01-01T00:00:00 UTC.
        count: i64,
        /// The unit.
        unit: TimeUnit,
    },
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
        if let DataType::Dictionary(_, values) = one.data_type() {
            one = cast(&one, values).map_err(|_| refuse())?;
        }
        if one.data_type() == &DataType::Null || one.is_null(0) {
            return Ok(KeyValue::Null);
        }
        let widened = |to: DataType| cast(&one, &to).map_err(|_| refuse());
        Ok(match one.data_type() {
            DataType::Boolean => KeyValue::Bool(one.as_boolean().value(0)),
            DataType::Float32 | DataType::Float64 => {
                KeyValue::Float(widened(DataType::Float64)?.as_primitive::<Float64Type>().value(0))
            }
            DataType::Decimal128(_, scale) => KeyValue::Decimal {
                coefficient: one.as_primitive::<Decimal128Type>().value(0),
                scale: *scale,
            },
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                KeyValue::Text(widened(DataType::LargeUtf8)?.as_string::<i64>().value(0).to_owned())
            }
            DataType::Date32 => KeyValue::Date(one.as_primitive::<Date32Type>().value(0)),
            DataType::Timestamp(unit, _) => KeyValue::Timestamp {
                count: match unit {
                    TimeUnit::Second => one.as_primitive::<TimestampSecondType>().value(0),
                    TimeUnit::Millisecond => one.as_primitive::<TimestampMillisecondType>().value(0),
                    TimeUnit::Microsecond => one.as_primitive::<TimestampMicrosecondType>().value(0),
                    TimeUnit::Nanosecond => one.as_primitive::<TimestampNanosecondType>().value(0),
                },
                unit: *unit,
            },
            unsigned if unsigned.is_unsigned_integer() => {
                KeyValue::Unsigned(widened(DataType::UInt64)?.as_primitive::<UInt64Type>().value(0))
            }
            _ => KeyValue::Signed(widened(DataType::Int64)?.as_primitive::<Int64Type>().value(0)),
        })
    }
}

/// The hash of one key under `seed`, computed the slow way.
///
/// ```
/// use sabot_batch::key_hash::{KeyValue, reference_hash};
/// let a = reference_hash(1, &[KeyValue::Decimal { coefficient: 150, scale: 2 }]);
/// let b = reference_hash(1, &[KeyValue::Decimal { coefficient: 15, scale: 1 }]);
/// assert_eq!(a, b);
/// assert_ne!(a, reference_hash(1, &[KeyValue::Float(1.5)]), "families are tagged");
/// ```
pub fn reference_hash(seed: u64, key: &[KeyValue]) -> u64 {
    let mut state = State::start(seed);
    for value in key {
        let (header, words) = encode(seed, value);
        state.a = state.a.wrapping_add(header.wrapping_mul(0x9e37_79b1));
        state.b ^= header.wrapping_mul(0x85eb_ca77);
        state.step(words[0], words[1]);
    }
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
        KeyValue::Text(text) => encode_text(seed, text.as_bytes()),
        KeyValue::Date(days) => (9, halves(i64::from(*days).cast_unsigned())),
        KeyValue::Timestamp { count, unit } => encode_timestamp(*count, *unit),
    }
}

fn encode_decimal(seed: u64, mut coefficient: i128, mut scale: i128) -> (u32, [u32; 2]) {
    if coefficient == 0 {
        scale = 0;
    }
    while coefficient != 0 && coefficient % 10 == 0 {
        coefficient /= 10;
        scale -= 1;
    }
    if let Ok(small) = i64::try_from(coefficient) {
        return (header(6, scale), halves(small.cast_unsigned()));
    }
    (header(7, scale), digest(seed, &coefficient.to_le_bytes()))
}

fn encode_text(seed: u64, bytes: &[u8]) -> (u32, [u32; 2]) {
    // No text is longer than 2^63 bytes.
    let header = header(8, bytes.len() as i128);
    if bytes.len() > 8 {
        return (header, digest(seed, bytes));
    }
    (header, halves(padded(bytes)))
}

fn encode_timestamp(count: i64, unit: TimeUnit) -> (u32, [u32; 2]) {
    let nanos_per_unit: i128 = match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    };
    let nanos = i128::from(count) * nanos_per_unit;
    let micros = nanos.div_euclid(1000);
    match i64::try_from(micros) {
        Ok(narrow) => (header(10, nanos.rem_euclid(1000)), halves(narrow.cast_unsigned())),
        // The cast keeps the low 64 bits, the header what stands above them.
        Err(_) => (header(11, micros >> 64), halves(micros as u64)),
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
