//! The words for frames.

use sabot_ops::{Distance, Frame, FrameBound, FrameUnits};

/// The frame of all rows of the partition.
///
/// ```
/// assert_eq!(sabot_plan::whole().to_string(), "rows between unbounded preceding and unbounded following");
/// ```
pub fn whole() -> Frame {
    Frame::WHOLE
}

/// The frame from the first row of the partition to the row and those equal to it in the order.
///
/// ```
/// assert_eq!(sabot_plan::running().to_string(), "range between unbounded preceding and current row");
/// ```
pub fn running() -> Frame {
    Frame::RUNNING
}

/// The frame of the row and so many before it.
///
/// ```
/// assert_eq!(sabot_plan::rows(2).to_string(), "rows between 2 preceding and current row");
/// ```
pub fn rows(preceding: u64) -> Frame {
    let start = FrameBound::Preceding(Distance::Count(preceding));
    Frame { units: FrameUnits::Rows, start, end: FrameBound::CurrentRow }
}

/// The frame of the rows whose order key, event time unless something else is said, is at most so far
/// before that of the row; those equal to it are in it.
///
/// ```
/// use sabot_common::Span;
/// let day = sabot_plan::range(Span::from_secs(86_400));
/// assert!(day.to_string().starts_with("range between"));
/// ```
pub fn range(preceding: impl Into<Distance>) -> Frame {
    let start = FrameBound::Preceding(preceding.into());
    Frame { units: FrameUnits::Range, start, end: FrameBound::CurrentRow }
}

/// The frame of the rows from so many before the row to so many before it, both included; of none, where the
/// second number is the larger.
///
/// ```
/// assert_eq!(sabot_plan::rows_between(5, 1).to_string(), "rows between 5 preceding and 1 preceding");
/// ```
pub fn rows_between(start_preceding: u64, end_preceding: u64) -> Frame {
    let at = |rows| FrameBound::Preceding(Distance::Count(rows));
    Frame { units: FrameUnits::Rows, start: at(start_preceding), end: at(end_preceding) }
}

/// The frame of the rows whose sort key is at least one distance and at most another below that of the row,
/// both included: what was known a week ago of the 30 days before. Where the second distance is the longer one
/// there are no such rows.
///
/// ```
/// use sabot_common::Span;
/// let day = 86_400;
/// let frame = sabot_plan::range_between(Span::from_secs(37 * day), Span::from_secs(7 * day));
/// assert_eq!(frame.to_string(), "range between 37 d preceding and 7 d preceding");
/// ```
pub fn range_between(start_preceding: impl Into<Distance>, end_preceding: impl Into<Distance>) -> Frame {
    let (start, end) = (start_preceding.into(), end_preceding.into());
    Frame { units: FrameUnits::Range, start: FrameBound::Preceding(start), end: FrameBound::Preceding(end) }
}
