//! The words for aggregations: `count()`, `sum(col("delay")).alias("total")`.

use sabot_expr::{Expr, IntoExpr, col};
use sabot_ops::AggregateFunction;
use serde::{Deserialize, Serialize};

use crate::KeyedWindow;

/// An aggregate as a user writes it.
///
/// ```
/// use sabot_expr::col;
/// use sabot_plan::{avg, count};
/// assert_eq!(count().output_name(), "count(*)");
/// assert_eq!(avg(col("delay")).output_name(), "avg(delay)");
/// assert_eq!(avg(col("delay")).alias("average_delay").output_name(), "average_delay");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AggregateExpr {
    /// The function.
    pub function: AggregateFunction,
    /// What it reads; `None` for `count(*)`.
    pub argument: Option<Expr>,
    /// Name of the result column, where one is given.
    pub alias: Option<String>,
}

impl AggregateExpr {
    fn new(function: AggregateFunction, argument: Option<Expr>) -> Self {
        Self { function, argument, alias: None }
    }

    /// The aggregate under a name for the output.
    #[must_use]
    pub fn alias(mut self, name: impl Into<String>) -> Self {
        self.alias = Some(name.into());
        self
    }

    /// Name of the result column: the alias, else the text of the call.
    pub fn output_name(&self) -> String {
        match (&self.alias, &self.argument) {
            (Some(alias), _) => alias.clone(),
            (None, Some(argument)) => format!("{}({argument})", self.function.name()),
            (None, None) => format!("{}(*)", self.function.name()),
        }
    }
}

/// How many rows there are.
///
/// ```
/// # use sabot_plan::count;
/// assert_eq!(count().output_name(), "count(*)");
/// ```
pub fn count() -> AggregateExpr {
    AggregateExpr::new(AggregateFunction::Count, None)
}

/// How many values are not null.
///
/// ```
/// # use sabot_expr::col;
/// # use sabot_plan::count_of;
/// assert_eq!(count_of(col("delay")).output_name(), "count(delay)");
/// ```
pub fn count_of(value: impl IntoExpr) -> AggregateExpr {
    AggregateExpr::new(AggregateFunction::Count, Some(value.into_expr()))
}

/// The sum of the values that are not null; null without any.
///
/// ```
/// # use sabot_expr::col;
/// # use sabot_plan::sum;
/// assert_eq!(sum(col("a") * col("b")).output_name(), "sum(a * b)");
/// ```
pub fn sum(value: impl IntoExpr) -> AggregateExpr {
    AggregateExpr::new(AggregateFunction::Sum, Some(value.into_expr()))
}

/// The arithmetic mean of the values that are not null; null without any.
///
/// ```
/// # use sabot_expr::col;
/// # use sabot_plan::avg;
/// assert_eq!(avg(col("delay")).alias("average_delay").output_name(), "average_delay");
/// ```
pub fn avg(value: impl IntoExpr) -> AggregateExpr {
    AggregateExpr::new(AggregateFunction::Avg, Some(value.into_expr()))
}

/// The smallest value; null without any.
///
/// ```
/// # use sabot_expr::col;
/// # use sabot_plan::min;
/// assert_eq!(min(col("delay")).output_name(), "min(delay)");
/// ```
pub fn min(value: impl IntoExpr) -> AggregateExpr {
    AggregateExpr::new(AggregateFunction::Min, Some(value.into_expr()))
}

/// The largest value; null without any.
///
/// ```
/// # use sabot_expr::col;
/// # use sabot_plan::max;
/// assert_eq!(max(col("delay").abs()).output_name(), "max(abs(delay))");
/// ```
pub fn max(value: impl IntoExpr) -> AggregateExpr {
    AggregateExpr::new(AggregateFunction::Max, Some(value.into_expr()))
}

/// What can stand as a key: the name of a column, or an expression.
///
/// Where an operand is wanted a string is a literal; a literal is never a useful key, so here a string
/// names a column.
///
/// ```
/// # use sabot_expr::col;
/// # use sabot_plan::IntoKey;
/// assert_eq!("origin".into_key(), col("origin"));
/// assert_eq!(col("date").hour().into_key(), col("date").hour());
/// ```
pub trait IntoKey {
    /// The key as an expression.
    fn into_key(self) -> Expr;
}

impl IntoKey for &str {
    fn into_key(self) -> Expr {
        col(self)
    }
}

impl IntoKey for String {
    fn into_key(self) -> Expr {
        col(self)
    }
}

impl IntoKey for &String {
    fn into_key(self) -> Expr {
        col(self.as_str())
    }
}

impl IntoKey for Expr {
    fn into_key(self) -> Expr {
        self
    }
}

/// An aggregation as a user asks for it.
///
/// ```
/// # use sabot_plan::{AggregateRequest, count};
/// let by_origin = AggregateRequest::new(["origin"], [count().alias("flights")]);
/// assert_eq!((by_origin.keys.len(), by_origin.aggregates.len(), by_origin.window), (1, 1, None));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AggregateRequest {
    /// The windows; `None` for one result a key at the end of bounded input.
    pub window: Option<KeyedWindow>,
    /// The keys; none at all for one group.
    pub keys: Vec<Expr>,
    /// The aggregates.
    pub aggregates: Vec<AggregateExpr>,
}

impl AggregateRequest {
    /// An aggregation without window.
    pub fn new<K: IntoKey>(
        keys: impl IntoIterator<Item = K>,
        aggregates: impl IntoIterator<Item = AggregateExpr>,
    ) -> Self {
        let keys = keys.into_iter().map(IntoKey::into_key).collect();
        Self { window: None, keys, aggregates: aggregates.into_iter().collect() }
    }

    /// The same in windows.
    #[must_use]
    pub fn windowed(mut self, window: KeyedWindow) -> Self {
        self.window = Some(window);
        self
    }
}
