//! The integers inside timestamp arrays.

use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray};
use arrow::datatypes::{
    DataType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use sabot_ops::Failure;

use super::wrong_type;

/// The ticks of a timestamp array of any unit.
pub(super) fn timestamps(array: &ArrayRef) -> Result<&[i64], Failure> {
    fn values<T: ArrowPrimitiveType<Native = i64>>(array: &ArrayRef) -> Option<&[i64]> {
        Some(array.as_primitive_opt::<T>()?.values())
    }
    let found = match array.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => values::<TimestampSecondType>(array),
        DataType::Timestamp(TimeUnit::Millisecond, _) => values::<TimestampMillisecondType>(array),
        DataType::Timestamp(TimeUnit::Microsecond, _) => values::<TimestampMicrosecondType>(array),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => values::<TimestampNanosecondType>(array),
        _ => None,
    };
    found.ok_or_else(|| wrong_type("timestamp ticks", array.data_type()))
}
