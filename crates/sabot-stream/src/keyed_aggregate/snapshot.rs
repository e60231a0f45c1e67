//! State out and in: one batch a pane, or one of all sessions; rows contiguous by key group, the watermark
//! with each.

use arrow::array::{AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Field, Int64Type, Schema, UInt16Type};
use sabot_batch::hidden;
use sabot_common::{EventTime, KeyGroupRange};
use sabot_state::{FIRST, GROUP, PART, ROWS};
use std::collections::HashMap;
use std::sync::Arc;

use super::KeyedAggregate;
use super::input::runs;
use super::layout::GLOBAL;
use super::panes::{Panes, Table};
use crate::{KeptRows, OperatorError};

/// Rows for which a restore makes room at most: what a snapshot says of their number is not checked.
const RESERVED_MAX: usize = 1 << 26;

/// The key of the schema's metadata under which the watermark stands, in µs.
pub(super) const WATERMARK: &str = "sabot.watermark";

impl KeyedAggregate {
    /// The state of these key groups: the slice's start (GLOBAL's least int64 without windows), then the
    /// columns of [`KeyedTable::snapshot`](sabot_state::KeyedTable::snapshot); of sessions the times of
    /// first and last row come first. There is at least one batch, though it may be empty: the watermark
    /// is part of the state.
    ///
    /// # Errors
    /// [`OperatorError::Order`] while results or late rows have not been taken, because they are in no
    /// state; [`OperatorError::State`] when a column cannot be built.
    pub fn snapshot(&self, range: KeyGroupRange) -> Result<Vec<RecordBatch>, OperatorError> {
        self.check_taken()?;
        let stamped = |(part, batch): (&str, RecordBatch)| {
            let watermark = (WATERMARK.to_owned(), self.watermark.micros().to_string());
            let part = (PART.to_owned(), part.to_owned());
            let schema = Schema::clone(batch.schema_ref()).with_metadata(HashMap::from([watermark, part]));
            batch.with_schema(Arc::new(schema)).map_err(OperatorError::input)
        };
        self.store.snapshot(range)?.into_iter().map(stamped).collect()
    }

    pub(super) fn check_taken(&self) -> Result<(), OperatorError> {
        let has_output = self.store.has_output(&self.layout, self.watermark, self.fires_all);
        OperatorError::check_taken(!has_output && self.late.is_empty())
    }

    /// The kinds of rows that a snapshot may have. Of windows by count also rows that wait, which have the columns of
    /// the input.
    pub fn kept(&self) -> Vec<KeptRows> {
        // The tables were made once, so they can be made again.
        self.store.kept().unwrap_or_default()
    }

    /// Takes in state before any input: the rows of `snapshots` whose key groups are owned here, whatever
    /// tasks and however many they were taken from, and the watermark. Rows of other groups are skipped;
    /// they are other tasks' to take. It may be called again with others of the same epoch.
    ///
    /// # Errors
    /// [`OperatorError::Epochs`] when watermarks differ, [`OperatorError::State`] when a snapshot is of
    /// another operator.
    pub fn restore(&mut self, snapshots: &[RecordBatch]) -> Result<(), OperatorError> {
        for batch in snapshots {
            let watermark = watermark_of(batch)?;
            let fresh = !self.restored && self.watermark == EventTime::MIN && self.store.is_empty();
            self.restored = true;
            if !fresh && watermark != self.watermark {
                return Err(OperatorError::Epochs { first: self.watermark, other: watermark });
            }
            self.watermark = watermark;
            let groups = batch.column_by_name(GROUP).and_then(|c| c.as_primitive_opt::<UInt16Type>());
            let groups = groups.ok_or_else(unknown)?.values();
            if groups.iter().all(|group| self.owned.contains(*group)) {
                self.store.restore(batch, watermark, self.owned.len())?;
                continue;
            }
            let owned: BooleanArray = groups.iter().map(|g| Some(self.owned.contains(*g))).collect();
            let batch = filter_record_batch(batch, &owned).map_err(OperatorError::input)?;
            self.store.restore(&batch, watermark, self.owned.len())?;
        }
        Ok(())
    }
}

impl Panes {
    /// The columns of a snapshot.
    pub(super) fn snapshot_schema(&self) -> Result<Schema, OperatorError> {
        Ok(schema_with_slice(self.empty_table()?.snapshot_schema()))
    }

    /// The state of these key groups, a batch a pane; at least one, though it may be empty.
    pub(super) fn snapshot(&self, range: KeyGroupRange) -> Result<Vec<RecordBatch>, OperatorError> {
        let mut batches = Vec::new();
        for (start, table) in self.iter() {
            let rows = table.snapshot(range)?;
            if rows.num_rows() > 0 {
                batches.push(with_slice(start, &rows)?);
            }
        }
        if batches.is_empty() {
            batches.push(with_slice(GLOBAL, &self.empty_table()?.snapshot(range)?)?);
        }
        Ok(batches)
    }

    /// Takes in rows of a snapshot, of which `groups` key groups are owned here.
    pub(super) fn restore(&mut self, batch: &RecordBatch, groups: usize) -> Result<(), OperatorError> {
        let starts = batch.column(0).as_primitive_opt::<Int64Type>().ok_or_else(unknown)?;
        // Panes before it had gone when the newest of several cuts was made.
        let first = batch.schema_ref().metadata().get(FIRST).and_then(|first| first.parse().ok());
        let rest: Vec<usize> = (1..batch.num_columns()).collect();
        let rows = batch.project(&rest).map_err(OperatorError::input)?;
        for (start, run) in runs(Some(starts.values()), rows.num_rows()) {
            if first.is_some_and(|first: i64| start < first) {
                continue;
            }
            let table: &mut Table = self.at(start)?;
            if table.is_empty() {
                table.reserve(rows_a_group(batch, start).saturating_mul(groups).min(RESERVED_MAX))?;
            }
            table.restore(&rows.slice(run.start, run.len()))?;
        }
        Ok(())
    }
}

/// How many rows a key group of a pane has, where the snapshot says so.
fn rows_a_group(batch: &RecordBatch, start: i64) -> usize {
    let all = batch.schema_ref().metadata().get(ROWS).map_or("", String::as_str);
    let mut panes = all.split(',').filter_map(|pane| pane.split_once(':'));
    let found = panes.find(|(of, _)| of.parse() == Ok(start));
    found.and_then(|(_, rows)| rows.parse().ok()).unwrap_or(0)
}

/// The columns of a snapshot, given those of a table.
pub(super) fn schema_with_slice(rows: &Schema) -> Schema {
    let mut fields = vec![Arc::new(Field::new(hidden::WINDOW, arrow::datatypes::DataType::Int64, false))];
    fields.extend(rows.fields().iter().cloned());
    Schema::new(fields)
}

fn with_slice(start: i64, rows: &RecordBatch) -> Result<RecordBatch, OperatorError> {
    let mut columns: Vec<arrow::array::ArrayRef> =
        vec![Arc::new(Int64Array::from(vec![start; rows.num_rows()]))];
    columns.extend_from_slice(rows.columns());
    let schema = schema_with_slice(rows.schema_ref());
    RecordBatch::try_new(Arc::new(schema), columns).map_err(OperatorError::input)
}

fn unknown() -> OperatorError {
    OperatorError::input("a snapshot has no window or key group column")
}

fn watermark_of(batch: &RecordBatch) -> Result<EventTime, OperatorError> {
    let text = batch.schema_ref().metadata().get(WATERMARK);
    let micros = text.and_then(|text| text.parse().ok());
    micros.map(EventTime).ok_or_else(|| OperatorError::input("a snapshot without its watermark"))
}
