//! Rows of several batches as one batch.

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, RecordBatch, RecordBatchOptions, UInt64Array};
use arrow::compute::{interleave_record_batch, take};
use arrow::datatypes::{ArrowDictionaryKeyType, ArrowNativeType};
use arrow::downcast_dictionary_array;
use arrow::error::ArrowError;
use std::sync::Arc;

/// The rows at these places, each a batch and a row of it.
///
/// A dictionary of the result has no more values than it has rows. Those of the batches are put one behind another
/// otherwise, whatever their rows use of them: batches that share one would have it many times over, and an operator
/// behind an operator would multiply that.
pub(crate) fn gather(batches: &[&RecordBatch], places: &[(usize, usize)]) -> Result<RecordBatch, ArrowError> {
    let rows = interleave_record_batch(batches, places)?;
    if !rows.columns().iter().any(has_unused_values) {
        return Ok(rows);
    }
    let columns = rows.columns().iter().map(|column| match has_unused_values(column) {
        true => used_values(column),
        false => Ok(column.clone()),
    });
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(rows.schema(), columns.collect::<Result<_, _>>()?, &options)
}

fn has_unused_values(column: &ArrayRef) -> bool {
    column.as_any_dictionary_opt().is_some_and(|dictionary| dictionary.values().len() > column.len())
}

/// A dictionary with the values that its rows use, in the order in which they are met first.
fn used_values(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let column: &dyn Array = column;
    downcast_dictionary_array!(
        column => with_used_values(column),
        other => Err(ArrowError::CastError(format!("{other} is no dictionary")))
    )
}

fn with_used_values<K: ArrowDictionaryKeyType>(
    dictionary: &DictionaryArray<K>,
) -> Result<ArrayRef, ArrowError> {
    let keys = dictionary.keys();
    let mut places: Vec<Option<usize>> = vec![None; dictionary.values().len()];
    let mut used: Vec<u64> = Vec::new();
    for key in keys.iter().flatten() {
        let place = &mut places[key.as_usize()];
        if place.is_none() {
            *place = Some(used.len());
            used.push(key.as_usize() as u64);
        }
    }
    // What stands under a null is any key.
    let new = |key: K::Native| {
        let place = places.get(key.as_usize()).copied().flatten().unwrap_or(0);
        K::Native::usize_as(place)
    };
    let values = take(dictionary.values(), &UInt64Array::from(used), None)?;
    let keys = keys.unary::<_, K>(new);
    Ok(Arc::new(DictionaryArray::<K>::try_new(keys, values)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::StringArray;
    use arrow::compute::cast;
    use arrow::datatypes::{DataType, Int32Type};

    fn coded(values: &[Option<&str>]) -> RecordBatch {
        let plain: ArrayRef = Arc::new(StringArray::from(values.to_vec()));
        let coded: ArrayRef =
            Arc::new(plain.as_string::<i32>().iter().collect::<DictionaryArray<Int32Type>>());
        RecordBatch::try_from_iter([("coded", coded), ("plain", plain)]).unwrap()
    }

    #[test]
    fn dictionaries_do_not_grow_from_one_operator_to_the_next() {
        let mut batch =
            coded(&[Some("a"), None, Some("b"), Some("c"), Some("a"), None, Some("d"), Some("b")]);
        for round in 0..40 {
            // Parts of one batch share its dictionary, and come back in another order.
            let parts: Vec<RecordBatch> = (0..batch.num_rows()).map(|row| batch.slice(row, 1)).collect();
            let parts: Vec<&RecordBatch> = parts.iter().collect();
            let places: Vec<(usize, usize)> = (0..8).map(|row| ((row * 3 + round) % 8, 0)).collect();
            batch = gather(&parts, &places).unwrap();
            let dictionary = batch.column(0).as_any_dictionary();
            assert!(dictionary.values().len() <= 8, "round {round}: {}", dictionary.values().len());
            let plain = cast(batch.column(0), &DataType::Utf8).unwrap();
            assert_eq!(&plain, batch.column(1), "round {round}");
        }
    }

    #[test]
    fn rows_that_are_all_null_need_no_values() {
        let batch = coded(&[Some("a"), Some("b"), None]);
        let gathered = gather(&[&batch], &[(0, 2)]).unwrap();
        assert_eq!(gathered.column(0).as_any_dictionary().values().len(), 0);
        assert!(gathered.column(0).is_null(0));
        assert!(gather(&[&batch], &[]).unwrap().column(0).is_empty());
    }
}
