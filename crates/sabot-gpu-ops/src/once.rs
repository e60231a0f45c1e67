//! One kernel over columns of the host, once: for probes, calibration and tests.

use arrow::array::ArrayRef;
use sabot_codegen::{Evaluated, Parameters, Program, Storage};
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crate::device::{Bindings, Device, Fault, Finished, Part, WorkStep};
use crate::results::Results;
use crate::slab::Layout;
use crate::source::KernelSource;

/// How long is waited for a kernel.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a kernel has left.
#[derive(Clone, Debug)]
pub struct Ran {
    rows: Vec<Evaluated>,
    failed: bool,
}

impl Ran {
    /// Whether some row was an error.
    pub fn failed(&self) -> bool {
        self.failed
    }

    /// What it made of a row; `failed` of any row is that of all.
    pub fn row(&self, row: usize) -> &Evaluated {
        &self.rows[row]
    }
}

/// Whether two results of a row have the same values; all NaNs are the same, and rows that neither side keeps.
pub fn same_row(program: &Program, a: &Evaluated, b: &Evaluated) -> bool {
    let nan = |storage: Storage, bits: u64| match storage {
        Storage::F32 => f32::from_bits(bits as u32).is_nan(),
        Storage::F64 => f64::from_bits(bits).is_nan(),
        _ => false,
    };
    let same = |((a, b), storage): ((&Option<u64>, &Option<u64>), Storage)| match (a, b) {
        (Some(a), Some(b)) => a == b || (nan(storage, *a) && nan(storage, *b)),
        (a, b) => a == b,
    };
    let storages = program.outputs().iter().map(|output| output.storage);
    a.keep == b.keep && (!a.keep || a.outputs.iter().zip(&b.outputs).zip(storages).all(same))
}

/// Runs a kernel over columns, and waits for it.
///
/// # Errors
/// [`Fault`] of the device, also when it does not answer within a minute.
pub fn run_once(device: &dyn Device, source: &KernelSource, columns: &[ArrayRef]) -> Result<Ran, Fault> {
    run_in_groups(device, source, columns, u32::MAX)
}

/// As [`run_once`], with so many workgroups at most, which then take several tiles each.
///
/// # Errors
/// As [`run_once`].
pub fn run_in_groups(
    device: &dyn Device,
    source: &KernelSource,
    columns: &[ArrayRef],
    groups_max: u32,
) -> Result<Ran, Fault> {
    let rows = columns.first().map_or(0, |column| column.len());
    let layout = Layout::new(source, columns, rows, false);
    let (status, slab) = once(device, source, columns, &layout, groups_max)?;
    let failed = status[0] != 0;
    let results = Results::new(source, &layout, &slab).map_err(Fault::Launch)?;
    Ok(Ran { rows: results.rows(failed), failed })
}

/// Runs all entries of a kernel, with so many workgroups at most; gives the status and the output.
pub(crate) fn once(
    device: &dyn Device,
    source: &KernelSource,
    columns: &[ArrayRef],
    layout: &Layout,
    groups_max: u32,
) -> Result<(Vec<u32>, Vec<u32>), Fault> {
    let kernel = device.load(source)?;
    let bindings = bindings(device, source, layout)?;
    let mut values = device.slab(layout.input_words)?;
    layout.pack(source, columns, None, values.words_mut());
    let mut parameters = device.slab(layout.parameters.len())?;
    parameters.words_mut()[..layout.parameters.len()].copy_from_slice(&layout.parameters);
    let upload = |from, part: &Part| WorkStep::Upload { from, words: part.words, to: part.buffer.clone() };
    let mut steps = vec![upload(parameters, &bindings.parameters), upload(values, &bindings.input)];
    steps.extend(bindings.clear());
    let most = groups_max.min(device.limits().workgroups_max);
    let groups = layout.parameters[Parameters::ROWS].div_ceil(source.tile_rows()).min(most);
    for entry in 0..source.entries.len() {
        let (kernel, bindings) = (kernel.clone(), bindings.clone());
        steps.push(WorkStep::Launch { kernel, entry, bindings, groups });
    }
    for part in [&bindings.status, &bindings.output] {
        let to = device.slab(part.words)?;
        steps.push(WorkStep::Download { from: part.buffer.clone(), words: part.words, to });
    }
    let finished = carry_out(device, steps)?;
    let [status, output] = &finished.downloaded[..] else {
        return Err(Fault::Launch("too few results".to_owned()));
    };
    Ok((status.words().to_vec(), output.words().to_vec()))
}

/// Buffers of their own for a launch.
pub(crate) fn bindings(
    device: &dyn Device,
    source: &KernelSource,
    layout: &Layout,
) -> Result<Bindings, Fault> {
    let (status, wide) = source.cleared(layout.slots());
    let part = |words: usize| Ok::<_, Fault>(Part { buffer: device.allocate(words * 4)?, words });
    Ok(Bindings {
        input: part(layout.input_words)?,
        output: part(layout.output_words)?,
        parameters: part(layout.parameters.len())?,
        status: part(status)?,
        wide: (wide > 0).then(|| part(wide)).transpose()?,
    })
}

/// Starts work and waits for its end.
pub(crate) fn carry_out(device: &dyn Device, work: Vec<WorkStep>) -> Result<Finished, Fault> {
    let mut work = device.submit(work)?;
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let since = Instant::now();
    loop {
        if let Some(finished) = work.poll(&waker)? {
            return Ok(finished);
        }
        let left = PATIENCE.saturating_sub(since.elapsed());
        if left.is_zero() {
            work.abandon();
            return Err(Fault::Lost(format!("no result after {PATIENCE:?}")));
        }
        std::thread::park_timeout(left.min(Duration::from_millis(100)));
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
