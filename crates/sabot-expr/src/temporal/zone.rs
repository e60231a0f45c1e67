//! Time zones: what the clocks of a place show at a point in time, and back.
//!
//! Zones are those of the IANA database that is compiled in, and fixed offsets. The database does not
//! know centuries far away: before its first entry and beyond its last a zone keeps the offset it had
//! there.

use arrow::array::timezone::Tz;
use arrow::datatypes::TimeUnit;
use chrono::{DateTime, LocalResult, NaiveDateTime, Offset, TimeZone};

use super::{SECONDS_PER_DAY, floor_days, floor_timestamp, part_of_local, units_per_day, units_per_second};
use crate::expr::{DatePart, TruncUnit};
use crate::types::is_utc;

/// Seconds around 1970 for which the zone database is asked; beyond, the answer at this distance holds.
/// That is about the year ±255,000, a little less than what the calendar library can count.
const ASKED_SECONDS_MAX: i64 = 8_000_000_000_000;

/// A time zone.
#[derive(Clone, Copy, Debug)]
pub struct Zone(Option<Tz>);

impl Zone {
    /// UTC.
    pub const UTC: Zone = Zone(None);

    /// The zone of a name (`Europe/Zurich`) or offset (`+01:00`); `None` for any other text.
    ///
    /// ```
    /// use sabot_expr::temporal::Zone;
    /// assert!(Zone::parse("America/New_York").is_some() && Zone::parse("-05:30").is_some());
    /// assert!(Zone::parse("Mars/Olympus_Mons").is_none());
    /// ```
    pub fn parse(name: &str) -> Option<Zone> {
        if is_utc(Some(name)) {
            return Some(Zone::UTC);
        }
        name.parse().ok().map(|zone| Zone(Some(zone)))
    }

    /// The zone of a timestamp type: UTC where it names none; `None` for a name that is no zone.
    pub fn of(name: Option<&str>) -> Option<Zone> {
        name.map_or(Some(Zone::UTC), Zone::parse)
    }

    /// Whether the zone's clocks show UTC at all times.
    pub fn is_utc(&self) -> bool {
        self.0.is_none()
    }

    /// Seconds that the zone's clocks are ahead of UTC at a second since the epoch.
    pub fn offset(&self, second: i64) -> i64 {
        let Some(zone) = self.0 else { return 0 };
        naive(second)
            .map_or(0, |time| i64::from(zone.offset_from_utc_datetime(&time).fix().local_minus_utc()))
    }

    /// What the zone's calendar and clocks show at a timestamp: days since 1970-01-01, and units since midnight.
    ///
    /// ```
    /// use arrow::datatypes::TimeUnit;
    /// use sabot_expr::temporal::Zone;
    /// let tokyo = Zone::parse("Asia/Tokyo").ok_or("no such zone")?;
    /// assert_eq!(tokyo.local(15 * 3_600, TimeUnit::Second), (1, 0));
    /// # Ok::<(), &str>(())
    /// ```
    pub fn local(&self, value: i64, unit: TimeUnit) -> (i64, i64) {
        let (per_second, per_day) = (units_per_second(unit), units_per_day(unit));
        if self.is_utc() {
            return (value.div_euclid(per_day), value.rem_euclid(per_day));
        }
        // Apart from the days, so that nothing overflows at the ends of the range.
        let clock = value.rem_euclid(per_day) + self.offset(value.div_euclid(per_second)) * per_second;
        (value.div_euclid(per_day) + clock.div_euclid(per_day), clock.rem_euclid(per_day))
    }

    /// The second at which the zone's clocks show `local`, which is counted as if they showed UTC.
    ///
    /// Where clocks are set back and show a time twice it is the first of both. A time that they skip is shown by
    /// none: `None`. Only midnight means the beginning of its day, and that is then the second at which clocks are
    /// set forward; a day that a zone skips has none either.
    ///
    /// ```
    /// use sabot_expr::temporal::Zone;
    /// let zurich = Zone::parse("Europe/Zurich").ok_or("no such zone")?;
    /// let (march, october) = (1_711_846_800, 1_729_990_800); // 2024-03-31 and 2024-10-27, 01:00 UTC
    /// assert_eq!(zurich.second_at(march + 3_600), None); // two o'clock: clocks go from two to three
    /// assert_eq!(zurich.second_at(march + 7_200), Some(march));
    /// assert_eq!(zurich.second_at(october + 3_600), Some(october - 3_600)); // two o'clock, for the first time
    /// # Ok::<(), &str>(())
    /// ```
    pub fn second_at(&self, local: i64) -> Option<i64> {
        if self.is_utc() {
            return Some(local);
        }
        let (first, _) = self.seconds_of(local)?;
        let shown = first.checked_add(self.offset(first))?;
        let is_midnight = local.rem_euclid(SECONDS_PER_DAY) == 0;
        let same_day = shown.div_euclid(SECONDS_PER_DAY) == local.div_euclid(SECONDS_PER_DAY);
        (shown == local || (is_midnight && same_day)).then_some(first)
    }

    /// The date that the zone's calendar shows at a timestamp; `None` when it is outside the range of dates.
    pub fn date(&self, value: i64, unit: TimeUnit) -> Option<i32> {
        i32::try_from(self.local(value, unit).0).ok()
    }

    /// The beginning of a date as a timestamp; `None` when the unit cannot count so far, or clocks skip the day.
    pub fn midnight(&self, days: i32, unit: TimeUnit) -> Option<i64> {
        self.second_at(i64::from(days) * SECONDS_PER_DAY)?.checked_mul(units_per_second(unit))
    }

    /// A part of a timestamp, as the zone's clocks show it.
    ///
    /// ```
    /// use arrow::datatypes::TimeUnit;
    /// use sabot_expr::{DatePart, temporal::Zone};
    /// let zurich = Zone::parse("Europe/Zurich").ok_or("no such zone")?;
    /// assert_eq!(zurich.part(DatePart::Hour, 0, TimeUnit::Second), 1);
    /// # Ok::<(), &str>(())
    /// ```
    pub fn part(&self, part: DatePart, value: i64, unit: TimeUnit) -> i64 {
        part_of_local(part, value, unit, self.offset(value.div_euclid(units_per_second(unit))))
    }

    /// The start of the unit that a timestamp lies in by the zone's clocks; `None` when it lies before
    /// the first timestamp.
    ///
    /// Where clocks were set forward over the start, it is the moment when they were. Where they were
    /// set back and showed the start twice, a day and longer units start at the first of both, and
    /// shorter units at the last one that is not after the timestamp.
    pub fn floor(&self, trunc: TruncUnit, value: i64, unit: TimeUnit) -> Option<i64> {
        // Offsets are whole seconds, so what is not longer than a second starts where it does in UTC.
        if self.is_utc() || trunc >= TruncUnit::Second {
            return floor_timestamp(trunc, value, unit);
        }
        let per_second = units_per_second(unit);
        let second = value.div_euclid(per_second);
        let local = second.checked_add(self.offset(second))?;
        let (day, in_day) = (local.div_euclid(SECONDS_PER_DAY), local.rem_euclid(SECONDS_PER_DAY));
        let midnight = |day: i64| day.checked_mul(SECONDS_PER_DAY);
        let start = match trunc {
            TruncUnit::Hour => midnight(day)?.checked_add(in_day - in_day % 3_600)?,
            TruncUnit::Minute => midnight(day)?.checked_add(in_day - in_day % 60)?,
            _ => midnight(floor_days(trunc, day))?,
        };
        let (first, last) = self.seconds_of(start)?;
        let starts = if trunc <= TruncUnit::Day || last > second { first } else { last };
        starts.checked_mul(per_second)
    }

    /// The first and last second at which the zone's clocks show `local` (seconds since the epoch as if
    /// they showed UTC); where they skip it, the second at which they do.
    fn seconds_of(&self, local: i64) -> Option<(i64, i64)> {
        let Some(zone) = self.0 else { return Some((local, local)) };
        let shown = naive(local)?;
        let second = |offset: i32| local.checked_sub(i64::from(offset));
        match zone.offset_from_local_datetime(&shown) {
            LocalResult::Single(offset) => {
                let only = second(offset.fix().local_minus_utc())?;
                Some((only, only))
            }
            LocalResult::Ambiguous(a, b) => {
                let (a, b) = (second(a.fix().local_minus_utc())?, second(b.fix().local_minus_utc())?);
                Some((a.min(b), a.max(b)))
            }
            LocalResult::None => {
                // Offsets are less than a day, so the clocks are set forward somewhere in these two days.
                let (mut before, mut after) =
                    (local.checked_sub(SECONDS_PER_DAY)?, local.checked_add(SECONDS_PER_DAY)?);
                while before + 1 < after {
                    let middle = before + (after - before) / 2;
                    if middle + self.offset(middle) < local { before = middle } else { after = middle }
                }
                Some((after, after))
            }
        }
    }
}

fn naive(second: i64) -> Option<NaiveDateTime> {
    let asked = second.clamp(-ASKED_SECONDS_MAX, ASKED_SECONDS_MAX);
    DateTime::from_timestamp(asked, 0).map(|time| time.naive_utc())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::temporal::{format_timestamp, parse_timestamp};
    use chrono::SecondsFormat;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn zone(name: &str) -> Zone {
        Zone::parse(name).unwrap_or_else(|| panic!("{name}"))
    }

    fn floored(name: &str, trunc: TruncUnit, time: &str) -> String {
        let value = parse_timestamp(time, TimeUnit::Second, &Zone::UTC).unwrap();
        format_timestamp(zone(name).floor(trunc, value, TimeUnit::Second).unwrap(), TimeUnit::Second, None)
    }

    #[test]
    fn units_start_where_the_clocks_of_the_zone_say() {
        use TruncUnit::{Day, Hour, Minute, Month, Week, Year};
        for (name, trunc, time, start) in [
            ("Europe/Zurich", Day, "2024-07-01T00:30:00", "2024-06-30T22:00:00"),
            ("Europe/Zurich", Month, "2024-06-30T22:30:00", "2024-06-30T22:00:00"),
            ("Europe/Zurich", Year, "2024-07-01T00:00:00", "2023-12-31T23:00:00"),
            ("Asia/Kathmandu", Hour, "2024-01-01T00:20:00", "2024-01-01T00:15:00"),
            ("-02:30", Week, "2024-01-01T02:00:00", "2023-12-25T02:30:00"),
            // The day on which clocks were set forward at midnight starts at one.
            ("America/Sao_Paulo", Day, "2018-11-04T12:00:00", "2018-11-04T03:00:00"),
            ("America/Sao_Paulo", Day, "2018-11-04T02:59:59", "2018-11-03T03:00:00"),
            // Clocks set back at one show midnight twice; the day starts once.
            ("America/Havana", Day, "2023-11-05T04:30:00", "2023-11-05T04:00:00"),
            ("America/Havana", Day, "2023-11-05T05:30:00", "2023-11-05T04:00:00"),
            // The hours from one to two that they show twice are two hours.
            ("America/New_York", Hour, "2023-11-05T05:30:00", "2023-11-05T05:00:00"),
            ("America/New_York", Hour, "2023-11-05T06:30:00", "2023-11-05T06:00:00"),
            // Set forward by half an hour at two, and back at two to half past one.
            ("Australia/Lord_Howe", Hour, "2023-09-30T15:40:00", "2023-09-30T15:30:00"),
            ("Australia/Lord_Howe", Hour, "2024-04-06T15:10:00", "2024-04-06T14:00:00"),
            // Before there were zones, clocks were off by minutes and seconds.
            ("Europe/Zurich", Minute, "1850-01-01T00:00:10", "1849-12-31T23:59:52"),
        ] {
            assert_eq!(floored(name, trunc, time), start, "{trunc:?} of {time} in {name}");
        }
        assert_eq!(zone("Europe/Zurich").floor(TruncUnit::Year, i64::MIN, TimeUnit::Nanosecond), None);
        assert_eq!(zone("Asia/Tokyo").floor(TruncUnit::Day, i64::MAX, TimeUnit::Second), None);
    }

    /// A day is all seconds with the same date on the zone's clocks: the floor is the first of them.
    #[test]
    fn days_start_with_their_first_second() {
        let mut rng = ChaCha8Rng::seed_from_u64(12);
        for name in ["America/Sao_Paulo", "America/Havana", "Australia/Lord_Howe", "Europe/Zurich", "+05:45"]
        {
            let zone = zone(name);
            let date = |second: i64| (second + zone.offset(second)).div_euclid(SECONDS_PER_DAY);
            for _ in 0..300 {
                let second = rng.random_range(-1_000_000_000..1_700_000_000i64);
                let start = zone.floor(TruncUnit::Day, second, TimeUnit::Second).unwrap();
                assert_eq!(date(start), date(second), "{name}, {second}");
                assert_ne!(date(start - 1), date(second), "{name}, {second}");
                // Clocks that go back over midnight would show the old date again.
                assert!((start..second).step_by(600).all(|s| date(s) == date(second)), "{name}, {second}");
            }
        }
    }

    /// Zones that set clocks by hours, by half an hour, at midnight, over midnight, by a whole day, and never.
    const ZONES: [&str; 8] = [
        "Europe/Zurich",
        "America/New_York",
        "Australia/Lord_Howe",
        "America/Sao_Paulo",
        "America/Havana",
        "Pacific/Apia",
        "Asia/Kathmandu",
        "-09:30",
    ];

    /// Chrono prints the same points in time.
    #[test]
    fn texts_are_those_of_chrono_and_read_back() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        for name in ZONES {
            let (zone, chronos): (Zone, Tz) = (zone(name), name.parse().unwrap());
            for _ in 0..2_000 {
                // Since there are whole minutes: RFC 3339 has no seconds of an offset, and chrono none either.
                let value = rng.random_range(-600_000_000_000..2_500_000_000_000i64);
                let text = format_timestamp(value, TimeUnit::Millisecond, Some(&zone));
                let theirs =
                    chronos.from_utc_datetime(&DateTime::from_timestamp_millis(value).unwrap().naive_utc());
                assert_eq!(text, theirs.to_rfc3339_opts(SecondsFormat::AutoSi, false), "{name}");
                assert_eq!(parse_timestamp(&text, TimeUnit::Millisecond, &Zone::UTC), Some(value), "{text}");
                let days =
                    theirs.date_naive().signed_duration_since(DateTime::UNIX_EPOCH.date_naive()).num_days();
                assert_eq!(zone.date(value, TimeUnit::Millisecond).map(i64::from), Some(days), "{text}");
            }
        }
        let first = format_timestamp(-3_000_000_000, TimeUnit::Second, Some(&zone("Europe/Zurich")));
        assert_eq!(first, "1874-12-07T19:09:46+00:29:46");
        assert_eq!(parse_timestamp(&first, TimeUnit::Second, &Zone::UTC), Some(-3_000_000_000));
        for value in [i64::MIN, i64::MAX] {
            for unit in [TimeUnit::Second, TimeUnit::Nanosecond] {
                let text = format_timestamp(value, unit, Some(&zone("America/New_York")));
                assert_eq!(parse_timestamp(&text, unit, &Zone::UTC), Some(value), "{text}");
            }
        }
    }

    /// Against a walk through all seconds of some days around a change of clocks, in steps that hold all offsets.
    #[test]
    fn times_on_a_clock_are_the_first_second_that_shows_them() {
        const STEP: i64 = 900;
        for (name, day) in [
            ("Europe/Zurich", "2024-03-31"),
            ("Europe/Zurich", "2024-10-27"),
            ("America/New_York", "2023-11-05"),
            ("Australia/Lord_Howe", "2023-10-01"),
            ("Australia/Lord_Howe", "2024-04-07"),
            ("America/Sao_Paulo", "2018-11-04"),
            ("America/Sao_Paulo", "2018-02-18"),
            ("America/Havana", "2023-11-05"),
            ("Pacific/Apia", "2011-12-30"),
            ("Asia/Kathmandu", "2024-01-01"),
        ] {
            let (zone, around) = (zone(name), parse_timestamp(day, TimeUnit::Second, &Zone::UTC).unwrap());
            let walk = (around - 4 * SECONDS_PER_DAY..around + 4 * SECONDS_PER_DAY).step_by(STEP as usize);
            for local in (around - SECONDS_PER_DAY..around + 2 * SECONDS_PER_DAY).step_by(STEP as usize) {
                let shows = |second: &i64| second + zone.offset(*second);
                let first = walk.clone().find(|second| shows(second) == local);
                let is_midnight = local % SECONDS_PER_DAY == 0;
                let first = first.or_else(|| {
                    // The day begins with its first second.
                    let is_day =
                        |second: &i64| shows(second).div_euclid(SECONDS_PER_DAY) == local / SECONDS_PER_DAY;
                    walk.clone().find(is_day).filter(|_| is_midnight)
                });
                assert_eq!(zone.second_at(local), first, "{local} in {name}");
            }
        }
    }

    #[test]
    fn gaps_and_folds_by_hand() {
        let second = |name: &str, text: &str| parse_timestamp(text, TimeUnit::Second, &zone(name));
        let utc = |text: &str| parse_timestamp(text, TimeUnit::Second, &Zone::UTC);
        for (name, text, at) in [
            ("Europe/Zurich", "2024-07-01T14:00:00", Some("2024-07-01T12:00:00")),
            ("Europe/Zurich", "2024-07-01T14:00:00Z", Some("2024-07-01T14:00:00")),
            ("Europe/Zurich", "2024-07-01T14:00:00-04", Some("2024-07-01T18:00:00")),
            ("Europe/Zurich", "2024-03-31T02:30", None),
            ("Europe/Zurich", "2024-03-31T02:30+01:00", Some("2024-03-31T01:30:00")),
            ("Europe/Zurich", "2024-10-27T02:30", Some("2024-10-27T00:30:00")),
            ("Europe/Zurich", "2024-10-27T02:30+01:00", Some("2024-10-27T01:30:00")),
            ("America/Sao_Paulo", "2018-11-04", Some("2018-11-04T03:00:00")),
            ("America/Sao_Paulo", "2018-11-04T00:30", None),
            ("America/Havana", "2023-11-05", Some("2023-11-05T04:00:00")),
            ("Pacific/Apia", "2011-12-30", None),
            ("Pacific/Apia", "2011-12-31", Some("2011-12-30T10:00:00")),
        ] {
            assert_eq!(second(name, text), at.and_then(utc), "{text} in {name}");
        }
        assert_eq!(zone("Pacific/Apia").midnight(15_338, TimeUnit::Second), None);
        assert_eq!(zone("Asia/Tokyo").midnight(i32::MAX, TimeUnit::Microsecond), None);
    }

    #[test]
    fn parts_are_those_of_the_local_clock_at_the_ends_of_the_range_too() {
        let tokyo = zone("Asia/Tokyo");
        assert_eq!(tokyo.part(DatePart::UtcOffset, 0, TimeUnit::Second), 32_400);
        assert_eq!(tokyo.part(DatePart::Day, 15 * 3_600, TimeUnit::Second), 2);
        for unit in [TimeUnit::Second, TimeUnit::Nanosecond] {
            for value in [i64::MIN, i64::MAX] {
                let hour = Zone::UTC.part(DatePart::Hour, value, unit);
                let offset = tokyo.offset(value.div_euclid(units_per_second(unit))) / 3_600;
                assert_eq!(tokyo.part(DatePart::Hour, value, unit), (hour + offset).rem_euclid(24));
            }
        }
        assert!(zone("GMT").is_utc() && Zone::parse("").is_none());
    }
}
