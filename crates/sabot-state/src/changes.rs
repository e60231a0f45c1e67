//! Which rows have changed since the last cut, and which ones a cut that is under way has still to give.
//!
//! A cut copies nothing when it begins: what has changed is marked as what it has to give, two bits for each row, and rows
//! are given in pieces while others come in. A row that is to change before its turn has come is given
//! first, as it still is. So a cut costs the time of the rows that it gives, and never makes anybody wait for all of them.

use std::ops::Range;

/// Ids in words of 64, both sets side by side: a row that is touched is looked up in both, and that is one cache line.
#[derive(Clone, Copy, Debug, Default)]
struct Word {
    /// Changed since the last cut began.
    dirty: u64,
    /// Still to be given.
    pending: u64,
}

/// The changes of a table.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    words: Vec<Word>,
    dirty: usize,
    pending: usize,
    /// Nothing is pending in the words before.
    next: usize,
}

impl Changes {
    /// Rows that have changed since the last cut began.
    pub(crate) fn changed(&self) -> usize {
        self.dirty
    }

    /// Rows that are still to be given.
    pub(crate) fn pending(&self) -> usize {
        self.pending
    }

    /// Makes room for as many rows.
    fn reach(&mut self, rows: usize) {
        let words = rows.div_ceil(64);
        if words > self.words.len() {
            self.words.resize(words, Word::default());
        }
    }

    /// Rows are about to change, of as many as there are now; those that must be given before are added to `due`.
    pub(crate) fn touch(&mut self, ids: &[u32], rows: usize, due: &mut Vec<u32>) {
        self.reach(rows);
        let (mut fresh, given) = (0, due.len());
        if self.pending == 0 {
            for id in ids {
                let (word, bit) = (&mut self.words[*id as usize / 64], id % 64);
                fresh += !word.dirty >> bit & 1;
                word.dirty |= 1 << bit;
            }
        } else {
            for id in ids {
                let (word, bit) = (&mut self.words[*id as usize / 64], id % 64);
                fresh += !word.dirty >> bit & 1;
                word.dirty |= 1 << bit;
                if word.pending >> bit & 1 == 1 {
                    word.pending &= !(1 << bit);
                    due.push(*id);
                }
            }
        }
        self.dirty += fresh as usize;
        self.pending -= due.len() - given;
    }

    /// Begins a cut of what has changed, and of `more`. What another one has not given is forgotten.
    pub(crate) fn begin(&mut self, more: Range<usize>) {
        self.reach(more.end);
        for word in &mut self.words {
            *word = Word { dirty: 0, pending: word.dirty };
        }
        (self.pending, self.dirty, self.next) = (self.dirty, 0, 0);
        let mut at = more.start;
        while at < more.end {
            let bits = (64 - at % 64).min(more.end - at);
            let mask = (u64::MAX >> (64 - bits)) << (at % 64);
            let word = &mut self.words[at / 64].pending;
            self.pending += (mask & !*word).count_ones() as usize;
            *word |= mask;
            at += bits;
        }
    }

    /// Takes the next ids, ascending, at most `max` and 63 more of them.
    pub(crate) fn take(&mut self, max: usize, ids: &mut Vec<u32>) {
        while self.pending > 0 && ids.len() < max {
            let mut word = std::mem::take(&mut self.words[self.next].pending);
            self.pending -= word.count_ones() as usize;
            while word != 0 {
                ids.push((self.next * 64) as u32 + word.trailing_zeros());
                word &= word - 1;
            }
            self.next += 1;
        }
    }

    /// Allocated bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.words.capacity() * size_of::<Word>()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use std::collections::BTreeSet;

    #[test]
    fn every_row_is_given_once_and_before_it_changes() {
        for seed in 0..50 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut changes = Changes::default();
            let (mut rows, mut dirty, mut pending) = (0, BTreeSet::new(), BTreeSet::new());
            for _ in 0..300 {
                match rng.random_range(0..4) {
                    0 => {
                        let more = rng.random_range(0..=rows);
                        let more = more..rng.random_range(more..=rows);
                        pending = std::mem::take(&mut dirty);
                        pending.extend(more.clone().map(|id| id as u32));
                        changes.begin(more);
                    }
                    1 => {
                        let (max, mut given) = (rng.random_range(1..90), Vec::new());
                        changes.take(max, &mut given);
                        assert!(given.is_sorted() && given.len() < max + 64);
                        assert!(given.len() >= max || given.len() == pending.len());
                        assert!(given.iter().all(|id| pending.remove(id)), "seed {seed}");
                    }
                    _ => {
                        rows += rng.random_range(0..100);
                        let touched = (0..rng.random_range(0..40)).filter(|_| rows > 0);
                        let touched: Vec<u32> = touched.map(|_| rng.random_range(0..rows as u32)).collect();
                        let mut due = Vec::new();
                        changes.touch(&touched, rows, &mut due);
                        let expected: BTreeSet<u32> =
                            touched.iter().copied().filter(|id| pending.remove(id)).collect();
                        assert_eq!(due.len(), expected.len());
                        assert_eq!(due.into_iter().collect::<BTreeSet<_>>(), expected, "seed {seed}");
                        dirty.extend(touched);
                    }
                }
                assert_eq!((changes.changed(), changes.pending()), (dirty.len(), pending.len()));
            }
        }
    }
}
