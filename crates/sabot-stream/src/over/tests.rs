//! A stepped operator held against the reference, with state moved between tasks on the way.

use super::*;
use arrow::array::{ArrayRef, Int64Array, StringArray, UInt64Array};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, Field, Schema};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sabot_batch::key_hash::KeyHasher;
use sabot_ops::{
    AggregateFunction, AggregateSpec, Distance, Frame, FrameBound, FrameUnits, OverCall, OverFunction,
    OverSpec, SortKey, reference,
};
use std::sync::Arc;

const SEED: u64 = 42;

fn rows_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("k", DataType::Utf8, true),
        Field::new("n", DataType::Int64, true),
        hidden::field(hidden::TIME).unwrap(),
        hidden::field(hidden::ROW).unwrap(),
    ]))
}

fn rows(rng: &mut ChaCha8Rng, count: usize) -> RecordBatch {
    let k: StringArray = (0..count).map(|_| ["a", "b", "c"].get(rng.random_range(0..4)).copied()).collect();
    let n: Int64Array = (0..count).map(|_| rng.random_ratio(5, 6).then(|| rng.random_range(-9..9))).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(k),
        Arc::new(n),
        Arc::new(Int64Array::from_iter_values((0..count).map(|_| rng.random_range(0..50)))),
        Arc::new(UInt64Array::from_iter_values(0..count as u64)),
    ];
    RecordBatch::try_new(rows_schema(), columns).unwrap()
}

fn stage(partition: Vec<usize>, order: Vec<SortKey>) -> (OverStage, SchemaRef) {
    let frame = Frame {
        units: FrameUnits::Range,
        start: FrameBound::Preceding(Distance::Span(sabot_common::Span(7))),
        end: FrameBound::CurrentRow,
    };
    let sum = AggregateSpec::new(AggregateFunction::Sum, [(1, DataType::Int64)], "sum");
    let calls = vec![
        OverCall { function: OverFunction::RowNumber, frame, name: "number".to_owned() },
        OverCall { function: OverFunction::Lag(1, 1), frame, name: "before".to_owned() },
        OverCall { function: OverFunction::Aggregate(sum), frame, name: "sum".to_owned() },
    ];
    let spec = OverSpec { partition, order, ties: Vec::new(), calls };
    let mut fields: Vec<Field> = rows_schema().fields()[..2].iter().map(|f| f.as_ref().clone()).collect();
    fields.extend(spec.result_fields(&rows_schema()).unwrap());
    fields.push(hidden::field(hidden::ROW).unwrap());
    (
        OverStage { rows: rows_schema(), spec, kept: 2, rolling: None, hash_seed: SEED },
        Arc::new(Schema::new(fields)),
    )
}

fn lines(batch: &RecordBatch) -> Vec<String> {
    let show = |c: &ArrayRef, row| array_value_to_string(c, row).unwrap();
    let line = |row| batch.columns().iter().map(|c| show(c, row)).collect::<Vec<_>>().join("|");
    let mut lines: Vec<String> = (0..batch.num_rows()).map(line).collect();
    lines.sort();
    lines
}

#[test]
fn results_are_those_of_the_reference_wherever_state_goes() {
    for seed in 0..60 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let by_key: bool = rng.random();
        let (stage, output) = stage(if by_key { vec![0] } else { vec![] }, vec![SortKey::ascending(2)]);
        let count = rng.random_range(0..90);
        let all = rows(&mut rng, count);
        let groups = KeyGroups::new(16).unwrap();
        let tasks = |count: usize| -> Vec<KeyedOver> {
            (0..count)
                .map(|i| KeyedOver::new(&stage, &output, groups, groups.range_of_task(i, count)).unwrap())
                .collect()
        };
        let mut running = tasks(if by_key { 3 } else { 1 });
        let mut next = 0;
        while next < all.num_rows() {
            let part = all.slice(next, rng.random_range(1..=all.num_rows() - next));
            next += part.num_rows();
            let mut hashes = Vec::new();
            KeyHasher::new(SEED).hash_batch_columns(&part, &stage.spec.partition, &mut hashes).unwrap();
            let count = running.len();
            for (i, task) in running.iter_mut().enumerate() {
                let mine = |hash: &u64| !by_key || groups.task_of_group(groups.group_of(*hash), count) == i;
                let mask = hashes.iter().map(|hash| Some(mine(hash))).collect();
                task.on_morsel(0, Morsel::new(filter_record_batch(&part, &mask).unwrap())).unwrap();
                assert_eq!(task.on_watermark(EventTime(next as i64)).unwrap(), EventTime::MIN);
                assert!(task.next_output(5).is_none());
            }
            if by_key && rng.random_ratio(1, 3) {
                let owned = |i| groups.range_of_task(i, count);
                let snapshots: Vec<RecordBatch> = running
                    .iter()
                    .enumerate()
                    .flat_map(|(i, task)| task.snapshot(owned(i)).unwrap())
                    .collect();
                running = tasks(rng.random_range(1..5));
                running.iter_mut().for_each(|task| task.restore(&snapshots).unwrap());
            }
        }
        let morsel = rng.random_range(1..30);
        let mut got = Vec::new();
        for task in &mut running {
            assert_eq!(task.on_watermark(EventTime::MAX).unwrap(), EventTime::MAX);
            task.on_end(true).unwrap();
            while let Some(out) = task.next_output(morsel) {
                let batch = out.unwrap().into_dense_host().unwrap();
                assert!(batch.num_rows() <= morsel);
                got.push(batch);
            }
            assert_eq!(task.state_bytes(), 0);
        }
        let (sorted, added) = reference::over(&stage.spec, &all).unwrap();
        let columns = sorted.columns()[..2].iter().cloned().chain(added).chain([sorted.column(3).clone()]);
        let expected = RecordBatch::try_new(output.clone(), columns.collect()).unwrap();
        assert_eq!(lines(&concat_batches(&output, &got).unwrap()), lines(&expected), "seed {seed}");
    }
}

#[test]
fn a_sum_beyond_its_type_names_the_partition() {
    let (stage, output) = stage(vec![0], vec![SortKey::ascending(2)]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec!["x", "x"])),
        Arc::new(Int64Array::from(vec![i64::MAX, 1])),
        Arc::new(Int64Array::from(vec![1, 2])),
        Arc::new(UInt64Array::from(vec![0, 1])),
    ];
    let groups = KeyGroups::new(16).unwrap();
    let mut operator = KeyedOver::new(&stage, &output, groups, groups.all()).unwrap();
    operator.on_morsel(0, Morsel::new(RecordBatch::try_new(rows_schema(), columns).unwrap())).unwrap();
    operator.on_end(true).unwrap();
    let error = operator.next_output(10).unwrap().unwrap_err().to_string();
    assert!(error.contains("k x") && error.contains("sum"), "{error}");
}
