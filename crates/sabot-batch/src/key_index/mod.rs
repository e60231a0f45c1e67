//! From keys to dense ids: the table under every group-by and every keyed state.
//!
//! Keys are kept as typed columns in the order in which they were first seen; a key's place there is
//! its id, and whatever else is known of a key (sums, counts) lives in flat columns indexed by that id.
//! An open-addressing table of 8-byte slots finds the id: 16 bits of the hash as salt, so that a slot
//! of another key is passed over without looking at keys, and 32 bits of id. Position in the table
//! comes from the low half of the hash and the salt from bits that neither position nor key group use.
//!
//! A batch is looked up in passes over a thousand rows: probe all, append the new keys column by
//! column, then verify all candidates column by column, so that each loop is about one type and one
//! array. A candidate with the right salt and the wrong key is rare (once in 65,536 probes of an
//! occupied slot); the block is then undone behind it and finished row by row, which keeps the
//! invariant that **ids are dense and in order of first appearance** exact.
//!
//! Keys are equal as in the key hash: nulls are equal, −0.0 equals 0.0, all NaNs are equal, a dictionary or runs
//! equal their values, and lists and structs are equal when all that they hold is. They are stored in
//! canonical form (0.0, one NaN, no dictionary, no runs).

mod canonical;
mod columns;
mod find;
mod nested;
mod quick;
mod sort;
#[cfg(test)]
mod tests;
pub mod text;
pub mod words;

pub use canonical::{canonical, canonical_type};
pub use columns::{KeyBatch, KeyBuilder};
pub use find::NOT_FOUND;
pub use nested::ordered_rows;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use std::cmp::Ordering;
use std::ops::Range;

use columns::{Input, Stored};

/// Rows of one pass: ids and hashes of a block stay in L1.
const BLOCK: usize = 1024;
/// Slots of a table that has seen its first key. A window's pane often holds no more keys than that.
const SLOTS_MIN: usize = 64;
/// Slots of a table that is no longer in the second-level cache.
const SLOTS_LARGE: usize = 1 << 15;
/// Rows whose slots are read ahead. A job with ten million keys, most of which are there, lets rows in at the same rate with
/// and without; while checkpoints take memory's time as well it is 8 % faster, and a restore, which makes keys, 12 %.
const AHEAD: usize = 64;
/// Bits of the hash that are kept in a slot as salt.
const SALT: u64 = 0x0000_ffff_0000_0000;
/// The most keys, three quarters of 2³² slots.
const KEYS_MAX: u32 = 3 << 30;
/// No key: an occupied slot holds its id plus one.
const EMPTY: u64 = 0;

/// Why keys could not be looked up or built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyIndexError {
    /// A type that cannot be a key.
    #[error(
        "key column {column} has type {data_type}, which cannot be a key, because it is or holds a map or a \
         union; every other type can be one"
    )]
    UnsupportedType {
        /// Position of the column in the key, from 0.
        column: usize,
        /// Its type.
        data_type: DataType,
    },
    /// A column has another type than the index was made for.
    #[error("key column {column} has type {got}; the index was made for {expected}")]
    ColumnType {
        /// Position of the column in the key, from 0.
        column: usize,
        /// Its type.
        got: DataType,
        /// The type declared.
        expected: DataType,
    },
    /// Another number of columns than the index was made for.
    #[error("{got} key columns; the index was made for {expected}")]
    ColumnCount {
        /// Columns given.
        got: usize,
        /// Columns declared.
        expected: usize,
    },
    /// A column, or the hashes, have another length than the batch.
    #[error("key column {column} has {got} rows, the batch has {expected}")]
    Length {
        /// Position of the column in the key; the number of columns for the hashes.
        column: usize,
        /// Its rows.
        got: usize,
        /// Rows of the batch.
        expected: usize,
    },
    /// More keys than 32-bit ids.
    #[error("more than {limit} keys in one table; use more keyed parallelism or a smaller window")]
    Full {
        /// The largest number of keys.
        limit: u32,
    },
    /// A string, or a column of strings, is too long for its offsets.
    #[error("{bytes} bytes of text are too many for one string or one utf8 column; use large utf8")]
    TextTooLong {
        /// The bytes.
        bytes: usize,
    },
    /// Arrow refused; a bug, reported as such.
    #[error("building key columns: {message}")]
    Arrow {
        /// What it said.
        message: String,
    },
}

/// Keys with dense ids in order of first appearance.
///
/// ```
/// use std::sync::Arc;
/// use arrow::array::{ArrayRef, StringArray};
/// use arrow::datatypes::DataType;
/// use sabot_batch::key_hash::KeyHasher;
/// use sabot_batch::key_index::KeyIndex;
///
/// let origin: ArrayRef = Arc::new(StringArray::from(vec![Some("ORD"), Some("SFO"), None, Some("ORD")]));
/// let (mut hashes, mut ids) = (Vec::new(), Vec::new());
/// KeyHasher::new(42).hash_columns(&[origin.clone()], &mut hashes)?;
/// let mut index = KeyIndex::new(&[DataType::Utf8])?;
/// index.upsert(&[origin], &hashes, &mut ids)?;
/// assert_eq!(ids, [0, 1, 2, 0]);
/// assert_eq!(index.key_columns()?[0].as_ref(), &StringArray::from(vec![Some("ORD"), Some("SFO"), None]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct KeyIndex {
    types: Vec<DataType>,
    columns: Vec<Stored>,
    hashes: Vec<u64>,
    /// Empty until the first key, then a power of two long.
    slots: Vec<u64>,
    /// New keys of the block at hand: row and slot.
    claims: Vec<(usize, usize)>,
}

impl KeyIndex {
    /// An index for keys of these types; no types at all is an index with at most one key.
    ///
    /// # Errors
    /// [`KeyIndexError::UnsupportedType`].
    pub fn new(types: &[DataType]) -> Result<Self, KeyIndexError> {
        let columns = types.iter().enumerate().map(|(i, t)| Stored::new(t, i)).collect::<Result<_, _>>()?;
        Ok(Self { types: types.to_vec(), columns, hashes: Vec::new(), slots: Vec::new(), claims: Vec::new() })
    }

    /// Whether columns of this type can be keys here, as [`canonical_type`] has it.
    pub fn supports(data_type: &DataType) -> bool {
        Stored::new(&canonical_type(data_type), 0).is_ok()
    }

    /// Replaces the contents of `ids` by one id a row; keys not seen before get the next ids. The number
    /// of rows is that of `hashes`, which must be equal for equal keys; it need not be the key hash.
    ///
    /// # Errors
    /// [`KeyIndexError`] when the columns do not fit, or there are more keys than ids.
    pub fn upsert(
        &mut self,
        columns: &[ArrayRef],
        hashes: &[u64],
        ids: &mut Vec<u32>,
    ) -> Result<(), KeyIndexError> {
        let batch = KeyBatch::new(&self.types, columns, hashes.len())?;
        self.upsert_rows(&batch, 0..hashes.len(), hashes, ids)
    }

    /// As [`KeyIndex::upsert`] for some rows of a prepared batch. `hashes` are those of the whole batch;
    /// `ids` has one id for each row of `rows`.
    ///
    /// # Errors
    /// As [`KeyIndex::upsert`].
    pub fn upsert_rows(
        &mut self,
        batch: &KeyBatch<'_>,
        rows: Range<usize>,
        hashes: &[u64],
        ids: &mut Vec<u32>,
    ) -> Result<(), KeyIndexError> {
        if hashes.len() != batch.rows() || rows.end > batch.rows() {
            let got = hashes.len().min(rows.end);
            return Err(KeyIndexError::Length { column: self.types.len(), got, expected: batch.rows() });
        }
        if batch.columns.len() != self.columns.len() {
            return Err(KeyIndexError::ColumnCount {
                got: batch.columns.len(),
                expected: self.columns.len(),
            });
        }
        ids.clear();
        ids.reserve(rows.len());
        let mut start = rows.start;
        while start < rows.end {
            if self.is_full() {
                self.grow()?;
            }
            let end = self.probe(start..rows.end.min(start + BLOCK), hashes, ids);
            let block = ids.len() - (end - start);
            for (stored, input) in self.columns.iter_mut().zip(&batch.columns) {
                stored.push_rows(input, self.claims.iter().map(|(row, _)| *row));
            }
            let columns = self.columns.iter().zip(&batch.columns);
            let mismatch = columns.filter_map(|(s, i)| s.first_mismatch(i, start..end, &ids[block..])).min();
            if let Some(bad) = mismatch {
                self.undo_from(bad);
                ids.truncate(block + (bad - start));
                for (row, hash) in (bad..end).zip(&hashes[bad..end]) {
                    ids.push(self.upsert_one(&batch.columns, row, *hash)?);
                }
            }
            start = end;
        }
        Ok(())
    }

    /// Keys there are.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// The types of the key columns, in canonical form.
    pub fn types(&self) -> &[DataType] {
        &self.types
    }

    /// The hash of each key, by id.
    pub fn hashes(&self) -> &[u64] {
        &self.hashes
    }

    /// All keys in order of id.
    ///
    /// # Errors
    /// [`KeyIndexError::TextTooLong`] when a utf8 column would exceed 2 GiB.
    pub fn key_columns(&self) -> Result<Vec<ArrayRef>, KeyIndexError> {
        let all: Vec<u32> = (0..self.next_id()).collect();
        self.take(&all)
    }

    /// The keys of these ids, in this order.
    ///
    /// # Errors
    /// As [`KeyIndex::key_columns`].
    pub fn take(&self, ids: &[u32]) -> Result<Vec<ArrayRef>, KeyIndexError> {
        let mut builder = KeyBuilder::new(&self.types)?;
        builder.append(self, ids)?;
        builder.finish()
    }

    /// Compares two keys, column after column, in the total order: false before true, numbers by value
    /// with NaN greatest, strings and bytes bytewise, intervals by months, then days, then the rest, lists item by
    /// item, structs field by field, null after everything.
    pub fn compare(&self, a: u32, b: u32) -> Ordering {
        self.columns.iter().map(|c| c.compare(a, b)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
    }

    /// Replaces the contents of `ids` by all ids in the total order of their keys.
    pub fn sorted_ids(&self, ids: &mut Vec<u32>) {
        ids.clear();
        let Some(first) = self.columns.first() else {
            ids.extend(0..self.next_id());
            return;
        };
        let prefixes: Vec<Option<u64>> = (0..self.next_id()).map(|id| first.prefix(id)).collect();
        let exact = self.columns.len() == 1 && first.prefix_is_exact();
        sort::by_prefix(&prefixes, exact, ids, |a, b| self.compare(a, b));
    }

    /// Makes room for so many keys, those that are there among them. Memory that keys come to use bit by bit is moved and
    /// cleared several times over; in a restore of millions of keys that is most of the work.
    ///
    /// # Errors
    /// [`KeyIndexError::Full`] for more keys than ids.
    pub fn reserve(&mut self, keys: usize) -> Result<(), KeyIndexError> {
        if keys > KEYS_MAX as usize {
            return Err(KeyIndexError::Full { limit: KEYS_MAX });
        }
        let more = keys.saturating_sub(self.len());
        self.hashes.reserve_exact(more);
        self.columns.iter_mut().for_each(|column| column.reserve(more));
        // A table is full at three quarters.
        let slots = (keys / 3 * 4 + 4).max(SLOTS_MIN).next_power_of_two();
        if slots > self.slots.len() { self.resize(slots) } else { Ok(()) }
    }

    /// Forgets all keys and keeps the allocations.
    pub fn clear(&mut self) {
        self.slots.fill(EMPTY);
        self.hashes.clear();
        self.columns.iter_mut().for_each(Stored::clear);
    }

    /// Allocated bytes.
    pub fn bytes(&self) -> usize {
        let columns: usize = self.columns.iter().map(Stored::allocated_bytes).sum();
        columns + (self.hashes.capacity() + self.slots.capacity()) * size_of::<u64>()
    }

    fn stored(&self) -> &[Stored] {
        &self.columns
    }

    /// There are never more than `u32::MAX` keys: growing refuses before.
    fn next_id(&self) -> u32 {
        self.hashes.len() as u32
    }

    /// Three quarters: with linear probing a hit then looks at 2.5 slots on average, and one at half.
    fn is_full(&self) -> bool {
        self.hashes.len() >= self.slots.len() / 4 * 3
    }

    /// Gives each row of the block an id by salt alone and claims slots for new keys. Stops before the
    /// table is too full; returns the row it got to.
    fn probe(&mut self, rows: Range<usize>, hashes: &[u64], ids: &mut Vec<u32>) -> usize {
        self.claims.clear();
        let mask = self.slots.len() - 1;
        let limit = self.slots.len() / 4 * 3;
        let start = rows.start;
        let is_large = self.slots.len() >= SLOTS_LARGE;
        for (i, hash) in hashes[rows.clone()].iter().enumerate() {
            if is_large && i % AHEAD == 0 {
                self.touch(&hashes[start + i..rows.end.min(start + i + AHEAD)]);
            }
            let mut at = *hash as usize & mask;
            let id = loop {
                let slot = self.slots[at];
                if slot == EMPTY {
                    let id = self.hashes.len();
                    if id >= limit {
                        return start + i;
                    }
                    self.slots[at] = (hash & SALT) | (id as u64 + 1);
                    self.hashes.push(*hash);
                    self.claims.push((start + i, at));
                    break id as u32;
                }
                if (slot ^ hash) & SALT == 0 {
                    break (slot as u32) - 1;
                }
                at = (at + 1) & mask;
            };
            ids.push(id);
        }
        rows.end
    }

    /// Reads the slots that these hashes are looked up in, one by one what a search begins with. No load waits for another
    /// and no branch is guessed, so that many of them miss the caches at a time; in a search it is one after the other.
    fn touch(&self, hashes: &[u64]) {
        let mask = self.slots.len() - 1;
        let seen = hashes.iter().fold(0, |seen, hash| seen ^ self.slots[*hash as usize & mask]);
        std::hint::black_box(seen);
    }

    /// Takes back the claims of row `bad` and later. Claims are only ever followed by later ones, so
    /// emptying their slots cuts no other key's probe sequence.
    fn undo_from(&mut self, bad: usize) {
        while let Some((_, slot)) = self.claims.pop_if(|(row, _)| *row >= bad) {
            self.slots[slot] = EMPTY;
            self.hashes.pop();
        }
        let len = self.hashes.len();
        self.columns.iter_mut().for_each(|c| c.truncate(len));
    }

    /// The careful way: every candidate is verified before the next slot is looked at.
    fn upsert_one(&mut self, inputs: &[Input<'_>], row: usize, hash: u64) -> Result<u32, KeyIndexError> {
        if self.is_full() {
            self.grow()?;
        }
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        while self.slots[at] != EMPTY {
            let slot = self.slots[at];
            if (slot ^ hash) & SALT == 0 {
                let id = (slot as u32) - 1;
                let mut columns = self.columns.iter().zip(inputs);
                if columns.all(|(s, i)| s.first_mismatch(i, row..row + 1, &[id]).is_none()) {
                    return Ok(id);
                }
            }
            at = (at + 1) & mask;
        }
        let id = self.next_id();
        self.slots[at] = (hash & SALT) | (u64::from(id) + 1);
        self.hashes.push(hash);
        for (stored, input) in self.columns.iter_mut().zip(inputs) {
            stored.push_rows(input, std::iter::once(row));
        }
        Ok(id)
    }

    /// Doubles the table.
    fn grow(&mut self) -> Result<(), KeyIndexError> {
        self.resize((self.slots.len() * 2).max(SLOTS_MIN))
    }

    /// Gives the table `size` slots, a power of two that is large enough, and places every key again from its hash.
    fn resize(&mut self, size: usize) -> Result<(), KeyIndexError> {
        // The load limit of the largest table must stay below the 32-bit ids.
        if size as u64 > 1 << 32 {
            return Err(KeyIndexError::Full { limit: KEYS_MAX });
        }
        let mask = size - 1;
        // Zeros that the system gives are not written again.
        self.slots = vec![EMPTY; size];
        for (id, hash) in self.hashes.iter().enumerate() {
            let mut at = *hash as usize & mask;
            while self.slots[at] != EMPTY {
                at = (at + 1) & mask;
            }
            self.slots[at] = (hash & SALT) | (id as u64 + 1);
        }
        Ok(())
    }
}
