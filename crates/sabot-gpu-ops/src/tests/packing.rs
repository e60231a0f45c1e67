//! Rows that are dropped stay on the device.

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::DataType;
use sabot_batch::Morsel;
use sabot_expr::{FunctionRegistry, col, resolve};
use sabot_ops::{Failure, FilterProjectSpec, Fragment, Progress, Projection, reference};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{finished, kernel};
use crate::{Call, FakeDevice, Fault, GpuBackend, GpuOptions, Mishap, Script};

/// More tiles than one, the last of them not full.
const ROWS: i64 = 100_001;

/// Rows of which one in `of` has a zero.
fn rows(of: i64) -> RecordBatch {
    let n: ArrayRef = Arc::new(Int64Array::from_iter_values((0..ROWS).map(|n| n % of)));
    let m: ArrayRef = Arc::new(Int64Array::from_iter((0..ROWS).map(|n| (n % 7 > 0).then_some(n))));
    let s: ArrayRef = Arc::new(StringArray::from_iter_values((0..ROWS).map(|n| n.to_string())));
    RecordBatch::try_from_iter([("n", n), ("m", m), ("s", s)]).unwrap()
}

/// A filter, values of every width, with nulls, and bits.
fn fragment() -> Fragment {
    let schema = rows(2).schema();
    let typed = |expr| resolve(&expr, &schema, &FunctionRegistry::new()).unwrap();
    let exprs = [
        ("wide", col("m") + 1),
        ("narrow", (col("m") % 100).cast(DataType::Int8)),
        ("middle", (col("m") % 10_000).cast(DataType::Int16)),
        ("bit", (col("m") % 2).eq(0)),
    ];
    let projections =
        exprs.into_iter().map(|(name, expr)| Projection { name: name.into(), expr: typed(expr) }).collect();
    let spec = FilterProjectSpec { predicate: Some(typed(col("n").eq(0))), projections, carried: vec![2, 1] };
    Fragment::new(schema.clone(), vec![spec.into()]).unwrap()
}

fn joined(fragment: &Fragment, morsels: &[(u32, Morsel)]) -> RecordBatch {
    let batches: Vec<RecordBatch> = morsels.iter().map(|(_, morsel)| morsel.to_host().unwrap()).collect();
    arrow::compute::concat_batches(fragment.output(), &batches).unwrap()
}

#[test]
fn what_is_kept_comes_back_in_its_order_and_no_more_than_that() {
    let fragment = fragment();
    let backend = GpuBackend::new(FakeDevice::new(Script::default()), GpuOptions::default());
    let mut kernel = kernel(&backend, &fragment);
    // How many rows there are for one that is kept, and how often work is started for them.
    for (of, started) in [(ROWS, 1), (4, 2), (4, 1), (5, 1), (1, 2), (1, 1), (ROWS, 1), (2, 2)] {
        let morsel = Morsel::new(rows(of));
        let before = backend.counters().started.load(Ordering::Relaxed);
        let Progress::Done(output) = finished(&mut *kernel, morsel.clone()) else { panic!("one in {of}") };
        let wanted = reference::run(&fragment, &morsel).unwrap();
        let (found, wanted) = (joined(&fragment, &output.morsels), joined(&fragment, &wanted.morsels));
        assert_eq!(found, wanted, "one in {of}");
        assert_eq!(backend.counters().started.load(Ordering::Relaxed) - before, started, "one in {of}");
    }
    assert_eq!(backend.bytes_used(), 0);
}

/// Two copies are two chances to fail.
#[test]
fn either_copy_may_fail() {
    let fragment = fragment();
    let wanted = joined(&fragment, &reference::run(&fragment, &Morsel::new(rows(4))).unwrap().morsels);
    let faults = [
        Fault::OutOfMemory { bytes: 4096 },
        Fault::Launch("a launch failed".to_owned()),
        Fault::Lost("the device is gone".to_owned()),
    ];
    for (call, calls) in [(Call::Slab, 5), (Call::Submit, 2), (Call::Finish, 2)] {
        for number in 0..=calls {
            for fault in &faults {
                let device =
                    FakeDevice::new(Script::default().at(call, number, Mishap::Fault(fault.clone())));
                let backend = GpuBackend::new(device.clone(), GpuOptions::default());
                let mut kernel = kernel(&backend, &fragment);
                let what = format!("{call:?} {number}: {fault}");
                match finished(&mut *kernel, Morsel::new(rows(4))) {
                    Progress::Done(output) if number == calls => {
                        assert_eq!(joined(&fragment, &output.morsels), wanted, "{what}");
                        assert_eq!(device.calls(call), calls, "{what}");
                    }
                    Progress::Failed(Failure::Device { .. }) if number < calls => {}
                    other => panic!("{what}: {other:?}"),
                }
                assert_eq!(backend.bytes_used(), 0, "{what}");
                drop((kernel, backend));
                assert_eq!(device.live_buffers(), 0, "{what}");
            }
        }
    }
}
