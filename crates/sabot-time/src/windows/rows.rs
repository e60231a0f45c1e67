//! Windows that the rows of a key make: sessions, and so many rows at a time.

use sabot_common::Span;
use std::fmt;
use std::num::NonZeroU64;

use super::positive;
use crate::TimeError;

/// Sessions: rows of a key belong together as long as each is less than `gap` behind the one before. A
/// session lasts from its first row until `gap` after its last one; a row at that instant or later starts
/// another.
///
/// Two rows exactly one gap apart are two sessions: the first one has been complete, and may have fired,
/// before the second row's time is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionWindow {
    gap: i64,
}

impl SessionWindow {
    /// Sessions that end `gap` after their last row.
    ///
    /// # Errors
    /// [`TimeError::NotPositive`] when the gap is zero or negative.
    pub fn new(gap: Span) -> Result<Self, TimeError> {
        Ok(Self { gap: positive("the gap of sessions", gap)? })
    }

    /// How long after its last row a session ends.
    pub fn gap(&self) -> Span {
        Span(self.gap)
    }
}

impl fmt::Display for SessionWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session({})", self.gap())
    }
}

/// So many rows of a key at a time, in order of event time; rows of one time in order of source partition
/// and row number. A window lasts from its first row to 1 µs after its last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CountWindow {
    rows: NonZeroU64,
}

impl CountWindow {
    /// Windows of `rows` rows of a key.
    ///
    /// # Errors
    /// [`TimeError::NoRows`] when there are to be none.
    pub fn new(rows: u64) -> Result<Self, TimeError> {
        NonZeroU64::new(rows).map(|rows| Self { rows }).ok_or(TimeError::NoRows)
    }

    /// Rows of a window.
    pub fn rows(&self) -> u64 {
        self.rows.get()
    }
}

impl fmt::Display for CountWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "count({} rows)", self.rows)
    }
}
