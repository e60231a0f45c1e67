//! Calendar windows: local days, weeks, months, quarters and years, which differ in length.
//!
//! The definition: boundaries are the local midnights at which units begin, moved by the offset on the
//! local clock, each at the first instant at which clocks show it or something later. A time lies in the
//! window of the latest boundary at or before it. Finding that boundary starts from what the clock shows
//! and goes on from there, so that no jump of the clock can lead it astray.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, TimeDelta};
use sabot_common::{EventTime, Span};
use serde::{Deserialize, Serialize};
use std::fmt;

use super::{WindowBounds, Zone};
use crate::TimeError;

/// The first and the last year in which calendar windows begin; times beyond lie in one window before
/// and one behind. Event time itself reaches some thousand years further than calendars do.
const YEARS: (i32, i32) = (-250_000, 250_000);

/// The longest offset: no unit is longer.
const OFFSET_MAX: Span = Span::from_secs(366 * 86_400);

/// A unit of the calendar.
///
/// ```
/// use sabot_time::CalendarUnit;
/// assert_eq!(CalendarUnit::Quarter.name(), "quarter");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CalendarUnit {
    /// From midnight to midnight: 23 to 25 hours where clocks change.
    Day,
    /// From Monday to Sunday, as ISO 8601 has it.
    Week,
    /// A calendar month.
    Month,
    /// January to March, and so on.
    Quarter,
    /// A calendar year.
    Year,
}

impl CalendarUnit {
    /// Its name in plans and messages.
    pub fn name(self) -> &'static str {
        match self {
            CalendarUnit::Day => "day",
            CalendarUnit::Week => "week",
            CalendarUnit::Month => "month",
            CalendarUnit::Quarter => "quarter",
            CalendarUnit::Year => "year",
        }
    }

    /// The first day of the unit that holds a day.
    fn first_day(self, day: NaiveDate) -> Option<NaiveDate> {
        match self {
            CalendarUnit::Day => Some(day),
            CalendarUnit::Week => {
                day.checked_sub_days(Days::new(day.weekday().num_days_from_monday().into()))
            }
            CalendarUnit::Month => day.with_day(1),
            CalendarUnit::Quarter => NaiveDate::from_ymd_opt(day.year(), day.month0() / 3 * 3 + 1, 1),
            CalendarUnit::Year => NaiveDate::from_ymd_opt(day.year(), 1, 1),
        }
    }

    /// The first day of the unit behind the one that starts on `first`.
    fn following(self, first: NaiveDate) -> Option<NaiveDate> {
        match self {
            CalendarUnit::Day => first.succ_opt(),
            CalendarUnit::Week => first.checked_add_days(Days::new(7)),
            CalendarUnit::Month => first.checked_add_months(Months::new(1)),
            CalendarUnit::Quarter => first.checked_add_months(Months::new(3)),
            CalendarUnit::Year => first.checked_add_months(Months::new(12)),
        }
    }
}

/// Windows of a calendar unit in a time zone.
///
/// ```
/// use sabot_common::{EventTime, Span};
/// use sabot_time::{CalendarUnit, CalendarWindow, Windows};
///
/// let days = Windows::from(CalendarWindow::new(CalendarUnit::Day, "Europe/Zurich".parse()?, Span::ZERO)?);
/// // 2024-03-31, on which clocks are set from 2 to 3 o'clock, has 23 hours.
/// let day = days.slice_of(EventTime(1_711_850_400_000_000));
/// assert_eq!(day.end().micros() - day.start.micros(), 23 * 3_600_000_000);
/// assert_eq!(days.to_string(), "calendar(day, Europe/Zurich)");
/// # Ok::<(), sabot_time::TimeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CalendarWindow {
    unit: CalendarUnit,
    zone: Zone,
    offset: Span,
}

impl CalendarWindow {
    /// Windows that begin `offset` after the local beginning of each unit, on the local clock: with 6
    /// hours, days last from 6 to 6 o'clock, also where clocks change. A negative offset begins earlier:
    /// with −1 day, weeks begin on Sunday.
    ///
    /// # Errors
    /// [`TimeError::CalendarOffset`] when the offset is longer than a year either way.
    pub fn new(unit: CalendarUnit, zone: Zone, offset: Span) -> Result<Self, TimeError> {
        if offset.micros().unsigned_abs() > OFFSET_MAX.micros().unsigned_abs() {
            return Err(TimeError::CalendarOffset { got: offset });
        }
        Ok(Self { unit, zone, offset })
    }

    /// The unit.
    pub fn unit(&self) -> CalendarUnit {
        self.unit
    }

    /// The zone whose clocks count.
    pub fn zone(&self) -> Zone {
        self.zone
    }

    /// How far behind the beginning of a unit its window begins.
    pub fn offset(&self) -> Span {
        self.offset
    }

    pub(super) fn window_of(&self, t: i64) -> WindowBounds {
        let (before, behind) = (i64::MIN, i64::MAX);
        let Some(mut first) = self.guess(t) else {
            // Beyond the calendar.
            return match t < 0 {
                true => bounds(before, self.first_of_year(YEARS.0).unwrap_or(0) - 1),
                false => bounds(self.first_of_year(YEARS.1).unwrap_or(0), behind),
            };
        };
        // Clocks that jump put the guess off by one unit, or by few of a day.
        loop {
            let following = self.unit.following(first);
            let start = self.boundary(first).unwrap_or(before);
            let end = following.and_then(|day| self.boundary(day));
            if t < start {
                let Some(day) = first.pred_opt().and_then(|day| self.unit.first_day(day)) else {
                    return bounds(before, start - 1);
                };
                first = day;
                continue;
            }
            match (following, end) {
                (Some(day), Some(end)) if t >= end => first = day,
                (_, Some(end)) => return bounds(start, end - 1),
                _ => return bounds(start, behind),
            }
        }
    }

    /// The first day of a unit near `t`; none beyond the calendar.
    fn guess(&self, t: i64) -> Option<NaiveDate> {
        let local = self.zone.local(DateTime::from_timestamp_micros(t)?);
        let day = local.checked_sub_signed(TimeDelta::microseconds(self.offset.micros()))?.date();
        let first = self.unit.first_day(day)?;
        (first.year() >= YEARS.0 && first.year() < YEARS.1).then_some(first)
    }

    /// The beginning of the first unit that begins in a year.
    fn first_of_year(&self, year: i32) -> Option<i64> {
        let day = NaiveDate::from_ymd_opt(year, 1, 1)?;
        let first = self.unit.first_day(day)?;
        self.boundary(if first == day { first } else { self.unit.following(first)? })
    }

    /// The instant at which the window of the unit that starts on `first` begins, in µs.
    fn boundary(&self, first: NaiveDate) -> Option<i64> {
        let midnight = first.and_hms_opt(0, 0, 0)?;
        let local = midnight.checked_add_signed(TimeDelta::microseconds(self.offset.micros()))?;
        Some(self.zone.first_instant(local).timestamp_micros())
    }
}

fn bounds(start: i64, last: i64) -> WindowBounds {
    WindowBounds { start: EventTime(start), last: EventTime(last) }
}

impl fmt::Display for CalendarWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "calendar({}, {}", self.unit.name(), self.zone)?;
        match self.offset {
            Span::ZERO => f.write_str(")"),
            offset => write!(f, ", offset {offset})"),
        }
    }
}
