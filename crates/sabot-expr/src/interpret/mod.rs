//! The interpreter: one row at a time, slow and obvious. It is what every backend is measured against,
//! and what makes the message for a row that a backend found to be in error.
//!
//! Evaluation is strictly left to right and lazy exactly where the language is: AND and OR skip their
//! right operand when the left decides, CASE and COALESCE stop at the branch they take, IN stops at the
//! member that is equal. Everything else evaluates all its operands, also when one is null: `NULL + 1 / 0`
//! is an error, because the division is reached.

mod arithmetic;
mod compare;
mod functions;

pub use compare::compare;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Schema};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use std::sync::Arc;

use crate::cast::cast_scalar;
use crate::error::{RowError, RowErrorKind};
use crate::expr::{BinaryOp, CastMode, Expr};
use crate::like::LikePattern;
use crate::registry::FunctionRegistry;
use crate::resolve::resolve;
use crate::scalar::Scalar;
use crate::typed::{BoundFunction, TypedExpr, TypedKind};
use crate::types::{decoded_type, type_name};

/// The value of an expression for one row.
///
/// # Errors
/// [`RowError`] when the row cannot be computed. It names the innermost expression that failed.
///
/// ```
/// use arrow::array::{Int32Array, RecordBatch};
/// use arrow::datatypes::{DataType, Field, Schema};
/// use std::sync::Arc;
/// use sabot_expr::{FunctionRegistry, Scalar, col, interpret, resolve};
///
/// let schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Int32, false)]));
/// let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(Int32Array::from(vec![5, 0]))])?;
/// let quotient = resolve(&(10 / col("x")), &schema, &FunctionRegistry::new())?;
/// assert_eq!(interpret(&quotient, &batch, 0)?, Scalar::Int32(2));
/// let error = interpret(&quotient, &batch, 1).unwrap_err();
/// assert_eq!(error.to_string(), "division by zero: 10 / 0 in `10 / x`");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn interpret(expr: &TypedExpr, batch: &RecordBatch, row: usize) -> Result<Scalar, RowError> {
    let this = Row { batch, row };
    if row >= batch.num_rows() {
        return Err(this.bad_input(expr, format!("row {row} of {} rows", batch.num_rows())));
    }
    this.value(expr)
}

/// The values of an expression for all rows, as one array of its type.
///
/// ```
/// # use arrow::array::{ArrayRef, AsArray, Int32Array, RecordBatch};
/// # use arrow::datatypes::Int32Type;
/// # use sabot_expr::{FunctionRegistry, col, interpret_batch, resolve};
/// # let x: ArrayRef = std::sync::Arc::new(Int32Array::from(vec![1, 2]));
/// # let batch = RecordBatch::try_from_iter([("x", x)])?;
/// let double = resolve(&(col("x") * 2), &batch.schema(), &FunctionRegistry::new())?;
/// assert_eq!(interpret_batch(&double, &batch)?.as_primitive::<Int32Type>().values(), &[2, 4]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// The error of the first row that has one.
pub fn interpret_batch(expr: &TypedExpr, batch: &RecordBatch) -> Result<ArrayRef, RowError> {
    let whole = Row { batch, row: 0 };
    if let Some(index) = expr.as_column() {
        // A column that is only passed on keeps its dictionary.
        return whole.column(expr, index).cloned();
    }
    let values =
        (0..batch.num_rows()).map(|row| interpret(expr, batch, row)).collect::<Result<Vec<_>, _>>()?;
    Scalar::collect(expr.data_type(), &values).map_err(|error| whole.bad_input(expr, error.to_string()))
}

impl Expr {
    /// The value of an expression that reads no column and calls no user function; `None` where it does,
    /// or where there is no value because the row would be an error.
    ///
    /// ```
    /// # use sabot_expr::{col, lit};
    /// assert_eq!((lit(2) * 3 + 1).constant(), Some(7.into()));
    /// assert_eq!((lit(1) / 0).constant(), None);
    /// assert_eq!(col("delay").constant(), None);
    /// ```
    pub fn constant(&self) -> Option<Scalar> {
        let schema = Arc::new(Schema::empty());
        let typed = resolve(self, &schema, &FunctionRegistry::new()).ok()?;
        let one = RecordBatchOptions::new().with_row_count(Some(1));
        let row = RecordBatch::try_new_with_options(schema, Vec::new(), &one).ok()?;
        interpret(&typed, &row, 0).ok()
    }
}

struct Row<'a> {
    batch: &'a RecordBatch,
    row: usize,
}

impl Row<'_> {
    fn value(&self, expr: &TypedExpr) -> Result<Scalar, RowError> {
        match expr.kind() {
            TypedKind::Column { index, .. } => {
                let column = self.column(expr, *index)?;
                Scalar::from_array(column.as_ref(), self.row).map_err(|e| self.bad_input(expr, e.to_string()))
            }
            TypedKind::Literal(value) => Ok(value.clone()),
            TypedKind::Binary { op: BinaryOp::And, left, right } => self.decided_by(false, left, right),
            TypedKind::Binary { op: BinaryOp::Or, left, right } => self.decided_by(true, left, right),
            TypedKind::Binary { op, left, right } => {
                let (left, right) = (self.value(left)?, self.value(right)?);
                if op.is_comparison() {
                    return Ok(truth(compare(&left, &right).map(|order| compare::holds(*op, order))));
                }
                arithmetic::binary(*op, &left, &right, expr.data_type())
                    .map_err(|kind| self.error(expr, kind))
            }
            TypedKind::Not(input) => Ok(truth(self.truth_of(input)?.map(|value| !value))),
            TypedKind::Negate(input) => arithmetic::negate(&self.value(input)?, expr.data_type())
                .map_err(|kind| self.error(expr, kind)),
            TypedKind::IsNull(input) => Ok(Scalar::Boolean(self.value(input)?.is_null())),
            TypedKind::IsNotNull(input) => Ok(Scalar::Boolean(!self.value(input)?.is_null())),
            TypedKind::Case { whens, otherwise } => {
                for (when, then) in whens {
                    if self.truth_of(when)? == Some(true) {
                        return self.value(then);
                    }
                }
                otherwise.as_ref().map_or_else(|| Ok(null_of(expr)), |value| self.value(value))
            }
            TypedKind::Cast { input, mode } => self.cast(expr, input, *mode),
            TypedKind::Coalesce(args) => {
                for arg in args {
                    let value = self.value(arg)?;
                    if !value.is_null() {
                        return Ok(value);
                    }
                }
                Ok(null_of(expr))
            }
            TypedKind::InList { input, list, negated } => {
                Ok(truth(self.in_list(input, list)?.map(|found| found != *negated)))
            }
            TypedKind::Like { input, pattern, negated, insensitive, escape } => {
                let (text, pattern) = (self.value(input)?, self.value(pattern)?);
                let matched = both_text(&text, &pattern, |text, pattern| {
                    LikePattern::new(pattern, *escape, *insensitive).matches(text)
                });
                Ok(truth(matched.map(|matched| matched != *negated)))
            }
            TypedKind::Function { function, args } => {
                let args = args.iter().map(|arg| self.value(arg)).collect::<Result<Vec<_>, _>>()?;
                functions::apply(*function, &args, expr.data_type()).map_err(|kind| self.error(expr, kind))
            }
            TypedKind::Call { function, args } => self.call(expr, function, args),
        }
    }

    /// AND (decided by false) and OR (decided by true): the right operand is reached only when the left
    /// does not decide.
    fn decided_by(&self, decider: bool, left: &TypedExpr, right: &TypedExpr) -> Result<Scalar, RowError> {
        let left = self.truth_of(left)?;
        if left == Some(decider) {
            return Ok(Scalar::Boolean(decider));
        }
        let right = self.truth_of(right)?;
        Ok(match (left, right) {
            (_, Some(value)) if value == decider => Scalar::Boolean(decider),
            (Some(_), Some(_)) => Scalar::Boolean(!decider),
            _ => Scalar::Null(DataType::Boolean),
        })
    }

    fn truth_of(&self, expr: &TypedExpr) -> Result<Option<bool>, RowError> {
        self.value(expr).map(|value| value.as_bool())
    }

    fn in_list(&self, input: &TypedExpr, list: &[TypedExpr]) -> Result<Option<bool>, RowError> {
        let input = self.value(input)?;
        let mut saw_null = false;
        for member in list {
            match compare(&input, &self.value(member)?) {
                Some(order) if order.is_eq() => return Ok(Some(true)),
                Some(_) => {}
                None => saw_null = true,
            }
        }
        Ok(if saw_null { None } else { Some(false) })
    }

    fn cast(&self, expr: &TypedExpr, input: &TypedExpr, mode: CastMode) -> Result<Scalar, RowError> {
        let value = self.value(input)?;
        match (cast_scalar(&value, expr.data_type()), mode) {
            (Some(value), _) => Ok(value),
            (None, CastMode::Try) => Ok(null_of(expr)),
            (None, CastMode::Strict) => {
                let (from, to) = (value.data_type(), expr.data_type().clone());
                Err(self.error(expr, RowErrorKind::CastFailed { value: value.to_string(), from, to }))
            }
        }
    }

    fn call(
        &self,
        expr: &TypedExpr,
        function: &BoundFunction,
        args: &[TypedExpr],
    ) -> Result<Scalar, RowError> {
        let mut arrays = Vec::with_capacity(args.len());
        for arg in args {
            let array = self.value(arg)?.to_array(1);
            arrays.push(array.map_err(|error| self.bad_input(arg, error.to_string()))?);
        }
        let failed = |message| {
            self.error(expr, RowErrorKind::UserFunction { name: function.name().to_owned(), message })
        };
        let result =
            function.evaluate(&arrays, 1, expr.data_type()).map_err(|error| failed(error.message))?;
        Scalar::from_array(result.as_ref(), 0).map_err(|error| failed(error.to_string()))
    }

    fn column(&self, expr: &TypedExpr, index: usize) -> Result<&ArrayRef, RowError> {
        let Some(column) = self.batch.columns().get(index) else {
            let message = format!("column {index} of {} columns", self.batch.num_columns());
            return Err(self.bad_input(expr, message));
        };
        if column.data_type() != expr.data_type() {
            let (found, wanted) = (type_name(column.data_type()), type_name(expr.data_type()));
            return Err(self.bad_input(expr, format!("column {index} is {found}, resolved as {wanted}")));
        }
        Ok(column)
    }

    fn error(&self, expr: &TypedExpr, error: RowErrorKind) -> RowError {
        RowError { row: self.row, expression: expr.to_string(), error }
    }

    fn bad_input(&self, expr: &TypedExpr, message: String) -> RowError {
        self.error(expr, RowErrorKind::BadInput { message })
    }
}

fn truth(value: Option<bool>) -> Scalar {
    value.map_or(Scalar::Null(DataType::Boolean), Scalar::Boolean)
}

fn null_of(expr: &TypedExpr) -> Scalar {
    Scalar::Null(decoded_type(expr.data_type()).clone())
}

fn both_text(a: &Scalar, b: &Scalar, test: impl Fn(&str, &str) -> bool) -> Option<bool> {
    Some(test(a.as_str()?, b.as_str()?))
}

#[cfg(test)]
mod tests;
