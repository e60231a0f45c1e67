//! Keys as values that can be compared.

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Fields, TimeUnit, i256};
use sabot_batch::key_hash::KeyValue;
use sabot_expr::types::list_item;
use sabot_expr::{ExprError, Float16, Scalar};

use super::internal;
use crate::Failure;
use crate::group_by::key_type;

/// A key value in canonical form: two values of one column are equal as keys exactly when these are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Canonical {
    Null,
    Bool(bool),
    Integer(i128),
    /// The bits of a double, with one zero and one NaN.
    Float(u64),
    Decimal(i256, i8),
    Text(String),
    Bytes(Vec<u8>),
    Date(i32),
    Millis(i64),
    Nanos(i128),
    Interval(i32, i32, i64),
    List(Vec<Canonical>),
    Struct(Vec<Canonical>),
}

impl From<&KeyValue> for Canonical {
    fn from(value: &KeyValue) -> Self {
        match value {
            KeyValue::Null => Canonical::Null,
            KeyValue::Bool(x) => Canonical::Bool(*x),
            KeyValue::Signed(x) => Canonical::Integer(i128::from(*x)),
            KeyValue::Unsigned(x) => Canonical::Integer(i128::from(*x)),
            KeyValue::Float(x) => Canonical::Float(one_zero_one_nan(*x).to_bits()),
            KeyValue::Decimal { coefficient, scale } => Canonical::Decimal(*coefficient, *scale),
            KeyValue::Text(text) => Canonical::Text(text.clone()),
            KeyValue::Date(days) => Canonical::Date(*days),
            KeyValue::Bytes(bytes) => Canonical::Bytes(bytes.clone()),
            KeyValue::DateMillis(millis) => Canonical::Millis(*millis),
            KeyValue::Time { count, unit }
            | KeyValue::Timestamp { count, unit }
            | KeyValue::Duration { count, unit } => {
                Canonical::Nanos(i128::from(*count) * nanos_per_unit(*unit))
            }
            KeyValue::Interval { months, days, nanoseconds } => {
                Canonical::Interval(*months, *days, *nanoseconds)
            }
            KeyValue::List(items) => Canonical::List(items.iter().map(Canonical::from).collect()),
            KeyValue::Struct(fields) => Canonical::Struct(fields.iter().map(Canonical::from).collect()),
        }
    }
}

fn nanos_per_unit(unit: TimeUnit) -> i128 {
    match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    }
}

fn one_zero_one_nan(x: f64) -> f64 {
    if x.is_nan() {
        f64::from_bits(0x7ff8_0000_0000_0000)
    } else if x == 0.0 {
        0.0
    } else {
        x
    }
}

/// The values of a row's key.
pub(super) fn values(batch: &RecordBatch, keys: &[usize], row: usize) -> Result<Vec<KeyValue>, Failure> {
    keys.iter()
        .map(|index| KeyValue::from_array(batch.column(*index).as_ref(), row).map_err(internal))
        .collect()
}

/// A key column in canonical form: dictionaries and runs looked up, one zero, one NaN.
pub(super) fn canonical_column(column: &ArrayRef) -> Result<ArrayRef, Failure> {
    let to = key_type(column.data_type());
    let values = (0..column.len())
        .map(|row| Ok(canonical_value(Scalar::from_array(column.as_ref(), row)?, &to)))
        .collect::<Result<Vec<_>, ExprError>>()
        .map_err(internal)?;
    Scalar::collect(&to, &values).map_err(internal)
}

/// A value in the type that keys of its type are kept in.
fn canonical_value(value: Scalar, to: &DataType) -> Scalar {
    match value {
        Scalar::Null(_) => Scalar::Null(to.clone()),
        Scalar::Float16(x) if x.is_nan() => Scalar::Float16(Float16::NAN),
        Scalar::Float16(x) if x.to_f64() == 0.0 => Scalar::Float16(Float16::ZERO),
        Scalar::Float32(x) if x.is_nan() => Scalar::Float32(f32::from_bits(0x7fc0_0000)),
        Scalar::Float32(x) => Scalar::Float32(x + 0.0),
        Scalar::Float64(x) => Scalar::Float64(one_zero_one_nan(x)),
        Scalar::List { items, .. } => {
            let item = list_item(to).map_or(&DataType::Null, |item| item.data_type());
            let items = items.into_iter().map(|value| canonical_value(value, item)).collect();
            Scalar::List { data_type: to.clone(), items }
        }
        Scalar::Struct { values, .. } => {
            let fields = if let DataType::Struct(fields) = to { fields.clone() } else { Fields::empty() };
            let pairs = values.into_iter().zip(&fields);
            let values = pairs.map(|(value, field)| canonical_value(value, field.data_type())).collect();
            Scalar::Struct { data_type: to.clone(), values }
        }
        other => other,
    }
}
