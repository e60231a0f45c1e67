//! Names of types round-trip, and unsupported types are refused by name.

use super::*;
use arrow::datatypes::{Field, IntervalUnit};

fn supported() -> Vec<DataType> {
    use DataType::*;
    let mut all = vec![
        Boolean,
        Int8,
        Int16,
        Int32,
        Int64,
        UInt8,
        UInt16,
        UInt32,
        UInt64,
        Float32,
        Float64,
        Utf8,
        LargeUtf8,
        Date32,
        Decimal128(38, 10),
        Decimal128(5, -2),
    ];
    for unit in [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond] {
        for zone in [None, Some("UTC".into()), Some("Europe/Berlin".into()), Some("+05:30".into())] {
            all.push(Timestamp(unit, zone));
        }
    }
    for key in [Int8, Int32, UInt16, UInt64] {
        for value in [Utf8, LargeUtf8] {
            all.push(Dictionary(Box::new(key.clone()), Box::new(value)));
        }
    }
    all
}

#[test]
fn names_of_supported_types_round_trip() {
    for data_type in supported() {
        assert!(check_type(&data_type).is_ok(), "{data_type}");
        assert_eq!(parse_type(&type_name(&data_type)), Some(data_type));
    }
}

#[test]
fn other_types_are_refused_by_name() {
    let list = DataType::List(Field::new("item", DataType::Int64, true).into());
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Int64));
    for data_type in [
        DataType::Null,
        DataType::Float16,
        DataType::Binary,
        DataType::Utf8View,
        DataType::Date64,
        DataType::Time64(TimeUnit::Nanosecond),
        DataType::Interval(IntervalUnit::DayTime),
        DataType::Decimal256(50, 2),
        list,
        dictionary,
    ] {
        let message = check_type(&data_type).unwrap_err().to_string();
        assert!(message.contains(&type_name(&data_type)), "{message}");
        assert!(message.contains("supported types: bool, int8"), "{message}");
    }
}

#[test]
fn nonsense_is_no_type() {
    for text in [
        "",
        "int",
        "timestamp",
        "timestamp()",
        "timestamp(h)",
        "decimal128(1)",
        "decimal128(x, 2)",
        "dictionary(utf8)",
    ] {
        assert_eq!(parse_type(text), None, "{text}");
    }
}

#[test]
fn utc_has_several_names() {
    for zone in [None, Some("UTC"), Some("utc"), Some("Z"), Some("+00:00")] {
        assert!(is_utc(zone), "{zone:?}");
    }
    for zone in ["Europe/Berlin", "+01:00", ""] {
        assert!(!is_utc(Some(zone)), "{zone}");
    }
}
