//! Which keys a cut has to give: those that have changed since the last one, and stale ones so that old cuts can go.

use sabot_common::Epoch;
use sabot_state::{Changes, Sweep};

/// The cuts of what an operator has by key, or by another dense number.
#[derive(Debug, Default)]
pub(crate) struct KeyCuts {
    /// The epoch of the last one; none before the first, and once keys have other numbers.
    last: Option<Epoch>,
    /// From the first cut on.
    changes: Option<Changes>,
    sweep: Sweep,
}

impl KeyCuts {
    /// Begins a cut of so many keys, as [`KeyedOperator::begin_cut`](crate::KeyedOperator::begin_cut) has it; whether it is of
    /// all of them.
    pub(crate) fn begin(&mut self, epoch: Epoch, stored: Option<Epoch>, keys: usize) -> bool {
        let is_next = self.last.is_some() && self.last == stored;
        let changes = self.changes.get_or_insert_default();
        let mut stretch = match is_next {
            true => self.sweep.begin(epoch, changes.changed(), keys),
            false => self.sweep.begin_whole(epoch),
        };
        changes.begin(0, keys, &mut stretch);
        self.sweep.end(stretch);
        self.last = Some(epoch);
        !is_next
    }

    /// Keys are about to change, of as many as there are now: `due` are those that must be given before.
    pub(crate) fn touch(&mut self, keys: &[u32], count: usize, due: &mut Vec<u32>) {
        due.clear();
        if let Some(changes) = &mut self.changes {
            changes.touch(keys, count, due);
        }
    }

    /// The next keys to be given, about `max` of them; none when there are no more.
    pub(crate) fn take(&mut self, max: usize, due: &mut Vec<u32>) {
        due.clear();
        if let Some(changes) = &mut self.changes {
            changes.take(max.max(1), due);
        }
    }

    /// Keys get other numbers, or none: the next cut gives all of them.
    pub(crate) fn begin_anew(&mut self) {
        (self.last, self.changes) = (None, None);
    }

    /// The oldest cut that is needed.
    pub(crate) fn since(&self) -> Epoch {
        self.sweep.since()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.changes.as_ref().map_or(0, Changes::bytes)
    }
}
