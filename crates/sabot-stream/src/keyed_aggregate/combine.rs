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
//! The invariant: a slice in the stacks belongs to a window that has fired, and no row in time comes for
//! it any more. Rows that come all the same, from partitions that were idle, empty the stacks, and the
//! next window starts them anew.

use sabot_batch::key_index::KeyBatch;
use sabot_common::{EventTime, Span};
use sabot_time::{WindowBounds, Windows};

use super::panes::{Panes, Table};
use crate::OperatorError;

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
}

impl Combiner {
    pub(super) fn new(windows: Windows, allowed_lateness: Span) -> Self {
        let (passed, fired, front, back) = (EventTime::MIN, None, Vec::new(), None);
        Self { windows, allowed_lateness, passed, fired, front, back, through: None }
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
        self.leave_before(window.start.micros(), panes)?;
        self.take_in(window, panes)?;
        let mut result = panes.table()?;
        let front = self.front.last().map(|(_, table)| table);
        for part in front.into_iter().chain(self.back.as_ref().map(|(_, table)| table)) {
            merge_table(&mut result, part)?;
        }
        self.fired = Some(window);
        let windows = self.windows;
        let done = |start: i64| windows.last_window(EventTime(start)).is_none_or(|last| last <= window);
        while let Some(pane) = panes.pop_first(done) {
            panes.recycle(*pane.table);
        }
        Ok(Some((window, result)))
    }

    /// A row has come for the slice that starts at `start`.
    pub(super) fn touch(&mut self, start: i64, panes: &mut Panes) {
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
                merge_table(&mut suffix, behind)?;
            }
            if let Some(table) = panes.get(slice) {
                merge_table(&mut suffix, table)?;
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
                merge_table(back, table)?;
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
        self.front.iter().chain(&self.back).map(|(_, table)| table.bytes()).sum()
    }
}

/// Merges all keys and state of one table into another.
fn merge_table(into: &mut Table, from: &Table) -> Result<(), OperatorError> {
    let keys = from.keys().key_columns()?;
    let batch = KeyBatch::new(from.keys().types(), &keys, from.len())?;
    let mut ids = Vec::with_capacity(from.len());
    into.upsert(&batch, 0..from.len(), from.keys().hashes(), &mut ids)?;
    let rows = u32::try_from(from.len()).map_err(OperatorError::input)?;
    let all: Vec<u32> = (0..rows).collect();
    let state = from.state().0.partial(&all)?;
    into.state_mut().0.merge(&ids, &state)?;
    Ok(())
}
