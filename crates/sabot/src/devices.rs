//! What there is to run fragments on.

use sabot_ops::Backend;
use sabot_placement::Calibration;
use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::calibration;

/// A device of this machine, or why there is none of its kind.
///
/// ```
/// // The CPU is always there, and comes first.
/// let all = sabot::list_devices();
/// assert_eq!((all[0].id.as_str(), all[0].is_usable), ("cpu", true));
/// assert!(all.iter().any(|device| device.id.starts_with("wgpu")));
/// println!("{}", all[0]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FoundDevice {
    /// Its name, as in metrics: `wgpu:0`; of a kind of which there is none the kind alone.
    pub id: String,
    /// Whether jobs can run on it.
    pub is_usable: bool,
    /// What it is, or what is missing and how to get it.
    pub about: String,
    /// Its limits and what was measured, a line each.
    pub details: Vec<String>,
}

impl fmt::Display for FoundDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.id, self.about)?;
        self.details.iter().try_for_each(|line| write!(f, "\n    {line}"))
    }
}

/// The devices of this machine, the CPU first. Each is measured, which takes up to some seconds, and what was measured is kept in
/// the user's cache, where [`Devices::Auto`](crate::Devices::Auto) finds it from then on. A kind of which there is none is
/// there as well, with the reason.
///
/// ```
/// assert!(sabot::list_devices().iter().all(|device| !device.about.is_empty()));
/// ```
pub fn list_devices() -> Vec<FoundDevice> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let variant = sabot_cpu::CpuBackend::new().variant();
    let cpu = FoundDevice {
        id: "cpu".to_owned(),
        is_usable: true,
        about: format!("{workers} processors, SIMD variant {variant}"),
        details: vec![match calibration::calibrate_cpu() {
            Ok(measured) => {
                format!("{measured}; {}", calibration::keep(&measured, &calibration::about_cpu()))
            }
            Err(error) => format!("not measured: {error}"),
        }],
    };
    std::iter::once(cpu).chain(cuda()).chain(wgpu()).collect()
}

fn none(kind: &str, about: &str) -> FoundDevice {
    FoundDevice { id: kind.to_owned(), is_usable: false, about: about.to_owned(), details: Vec::new() }
}

#[cfg(not(feature = "cuda"))]
fn cuda() -> Vec<FoundDevice> {
    vec![none("cuda", "not in this build; build it with the feature \"cuda\"")]
}

#[cfg(feature = "cuda")]
fn cuda() -> Vec<FoundDevice> {
    use sabot_cuda::{CudaDevice, CudaOptions, devices};
    let count = match devices() {
        Ok(count) => count,
        Err(error) => return vec![none("cuda", &error.to_string())],
    };
    let mut found = Vec::new();
    for index in 0..count {
        let id = format!("cuda:{index}");
        found.push(match CudaDevice::open(index, CudaOptions::default()) {
            Ok(device) => {
                let summary = device.summary();
                let ((free, total), (major, minor)) = (summary.memory_bytes, summary.nvrtc);
                let memory = format!("{} of {} MiB free", free >> 20, total >> 20);
                let measured = measured(&id, &about_cuda(summary), &*device);
                let details = vec![memory, limits(&*device), format!("NVRTC {major}.{minor}"), measured];
                let about = format!("{} ({})", summary.name, summary.architecture);
                FoundDevice { id, is_usable: true, about, details }
            }
            Err(error) => FoundDevice { id, is_usable: false, about: error.to_string(), details: Vec::new() },
        });
    }
    if found.is_empty() {
        found.push(none("cuda", "there is a driver, and no device"));
    }
    found
}

#[cfg(any(feature = "cuda", feature = "wgpu"))]
fn limits(device: &dyn sabot_gpu_ops::Device) -> String {
    let limits = device.limits();
    let (buffer, memory) = (limits.buffer_bytes_max >> 20, limits.memory_bytes >> 20);
    format!("buffers of up to {buffer} MiB, {memory} MiB used in all")
}

/// Measures a device, and keeps the result.
#[cfg(any(feature = "cuda", feature = "wgpu"))]
fn measured(id: &str, about: &str, device: &dyn sabot_gpu_ops::Device) -> String {
    match sabot_gpu_ops::measure(device) {
        Ok(measured) => {
            let calibration = calibration::of_gpu(id, &measured);
            let kept = calibration::keep(&calibration, about);
            format!("{calibration}, {:.0} µs there and back; {kept}", measured.round_trip_us)
        }
        Err(fault) => format!("not measured: {fault}"),
    }
}

/// A device that is worth weighing, as it was found.
#[derive(Clone)]
struct Candidate {
    backend: Arc<dyn Backend>,
    class: crate::DeviceClass,
    about: String,
}

/// The devices that are worth weighing, and how fast they are as far as is known by now. They are looked for once in a process:
/// opening one takes a fraction of a second.
pub(crate) fn calibrated() -> Vec<(Arc<dyn Backend>, Calibration)> {
    static FOUND: OnceLock<Option<Candidate>> = OnceLock::new();
    let found = FOUND.get_or_init(|| candidate_cuda().or_else(candidate_wgpu)).clone();
    let calibrated = |Candidate { backend, class, about }: Candidate| {
        let id = backend.device();
        let calibration =
            calibration::kept(id.as_str(), &about).unwrap_or_else(|| class.assumed(id.as_str()));
        (backend, calibration)
    };
    found.into_iter().map(calibrated).collect()
}

#[cfg(not(feature = "cuda"))]
fn candidate_cuda() -> Option<Candidate> {
    None
}

/// The first of NVIDIA's devices.
#[cfg(feature = "cuda")]
fn candidate_cuda() -> Option<Candidate> {
    use sabot_gpu_ops::{GpuBackend, GpuOptions};
    let device = sabot_cuda::CudaDevice::open(0, sabot_cuda::CudaOptions::default()).ok()?;
    let summary = device.summary();
    // Those of compute capability x.0 from 8 on have the memory of a datacenter's.
    let class = match summary.architecture.as_str() {
        "sm_80" | "sm_90" | "sm_100" => crate::DeviceClass::DatacenterGpu,
        _ => crate::DeviceClass::DiscreteGpu,
    };
    let about = about_cuda(summary);
    Some(Candidate { backend: Arc::new(GpuBackend::new(device, GpuOptions::default())), class, about })
}

#[cfg(feature = "cuda")]
fn about_cuda(summary: &sabot_cuda::CudaSummary) -> String {
    let ((major, minor), driver) = (summary.nvrtc, &summary.driver);
    format!("{} ({}), driver for CUDA {driver}, NVRTC {major}.{minor}", summary.name, summary.architecture)
}

#[cfg(not(feature = "wgpu"))]
fn candidate_wgpu() -> Option<Candidate> {
    None
}

/// The first GPU that wgpu finds: none that the CPU plays.
#[cfg(feature = "wgpu")]
fn candidate_wgpu() -> Option<Candidate> {
    use sabot_gpu_ops::{GpuBackend, GpuOptions};
    if !sabot_wgpu::may_have_gpu() {
        return None;
    }
    let adapter = sabot_wgpu::adapters().into_iter().find(|adapter| !adapter.is_software)?;
    let device = sabot_wgpu::WgpuDevice::open(adapter.index, sabot_wgpu::WgpuOptions::default()).ok()?;
    let class = match adapter.is_integrated {
        true => crate::DeviceClass::IntegratedGpu,
        false => crate::DeviceClass::DiscreteGpu,
    };
    let about = about_wgpu(&adapter);
    Some(Candidate { backend: Arc::new(GpuBackend::new(device, GpuOptions::default())), class, about })
}

#[cfg(feature = "wgpu")]
fn about_wgpu(adapter: &sabot_wgpu::AdapterSummary) -> String {
    format!("{} ({}, {})", adapter.name, adapter.backend, adapter.driver)
}

#[cfg(not(feature = "wgpu"))]
fn wgpu() -> Vec<FoundDevice> {
    vec![none("wgpu", "not in this build; build it with the feature \"wgpu\"")]
}

#[cfg(feature = "wgpu")]
fn wgpu() -> Vec<FoundDevice> {
    use sabot_gpu_ops::{Device, Dialect};
    use sabot_wgpu::{WgpuDevice, WgpuOptions, adapters};
    let mut found = Vec::new();
    for adapter in adapters() {
        let kind = if adapter.is_software { "software" } else { "hardware" };
        let about = format!("{}, {kind}", about_wgpu(&adapter));
        let id = format!("wgpu:{}", adapter.index);
        let mut details = Vec::new();
        let opened = WgpuDevice::open(adapter.index, WgpuOptions::default());
        let is_usable = opened.is_ok();
        match opened {
            Ok(device) => {
                details.push(limits(&*device));
                if let Dialect::Wgsl(features) = device.dialect() {
                    let says = |has: bool| if has { "yes" } else { "no" };
                    details.push(format!(
                        "integers of 64 bits: {}; floats of 64 bits: {}; rounds as IEEE 754 says: 32 bits {}, 64 bits {}",
                        says(features.int64),
                        says(features.float64),
                        says(features.exact32),
                        says(features.exact64)
                    ));
                }
                details.push(measured(&id, &about_wgpu(&adapter), &*device));
            }
            Err(error) => details.push(error.to_string()),
        }
        found.push(FoundDevice { id, is_usable, about, details });
    }
    if found.is_empty() {
        let why = WgpuDevice::open(0, WgpuOptions::default()).err().map(|error| error.to_string());
        found.push(none("wgpu", &why.unwrap_or_default()));
    }
    found
}
