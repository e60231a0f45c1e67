//! Least and greatest values by links: each row names the nearest one before it that is strictly better.
//!
//! From the last row of a frame the links lead over ever better rows, and the last of these that is in the frame is
//! the best of it. They are followed where the best of a key's frame has left it; else the best of the next frame is
//! that of the one before, or comes in. Of values in random order there are few links (the harmonic number of the
//! frame's length), and they are the same for all frames that end at one row, whatever their length. Where values
//! get worse all the time there are as many as rows: after some steps the rest is folded from blocks. (The links are
//! the stack of the linear algorithm for all nearest greater values: Berkman, Schieber, Vishkin, "Optimal doubly
//! logarithmic parallel algorithms", 1993.)

use std::ops::Range;

use super::folds::{Extreme, Fold, FoldKind, fold};
use super::history::History;
use super::{Rolling, flag_place};

/// Steps along the links before the rest of a frame is folded.
const STEPS_MAX: usize = 24;

/// What a lane of links has where no row before is better, and one more than the row's number where one is.
const NONE: u64 = 0;

/// The best value of a key's last frame of some kind. Frames of a kind never go back, so the best of the next one
/// is this or one of the rows that come in, unless this has left.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Best {
    /// Behind the frame's last row; 0 where there was no frame, or not a row of it is known.
    to: u32,
    /// A row not behind the last that has the value.
    row: u32,
    word: i64,
}

impl Best {
    /// Rows at the front of the history are about to go.
    pub(super) fn drop_rows(&mut self, dropped: usize) {
        *self = match self.row.checked_sub(dropped as u32) {
            Some(row) if self.to > 0 => Best { to: self.to - dropped as u32, row, ..*self },
            _ => Best::default(),
        };
    }
}

impl Rolling {
    /// The link of a row that is about to be appended.
    pub(super) fn better(&self, slot: usize, fold: usize, lane: usize, row: &[u64]) -> u64 {
        let input = &self.layout.inputs[self.layout.folds[fold].input];
        let flag = input.valid.map(|flag| flag_place(&self.layout, flag));
        let history = &self.histories[slot];
        let value = flag.is_none_or(|(lane, shift)| row[lane] >> shift & 1 == 1).then_some(row[input.lane]);
        match self.layout.folds[fold].kind {
            FoldKind::Least => link::<true>(history, (lane, input.lane), flag, value),
            _ => link::<false>(history, (lane, input.lane), flag, value),
        }
    }

    /// The best values of the frames that are the `nth` to ask for them.
    pub(super) fn best<'a, const LEAST: bool>(
        &self,
        bests: &mut [Best],
        (nth, place): (usize, usize),
        rows: impl Iterator<Item = (&'a u32, Range<usize>)>,
        out: &mut Vec<u64>,
    ) {
        let (input, empty) = (self.layout.folds[place].input, Extreme::<LEAST>.empty());
        let lane = self.layout.inputs[input].lane;
        let flag = self.layout.inputs[input].valid.map(|flag| flag_place(&self.layout, flag));
        for (id, rows) in rows {
            let history = &self.histories[*id as usize];
            let best = &mut bests[*id as usize * self.layout.bests + nth];
            if rows.is_empty() {
                *best = Best::default();
                out.push(empty as u64);
                continue;
            }
            if best.to == 0 || (best.row as usize) < rows.start {
                (best.row, best.word) = self.search_best::<LEAST>(history, place, rows.clone());
            } else {
                for row in best.to as usize..rows.end {
                    let word = value::<LEAST>(history, lane, flag, row);
                    // Of equals the last stays longest.
                    if if LEAST { word <= best.word } else { word >= best.word } {
                        (best.row, best.word) = (row as u32, word);
                    }
                }
            }
            best.to = rows.end as u32;
            out.push(best.word as u64);
        }
    }

    /// The best value of some rows, and a row not behind the last that has it.
    fn search_best<const LEAST: bool>(
        &self,
        history: &History,
        place: usize,
        rows: Range<usize>,
    ) -> (u32, i64) {
        let input = self.layout.folds[place].input;
        let flag = self.layout.inputs[input].valid.map(|flag| flag_place(&self.layout, flag));
        let links = self.layout.better.iter().find(|(fold, _)| *fold == place).map(|(_, lane)| *lane);
        let mut best = rows.end - 1;
        for _ in 0..STEPS_MAX {
            match links.and_then(|links| next(history, links, best)) {
                Some(better) if better >= rows.start => best = better,
                _ => {
                    let word = value::<LEAST>(history, self.layout.inputs[input].lane, flag, best);
                    return (best as u32, word);
                }
            }
        }
        let numbers = history.base() + rows.start as u64..history.base() + best as u64 + 1;
        let at = (self.shape, self.layout.block_offset(place));
        let word = fold(&Extreme::<LEAST>, history, at, self.values(history, input), numbers);
        (rows.start as u32, word)
    }
}

/// The row that a row is linked to, if it is still there.
fn next(history: &History, links: usize, row: usize) -> Option<usize> {
    let number = history.word(links, row).checked_sub(NONE + 1)?;
    (number >= history.base()).then(|| history.place(number))
}

/// What a row counts as: one without value is the worst there is.
fn value<const LEAST: bool>(history: &History, lane: usize, flag: Option<(usize, u32)>, row: usize) -> i64 {
    match flag.is_none_or(|(flags, shift)| history.word(flags, row) >> shift & 1 == 1) {
        true => history.word(lane, row) as i64,
        false => Extreme::<LEAST>.empty(),
    }
}

fn link<const LEAST: bool>(
    history: &History,
    (links, lane): (usize, usize),
    flag: Option<(usize, u32)>,
    word: Option<u64>,
) -> u64 {
    let own = word.map_or(Extreme::<LEAST>.empty(), |word| word as i64);
    let mut row = history.rows().checked_sub(1);
    while let Some(before) = row {
        let other = value::<LEAST>(history, lane, flag, before);
        if if LEAST { other < own } else { other > own } {
            return history.base() + before as u64 + NONE + 1;
        }
        row = next(history, links, before);
    }
    NONE
}
