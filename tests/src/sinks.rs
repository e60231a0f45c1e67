//! Sinks that tests look into: without order, and slow ones.

use arrow::datatypes::SchemaRef;
use sabot_batch::Morsel;
use sabot_common::Epoch;
use sabot_connect::{CollectSink, Collected, Committable, ConnectError, Sink, SinkOrder, SinkWriter};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

/// Collects rows in order.
pub fn ordered() -> (Arc<dyn Sink>, Collected) {
    let (sink, collected) = CollectSink::new("ordered");
    (Arc::new(sink), collected)
}

/// Collects rows as they come.
pub fn multiset() -> (Arc<dyn Sink>, Collected) {
    let (inner, collected) = CollectSink::new("multiset");
    (Arc::new(Multiset(inner)), collected)
}

#[derive(Debug)]
struct Multiset(CollectSink);

impl Sink for Multiset {
    fn name(&self) -> String {
        self.0.name()
    }

    fn order(&self) -> SinkOrder {
        SinkOrder::Multiset
    }

    fn accepts_changes(&self) -> bool {
        false
    }

    fn open(&self, schema: SchemaRef, task: u32) -> Result<Box<dyn SinkWriter>, ConnectError> {
        self.0.open(schema, task)
    }

    fn commit(&self, epoch: Epoch, staged: &[Committable]) -> Result<(), ConnectError> {
        self.0.commit(epoch, staged)
    }

    fn finish(&self) -> Result<(), ConnectError> {
        self.0.finish()
    }

    fn abort(&self) -> Result<(), ConnectError> {
        self.0.abort()
    }
}

/// What a sink of [`dropping`] has seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// Rows written.
    pub rows: AtomicU64,
    /// Times that it was not ready.
    pub refusals: AtomicU64,
    /// Commits.
    pub commits: AtomicU64,
    /// Aborts.
    pub aborts: AtomicU64,
}

/// A sink that counts rows and drops them at a pace, and what it sees.
pub fn dropping(order: SinkOrder, pace: Pace) -> (Arc<dyn Sink>, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    (Arc::new(DropSink { seen: seen.clone(), order, pace }), seen)
}

#[derive(Debug)]
struct DropSink {
    seen: Arc<Seen>,
    order: SinkOrder,
    pace: Pace,
}

/// How a sink of [`dropping`] holds its job up.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// It does not.
    Free,
    /// It is not ready every so many times, and ready again at once.
    Stutter(u64),
    /// Each write takes this long, as a slow disk would.
    Slow(Duration),
}

impl Sink for DropSink {
    fn name(&self) -> String {
        "drop".to_owned()
    }

    fn order(&self) -> SinkOrder {
        self.order
    }

    fn accepts_changes(&self) -> bool {
        true
    }

    fn open(&self, _schema: SchemaRef, task: u32) -> Result<Box<dyn SinkWriter>, ConnectError> {
        Ok(Box::new(DropWriter { seen: self.seen.clone(), pace: self.pace, task, asked: 0 }))
    }

    fn commit(&self, _epoch: Epoch, _staged: &[Committable]) -> Result<(), ConnectError> {
        self.seen.commits.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn finish(&self) -> Result<(), ConnectError> {
        Ok(())
    }

    fn abort(&self) -> Result<(), ConnectError> {
        self.seen.aborts.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

struct DropWriter {
    seen: Arc<Seen>,
    pace: Pace,
    task: u32,
    asked: u64,
}

impl SinkWriter for DropWriter {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        self.asked += 1;
        if let Pace::Stutter(every) = self.pace
            && self.asked.is_multiple_of(every)
        {
            self.seen.refusals.fetch_add(1, Ordering::SeqCst);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn write(&mut self, morsel: &Morsel) -> Result<(), ConnectError> {
        if let Pace::Slow(time) = self.pace {
            std::thread::sleep(time);
        }
        self.seen.rows.fetch_add(morsel.live_rows() as u64, Ordering::SeqCst);
        Ok(())
    }

    fn stage(&mut self, epoch: Epoch) -> Result<Committable, ConnectError> {
        Ok(Committable { epoch, task: self.task, rows: 0, parts: Vec::new() })
    }

    fn close(&mut self) {}
}
