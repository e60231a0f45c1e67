//! How fast the devices of this machine are: measured, and kept between runs.
//!
//! Each device has a file in the user's cache, in which what was measured stands next to what it was measured on: another
//! device, driver or version of Sabot has to be measured again. The folder is that of `SABOT_CALIBRATIONS`, if it is set.

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use sabot_batch::Morsel;
use sabot_cpu::CpuBackend;
use sabot_ops::{
    AggregateFunction, AggregateSpec, Backend, CompileJob, FilterProjectSpec, Fragment, GroupByMode,
    GroupBySpec, OperatorSpec, Progress, Projection, TaskContext,
};
use sabot_placement::{Basis, Calibration, DeviceClass};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::{Expr, FunctionRegistry, col};

/// The variable that names the folder.
const FOLDER_VARIABLE: &str = "SABOT_CALIBRATIONS";

/// Rows of a morsel of the CPU.
const ROWS: usize = sabot_common::limits::MORSEL_ROWS_DEFAULT;

/// How long each fragment is measured.
const TIME: Duration = Duration::from_millis(40);

/// Operations of the longer of two chains.
const CHAIN: usize = 32;

/// What is kept of a device.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// What it was measured on.
    measured_on: String,
    calibration: Calibration,
}

fn folder() -> Option<PathBuf> {
    let of = |variable: &str| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    of(FOLDER_VARIABLE)
        .or_else(|| of("XDG_CACHE_HOME").map(|cache| cache.join("sabot/calibrations")))
        .or_else(|| of("HOME").map(|home| home.join(".cache/sabot/calibrations")))
}

fn file(folder: &Path, device: &str) -> PathBuf {
    folder.join(format!("{}.json", device.replace(':', "-")))
}

/// What a calibration depends on, besides the device.
fn key(about: &str) -> String {
    // Of a build for debugging the CPU is slow, and no release should believe it.
    let build = if cfg!(debug_assertions) { " with debug assertions" } else { "" };
    format!("sabot {}{build}, {about}", env!("CARGO_PKG_VERSION"))
}

/// What was measured of a device that is this one; what cannot be read, or makes no sense, was never measured.
pub(crate) fn kept(device: &str, about: &str) -> Option<Calibration> {
    kept_in(&folder()?, device, about)
}

fn kept_in(folder: &Path, device: &str, about: &str) -> Option<Calibration> {
    let text = fs::read_to_string(file(folder, device)).ok()?;
    let kept: Kept = serde_json::from_str(&text).ok()?;
    let is_this = kept.measured_on == key(about) && kept.calibration.device == device;
    (is_this && kept.calibration.is_plausible()).then_some(kept.calibration)
}

/// Keeps what was measured; says where, or why not.
pub(crate) fn keep(calibration: &Calibration, about: &str) -> String {
    match folder() {
        Some(folder) => keep_in(&folder, calibration, about),
        None => "not kept: there is no home".to_owned(),
    }
}

fn keep_in(folder: &Path, calibration: &Calibration, about: &str) -> String {
    let file = file(folder, &calibration.device);
    let kept = Kept { measured_on: key(about), calibration: calibration.clone() };
    let write = || -> std::io::Result<()> {
        fs::create_dir_all(folder)?;
        // Whoever reads it meanwhile sees the old one, or the new one.
        static WRITTEN: AtomicUsize = AtomicUsize::new(0);
        let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
        let new = file.with_extension(format!("{}-{number}.new", std::process::id()));
        fs::write(&new, serde_json::to_string_pretty(&kept)?)?;
        fs::rename(&new, &file)
    };
    match write() {
        Ok(()) => format!("kept in {}", file.display()),
        Err(error) => format!("not kept: {}: {error}", file.display()),
    }
}

/// What the CPU's numbers depend on: homes are shared by machines.
pub(crate) fn about_cpu() -> String {
    let variant = CpuBackend::new().variant();
    let known = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        known.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(": "));
    format!("{}, {variant}", model.map_or(std::env::consts::ARCH, |(_, model)| model))
}

/// The CPU with so many workers, as it was measured or else as it is assumed to be.
pub(crate) fn cpu(workers: usize) -> Calibration {
    let calibration = kept("cpu", &about_cpu()).unwrap_or_else(|| DeviceClass::Cpu.assumed("cpu"));
    Calibration { lanes: u32::try_from(workers).unwrap_or(u32::MAX), ..calibration }
}

/// Measures one processor of this machine, in less than a second: fragments as pipelines run them, and how fast memory is copied.
///
/// ```
/// let cpu = sabot::calibrate_cpu()?;
/// assert!(cpu.operations_per_s > 1e6 && cpu.link.is_none());
/// # Ok::<(), sabot::Error>(())
/// ```
///
/// # Errors
/// When the CPU does not run what it should: a bug.
pub fn calibrate_cpu() -> crate::Result<Calibration> {
    measure_cpu().map_err(|reason| crate::Error::Device { devices: "cpu", reason })
}

fn measure_cpu() -> Result<Calibration, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    // In no order, so that neighbours are of different groups.
    let scattered = |n: i64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64);
    let column = |of: &dyn Fn(i64) -> i64, rows: usize| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values((0..rows as i64).map(of)))
    };
    let batch = |rows: usize| {
        RecordBatch::try_from_iter([
            ("k", column(&|n| scattered(n).rem_euclid(1_000), rows)),
            ("a", column(&|n| scattered(n) >> 20, rows)),
        ])
        .map_err(|error| text(&error))
    };
    let many = batch(ROWS)?;
    let project = |operations: usize| -> Result<OperatorSpec, String> {
        let step = |expr: Expr, n: usize| match n % 2 {
            0 => expr.wrapping_mul(col("k")),
            _ => expr.wrapping_add(col("k")),
        };
        let expr = (0..operations).fold(col("a"), step);
        let expr = sabot_expr::resolve(&expr, many.schema_ref(), &FunctionRegistry::new());
        let expr = expr.map_err(|error| text(&error))?;
        let projections = vec![Projection { name: "p".to_owned(), expr }];
        Ok(FilterProjectSpec { predicate: None, projections, carried: Vec::new() }.into())
    };
    let sum =
        AggregateSpec::new(AggregateFunction::Sum, [(1, arrow::datatypes::DataType::Int64)], "s".to_owned());
    let groups = GroupBySpec {
        keys: vec![0],
        hashed: vec![0],
        seed: 0,
        aggregates: vec![sum],
        mode: GroupByMode::Partial,
    };
    let (short, long) = (project(1)?, project(1 + CHAIN)?);
    let launch_s = seconds(&batch(1)?, short.clone())?;
    let of_rows = |step: OperatorSpec| -> Result<(f64, Fragment), String> {
        let fragment = Fragment::new(many.schema(), vec![step.clone()]).map_err(|error| text(&error))?;
        Ok(((seconds(&many, step)? - launch_s).max(1e-9) / ROWS as f64, fragment))
    };
    let ((short_s, _), (long_s, _)) = (of_rows(short)?, of_rows(long)?);
    let operation_s = ((long_s - short_s) / CHAIN as f64).max(1e-13);
    let (groups_s, fragment) = of_rows(groups.into())?;
    let fold_s = groups_s - fragment.work().operations * operation_s;
    Ok(Calibration {
        device: "cpu".to_owned(),
        basis: Basis::Measured,
        lanes: 1,
        launch_us: launch_s * 1e6,
        bytes_per_s: copied_bytes_per_s(),
        operations_per_s: 1.0 / operation_s,
        folds_per_s: 1.0 / fold_s.max(groups_s / 10.0),
        link: None,
    })
}

/// Bytes a second that one processor reads and writes beyond its own caches, where the rows of a pipeline come from.
fn copied_bytes_per_s() -> f64 {
    const WORDS: usize = 4 << 20;
    let (from, mut to) = (vec![1u64; WORDS], vec![0u64; WORDS]);
    let mut best = f64::INFINITY;
    for _ in 0..4 {
        let since = Instant::now();
        to.copy_from_slice(std::hint::black_box(&from));
        std::hint::black_box(&to);
        best = best.min(since.elapsed().as_secs_f64());
    }
    (2 * WORDS * size_of::<u64>()) as f64 / best
}

/// The least that the CPU needs for a morsel.
fn seconds(batch: &RecordBatch, step: OperatorSpec) -> Result<f64, String> {
    let fragment = Fragment::new(batch.schema(), vec![step]).map_err(|error| error.to_string())?;
    let CompileJob::Ready(program) =
        CpuBackend::new().compile(&fragment).map_err(|error| error.to_string())?
    else {
        return Err("the CPU compiles in the background".to_owned());
    };
    let mut kernel = program.kernel();
    let mut cx = TaskContext { morsel_rows: ROWS, waker: Waker::noop() };
    let mut best = f64::INFINITY;
    let begin = Instant::now();
    while begin.elapsed() < TIME {
        let morsel = Morsel::new(batch.clone());
        let since = Instant::now();
        let mut ticket = Some(kernel.submit(morsel, &mut cx));
        while let Some(next) = ticket {
            ticket = match kernel.poll(next, &mut cx) {
                Progress::Done(output) => output.more,
                Progress::Pending => Some(next),
                Progress::Failed(failure) => return Err(failure.to_string()),
            };
        }
        best = best.min(since.elapsed().as_secs_f64());
    }
    Ok(best)
}

/// What was measured of a GPU, as a calibration.
#[cfg(any(feature = "cuda", feature = "wgpu"))]
pub(crate) fn of_gpu(device: &str, measured: &sabot_gpu_ops::Measured) -> Calibration {
    Calibration {
        device: device.to_owned(),
        basis: Basis::Measured,
        lanes: 1,
        launch_us: measured.round_trip_us,
        bytes_per_s: measured.memory_bytes_per_s,
        operations_per_s: measured.operations_per_s,
        folds_per_s: measured.folds_per_s,
        link: Some(sabot_placement::Link {
            latency_us: measured.round_trip_us,
            up_bytes_per_s: measured.upload_bytes_per_s,
            down_bytes_per_s: measured.download_bytes_per_s,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_measured_is_found_again_and_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("calibrations");
        let one = Calibration { basis: Basis::Measured, ..DeviceClass::DiscreteGpu.assumed("wgpu:0") };
        assert_eq!(kept_in(&folder, "wgpu:0", "a card"), None);
        let said = keep_in(&folder, &one, "a card");
        assert_eq!(said, format!("kept in {}", folder.join("wgpu-0.json").display()));
        assert_eq!(kept_in(&folder, "wgpu:0", "a card"), Some(one.clone()));
        // Another card, another device, a file of somebody else's.
        assert_eq!(kept_in(&folder, "wgpu:0", "another card"), None);
        assert_eq!(kept_in(&folder, "wgpu:1", "a card"), None);
        fs::copy(folder.join("wgpu-0.json"), folder.join("wgpu-1.json")).unwrap();
        assert_eq!(kept_in(&folder, "wgpu:1", "a card"), None);
        keep_in(&folder, &Calibration { bytes_per_s: -1.0, ..one.clone() }, "a card");
        assert_eq!(kept_in(&folder, "wgpu:0", "a card"), None);
        fs::write(folder.join("wgpu-0.json"), "{").unwrap();
        assert_eq!(kept_in(&folder, "wgpu:0", "a card"), None);
        // No folder.
        let said = keep_in(&folder.join("wgpu-0.json"), &one, "a card");
        assert!(said.starts_with("not kept: "), "{said}");
    }
}
