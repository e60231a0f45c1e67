//! State of every family of aggregate functions, taken out by key group and put into another number of tasks.

use super::*;
use arrow::array::{
    Array, ArrayRef, BooleanArray, Decimal128Array, Int64Array, StringArray, UInt32Array, UInt64Array,
};
use arrow::compute::{concat_batches, sort_to_indices, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, UInt64Type};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sabot_batch::hidden;
use sabot_ops::{AggregateFunction, AggregateSpec, GroupByMode, Quantile};
use std::sync::Arc;

fn rows(rng: &mut ChaCha8Rng, first_row: u64, count: usize) -> RecordBatch {
    let maybe = |rng: &mut ChaCha8Rng| rng.random_bool(0.9);
    let key = |rng: &mut ChaCha8Rng| maybe(rng).then(|| format!("key {}", rng.random_range(0..12)));
    let columns: [(&str, ArrayRef); 8] = [
        ("key", Arc::new((0..count).map(|_| key(rng)).collect::<StringArray>())),
        (
            "value",
            Arc::new((0..count).map(|_| maybe(rng).then(|| rng.random_range(-9..9))).collect::<Int64Array>()),
        ),
        ("other", Arc::new(Int64Array::from_iter_values((0..count).map(|_| rng.random_range(0..1_000))))),
        ("flag", Arc::new((0..count).map(|_| maybe(rng).then(|| rng.random())).collect::<BooleanArray>())),
        (
            "money",
            Arc::new(
                Decimal128Array::from_iter_values((0..count).map(|_| rng.random_range(-1_000..1_000)))
                    .with_precision_and_scale(30, 2)
                    .unwrap(),
            ),
        ),
        (hidden::TIME, Arc::new(Int64Array::from_iter_values((0..count).map(|_| rng.random_range(0..50))))),
        (hidden::PARTITION, Arc::new(UInt32Array::from(vec![rng.random_range(0..3); count]))),
        (hidden::ROW, Arc::new(UInt64Array::from_iter_values(first_row..first_row + count as u64))),
    ];
    let nullable = |name: &str| !hidden::is_hidden(name);
    let fields: Vec<Field> =
        columns.iter().map(|(n, c)| Field::new(*n, c.data_type().clone(), nullable(n))).collect();
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn aggregates() -> Vec<AggregateSpec> {
    use AggregateFunction as F;
    let (int, money) = (DataType::Int64, DataType::Decimal128(30, 2));
    let of = |function: F, columns: &[(usize, &DataType)]| {
        let name = format!("{function} {columns:?}");
        AggregateSpec::new(function, columns.iter().map(|(i, t)| (*i, (*t).clone())), name)
    };
    let mut specs = vec![
        of(F::Corr, &[(1, &int), (2, &int)]),
        of(F::CovarPop, &[(1, &int), (2, &int)]).filtered(3),
        of(F::StringAgg { separator: "/".to_owned() }, &[(0, &DataType::Utf8)]),
        of(F::BoolAnd, &[(3, &DataType::Boolean)]),
        of(F::Sum, &[(4, &money)]),
        of(F::Avg, &[(4, &money)]),
        of(F::Min, &[(4, &money)]),
        of(F::ApproxQuantile { quantile: Quantile(0.3) }, &[(2, &int)]),
    ];
    let ones = [F::CountDistinct, F::ApproxCountDistinct, F::First, F::Last, F::ArrayAgg, F::VarSamp];
    specs.extend(ones.into_iter().map(|function| of(function, &[(1, &int)])));
    specs
}

fn stage() -> (AggregateStage, SchemaRef, GroupByStep) {
    let raw = rows(&mut ChaCha8Rng::seed_from_u64(0), 0, 0).schema();
    let partial = GroupBySpec {
        keys: vec![0],
        hashed: vec![0],
        seed: 5,
        aggregates: aggregates(),
        mode: GroupByMode::Partial,
    };
    let mut fields = vec![raw.field(0).clone()];
    fields.extend(partial.aggregates.iter().map(|a| a.result_field().unwrap()));
    let step = GroupByStep::new(&partial, &raw).unwrap();
    let stage = AggregateStage {
        window: None,
        partial_schema: partial.partial_schema(&raw).unwrap(),
        partial,
        input: KeyedInput::Partial,
        ordinal: 0,
        late: None,
        late_columns: Vec::new(),
        window_start: None,
        window_end: None,
        time_zone: None,
    };
    (stage, Arc::new(Schema::new(fields)), step)
}

fn tasks(parallelism: usize, groups: KeyGroups) -> Vec<KeyedAggregate> {
    let (stage, output, _) = stage();
    let task = |task| KeyedAggregate::new(&stage, &output, groups, groups.range_of_task(task, parallelism));
    (0..parallelism).map(|i| task(i).unwrap()).collect()
}

fn feed(tasks: &mut [KeyedAggregate], groups: KeyGroups, partial: &RecordBatch) {
    let hashes = partial.column(1).as_primitive::<UInt64Type>().values();
    let parallelism = tasks.len();
    for (number, task) in tasks.iter_mut().enumerate() {
        let mine =
            |row: &u32| groups.task_of_group(groups.group_of(hashes[*row as usize]), parallelism) == number;
        let mine: UInt32Array = (0..partial.num_rows() as u32).filter(mine).collect();
        task.on_morsel(Morsel::new(take_record_batch(partial, &mine).unwrap())).unwrap();
    }
}

/// The results of all tasks, by key.
fn finish(mut tasks: Vec<KeyedAggregate>) -> RecordBatch {
    let mut parts = Vec::new();
    for task in &mut tasks {
        assert!(task.state_bytes() > 0);
        task.on_end(true).unwrap();
        while let Some(morsel) = task.next_output(5) {
            parts.push(morsel.unwrap().into_dense_host().unwrap());
        }
    }
    let all = concat_batches(&parts[0].schema(), &parts).unwrap();
    let order = sort_to_indices(all.column(0), None, None).unwrap();
    take_record_batch(&all, &order).unwrap()
}

/// Rows cut in a way of their own, through tasks that become others in between when `rescaled` says so.
fn run(seed: u64, cut: usize, parallelism: usize, rescaled: Option<usize>, lose: bool) -> RecordBatch {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let all = rows(&mut rng, 0, 700);
    let (_, _, mut step) = stage();
    let groups = KeyGroups::new(8).unwrap();
    let mut current = tasks(parallelism, groups);
    for (number, start) in (0..700).step_by(cut).enumerate() {
        let partial = step.run(&all.slice(start, cut.min(700 - start))).unwrap();
        feed(&mut current, groups, &partial);
        if let Some(next) = rescaled.filter(|_| number == 2) {
            let mut snapshots = Vec::new();
            for task in current.iter().skip(usize::from(lose)) {
                for range in [0..3, 3..8] {
                    snapshots.extend(task.snapshot(groups.range(range).unwrap()).unwrap());
                }
            }
            current = tasks(next, groups);
            current.iter_mut().for_each(|task| task.restore(&snapshots).unwrap());
        }
    }
    finish(current)
}

#[test]
fn results_depend_neither_on_cuts_nor_on_tasks_nor_on_snapshots() {
    for seed in 0..6 {
        let whole = run(seed, 700, 1, None, false);
        assert!(whole.num_rows() > 10);
        for (cut, parallelism, rescaled) in
            [(1, 1, None), (50, 2, Some(3)), (13, 3, Some(1)), (7, 1, Some(4))]
        {
            let other = run(seed, cut, parallelism, rescaled, false);
            assert_eq!(other, whole, "seed {seed}, {cut} rows, {parallelism} tasks, then {rescaled:?}");
        }
    }
}

#[test]
fn a_lost_snapshot_is_noticed() {
    assert_ne!(run(0, 50, 2, Some(2), true), run(0, 50, 2, Some(2), false));
}
