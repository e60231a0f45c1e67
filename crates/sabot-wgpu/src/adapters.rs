//! What there is.

use std::path::Path;
use wgpu::{Adapter, Backends, Features, Instance, InstanceDescriptor};

/// An adapter that can be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterSummary {
    /// Its place in the list: the number of its device, `wgpu:0`.
    pub index: usize,
    /// What its driver calls it.
    pub name: String,
    /// The interface: `vulkan`.
    pub backend: String,
    /// The driver and its version.
    pub driver: String,
    /// Whether the CPU plays the device.
    pub is_software: bool,
    /// Whether it uses the memory of the host.
    pub is_integrated: bool,
    /// Whether it has integers of 64 bits.
    pub int64: bool,
    /// Whether it has floats of 64 bits.
    pub float64: bool,
    /// Whether it has atomic operations of 64 bits.
    pub atomic64: bool,
    /// Bytes of the largest buffer that a kernel can be given.
    pub buffer_bytes_max: u64,
}

/// Whether it is worth looking for a GPU: looking takes a tenth of a second, and loads drivers that write to the standard error
/// what they think of a machine without a display. On Linux a GPU that a process may use has a file.
///
/// ```
/// let is_gpu = |adapter: &sabot_wgpu::AdapterSummary| !adapter.is_software;
/// assert!(sabot_wgpu::may_have_gpu() || !sabot_wgpu::adapters().iter().any(is_gpu));
/// ```
pub fn may_have_gpu() -> bool {
    // Of most vendors, NVIDIA's own driver, Windows below, and those of phones and boards.
    const FILES: [&str; 6] =
        ["/dev/dri", "/dev/nvidiactl", "/dev/dxg", "/dev/kgsl-3d0", "/dev/mali0", "/dev/pvr_sync"];
    !cfg!(target_os = "linux") || FILES.iter().any(|file| Path::new(file).exists())
}

/// The adapters of this machine, real devices first.
///
/// ```
/// // Each has its place in the list, and there may be none.
/// assert!(sabot_wgpu::adapters().iter().enumerate().all(|(at, adapter)| adapter.index == at));
/// ```
pub fn adapters() -> Vec<AdapterSummary> {
    let all = enumerate();
    all.iter().enumerate().map(|(index, adapter)| summary(index, adapter)).collect()
}

/// The adapters themselves, in the order of the list.
pub(crate) fn enumerate() -> Vec<Adapter> {
    let instance = Instance::new(InstanceDescriptor::new_without_display_handle());
    let mut all = pollster::block_on(instance.enumerate_adapters(Backends::PRIMARY));
    // The order of drivers stays among equals.
    all.sort_by_key(|adapter| adapter.get_info().device_type == wgpu::DeviceType::Cpu);
    all
}

pub(crate) fn summary(index: usize, adapter: &Adapter) -> AdapterSummary {
    let (info, features) = (adapter.get_info(), adapter.features());
    AdapterSummary {
        index,
        name: info.name,
        backend: info.backend.to_string(),
        driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
        is_software: info.device_type == wgpu::DeviceType::Cpu,
        is_integrated: info.device_type == wgpu::DeviceType::IntegratedGpu,
        int64: features.contains(Features::SHADER_INT64),
        float64: features.contains(Features::SHADER_F64),
        atomic64: features.contains(Features::SHADER_INT64_ATOMIC_ALL_OPS),
        buffer_bytes_max: buffer_bytes_max(&adapter.limits()),
    }
}

/// Bytes of the largest buffer that can be bound.
pub(crate) fn buffer_bytes_max(limits: &wgpu::Limits) -> u64 {
    limits.max_buffer_size.min(limits.max_storage_buffer_binding_size)
}
