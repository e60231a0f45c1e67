//! Programs run by hand, instruction by instruction: the meaning that every printer is held to.

use arrow::array::{Array, ArrayData, ArrayRef, AsArray, BooleanArray, make_array};
use arrow::buffer::Buffer;
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use std::cmp::Ordering;
use std::sync::Arc;

use crate::ir::{Binary, Inst, Kind, Math, Program, Reg, Storage, Unary, UserFunction};
use crate::lower::storage_of;

/// The value of an instruction whose operands are known, by their types and bits; `None` for one that reads a column, or
/// that platforms compute with libraries of their own.
pub(crate) fn fold(inst: Inst, operand: impl Fn(Reg) -> Option<(Kind, u64)>) -> Option<u64> {
    Some(match inst {
        Inst::Unary(Unary::Math(_), _) | Inst::Binary(Binary::Pow | Binary::Atan2, _, _) => return None,
        Inst::Const { .. } | Inst::Load(_) | Inst::IsValid(_) | Inst::Select(..) | Inst::Call(..) => {
            return None;
        }
        Inst::Unary(op, a) => operand(a).map(|(kind, a)| unary(op, kind, a))?,
        Inst::Binary(op, a, b) => {
            let ((kind, a), (_, b)) = (operand(a)?, operand(b)?);
            binary(op, kind, a, b)
        }
        Inst::Convert(to, a) => operand(a).map(|(from, a)| convert(from, to, a))?,
        Inst::Bitcast(_, a) => operand(a)?.1,
    })
}

/// What a program makes of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluated {
    /// Whether the row is kept.
    pub keep: bool,
    /// Whether it is an error.
    pub failed: bool,
    /// The bits of each output; `None` for null.
    pub outputs: Vec<Option<u64>>,
}

/// Runs a program for one row. Columns are those of the fragment's input; they have the types that the program was made
/// for, whatever their names for these are (an int64 and a timestamp are alike).
///
/// ```
/// # use arrow::array::{ArrayRef, Int64Array};
/// # use arrow::datatypes::{DataType, Field, Schema};
/// # use sabot_codegen::{evaluate, lower_filter_projects};
/// # use sabot_expr::{FunctionRegistry, col, resolve};
/// # use sabot_ops::FilterProjectSpec;
/// # use std::sync::Arc;
/// let schema = Schema::new(vec![Field::new("delay", DataType::Int64, false)]);
/// let predicate = resolve(&col("delay").gt(15), &schema, &FunctionRegistry::new())?;
/// let spec = FilterProjectSpec { predicate: Some(predicate), projections: Vec::new(), carried: Vec::new() };
/// let column: ArrayRef = Arc::new(Int64Array::from(vec![10, 20]));
/// let program = lower_filter_projects(&[&spec])?.program;
/// assert!(!evaluate(&program, &[column.clone()], 0).keep && evaluate(&program, &[column], 1).keep);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn evaluate(program: &Program, columns: &[ArrayRef], row: usize) -> Evaluated {
    let input = |number: usize| program.inputs()[number];
    let value = |number: usize| load(&columns[input(number).column], input(number).storage, row);
    evaluate_with(program, value, |number| columns[input(number).column].is_valid(row))
}

/// As [`evaluate`], where `value` gives the bits of an input in this row, and `valid` says whether it is not null.
pub fn evaluate_with(
    program: &Program,
    value: impl Fn(usize) -> u64,
    valid: impl Fn(usize) -> bool,
) -> Evaluated {
    let mut values: Vec<u64> = Vec::with_capacity(program.instructions().len());
    for (inst, _) in program.instructions() {
        let value = match *inst {
            Inst::Const { bits, .. } => bits,
            Inst::Load(input) => value(input as usize),
            Inst::IsValid(input) => u64::from(valid(input as usize)),
            Inst::Unary(op, a) => unary(op, program.kind(a), values[a.index()]),
            Inst::Binary(op, a, b) => binary(op, program.kind(a), values[a.index()], values[b.index()]),
            Inst::Select(condition, a, b) => {
                values[if values[condition.index()] != 0 { a.index() } else { b.index() }]
            }
            Inst::Convert(to, a) => convert(program.kind(a), to, values[a.index()]),
            Inst::Bitcast(_, a) => values[a.index()],
            Inst::Call(function, arguments) => {
                let arguments = arguments.iter().flatten().map(|reg| values[reg.index()]);
                call(&program.functions()[function as usize], arguments)
            }
        };
        values.push(value);
    }
    let is = |reg: Option<Reg>, otherwise: bool| reg.map_or(otherwise, |reg| values[reg.index()] != 0);
    let outputs = program.outputs().iter();
    Evaluated {
        keep: is(program.keep(), true),
        failed: is(program.failed(), false),
        outputs: outputs.map(|o| is(o.valid, true).then(|| values[o.value.index()])).collect(),
    }
}

/// A function of the user's, of one row. What it makes of a value that no row has is of no interest.
fn call(function: &UserFunction, arguments: impl Iterator<Item = u64>) -> u64 {
    let array = |(bits, data_type): (u64, &DataType)| -> Option<ArrayRef> {
        if data_type == &DataType::Boolean {
            return Some(Arc::new(BooleanArray::from(vec![bits != 0])));
        }
        let bytes = Buffer::from_slice_ref([bits]);
        let data = ArrayData::builder(data_type.clone()).len(1).add_buffer(bytes).build().ok()?;
        Some(make_array(data))
    };
    let result = || -> Option<u64> {
        let arguments = arguments.zip(&function.arguments).map(array).collect::<Option<Vec<_>>>()?;
        let result = function.function.evaluate(&arguments, 1, &function.returns).ok()?;
        let storage = storage_of(&function.returns)?;
        result.is_valid(0).then(|| load(&result, storage, 0))
    };
    result().unwrap_or(0)
}

/// The bits of a column's value as they stand in a register; anything where it is null.
pub fn load(column: &ArrayRef, storage: Storage, row: usize) -> u64 {
    let wide = |value: i32| u64::from(value as u32);
    // Types of one width lie alike in memory.
    let words = |column: &ArrayRef| column.to_data().buffers()[0].typed_data::<u32>()[column.offset() + row];
    let longs = |column: &ArrayRef| column.to_data().buffers()[0].typed_data::<u64>()[column.offset() + row];
    match storage {
        Storage::Bit => u64::from(column.as_boolean().value(row)),
        Storage::I8 => wide(i32::from(column.as_primitive::<Int8Type>().value(row))),
        Storage::I16 => wide(i32::from(column.as_primitive::<Int16Type>().value(row))),
        Storage::U8 => wide(i32::from(column.as_primitive::<UInt8Type>().value(row))),
        Storage::U16 => wide(i32::from(column.as_primitive::<UInt16Type>().value(row))),
        Storage::U32 => u64::from(column.as_primitive::<UInt32Type>().value(row)),
        Storage::U64 => column.as_primitive::<UInt64Type>().value(row),
        Storage::F32 => u64::from(column.as_primitive::<Float32Type>().value(row).to_bits()),
        Storage::F64 => column.as_primitive::<Float64Type>().value(row).to_bits(),
        Storage::I32 => match column.as_primitive_opt::<Int32Type>() {
            Some(column) => wide(column.value(row)),
            None => u64::from(words(column)),
        },
        Storage::I64 => match column.as_primitive_opt::<Int64Type>() {
            Some(column) => column.value(row) as u64,
            None => longs(column),
        },
    }
}

fn unary(op: Unary, kind: Kind, a: u64) -> u64 {
    match kind {
        Kind::Bool => a ^ 1,
        Kind::I32 | Kind::U32 => u64::from(match op {
            Unary::Neg => (a as u32).wrapping_neg(),
            Unary::BitCount => (a as u32).count_ones(),
            _ => !(a as u32),
        }),
        Kind::I64 | Kind::U64 => match op {
            Unary::Neg => a.wrapping_neg(),
            Unary::BitCount => u64::from(a.count_ones()),
            _ => !a,
        },
        Kind::F32 => {
            let x = f32::from_bits(a as u32);
            if op == Unary::IsNan { u64::from(x.is_nan()) } else { u64::from(float32(op, x).to_bits()) }
        }
        Kind::F64 => {
            let x = f64::from_bits(a);
            if op == Unary::IsNan { u64::from(x.is_nan()) } else { float64(op, x).to_bits() }
        }
    }
}

macro_rules! float {
    ($name:ident, $native:ty) => {
        fn $name(op: Unary, x: $native) -> $native {
            match op {
                Unary::Neg => -x,
                Unary::Abs => x.abs(),
                Unary::Sqrt => x.sqrt(),
                Unary::Floor => x.floor(),
                Unary::Ceil => x.ceil(),
                Unary::Trunc => x.trunc(),
                Unary::Round => x.round(),
                Unary::Math(function) => match function {
                    Math::Cbrt => x.cbrt(),
                    Math::Exp => x.exp(),
                    Math::Log => x.ln(),
                    Math::Log2 => x.log2(),
                    Math::Log10 => x.log10(),
                    Math::Sin => x.sin(),
                    Math::Cos => x.cos(),
                    Math::Tan => x.tan(),
                    Math::Asin => x.asin(),
                    Math::Acos => x.acos(),
                    Math::Atan => x.atan(),
                    Math::Sinh => x.sinh(),
                    Math::Cosh => x.cosh(),
                    Math::Tanh => x.tanh(),
                },
                Unary::Not | Unary::IsNan | Unary::BitCount => x,
            }
        }
    };
}

float!(float32, f32);
float!(float64, f64);

fn binary(op: Binary, kind: Kind, a: u64, b: u64) -> u64 {
    match kind {
        Kind::Bool => match op {
            Binary::And => a & b,
            Binary::Or => a | b,
            _ => a ^ b,
        },
        Kind::I32 => {
            let (x, y) = (a as u32 as i32, b as u32 as i32);
            integer(op, i64::from(x), i64::from(y), 32) & compared_or(op, u64::from(u32::MAX))
        }
        Kind::U32 => integer(op, a as i64, b as i64, 32) & compared_or(op, u64::from(u32::MAX)),
        Kind::I64 => match op {
            Binary::MulHigh => ((i128::from(a as i64) * i128::from(b as i64)) >> 64) as u64,
            _ => integer(op, a as i64, b as i64, 64),
        },
        Kind::U64 => match op {
            Binary::MulHigh => ((u128::from(a) * u128::from(b)) >> 64) as u64,
            Binary::Div => a / b,
            Binary::Rem => a % b,
            Binary::Shr => a >> b,
            Binary::Eq | Binary::Lt | Binary::Le => u64::from(holds(op, a.cmp(&b))),
            _ => integer(op, a as i64, b as i64, 64),
        },
        Kind::F32 => {
            let (x, y) = (f32::from_bits(a as u32), f32::from_bits(b as u32));
            if op.compares() {
                return u64::from(holds(op, total(f64::from(x), f64::from(y))));
            }
            u64::from(
                match op {
                    Binary::Add => x + y,
                    Binary::Sub => x - y,
                    Binary::Mul => x * y,
                    Binary::Div => x / y,
                    Binary::Rem => x % y,
                    Binary::Pow => x.powf(y),
                    _ => x.atan2(y),
                }
                .to_bits(),
            )
        }
        Kind::F64 => {
            let (x, y) = (f64::from_bits(a), f64::from_bits(b));
            if op.compares() {
                return u64::from(holds(op, total(x, y)));
            }
            match op {
                Binary::Add => x + y,
                Binary::Sub => x - y,
                Binary::Mul => x * y,
                Binary::Div => x / y,
                Binary::Rem => x % y,
                Binary::Pow => x.powf(y),
                _ => x.atan2(y),
            }
            .to_bits()
        }
    }
}

/// The mask of a result: one bit of comparisons.
fn compared_or(op: Binary, mask: u64) -> u64 {
    if op.compares() { 1 } else { mask }
}

/// Integers in 64 bits; operands of 32 bits are widened, so that their products are whole.
fn integer(op: Binary, a: i64, b: i64, bits: u32) -> u64 {
    (match op {
        Binary::Add => a.wrapping_add(b),
        Binary::Sub => a.wrapping_sub(b),
        Binary::Mul => a.wrapping_mul(b),
        Binary::MulHigh => ((i128::from(a) * i128::from(b)) >> bits) as i64,
        Binary::Div => a.wrapping_div(b),
        Binary::Rem => a.wrapping_rem(b),
        Binary::And => a & b,
        Binary::Or => a | b,
        Binary::Xor => a ^ b,
        Binary::Shl => a << b,
        Binary::Shr => a >> b,
        _ => i64::from(holds(op, a.cmp(&b))),
    }) as u64
}

fn holds(op: Binary, order: Ordering) -> bool {
    match op {
        Binary::Eq => order.is_eq(),
        Binary::Lt => order.is_lt(),
        _ => order.is_le(),
    }
}

/// −0.0 equals 0.0; all NaNs are equal and greatest.
fn total(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

fn convert(from: Kind, to: Kind, a: u64) -> u64 {
    let integer = match from {
        Kind::Bool | Kind::U32 | Kind::U64 => i128::from(a),
        Kind::I32 => i128::from(a as u32 as i32),
        Kind::I64 => i128::from(a as i64),
        Kind::F32 | Kind::F64 => {
            let x = if from == Kind::F32 { f64::from(f32::from_bits(a as u32)) } else { f64::from_bits(a) };
            match to {
                Kind::F32 => return u64::from((x as f32).to_bits()),
                Kind::F64 => return x.to_bits(),
                _ => x as i128,
            }
        }
    };
    match to {
        Kind::Bool => integer as u64 & 1,
        Kind::I32 | Kind::U32 => u64::from(integer as u32),
        Kind::I64 | Kind::U64 => integer as u64,
        Kind::F32 => u64::from((integer as f32).to_bits()),
        Kind::F64 => (integer as f64).to_bits(),
    }
}
