//! The conformance suite on whatever adapter there is.

use sabot_gpu_ops::{GpuBackend, GpuOptions};
use sabot_ops::conformance::{self, Options};

use crate::{WgpuDevice, WgpuOptions};

#[test]
fn the_first_adapter_passes_the_suite() {
    let device = match WgpuDevice::open(0, WgpuOptions::default()) {
        Ok(device) => device,
        Err(error) => {
            println!("skipped: {error}");
            return;
        }
    };
    println!("{:?}", device.summary());
    println!("{:?}", sabot_gpu_ops::Device::dialect(&*device));
    let backend = GpuBackend::new(device, GpuOptions::default());
    let report = conformance::run(&backend, &Options::quick());
    assert!(report.failed.is_empty(), "{report}");
    println!("{} passed, {} refused", report.passed.len(), report.refused.len());
    println!("{:?}", backend.counters().all());
}
