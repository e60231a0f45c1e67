//! The engine: threads, memory and devices that jobs share.

use sabot_common::limits::{MORSEL_ROWS_DEFAULT, QUEUE_MORSELS_DEFAULT};
use sabot_common::{Clock, SystemClock};
use sabot_cpu::CpuBackend;
use sabot_ops::Backend;
use sabot_plan::PhysicalPlan;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::bindings::Bindings;
use crate::budget::MemoryBudget;
use crate::build::build;
use crate::error::JobError;
use crate::job::{JobCore, JobHandle};
use crate::scheduler::Scheduler;
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
    /// The CPU backend.
    pub cpu: Arc<dyn Backend>,
    /// Processing time.
    pub clock: Arc<dyn Clock>,
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
            cpu: Arc::new(CpuBackend::new()),
            clock: Arc::new(SystemClock::new()),
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

/// What an engine owns. Jobs hold it weakly, handles strongly: the threads end with the last of
/// engine and handles.
pub(crate) struct EngineCore {
    pub(crate) config: EngineConfig,
    pub(crate) budget: Arc<MemoryBudget>,
    pub(crate) timers: Arc<Timers>,
    pub(crate) scheduler: Scheduler,
    jobs: Mutex<Vec<Weak<JobCore>>>,
}

impl EngineCore {
    pub(crate) fn job_ended(&self, job: &JobCore) {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.retain(|other| !std::ptr::eq(other.as_ptr(), job));
    }
}

impl Drop for EngineCore {
    fn drop(&mut self) {
        let jobs = std::mem::take(&mut *self.jobs.lock().unwrap_or_else(PoisonError::into_inner));
        for job in jobs.iter().filter_map(Weak::upgrade) {
            job.abort();
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
            scheduler,
            jobs: Mutex::default(),
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

    /// Starts a job: a plan cut into stages, with everything it names bound.
    ///
    /// # Errors
    /// [`JobError::Unbound`] for a name without a binding, [`JobError::Connect`] for a source or sink
    /// that does not open. Nothing runs then and no output is touched.
    pub fn submit(&self, name: &str, plan: &PhysicalPlan, bindings: &Bindings) -> Result<JobHandle, JobError> {
        let built = build(name, plan, bindings, &self.core)?;
        self.core.jobs.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&built.job));
        let handle = JobHandle::new(built.job.clone(), self.core.clone());
        built.job.launch(built.tasks, built.sources);
        Ok(handle)
    }
}
