//! Row kinds: what a row means in a changelog.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a row says about the table that a changelog describes.
///
/// ```
/// # use sabot_batch::RowKind;
/// assert_eq!(RowKind::UpdateAfter.symbol(), "+U");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum RowKind {
    /// A new row.
    Insert = 0,
    /// The old form of a row that changes; its [`RowKind::UpdateAfter`] follows directly.
    UpdateBefore = 1,
    /// The new form of a row that changed.
    UpdateAfter = 2,
    /// A row that is no longer there.
    Delete = 3,
}

impl RowKind {
    /// The two-character form of changelog displays: `+I`, `-U`, `+U`, `-D`.
    pub fn symbol(self) -> &'static str {
        match self {
            RowKind::Insert => "+I",
            RowKind::UpdateBefore => "-U",
            RowKind::UpdateAfter => "+U",
            RowKind::Delete => "-D",
        }
    }
}

/// The kinds of a morsel's rows. Append-only morsels, which are nearly all, store nothing per row.
///
/// ```
/// # use sabot_batch::{RowKind, RowKinds};
/// let kinds = RowKinds::PerRow([RowKind::Insert, RowKind::Delete].into());
/// assert_eq!((kinds.get(1), kinds.get(2)), (Some(RowKind::Delete), None));
/// assert!(!kinds.is_append_only() && RowKinds::AllInsert.is_append_only());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowKinds {
    /// Every row is an insert.
    AllInsert,
    /// One kind a row, as long as the morsel.
    PerRow(Arc<[RowKind]>),
}

impl RowKinds {
    /// The kind of row `i`; `None` past the end of a per-row list.
    pub fn get(&self, i: usize) -> Option<RowKind> {
        match self {
            RowKinds::AllInsert => Some(RowKind::Insert),
            RowKinds::PerRow(kinds) => kinds.get(i).copied(),
        }
    }

    /// Whether every row is an insert, whichever way that is stored.
    pub fn is_append_only(&self) -> bool {
        match self {
            RowKinds::AllInsert => true,
            RowKinds::PerRow(kinds) => kinds.iter().all(|k| *k == RowKind::Insert),
        }
    }

    pub(crate) fn keep(&self, keep: impl Iterator<Item = usize>) -> RowKinds {
        match self {
            RowKinds::AllInsert => RowKinds::AllInsert,
            RowKinds::PerRow(kinds) => RowKinds::PerRow(keep.map(|i| kinds[i]).collect()),
        }
    }

    pub(crate) fn slice(&self, offset: usize, length: usize) -> RowKinds {
        match self {
            RowKinds::AllInsert => RowKinds::AllInsert,
            RowKinds::PerRow(kinds) => RowKinds::PerRow(kinds[offset..offset + length].into()),
        }
    }
}

/// The kind of a row when only the rows that `stays` keeps stay together: half an update pair becomes a
/// delete or an insert.
///
/// ```
/// # use sabot_batch::{RowKind::{Insert, UpdateAfter, UpdateBefore}, unpaired};
/// let pair = [UpdateBefore, UpdateAfter];
/// assert_eq!(unpaired(&pair, 1, |_| true), UpdateAfter);
/// assert_eq!(unpaired(&pair, 1, |row| row == 1), Insert);
/// ```
pub fn unpaired(kinds: &[RowKind], row: usize, stays: impl Fn(usize) -> bool) -> RowKind {
    let partner = |other: Option<usize>, kind: RowKind| {
        other.is_some_and(|other| kinds.get(other) == Some(&kind) && stays(other))
    };
    match kinds[row] {
        RowKind::UpdateBefore if !partner(row.checked_add(1), RowKind::UpdateAfter) => RowKind::Delete,
        RowKind::UpdateAfter if !partner(row.checked_sub(1), RowKind::UpdateBefore) => RowKind::Insert,
        kind => kind,
    }
}
