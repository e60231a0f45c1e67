//! The whole host path over a device that is none, and kernels through the compiler of CUDA.

mod resources;

use sabot_ops::conformance::{self, Options, Required};
use std::sync::Arc;

use crate::{FakeDevice, GpuBackend, GpuOptions, Script};

#[test]
fn a_device_that_does_not_fail_passes_the_suite() {
    let device = FakeDevice::new(Script::default());
    let backend = GpuBackend::new(device.clone(), GpuOptions::default());
    let report = conformance::run(&backend, &Options::quick());
    assert!(report.failed.is_empty(), "{report}");
    let required = Required::parse(include_str!("../../../../conformance/required/cuda.txt")).unwrap();
    let shortfall = required.check(&report);
    assert!(shortfall.is_empty(), "{shortfall}");
    assert_eq!(backend.bytes_used(), 0);
    drop(backend);
    assert_eq!((device.live_buffers(), Arc::strong_count(&device)), (0, 1));
}
