//! Whether two results are the same, whoever computed them.
//!
//! Engines agree on values and not on types: a count is an int64, a uint32 or a decimal. So integers,
//! strings and truth values are compared as such, exactly, by a checksum over rows; and floats, which may
//! differ in the last bits because sums are added in any order, by a sum in which each value is weighted
//! with the checksum of the exact values of its row. A float under a wrong key changes that sum as much as
//! a wrong float does.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use serde::{Deserialize, Serialize};

use crate::checksum::Row;

/// How far two float sums may be apart, as a share of the sum of magnitudes.
const TOLERANCE: f64 = 1e-9;

/// What a result comes to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Digest {
    /// Rows.
    pub rows: u64,
    /// Checksum of everything exact, nulls of floats included.
    pub exact: u64,
    /// Weighted sum of each column of floats, and the sum of magnitudes.
    pub floats: Vec<(f64, f64)>,
}

impl Digest {
    /// What differs, in words; `None` when nothing does.
    pub fn difference(&self, expected: &Digest) -> Option<String> {
        if self.rows != expected.rows {
            return Some(format!("{} rows, expected {}", self.rows, expected.rows));
        }
        if self.exact != expected.exact {
            return Some(format!("checksum {:016x}, expected {:016x}", self.exact, expected.exact));
        }
        if self.floats.len() != expected.floats.len() {
            let (found, wanted) = (self.floats.len(), expected.floats.len());
            return Some(format!("{found} columns of floats, expected {wanted}"));
        }
        let pairs = self.floats.iter().zip(&expected.floats).enumerate();
        // Written so that a NaN is a difference.
        let near = |a: f64, b: f64, scale: f64| (a - b).abs() <= TOLERANCE * scale;
        let apart =
            pairs.map(|(i, (a, b))| (i, a.0, b.0, b.1)).find(|(_, a, b, scale)| !near(*a, *b, *scale));
        apart.map(|(i, found, wanted, _)| format!("float column {i} sums to {found:e}, expected {wanted:e}"))
    }
}

/// Gathers the rows of a result.
#[derive(Clone, Debug)]
pub struct Facts {
    ordered: bool,
    digest: Digest,
}

impl Facts {
    /// No rows yet. Where rows are `ordered`, each one's place is part of it.
    pub fn new(ordered: bool) -> Self {
        Self { ordered, digest: Digest { rows: 0, exact: 0, floats: Vec::new() } }
    }

    /// Adds a row: its exact values, and its floats.
    pub fn row(&mut self, exact: Row, floats: &[Option<f64>]) {
        let place = if self.ordered { self.digest.rows.cast_signed() } else { 0 };
        let exact = floats.iter().fold(exact, |row, value| if value.is_none() { row.null() } else { row });
        let sum = exact.int(place).finish();
        let weight = 1.0 + (sum >> 11) as f64 / (1u64 << 53) as f64;
        self.digest.rows += 1;
        self.digest.exact = self.digest.exact.wrapping_add(sum);
        self.digest.floats.resize(floats.len(), (0.0, 0.0));
        for (total, value) in self.digest.floats.iter_mut().zip(floats) {
            let value = weight * value.unwrap_or(0.0);
            *total = (total.0 + value, total.1 + value.abs());
        }
    }

    /// Adds the rows of a batch.
    ///
    /// # Errors
    /// For a column that is neither exact nor float, or an integer beyond 64 bits.
    pub fn batch(&mut self, batch: &RecordBatch) -> Result<(), String> {
        let mut exact: Vec<ArrayRef> = Vec::new();
        let mut floats: Vec<ArrayRef> = Vec::new();
        for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
            use DataType as T;
            let (list, to) = match field.data_type() {
                t if t.is_floating() => (&mut floats, T::Float64),
                t if t.is_integer() || matches!(t, T::Boolean | T::Decimal128(_, 0)) => {
                    (&mut exact, T::Int64)
                }
                T::Date32 | T::Timestamp(..) => (&mut exact, T::Int64),
                T::Utf8 | T::LargeUtf8 | T::Utf8View | T::Dictionary(..) => (&mut exact, T::LargeUtf8),
                other => return Err(format!("column \"{}\" is {other}", field.name())),
            };
            let same = cast(column, &to).map_err(|e| e.to_string())?;
            if same.null_count() != column.null_count() {
                return Err(format!("column \"{}\" has values beyond {to}", field.name()));
            }
            list.push(same);
        }
        let mut values = Vec::with_capacity(floats.len());
        for i in 0..batch.num_rows() {
            let row = exact.iter().fold(Row::new(), |row, column| match column.data_type() {
                _ if column.is_null(i) => row.null(),
                DataType::Int64 => row.int(column.as_primitive::<Int64Type>().value(i)),
                _ => row.text(column.as_string::<i64>().value(i)),
            });
            values.clear();
            let float =
                |column: &ArrayRef| column.is_valid(i).then(|| column.as_primitive::<Float64Type>().value(i));
            values.extend(floats.iter().map(float));
            self.row(row, &values);
        }
        Ok(())
    }

    /// What the rows come to.
    pub fn finish(self) -> Digest {
        self.digest
    }
}
