//! A partition without rows does not hold the others back for ever, and its return moves nothing back.

use sabot::{Job, Stream, col, in_order, micros, sum, to_channel, tumbling};
use sabot_common::ManualClock;
use sabot_connect::input_channels;
use sabot_tests::sinks;
use std::sync::Arc;
use std::time::Duration;

use crate::kit::{engine, events, lines, wait_for};

/// Results until some number of rows is there.
fn receive(results: &mut sabot::ChannelReceiver, rows: usize) -> Vec<String> {
    let mut all = Vec::new();
    while all.len() < rows {
        let batch = results.recv_blocking().unwrap().expect("the job goes on");
        all.extend(lines(&[batch]));
    }
    all.sort();
    all
}

#[test]
fn an_idle_partition_lets_the_watermark_pass_and_never_moves_it_back() {
    let (senders, source) = input_channels("events", 2, 4, events(&[]).schema());
    let options = in_order().idle_timeout(Duration::from_millis(20));
    let stream = Stream::from_channel(source).unwrap().event_time("t", options).unwrap();
    let windows = stream.window(tumbling(micros(10))).unwrap().group_by(["k"]).unwrap();
    let (windows, late) = windows.aggregate([sum(col("n")).alias("n")]).unwrap().split_late().unwrap();
    let (sink, mut results) = to_channel(16);
    let (late_sink, late_rows) = sinks::ordered();
    let job = Job::new("idle").write(&windows, sink).unwrap().write(&late, late_sink).unwrap();
    let handle = engine().start(job).unwrap();

    // Both partitions are there; the second one is silent after its first row.
    senders[1].send_blocking(events(&[(3, "b", 1)])).unwrap();
    senders[0].send_blocking(events(&[(2, "a", 1), (15, "a", 2), (31, "a", 4)])).unwrap();
    // The windows from 0 and 10 close, though the second partition's watermark stands at 2.
    assert_eq!(receive(&mut results, 3), ["0 10 'a' 1", "0 10 'b' 1", "10 20 'a' 2"]);

    // It returns with a row of a window that has fired, and one of a window that is open. Of its own
    // partition neither is late; the first is late all the same, and does not fire its window again.
    senders[1].send_blocking(events(&[(8, "b", 100), (33, "b", 8)])).unwrap();
    wait_for("reading", || handle.metrics().rows_read, |rows| *rows == 6);
    wait_for("the late row", || handle.metrics().late_rows, |rows| *rows == 1);
    senders[0].send_blocking(events(&[(45, "a", 16)])).unwrap();
    drop(senders);
    assert_eq!(receive(&mut results, 3), ["30 40 'a' 4", "30 40 'b' 8", "40 50 'a' 16"]);
    assert!(results.recv_blocking().unwrap().is_none(), "nothing fires twice");
    let metrics = handle.wait().unwrap();
    assert_eq!(metrics.late_rows, 1);
    assert_eq!(lines(&late_rows.take()), ["8 'b' 100"]);
}

/// Idleness is a matter of the injected clock: while it stands still no partition is idle.
#[test]
fn without_time_passing_nothing_is_idle() {
    let (senders, source) = input_channels("events", 2, 4, events(&[]).schema());
    let options = in_order().idle_timeout(Duration::from_millis(5));
    let stream = Stream::from_channel(source).unwrap().event_time("t", options).unwrap();
    let windows = stream.window(tumbling(micros(10))).unwrap().group_by(["k"]).unwrap();
    let windows = windows.aggregate([sum(col("n")).alias("n")]).unwrap();
    let clock = Arc::new(ManualClock::new());
    let engine = sabot::Engine::builder().workers(2).clock(clock.clone()).build().unwrap();
    let (sink, seen) =
        sabot_tests::sinks::dropping(sabot_connect::SinkOrder::Multiset, sabot_tests::sinks::Pace::Free);
    let handle = engine.start(Job::new("still").write(&windows, sink).unwrap()).unwrap();
    let rows = || seen.rows.load(std::sync::atomic::Ordering::SeqCst);
    senders[0].send_blocking(events(&[(2, "a", 1), (15, "a", 2), (31, "a", 4)])).unwrap();
    wait_for("reading", || handle.metrics().rows_read, |rows| *rows == 3);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(rows(), 0, "the second partition may still have a row for these windows");
    senders[1].send_blocking(events(&[(40, "b", 1)])).unwrap();
    wait_for("two windows", rows, |rows| *rows == 2);
    drop(senders);
    handle.wait().unwrap();
}
