//! The tables of the rules, written out.

use super::*;
use DataType::*;
use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};

const NUMBERS: [DataType; 10] = [Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64, Float32, Float64];

#[test]
fn numbers_meet_by_the_table() {
    // Row and column in the order of NUMBERS; a dash is "none".
    let table = [
        "i8 i16 i32 i64 i16 i32 i64 -   f64 f64",
        "i16 i16 i32 i64 i16 i32 i64 -   f64 f64",
        "i32 i32 i32 i64 i32 i32 i64 -   f64 f64",
        "i64 i64 i64 i64 i64 i64 i64 -   f64 f64",
        "i16 i16 i32 i64 u8  u16 u32 u64 f64 f64",
        "i32 i32 i32 i64 u16 u16 u32 u64 f64 f64",
        "i64 i64 i64 i64 u32 u32 u32 u64 f64 f64",
        "-   -   -   -   u64 u64 u64 u64 f64 f64",
        "f64 f64 f64 f64 f64 f64 f64 f64 f32 f64",
        "f64 f64 f64 f64 f64 f64 f64 f64 f64 f64",
    ];
    let named = |name: &str| match name {
        "-" => None,
        "f32" => Some(Float32),
        "f64" => Some(Float64),
        name => super::super::parse_type(
            &name.replace('i', "int").replace('u', "uint").replace("uintint", "uint"),
        ),
    };
    for (left, row) in NUMBERS.iter().zip(table) {
        for (right, cell) in NUMBERS.iter().zip(row.split_whitespace()) {
            assert_eq!(common_type(left, right), named(cell), "{left} with {right}");
        }
    }
}

fn zoned(unit: TimeUnit, zone: &str) -> DataType {
    Timestamp(unit, Some(zone.into()))
}

fn decimal(value: i128, precision: u8, scale: i8) -> Scalar {
    Scalar::Decimal128 { value, precision, scale }
}

fn dictionary(value: DataType) -> DataType {
    Dictionary(Box::new(Int32), Box::new(value))
}

#[test]
fn other_types_meet_by_the_table() {
    let plain = |unit| Timestamp(unit, None);
    for (left, right, common) in [
        (Utf8, LargeUtf8, Some(LargeUtf8)),
        (dictionary(Utf8), Utf8, Some(Utf8)),
        (dictionary(Utf8), dictionary(LargeUtf8), Some(LargeUtf8)),
        (dictionary(Utf8), dictionary(Utf8), Some(Utf8)),
        (Date32, plain(Second), Some(plain(Second))),
        (zoned(Second, "Asia/Tokyo"), Date32, None),
        (plain(Second), plain(Nanosecond), Some(plain(Nanosecond))),
        (zoned(Millisecond, "UTC"), plain(Microsecond), Some(zoned(Microsecond, "UTC"))),
        (zoned(Second, "UTC"), zoned(Second, "Asia/Tokyo"), Some(zoned(Second, "UTC"))),
        (zoned(Second, "Asia/Tokyo"), plain(Second), None),
        (Boolean, Boolean, Some(Boolean)),
        (Boolean, Int8, None),
        (Utf8, Int8, None),
        (Utf8, Date32, None),
        (Int32, Date32, None),
        (Int64, plain(Second), None),
        (Decimal128(5, 2), Decimal128(5, 2), Some(Decimal128(5, 2))),
        (Decimal128(5, 2), Decimal128(6, 2), Some(Decimal128(6, 2))),
        (Decimal128(5, 2), Int64, Some(Decimal128(21, 2))),
        (UInt8, Decimal256(60, 4), Some(Decimal256(60, 4))),
        (Decimal128(38, 0), Decimal128(38, 38), Some(Decimal256(76, 38))),
        (Decimal256(76, 0), Decimal256(76, 1), None),
        (Decimal128(5, 2), Float32, Some(Float64)),
        (Decimal32(5, 2), Decimal32(5, 2), Some(Decimal32(5, 2))),
        (Float16, Float16, Some(Float16)),
        (Float16, Float32, Some(Float32)),
        (Float16, Int8, Some(Float64)),
        (Utf8View, Utf8, Some(Utf8View)),
        (Utf8View, LargeUtf8, Some(LargeUtf8)),
        (dictionary(Utf8View), Utf8, Some(Utf8View)),
        (Binary, BinaryView, Some(BinaryView)),
        (LargeBinary, FixedSizeBinary(4), Some(LargeBinary)),
        (FixedSizeBinary(4), FixedSizeBinary(5), Some(Binary)),
        (FixedSizeBinary(4), FixedSizeBinary(4), Some(FixedSizeBinary(4))),
        (Binary, Utf8, None),
        (Date32, Date64, Some(Date64)),
        (Date64, plain(Second), Some(plain(Millisecond))),
        (Time32(Second), Time64(Nanosecond), Some(Time64(Nanosecond))),
        (Time32(Second), Time32(Millisecond), Some(Time32(Millisecond))),
        (Time32(Second), Date32, None),
        (Duration(Second), Duration(Microsecond), Some(Duration(Microsecond))),
        (Duration(Second), Interval(IntervalUnit::DayTime), None),
        (
            Interval(IntervalUnit::YearMonth),
            Interval(IntervalUnit::DayTime),
            Some(Interval(IntervalUnit::MonthDayNano)),
        ),
        (
            DataType::new_list(Int8, true),
            DataType::new_list(Int8, true),
            Some(DataType::new_list(Int8, true)),
        ),
        (DataType::new_list(Int8, true), DataType::new_list(Int16, true), None),
        (Null, Decimal128(5, 2), Some(Decimal128(5, 2))),
        (Null, Null, Some(Null)),
    ] {
        assert_eq!(common_type(&left, &right), common, "{left} with {right}");
    }
}

#[test]
fn literals_adapt_when_they_fit_exactly() {
    use Adapted::{Keeps, Unreadable, Value};
    let second = |value| Scalar::Timestamp { value, unit: Second, zone: None };
    let millis = |value| Scalar::Timestamp { value, unit: Millisecond, zone: None };
    for (literal, to, adapted) in [
        (Scalar::Int32(127), Int8, Value(Scalar::Int8(127))),
        (Scalar::Int32(128), Int8, Keeps),
        (Scalar::Int32(-1), UInt64, Keeps),
        (Scalar::Int64(7), UInt64, Value(Scalar::UInt64(7))),
        (Scalar::Int32(1 << 24), Float32, Value(Scalar::Float32(16_777_216.0))),
        (Scalar::Int32((1 << 24) + 1), Float32, Keeps),
        (Scalar::Int64(1 << 53), Float64, Value(Scalar::Float64(9_007_199_254_740_992.0))),
        (Scalar::Int64((1 << 53) + 1), Float64, Keeps),
        (Scalar::Float64(0.5), Float32, Keeps),
        (Scalar::Float32(0.5), Float64, Keeps),
        (Scalar::Float64(1.0), Int8, Keeps),
        (Scalar::from("x"), LargeUtf8, Value(Scalar::LargeUtf8("x".into()))),
        (Scalar::from("x"), dictionary(Utf8), Value(Scalar::from("x"))),
        (Scalar::from("1970-01-02"), Date32, Value(Scalar::Date32(1))),
        (Scalar::from("1970-01-02"), Timestamp(Second, None), Value(second(86_400))),
        (Scalar::from("soon"), Date32, Unreadable),
        (Scalar::from("soon"), Timestamp(Second, None), Unreadable),
        (Scalar::from("1"), Int32, Keeps),
        (Scalar::Date32(-1), Timestamp(Second, None), Value(second(-86_400))),
        (Scalar::Date32(i32::MAX), Timestamp(Nanosecond, None), Keeps),
        (second(1), Timestamp(Millisecond, None), Value(millis(1_000))),
        (millis(1_000), Timestamp(Second, None), Value(second(1))),
        (millis(1_001), Timestamp(Second, None), Keeps),
        (Scalar::Null(Null), Utf8, Value(Scalar::Null(Utf8))),
        (Scalar::Null(Int32), Float32, Value(Scalar::Null(Float32))),
        (Scalar::Null(Int32), Utf8, Keeps),
        (Scalar::Boolean(true), Int8, Keeps),
        (Scalar::Int32(12), Decimal128(5, 2), Value(decimal(1_200, 5, 2))),
        (Scalar::Int32(1_000), Decimal128(5, 2), Keeps),
        (Scalar::Int32(150), Decimal128(5, -2), Keeps),
        (Scalar::Float64(1.5), Decimal128(5, 2), Keeps),
        (Scalar::from("1.5"), Decimal128(5, 2), Value(decimal(150, 5, 2))),
        (Scalar::from("1.005"), Decimal128(5, 2), Unreadable),
        (Scalar::from("a"), Decimal128(5, 2), Unreadable),
        (decimal(15, 2, 1), Decimal128(5, 2), Value(decimal(150, 5, 2))),
        (decimal(155, 3, 2), Decimal128(5, 1), Keeps),
        (Scalar::from("x"), Utf8View, Value(Scalar::Utf8View("x".into()))),
        (Scalar::from("x"), Binary, Keeps),
        (Scalar::from("12:30"), Time32(Second), Value(Scalar::Time { value: 45_000, unit: Second })),
        (Scalar::from("1 day"), Interval(IntervalUnit::YearMonth), Unreadable),
        (Scalar::Date32(1), Date64, Value(Scalar::Date64(86_400_000))),
        (
            Scalar::Duration { value: 5, unit: Second },
            Duration(Millisecond),
            Value(Scalar::Duration { value: 5_000, unit: Millisecond }),
        ),
        (Scalar::Duration { value: 5, unit: Millisecond }, Duration(Second), Keeps),
        (
            Scalar::IntervalYearMonth(3),
            Interval(IntervalUnit::MonthDayNano),
            Value(Scalar::IntervalMonthDayNano { months: 3, days: 0, nanoseconds: 0 }),
        ),
        (Scalar::Int32(2_048), Float16, Value(Scalar::Float16(crate::Float16::from_f32(2_048.0)))),
        (Scalar::Int32(2_049), Float16, Keeps),
    ] {
        assert_eq!(adapt_literal(&literal, &to), adapted, "{literal:?} next to {to}");
    }
}

#[test]
fn casts_exist_between_related_types() {
    let yes = [
        (Int8, Utf8),
        (Utf8, Boolean),
        (Boolean, Float32),
        (dictionary(Utf8), Int32),
        (dictionary(Utf8), dictionary(Utf8)),
        (Date32, Utf8),
        (LargeUtf8, Timestamp(Second, None)),
        (Timestamp(Second, None), Date32),
        (Date32, zoned(Second, "UTC")),
        (Int64, zoned(Second, "Asia/Tokyo")),
        (zoned(Second, "Asia/Tokyo"), zoned(Second, "UTC")),
        (Utf8, zoned(Second, "Asia/Tokyo")),
        (zoned(Second, "Asia/Tokyo"), Utf8View),
        (zoned(Second, "Asia/Tokyo"), Date32),
        (Date64, zoned(Second, "Asia/Tokyo")),
        (zoned(Second, "Asia/Tokyo"), Time64(Microsecond)),
        (Date32, Int32),
        (Decimal128(5, 2), Decimal128(5, 2)),
        (Decimal128(5, 2), Decimal256(6, 1)),
        (Decimal128(5, 2), Utf8View),
        (Int32, Decimal32(5, 2)),
        (Float16, Decimal64(5, 2)),
        (Utf8View, Binary),
        (BinaryView, Utf8),
        (FixedSizeBinary(3), LargeBinary),
        (Date64, Date32),
        (Utf8, Time64(Nanosecond)),
        (Timestamp(Second, None), Time32(Millisecond)),
        (Interval(IntervalUnit::DayTime), Interval(IntervalUnit::YearMonth)),
        (Utf8, Interval(IntervalUnit::MonthDayNano)),
        (Duration(Second), Int64),
        (Null, DataType::new_list(Int8, true)),
        (dictionary(Binary), Binary),
    ];
    let no = [
        (Binary, Int64),
        (Int32, Duration(Second)),
        (Duration(Second), Interval(IntervalUnit::DayTime)),
        (DataType::new_list(Int8, true), Utf8),
        (DataType::new_list(Int8, true), DataType::new_list(Int16, true)),
        (Decimal128(5, 2), Date32),
        (Utf8, dictionary(Utf8)),
        (Int32, Timestamp(Second, None)),
        (Int64, Date32),
        (Boolean, Date32),
        (zoned(Second, "Asia/Tokyo"), Timestamp(Second, None)),
        (zoned(Second, "Mars/Olympus_Mons"), Utf8),
        (Date32, zoned(Second, "Mars/Olympus_Mons")),
        (Float64, Timestamp(Second, None)),
    ];
    for (from, to) in yes {
        assert!(can_cast(&from, &to), "{from} to {to}");
    }
    for (from, to) in no {
        assert!(!can_cast(&from, &to), "{from} to {to}");
    }
}

#[test]
fn all_but_maps_and_unions_are_compared_and_spans_of_days_have_no_order() {
    let field = |data_type| vec![arrow::datatypes::Field::new("a", data_type, true)];
    let day_time = Interval(IntervalUnit::DayTime);
    let union =
        Union(arrow::datatypes::UnionFields::from_fields(field(Int8)), arrow::datatypes::UnionMode::Dense);
    for (data_type, comparable, ordered) in [
        (Int8, true, true),
        (Decimal256(5, 2), true, true),
        (Binary, true, true),
        (Interval(IntervalUnit::YearMonth), true, true),
        (day_time.clone(), true, false),
        (DataType::new_list(Utf8, true), true, true),
        (DataType::new_list(day_time.clone(), true), true, false),
        (Struct(field(day_time).into()), true, false),
        (Struct(field(union.clone()).into()), false, false),
        (DataType::new_list(union.clone(), true), false, false),
        (union, false, false),
        (Null, false, false),
        (dictionary(Float32), true, true),
    ] {
        assert_eq!((is_comparable(&data_type), is_ordered(&data_type)), (comparable, ordered), "{data_type}");
    }
}
