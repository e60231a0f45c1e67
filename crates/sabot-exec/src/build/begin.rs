//! How a job with checkpoints begins: where the newest one says that it stands.

use sabot_checkpoint::{PartitionState, Role, SourceState, Start};
use sabot_common::EventTime;
use sabot_connect::{PartitionId, Sink};
use sabot_plan::{PhysicalPlan, StageKind};
use std::collections::BTreeMap;
use std::sync::Arc;

use super::endpoints::{LettersOf, OpenSource, ResolvedSink, last_operator};
use super::wiring::Wiring;
use crate::checkpoint::{Begin, Checkpoints, Places, Recovering, Restore, position_of};
use crate::error::JobError;
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
    let with_letters: Vec<usize> = letters.iter().map(|(index, _)| *index).collect();
    let places = Places::of(name, plan, &wiring.instances, &with_letters)?;
    for (index, open) in opened {
        let takes_part = places.task(*index, Role::Source, 0).is_some();
        let refused = match (takes_part, open.dead_letters.is_some()) {
            (false, true) => {
                "it feeds the table of a join, which is read anew with every start, and its dead letters would come \
                 again; leave them out"
            }
            (true, true) if !with_letters.contains(index) => {
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
