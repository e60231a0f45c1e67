//! A stepped operator held against the reference, with late rows and state that moves between tasks.

use super::testing::{
    DELAY, LATE, ROW, TIME, batch, drain, expected, random_rows, rows_schema, run, stage, within,
};
use super::*;
use arrow::array::AsArray;
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Int64Type, Schema};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sabot_ops::{AggregateFunction, AggregateSpec, OverCall, OverFunction, SortKey};
use sabot_plan::{Emit, RollingStage};
use std::sync::Arc;

fn rolling(partition: Vec<usize>, emit: Emit) -> (OverStage, SchemaRef) {
    let of =
        |function| OverFunction::Aggregate(AggregateSpec::new(function, [(1, DataType::Int64)], "value"));
    let call = |function, frame, name: &str| OverCall { function, frame, name: name.to_owned() };
    let calls = vec![
        call(OverFunction::Lag(1, 1), within(0), "before"),
        call(of(AggregateFunction::Sum), within(9), "sum"),
        call(of(AggregateFunction::CountDistinct), within(30), "distinct"),
    ];
    let ties = vec![SortKey { column: 1, descending: true, nulls_first: false }];
    let late = Some(Arc::new(Schema::new(vec![rows_schema().field(ROW).clone()])));
    stage(partition, ties, calls, Some(RollingStage { emit, late, late_columns: vec![ROW], ordinal: None }))
}

#[test]
fn results_are_those_of_the_reference_wherever_state_goes() {
    for seed in 0..60 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let stage = rolling(if rng.random() { vec![0] } else { vec![] }, Emit::Final);
        let count = rng.random_range(0..200);
        let all = random_rows(&mut rng, count);
        let outcome = run(&stage, &all, &mut rng, |rows| {
            let times = rows.column(TIME).as_primitive::<Int64Type>().values();
            EventTime(times.iter().copied().fold(0, i64::max) - DELAY - 1)
        });
        let behind = all.column(LATE).as_primitive::<Int64Type>().values();
        let on_time = behind.iter().map(|behind| Some(*behind == 0)).collect();
        let on_time = filter_record_batch(&all, &on_time).unwrap();
        assert_eq!(outcome.lines, expected(&stage, &on_time), "seed {seed}");
        let late = count - on_time.num_rows();
        assert_eq!((outcome.late_taken, outcome.late_counted), (late, late as u64), "seed {seed}");
    }
}

fn sums(out: &[RecordBatch]) -> Vec<i64> {
    out.iter().flat_map(|b| b.column(3).as_primitive::<Int64Type>().values().to_vec()).collect()
}

#[test]
fn a_row_leaves_when_the_watermark_reaches_its_time() {
    let groups = KeyGroups::new(16).unwrap();
    let (stage, output) = rolling(vec![0], Emit::Final);
    let mut task = KeyedRolling::new(&stage, &output, groups, groups.all()).unwrap();
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
}

#[test]
fn on_arrival_a_row_leaves_as_it_comes() {
    let groups = KeyGroups::new(16).unwrap();
    let (stage, output) = rolling(vec![0], Emit::OnArrival);
    let mut task = KeyedRolling::new(&stage, &output, groups, groups.all()).unwrap();
    let mut out = Vec::new();
    task.on_morsel(0, Morsel::new(batch(&[5, 3, 5], &[1, 2, 4]))).unwrap();
    drain(&mut task, 2, &mut out);
    assert_eq!(sums(&out), [1, 3, 7]);
}

#[test]
fn a_sum_beyond_its_type_names_the_partition() {
    let (stage, output) = rolling(vec![0], Emit::Final);
    let groups = KeyGroups::new(16).unwrap();
    let mut operator = KeyedRolling::new(&stage, &output, groups, groups.all()).unwrap();
    operator.on_morsel(0, Morsel::new(batch(&[1, 2], &[i64::MAX, 1]))).unwrap();
    let error = operator.on_watermark(EventTime(2)).unwrap_err().to_string();
    assert!(error.contains("k x") && error.contains("value"), "{error}");
}

#[test]
fn rows_of_one_time_leave_in_the_order_that_was_asked_for() {
    let (mut stage, output) = rolling(vec![0], Emit::Final);
    if let Some(rolling) = &mut stage.rolling {
        rolling.ordinal = Some(3);
    }
    let hidden_fields = [hidden::TIME, hidden::PARTITION, hidden::ROW, hidden::KEY]
        .map(|name| Arc::new(hidden::field(name).unwrap()));
    let kept = output.fields().iter().filter(|field| !PLACE.contains(&field.name().as_str())).cloned();
    let output: SchemaRef = Arc::new(Schema::new(kept.chain(hidden_fields).collect::<Vec<_>>()));
    let groups = KeyGroups::new(16).unwrap();
    // Ties stand from the largest value down, and the places of the rows say so, whichever task they come from.
    let whole = |rows: &[RecordBatch]| {
        let mut task = KeyedRolling::new(&stage, &output, groups, groups.all()).unwrap();
        for rows in rows {
            task.on_morsel(0, Morsel::new(rows.clone())).unwrap();
        }
        task.on_watermark(EventTime(9)).unwrap();
        let mut out = Vec::new();
        drain(&mut task, 2, &mut out);
        let mut placed = Vec::new();
        for batch in &out {
            let partitions = hidden::partitions(batch).unwrap();
            assert!(partitions.values().iter().all(|partition| *partition == 3 << crate::PARTITION_BITS));
            assert!(hidden::row_numbers(batch).unwrap().values().iter().all(|row| *row == 0));
            let keys = hidden::keys(batch).unwrap();
            let values = batch.column(1).as_primitive::<Int64Type>();
            let times = hidden::times(batch).unwrap();
            placed.extend(
                (0..batch.num_rows()).map(|i| (times.value(i), keys.value(i).to_vec(), values.value(i))),
            );
        }
        placed.sort();
        placed.into_iter().map(|(_, _, value)| value).collect::<Vec<i64>>()
    };
    assert_eq!(whole(&[batch(&[5, 3, 5, 5], &[1, 2, 4, 3])]), [2, 4, 3, 1]);
    assert_eq!(whole(&[batch(&[5, 5], &[3, 4]), batch(&[5, 3], &[1, 2])]), [2, 4, 3, 1]);
}
