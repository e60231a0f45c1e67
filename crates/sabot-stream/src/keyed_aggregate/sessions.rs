//! Sessions: windows that the rows of a key make by following each other closely.
//!
//! A key has a list of open sessions in order of time, mostly one of them, and each session a slot in the
//! columns of state. A row opens a session, prolongs one, or joins two that it stands between: then the
//! state of the second is merged into that of the first. Two sessions of a key are always at least one gap
//! apart, so a row is near to two of them at most.
//!
//! Sessions fire in order of their end. What waits for the watermark is one entry a session, with the end
//! that it had when the entry was made: ends only move away, so an entry that is due too early is put
//! back, and rows that prolong a session cost nothing here. Slots of sessions that have fired are used no
//! more; once they are more than the open ones, everything open moves into new columns.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt16Array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt64Type};
use sabot_batch::key_index::{KeyBatch, KeyIndex};
use sabot_batch::{Morsel, hidden};
use sabot_common::{EventTime, KeyGroupRange, Span};
use sabot_cpu::group_by::{Accumulators, PartialState};
use sabot_state::{GROUP, Keying, StateError};
use sabot_time::{SessionWindow, WindowBounds};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use super::layout::Layout;
use super::results::{Part, Results};
use super::session_cuts::SessionCuts;
use crate::OperatorError;

/// The column of a snapshot with the time of a session's last row, in µs.
const LAST: &str = "__sabot.window_last";
/// Slots of fired sessions below which moving the open ones is not worth it.
const DEAD_MIN: usize = 4_096;

/// An open session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    /// The time of its first row.
    first: i64,
    /// The time of its last row.
    last: i64,
    slot: u32,
}

/// A session on its way out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fired {
    pub(super) key: u32,
    session: Session,
}

impl Fired {
    pub(super) fn new(key: u32, session: Session) -> Self {
        Self { key, session }
    }
}

/// When a session may be over, by the time of the last row that it had when this was noted.
type Due = Reverse<(i64, u32, u32)>;

/// The sessions of one task's keys.
#[derive(Debug)]
pub(super) struct Sessions {
    gap: i64,
    allowed_lateness: Span,
    keying: Keying,
    /// Columns of a snapshot.
    schema: SchemaRef,
    pub(super) keys: KeyIndex,
    /// The open sessions of each key, by its id, in order of time.
    open: Vec<Vec<Session>>,
    /// By slot.
    state: Accumulators,
    /// How many sessions are open.
    count: usize,
    due: BinaryHeap<Due>,
    /// Sessions of one end, in order of their keys.
    fired: VecDeque<Fired>,
    results: Results,
    pub(super) ids: Vec<u32>,
    pub(super) cuts: SessionCuts,
}

impl Sessions {
    pub(super) fn new(
        window: SessionWindow,
        allowed_lateness: Span,
        layout: &Layout,
        keying: Keying,
    ) -> Result<Self, OperatorError> {
        let mut fields = vec![
            Field::new(hidden::WINDOW, DataType::Int64, false),
            Field::new(LAST, DataType::Int64, false),
            Field::new(GROUP, DataType::UInt16, false),
        ];
        fields.extend_from_slice(&layout.key_fields);
        for aggregate in &layout.aggregates {
            fields.extend(aggregate.state_fields()?);
        }
        Ok(Self {
            gap: window.gap().micros(),
            allowed_lateness,
            keying,
            schema: Arc::new(Schema::new(fields)),
            keys: KeyIndex::new(&layout.key_types())?,
            open: Vec::new(),
            state: Accumulators::new(&layout.aggregates)?,
            count: 0,
            due: BinaryHeap::new(),
            fired: VecDeque::new(),
            results: Results::new(layout)?,
            ids: Vec::new(),
            cuts: SessionCuts::default(),
        })
    }

    /// Takes in partial state by key and time. Rows are late whose session, were they alone in it, would
    /// have fired; returns how many there were.
    pub(super) fn merge(
        &mut self,
        batch: &RecordBatch,
        layout: &Layout,
        watermark: EventTime,
    ) -> Result<u64, OperatorError> {
        let times = |batch: &RecordBatch| -> Result<Int64Array, OperatorError> {
            let column = layout.window_column.and_then(|i| batch.columns().get(i));
            let times = column.and_then(|c| c.as_primitive_opt::<Int64Type>()).cloned();
            times.ok_or_else(|| OperatorError::input("partial state of sessions without its time"))
        };
        let open: BooleanArray =
            times(batch)?.values().iter().map(|t| Some(!layout.is_closed(*t, watermark))).collect();
        let late = batch.num_rows() - open.true_count();
        let batch = match late {
            0 => batch.clone(),
            _ => filter_record_batch(batch, &open).map_err(OperatorError::input)?,
        };
        let columns = batch.columns();
        let keys = layout.key_columns.iter().map(|i| &columns[*i]);
        let keys = KeyBatch::new(self.keys.types(), keys, batch.num_rows())?;
        let hashes = columns[layout.hash_column].as_primitive::<UInt64Type>().values();
        let state =
            PartialState::new(&layout.aggregates, &columns[layout.state_columns.clone()], batch.num_rows())?;
        self.upsert(&keys, hashes)?;
        self.cut_before_change()?;
        let mut joined = Vec::new();
        let mut slots = Vec::with_capacity(batch.num_rows());
        for (row, time) in times(&batch)?.values().iter().enumerate() {
            slots.push(self.place(self.ids[row], *time, &mut joined));
        }
        let (from, into) = followed(&joined, &mut slots);
        self.state.merge_rows(&slots, &state, 0..batch.num_rows())?;
        if !from.is_empty() {
            let moved = self.state.partial(&from)?;
            self.state.merge(&into, &moved)?;
        }
        Ok(late as u64)
    }

    /// Fills `ids` with those of the keys.
    fn upsert(&mut self, keys: &KeyBatch<'_>, hashes: &[u64]) -> Result<(), OperatorError> {
        self.keys.upsert_rows(keys, 0..keys.rows(), hashes, &mut self.ids)?;
        self.open.resize_with(self.keys.len(), Vec::new);
        Ok(())
    }

    /// Whether two rows of a key at these times, the first one earlier, are of two sessions if none is
    /// between them.
    fn apart(&self, earlier: i64, later: i64) -> bool {
        later > earlier && later.abs_diff(earlier) >= self.gap.unsigned_abs()
    }

    /// The slot of the session of a row. Where the row joins two, the slot of the second one is noted
    /// with that of the first, which takes its place.
    fn place(&mut self, key: u32, time: i64, joined: &mut Vec<(u32, u32)>) -> u32 {
        let sessions = &self.open[key as usize];
        let from = sessions.partition_point(|s| self.apart(s.last, time));
        let near = sessions[from..].partition_point(|s| !self.apart(time, s.first));
        let sessions = &mut self.open[key as usize];
        if near == 0 {
            let slot = u32::try_from(self.state.groups()).unwrap_or(u32::MAX);
            self.state.resize(self.state.groups() + 1);
            sessions.insert(from, Session { first: time, last: time, slot });
            self.due.push(Reverse((time, key, slot)));
            self.count += 1;
            return slot;
        }
        let behind: Vec<Session> = sessions.drain(from + 1..from + near).collect();
        let session = &mut sessions[from];
        session.first = session.first.min(time);
        session.last = session.last.max(time);
        for other in behind {
            session.last = session.last.max(other.last);
            joined.push((other.slot, session.slot));
            self.count -= 1;
        }
        session.slot
    }

    pub(super) fn bounds(&self, session: &Session) -> WindowBounds {
        let last = session.last.saturating_add(self.gap - 1);
        WindowBounds { start: EventTime(session.first), last: EventTime(last) }
    }

    /// The next at most `max_rows` results; `None` when all that are due have left. Sessions come in order
    /// of their end, those of one end in order of their keys.
    pub(super) fn next(
        &mut self,
        max_rows: usize,
        layout: &Layout,
        watermark: EventTime,
    ) -> Result<Option<Morsel>, OperatorError> {
        let (mut keys, mut slots, mut parts) = (Vec::new(), Vec::new(), Vec::new());
        while parts.len() < max_rows.max(1) {
            if self.fired.is_empty() {
                self.fire_one_end(watermark);
                self.cut_leaving()?;
            }
            let Some(Fired { key, session }) = self.fired.pop_front() else { break };
            keys.push(key);
            slots.push(session.slot);
            parts.push(Part { bounds: self.bounds(&session), rows: 1, number: 0 });
        }
        if parts.is_empty() {
            self.shrink(layout)?;
            return Ok(None);
        }
        self.results.append((&self.keys, &keys), (&self.state, &slots), layout, |row| parts[row].bounds)?;
        self.results.morsel(&parts, parts.len(), layout).map(Some)
    }

    /// Lets all sessions with the next end fire, if the watermark closes it.
    fn fire_one_end(&mut self, watermark: EventTime) {
        let mut end: Option<i64> = None;
        while let Some(Reverse((last, key, slot))) = self.due.peek().copied() {
            let alone = Session { first: last, last, slot };
            if end.is_some_and(|end| last > end)
                || !self.bounds(&alone).is_fired(watermark, self.allowed_lateness)
            {
                break;
            }
            self.due.pop();
            let sessions = &mut self.open[key as usize];
            // One that has been joined to another is not there any more.
            let Some(place) = sessions.iter().position(|s| s.slot == slot) else { continue };
            let session = sessions[place];
            if session.last > last {
                self.due.push(Reverse((session.last, key, slot)));
                continue;
            }
            self.cuts.leaves(key, sessions, self.keys.len());
            sessions.remove(place);
            self.count -= 1;
            end = Some(last);
            self.fired.push_back(Fired { key, session });
        }
        let keys = &self.keys;
        self.fired.make_contiguous().sort_by(|a, b| keys.compare(a.key, b.key));
    }

    /// The least time that the last row of a session has which has not fired at a watermark.
    pub(super) fn first_open(&self, watermark: EventTime) -> i64 {
        let fires = |last: i64| {
            self.bounds(&Session { first: last, last, slot: 0 }).is_fired(watermark, self.allowed_lateness)
        };
        let (mut fired, mut open) = (i64::MIN, i64::MAX);
        if !fires(fired) {
            return fired;
        }
        while fired + 1 < open {
            let middle = fired.midpoint(open);
            if fires(middle) { fired = middle } else { open = middle }
        }
        open
    }

    /// Whether there are results that have not been taken.
    pub(super) fn has_output(&self, watermark: EventTime) -> bool {
        let due = self.due.peek().is_some_and(|Reverse((last, _, slot))| {
            let alone = Session { first: *last, last: *last, slot: *slot };
            self.bounds(&alone).is_fired(watermark, self.allowed_lateness)
        });
        due || !self.fired.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0 && self.fired.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        let lists: usize = self.open.iter().map(|list| list.capacity() * size_of::<Session>()).sum();
        let lists = lists + self.open.capacity() * size_of::<Vec<Session>>();
        let due = self.due.capacity() * size_of::<Due>();
        self.keys.bytes() + self.state.bytes() + lists + due + self.cuts.bytes()
    }

    /// Moves what is open into new columns, if most of the old ones is not used any more.
    fn shrink(&mut self, layout: &Layout) -> Result<(), OperatorError> {
        let dead = self.state.groups() - self.count;
        if dead < DEAD_MIN || dead < self.count {
            return Ok(());
        }
        self.cut_before_moving()?;
        let all = self.open_sessions(|_| true);
        let (keys, slots): (Vec<u32>, Vec<u32>) = all.iter().map(|f| (f.key, f.session.slot)).unzip();
        let hashes: Vec<u64> = keys.iter().map(|key| self.keys.hashes()[*key as usize]).collect();
        let (key_columns, state) = (self.keys.take(&keys)?, self.state.partial(&slots)?);
        self.keys = KeyIndex::new(&layout.key_types())?;
        self.state = Accumulators::new(&layout.aggregates)?;
        (self.open, self.due, self.count) = (Vec::new(), BinaryHeap::new(), 0);
        self.insert(&key_columns, &hashes, all.iter().map(|f| (f.session.first, f.session.last)), &state)
    }

    /// The open sessions of the keys that `wanted` holds for, by key id and time.
    fn open_sessions(&self, wanted: impl Fn(u32) -> bool) -> Vec<Fired> {
        let lists = (0u32..).zip(&self.open).filter(|(key, _)| wanted(*key));
        lists
            .flat_map(|(key, list)| list.iter().map(move |session| Fired { key, session: *session }))
            .collect()
    }

    /// Takes in sessions as they were: times of first and last rows, which are a gap apart for each key.
    fn insert(
        &mut self,
        keys: &[ArrayRef],
        hashes: &[u64],
        times: impl Iterator<Item = (i64, i64)>,
        state: &[ArrayRef],
    ) -> Result<(), OperatorError> {
        let batch = KeyBatch::new(self.keys.types(), keys, hashes.len())?;
        self.upsert(&batch, hashes)?;
        let first_slot = self.state.groups();
        self.state.resize(first_slot + hashes.len());
        let end = u32::try_from(self.state.groups()).map_err(OperatorError::input)?;
        let slots: Vec<u32> = (end - hashes.len() as u32..end).collect();
        for ((key, slot), (first, last)) in self.ids.iter().zip(&slots).zip(times) {
            let list = &mut self.open[*key as usize];
            let place = list.partition_point(|s| s.first < first);
            list.insert(place, Session { first, last, slot: *slot });
            self.due.push(Reverse((last, *key, *slot)));
            self.count += 1;
        }
        self.state.merge(&slots, state)?;
        Ok(())
    }

    fn group_of(&self, key: u32) -> u16 {
        self.keying.group_of(&self.keys, self.keys.hashes()[key as usize])
    }

    /// The columns of a snapshot.
    pub(super) fn snapshot_schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The open sessions of these key groups, contiguous and ascending by group.
    pub(super) fn snapshot(&self, range: KeyGroupRange) -> Result<RecordBatch, OperatorError> {
        self.rows(self.open_sessions(|key| range.contains(self.group_of(key))))
    }

    /// The open sessions of a key.
    pub(super) fn of_key(&self, key: u32) -> impl Iterator<Item = Fired> {
        self.open[key as usize].iter().map(move |session| Fired { key, session: *session })
    }

    /// Sessions as rows of a snapshot, ascending by group.
    pub(super) fn rows(&self, mut all: Vec<Fired>) -> Result<RecordBatch, OperatorError> {
        all.sort_by_key(|f| self.group_of(f.key));
        let (keys, slots): (Vec<u32>, Vec<u32>) = all.iter().map(|f| (f.key, f.session.slot)).unzip();
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(all.iter().map(|f| f.session.first))),
            Arc::new(Int64Array::from_iter_values(all.iter().map(|f| f.session.last))),
            Arc::new(UInt16Array::from_iter_values(keys.iter().map(|key| self.group_of(*key)))),
        ];
        columns.extend(self.keys.take(&keys)?);
        columns.extend(self.state.partial(&slots)?);
        RecordBatch::try_new(self.schema.clone(), columns).map_err(OperatorError::input)
    }

    /// Takes in the rows of a snapshot as of a watermark, all of which are owned here. Of several cuts the newest comes first.
    ///
    /// What became of a session that is only in an older cut can be seen without being told: it was prolonged or joined
    /// to another, and is near to that one, which is there; or that one has fired, and then the watermark has passed the
    /// end of this one as well; or nothing became of it.
    pub(super) fn restore(&mut self, batch: &RecordBatch, watermark: EventTime) -> Result<(), OperatorError> {
        let list = |schema: &Schema| {
            let name = |f: &Arc<Field>| format!("{} {}", f.name(), f.data_type());
            schema.fields().iter().map(name).collect::<Vec<_>>().join(", ")
        };
        let (got, expected) = (list(batch.schema_ref()), list(&self.schema));
        if got != expected || batch.columns().iter().take(3).any(|c| c.null_count() > 0) {
            return Err(StateError::Schema { got, expected }.into());
        }
        let columns = batch.columns();
        let (first, last) = (columns[0].as_primitive::<Int64Type>(), columns[1].as_primitive::<Int64Type>());
        let hashes = self.keying.hashes_of(&self.keys, batch, 2)?;
        let keys = 3..3 + self.keys.types().len();
        let batch_keys = KeyBatch::new(self.keys.types(), &columns[keys.clone()], batch.num_rows())?;
        self.upsert(&batch_keys, &hashes)?;
        let times = || first.values().iter().copied().zip(last.values().iter().copied());
        let is_open = |(key, (first, last)): (&u32, (i64, i64))| {
            let near = |s: &Session| !self.apart(s.last, first) && !self.apart(last, s.first);
            let fired =
                self.bounds(&Session { first, last, slot: 0 }).is_fired(watermark, self.allowed_lateness);
            !fired && !self.open[*key as usize].iter().any(near)
        };
        let open: BooleanArray = self.ids.iter().zip(times()).map(|row| Some(is_open(row))).collect();
        if open.true_count() == batch.num_rows() {
            return self.insert(&columns[keys.clone()], &hashes, times(), &columns[keys.end..]);
        }
        let rest = filter_record_batch(batch, &open).map_err(OperatorError::input)?;
        self.restore(&rest, watermark)
    }
}

/// Follows joined sessions to the ones that took their place: in `slots`, and as a list of the slots whose
/// state moves with where it goes.
fn followed(joined: &[(u32, u32)], slots: &mut [u32]) -> (Vec<u32>, Vec<u32>) {
    if joined.is_empty() {
        return (Vec::new(), Vec::new());
    }
    let next: std::collections::HashMap<u32, u32> = joined.iter().copied().collect();
    let follow = |mut slot: u32| {
        while let Some(into) = next.get(&slot) {
            slot = *into;
        }
        slot
    };
    slots.iter_mut().for_each(|slot| *slot = follow(*slot));
    joined.iter().map(|(from, into)| (*from, follow(*into))).unzip()
}
