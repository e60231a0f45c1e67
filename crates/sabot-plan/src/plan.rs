//! The plan: what a job does, as data.
//!
//! A plan is everything above some sinks, in topological order, with each distinct operator once: two
//! sub-plans that do the same are one, so that a fork is a node with two consumers. It can be stored and
//! loaded; loading derives everything that can be derived again, and refuses a plan that does not agree
//! with itself.

use sabot_common::{KeyGroups, OperatorId};
use sabot_expr::types::decoded_type;
use sabot_expr::{FunctionRegistry, TypedExpr};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};

use crate::{Aggregation, Connector, NodeKind, NodeRef, PlanError, Properties};

/// The version of the stored form that this build writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;

/// A logical plan.
///
/// ```
/// # use arrow::datatypes::{DataType, Field, Schema};
/// # use sabot_expr::{FunctionRegistry, col};
/// # use sabot_plan::{Connector, Keying, Plan, PlanBuilder, SinkRequest, SourceRequest};
/// # let schema = Schema::new(vec![Field::new("delay", DataType::Int32, false)]);
/// let builder = PlanBuilder::new();
/// let flights = builder.source(SourceRequest::bounded(Connector::slot("flights"), schema.into()))?;
/// let late = builder.filter(&flights, &col("delay").gt(15))?;
/// let sink = builder.sink(&late, SinkRequest::new(Connector::slot("out")))?;
/// let mut plan = Plan::from_sinks(&[sink])?;
///
/// assert_eq!(plan.slots().iter().map(|(slot, _)| *slot).collect::<Vec<_>>(), ["flights", "out"]);
/// assert_eq!(plan.consumers(), [vec![1], vec![2], vec![]]);
/// assert_eq!(plan.node(&plan.nodes()[1].id), Some(&plan.nodes()[1]));
/// plan.bind(&FunctionRegistry::new())?; // of use after loading: a stored plan has no code
/// assert_eq!(plan.clone().with_keying(Keying::default()), plan);
/// assert_eq!(plan.keying().hash_seed, 0);
/// # Ok::<(), sabot_plan::PlanError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Plan {
    nodes: Vec<PlanNode>,
    keying: Keying,
}

/// How keys become tasks: fixed when a pipeline is created and stored with it, because state is laid
/// out by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keying {
    /// The pipeline's key groups.
    pub key_groups: KeyGroups,
    /// Seed of the key hash.
    pub hash_seed: u64,
}

/// One operator of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanNode {
    /// Its id, which no other operator of the plan has.
    pub id: OperatorId,
    /// Whether the id is a name that the user gave.
    pub named: bool,
    /// What it does.
    pub kind: NodeKind,
    /// The nodes that its rows come from, by their place in the plan; all stand before this one.
    pub inputs: Vec<usize>,
    /// What is known of its rows.
    pub properties: Properties,
}

impl Plan {
    /// The plan of everything above these sinks.
    ///
    /// Operators that do the same with the same input become one. Two different operators never share an
    /// id. One without a name has an id that is derived from what it does by itself, and stays when the plan changes
    /// around it; where several do the same with different inputs, from all that is above them as well. Given names
    /// that collide are refused.
    ///
    /// # Errors
    /// [`PlanError`] when there is no sink, something else is among them, two different operators have
    /// one name, or a source that can be read once is wanted twice.
    pub fn from_sinks(sinks: &[NodeRef]) -> Result<Self, PlanError> {
        if sinks.is_empty() {
            return Err(PlanError::NoSinks);
        }
        let mut interner = Interner::default();
        for sink in sinks {
            if !matches!(sink.kind(), NodeKind::Sink { .. }) {
                let problem = "is not a sink; a job is made of sinks, and of what feeds them";
                return Err(PlanError::SinkExpected { operator: sink.describe(), problem });
            }
            interner.add_tree(sink)?;
        }
        let nodes = interner.with_ids();
        check_single_readings(&nodes)?;
        Ok(Self { nodes, keying: Keying::default() })
    }

    /// The same plan with other key groups or another hash seed; state of the one does not fit the other.
    #[must_use]
    pub fn with_keying(mut self, keying: Keying) -> Self {
        self.keying = keying;
        self
    }

    /// How keys become tasks.
    pub fn keying(&self) -> Keying {
        self.keying
    }

    /// The operators; inputs stand before their consumers.
    pub fn nodes(&self) -> &[PlanNode] {
        &self.nodes
    }

    /// The operator of this id.
    pub fn node(&self, id: &OperatorId) -> Option<&PlanNode> {
        self.nodes.iter().find(|node| &node.id == id)
    }

    /// For each node the nodes that read it, once for each of their inputs.
    pub fn consumers(&self) -> Vec<Vec<usize>> {
        consumers(&self.nodes)
    }

    /// The slots that must be bound before the plan can run, each with its operator.
    pub fn slots(&self) -> Vec<(&str, &PlanNode)> {
        self.nodes.iter().filter_map(|node| Some((slot_of(node)?, node))).collect()
    }

    /// Looks up the code of every user function: a loaded plan knows them by name and version only.
    ///
    /// # Errors
    /// [`PlanError::Expression`] for a function that is not there, or no longer what it was.
    pub fn bind(&mut self, functions: &FunctionRegistry) -> Result<(), PlanError> {
        for node in &mut self.nodes {
            let operator = node.kind.name();
            for expr in exprs_mut(&mut node.kind) {
                expr.bind(functions).map_err(|error| PlanError::expression(operator, error))?;
            }
            if let NodeKind::Aggregate { aggregates, .. } = &mut node.kind {
                for Aggregation { function, arguments, .. } in aggregates {
                    let types: Vec<_> =
                        arguments.iter().map(|a| decoded_type(a.data_type()).clone()).collect();
                    let bound = function.bind(&types, functions);
                    bound.map_err(|error| PlanError::expression(operator, error))?;
                }
            }
        }
        Ok(())
    }
}

fn slot_of(node: &PlanNode) -> Option<&str> {
    match &node.kind {
        NodeKind::Source { connector: Connector::Slot(slot), .. }
        | NodeKind::Sink { connector: Connector::Slot(slot), .. }
        | NodeKind::MapBatches { slot, .. } => Some(slot),
        _ => None,
    }
}

fn exprs_mut(kind: &mut NodeKind) -> Vec<&mut TypedExpr> {
    match kind {
        NodeKind::FilterProject { predicate, projections } => {
            predicate.iter_mut().chain(projections.iter_mut().map(|p| &mut p.expr)).collect()
        }
        NodeKind::Aggregate { keys, aggregates, .. } => {
            let exprs = aggregates.iter_mut().flat_map(|a| a.arguments.iter_mut().chain(&mut a.filter));
            keys.iter_mut().map(|key| &mut key.expr).chain(exprs).collect()
        }
        NodeKind::Join(join) => join.exprs_mut().collect(),
        NodeKind::Rank(ranking) => {
            let order = ranking.order.iter_mut().map(|key| &mut key.expr);
            ranking.groups.iter_mut().map(|group| &mut group.expr).chain(order).collect()
        }
        NodeKind::Over(over) => {
            let keys = over.partition.iter_mut().map(|key| &mut key.expr);
            let order = over.order.iter_mut().chain(&mut over.ties).map(|key| &mut key.expr);
            let arguments = over.columns.iter_mut().flat_map(crate::OverColumn::exprs_mut);
            keys.chain(order).chain(arguments).collect()
        }
        _ => Vec::new(),
    }
}

fn consumers(nodes: &[PlanNode]) -> Vec<Vec<usize>> {
    let mut consumers = vec![Vec::new(); nodes.len()];
    for (i, node) in nodes.iter().enumerate() {
        for input in &node.inputs {
            consumers[*input].push(i);
        }
    }
    consumers
}

/// Gathers nodes, each distinct one once.
#[derive(Default)]
struct Interner {
    nodes: Vec<PlanNode>,
    /// Where a shared node went.
    by_address: HashMap<*const (), usize>,
    /// Nodes by the id that they came with.
    by_id: HashMap<OperatorId, Vec<usize>>,
    /// Of each node the id that says what is above it.
    by_all_above: Vec<OperatorId>,
}

impl Interner {
    /// Adds a node after everything above it. Without recursion: a plan may be deep.
    fn add_tree(&mut self, root: &NodeRef) -> Result<(), PlanError> {
        let mut open = vec![(root, false)];
        while let Some((node, inputs_done)) = open.pop() {
            if self.by_address.contains_key(&node.address()) {
                continue;
            }
            if inputs_done {
                let index = self.add(node)?;
                self.by_address.insert(node.address(), index);
            } else {
                open.push((node, true));
                open.extend(node.inputs().iter().rev().map(|input| (input, false)));
            }
        }
        Ok(())
    }

    fn add(&mut self, node: &NodeRef) -> Result<usize, PlanError> {
        let inputs: Vec<usize> =
            node.inputs().iter().map(|input| self.by_address[&input.address()]).collect();
        let same = |other: &PlanNode| {
            (other.named, &other.kind, &other.inputs) == (node.is_named(), node.kind(), &inputs)
        };
        let namesakes = self.by_id.entry(node.id().clone()).or_default();
        if let Some(index) = namesakes.iter().find(|i| same(&self.nodes[**i])) {
            return Ok(*index);
        }
        let id = node.id().clone();
        if node.is_named()
            && let Some(other) = self.nodes.iter().find(|other| other.named && other.id == id)
        {
            let (first, second) = (other.kind.name(), node.kind().name());
            return Err(PlanError::DuplicateOperatorName { name: id.to_string(), first, second });
        }
        namesakes.push(self.nodes.len());
        self.by_all_above.push(node.id_by_all_above());
        let (kind, properties) = (node.kind().clone(), node.properties().clone());
        self.nodes.push(PlanNode { id, named: node.is_named(), kind, inputs, properties });
        Ok(self.nodes.len() - 1)
    }

    /// The nodes, each with an id of its own.
    fn with_ids(self) -> Vec<PlanNode> {
        let Self { mut nodes, by_id, by_all_above, .. } = self;
        let mut taken: HashSet<OperatorId> =
            nodes.iter().filter(|node| node.named).map(|node| node.id.clone()).collect();
        let unnamed = |namesakes: &Vec<usize>| namesakes.iter().filter(|i| !nodes[**i].named).count();
        let alone: HashSet<OperatorId> =
            by_id.iter().filter(|(_, all)| unnamed(all) == 1).map(|(id, _)| id.clone()).collect();
        for (node, by_all_above) in nodes.iter_mut().zip(by_all_above).filter(|(node, _)| !node.named) {
            let alone = alone.contains(&node.id);
            node.id = free_id(if alone { &node.id } else { &by_all_above }, &taken);
            taken.insert(node.id.clone());
        }
        nodes
    }
}

/// The id itself, or with the first number behind it that no one has.
fn free_id(id: &OperatorId, taken: &HashSet<OperatorId>) -> OperatorId {
    let mut free = id.clone();
    let mut number = 2u64;
    while taken.contains(&free) {
        free = OperatorId::new(format!("{id}-{number}"));
        number += 1;
    }
    free
}

/// A source is read once for each event time that is declared on it, and once for all who declare none.
fn check_single_readings(nodes: &[PlanNode]) -> Result<(), PlanError> {
    for (node, consumers) in nodes.iter().zip(consumers(nodes)) {
        let NodeKind::Source { connector, replayable: false, .. } = &node.kind else { continue };
        let mut readings: Vec<String> = Vec::new();
        for consumer in consumers {
            let reading = match &nodes[consumer].kind {
                NodeKind::EventTime { column, .. } => format!("with event time \"{column}\""),
                _ if readings.iter().any(|r| r == "without event time") => continue,
                _ => "without event time".to_owned(),
            };
            readings.push(reading);
        }
        if readings.len() > 1 {
            let readings = readings.join(" and ");
            return Err(PlanError::ReadTwice { source_name: connector.to_string(), readings });
        }
    }
    Ok(())
}

/// The stored form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    // First, so that a newer format is refused before anything in it is misread.
    format_version: FormatVersion,
    #[serde(default)]
    keying: Keying,
    nodes: Vec<PlanNode>,
}

#[derive(Serialize, Deserialize)]
#[serde(try_from = "u32")]
struct FormatVersion(u32);

impl TryFrom<u32> for FormatVersion {
    type Error = PlanError;

    fn try_from(found: u32) -> Result<Self, PlanError> {
        match found {
            1..=FORMAT_VERSION => Ok(Self(found)),
            _ => Err(PlanError::UnknownFormat { found, known: FORMAT_VERSION }),
        }
    }
}

impl From<Plan> for Stored {
    fn from(plan: Plan) -> Self {
        Stored { format_version: FormatVersion(FORMAT_VERSION), keying: plan.keying, nodes: plan.nodes }
    }
}

impl TryFrom<Stored> for Plan {
    type Error = PlanError;

    fn try_from(stored: Stored) -> Result<Self, PlanError> {
        let mut built: Vec<NodeRef> = Vec::with_capacity(stored.nodes.len());
        let mut ids = HashSet::new();
        for (i, node) in stored.nodes.iter().enumerate() {
            let corrupt = |message: &str| {
                Err(PlanError::Corrupt { operator: node.id.to_string(), message: message.to_owned() })
            };
            if !ids.insert(&node.id) {
                return corrupt("another operator has the same id");
            }
            if node.inputs.iter().any(|input| *input >= i) {
                return corrupt("an input does not stand before it");
            }
            let inputs = node.inputs.iter().map(|input| built[*input].clone()).collect();
            let again = NodeRef::new(node.kind.clone(), inputs)?;
            if again.properties() != &node.properties {
                return corrupt("its properties do not follow from what it does and from its inputs");
            }
            built.push(again.renamed(node.id.clone()));
        }
        for (node, consumers) in stored.nodes.iter().zip(consumers(&stored.nodes)) {
            if consumers.is_empty() && !matches!(node.kind, NodeKind::Sink { .. }) {
                let message = "nothing reads its rows".to_owned();
                return Err(PlanError::Corrupt { operator: node.id.to_string(), message });
            }
        }
        if stored.nodes.is_empty() {
            return Err(PlanError::NoSinks);
        }
        check_single_readings(&stored.nodes)?;
        Ok(Self { nodes: stored.nodes, keying: stored.keying })
    }
}

#[cfg(test)]
mod tests;
