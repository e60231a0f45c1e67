//! Functions of dates and timestamps, by the arithmetic of [`sabot_expr::temporal`].
//!
//! Consecutive rows of a stream mostly lie in the same day, hour or month. So the last stretch of time
//! that gave one answer is kept, and as long as rows stay inside it no division is done. In a zone other
//! than UTC clocks may be set anywhere, so there every row is computed.

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, TimeUnit};
use sabot_expr::functions::TimeFunction;
use sabot_expr::temporal::{
    Zone, fixed_size, floor_date, floor_timestamp, part_of_days, part_of_timestamp, units_per_day,
};
use sabot_expr::{DatePart, TruncUnit};
use sabot_ops::Failure;
use std::sync::Arc;

use super::super::arrow_bug;
use super::super::ticks::timestamps;
use super::Call;

impl Call<'_> {
    pub(super) fn time_function(&self, function: TimeFunction) -> Result<ArrayRef, Failure> {
        let word = self.literal_text(0)?.unwrap_or_default();
        let time = self.arg(1)?.array();
        let zone = match (self.literal_text(2)?, time.data_type()) {
            (Some(name), _) => Zone::parse(name),
            (None, DataType::Timestamp(_, Some(own))) => Zone::parse(own),
            (None, _) => Some(Zone::UTC),
        };
        let zone = zone.ok_or_else(|| self.wrong_type())?;
        match function {
            TimeFunction::DatePart => {
                self.date_part(DatePart::from_name(word).ok_or_else(|| self.wrong_type())?, time, zone)
            }
            TimeFunction::DateTrunc => {
                self.date_trunc(TruncUnit::from_name(word).ok_or_else(|| self.wrong_type())?, time, zone)
            }
        }
    }

    fn date_part(&self, part: DatePart, time: &ArrayRef, zone: Zone) -> Result<ArrayRef, Failure> {
        let values: Vec<i64> = match time.data_type() {
            DataType::Date32 => {
                let days = time.as_primitive::<Date32Type>().values();
                let mut run = Run::new(1, |day| part_of_days(part, day));
                days.iter().map(|day| run.get(i64::from(*day))).collect()
            }
            DataType::Timestamp(unit, _) => {
                let (unit, ticks) = (*unit, timestamps(time)?);
                if zone.is_utc() {
                    let mut run = Run::new(part_stretch(part, unit), |t| part_of_timestamp(part, t, unit));
                    ticks.iter().map(|t| run.get(*t)).collect()
                } else {
                    ticks.iter().map(|t| zone.part(part, *t, unit)).collect()
                }
            }
            _ => return Err(self.wrong_type()),
        };
        Ok(Arc::new(Int64Array::new(values.into(), time.nulls().cloned())))
    }

    fn date_trunc(&self, trunc: TruncUnit, time: &ArrayRef, zone: Zone) -> Result<ArrayRef, Failure> {
        match time.data_type() {
            DataType::Date32 => {
                let days = time.as_primitive::<Date32Type>().values();
                Ok(self.checked::<Date32Type>(|row| floor_date(trunc, days[row])))
            }
            DataType::Timestamp(unit, _) => {
                let ticks = timestamps(time)?;
                let floor = |tick: i64| zone.floor(trunc, tick, *unit);
                let (values, failed) = match zone.is_utc() {
                    true => floor_all(trunc, *unit, ticks),
                    false => (ticks.iter().map(|tick| floor(*tick).unwrap_or(0)).collect(), true),
                };
                if failed {
                    let without = |row: &usize| self.is_valid(*row) && floor(ticks[*row]).is_none();
                    (0..self.rows).filter(without).for_each(|row| self.fail(row));
                }
                timestamp_array(values, time)
            }
            _ => Err(self.wrong_type()),
        }
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
        DatePart::Second | DatePart::Epoch => TruncUnit::Second,
        DatePart::Millisecond => TruncUnit::Millisecond,
        DatePart::Microsecond => TruncUnit::Microsecond,
        DatePart::Nanosecond => return 1,
        DatePart::Year
        | DatePart::Quarter
        | DatePart::Month
        | DatePart::Week
        | DatePart::Day
        | DatePart::DayOfWeek
        | DatePart::DayOfYear
        | DatePart::IsoYear
        | DatePart::Decade
        | DatePart::Century
        | DatePart::Millennium
        | DatePart::UtcOffset => TruncUnit::Day,
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

/// Ticks as an array of the type and with the nulls of `like`.
fn timestamp_array(values: Vec<i64>, like: &ArrayRef) -> Result<ArrayRef, Failure> {
    let ticks: PrimitiveArray<_> = Int64Array::new(values.into(), like.nulls().cloned());
    cast(&ticks, like.data_type()).map_err(arrow_bug)
}
