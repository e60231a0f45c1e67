//! The engine: threads, memory and devices that jobs share.

use sabot_checkpoint::RestartStrategy;
use sabot_common::limits::{MORSEL_ROWS_DEFAULT, QUEUE_MORSELS_DEFAULT};
use sabot_common::{Clock, SystemClock};
use sabot_cpu::CpuBackend;
use sabot_ops::Backend;
use sabot_plan::PhysicalPlan;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::bindings::Bindings;
use crate::budget::MemoryBudget;
use crate::build::build;
use crate::checkpoint::Checkpoints;
use crate::error::JobError;
use crate::handle::{JobHandle, Runs};
use crate::job::JobCore;
use crate::scheduler::{Scheduler, on_worker};
use crate::supervisor::{Supervisor, Work};
use crate::timers::Timers;

/// How an engine is set up.
#[derive(Clone)]
pub struct EngineConfig {
    /// Worker threads.
    pub workers: usize,
    /// Bytes of morsels in flight over all jobs, and of state that one operator may hold.
    pub memory_budget: usize,
    /// Morsels that a queue between two tasks holds.
    pub queue_morsels: usize,
    /// Rows that sources put into a morsel.
    pub morsel_rows: usize,
    /// Devices in order of preference; the CPU stands behind them and serves what they do not.
    pub backends: Vec<Arc<dyn Backend>>,
    /// Whether jobs wait until their kernels are compiled. If not, the CPU serves in the meantime.
    pub compile_first: bool,
    /// The CPU backend.
    pub cpu: Arc<dyn Backend>,
    /// Processing time.
    pub clock: Arc<dyn Clock>,
    /// How long the engine has no room for a partition of an unbounded source before the partition is
    /// told to pause.
    pub pause_after: Duration,
    /// How often a source that may grow is asked for new partitions.
    pub discovery_interval: Duration,
}

impl Default for EngineConfig {
    /// As many workers as the process may use processors, and half of the machine's memory.
    fn default() -> Self {
        Self {
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            memory_budget: memory_limit() / 2,
            queue_morsels: QUEUE_MORSELS_DEFAULT,
            morsel_rows: MORSEL_ROWS_DEFAULT,
            backends: Vec::new(),
            compile_first: false,
            cpu: Arc::new(CpuBackend::new()),
            clock: Arc::new(SystemClock::new()),
            pause_after: Duration::from_secs(1),
            discovery_interval: Duration::from_secs(10),
        }
    }
}

impl std::fmt::Debug for EngineConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineConfig")
            .field("workers", &self.workers)
            .field("memory_budget", &self.memory_budget)
            .field("queue_morsels", &self.queue_morsels)
            .field("morsel_rows", &self.morsel_rows)
            .field("backends", &self.backends)
            .field("compile_first", &self.compile_first)
            .field("pause_after", &self.pause_after)
            .field("discovery_interval", &self.discovery_interval)
            .finish_non_exhaustive()
    }
}

/// Memory that the process may use: the control group's limit, else the machine's, else 4 GiB.
fn memory_limit() -> usize {
    const UNKNOWN: usize = 4 << 30;
    let number = |path: &str| std::fs::read_to_string(path).ok()?.trim().parse::<usize>().ok();
    let machine = || {
        let text = std::fs::read_to_string("/proc/meminfo").ok()?;
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
        line.split_whitespace().nth(1)?.parse::<usize>().ok()?.checked_mul(1024)
    };
    let group = number("/sys/fs/cgroup/memory.max");
    match (group, machine()) {
        (Some(group), Some(machine)) => group.min(machine),
        (group, machine) => group.or(machine).unwrap_or(UNKNOWN),
    }
}

/// The jobs of an engine that have not ended.
#[derive(Default)]
pub(crate) struct RunningJobs(Mutex<Vec<Weak<JobCore>>>);

impl RunningJobs {
    fn add(&self, job: &Arc<JobCore>) {
        self.lock().push(Arc::downgrade(job));
    }

    pub(crate) fn remove(&self, job: &JobCore) {
        self.lock().retain(|other| !std::ptr::eq(other.as_ptr(), job));
    }

    /// Aborts what still runs and waits until it is over.
    fn wind_down(&self) {
        let jobs: Vec<Arc<JobCore>> = self.lock().iter().filter_map(Weak::upgrade).collect();
        jobs.iter().for_each(|job| job.abort());
        for job in jobs {
            // Whoever wanted to know the outcome has asked the job's handle.
            drop(job.wait());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<JobCore>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an engine owns. Handles of jobs hold it, jobs do not: the threads end with the last of engine
/// and handles, and not on one of those threads.
pub(crate) struct EngineCore {
    pub(crate) config: EngineConfig,
    pub(crate) budget: Arc<MemoryBudget>,
    pub(crate) timers: Arc<Timers>,
    pub(crate) jobs: Arc<RunningJobs>,
    scheduler: Option<Scheduler>,
}

impl EngineCore {
    /// The workers; they are there until the engine is dropped.
    pub(crate) fn scheduler(&self) -> Result<&Scheduler, JobError> {
        self.scheduler
            .as_ref()
            .ok_or_else(|| JobError::Start { message: "the engine is going down".to_owned() })
    }

    /// Builds a job and lets it run. `again` says that an earlier run of it has failed, and that others may follow.
    pub(crate) fn begin(
        self: &Arc<Self>,
        name: &str,
        plan: &PhysicalPlan,
        bindings: &Bindings,
        checkpoints: Option<&Checkpoints>,
        again: bool,
    ) -> Result<Arc<JobCore>, JobError> {
        let built = build(name, plan, bindings, self, checkpoints, again)?;
        let job = built.job.clone();
        self.jobs.add(&job);
        built.launch()?;
        Ok(job)
    }
}

impl Drop for EngineCore {
    /// Aborts the jobs, waits for them, ends the threads.
    fn drop(&mut self) {
        let (jobs, scheduler) = (self.jobs.clone(), self.scheduler.take());
        let wind_down = move || {
            jobs.wind_down();
            drop(scheduler);
        };
        if on_worker() {
            // A user function has dropped the engine: its worker cannot wait for itself.
            let thread = std::thread::Builder::new().name("sabot-end".to_owned()).spawn(wind_down);
            drop(thread);
        } else {
            wind_down();
        }
    }
}

/// Runs jobs on threads of its own. Cloning shares the engine; its threads end when the last clone and
/// the last handle of a job are gone.
#[derive(Clone)]
pub struct Engine {
    core: Arc<EngineCore>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Engine").field(&self.core.config).finish()
    }
}

impl Engine {
    /// Starts the threads.
    ///
    /// # Errors
    /// [`JobError::Start`] when the operating system refuses them.
    pub fn start(config: EngineConfig) -> Result<Self, JobError> {
        let scheduler = Scheduler::new(config.workers).map_err(|message| JobError::Start { message })?;
        let core = EngineCore {
            budget: MemoryBudget::new(config.memory_budget),
            timers: Arc::new(Timers::default()),
            jobs: Arc::default(),
            scheduler: Some(scheduler),
            config,
        };
        Ok(Self { core: Arc::new(core) })
    }

    /// How the engine is set up.
    pub fn config(&self) -> &EngineConfig {
        &self.core.config
    }

    /// The account of memory in flight.
    pub fn budget(&self) -> &Arc<MemoryBudget> {
        &self.core.budget
    }

    /// Starts a job: a plan cut into stages, with everything it names bound. With `checkpoints` the job goes on from
    /// the newest one, or begins when there is none; one that had come to its end ends at once.
    ///
    /// # Errors
    /// [`JobError::Unbound`] for a name without a binding, [`JobError::Connect`] for a source or sink
    /// that does not open. Nothing runs then and no output is touched. [`JobError::NoCheckpoints`] where the plan
    /// cannot have any, [`JobError::Checkpoint`] where it cannot go on from those that are there.
    pub fn submit(
        &self,
        name: &str,
        plan: &PhysicalPlan,
        bindings: &Bindings,
        checkpoints: Option<&Checkpoints>,
    ) -> Result<JobHandle, JobError> {
        let job = self.core.begin(name, plan, bindings, checkpoints, false)?;
        let restarted = checkpoints.filter(|checkpoints| checkpoints.restart != RestartStrategy::None);
        let runs = match restarted {
            None => Runs::One(job),
            Some(checkpoints) => Runs::Several(Supervisor::start(
                job,
                Work {
                    name: name.to_owned(),
                    plan: plan.clone(),
                    bindings: bindings.clone(),
                    checkpoints: checkpoints.clone(),
                    engine: Arc::downgrade(&self.core),
                },
            )?),
        };
        Ok(JobHandle::new(name, runs, self.core.clone()))
    }
}
