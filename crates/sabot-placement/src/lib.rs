//! What work costs on a device.
//!
//! A [`Calibration`] says how fast a device is, as data: measured on a machine, or assumed for a class of devices. [`cost`] makes of
//! it, and of what a fragment asks for each row, how long a morsel takes. Nothing here measures, decides by itself, or
//! knows a device.
#![forbid(unsafe_code)]

mod calibration;
mod cost;

pub use calibration::{Basis, Calibration, DeviceClass, Link};
pub use cost::{Cost, cost};
