//! Where the state of windows is kept: by slice, by session, or by count of rows.

use arrow::array::RecordBatch;
use sabot_batch::Morsel;
use sabot_batch::key_index::KeyBatch;
use sabot_common::{EventTime, KeyGroupRange, KeyGroups};
use sabot_ops::GroupBySpec;
use sabot_plan::KeyedWindow;
use sabot_state::Keying;
use sabot_time::Windows;

use super::combine::Combiner;
use super::counts::Counts;
use super::firing::{Fired, Firing};
use super::input::merge_partial;
use super::layout::{GLOBAL, Layout};
use super::panes::Panes;
use super::results::Results;
use super::sessions::Sessions;
use crate::{KeptRows, OperatorError};

/// The kinds of rows in snapshots.
pub(super) const GROUPS: &str = "groups";
pub(super) const SESSIONS: &str = "sessions";
pub(super) const WINDOWS: &str = "windows";
pub(super) const WAITING: &str = "waiting";

/// The state of one task's keys.
#[derive(Debug)]
pub(super) enum Store {
    /// Windows are the same for every key: a table a slice.
    Panes(Box<PaneStore>),
    /// Every key has its own, by the time between rows.
    Sessions(Box<Sessions>),
    /// Every key has its own, by the number of rows; it takes rows and no partial state.
    Counts(Box<Counts>),
}

/// State by slice.
#[derive(Debug)]
pub(super) struct PaneStore {
    pub(super) panes: Panes,
    /// Puts windows together where they are more than one slice.
    pub(super) combiner: Option<Combiner>,
    firing: Firing,
    ids: Vec<u32>,
}

impl Store {
    pub(super) fn new(
        layout: &Layout,
        spec: &GroupBySpec,
        key_groups: KeyGroups,
    ) -> Result<Self, OperatorError> {
        let keying = Keying::new(key_groups, spec.seed);
        if let Some(KeyedWindow { window, allowed_lateness }) = &layout.window {
            match *window {
                Windows::Session(window) => {
                    let sessions = Sessions::new(window, *allowed_lateness, layout, keying)?;
                    return Ok(Store::Sessions(Box::new(sessions)));
                }
                Windows::Count(window) => {
                    let counts = Counts::new(window, *allowed_lateness, spec, layout, keying)?;
                    return Ok(Store::Counts(Box::new(counts)));
                }
                _ => {}
            }
        }
        let sliced = layout.window.as_ref().filter(|w| w.window.is_sliced());
        Ok(Store::Panes(Box::new(PaneStore {
            panes: Panes::new(layout.key_fields.clone(), layout.aggregates.clone(), keying),
            combiner: sliced.map(|w| Combiner::new(w.window, w.allowed_lateness)),
            firing: Firing::new(Results::new(layout)?),
            ids: Vec::new(),
        })))
    }

    /// Merges partial state. Rows that no open window holds are not merged; returns how many there were.
    pub(super) fn merge(
        &mut self,
        batch: &RecordBatch,
        layout: &Layout,
        watermark: EventTime,
    ) -> Result<u64, OperatorError> {
        match self {
            Store::Panes(store) => {
                let PaneStore { panes, combiner, ids, .. } = store.as_mut();
                merge_partial(batch, layout, panes, combiner.as_mut(), watermark, ids)
            }
            Store::Sessions(sessions) => sessions.merge(batch, layout, watermark),
            Store::Counts(_) => Err(OperatorError::input("partial state came where rows are counted")),
        }
    }

    /// Takes note of a watermark.
    pub(super) fn pass(&mut self, watermark: EventTime) -> Result<(), OperatorError> {
        match self {
            Store::Panes(store) => {
                if let Some(combiner) = &mut store.combiner {
                    combiner.pass(&store.panes, watermark);
                }
                Ok(())
            }
            Store::Sessions(_) => Ok(()),
            Store::Counts(counts) => counts.pass(watermark),
        }
    }

    /// Makes the one group of an aggregation without windows and keys, if no row has made it.
    pub(super) fn ensure_whole(&mut self) -> Result<(), OperatorError> {
        if let Store::Panes(store) = self
            && store.panes.is_empty()
        {
            let nothing = KeyBatch::new(&[], [], 1)?;
            store.panes.at(GLOBAL)?.upsert(&nothing, 0..1, &[0], &mut store.ids)?;
        }
        Ok(())
    }

    /// The next results, of what fires at `watermark` or, with `all`, of everything.
    pub(super) fn next_output(
        &mut self,
        max_rows: usize,
        layout: &Layout,
        watermark: EventTime,
        all: bool,
    ) -> Result<Option<Morsel>, OperatorError> {
        let watermark = if all { EventTime::MAX } else { watermark };
        let store = match self {
            Store::Panes(store) => store.as_mut(),
            Store::Sessions(sessions) => return sessions.next(max_rows, layout, watermark),
            Store::Counts(counts) => return counts.next(max_rows, layout),
        };
        let PaneStore { panes, combiner, firing, .. } = store;
        firing.next(max_rows, layout, panes, |panes| {
            if let Some(combiner) = combiner {
                let fired = combiner.next(panes, watermark)?;
                return Ok(fired.map(|(bounds, table)| Fired { bounds, table: Box::new(table) }));
            }
            let pane = panes.pop_first(|start| all || layout.is_closed(start, watermark))?;
            Ok(pane.map(|pane| Fired { bounds: layout.bounds_of(pane.start), table: pane.table }))
        })
    }

    /// Whether there are results that have not been taken.
    pub(super) fn has_output(&self, layout: &Layout, watermark: EventTime, all: bool) -> bool {
        let store = match self {
            Store::Panes(store) => store,
            Store::Sessions(sessions) => {
                return sessions.has_output(watermark) || all && !sessions.is_empty();
            }
            Store::Counts(counts) => return counts.has_output(),
        };
        let due = match &store.combiner {
            Some(combiner) => combiner.due(&store.panes, watermark).is_some(),
            None => store.panes.first().is_some_and(|start| layout.is_closed(start, watermark)),
        };
        due || all && !store.panes.is_empty() || !store.firing.is_empty()
    }

    /// Whether there is no state.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Store::Panes(store) => store.panes.is_empty(),
            Store::Sessions(sessions) => sessions.is_empty(),
            Store::Counts(counts) => counts.is_empty(),
        }
    }

    /// Bytes of state, open or on its way out.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Store::Panes(store) => {
                let combined = store.combiner.as_ref().map_or(0, Combiner::bytes);
                store.panes.bytes() + combined + store.firing.bytes()
            }
            Store::Sessions(sessions) => sessions.bytes(),
            Store::Counts(counts) => counts.bytes(),
        }
    }

    /// The kinds of rows in a snapshot.
    pub(super) fn kept(&self) -> Result<Vec<KeptRows>, OperatorError> {
        let (part, schema) = match self {
            Store::Panes(store) => (GROUPS, store.panes.snapshot_schema()?.into()),
            Store::Sessions(sessions) => (SESSIONS, sessions.snapshot_schema().clone()),
            Store::Counts(counts) => (WINDOWS, counts.snapshot_schema().clone()),
        };
        Ok(vec![KeptRows { part, schema }])
    }

    /// The state of these key groups, in one batch or more, each with the kind of its rows.
    pub(super) fn snapshot(
        &self,
        range: KeyGroupRange,
    ) -> Result<Vec<(&'static str, RecordBatch)>, OperatorError> {
        match self {
            Store::Panes(store) => {
                Ok(store.panes.snapshot(range)?.into_iter().map(|rows| (GROUPS, rows)).collect())
            }
            Store::Sessions(sessions) => Ok(vec![(SESSIONS, sessions.snapshot(range)?)]),
            Store::Counts(counts) => {
                let (windows, waiting) = counts.snapshot(range)?;
                let waiting = waiting.into_iter().map(|rows| (WAITING, rows));
                Ok(std::iter::once((WINDOWS, windows)).chain(waiting).collect())
            }
        }
    }

    /// Takes in state as it was at a watermark; all of it is owned here, as are `groups` key groups.
    pub(super) fn restore(
        &mut self,
        batch: &RecordBatch,
        watermark: EventTime,
        groups: usize,
    ) -> Result<(), OperatorError> {
        match self {
            Store::Panes(store) => {
                if let Some(combiner) = &mut store.combiner {
                    combiner.resume(watermark);
                }
                store.panes.restore(batch, groups)
            }
            Store::Sessions(sessions) => sessions.restore(batch, watermark),
            Store::Counts(counts) => counts.restore(batch, watermark),
        }
    }
}
