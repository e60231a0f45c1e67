//! Which rows a cut gives though they have not changed, so that old cuts can be let go.
//!
//! A checkpoint that is made of cuts, each of which has what had changed since the one before, needs all of them back
//! to the last that has a row which has not changed since. So each cut also gives some rows of which that is so: it goes
//! through all rows in their order, a stretch with each cut, and begins anew when it has come to the end. What a stretch
//! has passed is in newer cuts than those of the round before that had passed no further, which are then superfluous.
//!
//! With a stretch of half as many rows as have changed ([`stretch`]) a cut writes at most half as many rows again, and
//! what is kept of N rows are the cuts of one round: N rows swept and 2 N changed at most, and in the first round the whole
//! cut that it began with. A stretch has at least a small share of all rows, which bounds the cuts of a round where little
//! changes: each is a file. No block is read to be written anew, and what is given is the state itself: no row that is gone
//! or was replaced is ever copied.

use sabot_common::Epoch;
use std::collections::VecDeque;
use std::ops::Range;

/// A row: its unit, and its number in it. Rows have the order of these for as long as they are there; a unit goes as a
/// whole.
type Place = (i64, usize);

const END: Place = (i64::MAX, usize::MAX);

/// A round takes no more cuts than that. Where little of 10,000,000 rows of 55 bytes changes a cut sweeps 4 MB, as much as
/// the disk of the development machine writes in the time of a sync.
const ROUND_CUTS_MAX: usize = 128;

/// The rows that are swept by a cut, given how many have changed and how many there are.
pub fn stretch(changed: usize, rows: usize) -> usize {
    if changed == 0 { 0 } else { changed.div_ceil(2).max(rows / ROUND_CUTS_MAX) }
}

/// How far cuts have swept.
///
/// ```
/// # use sabot_common::Epoch;
/// # use sabot_state::Sweep;
/// let rows = [(0, 4), (10, 2)]; // two units, of four rows and of two
/// let mut sweep = Sweep::default();
/// sweep.whole(Epoch(1));
/// assert_eq!(sweep.cut(Epoch(2), 3, rows), [(0, 0..3)]);
/// assert_eq!(sweep.since(), Epoch(1)); // the last row of the first unit is nowhere else
/// assert_eq!(sweep.cut(Epoch(3), 3, rows), [(0, 3..4), (10, 0..2)]);
/// assert_eq!(sweep.since(), Epoch(2));
/// assert_eq!(sweep.cut(Epoch(4), 3, rows), [(0, 0..3)]);
/// assert_eq!(sweep.since(), Epoch(3)); // which has the other three
/// ```
#[derive(Clone, Debug, Default)]
pub struct Sweep {
    /// Where the next stretch begins; nowhere when a round does.
    at: Option<Place>,
    round: u64,
    /// The cuts that are needed, oldest first: the epoch, the round, and where the stretch ended.
    cuts: VecDeque<(Epoch, u64, Place)>,
}

impl Sweep {
    /// A cut that gives all rows.
    pub fn whole(&mut self, epoch: Epoch) {
        self.cuts.clear();
        self.cuts.push_back((epoch, self.round, END));
        self.round += 1;
        self.at = None;
    }

    /// A cut that gives what has changed and, of each unit, the rows that are returned: `rows` of them, or fewer up to the
    /// end. `units` are all units, ascending, with their numbers of rows.
    pub fn cut(
        &mut self,
        epoch: Epoch,
        rows: usize,
        units: impl IntoIterator<Item = (i64, usize)>,
    ) -> Vec<(i64, Range<usize>)> {
        let mut swept = Vec::new();
        let mut units = units.into_iter().filter(|(_, len)| *len > 0).peekable();
        if units.peek().is_none() {
            // Whatever cuts have is of rows that are gone.
            self.whole(epoch);
            return swept;
        }
        if rows == 0 && !self.cuts.is_empty() {
            return swept;
        }
        let (mut left, mut end) = (rows, END);
        for (unit, len) in units {
            let from = match self.at {
                Some((last, _)) if unit < last => continue,
                Some((last, from)) if unit == last => from.min(len),
                _ => 0,
            };
            let taken = left.min(len - from);
            if taken > 0 {
                swept.push((unit, from..from + taken));
                left -= taken;
            }
            if from + taken < len {
                end = (unit, from + taken);
                break;
            }
        }
        self.cuts.push_back((epoch, self.round, end));
        let round = self.round;
        let is_old = |(_, of, place): &(Epoch, u64, Place)| *of < round && *place <= end;
        while self.cuts.front().is_some_and(is_old) {
            self.cuts.pop_front();
        }
        (self.at, self.round) = if end == END { (None, round + 1) } else { (Some(end), round) };
        swept
    }

    /// The oldest cut that is needed: those since have every row that is there.
    pub fn since(&self) -> Epoch {
        self.cuts.front().map_or(Epoch(0), |cut| cut.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use std::collections::BTreeMap;

    /// Units come, grow, change and go; the cuts since the one that is said to be needed have every row's newest form.
    #[test]
    fn the_cuts_that_are_needed_have_every_row() {
        for seed in 0..200 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut sweep = Sweep::default();
            let mut units: BTreeMap<i64, Vec<u64>> = BTreeMap::new();
            let mut cuts: BTreeMap<u64, BTreeMap<(i64, usize), u64>> = BTreeMap::new();
            let mut written = 0;
            let mut total = 0;
            for epoch in 1..120 {
                let mut changed = BTreeMap::new();
                for _ in 0..rng.random_range(0..20) {
                    let unit = rng.random_range(epoch as i64 / 10..8 + epoch as i64 / 10);
                    let rows = units.entry(unit).or_default();
                    if rows.len() < 40 && rng.random_bool(0.6) {
                        rows.push(0);
                    }
                    if !rows.is_empty() {
                        let row = rng.random_range(0..rows.len());
                        rows[row] = epoch;
                        changed.insert((unit, rows.len() - 1), rows[rows.len() - 1]);
                        changed.insert((unit, row), epoch);
                    }
                }
                if rng.random_bool(0.2) {
                    // As windows go: from the first on.
                    units.pop_first();
                }
                changed.retain(|(unit, _), _| units.contains_key(unit));
                let whole = epoch == 1 || rng.random_bool(0.02);
                if whole {
                    sweep.whole(Epoch(epoch));
                    let all = units.iter().flat_map(|(unit, rows)| {
                        rows.iter().enumerate().map(|(row, value)| ((*unit, row), *value))
                    });
                    changed = all.collect();
                } else {
                    let rows = units.iter().map(|(unit, rows)| (*unit, rows.len()));
                    let most = stretch(changed.len(), units.values().map(Vec::len).sum());
                    let more = sweep.cut(Epoch(epoch), most, rows);
                    let extra: usize = more.iter().map(|(_, rows)| rows.len()).sum();
                    assert!(extra <= most);
                    for (unit, rows) in more {
                        changed.extend(rows.map(|row| ((unit, row), units[&unit][row])));
                    }
                }
                written += changed.len();
                total += units.values().map(Vec::len).sum::<usize>();
                cuts.insert(epoch, changed);
                cuts = cuts.split_off(&sweep.since().0);
                let mut state = BTreeMap::new();
                cuts.values().for_each(|cut| state.extend(cut.clone()));
                for (unit, rows) in &units {
                    for (row, value) in rows.iter().enumerate() {
                        assert_eq!(state.get(&(*unit, row)), Some(value), "seed {seed}, epoch {epoch}");
                    }
                }
            }
            assert!(written < total, "it is less than the whole state with each cut");
        }
    }

    #[test]
    fn nothing_is_kept_for_ever() {
        let mut sweep = Sweep::default();
        sweep.whole(Epoch(1));
        for epoch in 2..1000 {
            sweep.cut(Epoch(epoch), 0, [(0, 10)]);
        }
        assert_eq!((sweep.since(), sweep.cuts.len()), (Epoch(1), 1), "nothing has changed");
        for epoch in 1000..1100 {
            sweep.cut(Epoch(epoch), 1, [(0, 10)]);
            assert!(sweep.cuts.len() <= 12);
        }
        assert!(sweep.since() >= Epoch(1088));
        sweep.cut(Epoch(1100), 0, [(0, 0)]);
        assert_eq!(sweep.since(), Epoch(1100), "all rows are gone");
    }

    #[test]
    fn a_round_has_few_cuts_however_little_changes() {
        let (mut sweep, rows) = (Sweep::default(), 1_000_000);
        sweep.whole(Epoch(0));
        for epoch in 1..1000 {
            sweep.cut(Epoch(epoch), stretch(1, rows), [(0, rows)]);
            assert!(sweep.cuts.len() <= ROUND_CUTS_MAX + 3, "{}", sweep.cuts.len());
        }
        assert!(sweep.since() > Epoch(800));
        assert_eq!(stretch(0, rows), 0);
    }
}
