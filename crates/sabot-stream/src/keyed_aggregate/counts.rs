//! Windows of so many rows of a key, in order of event time.
//!
//! Which window a row is in depends on how many rows of its key come before it, so rows wait until the
//! watermark says that none before them can come; then they are put into order, by event time, source
//! partition, row number, the key of a window's result, and, for copies of one row that a union brings
//! together, by their contents. So the result is the same however rows were cut into morsels and
//! partitions were interleaved. A window fires with its last row. One that is not full when the input
//! ends has no result: its end never came.

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt16Array, UInt32Array, UInt64Array,
};
use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt64Type};
use arrow::row::{RowConverter, SortField};
use sabot_batch::key_index::{KeyBatch, KeyIndex};
use sabot_batch::{Morsel, hidden};
use sabot_common::{EventTime, KeyGroupRange, Span};
use sabot_cpu::group_by::Accumulators;
use sabot_ops::GroupBySpec;
use sabot_state::{GROUP, Keying, StateError};
use sabot_time::{CountWindow, WindowBounds};
use std::collections::VecDeque;
use std::sync::Arc;

use super::count_cuts::CountCuts;
use super::layout::Layout;
use super::results::{Part, Results};
use crate::OperatorError;
use crate::waiting::Waiting;

/// The column of a snapshot with the time of a window's last row so far, in µs.
const LAST: &str = "__sabot.window_last";
/// The column of a snapshot with the number of a window's rows so far.
const ROWS: &str = "__sabot.window_rows";
/// Slots of fired windows below which moving the open ones is not worth it.
const DEAD_MIN: usize = 4_096;

/// A window: open, or on its way out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    /// The time of its first row.
    first: i64,
    /// The time of its last row.
    last: i64,
    rows: u64,
    slot: u32,
    /// Of a window on its way out: how many of its key come before it that have the same end.
    number: u64,
}

impl Window {
    /// What a snapshot has of a key without one: no rows, and the state of a slot that nothing has come to.
    pub(super) fn none(slot: u32) -> Self {
        Self { first: 0, last: 0, rows: 0, slot, number: 0 }
    }

    fn bounds(&self) -> WindowBounds {
        WindowBounds { start: EventTime(self.first), last: EventTime(self.last) }
    }
}

/// The windows of one task's keys, and the rows that wait for their place.
#[derive(Debug)]
pub(super) struct Counts {
    size: u64,
    allowed_lateness: Span,
    keying: Keying,
    /// Of rows: the keys, and the time.
    key_columns: Vec<usize>,
    time_column: usize,
    /// Columns of a snapshot of windows.
    schema: SchemaRef,
    pub(super) waiting: Waiting,
    pub(super) keys: KeyIndex,
    /// The open window of each key, by its id.
    pub(super) open: Vec<Option<Window>>,
    /// By slot.
    pub(super) state: Accumulators,
    count: usize,
    /// Windows in order of their end, number and key.
    fired: VecDeque<(u32, Window)>,
    results: Results,
    /// Keys of the rows at hand.
    pub(super) ids: Vec<u32>,
    pub(super) cuts: CountCuts,
}

impl Counts {
    pub(super) fn new(
        window: CountWindow,
        allowed_lateness: Span,
        spec: &GroupBySpec,
        layout: &Layout,
        keying: Keying,
    ) -> Result<Self, OperatorError> {
        let time = layout.window_column.and_then(|position| spec.keys.get(position));
        let time_column =
            *time.ok_or_else(|| OperatorError::plan("windows by count without the time of rows"))?;
        let mut fields = vec![
            Field::new(hidden::WINDOW, DataType::Int64, false),
            Field::new(LAST, DataType::Int64, false),
            Field::new(ROWS, DataType::UInt64, false),
            Field::new(GROUP, DataType::UInt16, false),
        ];
        fields.extend_from_slice(&layout.key_fields);
        for aggregate in &layout.aggregates {
            fields.extend(aggregate.state_fields()?);
        }
        Ok(Self {
            size: window.rows(),
            allowed_lateness,
            keying,
            key_columns: layout.key_columns.iter().map(|position| spec.keys[*position]).collect(),
            time_column,
            schema: Arc::new(Schema::new(fields)),
            waiting: Waiting::new(move |rows| times(rows, time_column).map(<[i64]>::to_vec)),
            keys: KeyIndex::new(&layout.key_types())?,
            open: Vec::new(),
            state: Accumulators::new(&layout.aggregates)?,
            count: 0,
            fired: VecDeque::new(),
            results: Results::new(layout)?,
            ids: Vec::new(),
            cuts: CountCuts::default(),
        })
    }

    /// Takes in rows that are not late; the hashes of their keys.
    pub(super) fn push(&mut self, rows: RecordBatch) -> Result<Vec<u64>, OperatorError> {
        let hashes = self.hashes(&rows)?;
        self.waiting.push(rows)?;
        Ok(hashes)
    }

    fn hashes(&self, rows: &RecordBatch) -> Result<Vec<u64>, OperatorError> {
        let mut hashes = Vec::new();
        let hashed = self.keying.hasher().hash_batch_columns(rows, &self.key_columns, &mut hashes);
        hashed.map_err(OperatorError::input)?;
        Ok(hashes)
    }

    /// The time up to which the rows have their places at a watermark.
    fn passed(&self, watermark: EventTime) -> i64 {
        match watermark {
            EventTime::MAX => i64::MAX,
            EventTime(time) => time.saturating_sub(self.allowed_lateness.micros()),
        }
    }

    /// Gives the rows that the watermark has passed their places.
    pub(super) fn pass(&mut self, watermark: EventTime) -> Result<(), OperatorError> {
        let passed = self.waiting.take_up_to(self.passed(watermark))?;
        let Some(first) = passed.first() else { return Ok(()) };
        let rows = concat_batches(&first.schema(), &passed).map_err(OperatorError::input)?;
        let rows = in_order(&rows, self.time_column)?;
        self.count_in(&rows)
    }

    /// Puts rows, which are in order, into their windows.
    fn count_in(&mut self, rows: &RecordBatch) -> Result<(), OperatorError> {
        let hashes = self.hashes(rows)?;
        let columns = self.key_columns.iter().map(|i| rows.column(*i));
        let keys = KeyBatch::new(self.keys.types(), columns, rows.num_rows())?;
        self.keys.upsert_rows(&keys, 0..rows.num_rows(), &hashes, &mut self.ids)?;
        self.open.resize(self.keys.len(), None);
        self.cut_before_change()?;
        let mut slots = Vec::with_capacity(rows.num_rows());
        let mut next = self.state.groups();
        let mut fired = Vec::new();
        for (key, time) in self.ids.iter().zip(times(rows, self.time_column)?) {
            let place = &mut self.open[*key as usize];
            let window = match place {
                Some(window) => window,
                None => {
                    let slot = u32::try_from(next).map_err(OperatorError::input)?;
                    next += 1;
                    self.count += 1;
                    place.insert(Window { first: *time, last: *time, rows: 0, slot, number: 0 })
                }
            };
            (window.last, window.rows) = (*time, window.rows + 1);
            slots.push(window.slot);
            if window.rows == self.size {
                fired.extend(place.take().map(|window| (*key, window)));
            }
        }
        self.count -= fired.len();
        self.state.resize(next);
        self.state.update(&slots, rows)?;
        let keys = &self.keys;
        // Windows of one key that end at one time fire at one watermark, and stay in order by number.
        fired.sort_by_key(|(key, window)| (window.last, *key));
        for i in 1..fired.len() {
            let (key, before) = fired[i - 1];
            if fired[i].0 == key && fired[i].1.last == before.last {
                fired[i].1.number = before.number + 1;
            }
        }
        fired.sort_by(|(a, x), (b, y)| {
            (x.last, x.number).cmp(&(y.last, y.number)).then_with(|| keys.compare(*a, *b))
        });
        self.fired.extend(fired);
        Ok(())
    }

    /// The next at most `max_rows` results; `None` when all have left.
    pub(super) fn next(&mut self, max_rows: usize, layout: &Layout) -> Result<Option<Morsel>, OperatorError> {
        let rows = self.fired.len().min(max_rows.max(1));
        if rows == 0 {
            self.shrink(layout)?;
            return Ok(None);
        }
        let fired: Vec<(u32, Window)> = self.fired.drain(..rows).collect();
        let (keys, slots): (Vec<u32>, Vec<u32>) = fired.iter().map(|(key, w)| (*key, w.slot)).unzip();
        let parts: Vec<Part> =
            fired.iter().map(|(_, w)| Part { bounds: w.bounds(), rows: 1, number: w.number }).collect();
        self.results.append((&self.keys, &keys), (&self.state, &slots), layout, |row| parts[row].bounds)?;
        self.results.morsel(&parts, rows, layout).map(Some)
    }

    pub(super) fn has_output(&self) -> bool {
        !self.fired.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0 && self.fired.is_empty() && self.waiting.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        let open = self.open.capacity() * size_of::<Option<Window>>();
        self.keys.bytes() + self.state.bytes() + open + self.waiting.bytes() + self.cuts.bytes()
    }

    /// The open windows of the keys that `wanted` holds for, by key id.
    fn open_windows(&self, wanted: impl Fn(u32) -> bool) -> Vec<(u32, Window)> {
        let open = (0u32..).zip(&self.open).filter(|(key, _)| wanted(*key));
        open.filter_map(|(key, window)| Some((key, (*window)?))).collect()
    }

    /// Moves what is open into new columns, if most of the old ones is not used any more.
    fn shrink(&mut self, layout: &Layout) -> Result<(), OperatorError> {
        let dead = self.state.groups() - self.count;
        if dead < DEAD_MIN || dead < self.count {
            return Ok(());
        }
        self.cut_before_moving()?;
        let all = self.open_windows(|_| true);
        let (keys, slots): (Vec<u32>, Vec<u32>) = all.iter().map(|(key, w)| (*key, w.slot)).unzip();
        let hashes: Vec<u64> = keys.iter().map(|key| self.keys.hashes()[*key as usize]).collect();
        let (key_columns, state) = (self.keys.take(&keys)?, self.state.partial(&slots)?);
        self.keys = KeyIndex::new(&layout.key_types())?;
        self.state = Accumulators::new(&layout.aggregates)?;
        (self.open, self.count) = (Vec::new(), 0);
        self.insert(&key_columns, &hashes, all.into_iter().map(|(_, window)| window), &state)
    }

    /// Takes in open windows as they were, one a key.
    fn insert(
        &mut self,
        keys: &[ArrayRef],
        hashes: &[u64],
        windows: impl Iterator<Item = Window>,
        state: &[ArrayRef],
    ) -> Result<(), OperatorError> {
        let batch = KeyBatch::new(self.keys.types(), keys, hashes.len())?;
        self.keys.upsert_rows(&batch, 0..hashes.len(), hashes, &mut self.ids)?;
        self.open.resize(self.keys.len(), None);
        self.state.resize(self.state.groups() + hashes.len());
        let end = u32::try_from(self.state.groups()).map_err(OperatorError::input)?;
        let slots: Vec<u32> = (end - hashes.len() as u32..end).collect();
        for ((key, slot), window) in self.ids.iter().zip(&slots).zip(windows) {
            self.open[*key as usize] = Some(Window { slot: *slot, ..window });
            self.count += 1;
        }
        self.state.merge(&slots, state)?;
        Ok(())
    }

    fn group_of(&self, hash: u64) -> u16 {
        self.keying.group_of(&self.keys, hash)
    }

    fn group_of_key(&self, key: u32) -> u16 {
        self.group_of(self.keys.hashes()[key as usize])
    }

    /// The columns of windows in a snapshot.
    pub(super) fn snapshot_schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The open windows of these key groups, and the rows of these that wait.
    pub(super) fn snapshot(
        &self,
        range: KeyGroupRange,
    ) -> Result<(RecordBatch, Vec<RecordBatch>), OperatorError> {
        let windows = self.rows(self.open_windows(|key| range.contains(self.group_of_key(key))))?;
        let mut waiting = Vec::new();
        for rows in self.waiting.batches() {
            waiting.push(self.waiting_rows(rows, range)?);
        }
        Ok((windows, waiting))
    }

    /// Windows as rows of a snapshot, ascending by group.
    pub(super) fn rows(&self, mut all: Vec<(u32, Window)>) -> Result<RecordBatch, OperatorError> {
        all.sort_by_key(|(key, _)| self.group_of_key(*key));
        let (keys, slots): (Vec<u32>, Vec<u32>) = all.iter().map(|(key, w)| (*key, w.slot)).unzip();
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(all.iter().map(|(_, w)| w.first))),
            Arc::new(Int64Array::from_iter_values(all.iter().map(|(_, w)| w.last))),
            Arc::new(UInt64Array::from_iter_values(all.iter().map(|(_, w)| w.rows))),
            Arc::new(UInt16Array::from_iter_values(keys.iter().map(|key| self.group_of_key(*key)))),
        ];
        columns.extend(self.keys.take(&keys)?);
        columns.extend(self.state.partial(&slots)?);
        RecordBatch::try_new(self.schema.clone(), columns).map_err(OperatorError::input)
    }

    /// Rows that wait as those of a snapshot, ascending by group.
    pub(super) fn waiting_rows(
        &self,
        rows: &RecordBatch,
        range: KeyGroupRange,
    ) -> Result<RecordBatch, OperatorError> {
        let groups: Vec<u16> = self.hashes(rows)?.into_iter().map(|hash| self.group_of(hash)).collect();
        let mut order: Vec<u32> = (0..rows.num_rows() as u32).collect();
        order.retain(|row| range.contains(groups[*row as usize]));
        order.sort_by_key(|row| groups[*row as usize]);
        let groups: UInt16Array = order.iter().map(|row| groups[*row as usize]).collect::<Vec<_>>().into();
        let rows = take_record_batch(rows, &UInt32Array::from(order)).map_err(OperatorError::input)?;
        let mut columns = rows.columns().to_vec();
        columns.push(Arc::new(groups));
        RecordBatch::try_new(waiting_schema(rows.schema_ref()), columns).map_err(OperatorError::input)
    }

    /// Takes in rows of a snapshot as of a watermark, all of which are owned here. Of several cuts the newest comes first: of
    /// a key its first row counts, and of rows that wait those that the watermark has not passed.
    pub(super) fn restore(&mut self, batch: &RecordBatch, watermark: EventTime) -> Result<(), OperatorError> {
        if batch.column_by_name(ROWS).is_none() {
            let all: Vec<usize> = (0..batch.num_columns().saturating_sub(1)).collect();
            let rows = batch.project(&all).map_err(OperatorError::input)?;
            // Without its metadata, which is the snapshot's.
            let schema = Arc::new(Schema::new(rows.schema_ref().fields().clone()));
            let rows = RecordBatch::try_new(schema, rows.columns().to_vec());
            let rows = rows.map_err(OperatorError::input)?;
            return self.waiting.push_behind(&rows, self.passed(watermark));
        }
        let list = |schema: &Schema| {
            let name = |f: &Arc<Field>| format!("{} {}", f.name(), f.data_type());
            schema.fields().iter().map(name).collect::<Vec<_>>().join(", ")
        };
        let (got, expected) = (list(batch.schema_ref()), list(&self.schema));
        if got != expected || batch.columns().iter().take(4).any(|c| c.null_count() > 0) {
            return Err(StateError::Schema { got, expected }.into());
        }
        let columns = batch.columns();
        let rows = columns[2].as_primitive::<UInt64Type>().values();
        let hashes = self.keying.hashes_of(&self.keys, batch, 3)?;
        let types = self.keys.types();
        let known = self.keys.len();
        let keys = KeyBatch::new(types, &columns[4..4 + types.len()], batch.num_rows())?;
        self.keys.upsert_rows(&keys, 0..batch.num_rows(), &hashes, &mut self.ids)?;
        self.open.resize(self.keys.len(), None);
        let is_open = |(key, rows): (&u32, &u64)| Some(*key as usize >= known && *rows > 0);
        let open: BooleanArray = self.ids.iter().zip(rows).map(is_open).collect();
        let hashes: Vec<u64> = open.values().set_indices().map(|row| hashes[row]).collect();
        let rest = filter_record_batch(batch, &open).map_err(OperatorError::input)?;
        let columns = rest.columns();
        let times = |i: usize| columns[i].as_primitive::<Int64Type>().values();
        let rows = columns[2].as_primitive::<UInt64Type>().values();
        let windows = times(0).iter().zip(times(1)).zip(rows).map(|((first, last), rows)| Window {
            first: *first,
            last: *last,
            rows: *rows,
            slot: 0,
            number: 0,
        });
        let (keys, state) = columns[4..].split_at(self.keys.types().len());
        self.insert(keys, &hashes, windows, state)
    }
}

fn times(rows: &RecordBatch, column: usize) -> Result<&[i64], OperatorError> {
    let times = rows.columns().get(column).and_then(|times| times.as_primitive_opt::<Int64Type>());
    times.map(|times| times.values().as_ref()).ok_or_else(|| OperatorError::input("rows without their time"))
}

/// The columns of rows that wait in a snapshot.
pub(super) fn waiting_schema(rows: &Schema) -> SchemaRef {
    let group = Arc::new(Field::new(GROUP, DataType::UInt16, false));
    Arc::new(Schema::new(rows.fields().iter().cloned().chain([group]).collect::<Vec<_>>()))
}

/// The rows in the order in which they are counted.
fn in_order(rows: &RecordBatch, time_column: usize) -> Result<RecordBatch, OperatorError> {
    let schema = rows.schema();
    let place = |name: &str| schema.index_of(name).ok();
    let mut order = vec![time_column];
    order.extend([hidden::PARTITION, hidden::ROW, hidden::KEY].into_iter().filter_map(place));
    let rest = (0..rows.num_columns()).filter(|column| !order.contains(column)).collect::<Vec<_>>();
    order.extend(rest);
    let fields = order.iter().map(|i| SortField::new(rows.column(*i).data_type().clone())).collect();
    let columns: Vec<ArrayRef> = order.iter().map(|i| rows.column(*i).clone()).collect();
    let converter = RowConverter::new(fields).map_err(OperatorError::input)?;
    let keys = converter.convert_columns(&columns).map_err(OperatorError::input)?;
    let count = u32::try_from(rows.num_rows()).map_err(OperatorError::input)?;
    let mut ids: Vec<u32> = (0..count).collect();
    ids.sort_unstable_by(|a, b| keys.row(*a as usize).cmp(&keys.row(*b as usize)));
    take_record_batch(rows, &UInt32Array::from(ids)).map_err(OperatorError::input)
}
