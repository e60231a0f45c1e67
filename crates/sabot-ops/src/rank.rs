//! Rank: the rows of each group in an order, and those of them that are wanted.
//!
//! Sort, top-k, limit, top-N per key or window, distinct and dedup are this one operator: number the rows
//! of each group in some order, and keep those with certain numbers.
//!
//! | what a user asks for | groups | order | numbers kept |
//! |---|---|---|---|
//! | sort | one | by keys | all |
//! | top-k; sort, then limit | one | by keys | `skip..skip + fetch` |
//! | limit with offset | one | that of the stream | `skip..skip + fetch` |
//! | top-N | by key (and window) | by keys | the first N |
//! | distinct | by all columns | that of the stream | the first |
//! | dedup, keep first or last | by key | that of the stream, forth or back | the first |

use arrow::datatypes::Schema;
use serde::{Deserialize, Serialize};
use std::fmt;

use crate::spec::column;
use crate::{SortKey, SpecError};

/// Numbers the rows of each group from 0, in an order, and keeps those from `skip` on, at most `fetch`.
///
/// Rows are of one group when they agree in all columns of `groups` as keys do: nulls are equal, −0.0
/// equals 0.0, all NaNs are equal, a dictionary equals its strings. Without columns there is one group.
///
/// Within a group rows stand in the order of `order`, first column first. **What that leaves open is
/// decided by the order of the stream**: by (event time plus lateness, source partition, row number,
/// key), the order in which ordered sinks see rows; so the numbers are the same however rows arrive, and
/// sorting is stable. With `backwards` the order of the stream counts from its end.
///
/// Rows are passed on as they are, bit for bit. No rows give no rows; there are no overflows and no
/// errors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RankSpec {
    /// The columns that make a group; none for one group of all rows.
    pub groups: Vec<usize>,
    /// The order within a group.
    pub order: Vec<SortKey>,
    /// Rows that are equal in `order` stand in the reverse order of the stream.
    pub backwards: bool,
    /// How many rows of each group are left out.
    pub skip: u64,
    /// How many rows of each group are kept at most; `None` for all.
    pub fetch: Option<u64>,
}

impl RankSpec {
    /// Whether a row with this number in its group is kept.
    pub fn keeps(&self, number: u64) -> bool {
        number >= self.skip && self.needed().is_none_or(|needed| number < needed)
    }

    /// How many rows at the head of each group decide the result; `None` for all.
    pub fn needed(&self) -> Option<u64> {
        self.fetch.map(|fetch| self.skip.saturating_add(fetch))
    }

    /// Checks the spec against the schema of its rows, which passes through unchanged.
    ///
    /// # Errors
    /// [`SpecError`] when a column is missing, cannot be a key or has no order.
    pub fn check(&self, input: &Schema) -> Result<(), SpecError> {
        const OPERATOR: &str = "rank";
        for index in &self.groups {
            crate::group_by::check_key(OPERATOR, column(OPERATOR, input, *index)?)?;
        }
        for key in &self.order {
            crate::sort_key::check_sortable(OPERATOR, column(OPERATOR, input, key.column)?)?;
        }
        Ok(())
    }
}

impl fmt::Display for RankSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("rank")?;
        for (i, group) in self.groups.iter().enumerate() {
            write!(f, "{} #{group}", if i == 0 { " per" } else { "," })?;
        }
        for (i, key) in self.order.iter().enumerate() {
            write!(f, "{} {key}", if i == 0 { " by" } else { "," })?;
        }
        if self.backwards {
            f.write_str(" last first")?;
        }
        if self.skip > 0 {
            write!(f, " skip {}", self.skip)?;
        }
        match self.fetch {
            Some(fetch) => write!(f, " keep {fetch}"),
            None => Ok(()),
        }
    }
}
