//! What must be true of a world after every step, whatever was done in it.
//!
//! These know nothing of coordinators and recoveries: they look at the store and at what is visible. The names
//! are those of the design: I1 every row up to the committed position is visible exactly once or about to be,
//! and none beyond it is; I2 what an epoch consists of is there together; I3 one writer at a time; I4 epochs rise
//! by one and positions never go back; I5 what a manifest refers to is there; I6 restored state is the state of
//! the epoch; I8 and I10, windows and poison once, follow from I1 and I6, since the second sink is one.

use sabot_checkpoint::{Kept, Manifest, ManifestKind};
use sabot_common::Epoch;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::world::{Part, World, rows_between, rows_of_sink};

/// How far each task's partition is read in a manifest.
pub(crate) fn positions(manifest: &Manifest, tasks: usize) -> Vec<u8> {
    let mut positions = vec![0; tasks];
    for partition in manifest.sources.iter().flat_map(|source| &source.partitions) {
        positions[partition.ordinal as usize] = u8::try_from(partition.rows).unwrap();
    }
    positions
}

/// Checks everything that can be seen in one state.
pub(crate) fn check(world: &World) -> Result<(), String> {
    let newest = world.store.newest_usable();
    let committed =
        newest.map_or_else(|| vec![0; world.config.rows.len()], |m| positions(m, world.config.rows.len()));
    for (index, sink) in world.sinks.iter().enumerate() {
        let mut visible = vec![0u16; committed.len()];
        for part in &sink.visible {
            let task = usize::from(part.task);
            if visible[task] & part.rows != 0 {
                return Err(format!(
                    "I1: rows {:b} of task {task} are visible twice in sink {index}",
                    part.rows
                ));
            }
            visible[task] |= part.rows;
        }
        let staged = newest.and_then(|m| m.sinks.get(index)).map(|s| s.staged.as_slice()).unwrap_or_default();
        let mut due = vec![0u16; committed.len()];
        for part in staged.iter().map(Part::of) {
            if !sink.staged.contains(&part) && !sink.visible.contains(&part) {
                return Err(format!("I2: {part:?} of sink {index} is in the newest manifest and not there"));
            }
            due[usize::from(part.task)] |= part.rows;
        }
        for (task, position) in committed.iter().enumerate() {
            let wanted = rows_of_sink(index, rows_between(0, *position));
            if visible[task] & !wanted != 0 {
                return Err(format!(
                    "I1: task {task}: sink {index} shows {:b}, beyond {wanted:b}",
                    visible[task]
                ));
            }
            if (visible[task] | due[task]) != wanted {
                return Err(format!(
                    "I1: task {task}: sink {index} has {:b} and lacks some of {wanted:b}",
                    visible[task] | due[task]
                ));
            }
        }
    }
    check_blocks(world)
}

/// I5: the newest manifest and those that retention promises to keep are whole.
fn check_blocks(world: &World) -> Result<(), String> {
    let kept: BTreeMap<Epoch, Kept> =
        world.store.manifests.iter().filter_map(|(e, m)| Some((*e, Kept::from(&**m.as_ref()?)))).collect();
    let cuts = kept.iter().rev().filter(|(_, kept)| kept.kind.is_some_and(ManifestKind::is_cut)).take(2);
    for (epoch, kept) in cuts.chain(kept.iter().next_back()) {
        if let Some(missing) = kept.blocks.iter().find(|id| !world.store.blocks.contains(id)) {
            return Err(format!("I5: epoch {epoch} refers to {missing:?}, which is not there"));
        }
    }
    Ok(())
}

/// A manifest has come to be.
pub(crate) fn created(
    world: &mut World,
    epoch: Epoch,
    manifest: Option<&Arc<Manifest>>,
) -> Result<(), String> {
    let past = Arc::make_mut(&mut world.past);
    let next = past.writers.len() as u64 + 1;
    if epoch.0 < next {
        // A sleeper has filled a number that retention has freed. It must find out and stop.
        return Ok(());
    }
    if epoch.0 > next {
        return Err(format!("I4: epoch {epoch} is written, and {next} was never used"));
    }
    let Some(manifest) = manifest else {
        past.writers.push(None);
        return Ok(());
    };
    let before = past.writers.iter().rev().flatten().next().copied().unwrap_or(0);
    let takes_over = manifest.kind == ManifestKind::TakeOver;
    if if takes_over { manifest.generation <= before } else { manifest.generation != before } {
        let generation = manifest.generation;
        return Err(format!("I3: generation {generation} writes epoch {epoch} after generation {before}"));
    }
    past.writers.push(Some(manifest.generation));
    let positions = positions(manifest, past.positions.len());
    if positions.iter().zip(&past.positions).any(|(new, old)| new < old) {
        return Err(format!("I4: positions go back from {:?} to {positions:?}", past.positions));
    }
    past.positions = positions;
    Ok(())
}

/// A writer believes that it has committed an epoch.
pub(crate) fn committed(world: &World, epoch: Epoch, generation: u64) -> Result<(), String> {
    let writer =
        usize::try_from(epoch.0 - 1).ok().and_then(|index| world.past.writers.get(index)).copied().flatten();
    match writer == Some(generation) {
        true => Ok(()),
        false => {
            Err(format!("I3: generation {generation} believes that it wrote epoch {epoch}; {writer:?} did"))
        }
    }
}

/// The job has come to its end.
pub(crate) fn finished(world: &World) -> Result<(), String> {
    for (index, sink) in world.sinks.iter().enumerate() {
        for (task, rows) in world.config.rows.iter().enumerate() {
            let of_task = sink.visible.iter().filter(|part| usize::from(part.task) == task);
            let visible = of_task.fold(0, |all, part| all | part.rows);
            let wanted = rows_of_sink(index, rows_between(0, *rows));
            if visible != wanted || !sink.finished {
                return Err(format!("I1: the job has ended; sink {index} shows {visible:b} of {wanted:b}"));
            }
        }
    }
    Ok(())
}
