//! Which rows of a morsel are still alive, as 64-bit words.
//!
//! Filters only clear bits; rows are moved once, at a pipeline breaker or when few are left. Bits
//! beyond the last row are always zero, so that words can be counted and combined without a mask.

use arrow::array::{Array, BooleanArray};
use arrow::buffer::{BooleanBuffer, Buffer};
use std::sync::Arc;

/// A bitmap over the rows of a morsel: bit `i % 64` of word `i / 64` is set when row `i` is alive.
///
/// ```
/// # use arrow::array::BooleanArray;
/// # use sabot_batch::Selection;
/// let late = Selection::from_predicate(&BooleanArray::from(vec![Some(true), None, Some(true)]));
/// assert_eq!((late.rows(), late.alive()), (3, 2));
/// assert_eq!(late.iter().collect::<Vec<_>>(), [0, 2]);
/// let first = Selection::from_words(vec![0b001], 3);
/// assert_eq!(late.and(&first).words(), [0b001]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    words: Arc<[u64]>,
    rows: usize,
    alive: usize,
}

impl Selection {
    /// A selection over `rows` rows from its words; bits beyond the last row are cleared, missing
    /// words are zero, extra words are dropped.
    pub fn from_words(mut words: Vec<u64>, rows: usize) -> Self {
        words.resize(rows.div_ceil(64), 0);
        if !rows.is_multiple_of(64)
            && let Some(last) = words.last_mut()
        {
            *last &= (1u64 << (rows % 64)) - 1;
        }
        let alive = words.iter().map(|w| w.count_ones() as usize).sum();
        Self { words: words.into(), rows, alive }
    }

    /// The rows for which a predicate is true; null counts as false, as in SQL's WHERE.
    pub fn from_predicate(predicate: &BooleanArray) -> Self {
        let bits = match predicate.nulls() {
            Some(nulls) => predicate.values() & nulls.inner(),
            None => predicate.values().clone(),
        };
        let words = bits.bit_chunks().iter_padded().collect();
        Self::from_words(words, predicate.len())
    }

    /// The words, 64 rows each.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// Rows that the selection speaks of, alive or not.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Rows that are alive.
    pub fn alive(&self) -> usize {
        self.alive
    }

    /// Whether row `i` is alive; false past the end.
    pub fn contains(&self, i: usize) -> bool {
        self.words.get(i / 64).is_some_and(|w| w >> (i % 64) & 1 == 1)
    }

    /// The rows alive in both. The shorter of two selections of different length decides.
    #[must_use]
    pub fn and(&self, other: &Selection) -> Selection {
        let words = self.words.iter().zip(other.words.iter()).map(|(a, b)| a & b).collect();
        Selection::from_words(words, self.rows.min(other.rows))
    }

    /// The indices of the rows that are alive, in order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(i, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                (rest != 0).then(|| {
                    let bit = rest.trailing_zeros() as usize;
                    rest &= rest - 1;
                    i * 64 + bit
                })
            })
        })
    }

    /// The same bits as an Arrow boolean array without nulls.
    pub fn to_array(&self) -> BooleanArray {
        let buffer = Buffer::from_vec(self.words.to_vec());
        BooleanArray::new(BooleanBuffer::new(buffer, 0, self.rows), None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_past_the_end_never_count() {
        for rows in [0usize, 1, 31, 32, 33, 63, 64, 65, 130] {
            let all = Selection::from_words(vec![u64::MAX; 4], rows);
            assert_eq!(all.alive(), rows);
            assert_eq!(all.iter().count(), rows);
            assert!(!all.contains(rows));
        }
    }

    #[test]
    fn a_predicate_keeps_true_alone() {
        let predicate: BooleanArray = (0..200).map(|i| [Some(true), Some(false), None][i % 3]).collect();
        for offset in [0, 1, 7, 64] {
            let sliced = predicate.slice(offset, 200 - offset);
            let selection = Selection::from_predicate(&sliced);
            let wanted: Vec<usize> = (0..200 - offset).filter(|i| (i + offset) % 3 == 0).collect();
            assert_eq!(selection.iter().collect::<Vec<_>>(), wanted);
            assert_eq!(selection.to_array().true_count(), wanted.len());
        }
    }
}
