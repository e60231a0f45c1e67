//! Results of windows as morsels: bounds, keys, values and hidden columns.

use arrow::array::TimestampMicrosecondArray;
use arrow::array::{
    ArrayRef, BinaryArray, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array, UInt64Array,
};
use arrow::compute::SortOptions;
use arrow::row::{RowConverter, SortField};
use arrow::util::display::array_value_to_string;
use sabot_batch::key_index::{KeyBuilder, KeyIndex};
use sabot_batch::{Morsel, TimeBounds, hidden};
use sabot_common::EventTime;
use sabot_cpu::group_by::{AccumulateError, Accumulators, AggregateBuilder};
use sabot_time::WindowBounds;
use std::sync::Arc;

use super::layout::{Layout, OutputColumn};
use crate::{OperatorError, PARTITION_BITS};

/// The columns of a morsel of results, while it is made.
#[derive(Debug)]
pub(super) struct Results {
    keys: KeyBuilder,
    values: AggregateBuilder,
    converter: Option<RowConverter>,
}

/// The rows of one output morsel that come from one window.
pub(super) struct Part {
    pub(super) bounds: WindowBounds,
    pub(super) rows: usize,
    /// Which of the windows of a key that have this end it is, from 0.
    pub(super) number: u64,
}

impl Results {
    pub(super) fn new(layout: &Layout) -> Result<Self, OperatorError> {
        let wants_key = layout.columns.contains(&OutputColumn::Hidden(hidden::KEY));
        let options = SortOptions { descending: false, nulls_first: false };
        let fields =
            layout.key_types().into_iter().map(|t| SortField::new_with_options(t, options)).collect();
        let converter = match wants_key && !layout.key_fields.is_empty() {
            true => Some(RowConverter::new(fields).map_err(OperatorError::plan)?),
            false => None,
        };
        let values = Accumulators::new(&layout.aggregates)?.result_builder()?;
        Ok(Self { keys: KeyBuilder::new(&layout.key_types())?, values, converter })
    }

    /// Appends rows: their keys by id, and the values of their state by id; `bounds` tells the window of
    /// each, for messages.
    pub(super) fn append(
        &mut self,
        (keys, key_ids): (&KeyIndex, &[u32]),
        (state, state_ids): (&Accumulators, &[u32]),
        layout: &Layout,
        bounds: impl Fn(usize) -> WindowBounds,
    ) -> Result<(), OperatorError> {
        self.keys.append(keys, key_ids)?;
        state.append_results(state_ids, &mut self.values).map_err(|error| {
            let AccumulateError::Overflow { aggregate, position, sum, data_type } = error else {
                return OperatorError::Aggregate(error);
            };
            let key = group_name(keys, key_ids[position], bounds(position), layout);
            OperatorError::Overflow { aggregate, key, sum, data_type }
        })
    }

    /// What was appended, as a morsel: `rows` rows of `parts`.
    pub(super) fn morsel(
        &mut self,
        parts: &[Part],
        rows: usize,
        layout: &Layout,
    ) -> Result<Morsel, OperatorError> {
        let keys = self.keys.finish()?;
        let results = self.values.finish()?;
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(layout.columns.len());
        for (column, field) in layout.columns.iter().zip(layout.output.fields()) {
            let instants = |time: fn(&Part) -> i64| -> ArrayRef {
                let array = TimestampMicrosecondArray::from(spread(parts, rows, time));
                Arc::new(array.with_data_type(field.data_type().clone()))
            };
            columns.push(match column {
                OutputColumn::WindowStart => instants(|part| part.bounds.start.micros()),
                OutputColumn::WindowEnd => instants(|part| part.bounds.end().micros()),
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
            hidden::ROW => {
                let numbers = parts.iter().flat_map(|part| std::iter::repeat_n(part.number, part.rows));
                Arc::new(UInt64Array::from_iter_values(numbers))
            }
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
    part.bounds.end().micros().saturating_sub(1)
}

/// One value a row from one value a part.
fn spread(parts: &[Part], rows: usize, value: fn(&Part) -> i64) -> Vec<i64> {
    let mut values = Vec::with_capacity(rows);
    for part in parts {
        values.resize(values.len() + part.rows, value(part));
    }
    values
}

/// A group in words: `window 2001-01-01T00:00:00, origin ORD`.
fn group_name(index: &KeyIndex, id: u32, bounds: WindowBounds, layout: &Layout) -> String {
    let mut parts = Vec::new();
    if layout.window.is_some() {
        let start = TimestampMicrosecondArray::from(vec![bounds.start.micros()]);
        parts.push(("window", array_value_to_string(&start, 0)));
    }
    let keys = index.take(&[id]).unwrap_or_default();
    for (field, key) in layout.key_fields.iter().zip(&keys) {
        parts.push((field.name(), array_value_to_string(key, 0)));
    }
    let text = |(name, value): &(&str, Result<String, _>)| match value {
        Ok(value) => format!("{name} {value}"),
        Err(_) => format!("{name} ?"),
    };
    match parts.is_empty() {
        true => "all rows".to_owned(),
        false => parts.iter().map(text).collect::<Vec<_>>().join(", "),
    }
}
