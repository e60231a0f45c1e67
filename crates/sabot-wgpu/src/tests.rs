//! The conformance suite on whatever adapter there is.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sabot_codegen::testing::{random_batch, random_spec};
use sabot_codegen::{Program, evaluate, lower_filter_project};
use sabot_gpu_ops::{Device, GpuBackend, GpuOptions, KernelSource, run_once, same_row};
use sabot_ops::conformance::{self, Options};
use std::sync::Arc;

use crate::{WgpuDevice, WgpuOptions};

/// The first adapter; a machine without any is told so.
fn device() -> Option<Arc<WgpuDevice>> {
    match WgpuDevice::open(0, WgpuOptions::default()) {
        Ok(device) => Some(device),
        Err(error) => {
            println!("skipped: {error}");
            None
        }
    }
}

#[test]
fn the_first_adapter_passes_the_suite() {
    let Some(device) = device() else { return };
    println!("{:?}", device.summary());
    println!("{:?}", sabot_gpu_ops::Device::dialect(&*device));
    let backend = GpuBackend::new(device, GpuOptions::default());
    let report = conformance::run(&backend, &Options::quick());
    assert!(report.failed.is_empty(), "{report}");
    println!("{} passed, {} refused", report.passed.len(), report.refused.len());
    println!("{:?}", backend.counters().all());
}

/// How many random programs a device is given; each kernel has two expressions and half of them a predicate.
fn programs() -> usize {
    std::env::var("SABOT_RANDOM_PROGRAMS").map_or(100, |text| text.parse().unwrap())
}

#[test]
fn random_programs_are_what_they_are_by_hand() {
    let Some(device) = device() else { return };
    let mut rng = ChaCha8Rng::seed_from_u64(0x369);
    for case in 0..programs() {
        let batch = random_batch(&mut rng, 600);
        let dialect = device.dialect();
        let prints = |program: &Program| KernelSource::filter_project(program.clone(), dialect).is_ok();
        let spec = random_spec(&mut rng, &batch.schema(), prints);
        let program = lower_filter_project(&spec).unwrap();
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
