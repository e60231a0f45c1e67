//! What a device is: memory, kernels, and work in flight.
//!
//! A device decides nothing. Which kernels there are, how large a piece of work may be, what happens when memory runs out
//! or a launch fails is said once, in this crate, over `dyn Device`; so the emulated and the failing devices of tests go
//! the way that production goes.
//!
//! Work is a list of steps that a device carries out in order and that it finishes as a whole. Several works may be in
//! flight; they are independent, so a device overlaps the copies of one with the kernels of another where it can.

use sabot_codegen::WgslFeatures;
use sabot_common::DeviceId;
use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use crate::source::KernelSource;

/// The language that a device's kernels are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// CUDA C++.
    Cuda,
    /// WGSL, with what the device has of it.
    Wgsl(WgslFeatures),
}

/// What a device can hold and launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of device memory that may be used in all.
    pub memory_bytes: usize,
    /// Bytes of the largest buffer that a kernel can be given.
    pub buffer_bytes_max: usize,
    /// Workgroups of one launch.
    pub workgroups_max: u32,
}

/// What went wrong on a device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It has no memory of this size left.
    #[error("no {bytes} bytes of device memory are free")]
    OutOfMemory {
        /// Bytes asked for.
        bytes: usize,
    },
    /// A kernel could not be compiled or launched; other work goes on.
    #[error("{0}")]
    Launch(String),
    /// The device is of no use for the rest of the process: every later call would fail.
    #[error("the device is lost: {0}")]
    Lost(String),
}

/// Memory of a device. Freed when dropped.
pub trait DeviceBuffer: Debug + Send + Sync {
    /// Its size.
    fn bytes(&self) -> usize;
    /// For the owning crate, to find its own type again.
    fn as_any(&self) -> &dyn Any;
}

/// A kernel on a device. Unloaded when dropped.
pub trait LoadedKernel: Debug + Send + Sync {
    /// For the owning crate, to find its own type again.
    fn as_any(&self) -> &dyn Any;
}

/// Memory of the host that a device copies from and to, in 32-bit words; pinned where that makes a difference.
pub trait Slab: Debug + Send {
    /// The words.
    fn words(&self) -> &[u32];
    /// The words.
    fn words_mut(&mut self) -> &mut [u32];
}

/// Memory of the host as it comes: for devices that copy from anywhere alike.
impl Slab for Vec<u32> {
    fn words(&self) -> &[u32] {
        self
    }

    fn words_mut(&mut self) -> &mut [u32] {
        self
    }
}

/// The first words of a buffer: what a launch may touch of it.
#[derive(Clone, Debug)]
pub struct Part {
    /// The buffer.
    pub buffer: Arc<dyn DeviceBuffer>,
    /// How many words.
    pub words: usize,
}

/// The buffers of a launch, in the order of their bindings.
#[derive(Clone, Debug)]
pub struct Bindings {
    /// Only read.
    pub input: Part,
    /// Written.
    pub output: Part,
    /// Only read.
    pub parameters: Part,
    /// Changed by atomic operations: a word that says whether some row failed, and what else the kernel keeps.
    pub status: Part,
    /// The wide words of kernels that have any ([`KernelSource::has_wide_words`]), changed by atomic operations of 64 bits.
    pub wide: Option<Part>,
}

impl Bindings {
    /// The steps that clear what a launch changes.
    pub(crate) fn clear(&self) -> impl Iterator<Item = WorkStep> {
        let cleared = std::iter::once(&self.status).chain(&self.wide);
        cleared.map(|part| WorkStep::Clear { buffer: part.buffer.clone(), words: part.words })
    }
}

/// A step of work.
#[derive(Debug)]
pub enum WorkStep {
    /// Copies the first words of a slab to the start of a buffer.
    Upload {
        /// From.
        from: Box<dyn Slab>,
        /// How many.
        words: usize,
        /// To.
        to: Arc<dyn DeviceBuffer>,
    },
    /// Makes the first words of a buffer zero.
    Clear {
        /// Which buffer.
        buffer: Arc<dyn DeviceBuffer>,
        /// How many.
        words: usize,
    },
    /// Runs a kernel.
    Launch {
        /// The kernel.
        kernel: Arc<dyn LoadedKernel>,
        /// Which of its entries.
        entry: usize,
        /// What it reads and writes.
        bindings: Bindings,
        /// Workgroups.
        groups: u32,
    },
    /// Copies the first words of a buffer to the start of a slab.
    Download {
        /// From.
        from: Arc<dyn DeviceBuffer>,
        /// How many.
        words: usize,
        /// To.
        to: Box<dyn Slab>,
    },
}

/// Work that is finished.
#[derive(Debug, Default)]
pub struct Finished {
    /// The slabs of uploads, free again.
    pub uploaded: Vec<Box<dyn Slab>>,
    /// The slabs of downloads, in order.
    pub downloaded: Vec<Box<dyn Slab>>,
    /// Time on the device, where it was measured.
    pub elapsed: Option<Duration>,
}

/// Work in flight. Its buffers are used again when it is dropped: unless the device carries out all work in one order, or is
/// lost, dropping it waits until the device has done with them.
pub trait InFlight: Send {
    /// Whether it is finished. If not, the waker is woken when it is worth asking again.
    ///
    /// # Errors
    /// [`Fault`]; then the work is over.
    fn poll(&mut self, waker: &Waker) -> Result<Option<Finished>, Fault>;

    /// The work is given up, because it does not come to its end. The device is lost, and dropping the work does not wait for it.
    /// Says whether its buffers may be used again: not where a device may still write them.
    fn abandon(&mut self) -> bool {
        true
    }
}

/// A device.
pub trait Device: Debug + Send + Sync {
    /// Its name: `cuda:0`.
    fn id(&self) -> DeviceId;

    /// The language of its kernels.
    fn dialect(&self) -> Dialect;

    /// What it can hold.
    fn limits(&self) -> Limits;

    /// Makes a kernel of its source. May take long.
    ///
    /// # Errors
    /// [`Fault::Launch`] when it does not compile.
    fn load(&self, source: &KernelSource) -> Result<Arc<dyn LoadedKernel>, Fault>;

    /// Memory of at least this size, with anything in it.
    ///
    /// # Errors
    /// [`Fault::OutOfMemory`].
    fn allocate(&self, bytes: usize) -> Result<Arc<dyn DeviceBuffer>, Fault>;

    /// Memory of the host to copy from and to.
    ///
    /// # Errors
    /// [`Fault::OutOfMemory`] when the host has none that can be pinned.
    fn slab(&self, words: usize) -> Result<Box<dyn Slab>, Fault>;

    /// Starts work.
    ///
    /// # Errors
    /// [`Fault`] when it could not be started.
    fn submit(&self, work: Vec<WorkStep>) -> Result<Box<dyn InFlight>, Fault>;
}
