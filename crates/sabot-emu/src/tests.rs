//! The CUDA text of kernels against their meaning, and kernels that are broken on purpose.

use arrow::array::RecordBatch;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sabot_codegen::testing::{random_batch, random_spec};
use sabot_codegen::{Program, evaluate, lower_filter_projects};
use sabot_gpu_ops::testing::{check_group_bys, records_of_groups};
use sabot_gpu_ops::{
    Device, Dialect, Fault, GpuBackend, GpuOptions, KernelSource, TILE, run_in_groups, run_once, same_row,
};
use sabot_ops::FilterProjectSpec;
use sabot_ops::conformance::{self, Options, Required};
use std::sync::Arc;

use crate::{EmuDevice, EmuOptions};

/// A device; a machine without a compiler is told so.
fn device(options: EmuOptions) -> Option<Arc<EmuDevice>> {
    match EmuDevice::new(options) {
        Ok(device) => Some(device),
        Err(error) => {
            println!("skipped: {error}");
            None
        }
    }
}

/// How many random programs are compiled; each has two expressions and most of them a predicate.
fn programs() -> usize {
    std::env::var("SABOT_RANDOM_PROGRAMS").map_or(60, |text| text.parse().unwrap())
}

/// Where the random programs begin; another seed gives others.
fn seed() -> u64 {
    std::env::var("SABOT_RANDOM_SEED").map_or(0xcafe, |text| text.parse().unwrap())
}

/// How many kernels are compiled together.
const TOGETHER: usize = 24;

#[test]
fn random_programs_are_what_they_are_by_hand() {
    let mut rng = ChaCha8Rng::seed_from_u64(seed());
    let Some(mut plain) = device(EmuOptions::default()) else { return };
    let Some(mut checked) = device(EmuOptions { sanitize: true, seed: 7 }) else { return };
    let mut case = 0;
    // Kernels of which a thread takes several rows at once.
    let mut several = 0;
    while case < programs() {
        if case > 0 && case % (100 * TOGETHER) == 0 {
            // Files of kernels that were run go away with their device.
            plain = EmuDevice::new(EmuOptions::default()).unwrap();
            checked = EmuDevice::new(EmuOptions { sanitize: true, seed: 7 }).unwrap();
        }
        let device = if (case / TOGETHER).is_multiple_of(8) { &*checked } else { &*plain };
        let drawn: Vec<_> = (0..TOGETHER.min(programs() - case))
            .map(|number| {
                // Some have more rows than any tile.
                let batch = random_batch(&mut rng, if number % 4 == 0 { 1_100 } else { 300 });
                let spec = random_spec(&mut rng, &batch.schema(), Program::is_exact);
                let program = lower_filter_projects(&[&spec]).unwrap().program;
                (batch, spec, KernelSource::filter_project(program, Dialect::Cuda).unwrap())
            })
            .collect();
        let sources: Vec<KernelSource> = drawn.iter().map(|(_, _, source)| source.clone()).collect();
        device.compile_together(&sources).unwrap();
        for (batch, spec, source) in drawn {
            check(device, &batch, &spec, &source, case);
            several += usize::from(source.tile_rows() > TILE);
            case += 1;
        }
    }
    assert!(several > case / 20 && several < case, "{several} of {case} kernels take several rows at once");
}

/// Holds a kernel against what its program is by hand.
fn check(
    device: &dyn Device,
    batch: &RecordBatch,
    spec: &FilterProjectSpec,
    source: &KernelSource,
    case: usize,
) {
    let program = &source.program;
    // With one block, which takes one tile after the other, or with two.
    let ran = run_in_groups(device, source, batch.columns(), 1 + case as u32 % 2).unwrap();
    let mut failed = false;
    for row in 0..batch.num_rows() {
        let (found, wanted) = (ran.row(row), evaluate(program, batch.columns(), row));
        failed |= wanted.failed;
        // A row that is an error has no values: what lies in a register need not fit its column.
        let same = wanted.failed || same_row(program, found, &wanted);
        assert!(
            same,
            "case {case}, row {row}: {spec}\nfound {found:x?}\nwanted {wanted:x?}\n{:?}\n{}",
            batch.slice(row, 1),
            source.text
        );
    }
    assert_eq!(ran.failed(), failed, "case {case}: {spec}");
}

#[test]
fn the_suite_passes() {
    let Some(device) = device(EmuOptions::default()) else { return };
    let backend = GpuBackend::new(device, GpuOptions::default());
    let required = Required::parse(include_str!("../../../conformance/required/cuda.txt")).unwrap();
    // The operators that there are kernels of.
    for only in ["filter-project/", "window-assign/", "group-by/", "partition/", "fragment/"] {
        let options = Options { only: Some(only.to_owned()), ..Options::quick() };
        let report = conformance::run(&backend, &options);
        assert!(report.failed.is_empty(), "{report}");
        println!("{only}: {} passed, {} refused", report.passed.len(), report.refused.len());
        let shortfall = required.check(&report);
        assert!(shortfall.is_empty(), "{shortfall}");
    }
}

/// How many random group-bys a device is given.
fn group_bys() -> usize {
    std::env::var("SABOT_RANDOM_GROUPS").map_or(60, |text| text.parse().unwrap())
}

#[test]
fn random_group_bys_are_those_of_the_reference() {
    let Some(plain) = device(EmuOptions { seed: 3, ..EmuOptions::default() }) else { return };
    let Some(checked) = device(EmuOptions { sanitize: true, seed: 4 }) else { return };
    let groups = group_bys();
    let few = check_group_bys(plain.clone(), groups, 1_000, 11).unwrap();
    assert!(few.groups > 10 * groups && few.late > 0, "{few:?}");
    check_group_bys(checked, groups / 8, 1_000, 12).unwrap();
    // More than are fetched with the first answer, and than the first table holds.
    let many = check_group_bys(plain, groups / 6, 20_000, 13).unwrap();
    assert!(many.groups > 10_000 && many.grown > 0, "{many:?}");
}

/// Rows that fill whole lines of a slab, and no whole tile: what is read behind them is nobody's.
const ROWS: usize = 33 * 32;

/// A kernel that is broken by replacing some of its text: whether its results are right nevertheless.
fn broken(what: &str, by: &str) -> Result<bool, Fault> {
    changed(EmuOptions { sanitize: true, seed: 1 }, |text| {
        assert!(what.is_empty() || text.contains(what), "the kernel has no {what}");
        text.replace(what, by)
    })
}

fn changed(options: EmuOptions, change: impl Fn(&str) -> String) -> Result<bool, Fault> {
    use arrow::array::{ArrayRef, Int64Array};
    use arrow::record_batch::RecordBatch;
    let device = EmuDevice::new(options).unwrap();
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..ROWS as i64));
    let batch = RecordBatch::try_from_iter([("n", column)]).unwrap();
    let registry = sabot_expr::FunctionRegistry::new();
    let typed = |expr| sabot_expr::resolve(&expr, batch.schema_ref(), &registry).unwrap();
    let spec = sabot_ops::FilterProjectSpec {
        predicate: Some(typed(sabot_expr::col("n").gt(500))),
        projections: vec![sabot_ops::Projection { name: "m".into(), expr: typed(sabot_expr::col("n") + 1) }],
        carried: Vec::new(),
    };
    let program = lower_filter_projects(&[&spec]).unwrap().program;
    let mut source = KernelSource::filter_project(program.clone(), Dialect::Cuda).unwrap();
    source.text = change(&source.text);
    let ran = run_in_groups(&*device, &source, batch.columns(), 2)?;
    Ok((0..ROWS).all(|row| {
        let (found, wanted) = (ran.row(row), evaluate(&program, batch.columns(), row));
        found.keep == wanted.keep && (!wanted.keep || found.outputs == wanted.outputs)
    }))
}

#[test]
fn a_missing_bound_and_a_divergent_collective_are_caught() {
    if device(EmuOptions::default()).is_none() {
        return;
    }
    assert_eq!(broken("", ""), Ok(true));
    let out_of_bounds = broken("row < rows ? row : rows - 1", "row").unwrap_err().to_string();
    assert!(out_of_bounds.contains("heap-buffer-overflow"), "{out_of_bounds}");
    // Lanes that are not alone in their warp leave it before the others vote.
    let divergent =
        broken("bool failed = false;", "bool failed = false; if (threadIdx.x == 70) return;").unwrap_err();
    assert!(divergent.to_string().contains("a lane that has ended"), "{divergent}");
    let misnamed = broken("__any_sync(0xffffffffu", "__any_sync(1u << (threadIdx.x & 31u) ^ 1u").unwrap_err();
    assert!(misnamed.to_string().contains("mask"), "{misnamed}");
    // A wrong result is seen as well.
    assert_eq!(broken("bits[each] >> bitmap & 1u", "bits[each] >> bitmap & 0u"), Ok(false));
}

/// Text without one of its barriers.
fn without_barrier(text: &str, number: usize) -> String {
    const BARRIER: &str = "__syncthreads();";
    let (at, _) = text.match_indices(BARRIER).nth(number).unwrap();
    [&text[..at], &text[at + BARRIER.len()..]].concat()
}

/// Counts of warps that are read before they are written, and a chunk that nobody has claimed yet.
#[test]
fn a_missing_barrier_between_kept_rows_is_caught() {
    if device(EmuOptions::default()).is_none() {
        return;
    }
    for seed in 0..8 {
        let options = EmuOptions { sanitize: false, seed };
        assert_eq!(changed(options, str::to_owned), Ok(true));
        for barrier in [0, 1] {
            let ran = changed(options, |text| without_barrier(text, barrier));
            assert_ne!(ran, Ok(true), "seed {seed}: barrier {barrier} is missing");
        }
    }
}

/// A table that some threads read before others have emptied it, or give away before others have filled it.
#[test]
fn a_missing_barrier_is_caught() {
    use arrow::array::{ArrayRef, Int64Array};
    use arrow::record_batch::RecordBatch;
    use sabot_ops::{AggregateSpec, Fragment, GroupByMode, GroupBySpec};
    if device(EmuOptions::default()).is_none() {
        return;
    }
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values((0..4_000).map(|n| n % 7)));
    let batch = RecordBatch::try_from_iter([("n", column)]).unwrap();
    let aggregates = vec![AggregateSpec::count("rows")];
    let mode = GroupByMode::Partial;
    let spec = GroupBySpec { keys: vec![0], hashed: vec![0], seed: 0, aggregates, mode };
    let fragment = Fragment::new(batch.schema(), vec![spec.into()]).unwrap();
    for seed in 0..8 {
        // None is missing, the first, or the second.
        let counts = [None, Some(0), Some(1)].map(|missing| {
            let device = EmuDevice::new(EmuOptions { sanitize: false, seed }).unwrap();
            let edit = move |text: &str| match missing {
                None => text.to_owned(),
                Some(number) => without_barrier(text, number),
            };
            let records = records_of_groups(&*device, &fragment, &batch, edit)?;
            Ok::<_, String>(records.into_iter().map(|record| (record[0], record[1])).collect::<Vec<_>>())
        });
        let wanted: Vec<(u32, u32)> = (0..7).map(|n| (n, if n < 3 { 572 } else { 571 })).collect();
        assert_eq!(counts[0].as_ref(), Ok(&wanted));
        assert!(counts[1].as_ref() != Ok(&wanted), "seed {seed}: the first barrier is missing");
        assert!(counts[2].as_ref() != Ok(&wanted), "seed {seed}: the second barrier is missing");
    }
}

/// Without a key all rows of a warp are added up in a tree; a tree without a branch, and one with the values of nulls, are seen.
#[test]
fn rows_of_one_group_are_added_up() {
    use arrow::array::{Array, ArrayRef, Int64Array, UInt64Array};
    use arrow::buffer::NullBuffer;
    use arrow::record_batch::RecordBatch;
    use sabot_ops::{AggregateFunction, AggregateSpec, Fragment, GroupByMode, GroupBySpec};
    let Some(device) = device(EmuOptions { sanitize: true, seed: 5 }) else { return };
    let extreme = |n: i64| [i64::MIN, i64::MAX, -1, n, -n * 5_000_000_000][n as usize % 5];
    let nulls = NullBuffer::from((0..4_000).map(|n| n % 3 > 0).collect::<Vec<_>>());
    let signed: ArrayRef =
        Arc::new(Int64Array::new((0..4_000).map(extreme).collect::<Vec<_>>().into(), Some(nulls.clone())));
    let unsigned: ArrayRef = Arc::new(UInt64Array::new(
        (0..4_000).map(|n| extreme(n) as u64).collect::<Vec<_>>().into(),
        Some(nulls),
    ));
    for (column, is_signed) in [(signed, true), (unsigned, false)] {
        let batch = RecordBatch::try_from_iter_with_nullable([("n", column.clone(), true)]).unwrap();
        let of = |function| AggregateSpec::new(function, [(0, column.data_type().clone())], "a");
        let aggregates = vec![of(AggregateFunction::Sum)];
        let spec =
            GroupBySpec { keys: vec![], hashed: vec![], seed: 0, aggregates, mode: GroupByMode::Partial };
        let fragment = Fragment::new(batch.schema(), vec![spec.into()]).unwrap();
        let values = (0..4_000).filter(|n| n % 3 > 0).map(extreme);
        let sum: i128 = values.map(|n| if is_signed { i128::from(n) } else { i128::from(n as u64) }).sum();
        let wanted = Ok([0, sum as u32, (sum >> 32) as u32, (sum >> 64) as u32]);
        let broken = |what: &str, by: &str| {
            let edit = |text: &str| {
                assert!(text.contains(what), "the kernel has no {what}");
                text.replace(what, by)
            };
            records_of_groups(&*device, &fragment, &batch, edit).map(|records| {
                assert_eq!(records.len(), 1);
                [0, 1, 2, 3].map(|word| records[0][word])
            })
        };
        assert_eq!(broken("delta = 16", "delta = 16"), wanted);
        assert_ne!(broken("delta = 16", "delta = 8"), wanted);
        assert_ne!(broken("(counts ?", "(is_taken ?"), wanted);
    }
}

/// A register of a narrow type may hold anything where it is null, also what no quotient exists of.
#[test]
fn no_operand_can_trap() {
    use arrow::array::{ArrayRef, Int32Array};
    use arrow::datatypes::DataType;
    use arrow::record_batch::RecordBatch;
    let Some(device) = device(EmuOptions { sanitize: true, seed: 3 }) else { return };
    let x: ArrayRef = Arc::new(Int32Array::from(vec![i32::MIN, 7, -128, i32::MIN]));
    let y: ArrayRef = Arc::new(Int32Array::from(vec![-1, 0, 300, 0]));
    let batch = RecordBatch::try_from_iter([("x", x), ("y", y)]).unwrap();
    let registry = sabot_expr::FunctionRegistry::new();
    let byte = |name: &str| sabot_expr::col(name).try_cast(DataType::Int8);
    let exprs = [byte("x") / sabot_expr::coalesce([byte("y"), sabot_expr::lit(1i8)]), byte("x") % byte("y")];
    for expr in exprs {
        let expr = sabot_expr::resolve(&expr, batch.schema_ref(), &registry).unwrap();
        let projections = vec![sabot_ops::Projection { name: "q".into(), expr }];
        let spec = sabot_ops::FilterProjectSpec { predicate: None, projections, carried: Vec::new() };
        let program = lower_filter_projects(&[&spec]).unwrap().program;
        let source = KernelSource::filter_project(program.clone(), Dialect::Cuda).unwrap();
        let ran = run_once(&*device, &source, batch.columns()).unwrap();
        for row in 0..batch.num_rows() {
            assert_eq!(ran.row(row).outputs, evaluate(&program, batch.columns(), row).outputs, "row {row}");
        }
    }
}
