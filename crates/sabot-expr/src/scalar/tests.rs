//! Identity, storage and arrays of scalars.

use super::*;
use arrow::array::{DictionaryArray, StringArray};
use arrow::datatypes::{Field, FieldRef, Int8Type, UnionFields, UnionMode};

fn item(data_type: DataType) -> FieldRef {
    Arc::new(Field::new_list_field(data_type, true))
}

fn point_type() -> DataType {
    let label = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
    DataType::Struct(vec![Field::new("x", DataType::Float64, true), Field::new("label", label, true)].into())
}

fn point(x: f64, label: Option<&str>) -> Scalar {
    let label = label.map_or(Scalar::Null(DataType::Utf8), Scalar::from);
    Scalar::Struct { data_type: point_type(), values: vec![Scalar::Float64(x), label] }
}

/// Lists of every kind, structs, maps and unions.
fn nested_kinds() -> Vec<Scalar> {
    let numbers = || vec![Scalar::Int32(1), Scalar::Null(DataType::Int32), Scalar::Int32(-1)];
    let list = |data_type: fn(FieldRef) -> DataType| Scalar::List {
        data_type: data_type(item(DataType::Int32)),
        items: numbers(),
    };
    let points = Scalar::List {
        data_type: DataType::List(item(point_type())),
        items: vec![point(-0.0, Some("a")), point(1.5, None), Scalar::Null(point_type())],
    };
    let entry_type = DataType::Struct(
        vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Int64, true)].into(),
    );
    let entry = |key: &str, value: Scalar| Scalar::Struct {
        data_type: entry_type.clone(),
        values: vec![key.into(), value],
    };
    let map = Scalar::List {
        data_type: DataType::Map(Arc::new(Field::new("entries", entry_type.clone(), false)), false),
        items: vec![entry("a", Scalar::Int64(1)), entry("b", Scalar::Null(DataType::Int64))],
    };
    let mut all = vec![
        list(DataType::List),
        list(DataType::LargeList),
        list(DataType::ListView),
        list(DataType::LargeListView),
        list(|item| DataType::FixedSizeList(item, 3)),
        Scalar::List { data_type: DataType::FixedSizeList(item(DataType::Int8), 0), items: Vec::new() },
        points,
        map,
        point(f64::NAN, Some("it's")),
        Scalar::Struct { data_type: DataType::Struct(Vec::<Field>::new().into()), values: Vec::new() },
    ];
    for mode in [UnionMode::Sparse, UnionMode::Dense] {
        let fields = vec![Field::new("n", DataType::Int64, true), Field::new("p", point_type(), true)];
        let data_type = DataType::Union(UnionFields::try_new(vec![2, 5], fields).unwrap(), mode);
        let value = Box::new(point(0.5, None));
        all.push(Scalar::Union { data_type, type_id: 5, value });
    }
    all
}

/// One value of every variant, with the values that text formats lose most easily.
pub(crate) fn all_kinds() -> Vec<Scalar> {
    let bytes: Arc<[u8]> = [0u8, 0xff, b'a', 0x1f].into();
    let mut all = vec![
        Scalar::Boolean(true),
        Scalar::Int8(i8::MIN),
        Scalar::Int16(i16::MAX),
        Scalar::Int32(-7),
        Scalar::Int64(i64::MIN),
        Scalar::UInt8(u8::MAX),
        Scalar::UInt16(9),
        Scalar::UInt32(u32::MAX),
        Scalar::UInt64(u64::MAX),
        Scalar::Float16(Float16::from_f32(0.1)),
        Scalar::Float16(Float16::from_bits(0x7e12)),
        Scalar::Float32(0.1),
        Scalar::Float32(-0.0),
        Scalar::Float32(f32::from_bits(0x7fc0_1234)),
        Scalar::Float64(0.1),
        Scalar::Float64(-0.0),
        Scalar::Float64(f64::MIN_POSITIVE / 3.0),
        Scalar::Float64(f64::NEG_INFINITY),
        Scalar::Float64(f64::from_bits(0xfff8_0000_0000_beef)),
        Scalar::Decimal32 { value: -999_999_999, precision: 9, scale: 9 },
        Scalar::Decimal64 { value: 123, precision: 18, scale: -3 },
        Scalar::Decimal128 { value: i128::from(i64::MAX) * 1_000, precision: 38, scale: 10 },
        Scalar::Decimal256 { value: i256::from_parts(1, -1), precision: 76, scale: 10 },
        Scalar::from("it's \"here\" ✓"),
        Scalar::LargeUtf8("".into()),
        Scalar::Utf8View("a view that is longer than twelve bytes".into()),
        Scalar::Binary(bytes.clone()),
        Scalar::LargeBinary([].into()),
        Scalar::BinaryView(bytes.clone()),
        Scalar::FixedSizeBinary(bytes),
        Scalar::Date32(i32::MIN),
        Scalar::Date64(-86_400_000),
        Scalar::IntervalYearMonth(-14),
        Scalar::IntervalDayTime { days: 1, milliseconds: -1 },
        Scalar::IntervalMonthDayNano { months: i32::MIN, days: 0, nanoseconds: i64::MIN },
    ];
    for unit in [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond] {
        all.push(Scalar::Timestamp { value: -1, unit, zone: None });
        all.push(Scalar::Timestamp { value: i64::MAX, unit, zone: Some("Europe/Berlin".into()) });
        all.push(Scalar::Time { value: 86_399, unit });
        all.push(Scalar::Duration { value: -5, unit });
    }
    all.extend(nested_kinds());
    let nulls: Vec<Scalar> = all.iter().map(|value| Scalar::Null(value.data_type())).collect();
    all.extend(nulls);
    all
}

#[test]
fn storage_keeps_every_bit() {
    for value in all_kinds().into_iter().chain([Scalar::Null(DataType::Null)]) {
        let text = serde_json::to_string(&value).unwrap();
        let back: Scalar = serde_json::from_str(&text).unwrap();
        assert_eq!(back, value, "{text}");
    }
    assert_eq!(serde_json::to_string(&Scalar::Float64(1.5)).unwrap(), r#"{"float64":"1.5"}"#);
    assert!(serde_json::from_str::<Scalar>(r#"{"float64":"nan:0"}"#).is_err());
    assert!(serde_json::from_str::<Scalar>(r#"{"float32":"wide"}"#).is_err());
}

#[test]
fn arrays_keep_every_bit() {
    for value in all_kinds() {
        let array = value.to_array(3).unwrap();
        assert_eq!((array.len(), array.data_type()), (3, &value.data_type()));
        let read = Scalar::from_array(array.as_ref(), 2).unwrap();
        // A union has no nulls, only values that are null.
        if matches!(value, Scalar::Null(DataType::Union(..))) {
            assert!(read.is_null() && read.data_type() == value.data_type());
        } else {
            assert_eq!(read, value);
        }
        assert_eq!(value.to_array(0).unwrap().len(), 0);
    }
}

#[test]
fn values_of_another_type_are_not_collected() {
    let mixed = [Scalar::Int32(1), Scalar::Int64(2)];
    let error = Scalar::collect(&DataType::Int32, &mixed).unwrap_err();
    assert_eq!(error.to_string(), "literal 2 is not a valid int32: it is of type int64");
    let zoned = [Scalar::Timestamp { value: 1, unit: TimeUnit::Second, zone: Some("UTC".into()) }];
    assert!(Scalar::collect(&DataType::Timestamp(TimeUnit::Second, None), &zoned).is_err());
    let scaled = [Scalar::Decimal128 { value: 1, precision: 5, scale: 2 }];
    assert!(Scalar::collect(&DataType::Decimal128(5, 3), &scaled).is_err());
}

#[test]
fn dictionaries_are_read_as_their_strings() {
    let values: StringArray = [Some("SFO"), None].into_iter().collect();
    let keys = arrow::array::Int8Array::from(vec![Some(0), None, Some(1)]);
    let array = DictionaryArray::<Int8Type>::new(keys, Arc::new(values));
    let read: Vec<Scalar> = (0..3).map(|row| Scalar::from_array(&array, row).unwrap()).collect();
    let null = Scalar::Null(DataType::Utf8);
    assert_eq!(read, [Scalar::from("SFO"), null.clone(), null]);
}

#[test]
fn encodings_are_built_from_what_they_stand_for() {
    let texts = ["b", "b", "a", "b"].map(Scalar::from);
    let mut values = texts.to_vec();
    values.insert(2, Scalar::Null(DataType::Utf8));
    let (ends, runs) = (Field::new("e", DataType::Int16, false), Field::new("v", DataType::Utf8, true));
    for data_type in [
        DataType::Dictionary(Box::new(DataType::UInt8), Box::new(DataType::Utf8)),
        DataType::RunEndEncoded(Arc::new(ends), Arc::new(runs)),
    ] {
        let array = Scalar::collect(&data_type, &values).unwrap();
        assert_eq!(array.data_type(), &data_type);
        array.to_data().validate_full().unwrap();
        let back: Vec<Scalar> =
            (0..array.len()).map(|row| Scalar::from_array(array.as_ref(), row).unwrap()).collect();
        assert_eq!(back, values);
        assert_eq!(Scalar::collect(&data_type, &[]).unwrap().len(), 0);
        assert!(Scalar::collect(&data_type, &[Scalar::Int8(1)]).is_err());
    }
    let many: Vec<Scalar> = (0..200i64).map(Scalar::from).collect();
    let narrow = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Int64));
    assert!(Scalar::collect(&narrow, &many).unwrap_err().to_string().contains("Dictionary key"));
    assert_eq!(Scalar::collect(&narrow, &many[..128]).unwrap().len(), 128);
}

#[test]
fn identity_is_by_type_and_bits() {
    assert_ne!(Scalar::Float64(0.0), Scalar::Float64(-0.0));
    assert_eq!(Scalar::Float64(f64::NAN), Scalar::Float64(f64::NAN));
    assert_ne!(Scalar::Int32(1), Scalar::Int64(1));
    assert_ne!(Scalar::Null(DataType::Int32), Scalar::Null(DataType::Int64));
    assert_ne!(Scalar::from("a"), Scalar::LargeUtf8("a".into()));
    let all: Vec<Scalar> = all_kinds().into_iter().filter(|value| !value.is_null()).collect();
    for (i, a) in all.iter().enumerate() {
        for (j, b) in all.iter().enumerate() {
            assert_eq!(a == b, i == j, "{a:?} {b:?}");
        }
    }
}

#[test]
fn values_print_as_sql() {
    let at = |value, unit, zone: Option<&str>| Scalar::Timestamp { value, unit, zone: zone.map(Into::into) };
    for (value, text) in [
        (Scalar::from("it's"), "'it''s'"),
        (Scalar::Boolean(false), "FALSE"),
        (Scalar::Int8(-5), "-5"),
        (Scalar::Float64(1.0), "1.0"),
        (Scalar::Null(DataType::Int8), "NULL"),
        (Scalar::Decimal128 { value: -12345, precision: 9, scale: 2 }, "-123.45"),
        (Scalar::Date32(-1), "DATE '1969-12-31'"),
        (at(-1, TimeUnit::Millisecond, None), "TIMESTAMP '1969-12-31T23:59:59.999'"),
        (at(0, TimeUnit::Second, Some("UTC")), "TIMESTAMP '1970-01-01T00:00:00Z'"),
        (Scalar::Decimal64 { value: 5, precision: 9, scale: 3 }, "0.005"),
        (Scalar::Decimal32 { value: -5, precision: 9, scale: -2 }, "-500"),
        (Scalar::Binary([0x0a, 0xff].into()), "X'0aff'"),
        (Scalar::Time { value: 45_296_789, unit: TimeUnit::Millisecond }, "TIME '12:34:56.789'"),
        (Scalar::Duration { value: -3, unit: TimeUnit::Nanosecond }, "DURATION '-3ns'"),
        (Scalar::Date64(86_400_000), "DATE '1970-01-02'"),
        (Scalar::IntervalYearMonth(14), "INTERVAL '1 year 2 months'"),
        (Scalar::IntervalDayTime { days: -1, milliseconds: 1_500 }, "INTERVAL '-1 day 00:00:01.500'"),
        (Scalar::IntervalYearMonth(0), "INTERVAL '00:00:00'"),
        (nested_kinds().remove(0), "[1, NULL, -1]"),
        (nested_kinds().remove(6), "[{x: -0.0, label: 'a'}, {x: 1.5, label: NULL}, NULL]"),
        (nested_kinds().remove(7), "MAP {'a': 1, 'b': NULL}"),
    ] {
        assert_eq!(value.to_string(), text);
    }
}
