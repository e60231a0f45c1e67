//! Values of any type by group: kept in the arrays that they came in, each group knowing array and row.

use arrow::array::{
    Array, ArrayRef, DynComparator, UInt32Array, make_comparator, new_empty_array, new_null_array,
};
use arrow::compute::{SortOptions, interleave, take};
use arrow::datatypes::DataType;
use std::cmp::Ordering;

use super::AccumulateError;

/// Where a value is kept: array and row.
pub(super) type At = (usize, usize);

/// With more arrays than that, or more than half of many rows dead, the living are brought together.
const ARRAYS_MAX: usize = 256;
const ROWS_MIN: usize = 4096;

/// Values in arrays of one type. The first array is a single null, for groups without a value.
#[derive(Debug)]
pub(super) struct Values {
    data_type: DataType,
    arrays: Vec<ArrayRef>,
    rows: usize,
    bytes: usize,
}

/// Where the null of the first array is.
pub(super) const NOTHING: At = (0, 0);

impl Values {
    pub(super) fn new(data_type: DataType) -> Self {
        let arrays = vec![new_null_array(&data_type, 1)];
        Self { data_type, arrays, rows: 0, bytes: 0 }
    }

    pub(super) fn clear(&mut self) {
        self.arrays.truncate(1);
        (self.rows, self.bytes) = (0, 0);
    }

    /// Keeps an array; its place.
    pub(super) fn push(&mut self, array: ArrayRef) -> usize {
        self.rows += array.len();
        self.bytes += array.get_array_memory_size();
        self.arrays.push(array);
        self.arrays.len() - 1
    }

    pub(super) fn gather(&self, places: &[At]) -> Result<ArrayRef, AccumulateError> {
        if places.is_empty() {
            return Ok(new_empty_array(&self.data_type));
        }
        let arrays: Vec<&dyn Array> = self.arrays.iter().map(AsRef::as_ref).collect();
        interleave(&arrays, places).map_err(AccumulateError::input)
    }

    /// The order of two values among copies of one row: by value, null last. Values that have no order are
    /// equal.
    pub(super) fn compare(&self, a: At, b: At) -> Ordering {
        Values::comparator(&self.arrays[a.0], &self.arrays[b.0])(a.1, b.1)
    }

    /// The same between the rows of two arrays.
    pub(super) fn comparator(a: &dyn Array, b: &dyn Array) -> DynComparator {
        let options = SortOptions { descending: false, nulls_first: false };
        make_comparator(a, b, options).unwrap_or_else(|_| Box::new(|_, _| Ordering::Equal))
    }

    /// Allocated bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps of the last array only what became the value of some group. `best` says where each group's
    /// value is; `changed` are the groups whose value lies in the last array, each once. When most of what is
    /// kept is nobody's any more, the living are brought together.
    pub(super) fn settle(&mut self, best: &mut [At], changed: &[u32]) -> Result<(), AccumulateError> {
        let Some(array) = self.arrays.pop() else { return Ok(()) };
        self.rows -= array.len();
        self.bytes -= array.get_array_memory_size();
        if changed.is_empty() {
            return Ok(());
        }
        let chunk = self.arrays.len();
        let mut rows = Vec::with_capacity(changed.len());
        for id in changed {
            let at = &mut best[*id as usize];
            let row = u32::try_from(at.1).map_err(AccumulateError::input)?;
            *at = (chunk, rows.len());
            rows.push(row);
        }
        let kept = take(&array, &UInt32Array::from(rows), None).map_err(AccumulateError::input)?;
        self.push(kept);
        // No more values live than there are groups.
        if self.arrays.len() > ARRAYS_MAX || self.rows > ROWS_MIN.max(2 * best.len()) {
            let places: Vec<At> = best.iter().copied().filter(|at| *at != NOTHING).collect();
            let kept = self.gather(&places)?;
            self.clear();
            self.push(kept);
            let living = best.iter_mut().filter(|at| **at != NOTHING).enumerate();
            living.for_each(|(row, at)| *at = (1, row));
        }
        Ok(())
    }
}
