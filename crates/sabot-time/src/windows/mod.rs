//! Windows of event time: which ones a time lies in, when they fire, and which rows are too late.
//!
//! Rows of windows that overlap are aggregated once, per *slice*: a stretch of time that no window
//! divides. Slices partition the whole range of event time, negative times included, and every window of
//! an aligned kind is a run of slices. What an operator has to know about a kind is therefore little: the
//! slice of a time, the first window that holds a slice, and the window behind a window. All aligned
//! kinds keep this order: of two windows the one that ends later does not start earlier. So windows fire
//! in order of their end, and slices leave from the front.
//!
//! At the two ends of the range windows are cut rather than wrapped: none starts before
//! `EventTime::MIN`, and one that would end beyond `EventTime::MAX` ends there and, alone among windows,
//! includes its end. Two windows that are cut to the same are one. Nothing here overflows.
//!
//! Sessions and windows of so many rows depend on the rows of a key and are not aligned; of these only
//! the numbers stand here.

mod calendar;
mod cumulate;
mod hopping;
mod rows;
mod stored;
mod tumbling;
mod zone;

pub use calendar::{CalendarUnit, CalendarWindow};
pub use cumulate::CumulateWindow;
pub use hopping::HoppingWindow;
pub use rows::{CountWindow, SessionWindow};
pub use tumbling::TumblingWindow;
pub use zone::Zone;

use sabot_common::{EventTime, Span};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A window, or a slice: its first instant and its last, both of which lie in it.
///
/// The order is that of ends, then of starts: the order in which windows fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WindowBounds {
    /// The first instant.
    pub start: EventTime,
    /// The last instant.
    pub last: EventTime,
}

impl WindowBounds {
    /// The exclusive end: the instant behind the last one, and `MAX` where there is none.
    #[inline]
    pub fn end(&self) -> EventTime {
        EventTime(self.last.micros().saturating_add(1))
    }

    /// The watermark at which the window fires: `end − 1 + allowed_lateness`, saturating. A window that
    /// ends with time itself fires with the final watermark, `MAX`.
    ///
    /// With this, and rows dropped by [`is_late`], no row that a window must still take arrives after it
    /// has fired, as long as no partition returned from idle (such rows can come for closed windows and
    /// must be recognised by the owner of the state; see [`Windows::is_closed`]).
    #[inline]
    pub fn fires_at(&self, allowed_lateness: Span) -> EventTime {
        self.last.plus(allowed_lateness)
    }

    /// Whether the window has fired once `watermark` has been seen.
    #[inline]
    pub fn is_fired(&self, watermark: EventTime, allowed_lateness: Span) -> bool {
        watermark >= self.fires_at(allowed_lateness)
    }

    /// Whether an instant lies in it.
    #[inline]
    pub fn contains(&self, t: EventTime) -> bool {
        self.start <= t && t <= self.last
    }
}

impl PartialOrd for WindowBounds {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for WindowBounds {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.last, self.start).cmp(&(other.last, other.start))
    }
}

/// The windows of an aggregation, of any kind.
///
/// ```
/// use sabot_common::{EventTime, Span};
/// use sabot_time::{HoppingWindow, Windows};
///
/// let windows = Windows::from(HoppingWindow::new(Span(30), Span(10), Span::ZERO)?);
/// let slice = windows.slice_of(EventTime(25));
/// assert_eq!((slice.start, slice.last), (EventTime(20), EventTime(29)));
/// // Three windows hold it: from 0, from 10 and from 20.
/// let first = windows.first_window(slice.start).unwrap();
/// assert_eq!((first.start, first.end()), (EventTime(0), EventTime(30)));
/// assert_eq!(windows.next_window(first).unwrap().start, EventTime(10));
/// assert_eq!(windows.last_window(slice.start).unwrap().start, EventTime(20));
/// # Ok::<(), sabot_time::TimeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "stored::Stored", into = "stored::Stored")]
pub enum Windows {
    /// Of one size, one after the other.
    Tumbling(TumblingWindow),
    /// Of one size, each some time after the one before.
    Hopping(HoppingWindow),
    /// Growing by steps up to a size, then starting anew.
    Cumulate(CumulateWindow),
    /// Days, weeks, months, quarters or years of a time zone.
    Calendar(CalendarWindow),
    /// By key, as long as rows follow each other closely.
    Session(SessionWindow),
    /// By key, so many rows each.
    Count(CountWindow),
}

impl Windows {
    /// Whether windows are the same for every key and follow from time alone. Of others a slice is an
    /// instant, and which rows share a window with it is for the owner of the key to say.
    pub fn is_aligned(&self) -> bool {
        !matches!(self, Windows::Session(_) | Windows::Count(_))
    }

    /// Whether every slice is a window of its own, so that there is nothing to combine.
    pub fn is_sliced(&self) -> bool {
        match self {
            Windows::Hopping(window) => window.is_sliced(),
            Windows::Cumulate(window) => window.is_sliced(),
            _ => false,
        }
    }

    /// The slice that holds `t`.
    #[inline]
    pub fn slice_of(&self, t: EventTime) -> WindowBounds {
        match self {
            Windows::Tumbling(window) => window.window_of(t.micros()),
            Windows::Hopping(window) => window.slice_of(t.micros()),
            Windows::Cumulate(window) => window.steps().window_of(t.micros()),
            Windows::Calendar(window) => window.window_of(t.micros()),
            Windows::Session(_) | Windows::Count(_) => WindowBounds { start: t, last: t },
        }
    }

    /// Whether some times lie in no window: the windows leave gaps.
    pub fn has_gaps(&self) -> bool {
        matches!(self, Windows::Hopping(window) if window.has_gaps())
    }

    /// Replaces the contents of `starts` with the start of each time's slice.
    pub fn assign(&self, times: &[i64], starts: &mut Vec<i64>) {
        starts.clear();
        if !self.is_aligned() {
            starts.extend_from_slice(times);
            return;
        }
        // Rows mostly follow each other within one slice: two comparisons instead of two divisions.
        let Some(&first) = times.first() else { return };
        let mut slice = self.slice_of(EventTime(first));
        starts.extend(times.iter().map(|&t| {
            if !slice.contains(EventTime(t)) {
                slice = self.slice_of(EventTime(t));
            }
            slice.start.micros()
        }));
    }

    /// The start of the slice in which all times from `min` to `max` lie, both included; none where they
    /// lie in several. A morsel whose time bounds lie in one slice needs no assignment per row.
    #[inline]
    pub fn one_slice(&self, min: EventTime, max: EventTime) -> Option<EventTime> {
        let slice = self.slice_of(min);
        slice.contains(max).then_some(slice.start)
    }

    /// The window that is the first to fire of those that hold the slice of `t`; none in a gap. Of windows
    /// that are not aligned it is the one that a row at `t` makes when it is alone.
    pub fn first_window(&self, t: EventTime) -> Option<WindowBounds> {
        match self {
            Windows::Hopping(window) => window.first_window(t.micros()),
            Windows::Cumulate(window) => Some(window.first_window(t.micros())),
            _ => Some(self.alone(t)),
        }
    }

    /// The window that is the last to fire of those that hold the slice of `t`.
    pub fn last_window(&self, t: EventTime) -> Option<WindowBounds> {
        match self {
            Windows::Hopping(window) => window.last_window(t.micros()),
            Windows::Cumulate(window) => Some(window.last_window(t.micros())),
            _ => Some(self.alone(t)),
        }
    }

    /// The one window that holds the slice of `t`, of kinds of which only one does.
    fn alone(&self, t: EventTime) -> WindowBounds {
        let slice = self.slice_of(t);
        match self {
            Windows::Session(window) => {
                WindowBounds { last: t.plus(Span(window.gap().micros() - 1)), ..slice }
            }
            _ => slice,
        }
    }

    /// The window that fires next after `window`; none behind the last one there is.
    pub fn next_window(&self, window: WindowBounds) -> Option<WindowBounds> {
        match self {
            Windows::Hopping(hopping) => hopping.next_window(window),
            Windows::Cumulate(cumulate) => cumulate.next_window(window),
            Windows::Tumbling(_) | Windows::Calendar(_) => {
                let next = window.last.micros().checked_add(1)?;
                Some(self.slice_of(EventTime(next)))
            }
            Windows::Session(_) | Windows::Count(_) => None,
        }
    }

    /// The first window that holds the slice of `t` and has not fired at this watermark; none when all
    /// have.
    pub fn first_open(
        &self,
        t: EventTime,
        watermark: EventTime,
        allowed_lateness: Span,
    ) -> Option<WindowBounds> {
        let (first, last) = (self.first_window(t)?, self.last_window(t)?);
        let open = |window: &WindowBounds| !window.is_fired(watermark, allowed_lateness);
        if open(&first) {
            return Some(first);
        }
        if !open(&last) {
            return None;
        }
        // Windows that have fired are a run from the first one on; they end at or below what the
        // watermark leaves behind.
        let passed = i128::from(watermark.minus(allowed_lateness).max(first.last).micros());
        match self {
            Windows::Hopping(hopping) => hopping.first_ending_after(passed),
            Windows::Cumulate(cumulate) => cumulate.first_ending_after(passed),
            _ => None,
        }
    }

    /// Whether all windows that hold the slice of `t` have fired once `watermark` has been seen: a row
    /// of this slice counts nowhere any more. A gap is never closed, because nothing waits for it.
    #[inline]
    pub fn is_closed(&self, t: EventTime, watermark: EventTime, allowed_lateness: Span) -> bool {
        self.last_window(t).is_some_and(|window| window.is_fired(watermark, allowed_lateness))
    }

    /// Whether no window holds the slice of `t`.
    pub fn is_gap(&self, t: EventTime) -> bool {
        matches!(self, Windows::Hopping(window) if window.is_gap(t.micros()))
    }
}

impl fmt::Display for Windows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Windows::Tumbling(window) => window.fmt(f),
            Windows::Hopping(window) => window.fmt(f),
            Windows::Cumulate(window) => window.fmt(f),
            Windows::Calendar(window) => window.fmt(f),
            Windows::Session(window) => window.fmt(f),
            Windows::Count(window) => window.fmt(f),
        }
    }
}

macro_rules! kinds {
    ($($kind:ident($window:ty);)*) => {$(
        impl From<$window> for Windows {
            fn from(window: $window) -> Self {
                Windows::$kind(window)
            }
        }
    )*};
}

kinds! {
    Tumbling(TumblingWindow);
    Hopping(HoppingWindow);
    Cumulate(CumulateWindow);
    Calendar(CalendarWindow);
    Session(SessionWindow);
    Count(CountWindow);
}

/// Whether a row that is `behind` µs behind the bound of its partition
/// ([`PartitionClock::observe`](crate::PartitionClock::observe)) is too late for windows that allow this
/// much lateness: for all that it lies in, or for none.
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

/// A size, a step, a gap: at least 1 µs.
fn positive(what: &'static str, got: Span) -> Result<i64, crate::TimeError> {
    if got <= Span::ZERO { Err(crate::TimeError::NotPositive { what, got }) } else { Ok(got.micros()) }
}

/// Cut to the range of event time.
fn cut(t: i128) -> EventTime {
    EventTime(i64::try_from(t).unwrap_or(if t > 0 { i64::MAX } else { i64::MIN }))
}

#[cfg(test)]
mod tests;
