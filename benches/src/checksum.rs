//! One number for a result, whatever the order of its rows.
//!
//! A row's values are mixed in the order of its columns, and the rows are added up. So rows may come in
//! any order and any batches, but not twice, and no value may differ by a bit.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};

/// The checksum of one row, value by value.
///
/// ```
/// use sabot_benches::checksum::Row;
/// let sum = |a: i64, b: &str| Row::new().int(a).text(b).finish();
/// assert_ne!(sum(1, "2"), sum(2, "1"));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Row(u64);

impl Default for Row {
    fn default() -> Self {
        Self::new()
    }
}

impl Row {
    /// A row without values.
    pub fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    /// The row with an integer behind its values.
    #[must_use]
    pub fn int(self, value: i64) -> Self {
        self.word(1, value.cast_unsigned())
    }

    /// The row with a float, by its bits.
    #[must_use]
    pub fn float(self, value: f64) -> Self {
        self.word(2, value.to_bits())
    }

    /// The row with a text.
    #[must_use]
    pub fn text(self, value: &str) -> Self {
        let start = self.word(3, value.len() as u64);
        value.bytes().fold(start, |row, byte| row.word(4, u64::from(byte)))
    }

    /// The row with a null.
    #[must_use]
    pub fn null(self) -> Self {
        self.word(5, 0)
    }

    /// Its checksum.
    pub fn finish(self) -> u64 {
        mix(self.0)
    }

    fn word(self, tag: u64, value: u64) -> Self {
        Self(mix(self.0 ^ tag).wrapping_add(value))
    }
}

/// The finalizer of SplitMix64: every bit of the input reaches every bit of the output.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The checksum of many rows.
pub fn of_rows(rows: impl IntoIterator<Item = Row>) -> u64 {
    rows.into_iter().fold(0, |sum, row| sum.wrapping_add(row.finish()))
}

/// The checksum of the rows of batches. `start` is what each row of the batch beside it begins with:
/// [`Row::new`], or the target that the rows were sent to.
///
/// # Panics
/// For a column that is no integer, float, string or timestamp: none of the benchmarks has one.
pub fn of_batches<'a>(batches: impl IntoIterator<Item = (Row, &'a RecordBatch)>) -> u64 {
    let mut sum = 0u64;
    for (start, batch) in batches {
        let mut rows = vec![start; batch.num_rows()];
        for column in batch.columns() {
            add_column(&mut rows, column);
        }
        sum = sum.wrapping_add(of_rows(rows));
    }
    sum
}

fn add_column(rows: &mut [Row], column: &dyn Array) {
    let wanted = match column.data_type() {
        DataType::Float32 | DataType::Float64 => DataType::Float64,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(..) => {
            DataType::Utf8
        }
        _ => DataType::Int64,
    };
    let column = cast(column, &wanted).expect("a column of a type that checksums know");
    for (i, row) in rows.iter_mut().enumerate() {
        *row = match &wanted {
            _ if column.is_null(i) => row.null(),
            DataType::Float64 => row.float(column.as_primitive::<Float64Type>().value(i)),
            DataType::Utf8 => row.text(column.as_string::<i32>().value(i)),
            _ => row.int(column.as_primitive::<Int64Type>().value(i)),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Float64Array, Int64Array, LargeStringArray};
    use std::sync::Arc;

    fn batch(ints: &[Option<i64>], floats: &[f64], texts: &[&str]) -> RecordBatch {
        RecordBatch::try_from_iter([
            ("i", Arc::new(Int64Array::from(ints.to_vec())) as ArrayRef),
            ("f", Arc::new(Float64Array::from(floats.to_vec()))),
            ("t", Arc::new(LargeStringArray::from(texts.to_vec()))),
        ])
        .unwrap()
    }

    fn sum(batches: &[RecordBatch]) -> u64 {
        of_batches(batches.iter().map(|b| (Row::new(), b)))
    }

    #[test]
    fn the_order_of_rows_and_the_cut_into_batches_do_not_matter() {
        let whole = batch(&[Some(1), None, Some(3)], &[0.5, 1.5, 2.5], &["a", "", "c"]);
        let turned = batch(&[Some(3), Some(1), None], &[2.5, 0.5, 1.5], &["c", "a", ""]);
        assert_eq!(sum(std::slice::from_ref(&whole)), sum(&[turned.slice(0, 1), turned.slice(1, 2)]));
        let rows = [
            Row::new().int(1).float(0.5).text("a"),
            Row::new().null().float(1.5).text(""),
            Row::new().int(3).float(2.5).text("c"),
        ];
        assert_eq!(sum(&[whole]), of_rows(rows));
    }

    #[test]
    fn every_change_is_seen() {
        let of = |ints: &[Option<i64>], floats: &[f64], texts: &[&str]| sum(&[batch(ints, floats, texts)]);
        let right = of(&[Some(1), Some(2)], &[0.5, 1.5], &["a", "b"]);
        assert_ne!(right, of(&[Some(2), Some(1)], &[0.5, 1.5], &["a", "b"]), "values in other rows");
        assert_ne!(right, of(&[None, Some(2)], &[0.5, 1.5], &["a", "b"]), "a null");
        assert_ne!(
            right,
            of(&[Some(1), Some(2)], &[0.5, 1.500_000_000_000_000_2], &["a", "b"]),
            "a last bit"
        );
        assert_ne!(right, of(&[Some(1)], &[0.5], &["a"]), "a missing row");
        assert_ne!(
            right,
            of(&[Some(1), Some(2), Some(2)], &[0.5, 1.5, 1.5], &["a", "b", "b"]),
            "a row twice"
        );
    }
}
