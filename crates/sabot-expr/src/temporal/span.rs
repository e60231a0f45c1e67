//! Times of day, durations and intervals: as text, and added to timestamps.

use arrow::datatypes::TimeUnit;

use super::text::format_clock;
use super::{Civil, civil_from_days, days_from_civil, format_date, units_per_day, units_per_second};

/// Milliseconds of a day.
pub const MILLIS_PER_DAY: i64 = 86_400_000;

/// A date64 as `2001-01-31`: the day that its milliseconds lie in.
pub fn format_date64(millis: i64) -> String {
    // Days in 64 bits of milliseconds exceed 32 bits; such a date is printed by its number of days.
    let days = millis.div_euclid(MILLIS_PER_DAY);
    i32::try_from(days).map_or_else(|_| format!("epoch {days:+} days"), format_date)
}

/// A time of day as `23:59:59.250`, with no, 3, 6 or 9 digits below the second. A count outside the day, which
/// no time of day has, is printed as it is.
pub fn format_time(value: i64, unit: TimeUnit) -> String {
    let per_second = units_per_second(unit);
    if !(0..per_second * 86_400).contains(&value) {
        return format!("{value}{}", crate::types::unit_name(unit));
    }
    format_clock(value.div_euclid(per_second), value.rem_euclid(per_second) * (1_000_000_000 / per_second))
}

/// A duration as its count and unit: `250ms`.
pub fn format_duration(value: i64, unit: TimeUnit) -> String {
    format!("{value}{}", crate::types::unit_name(unit))
}

/// An interval as `1 year 2 months 3 days 04:05:06.5`. Parts that are zero are left out, and each part has
/// its own sign; the interval of nothing is `00:00:00`.
///
/// ```
/// use sabot_expr::temporal::format_interval;
/// assert_eq!(format_interval(14, -1, 0), "1 year 2 months -1 day");
/// assert_eq!(format_interval(0, 0, -1_500_000_000), "-00:00:01.500");
/// ```
pub fn format_interval(months: i32, days: i32, nanoseconds: i64) -> String {
    let mut parts = Vec::new();
    for (count, word) in [(months / 12, "year"), (months % 12, "month"), (days, "day")] {
        match count {
            0 => {}
            1 | -1 => parts.push(format!("{count} {word}")),
            _ => parts.push(format!("{count} {word}s")),
        }
    }
    if nanoseconds != 0 || parts.is_empty() {
        let sign = if nanoseconds < 0 { "-" } else { "" };
        // The magnitude of the smallest number of nanoseconds needs the unsigned range; its seconds do not.
        let magnitude = nanoseconds.unsigned_abs();
        let (seconds, below) = (magnitude / 1_000_000_000, magnitude % 1_000_000_000);
        parts.push(format!("{sign}{}", format_clock(seconds.cast_signed(), below.cast_signed())));
    }
    parts.join(" ")
}

/// A duration of a text `250ms`: a count and one of the units `s`, `ms`, `us`, `ns`, in another unit. `None` for any other
/// text, and where the unit cannot count it exactly.
///
/// ```
/// use arrow::datatypes::TimeUnit::{Microsecond, Second};
/// use sabot_expr::temporal::parse_duration;
/// assert_eq!(parse_duration("-2s", Microsecond), Some(-2_000_000));
/// assert_eq!(parse_duration("2ms", Second), None);
/// ```
pub fn parse_duration(text: &str, unit: TimeUnit) -> Option<i64> {
    let at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (count, own) = text.split_at(at);
    let own = crate::types::parse_unit(own)?;
    let count = i128::from(count.trim_end().parse::<i64>().ok()?);
    let (from, to) = (i128::from(units_per_second(own)), i128::from(units_per_second(unit)));
    if to >= from {
        return i64::try_from(count * (to / from)).ok();
    }
    (count % (from / to) == 0).then(|| i64::try_from(count / (from / to)).ok())?
}

/// An interval by its three parts, which are never converted into each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// Months.
    pub months: i32,
    /// Calendar days.
    pub days: i32,
    /// Nanoseconds.
    pub nanoseconds: i64,
}

impl Interval {
    /// Part by part `f` of two intervals; `None` when a part has no result.
    pub fn zip(self, other: Self, f: impl Fn(i64, i64) -> Option<i64>) -> Option<Self> {
        let narrow = |a: i32, b: i32| i32::try_from(f(i64::from(a), i64::from(b))?).ok();
        Some(Interval {
            months: narrow(self.months, other.months)?,
            days: narrow(self.days, other.days)?,
            nanoseconds: f(self.nanoseconds, other.nanoseconds)?,
        })
    }

    /// Every part times a number; `None` when one does not fit.
    pub fn times(self, factor: i64) -> Option<Self> {
        self.zip(self, |part, _| part.checked_mul(factor))
    }
}

/// An interval of a text such as `1 year 2 months -3 days 04:05:06.5`: parts of a number and a word in any order,
/// and a clock, which may have a sign and any number of hours. The words are year, month, week, day, hour, minute,
/// second, millisecond, microsecond and nanosecond, also in the plural, and `mon`. Seconds may have a
/// fraction of 9 digits at most. `None` for any other text, and beyond the range of a part.
///
/// ```
/// use sabot_expr::temporal::{Interval, parse_interval};
/// let interval = Interval { months: 14, days: -3, nanoseconds: 1_500_000_000 };
/// assert_eq!(parse_interval("1 year 2 months -3 days 00:00:01.5"), Some(interval));
/// assert_eq!(parse_interval("2 fortnights"), None);
/// ```
pub fn parse_interval(text: &str) -> Option<Interval> {
    let mut total = Interval { months: 0, days: 0, nanoseconds: 0 };
    let mut words = text.split_ascii_whitespace().peekable();
    words.peek()?;
    while let Some(number) = words.next() {
        let part = if number.contains(':') {
            Interval { months: 0, days: 0, nanoseconds: parse_clock(number)? }
        } else {
            named_part(number, words.next()?)?
        };
        total = total.zip(part, i64::checked_add)?;
    }
    Some(total)
}

fn named_part(number: &str, word: &str) -> Option<Interval> {
    let word = word.to_ascii_lowercase();
    let word = word.strip_suffix('s').unwrap_or(&word);
    if word == "second" {
        return Some(Interval { months: 0, days: 0, nanoseconds: parse_seconds(number)? });
    }
    let count: i64 = number.parse().ok()?;
    let (months, days, nanoseconds) = match word {
        "year" => (count.checked_mul(12)?, 0, 0),
        "month" | "mon" => (count, 0, 0),
        "week" => (0, count.checked_mul(7)?, 0),
        "day" => (0, count, 0),
        "hour" => (0, 0, count.checked_mul(3_600 * NANOS)?),
        "minute" | "min" => (0, 0, count.checked_mul(60 * NANOS)?),
        "millisecond" => (0, 0, count.checked_mul(1_000_000)?),
        "microsecond" => (0, 0, count.checked_mul(1_000)?),
        "nanosecond" => (0, 0, count),
        _ => return None,
    };
    Some(Interval { months: i32::try_from(months).ok()?, days: i32::try_from(days).ok()?, nanoseconds })
}

const NANOS: i64 = 1_000_000_000;

/// `[sign]H…:MM[:SS[.fraction]]` in nanoseconds.
fn parse_clock(text: &str) -> Option<i64> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut parts = unsigned.split(':');
    let (hours, minutes, seconds) = (parts.next()?, parts.next()?, parts.next().unwrap_or("0"));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<i64>().ok())?;
    let (hours, minutes) = (digits(hours)?, digits(minutes).filter(|minutes| *minutes < 60)?);
    if parts.next().is_some() || !seconds.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let nanos = i128::from(parse_seconds(seconds).filter(|nanos| *nanos < 60 * NANOS)?);
    let all = (i128::from(hours) * 60 + i128::from(minutes)) * 60 * i128::from(NANOS) + nanos;
    i64::try_from(if negative { -all } else { all }).ok()
}

/// `[sign]digits[.digits]` seconds in nanoseconds; finer digits are none.
fn parse_seconds(text: &str) -> Option<i64> {
    let fraction = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let plain = fraction <= 9 && text.bytes().all(|b| b.is_ascii_digit() || b"+-.".contains(&b));
    let digits = crate::decimal::parse_decimal(text, 9).filter(|_| plain)?;
    i64::try_from(digits.to_i128()?).ok()
}

/// A timestamp in UTC with an interval added, or taken off if `sign` is −1: months first, on the calendar, where a
/// day that the month does not have becomes its last; then days, then nanoseconds. What the unit does not count is
/// floored. `None` outside the range.
///
/// ```
/// use arrow::datatypes::TimeUnit::Second;
/// use sabot_expr::temporal::{Interval, Zone, add_interval, parse_timestamp};
/// let month = Interval { months: 1, days: 0, nanoseconds: 0 };
/// let last = parse_timestamp("2001-01-31T12:00", Second, &Zone::UTC).unwrap();
/// assert_eq!(add_interval(last, Second, month, 1), parse_timestamp("2001-02-28T12:00", Second, &Zone::UTC));
/// ```
pub fn add_interval(value: i64, unit: TimeUnit, interval: Interval, sign: i64) -> Option<i64> {
    let per_day = units_per_day(unit);
    let (mut days, rest) = (value.div_euclid(per_day), value.rem_euclid(per_day));
    if interval.months != 0 {
        let Civil { year, month, day } = civil_from_days(days);
        let months = year * 12 + month - 1 + sign * i64::from(interval.months);
        let (year, month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
        let next = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
        let length = days_from_civil(next.0, next.1, 1) - days_from_civil(year, month, 1);
        days = days_from_civil(year, month, day.min(length));
    }
    days += sign * i64::from(interval.days);
    let nanos_per_unit = i128::from(NANOS / units_per_second(unit));
    let nanos = i128::from(days) * i128::from(per_day) * nanos_per_unit
        + i128::from(rest) * nanos_per_unit
        + i128::from(sign) * i128::from(interval.nanoseconds);
    i64::try_from(nanos.div_euclid(nanos_per_unit)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};

    #[test]
    fn intervals_print_and_read_back() {
        for (months, days, nanoseconds, text) in [
            (0, 0, 0, "00:00:00"),
            (1, 0, 0, "1 month"),
            (-12, 0, 0, "-1 year"),
            (14, 3, 1, "1 year 2 months 3 days 00:00:00.000000001"),
            (0, -1, -1_500_000_000, "-1 day -00:00:01.500"),
            (0, 0, 360_000_000_000_000, "100:00:00"),
            (
                i32::MIN,
                i32::MAX,
                i64::MAX,
                "-178956970 years -8 months 2147483647 days 2562047:47:16.854775807",
            ),
            (
                i32::MAX,
                i32::MIN,
                i64::MIN,
                "178956970 years 7 months -2147483648 days -2562047:47:16.854775808",
            ),
        ] {
            assert_eq!(format_interval(months, days, nanoseconds), text);
            assert_eq!(parse_interval(text), Some(Interval { months, days, nanoseconds }), "{text}");
        }
    }

    #[test]
    fn intervals_are_read_in_words() {
        let of = |months, days, nanoseconds| Some(Interval { months, days, nanoseconds });
        for (text, interval) in [
            ("1 week 1 day", of(0, 8, 0)),
            ("2 HOURS 30 min", of(0, 0, 9_000_000_000_000)),
            ("-1.5 seconds", of(0, 0, -1_500_000_000)),
            ("1 second 1 second", of(0, 0, 2_000_000_000)),
            ("3 mons", of(3, 0, 0)),
            ("10:00", of(0, 0, 36_000_000_000_000)),
            ("+1:2:3", of(0, 0, 3_723_000_000_000)),
            ("", None),
            ("1", None),
            ("1 moon", None),
            ("1.5 days", None),
            ("1:60", None),
            ("1:00:60", None),
            ("1:2:3:4", None),
            ("::", None),
            ("1:2:", None),
            ("1:-2", None),
            ("1.0000000001 seconds", None),
            ("3000000000 days", None),
            ("200000000 years", None),
            ("9223372036854775807:00", None),
        ] {
            assert_eq!(parse_interval(text), interval, "{text}");
        }
    }

    #[test]
    fn months_keep_to_the_calendar() {
        let at = |text: &str| {
            crate::temporal::parse_timestamp(text, Millisecond, &crate::temporal::Zone::UTC).unwrap()
        };
        let add = |text: &str, interval: &str, sign| {
            add_interval(at(text), Millisecond, parse_interval(interval).unwrap(), sign)
        };
        for (start, interval, sign, end) in [
            ("2001-01-31", "1 month", 1, "2001-02-28"),
            ("2000-01-31", "1 month", 1, "2000-02-29"),
            ("2001-03-31T10:00", "1 month", -1, "2001-02-28T10:00"),
            ("2001-12-15", "1 month", 1, "2002-01-15"),
            ("2001-01-15", "1 month", -1, "2000-12-15"),
            ("2001-01-31", "1 month 1 day", 1, "2001-03-01"),
            ("2000-02-29", "1 year", 1, "2001-02-28"),
            ("1969-12-31T23:00", "2 hours", 1, "1970-01-01T01:00"),
            ("1970-01-01", "-1 day 01:00:00", 1, "1969-12-31T01:00"),
            ("1970-01-01", "-1 day 01:00:00", -1, "1970-01-01T23:00"),
        ] {
            assert_eq!(add(start, interval, sign), Some(at(end)), "{start} {sign:+} {interval}");
        }
        let nano = Interval { months: 0, days: 0, nanoseconds: 1 };
        assert_eq!(add_interval(0, Second, nano, 1), Some(0));
        assert_eq!(add_interval(0, Second, nano, -1), Some(-1), "floored, as everywhere");
        assert_eq!(add_interval(i64::MAX, Nanosecond, nano, 1), None);
        let most = Interval { months: i32::MAX, days: i32::MAX, nanoseconds: i64::MAX };
        assert_eq!(add_interval(i64::MAX, Microsecond, most, 1), None);
        assert!(add_interval(i64::MIN, Second, most, 1).is_some());
        assert!(add_interval(i64::MIN, Second, most, -1).is_none());
        assert_eq!(most.times(2), None);
        assert_eq!(nano.times(-3), Some(Interval { nanoseconds: -3, ..nano }));
    }

    #[test]
    fn durations_and_times_are_text() {
        for (text, unit, value) in [
            ("5ms", Microsecond, Some(5_000)),
            ("-5 ms", Millisecond, Some(-5)),
            ("5000us", Millisecond, Some(5)),
            ("5001us", Millisecond, None),
            ("9223372036854775807s", Millisecond, None),
            ("5", Second, None),
            ("5h", Second, None),
        ] {
            assert_eq!(parse_duration(text, unit), value, "{text}");
        }
        assert_eq!(format_time(86_399_999, Millisecond), "23:59:59.999");
        assert_eq!(format_time(86_400_000, Millisecond), "86400000ms");
        assert_eq!(format_time(-1, Second), "-1s");
        assert_eq!(format_date64(-1), "1969-12-31");
        assert_eq!(format_date64(i64::MAX), "epoch +106751991167 days");
    }
}
