//! The encoder held against Arrow's own writer.

use super::*;
use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float32Array, Float64Array,
    Int8Array, Int64Array, LargeStringArray, StringArray, TimestampMicrosecondArray,
    TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray, UInt64Array,
};
use arrow::csv::WriterBuilder;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;

fn ours(batch: &RecordBatch) -> String {
    let mut out = Vec::new();
    append_header(batch.schema_ref(), &mut out);
    append_rows(batch, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn arrows(batch: &RecordBatch) -> String {
    let mut out = Vec::new();
    WriterBuilder::new().with_header(true).build(&mut out).write(batch).unwrap();
    String::from_utf8(out).unwrap()
}

fn same(columns: Vec<(&str, ArrayRef)>) {
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
    assert_eq!(ours(&batch), arrows(&batch));
}

fn nulled<T>(values: Vec<T>) -> impl Iterator<Item = Option<T>> {
    values.into_iter().enumerate().map(|(i, v)| (i % 5 != 2).then_some(v))
}

#[test]
fn numbers_are_written_as_arrow_writes_them() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut ints = vec![0, 1, -1, 9, 10, 99, 100, i64::MAX, i64::MIN];
    let mut floats = vec![0.0, -0.0, 1.0, 15.0, 0.1, 1e15, 1e16, 1e17, 1e-5, 1e-6, 1e-7, 123456.75, f64::MAX];
    floats.extend([f64::MIN_POSITIVE, 5e-324, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.3, 2.0 / 3.0]);
    ints.extend((0..500).map(|_| random.random::<i64>() >> random.random_range(0..63)));
    floats.extend((0..500).map(|_| f64::from_bits(random.random())));
    floats.extend((0..500).map(|_| f64::from(random.random_range(-1000i32..1000)) / 8.0));
    same(vec![("i", Arc::new(nulled(ints.clone()).collect::<Int64Array>()))]);
    let unsigned: Vec<u64> = ints.iter().map(|i| *i as u64).collect();
    same(vec![("u", Arc::new(nulled(unsigned).collect::<UInt64Array>()))]);
    same(vec![(
        "b",
        Arc::new((-128..=127).collect::<Vec<i8>>().into_iter().map(Some).collect::<Int8Array>()),
    )]);
    let singles: Vec<f32> = floats.iter().map(|f| *f as f32).collect();
    same(vec![("f", Arc::new(nulled(singles).collect::<Float32Array>()))]);
    same(vec![("d", Arc::new(nulled(floats).collect::<Float64Array>()))]);
    let decimals = Decimal128Array::from(vec![Some(12_345), None, Some(-7)]).with_precision_and_scale(10, 2);
    let flags = BooleanArray::from(vec![Some(true), None, Some(false)]);
    same(vec![("n", Arc::new(decimals.unwrap())), ("flag", Arc::new(flags))]);
}

#[test]
fn times_are_written_as_arrow_writes_them() {
    let mut random = ChaCha8Rng::seed_from_u64(2);
    // From the year 0 to the year 9999, and a little beyond either end.
    let mut secs: Vec<i64> = vec![0, -1, 1, 86_399, 86_400, -86_400, 951_782_400, 951_868_800];
    secs.extend([-62_167_219_200, -62_167_219_201, 253_402_300_799, 253_402_300_800]);
    secs.extend((0..2_000).map(|_| random.random_range(-62_167_219_300i64..253_402_300_900)));
    let fractions = [0, 1, 10, 1_000, 1_500, 999_999, 500_000, 120_000];
    let micros: Vec<i64> =
        secs.iter().enumerate().map(|(i, s)| s * 1_000_000 + fractions[i % fractions.len()]).collect();
    let millis: Vec<i64> = secs.iter().enumerate().map(|(i, s)| s * 1_000 + (i as i64 % 3) * 7).collect();
    let nanos: Vec<i64> =
        (0..2_000).map(|_| random.random::<i64>()).chain([0, 1, 1_000, 1_000_000]).collect();
    let days: Vec<i32> = secs.iter().map(|s| s.div_euclid(86_400) as i32).collect();
    for zone in [None, Some("UTC"), Some("+00:00"), Some("Europe/Berlin"), Some("+02:00")] {
        let zone: Option<Arc<str>> = zone.map(Into::into);
        let secs = nulled(secs.clone()).collect::<TimestampSecondArray>();
        let millis = nulled(millis.clone()).collect::<TimestampMillisecondArray>();
        let micros = nulled(micros.clone()).collect::<TimestampMicrosecondArray>();
        let nanos = nulled(nanos.clone()).collect::<TimestampNanosecondArray>();
        same(vec![("s", Arc::new(secs.with_timezone_opt(zone.clone())))]);
        same(vec![("ms", Arc::new(millis.with_timezone_opt(zone.clone())))]);
        same(vec![("us", Arc::new(micros.with_timezone_opt(zone.clone())))]);
        same(vec![("ns", Arc::new(nanos.with_timezone_opt(zone)))]);
    }
    same(vec![("day", Arc::new(nulled(days).collect::<Date32Array>()))]);
}

#[test]
fn text_is_quoted_as_arrow_quotes_it() {
    let words = ["", "a", "a,b", "say \"hi\"", "two\nlines", "cr\r", " padded ", "ä\"", "#", "'", "\\", ";"];
    let values: Vec<&str> = words.iter().cycle().take(60).copied().collect();
    let plain: ArrayRef = Arc::new(nulled(values.clone()).collect::<StringArray>());
    let large: ArrayRef = Arc::new(nulled(values.clone()).collect::<LargeStringArray>());
    let keyed: DictionaryArray<arrow::datatypes::Int32Type> = nulled(values).collect();
    let keyed: ArrayRef = Arc::new(keyed);
    same(vec![("s", plain.clone())]);
    same(vec![("a \"b\", c", plain), ("large", large), ("keyed", keyed.clone())]);
    // Slices, and a dictionary with more words than rows.
    same(vec![("s", keyed.slice(7, 20))]);
    same(vec![("s", keyed.slice(3, 2))]);
    assert_eq!(ours(&RecordBatch::try_from_iter([("s", keyed.slice(2, 1))]).unwrap()), "s\n\"\"\n");
}

#[test]
fn times_are_short_where_they_can_be() {
    let times = TimestampMicrosecondArray::from(vec![978_307_200_000_000, 978_307_200_500_000]);
    let batch = RecordBatch::try_from_iter([("t", Arc::new(times) as ArrayRef)]).unwrap();
    assert_eq!(ours(&batch), "t\n2001-01-01T00:00:00\n2001-01-01T00:00:00.500\n");
}
