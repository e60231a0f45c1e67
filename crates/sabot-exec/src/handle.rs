//! The handle that the owner of a job holds.

use sabot_common::Epoch;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::element::Barrier;
use crate::ending::Ending;
use crate::engine::EngineCore;
use crate::error::JobError;
use crate::job::{JobCore, Snapshot, Stop};
use crate::metrics::JobMetrics;
use crate::supervisor::Supervisor;

/// A started job. Dropping the handle aborts the job unless it has ended.
///
/// `wait` blocks the calling thread and may be called from anywhere but the engine's own threads;
/// `.await` on the handle does the same in any async runtime.
///
/// ```
/// # use sabot::prelude::*;
/// let flights = Stream::read(csv("../sabot/data/flights.csv"))?;
/// let handle = Job::new("copy").write(&flights, to_memory().0)?.start()?;
/// assert_eq!(handle.name(), "copy");
/// let metrics = handle.wait()?;
/// assert!(handle.is_finished());
/// assert_eq!(handle.metrics(), metrics);
/// # Ok::<(), sabot::Error>(())
/// ```
#[must_use = "dropping the handle aborts the job"]
pub struct JobHandle {
    name: String,
    runs: Runs,
    /// Keeps the engine's threads until the job is over.
    _engine: Arc<EngineCore>,
}

/// The runs of a job.
pub(crate) enum Runs {
    /// There is one, and how it ends the job ends.
    One(Arc<JobCore>),
    /// Others may follow one that fails.
    Several(Arc<Supervisor>),
}

impl JobHandle {
    pub(crate) fn new(name: &str, runs: Runs, engine: Arc<EngineCore>) -> Self {
        Self { name: name.to_owned(), runs, _engine: engine }
    }

    /// The run that goes on, or the last one.
    fn current(&self) -> Arc<JobCore> {
        match &self.runs {
            Runs::One(job) => job.clone(),
            Runs::Several(supervisor) => supervisor.current(),
        }
    }

    fn ending(&self) -> &Ending {
        match &self.runs {
            Runs::One(job) => &job.ending,
            Runs::Several(supervisor) => &supervisor.ending,
        }
    }

    /// The job's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the job has done so far. Where it was started again, its newest run.
    pub fn metrics(&self) -> JobMetrics {
        let restarts = match &self.runs {
            Runs::One(_) => 0,
            Runs::Several(supervisor) => supervisor.restarts(),
        };
        JobMetrics { restarts, ..self.current().counters.report() }
    }

    /// Tells the job to stop; `wait` then waits for the rest. The first stop counts.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// let made = sabot::generator().option("columns", "id sequence(0, 1)"); // without end
    /// let (sink, mut results) = to_channel(4);
    /// let handle = Job::new("endless").write(&Stream::read(made)?, sink)?.start()?;
    /// assert!(results.recv_blocking()?.is_some());
    /// handle.stop(Stop::Suspend);
    /// while results.recv_blocking()?.is_some() {}
    /// assert!(handle.wait()?.rows_written > 0);
    /// # Ok::<(), sabot::Error>(())
    /// ```
    pub fn stop(&self, stop: Stop) {
        match &self.runs {
            Runs::One(job) => job.stop(stop),
            Runs::Several(supervisor) => supervisor.stop(stop),
        }
    }

    /// Sends a barrier through the job and gives the epoch that it closes. A job with checkpoints makes one, as soon
    /// as none is under way; the epoch is then the one that is open now.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// let flights = Stream::read(csv("../sabot/data/flights.csv"))?;
    /// let handle = Job::new("copy").write(&flights, to_memory().0)?.start()?;
    /// let first = handle.barrier();
    /// assert_eq!(handle.barrier(), first.next());
    /// handle.wait()?;
    /// # Ok::<(), sabot::Error>(())
    /// ```
    pub fn barrier(&self) -> Epoch {
        self.current().barrier()
    }

    /// Writes a savepoint, waits until it is there, and gives its epoch; the job goes on. It is a checkpoint that stays
    /// when later ones are written and older ones deleted. A job can be started from it alone, elsewhere and with
    /// another number of workers, where it was copied with `cargo xtask state <folder> --epoch <N> --export <folder>`.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// # let folder = std::env::temp_dir().join(format!("sabot-doc-savepoint-{}", std::process::id()));
    /// let made = sabot::generator().option("columns", "id sequence(0, 1)"); // without end
    /// let (sink, mut results) = to_channel(4);
    /// let job = Job::new("endless").write(&Stream::read(made)?, sink)?.checkpoints(Checkpoints::folder(&folder));
    /// let handle = job.start()?;
    /// let reads_on = std::thread::spawn(move || while matches!(results.recv_blocking(), Ok(Some(_))) {});
    /// let first = handle.savepoint()?;
    /// assert!(handle.savepoint()? > first);
    /// handle.stop(Stop::Suspend);
    /// handle.wait()?;
    /// # reads_on.join().unwrap();
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`JobError::Checkpoint`] where the job has no checkpoints, is over before the savepoint is written, or the savepoint
    /// could not be written; it may be asked for again.
    pub fn savepoint(&self) -> Result<Epoch, JobError> {
        self.current().savepoint()
    }

    /// The barriers that have reached the sinks, in order of arrival, with the sink's index in the job.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// # use arrow::datatypes::{Field, Schema};
    /// # use std::sync::Arc;
    /// let schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Int64, false)]));
    /// let (sender, source) = input_channel("numbers", 4, schema);
    /// let (sink, _results) = to_channel(4);
    /// let handle = Job::new("copy").write(&Stream::from_channel(source)?, sink)?.start()?;
    /// let epoch = handle.barrier();
    /// drop(sender);
    /// handle.wait()?;
    /// let arrived = handle.barriers_at_sinks();
    /// assert!(arrived.iter().all(|(sink, barrier)| (*sink, barrier.epoch) == (0, epoch)));
    /// # Ok::<(), sabot::Error>(())
    /// ```
    pub fn barriers_at_sinks(&self) -> Vec<(usize, Barrier)> {
        self.current().barriers_at_sinks()
    }

    /// State of the keyed operators as of the latest barrier that has passed all of them, with its
    /// epoch.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// let flights = Stream::read(csv("../sabot/data/flights.csv"))?;
    /// let handle = Job::new("copy").write(&flights, to_memory().0)?.start()?;
    /// handle.wait()?;
    /// assert!(handle.snapshot().is_none()); // no barrier was sent
    /// # Ok::<(), sabot::Error>(())
    /// ```
    pub fn snapshot(&self) -> Option<(Epoch, Snapshot)> {
        self.current().newest_snapshot()
    }

    /// Ends the job at once: nothing that it had not committed remains.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// # use sabot::JobError;
    /// let made = sabot::generator().option("columns", "id sequence(0, 1)"); // without end
    /// let (sink, _results) = to_channel(1);
    /// let handle = Job::new("endless").write(&Stream::read(made)?, sink)?.start()?;
    /// handle.abort();
    /// assert!(matches!(handle.wait(), Err(JobError::Aborted)));
    /// # Ok::<(), sabot::Error>(())
    /// ```
    pub fn abort(&self) {
        match &self.runs {
            Runs::One(job) => job.abort(),
            Runs::Several(supervisor) => supervisor.abort(),
        }
    }

    /// Whether the job is over.
    pub fn is_finished(&self) -> bool {
        self.ending().is_known()
    }

    /// Waits until the job is over.
    ///
    /// # Errors
    /// The [`JobError`] that ended it.
    pub fn wait(&self) -> Result<JobMetrics, JobError> {
        self.ending().wait()
    }
}

impl std::fmt::Debug for JobHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "JobHandle({})", self.name)
    }
}

/// Waits without blocking a thread; cancel-safe, and the handle can be awaited again.
impl Future for &JobHandle {
    type Output = Result<JobMetrics, JobError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.ending().poll(cx)
    }
}

impl Drop for JobHandle {
    fn drop(&mut self) {
        self.abort();
    }
}
