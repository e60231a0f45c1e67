//! NDJSON text: types, values, what is written and read again, Arrow's reader and writer beside it.

use crate::testing::{batches, drain, joined, rows};
use crate::{FileSink, FileSource, NdjsonOptions, TextOptions, parse_columns};
use arrow::array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float32Array, Float64Array,
    Int8Array, Int64Array, LargeStringArray, RecordBatch, StringArray, TimestampMicrosecondArray,
    TimestampNanosecondArray, UInt64Array,
};
use arrow::datatypes::Int32Type;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sabot_common::Epoch;
use sabot_connect::{ConnectError, InlineSpawner, ReadRequest, Sink, Source, Spawner};
use sabot_expr::type_name;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

fn file(text: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.ndjson");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

fn options(columns: &str) -> NdjsonOptions {
    let schema = Some(parse_columns(columns).unwrap());
    NdjsonOptions { text: TextOptions { schema, ..Default::default() } }
}

fn open(path: &Path) -> FileSource {
    FileSource::ndjson(path, NdjsonOptions::default()).unwrap()
}

fn read_with(source: &FileSource, request: &ReadRequest) -> Result<Vec<RecordBatch>, ConnectError> {
    let spawner: Arc<dyn Spawner> = Arc::new(InlineSpawner);
    let mut reader = source.open(&source.discover()?[0], None, request, &spawner)?;
    drain(&mut *reader).map(|items| batches(&items, 0))
}

fn read(source: &FileSource) -> Result<Vec<RecordBatch>, ConnectError> {
    read_with(source, &ReadRequest::default())
}

fn types(source: &FileSource) -> String {
    let field = |f: &Arc<arrow::datatypes::Field>| format!("{} {}", f.name(), type_name(f.data_type()));
    source.schema().fields().iter().map(field).collect::<Vec<_>>().join(", ")
}

#[test]
fn columns_and_types_are_inferred() {
    let (_folder, path) = file(
        "{\"id\":1,\"at\":\"2001-01-01T00:00:00Z\",\"day\":\"2001-01-01\",\"code\":\"007\"}\n\
         \n   \n\
         {\"ratio\":1,\"id\":-2,\"at\":\"2001-01-01 00:15:00Z\",\"ok\":true,\"big\":18446744073709551615}\r\n\
         {\"ratio\":0.5,\"nothing\":null,\"list\":[1, 2],\"mixed\":1,\"odd\":\"NaN\"}\n\
         {\"mixed\":\"x\",\"list\":[],\"ok\":null,\"at\":null,\"odd\":1}\n",
    );
    let source = open(&path);
    assert_eq!(
        types(&source),
        "id int64, at timestamp(us, UTC), day date32, code utf8, ratio float64, ok bool, big utf8, \
         nothing utf8, list list(int64), mixed utf8, odd float64"
    );
    assert_eq!(
        rows(&read(&source).unwrap()),
        [
            [
                "1",
                "2001-01-01T00:00:00Z",
                "2001-01-01",
                "007",
                "null",
                "null",
                "null",
                "null",
                "null",
                "null",
                "null"
            ],
            [
                "-2",
                "2001-01-01T00:15:00Z",
                "null",
                "null",
                "1.0",
                "true",
                "18446744073709551615",
                "null",
                "null",
                "null",
                "null"
            ],
            ["null", "null", "null", "null", "0.5", "null", "null", "null", "[1, 2]", "1", "NaN"],
            ["null", "null", "null", "null", "null", "null", "null", "null", "[]", "x", "1.0"],
        ]
    );
    let (_folder, path) = file("\n[]\n");
    let none = FileSource::ndjson(&path, NdjsonOptions::default()).unwrap_err().to_string();
    assert!(none.contains("no JSON object with a member is in its first lines; give a schema"), "{none}");
}

#[test]
fn members_are_found_in_any_order_and_only_those_that_are_read_are_checked() {
    let (_folder, path) =
        file("{\"b\":2,\"a\":1}\n{\"a\":3,\"c\":{\"b\":[\"}\"]},\"\\u0062\":4}\n{\"a\":\"x\"}\n");
    let source = FileSource::ndjson(&path, options("a int64, b int64")).unwrap();
    let request = ReadRequest { projection: Some(vec![1]), ..Default::default() };
    assert_eq!(rows(&read_with(&source, &request).unwrap()), [["2"], ["4"], ["null"]]);
    let request = ReadRequest { projection: Some(vec![1, 0]), ..Default::default() };
    let failed = read_with(&source, &request).unwrap_err().to_string();
    assert!(
        failed.ends_with("data.ndjson, row 3: column \"a\": expected int64, found \"\"x\"\""),
        "{failed}"
    );
    let request = ReadRequest { projection: Some(vec![]), ..Default::default() };
    assert_eq!(read_with(&source, &request).unwrap()[0].num_rows(), 3);
}

#[test]
fn values_fit_their_type_or_are_malformed() {
    for (data_type, value, wanted) in [
        ("int8", "-128", Some("-128")),
        ("int8", "128", None),
        ("int64", "9223372036854775807", Some("9223372036854775807")),
        ("int64", "1.0", None),
        ("int64", "1e2", None),
        ("int64", "\"1\"", None),
        ("uint64", "18446744073709551615", Some("18446744073709551615")),
        ("uint8", "-1", None),
        ("bool", "true", Some("true")),
        ("bool", "1", None),
        ("float64", "0.1", Some("0.1")),
        ("float64", "1e400", None),
        ("float64", "\"-Infinity\"", Some("-inf")),
        ("float32", "\"x\"", None),
        ("decimal128(5, 2)", "123.45", Some("123.45")),
        ("decimal128(5, 2)", "\"123.450\"", Some("123.45")),
        ("decimal128(5, 2)", "1.234", None),
        ("decimal128(5, 2)", "1e2", Some("100.00")),
        ("decimal128(5, 2)", "1.25E1", Some("12.50")),
        ("decimal128(5, 2)", "1e-3", None),
        ("decimal128(5, 2)", "1e3", None),
        ("utf8", "\"a\\n\\ud83d\\ude00\"", Some("a\n\u{1f600}")),
        ("utf8", "\"\\ud800\"", None),
        ("utf8", "[1, {\"a\":2}]", Some("[1, {\"a\":2}]")),
        ("large_utf8", "1.50", Some("1.50")),
        ("utf8", "\"\"", Some("")),
        ("date32", "\"2001-12-31\"", Some("2001-12-31")),
        ("date32", "11322", None),
        ("timestamp(us)", "\"2001-01-01 00:00:01.5\"", Some("2001-01-01T00:00:01.500")),
        ("timestamp(us)", "\"2001-01-01T00:00:01.0000001\"", None),
        ("timestamp(ms)", "978307200000", Some("2001-01-01T00:00:00")),
        ("timestamp(ms)", "1.5", None),
        ("dictionary(int32, utf8)", "\"x\"", Some("x")),
    ] {
        let (_folder, path) = file(format!("{{\"v\":{value},\"w\":null}}\n"));
        let source =
            FileSource::ndjson(&path, options(&format!("v {data_type} not null, w {data_type}"))).unwrap();
        let got = read(&source).map(|got| rows(&got)).map_err(|error| error.to_string());
        match wanted {
            Some(wanted) => assert_eq!(got.unwrap(), [[wanted, "null"]], "{data_type} {value}"),
            None => {
                let message = got.unwrap_err();
                assert!(
                    message.contains(&format!("column \"v\": expected {data_type}, not empty")),
                    "{message}"
                );
            }
        }
    }
    for (text, wanted) in [
        ("{\"v\":null}\n", "column \"v\": expected int64, not empty, found \"null\""),
        ("{}\n", "column \"v\": expected int64, not empty, found no such member"),
        ("{\"v\":1,\"v\":1}\n", "column \"v\": expected one value, found two"),
        (
            "{\"v\":1\n",
            "row 1: expected a JSON object, found \"{\"v\":1\" (EOF while parsing an object at byte 6)",
        ),
        ("[1]\n", "row 1: expected a JSON object, found \"[1]\" (invalid type: sequence, expected an object"),
    ] {
        let (_folder, path) = file(text);
        let source = FileSource::ndjson(&path, options("v int64 not null")).unwrap();
        let message = read(&source).unwrap_err().to_string();
        assert!(message.contains(wanted), "{message}");
    }
}

fn write(batch: &RecordBatch, path: &Path) {
    let sink = FileSink::ndjson(path, None).unwrap();
    let mut writer = sink.open(batch.schema(), 0).unwrap();
    writer.write(&batch.clone().into()).unwrap();
    let staged = writer.stage(Epoch(1)).unwrap();
    sink.commit(Epoch(1), &[staged]).unwrap();
    sink.finish().unwrap();
}

fn every_type(rows: usize, seed: u64) -> RecordBatch {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let texts = ["", "a", "say \"hi\"", "back\\slash", "two\nlines\t\r", "\u{1}\u{7f}\u{1f600}", "/", "null"];
    let mut nulled = |i: usize| i % 5 != 2 && random.random_bool(0.9);
    let mut keep: Vec<bool> = Vec::new();
    keep.extend((0..rows).map(&mut nulled));
    let mut random = ChaCha8Rng::seed_from_u64(seed + 1);
    let ints: Vec<i64> = (0..rows).map(|_| random.random::<i64>() >> random.random_range(0..63)).collect();
    let floats: Vec<f64> = (0..rows)
        .map(|i| match i % 7 {
            0 => f64::NAN,
            1 => f64::INFINITY,
            2 => f64::NEG_INFINITY,
            3 => -0.0,
            4 => f64::from_bits(random.random()),
            _ => f64::from(random.random_range(-1000i32..1000)) / 8.0,
        })
        .collect();
    let some = |i: usize| keep[i].then_some(());
    let text = |i: usize| some(i).map(|()| texts[i % texts.len()]);
    let int = |i: usize| some(i).map(|()| ints[i]);
    let decimals: Decimal128Array = (0..rows).map(|i| int(i).map(i128::from)).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("flag", Arc::new((0..rows).map(|i| some(i).map(|()| i % 2 == 0)).collect::<BooleanArray>())),
        ("small", Arc::new((0..rows).map(|i| int(i).map(|v| v as i8)).collect::<Int8Array>())),
        ("int \"64\"", Arc::new((0..rows).map(int).collect::<Int64Array>())),
        ("unsigned", Arc::new((0..rows).map(|i| int(i).map(|v| v as u64)).collect::<UInt64Array>())),
        ("single", Arc::new((0..rows).map(|i| some(i).map(|()| floats[i] as f32)).collect::<Float32Array>())),
        ("double", Arc::new((0..rows).map(|i| some(i).map(|()| floats[i])).collect::<Float64Array>())),
        ("money", Arc::new(decimals.with_precision_and_scale(25, 4).unwrap())),
        ("text", Arc::new((0..rows).map(text).collect::<StringArray>())),
        ("large", Arc::new((0..rows).map(text).collect::<LargeStringArray>())),
        ("word", Arc::new((0..rows).map(text).collect::<DictionaryArray<Int32Type>>())),
        ("day", Arc::new((0..rows).map(|i| int(i).map(|v| (v % 100_000) as i32)).collect::<Date32Array>())),
        (
            "at",
            Arc::new(
                (0..rows)
                    .map(|i| int(i).map(|v| v % 10_000_000_000_000_000))
                    .collect::<TimestampMicrosecondArray>()
                    .with_timezone("UTC"),
            ),
        ),
        ("nanos", Arc::new((0..rows).map(|i| int(i).map(|v| v / 2)).collect::<TimestampNanosecondArray>())),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap()
}

#[test]
fn what_is_written_is_read_again_bit_by_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("copy.ndjson");
    for (seed, rows) in [1usize, 31, 32, 33, 65, 1023, 1025].into_iter().enumerate() {
        let batch = every_type(rows + 3, seed as u64).slice(2, rows);
        write(&batch, &path);
        let schema = Some(batch.schema());
        let text = TextOptions { schema, ..Default::default() };
        let source = FileSource::ndjson(&path, NdjsonOptions { text }).unwrap();
        let got = joined(&read(&source).unwrap());
        assert_eq!(
            crate::testing::rows(std::slice::from_ref(&got)),
            crate::testing::rows(std::slice::from_ref(&batch))
        );
        for name in ["single", "double"] {
            let bits = |batch: &RecordBatch| {
                let column = batch.column_by_name(name).unwrap();
                let wide = arrow::compute::cast(column, &arrow::datatypes::DataType::Float64).unwrap();
                let wide = wide.as_any().downcast_ref::<Float64Array>().unwrap();
                wide.iter().map(|v| v.map(|v| if v.is_nan() { 0 } else { v.to_bits() })).collect::<Vec<_>>()
            };
            assert_eq!(bits(&got), bits(&batch), "{name}");
        }
    }
}

/// Against Arrow's writer, where its text can be the same: it has no word for NaN and infinities.
#[test]
fn objects_are_written_as_arrow_writes_them() {
    for seed in 0..20 {
        let batch = every_type(70, seed);
        let keep: Vec<usize> = (0..batch.num_columns()).filter(|i| ![4, 5, 6].contains(i)).collect();
        let batch = batch.project(&keep).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("copy.ndjson");
        write(&batch, &path);
        let mut wanted = Vec::new();
        let mut writer = arrow::json::WriterBuilder::new()
            .with_explicit_nulls(true)
            .build::<_, arrow::json::writer::LineDelimited>(&mut wanted);
        writer.write(&batch).unwrap();
        writer.finish().unwrap();
        let value = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
        let ours = std::fs::read_to_string(&path).unwrap();
        let wanted = String::from_utf8(wanted).unwrap();
        assert_eq!(ours.lines().count(), 70);
        for (ours, wanted) in ours.lines().zip(wanted.lines()) {
            assert_eq!(value(ours), value(wanted), "seed {seed}");
        }
    }
}

#[test]
fn lists_and_structs_are_read_and_written_and_leave_nothing_behind_when_malformed() {
    use arrow::datatypes::{DataType, Field, Fields, Schema};
    let list = DataType::List(Arc::new(Field::new("item", DataType::Int64, true)));
    let inner = Fields::from(vec![
        Field::new("n", DataType::Int64, false),
        Field::new("words", DataType::List(Arc::new(Field::new("item", DataType::Utf8, true))), true),
    ]);
    let schema = Arc::new(Schema::new(vec![
        Field::new("list", list, true),
        Field::new("inner", DataType::Struct(inner), true),
    ]));
    let good = [
        "{\"list\":[1,null,3],\"inner\":{\"n\":1,\"words\":[\"a\",\"b\\n\"]}}",
        "{\"list\":[],\"inner\":null}",
        "{\"list\":null,\"inner\":{\"n\":2,\"words\":null}}",
        "{\"list\":[4],\"inner\":{\"n\":-3,\"words\":[]}}",
    ];
    let bad = [
        "{\"list\":[7,8,\"x\"]}",
        "{\"list\":7}",
        "{\"inner\":{\"words\":[\"stray\"]}}",
        "{\"inner\":{\"n\":7,\"words\":[\"stray\",[]],\"n\":8}}",
        "{\"list\":[9],\"inner\":[]}",
    ];
    // One malformed record behind each good one, and some at the end.
    let text: String = (0..5).map(|i| format!("{}\n{}\n", good.get(i).unwrap_or(&""), bad[i])).collect();
    let (folder, path) = file(text);
    let dead = folder.path().join("dead.ndjson");
    let dead_letters = Some(crate::DeadLetterOptions { path: dead.as_path().into(), max: None });
    let text = TextOptions { schema: Some(schema.clone()), dead_letters, ..Default::default() };
    let source = FileSource::ndjson(&path, NdjsonOptions { text }).unwrap();
    let aside = source.dead_letters().unwrap().unwrap();
    aside.take().unwrap();
    let request = ReadRequest { dead_letters: Some(aside.clone()), ..Default::default() };
    let got = read_with(&source, &request).unwrap();
    aside.commit(Epoch(1), &[]).unwrap();
    aside.finish().unwrap();
    assert_eq!(std::fs::read_to_string(&dead).unwrap().lines().count(), bad.len());
    let copy = folder.path().join("copy.ndjson");
    write(&joined(&got), &copy);
    assert_eq!(std::fs::read_to_string(&copy).unwrap().lines().collect::<Vec<_>>(), good);
}

#[test]
fn objects_and_lists_are_inferred() {
    let lines = [
        "{\"user\":{\"name\":\"Ada\",\"born\":\"1815-12-10\"},\"tags\":[],\"odd\":{\"a\":1},\"empty\":{}}",
        "{\"user\":{\"name\":null,\"home\":{\"lat\":1}},\"tags\":[\"x\",null],\"odd\":[1,  2]}",
        "{\"user\":null,\"tags\":null,\"points\":[{\"x\":1},{\"x\":0.5,\"y\":true}],\"odd\":\"text\"}",
        "{\"user\":{\"home\":{\"lat\":-0.5,\"lon\":2}},\"points\":[null,{}]}",
    ];
    let (folder, path) = file(lines.join("\n"));
    let source = open(&path);
    assert_eq!(
        types(&source),
        "user struct(name: utf8, born: date32, home: struct(lat: float64, lon: int64)), tags list(utf8), \
         odd utf8, empty utf8, points list(struct(x: float64, y: bool))"
    );
    let copy = folder.path().join("copy.ndjson");
    write(&joined(&read(&source).unwrap()), &copy);
    let value = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
    let nothing = serde_json::Value::Null;
    let wanted = serde_json::json!([
        {"user": {"name": "Ada", "born": "1815-12-10", "home": nothing}, "tags": [], "odd": "{\"a\":1}",
            "empty": "{}", "points": nothing},
        {"user": {"name": nothing, "born": nothing, "home": {"lat": 1.0, "lon": nothing}}, "tags": ["x", nothing],
            "odd": "[1,  2]", "empty": nothing, "points": nothing},
        {"user": nothing, "tags": nothing, "odd": "text", "empty": nothing,
            "points": [{"x": 1.0, "y": nothing}, {"x": 0.5, "y": true}]},
        {"user": {"name": nothing, "born": nothing, "home": {"lat": -0.5, "lon": 2}}, "tags": nothing,
            "odd": nothing, "empty": nothing, "points": [nothing, {"x": nothing, "y": nothing}]},
    ]);
    let written = std::fs::read_to_string(&copy).unwrap();
    assert_eq!(written.lines().map(value).collect::<Vec<_>>(), *wanted.as_array().unwrap());
}

/// A member that is an object in the sample and a number behind it is malformed there.
#[test]
fn a_shape_that_comes_late_names_its_column() {
    let (_folder, path) = file("{\"a\":{\"b\":1}}\n{\"a\":{\"b\":2,\"c\":3}}\n{\"a\":4}\n");
    let text = TextOptions { infer_rows: Some(1), ..Default::default() };
    let source = FileSource::ndjson(&path, NdjsonOptions { text }).unwrap();
    assert_eq!(types(&source), "a struct(b: int64)");
    let message = read(&source).unwrap_err().to_string();
    let wanted = "row 3: column \"a\": expected struct(b: int64), found \"4\"";
    assert!(message.ends_with(wanted), "{message}");
}

/// A random value of JSON; levels below make objects and lists rarer.
fn random_json(random: &mut ChaCha8Rng, levels: usize) -> serde_json::Value {
    use serde_json::{Value, json};
    match random.random_range(0..if levels > 0 { 15 } else { 7 }) {
        0 => Value::Null,
        1 => json!(random.random::<bool>()),
        2 => json!(random.random_range(-9..9)),
        3 => json!(random.random::<u64>()),
        4 => json!(random.random::<f64>() * 1e300),
        5 => json!(["x", "NaN", "2001-12-31", "2001-12-31T10:00:00Z", ""][random.random_range(0..5)]),
        6 => json!({}),
        7..11 => (0..random.random_range(0..4)).map(|_| random_json(random, levels - 1)).collect(),
        _ => {
            let member = |random: &mut ChaCha8Rng| {
                let name = ["a", "b", "c\"", ""][random.random_range(0..4)].to_owned();
                (name, random_json(random, levels - 1))
            };
            Value::Object((0..random.random_range(0..4)).map(|_| member(random)).collect())
        }
    }
}

#[test]
fn records_fit_the_columns_that_were_inferred_from_them() {
    let mut nested = 0;
    for seed in 0..300 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let records = random.random_range(1..4);
        let line = |_| format!("{{\"v\":{}}}\n", random_json(&mut random, 3));
        let text: String = (0..records).map(line).collect();
        let (_folder, path) = file(&text);
        let source = open(&path);
        nested += usize::from(source.schema().field(0).data_type().is_nested());
        let got = read(&source).unwrap_or_else(|error| panic!("seed {seed}: {error}\n{text}"));
        assert_eq!(joined(&got).num_rows(), records);
    }
    assert!(nested > 60, "only {nested} of 300 columns were nested");
}
