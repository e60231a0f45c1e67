//! The builder: what a user may ask for, one method an operator.
//!
//! Nothing that comes out of here can fail to run for a reason that could have been known before: names
//! are looked up, types are checked and inputs are held against what the operator takes.

use arrow::datatypes::{Field, Schema, SchemaRef};
use sabot_common::{OperatorId, Span};
use sabot_expr::types::decoded_type;
use sabot_expr::{Expr, FunctionRegistry, TypedExpr, resolve, when};
use sabot_ops::Projection;
use std::sync::Arc;
use std::time::Duration;

use crate::derive::{check_names, check_window};
use crate::{
    AggregateExpr, AggregateRequest, Aggregation, Boundedness, ChangeMode, Connector, EmitMode, KeyedWindow,
    NodeKind, NodeRef, PlanError,
};

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
            aggregates.push(self.aggregation(input, call)?);
        }
        let kind =
            NodeKind::Aggregate { window: request.window.clone(), keys, aggregates, emit: EmitMode::Final };
        NodeRef::new(kind, vec![input.clone()])
    }

    fn aggregation(&self, input: &NodeRef, call: &AggregateExpr) -> Result<Aggregation, PlanError> {
        const OPERATOR: &str = "aggregate";
        let filter = call.filter.as_ref().map(|expr| self.resolve(OPERATOR, input, expr)).transpose()?;
        let mut arguments = Vec::with_capacity(call.arguments.len());
        for expr in &call.arguments {
            let argument = self.resolve(OPERATOR, input, expr)?;
            arguments.push(match &call.filter {
                // Of a row that does not take part nothing is computed that could fail.
                Some(filter) if argument.can_fail() => {
                    self.resolve(OPERATOR, input, &when(filter.clone()).then(expr.clone()).end())?
                }
                _ => argument,
            });
        }
        let mut function = call.function.clone();
        let types: Vec<_> = arguments.iter().map(|a| decoded_type(a.data_type()).clone()).collect();
        function.bind(&types, &self.functions).map_err(|error| PlanError::expression(OPERATOR, error))?;
        Ok(Aggregation { function, arguments, filter, name: call.output_name() })
    }

    /// The rows that came too late for the windows of an aggregation, with all columns that went in.
    ///
    /// # Errors
    /// [`PlanError::LateRowsWithoutWindow`] when `aggregate` is nothing with windows.
    pub fn late_rows(&self, aggregate: &NodeRef) -> Result<NodeRef, PlanError> {
        NodeRef::new(NodeKind::LateRows, vec![aggregate.clone()])
    }

    /// The rows of both, duplicates included. A column is nullable when it is on either side.
    ///
    /// # Errors
    /// [`PlanError::UnionSchemas`] when the columns differ.
    pub fn union(&self, left: &NodeRef, right: &NodeRef) -> Result<NodeRef, PlanError> {
        NodeRef::new(NodeKind::Union, vec![left.clone(), right.clone()])
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
