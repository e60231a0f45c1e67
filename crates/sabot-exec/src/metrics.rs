//! What a job counts while it runs.

use crate::pauses::{BarrierPauses, Durations};
use sabot_common::DeviceId;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Counters of one reading of a source, written by the tasks that share it.
#[derive(Debug)]
pub(crate) struct SourceCounters {
    pub(crate) rows_read: AtomicU64,
    rows_total: Option<u64>,
}

/// Counters of the tasks of one stage.
#[derive(Debug, Default)]
pub(crate) struct StageCounters {
    rows_in: AtomicU64,
    rows_out: AtomicU64,
    device_ns: AtomicU64,
    devices: Mutex<BTreeMap<DeviceId, u64>>,
}

impl StageCounters {
    /// A morsel is done: its live rows, those of its results, and how long the device took where it says so.
    pub(crate) fn done(&self, rows_in: usize, rows_out: usize, elapsed: Option<Duration>) {
        self.rows_in.fetch_add(rows_in as u64, Ordering::Relaxed);
        self.rows_out.fetch_add(rows_out as u64, Ordering::Relaxed);
        let ns = elapsed.map_or(0, |elapsed| u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX));
        self.device_ns.fetch_add(ns, Ordering::Relaxed);
    }

    fn report(&self, stage: usize) -> StageMetrics {
        StageMetrics {
            stage,
            rows_in: self.rows_in.load(Ordering::Relaxed),
            rows_out: self.rows_out.load(Ordering::Relaxed),
            device_time: Duration::from_nanos(self.device_ns.load(Ordering::Relaxed)),
            morsels_by_device: self.devices.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

fn add_morsels(devices: &Mutex<BTreeMap<DeviceId, u64>>, device: &DeviceId, morsels: u64) {
    let mut devices = devices.lock().unwrap_or_else(PoisonError::into_inner);
    match devices.get_mut(device) {
        Some(count) => *count += morsels,
        None => drop(devices.insert(device.clone(), morsels)),
    }
}

/// Counters of a job, written by its tasks.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) rows_read: AtomicU64,
    pub(crate) rows_written: AtomicU64,
    pub(crate) late_rows: AtomicU64,
    pub(crate) dead_letters: AtomicU64,
    pub(crate) row_groups_read: AtomicU64,
    pub(crate) row_groups_pruned: AtomicU64,
    pub(crate) fallback_morsels: AtomicU64,
    pub(crate) refused_fragments: AtomicU64,
    pub(crate) checkpoints: AtomicU64,
    pub(crate) checkpoints_given_up: AtomicU64,
    pub(crate) barrier_pauses: Durations,
    devices: Mutex<BTreeMap<DeviceId, u64>>,
    stages: Mutex<BTreeMap<usize, Arc<StageCounters>>>,
    sources: Mutex<BTreeMap<String, Vec<Arc<SourceCounters>>>>,
    sinks: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
    first_read: OnceLock<Instant>,
    last_write: Mutex<Option<Instant>>,
}

impl Counters {
    pub(crate) fn read_begins(&self) {
        self.first_read.get_or_init(Instant::now);
    }

    /// Counters for a source that is read, under its name; a job may read it more than once.
    pub(crate) fn source(&self, name: String, rows_total: Option<u64>) -> Arc<SourceCounters> {
        let counters = Arc::new(SourceCounters { rows_read: AtomicU64::new(0), rows_total });
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.entry(name).or_default().push(counters.clone());
        counters
    }

    fn sources(&self) -> BTreeMap<String, SourceMetrics> {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |readings: &Vec<Arc<SourceCounters>>| SourceMetrics {
            rows_read: readings.iter().map(|r| r.rows_read.load(Ordering::Relaxed)).sum(),
            rows_total: readings.iter().map(|r| r.rows_total).sum(),
        };
        sources.iter().map(|(name, readings)| (name.clone(), of(readings))).collect()
    }

    /// The rows written to a sink, under its name.
    pub(crate) fn sink(&self, name: String) -> Arc<AtomicU64> {
        self.sinks.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default().clone()
    }

    fn sinks(&self) -> BTreeMap<String, u64> {
        let sinks = self.sinks.lock().unwrap_or_else(PoisonError::into_inner);
        sinks.iter().map(|(name, rows)| (name.clone(), rows.load(Ordering::Relaxed))).collect()
    }

    pub(crate) fn wrote(&self, rows: usize) {
        self.rows_written.fetch_add(rows as u64, Ordering::Relaxed);
        *self.last_write.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// The counters of a stage of fragments, by its number in the plan.
    pub(crate) fn stage(&self, stage: usize) -> Arc<StageCounters> {
        self.stages.lock().unwrap_or_else(PoisonError::into_inner).entry(stage).or_default().clone()
    }

    pub(crate) fn ran_on(&self, stage: &StageCounters, device: &DeviceId, morsels: u64) {
        add_morsels(&self.devices, device, morsels);
        add_morsels(&stage.devices, device, morsels);
    }

    pub(crate) fn report(&self) -> JobMetrics {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let last = *self.last_write.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = match (self.first_read.get(), last) {
            (Some(first), Some(last)) => last.saturating_duration_since(*first),
            _ => Duration::ZERO,
        };
        JobMetrics {
            rows_read: get(&self.rows_read),
            rows_written: get(&self.rows_written),
            late_rows: get(&self.late_rows),
            dead_letters: get(&self.dead_letters),
            row_groups_read: get(&self.row_groups_read),
            row_groups_pruned: get(&self.row_groups_pruned),
            fallback_morsels: get(&self.fallback_morsels),
            refused_fragments: get(&self.refused_fragments),
            checkpoints: get(&self.checkpoints),
            checkpoints_given_up: get(&self.checkpoints_given_up),
            barrier_pauses: self.barrier_pauses.report(),
            restarts: 0,
            sources: self.sources(),
            sinks: self.sinks(),
            morsels_by_device: self.devices.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            stages: {
                let stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
                stages.iter().map(|(stage, counters)| counters.report(*stage)).collect()
            },
            elapsed,
        }
    }
}

/// What a job has done so far, or did in all.
///
/// ```
/// # use sabot::prelude::*;
/// let late = Stream::read(csv("../sabot/data/flights.csv"))?.filter(col("delay").gt(15))?;
/// let metrics = Job::new("late").write(&late, to_memory().0)?.run()?;
/// assert_eq!((metrics.rows_read, metrics.rows_written, metrics.late_rows), (4, 2, 0));
/// # Ok::<(), sabot::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobMetrics {
    /// Rows that sources handed over. Rows of pruned row groups are not among them.
    pub rows_read: u64,
    /// Rows that were handed to sinks.
    pub rows_written: u64,
    /// Rows that came too late for their window.
    pub late_rows: u64,
    /// Records that cannot be read and were put aside as dead letters.
    pub dead_letters: u64,
    /// Parquet row groups that were decoded.
    pub row_groups_read: u64,
    /// Parquet row groups whose statistics said that no row can pass.
    pub row_groups_pruned: u64,
    /// Morsels that failed on another device and were finished by the CPU backend.
    pub fallback_morsels: u64,
    /// Fragments that a configured backend does not support, so that the CPU backend runs them.
    pub refused_fragments: u64,
    /// Checkpoints that were written.
    pub checkpoints: u64,
    /// Checkpoints that were begun and given up: something could not be written, or took too long.
    pub checkpoints_given_up: u64,
    /// How long tasks stood still at barriers.
    pub barrier_pauses: BarrierPauses,
    /// How often the job was started again after a failure. Everything else here is of the newest run.
    pub restarts: u64,
    /// What was read of each source, by its name: a file's path.
    pub sources: BTreeMap<String, SourceMetrics>,
    /// Rows that were handed to each sink, by its name: a file's path. Sinks of one name count together.
    pub sinks: BTreeMap<String, u64>,
    /// Morsels that fragments finished, by device.
    pub morsels_by_device: BTreeMap<DeviceId, u64>,
    /// The same for each stage that has some: those of fragments, functions and look-ups, in the order of the plan.
    pub stages: Vec<StageMetrics>,
    /// From the first row asked of a source to the last row handed to a sink.
    pub elapsed: Duration,
}

/// What a stage of fragments has done.
///
/// ```
/// # use sabot::prelude::*;
/// let late = Stream::read(csv("../sabot/data/flights.csv"))?.filter(col("delay").gt(15))?;
/// let metrics = Job::new("late").write(&late, to_memory().0)?.run()?;
/// let stage = &metrics.stages[0];
/// assert_eq!((stage.rows_in, stage.rows_out, stage.morsels_by_device.len()), (4, 2, 1));
/// # Ok::<(), sabot::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StageMetrics {
    /// Its number, as `explain` has it.
    pub stage: usize,
    /// Rows that went in.
    pub rows_in: u64,
    /// Rows that came out; late ones are not among them.
    pub rows_out: u64,
    /// How long devices were at work, of those that say so; several may have been at the same time.
    pub device_time: Duration,
    /// Morsels that were finished, by device.
    pub morsels_by_device: BTreeMap<DeviceId, u64>,
}

/// What a job has read of one source.
///
/// ```
/// # use sabot::prelude::*;
/// let flights = Stream::read(csv("../sabot/data/flights.csv"))?;
/// let both = flights.clone().union(&Stream::from_batches(flights.collect()?)?)?;
/// let metrics = Job::new("both").write(&both, to_memory().0)?.run()?;
/// assert_eq!(metrics.rows_read, 8);
/// let file = &metrics.sources["../sabot/data/flights.csv"];
/// assert_eq!((file.rows_read, file.rows_total), (4, None)); // nobody knows how many lines a text has
/// # Ok::<(), sabot::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceMetrics {
    /// Rows that it handed over. Rows of pruned row groups are not among them.
    pub rows_read: u64,
    /// Rows that it has, where that is known without reading: of Parquet and Arrow files, batches in memory,
    /// made-up rows. Rows of pruned row groups are among them.
    pub rows_total: Option<u64>,
}
