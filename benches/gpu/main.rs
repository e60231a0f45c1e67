//! What a GPU of this machine does: its link, its memory, and the kernels of Sabot over data that lies on it, as JSON.
//!
//! `gpu-kernels cuda` or `gpu-kernels wgpu`, with the number of rows behind it. `cargo xtask gpu-bundle` puts it into a folder
//! for machines without Rust.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "it prints what it has measured")]

use sabot_cuda::{CudaDevice, CudaOptions};
use sabot_gpu_ops::{Device, measure, measure_kernels};
use sabot_wgpu::{WgpuDevice, WgpuOptions};
use serde_json::json;
use std::error::Error;
use std::sync::Arc;

/// Rows where none are named: 32 MiB of an int64, beyond every cache.
const ROWS: usize = 4 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let kind = arguments.next().unwrap_or_default();
    let rows = arguments.next().map_or(Ok(ROWS), |rows| rows.parse())?;
    let (device, about): (Arc<dyn Device>, String) = match kind.as_str() {
        "cuda" => {
            let device = CudaDevice::open(0, CudaOptions::default())?;
            let about = format!("{:?}", device.summary());
            (device, about)
        }
        "wgpu" => {
            let device = WgpuDevice::open(0, WgpuOptions::default())?;
            let about = format!("{:?}", device.summary());
            (device, about)
        }
        other => return Err(format!("\"{other}\": cuda or wgpu, and a number of rows").into()),
    };
    let link = measure(&*device)?;
    let kernels: Vec<_> = measure_kernels(&*device, rows)?
        .into_iter()
        .map(|kernel| {
            json!({
                "kernel": kernel.name,
                "rows": kernel.rows,
                "seconds": kernel.seconds,
                "rows_per_s": kernel.rows_per_s(),
                "floor_bytes_per_row": kernel.floor_bytes,
                "floor_bytes_per_s": kernel.bytes_per_s(),
                "share_of_memory_rate": kernel.bytes_per_s() / link.memory_bytes_per_s,
            })
        })
        .collect();
    let found = json!({
        "device": device.id().to_string(),
        "about": about,
        "round_trip_us": link.round_trip_us,
        "upload_bytes_per_s": link.upload_bytes_per_s,
        "download_bytes_per_s": link.download_bytes_per_s,
        "memory_bytes_per_s": link.memory_bytes_per_s,
        "kernels": kernels,
    });
    println!("{}", serde_json::to_string_pretty(&found)?);
    Ok(())
}
