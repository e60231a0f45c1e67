//! User functions.
//!
//! A function that may report errors is given only the rows that reach it, because it may say anything
//! about the others. When it reports one, which rows are at fault is not known for certain: it is run
//! again row by row, which is what the interpreter does, up to the first that fails.

use arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array, new_null_array};
use arrow::compute::{concat, filter};
use arrow::datatypes::DataType;
use sabot_batch::gather;
use sabot_expr::{BoundFunction, TypedExpr};
use sabot_ops::Failure;

use super::value::Value;
use super::{Active, Scope, arrow_bug};

impl Scope<'_> {
    /// The result of a user function.
    pub(super) fn call(
        &self,
        function: &BoundFunction,
        args: &[TypedExpr],
        returns: &DataType,
        active: Active<'_>,
    ) -> Result<Value, Failure> {
        let mut arrays = Vec::with_capacity(args.len());
        for arg in args {
            arrays.push(self.value(arg, active)?.into_array(self.rows)?);
        }
        let Some(reached) = self.reached(active) else {
            return self.call_dense(function, &arrays, self.rows, returns, |row| row);
        };
        if !function.fallible()
            && let Ok(result) = function.evaluate(&arrays, self.rows, returns)
        {
            return Ok(Value::column(result));
        }
        let rows = u32::try_from(self.rows).map_err(|_| too_many(self.rows))?;
        let indices: Vec<u32> = (0..rows).filter(|row| reached.value(*row as usize)).collect();
        let dense = arrays.iter().map(|array| filter(array, &reached)).collect::<Result<Vec<_>, _>>();
        let dense = dense.map_err(arrow_bug)?;
        let at = |row: usize| indices.get(row).map_or(row, |row| *row as usize);
        let result = self.call_dense(function, &dense, indices.len(), returns, at)?;
        spread(result.array(), &reached).map(Value::column)
    }

    /// The active rows that did not fail already, as a filter; `None` when that is every row.
    fn reached(&self, active: Active<'_>) -> Option<BooleanArray> {
        let end = self.failed().unwrap_or(self.rows);
        match active {
            None if end == self.rows => None,
            Some(active) if end == self.rows && active.count_set_bits() == self.rows => None,
            None => Some((0..self.rows).map(|row| Some(row < end)).collect()),
            Some(active) => Some((0..self.rows).map(|row| Some(row < end && active.value(row))).collect()),
        }
    }

    /// Calls the function for rows that all reached it; `at` gives their places in the batch.
    fn call_dense(
        &self,
        function: &BoundFunction,
        args: &[ArrayRef],
        rows: usize,
        returns: &DataType,
        at: impl Fn(usize) -> usize,
    ) -> Result<Value, Failure> {
        if rows == 0 {
            return Ok(Value::column(new_null_array(returns, 0)));
        }
        if let Ok(result) = function.evaluate(args, rows, returns) {
            return Ok(Value::column(result));
        }
        let mut results = Vec::with_capacity(rows);
        for row in 0..rows {
            let one: Vec<ArrayRef> = args.iter().map(|array| array.slice(row, 1)).collect();
            match function.evaluate(&one, 1, returns) {
                Ok(result) => results.push(result),
                Err(_) => {
                    self.fail(at(row));
                    results.push(new_null_array(returns, rows - row));
                    break;
                }
            }
        }
        let parts: Vec<&dyn Array> = results.iter().map(AsRef::as_ref).collect();
        concat(&parts).map(Value::column).map_err(arrow_bug)
    }
}

/// The results of the reached rows at their places; null elsewhere.
fn spread(dense: &ArrayRef, reached: &BooleanArray) -> Result<ArrayRef, Failure> {
    let mut next = 0;
    let indices: UInt32Array = reached
        .values()
        .iter()
        .map(|reached| {
            reached.then(|| {
                next += 1;
                next - 1
            })
        })
        .collect();
    gather(dense, &indices).map_err(arrow_bug)
}

fn too_many(rows: usize) -> Failure {
    Failure::Internal(format!("{rows} rows in one morsel; at most {} are possible", u32::MAX))
}
