//! Nodes: what an operator of the logical plan is, and what is known of the rows that leave it.
//!
//! A [`NodeRef`] is an immutable tree that is shared by reference: a stream is such a value, and
//! continuing it twice shares everything up to the fork. Its properties are derived from its kind and
//! its inputs when it is made, and every check happens there.

use arrow::datatypes::{DataType, SchemaRef};
use sabot_common::{OperatorId, Span};
use sabot_expr::TypedExpr;
use sabot_ops::{AggregateFunction, PredictSpec, Projection, schema_serde};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::aggregate::call_text;
use crate::derive::derive;
use crate::digest::Digests;
use crate::{Join, KeyedWindow, Over, PlanError, Ranking, Unnest};

/// What a source or sink is connected to.
///
/// ```
/// # use sabot_plan::Connector;
/// assert_eq!(Connector::registered("csv", [("path", "flights.csv")]).to_string(), "csv(path=flights.csv)");
/// assert_eq!(Connector::slot("orders").to_string(), "slot orders");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Connector {
    /// A connector that is known by name, with its options.
    Registered {
        /// Its name: `csv`, `parquet`.
        kind: String,
        /// Its options: `path`, `delimiter`.
        options: BTreeMap<String, String>,
        /// What opens it, by a name that is bound when the plan is run, where that is not what opens all
        /// others: stores with credentials of their own, say. The same path opened by two is two things.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        opener: Option<String>,
    },
    /// A named slot, bound when the plan is run: a channel, batches in memory, a closure.
    Slot(String),
}

impl Connector {
    /// The slot of this name.
    pub fn slot(name: impl Into<String>) -> Self {
        Connector::Slot(name.into())
    }

    /// A registered connector with options.
    pub fn registered<K: Into<String>, V: Into<String>>(
        kind: impl Into<String>,
        options: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let options = options.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
        Connector::Registered { kind: kind.into(), options, opener: None }
    }

    /// The same connector, opened by what this name is bound to. A slot is bound already.
    ///
    /// ```
    /// # use sabot_plan::Connector;
    /// let remote = Connector::registered("csv", [("path", "s3://b/a.csv")]).opened_by("stores-1");
    /// assert_eq!(remote.to_string(), "csv(path=s3://b/a.csv) by stores-1");
    /// assert_eq!(remote.opener(), Some("stores-1"));
    /// ```
    pub fn opened_by(self, name: impl Into<String>) -> Self {
        match self {
            Connector::Registered { kind, options, .. } => {
                Connector::Registered { kind, options, opener: Some(name.into()) }
            }
            slot => slot,
        }
    }

    /// The name of what opens it, where it has one of its own.
    pub fn opener(&self) -> Option<&str> {
        match self {
            Connector::Registered { opener, .. } => opener.as_deref(),
            Connector::Slot(_) => None,
        }
    }
}

/// `csv(path=flights.csv)`, `csv(path=s3://b/a.csv) by stores-1`, or `slot orders`.
impl fmt::Display for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Connector::Slot(name) => write!(f, "slot {name}"),
            Connector::Registered { kind, options, opener } => {
                let options: Vec<String> = options.iter().map(|(k, v)| format!("{k}={v}")).collect();
                write!(f, "{kind}({})", options.join(", "))?;
                opener.as_ref().map_or(Ok(()), |opener| write!(f, " by {opener}"))
            }
        }
    }
}

/// Whether rows come to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Boundedness {
    /// There is a last row.
    Bounded,
    /// There may always be another one.
    Unbounded,
}

/// Which kinds of rows flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeMode {
    /// Inserts alone.
    AppendOnly,
    /// Inserts, updates and deletes.
    Changelog,
}

impl fmt::Display for ChangeMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ChangeMode::AppendOnly => "append-only",
            ChangeMode::Changelog => "changelog",
        })
    }
}

/// When an aggregation gives results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmitMode {
    /// One row per key and window, when the window is complete.
    #[default]
    Final,
}

/// Where the event time of rows is found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeAttribute {
    /// The user's column that holds it, while there is one; rows carry it hidden either way.
    pub column: Option<String>,
    /// The zone of the event-time column, in which window bounds are shown.
    pub zone: Option<Arc<str>>,
}

/// One aggregate of an aggregation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Aggregation {
    /// The function.
    pub function: AggregateFunction,
    /// What it reads, over the input's visible columns; nothing for `count(*)`.
    pub arguments: Vec<TypedExpr>,
    /// Which rows take part; all without. An argument that may fail is guarded by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<TypedExpr>,
    /// Name of the result column.
    pub name: String,
}

impl Aggregation {
    /// All expressions: the arguments, then the filter.
    pub fn exprs(&self) -> impl Iterator<Item = &TypedExpr> {
        self.arguments.iter().chain(&self.filter)
    }
}

/// `sum(delay)`.
impl fmt::Display for Aggregation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&call_text(&self.function, &self.arguments, self.filter.as_ref()))
    }
}

/// What a node does. Expressions refer to the visible columns of its input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeKind {
    /// Reads rows.
    Source {
        /// From where.
        connector: Connector,
        /// Their columns.
        #[serde(with = "schema_serde")]
        schema: SchemaRef,
        /// Whether they end.
        boundedness: Boundedness,
        /// Whether they can be read again.
        replayable: bool,
        /// Which row kinds there are.
        changes: ChangeMode,
        /// Whether partitions may come while it is read: their rows may find windows closed that went
        /// on without them.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        grows: bool,
    },
    /// Declares the event time of a source's rows.
    EventTime {
        /// The timestamp or date column.
        column: String,
        /// How far a row may be behind the running maximum of its partition.
        out_of_orderness: Span,
        /// After how long without rows a partition no longer holds the watermark back.
        idle_timeout: Option<Duration>,
    },
    /// Keeps the rows for which a predicate is true, and computes columns of them.
    FilterProject {
        /// The predicate, or none to keep every row.
        predicate: Option<TypedExpr>,
        /// The columns.
        projections: Vec<Projection>,
    },
    /// Aggregates by key, in windows or over everything.
    Aggregate {
        /// The windows; without them there is one result a key, at the end of the input.
        window: Option<KeyedWindow>,
        /// The keys.
        keys: Vec<Projection>,
        /// The aggregates.
        aggregates: Vec<Aggregation>,
        /// When results are given.
        emit: EmitMode,
    },
    /// Numbers the rows of each group in an order and keeps some: sort, limit, top-N, unique, distinct.
    Rank(Ranking),
    /// Adds values over the rows around each row.
    Over(Over),
    /// The rows that came too late for the windows of the aggregation that is its input, with the
    /// columns that went into it.
    LateRows,
    /// Joins the rows of two inputs.
    Join(Box<Join>),
    /// All rows of all inputs.
    Union,
    /// Gives one row for each element of a list.
    Unnest(Unnest),
    /// Adds what a trained model says of each row.
    Predict(PredictSpec),
    /// Calls a user's function with each batch.
    MapBatches {
        /// The slot in which the function is bound.
        slot: String,
        /// The columns that it returns.
        #[serde(with = "schema_serde")]
        schema: SchemaRef,
    },
    /// Writes rows.
    Sink {
        /// To where.
        connector: Connector,
        /// Whether the order of rows matters there.
        ordered: bool,
        /// Which row kinds it takes.
        accepts: ChangeMode,
        /// For sinks that need all rows before they have a result: what the user called, `collect`.
        collects: Option<String>,
    },
}

impl NodeKind {
    /// The kind's name in ids, messages and `explain`.
    pub fn name(&self) -> &'static str {
        match self {
            NodeKind::Source { .. } => "source",
            NodeKind::EventTime { .. } => "event-time",
            NodeKind::FilterProject { predicate: Some(_), .. } => "filter",
            NodeKind::FilterProject { .. } => "select",
            NodeKind::Aggregate { .. } => "aggregate",
            NodeKind::Rank(ranking) => ranking.call.name(),
            NodeKind::Over(_) => "over",
            NodeKind::LateRows => "late-rows",
            NodeKind::Join(join) => join.operator(),
            NodeKind::Union => "union",
            NodeKind::Unnest(_) => "unnest",
            NodeKind::Predict(_) => "predict",
            NodeKind::MapBatches { .. } => "map-batches",
            NodeKind::Sink { .. } => "sink",
        }
    }
}

/// What is known of the rows that leave a node (of a sink: that enter it).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Properties {
    /// The user's columns.
    #[serde(with = "schema_serde")]
    pub schema: SchemaRef,
    /// Their event time, where it is declared.
    pub time: Option<TimeAttribute>,
    /// Whether they end.
    pub boundedness: Boundedness,
    /// Columns whose values name a row: a later row with the same values replaces it. An empty list
    /// is a stream of one row. `None` where no such columns are known.
    pub upsert_key: Option<Vec<String>>,
    /// Which row kinds the node takes.
    pub accepts: ChangeMode,
    /// Which row kinds leave it.
    pub produces: ChangeMode,
    /// Whether the node's result depends on the order of its input.
    pub order_sensitive: bool,
}

/// A node of a logical plan with everything above it; cloning shares it.
///
/// ```
/// # use arrow::datatypes::{DataType, Field, Schema};
/// # use sabot_plan::{Connector, PlanBuilder, SourceRequest};
/// # let schema = Schema::new(vec![Field::new("delay", DataType::Int32, false)]);
/// let request = SourceRequest::bounded(Connector::slot("flights"), schema.into());
/// let flights = PlanBuilder::new().source(request)?;
/// assert_eq!(flights.describe(), "source slot flights");
/// assert!(!flights.is_named() && flights.inputs().is_empty());
/// # Ok::<(), sabot_plan::PlanError>(())
/// ```
#[derive(Clone)]
pub struct NodeRef(Arc<LogicalNode>);

struct LogicalNode {
    id: OperatorId,
    named: bool,
    digests: Digests,
    kind: NodeKind,
    inputs: Vec<NodeRef>,
    properties: Properties,
}

impl NodeRef {
    /// A node, checked against its inputs.
    pub(crate) fn new(kind: NodeKind, inputs: Vec<NodeRef>) -> Result<Self, PlanError> {
        let properties = derive(&kind, &inputs)?;
        let above: Vec<Digests> = inputs.iter().map(|input| input.0.digests).collect();
        let digests = Digests::new(&kind, &above);
        let id = derived_id(&kind, digests.own);
        Ok(Self(Arc::new(LogicalNode { id, named: false, digests, kind, inputs, properties })))
    }

    /// The same node under a name of the user's.
    pub(crate) fn renamed(&self, id: OperatorId) -> Self {
        let LogicalNode { kind, inputs, properties, .. } = &*self.0;
        let (kind, inputs, properties) = (kind.clone(), inputs.clone(), properties.clone());
        let digests = Digests::of_name(id.as_str());
        Self(Arc::new(LogicalNode { id, named: true, digests, kind, inputs, properties }))
    }

    /// The id of an unnamed node where others of the plan do the same with other inputs.
    pub(crate) fn id_by_all_above(&self) -> OperatorId {
        derived_id(self.kind(), self.0.digests.with_all_above)
    }

    /// The operator's id: its name, or one that is derived from what it does. In a plan a derived id may be another
    /// one that tells it from others that do the same.
    pub fn id(&self) -> &OperatorId {
        &self.0.id
    }

    /// Whether the id was given by the user.
    pub fn is_named(&self) -> bool {
        self.0.named
    }

    /// What the node does.
    pub fn kind(&self) -> &NodeKind {
        &self.0.kind
    }

    /// The nodes that its rows come from.
    pub fn inputs(&self) -> &[NodeRef] {
        &self.0.inputs
    }

    /// What is known of its rows.
    pub fn properties(&self) -> &Properties {
        &self.0.properties
    }

    /// The user's columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.0.properties.schema
    }

    /// How messages name the node: by the user's name, else by what it does or is connected to.
    pub fn describe(&self) -> String {
        match (self.kind(), self.is_named()) {
            (kind, true) => format!("{} \"{}\"", kind.name(), self.id()),
            (NodeKind::Source { connector, .. }, false) => format!("source {connector}"),
            (NodeKind::Sink { collects: Some(call), .. }, false) => call.clone(),
            (NodeKind::Sink { connector, .. }, false) => format!("sink {connector}"),
            (kind, false) => kind.name().to_owned(),
        }
    }

    /// The first source above the node, depth first, that `wanted` holds for.
    pub(crate) fn find_source(&self, wanted: impl Fn(&NodeKind) -> bool) -> Option<NodeRef> {
        let mut seen = HashSet::new();
        let mut open = vec![self];
        while let Some(node) = open.pop() {
            if !seen.insert(node.address()) {
                continue;
            }
            if matches!(node.kind(), NodeKind::Source { .. }) && wanted(node.kind()) {
                return Some(node.clone());
            }
            open.extend(node.inputs().iter().rev());
        }
        None
    }

    /// Where the shared node lies: equal for clones of one reference.
    pub(crate) fn address(&self) -> *const () {
        Arc::as_ptr(&self.0).cast()
    }
}

impl fmt::Debug for NodeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeRef").field("id", &self.0.id).field("kind", &self.0.kind).finish_non_exhaustive()
    }
}

/// Six digits keep ids readable; two nodes that agree in them are told apart in the plan.
fn derived_id(kind: &NodeKind, digest: u64) -> OperatorId {
    OperatorId::new(format!("{}-{:06x}", kind.name(), digest >> 40))
}

/// The zone of a column's type.
pub(crate) fn zone_of(data_type: &DataType) -> Option<Arc<str>> {
    match data_type {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    }
}
