//! The watermark of one source partition, with bounded out-of-orderness, and the lateness of its rows.
//!
//! Lateness is measured against the running maximum of the row's own partition, up to and including the
//! row. So it depends on the partition's contents alone: not on how partitions interleave, not on how
//! rows are cut into morsels. That is the invariant that makes late rows the same in every run.

use sabot_common::{EventTime, Span};
use serde::{Deserialize, Serialize};

use crate::{TimeError, not_negative};

/// Makes the watermark of one source partition from the times of its rows.
///
/// ```
/// use sabot_common::{EventTime, Span};
/// use sabot_time::PartitionClock;
///
/// let mut clock = PartitionClock::new(Span(10))?;
/// let mut late = Vec::new();
/// clock.observe(&[100, 95, 120, 105], &mut late);
/// assert_eq!(late, [0, 0, 0, 5]); // the last row is 15 behind the maximum, 5 more than the bound
/// assert_eq!(clock.watermark(), EventTime(109)); // 110 may still come
/// # Ok::<(), sabot_time::TimeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionClock {
    delay: Span,
    max: Option<EventTime>,
    watermark: EventTime,
}

impl PartitionClock {
    /// The clock of a partition whose rows are at most `delay` behind a row that came before them.
    ///
    /// # Errors
    /// [`TimeError::Negative`] when `delay` is.
    pub fn new(delay: Span) -> Result<Self, TimeError> {
        Self::resume(delay, None, EventTime::MIN)
    }

    /// The clock as it goes on after a restart: with the largest time that was seen and the watermark
    /// that was given. The watermark stays at least what it was, also when `delay` has grown since.
    ///
    /// # Errors
    /// [`TimeError::Negative`] when `delay` is.
    pub fn resume(delay: Span, max: Option<EventTime>, watermark: EventTime) -> Result<Self, TimeError> {
        let delay = not_negative("out-of-orderness", delay)?;
        let mut clock = Self { delay, max: None, watermark };
        if let Some(max) = max {
            clock.raise(max);
        }
        Ok(clock)
    }

    /// Takes the event times of the next rows, in the partition's order, and replaces the contents of
    /// `late` with how far each is behind the bound, in µs: `max(0, (running maximum − time) − delay)`,
    /// 0 for a row that is on time, and `i64::MAX` where it would be more.
    ///
    /// Returns how many rows are behind the bound. A row is behind it exactly when its time is at or
    /// below the watermark of the rows before it.
    pub fn observe(&mut self, times: &[i64], late: &mut Vec<i64>) -> usize {
        late.clear();
        let Some(&first) = times.first() else { return 0 };
        let mut max = self.max.map_or(first, EventTime::micros);
        let delay = self.delay.micros().unsigned_abs();
        let mut behind = 0;
        late.extend(times.iter().map(|&t| {
            max = max.max(t);
            // Unsigned, a difference of two times is exact over their whole range.
            let late = max.abs_diff(t).saturating_sub(delay);
            behind += usize::from(late > 0);
            i64::try_from(late).unwrap_or(i64::MAX)
        }));
        self.raise(EventTime(max));
        behind
    }

    /// Raises the maximum for rows that were skipped unread: a pruned row group counts by its largest
    /// time. It must be called where those rows would have stood, before the rows that follow them.
    pub fn raise(&mut self, max: EventTime) {
        let max = self.max.map_or(max, |seen| seen.max(max));
        self.max = Some(max);
        // Not `EventTime::minus`: a row at the very end of time is a row, and does not end the stream.
        let bound = max.micros().saturating_sub(self.delay.micros()).saturating_sub(1);
        self.watermark = self.watermark.max(EventTime(bound));
    }

    /// The watermark: the maximum − delay − 1, saturating, and `MIN` before the first row.
    pub fn watermark(&self) -> EventTime {
        self.watermark
    }

    /// The largest time seen or raised to; none before the first row.
    pub fn max_seen(&self) -> Option<EventTime> {
        self.max
    }

    /// How far behind an earlier row a row may be.
    pub fn delay(&self) -> Span {
        self.delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn clock(delay: i64) -> PartitionClock {
        PartitionClock::new(Span(delay)).unwrap()
    }

    /// The definition, row by row, in 128 bits. `forget` is the canary's mistake.
    fn slow(delay: i64, times: &[i64], forget: impl Fn(usize) -> bool) -> (Vec<i64>, i64) {
        let clamp = |x: i128| i64::try_from(x).unwrap_or(if x > 0 { i64::MAX } else { i64::MIN });
        let mut late = Vec::new();
        for (i, &t) in times.iter().enumerate() {
            let from = (0..i).rev().find(|&j| forget(j)).map_or(0, |j| j + 1);
            let max = times[from..=i].iter().copied().max().unwrap();
            late.push(clamp((i128::from(max) - i128::from(t) - i128::from(delay)).max(0)));
        }
        let watermark =
            times.iter().max().map_or(i64::MIN, |&max| clamp(i128::from(max) - i128::from(delay) - 1));
        (late, watermark)
    }

    fn times() -> impl Strategy<Value = Vec<i64>> {
        let time = prop_oneof![
            8 => -50i64..50,
            1 => any::<i64>(),
            1 => prop_oneof![Just(i64::MIN), Just(i64::MIN + 1), Just(i64::MAX - 1), Just(i64::MAX)],
        ];
        prop::collection::vec(time, 0..40)
    }

    fn delays() -> impl Strategy<Value = i64> {
        prop_oneof![4 => 0i64..30, 1 => Just(i64::MAX), 1 => 0..i64::MAX]
    }

    proptest! {
        #[test]
        fn any_cut_into_morsels_equals_the_definition(times in times(), delay in delays(), cut in 1usize..9) {
            let mut clock = clock(delay);
            let (mut all, mut late, mut behind) = (Vec::new(), vec![7], 0);
            let mut before = clock.watermark();
            for morsel in times.chunks(cut) {
                behind += clock.observe(morsel, &mut late);
                all.extend_from_slice(&late);
                prop_assert!(clock.watermark() >= before, "the watermark went back");
                before = clock.watermark();
            }
            let (expected, watermark) = slow(delay, &times, |_| false);
            prop_assert_eq!(behind, expected.iter().filter(|&&x| x > 0).count());
            prop_assert_eq!(&all, &expected);
            prop_assert_eq!(clock.watermark(), EventTime(watermark));
        }

        #[test]
        fn a_row_is_behind_exactly_when_an_earlier_watermark_denied_it(times in times(), delay in delays()) {
            let mut clock = clock(delay);
            let mut late = Vec::new();
            for &t in &times {
                let before = clock.watermark();
                clock.observe(&[t], &mut late);
                // `MIN` is the watermark that promises nothing, not even about the first point in time.
                if before != EventTime::MIN {
                    prop_assert_eq!(late[0] > 0, EventTime(t) <= before);
                }
            }
        }

        #[test]
        fn skipped_rows_count_as_if_read(times in times(), skipped in times(), delay in delays()) {
            let (mut read, mut pruned) = (clock(delay), clock(delay));
            let (mut a, mut b) = (Vec::new(), Vec::new());
            read.observe(&skipped, &mut a);
            if let Some(&max) = skipped.iter().max() {
                pruned.raise(EventTime(max));
            }
            read.observe(&times, &mut a);
            pruned.observe(&times, &mut b);
            prop_assert_eq!(a, b);
            prop_assert_eq!(read, pruned);
        }

        #[test]
        fn a_restart_changes_nothing(times in times(), delay in delays(), cut in 0usize..40) {
            let (head, tail) = times.split_at(cut.min(times.len()));
            let (mut straight, mut late) = (clock(delay), Vec::new());
            straight.observe(head, &mut late);
            let mut resumed =
                PartitionClock::resume(Span(delay), straight.max_seen(), straight.watermark()).unwrap();
            let mut again = Vec::new();
            straight.observe(tail, &mut late);
            resumed.observe(tail, &mut again);
            prop_assert_eq!(late, again);
            prop_assert_eq!(straight, resumed);
        }
    }

    /// The canary: a maximum that starts anew with each morsel, the likeliest mistake.
    #[test]
    fn forgetting_the_maximum_between_morsels_would_be_noticed() {
        let times = [100, 10, 20, 15];
        let mut clock = clock(0);
        let mut late = Vec::new();
        let mut all = Vec::new();
        for morsel in times.chunks(2) {
            clock.observe(morsel, &mut late);
            all.extend_from_slice(&late);
        }
        assert_eq!(all, [0, 90, 80, 85]);
        assert_ne!(all, slow(0, &times, |i| i % 2 == 1).0);
    }

    #[test]
    fn before_the_first_row_nothing_is_promised() {
        let mut clock = clock(5);
        assert_eq!(clock.observe(&[], &mut vec![1]), 0);
        assert_eq!((clock.watermark(), clock.max_seen()), (EventTime::MIN, None));
    }

    #[test]
    fn a_row_at_the_end_of_time_does_not_end_the_stream() {
        let mut clock = clock(0);
        clock.observe(&[i64::MAX], &mut Vec::new());
        assert_eq!(clock.watermark(), EventTime(i64::MAX - 1));
    }

    #[test]
    fn a_longer_delay_after_a_restart_leaves_the_watermark_where_it_was() {
        let mut clock = PartitionClock::resume(Span(50), Some(EventTime(100)), EventTime(94)).unwrap();
        assert_eq!(clock.watermark(), EventTime(94));
        clock.raise(EventTime(140));
        assert_eq!(clock.watermark(), EventTime(94));
        clock.raise(EventTime(150));
        assert_eq!(clock.watermark(), EventTime(99));
    }

    #[test]
    fn a_negative_delay_is_refused() {
        let error = PartitionClock::new(Span(-1_000)).unwrap_err();
        assert_eq!(error.to_string(), "out-of-orderness is -1 ms; it must be 0 or more");
    }
}
