//! The backend of a device: which fragments it runs, and how they are compiled while another device serves.

use sabot_codegen::{Derived, Late, LoweredFragment, Storage, Tail, lower_fragment};
use sabot_common::{DeviceId, RowWork, limits};
use sabot_ops::{
    Backend, CompileError, CompileJob, Compiled, Fragment, Kernel, OperatorSpec, Program, Support, row_bytes,
};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::counters::Counters;
use crate::device::{Device, Fault, LoadedKernel};
use crate::filter_project::FilterProject;
use crate::front::Front;
use crate::group_by::GroupBy;
use crate::memory::Memory;
use crate::source::KernelSource;
use crate::tickets::{Operation, Tickets};

/// Rows that are taken to make one group: nobody knows before. With a tenth as many a record is still less than its rows.
const ROWS_OF_A_GROUP: f64 = 100.0;

/// What the kernels of one device share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) device: Arc<dyn Device>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) options: GpuOptions,
    /// Why the device is of no use any more.
    dead: OnceLock<String>,
    /// When the device last finished something.
    progress: Mutex<Instant>,
}

impl Shared {
    /// Marks the device as lost for the rest of the process.
    pub(crate) fn lose(&self, reason: &str) {
        if self.dead.set(reason.to_owned()).is_ok() {
            self.counters.lost.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(device = %self.device.id(), reason, "the device is lost; another one serves");
        }
    }

    /// The device has finished something.
    pub(crate) fn moved(&self) {
        self.counters.finished.fetch_add(1, Ordering::Relaxed);
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// How long the device has finished nothing.
    pub(crate) fn still(&self) -> Duration {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Why the device is lost, if it is.
    pub(crate) fn dead(&self) -> Option<&str> {
        self.dead.get().map(String::as_str)
    }
}

/// How a device is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuOptions {
    /// Pieces of work of one task that are in flight at a time: one is copied in while another computes and a third is
    /// copied out. At least one.
    pub slots: usize,
    /// A device that has work and finishes none of it for so long counts as lost.
    pub timeout: Duration,
    /// Morsels with so few rows are not cut further when memory runs out: the CPU takes them.
    pub halve_rows_min: usize,
    /// Morsels are joined while the device is busy, until so many bytes are copied for them; 0 leaves them as they are.
    pub shipped_bytes: usize,
}

impl Default for GpuOptions {
    /// Three slots, ten seconds, 64 Ki rows, 16 MiB.
    fn default() -> Self {
        let shipped_bytes = limits::SHIPPED_BYTES_TARGET;
        Self { slots: 3, timeout: Duration::from_secs(10), halve_rows_min: 64 << 10, shipped_bytes }
    }
}

/// Runs fragments on a device.
pub struct GpuBackend {
    shared: Arc<Shared>,
    compiler: Mutex<Option<Compiler>>,
}

impl fmt::Debug for GpuBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GpuBackend").field("device", &self.shared.device).finish_non_exhaustive()
    }
}

impl GpuBackend {
    /// The backend of a device.
    pub fn new(device: Arc<dyn Device>, options: GpuOptions) -> Self {
        let counters = Arc::new(Counters::default());
        let memory = Memory::new(device.clone(), counters.clone());
        let options = GpuOptions { slots: options.slots.max(1), ..options };
        let progress = Mutex::new(Instant::now());
        let shared = Shared { device, memory, counters, options, dead: OnceLock::new(), progress };
        Self { shared: Arc::new(shared), compiler: Mutex::new(None) }
    }

    /// How often what happened.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.shared.counters
    }

    /// Bytes of device memory in use.
    pub fn bytes_used(&self) -> usize {
        self.shared.memory.used()
    }

    /// The fragment as a kernel's source and what to do with it, or why there is none.
    fn plan(&self, fragment: &Fragment) -> Result<Plan, String> {
        if let Some(reason) = self.shared.dead() {
            return Err(format!("the device is lost: {reason}"));
        }
        let dialect = self.shared.device.dialect();
        let lowered = lower_fragment(fragment).map_err(|refused| refused.to_string())?;
        let LoweredFragment { program, derived, late, tail } = lowered;
        let keys = match &tail {
            Tail::Rows { .. } => &[][..],
            Tail::Groups(groups) => &groups.grouping.keys,
        };
        if !program.decides_exactly(keys) {
            return Err(
                "rows are told apart by the last digits of a function of floats, of which each device has \
                        others"
                    .to_owned(),
            );
        }
        let source = match &tail {
            Tail::Rows { .. } => {
                if program.keep().is_none() && program.failed().is_none() && program.outputs().is_empty() {
                    return Err("columns that are only passed on need no kernel".to_owned());
                }
                KernelSource::filter_project(program, dialect)
            }
            Tail::Groups(groups) => KernelSource::group_by(program, groups.grouping.clone(), dialect),
        };
        let source = source.map_err(|error| error.to_string())?;
        Ok(Plan { source, derived, late, tail })
    }
}

/// What is made of a fragment before it is compiled.
struct Plan {
    source: KernelSource,
    derived: Vec<Derived>,
    late: Option<Late>,
    tail: Tail,
}

impl Plan {
    /// What goes over the link is known from the kernel: the columns that it reads, and what it writes.
    fn work(&self, fragment: &Fragment) -> RowWork {
        let bits = |storage: &Storage| storage.bits() as f64;
        let program = &self.source.program;
        let up = program.inputs().iter().map(|input| bits(&input.storage)).sum::<f64>() / 8.0;
        let down = match &self.source.grouping {
            Some(grouping) => grouping.record_words(program) as f64 * 4.0 / ROWS_OF_A_GROUP,
            None => {
                let values = self.source.stored.iter().filter(|storage| **storage != Storage::Bit).map(bits);
                let share = if self.source.is_packed() { limits::KEPT_SHARE_ASSUMED } else { 1.0 };
                (share * values.sum::<f64>() + self.source.bitmaps.len() as f64) / 8.0
            }
        };
        let work = fragment.work();
        // What is shipped is read and written once on either side of the way; rows are gathered first, and rows that stay rows
        // are moved together afterwards.
        let gathered = 2.0 * row_bytes(fragment.input());
        let moved = if self.source.grouping.is_some() { 0.0 } else { 2.0 * row_bytes(fragment.output()) };
        let host_bytes = gathered + 2.0 * (up + down) + moved;
        let codes = self.derived.iter().filter(|derived| matches!(derived, Derived::Codes { .. }));
        let host_folds = codes.count() as f64;
        RowWork { bytes_up: up, bytes_down: down, bytes: up + down, host_bytes, host_folds, ..work }
    }

    /// The operation, once the kernel is loaded.
    fn operation(self, fragment: Fragment, loaded: Arc<dyn LoadedKernel>) -> Arc<dyn Operation> {
        let Plan { source, derived, late, tail } = self;
        let partition = match fragment.steps().last() {
            Some(OperatorSpec::Partition(spec)) => Some(spec.clone()),
            _ => None,
        };
        let front = Front { fragment, source, loaded, derived, late };
        match tail {
            Tail::Rows { columns, target } => {
                let partition = target.zip(partition);
                Arc::new(FilterProject { front, columns, partition, claimed: AtomicUsize::new(0) })
            }
            Tail::Groups(groups) => {
                Arc::new(GroupBy { front, groups, partition, slots: AtomicUsize::new(0) })
            }
        }
    }
}

impl Backend for GpuBackend {
    fn device(&self) -> DeviceId {
        self.shared.device.id()
    }

    fn supports(&self, fragment: &Fragment) -> Support {
        match self.plan(fragment) {
            Ok(_) => Support::Yes,
            Err(reason) => Support::No { reason },
        }
    }

    fn work(&self, fragment: &Fragment) -> RowWork {
        match self.plan(fragment) {
            Ok(plan) => plan.work(fragment),
            Err(_) => fragment.work(),
        }
    }

    fn compile(&self, fragment: &Fragment) -> Result<CompileJob, CompileError> {
        let failed = |reason| CompileError { device: self.device(), fragment: fragment.to_string(), reason };
        let plan = self.plan(fragment).map_err(failed)?;
        let mut compiler = self.compiler.lock().unwrap_or_else(PoisonError::into_inner);
        let compiler = match &mut *compiler {
            Some(compiler) => compiler,
            none => none.insert(Compiler::start(self.shared.clone()).map_err(|e| failed(e.to_string()))?),
        };
        let (answer, answered) = channel();
        let job = Job { fragment: fragment.clone(), plan, answer };
        if let Some(jobs) = &compiler.jobs {
            // If the thread is gone, so is the sender of the answer, which is how the caller learns of it.
            let _ = jobs.send(job);
        }
        let gone = CompileError {
            device: self.device(),
            fragment: fragment.to_string(),
            reason: "the compiling thread is gone".to_owned(),
        };
        Ok(CompileJob::Pending(Box::new(move || match answered.try_recv() {
            Ok(compiled) => Some(compiled),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(gone.clone())),
        })))
    }
}

/// A thread that compiles one kernel after the other: compilers of drivers are not made for more.
struct Compiler {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

struct Job {
    fragment: Fragment,
    plan: Plan,
    answer: Sender<Compiled>,
}

impl Compiler {
    fn start(shared: Arc<Shared>) -> std::io::Result<Self> {
        let (jobs, todo) = channel();
        let thread = std::thread::Builder::new()
            .name(format!("sabot-{}", shared.device.id()))
            .spawn(move || compile_all(&shared, &todo))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }
}

impl Drop for Compiler {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic of it was reported by whoever waited for its answer.
            let _ = thread.join();
        }
    }
}

fn compile_all(shared: &Arc<Shared>, todo: &Receiver<Job>) {
    while let Ok(Job { fragment, plan, answer }) = todo.recv() {
        let loaded = shared.device.load(&plan.source).map_err(|fault| {
            if let Fault::Lost(reason) = &fault {
                shared.lose(reason);
            }
            let (device, fragment) = (shared.device.id(), fragment.to_string());
            CompileError { device, fragment, reason: fault.to_string() }
        });
        let compiled: Compiled = loaded.map(|loaded| {
            let rows_wanted = plan.work(&fragment).rows_of(shared.options.shipped_bytes);
            let operation = plan.operation(fragment, loaded);
            Arc::new(GpuProgram { shared: shared.clone(), operation, rows_wanted }) as Arc<dyn Program>
        });
        // Whoever asked may have stopped waiting.
        let _ = answer.send(compiled);
    }
}

struct GpuProgram {
    shared: Arc<Shared>,
    operation: Arc<dyn Operation>,
    rows_wanted: Option<usize>,
}

impl Program for GpuProgram {
    fn rows_wanted(&self) -> Option<usize> {
        self.rows_wanted.filter(|_| self.shared.dead().is_none())
    }

    fn kernel(&self) -> Box<dyn Kernel> {
        Box::new(Tickets::new(self.shared.clone(), self.operation.clone()))
    }
}
