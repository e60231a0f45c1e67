//! A stepped operator held against the reference, with late rows and state that moves between tasks.

use super::testing::{
    DELAY, LATE, ROW, TIME, batch, drain, expected, random_rows, rows_schema, run, stage, within,
};
use super::*;
use crate::cut_checks::{Checked, CutCheck, hold};
use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray, UInt64Array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Int64Type, Schema};
use arrow::util::display::array_value_to_string;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sabot_ops::{
    AggregateFunction, AggregateSpec, Distance, Frame, FrameBound, FrameUnits, OverCall, OverFunction,
    SortKey,
};
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

/// Rows that come at once, and the watermark behind them.
type Step = (RecordBatch, EventTime);

/// Rows of forty keys, some of which do not come for longer than rows reach back.
fn steps(rng: &mut ChaCha8Rng) -> Vec<Step> {
    let (mut now, mut number) = (0, 0);
    (0..90)
        .map(|_| {
            now += if rng.random_ratio(1, 20) { 60 } else { rng.random_range(0..6) };
            let count = rng.random_range(0..14);
            let busy = rng.random_range(1..41);
            let keys = (0..count).map(|_| Some(format!("key {}", rng.random_range(0..busy))));
            let keys: StringArray = keys.collect();
            let values: Int64Array = (0..count).map(|_| Some(rng.random_range(-9..9))).collect();
            let times: Int64Array = (0..count).map(|_| Some(now - rng.random_range(0..DELAY))).collect();
            let columns: Vec<ArrayRef> = vec![
                Arc::new(keys),
                Arc::new(values),
                Arc::new(times),
                Arc::new(Int64Array::from(vec![0; count])),
                Arc::new(UInt64Array::from_iter_values(number..number + count as u64)),
            ];
            number += count as u64;
            (RecordBatch::try_new(rows_schema(), columns).unwrap(), EventTime(now - DELAY))
        })
        .collect()
}

fn take(operator: &mut dyn KeyedOperator, (rows, watermark): &Step, lines: &mut Vec<String>) {
    let mut out = Vec::new();
    operator.on_morsel(0, Morsel::new(rows.clone())).unwrap();
    drain(operator, 7, &mut out);
    operator.on_watermark(*watermark).unwrap();
    drain(operator, 7, &mut out);
    for batch in &out {
        let show = |column: &ArrayRef, row| array_value_to_string(column, row).unwrap();
        let line = |row| batch.columns().iter().map(|column| show(column, row)).collect::<Vec<_>>().join("|");
        lines.extend((0..batch.num_rows()).map(line));
    }
}

/// Random rows, with cuts between them. Who goes on from one gives what came out without it.
fn cuts(seed: u64, loses_oldest: bool) -> Checked {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let emit = if rng.random() { Emit::Final } else { Emit::OnArrival };
    let (mut stage, mut output) = rolling(vec![0], emit);
    if rng.random() {
        // Rows are counted, so that a key lives on however old its rows are.
        let (start, end) = (FrameBound::Preceding(Distance::Count(3)), FrameBound::CurrentRow);
        let frame = Frame { units: FrameUnits::Rows, start, end };
        stage.spec.calls[1].frame = frame;
        (stage, output) =
            super::testing::stage(stage.spec.partition, stage.spec.ties, stage.spec.calls, stage.rolling);
    }
    let groups = KeyGroups::new(16).unwrap();
    let fresh = || KeyedRolling::new(&stage, &output, groups, groups.all()).unwrap();
    let steps = steps(&mut rng);
    let (mut straight, mut lines, mut ends) = (fresh(), Vec::new(), Vec::new());
    for step in &steps {
        take(&mut straight, step, &mut lines);
        ends.push(lines.len());
    }
    let (mut operator, mut again) = (fresh(), Vec::new());
    let mut check = CutCheck::new(loses_oldest);
    for (number, step) in steps.iter().enumerate() {
        take(&mut operator, step, &mut again);
        let goes_on = |into: &mut dyn KeyedOperator, after: usize| {
            let (mut out, end) = (Vec::new(), steps.len().min(after + 20) - 1);
            steps[after + 1..=end].iter().for_each(|step| take(into, step, &mut out));
            out == lines[ends[after]..ends[end]]
        };
        check.step_with(&mut rng, &mut operator, |_| number, || Box::new(fresh()), goes_on);
    }
    assert_eq!(again, lines, "seed {seed}: cuts change what comes out");
    check.checked
}

#[test]
fn who_goes_on_from_a_cut_gives_the_same() {
    hold(150, 8, cuts);
}
