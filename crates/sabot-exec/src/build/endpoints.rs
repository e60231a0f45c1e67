//! Sources and sinks of a plan, opened as far as can be before anything runs.

use sabot_common::OperatorId;
use sabot_connect::{Boundedness, DeadLetters, PartitionId, Sink, SinkWriter, Source};
use sabot_plan::{PhysicalPlan, SinkStage, Stage, StageKind};
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::bindings::{Bindings, Unresolved};
use crate::error::JobError;
use crate::source_task::tasks_of;

pub(super) struct OpenSource {
    pub(super) source: Arc<dyn Source>,
    pub(super) partitions: Vec<PartitionId>,
    /// Partitions may come that are not named yet.
    pub(super) may_grow: bool,
    pub(super) tasks: usize,
    /// String columns that are read as dictionaries, as indices into the source's schema.
    pub(super) dictionaries: Vec<usize>,
    pub(super) dead_letters: Option<Arc<dyn DeadLetters>>,
}

pub(super) struct ResolvedSink {
    pub(super) operator: OperatorId,
    pub(super) sink: Arc<dyn Sink>,
    pub(super) writer: Option<Box<dyn SinkWriter>>,
}

pub(super) fn last_operator(stage: &Stage) -> OperatorId {
    stage.operators.last().cloned().unwrap_or_else(|| OperatorId::new("unnamed"))
}

pub(super) fn unresolved(operator: &OperatorId, error: Unresolved) -> JobError {
    match error {
        Unresolved::Unbound(error) => error,
        Unresolved::Connect(error) => JobError::connect(operator, error),
    }
}

impl OpenSource {
    /// How many of its partitions are read at once.
    pub(super) fn readers(&self) -> usize {
        match self.source.boundedness() {
            Boundedness::Bounded => self.tasks,
            Boundedness::Unbounded => self.partitions.len().max(self.tasks),
        }
    }
}

pub(super) fn open_sources(
    plan: &PhysicalPlan,
    bindings: &Bindings,
    workers: usize,
) -> Result<BTreeMap<usize, OpenSource>, JobError> {
    let mut opened: BTreeMap<usize, OpenSource> = BTreeMap::new();
    for (index, stage) in plan.stages.iter().enumerate() {
        if let StageKind::Source(spec) = &stage.kind {
            let operator = last_operator(stage);
            let source = bindings.source(&spec.connector).map_err(|e| unresolved(&operator, e))?;
            let may_grow = source.may_grow();
            let partitions = source.discover().map_err(|e| JobError::connect(&operator, e))?;
            // Stages that read one source share its dead letters.
            let shared = opened.values().find(|open| Arc::ptr_eq(&open.source, &source));
            let dead_letters = match shared {
                Some(open) => open.dead_letters.clone(),
                None => source.dead_letters().map_err(|e| JobError::connect(&operator, e))?,
            };
            let tasks = tasks_of(partitions.len(), may_grow, workers);
            let dictionaries = Vec::new();
            let open = OpenSource { source, partitions, may_grow, tasks, dictionaries, dead_letters };
            opened.insert(index, open);
        }
    }
    // Claimed last of all that can be refused before anything is opened.
    for (index, open) in &opened {
        open.source.claim().map_err(|e| JobError::connect(&last_operator(&plan.stages[*index]), e))?;
    }
    Ok(opened)
}

/// A place for dead letters, with the first stage that puts something there.
pub(super) type LettersOf = (usize, Arc<dyn DeadLetters>);

/// The places for dead letters, each once.
pub(super) fn dead_letters(opened: &BTreeMap<usize, OpenSource>) -> Vec<LettersOf> {
    let mut found: Vec<LettersOf> = Vec::new();
    for (index, open) in opened {
        let Some(letters) = &open.dead_letters else { continue };
        if !found.iter().any(|(_, other)| Arc::ptr_eq(other, letters)) {
            found.push((*index, letters.clone()));
        }
    }
    found
}

/// The source stages whose dead letters a job with checkpoints keeps, and where.
pub(crate) fn stages_with_letters(
    plan: &PhysicalPlan,
    bindings: &Bindings,
) -> Result<Vec<(usize, String)>, JobError> {
    let mut found = Vec::new();
    for (index, stage) in plan.stages.iter().enumerate() {
        let StageKind::Source(spec) = &stage.kind else { continue };
        let operator = last_operator(stage);
        let source = bindings.source(&spec.connector).map_err(|e| unresolved(&operator, e))?;
        if let Some(letters) = source.dead_letters().map_err(|e| JobError::connect(&operator, e))? {
            found.push((index, letters.name()));
        }
    }
    Ok(found)
}

pub(super) fn resolve_sinks(
    plan: &PhysicalPlan,
    bindings: &Bindings,
) -> Result<BTreeMap<usize, ResolvedSink>, JobError> {
    let mut sinks = BTreeMap::new();
    for (index, stage) in plan.stages.iter().enumerate() {
        if let StageKind::Sink(spec) = &stage.kind {
            let operator = last_operator(stage);
            let sink = bindings.sink(&spec.connector).map_err(|e| unresolved(&operator, e))?;
            sinks.insert(index, ResolvedSink { operator, sink, writer: None });
        }
    }
    Ok(sinks)
}

impl ResolvedSink {
    /// Opens its writer.
    pub(super) fn open(&mut self, spec: &SinkStage) -> Result<(), JobError> {
        let writer = self.sink.open(spec.visible.clone(), 0);
        self.writer = Some(writer.map_err(|e| JobError::connect(&self.operator, e))?);
        Ok(())
    }
}
