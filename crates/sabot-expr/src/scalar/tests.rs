//! Identity, storage and arrays of scalars.

use super::*;
use arrow::array::{DictionaryArray, StringArray};
use arrow::datatypes::Int8Type;

/// One value of every variant, with the values that text formats lose most easily.
pub(crate) fn all_kinds() -> Vec<Scalar> {
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
        Scalar::Float32(0.1),
        Scalar::Float32(-0.0),
        Scalar::Float32(f32::from_bits(0x7fc0_1234)),
        Scalar::Float64(0.1),
        Scalar::Float64(-0.0),
        Scalar::Float64(f64::MIN_POSITIVE / 3.0),
        Scalar::Float64(f64::NEG_INFINITY),
        Scalar::Float64(f64::from_bits(0xfff8_0000_0000_beef)),
        Scalar::Decimal128 { value: i128::from(i64::MAX) * 1_000, precision: 38, scale: 10 },
        Scalar::from("it's \"here\" ✓"),
        Scalar::LargeUtf8("".into()),
        Scalar::Date32(i32::MIN),
    ];
    for unit in [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond] {
        all.push(Scalar::Timestamp { value: -1, unit, zone: None });
        all.push(Scalar::Timestamp { value: i64::MAX, unit, zone: Some("Europe/Berlin".into()) });
    }
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
        assert_eq!(Scalar::from_array(array.as_ref(), 2).unwrap(), value);
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
    ] {
        assert_eq!(value.to_string(), text);
    }
}
