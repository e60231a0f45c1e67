//! Keys as values that can be compared.

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type, Float64Type, TimeUnit};
use sabot_batch::key_hash::KeyValue;
use std::sync::Arc;

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
    Decimal(i128, i8),
    Text(String),
    Date(i32),
    Nanos(i128),
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
            KeyValue::Timestamp { count, unit } => {
                Canonical::Nanos(i128::from(*count) * nanos_per_unit(*unit))
            }
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

/// A key column in canonical form: dictionaries looked up, one zero, one NaN.
pub(super) fn canonical_column(column: &ArrayRef) -> Result<ArrayRef, Failure> {
    let plain = cast(column, &key_type(column.data_type())).map_err(internal)?;
    Ok(match plain.data_type() {
        DataType::Float32 => {
            let canonical = |x: f32| if x.is_nan() { f32::from_bits(0x7fc0_0000) } else { x + 0.0 };
            Arc::new(plain.as_primitive::<Float32Type>().unary::<_, Float32Type>(canonical))
        }
        DataType::Float64 => {
            Arc::new(plain.as_primitive::<Float64Type>().unary::<_, Float64Type>(one_zero_one_nan))
        }
        _ => plain,
    })
}
