//! From a filter expression to the tests that statistics can answer.

use arrow::datatypes::DataType;
use sabot_expr::types::{is_integer, is_signed_integer};
use sabot_expr::{BinaryOp, Scalar, TypedExpr, TypedKind};

use super::{Bound, Comparison, Condition, PruneFilter, PruneTest};

impl PruneFilter {
    /// The tests of a filter that was resolved against a source's schema; `None` when statistics cannot
    /// help.
    ///
    /// Of a conjunction only the terms before the first that can fail are taken: a row that a later term
    /// refuses may still have to be read, because the failing term is evaluated before it and its error
    /// must not vanish.
    ///
    /// ```
    /// use arrow::datatypes::{DataType, Field, Schema};
    /// use sabot_connect::PruneFilter;
    /// use sabot_expr::{FunctionRegistry, col, resolve};
    /// let schema = Schema::new(vec![Field::new("delay", DataType::Int32, false)]);
    /// let filter = resolve(&col("delay").gt(15), &schema, &FunctionRegistry::new())?;
    /// assert_eq!(PruneFilter::from_expr(&filter).map(|f| f.tests().len()), Some(1));
    /// # Ok::<(), sabot_expr::ExprError>(())
    /// ```
    pub fn from_expr(filter: &TypedExpr) -> Option<Self> {
        let mut terms = Vec::new();
        conjuncts(filter, &mut terms);
        let tests: Vec<PruneTest> =
            terms.into_iter().take_while(|term| !term.can_fail()).filter_map(test_of).collect();
        (!tests.is_empty()).then(|| PruneFilter::new(tests))
    }
}

/// The terms of a conjunction, in the order in which they are evaluated.
fn conjuncts<'a>(expr: &'a TypedExpr, terms: &mut Vec<&'a TypedExpr>) {
    match expr.kind() {
        TypedKind::Binary { op: BinaryOp::And, left, right } => {
            conjuncts(left, terms);
            conjuncts(right, terms);
        }
        _ => terms.push(expr),
    }
}

fn test_of(term: &TypedExpr) -> Option<PruneTest> {
    let (column, condition) = match term.kind() {
        TypedKind::IsNull(input) => (column_of(input)?, Condition::IsNull),
        TypedKind::IsNotNull(input) => (column_of(input)?, Condition::IsNotNull),
        TypedKind::Binary { op, left, right } => {
            let comparison = comparison_of(*op)?;
            match (column_of(left), column_of(right)) {
                (Some(column), None) => (column, Condition::Compare(comparison, bound_of(right)?)),
                (None, Some(column)) => (column, Condition::Compare(comparison.swapped(), bound_of(left)?)),
                _ => return None,
            }
        }
        // A boolean column may be a filter by itself, and so may its negation.
        TypedKind::Column { index, .. } => (*index, Condition::Compare(Comparison::Eq, Bound::Bool(true))),
        TypedKind::Not(input) => (input.as_column()?, Condition::Compare(Comparison::Eq, Bound::Bool(false))),
        _ => return None,
    };
    Some(PruneTest { column, condition })
}

/// The column behind casts that change neither a value nor an order.
fn column_of(expr: &TypedExpr) -> Option<usize> {
    match expr.kind() {
        TypedKind::Column { index, .. } => Some(*index),
        TypedKind::Cast { input, .. } if widens(input.data_type(), expr.data_type()) => column_of(input),
        _ => None,
    }
}

fn widens(from: &DataType, to: &DataType) -> bool {
    let string = |t: &DataType| matches!(t, DataType::Utf8 | DataType::LargeUtf8);
    match (from, to) {
        (DataType::Dictionary(_, value), to) => string(value) && string(to),
        (DataType::Float32, DataType::Float64) => true,
        (from, to) if string(from) && string(to) => true,
        (from, to) if is_integer(from) && is_integer(to) => {
            let (from_bits, to_bits) = (from.primitive_width(), to.primitive_width());
            match (is_signed_integer(from), is_signed_integer(to)) {
                (true, false) => false,
                (false, true) => from_bits < to_bits,
                _ => from_bits <= to_bits,
            }
        }
        _ => false,
    }
}

fn comparison_of(op: BinaryOp) -> Option<Comparison> {
    Some(match op {
        BinaryOp::Eq => Comparison::Eq,
        BinaryOp::NotEq => Comparison::NotEq,
        BinaryOp::Lt => Comparison::Lt,
        BinaryOp::LtEq => Comparison::LtEq,
        BinaryOp::Gt => Comparison::Gt,
        BinaryOp::GtEq => Comparison::GtEq,
        _ => return None,
    })
}

/// The value of a literal; a null literal compares with nothing and is left to the filter itself.
fn bound_of(expr: &TypedExpr) -> Option<Bound> {
    Bound::of(expr.as_literal()?)
}

impl Bound {
    /// A scalar as a bound; `None` for null.
    pub fn of(value: &Scalar) -> Option<Self> {
        Some(match value {
            Scalar::Boolean(value) => Bound::Bool(*value),
            Scalar::Date32(days) => Bound::Int(i128::from(*days)),
            Scalar::Timestamp { value, .. } => Bound::Int(i128::from(*value)),
            Scalar::Decimal128 { value, .. } => Bound::Int(*value),
            Scalar::Utf8(text) | Scalar::LargeUtf8(text) => Bound::Text(text.to_string()),
            other => match (other.as_integer(), other.as_float()) {
                (Some(value), _) => Bound::Int(value),
                (None, Some(value)) => Bound::Float(value),
                (None, None) => return None,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::{Field, Schema, TimeUnit};
    use sabot_expr::{Expr, FunctionRegistry, col, lit, resolve};

    fn tests_of(expr: &Expr) -> Vec<PruneTest> {
        let schema = Schema::new(vec![
            Field::new("small", DataType::Int16, true),
            Field::new("big", DataType::Int64, true),
            Field::new("ratio", DataType::Float32, true),
            Field::new("name", DataType::Utf8, true),
            Field::new("on", DataType::Boolean, true),
            Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        ]);
        let typed = resolve(expr, &schema, &FunctionRegistry::new()).unwrap();
        PruneFilter::from_expr(&typed).map(|f| f.tests().to_vec()).unwrap_or_default()
    }

    fn compare(column: usize, comparison: Comparison, bound: Bound) -> PruneTest {
        PruneTest { column, condition: Condition::Compare(comparison, bound) }
    }

    #[test]
    fn comparisons_joined_by_and_become_tests() {
        let expr = col("small").gt(lit(15i64)).and(lit("b").gt_eq(col("name"))).and(col("on"));
        assert_eq!(
            tests_of(&expr),
            [
                compare(0, Comparison::Gt, Bound::Int(15)),
                compare(3, Comparison::LtEq, Bound::Text("b".into())),
                compare(4, Comparison::Eq, Bound::Bool(true)),
            ]
        );
        assert_eq!(
            tests_of(&col("ratio").lt(lit(0.5f64)).and(col("big").is_null())),
            [
                compare(2, Comparison::Lt, Bound::Float(0.5)),
                PruneTest { column: 1, condition: Condition::IsNull },
            ]
        );
    }

    #[test]
    fn what_statistics_cannot_answer_is_left_out() {
        assert!(tests_of(&col("small").gt(15).or(col("big").gt(1))).is_empty());
        assert!(tests_of(&col("big").gt(col("small"))).is_empty());
        // An i64 is not always the same number as an f64.
        assert!(tests_of(&col("big").gt(lit(0.5f64))).is_empty());
    }

    #[test]
    fn nothing_behind_a_term_that_can_fail_is_used() {
        let fails = (lit(10i64) / col("big")).gt(1);
        let expr = col("small").gt(1).and(fails).and(col("ratio").lt(lit(0.5f32)));
        assert_eq!(tests_of(&expr), [compare(0, Comparison::Gt, Bound::Int(1))]);
    }
}
