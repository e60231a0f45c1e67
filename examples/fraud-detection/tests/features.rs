//! Features and rules against what DuckDB says, scores against what XGBoost says, row for row, and what must not change
//! them.
//!
//! `golden/recompute.py` made the files. Its sample has times of full half hours, so that many transactions of a card
//! fall on one time and many lie exactly one window apart.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

use fraud_detection::input::{self, Input};
use fraud_detection::pipeline::{RULES, feature_names, features, judged};
use fraud_detection::score::{Model, scored};
use sabot::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array};
use sabot::arrow::compute::{concat_batches, take_record_batch};
use sabot::arrow::datatypes::{DataType, Float64Type, TimestampMicrosecondType};
use sabot::prelude::*;
use std::path::Path;
use std::sync::Arc;

const HOUR_MICROS: i64 = 3_600_000_000;
/// How far sums and averages may be off, relatively.
const APART_MAX: f64 = 1e-9;
/// The same of scores, which XGBoost computes in float32.
const SCORES_APART_MAX: f64 = 4e-7;

fn golden(name: &str) -> RecordBatch {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name);
    let stream = Stream::read(parquet(path)).unwrap();
    concat_batches(stream.schema(), &stream.collect().unwrap()).unwrap()
}

fn input_of(rows: &RecordBatch, delay: sabot::Span) -> Input {
    input::from_stream(Stream::from_batches([rows.clone()]).unwrap(), delay).unwrap()
}

/// Which transaction it is, its features, the rules that it breaks, and its score.
fn computed(input: &Input, engine: &Engine) -> RecordBatch {
    let model = Model::shipped().unwrap();
    let judged = judged(scored(features(input).unwrap().rows, &model).unwrap(), 0.5).unwrap();
    let names = ["transaction_id", "event_time"].map(str::to_owned).into_iter();
    let names = names.chain(feature_names()).chain(RULES.map(str::to_owned)).chain(["score".to_owned()]);
    let stream = judged.select(names.map(sabot::col).collect::<Vec<_>>()).unwrap();
    concat_batches(stream.schema(), &stream.collect_on(engine).unwrap()).unwrap()
}

fn assert_near(name: &str, got: &ArrayRef, wanted: &ArrayRef) {
    assert_eq!(got.data_type(), wanted.data_type(), "{name}");
    assert_eq!(got.nulls().map(|n| n.inner()), wanted.nulls().map(|n| n.inner()), "{name}: nulls");
    let may_round = ["sum", "avg", "risk", "previous_km", "score"].iter().any(|part| name.contains(part));
    let apart_max = if name == "score" { SCORES_APART_MAX } else { APART_MAX };
    if got.data_type() != &DataType::Float64 || !may_round {
        assert_eq!(got, wanted, "{name}");
        return;
    }
    let (got, wanted) = (got.as_primitive::<Float64Type>(), wanted.as_primitive::<Float64Type>());
    for row in (0..got.len()).filter(|row| got.is_valid(*row)) {
        let (got, wanted) = (got.value(row), wanted.value(row));
        assert!((got - wanted).abs() <= wanted.abs() * apart_max, "{name}, row {row}: {got}, not {wanted}");
    }
}

#[test]
fn features_rules_and_scores_are_those_of_other_programs() {
    let (sample, wanted) = (golden("sample.parquet"), golden("sample-features.parquet"));
    let mut first: Option<RecordBatch> = None;
    for (workers, morsel_rows) in [(1, 65_536), (2, 1), (2, 100), (4, 1_000)] {
        let engine = Engine::builder().workers(workers).morsel_rows(morsel_rows).build().unwrap();
        let got = computed(&input_of(&sample, hours(0)), &engine);
        assert_eq!(got.num_rows(), 6_000);
        let names = |rows: &RecordBatch| -> Vec<String> {
            rows.schema().fields().iter().map(|field| field.name().clone()).collect()
        };
        assert_eq!(names(&got), names(&wanted));
        for (name, (got, wanted)) in names(&got).iter().zip(got.columns().iter().zip(wanted.columns())) {
            assert_near(name, got, wanted);
        }
        assert!(
            got == *first.get_or_insert_with(|| got.clone()),
            "{workers} workers, morsels of {morsel_rows}"
        );
    }
    // The sample has what it is for.
    let of = |name: &str| wanted.column_by_name(name).unwrap().clone();
    for rule in RULES {
        assert!(of(rule).as_boolean().true_count() > 0, "{rule}");
    }
    assert!(
        of("previous_seconds").as_primitive::<Float64Type>().values().iter().filter(|s| **s == 0.0).count()
            > 300
    );
    assert!(of("terminal_risk_30d").as_primitive::<Float64Type>().values().iter().any(|risk| *risk > 0.1));
    assert!(golden("sample.parquet").column_by_name("is_fraud").unwrap().null_count() > 50);
    let mut scores = of("score").as_primitive::<Float64Type>().values().to_vec();
    scores.sort_unstable_by(f64::total_cmp);
    assert!(scores[0] < 0.01 && scores[scores.len() - 1] > 0.9);
    scores.dedup();
    assert!(scores.len() > 1_000, "{} different scores", scores.len());
}

/// Rows in an order in which each is less than an hour behind an earlier one, those of one time backwards.
fn shaken(rows: &RecordBatch) -> RecordBatch {
    let times = rows.column_by_name("event_time").unwrap().as_primitive::<TimestampMicrosecondType>();
    let mut order: Vec<u32> = (0..rows.num_rows() as u32).collect();
    let hour = |row: u32| times.value(row as usize).div_euclid(HOUR_MICROS);
    order.sort_by_key(|row| (hour(*row), std::cmp::Reverse(*row)));
    take_record_batch(rows, &UInt32Array::from(order)).unwrap()
}

#[test]
fn the_order_in_which_rows_come_changes_nothing_within_the_allowed_delay() {
    let sample = golden("sample.parquet");
    let engine = Engine::builder().workers(2).morsel_rows(64).build().unwrap();
    let wanted = computed(&input_of(&sample, hours(0)), &engine);
    let disordered = shaken(&sample);
    assert_ne!(disordered, sample);
    let got = computed(&input_of(&disordered, hours(1)), &engine);
    // Rows of one time leave in the order of their ids too.
    assert_eq!(got, wanted);
}

/// The sample with the label of one row turned.
fn turned(sample: &RecordBatch, row: usize) -> RecordBatch {
    let at = sample.schema().index_of("is_fraud").unwrap();
    let labels: BooleanArray = (0..sample.num_rows())
        .map(|i| {
            let labels = sample.column(at).as_boolean();
            labels.is_valid(i).then(|| labels.value(i) ^ (i == row))
        })
        .collect();
    let mut columns = sample.columns().to_vec();
    columns[at] = Arc::new(labels);
    RecordBatch::try_new(sample.schema(), columns).unwrap()
}

#[test]
fn a_label_is_seen_by_nobody_for_seven_days() {
    let sample = golden("sample.parquet");
    let engine = Engine::builder().workers(2).build().unwrap();
    let before = computed(&input_of(&sample, hours(0)), &engine);
    let times = before.column(1).as_primitive::<TimestampMicrosecondType>().values().clone();
    // Row 2,002 is of the 20th day, and has a label.
    for row in [2_002, 4] {
        let after = computed(&input_of(&turned(&sample, row), hours(0)), &engine);
        let known_at = times[row] + 7 * 24 * HOUR_MICROS;
        let first_known = times.partition_point(|time| *time < known_at);
        assert_eq!(before.slice(0, first_known), after.slice(0, first_known), "row {row}");
        assert_ne!(before.slice(first_known, 1_000), after.slice(first_known, 1_000), "row {row}");
    }
}
