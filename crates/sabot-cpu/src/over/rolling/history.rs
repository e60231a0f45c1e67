//! The rows of each key that can still be reached, in one allocation a key.
//!
//! A history is an array of words: lane after lane, each with room for the same number of rows. Behind the
//! lanes stand the folds of whole blocks of rows: of every 16 rows, of every 256, and so on, in the numbers that
//! the key's rows have. A fold over a frame takes the few rows and blocks that make it up, and which these
//! are depends on the numbers of its first and last row alone. So a sum of floats is the same to the bit
//! wherever and whenever it is computed, and nothing is ever taken away from it. (Blocks of blocks are those
//! of a B-ary aggregation tree, as in Arasu and Widom, "Resource Sharing in Continuous Sliding-Window
//! Aggregates", VLDB 2004.)

use std::ops::Range;

/// Rows of a block, and blocks of a block of the next level, as a power of two.
pub(super) const BLOCK_BITS: u32 = 4;

/// What a history has room for at first.
const ROWS_MIN: usize = 4;

/// Words of a row and of a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) lanes: usize,
    pub(super) block: usize,
}

/// The rows of one key. Keys are met in any order, so what is asked of each row that comes stands in one line of
/// the cache.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct History {
    words: Vec<u64>,
    /// Rows there is room for.
    room: usize,
    /// Rows there are, with those that nobody reaches any more.
    rows: usize,
    /// The first row that can be reached.
    from: usize,
    /// The number of the first row that is there.
    base: u64,
    /// The time of the newest row, where there is one.
    newest: i64,
}

impl History {
    /// Where the blocks of a level begin, for this room; level 1 is the lowest.
    fn level_start(shape: Shape, room: usize, level: u32) -> usize {
        let below = (1..level).map(|level| Self::level_blocks(room, level)).sum::<usize>();
        shape.lanes * room + shape.block * below
    }

    /// Blocks of a level that can touch so many rows.
    fn level_blocks(room: usize, level: u32) -> usize {
        match room >> (BLOCK_BITS * level) {
            0 => 0,
            whole => whole + 2,
        }
    }

    fn levels(room: usize) -> u32 {
        (1..).take_while(|level| Self::level_blocks(room, *level) > 0).last().unwrap_or(0)
    }

    fn words_for(shape: Shape, room: usize) -> usize {
        Self::level_start(shape, room, Self::levels(room) + 1)
    }

    /// Rows there are.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// The first row that can be reached.
    pub(super) fn from(&self) -> usize {
        self.from
    }

    pub(super) fn reach_from(&mut self, from: usize) {
        self.from = self.from.max(from).min(self.rows);
    }

    /// The number of the first row.
    pub(super) fn base(&self) -> u64 {
        self.base
    }

    /// The place of a row from its number.
    pub(super) fn place(&self, number: u64) -> usize {
        (number - self.base) as usize
    }

    pub(super) fn lane(&self, lane: usize) -> &[u64] {
        &self.words[lane * self.room..lane * self.room + self.rows]
    }

    pub(super) fn word(&self, lane: usize, row: usize) -> u64 {
        self.words[lane * self.room + row]
    }

    pub(super) fn set_word(&mut self, lane: usize, row: usize, word: u64) {
        self.words[lane * self.room + row] = word;
    }

    /// The time of the newest row.
    pub(super) fn newest(&self) -> Option<i64> {
        (self.rows > 0).then_some(self.newest)
    }

    /// The words of a block, by its number.
    pub(super) fn block(&self, shape: Shape, level: u32, number: u64) -> &[u64] {
        let at = self.block_at(shape, level, number);
        &self.words[at..at + shape.block]
    }

    pub(super) fn block_mut(&mut self, shape: Shape, level: u32, number: u64) -> &mut [u64] {
        let at = self.block_at(shape, level, number);
        &mut self.words[at..at + shape.block]
    }

    fn block_at(&self, shape: Shape, level: u32, number: u64) -> usize {
        let place = (number - (self.base >> (BLOCK_BITS * level))) as usize;
        Self::level_start(shape, self.room, level) + shape.block * place
    }

    pub(super) fn is_full(&self) -> bool {
        self.rows == self.room
    }

    /// Rows at the front to drop before there is room again: none when it is better to grow.
    pub(super) fn to_drop(&self) -> usize {
        // So the room is at most a quarter more than the rows in reach once it grows, and a row is moved eight
        // times at most for each row that comes.
        if self.from * 8 >= self.room { self.from } else { 0 }
    }

    /// Makes room for another row, and drops rows at the front.
    pub(super) fn make_room(&mut self, shape: Shape, dropped: usize) {
        let alive = self.rows - dropped;
        let roomy = alive + alive / 4 + ROWS_MIN;
        if dropped == 0 || roomy * 2 < self.room {
            self.move_to(shape, roomy, dropped);
            return;
        }
        let room = self.room;
        for lane in 0..shape.lanes {
            self.words.copy_within(lane * room + dropped..lane * room + self.rows, lane * room);
        }
        if shape.block > 0 {
            for level in 1..=Self::levels(room) {
                let start = Self::level_start(shape, room, level);
                let kept = self.kept_blocks(level, dropped);
                let (from, to) = (start + shape.block * kept.start, start + shape.block * kept.end);
                self.words.copy_within(from..to, start);
            }
        }
        self.forget(dropped);
    }

    /// The places of the blocks of a level that have rows left.
    fn kept_blocks(&self, level: u32, dropped: usize) -> Range<usize> {
        let bits = BLOCK_BITS * level;
        let first = ((self.base + dropped as u64) >> bits) - (self.base >> bits);
        let end = ((self.base + self.rows as u64) >> bits) - (self.base >> bits);
        first as usize..end as usize
    }

    fn forget(&mut self, dropped: usize) {
        self.rows -= dropped;
        self.from = self.from.saturating_sub(dropped);
        self.base += dropped as u64;
    }

    fn move_to(&mut self, shape: Shape, room: usize, dropped: usize) {
        let mut words = vec![0; Self::words_for(shape, room)];
        let rows = self.rows - dropped;
        for lane in 0..shape.lanes {
            let old = lane * self.room + dropped;
            words[lane * room..lane * room + rows].copy_from_slice(&self.words[old..old + rows]);
        }
        if shape.block > 0 {
            for level in 1..=Self::levels(self.room).min(Self::levels(room)) {
                let kept = self.kept_blocks(level, dropped);
                let old = Self::level_start(shape, self.room, level) + shape.block * kept.start;
                let new = Self::level_start(shape, room, level);
                let length = shape.block * kept.len();
                words[new..new + length].copy_from_slice(&self.words[old..old + length]);
            }
        }
        self.words = words;
        self.room = room;
        self.forget(dropped);
    }

    /// Appends a row of these words, a lane each; its number.
    pub(super) fn push(&mut self, row: &[u64]) -> u64 {
        for (lane, word) in row.iter().enumerate() {
            self.words[lane * self.room + self.rows] = *word;
        }
        self.rows += 1;
        self.newest = row[0] as i64;
        self.base + self.rows as u64 - 1
    }

    /// Starts numbering anew: from 0, or from where a snapshot left it.
    pub(super) fn restart(&mut self, base: u64) {
        (self.rows, self.from, self.base) = (0, 0, base);
    }

    pub(super) fn free(&mut self) {
        *self = History::default();
    }

    pub(super) fn bytes(&self) -> usize {
        self.words.capacity() * size_of::<u64>()
    }
}
