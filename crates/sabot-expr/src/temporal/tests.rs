//! The date arithmetic against chrono, and at its ends.

use super::*;
use arrow::datatypes::TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
use chrono::{DateTime, Datelike, Days, NaiveDate, Timelike};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const UNITS: [TimeUnit; 4] = [Second, Millisecond, Microsecond, Nanosecond];

fn chrono_date(days: i64) -> NaiveDate {
    let epoch = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
    let distance = Days::new(days.unsigned_abs());
    if days < 0 { epoch.checked_sub_days(distance) } else { epoch.checked_add_days(distance) }.unwrap()
}

#[test]
fn days_agree_with_chrono() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let random = (0..20_000).map(|_| rng.random_range(-90_000_000..90_000_000i64));
    for days in (-1_000..1_000).chain(10_000..13_000).chain(random) {
        let date = chrono_date(days);
        let civil = civil_from_days(days);
        assert_eq!(
            (civil.year, civil.month, civil.day),
            (date.year().into(), date.month().into(), date.day().into())
        );
        assert_eq!(days_from_civil(civil.year, civil.month, civil.day), days);
        assert_eq!(day_of_week(days), i64::from(date.weekday().number_from_monday()));
        assert_eq!(iso_week(days), i64::from(date.iso_week().week()), "{date}");
        assert_eq!(part_of_days(DatePart::DayOfYear, days), i64::from(date.ordinal()));
        assert_eq!(part_of_days(DatePart::Quarter, days), i64::from(date.month0() / 3 + 1));
        assert_eq!(format_date(days as i32), format!("{date:?}"));
        assert_eq!(parse_date(&format_date(days as i32)), Some(days as i32));
    }
}

#[test]
fn the_ends_of_the_range_are_dates_too() {
    for days in
        [i64::from(i32::MIN), i64::from(i32::MAX), i64::MIN / SECONDS_PER_DAY, i64::MAX / SECONDS_PER_DAY]
    {
        let civil = civil_from_days(days);
        assert_eq!(days_from_civil(civil.year, civil.month, civil.day), days);
    }
    for days in [i32::MIN, i32::MAX] {
        assert_eq!(parse_date(&format_date(days)), Some(days));
    }
    for unit in UNITS {
        for value in [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX] {
            let text = format_timestamp(value, unit, None);
            assert_eq!(parse_timestamp(&text, unit, &Zone::UTC), Some(value), "{text}");
        }
    }
}

#[test]
fn parts_of_timestamps_agree_with_chrono() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    for _ in 0..20_000 {
        let value = rng.random_range(-4_000_000_000_000_000..4_000_000_000_000_000i64);
        let time = DateTime::from_timestamp_micros(value).unwrap();
        let part = |part| part_of_timestamp(part, value, Microsecond);
        assert_eq!(part(DatePart::Year), i64::from(time.year()));
        assert_eq!(part(DatePart::Month), i64::from(time.month()));
        assert_eq!(part(DatePart::Day), i64::from(time.day()));
        assert_eq!(part(DatePart::Hour), i64::from(time.hour()));
        assert_eq!(part(DatePart::Minute), i64::from(time.minute()));
        assert_eq!(part(DatePart::Second), i64::from(time.second()));
        assert_eq!(part(DatePart::Millisecond), i64::from(time.timestamp_subsec_millis()));
        assert_eq!(part(DatePart::Microsecond), i64::from(time.timestamp_subsec_micros()));
        assert_eq!(format_timestamp(value, Microsecond, None), format!("{:?}", time.naive_utc()));
    }
}

#[test]
fn all_units_see_the_same_moment() {
    // 1969-12-31T23:59:57, three seconds before the epoch.
    for unit in UNITS {
        let value = -3 * units_per_second(unit);
        let parts: Vec<i64> =
            DatePart::ALL.iter().map(|part| part_of_timestamp(*part, value, unit)).collect();
        assert_eq!(parts, [1969, 4, 12, 1, 31, 3, 365, 23, 59, 57, 0, 0, 0, 1970, 196, 20, 2, -3, 0]);
    }
}

#[test]
fn flooring_goes_back_in_time_before_1970_too() {
    let at = |text: &str| parse_timestamp(text, Microsecond, &Zone::UTC).unwrap();
    for (unit, floor) in [
        (TruncUnit::Year, "1968-01-01"),
        (TruncUnit::Quarter, "1968-01-01"),
        (TruncUnit::Month, "1968-02-01"),
        (TruncUnit::Week, "1968-02-26"),
        (TruncUnit::Day, "1968-02-29"),
        (TruncUnit::Hour, "1968-02-29T23:00"),
        (TruncUnit::Minute, "1968-02-29T23:58"),
        (TruncUnit::Second, "1968-02-29T23:58:57"),
        (TruncUnit::Millisecond, "1968-02-29T23:58:57.123"),
        (TruncUnit::Microsecond, "1968-02-29T23:58:57.123456"),
    ] {
        let value = at("1968-02-29T23:58:57.123456");
        assert_eq!(floor_timestamp(unit, value, Microsecond), Some(at(floor)), "{}", unit.name());
        assert_eq!(
            floor_timestamp(unit, at(floor), Microsecond),
            Some(at(floor)),
            "a floor is its own floor"
        );
    }
}

fn first_of_year(days: i64) -> bool {
    part_of_days(DatePart::DayOfYear, days) == 1
}

#[test]
fn centuries_and_millennia_start_with_year_one_and_floors_with_round_years() {
    let day = |text: &str| i64::from(parse_date(text).unwrap());
    for (date, century, millennium) in [
        ("2000-12-31", 20, 2),
        ("2001-01-01", 21, 3),
        ("0001-01-01", 1, 1),
        ("0000-12-31", -1, -1),
        ("-0100-01-01", -2, -1),
    ] {
        assert_eq!(part_of_days(DatePart::Century, day(date)), century, "{date}");
        assert_eq!(part_of_days(DatePart::Millennium, day(date)), millennium, "{date}");
    }
    assert_eq!(floor_days(TruncUnit::Century, day("1999-12-31")), day("1900-01-01"));
    assert_eq!(floor_days(TruncUnit::Century, day("2000-12-31")), day("2000-01-01"));
    assert_eq!(floor_days(TruncUnit::Millennium, day("-0001-12-31")), day("-1000-01-01"));
}

#[test]
fn floors_are_the_largest_start_that_is_not_later() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for _ in 0..2_000 {
        let days = rng.random_range(-1_000_000..1_000_000i64);
        for (unit, starts) in [
            (
                TruncUnit::Decade,
                (|d| first_of_year(d) && civil_from_days(d).year % 10 == 0) as fn(i64) -> bool,
            ),
            (TruncUnit::Year, first_of_year),
            (TruncUnit::Quarter, |d| {
                part_of_days(DatePart::Day, d) == 1 && (part_of_days(DatePart::Month, d) - 1) % 3 == 0
            }),
            (TruncUnit::Month, |d| part_of_days(DatePart::Day, d) == 1),
            (TruncUnit::Week, |d| day_of_week(d) == 1),
            (TruncUnit::Day, |_| true),
        ] {
            let expected = (0..).map(|back| days - back).find(|day| starts(*day)).unwrap();
            assert_eq!(floor_days(unit, days), expected, "{} of {days}", unit.name());
        }
    }
}

#[test]
fn floors_below_the_first_value_do_not_exist() {
    assert_eq!(floor_timestamp(TruncUnit::Day, i64::MIN, Nanosecond), None);
    assert_eq!(floor_timestamp(TruncUnit::Microsecond, i64::MIN, Nanosecond), None);
    assert_eq!(floor_timestamp(TruncUnit::Week, i64::MIN, Second), None);
    assert_eq!(floor_timestamp(TruncUnit::Second, i64::MIN, Second), Some(i64::MIN));
    assert_eq!(floor_date(TruncUnit::Year, i32::MIN), None);
    assert_eq!(floor_date(TruncUnit::Hour, i32::MIN), Some(i32::MIN));
}

#[test]
fn units_convert_by_flooring_and_never_wrap() {
    assert_eq!(convert_unit(-1_001, Millisecond, Second), Some(-2));
    assert_eq!(convert_unit(-1, Nanosecond, Second), Some(-1));
    assert_eq!(convert_unit(5, Second, Nanosecond), Some(5_000_000_000));
    assert_eq!(convert_unit(i64::MIN, Second, Millisecond), None);
    assert_eq!(Zone::UTC.midnight(i32::MAX, Millisecond), Some(i64::from(i32::MAX) * 86_400_000));
    assert_eq!(Zone::UTC.midnight(i32::MAX, Microsecond), None);
    assert_eq!(Zone::UTC.date(-1, Nanosecond), Some(-1));
    assert_eq!(Zone::UTC.date(i64::MAX, Second), None);
}

#[test]
fn iso_texts_are_read_and_others_are_not() {
    let second = |text| parse_timestamp(text, Second, &Zone::UTC);
    for (text, value) in [
        ("1970-01-01", 0),
        ("1970-01-01 00:00", 0),
        ("1970-01-01T00:01:02", 62),
        ("1970-01-01t00:00:59.999Z", 59),
        ("1969-12-31T23:59:59.5z", -1),
        ("1970-01-01T00:00-01:30", 5_400),
        ("1970-01-01T02:00:00+02", 0),
        ("1970-01-01T02:00:00+0200", 0),
        ("+12345-01-01", 327_403_382_400),
        ("0000-01-01", -62_167_219_200),
        ("-0001-01-01", -62_198_755_200),
    ] {
        assert_eq!(second(text), Some(value), "{text}");
    }
    for text in [
        "",
        "1970",
        "1970-1-1",
        "1970-13-01",
        "1970-02-29",
        "1970-01-00",
        "70-01-01",
        "12345-01-01",
        "1970-01-01T",
        "1970-01-01T24:00",
        "1970-01-01T12",
        "1970-01-01T12:60",
        "1970-01-01T12:00:60",
        "1970-01-01T12:00:00.",
        "1970-01-01T12:00:00.1234567890",
        "1970-01-01T12:00+",
        "1970-01-01T12:00+1",
        "1970-01-01T12:00+01:",
        "1970-01-01T12:00+01:00:",
        "1970-01-01T12:00+01:00:60",
        "1970-01-01T12:00+24:00",
        "1970-01-01T12:00 UTC",
        "1970-01-01 ",
        " 1970-01-01",
        "1970-01-01Z",
        "+9999999999999-01-01",
        "١٩٧٠-٠١-٠١",
    ] {
        assert_eq!(second(text), None, "{text}");
    }
    assert_eq!(
        parse_timestamp("+294248-01-01", Microsecond, &Zone::UTC),
        None,
        "beyond 64 bits of microseconds"
    );
    assert_eq!(parse_timestamp("1970-01-01T00:00:00.000000001", Nanosecond, &Zone::UTC), Some(1));
    assert_eq!(parse_date("1970-01-01T00:00"), None);
}

#[test]
fn fractions_print_as_many_digits_as_they_need() {
    for (value, text) in [
        (0, "1970-01-01T00:00:00"),
        (500_000_000, "1970-01-01T00:00:00.500"),
        (1_000, "1970-01-01T00:00:00.000001"),
        (1, "1970-01-01T00:00:00.000000001"),
        (-1, "1969-12-31T23:59:59.999999999"),
    ] {
        assert_eq!(format_timestamp(value, Nanosecond, None), text);
    }
    assert_eq!(format_timestamp(0, Second, Some(&Zone::UTC)), "1970-01-01T00:00:00Z");
}
