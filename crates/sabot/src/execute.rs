//! A running stream as an async stream of batches.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use futures_core::Stream as AsyncStream;
use sabot_connect::ChannelReceiver;
use sabot_exec::{JobHandle, JobMetrics};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use crate::{Engine, Job, Result, Stream, to_channel};

/// Batches that a running job holds between two polls before it waits.
const BATCHES_AHEAD: usize = 4;

/// The batches of a running job, as they come; dropping it aborts the job.
///
/// After the last batch the job's own end is awaited: an error of the job is the stream's last item.
/// Polling is cancel-safe: a batch is either given out or still there.
///
/// ```
/// # use sabot::prelude::*;
/// # use std::{future::poll_fn, pin::Pin};
/// use futures_core::Stream as _;
///
/// let late = Stream::read(csv("data/flights.csv"))?.filter(col("delay").gt(15))?;
/// let mut batches = late.execute_stream(&Engine::new()?)?;
/// assert_eq!(batches.schema().fields().len(), 3);
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let mut rows = 0;
/// while let Some(batch) = poll_fn(|cx| Pin::new(&mut batches).poll_next(cx)).await {
///     rows += batch?.num_rows();
/// }
/// assert_eq!(rows, 2);
/// assert_eq!(batches.metrics().rows_written, 2);
/// # Ok::<(), sabot::Error>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct BatchStream {
    schema: SchemaRef,
    receiver: ChannelReceiver,
    handle: JobHandle,
    over: bool,
}

impl BatchStream {
    pub(crate) fn start(stream: &Stream, engine: &Engine) -> Result<Self> {
        let (sink, receiver) = to_channel(BATCHES_AHEAD);
        let handle = engine.start(Job::new("execute_stream").write(stream, sink)?)?;
        Ok(Self { schema: stream.schema().clone(), receiver, handle, over: false })
    }

    /// The columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// What the job has done so far.
    pub fn metrics(&self) -> JobMetrics {
        self.handle.metrics()
    }
}

impl AsyncStream for BatchStream {
    type Item = Result<RecordBatch>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.over {
            return Poll::Ready(None);
        }
        if let Poll::Ready(received) = this.receiver.poll_recv(cx) {
            if let Ok(Some(batch)) = received {
                return Poll::Ready(Some(Ok(batch)));
            }
            // The rows are through, or the sink is gone: the job itself says which.
        } else {
            return Poll::Pending;
        }
        match pin!(&this.handle).poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(outcome) => {
                this.over = true;
                Poll::Ready(outcome.err().map(|error| Err(error.into())))
            }
        }
    }
}
