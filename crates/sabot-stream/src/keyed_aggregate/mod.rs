//! Aggregation by key and window: partial state in, results out when the watermark says so.
//!
//! The invariants:
//! - A window fires once: when the watermark reaches its end − 1 + allowed lateness, or when a drained
//!   input ends. It has a row for each key that a row in it has.
//! - Rows that come for a slice after all its windows have fired are counted as late and never merged.
//!   Before that they count in those of its windows that have not fired; where every partition keeps up
//!   its watermark these are all.
//! - The result depends on the rows and on where watermarks stood among them, never on how rows were cut
//!   into morsels, on how many tasks share the keys, or on a snapshot and restore in between.
//! - What has come out lies in front of the output watermark, and nothing behind it will come.

mod combine;
mod count_cuts;
mod counts;
mod cut;
#[cfg(test)]
mod families;
mod firing;
mod input;
mod layout;
mod panes;
mod results;
mod session_cuts;
mod sessions;
mod snapshot;
mod store;
#[cfg(test)]
mod tests;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Int64Type, SchemaRef, UInt64Type};
use sabot_batch::{Morsel, RowKind};
use sabot_common::{EventTime, KeyGroupRange, KeyGroups};
use sabot_cpu::group_by::GroupByStep;
use sabot_ops::GroupBySpec;
use sabot_plan::{AggregateStage, KeyedInput};
use sabot_time::output_watermark;

use crate::OperatorError;
use layout::Layout;
use store::Store;

/// The apply half of a group-by: one task's share of the keys.
///
/// After each step that can fire something ([`on_watermark`](Self::on_watermark),
/// [`on_end`](Self::on_end)) ask for [`next_output`](Self::next_output) until there is none, and only
/// then hand the output watermark on. Late rows wait in [`take_late`](Self::take_late).
#[derive(Debug)]
pub struct KeyedAggregate {
    layout: Layout,
    input: Input,
    key_groups: KeyGroups,
    owned: KeyGroupRange,
    watermark: EventTime,
    /// The watermark is that of a snapshot.
    restored: bool,
    ended: bool,
    /// The input has ended and is complete.
    fires_all: bool,
    store: Store,
    late_rows: u64,
    late: Vec<Morsel>,
}

/// What comes in.
#[derive(Debug)]
enum Input {
    /// Partial state.
    Partial,
    /// Rows; the step is made for the schema of the first morsel.
    Raw { spec: GroupBySpec, step: Option<Box<GroupByStep>>, late: Option<LateForm> },
}

/// How late rows look when something reads them.
#[derive(Debug)]
struct LateForm {
    schema: SchemaRef,
    columns: Vec<usize>,
}

impl KeyedAggregate {
    /// An operator without state, for one task of the stage: the owner of `owned`. `output` is the
    /// stage's output schema.
    ///
    /// # Errors
    /// [`OperatorError::Plan`] when stage and output do not fit each other.
    pub fn new(
        stage: &AggregateStage,
        output: &SchemaRef,
        key_groups: KeyGroups,
        owned: KeyGroupRange,
    ) -> Result<Self, OperatorError> {
        let layout = Layout::new(stage, output)?;
        let store = Store::new(&layout, &stage.partial, key_groups)?;
        let late = stage.late.clone().map(|schema| LateForm { schema, columns: stage.late_columns.clone() });
        let input = match stage.input {
            KeyedInput::Partial => Input::Partial,
            KeyedInput::Raw => Input::Raw { spec: stage.partial.clone(), step: None, late },
        };
        Ok(Self {
            layout,
            input,
            key_groups,
            owned,
            watermark: EventTime::MIN,
            restored: false,
            ended: false,
            fires_all: false,
            store,
            late_rows: 0,
            late: Vec::new(),
        })
    }

    /// Takes in a morsel of partial state or of rows, as planned. Rows of windows that have fired are
    /// counted as late; raw ones are kept for [`take_late`](Self::take_late) where the plan asks for them.
    ///
    /// # Errors
    /// [`OperatorError`] when the morsel is not what was planned: another schema, rows that are no
    /// inserts or that another task owns, anything after the end.
    pub fn on_morsel(&mut self, morsel: Morsel) -> Result<(), OperatorError> {
        if self.ended {
            return Err(OperatorError::Order { step: "a morsel", when: "after the end of the input" });
        }
        check_inserts(&morsel)?;
        let batch = morsel.into_dense_host()?;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let batch = self.open_rows(batch)?;
        if let Store::Counts(counts) = &mut self.store {
            let hashes = counts.push(batch)?;
            return input::check_owned(&hashes, &self.layout, self.key_groups, self.owned);
        }
        let partial = match &mut self.input {
            Input::Raw { step: Some(step), .. } => step.run(&batch)?,
            _ => batch,
        };
        let hashes = partial.column(self.layout.hash_column).as_primitive::<UInt64Type>().values();
        input::check_owned(hashes, &self.layout, self.key_groups, self.owned)?;
        self.late_rows += self.store.merge(&partial, &self.layout, self.watermark)?;
        Ok(())
    }

    /// Takes in a watermark and lets what it closes fire, in order of window end. Returns the watermark to
    /// hand on once all output is taken; neither ever goes back.
    ///
    /// # Errors
    /// [`OperatorError::Order`] after the end of the input.
    pub fn on_watermark(&mut self, watermark: EventTime) -> Result<EventTime, OperatorError> {
        if self.ended {
            return Err(OperatorError::Order { step: "a watermark", when: "after the end of the input" });
        }
        self.watermark = self.watermark.max(watermark);
        self.store.pass(self.watermark)?;
        Ok(output_watermark(self.watermark, self.layout.allowed_lateness()))
    }

    /// Ends the input. `drain` fires everything that is open: without windows that is the one result,
    /// which an aggregation without keys has even over no rows (counts are 0, all else is null), in the
    /// first task. Otherwise nothing fires, and the state stays to be snapshot.
    ///
    /// # Errors
    /// [`OperatorError::Order`] when it has ended before.
    pub fn on_end(&mut self, drain: bool) -> Result<(), OperatorError> {
        if self.ended {
            return Err(OperatorError::Order { step: "an end", when: "after the end of the input" });
        }
        self.ended = true;
        if !drain {
            return Ok(());
        }
        let first_task = self.owned.start == 0 && !self.owned.is_empty();
        let whole = self.layout.window.is_none() && self.layout.key_columns.is_empty();
        if whole && first_task {
            self.store.ensure_whole()?;
        }
        self.store.pass(EventTime::MAX)?;
        self.fires_all = true;
        Ok(())
    }

    /// The next results, at most `max_rows` of them (0 counts as 1); `None` when all have left. Windows
    /// come in order of their end, keys with windows of one end in their total order: numbers by value with NaN
    /// greatest, strings bytewise, null last. A morsel may hold several windows.
    pub fn next_output(&mut self, max_rows: usize) -> Option<Result<Morsel, OperatorError>> {
        self.store.next_output(max_rows, &self.layout, self.watermark, self.fires_all).transpose()
    }

    /// Rows that came too late since this operator was made: raw rows, or rows of partial state.
    pub fn late_rows(&self) -> u64 {
        self.late_rows
    }

    /// The raw rows that came too late since the last call, in order of arrival, where the plan asks for
    /// them.
    pub fn take_late(&mut self) -> Vec<Morsel> {
        std::mem::take(&mut self.late)
    }

    /// Bytes allocated for state, open or on its way out.
    pub fn state_bytes(&self) -> usize {
        let late: usize = self.late.iter().map(Morsel::bytes).sum();
        self.store.bytes() + late
    }

    /// The watermark that was last taken in.
    pub fn watermark(&self) -> EventTime {
        self.watermark
    }

    /// Checks what came in, and sets raw rows of fired windows aside; gives the others.
    fn open_rows(&mut self, batch: RecordBatch) -> Result<RecordBatch, OperatorError> {
        let Input::Raw { spec, step, late } = &mut self.input else {
            Layout::check(&self.layout.partial, batch.schema_ref())?;
            return Ok(batch);
        };
        let step = match step {
            Some(step) => step,
            None => step.insert(Box::new(GroupByStep::new(spec, &batch.schema())?)),
        };
        Layout::check(&self.layout.partial, step.output())?;
        // Rows are keyed by the columns of the spec, partial state by its own first columns.
        let window = self.layout.window_column.map(|position| spec.keys[position]);
        let Some(open) = open_rows(&batch, window, &self.layout, self.watermark)? else {
            return Ok(batch);
        };
        let closed = BooleanArray::new(!open.values(), None);
        self.late_rows += closed.true_count() as u64;
        if let Some(form) = late {
            let rows = filter_record_batch(&batch, &closed).map_err(OperatorError::input)?;
            let columns = form.columns.iter().map(|i| rows.columns().get(*i).cloned());
            let columns = columns.collect::<Option<Vec<_>>>();
            let columns = columns.ok_or_else(|| OperatorError::plan("a late row's column is not there"))?;
            let rows = RecordBatch::try_new(form.schema.clone(), columns).map_err(OperatorError::plan)?;
            self.late.push(Morsel::new(rows));
        }
        filter_record_batch(&batch, &open).map_err(OperatorError::input)
    }
}

/// Which rows belong to windows that have not fired; `None` when all do.
fn open_rows(
    batch: &RecordBatch,
    window: Option<usize>,
    layout: &Layout,
    watermark: EventTime,
) -> Result<Option<BooleanArray>, OperatorError> {
    let Some(column) = window else { return Ok(None) };
    let starts = batch.columns().get(column).and_then(|c| c.as_primitive_opt::<Int64Type>());
    let starts = starts.ok_or_else(|| OperatorError::input("the window of the rows is not int64"))?;
    let mut open: Option<Vec<bool>> = None;
    for (start, rows) in input::runs(Some(starts.values()), batch.num_rows()) {
        if layout.is_closed(start, watermark) {
            open.get_or_insert_with(|| vec![true; starts.len()])[rows].fill(false);
        }
    }
    Ok(open.map(|open| BooleanArray::new(BooleanBuffer::from(open), None)))
}

/// Refuses rows that are alive and no inserts.
pub(crate) fn check_inserts(morsel: &Morsel) -> Result<(), OperatorError> {
    if morsel.kinds().is_append_only() {
        return Ok(());
    }
    // Rows that are not alive may be of any kind.
    let alive = |i: &usize| morsel.selection().is_none_or(|s| s.contains(*i));
    let kinds = (0..morsel.rows()).filter(alive).filter_map(|i| morsel.kinds().get(i));
    match kinds.into_iter().find(|kind| *kind != RowKind::Insert) {
        Some(kind) => Err(OperatorError::NotInsert { kind: kind.symbol() }),
        None => Ok(()),
    }
}
