//! CASE: `when(condition).then(value).otherwise(value)`.

use super::IntoExpr;
use crate::expr::Expr;

/// Starts a CASE: `when(condition).then(value).otherwise(value)`.
///
/// ```
/// use sabot_expr::{col, when};
/// let class = when(col("delay").gt(60)).then("very late").when(col("delay").gt(15)).then("late").otherwise("on time");
/// assert_eq!(
///     class.to_string(),
///     "CASE WHEN delay > 60 THEN 'very late' WHEN delay > 15 THEN 'late' ELSE 'on time' END"
/// );
/// ```
pub fn when(condition: impl IntoExpr) -> When {
    When { whens: Vec::new(), condition: condition.into_expr() }
}

/// A CASE whose last condition waits for its value.
///
/// ```
/// # use sabot_expr::{lit, when};
/// let sign = when(lit(-3).lt(0)).then("below").otherwise("not below");
/// assert_eq!(sign.constant(), Some("below".into()));
/// ```
#[derive(Clone, Debug)]
#[must_use = "a condition without `then` does nothing"]
pub struct When {
    whens: Vec<(Expr, Expr)>,
    condition: Expr,
}

impl When {
    /// The value for the rows that meet the condition.
    ///
    /// ```
    /// # use sabot_expr::{lit, when};
    /// assert_eq!(when(lit(1).eq(1)).then("one").end().constant(), Some("one".into()));
    /// ```
    pub fn then(mut self, value: impl IntoExpr) -> Case {
        self.whens.push((self.condition, value.into_expr()));
        Case { whens: self.whens }
    }
}

/// A CASE that can take further branches. As an operand it is complete: without `otherwise` the
/// value is null where no condition is true.
///
/// ```
/// # use sabot_expr::{lit, when};
/// let case = when(lit(5).gt(9)).then("large").when(lit(5).gt(3)).then("medium");
/// assert_eq!(case.otherwise("small").constant(), Some("medium".into()));
/// ```
#[derive(Clone, Debug)]
#[must_use = "end it with `otherwise` or `end`"]
pub struct Case {
    whens: Vec<(Expr, Expr)>,
}

impl Case {
    /// A further branch, tried when no earlier condition was true.
    ///
    /// ```
    /// # use sabot_expr::{lit, when};
    /// let case = when(lit(false)).then(1).when(lit(true)).then(2);
    /// assert_eq!(case.end().constant(), Some(2.into()));
    /// ```
    pub fn when(self, condition: impl IntoExpr) -> When {
        When { whens: self.whens, condition: condition.into_expr() }
    }

    /// The value for the rows that meet no condition.
    ///
    /// ```
    /// # use sabot_expr::{lit, when};
    /// assert_eq!(when(lit(false)).then(1).otherwise(3).constant(), Some(3.into()));
    /// ```
    pub fn otherwise(self, value: impl IntoExpr) -> Expr {
        Expr::Case { whens: self.whens, otherwise: Some(Box::new(value.into_expr())) }
    }

    /// Null for the rows that meet no condition.
    ///
    /// ```
    /// # use sabot_expr::{lit, when};
    /// assert!(when(lit(false)).then(1).end().constant().is_some_and(|value| value.is_null()));
    /// ```
    pub fn end(self) -> Expr {
        Expr::Case { whens: self.whens, otherwise: None }
    }
}
