//! Text from file to rows, through the facade, beside Arrow's readers of the same bytes.
//!
//! The peers decode on one thread and check less: Arrow's JSON reader takes `1.5` for an integer. What they
//! have in common is the file, the columns and the rows that come out.

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::SchemaRef;
use criterion::Criterion;
use sabot::prelude::*;
use sabot_benches::checksum::{self, Row};
use sabot_benches::{Contest, Size, data};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

/// 2001-01-01 in microseconds.
const START_US: i64 = 978_307_200_000_000;

pub(crate) fn benchmarks(criterion: &mut Criterion) {
    let folder = std::env::temp_dir().join(format!("sabot-bench-text-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder can be made");
    let batch = rows();
    let engine = Engine::new().expect("threads can be started");
    for (name, extension) in [("CSV", "csv"), ("NDJSON", "ndjson")] {
        let path = folder.join(format!("rows.{extension}"));
        let stream = Stream::from_batches([batch.clone()]).expect("a batch of known types");
        let job = Job::new("write").write(&stream, file(&path)).expect("a file can be written");
        engine.run(job).expect("a job that ends well");
        let contest = Contest {
            group: "text",
            name: name.to_owned(),
            rows: batch.num_rows() as u64,
            bytes: std::fs::metadata(&path).expect("the file was written").len(),
            expected: checksum::of_batches([(Row::new(), &batch)]),
        };
        let columns = batch.schema();
        let ours = || {
            let rows = Stream::read(file(&path).schema(&columns)).expect("the file that was written");
            rows.collect_on(&engine).expect("rows that can be read")
        };
        let sum = |batches: &Vec<RecordBatch>| checksum::of_batches(batches.iter().map(|b| (Row::new(), b)));
        let theirs = || match extension {
            "csv" => arrow_csv(&path, &columns),
            _ => arrow_json(&path, &columns),
        };
        contest.with_peer(criterion, (ours, sum), "arrow's reader, one thread", (theirs, sum));
    }
    std::fs::remove_dir_all(&folder).expect("the temporary folder can be removed");
}

fn rows() -> RecordBatch {
    let Size { rows, .. } = Size::of_this_run();
    let times = data::ints(3, rows, 0..86_400_000_000).into_iter().map(|time| START_US + time);
    data::batch([
        ("id", Arc::new(Int64Array::from(data::ints(1, rows, -1_000_000..1_000_000))) as ArrayRef),
        ("amount", Arc::new(Float64Array::from(data::floats(2, rows)))),
        ("at", Arc::new(TimestampMicrosecondArray::from_iter_values(times))),
        ("airport", Arc::new(StringArray::from_iter_values(data::texts(4, rows, 300, 3)))),
    ])
}

fn arrow_csv(path: &Path, columns: &SchemaRef) -> Vec<RecordBatch> {
    let file = File::open(path).expect("the file was written");
    let reader = arrow::csv::ReaderBuilder::new(columns.clone()).with_header(true).with_batch_size(16 << 10);
    let reader = reader.build(file).expect("a reader for these columns");
    reader.collect::<Result<_, _>>().expect("rows that can be read")
}

fn arrow_json(path: &Path, columns: &SchemaRef) -> Vec<RecordBatch> {
    let file = BufReader::with_capacity(256 << 10, File::open(path).expect("the file was written"));
    let reader = arrow::json::ReaderBuilder::new(columns.clone()).with_batch_size(16 << 10);
    let reader = reader.build(file).expect("a reader for these columns");
    reader.collect::<Result<_, _>>().expect("rows that can be read")
}
