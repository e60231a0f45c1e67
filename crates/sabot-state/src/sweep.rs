//! Which rows a cut gives though they have not changed, so that old cuts can be let go.
//!
//! A checkpoint that is made of cuts, each of which has what had changed since the one before, needs all of them back
//! to the last that has a row which has not changed since. So rows that are only in old cuts are given once more: the
//! *stale* ones. Cuts that follow each other are a *generation*, a new one being begun once the last has half as many rows
//! as there are, or [`CUTS_MAX`] cuts. Tables mark which rows were given in the newest [`GENERATIONS`], one bit for each; a
//! row without a mark is stale. When there is a generation more than that, each cut gives some of the stale rows, going
//! through all rows in their order, and when it has come to the end the older generations are superfluous.
//!
//! Rows that change often are never stale. Where half of 10,000 rows change with each cut, drawn anew each time, a cut gives
//! a fifteenth again of what has changed; where a tenth does, a fifth; where it is always the same tenth, two fifths (test
//! `few_rows_are_given_that_have_not_changed`). A single cut gives at most as many stale rows as have changed, or
//! 1/[`SHARE_MIN`] of all where less has. What is kept is two to three times the rows there are, and at worst five times.
//! Where little changes the least share bounds the number of cuts, each of which is a file, to fewer than 200. No block is
//! read to be written anew, and what is given is the state itself: no row that is gone or was replaced is ever copied.

use sabot_common::Epoch;
use std::collections::VecDeque;

/// A row: its unit, and its number in it. Rows have the order of these for as long as they are there; a unit goes as a
/// whole.
type Place = (i64, usize);

/// The newest generations, of which is known which rows they have.
pub(crate) const GENERATIONS: usize = 4;

/// Cuts of a generation, where they have few rows.
const CUTS_MAX: usize = 16;

/// A sweep takes no more cuts than that. Where little of 10,000,000 rows of 55 bytes changes a cut sweeps 9 MB, ten
/// milliseconds of the disk of the development machine.
const SHARE_MIN: usize = 64;

/// Which cuts are needed, and how far stale rows were given.
///
/// ```
/// # use arrow::array::{ArrayRef, Int64Array, UInt64Array};
/// # use arrow::datatypes::{DataType, Field};
/// # use sabot_batch::key_index::KeyBatch;
/// # use sabot_common::{Epoch, KeyGroups};
/// # use sabot_state::{KeyedTable, Keying, StateColumns, Sweep};
/// # use std::sync::Arc;
/// # #[derive(Debug)]
/// # struct Nothing;
/// # impl StateColumns for Nothing {
/// #     type Error = std::convert::Infallible;
/// #     fn fields(&self) -> Vec<Field> { Vec::new() }
/// #     fn resize(&mut self, _: usize) {}
/// #     fn snapshot(&self, _: &[u32]) -> Result<Vec<ArrayRef>, Self::Error> { Ok(Vec::new()) }
/// #     fn merge(&mut self, _: &[u32], _: &[ArrayRef]) -> Result<(), Self::Error> { Ok(()) }
/// #     fn clear(&mut self) {}
/// #     fn bytes(&self) -> usize { 0 }
/// # }
/// let mut table = KeyedTable::new(&[Field::new("k", DataType::Int64, false)], Keying::new(KeyGroups::default(), 7), Nothing)?;
/// let mut touch = |table: &mut KeyedTable<Nothing>, keys: std::ops::Range<i64>| {
///     let hashes: Vec<u64> = keys.clone().map(|key| (key as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
///     let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(keys));
///     let batch = KeyBatch::new(table.keys().types(), [&keys], hashes.len())?;
///     table.upsert(&batch, 0..hashes.len(), &hashes, &mut Vec::new())
/// };
/// let mut sweep = Sweep::default();
/// let mut given = Vec::new();
/// for epoch in 1..=7 {
///     // Four of eight rows change with each cut, always the same.
///     touch(&mut table, if epoch == 1 { 0..8 } else { 0..4 })?;
///     let mut stretch = match epoch {
///         1 => sweep.begin_whole(Epoch(1)),
///         _ => sweep.begin(Epoch(epoch), table.changed(), table.len()),
///     };
///     table.begin_cut(0, &mut stretch); // all there is is one unit
///     sweep.end(stretch);
///     let rows = table.next_of_cut(100)?.map_or(0, |rows| rows.num_rows());
///     given.push((rows, sweep.since().0));
/// }
/// // With the fifth cut the others are stale and given once more, so that the first one is not needed for them.
/// assert_eq!(given, [(8, 1), (4, 1), (4, 1), (4, 1), (8, 2), (4, 3), (4, 4)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Sweep {
    /// Those that are needed, oldest first.
    generations: VecDeque<Generation>,
    /// Where stale rows begin, while there are some.
    at: Option<Place>,
}

/// Cuts that follow each other.
#[derive(Clone, Copy, Debug)]
struct Generation {
    number: u64,
    /// The epoch of its first cut.
    first: Epoch,
    cuts: usize,
    /// Rows that were given.
    rows: usize,
}

/// A cut as it begins, unit by unit in their order.
#[derive(Debug)]
pub struct Stretch {
    pub(crate) generation: u64,
    pub(crate) is_whole: bool,
    /// Where stale rows begin, and where those begin that stay for the next cut.
    at: Option<Place>,
    stop: Option<Place>,
    /// Stale rows that may still be given.
    left: usize,
    /// Rows that are given.
    given: usize,
}

impl Sweep {
    /// Begins a cut that gives all rows.
    pub fn begin_whole(&mut self, epoch: Epoch) -> Stretch {
        let number = self.generations.back().map_or(0, |last| last.number + 1);
        self.generations.clear();
        self.generations.push_back(Generation { number, first: epoch, cuts: 0, rows: 0 });
        self.at = None;
        Stretch { generation: number, is_whole: true, at: None, stop: None, left: 0, given: 0 }
    }

    /// Begins a cut that gives what has changed, so many of all rows, and some of the stale ones.
    pub fn begin(&mut self, epoch: Epoch, changed: usize, rows: usize) -> Stretch {
        let Some(last) = self.generations.back().copied().filter(|_| rows > 0) else {
            // Whatever cuts have is of rows that are gone.
            return self.begin_whole(epoch);
        };
        let mut generation = last.number;
        if self.at.is_none() && (last.cuts >= CUTS_MAX || last.rows >= rows.div_ceil(2)) {
            generation += 1;
            self.generations.push_back(Generation { number: generation, first: epoch, cuts: 0, rows: 0 });
            self.at = (self.generations.len() > GENERATIONS).then_some((i64::MIN, 0));
        }
        // Where nothing changes nothing is written.
        let left = if changed == 0 { 0 } else { changed.max(rows.div_ceil(SHARE_MIN)) };
        Stretch { generation, is_whole: false, at: self.at, stop: None, left, given: 0 }
    }

    /// Ends what [`Sweep::begin`] has begun, when it has seen all units.
    pub fn end(&mut self, stretch: Stretch) {
        if let Some(last) = self.generations.back_mut() {
            last.cuts += usize::from(stretch.given > 0);
            last.rows += stretch.given;
        }
        self.at = stretch.stop;
        if self.at.is_none() {
            self.generations.drain(..self.generations.len().saturating_sub(GENERATIONS));
        }
    }

    /// The oldest cut that is needed: those since have every row that is there.
    pub fn since(&self) -> Epoch {
        self.generations.front().map_or(Epoch(0), |oldest| oldest.first)
    }
}

impl Stretch {
    /// From which row of a unit on stale ones are given, and how many at most; `None` where there are none to be given.
    pub(crate) fn within(&self, unit: i64) -> Option<(usize, usize)> {
        match self.at {
            Some((at, row)) if at <= unit && self.stop.is_none() => {
                Some((if at == unit { row } else { 0 }, self.left))
            }
            _ => None,
        }
    }

    /// A unit gives so many rows, so many of them stale ones; and the first stale one that it does not give.
    pub(crate) fn took(&mut self, unit: i64, given: usize, stale: usize, next: Option<usize>) {
        self.given += given;
        self.left -= stale;
        self.stop = self.stop.or(next.map(|row| (unit, row)));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use super::*;
    use crate::changes::Changes;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use std::collections::{BTreeMap, BTreeSet};

    /// Rows with what they hold, and cuts of them as a store keeps those that are needed.
    #[derive(Default)]
    struct Model {
        sweep: Sweep,
        units: BTreeMap<i64, (Vec<u64>, Changes)>,
        changed: BTreeSet<(i64, usize)>,
        cuts: BTreeMap<u64, BTreeMap<(i64, usize), u64>>,
    }

    impl Model {
        fn touch(&mut self, unit: i64, row: usize, value: u64) {
            let (rows, changes) = self.units.entry(unit).or_default();
            for row in (rows.len()..=row).chain([row]) {
                rows.resize(rows.len().max(row + 1), 0);
                rows[row] = value;
                changes.touch(&[row as u32], rows.len(), &mut Vec::new());
                self.changed.insert((unit, row));
            }
        }

        fn rows(&self) -> usize {
            self.units.values().map(|(rows, _)| rows.len()).sum()
        }

        /// The rows of a cut, and how many there are of all that are kept.
        fn cut(&mut self, epoch: u64, whole: bool) -> (usize, usize) {
            self.changed.retain(|(unit, _)| self.units.contains_key(unit));
            let (changed, all) = (self.changed.len(), self.rows());
            let mut stretch = match whole {
                true => self.sweep.begin_whole(Epoch(epoch)),
                false => self.sweep.begin(Epoch(epoch), changed, all),
            };
            let mut cut = BTreeMap::new();
            for (unit, (rows, changes)) in &mut self.units {
                let mut ids = Vec::new();
                changes.begin(*unit, rows.len(), &mut stretch);
                changes.take(usize::MAX, &mut ids);
                cut.extend(ids.into_iter().map(|id| ((*unit, id as usize), rows[id as usize])));
            }
            assert_eq!(stretch.given, cut.len());
            self.sweep.end(stretch);
            let most = changed + changed.max(all.div_ceil(SHARE_MIN));
            assert!(whole || cut.len() <= most || self.sweep.generations[0].first == Epoch(epoch));
            assert!(self.changed.iter().all(|place| cut.contains_key(place)));
            self.changed.clear();
            let given = cut.len();
            self.cuts.insert(epoch, cut);
            self.cuts = self.cuts.split_off(&self.sweep.since().0);
            let mut state = BTreeMap::new();
            self.cuts.values().for_each(|cut| state.extend(cut));
            for (unit, (rows, _)) in &self.units {
                for (row, value) in rows.iter().enumerate() {
                    assert_eq!(state.get(&(*unit, row)), Some(value), "epoch {epoch}");
                }
            }
            (given, self.cuts.values().map(BTreeMap::len).sum())
        }
    }

    #[test]
    fn the_cuts_that_are_needed_have_every_row() {
        for seed in 0..200 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut model = Model::default();
            let busy = rng.random_range(1..60);
            let (mut written, mut total) = (0, 0);
            for epoch in 1..120 {
                for _ in 0..rng.random_range(0..busy) {
                    let unit = rng.random_range(epoch as i64 / 10..8 + epoch as i64 / 10);
                    let rows = model.units.get(&unit).map_or(0, |(rows, _)| rows.len());
                    model.touch(unit, rng.random_range(0..=rows.min(100)), epoch);
                }
                if rng.random_bool(0.2) {
                    // As windows go: from the first on.
                    model.units.pop_first();
                }
                let (given, _) = model.cut(epoch, epoch == 1 || rng.random_bool(0.02));
                (written, total) = (written + given, total + model.rows());
            }
            assert!(written <= total, "it is more than the whole state with each cut");
        }
    }

    /// Rows that change with each cut, out of as many, and so many more from the first on that always do: the rows that are
    /// given beside them, as a share of them, and the most that was kept, in numbers of rows there are.
    fn costs(drawn: usize, always: usize) -> (f64, f64) {
        const ROWS: usize = 10_000;
        let (mut rng, mut model) = (ChaCha8Rng::seed_from_u64(7), Model::default());
        model.touch(0, ROWS - 1, 0);
        let (mut extra, mut changed, mut most) = (0, 0, 0);
        for epoch in 1..200 {
            (0..drawn).for_each(|_| model.touch(0, rng.random_range(0..ROWS), epoch));
            (0..always).for_each(|row| model.touch(0, row, epoch));
            let rows = model.changed.len();
            let (given, kept) = model.cut(epoch, epoch == 1);
            most = most.max(kept);
            if epoch > 40 {
                (extra, changed) = (extra + given - rows, changed + rows);
            }
        }
        (extra as f64 / changed as f64, most as f64 / ROWS as f64)
    }

    #[test]
    fn few_rows_are_given_that_have_not_changed() {
        for (drawn, always, extra_max, kept_max) in
            [(7_000, 0, 0.07, 3.0), (1_000, 0, 0.3, 3.5), (1_000, 1_000, 0.3, 4.0), (0, 1_000, 0.5, 5.0)]
        {
            let (extra, kept) = costs(drawn, always);
            assert!(extra <= extra_max && kept <= kept_max, "{drawn}, {always}: {extra}, {kept}");
        }
    }

    #[test]
    fn few_cuts_are_kept_however_little_changes() {
        let mut model = Model::default();
        model.touch(0, 999, 0);
        model.cut(1, true);
        let mut most = 0;
        for epoch in 2..2000 {
            model.touch(0, 3, epoch);
            model.cut(epoch, false);
            most = most.max(model.cuts.len());
        }
        assert!(most < 200, "{most}");
        assert!(model.sweep.since() > Epoch(1600));
        let before = model.sweep.since();
        for epoch in 2000..3000 {
            assert_eq!(model.cut(epoch, false).0, 0, "nothing changes");
        }
        assert!(model.sweep.since() >= before);
        model.units.clear();
        model.cut(3000, false);
        assert_eq!(model.sweep.since(), Epoch(3000), "all rows are gone");
    }
}
