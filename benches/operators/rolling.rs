//! Values over the rows before: how many payments a card made within an hour, a day, a week, a month, of how
//! much in all and at most; beside a program that somebody writes for these.

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Int64Type};
use criterion::Criterion;
use sabot_batch::hidden;
use sabot_benches::checksum::{self, Row};
use sabot_benches::{Contest, Size, data};
use sabot_common::Span;
use sabot_cpu::over::{Rolling, Turn};
use sabot_ops::{
    AggregateFunction, AggregateSpec, Distance, Frame, FrameBound, FrameUnits, OverCall, OverFunction,
    OverSpec, SortKey,
};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

const HOUR: i64 = 3_600_000_000;
const WINDOWS: [i64; 4] = [HOUR, 24 * HOUR, 7 * 24 * HOUR, 30 * 24 * HOUR];
const PERIOD: i64 = 183 * 24 * HOUR;

/// Rows that are computed at once, as a pipeline does it.
const BATCH: usize = 32_768;

pub(crate) fn benchmarks(criterion: &mut Criterion) {
    let Size { rows, .. } = Size::of_this_run();
    // Some 400 payments of each card in half a year.
    let cards = data::ints(17, rows, 0..(rows as i64 / 400).max(1));
    let amounts = data::ints(18, rows, 1..50_000);
    let mut times = data::ints(19, rows, 0..PERIOD);
    times.sort_unstable();
    let column = |values: &[i64]| Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
    let batch =
        data::batch([("card", column(&cards)), ("amount", column(&amounts)), (hidden::TIME, column(&times))]);
    let spec = spec();
    let contest = Contest {
        group: "rolling",
        name: "12 values over 4 windows".to_owned(),
        rows: rows as u64,
        bytes: data::bytes(std::slice::from_ref(&batch)),
        expected: sum(&naively(&cards, &times, &amounts)),
    };
    let ours = (|| computed(&spec, &batch), |results: &Vec<Vec<i64>>| sum(results));
    let theirs = (|| by_hand(&cards, &times, &amounts), |results: &Vec<Vec<i64>>| sum(results));
    contest.with_peer(criterion, ours, "a program for these", theirs);
}

fn sum(columns: &[Vec<i64>]) -> u64 {
    let row = |i: usize| columns.iter().fold(Row::new().int(i as i64), |row, column| row.int(column[i]));
    checksum::of_rows((0..columns[0].len()).map(row))
}

fn spec() -> OverSpec {
    let call = |window: i64, function: AggregateFunction| {
        let start = FrameBound::Preceding(Distance::Span(Span(window)));
        let frame = Frame { units: FrameUnits::Range, start, end: FrameBound::CurrentRow };
        let argument = (function != AggregateFunction::Count).then_some((1, DataType::Int64));
        let name = format!("{function} {window}");
        let function = OverFunction::Aggregate(AggregateSpec::new(function, argument, name.clone()));
        OverCall { function, frame, name }
    };
    let functions = [AggregateFunction::Count, AggregateFunction::Sum, AggregateFunction::Max];
    let calls = WINDOWS.iter().flat_map(|window| functions.iter().map(|f| call(*window, f.clone())));
    let order = vec![SortKey::ascending(2)];
    OverSpec { partition: vec![0], order, ties: Vec::new(), calls: calls.collect() }
}

fn computed(spec: &OverSpec, batch: &RecordBatch) -> Vec<Vec<i64>> {
    let mut rolling = Rolling::new(spec, &batch.schema(), Turn::InOrder, 1).expect("values that can roll");
    let mut columns = vec![Vec::with_capacity(batch.num_rows()); spec.calls.len()];
    let times = batch.column(2).as_primitive::<Int64Type>().values();
    let mut next = 0;
    while next < batch.num_rows() {
        let mut end = (next + BATCH).min(batch.num_rows());
        // All rows of a time at once.
        while end < batch.num_rows() && times[end] == times[end - 1] {
            end += 1;
        }
        let out = rolling.run(&batch.slice(next, end - next)).expect("sums that fit");
        for (all, column) in columns.iter_mut().zip(out) {
            all.extend_from_slice(column.as_primitive::<Int64Type>().values());
        }
        next = end;
    }
    columns
}

/// A window of a card: its rows, their sum, and those that may become the greatest.
#[derive(Default)]
struct Window {
    rows: VecDeque<(i64, i64)>,
    sum: i64,
    greatest: VecDeque<(i64, i64)>,
}

impl Window {
    fn add(&mut self, time: i64, amount: i64) {
        self.rows.push_back((time, amount));
        self.sum += amount;
        while self.greatest.back().is_some_and(|(_, other)| *other <= amount) {
            self.greatest.pop_back();
        }
        self.greatest.push_back((time, amount));
    }

    fn leave(&mut self, before: i64) {
        while let Some((_, amount)) = self.rows.pop_front_if(|(time, _)| *time < before) {
            self.sum -= amount;
        }
        while self.greatest.front().is_some_and(|(time, _)| *time < before) {
            self.greatest.pop_front();
        }
    }
}

/// Rows of equal time first come into all windows, then they are looked at.
fn by_hand(cards: &[i64], times: &[i64], amounts: &[i64]) -> Vec<Vec<i64>> {
    let mut windows: HashMap<i64, [Window; 4]> = HashMap::new();
    let mut columns = vec![Vec::with_capacity(times.len()); WINDOWS.len() * 3];
    let mut start = 0;
    while start < times.len() {
        let time = times[start];
        let end = (start..times.len()).find(|row| times[*row] != time).unwrap_or(times.len());
        for row in start..end {
            let windows = windows.entry(cards[row]).or_default();
            windows.iter_mut().for_each(|window| window.add(time, amounts[row]));
        }
        for card in &cards[start..end] {
            let windows = windows.entry(*card).or_default();
            for (i, (window, length)) in windows.iter_mut().zip(WINDOWS).enumerate() {
                window.leave(time - length);
                columns[3 * i].push(window.rows.len() as i64);
                columns[3 * i + 1].push(window.sum);
                columns[3 * i + 2].push(window.greatest[0].1);
            }
        }
        start = end;
    }
    columns
}

/// From the definition: every row of the card is asked, back to the longest window.
fn naively(cards: &[i64], times: &[i64], amounts: &[i64]) -> Vec<Vec<i64>> {
    let mut rows: HashMap<i64, Vec<usize>> = HashMap::new();
    cards.iter().enumerate().for_each(|(row, card)| rows.entry(*card).or_default().push(row));
    let mut columns = vec![vec![0; times.len()]; WINDOWS.len() * 3];
    for mine in rows.values() {
        for (place, row) in mine.iter().enumerate() {
            let later = mine[place + 1..].iter().take_while(|other| times[**other] == times[*row]);
            let before = mine[..=place].iter().rev();
            let near = before.take_while(|other| times[*row] - times[**other] <= WINDOWS[3]);
            let near: Vec<usize> = near.chain(later).copied().collect();
            for (i, length) in WINDOWS.iter().enumerate() {
                let inside = near.iter().filter(|other| times[*row] - times[**other] <= *length);
                let inside: Vec<i64> = inside.map(|other| amounts[*other]).collect();
                columns[3 * i][*row] = inside.len() as i64;
                columns[3 * i + 1][*row] = inside.iter().sum();
                columns[3 * i + 2][*row] = inside.iter().copied().max().unwrap_or(0);
            }
        }
    }
    columns
}
