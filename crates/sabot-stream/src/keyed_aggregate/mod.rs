//! Aggregation by key and window: partial state in, results out when the watermark says so.
//!
//! The invariants:
//! - A pane fires once: when the watermark reaches its end − 1 + allowed lateness, or when a drained
//!   input ends. Rows that come for it afterwards are counted as late and never merged.
//! - The result depends on the rows and on where watermarks stood among them, never on how rows were cut
//!   into morsels, on how many tasks share the keys, or on a snapshot and restore in between.
//! - What has come out lies in front of the output watermark, and nothing behind it will come.

#[cfg(test)]
mod families;
mod firing;
mod input;
mod layout;
mod panes;
mod snapshot;
#[cfg(test)]
mod tests;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Int64Type, SchemaRef};
use sabot_batch::key_index::KeyBatch;
use sabot_batch::{Morsel, RowKind};
use sabot_common::{EventTime, KeyGroupRange, KeyGroups};
use sabot_cpu::group_by::GroupByStep;
use sabot_ops::GroupBySpec;
use sabot_plan::{AggregateStage, KeyedInput};
use sabot_time::output_watermark;

use crate::OperatorError;
use firing::Firing;
use layout::{GLOBAL, Layout};
use panes::Panes;

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
    ended: bool,
    panes: Panes,
    firing: Firing,
    late_rows: u64,
    late: Vec<Morsel>,
    ids: Vec<u32>,
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
        let panes = Panes::new(layout.key_fields.clone(), layout.aggregates.clone(), key_groups);
        let firing = Firing::new(&layout, &panes.empty_table()?)?;
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
            ended: false,
            panes,
            firing,
            late_rows: 0,
            late: Vec::new(),
            ids: Vec::new(),
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
        let partial = match self.input {
            Input::Partial => {
                Layout::check(&self.layout.partial, batch.schema_ref())?;
                batch
            }
            Input::Raw { .. } => self.pre_aggregate(batch)?,
        };
        input::check_owned(&partial, &self.layout, self.key_groups, self.owned)?;
        let late =
            input::merge_partial(&partial, &self.layout, &mut self.panes, self.watermark, &mut self.ids)?;
        self.late_rows += late;
        Ok(())
    }

    /// Takes in a watermark and fires what it closes, in order of window end. Returns the watermark to
    /// hand on once all output is taken; neither ever goes back.
    ///
    /// # Errors
    /// [`OperatorError::Order`] after the end of the input.
    pub fn on_watermark(&mut self, watermark: EventTime) -> Result<EventTime, OperatorError> {
        if self.ended {
            return Err(OperatorError::Order { step: "a watermark", when: "after the end of the input" });
        }
        self.watermark = self.watermark.max(watermark);
        while let Some(pane) = self.panes.pop_first(|start| self.layout.is_closed(start, self.watermark)) {
            self.firing.push(pane);
        }
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
        if whole && first_task && self.panes.is_empty() {
            let nothing = KeyBatch::new(&[], [], 1)?;
            self.panes.at(GLOBAL)?.upsert(&nothing, 0..1, &[0], &mut self.ids)?;
        }
        while let Some(pane) = self.panes.pop_first(|_| true) {
            self.firing.push(pane);
        }
        Ok(())
    }

    /// The next results, at most `max_rows` of them (0 counts as 1); `None` when all have left. Windows
    /// come in order of their end, keys within a window in their total order: numbers by value with NaN
    /// greatest, strings bytewise, null last. A morsel may hold several windows.
    pub fn next_output(&mut self, max_rows: usize) -> Option<Result<Morsel, OperatorError>> {
        self.firing.next(max_rows, &self.layout, &mut self.panes).transpose()
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
        self.panes.bytes() + self.firing.bytes() + late
    }

    /// The watermark that was last taken in.
    pub fn watermark(&self) -> EventTime {
        self.watermark
    }

    /// Sets rows of fired windows aside and makes partial state of the others.
    fn pre_aggregate(&mut self, batch: RecordBatch) -> Result<RecordBatch, OperatorError> {
        let Input::Raw { spec, step, late } = &mut self.input else { return Ok(batch) };
        let step = match step {
            Some(step) => step,
            None => step.insert(Box::new(GroupByStep::new(spec, &batch.schema())?)),
        };
        Layout::check(&self.layout.partial, step.output())?;
        // Rows are keyed by the columns of the spec, partial state by its own first columns.
        let window = self.layout.window_column.map(|position| spec.keys[position]);
        let Some(open) = open_rows(&batch, window, &self.layout, self.watermark)? else {
            return Ok(step.run(&batch)?);
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
        let rest = filter_record_batch(&batch, &open).map_err(OperatorError::input)?;
        Ok(step.run(&rest)?)
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

fn check_inserts(morsel: &Morsel) -> Result<(), OperatorError> {
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
