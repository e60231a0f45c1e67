//! A running job: what its tasks share.

use sabot_batch::Morsel;
use sabot_checkpoint::Cut;
use sabot_common::{Epoch, OperatorId};
use sabot_connect::{Committable, ConnectError, Sink};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::budget::JobAccount;
use crate::checkpoint::Message;
use crate::element::{Barrier, BarrierKind};
use crate::ending::{Ending, Outcome};
use crate::engine::{EngineCore, RunningJobs};
use crate::error::JobError;
use crate::metrics::Counters;
use crate::scheduler::{TaskCell, TaskOwner, panic_message};
use crate::source_task::NewPartition;

/// How a job is told to stop.
///
/// ```
/// # use sabot::prelude::*;
/// # use arrow::datatypes::{Field, Schema};
/// # use std::sync::Arc;
/// let schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Int64, false)]));
/// let (_sender, source) = input_channel("numbers", 4, schema);
/// let (sink, mut results) = to_channel(4);
/// let job = Job::new("copy").write(&Stream::from_channel(source)?, sink)?.start()?;
/// job.stop(Stop::Drain); // although the sender is still there
/// job.wait()?;
/// assert_eq!(results.recv_blocking()?, None);
/// # Ok::<(), sabot::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Sources end where they are, the final watermark fires every open window, sinks commit.
    Drain,
    /// Sources end where they are and rows in flight settle, but no window fires: what is still open
    /// belongs to a later run.
    Suspend,
}

/// Orders from the job to one source task.
#[derive(Debug, Default)]
pub(crate) struct SourceOrders {
    pub(crate) barriers: Vec<Barrier>,
    pub(crate) stop: Option<Stop>,
    /// Partitions that have come and are this task's to read.
    pub(crate) partitions: Vec<NewPartition>,
    /// No partition can come any more.
    pub(crate) complete: bool,
    /// Nobody wants further rows: the source ends as if it had none.
    pub(crate) enough: bool,
}

/// The mailbox of one source task.
#[derive(Debug)]
pub(crate) struct SourceControl {
    pub(crate) orders: Mutex<SourceOrders>,
    pub(crate) pending: AtomicBool,
    pub(crate) waker: Waker,
}

impl SourceControl {
    /// Ends the source because nobody wants further rows of it.
    pub(crate) fn enough(&self) {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).enough = true;
        self.pending.store(true, Ordering::SeqCst);
        self.waker.wake_by_ref();
    }
}

/// A sink of the job, with what its writers staged.
pub(crate) struct JobSink {
    pub(crate) operator: OperatorId,
    pub(crate) sink: Arc<dyn Sink>,
}

impl JobSink {
    fn attempt(&self, f: impl FnOnce(&dyn Sink) -> Result<(), ConnectError>) -> Result<(), JobError> {
        match guarded(|| f(&*self.sink)) {
            Ok(result) => result.map_err(|e| JobError::connect(&self.operator, e)),
            Err(message) => Err(JobError::Panicked { operator: self.operator.clone(), message }),
        }
    }
}

/// What the tasks of a job share.
pub(crate) struct JobCore {
    pub(crate) name: String,
    pub(crate) counters: Counters,
    pub(crate) account: Arc<JobAccount>,
    pub(crate) state_limit: usize,
    pub(crate) morsel_rows: usize,
    running: Arc<RunningJobs>,
    sinks: Vec<JobSink>,
    /// Who makes the job's checkpoints, and commits.
    checkpoints: Option<Sender<Message>>,
    live: AtomicUsize,
    cancelled: AtomicBool,
    epochs: AtomicU64,
    keyed_tasks: AtomicUsize,
    shared: Mutex<Shared>,
    /// Another run may follow this one.
    supervised: bool,
    pub(crate) ending: Ending,
}

#[derive(Default)]
struct Shared {
    error: Option<JobError>,
    tasks: Vec<Arc<TaskCell>>,
    sources: Vec<Arc<SourceControl>>,
    staged: Vec<(usize, Committable)>,
    barriers_at_sinks: Vec<(usize, Barrier)>,
    snapshots: BTreeMap<Epoch, Snapshot>,
}

/// State of the keyed operators, by operator and task.
pub type Snapshot = BTreeMap<(OperatorId, u32), Vec<Morsel>>;

impl JobCore {
    pub(crate) fn new(
        name: String,
        engine: &Arc<EngineCore>,
        sinks: Vec<JobSink>,
        checkpoints: Option<Sender<Message>>,
        supervised: bool,
    ) -> Arc<Self> {
        let config = &engine.config;
        Arc::new(JobCore {
            name,
            counters: Counters::default(),
            account: JobAccount::new(engine.budget.clone()),
            state_limit: config.memory_budget,
            morsel_rows: config.morsel_rows,
            running: engine.jobs.clone(),
            sinks,
            checkpoints,
            live: AtomicUsize::new(0),
            cancelled: AtomicBool::new(false),
            epochs: AtomicU64::new(Epoch::FIRST.0),
            keyed_tasks: AtomicUsize::new(0),
            shared: Mutex::default(),
            supervised,
            ending: Ending::default(),
        })
    }

    /// One more keyed task belongs to the job.
    pub(crate) fn add_keyed_task(&self) {
        self.keyed_tasks.fetch_add(1, Ordering::SeqCst);
    }

    /// Takes the built tasks and lets all of them have a first look.
    pub(crate) fn launch(&self, tasks: Vec<Arc<TaskCell>>, sources: Vec<Arc<SourceControl>>) {
        self.live.store(tasks.len(), Ordering::SeqCst);
        {
            let mut shared = self.lock();
            shared.tasks.clone_from(&tasks);
            shared.sources = sources;
        }
        if tasks.is_empty() {
            self.end();
        }
        for task in tasks {
            task.waker().wake();
        }
    }

    /// The error that ends the job. The first one counts; everything else stops.
    pub(crate) fn fail(&self, error: JobError) {
        {
            let mut shared = self.lock();
            if shared.error.is_none() && !self.ending.is_known() {
                tracing::warn!(job = %self.name, error = %error, "job failed");
                shared.error = Some(error);
            }
        }
        self.cancel();
    }

    fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        let tasks = self.lock().tasks.clone();
        for task in tasks {
            task.waker().wake();
        }
    }

    /// A sink's writer has staged an epoch.
    pub(crate) fn staged(&self, sink: usize, committable: Committable) {
        self.lock().staged.push((sink, committable));
    }

    /// A barrier has come through every operator to a sink.
    pub(crate) fn barrier_arrived(&self, sink: usize, barrier: Barrier) {
        if self.checkpoints.is_none() {
            self.lock().barriers_at_sinks.push((sink, barrier));
        }
    }

    /// A keyed task hands over its state as of a barrier.
    pub(crate) fn snapshot(&self, epoch: Epoch, operator: &OperatorId, task: u32, state: Vec<Morsel>) {
        // With checkpoints only tasks hand theirs over here that take no part in them.
        if self.checkpoints.is_some() {
            return;
        }
        let mut shared = self.lock();
        let snapshot = shared.snapshots.entry(epoch).or_default();
        snapshot.insert((operator.clone(), task), state);
        if snapshot.len() == self.keyed_tasks.load(Ordering::SeqCst) {
            // Complete: what is older serves nobody any more.
            shared.snapshots = shared.snapshots.split_off(&epoch);
        }
    }

    /// The epoch that is open now: what a sink stages at its end belongs to it.
    pub(crate) fn open_epoch(&self) -> Epoch {
        Epoch(self.epochs.load(Ordering::SeqCst))
    }

    /// Sends the barrier of an epoch, which the job's driver has numbered, given the newest one that is stored.
    pub(crate) fn inject(&self, epoch: Epoch, cut: Cut, stored: Option<Epoch>) {
        let (kind, stop) = match cut {
            Cut::Checkpoint | Cut::Savepoint => (BarrierKind::Checkpoint, None),
            Cut::Suspend => (BarrierKind::Suspend, Some(Stop::Suspend)),
        };
        self.begin_at(epoch);
        self.order(Some(kind), stop, stored);
    }

    /// The number of the next epoch.
    pub(crate) fn begin_at(&self, epoch: Epoch) {
        self.epochs.store(epoch.0, Ordering::SeqCst);
    }

    /// Asks for a cut; false where there are no checkpoints.
    fn request(&self, cut: Cut) -> bool {
        self.checkpoints.as_ref().is_some_and(|driver| driver.send(Message::Requested(cut)).is_ok())
    }

    /// Does something with a sink of the topology, whose numbers are those of the job.
    pub(crate) fn at_sink(
        &self,
        index: u32,
        f: impl FnOnce(&dyn Sink) -> Result<(), String>,
    ) -> Result<(), String> {
        let sink = self.sinks.get(index as usize).ok_or_else(|| format!("there is no sink {index}"))?;
        guarded(|| f(&*sink.sink)).and_then(|result| result)
    }

    /// Why the job has failed, if it has.
    pub(crate) fn failure(&self) -> Option<JobError> {
        let error = self.lock().error.clone();
        error.or_else(|| self.cancelled.load(Ordering::SeqCst).then_some(JobError::Aborted))
    }

    fn order(&self, kind: Option<BarrierKind>, stop: Option<Stop>, stored: Option<Epoch>) -> Option<Epoch> {
        let shared = self.lock();
        let epoch = kind.map(|_| Epoch(self.epochs.fetch_add(1, Ordering::SeqCst)));
        for source in &shared.sources {
            let mut orders = source.orders.lock().unwrap_or_else(PoisonError::into_inner);
            if let (Some(epoch), Some(kind)) = (epoch, kind) {
                orders.barriers.push(Barrier { epoch, kind, stored });
            }
            orders.stop = orders.stop.or(stop);
            drop(orders);
            source.pending.store(true, Ordering::SeqCst);
            source.waker.wake_by_ref();
        }
        epoch
    }

    /// All tasks are gone: commit or abort, then tell whoever waits. With checkpoints that is the driver's to do.
    fn end(&self) {
        let staged = {
            let mut shared = self.lock();
            shared.tasks.clear();
            shared.sources.clear();
            std::mem::take(&mut shared.staged)
        };
        match &self.checkpoints {
            Some(driver) => drop(driver.send(Message::Gone)),
            None => self.conclude(self.failure().map_or_else(|| self.commit(&staged), Err)),
        }
    }

    /// The job is over, and this is how.
    pub(crate) fn conclude(&self, outcome: Result<(), JobError>) {
        match &outcome {
            Err(_) if self.supervised => self.release_sinks(),
            Err(_) => self.abort_sinks(|_| true),
            // With checkpoints nothing that is staged is removed, and sinks only let go of their outputs. Where rows are
            // there at once, a run that is suspended ends well.
            Ok(()) if self.checkpoints.is_some() => {
                self.abort_sinks(|sink| sink.is_transactional());
                for sink in self.sinks.iter().filter(|sink| !sink.sink.is_transactional()) {
                    if let Err(error) = sink.attempt(|to| to.finish()) {
                        tracing::warn!(job = %self.name, %error, "an output was not ended");
                    }
                }
            }
            Ok(()) => {}
        }
        let outcome: Outcome = outcome.map(|()| self.counters.report());
        self.running.remove(self);
        self.ending.tell(outcome);
    }

    /// No other run follows one that has failed: what it has only let go of is given up.
    pub(crate) fn abandon(&self) {
        self.abort_sinks(|_| true);
    }

    fn commit(&self, staged: &[(usize, Committable)]) -> Result<(), JobError> {
        for (index, sink) in self.sinks.iter().enumerate() {
            let mut epochs: BTreeMap<Epoch, Vec<Committable>> = BTreeMap::new();
            for (_, committable) in staged.iter().filter(|(i, _)| *i == index) {
                epochs.entry(committable.epoch).or_default().push(committable.clone());
            }
            if epochs.is_empty() {
                // No task writes to it: it holds what readers put aside.
                epochs.insert(self.open_epoch(), Vec::new());
            }
            for (epoch, parts) in &epochs {
                sink.attempt(|to| to.commit(*epoch, parts))?;
            }
        }
        // Nothing is finished before everything is committed: a sink that refuses leaves no other
        // sink's file behind.
        self.sinks.iter().try_for_each(|sink| sink.attempt(|to| to.finish()))
    }

    fn abort_sinks(&self, of: impl Fn(&dyn Sink) -> bool) {
        self.let_go(self.sinks.iter().filter(|sink| of(&*sink.sink)), |sink| sink.abort());
    }

    fn release_sinks(&self) {
        self.let_go(self.sinks.iter(), |sink| sink.release());
    }

    fn let_go<'a>(
        &self,
        sinks: impl Iterator<Item = &'a JobSink>,
        how: impl Fn(&dyn Sink) -> Result<(), ConnectError>,
    ) {
        for sink in sinks {
            // The job is over already; a sink that cannot clean up adds a warning to that.
            if let Err(error) = sink.attempt(&how) {
                tracing::warn!(job = %self.name, %error, "an output was not cleaned up");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn guarded<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|payload| panic_message(payload.as_ref()))
}

impl TaskOwner for JobCore {
    fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }

    fn panicked(&self, task: &str, message: String) {
        self.fail(JobError::Panicked { operator: OperatorId::new(task), message });
    }

    fn gone(&self) {
        if self.live.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.end();
        }
    }
}

impl JobCore {
    /// Tells the job to stop. The first stop counts.
    pub(crate) fn stop(&self, stop: Stop) {
        match stop {
            Stop::Drain => drop(self.order(None, Some(stop), None)),
            Stop::Suspend if self.request(Cut::Suspend) => {}
            Stop::Suspend => drop(self.order(Some(BarrierKind::Suspend), Some(stop), None)),
        }
    }

    /// Asks for a savepoint and waits for it.
    pub(crate) fn savepoint(&self) -> Result<Epoch, JobError> {
        let failed = |reason: String| JobError::Checkpoint { reason };
        let driver = self.checkpoints.as_ref();
        let driver =
            driver.ok_or_else(|| failed("the job has none, so there can be no savepoint".to_owned()))?;
        let (asker, answer) = channel();
        let over = || failed("the job was over before the savepoint was written".to_owned());
        driver.send(Message::Savepoint(asker)).map_err(|_| over())?;
        // The driver lets go of the line when the job is over.
        answer.recv().map_err(|_| over())?.map_err(failed)
    }

    /// Sends a barrier, or asks for one; the epoch that it closes.
    pub(crate) fn barrier(&self) -> Epoch {
        if self.request(Cut::Checkpoint) {
            return self.open_epoch();
        }
        // An epoch is always there when a kind is given.
        self.order(Some(BarrierKind::Checkpoint), None, None).unwrap_or(Epoch::FIRST)
    }

    pub(crate) fn barriers_at_sinks(&self) -> Vec<(usize, Barrier)> {
        self.lock().barriers_at_sinks.clone()
    }

    /// The state as of the latest barrier that has passed all keyed tasks.
    pub(crate) fn newest_snapshot(&self) -> Option<(Epoch, Snapshot)> {
        let shared = self.lock();
        let complete = self.keyed_tasks.load(Ordering::SeqCst);
        let found = shared.snapshots.iter().rev().find(|(_, snapshot)| snapshot.len() == complete);
        found.map(|(epoch, snapshot)| (*epoch, snapshot.clone()))
    }

    /// Ends the job unless it has ended.
    pub(crate) fn abort(&self) {
        if !self.ending.is_known() {
            self.cancel();
        }
    }

    /// Waits until the job is over.
    pub(crate) fn wait(&self) -> Outcome {
        self.ending.wait()
    }
}
