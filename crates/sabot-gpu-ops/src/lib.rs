//! Operators on GPUs, over any device.
//!
//! A [`Device`] has memory, loads kernels and carries out work; a [`GpuBackend`] makes of it a
//! [`Backend`](sabot_ops::Backend) of fragments. In between lies what all devices share and what is said here once: the
//! text of kernels ([`KernelSource`]), where columns lie in memory, how many pieces of work are in flight, and the *failure
//! ladder*. When memory runs out, free buffers are given back; then the morsel is cut in two; then the CPU takes it. A
//! failed launch goes to the CPU. A device that is lost, or does not answer in time, is not asked again.
//!
//! [`FakeDevice`] is a device for tests, which fails where a script says.
#![forbid(unsafe_code)]

mod backend;
mod by_hand;
mod counters;
mod device;
mod fake;
mod filter_project;
mod front;
mod group_by;
mod kernels;
mod measure;
mod memory;
mod once;
mod probe;
mod results;
mod slab;
mod source;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod tickets;
mod watch;

pub use backend::{GpuBackend, GpuOptions};
pub use counters::Counters;
pub use device::{
    Bindings, Device, DeviceBuffer, Dialect, Fault, Finished, InFlight, Limits, LoadedKernel, Part, Slab,
    WorkStep,
};
pub use fake::{Call, FakeDevice, Mishap, Script};
pub use kernels::{KernelTime, measure_kernels};
pub use measure::{Measured, measure};
pub use once::{Ran, run_in_groups, run_once, same_row};
pub use probe::probe_floats;
pub use source::{KernelSource, TILE};
pub use watch::{Landing, Watch, Watcher};
