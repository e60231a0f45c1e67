//! How fast a device is: its link, its memory, and the way there and back.

use std::sync::Arc;
use std::time::Instant;

use crate::device::{Device, DeviceBuffer, Fault, WorkStep};
use crate::kernels::rates;
use crate::once::{bindings, carry_out};
use crate::slab::Layout;
use crate::source::KernelSource;
use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use sabot_codegen::lower_filter_projects;
use sabot_expr::{FunctionRegistry, col, resolve};
use sabot_ops::{FilterProjectSpec, Projection};

/// Values of a column that is copied: 32 MiB, beyond every cache, and a piece of work as large as those of pipelines.
const ROWS: usize = 4 << 20;

/// How often each is measured, after once for nothing; the best counts, as all else disturbs.
const TIMES: usize = 5;

/// What was measured on a device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Microseconds of the least work there and back.
    pub round_trip_us: f64,
    /// Bytes a second from the host to the device.
    pub upload_bytes_per_s: f64,
    /// Bytes a second from the device to the host.
    pub download_bytes_per_s: f64,
    /// Bytes a second that a kernel reads and writes in the device's memory.
    pub memory_bytes_per_s: f64,
    /// Operations a second on integers of 64 bits.
    pub operations_per_s: f64,
    /// Rows a second that a kernel looks up in a table of a thousand groups.
    pub folds_per_s: f64,
}

/// Measures a device, in less than a second where it is fast.
///
/// # Errors
/// [`Fault`] of the device; [`Fault::Launch`] where it has no integers of 64 bits.
pub fn measure(device: &dyn Device) -> Result<Measured, Fault> {
    over(device, ROWS)
}

/// The same over so many rows.
pub(crate) fn over(device: &dyn Device, rows: usize) -> Result<Measured, Fault> {
    let bug = |error: String| Fault::Launch(error);
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values((0..rows as i64).map(|n| n * 7_919)));
    let batch = RecordBatch::try_from_iter([("n", column)]).map_err(|error| bug(error.to_string()))?;
    let expr = resolve(&col("n").wrapping_add(1), batch.schema_ref(), &FunctionRegistry::new());
    let projection = Projection { name: "m".to_owned(), expr: expr.map_err(|error| bug(error.to_string()))? };
    let spec = FilterProjectSpec { predicate: None, projections: vec![projection], carried: Vec::new() };
    let program = lower_filter_projects(&[&spec]).map_err(|refused| bug(refused.to_string()))?.program;
    let source = KernelSource::filter_project(program, device.dialect()).map_err(|e| bug(e.to_string()))?;
    let layout = Layout::new(&source, batch.columns(), rows, false);
    let kernel = device.load(&source)?;
    let bindings = bindings(device, &source, &layout)?;
    let upload = |words: usize, to: &Arc<dyn DeviceBuffer>| -> Result<WorkStep, Fault> {
        let mut from = device.slab(layout.input_words)?;
        layout.pack(&source, batch.columns(), None, from.words_mut());
        Ok(WorkStep::Upload { from, words, to: to.clone() })
    };
    let download = |words: usize, from: &Arc<dyn DeviceBuffer>| -> Result<WorkStep, Fault> {
        Ok(WorkStep::Download { from: from.clone(), words, to: device.slab(words)? })
    };
    let mut parameters = device.slab(layout.parameters.len())?;
    parameters.words_mut()[..layout.parameters.len()].copy_from_slice(&layout.parameters);
    let words = layout.parameters.len();
    carry_out(
        device,
        vec![WorkStep::Upload { from: parameters, words, to: bindings.parameters.buffer.clone() }],
    )?;
    // Seconds of some work, of which every one also fetches a word: only so is it known to have ended.
    let best = |steps: &dyn Fn() -> Result<Vec<WorkStep>, Fault>| -> Result<f64, Fault> {
        let mut best = f64::INFINITY;
        for time in 0..=TIMES {
            let mut work = steps()?;
            work.push(download(1, &bindings.status.buffer)?);
            let since = Instant::now();
            carry_out(device, work)?;
            if time > 0 {
                best = best.min(since.elapsed().as_secs_f64());
            }
        }
        Ok(best)
    };
    let round_trip = best(&|| Ok(Vec::new()))?;
    let up = best(&|| Ok(vec![upload(layout.input_words, &bindings.input.buffer)?]))?;
    let down = best(&|| Ok(vec![download(layout.output_words, &bindings.output.buffer)?]))?;
    let groups = (rows as u32).div_ceil(source.tile_rows()).min(device.limits().workgroups_max);
    let launch = || WorkStep::Launch { kernel: kernel.clone(), entry: 0, bindings: bindings.clone(), groups };
    let run = best(&|| Ok(vec![launch()]))?;
    // What takes no longer than the way there and back is too fast to be measured so.
    let rate = |words: usize, seconds: f64| words as f64 * 4.0 / (seconds - round_trip).max(1e-9);
    let (operations_per_s, folds_per_s) = rates(device, rows)?;
    Ok(Measured {
        round_trip_us: round_trip * 1e6,
        upload_bytes_per_s: rate(layout.input_words, up),
        download_bytes_per_s: rate(layout.output_words, down),
        memory_bytes_per_s: rate(layout.input_words + layout.output_words, run),
        operations_per_s,
        folds_per_s,
    })
}
