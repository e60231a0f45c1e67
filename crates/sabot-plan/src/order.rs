//! The words for orders: `desc("late_flights")`, `asc(col("a") + 1).nulls_first()`.

use sabot_expr::{Expr, TypedExpr};
use serde::{Deserialize, Serialize};
use std::fmt;

use crate::IntoKey;

/// A key to sort by, as a user writes it.
///
/// Nulls stand last in both directions unless [`nulls_first`](SortExpr::nulls_first) is said.
///
/// ```
/// use sabot_plan::{asc, desc};
/// assert_eq!(desc("delay").to_string(), "delay desc");
/// assert_eq!(asc("delay").nulls_first().to_string(), "delay nulls first");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SortExpr {
    /// What is compared.
    pub expr: Expr,
    /// From the greatest to the smallest.
    pub descending: bool,
    /// Nulls before all values rather than behind them.
    pub nulls_first: bool,
}

impl SortExpr {
    /// Puts nulls before all values.
    #[must_use]
    pub fn nulls_first(mut self) -> Self {
        self.nulls_first = true;
        self
    }
}

impl fmt::Display for SortExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_key(f, &self.expr, self.descending, self.nulls_first)
    }
}

/// From the smallest to the greatest: the name of a column, or an expression.
///
/// ```
/// use sabot_expr::col;
/// use sabot_plan::asc;
/// assert_eq!(asc("delay").expr, col("delay"));
/// assert!(!asc(col("delay") % 60).descending);
/// ```
pub fn asc(key: impl IntoKey) -> SortExpr {
    SortExpr { expr: key.into_key(), descending: false, nulls_first: false }
}

/// From the greatest to the smallest: the name of a column, or an expression.
///
/// ```
/// use sabot_plan::desc;
/// assert!(desc("delay").descending);
/// assert!(!desc("delay").nulls_first, "nulls stand last in both directions");
/// ```
pub fn desc(key: impl IntoKey) -> SortExpr {
    SortExpr { expr: key.into_key(), descending: true, nulls_first: false }
}

/// What can stand as a key to sort by: [`asc`], [`desc`], or what they take, which is then ascending.
///
/// ```
/// use sabot_plan::{IntoSort, asc, desc};
/// assert_eq!("delay".into_sort(), asc("delay"));
/// assert_eq!(desc("delay").into_sort(), desc("delay"));
/// ```
pub trait IntoSort {
    /// The key to sort by.
    fn into_sort(self) -> SortExpr;
}

impl IntoSort for SortExpr {
    fn into_sort(self) -> SortExpr {
        self
    }
}

impl<K: IntoKey> IntoSort for K {
    fn into_sort(self) -> SortExpr {
        asc(self)
    }
}

/// A key to sort by over the columns of a node's input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrderBy {
    /// What is compared.
    pub expr: TypedExpr,
    /// From the greatest to the smallest.
    pub descending: bool,
    /// Nulls before all values rather than behind them.
    pub nulls_first: bool,
}

impl fmt::Display for OrderBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_key(f, &self.expr, self.descending, self.nulls_first)
    }
}

fn write_key(
    f: &mut fmt::Formatter<'_>,
    expr: &impl fmt::Display,
    descending: bool,
    nulls_first: bool,
) -> fmt::Result {
    expr.fmt(f)?;
    if descending {
        f.write_str(" desc")?;
    }
    if nulls_first {
        f.write_str(" nulls first")?;
    }
    Ok(())
}
