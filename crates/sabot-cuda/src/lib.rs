//! NVIDIA's devices.
//!
//! The driver and the compiler are looked for when a device is opened, and not before: a program with this crate starts on
//! machines that have neither. Kernels are compiled for the architecture at hand, to machine code and not to PTX, because a
//! newer compiler writes PTX that an older driver refuses; what was compiled once is kept on the disk.
//!
//! All calls of foreign code stand in `driver` and `nvrtc`; nothing else is unsafe.
#![deny(unsafe_code)]

mod cache;
mod device;
mod driver;
mod nvrtc;
#[cfg(test)]
mod tests;

pub use device::{CudaDevice, CudaOptions, CudaSummary, OpenError, devices};
