//! The pipelines of the two large examples on emulated CUDA: what the compiler for C++ makes of their kernels gives what the
//! CPU gives.

use fraud_detection::generate::{Settings, Transactions};
use fraud_detection::input::from_stream;
use fraud_detection::pipeline::{by_day, features, judged};
use fraud_detection::score::{Model, scored};
use sabot::JobMetrics;
use sabot::prelude::*;
use sabot_emu::{EmuDevice, EmuOptions};
use sabot_gpu_ops::{GpuBackend, GpuOptions};
use std::path::Path;
use std::sync::Arc;

use crate::kit::lines;

#[path = "../../../../examples/flight-delays/src/pipeline.rs"]
#[allow(dead_code, reason = "the tables of the example are not wanted here")]
mod flight_delays;

/// What streams give, in order, and what was counted.
fn run(engine: &Engine, streams: &[Stream]) -> (Vec<Vec<String>>, JobMetrics) {
    let mut job = Job::new("example");
    let mut all = Vec::new();
    for stream in streams {
        let (sink, rows) = to_memory();
        job = job.write_ordered(stream, sink).unwrap();
        all.push(rows);
    }
    let metrics = engine.run(job).unwrap();
    (all.iter().map(|rows| lines(&rows.take())).collect(), metrics)
}

/// The same on both, and as many stages as that on the device, with nine in ten of their morsels.
fn same_on_both(device: Arc<EmuDevice>, streams: &[Stream], stages: usize) {
    let backend = Arc::new(GpuBackend::new(device, GpuOptions::default()));
    let cpu = Engine::builder().devices(Devices::Cpu).workers(2).build().unwrap();
    let emulated = Engine::builder().backends(vec![backend]).compile_first(true).workers(2).build().unwrap();
    let ((wanted, _), (found, metrics)) = (run(&cpu, streams), run(&emulated, streams));
    assert!(wanted.iter().all(|rows| !rows.is_empty()));
    assert!(found == wanted, "rows differ");
    let count = |stage: &sabot::StageMetrics, device: &str| -> u64 {
        let morsels = stage.morsels_by_device.iter();
        morsels.filter(|(id, _)| id.as_str() == device).map(|(_, morsels)| *morsels).sum()
    };
    let on_device: Vec<_> =
        metrics.stages.iter().filter(|stage| count(stage, "cuda-emulated:0") > 0).collect();
    assert_eq!(on_device.len(), stages, "{metrics:?}");
    assert!(on_device.iter().all(|s| count(s, "cuda-emulated:0") >= 9 * count(s, "cpu")), "{metrics:?}");
}

#[test]
fn flight_delays_on_emulated_cuda() {
    let device = match EmuDevice::new(EmuOptions::default()) {
        Ok(device) => device,
        Err(error) => return println!("skipped: {error}"),
    };
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/flight-delays/data");
    let flights = flight_delays::flights(&data.join("flights-200k.parquet")).unwrap();
    let airports = Table::read(file(data.join("airports.csv"))).unwrap();
    let windows = flight_delays::windows(&flights, &airports).unwrap();
    let ranking = flight_delays::ranking(&flights, &airports).unwrap();
    // The pre-aggregations of both, each of which computes what is late, and what is filtered and computed of the ranking.
    same_on_both(device, &[windows, ranking], 4);
}

#[test]
fn fraud_detection_on_emulated_cuda() {
    let device = match EmuDevice::new(EmuOptions::default()) {
        Ok(device) => device,
        Err(error) => return println!("skipped: {error}"),
    };
    let transactions = Transactions::new(&Settings::new(20_000).seed(3)).unwrap();
    let batches = transactions.collect::<Result<Vec<_>, _>>().unwrap();
    let input = from_stream(Stream::from_batches(batches).unwrap(), seconds(0)).unwrap();
    let model = Model::shipped().unwrap();
    let found = features(&input).unwrap();
    let judged = judged(scored(found.rows, &model).unwrap(), model.threshold()).unwrap();
    // The partition by card, labels that are not known, the features of a transaction, the rules, and alerts by day.
    same_on_both(device, &[judged.clone(), by_day(&judged).unwrap()], 5);
}
