//! The three ways to stop a job: drain, suspend, abort.

use sabot::{Job, JobError, JobHandle, Stop, Stream, col, count, in_order, micros, sum, tumbling};
use sabot_connect::{ChannelSender, Collected, input_channel};
use sabot_tests::sinks;

use crate::kit::{engine, events, lines, wait_for};

/// A running job with two sinks: the rows as they come, and windows of ten microseconds.
struct Running {
    sender: ChannelSender,
    handle: JobHandle,
    rows: Collected,
    windows: Collected,
}

fn start() -> Running {
    let (sender, source) = input_channel("events", 4, events(&[]).schema());
    let stream = Stream::from_channel(source).unwrap().event_time("t", in_order()).unwrap();
    let windows = stream.clone().window(tumbling(micros(10))).unwrap().group_by(["k"]).unwrap();
    let windows = windows.aggregate([sum(col("n")).alias("n"), count().alias("rows")]).unwrap();
    let (rows_sink, rows) = sinks::ordered();
    let (windows_sink, results) = sinks::ordered();
    let job = Job::new("stop").write(&stream, rows_sink).unwrap().write(&windows, windows_sink).unwrap();
    let handle = engine().start(job).unwrap();
    Running { sender, handle, rows, windows: results }
}

/// Three rows; the window from 0 is closed by them, that from 10 is open.
fn send_three(running: &Running) {
    running.sender.send_blocking(events(&[(1, "a", 1), (4, "a", 2), (12, "b", 4)])).unwrap();
    wait_for("reading", || running.handle.metrics().rows_read, |rows| *rows == 3);
}

#[test]
fn drain_fires_open_windows() {
    let running = start();
    send_three(&running);
    running.handle.stop(Stop::Drain);
    running.handle.wait().unwrap();
    assert_eq!(lines(&running.rows.take()).len(), 3);
    assert_eq!(lines(&running.windows.take()), ["0 10 'a' 3 2", "10 20 'b' 4 1"]);
}

#[test]
fn suspend_settles_rows_and_fires_nothing() {
    let running = start();
    send_three(&running);
    running.handle.stop(Stop::Suspend);
    running.handle.wait().unwrap();
    assert_eq!(lines(&running.rows.take()).len(), 3, "rows in flight settle");
    assert_eq!(lines(&running.windows.take()), ["0 10 'a' 3 2"], "the watermark had fired this one only");
    // What is still open is in the snapshot that the suspension's barrier took.
    let (_, snapshot) = running.handle.snapshot().unwrap();
    let held: usize = snapshot.values().flatten().map(|morsel| morsel.live_rows()).sum();
    assert_eq!(held, 1);
}

#[test]
fn the_first_stop_counts_and_the_end_of_input_needs_none() {
    let running = start();
    send_three(&running);
    running.handle.stop(Stop::Drain);
    running.handle.stop(Stop::Suspend);
    running.handle.wait().unwrap();
    assert_eq!(lines(&running.windows.take()).len(), 2);

    let running = start();
    send_three(&running);
    drop(running.sender);
    running.handle.wait().unwrap();
    assert_eq!(lines(&running.windows.take()).len(), 2);
}

#[test]
fn abort_leaves_nothing_and_closes_the_channel() {
    let running = start();
    send_three(&running);
    running.handle.abort();
    assert!(matches!(running.handle.wait(), Err(JobError::Aborted)));
    assert!(running.rows.take().is_empty() && running.windows.take().is_empty());
    let refused = running.sender.send_blocking(events(&[(20, "a", 1)])).unwrap_err();
    assert_eq!(refused.to_string(), "channel events is closed: its reader was dropped");
}

#[test]
fn a_stop_after_the_end_is_harmless() {
    let running = start();
    drop(running.sender);
    running.handle.wait().unwrap();
    running.handle.stop(Stop::Suspend);
    running.handle.abort();
    running.handle.barrier();
    running.handle.wait().unwrap();
    assert!(running.handle.is_finished());
}
