//! One epoch being collected, and the manifest that comes of it.

use sabot_common::Epoch;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Cut;
use crate::{
    Answer, Manifest, ManifestKind, OperatorState, PartitionState, Role, SinkState, SourceState, Staged,
    StatePart, TaskId, Topology,
};

/// An epoch whose barrier is on its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Collecting {
    pub(super) epoch: Epoch,
    pub(super) cut: Cut,
    pub(super) until: Duration,
    pub(super) answers: BTreeMap<TaskId, Answer>,
}

/// The last answer of a task that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Last {
    pub(super) answer: Answer,
    /// The newest epoch whose barrier it has passed.
    pub(super) passed: Epoch,
    /// What it had staged is in a manifest.
    pub(super) used: bool,
}

/// What tasks have contributed beyond the epoch that is being collected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Contributions {
    /// Tasks that have ended.
    pub(super) ended: BTreeMap<TaskId, Last>,
    /// What was staged for epochs that were given up, with the index of the sink.
    pub(super) carried: BTreeSet<(u32, Staged)>,
}

impl Collecting {
    /// How many tasks have neither answered nor ended before the barrier reached them.
    pub(super) fn waits_for(&self, tasks: &BTreeSet<TaskId>, ended: &BTreeMap<TaskId, Last>) -> usize {
        let missed = |task| ended.get(task).is_some_and(|last| last.passed < self.epoch);
        tasks.iter().filter(|task| !self.answers.contains_key(task) && !missed(task)).count()
    }

    /// The manifest of the epoch, by the writer of the `last` one. Each task has answered or ended.
    pub(super) fn manifest(
        &self,
        topology: &Topology,
        contributions: &Contributions,
        last: &Manifest,
        created_ms: u64,
    ) -> Manifest {
        let Contributions { ended, carried } = contributions;
        // A task that has not answered has ended before the barrier reached it.
        let answer =
            |task: TaskId| self.answers.get(&task).or_else(|| ended.get(&task).map(|last| &last.answer));
        let sources = topology.sources.iter().zip(0..).map(|(source, stage)| {
            let mut partitions: Vec<PartitionState> = (0..source.tasks)
                .filter_map(|task| match answer(TaskId::source(stage, task)) {
                    Some(Answer::Positions(positions)) => Some(positions.iter().cloned()),
                    _ => None,
                })
                .flatten()
                .collect();
            partitions.sort_by_key(|partition| partition.ordinal);
            SourceState { id: source.id.clone(), partitions }
        });
        let operators = topology.operators.iter().zip(0..).map(|(operator, stage)| {
            let part = |task| match self.answers.get(&TaskId::state(stage, task)) {
                Some(Answer::State { groups, blocks }) => {
                    Some(StatePart { task, groups: *groups, blocks: blocks.clone() })
                }
                _ => None,
            };
            let parts = (0..operator.tasks).filter_map(part).collect();
            let (kind, shape) = (operator.kind.clone(), operator.shape.clone());
            OperatorState { id: operator.id.clone(), kind, shape, parts }
        });
        let sinks = topology.sinks.iter().zip(0..).map(|(sink, stage)| {
            let mut staged: Vec<Staged> =
                carried.iter().filter(|(of, _)| *of == stage).map(|(_, staged)| staged.clone()).collect();
            for task in (0..sink.tasks).map(|task| TaskId::sink(stage, task)) {
                let last = || ended.get(&task).filter(|last| !last.used).map(|last| &last.answer);
                if let Some(Answer::Staged(Some(own))) = self.answers.get(&task).or_else(last) {
                    staged.push(own.clone());
                }
            }
            staged.sort_by_key(|staged| (staged.epoch, staged.task));
            SinkState { id: sink.id.clone(), staged }
        });
        Manifest {
            job: topology.job.clone(),
            generation: last.generation,
            writer: last.writer,
            epoch: self.epoch,
            kind: match self.cut {
                Cut::Checkpoint => ManifestKind::Checkpoint,
                Cut::Savepoint | Cut::Suspend => ManifestKind::Savepoint,
            },
            created_ms,
            hash_seed: topology.hash_seed,
            key_groups: topology.key_groups.into(),
            finished: self.answers.is_empty(),
            operators: operators.collect(),
            sources: sources.collect(),
            sinks: sinks.collect(),
        }
    }

    /// What the manifest has taken from tasks that have ended is in it for good.
    pub(super) fn mark_used(&self, contributions: &mut Contributions) {
        contributions.carried.clear();
        for (task, last) in &mut contributions.ended {
            last.used |= task.role == Role::Sink && !self.answers.contains_key(task);
        }
    }
}
