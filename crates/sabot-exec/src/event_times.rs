//! From a timestamp or date column to event time: microseconds in UTC, floored, never null.

use arrow::array::{Array, AsArray, Int64Array};
use arrow::datatypes::{
    DataType, Date32Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use arrow::record_batch::RecordBatch;
use sabot_common::EventTime;

const DAY_US: i64 = 86_400_000_000;

/// Reads event times out of a source's batches.
#[derive(Debug, Clone)]
pub(crate) struct EventTimes {
    column: String,
    unit: Unit,
}

#[derive(Debug, Clone, Copy)]
enum Unit {
    /// Multiply to get microseconds.
    Times(i64),
    /// Divide, rounding down, to get microseconds.
    Over(i64),
}

/// A row without a usable event time.
#[derive(Debug)]
pub(crate) struct BadTime {
    pub(crate) row: usize,
    pub(crate) found: String,
}

impl EventTimes {
    /// A reader of a column; `None` for a type that is no point in time.
    pub(crate) fn new(column: &str, data_type: &DataType) -> Option<Self> {
        let unit = match data_type {
            DataType::Timestamp(TimeUnit::Second, _) => Unit::Times(1_000_000),
            DataType::Timestamp(TimeUnit::Millisecond, _) => Unit::Times(1_000),
            DataType::Timestamp(TimeUnit::Microsecond, _) => Unit::Times(1),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => Unit::Over(1_000),
            DataType::Date32 => Unit::Times(DAY_US),
            _ => return None,
        };
        Some(Self { column: column.to_owned(), unit })
    }

    pub(crate) fn column(&self) -> &str {
        &self.column
    }

    /// One raw value of the column, as statistics give it; a value out of range goes to its end.
    pub(crate) fn time_of(&self, raw: i64) -> EventTime {
        match self.unit {
            Unit::Times(factor) => EventTime(raw.saturating_mul(factor)),
            Unit::Over(divisor) => EventTime(raw.div_euclid(divisor)),
        }
    }

    /// The event times of a batch. Microsecond columns are shared, not copied.
    pub(crate) fn of(&self, batch: &RecordBatch) -> Result<Int64Array, BadTime> {
        let Some(column) = batch.column_by_name(&self.column) else {
            return Err(BadTime { row: 0, found: "missing".to_owned() });
        };
        if let Some(nulls) = column.nulls().filter(|n| n.null_count() > 0) {
            let row = (0..column.len()).find(|row| nulls.is_null(*row)).unwrap_or(0);
            return Err(BadTime { row, found: "null".to_owned() });
        }
        match column.data_type() {
            DataType::Timestamp(TimeUnit::Second, _) => {
                self.scale(column.as_primitive::<TimestampSecondType>().values().iter().copied())
            }
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                self.scale(column.as_primitive::<TimestampMillisecondType>().values().iter().copied())
            }
            DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                self.scale(column.as_primitive::<TimestampNanosecondType>().values().iter().copied())
            }
            DataType::Date32 => {
                self.scale(column.as_primitive::<Date32Type>().values().iter().map(|d| i64::from(*d)))
            }
            _ => {
                let micros = column.as_primitive::<TimestampMicrosecondType>();
                Ok(Int64Array::new(micros.values().clone(), None))
            }
        }
    }

    fn scale(&self, raw: impl Iterator<Item = i64>) -> Result<Int64Array, BadTime> {
        let mut times = Vec::with_capacity(raw.size_hint().0);
        for (row, value) in raw.enumerate() {
            times.push(match self.unit {
                Unit::Over(divisor) => value.div_euclid(divisor),
                Unit::Times(factor) => value.checked_mul(factor).ok_or_else(|| BadTime {
                    row,
                    found: format!("{value}, beyond the range of microseconds"),
                })?,
            });
        }
        Ok(Int64Array::from(times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Date32Array, TimestampNanosecondArray, TimestampSecondArray};
    use std::sync::Arc;

    fn times(column: ArrayRef) -> Result<Vec<i64>, BadTime> {
        let reader = EventTimes::new("t", column.data_type()).unwrap();
        let batch = RecordBatch::try_from_iter([("t", column)]).unwrap();
        reader.of(&batch).map(|t| t.values().to_vec())
    }

    #[test]
    fn nanoseconds_are_floored_before_and_after_the_epoch() {
        let column = Arc::new(TimestampNanosecondArray::from(vec![-1, 0, 999, 1_000]));
        assert_eq!(times(column).unwrap(), [-1, 0, 0, 1]);
        assert_eq!(times(Arc::new(Date32Array::from(vec![-1, 1]))).unwrap(), [-DAY_US, DAY_US]);
    }

    #[test]
    fn nulls_and_values_out_of_range_name_their_row() {
        let wrong = times(Arc::new(TimestampSecondArray::from(vec![Some(0), None]))).unwrap_err();
        assert_eq!((wrong.row, wrong.found.as_str()), (1, "null"));
        let wrong = times(Arc::new(TimestampSecondArray::from(vec![0, 1, i64::MAX]))).unwrap_err();
        assert_eq!(wrong.row, 2);
    }
}
