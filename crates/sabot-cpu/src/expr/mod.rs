//! Vectorised evaluation of typed expressions over the columns of a batch.
//!
//! The rule that shapes it: an error exists only for a row that *reaches* the failing expression. So
//! evaluation carries the set of active rows downwards: the right side of AND is active where the left
//! side did not decide, a branch of CASE where its condition holds, and so on. What cannot fail is
//! computed for all rows at once, whatever is active; what lies outside the active rows is arbitrary
//! and never looked at. An expression that fails on an active row fails that row for good, whatever
//! stands around it. Hence one number is enough to remember all errors: the smallest failing row. The
//! interpreter is then run on that row to say what happened, so the message is made in one place.
//!
//! The invariant, held by tests against random expressions: on every active row before the smallest
//! failing one the result equals the interpreter's, and the smallest failing row is the interpreter's
//! first error.

mod arithmetic;
mod call;
mod cast;
mod compare;
mod decimal;
mod functions;
mod logic;
mod span;
mod text;
mod ticks;
mod value;

pub(crate) use cast::converted;
pub(crate) use functions::Patterns;
pub(crate) use logic::is_true;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::buffer::BooleanBuffer;
use arrow::error::ArrowError;
use sabot_expr::{BinaryOp, ExprError, TypedExpr, TypedKind};
use sabot_ops::Failure;
use std::cell::Cell;

use crate::simd::Level;
use value::Value;

/// The rows that an expression is evaluated for; `None` is all of them. As long as the batch.
pub(crate) type Active<'a> = Option<&'a BooleanBuffer>;

/// Columns to evaluate over, and the smallest row that has failed so far.
pub(crate) struct Scope<'a> {
    columns: &'a [ArrayRef],
    rows: usize,
    level: Level,
    /// Regular expressions that are compiled already.
    patterns: Option<&'a Patterns>,
    failed: Cell<Option<usize>>,
}

impl<'a> Scope<'a> {
    /// A scope over columns of `rows` rows. Columns that no expression reads may have another length.
    pub(crate) fn new(columns: &'a [ArrayRef], rows: usize, level: Level) -> Self {
        Self { columns, rows, level, patterns: None, failed: Cell::new(None) }
    }

    /// The scope with the regular expressions that its expressions are known to need.
    pub(crate) fn with_patterns(self, patterns: &'a Patterns) -> Self {
        Self { patterns: Some(patterns), ..self }
    }

    /// The smallest active row that failed in any expression evaluated so far.
    pub(crate) fn failed(&self) -> Option<usize> {
        self.failed.get()
    }

    /// The values of an expression, one a row. Values outside the active rows are arbitrary.
    ///
    /// # Errors
    /// [`Failure::Internal`] when the columns do not fit the expression. A row that fails is no error
    /// here: [`Scope::failed`] tells.
    pub(crate) fn evaluate(&self, expr: &TypedExpr, active: Active<'_>) -> Result<ArrayRef, Failure> {
        self.value(expr, active)?.into_array(self.rows)
    }

    /// The values of a boolean expression, one a row.
    ///
    /// # Errors
    /// As [`Scope::evaluate`].
    pub(crate) fn evaluate_predicate(
        &self,
        expr: &TypedExpr,
        active: Active<'_>,
    ) -> Result<BooleanArray, Failure> {
        self.value(expr, active)?.into_booleans(self.rows)
    }

    /// Notes that `row`, an active one, failed.
    fn fail(&self, row: usize) {
        self.failed.set(Some(self.failed.get().map_or(row, |first| first.min(row))));
    }

    /// Notes the first active row of which `bad` says that it failed. A bad `constant` is bad for every row.
    fn fail_where(&self, active: Active<'_>, constant: bool, bad: impl Fn(usize) -> bool) {
        let at = |row: usize| bad(if constant { 0 } else { row });
        let first = match active {
            Some(active) => active.set_indices().find(|row| at(*row)),
            None => (0..self.rows).find(|row| at(*row)),
        };
        if let Some(row) = first {
            self.fail(row);
        }
    }

    fn value(&self, expr: &TypedExpr, active: Active<'_>) -> Result<Value, Failure> {
        match expr.kind() {
            TypedKind::Column { index, name } => self.column(*index, name, expr),
            TypedKind::Literal(value) => Ok(Value::constant(value.to_array(1).map_err(does_not_fit)?)),
            TypedKind::Binary { op: BinaryOp::And, left, right } => self.and(left, right, active),
            TypedKind::Binary { op: BinaryOp::Or, left, right } => self.or(left, right, active),
            TypedKind::Binary { op, left, right } if op.is_comparison() => {
                self.comparison(*op, left, right, active)
            }
            TypedKind::Binary { op, left, right } => {
                let (left, right) = (self.value(left, active)?, self.value(right, active)?);
                self.arithmetic(*op, expr.data_type(), &left, &right, active)
            }
            TypedKind::Not(input) => self.not(input, active),
            TypedKind::Negate(input) => {
                let input = self.value(input, active)?;
                self.negate(&input, active)
            }
            TypedKind::IsNull(input) => self.is_null(input, active, true),
            TypedKind::IsNotNull(input) => self.is_null(input, active, false),
            TypedKind::Case { whens, otherwise } => {
                self.case(expr.data_type(), whens, otherwise.as_deref(), active)
            }
            TypedKind::Cast { input, mode } => {
                let input = self.value(input, active)?;
                self.cast(&input, expr.data_type(), *mode, active)
            }
            TypedKind::Coalesce(args) => self.coalesce(expr.data_type(), args, active),
            TypedKind::InList { input, list, negated } => self.in_list(input, list, *negated, active),
            TypedKind::Like { input, pattern, negated, insensitive, escape } => {
                self.like(input, pattern, *negated, *insensitive, *escape, active)
            }
            TypedKind::Function { function, args } => {
                self.function(*function, args, expr.data_type(), active)
            }
            TypedKind::Call { function, args } => self.call(function, args, expr.data_type(), active),
        }
    }

    fn column(&self, index: usize, name: &str, expr: &TypedExpr) -> Result<Value, Failure> {
        match self.columns.get(index) {
            Some(array) if array.data_type() == expr.data_type() && array.len() == self.rows => {
                Ok(Value::column(array.clone()))
            }
            Some(array) => Err(Failure::Internal(format!(
                "column {index} \"{name}\" is {} rows of {}; the expression needs {} rows of {}",
                array.len(),
                array.data_type(),
                self.rows,
                expr.data_type()
            ))),
            None => {
                Err(Failure::Internal(format!("no column {index} \"{name}\" among {}", self.columns.len())))
            }
        }
    }
}

/// An error of Arrow on arrays whose types and lengths were checked: a bug, reported as such.
pub(crate) fn arrow_bug(error: ArrowError) -> Failure {
    Failure::Internal(format!("vectorised evaluation: {error}"))
}

fn does_not_fit(error: ExprError) -> Failure {
    Failure::Internal(error.to_string())
}

/// A node that met a type which the resolver never gives it.
fn wrong_type(what: &str, data_type: &arrow::datatypes::DataType) -> Failure {
    Failure::Internal(format!("{what} of {data_type}: the resolver lets no such expression pass"))
}

#[cfg(test)]
mod tests;
