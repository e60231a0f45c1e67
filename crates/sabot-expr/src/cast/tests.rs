//! Casts by their table, against Arrow's kernels where the two agree, and against `cast_is_total`.

use super::*;
use crate::scalar::tests::all_kinds;
use crate::temporal::units_per_second;
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
            if !can_cast(&from, &to) || from == to || arrow_differs(&value, &to) {
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
        (Scalar::Decimal128 { value: 1, precision: 5, scale: 2 }, Int64, None),
    ] {
        assert_eq!(cast(value.clone(), to.clone()), result, "{value:?} to {to}");
    }
}
