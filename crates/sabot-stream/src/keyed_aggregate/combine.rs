//! Overlapping windows: the slices of each are combined when it fires, at a constant cost a row.
//!
//! Windows fire in order of their end and none starts before the one that fired ahead of it, so slices
//! come in at the back and leave at the front: a queue. Its aggregate is kept in two stacks. The *front*
//! has for each of its slices the aggregate of that slice and all behind it in the front; the *back* is
//! one aggregate of all newer slices. A window is front top and back merged. When a slice has to leave
//! and the front is used up, what is left of the back is turned into a front. Every slice is merged three
//! times at most, however many windows it belongs to, and nothing is ever taken out of a sum: so floats
//! stay within the bound of the rows in the window, and every aggregate that can be merged will do.
//!
//! Windows of few slices take a shorter way: theirs are merged one by one. Each slice is made ready for that
//! once, in the form of partial state, which is half of what a merge costs.
//!
//! The invariant: a slice in the stacks belongs to a window that has fired, and no row in time comes for
//! it any more. Rows that come all the same, from partitions that were idle, empty the stacks, and the
//! next window starts them anew.

use arrow::array::{Array, ArrayRef};
use sabot_batch::key_index::KeyBatch;
use sabot_common::{EventTime, Span};
use sabot_time::{WindowBounds, Windows};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::RangeInclusive;

use super::panes::{Panes, Table};
use crate::OperatorError;

/// Windows of no more slices than this are merged slice by slice. The stacks cost a window of three slices 4.5
/// merges where this costs three, and those find their slices ready. Measured on the windows of three hours of
/// examples/flight-delays (two cores, 2026-11-27, three times ten runs each): 0.47 s of processor time a run
/// instead of 0.55 s.
const FEW_SLICES: usize = 4;

/// The windows that fire next, and the slices that they are made of.
#[derive(Debug)]
pub(super) struct Combiner {
    windows: Windows,
    allowed_lateness: Span,
    /// All windows up to this watermark have fired, or had no rows.
    passed: EventTime,
    /// The last window that fired since.
    fired: Option<WindowBounds>,
    /// The start of each slice of the front with the aggregate of it and those behind it; the first slice
    /// is on top.
    front: Vec<(i64, Table)>,
    /// The aggregate of the slices behind the front, and the start of the first of them.
    back: Option<(i64, Table)>,
    /// The last instant up to which slices have come in.
    through: Option<i64>,
    /// Slices of windows of few, by start, ready to be merged.
    ready: BTreeMap<i64, Ready>,
}

/// The keys and the partial state of a slice as columns, to be merged as often as windows want.
#[derive(Debug)]
struct Ready {
    keys: Vec<ArrayRef>,
    hashes: Vec<u64>,
    state: Vec<ArrayRef>,
}

impl Combiner {
    pub(super) fn new(windows: Windows, allowed_lateness: Span) -> Self {
        let (passed, fired, front, back) = (EventTime::MIN, None, Vec::new(), None);
        Self { windows, allowed_lateness, passed, fired, front, back, through: None, ready: BTreeMap::new() }
    }

    /// Starts after a restore at `watermark`: what it closes had fired before.
    pub(super) fn resume(&mut self, watermark: EventTime) {
        self.passed = watermark;
    }

    /// The next window that fires at `watermark`.
    pub(super) fn due(&self, panes: &Panes, watermark: EventTime) -> Option<WindowBounds> {
        let first = EventTime(panes.first()?);
        let open = self.windows.first_open(first, self.passed, self.allowed_lateness)?;
        let next = match self.fired {
            Some(fired) => self.windows.next_window(fired)?.max(open),
            None => open,
        };
        next.is_fired(watermark, self.allowed_lateness).then_some(next)
    }

    /// Takes note of a watermark: if no window is due, rows that come from now on count in none that it
    /// closes.
    pub(super) fn pass(&mut self, panes: &Panes, watermark: EventTime) {
        if self.due(panes, watermark).is_none() {
            self.passed = self.passed.max(watermark);
            self.fired = None;
        }
    }

    /// Fires the next window, if one is due: its keys and state.
    pub(super) fn next(
        &mut self,
        panes: &mut Panes,
        watermark: EventTime,
    ) -> Result<Option<(WindowBounds, Table)>, OperatorError> {
        let Some(window) = self.due(panes, watermark) else {
            self.pass(panes, watermark);
            return Ok(None);
        };
        let mut result = panes.table()?;
        let (start, last) = (window.start.micros(), window.last.micros());
        if panes.range(start, last).take(FEW_SLICES + 1).count() <= FEW_SLICES {
            self.merge_few(&mut result, start..=last, panes)?;
        } else {
            self.leave_before(start, panes)?;
            self.take_in(window, panes)?;
            let front = self.front.last().map(|(_, table)| table);
            for part in front.into_iter().chain(self.back.as_ref().map(|(_, table)| table)) {
                Ready::of(part)?.merge_into(&mut result)?;
            }
        }
        self.fired = Some(window);
        let windows = self.windows;
        let done = |start: i64| windows.last_window(EventTime(start)).is_none_or(|last| last <= window);
        while let Some(pane) = panes.pop_first(done)? {
            self.ready.remove(&pane.start);
            panes.recycle(*pane.table);
        }
        Ok(Some((window, result)))
    }

    /// Merges slices one by one.
    fn merge_few(
        &mut self,
        into: &mut Table,
        slices: RangeInclusive<i64>,
        panes: &Panes,
    ) -> Result<(), OperatorError> {
        for (start, table) in panes.range(*slices.start(), *slices.end()) {
            let ready = match self.ready.entry(start) {
                Entry::Occupied(ready) => ready.into_mut(),
                Entry::Vacant(place) => place.insert(Ready::of(table)?),
            };
            ready.merge_into(into)?;
        }
        Ok(())
    }

    /// A row has come for the slice that starts at `start`.
    pub(super) fn touch(&mut self, start: i64, panes: &mut Panes) {
        self.ready.remove(&start);
        if self.through.is_some_and(|through| start <= through) {
            self.clear(panes);
        }
    }

    /// Lets the slices go that start before `start`.
    fn leave_before(&mut self, start: i64, panes: &mut Panes) -> Result<(), OperatorError> {
        while let Some((_, table)) = self.front.pop_if(|(slice, _)| *slice < start) {
            panes.recycle(table);
        }
        let (Some((first, _)), Some(through)) = (&self.back, self.through) else { return Ok(()) };
        if !self.front.is_empty() || *first >= start {
            return Ok(());
        }
        if let Some((_, table)) = self.back.take() {
            panes.recycle(table);
        }
        let all = panes.range(start, through).map(|(slice, _)| slice);
        let kept: Vec<i64> = all.take_while(|slice| *slice <= through).collect();
        for slice in kept.into_iter().rev() {
            let mut suffix = panes.table()?;
            if let Some((_, behind)) = self.front.last() {
                Ready::of(behind)?.merge_into(&mut suffix)?;
            }
            if let Some(table) = panes.get(slice) {
                Ready::of(table)?.merge_into(&mut suffix)?;
            }
            self.front.push((slice, suffix));
        }
        Ok(())
    }

    /// Takes in the slices of a window that are not in yet.
    fn take_in(&mut self, window: WindowBounds, panes: &mut Panes) -> Result<(), OperatorError> {
        let (start, last) = (window.start.micros(), window.last.micros());
        let from = self.through.map_or(start, |through| start.max(through.saturating_add(1)));
        if self.through.is_some_and(|through| through >= last) {
            return Ok(());
        }
        self.through = Some(last);
        let Some((first, _)) = panes.range(from, last).next() else { return Ok(()) };
        if self.back.is_none() {
            self.back = Some((first, panes.table()?));
        }
        if let Some((_, back)) = &mut self.back {
            for (_, table) in panes.range(from, last) {
                Ready::of(table)?.merge_into(back)?;
            }
        }
        Ok(())
    }

    fn clear(&mut self, panes: &mut Panes) {
        let back = self.back.take();
        for (_, table) in self.front.drain(..).chain(back) {
            panes.recycle(table);
        }
        self.through = None;
    }

    pub(super) fn bytes(&self) -> usize {
        let stacks = self.front.iter().chain(&self.back).map(|(_, table)| table.bytes()).sum::<usize>();
        stacks + self.ready.values().map(Ready::bytes).sum::<usize>()
    }
}

impl Ready {
    fn of(table: &Table) -> Result<Self, OperatorError> {
        let rows = u32::try_from(table.len()).map_err(OperatorError::input)?;
        let all: Vec<u32> = (0..rows).collect();
        let (keys, hashes) = (table.keys().key_columns()?, table.keys().hashes().to_vec());
        Ok(Self { keys, hashes, state: table.state().0.partial(&all)? })
    }

    /// Merges all keys and state into a table.
    fn merge_into(&self, into: &mut Table) -> Result<(), OperatorError> {
        let rows = self.hashes.len();
        let types = into.keys().types().to_vec();
        let batch = KeyBatch::new(&types, &self.keys, rows)?;
        let mut ids = Vec::with_capacity(rows);
        into.upsert(&batch, 0..rows, &self.hashes, &mut ids)?;
        into.state_mut().0.merge(&ids, &self.state)?;
        Ok(())
    }

    fn bytes(&self) -> usize {
        let columns = self.keys.iter().chain(&self.state);
        columns.map(|column| column.get_array_memory_size()).sum::<usize>() + size_of_val(&*self.hashes)
    }
}
