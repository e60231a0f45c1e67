//! Date arithmetic on plain integers: the one place that knows how days, parts and units relate.
//!
//! All times are counted from 1970-01-01T00:00:00 UTC in the proleptic Gregorian calendar, and every
//! function floors: a time before 1970 belongs to the day, hour or second that it lies in and not to
//! the next one. Functions return `None` where a result does not fit, and never wrap. They take and
//! give integers, so that the interpreter and the vectorised kernels share them.

mod span;
mod text;
mod zone;

pub use span::{
    Interval, MILLIS_PER_DAY, add_interval, format_date64, format_duration, format_interval, format_time,
    parse_duration, parse_interval,
};
pub use text::{format_date, format_timestamp, parse_date, parse_time, parse_timestamp};
pub use zone::Zone;

use arrow::datatypes::TimeUnit;

use crate::expr::{DatePart, TruncUnit};

/// Seconds of a day; there are no leap seconds in the time scale.
pub const SECONDS_PER_DAY: i64 = 86_400;

/// Ticks of the unit in a second.
pub const fn units_per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// Ticks of the unit in a day.
pub const fn units_per_day(unit: TimeUnit) -> i64 {
    units_per_second(unit) * SECONDS_PER_DAY
}

/// A date of the proleptic Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// The year; the year before year 1 is 0.
    pub year: i64,
    /// 1 to 12.
    pub month: i64,
    /// 1 to 31.
    pub day: i64,
}

/// Days of the calendar's cycle of 400 years.
const DAYS_PER_ERA: i64 = 146_097;
/// Days from 0000-03-01, where an era starts, to 1970-01-01.
const ERA_TO_EPOCH: i64 = 719_468;

/// The date that lies `days` after 1970-01-01. Takes every day number that a timestamp can have.
///
/// The year is counted from March, so that the leap day is the last one of its year; then month and
/// day follow from the day of the year by a linear formula (Hinnant, "chrono-compatible low-level date
/// algorithms").
pub fn civil_from_days(days: i64) -> Civil {
    let shifted = days + ERA_TO_EPOCH;
    let era = shifted.div_euclid(DAYS_PER_ERA);
    let day_of_era = shifted.rem_euclid(DAYS_PER_ERA);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    Civil { year: year_of_era + era * 400 + i64::from(month <= 2), month, day }
}

/// Days from 1970-01-01 to a date; the inverse of [`civil_from_days`]. Month and day must be in range.
pub fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year_from_march = year - i64::from(month <= 2);
    let era = year_from_march.div_euclid(400);
    let year_of_era = year_from_march.rem_euclid(400);
    let month_from_march = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * DAYS_PER_ERA + day_of_era - ERA_TO_EPOCH
}

/// The day of the week by ISO 8601: 1 is Monday, 7 is Sunday.
pub fn day_of_week(days: i64) -> i64 {
    // 1970-01-01 was a Thursday.
    (days + 3).rem_euclid(7) + 1
}

/// The week by ISO 8601, 1 to 53: a week belongs to the year that its Thursday lies in.
pub fn iso_week(days: i64) -> i64 {
    let thursday = days - day_of_week(days) + 4;
    let year = civil_from_days(thursday).year;
    (thursday - days_from_civil(year, 1, 1)) / 7 + 1
}

/// The number of a stretch of years, such as a century, that starts with a year 1 and has none with the
/// number 0: what lies before year 1 counts backwards from −1.
fn stretch_of_years(year: i64, length: i64) -> i64 {
    if year > 0 { (year - 1) / length + 1 } else { year / length - 1 }
}

/// A part of a date, given as days since the epoch; parts below the day are 0.
pub fn part_of_days(part: DatePart, days: i64) -> i64 {
    match part {
        DatePart::Year => civil_from_days(days).year,
        DatePart::Quarter => (civil_from_days(days).month - 1) / 3 + 1,
        DatePart::Month => civil_from_days(days).month,
        DatePart::Week => iso_week(days),
        DatePart::Day => civil_from_days(days).day,
        DatePart::DayOfWeek => day_of_week(days),
        DatePart::DayOfYear => days - days_from_civil(civil_from_days(days).year, 1, 1) + 1,
        DatePart::IsoYear => civil_from_days(days - day_of_week(days) + 4).year,
        DatePart::Decade => civil_from_days(days).year.div_euclid(10),
        DatePart::Century => stretch_of_years(civil_from_days(days).year, 100),
        DatePart::Millennium => stretch_of_years(civil_from_days(days).year, 1_000),
        DatePart::Epoch => days * SECONDS_PER_DAY,
        DatePart::Hour
        | DatePart::Minute
        | DatePart::Second
        | DatePart::Millisecond
        | DatePart::Microsecond
        | DatePart::Nanosecond
        | DatePart::UtcOffset => 0,
    }
}

/// A part of a timestamp in UTC.
///
/// ```
/// use arrow::datatypes::TimeUnit;
/// use sabot_expr::{DatePart, temporal::part_of_timestamp};
/// // One microsecond before 1970.
/// assert_eq!(part_of_timestamp(DatePart::Year, -1, TimeUnit::Microsecond), 1969);
/// assert_eq!(part_of_timestamp(DatePart::Second, -1, TimeUnit::Microsecond), 59);
/// ```
pub fn part_of_timestamp(part: DatePart, value: i64, unit: TimeUnit) -> i64 {
    part_of_local(part, value, unit, 0)
}

/// A part of a timestamp by clocks that are `offset` seconds, less than some days, ahead of UTC.
fn part_of_local(part: DatePart, value: i64, unit: TimeUnit, offset: i64) -> i64 {
    let per_second = units_per_second(unit);
    let (second, below_second) = (value.div_euclid(per_second), value.rem_euclid(per_second));
    // The day is split off before the offset comes in, so that no sum leaves 64 bits.
    let second_of_day = second.rem_euclid(SECONDS_PER_DAY) + offset;
    let day = second.div_euclid(SECONDS_PER_DAY) + second_of_day.div_euclid(SECONDS_PER_DAY);
    let second_of_day = second_of_day.rem_euclid(SECONDS_PER_DAY);
    match part {
        DatePart::Hour => second_of_day / 3_600,
        DatePart::Minute => second_of_day / 60 % 60,
        DatePart::Second => second_of_day % 60,
        DatePart::Millisecond => below_second * 1_000 / per_second,
        DatePart::Microsecond => below_second * 1_000_000 / per_second,
        DatePart::Nanosecond => below_second * (1_000_000_000 / per_second),
        DatePart::Epoch => second,
        DatePart::UtcOffset => offset,
        date_part => part_of_days(date_part, day),
    }
}

/// The first day of the week, month or longer unit that a day lies in; any shorter unit gives the day itself.
pub fn floor_days(unit: TruncUnit, days: i64) -> i64 {
    let first_day = |years: i64| {
        let year = civil_from_days(days).year;
        days_from_civil(year - year.rem_euclid(years), 1, 1)
    };
    match unit {
        TruncUnit::Millennium => first_day(1_000),
        TruncUnit::Century => first_day(100),
        TruncUnit::Decade => first_day(10),
        TruncUnit::Year => first_day(1),
        TruncUnit::Quarter => {
            let Civil { year, month, .. } = civil_from_days(days);
            days_from_civil(year, (month - 1) / 3 * 3 + 1, 1)
        }
        TruncUnit::Month => days - civil_from_days(days).day + 1,
        TruncUnit::Week => days - day_of_week(days) + 1,
        _ => days,
    }
}

/// The ticks that a unit of fixed length has in a time unit: `Some(1)` or less than a tick means that
/// every value is a whole unit already. `None` for months and what is made of them, whose length varies, and
/// for the week, which starts on Monday and not on the weekday of the epoch.
pub fn fixed_size(trunc: TruncUnit, unit: TimeUnit) -> Option<i64> {
    let per_second = units_per_second(unit);
    Some(match trunc {
        longer if longer < TruncUnit::Day => return None,
        TruncUnit::Day => units_per_day(unit),
        TruncUnit::Hour => per_second * 3_600,
        TruncUnit::Minute => per_second * 60,
        TruncUnit::Second => per_second,
        TruncUnit::Millisecond => (per_second / 1_000).max(1),
        _ => (per_second / 1_000_000).max(1),
    })
}

/// A timestamp floored to a unit; `None` when the start of the unit lies before the first timestamp.
///
/// ```
/// use arrow::datatypes::TimeUnit;
/// use sabot_expr::{TruncUnit, temporal::floor_timestamp};
/// assert_eq!(floor_timestamp(TruncUnit::Second, -1, TimeUnit::Millisecond), Some(-1_000));
/// assert_eq!(floor_timestamp(TruncUnit::Year, i64::MIN, TimeUnit::Nanosecond), None);
/// ```
pub fn floor_timestamp(trunc: TruncUnit, value: i64, unit: TimeUnit) -> Option<i64> {
    match fixed_size(trunc, unit) {
        Some(size) => value.checked_sub(value.rem_euclid(size)),
        None => {
            let per_day = units_per_day(unit);
            floor_days(trunc, value.div_euclid(per_day)).checked_mul(per_day)
        }
    }
}

/// A date floored to a unit; `None` when the start of the unit lies before the first date.
pub fn floor_date(trunc: TruncUnit, days: i32) -> Option<i32> {
    i32::try_from(floor_days(trunc, i64::from(days))).ok()
}

/// A timestamp in another unit: floored when the unit is coarser, `None` when a finer unit cannot count so far.
///
/// ```
/// use arrow::datatypes::TimeUnit::{Microsecond, Second};
/// use sabot_expr::temporal::convert_unit;
/// assert_eq!(convert_unit(-1, Microsecond, Second), Some(-1));
/// assert_eq!(convert_unit(i64::MAX, Second, Microsecond), None);
/// ```
pub fn convert_unit(value: i64, from: TimeUnit, to: TimeUnit) -> Option<i64> {
    let (from, to) = (units_per_second(from), units_per_second(to));
    if to >= from { value.checked_mul(to / from) } else { Some(value.div_euclid(from / to)) }
}

#[cfg(test)]
mod tests;
