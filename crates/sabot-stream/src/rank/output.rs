//! Ranked rows on their way out in morsels of bounded size.

use arrow::array::{
    ArrayRef, BinaryArray, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array, UInt64Array,
};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::row::{RowConverter, SortField};
use sabot_batch::{Morsel, hidden};
use sabot_cpu::rank::{Ranked, one_zero_one_nan};
use sabot_plan::{RankResult, RankStage};
use std::collections::VecDeque;
use std::sync::Arc;

use crate::gather::gather;
use crate::{OperatorError, PARTITION_BITS};

/// What stands in a column of the output.
#[derive(Debug)]
enum Column {
    /// A column of the rows.
    Of(usize),
    /// The row's number in its group, from 1.
    Number,
    /// The operator's place among the sources of rows.
    Partition,
    /// How many rows have left before.
    Sequence,
    /// 0 as a row number.
    Zero,
    /// 0 as lateness.
    OnTime,
    /// The group's key and the row's number, as bytes in their order.
    GroupAndNumber,
    /// No key.
    NoKey,
}

/// All panes whose rows have not all left, and where the next row stands.
#[derive(Debug)]
pub(super) struct Output {
    schema: SchemaRef,
    columns: Vec<Column>,
    groups: Vec<usize>,
    keys: RowConverter,
    partition: u32,
    queue: VecDeque<Fired>,
    left: u64,
}

#[derive(Debug)]
struct Fired {
    batches: Vec<RecordBatch>,
    bytes: usize,
    rows: Vec<Ranked>,
    next: usize,
}

impl Output {
    pub(super) fn new(stage: &RankStage, schema: &SchemaRef) -> Result<Self, OperatorError> {
        let mut columns = Vec::with_capacity(schema.fields().len());
        for (i, field) in schema.fields().iter().enumerate() {
            let column = match i.checked_sub(stage.kept) {
                None => Column::Of(i),
                Some(0) if stage.numbered => Column::Number,
                Some(_) => hidden_column(stage, field.name())?,
            };
            let data_type = match &column {
                Column::Of(i) => stage.rows.fields().get(*i).map(|f| f.data_type().clone()),
                Column::Number => Some(DataType::Int64),
                _ => hidden::field(field.name()).map(|f| f.data_type().clone()),
            };
            if data_type.as_ref() != Some(field.data_type()) {
                let message =
                    format!("ranked rows cannot give \"{}\" as {}", field.name(), field.data_type());
                return Err(OperatorError::plan(message));
            }
            columns.push(column);
        }
        let types = stage.spec.groups.iter().map(|i| stage.rows.field(*i).data_type().clone());
        let fields = types.chain([DataType::UInt64]).map(|data_type| {
            let options = arrow::compute::SortOptions { descending: false, nulls_first: false };
            SortField::new_with_options(data_type, options)
        });
        Ok(Self {
            schema: schema.clone(),
            columns,
            groups: stage.spec.groups.clone(),
            keys: RowConverter::new(fields.collect()).map_err(OperatorError::plan)?,
            partition: stage.ordinal << PARTITION_BITS,
            queue: VecDeque::new(),
            left: 0,
        })
    }

    /// Lets rows of some batches leave, in their order.
    pub(super) fn push(&mut self, batches: Vec<RecordBatch>, bytes: usize, rows: Vec<Ranked>) {
        if !rows.is_empty() {
            self.queue.push_back(Fired { batches, bytes, rows, next: 0 });
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.queue.iter().map(|f| f.bytes + f.rows.len() * size_of::<Ranked>()).sum()
    }

    /// The next at most `max_rows` rows; `None` when all have left. Small panes share a morsel.
    pub(super) fn next(&mut self, max_rows: usize) -> Result<Option<Morsel>, OperatorError> {
        let max_rows = max_rows.max(1);
        let mut sources: Vec<&RecordBatch> = Vec::new();
        let (mut places, mut numbers): (Vec<(usize, usize)>, Vec<u64>) = (Vec::new(), Vec::new());
        let mut done = 0;
        for fired in &mut self.queue {
            let end = fired.rows.len().min(fired.next + (max_rows - places.len()));
            // Only the batches that the morsel draws on, or small morsels would pay for all of them.
            let mut at = vec![usize::MAX; fired.batches.len()];
            for ranked in &fired.rows[fired.next..end] {
                let batch = ranked.batch as usize;
                if at[batch] == usize::MAX {
                    at[batch] = sources.len();
                    sources.push(&fired.batches[batch]);
                }
                places.push((at[batch], ranked.row as usize));
                numbers.push(ranked.number);
            }
            fired.next = end;
            if end < fired.rows.len() {
                break;
            }
            done += 1;
            if places.len() == max_rows {
                break;
            }
        }
        if places.is_empty() {
            return Ok(None);
        }
        let rows = gather(&sources, &places).map_err(OperatorError::input)?;
        self.queue.drain(..done);
        self.morsel(&rows, &numbers).map(Some)
    }

    fn morsel(&mut self, rows: &RecordBatch, numbers: &[u64]) -> Result<Morsel, OperatorError> {
        let count = rows.num_rows();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            columns.push(match column {
                Column::Of(i) => rows.column(*i).clone(),
                Column::Number => {
                    // There are never so many rows that their number does not fit.
                    let from_one = numbers.iter().map(|n| i64::try_from(*n).unwrap_or(i64::MAX - 1) + 1);
                    Arc::new(Int64Array::from_iter_values(from_one))
                }
                Column::Partition => Arc::new(UInt32Array::from(vec![self.partition; count])),
                Column::Sequence => {
                    Arc::new(UInt64Array::from_iter_values(self.left..self.left + count as u64))
                }
                Column::Zero => Arc::new(UInt64Array::from(vec![0; count])),
                Column::OnTime => hidden::all_on_time(count),
                Column::GroupAndNumber => self.key(rows, numbers)?,
                Column::NoKey => Arc::new(BinaryArray::from_iter_values(std::iter::repeat_n([], count))),
            });
        }
        self.left += count as u64;
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options);
        Ok(Morsel::new(batch.map_err(OperatorError::plan)?))
    }

    fn key(&self, rows: &RecordBatch, numbers: &[u64]) -> Result<ArrayRef, OperatorError> {
        let mut columns = Vec::with_capacity(self.groups.len() + 1);
        for group in &self.groups {
            columns.push(one_zero_one_nan(rows.column(*group))?);
        }
        columns.push(Arc::new(UInt64Array::from(numbers.to_vec())));
        let keys = self.keys.convert_columns(&columns).map_err(OperatorError::plan)?;
        Ok(Arc::new(keys.try_into_binary().map_err(OperatorError::plan)?))
    }
}

fn hidden_column(stage: &RankStage, name: &str) -> Result<Column, OperatorError> {
    let of_rows = || stage.rows.index_of(name).ok().map(Column::Of);
    let column = match (stage.result, name) {
        (RankResult::AsBefore, _) => of_rows(),
        (RankResult::Ranked, hidden::TIME) if stage.windowed => of_rows(),
        (_, hidden::LATE) => Some(Column::OnTime),
        (_, hidden::PARTITION) => Some(Column::Partition),
        (RankResult::Sorted, hidden::ROW) => Some(Column::Sequence),
        (RankResult::Ranked, hidden::ROW) => Some(Column::Zero),
        (RankResult::Sorted, hidden::KEY) => Some(Column::NoKey),
        (RankResult::Ranked, hidden::KEY) => Some(Column::GroupAndNumber),
        _ => None,
    };
    column.ok_or_else(|| OperatorError::plan(format!("ranked rows cannot give \"{name}\"")))
}
