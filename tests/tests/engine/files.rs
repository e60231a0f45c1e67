//! Files through whole jobs: pruning, located errors, and outputs that appear as one.

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use sabot::{Job, Stream, col, count, csv, parquet as parquet_file};
use sabot_tests::sinks;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::kit::{engine, lines};

const ROWS_PER_GROUP: usize = 100;

/// A Parquet file of ascending numbers in row groups of a hundred.
fn numbers(path: &Path, rows: i64) {
    let n: Int64Array = (0..rows).collect::<Vec<_>>().into();
    let text: StringArray = (0..rows).map(|i| Some(format!("row {i}"))).collect();
    let batch =
        RecordBatch::try_from_iter([("n", Arc::new(n) as ArrayRef), ("text", Arc::new(text))]).unwrap();
    let groups = WriterProperties::builder().set_max_row_group_row_count(Some(ROWS_PER_GROUP)).build();
    let mut writer =
        ArrowWriter::try_new(std::fs::File::create(path).unwrap(), batch.schema(), Some(groups)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// Overwrites the data of the first row group: reading it would fail.
fn spoil_first_row_group(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[4..300].fill(0xff);
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn pruned_row_groups_are_counted_and_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("numbers.parquet");
    numbers(&path, 1_000);
    let run = |path: &Path| {
        let late = Stream::read(parquet_file(path)).unwrap().filter(col("n").gt_eq(730)).unwrap();
        let (sink, rows) = sinks::ordered();
        let metrics = engine().run(Job::new("prune").write(&late, sink).unwrap()).unwrap();
        (metrics, lines(&rows.take()))
    };
    let (metrics, rows) = run(&path);
    assert_eq!((metrics.row_groups_pruned, metrics.row_groups_read), (7, 3));
    assert_eq!((metrics.rows_read, rows.len()), (300, 270));
    let file = metrics.sources[path.to_str().unwrap()];
    assert_eq!((file.rows_read, file.rows_total), (300, Some(1_000)), "of all rows some were not read");
    // Not read: what stands in a pruned row group does not matter at all.
    spoil_first_row_group(&path);
    let (_, again) = run(&path);
    assert_eq!(again, rows);
    let whole = Stream::read(parquet_file(&path)).unwrap().collect_on(&engine());
    assert!(whole.is_err(), "the first row group should be unreadable by now");
}

#[test]
fn a_malformed_csv_row_is_an_error_with_file_row_and_column() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("delays.csv");
    let mut text = "origin,delay\n".to_owned();
    for i in 0..3_000 {
        text += &format!("SFO,{}\n", if i == 2_016 { "soon".to_owned() } else { i.to_string() });
    }
    std::fs::write(&path, text).unwrap();
    let output = folder.path().join("out.csv");
    // Types are inferred from the first rows; what stands behind them must agree.
    let delays =
        Stream::read(csv(&path).option("infer_rows", "1000")).unwrap().filter(col("delay").gt(0)).unwrap();
    let error = engine().run(Job::new("copy").write(&delays, csv(&output)).unwrap()).unwrap_err().to_string();
    for part in ["delays.csv, row 2017", "column \"delay\"", "int64", "soon"] {
        assert!(error.contains(part), "no {part} in: {error}");
    }
    assert!(!output.exists(), "a failed job left its output");
}

#[test]
fn a_file_comes_back_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let (input, copy) = (folder.path().join("in.parquet"), folder.path().join("copy.parquet"));
    numbers(&input, 5_000);
    let stream = Stream::read(parquet_file(&input)).unwrap();
    let wanted = lines(&stream.collect_on(&engine()).unwrap());
    assert_eq!(wanted.len(), 5_000);
    let table = folder.path().join("copy.csv");
    let job =
        Job::new("copy").write(&stream, parquet_file(&copy)).unwrap().write(&stream, csv(&table)).unwrap();
    let metrics = engine().run(job).unwrap();
    assert_eq!((metrics.rows_read, metrics.rows_written), (5_000, 10_000), "one read, two sinks");
    let names = |paths: [&Path; 2]| paths.map(|path| path.to_str().unwrap().to_owned());
    assert_eq!(metrics.sinks, names([&copy, &table]).map(|name| (name, 5_000)).into());
    assert_eq!(metrics.sources.keys().cloned().collect::<Vec<_>>(), names([&input, &input])[..1]);
    let back = Stream::read(parquet_file(&copy)).unwrap().collect_on(&engine()).unwrap();
    assert_eq!(lines(&back), wanted);
    let back = Stream::read(csv(&table)).unwrap().collect_on(&engine()).unwrap();
    assert_eq!(lines(&back), wanted);
}

#[test]
fn a_folder_holds_every_row_once() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.parquet");
    numbers(&input, 2_000);
    let output = format!("{}/out/", folder.path().display());
    let stream = Stream::read(parquet_file(&input)).unwrap();
    engine().run(Job::new("folder").write(&stream, parquet_file(&output)).unwrap()).unwrap();
    let files: Vec<PathBuf> =
        std::fs::read_dir(&output).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!files.is_empty());
    let rows =
        |path: &PathBuf| lines(&Stream::read(parquet_file(path)).unwrap().collect_on(&engine()).unwrap());
    let mut all: Vec<String> = files.iter().flat_map(rows).collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 2_000);
}

/// Until the job ends, a one-file output does not exist.
#[test]
fn a_file_appears_when_the_job_ends() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.csv");
    let schema = crate::kit::events(&[]).schema();
    let (sender, source) = sabot_connect::input_channel("events", 4, schema);
    let stream = Stream::from_channel(source).unwrap().event_time("t", sabot::in_order()).unwrap();
    let handle = engine().start(Job::new("file").write(&stream, csv(&output)).unwrap()).unwrap();
    sender.send_blocking(crate::kit::events(&[(1, "a", 1)])).unwrap();
    handle.barrier();
    crate::kit::wait_for("the barrier", || handle.barriers_at_sinks().len(), |n| *n == 1);
    assert!(!output.exists(), "the file is there before the job has ended");
    drop(sender);
    handle.wait().unwrap();
    let text = std::fs::read_to_string(&output).unwrap();
    assert_eq!(text.lines().count(), 2, "{text}");
    let grouped = Stream::read(csv(&output)).unwrap().group_by(["k"]).unwrap().aggregate([count()]).unwrap();
    assert_eq!(lines(&grouped.collect_on(&engine()).unwrap()), ["'a' 1"]);
}
