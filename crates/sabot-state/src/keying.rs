//! Which key group a key belongs to.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::UInt16Type;
use sabot_batch::key_hash::KeyHasher;
use sabot_batch::key_index::KeyIndex;
use sabot_common::KeyGroups;
use std::ops::Range;

use crate::StateError;

/// How a pipeline hashes keys, and into how many groups.
///
/// Snapshots hold keys and groups but no hashes, which are eight bytes of noise a row and take about a nanosecond to
/// be made again.
/// ```
/// # use arrow::array::{ArrayRef, Int64Array, RecordBatch, UInt16Array};
/// # use sabot_batch::key_index::KeyIndex;
/// # use sabot_common::KeyGroups;
/// # use sabot_state::{GROUP, Keying};
/// # use std::sync::Arc;
/// let (keying, index) = (Keying::new(KeyGroups::default(), 7), KeyIndex::new(&[arrow::datatypes::DataType::Int64])?);
/// let key: ArrayRef = Arc::new(Int64Array::from(vec![41, 42]));
/// let rows = |groups: Vec<u16>| {
///     RecordBatch::try_from_iter([(GROUP, Arc::new(UInt16Array::from(groups)) as ArrayRef), ("key", key.clone())])
/// };
/// let error = keying.hashes_of(&index, &rows(vec![0, 0])?, 0).unwrap_err();
/// assert!(error.to_string().contains("row 0 of the snapshot is in key group 0, its key belongs to"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keying {
    groups: KeyGroups,
    hasher: KeyHasher,
}

impl Keying {
    /// That of a pipeline with so many key groups and this seed.
    pub fn new(groups: KeyGroups, seed: u64) -> Self {
        Self { groups, hasher: KeyHasher::new(seed) }
    }

    /// The hasher of keys.
    pub fn hasher(&self) -> KeyHasher {
        self.hasher
    }

    /// The group of a key of an index by its hash. Without key columns it is 0, wherever the hash would put it, because the
    /// first task owns the one key that there is.
    pub fn group_of(&self, index: &KeyIndex, hash: u64) -> u16 {
        if index.types().is_empty() { 0 } else { self.groups.group_of(hash) }
    }

    /// The hashes of the rows of a snapshot. `column` is that of the groups; behind it are the keys of the index.
    ///
    /// # Errors
    /// [`StateError::Group`] for a row under a group that its key does not belong to, [`StateError::Columns`] for keys that
    /// cannot be hashed.
    pub fn hashes_of(
        &self,
        index: &KeyIndex,
        snapshot: &RecordBatch,
        column: usize,
    ) -> Result<Vec<u64>, StateError> {
        let keys: Range<usize> = column + 1..column + 1 + index.types().len();
        let (mut hashes, keys) = (Vec::new(), keys.collect::<Vec<_>>());
        self.hasher.hash_batch_columns(snapshot, &keys, &mut hashes).map_err(StateError::columns)?;
        let groups =
            snapshot.columns().get(column).and_then(|groups| groups.as_primitive_opt::<UInt16Type>());
        let groups = groups.ok_or_else(|| StateError::columns("a snapshot without key groups"))?.values();
        let wrong = groups.iter().zip(&hashes).position(|(got, hash)| *got != self.group_of(index, *hash));
        match wrong {
            None => Ok(hashes),
            Some(row) => Err(StateError::Group {
                row,
                got: groups[row],
                expected: self.group_of(index, hashes[row]),
                groups: self.groups.count(),
            }),
        }
    }
}
