//! Which partitions run too far ahead of the others and should pause.
//!
//! A partition that runs ahead fills memory: its rows wait in windows that the watermark of the slowest
//! partition keeps open. Pausing it bounds that state by the drift that is allowed. The decision is a
//! pure function of where the partitions are, so it can be taken again at any moment; the slowest active
//! partition is never paused, so alignment alone cannot bring a source to a halt.

use sabot_common::{EventTime, Span};
use serde::{Deserialize, Serialize};

use crate::{InputState, TimeError, not_negative};

/// Where one partition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionProgress {
    /// Active, idle or ended. A partition that is paused counts as active.
    pub state: InputState,
    /// Its own watermark.
    pub watermark: EventTime,
}

/// The rule: at most `max_drift` ahead of the slowest active partition.
///
/// ```
/// use sabot_common::{EventTime, Span};
/// use sabot_time::{Alignment, InputState, PartitionProgress};
///
/// let at = |t| PartitionProgress { state: InputState::Active, watermark: EventTime(t) };
/// let mut pause = Vec::new();
/// Alignment::new(Span(60))?.decide(&[at(100), at(160), at(161)], &mut pause);
/// assert_eq!(pause, [false, false, true]);
/// # Ok::<(), sabot_time::TimeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alignment {
    max_drift: Span,
}

impl Alignment {
    /// Alignment within `max_drift`.
    ///
    /// # Errors
    /// [`TimeError::Negative`] when `max_drift` is.
    pub fn new(max_drift: Span) -> Result<Self, TimeError> {
        Ok(Self { max_drift: not_negative("max drift", max_drift)? })
    }

    /// How far ahead a partition may be.
    pub fn max_drift(&self) -> Span {
        self.max_drift
    }

    /// Replaces the contents of `pause` with one answer per partition: whether it should be paused.
    ///
    /// Only active partitions pause and only they hold others back. One that has promised nothing yet
    /// (`MIN`) is the slowest: the others wait for its first row, or for it to become idle or end.
    pub fn decide(&self, partitions: &[PartitionProgress], pause: &mut Vec<bool>) {
        let active = |p: &&PartitionProgress| p.state == InputState::Active;
        let slowest = partitions.iter().filter(active).map(|p| p.watermark).min();
        pause.clear();
        pause.extend(partitions.iter().map(|p| {
            let ahead = slowest.map_or(0, |slowest| p.watermark.micros().saturating_sub(slowest.micros()));
            p.state == InputState::Active && ahead > self.max_drift.micros()
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decide(max_drift: i64, partitions: &[PartitionProgress]) -> Vec<bool> {
        let mut pause = vec![true; 3];
        Alignment::new(Span(max_drift)).unwrap().decide(partitions, &mut pause);
        pause
    }

    /// The definition: paused when some other active partition is behind by more than the drift.
    fn slow(max_drift: i64, partitions: &[PartitionProgress], counts: fn(InputState) -> bool) -> Vec<bool> {
        let ahead = |p: &PartitionProgress, of: &PartitionProgress| {
            i128::from(p.watermark.micros()) - i128::from(of.watermark.micros()) > i128::from(max_drift)
        };
        let others = |p| partitions.iter().any(|other| counts(other.state) && ahead(p, other));
        partitions.iter().map(|p| p.state == InputState::Active && others(p)).collect()
    }

    fn partitions() -> impl Strategy<Value = Vec<PartitionProgress>> {
        let state = prop_oneof![Just(InputState::Active), Just(InputState::Idle), Just(InputState::Ended)];
        let time = prop_oneof![6 => -40i64..40, 1 => Just(i64::MIN), 1 => Just(i64::MAX - 1)];
        let one = (state, time).prop_map(|(state, t)| PartitionProgress { state, watermark: EventTime(t) });
        prop::collection::vec(one, 0..12)
    }

    proptest! {
        #[test]
        fn any_partitions_equal_the_definition(partitions in partitions(), drift in 0i64..40) {
            let pause = decide(drift, &partitions);
            prop_assert_eq!(&pause, &slow(drift, &partitions, |s| s == InputState::Active));
            let running = partitions.iter().zip(&pause).any(|(p, &paused)| p.state == InputState::Active && !paused);
            let active = partitions.iter().any(|p| p.state == InputState::Active);
            prop_assert_eq!(running, active, "somebody must go on");
        }
    }

    /// The canary: idle partitions that held back the others would stop a source for ever.
    #[test]
    fn waiting_for_idle_partitions_would_be_noticed() {
        let at = |state, t| PartitionProgress { state, watermark: EventTime(t) };
        let partitions = [at(InputState::Idle, 0), at(InputState::Active, 100)];
        assert_eq!(decide(10, &partitions), [false, false]);
        assert_ne!(decide(10, &partitions), slow(10, &partitions, |_| true));
    }

    #[test]
    fn the_first_row_of_a_partition_is_waited_for() {
        let at = |t| PartitionProgress { state: InputState::Active, watermark: t };
        assert_eq!(decide(i64::MAX - 1, &[at(EventTime::MIN), at(EventTime(0))]), [false, true]);
    }

    #[test]
    fn a_negative_drift_is_refused() {
        let error = Alignment::new(Span(-1)).unwrap_err();
        assert_eq!(error, TimeError::Negative { what: "max drift", got: Span(-1) });
    }
}
