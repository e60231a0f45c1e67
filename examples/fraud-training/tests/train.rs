//! The program from outside: what it writes is a model, and no label tells it anything too early.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails")]

use fraud_detection::generate::{Settings, Transactions, schema};
use fraud_detection::pipeline::feature_names;
use fraud_detection::score::Model;
use sabot::arrow::array::{AsArray, BooleanArray, RecordBatch};
use sabot::arrow::compute::concat_batches;
use sabot::arrow::datatypes::TimestampMicrosecondType;
use sabot::prelude::*;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

const DAY_MICROS: i64 = 86_400_000_000;
/// Weeks to learn from: the file's 84 days are twelve, and the eighth is checked with.
const WEEKS: &str = "3-6";

fn train(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_train")).args(arguments).output().unwrap()
}

fn succeeds(arguments: &[&str]) -> String {
    let output = train(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn fails(arguments: &[&str]) -> String {
    let output = train(arguments);
    assert!(!output.status.success(), "{arguments:?} should fail");
    String::from_utf8(output.stderr).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn transactions() -> RecordBatch {
    let made = Transactions::new(&Settings::with(40_000, Some(200), Some(300), Some(84)).seed(3)).unwrap();
    concat_batches(&schema(), &made.map(Result::unwrap).collect::<Vec<_>>()).unwrap()
}

fn written(folder: &Path, name: &str, rows: &RecordBatch) -> PathBuf {
    let path = folder.join(name);
    let stream = Stream::from_batches([rows.clone()]).unwrap();
    Job::new("write").write(&stream, file(&path)).unwrap().run().unwrap();
    path
}

/// The rows with the labels turned of those for which it is asked.
fn turned(rows: &RecordBatch, asked: impl Fn(i64) -> bool) -> RecordBatch {
    let at = rows.schema().index_of("is_fraud").unwrap();
    let times = rows.column_by_name("event_time").unwrap().as_primitive::<TimestampMicrosecondType>();
    let labels = rows.column(at).as_boolean();
    let labels: BooleanArray =
        (0..rows.num_rows()).map(|row| Some(labels.value(row) ^ asked(times.value(row)))).collect();
    let mut columns = rows.columns().to_vec();
    columns[at] = Arc::new(labels);
    RecordBatch::try_new(rows.schema(), columns).unwrap()
}

#[test]
fn the_model_is_one_and_the_same_every_time() {
    let folder = tempfile::tempdir().unwrap();
    let input = written(folder.path(), "transactions.parquet", &transactions());
    let train = |name: &str| {
        let model = folder.path().join(name);
        let arguments =
            ["--input", text(&input), "--weeks", WEEKS, "--trees", "12", "--output", text(&model)];
        (succeeds(&arguments), model)
    };
    let ((shown, path), (_, other)) = (train("a.json"), train("b.json"));
    for wanted in
        ["learning from ", " trees, threshold 0.", "area under the ROC curve: 0.", "the model is in "]
    {
        assert!(shown.contains(wanted), "no \"{wanted}\" in: {shown}");
    }
    assert!(std::fs::read(&path).unwrap() == std::fs::read(other).unwrap());
    let threshold = Model::read(&path).unwrap().threshold();
    assert!(threshold > 0.0 && threshold < 1.0, "{threshold}");
    let model = read_model(&path).unwrap();
    assert_eq!(model.features, feature_names());
    assert!((1..=12).contains(&model.trees()), "{}", model.trees());
}

#[test]
fn labels_younger_than_seven_days_are_not_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let rows = transactions();
    let times = rows.column_by_name("event_time").unwrap().as_primitive::<TimestampMicrosecondType>();
    let (first, last) = (times.value(0), times.value(times.len() - 1));
    // It would be checked with the eleventh week; the last labels of that are younger than seven days.
    let model = |name: &str, rows: &RecordBatch| {
        let (input, model) = (written(folder.path(), "rows.parquet", rows), folder.path().join(name));
        let arguments = ["--input", text(&input), "--weeks", "3-9", "--trees", "3", "--output", text(&model)];
        succeeds(&arguments);
        std::fs::read(model).unwrap()
    };
    let plain = model("plain.json", &rows);
    let young = turned(&rows, |time| time > last - 7 * DAY_MICROS);
    assert!(plain == model("young.json", &young));
    // Older ones are.
    let old = turned(&rows, |time| time > first + 60 * DAY_MICROS && time < first + 62 * DAY_MICROS);
    assert!(plain != model("old.json", &old));
}

#[test]
fn what_cannot_be_learned_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let rows = transactions();
    let input = written(folder.path(), "transactions.csv", &rows);
    let errors = fails(&["--input", text(&input), "--weeks", "3-10"]);
    assert!(errors.contains("up to week 10") && errors.contains("the input ends in week 12"), "{errors}");
    for (weeks, wanted) in [("9-3", "weeks count from 1"), ("3", "two numbers of weeks"), ("0-4", "from 1")] {
        let errors = fails(&["--input", text(&input), "--weeks", weeks]);
        assert!(errors.contains(wanted), "{errors}");
    }
    let keep: Vec<usize> = (0..7).collect();
    let unlabelled = written(folder.path(), "unlabelled.csv", &rows.project(&keep).unwrap());
    let errors = fails(&["--input", text(&unlabelled), "--weeks", WEEKS]);
    assert!(errors.contains("there is no column is_fraud"), "{errors}");
    let errors = fails(&["--input", text(&folder.path().join("no.csv")), "--weeks", WEEKS]);
    assert!(errors.contains("no.csv does not exist"), "{errors}");
}
