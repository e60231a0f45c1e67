//! How many different values stand in a frame: rows of equal values are linked, so that it can be said of each
//! row that comes into a frame or leaves it whether its value is there without it.

use std::collections::HashMap;
use std::ops::Range;

use super::flag_place;
use super::history::History;
use super::layout::Layout;

/// Links between the rows of one input.
#[derive(Debug)]
pub(super) struct Links {
    /// The number of the newest row of a key with a value.
    newest: HashMap<(u32, u64), u64>,
    /// For each key and frame: the rows that are counted, and how many values they have.
    counted: Vec<Counted>,
    frames: usize,
}

/// Rows of a history, and how many different values they have.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    from: u32,
    to: u32,
    values: u32,
}

/// A link: how many rows the one before of equal value is away, and the one behind; 0 for none.
fn link(before: u32, behind: u32) -> u64 {
    u64::from(before) | u64::from(behind) << 32
}

fn before(word: u64) -> usize {
    (word & u64::from(u32::MAX)) as usize
}

fn behind(word: u64) -> usize {
    (word >> 32) as usize
}

impl Links {
    pub(super) fn new(frames: &[(usize, usize)]) -> Self {
        Self { newest: HashMap::new(), counted: Vec::new(), frames: frames.len() }
    }

    pub(super) fn resize(&mut self, keys: usize) {
        self.counted.resize(keys * self.frames, Counted::default());
    }

    /// Links the newest row of a history, which has this value.
    pub(super) fn link(&mut self, history: &mut History, slot: u32, lane: usize, number: u64, value: u64) {
        let Some(last) = self.newest.insert((slot, value), number) else { return };
        let Ok(distance) = u32::try_from(number - last) else { return };
        let (row, other) = (history.place(number), history.place(last));
        history.set_word(lane, row, link(distance, 0));
        let word = history.word(lane, other);
        history.set_word(lane, other, link(before(word) as u32, distance));
    }

    /// Rows at the front of a history are about to go; the first has the number `base`.
    pub(super) fn drop_rows(&mut self, slot: usize, base: u64, values: impl Iterator<Item = u64>) {
        let mut dropped = 0;
        for (number, value) in (base..).zip(values) {
            dropped += 1;
            let key = (slot as u32, value);
            if self.newest.get(&key) == Some(&number) {
                self.newest.remove(&key);
            }
        }
        for counted in &mut self.counted[slot * self.frames..(slot + 1) * self.frames] {
            counted.from = counted.from.saturating_sub(dropped);
            counted.to = counted.to.saturating_sub(dropped);
        }
    }

    pub(super) fn restart(&mut self, slot: usize) {
        self.counted[slot * self.frames..(slot + 1) * self.frames].fill(Counted::default());
    }

    /// The rows before `from` leave all frames of a key.
    pub(super) fn leave(
        &mut self,
        history: &History,
        slot: usize,
        lane: usize,
        layout: &Layout,
        input: usize,
        from: usize,
    ) {
        for frame in 0..self.frames {
            let counted = self.counted[slot * self.frames + frame];
            let rows = (counted.from as usize).max(from)..(counted.to as usize).max(from);
            self.count(history, slot, (lane, frame), layout, input, rows);
        }
    }

    /// How many different values stand in the rows of a frame, neither end of which ever goes back.
    pub(super) fn count(
        &mut self,
        history: &History,
        slot: usize,
        (lane, frame): (usize, usize),
        layout: &Layout,
        input: usize,
        rows: Range<usize>,
    ) -> i64 {
        let counted = &mut self.counted[slot * self.frames + frame];
        let flags = layout.inputs[input].valid.map(|flag| flag_place(layout, flag));
        let valid = |row: usize| flags.is_none_or(|(lane, shift)| history.word(lane, row) >> shift & 1 == 1);
        let (mut from, mut to) = (counted.from as usize, counted.to as usize);
        if rows.start >= to {
            (from, to, counted.values) = (rows.start, rows.start, 0);
        }
        for row in (to..rows.end).filter(|row| valid(*row)) {
            let distance = before(history.word(lane, row));
            counted.values += u32::from(distance == 0 || distance > row - from);
        }
        to = to.max(rows.end);
        for row in (from..rows.start).filter(|row| valid(*row)) {
            let distance = behind(history.word(lane, row));
            counted.values -= u32::from(distance == 0 || row + distance >= to);
        }
        (counted.from, counted.to) = (rows.start.max(from) as u32, to as u32);
        i64::from(counted.values)
    }

    /// The keys that were these are now the first.
    pub(super) fn renumber(&mut self, living: &[u32]) {
        let frames = self.frames;
        let old = |slot: &u32| *slot as usize * frames..(*slot as usize + 1) * frames;
        self.counted = living.iter().flat_map(|slot| self.counted[old(slot)].iter().copied()).collect();
        let places: HashMap<u32, u32> = living.iter().copied().zip(0..).collect();
        let newest = std::mem::take(&mut self.newest);
        self.newest = newest
            .into_iter()
            .filter_map(|((slot, value), number)| Some(((*places.get(&slot)?, value), number)))
            .collect();
    }

    pub(super) fn bytes(&self) -> usize {
        // Entries are 24 bytes and a byte of the table, which is between 7/16 and 7/8 full.
        self.newest.capacity() * 8 / 7 * 25 + self.counted.capacity() * size_of::<Counted>()
    }
}
