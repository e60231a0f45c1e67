//! CSV text, well-formed and malformed, from every position.

use super::*;
use crate::testing::{batches, drain, joined, next_item, rows};
use crate::{FileSink, FileSource, TextOptions};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sabot_common::Epoch;
use sabot_connect::{
    ConnectError, InlineSpawner, PartitionReader, Position, ReadRequest, Sink, Source, Spawner, ThreadSpawner,
};
use sabot_expr::type_name;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

struct Text {
    _folder: TempDir,
    path: PathBuf,
}

fn file(text: impl AsRef<[u8]>) -> Text {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.csv");
    fs::write(&path, text).unwrap();
    Text { _folder: folder, path }
}

fn reader(source: &FileSource, from: Option<Position>, request: &ReadRequest) -> Box<dyn PartitionReader> {
    let spawner: Arc<dyn Spawner> = Arc::new(ThreadSpawner);
    source.open(&source.discover().unwrap()[0], from.as_ref(), request, &spawner).unwrap()
}

fn read(source: &FileSource, morsel_rows: usize) -> Result<Vec<RecordBatch>, ConnectError> {
    let request = ReadRequest { morsel_rows, ..Default::default() };
    drain(&mut *reader(source, None, &request)).map(|items| batches(&items, 0))
}

fn types(source: &FileSource) -> Vec<String> {
    source.schema().fields().iter().map(|f| format!("{} {}", f.name(), type_name(f.data_type()))).collect()
}

fn schema(fields: &[(&str, DataType, bool)]) -> SchemaRef {
    Arc::new(Schema::new(
        fields.iter().map(|(n, t, null)| Field::new(*n, t.clone(), *null)).collect::<Vec<_>>(),
    ))
}

fn text_options(text: TextOptions) -> CsvOptions {
    CsvOptions { text, ..Default::default() }
}

fn with(schema: SchemaRef) -> CsvOptions {
    text_options(TextOptions { schema: Some(schema), ..Default::default() })
}

fn with_schema(text: &Text, fields: &[(&str, DataType, bool)]) -> FileSource {
    let options = with(schema(fields));
    FileSource::csv(&text.path, options).unwrap()
}

const MIXED: &str = "id,name,at,ratio,ok\n\
    1,SFO,2001-01-01T00:00:00,0.5,true\n\
    2,\"a \"\"b\"\", c\",2001-01-01 00:15:00,,false\n\
    \n\
    3,\"two\nlines\",,-2,\n";

#[test]
fn types_are_inferred_and_quotes_read() {
    let text = file(MIXED);
    let source = FileSource::csv(&text.path, CsvOptions::default()).unwrap();
    assert_eq!(types(&source), ["id int64", "name utf8", "at timestamp(us)", "ratio float64", "ok bool"]);
    let got = read(&source, 2).unwrap();
    assert_eq!(got.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(
        rows(&got),
        [
            ["1", "SFO", "2001-01-01T00:00:00", "0.5", "true"],
            ["2", "a \"b\", c", "2001-01-01T00:15:00", "null", "false"],
            ["3", "two\nlines", "null", "-2.0", "null"],
        ]
    );
}

#[test]
fn every_position_gives_the_rest_exactly() {
    let crlf = MIXED.replace("\n\n", "\n").replace('\n', "\r\n").replace("two\r\nlines", "two\nlines");
    for text in [MIXED.to_owned(), format!("\u{feff}{MIXED}"), crlf] {
        let text = file(text);
        let source = FileSource::csv(&text.path, CsvOptions::default()).unwrap();
        let all = joined(&read(&source, 10).unwrap());
        assert_eq!(all.num_rows(), 3);
        let request = ReadRequest { morsel_rows: 1, ..Default::default() };
        let mut walk = reader(&source, None, &request);
        let mut positions = vec![Position::START];
        while next_item(&mut *walk).unwrap().is_some() {
            positions.push(walk.position());
        }
        assert_eq!(positions.last().unwrap().row, 3);
        assert_eq!(fs::metadata(&text.path).unwrap().len(), walk.counters().bytes);
        for position in positions {
            let rest = drain(&mut *reader(&source, Some(position), &request)).unwrap();
            let rest = batches(&rest, position.row);
            let from = position.row as usize;
            assert_eq!(rows(&rest), rows(&[all.slice(from, 3 - from)]));
        }
    }
}

#[test]
fn projections_and_dictionaries_are_delivered() {
    let text = file(MIXED);
    let source = FileSource::csv(&text.path, CsvOptions::default()).unwrap();
    let request =
        ReadRequest { projection: Some(vec![1, 0]), strings_as_dictionary: vec![1], ..Default::default() };
    let got = batches(&drain(&mut *reader(&source, None, &request)).unwrap(), 0);
    assert!(matches!(got[0].column(0).data_type(), DataType::Dictionary(..)));
    let words = cast(got[0].column(0), &DataType::Utf8).unwrap();
    assert_eq!(words.as_string::<i32>().value(0), "SFO");
    assert_eq!(got[0].schema().field(1).name(), "id");
    let none = ReadRequest { projection: Some(vec![]), ..Default::default() };
    let got = batches(&drain(&mut *reader(&source, None, &none)).unwrap(), 0);
    assert_eq!((got[0].num_rows(), got[0].num_columns()), (3, 0));
}

#[test]
fn malformed_rows_name_file_row_and_column() {
    let int = [("id", DataType::Int64, true), ("name", DataType::Utf8, true)];
    for (text, wanted) in [
        ("id,name\n1,a\nx,b\n", "row 2: column \"id\": expected int64, found \"x\""),
        ("id,name\n1,a\n2\n", "row 2: column \"name\": expected a row of 2 cells, found a row of 1 cell"),
        ("id,name\n1,a,b\n", "row 1: column \"name\": expected a row of 2 cells, found a row of 3 cells"),
        ("id,name\n9223372036854775808,a\n", "expected int64, found \"9223372036854775808\""),
        ("id,name\n1,a\n2,b\n3,\"c\n4,d\n", "row 3: expected the end of the record before that of the file"),
        ("id,name\n1,\"a\"b\n", "row 1: column \"name\": expected the end of the cell behind its closing"),
    ] {
        let text = file(text);
        let message = read(&with_schema(&text, &int), 1).unwrap_err().to_string();
        assert!(message.contains("data.csv, row") && message.contains(wanted), "{message}");
    }
    let text = file(b"id,name\n1,\xff\xfe\n");
    let failed = read(&with_schema(&text, &int), 1).unwrap_err().to_string();
    assert!(failed.contains("column \"name\": expected UTF-8 text, found"), "{failed}");
    // Rows before the malformed one are delivered first.
    let text = file("id,name\n1,a\nx,b\n");
    let source = with_schema(&text, &int);
    for morsel_rows in [1, 100] {
        let mut reader = reader(&source, None, &ReadRequest { morsel_rows, ..Default::default() });
        assert!(next_item(&mut *reader).unwrap().is_some());
        assert!(matches!(next_item(&mut *reader), Err(ConnectError::Malformed { .. })));
    }
}

#[test]
fn columns_that_are_not_read_are_not_checked() {
    let text = file("id,name\nx,a\n");
    let source = with_schema(&text, &[("id", DataType::Int64, true), ("name", DataType::Utf8, true)]);
    let request = ReadRequest { projection: Some(vec![1]), ..Default::default() };
    assert_eq!(drain(&mut *reader(&source, None, &request)).unwrap().len(), 1);
}

#[test]
fn every_supported_type_is_read_and_nothing_is_rounded() {
    let zoned = DataType::Timestamp(TimeUnit::Second, Some("Europe/Berlin".into()));
    let words = DataType::Dictionary(Box::new(DataType::UInt8), Box::new(DataType::LargeUtf8));
    let decimal = DataType::Decimal128(5, 2);
    for (data_type, cell, wanted) in [
        (DataType::Boolean, "True", Some("true")),
        (DataType::Boolean, "1", None),
        (DataType::Int8, "-128", Some("-128")),
        (DataType::Int8, "128", None),
        (DataType::UInt64, "18446744073709551615", Some("18446744073709551615")),
        (DataType::UInt16, "-1", None),
        (DataType::Int32, "1.0", None),
        (DataType::Float32, "0.1", Some("0.1")),
        (DataType::Float64, "1e300", Some("1e300")),
        (DataType::Float64, "one", None),
        (decimal.clone(), "123.45", Some("123.45")),
        (decimal.clone(), "123.450", Some("123.45")),
        (decimal.clone(), "1.234", None),
        (decimal, "1234.5", None),
        (DataType::LargeUtf8, "x", Some("x")),
        (words, "x", Some("x")),
        (DataType::Date32, "2001-12-31", Some("2001-12-31")),
        (DataType::Date32, "2001-12-31T10:00:00", None),
        (DataType::Timestamp(TimeUnit::Second, None), "2001-01-01T00:00:01", Some("2001-01-01T00:00:01")),
        (DataType::Timestamp(TimeUnit::Second, None), "2001-01-01T00:00:01.5", None),
        (
            DataType::Timestamp(TimeUnit::Millisecond, None),
            "2001-01-01T00:00:01.5",
            Some("2001-01-01T00:00:01.500"),
        ),
        (DataType::Timestamp(TimeUnit::Nanosecond, None), "2600-01-01T00:00:00", None),
        // Times without a zone are in the column's, or in UTC; an offset is honoured.
        (
            DataType::Timestamp(TimeUnit::Microsecond, None),
            "2001-01-01T02:00:00+02:00",
            Some("2001-01-01T00:00:00"),
        ),
        (zoned.clone(), "2001-01-01T00:00:00", Some("2001-01-01T00:00:00+01:00")),
        (zoned, "2001-01-01T00:00:00Z", Some("2001-01-01T01:00:00+01:00")),
    ] {
        let text = file(format!("v,w\n{cell},\n"));
        let source = with_schema(&text, &[("v", data_type.clone(), false), ("w", data_type.clone(), true)]);
        let got = read(&source, 10).map(|got| rows(&got)).map_err(|e| e.to_string());
        match wanted {
            Some(wanted) => assert_eq!(got.unwrap(), [[wanted, "null"]], "{data_type} {cell}"),
            None => {
                let message = got.unwrap_err();
                let expected = format!("column \"v\": expected {}, not empty", type_name(&data_type));
                assert!(message.contains(&expected), "{message}");
            }
        }
    }
}

#[test]
fn empty_cells_need_a_column_that_may_be_null() {
    let text = file("v\n\"\"\n");
    let failed = read(&with_schema(&text, &[("v", DataType::Int64, false)]), 1).unwrap_err().to_string();
    assert!(failed.ends_with("row 1: column \"v\": expected int64, not empty, found \"\""), "{failed}");
    let got = read(&with_schema(&text, &[("v", DataType::Utf8, false)]), 1).unwrap();
    assert_eq!((got[0].column(0).null_count(), rows(&got)), (0, vec![vec![String::new()]]));
    let got = read(&with_schema(&text, &[("v", DataType::Utf8, true)]), 1).unwrap();
    assert_eq!(got[0].column(0).null_count(), 1);
}

#[test]
fn headers_must_agree_with_the_schema_and_with_each_other() {
    let text = file("id,nome\n1,a\n");
    let wanted = schema(&[("id", DataType::Int64, true), ("name", DataType::Utf8, true)]);
    let options = with(wanted);
    let refused = FileSource::csv(&text.path, options).unwrap_err().to_string();
    assert!(refused.ends_with("column 2: expected \"name\", the header says \"nome\""), "{refused}");
    let twice = FileSource::csv(&file("a,a\n1,2\n").path, CsvOptions::default()).unwrap_err().to_string();
    assert!(twice.ends_with("two columns are named \"a\""), "{twice}");
    let empty = FileSource::csv(&file("").path, CsvOptions::default()).unwrap_err().to_string();
    assert!(empty.contains("it is empty; give a schema, or a file with a header"), "{empty}");
    let blob = schema(&[("b", DataType::Binary, true)]);
    let options = with(blob);
    let refused = FileSource::csv(&file("b\n").path, options).unwrap_err().to_string();
    assert!(refused.contains("column \"b\" has type ") && refused.contains("supported: bool"), "{refused}");
}

#[test]
fn without_a_header_columns_are_numbered() {
    let text = file("1;x\n2;y\n");
    let options = CsvOptions { header: false, delimiter: b';', ..Default::default() };
    let source = FileSource::csv(&text.path, options).unwrap();
    assert_eq!(types(&source), ["column_1 int64", "column_2 utf8"]);
    assert_eq!(rows(&read(&source, 1).unwrap()), [["1", "x"], ["2", "y"]]);
}

#[test]
fn types_come_from_the_first_rows_alone() {
    let text = file("v\n1\n2\nx\n");
    let options = text_options(TextOptions { infer_rows: Some(2), ..Default::default() });
    let source = FileSource::csv(&text.path, options).unwrap();
    assert_eq!(types(&source), ["v int64"]);
    let failed = read(&source, 10).unwrap_err().to_string();
    assert!(failed.contains("row 3: column \"v\": expected int64, found \"x\""), "{failed}");
}

#[test]
fn what_the_sink_writes_the_source_reads() {
    let text = file(MIXED);
    let source = FileSource::csv(&text.path, CsvOptions::default()).unwrap();
    let wanted = joined(&read(&source, 10).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("copy.csv");
    let sink = FileSink::csv(&path, None).unwrap();
    let mut writer = sink.open(wanted.schema(), 0).unwrap();
    writer.write(&wanted.clone().into()).unwrap();
    let staged = writer.stage(Epoch(1)).unwrap();
    sink.commit(Epoch(1), &[staged]).unwrap();
    sink.finish().unwrap();
    assert_eq!(joined(&read(&FileSource::csv(&path, CsvOptions::default()).unwrap(), 2).unwrap()), wanted);
    // A null in a file of one column must not become an empty line, which is no row.
    let column: ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![Some(1), None, Some(3)]));
    let lonely = RecordBatch::try_from_iter_with_nullable([("v", column, true)]).unwrap();
    let mut writer = sink.open(lonely.schema(), 0).unwrap();
    writer.write(&lonely.clone().into()).unwrap();
    let staged = writer.stage(Epoch(1)).unwrap();
    sink.commit(Epoch(1), &[staged]).unwrap();
    sink.finish().unwrap();
    assert_eq!(joined(&read(&FileSource::csv(&path, CsvOptions::default()).unwrap(), 2).unwrap()), lonely);
}

#[test]
fn positions_and_partitions_that_do_not_exist_are_refused() {
    let text = file(MIXED);
    let source = FileSource::csv(&text.path, CsvOptions::default()).unwrap();
    let spawner: Arc<dyn Spawner> = Arc::new(InlineSpawner);
    let past = Position { row: 9, offset: 1 << 20 };
    let id = source.discover().unwrap().remove(0);
    let refused = source.open(&id, Some(&past), &ReadRequest::default(), &spawner).err().unwrap();
    assert!(refused.to_string().contains("the file ends before byte 1048576"));
    let refused = source.open(&"other".into(), None, &ReadRequest::default(), &spawner).err().unwrap();
    assert!(matches!(refused, ConnectError::UnknownPartition { .. }));
}

/// Random text of the bytes that matter to a parser: it is read or refused, and from every position the
/// rest is what it was.
#[test]
fn random_text_is_the_same_from_every_position() {
    let fields = [("a", DataType::Utf8, true), ("b", DataType::Utf8, true)];
    let (mut read_whole, mut refused) = (0, 0);
    for seed in 0..400 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let alphabet = ["x", "1", ",", ",", "\"", "\"\"", "\n", "\n", "\r\n", "\r", " ", "é"];
        let mut text = "a,b\n".to_owned();
        for _ in 0..random.random_range(0..8) {
            // Mostly rows of two cells, so that most texts are read to the end.
            match random.random_bool(0.9) {
                true => text.push_str(
                    ["p,q\n", "\"a,\n\",\r\n", ",\n", "\"\"\"\",z\r\n\n"][random.random_range(0..4)],
                ),
                false => text.push_str(alphabet[random.random_range(0..alphabet.len())]),
            }
        }
        let text = file(&text);
        let source = with_schema(&text, &fields);
        let Ok(whole) = read(&source, 100) else {
            refused += 1;
            continue;
        };
        read_whole += 1;
        let all = rows(&whole);
        let request = ReadRequest { morsel_rows: 1, ..Default::default() };
        let mut walk = reader(&source, None, &request);
        loop {
            let position = walk.position();
            let rest = drain(&mut *reader(&source, Some(position), &request)).unwrap();
            assert_eq!(rows(&batches(&rest, position.row)), all[position.row as usize..], "seed {seed}");
            if next_item(&mut *walk).unwrap().is_none() {
                break;
            }
        }
    }
    assert!(read_whole > 100 && refused > 20, "{read_whole} read, {refused} refused");
}

#[test]
fn columns_that_no_cell_can_hold_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let sink = FileSink::csv(folder.path().join("x.csv"), None).unwrap();
    let list = schema(&[("a", DataType::Int8, true), ("l", DataType::new_list(DataType::Int8, true), true)]);
    let refused = sink.open(list.clone(), 0).err().unwrap().to_string();
    assert!(
        refused.contains("column \"l\" has type ") && refused.contains("every type but lists"),
        "{refused}"
    );
    let text = file("a,l\n");
    let refused = FileSource::csv(&text.path, with(list)).unwrap_err().to_string();
    assert!(refused.contains("column \"l\" has type ") && refused.contains("in JSON also list"), "{refused}");
}
