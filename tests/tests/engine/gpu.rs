//! The failure ladder of GPUs: whatever fails at whatever call, results are the same, everything is counted, and nothing
//! is left on the device.

use arrow::array::{ArrayRef, Int64Array};
use arrow::record_batch::RecordBatch;
use sabot::prelude::*;
use sabot_gpu_ops::{Call, FakeDevice, Fault, GpuBackend, GpuOptions, Limits, Mishap, Script};
use sabot_ops::Backend;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::kit::lines;

mod examples;
mod groups;
mod placement;

/// Every morsel is a piece of work of its own, so that it is known which call fails.
fn apart() -> GpuOptions {
    GpuOptions { shipped_bytes: 0, ..GpuOptions::default() }
}

const ROWS: i64 = 4_000;
const MORSEL_ROWS: usize = 256;

/// A filter and two expressions, of which one overflows for no row.
fn pipeline() -> Stream {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..ROWS));
    let rows = RecordBatch::try_from_iter([("n", numbers)]).unwrap();
    let kept = Stream::from_batches([rows]).unwrap().filter((col("n") % 3).eq(0)).unwrap();
    kept.select([col("n"), (col("n") * 7).alias("seven"), (col("n") / 2).gt(500).alias("big")]).unwrap()
}

/// What came of a run on a device.
struct Ran {
    lines: Vec<String>,
    counters: BTreeMap<&'static str, u64>,
    metrics: sabot::JobMetrics,
}

fn run(device: &Arc<FakeDevice>, options: GpuOptions) -> Ran {
    run_pipeline(&pipeline(), device, options)
}

fn run_pipeline(pipeline: &Stream, device: &Arc<FakeDevice>, options: GpuOptions) -> Ran {
    let backend = Arc::new(GpuBackend::new(device.clone(), options));
    let engine = Engine::builder().workers(2).morsel_rows(MORSEL_ROWS);
    let engine =
        engine.backends(vec![backend.clone() as Arc<dyn Backend>]).compile_first(true).build().unwrap();
    let (sink, rows) = to_memory();
    let metrics = engine.run(Job::new("ladder").write_ordered(pipeline, sink).unwrap()).unwrap();
    drop(engine);
    assert_eq!(backend.bytes_used(), 0, "memory of the device is still in use");
    let counters = backend.counters().all().into_iter().collect();
    drop(backend);
    assert_eq!(device.live_buffers(), 0, "buffers were leaked");
    Ran { lines: lines(&rows.take()), counters, metrics }
}

fn wanted() -> Vec<String> {
    lines(&pipeline().collect().unwrap())
}

fn on_device(ran: &Ran) -> u64 {
    ran.metrics.morsels_by_device.iter().filter(|(id, _)| id.as_str() == "fake:0").map(|(_, n)| *n).sum()
}

/// A fault of each kind.
fn faults() -> [Fault; 3] {
    [
        Fault::OutOfMemory { bytes: 4096 },
        Fault::Launch("a launch failed".to_owned()),
        Fault::Lost("the device is gone".to_owned()),
    ]
}

#[test]
fn without_a_mishap_everything_runs_on_the_device() {
    let device = FakeDevice::new(Script::default());
    let ran = run(&device, apart());
    assert_eq!(ran.lines, wanted());
    assert_eq!(on_device(&ran), 16);
    assert_eq!((ran.counters["started"], ran.counters["finished"], ran.counters["fell_back"]), (16, 16, 0));
    assert_eq!(ran.metrics.fallback_morsels, 0);
}

#[test]
fn every_call_may_fail_once() {
    let wanted = wanted();
    for call in [Call::Load, Call::Allocate, Call::Slab, Call::Submit, Call::Finish] {
        for fault in &faults() {
            // Each of its calls, and one that there is not.
            for number in 0.. {
                let device =
                    FakeDevice::new(Script::default().at(call, number, Mishap::Fault(fault.clone())));
                let ran = run(&device, apart());
                let what = format!("{call:?} {number}: {fault}: {:?}", ran.counters);
                assert_eq!(ran.lines, wanted, "{what}");
                // A call that there was not could not fail.
                let failed = device.calls(call) > number;
                let count = |name: &str| ran.counters[name];
                match fault {
                    _ if !failed => assert_eq!(on_device(&ran), 16, "{what}"),
                    _ if call == Call::Load => assert_eq!(on_device(&ran), 0, "{what}"),
                    Fault::Lost(_) => {
                        assert_eq!(count("lost"), 1, "{what}");
                        assert!(count("fell_back") > 0 && on_device(&ran) < 16, "{what}");
                    }
                    Fault::Launch(_) => {
                        assert_eq!(
                            (count("launch_errors"), count("fell_back"), count("lost")),
                            (1, 1, 0),
                            "{what}"
                        );
                        assert_eq!(on_device(&ran), 15, "{what}");
                    }
                    // What finds no memory is tried again when another piece of work is over, if there is one.
                    Fault::OutOfMemory { .. } => {
                        assert!(count("fell_back") <= 1 && count("lost") == 0, "{what}");
                        assert_eq!(on_device(&ran), 16 - count("fell_back"), "{what}");
                    }
                }
                assert_eq!(ran.metrics.fallback_morsels, count("fell_back"), "{what}");
                if !failed {
                    break;
                }
            }
        }
    }
}

#[test]
fn every_kth_call_may_fail() {
    let wanted = wanted();
    for call in [Call::Load, Call::Allocate, Call::Slab, Call::Submit, Call::Finish] {
        for fault in [Fault::OutOfMemory { bytes: 4096 }, Fault::Launch("a launch failed".to_owned())] {
            for one_in in 1..=5 {
                let script = Script::default().every(call, one_in, Mishap::Fault(fault.clone()));
                let ran = run(&FakeDevice::new(script), apart());
                let what = format!("one in {one_in} of {call:?}: {fault}: {:?}", ran.counters);
                assert_eq!(ran.lines, wanted, "{what}");
                assert_eq!(ran.metrics.fallback_morsels, ran.counters["fell_back"], "{what}");
                assert_eq!(ran.counters["lost"], 0, "{what}");
                match (call, one_in) {
                    // Without a kernel there is nothing to fall back from.
                    (Call::Load, 1) => {
                        assert_eq!((on_device(&ran), ran.counters["fell_back"]), (0, 0), "{what}")
                    }
                    (_, 1) => assert_eq!((on_device(&ran), ran.counters["fell_back"]), (0, 16), "{what}"),
                    _ => assert_eq!(on_device(&ran), 16 - ran.counters["fell_back"], "{what}"),
                }
            }
        }
    }
}

#[test]
fn work_that_hangs_is_given_up() {
    for number in [0, 3, 15] {
        let device = FakeDevice::new(Script::default().at(Call::Finish, number, Mishap::Hang));
        let options = GpuOptions { timeout: Duration::from_millis(30), ..apart() };
        let ran = run(&device, options);
        assert_eq!(ran.lines, wanted());
        assert_eq!((ran.counters["timed_out"], ran.counters["lost"]), (1, 1), "{:?}", ran.counters);
    }
}

#[test]
fn a_morsel_that_does_not_fit_is_cut_in_two() {
    // A buffer holds the results of 128 rows, and not those of 256.
    let limits = Limits { memory_bytes: 1 << 20, buffer_bytes_max: 1920, workgroups_max: 65_535 };
    let device = FakeDevice::with_limits(Script::default(), limits);
    let ran = run(&device, GpuOptions { halve_rows_min: 16, ..apart() });
    assert_eq!(ran.lines, wanted());
    assert!(ran.counters["halved"] >= 16 && ran.counters["fell_back"] == 0, "{:?}", ran.counters);
    // Where it may not be cut so far, the CPU takes it.
    let device = FakeDevice::with_limits(Script::default(), limits);
    let ran = run(&device, apart());
    assert_eq!(ran.lines, wanted());
    assert_eq!((ran.counters["halved"], ran.counters["fell_back"]), (0, 16), "{:?}", ran.counters);
}

#[test]
fn little_memory_only_makes_it_slow() {
    // Room for the buffers of one piece of work.
    let limits = Limits { memory_bytes: 20 << 10, buffer_bytes_max: 8 << 10, workgroups_max: 65_535 };
    let device = FakeDevice::with_limits(Script::default(), limits);
    let ran = run(&device, GpuOptions { halve_rows_min: 16, ..apart() });
    assert_eq!(ran.lines, wanted());
    assert!(on_device(&ran) > 0, "{:?}", ran.counters);
}

#[test]
fn a_row_that_fails_is_named_as_on_the_cpu() {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(-5..5));
    let rows = RecordBatch::try_from_iter([("n", numbers)]).unwrap();
    let rows = Stream::from_batches([rows]).unwrap().select([(lit(60) / col("n")).alias("q")]).unwrap();
    let message = |engine: Engine| rows.collect_on(&engine).unwrap_err().to_string();
    let device = FakeDevice::new(Script::default());
    let backend: Arc<dyn Backend> = Arc::new(GpuBackend::new(device, apart()));
    let on_device = Engine::builder().backends(vec![backend]).compile_first(true).build().unwrap();
    assert_eq!(message(on_device), message(Engine::builder().build().unwrap()));
}

#[test]
fn a_device_of_this_machine_gives_the_same() {
    let engine = match Engine::builder().devices(Devices::Wgpu).workers(2).morsel_rows(MORSEL_ROWS).build() {
        Ok(engine) => engine,
        Err(error) => {
            assert!(std::env::var_os("SABOT_REQUIRE_ADAPTER").is_none(), "{error}");
            assert!(error.to_string().contains("a Vulkan driver is needed"), "{error}");
            println!("skipped: {error}");
            return;
        }
    };
    let (sink, rows) = to_memory();
    let metrics = engine.run(Job::new("real").write_ordered(&pipeline(), sink).unwrap()).unwrap();
    assert_eq!(lines(&rows.take()), wanted());
    // Whether it has integers of 64 bits decides.
    let all = metrics.morsels_by_device.values().sum::<u64>();
    assert!(all >= 16 && metrics.fallback_morsels == 0, "{metrics:?}");
}
