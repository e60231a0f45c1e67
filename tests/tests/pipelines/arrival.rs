//! Values that a row has at once depend on the order of arrival; where that is known, so are they.

use arrow::array::{ArrayRef, AsArray, Int64Array, TimestampMicrosecondArray};
use arrow::compute::concat_batches;
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sabot::{
    Emit, Engine, OverExpr, Stream, col, count, lag, max, micros, out_of_orderness, range, rows, sum, whole,
};
use std::sync::Arc;

/// Time, key and number of a row, in the order of arrival.
type Event = (i64, i64, i64);

/// Up to 40 µs out of order, with many equal times.
fn arriving(rng: &mut ChaCha8Rng, count: i64) -> Vec<Event> {
    (0..count).map(|n| (n / 3 - rng.random_range(0..40), rng.random_range(0..5), n)).collect()
}

/// Of each row the count and sum within 25 µs, the largest number of three rows, and the number before: a row
/// behind rows of a later time stands at the latest of these.
fn expected(events: &[Event]) -> Vec<[Option<i64>; 5]> {
    let mut kept: Vec<Event> = Vec::new();
    let mut values = Vec::new();
    for &(time, key, number) in events {
        let own: Vec<(i64, i64)> = kept
            .iter()
            .filter(|(_, other, _)| *other == key)
            .map(|(time, _, number)| (*time, *number))
            .collect();
        let time = own.last().map_or(time, |(newest, _)| time.max(*newest));
        kept.push((time, key, number));
        let own = [own, vec![(time, number)]].concat();
        let near: Vec<i64> = own.iter().filter(|(t, _)| *t >= time - 25).map(|(_, n)| *n).collect();
        let three = &own[own.len().saturating_sub(3)..];
        let before = own.len().checked_sub(2).map(|place| own[place].1);
        let most = three.iter().map(|(_, number)| *number).max();
        values.push([Some(number), Some(near.len() as i64), Some(near.iter().sum()), most, before]);
    }
    values
}

/// The events in batches of some size.
fn stream_of(rng: &mut ChaCha8Rng, events: &[Event]) -> Stream {
    let column = |value: fn(&Event) -> i64| Int64Array::from_iter_values(events.iter().map(value));
    let times = TimestampMicrosecondArray::from_iter_values(events.iter().map(|event| event.0 + 1_000));
    let columns: [(&str, ArrayRef); 3] = [
        ("t", Arc::new(times)),
        ("k", Arc::new(column(|event| event.1))),
        ("n", Arc::new(column(|event| event.2))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let cut = rng.random_range(1..200);
    let batches = (0..batch.num_rows()).step_by(cut);
    let batches = batches.map(|at| batch.slice(at, cut.min(batch.num_rows() - at)));
    Stream::from_batches(batches).unwrap().event_time("t", out_of_orderness(micros(60))).unwrap()
}

#[test]
fn rows_have_their_values_at_once() {
    for seed in 0..12 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let events = arriving(&mut rng, 700);
        let stream = stream_of(&mut rng, &events);
        let at_once = |over: OverExpr, name: &str| over.emit(Emit::OnArrival).alias(name);
        let stream = stream
            .with_columns([
                at_once(count().over(["k"], range(micros(25))), "count"),
                at_once(sum(col("n")).over(["k"], range(micros(25))), "sum"),
                at_once(max(col("n")).over(["k"], rows(2)), "most"),
                at_once(lag("n", 1).over(["k"], whole()), "before"),
            ])
            .unwrap();
        let stream =
            stream.select(["n", "count", "sum", "most", "before"].map(col)).unwrap().sort(["n"]).unwrap();
        let engine = Engine::builder().workers(1 + seed as usize % 3).build().unwrap();
        let got = stream.collect_on(&engine).unwrap();
        let got = concat_batches(stream.schema(), &got).unwrap();
        let value = |column: usize, row: usize| {
            let column = got.column(column).as_primitive::<Int64Type>();
            (!arrow::array::Array::is_null(column, row)).then(|| column.value(row))
        };
        for (row, expected) in expected(&events).iter().enumerate() {
            let got: Vec<Option<i64>> = (0..5).map(|column| value(column, row)).collect();
            assert_eq!(got, expected, "seed {seed}, row {row} of {:?}", events[row]);
        }
    }
}

/// Of which nothing need be kept, and rows of one time come in many batches.
#[test]
fn a_row_alone_is_seen_at_once() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let events: Vec<Event> = (0..200).map(|n| (n / 50, n % 2, n)).collect();
    let at_once = |over: OverExpr, name: &str| over.emit(Emit::OnArrival).alias(name);
    let alone = stream_of(&mut rng, &events).with_columns([
        at_once(sum(col("n")).over(["k"], rows(0)), "sum"),
        at_once(lag("n", 0).over(["k"], whole()), "own"),
    ]);
    let alone = alone.unwrap().filter(col("sum").eq(col("n")).and(col("own").eq(col("n")))).unwrap();
    assert_eq!(alone.collect().unwrap().iter().map(RecordBatch::num_rows).sum::<usize>(), events.len());
}
