//! Points and spans of event time.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A point in event time: microseconds since 1970-01-01T00:00:00 UTC.
///
/// Arithmetic saturates: the ends of the range are "before everything" and "after everything", which
/// is what watermarks need, and no input may overflow into the other end.
///
/// ```
/// # use sabot_common::{EventTime, Span};
/// let start = EventTime(0);
/// assert_eq!(start.plus(Span::from_secs(1)).micros(), 1_000_000);
/// assert_eq!(EventTime::MAX.minus(Span::from_secs(1)), EventTime::MAX);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EventTime(pub i64);

impl EventTime {
    /// Before every row: the watermark of a stream that has promised nothing.
    pub const MIN: EventTime = EventTime(i64::MIN);
    /// After every row: the final watermark.
    pub const MAX: EventTime = EventTime(i64::MAX);

    /// Microseconds since the epoch.
    pub fn micros(self) -> i64 {
        self.0
    }

    /// This time plus a span, saturating.
    #[must_use]
    pub fn plus(self, span: Span) -> EventTime {
        EventTime(self.0.saturating_add(span.0))
    }

    /// This time minus a span, saturating. `MIN` and `MAX` stay what they are.
    #[must_use]
    pub fn minus(self, span: Span) -> EventTime {
        match self {
            EventTime::MIN | EventTime::MAX => self,
            EventTime(t) => EventTime(t.saturating_sub(span.0)),
        }
    }
}

/// A length of time in microseconds.
///
/// ```
/// # use sabot_common::Span;
/// assert_eq!(Span::from_secs(90).micros(), 90_000_000);
/// assert_eq!(Span::from_millis(1_500).to_string(), "1500 ms");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Span(pub i64);

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span(0);

    /// Microseconds.
    pub fn micros(self) -> i64 {
        self.0
    }

    /// A span of whole milliseconds.
    pub const fn from_millis(n: i64) -> Span {
        Span(n.saturating_mul(1_000))
    }

    /// A span of whole seconds.
    pub const fn from_secs(n: i64) -> Span {
        Span(n.saturating_mul(1_000_000))
    }
}

/// Prints the largest unit that divides the span: `3 h`, `90 s`, `5 ms`.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(i64, &str); 6] = [
            (86_400_000_000, "d"),
            (3_600_000_000, "h"),
            (60_000_000, "min"),
            (1_000_000, "s"),
            (1_000, "ms"),
            (1, "µs"),
        ];
        if self.0 == 0 {
            return f.write_str("0 s");
        }
        let (size, unit) = UNITS.iter().find(|(size, _)| self.0 % size == 0).unwrap_or(&UNITS[5]);
        write!(f, "{} {unit}", self.0 / size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_time_absorb_spans() {
        assert_eq!(EventTime::MAX.minus(Span(5)), EventTime::MAX);
        assert_eq!(EventTime::MIN.minus(Span(5)), EventTime::MIN);
        assert_eq!(EventTime(i64::MAX - 1).plus(Span(5)), EventTime::MAX);
    }

    #[test]
    fn spans_print_in_their_largest_whole_unit() {
        for (micros, text) in [
            (0, "0 s"),
            (3_600_000_000, "1 h"),
            (90_000_000, "90 s"),
            (5_000, "5 ms"),
            (7, "7 µs"),
            (-60_000_000, "-1 min"),
        ] {
            assert_eq!(Span(micros).to_string(), text);
        }
    }
}
