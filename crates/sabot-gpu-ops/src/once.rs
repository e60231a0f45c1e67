//! One kernel over columns of the host, once: for probes, calibration and tests.

use arrow::array::ArrayRef;
use sabot_codegen::{Bitmap, Evaluated, Program, Storage};
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crate::device::{Bindings, Device, Fault, Finished, Part, WorkStep};
use crate::slab::{Layout, load};
use crate::source::{KernelSource, TILE};

/// How long is waited for a kernel.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a kernel has left.
#[derive(Clone, Debug)]
pub struct Ran {
    source: KernelSource,
    layout: Layout,
    slab: Vec<u32>,
    failed: bool,
}

impl Ran {
    /// Whether some row was an error.
    pub fn failed(&self) -> bool {
        self.failed
    }

    /// What it made of a row; `failed` of any row is that of all.
    pub fn row(&self, row: usize) -> Evaluated {
        let parameters = self.source.parameters();
        let bit = |number: usize| {
            let at = self.layout.parameters[parameters.bitmap(number)] as usize;
            self.slab[at + row / 32] >> (row % 32) & 1 == 1
        };
        let find = |wanted| self.source.bitmaps.iter().position(|bitmap| *bitmap == wanted);
        let value = |number: usize| {
            if find(Bitmap::Valid(number)).is_some_and(|valid| !bit(valid)) {
                return None;
            }
            let stored = self.source.stored[number];
            if stored == Storage::Bit {
                return find(Bitmap::Values(number)).map(|values| u64::from(bit(values)));
            }
            let at = self.layout.parameters[parameters.output(number)] as usize;
            Some(load(bytemuck::cast_slice(&self.slab), at, stored, row))
        };
        Evaluated {
            keep: find(Bitmap::Keep).is_none_or(bit),
            failed: self.failed,
            outputs: (0..self.source.stored.len()).map(value).collect(),
        }
    }
}

/// Whether two results of a row have the same values; all NaNs are the same, and rows that are not kept.
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
    let rows = columns.first().map_or(0, |column| column.len());
    let layout = Layout::new(source, columns, rows, false);
    let kernel = device.load(source)?;
    let bindings = bindings(device, &layout)?;
    let mut values = device.slab(layout.input_words)?;
    layout.pack(source, columns, None, values.words_mut());
    let mut parameters = device.slab(layout.parameters.len())?;
    parameters.words_mut()[..layout.parameters.len()].copy_from_slice(&layout.parameters);
    let (status, result) = (device.slab(1)?, device.slab(layout.output_words)?);
    let finished = carry_out(
        device,
        vec![
            WorkStep::Upload {
                from: parameters,
                words: layout.parameters.len(),
                to: bindings.parameters.buffer.clone(),
            },
            WorkStep::Upload {
                from: values,
                words: layout.input_words,
                to: bindings.input.buffer.clone(),
            },
            WorkStep::Clear { buffer: bindings.status.buffer.clone(), words: 1 },
            WorkStep::Launch {
                kernel,
                entry: 0,
                bindings: bindings.clone(),
                groups: (rows as u32).div_ceil(TILE),
            },
            WorkStep::Download { from: bindings.status.buffer.clone(), words: 1, to: status },
            WorkStep::Download {
                from: bindings.output.buffer.clone(),
                words: layout.output_words,
                to: result,
            },
        ],
    )?;
    let [status, result] = &finished.downloaded[..] else {
        return Err(Fault::Launch("too few results".to_owned()));
    };
    let (failed, slab) = (status.words()[0] != 0, result.words().to_vec());
    Ok(Ran { source: source.clone(), layout, slab, failed })
}

/// Buffers of their own for a launch.
pub(crate) fn bindings(device: &dyn Device, layout: &Layout) -> Result<Bindings, Fault> {
    let part = |words: usize| Ok::<_, Fault>(Part { buffer: device.allocate(words * 4)?, words });
    Ok(Bindings {
        input: part(layout.input_words)?,
        output: part(layout.output_words)?,
        parameters: part(layout.parameters.len())?,
        status: part(1)?,
        floats: None,
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
