//! State out as cuts: what has changed since the one before, pane by pane, while rows go on coming in.

use arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Schema, SchemaRef};
use sabot_common::Epoch;
use sabot_state::{FIRST, KEY_COLUMNS, Needed, PART, ROWS, Sweep};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::KeyedAggregate;
use super::panes::{Pane, Panes};
use super::snapshot::{WATERMARK, schema_with_slice};
use super::store::{GROUPS, Store};
use crate::{CutPart, OperatorError};

/// Rows of a batch of what is set aside: blocks are made of whole batches.
const ASIDE_ROWS: usize = 1 << 14;

/// Rows of a pane for which a restore makes room before they come.
const MANY: usize = 1 << 16;

/// The cuts of panes.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    /// The epoch of the last one.
    last: Option<Epoch>,
    sweep: Sweep,
    /// Panes that have still something to give, by start.
    due: VecDeque<i64>,
    /// What panes had to give that are gone.
    aside: Vec<RecordBatch>,
    /// Of the rows, from the first cut on.
    schema: Option<SchemaRef>,
    /// Of the last one, until it has ended.
    head: Option<RecordBatch>,
}

impl KeyedAggregate {
    /// Begins a cut, as [`KeyedOperator::begin_cut`](crate::KeyedOperator::begin_cut) has it.
    ///
    /// # Errors
    /// As [`KeyedAggregate::snapshot`].
    pub fn begin_cut(&mut self, epoch: Epoch, stored: Option<Epoch>) -> Result<(), OperatorError> {
        self.check_taken()?;
        match &mut self.store {
            Store::Panes(store) => {
                let (watermark, groups) = (self.watermark.micros(), self.owned.len());
                store.panes.begin_cut(epoch, stored, (watermark, groups))
            }
            Store::Sessions(sessions) => sessions.begin_cut(epoch, stored, self.watermark),
            Store::Counts(counts) => counts.begin_cut(epoch, stored, self.watermark),
        }
    }

    /// The next part of a cut that has begun.
    ///
    /// # Errors
    /// [`OperatorError::Order`] when none has, [`OperatorError::State`] when a column cannot be built.
    pub fn next_of_cut(&mut self, rows: usize) -> Result<CutPart, OperatorError> {
        match &mut self.store {
            Store::Panes(store) => store.panes.next_of_cut(rows),
            Store::Sessions(sessions) => sessions.next_of_cut(rows),
            Store::Counts(counts) => counts.next_of_cut(rows, self.owned),
        }
    }
}

impl Panes {
    fn begin_cut(
        &mut self,
        epoch: Epoch,
        stored: Option<Epoch>,
        (watermark, groups): (i64, usize),
    ) -> Result<(), OperatorError> {
        let schema = match self.cuts.schema.take() {
            Some(schema) => schema,
            None => self.cut_schema()?,
        };
        let mut metadata = schema.metadata().clone();
        metadata.insert(WATERMARK.to_owned(), watermark.to_string());
        metadata.insert(FIRST.to_owned(), self.first().unwrap_or(i64::MAX).to_string());
        let rows = self.iter().filter(|(_, table)| table.len() >= MANY);
        let rows = rows.map(|(start, table)| format!("{start}:{}", table.len().div_ceil(groups.max(1))));
        metadata.insert(ROWS.to_owned(), rows.collect::<Vec<_>>().join(","));
        let head = Schema::clone(&schema).with_metadata(metadata);

        let mut cuts = std::mem::take(&mut self.cuts);
        let is_next = cuts.last.is_some() && cuts.last == stored;
        let panes = self.all();
        let mut stretch = match is_next {
            false => cuts.sweep.begin_whole(epoch),
            true => {
                let changed = panes.values_mut().map(|pane| pane.table.changed()).sum();
                let rows = panes.values().map(|pane| pane.table.len()).sum();
                cuts.sweep.begin(epoch, changed, rows)
            }
        };
        panes.iter_mut().for_each(|(start, pane)| pane.table.begin_cut(*start, &mut stretch));
        cuts.sweep.end(stretch);
        let due = panes.iter().filter(|(_, pane)| !pane.table.cut_is_given()).map(|(start, _)| *start);
        self.cuts = Cuts {
            last: Some(epoch),
            sweep: cuts.sweep,
            due: due.collect(),
            aside: Vec::new(),
            schema: Some(schema),
            head: Some(RecordBatch::new_empty(Arc::new(head))),
        };
        Ok(())
    }

    fn next_of_cut(&mut self, max: usize) -> Result<CutPart, OperatorError> {
        let mut cuts = std::mem::take(&mut self.cuts);
        let part = cuts.next(self, max);
        self.cuts = cuts;
        part
    }

    /// The columns of rows of cuts.
    fn cut_schema(&self) -> Result<SchemaRef, OperatorError> {
        let table = self.empty_table()?;
        // The slice, the group, the keys.
        let keys = 2 + table.keys().types().len();
        let metadata = [(PART.to_owned(), GROUPS.to_owned()), (KEY_COLUMNS.to_owned(), keys.to_string())];
        Ok(Arc::new(schema_with_slice(table.snapshot_schema()).with_metadata(HashMap::from(metadata))))
    }
}

impl Cuts {
    fn next(&mut self, panes: &mut Panes, max: usize) -> Result<CutPart, OperatorError> {
        let (mut given, mut rows) = (Vec::new(), 0);
        while rows < max
            && let Some(batch) = self.aside.pop()
        {
            rows += batch.num_rows();
            given.push(batch);
        }
        while rows < max
            && let Some(start) = self.due.front().copied()
        {
            let Some(pane) = panes.all().get_mut(&start) else {
                self.due.pop_front();
                continue;
            };
            let aside = pane.table.take_aside();
            let next = pane.table.next_of_cut(max - rows)?;
            for batch in aside.into_iter().chain(next) {
                rows += batch.num_rows();
                given.push(self.with_start(start, &batch)?);
            }
            if pane.table.cut_is_given() {
                self.due.pop_front();
            }
            panes.recount(start);
        }
        if !given.is_empty() {
            return Ok(CutPart::Rows(given));
        }
        let head = vec![self.head.take().ok_or_else(OperatorError::no_cut)?];
        Ok(CutPart::End { head, needed: Needed::Since(self.sweep.since()) })
    }

    /// Sets aside what a pane has still to give, which is about to go.
    pub(super) fn set_aside(&mut self, pane: &mut Pane) -> Result<(), OperatorError> {
        if pane.table.cut_is_given() {
            return Ok(());
        }
        for rows in pane.table.take_aside() {
            self.aside.push(self.with_start(pane.start, &rows)?);
        }
        while let Some(rows) = pane.table.next_of_cut(ASIDE_ROWS)? {
            self.aside.push(self.with_start(pane.start, &rows)?);
        }
        Ok(())
    }

    /// Bytes of rows that wait to be given.
    pub(super) fn bytes(&self) -> usize {
        self.aside.iter().map(RecordBatch::get_array_memory_size).sum()
    }

    fn with_start(&self, start: i64, rows: &RecordBatch) -> Result<RecordBatch, OperatorError> {
        let schema = self.schema.clone().ok_or_else(OperatorError::no_cut)?;
        let starts: ArrayRef = Arc::new(Int64Array::from(vec![start; rows.num_rows()]));
        let columns = std::iter::once(starts).chain(rows.columns().iter().cloned()).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        RecordBatch::try_new_with_options(schema, columns, &options).map_err(OperatorError::input)
    }
}
