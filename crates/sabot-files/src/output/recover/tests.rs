//! Jobs that are killed anywhere and go on: the output is that of a run that nobody disturbed.

use super::super::names::Hidden;
use super::super::tests::{batch, csv_of, listing, read_parquet, visible, write_epoch};
use crate::FileSink;
use sabot_common::Epoch;
use sabot_connect::{Committable, ConnectError, Sink, SinkWriter};
use std::collections::BTreeMap;
use std::fs;
use std::mem;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const TASKS: u32 = 2;
const EPOCHS: u64 = 3;

/// One file and a folder, text and Parquet.
const KINDS: [&str; 5] = ["out.csv", "out.parquet", "out.csv.gz", "csv/", "parquet/"];

/// An output that processes come to one after the other.
pub(super) struct Output {
    pub(super) root: TempDir,
    kind: &'static str,
}

impl Output {
    pub(super) fn new(kind: &'static str) -> Self {
        Self { root: tempfile::tempdir().unwrap(), kind }
    }

    pub(super) fn sink(&self) -> FileSink {
        let path = format!("{}/{}", self.root.path().display(), self.kind);
        match self.kind.contains("parquet") {
            true => FileSink::parquet(path).unwrap(),
            false => FileSink::csv(path, None).unwrap(),
        }
    }

    pub(super) fn is_one_file(&self) -> bool {
        !self.kind.ends_with('/')
    }

    fn folder(&self) -> PathBuf {
        if self.is_one_file() { self.root.path().to_owned() } else { self.root.path().join(self.kind) }
    }

    /// The names of hidden files without what they all begin with, and without the lock.
    pub(super) fn hidden(&self) -> Vec<String> {
        let prefix = if self.is_one_file() { format!(".{}.sabot-", self.kind) } else { ".sabot-".to_owned() };
        let names = listing(&self.folder()).into_iter();
        names
            .filter_map(|name| name.strip_prefix(&prefix).map(str::to_owned))
            .filter(|n| n != "lock")
            .collect()
    }

    pub(super) fn put(&self, hidden: &str, text: &str) {
        fs::write(self.sink().shared.hidden(Hidden::Lock).with_file_name(self.name(hidden)), text).unwrap();
    }

    fn name(&self, hidden: &str) -> String {
        if self.is_one_file() { format!(".{}.sabot-{hidden}", self.kind) } else { format!(".sabot-{hidden}") }
    }

    /// What is visible: text byte by byte, Parquet row by row.
    pub(super) fn content(&self) -> BTreeMap<String, Vec<Vec<String>>> {
        let read = |name: &String| {
            let path = self.folder().join(name);
            match self.kind {
                kind if kind.contains("parquet") => read_parquet(&path),
                kind if kind.ends_with(".gz") => {
                    let mut text = String::new();
                    let mut file = flate2::read::MultiGzDecoder::new(fs::File::open(path).unwrap());
                    std::io::Read::read_to_string(&mut file, &mut text).unwrap();
                    vec![vec![text]]
                }
                _ => vec![vec![fs::read_to_string(path).unwrap()]],
            }
        };
        visible(&self.folder()).into_iter().map(|name| (name.clone(), read(&name))).collect()
    }

    /// A process takes the output, commits what the last checkpoint names and takes over. Everything that may
    /// be repeated is.
    pub(super) fn go_on(&self, generation: u64, named: &[Committable]) -> Process {
        let sink = self.sink();
        sink.resume(batch(0, 0).schema()).unwrap();
        for _ in 0..2 {
            sink.commit(Epoch(EPOCHS), named).unwrap();
        }
        for _ in 0..2 {
            sink.clean(generation).unwrap();
        }
        let writers = (0..TASKS).map(|task| sink.open(batch(0, 0).schema(), task).unwrap()).collect();
        Process { sink, writers }
    }

    /// A process finds that the job has come to its end.
    fn complete(&self, named: &[Committable]) {
        let sink = self.sink();
        sink.resume(batch(0, 0).schema()).unwrap();
        for _ in 0..2 {
            sink.commit(Epoch(EPOCHS), named).unwrap();
        }
        for _ in 0..2 {
            sink.finish().unwrap();
        }
    }
}

pub(super) struct Process {
    pub(super) sink: FileSink,
    pub(super) writers: Vec<Box<dyn SinkWriter>>,
}

impl Process {
    fn write(&mut self, epoch: u64) {
        for (writer, task) in self.writers.iter_mut().zip(0..) {
            writer.write(&rows_of(epoch, task).into()).unwrap();
        }
    }

    pub(super) fn stage(&mut self, epoch: u64) -> Vec<Committable> {
        let tasks = self.writers.iter_mut().zip(0..);
        let first = |task: i64| i64::try_from(epoch).unwrap() * 10 + task * 5;
        tasks.map(|(writer, task)| write_epoch(&mut **writer, epoch, first(task), 5)).collect()
    }

    pub(super) fn commit(&mut self, epoch: u64) {
        let staged = self.stage(epoch);
        for _ in 0..2 {
            self.sink.commit(Epoch(epoch), &staged).unwrap();
        }
    }

    pub(super) fn finish(self) {
        for _ in 0..2 {
            self.sink.finish().unwrap();
        }
    }

    /// Ends like a process that is killed: nothing is removed, and the system gives the lock up.
    pub(super) fn kill(self) {
        self.sink.shared.lock().running.take().unwrap().die();
        mem::forget(self.writers);
        mem::forget(self.sink);
    }
}

fn rows_of(epoch: u64, task: i64) -> arrow::array::RecordBatch {
    batch(i64::try_from(epoch).unwrap() * 10 + task * 5, 5)
}

/// The output of a run that nobody disturbs.
pub(super) fn undisturbed(kind: &'static str) -> BTreeMap<String, Vec<Vec<String>>> {
    let output = Output::new(kind);
    let mut process = output.go_on(1, &[]);
    (1..=EPOCHS).for_each(|epoch| process.commit(epoch));
    process.finish();
    assert_eq!(output.hidden(), [""; 0]);
    output.content()
}

#[test]
fn a_run_with_checkpoints_gives_what_one_without_gives() {
    let text = vec![vec![format!("a,s\n{}", csv_of(10, 30))]];
    assert_eq!(undisturbed("out.csv"), [("out.csv".to_owned(), text)].into());
    for kind in KINDS {
        let output = Output::new(kind);
        let sink = output.sink();
        let writers = (0..TASKS).map(|task| sink.open(batch(0, 0).schema(), task).unwrap()).collect();
        let mut process = Process { sink, writers };
        (1..=EPOCHS).for_each(|epoch| process.commit(epoch));
        process.finish();
        assert_eq!(output.content(), undisturbed(kind), "{kind}");
    }
}

#[derive(Clone, Copy, Debug)]
enum Killed {
    AfterClean,
    Writing,
    Staged,
    Named,
    NamedWithOneGivenUp,
    Committing(usize),
    Committed,
}

#[test]
fn a_job_that_is_killed_before_its_end_goes_on() {
    let all = [
        Killed::AfterClean,
        Killed::Writing,
        Killed::Staged,
        Killed::Named,
        Killed::NamedWithOneGivenUp,
        Killed::Committing(1),
        Killed::Committing(3),
        Killed::Committed,
    ];
    for kind in KINDS {
        let wanted = undisturbed(kind);
        for killed in all {
            let output = Output::new(kind);
            let mut process = output.go_on(1, &[]);
            let (named, redo_from) = match killed {
                Killed::AfterClean => (vec![], 1),
                Killed::Writing => {
                    process.commit(1);
                    process.write(2);
                    (vec![], 2)
                }
                Killed::Staged => {
                    process.commit(1);
                    process.stage(2);
                    (vec![], 2)
                }
                Killed::Named => {
                    process.commit(1);
                    (process.stage(2), 3)
                }
                Killed::NamedWithOneGivenUp => {
                    let given_up = process.stage(1);
                    let named = process.stage(2);
                    process.write(3);
                    // In any order.
                    (named.into_iter().chain(given_up).collect(), 3)
                }
                Killed::Committing(parts) => {
                    let named: Vec<_> = process.stage(1).into_iter().chain(process.stage(2)).collect();
                    process.sink.commit(Epoch(2), &named[..parts]).unwrap();
                    (named, 3)
                }
                Killed::Committed => {
                    process.commit(1);
                    let named = process.stage(2);
                    process.sink.commit(Epoch(2), &named).unwrap();
                    process.stage(3);
                    (named, 3)
                }
            };
            process.kill();
            // The next process dies at once, and the one after it goes on.
            output.go_on(2, &named).kill();
            let mut process = output.go_on(3, &named);
            (redo_from..=EPOCHS).for_each(|epoch| process.commit(epoch));
            process.finish();
            assert_eq!(output.content(), wanted, "{kind} {killed:?}");
            assert_eq!(output.hidden(), [""; 0], "{kind} {killed:?}");
        }
    }
}

/// The steps of making one file, the first so many of them.
fn finish_until(process: &Process, step: usize) {
    let shared = &process.sink.shared;
    let super::Target::File { folder, name } = &shared.target else { panic!("one file") };
    let parts: Vec<PathBuf> = shared.committed_parts().unwrap().into_iter().map(|(_, path)| path).collect();
    assert_eq!(parts.len(), 6);
    let whole = shared.hidden(Hidden::Whole);
    let steps: [&dyn Fn(); 7] = [
        &|| fs::write(&whole, "torn").unwrap(),
        &|| assert_eq!(shared.join(&parts).unwrap(), whole),
        &|| fs::rename(&whole, folder.join(name)).unwrap(),
        &|| shared.mark_finished(folder).unwrap(),
        &|| shared.remove_parts(folder, &parts[1..3]).unwrap(),
        &|| shared.remove_parts(folder, &parts).unwrap(),
        &|| fs::remove_file(shared.hidden(Hidden::Finished)).unwrap(),
    ];
    steps.iter().take(step).for_each(|step| step());
}

#[test]
fn a_job_that_is_killed_at_its_end_is_completed() {
    for kind in KINDS {
        let wanted = undisturbed(kind);
        for step in 0..=if kind.ends_with('/') { 0 } else { 7 } {
            for committed in [true, false] {
                let output = Output::new(kind);
                if output.is_one_file() {
                    fs::write(output.root.path().join(kind), "the old one").unwrap();
                }
                let mut process = output.go_on(1, &[]);
                (1..EPOCHS).for_each(|epoch| process.commit(epoch));
                let named = process.stage(EPOCHS);
                if committed || step > 0 {
                    process.sink.commit(Epoch(EPOCHS), &named).unwrap();
                }
                if step > 0 {
                    finish_until(&process, step);
                }
                process.kill();
                // Several processes, the last of which comes long after the end.
                for _ in 0..3 {
                    output.complete(&named);
                    assert_eq!(output.content(), wanted, "{kind}, step {step}");
                    assert_eq!(output.hidden(), [""; 0], "{kind}, step {step}");
                }
            }
        }
    }
}

#[test]
fn one_part_becomes_the_file_by_one_rename() {
    let output = Output::new("out.csv");
    let sink = output.sink();
    sink.resume(batch(0, 0).schema()).unwrap();
    sink.clean(1).unwrap();
    let mut writer = sink.open(batch(0, 0).schema(), 0).unwrap();
    let named = [write_epoch(&mut *writer, 1, 0, 5)];
    sink.commit(Epoch(1), &named).unwrap();
    let part = sink.shared.hidden(Hidden::Committed { epoch: Epoch(1), task: 0, i: 0 });
    fs::rename(part, output.root.path().join("out.csv")).unwrap();
    Process { sink, writers: vec![writer] }.kill();
    output.complete(&named);
    assert_eq!(output.content()["out.csv"], [[format!("a,s\n{}", csv_of(0, 5))]]);
}

#[test]
fn a_job_without_rows_leaves_a_file_with_its_columns() {
    for kind in ["out.csv", "out.parquet", "csv/"] {
        let output = Output::new(kind);
        let mut process = output.go_on(1, &[]);
        for epoch in 1..=2 {
            let staged: Vec<_> =
                process.writers.iter_mut().map(|writer| writer.stage(Epoch(epoch)).unwrap()).collect();
            let parts = usize::from(output.is_one_file() && epoch == 1);
            assert!(staged.iter().all(|staged| (staged.rows, staged.parts.len()) == (0, parts)), "{kind}");
            process.sink.commit(Epoch(epoch), &staged).unwrap();
        }
        process.kill();
        output.complete(&[]);
        let wanted = match kind {
            "out.csv" => vec![("out.csv".to_owned(), vec![vec!["a,s\n".to_owned()]])],
            "out.parquet" => vec![("out.parquet".to_owned(), vec![])],
            _ => vec![],
        };
        assert_eq!(output.content(), wanted.into_iter().collect(), "{kind}");
    }
}

#[test]
fn clean_removes_what_earlier_generations_have_not_committed() {
    for kind in ["out.csv", "csv/"] {
        let output = Output::new(kind);
        output.go_on(1, &[]).kill();
        let epoch = "epoch-00000000000000000003-0-0";
        let (gone, kept) =
            (["1-0-0", "1-7-12", "0-3", "whole"], ["10-0-0", "2-0-0", "3-1-4", epoch, "notes"]);
        gone.iter().chain(&kept).for_each(|name| output.put(name, "x"));
        let other = output.folder().join(".other.csv.sabot-1-0-0");
        fs::write(&other, "of another output").unwrap();
        let process = output.go_on(2, &[]);
        assert_eq!(output.hidden(), kept, "{kind}");
        assert!(other.exists());
        process.kill();
    }
}

#[test]
fn output_of_later_epochs_is_seen() {
    for kind in KINDS {
        let output = Output::new(kind);
        let mut process = output.go_on(1, &[]);
        let seen = |process: &mut Process, wanted: [bool; 3]| {
            let found = [0, 1, 2].map(|epoch| process.sink.visible_after(Epoch(epoch)).unwrap());
            assert_eq!(found, wanted, "{kind}");
        };
        seen(&mut process, [false; 3]);
        let staged = process.stage(1);
        seen(&mut process, [false; 3]);
        process.sink.commit(Epoch(1), &staged).unwrap();
        seen(&mut process, [true, false, false]);
        process.commit(2);
        seen(&mut process, [true, true, false]);
        process.commit(3);
        seen(&mut process, [true; 3]);
        if output.is_one_file() {
            finish_until(&process, 4);
            seen(&mut process, [true; 3]);
            process.kill();
            output.complete(&[]);
            // Its epochs are in the file. A job that has not begun may replace that, as ever.
            let sink = output.sink();
            sink.resume(batch(0, 0).schema()).unwrap();
            assert!(!sink.visible_after(Epoch(0)).unwrap() && sink.visible_after(Epoch(2)).unwrap());
        }
    }
}

#[test]
fn a_job_that_fails_leaves_what_a_checkpoint_may_name() {
    for kind in KINDS {
        for how in ["abort", "drop"] {
            let output = Output::new(kind);
            let mut process = output.go_on(1, &[]);
            process.commit(1);
            let named = process.stage(2);
            let before = (output.hidden(), output.content());
            let Process { sink, writers } = process;
            if how == "abort" {
                sink.abort().unwrap();
                sink.abort().unwrap();
            }
            drop((writers, sink));
            assert_eq!((output.hidden(), output.content()), before, "{kind} {how}");
            let mut process = output.go_on(2, &named);
            process.commit(3);
            process.finish();
            assert_eq!(output.content(), undisturbed(kind), "{kind} {how}");
        }
    }
}

const CHILD: &str = "SABOT_TEST_KILLED_CHILD_WITH_CHECKPOINTS";

/// Names the parts of an epoch as a checkpoint does and never commits them; the test below starts it as a
/// process and kills that.
#[test]
#[ignore = "runs as the child process of the test that kills it"]
fn child_that_is_killed() {
    let Ok(folder) = std::env::var(CHILD) else { return };
    let sink = FileSink::csv(format!("{folder}/out.csv"), None).unwrap();
    sink.resume(batch(0, 0).schema()).unwrap();
    sink.clean(1).unwrap();
    let writers = (0..TASKS).map(|task| sink.open(batch(0, 0).schema(), task).unwrap()).collect();
    let mut process = Process { sink, writers };
    process.commit(1);
    let named = process.stage(2);
    process.write(3);
    fs::write(format!("{folder}/named"), serde_json::to_string(&named).unwrap()).unwrap();
    fs::rename(format!("{folder}/named"), format!("{folder}/ready")).unwrap();
    loop {
        thread::sleep(Duration::from_secs(1));
    }
}

#[test]
fn a_killed_process_blocks_nobody_and_another_goes_on() {
    let output = Output::new("out.csv");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "output::recover::tests::child_that_is_killed", "--ignored"])
        .env(CHILD, output.root.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let (ready, deadline) = (output.root.path().join("ready"), Instant::now() + Duration::from_secs(60));
    while !ready.exists() {
        assert!(Instant::now() < deadline, "the child never wrote");
        thread::sleep(Duration::from_millis(5));
    }
    let busy = output.sink().resume(batch(0, 0).schema()).unwrap_err();
    assert!(matches!(busy, ConnectError::OutputBusy { .. }), "{busy}");
    child.kill().unwrap();
    child.wait().unwrap();
    let named: Vec<Committable> = serde_json::from_str(&fs::read_to_string(&ready).unwrap()).unwrap();
    fs::remove_file(ready).unwrap();
    assert!(listing(output.root.path()).contains(&".out.csv.sabot-lock".to_owned()));
    let mut process = output.go_on(2, &named);
    process.commit(3);
    process.finish();
    assert_eq!(output.content(), undisturbed("out.csv"));
    assert_eq!(listing(output.root.path()), ["out.csv"]);
}
