//! Partitions of a source: very many, ones that come while the job runs, and ones that are held back.

use arrow::datatypes::SchemaRef;
use sabot::{
    Engine, Job, JobError, Stream, col, count, growing_channel, in_order, micros, sum, to_channel, tumbling,
};
use sabot_connect::{
    Boundedness, ChannelSource, ConnectError, MemorySource, PartitionId, PartitionReader, Position,
    ReadCounters, ReadRequest, Source, SourceItem, Spawner, input_channel,
};
use sabot_tests::sinks;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::kit::{engine, events, lines, wait_for};

#[test]
fn partitions_that_come_later_are_read_and_the_job_ends_with_the_last() {
    let (partitions, source) = growing_channel("sensors", 4, events(&[]).schema());
    let stream = Stream::from_channel(source).unwrap().event_time("t", in_order()).unwrap();
    let (sink, rows) = sinks::ordered();
    let handle = engine().start(Job::new("grow").write(&stream, sink).unwrap()).unwrap();
    for i in 0..20 {
        let sender = partitions.add();
        sender.send_blocking(events(&[(i, "a", i), (i + 100, "b", i)])).unwrap();
        wait_for("reading", || handle.metrics().rows_read, |rows| *rows == 2 * (i as u64 + 1));
    }
    assert!(!handle.is_finished(), "another partition may come");
    drop(partitions);
    handle.wait().unwrap();
    let rows = lines(&rows.take());
    assert_eq!(rows.len(), 40);
    assert!(rows[..20].iter().enumerate().all(|(i, row)| row == &format!("{i} 'a' {i}")), "{rows:?}");
}

#[test]
fn a_growing_source_without_partitions_ends_when_none_can_come() {
    let (partitions, source) = growing_channel("sensors", 4, events(&[]).schema());
    let stream = Stream::from_channel(source).unwrap();
    let (sink, rows) = sinks::multiset();
    let handle = engine().start(Job::new("none").write(&stream, sink).unwrap()).unwrap();
    drop(partitions);
    handle.wait().unwrap();
    assert!(rows.take().is_empty());
}

/// A window does not wait for partitions that nobody knows of; a row that comes for it in such a
/// partition is late, and fires nothing again.
#[test]
fn a_new_partition_never_moves_the_watermark_back() {
    let (partitions, source) = growing_channel("sensors", 4, events(&[]).schema());
    let stream = Stream::from_channel(source).unwrap().event_time("t", in_order()).unwrap();
    let windows = stream.window(tumbling(micros(10))).unwrap().group_by(["k"]).unwrap();
    let (windows, late) = windows.aggregate([sum(col("n")).alias("n")]).unwrap().split_late().unwrap();
    let (sink, mut results) = to_channel(16);
    let (late_sink, late_rows) = sinks::ordered();
    let job = Job::new("late").write(&windows, sink).unwrap().write(&late, late_sink).unwrap();
    let handle = engine().start(job).unwrap();
    let first = partitions.add();
    first.send_blocking(events(&[(2, "a", 1), (15, "a", 2)])).unwrap();
    assert_eq!(lines(&[results.recv_blocking().unwrap().unwrap()]), ["0 10 'a' 1"]);
    let second = partitions.add();
    second.send_blocking(events(&[(3, "a", 100), (16, "a", 4)])).unwrap();
    wait_for("the late row", || handle.metrics().late_rows, |rows| *rows == 1);
    drop((partitions, first, second));
    assert_eq!(lines(&[results.recv_blocking().unwrap().unwrap()]), ["10 20 'a' 6"]);
    assert!(results.recv_blocking().unwrap().is_none());
    handle.wait().unwrap();
    assert_eq!(lines(&late_rows.take()), ["3 'a' 100"]);
}

/// A source that does what it is told, and counts.
#[derive(Debug)]
struct Watched {
    inner: Box<dyn Source>,
    may_grow: AtomicBool,
    discover: fn(usize) -> Result<(), ConnectError>,
    asked: AtomicUsize,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    open: AtomicUsize,
    open_max: AtomicUsize,
    pauses: AtomicUsize,
    resumes: AtomicUsize,
}

fn watch(inner: impl Source + 'static) -> (Watched, Arc<Counts>) {
    let counts = Arc::new(Counts::default());
    let watched = Watched {
        inner: Box::new(inner),
        may_grow: false.into(),
        discover: |_| Ok(()),
        asked: 0.into(),
        counts: counts.clone(),
    };
    (watched, counts)
}

impl Source for Watched {
    fn name(&self) -> String {
        self.inner.name()
    }

    fn schema(&self) -> SchemaRef {
        self.inner.schema()
    }

    fn boundedness(&self) -> Boundedness {
        self.inner.boundedness()
    }

    fn replayable(&self) -> bool {
        self.inner.replayable()
    }

    fn claim(&self) -> Result<(), ConnectError> {
        self.inner.claim()
    }

    fn may_grow(&self) -> bool {
        self.may_grow.load(Ordering::SeqCst)
    }

    fn on_growth(&self, waker: Waker) {
        self.inner.on_growth(waker);
    }

    fn discover(&self) -> Result<Vec<PartitionId>, ConnectError> {
        (self.discover)(self.asked.fetch_add(1, Ordering::SeqCst))?;
        self.inner.discover()
    }

    fn open(
        &self,
        partition: &PartitionId,
        from: Option<&Position>,
        request: &ReadRequest,
        spawner: &Arc<dyn Spawner>,
    ) -> Result<Box<dyn PartitionReader>, ConnectError> {
        let inner = self.inner.open(partition, from, request, spawner)?;
        let open = self.counts.open.fetch_add(1, Ordering::SeqCst) + 1;
        self.counts.open_max.fetch_max(open, Ordering::SeqCst);
        Ok(Box::new(WatchedReader { inner, counts: self.counts.clone() }))
    }
}

struct WatchedReader {
    inner: Box<dyn PartitionReader>,
    counts: Arc<Counts>,
}

impl PartitionReader for WatchedReader {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<SourceItem>, ConnectError>> {
        self.inner.poll_next(cx)
    }

    fn position(&self) -> Position {
        self.inner.position()
    }

    fn pause(&mut self) {
        self.counts.pauses.fetch_add(1, Ordering::SeqCst);
        self.inner.pause();
    }

    fn resume(&mut self) {
        self.counts.resumes.fetch_add(1, Ordering::SeqCst);
        self.inner.resume();
    }

    fn counters(&self) -> ReadCounters {
        self.inner.counters()
    }
}

impl Drop for WatchedReader {
    fn drop(&mut self) {
        self.counts.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Three hundred partitions are read by fewer tasks, in turn, and give what three hundred would.
#[test]
fn very_many_partitions_share_tasks_and_are_opened_one_after_the_other() {
    let partitions = 300;
    let rows = |p: i64| events(&[(p % 50, "a", p), (p % 50 + 7, "b", 1), (p % 50 + 30, "a", 1000)]);
    let batches: Vec<_> = (0..partitions).map(|p| vec![rows(p)]).collect();
    let mut results = Vec::new();
    for workers in [1, 4] {
        let source = MemorySource::new("many", events(&[]).schema(), batches.clone()).unwrap();
        let (source, counts) = watch(source);
        let stream = Stream::from_source(Arc::new(source)).unwrap().event_time("t", in_order()).unwrap();
        let windows = stream.window(tumbling(micros(10))).unwrap().group_by(["k"]).unwrap();
        let windows = windows.aggregate([sum(col("n")).alias("n"), count().alias("rows")]).unwrap();
        let engine = Engine::builder().workers(workers).build().unwrap();
        results.push(lines(&windows.collect_on(&engine).unwrap()));
        let open_max = counts.open_max.load(Ordering::SeqCst);
        assert!((1..=64).contains(&open_max), "{open_max} partitions were open at once");
    }
    let mut expected = std::collections::BTreeMap::<(i64, &str), (i64, i64)>::new();
    for p in 0..partitions {
        for (t, k, n) in [(p % 50, "a", p), (p % 50 + 7, "b", 1), (p % 50 + 30, "a", 1000)] {
            let (sum, rows) = expected.entry((t / 10 * 10, k)).or_default();
            *sum += n;
            *rows += 1;
        }
    }
    let line = |((start, k), (n, rows)): (&(i64, &str), &(i64, i64))| {
        format!("{start} {} '{k}' {n} {rows}", start + 10)
    };
    let expected: Vec<String> = expected.iter().map(line).collect();
    assert_eq!(results, [expected.clone(), expected]);
}

fn growing(discover: fn(usize) -> Result<(), ConnectError>) -> (sabot::ChannelPartitions, Watched) {
    let (partitions, source) = growing_channel("sensors", 4, events(&[]).schema());
    let (mut watched, _) = watch(source);
    watched.may_grow = true.into();
    watched.discover = discover;
    (partitions, watched)
}

/// Fails from the given call of `discover` on; the first two are the build's and the start's.
fn run_growing(discover: fn(usize) -> Result<(), ConnectError>) -> JobError {
    let (partitions, source) = growing(discover);
    let stream = Stream::from_source(Arc::new(source)).unwrap().named("read").unwrap();
    let (sink, _) = sinks::multiset();
    let engine = Engine::builder().workers(2).discovery_interval(Duration::from_millis(2)).build().unwrap();
    let handle = engine.start(Job::new("discover").write(&stream, sink).unwrap()).unwrap();
    let error = handle.wait().unwrap_err();
    drop(partitions);
    error
}

#[test]
fn a_source_that_cannot_look_for_partitions_ends_the_job() {
    let error = run_growing(|call| match call {
        0..4 => Ok(()),
        _ => Err(ConnectError::AlreadyClaimed { name: "broker".to_owned() }),
    });
    let text = error.to_string();
    assert!(matches!(error, JobError::Connect { .. }), "{error:?}");
    assert!(text.contains("read") && text.contains("broker"), "{text}");
}

#[test]
fn a_panic_while_looking_for_partitions_ends_the_job() {
    let error = run_growing(|call| match call {
        0..4 => Ok(()),
        _ => panic!("no partition today"),
    });
    let text = error.to_string();
    assert!(text.starts_with("operator read panicked: no partition today;"), "{text}");
}

fn watched_channel() -> (sabot::ChannelSender, Arc<dyn Source>, Arc<Counts>) {
    let (sender, source): (_, ChannelSource) = input_channel("events", 64, events(&[]).schema());
    let (source, counts) = watch(source);
    (sender, Arc::new(source), counts)
}

#[test]
fn a_partition_that_is_held_back_is_paused_and_resumed() {
    let (sender, source, counts) = watched_channel();
    let (sink, mut results) = to_channel(1);
    let stream = Stream::from_source(source).unwrap();
    let engine = Engine::builder().workers(1).queue_morsels(1).pause_after(Duration::from_millis(3));
    let engine = engine.build().unwrap();
    let handle = engine.start(Job::new("pause").write(&stream, sink).unwrap()).unwrap();
    for i in 0..40 {
        sender.send_blocking(events(&[(i, "a", i)])).unwrap();
    }
    wait_for("a pause", || counts.pauses.load(Ordering::SeqCst), |pauses| *pauses == 1);
    assert_eq!(counts.resumes.load(Ordering::SeqCst), 0);
    drop(sender);
    let mut rows = Vec::new();
    while let Some(batch) = results.recv_blocking().unwrap() {
        rows.extend(lines(&[batch]));
    }
    handle.wait().unwrap();
    assert_eq!(rows, (0..40).map(|i| format!("{i} 'a' {i}")).collect::<Vec<_>>());
    let (pauses, resumes) = (counts.pauses.load(Ordering::SeqCst), counts.resumes.load(Ordering::SeqCst));
    assert_eq!(pauses, resumes);
}

/// Full queues that empty again soon are no reason to pause.
#[test]
fn a_partition_that_is_read_again_soon_is_not_paused() {
    let (sender, source, counts) = watched_channel();
    let (sink, mut results) = to_channel(1);
    let stream = Stream::from_source(source).unwrap();
    let engine = Engine::builder().workers(1).queue_morsels(1).pause_after(Duration::from_secs(3600));
    let engine = engine.build().unwrap();
    let handle = engine.start(Job::new("pause").write(&stream, sink).unwrap()).unwrap();
    for i in 0..40 {
        sender.send_blocking(events(&[(i, "a", i)])).unwrap();
    }
    drop(sender);
    while results.recv_blocking().unwrap().is_some() {}
    handle.wait().unwrap();
    assert_eq!(counts.pauses.load(Ordering::SeqCst), 0);
}
