//! The key hash: one 64-bit number per key, the same on every device, in every version, for every way
//! that Arrow has to store a value.
//!
//! It decides which task owns a key and goes into checkpoints, so it is a specification
//! (`docs/key-hash.md`) with vectors (`key-hash-vectors.json`) and not a library's hash that may change.
//! The invariant: keys that are equal as values hash alike, whatever type or encoding carries them.
//!
//! Three forms stand here. [`KeyHasher`] is the one to use: column at a time, in blocks that stay in L1.
//! [`lanes`] holds its integer loops as free functions over slices, so that a crate with SIMD dispatch
//! can compile them again for a newer instruction set. [`reference_hash`] is slow and follows the
//! specification word by word; the tests hold the others against it.

mod column;
mod encode;
pub mod lanes;
mod reference;
#[cfg(test)]
mod tests;

pub use reference::{KeyValue, reference_hash};

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::DataType;

use column::Column;
use lanes::Lanes;

/// Why keys could not be hashed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyHashError {
    /// A column has a type that has no place in the key hash's specification.
    #[error(
        "key column {column} has type {data_type}, which cannot be a key, because it is or holds a map or a \
         union; every other type can be one"
    )]
    UnsupportedType {
        /// Position of the column in the key, from 0.
        column: usize,
        /// The type that was refused.
        data_type: DataType,
    },
    /// The columns of one key have different lengths.
    #[error("key column {column} has {got} rows, but column 0 has {expected}")]
    Length {
        /// Position of the column in the key, from 0.
        column: usize,
        /// Rows in that column.
        got: usize,
        /// Rows in the first column.
        expected: usize,
    },
    /// A key column's index lies outside the batch.
    #[error("key column index {index}, but the batch has {columns} columns")]
    ColumnIndex {
        /// The index that was asked for.
        index: usize,
        /// How many columns there are.
        columns: usize,
    },
}

/// Whether columns of this type can be keys: all but maps, unions, and what holds one.
///
/// ```
/// use arrow::datatypes::DataType;
/// use sabot_batch::key_hash::supports_key;
/// assert!(supports_key(&DataType::Utf8View));
/// assert!(supports_key(&DataType::new_list(DataType::Int64, true)));
/// assert!(!supports_key(&DataType::Union(arrow::datatypes::UnionFields::empty(), arrow::datatypes::UnionMode::Dense)));
/// ```
pub fn supports_key(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => supports_plain(values),
        DataType::RunEndEncoded(_, values) => supports_plain(values.data_type()),
        plain => supports_plain(plain),
    }
}

/// As [`supports_key`], for what is not encoded itself.
fn supports_plain(data_type: &DataType) -> bool {
    match data_type {
        DataType::Map(..) | DataType::Union(..) | DataType::Dictionary(..) | DataType::RunEndEncoded(..) => {
            false
        }
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => supports_key(item.data_type()),
        DataType::Struct(fields) => fields.iter().all(|field| supports_key(field.data_type())),
        _ => true,
    }
}

/// Hashes keys under one seed, column at a time.
///
/// The seed belongs to the pipeline: it is kept in the plan and in every checkpoint, because state is
/// distributed by these hashes.
///
/// ```
/// use std::sync::Arc;
/// use arrow::array::{ArrayRef, Int32Array, Int64Array};
/// use sabot_batch::key_hash::{KeyHasher, KeyValue, reference_hash};
///
/// let narrow: ArrayRef = Arc::new(Int32Array::from(vec![Some(7), None]));
/// let wide: ArrayRef = Arc::new(Int64Array::from(vec![Some(7), None]));
/// let hasher = KeyHasher::new(42);
/// let (mut a, mut b) = (Vec::new(), Vec::new());
/// hasher.hash_columns(&[narrow], &mut a)?;
/// hasher.hash_columns(&[wide], &mut b)?;
/// assert_eq!(a, b);
/// assert_eq!(a[0], reference_hash(42, &[KeyValue::Signed(7)]));
/// # Ok::<(), sabot_batch::key_hash::KeyHashError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyHasher {
    seed: u64,
    start: (u32, u32),
}

impl KeyHasher {
    /// A hasher for this seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, start: lanes::start(seed) }
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Replaces the contents of `out` with one hash per row.
    ///
    /// Nulls hash by a tag of their own; what lies in a value buffer under a null does not matter, nor
    /// does the offset of a slice. Every value of a dictionary or of runs is encoded once, unless there are
    /// more of them than the batch has rows. Without columns there are no rows to see, so `out` ends
    /// up empty; [`KeyHasher::hash_batch_columns`] knows the number of rows.
    ///
    /// # Errors
    /// [`KeyHashError::UnsupportedType`] and [`KeyHashError::Length`]; `out` is then left as it was.
    pub fn hash_columns(&self, columns: &[ArrayRef], out: &mut Vec<u64>) -> Result<(), KeyHashError> {
        let rows = columns.first().map_or(0, |c| c.len());
        self.hash(columns.iter().map(AsRef::as_ref), rows, out)
    }

    /// Replaces the contents of `out` with one hash per row of `batch`, over the columns at `columns`,
    /// in that order. Without columns every row has the hash of the empty key.
    ///
    /// # Errors
    /// [`KeyHashError::UnsupportedType`], where `column` counts within `columns`, and
    /// [`KeyHashError::ColumnIndex`]; `out` is then left as it was.
    pub fn hash_batch_columns(
        &self,
        batch: &RecordBatch,
        columns: &[usize],
        out: &mut Vec<u64>,
    ) -> Result<(), KeyHashError> {
        let all = batch.columns();
        if let Some(&index) = columns.iter().find(|&&i| i >= all.len()) {
            return Err(KeyHashError::ColumnIndex { index, columns: all.len() });
        }
        self.hash(columns.iter().map(|&i| all[i].as_ref()), batch.num_rows(), out)
    }

    fn hash<'a>(
        &self,
        columns: impl Iterator<Item = &'a dyn Array>,
        rows: usize,
        out: &mut Vec<u64>,
    ) -> Result<(), KeyHashError> {
        let columns = columns
            .enumerate()
            .map(|(i, array)| {
                if array.len() != rows {
                    return Err(KeyHashError::Length { column: i, got: array.len(), expected: rows });
                }
                Column::new(array, self.start).ok_or_else(|| KeyHashError::UnsupportedType {
                    column: i,
                    data_type: array.data_type().clone(),
                })
            })
            .collect::<Result<Vec<_>, _>>()?;

        out.clear();
        out.reserve(rows);
        let mut lanes = Lanes::new();
        let mut first = 0;
        while first < rows {
            let len = lanes::BLOCK.min(rows - first);
            lanes.restart(self.start, len);
            for column in &columns {
                column.absorb(first, &mut lanes);
            }
            lanes.finish_into(out);
            first += len;
        }
        Ok(())
    }
}
