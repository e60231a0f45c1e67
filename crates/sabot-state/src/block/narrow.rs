//! Whole numbers in as few bytes as those of a batch need.
//!
//! State is full of small numbers in wide columns: counts, the start of the window that all rows of a batch have, keys that
//! lie near to each other. A column of them is kept as differences to its first value, in the narrowest signed type that
//! holds them all, or in none where all values are the same; the field's metadata say that value and the type. This is
//! frame of reference coding (J. Goldstein, R. Ramakrishnan, U. Shaft, *Compressing Relations and Indexes*, ICDE 1998) in
//! whole bytes, whose loops over a column are ones that a compiler vectorizes.
//!
//! Differences wrap around, so that widening gives back every value. What stands under nulls is any of the values.

use arrow::array::{Array, ArrayData, ArrayRef, RecordBatch, RecordBatchOptions, make_array};
use arrow::buffer::{Buffer, NullBuffer};
use arrow::datatypes::{ArrowNativeType, DataType, Field, FieldRef, Schema, TimeUnit};
use std::borrow::Cow;
use std::str::FromStr;
use std::sync::Arc;

use super::BlockError;

/// The key in the metadata of a field that was narrowed. The value is [`Narrowed`] as text.
const NARROWED: &str = "sabot.narrowed";

/// The rows with columns that take fewer bytes.
pub(super) fn narrow(rows: RecordBatch) -> Result<RecordBatch, BlockError> {
    let narrowed = |(column, field): (&ArrayRef, &FieldRef)| match narrow_column(column, field) {
        Some((column, field)) => (column, Arc::new(field)),
        None => (column.clone(), field.clone()),
    };
    let (columns, fields) = rows.columns().iter().zip(rows.schema_ref().fields()).map(narrowed).unzip();
    with_columns(&rows, columns, fields).map_err(BlockError::rows)
}

/// The rows as they were.
pub(super) fn widen(rows: RecordBatch) -> Result<RecordBatch, BlockError> {
    if rows.schema_ref().fields().iter().all(|field| !field.metadata().contains_key(NARROWED)) {
        return Ok(rows);
    }
    let (mut columns, mut fields) = (Vec::new(), Vec::new());
    for (column, field) in rows.columns().iter().zip(rows.schema_ref().fields()) {
        let Some(narrowed) = field.metadata().get(NARROWED) else {
            columns.push(column.clone());
            fields.push(field.clone());
            continue;
        };
        let wrong = || {
            let name = field.name();
            BlockError::damaged(format!("column {name}, of {}, was no {narrowed}", field.data_type()))
        };
        let was: Narrowed = narrowed.parse().map_err(|()| wrong())?;
        columns.push(was.widen(column).ok_or_else(wrong)?);
        let mut metadata = field.metadata().clone();
        metadata.remove(NARROWED);
        let field = Field::new(field.name(), was.data_type, !was.is_required);
        fields.push(Arc::new(field.with_metadata(metadata)));
    }
    with_columns(&rows, columns, fields).map_err(BlockError::damaged)
}

fn with_columns(
    rows: &RecordBatch,
    columns: Vec<ArrayRef>,
    fields: Vec<FieldRef>,
) -> Result<RecordBatch, arrow::error::ArrowError> {
    let schema = Schema::new(fields).with_metadata(rows.schema_ref().metadata().clone());
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(schema), columns, &options)
}

fn narrow_column(column: &ArrayRef, field: &Field) -> Option<(ArrayRef, Field)> {
    let data_type = column.data_type().clone();
    name_of(&data_type)?;
    let data = column.to_data();
    let (first, narrowed) = match data_type.primitive_width()? {
        2 => i16::narrow(&data),
        4 => i32::narrow(&data),
        8 => i64::narrow(&data),
        _ => i128::narrow(&data),
    }?;
    // Arrow takes a column without values for one of nulls.
    let is_nullable = field.is_nullable() || narrowed.data_type() == &DataType::Null;
    let was = Narrowed { first, is_required: !field.is_nullable(), data_type };
    let mut metadata = field.metadata().clone();
    metadata.insert(NARROWED.to_owned(), was.to_string());
    let field = Field::new(field.name(), narrowed.data_type().clone(), is_nullable);
    Some((make_array(narrowed), field.with_metadata(metadata)))
}

/// What a column was.
#[derive(Debug, PartialEq)]
struct Narrowed {
    first: i128,
    is_required: bool,
    data_type: DataType,
}

impl std::fmt::Display for Narrowed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let nulls = if self.is_required { "required" } else { "nullable" };
        write!(f, "{} {nulls} {}", self.first, name_of(&self.data_type).unwrap_or_default())
    }
}

impl FromStr for Narrowed {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut words = text.splitn(3, ' ');
        let mut word = || words.next().ok_or(());
        let first = word()?.parse().map_err(|_| ())?;
        let is_required = match word()? {
            "required" => true,
            "nullable" => false,
            _ => return Err(()),
        };
        Ok(Self { first, is_required, data_type: type_of(word()?).ok_or(())? })
    }
}

impl Narrowed {
    fn widen(&self, column: &ArrayRef) -> Option<ArrayRef> {
        let data = column.to_data();
        let values = match self.data_type.primitive_width()? {
            2 => i16::widen(self.first, &data),
            4 => i32::widen(self.first, &data),
            8 => i64::widen(self.first, &data),
            _ => i128::widen(self.first, &data),
        }?;
        let widened = ArrayData::builder(self.data_type.clone()).len(data.len()).add_buffer(values);
        Some(make_array(widened.nulls(data.nulls().cloned()).build().ok()?))
    }
}

/// Units of time, by their letter in the Arrow C data interface.
const UNITS: [(char, TimeUnit); 4] = [
    ('s', TimeUnit::Second),
    ('m', TimeUnit::Millisecond),
    ('u', TimeUnit::Microsecond),
    ('n', TimeUnit::Nanosecond),
];

/// A type whose values are whole numbers, as the Arrow C data interface writes it.
fn name_of(data_type: &DataType) -> Option<String> {
    let letter = |unit: &TimeUnit| UNITS.iter().find(|(_, of)| of == unit).map_or(' ', |(letter, _)| *letter);
    Some(match data_type {
        DataType::Int16 => "s".to_owned(),
        DataType::UInt16 => "S".to_owned(),
        DataType::Int32 => "i".to_owned(),
        DataType::UInt32 => "I".to_owned(),
        DataType::Int64 => "l".to_owned(),
        DataType::UInt64 => "L".to_owned(),
        DataType::Date32 => "tdD".to_owned(),
        DataType::Date64 => "tdm".to_owned(),
        DataType::Time32(unit) | DataType::Time64(unit) => format!("tt{}", letter(unit)),
        DataType::Duration(unit) => format!("tD{}", letter(unit)),
        // As in the C data interface an empty zone would be none.
        DataType::Timestamp(_, Some(zone)) if zone.is_empty() => return None,
        DataType::Timestamp(unit, zone) => {
            format!("ts{}:{}", letter(unit), zone.as_deref().unwrap_or_default())
        }
        DataType::Decimal128(precision, scale) => format!("d:{precision},{scale}"),
        _ => return None,
    })
}

/// The type that [`name_of`] writes so.
fn type_of(name: &str) -> Option<DataType> {
    let unit = |letter: char| UNITS.iter().find(|(of, _)| *of == letter).map(|(_, unit)| *unit);
    Some(match name {
        "s" => DataType::Int16,
        "S" => DataType::UInt16,
        "i" => DataType::Int32,
        "I" => DataType::UInt32,
        "l" => DataType::Int64,
        "L" => DataType::UInt64,
        "tdD" => DataType::Date32,
        "tdm" => DataType::Date64,
        "tts" => DataType::Time32(TimeUnit::Second),
        "ttm" => DataType::Time32(TimeUnit::Millisecond),
        "ttu" => DataType::Time64(TimeUnit::Microsecond),
        "ttn" => DataType::Time64(TimeUnit::Nanosecond),
        _ => {
            if let Some(decimal) = name.strip_prefix("d:") {
                let (precision, scale) = decimal.split_once(',')?;
                return Some(DataType::Decimal128(precision.parse().ok()?, scale.parse().ok()?));
            }
            if let Some(of) = name.strip_prefix("tD") {
                return unit(of.parse().ok()?).map(DataType::Duration);
            }
            let (of, zone) = name.strip_prefix("ts")?.split_once(':')?;
            let zone = (!zone.is_empty()).then(|| zone.into());
            DataType::Timestamp(unit(of.parse().ok()?)?, zone)
        }
    })
}

/// Values of a width.
trait Whole: Sized {
    /// The first value and the differences to it; `None` where they take no fewer bytes.
    fn narrow(data: &ArrayData) -> Option<(i128, ArrayData)>;

    /// The values, of differences to one of them.
    fn widen(first: i128, data: &ArrayData) -> Option<Buffer>;
}

fn differences<T: ArrowNativeType>(data: &ArrayData, of: DataType, values: Vec<T>) -> Option<ArrayData> {
    let narrowed = ArrayData::builder(of).len(data.len()).nulls(data.nulls().cloned());
    narrowed.add_buffer(Buffer::from_vec(values)).build().ok()
}

fn values<T: ArrowNativeType>(data: &ArrayData) -> &[T] {
    &data.buffers()[0].typed_data::<T>()[data.offset()..][..data.len()]
}

/// Values, under nulls a value that is one of the column's: what is no value must not be far from those that are.
fn shown<'a, T: ArrowNativeType>(values: &'a [T], nulls: Option<&NullBuffer>) -> Cow<'a, [T]> {
    let Some(nulls) = nulls else { return Cow::Borrowed(values) };
    let one = nulls.valid_indices().next().map_or(T::default(), |row| values[row]);
    Cow::Owned(
        values.iter().zip(nulls).map(|(value, is_valid)| if is_valid { *value } else { one }).collect(),
    )
}

macro_rules! whole {
    ($of:ty: $($narrow:ident as $type:ident),+) => {
        impl Whole for $of {
            fn narrow(data: &ArrayData) -> Option<(i128, ArrayData)> {
                let values = &*shown(values::<$of>(data), data.nulls());
                let first = *values.first()?;
                // Bits that differ from the sign, of all differences: how many a signed type needs beside it.
                let (mut any, mut bits) = (0, 0);
                for value in values {
                    let difference = value.wrapping_sub(first);
                    any |= difference;
                    bits |= difference ^ (difference >> (<$of>::BITS - 1));
                }
                if any == 0 && data.nulls().is_none() {
                    return Some((first.into(), ArrayData::new_null(&DataType::Null, data.len())));
                }
                $(if bits <= <$of>::from($narrow::MAX) {
                    let values = values.iter().map(|value| value.wrapping_sub(first) as $narrow).collect();
                    return Some((first.into(), differences::<$narrow>(data, DataType::$type, values)?));
                })+
                None
            }

            fn widen(first: i128, data: &ArrayData) -> Option<Buffer> {
                let first = <$of>::try_from(first).ok()?;
                Some(Buffer::from_vec::<$of>(match data.data_type() {
                    DataType::Null => {
                        let mut values = Vec::new();
                        // How many there are nothing but a number says.
                        values.try_reserve_exact(data.len()).ok()?;
                        values.resize(data.len(), first);
                        values
                    }
                    $(DataType::$type => {
                        let values = values::<$narrow>(data).iter();
                        values.map(|value| first.wrapping_add(<$of>::from(*value))).collect()
                    })+
                    _ => return None,
                }))
            }
        }
    };
}

whole!(i16: i8 as Int8);
whole!(i32: i8 as Int8, i16 as Int16);
whole!(i64: i8 as Int8, i16 as Int16, i32 as Int32);
whole!(i128: i8 as Int8, i16 as Int16, i32 as Int32, i64 as Int64);

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use super::*;
    use arrow::array::{
        Array, AsArray, Decimal128Array, Int16Array, Int64Array, TimestampMicrosecondArray, UInt16Array,
        UInt64Array,
    };
    use arrow::datatypes::Int64Type;
    use sabot_testkit::array::types;

    fn both_ways(column: ArrayRef) -> DataType {
        let rows = RecordBatch::try_from_iter([("column", column)]).unwrap();
        let narrowed = narrow(rows.clone()).unwrap();
        assert_eq!(widen(narrowed.clone()).unwrap(), rows);
        narrowed.column(0).data_type().clone()
    }

    #[test]
    fn columns_take_the_bytes_that_they_need() {
        let of = |values: &[i64]| both_ways(Arc::new(Int64Array::from(values.to_vec())));
        assert_eq!(of(&[]), DataType::Int64);
        assert_eq!(of(&[1 << 50; 5]), DataType::Null);
        assert_eq!(of(&[1000, 1127, 872]), DataType::Int8);
        assert_eq!(of(&[1000, 1128]), DataType::Int16);
        assert_eq!(of(&[1000, 871]), DataType::Int16);
        assert_eq!(of(&[0, i64::from(i32::MIN)]), DataType::Int32);
        assert_eq!(of(&[1, i64::from(i32::MIN)]), DataType::Int64);
        // The difference wraps around.
        assert_eq!(of(&[i64::MIN, i64::MAX]), DataType::Int8);
        let large = Arc::new(UInt64Array::from(vec![u64::MAX, u64::MAX - 300]));
        assert_eq!(both_ways(large), DataType::Int16);
        assert_eq!(both_ways(Arc::new(UInt16Array::from(vec![7, 100]))), DataType::Int8);
        assert_eq!(both_ways(Arc::new(Int16Array::from(vec![i16::MIN, 0]))), DataType::Int16);
        let decimals = Decimal128Array::from(vec![i128::MAX / 5, i128::MAX / 5 + (1 << 40)]);
        let decimals = decimals.with_precision_and_scale(38, 10).unwrap();
        assert_eq!(both_ways(Arc::new(decimals)), DataType::Int64);
    }

    #[test]
    fn nulls_take_no_part() {
        let late = 1_800_000_000_000_000;
        let times = TimestampMicrosecondArray::from(vec![None, Some(late), None, Some(late + 5)]);
        assert_eq!(both_ways(Arc::new(times.with_timezone("Asia/Kolkata"))), DataType::Int8);
        assert_eq!(both_ways(Arc::new(Int64Array::from(vec![None, None]))), DataType::Int8);
        let one: ArrayRef = Arc::new(Int64Array::from(vec![Some(5), None, Some(5)]));
        assert_eq!(both_ways(one), DataType::Int8);
    }

    #[test]
    fn a_slice_is_widened_alone() {
        let rows: ArrayRef = Arc::new(Int64Array::from_iter_values(500..900));
        let rows = narrow(RecordBatch::try_from_iter([("column", rows)]).unwrap()).unwrap();
        let back = widen(rows.slice(100, 3)).unwrap();
        assert_eq!(back.column(0).as_primitive::<Int64Type>().values(), &[600, 601, 602]);
    }

    #[test]
    fn types_come_back_by_name() {
        let mut known = 0;
        for data_type in types() {
            if let Some(name) = name_of(&data_type) {
                assert_eq!(type_of(&name), Some(data_type), "{name}");
                known += 1;
            }
        }
        assert!(known > 12, "{known}");
        assert_eq!(name_of(&DataType::Timestamp(TimeUnit::Second, Some("".into()))), None);
        for name in ["", "x", "ts", "tsx:", "tD", "tDss", "d:", "d:1", "d:1,x", "ttx"] {
            assert_eq!(type_of(name), None, "{name}");
        }
    }

    #[test]
    fn lies_about_a_column_are_errors() {
        let rows = |said: &str| {
            let field = Field::new("column", DataType::Int8, false);
            let field = field.with_metadata([(NARROWED.to_owned(), said.to_owned())].into());
            let column = Arc::new(arrow::array::Int8Array::from(vec![1]));
            RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![column]).unwrap()
        };
        assert_eq!(widen(rows("7 required i")).unwrap().column(0).data_type(), &DataType::Int32);
        for said in ["", "7", "7 required", "x required l", "7 maybe l", "7 required u", "70000 required s"] {
            let error = widen(rows(said)).unwrap_err().to_string();
            assert!(error.contains("column column, of Int8, was no"), "{error}");
        }
    }
}
