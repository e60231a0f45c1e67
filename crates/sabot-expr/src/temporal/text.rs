//! Dates and timestamps as ISO 8601 text, both ways.
//!
//! Everything that is printed reads back to the same value. Years outside 0–9999 carry a sign, as ISO
//! 8601 asks for. The printed form is the one of Arrow's casts, which can print fewer years.

use arrow::datatypes::TimeUnit;

use super::{SECONDS_PER_DAY, Zone, civil_from_days, days_from_civil, units_per_second};

/// Nanoseconds of a second.
const NANOS: i64 = 1_000_000_000;

/// A date as `2001-01-31`.
pub fn format_date(days: i32) -> String {
    format_days(i64::from(days))
}

fn format_days(days: i64) -> String {
    let date = civil_from_days(days);
    let (month, day) = (date.month, date.day);
    match date.year {
        year @ 0..=9999 => format!("{year:04}-{month:02}-{day:02}"),
        year => format!("{year:+05}-{month:02}-{day:02}"),
    }
}

/// A timestamp as `2001-01-31T23:59:59.250`, with no, 3, 6 or 9 digits below the second, as many as
/// the value needs. One with a zone is what the zone's clocks show, with how far they are ahead of UTC: `Z` in
/// UTC, else `+02:00`, with seconds where there are any, as there were before clocks of whole countries agreed.
///
/// ```
/// use arrow::datatypes::TimeUnit::Second;
/// use sabot_expr::temporal::{Zone, format_timestamp};
/// let new_york = Zone::parse("America/New_York").ok_or("no such zone")?;
/// assert_eq!(format_timestamp(0, Second, None), "1970-01-01T00:00:00");
/// assert_eq!(format_timestamp(0, Second, Some(&Zone::UTC)), "1970-01-01T00:00:00Z");
/// assert_eq!(format_timestamp(0, Second, Some(&new_york)), "1969-12-31T19:00:00-05:00");
/// # Ok::<(), &str>(())
/// ```
pub fn format_timestamp(value: i64, unit: TimeUnit, zone: Option<&Zone>) -> String {
    let per_second = units_per_second(unit);
    let (days, clock) = zone.unwrap_or(&Zone::UTC).local(value, unit);
    let date = format_days(days);
    let clock = format_clock(clock / per_second, clock % per_second * (NANOS / per_second));
    let offset = match zone {
        None => String::new(),
        Some(zone) if zone.is_utc() => "Z".to_owned(),
        Some(zone) => format_offset(zone.offset(value.div_euclid(per_second))),
    };
    format!("{date}T{clock}{offset}")
}

/// Seconds ahead of UTC as `±HH:MM`, and `:SS` where needed.
fn format_offset(offset: i64) -> String {
    let (sign, seconds) = (if offset < 0 { '-' } else { '+' }, offset.abs());
    let below = if seconds % 60 == 0 { String::new() } else { format!(":{:02}", seconds % 60) };
    format!("{sign}{:02}:{:02}{below}", seconds / 3_600, seconds / 60 % 60)
}

/// A clock as `HH:MM:SS`, with no, 3, 6 or 9 digits below the second. Hours go beyond 23 if the seconds do.
pub(super) fn format_clock(second: i64, nanos: i64) -> String {
    let fraction = match nanos {
        0 => String::new(),
        n if n % 1_000_000 == 0 => format!(".{:03}", n / 1_000_000),
        n if n % 1_000 == 0 => format!(".{:06}", n / 1_000),
        n => format!(".{n:09}"),
    };
    format!("{:02}:{:02}:{:02}{fraction}", second / 3_600, second / 60 % 60, second % 60)
}

/// Days since the epoch of a text `YYYY-MM-DD`; years outside 0–9999 need a sign. `None` for any other
/// text, for a day that does not exist, and outside the range of dates.
///
/// ```
/// use sabot_expr::temporal::parse_date;
/// assert_eq!(parse_date("1970-01-02"), Some(1));
/// assert_eq!(parse_date("2001-02-29"), None);
/// ```
pub fn parse_date(text: &str) -> Option<i32> {
    let mut rest = Cursor(text.as_bytes());
    let days = rest.date()?;
    rest.end()?;
    i32::try_from(days).ok()
}

/// Units since the epoch of a text `date[(T| )HH:MM[:SS[.fraction]][zone]]`, where the fraction has 1 to
/// 9 digits and the zone is `Z` or an offset `±HH[[:]MM[[:]SS]]`; without it the text is what the clocks of
/// `zone` show, see [`Zone::second_at`]. Digits that the unit does not have are cut off, which floors. `None` for
/// any other text, for a time that does not exist, and where the unit cannot count so far.
///
/// ```
/// use arrow::datatypes::TimeUnit::Second;
/// use sabot_expr::temporal::{Zone, parse_timestamp};
/// assert_eq!(parse_timestamp("1970-01-01", Second, &Zone::UTC), Some(0));
/// assert_eq!(parse_timestamp("1970-01-01T01:00:00+01:00", Second, &Zone::UTC), Some(0));
/// assert_eq!(parse_timestamp("1970-01-01T24:00", Second, &Zone::UTC), None);
/// let tokyo = Zone::parse("Asia/Tokyo").ok_or("no such zone")?;
/// assert_eq!(parse_timestamp("1970-01-01T09:00", Second, &tokyo), Some(0));
/// # Ok::<(), &str>(())
/// ```
pub fn parse_timestamp(text: &str, unit: TimeUnit, zone: &Zone) -> Option<i64> {
    let mut rest = Cursor(text.as_bytes());
    let days = rest.date()?;
    let (clock, nanos, offset) = if rest.0.is_empty() { (0, 0, None) } else { rest.time()? };
    rest.end()?;
    let local = i128::from(days) * i128::from(SECONDS_PER_DAY) + i128::from(clock);
    let second = match offset {
        Some(offset) => local - i128::from(offset),
        None => zone.second_at(i64::try_from(local).ok()?)?.into(),
    };
    let per_second = units_per_second(unit);
    let value = second * i128::from(per_second) + i128::from(nanos / (NANOS / per_second));
    i64::try_from(value).ok()
}

/// Units since midnight of a text `HH:MM[:SS[.fraction]]`. Digits that the unit does not have are cut off.
/// `None` for any other text and for a time that does not exist.
///
/// ```
/// use arrow::datatypes::TimeUnit::Millisecond;
/// use sabot_expr::temporal::parse_time;
/// assert_eq!(parse_time("00:00:01.5", Millisecond), Some(1_500));
/// assert_eq!(parse_time("24:00", Millisecond), None);
/// ```
pub fn parse_time(text: &str, unit: TimeUnit) -> Option<i64> {
    let mut rest = Cursor(text.as_bytes());
    let (seconds, nanos) = rest.clock()?;
    rest.end()?;
    let per_second = units_per_second(unit);
    Some(seconds * per_second + nanos / (NANOS / per_second))
}

/// The part of a text that is not read yet.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }

    /// Takes the next byte when it is one of `wanted`.
    fn take(&mut self, wanted: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        wanted.contains(first).then(|| {
            self.0 = rest;
            *first
        })
    }

    /// Takes `least` to `most` digits as a number, and says how many there were.
    fn digits(&mut self, least: usize, most: usize) -> Option<(i64, usize)> {
        let count = self.0.iter().take(most).take_while(|b| b.is_ascii_digit()).count();
        if count < least {
            return None;
        }
        let (digits, rest) = self.0.split_at(count);
        self.0 = rest;
        Some((digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')), count))
    }

    fn two(&mut self, below: i64) -> Option<i64> {
        self.digits(2, 2).map(|(number, _)| number).filter(|number| *number < below)
    }

    fn date(&mut self) -> Option<i64> {
        let sign = self.take(b"+-");
        // Twelve digits hold every year that seconds in 64 bits can reach.
        let (magnitude, count) = self.digits(4, 12)?;
        if sign.is_none() && count > 4 {
            return None;
        }
        let year = if sign == Some(b'-') { -magnitude } else { magnitude };
        self.take(b"-")?;
        let month = self.two(13).filter(|month| *month > 0)?;
        self.take(b"-")?;
        let day = self.two(32).filter(|day| *day > 0)?;
        let days = days_from_civil(year, month, day);
        (civil_from_days(days).month == month).then_some(days)
    }

    /// Seconds after midnight, nanoseconds after the second, and the offset if there is one.
    fn time(&mut self) -> Option<(i64, i64, Option<i64>)> {
        self.take(b"Tt ")?;
        let (second, nanos) = self.clock()?;
        let offset = if self.0.is_empty() { None } else { Some(self.offset()?) };
        Some((second, nanos, offset))
    }

    /// Seconds after midnight and nanoseconds after the second, of a time of day without offset.
    fn clock(&mut self) -> Option<(i64, i64)> {
        let hour = self.two(24)?;
        self.take(b":")?;
        let minute = self.two(60)?;
        let (mut second, mut nanos) = (0, 0);
        if self.take(b":").is_some() {
            second = self.two(60)?;
            if self.take(b".").is_some() {
                let (fraction, count) = self.digits(1, 9)?;
                nanos = (count..9).fold(fraction, |number, _| number * 10);
            }
        }
        Some((hour * 3_600 + minute * 60 + second, nanos))
    }

    fn offset(&mut self) -> Option<i64> {
        if self.take(b"Zz").is_some() {
            return Some(0);
        }
        let sign = if self.take(b"+-")? == b'-' { -1 } else { 1 };
        let hours = self.two(24)?;
        let mut below = || match self.take(b":").is_some() || !self.0.is_empty() {
            true => self.two(60),
            false => Some(0),
        };
        let (minutes, seconds) = (below()?, below()?);
        Some(sign * (hours * 3_600 + minutes * 60 + seconds))
    }
}
