//! How a device rounds.
//!
//! A language that promises no rounding may still be rounded correctly on most devices, and whether it is can be seen: a
//! kernel computes sums, products, quotients, roots, whole numbers and conversions of numbers that are chosen to fall between two floats,
//! to be denormal, infinite or NaN, and the CPU says what should come out. A device that gets one of them wrong is
//! asked for no arithmetic of such floats. Passing is no proof, but what drivers do otherwise (flushed denormals,
//! approximate quotients, contracted sums) is all among these numbers, and some of each in every 4,096.

use arrow::array::{
    ArrayRef, Float32Array, Float64Array, Int32Array, Int64Array, RecordBatch, UInt32Array, UInt64Array,
};
use arrow::datatypes::DataType;
use sabot_codegen::{WgslFeatures, evaluate, lower_filter_projects};
use sabot_expr::functions::{Function, MathFunction};
use sabot_expr::{Expr, FunctionRegistry, col, lit, resolve};
use sabot_ops::{FilterProjectSpec, Projection};
use std::sync::Arc;

use crate::device::{Device, Dialect};
use crate::once::{run_once, same_row};
use crate::source::KernelSource;

/// Numbers that are tried.
const ROWS: usize = 4096;

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
    let sqrt = Function::Math(MathFunction::Sqrt);
    let mut exprs: Vec<Expr> = vec![
        a.clone() + b.clone(),
        a.clone() - b.clone(),
        a.clone() * b.clone(),
        a.clone() / b.clone(),
        a.clone() * b.clone() + c.clone(),
        c.clone() - a.clone() * b.clone(),
        Expr::Function { name: sqrt.name().to_owned(), args: vec![a.clone()] },
    ];
    let float = if wide { DataType::Float64 } else { DataType::Float32 };
    if wide {
        exprs.push(a.clone().cast(DataType::Float32));
        exprs.push(a.clone().cast(DataType::Float32).cast(DataType::Float64));
    }
    let int64 = match device.dialect() {
        Dialect::Wgsl(features) => features.int64,
        Dialect::Cuda => true,
    };
    let integers = [
        ("i32", DataType::Int32),
        ("u32", DataType::UInt32),
        ("i64", DataType::Int64),
        ("u64", DataType::UInt64),
    ];
    for (name, integer) in integers.into_iter().take(if int64 { 4 } else { 2 }) {
        exprs.push(col(name).cast(float.clone()));
        exprs.push(b.clone().try_cast(integer.clone()));
        exprs.push(b.clone().try_cast(integer).cast(float.clone()));
    }
    for function in [MathFunction::Floor, MathFunction::Ceil, MathFunction::Trunc, MathFunction::Round] {
        let name = Function::Math(function).name().to_owned();
        exprs.push(Expr::Function { name, args: vec![b.clone() * 3.0] } + a.clone());
    }
    let typed = |expr: Expr| resolve(&expr, batch.schema_ref(), &FunctionRegistry::new());
    let mut projections = Vec::new();
    for (number, expr) in exprs.into_iter().enumerate() {
        let expr = typed(expr).map_err(|error| error.to_string())?;
        projections.push(Projection { name: format!("p{number}"), expr });
    }
    let predicate = typed(lit(true)).map_err(|error| error.to_string())?;
    let spec = FilterProjectSpec { predicate: Some(predicate), projections, carried: Vec::new() };
    let program = lower_filter_projects(&[&spec]).map_err(|refused| refused.to_string())?.program;
    let dialect = match device.dialect() {
        Dialect::Wgsl(features) => Dialect::Wgsl(WgslFeatures { exact32: true, exact64: true, ..features }),
        cuda => cuda,
    };
    let source = KernelSource::filter_project(program, dialect).map_err(|error| error.to_string())?;
    let found = run_once(device, &source, batch.columns()).map_err(|fault| fault.to_string())?;
    let wrong = (0..ROWS).find(|row| {
        let wanted = evaluate(&source.program, batch.columns(), *row);
        !same_row(&source.program, found.row(*row), &wanted)
    });
    if let Some(row) = wrong {
        tracing::info!(device = %device.id(), bits, row, "the device rounds in its own way");
    }
    Ok(wrong.is_none())
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
    let (a, b, c) = (column(0), column(1), column(0));
    // Of every size, so that some have more bits than a float, and some lie just beside the middle between two.
    let mut integers = || {
        let random = next();
        let shift = random >> 58;
        (random.rotate_left(17) >> shift & !((1 << (shift / 2)) - 1)) + (random & 1)
    };
    let words: Vec<u64> = (0..ROWS).map(|_| integers()).collect();
    let words = || words.iter().copied();
    let columns: [(&str, ArrayRef); 7] = [
        ("a", a),
        ("b", b),
        ("c", c),
        ("i32", Arc::new(Int32Array::from_iter_values(words().map(|word| word as i32)))),
        ("u32", Arc::new(UInt32Array::from_iter_values(words().map(|word| word as u32)))),
        ("i64", Arc::new(Int64Array::from_iter_values(words().map(|word| word as i64)))),
        ("u64", Arc::new(UInt64Array::from_iter_values(words()))),
    ];
    // All of one length.
    RecordBatch::try_from_iter(columns)
        .unwrap_or_else(|_| RecordBatch::new_empty(Arc::new(arrow::datatypes::Schema::empty())))
}
