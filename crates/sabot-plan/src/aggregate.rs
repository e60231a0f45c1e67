//! The words for aggregations: `count()`, `sum(col("delay")).alias("total")`.

use sabot_expr::{Expr, IntoExpr, col};
use sabot_ops::{AggregateFunction, Quantile, UserFunction};
use serde::{Deserialize, Serialize};
use std::fmt;

use crate::KeyedWindow;

/// An aggregate as a user writes it.
///
/// ```
/// use sabot_expr::col;
/// use sabot_plan::{avg, count, sum};
/// assert_eq!(count().output_name(), "count(*)");
/// assert_eq!(avg(col("delay")).output_name(), "avg(delay)");
/// assert_eq!(avg(col("delay")).alias("average_delay").output_name(), "average_delay");
/// let late = sum(col("delay")).filter(col("delay").gt(15));
/// assert_eq!(late.output_name(), "sum(delay) FILTER (WHERE delay > 15)");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AggregateExpr {
    /// The function.
    pub function: AggregateFunction,
    /// What it reads; nothing for `count(*)`.
    pub arguments: Vec<Expr>,
    /// Which rows take part; all without.
    #[serde(default)]
    pub filter: Option<Expr>,
    /// Name of the result column, where one is given.
    pub alias: Option<String>,
}

impl AggregateExpr {
    fn new(function: AggregateFunction, arguments: Vec<Expr>) -> Self {
        Self { function, arguments, filter: None, alias: None }
    }

    /// The aggregate over the rows for which a predicate is true. Of other rows the arguments are not even
    /// evaluated. A second filter is one more condition.
    #[must_use]
    pub fn filter(mut self, predicate: impl IntoExpr) -> Self {
        let predicate = predicate.into_expr();
        self.filter = Some(match self.filter {
            Some(first) => first.and(predicate),
            None => predicate,
        });
        self
    }

    /// The aggregate under a name for the output.
    #[must_use]
    pub fn alias(mut self, name: impl Into<String>) -> Self {
        self.alias = Some(name.into());
        self
    }

    /// Name of the result column: the alias, else the text of the call.
    pub fn output_name(&self) -> String {
        match &self.alias {
            Some(alias) => alias.clone(),
            None => call_text(&self.function, &self.arguments, self.filter.as_ref()),
        }
    }
}

/// An aggregate as SQL writes it: `string_agg(name, ', ') FILTER (WHERE delay > 15)`.
pub(crate) fn call_text<E: fmt::Display>(
    function: &AggregateFunction,
    arguments: &[E],
    filter: Option<&E>,
) -> String {
    let mut listed: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    if listed.is_empty() {
        listed.push("*".to_owned());
    }
    match function {
        AggregateFunction::StringAgg { separator } => {
            listed.push(format!("'{}'", separator.replace('\'', "''")))
        }
        AggregateFunction::ApproxQuantile { quantile } => listed.push(quantile.to_string()),
        _ => {}
    }
    let filter = filter.map(|filter| format!(" FILTER (WHERE {filter})")).unwrap_or_default();
    format!("{}({}){filter}", function.name(), listed.join(", "))
}

/// How many rows there are.
///
/// ```
/// # use sabot_plan::count;
/// assert_eq!(count().output_name(), "count(*)");
/// ```
pub fn count() -> AggregateExpr {
    AggregateExpr::new(AggregateFunction::Count, Vec::new())
}

/// How many values are not null.
///
/// ```
/// # use sabot_expr::col;
/// # use sabot_plan::count_of;
/// assert_eq!(count_of(col("delay")).output_name(), "count(delay)");
/// ```
pub fn count_of(value: impl IntoExpr) -> AggregateExpr {
    AggregateExpr::new(AggregateFunction::Count, vec![value.into_expr()])
}

/// How many different values there are, nulls apart.
///
/// ```
/// # use sabot_expr::col;
/// # use sabot_plan::count_distinct;
/// assert_eq!(count_distinct(col("delay")).output_name(), "count_distinct(delay)");
/// ```
pub fn count_distinct(value: impl IntoExpr) -> AggregateExpr {
    AggregateExpr::new(AggregateFunction::CountDistinct, vec![value.into_expr()])
}

/// About how many different values there are, nulls apart, from a sketch of 4 KiB at most: 1.6 % off as a
/// rule.
///
/// ```
/// # use sabot_expr::col;
/// # use sabot_plan::approx_count_distinct;
/// assert_eq!(approx_count_distinct(col("delay")).output_name(), "approx_count_distinct(delay)");
/// ```
pub fn approx_count_distinct(value: impl IntoExpr) -> AggregateExpr {
    AggregateExpr::new(AggregateFunction::ApproxCountDistinct, vec![value.into_expr()])
}

/// The sum of the values that are not null; null without any.
///
/// ```
/// # use sabot_expr::col;
/// # use sabot_plan::sum;
/// assert_eq!(sum(col("a") * col("b")).output_name(), "sum(a * b)");
/// ```
pub fn sum(value: impl IntoExpr) -> AggregateExpr {
    AggregateExpr::new(AggregateFunction::Sum, vec![value.into_expr()])
}

/// The arithmetic mean of the values that are not null; null without any.
///
/// ```
/// # use sabot_expr::col;
/// # use sabot_plan::avg;
/// assert_eq!(avg(col("delay")).alias("average_delay").output_name(), "average_delay");
/// ```
pub fn avg(value: impl IntoExpr) -> AggregateExpr {
    AggregateExpr::new(AggregateFunction::Avg, vec![value.into_expr()])
}

/// The smallest value; null without any.
///
/// ```
/// # use sabot_expr::col;
/// # use sabot_plan::min;
/// assert_eq!(min(col("delay")).output_name(), "min(delay)");
/// ```
pub fn min(value: impl IntoExpr) -> AggregateExpr {
    AggregateExpr::new(AggregateFunction::Min, vec![value.into_expr()])
}

/// The largest value; null without any.
///
/// ```
/// # use sabot_expr::col;
/// # use sabot_plan::max;
/// assert_eq!(max(col("delay").abs()).output_name(), "max(abs(delay))");
/// ```
pub fn max(value: impl IntoExpr) -> AggregateExpr {
    AggregateExpr::new(AggregateFunction::Max, vec![value.into_expr()])
}

/// Whether all values are true; nulls are skipped, null without any.
///
/// ```
/// # use sabot_expr::col;
/// # use sabot_plan::bool_and;
/// assert_eq!(bool_and(col("on_time")).output_name(), "bool_and(on_time)");
/// ```
pub fn bool_and(value: impl IntoExpr) -> AggregateExpr {
    AggregateExpr::new(AggregateFunction::BoolAnd, vec![value.into_expr()])
}

/// Whether any value is true; nulls are skipped, null without any.
///
/// ```
/// # use sabot_expr::col;
/// # use sabot_plan::bool_or;
/// assert_eq!(bool_or(col("delay").gt(15)).output_name(), "bool_or(delay > 15)");
/// ```
pub fn bool_or(value: impl IntoExpr) -> AggregateExpr {
    AggregateExpr::new(AggregateFunction::BoolOr, vec![value.into_expr()])
}

/// The value of the first row by event time, source partition and row number, null or not.
///
/// ```
/// # use sabot_expr::col;
/// # use sabot_plan::first;
/// assert_eq!(first(col("gate")).filter(col("gate").is_not_null()).output_name(), "first(gate) FILTER (WHERE gate IS NOT NULL)");
/// ```
pub fn first(value: impl IntoExpr) -> AggregateExpr {
    AggregateExpr::new(AggregateFunction::First, vec![value.into_expr()])
}

/// The value of the last row by event time, source partition and row number, null or not.
///
/// ```
/// # use sabot_expr::col;
/// # use sabot_plan::last;
/// assert_eq!(last(col("delay")).output_name(), "last(delay)");
/// ```
pub fn last(value: impl IntoExpr) -> AggregateExpr {
    AggregateExpr::new(AggregateFunction::Last, vec![value.into_expr()])
}

/// All values as a list, in the order of rows, nulls included; null without rows.
///
/// ```
/// # use sabot_expr::col;
/// # use sabot_plan::array_agg;
/// assert_eq!(array_agg(col("delay")).output_name(), "array_agg(delay)");
/// ```
pub fn array_agg(value: impl IntoExpr) -> AggregateExpr {
    AggregateExpr::new(AggregateFunction::ArrayAgg, vec![value.into_expr()])
}

/// The variance of a sample; null with fewer than two values.
///
/// ```
/// # use sabot_expr::col;
/// # use sabot_plan::var_samp;
/// assert_eq!(var_samp(col("delay")).output_name(), "var_samp(delay)");
/// ```
pub fn var_samp(value: impl IntoExpr) -> AggregateExpr {
    AggregateExpr::new(AggregateFunction::VarSamp, vec![value.into_expr()])
}

/// The variance of a whole population; null without values.
///
/// ```
/// # use sabot_expr::col;
/// # use sabot_plan::var_pop;
/// assert_eq!(var_pop(col("delay")).output_name(), "var_pop(delay)");
/// ```
pub fn var_pop(value: impl IntoExpr) -> AggregateExpr {
    AggregateExpr::new(AggregateFunction::VarPop, vec![value.into_expr()])
}

/// The standard deviation of a sample; null with fewer than two values.
///
/// ```
/// # use sabot_expr::col;
/// # use sabot_plan::stddev_samp;
/// assert_eq!(stddev_samp(col("delay")).output_name(), "stddev_samp(delay)");
/// ```
pub fn stddev_samp(value: impl IntoExpr) -> AggregateExpr {
    AggregateExpr::new(AggregateFunction::StddevSamp, vec![value.into_expr()])
}

/// The standard deviation of a whole population; null without values.
///
/// ```
/// # use sabot_expr::col;
/// # use sabot_plan::stddev_pop;
/// assert_eq!(stddev_pop(col("delay")).output_name(), "stddev_pop(delay)");
/// ```
pub fn stddev_pop(value: impl IntoExpr) -> AggregateExpr {
    AggregateExpr::new(AggregateFunction::StddevPop, vec![value.into_expr()])
}

/// The covariance of a sample of pairs; null with fewer than two.
///
/// ```
/// # use sabot_expr::col;
/// # use sabot_plan::covar_samp;
/// assert_eq!(covar_samp(col("delay"), col("distance")).output_name(), "covar_samp(delay, distance)");
/// ```
pub fn covar_samp(x: impl IntoExpr, y: impl IntoExpr) -> AggregateExpr {
    AggregateExpr::new(AggregateFunction::CovarSamp, vec![x.into_expr(), y.into_expr()])
}

/// The covariance of a whole population of pairs; null without any.
///
/// ```
/// # use sabot_expr::col;
/// # use sabot_plan::covar_pop;
/// assert_eq!(covar_pop(col("delay"), col("distance")).output_name(), "covar_pop(delay, distance)");
/// ```
pub fn covar_pop(x: impl IntoExpr, y: impl IntoExpr) -> AggregateExpr {
    AggregateExpr::new(AggregateFunction::CovarPop, vec![x.into_expr(), y.into_expr()])
}

/// Pearson's correlation coefficient; null where all values on one side are the same.
///
/// ```
/// # use sabot_expr::col;
/// # use sabot_plan::corr;
/// assert_eq!(corr(col("delay"), col("distance")).output_name(), "corr(delay, distance)");
/// ```
pub fn corr(x: impl IntoExpr, y: impl IntoExpr) -> AggregateExpr {
    AggregateExpr::new(AggregateFunction::Corr, vec![x.into_expr(), y.into_expr()])
}

/// All strings that are not null as one, in the order of rows, with a separator between them; null without
/// any.
///
/// ```
/// # use sabot_expr::col;
/// # use sabot_plan::string_agg;
/// assert_eq!(string_agg(col("tail"), ", ").output_name(), "string_agg(tail, ', ')");
/// ```
pub fn string_agg(value: impl IntoExpr, separator: impl Into<String>) -> AggregateExpr {
    let function = AggregateFunction::StringAgg { separator: separator.into() };
    AggregateExpr::new(function, vec![value.into_expr()])
}

/// About the value below which a share of the values lies: that of rank ⌊share · (n − 1)⌋ in order, off by
/// 1/128 of itself at most; null without values. The share is from 0 to 1; another is refused when the plan
/// is built.
///
/// ```
/// # use sabot_expr::col;
/// # use sabot_plan::approx_quantile;
/// assert_eq!(approx_quantile(col("delay"), 0.95).output_name(), "approx_quantile(delay, 0.95)");
/// ```
pub fn approx_quantile(value: impl IntoExpr, share: f64) -> AggregateExpr {
    let function = AggregateFunction::ApproxQuantile { quantile: Quantile(share) };
    AggregateExpr::new(function, vec![value.into_expr()])
}

/// A user's aggregate function by name and version; the function registry of the plan must have it.
///
/// ```
/// # use sabot_expr::col;
/// # use sabot_plan::call_aggregate;
/// assert_eq!(call_aggregate("product", 1, [col("x")]).output_name(), "product(x)");
/// ```
pub fn call_aggregate(
    name: impl Into<String>,
    version: u32,
    arguments: impl IntoIterator<Item = impl IntoExpr>,
) -> AggregateExpr {
    let function = AggregateFunction::User(UserFunction::new(name, version));
    AggregateExpr::new(function, arguments.into_iter().map(IntoExpr::into_expr).collect())
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
