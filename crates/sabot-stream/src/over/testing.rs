//! What the tests of both operators share: rows, and tasks whose state moves between them while they run.

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, UInt64Array};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::display::array_value_to_string;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use sabot_batch::key_hash::KeyHasher;
use sabot_batch::{Morsel, hidden};
use sabot_common::{EventTime, KeyGroups, Span};
use sabot_ops::{Distance, Frame, FrameBound, FrameUnits, OverCall, OverSpec, SortKey, reference};
use sabot_plan::{KeyedStage, OverStage, RollingStage};
use std::sync::Arc;

use crate::{KeyedOperator, keyed_operator};

const SEED: u64 = 42;

/// Columns of the rows.
pub(super) const TIME: usize = 2;
pub(super) const LATE: usize = 3;
pub(super) const ROW: usize = 4;

/// How far behind the latest a row can be before it is late.
pub(super) const DELAY: i64 = 20;

pub(super) fn rows_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("k", DataType::Utf8, true),
        Field::new("n", DataType::Int64, true),
        hidden::field(hidden::TIME).unwrap(),
        hidden::field(hidden::LATE).unwrap(),
        hidden::field(hidden::ROW).unwrap(),
    ]))
}

/// Rows of one key with these times and values.
pub(super) fn batch(times: &[i64], values: &[i64]) -> RecordBatch {
    let count = times.len();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec!["x"; count])),
        Arc::new(Int64Array::from(values.to_vec())),
        Arc::new(Int64Array::from(times.to_vec())),
        Arc::new(Int64Array::from(vec![0; count])),
        Arc::new(UInt64Array::from_iter_values(0..count as u64)),
    ];
    RecordBatch::try_new(rows_schema(), columns).unwrap()
}

/// Rows about the latest time so far, some of them so far behind it that they are late.
pub(super) fn random_rows(rng: &mut ChaCha8Rng, count: usize) -> RecordBatch {
    let k: StringArray = (0..count).map(|_| ["a", "b", "c"].get(rng.random_range(0..4)).copied()).collect();
    let n: Int64Array = (0..count).map(|_| rng.random_ratio(5, 6).then(|| rng.random_range(-9..9))).collect();
    let (mut latest, mut times, mut late) = (0i64, Vec::new(), Vec::new());
    for _ in 0..count {
        let time = latest + rng.random_range(-DELAY - 5..8);
        latest = latest.max(time);
        times.push(time);
        late.push((latest - DELAY - time).max(0));
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(k),
        Arc::new(n),
        Arc::new(Int64Array::from(times)),
        Arc::new(Int64Array::from(late)),
        Arc::new(UInt64Array::from_iter_values(0..count as u64)),
    ];
    RecordBatch::try_new(rows_schema(), columns).unwrap()
}

pub(super) fn within(far: i64) -> Frame {
    let start = FrameBound::Preceding(Distance::Span(Span(far)));
    Frame { units: FrameUnits::Range, start, end: FrameBound::CurrentRow }
}

/// A stage by event time whose rows go out with their key, their number, and what these calls add.
pub(super) fn stage(
    partition: Vec<usize>,
    ties: Vec<SortKey>,
    calls: Vec<OverCall>,
    rolling: Option<RollingStage>,
) -> (OverStage, SchemaRef) {
    let spec = OverSpec { partition, order: vec![SortKey::ascending(TIME)], ties, calls };
    let mut fields: Vec<Field> = rows_schema().fields()[..2].iter().map(|f| f.as_ref().clone()).collect();
    fields.extend(spec.result_fields(&rows_schema()).unwrap());
    fields.push(hidden::field(hidden::ROW).unwrap());
    let stage = OverStage { rows: rows_schema(), spec, kept: 2, rolling, hash_seed: SEED };
    (stage, Arc::new(Schema::new(fields)))
}

/// Takes all output, in morsels of at most so many rows.
pub(super) fn drain(task: &mut dyn KeyedOperator, morsel: usize, out: &mut Vec<RecordBatch>) {
    while let Some(next) = task.next_output(morsel) {
        let batch = next.unwrap().into_dense_host().unwrap();
        assert!(batch.num_rows() <= morsel);
        out.push(batch);
    }
}

/// What came out of a run, line by line in order of the lines, and how many rows were late.
pub(super) struct Outcome {
    pub(super) lines: Vec<String>,
    pub(super) late_taken: usize,
    pub(super) late_counted: u64,
}

/// Steps the tasks of a stage through all rows, cut at random. Now and then the state moves to other tasks.
/// `watermark` says how far it is, from the rows that have come.
pub(super) fn run(
    (stage, output): &(OverStage, SchemaRef),
    all: &RecordBatch,
    rng: &mut ChaCha8Rng,
    watermark: impl Fn(&RecordBatch) -> EventTime,
) -> Outcome {
    let by_key = !stage.spec.partition.is_empty();
    let groups = KeyGroups::new(16).unwrap();
    let keyed = KeyedStage::Over(stage.clone());
    let tasks = |count: usize| -> Vec<Box<dyn KeyedOperator>> {
        (0..count)
            .map(|i| keyed_operator(&keyed, output, groups, groups.range_of_task(i, count)).unwrap())
            .collect()
    };
    let mut running = tasks(if by_key { 3 } else { 1 });
    let (mut next, mut out, mut late, mut late_counted) = (0, Vec::new(), Vec::new(), 0);
    let morsel = rng.random_range(1..30);
    while next < all.num_rows() {
        let part = all.slice(next, rng.random_range(1..=all.num_rows() - next));
        next += part.num_rows();
        let mut hashes = Vec::new();
        KeyHasher::new(SEED).hash_batch_columns(&part, &stage.spec.partition, &mut hashes).unwrap();
        let (count, reached) = (running.len(), watermark(&all.slice(0, next)));
        for (i, task) in running.iter_mut().enumerate() {
            let mine = |hash: &u64| !by_key || groups.task_of_group(groups.group_of(*hash), count) == i;
            let mask = hashes.iter().map(|hash| Some(mine(hash))).collect();
            task.on_morsel(0, Morsel::new(filter_record_batch(&part, &mask).unwrap())).unwrap();
            let expected = if stage.rolling.is_some() { reached } else { EventTime::MIN };
            assert_eq!(task.on_watermark(reached).unwrap(), expected);
            drain(task.as_mut(), morsel, &mut out);
            late.extend(task.take_late());
        }
        if by_key && rng.random_ratio(1, 3) {
            let owned = |i| groups.range_of_task(i, count);
            let snapshots: Vec<RecordBatch> =
                running.iter().enumerate().flat_map(|(i, task)| task.snapshot(owned(i)).unwrap()).collect();
            late_counted += running.iter().map(|task| task.late_rows()).sum::<u64>();
            running = tasks(rng.random_range(1..5));
            running.iter_mut().for_each(|task| task.restore(&snapshots).unwrap());
        }
    }
    for task in &mut running {
        assert_eq!(task.on_watermark(EventTime::MAX).unwrap(), EventTime::MAX);
        task.on_end(true).unwrap();
        drain(task.as_mut(), morsel, &mut out);
        late_counted += task.late_rows();
    }
    let late_taken = late.iter().map(Morsel::live_rows).sum();
    Outcome { lines: lines(&concat_batches(output, &out).unwrap()), late_taken, late_counted }
}

/// The lines that the reference has for these rows.
pub(super) fn expected((stage, output): &(OverStage, SchemaRef), rows: &RecordBatch) -> Vec<String> {
    let (sorted, added) = reference::over(&stage.spec, rows).unwrap();
    let columns = sorted.columns()[..2].iter().cloned().chain(added).chain([sorted.column(ROW).clone()]);
    lines(&RecordBatch::try_new(output.clone(), columns.collect()).unwrap())
}

fn lines(batch: &RecordBatch) -> Vec<String> {
    let show = |c: &ArrayRef, row| array_value_to_string(c, row).unwrap();
    let line = |row| batch.columns().iter().map(|c| show(c, row)).collect::<Vec<_>>().join("|");
    let mut lines: Vec<String> = (0..batch.num_rows()).map(line).collect();
    lines.sort();
    lines
}
