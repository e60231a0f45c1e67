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
//! - [`TumblingWindow`]: which window a time lies in, when it fires, which rows are too late for it.
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
pub use windows::{TumblingWindow, is_late, output_watermark};

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
}

fn not_negative(what: &'static str, got: Span) -> Result<Span, TimeError> {
    if got < Span::ZERO { Err(TimeError::Negative { what, got }) } else { Ok(got) }
}
