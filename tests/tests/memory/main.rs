//! A source far larger than memory, a slow sink, and a budget.
//!
//! A binary of its own, because the allocator that counts is the whole process's. The source makes up
//! 2 GiB; the budget is 64 MiB. The engine's own account must stay within the budget, and what was really
//! allocated within the budget and 32 MiB for everything that is not a morsel in flight.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

mod counting;
mod source;

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use sabot::{Engine, Job, Stream, col, count, in_order, seconds, sum, tumbling};
use sabot_connect::SinkOrder;
use sabot_tests::sinks::{Pace, dropping};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting::new();

const MIB: usize = 1 << 20;
const BUDGET: usize = 64 * MIB;
const ALLOWANCE: usize = 32 * MIB;

/// The tests take turns: they share the allocator's account.
static TURN: Mutex<()> = Mutex::new(());

#[test]
fn two_gibibytes_pass_through_a_budget_of_64_mebibytes() {
    let _turn = TURN.lock();
    let rows_sink = dropping(SinkOrder::Multiset, Pace::Slow(Duration::from_millis(1)));
    let windows_sink = dropping(SinkOrder::Ordered, Pace::Free);
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

/// What a file's reader decodes ahead is bounded by the budget too.
#[test]
fn a_large_file_passes_through_a_small_budget() {
    const SMALL: usize = 16 * MIB;
    const ROWS: i64 = 4_000_000;
    const ROW_GROUP: usize = 64 * 1024;
    let _turn = TURN.lock();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.parquet");
    write_numbers(&path, ROWS, ROW_GROUP);
    let (sink, seen) = dropping(SinkOrder::Multiset, Pace::Slow(Duration::from_millis(2)));
    let before = ALLOCATOR.reset_peak();

    let engine = Engine::builder().workers(2).memory_budget(SMALL).build().unwrap();
    let rows = Stream::read(sabot::parquet(&path)).unwrap().filter(col("a").gt_eq(0)).unwrap();
    engine.run(Job::new("file").write(&rows, sink).unwrap()).unwrap();

    assert_eq!(seen.rows.load(Ordering::SeqCst), ROWS as u64);
    let (accounted, allocated) = (engine.memory_peak(), ALLOCATOR.peak() - before);
    assert!(accounted <= SMALL, "{} MiB accounted", accounted / MIB);
    assert!(allocated <= SMALL + ALLOWANCE, "{} MiB allocated", allocated / MIB);
}

/// Two columns of numbers in row groups.
fn write_numbers(path: &Path, rows: i64, row_group: usize) {
    let batch = |from: i64| {
        let a: Int64Array = (from..rows.min(from + row_group as i64)).collect::<Vec<_>>().into();
        let b: ArrayRef =
            Arc::new(a.unary::<_, Int64Type>(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as i64)));
        RecordBatch::try_from_iter([("a", Arc::new(a) as ArrayRef), ("b", b)]).unwrap()
    };
    let groups = WriterProperties::builder().set_max_row_group_row_count(Some(row_group)).build();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch(0).schema(), Some(groups)).unwrap();
    (0..rows).step_by(row_group).for_each(|from| writer.write(&batch(from)).unwrap());
    writer.close().unwrap();
}
