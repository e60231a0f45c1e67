//! When a partition without rows stops holding back the others.
//!
//! A partition is idle when it has delivered no row for the idle timeout. Time during which the engine
//! itself had paused it does not count: a slow pipeline must not make its sources look idle, for then
//! their rows would be late for no fault of theirs. Bounded partitions have no timeout.

use std::time::Duration;

/// A change between active and idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdleEvent {
    /// Rows arrived after the partition had been idle.
    Active,
    /// The timeout has passed without rows.
    Idle,
}

/// Watches one partition. `now` is the time of the injected clock and never goes back; where it does,
/// the detector waits longer, and nothing else.
///
/// ```
/// use std::time::Duration;
/// use sabot_time::{IdleDetector, IdleEvent};
///
/// let s = Duration::from_secs;
/// let mut idle = IdleDetector::new(Some(s(10)), s(0));
/// assert_eq!(idle.on_rows(s(4)), None);
/// assert_eq!(idle.check(s(13)), None);
/// assert_eq!(idle.check(s(14)), Some(IdleEvent::Idle));
/// assert_eq!(idle.check(s(15)), None, "said once");
/// assert_eq!(idle.on_rows(s(16)), Some(IdleEvent::Active));
/// ```
#[derive(Clone, Debug)]
pub struct IdleDetector {
    timeout: Option<Duration>,
    /// When the partition last delivered rows or was resumed.
    since: Duration,
    idle: bool,
    paused: bool,
}

impl IdleDetector {
    /// A detector for an active partition that has been waited for since `now`. Without a timeout the
    /// partition never becomes idle.
    pub fn new(timeout: Option<Duration>, now: Duration) -> Self {
        Self { timeout, since: now, idle: false, paused: false }
    }

    /// Rows have arrived. Rows that were under way when the partition was paused count as well.
    pub fn on_rows(&mut self, now: Duration) -> Option<IdleEvent> {
        self.since = now;
        std::mem::take(&mut self.idle).then_some(IdleEvent::Active)
    }

    /// The engine has paused the partition. An idle partition stays idle, an active one stays active
    /// until it has been resumed and the whole timeout has passed again.
    pub fn on_pause(&mut self) {
        self.paused = true;
    }

    /// The engine reads the partition again.
    pub fn on_resume(&mut self, now: Duration) {
        if std::mem::take(&mut self.paused) {
            self.since = now;
        }
    }

    /// Whether the partition has become idle by `now`; says so once.
    pub fn check(&mut self, now: Duration) -> Option<IdleEvent> {
        let due = self.deadline().is_some_and(|deadline| now >= deadline);
        self.idle |= due;
        due.then_some(IdleEvent::Idle)
    }

    /// When [`IdleDetector::check`] will find the partition idle if nothing happens until then; none
    /// while it is idle already, paused, or without a timeout.
    pub fn deadline(&self) -> Option<Duration> {
        match self.timeout {
            Some(timeout) if !self.idle && !self.paused => Some(self.since.saturating_add(timeout)),
            _ => None,
        }
    }

    /// Whether the partition is idle.
    pub fn is_idle(&self) -> bool {
        self.idle
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Step {
        Rows,
        Pause,
        Resume,
        Check,
    }

    /// The definition over the whole history: idle at a check when, for the whole timeout before it, the
    /// partition was neither paused nor delivered rows; active again with the next rows.
    fn slow(timeout: u64, history: &[(u64, Step)], pauses_count: bool) -> Vec<Option<IdleEvent>> {
        let mut idle = false;
        let mut said = Vec::new();
        for (i, &(now, step)) in history.iter().enumerate() {
            let past = &history[..i];
            let before = idle;
            match step {
                Step::Rows => idle = false,
                Step::Check if !idle => {
                    let rows = past.iter().rev().find(|(_, s)| *s == Step::Rows).map_or(0, |(at, _)| *at);
                    idle = now - rows >= timeout && (pauses_count || !paused_since(past, now - timeout));
                }
                _ => {}
            }
            said.push(match (before, idle) {
                (false, true) => Some(IdleEvent::Idle),
                (true, false) => Some(IdleEvent::Active),
                _ => None,
            });
        }
        said
    }

    /// Whether the partition was paused at any moment after `from`.
    fn paused_since(past: &[(u64, Step)], from: u64) -> bool {
        let mut paused = false;
        let mut last = false;
        for &(at, step) in past {
            match step {
                Step::Pause => paused = true,
                Step::Resume => {
                    // Paused until `at`: that reaches beyond `from` when it ended after it.
                    last |= paused && at > from;
                    paused = false;
                }
                _ => {}
            }
        }
        paused || last
    }

    fn fast(timeout: u64, history: &[(u64, Step)]) -> Vec<Option<IdleEvent>> {
        let mut detector = IdleDetector::new(Some(Duration::from_secs(timeout)), Duration::ZERO);
        let mut said = Vec::new();
        for &(now, step) in history {
            let now = Duration::from_secs(now);
            let deadline = detector.deadline();
            let event = match step {
                Step::Rows => detector.on_rows(now),
                Step::Pause => {
                    detector.on_pause();
                    None
                }
                Step::Resume => {
                    detector.on_resume(now);
                    None
                }
                Step::Check => detector.check(now),
            };
            if step == Step::Check {
                assert_eq!(
                    event.is_some(),
                    deadline.is_some_and(|d| now >= d),
                    "the deadline told otherwise"
                );
            }
            said.push(event);
        }
        said
    }

    proptest! {
        #[test]
        fn any_history_equals_the_definition(
            timeout in 1u64..8,
            steps in prop::collection::vec((0u64..4, 0usize..6), 0..60),
        ) {
            let mut now = timeout;
            let history: Vec<(u64, Step)> = steps
                .into_iter()
                .map(|(wait, step)| {
                    now += wait;
                    (now, [Step::Check, Step::Check, Step::Check, Step::Rows, Step::Pause, Step::Resume][step])
                })
                .collect();
            prop_assert_eq!(fast(timeout, &history), slow(timeout, &history, false));
        }
    }

    /// The canary: a definition that forgets pauses tells this history differently.
    #[test]
    fn counting_paused_time_would_be_noticed() {
        let history = [(6, Step::Pause), (20, Step::Check), (21, Step::Resume), (25, Step::Check)];
        assert_eq!(fast(5, &history), [None, None, None, None]);
        assert_ne!(fast(5, &history), slow(5, &history, true));
    }

    #[test]
    fn without_a_timeout_nothing_is_ever_idle() {
        let mut detector = IdleDetector::new(None, Duration::ZERO);
        assert_eq!(detector.check(Duration::MAX), None);
        assert_eq!(detector.deadline(), None);
        assert!(!detector.is_idle());
    }

    #[test]
    fn a_clock_that_goes_back_only_waits_longer() {
        let mut detector = IdleDetector::new(Some(Duration::from_secs(5)), Duration::from_secs(100));
        assert_eq!(detector.check(Duration::from_secs(1)), None);
        assert_eq!(detector.check(Duration::from_secs(105)), Some(IdleEvent::Idle));
    }
}
