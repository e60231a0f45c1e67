//! Tumbling windows: which window a time lies in, when it fires, and which rows are too late for it.
//!
//! Windows partition the whole range of event time, negative times included: every time lies in exactly
//! one window, `start ≤ time < end`. At the two ends of the range windows are cut rather than wrapped.
//! The first window starts at `EventTime::MIN` even where its size would have it start earlier; the last
//! one ends at `EventTime::MAX` and, alone among windows, includes its end. Nothing here overflows.

use sabot_common::{EventTime, Span};
use serde::{Deserialize, Serialize};
use std::fmt;

use crate::TimeError;

/// Windows of one size that follow each other without gap or overlap.
///
/// ```
/// use sabot_common::{EventTime, Span};
/// use sabot_time::TumblingWindow;
///
/// let hours = TumblingWindow::new(Span::from_secs(3600), Span::ZERO)?;
/// let start = hours.start_of(EventTime(-1));
/// assert_eq!(start, EventTime(-3_600_000_000));
/// assert_eq!(hours.end_of(start), EventTime(0));
/// assert_eq!(hours.to_string(), "tumbling(1 h)");
/// # Ok::<(), sabot_time::TimeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Parts", into = "Parts")]
pub struct TumblingWindow {
    size: i64,
    /// In `0..size`.
    offset: i64,
}

/// What a plan stores of a window.
#[derive(Serialize, Deserialize)]
struct Parts {
    size: Span,
    #[serde(default)]
    offset: Span,
}

impl TryFrom<Parts> for TumblingWindow {
    type Error = TimeError;
    fn try_from(parts: Parts) -> Result<Self, TimeError> {
        Self::new(parts.size, parts.offset)
    }
}

impl From<TumblingWindow> for Parts {
    fn from(window: TumblingWindow) -> Parts {
        Parts { size: window.size(), offset: window.offset() }
    }
}

impl TumblingWindow {
    /// Windows of `size` that start at `offset` and at all whole multiples of `size` from there. An
    /// offset outside `0..size` means the same windows as its remainder.
    ///
    /// # Errors
    /// [`TimeError::WindowSize`] when the size is zero or negative.
    pub fn new(size: Span, offset: Span) -> Result<Self, TimeError> {
        if size <= Span::ZERO {
            return Err(TimeError::WindowSize { got: size });
        }
        Ok(Self { size: size.micros(), offset: offset.micros().rem_euclid(size.micros()) })
    }

    /// The length of a window.
    pub fn size(&self) -> Span {
        Span(self.size)
    }

    /// Where windows start, counted from the epoch; at least 0 and less than the size.
    pub fn offset(&self) -> Span {
        Span(self.offset)
    }

    /// How far `t` is from the boundary at or before it. Both remainders are in `0..size`, so their
    /// difference cannot overflow where `t - offset` could.
    #[inline]
    fn past_boundary(&self, t: i64) -> i64 {
        (t.rem_euclid(self.size) - self.offset).rem_euclid(self.size)
    }

    #[inline]
    fn start_micros(&self, t: i64) -> i64 {
        t.saturating_sub(self.past_boundary(t))
    }

    /// The last time that lies in the window of `t`. It never overflows: the way to the last time of
    /// the window is counted from `t`, and `i64::MAX` is the last time of the last window.
    #[inline]
    fn last_micros(&self, t: i64) -> i64 {
        t.saturating_add(self.size - self.past_boundary(t) - 1)
    }

    /// The start of the window that holds `t`: the largest boundary at or before `t`, also for negative
    /// times, and `MIN` in the first window.
    #[inline]
    pub fn start_of(&self, t: EventTime) -> EventTime {
        EventTime(self.start_micros(t.micros()))
    }

    /// The exclusive end of the window that starts at `start` (or holds it): the next boundary, and
    /// `MAX` for the last window.
    #[inline]
    pub fn end_of(&self, start: EventTime) -> EventTime {
        EventTime(self.last_micros(start.micros()).saturating_add(1))
    }

    /// The watermark at which the window that starts at `start` fires: `end − 1 + allowed_lateness`,
    /// saturating. The last window fires with the final watermark, `MAX`.
    ///
    /// With this, and rows dropped by [`is_late`], no row that a window must still take arrives after it
    /// has fired, as long as no partition returned from idle (such rows can come for closed windows and
    /// must be recognised by the owner of the state; see [`TumblingWindow::is_closed`]).
    #[inline]
    pub fn fires_at(&self, start: EventTime, allowed_lateness: Span) -> EventTime {
        EventTime(self.last_micros(start.micros())).plus(allowed_lateness)
    }

    /// Whether the window that starts at `start` has fired once `watermark` has been seen.
    #[inline]
    pub fn is_closed(&self, start: EventTime, watermark: EventTime, allowed_lateness: Span) -> bool {
        watermark >= self.fires_at(start, allowed_lateness)
    }

    /// Replaces the contents of `starts` with the start of each time's window.
    pub fn assign(&self, times: &[i64], starts: &mut Vec<i64>) {
        starts.clear();
        // Rows mostly follow each other within one window: two comparisons instead of two divisions.
        let (mut start, mut last) = match times.first() {
            Some(&t) => (self.start_micros(t), self.last_micros(t)),
            None => return,
        };
        starts.extend(times.iter().map(|&t| {
            if t < start || t > last {
                (start, last) = (self.start_micros(t), self.last_micros(t));
            }
            start
        }));
    }

    /// The start of the window in which all times from `min` to `max` lie, both included; none where
    /// they lie in several. A morsel whose time bounds lie in one window needs no assignment per row.
    #[inline]
    pub fn one_window(&self, min: EventTime, max: EventTime) -> Option<EventTime> {
        let start = self.start_of(min);
        (start == self.start_of(max)).then_some(start)
    }
}

impl fmt::Display for TumblingWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.offset {
            0 => write!(f, "tumbling({})", self.size()),
            _ => write!(f, "tumbling({}, offset {})", self.size(), self.offset()),
        }
    }
}

/// Whether a row that is `behind` µs behind the bound of its partition
/// ([`PartitionClock::observe`](crate::PartitionClock::observe)) is too late for a window that allows
/// this much lateness.
///
/// ```
/// # use sabot_common::Span;
/// # use sabot_time::is_late;
/// assert!(is_late(2_000_000, Span::from_secs(1)));
/// assert!(!is_late(1_000_000, Span::from_secs(1)));
/// ```
#[inline]
pub fn is_late(behind: i64, allowed_lateness: Span) -> bool {
    behind > allowed_lateness.micros()
}

/// The watermark behind a window operator: rows of windows may come until the input's watermark has
/// passed their end by the allowed lateness. `MIN` and `MAX` stay what they are.
///
/// ```
/// # use sabot_common::{EventTime, Span};
/// # use sabot_time::output_watermark;
/// assert_eq!(output_watermark(EventTime(5_000_000), Span::from_secs(2)), EventTime(3_000_000));
/// ```
#[inline]
pub fn output_watermark(watermark: EventTime, allowed_lateness: Span) -> EventTime {
    watermark.minus(allowed_lateness)
}

#[cfg(test)]
mod tests;
