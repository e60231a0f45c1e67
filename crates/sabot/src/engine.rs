//! The engine as users set it up.

use sabot_exec::{EngineConfig, JobHandle, JobMetrics, Planner, ShadowCounters, Shadowed};
use sabot_ops::Backend;
use sabot_placement::Calibration;
use std::sync::Arc;
use std::time::Duration;

use crate::job::Placing;
use crate::{Error, Job, Result};

/// Which devices an engine may use.
///
/// ```
/// # use sabot::Devices;
/// assert_eq!("cpu".parse(), Ok(Devices::Cpu));
/// assert_eq!(Devices::default(), Devices::Auto);
/// assert_eq!("gpu".parse::<Devices>(), Err("unknown devices \"gpu\"; known: auto, cpu, cuda, wgpu".to_owned()));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Devices {
    /// Each fragment on the device that is expected to be the fastest for it, by how fast devices are and how far away: the CPU,
    /// and of this build's features the first NVIDIA device, or else the first GPU that wgpu finds. A device that the CPU
    /// plays is never among them. The numbers are those of [`list_devices`](crate::list_devices), if it was ever called on
    /// this machine, or assumed for a device of its class. Where the engine was given backends it takes those, in their order.
    #[default]
    Auto,
    /// The CPU alone.
    Cpu,
    /// The first of NVIDIA's devices, for every fragment that it can run; the CPU does the others. Jobs wait until their kernels
    /// are compiled. Needs the feature `cuda`, a driver, and NVRTC.
    Cuda,
    /// The first device that wgpu finds, for every fragment that it can run; the CPU does the others. Jobs wait until
    /// their kernels are compiled. Needs the feature `wgpu`.
    Wgpu,
}

impl std::str::FromStr for Devices {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Devices::Auto),
            "cpu" => Ok(Devices::Cpu),
            "cuda" => Ok(Devices::Cuda),
            "wgpu" => Ok(Devices::Wgpu),
            other => Err(format!("unknown devices \"{other}\"; known: auto, cpu, cuda, wgpu")),
        }
    }
}

/// Runs jobs on threads of its own. Cloning shares it; the threads end with the last clone and the last
/// handle of a job.
///
/// ```
/// use sabot::prelude::*;
/// let engine = Engine::builder().workers(2).memory_budget(64 << 20).devices(Devices::Auto).build()?;
/// assert_eq!((engine.workers(), engine.keyed_parallelism()), (2, 2));
/// assert_eq!(engine.memory_used(), 0);
/// # Ok::<(), sabot::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Engine {
    inner: sabot_exec::Engine,
    keyed_parallelism: usize,
    checks: Arc<ShadowCounters>,
    planner: Option<Arc<Planner>>,
}

impl Engine {
    /// An engine that fits the machine: a worker for each processor that the process may use, half of
    /// the memory.
    ///
    /// ```
    /// # use sabot::Engine;
    /// assert!(Engine::new()?.workers() >= 1);
    /// # Ok::<(), sabot::Error>(())
    /// ```
    ///
    /// # Errors
    /// When threads cannot be started.
    pub fn new() -> Result<Self> {
        Self::builder().build()
    }

    /// An engine with settings of your own.
    pub fn builder() -> EngineBuilder {
        EngineBuilder {
            config: EngineConfig::default(),
            keyed_parallelism: None,
            devices: Devices::Auto,
            shadow_check: None,
            calibrated: Vec::new(),
        }
    }

    /// Worker threads.
    pub fn workers(&self) -> usize {
        self.inner.config().workers
    }

    /// Tasks of every keyed operator.
    pub fn keyed_parallelism(&self) -> usize {
        self.keyed_parallelism
    }

    /// The most bytes that were ever in flight at one time.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// let engine = Engine::new()?;
    /// Stream::read(csv("data/flights.csv"))?.collect_on(&engine)?;
    /// assert!(engine.memory_peak() > 0);
    /// # Ok::<(), sabot::Error>(())
    /// ```
    pub fn memory_peak(&self) -> usize {
        self.inner.budget().peak()
    }

    /// How many morsels were done a second time by the CPU, and how many of them differed: see
    /// [`EngineBuilder::shadow_check`].
    ///
    /// ```
    /// # use sabot::Engine;
    /// assert_eq!(Engine::new()?.shadow_checks(), (0, 0));
    /// # Ok::<(), sabot::Error>(())
    /// ```
    pub fn shadow_checks(&self) -> (u64, u64) {
        self.checks.report()
    }

    /// Bytes in flight now.
    pub fn memory_used(&self) -> usize {
        self.inner.budget().used()
    }

    /// Starts a job.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// let engine = Engine::new()?;
    /// let flights = Stream::read(csv("data/flights.csv"))?;
    /// let (sink, rows) = to_memory();
    /// let handle = engine.start(Job::new("copy").write(&flights, sink)?)?;
    /// handle.wait()?;
    /// assert_eq!(rows.take()[0].num_rows(), 4);
    /// # Ok::<(), sabot::Error>(())
    /// ```
    ///
    /// # Errors
    /// When something that the job names is missing, cannot be opened, or is in use by another job.
    pub fn start(&self, job: Job) -> Result<JobHandle> {
        let physical = job.cut(self.keyed_parallelism, self.placing())?;
        let checkpoints = job.open_checkpoints()?;
        Ok(self.inner.submit(job.name(), &physical, job.bindings(), checkpoints.as_ref())?)
    }

    /// Runs a job to its end. It may be called in any async runtime's threads, but blocks them.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// let flights = Stream::read(csv("data/flights.csv"))?;
    /// let (sink, _rows) = to_memory();
    /// let metrics = Engine::new()?.run(Job::new("copy").write(&flights, sink)?)?;
    /// assert_eq!((metrics.rows_read, metrics.rows_written), (4, 4));
    /// # Ok::<(), sabot::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Engine::start`], and whatever the job fails with.
    pub fn run(&self, job: Job) -> Result<JobMetrics> {
        Ok(self.start(job)?.wait()?)
    }

    /// Runs a job to its end, and gives its plan as text with what each stage has done: rows in and out, and how many morsels
    /// were finished by which device.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// let late = Stream::read(csv("data/flights.csv"))?.filter(col("delay").gt(15))?;
    /// let (metrics, text) = Engine::new()?.explain_analyze(Job::new("late").write(&late, to_memory().0)?)?;
    /// assert_eq!(metrics.rows_written, 2);
    /// assert!(text.contains("did 4 rows in, 2 out, 1 morsel on cpu"), "{text}");
    /// # Ok::<(), sabot::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Engine::run`].
    pub fn explain_analyze(&self, job: Job) -> Result<(JobMetrics, String)> {
        let explained = job.clone();
        // A device that is lost on the way would run less of it afterwards.
        let physical = job.cut(self.keyed_parallelism, self.placing())?;
        let metrics = self.run(job)?;
        let text = explained.explain_with(self.placing(), &physical, Some(&metrics))?;
        Ok((metrics, text))
    }

    pub(crate) fn placing(&self) -> Placing<'_> {
        Placing { backends: &self.inner.config().backends, planner: self.planner.as_deref() }
    }
}

/// Settings of an [`Engine`].
///
/// ```
/// # use sabot::prelude::*;
/// # use std::time::Duration;
/// let engine = Engine::builder()
///     .workers(1)
///     .keyed_parallelism(4)
///     .queue_morsels(2)
///     .morsel_rows(1_024)
///     .memory_budget(16 << 20)
///     .devices(Devices::Cpu)
///     .pause_after(Duration::from_secs(2))
///     .discovery_interval(Duration::from_secs(30))
///     .build()?;
/// assert_eq!((engine.workers(), engine.keyed_parallelism()), (1, 4));
/// # Ok::<(), sabot::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct EngineBuilder {
    config: EngineConfig,
    keyed_parallelism: Option<usize>,
    devices: Devices,
    shadow_check: Option<std::num::NonZeroU32>,
    calibrated: Vec<(Arc<dyn Backend>, Calibration)>,
}

impl EngineBuilder {
    /// Worker threads; at least one.
    pub fn workers(mut self, workers: usize) -> Self {
        self.config.workers = workers.max(1);
        self
    }

    /// Tasks of every keyed operator; as many as workers when not set.
    pub fn keyed_parallelism(mut self, tasks: usize) -> Self {
        self.keyed_parallelism = Some(tasks.max(1));
        self
    }

    /// Bytes that morsels in flight may take, and that the state of one operator may take.
    pub fn memory_budget(mut self, bytes: usize) -> Self {
        self.config.memory_budget = bytes;
        self
    }

    /// Morsels that a queue between two tasks holds; at least one.
    pub fn queue_morsels(mut self, morsels: usize) -> Self {
        self.config.queue_morsels = morsels.max(1);
        self
    }

    /// Rows that sources put into a morsel; at least one.
    pub fn morsel_rows(mut self, rows: usize) -> Self {
        self.config.morsel_rows = rows.max(1);
        self
    }

    /// Which devices may be used.
    pub fn devices(mut self, devices: Devices) -> Self {
        self.devices = devices;
        self
    }

    /// Backends of your own, in order of preference; the CPU serves what they do not.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// # use std::sync::Arc;
    /// let own = sabot_cpu::CpuBackend::new();
    /// let engine = Engine::builder().backends(vec![Arc::new(own)]).build()?;
    /// let rows = Stream::read(csv("data/flights.csv"))?.filter(col("delay").gt(15))?.collect_on(&engine)?;
    /// assert_eq!(rows[0].num_rows(), 2);
    /// # Ok::<(), sabot::Error>(())
    /// ```
    pub fn backends(mut self, backends: Vec<Arc<dyn Backend>>) -> Self {
        self.config.backends = backends;
        self
    }

    /// A backend of your own and how fast it is: [`Devices::Auto`] weighs it against the CPU and others of this kind, and
    /// looks for none by itself.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// # use std::sync::Arc;
    /// use sabot::DeviceClass;
    /// // It is as fast as the CPU, and rows have to travel: nothing goes there.
    /// let slow = DeviceClass::IntegratedGpu.assumed("own:0");
    /// let own = Arc::new(sabot_cpu::CpuBackend::new());
    /// let engine = Engine::builder().calibrated_backend(own, slow).build()?;
    /// let late = Stream::read(csv("data/flights.csv"))?.filter(col("delay").gt(15))?;
    /// let text = Job::new("late").write(&late, to_memory().0)?.explain_for(&engine)?;
    /// assert!(text.contains("is expected to be faster") && text.contains("ns a row"), "{text}");
    /// # Ok::<(), sabot::Error>(())
    /// ```
    pub fn calibrated_backend(mut self, backend: Arc<dyn Backend>, calibration: Calibration) -> Self {
        self.calibrated.push((backend, calibration));
        self
    }

    /// Whether jobs wait until their kernels are compiled; otherwise the CPU serves in the meantime, and a short job may be
    /// over before.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// // Where the CPU runs everything there is nothing to wait for.
    /// let engine = Engine::builder().compile_first(true).build()?;
    /// assert_eq!(Stream::read(csv("data/flights.csv"))?.collect_on(&engine)?[0].num_rows(), 4);
    /// # Ok::<(), sabot::Error>(())
    /// ```
    pub fn compile_first(mut self, wait: bool) -> Self {
        self.config.compile_first = wait;
        self
    }

    /// Lets the CPU do one in so many morsels of other devices a second time and compares the results. A device that differs
    /// is not used any more, the CPU's result counts, and an error is logged. Nothing is checked when this is not set.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// # use std::sync::Arc;
    /// let own = Arc::new(sabot_cpu::CpuBackend::new());
    /// let engine = Engine::builder().backends(vec![own]).shadow_check(1).build()?;
    /// Stream::read(csv("data/flights.csv"))?.filter(col("delay").gt(15))?.collect_on(&engine)?;
    /// assert_eq!(engine.shadow_checks(), (1, 0)); // one morsel was compared, none differed
    /// # Ok::<(), sabot::Error>(())
    /// ```
    pub fn shadow_check(mut self, one_in: u32) -> Self {
        self.shadow_check = std::num::NonZeroU32::new(one_in);
        self
    }

    /// Processing time from a clock of your own.
    ///
    /// ```
    /// # use sabot::Engine;
    /// # use std::sync::Arc;
    /// use sabot_common::ManualClock;
    /// let engine = Engine::builder().clock(Arc::new(ManualClock::new())).build()?;
    /// assert!(engine.workers() >= 1);
    /// # Ok::<(), sabot::Error>(())
    /// ```
    pub fn clock(mut self, clock: Arc<dyn sabot_common::Clock>) -> Self {
        self.config.clock = clock;
        self
    }

    /// How long the engine may have no room for a partition of an unbounded source before the partition is
    /// told to pause; a second when not set. A broker's client then stops fetching and goes on to say that
    /// it is alive.
    pub fn pause_after(mut self, after: Duration) -> Self {
        self.config.pause_after = after;
        self
    }

    /// How often sources that may grow are asked for new partitions; ten seconds when not set. Sources
    /// that know by themselves, channels for one, need not wait for it.
    pub fn discovery_interval(mut self, interval: Duration) -> Self {
        self.config.discovery_interval = interval;
        self
    }

    /// Starts the engine's threads.
    ///
    /// # Errors
    /// When the operating system refuses them, or a device that was asked for is not there.
    pub fn build(mut self) -> Result<Engine> {
        let checks = Arc::new(ShadowCounters::default());
        let mut planner = None;
        match self.devices {
            Devices::Auto if self.config.backends.is_empty() => {
                let devices = match self.calibrated.is_empty() {
                    true => crate::devices::calibrated(),
                    false => std::mem::take(&mut self.calibrated),
                };
                for (backend, calibration) in &devices {
                    if !calibration.is_plausible() {
                        let reason = format!("no device is so fast: {}: {calibration}", backend.device());
                        return Err(Error::Device { devices: "auto", reason });
                    }
                }
                if !devices.is_empty() {
                    // What was found to differ from the CPU is not weighed any more.
                    let devices =
                        devices.into_iter().map(|(device, speed)| (self.shadowed(device, &checks), speed));
                    let devices = devices.collect();
                    let cpu = (self.config.cpu.clone(), crate::calibration::cpu(self.config.workers));
                    let weighing = Arc::new(Planner::new(cpu, devices, self.config.morsel_rows));
                    self.config.backends = weighing.backends();
                    planner = Some(weighing);
                }
            }
            Devices::Auto => {}
            Devices::Cpu => self.config.backends.clear(),
            Devices::Cuda | Devices::Wgpu => {
                let backend = if self.devices == Devices::Cuda { cuda()? } else { wgpu()? };
                self.config.backends = vec![backend];
                self.config.compile_first = true;
            }
        }
        if planner.is_none() {
            let backends = std::mem::take(&mut self.config.backends).into_iter();
            self.config.backends = backends.map(|device| self.shadowed(device, &checks)).collect();
        }
        let keyed_parallelism = self.keyed_parallelism.unwrap_or(self.config.workers);
        Ok(Engine { inner: sabot_exec::Engine::start(self.config)?, keyed_parallelism, checks, planner })
    }

    /// A device, some of whose morsels the CPU does a second time if that was asked for.
    fn shadowed(&self, device: Arc<dyn Backend>, checks: &Arc<ShadowCounters>) -> Arc<dyn Backend> {
        match self.shadow_check {
            Some(one_in) => Arc::new(Shadowed::new(device, self.config.cpu.clone(), one_in, checks.clone())),
            None => device,
        }
    }
}

/// The first of NVIDIA's devices.
#[cfg(feature = "cuda")]
fn cuda() -> Result<Arc<dyn Backend>> {
    use sabot_cuda::{CudaDevice, CudaOptions};
    use sabot_gpu_ops::{GpuBackend, GpuOptions};
    let device = CudaDevice::open(0, CudaOptions::default())
        .map_err(|error| Error::Device { devices: "cuda", reason: error.to_string() })?;
    Ok(Arc::new(GpuBackend::new(device, GpuOptions::default())))
}

/// This build has none.
#[cfg(not(feature = "cuda"))]
fn cuda() -> Result<Arc<dyn Backend>> {
    let reason = "this build has no CUDA; build it with the feature \"cuda\"".to_owned();
    Err(Error::Device { devices: "cuda", reason })
}

/// The first device that wgpu finds.
#[cfg(feature = "wgpu")]
fn wgpu() -> Result<Arc<dyn Backend>> {
    use sabot_gpu_ops::{GpuBackend, GpuOptions};
    use sabot_wgpu::{WgpuDevice, WgpuOptions};
    let device = WgpuDevice::open(0, WgpuOptions::default())
        .map_err(|error| Error::Device { devices: "wgpu", reason: error.to_string() })?;
    Ok(Arc::new(GpuBackend::new(device, GpuOptions::default())))
}

/// This build has none.
#[cfg(not(feature = "wgpu"))]
fn wgpu() -> Result<Arc<dyn Backend>> {
    let reason = "this build has no wgpu; build it with the feature \"wgpu\"".to_owned();
    Err(Error::Device { devices: "wgpu", reason })
}
