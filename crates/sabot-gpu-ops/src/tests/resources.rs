//! What kernels take of a multiprocessor, as NVIDIA's compiler says it, for every architecture.
//!
//! `SABOT_NVCC` names the compiler; it needs no GPU. Registers decide how many warps hide each other's waiting, and a spill or
//! a stack frame is memory traffic that nobody wrote: there are none. The table in `kernels/resources.md` is what the compiler
//! said last; `SABOT_WRITE_GOLDEN=1` writes it again.

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use sabot_codegen::lower_filter_projects;
use sabot_expr::{Expr, FunctionRegistry, col, greatest, resolve, when};
use sabot_ops::{FilterProjectSpec, Projection};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{Dialect, KernelSource};

const ARCHITECTURES: [u32; 6] = [75, 80, 86, 90, 100, 120];

/// More registers leave fewer than half of the warps that a multiprocessor can hold.
const REGISTERS_MAX: u32 = 64;

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
    ]
}

fn source(predicate: Option<Expr>, exprs: Vec<Expr>) -> KernelSource {
    let schema = Schema::new(vec![
        Field::new("i", DataType::Int32, false),
        Field::new("j", DataType::Int64, false),
        Field::new("n", DataType::Int64, true),
        Field::new("x", DataType::Float64, false),
        Field::new("y", DataType::Float64, false),
        Field::new("t", DataType::Timestamp(TimeUnit::Microsecond, None), false),
    ]);
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
    // "Used 20 registers, used 0 barriers, 32 bytes smem", and before it what it keeps in memory.
    let before = |what: &str| {
        let at = said.find(what)?;
        said[..at].split_whitespace().last()?.parse::<u32>().ok()
    };
    for nothing in [" bytes stack frame", " bytes spill stores", " bytes spill loads"] {
        assert_eq!(before(nothing), Some(0), "sm_{architecture}:{nothing}\n{said}");
    }
    (before(" registers").unwrap(), before(" bytes smem").unwrap_or(0))
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
    for (name, predicate, exprs) in samples() {
        let source = source(predicate, exprs);
        write!(table, "\n| {name} |").unwrap();
        let mut shared_max = 0;
        for architecture in ARCHITECTURES {
            let (registers, shared) = compile(&nvcc, folder.path(), &source, architecture);
            assert!(registers <= REGISTERS_MAX, "{name} takes {registers} registers on sm_{architecture}");
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
