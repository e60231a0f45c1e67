//! Rows picked from arrays of any type.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, PrimitiveArray, UInt64Array, new_null_array};
use arrow::compute::{concat, take};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

/// The values at `indices`, and null where an index is null.
///
/// As Arrow's `take`, but for types without a mask of nulls of their own as well: runs and unions, also inside
/// of other types. There Arrow's kernel picks any value for an index that is null, or panics.
///
/// # Errors
/// An index that is out of range where the kernel notices it. The caller vouches for indices; Arrow's kernel
/// panics on most that are wrong.
///
/// ```
/// use arrow::array::{Array, ArrayRef, Int32Array, Int64Array, RunArray, UInt32Array};
/// use arrow::datatypes::Int32Type;
/// use std::sync::Arc;
/// let runs = RunArray::<Int32Type>::try_new(&Int32Array::from(vec![2, 5]), &Int64Array::from(vec![7, 8]))?;
/// let runs: ArrayRef = Arc::new(runs);
/// let picked = sabot_batch::gather(&runs, &UInt32Array::from(vec![Some(4), None, Some(0)]))?;
/// assert_eq!(picked.logical_nulls().map_or(0, |nulls| nulls.null_count()), 1);
/// # Ok::<(), arrow::error::ArrowError>(())
/// ```
pub fn gather<T: ArrowPrimitiveType>(
    array: &ArrayRef,
    indices: &PrimitiveArray<T>,
) -> Result<ArrayRef, ArrowError> {
    if indices.null_count() == 0 || has_masks(array.data_type()) {
        return take(array, indices, None);
    }
    // The values that are there, then one null, then all of them in order.
    let (mut there, mut places) = (Vec::new(), Vec::with_capacity(indices.len()));
    let null = (indices.len() - indices.null_count()) as u64;
    for row in 0..indices.len() {
        if indices.is_null(row) {
            places.push(null);
        } else {
            places.push(there.len() as u64);
            there.push(indices.value(row));
        }
    }
    let values = take(array, &PrimitiveArray::<T>::from_iter_values(there), None)?;
    let values = concat(&[&values, &new_null_array(array.data_type(), 1)])?;
    take(&values, &UInt64Array::from(places), None)
}

/// Whether nulls of a type, and of all that it holds, stand in masks.
fn has_masks(data_type: &DataType) -> bool {
    match data_type {
        DataType::Union(..) | DataType::RunEndEncoded(..) => false,
        DataType::Struct(fields) => fields.iter().all(|field| has_masks(field.data_type())),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => has_masks(item.data_type()),
        _ => true,
    }
}
