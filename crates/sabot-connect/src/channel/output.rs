//! Channels out of a job.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use futures_core::Stream;
use sabot_batch::Morsel;
use sabot_common::Epoch;
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use super::queue::{Queue, Waiter};
use crate::sink::{check_schema, dense_rows};
use crate::{Committable, ConnectError, Sink, SinkOrder, SinkWriter};

/// A channel out of a job, with room for `capacity` batches (at least 1) before the job waits.
///
/// ```
/// # use arrow::array::{ArrayRef, Int64Array, RecordBatch};
/// # use sabot_connect::{Sink, output_channel};
/// # use std::sync::Arc;
/// # let batch = RecordBatch::try_from_iter([("a", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef)])?;
/// let (sink, mut receiver) = output_channel("results", 4);
/// let mut writer = sink.open(batch.schema(), 0)?;
/// writer.write(&batch.clone().into())?;
/// assert_eq!(receiver.recv_blocking()?, Some(batch));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn output_channel(name: impl Into<Arc<str>>, capacity: usize) -> (ChannelSink, ChannelReceiver) {
    let queue = Queue::new(name.into(), "receiver", capacity);
    let shared = Arc::new(Shared { queue, opened: Mutex::default() });
    (ChannelSink { shared: shared.clone() }, ChannelReceiver { shared })
}

#[derive(Debug)]
struct Shared {
    queue: Arc<Queue>,
    opened: Mutex<Opened>,
}

#[derive(Debug, Default)]
struct Opened {
    schema: Option<SchemaRef>,
    tasks: BTreeSet<u32>,
    /// The sink has a share in the queue of its own, so that the receiver meets no end between two runs of a job.
    held: bool,
}

impl Shared {
    fn opened(&self) -> MutexGuard<'_, Opened> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The job's end of an output channel.
///
/// Rows reach the receiver when they are written and not when their epoch is committed: what a job has
/// sent before it failed stays sent. The receiver then meets an error instead of the end. A job that goes
/// on from a checkpoint sends what came after the checkpoint a second time; a receiver that is there while the job is
/// started again by itself sees that, and no error.
#[derive(Debug)]
pub struct ChannelSink {
    shared: Arc<Shared>,
}

impl Sink for ChannelSink {
    fn name(&self) -> String {
        format!("channel {}", self.shared.queue.name())
    }

    fn order(&self) -> SinkOrder {
        SinkOrder::Multiset
    }

    fn accepts_changes(&self) -> bool {
        false
    }

    fn is_transactional(&self) -> bool {
        false
    }

    fn resume(&self, _schema: SchemaRef) -> Result<(), ConnectError> {
        let mut opened = self.shared.opened();
        // Those of the run before are gone.
        opened.tasks.clear();
        if !std::mem::replace(&mut opened.held, true) {
            self.shared.queue.add_producer();
        }
        Ok(())
    }

    fn open(&self, schema: SchemaRef, task: u32) -> Result<Box<dyn SinkWriter>, ConnectError> {
        let mut opened = self.shared.opened();
        if !opened.tasks.insert(task) {
            let reason = format!("task {task} has a writer already");
            return Err(ConnectError::LifeCycle { name: self.name(), reason });
        }
        opened.schema = Some(schema.clone());
        self.shared.queue.add_producer();
        Ok(Box::new(ChannelWriter {
            queue: self.shared.queue.clone(),
            name: self.name(),
            schema,
            task,
            rows: 0,
            waiter: Waiter::default(),
            reserved: false,
            closed: false,
            held: opened.held,
        }))
    }

    fn commit(&self, _epoch: Epoch, _staged: &[Committable]) -> Result<(), ConnectError> {
        Ok(())
    }

    fn finish(&self) -> Result<(), ConnectError> {
        self.shared.queue.finish();
        Ok(())
    }

    fn abort(&self) -> Result<(), ConnectError> {
        self.shared.queue.abort();
        Ok(())
    }

    fn release(&self) -> Result<(), ConnectError> {
        Ok(())
    }
}

impl Drop for ChannelSink {
    fn drop(&mut self) {
        // A sink that no job ever opened, or goes on with: its receiver must not wait for ever.
        let opened = self.shared.opened();
        if opened.tasks.is_empty() || opened.held {
            self.shared.queue.abort();
        }
    }
}

struct ChannelWriter {
    queue: Arc<Queue>,
    name: String,
    schema: SchemaRef,
    task: u32,
    rows: u64,
    waiter: Waiter,
    reserved: bool,
    closed: bool,
    /// Another run may go on where this one fails.
    held: bool,
}

impl SinkWriter for ChannelWriter {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        if self.reserved {
            return Poll::Ready(Ok(()));
        }
        let ready = self.queue.poll_reserve(cx, &mut self.waiter);
        self.reserved = matches!(ready, Poll::Ready(Ok(())));
        ready
    }

    fn write(&mut self, morsel: &Morsel) -> Result<(), ConnectError> {
        let batch = dense_rows(&self.name, morsel)?;
        check_schema(&self.name, &self.schema, &batch.schema())?;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.rows += batch.num_rows() as u64;
        self.queue.push(batch, std::mem::take(&mut self.reserved))
    }

    fn stage(&mut self, epoch: Epoch) -> Result<Committable, ConnectError> {
        let rows = std::mem::take(&mut self.rows);
        Ok(Committable { epoch, task: self.task, rows, parts: Vec::new() })
    }

    fn close(&mut self) {
        if !std::mem::replace(&mut self.closed, true) {
            self.queue.leave(&mut self.waiter, std::mem::take(&mut self.reserved));
            self.queue.remove_producer();
        }
    }
}

impl Drop for ChannelWriter {
    fn drop(&mut self) {
        if !self.closed {
            if !self.held {
                self.queue.abort();
            }
            self.close();
        }
    }
}

/// The application's end of an output channel. It is a [`Stream`] as well. Dropping it makes the job
/// fail with [`ConnectError::ChannelClosed`] at its next row.
///
/// ```
/// # use arrow::array::{ArrayRef, Int64Array, RecordBatch};
/// # use sabot_connect::{Sink, output_channel};
/// # use std::{future::Future, pin::pin, sync::Arc, task::{Context, Poll, Waker}};
/// # let batch = RecordBatch::try_from_iter([("a", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef)])?;
/// let (sink, mut receiver) = output_channel("results", 4);
/// assert_eq!(receiver.schema(), None);
/// let mut writer = sink.open(batch.schema(), 0)?;
/// assert_eq!(receiver.schema(), Some(batch.schema()));
/// writer.write(&batch.clone().into())?;
/// # let mut context = Context::from_waker(Waker::noop());
/// let received = async { receiver.recv().await };
/// assert!(matches!(pin!(received).poll(&mut context), Poll::Ready(Ok(Some(rows))) if rows == batch));
///
/// writer.close();
/// sink.finish()?;
/// assert!(matches!(receiver.poll_recv(&mut context), Poll::Ready(Ok(None))));
/// assert_eq!(receiver.recv_blocking()?, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ChannelReceiver {
    shared: Arc<Shared>,
}

impl ChannelReceiver {
    /// The schema of the batches, once a job has opened the channel.
    pub fn schema(&self) -> Option<SchemaRef> {
        self.shared.opened().schema.clone()
    }

    /// The next batch, `None` after the last, waiting without holding a thread.
    ///
    /// # Errors
    /// [`ConnectError::Aborted`] when the job ended early.
    pub fn recv(&mut self) -> Receiving<'_> {
        Receiving { receiver: self }
    }

    /// The next batch, `None` after the last, waiting on this thread.
    ///
    /// # Errors
    /// As [`ChannelReceiver::recv`].
    pub fn recv_blocking(&mut self) -> Result<Option<RecordBatch>, ConnectError> {
        self.shared.queue.pop_blocking()
    }

    /// The next batch, or `Pending` with the waker kept.
    ///
    /// # Errors
    /// As [`ChannelReceiver::recv`].
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<RecordBatch>, ConnectError>> {
        self.shared.queue.poll_pop(cx)
    }
}

impl Stream for ChannelReceiver {
    type Item = Result<RecordBatch, ConnectError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_recv(cx).map(Result::transpose)
    }
}

impl Drop for ChannelReceiver {
    fn drop(&mut self) {
        self.shared.queue.close_consumer();
    }
}

/// A batch awaited from a channel; see [`ChannelReceiver::recv`]. Dropping it loses nothing.
#[derive(Debug)]
#[must_use = "nothing is received until the future is polled"]
pub struct Receiving<'a> {
    receiver: &'a mut ChannelReceiver,
}

impl Future for Receiving<'_> {
    type Output = Result<Option<RecordBatch>, ConnectError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.get_mut().receiver.poll_recv(cx)
    }
}
