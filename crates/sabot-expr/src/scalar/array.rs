//! Arrays from scalars: literals in front of vectorised code, and the interpreter's results.

use arrow::array::{
    Array, ArrayData, ArrayRef, ArrowPrimitiveType, BinaryArray, BinaryViewArray, BooleanArray,
    FixedSizeBinaryArray, FixedSizeListArray, Int64Array, LargeBinaryArray, LargeListArray,
    LargeListViewArray, LargeStringArray, ListArray, ListViewArray, MapArray, NullArray, PrimitiveArray,
    StringArray, StringViewArray, StructArray, UnionArray, make_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type,
    DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType, FieldRef,
    Fields, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    IntervalDayTime, IntervalDayTimeType, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
    IntervalYearMonthType, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
    Time64NanosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type, UnionFields,
    UnionMode,
};
use arrow::error::ArrowError;
use std::collections::HashMap;
use std::sync::Arc;

use super::Scalar;
use crate::error::ExprError;
use crate::types::{decoded_type, type_name};

/// What of each value `read` gives; a null of the type has nothing. Anything else is of a wrong type.
fn each<'a, T>(
    data_type: &DataType,
    values: &[&'a Scalar],
    read: impl Fn(&'a Scalar) -> Option<T>,
) -> Result<Vec<Option<T>>, ExprError> {
    let value = |scalar: &'a Scalar| match (read(scalar), scalar) {
        (Some(value), _) => Ok(Some(value)),
        (None, Scalar::Null(own)) if own == data_type => Ok(None),
        (None, other) => Err(wrong_type(other, data_type)),
    };
    values.iter().map(|scalar| value(scalar)).collect()
}

/// A column of a fixed width.
fn primitive<T: ArrowPrimitiveType>(
    data_type: &DataType,
    values: &[&Scalar],
    read: impl Fn(&Scalar) -> Option<T::Native>,
) -> Result<ArrayRef, ExprError> {
    let array: PrimitiveArray<T> = each(data_type, values, read)?.into_iter().collect();
    Ok(Arc::new(array.with_data_type(data_type.clone())))
}

macro_rules! column {
    ($arrow:ty, $data_type:expr, $values:expr, $pattern:pat $(if $guard:expr)? => $value:expr) => {
        primitive::<$arrow>($data_type, $values, |scalar| match scalar {
            $pattern $(if $guard)? => Some($value),
            _ => None,
        })?
    };
}

macro_rules! strings {
    ($array:ty, $data_type:expr, $values:expr, $variant:ident) => {
        Arc::new(<$array>::from_iter(each($data_type, $values, |scalar| match scalar {
            Scalar::$variant(value) => Some(&**value),
            _ => None,
        })?))
    };
}

/// The values as an array of a well-formed type.
pub(super) fn build(data_type: &DataType, values: &[&Scalar]) -> Result<ArrayRef, ExprError> {
    Ok(match data_type {
        DataType::Null => {
            each(data_type, values, |_| None::<()>)?;
            Arc::new(NullArray::new(values.len()))
        }
        DataType::Boolean => {
            Arc::new(BooleanArray::from_iter(each(data_type, values, |scalar| scalar.as_bool())?))
        }
        DataType::Int8 => column!(Int8Type, data_type, values, Scalar::Int8(v) => *v),
        DataType::Int16 => column!(Int16Type, data_type, values, Scalar::Int16(v) => *v),
        DataType::Int32 => column!(Int32Type, data_type, values, Scalar::Int32(v) => *v),
        DataType::Int64 => column!(Int64Type, data_type, values, Scalar::Int64(v) => *v),
        DataType::UInt8 => column!(UInt8Type, data_type, values, Scalar::UInt8(v) => *v),
        DataType::UInt16 => column!(UInt16Type, data_type, values, Scalar::UInt16(v) => *v),
        DataType::UInt32 => column!(UInt32Type, data_type, values, Scalar::UInt32(v) => *v),
        DataType::UInt64 => column!(UInt64Type, data_type, values, Scalar::UInt64(v) => *v),
        DataType::Float16 => column!(Float16Type, data_type, values, Scalar::Float16(v) => *v),
        DataType::Float32 => column!(Float32Type, data_type, values, Scalar::Float32(v) => *v),
        DataType::Float64 => column!(Float64Type, data_type, values, Scalar::Float64(v) => *v),
        DataType::Decimal32(p, s) => column!(Decimal32Type, data_type, values,
            Scalar::Decimal32 { value, precision, scale } if precision == p && scale == s => *value),
        DataType::Decimal64(p, s) => column!(Decimal64Type, data_type, values,
            Scalar::Decimal64 { value, precision, scale } if precision == p && scale == s => *value),
        DataType::Decimal128(p, s) => column!(Decimal128Type, data_type, values,
            Scalar::Decimal128 { value, precision, scale } if precision == p && scale == s => *value),
        DataType::Decimal256(p, s) => column!(Decimal256Type, data_type, values,
            Scalar::Decimal256 { value, precision, scale } if precision == p && scale == s => *value),
        DataType::Utf8 => strings!(StringArray, data_type, values, Utf8),
        DataType::LargeUtf8 => strings!(LargeStringArray, data_type, values, LargeUtf8),
        DataType::Utf8View => strings!(StringViewArray, data_type, values, Utf8View),
        DataType::Binary => strings!(BinaryArray, data_type, values, Binary),
        DataType::LargeBinary => strings!(LargeBinaryArray, data_type, values, LargeBinary),
        DataType::BinaryView => strings!(BinaryViewArray, data_type, values, BinaryView),
        DataType::FixedSizeBinary(size) => {
            let bytes = each(data_type, values, |scalar| match scalar {
                Scalar::FixedSizeBinary(bytes) if scalar.data_type() == *data_type => Some(&**bytes),
                _ => None,
            })?;
            Arc::new(
                FixedSizeBinaryArray::try_from_sparse_iter_with_size(bytes.into_iter(), *size)
                    .map_err(|error| refused(data_type, &error))?,
            )
        }
        DataType::Date32 => column!(Date32Type, data_type, values, Scalar::Date32(v) => *v),
        DataType::Date64 => column!(Date64Type, data_type, values, Scalar::Date64(v) => *v),
        DataType::Time32(TimeUnit::Millisecond) => times32::<Time32MillisecondType>(data_type, values)?,
        DataType::Time32(_) => times32::<Time32SecondType>(data_type, values)?,
        DataType::Time64(TimeUnit::Microsecond) => ticks::<Time64MicrosecondType>(data_type, values)?,
        DataType::Time64(_) => ticks::<Time64NanosecondType>(data_type, values)?,
        DataType::Timestamp(unit, _) => match unit {
            TimeUnit::Second => ticks::<TimestampSecondType>(data_type, values)?,
            TimeUnit::Millisecond => ticks::<TimestampMillisecondType>(data_type, values)?,
            TimeUnit::Microsecond => ticks::<TimestampMicrosecondType>(data_type, values)?,
            TimeUnit::Nanosecond => ticks::<TimestampNanosecondType>(data_type, values)?,
        },
        DataType::Duration(unit) => match unit {
            TimeUnit::Second => ticks::<DurationSecondType>(data_type, values)?,
            TimeUnit::Millisecond => ticks::<DurationMillisecondType>(data_type, values)?,
            TimeUnit::Microsecond => ticks::<DurationMicrosecondType>(data_type, values)?,
            TimeUnit::Nanosecond => ticks::<DurationNanosecondType>(data_type, values)?,
        },
        DataType::Interval(IntervalUnit::YearMonth) => {
            column!(IntervalYearMonthType, data_type, values, Scalar::IntervalYearMonth(v) => *v)
        }
        DataType::Interval(IntervalUnit::DayTime) => column!(IntervalDayTimeType, data_type, values,
            Scalar::IntervalDayTime { days, milliseconds } => IntervalDayTime::new(*days, *milliseconds)),
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            column!(IntervalMonthDayNanoType, data_type, values,
                Scalar::IntervalMonthDayNano { months, days, nanoseconds } =>
                    IntervalMonthDayNano::new(*months, *days, *nanoseconds))
        }
        DataType::Dictionary(key, value) => dictionary(data_type, key, value, values)?,
        DataType::RunEndEncoded(ends, runs) => run_ends(data_type, ends, runs, values)?,
        nested => build_nested(nested, values)?,
    })
}

fn times32<T: ArrowPrimitiveType<Native = i32>>(
    data_type: &DataType,
    values: &[&Scalar],
) -> Result<ArrayRef, ExprError> {
    primitive::<T>(data_type, values, |scalar| match scalar {
        Scalar::Time { value, .. } if scalar.data_type() == *data_type => i32::try_from(*value).ok(),
        _ => None,
    })
}

fn ticks<T: ArrowPrimitiveType<Native = i64>>(
    data_type: &DataType,
    values: &[&Scalar],
) -> Result<ArrayRef, ExprError> {
    primitive::<T>(data_type, values, |scalar| match scalar {
        Scalar::Time { value, .. } | Scalar::Timestamp { value, .. } | Scalar::Duration { value, .. }
            if scalar.data_type() == *data_type =>
        {
            Some(*value)
        }
        _ => None,
    })
}

/// Each different value stands once among the dictionary's.
fn dictionary(
    data_type: &DataType,
    key: &DataType,
    value: &DataType,
    values: &[&Scalar],
) -> Result<ArrayRef, ExprError> {
    let (mut places, mut distinct) = (HashMap::new(), Vec::new());
    let mut keys: Vec<Option<i64>> = Vec::with_capacity(values.len());
    for scalar in values {
        let place = || {
            distinct.push(*scalar);
            distinct.len() as i64 - 1
        };
        keys.push((!scalar.is_null()).then(|| *places.entry(*scalar).or_insert_with(place)));
        if scalar.is_null() && scalar.data_type() != *value {
            return Err(wrong_type(scalar, value));
        }
    }
    let keys = cast(&Int64Array::from(keys), key).map_err(|error| refused(data_type, &error))?;
    // A key that its type cannot count has become null.
    if keys.null_count() > values.iter().filter(|scalar| scalar.is_null()).count() {
        let error = ArrowError::DictionaryKeyOverflowError;
        return Err(refused(data_type, &error));
    }
    let builder = keys.to_data().into_builder().data_type(data_type.clone());
    from_data(data_type, builder.add_child_data(build(value, &distinct)?.to_data()).build())
}

fn run_ends(
    data_type: &DataType,
    ends: &FieldRef,
    runs: &FieldRef,
    values: &[&Scalar],
) -> Result<ArrayRef, ExprError> {
    let (mut last_of, mut heads): (Vec<i64>, Vec<&Scalar>) = (Vec::new(), Vec::new());
    for (row, scalar) in values.iter().enumerate() {
        if heads.last() == Some(scalar) {
            last_of.pop();
        } else {
            heads.push(*scalar);
        }
        last_of.push(row as i64 + 1);
    }
    let ends_array =
        cast(&Int64Array::from(last_of), ends.data_type()).map_err(|error| refused(data_type, &error))?;
    let builder = ArrayData::builder(data_type.clone())
        .len(values.len())
        .add_child_data(ends_array.to_data())
        .add_child_data(build(runs.data_type(), &heads)?.to_data());
    from_data(data_type, builder.build())
}

fn from_data(data_type: &DataType, data: Result<ArrayData, ArrowError>) -> Result<ArrayRef, ExprError> {
    data.map(make_array).map_err(|error| refused(data_type, &error))
}

fn build_nested(data_type: &DataType, values: &[&Scalar]) -> Result<ArrayRef, ExprError> {
    let refuse = |error: ArrowError| refused(data_type, &error);
    match data_type {
        DataType::Struct(fields) => structs(data_type, fields, values),
        DataType::Union(fields, mode) => unions(data_type, fields, *mode, values),
        DataType::FixedSizeList(item, size) => {
            let filler = null_of(item);
            let size_of_one = usize::try_from(*size).unwrap_or(0);
            let lists = each(data_type, values, |scalar| list_items(data_type, scalar))?;
            let nulls = validity(&lists);
            let flat: Vec<&Scalar> = lists
                .iter()
                .flat_map(|list| match list {
                    Some(items) => items.iter().collect(),
                    None => vec![&filler; size_of_one],
                })
                .collect();
            let items = build(item.data_type(), &flat)?;
            let array =
                FixedSizeListArray::try_new_with_length(item.clone(), *size, items, nulls, values.len());
            Ok(Arc::new(array.map_err(refuse)?))
        }
        _ => lists(data_type, values),
    }
}

fn list_items<'a>(data_type: &DataType, scalar: &'a Scalar) -> Option<&'a [Scalar]> {
    match scalar {
        Scalar::List { data_type: own, items } if own == data_type => Some(items),
        _ => None,
    }
}

/// Lists of varying length, and maps.
fn lists(data_type: &DataType, values: &[&Scalar]) -> Result<ArrayRef, ExprError> {
    let refuse = |error: ArrowError| refused(data_type, &error);
    let lists = each(data_type, values, |scalar| list_items(data_type, scalar))?;
    let nulls = validity(&lists);
    let lengths: Vec<usize> = lists.iter().map(|list| list.map_or(0, <[Scalar]>::len)).collect();
    let flat: Vec<&Scalar> = lists.iter().flatten().flat_map(|items| items.iter()).collect();
    let item = match data_type {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::Map(item, _) => item.clone(),
        other => return Err(ExprError::unsupported_type(other, "it holds no values")),
    };
    let items = build(item.data_type(), &flat)?;
    let narrow = OffsetBuffer::<i32>::from_lengths(lengths.iter().copied());
    let wide = OffsetBuffer::<i64>::from_lengths(lengths.iter().copied());
    Ok(match data_type {
        DataType::List(_) => Arc::new(ListArray::try_new(item, narrow, items, nulls).map_err(refuse)?),
        DataType::LargeList(_) => {
            Arc::new(LargeListArray::try_new(item, wide, items, nulls).map_err(refuse)?)
        }
        DataType::ListView(_) => {
            let (offsets, sizes) =
                (narrow[..lengths.len()].to_vec(), narrow.lengths().map(|n| n as i32).collect());
            Arc::new(ListViewArray::try_new(item, offsets.into(), sizes, items, nulls).map_err(refuse)?)
        }
        DataType::LargeListView(_) => {
            let (offsets, sizes) =
                (wide[..lengths.len()].to_vec(), wide.lengths().map(|n| n as i64).collect());
            Arc::new(LargeListViewArray::try_new(item, offsets.into(), sizes, items, nulls).map_err(refuse)?)
        }
        _ => {
            let sorted = matches!(data_type, DataType::Map(_, true));
            let entries = items.as_any().downcast_ref::<StructArray>().cloned();
            let entries =
                entries.ok_or_else(|| ExprError::unsupported_type(data_type, "its entries are no struct"))?;
            Arc::new(MapArray::try_new(item, narrow, entries, nulls, sorted).map_err(refuse)?)
        }
    })
}

fn structs(data_type: &DataType, fields: &Fields, values: &[&Scalar]) -> Result<ArrayRef, ExprError> {
    let rows = each(data_type, values, |scalar| match scalar {
        Scalar::Struct { data_type: own, values } if own == data_type => Some(values),
        _ => None,
    })?;
    let column = |(i, field): (usize, &FieldRef)| {
        let filler = null_of(field);
        let cells: Vec<&Scalar> =
            rows.iter().map(|row| row.and_then(|values| values.get(i)).unwrap_or(&filler)).collect();
        build(field.data_type(), &cells)
    };
    let columns = fields.iter().enumerate().map(column).collect::<Result<Vec<_>, _>>()?;
    let array = StructArray::try_new_with_length(fields.clone(), columns, validity(&rows), values.len());
    Ok(Arc::new(array.map_err(|error| refused(data_type, &error))?))
}

/// A null of a union is a null of its first type, as a union has no nulls of its own.
fn unions(
    data_type: &DataType,
    fields: &UnionFields,
    mode: UnionMode,
    values: &[&Scalar],
) -> Result<ArrayRef, ExprError> {
    let rows = each(data_type, values, |scalar| match scalar {
        Scalar::Union { data_type: own, type_id, value } if own == data_type => Some((*type_id, &**value)),
        _ => None,
    })?;
    let Some((first, first_field)) = fields.iter().next() else {
        return Err(ExprError::unsupported_type(data_type, "a union needs at least one field"));
    };
    let first_null = null_of(first_field);
    let rows: Vec<(i8, &Scalar)> = rows.into_iter().map(|row| row.unwrap_or((first, &first_null))).collect();
    let (mut children, mut offsets) = (Vec::with_capacity(fields.len()), vec![0i32; rows.len()]);
    for (id, field) in fields.iter() {
        let filler = null_of(field);
        let cells: Vec<&Scalar> = match mode {
            UnionMode::Sparse => {
                rows.iter().map(|(own, value)| if *own == id { *value } else { &filler }).collect()
            }
            UnionMode::Dense => {
                let mine = rows.iter().enumerate().filter(|(_, (own, _))| *own == id);
                mine.enumerate()
                    .map(|(place, (row, (_, value)))| {
                        offsets[row] = place as i32;
                        *value
                    })
                    .collect()
            }
        };
        children.push(build(field.data_type(), &cells)?);
    }
    let ids: ScalarBuffer<i8> = rows.iter().map(|(id, _)| *id).collect();
    let offsets = (mode == UnionMode::Dense).then(|| ScalarBuffer::from(offsets));
    let array = UnionArray::try_new(fields.clone(), ids, offsets, children);
    Ok(Arc::new(array.map_err(|error| refused(data_type, &error))?))
}

fn validity<T>(rows: &[Option<T>]) -> Option<NullBuffer> {
    let nulls = NullBuffer::from_iter(rows.iter().map(Option::is_some));
    Some(nulls).filter(|nulls| nulls.null_count() > 0)
}

/// What stands in a field where the value around it is null.
fn null_of(field: &FieldRef) -> Scalar {
    Scalar::Null(decoded_type(field.data_type()).clone())
}

fn wrong_type(value: &Scalar, wanted: &DataType) -> ExprError {
    ExprError::InvalidLiteral {
        literal: value.to_string(),
        expected: type_name(wanted),
        reason: format!("it is of type {}", type_name(&value.data_type())),
    }
}

/// Arrow's reason why values do not make an array: a null where the type has none, too many keys.
fn refused(data_type: &DataType, error: &ArrowError) -> ExprError {
    ExprError::InvalidLiteral {
        literal: "list of values".to_owned(),
        expected: type_name(data_type),
        reason: error.to_string(),
    }
}
