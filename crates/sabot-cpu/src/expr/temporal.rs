//! Parts of dates and timestamps, and flooring them to a unit, by the arithmetic of
//! [`sabot_expr::temporal`].
//!
//! Consecutive rows of a stream mostly lie in the same day, hour or month. So the last stretch of time
//! that gave one answer is kept, and as long as rows stay inside it no division is done.

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use sabot_expr::temporal::{
    fixed_size, floor_date, floor_timestamp, part_of_days, part_of_timestamp, units_per_day,
};
use sabot_expr::{DatePart, TruncUnit};
use sabot_ops::Failure;
use std::sync::Arc;

use super::value::{Value, is_valid};
use super::{Active, Scope, arrow_bug, wrong_type};

impl Scope<'_> {
    /// A part of a date32 or timestamp, as int64.
    pub(super) fn date_part(&self, part: DatePart, input: &Value) -> Result<Value, Failure> {
        let array = input.array();
        let values: Vec<i64> = match array.data_type() {
            DataType::Date32 => {
                let days = array.as_primitive::<Date32Type>().values();
                let mut run = Run::new(1, |day| part_of_days(part, day));
                days.iter().map(|day| run.get(i64::from(*day))).collect()
            }
            DataType::Timestamp(unit, _) => {
                let unit = *unit;
                let mut run = Run::new(part_stretch(part, unit), |t| part_of_timestamp(part, t, unit));
                timestamps(array)?.iter().map(|t| run.get(*t)).collect()
            }
            other => return Err(wrong_type(part.name(), other)),
        };
        let result: ArrayRef = Arc::new(Int64Array::new(values.into(), array.nulls().cloned()));
        Ok(Value::of(result, input.is_constant()))
    }

    /// A date32 or timestamp floored to a unit, of the same type.
    pub(super) fn date_trunc(
        &self,
        trunc: TruncUnit,
        input: &Value,
        active: Active<'_>,
    ) -> Result<Value, Failure> {
        let array = input.array();
        let fail_where = |bad: &dyn Fn(usize) -> bool| {
            self.fail_where(active, input.is_constant(), |row| is_valid(array.nulls(), row) && bad(row));
        };
        let floored: ArrayRef = match array.data_type() {
            DataType::Date32 => {
                let days = array.as_primitive::<Date32Type>();
                if days.values().iter().any(|day| floor_date(trunc, *day).is_none()) {
                    fail_where(&|row| floor_date(trunc, days.value(row)).is_none());
                }
                Arc::new(days.unary::<_, Date32Type>(|day| floor_date(trunc, day).unwrap_or(0)))
            }
            DataType::Timestamp(unit, _) => {
                let times = timestamps(array)?;
                let (values, failed) = floor_all(trunc, *unit, times);
                if failed {
                    fail_where(&|row| floor_timestamp(trunc, times[row], *unit).is_none());
                }
                timestamp_array(values, array)?
            }
            other => return Err(wrong_type("date_trunc", other)),
        };
        Ok(Value::of(floored, input.is_constant()))
    }
}

/// Floors all; the flag says that some value has no floor.
fn floor_all(trunc: TruncUnit, unit: TimeUnit, times: &[i64]) -> (Vec<i64>, bool) {
    let mut failed = false;
    // Every unit but these is a whole number of seconds, so within a stretch the floor is the same.
    let stretch = fixed_size(trunc, unit).unwrap_or_else(|| units_per_day(unit));
    let mut run = Run::new(stretch, |t| floor_timestamp(trunc, t, unit));
    let floor = |t: &i64| {
        let floored = run.get(*t);
        failed |= floored.is_none();
        floored.unwrap_or(0)
    };
    let values = times.iter().map(floor).collect();
    (values, failed)
}

/// Ticks within which a part has one value, counted from the epoch.
fn part_stretch(part: DatePart, unit: TimeUnit) -> i64 {
    let trunc = match part {
        DatePart::Hour => TruncUnit::Hour,
        DatePart::Minute => TruncUnit::Minute,
        DatePart::Second => TruncUnit::Second,
        DatePart::Millisecond => TruncUnit::Millisecond,
        DatePart::Microsecond => TruncUnit::Microsecond,
        _ => TruncUnit::Day,
    };
    fixed_size(trunc, unit).unwrap_or(1)
}

/// A function that is constant on stretches of `size` ticks, with the answer of the last stretch.
struct Run<T, F> {
    size: i64,
    f: F,
    /// First and last tick of the stretch, and the answer there.
    last: Option<(i64, i64, T)>,
}

impl<T: Copy, F: Fn(i64) -> T> Run<T, F> {
    fn new(size: i64, f: F) -> Self {
        Self { size, f, last: None }
    }

    fn get(&mut self, tick: i64) -> T {
        if let Some((first, last, answer)) = self.last
            && first <= tick
            && tick <= last
        {
            return answer;
        }
        let answer = (self.f)(tick);
        let behind = tick.rem_euclid(self.size);
        // At the ends of the range a stretch is cut short, which only makes it shorter than it could be.
        self.last = Some((tick.saturating_sub(behind), tick.saturating_add(self.size - 1 - behind), answer));
        answer
    }
}

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

/// Ticks as an array of the type and with the nulls of `like`.
fn timestamp_array(values: Vec<i64>, like: &ArrayRef) -> Result<ArrayRef, Failure> {
    let ticks: PrimitiveArray<_> = Int64Array::new(values.into(), like.nulls().cloned());
    cast(&ticks, like.data_type()).map_err(arrow_bug)
}
