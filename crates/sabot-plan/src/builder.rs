//! The builder: what a user may ask for, one method an operator.
//!
//! Nothing that comes out of here can fail to run for a reason that could have been known before: names
//! are looked up, types are checked and inputs are held against what the operator takes.

use arrow::datatypes::{Field, Schema, SchemaRef};
use sabot_common::{OperatorId, Span};
use sabot_expr::types::decoded_type;
use sabot_expr::{Expr, ExprError, FunctionRegistry, TypedExpr, resolve, when};
use sabot_ops::{Projection, TreeModel};
use std::sync::Arc;
use std::time::Duration;

use crate::derive::{check_names, check_window};
use crate::predict;
use crate::rank::is_windowed;
use crate::{
    AggregateExpr, AggregateRequest, Aggregation, Boundedness, ChangeMode, Connector, EmitMode, Keep,
    KeyedWindow, NodeKind, NodeRef, OrderBy, PlanError, PredictExpr, RankCall, Ranking, SortExpr,
    TopNRequest, Unnest, UnnestRequest,
};

mod over;

use over::first_to_roll;

/// Makes the nodes of a plan. Cheap to clone: it holds the user functions that expressions may call, and
/// nothing of the plan.
///
/// ```
/// # use arrow::datatypes::{DataType, Field, Schema};
/// # use sabot_expr::col;
/// # use sabot_plan::{AggregateRequest, Connector, PlanBuilder, SourceRequest, count};
/// # let schema = Schema::new(vec![Field::new("delay", DataType::Int32, false), Field::new("origin", DataType::Utf8, true)]);
/// let builder = PlanBuilder::new();
/// let flights = builder.source(SourceRequest::bounded(Connector::slot("flights"), schema.into()))?;
/// let late = builder.filter(&flights, &col("delay").gt(15))?;
/// let counts = builder.aggregate(&late, &AggregateRequest::new(["origin"], [count().alias("flights")]))?;
/// assert_eq!(counts.schema().field(1).name(), "flights");
/// assert_eq!(counts.inputs()[0].id(), late.id());
/// # Ok::<(), sabot_plan::PlanError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct PlanBuilder {
    functions: Arc<FunctionRegistry>,
}

/// A source as a user asks for it.
///
/// ```
/// # use arrow::datatypes::Schema;
/// # use sabot_plan::{Boundedness, Connector, SourceRequest};
/// let orders = SourceRequest::unbounded(Connector::slot("orders"), Schema::empty().into());
/// assert_eq!((orders.boundedness, orders.replayable), (Boundedness::Unbounded, false));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SourceRequest {
    /// What to read.
    pub connector: Connector,
    /// Its columns. Arrow metadata is dropped.
    pub schema: SchemaRef,
    /// Whether it ends.
    pub boundedness: Boundedness,
    /// Whether it can be read again, so that two jobs, or two readings in one, get the same rows.
    pub replayable: bool,
    /// Which row kinds it brings.
    pub changes: ChangeMode,
    /// Whether partitions may come while it is read.
    pub grows: bool,
    /// A name for the operator.
    pub name: Option<String>,
}

impl SourceRequest {
    /// A source that ends, can be read again and brings appended rows.
    pub fn bounded(connector: Connector, schema: SchemaRef) -> Self {
        let (boundedness, changes) = (Boundedness::Bounded, ChangeMode::AppendOnly);
        Self { connector, schema, boundedness, replayable: true, changes, grows: false, name: None }
    }

    /// A source that never ends, can be read only once and brings appended rows.
    pub fn unbounded(connector: Connector, schema: SchemaRef) -> Self {
        Self { boundedness: Boundedness::Unbounded, replayable: false, ..Self::bounded(connector, schema) }
    }
}

/// A sink as a user asks for it.
///
/// ```
/// # use sabot_plan::{Connector, SinkRequest};
/// assert!(SinkRequest::new(Connector::slot("out")).ordered().ordered);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SinkRequest {
    /// Where to write.
    pub connector: Connector,
    /// Whether rows are merged into their total order first.
    pub ordered: bool,
    /// Whether it takes updates and deletes.
    pub accepts_changes: bool,
    /// For sinks that need all rows before they have a result: what the user called, `collect`. Input
    /// that never ends is then refused.
    pub collects: Option<String>,
    /// A name for the operator.
    pub name: Option<String>,
}

impl SinkRequest {
    /// A sink for appended rows in any order.
    pub fn new(connector: Connector) -> Self {
        Self { connector, ordered: false, accepts_changes: false, collects: None, name: None }
    }

    /// The same, for rows in their total order.
    #[must_use]
    pub fn ordered(mut self) -> Self {
        self.ordered = true;
        self
    }
}

impl PlanBuilder {
    /// A builder without user functions.
    pub fn new() -> Self {
        Self::default()
    }

    /// A builder whose expressions may call these functions.
    pub fn with_functions(functions: Arc<FunctionRegistry>) -> Self {
        Self { functions }
    }

    /// The functions that expressions may call.
    pub fn functions(&self) -> &Arc<FunctionRegistry> {
        &self.functions
    }

    /// Rows of a source.
    ///
    /// # Errors
    /// [`PlanError`] when a column has a type or a name that Sabot does not take.
    pub fn source(&self, request: SourceRequest) -> Result<NodeRef, PlanError> {
        let SourceRequest { connector, schema, boundedness, replayable, changes, grows, name } = request;
        let kind =
            NodeKind::Source { connector, schema: plain(&schema), boundedness, replayable, changes, grows };
        self.maybe_named(NodeRef::new(kind, Vec::new())?, name)
    }

    /// Says which column of a source holds the event time, and how far a row may be behind the running
    /// maximum of its partition.
    ///
    /// # Errors
    /// [`PlanError`] when `input` is not a source, or the column is missing or holds no time.
    pub fn event_time(
        &self,
        input: &NodeRef,
        column: &str,
        out_of_orderness: Span,
        idle_timeout: Option<Duration>,
    ) -> Result<NodeRef, PlanError> {
        let kind = NodeKind::EventTime { column: column.to_owned(), out_of_orderness, idle_timeout };
        NodeRef::new(kind, vec![input.clone()])
    }

    /// Keeps the rows for which a predicate is true.
    ///
    /// # Errors
    /// [`PlanError`] when the predicate does not fit the columns, or is not boolean.
    pub fn filter(&self, input: &NodeRef, predicate: &Expr) -> Result<NodeRef, PlanError> {
        let predicate = self.resolve("filter", input, predicate)?;
        let fields = 0..input.schema().fields().len();
        let projections = fields.map(|i| column("filter", input, i)).collect::<Result<_, _>>()?;
        NodeRef::new(NodeKind::FilterProject { predicate: Some(predicate), projections }, vec![input.clone()])
    }

    /// Computes columns; they replace those of the input.
    ///
    /// # Errors
    /// [`PlanError`] when an expression does not fit the columns, or two results share a name.
    pub fn select(&self, input: &NodeRef, columns: &[Expr]) -> Result<NodeRef, PlanError> {
        let projections = self.projections("select", input, columns)?;
        NodeRef::new(NodeKind::FilterProject { predicate: None, projections }, vec![input.clone()])
    }

    /// Computes columns; each replaces the column of its name or stands behind the others. All see the
    /// columns of the input.
    ///
    /// # Errors
    /// As [`PlanBuilder::select`].
    pub fn with_columns(&self, input: &NodeRef, columns: &[Expr]) -> Result<NodeRef, PlanError> {
        const OPERATOR: &str = "with_columns";
        let new = self.projections(OPERATOR, input, columns)?;
        check_names(OPERATOR, new.iter().map(|p| p.name.as_str()))?;
        let fields = 0..input.schema().fields().len();
        let mut all = fields.map(|i| column(OPERATOR, input, i)).collect::<Result<Vec<_>, _>>()?;
        for projection in new {
            match all.iter_mut().find(|old| old.name == projection.name) {
                Some(old) => *old = projection,
                None => all.push(projection),
            }
        }
        NodeRef::new(NodeKind::FilterProject { predicate: None, projections: all }, vec![input.clone()])
    }

    /// Whether rows of `input` can be put into these windows; [`PlanBuilder::aggregate`] asks the same.
    ///
    /// # Errors
    /// [`PlanError`] when the rows have no event time, or the lateness is negative.
    pub fn check_window(&self, input: &NodeRef, window: &KeyedWindow) -> Result<(), PlanError> {
        check_window(Some(window), input)
    }

    /// Whether rows of `input` can be grouped by these keys; [`PlanBuilder::aggregate`] asks the same.
    ///
    /// # Errors
    /// [`PlanError`] when a key does not fit the columns, or there is no window and no end.
    pub fn check_group_by(
        &self,
        input: &NodeRef,
        window: Option<&KeyedWindow>,
        keys: &[Expr],
    ) -> Result<(), PlanError> {
        check_window(window, input)?;
        self.projections("group_by", input, keys).map(|_| ())
    }

    /// Aggregates by key. The result has the bounds of the window, if there is one, then the keys, then
    /// the aggregates. Its event time is the last instant of the window.
    ///
    /// # Errors
    /// [`PlanError`] when the rows have no event time for the window, or do not end without one; when
    /// they bring updates or deletes; when an expression does not fit; when result columns share a name.
    pub fn aggregate(&self, input: &NodeRef, request: &AggregateRequest) -> Result<NodeRef, PlanError> {
        check_window(request.window.as_ref(), input)?;
        let keys = self.projections("group_by", input, &request.keys)?;
        let mut aggregates = Vec::with_capacity(request.aggregates.len());
        for call in &request.aggregates {
            aggregates.push(self.aggregation("aggregate", input, call)?);
        }
        let kind =
            NodeKind::Aggregate { window: request.window.clone(), keys, aggregates, emit: EmitMode::Final };
        NodeRef::new(kind, vec![input.clone()])
    }

    /// All rows in the order of `keys`; equal rows keep the order of the stream. The result has no event
    /// time any more: its order is that of the keys, for ordered sinks and for what follows.
    ///
    /// # Errors
    /// [`PlanError`] when there is no key, one does not fit the columns or has no order, or the rows bring
    /// updates or deletes or never end.
    pub fn sort(&self, input: &NodeRef, keys: &[SortExpr]) -> Result<NodeRef, PlanError> {
        let order = self.order("sort", input, keys)?;
        self.rank(input, Ranking { order, ..ranking(RankCall::Sort) })
    }

    /// The rows from `skip` on, at most `fetch` of them, in the order of the stream. Of a sort that nothing
    /// else was done to it makes a top-k, which holds no more rows than it needs.
    ///
    /// # Errors
    /// [`PlanError`] when the rows bring updates or deletes, or never end.
    pub fn limit(&self, input: &NodeRef, skip: u64, fetch: Option<u64>) -> Result<NodeRef, PlanError> {
        if let (NodeKind::Rank(sort), [rows], false) = (input.kind(), input.inputs(), input.is_named())
            && sort.call == RankCall::Sort
            && (sort.skip, sort.fetch) == (0, None)
        {
            return self.rank(rows, Ranking { skip, fetch, ..sort.clone() });
        }
        self.rank(input, Ranking { skip, fetch, ..ranking(RankCall::Limit) })
    }

    /// The first rows of each group in an order, with their numbers from 1 in a column behind the others.
    /// Of results of windows each window is a group of its own, and its rows come when the window closes;
    /// of other rows they come when the input ends.
    ///
    /// # Errors
    /// As [`PlanBuilder::sort`], for groups that cannot be keys, and when a column has the name of the
    /// numbers.
    pub fn top_n(&self, input: &NodeRef, request: &TopNRequest) -> Result<NodeRef, PlanError> {
        const OPERATOR: &str = "top_n";
        let top = Ranking {
            groups: self.projections(OPERATOR, input, &request.groups)?,
            windowed: is_windowed(input),
            order: self.order(OPERATOR, input, &request.order)?,
            fetch: Some(request.rows),
            number: Some(request.number.clone()),
            ..ranking(RankCall::TopN)
        };
        self.rank(input, top)
    }

    /// One row of each key, the first or the last in the order of the stream.
    ///
    /// # Errors
    /// [`PlanError`] when there is no key, one does not fit the columns or cannot be a key, or the rows
    /// bring updates or deletes or never end.
    pub fn unique(&self, input: &NodeRef, keys: &[Expr], keep: Keep) -> Result<NodeRef, PlanError> {
        let groups = self.projections("unique", input, keys)?;
        let backwards = keep == Keep::Last;
        self.rank(input, Ranking { groups, backwards, fetch: Some(1), ..ranking(RankCall::Unique) })
    }

    /// One row of those that are equal in all columns: the first in the order of the stream.
    ///
    /// # Errors
    /// [`PlanError`] when a column cannot be a key, or the rows bring updates or deletes or never end.
    pub fn distinct(&self, input: &NodeRef) -> Result<NodeRef, PlanError> {
        let fields = 0..input.schema().fields().len();
        let groups = fields.map(|i| column("distinct", input, i)).collect::<Result<_, _>>()?;
        self.rank(input, Ranking { groups, fetch: Some(1), ..ranking(RankCall::Distinct) })
    }

    fn rank(&self, input: &NodeRef, ranking: Ranking) -> Result<NodeRef, PlanError> {
        NodeRef::new(NodeKind::Rank(ranking), vec![input.clone()])
    }

    fn order(&self, operator: &str, input: &NodeRef, keys: &[SortExpr]) -> Result<Vec<OrderBy>, PlanError> {
        let key = |key: &SortExpr| {
            let expr = self.resolve(operator, input, &key.expr)?;
            Ok(OrderBy { expr, descending: key.descending, nulls_first: key.nulls_first })
        };
        keys.iter().map(key).collect()
    }

    fn aggregation(
        &self,
        operator: &str,
        input: &NodeRef,
        call: &AggregateExpr,
    ) -> Result<Aggregation, PlanError> {
        let filter = call.filter.as_ref().map(|expr| self.resolve(operator, input, expr)).transpose()?;
        let mut arguments = Vec::with_capacity(call.arguments.len());
        for expr in &call.arguments {
            let argument = self.resolve(operator, input, expr)?;
            arguments.push(match &call.filter {
                // Of a row that does not take part nothing is computed that could fail.
                Some(filter) if argument.can_fail() => {
                    self.resolve(operator, input, &when(filter.clone()).then(expr.clone()).end())?
                }
                _ => argument,
            });
        }
        let mut function = call.function.clone();
        let types: Vec<_> = arguments.iter().map(|a| decoded_type(a.data_type()).clone()).collect();
        function.bind(&types, &self.functions).map_err(|error| PlanError::expression(operator, error))?;
        Ok(Aggregation { function, arguments, filter, name: call.output_name() })
    }

    /// The rows that came too late for the windows of an aggregation, or for values over the rows before them,
    /// with all columns that went in.
    ///
    /// # Errors
    /// [`PlanError::LateRowsWithoutWindow`] when no row can be late for `node`.
    pub fn late_rows(&self, node: &NodeRef) -> Result<NodeRef, PlanError> {
        NodeRef::new(NodeKind::LateRows, vec![first_to_roll(node).unwrap_or(node).clone()])
    }

    /// The rows of both, duplicates included. A column is nullable when it is on either side.
    ///
    /// # Errors
    /// [`PlanError::UnionSchemas`] when the columns differ.
    pub fn union(&self, left: &NodeRef, right: &NodeRef) -> Result<NodeRef, PlanError> {
        NodeRef::new(NodeKind::Union, vec![left.clone(), right.clone()])
    }

    /// One row for each element of a column of lists, in the place of the list.
    ///
    /// # Errors
    /// [`PlanError`] when the column is missing or holds no lists, or two columns of the result share a name.
    pub fn unnest(&self, input: &NodeRef, request: &UnnestRequest) -> Result<NodeRef, PlanError> {
        let Ok(column) = input.schema().index_of(&request.column) else {
            let names = input.schema().fields().iter().map(|field| field.name().as_str());
            let unknown = ExprError::unknown_column(&request.column, names);
            return Err(PlanError::expression("unnest", unknown));
        };
        let unnest = Unnest {
            column,
            of: request.column.clone(),
            name: request.name.clone().unwrap_or_else(|| request.column.clone()),
            position: request.position.clone(),
            keep_empty: request.keep_empty,
        };
        NodeRef::new(NodeKind::Unnest(unnest), vec![input.clone()])
    }

    /// What a trained model says of each row, behind its columns: the model's features are the columns of their
    /// names.
    ///
    /// # Errors
    /// [`PlanError`] when a feature is no column or no number, nothing is asked for, or two columns of the result
    /// share a name.
    pub fn predict(
        &self,
        input: &NodeRef,
        model: &Arc<TreeModel>,
        values: &[PredictExpr],
    ) -> Result<NodeRef, PlanError> {
        let spec = predict::spec(input, model, values)?;
        NodeRef::new(NodeKind::Predict(spec), vec![input.clone()])
    }

    /// What a user's function, bound to `slot` when the plan is run, makes of each batch.
    ///
    /// Event time and order go around the function: row i of what it returns keeps those of row i. One
    /// that returns another number of rows than it was given makes results depend on how rows are cut
    /// into batches.
    ///
    /// # Errors
    /// [`PlanError`] when rows bring updates or deletes, or a returned column has a type or a name that
    /// Sabot does not take.
    pub fn map_batches(
        &self,
        input: &NodeRef,
        slot: impl Into<String>,
        returned: &SchemaRef,
    ) -> Result<NodeRef, PlanError> {
        let kind = NodeKind::MapBatches { slot: slot.into(), schema: plain(returned) };
        NodeRef::new(kind, vec![input.clone()])
    }

    /// The node under a name, which stays its id however the plan changes around it. What was built on
    /// the unnamed node stays as it is: name an operator before continuing it.
    ///
    /// # Errors
    /// [`PlanError::EmptyName`].
    pub fn named(&self, node: &NodeRef, name: impl Into<String>) -> Result<NodeRef, PlanError> {
        let name = name.into();
        if name.is_empty() {
            return Err(PlanError::EmptyName { kind: node.kind().name() });
        }
        Ok(node.renamed(OperatorId::new(name)))
    }

    /// Writes rows to a sink.
    ///
    /// # Errors
    /// [`PlanError`] when the rows bring updates or deletes that the sink does not take, or never end
    /// where it needs all of them.
    pub fn sink(&self, input: &NodeRef, request: SinkRequest) -> Result<NodeRef, PlanError> {
        let SinkRequest { connector, ordered, accepts_changes, collects, name } = request;
        let accepts = if accepts_changes { ChangeMode::Changelog } else { ChangeMode::AppendOnly };
        let kind = NodeKind::Sink { connector, ordered, accepts, collects };
        self.maybe_named(NodeRef::new(kind, vec![input.clone()])?, name)
    }

    fn maybe_named(&self, node: NodeRef, name: Option<String>) -> Result<NodeRef, PlanError> {
        match name {
            Some(name) => self.named(&node, name),
            None => Ok(node),
        }
    }

    fn resolve(&self, operator: &str, input: &NodeRef, expr: &Expr) -> Result<TypedExpr, PlanError> {
        resolve(expr, input.schema(), &self.functions).map_err(|error| PlanError::expression(operator, error))
    }

    fn projections(
        &self,
        operator: &str,
        input: &NodeRef,
        exprs: &[Expr],
    ) -> Result<Vec<Projection>, PlanError> {
        let project = |expr: &Expr| {
            Ok(Projection { name: expr.output_name(), expr: self.resolve(operator, input, expr)? })
        };
        exprs.iter().map(project).collect()
    }
}

/// What each use of a ranking sets apart.
fn ranking(call: RankCall) -> Ranking {
    Ranking {
        call,
        groups: Vec::new(),
        windowed: false,
        order: Vec::new(),
        backwards: false,
        skip: 0,
        fetch: None,
        number: None,
    }
}

/// Column `index` of the input, passed through.
fn column(operator: &str, input: &NodeRef, index: usize) -> Result<Projection, PlanError> {
    let expr = TypedExpr::column(index, input.schema()).map_err(|e| PlanError::expression(operator, e))?;
    Ok(Projection { name: input.schema().field(index).name().clone(), expr })
}

/// The schema as plans keep it: names, types and nullability.
fn plain(schema: &Schema) -> SchemaRef {
    let field = |f: &Arc<Field>| Field::new(f.name(), f.data_type().clone(), f.is_nullable());
    Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests;
