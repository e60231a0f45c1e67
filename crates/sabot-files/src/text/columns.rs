//! Values of text as Arrow columns.
//!
//! One [`Column`] for each column that is read, fed with the cells of CSV or the values of JSON. Nothing is
//! guessed, rounded or cut off: what does not parse as the column's type is malformed. Nulls are the
//! column's business and not the type's, so they are decided here once for all types.

use arrow::array::timezone::Tz;
use arrow::array::{
    ArrayBuilder, ArrayRef, BooleanBuilder, Decimal128Builder, GenericStringBuilder, OffsetSizeTrait,
    PrimitiveBuilder,
};
use arrow::compute::cast;
use arrow::compute::kernels::cast_utils::{Parser, parse_decimal, string_to_datetime};
use arrow::datatypes::{
    ArrowPrimitiveType, ArrowTimestampType, DataType, Date32Type, Decimal128Type, Field, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow::error::ArrowError;
use sabot_expr::type_name;
use std::borrow::Cow;
use std::sync::Arc;

use super::nested_columns::{lists, structs};

/// The types of columns that are read from text, as messages list them.
pub(super) const TYPES: &str = "bool, int8, int16, int32, int64, uint8, uint16, uint32, uint64, float32, float64, \
     decimal128(p, s), utf8, large_utf8, date32, timestamp(s|ms|us|ns), timestamp(unit, zone), \
     dictionary(integer, t); in JSON also list(t), large_list(t), struct(name: t, ...)";

/// One value of JSON.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json<'a> {
    Null,
    Bool(bool),
    /// A number as it is written.
    Number(&'a str),
    /// A string, unescaped.
    Text(Cow<'a, str>),
    /// An object or a list as it is written.
    Nested(&'a str),
}

/// Builds the values of one type.
pub(super) trait Values: Send {
    /// Appends a cell; false if it is malformed.
    fn text(&mut self, cell: &str) -> bool;
    /// Appends a value that is not null; false if it is malformed.
    fn json(&mut self, value: &Json<'_>) -> bool;
    fn null(&mut self);
    /// Appends any value, for a row that is never seen.
    fn filler(&mut self);
    fn len(&self) -> usize;
    /// The values so far; the builder starts anew.
    fn finish(&mut self) -> Result<ArrayRef, ArrowError>;
}

/// Builds one column.
pub(crate) struct Column {
    values: Box<dyn Values>,
    nullable: bool,
}

impl Column {
    /// For a field; `None` for a type that has no text.
    pub(crate) fn new(field: &Field) -> Option<Self> {
        Some(Self { values: values(field.data_type())?, nullable: field.is_nullable() })
    }

    /// Appends a cell; false if it is malformed. An empty one is null where the column may be null; where
    /// it may not, it is an empty string in a column of strings and malformed in any other.
    pub(crate) fn text(&mut self, cell: &str) -> bool {
        if cell.is_empty() && self.nullable {
            self.values.null();
            return true;
        }
        self.values.text(cell)
    }

    /// Appends a value; false if it is malformed, as null is in a column that may not be null.
    pub(crate) fn json(&mut self, value: &Json<'_>) -> bool {
        match value {
            Json::Null if self.nullable => self.values.null(),
            Json::Null => return false,
            value => return self.values.json(value),
        }
        true
    }

    /// Makes the column `rows` long with values that are never seen.
    pub(crate) fn fill(&mut self, rows: usize) {
        while self.values.len() < rows {
            self.values.filler();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        self.values.finish()
    }
}

/// What would have been right in a field, for messages.
pub(crate) fn expected(field: &Field) -> String {
    let optional = if field.is_nullable() { "" } else { ", not empty" };
    format!("{}{optional}", type_name(field.data_type()))
}

fn values(data_type: &DataType) -> Option<Box<dyn Values>> {
    Some(match data_type {
        DataType::Boolean => Box::new(Booleans(BooleanBuilder::new())),
        DataType::Int8 => integers::<Int8Type>(),
        DataType::Int16 => integers::<Int16Type>(),
        DataType::Int32 => integers::<Int32Type>(),
        DataType::Int64 => integers::<Int64Type>(),
        DataType::UInt8 => integers::<UInt8Type>(),
        DataType::UInt16 => integers::<UInt16Type>(),
        DataType::UInt32 => integers::<UInt32Type>(),
        DataType::UInt64 => integers::<UInt64Type>(),
        DataType::Float32 => Box::new(Numbers::<Float32Type> {
            builder: PrimitiveBuilder::new(),
            parse: |text| Float32Type::parse(text).filter(|value| value.is_finite() || says_infinite(text)),
            of_text: float_word,
        }),
        DataType::Float64 => Box::new(Numbers::<Float64Type> {
            builder: PrimitiveBuilder::new(),
            parse: |text| Float64Type::parse(text).filter(|value| value.is_finite() || says_infinite(text)),
            of_text: float_word,
        }),
        DataType::Date32 => Box::new(Dates(PrimitiveBuilder::new())),
        DataType::Decimal128(precision, scale) => Box::new(Decimals {
            builder: Decimal128Builder::new().with_data_type(data_type.clone()),
            precision: *precision,
            scale: *scale,
        }),
        DataType::Utf8 => texts::<i32>(),
        DataType::LargeUtf8 => texts::<i64>(),
        DataType::Timestamp(unit, zone) => match unit {
            TimeUnit::Second => times::<TimestampSecondType>(1, zone.as_deref())?,
            TimeUnit::Millisecond => times::<TimestampMillisecondType>(1_000, zone.as_deref())?,
            TimeUnit::Microsecond => times::<TimestampMicrosecondType>(1_000_000, zone.as_deref())?,
            TimeUnit::Nanosecond => times::<TimestampNanosecondType>(1_000_000_000, zone.as_deref())?,
        },
        DataType::List(item) => lists::<i32>(item)?,
        DataType::LargeList(item) => lists::<i64>(item)?,
        DataType::Struct(fields) => structs(fields)?,
        DataType::Dictionary(_, value) => {
            Box::new(Words { words: values(value)?, data_type: data_type.clone() })
        }
        _ => return None,
    })
}

struct Booleans(BooleanBuilder);

impl Values for Booleans {
    fn text(&mut self, cell: &str) -> bool {
        match cell {
            text if text.eq_ignore_ascii_case("true") => self.0.append_value(true),
            text if text.eq_ignore_ascii_case("false") => self.0.append_value(false),
            _ => return false,
        }
        true
    }

    fn json(&mut self, value: &Json<'_>) -> bool {
        let Json::Bool(value) = value else { return false };
        self.0.append_value(*value);
        true
    }

    fn null(&mut self) {
        self.0.append_null();
    }

    fn filler(&mut self) {
        self.0.append_value(false);
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(Arc::new(self.0.finish()))
    }
}

/// Integers and floats.
struct Numbers<T: ArrowPrimitiveType> {
    builder: PrimitiveBuilder<T>,
    parse: fn(&str) -> Option<T::Native>,
    /// The number that a JSON string stands for.
    of_text: fn(&str) -> Option<&'static str>,
}

fn integers<T: Parser>() -> Box<dyn Values> {
    Box::new(Numbers::<T> { builder: PrimitiveBuilder::new(), parse: T::parse, of_text: |_| None })
}

/// Whether a text means an infinity; any other that comes out as one was too large.
fn says_infinite(text: &str) -> bool {
    text.trim_start_matches(['+', '-']).get(..3).is_some_and(|word| word.eq_ignore_ascii_case("inf"))
        || text.eq_ignore_ascii_case("nan")
}

/// What JSON has no numbers for, in the words of Protocol Buffers' mapping to JSON.
fn float_word(text: &str) -> Option<&'static str> {
    match text {
        "NaN" => Some("NaN"),
        "Infinity" => Some("inf"),
        "-Infinity" => Some("-inf"),
        _ => None,
    }
}

impl<T: ArrowPrimitiveType> Values for Numbers<T> {
    fn text(&mut self, cell: &str) -> bool {
        append(&mut self.builder, (self.parse)(cell))
    }

    fn json(&mut self, value: &Json<'_>) -> bool {
        let text = match value {
            Json::Number(text) => *text,
            Json::Text(text) => match (self.of_text)(text) {
                Some(text) => text,
                None => return false,
            },
            _ => return false,
        };
        self.text(text)
    }

    fn null(&mut self) {
        self.builder.append_null();
    }

    fn filler(&mut self) {
        self.builder.append_value(T::Native::default());
    }

    fn len(&self) -> usize {
        self.builder.len()
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(Arc::new(self.builder.finish()))
    }
}

fn append<T: ArrowPrimitiveType>(builder: &mut PrimitiveBuilder<T>, value: Option<T::Native>) -> bool {
    if let Some(value) = value {
        builder.append_value(value);
    }
    value.is_some()
}

struct Dates(PrimitiveBuilder<Date32Type>);

/// A date alone: Arrow would also take a time and drop the time of day.
pub(super) fn parse_date(cell: &str) -> Option<i32> {
    match cell.len() <= 10 || cell.starts_with(['+', '-']) {
        true => Date32Type::parse(cell),
        false => None,
    }
}

impl Values for Dates {
    fn text(&mut self, cell: &str) -> bool {
        append(&mut self.0, parse_date(cell))
    }

    fn json(&mut self, value: &Json<'_>) -> bool {
        matches!(value, Json::Text(text) if self.text(text))
    }

    fn null(&mut self) {
        self.0.append_null();
    }

    fn filler(&mut self) {
        self.0.append_value(0);
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(Arc::new(self.0.finish()))
    }
}

struct Decimals {
    builder: Decimal128Builder,
    precision: u8,
    scale: i8,
}

/// How many digits a number has behind the decimal point, those that change nothing left aside.
fn digits_behind_point(number: &str) -> Option<i64> {
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (number, 0),
    };
    let fraction = mantissa.split_once('.').map_or("", |(_, fraction)| fraction.trim_end_matches('0'));
    let digits = i64::try_from(fraction.len()).ok()?;
    fraction.bytes().all(|b| b.is_ascii_digit()).then(|| digits.checked_sub(exponent))?
}

impl Values for Decimals {
    fn text(&mut self, cell: &str) -> bool {
        // Digits behind the scale would be cut off without a word.
        let exact = digits_behind_point(cell).is_some_and(|digits| digits <= i64::from(self.scale.max(0)));
        let value = parse_decimal::<Decimal128Type>(cell, self.precision, self.scale).ok().filter(|_| exact);
        append(&mut self.builder, value)
    }

    fn json(&mut self, value: &Json<'_>) -> bool {
        match value {
            Json::Number(text) => self.text(text),
            Json::Text(text) => self.text(text),
            _ => false,
        }
    }

    fn null(&mut self) {
        self.builder.append_null();
    }

    fn filler(&mut self) {
        self.builder.append_value(0);
    }

    fn len(&self) -> usize {
        self.builder.len()
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(Arc::new(self.builder.finish()))
    }
}

struct Texts<O: OffsetSizeTrait>(GenericStringBuilder<O>);

fn texts<O: OffsetSizeTrait>() -> Box<dyn Values> {
    Box::new(Texts::<O>(GenericStringBuilder::new()))
}

impl<O: OffsetSizeTrait> Values for Texts<O> {
    fn text(&mut self, cell: &str) -> bool {
        self.0.append_value(cell);
        true
    }

    /// Anything but a string is kept as it is written.
    fn json(&mut self, value: &Json<'_>) -> bool {
        self.text(match value {
            Json::Text(text) => text,
            Json::Number(text) | Json::Nested(text) => text,
            Json::Bool(true) => "true",
            Json::Bool(false) => "false",
            Json::Null => return false,
        })
    }

    fn null(&mut self) {
        self.0.append_null();
    }

    fn filler(&mut self) {
        self.0.append_value("");
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(Arc::new(self.0.finish()))
    }
}

struct Times<T: ArrowTimestampType> {
    builder: PrimitiveBuilder<T>,
    per_sec: i64,
    /// The zone of times that name none.
    zone: Tz,
}

fn times<T: ArrowTimestampType>(per_sec: i64, zone: Option<&str>) -> Option<Box<dyn Values>> {
    let data_type = DataType::Timestamp(T::UNIT, zone.map(Into::into));
    let builder = PrimitiveBuilder::<T>::new().with_data_type(data_type);
    let zone = zone.unwrap_or("UTC").parse().ok()?;
    Some(Box::new(Times { builder, per_sec, zone }))
}

impl<T: ArrowTimestampType> Values for Times<T> {
    fn text(&mut self, cell: &str) -> bool {
        append(&mut self.builder, parse_time(cell, &self.zone, self.per_sec))
    }

    /// A whole number counts units of the column since 1970.
    fn json(&mut self, value: &Json<'_>) -> bool {
        match value {
            Json::Text(text) => self.text(text),
            Json::Number(text) => append(&mut self.builder, Int64Type::parse(text)),
            _ => false,
        }
    }

    fn null(&mut self) {
        self.builder.append_null();
    }

    fn filler(&mut self) {
        self.builder.append_value(0);
    }

    fn len(&self) -> usize {
        self.builder.len()
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(Arc::new(self.builder.finish()))
    }
}

/// A time in units of `1 / per_sec` seconds; `None` when it is no time, or finer than the unit.
pub(super) fn parse_time(cell: &str, zone: &Tz, per_sec: i64) -> Option<i64> {
    let time = string_to_datetime(zone, cell).ok()?;
    let nanos = i64::from(time.timestamp_subsec_nanos());
    let nanos_per_unit = 1_000_000_000 / per_sec;
    if nanos % nanos_per_unit != 0 {
        return None;
    }
    time.timestamp().checked_mul(per_sec)?.checked_add(nanos / nanos_per_unit)
}

/// Strings that become a dictionary when the column is finished.
struct Words {
    words: Box<dyn Values>,
    data_type: DataType,
}

impl Values for Words {
    fn text(&mut self, cell: &str) -> bool {
        self.words.text(cell)
    }

    fn json(&mut self, value: &Json<'_>) -> bool {
        self.words.json(value)
    }

    fn null(&mut self) {
        self.words.null();
    }

    fn filler(&mut self) {
        self.words.filler();
    }

    fn len(&self) -> usize {
        self.words.len()
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        cast(&self.words.finish()?, &self.data_type)
    }
}
