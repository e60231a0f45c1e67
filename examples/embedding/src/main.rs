//! A pipeline inside a program: rows come from one task, results go to another, tokio runs both.
//!
//! Sabot needs no async runtime and works in any. Its own threads do the work; a channel's ends can be
//! awaited, or used from threads that block.

use sabot::arrow::array::{ArrayRef, AsArray, Int64Array, StringArray, TimestampSecondArray};
use sabot::arrow::datatypes::Int64Type;
use sabot::prelude::*;
use std::sync::Arc;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Orders of one minute: a shop each, and a price in cents.
fn orders(minute: i64) -> Result<RecordBatch, Error> {
    let times = TimestampSecondArray::from(vec![minute * 60, minute * 60 + 30]);
    let columns: [(&str, ArrayRef); 3] = [
        ("time", Arc::new(times)),
        ("shop", Arc::new(StringArray::from(vec!["north", "south"]))),
        ("cents", Arc::new(Int64Array::from(vec![100 + minute, 200]))),
    ];
    Ok(RecordBatch::try_from_iter(columns)?)
}

// ANCHOR: pipeline
/// What each shop took, quarter by quarter of an hour.
fn takings(orders: Stream) -> sabot::Result<Stream> {
    orders
        .event_time("time", in_order())?
        .window(tumbling(minutes(15)))?
        .group_by(["shop"])?
        .aggregate([sum(col("cents")).alias("cents")])
}
// ANCHOR_END: pipeline

// ANCHOR: tokio
async fn with_tokio(engine: &Engine) -> Result<i64, Error> {
    let (orders_in, source) = input_channel("orders", 4, orders(0)?.schema());
    let (sink, mut results) = to_channel(4);
    let takings = takings(Stream::from_channel(source)?)?;
    let job = engine.start(Job::new("takings").write(&takings, sink)?)?;

    let feeding = tokio::spawn(async move {
        for minute in 0..60 {
            orders_in.send(orders(minute)?).await?; // waits while the job is behind
        }
        Ok::<(), Error>(()) // the sender is dropped here, and that is the end of the rows
    });

    let mut total = 0;
    while let Some(batch) = results.recv().await? {
        total += cents(&batch);
    }
    feeding.await??;
    (&job).await?; // the job's own outcome
    Ok(total)
}
// ANCHOR_END: tokio

// ANCHOR: threads
fn with_threads(engine: &Engine) -> Result<i64, Error> {
    let (orders_in, source) = input_channel("orders", 4, orders(0)?.schema());
    let (sink, mut results) = to_channel(4);
    let takings = takings(Stream::from_channel(source)?)?;
    let job = engine.start(Job::new("takings").write(&takings, sink)?)?;

    let feeding = std::thread::spawn(move || {
        (0..60).try_for_each(|minute| Ok::<(), Error>(orders_in.send_blocking(orders(minute)?)?))
    });
    let mut total = 0;
    while let Some(batch) = results.recv_blocking()? {
        total += cents(&batch);
    }
    feeding.join().map_err(|_| "the feeding thread panicked")??;
    job.wait()?;
    Ok(total)
}
// ANCHOR_END: threads

fn cents(batch: &RecordBatch) -> i64 {
    batch.column_by_name("cents").map_or(0, |column| column.as_primitive::<Int64Type>().values().iter().sum())
}

#[allow(clippy::print_stdout, reason = "an example shows what it did")]
fn main() -> Result<(), Error> {
    // ANCHOR: engine
    // One engine for the whole program; jobs share its threads and its memory budget.
    let engine = Engine::builder().workers(2).memory_budget(64 << 20).build()?;
    // ANCHOR_END: engine
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let (awaited, blocked) = (runtime.block_on(with_tokio(&engine))?, with_threads(&engine)?);
    println!("taken: {awaited} cents, awaited; {blocked} cents, with threads");

    let expected: i64 = (0..60).map(|minute| 100 + minute + 200).sum();
    assert_eq!((awaited, blocked), (expected, expected));
    Ok(())
}
