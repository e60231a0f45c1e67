//! Casts by their table, against Arrow's kernels where the two agree, and against `cast_is_total`.

use super::*;
use crate::scalar::tests::all_kinds;
use crate::temporal::{units_per_day, units_per_second};
use crate::types::rules::{can_cast, cast_is_total};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::TimeUnit::{self, Microsecond, Millisecond, Nanosecond, Second};

fn types() -> Vec<DataType> {
    use DataType::*;
    let mut all = vec![
        Boolean, Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64, Float32, Float64, Utf8, LargeUtf8,
        Date32,
    ];
    for unit in [Second, Millisecond, Microsecond, Nanosecond] {
        all.push(Timestamp(unit, None));
        all.push(Timestamp(unit, Some("UTC".into())));
    }
    all
}

/// The types whose casts Arrow's kernels do not share.
fn more_types() -> Vec<DataType> {
    use DataType::*;
    let mut all = vec![
        Float16,
        Decimal32(9, 2),
        Decimal64(18, -2),
        Decimal128(20, 4),
        Decimal128(38, 38),
        Decimal256(60, 10),
        Utf8View,
        Binary,
        LargeBinary,
        BinaryView,
        FixedSizeBinary(1),
        Date64,
        Time32(Second),
        Time32(Millisecond),
        Time64(Microsecond),
        Time64(Nanosecond),
        Interval(IntervalUnit::YearMonth),
        Interval(IntervalUnit::DayTime),
        Interval(IntervalUnit::MonthDayNano),
    ];
    all.extend([Second, Millisecond, Microsecond, Nanosecond].map(Duration));
    all.extend(ZONES.map(|zone| Timestamp(Second, Some(zone.into()))));
    all.extend(ZONES.map(|zone| Timestamp(Microsecond, Some(zone.into()))));
    all
}

/// Zones whose clocks are set at midnight, by half an hour, and over a whole day.
const ZONES: [&str; 3] = ["America/Sao_Paulo", "Australia/Lord_Howe", "Pacific/Apia"];

fn decimal(value: i128, precision: u8, scale: i8) -> Scalar {
    Scalar::Decimal128 { value, precision, scale }
}

fn at(value: i64, unit: TimeUnit) -> Scalar {
    Scalar::Timestamp { value, unit, zone: None }
}

/// Values of every type at and around the limits of the others.
fn values() -> Vec<Scalar> {
    let mut all: Vec<Scalar> = all_kinds().into_iter().filter(|v| !v.is_null()).collect();
    for number in
        [0i64, 1, -1, 127, 128, 255, 256, -129, 65_535, 1 << 24, (1 << 24) + 1, (1 << 53) + 1, i64::MAX]
    {
        all.push(Scalar::Int64(number));
        all.extend(types().iter().filter_map(|t| Scalar::from_integer(number.into(), t)));
        all.push(Scalar::Float64(number as f64));
        all.push(Scalar::Float32(number as f32));
        all.push(Scalar::Utf8(number.to_string().into()));
    }
    all.extend(
        [0.5, -0.5, 1.5, 2.5, 127.9, 128.0, -128.9, -129.0, 255.9, 1e16, 1e-5, 1e-7, 1e300, f64::NAN]
            .map(Scalar::from),
    );
    all.extend([1e-5f32, 3e38, 16_777_216.0].map(Scalar::from));
    for text in [
        " 7 ",
        "+7",
        "-0",
        "7.0",
        "1e3",
        ".5",
        "inf",
        "NaN",
        "TRUE",
        "off",
        "maybe",
        "",
        "2001-01-31",
        "1969-12-31",
        "1969-12-31T23:59:59.123456789",
        "2001-01-31 10:00:00+01:00",
        "٣",
        "0x10",
        "1_000",
        "--1",
    ] {
        all.push(Scalar::from(text));
    }
    for unit in [Second, Millisecond, Microsecond, Nanosecond] {
        for value in [i64::MIN, -86_400_001, -1, 0, 1, 1_500, 999_999_999_999, i64::MAX] {
            all.push(at(value, unit));
            all.push(Scalar::Timestamp { value, unit, zone: Some("UTC".into()) });
        }
    }
    all.extend([-1, 0, 11_353].map(Scalar::Date32));
    all
}

/// Values of the other types, at and around their limits.
fn more_values() -> Vec<Scalar> {
    let mut all = values();
    let texts =
        ["1.005", "-0.5", "12:30:00", "23:59:59.999999999", "1 year", "1 day", "-5ms", "9s", "99999999.999"];
    all.extend(texts.map(Scalar::from));
    for data_type in more_types().iter().filter(|t| is_decimal(t)) {
        let (precision, _) = decimal::precision_and_scale(data_type).unwrap();
        let most = decimal::power_of_ten(u32::from(precision)).unwrap().wrapping_sub(i256::ONE);
        let near = [i256::ZERO, i256::ONE, i256::from(-15), most, most.wrapping_neg()];
        all.extend(near.iter().filter_map(|digits| Scalar::from_decimal(*digits, data_type)));
    }
    for value in [0, 1, -1, 86_399, i32::MIN, i32::MAX] {
        all.push(Scalar::IntervalYearMonth(value));
        all.push(Scalar::IntervalDayTime { days: value, milliseconds: value });
        all.push(Scalar::IntervalDayTime { days: 0, milliseconds: value });
        all.push(Scalar::IntervalMonthDayNano { months: 0, days: value, nanoseconds: 1 });
        all.push(Scalar::IntervalMonthDayNano { months: value, days: 0, nanoseconds: 0 });
        all.extend([Second, Millisecond].map(|unit| Scalar::Time { value: i64::from(value), unit }));
    }
    for value in [0, 1, -1, 86_400_001, i64::MIN, i64::MAX] {
        all.push(Scalar::Date64(value));
        all.extend(
            [Second, Millisecond, Microsecond, Nanosecond].map(|unit| Scalar::Duration { value, unit }),
        );
        all.extend([Microsecond, Nanosecond].map(|unit| Scalar::Time { value, unit }));
    }
    for value in [i64::MIN, -2_208_988_800, 0, 1_325_203_200, 1_541_300_399, 1_541_300_400, i64::MAX] {
        let zoned = |zone: &str, unit| Scalar::Timestamp { value, unit, zone: Some(zone.into()) };
        all.extend(ZONES.map(|zone| zoned(zone, Second)));
        all.extend(ZONES.map(|zone| zoned(zone, Microsecond)));
    }
    // Days that a zone begins late, or not at all.
    all.extend([15_338, 17_839].map(Scalar::Date32));
    all.extend(["2018-11-04", "2018-11-04T00:30:00", "2011-12-30"].map(Scalar::from));
    for value in [0.0f32, 1.5, -2.25, f32::NAN, f32::INFINITY] {
        all.push(Scalar::Float16(Float16::from_f32(value)));
    }
    for bytes in [&b""[..], b"a", b"\xff", b"long enough to be no fixed size"] {
        let bytes: Arc<[u8]> = bytes.into();
        all.extend([
            Scalar::Binary(bytes.clone()),
            Scalar::LargeBinary(bytes.clone()),
            Scalar::BinaryView(bytes.clone()),
        ]);
        all.push(Scalar::FixedSizeBinary(bytes));
    }
    let texts: Vec<Arc<str>> = all.iter().filter_map(|v| v.as_str().map(Arc::from)).collect();
    all.extend(texts.into_iter().map(Scalar::Utf8View));
    all
}

/// Of every pair of types: a cast that is said to be total has no value that fails, and whatever comes of a cast has the
/// type that was asked for.
#[test]
fn casts_of_every_type_keep_their_promises() {
    let (all, values) = ([types(), more_types()].concat(), more_values());
    let mut casts = 0;
    for to in &all {
        for value in &values {
            let from = value.data_type();
            let result = cast_scalar(value, to);
            assert!(result.is_none() || can_cast(&from, to), "{value:?} to {to}");
            if can_cast(&from, to) && cast_is_total(&from, to) {
                assert!(result.is_some(), "{value:?} to {to}");
            }
            assert!(result.is_none_or(|result| result.data_type() == *to), "{value:?} to {to}");
            casts += usize::from(can_cast(&from, to));
        }
        assert!(
            all.iter().any(|from| from != to && can_cast(from, to)),
            "{to} is never the result of a cast"
        );
    }
    assert!(casts > 4_000, "{casts}");
}

/// What is printed reads back as the same value.
#[test]
fn text_holds_every_value() {
    let whole = |value: &Scalar| match value {
        // A date64 within a day prints as its day; a clock beyond the day is no text that is read.
        Scalar::Date64(millis) => millis % MILLIS_PER_DAY == 0 && millis.abs() < 1 << 50,
        Scalar::Time { value, unit } => (0..units_per_day(*unit)).contains(value),
        _ => true,
    };
    for value in more_values().iter().filter(|value| whole(value) && value.as_str().is_none()) {
        if !can_cast(&value.data_type(), &DataType::Utf8) || value.is_null() {
            continue;
        }
        let Some(text) = cast_scalar(value, &DataType::Utf8) else { continue };
        let back = cast_scalar(&text, &value.data_type());
        let both_nan = value.as_float().is_some_and(f64::is_nan);
        assert!(both_nan || back.as_ref() == Some(value), "{value:?} as {text:?} is {back:?}");
    }
}

#[test]
fn total_casts_never_fail_and_others_can() {
    let values = values();
    for to in types() {
        for from in types().iter().filter(|from| can_cast(from, &to)) {
            let of_type = || values.iter().filter(|value| value.data_type() == *from);
            let failing = of_type().find(|value| cast_scalar(value, &to).is_none());
            if cast_is_total(from, &to) {
                assert_eq!(failing, None, "{from} to {to}");
            } else {
                assert!(failing.is_some(), "no value of {from} fails to become {to}");
            }
        }
    }
}

#[test]
fn null_stays_null_and_results_have_the_type() {
    for to in types() {
        assert_eq!(cast_scalar(&Scalar::Null(DataType::Int8), &to), Some(Scalar::Null(to.clone())));
        for value in values() {
            if let Some(result) = cast_scalar(&value, &to) {
                assert_eq!(result.data_type(), to, "{value:?}");
            }
        }
    }
}

/// Where the table says that Arrow differs.
fn arrow_differs(value: &Scalar, to: &DataType) -> bool {
    use DataType::{Date32, Timestamp};
    let beyond_chrono =
        |value: i64, unit| value.unsigned_abs() / units_per_second(unit).unsigned_abs() > 8_000_000_000_000;
    match (value, to) {
        (Scalar::Timestamp { value, unit, zone }, Timestamp(wanted, other)) => {
            let floors = *value < 0 && units_per_second(*wanted) < units_per_second(*unit);
            floors || (zone.is_none() && other.is_some() && beyond_chrono(*value, *unit))
        }
        (Scalar::Timestamp { value, unit, .. }, _) => beyond_chrono(*value, *unit),
        (Scalar::Date32(days), _) => days.unsigned_abs() > 90_000_000,
        (Scalar::Utf8(_) | Scalar::LargeUtf8(_), Date32 | Timestamp(_, _)) => true,
        _ => false,
    }
}

#[test]
fn agrees_with_arrow_except_where_the_table_says() {
    let options = CastOptions { safe: true, ..CastOptions::default() };
    let mut compared = 0;
    for to in types() {
        for value in values() {
            let from = value.data_type();
            if !types().contains(&from) || !can_cast(&from, &to) || from == to || arrow_differs(&value, &to) {
                continue;
            }
            let array = cast_with_options(&value.to_array(1).unwrap(), &to, &options).unwrap();
            let theirs = Scalar::from_array(array.as_ref(), 0).unwrap();
            let ours = cast_scalar(&value, &to).unwrap_or(Scalar::Null(to.clone()));
            let both_nan =
                ours.as_float().is_some_and(f64::is_nan) && theirs.as_float().is_some_and(f64::is_nan);
            assert!(both_nan || ours == theirs, "{value:?} to {to}: ours {ours:?}, Arrow {theirs:?}");
            compared += 1;
        }
    }
    assert!(compared > 1_000, "{compared}");
}

#[test]
fn values_at_the_edges() {
    use DataType::*;
    let cast = |value: Scalar, to: DataType| cast_scalar(&value, &to);
    let zoned = |value, zone: &str| Scalar::Timestamp { value, unit: Second, zone: Some(zone.into()) };
    let new_york = || Timestamp(Second, Some("America/New_York".into()));
    for (value, to, result) in [
        (Scalar::Float64(127.9), Int8, Some(Scalar::Int8(127))),
        (Scalar::Float64(128.0), Int8, None),
        (Scalar::Float64(-0.9), UInt8, Some(Scalar::UInt8(0))),
        (Scalar::Float64(9_223_372_036_854_775_808.0), Int64, None),
        (Scalar::Float64(18_446_744_073_709_551_615.0), UInt64, None),
        (Scalar::Float32(f32::INFINITY), Int64, None),
        (Scalar::Float64(f64::NAN), Int64, None),
        (Scalar::Float64(1e300), Float32, Some(Scalar::Float32(f32::INFINITY))),
        (Scalar::Float64(-0.0), Boolean, Some(Scalar::Boolean(false))),
        (Scalar::Float64(f64::NAN), Boolean, Some(Scalar::Boolean(true))),
        (Scalar::UInt64(u64::MAX), Int64, None),
        (Scalar::Int64((1 << 53) + 1), Float64, Some(Scalar::Float64(9_007_199_254_740_992.0))),
        (Scalar::from("256"), UInt8, None),
        (Scalar::from("-1"), UInt8, None),
        (Scalar::from("1.0"), Int32, None),
        (Scalar::from(" Yes "), Boolean, Some(Scalar::Boolean(true))),
        (Scalar::from(" 2001-01-31\n"), Date32, Some(Scalar::Date32(11_353))),
        (Scalar::Float64(1.0), Utf8, Some(Scalar::from("1.0"))),
        (Scalar::Float32(0.1), Utf8, Some(Scalar::from("0.1"))),
        (Scalar::Float64(1e16), Utf8, Some(Scalar::from("1e16"))),
        (Scalar::Date32(i32::MAX), Utf8, Some(Scalar::from("+5881580-07-11"))),
        (at(-1, Nanosecond), Timestamp(Second, None), Some(at(-1, Second))),
        (at(-1, Nanosecond), Date32, Some(Scalar::Date32(-1))),
        (at(i64::MAX, Second), Timestamp(Millisecond, None), None),
        (Scalar::Date32(1), Timestamp(Second, None), Some(at(86_400, Second))),
        (Scalar::Int64(5), Timestamp(Nanosecond, None), Some(at(5, Nanosecond))),
        (decimal(199, 5, 2), Int64, Some(Scalar::Int64(1))),
        (decimal(-199, 5, 2), Int8, Some(Scalar::Int8(-1))),
        (decimal(99_999, 5, 2), Int8, None),
        (decimal(5, 1, -3), UInt16, Some(Scalar::UInt16(5_000))),
        (decimal(125, 5, 2), Decimal128(5, 1), Some(decimal(13, 5, 1))),
        (decimal(-125, 5, 2), Decimal128(5, 1), Some(decimal(-13, 5, 1))),
        (decimal(99_999, 5, 2), Decimal128(4, 1), None),
        (decimal(99_999, 5, 2), Decimal32(3, 0), None),
        (
            decimal(99_949, 5, 2),
            Decimal32(3, 0),
            Some(Scalar::Decimal32 { value: 999, precision: 3, scale: 0 }),
        ),
        (decimal(150, 5, 2), Utf8, Some(Scalar::from("1.50"))),
        (decimal(0, 5, 2), Boolean, Some(Scalar::Boolean(false))),
        (decimal(1, 5, 2), Float64, Some(Scalar::Float64(0.01))),
        (Scalar::Float64(2.675), Decimal128(5, 2), Some(decimal(268, 5, 2))),
        (Scalar::Float32(0.1), Decimal128(20, 18), Some(decimal(100_000_000_000_000_000, 20, 18))),
        (Scalar::Float64(f64::NAN), Decimal128(5, 2), None),
        (Scalar::Float64(f64::INFINITY), Decimal128(5, 2), None),
        (Scalar::Float64(1e300), Decimal128(5, 2), None),
        (Scalar::from(" 1.005 "), Decimal128(5, 2), Some(decimal(101, 5, 2))),
        (Scalar::Int64(1_000), Decimal128(5, 2), None),
        (Scalar::Boolean(true), Decimal128(2, 2), None),
        (Scalar::from("\u{e9}"), Binary, Some(Scalar::Binary([0xc3, 0xa9].into()))),
        (Scalar::Binary([0xff].into()), Utf8, None),
        (Scalar::Binary([1, 2].into()), FixedSizeBinary(2), Some(Scalar::FixedSizeBinary([1, 2].into()))),
        (Scalar::Binary([1, 2].into()), FixedSizeBinary(3), None),
        (
            at(-1, Nanosecond),
            Time64(Nanosecond),
            Some(Scalar::Time { value: 86_399_999_999_999, unit: Nanosecond }),
        ),
        (at(-1, Nanosecond), Time32(Second), Some(Scalar::Time { value: 86_399, unit: Second })),
        (at(-1, Second), Date64, Some(Scalar::Date64(-86_400_000))),
        (zoned(0, "-03:00"), Utf8, Some(Scalar::from("1969-12-31T21:00:00-03:00"))),
        (zoned(0, "-03:00"), Date32, Some(Scalar::Date32(-1))),
        (zoned(0, "-03:00"), Date64, Some(Scalar::Date64(-86_400_000))),
        (zoned(0, "-03:00"), Time32(Second), Some(Scalar::Time { value: 75_600, unit: Second })),
        (Scalar::Date32(-1), new_york(), Some(zoned(-68_400, "America/New_York"))),
        (Scalar::Date64(-1), new_york(), Some(zoned(17_999, "America/New_York"))),
        (Scalar::from("1970-01-01 00:00"), new_york(), Some(zoned(18_000, "America/New_York"))),
        (Scalar::from("1970-01-01T00:00Z"), new_york(), Some(zoned(0, "America/New_York"))),
        (Scalar::from("2024-03-10T02:30"), new_york(), None),
        (Scalar::IntervalYearMonth(3), Interval(IntervalUnit::DayTime), None),
        (
            Scalar::IntervalDayTime { days: 3, milliseconds: -1 },
            Interval(IntervalUnit::MonthDayNano),
            Some(Scalar::IntervalMonthDayNano { months: 0, days: 3, nanoseconds: -1_000_000 }),
        ),
        (
            Scalar::Duration { value: -1, unit: Millisecond },
            Duration(Second),
            Some(Scalar::Duration { value: -1, unit: Second }),
        ),
    ] {
        assert_eq!(cast(value.clone(), to.clone()), result, "{value:?} to {to}");
    }
}
