//! What batches say of themselves, and small ones as one.

use arrow::array::{Array, AsArray, RecordBatch, UInt16Array, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt16Type};
use std::collections::HashMap;
use std::sync::Arc;

use crate::GROUP;
use crate::block::BlockError;

pub(super) type Metadata = HashMap<String, String>;

/// What the schemas of batches say of the epoch, under the keys `changing`, and what is left of each, as the schema of no rows.
pub(super) fn split(
    batches: &[RecordBatch],
    changing: &[&str],
) -> Result<(Metadata, Vec<RecordBatch>), BlockError> {
    let mut common = Metadata::new();
    let mut kinds: Vec<RecordBatch> = Vec::new();
    for batch in batches {
        let mut metadata = batch.schema_ref().metadata().clone();
        for key in changing {
            let Some(value) = metadata.remove(*key) else { continue };
            let known = common.entry((*key).to_owned()).or_insert_with(|| value.clone());
            if *known != value {
                return Err(BlockError::rows(format!(
                    "{key} is {known} in one batch and {value} in another"
                )));
            }
        }
        let schema = Schema::new(batch.schema_ref().fields().clone()).with_metadata(metadata);
        let kind = RecordBatch::new_empty(Arc::new(schema));
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    Ok((common, kinds))
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

fn group_column(rows: &RecordBatch) -> Result<UInt16Array, BlockError> {
    let column = rows.column_by_name(GROUP).and_then(|column| column.as_primitive_opt::<UInt16Type>());
    let column = column.filter(|column| column.null_count() == 0).cloned();
    column.ok_or_else(|| BlockError::rows(format!("there is no column {GROUP} of uint16 without nulls")))
}

/// A batch that is its metadata.
pub(super) fn bare(metadata: Metadata) -> RecordBatch {
    let schema = Schema::new(vec![Field::new(GROUP, DataType::UInt16, false)]).with_metadata(metadata);
    RecordBatch::new_empty(Arc::new(schema))
}
