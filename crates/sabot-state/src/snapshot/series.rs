//! Batches of one schema, as rows by key group.

use arrow::array::{Array, AsArray, RecordBatch, UInt16Array, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt16Type};
use sabot_common::KeyGroupRange;
use std::collections::HashMap;
use std::sync::Arc;

use crate::GROUP;
use crate::block::{self, BlockError};

/// Batches of one kind, in their order.
#[derive(Debug)]
pub(super) struct Series {
    /// Without what changes with every epoch.
    schema: SchemaRef,
    batches: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    rows: RecordBatch,
    groups: UInt16Array,
    /// Of a row, on average; at least 1.
    row_bytes: u64,
}

impl Member {
    fn range(&self, groups: KeyGroupRange) -> std::ops::Range<usize> {
        let values = self.groups.values();
        let start = values.partition_point(|group| *group < groups.start);
        start..values.partition_point(|group| *group < groups.end).max(start)
    }
}

type Metadata = HashMap<String, String>;

impl Series {
    /// Sorts batches by schema, and says what the epoch says of itself.
    pub(super) fn sort(
        batches: &[RecordBatch],
        changing: &[String],
    ) -> Result<(Metadata, Vec<Series>), BlockError> {
        let mut common = Metadata::new();
        let mut all: Vec<Series> = Vec::new();
        for batch in batches {
            let mut metadata = batch.schema_ref().metadata().clone();
            for key in changing {
                let Some(value) = metadata.remove(key) else { continue };
                let known = common.entry(key.clone()).or_insert_with(|| value.clone());
                if *known != value {
                    return Err(BlockError::rows(format!(
                        "{key} is {known} in one batch and {value} in another"
                    )));
                }
            }
            let schema = Arc::new(Schema::new(batch.schema_ref().fields().clone()).with_metadata(metadata));
            let rows = RecordBatch::try_new(schema.clone(), batch.columns().to_vec());
            let member = Member::of(rows.map_err(BlockError::rows)?)?;
            match all.iter_mut().find(|series| series.schema == schema) {
                Some(series) => series.batches.push(member),
                None => all.push(Series { schema, batches: vec![member] }),
            }
        }
        Ok((common, all))
    }

    pub(super) fn empty(&self) -> RecordBatch {
        RecordBatch::new_empty(self.schema.clone())
    }

    pub(super) fn bytes_of(&self, groups: KeyGroupRange) -> u64 {
        self.batches.iter().map(|member| member.range(groups).len() as u64 * member.row_bytes).sum()
    }

    /// The rows of some groups, ascending by group and else in their order. They are one batch, unless Arrow
    /// cannot join them, as dictionaries with few keys.
    fn rows_of(&self, groups: KeyGroupRange) -> Result<Vec<RecordBatch>, BlockError> {
        let parts = self.batches.iter().map(|member| {
            let rows = member.range(groups);
            member.rows.slice(rows.start, rows.len())
        });
        let parts: Vec<RecordBatch> = parts.filter(|part| part.num_rows() > 0).collect();
        if parts.len() < 2 {
            return Ok(parts);
        }
        join(&self.schema, parts)
    }
}

/// One batch of several, ascending by group and else in their order; those themselves where Arrow cannot join them, as
/// dictionaries with few keys.
pub(super) fn join(schema: &SchemaRef, parts: Vec<RecordBatch>) -> Result<Vec<RecordBatch>, BlockError> {
    let Ok(all) = concat_batches(schema, &parts) else { return Ok(parts) };
    let values = group_column(&all)?;
    if values.values().is_sorted() {
        return Ok(vec![all]);
    }
    let rows = u32::try_from(all.num_rows()).map_err(BlockError::rows)?;
    let mut order: Vec<u32> = (0..rows).collect();
    order.sort_by_key(|row| values.value(*row as usize));
    Ok(vec![take_record_batch(&all, &UInt32Array::from(order)).map_err(BlockError::rows)?])
}

impl Member {
    fn of(rows: RecordBatch) -> Result<Self, BlockError> {
        let groups = group_column(&rows)?;
        if !groups.values().is_sorted() {
            return Err(BlockError::rows("a snapshot whose key groups are not ascending"));
        }
        let bytes = block::bytes_of(&rows);
        let row_bytes = (bytes as u64).div_ceil(rows.num_rows().max(1) as u64).max(1);
        Ok(Self { rows, groups, row_bytes })
    }
}

fn group_column(rows: &RecordBatch) -> Result<UInt16Array, BlockError> {
    let column = rows.column_by_name(GROUP).and_then(|column| column.as_primitive_opt::<UInt16Type>());
    let column = column.filter(|column| column.null_count() == 0).cloned();
    column.ok_or_else(|| BlockError::rows(format!("there is no column {GROUP} of uint16 without nulls")))
}

/// A batch that is its metadata.
pub(super) fn bare(metadata: Metadata) -> Result<RecordBatch, BlockError> {
    let schema = Schema::new(vec![Field::new(GROUP, DataType::UInt16, false)]).with_metadata(metadata);
    Ok(RecordBatch::new_empty(Arc::new(schema)))
}

/// No row is of a group that is not covered: it would be lost.
pub(super) fn check_rows(series: &[Series], covered: &[KeyGroupRange]) -> Result<(), BlockError> {
    for member in series.iter().flat_map(|series| &series.batches) {
        let inside: usize = covered.iter().map(|range| member.range(*range).len()).sum();
        if inside < member.rows.num_rows() {
            return Err(BlockError::rows(format!(
                "{} rows are of key groups that were not asked for",
                member.rows.num_rows() - inside
            )));
        }
    }
    Ok(())
}

/// The batches of each block of a range: none without rows, one, or several of a group that is too large.
pub(super) fn pieces(
    series: &[Series],
    groups: KeyGroupRange,
    split_above: u64,
) -> Result<Vec<Vec<RecordBatch>>, BlockError> {
    let bytes: u64 = series.iter().map(|series| series.bytes_of(groups)).sum();
    let mut blocks = Vec::new();
    let mut whole = Vec::new();
    for one in series.iter().filter(|series| series.bytes_of(groups) > 0) {
        let parts = one.rows_of(groups)?;
        if bytes <= split_above {
            whole.extend(parts);
            continue;
        }
        // A power of two, so that runs stay where they are while the average row changes a little.
        let count: u64 = parts.iter().map(|part| part.num_rows() as u64).sum();
        let row_bytes = one.bytes_of(groups).div_ceil(count.max(1)).max(1);
        let run = usize::try_from((split_above / row_bytes).max(1)).unwrap_or(usize::MAX);
        let run = 1usize << run.ilog2();
        for rows in parts {
            let starts = (0..rows.num_rows()).step_by(run);
            blocks.extend(starts.map(|at| vec![rows.slice(at, run.min(rows.num_rows() - at))]));
        }
    }
    if !whole.is_empty() {
        blocks.push(whole);
    }
    Ok(blocks)
}
