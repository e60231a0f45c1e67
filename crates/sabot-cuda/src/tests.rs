//! What can be said without a GPU, and the suite where there is one.

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sabot_codegen::testing::{random_batch, random_spec};
use sabot_codegen::{Program, evaluate, lower_filter_projects};
use sabot_gpu_ops::testing::{check_group_bys, check_measured};
use sabot_gpu_ops::{Dialect, GpuBackend, GpuOptions, KernelSource, TILE, run_in_groups, same_row};
use sabot_ops::conformance::{self, Options, Required};
use sabot_ops::{AggregateSpec, Fragment, GroupByMode, GroupBySpec};
use std::sync::Arc;

use crate::{CudaDevice, CudaOptions, OpenError, cache, nvrtc};

/// The first device; a machine without one is told so, or fails where `SABOT_REQUIRE_CUDA` says that there is one.
fn device() -> Option<Arc<CudaDevice>> {
    match CudaDevice::open(0, CudaOptions::default()) {
        Ok(device) => Some(device),
        Err(error) => {
            assert!(std::env::var_os("SABOT_REQUIRE_CUDA").is_none(), "{error}");
            println!("skipped: {error}");
            None
        }
    }
}

fn sources() -> Vec<KernelSource> {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let batch = RecordBatch::try_from_iter([("n", column)]).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let spec = random_spec(&mut rng, &batch.schema(), |_| true);
    let program = lower_filter_projects(&[&spec]).unwrap().program;
    let mode = GroupByMode::Partial;
    let aggregates = vec![AggregateSpec::count("rows")];
    let spec = GroupBySpec { keys: vec![0], hashed: vec![0], seed: 0, aggregates, mode };
    let fragment = Fragment::new(batch.schema(), vec![spec.into()]).unwrap();
    let lowered = sabot_codegen::lower_fragment(&fragment).unwrap();
    let sabot_codegen::Tail::Groups(groups) = lowered.tail else { panic!("rows stay rows") };
    vec![
        KernelSource::filter_project(program, Dialect::Cuda).unwrap(),
        KernelSource::group_by(lowered.program, groups.grouping, Dialect::Cuda).unwrap(),
    ]
}

#[test]
fn a_machine_without_a_driver_says_what_is_missing() {
    match CudaDevice::open(99, CudaOptions::default()) {
        Ok(_) => panic!("a hundred devices"),
        Err(OpenError::NoDriver) => {
            let said = OpenError::NoDriver.to_string();
            assert!(said.contains("install the driver"), "{said}");
        }
        Err(error) => assert!(!error.to_string().contains('\n'), "{error}"),
    }
}

/// The compiler needs no GPU.
#[test]
fn kernels_become_machine_code_for_every_architecture() {
    let Some(version) = nvrtc::version() else {
        assert!(std::env::var_os("SABOT_REQUIRE_NVRTC").is_none(), "{}", OpenError::NoCompiler);
        println!("skipped: {}", OpenError::NoCompiler);
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    for architecture in ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"] {
        for source in sources() {
            let key = cache::key(&source.text, architecture, version);
            let code =
                cache::get_or(Some(folder.path()), &key, || nvrtc::compile(&source.text, architecture))
                    .unwrap();
            assert!(code.starts_with(b"\x7fELF"));
            // The second time nobody compiles.
            let again = cache::get_or(Some(folder.path()), &key, || Err("compiled twice".to_owned()));
            assert_eq!(again.as_ref(), Ok(&code));
        }
    }
    let message =
        nvrtc::compile("extern \"C\" __global__ void broken() { nothing(); }", "sm_90").unwrap_err();
    assert!(message.contains("nothing"), "{message}");
}

#[test]
fn what_is_kept_depends_on_everything_and_may_be_spoilt() {
    let keys = [
        cache::key("text", "sm_90", (13, 0)),
        cache::key("text ", "sm_90", (13, 0)),
        cache::key("text", "sm_80", (13, 0)),
        cache::key("text", "sm_90", (13, 1)),
    ];
    assert!((1..keys.len()).all(|n| !keys[..n].contains(&keys[n])));
    let folder = tempfile::tempdir().unwrap();
    let code = b"\x7fELF and so on".to_vec();
    let get = |key: &str, made: &[u8]| cache::get_or(Some(folder.path()), key, || Ok(made.to_vec())).unwrap();
    assert_eq!(get("k", &code), code);
    assert_eq!(get("k", b"something else"), code);
    // Half of a file, and a file of another key under the same name, are as if there were none.
    let file = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    for spoilt in [&b"k\x7fE"[..], b"l\x7fELF and so on"] {
        std::fs::write(&file, spoilt).unwrap();
        assert_eq!(get("k", b"\x7fELF anew"), b"\x7fELF anew");
    }
    // A folder that cannot be made is no fault.
    let nowhere = file.join("below a file");
    assert_eq!(cache::get_or(Some(&nowhere), "k", || Ok(code.clone())), Ok(code));
}

#[test]
fn the_suite_passes_on_the_first_cuda_device() {
    let Some(device) = device() else { return };
    println!("{:?}", device.summary());
    let backend = GpuBackend::new(device, GpuOptions::default());
    let required = Required::parse(include_str!("../../../conformance/required/cuda.txt")).unwrap();
    let report = conformance::run(&backend, &Options::quick());
    assert!(report.failed.is_empty(), "{report}");
    println!("{} passed, {} refused", report.passed.len(), report.refused.len());
    let shortfall = required.check(&report);
    assert!(shortfall.is_empty(), "{shortfall}");
}

#[test]
fn random_work_is_right_on_the_first_cuda_device() {
    let Some(device) = device() else { return };
    let mut rng = ChaCha8Rng::seed_from_u64(0x369);
    // Libraries of floats differ in their last digits.
    let exact = |program: &Program| {
        let text = format!("{program:?}");
        !text.contains("Math(") && !text.contains("Pow") && !text.contains("Atan2")
    };
    let mut several = 0;
    for case in 0..200 {
        // Tiles have up to 1,024 rows; of some morsels a block takes several.
        let batch = random_batch(&mut rng, if case % 4 == 0 { 9_000 } else { 600 });
        let spec = random_spec(&mut rng, &batch.schema(), exact);
        let program = lower_filter_projects(&[&spec]).unwrap().program;
        let source = KernelSource::filter_project(program.clone(), Dialect::Cuda).unwrap();
        let ran = run_in_groups(&*device, &source, batch.columns(), 1 + case % 3).unwrap();
        several += usize::from(source.tile_rows() > TILE);
        for row in 0..batch.num_rows() {
            let (found, wanted) = (ran.row(row), evaluate(&program, batch.columns(), row));
            assert!(wanted.failed || same_row(&program, found, &wanted), "case {case}, row {row}: {spec}");
        }
    }
    assert!(several > 10, "{several} kernels take several rows at once");
    check_group_bys(device.clone(), 200, 3_000, 1).unwrap();
    check_group_bys(device.clone(), 20, 1_000_000, 2).unwrap();
    check_measured(&*device, 4 << 20).unwrap();
}
