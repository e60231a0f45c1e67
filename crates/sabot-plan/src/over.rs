//! The words for values over the rows around a row: `sum(col("amount")).over(["card"], range(days(7)))`.
//!
//! What can be computed and what frames are is said in [`sabot_ops::OverSpec`]. Here stands how a user
//! asks for it, and what is known of the result.

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use sabot_batch::hidden;
use sabot_expr::{Expr, TypedExpr};
use sabot_ops::{Frame, OverCall, OverFunction, OverSpec, Projection, SortKey, SpecError};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

use crate::derive::{
    aggregate_spec, append_only, check_columns, check_filter, check_names, refuse_changes, unbounded_source,
};
use crate::{
    AggregateExpr, Aggregation, IntoKey, IntoSort, NodeRef, OrderBy, PlanError, Properties, SortExpr,
};

mod frames;

pub use frames::{range, range_between, rows, rows_between, running, whole};

const OPERATOR: &str = "over";

/// A function over rows around a row that still has to be told which: see [`OverFunctionExpr::over`].
///
/// ```
/// use sabot_plan::{lag, row_number, whole};
/// assert_eq!(lag("amount", 1).over(["card"], whole()).output_name(), "lag(amount, 1)");
/// assert_eq!(row_number().over(["card"], whole()).alias("n").output_name(), "n");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OverFunctionExpr(OverValue<Expr>);

/// What is computed, with arguments as a user writes them, or over the columns of a node's input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverValue<E, A = AggregateExpr> {
    /// The row's place.
    RowNumber,
    /// The place of its first peer.
    Rank,
    /// The number of its peers' group.
    DenseRank,
    /// The value so many rows before.
    Lag(E, u64),
    /// The value so many rows behind.
    Lead(E, u64),
    /// The value in the first row of the frame.
    FirstValue(E),
    /// The value in the last row of the frame.
    LastValue(E),
    /// An aggregate over the frame.
    Aggregate(A),
}

/// A value over rows around a row, as a user writes it.
///
/// ```
/// use sabot_plan::{desc, rank, whole};
/// let place = rank().over(["day"], whole()).order_by([desc("late")]);
/// assert_eq!(place.output_name(), "rank()");
/// assert_eq!(place.alias("place").output_name(), "place");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OverExpr {
    /// What is computed.
    pub value: OverValue<Expr>,
    /// What makes a partition.
    pub partition: Vec<Expr>,
    /// The order in it; none for event time, or without event time for the order of the stream.
    pub order: Vec<SortExpr>,
    /// The order among rows that are equal in it; the order of the stream decides what it leaves open.
    #[serde(default)]
    pub ties: Vec<SortExpr>,
    /// When a row has its value, where it does not wait for the end of the input.
    #[serde(default)]
    pub emit: Emit,
    /// The rows that aggregates and first and last values look at.
    pub frame: Frame,
    /// Name of the result column, where one is given.
    pub alias: Option<String>,
}

/// When a row has its values over the rows before it.
///
/// ```
/// use sabot_plan::Emit;
/// assert_eq!(Emit::default(), Emit::Final);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Emit {
    /// When the watermark reaches its time: rows of equal time see each other, in whatever order they came.
    #[default]
    Final,
    /// As it arrives, without waiting for a watermark. A row sees those of its partition that came before it, and
    /// no other row of its time; one that comes after rows of a later time stands at the latest of these.
    /// What comes out depends on the order of arrival, which several sources do not have.
    OnArrival,
}

/// The values of a node: columns over one partition and order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Over {
    /// What makes a partition, each under a name of its own.
    pub partition: Vec<Projection>,
    /// The order in it.
    pub order: Vec<OrderBy>,
    /// The order among peers; the order of the stream decides what it leaves open.
    #[serde(default)]
    pub ties: Vec<OrderBy>,
    /// Whether values are computed while rows come in, and rows behind the watermark are late; otherwise they
    /// wait for all rows.
    #[serde(default)]
    pub rolls: bool,
    /// When a row has its values, where the node rolls.
    #[serde(default)]
    pub emit: Emit,
    /// Whether event time is the order.
    pub by_event_time: bool,
    /// The columns, which stand behind those of the input.
    pub columns: Vec<OverColumn>,
}

impl Over {
    /// Whether rows of one time leave in an order that was asked for.
    pub(crate) fn orders_rows(&self) -> bool {
        self.rolls && self.emit == Emit::Final && !self.ties.is_empty()
    }
}

/// One column of [`Over`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OverColumn {
    /// What is computed.
    pub value: OverValue<TypedExpr, Aggregation>,
    /// The rows it looks at.
    pub frame: Frame,
    /// Its name.
    pub name: String,
}

/// The row's place in its partition, from 1.
///
/// ```
/// use sabot_plan::{desc, row_number, whole};
/// let place = row_number().over(["card"], whole()).order_by([desc("amount")]);
/// assert_eq!(place.output_name(), "row_number()");
/// ```
pub fn row_number() -> OverFunctionExpr {
    OverFunctionExpr(OverValue::RowNumber)
}

/// The place of the first row that is equal in the order: 1, 2, 2, 4.
///
/// ```
/// use sabot_plan::{desc, rank, whole};
/// assert_eq!(rank().over(["day"], whole()).order_by([desc("late")]).output_name(), "rank()");
/// ```
pub fn rank() -> OverFunctionExpr {
    OverFunctionExpr(OverValue::Rank)
}

/// As [`rank`], without gaps: 1, 2, 2, 3.
///
/// ```
/// use sabot_plan::{dense_rank, desc, whole};
/// assert_eq!(dense_rank().over(["day"], whole()).order_by([desc("late")]).output_name(), "dense_rank()");
/// ```
pub fn dense_rank() -> OverFunctionExpr {
    OverFunctionExpr(OverValue::DenseRank)
}

/// The value so many rows before, or null where the partition does not reach so far.
///
/// ```
/// use sabot_plan::{lag, whole};
/// assert_eq!(lag("amount", 1).over(["card"], whole()).output_name(), "lag(amount, 1)");
/// ```
pub fn lag(value: impl IntoKey, rows: u64) -> OverFunctionExpr {
    OverFunctionExpr(OverValue::Lag(value.into_key(), rows))
}

/// The value so many rows behind, or null where the partition does not reach so far.
///
/// ```
/// use sabot_plan::{lead, whole};
/// assert_eq!(lead("amount", 2).over(["card"], whole()).output_name(), "lead(amount, 2)");
/// ```
pub fn lead(value: impl IntoKey, rows: u64) -> OverFunctionExpr {
    OverFunctionExpr(OverValue::Lead(value.into_key(), rows))
}

/// The value in the first row of the frame, be it null.
///
/// ```
/// use sabot_plan::{first_value, rows};
/// assert_eq!(first_value("amount").over(["card"], rows(3)).output_name(), "first_value(amount)");
/// ```
pub fn first_value(value: impl IntoKey) -> OverFunctionExpr {
    OverFunctionExpr(OverValue::FirstValue(value.into_key()))
}

/// The value in the last row of the frame, be it null.
///
/// ```
/// use sabot_plan::{last_value, whole};
/// assert_eq!(last_value("amount").over(["card"], whole()).output_name(), "last_value(amount)");
/// ```
pub fn last_value(value: impl IntoKey) -> OverFunctionExpr {
    OverFunctionExpr(OverValue::LastValue(value.into_key()))
}

impl OverFunctionExpr {
    /// Says over which rows: those that agree in some columns or expressions, in the order of event time
    /// (see [`OverExpr::order_by`] for another). Numbers, `lag` and `lead` look at the whole partition,
    /// whatever the frame.
    pub fn over<K: IntoKey>(self, partition: impl IntoIterator<Item = K>, frame: Frame) -> OverExpr {
        over(self.0, partition, frame)
    }
}

impl AggregateExpr {
    /// The aggregate of the rows of a frame, for each row: those that agree in some columns or expressions,
    /// in the order of event time (see [`OverExpr::order_by`] for another).
    ///
    /// ```
    /// use sabot_expr::col;
    /// use sabot_plan::{rows, sum};
    /// let last_three = sum(col("amount")).over(["card"], rows(2)).alias("last_three");
    /// assert_eq!(last_three.output_name(), "last_three");
    /// ```
    pub fn over<K: IntoKey>(self, partition: impl IntoIterator<Item = K>, frame: Frame) -> OverExpr {
        let alias = self.alias.clone();
        OverExpr { alias, ..over(OverValue::Aggregate(self), partition, frame) }
    }
}

fn over<K: IntoKey>(
    value: OverValue<Expr>,
    partition: impl IntoIterator<Item = K>,
    frame: Frame,
) -> OverExpr {
    let partition = partition.into_iter().map(IntoKey::into_key).collect();
    OverExpr { value, partition, order: Vec::new(), ties: Vec::new(), emit: Emit::Final, frame, alias: None }
}

impl OverExpr {
    /// Orders the rows of a partition by keys instead of event time. What they leave open is decided by the
    /// order of the stream.
    #[must_use]
    pub fn order_by<K: IntoSort>(mut self, keys: impl IntoIterator<Item = K>) -> Self {
        self.order = keys.into_iter().map(IntoSort::into_sort).collect();
        self
    }

    /// Orders rows that are equal in the order: rows of one event time, or of equal keys of `order_by`. They
    /// stay equal to each other, so ranges and ranks are the same; `lag`, first and last values and frames of
    /// rows are not. What is left open is decided by the order of the stream.
    ///
    /// Where values are computed while rows come in, rows of one event time leave in this order as well: it is that
    /// of the stream from here on, at ordered sinks and for what follows.
    ///
    /// ```
    /// use sabot_plan::{lag, whole};
    /// let before = lag("amount", 1).over(["card"], whole()).then_by(["transaction_id"]);
    /// assert_eq!(before.ties.len(), 1);
    /// ```
    #[must_use]
    pub fn then_by<K: IntoSort>(mut self, keys: impl IntoIterator<Item = K>) -> Self {
        self.ties = keys.into_iter().map(IntoSort::into_sort).collect();
        self
    }

    /// When a row has its value. Only values that need not wait for the end of the input can be had
    /// [`Emit::OnArrival`].
    ///
    /// ```
    /// use sabot_common::Span;
    /// use sabot_plan::{Emit, count, range};
    /// let hour = range(Span::from_secs(3600));
    /// assert_eq!(count().over(["card"], hour).emit(Emit::OnArrival).emit, Emit::OnArrival);
    /// ```
    #[must_use]
    pub fn emit(mut self, emit: Emit) -> Self {
        self.emit = emit;
        self
    }

    /// The value under a name for the output.
    #[must_use]
    pub fn alias(mut self, name: impl Into<String>) -> Self {
        self.alias = Some(name.into());
        self
    }

    /// Name of the result column: the alias, else the text of the call.
    pub fn output_name(&self) -> String {
        self.alias.clone().unwrap_or_else(|| self.value.to_string())
    }
}

/// A column as it stands in `with_columns`: an expression, or a value over the rows around.
///
/// ```
/// use sabot_expr::col;
/// use sabot_plan::{IntoColumn, row_number, whole};
/// let mixed = [(col("a") + 1).alias("b").into_column(), row_number().over(["a"], whole()).into_column()];
/// assert_eq!(mixed.len(), 2);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnExpr {
    /// An expression of the row.
    Value(Expr),
    /// A value over the rows around it.
    Over(Box<OverExpr>),
}

/// What can stand in `with_columns`.
///
/// ```
/// use sabot_expr::col;
/// use sabot_plan::{ColumnExpr, IntoColumn, row_number, whole};
/// assert!(matches!(col("a").into_column(), ColumnExpr::Value(_)));
/// assert!(matches!(row_number().over(["a"], whole()).into_column(), ColumnExpr::Over(_)));
/// ```
pub trait IntoColumn {
    /// The column.
    fn into_column(self) -> ColumnExpr;
}

impl IntoColumn for Expr {
    fn into_column(self) -> ColumnExpr {
        ColumnExpr::Value(self)
    }
}

impl IntoColumn for OverExpr {
    fn into_column(self) -> ColumnExpr {
        ColumnExpr::Over(Box::new(self))
    }
}

impl IntoColumn for ColumnExpr {
    fn into_column(self) -> ColumnExpr {
        self
    }
}

impl<E: fmt::Display, A: OverAggregate> fmt::Display for OverValue<E, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OverValue::RowNumber => f.write_str("row_number()"),
            OverValue::Rank => f.write_str("rank()"),
            OverValue::DenseRank => f.write_str("dense_rank()"),
            OverValue::Lag(value, n) => write!(f, "lag({value}, {n})"),
            OverValue::Lead(value, n) => write!(f, "lead({value}, {n})"),
            OverValue::FirstValue(value) => write!(f, "first_value({value})"),
            OverValue::LastValue(value) => write!(f, "last_value({value})"),
            OverValue::Aggregate(aggregate) => f.write_str(&aggregate.call()),
        }
    }
}

/// An aggregate that can say what was called.
pub trait OverAggregate {
    /// `sum(amount)`.
    fn call(&self) -> String;
}

impl OverAggregate for AggregateExpr {
    fn call(&self) -> String {
        AggregateExpr { alias: None, ..self.clone() }.output_name()
    }
}

impl OverAggregate for Aggregation {
    fn call(&self) -> String {
        self.to_string()
    }
}

impl<E, A> OverValue<E, A> {
    /// The same over arguments of another form.
    pub(crate) fn try_map<F, B, R>(
        &self,
        argument: impl Fn(&E) -> Result<F, R>,
        aggregate: impl Fn(&A) -> Result<B, R>,
    ) -> Result<OverValue<F, B>, R> {
        Ok(match self {
            OverValue::RowNumber => OverValue::RowNumber,
            OverValue::Rank => OverValue::Rank,
            OverValue::DenseRank => OverValue::DenseRank,
            OverValue::Lag(value, n) => OverValue::Lag(argument(value)?, *n),
            OverValue::Lead(value, n) => OverValue::Lead(argument(value)?, *n),
            OverValue::FirstValue(value) => OverValue::FirstValue(argument(value)?),
            OverValue::LastValue(value) => OverValue::LastValue(argument(value)?),
            OverValue::Aggregate(call) => OverValue::Aggregate(aggregate(call)?),
        })
    }
}

impl OverColumn {
    /// The expressions that the column reads: arguments, then the filter of an aggregate.
    pub(crate) fn exprs(&self) -> Vec<&TypedExpr> {
        match &self.value {
            OverValue::Lag(value, _) | OverValue::Lead(value, _) => vec![value],
            OverValue::FirstValue(value) | OverValue::LastValue(value) => vec![value],
            OverValue::Aggregate(aggregate) => aggregate.exprs().collect(),
            OverValue::RowNumber | OverValue::Rank | OverValue::DenseRank => Vec::new(),
        }
    }

    pub(crate) fn exprs_mut(&mut self) -> Vec<&mut TypedExpr> {
        match &mut self.value {
            OverValue::Lag(value, _) | OverValue::Lead(value, _) => vec![value],
            OverValue::FirstValue(value) | OverValue::LastValue(value) => vec![value],
            OverValue::Aggregate(aggregate) => {
                aggregate.arguments.iter_mut().chain(&mut aggregate.filter).collect()
            }
            OverValue::RowNumber | OverValue::Rank | OverValue::DenseRank => Vec::new(),
        }
    }

    /// The call as the operator carries it out, what it reads ([`OverColumn::exprs`]) in these columns.
    pub(crate) fn call(&self, places: &[usize]) -> OverCall {
        // Functions with an argument were given its place; there is no column of that number otherwise.
        let at = places.first().copied().unwrap_or(usize::MAX);
        let function = match &self.value {
            OverValue::RowNumber => OverFunction::RowNumber,
            OverValue::Rank => OverFunction::Rank,
            OverValue::DenseRank => OverFunction::DenseRank,
            OverValue::Lag(_, n) => OverFunction::Lag(at, *n),
            OverValue::Lead(_, n) => OverFunction::Lead(at, *n),
            OverValue::FirstValue(_) => OverFunction::FirstValue(at),
            OverValue::LastValue(_) => OverFunction::LastValue(at),
            OverValue::Aggregate(aggregate) => {
                let mut spec = aggregate_spec(aggregate);
                for (argument, place) in spec.arguments.iter_mut().zip(places) {
                    argument.column = *place;
                }
                spec.filter = aggregate.filter.as_ref().and(places.last().copied());
                OverFunction::Aggregate(spec)
            }
        };
        OverCall { function, frame: self.frame, name: self.name.clone() }
    }
}

impl Over {
    /// All expressions over the columns of the input.
    pub(crate) fn exprs(&self) -> impl Iterator<Item = &TypedExpr> {
        let order = self.order.iter().chain(&self.ties).map(|key| &key.expr);
        let keys = self.partition.iter().map(|key| &key.expr).chain(order);
        keys.chain(self.columns.iter().flat_map(OverColumn::exprs))
    }
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.columns.iter().map(|column| {
            let call = column.value.to_string();
            let name = if call == column.name { String::new() } else { format!(" as {}", column.name) };
            let looks = column.call(&[]).function.looks_at_the_frame();
            let frame = if looks { format!(" over {}", column.frame) } else { String::new() };
            format!("{call}{frame}{name}")
        });
        f.write_str(&columns.collect::<Vec<_>>().join(", "))?;
        for (i, key) in self.partition.iter().enumerate() {
            write!(f, "{} {}", if i == 0 { ", per" } else { "," }, key.expr)?;
        }
        if self.by_event_time {
            f.write_str(", by event time")?;
        }
        for (i, key) in self.order.iter().enumerate() {
            write!(f, "{} {key}", if i == 0 { ", by" } else { "," })?;
        }
        for (i, key) in self.ties.iter().enumerate() {
            write!(f, "{} {key}", if i == 0 { ", then by" } else { "," })?;
        }
        f.write_str(if self.emit == Emit::OnArrival { ", on arrival" } else { "" })
    }
}

pub(crate) fn derive_over(over: &Over, input: &NodeRef) -> Result<Properties, PlanError> {
    refuse_changes(OPERATOR, input)?;
    if over.by_event_time && (input.properties().time.is_none() || !over.order.is_empty()) {
        let message = "its order cannot be event time".to_owned();
        return Err(PlanError::Corrupt { operator: OPERATOR.to_owned(), message });
    }
    over.exprs().try_for_each(|expr| check_columns(OPERATOR, expr, input.schema()))?;
    let (spec, read) = spec_of(over, input.schema())?;
    let added = spec.result_fields(&read)?;
    if over.rolls {
        spec.check_rolling(&read)?;
    } else if over.emit == Emit::OnArrival {
        let message = "values that wait for all rows cannot be had on arrival".to_owned();
        return Err(PlanError::Corrupt { operator: OPERATOR.to_owned(), message });
    } else if let Some(source_name) = unbounded_source(input) {
        let advice = "give its rows event time, aggregate it in windows, or read a bounded part of it";
        return Err(PlanError::UnboundedRanking { call: OPERATOR, advice, source_name });
    }
    let fields = input.schema().fields().iter().cloned().chain(added.into_iter().map(Arc::new));
    let fields: Vec<FieldRef> = fields.collect();
    check_names(OPERATOR, fields.iter().map(|field| field.name().as_str()))?;
    let schema = Arc::new(Schema::new(fields));
    Ok(Properties { schema, order_sensitive: true, ..append_only(input) })
}

/// Why values cannot be computed while rows come in; `None` when they can.
///
/// # Errors
/// [`PlanError`] when they cannot be computed at all.
pub(crate) fn why_it_waits(over: &Over, input: &SchemaRef) -> Result<Option<SpecError>, PlanError> {
    let (spec, read) = spec_of(over, input)?;
    spec.result_fields(&read)?;
    Ok(spec.check_rolling(&read).err())
}

/// The spec from the types alone, over a schema that has every expression as a column of its own.
fn spec_of(over: &Over, input: &SchemaRef) -> Result<(OverSpec, Schema), PlanError> {
    let mut fields: Vec<Field> = Vec::new();
    let mut add = |name: &str, expr: &TypedExpr| {
        fields.push(Field::new(name, expr.data_type().clone(), expr.nullable()));
        fields.len() - 1
    };
    let named = |expr: &TypedExpr| match expr.as_column().and_then(|c| input.fields().get(c)) {
        Some(field) => field.name().clone(),
        None => expr.to_string(),
    };
    let partition = over.partition.iter().map(|key| add(&named(&key.expr), &key.expr)).collect();
    let mut sorted = |keys: &[OrderBy]| -> Vec<SortKey> {
        let key = |key: &OrderBy| {
            let column = add(&named(&key.expr), &key.expr);
            SortKey { column, descending: key.descending, nulls_first: key.nulls_first }
        };
        keys.iter().map(key).collect()
    };
    let (mut order, ties) = (sorted(&over.order), sorted(&over.ties));
    let mut calls = Vec::with_capacity(over.columns.len());
    for column in &over.columns {
        if let OverValue::Aggregate(aggregate) = &column.value {
            check_filter(OPERATOR, aggregate)?;
        }
        let places: Vec<usize> = column.exprs().into_iter().map(|expr| add(&named(expr), expr)).collect();
        calls.push(column.call(&places));
    }
    if over.by_event_time {
        order.push(SortKey::ascending(fields.len()));
        fields.push(Field::new(hidden::TIME, DataType::Int64, false));
    }
    Ok((OverSpec { partition, order, ties, calls }, Schema::new(fields)))
}
