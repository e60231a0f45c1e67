//! How long tasks stand still at barriers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Each power of two is cut into so many, so that a duration is known to 6 %.
const PARTS: u32 = 16;
/// Up to 2³² µs, which is more than an hour.
const BUCKETS: usize = (32 - 4 + 1) * PARTS as usize;

/// Durations as a histogram with bounds that grow, in µs.
#[derive(Debug)]
pub(crate) struct Durations {
    counts: Box<[AtomicU64]>,
    max_us: AtomicU64,
}

impl Default for Durations {
    fn default() -> Self {
        Self { counts: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(), max_us: AtomicU64::new(0) }
    }
}

impl Durations {
    pub(crate) fn note(&self, duration: Duration) {
        let micros = u32::try_from(duration.as_micros()).unwrap_or(u32::MAX);
        self.counts[bucket_of(micros)].fetch_add(1, Ordering::Relaxed);
        self.max_us.fetch_max(micros.into(), Ordering::Relaxed);
    }

    pub(crate) fn report(&self) -> BarrierPauses {
        let counts: Vec<u64> = self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let count: u64 = counts.iter().sum();
        let max = Duration::from_micros(self.max_us.load(Ordering::Relaxed));
        // The largest value of the bucket in which the share is reached: never less than the true one.
        let quantile = |share: f64| {
            let wanted = (count as f64 * share).ceil().max(1.0) as u64;
            let mut seen = 0;
            let found = counts.iter().position(|count| {
                seen += count;
                seen >= wanted
            });
            found.map_or(Duration::ZERO, |bucket| Duration::from_micros(last_of(bucket)).min(max))
        };
        BarrierPauses { count, p50: quantile(0.5), p99: quantile(0.99), max }
    }
}

fn bucket_of(micros: u32) -> usize {
    match micros.checked_ilog2() {
        Some(power) if power >= 4 => {
            let part = (micros >> (power - 4)) - PARTS;
            ((power - 3) * PARTS + part) as usize
        }
        _ => micros as usize,
    }
}

/// The largest duration of a bucket, in µs.
fn last_of(bucket: usize) -> u64 {
    let (bucket, parts) = (bucket as u64, u64::from(PARTS));
    match bucket / parts {
        0 => bucket,
        row => ((parts + bucket % parts + 1) << (row - 1)) - 1,
    }
}

/// How long tasks with state, and those that write, stood still at barriers: each time that one of them took a snapshot
/// or staged what it had written. Quantiles are known to 6 %, and never less than the true ones.
///
/// ```
/// # use sabot::prelude::*;
/// # let folder = std::env::temp_dir().join(format!("sabot-doc-pauses-{}", std::process::id()));
/// let delays = Stream::read(csv("../sabot/data/flights.csv"))?.group_by(["origin"])?.aggregate([count()])?;
/// let job = Job::new("delays").write(&delays, to_memory().0)?.checkpoints(Checkpoints::folder(&folder));
/// let handle = job.start()?;
/// handle.stop(Stop::Suspend);
/// let pauses = handle.wait()?.barrier_pauses;
/// assert!(pauses.p50 <= pauses.p99 && pauses.p99 <= pauses.max);
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BarrierPauses {
    /// How often.
    pub count: u64,
    /// The median.
    pub p50: Duration,
    /// What 99 of 100 pauses do not exceed.
    pub p99: Duration,
    /// The longest.
    pub max: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_has_a_bucket_and_is_no_more_than_its_last() {
        for micros in (0..5_000).chain((0..32).map(|power| 1 << power)).chain([u32::MAX]) {
            let bucket = bucket_of(micros);
            let last = last_of(bucket);
            assert!(bucket < BUCKETS && last >= u64::from(micros), "{micros} {bucket} {last}");
            assert!(last <= u64::from(micros) + u64::from(micros) / 16, "{micros} {last}");
            assert!(bucket_of(micros.saturating_sub(1)) <= bucket, "{micros}");
        }
    }

    #[test]
    fn quantiles_are_those_of_what_was_noted() {
        let durations = Durations::default();
        assert_eq!(durations.report(), BarrierPauses::default());
        (1..=1_000).for_each(|ms| durations.note(Duration::from_millis(ms)));
        let BarrierPauses { count, p50, p99, max } = durations.report();
        assert_eq!((count, max), (1_000, Duration::from_secs(1)));
        let near = |found: Duration, wanted: f64| (1.0..1.07).contains(&(found.as_secs_f64() / wanted));
        assert!(near(p50, 0.5) && near(p99, 0.99), "{p50:?} {p99:?}");
    }
}
