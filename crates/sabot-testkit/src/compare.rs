//! Assertions that say where two batches differ.
//!
//! Values are compared as values: a dictionary by what its keys point to, floats by their bits, except
//! that all NaNs are one. What lies under a null does not matter.

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema};
use arrow::util::display::array_value_to_string;
use sabot_expr::Scalar;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Differences that a message lists before it only counts.
const SHOWN: usize = 10;

/// Says how two batches differ, or nothing when they are equal: names, types and nullability of columns,
/// number of rows, and values in order.
///
/// ```
/// use arrow::array::{ArrayRef, Int64Array, RecordBatch};
/// use std::sync::Arc;
/// let batch = |v: Vec<i64>| RecordBatch::try_from_iter([("a", Arc::new(Int64Array::from(v)) as ArrayRef)]);
/// let difference = sabot_testkit::batch_difference(&batch(vec![1, 2])?, &batch(vec![1, 3])?);
/// assert_eq!(difference.as_deref(), Some("1 of 2 values differ (actual, expected):\n  row 1, a: 2, 3\n"));
/// # Ok::<(), arrow::error::ArrowError>(())
/// ```
pub fn batch_difference(actual: &RecordBatch, expected: &RecordBatch) -> Option<String> {
    if let Some(difference) = schema_difference(&actual.schema(), &expected.schema()) {
        return Some(difference);
    }
    if actual.num_rows() != expected.num_rows() {
        return Some(format!("{} rows, expected {}", actual.num_rows(), expected.num_rows()));
    }
    let (mut list, mut count) = (String::new(), 0);
    for row in 0..actual.num_rows() {
        for (field, (a, b)) in
            actual.schema().fields().iter().zip(actual.columns().iter().zip(expected.columns()))
        {
            if same_value(a, b, row) {
                continue;
            }
            count += 1;
            if count <= SHOWN {
                let _ = writeln!(list, "  row {row}, {}: {}, {}", field.name(), shown(a, row), shown(b, row));
            }
        }
    }
    let cells = actual.num_rows() * actual.num_columns();
    (count > 0).then(|| format!("{count} of {cells} values differ (actual, expected):\n{list}"))
}

fn schema_difference(actual: &Schema, expected: &Schema) -> Option<String> {
    let describe = |schema: &Schema| -> Vec<String> {
        let null = |nullable: bool| if nullable { ", nullable" } else { "" };
        let fields = schema.fields().iter();
        fields.map(|f| format!("{}: {}{}", f.name(), f.data_type(), null(f.is_nullable()))).collect()
    };
    let (a, b) = (describe(actual), describe(expected));
    (a != b).then(|| format!("columns [{}], expected [{}]", a.join("; "), b.join("; ")))
}

/// Whether two columns of one type hold the same value in a row.
fn same_value(a: &ArrayRef, b: &ArrayRef, row: usize) -> bool {
    match (Scalar::from_array(a.as_ref(), row), Scalar::from_array(b.as_ref(), row)) {
        (Ok(Scalar::Float32(x)), Ok(Scalar::Float32(y))) if x.is_nan() => y.is_nan(),
        (Ok(Scalar::Float64(x)), Ok(Scalar::Float64(y))) if x.is_nan() => y.is_nan(),
        // Null in a union is a value of one of its types, whichever.
        (Ok(x), Ok(y)) if x.is_null() => y.is_null() && x.data_type() == y.data_type(),
        (Ok(x), Ok(y)) => x == y,
        // A hidden column of a type that expressions do not know.
        _ => a.slice(row, 1).to_data() == b.slice(row, 1).to_data(),
    }
}

fn shown(array: &ArrayRef, row: usize) -> String {
    if array.is_null(row) {
        return "null".to_owned();
    }
    match Scalar::from_array(array.as_ref(), row) {
        Ok(Scalar::Null(_)) => "null".to_owned(),
        Ok(value) => value.to_string(),
        Err(_) => array_value_to_string(array, row).unwrap_or_else(|e| format!("<{e}>")),
    }
}

/// Fails unless two batches are equal; see [`batch_difference`].
///
/// # Panics
/// When they differ.
#[track_caller]
pub fn assert_batches_equal(actual: &RecordBatch, expected: &RecordBatch) {
    if let Some(difference) = batch_difference(actual, expected) {
        panic!("batches differ: {difference}");
    }
}

/// Fails unless two lists of batches hold the same rows, in whatever order and however they are cut.
///
/// # Panics
/// When some row stands in one list more often than in the other.
#[track_caller]
pub fn assert_rows_equal(actual: &[RecordBatch], expected: &[RecordBatch]) {
    let mut counts: BTreeMap<Vec<String>, i64> = BTreeMap::new();
    for (batches, sign) in [(actual, 1), (expected, -1)] {
        for batch in batches {
            let columns: Vec<ArrayRef> = batch.columns().iter().map(decoded).collect();
            for row in 0..batch.num_rows() {
                *counts.entry(columns.iter().map(|c| shown(c, row)).collect()).or_default() += sign;
            }
        }
    }
    let differing: Vec<_> = counts.into_iter().filter(|(_, count)| *count != 0).collect();
    if differing.is_empty() {
        return;
    }
    let mut list = String::new();
    for (row, count) in differing.iter().take(SHOWN) {
        let side = if *count > 0 { "too often" } else { "too seldom" };
        let _ = writeln!(list, "  {} times {side}: [{}]", count.abs(), row.join(", "));
    }
    panic!("{} distinct rows differ in number:\n{list}", differing.len());
}

fn decoded(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Dictionary(_, value) => cast(array, value).unwrap_or_else(|_| array.clone()),
        _ => array.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{DictionaryArray, Float64Array, StringArray};
    use arrow::datatypes::Int8Type;
    use std::sync::Arc;

    fn batch(values: Vec<Option<f64>>) -> RecordBatch {
        RecordBatch::try_from_iter_with_nullable([(
            "x",
            Arc::new(Float64Array::from(values)) as ArrayRef,
            true,
        )])
        .unwrap()
    }

    #[test]
    fn floats_are_bits_and_nans_are_one() {
        assert_eq!(batch_difference(&batch(vec![Some(f64::NAN)]), &batch(vec![Some(-f64::NAN)])), None);
        assert!(batch_difference(&batch(vec![Some(0.0)]), &batch(vec![Some(-0.0)])).is_some());
        assert!(batch_difference(&batch(vec![None]), &batch(vec![Some(0.0)])).is_some());
    }

    #[test]
    fn rows_types_and_order_count() {
        let two = batch(vec![Some(1.0), Some(2.0)]);
        assert_eq!(batch_difference(&two, &two.slice(0, 1)).as_deref(), Some("2 rows, expected 1"));
        assert!(batch_difference(&two, &batch(vec![Some(2.0), Some(1.0)])).is_some());
        let not_null = RecordBatch::try_from_iter([("x", two.column(0).clone())]).unwrap();
        assert!(batch_difference(&two, &not_null).unwrap().starts_with("columns [x: Float64, nullable]"));
    }

    #[test]
    fn dictionaries_are_looked_up_and_order_can_be_left_aside() {
        let dictionary = |texts: Vec<&str>| {
            let array: DictionaryArray<Int8Type> = texts.into_iter().collect();
            RecordBatch::try_from_iter([("s", Arc::new(array) as ArrayRef)]).unwrap()
        };
        let (a, b) = (dictionary(vec!["x", "y"]), dictionary(vec!["y", "x"]));
        assert!(batch_difference(&a, &b).is_some());
        assert_eq!(batch_difference(&a.slice(0, 1), &b.slice(1, 1)), None);
        assert_rows_equal(std::slice::from_ref(&a), &[b.slice(0, 1), b.slice(1, 1)]);
        let plain: ArrayRef = Arc::new(StringArray::from(vec!["y", "x"]));
        assert_rows_equal(&[a], &[RecordBatch::try_from_iter([("s", plain)]).unwrap()]);
    }

    #[test]
    #[should_panic(expected = "1 times too seldom: [2.0]")]
    fn missing_rows_are_found() {
        assert_rows_equal(&[batch(vec![Some(1.0)])], &[batch(vec![Some(2.0), Some(1.0)])]);
    }
}
