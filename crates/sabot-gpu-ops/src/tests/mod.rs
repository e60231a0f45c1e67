//! The whole host path over a device that is none, and kernels through the compiler of CUDA.

mod groups;
mod packing;
mod resources;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use sabot_batch::Morsel;
use sabot_expr::{FunctionRegistry, col, resolve};
use sabot_ops::conformance::{self, Options, Required};
use sabot_ops::{Backend, CompileJob, Failure, FilterProjectSpec, Fragment, Kernel, Progress, TaskContext};
use std::sync::Arc;
use std::task::Waker;

use crate::{FakeDevice, GpuBackend, GpuOptions, Script};

/// A fragment, compiled.
fn kernel(backend: &GpuBackend, fragment: &Fragment) -> Box<dyn Kernel> {
    let CompileJob::Pending(mut ask) = backend.compile(fragment).unwrap() else { panic!("at once") };
    loop {
        if let Some(program) = ask() {
            return program.unwrap().kernel();
        }
        std::thread::yield_now();
    }
}

/// What becomes of a morsel.
fn finished(kernel: &mut dyn Kernel, morsel: Morsel) -> Progress {
    let mut cx = TaskContext { morsel_rows: 1 << 20, waker: Waker::noop() };
    let ticket = kernel.submit(morsel, &mut cx);
    loop {
        match kernel.poll(ticket, &mut cx) {
            Progress::Pending => {}
            done => break done,
        }
    }
}

#[test]
fn a_device_that_does_not_fail_passes_the_suite() {
    let device = FakeDevice::new(Script::default());
    let backend = GpuBackend::new(device.clone(), GpuOptions::default());
    let report = conformance::run(&backend, &Options::quick());
    assert!(report.failed.is_empty(), "{report}");
    let required = Required::parse(include_str!("../../../../conformance/required/cuda.txt")).unwrap();
    let shortfall = required.check(&report);
    assert!(shortfall.is_empty(), "{shortfall}");
    assert_eq!(backend.bytes_used(), 0);
    drop(backend);
    assert_eq!((device.live_buffers(), Arc::strong_count(&device)), (0, 1));
}

/// What one language of kernels has the other has too.
#[test]
fn the_same_is_required_of_cuda_and_of_wgsl() {
    let cells = |text: &'static str| text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>();
    let cuda = cells(include_str!("../../../../conformance/required/cuda.txt"));
    let wgsl = cells(include_str!("../../../../conformance/required/wgpu.txt"));
    assert!(cuda.len() > 600, "{} cells", cuda.len());
    assert_eq!(cuda, wgsl);
}

/// The bits of another type are not taken for numbers.
#[test]
fn a_morsel_of_other_columns_is_refused() {
    let batch = |column: ArrayRef| RecordBatch::try_from_iter([("n", column)]).unwrap();
    let whole = batch(Arc::new(Int64Array::from(vec![1, 20])));
    let predicate = resolve(&col("n").gt(15), whole.schema_ref(), &FunctionRegistry::new()).unwrap();
    let spec = FilterProjectSpec { predicate: Some(predicate), projections: Vec::new(), carried: vec![0] };
    let fragment = Fragment::new(whole.schema(), vec![spec.into()]).unwrap();
    let backend = GpuBackend::new(FakeDevice::new(Script::default()), GpuOptions::default());
    let mut kernel = kernel(&backend, &fragment);
    let mut run = |batch: RecordBatch| finished(&mut *kernel, Morsel::new(batch));
    let Progress::Done(output) = run(whole) else { panic!("it failed") };
    assert_eq!(output.morsels[0].1.rows(), 1);
    for wrong in [
        batch(Arc::new(Float64Array::from(vec![1.0, 2.0]))),
        RecordBatch::new_empty(Arc::new(arrow::datatypes::Schema::empty())),
    ] {
        // Without rows there is nothing to be wrong about.
        let rows = wrong.num_rows();
        let failed = matches!(run(wrong), Progress::Failed(Failure::Internal(_)));
        assert_eq!(failed, rows > 0);
    }
}
