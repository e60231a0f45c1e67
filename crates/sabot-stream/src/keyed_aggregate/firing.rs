//! Panes that have fired, on their way out in morsels of bounded size.
//!
//! Panes leave in order of their end and keys in their total order within a pane. Small panes share a
//! morsel and a large one is cut; the cursor remembers where.

use arrow::array::TimestampMicrosecondArray;
use arrow::array::{
    ArrayRef, BinaryArray, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array, UInt64Array,
};
use arrow::compute::SortOptions;
use arrow::row::{RowConverter, SortField};
use arrow::util::display::array_value_to_string;
use sabot_batch::key_index::KeyBuilder;
use sabot_batch::{Morsel, TimeBounds, hidden};
use sabot_common::EventTime;
use sabot_cpu::group_by::{AccumulateError, AggregateBuilder};
use std::collections::VecDeque;
use std::sync::Arc;

use super::layout::{Layout, OutputColumn};
use super::panes::{Pane, Panes, Table};
use crate::OperatorError;

/// Bits of the hidden partition ordinal that count partitions within a source.
const PARTITION_BITS: u32 = 20;

/// A pane whose rows have not all left.
#[derive(Debug)]
struct Fired {
    pane: Pane,
    /// Its ids in the order of their keys; filled when its turn comes.
    order: Vec<u32>,
    next: usize,
}

/// All panes whose rows have not all left, and where the next row stands.
#[derive(Debug)]
pub(super) struct Firing {
    queue: VecDeque<Fired>,
    /// An ordering vector to use again.
    spare: Vec<u32>,
    keys: KeyBuilder,
    results: AggregateBuilder,
    converter: Option<RowConverter>,
}

/// The rows of one output morsel that come from one pane.
struct Part {
    start: i64,
    end: i64,
    rows: usize,
}

impl Firing {
    pub(super) fn new(layout: &Layout, table: &Table) -> Result<Self, OperatorError> {
        let wants_key = layout.columns.contains(&OutputColumn::Hidden(hidden::KEY));
        let options = SortOptions { descending: false, nulls_first: false };
        let fields =
            layout.key_types().into_iter().map(|t| SortField::new_with_options(t, options)).collect();
        let converter = match wants_key && !layout.key_fields.is_empty() {
            true => Some(RowConverter::new(fields).map_err(OperatorError::plan)?),
            false => None,
        };
        Ok(Self {
            queue: VecDeque::new(),
            spare: Vec::new(),
            keys: KeyBuilder::new(&layout.key_types())?,
            results: table.state().0.result_builder()?,
            converter,
        })
    }

    /// Lets a pane fire; panes must come in order of their end.
    pub(super) fn push(&mut self, pane: Pane) {
        self.queue.push_back(Fired { pane, order: Vec::new(), next: 0 });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.queue.iter().map(|f| f.pane.table.bytes() + f.order.capacity() * size_of::<u32>()).sum()
    }

    /// The next at most `max_rows` rows; `None` when all have left. Tables go back to `panes`.
    pub(super) fn next(
        &mut self,
        max_rows: usize,
        layout: &Layout,
        panes: &mut Panes,
    ) -> Result<Option<Morsel>, OperatorError> {
        let max_rows = max_rows.max(1);
        let (mut parts, mut rows) = (Vec::new(), 0);
        while rows < max_rows
            && let Some(fired) = self.queue.front_mut()
        {
            if fired.next == 0 {
                std::mem::swap(&mut fired.order, &mut self.spare);
                fired.pane.table.keys().sorted_ids(&mut fired.order);
            }
            let end = fired.order.len().min(fired.next + (max_rows - rows));
            let ids = &fired.order[fired.next..end];
            let table = &fired.pane.table;
            self.keys.append(table.keys(), ids)?;
            let appended = table.state().0.append_results(ids, &mut self.results);
            appended.map_err(|e| name_the_group(e, ids, &fired.pane, layout))?;
            let start = fired.pane.start;
            parts.push(Part { start, end: layout.end_of(start), rows: ids.len() });
            rows += ids.len();
            fired.next = end;
            if end == fired.order.len()
                && let Some(done) = self.queue.pop_front()
            {
                self.spare = done.order;
                panes.recycle(*done.pane.table);
            }
        }
        if rows == 0 {
            return Ok(None);
        }
        self.morsel(&parts, rows, layout).map(Some)
    }

    fn morsel(&mut self, parts: &[Part], rows: usize, layout: &Layout) -> Result<Morsel, OperatorError> {
        let keys = self.keys.finish()?;
        let results = self.results.finish()?;
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(layout.columns.len());
        for (column, field) in layout.columns.iter().zip(layout.output.fields()) {
            let instants = |time: fn(&Part) -> i64| -> ArrayRef {
                let array = TimestampMicrosecondArray::from(spread(parts, rows, time));
                Arc::new(array.with_data_type(field.data_type().clone()))
            };
            columns.push(match column {
                OutputColumn::WindowStart => instants(|part| part.start),
                OutputColumn::WindowEnd => instants(|part| part.end),
                OutputColumn::Key(i) => keys[*i].clone(),
                OutputColumn::Aggregate(i) => results[*i].clone(),
                OutputColumn::Hidden(name) => self.hidden_column(name, parts, rows, &keys, layout)?,
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(layout.output.clone(), columns, &options);
        let bounds = match (parts.first(), parts.last()) {
            (Some(first), Some(last)) if layout.window.is_some() => {
                Some(TimeBounds { min: EventTime(result_time(first)), max: EventTime(result_time(last)) })
            }
            _ => None,
        };
        Ok(Morsel::new(batch.map_err(OperatorError::plan)?).with_time_bounds(bounds))
    }

    fn hidden_column(
        &self,
        name: &str,
        parts: &[Part],
        rows: usize,
        keys: &[ArrayRef],
        layout: &Layout,
    ) -> Result<ArrayRef, OperatorError> {
        Ok(match name {
            hidden::TIME => Arc::new(Int64Array::from(spread(parts, rows, result_time))),
            hidden::LATE => hidden::all_on_time(rows),
            hidden::PARTITION => Arc::new(UInt32Array::from(vec![layout.ordinal << PARTITION_BITS; rows])),
            hidden::ROW => Arc::new(UInt64Array::from(vec![0; rows])),
            _ => match &self.converter {
                Some(converter) => {
                    let converted = converter.convert_columns(keys).map_err(OperatorError::plan)?;
                    Arc::new(converted.try_into_binary().map_err(OperatorError::plan)?)
                }
                None => Arc::new(BinaryArray::from_iter_values(std::iter::repeat_n([], rows))),
            },
        })
    }
}

/// The event time of a window's results: the last instant in it.
fn result_time(part: &Part) -> i64 {
    part.end.saturating_sub(1)
}

/// One value a row from one value a part.
fn spread(parts: &[Part], rows: usize, value: fn(&Part) -> i64) -> Vec<i64> {
    let mut values = Vec::with_capacity(rows);
    for part in parts {
        values.resize(values.len() + part.rows, value(part));
    }
    values
}

fn name_the_group(error: AccumulateError, ids: &[u32], pane: &Pane, layout: &Layout) -> OperatorError {
    let Some(position) = error.position().filter(|position| *position < ids.len()) else {
        return OperatorError::Aggregate(error);
    };
    let id = &ids[position..position + 1];
    let mut parts = Vec::new();
    if layout.window.is_some() {
        let start = TimestampMicrosecondArray::from(vec![pane.start]);
        parts.push(("window", array_value_to_string(&start, 0)));
    }
    let keys = pane.table.keys().take(id).unwrap_or_default();
    for (field, key) in layout.key_fields.iter().zip(&keys) {
        parts.push((field.name(), array_value_to_string(key, 0)));
    }
    let text = |(name, value): &(&str, Result<String, _>)| match value {
        Ok(value) => format!("{name} {value}"),
        Err(_) => format!("{name} ?"),
    };
    let key = match parts.is_empty() {
        true => "all rows".to_owned(),
        false => parts.iter().map(text).collect::<Vec<_>>().join(", "),
    };
    match error {
        AccumulateError::Overflow { aggregate, sum, data_type, .. } => {
            OperatorError::Overflow { aggregate, key, sum, data_type }
        }
        AccumulateError::Function { aggregate, function, message, .. } => {
            OperatorError::Function { aggregate, key, function, message }
        }
        other => OperatorError::Aggregate(other),
    }
}
