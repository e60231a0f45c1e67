//! What kernels take of a multiprocessor, as NVIDIA's compiler says it, for every architecture.
//!
//! `SABOT_NVCC` names the compiler; it needs no GPU. Registers decide how many warps hide each other's waiting, and a spill or
//! a stack frame is memory traffic that nobody wrote: there are none. The table in `kernels/resources.md` is what the compiler
//! said last; `SABOT_WRITE_GOLDEN=1` writes it again.

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use sabot_batch::hidden;
use sabot_codegen::{Fold, Tail, lower_filter_projects, lower_fragment};
use sabot_common::Span;
use sabot_expr::{Expr, FunctionRegistry, col, greatest, resolve, when};
use sabot_ops::{
    AggregateFunction, AggregateSpec, FilterProjectSpec, Fragment, GroupByMode, GroupBySpec, OperatorSpec,
    Projection, WindowAssignSpec,
};
use sabot_time::HoppingWindow;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use crate::{Dialect, KernelSource};

const ARCHITECTURES: [u32; 6] = [75, 80, 86, 90, 100, 120];

/// More registers leave fewer than half of the warps that a multiprocessor can hold.
const REGISTERS_MAX: u32 = 64;

/// What WGSL promises a workgroup; more leave room for fewer blocks.
const SHARED_MAX: u32 = 16 << 10;

/// Kernels that stand for all others: their name, a predicate, and what they compute.
fn samples() -> Vec<(&'static str, Option<Expr>, Vec<Expr>)> {
    let (i, j, n, x, y, t) = (col("i"), col("j"), col("n"), col("x"), col("y"), col("t"));
    vec![
        ("filter int32", Some(i.clone().gt(15)), vec![]),
        ("filter nullable int64", Some(n.clone().gt(15).or(n.clone().is_null())), vec![]),
        ("project a * b + c int64", None, vec![j.clone() * n.clone() + j.clone()]),
        ("project float64", None, vec![x.clone() * y.clone() + x.clone() / y.clone()]),
        (
            "filter and three columns",
            Some((j.clone() % 7).eq(3).and(x.clone().gt(0.5))),
            vec![j.clone() / 60, (x.clone() - y.clone()) * 2.0, i.clone().cast(DataType::Int16)],
        ),
        (
            "case, coalesce and greatest",
            Some(i.clone().in_list([1, 3, 5, 8])),
            vec![
                when(n.clone().gt(0)).then(n.clone() + 1).otherwise(j.clone()),
                greatest([n.clone(), j.clone()]),
                t.cast(DataType::Timestamp(TimeUnit::Second, None)),
            ],
        ),
        (
            "eight columns int8",
            Some(i.clone().gt(15)),
            (1..9i32).map(|number| i.clone().wrapping_add(number).cast(DataType::Int8)).collect(),
        ),
        ("twelve nullable columns", Some(col("n0").gt(0)), nullable_columns(12)),
        ("thirty nullable columns", Some(col("n0").gt(0)), nullable_columns(30)),
    ]
}

/// What is computed from so many columns; what has too many results for 64 registers is given 128.
fn nullable_columns(count: i64) -> Vec<Expr> {
    (0..count).map(|number| col(format!("n{number}")) / 3 + number).collect()
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("i", DataType::Int32, false),
        Field::new("j", DataType::Int64, false),
        Field::new("n", DataType::Int64, true),
        Field::new("x", DataType::Float64, false),
        Field::new("y", DataType::Float64, false),
        Field::new("t", DataType::Timestamp(TimeUnit::Microsecond, None), false),
        Field::new("s", DataType::Utf8, true),
        Field::new(hidden::TIME, DataType::Int64, false),
        Field::new(hidden::LATE, DataType::Int64, false),
    ]))
}

/// Group-bys that stand for all others: by which columns, in windows or not, and what is aggregated.
fn groupings() -> Vec<(&'static str, Vec<usize>, bool, Vec<AggregateSpec>)> {
    use AggregateFunction as F;
    let of = |function: F, column: usize| {
        let data_type = schema().field(column).data_type().clone();
        let name = format!("{}{column}", function.name());
        AggregateSpec::new(function, [(column, data_type)], name)
    };
    vec![
        ("no key, count and sum int64", vec![], false, vec![AggregateSpec::count("n"), of(F::Sum, 1)]),
        ("int32 key, sum int64", vec![0], false, vec![of(F::Sum, 1)]),
        ("int64 and float64 keys, min and max", vec![2, 3], false, vec![of(F::Min, 4), of(F::Max, 5)]),
        ("int32 key, avg float64", vec![0], false, vec![of(F::Avg, 3)]),
        (
            "window and text keys, count and two averages",
            vec![9, 6],
            true,
            vec![AggregateSpec::count("n"), of(F::Avg, 1), of(F::Avg, 2)],
        ),
    ]
}

fn grouped(keys: Vec<usize>, windowed: bool, aggregates: Vec<AggregateSpec>) -> KernelSource {
    let mut steps: Vec<OperatorSpec> = Vec::new();
    if windowed {
        let window = HoppingWindow::new(Span(10_800_000_000), Span(3_600_000_000), Span::ZERO).unwrap();
        steps.push(WindowAssignSpec { window: window.into(), allowed_lateness: Span::ZERO }.into());
    }
    let mode = GroupByMode::Partial;
    let hashed = (0..keys.len()).collect();
    steps.push(GroupBySpec { keys, hashed, seed: 0, aggregates, mode }.into());
    let lowered = lower_fragment(&Fragment::new(schema(), steps).unwrap()).unwrap();
    let Tail::Groups(groups) = lowered.tail else { panic!("rows stay rows") };
    KernelSource::group_by(lowered.program, groups.grouping, Dialect::Cuda).unwrap()
}

fn source(predicate: Option<Expr>, exprs: Vec<Expr>) -> KernelSource {
    let nullable = (0..30).map(|number| Field::new(format!("n{number}"), DataType::Int64, true));
    let fields =
        schema().fields().iter().map(|field| field.as_ref().clone()).chain(nullable).collect::<Vec<_>>();
    let schema = Schema::new(fields);
    let typed = |expr: Expr| resolve(&expr, &schema, &FunctionRegistry::new()).unwrap();
    let projections = exprs
        .into_iter()
        .enumerate()
        .map(|(number, expr)| Projection { name: format!("p{number}"), expr: typed(expr) })
        .collect();
    let spec = FilterProjectSpec { predicate: predicate.map(typed), projections, carried: Vec::new() };
    let program = lower_filter_projects(&[&spec]).unwrap().program;
    KernelSource::filter_project(program, Dialect::Cuda).unwrap()
}

/// Registers and bytes of shared memory.
fn compile(nvcc: &str, folder: &Path, source: &KernelSource, architecture: u32) -> (u32, u32) {
    let text = folder.join("kernel.cu");
    fs::write(&text, &source.text).unwrap();
    let output = Command::new(nvcc)
        .args(["-cubin", "-Xptxas", "-v", "-arch"])
        .arg(format!("sm_{architecture}"))
        .arg("-o")
        .arg(folder.join("kernel.cubin"))
        .arg(&text)
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", source.text);
    // "Used 20 registers, used 0 barriers, 32 bytes smem", and before it what it keeps in memory; once an entry.
    let before = |what: &str| -> Vec<u32> {
        let ends = said.match_indices(what).map(|(at, _)| &said[..at]);
        ends.filter_map(|text| text.split_whitespace().last()?.parse().ok()).collect()
    };
    for nothing in [" bytes stack frame", " bytes spill stores", " bytes spill loads"] {
        assert_eq!(before(nothing), vec![0; source.entries.len()], "sm_{architecture}:{nothing}\n{said}");
    }
    let most = |what: &str| before(what).into_iter().max();
    (most(" registers").unwrap(), most(" bytes smem").unwrap_or(0))
}

/// What a disassembler says of the machine code that was compiled last.
fn disassembled(nvdisasm: &str, folder: &Path) -> String {
    let output = Command::new(nvdisasm).arg("-c").arg(folder.join("kernel.cubin")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The names of instructions: of "/*0010*/  @P0 LDG.E.64 R2, [R2] ;" it is "LDG.E.64".
fn instructions<'a>(code: &'a str) -> Vec<&'a str> {
    let name = |(_, code): (&str, &'a str)| code.split_whitespace().find(|word| !word.starts_with('@'));
    code.lines().filter_map(|line| line.split_once("*/")).filter_map(name).collect()
}

/// How many words are read between a jump and the first vote without waiting for one of them.
fn read_at_once(code: &str) -> usize {
    let lines: Vec<&str> = code.lines().filter_map(|line| Some(line.split_once("*/")?.1)).collect();
    let voted = lines.iter().position(|line| line.contains("VOTE")).unwrap_or(0);
    let jumped = lines[..voted].iter().rposition(|line| line.contains("BRA")).unwrap_or(0);
    // Of "@!P0 LDG.E.CONSTANT R8, desc[UR6][R8.64] ;" what it reads to.
    let target = |line: &str| {
        Some(line.split_once("LDG.E.CONSTANT")?.1.split_once(' ')?.1.trim().split(',').next()?.to_owned())
    };
    let mut waited_for: Vec<String> = Vec::new();
    let mut most = 0;
    for line in &lines[jumped..voted] {
        // Behind what a load reads to is where.
        let used = line
            .split_once("LDG")
            .map_or(*line, |(_, load)| load.split_once(',').map_or("", |(_, rest)| rest));
        let mut words = used.split(|c: char| !c.is_alphanumeric());
        if words.any(|word| waited_for.iter().any(|register| register == word)) {
            waited_for.clear();
        }
        waited_for.extend(target(line));
        most = most.max(waited_for.len());
    }
    most
}

/// Whether there is an instruction of this kind.
fn has(code: &str, what: impl Fn(&str) -> bool) -> bool {
    instructions(code).into_iter().any(what)
}

/// Nothing lies in local memory, no atomic operation of shared memory is a loop that spins, and what is added up in the table of a
/// launch is added by the memory itself.
#[test]
fn kernels_are_the_machine_code_that_they_were_written_to_be() {
    let (Ok(nvcc), Ok(nvdisasm)) = (std::env::var("SABOT_NVCC"), std::env::var("SABOT_NVDISASM")) else {
        println!("skipped: SABOT_NVCC and SABOT_NVDISASM do not name NVIDIA's compiler and disassembler");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let disassemble = |source: &KernelSource, architecture| {
        compile(&nvcc, folder.path(), source, architecture);
        disassembled(&nvdisasm, folder.path())
    };
    let rows = samples().into_iter().map(|(name, predicate, exprs)| (name, source(predicate, exprs)));
    let groups = groupings()
        .into_iter()
        .map(|(name, keys, windowed, aggregates)| (name, grouped(keys, windowed, aggregates)));
    for (name, source) in rows.chain(groups) {
        for architecture in ARCHITECTURES {
            let code = disassemble(&source, architecture);
            let what = format!("{name} on sm_{architecture}");
            if name == "filter int32" {
                // Where columns may have bitmaps, compilers jump between readings.
                let all_live = source.text.replace("live = parameters[SABOT_LIVE]", "live = SABOT_NOWHERE");
                assert_ne!(all_live, source.text);
                let code = disassemble(&KernelSource { text: all_live, ..source.clone() }, architecture);
                let read = read_at_once(&code);
                assert_eq!((read, source.rows_each), (4, 4), "{what}\n{code}");
            }
            assert!(has(&code, |i| i.starts_with("LDG")) && has(&code, |i| i == "EXIT"), "{what}:\n{code}");
            assert!(!has(&code, |i| i.starts_with("LDL") || i.starts_with("STL")), "{what}: local memory");
            assert!(!has(&code, |i| i.contains("SPIN")), "{what}: an atomic operation spins");
            if name == "eight columns int8" {
                assert!(source.is_packed() && source.rows_each == 2, "{what}: {} rows", source.rows_each);
            }
            assert_eq!(has(&code, |i| i.starts_with("SHFL")), source.grouping.is_some(), "{what}:\n{code}");
            let folds = source.grouping.iter().flat_map(|grouping| &grouping.accumulators);
            for accumulator in folds {
                // Without an answer: nobody waits for what stood there.
                let added = match accumulator.fold {
                    Fold::SumFloats => "F64",
                    Fold::Sum => "ADD.64",
                    Fold::Count | Fold::Best { .. } => continue,
                };
                let adds = |i: &str| i.starts_with("RED") && i.contains(added);
                assert!(has(&code, adds), "{what}: sums are not added by the memory:\n{code}");
            }
        }
    }
    // A sum of 64 bits in shared memory is what spins.
    let spins = "extern \"C\" __global__ void spins(unsigned long long* out) {\n  __shared__ unsigned long long sum;\n  \
                 sum = 0;\n  __syncthreads();\n  atomicAdd(&sum, out[threadIdx.x]);\n  __syncthreads();\n  out[0] = sum;\n}\n";
    let (_, predicate, exprs) = samples().remove(0);
    let canary = KernelSource { text: spins.to_owned(), ..source(predicate, exprs) };
    assert!(has(&disassemble(&canary, 90), |i| i.contains("SPIN")), "the check finds nothing");
}

#[test]
fn kernels_spill_nothing_and_take_what_the_table_says() {
    let Ok(nvcc) = std::env::var("SABOT_NVCC") else {
        println!(
            "skipped: SABOT_NVCC does not name NVIDIA's compiler (PyPI: nvidia-cuda-nvcc, nvidia-cuda-runtime)"
        );
        return;
    };
    let version = Command::new(&nvcc).arg("--version").output().unwrap();
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let release = version.split("release ").nth(1).and_then(|rest| rest.split(',').next()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut table = format!(
        "# What kernels take\n\nRegisters a thread on each architecture, and bytes of shared memory a block, as nvcc {release} has \
         it. No kernel spills, and none has a stack frame. Written by the test `kernels_spill_nothing_and_take_what_the_table_says` \
         of `sabot-gpu-ops`.\n\n| kernel |"
    );
    ARCHITECTURES.iter().for_each(|architecture| write!(table, " sm_{architecture} |").unwrap());
    table.push_str(" shared |\n|---|");
    table.push_str(&"---:|".repeat(ARCHITECTURES.len() + 1));
    let all = samples().into_iter().map(|(name, predicate, exprs)| (name, source(predicate, exprs)));
    let all = all.chain(
        groupings()
            .into_iter()
            .map(|(name, keys, windowed, aggregates)| (name, grouped(keys, windowed, aggregates))),
    );
    for (name, source) in all {
        write!(table, "\n| {name} |").unwrap();
        let mut shared_max = 0;
        for architecture in ARCHITECTURES {
            let (registers, shared) = compile(&nvcc, folder.path(), &source, architecture);
            assert!(
                shared <= SHARED_MAX,
                "{name} takes {shared} bytes of shared memory on sm_{architecture}"
            );
            let most =
                if source.text.contains("SABOT_BLOCKS 2u") { 2 * REGISTERS_MAX } else { REGISTERS_MAX };
            assert!(registers <= most, "{name} takes {registers} registers on sm_{architecture}");
            shared_max = shared_max.max(shared);
            write!(table, " {registers} |").unwrap();
        }
        write!(table, " {shared_max} |").unwrap();
    }
    table.push('\n');
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../kernels/resources.md");
    if std::env::var_os("SABOT_WRITE_GOLDEN").is_some() {
        fs::write(path, &table).unwrap();
    }
    assert_eq!(fs::read_to_string(path).unwrap(), table, "kernels/resources.md is out of date");
}
