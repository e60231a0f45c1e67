//! Spans of time, and how event time is declared.

pub use sabot_common::Span;
use std::time::Duration;

/// `n` microseconds.
///
/// ```
/// # use sabot::{micros, millis};
/// assert_eq!(micros(1_000), millis(1));
/// ```
pub const fn micros(n: i64) -> Span {
    Span(n)
}

/// `n` milliseconds.
///
/// ```
/// # use sabot::{millis, seconds};
/// assert_eq!(millis(1_000), seconds(1));
/// ```
pub const fn millis(n: i64) -> Span {
    Span::from_millis(n)
}

/// `n` seconds.
///
/// ```
/// # use sabot::{minutes, seconds};
/// assert_eq!(seconds(60), minutes(1));
/// ```
pub const fn seconds(n: i64) -> Span {
    Span::from_secs(n)
}

/// `n` minutes of 60 seconds.
///
/// ```
/// # use sabot::{hours, minutes};
/// assert_eq!(minutes(60), hours(1));
/// ```
pub const fn minutes(n: i64) -> Span {
    seconds(n.saturating_mul(60))
}

/// `n` hours of 60 minutes.
///
/// ```
/// # use sabot::{days, hours};
/// assert_eq!(hours(24), days(1));
/// ```
pub const fn hours(n: i64) -> Span {
    minutes(n.saturating_mul(60))
}

/// `n` days of 24 hours; calendar days are something else.
///
/// ```
/// # use sabot::days;
/// assert_eq!(days(2).to_string(), "2 d");
/// ```
pub const fn days(n: i64) -> Span {
    hours(n.saturating_mul(24))
}

/// How a source's event time behaves.
///
/// ```
/// # use sabot::prelude::*;
/// # use std::time::Duration;
/// let options = out_of_orderness(minutes(5)).idle_timeout(Duration::from_secs(30));
/// assert_ne!(options, out_of_orderness(minutes(5)));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventTimeOptions {
    pub(crate) delay: Span,
    pub(crate) idle_timeout: Option<Duration>,
}

impl EventTimeOptions {
    /// After how long without rows a partition no longer holds back the others. Bounded sources never
    /// go idle.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = Some(timeout);
        self
    }
}

/// Rows are at most `delay` behind the latest row before them in their partition; later ones are late.
///
/// ```
/// # use sabot::prelude::*;
/// let flights = Stream::read(csv("data/flights.csv"))?.event_time("date", out_of_orderness(minutes(5)))?;
/// assert_eq!(flights.time_attribute(), Some("date"));
/// # Ok::<(), sabot::Error>(())
/// ```
pub const fn out_of_orderness(delay: Span) -> EventTimeOptions {
    EventTimeOptions { delay, idle_timeout: None }
}

/// Rows of a partition come in order of event time.
///
/// ```
/// # use sabot::prelude::*;
/// assert_eq!(in_order(), out_of_orderness(seconds(0)));
/// ```
pub const fn in_order() -> EventTimeOptions {
    out_of_orderness(Span::ZERO)
}
