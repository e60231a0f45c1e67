//! Cells of CSV text as Arrow columns.
//!
//! One builder per column that is read. An empty cell is null where the column may be null; where it may
//! not, it is an empty string in a column of strings and malformed in any other. A cell that does not
//! parse as its column's type is malformed: nothing is guessed, rounded or cut off.

use arrow::array::timezone::Tz;
use arrow::array::{
    ArrayRef, BooleanBuilder, Decimal128Builder, GenericStringBuilder, OffsetSizeTrait, PrimitiveBuilder,
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
use std::sync::Arc;

/// Builds one column.
pub(super) trait ColumnBuilder: Send {
    /// Appends a cell; false if it is malformed.
    fn append(&mut self, cell: &str) -> bool;
    /// The column so far; the builder starts anew.
    fn finish(&mut self) -> Result<ArrayRef, ArrowError>;
}

/// The types of columns that are read from text, as messages list them.
pub(super) const TYPES: &str = "bool, int8, int16, int32, int64, uint8, uint16, uint32, uint64, float32, float64, \
     decimal128(p, s), utf8, large_utf8, date32, timestamp(s|ms|us|ns), timestamp(unit, zone), dictionary(integer, t)";

/// The builder for a field; `None` for a type that is not read from text.
pub(super) fn builder(field: &Field) -> Option<Box<dyn ColumnBuilder>> {
    let nullable = field.is_nullable();
    Some(match field.data_type() {
        DataType::Boolean => Box::new(Booleans { builder: BooleanBuilder::new(), nullable }),
        DataType::Int8 => numbers::<Int8Type>(nullable),
        DataType::Int16 => numbers::<Int16Type>(nullable),
        DataType::Int32 => numbers::<Int32Type>(nullable),
        DataType::Int64 => numbers::<Int64Type>(nullable),
        DataType::UInt8 => numbers::<UInt8Type>(nullable),
        DataType::UInt16 => numbers::<UInt16Type>(nullable),
        DataType::UInt32 => numbers::<UInt32Type>(nullable),
        DataType::UInt64 => numbers::<UInt64Type>(nullable),
        DataType::Float32 => numbers::<Float32Type>(nullable),
        DataType::Float64 => numbers::<Float64Type>(nullable),
        DataType::Date32 => Box::new(Numbers::<Date32Type> {
            builder: PrimitiveBuilder::new(),
            nullable,
            parse: |cell| parse_date(cell),
        }),
        DataType::Decimal128(precision, scale) => Box::new(Decimals {
            builder: Decimal128Builder::new().with_data_type(field.data_type().clone()),
            nullable,
            precision: *precision,
            scale: *scale,
        }),
        DataType::Utf8 => texts::<i32>(nullable),
        DataType::LargeUtf8 => texts::<i64>(nullable),
        DataType::Timestamp(unit, zone) => match unit {
            TimeUnit::Second => times::<TimestampSecondType>(1, zone.as_deref(), nullable)?,
            TimeUnit::Millisecond => times::<TimestampMillisecondType>(1_000, zone.as_deref(), nullable)?,
            TimeUnit::Microsecond => times::<TimestampMicrosecondType>(1_000_000, zone.as_deref(), nullable)?,
            TimeUnit::Nanosecond => {
                times::<TimestampNanosecondType>(1_000_000_000, zone.as_deref(), nullable)?
            }
        },
        DataType::Dictionary(_, value) => {
            let words = builder(&field.clone().with_data_type((**value).clone()))?;
            Box::new(Words { words, data_type: field.data_type().clone() })
        }
        _ => return None,
    })
}

struct Booleans {
    builder: BooleanBuilder,
    nullable: bool,
}

impl ColumnBuilder for Booleans {
    fn append(&mut self, cell: &str) -> bool {
        match cell {
            "" if self.nullable => self.builder.append_null(),
            text if text.eq_ignore_ascii_case("true") => self.builder.append_value(true),
            text if text.eq_ignore_ascii_case("false") => self.builder.append_value(false),
            _ => return false,
        }
        true
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(Arc::new(self.builder.finish()))
    }
}

struct Numbers<T: ArrowPrimitiveType> {
    builder: PrimitiveBuilder<T>,
    nullable: bool,
    parse: fn(&str) -> Option<T::Native>,
}

fn numbers<T: Parser>(nullable: bool) -> Box<dyn ColumnBuilder> {
    Box::new(Numbers::<T> { builder: PrimitiveBuilder::new(), nullable, parse: T::parse })
}

impl<T: ArrowPrimitiveType> ColumnBuilder for Numbers<T> {
    fn append(&mut self, cell: &str) -> bool {
        if cell.is_empty() && self.nullable {
            self.builder.append_null();
            return true;
        }
        let value = (self.parse)(cell);
        if let Some(value) = value {
            self.builder.append_value(value);
        }
        value.is_some()
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(Arc::new(self.builder.finish()))
    }
}

/// A date alone: Arrow would also take a time and drop the time of day.
pub(super) fn parse_date(cell: &str) -> Option<i32> {
    match cell.len() <= 10 || cell.starts_with(['+', '-']) {
        true => Date32Type::parse(cell),
        false => None,
    }
}

struct Decimals {
    builder: Decimal128Builder,
    nullable: bool,
    precision: u8,
    scale: i8,
}

impl ColumnBuilder for Decimals {
    fn append(&mut self, cell: &str) -> bool {
        if cell.is_empty() && self.nullable {
            self.builder.append_null();
            return true;
        }
        // Digits behind the scale would be cut off without a word.
        let fraction = cell.split_once('.').map_or("", |(_, fraction)| fraction.trim_end_matches('0'));
        let exact = fraction.bytes().all(|b| b.is_ascii_digit())
            && i8::try_from(fraction.len()).is_ok_and(|digits| digits <= self.scale.max(0));
        let value = parse_decimal::<Decimal128Type>(cell, self.precision, self.scale).ok().filter(|_| exact);
        if let Some(value) = value {
            self.builder.append_value(value);
        }
        value.is_some()
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(Arc::new(self.builder.finish()))
    }
}

struct Texts<O: OffsetSizeTrait> {
    builder: GenericStringBuilder<O>,
    nullable: bool,
}

fn texts<O: OffsetSizeTrait>(nullable: bool) -> Box<dyn ColumnBuilder> {
    Box::new(Texts::<O> { builder: GenericStringBuilder::new(), nullable })
}

impl<O: OffsetSizeTrait> ColumnBuilder for Texts<O> {
    fn append(&mut self, cell: &str) -> bool {
        match cell.is_empty() && self.nullable {
            true => self.builder.append_null(),
            false => self.builder.append_value(cell),
        }
        true
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(Arc::new(self.builder.finish()))
    }
}

struct Times<T: ArrowTimestampType> {
    builder: PrimitiveBuilder<T>,
    nullable: bool,
    per_sec: i64,
    /// The zone of times that name none.
    zone: Tz,
}

fn times<T: ArrowTimestampType>(
    per_sec: i64,
    zone: Option<&str>,
    nullable: bool,
) -> Option<Box<dyn ColumnBuilder>> {
    let data_type = DataType::Timestamp(T::UNIT, zone.map(Into::into));
    let builder = PrimitiveBuilder::<T>::new().with_data_type(data_type);
    let zone = zone.unwrap_or("UTC").parse().ok()?;
    Some(Box::new(Times { builder, nullable, per_sec, zone }))
}

impl<T: ArrowTimestampType> ColumnBuilder for Times<T> {
    fn append(&mut self, cell: &str) -> bool {
        if cell.is_empty() && self.nullable {
            self.builder.append_null();
            return true;
        }
        let value = parse_time(cell, &self.zone, self.per_sec);
        if let Some(value) = value {
            self.builder.append_value(value);
        }
        value.is_some()
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
    words: Box<dyn ColumnBuilder>,
    data_type: DataType,
}

impl ColumnBuilder for Words {
    fn append(&mut self, cell: &str) -> bool {
        self.words.append(cell)
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        cast(&self.words.finish()?, &self.data_type)
    }
}
