//! Over rows that come in: values of the rows before, from a bounded history of each key.
//!
//! Rows come in the order of event time. [`Rolling::run`] takes some hundred at a time: it appends all of
//! them to their keys' histories, then finds the ends of every frame for every row, then computes one
//! column after the other from the frames. So many frames share one pass and one copy of the history,
//! and each loop is about one thing, whose memory accesses do not wait for each other.
//!
//! What comes out depends on the rows alone, to the bit: never on how they were cut into batches, on when
//! keys were forgotten, or on a snapshot and restore in between. Counts and folds of whole numbers are
//! exact; a fold of floats is made of blocks of rows by the rows' numbers (see `history`), and a key's
//! numbers begin anew when no row of it can be reached any more, whether it was forgotten by then or not.

mod batch;
mod better;
mod distinct;
mod evaluate;
mod folds;
mod history;
mod lanes;
mod layout;
mod results;
mod state;
#[cfg(test)]
mod state_tests;
#[cfg(test)]
mod tests;

pub use batch::Batch;
pub use state::Piece;

use arrow::array::{ArrayRef, RecordBatch, new_empty_array};
use arrow::datatypes::{DataType, SchemaRef};
use sabot_batch::hidden;
use sabot_batch::key_index::{KeyIndex, canonical_type};
use sabot_common::EventTime;
use sabot_ops::{Failure, OverSpec};
use std::ops::Range;

use super::{bad, internal};
use crate::group_by::AccumulateError;
use crate::simd::prefetch::prefetch;
use better::Best;
use distinct::Links;
use evaluate::Cells;
use folds::Rows;
use history::{History, Lane, Shape};
use lanes::{Form, Interned};
use layout::{Edge, Layout};

/// Rows that are appended before the frames of the first are looked at: enough for loops over columns, and
/// few enough for what they touch to stay in the second-level cache, where what the next ones will touch is as well.
/// On 20 million transactions of 50,000 cards a run took 23.3 s with 128, and 25.2 to 26.0 s with 256 before memory was
/// asked for ahead; other sizes were not measured.
const PORTION: usize = 128;

/// Keys without rows that are not worth to be forgotten.
const DEAD_MIN: usize = 64;

/// How often a key is asked whether it can be forgotten, in the time that its rows can be reached. Asking is a read
/// of memory that is in no cache; once for each row of the input took 8 % of the time of the features of frauds.
const ASKED: f64 = 8.0;

/// When a row has its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// When all rows up to its time are there. Rows of equal time see each other.
    InOrder,
    /// As it arrives. It sees the rows of its key that came before; among them it stands at its time or, when
    /// one of them has a later time, at that.
    OnArrival,
}

/// A spec at work on rows that come in, for some of the keys.
#[derive(Debug)]
pub struct Rolling {
    partition: Vec<usize>,
    time: usize,
    rows: SchemaRef,
    turn: Turn,
    layout: Layout,
    shape: Shape,
    seed: u64,
    index: KeyIndex,
    histories: Vec<History>,
    /// Places in the histories, one for each edge that is searched by time, key after key.
    marks: Vec<u32>,
    /// Which mark an edge has.
    mark_of: Vec<Option<usize>>,
    marks_per_key: usize,
    /// The best values of each key's last frames.
    bests: Vec<Best>,
    links: Vec<Links>,
    /// What a lane's ids stand for, by input.
    interned: Vec<Option<Interned>>,
    /// Values whose rows are gone, by input.
    released: Vec<(usize, u64)>,
    /// Bounds on the absolute values of the inputs that are whole numbers.
    largest: Vec<u64>,
    /// The portion that a key was last in, and the time of its last row there.
    latest: Vec<(u64, i64)>,
    portions: u64,
    /// Keys without rows.
    dead: usize,
    /// The next key to ask whether it can be forgotten, and the time up to which keys were asked.
    next_expired: usize,
    expired: Option<i64>,
    /// Bytes of the histories.
    bytes: usize,
}

impl Rolling {
    /// Nothing yet, of a spec over rows of this schema.
    ///
    /// # Errors
    /// [`Failure::Internal`] when [`OverSpec::check_rolling`] refuses the spec.
    pub fn new(spec: &OverSpec, rows: &SchemaRef, turn: Turn, seed: u64) -> Result<Self, Failure> {
        let layout = Layout::new(spec, rows, turn)?;
        let types: Vec<DataType> =
            spec.partition.iter().map(|column| canonical_type(rows.field(*column).data_type())).collect();
        let mut interned = Vec::new();
        for input in &layout.inputs {
            interned.push(match input.form {
                Form::Interned(as_keys) => Some(Interned::new(&input.data_type, as_keys).map_err(internal)?),
                _ => None,
            });
        }
        let mut marks_per_key = 0;
        let mark_of = layout.edges.iter().map(|edge| {
            edge.is_mark().then(|| {
                marks_per_key += 1;
                marks_per_key - 1
            })
        });
        Ok(Self {
            partition: spec.partition.clone(),
            time: rows.index_of(hidden::TIME).map_err(internal)?,
            rows: rows.clone(),
            turn,
            shape: Shape { near: layout.near, lanes: layout.lanes, block: layout.block },
            seed,
            index: KeyIndex::new(&types).map_err(internal)?,
            histories: Vec::new(),
            marks: Vec::new(),
            mark_of: mark_of.collect(),
            marks_per_key,
            bests: Vec::new(),
            links: layout.distinct.iter().map(|_| Links::new(&layout.frames)).collect(),
            interned,
            released: Vec::new(),
            largest: vec![0; layout.inputs.len()],
            latest: Vec::new(),
            portions: 0,
            dead: 0,
            next_expired: 0,
            expired: None,
            bytes: 0,
            layout,
        })
    }

    /// The columns of the spec for rows that come now: in order of time and, in order, all rows of a time at
    /// once.
    ///
    /// # Errors
    /// [`AccumulateError`] for a sum beyond the range of its type, with the row's position, or for rows that
    /// do not fit.
    pub fn run(&mut self, rows: &RecordBatch) -> Result<Vec<ArrayRef>, AccumulateError> {
        if rows.num_rows() == 0 {
            return Ok(self.layout.outputs.iter().map(|(_, f)| new_empty_array(f.data_type())).collect());
        }
        let batch = self.take_in(rows)?;
        self.run_batch(batch)
    }

    /// The columns of the spec for rows that [`Rolling::take_in`] has taken in just now.
    ///
    /// # Errors
    /// As [`Rolling::run`].
    pub fn run_batch(&mut self, mut batch: Batch) -> Result<Vec<ArrayRef>, AccumulateError> {
        let rows = batch.ids.len();
        let mut cells = Cells::new(&self.layout, rows);
        let ahead = |ids: &[u32], from: usize| from.min(ids.len())..(from + PORTION).min(ids.len());
        self.prefetch_heads(&batch.ids[ahead(&batch.ids, 0)]);
        self.prefetch_rows(&batch.ids[ahead(&batch.ids, 0)]);
        self.prefetch_heads(&batch.ids[ahead(&batch.ids, PORTION)]);
        let mut next = 0;
        while next < rows {
            let portion = self.portion(&batch, next);
            next = portion.end;
            self.prefetch_rows(&batch.ids[ahead(&batch.ids, next)]);
            self.prefetch_heads(&batch.ids[ahead(&batch.ids, next + PORTION)]);
            self.append(&mut batch, portion.clone())?;
            self.evaluate(&batch, portion.clone(), &mut cells);
            self.move_reach(&batch.ids[portion]);
        }
        let columns = self.results(cells);
        self.let_go();
        columns
    }

    /// The rows from `start` on that are appended together: all of a time, and of no key a row that begins
    /// anew while others wait for their values.
    fn portion(&mut self, batch: &Batch, start: usize) -> Range<usize> {
        self.portions += 1;
        let mut whole = start;
        for i in start..batch.times.len() {
            let time = batch.times[i];
            if self.turn == Turn::OnArrival || i == start || time != batch.times[i - 1] {
                whole = i;
                if i - start >= PORTION {
                    break;
                }
            }
            if self.restarts() {
                let slot = batch.ids[i] as usize;
                let before = Some(self.latest[slot]).filter(|(portion, _)| *portion == self.portions);
                if before.is_some_and(|(_, latest)| latest < self.reached_from(time)) {
                    return start..whole;
                }
                self.latest[slot] = (self.portions, before.map_or(time, |(_, latest)| latest.max(time)));
            }
            if i + 1 == batch.times.len() {
                whole = i + 1;
            }
        }
        start..whole
    }

    /// The earliest time that a row of this time reaches.
    fn reached_from(&self, time: i64) -> i64 {
        time.saturating_sub(self.layout.reach.unwrap_or(0))
    }

    /// Whether keys begin anew: no frame counts rows, however old they are.
    fn restarts(&self) -> bool {
        self.layout.reach_rows == 0
    }

    /// Whether nothing of a key can be reached from `time` on.
    fn is_out_of_reach(&self, history: &History, time: i64) -> bool {
        self.restarts() && history.newest().is_some_and(|newest| newest < self.reached_from(time))
    }

    /// Asks for what is kept of these keys beside their rows. Keys are met in any order, so all that is kept of one
    /// is mostly out of the caches; it is asked for two portions ahead, and the rows one portion ahead, where these
    /// heads are there and say which.
    fn prefetch_heads(&self, ids: &[u32]) {
        for id in ids {
            let slot = *id as usize;
            prefetch(&self.histories, slot);
            prefetch(&self.marks, slot * self.marks_per_key);
            prefetch(&self.bests, slot * self.layout.bests);
            if self.restarts() {
                prefetch(&self.latest, slot);
            }
        }
    }

    /// Asks for the rows where these keys' frames begin, and for those behind them, where they will begin; for the
    /// last row and for the place of the next.
    fn prefetch_rows(&self, ids: &[u32]) {
        for id in ids {
            let slot = *id as usize;
            let history = &self.histories[slot];
            let rows = history.rows();
            for lane in std::iter::once(0).chain(self.shape.near..self.shape.lanes) {
                history.prefetch(lane, rows.saturating_sub(1));
            }
            history.prefetch(0, rows);
            for mark in &self.marks[slot * self.marks_per_key..(slot + 1) * self.marks_per_key] {
                history.prefetch(0, *mark as usize);
                history.prefetch(0, *mark as usize + 1);
            }
        }
    }

    fn append(&mut self, batch: &mut Batch, portion: Range<usize>) -> Result<(), AccumulateError> {
        let mut row = vec![0; self.shape.lanes];
        for i in portion {
            let slot = batch.ids[i] as usize;
            if let Some(newest) = self.histories[slot].newest() {
                match self.turn {
                    Turn::OnArrival => batch.times[i] = batch.times[i].max(newest),
                    Turn::InOrder if batch.times[i] < newest => {
                        return Err(bad("rows out of their order of time"));
                    }
                    Turn::InOrder => {}
                }
            }
            if self.is_out_of_reach(&self.histories[slot], batch.times[i]) {
                self.drop_rows(slot, self.histories[slot].rows());
                self.restart(slot, 0);
            }
            batch.row(&self.layout, i, &mut row);
            self.push(slot, &mut row);
            batch.numbers.push(self.histories[slot].base() + self.histories[slot].rows() as u64 - 1);
        }
        Ok(())
    }

    /// Appends a row of these words; those of flags are bits until now.
    fn push(&mut self, slot: usize, row: &mut [u64]) {
        if self.histories[slot].rows() == 0 {
            self.dead -= 1;
        }
        // All rows may go where none but the newest is reached; the key lives on with the one that comes.
        if self.histories[slot].is_full() {
            let dropped = self.histories[slot].to_drop();
            self.drop_rows(slot, dropped);
            self.make_room(slot, dropped);
        }
        let history = &mut self.histories[slot];
        let last = history.rows().checked_sub(1);
        let flags = self.layout.flag_lane..self.layout.flag_lane + self.layout.flags.len().div_ceil(2);
        for (lane, word) in flags.clone().zip(&mut row[flags]) {
            *word = next_flags(last.map_or(0, |last| history.word(lane, last)), *word);
        }
        for (input, lane) in &self.layout.totals {
            let value = self.layout.inputs[*input].lane;
            let total = |last| history.word(*lane, last).wrapping_add(history.word(value, last));
            row[*lane] = last.map_or(0, total);
        }
        for (fold, lane) in &self.layout.better {
            row[*lane] = self.better(slot, *fold, *lane, row);
        }
        let history = &mut self.histories[slot];
        let number = history.push(row);
        for ((input, lane), links) in self.layout.distinct.iter().zip(&mut self.links) {
            let valid = self.layout.inputs[*input].valid;
            if valid.is_none_or(|flag| flag_bit(&self.layout, row, flag)) {
                links.link(history, slot as u32, *lane, number, row[self.layout.inputs[*input].lane]);
            }
        }
        self.fold_blocks(slot, number);
    }

    /// Rows at the front are about to go.
    fn drop_rows(&mut self, slot: usize, dropped: usize) {
        let history = &self.histories[slot];
        for (i, input) in self.layout.inputs.iter().enumerate().filter(|(i, _)| self.interned[*i].is_some()) {
            let ids = history.lane(input.lane).iter(0..dropped);
            self.released.extend(ids.filter(|id| *id != 0).map(|id| (i, id)));
        }
        for ((input, _), links) in self.layout.distinct.iter().zip(&mut self.links) {
            let values = history.lane(self.layout.inputs[*input].lane).iter(0..dropped);
            links.drop_rows(slot, history.base(), values);
        }
        for mark in &mut self.marks[slot * self.marks_per_key..(slot + 1) * self.marks_per_key] {
            *mark = mark.saturating_sub(dropped as u32);
        }
        let bests = slot * self.layout.bests..(slot + 1) * self.layout.bests;
        self.bests[bests].iter_mut().for_each(|best| best.drop_rows(dropped));
    }

    fn make_room(&mut self, slot: usize, dropped: usize) {
        let history = &mut self.histories[slot];
        let before = history.bytes();
        history.make_room(self.shape, dropped);
        self.bytes = self.bytes + history.bytes() - before;
    }

    /// A key whose rows were dropped begins anew.
    fn restart(&mut self, slot: usize, base: u64) {
        if self.histories[slot].rows() > 0 {
            self.dead += 1;
        }
        self.histories[slot].restart(base);
        self.marks[slot * self.marks_per_key..(slot + 1) * self.marks_per_key].fill(0);
        self.bests[slot * self.layout.bests..(slot + 1) * self.layout.bests].fill(Best::default());
        self.links.iter_mut().for_each(|links| links.restart(slot));
    }

    /// What later rows of these keys can reach.
    fn move_reach(&mut self, ids: &[u32]) {
        let farthest = self.farthest_mark();
        // Different values are counted with the frame of the row before, whose first row must still leave it.
        let behind = (self.layout.reach_rows as usize).saturating_add(usize::from(!self.links.is_empty()));
        for id in ids {
            let slot = *id as usize;
            let history = &mut self.histories[slot];
            let by_rows = history.rows().saturating_sub(behind);
            let by_time = farthest.map(|mark| self.marks[slot * self.marks_per_key + mark] as usize);
            history.reach_from(by_time.map_or(by_rows, |by_time| by_time.min(by_rows)));
        }
    }

    /// The mark of the edge that reaches back farthest.
    fn farthest_mark(&self) -> Option<usize> {
        let reach = self.layout.reach?;
        let edge = self.layout.edges.iter().position(|edge| *edge == Edge::From(reach))?;
        self.mark_of[edge]
    }

    /// Forgets what no later row can reach, now that the watermark is there. Keys are asked in turn: at least so
    /// many, and each eight times while time goes on by as much as rows reach back, so that what nobody can reach
    /// is a small share of what is there. True when keys have got other ids.
    ///
    /// # Errors
    /// [`AccumulateError`] when the keys that are left cannot be put together again.
    pub fn expire(&mut self, watermark: EventTime, keys: usize) -> Result<bool, AccumulateError> {
        let Some(reach) = self.layout.reach else { return Ok(false) };
        let next_time = watermark.micros().saturating_add(1);
        let passed = next_time.saturating_sub(self.expired.unwrap_or(next_time)).max(0);
        self.expired = self.expired.max(Some(next_time));
        let share = ASKED * passed as f64 / reach.max(1) as f64;
        // A float that is too large becomes the largest integer.
        let due = keys.saturating_add((share * self.histories.len() as f64).ceil() as usize);
        for _ in 0..due.min(self.histories.len()) {
            let slot = if self.next_expired < self.histories.len() { self.next_expired } else { 0 };
            self.next_expired = slot + 1;
            if self.histories[slot].rows() == 0 {
                continue;
            }
            if self.is_out_of_reach(&self.histories[slot], next_time) {
                self.drop_rows(slot, self.histories[slot].rows());
                self.restart(slot, 0);
                self.bytes -= self.histories[slot].bytes();
                self.histories[slot].free();
            } else if !self.restarts() {
                self.shrink(slot, next_time.saturating_sub(reach));
            }
        }
        self.let_go();
        let is_mostly_dead = self.dead > DEAD_MIN && self.dead * 2 > self.histories.len();
        if is_mostly_dead {
            self.forget_dead_keys()?;
        }
        Ok(is_mostly_dead)
    }

    /// Drops rows before `from` that no frame counts, where that frees most of a history.
    fn shrink(&mut self, slot: usize, from: i64) {
        let history = &self.histories[slot];
        let by_rows = history.rows().saturating_sub(self.layout.reach_rows as usize);
        let dropped = history.rows_before(from).min(by_rows);
        if dropped * 2 <= history.rows() {
            return;
        }
        for mark in &mut self.marks[slot * self.marks_per_key..(slot + 1) * self.marks_per_key] {
            *mark = (*mark).max(dropped as u32);
        }
        self.links.iter_mut().zip(&self.layout.distinct).for_each(|(links, (input, lane))| {
            links.leave(history, slot, *lane, &self.layout, *input, dropped);
        });
        self.histories[slot].reach_from(dropped);
        self.drop_rows(slot, dropped);
        self.make_room(slot, dropped);
    }

    /// Values whose rows are gone are not given to anybody any more.
    fn let_go(&mut self) {
        for (input, word) in self.released.drain(..) {
            if let Some(interned) = &mut self.interned[input] {
                interned.release(word);
            }
        }
    }

    /// Gives the living keys the first ids, and the others none.
    fn forget_dead_keys(&mut self) -> Result<(), AccumulateError> {
        let living: Vec<u32> = (0..self.histories.len() as u32)
            .filter(|slot| self.histories[*slot as usize].rows() > 0)
            .collect();
        let keys = self.index.take(&living)?;
        let mut index = KeyIndex::new(self.index.types())?;
        let mut ids = Vec::new();
        batch::find_keys(&mut index, &keys, living.len(), self.seed, &mut ids)?;
        self.marks = of_keys(&self.marks, self.marks_per_key, &living);
        self.bests = of_keys(&self.bests, self.layout.bests, &living);
        self.histories =
            living.iter().map(|slot| std::mem::take(&mut self.histories[*slot as usize])).collect();
        self.links.iter_mut().for_each(|links| links.renumber(&living));
        self.latest = vec![(0, 0); living.len()];
        (self.index, self.dead, self.next_expired) = (index, 0, 0);
        Ok(())
    }

    /// Bytes allocated.
    pub fn bytes(&self) -> usize {
        let interned: usize = self.interned.iter().flatten().map(Interned::bytes).sum();
        let links: usize = self.links.iter().map(Links::bytes).sum();
        self.bytes
            + self.index.bytes()
            + self.histories.capacity() * size_of::<History>()
            + self.marks.capacity() * size_of::<u32>()
            + self.bests.capacity() * size_of::<Best>()
            + self.latest.capacity() * size_of::<(u64, i64)>()
            + interned
            + links
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.dead == self.histories.len()
    }

    /// The values of an input in a history.
    fn values<'a>(&self, history: &'a History, input: usize) -> Rows<'a> {
        let input = &self.layout.inputs[input];
        Rows {
            words: history.lane(input.lane),
            high: history.lane(input.lane + input.form.width() - 1),
            flags: input.valid.map(|flag| {
                let (lane, shift) = flag_place(&self.layout, flag);
                (history.lane(lane), shift)
            }),
        }
    }
}

/// What keys have of a list with so many items for each.
fn of_keys<T: Copy>(all: &[T], per_key: usize, keys: &[u32]) -> Vec<T> {
    keys.iter()
        .flat_map(|slot| &all[*slot as usize * per_key..(*slot as usize + 1) * per_key])
        .copied()
        .collect()
}

/// A lane has two flags, each with its bit and, above it, how many rows had it up to this one, modulo 2³¹.
const FLAG_BITS: u32 = 32;
const FLAG_COUNT: u64 = (1 << (FLAG_BITS - 1)) - 1;

/// The flags of the row behind one, from its bits.
fn next_flags(before: u64, bits: u64) -> u64 {
    let next = |shift: u32| {
        let bit = bits >> shift & 1;
        ((flag_count(before, shift) + bit) & FLAG_COUNT) << 1 | bit
    };
    next(0) | next(FLAG_BITS) << FLAG_BITS
}

fn flag_count(word: u64, shift: u32) -> u64 {
    word >> (shift + 1) & FLAG_COUNT
}

/// Lane and place of a flag.
fn flag_place(layout: &Layout, flag: usize) -> (usize, u32) {
    (layout.flag_lane + flag / 2, FLAG_BITS * (flag % 2) as u32)
}

fn flag_bit(layout: &Layout, row: &[u64], flag: usize) -> bool {
    let (lane, shift) = flag_place(layout, flag);
    row[lane] >> shift & 1 == 1
}

/// How many of some rows have a flag.
fn count_flags(lane: Lane<'_>, shift: u32, rows: Range<usize>) -> u64 {
    if rows.is_empty() {
        return 0;
    }
    let (first, last) = (lane.get(rows.start), lane.get(rows.end - 1));
    let before = flag_count(first, shift).wrapping_sub(first >> shift & 1);
    flag_count(last, shift).wrapping_sub(before) & FLAG_COUNT
}
