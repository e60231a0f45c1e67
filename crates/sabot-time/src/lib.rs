//! Watermarks, idleness, alignment and window arithmetic as pure state machines and functions.
//!
//! What a streaming engine decides about time is decided here, without I/O, without threads, and with
//! the processing time handed in, so that every decision can be tested in virtual time. Event time is
//! microseconds UTC ([`sabot_common::EventTime`]).
//!
//! Two statements hold everywhere. *Watermark t says: no further row with time ≤ t.* And *a watermark
//! never goes back*: not when an idle input returns, not when an input is added, not after a restart.
//!
//! - [`PartitionClock`]: the watermark of one source partition, and how late each of its rows is.
//! - [`IdleDetector`]: when a partition without rows stops holding back the others.
//! - [`WatermarkMerge`]: many inputs into one watermark.
//! - [`Alignment`]: which partitions run too far ahead and should pause.
//! - [`Windows`]: which windows a time lies in, when they fire, which rows are too late for them.
#![forbid(unsafe_code)]

mod alignment;
mod idle;
mod merge;
mod partition;
mod pause;
mod windows;

pub use alignment::{Alignment, PartitionProgress};
pub use idle::{IdleDetector, IdleEvent};
pub use merge::{InputState, MergeEvent, WatermarkMerge};
pub use partition::PartitionClock;
pub use pause::PauseDecision;
pub use windows::{
    CalendarUnit, CalendarWindow, CountWindow, CumulateWindow, HoppingWindow, SessionWindow, TumblingWindow,
    WindowBounds, Windows, Zone, is_late, output_watermark,
};

use sabot_common::Span;

/// A span that cannot be what it was given as.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// A span that must not be negative is.
    #[error("{what} is {got}; it must be 0 or more")]
    Negative {
        /// What the span was for: `out-of-orderness`, `max drift`.
        what: &'static str,
        /// The span.
        got: Span,
    },
    /// A window's size is zero or negative.
    #[error("a window of {got}; its size must be at least 1 µs")]
    WindowSize {
        /// The size.
        got: Span,
    },
    /// A span of which windows are made is zero or negative.
    #[error("{what} is {got}; it must be at least 1 µs")]
    NotPositive {
        /// What the span was for: `the slide of hopping windows`.
        what: &'static str,
        /// The span.
        got: Span,
    },
    /// Cumulating windows whose last step would go beyond their size.
    #[error("cumulating windows of {size} grow by {step}, which does not divide it; take a step that does")]
    Steps {
        /// The longest window.
        size: Span,
        /// By how much windows were to grow.
        step: Span,
    },
    /// Something was asked of windows that they do not have.
    #[error(
        "{windows} windows have no {what}; calendar windows take a zone, and tumbling, hopping, cumulate and calendar windows an offset"
    )]
    NotOf {
        /// The windows, as users write them: `session`.
        windows: &'static str,
        /// What was given: `zone`.
        what: &'static str,
    },
    /// Windows of no rows.
    #[error("count windows of 0 rows; a window must have at least one")]
    NoRows,
    /// A time zone that is not known.
    #[error(
        "unknown time zone \"{got}\"; {}ones are names such as UTC or Europe/Zurich, and offsets such as +05:30",
        meant.as_ref().map_or("z".to_owned(), |meant| format!("did you mean \"{meant}\"? Z"))
    )]
    Zone {
        /// What was given.
        got: String,
        /// A zone that is named much like it.
        meant: Option<String>,
    },
    /// Calendar windows that are moved too far.
    #[error("calendar windows with an offset of {got}; an offset is at most 366 d, either way")]
    CalendarOffset {
        /// The offset.
        got: Span,
    },
}

fn not_negative(what: &'static str, got: Span) -> Result<Span, TimeError> {
    if got < Span::ZERO { Err(TimeError::Negative { what, got }) } else { Ok(got) }
}
