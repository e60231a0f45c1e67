//! CUDA C++, in the dialect that also compiles as plain C++ for the emulator: no header but the project's own, and
//! integers are added without sign, because an overflow of signed ones is undefined. Floats are added, multiplied, divided
//! and rooted by the intrinsics that name their rounding, so that no option of a compiler changes a result.

use std::fmt::Write as _;

use super::group::{self, Language, Table, Type};
use super::warp;
use super::{Body, ChunkLayout, Parameters, Unprintable, bit_of, bitmaps, results};
use crate::group::{Grouping, Sums};
use crate::ir::{Binary, Inst, Kind, Program, Reg, Storage, Unary};

/// Prints a program as CUDA.
///
/// ```
/// # use arrow::datatypes::{DataType, Field, Schema};
/// # use sabot_codegen::{lower_filter_projects, print_cuda};
/// # use sabot_expr::{FunctionRegistry, col, resolve};
/// # use sabot_ops::FilterProjectSpec;
/// let schema = Schema::new(vec![Field::new("delay", DataType::Int32, false)]);
/// let predicate = resolve(&col("delay").gt(15), &schema, &FunctionRegistry::new())?;
/// let spec = FilterProjectSpec { predicate: Some(predicate), projections: Vec::new(), carried: Vec::new() };
/// let body = print_cuda(&lower_filter_projects(&[&spec])?.program)?;
/// assert!(body.text.contains("sabot_row("));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Unprintable`] when it has too many results.
pub fn print_cuda(program: &Program) -> Result<Body, Unprintable> {
    let bitmaps = bitmaps(program)?;
    let mut text = row_function(program);
    text.push_str("SABOT_DEVICE sabot_u32 sabot_bits(const SabotRow& r) {\n  sabot_u32 bits = 0;\n");
    for (number, bitmap) in bitmaps.iter().enumerate() {
        if let Some(reg) = bit_of(program, *bitmap) {
            let _ = writeln!(text, "  bits |= r.{reg} ? {}u : 0u;", 1u32 << number);
        }
    }
    text.push_str("  return bits;\n}\n\n");
    let stored: Vec<Storage> = program.outputs().iter().map(|output| output.storage).collect();
    let chunk = ChunkLayout::of(&stored);
    let _ = writeln!(
        text,
        "SABOT_DEVICE sabot_u32 sabot_chunk_words(sabot_u32 count) {{\n  return {};\n}}\n",
        chunk.words_text()
    );
    text.push_str(
        "SABOT_DEVICE void sabot_store(sabot_u32* output, sabot_u32 at, sabot_u32 count, sabot_u32 row, const SabotRow& r) {\n",
    );
    for (number, storage, at) in chunk.columns_text() {
        let (stored, value) = (stored_type(storage), program.outputs()[number].value);
        let _ = writeln!(
            text,
            "  reinterpret_cast<{stored}*>(output + ({at}))[row] = static_cast<{stored}>(r.{value});"
        );
    }
    text.push_str("}\n");
    Ok(Body { text, bitmaps, stored, chunk })
}

/// Prints a program whose rows are folded by key: the functions of `sabot_row` and those of the grouping.
pub fn print_cuda_groups(program: &Program, grouping: &Grouping, sums: Sums) -> String {
    let functions = group::functions::<Cuda>(program, grouping, sums);
    row_function(program) + &functions + &warp::functions(program, grouping, sums)
}

/// `sabot_fetch`, which reads what a row is computed from, and `sabot_row`, which computes it. A skeleton may read several rows
/// before it computes the first, so that it waits for memory once.
fn row_function(program: &Program) -> String {
    let results = results(program);
    let mut text = String::new();
    for (number, function) in program.functions().iter().enumerate() {
        let Some((returns, arguments)) = function.kinds.split_last() else { continue };
        let arguments = arguments.iter().enumerate().map(|(n, kind)| format!("{} a{n}", type_of(*kind)));
        let arguments: Vec<String> = arguments.collect();
        let (returns, body) = (type_of(*returns), &function.body.cuda);
        let _ = writeln!(
            text,
            "SABOT_DEVICE {returns} sabot_user_{number}({}) {{\n  {body}\n}}\n",
            arguments.join(", ")
        );
    }
    text.push_str("struct SabotRow {\n  bool failed;\n");
    for (reg, kind) in &results {
        let _ = writeln!(text, "  {} {reg};", type_of(*kind));
    }
    text.push_str("};\n\n// A struct has a member at least.\nstruct SabotInput {\n  bool none;\n");
    let parameters = Parameters::of(program);
    let numbered = || program.instructions().iter().enumerate();
    let reads = |inst: Inst| matches!(inst, Inst::Load(_) | Inst::IsValid(_));
    for (at, (_, kind)) in numbered().filter(|(_, (inst, _))| reads(*inst)) {
        let _ = writeln!(text, "  {} v{at};", type_of(*kind));
    }
    text.push_str(
        "};\n\nSABOT_DEVICE SabotInput sabot_fetch(const sabot_u32* input, const sabot_u32* parameters, sabot_u32 row) {\n  \
         SabotInput in;\n",
    );
    for (at, (inst, kind)) in numbered().filter(|(_, (inst, _))| reads(*inst)) {
        let _ = writeln!(text, "  in.v{at} = {};", value(program, parameters, *inst, *kind));
    }
    text.push_str("  return in;\n}\n\nSABOT_DEVICE SabotRow sabot_row(const SabotInput& in) {\n");
    for (at, (inst, kind)) in numbered() {
        let value = if reads(*inst) { format!("in.v{at}") } else { value(program, parameters, *inst, *kind) };
        let _ = writeln!(text, "  const {} v{at} = {value};", type_of(*kind));
    }
    let failed = program.failed().map_or("false".to_owned(), |reg| reg.to_string());
    let _ = write!(text, "  SabotRow r;\n  r.failed = {failed};\n");
    for (reg, _) in &results {
        let _ = writeln!(text, "  r.{reg} = {reg};");
    }
    text.push_str("  return r;\n}\n\n");
    text
}

/// The language of groupings.
pub(super) struct Cuda;

impl Cuda {
    fn type_name(of: Type) -> &'static str {
        match of {
            Type::Value(kind) => type_of(kind),
            Type::Row => "const SabotRow&",
            Type::Keys => "SabotKeys",
            Type::Words | Type::Record => "sabot_u32*",
            Type::Wide => "sabot_u64*",
        }
    }
}

impl Language for Cuda {
    // A pointer may lead anywhere.
    const APART: bool = false;
    const STRUCT_END: &'static str = "};";

    fn variable(name: &str, value: &str) -> String {
        format!("  sabot_u32 {name} = {value};\n")
    }

    fn instructions(text: &mut String, program: &Program, wanted: &[bool]) {
        let parameters = Parameters::of(program);
        for (at, (inst, kind)) in program.instructions().iter().enumerate().filter(|(at, _)| wanted[*at]) {
            let value = value(program, parameters, *inst, *kind);
            let _ = writeln!(text, "  const {} v{at} = {value};", type_of(*kind));
        }
    }

    fn head(name: &str, parameters: &[(&str, Type)], result: Option<Type>) -> String {
        let mut head = format!(
            "SABOT_DEVICE {} {name}(const sabot_u32* input, const sabot_u32* parameters",
            result.map_or("void", Self::type_name)
        );
        for (name, of) in parameters {
            let _ = write!(head, ", {} {name}", Self::type_name(*of));
        }
        head + ")"
    }

    fn call(name: &str, arguments: &[&str]) -> String {
        format!("{name}(input, parameters, {})", arguments.join(", "))
    }

    fn word(kind: Kind, value: &str, number: usize) -> String {
        match kind {
            Kind::Bool => format!("({value} ? 1u : 0u)"),
            Kind::F32 => format!("__float_as_uint({value})"),
            Kind::F64 => {
                format!(
                    "static_cast<sabot_u32>(static_cast<sabot_u64>(__double_as_longlong({value})) >> {}u)",
                    32 * number
                )
            }
            Kind::I64 | Kind::U64 => {
                format!("static_cast<sabot_u32>(static_cast<sabot_u64>({value}) >> {}u)", 32 * number)
            }
            Kind::I32 | Kind::U32 => format!("static_cast<sabot_u32>({value})"),
        }
    }

    fn less(kind: Kind, a: &str, b: &str) -> String {
        match kind {
            Kind::Bool => format!("!{a} && {b}"),
            Kind::F32 | Kind::F64 => format!("sabot_lt({a}, {b})"),
            _ => format!("{a} < {b}"),
        }
    }

    fn name(of: Type, name: &str, value: &str) -> String {
        format!("  const {} {name} = {value};\n", Self::type_name(of))
    }

    fn member(kind: Kind, name: &str) -> String {
        format!("{} {name};", type_of(kind))
    }

    fn make(name: &str, members: &[String]) -> String {
        format!("  return {name}{{{}}};\n", members.join(", "))
    }

    fn read(_table: Table, at: &str) -> String {
        format!("sabot_peek({at})")
    }

    fn read_wide(number: usize) -> String {
        format!("wide[{number}]")
    }

    fn write(at: &str, value: &str) -> String {
        format!("  *({at}) = {value};\n")
    }
}

fn type_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "bool",
        Kind::I32 => "sabot_i32",
        Kind::U32 => "sabot_u32",
        Kind::I64 => "sabot_i64",
        Kind::U64 => "sabot_u64",
        Kind::F32 => "float",
        Kind::F64 => "double",
    }
}

fn stored_type(storage: Storage) -> &'static str {
    match storage {
        Storage::I8 => "signed char",
        Storage::U8 => "unsigned char",
        Storage::I16 => "short",
        Storage::U16 => "unsigned short",
        other => type_of(other.kind()),
    }
}

fn value(program: &Program, parameters: Parameters, inst: Inst, kind: Kind) -> String {
    match inst {
        Inst::Const { kind, bits } => constant(kind, bits),
        Inst::Load(number) => {
            let storage = program.inputs()[number as usize].storage;
            let at = parameters.input(number as usize);
            match storage {
                Storage::Bit => format!("sabot_bit(input, parameters[{at}], row)"),
                _ => format!("sabot_load<{}>(input, parameters[{at}], row)", stored_type(storage)),
            }
        }
        Inst::IsValid(number) => {
            format!("sabot_is_valid(input, parameters[{}], row)", parameters.input_valid(number as usize))
        }
        Inst::Unary(op, a) => unary(op, program.kind(a), a),
        Inst::Binary(op, a, b) => binary(op, program.kind(a), a, b),
        Inst::Call(function, arguments) => super::call(function, arguments),
        Inst::Select(condition, a, b) => format!("{condition} ? {a} : {b}"),
        Inst::Convert(to, a) => convert(program.kind(a), to, a),
        Inst::Bitcast(to, a) => match (program.kind(a), to) {
            (Kind::F32, _) => format!("static_cast<{}>(__float_as_uint({a}))", type_of(to)),
            (Kind::F64, _) => format!("static_cast<{}>(__double_as_longlong({a}))", type_of(to)),
            (_, Kind::F32) => format!("__uint_as_float(static_cast<sabot_u32>({a}))"),
            (_, Kind::F64) => format!("__longlong_as_double(static_cast<sabot_i64>({a}))"),
            _ => format!("static_cast<{}>({a})", type_of(kind)),
        },
    }
}

fn constant(kind: Kind, bits: u64) -> String {
    match kind {
        Kind::Bool => (bits != 0).to_string(),
        Kind::U32 => format!("{bits}u"),
        Kind::I32 => format!("static_cast<sabot_i32>({bits}u)"),
        Kind::U64 => format!("{bits}ull"),
        Kind::I64 => format!("static_cast<sabot_i64>({bits}ull)"),
        Kind::F32 => format!("__uint_as_float({bits}u)"),
        Kind::F64 => format!("__longlong_as_double(static_cast<sabot_i64>({bits}ull))"),
    }
}

fn unary(op: Unary, kind: Kind, a: Reg) -> String {
    let name = |name: &str| {
        let single = if kind == Kind::F32 { "f" } else { "" };
        format!("{name}{single}({a})")
    };
    match op {
        Unary::Not if kind == Kind::Bool => format!("!{a}"),
        Unary::Not => format!("~{a}"),
        Unary::Neg if kind.is_float() => format!("-{a}"),
        Unary::Neg => without_sign(kind, &format!("0 - {}", unsigned(kind, a))),
        Unary::Abs => name("fabs"),
        Unary::Sqrt => format!("__{}sqrt_rn({a})", if kind == Kind::F32 { "f" } else { "d" }),
        Unary::Floor => name("floor"),
        Unary::Ceil => name("ceil"),
        Unary::Trunc => name("trunc"),
        Unary::Round => name("round"),
        Unary::IsNan => format!("{a} != {a}"),
        Unary::BitCount if kind.bits() == 64 => format!("__popcll({})", unsigned(kind, a)),
        Unary::BitCount => format!("__popc({})", unsigned(kind, a)),
        Unary::Math(function) => name(function.name()),
    }
}

/// An integer without sign.
fn unsigned(kind: Kind, a: Reg) -> String {
    if kind.is_signed() { format!("static_cast<{}>({a})", type_of(kind.unsigned())) } else { a.to_string() }
}

/// A value without sign as its own type.
fn without_sign(kind: Kind, value: &str) -> String {
    if kind.is_signed() { format!("static_cast<{}>({value})", type_of(kind)) } else { value.to_owned() }
}

fn binary(op: Binary, kind: Kind, a: Reg, b: Reg) -> String {
    if kind.is_float() {
        let single = if kind == Kind::F32 { "f" } else { "" };
        // Never contracted, whatever the compiler is told.
        let rounded =
            |name: &str| format!("__{}{name}_rn({a}, {b})", if kind == Kind::F32 { "f" } else { "d" });
        return match op {
            Binary::Eq => format!("sabot_eq({a}, {b})"),
            Binary::Lt => format!("sabot_lt({a}, {b})"),
            Binary::Le => format!("sabot_le({a}, {b})"),
            Binary::Add => rounded("add"),
            Binary::Sub => rounded("sub"),
            Binary::Mul => rounded("mul"),
            Binary::Div => rounded("div"),
            Binary::Pow => format!("pow{single}({a}, {b})"),
            Binary::Atan2 => format!("atan2{single}({a}, {b})"),
            _ => format!("fmod{single}({a}, {b})"),
        };
    }
    let wrapping =
        |op: &str| without_sign(kind, &format!("{} {op} {}", unsigned(kind, a), unsigned(kind, b)));
    match op {
        Binary::Add => wrapping("+"),
        Binary::Sub => wrapping("-"),
        Binary::Mul => wrapping("*"),
        Binary::Shl => without_sign(kind, &format!("{} << {b}", unsigned(kind, a))),
        Binary::Shr => format!("{a} >> {b}"),
        Binary::Div => format!("{a} / {b}"),
        Binary::Rem => format!("{a} % {b}"),
        Binary::MulHigh => {
            let name = match kind {
                Kind::I32 => "__mulhi",
                Kind::U32 => "__umulhi",
                Kind::I64 => "__mul64hi",
                _ => "__umul64hi",
            };
            format!("{name}({a}, {b})")
        }
        Binary::And => format!("{a} & {b}"),
        Binary::Or => format!("{a} | {b}"),
        Binary::Xor if kind == Kind::Bool => format!("{a} != {b}"),
        Binary::Xor => format!("{a} ^ {b}"),
        Binary::Eq => format!("{a} == {b}"),
        Binary::Lt => format!("{a} < {b}"),
        Binary::Le => format!("{a} <= {b}"),
        Binary::Pow | Binary::Atan2 => format!("0 /* of floats only: {a}, {b} */"),
    }
}

fn convert(from: Kind, to: Kind, a: Reg) -> String {
    match (from, to) {
        (Kind::Bool, to) => format!("static_cast<{}>({a} ? 1 : 0)", type_of(to)),
        (_, to) => format!("static_cast<{}>({a})", type_of(to)),
    }
}
