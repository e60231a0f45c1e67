//! Checkpoints of a job.

use sabot_checkpoint::{CheckpointConfig, CheckpointStore, RestartStrategy};
use sabot_exec::JobError;
use sabot_state::FolderStore;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Where checkpoints lie.
#[derive(Clone, Debug)]
enum Place {
    Folder(PathBuf),
    #[cfg(feature = "object-store")]
    Objects(String, sabot_object_store::ObjectStores),
}

/// Where a job keeps its checkpoints, and when it makes them.
///
/// A job that is started with them goes on from the newest one: its sources from where they were, its state as it was,
/// and what had become visible of its output does not come again. Where there is none it begins. One that had come to
/// its end ends at once.
///
/// A folder belongs to one job. A second run of it is refused while the first one has the outputs. Where it cannot see that,
/// on another machine or with outputs that have no lock, it takes over, and the first one fails.
///
/// ```
/// # use sabot::prelude::*;
/// # use std::time::Duration;
/// # let folder = std::env::temp_dir().join(format!("sabot-doc-checkpoints-{}", std::process::id()));
/// # let (checkpoints, output) = (folder.join("checkpoints"), folder.join("late.csv"));
/// # std::fs::create_dir_all(&folder)?;
/// let job = || -> sabot::Result<Job> {
///     let late = Stream::read(csv("data/flights.csv"))?.filter(col("delay").gt(15))?.select([col("delay")])?;
///     let every = Checkpoints::folder(&checkpoints).every(Duration::from_secs(1));
///     Ok(Job::new("late").write(&late, csv(&output))?.checkpoints(every))
/// };
/// assert_eq!(job()?.run()?.rows_read, 4);
/// assert_eq!(std::fs::read_to_string(&output)?, "delay\n48\n31\n");
/// assert_eq!(job()?.run()?.rows_read, 0); // it had come to its end
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Checkpoints {
    place: Place,
    config: CheckpointConfig,
    restart: RestartStrategy,
    may_drop: bool,
}

impl Checkpoints {
    /// In a folder, which is made if it is not there: one every ten seconds, of which two are kept.
    pub fn folder(folder: impl Into<PathBuf>) -> Self {
        Self::at(Place::Folder(folder.into()))
    }

    /// In an object store, below a URL: `s3://bucket/job`, `gs://…`, `az://…`. It must be able to create an object only
    /// where there is none, which S3, Google and Azure are.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// use sabot::ObjectStores;
    /// let stores = ObjectStores::new(); // with what the environment says
    /// let copy = || -> sabot::Result<Job> {
    ///     let job = Job::new("copy").write(&Stream::read(csv("data/flights.csv"))?, to_memory().0)?;
    ///     Ok(job.checkpoints(Checkpoints::url("memory://jobs/copy", &stores)))
    /// };
    /// assert_eq!(copy()?.run()?.rows_read, 4);
    /// assert_eq!(copy()?.run()?.rows_read, 0); // there was nothing left to go on with
    /// # Ok::<(), sabot::Error>(())
    /// ```
    #[cfg(feature = "object-store")]
    pub fn url(url: impl Into<String>, stores: &sabot_object_store::ObjectStores) -> Self {
        Self::at(Place::Objects(url.into(), stores.clone()))
    }

    fn at(place: Place) -> Self {
        let (config, restart) = (CheckpointConfig::default(), RestartStrategy::None);
        Self { place, config, restart, may_drop: false }
    }

    /// One so long after the one before has begun.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// # let folder = std::env::temp_dir().join(format!("sabot-doc-every-{}", std::process::id()));
    /// let checkpoints = Checkpoints::folder(&folder).every(std::time::Duration::from_secs(1));
    /// let flights = Stream::read(csv("data/flights.csv"))?;
    /// Job::new("copy").write(&flights, to_memory().0)?.checkpoints(checkpoints.clone()).run()?;
    /// assert!(checkpoints.exist()?);
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn every(mut self, interval: Duration) -> Self {
        self.config.interval = Some(interval);
        self
    }

    /// One after so many rows, and none by time.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// # let folder = std::env::temp_dir().join(format!("sabot-doc-rows-{}", std::process::id()));
    /// let checkpoints = Checkpoints::folder(&folder).every_rows(1_000_000);
    /// let flights = Stream::read(csv("data/flights.csv"))?;
    /// Job::new("copy").write(&flights, to_memory().0)?.checkpoints(checkpoints.clone()).run()?;
    /// assert!(checkpoints.exist()?);
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn every_rows(mut self, rows: u64) -> Self {
        (self.config.rows, self.config.interval) = (Some(rows.max(1)), None);
        self
    }

    /// Keeps so many, 2 at least.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// # let folder = std::env::temp_dir().join(format!("sabot-doc-keep-{}", std::process::id()));
    /// let checkpoints = Checkpoints::folder(&folder).keep(10);
    /// let flights = Stream::read(csv("data/flights.csv"))?;
    /// Job::new("copy").write(&flights, to_memory().0)?.checkpoints(checkpoints.clone()).run()?;
    /// assert!(checkpoints.exist()?);
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn keep(mut self, checkpoints: u32) -> Self {
        self.config.keep = checkpoints;
        self
    }

    /// A job that fails is started again, inside the process: it goes on from the newest checkpoint, or begins where
    /// there is none yet. Without this a failure ends it.
    ///
    /// A user's function that panicked, a disk that was full, a store that could not be reached: any failure counts, save
    /// those that lie in how the job was made. A row that cannot be computed fails every time, until the strategy gives
    /// up; [`JobError::GaveUp`] then says why, and names the failure.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// # use std::sync::atomic::{AtomicBool, Ordering};
    /// # use std::time::Duration;
    /// # let folder = std::env::temp_dir().join(format!("sabot-doc-restart-{}", std::process::id()));
    /// let strategy = RestartStrategy::FixedDelay { attempts: 3, delay: Duration::from_millis(10) };
    /// let flights = Stream::read(csv("data/flights.csv"))?;
    /// let first = AtomicBool::new(true);
    /// let shaky = flights.clone().map_batches(flights.schema().clone(), move |batch| {
    ///     assert!(!first.swap(false, Ordering::Relaxed), "the first batch always fails");
    ///     Ok::<_, sabot::Error>(batch)
    /// })?;
    /// let (sink, rows) = to_memory();
    /// let checkpoints = Checkpoints::folder(&folder).restart(strategy);
    /// let metrics = Job::new("shaky").write(&shaky, sink)?.checkpoints(checkpoints).run()?;
    /// assert_eq!((metrics.restarts, rows.take()[0].num_rows()), (1, 4));
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn restart(mut self, strategy: RestartStrategy) -> Self {
        self.restart = strategy;
        self
    }

    /// A job that no longer has some of its sources or operators starts all the same; their positions and state are
    /// lost. Without this it does not. See [`Job::explain_upgrade`](crate::Job::explain_upgrade).
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// # let folder = std::env::temp_dir().join(format!("sabot-doc-drop-{}", std::process::id()));
    /// let totals = |column: &str| -> sabot::Result<Job> {
    ///     let made = sabot::generator().option("columns", "key int(0, 9); n int(0, 99)");
    ///     let rows = Stream::read(made.option("rows", "1000000000000"))?;
    ///     let totals = rows.group_by([column])?.aggregate([count()])?;
    ///     Ok(Job::new("totals").write(&totals, to_memory().0)?)
    /// };
    /// let checkpoints = Checkpoints::folder(&folder);
    /// let handle = totals("key")?.checkpoints(checkpoints.clone()).start()?;
    /// handle.stop(Stop::Suspend);
    /// handle.wait()?;
    /// assert!(totals("n")?.checkpoints(checkpoints.clone()).start().is_err()); // what of the totals by key?
    /// let handle = totals("n")?.checkpoints(checkpoints.allow_dropped()).start()?;
    /// handle.stop(Stop::Suspend);
    /// handle.wait()?;
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn allow_dropped(mut self) -> Self {
        self.may_drop = true;
        self
    }

    /// Whether there is anything to go on from.
    ///
    /// ```
    /// # use sabot::Checkpoints;
    /// let folder = std::env::temp_dir().join("sabot-doc-nothing-was-ever-here");
    /// assert!(!Checkpoints::folder(folder).exist()?);
    /// # Ok::<(), sabot::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the folder is there and cannot be read, or the store cannot be reached.
    pub fn exist(&self) -> crate::Result<bool> {
        let Some(looked) = self.look()? else { return Ok(false) };
        Ok(!looked.store.manifests().map_err(failed)?.is_empty())
    }

    /// To look into, where there may be anything: nothing is made.
    pub(crate) fn look(&self) -> Result<Option<sabot_exec::Checkpoints>, JobError> {
        match &self.place {
            Place::Folder(folder) if !folder.join("epochs").exists() => Ok(None),
            Place::Folder(folder) => Ok(Some(self.on(Arc::new(FolderStore::look(folder).map_err(failed)?)))),
            #[cfg(feature = "object-store")]
            Place::Objects(..) => self.open().map(Some),
        }
    }

    pub(crate) fn open(&self) -> Result<sabot_exec::Checkpoints, JobError> {
        Ok(match &self.place {
            Place::Folder(folder) => self.on(Arc::new(FolderStore::open(folder).map_err(failed)?)),
            #[cfg(feature = "object-store")]
            Place::Objects(url, stores) => self.on(Arc::new(stores.checkpoints(url).map_err(failed)?)),
        })
    }

    fn on(&self, store: Arc<dyn CheckpointStore>) -> sabot_exec::Checkpoints {
        let Self { config, restart, may_drop, .. } = *self;
        sabot_exec::Checkpoints { store, config, restart, may_drop }
    }
}

fn failed(error: impl std::fmt::Display) -> JobError {
    JobError::Checkpoint { reason: error.to_string() }
}
