//! The kernel language: what happens to one row, one value after the other.
//!
//! A [`Program`] is a list of instructions in which each gives one value, and every operand stands before what
//! uses it. There are no branches: what the expression language evaluates lazily, a kernel evaluates always,
//! and an error counts only under the condition that reaches it. So a program has no value that could trap: a divisor
//! that is zero has been replaced before it is divided by.
//!
//! There are seven types of values ([`Kind`]). Small integers live in 32 bits. Which instructions wrap, which
//! need their operands in a range, and what NaN does is said at each.

use arrow::datatypes::DataType;
use sabot_expr::{BoundFunction, DeviceBody};
use std::collections::HashMap;
use std::fmt;

use crate::eval::fold;

/// The type of a value in a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// True or false.
    Bool,
    /// 32 bits in two's complement; also int8, int16, uint8 and uint16.
    I32,
    /// 32 bits without sign.
    U32,
    /// 64 bits in two's complement.
    I64,
    /// 64 bits without sign.
    U64,
    /// IEEE binary32.
    F32,
    /// IEEE binary64.
    F64,
}

impl Kind {
    /// Bits of a value; 1 of a bool.
    pub const fn bits(self) -> u32 {
        match self {
            Kind::Bool => 1,
            Kind::I32 | Kind::U32 | Kind::F32 => 32,
            Kind::I64 | Kind::U64 | Kind::F64 => 64,
        }
    }

    /// Whether it is a float.
    pub const fn is_float(self) -> bool {
        matches!(self, Kind::F32 | Kind::F64)
    }

    /// Whether it is an integer with a sign.
    pub const fn is_signed(self) -> bool {
        matches!(self, Kind::I32 | Kind::I64)
    }

    /// The integer without sign of the same width.
    pub const fn unsigned(self) -> Kind {
        match self.bits() {
            1 => Kind::Bool,
            32 => Kind::U32,
            _ => Kind::U64,
        }
    }
}

/// How a column lies in memory: one value after the other, without padding; bits from the lowest of each byte on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Storage {
    /// A bit a value.
    Bit,
    /// Signed bytes.
    I8,
    /// Signed 16-bit words.
    I16,
    /// Signed 32-bit words.
    I32,
    /// Signed 64-bit words.
    I64,
    /// Bytes.
    U8,
    /// 16-bit words.
    U16,
    /// 32-bit words.
    U32,
    /// 64-bit words.
    U64,
    /// binary32.
    F32,
    /// binary64.
    F64,
}

impl Storage {
    /// The type of register that holds its values.
    pub const fn kind(self) -> Kind {
        match self {
            Storage::Bit => Kind::Bool,
            Storage::I8 | Storage::I16 | Storage::I32 | Storage::U8 | Storage::U16 => Kind::I32,
            Storage::U32 => Kind::U32,
            Storage::I64 => Kind::I64,
            Storage::U64 => Kind::U64,
            Storage::F32 => Kind::F32,
            Storage::F64 => Kind::F64,
        }
    }

    /// Bits of a value in memory.
    pub const fn bits(self) -> usize {
        match self {
            Storage::Bit => 1,
            Storage::I8 | Storage::U8 => 8,
            Storage::I16 | Storage::U16 => 16,
            Storage::I32 | Storage::U32 | Storage::F32 => 32,
            Storage::I64 | Storage::U64 | Storage::F64 => 64,
        }
    }

    /// Bytes of so many values, in whole 32-bit words.
    pub const fn bytes(self, values: usize) -> usize {
        (values * self.bits()).div_ceil(32) * 4
    }

    /// The least and the greatest value, where the register could hold others.
    pub const fn bounds(self) -> Option<(i32, i32)> {
        match self {
            Storage::I8 => Some((i8::MIN as i32, i8::MAX as i32)),
            Storage::I16 => Some((i16::MIN as i32, i16::MAX as i32)),
            Storage::U8 => Some((0, u8::MAX as i32)),
            Storage::U16 => Some((0, u16::MAX as i32)),
            _ => None,
        }
    }
}

/// A value, by the number of the instruction that gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reg(pub(crate) u32);

impl Reg {
    /// The number of the instruction.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for Reg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

/// An instruction of one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unary {
    /// Bool: the other one. Integers: all bits turned.
    Not,
    /// The sign turned; integers wrap. NaN keeps its bits but the sign.
    Neg,
    /// Floats only: without the sign bit.
    Abs,
    /// Floats only: the square root, correctly rounded.
    Sqrt,
    /// Floats only: toward −∞.
    Floor,
    /// Floats only: toward ∞.
    Ceil,
    /// Floats only: toward zero.
    Trunc,
    /// Floats only: the nearest whole number, halves away from zero.
    Round,
    /// Floats only.
    IsNan,
    /// Integers only: how many bits are set, in the same type.
    BitCount,
    /// Floats only: within the bound that the function's row declares.
    Math(Math),
}

/// Functions of floats that every platform computes with a library of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are those of the C library")]
pub enum Math {
    Cbrt,
    Exp,
    Log,
    Log2,
    Log10,
    Sin,
    Cos,
    Tan,
    Asin,
    Acos,
    Atan,
    Sinh,
    Cosh,
    Tanh,
}

impl Math {
    /// Its name, as in C.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Math::Cbrt => "cbrt",
            Math::Exp => "exp",
            Math::Log => "log",
            Math::Log2 => "log2",
            Math::Log10 => "log10",
            Math::Sin => "sin",
            Math::Cos => "cos",
            Math::Tan => "tan",
            Math::Asin => "asin",
            Math::Acos => "acos",
            Math::Atan => "atan",
            Math::Sinh => "sinh",
            Math::Cosh => "cosh",
            Math::Tanh => "tanh",
        }
    }

    /// Whether it is of angles, or gives one.
    pub(crate) fn is_of_angles(self) -> bool {
        matches!(self, Math::Sin | Math::Cos | Math::Tan | Math::Asin | Math::Acos | Math::Atan)
    }
}

/// An instruction of two operands of one type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binary {
    /// Integers wrap; floats are correctly rounded.
    Add,
    /// As [`Binary::Add`].
    Sub,
    /// As [`Binary::Add`].
    Mul,
    /// Integers toward zero: the divisor is not zero, and not −1 with the least value. Floats correctly rounded.
    Div,
    /// What [`Binary::Div`] leaves, with the sign of the dividend. Floats: exact, as C's `fmod`.
    Rem,
    /// Integers only: the upper half of the product.
    MulHigh,
    /// Bool and integers: the bits that both have.
    And,
    /// The bits that one of them has.
    Or,
    /// The bits that exactly one of them has.
    Xor,
    /// Integers only: the second operand is less than the bits of the type.
    Shl,
    /// As [`Binary::Shl`]; signed integers keep their sign.
    Shr,
    /// Floats only: the first to the power of the second, within the bound that the function's row declares.
    Pow,
    /// Floats only: the angle of the point (second, first), within the bound that the function's row declares.
    Atan2,
    /// Gives a bool. Floats in total order, in which −0.0 equals 0.0 and all NaNs are equal and greatest.
    Eq,
    /// As [`Binary::Eq`].
    Lt,
    /// As [`Binary::Eq`].
    Le,
}

impl Binary {
    /// Whether the result is a bool, whatever the operands are.
    pub const fn compares(self) -> bool {
        matches!(self, Binary::Eq | Binary::Lt | Binary::Le)
    }
}

/// An instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Inst {
    /// A value, by its bits.
    Const {
        /// The type.
        kind: Kind,
        /// The bits, from the lowest on.
        bits: u64,
    },
    /// The value of an input in this row; anything where the input is null.
    Load(u32),
    /// Whether the input is not null in this row.
    IsValid(u32),
    /// One operand.
    Unary(Unary, Reg),
    /// Two operands.
    Binary(Binary, Reg, Reg),
    /// The first of two values of one type where the bool is true, else the second.
    Select(Reg, Reg, Reg),
    /// The value in another type. Integers to integers: the low bits, or widened by the sign of the source.
    /// Bool to numbers: 1 or 0. Integers to floats, floats to floats: the nearest value, ties to even. Floats to
    /// integers: toward zero; the value has to fit.
    Convert(Kind, Reg),
    /// The same bits as another type of the same width.
    Bitcast(Kind, Reg),
    /// A function of the user's, by its number, of one to three arguments. It gives something for all values.
    Call(u32, [Option<Reg>; 3]),
}

/// A function of the user's.
#[derive(Clone, Debug, PartialEq)]
pub struct UserFunction {
    /// The function, for whoever runs a program by hand.
    pub function: BoundFunction,
    /// What it is as text.
    pub body: DeviceBody,
    /// The types of its arguments.
    pub arguments: Vec<DataType>,
    /// The type of its result.
    pub returns: DataType,
    /// The registers of both, the result last.
    pub kinds: Vec<Kind>,
}

/// A column that a program reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Input {
    /// Its index in the schema of the fragment's input.
    pub column: usize,
    /// How it lies in memory.
    pub storage: Storage,
    /// Whether it has a validity bitmap.
    pub nullable: bool,
}

/// A column that a program gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Output {
    /// The value; anything where it is null.
    pub value: Reg,
    /// Whether it is not null; never null without.
    pub valid: Option<Reg>,
    /// How it is to lie in memory.
    pub storage: Storage,
}

/// What happens to one row.
///
/// ```
/// # use arrow::datatypes::{DataType, Field, Schema};
/// # use sabot_codegen::lower_filter_projects;
/// # use sabot_expr::{FunctionRegistry, col, resolve};
/// # use sabot_ops::{FilterProjectSpec, Projection};
/// let schema = Schema::new(vec![Field::new("delay", DataType::Int64, false)]);
/// let typed = |expr| resolve(&expr, &schema, &FunctionRegistry::new());
/// let spec = FilterProjectSpec {
///     predicate: Some(typed(col("delay").gt(15))?),
///     projections: vec![Projection { name: "hours".into(), expr: typed(col("delay") / 60)? }],
///     carried: Vec::new(),
/// };
/// let program = lower_filter_projects(&[&spec])?.program;
/// assert_eq!((program.inputs().len(), program.outputs().len()), (1, 1));
/// assert!(program.keep().is_some() && program.failed().is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    pub(crate) inputs: Vec<Input>,
    pub(crate) insts: Vec<(Inst, Kind)>,
    pub(crate) keep: Option<Reg>,
    pub(crate) failed: Option<Reg>,
    pub(crate) outputs: Vec<Output>,
    pub(crate) functions: Vec<UserFunction>,
}

impl Inst {
    /// Whether it is one of the functions of floats that hardware does not have, given the type of its value.
    pub(crate) fn is_function(self, kind: Kind) -> bool {
        match self {
            Inst::Unary(Unary::Math(_), _) => true,
            Inst::Binary(Binary::Pow | Binary::Atan2 | Binary::Rem, _, _) => kind.is_float(),
            _ => false,
        }
    }
}

impl Program {
    /// Whether every device computes the same bits: it has no function whose last digits libraries do not agree on. Statements of
    /// users have to give what their Rust gives.
    pub fn is_exact(&self) -> bool {
        let mut functions = self.insts.iter().filter(|(inst, kind)| inst.is_function(*kind));
        // What is left of a division is exact.
        functions.all(|(inst, _)| matches!(inst, Inst::Binary(Binary::Rem, _, _)))
    }

    /// Whether it has functions of floats that not every language of kernels has, and whether some are of angles.
    pub fn float_functions(&self) -> (bool, bool) {
        let functions = self.insts.iter().filter(|(inst, kind)| inst.is_function(*kind));
        let of_angles = functions.clone().any(|(inst, _)| match inst {
            Inst::Unary(Unary::Math(function), _) => function.is_of_angles(),
            Inst::Binary(op, _, _) => *op == Binary::Atan2,
            _ => false,
        });
        (functions.count() > 0, of_angles)
    }

    /// The functions that it calls.
    pub fn functions(&self) -> &[UserFunction] {
        &self.functions
    }

    /// The columns that it reads.
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// The instructions, each with the type of its value.
    pub fn instructions(&self) -> &[(Inst, Kind)] {
        &self.insts
    }

    /// Whether the row is kept; every row is without.
    pub fn keep(&self) -> Option<Reg> {
        self.keep
    }

    /// Whether the row is an error; no row is without.
    pub fn failed(&self) -> Option<Reg> {
        self.failed
    }

    /// The columns that it gives.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// The type of a value.
    pub fn kind(&self, reg: Reg) -> Kind {
        self.insts[reg.index()].1
    }
}

/// Makes programs. Equal instructions are one.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    inputs: Vec<Input>,
    insts: Vec<(Inst, Kind)>,
    known: HashMap<Inst, Reg>,
    functions: Vec<UserFunction>,
}

impl Builder {
    pub(crate) fn kind(&self, reg: Reg) -> Kind {
        self.insts[reg.index()].1
    }

    fn push(&mut self, inst: Inst, kind: Kind) -> Reg {
        if let Some(reg) = self.known.get(&inst) {
            return *reg;
        }
        if let Some(bits) = fold(inst, |operand| self.known_value(operand)) {
            return self.constant(kind, bits);
        }
        let reg = Reg(self.insts.len() as u32);
        self.insts.push((inst, kind));
        self.known.insert(inst, reg);
        reg
    }

    /// The value of an input column, and its validity where it may be null.
    pub(crate) fn input(&mut self, input: Input) -> (Reg, Option<Reg>) {
        let number = self.inputs.iter().position(|known| *known == input).unwrap_or_else(|| {
            self.inputs.push(input);
            self.inputs.len() - 1
        }) as u32;
        let value = self.push(Inst::Load(number), input.storage.kind());
        (value, input.nullable.then(|| self.push(Inst::IsValid(number), Kind::Bool)))
    }

    /// The call of a function, which is there once however often it is called.
    pub(crate) fn call(&mut self, function: UserFunction, arguments: [Option<Reg>; 3]) -> Reg {
        let kind = function.kinds.last().copied().unwrap_or(Kind::Bool);
        let number = self.functions.iter().position(|known| *known == function).unwrap_or_else(|| {
            self.functions.push(function);
            self.functions.len() - 1
        });
        self.push(Inst::Call(number as u32, arguments), kind)
    }

    pub(crate) fn constant(&mut self, kind: Kind, bits: u64) -> Reg {
        self.push(Inst::Const { kind, bits }, kind)
    }

    pub(crate) fn bool(&mut self, value: bool) -> Reg {
        self.constant(Kind::Bool, u64::from(value))
    }

    /// An integer as a constant of an integer type, or the float nearest to it.
    pub(crate) fn number(&mut self, kind: Kind, value: i64) -> Reg {
        let bits = match kind {
            Kind::Bool => u64::from(value != 0),
            Kind::I32 | Kind::U32 => u64::from(value as u32),
            Kind::I64 | Kind::U64 => value as u64,
            Kind::F32 => u64::from((value as f32).to_bits()),
            Kind::F64 => (value as f64).to_bits(),
        };
        self.constant(kind, bits)
    }

    fn known_value(&self, reg: Reg) -> Option<(Kind, u64)> {
        match self.insts[reg.index()].0 {
            Inst::Const { kind, bits } => Some((kind, bits)),
            _ => None,
        }
    }

    pub(crate) fn as_bool(&self, reg: Reg) -> Option<bool> {
        self.known_value(reg).filter(|(kind, _)| *kind == Kind::Bool).map(|(_, bits)| bits != 0)
    }

    pub(crate) fn unary(&mut self, op: Unary, a: Reg) -> Reg {
        let kind = if op == Unary::IsNan { Kind::Bool } else { self.kind(a) };
        self.push(Inst::Unary(op, a), kind)
    }

    pub(crate) fn binary(&mut self, op: Binary, a: Reg, b: Reg) -> Reg {
        debug_assert_eq!(self.kind(a), self.kind(b), "{op:?}");
        match (op, self.as_bool(a), self.as_bool(b)) {
            (Binary::And, Some(true), _) | (Binary::Or, Some(false), _) => return b,
            (Binary::And, _, Some(true)) | (Binary::Or, _, Some(false)) => return a,
            (Binary::And, Some(false), _) | (Binary::Or, Some(true), _) => return a,
            (Binary::And, _, Some(false)) | (Binary::Or, _, Some(true)) => return b,
            _ if a == b && matches!(op, Binary::And | Binary::Or) => return a,
            _ => {}
        }
        let kind = if op.compares() { Kind::Bool } else { self.kind(a) };
        self.push(Inst::Binary(op, a, b), kind)
    }

    pub(crate) fn and(&mut self, a: Reg, b: Reg) -> Reg {
        self.binary(Binary::And, a, b)
    }

    pub(crate) fn or(&mut self, a: Reg, b: Reg) -> Reg {
        self.binary(Binary::Or, a, b)
    }

    pub(crate) fn not(&mut self, a: Reg) -> Reg {
        self.unary(Unary::Not, a)
    }

    pub(crate) fn select(&mut self, condition: Reg, a: Reg, b: Reg) -> Reg {
        debug_assert_eq!(self.kind(a), self.kind(b));
        match self.as_bool(condition) {
            Some(true) => a,
            Some(false) => b,
            None if a == b => a,
            None => {
                let kind = self.kind(a);
                self.push(Inst::Select(condition, a, b), kind)
            }
        }
    }

    pub(crate) fn convert(&mut self, kind: Kind, a: Reg) -> Reg {
        if self.kind(a) == kind { a } else { self.push(Inst::Convert(kind, a), kind) }
    }

    pub(crate) fn bitcast(&mut self, kind: Kind, a: Reg) -> Reg {
        debug_assert_eq!(self.kind(a).bits(), kind.bits());
        if self.kind(a) == kind { a } else { self.push(Inst::Bitcast(kind, a), kind) }
    }

    /// The program, without instructions and inputs that nothing asks for.
    pub(crate) fn finish(self, keep: Option<Reg>, failed: Option<Reg>, outputs: Vec<Output>) -> Program {
        // A condition that is always true keeps every row, one that never is fails none.
        let keep = keep.filter(|reg| self.as_bool(*reg) != Some(true));
        let failed = failed.filter(|reg| self.as_bool(*reg) != Some(false));
        let outputs = outputs
            .into_iter()
            .map(|o| Output { valid: o.valid.filter(|reg| self.as_bool(*reg) != Some(true)), ..o })
            .collect();
        let mut program = Program {
            inputs: self.inputs,
            insts: self.insts,
            keep,
            failed,
            outputs,
            functions: self.functions,
        };
        program.sweep();
        program
    }
}
