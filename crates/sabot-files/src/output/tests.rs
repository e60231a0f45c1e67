//! File sinks: whole at the end, nothing left when there was none.

use crate::{FileSink, FileSource};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use sabot_batch::{Morsel, RowKind, RowKinds};
use sabot_common::Epoch;
use sabot_connect::{
    Committable, ConnectError, InlineSpawner, ReadRequest, Sink, SinkOrder, SinkWriter, Source, Spawner,
    Stores,
};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::testing::{batches, drain, rows};

pub(super) fn batch(from: i64, rows: i64) -> RecordBatch {
    let a: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + rows));
    let s: ArrayRef =
        Arc::new(StringArray::from_iter_values((from..from + rows).map(|i| format!("s{}", i % 3))));
    RecordBatch::try_from_iter([("a", a), ("s", s)]).unwrap()
}

pub(super) fn csv_of(from: i64, rows: i64) -> String {
    (from..from + rows).map(|i| format!("{i},s{}\n", i % 3)).collect()
}

/// Everything in a folder, hidden or not.
pub(super) fn listing(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

pub(super) fn visible(folder: &Path) -> Vec<String> {
    listing(folder).into_iter().filter(|name| !name.starts_with('.')).collect()
}

fn sinks(path: impl Fn(&str) -> PathBuf) -> Vec<Box<dyn Sink>> {
    vec![
        Box::new(FileSink::csv(path("csv"), None).unwrap()),
        Box::new(FileSink::parquet(path("parquet")).unwrap()),
    ]
}

pub(super) fn write_epoch(writer: &mut dyn SinkWriter, epoch: u64, from: i64, rows: i64) -> Committable {
    writer.write(&batch(from, rows).into()).unwrap();
    writer.stage(Epoch(epoch)).unwrap()
}

pub(super) fn read_parquet(path: &Path) -> Vec<Vec<String>> {
    let source = FileSource::parquet(path).unwrap();
    let spawner: Arc<dyn Spawner> = Arc::new(InlineSpawner);
    let partition = source.discover().unwrap().remove(0);
    let mut reader = source.open(&partition, None, &ReadRequest::default(), &spawner).unwrap();
    rows(&batches(&drain(&mut *reader).unwrap(), 0))
}

#[test]
fn one_file_appears_whole_at_the_end_and_not_before() {
    let folder = tempfile::tempdir().unwrap();
    for sink in sinks(|ext| folder.path().join(format!("out.{ext}"))) {
        assert_eq!(sink.order(), SinkOrder::Ordered);
        let mut writer = sink.open(batch(0, 0).schema(), 0).unwrap();
        let staged = write_epoch(&mut *writer, 1, 0, 5);
        assert_eq!((staged.rows, staged.parts.len()), (5, 1));
        writer.close();
        let before = visible(folder.path());
        sink.commit(Epoch(1), std::slice::from_ref(&staged)).unwrap();
        sink.commit(Epoch(1), &[staged]).unwrap();
        assert_eq!(visible(folder.path()), before);
        sink.finish().unwrap();
        sink.finish().unwrap();
        sink.abort().unwrap();
    }
    assert_eq!(listing(folder.path()), ["out.csv", "out.parquet"]);
    assert_eq!(fs::read_to_string(folder.path().join("out.csv")).unwrap(), format!("a,s\n{}", csv_of(0, 5)));
    assert_eq!(read_parquet(&folder.path().join("out.parquet")), rows(&[batch(0, 5)]));
}

#[test]
fn several_epochs_and_tasks_are_joined_in_order() {
    let folder = tempfile::tempdir().unwrap();
    for sink in sinks(|ext| folder.path().join(format!("out.{ext}"))) {
        let mut tasks: Vec<_> = (0..2).map(|task| sink.open(batch(0, 0).schema(), task).unwrap()).collect();
        for epoch in 1..=3u64 {
            let from = (epoch as i64 - 1) * 10;
            let staged: Vec<Committable> = tasks
                .iter_mut()
                .zip([from, from + 5])
                .map(|(task, from)| write_epoch(&mut **task, epoch, from, 5))
                .collect();
            sink.commit(Epoch(epoch), &staged).unwrap();
        }
        // An epoch without rows has no parts.
        let empty = tasks[0].stage(Epoch(4)).unwrap();
        assert!(empty.parts.is_empty());
        sink.commit(Epoch(4), &[empty]).unwrap();
        sink.finish().unwrap();
    }
    assert_eq!(listing(folder.path()), ["out.csv", "out.parquet"]);
    assert_eq!(fs::read_to_string(folder.path().join("out.csv")).unwrap(), format!("a,s\n{}", csv_of(0, 30)));
    let path = folder.path().join("out.parquet");
    assert_eq!(read_parquet(&path), rows(&[batch(0, 30)]));
    // Joined without decoding: the row groups are those of the parts, statistics included.
    let filter = sabot_connect::prune::PruneTest {
        column: 0,
        condition: sabot_connect::prune::Condition::Compare(
            sabot_connect::prune::Comparison::GtEq,
            sabot_connect::prune::Bound::Int(25),
        ),
    };
    let request =
        ReadRequest { filter: Some(sabot_connect::PruneFilter::new(vec![filter])), ..Default::default() };
    let source = FileSource::parquet(&path).unwrap();
    let spawner: Arc<dyn Spawner> = Arc::new(InlineSpawner);
    let mut reader = source.open(&source.discover().unwrap()[0], None, &request, &spawner).unwrap();
    drain(&mut *reader).unwrap();
    assert_eq!((reader.counters().row_groups_pruned, reader.counters().row_groups_read), (5, 1));
}

#[test]
fn a_job_without_rows_leaves_a_file_with_its_columns() {
    let folder = tempfile::tempdir().unwrap();
    for sink in sinks(|ext| folder.path().join(format!("out.{ext}"))) {
        let mut writer = sink.open(batch(0, 0).schema(), 0).unwrap();
        writer.write(&batch(0, 0).into()).unwrap();
        let staged = writer.stage(Epoch(1)).unwrap();
        sink.commit(Epoch(1), &[staged]).unwrap();
        sink.finish().unwrap();
    }
    assert_eq!(fs::read_to_string(folder.path().join("out.csv")).unwrap(), "a,s\n");
    let source = FileSource::parquet(folder.path().join("out.parquet")).unwrap();
    assert_eq!((source.rows(), source.schema().fields().len()), (Some(0), 2));
}

#[test]
fn folders_show_a_file_for_each_epoch_and_task() {
    let folder = tempfile::tempdir().unwrap();
    for sink in sinks(|ext| PathBuf::from(format!("{}/deep/{ext}/", folder.path().display()))) {
        assert_eq!(sink.order(), SinkOrder::Multiset);
        let mut tasks: Vec<_> = (0..2).map(|task| sink.open(batch(0, 0).schema(), task).unwrap()).collect();
        let first: Vec<_> =
            tasks.iter_mut().enumerate().map(|(i, t)| write_epoch(&mut **t, 1, i as i64 * 5, 5)).collect();
        sink.commit(Epoch(1), &first).unwrap();
        sink.commit(Epoch(1), &first).unwrap();
        let _uncommitted = write_epoch(&mut *tasks[1], 2, 20, 5);
        drop(tasks);
        sink.abort().unwrap();
    }
    assert_eq!(listing(&folder.path().join("deep/csv")), ["1-0.csv", "1-1.csv"]);
    let text = fs::read_to_string(folder.path().join("deep/csv/1-1.csv")).unwrap();
    assert_eq!(text, format!("a,s\n{}", csv_of(5, 5)));
    assert_eq!(read_parquet(&folder.path().join("deep/parquet/1-0.parquet")), rows(&[batch(0, 5)]));
    // A second job is not allowed to mix its files with these.
    let again = FileSink::csv(format!("{}/deep/csv/", folder.path().display()), None).unwrap();
    let refused = again.open(batch(0, 0).schema(), 0).err().unwrap().to_string();
    assert!(refused.contains("already holds 1-") && refused.contains("name an empty folder"), "{refused}");
}

#[test]
fn nothing_remains_of_a_job_that_did_not_end_well() {
    for how in ["abort", "drop the sink", "drop before staging"] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("out.csv"), "the old one").unwrap();
        for sink in sinks(|ext| folder.path().join(format!("out.{ext}"))) {
            let mut writer = sink.open(batch(0, 0).schema(), 0).unwrap();
            if how != "drop before staging" {
                let staged = write_epoch(&mut *writer, 1, 0, 5);
                sink.commit(Epoch(1), &[staged]).unwrap();
            }
            writer.write(&batch(5, 5).into()).unwrap();
            match how {
                "abort" => {
                    sink.abort().unwrap();
                    sink.abort().unwrap();
                    drop(writer);
                }
                _ => {
                    drop(writer);
                    drop(sink);
                }
            }
        }
        assert_eq!(listing(folder.path()), ["out.csv"], "{how}");
        assert_eq!(fs::read_to_string(folder.path().join("out.csv")).unwrap(), "the old one");
    }
}

const CHILD: &str = "SABOT_TEST_KILLED_CHILD";

/// Writes and commits without ever finishing; the test below starts it as a process and kills that.
#[test]
#[ignore = "runs as the child process of the test that kills it"]
fn child_that_is_killed() {
    let Ok(folder) = std::env::var(CHILD) else { return };
    let sink = FileSink::csv(format!("{folder}/out.csv"), None).unwrap();
    let mut writer = sink.open(batch(0, 0).schema(), 0).unwrap();
    let staged = write_epoch(&mut *writer, 1, 0, 5);
    sink.commit(Epoch(1), &[staged]).unwrap();
    writer.write(&batch(5, 5).into()).unwrap();
    fs::write(format!("{folder}/ready"), "").unwrap();
    loop {
        thread::sleep(Duration::from_secs(1));
    }
}

#[test]
fn a_killed_process_leaves_no_file_and_the_next_job_clears_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "output::tests::child_that_is_killed", "--ignored"])
        .env(CHILD, folder.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !folder.path().join("ready").exists() {
        assert!(Instant::now() < deadline, "the child never wrote");
        thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(visible(folder.path()), ["ready"]);
    assert!(listing(folder.path()).iter().any(|name| name.starts_with(".out.csv.sabot-0")));
    fs::remove_file(folder.path().join("ready")).unwrap();
    fs::write(folder.path().join(".other.csv.sabot-0-0"), "of another output").unwrap();
    let sink = FileSink::csv(folder.path().join("out.csv"), None).unwrap();
    let mut writer = sink.open(batch(0, 0).schema(), 0).unwrap();
    let staged = write_epoch(&mut *writer, 1, 7, 1);
    sink.commit(Epoch(1), &[staged]).unwrap();
    sink.finish().unwrap();
    assert_eq!(fs::read_to_string(folder.path().join("out.csv")).unwrap(), format!("a,s\n{}", csv_of(7, 1)));
    assert_eq!(listing(folder.path()), [".other.csv.sabot-0-0", "out.csv"]);
}

#[test]
fn an_output_has_one_job_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.csv");
    let (first, second) = (FileSink::csv(&path, None).unwrap(), FileSink::csv(&path, None).unwrap());
    let writer = first.open(batch(0, 0).schema(), 0).unwrap();
    let twice = first.open(batch(0, 0).schema(), 0).err().unwrap().to_string();
    assert!(twice.ends_with("task 0 has a writer already"), "{twice}");
    let busy = second.open(batch(0, 0).schema(), 0).err().unwrap().to_string();
    assert!(busy.ends_with("out.csv is being written by another job"), "{busy}");
    drop(writer);
    first.abort().unwrap();
    drop(second.open(batch(0, 0).schema(), 0).unwrap());
    second.finish().unwrap();
    // The same sink may serve a second run.
    drop(first.open(batch(0, 0).schema(), 0).unwrap());
}

#[test]
fn a_part_that_is_gone_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    for path in ["out.csv", "out/"] {
        let sink = FileSink::csv(format!("{}/{path}", folder.path().display()), None).unwrap();
        let _writer = sink.open(batch(0, 0).schema(), 0).unwrap();
        let gone = Committable { epoch: Epoch(3), task: 0, rows: 1, parts: vec![".lost".to_owned()] };
        let failed = sink.commit(Epoch(3), &[gone]).unwrap_err().to_string();
        assert!(failed.contains(".lost of epoch 3 is gone"), "{failed}");
    }
}

#[test]
fn changes_and_wrong_paths_are_refused_with_what_would_be_right() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| format!("{}/{name}", folder.path().display());
    let sink = FileSink::csv(path("out.csv"), None).unwrap();
    assert!(!sink.accepts_changes());
    let mut writer = sink.open(batch(0, 0).schema(), 0).unwrap();
    let kinds = RowKinds::PerRow([RowKind::Delete].into());
    let delete = Morsel::new(batch(0, 1)).with_kinds(kinds).unwrap();
    assert!(matches!(writer.write(&delete), Err(ConnectError::ChangesRefused { .. })));
    let other = batch(0, 1).project(&[1, 0]).unwrap();
    let refused = writer.write(&other.into()).unwrap_err().to_string();
    assert!(refused.ends_with("column 1: expected \"a\" int64, got \"s\" utf8"), "{refused}");
    let plain = FileSink::csv(path("out"), None).unwrap_err().to_string();
    assert!(plain.contains("out.csv\", or a folder with a trailing slash"), "{plain}");
    fs::create_dir(path("dir.csv")).unwrap();
    let taken = FileSink::parquet(path("dir.csv")).unwrap_err().to_string();
    assert!(taken.contains("it is a folder; for files in it write"), "{taken}");
    let nowhere = FileSink::csv(path("no/such/out.csv"), None).unwrap_err().to_string();
    assert!(nowhere.contains("no/such does not exist; create the folder"), "{nowhere}");
}

/// Three epochs of two tasks, written and joined, read back in every format.
#[test]
fn every_format_comes_back_whole_and_from_folders() {
    let mut registry = sabot_connect::ConnectorRegistry::new();
    let stores: Arc<dyn Stores> = Arc::new(crate::DiskOnly);
    crate::register(&mut registry, &stores);
    let read = |path: &Path| {
        let options = [("path".to_owned(), path.display().to_string())].into();
        let source = registry.source("file", &options).unwrap();
        let spawner: Arc<dyn Spawner> = Arc::new(InlineSpawner);
        let read = |partition| {
            let mut reader = source.open(&partition, None, &ReadRequest::default(), &spawner).unwrap();
            rows(&batches(&drain(&mut *reader).unwrap(), 0))
        };
        source.discover().unwrap().into_iter().flat_map(read).collect::<Vec<_>>()
    };
    let extensions =
        ["csv", "csv.gz", "csv.zst", "ndjson", "jsonl.gz", "ndjson.zst", "arrow", "arrows", "parquet"];
    for extension in extensions {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(format!("out.{extension}"));
        let sink = FileSink::of_path(&path).unwrap();
        let mut tasks: Vec<_> = (0..2).map(|task| sink.open(batch(0, 0).schema(), task).unwrap()).collect();
        for epoch in 1..=3u64 {
            let from = (epoch as i64 - 1) * 10;
            let staged: Vec<Committable> =
                (0..2).map(|t| write_epoch(&mut *tasks[t], epoch, from + t as i64 * 5, 5)).collect();
            sink.commit(Epoch(epoch), &staged).unwrap();
        }
        sink.finish().unwrap();
        assert_eq!(listing(folder.path()).len(), 1, "{extension}");
        assert_eq!(read(&path), rows(&[batch(0, 30)]), "{extension}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = format!("{}/out/", folder.path().display());
    let sink = FileSink::csv(&path, Some(crate::Compression::Zstd)).unwrap();
    let mut writer = sink.open(batch(0, 0).schema(), 3).unwrap();
    let staged = write_epoch(&mut *writer, 1, 0, 5);
    sink.commit(Epoch(1), &[staged]).unwrap();
    let file = PathBuf::from(path).join("1-3.csv.zst");
    assert_eq!(read(&file), rows(&[batch(0, 5)]));
    let again = FileSink::csv(file.parent().unwrap().join(""), Some(crate::Compression::Zstd)).unwrap();
    drop(writer);
    sink.finish().unwrap();
    let refused = again.open(batch(0, 0).schema(), 0).err().unwrap().to_string();
    assert!(refused.contains("already holds 1-3.csv.zst"), "{refused}");
}
