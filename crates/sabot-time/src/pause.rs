//! When a partition that the engine does not read is told to pause.
//!
//! Full queues come and go within milliseconds, and a reader that paused for each of them would stop
//! fetching ahead just when that helps. So a partition is paused once it has been held back for a while
//! without a break, and resumed before it is next read.

use std::time::Duration;

/// Watches one partition. `now` is the time of the injected clock.
///
/// ```
/// use std::time::Duration;
/// use sabot_time::PauseDecision;
///
/// let s = Duration::from_secs;
/// let mut pause = PauseDecision::new(s(5));
/// assert!(!pause.on_held(s(1)));
/// assert!(!pause.on_held(s(5)));
/// assert!(pause.on_held(s(6)), "held back for five seconds");
/// assert!(!pause.on_held(s(9)), "said once");
/// assert!(pause.on_read(), "it must be resumed");
/// assert!(!pause.on_read());
/// ```
#[derive(Clone, Debug)]
pub struct PauseDecision {
    after: Duration,
    held_since: Option<Duration>,
    paused: bool,
}

impl PauseDecision {
    /// A partition that is being read, and is paused when it was held back for `after`.
    pub fn new(after: Duration) -> Self {
        Self { after, held_since: None, paused: false }
    }

    /// The engine has no room for the partition's rows. Whether it is to be paused now; says so once.
    pub fn on_held(&mut self, now: Duration) -> bool {
        let since = *self.held_since.get_or_insert(now);
        let due = !self.paused && now.saturating_sub(since) >= self.after;
        self.paused |= due;
        due
    }

    /// The engine is about to read the partition. Whether it must be resumed first.
    pub fn on_read(&mut self) -> bool {
        self.held_since = None;
        std::mem::take(&mut self.paused)
    }

    /// When [`PauseDecision::on_held`] will ask for a pause if nothing is read until then; none while the
    /// partition is read or paused.
    pub fn deadline(&self) -> Option<Duration> {
        self.held_since.filter(|_| !self.paused).map(|since| since.saturating_add(self.after))
    }

    /// Whether the partition is paused.
    pub fn is_paused(&self) -> bool {
        self.paused
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition over the whole history: how long has it been held back, without being read.
    fn slow(after: u64, history: &[(u64, bool)]) -> Vec<bool> {
        let mut paused = false;
        let mut said = Vec::new();
        for (i, &(now, read)) in history.iter().enumerate() {
            if read {
                said.push(std::mem::take(&mut paused));
                continue;
            }
            let first_held = history[..=i].iter().rposition(|(_, read)| *read).map_or(0, |read| read + 1);
            let due = !paused && now - history[first_held].0 >= after;
            paused |= due;
            said.push(due);
        }
        said
    }

    proptest! {
        #[test]
        fn any_history_equals_the_definition(
            after in 0u64..6,
            steps in prop::collection::vec((0u64..4, prop::bool::weighted(0.3)), 0..60),
        ) {
            let s = Duration::from_secs;
            let mut now = 0;
            let mut history = Vec::new();
            for (wait, read) in steps {
                now += wait;
                history.push((now, read));
            }
            let mut pause = PauseDecision::new(s(after));
            let mut said = Vec::new();
            for &(now, read) in &history {
                let deadline = pause.deadline();
                let paused = pause.is_paused();
                let now = s(now);
                let event = if read { pause.on_read() } else { pause.on_held(now) };
                match read {
                    true => prop_assert_eq!(event, paused),
                    false if deadline.is_some() => prop_assert_eq!(event, deadline.is_some_and(|d| now >= d)),
                    false => {}
                }
                said.push(event);
            }
            prop_assert_eq!(said, slow(after, &history));
        }
    }

    /// The canary: one that forgets that reading starts the wait anew is found out.
    #[test]
    fn a_break_starts_the_wait_anew() {
        let history = [(0, false), (4, true), (6, false), (8, false)];
        assert_eq!(slow(5, &history), [false; 4]);
        assert_eq!(slow(5, &[(0, false), (8, false)]), [false, true]);
    }
}
