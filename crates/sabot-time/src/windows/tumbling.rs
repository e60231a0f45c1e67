//! Tumbling windows: every time lies in exactly one, `start ≤ time < end`.

use sabot_common::{EventTime, Span};
use serde::{Deserialize, Serialize};
use std::fmt;

use super::WindowBounds;
use crate::TimeError;

/// Windows of one size that follow each other without gap or overlap.
///
/// ```
/// use sabot_common::{EventTime, Span};
/// use sabot_time::{TumblingWindow, Windows};
///
/// let hours = Windows::from(TumblingWindow::new(Span::from_secs(3600), Span::ZERO)?);
/// let window = hours.slice_of(EventTime(-1));
/// assert_eq!((window.start, window.end()), (EventTime(-3_600_000_000), EventTime(0)));
/// assert_eq!(hours.to_string(), "tumbling(1 h)");
/// # Ok::<(), sabot_time::TimeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TumblingWindow {
    size: i64,
    /// In `0..size`.
    offset: i64,
}

/// What a plan stores of a window.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parts {
    pub(super) size: Span,
    #[serde(default)]
    pub(super) offset: Span,
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
    pub(super) fn past_boundary(&self, t: i64) -> i64 {
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

    /// The window that holds `t`.
    #[inline]
    pub(super) fn window_of(&self, t: i64) -> WindowBounds {
        WindowBounds { start: EventTime(self.start_micros(t)), last: EventTime(self.last_micros(t)) }
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
