//! Windows and groups on a device: the ladder once more, parts of fragments, results that are checked, and what is said
//! about all that.

use arrow::array::{ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::record_batch::RecordBatch;
use sabot::prelude::*;
use sabot::{Collected, EngineBuilder};
use sabot_cpu::CpuBackend;
use sabot_gpu_ops::{Call, FakeDevice, GpuBackend, GpuOptions, Limits, Mishap, Script};
use sabot_ops::Backend;
use sabot_ops::testing::{CanaryBackend, Sabotage};
use std::sync::Arc;
use std::time::Duration;

use super::{MORSEL_ROWS, Ran, apart, faults, run_pipeline};
use crate::kit::lines;

const ROWS: i64 = 4_000;

/// Rows out of order, with a key that is a text and a number that may be missing.
fn rows() -> Stream {
    let times: TimestampMicrosecondArray = (0..ROWS).map(|n| Some(1_000 * (n + n * 7_919 % 11))).collect();
    let keys: StringArray = (0..ROWS).map(|n| (n % 31 > 0).then(|| format!("k{}", n * 7_919 % 29))).collect();
    let numbers: Int64Array = (0..ROWS).map(|n| (n % 17 > 0).then_some(n * 104_729 % 1_009 - 500)).collect();
    let columns = [("t", Arc::new(times) as ArrayRef), ("k", Arc::new(keys)), ("n", Arc::new(numbers))];
    Stream::from_batches([RecordBatch::try_from_iter(columns).unwrap()]).unwrap()
}

pub(super) fn pipeline() -> Stream {
    let rows = rows().event_time("t", out_of_orderness(millis(12))).unwrap();
    let rows = rows.filter(col("n").is_null().or(col("n").gt(-490))).unwrap();
    let windows = rows.window(hopping(seconds(1), millis(500))).unwrap().group_by(["k"]).unwrap();
    windows
        .aggregate([
            count().alias("rows"),
            sum(col("n")).alias("sum"),
            avg(col("n")).alias("mean"),
            min(col("n")).alias("least"),
            max(col("n") % 7).alias("rest"),
        ])
        .unwrap()
}

fn run(device: &Arc<FakeDevice>, options: GpuOptions) -> Ran {
    run_pipeline(&pipeline(), device, options)
}

fn wanted() -> Vec<String> {
    let (sink, rows) = to_memory();
    let engine = Engine::builder().devices(Devices::Cpu).build().unwrap();
    engine.run(Job::new("wanted").write_ordered(&pipeline(), sink).unwrap()).unwrap();
    lines(&rows.take())
}

/// A device and a backend for it, for engines of their own.
fn backend() -> Arc<dyn Backend> {
    Arc::new(GpuBackend::new(FakeDevice::new(Script::default()), apart()))
}

fn engine(backend: Arc<dyn Backend>) -> EngineBuilder {
    Engine::builder().workers(2).morsel_rows(MORSEL_ROWS).backends(vec![backend]).compile_first(true)
}

#[test]
fn every_call_may_fail_once() {
    let wanted = wanted();
    assert!(wanted.len() > 100);
    for call in [Call::Load, Call::Allocate, Call::Slab, Call::Submit, Call::Finish] {
        for fault in &faults() {
            // Each of its calls, and one that there is not.
            for number in 0.. {
                let script = Script::default().at(call, number, Mishap::Fault(fault.clone()));
                let device = FakeDevice::new(script);
                let ran = run(&device, apart());
                let what = format!("{call:?} {number}: {fault}: {:?}", ran.counters);
                assert_eq!(ran.lines, wanted, "{what}");
                assert_eq!(ran.metrics.fallback_morsels, ran.counters["fell_back"], "{what}");
                if device.calls(call) <= number {
                    break;
                }
            }
        }
    }
}

#[test]
fn work_that_hangs_and_memory_that_is_short() {
    let wanted = wanted();
    let device = FakeDevice::new(Script::default().at(Call::Finish, 2, Mishap::Hang));
    let ran = run(&device, GpuOptions { timeout: Duration::from_millis(30), ..apart() });
    assert_eq!(ran.lines, wanted);
    assert_eq!((ran.counters["timed_out"], ran.counters["lost"]), (1, 1), "{:?}", ran.counters);
    // A table for fewer groups fits, of fewer rows.
    let limits = Limits { memory_bytes: 1 << 20, buffer_bytes_max: 12 << 10, workgroups_max: 65_535 };
    let device = FakeDevice::with_limits(Script::default(), limits);
    let ran = run(&device, GpuOptions { halve_rows_min: 16, ..apart() });
    assert_eq!(ran.lines, wanted);
    assert!(ran.counters["halved"] > 0 && ran.counters["fell_back"] == 0, "{:?}", ran.counters);
}

#[test]
fn what_ran_where_is_said() {
    let engine = engine(backend()).build().unwrap();
    let (sink, _rows) = to_memory();
    let (metrics, text) = engine.explain_analyze(Job::new("said").write(&pipeline(), sink).unwrap()).unwrap();
    let grouped = metrics.stages.iter().find(|stage| stage.rows_out < stage.rows_in / 2).unwrap();
    let morsels: u64 = grouped.morsels_by_device.values().sum();
    assert_eq!(grouped.morsels_by_device.iter().next().unwrap().0.as_str(), "fake:0", "{metrics:?}");
    let line =
        format!("did {} rows in, {} out, {morsels} morsels on fake:0", grouped.rows_in, grouped.rows_out);
    assert!(text.contains(&line), "{line}\n{text}");
}

/// One step of three has no kernel.
#[test]
fn a_device_runs_the_parts_that_it_can() {
    let all = rows()
        .select([(col("n") * 3).alias("n"), col("k")])
        .and_then(|rows| rows.select([col("n"), col("k").upper().alias("k")]))
        .and_then(|rows| rows.filter((col("n") % 2).eq(0)))
        .unwrap();
    let run = |builder: EngineBuilder| {
        let (sink, rows) = to_memory();
        let metrics =
            builder.build().unwrap().run(Job::new("parts").write_ordered(&all, sink).unwrap()).unwrap();
        (lines(&rows.take()), metrics)
    };
    let (wanted, metrics) = run(Engine::builder().devices(Devices::Cpu));
    assert_eq!(metrics.stages.len(), 1);
    let (found, metrics) = run(engine(backend()));
    assert_eq!(found, wanted);
    let devices: Vec<&str> = metrics
        .stages
        .iter()
        .flat_map(|stage| stage.morsels_by_device.keys().map(|id| id.as_str()))
        .collect();
    assert_eq!(devices, ["fake:0", "cpu", "fake:0"], "{metrics:?}");
}

/// What two read is computed by each of them, and never comes to the host.
#[test]
fn a_fork_is_computed_by_its_readers() {
    let shared = rows().filter(col("n").gt(-490)).unwrap();
    let shared = shared.with_columns([col("n").wrapping_mul(7).alias("seven")]).unwrap();
    let sums = |key: Expr| {
        let keyed = shared.clone().group_by([key.alias("key")]).unwrap();
        keyed.aggregate([sum(col("seven")).alias("sum"), count().alias("rows")]).unwrap()
    };
    let both = [sums(col("k")), sums(col("n") % 3)];
    let run = |engine: Engine| {
        let (sinks, tables): (Vec<_>, Vec<_>) = both.iter().map(|_| to_memory()).unzip();
        let job = both.iter().zip(sinks).fold(Job::new("fork"), |job, (s, sink)| job.write(s, sink).unwrap());
        let explained = job.explain_for(&engine).unwrap();
        let metrics = engine.run(job).unwrap();
        let sorted = |table: Collected| {
            let mut rows = lines(&table.take());
            rows.sort();
            rows
        };
        (tables.into_iter().map(sorted).collect::<Vec<_>>(), explained, metrics)
    };
    let device = Arc::new(GpuBackend::new(FakeDevice::new(Script::default()), apart()));
    let (found, explained, _) = run(engine(device.clone()).build().unwrap());
    let (wanted, once, _) = run(Engine::builder().devices(Devices::Cpu).build().unwrap());
    assert_eq!(found, wanted);
    let fragments = |text: &str| text.matches("  fragment, from").count();
    assert_eq!((fragments(&explained), fragments(&once)), (2, 3), "{explained}");
    // Each morsel twice, and no third time for the fork.
    let morsels = (ROWS as u64).div_ceil(MORSEL_ROWS as u64);
    assert_eq!(device.counters().started.load(std::sync::atomic::Ordering::Relaxed), 2 * morsels);
}

#[test]
fn results_are_checked_and_a_device_that_differs_is_not_used_any_more() {
    let wanted = wanted();
    let run = |backend: Arc<dyn Backend>| {
        let engine = engine(backend).shadow_check(2).build().unwrap();
        let (sink, rows) = to_memory();
        let metrics = engine.run(Job::new("checked").write_ordered(&pipeline(), sink).unwrap()).unwrap();
        (lines(&rows.take()), engine.shadow_checks(), metrics)
    };
    let (found, (checked, differed), metrics) = run(backend());
    assert_eq!((found, differed), (wanted.clone(), 0));
    let on_device = metrics.stages.iter().flat_map(|stage| &stage.morsels_by_device);
    let on_device: u64 = on_device.filter(|(id, _)| id.as_str() == "fake:0").map(|(_, n)| *n).sum();
    assert_eq!(checked, on_device.div_ceil(2), "one in two");
    // The first morsel is one that is checked, and only results of the CPU are used from then on.
    for sabotage in [Sabotage::DropLastRow, Sabotage::WrongTarget] {
        let wrong = CanaryBackend::new(Arc::new(CpuBackend::new()), sabotage);
        let engine = engine(Arc::new(wrong)).workers(1).keyed_parallelism(3).shadow_check(1).build().unwrap();
        let (sink, rows) = to_memory();
        engine.run(Job::new("wrong").write_ordered(&pipeline(), sink).unwrap()).unwrap();
        let (checked, differed) = engine.shadow_checks();
        assert!(differed >= 1 && checked >= differed, "{sabotage:?}: {checked} {differed}");
        assert_eq!(lines(&rows.take()), wanted, "{sabotage:?}");
    }
}
