//! Arrays of runs, looked up.

use arrow::array::{Array, ArrayRef, RunArray};
use arrow::datatypes::{Int16Type, Int32Type, Int64Type, RunEndIndexType};

/// The values of an array of runs, and for each row the place of its value among them; `None` for any other
/// array. Slices are read as what they are.
///
/// ```
/// use std::sync::Arc;
/// use arrow::array::{Array, Int32Array, Int64Array, RunArray};
/// use arrow::datatypes::Int32Type;
/// let runs = RunArray::<Int32Type>::try_new(&Int32Array::from(vec![2, 5]), &Int64Array::from(vec![7, 8]))?;
/// let (places, values) = sabot_batch::run_values(&runs).unwrap();
/// assert_eq!((places, values.len()), (vec![0, 0, 1, 1, 1], 2));
/// assert!(sabot_batch::run_values(&Int64Array::from(vec![1])).is_none());
/// # Ok::<(), arrow::error::ArrowError>(())
/// ```
pub fn run_values(array: &dyn Array) -> Option<(Vec<usize>, &ArrayRef)> {
    of::<Int16Type>(array).or_else(|| of::<Int32Type>(array)).or_else(|| of::<Int64Type>(array))
}

fn of<R: RunEndIndexType>(array: &dyn Array) -> Option<(Vec<usize>, &ArrayRef)> {
    let runs = array.as_any().downcast_ref::<RunArray<R>>()?;
    let rows: Vec<u64> = (0..runs.len() as u64).collect();
    // Every row lies within the array, which is all that could be refused.
    Some((runs.get_physical_indices(&rows).ok()?, runs.values()))
}
