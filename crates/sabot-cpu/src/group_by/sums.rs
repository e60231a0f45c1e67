//! Exact integer sums by group.
//!
//! A sum is specified in 128 bits, and 128-bit additions at random places are three times as slow as
//! 64-bit ones. So sums start as `i64` together with a bound on the absolute value that any of them can
//! have reached, kept per batch and not per row; the batch that lets the bound leave `i64` first widens
//! all sums to `i128`. With delays in minutes that takes 10^15 rows.

use sabot_batch::key_index::words::Words;

/// Sums of integers by dense id.
#[derive(Debug, Default)]
pub(super) struct IntegerSums {
    narrow: Vec<i64>,
    /// In use instead of `narrow` as soon as it is not empty.
    wide: Vec<i128>,
    bound: u128,
}

/// An addition left 128 bits.
#[derive(Debug)]
pub(super) struct BeyondWide;

impl IntegerSums {
    pub(super) fn resize(&mut self, groups: usize) {
        if self.wide.is_empty() {
            self.narrow.resize(groups, 0);
        } else {
            self.wide.resize(groups, 0);
        }
    }

    pub(super) fn reserve(&mut self, more: usize) {
        if self.wide.is_empty() {
            self.narrow.reserve_exact(more);
        } else {
            self.wide.reserve_exact(more);
        }
    }

    pub(super) fn clear(&mut self) {
        self.narrow.clear();
        self.wide.clear();
        self.bound = 0;
    }

    pub(super) fn get(&self, id: u32) -> i128 {
        match self.wide.get(id as usize) {
            Some(sum) => *sum,
            None => i128::from(self.narrow[id as usize]),
        }
    }

    /// The sum as the nearest double. From 64 bits that is one instruction, from 128 bits a call.
    pub(super) fn get_rounded(&self, id: u32) -> f64 {
        match self.wide.get(id as usize) {
            Some(sum) => *sum as f64,
            None => self.narrow[id as usize] as f64,
        }
    }

    pub(super) fn allocated_bytes(&self) -> usize {
        self.narrow.capacity() * size_of::<i64>() + self.wide.capacity() * size_of::<i128>()
    }

    /// Makes room for `values` additions of numbers of at most `largest` in absolute value.
    fn make_room(&mut self, largest: u128, values: usize) {
        self.bound = self.bound.saturating_add(largest.saturating_mul(values as u128));
        if self.bound > i64::MAX as u128 && self.wide.is_empty() {
            self.wide = self.narrow.drain(..).map(i128::from).collect();
        }
    }

    /// Adds word `i` to the sum of `ids[i]` and calls `seen` with that id, nulls excepted. The words are
    /// integers of at most 64 signed bits, or booleans.
    pub(super) fn add_words(&mut self, ids: &[u32], words: &Words<'_>, mut seen: impl FnMut(usize)) {
        self.make_room(u128::from(magnitude(&words.values)), ids.len());
        if self.wide.is_empty() {
            each_valid(ids, words, |id, word| {
                self.narrow[id] += word;
                seen(id);
            });
        } else {
            each_valid(ids, words, |id, word| {
                self.wide[id] += i128::from(word);
                seen(id);
            });
        }
    }

    /// Adds `values[i]` to the sum of `ids[i]`; `largest` bounds their absolute values.
    pub(super) fn add_sums(
        &mut self,
        ids: &[u32],
        values: impl Iterator<Item = i128>,
        largest: u128,
    ) -> Result<(), BeyondWide> {
        self.make_room(largest, ids.len());
        if self.wide.is_empty() {
            for (id, value) in ids.iter().zip(values) {
                // The bound has just shown that it fits.
                self.narrow[*id as usize] += value as i64;
            }
            return Ok(());
        }
        let mut beyond = false;
        for (id, value) in ids.iter().zip(values) {
            let sum = &mut self.wide[*id as usize];
            let (next, overflow) = sum.overflowing_add(value);
            (*sum, beyond) = (next, beyond | overflow);
        }
        if beyond { Err(BeyondWide) } else { Ok(()) }
    }
}

/// A number that no absolute value exceeds; at most twice and one more than the largest, without a
/// comparison a row.
fn magnitude(values: &[i64]) -> u64 {
    let bits = values.iter().fold(0u64, |bits, v| bits | (v ^ (v >> 63)) as u64);
    bits + 1
}

/// Calls `f` with id and word of each row that is not null.
pub(super) fn each_valid(ids: &[u32], words: &Words<'_>, mut f: impl FnMut(usize, i64)) {
    match &words.nulls {
        None => ids.iter().zip(words.values.iter()).for_each(|(id, word)| f(*id as usize, *word)),
        Some(nulls) => {
            for ((id, word), valid) in ids.iter().zip(words.values.iter()).zip(nulls.iter()) {
                if valid {
                    f(*id as usize, *word);
                }
            }
        }
    }
}

/// As [`magnitude`], for sums.
pub(super) fn magnitude_of_sums(values: &[i128]) -> u128 {
    let bits = values.iter().fold(0u128, |bits, v| bits | (v ^ (v >> 127)) as u128);
    bits.saturating_add(1)
}
