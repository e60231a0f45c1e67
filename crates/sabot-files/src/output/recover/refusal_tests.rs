//! What outputs of jobs with checkpoints refuse, and what they have to do with other outputs.

use super::super::tests::{batch, csv_of, write_epoch};
use super::tests::{Output, Process, undisturbed};
use crate::disk::Disk;
use crate::{FileSink, Location};
use sabot_common::Epoch;
use sabot_connect::{Committable, ConnectError, Entry, Found, Sink, Store, Stores};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[test]
fn one_sink_serves_several_runs() {
    let output = Output::new("out.csv");
    let Process { sink, mut writers } = output.go_on(1, &[]);
    let named = [write_epoch(&mut *writers[0], 1, 10, 10)];
    writers[1].write(&batch(0, 1).into()).unwrap();
    sink.abort().unwrap();
    let over = sink.open(batch(0, 0).schema(), 0).err().unwrap().to_string();
    assert!(over.ends_with("its job has given it up; resume takes it again"), "{over}");
    sink.resume(batch(0, 0).schema()).unwrap();
    sink.commit(Epoch(1), &named).unwrap();
    sink.clean(2).unwrap();
    // Tasks of the run before may be slower than its end.
    drop(writers);
    let mut writer = sink.open(batch(0, 0).schema(), 0).unwrap();
    let staged = write_epoch(&mut *writer, 2, 20, 20);
    assert_eq!(staged.parts, [".out.csv.sabot-2-0-2"]);
    sink.commit(Epoch(2), &[staged]).unwrap();
    sink.finish().unwrap();
    assert_eq!(output.content(), undisturbed("out.csv"));
    // And one without checkpoints.
    let mut writer = sink.open(batch(0, 0).schema(), 0).unwrap();
    let staged = write_epoch(&mut *writer, 1, 0, 1);
    sink.commit(Epoch(1), &[staged]).unwrap();
    sink.finish().unwrap();
    assert_eq!(output.content()["out.csv"], [[format!("a,s\n{}", csv_of(0, 1))]]);
}

#[test]
fn a_job_without_checkpoints_leaves_the_parts_of_one_with_them() {
    let output = Output::new("out.csv");
    let mut process = output.go_on(1, &[]);
    process.commit(1);
    let named = process.stage(2);
    process.kill();
    let before = output.hidden();
    output.put("0-0", "of a job without checkpoints that was killed");
    let sink = output.sink();
    drop(sink.open(batch(0, 0).schema(), 0).unwrap());
    sink.finish().unwrap();
    assert_eq!(output.content()["out.csv"], [["a,s\n"]]);
    assert_eq!(output.hidden(), before);
    let mut process = output.go_on(2, &named);
    process.commit(3);
    process.finish();
    assert_eq!(output.content(), undisturbed("out.csv"));
}

#[test]
fn parts_that_are_gone_or_there_twice_are_errors_that_name_them() {
    for kind in ["out.csv", "csv/"] {
        let output = Output::new(kind);
        if output.is_one_file() {
            fs::write(output.root.path().join(kind), "the old one").unwrap();
        }
        let mut process = output.go_on(1, &[]);
        let lost = Committable { epoch: Epoch(2), task: 0, rows: 1, parts: vec![".lost".to_owned()] };
        for committed in [false, true] {
            // A file of an earlier job says nothing about a job that runs.
            if committed {
                process.commit(1);
            }
            let gone = process.sink.commit(Epoch(3), std::slice::from_ref(&lost)).unwrap_err().to_string();
            assert!(gone.ends_with(".lost of epoch 2 is gone"), "{gone}");
        }
        let twice = process.stage(1);
        let twice = process.sink.commit(Epoch(1), &twice).unwrap_err();
        assert!(
            matches!(&twice, ConnectError::OutputExists { found, .. } if found.contains("1-0")),
            "{twice}"
        );
        process.kill();
        // Committed parts say that the job has not come to its end.
        let sink = output.sink();
        sink.resume(batch(0, 0).schema()).unwrap();
        let gone = sink.commit(Epoch(3), &[lost]).unwrap_err();
        assert!(matches!(gone, ConnectError::PartMissing { .. }), "{gone}");
    }
}

#[test]
fn calls_out_of_order_are_refused() {
    let output = Output::new("out.csv");
    let schema = batch(0, 0).schema();
    let sink = output.sink();
    let early = sink.clean(1).unwrap_err().to_string();
    assert!(early.ends_with("resume comes before clean"), "{early}");
    let writer = sink.open(schema.clone(), 0).unwrap();
    let mixed = sink.resume(schema.clone()).unwrap_err().to_string();
    assert!(mixed.ends_with("a job without checkpoints writes to it"), "{mixed}");
    drop(writer);
    sink.abort().unwrap();
    sink.resume(schema.clone()).unwrap();
    sink.resume(schema.clone()).unwrap();
    let busy = output.sink().resume(schema.clone()).unwrap_err();
    assert!(matches!(busy, ConnectError::OutputBusy { .. }), "{busy}");
    let mut writer = sink.open(schema.clone(), 0).unwrap();
    let early = writer.write(&batch(0, 1).into()).unwrap_err().to_string();
    assert!(early.contains("rows came before clean"), "{early}");
    output.put("finished", "");
    let ended = sink.clean(1).unwrap_err().to_string();
    assert!(ended.contains("another job has made the file"), "{ended}");
    let nested = arrow::array::new_empty_array(&arrow::datatypes::DataType::new_list(
        arrow::datatypes::DataType::Int64,
        true,
    ));
    let nested = arrow::array::RecordBatch::try_from_iter([("l", nested)]).unwrap();
    let refused = output.sink().resume(nested.schema()).unwrap_err();
    assert!(matches!(refused, ConnectError::UnsupportedType { .. }), "{refused}");
}

#[test]
fn the_standard_output_has_nothing_to_recover() {
    let sink = FileSink::csv("-", None).unwrap();
    assert!(!sink.is_transactional() && Output::new("csv/").sink().is_transactional());
    for generation in 1..=2 {
        sink.resume(batch(0, 0).schema()).unwrap();
        assert!(!sink.visible_after(Epoch(0)).unwrap());
        sink.clean(generation).unwrap();
        let mut writer = sink.open(batch(0, 0).schema(), 0).unwrap();
        let staged = writer.stage(Epoch(1)).unwrap();
        sink.commit(Epoch(1), &[staged]).unwrap();
        sink.abort().unwrap();
    }
    sink.finish().unwrap();
}

/// A store that is not on the disk.
#[derive(Debug)]
struct Far;

impl Stores for Far {
    fn store(&self, _url: &str) -> Result<Arc<dyn Store>, ConnectError> {
        Ok(Arc::new(Far))
    }
}

impl Store for Far {
    fn look(&self, path: &Path) -> Result<Option<Found>, ConnectError> {
        Disk.look(path)
    }
    fn list(&self, folder: &Path) -> Result<Vec<Entry>, ConnectError> {
        Disk.list(folder)
    }
    fn check_output(&self, _kind: &str, _path: &Path) -> Result<(), ConnectError> {
        Ok(())
    }
    fn on_disk(&self, _folder: &Path) -> Option<PathBuf> {
        None
    }
    fn publish(&self, file: &Path, path: &Path) -> Result<(), ConnectError> {
        Disk.publish(file, path)
    }
    fn settle(&self, folder: &Path) -> Result<(), ConnectError> {
        Disk.settle(folder)
    }
}

#[test]
fn outputs_whose_parts_go_with_the_process_are_refused() {
    let sink = FileSink::csv(Location::new("far://bucket/out.csv", Arc::new(Far)), None).unwrap();
    let refused = sink.resume(batch(0, 0).schema()).unwrap_err().to_string();
    let wanted = "far://bucket/out.csv cannot be taken up again after a crash: its parts are staged among the \
                  temporary files of this process; write to a disk, or without checkpoints";
    assert_eq!(refused, wanted);
}
