//! Cuts of histories: of each key that has changed the rows behind those that cuts have, while rows go on coming in.
//!
//! Rows of a history never change, they come behind the others and go in front. So a cut gives of a key a *piece*: the rows
//! behind the last one that was given, or the *whole*, all rows that can be reached. A restore takes the last whole of a key
//! and the pieces behind it. It is the whole where there is nothing to add to: at first, when the row that was given last is
//! gone, and when the key has begun anew since.
//!
//! That old cuts go, each cut also gives the wholes of some keys, in turn, with half as many rows as have come since the last
//! one. After two rounds nothing is needed of what was before them: so a row is written one and a half times on average, and
//! what is kept is some six times the rows that can be reached; more where more keys would have to be given for that with a
//! cut than [`IN_TURN_MAX`].

use arrow::array::RecordBatch;
use sabot_common::Epoch;
use sabot_cpu::over::{Piece, Rolling};
use sabot_state::Changes;
use std::ops::Range;

use crate::OperatorError;

/// Cuts of a round, at most: where little changes, as many keys are given for each.
const ROUND_MAX: u32 = 64;

/// Keys that are given in turn with one cut, at most, because a barrier waits until they are counted: a few nanoseconds
/// for each.
const IN_TURN_MAX: u32 = 1 << 19;

/// Keys without rows to give that are looked at for each row that is asked for.
const LOOKED_AT: usize = 8;

/// The cuts of some histories.
#[derive(Debug, Default)]
pub(super) struct HistoryCuts {
    last: Option<Epoch>,
    /// By key.
    changes: Changes,
    /// By key, the number and the time of the last row that was given.
    given: Vec<Option<(u64, i64)>>,
    /// Keys whose wholes the last cut gives in turn, and the one that is next.
    in_turn: Range<u32>,
    next: u32,
    /// Rows that have come since the last cut.
    new_rows: usize,
    /// The first cut of the round that is under way, and how many keys there were then: those that come later are given
    /// whole in some cut of the round in any case.
    round: Option<(Epoch, u32)>,
    /// The first cut of the last round that is through.
    since: Option<Epoch>,
    aside: Vec<RecordBatch>,
    /// Scratch.
    due: Vec<u32>,
}

impl HistoryCuts {
    /// Begins a cut.
    pub(super) fn begin(&mut self, epoch: Epoch, stored: Option<Epoch>, rolling: &Rolling) {
        let keys = rolling.keys();
        let is_next = self.last.is_some() && self.last == stored;
        self.aside.clear();
        self.changes.begin_changed(keys as usize);
        let first = if is_next { self.next } else { 0 };
        let mut end = first;
        if !is_next {
            (self.round, self.since, self.next, end) = (None, Some(epoch), 0, keys);
        } else if self.new_rows > 0 {
            let (round, of_round) = *self.round.get_or_insert((epoch, keys));
            end = self.turn(first..of_round, rolling);
            self.next = end;
            if end == of_round {
                (self.round, self.since, self.next) = (None, Some(round), 0);
            }
        }
        self.changes.also(first as usize..end as usize);
        self.in_turn = first..end;
        (self.last, self.new_rows) = (Some(epoch), 0);
    }

    /// Up to which key the wholes are given of those whose turn has not come.
    fn turn(&self, keys: Range<u32>, rolling: &Rolling) -> u32 {
        let keys_min = (keys.end / ROUND_MAX).max(1);
        let (mut end, mut rows) = (keys.start, 0);
        while end < keys.end && end - keys.start < IN_TURN_MAX {
            if end - keys.start >= keys_min && rows >= self.new_rows / 2 {
                break;
            }
            let numbers = rolling.rows_of(end);
            rows += (numbers.end - numbers.start) as usize;
            end += 1;
        }
        end
    }

    /// Rows of these keys are about to come: sets aside what a cut has still to give of them.
    pub(super) fn touch(&mut self, keys: &[u32], rolling: &Rolling) -> Result<(), OperatorError> {
        if self.last.is_none() {
            return Ok(());
        }
        self.new_rows += keys.len();
        let mut due = std::mem::take(&mut self.due);
        due.clear();
        self.changes.touch(keys, rolling.keys() as usize, &mut due);
        let pieces: Vec<Piece> = due.iter().filter_map(|key| self.piece(*key, rolling)).collect();
        if !pieces.is_empty() {
            self.aside.push(rolling.write(&pieces)?);
        }
        self.due = due;
        Ok(())
    }

    /// Nobody waits for more of the cut that is under way.
    pub(super) fn give_up(&mut self) {
        while self.changes.take_next().is_some() {}
        self.last = None;
    }

    /// Whether the cut that is under way has still rows to give that are where they were.
    pub(super) fn is_pending(&self) -> bool {
        self.changes.pending() > 0
    }

    /// The next rows of a cut that has begun, none if there were none among many keys; `None` when there are no more.
    pub(super) fn next(
        &mut self,
        max: usize,
        rolling: &Rolling,
    ) -> Result<Option<Vec<RecordBatch>>, OperatorError> {
        if let Some(rows) = self.aside.pop() {
            return Ok(Some(vec![rows]));
        }
        if !self.is_pending() {
            return Ok(None);
        }
        let max = max.max(1);
        let (mut pieces, mut rows, mut looked_at) = (Vec::new(), 0, 0);
        while rows < max
            && looked_at < LOOKED_AT * max
            && let Some(key) = self.changes.take_next()
        {
            looked_at += 1;
            if let Some(piece) = self.piece(key, rolling) {
                rows += (piece.numbers.end - piece.numbers.start) as usize;
                pieces.push(piece);
            }
        }
        if pieces.is_empty() { Ok(Some(Vec::new())) } else { Ok(Some(vec![rolling.write(&pieces)?])) }
    }

    /// What the cut that is under way gives of a key.
    fn piece(&mut self, key: u32, rolling: &Rolling) -> Option<Piece> {
        let place = key as usize;
        self.given.resize(self.given.len().max(place + 1), None);
        let numbers = rolling.rows_of(key);
        let last = numbers.end.checked_sub(1).filter(|_| !numbers.is_empty());
        let newest = last.and_then(|last| Some((last, rolling.time_of(key, last)?)));
        let before = std::mem::replace(&mut self.given[place], newest);
        newest?;
        let goes_on = |(number, time): &(u64, i64)| {
            !self.in_turn.contains(&key) && rolling.time_of(key, *number) == Some(*time)
        };
        match before.filter(goes_on) {
            None => Some(Piece { key, numbers, is_whole: true }),
            Some((number, _)) => {
                let numbers = number + 1..numbers.end;
                (!numbers.is_empty()).then_some(Piece { key, numbers, is_whole: false })
            }
        }
    }

    /// The oldest cut that is needed.
    pub(super) fn since(&self) -> Epoch {
        self.since.unwrap_or(Epoch(0))
    }

    /// Keys have got other ids: the next cut gives everything.
    pub(super) fn begin_anew(&mut self) {
        let aside = std::mem::take(&mut self.aside);
        *self = Self { aside, since: self.since, ..Self::default() };
    }

    pub(super) fn bytes(&self) -> usize {
        let aside: usize = self.aside.iter().map(RecordBatch::get_array_memory_size).sum();
        aside + self.changes.bytes() + self.given.capacity() * size_of::<Option<(u64, i64)>>()
    }
}
