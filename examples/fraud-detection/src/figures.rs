//! The figures of a run.

use fraud_detection::metrics::Measures;
use indicatif::HumanCount;
use sabot::JobMetrics;
use std::collections::BTreeMap;
use std::fmt;

use crate::observe::Latency;

/// What `--json` prints. What nothing is known of is null.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Figures {
    /// Transactions that were read.
    pub(crate) transactions: u64,
    /// From the first row asked of the source to the last score out, decoding included.
    pub(crate) seconds: f64,
    /// What it took to make transactions up, before that.
    pub(crate) generate_seconds: Option<f64>,
    pub(crate) transactions_per_second: f64,
    pub(crate) workers: usize,
    /// From when a transaction was due to when its score was out; of paced runs only.
    pub(crate) latency_ms_p50: Option<f64>,
    pub(crate) latency_ms_p99: Option<f64>,
    pub(crate) latency_ms_max: Option<f64>,
    pub(crate) alerts: u64,
    /// Transactions that came too late to be looked at.
    pub(crate) late_transactions: u64,
    /// Records that could not be read and were put aside.
    pub(crate) dead_letters: u64,
    pub(crate) peak_memory_bytes: u64,
    /// Morsels that fragments finished, by device; and the same for each stage, by its number in `--explain`.
    pub(crate) morsels_by_device: BTreeMap<String, u64>,
    pub(crate) morsels_by_stage: BTreeMap<usize, BTreeMap<String, u64>>,
    #[serde(flatten)]
    pub(crate) measures: Measures,
}

/// Names instead of devices.
fn named(devices: &BTreeMap<impl ToString, u64>) -> BTreeMap<String, u64> {
    devices.iter().map(|(device, morsels)| (device.to_string(), *morsels)).collect()
}

impl Figures {
    pub(crate) fn new(
        metrics: &JobMetrics,
        workers: usize,
        latency: Option<Latency>,
        measures: Measures,
    ) -> Self {
        let seconds = metrics.elapsed.as_secs_f64();
        Self {
            transactions: metrics.rows_read,
            seconds,
            generate_seconds: None,
            transactions_per_second: metrics.rows_read as f64 / seconds.max(f64::EPSILON),
            workers,
            latency_ms_p50: latency.map(|latency| latency.p50_ms),
            latency_ms_p99: latency.map(|latency| latency.p99_ms),
            latency_ms_max: latency.map(|latency| latency.max_ms),
            alerts: 0,
            late_transactions: metrics.late_rows,
            dead_letters: metrics.dead_letters,
            peak_memory_bytes: peak_memory_bytes(),
            morsels_by_device: named(&metrics.morsels_by_device),
            morsels_by_stage: metrics
                .stages
                .iter()
                .map(|stage| (stage.stage, named(&stage.morsels_by_device)))
                .collect(),
            measures,
        }
    }
}

/// The same for somebody who reads.
impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { transactions, seconds, alerts, .. } = self;
        let (transactions, per_second) =
            (HumanCount(*transactions), HumanCount(self.transactions_per_second as u64));
        writeln!(f, "{transactions} transactions in {seconds:.2} s, {per_second} a second")?;
        writeln!(f, "{} alerts", HumanCount(*alerts))?;
        if let (Some(p50), Some(p99), Some(max)) =
            (self.latency_ms_p50, self.latency_ms_p99, self.latency_ms_max)
        {
            writeln!(f, "latency: median {p50:.2} ms, p99 {p99:.2} ms, max {max:.2} ms")?;
        }
        let Measures { auc, average_precision, precision, recall, recall_by_scenario, .. } = &self.measures;
        let mut line = |what: &str, value: &Option<f64>| match value {
            Some(value) => writeln!(f, "{what}: {value:.3}"),
            None => Ok(()),
        };
        line("precision of alerts", precision)?;
        line("recall of alerts", recall)?;
        for (scenario, recall) in recall_by_scenario {
            line(&format!("  of scenario {scenario}"), recall)?;
        }
        line("area under the ROC curve of scores", auc)?;
        line("average precision of scores", average_precision)
    }
}

/// The most memory that the process has held, in bytes; 0 where the system does not say.
fn peak_memory_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
