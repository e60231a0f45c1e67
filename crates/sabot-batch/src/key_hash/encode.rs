//! Canonical forms: what makes two differently stored equal values one key.
//!
//! Every value becomes one header word (family tag, plus what does not fit the pair) and one pair of
//! words, as the table in `docs/key-hash.md` says. That a value is one pair, whatever its size, is what
//! lets dictionaries be encoded once and looked up.

use arrow::datatypes::i256;

use super::lanes::{Encoded, absorb, step, words};

/// Family tags. They are part of the specification and are never given out twice.
pub(super) mod tag {
    pub(in crate::key_hash) const NULL: u32 = 1;
    pub(in crate::key_hash) const BOOL: u32 = 2;
    pub(in crate::key_hash) const INTEGER: u32 = 3;
    pub(in crate::key_hash) const INTEGER_LARGE: u32 = 4;
    pub(in crate::key_hash) const FLOAT: u32 = 5;
    pub(in crate::key_hash) const DECIMAL: u32 = 6;
    pub(in crate::key_hash) const DECIMAL_WIDE: u32 = 7;
    pub(in crate::key_hash) const TEXT: u32 = 8;
    pub(in crate::key_hash) const DATE: u32 = 9;
    /// The next tag is for timestamps outside the range of 64-bit microseconds.
    pub(in crate::key_hash) const TIMESTAMP: u32 = 10;
    pub(in crate::key_hash) const BYTES: u32 = 12;
    pub(in crate::key_hash) const TIME: u32 = 13;
    /// The next tag is for durations outside the range of 64-bit microseconds.
    pub(in crate::key_hash) const DURATION: u32 = 14;
    pub(in crate::key_hash) const INTERVAL: u32 = 16;
    pub(in crate::key_hash) const LIST: u32 = 17;
    pub(in crate::key_hash) const STRUCT: u32 = 18;
}

/// The bits of the one NaN.
const NAN_BITS: u64 = 0x7ff8_0000_0000_0000;

/// Null, of any type.
pub(super) const NULL: Encoded = Encoded { header: tag::NULL, pair: (0, 0) };

/// `tag + 256 · aux`; the shift drops what lies above 24 bits, as the specification asks.
#[inline(always)]
fn header(tag: u32, aux: u32) -> u32 {
    tag | aux << 8
}

/// The pair of a signed number.
#[inline(always)]
fn signed_pair(x: i64) -> (u32, u32) {
    words(x.cast_unsigned())
}

/// An integer of any width up to 64 bits, signed or small enough to be.
#[inline(always)]
pub(super) fn signed(x: i64) -> Encoded {
    Encoded { header: tag::INTEGER, pair: signed_pair(x) }
}

/// An unsigned integer; below 2⁶³ it is the same key as the signed one.
#[inline(always)]
pub(super) fn unsigned(x: u64) -> Encoded {
    let tag = if x >> 63 == 0 { tag::INTEGER } else { tag::INTEGER_LARGE };
    Encoded { header: tag, pair: words(x) }
}

/// A float: one zero, one NaN.
#[inline(always)]
pub(super) fn float(x: f64) -> Encoded {
    // Adding 0.0 turns -0.0 into 0.0 and leaves every other number as it is.
    let bits = if x.is_nan() { NAN_BITS } else { (x + 0.0).to_bits() };
    Encoded { header: tag::FLOAT, pair: words(bits) }
}

/// Days.
#[inline(always)]
pub(super) fn date(days: i32) -> Encoded {
    Encoded { header: tag::DATE, pair: signed_pair(i64::from(days)) }
}

/// Milliseconds: whole days, and what is left of one in the header.
#[inline]
pub(super) fn date_millis(millis: i64) -> Encoded {
    const DAY: i64 = 86_400_000;
    // The remainder is below 2³²; the header keeps 24 bits of it.
    let rest = millis.rem_euclid(DAY) as u32;
    Encoded { header: header(tag::DATE, rest), pair: signed_pair(millis.div_euclid(DAY)) }
}

#[inline(always)]
pub(super) fn boolean(x: bool) -> Encoded {
    Encoded { header: tag::BOOL, pair: (u32::from(x), 0) }
}

/// A decimal: trailing zeros of the coefficient move into the scale.
pub(super) fn decimal(start: (u32, u32), coefficient: i128, scale: i8) -> Encoded {
    if let Ok(small) = i64::try_from(coefficient) {
        // Nearly all decimals in practice: 64-bit division is several times cheaper than 128-bit.
        let (small, scale) = strip_zeros_64(small, i32::from(scale));
        return Encoded { header: header(tag::DECIMAL, scale.cast_unsigned()), pair: signed_pair(small) };
    }
    decimal_of_128(start, coefficient, i32::from(scale))
}

/// A decimal in 256 bits.
pub(super) fn decimal_256(start: (u32, u32), coefficient: i256, scale: i8) -> Encoded {
    if let Some(narrow) = coefficient.to_i128() {
        return decimal(start, narrow, scale);
    }
    let ten = i256::from(10);
    let (mut coefficient, mut scale) = (coefficient, i32::from(scale));
    // The coefficient is far from zero as long as it does not fit 128 bits.
    while coefficient.to_i128().is_none() && coefficient.wrapping_rem(ten) == i256::ZERO {
        coefficient = coefficient.wrapping_div(ten);
        scale -= 1;
    }
    if let Some(narrow) = coefficient.to_i128() {
        return decimal_of_128(start, narrow, scale);
    }
    let bytes = coefficient.to_le_bytes();
    let (blocks, _) = bytes.as_chunks::<8>();
    let pair = blocks.iter().fold(start, |(a, b), block| step(a, b, words(u64::from_le_bytes(*block))));
    Encoded { header: header(tag::DECIMAL_WIDE, scale.cast_unsigned()), pair }
}

fn decimal_of_128(start: (u32, u32), coefficient: i128, scale: i32) -> Encoded {
    let (coefficient, scale) = strip_zeros_128(coefficient, scale);
    let aux = scale.cast_unsigned();
    match i64::try_from(coefficient) {
        Ok(small) => Encoded { header: header(tag::DECIMAL, aux), pair: signed_pair(small) },
        Err(_) => {
            let bits = coefficient.cast_unsigned();
            // The casts split the 128 bits into two halves.
            let (low, high) = (words(bits as u64), words((bits >> 64) as u64));
            let (a, b) = step(start.0, start.1, low);
            Encoded { header: header(tag::DECIMAL_WIDE, aux), pair: step(a, b, high) }
        }
    }
}

fn strip_zeros_64(mut coefficient: i64, mut scale: i32) -> (i64, i32) {
    if coefficient == 0 {
        return (0, 0);
    }
    while coefficient % 10 == 0 {
        coefficient /= 10;
        scale -= 1;
    }
    (coefficient, scale)
}

fn strip_zeros_128(mut coefficient: i128, mut scale: i32) -> (i128, i32) {
    if coefficient == 0 {
        return (0, 0);
    }
    while coefficient % 10 == 0 {
        coefficient /= 10;
        scale -= 1;
    }
    (coefficient, scale)
}

/// Text.
#[inline]
pub(super) fn text(start: (u32, u32), bytes: &[u8]) -> Encoded {
    string(tag::TEXT, start, bytes)
}

/// Bytes that are not text.
#[inline]
pub(super) fn binary(start: (u32, u32), bytes: &[u8]) -> Encoded {
    string(tag::BYTES, start, bytes)
}

/// Up to eight bytes are the pair themselves, more are digested eight at a time.
#[inline]
fn string(tag: u32, start: (u32, u32), bytes: &[u8]) -> Encoded {
    // Only 24 bits of the length are used, so the cast loses nothing that counts.
    let header = header(tag, bytes.len() as u32);
    if bytes.len() <= 8 {
        return Encoded { header, pair: words(short_text(bytes)) };
    }
    let (blocks, rest) = bytes.as_chunks::<8>();
    let (mut a, mut b) = start;
    for block in blocks {
        (a, b) = step(a, b, words(u64::from_le_bytes(*block)));
    }
    if !rest.is_empty() {
        (a, b) = step(a, b, words(short_text(rest)));
    }
    Encoded { header, pair: (a, b) }
}

/// Up to eight bytes as a little-endian number, zero above them. Reads overlap instead of looping: a
/// copy of variable length costs more than the rest of the hash for the short keys that are common.
#[inline]
fn short_text(bytes: &[u8]) -> u64 {
    let n = bytes.len();
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        // 4 to 8 bytes: where the two reads overlap they agree.
        return u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << (8 * (n - 4));
    }
    match *bytes {
        [] => 0,
        [x] => u64::from(x),
        [x, y] => u64::from(u16::from_le_bytes([x, y])),
        [x, y, z, ..] => u64::from(u32::from_le_bytes([x, y, z, 0])),
    }
}

/// Points in time and spans of time: a count of microseconds, under the tag of the family.
#[inline(always)]
pub(super) fn micros(tag: u32, count: i64) -> Encoded {
    Encoded { header: tag, pair: signed_pair(count) }
}

/// A count in a unit of `micros_per_unit` microseconds, that is in seconds or milliseconds. The tag after that of
/// the family is for what leaves the range.
#[inline]
pub(super) fn coarse(tag: u32, count: i64, micros_per_unit: i64) -> Encoded {
    match count.checked_mul(micros_per_unit) {
        Some(count) => micros(tag, count),
        None => {
            let micros = (i128::from(count) * i128::from(micros_per_unit)).cast_unsigned();
            // The casts take bits 0 to 63 and bits 64 to 95; the header keeps 24 of the latter.
            Encoded { header: header(tag + 1, (micros >> 64) as u32), pair: words(micros as u64) }
        }
    }
}

/// A count of nanoseconds: whole microseconds rounded down, the remainder in the header.
#[inline]
pub(super) fn nanos(tag: u32, count: i64) -> Encoded {
    // The remainder is 0 to 999, so the cast keeps it whole.
    let remainder = count.rem_euclid(1000) as u32;
    Encoded { header: header(tag, remainder), pair: signed_pair(count.div_euclid(1000)) }
}

/// An interval by its three parts.
pub(super) fn interval(start: (u32, u32), months: i32, days: i32, nanoseconds: i64) -> Encoded {
    let (a, b) = step(start.0, start.1, (months.cast_unsigned(), days.cast_unsigned()));
    Encoded { header: tag::INTERVAL, pair: step(a, b, signed_pair(nanoseconds)) }
}

/// The items of a list or the fields of a struct.
pub(super) fn values(tag: u32, start: (u32, u32), values: impl ExactSizeIterator<Item = Encoded>) -> Encoded {
    // Only 24 bits of the number are used, so the cast loses nothing that counts.
    let header = header(tag, values.len() as u32);
    Encoded { header, pair: values.fold(start, |(a, b), value| absorb(a, b, value)) }
}
