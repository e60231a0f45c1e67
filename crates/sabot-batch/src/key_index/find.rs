//! Looking keys up without adding them: the probe side of a join.
//!
//! Probing goes by salt first, for a block of rows; then the candidates are verified column by column.
//! A candidate with the right salt and the wrong key is rare, and is then looked up again the careful
//! way, so the result is exact.

use std::ops::Range;

use super::columns::Input;
use super::{BLOCK, EMPTY, KeyBatch, KeyIndex, KeyIndexError, SALT};

/// What [`KeyIndex::find`] gives for a key that is not there. No key has this id: a table is full before.
pub const NOT_FOUND: u32 = u32::MAX;

impl KeyIndex {
    /// Replaces the contents of `ids` by the id of each row's key, or [`NOT_FOUND`]. Nothing is added.
    /// Nulls are keys like any other; whoever wants them to match nothing asks only for the other rows.
    ///
    /// # Errors
    /// [`KeyIndexError`] when the columns do not fit the index, or there is not one hash a row.
    pub fn find(
        &self,
        batch: &KeyBatch<'_>,
        hashes: &[u64],
        ids: &mut Vec<u32>,
    ) -> Result<(), KeyIndexError> {
        let rows = batch.rows();
        if hashes.len() != rows {
            return Err(KeyIndexError::Length {
                column: self.types.len(),
                got: hashes.len(),
                expected: rows,
            });
        }
        if batch.columns.len() != self.columns.len() {
            return Err(KeyIndexError::ColumnCount {
                got: batch.columns.len(),
                expected: self.columns.len(),
            });
        }
        ids.clear();
        if self.is_empty() {
            ids.resize(rows, NOT_FOUND);
            return Ok(());
        }
        ids.reserve(rows);
        let mut found: Vec<u32> = Vec::with_capacity(BLOCK);
        let mut start = 0;
        while start < rows {
            let block = start..rows.min(start + BLOCK);
            self.candidates(&hashes[block.clone()], ids);
            self.verify(&batch.columns, block.clone(), hashes, ids, &mut found);
            start = block.end;
        }
        Ok(())
    }

    /// The first id of each hash's probe sequence whose salt is right.
    fn candidates(&self, hashes: &[u64], ids: &mut Vec<u32>) {
        let mask = self.slots.len() - 1;
        for hash in hashes {
            let mut at = *hash as usize & mask;
            let id = loop {
                let slot = self.slots[at];
                if slot == EMPTY {
                    break NOT_FOUND;
                }
                if (slot ^ hash) & SALT == 0 {
                    break (slot as u32) - 1;
                }
                at = (at + 1) & mask;
            };
            ids.push(id);
        }
    }

    /// Holds the candidates of a block against their keys.
    fn verify(
        &self,
        inputs: &[Input<'_>],
        block: Range<usize>,
        hashes: &[u64],
        ids: &mut [u32],
        found: &mut Vec<u32>,
    ) {
        let all_found = !ids[block.clone()].contains(&NOT_FOUND);
        if all_found {
            let columns = self.columns.iter().zip(inputs);
            let first =
                columns.filter_map(|(s, i)| s.first_mismatch(i, block.clone(), &ids[block.clone()])).min();
            if let Some(bad) = first {
                for row in bad..block.end {
                    ids[row] = self.find_one(inputs, row, hashes[row]);
                }
            }
            return;
        }
        found.clear();
        found.extend(block.filter(|row| ids[*row] != NOT_FOUND).map(|row| row as u32));
        for row in found.iter().map(|row| *row as usize) {
            let mut columns = self.columns.iter().zip(inputs);
            if !columns.all(|(s, i)| s.first_mismatch(i, row..row + 1, &[ids[row]]).is_none()) {
                ids[row] = self.find_one(inputs, row, hashes[row]);
            }
        }
    }

    /// The careful way: every candidate is verified before the next slot is looked at.
    fn find_one(&self, inputs: &[Input<'_>], row: usize, hash: u64) -> u32 {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        while self.slots[at] != EMPTY {
            let slot = self.slots[at];
            if (slot ^ hash) & SALT == 0 {
                let id = (slot as u32) - 1;
                let mut columns = self.columns.iter().zip(inputs);
                if columns.all(|(s, i)| s.first_mismatch(i, row..row + 1, &[id]).is_none()) {
                    return id;
                }
            }
            at = (at + 1) & mask;
        }
        NOT_FOUND
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};
    use arrow::datatypes::DataType;
    use std::sync::Arc;

    fn find(index: &KeyIndex, columns: &[ArrayRef], hashes: &[u64]) -> Vec<u32> {
        let batch = KeyBatch::new(index.types(), columns, hashes.len()).unwrap();
        let mut ids = Vec::new();
        index.find(&batch, hashes, &mut ids).unwrap();
        ids
    }

    /// Hashes with few values: salts agree where keys do not, and probe sequences are long.
    #[test]
    fn keys_are_found_however_bad_the_hash_is() {
        for modulus in [1i64, 3, 1 << 40] {
            let hash = |key: i64| ((key % modulus) as u64) << 20;
            let keys: Vec<i64> = (0..3_000).map(|i| i * 2).collect();
            let column: ArrayRef = Arc::new(Int64Array::from(keys.clone()));
            let mut index = KeyIndex::new(&[DataType::Int64]).unwrap();
            let hashes: Vec<u64> = keys.iter().map(|k| hash(*k)).collect();
            index.upsert(&[column], &hashes, &mut Vec::new()).unwrap();
            for size in [0usize, 1, 31, 32, 33, 65, 1023, 1025, 4_000] {
                for step in [1, 2] {
                    let asked: Vec<i64> = (0..size as i64).map(|i| i * step).collect();
                    let hashes: Vec<u64> = asked.iter().map(|k| hash(*k)).collect();
                    let column: ArrayRef = Arc::new(Int64Array::from(asked.clone()));
                    let wanted: Vec<u32> = asked
                        .iter()
                        .map(|k| if k % 2 == 0 && *k < 6_000 { (k / 2) as u32 } else { NOT_FOUND })
                        .collect();
                    assert_eq!(find(&index, &[column], &hashes), wanted, "{size} rows, hash mod {modulus}");
                }
            }
        }
    }

    #[test]
    fn an_empty_index_finds_nothing_and_equal_is_as_for_keys() {
        let mut index = KeyIndex::new(&[DataType::Float64, DataType::Utf8]).unwrap();
        let column = |values: Vec<f64>| Arc::new(Float64Array::from(values)) as ArrayRef;
        let text = |n: usize| Arc::new(StringArray::from(vec!["a"; n])) as ArrayRef;
        assert_eq!(find(&index, &[column(vec![1.0]), text(1)], &[7]), [NOT_FOUND]);
        index.upsert(&[column(vec![0.0, f64::NAN]), text(2)], &[7, 7], &mut Vec::new()).unwrap();
        let asked = column(vec![-0.0, -f64::NAN, 1.0]);
        assert_eq!(find(&index, &[asked, text(3)], &[7, 7, 7]), [0, 1, NOT_FOUND]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let index = KeyIndex::new(&[DataType::Int64]).unwrap();
        let column: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let batch = KeyBatch::new(index.types(), [&column], 2).unwrap();
        let mut ids = Vec::new();
        assert!(matches!(index.find(&batch, &[1], &mut ids), Err(KeyIndexError::Length { .. })));
        let none = KeyBatch::new(&[], [], 2).unwrap();
        assert!(matches!(index.find(&none, &[1, 2], &mut ids), Err(KeyIndexError::ColumnCount { .. })));
    }
}
