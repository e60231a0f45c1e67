//! Names of types, both ways.
//!
//! | type | name |
//! |---|---|
//! | without parts | one word: `int64`, `utf8_view`, `date32` |
//! | with numbers or words | `decimal128(10, 2)`, `timestamp(us)`, `timestamp(us, Europe/Zurich)`, `time32(ms)`, `interval(day_time)`, `fixed_size_binary(16)` |
//! | lists | `list(int64)`, `large_list(int64)`, `list_view(…)`, `large_list_view(…)`, `fixed_size_list(int64, 3)` |
//! | struct | `struct(name: utf8, born: date32 not null)` |
//! | map | `map(entries: struct(key: utf8 not null, value: int64) not null)`, and `, sorted` at the end if its keys are |
//! | union | `union(sparse, 0 a: int64, 1 b: utf8)` |
//! | encodings | `dictionary(int32, utf8)`, `run_end_encoded(run_ends: int32 not null, values: utf8)` |
//!
//! The item of a list is a field; one that is called `item`, may be null and carries no metadata is written
//! as its type alone. A name that is no plain word stands in quotes. Metadata of a field, which is part of
//! a nested type, follows in braces: `list(element: int64 {"PARQUET:field_id": "3"})`.

use arrow::datatypes::{DataType, Field, FieldRef, Fields, IntervalUnit, TimeUnit, UnionFields, UnionMode};
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::sync::Arc;

use super::{TYPE_DEPTH_MAX, is_supported};

/// The types whose name is one word.
const WORDS: [(&str, DataType); 23] = [
    ("null", DataType::Null),
    ("bool", DataType::Boolean),
    ("int8", DataType::Int8),
    ("int16", DataType::Int16),
    ("int32", DataType::Int32),
    ("int64", DataType::Int64),
    ("uint8", DataType::UInt8),
    ("uint16", DataType::UInt16),
    ("uint32", DataType::UInt32),
    ("uint64", DataType::UInt64),
    ("float16", DataType::Float16),
    ("float32", DataType::Float32),
    ("float64", DataType::Float64),
    ("utf8", DataType::Utf8),
    ("large_utf8", DataType::LargeUtf8),
    ("utf8_view", DataType::Utf8View),
    ("binary", DataType::Binary),
    ("large_binary", DataType::LargeBinary),
    ("binary_view", DataType::BinaryView),
    ("date32", DataType::Date32),
    ("date64", DataType::Date64),
    // Spelt as one word each, because their only part is no number.
    ("interval(year_month)", DataType::Interval(IntervalUnit::YearMonth)),
    ("interval(day_time)", DataType::Interval(IntervalUnit::DayTime)),
];

const UNITS: [(&str, TimeUnit); 4] = [
    ("s", TimeUnit::Second),
    ("ms", TimeUnit::Millisecond),
    ("us", TimeUnit::Microsecond),
    ("ns", TimeUnit::Nanosecond),
];

/// The type's name in messages and stored plans: `int64`, `timestamp(us, UTC)`, `dictionary(int32, utf8)`.
///
/// ```
/// # use arrow::datatypes::{DataType, TimeUnit};
/// # use sabot_expr::type_name;
/// assert_eq!(type_name(&DataType::Int64), "int64");
/// assert_eq!(type_name(&DataType::Timestamp(TimeUnit::Microsecond, None)), "timestamp(us)");
/// assert_eq!(type_name(&DataType::new_list(DataType::Utf8, true)), "list(utf8)");
/// ```
pub fn type_name(data_type: &DataType) -> String {
    Name(data_type).to_string()
}

/// The short name of a time unit: `s`, `ms`, `us`, `ns`.
pub fn unit_name(unit: TimeUnit) -> &'static str {
    UNITS.iter().find(|(_, u)| *u == unit).map_or("", |(name, _)| name)
}

pub(crate) fn parse_unit(name: &str) -> Option<TimeUnit> {
    UNITS.iter().find(|(n, _)| *n == name).map(|(_, unit)| *unit)
}

struct Name<'a>(&'a DataType);

impl Display for Name<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some((word, _)) = WORDS.iter().find(|(_, t)| t == self.0) {
            return f.write_str(word);
        }
        match self.0 {
            DataType::Interval(_) => f.write_str("interval(month_day_nano)"),
            DataType::Decimal32(p, s) => write!(f, "decimal32({p}, {s})"),
            DataType::Decimal64(p, s) => write!(f, "decimal64({p}, {s})"),
            DataType::Decimal128(p, s) => write!(f, "decimal128({p}, {s})"),
            DataType::Decimal256(p, s) => write!(f, "decimal256({p}, {s})"),
            DataType::FixedSizeBinary(size) => write!(f, "fixed_size_binary({size})"),
            DataType::Time32(unit) => write!(f, "time32({})", unit_name(*unit)),
            DataType::Time64(unit) => write!(f, "time64({})", unit_name(*unit)),
            DataType::Duration(unit) => write!(f, "duration({})", unit_name(*unit)),
            DataType::Timestamp(unit, None) => write!(f, "timestamp({})", unit_name(*unit)),
            DataType::Timestamp(unit, Some(zone)) => {
                write!(f, "timestamp({}, {})", unit_name(*unit), Word(zone, is_zone))
            }
            DataType::List(item) => write!(f, "list({})", Item(item)),
            DataType::LargeList(item) => write!(f, "large_list({})", Item(item)),
            DataType::ListView(item) => write!(f, "list_view({})", Item(item)),
            DataType::LargeListView(item) => write!(f, "large_list_view({})", Item(item)),
            DataType::FixedSizeList(item, size) => write!(f, "fixed_size_list({}, {size})", Item(item)),
            DataType::Struct(fields) => {
                f.write_str("struct(")?;
                for (i, field) in fields.iter().enumerate() {
                    write!(f, "{}{}", if i > 0 { ", " } else { "" }, Named(field))?;
                }
                f.write_str(")")
            }
            DataType::Map(entries, sorted) => {
                write!(f, "map({}{})", Named(entries), if *sorted { ", sorted" } else { "" })
            }
            DataType::Union(fields, mode) => {
                write!(f, "union({}", if *mode == UnionMode::Sparse { "sparse" } else { "dense" })?;
                for (id, field) in fields.iter() {
                    write!(f, ", {id} {}", Named(field))?;
                }
                f.write_str(")")
            }
            DataType::Dictionary(key, value) => write!(f, "dictionary({}, {})", Name(key), Name(value)),
            DataType::RunEndEncoded(ends, values) => {
                write!(f, "run_end_encoded({}, {})", Named(ends), Named(values))
            }
            // Every type of one word was found above.
            other => write!(f, "{other}"),
        }
    }
}

/// The item of a list.
struct Item<'a>(&'a FieldRef);

impl Display for Item<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let plain = self.0.name() == Field::LIST_FIELD_DEFAULT_NAME
            && self.0.is_nullable()
            && self.0.metadata().is_empty();
        if plain { write!(f, "{}", Name(self.0.data_type())) } else { write!(f, "{}", Named(self.0)) }
    }
}

/// A field with its name.
struct Named<'a>(&'a FieldRef);

impl Display for Named<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let null = if self.0.is_nullable() { "" } else { " not null" };
        write!(f, "{}: {}{null}", Word(self.0.name(), is_word), Name(self.0.data_type()))?;
        if self.0.metadata().is_empty() {
            return Ok(());
        }
        f.write_str(" {")?;
        let sorted: BTreeMap<_, _> = self.0.metadata().iter().collect();
        for (i, (key, value)) in sorted.into_iter().enumerate() {
            let never = |_: char| false;
            write!(f, "{}{}: {}", if i > 0 { ", " } else { "" }, Word(key, never), Word(value, never))?;
        }
        f.write_str("}")
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn is_zone(c: char) -> bool {
    c.is_alphanumeric() || "_/+-:".contains(c)
}

/// A text that stands as it is if it consists of the characters given, and else in quotes.
struct Word<'a>(&'a str, fn(char) -> bool);

impl Display for Word<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.0.is_empty() && self.0.chars().all(self.1) {
            return f.write_str(self.0);
        }
        write!(f, "\"{}\"", self.0.replace('\\', "\\\\").replace('"', "\\\""))
    }
}

/// The type that a name of [`type_name`] stands for; `None` for any other text, and for types that
/// [`check_type`](super::check_type) refuses.
///
/// ```
/// use arrow::datatypes::{DataType, Field, TimeUnit};
/// use sabot_expr::types::{parse_type, type_name};
/// let zoned = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
/// assert_eq!(parse_type(&type_name(&zoned)), Some(zoned));
/// assert_eq!(parse_type("list(utf8)"), Some(DataType::new_list(DataType::Utf8, true)));
/// assert_eq!(parse_type("int65"), None);
/// ```
pub fn parse_type(name: &str) -> Option<DataType> {
    let mut rest = Cursor(name);
    let data_type = rest.data_type(0)?;
    (rest.0.is_empty() && is_supported(&data_type)).then_some(data_type)
}

/// The part of a name that is not read yet.
struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    fn take(&mut self, text: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(text)?;
        Some(())
    }

    fn while_in(&mut self, set: impl Fn(char) -> bool) -> Option<&'a str> {
        let end = self.0.find(|c| !set(c)).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        (!word.is_empty()).then_some(word)
    }

    fn number<T: std::str::FromStr>(&mut self) -> Option<T> {
        self.while_in(|c| c.is_ascii_digit() || c == '-')?.parse().ok()
    }

    /// A text in quotes, or one of the characters given.
    fn text(&mut self, set: fn(char) -> bool) -> Option<String> {
        if self.take("\"").is_none() {
            return self.while_in(set).map(str::to_owned);
        }
        let mut text = String::new();
        let mut chars = self.0.chars();
        loop {
            match chars.next()? {
                '"' => break,
                '\\' => text.push(chars.next()?),
                other => text.push(other),
            }
        }
        self.0 = chars.as_str();
        Some(text)
    }

    fn unit(&mut self) -> Option<TimeUnit> {
        parse_unit(self.while_in(is_word)?)
    }

    fn data_type(&mut self, depth: usize) -> Option<DataType> {
        if depth > TYPE_DEPTH_MAX {
            return None;
        }
        let head = self.while_in(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')?;
        if !self.0.starts_with('(') {
            return WORDS.iter().find(|(word, _)| *word == head).map(|(_, t)| t.clone());
        }
        self.take("(")?;
        let data_type = self.parts(head, depth + 1)?;
        self.take(")")?;
        Some(data_type)
    }

    /// What stands in the brackets after `head`.
    fn parts(&mut self, head: &str, depth: usize) -> Option<DataType> {
        Some(match head {
            "decimal32" => self.decimal(DataType::Decimal32)?,
            "decimal64" => self.decimal(DataType::Decimal64)?,
            "decimal128" => self.decimal(DataType::Decimal128)?,
            "decimal256" => self.decimal(DataType::Decimal256)?,
            "fixed_size_binary" => DataType::FixedSizeBinary(self.number()?),
            "time32" => DataType::Time32(self.unit()?),
            "time64" => DataType::Time64(self.unit()?),
            "duration" => DataType::Duration(self.unit()?),
            "timestamp" => {
                let unit = self.unit()?;
                let zone = if self.take(", ").is_some() { Some(self.text(is_zone)?) } else { None };
                DataType::Timestamp(unit, zone.map(Arc::from))
            }
            "interval" => DataType::Interval(match self.while_in(is_word)? {
                "year_month" => IntervalUnit::YearMonth,
                "day_time" => IntervalUnit::DayTime,
                "month_day_nano" => IntervalUnit::MonthDayNano,
                _ => return None,
            }),
            "list" => DataType::List(self.item(depth)?),
            "large_list" => DataType::LargeList(self.item(depth)?),
            "list_view" => DataType::ListView(self.item(depth)?),
            "large_list_view" => DataType::LargeListView(self.item(depth)?),
            "fixed_size_list" => {
                let item = self.item(depth)?;
                self.take(", ")?;
                DataType::FixedSizeList(item, self.number()?)
            }
            "struct" => {
                let mut fields: Vec<FieldRef> = Vec::new();
                while !self.0.starts_with(')') {
                    if !fields.is_empty() {
                        self.take(", ")?;
                    }
                    fields.push(self.field(depth)?);
                }
                DataType::Struct(Fields::from(fields))
            }
            "map" => {
                let entries = self.field(depth)?;
                DataType::Map(entries, self.take(", sorted").is_some())
            }
            "union" => self.union(depth)?,
            "dictionary" => {
                let key = self.data_type(depth)?;
                self.take(", ")?;
                DataType::Dictionary(Box::new(key), Box::new(self.data_type(depth)?))
            }
            "run_end_encoded" => {
                let ends = self.field(depth)?;
                self.take(", ")?;
                DataType::RunEndEncoded(ends, self.field(depth)?)
            }
            _ => return None,
        })
    }

    fn decimal(&mut self, of: fn(u8, i8) -> DataType) -> Option<DataType> {
        let precision = self.number()?;
        self.take(", ")?;
        Some(of(precision, self.number()?))
    }

    fn union(&mut self, depth: usize) -> Option<DataType> {
        let mode = match self.while_in(is_word)? {
            "sparse" => UnionMode::Sparse,
            "dense" => UnionMode::Dense,
            _ => return None,
        };
        let (mut ids, mut fields) = (Vec::<i8>::new(), Vec::new());
        while self.take(", ").is_some() {
            ids.push(self.number()?);
            self.take(" ")?;
            fields.push(self.field(depth)?);
        }
        Some(DataType::Union(UnionFields::try_new(ids, fields).ok()?, mode))
    }

    /// A field, or a type that stands for the usual item of a list.
    fn item(&mut self, depth: usize) -> Option<FieldRef> {
        let here = self.0;
        if let Some(data_type) = self.data_type(depth)
            && (self.0.starts_with(')') || self.0.starts_with(", "))
        {
            return Some(Arc::new(Field::new_list_field(data_type, true)));
        }
        self.0 = here;
        self.field(depth)
    }

    fn field(&mut self, depth: usize) -> Option<FieldRef> {
        let name = self.text(is_word)?;
        self.take(": ")?;
        let data_type = self.data_type(depth)?;
        let nullable = self.take(" not null").is_none();
        let mut field = Field::new(name, data_type, nullable);
        if self.take(" {").is_some() {
            let mut metadata = std::collections::HashMap::new();
            while self.take("}").is_none() {
                if !metadata.is_empty() {
                    self.take(", ")?;
                }
                let key = self.text(|_| false)?;
                self.take(": ")?;
                metadata.insert(key, self.text(|_| false)?);
            }
            field = field.with_metadata(metadata);
        }
        Some(Arc::new(field))
    }
}
