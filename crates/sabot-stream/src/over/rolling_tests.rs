//! A stepped operator held against the reference, with late rows and state that moves between tasks.

use super::*;
use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray, UInt64Array};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sabot_batch::key_hash::KeyHasher;
use sabot_common::Span;
use sabot_ops::{
    AggregateFunction, AggregateSpec, Distance, Frame, FrameBound, FrameUnits, OverCall, OverFunction,
    OverSpec, SortKey, reference,
};
use sabot_plan::{Emit, RollingStage};
use std::sync::Arc;

const SEED: u64 = 42;

fn rows_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("k", DataType::Utf8, true),
        Field::new("n", DataType::Int64, true),
        hidden::field(hidden::TIME).unwrap(),
        hidden::field(hidden::LATE).unwrap(),
        hidden::field(hidden::ROW).unwrap(),
    ]))
}

/// Rows within 20 of the largest time so far, some further back: these are late.
fn rows(rng: &mut ChaCha8Rng, count: usize) -> RecordBatch {
    let k: StringArray = (0..count).map(|_| ["a", "b", "c"].get(rng.random_range(0..4)).copied()).collect();
    let n: Int64Array = (0..count).map(|_| rng.random_ratio(5, 6).then(|| rng.random_range(-9..9))).collect();
    let (mut largest, mut times, mut late) = (0i64, Vec::new(), Vec::new());
    for _ in 0..count {
        let time = largest + rng.random_range(-25..8);
        largest = largest.max(time);
        times.push(time);
        late.push((largest - 20 - time).max(0));
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

fn stage(partition: Vec<usize>, emit: Emit) -> (OverStage, SchemaRef) {
    let within = |far: i64| Frame {
        units: FrameUnits::Range,
        start: FrameBound::Preceding(Distance::Span(Span(far))),
        end: FrameBound::CurrentRow,
    };
    let sum = AggregateSpec::new(AggregateFunction::Sum, [(1, DataType::Int64)], "sum");
    let distinct = AggregateSpec::new(AggregateFunction::CountDistinct, [(1, DataType::Int64)], "distinct");
    let calls = vec![
        OverCall { function: OverFunction::Lag(1, 1), frame: within(0), name: "before".to_owned() },
        OverCall { function: OverFunction::Aggregate(sum), frame: within(9), name: "sum".to_owned() },
        OverCall {
            function: OverFunction::Aggregate(distinct),
            frame: within(30),
            name: "distinct".to_owned(),
        },
    ];
    let ties = vec![SortKey { column: 1, descending: true, nulls_first: false }];
    let spec = OverSpec { partition, order: vec![SortKey::ascending(2)], ties, calls };
    let mut fields: Vec<Field> = rows_schema().fields()[..2].iter().map(|f| f.as_ref().clone()).collect();
    fields.extend(spec.result_fields(&rows_schema()).unwrap());
    fields.push(hidden::field(hidden::ROW).unwrap());
    let late = Some(Arc::new(Schema::new(vec![hidden::field(hidden::ROW).unwrap()])));
    let rolling = Some(RollingStage { emit, late, late_columns: vec![4] });
    let stage = OverStage { rows: rows_schema(), spec, kept: 2, rolling, hash_seed: SEED };
    (stage, Arc::new(Schema::new(fields)))
}

fn lines(batch: &RecordBatch) -> Vec<String> {
    let show = |c: &ArrayRef, row| array_value_to_string(c, row).unwrap();
    let line = |row| batch.columns().iter().map(|c| show(c, row)).collect::<Vec<_>>().join("|");
    let mut lines: Vec<String> = (0..batch.num_rows()).map(line).collect();
    lines.sort();
    lines
}

fn drain(task: &mut KeyedRolling, morsel: usize, out: &mut Vec<RecordBatch>) {
    while let Some(next) = task.next_output(morsel) {
        let batch = next.unwrap().into_dense_host().unwrap();
        assert!(batch.num_rows() <= morsel);
        out.push(batch);
    }
}

#[test]
fn results_are_those_of_the_reference_wherever_state_goes() {
    for seed in 0..60 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let by_key: bool = rng.random();
        let (stage, output) = stage(if by_key { vec![0] } else { vec![] }, Emit::Final);
        let count = rng.random_range(0..200);
        let all = rows(&mut rng, count);
        let groups = KeyGroups::new(16).unwrap();
        let tasks = |count: usize| -> Vec<KeyedRolling> {
            (0..count)
                .map(|i| KeyedRolling::new(&stage, &output, groups, groups.range_of_task(i, count)).unwrap())
                .collect()
        };
        let mut running = tasks(if by_key { 3 } else { 1 });
        let (mut next, mut got, mut late, mut late_rows) = (0, Vec::new(), Vec::new(), 0);
        let mut largest = 0;
        let morsel = rng.random_range(1..30);
        while next < all.num_rows() {
            let part = all.slice(next, rng.random_range(1..=all.num_rows() - next));
            next += part.num_rows();
            let times = part.column(2).as_primitive::<Int64Type>().values();
            largest = times.iter().copied().fold(largest, i64::max);
            let mut hashes = Vec::new();
            KeyHasher::new(SEED).hash_batch_columns(&part, &stage.spec.partition, &mut hashes).unwrap();
            let count = running.len();
            for (i, task) in running.iter_mut().enumerate() {
                let mine = |hash: &u64| !by_key || groups.task_of_group(groups.group_of(*hash), count) == i;
                let mask = hashes.iter().map(|hash| Some(mine(hash))).collect();
                task.on_morsel(0, Morsel::new(filter_record_batch(&part, &mask).unwrap())).unwrap();
                let watermark = EventTime(largest - 21);
                assert_eq!(task.on_watermark(watermark).unwrap(), watermark);
                drain(task, morsel, &mut got);
                late.extend(task.take_late());
            }
            if by_key && rng.random_ratio(1, 3) {
                let owned = |i| groups.range_of_task(i, count);
                let snapshots: Vec<RecordBatch> = running
                    .iter()
                    .enumerate()
                    .flat_map(|(i, task)| task.snapshot(owned(i)).unwrap())
                    .collect();
                late_rows += running.iter().map(KeyedRolling::late_rows).sum::<u64>();
                running = tasks(rng.random_range(1..5));
                running.iter_mut().for_each(|task| task.restore(&snapshots).unwrap());
            }
        }
        for task in &mut running {
            assert_eq!(task.on_watermark(EventTime::MAX).unwrap(), EventTime::MAX);
            task.on_end(true).unwrap();
            drain(task, morsel, &mut got);
            late_rows += task.late_rows();
        }
        let behind = all.column(3).as_primitive::<Int64Type>().values();
        let on_time = behind.iter().map(|behind| Some(*behind == 0)).collect();
        let on_time = filter_record_batch(&all, &on_time).unwrap();
        let late: usize = late.iter().map(Morsel::live_rows).sum();
        assert_eq!((late, late_rows), (count - on_time.num_rows(), late as u64), "seed {seed}");
        let (sorted, added) = reference::over(&stage.spec, &on_time).unwrap();
        let columns = sorted.columns()[..2].iter().cloned().chain(added).chain([sorted.column(4).clone()]);
        let expected = RecordBatch::try_new(output.clone(), columns.collect()).unwrap();
        assert_eq!(lines(&concat_batches(&output, &got).unwrap()), lines(&expected), "seed {seed}");
    }
}

fn batch(times: &[i64], values: &[i64]) -> RecordBatch {
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

#[test]
fn a_row_leaves_when_the_watermark_reaches_its_time_or_as_it_comes() {
    let groups = KeyGroups::new(16).unwrap();
    let sums = |out: &[RecordBatch]| -> Vec<i64> {
        out.iter().flat_map(|b| b.column(3).as_primitive::<Int64Type>().values().to_vec()).collect()
    };
    let (waits, output) = stage(vec![0], Emit::Final);
    let mut task = KeyedRolling::new(&waits, &output, groups, groups.all()).unwrap();
    let mut out = Vec::new();
    task.on_morsel(0, Morsel::new(batch(&[5, 3, 5], &[1, 2, 4]))).unwrap();
    task.on_watermark(EventTime(4)).unwrap();
    drain(&mut task, 10, &mut out);
    assert_eq!(sums(&out), [2]);
    // A row of equal time that comes later is seen as well.
    task.on_morsel(0, Morsel::new(batch(&[5, 6], &[8, 16]))).unwrap();
    task.on_watermark(EventTime(5)).unwrap();
    drain(&mut task, 10, &mut out);
    assert_eq!(sums(&out), [2, 15, 15, 15]);
    task.on_end(true).unwrap();
    drain(&mut task, 10, &mut out);
    assert_eq!(sums(&out), [2, 15, 15, 15, 31]);

    let (at_once, output) = stage(vec![0], Emit::OnArrival);
    let mut task = KeyedRolling::new(&at_once, &output, groups, groups.all()).unwrap();
    let mut out = Vec::new();
    task.on_morsel(0, Morsel::new(batch(&[5, 3, 5], &[1, 2, 4]))).unwrap();
    drain(&mut task, 2, &mut out);
    assert_eq!(sums(&out), [1, 3, 7]);
}

#[test]
fn a_sum_beyond_its_type_names_the_partition() {
    let (stage, output) = stage(vec![0], Emit::Final);
    let groups = KeyGroups::new(16).unwrap();
    let mut operator = KeyedRolling::new(&stage, &output, groups, groups.all()).unwrap();
    operator.on_morsel(0, Morsel::new(batch(&[1, 2], &[i64::MAX, 1]))).unwrap();
    let error = operator.on_watermark(EventTime(2)).unwrap_err().to_string();
    assert!(error.contains("k x") && error.contains("sum"), "{error}");
}
