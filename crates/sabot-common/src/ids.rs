//! Names for the parts of a pipeline.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::limits::{KEY_GROUPS_DEFAULT, KEY_GROUPS_MAX};

/// The stable name of an operator: given by the user, or derived from the plan's structure.
///
/// State, metrics, errors and checkpoints refer to an operator by this name, so it must not depend
/// on memory addresses, on the order in which a plan was typed in, or on the machine.
///
/// ```
/// # use sabot_common::OperatorId;
/// assert_eq!(OperatorId::new("late flights").as_str(), "late flights");
/// assert_eq!(OperatorId::from("a").to_string(), "a");
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OperatorId(Arc<str>);

impl OperatorId {
    /// An operator id with this name.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OperatorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for OperatorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OperatorId({})", self.0)
    }
}

impl From<&str> for OperatorId {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

/// The number of a checkpoint epoch; epochs rise by one and start at 1.
///
/// ```
/// # use sabot_common::Epoch;
/// assert_eq!(Epoch::FIRST.next(), Epoch(2));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The first epoch of a job. A bounded run without checkpoints is this epoch alone.
    pub const FIRST: Epoch = Epoch(1);

    /// The epoch that follows this one.
    #[must_use]
    pub fn next(self) -> Epoch {
        Epoch(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A device of this machine: `cpu`, `cuda:0`, `wgpu:0`.
///
/// ```
/// # use sabot_common::DeviceId;
/// assert_eq!(DeviceId::cpu(), DeviceId::new("cpu"));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeviceId(Arc<str>);

impl DeviceId {
    /// A device with this name.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The CPU, which is always there.
    pub fn cpu() -> Self {
        Self::new("cpu")
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceId({})", self.0)
    }
}

/// Where a row came from, for messages: the source, its partition and the row number in it.
///
/// `Display` prints `flights.csv, row 17`; rows are counted from 1 in messages and from 0 here.
///
/// ```
/// # use sabot_common::RowLocation;
/// let row = RowLocation { partition: "flights.csv".into(), row: 16 };
/// assert_eq!(row.to_string(), "flights.csv, row 17");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RowLocation {
    /// The partition as a user knows it: a file name, `topic/3`, a channel's name.
    pub partition: Arc<str>,
    /// Row number inside the partition, from 0.
    pub row: u64,
}

impl fmt::Display for RowLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, row {}", self.partition, self.row.saturating_add(1))
    }
}

/// How many key groups a pipeline has: fixed when the pipeline is created, 1 to 32,768.
///
/// ```
/// use sabot_common::KeyGroups;
/// let groups = KeyGroups::new(128)?;
/// assert_eq!(groups.group_of(u64::MAX), 127);
/// assert_eq!(groups.range_of_task(1, 4), groups.range(32..64)?);
/// # Ok::<(), sabot_common::KeyGroupsError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct KeyGroups(u16);

/// A number or range of key groups that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyGroupsError {
    /// The number of key groups is outside 1..=32,768.
    #[error("{got} key groups; a pipeline has 1 to {KEY_GROUPS_MAX}")]
    Count {
        /// The number asked for.
        got: u16,
    },
    /// A range is empty at the wrong end or reaches beyond the last group.
    #[error("key groups {start}..{end} do not lie in 0..{count}")]
    Range {
        /// First group of the range.
        start: u16,
        /// One past the last group of the range.
        end: u16,
        /// The number of groups there are.
        count: u16,
    },
}

impl KeyGroups {
    /// `count` key groups.
    ///
    /// # Errors
    /// [`KeyGroupsError::Count`] outside 1..=32,768.
    pub fn new(count: u16) -> Result<Self, KeyGroupsError> {
        if count == 0 || count > KEY_GROUPS_MAX {
            return Err(KeyGroupsError::Count { got: count });
        }
        Ok(Self(count))
    }

    /// The number of groups.
    pub fn count(self) -> u16 {
        self.0
    }

    /// The group of a key hash: `((hash >> 32) * groups) >> 32`. It uses the upper half of the hash,
    /// so that radix and table bits can come from the lower half and stay independent of it.
    #[inline]
    pub fn group_of(self, hash: u64) -> u16 {
        // The product is below 2^32 * 2^15, and its upper part below the number of groups.
        (((hash >> 32) * u64::from(self.0)) >> 32) as u16
    }

    /// The groups that task `task` of `parallelism` owns: contiguous, disjoint, covering all.
    /// With more tasks than groups some tasks own nothing.
    pub fn range_of_task(self, task: usize, parallelism: usize) -> KeyGroupRange {
        let bound = |i: usize| ((i * usize::from(self.0)).div_ceil(parallelism.max(1))) as u16;
        KeyGroupRange { start: bound(task), end: bound(task + 1) }
    }

    /// The task of `parallelism` that owns `group`; the inverse of [`KeyGroups::range_of_task`].
    #[inline]
    pub fn task_of_group(self, group: u16, parallelism: usize) -> usize {
        usize::from(group) * parallelism / usize::from(self.0)
    }

    /// All groups.
    pub fn all(self) -> KeyGroupRange {
        KeyGroupRange { start: 0, end: self.0 }
    }

    /// A range of groups.
    ///
    /// # Errors
    /// [`KeyGroupsError::Range`] when the range reaches beyond the last group or runs backwards.
    pub fn range(self, range: Range<u16>) -> Result<KeyGroupRange, KeyGroupsError> {
        if range.start > range.end || range.end > self.0 {
            return Err(KeyGroupsError::Range { start: range.start, end: range.end, count: self.0 });
        }
        Ok(KeyGroupRange { start: range.start, end: range.end })
    }
}

impl Default for KeyGroups {
    fn default() -> Self {
        Self(KEY_GROUPS_DEFAULT)
    }
}

impl TryFrom<u16> for KeyGroups {
    type Error = KeyGroupsError;
    fn try_from(count: u16) -> Result<Self, Self::Error> {
        Self::new(count)
    }
}

impl From<KeyGroups> for u16 {
    fn from(groups: KeyGroups) -> u16 {
        groups.0
    }
}

/// A contiguous range of key groups, `start..end`.
///
/// ```
/// # use sabot_common::KeyGroups;
/// let range = KeyGroups::new(128)?.range(32..64)?;
/// assert_eq!((range.len(), range.contains(32), range.contains(64)), (32, true, false));
/// assert!(!range.is_empty());
/// # Ok::<(), sabot_common::KeyGroupsError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KeyGroupRange {
    /// First group.
    pub start: u16,
    /// One past the last group.
    pub end: u16,
}

impl KeyGroupRange {
    /// Whether `group` lies in the range.
    #[inline]
    pub fn contains(self, group: u16) -> bool {
        self.start <= group && group < self.end
    }

    /// The number of groups in the range.
    pub fn len(self) -> usize {
        usize::from(self.end.saturating_sub(self.start))
    }

    /// Whether the range holds no group.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_belongs_to_the_task_that_claims_it() {
        for count in [1u16, 2, 3, 7, 128, 129, 32_768] {
            let groups = KeyGroups::new(count).unwrap();
            for parallelism in [1usize, 2, 3, 4, 5, 16, 200] {
                let mut seen = 0usize;
                for task in 0..parallelism {
                    let range = groups.range_of_task(task, parallelism);
                    for group in range.start..range.end {
                        assert_eq!(groups.task_of_group(group, parallelism), task);
                        seen += 1;
                    }
                }
                assert_eq!(seen, usize::from(count));
            }
        }
    }

    #[test]
    fn zero_and_too_many_groups_are_refused() {
        assert_eq!(KeyGroups::new(0), Err(KeyGroupsError::Count { got: 0 }));
        assert!(KeyGroups::new(32_769).unwrap_err().to_string().contains("1 to 32768"));
    }

    #[test]
    fn row_locations_count_from_one_in_messages() {
        let at = RowLocation { partition: "flights.csv".into(), row: 16 };
        assert_eq!(at.to_string(), "flights.csv, row 17");
    }
}
