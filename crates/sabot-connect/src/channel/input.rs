//! Channels into a job.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::queue::{Queue, Waiter};
use crate::pull::{Pull, PullReader, only_from_start};
use crate::shape::Shaper;
use crate::sink::check_schema;
use crate::source::unknown_partition;
use crate::{
    Boundedness, ConnectError, PartitionId, PartitionReader, Position, ReadRequest, Source, Spawner,
};

/// A channel of one partition: what is sent by the sender and its clones, in the order in which the
/// channel took it. It holds at most `capacity` batches (at least 1) before senders wait.
///
/// ```
/// use arrow::array::{ArrayRef, Int64Array, RecordBatch};
/// use sabot_connect::{Source, input_channel};
/// let a: ArrayRef = std::sync::Arc::new(Int64Array::from(vec![1, 2]));
/// let batch = RecordBatch::try_from_iter([("a", a)])?;
/// let (sender, source) = input_channel("orders", 4, batch.schema());
/// sender.send_blocking(batch)?;
/// assert_eq!(source.discover()?.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn input_channel(
    name: impl Into<Arc<str>>,
    capacity: usize,
    schema: SchemaRef,
) -> (ChannelSender, ChannelSource) {
    let (name, queue) = (name.into(), |name: &Arc<str>| Queue::new(name.clone(), "reader", capacity));
    let lane = queue(&name);
    let sender = ChannelSender::new(lane.clone(), schema.clone());
    (sender, ChannelSource::new(name, schema, vec![lane], false))
}

/// A channel of `partitions` partitions (at least 1), each with a sender and a capacity of its own. The
/// application decides which row belongs to which partition.
///
/// ```
/// # use arrow::datatypes::Schema;
/// # use sabot_connect::{Source, input_channels};
/// let (senders, source) = input_channels("orders", 3, 4, Schema::empty().into());
/// assert_eq!((senders.len(), source.discover()?.len()), (3, 3));
/// # Ok::<(), sabot_connect::ConnectError>(())
/// ```
pub fn input_channels(
    name: impl Into<Arc<str>>,
    partitions: usize,
    capacity: usize,
    schema: SchemaRef,
) -> (Vec<ChannelSender>, ChannelSource) {
    let name: Arc<str> = name.into();
    let lanes: Vec<Arc<Queue>> = (0..partitions.max(1))
        .map(|i| Queue::new(format!("{name}/{i}").into(), "reader", capacity))
        .collect();
    let senders = lanes.iter().map(|lane| ChannelSender::new(lane.clone(), schema.clone())).collect();
    (senders, ChannelSource::new(name, schema, lanes, false))
}

/// A channel whose partitions come while the job runs: each call of [`ChannelPartitions::add`] makes one,
/// with a sender and a capacity of its own.
///
/// ```
/// use arrow::array::{ArrayRef, Int64Array, RecordBatch};
/// use sabot_connect::{Source, growing_channel};
/// let a: ArrayRef = std::sync::Arc::new(Int64Array::from(vec![1, 2]));
/// let batch = RecordBatch::try_from_iter([("a", a)])?;
/// let (partitions, source) = growing_channel("sensors", 4, batch.schema());
/// assert_eq!(source.discover()?.len(), 0);
/// let sender = partitions.add();
/// sender.send_blocking(batch)?;
/// assert_eq!(source.discover()?.len(), 1);
/// drop(partitions);
/// assert!(!source.may_grow());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn growing_channel(
    name: impl Into<Arc<str>>,
    capacity: usize,
    schema: SchemaRef,
) -> (ChannelPartitions, ChannelSource) {
    let source = ChannelSource::new(name.into(), schema, Vec::new(), true);
    (ChannelPartitions { lanes: source.lanes.clone(), schema: source.schema.clone(), capacity }, source)
}

/// Adds partitions to a channel; see [`growing_channel`]. The job ends when this is dropped and all
/// senders are.
///
/// ```
/// # use arrow::datatypes::Schema;
/// # use sabot_connect::{Source, growing_channel};
/// let (partitions, source) = growing_channel("sensors", 4, Schema::empty().into());
/// let _first = partitions.add();
/// let _second = partitions.add();
/// assert_eq!(source.discover()?.len(), 2);
/// # Ok::<(), sabot_connect::ConnectError>(())
/// ```
#[derive(Debug)]
pub struct ChannelPartitions {
    lanes: Arc<Lanes>,
    schema: SchemaRef,
    capacity: usize,
}

impl ChannelPartitions {
    /// A new partition's sender. When no job can read the channel any more, sending says so.
    pub fn add(&self) -> ChannelSender {
        let (sender, wakers) = {
            let mut state = self.lanes.lock();
            let name = format!("{}/{}", self.lanes.name, state.lanes.len());
            let queue = Queue::new(name.into(), "reader", self.capacity);
            let sender = ChannelSender::new(queue.clone(), self.schema.clone());
            match state.closed {
                true => queue.close_consumer(),
                false => state.lanes.push(Lane::new(queue)),
            }
            (sender, std::mem::take(&mut state.wakers))
        };
        wakers.into_iter().for_each(Waker::wake);
        sender
    }
}

impl Drop for ChannelPartitions {
    fn drop(&mut self) {
        let wakers = {
            let mut state = self.lanes.lock();
            state.may_grow = false;
            std::mem::take(&mut state.wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// Sends batches into a job. The partition ends when its last sender is dropped.
///
/// ```
/// # use arrow::array::{ArrayRef, Int64Array, RecordBatch};
/// # use sabot_connect::input_channel;
/// # use std::sync::Arc;
/// # let batch = RecordBatch::try_from_iter([("a", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef)])?;
/// let (sender, source) = input_channel("orders", 2, batch.schema());
/// assert_eq!(sender.schema(), &batch.schema());
/// sender.send_blocking(batch.clone())?;
/// assert_eq!(sender.try_send(batch.clone())?, None);
/// assert_eq!(sender.try_send(batch.clone())?, Some(batch.clone())); // full, so it comes back
/// drop(source);
/// assert!(sender.send_blocking(batch).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ChannelSender {
    queue: Arc<Queue>,
    schema: SchemaRef,
}

impl ChannelSender {
    fn new(queue: Arc<Queue>, schema: SchemaRef) -> Self {
        queue.add_producer();
        Self { queue, schema }
    }

    /// The schema that batches must have.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Sends a batch, waiting for room without holding a thread. A batch without rows is dropped.
    ///
    /// ```
    /// # use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    /// # use sabot_connect::input_channel;
    /// # use std::{future::Future, pin::pin, sync::Arc, task::{Context, Poll, Waker}};
    /// # let batch = RecordBatch::try_from_iter([("a", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef)])?;
    /// # let (sender, _source) = input_channel("orders", 2, batch.schema());
    /// let sent = async { sender.send(batch).await };
    /// # let mut context = Context::from_waker(Waker::noop());
    /// assert!(matches!(pin!(sent).poll(&mut context), Poll::Ready(Ok(()))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ConnectError::SchemaMismatch`], or [`ConnectError::ChannelClosed`] once no job can read it.
    pub fn send(&self, batch: RecordBatch) -> Sending<'_> {
        Sending { sender: self, batch: Some(batch), waiter: Waiter::default() }
    }

    /// Sends a batch, waiting for room on this thread. A batch without rows is dropped.
    ///
    /// # Errors
    /// As [`ChannelSender::send`].
    pub fn send_blocking(&self, batch: RecordBatch) -> Result<(), ConnectError> {
        check_schema(self.queue.name(), &self.schema, &batch.schema())?;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.queue.reserve_blocking()?;
        self.queue.push(batch, true)
    }

    /// Sends a batch if there is room, and gives it back if there is none.
    ///
    /// # Errors
    /// As [`ChannelSender::send`].
    pub fn try_send(&self, batch: RecordBatch) -> Result<Option<RecordBatch>, ConnectError> {
        check_schema(self.queue.name(), &self.schema, &batch.schema())?;
        if batch.num_rows() == 0 {
            return Ok(None);
        }
        match self.queue.try_reserve()? {
            true => self.queue.push(batch, true).map(|()| None),
            false => Ok(Some(batch)),
        }
    }
}

impl Clone for ChannelSender {
    fn clone(&self) -> Self {
        Self::new(self.queue.clone(), self.schema.clone())
    }
}

impl Drop for ChannelSender {
    fn drop(&mut self) {
        self.queue.remove_producer();
    }
}

/// A batch on its way into a channel; see [`ChannelSender::send`]. Dropping it before it is ready sends
/// nothing.
#[derive(Debug)]
#[must_use = "nothing is sent until the future is polled"]
pub struct Sending<'a> {
    sender: &'a ChannelSender,
    batch: Option<RecordBatch>,
    waiter: Waiter,
}

impl Future for Sending<'_> {
    type Output = Result<(), ConnectError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let queue = &this.sender.queue;
        match &this.batch {
            None => return Poll::Ready(Ok(())),
            Some(batch) => check_schema(queue.name(), &this.sender.schema, &batch.schema())?,
        }
        let Some(batch) = this.batch.take_if(|batch| batch.num_rows() > 0) else {
            return Poll::Ready(Ok(()));
        };
        match queue.poll_reserve(cx, &mut this.waiter) {
            Poll::Ready(reserved) => Poll::Ready(reserved.and_then(|()| queue.push(batch, true))),
            Poll::Pending => {
                this.batch = Some(batch);
                Poll::Pending
            }
        }
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.sender.queue.leave(&mut self.waiter, false);
    }
}

/// The job's end of an input channel. It can be claimed by one job, and its rows cannot be read twice.
///
/// ```
/// # use arrow::datatypes::Schema;
/// # use sabot_connect::{Boundedness, Source, input_channel};
/// let (_sender, source) = input_channel("orders", 4, Schema::empty().into());
/// assert_eq!((source.name(), source.boundedness()), ("channel orders".to_owned(), Boundedness::Unbounded));
/// let source = source.with_boundedness(Boundedness::Bounded); // the program will drop its senders
/// assert_eq!(source.boundedness(), Boundedness::Bounded);
/// ```
#[derive(Debug)]
pub struct ChannelSource {
    name: Arc<str>,
    schema: SchemaRef,
    boundedness: Boundedness,
    claimed: AtomicBool,
    lanes: Arc<Lanes>,
}

/// The partitions of a channel.
#[derive(Debug)]
struct Lanes {
    name: Arc<str>,
    state: Mutex<LaneState>,
}

#[derive(Debug)]
struct LaneState {
    lanes: Vec<Lane>,
    may_grow: bool,
    /// The source is gone.
    closed: bool,
    wakers: Vec<Waker>,
}

impl Lanes {
    fn lock(&self) -> MutexGuard<'_, LaneState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Lane {
    id: PartitionId,
    queue: Arc<Queue>,
    opened: bool,
}

impl Lane {
    fn new(queue: Arc<Queue>) -> Self {
        Self { id: PartitionId::new(queue.name().clone()), queue, opened: false }
    }
}

impl ChannelSource {
    fn new(name: Arc<str>, schema: SchemaRef, queues: Vec<Arc<Queue>>, may_grow: bool) -> Self {
        let lanes = queues.into_iter().map(Lane::new).collect();
        let state = Mutex::new(LaneState { lanes, may_grow, closed: false, wakers: Vec::new() });
        let lanes = Arc::new(Lanes { name: name.clone(), state });
        Self { name, schema, boundedness: Boundedness::Unbounded, claimed: false.into(), lanes }
    }

    /// Says whether the application will drop its senders at some point. A channel counts as unbounded
    /// unless it is told otherwise.
    #[must_use]
    pub fn with_boundedness(mut self, boundedness: Boundedness) -> Self {
        self.boundedness = boundedness;
        self
    }
}

impl Source for ChannelSource {
    fn name(&self) -> String {
        format!("channel {}", self.name)
    }

    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn boundedness(&self) -> Boundedness {
        self.boundedness
    }

    fn replayable(&self) -> bool {
        false
    }

    fn claim(&self) -> Result<(), ConnectError> {
        match self.claimed.swap(true, Ordering::AcqRel) {
            false => Ok(()),
            true => Err(ConnectError::AlreadyClaimed { name: self.name() }),
        }
    }

    fn may_grow(&self) -> bool {
        self.lanes.lock().may_grow
    }

    fn on_growth(&self, waker: Waker) {
        let mut state = self.lanes.lock();
        if state.may_grow {
            state.wakers.push(waker);
        }
    }

    fn discover(&self) -> Result<Vec<PartitionId>, ConnectError> {
        Ok(self.lanes.lock().lanes.iter().map(|lane| lane.id.clone()).collect())
    }

    fn open(
        &self,
        partition: &PartitionId,
        from: Option<&Position>,
        request: &ReadRequest,
        _spawner: &Arc<dyn Spawner>,
    ) -> Result<Box<dyn PartitionReader>, ConnectError> {
        let known = self.discover()?;
        if !known.contains(partition) {
            return Err(unknown_partition(&self.name(), partition, &known));
        }
        only_from_start(self.name(), "channel", from)?;
        let shaper = Shaper::new(self.name(), &self.schema, request)?;
        let mut state = self.lanes.lock();
        let lane = state.lanes.iter_mut().find(|lane| lane.id == *partition && !lane.opened);
        let Some(lane) = lane else {
            return Err(ConnectError::AlreadyClaimed { name: self.name() });
        };
        lane.opened = true;
        let open = OpenLane(lane.queue.clone());
        drop(state);
        Ok(Box::new(PullReader::new(open, shaper, request)))
    }
}

impl Drop for ChannelSource {
    fn drop(&mut self) {
        // A partition that was opened lives on in its reader; the others can never be read now.
        let mut state = self.lanes.lock();
        state.closed = true;
        for lane in state.lanes.iter().filter(|lane| !lane.opened) {
            lane.queue.close_consumer();
        }
    }
}

/// A partition that is being read.
struct OpenLane(Arc<Queue>);

impl Pull for OpenLane {
    fn poll_batch(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<RecordBatch>, ConnectError>> {
        self.0.poll_pop(cx)
    }
}

impl Drop for OpenLane {
    fn drop(&mut self) {
        self.0.close_consumer();
    }
}
