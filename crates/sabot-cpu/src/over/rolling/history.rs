//! The rows of each key that can still be reached, in one allocation a key.
//!
//! A history is an array of words. What is read of single rows stands row after row, so that a row is one line of
//! the cache: keys are met in any order, and what a row costs is how many lines it touches. What is folded over many
//! rows stands lane after lane behind that, each with room for the same number of rows. Behind the lanes stand the
//! folds of whole blocks of rows: of every 16 rows, of every 256, and so on, in the numbers that
//! the key's rows have. A fold over a frame takes the few rows and blocks that make it up, and which these
//! are depends on the numbers of its first and last row alone. So a sum of floats is the same to the bit
//! wherever and whenever it is computed, and nothing is ever taken away from it. (Blocks of blocks are those
//! of a B-ary aggregation tree, as in Arasu and Widom, "Resource Sharing in Continuous Sliding-Window
//! Aggregates", VLDB 2004.)

use std::ops::Range;

use crate::simd::prefetch::prefetch;

/// Rows of a block, and blocks of a block of the next level, as a power of two.
pub(super) const BLOCK_BITS: u32 = 4;

/// What a history has room for at first.
const ROWS_MIN: usize = 4;

/// Words of a cache line.
pub(super) const LINE: usize = 8;

/// Words of a row and of a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// The words of a row that stand together; those of the lanes behind them do not.
    pub(super) near: usize,
    pub(super) lanes: usize,
    pub(super) block: usize,
}

/// The rows of one key. Keys are met in any order, so what is asked of each row that comes stands in one line of
/// the cache.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct History {
    words: Vec<u64>,
    /// Words before the first line of the cache that is the history's alone.
    skip: u32,
    near: u32,
    /// Rows there is room for.
    room: u32,
    /// Rows there are, with those that nobody reaches any more.
    rows: u32,
    /// The first row that can be reached.
    from: u32,
    /// The number of the first row that is there.
    base: u64,
    /// The time of the newest row, where there is one.
    newest: i64,
}

/// The words that the rows of a history have in one lane.
#[derive(Clone, Copy)]
pub(super) struct Lane<'a> {
    /// From the first row's word on.
    words: &'a [u64],
    /// Words from one row to the next.
    stride: usize,
}

impl<'a> Lane<'a> {
    pub(super) fn get(self, row: usize) -> u64 {
        self.words[row * self.stride]
    }

    /// The words of some rows, where they stand one behind another.
    pub(super) fn slice(self, rows: Range<usize>) -> Option<&'a [u64]> {
        (self.stride == 1).then(|| &self.words[rows])
    }

    pub(super) fn iter(self, rows: Range<usize>) -> impl Iterator<Item = u64> + 'a {
        rows.map(move |row| self.get(row))
    }

    pub(super) fn fold<B>(self, rows: Range<usize>, init: B, f: impl Fn(B, u64) -> B) -> B {
        match self.slice(rows.clone()) {
            // A loop that can be compiled to vectors.
            Some(words) => words.iter().fold(init, |state, word| f(state, *word)),
            None => self.iter(rows).fold(init, f),
        }
    }
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

    fn place_of(&self, lane: usize, row: usize) -> usize {
        let near = self.near as usize;
        let place = if lane < near { row * near + lane } else { lane * self.room as usize + row };
        self.skip as usize + place
    }

    /// Rows there are.
    pub(super) fn rows(&self) -> usize {
        self.rows as usize
    }

    /// The first row that can be reached.
    pub(super) fn from(&self) -> usize {
        self.from as usize
    }

    pub(super) fn reach_from(&mut self, from: usize) {
        // There are fewer rows than 2³².
        self.from = self.from.max(from.min(self.rows()) as u32);
    }

    /// The number of the first row.
    pub(super) fn base(&self) -> u64 {
        self.base
    }

    /// The place of a row from its number.
    pub(super) fn place(&self, number: u64) -> usize {
        (number - self.base) as usize
    }

    pub(super) fn lane(&self, lane: usize) -> Lane<'_> {
        let start = self.place_of(lane, 0);
        let stride = if lane < self.near as usize { self.near as usize } else { 1 };
        Lane { words: self.words.get(start..).unwrap_or_default(), stride }
    }

    pub(super) fn word(&self, lane: usize, row: usize) -> u64 {
        self.words[self.place_of(lane, row)]
    }

    /// Asks for the memory of a word, where there is room for it.
    pub(super) fn prefetch(&self, lane: usize, row: usize) {
        prefetch(&self.words, self.place_of(lane, row));
    }

    pub(super) fn set_word(&mut self, lane: usize, row: usize, word: u64) {
        let place = self.place_of(lane, row);
        self.words[place] = word;
    }

    /// How many rows have a time before this one.
    pub(super) fn rows_before(&self, time: i64) -> usize {
        let (mut before, mut behind) = (0, self.rows());
        while before < behind {
            let middle = before + (behind - before) / 2;
            match (self.word(0, middle) as i64) < time {
                true => before = middle + 1,
                false => behind = middle,
            }
        }
        before
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
        self.skip as usize + Self::level_start(shape, self.room as usize, level) + shape.block * place
    }

    pub(super) fn is_full(&self) -> bool {
        self.rows == self.room
    }

    /// Rows at the front to drop before there is room again: none when it is better to grow.
    pub(super) fn to_drop(&self) -> usize {
        // So the room is at most a quarter more than the rows in reach once it grows, and a row is moved eight
        // times at most for each row that comes.
        if self.from() * 8 >= self.room as usize { self.from() } else { 0 }
    }

    /// Makes room for another row, and drops rows at the front.
    pub(super) fn make_room(&mut self, shape: Shape, dropped: usize) {
        let alive = self.rows() - dropped;
        let roomy = alive + alive / 4 + ROWS_MIN;
        let room = self.room as usize;
        if dropped == 0 || roomy * 2 < room {
            self.move_to(shape, roomy, dropped);
            return;
        }
        let mut words = std::mem::take(&mut self.words);
        let skip = self.skip as usize;
        for (from, to) in self.moves(shape, room, dropped) {
            words.copy_within(skip + from.start..skip + from.end, skip + to);
        }
        self.words = words;
        self.forget(dropped);
    }

    /// Where the words of rows and blocks stand that are left when rows at the front are dropped, and where they
    /// begin in an array with this room, both counted from the first line.
    fn moves(
        &self,
        shape: Shape,
        room: usize,
        dropped: usize,
    ) -> impl Iterator<Item = (Range<usize>, usize)> + '_ {
        let (old, rows) = (self.room as usize, self.rows());
        let near = (shape.near * dropped..shape.near * rows, 0);
        let far =
            (shape.near..shape.lanes).map(move |lane| (lane * old + dropped..lane * old + rows, lane * room));
        let levels = if shape.block > 0 { Self::levels(old).min(Self::levels(room)) } else { 0 };
        let blocks = (1..=levels).map(move |level| {
            let kept = self.kept_blocks(level, dropped);
            let start = Self::level_start(shape, old, level);
            let from = start + shape.block * kept.start..start + shape.block * kept.end;
            (from, Self::level_start(shape, room, level))
        });
        std::iter::once(near).chain(far).chain(blocks)
    }

    /// The places of the blocks of a level that have rows left.
    fn kept_blocks(&self, level: u32, dropped: usize) -> Range<usize> {
        let bits = BLOCK_BITS * level;
        let first = ((self.base + dropped as u64) >> bits) - (self.base >> bits);
        let end = ((self.base + u64::from(self.rows)) >> bits) - (self.base >> bits);
        first as usize..end as usize
    }

    fn forget(&mut self, dropped: usize) {
        self.rows -= dropped as u32;
        self.from = self.from.saturating_sub(dropped as u32);
        self.base += dropped as u64;
    }

    fn move_to(&mut self, shape: Shape, room: usize, dropped: usize) {
        let mut words = vec![0; Self::words_for(shape, room) + LINE - 1];
        // An alignment that cannot be had costs time and nothing else.
        let skip = words.as_ptr().align_offset(LINE * size_of::<u64>()).min(LINE - 1);
        for (from, to) in self.moves(shape, room, dropped) {
            let old = self.skip as usize + from.start..self.skip as usize + from.end;
            words[skip + to..skip + to + from.len()].copy_from_slice(&self.words[old]);
        }
        self.words = words;
        (self.skip, self.near, self.room) = (skip as u32, shape.near as u32, room as u32);
        self.forget(dropped);
    }

    /// Appends a row of these words, a lane each; its number.
    pub(super) fn push(&mut self, row: &[u64]) -> u64 {
        let (near, at) = (self.near as usize, self.place_of(0, self.rows()));
        self.words[at..at + near].copy_from_slice(&row[..near]);
        for (lane, word) in row.iter().enumerate().skip(near) {
            self.set_word(lane, self.rows(), *word);
        }
        self.rows += 1;
        self.newest = row[0] as i64;
        self.base + u64::from(self.rows) - 1
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
