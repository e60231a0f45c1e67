//! The driver: its handles as values that free what they name.
//!
//! Every handle holds the context, so that the context outlives it, and every call first makes the context that of its
//! thread. What a stream still uses is not freed: whoever gives memory to a stream keeps it until the stream has gone past it.
#![allow(unsafe_code, reason = "the functions of a C library")]

use cudarc::driver::CudaContext;
use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys::{self, CUdevice_attribute, CUresult};
use sabot_gpu_ops::Fault;
use std::ffi::{CString, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The context of a device.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    inner: Arc<CudaContext>,
    /// Nothing is asked of it any more, also not to free something: a call might wait for work that never ends.
    lost: Arc<AtomicBool>,
}

/// The oldest driver that has all of what is called here: that of CUDA 12.8.
const DRIVER_MIN: i32 = 12_080;

/// Whether the driver's library is there.
pub(crate) fn is_present() -> bool {
    // SAFETY: opens libraries by the names of the driver and closes them again.
    unsafe { sys::is_culib_present() }
}

/// Calls the driver for the first time: a library that lacks something makes the binding panic.
fn first<T>(call: impl FnOnce() -> Result<T, DriverError>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|error| said(&error)),
        Err(_) => Err("the driver is too old, or not whole".to_owned()),
    }
}

fn said(error: &DriverError) -> String {
    format!("{error:?}")
}

/// How many devices there are, and which version of CUDA the driver is for: 12080 is 12.8.
///
/// # Errors
/// What the driver says.
pub(crate) fn count() -> Result<(usize, i32), String> {
    let (count, version) = first(|| {
        result::init()?;
        let mut version = 0;
        // SAFETY: writes an integer that lives as long as the call.
        unsafe { sys::cuDriverGetVersion(&raw mut version) }.result()?;
        Ok((result::device::get_count()?, version))
    })?;
    if version < DRIVER_MIN {
        let [found, wanted] = [version, DRIVER_MIN].map(version_text);
        return Err(format!("the driver is for CUDA {found}; one for {wanted} or later is needed"));
    }
    Ok((usize::try_from(count).unwrap_or(0), version))
}

/// A version as NVIDIA writes it: 12.8 for 12080.
pub(crate) fn version_text(version: i32) -> String {
    format!("{}.{}", version / 1_000, version % 1_000 / 10)
}

/// What an error means for a device.
fn fault(error: DriverError, bytes: usize) -> Fault {
    use CUresult as R;
    match error.0 {
        R::CUDA_ERROR_OUT_OF_MEMORY => Fault::OutOfMemory { bytes },
        // Of these nothing is broken.
        R::CUDA_ERROR_INVALID_VALUE
        | R::CUDA_ERROR_INVALID_IMAGE
        | R::CUDA_ERROR_INVALID_PTX
        | R::CUDA_ERROR_NO_BINARY_FOR_GPU
        | R::CUDA_ERROR_UNSUPPORTED_PTX_VERSION
        | R::CUDA_ERROR_NOT_FOUND
        | R::CUDA_ERROR_NOT_SUPPORTED
        | R::CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES => Fault::Launch(said(&error)),
        // An illegal address, a failed launch and their like stay: every later call would fail.
        _ => Fault::Lost(said(&error)),
    }
}

impl Context {
    /// That of the device with this number.
    ///
    /// # Errors
    /// What the driver says.
    pub(crate) fn new(ordinal: usize) -> Result<Self, String> {
        first(|| {
            let context = CudaContext::new(ordinal)?;
            // SAFETY: no memory of this context is made with the binding's own types, which are what it tracks.
            unsafe { context.disable_event_tracking() };
            Ok(Self { inner: context, lost: Arc::default() })
        })
    }

    /// Makes it that of this thread.
    ///
    /// # Errors
    /// [`Fault::Lost`].
    pub(crate) fn bind(&self) -> Result<(), Fault> {
        if self.lost.load(Ordering::SeqCst) {
            return Err(Fault::Lost("an earlier call failed".to_owned()));
        }
        self.inner.bind_to_thread().map_err(|error| Fault::Lost(said(&error)))
    }

    /// From now on nothing is asked of it.
    pub(crate) fn lose(&self) {
        self.lost.store(true, Ordering::SeqCst);
    }

    pub(crate) fn name(&self) -> String {
        self.inner.name().unwrap_or_else(|error| said(&error))
    }

    /// Its architecture: `sm_90`.
    pub(crate) fn architecture(&self) -> Result<String, String> {
        let (major, minor) = self.inner.compute_capability().map_err(|error| said(&error))?;
        Ok(format!("sm_{major}{minor}"))
    }

    /// Bytes that are free, and all.
    pub(crate) fn memory(&self) -> Result<(usize, usize), String> {
        self.inner.mem_get_info().map_err(|error| said(&error))
    }

    /// Workgroups of a launch.
    pub(crate) fn grid_max(&self) -> Result<u32, String> {
        let most = self.inner.attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X);
        most.map(|most| u32::try_from(most).unwrap_or(u32::MAX)).map_err(|error| said(&error))
    }
}

/// Memory of the device.
#[derive(Debug)]
pub(crate) struct Memory {
    context: Context,
    at: sys::CUdeviceptr,
    pub(crate) bytes: usize,
}

impl Memory {
    pub(crate) fn new(context: &Context, bytes: usize) -> Result<Self, Fault> {
        context.bind()?;
        // SAFETY: the memory is written before it is read, by the rules of `Device::allocate`.
        let at = unsafe { result::malloc_sync(bytes) }.map_err(|error| fault(error, bytes))?;
        Ok(Self { context: context.clone(), at, bytes })
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.context.bind().is_ok() {
            // SAFETY: allocated by `new` and freed once. The call waits for what still uses it. After a loss it fails, and
            // the memory is gone anyway.
            let _ = unsafe { result::free_sync(self.at) };
        }
    }
}

/// Memory of the host that the device copies from and to without the help of the processor.
#[derive(Debug)]
pub(crate) struct Pinned {
    context: Context,
    at: *mut u32,
    words: usize,
}

// SAFETY: it owns its memory, which no thread has a claim to.
unsafe impl Send for Pinned {}

impl Pinned {
    pub(crate) fn new(context: &Context, words: usize) -> Result<Self, Fault> {
        context.bind()?;
        // SAFETY: without flags the memory is cached, so that reading it is as fast as reading any other.
        let at = unsafe { result::malloc_host(words * 4, 0) }.map_err(|error| fault(error, words * 4))?;
        let at: *mut u32 = at.cast();
        // SAFETY: the memory has this many words, and begins at a page.
        unsafe { at.write_bytes(0, words) };
        Ok(Self { context: context.clone(), at, words })
    }

    pub(crate) fn words(&self) -> &[u32] {
        // SAFETY: the memory is owned, was initialised by `new`, and is shared as long as `self` is.
        unsafe { std::slice::from_raw_parts(self.at, self.words) }
    }

    pub(crate) fn words_mut(&mut self) -> &mut [u32] {
        // SAFETY: as `words`, and nobody else has it.
        unsafe { std::slice::from_raw_parts_mut(self.at, self.words) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if self.context.bind().is_ok() {
            // SAFETY: allocated by `new` and freed once; work that copies it is waited for before.
            let _ = unsafe { result::free_host(self.at.cast()) };
        }
    }
}

/// A queue of the device.
#[derive(Debug)]
pub(crate) struct Stream {
    context: Context,
    handle: sys::CUstream,
}

// SAFETY: streams may be used from every thread; the driver orders what is put into one.
unsafe impl Send for Stream {}
// SAFETY: as above.
unsafe impl Sync for Stream {}

impl Stream {
    pub(crate) fn new(context: &Context) -> Result<Self, String> {
        context.bind().map_err(|fault| fault.to_string())?;
        let kind = result::stream::StreamKind::NonBlocking;
        let handle = result::stream::create(kind).map_err(|error| said(&error))?;
        Ok(Self { context: context.clone(), handle })
    }

    /// Copies words to the start of memory, some time later.
    pub(crate) fn upload(&self, from: &[u32], to: &Memory) -> Result<(), Fault> {
        room(size_of_val(from), to)?;
        // SAFETY: the memory is large enough. Both live until the work is over, which its owner waits for.
        unsafe { result::memcpy_htod_async(to.at, from, self.handle) }.map_err(|error| fault(error, 0))
    }

    /// Copies the start of memory to words, some time later.
    pub(crate) fn download(&self, from: &Memory, to: &mut [u32]) -> Result<(), Fault> {
        room(size_of_val(to), from)?;
        // SAFETY: as `upload`; nobody looks at the words before the work is over.
        unsafe { result::memcpy_dtoh_async(to, from.at, self.handle) }.map_err(|error| fault(error, 0))
    }

    /// Makes the first words of memory zero, some time later.
    pub(crate) fn clear(&self, memory: &Memory, words: usize) -> Result<(), Fault> {
        room(words * 4, memory)?;
        // SAFETY: the memory is large enough, and lives until the work is over.
        unsafe { sys::cuMemsetD32Async(memory.at, 0, words, self.handle) }
            .result()
            .map_err(|error| fault(error, 0))
    }

    /// Runs a kernel, some time later. A buffer that is none is a null pointer.
    pub(crate) fn launch(
        &self,
        function: Function,
        (blocks, threads): (u32, u32),
        buffers: [Option<&Memory>; 5],
    ) -> Result<(), Fault> {
        let mut pointers = buffers.map(|buffer| buffer.map_or(0, |memory| memory.at));
        let mut arguments = pointers.each_mut().map(|at| (at as *mut sys::CUdeviceptr).cast::<c_void>());
        let (grid, block) = ((blocks, 1, 1), (threads, 1, 1));
        // SAFETY: every kernel takes five pointers; the driver copies them before it returns. What they point to lives until
        // the work is over, and is as large as the parameters say, which is what the emulator's sanitizers check. A null
        // pointer is that of wide words, which a kernel without any does not touch.
        unsafe { result::launch_kernel(function.0, grid, block, 0, self.handle, &mut arguments) }
            .map_err(|error| fault(error, 0))
    }

    /// A mark behind everything so far.
    pub(crate) fn mark(&self) -> Result<Event, Fault> {
        let flags = sys::CUevent_flags::CU_EVENT_DEFAULT;
        let handle = result::event::create(flags).map_err(|error| fault(error, 0))?;
        let event = Event { context: self.context.clone(), handle };
        // SAFETY: both were made by the driver and live.
        unsafe { result::event::record(event.handle, self.handle) }.map_err(|error| fault(error, 0))?;
        Ok(event)
    }

    /// Waits until nothing is left in it.
    pub(crate) fn drain(&self) -> Result<(), Fault> {
        // SAFETY: the stream lives.
        unsafe { result::stream::synchronize(self.handle) }.map_err(|error| fault(error, 0))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.context.bind().is_ok() {
            // SAFETY: made by `new` and destroyed once; what is left in it the driver finishes.
            let _ = unsafe { result::stream::destroy(self.handle) };
        }
    }
}

/// A copy beyond the end of a buffer is a mistake of the caller.
fn room(bytes: usize, memory: &Memory) -> Result<(), Fault> {
    if bytes <= memory.bytes {
        return Ok(());
    }
    Err(Fault::Launch(format!("{bytes} bytes for a buffer of {}", memory.bytes)))
}

/// A mark in a stream.
#[derive(Debug)]
pub(crate) struct Event {
    context: Context,
    handle: sys::CUevent,
}

// SAFETY: events may be asked and waited for from every thread.
unsafe impl Send for Event {}
// SAFETY: as above.
unsafe impl Sync for Event {}

impl Event {
    /// Whether the device has come past it.
    pub(crate) fn is_past(&self) -> Result<bool, Fault> {
        self.context.bind()?;
        // SAFETY: the event lives and was recorded.
        match unsafe { result::event::query(self.handle) } {
            Ok(()) => Ok(true),
            Err(DriverError(CUresult::CUDA_ERROR_NOT_READY)) => Ok(false),
            Err(error) => Err(fault(error, 0)),
        }
    }

    /// Waits until it has.
    pub(crate) fn wait(&self) -> Result<(), Fault> {
        self.context.bind()?;
        // SAFETY: as above.
        unsafe { result::event::synchronize(self.handle) }.map_err(|error| fault(error, 0))
    }

    /// How long the device took from one to the other, both of which it has come past.
    pub(crate) fn elapsed_to(&self, later: &Event) -> Option<Duration> {
        self.context.bind().ok()?;
        // SAFETY: both live and were recorded in one stream.
        let ms = unsafe { result::event::elapsed(self.handle, later.handle) }.ok()?;
        Some(Duration::from_secs_f64(f64::from(ms.max(0.0)) / 1e3))
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        if self.context.bind().is_ok() {
            // SAFETY: made by `mark` and destroyed once.
            let _ = unsafe { result::event::destroy(self.handle) };
        }
    }
}

/// A function of a module, which outlives it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Function(sys::CUfunction);

// SAFETY: functions may be launched from every thread.
unsafe impl Send for Function {}
// SAFETY: as above.
unsafe impl Sync for Function {}

/// Loaded machine code.
#[derive(Debug)]
pub(crate) struct Module {
    context: Context,
    handle: sys::CUmodule,
    pub(crate) functions: Vec<Function>,
}

// SAFETY: modules may be used from every thread.
unsafe impl Send for Module {}
// SAFETY: as above.
unsafe impl Sync for Module {}

impl Module {
    /// Loads machine code that has these functions.
    pub(crate) fn new(context: &Context, code: &[u8], names: &[&str]) -> Result<Self, Fault> {
        context.bind()?;
        // SAFETY: the code is a whole ELF file of the compiler, whose header says how long it is.
        let handle = unsafe { result::module::load_data(code.as_ptr().cast()) }.map_err(|e| fault(e, 0))?;
        let mut module = Self { context: context.clone(), handle, functions: Vec::new() };
        for name in names {
            let name = CString::new(*name).map_err(|error| Fault::Launch(error.to_string()))?;
            // SAFETY: the module was loaded above.
            let function = unsafe { result::module::get_function(handle, name) };
            module.functions.push(Function(function.map_err(|error| fault(error, 0))?));
        }
        Ok(module)
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        if self.context.bind().is_ok() {
            // SAFETY: loaded by `new` and unloaded once; work that runs its functions holds it.
            let _ = unsafe { result::module::unload(self.handle) };
        }
    }
}
