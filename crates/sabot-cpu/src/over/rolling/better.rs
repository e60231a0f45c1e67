//! Least and greatest values by links: each row names the nearest one before it that is strictly better.
//!
//! From the last row of a frame the links lead over ever better rows, and the last of these that is in the frame is
//! the best of it. Of values in random order there are few (the harmonic number of the frame's length), and the links
//! are the same for all frames that end at one row, whatever their length. Where values get worse all the time there are
//! as many as rows: after some steps the rest is folded from blocks. (The links are the stack of the linear algorithm
//! for all nearest greater values: Berkman, Schieber, Vishkin, "Optimal doubly logarithmic parallel algorithms",
//! 1993.)

use std::ops::Range;

use super::folds::{Extreme, Fold, FoldKind, fold};
use super::history::History;
use super::{Rolling, flag_place};

/// Steps along the links before the rest of a frame is folded.
const STEPS_MAX: usize = 24;

/// What a lane of links has where no row before is better, and one more than the row's number where one is.
const NONE: u64 = 0;

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

    /// The best values of frames.
    pub(super) fn best<'a, const LEAST: bool>(
        &self,
        (place, input): (usize, usize),
        links: usize,
        rows: impl Iterator<Item = (&'a u32, Range<usize>)>,
        out: &mut Vec<u64>,
    ) {
        let (lane, one) = (self.layout.inputs[input].lane, Extreme::<LEAST>);
        let flag = self.layout.inputs[input].valid.map(|flag| flag_place(&self.layout, flag));
        let at = (self.shape, self.layout.block_offset(place));
        for (id, rows) in rows {
            let history = &self.histories[*id as usize];
            let Some(mut best) = rows.end.checked_sub(1).filter(|_| !rows.is_empty()) else {
                out.push(one.empty() as u64);
                continue;
            };
            let mut steps = 0;
            let found = loop {
                match next(history, links, best) {
                    Some(better) if better >= rows.start && steps < STEPS_MAX => best = better,
                    Some(better) if better >= rows.start => {
                        let numbers = history.base() + rows.start as u64..history.base() + better as u64 + 1;
                        break fold(&one, history, at, self.values(history, input), numbers);
                    }
                    _ => break value::<LEAST>(history, lane, flag, best),
                }
                steps += 1;
            };
            out.push(found as u64);
        }
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
