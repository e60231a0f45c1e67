//! WGSL.
//!
//! WGSL promises less than IEEE 754: compilers may assume that there are no NaNs and infinities, may flush
//! denormals, and may contract a product and a sum or simplify what is equal only among real numbers: one compiler makes
//! `f32(i32(x))` a rounding that keeps the sign of zero. So floats are compared and tested by their bits; every result of
//! arithmetic passes through an XOR with a zero that no compiler knows, behind which no rule sees another operation; and
//! arithmetic of floats is printed only for a device that a probe has found to round correctly. The functions that begin
//! with `sabot_` stand in the skeleton's own text.

use std::fmt::Write as _;

use super::group::{self, Language, Table, Type};
use super::{Body, ChunkLayout, Parameters, Unprintable, bit_of, bitmaps, check, results};
use crate::group::{Grouping, Sums};
use crate::ir::{Binary, Inst, Kind, Program, Reg, Storage, Unary};

/// What of WGSL a device has beyond the core.
///
/// ```
/// # use sabot_codegen::WgslFeatures;
/// assert!(!WgslFeatures::default().int64);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WgslFeatures {
    /// Integers of 64 bits.
    pub int64: bool,
    /// Floats of 64 bits.
    pub float64: bool,
    /// Atomic operations of 64 bits.
    pub atomic64: bool,
    /// A probe has found that floats of 32 bits are added, multiplied, divided, rooted and converted as IEEE 754 says.
    pub exact32: bool,
    /// The same of 64 bits.
    pub exact64: bool,
}

/// Prints a program as WGSL.
///
/// ```
/// # use arrow::datatypes::{DataType, Field, Schema};
/// # use sabot_codegen::{WgslFeatures, lower_filter_projects, print_wgsl};
/// # use sabot_expr::{FunctionRegistry, col, resolve};
/// # use sabot_ops::FilterProjectSpec;
/// let schema = Schema::new(vec![Field::new("delay", DataType::Int32, false)]);
/// let predicate = resolve(&col("delay").gt(15), &schema, &FunctionRegistry::new())?;
/// let spec = FilterProjectSpec { predicate: Some(predicate), projections: Vec::new(), carried: Vec::new() };
/// let body = print_wgsl(&lower_filter_projects(&[&spec])?.program, WgslFeatures::default())?;
/// assert!(body.text.contains("fn sabot_row(row: u32) -> SabotRow"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Unprintable`] for what WGSL, or this device, does not have.
pub fn print_wgsl(program: &Program, features: WgslFeatures) -> Result<Body, Unprintable> {
    check(program, |inst, kind| refusal(program, inst, kind, features))?;
    let bitmaps = bitmaps(program)?;
    let mut text = row_function(program);
    text.push_str("fn sabot_bits(r: SabotRow) -> u32 {\n  var bits = 0u;\n");
    for (number, bitmap) in bitmaps.iter().enumerate() {
        if let Some(reg) = bit_of(program, *bitmap) {
            let _ = writeln!(text, "  bits |= select(0u, {}u, r.{reg});", 1u32 << number);
        }
    }
    text.push_str("  return bits;\n}\n\n");
    // Two threads cannot write parts of one word.
    let whole = |storage: Storage| if storage.bounds().is_some() { Storage::I32 } else { storage };
    let stored: Vec<Storage> = program.outputs().iter().map(|output| whole(output.storage)).collect();
    let chunk = ChunkLayout::of(&stored);
    let _ =
        writeln!(text, "fn sabot_chunk_words(count: u32) -> u32 {{\n  return {};\n}}\n", chunk.words_text());
    text.push_str("fn sabot_store(at: u32, count: u32, row: u32, r: SabotRow) {\n");
    for (number, storage, at) in chunk.columns_text() {
        let reg = program.outputs()[number].value;
        let _ = match storage.bits() {
            64 => writeln!(
                text,
                "  let w{number} = bitcast<u64>(r.{reg});\n  sabot_output[{at} + 2u * row] = u32(w{number} & 0xfffffffflu);\n  \
                 sabot_output[{at} + 2u * row + 1u] = u32(w{number} >> 32u);"
            ),
            _ => writeln!(text, "  sabot_output[{at} + row] = bitcast<u32>(r.{reg});"),
        };
    }
    text.push_str("}\n");
    Ok(Body { text, bitmaps, stored, chunk })
}

/// Prints a program whose rows are folded by key: the functions of `sabot_row` and those of the grouping. [`Sums::Wide`] is for
/// devices that have atomic operations of 64 bits.
///
/// # Errors
/// As [`print_wgsl`]; also for sums of floats where the device has no atomic operations of 64 bits.
pub fn print_wgsl_groups(
    program: &Program,
    grouping: &Grouping,
    sums: Sums,
    features: WgslFeatures,
) -> Result<String, Unprintable> {
    check(program, |inst, kind| refusal(program, inst, kind, features))?;
    if grouping.floats() > 0 && !(features.atomic64 && features.exact64) {
        let missing = "sums of floats need atomic operations of 64 bits (SHADER_INT64_ATOMIC_ALL_OPS) and exact doubles";
        return Err(Unprintable(missing.to_owned()));
    }
    Ok(row_function(program) + &group::functions::<Wgsl>(program, grouping, sums))
}

/// `sabot_row`, and what it gives.
fn row_function(program: &Program) -> String {
    let results = results(program);
    let mut text = String::new();
    for (number, function) in program.functions().iter().enumerate() {
        let Some((returns, arguments)) = function.kinds.split_last() else { continue };
        let arguments = arguments.iter().enumerate().map(|(n, kind)| format!("a{n}: {}", type_of(*kind)));
        let arguments: Vec<String> = arguments.collect();
        let (returns, body) = (type_of(*returns), &function.body.wgsl);
        let _ = writeln!(
            text,
            "fn sabot_user_{number}({}) -> {returns} {{\n  {body}\n}}\n",
            arguments.join(", ")
        );
    }
    // A struct has a member at least.
    text.push_str("struct SabotRow {\n  failed: bool,\n");
    for (reg, kind) in &results {
        let _ = writeln!(text, "  {reg}: {},", type_of(*kind));
    }
    text.push_str("}\n\nfn sabot_row(row: u32) -> SabotRow {\n");
    Wgsl::instructions(&mut text, program, &vec![true; program.instructions().len()]);
    let failed = program.failed().map_or("false".to_owned(), |reg| reg.to_string());
    let _ = write!(text, "  return SabotRow({failed}");
    for (reg, _) in &results {
        let _ = write!(text, ", {reg}");
    }
    text.push_str(");\n}\n\n");
    text
}

/// The language of groupings.
struct Wgsl;

impl Wgsl {
    fn type_name(of: Type) -> &'static str {
        match of {
            Type::Value(kind) => type_of(kind),
            Type::Row => "SabotRow",
            Type::Keys => "SabotKeys",
            // Places in an array.
            Type::Words | Type::Record | Type::Wide => "u32",
        }
    }
}

impl Language for Wgsl {
    const APART: bool = true;
    const STRUCT_END: &'static str = "}";

    fn variable(name: &str, value: &str) -> String {
        format!("  var {name} = {value};\n")
    }

    fn instructions(text: &mut String, program: &Program, wanted: &[bool]) {
        let parameters = Parameters::of(program);
        for (at, (inst, kind)) in program.instructions().iter().enumerate().filter(|(at, _)| wanted[*at]) {
            let value = value(program, parameters, *inst, *kind);
            let _ = writeln!(text, "  let v{at} = {value};");
        }
    }

    fn head(name: &str, parameters: &[(&str, Type)], result: Option<Type>) -> String {
        let parameters: Vec<String> =
            parameters.iter().map(|(name, of)| format!("{name}: {}", Self::type_name(*of))).collect();
        let result = result.map_or(String::new(), |of| format!(" -> {}", Self::type_name(of)));
        format!("fn {name}({}){result}", parameters.join(", "))
    }

    fn call(name: &str, arguments: &[&str]) -> String {
        format!("{name}({})", arguments.join(", "))
    }

    fn word(kind: Kind, value: &str, number: usize) -> String {
        match kind {
            Kind::Bool => format!("select(0u, 1u, {value})"),
            Kind::U32 => value.to_owned(),
            Kind::I32 | Kind::F32 => format!("bitcast<u32>({value})"),
            _ if number == 0 => format!("u32(bitcast<u64>({value}) & 0xfffffffflu)"),
            _ => format!("u32(bitcast<u64>({value}) >> 32u)"),
        }
    }

    fn less(kind: Kind, a: &str, b: &str) -> String {
        match kind {
            Kind::Bool => format!("(!{a} && {b})"),
            Kind::F32 | Kind::F64 => format!("sabot_key_{0}({a}) < sabot_key_{0}({b})", suffix(kind)),
            _ => format!("{a} < {b}"),
        }
    }

    fn name(_of: Type, name: &str, value: &str) -> String {
        format!("  let {name} = {value};\n")
    }

    fn member(kind: Kind, name: &str) -> String {
        format!("{name}: {},", type_of(kind))
    }

    fn make(name: &str, members: &[String]) -> String {
        format!("  return {name}({});\n", members.join(", "))
    }

    fn read(table: Table, at: &str) -> String {
        format!("sabot_read{}({at})", table.ending())
    }

    fn read_wide(number: usize) -> String {
        format!("sabot_read_wide(wide + {number}u)")
    }

    fn write(at: &str, value: &str) -> String {
        format!("  sabot_output[{at}] = {value};\n")
    }
}

/// Why an instruction cannot be printed.
fn refusal(program: &Program, inst: Inst, kind: Kind, features: WgslFeatures) -> Option<String> {
    let missing = |what: &str| Some(format!("the device has no {what}"));
    match kind {
        Kind::I64 | Kind::U64 if !features.int64 => return missing("integers of 64 bits (SHADER_INT64)"),
        // Their bits are taken apart as integers.
        Kind::F64 if !features.float64 || !features.int64 => {
            return missing("floats of 64 bits (SHADER_F64)");
        }
        _ => {}
    }
    let exact = |kind: Kind| match kind {
        Kind::F32 => features.exact32,
        Kind::F64 => features.exact64,
        _ => true,
    };
    let inexact = || Some("arithmetic of floats that the device may round in its own way".to_owned());
    match inst {
        // Those of 32 bits are computed in 64, because WGSL's own have no bound that is worth the name.
        _ if inst.is_function(kind) => match features.float64 && features.int64 {
            true => (!(features.exact64 && exact(kind))).then(inexact).flatten(),
            false => missing("floats of 64 bits (SHADER_F64), in which functions of floats are computed"),
        },
        Inst::Unary(Unary::Sqrt | Unary::Floor | Unary::Ceil | Unary::Trunc | Unary::Round, _)
        | Inst::Binary(Binary::Add | Binary::Sub | Binary::Mul | Binary::Div, _, _)
            if !exact(kind) =>
        {
            inexact()
        }
        // Statements of users are arithmetic, too.
        Inst::Call(_, arguments) => {
            let inexact_argument = arguments.iter().flatten().any(|reg| !exact(program.kind(*reg)));
            (!exact(kind) || inexact_argument).then(inexact).flatten()
        }
        Inst::Convert(to, from) if to.is_float() || program.kind(from).is_float() => {
            (!exact(to) || !exact(program.kind(from))).then(inexact).flatten()
        }
        _ => None,
    }
}

fn type_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "bool",
        Kind::I32 => "i32",
        Kind::U32 => "u32",
        Kind::I64 => "i64",
        Kind::U64 => "u64",
        Kind::F32 => "f32",
        Kind::F64 => "f64",
    }
}

/// A parameter.
fn parameter(number: usize) -> String {
    format!("sabot_parameters[{number}]")
}

fn value(program: &Program, parameters: Parameters, inst: Inst, kind: Kind) -> String {
    match inst {
        Inst::Const { kind, bits } => constant(kind, bits),
        Inst::Load(number) => {
            load(program.inputs()[number as usize].storage, &parameter(parameters.input(number as usize)))
        }
        Inst::IsValid(number) => {
            let at = parameter(parameters.input_valid(number as usize));
            // A column that may be null need not have a bitmap.
            format!("sabot_is_valid({at}, row)")
        }
        Inst::Unary(op, a) => unary(op, program.kind(a), a),
        Inst::Binary(op, a, b) => binary(op, program.kind(a), a, b),
        Inst::Call(function, arguments) => super::call(function, arguments),
        Inst::Select(condition, a, b) if kind == Kind::Bool => {
            format!("({condition} & {a}) | ((!{condition}) & {b})")
        }
        Inst::Select(condition, a, b) => format!("select({b}, {a}, {condition})"),
        Inst::Convert(to, a) => convert(program.kind(a), to, a),
        Inst::Bitcast(to, a) => format!("bitcast<{}>({a})", type_of(to)),
    }
}

/// A constant. Floats that are not finite, and what WGSL cannot write, are made of their bits when the kernel runs, as
/// compilers refuse to fold them.
fn constant(kind: Kind, bits: u64) -> String {
    let zero = parameter(Parameters::ZERO);
    match kind {
        Kind::Bool => (bits != 0).to_string(),
        Kind::U32 => format!("{bits}u"),
        Kind::I32 => format!("bitcast<i32>({bits}u)"),
        Kind::U64 => format!("{bits}lu"),
        Kind::I64 => format!("bitcast<i64>({bits}lu)"),
        // Shifted, as the XOR of `sabot_apart` with the same word would undo it where the bits are zero.
        Kind::F32 => format!("bitcast<f32>({bits}u | ({zero} >> 1u))"),
        Kind::F64 => format!("bitcast<f64>({bits}lu | u64({zero} >> 1u))"),
    }
}

fn load(storage: Storage, at: &str) -> String {
    match storage {
        Storage::Bit => format!("sabot_bit({at}, row)"),
        Storage::I8 => format!("sabot_i8({at}, row)"),
        Storage::U8 => format!("sabot_u8({at}, row)"),
        Storage::I16 => format!("sabot_i16({at}, row)"),
        Storage::U16 => format!("sabot_u16({at}, row)"),
        Storage::I32 | Storage::F32 => {
            format!("bitcast<{}>(sabot_input[{at} + row])", type_of(storage.kind()))
        }
        Storage::U32 => format!("sabot_input[{at} + row]"),
        Storage::U64 => format!("sabot_u64({at}, row)"),
        Storage::I64 | Storage::F64 => format!("bitcast<{}>(sabot_u64({at}, row))", type_of(storage.kind())),
    }
}

/// The ending of the helper functions of a type.
fn suffix(kind: Kind) -> &'static str {
    type_of(kind)
}

fn unary(op: Unary, kind: Kind, a: Reg) -> String {
    match op {
        Unary::Not if kind == Kind::Bool => format!("!{a}"),
        Unary::Not => format!("~{a}"),
        // The sign bit of NaN and zero turns as well.
        Unary::Neg if kind == Kind::F32 => format!("bitcast<f32>(bitcast<u32>({a}) ^ 0x80000000u)"),
        Unary::Neg if kind == Kind::F64 => format!("bitcast<f64>(bitcast<u64>({a}) ^ 0x8000000000000000lu)"),
        Unary::Neg => format!("{}(0) - {a}", type_of(kind)),
        Unary::Abs if kind == Kind::F32 => format!("bitcast<f32>(bitcast<u32>({a}) & 0x7fffffffu)"),
        Unary::Abs => format!("bitcast<f64>(bitcast<u64>({a}) & 0x7ffffffffffffffflu)"),
        Unary::Sqrt => apart(kind, &format!("sqrt({a})")),
        Unary::Floor => format!("sabot_floor_{}({a})", suffix(kind)),
        Unary::Ceil => format!("sabot_ceil_{}({a})", suffix(kind)),
        Unary::Trunc => format!("sabot_trunc_{}({a})", suffix(kind)),
        Unary::Round => format!("sabot_round_{}({a})", suffix(kind)),
        Unary::IsNan => format!("sabot_is_nan_{}({a})", suffix(kind)),
        Unary::BitCount if kind.bits() == 64 => format!("sabot_bit_count_{}({a})", suffix(kind)),
        Unary::BitCount => format!("countOneBits({a})"),
        Unary::Math(function) => call_in_64(function.name(), kind, &[a]),
    }
}

fn binary(op: Binary, kind: Kind, a: Reg, b: Reg) -> String {
    if kind.is_float() {
        return match op {
            Binary::Eq => format!("sabot_key_{0}({a}) == sabot_key_{0}({b})", suffix(kind)),
            Binary::Lt => format!("sabot_key_{0}({a}) < sabot_key_{0}({b})", suffix(kind)),
            Binary::Le => format!("sabot_key_{0}({a}) <= sabot_key_{0}({b})", suffix(kind)),
            Binary::Add => apart(kind, &format!("{a} + {b}")),
            // A number and itself are told apart too: ∞ − ∞ is not 0.
            Binary::Sub => apart(kind, &format!("{a} - {}", apart(kind, &b.to_string()))),
            Binary::Mul => apart(kind, &format!("{a} * {b}")),
            Binary::Rem => call_in_64("rem", kind, &[a, b]),
            Binary::Pow => call_in_64("pow", kind, &[a, b]),
            Binary::Atan2 => call_in_64("atan2", kind, &[a, b]),
            _ => apart(kind, &format!("{a} / {}", apart(kind, &b.to_string()))),
        };
    }
    match op {
        Binary::Add => format!("{a} + {b}"),
        Binary::Sub => format!("{a} - {b}"),
        Binary::Mul => format!("{a} * {b}"),
        Binary::Div => format!("{a} / {b}"),
        Binary::Rem => format!("{a} % {b}"),
        Binary::MulHigh => format!("sabot_mul_high_{}({a}, {b})", suffix(kind)),
        Binary::And => format!("{a} & {b}"),
        Binary::Or => format!("{a} | {b}"),
        Binary::Xor if kind == Kind::Bool => format!("{a} != {b}"),
        Binary::Xor => format!("{a} ^ {b}"),
        Binary::Shl => format!("{a} << u32({b})"),
        Binary::Shr => format!("{a} >> u32({b})"),
        Binary::Eq => format!("{a} == {b}"),
        Binary::Lt => format!("{a} < {b}"),
        Binary::Le => format!("{a} <= {b}"),
        // Of floats only.
        Binary::Pow | Binary::Atan2 => format!("{op:?}({a}, {b})"),
    }
}

/// A function of floats, of which there are those of 64 bits.
fn call_in_64(name: &str, kind: Kind, arguments: &[Reg]) -> String {
    let arguments: Vec<String> = arguments
        .iter()
        .map(|reg| if kind == Kind::F32 { convert(Kind::F32, Kind::F64, *reg) } else { reg.to_string() })
        .collect();
    let value = format!("sabot_{name}_f64({})", arguments.join(", "));
    if kind == Kind::F32 { apart(Kind::F32, &format!("f32({value})")) } else { value }
}

fn convert(from: Kind, to: Kind, a: Reg) -> String {
    match (from, to) {
        // The low bits of a wider integer.
        (Kind::I64 | Kind::U64, Kind::I32 | Kind::U32) => {
            format!("bitcast<{}>(u32(bitcast<u64>({a}) & 0xfffffffflu))", type_of(to))
        }
        // Mesa 22.3 compares what was widened in the narrow type, and gets some comparisons with constants wrong.
        (Kind::I32, Kind::I64) => apart(to, &format!("i64({a})")),
        (Kind::I32, Kind::U64) => apart(to, &format!("bitcast<u64>(i64({a}))")),
        (Kind::U32, Kind::I64) => apart(to, &format!("bitcast<i64>(u64({a}))")),
        (Kind::U32, Kind::U64) => apart(to, &format!("u64({a})")),
        (Kind::I32, Kind::U32) | (Kind::U32, Kind::I32) | (Kind::I64, Kind::U64) | (Kind::U64, Kind::I64) => {
            format!("bitcast<{}>({a})", type_of(to))
        }
        (Kind::Bool, to) => format!("select({0}(0), {0}(1), {a})", type_of(to)),
        (from, to) if from.is_float() || to.is_float() => apart(to, &format!("{}({a})", type_of(to))),
        (_, to) => format!("{}({a})", type_of(to)),
    }
}

/// A value of which compilers do not know that it is this one.
fn apart(kind: Kind, value: &str) -> String {
    format!("sabot_apart_{}({value})", suffix(kind))
}
