//! Names of types round-trip, and what is no type is refused by name.

use super::*;
use arrow::datatypes::{Field, IntervalUnit, UnionFields, UnionMode};
use std::sync::Arc;

fn dictionary(key: DataType, value: DataType) -> DataType {
    DataType::Dictionary(Box::new(key), Box::new(value))
}

fn all_types() -> Vec<DataType> {
    use DataType::*;
    let mut all = vec![
        Null,
        Boolean,
        Int8,
        Int16,
        Int32,
        Int64,
        UInt8,
        UInt16,
        UInt32,
        UInt64,
        Float16,
        Float32,
        Float64,
        Decimal32(9, 9),
        Decimal64(18, 0),
        Decimal128(38, 10),
        Decimal128(5, -2),
        Decimal256(76, -76),
        Utf8,
        LargeUtf8,
        Utf8View,
        Binary,
        LargeBinary,
        BinaryView,
        FixedSizeBinary(0),
        FixedSizeBinary(16),
        Date32,
        Date64,
        Time32(TimeUnit::Second),
        Time32(TimeUnit::Millisecond),
        Time64(TimeUnit::Microsecond),
        Time64(TimeUnit::Nanosecond),
        Interval(IntervalUnit::YearMonth),
        Interval(IntervalUnit::DayTime),
        Interval(IntervalUnit::MonthDayNano),
    ];
    for unit in [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond] {
        all.push(Duration(unit));
        for zone in [None, Some("UTC"), Some("Europe/Berlin"), Some("+05:30"), Some("a) \"b\", c"), Some("")]
        {
            all.push(Timestamp(unit, zone.map(Into::into)));
        }
    }
    for key in [Int8, Int32, UInt16, UInt64] {
        for value in [Utf8, LargeUtf8, Int64, Decimal256(50, 2)] {
            all.push(dictionary(key.clone(), value));
        }
    }
    let tagged = Field::new("int8", Utf8, false)
        .with_metadata([("k\\".to_owned(), "\"v\"".to_owned()), ("a".to_owned(), String::new())].into());
    let fields = vec![
        Field::new("a", Int32, true),
        Field::new("odd name, \"quoted\"", dictionary(Int8, Utf8), false),
        Field::new("", Struct(Vec::<Field>::new().into()), true),
        tagged.clone(),
    ];
    let point = Struct(fields.into());
    for item in [
        Field::new_list_field(Int64, true),
        Field::new_list_field(Int64, false),
        Field::new("int8", point.clone(), true),
        Field::new("list", List(Arc::new(tagged.clone())), true),
        tagged,
    ] {
        let item = Arc::new(item);
        all.extend([
            List(item.clone()),
            LargeList(item.clone()),
            ListView(item.clone()),
            LargeListView(item.clone()),
            FixedSizeList(item.clone(), 3),
        ]);
    }
    let entries =
        Struct(vec![Field::new("key", Utf8, false), Field::new("value", point.clone(), true)].into());
    for sorted in [false, true] {
        all.push(Map(Arc::new(Field::new("entries", entries.clone(), false)), sorted));
    }
    for mode in [UnionMode::Sparse, UnionMode::Dense] {
        let fields = vec![Field::new("a", Utf8View, true), Field::new("b", point.clone(), true)];
        all.push(Union(UnionFields::try_new(vec![3, 7], fields).unwrap(), mode));
    }
    for ends in [Int16, Int32, Int64] {
        let (ends, values) = (Field::new("run_ends", ends, false), Field::new("values", Utf8, true));
        all.push(RunEndEncoded(Arc::new(ends), Arc::new(values)));
    }
    all.push(point);
    all
}

#[test]
fn names_of_types_round_trip() {
    for data_type in all_types() {
        assert_eq!(check_type(&data_type), Ok(()), "{data_type}");
        let name = type_name(&data_type);
        assert_eq!(parse_type(&name), Some(data_type), "{name}");
    }
}

/// Any name with something cut off, put in or doubled is another type's name or none, and never a panic.
#[test]
fn damaged_names_are_no_other_type() {
    for data_type in all_types() {
        let name = type_name(&data_type);
        for at in name.char_indices().map(|(at, _)| at) {
            for damaged in [
                name[..at].to_owned(),
                format!("{}{}", &name[..at], &name[at..].replacen(' ', "", 1)),
                format!("{},{}", &name[..at], &name[at..]),
            ] {
                if let Some(other) = parse_type(&damaged) {
                    assert_eq!(parse_type(&type_name(&other)), Some(other), "{damaged}");
                }
            }
        }
    }
}

#[test]
fn names_are_what_messages_and_plans_say() {
    let point = DataType::Struct(
        vec![Field::new("x", DataType::Float64, false), Field::new("a b", DataType::Utf8, true)].into(),
    );
    for (data_type, name) in [
        (DataType::new_list(DataType::Int64, true), "list(int64)"),
        (DataType::new_list(DataType::Int64, false), "list(item: int64 not null)"),
        (point, "struct(x: float64 not null, \"a b\": utf8)"),
        (DataType::Interval(IntervalUnit::DayTime), "interval(day_time)"),
        (DataType::Timestamp(TimeUnit::Second, Some("Asia/Tokyo".into())), "timestamp(s, Asia/Tokyo)"),
    ] {
        assert_eq!(type_name(&data_type), name);
    }
}

#[test]
fn what_is_no_type_is_refused_by_name() {
    let run = |ends: DataType, values: DataType| {
        let (ends, values) = (Field::new("run_ends", ends, false), Field::new("values", values, true));
        DataType::RunEndEncoded(Arc::new(ends), Arc::new(values))
    };
    let map = DataType::Map(Arc::new(Field::new("entries", DataType::Utf8, false)), false);
    let deep = (0..=TYPE_DEPTH_MAX).fold(DataType::Int8, |item, _| DataType::new_list(item, true));
    for (data_type, reason) in [
        (DataType::Decimal32(10, 0), "precision is not 1 to 9"),
        (DataType::Decimal128(39, 0), "precision is not 1 to 38"),
        (DataType::Decimal128(5, 6), "or its scale is above it"),
        (DataType::Decimal256(0, 0), "precision is not 1 to 76"),
        (DataType::Time32(TimeUnit::Nanosecond), "time32 counts seconds or milliseconds"),
        (DataType::Time64(TimeUnit::Second), "time64 counts microseconds or nanoseconds"),
        (DataType::FixedSizeBinary(-1), "size is negative"),
        (dictionary(DataType::Utf8, DataType::Utf8), "keys of a dictionary are integers"),
        (dictionary(DataType::Int8, dictionary(DataType::Int8, DataType::Utf8)), "not encoded themselves"),
        (run(DataType::Int8, DataType::Utf8), "run ends are int16, int32 or int64"),
        (run(DataType::Int32, dictionary(DataType::Int8, DataType::Utf8)), "not encoded themselves"),
        (map, "a struct of key and value"),
        (DataType::Union(UnionFields::empty(), UnionMode::Sparse), "at least one field"),
        (DataType::new_list(DataType::Decimal64(19, 0), true), "precision is not 1 to 18"),
        (deep, "more than 64 levels deep"),
    ] {
        let message = check_type(&data_type).unwrap_err().to_string();
        assert!(message.contains(reason) && message.contains(&type_name(&data_type)), "{message}");
        assert_eq!(parse_type(&type_name(&data_type)), None, "{data_type}");
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
        "list()",
        "list(int64",
        "list(int64))",
        "struct(int64)",
        "struct(a: int64,)",
        "union(sparse, a: int64)",
        "map(int64)",
        "int64 ",
        "utf8 not null",
        "timestamp(s, \"UTC)",
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
