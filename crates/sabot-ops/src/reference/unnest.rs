//! Unnest: every list by itself.

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Int64Array, new_empty_array, new_null_array};
use arrow::compute::concat;
use arrow::datatypes::{DataType, SchemaRef};
use sabot_batch::RowKind;
use sabot_expr::types::list_item;
use std::sync::Arc;

use super::rows::{Rows, batch_of};
use super::{internal, pick_values};
use crate::{Failure, UnnestSource, UnnestSpec};

/// One row of `output` for each element.
pub(super) fn unnest(spec: &UnnestSpec, rows: &Rows, output: &SchemaRef) -> Result<Rows, Failure> {
    let lists = rows.batch.column(spec.list);
    let item = list_item(lists.data_type()).ok_or_else(|| internal("unnest of something that is no list"))?;
    // For each result its row, its position and its element.
    let (mut parents, mut positions, mut elements) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..rows.len() {
        let found = elements_of(lists, row)?.filter(|found| !found.is_empty());
        match found {
            Some(found) => {
                for position in 1..=found.len() {
                    parents.push(row);
                    positions.push(Some(position as i64));
                }
                elements.push(found);
            }
            None if spec.keep_empty => {
                parents.push(row);
                positions.push(None);
                elements.push(new_null_array(item.data_type(), 1));
            }
            None => {}
        }
    }
    let elements: Vec<&dyn Array> = elements.iter().map(AsRef::as_ref).collect();
    let elements = match elements[..] {
        [] => new_empty_array(item.data_type()),
        _ => concat(&elements).map_err(internal)?,
    };
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(spec.columns.len());
    for column in &spec.columns {
        columns.push(match column.source {
            UnnestSource::Input(index) => pick_values(rows.batch.column(index), &parents)?,
            UnnestSource::Element => elements.clone(),
            UnnestSource::Position => Arc::new(Int64Array::from(positions.clone())),
            UnnestSource::Order(key) => {
                let keys = key.map(|key| rows.batch.column(key).as_binary::<i32>());
                let order = parents.iter().zip(&positions).map(|(row, position)| {
                    let own = keys.map_or(&[][..], |keys| keys.value(*row));
                    [own, &position.unwrap_or(0).to_be_bytes()].concat()
                });
                Arc::new(BinaryArray::from_iter_values(order))
            }
        });
    }
    let kind = |row: &usize| match rows.kinds[*row] {
        RowKind::UpdateBefore => RowKind::Delete,
        RowKind::UpdateAfter => RowKind::Insert,
        kind => kind,
    };
    Ok(Rows {
        batch: batch_of(output, columns, parents.len())?,
        kinds: parents.iter().map(kind).collect(),
        places: parents.iter().map(|row| rows.places[*row]).collect(),
    })
}

/// The elements of the list in one row; `None` where it is null.
fn elements_of(lists: &ArrayRef, row: usize) -> Result<Option<ArrayRef>, Failure> {
    if lists.is_null(row) {
        return Ok(None);
    }
    Ok(Some(match lists.data_type() {
        DataType::List(_) => lists.as_list::<i32>().value(row),
        DataType::LargeList(_) => lists.as_list::<i64>().value(row),
        DataType::ListView(_) => lists.as_list_view::<i32>().value(row),
        DataType::LargeListView(_) => lists.as_list_view::<i64>().value(row),
        DataType::FixedSizeList(..) => lists.as_fixed_size_list().value(row),
        other => return Err(internal(format!("{other} is no list"))),
    }))
}
