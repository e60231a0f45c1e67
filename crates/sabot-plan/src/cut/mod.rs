//! From the logical plan to stages.
//!
//! Two passes. Backwards, from the sinks, [`demand`] finds which columns of every node somebody reads,
//! the hidden ones included. Forwards, a node becomes steps that are appended to what its input is so
//! far; a stage is cut only where rows must change hands. What is cut keeps these rules:
//!
//! * Every edge has one schema: the visible columns that somebody reads, in the plan's order, then the
//!   hidden ones in the order of [`demand::HIDDEN`]. A stage may pass on more than one of its readers
//!   wants, never less.
//! * A fork is computed once (until devices come into it: `forks`), a source is read once for each event time that is declared on it.
//! * An expression that some row reaches is not moved before a filter or behind one.

mod aggregate;
mod demand;
mod feeders;
mod flow;
mod join;
mod over;
mod owned;
mod predict;
mod pruning;
mod rank;
mod unnest;

use arrow::datatypes::{Field, Schema, SchemaRef};
use sabot_batch::hidden;
use sabot_common::OperatorId;
use sabot_expr::TypedExpr;
use sabot_ops::{Fragment, OperatorSpec, Projection, UnionSpec};
use std::sync::Arc;

use crate::{
    Boundedness, EventTimeSpec, FragmentStage, MapBatchesStage, NodeKind, PhysicalPlan, Plan, PlanError,
    PlanNode, Port, Route, SinkStage, SourceStage, Stage, StageInput, StageKind,
};
use demand::{Demand, HiddenSet};
use flow::Flow;
use join::Gates;

/// How a plan is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutOptions {
    /// Tasks of every keyed stage; at least 1.
    pub keyed_parallelism: u32,
}

impl Default for CutOptions {
    /// One task.
    fn default() -> Self {
        Self { keyed_parallelism: 1 }
    }
}

/// The hidden partition ordinal keeps 20 bits for the partition, so 12 are left for sources and keyed
/// operators.
const ORDINALS_MAX: usize = 1 << 12;

/// Cuts a plan into stages.
///
/// ```
/// # use arrow::datatypes::{DataType, Field, Schema};
/// # use sabot_plan::{AggregateRequest, Connector, CutOptions, Plan, PlanBuilder, SinkRequest, SourceRequest, count, cut};
/// # let schema = Schema::new(vec![Field::new("origin", DataType::Utf8, true)]);
/// # let builder = PlanBuilder::new();
/// # let flights = builder.source(SourceRequest::bounded(Connector::slot("flights"), schema.into()))?;
/// let counts = builder.aggregate(&flights, &AggregateRequest::new(["origin"], [count()]))?;
/// let plan = Plan::from_sinks(&[builder.sink(&counts, SinkRequest::new(Connector::slot("out")))?])?;
/// let physical = cut(&plan, &CutOptions { keyed_parallelism: 4 })?;
/// assert!(physical.stages.len() >= 4); // source, fragment, keyed, sink
/// # Ok::<(), sabot_plan::PlanError>(())
/// ```
///
/// # Errors
/// [`PlanError`] when there are more sources and keyed operators than can be numbered, or a parallelism
/// of 0; a plan that was built or loaded otherwise can be cut.
pub fn cut(plan: &Plan, options: &CutOptions) -> Result<PhysicalPlan, PlanError> {
    let mut cutter = Cutter {
        plan,
        options,
        consumers: plan.consumers(),
        demands: demand::demands(plan),
        may_fall_behind: may_fall_behind(plan),
        flows: vec![None; plan.nodes().len()],
        late: vec![None; plan.nodes().len()],
        stages: Vec::new(),
        ordinals: 0,
        gates: Gates::default(),
        endless: Vec::new(),
    };
    for index in 0..plan.nodes().len() {
        let flow = cutter.node(index)?;
        cutter.flows[index] = flow;
    }
    if cutter.ordinals > ORDINALS_MAX {
        return Err(PlanError::TooManyOrdinals { count: cutter.ordinals, limit: ORDINALS_MAX });
    }
    cutter.close_gates();
    feeders::name(&mut cutter.stages, &cutter.endless);
    Ok(PhysicalPlan {
        stages: cutter.stages,
        hash_seed: plan.keying().hash_seed,
        key_groups: plan.keying().key_groups,
        keyed_parallelism: options.keyed_parallelism,
    })
}

/// For each node whether its watermark may go on without a partition above it, so that rows can come
/// behind it: because the partition may go idle, which a bounded one never does, or is not there yet.
fn may_fall_behind(plan: &Plan) -> Vec<bool> {
    let mut found: Vec<bool> = Vec::with_capacity(plan.nodes().len());
    for node in plan.nodes() {
        let here = match node.kind {
            NodeKind::EventTime { idle_timeout: Some(_), .. } => {
                node.properties.boundedness == Boundedness::Unbounded
            }
            NodeKind::Source { grows, .. } => grows,
            _ => false,
        };
        found.push(here || node.inputs.iter().any(|input| found[*input]));
    }
    found
}

struct Cutter<'a> {
    plan: &'a Plan,
    options: &'a CutOptions,
    consumers: Vec<Vec<usize>>,
    demands: Vec<Demand>,
    may_fall_behind: Vec<bool>,
    /// What each node's rows are so far; `None` for sinks, and for sources that are only read with
    /// event time.
    flows: Vec<Option<Flow>>,
    /// The late rows of each aggregation that has some.
    late: Vec<Option<Flow>>,
    stages: Vec<Stage>,
    /// Sources, joins and keyed operators numbered so far.
    ordinals: usize,
    gates: Gates,
    /// The source stages that never end.
    endless: Vec<usize>,
}

impl Cutter<'_> {
    fn node(&mut self, index: usize) -> Result<Option<Flow>, PlanError> {
        let plan = self.plan;
        let node = &plan.nodes()[index];
        let flow = match &node.kind {
            NodeKind::Source { .. } => {
                let timed = |c: &usize| matches!(plan.nodes()[*c].kind, NodeKind::EventTime { .. });
                if self.consumers[index].iter().all(timed) {
                    return Ok(None);
                }
                self.source(index, None)?
            }
            NodeKind::EventTime { .. } => self.source(node.inputs[0], Some(index))?,
            NodeKind::FilterProject { predicate, projections } => {
                self.filter_project(index, predicate.as_ref(), projections)?
            }
            NodeKind::Aggregate { window, keys, aggregates, .. } => {
                self.aggregate(index, window.as_ref(), keys, aggregates)?
            }
            NodeKind::Rank(ranking) => self.rank(index, ranking)?,
            NodeKind::Over(over) => self.over(index, over)?,
            NodeKind::LateRows => {
                let mut flow = self.late[node.inputs[0]]
                    .clone()
                    .ok_or_else(|| internal(node, "late rows are missing"))?;
                flow.operators.push(node.id.clone());
                flow
            }
            NodeKind::Join(join) => self.join(index, join)?,
            NodeKind::Union => self.union(index)?,
            NodeKind::Unnest(unnest) => self.unnest(index, unnest)?,
            NodeKind::Predict(spec) => self.predict(index, spec)?,
            NodeKind::MapBatches { slot, schema } => self.map_batches(index, slot, schema)?,
            NodeKind::Sink { ordered, .. } => {
                self.sink(index, *ordered)?;
                return Ok(None);
            }
        };
        // Late rows leave by a port of their own and do not make a fork.
        let readers = self.consumers[index].iter().filter(|c| plan.nodes()[**c].kind != NodeKind::LateRows);
        if readers.count() > 1 { self.materialise(flow, &node.id).map(Some) } else { Ok(Some(flow)) }
    }

    /// The rows of input `number` of a node.
    fn input(&self, index: usize, number: usize) -> Result<Flow, PlanError> {
        let node = &self.plan.nodes()[index];
        let flow = node.inputs.get(number).and_then(|input| self.flows[*input].clone());
        flow.ok_or_else(|| internal(node, "an input has no rows"))
    }

    /// The user's columns that go into a node.
    fn input_schema(&self, index: usize) -> SchemaRef {
        self.plan.nodes()[self.plan.nodes()[index].inputs[0]].properties.schema.clone()
    }

    fn next_ordinal(&mut self) -> u32 {
        let ordinal = self.ordinals;
        self.ordinals += 1;
        // Checked against the limit once all are known.
        u32::try_from(ordinal).unwrap_or(u32::MAX)
    }

    /// Reads a source, with the event time that node `timed` declares.
    fn source(&mut self, index: usize, timed: Option<usize>) -> Result<Flow, PlanError> {
        let plan = self.plan;
        let node = &plan.nodes()[index];
        let NodeKind::Source { connector, schema, .. } = &node.kind else {
            return Err(internal(node, "it is no source"));
        };
        let event_time = match timed.map(|t| &plan.nodes()[t].kind) {
            Some(NodeKind::EventTime { column, out_of_orderness, idle_timeout }) => Some(EventTimeSpec {
                column: schema
                    .index_of(column)
                    .map_err(|_| internal(node, "the event-time column is missing"))?,
                out_of_orderness: *out_of_orderness,
                idle_timeout: *idle_timeout,
            }),
            _ => None,
        };
        let read = timed.unwrap_or(index);
        let demand = &self.demands[read];
        let mut projection = demand.columns.clone();
        projection.extend(event_time.as_ref().map(|e| e.column));
        let output = physical_schema(schema, demand);
        let operators =
            [Some(index), timed].into_iter().flatten().map(|i| plan.nodes()[i].id.clone()).collect();
        let stage = SourceStage {
            connector: connector.clone(),
            schema: schema.clone(),
            projection: projection.into_iter().collect(),
            pruning: pruning::pruning(plan, &self.consumers, read, schema),
            event_time,
            hidden: demand.hidden.names().collect(),
            ordinal: self.next_ordinal(),
            after: Vec::new(),
        };
        if node.properties.boundedness == Boundedness::Unbounded {
            self.endless.push(self.stages.len());
        }
        Ok(self.stage(operators, Vec::new(), StageKind::Source(stage), output))
    }

    fn filter_project(
        &mut self,
        index: usize,
        predicate: Option<&TypedExpr>,
        projections: &[Projection],
    ) -> Result<Flow, PlanError> {
        let mut flow = self.input(index, 0)?;
        let logical = self.input_schema(index);
        let demand = &self.demands[index];
        let wanted = demand.columns.iter().map(|c| Projection {
            name: projections[*c].name.clone(),
            expr: flow.localise(&projections[*c].expr, &logical),
        });
        let wanted = wanted.collect();
        let predicate = predicate.map(|p| flow.localise(p, &logical));
        flow.filter_project(predicate, wanted, &demand.hidden)?;
        flow.operators.push(self.plan.nodes()[index].id.clone());
        Ok(flow)
    }

    fn union(&mut self, index: usize) -> Result<Flow, PlanError> {
        let plan = self.plan;
        let node = &plan.nodes()[index];
        let common = physical_schema(&node.properties.schema, &self.demands[index]);
        let (mut inputs, mut operators) = (Vec::new(), Vec::new());
        for number in 0..node.inputs.len() {
            let mut flow = self.input(index, number)?;
            flow.fit(&common, &self.demands[index].hidden)?;
            // A union of unions is one union.
            let flow = if flow.is_union() { flow } else { self.materialise(flow, &node.id)? };
            inputs.extend(flow.inputs);
            operators.extend(flow.operators);
        }
        operators.push(node.id.clone());
        let mut flow = Flow::new(inputs, common.clone(), operators);
        flow.push(OperatorSpec::Union(UnionSpec { schema: common }))?;
        Ok(flow)
    }

    fn map_batches(&mut self, index: usize, slot: &str, returned: &SchemaRef) -> Result<Flow, PlanError> {
        let node = &self.plan.nodes()[index];
        let (input, output) = (self.input_schema(index), physical_schema(returned, &self.demands[index]));
        let mut flow = self.input(index, 0)?;
        flow.fit_visible(&input, &self.demands[index].hidden)?;
        let flow = self.materialise(flow, &node.id)?;
        let operators = flow.operators.into_iter().chain([node.id.clone()]).collect();
        let stage = MapBatchesStage { slot: slot.to_owned(), input, returned: returned.clone() };
        Ok(self.stage(operators, flow.inputs, StageKind::MapBatches(stage), output))
    }

    fn sink(&mut self, index: usize, ordered: bool) -> Result<(), PlanError> {
        let plan = self.plan;
        let node = &plan.nodes()[index];
        let NodeKind::Sink { connector, .. } = &node.kind else {
            return Err(internal(node, "it is no sink"));
        };
        let visible = node.properties.schema.clone();
        let mut flow = self.input(index, 0)?;
        flow.fit_visible(&visible, &demand::sink_demand(plan, index).hidden)?;
        let flow = self.materialise(flow, &node.id)?;
        let inputs =
            flow.inputs.into_iter().map(|input| StageInput { route: Route::Gather, ..input }).collect();
        let stage = SinkStage { connector: connector.clone(), ordered, visible };
        let operators = flow.operators.into_iter().chain([node.id.clone()]).collect();
        self.stage(operators, inputs, StageKind::Sink(stage), flow.schema);
        Ok(())
    }

    /// Adds a stage; its rows, with nothing done to them yet.
    fn stage(
        &mut self,
        operators: Vec<OperatorId>,
        inputs: Vec<StageInput>,
        kind: StageKind,
        output: SchemaRef,
    ) -> Flow {
        let stage = self.stages.len();
        self.stages.push(Stage { operators, inputs, kind, output: output.clone() });
        Flow::new(vec![StageInput { stage, port: Port::Main, route: Route::Forward }], output, Vec::new())
    }

    /// The same rows, from one port of one stage: the steps so far become a stage, if there are any.
    /// Operators that turned out to need no step stay with the flow, for the stage that reads it.
    /// A stage that only puts columns in order for operator `reader` is named after it.
    fn materialise(&mut self, flow: Flow, reader: &OperatorId) -> Result<Flow, PlanError> {
        if flow.steps.is_empty() && flow.inputs.len() == 1 {
            return Ok(flow);
        }
        let Flow { inputs, base, steps, mut operators, .. } = flow;
        if operators.is_empty() {
            operators.push(reader.clone());
        }
        let fragment = Fragment::new(base, steps)?;
        let output = fragment.output().clone();
        Ok(self.stage(operators, inputs, StageKind::Fragment(FragmentStage { fragment, late: None }), output))
    }
}

/// The schema of rows that carry what is demanded of `visible`.
fn physical_schema(visible: &Schema, demand: &Demand) -> SchemaRef {
    let fields = demand.columns.iter().map(|column| visible.field(*column).clone());
    Arc::new(Schema::new(fields.chain(hidden_fields(&demand.hidden)).collect::<Vec<_>>()))
}

fn hidden_fields(set: &HiddenSet) -> impl Iterator<Item = Field> {
    set.names().filter_map(hidden::field)
}

/// A contradiction that building and loading rule out.
fn internal(node: &PlanNode, message: &str) -> PlanError {
    PlanError::Corrupt { operator: node.id.to_string(), message: message.to_owned() }
}

#[cfg(test)]
mod tests;
