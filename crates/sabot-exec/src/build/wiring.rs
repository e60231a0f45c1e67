//! How tasks are wired: instances of stages, and the edges between them.

use sabot_plan::{PhysicalPlan, Route, Stage, StageKind};
use std::collections::BTreeMap;
use std::sync::Arc;

use super::endpoints::OpenSource;
use crate::edge::Edge;
use crate::outputs::{Fan, Outputs};

/// How many tasks each stage has, and the edges between them.
pub(super) struct Wiring {
    pub(super) instances: Vec<usize>,
    pub(super) depths: Vec<usize>,
    /// Input edges of each task, by stage, instance and input of the stage.
    inputs: Vec<Vec<Vec<Vec<Arc<Edge>>>>>,
    /// Output fans of each task, by stage and instance.
    outputs: Vec<Vec<Outputs>>,
}

impl Wiring {
    pub(super) fn new(plan: &PhysicalPlan, opened: &BTreeMap<usize, OpenSource>, capacity: usize) -> Self {
        let mut instances: Vec<usize> = Vec::with_capacity(plan.stages.len());
        let mut depths: Vec<usize> = Vec::with_capacity(plan.stages.len());
        for (index, stage) in plan.stages.iter().enumerate() {
            depths.push(stage.inputs.iter().map(|input| depths[input.stage] + 1).max().unwrap_or(0));
            instances.push(match &stage.kind {
                StageKind::Source(_) => opened.get(&index).map_or(0, |s| s.tasks),
                StageKind::Fragment(_) | StageKind::MapBatches(_) | StageKind::Lookup(_) => {
                    stage.inputs.iter().map(|input| instances[input.stage]).sum()
                }
                StageKind::Keyed(_) if stage.inputs.iter().all(|i| i.route == Route::Gather) => 1,
                StageKind::Keyed(_) => plan.keyed_parallelism as usize,
                StageKind::Table(_) | StageKind::Sink(_) => 1,
            });
        }
        let mut wiring = Wiring {
            inputs: instances
                .iter()
                .zip(&plan.stages)
                .map(|(n, stage)| vec![vec![Vec::new(); stage.inputs.len()]; *n])
                .collect(),
            outputs: instances.iter().map(|n| (0..*n).map(|_| Outputs::default()).collect()).collect(),
            instances,
            depths,
        };
        for (index, stage) in plan.stages.iter().enumerate() {
            wiring.connect(index, stage, capacity);
        }
        wiring
    }

    fn connect(&mut self, index: usize, stage: &Stage, capacity: usize) {
        let mut first = 0;
        for (number, input) in stage.inputs.iter().enumerate() {
            for upstream in 0..self.instances[input.stage] {
                let fan = match input.route {
                    Route::Forward => Fan::One(self.edge((index, first + upstream, number), capacity)),
                    Route::Gather => Fan::One(self.edge((index, 0, number), capacity)),
                    Route::KeyGroups => Fan::ByTarget(
                        (0..self.instances[index])
                            .map(|task| self.edge((index, task, number), capacity))
                            .collect(),
                    ),
                };
                self.outputs[input.stage][upstream].add(input.port, fan);
            }
            first += self.instances[input.stage];
        }
    }

    fn edge(&mut self, (stage, task, input): (usize, usize, usize), capacity: usize) -> Arc<Edge> {
        let edge = Arc::new(Edge::new(capacity));
        self.inputs[stage][task][input].push(edge.clone());
        edge
    }

    pub(super) fn take(&mut self, stage: usize, task: usize) -> (Vec<Vec<Arc<Edge>>>, Outputs) {
        (std::mem::take(&mut self.inputs[stage][task]), std::mem::take(&mut self.outputs[stage][task]))
    }
}
