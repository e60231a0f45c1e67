//! How a job with checkpoints begins: where the newest one says that it stands.

use sabot_checkpoint::{PartitionState, Role, SourceState, Start};
use sabot_common::{EventTime, KeyGroups, OperatorId};
use sabot_connect::{PartitionId, Sink};
use sabot_plan::{KeyedStage, PhysicalPlan, Stage, StageKind};
use sabot_stream::{KeyedOperator, OperatorError, keyed_operator};
use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::endpoints::{LettersOf, OpenSource, ResolvedSink, last_operator};
use super::wiring::Wiring;
use crate::checkpoint::{Begin, Checkpoints, Places, Recovering, Restore, Restored, position_of};
use crate::error::JobError;
use crate::scheduler::panic_message;
use crate::source_task::{NewPartition, Settled, number};

/// How a job with checkpoints begins.
pub(super) struct Begun {
    pub(super) places: Places,
    pub(super) start: Start,
    pub(super) restore: Option<Restore>,
}

/// Finishes what an earlier run has begun, and opens the sinks; nothing when the job had come to its end.
pub(super) fn begin(
    name: &str,
    plan: &PhysicalPlan,
    (opened, letters): (&BTreeMap<usize, OpenSource>, &[LettersOf]),
    sinks: &mut BTreeMap<usize, ResolvedSink>,
    wiring: &Wiring,
    checkpoints: &Checkpoints,
) -> Result<Option<Begun>, JobError> {
    let with_letters: Vec<(usize, String)> =
        letters.iter().map(|(index, letters)| (*index, letters.name())).collect();
    let places = Places::of(name, plan, &wiring.instances, &with_letters)?;
    for (index, open) in opened {
        let takes_part = places.task(*index, Role::Source, 0).is_some();
        let refused = match (takes_part, open.dead_letters.is_some()) {
            (false, true) => {
                "it feeds the table of a join, which is read anew with every start, and its dead letters would come \
                 again; leave them out"
            }
            (true, true) if with_letters.iter().all(|(with, _)| with != index) => {
                "the job reads it more than once, and it is not known from which reading a dead letter is; leave them \
                 out, or give each reading a source of its own"
            }
            (true, _) if !open.source.replayable() => "it cannot be read again; a file or a log can",
            _ => continue,
        };
        let operator = last_operator(&plan.stages[*index]);
        return Err(JobError::NoCheckpoints { operator, reason: refused.to_owned() });
    }
    let topology = places.topology.clone();
    // Whoever is refused has taken nothing from a run that goes on.
    Restore::check(name, checkpoints, &topology)?;
    let of_letters = letters.iter().map(|(_, letters)| -> Arc<dyn Sink> { letters.clone() });
    let of_job = sinks.values().map(|sink| sink.sink.clone()).chain(of_letters).collect();
    let start = match (Recovering { checkpoints, topology: topology.clone(), sinks: of_job }).run()? {
        Begin::From(start) => start,
        Begin::Finished => return Ok(None),
    };
    let restore = Restore::new(&start.manifest, checkpoints, &topology)?;
    for (index, sink) in sinks {
        if let StageKind::Sink(spec) = &plan.stages[*index].kind {
            sink.open(spec)?;
        }
    }
    Ok(Some(Begun { places, start, restore }))
}

/// The partitions of a source with where they are gone on with, and those that have ended.
pub(super) fn partitions(
    known: Option<&SourceState>,
    open: &OpenSource,
) -> Result<(Vec<NewPartition>, Vec<PartitionState>), JobError> {
    let Some(known) = known else { return Ok((number(&open.partitions), Vec::new())) };
    let gone = known
        .partitions
        .iter()
        .find(|state| !state.ended && !open.partitions.iter().any(|id| id.as_str() == state.name));
    if let Some(gone) = gone {
        let reason =
            format!("{} is gone; {} rows of it were read, and more may follow", gone.name, gone.rows);
        return Err(JobError::Checkpoint { reason });
    }
    let (ended, going): (Vec<_>, Vec<_>) = known.partitions.iter().cloned().partition(|state| state.ended);
    let mut next = known.partitions.iter().map(|state| state.ordinal + 1).max().unwrap_or(0);
    let mut partitions = Vec::new();
    for state in &going {
        let settled =
            Settled { position: position_of(state)?, event_time_max: state.event_time_max.map(EventTime) };
        let id = PartitionId::new(state.name.as_str());
        partitions.push(NewPartition { id, number: state.ordinal, from: Some(settled) });
    }
    for id in &open.partitions {
        if !known.partitions.iter().any(|state| state.name == id.as_str()) {
            partitions.push(NewPartition { id: id.clone(), number: next, from: None });
            next += 1;
        }
    }
    Ok((partitions, ended))
}

/// An operator, and whether its task had come to its end before.
pub(super) type KeyedState = (Box<dyn KeyedOperator>, bool);

/// The operators of a stage's tasks, with their state where the job goes on.
pub(super) fn keyed_states(
    (stage, spec): (&Stage, &KeyedStage),
    groups: KeyGroups,
    parallelism: usize,
    restore: Option<&Restore>,
) -> Result<Vec<KeyedState>, JobError> {
    let operator = last_operator(stage);
    let one = |task: usize| {
        let owned = groups.range_of_task(task, parallelism);
        let failed =
            |e: OperatorError| JobError::Operator { operator: operator.clone(), message: e.to_string() };
        let mut state = keyed_operator(spec, &stage.output, groups, owned).map_err(failed)?;
        let Some(restore) = restore else { return Ok((state, false)) };
        let kept = state.kept();
        let restored =
            restore.state(&operator, owned, &kept, |rows| state.restore_from(rows).map_err(failed))?;
        Ok((state, matches!(restored, Restored::Ended)))
    };
    if restore.is_none() {
        return (0..parallelism).map(one).collect();
    }
    // Much state takes seconds to be read and put in its place, and the engine's own threads have nothing to do yet.
    let at_once = std::thread::available_parallelism().map_or(1, usize::from);
    let tasks: Vec<usize> = (0..parallelism).collect();
    let mut states = Vec::with_capacity(parallelism);
    for tasks in tasks.chunks(at_once) {
        let restored: Vec<Result<_, JobError>> = std::thread::scope(|scope| {
            let threads: Vec<_> = tasks.iter().map(|task| scope.spawn(|| one(*task))).collect();
            let joined = threads.into_iter().map(|thread| thread.join());
            joined.map(|joined| joined.unwrap_or_else(|panic| Err(panicked(&operator, &*panic)))).collect()
        });
        for state in restored {
            states.push(state?);
        }
    }
    Ok(states)
}

fn panicked(operator: &OperatorId, panic: &(dyn Any + Send)) -> JobError {
    JobError::Panicked { operator: operator.clone(), message: panic_message(panic) }
}
