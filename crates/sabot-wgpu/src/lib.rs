//! Devices that wgpu finds.
//!
//! [`adapters`] lists what there is, [`WgpuDevice::open`] opens one of them. A machine without any is no error: the list
//! is empty, and says why. A device does what `sabot-gpu-ops` asks of it and decides nothing.
#![forbid(unsafe_code)]

mod adapters;
mod device;
mod flight;
#[cfg(test)]
mod tests;

pub use adapters::{AdapterSummary, adapters, may_have_gpu};
pub use device::{OpenError, WgpuDevice, WgpuOptions};
