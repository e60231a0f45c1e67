//! A source far larger than memory, a slow sink, and a budget.
//!
//! A binary of its own, because the allocator that counts is the whole process's. The source makes up
//! 2 GiB; the budget is 64 MiB. The engine's own account must stay within the budget, and what was really
//! allocated within the budget and 32 MiB for everything that is not a morsel in flight.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

mod counting;
mod source;

use sabot::{Engine, Job, Stream, col, count, in_order, seconds, sum, tumbling};
use sabot_connect::SinkOrder;
use sabot_tests::sinks::{DropSink, Pace};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting::new();

const MIB: usize = 1 << 20;
const BUDGET: usize = 64 * MIB;
const ALLOWANCE: usize = 32 * MIB;

#[test]
fn two_gibibytes_pass_through_a_budget_of_64_mebibytes() {
    let rows_sink = DropSink::new(SinkOrder::Multiset, Pace::Slow(Duration::from_millis(1)));
    let windows_sink = DropSink::new(SinkOrder::Ordered, Pace::Free);
    let source = source::MadeUp::new(2_048 * MIB);
    let rows = source.rows();
    let before = ALLOCATOR.reset_peak();

    let engine = Engine::builder().workers(2).keyed_parallelism(2).memory_budget(BUDGET).build().unwrap();
    let start = Stream::from_source(Arc::new(source)).unwrap().event_time("t", in_order()).unwrap();
    let kept = start.clone().with_columns([(col("a") + col("b")).alias("c")]).unwrap();
    let windows = start.window(tumbling(seconds(10))).unwrap().group_by(["k"]).unwrap();
    let windows = windows.aggregate([count(), sum(col("a")).alias("a")]).unwrap();
    let job = Job::new("large").write(&kept, rows_sink.0).unwrap().write(&windows, windows_sink.0).unwrap();
    let metrics = engine.run(job).unwrap();

    assert_eq!((metrics.rows_read, rows_sink.1.rows.load(Ordering::SeqCst)), (rows, rows));
    assert!(windows_sink.1.rows.load(Ordering::SeqCst) > 0);
    let (accounted, allocated) = (engine.memory_peak(), ALLOCATOR.peak() - before);
    assert!(accounted <= BUDGET, "{} MiB accounted", accounted / MIB);
    assert!(
        allocated <= BUDGET + ALLOWANCE,
        "{} MiB allocated, {} MiB accounted",
        allocated / MIB,
        accounted / MIB
    );
    // The budget was what held the source back: with less in flight the test would prove nothing.
    assert!(accounted > BUDGET / 8, "only {} MiB were ever in flight", accounted / MIB);
    assert_eq!(engine.memory_used(), 0, "something is still charged");
}
