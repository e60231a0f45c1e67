//! Every type of Arrow through every format: what is written comes back as it was, and what a format has no
//! place for is refused by name before the first row.

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, Field, IntervalUnit, Schema};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sabot_common::Epoch;
use sabot_connect::{ConnectError, InlineSpawner, ReadRequest, Sink, Source, Spawner};
use sabot_expr::Scalar;
use sabot_expr::decimal::precision_and_scale;
use sabot_testkit::array::{Spread, random_array, types};
use std::path::Path;
use std::sync::Arc;

use crate::testing::{batches, drain, joined};
use crate::{FileSink, FileSource};

const ROWS: usize = 300;

/// One column of each type.
fn columns(spread: Spread) -> impl Iterator<Item = RecordBatch> {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    types().into_iter().map(move |data_type| {
        let array = random_array(&mut rng, &data_type, ROWS, 0.2, spread);
        let schema = Arc::new(Schema::new(vec![Field::new("x", data_type, true)]));
        RecordBatch::try_new(schema, vec![array]).unwrap()
    })
}

/// Writes a batch; false where its type is refused, by name, when the sink is opened.
fn write(sink: &FileSink, batch: &RecordBatch) -> bool {
    let data_type = batch.column(0).data_type();
    let mut writer = match sink.open(batch.schema(), 0) {
        Ok(writer) => writer,
        Err(ConnectError::UnsupportedType { column, .. }) => {
            assert_eq!(column, "x");
            return false;
        }
        Err(other) => panic!("{data_type}: {other}"),
    };
    writer.write(&batch.clone().into()).unwrap_or_else(|error| panic!("{data_type}: {error}"));
    let staged = writer.stage(Epoch::FIRST).unwrap();
    sink.commit(Epoch::FIRST, &[staged]).unwrap();
    sink.finish().unwrap();
    true
}

fn read(source: &FileSource) -> RecordBatch {
    let spawner: Arc<dyn Spawner> = Arc::new(InlineSpawner);
    let partition = source.discover().unwrap().remove(0);
    let mut reader = source.open(&partition, None, &ReadRequest::default(), &spawner).unwrap();
    joined(&batches(&drain(&mut *reader).unwrap(), 0))
}

fn assert_same(back: &RecordBatch, batch: &RecordBatch, of_parquet: bool) {
    let data_type = batch.column(0).data_type();
    let wanted = match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(key, word) if **word == DataType::Utf8View && of_parquet => {
            DataType::Dictionary(key.clone(), Box::new(DataType::Utf8))
        }
        DataType::RunEndEncoded(_, value) if of_parquet => value.data_type().clone(),
        other => other.clone(),
    };
    assert_eq!(back.schema().field(0).data_type(), &wanted);
    assert_eq!(back.num_rows(), ROWS);
    for row in 0..ROWS {
        let value = |batch: &RecordBatch| Scalar::from_array(batch.column(0), row).unwrap();
        let written = sabot_expr::cast::cast_scalar(&value(batch), &value(back).data_type()).unwrap();
        assert_eq!(value(back).to_string(), written.to_string(), "{data_type}, row {row}");
    }
}

#[test]
fn every_type_goes_through_parquet() {
    let mut carried = 0;
    for batch in columns(Spread::Wide) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.parquet");
        let data_type = batch.column(0).data_type();
        if write(&FileSink::parquet(&path).unwrap(), &batch) {
            assert_same(&read(&FileSource::parquet(&path).unwrap()), &batch, true);
            carried += 1;
        } else {
            let known = match data_type {
                DataType::Union(..) | DataType::Interval(IntervalUnit::MonthDayNano) => true,
                decimal => precision_and_scale(decimal).is_some_and(|(_, scale)| scale < 0),
            };
            assert!(known, "{data_type}");
        }
    }
    assert!(carried > 55, "{carried}");
}

#[test]
fn every_type_goes_through_arrow_files_and_streams() {
    for batch in columns(Spread::Wide) {
        for name in ["x.arrow", "x.arrows"] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(name);
            assert!(write(&FileSink::arrow(&path).unwrap(), &batch), "{}", batch.column(0).data_type());
            assert_same(&read(&FileSource::arrow(&path).unwrap()), &batch, false);
        }
    }
}

/// Text is written for all that has a place in it. Each row is one line, whatever the values hold.
#[test]
fn every_type_is_written_as_text_or_refused() {
    let lines = |path: &Path| {
        let text = std::fs::read(path).unwrap();
        let mut quoted = false;
        text.iter()
            .filter(|byte| {
                quoted ^= **byte == b'"';
                **byte == b'\n' && !quoted
            })
            .count()
    };
    for batch in columns(Spread::Narrow) {
        let folder = tempfile::tempdir().unwrap();
        let data_type = batch.column(0).data_type().clone();
        let path = folder.path().join("x.csv");
        let written = write(&FileSink::csv(&path, None).unwrap(), &batch);
        let nested = sabot_expr::types::decoded_type(&data_type).is_nested();
        assert_eq!(written, !nested, "{data_type}");
        if written {
            assert_eq!(lines(&path), ROWS + 1, "{data_type}");
        }
        let path = folder.path().join("x.ndjson");
        if write(&FileSink::ndjson(&path, None).unwrap(), &batch) {
            let text = std::fs::read_to_string(&path).unwrap();
            let mut nulls = 0;
            for line in text.lines() {
                let value: serde_json::Value =
                    serde_json::from_str(line).unwrap_or_else(|e| panic!("{data_type}: {line}: {e}"));
                nulls += usize::from(value["x"].is_null());
            }
            assert_eq!(text.lines().count(), ROWS, "{data_type}");
            let logical = batch.column(0).logical_nulls().map_or(0, |nulls| nulls.null_count());
            let is_union = matches!(data_type, DataType::Union(..));
            assert!(nulls == logical || is_union, "{data_type}: {nulls} of {logical} nulls");
        }
    }
}
