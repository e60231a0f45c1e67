//! Whether a job that has failed starts again, and when.
//!
//! The decision looks at the history of failures alone. Randomness comes from a seed, so that many jobs that
//! failed together do not come back together, and a test still knows when one does.

use std::collections::VecDeque;
use std::time::Duration;

use crate::Now;

/// What to do about failures.
///
/// ```
/// # use sabot_checkpoint::{Now, Restart, RestartDecision, RestartStrategy};
/// # use std::time::Duration;
/// let (first, longest) = (Duration::from_millis(100), Duration::from_secs(10));
/// let strategy =
///     RestartStrategy::Exponential { first, longest, jitter_percent: 0, stable_after: Duration::from_secs(60) };
/// let mut restart = Restart::new(strategy, 7);
/// assert_eq!(restart.on_failure(Now::default()), RestartDecision::Retry { after: first });
/// assert_eq!(restart.on_failure(Now::default()), RestartDecision::Retry { after: 2 * first });
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RestartStrategy {
    /// A failure ends the job.
    #[default]
    None,
    /// The same wait each time, so many times in all.
    FixedDelay {
        /// Restarts.
        attempts: u32,
        /// The wait before each.
        delay: Duration,
    },
    /// A wait that doubles, up to a limit. A job that has run for a while starts over with the shortest.
    Exponential {
        /// The first wait.
        first: Duration,
        /// No wait is longer, jitter aside.
        longest: Duration,
        /// By how many percent a wait is made shorter or longer at random, at most; more than 100 counts as 100.
        jitter_percent: u8,
        /// A run of this length forgets the failures before it.
        stable_after: Duration,
    },
    /// The same wait each time, unless there were too many failures lately.
    FailureRate {
        /// So many failures within the interval are borne.
        failures: u32,
        /// The interval.
        interval: Duration,
        /// The wait before each restart.
        delay: Duration,
    },
}

/// What a strategy has decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestartDecision {
    /// Start again after this time.
    Retry {
        /// The wait.
        after: Duration,
    },
    /// The failure ends the job.
    GiveUp {
        /// Why there is no restart, for the message.
        reason: String,
    },
}

/// The history of a job's failures, and what follows from it.
///
/// ```
/// # use sabot_checkpoint::{Now, Restart, RestartDecision, RestartStrategy};
/// # use std::time::Duration;
/// let delay = Duration::from_secs(1);
/// let mut restart = Restart::new(RestartStrategy::FixedDelay { attempts: 1, delay }, 7);
/// restart.on_running(Now::default());
/// assert_eq!(restart.on_failure(Now::default()), RestartDecision::Retry { after: delay });
/// let reason = "it was restarted 1 times already".to_owned();
/// assert_eq!(restart.on_failure(Now::default()), RestartDecision::GiveUp { reason });
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Restart {
    strategy: RestartStrategy,
    random: u64,
    restarts: u32,
    running_since: Option<Duration>,
    failed_at: VecDeque<Duration>,
}

impl Restart {
    /// A job that has not failed yet.
    pub fn new(strategy: RestartStrategy, seed: u64) -> Self {
        Self { strategy, random: seed, restarts: 0, running_since: None, failed_at: VecDeque::new() }
    }

    /// The job has recovered and runs.
    pub fn on_running(&mut self, now: Now) {
        self.running_since = Some(now.elapsed);
    }

    /// The job has failed, while it ran or on the way there.
    pub fn on_failure(&mut self, now: Now) -> RestartDecision {
        let ran = self.running_since.take().map_or(Duration::ZERO, |since| now.elapsed.saturating_sub(since));
        match self.strategy {
            RestartStrategy::None => give_up("the job has no restart strategy".to_owned()),
            RestartStrategy::FixedDelay { attempts, delay } => match self.restarts < attempts {
                true => self.retry(delay),
                false => give_up(format!("it was restarted {attempts} times already")),
            },
            RestartStrategy::Exponential { first, longest, jitter_percent, stable_after } => {
                if ran >= stable_after && ran > Duration::ZERO {
                    self.restarts = 0;
                }
                let wait = first.saturating_mul(2u32.saturating_pow(self.restarts.min(31))).min(longest);
                let after = self.jittered(wait, jitter_percent.min(100));
                self.retry(after)
            }
            RestartStrategy::FailureRate { failures, interval, delay } => {
                // A clock that went back makes a failure look later than now: it counts as recent.
                self.failed_at.retain(|at| now.elapsed.saturating_sub(*at) < interval);
                self.failed_at.push_back(now.elapsed);
                match self.failed_at.len() as u64 > u64::from(failures) {
                    true => give_up(format!("it failed {} times within {interval:?}", self.failed_at.len())),
                    false => self.retry(delay),
                }
            }
        }
    }

    fn retry(&mut self, after: Duration) -> RestartDecision {
        self.restarts = self.restarts.saturating_add(1);
        RestartDecision::Retry { after }
    }

    /// A wait that is up to `percent` shorter or longer.
    fn jittered(&mut self, wait: Duration, percent: u8) -> Duration {
        // SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let permille = (z ^ (z >> 31)) % (u64::from(percent) * 20 + 1);
        let factor = 1_000 - u64::from(percent) * 10 + permille;
        let nanos = wait.as_nanos().saturating_mul(u128::from(factor)) / 1_000;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

fn give_up(reason: String) -> RestartDecision {
    RestartDecision::GiveUp { reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use RestartDecision::Retry;

    fn at(secs: u64) -> Now {
        Now { elapsed: Duration::from_secs(secs), unix_ms: 0 }
    }

    fn secs(n: u64) -> RestartDecision {
        Retry { after: Duration::from_secs(n) }
    }

    #[test]
    fn without_a_strategy_the_first_failure_is_the_last() {
        let decision = Restart::new(RestartStrategy::default(), 0).on_failure(at(0));
        assert!(matches!(decision, RestartDecision::GiveUp { .. }));
    }

    fn exponential(jitter_percent: u8) -> RestartStrategy {
        let (first, longest) = (Duration::from_secs(1), Duration::from_secs(5));
        RestartStrategy::Exponential {
            first,
            longest,
            jitter_percent,
            stable_after: Duration::from_secs(100),
        }
    }

    #[test]
    fn waits_double_until_the_job_is_stable() {
        let mut restart = Restart::new(exponential(0), 0);
        let waits: Vec<_> = (0..5).map(|n| restart.on_failure(at(n))).collect();
        assert_eq!(waits, [secs(1), secs(2), secs(4), secs(5), secs(5)]);
        restart.on_running(at(10));
        assert_eq!(restart.on_failure(at(109)), secs(5));
        restart.on_running(at(200));
        assert_eq!(restart.on_failure(at(300)), secs(1));
        // Failing on the way to running is no stable run, however long it took.
        assert_eq!(restart.on_failure(at(900)), secs(2));
    }

    #[test]
    fn jitter_stays_in_its_bounds_and_comes_from_the_seed() {
        let waits = |seed| {
            let mut restart = Restart::new(exponential(20), seed);
            (0..200).map(|n| restart.on_failure(at(n))).collect::<Vec<_>>()
        };
        assert_eq!(waits(1), waits(1));
        assert_ne!(waits(1), waits(2));
        for wait in &waits(3)[3..] {
            let Retry { after } = wait else { panic!("{wait:?}") };
            assert!((4.0..=6.0).contains(&after.as_secs_f64()), "{after:?}");
        }
    }

    #[test]
    fn failures_count_while_they_are_recent() {
        let (interval, delay) = (Duration::from_secs(10), Duration::from_secs(1));
        let mut restart = Restart::new(RestartStrategy::FailureRate { failures: 2, interval, delay }, 0);
        for time in [0, 9, 10, 19] {
            assert_eq!(restart.on_failure(at(time)), secs(1), "{time}");
        }
        let decision = restart.on_failure(at(19));
        assert_eq!(decision, RestartDecision::GiveUp { reason: "it failed 3 times within 10s".to_owned() });
    }
}
