//! The figures of a run.

use sabot::JobMetrics;
use std::collections::BTreeMap;

/// What `--json` prints.
#[derive(serde::Serialize)]
pub(crate) struct Figures {
    /// Flights that were read.
    rows: u64,
    /// Rows of the windows and of the ranking.
    windows: u64,
    ranking: u64,
    /// From the first row asked of a source to the last handed to a sink, decoding included.
    seconds: f64,
    rows_per_second: f64,
    workers: usize,
    peak_memory_bytes: u64,
    /// Morsels that fragments finished, by device; and the same for each stage, by its number in `--explain`.
    morsels_by_device: BTreeMap<String, u64>,
    morsels_by_stage: BTreeMap<usize, BTreeMap<String, u64>>,
}

/// Names instead of devices.
fn named(devices: &BTreeMap<impl ToString, u64>) -> BTreeMap<String, u64> {
    devices.iter().map(|(device, morsels)| (device.to_string(), *morsels)).collect()
}

impl Figures {
    /// The figures of a job that has read its flights from `source`.
    pub(crate) fn new(
        metrics: &JobMetrics,
        source: &str,
        (windows, ranking): (u64, u64),
        workers: usize,
    ) -> Self {
        let rows = metrics.sources.get(source).map_or(0, |source| source.rows_read);
        let seconds = metrics.elapsed.as_secs_f64();
        Self {
            rows,
            windows,
            ranking,
            seconds,
            rows_per_second: rows as f64 / seconds.max(f64::EPSILON),
            workers,
            peak_memory_bytes: peak_memory_bytes(),
            morsels_by_device: named(&metrics.morsels_by_device),
            morsels_by_stage: metrics
                .stages
                .iter()
                .map(|stage| (stage.stage, named(&stage.morsels_by_device)))
                .collect(),
        }
    }
}

/// The most memory that the process has held, in bytes; 0 where the system does not say.
fn peak_memory_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
