//! Which rows have changed since the last cut, and which ones a cut that is under way has still to give.
//!
//! A cut copies nothing when it begins: what has changed is marked as what it has to give, a bit for each row, and rows
//! are given in pieces while others come in. A row that is to change before its turn has come is given
//! first, as it still is. So a cut costs the time of the rows that it gives, and never makes anybody wait for all of them.

use std::ops::Range;

use crate::sweep::{GENERATIONS, Stretch};

/// Rows that are written down before they are marked.
const RECENT_MAX: usize = 1 << 17;

/// The changes of a table, in words of 64 rows.
///
/// What has changed is written down first and marked later, many rows at a time: with five million rows the marks are
/// 0.6 MB, which what rows that come in ask for drives out of the caches again and again.
/// ```
/// # use sabot_common::Epoch;
/// # use sabot_state::{Changes, Sweep};
/// let (mut changes, mut sweep) = (Changes::default(), Sweep::default());
/// let mut begin = |changes: &mut Changes, epoch| {
///     let mut stretch = match epoch {
///         1 => sweep.begin_whole(Epoch(epoch)),
///         _ => sweep.begin(Epoch(epoch), changes.changed(), 5),
///     };
///     changes.begin(0, 5, &mut stretch); // five rows
///     sweep.end(stretch);
/// };
/// let (mut due, mut given) = (Vec::new(), Vec::new());
/// begin(&mut changes, 1);
/// changes.touch(&[3], 5, &mut due);
/// assert_eq!(due, [3]); // it must be given as it still is
/// changes.take(100, &mut given);
/// assert_eq!(given, [0, 1, 2, 4]);
/// begin(&mut changes, 2);
/// given.clear();
/// changes.take(100, &mut given);
/// assert_eq!(given, [3]); // the only one that has changed since
/// ```
#[derive(Debug, Default)]
pub struct Changes {
    /// Changed, and not marked yet.
    recent: Vec<u32>,
    /// Changed since the last cut began.
    dirty: Vec<u64>,
    /// Still to be given.
    due: Vec<u64>,
    /// The rows that cuts have given, by the number of their generation modulo as many, for the newest ones.
    given: Vec<[u64; GENERATIONS]>,
    /// The generation of the last cut; none before the first.
    generation: Option<u64>,
    /// Rows that are still to be given.
    pending: usize,
    /// Nothing is due in the words before.
    next: usize,
}

impl Changes {
    /// Rows that have changed since the last cut began.
    pub fn changed(&mut self) -> usize {
        self.mark();
        self.dirty.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Rows that are still to be given.
    pub fn pending(&self) -> usize {
        self.pending
    }

    /// Makes room for as many rows.
    fn reach(&mut self, rows: usize) {
        let words = rows.div_ceil(64);
        if words > self.dirty.len() {
            self.dirty.resize(words, 0);
            self.due.resize(words, 0);
            self.given.resize(words, [0; GENERATIONS]);
        }
    }

    /// Rows are about to change, of as many as there are now; those that must be given before are added to `due`.
    pub fn touch(&mut self, ids: &[u32], rows: usize, due: &mut Vec<u32>) {
        self.reach(rows);
        self.recent.extend_from_slice(ids);
        if self.recent.len() >= RECENT_MAX {
            self.mark();
        }
        if self.pending == 0 {
            return;
        }
        // Whether a row is due is as good as random, so that a branch for each would cost more than all else: an id is
        // written in any case, and the next one over it if it was not due.
        let before = due.len();
        due.resize(before + ids.len(), 0);
        let mut end = before;
        for id in ids {
            let (word, bit) = (&mut self.due[*id as usize / 64], id % 64);
            due[end] = *id;
            end += (*word >> bit & 1) as usize;
            *word &= !(1 << bit);
        }
        due.truncate(end);
        self.pending -= end - before;
    }

    fn mark(&mut self) {
        for id in self.recent.drain(..) {
            self.dirty[id as usize / 64] |= 1 << (id % 64);
        }
    }

    /// Begins a cut of a unit with so many rows: of what has changed and of the stale ones that the cut has room for, or of
    /// all rows, which it is as well where there was none before. What another one has not given is forgotten.
    pub fn begin(&mut self, unit: i64, rows: usize, stretch: &mut Stretch) {
        self.reach(rows);
        self.mark();
        let last = self.generation.replace(stretch.generation);
        let slot = (stretch.generation % GENERATIONS as u64) as usize;
        (self.pending, self.next) = (0, 0);
        let words = self.dirty.iter_mut().zip(&mut self.due).zip(&mut self.given).enumerate();
        let Some(last) = last.filter(|_| !stretch.is_whole) else {
            for (number, ((dirty, due), given)) in words {
                (*dirty, *due) = (0, below(rows.saturating_sub(number * 64)));
                *given = [0; GENERATIONS];
                given[slot] = *due;
            }
            self.pending = rows;
            return stretch.took(unit, rows, 0, None);
        };
        let is_new = last != stretch.generation;
        let (from, mut left) = stretch.within(unit).unwrap_or((rows, 0));
        let (mut stale, mut next) = (0, None);
        for (number, ((dirty, due), given)) in words {
            *due = std::mem::take(dirty);
            if is_new {
                given[slot] = 0;
            }
            if (number + 1) * 64 > from && next.is_none() {
                let seen = given.iter().fold(*due, |seen, some| seen | some);
                let here = below(rows.saturating_sub(number * 64)) & !below(from.saturating_sub(number * 64));
                let mut more = !seen & here;
                while left < more.count_ones() as usize {
                    // The last one stays, and is the next one if it is the first that does.
                    let bit = 63 - more.leading_zeros();
                    more &= !(1 << bit);
                    next = Some(number * 64 + bit as usize);
                }
                left -= more.count_ones() as usize;
                stale += more.count_ones() as usize;
                *due |= more;
            }
            given[slot] |= *due;
            self.pending += due.count_ones() as usize;
        }
        stretch.took(unit, self.pending, stale, next);
    }

    /// Begins a cut of what has changed, and of other rows where [`Changes::also`] says so. That all rows are given again
    /// after some time is for whoever cuts so to see to.
    pub fn begin_changed(&mut self, rows: usize) {
        self.reach(rows);
        self.mark();
        (self.pending, self.next) = (0, 0);
        for (dirty, due) in self.dirty.iter_mut().zip(&mut self.due) {
            *due = std::mem::take(dirty);
            self.pending += due.count_ones() as usize;
        }
    }

    /// Adds rows to a cut that has just begun.
    pub fn also(&mut self, rows: Range<usize>) {
        for number in rows.start / 64..rows.end.div_ceil(64) {
            let first = number * 64;
            let some = below(rows.end - first) & !below(rows.start.saturating_sub(first));
            let word = &mut self.due[number];
            self.pending += (some & !*word).count_ones() as usize;
            *word |= some;
        }
    }

    /// Takes the next id.
    pub fn take_next(&mut self) -> Option<u32> {
        if self.pending == 0 {
            return None;
        }
        while self.due[self.next] == 0 {
            self.next += 1;
        }
        let word = &mut self.due[self.next];
        let id = (self.next * 64) as u32 + word.trailing_zeros();
        *word &= *word - 1;
        self.pending -= 1;
        Some(id)
    }

    /// Takes the next ids, ascending, at most `max` and 63 more of them.
    pub fn take(&mut self, max: usize, ids: &mut Vec<u32>) {
        while self.pending > 0 && ids.len() < max {
            let mut word = std::mem::take(&mut self.due[self.next]);
            self.pending -= word.count_ones() as usize;
            while word != 0 {
                ids.push((self.next * 64) as u32 + word.trailing_zeros());
                word &= word - 1;
            }
            self.next += 1;
        }
    }

    /// Allocated bytes.
    pub fn bytes(&self) -> usize {
        let words = self.dirty.capacity() + self.due.capacity() + GENERATIONS * self.given.capacity();
        words * size_of::<u64>() + self.recent.capacity() * size_of::<u32>()
    }
}

/// The lowest bits of a word; all, where there are more.
fn below(bits: usize) -> u64 {
    if bits < 64 { (1 << bits) - 1 } else { u64::MAX }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use super::*;
    use crate::Sweep;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use sabot_common::Epoch;
    use std::collections::BTreeSet;

    #[test]
    fn some_rows_are_given_though_they_have_not_changed() {
        for range in [0..0, 0..1, 3..60, 63..65, 64..128, 1..300, 299..300] {
            let (mut changes, mut due) = (Changes::default(), Vec::new());
            changes.touch(&[5, 64, 299], 300, &mut due);
            changes.begin_changed(300);
            changes.also(range.clone());
            let mut wanted: BTreeSet<u32> = [5, 64, 299].into();
            wanted.extend(range.start as u32..range.end as u32);
            assert_eq!(changes.pending(), wanted.len(), "{range:?}");
            let mut given: BTreeSet<u32> = (0..wanted.len() / 2).map_while(|_| changes.take_next()).collect();
            assert!(given.iter().eq(wanted.iter().take(given.len())));
            changes.touch(&[0, 299], 300, &mut due);
            given.extend(&due);
            given.extend(std::iter::from_fn(|| changes.take_next()));
            assert_eq!(given, wanted, "{range:?}");
            assert_eq!(changes.changed(), 2);
        }
    }

    #[test]
    fn every_row_is_given_once_and_before_it_changes() {
        for seed in 0..50 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut changes = Changes::default();
            let (mut rows, mut dirty, mut pending) = (0, BTreeSet::new(), BTreeSet::new());
            let (mut sweep, mut seen) = (Sweep::default(), false);
            for epoch in 0..300 {
                match rng.random_range(0..4) {
                    0 => {
                        let mut stretch = match rng.random_bool(0.1) || rows == 0 {
                            true => sweep.begin_whole(Epoch(epoch)),
                            false => sweep.begin(Epoch(epoch), changes.changed(), rows),
                        };
                        let whole = !std::mem::replace(&mut seen, true) || stretch.is_whole;
                        changes.begin(0, rows, &mut stretch);
                        sweep.end(stretch);
                        pending = std::mem::take(&mut dirty);
                        // Which of them are stale is for the tests of `sweep` to say.
                        pending.extend(
                            (0..rows as u32)
                                .filter(|id| changes.due[*id as usize / 64] >> (id % 64) & 1 == 1),
                        );
                        assert!(!whole || pending.len() == rows);
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
