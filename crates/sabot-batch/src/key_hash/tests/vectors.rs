//! The vectors of `key-hash-vectors.json`, through every form of the hash and every way to store a value.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, Date32Array, Date64Array, Decimal32Array,
    Decimal64Array, Decimal128Array, Decimal256Array, DictionaryArray, Float32Array, Float64Array, Int8Array,
    Int64Array, IntervalDayTimeArray, IntervalMonthDayNanoArray, IntervalYearMonthArray, ListArray,
    PrimitiveArray, StringArray, StructArray, TimestampNanosecondArray, UInt64Array, new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{CastOptions, cast_with_options, concat};
use arrow::datatypes::{DataType, Field, Float16Type, IntervalDayTime, IntervalMonthDayNano, TimeUnit, i256};
use serde_json::Value;

use super::super::encode::{self, tag};
use super::super::lanes::{self, Encoded};
use super::super::{KeyValue, reference_hash};
use super::hash;

type Float16 = <Float16Type as ArrowPrimitiveType>::Native;

struct Vector {
    seed: u64,
    key: Vec<Value>,
    hash: u64,
}

fn file() -> Value {
    serde_json::from_str(include_str!("../../../key-hash-vectors.json")).unwrap()
}

fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).map(|v| v.as_str().unwrap())
}

fn hex(value: &Value, name: &str) -> u64 {
    u64::from_str_radix(text(value, name).unwrap(), 16).unwrap()
}

fn vectors() -> Vec<Vector> {
    let vectors = file()["vectors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| Vector {
            seed: hex(v, "seed"),
            key: v["key"].as_array().unwrap().clone(),
            hash: hex(v, "hash"),
        })
        .collect::<Vec<_>>();
    assert!(vectors.len() >= 100, "the file lost vectors");
    vectors
}

fn key_value(value: &Value) -> KeyValue {
    if value.get("null").is_some() {
        return KeyValue::Null;
    }
    if let Some(x) = value.get("bool") {
        return KeyValue::Bool(x.as_bool().unwrap());
    }
    if let Some(x) = text(value, "int") {
        return match x.parse::<i64>() {
            Ok(x) => KeyValue::Signed(x),
            Err(_) => KeyValue::Unsigned(x.parse().unwrap()),
        };
    }
    if value.get("float64").is_some() {
        return KeyValue::Float(f64::from_bits(hex(value, "float64")));
    }
    if value.get("float32").is_some() {
        let bits = u32::try_from(hex(value, "float32")).unwrap();
        return KeyValue::Float(f64::from(f32::from_bits(bits)));
    }
    if let Some(x) = text(value, "decimal") {
        let scale = i8::try_from(value["scale"].as_i64().unwrap()).unwrap();
        return KeyValue::Decimal { coefficient: i256::from_string(x).unwrap(), scale };
    }
    if let Some(x) = text(value, "text") {
        return KeyValue::Text(x.to_owned());
    }
    if let Some(x) = text(value, "date") {
        return KeyValue::Date(x.parse().unwrap());
    }
    if value.get("float16").is_some() {
        let bits = u16::try_from(hex(value, "float16")).unwrap();
        return KeyValue::Float(Float16::from_bits(bits).to_f64());
    }
    if let Some(x) = text(value, "bytes") {
        let byte = |at: usize| u8::from_str_radix(&x[at..at + 2], 16).unwrap();
        return KeyValue::Bytes((0..x.len()).step_by(2).map(byte).collect());
    }
    if let Some(x) = text(value, "date64") {
        return KeyValue::DateMillis(x.parse().unwrap());
    }
    if let Some(parts) = value.get("interval") {
        let part = |at: usize| i32::try_from(parts[at].as_i64().unwrap()).unwrap();
        let nanoseconds = parts[2].as_str().unwrap().parse().unwrap();
        return KeyValue::Interval { months: part(0), days: part(1), nanoseconds };
    }
    if let Some(items) = value.get("list") {
        return KeyValue::List(items.as_array().unwrap().iter().map(key_value).collect());
    }
    if let Some(fields) = value.get("struct") {
        return KeyValue::Struct(fields.as_array().unwrap().iter().map(key_value).collect());
    }
    let unit = match text(value, "unit").unwrap() {
        "s" => TimeUnit::Second,
        "ms" => TimeUnit::Millisecond,
        "us" => TimeUnit::Microsecond,
        "ns" => TimeUnit::Nanosecond,
        other => panic!("unit {other}"),
    };
    let count = |name| text(value, name).map(|count| count.parse().unwrap());
    match (count("time"), count("duration"), count("timestamp")) {
        (Some(count), ..) => KeyValue::Time { count, unit },
        (_, Some(count), _) => KeyValue::Duration { count, unit },
        (.., count) => KeyValue::Timestamp { count: count.unwrap(), unit },
    }
}

const DICTIONARY_KEYS: [DataType; 8] = [
    DataType::Int8,
    DataType::Int16,
    DataType::Int32,
    DataType::Int64,
    DataType::UInt8,
    DataType::UInt16,
    DataType::UInt32,
    DataType::UInt64,
];

/// `array` in every one of `types` that can hold its value exactly.
fn in_types(array: ArrayRef, types: impl IntoIterator<Item = DataType>) -> Vec<ArrayRef> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let mut all = vec![array.clone()];
    for to in types {
        let Ok(other) = cast_with_options(&array, &to, &strict) else { continue };
        let Ok(back) = cast_with_options(&other, array.data_type(), &strict) else { continue };
        if back.to_data() == array.to_data() {
            all.push(other);
        }
    }
    all
}

fn timestamp_types() -> Vec<DataType> {
    let units = [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond];
    let zones = [None, Some("UTC".into()), Some("Asia/Kolkata".into())];
    zones.iter().flat_map(|zone| units.map(|unit| DataType::Timestamp(unit, zone.clone()))).collect()
}

/// All Arrow arrays of one row that say this value.
fn representations(value: &Value) -> Vec<ArrayRef> {
    let plain: Vec<ArrayRef> = match key_value(value) {
        KeyValue::Null => {
            let mut types = vec![DataType::Null, DataType::Boolean, DataType::Utf8, DataType::Utf8View];
            types.extend([DataType::Float64, DataType::Date32, DataType::Decimal128(20, 2)]);
            types.extend([DataType::BinaryView, DataType::new_list(DataType::Int8, true)]);
            types.extend(DICTIONARY_KEYS.into_iter().chain(timestamp_types()));
            types.iter().map(|t| new_null_array(t, 1)).collect()
        }
        KeyValue::Bool(x) => vec![Arc::new(BooleanArray::from(vec![x]))],
        KeyValue::Signed(x) => in_types(Arc::new(Int64Array::from(vec![x])), DICTIONARY_KEYS),
        KeyValue::Unsigned(x) => in_types(Arc::new(UInt64Array::from(vec![x])), DICTIONARY_KEYS),
        KeyValue::Float(x) => {
            let mut arrays: Vec<ArrayRef> = vec![Arc::new(Float64Array::from(vec![x]))];
            // The cast rounds or saturates; what comes back as itself was exact.
            let narrow = x as f32;
            if x.is_nan() || f64::from(narrow) == x {
                arrays.push(Arc::new(Float32Array::from(vec![narrow])));
            }
            let half = Float16::from_f64(x);
            if x.is_nan() || half.to_f64() == x {
                arrays.push(Arc::new(PrimitiveArray::<Float16Type>::from(vec![half])));
            }
            arrays
        }
        KeyValue::Decimal { coefficient, scale } => decimals(coefficient, scale),
        KeyValue::Text(x) => {
            let array = Arc::new(StringArray::from(vec![x]));
            in_types(array, [DataType::LargeUtf8, DataType::Utf8View])
        }
        KeyValue::Date(x) => {
            let millis = Date64Array::from(vec![i64::from(x) * 86_400_000]);
            vec![Arc::new(Date32Array::from(vec![x])), Arc::new(millis)]
        }
        KeyValue::DateMillis(x) => vec![Arc::new(Date64Array::from(vec![x]))],
        KeyValue::Bytes(x) => {
            let array = Arc::new(BinaryArray::from(vec![x.as_slice()]));
            let fixed = DataType::FixedSizeBinary(i32::try_from(x.len()).unwrap());
            in_types(array, [DataType::LargeBinary, DataType::BinaryView, fixed])
        }
        KeyValue::Time { count, unit } => ticks(
            count,
            |unit| match unit {
                TimeUnit::Second | TimeUnit::Millisecond => DataType::Time32(unit),
                finer => DataType::Time64(finer),
            },
            unit,
        ),
        KeyValue::Duration { count, unit } => ticks(count, DataType::Duration, unit),
        KeyValue::Interval { months, days, nanoseconds } => {
            let span = IntervalMonthDayNano::new(months, days, nanoseconds);
            let mut all: Vec<ArrayRef> = vec![Arc::new(IntervalMonthDayNanoArray::from(vec![span]))];
            if (days, nanoseconds) == (0, 0) {
                all.push(Arc::new(IntervalYearMonthArray::from(vec![months])));
            }
            if let (0, 0, Ok(millis)) =
                (months, nanoseconds % 1_000_000, i32::try_from(nanoseconds / 1_000_000))
            {
                all.push(Arc::new(IntervalDayTimeArray::from(vec![IntervalDayTime::new(days, millis)])));
            }
            all
        }
        KeyValue::List(_) => lists(value["list"].as_array().unwrap()),
        KeyValue::Struct(_) => vec![record(value["struct"].as_array().unwrap())],
        KeyValue::Timestamp { count, unit } => {
            let count: ArrayRef = Arc::new(Int64Array::from(vec![count]));
            let strict = CastOptions { safe: false, ..CastOptions::default() };
            let array = cast_with_options(&count, &DataType::Timestamp(unit, None), &strict).unwrap();
            in_types(array, timestamp_types())
        }
    };
    let mut all = plain.clone();
    for array in plain {
        // Behind a dictionary, whose keys take turns so that each type of key is met.
        all.push(dictionary(&array, all.len()));
    }
    let mut sliced = Vec::new();
    for array in &all {
        // In the middle of a longer array, with nulls before it and itself behind it.
        let nulls = new_null_array(array.data_type(), 3);
        let long = concat(&[nulls.as_ref(), array.as_ref(), array.as_ref()]).unwrap();
        sliced.push(long.slice(3, 1));
    }
    all.extend(sliced);
    all
}

/// A count in every unit that holds it.
fn ticks(count: i64, of: impl Fn(TimeUnit) -> DataType, unit: TimeUnit) -> Vec<ArrayRef> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let (units, nanos) = (
        [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond],
        [1_000_000_000i128, 1_000_000, 1_000, 1],
    );
    let all = i128::from(count) * nanos[units.iter().position(|u| *u == unit).unwrap()];
    let in_unit = |(unit, nanos): (TimeUnit, i128)| {
        let count = i64::try_from(all / nanos).ok().filter(|_| all % nanos == 0)?;
        let wide: ArrayRef = Arc::new(Int64Array::from(vec![count]));
        let stored = match of(unit) {
            DataType::Time32(_) => cast_with_options(&wide, &DataType::Int32, &strict).ok()?,
            _ => wide,
        };
        cast_with_options(&stored, &of(unit), &strict).ok()
    };
    units.into_iter().zip(nanos).filter_map(in_unit).collect()
}

/// The items as lists of every kind, if there is one type that has them all.
fn lists(items: &[Value]) -> Vec<ArrayRef> {
    let items = column(items);
    let item = Arc::new(Field::new_list_field(items.data_type().clone(), true));
    let list = ListArray::new(item.clone(), OffsetBuffer::from_lengths([items.len()]), items, None);
    let fixed = DataType::FixedSizeList(item.clone(), i32::try_from(list.values().len()).unwrap());
    let kinds = [
        DataType::LargeList(item.clone()),
        DataType::ListView(item.clone()),
        DataType::LargeListView(item),
        fixed,
    ];
    in_types(Arc::new(list), kinds)
}

fn record(fields: &[Value]) -> ArrayRef {
    let columns: Vec<ArrayRef> = fields.iter().map(|v| column(std::slice::from_ref(v))).collect();
    let named =
        columns.iter().enumerate().map(|(i, c)| Field::new(format!("f{i}"), c.data_type().clone(), true));
    Arc::new(StructArray::try_new_with_length(named.collect(), columns, None, 1).unwrap())
}

/// Some values, of which those that are not null have one type, as a column.
fn column(values: &[Value]) -> ArrayRef {
    let is_null = |v: &Value| v.get("null").is_some();
    let typed =
        values.iter().find(|v| !is_null(v) && v.get("list").is_none_or(|l| *l != serde_json::json!([])));
    let data_type = typed.map_or(DataType::Int64, |v| representations(v)[0].data_type().clone());
    let one = |v: &Value| -> ArrayRef {
        match key_value(v) {
            KeyValue::Null => new_null_array(&data_type, 1),
            KeyValue::List(items) if items.is_empty() => {
                let empty = ListArray::new(
                    match &data_type {
                        DataType::List(item) => item.clone(),
                        other => panic!("an empty list among {other}"),
                    },
                    OffsetBuffer::from_lengths([0]),
                    new_null_array(&DataType::Int64, 0),
                    None,
                );
                Arc::new(empty)
            }
            _ => representations(v)[0].clone(),
        }
    };
    let all: Vec<ArrayRef> = values.iter().map(one).collect();
    match all.is_empty() {
        true => new_null_array(&data_type, 0),
        false => concat(&all.iter().map(AsRef::as_ref).collect::<Vec<&dyn Array>>()).unwrap(),
    }
}

fn decimals(coefficient: i256, scale: i8) -> Vec<ArrayRef> {
    let mut all: Vec<ArrayRef> = Vec::new();
    for more in 0..=3u8 {
        let Some(shifted) = coefficient.checked_mul(i256::from(10).wrapping_pow(u32::from(more))) else {
            continue;
        };
        let scale = scale + i8::try_from(more).unwrap();
        if let Ok(array) = Decimal256Array::from(vec![shifted]).with_precision_and_scale(76, scale)
            && array.validate_decimal_precision(76).is_ok()
        {
            all.push(Arc::new(array));
        }
        let Some(narrow) = shifted.to_i128() else { continue };
        if let Ok(array) = Decimal128Array::from(vec![narrow]).with_precision_and_scale(38, scale)
            && array.validate_decimal_precision(38).is_ok()
        {
            all.push(Arc::new(array));
        }
        if let Ok(value) = i64::try_from(narrow)
            && let Ok(array) = Decimal64Array::from(vec![value]).with_precision_and_scale(18, scale)
            && array.validate_decimal_precision(18).is_ok()
        {
            all.push(Arc::new(array));
        }
        if let Ok(value) = i32::try_from(narrow)
            && let Ok(array) = Decimal32Array::from(vec![value]).with_precision_and_scale(9, scale)
            && array.validate_decimal_precision(9).is_ok()
        {
            all.push(Arc::new(array));
        }
    }
    assert!(!all.is_empty());
    all
}

/// A dictionary whose only row points at the value of `array`; its keys are of the type number `turn`.
fn dictionary(array: &ArrayRef, turn: usize) -> ArrayRef {
    let key = DICTIONARY_KEYS[turn % DICTIONARY_KEYS.len()].clone();
    let int8 = DictionaryArray::new(Int8Array::from(vec![0]), array.clone());
    let to = DataType::Dictionary(Box::new(key), Box::new(array.data_type().clone()));
    // Not every value type can be cast inside a dictionary; the narrow keys serve for the others.
    cast_with_options(&int8, &to, &CastOptions::default()).unwrap_or_else(|_| Arc::new(int8))
}

#[test]
fn the_reference_agrees_with_the_vectors() {
    for v in vectors() {
        let key: Vec<KeyValue> = v.key.iter().map(key_value).collect();
        assert_eq!(reference_hash(v.seed, &key), v.hash, "seed {:x}, key {key:?}", v.seed);
    }
}

#[test]
fn start_states_agree_with_the_vectors() {
    for s in file()["starts"].as_array().unwrap() {
        let (a, b) = lanes::start(hex(s, "seed"));
        assert_eq!((u64::from(a), u64::from(b)), (hex(s, "a"), hex(s, "b")));
    }
}

#[test]
fn every_representation_agrees_with_the_vectors() {
    let mut tried = 0;
    for v in vectors().iter().filter(|v| !v.key.is_empty()) {
        let choices: Vec<Vec<ArrayRef>> = v.key.iter().map(representations).collect();
        for turn in 0..choices.iter().map(Vec::len).max().unwrap() {
            let columns: Vec<ArrayRef> = choices.iter().map(|c| c[turn % c.len()].clone()).collect();
            let types: Vec<_> = columns.iter().map(|c| c.data_type()).collect();
            assert_eq!(hash(v.seed, &columns), [v.hash], "{:?} as {types:?}", v.key);
            let back: Vec<KeyValue> = columns.iter().map(|c| KeyValue::from_array(c, 0).unwrap()).collect();
            assert_eq!(reference_hash(v.seed, &back), v.hash, "{back:?} read from {types:?}");
            tried += 1;
        }
    }
    assert!(tried > 1_500, "only {tried} representations were tried");
}

#[test]
fn different_keys_of_the_file_have_different_hashes() {
    // A sampled value like 1.50 stands for its canonical key; those must never meet by accident.
    let mut seen: Vec<(u64, u64, String)> = Vec::new();
    for v in vectors() {
        let canonical: Vec<Encoded> = v.key.iter().map(|x| encoded(v.seed, &key_value(x))).collect();
        seen.push((v.seed, v.hash, format!("{canonical:?}")));
    }
    seen.sort();
    for pair in seen.windows(2) {
        let ((s, h, x), (t, i, y)) = (&pair[0], &pair[1]);
        assert!((s, h) != (t, i) || x == y, "{x} and {y} share {h:x}");
    }
}

fn encoded(seed: u64, value: &KeyValue) -> Encoded {
    let start = lanes::start(seed);
    let count = |family: u32, count: i64, unit: TimeUnit| match unit {
        TimeUnit::Second => encode::coarse(family, count, 1_000_000),
        TimeUnit::Millisecond => encode::coarse(family, count, 1_000),
        TimeUnit::Microsecond => encode::micros(family, count),
        TimeUnit::Nanosecond => encode::nanos(family, count),
    };
    match value {
        KeyValue::Null => encode::NULL,
        KeyValue::Bool(x) => encode::boolean(*x),
        KeyValue::Signed(x) => encode::signed(*x),
        KeyValue::Unsigned(x) => encode::unsigned(*x),
        KeyValue::Float(x) => encode::float(*x),
        KeyValue::Decimal { coefficient, scale } => encode::decimal_256(start, *coefficient, *scale),
        KeyValue::Text(x) => encode::text(start, x.as_bytes()),
        KeyValue::Bytes(x) => encode::binary(start, x),
        KeyValue::Date(x) => encode::date(*x),
        KeyValue::DateMillis(x) => encode::date_millis(*x),
        KeyValue::Time { count: x, unit } => count(tag::TIME, *x, *unit),
        KeyValue::Timestamp { count: x, unit } => count(tag::TIMESTAMP, *x, *unit),
        KeyValue::Duration { count: x, unit } => count(tag::DURATION, *x, *unit),
        KeyValue::Interval { months, days, nanoseconds } => {
            encode::interval(start, *months, *days, *nanoseconds)
        }
        KeyValue::List(items) => encode::values(tag::LIST, start, items.iter().map(|x| encoded(seed, x))),
        KeyValue::Struct(fields) => {
            encode::values(tag::STRUCT, start, fields.iter().map(|x| encoded(seed, x)))
        }
    }
}

/// The vectors that a hash with this encoding gets wrong.
fn misses(encode: impl Fn(u64, &KeyValue) -> Encoded) -> usize {
    let wrong = |v: &&Vector| {
        let (mut a, mut b) = lanes::start(v.seed);
        for value in &v.key {
            (a, b) = lanes::absorb(a, b, encode(v.seed, &key_value(value)));
        }
        lanes::join(lanes::finish(a, b)) != v.hash
    };
    vectors().iter().filter(wrong).count()
}

/// Canaries: mistakes that an implementation could make, each of which the vectors must show.
#[test]
fn the_vectors_catch_plausible_mistakes() {
    assert_eq!(misses(encoded), 0);
    let raw = |right: Encoded, bits: u64| Encoded { pair: lanes::words(bits), ..right };

    type Mistake<'a> = (&'a str, &'a dyn Fn(&KeyValue, Encoded) -> Encoded);
    let mistakes: [Mistake<'_>; 12] = [
        ("-0.0 kept apart", &|v, right| match v {
            KeyValue::Float(x) if *x == 0.0 => raw(right, x.to_bits()),
            _ => right,
        }),
        ("NaN payloads kept", &|v, right| match v {
            KeyValue::Float(x) if x.is_nan() => raw(right, x.to_bits()),
            _ => right,
        }),
        ("trailing zeros kept", &|v, right| match v {
            KeyValue::Decimal { coefficient, scale } if *coefficient == i256::from(150) => {
                Encoded { header: 6 | u32::try_from(*scale).unwrap() << 8, pair: lanes::words(150) }
            }
            _ => right,
        }),
        ("large unsigned taken for negative", &|v, right| match v {
            KeyValue::Unsigned(x) => encode::signed(x.cast_signed()),
            _ => right,
        }),
        ("nanoseconds rounded towards zero", &|v, right| match v {
            KeyValue::Timestamp { count, unit: TimeUnit::Nanosecond } if *count < 0 => {
                encode::micros(tag::TIMESTAMP, count / 1000)
            }
            _ => right,
        }),
        ("length of text left out", &|v, right| match v {
            KeyValue::Text(_) => Encoded { header: 8, ..right },
            _ => right,
        }),
        ("bytes taken for text", &|v, right| match v {
            KeyValue::Bytes(_) => Encoded { header: right.header - tag::BYTES + tag::TEXT, ..right },
            _ => right,
        }),
        ("days of an interval as hours", &|v, right| match v {
            KeyValue::Interval { months, days, nanoseconds } if *days == 1 => {
                encode::interval(lanes::start(5), *months, 0, nanoseconds + 86_400_000_000_000)
            }
            _ => right,
        }),
        ("items of a list left out", &|v, right| match v {
            KeyValue::List(items) if items.len() > 1 => Encoded { pair: (0, 0), ..right },
            _ => right,
        }),
        ("a struct as a list", &|v, right| match v {
            KeyValue::Struct(_) => Encoded { header: right.header - tag::STRUCT + tag::LIST, ..right },
            _ => right,
        }),
        ("null as zero", &|v, right| match v {
            KeyValue::Null => encode::signed(0),
            _ => right,
        }),
        ("families not tagged", &|_, right| Encoded { header: right.header & !0xff, ..right }),
    ];
    for (name, mistake) in mistakes {
        assert!(misses(|seed, v| mistake(v, encoded(seed, v))) > 0, "no vector catches: {name}");
    }
}

#[test]
fn instants_are_one_key_whatever_their_zone() {
    let naive = TimestampNanosecondArray::from(vec![1_700_000_000_123_456_789]);
    let zoned = naive.clone().with_timezone("America/New_York");
    assert_eq!(hash(1, &[Arc::new(naive)]), hash(1, &[Arc::new(zoned)]));
}
