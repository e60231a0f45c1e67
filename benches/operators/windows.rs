//! Windows through the facade: hopping ones of 1 to 3,600 slices, and sessions, from rows in memory, beside
//! arrays that know all keys and all slices beforehand.
//!
//! The cost of a row, in or out, should not depend on how many slices a window has. So that figures of
//! different windows can be compared, criterion counts rows that come in and go out.

use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray};
use criterion::Criterion;
use sabot::prelude::*;
use sabot_benches::checksum::{self, Row};
use sabot_benches::{Contest, Size, contest, data};
use std::sync::Arc;

const KEYS: i64 = 100;
const SLIDE_US: i64 = 1_000_000;
const GAP_US: i64 = 20_000;

/// Count and sum of some rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Total {
    rows: i64,
    sum: i64,
}

/// A window of a key: start, end, key, and what it adds up to.
type Window = (i64, i64, i64, Total);

struct Rows {
    times: Vec<i64>,
    keys: Vec<i64>,
    values: Vec<i64>,
    /// Slides that the rows are spread over.
    slides: i64,
}

pub(crate) fn benchmarks(criterion: &mut Criterion) {
    let rows = Rows::new();
    let batches = rows.batches();
    let engine = Engine::new().expect("threads can be started");
    let ours_sum = |batches: &Vec<RecordBatch>| checksum::of_batches(batches.iter().map(|b| (Row::new(), b)));
    let theirs_sum = |windows: &Vec<Window>| sum_of_windows(windows);
    for slices in [1, 3, 60, 3_600] {
        let theirs = || rows.hopping(slices);
        let out = theirs();
        let contest = rows.contest("hopping", format!("{slices} slices"), &batches, &out);
        let window = hopping(micros(slices * SLIDE_US), micros(SLIDE_US));
        let ours = || run(&batches, &window, &engine).expect("a job that ends well");
        contest.with_peer(criterion, (ours, ours_sum), "sliding arrays, one thread", (theirs, theirs_sum));
    }
    let theirs = || rows.sessions();
    let contest = rows.contest("session", "by key".to_owned(), &batches, &theirs());
    let window = session(micros(GAP_US));
    let ours = || run(&batches, &window, &engine).expect("a job that ends well");
    contest.with_peer(criterion, (ours, ours_sum), "an array of sessions, one thread", (theirs, theirs_sum));
}

fn run(batches: &[RecordBatch], window: &sabot::Window, engine: &Engine) -> sabot::Result<Vec<RecordBatch>> {
    Stream::from_batches(batches.to_vec())?
        .event_time("at", in_order())?
        .window(window.clone())?
        .group_by(["key"])?
        .aggregate([count().alias("rows"), sum(col("value")).alias("sum")])?
        .collect_on(engine)
}

fn sum_of_windows(windows: &[Window]) -> u64 {
    checksum::of_rows(windows.iter().map(|(start, end, key, total)| {
        Row::new().int(*start).int(*end).int(*key).int(total.rows).int(total.sum)
    }))
}

impl Rows {
    fn new() -> Self {
        let Size { rows, .. } = Size::of_this_run();
        let slides: i64 = if contest::measuring() { 5_000 } else { 50 };
        let mut times = data::ints(20, rows, 0..slides * SLIDE_US);
        times.sort_unstable();
        let (keys, values) = (data::ints(21, rows, 0..KEYS), data::ints(22, rows, -1_000..1_000));
        Self { times, keys, values, slides }
    }

    fn batches(&self) -> Vec<RecordBatch> {
        let batch = data::batch([
            ("at", Arc::new(TimestampMicrosecondArray::from(self.times.clone())) as ArrayRef),
            ("key", Arc::new(Int64Array::from(self.keys.clone()))),
            ("value", Arc::new(Int64Array::from(self.values.clone()))),
        ]);
        data::morsels(&batch, Size::of_this_run().morsel_rows)
    }

    fn contest(&self, group: &'static str, name: String, batches: &[RecordBatch], out: &[Window]) -> Contest {
        let rows = (self.times.len() + out.len()) as u64;
        Contest { group, name, rows, bytes: data::bytes(batches), expected: sum_of_windows(out) }
    }

    /// Adds each slice once, and takes each out again.
    fn hopping(&self, slices: i64) -> Vec<Window> {
        let place = |slide: i64, key: i64| (slide * KEYS + key) as usize;
        let mut all = vec![Total::default(); (self.slides * KEYS) as usize];
        for ((time, key), value) in self.times.iter().zip(&self.keys).zip(&self.values) {
            let total = &mut all[place(time / SLIDE_US, *key)];
            (total.rows, total.sum) = (total.rows + 1, total.sum + value);
        }
        let mut running = vec![Total::default(); KEYS as usize];
        let mut windows = Vec::new();
        for last in 0..self.slides + slices - 1 {
            let first = last - slices + 1;
            for (key, total) in (0..KEYS).zip(&mut running) {
                if last < self.slides {
                    let new = all[place(last, key)];
                    (total.rows, total.sum) = (total.rows + new.rows, total.sum + new.sum);
                }
                if total.rows > 0 {
                    windows.push((first * SLIDE_US, (last + 1) * SLIDE_US, key, *total));
                }
                if first >= 0 {
                    let old = all[place(first, key)];
                    (total.rows, total.sum) = (total.rows - old.rows, total.sum - old.sum);
                }
            }
        }
        windows
    }

    fn sessions(&self) -> Vec<Window> {
        let mut open: Vec<Option<Window>> = vec![None; KEYS as usize];
        let mut windows = Vec::new();
        for ((time, key), value) in self.times.iter().zip(&self.keys).zip(&self.values) {
            let place = &mut open[*key as usize];
            if place.is_some_and(|(_, end, ..)| end <= *time) {
                windows.extend(place.take());
            }
            let (_, end, _, total) = place.get_or_insert((*time, 0, *key, Total::default()));
            *end = time + GAP_US;
            (total.rows, total.sum) = (total.rows + 1, total.sum + value);
        }
        windows.extend(open.into_iter().flatten());
        windows
    }
}
