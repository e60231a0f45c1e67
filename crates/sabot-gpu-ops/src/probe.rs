//! How a device rounds.
//!
//! A language that promises no rounding may still be rounded correctly on most devices, and whether it is can be seen: a
//! kernel computes sums, products, quotients, roots and conversions of numbers that are chosen to fall between two floats,
//! to be denormal, infinite or NaN, and the CPU says what should come out. A device that gets one of them wrong is
//! asked for no arithmetic of such floats. Passing is no proof, but what drivers do otherwise (flushed denormals,
//! approximate quotients, contracted sums) is all among these numbers, and some of each in every 4,096.

use arrow::array::{ArrayRef, Float32Array, Float64Array, RecordBatch};
use arrow::datatypes::DataType;
use sabot_batch::Morsel;
use sabot_codegen::{Evaluated, WgslFeatures, evaluate, lower_filter_project};
use sabot_expr::functions::{Function, MathFunction};
use sabot_expr::{Expr, FunctionRegistry, col, lit, resolve};
use sabot_ops::{FilterProjectSpec, Projection};
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crate::device::{Bindings, Device, Dialect, Fault, WorkStep};
use crate::slab::Layout;
use crate::source::{KernelSource, TILE};

/// Numbers that are tried.
const ROWS: usize = 4096;

/// Longer than any device takes for so few numbers.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether a device computes with floats of so many bits as IEEE 754 says. A device that cannot be asked does not.
pub fn probe_floats(device: &dyn Device, bits: u32) -> bool {
    match probe(device, bits) {
        Ok(exact) => exact,
        Err(reason) => {
            tracing::warn!(device = %device.id(), bits, reason, "the device could not be asked how it rounds");
            false
        }
    }
}

fn probe(device: &dyn Device, bits: u32) -> Result<bool, String> {
    let batch = numbers(bits);
    let wide = bits == 64;
    let (a, b, c) = (col("a"), col("b"), col("c"));
    let sqrt = Function::from(MathFunction::Sqrt);
    let mut exprs: Vec<Expr> = vec![
        a.clone() + b.clone(),
        a.clone() - b.clone(),
        a.clone() * b.clone(),
        a.clone() / b.clone(),
        a.clone() * b.clone() + c.clone(),
        c.clone() - a.clone() * b.clone(),
        Expr::Function { name: sqrt.name().to_owned(), args: vec![a.clone()] },
    ];
    if wide {
        exprs.push(a.clone().cast(DataType::Float32));
        exprs.push(b.clone().try_cast(DataType::Int64).cast(DataType::Float64));
    } else {
        exprs.push(b.clone().try_cast(DataType::Int32).cast(DataType::Float32));
    }
    let typed = |expr: Expr| resolve(&expr, batch.schema_ref(), &FunctionRegistry::new());
    let mut projections = Vec::new();
    for (number, expr) in exprs.into_iter().enumerate() {
        let expr = typed(expr).map_err(|error| error.to_string())?;
        projections.push(Projection { name: format!("p{number}"), expr });
    }
    let predicate = typed(lit(true)).map_err(|error| error.to_string())?;
    let spec = FilterProjectSpec { predicate: Some(predicate), projections, carried: Vec::new() };
    let program = lower_filter_project(&spec).map_err(|refused| refused.to_string())?;
    let dialect = match device.dialect() {
        Dialect::Wgsl(features) => Dialect::Wgsl(WgslFeatures { exact32: true, exact64: true, ..features }),
        cuda => cuda,
    };
    let source = KernelSource::filter_project(program, dialect).map_err(|error| error.to_string())?;
    let (layout, slab) = run(device, &source, batch.columns()).map_err(|fault| fault.to_string())?;
    let mut columns = Vec::new();
    for (number, projection) in spec.projections.iter().enumerate() {
        let wanted = (projection.expr.data_type(), projection.expr.nullable());
        columns.push(layout.unpack(&source, number, wanted, &slab)?);
    }
    let wrong = (0..ROWS).find(|row| {
        let Evaluated { outputs, .. } = evaluate(&source.program, batch.columns(), *row);
        !outputs.iter().zip(&columns).zip(source.program.outputs()).all(|((wanted, column), output)| {
            let found = column.is_valid(*row).then(|| sabot_codegen::load(column, output.storage, *row));
            same(output.storage.bits(), *wanted, found)
        })
    });
    if let Some(row) = wrong {
        tracing::info!(device = %device.id(), bits, row, "the device rounds in its own way");
    }
    Ok(wrong.is_none())
}

/// Whether two floats, or two nulls, are the same; all NaNs are.
fn same(bits: usize, a: Option<u64>, b: Option<u64>) -> bool {
    let nan = |value: u64| match bits {
        32 => f32::from_bits(value as u32).is_nan(),
        _ => f64::from_bits(value).is_nan(),
    };
    match (a, b) {
        (Some(a), Some(b)) => a == b || (nan(a) && nan(b)),
        (a, b) => a == b,
    }
}

/// Numbers of every size: one in four near one, where sums round, one in four of small exponents, whose products are
/// denormal, the others of any bits.
fn numbers(bits: u32) -> RecordBatch {
    // The generator of Knuth's MMIX; its high bits are good enough to be floats.
    let mut state = 0x5ab0_7000_0000_0001u64;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state ^ (state >> 29)
    };
    let mut column = |shift: u64| -> ArrayRef {
        let mut draw = |row: usize| {
            let random = next();
            let (mantissa, exponent) = if bits == 32 { (23, 127u64) } else { (52, 1023u64) };
            let low = random & ((1 << mantissa) - 1);
            let sign = random >> 63 << (bits - 1);
            match (row as u64 + shift) % 4 {
                0 => sign | (exponent + random % 3) << mantissa | low,
                1 => sign | (exponent / 2 + random % 8) << mantissa | low,
                2 => sign | low >> (random % 20),
                _ => random >> (64 - bits),
            }
        };
        if bits == 32 {
            Arc::new((0..ROWS).map(|row| Some(f32::from_bits(draw(row) as u32))).collect::<Float32Array>())
        } else {
            Arc::new((0..ROWS).map(|row| Some(f64::from_bits(draw(row)))).collect::<Float64Array>())
        }
    };
    let columns = [("a", column(0)), ("b", column(1)), ("c", column(0))];
    // Three columns of one length.
    RecordBatch::try_from_iter(columns).unwrap_or_else(|_| RecordBatch::new_empty(Arc::new(arrow::datatypes::Schema::empty())))
}

/// Runs a kernel over columns, and waits for it.
fn run(device: &dyn Device, source: &KernelSource, columns: &[ArrayRef]) -> Result<(Layout, Vec<u32>), Fault> {
    let rows = columns.first().map_or(0, |column| column.len());
    let layout = Layout::new(source, columns, rows, false);
    let kernel = device.load(source)?;
    let buffer = |words: usize| device.allocate(words * 4);
    let bindings = Bindings {
        input: buffer(layout.input_words)?,
        output: buffer(layout.output_words)?,
        parameters: buffer(layout.parameters.len())?,
        status: buffer(1)?,
    };
    let mut values = device.slab(layout.input_words)?;
    layout.pack(source, columns, None, values.words_mut());
    let mut parameters = device.slab(layout.parameters.len())?;
    parameters.words_mut()[..layout.parameters.len()].copy_from_slice(&layout.parameters);
    let result = device.slab(layout.output_words)?;
    let mut work = device.submit(vec![
        WorkStep::Upload { from: parameters, words: layout.parameters.len(), to: bindings.parameters.clone() },
        WorkStep::Upload { from: values, words: layout.input_words, to: bindings.input.clone() },
        WorkStep::Launch { kernel, bindings: bindings.clone(), groups: (rows as u32).div_ceil(TILE) },
        WorkStep::Download { from: bindings.output.clone(), words: layout.output_words, to: result },
    ])?;
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let since = Instant::now();
    loop {
        if let Some(finished) = work.poll(&waker)? {
            let words = finished.downloaded.first().map(|slab| slab.words().to_vec()).unwrap_or_default();
            return Ok((layout, words));
        }
        let left = PATIENCE.saturating_sub(since.elapsed());
        if left.is_zero() {
            return Err(Fault::Lost("no result of the first kernel".to_owned()));
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
