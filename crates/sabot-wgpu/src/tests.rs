//! The conformance suite on whatever adapter there is.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sabot_codegen::testing::{random_batch, random_spec};
use sabot_codegen::{Program, evaluate, lower_filter_projects};
use sabot_gpu_ops::testing::check_group_bys;
use sabot_gpu_ops::{Device, GpuBackend, GpuOptions, KernelSource, run_once, same_row};
use sabot_ops::conformance::{self, Options, Required};
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
        let prints = |program: &Program| KernelSource::filter_project(program.clone(), dialect).is_ok();
        let spec = random_spec(&mut rng, &batch.schema(), prints);
        let program = lower_filter_projects(&[&spec]).unwrap().program;
        let source = KernelSource::filter_project(program.clone(), dialect).unwrap();
        let ran = run_once(&*device, &source, batch.columns()).unwrap();
        let mut failed = false;
        for row in 0..batch.num_rows() {
            let wanted = evaluate(&program, batch.columns(), row);
            failed |= wanted.failed;
            let found = ran.row(row);
            assert!(
                same_row(&program, &found, &wanted),
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
