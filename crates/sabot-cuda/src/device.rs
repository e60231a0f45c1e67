//! A device of CUDA.

use sabot_common::DeviceId;
use sabot_gpu_ops::{
    Device, DeviceBuffer, Dialect, Fault, Finished, InFlight, KernelSource, Landing, Limits, LoadedKernel,
    Part, Slab, TILE, Watch, Watcher, WorkStep,
};
use std::any::Any;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use crate::driver::{Context, Event, Memory, Module, Pinned, Stream, version_text};
use crate::{cache, driver, nvrtc};

/// Streams of a device: three pieces of work overlap, and a fourth waits behind the first.
const STREAMS: usize = 4;

/// The share of the memory that is free when a device is opened which its buffers may take.
const MEMORY_SHARE: f64 = 0.8;

/// Pinned memory in powers of two, from one page on.
const SLAB_WORDS_MIN: usize = 1_024;

/// What of a device is used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CudaOptions {
    /// Bytes of device memory that buffers may take; four fifths of what is free if it is not said.
    pub memory_bytes: Option<usize>,
    /// The folder in which compiled kernels are kept: `SABOT_CUBINS`, or one in the user's cache, if it is not said.
    pub cubins: Option<PathBuf>,
}

/// A device could not be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The driver is missing.
    #[error("no NVIDIA driver: libcuda is not found; install the driver of the GPU")]
    NoDriver,
    /// The compiler is missing.
    #[error(
        "no NVRTC, which compiles kernels: libnvrtc is not found; install the CUDA toolkit, or nvidia-cuda-nvrtc from PyPI, and \
         name its folder in LD_LIBRARY_PATH"
    )]
    NoCompiler,
    /// There is no such device.
    #[error("no CUDA device {index}; {found} found")]
    NoDevice {
        /// The number asked for.
        index: usize,
        /// How many there are.
        found: usize,
    },
    /// The driver refused.
    #[error("CUDA device {index}: {reason}")]
    Refused {
        /// The number.
        index: usize,
        /// What the driver said.
        reason: String,
    },
}

/// What a device is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CudaSummary {
    /// Its number: that of its device, `cuda:0`.
    pub index: usize,
    /// What its driver calls it.
    pub name: String,
    /// Its architecture: `sm_90`.
    pub architecture: String,
    /// Bytes of memory that were free when it was opened, and all.
    pub memory_bytes: (usize, usize),
    /// The version of CUDA that its driver is for: `12.8`.
    pub driver: String,
    /// The version of the compiler.
    pub nvrtc: (i32, i32),
}

/// How many devices there are.
///
/// ```
/// // Most machines have none, and say what is missing.
/// match sabot_cuda::devices() {
///     Ok(count) => println!("{count} devices"),
///     Err(error) => assert!(!error.to_string().is_empty()),
/// }
/// ```
///
/// # Errors
/// [`OpenError`] where there is no driver, or it does not start.
pub fn devices() -> Result<usize, OpenError> {
    counted().map(|(count, _)| count)
}

/// How many there are, and which version the driver is for.
fn counted() -> Result<(usize, i32), OpenError> {
    if !driver::is_present() {
        return Err(OpenError::NoDriver);
    }
    driver::count().map_err(|reason| OpenError::Refused { index: 0, reason })
}

/// A device.
#[derive(Debug)]
pub struct CudaDevice {
    summary: CudaSummary,
    id: DeviceId,
    limits: Limits,
    cubins: Option<PathBuf>,
    streams: Vec<Arc<Stream>>,
    next: AtomicUsize,
    slabs: Arc<SlabPool>,
    watch: Arc<Watch>,
    /// Ends with the device.
    _watcher: Watcher,
    context: Context,
}

impl CudaDevice {
    /// Opens the device with this number.
    ///
    /// # Errors
    /// [`OpenError`], which says what is missing.
    pub fn open(index: usize, options: CudaOptions) -> Result<Arc<Self>, OpenError> {
        let refused = |reason: String| OpenError::Refused { index, reason };
        let (found, driver) = counted()?;
        if index >= found {
            return Err(OpenError::NoDevice { index, found });
        }
        let nvrtc = nvrtc::version().ok_or(OpenError::NoCompiler)?;
        let context = Context::new(index).map_err(refused)?;
        let (free, total) = context.memory().map_err(refused)?;
        let architecture = context.architecture().map_err(refused)?;
        let limits = Limits {
            memory_bytes: options.memory_bytes.unwrap_or((free as f64 * MEMORY_SHARE) as usize),
            // Offsets count words in 32 bits.
            buffer_bytes_max: free.min(u32::MAX as usize) & !3,
            workgroups_max: context.grid_max().map_err(refused)?,
        };
        let streams = (0..STREAMS).map(|_| Stream::new(&context).map(Arc::new));
        let streams = streams.collect::<Result<_, _>>().map_err(refused)?;
        let id = DeviceId::new(format!("cuda:{index}"));
        let watch = Arc::new(Watch::default());
        let bound = context.clone();
        let poll = move || bound.bind().map_err(|fault| fault.to_string());
        let watcher = Watcher::start(watch.clone(), &format!("sabot-watch-{id}"), poll)
            .map_err(|error| refused(error.to_string()))?;
        let memory_bytes = (free, total);
        Ok(Arc::new(Self {
            summary: CudaSummary {
                index,
                name: context.name(),
                architecture,
                memory_bytes,
                driver: version_text(driver),
                nvrtc,
            },
            id,
            limits,
            cubins: options.cubins.or_else(cache::folder),
            streams,
            next: AtomicUsize::new(0),
            slabs: Arc::default(),
            watch,
            _watcher: watcher,
            context,
        }))
    }

    /// What it is.
    pub fn summary(&self) -> &CudaSummary {
        &self.summary
    }

    fn alive(&self) -> Result<(), Fault> {
        self.watch.lost().map_or(Ok(()), |reason| Err(Fault::Lost(reason)))
    }

    /// Tells everybody of a loss.
    fn seen(&self, fault: Fault) -> Fault {
        if let Fault::Lost(reason) = &fault {
            self.context.lose();
            self.watch.lose(reason.clone());
        }
        fault
    }
}

#[derive(Debug)]
struct CudaBuffer(Memory);

impl DeviceBuffer for CudaBuffer {
    fn bytes(&self) -> usize {
        self.0.bytes
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn memory(buffer: &Arc<dyn DeviceBuffer>) -> Result<&Memory, Fault> {
    let own = buffer.as_any().downcast_ref::<CudaBuffer>();
    own.map(|own| &own.0).ok_or_else(|| Fault::Launch("a buffer of another device".to_owned()))
}

#[derive(Debug)]
struct CudaKernel(Module);

impl LoadedKernel for CudaKernel {
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Pinned memory that nobody uses, by its size: to pin it takes longer than to copy it.
#[derive(Debug, Default)]
struct SlabPool {
    free: Mutex<BTreeMap<usize, Vec<Pinned>>>,
}

#[derive(Debug)]
struct CudaSlab {
    pool: Arc<SlabPool>,
    words: usize,
    /// None once it is given back.
    pinned: Option<Pinned>,
}

impl Slab for CudaSlab {
    fn words(&self) -> &[u32] {
        self.pinned.as_ref().map_or(&[], |pinned| &pinned.words()[..self.words])
    }

    fn words_mut(&mut self) -> &mut [u32] {
        let words = self.words;
        self.pinned.as_mut().map_or(&mut [], |pinned| &mut pinned.words_mut()[..words])
    }
}

impl Drop for CudaSlab {
    fn drop(&mut self) {
        if let Some(pinned) = self.pinned.take() {
            let mut free = self.pool.free.lock().unwrap_or_else(PoisonError::into_inner);
            free.entry(pinned.words().len()).or_default().push(pinned);
        }
    }
}

impl Device for CudaDevice {
    fn id(&self) -> DeviceId {
        self.id.clone()
    }

    fn dialect(&self) -> Dialect {
        Dialect::Cuda
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn load(&self, source: &KernelSource) -> Result<Arc<dyn LoadedKernel>, Fault> {
        self.alive()?;
        let architecture = &self.summary.architecture;
        let key = cache::key(&source.text, architecture, self.summary.nvrtc);
        let compile = || nvrtc::compile(&source.text, architecture);
        let code = cache::get_or(self.cubins.as_deref(), &key, compile).map_err(Fault::Launch)?;
        let module = Module::new(&self.context, &code, source.entries).map_err(|fault| self.seen(fault))?;
        Ok(Arc::new(CudaKernel(module)))
    }

    fn allocate(&self, bytes: usize) -> Result<Arc<dyn DeviceBuffer>, Fault> {
        self.alive()?;
        let memory =
            Memory::new(&self.context, bytes.next_multiple_of(4)).map_err(|fault| self.seen(fault))?;
        Ok(Arc::new(CudaBuffer(memory)))
    }

    fn slab(&self, words: usize) -> Result<Box<dyn Slab>, Fault> {
        let class = words.max(SLAB_WORDS_MIN).next_power_of_two();
        let known = {
            let mut free = self.slabs.free.lock().unwrap_or_else(PoisonError::into_inner);
            free.get_mut(&class).and_then(Vec::pop)
        };
        let pinned = match known {
            Some(pinned) => pinned,
            None => Pinned::new(&self.context, class).map_err(|fault| self.seen(fault))?,
        };
        Ok(Box::new(CudaSlab { pool: self.slabs.clone(), words, pinned: Some(pinned) }))
    }

    fn submit(&self, work: Vec<WorkStep>) -> Result<Box<dyn InFlight>, Fault> {
        self.alive()?;
        self.context.bind().map_err(|fault| self.seen(fault))?;
        let number = self.next.fetch_add(1, Ordering::Relaxed) % self.streams.len();
        let mut held = Held::new(&self.streams[number]);
        let (begin, end) = match held.put(work) {
            Ok(marks) => marks,
            Err(fault) => {
                // What was put in so far uses memory that is about to be free.
                return Err(self.seen(held.stream.drain().err().unwrap_or(fault)));
            }
        };
        let landing = Arc::new(CudaLanding { end, waker: Mutex::default() });
        self.watch.add(landing.clone());
        let (watch, context) = (self.watch.clone(), self.context.clone());
        Ok(Box::new(CudaWork { watch, context, landing, begin, held: Some(held) }))
    }
}

/// What the device uses until work is over.
#[derive(Debug)]
struct Held {
    stream: Arc<Stream>,
    uploaded: Vec<Box<dyn Slab>>,
    downloaded: Vec<Box<dyn Slab>>,
    buffers: Vec<Arc<dyn DeviceBuffer>>,
    kernels: Vec<Arc<dyn LoadedKernel>>,
}

impl Held {
    fn new(stream: &Arc<Stream>) -> Self {
        let stream = stream.clone();
        Self {
            stream,
            uploaded: Vec::new(),
            downloaded: Vec::new(),
            buffers: Vec::new(),
            kernels: Vec::new(),
        }
    }

    /// Puts steps into the stream; gives the marks before and behind them.
    fn put(&mut self, work: Vec<WorkStep>) -> Result<(Event, Event), Fault> {
        let begin = self.stream.mark()?;
        for step in work {
            match step {
                WorkStep::Upload { from, words, to } => {
                    self.uploaded.push(from);
                    self.buffers.push(to.clone());
                    let from = self.uploaded.last().map_or(&[][..], |from| &from.words()[..words]);
                    self.stream.upload(from, memory(&to)?)?;
                }
                WorkStep::Clear { buffer, words } => {
                    self.buffers.push(buffer.clone());
                    self.stream.clear(memory(&buffer)?, words)?;
                }
                WorkStep::Launch { kernel, entry, bindings, groups } => {
                    self.kernels.push(kernel.clone());
                    let loaded = kernel.as_any().downcast_ref::<CudaKernel>();
                    let loaded =
                        loaded.ok_or_else(|| Fault::Launch("a kernel of another device".to_owned()))?;
                    let function = loaded.0.functions.get(entry).copied();
                    let function = function.ok_or_else(|| Fault::Launch(format!("no entry {entry}")))?;
                    let parts = [&bindings.input, &bindings.output, &bindings.parameters, &bindings.status];
                    let parts = parts.map(Some).into_iter().chain([bindings.wide.as_ref()]);
                    let mut pointers = [None; 5];
                    for (pointer, part) in pointers.iter_mut().zip(parts) {
                        *pointer = part.map(|Part { buffer, .. }| memory(buffer)).transpose()?;
                    }
                    self.stream.launch(function, (groups, TILE), pointers)?;
                    let all = [bindings.input, bindings.output, bindings.parameters, bindings.status];
                    self.buffers.extend(all.into_iter().chain(bindings.wide).map(|part| part.buffer));
                }
                WorkStep::Download { from, words, to } => {
                    self.downloaded.push(to);
                    self.buffers.push(from.clone());
                    if let Some(to) = self.downloaded.last_mut() {
                        self.stream.download(memory(&from)?, &mut to.words_mut()[..words])?;
                    }
                }
            }
        }
        Ok((begin, self.stream.mark()?))
    }
}

/// The end of work, and who waits for it.
#[derive(Debug)]
struct CudaLanding {
    end: Event,
    waker: Mutex<Option<Waker>>,
}

impl Landing for CudaLanding {
    fn has_landed(&self) -> bool {
        // What it failed with, whoever polls it sees.
        self.end.is_past().unwrap_or(true)
    }

    fn wake(&self) {
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        waker.into_iter().for_each(Waker::wake);
    }
}

#[derive(Debug)]
struct CudaWork {
    watch: Arc<Watch>,
    context: Context,
    landing: Arc<CudaLanding>,
    begin: Event,
    /// None once it is over.
    held: Option<Held>,
}

impl InFlight for CudaWork {
    fn poll(&mut self, waker: &Waker) -> Result<Option<Finished>, Fault> {
        if let Some(reason) = self.watch.lost() {
            return Err(Fault::Lost(reason));
        }
        // Before it is asked, or its end could be missed.
        *self.landing.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker.clone());
        // It may have been lost before there was somebody to wake.
        if let Some(reason) = self.watch.lost() {
            return Err(Fault::Lost(reason));
        }
        match self.landing.end.is_past() {
            Ok(false) => Ok(None),
            Ok(true) => {
                let Some(held) = self.held.take() else { return Ok(None) };
                let elapsed = self.begin.elapsed_to(&self.landing.end);
                let Held { uploaded, downloaded, .. } = held;
                Ok(Some(Finished { uploaded, downloaded, elapsed }))
            }
            Err(fault) => {
                if let Fault::Lost(reason) = &fault {
                    self.context.lose();
                    self.watch.lose(reason.clone());
                }
                Err(fault)
            }
        }
    }

    fn abandon(&mut self) -> bool {
        self.context.lose();
        self.watch.lose("work did not come to its end".to_owned());
        // Slabs that the device may still write must not be given to others.
        std::mem::forget(self.held.take());
        false
    }
}

impl Drop for CudaWork {
    fn drop(&mut self) {
        // Its memory is used again, so the device must have done with it. One that is lost has.
        if self.held.is_some() && self.watch.lost().is_none() {
            let _ = self.landing.end.wait();
        }
    }
}
