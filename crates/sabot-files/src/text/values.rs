//! Values as text, fast.
//!
//! Arrow's own writers format every value through two layers of dynamic text and copy it three times.
//! Here every column appends its bytes straight to one buffer, and a value that repeats (the hour of a
//! window, a word of a dictionary) is copied instead of formatted. The two formats of text write the same
//! values; they differ in what stands around them, which is their [`Style`]. The tests of the formats hold
//! the result against Arrow's.

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, GenericStringArray, OffsetSizeTrait,
    PrimitiveArray,
};
use arrow::datatypes::{
    DataType, Date32Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type, i256,
};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use std::fmt;

use sabot_expr::decimal::format_decimal;
use sabot_expr::temporal::format_timestamp;
use sabot_expr::types::is_utc;

use super::nested_values::nested;

/// Appends the values of one column.
pub(crate) trait TextCells {
    /// Appends the value in a row; nothing if it is null.
    fn append(&mut self, row: usize, out: &mut Vec<u8>) -> Result<(), ArrowError>;
}

/// What stands around values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    /// Appends a text, in quotes where the format wants them.
    pub(crate) text: fn(&str, &mut Vec<u8>),
    /// Stands on both sides of a time, which has no byte that would have to be escaped.
    pub(crate) around_times: &'static str,
    /// Whether lists and structs are written as in JSON.
    pub(crate) nests: bool,
    /// How floats are written that are no numbers; as Arrow writes them if `None`.
    pub(crate) no_number: Option<fn(f64) -> &'static str>,
}

/// The values of a column in a style.
pub(crate) fn text_cells(array: &ArrayRef, style: Style) -> Result<Box<dyn TextCells + '_>, ArrowError> {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    let array = array.as_ref();
    Ok(match array.data_type() {
        DataType::Boolean => Box::new(Booleans(array.as_boolean())),
        DataType::Int8 => Box::new(Integers(array.as_primitive::<Int8Type>())),
        DataType::Int16 => Box::new(Integers(array.as_primitive::<Int16Type>())),
        DataType::Int32 => Box::new(Integers(array.as_primitive::<Int32Type>())),
        DataType::Int64 => Box::new(Integers(array.as_primitive::<Int64Type>())),
        DataType::UInt8 => Box::new(Integers(array.as_primitive::<UInt8Type>())),
        DataType::UInt16 => Box::new(Integers(array.as_primitive::<UInt16Type>())),
        DataType::UInt32 => Box::new(Integers(array.as_primitive::<UInt32Type>())),
        DataType::UInt64 => Box::new(Unsigned(array.as_primitive::<UInt64Type>())),
        DataType::Float32 => {
            let value = move |row| f64::from(array.as_primitive::<Float32Type>().value(row));
            Box::new(Floats { formatter: formatter(array)?, array, value, style })
        }
        DataType::Float64 => {
            let value = move |row| array.as_primitive::<Float64Type>().value(row);
            Box::new(Floats { formatter: formatter(array)?, array, value, style })
        }
        DataType::Utf8 => Box::new(Texts(array.as_string::<i32>(), style)),
        DataType::LargeUtf8 => Box::new(Texts(array.as_string::<i64>(), style)),
        DataType::Dictionary(_, value) if matches!(**value, DataType::Utf8 | DataType::LargeUtf8) => {
            dictionary(array, style)?
        }
        DataType::Date32 => {
            let days = array.as_primitive::<Date32Type>();
            Box::new(Times::new(days, 86_400, 1, None, style))
        }
        DataType::Timestamp(unit, zone) if is_utc(zone.as_deref()) && known_as_z(zone.as_deref()) => {
            let suffix = Some(if zone.is_some() { "Z" } else { "" });
            match unit {
                Second => {
                    Box::new(Times::new(array.as_primitive::<TimestampSecondType>(), 1, 1, suffix, style))
                }
                Millisecond => {
                    let times = array.as_primitive::<TimestampMillisecondType>();
                    Box::new(Times::new(times, 1, 1_000, suffix, style))
                }
                Microsecond => {
                    let times = array.as_primitive::<TimestampMicrosecondType>();
                    Box::new(Times::new(times, 1, 1_000_000, suffix, style))
                }
                Nanosecond => {
                    let times = array.as_primitive::<TimestampNanosecondType>();
                    Box::new(Times::new(times, 1, 1_000_000_000, suffix, style))
                }
            }
        }
        decimal if decimal.is_decimal() => decimals(array)?,
        _ if style.nests => match nested(array, style)? {
            Some(nested) => nested,
            None => Box::new(other(array, style)?),
        },
        _ => Box::new(other(array, style)?),
    })
}

/// The zones that Arrow prints as `Z`.
fn known_as_z(zone: Option<&str>) -> bool {
    zone.is_none_or(|zone| matches!(zone, "UTC" | "+00:00"))
}

struct Booleans<'a>(&'a BooleanArray);

impl TextCells for Booleans<'_> {
    fn append(&mut self, row: usize, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        if self.0.is_valid(row) {
            out.extend_from_slice(if self.0.value(row) { b"true" } else { b"false" });
        }
        Ok(())
    }
}

struct Integers<'a, T: ArrowPrimitiveType>(&'a PrimitiveArray<T>);

impl<T: ArrowPrimitiveType> TextCells for Integers<'_, T>
where
    T::Native: Into<i64>,
{
    fn append(&mut self, row: usize, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        if self.0.is_valid(row) {
            let value: i64 = self.0.value(row).into();
            if value < 0 {
                out.push(b'-');
            }
            append_digits(value.unsigned_abs(), 1, out);
        }
        Ok(())
    }
}

/// The one integer type that does not fit into 64 bits with a sign.
struct Unsigned<'a>(&'a PrimitiveArray<UInt64Type>);

impl TextCells for Unsigned<'_> {
    fn append(&mut self, row: usize, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        if self.0.is_valid(row) {
            append_digits(self.0.value(row), 1, out);
        }
        Ok(())
    }
}

/// Floats by Arrow's formatter, which prints the shortest text that reads back as the same value, faster
/// than the standard library does.
struct Floats<'a, F> {
    formatter: ArrayFormatter<'a>,
    array: &'a dyn Array,
    value: F,
    style: Style,
}

impl<F: Fn(usize) -> f64> TextCells for Floats<'_, F> {
    fn append(&mut self, row: usize, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        if let Some(no_number) = self.style.no_number
            && self.array.is_valid(row)
            && !(self.value)(row).is_finite()
        {
            out.extend_from_slice(no_number((self.value)(row)).as_bytes());
            return Ok(());
        }
        append_formatted(&self.formatter, row, &mut Bytes(out))
    }
}

struct Texts<'a, O: OffsetSizeTrait>(&'a GenericStringArray<O>, Style);

impl<O: OffsetSizeTrait> TextCells for Texts<'_, O> {
    fn append(&mut self, row: usize, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        if self.0.is_valid(row) {
            (self.1.text)(self.0.value(row), out);
        }
        Ok(())
    }
}

/// A dictionary whose words are made ready once.
struct Words<'a> {
    array: &'a dyn Array,
    keys: Vec<usize>,
    text: Vec<u8>,
    ends: Vec<usize>,
}

fn dictionary(array: &dyn Array, style: Style) -> Result<Box<dyn TextCells + '_>, ArrowError> {
    let dictionary = array.as_any_dictionary();
    let values = dictionary.values();
    // More words than rows: most of them would be made ready for nothing.
    if values.len() > array.len() || values.is_empty() || values.null_count() > 0 {
        return Ok(Box::new(other(array, style)?));
    }
    let (mut text, mut ends) = (Vec::new(), Vec::with_capacity(values.len()));
    let mut words = text_cells(values, style)?;
    for word in 0..values.len() {
        words.append(word, &mut text)?;
        ends.push(text.len());
    }
    Ok(Box::new(Words { array, keys: dictionary.normalized_keys(), text, ends }))
}

impl TextCells for Words<'_> {
    fn append(&mut self, row: usize, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        if self.array.is_valid(row) {
            let word = self.keys[row];
            let start = word.checked_sub(1).map_or(0, |before| self.ends[before]);
            out.extend_from_slice(&self.text[start..self.ends[word]]);
        }
        Ok(())
    }
}

/// Dates and UTC times.
struct Times<'a, T: ArrowPrimitiveType> {
    array: &'a PrimitiveArray<T>,
    /// Seconds in a unit (dates) and units in a second (times); one of them is 1.
    unit_secs: i64,
    per_sec: i64,
    /// What follows the time of day; `None` for dates, which have none.
    suffix: Option<&'static str>,
    style: Style,
    /// The last value and its text, and the last day and its text: times come in order more often than
    /// not.
    last: Option<i64>,
    text: Vec<u8>,
    last_day: Option<i64>,
    day_text: Vec<u8>,
}

impl<'a, T: ArrowPrimitiveType> Times<'a, T> {
    fn new(
        array: &'a PrimitiveArray<T>,
        unit_secs: i64,
        per_sec: i64,
        suffix: Option<&'static str>,
        style: Style,
    ) -> Self {
        let (text, day_text) = (Vec::with_capacity(32), Vec::with_capacity(16));
        Self { array, unit_secs, per_sec, suffix, style, last: None, text, last_day: None, day_text }
    }

    /// Makes `text` the text of a value.
    fn format(&mut self, value: i64) {
        let (secs, fraction) = (value.div_euclid(self.per_sec), value.rem_euclid(self.per_sec));
        let (day, secs) = match self.unit_secs {
            1 => (secs.div_euclid(86_400), secs.rem_euclid(86_400)),
            _ => (secs, 0),
        };
        if self.last_day != Some(day) {
            self.last_day = Some(day);
            self.day_text.clear();
            match day_text(day) {
                Some(text) => self.day_text.extend_from_slice(&text),
                None => {
                    // A year that has not four digits. At the end of all numbers the day has a part only.
                    let midnight = format_timestamp(day.saturating_mul(86_400), TimeUnit::Second, None);
                    let date = midnight.split_once('T').map_or("", |(date, _)| date);
                    self.day_text.extend_from_slice(date.as_bytes());
                }
            }
        }
        self.text.clear();
        let around = self.style.around_times.as_bytes();
        self.text.extend_from_slice(around);
        self.text.extend_from_slice(&self.day_text);
        if let Some(suffix) = self.suffix {
            for (mark, part) in [(b'T', secs / 3600), (b':', secs / 60 % 60), (b':', secs % 60)] {
                self.text.push(mark);
                append_digits(part.unsigned_abs(), 2, &mut self.text);
            }
            append_fraction(fraction.unsigned_abs(), self.per_sec.unsigned_abs(), &mut self.text);
            self.text.extend_from_slice(suffix.as_bytes());
        }
        self.text.extend_from_slice(around);
    }
}

impl<T: ArrowPrimitiveType> TextCells for Times<'_, T>
where
    T::Native: Into<i64>,
{
    fn append(&mut self, row: usize, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        if self.array.is_null(row) {
            return Ok(());
        }
        let value: i64 = self.array.value(row).into();
        if self.last != Some(value) {
            self.format(value);
            self.last = Some(value);
        }
        out.extend_from_slice(&self.text);
        Ok(())
    }
}

/// Decimals, with all digits of their scale. Arrow's formatter prints 0 in hundreds as `000`.
struct Decimals<'a, T: ArrowPrimitiveType> {
    array: &'a PrimitiveArray<T>,
    scale: i8,
}

fn decimals(array: &dyn Array) -> Result<Box<dyn TextCells + '_>, ArrowError> {
    Ok(match array.data_type() {
        DataType::Decimal32(_, scale) => {
            Box::new(Decimals { array: array.as_primitive::<Decimal32Type>(), scale: *scale })
        }
        DataType::Decimal64(_, scale) => {
            Box::new(Decimals { array: array.as_primitive::<Decimal64Type>(), scale: *scale })
        }
        DataType::Decimal128(_, scale) => {
            Box::new(Decimals { array: array.as_primitive::<Decimal128Type>(), scale: *scale })
        }
        DataType::Decimal256(_, scale) => {
            Box::new(Decimals { array: array.as_primitive::<Decimal256Type>(), scale: *scale })
        }
        other => return Err(ArrowError::InvalidArgumentError(format!("{other} is no decimal"))),
    })
}

impl<T: ArrowPrimitiveType> TextCells for Decimals<'_, T>
where
    i256: From<T::Native>,
{
    fn append(&mut self, row: usize, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        if self.array.is_valid(row) {
            let text = format_decimal(self.array.value(row).into(), self.scale);
            out.extend_from_slice(text.as_bytes());
        }
        Ok(())
    }
}

/// Everything else, by Arrow's formatter.
struct Other<'a> {
    formatter: ArrayFormatter<'a>,
    array: &'a dyn Array,
    text: String,
    style: Style,
}

fn other(array: &dyn Array, style: Style) -> Result<Other<'_>, ArrowError> {
    Ok(Other { formatter: formatter(array)?, array, text: String::new(), style })
}

impl TextCells for Other<'_> {
    fn append(&mut self, row: usize, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        if !self.array.is_valid(row) {
            return Ok(());
        }
        self.text.clear();
        append_formatted(&self.formatter, row, &mut self.text)?;
        (self.style.text)(&self.text, out);
        Ok(())
    }
}

fn formatter(array: &dyn Array) -> Result<ArrayFormatter<'_>, ArrowError> {
    const OPTIONS: FormatOptions<'static> = FormatOptions::new();
    ArrayFormatter::try_new(array, &OPTIONS)
}

fn append_formatted(
    formatter: &ArrayFormatter<'_>,
    row: usize,
    out: &mut dyn fmt::Write,
) -> Result<(), ArrowError> {
    formatter
        .value(row)
        .write(out)
        .map_err(|error| ArrowError::CastError(format!("row {} of a batch has no text: {error}", row + 1)))
}

/// Bytes that text can be written to.
struct Bytes<'a>(&'a mut Vec<u8>);

impl fmt::Write for Bytes<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Appends decimal digits, with zeros in front up to `width`.
fn append_digits(mut value: u64, width: usize, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 20];
    let mut start = digits.len();
    while value > 0 {
        start -= 1;
        // The remainder is below ten.
        digits[start] = b'0' + (value % 10) as u8;
        value /= 10;
    }
    out.extend_from_slice(&digits[start.min(digits.len() - width)..]);
}

/// Appends a fraction of a second in groups of three digits, as few as say it all; nothing for zero.
fn append_fraction(fraction: u64, per_sec: u64, out: &mut Vec<u8>) {
    if fraction == 0 {
        return;
    }
    let nanos = fraction * (1_000_000_000 / per_sec);
    out.push(b'.');
    match nanos {
        n if n % 1_000_000 == 0 => append_digits(n / 1_000_000, 3, out),
        n if n % 1_000 == 0 => append_digits(n / 1_000, 6, out),
        n => append_digits(n, 9, out),
    }
}

/// `2001-01-31` for a day since 1970-01-01; `None` for years that do not have four digits.
///
/// The civil calendar from a day count after Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms": years begin in March, so that the leap day is the last of its year.
fn day_text(day: i64) -> Option<[u8; 10]> {
    // The years 0 to 9999.
    if !(-719_528..=2_932_896).contains(&day) {
        return None;
    }
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let mut text = Vec::with_capacity(10);
    append_digits(year.unsigned_abs(), 4, &mut text);
    text.push(b'-');
    append_digits(month.unsigned_abs(), 2, &mut text);
    text.push(b'-');
    append_digits(day_of_month.unsigned_abs(), 2, &mut text);
    text.try_into().ok()
}
