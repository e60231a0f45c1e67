//! Time as the state machines are given it, and how long they wait before they try again.

use std::time::Duration;

/// The current time, handed in with every event.
///
/// ```
/// # use sabot_checkpoint::Now;
/// # use std::time::Duration;
/// let now = Now { elapsed: Duration::from_secs(5), unix_ms: 1_764_324_000_000 };
/// assert_eq!(now.plus(Duration::from_secs(1)), Duration::from_secs(6));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Now {
    /// Monotonic time since some fixed start. Should it go back, waiting takes longer and nothing else happens.
    pub elapsed: Duration,
    /// Milliseconds since 1970-01-01T00:00:00 UTC. It is written into manifests, and decides nothing.
    pub unix_ms: u64,
}

impl Now {
    /// The monotonic time after `wait`.
    pub fn plus(self, wait: Duration) -> Duration {
        self.elapsed.saturating_add(wait)
    }
}

/// How often a call is repeated, and how long to wait in between: twice as long each time, up to a limit.
///
/// ```
/// # use sabot_checkpoint::Attempts;
/// # use std::time::Duration;
/// let attempts = Attempts { max: 3, first: Duration::from_millis(100), longest: Duration::from_millis(150) };
/// assert_eq!(attempts.wait_after(1), Some(Duration::from_millis(100)));
/// assert_eq!(attempts.wait_after(2), Some(Duration::from_millis(150)));
/// assert_eq!(attempts.wait_after(3), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Attempts {
    /// Calls in all; 0 counts as 1.
    pub max: u32,
    /// The wait after the first one that failed.
    pub first: Duration,
    /// No wait is longer.
    pub longest: Duration,
}

impl Attempts {
    /// How long to wait after `failed` calls; none when there were enough of them.
    pub fn wait_after(&self, failed: u32) -> Option<Duration> {
        let doubled = 2u32.saturating_pow(failed.saturating_sub(1).min(31));
        (failed < self.max.max(1)).then(|| self.first.saturating_mul(doubled).min(self.longest))
    }
}

impl Default for Attempts {
    /// Ten calls over about half a minute: a server that restarts is back by then.
    fn default() -> Self {
        Self { max: 10, first: Duration::from_millis(50), longest: Duration::from_secs(10) }
    }
}

/// A call that is under way or waits for its next attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Trying {
    failed: u32,
    /// When to call again; none while the call is under way.
    again_at: Option<Duration>,
}

impl Trying {
    /// The call failed: when it is due again, or false when that was the last attempt.
    pub(crate) fn failed(&mut self, attempts: &Attempts, now: Now) -> bool {
        self.failed = self.failed.saturating_add(1);
        self.again_at = attempts.wait_after(self.failed).map(|wait| now.plus(wait));
        self.again_at.is_some()
    }

    /// Whether to call again now; says so once.
    pub(crate) fn due(&mut self, now: Now) -> bool {
        let due = self.again_at.is_some_and(|at| now.elapsed >= at);
        if due {
            self.again_at = None;
        }
        due
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.again_at
    }

    /// Whether the call is under way.
    pub(crate) fn under_way(&self) -> bool {
        self.again_at.is_none()
    }
}

/// Something that does not change during the life of a state machine, and so need not be part of its hash:
/// a search over states hashes millions of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Constant<T>(pub(crate) T);

impl<T> std::hash::Hash for Constant<T> {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}
