//! The tasks of a plan that take part in checkpoints.

use arrow::datatypes::SchemaRef;
use sabot_checkpoint::{BlockId, Endpoint, KeyedOperator, Role, StateColumn, StateShape, TaskId, Topology};
use sabot_common::{KeyGroupRange, OperatorId};
use sabot_expr::type_name;
use sabot_ops::AggregateSpec;
use sabot_plan::{KeyedStage, KeyedWindow, PhysicalPlan, Stage, StageKind};
use sabot_stream::{KeptRows, OperatorError, keyed_operator};
use sabot_time::Windows;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::JobError;
use crate::order::OrderBuffer;

/// A job as the coordinator sees it, and where each stage stands in it.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    pub(crate) topology: Arc<Topology>,
    /// By stage of the plan: its number among those of its role.
    numbers: BTreeMap<(usize, Role), u32>,
}

impl Places {
    /// `instances` are the tasks of each stage, one where nothing is said; `letters` the source stages whose tasks put
    /// dead letters aside, and where to.
    pub(crate) fn of(
        job: &str,
        plan: &PhysicalPlan,
        instances: &[usize],
        letters: &[(usize, String)],
    ) -> Result<Self, JobError> {
        let feeds_tables = feeding_tables(plan)?;
        let mut topology = Topology {
            job: job.to_owned(),
            hash_seed: plan.hash_seed,
            key_groups: plan.key_groups,
            sources: Vec::new(),
            operators: Vec::new(),
            sinks: Vec::new(),
        };
        let mut numbers = BTreeMap::new();
        for (index, stage) in plan.stages.iter().enumerate() {
            if feeds_tables[index] {
                continue;
            }
            let id = stage.operators.last().cloned().unwrap_or_else(|| OperatorId::new("unnamed"));
            let tasks = u32::try_from(instances.get(index).copied().unwrap_or(1)).unwrap_or(u32::MAX);
            match &stage.kind {
                StageKind::Source(_) => {
                    numbers.insert((index, Role::Source), topology.sources.len() as u32);
                    topology.sources.push(Endpoint { id, tasks });
                }
                StageKind::Keyed(spec) => {
                    numbers.insert((index, Role::State), topology.operators.len() as u32);
                    let kept = kept(spec, stage, plan).map_err(|error| JobError::Operator {
                        operator: id.clone(),
                        message: error.to_string(),
                    })?;
                    let functions = functions(spec);
                    let (kind, shape) = (kind(spec), shape(&kept, functions));
                    topology.operators.push(KeyedOperator { id, kind, shape, tasks });
                }
                StageKind::Sink(spec) => {
                    if spec.ordered {
                        // Rows whose turn has not come are state as well.
                        numbers.insert((index, Role::State), topology.operators.len() as u32);
                        let (id, shape) =
                            (waiting(&id), shape(&[OrderBuffer::kept(&stage.output)], Vec::new()));
                        topology.operators.push(KeyedOperator { id, kind: "order".to_owned(), shape, tasks });
                    }
                    numbers.insert((index, Role::Sink), topology.sinks.len() as u32);
                    topology.sinks.push(Endpoint { id, tasks });
                }
                StageKind::Fragment(_)
                | StageKind::MapBatches(_)
                | StageKind::Table(_)
                | StageKind::Lookup(_) => {}
            }
        }
        // Behind all others, as in the job.
        for (index, place) in letters.iter().filter(|(index, _)| !feeds_tables[*index]) {
            let id = OperatorId::new(format!("dead-letters {place}"));
            let tasks = u32::try_from(instances.get(*index).copied().unwrap_or(1)).unwrap_or(u32::MAX);
            numbers.insert((*index, Role::Sink), topology.sinks.len() as u32);
            topology.sinks.push(Endpoint { id, tasks });
        }
        Ok(Self { topology: topology.into(), numbers })
    }

    /// The name of a task; none where it takes no part.
    pub(crate) fn task(&self, stage: usize, role: Role, task: usize) -> Option<TaskId> {
        let stage = *self.numbers.get(&(stage, role))?;
        Some(TaskId { role, stage, task: u32::try_from(task).unwrap_or(u32::MAX) })
    }
}

/// The name under which the rows are kept that wait in front of a sink.
pub(crate) fn waiting(sink: &OperatorId) -> OperatorId {
    OperatorId::new(format!("{sink}/waiting"))
}

/// Which stages only feed tables.
fn feeding_tables(plan: &PhysicalPlan) -> Result<Vec<bool>, JobError> {
    let mut feeds = vec![false; plan.stages.len()];
    for (index, stage) in plan.stages.iter().enumerate().rev() {
        let consumers: Vec<usize> = (index + 1..plan.stages.len())
            .filter(|other| plan.stages[*other].inputs.iter().any(|input| input.stage == index))
            .collect();
        let of_tables = consumers.iter().filter(|other| feeds[**other]).count();
        feeds[index] = match &stage.kind {
            StageKind::Table(_) => true,
            _ => !consumers.is_empty() && of_tables == consumers.len(),
        };
        // Read anew for the table, its rows would come a second time everywhere else.
        if of_tables > 0 && of_tables < consumers.len() && has_place(stage) {
            let operator = stage.operators.last().cloned().unwrap_or_else(|| OperatorId::new("unnamed"));
            return Err(JobError::NoCheckpoints {
                operator,
                reason: "it feeds the table of a join and something else; give the join a source of its own"
                    .to_owned(),
            });
        }
    }
    Ok(feeds)
}

fn has_place(stage: &Stage) -> bool {
    matches!(stage.kind, StageKind::Source(_) | StageKind::Keyed(_))
}

/// What kind of operator it is, and what it does as far as its columns do not say so: rows that are kept as they came mean
/// something else to another ranking or join, and are of other key groups under other keys.
fn kind(stage: &KeyedStage) -> String {
    let names = |schema: &SchemaRef| {
        schema.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>().join(",")
    };
    let (word, does) = match stage {
        KeyedStage::Aggregate(stage) => {
            let by_count = |window: &KeyedWindow| matches!(window.window, Windows::Count(_));
            match &stage.window {
                None => return "aggregate".to_owned(),
                // Of these also the rows wait that came in.
                Some(window) if by_count(window) => ("aggregate", format!("{window:?} {:?}", stage.partial)),
                Some(KeyedWindow { window, .. }) => ("aggregate", format!("{window:?}")),
            }
        }
        KeyedStage::Join(stage) => {
            ("join", format!("{:?} {} {}", stage.spec, names(&stage.probe), names(&stage.build)))
        }
        KeyedStage::Over(stage) => {
            let word = if stage.rolling.is_some() { "rolling" } else { "over" };
            (word, format!("{:?} {}", stage.spec, names(&stage.rows)))
        }
        KeyedStage::Rank(stage) => {
            let word = if stage.as_it_goes { "first" } else { "rank" };
            (word, format!("{:?} {} {}", stage.spec, stage.windowed, names(&stage.rows)))
        }
    };
    format!("{word} {}", &BlockId::of(does.as_bytes()).to_string()[..6])
}

/// What the snapshots of an operator have.
fn kept(spec: &KeyedStage, stage: &Stage, plan: &PhysicalPlan) -> Result<Vec<KeptRows>, OperatorError> {
    let nothing = KeyGroupRange { start: 0, end: 0 };
    Ok(keyed_operator(spec, &stage.output, plan.key_groups, nothing)?.kept())
}

/// Which functions an aggregation has, by the names of their results: of two that keep the same columns one cannot go on
/// with those of the other.
fn functions(stage: &KeyedStage) -> Vec<StateColumn> {
    let KeyedStage::Aggregate(stage) = stage else { return Vec::new() };
    let of = |aggregate: &AggregateSpec| StateColumn {
        part: StateShape::FUNCTIONS.to_owned(),
        name: aggregate.name.clone(),
        data_type: aggregate.function.to_string(),
        nullable: true,
    };
    stage.partial.aggregates.iter().map(of).collect()
}

/// Columns and types, as manifests hold them.
fn shape(kept: &[KeptRows], functions: Vec<StateColumn>) -> String {
    let columns = kept.iter().flat_map(|rows| {
        rows.schema.fields().iter().map(|field| StateColumn {
            part: rows.part.to_owned(),
            name: field.name().clone(),
            data_type: type_name(field.data_type()),
            nullable: field.is_nullable(),
        })
    });
    StateShape(columns.chain(functions).collect()).to_string()
}
