//! Values over the rows around, beside a loop that somebody writes for one of them: a sum of the last
//! hundred rows, and a running minimum.

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Int64Type};
use criterion::Criterion;
use sabot_benches::checksum::{self, Row};
use sabot_benches::{Contest, Size, data};
use sabot_cpu::over::OverStep;
use sabot_ops::{
    AggregateFunction, AggregateSpec, Distance, Frame, FrameBound, FrameUnits, OverCall, OverFunction,
    OverSpec,
};
use std::sync::Arc;

pub(crate) fn benchmarks(criterion: &mut Criterion) {
    let hundred = Frame {
        units: FrameUnits::Rows,
        start: FrameBound::Preceding(Distance::Count(99)),
        end: FrameBound::CurrentRow,
    };
    let running = Frame { start: FrameBound::UnboundedPreceding, ..hundred };
    contest(criterion, "sum of 100 rows", AggregateFunction::Sum, hundred, sum_of_100);
    contest(criterion, "running min", AggregateFunction::Min, running, running_min);
}

fn contest(
    criterion: &mut Criterion,
    name: &str,
    function: AggregateFunction,
    frame: Frame,
    by_hand: fn(&[i64]) -> Vec<i64>,
) {
    let Size { rows, .. } = Size::of_this_run();
    let values = data::ints(13, rows, -1_000..1_000);
    let batch = data::batch([("value", Arc::new(Int64Array::from(values.clone())) as ArrayRef)]);
    let aggregate = AggregateSpec::new(function, [(0, DataType::Int64)], "result");
    let call = OverCall { function: OverFunction::Aggregate(aggregate), frame, name: "result".to_owned() };
    let spec = OverSpec { partition: Vec::new(), order: Vec::new(), ties: Vec::new(), calls: vec![call] };
    let step = OverStep::new(&spec, &batch.schema()).expect("a call over these columns");
    let sum = |results: &[i64]| checksum::of_rows((0..).zip(results).map(|(i, x)| Row::new().int(i).int(*x)));
    let contest = Contest {
        group: "over",
        name: name.to_owned(),
        rows: rows as u64,
        bytes: data::bytes(std::slice::from_ref(&batch)),
        expected: sum(&naively(&values, frame)),
    };
    let ours = (|| computed(&step, &batch), |results: &Vec<i64>| sum(results));
    let theirs = (|| by_hand(&values), |results: &Vec<i64>| sum(results));
    contest.with_peer(criterion, ours, "a loop for this one", theirs);
}

fn computed(step: &OverStep, batch: &RecordBatch) -> Vec<i64> {
    let whole = 0..batch.num_rows();
    let columns = step.run(batch, &[whole]).expect("sums that fit");
    columns[0].as_primitive::<Int64Type>().values().to_vec()
}

fn sum_of_100(values: &[i64]) -> Vec<i64> {
    let mut sum = 0;
    let mut sums = Vec::with_capacity(values.len());
    for (i, value) in values.iter().enumerate() {
        sum += value;
        if let Some(left) = i.checked_sub(100) {
            sum -= values[left];
        }
        sums.push(sum);
    }
    sums
}

fn running_min(values: &[i64]) -> Vec<i64> {
    let least = |least: &mut i64, value: &i64| {
        *least = (*least).min(*value);
        Some(*least)
    };
    values.iter().scan(i64::MAX, least).collect()
}

/// Each frame by itself; the running one only as far as it is cheap, then from the result before.
fn naively(values: &[i64], frame: Frame) -> Vec<i64> {
    let mut results: Vec<i64> = Vec::with_capacity(values.len());
    for end in 1..=values.len() {
        results.push(match frame.start {
            FrameBound::Preceding(_) => values[end.saturating_sub(100)..end].iter().sum(),
            _ => results.last().map_or(values[0], |before| (*before).min(values[end - 1])),
        });
    }
    results
}
