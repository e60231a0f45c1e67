//! The conformance suite on whatever adapter there is.

use arrow::array::{ArrayRef, Float64Array, RecordBatch};
use arrow::datatypes::DataType;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sabot_codegen::testing::{random_batch, random_spec};
use sabot_codegen::{Program, evaluate, lower_filter_projects};
use sabot_expr::{Expr, FunctionRegistry, col};
use sabot_gpu_ops::testing::{check_group_bys, check_measured};
use sabot_gpu_ops::{Device, GpuBackend, GpuOptions, KernelSource, run_in_groups, run_once, same_row};
use sabot_ops::conformance::{self, Options, Required};
use sabot_ops::{FilterProjectSpec, Projection};
use std::sync::Arc;

use crate::{WgpuDevice, WgpuOptions};

/// The first adapter; a machine without any is told so, or fails where `SABOT_REQUIRE_ADAPTER` says that there is one.
fn device(options: WgpuOptions) -> Option<Arc<WgpuDevice>> {
    match WgpuDevice::open(0, options) {
        Ok(device) => Some(device),
        Err(error) => {
            assert!(std::env::var_os("SABOT_REQUIRE_ADAPTER").is_none(), "{error}");
            println!("skipped: {error}");
            None
        }
    }
}

/// The operators that there are kernels of.
const OPERATORS: [&str; 5] = ["filter-project/", "window-assign/", "group-by/", "partition/", "fragment/"];

#[test]
fn the_suite_passes_on_the_first_adapter() {
    let Some(device) = device(WgpuOptions::default()) else { return };
    println!("{:?}", device.summary());
    let backend = GpuBackend::new(device, GpuOptions::default());
    let required = Required::parse(include_str!("../../../conformance/required/wgpu.txt")).unwrap();
    for only in OPERATORS {
        let options = Options { only: Some(only.to_owned()), ..Options::quick() };
        let report = conformance::run(&backend, &options);
        assert!(report.failed.is_empty(), "{report}");
        println!("{only}: {} passed, {} refused", report.passed.len(), report.refused.len());
        let shortfall = required.check(&report);
        // A device may lack what the one of the file has, and has to say so.
        let is_lost = |(_, reason): &(String, String)| !reason.contains("the device");
        assert!(shortfall.unlisted.is_empty() && !shortfall.lost.iter().any(is_lost), "{shortfall}");
    }
    println!("{:?}", backend.counters().all());
}

/// Fragments with integers of 64 bits and floats are refused by name, and nothing else goes wrong.
#[test]
fn a_device_without_wide_numbers_passes_what_it_has_on_the_first_adapter() {
    let Some(device) = device(WgpuOptions { int64: false, float64: false, ..WgpuOptions::default() }) else {
        return;
    };
    let backend = GpuBackend::new(device, GpuOptions::default());
    let report = conformance::run(
        &backend,
        &Options { only: Some("filter-project/compare".to_owned()), ..Options::quick() },
    );
    assert!(report.failed.is_empty(), "{report}");
    let supported = report.supported_cells();
    assert!(
        supported.contains("filter-project/compare/int32")
            && !supported.contains("filter-project/compare/int64")
    );
    let reasons: Vec<&str> = report.refused.iter().map(|(_, reason)| reason.as_str()).collect();
    assert!(reasons.contains(&"the device has no integers of 64 bits (SHADER_INT64)"), "{reasons:?}");
}

/// How far a function is from the host's, in units of the last place, over numbers of all sizes.
#[test]
fn functions_of_floats_keep_their_bounds_on_the_first_adapter() {
    let Some(device) = device(WgpuOptions::default()) else { return };
    let mut rng = ChaCha8Rng::seed_from_u64(0xf10a7);
    let special = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        f64::MIN_POSITIVE,
        5e-324,
        f64::MAX,
    ];
    let rows = 40_000;
    let mut draw = |_| -> f64 {
        let of_all = |rng: &mut ChaCha8Rng| f64::from_bits(rng.random());
        match rng.random_range(0..8) {
            0 => special[rng.random_range(0..special.len())],
            1 => of_all(&mut rng),
            2 => rng.random_range(-1.0..1.0),
            3 => rng.random_range(-20.0..20.0),
            4 => rng.random_range(-750.0..750.0),
            5 => f64::from(rng.random_range(-40..40)),
            // Close to multiples of a quarter of a circle, where sines and tangents vanish.
            6 => f64::from(rng.random_range(-100_000..100_000)) * std::f64::consts::FRAC_PI_2,
            _ => 1.0 + rng.random_range(-1e-3..1e-3),
        }
    };
    let columns: [ArrayRef; 2] =
        [0, 1].map(|_| Arc::new(Float64Array::from_iter_values((0..rows).map(&mut draw))) as ArrayRef);
    let narrow = columns.clone().map(|column| arrow::compute::cast(&column, &DataType::Float32).unwrap());
    let mut all = vec![("x", columns[0].clone()), ("y", columns[1].clone())];
    all.extend([("u", narrow[0].clone()), ("v", narrow[1].clone())]);
    let batch = RecordBatch::try_from_iter(all).unwrap();
    let names = [
        "cbrt", "exp", "ln", "log2", "log10", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh",
        "tanh", "power", "atan2", "mod",
    ];
    for name in names {
        for (a, b) in [("x", "y"), ("u", "v")] {
            let expr = match name {
                "mod" => col(a) % col(b),
                "power" | "atan2" => Expr::Function { name: name.to_owned(), args: vec![col(a), col(b)] },
                _ => Expr::Function { name: name.to_owned(), args: vec![col(a)] },
            };
            let expr = sabot_expr::resolve(&expr, batch.schema_ref(), &FunctionRegistry::new()).unwrap();
            let projections = vec![Projection { name: "p".into(), expr }];
            let spec = FilterProjectSpec { predicate: None, projections, carried: Vec::new() };
            let program = lower_filter_projects(&[&spec]).unwrap().program;
            let source = match KernelSource::filter_project(program.clone(), device.dialect()) {
                Ok(source) => source,
                Err(refused) => {
                    assert!(std::env::var_os("SABOT_REQUIRE_ADAPTER").is_none(), "{name}: {refused}");
                    println!("skipped: {name}: {refused}");
                    continue;
                }
            };
            let ran = run_once(&*device, &source, batch.columns()).unwrap();
            assert!(!ran.failed(), "{name}");
            let mut farthest = 0;
            for row in 0..batch.num_rows() {
                let (found, wanted) = (ran.row(row), evaluate(&program, batch.columns(), row));
                assert_eq!(found.outputs[0].is_some(), wanted.outputs[0].is_some(), "{name}, row {row}");
                let (Some(found), Some(wanted)) = (found.outputs[0], wanted.outputs[0]) else { continue };
                let units = match a {
                    "u" => units_between(found, wanted, f32::INFINITY.to_bits().into(), 1 << 31),
                    _ => units_between(found, wanted, f64::INFINITY.to_bits(), 1 << 63),
                };
                let bound = if name == "mod" { 0 } else { 2 };
                assert!(
                    units <= bound,
                    "{name}: {units} units off, found {found:x}, wanted {wanted:x}, row {:?}",
                    batch.slice(row, 1)
                );
                farthest = farthest.max(units);
            }
            println!(
                "{name} of {}: {farthest} units at most",
                batch.schema().field_with_name(a).unwrap().data_type()
            );
        }
    }
}

/// Units of the last place between two numbers, given by their bits; 0 where both are no numbers.
fn units_between(a: u64, b: u64, infinity: u64, sign: u64) -> u64 {
    let ordered = |bits: u64| {
        let size = (bits & !sign) as i64;
        if bits & sign == 0 { size } else { -size }
    };
    match [a, b].map(|bits| bits & !sign > infinity) {
        [true, true] => 0,
        [false, false] => ordered(a).abs_diff(ordered(b)),
        _ => u64::MAX,
    }
}

/// How many random programs a device is given; each kernel has two expressions and half of them a predicate.
fn programs() -> usize {
    std::env::var("SABOT_RANDOM_PROGRAMS").map_or(100, |text| text.parse().unwrap())
}

/// Where the random programs begin; another seed gives others.
fn seed() -> u64 {
    std::env::var("SABOT_RANDOM_SEED").map_or(0x369, |text| text.parse().unwrap())
}

#[test]
fn random_programs_are_what_they_are_by_hand_on_the_first_adapter() {
    let Some(device) = device(WgpuOptions::default()) else { return };
    let mut rng = ChaCha8Rng::seed_from_u64(seed());
    for case in 0..programs() {
        let batch = random_batch(&mut rng, 600);
        let dialect = device.dialect();
        // What is made of a last digit may differ wholly; functions that may be off are tested by themselves.
        let prints = |program: &Program| {
            program.is_exact() && KernelSource::filter_project(program.clone(), dialect).is_ok()
        };
        let spec = random_spec(&mut rng, &batch.schema(), prints);
        let program = lower_filter_projects(&[&spec]).unwrap().program;
        let source = KernelSource::filter_project(program.clone(), dialect).unwrap();
        let ran = run_in_groups(&*device, &source, batch.columns(), 1 + case as u32 % 2).unwrap();
        let mut failed = false;
        for row in 0..batch.num_rows() {
            let wanted = evaluate(&program, batch.columns(), row);
            failed |= wanted.failed;
            let found = ran.row(row);
            assert!(
                same_row(&program, found, &wanted),
                "case {case}, row {row}: {spec}\nfound {found:x?}\nwanted {wanted:x?}\n{:?}\n{}",
                batch.slice(row, 1),
                source.text
            );
        }
        assert_eq!(ran.failed(), failed, "case {case}: {spec}");
    }
}

/// How many random group-bys a device is given.
fn group_bys() -> usize {
    std::env::var("SABOT_RANDOM_GROUPS").map_or(60, |text| text.parse().unwrap())
}

#[test]
fn random_group_bys_are_those_of_the_reference_on_the_first_adapter() {
    let Some(device) = device(WgpuOptions::default()) else { return };
    let groups = group_bys();
    let few = check_group_bys(device.clone(), groups, 3_000, 7).unwrap();
    assert!(few.groups > 10 * groups && few.late > 0, "{few:?}");
    // More than are fetched with the first answer, and than the first table holds.
    let many = check_group_bys(device, groups / 5, 50_000, 8).unwrap();
    assert!(many.groups > 10_000 && many.grown > 0, "{many:?}");
}

#[test]
fn a_device_is_measured_on_the_first_adapter() {
    let Some(device) = device(WgpuOptions::default()) else { return };
    match device.summary().int64 {
        true => check_measured(&*device, 100_000).unwrap(),
        false => assert!(check_measured(&*device, 100_000).is_err()),
    }
}

/// Where memory does not add 64 bits by itself, words of 32 bits are added with carry.
#[test]
fn random_group_bys_are_those_of_the_reference_without_atomics_of_64_bits_on_the_first_adapter() {
    let options = WgpuOptions { atomic64: false, ..WgpuOptions::default() };
    let Some(device) = device(options) else { return };
    check_group_bys(device.clone(), group_bys() / 2, 3_000, 9).unwrap();
    check_group_bys(device, group_bys() / 10, 50_000, 10).unwrap();
}

/// What a compiler knows of a constant must not meet what is done against what it knows of results.
#[test]
fn a_division_by_a_constant_zero_is_infinite_on_the_first_adapter() {
    let Some(device) = device(WgpuOptions::default()) else { return };
    let column: ArrayRef = Arc::new(Float64Array::from(vec![4.0, -0.5, 0.0, f64::NAN, f64::INFINITY]));
    let batch = RecordBatch::try_from_iter([("x", column)]).unwrap();
    for zero in [sabot_expr::lit(0.0), sabot_expr::lit(-0.0), sabot_expr::lit(0.0f32)] {
        let expr = col("x") / zero;
        let expr = sabot_expr::resolve(&expr, batch.schema_ref(), &FunctionRegistry::new()).unwrap();
        let projections = vec![Projection { name: "p".into(), expr }];
        let spec = FilterProjectSpec { predicate: None, projections, carried: Vec::new() };
        let program = lower_filter_projects(&[&spec]).unwrap().program;
        let source = KernelSource::filter_project(program.clone(), device.dialect()).unwrap();
        let ran = run_once(&*device, &source, batch.columns()).unwrap();
        for row in 0..batch.num_rows() {
            let (found, wanted) = (ran.row(row), evaluate(&program, batch.columns(), row));
            assert!(same_row(&program, found, &wanted), "{spec}, row {row}: {found:x?}, wanted {wanted:x?}");
        }
    }
}
