//! Morsels that are joined for a device, and fragments that go where they are expected to be finished first.

use arrow::array::{ArrayRef, Int64Array};
use arrow::record_batch::RecordBatch;
use sabot::prelude::*;
use sabot::{Calibration, DeviceClass, JobError};
use sabot_gpu_ops::{Call, FakeDevice, GpuBackend, GpuOptions, Mishap, Script};
use std::sync::Arc;

use super::{Ran, faults, on_device, run, run_pipeline, wanted};
use crate::kit::lines;

/// Four morsels of the pipeline's: 8 bytes of a row go there, and 9 and three bits come back.
fn four() -> GpuOptions {
    GpuOptions { shipped_bytes: 4 * 256 * 18, ..GpuOptions::default() }
}

fn launches(ran: &Ran) -> u64 {
    ran.counters["started"]
}

#[test]
fn morsels_are_joined_while_the_device_is_busy() {
    let wanted = wanted();
    let mut fewest = u64::MAX;
    for _ in 0..20 {
        let ran = run(&FakeDevice::new(Script::default()), four());
        assert_eq!(ran.lines, wanted);
        // They still count as the morsels that they were.
        assert_eq!(on_device(&ran), 16, "{:?}", ran.metrics);
        assert!((4..=16).contains(&launches(&ran)), "{:?}", ran.counters);
        fewest = fewest.min(launches(&ran));
    }
    assert!(fewest < 12, "{fewest} launches at least");
}

#[test]
fn what_is_joined_may_fail_at_every_call() {
    let wanted = wanted();
    let (mut launched, mut failed) = (0, 0);
    for call in [Call::Allocate, Call::Slab, Call::Submit, Call::Finish] {
        for fault in &faults() {
            for number in 0..8 {
                let script = Script::default().at(call, number, Mishap::Fault(fault.clone()));
                let ran = run(&FakeDevice::new(script), four());
                assert_eq!(ran.lines, wanted, "{call:?} {number}: {fault}");
                let on_cpu = ran.metrics.morsels_by_device.get(&sabot_common::DeviceId::cpu());
                assert!(on_cpu.copied().unwrap_or(0) >= ran.metrics.fallback_morsels, "{:?}", ran.metrics);
                launched += launches(&ran);
                failed += ran.counters["fell_back"] + ran.counters["launch_errors"];
            }
        }
    }
    // Of 96 runs with 16 morsels each.
    assert!(failed > 0 && launched < 96 * 16, "{launched} launches, {failed} failures");
}

/// Rows of event time whose watermarks come in between, and a window that closes on them.
#[test]
fn windows_close_behind_rows_that_were_joined() {
    let windows = super::groups::pipeline();
    let wanted = {
        let (sink, rows) = to_memory();
        let engine = Engine::builder().devices(Devices::Cpu).build().unwrap();
        engine.run(Job::new("wanted").write_ordered(&windows, sink).unwrap()).unwrap();
        lines(&rows.take())
    };
    let mut launched = Vec::new();
    for shipped_bytes in [1 << 10, 1 << 14, 1 << 20] {
        let options = GpuOptions { shipped_bytes, ..GpuOptions::default() };
        let ran = run_pipeline(&windows, &FakeDevice::new(Script::default()), options);
        assert_eq!(ran.lines, wanted, "{shipped_bytes} bytes");
        assert_eq!(ran.counters["fell_back"], 0);
        launched.push(launches(&ran));
    }
    assert!(launched[2] < launched[0], "{launched:?}");
}

/// The row that fails is that of the source, wherever it stands among those that were joined.
#[test]
fn an_error_is_located_among_rows_that_were_joined() {
    for row in [0, 255, 256, 1_500, 3_999] {
        let numbers: ArrayRef =
            Arc::new(Int64Array::from_iter_values((0..4_000).map(|n| if n == row { 0 } else { 1 })));
        let rows = RecordBatch::try_from_iter([("n", numbers)]).unwrap();
        let shares = Stream::from_batches([rows]).unwrap().select([(lit(7) / col("n")).alias("p")]).unwrap();
        let backend = Arc::new(GpuBackend::new(FakeDevice::new(Script::default()), four()));
        let engine = Engine::builder().workers(2).morsel_rows(256).backends(vec![backend]);
        let engine = engine.compile_first(true).build().unwrap();
        let error = engine.run(Job::new("shares").write(&shares, to_memory().0).unwrap()).unwrap_err();
        let sabot::Error::Job(JobError::Row { location: Some(location), .. }) = error else {
            panic!("{error}")
        };
        assert_eq!(location.row, row as u64);
    }
}

/// An engine that weighs a device that is so fast.
fn weighing(calibration: Calibration) -> Engine {
    let backend = Arc::new(GpuBackend::new(FakeDevice::new(Script::default()), GpuOptions::default()));
    let engine = Engine::builder().workers(2).calibrated_backend(backend, calibration);
    engine.compile_first(true).build().unwrap()
}

/// Where the stages of a pipeline run, as `explain` says.
fn places(pipeline: &Stream, engine: &Engine) -> Vec<String> {
    let job = Job::new("placed").write(pipeline, to_memory().0).unwrap();
    let text = job.explain_for(engine).unwrap();
    assert!(text.contains("expected: cpu"), "{text}");
    let lines = text.lines().map(str::trim).filter(|line| line.starts_with("runs on"));
    lines.map(str::to_owned).collect()
}

#[test]
fn a_fragment_goes_where_it_is_expected_to_be_finished_first() {
    let datacenter = || weighing(DeviceClass::DatacenterGpu.assumed("fake:0"));
    // A filter of rows that are on the host is not worth the way; grouping is.
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..9));
    let rows = Stream::from_batches([RecordBatch::try_from_iter([("n", numbers)]).unwrap()]).unwrap();
    let found = places(&rows.filter(col("n").gt(3)).unwrap(), &datacenter());
    assert_eq!(found, ["runs on cpu (fake:0: cpu is expected to be faster)"]);
    let found = places(&super::groups::pipeline(), &datacenter());
    assert!(found.iter().any(|line| line.starts_with("runs on fake:0")), "{found:?}");
    // With a link that is far too slow nothing is.
    let mut slow = DeviceClass::DatacenterGpu.assumed("fake:0");
    if let Some(link) = &mut slow.link {
        link.up_bytes_per_s = 1e6;
    }
    let found = places(&super::groups::pipeline(), &weighing(slow));
    assert!(found.iter().all(|line| line.starts_with("runs on cpu")), "{found:?}");
}

#[test]
fn what_was_weighed_is_what_runs() {
    let wanted = lines(&super::groups::pipeline().collect().unwrap());
    let engine = weighing(DeviceClass::DatacenterGpu.assumed("fake:0"));
    let (sink, rows) = to_memory();
    let job = Job::new("weighed").write_ordered(&super::groups::pipeline(), sink).unwrap();
    let metrics = engine.run(job).unwrap();
    assert_eq!(lines(&rows.take()), wanted);
    assert!(metrics.morsels_by_device.keys().any(|id| id.as_str() == "fake:0"), "{metrics:?}");
}
