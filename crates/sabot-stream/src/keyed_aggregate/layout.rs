//! Where everything stands in the input and in the output of a keyed aggregation.

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use sabot_batch::hidden;
use sabot_common::{EventTime, Span};
use sabot_ops::AggregateSpec;
use sabot_plan::{AggregateStage, KeyedWindow};
use sabot_time::WindowBounds;
use std::ops::Range;

use crate::OperatorError;

/// The pane that holds everything when there are no windows.
pub(super) const GLOBAL: i64 = i64::MIN;

/// The plan of a keyed stage, resolved to column positions.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) window: Option<KeyedWindow>,
    /// Columns of partial state: the slice's start, where there are windows.
    pub(super) window_column: Option<usize>,
    /// The user's keys.
    pub(super) key_columns: Vec<usize>,
    /// The key hash.
    pub(super) hash_column: usize,
    /// The state of the aggregates.
    pub(super) state_columns: Range<usize>,
    pub(super) partial: SchemaRef,
    pub(super) key_fields: Vec<Field>,
    pub(super) aggregates: Vec<AggregateSpec>,
    pub(super) output: SchemaRef,
    pub(super) columns: Vec<OutputColumn>,
    pub(super) ordinal: u32,
}

/// What stands in a column of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OutputColumn {
    WindowStart,
    WindowEnd,
    Key(usize),
    Aggregate(usize),
    /// A hidden column, by name.
    Hidden(&'static str),
}

impl Layout {
    pub(super) fn new(stage: &AggregateStage, output: &SchemaRef) -> Result<Self, OperatorError> {
        let partial = stage.partial_schema.clone();
        let keys = stage.partial.keys.len();
        let is = |i: usize, name: &str, data_type: DataType| {
            partial.fields().get(i).is_some_and(|f| f.name() == name && f.data_type() == &data_type)
        };
        if !is(keys, hidden::HASH, DataType::UInt64) {
            return Err(OperatorError::plan("the partial state has no hash behind its keys"));
        }
        let window_column = (0..keys).find(|i| is(*i, hidden::WINDOW, DataType::Int64));
        if window_column.is_some() != stage.window.is_some() {
            return Err(OperatorError::plan("there must be windows exactly when their start is a key"));
        }
        let key_columns: Vec<usize> = (0..keys).filter(|i| Some(*i) != window_column).collect();
        if stage.partial.hashed != key_columns {
            return Err(OperatorError::plan("the hash must be that of all keys but the window"));
        }
        let key_fields: Vec<Field> = key_columns.iter().map(|i| partial.field(*i).clone()).collect();
        let aggregates = stage.partial.aggregates.clone();
        let columns = output_columns(stage, &key_fields, &aggregates, output)?;
        Ok(Self {
            window: stage.window.clone(),
            window_column,
            key_columns,
            hash_column: keys,
            state_columns: keys + 1..partial.fields().len(),
            partial,
            key_fields,
            aggregates,
            output: output.clone(),
            columns,
            ordinal: stage.ordinal,
        })
    }

    pub(super) fn key_types(&self) -> Vec<DataType> {
        self.key_fields.iter().map(|f| f.data_type().clone()).collect()
    }

    pub(super) fn allowed_lateness(&self) -> Span {
        self.window.as_ref().map_or(Span::ZERO, |w| w.allowed_lateness)
    }

    /// Whether the pane that starts at `start` counts nowhere any more at this watermark, because all its
    /// windows have fired. The global pane never does.
    pub(super) fn is_closed(&self, start: i64, watermark: EventTime) -> bool {
        self.window
            .as_ref()
            .is_some_and(|w| w.window.is_closed(EventTime(start), watermark, w.allowed_lateness))
    }

    /// The pane that starts at `start`, as a window.
    pub(super) fn bounds_of(&self, start: i64) -> WindowBounds {
        match &self.window {
            Some(w) => w.window.slice_of(EventTime(start)),
            None => WindowBounds { start: EventTime(GLOBAL), last: EventTime::MAX },
        }
    }

    /// Whether a batch has these columns, whatever their names: names are the planner's affair.
    pub(super) fn check(expected: &Schema, got: &Schema) -> Result<(), OperatorError> {
        let types = |s: &Schema| s.fields().iter().map(|f| f.data_type().clone()).collect::<Vec<_>>();
        if std::ptr::eq(expected, got) || types(expected) == types(got) {
            return Ok(());
        }
        Err(OperatorError::input(format!("a morsel of {got} came where {expected} was planned")))
    }
}

/// Matches the planned schema: window columns, keys, aggregates, hidden columns.
fn output_columns(
    stage: &AggregateStage,
    keys: &[Field],
    aggregates: &[AggregateSpec],
    output: &Schema,
) -> Result<Vec<OutputColumn>, OperatorError> {
    let instant = DataType::Timestamp(TimeUnit::Microsecond, stage.time_zone.clone());
    let mut expected: Vec<(OutputColumn, DataType)> = Vec::new();
    if stage.window_start.is_some() {
        expected.push((OutputColumn::WindowStart, instant.clone()));
    }
    if stage.window_end.is_some() {
        expected.push((OutputColumn::WindowEnd, instant));
    }
    if stage.window.is_none() && !expected.is_empty() {
        return Err(OperatorError::plan("window columns without windows"));
    }
    for (i, field) in keys.iter().enumerate() {
        expected.push((OutputColumn::Key(i), field.data_type().clone()));
    }
    for (i, aggregate) in aggregates.iter().enumerate() {
        expected.push((OutputColumn::Aggregate(i), aggregate.result_field()?.data_type().clone()));
    }
    let mut columns = Vec::with_capacity(output.fields().len());
    let mut rest = expected.into_iter();
    for field in output.fields() {
        let (column, data_type) = match rest.next() {
            Some(next) => next,
            None => hidden_column(field, stage.window.is_some())?,
        };
        if field.data_type() != &data_type {
            let message =
                format!("output column \"{}\" is {}, not {data_type}", field.name(), field.data_type());
            return Err(OperatorError::plan(message));
        }
        columns.push(column);
    }
    match rest.next() {
        Some((column, _)) => {
            Err(OperatorError::plan(format!("the output {output} has no place for {column:?}")))
        }
        None => Ok(columns),
    }
}

fn hidden_column(field: &Field, windowed: bool) -> Result<(OutputColumn, DataType), OperatorError> {
    let known = [hidden::TIME, hidden::LATE, hidden::PARTITION, hidden::ROW, hidden::KEY];
    let name = known.into_iter().find(|n| n == field.name()).filter(|n| *n != hidden::TIME || windowed);
    let column =
        name.and_then(|n| hidden::field(n).map(|f| (OutputColumn::Hidden(n), f.data_type().clone())));
    column.ok_or_else(|| OperatorError::plan(format!("an aggregation cannot give out \"{}\"", field.name())))
}
