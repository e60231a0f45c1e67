//! State out of tasks into blocks, and back.

use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::UInt16Type;
use sabot_checkpoint::{
    BlockRef, CheckpointStore, Manifest, OperatorState, PartitionState, SourceState, TaskId, Topology,
};
use sabot_common::{Epoch, KeyGroupRange, OperatorId};
use sabot_connect::{Committable, Position};
use sabot_state::block::Origin;
use sabot_state::{BlockSizes, Cut, GROUP, SnapshotCutter, join_snapshot};
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::JobError;

/// What changes in the metadata of snapshots from epoch to epoch.
const CHANGING: [&str; 2] = ["sabot.watermark", "sabot.complete"];

/// The state of all tasks on its way into the store.
#[derive(Debug)]
pub(crate) struct Parts {
    generation: u64,
    cutters: BTreeMap<TaskId, SnapshotCutter>,
    /// Stored, and in no manifest yet.
    cuts: BTreeMap<(Epoch, TaskId), Cut>,
}

impl Parts {
    pub(crate) fn new(generation: u64) -> Self {
        Self { generation, cutters: BTreeMap::new(), cuts: BTreeMap::new() }
    }

    /// Writes what has changed of a task's state; the blocks of all of it.
    pub(crate) fn store(
        &mut self,
        store: &dyn CheckpointStore,
        (task, epoch): (TaskId, Epoch),
        groups: KeyGroupRange,
        batches: &[RecordBatch],
    ) -> Result<Vec<BlockRef>, String> {
        let new = || SnapshotCutter::new(groups, BlockSizes::default(), &CHANGING);
        let cutter = self.cutters.entry(task).or_insert_with(new);
        let batches: Vec<RecordBatch> = batches.iter().map(by_group).collect::<Result<_, _>>()?;
        let origin = Origin { generation: self.generation, epoch };
        let ranges = cutter.ranges(|_| true);
        let cut = cutter.cut(&ranges, &batches, origin).map_err(|error| error.to_string())?;
        for block in &cut.blocks {
            if let Some(bytes) = &block.bytes {
                store.put_block(block.block.id, bytes).map_err(|error| error.to_string())?;
            }
        }
        let blocks = cut.blocks.iter().map(|block| block.block).collect();
        self.cuts.insert((epoch, task), cut);
        Ok(blocks)
    }

    /// The manifest of an epoch is written: later ones can name its blocks.
    pub(crate) fn committed(&mut self, epoch: Epoch) {
        let later = self.cuts.split_off(&(epoch.next(), TaskId::source(0, 0)));
        for ((of, task), cut) in std::mem::replace(&mut self.cuts, later) {
            if let (true, Some(cutter)) = (of == epoch, self.cutters.get_mut(&task)) {
                cutter.stored(&cut);
            }
        }
    }
}

/// The rows in order of their key groups, each group's in the order in which they are.
fn by_group(batch: &RecordBatch) -> Result<RecordBatch, String> {
    let groups = batch.column_by_name(GROUP).and_then(|groups| groups.as_primitive_opt::<UInt16Type>());
    let groups = groups.ok_or("a snapshot has no column of key groups")?.values();
    if groups.is_sorted() {
        return Ok(batch.clone());
    }
    let mut order: Vec<u32> = (0..groups.len() as u32).collect();
    order.sort_by_key(|row| groups[*row as usize]);
    take_record_batch(batch, &UInt32Array::from(order)).map_err(|error| error.to_string())
}

/// What a job goes on from.
#[derive(Clone, Debug)]
pub(crate) struct Restore {
    manifest: Arc<Manifest>,
    store: Arc<dyn CheckpointStore>,
}

/// What a keyed task begins with.
#[derive(Debug)]
pub(crate) enum Restored {
    /// Nothing: it has not run before.
    Nothing,
    /// It had come to its end, and its results are out.
    Ended,
    State(Vec<RecordBatch>),
}

impl Restore {
    /// What `manifest` holds for a job; nothing when the job has not read anything.
    pub(crate) fn new(
        manifest: &Arc<Manifest>,
        store: &Arc<dyn CheckpointStore>,
        topology: &Topology,
    ) -> Result<Option<Self>, JobError> {
        if manifest.sources.is_empty() && manifest.operators.is_empty() {
            return Ok(None);
        }
        let restore = Self { manifest: manifest.clone(), store: store.clone() };
        match restore.difference(topology) {
            Some(reason) => Err(JobError::Checkpoint { reason }),
            None => Ok(Some(restore)),
        }
    }

    /// What keeps a job from going on, because it is not the one that made the checkpoint.
    fn difference(&self, topology: &Topology) -> Option<String> {
        let manifest = &*self.manifest;
        let changed = |what: String| {
            Some(format!(
                "{what}; start the job as it was, or give it an empty place for its checkpoints to start from the \
                 beginning"
            ))
        };
        if (manifest.hash_seed, manifest.key_groups) != (topology.hash_seed, topology.key_groups.into()) {
            return changed("the checkpoint has other key groups, or another seed of their hash".to_owned());
        }
        let names =
            |ids: Vec<&OperatorId>| ids.into_iter().cloned().collect::<std::collections::BTreeSet<_>>();
        let was = names(manifest.sources.iter().map(|source| &source.id).collect());
        let is = names(topology.sources.iter().map(|source| &source.id).collect());
        if let Some(id) = was.symmetric_difference(&is).next() {
            let there = if was.contains(id) { "the checkpoint" } else { "the job" };
            return changed(format!("source {id} is in {there} alone"));
        }
        let was: BTreeMap<_, _> =
            manifest.operators.iter().map(|op| (&op.id, (&op.kind, &op.shape))).collect();
        let is: BTreeMap<_, _> =
            topology.operators.iter().map(|op| (&op.id, (&op.kind, &op.shape))).collect();
        let gone = was.keys().find(|id| !is.contains_key(*id)).map(|id| (*id, "the checkpoint"));
        let new = is.keys().find(|id| !was.contains_key(*id)).map(|id| (*id, "the job"));
        if let Some((id, there)) = gone.or(new) {
            return changed(format!("operator {id} is in {there} alone"));
        }
        let other = was.iter().find(|(id, shape)| is.get(*id) != Some(*shape))?;
        changed(format!("the state of operator {} is of another kind, or has other columns", other.0))
    }

    /// How far a source was read.
    pub(crate) fn source(&self, id: &OperatorId) -> Option<&SourceState> {
        self.manifest.sources.iter().find(|source| source.id == *id)
    }

    /// The state of some key groups of an operator.
    pub(crate) fn state(&self, id: &OperatorId, owned: KeyGroupRange) -> Result<Restored, JobError> {
        let operator: Option<&OperatorState> = self.manifest.operators.iter().find(|found| found.id == *id);
        let Some(operator) = operator.filter(|_| owned.start < owned.end) else {
            return Ok(Restored::Nothing);
        };
        let wrong =
            |reason: String| JobError::Checkpoint { reason: format!("the state of operator {id}: {reason}") };
        let mut batches = Vec::new();
        let mut ended = true;
        for part in &operator.parts {
            if part.groups.start >= owned.end || owned.start >= part.groups.end {
                continue;
            }
            ended = false;
            let blocks = part.blocks.iter().map(|block| self.store.block(block.id));
            let blocks = blocks.collect::<Result<Vec<_>, _>>().map_err(|error| wrong(error.to_string()))?;
            batches.extend(join_snapshot(blocks, owned).map_err(|error| wrong(error.to_string()))?);
        }
        Ok(if ended { Restored::Ended } else { Restored::State(batches) })
    }
}

/// A place in a partition as a manifest holds it: the rows before it stand beside.
pub(crate) fn position_bytes(position: Position) -> Vec<u8> {
    position.offset.to_le_bytes().to_vec()
}

/// The place that a manifest holds.
pub(crate) fn position_of(state: &PartitionState) -> Result<Position, JobError> {
    let offset = <[u8; 8]>::try_from(state.position.as_slice()).map_err(|_| JobError::Checkpoint {
        reason: format!("the position in {} is not one that this version has written", state.name),
    })?;
    Ok(Position { row: state.rows, offset: u64::from_le_bytes(offset) })
}

/// What a sink has staged as a manifest holds it: the names of its parts, each with its length before it.
pub(crate) fn payload(staged: &Committable) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in &staged.parts {
        bytes.extend_from_slice(&(part.len() as u32).to_le_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes
}

/// The parts that a manifest names.
pub(crate) fn parts_of(mut payload: &[u8]) -> Result<Vec<String>, String> {
    let mut parts = Vec::new();
    while let Some((length, rest)) = payload.split_first_chunk::<4>() {
        let (part, rest) = rest
            .split_at_checked(u32::from_le_bytes(*length) as usize)
            .ok_or("the names of staged parts are cut off")?;
        parts.push(String::from_utf8(part.to_vec()).map_err(|error| error.to_string())?);
        payload = rest;
    }
    if payload.is_empty() { Ok(parts) } else { Err("the names of staged parts are cut off".to_owned()) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use super::*;

    #[test]
    fn names_of_parts_come_back() {
        for parts in [vec![], vec![""], vec!["a", "b\n\0", "ü"]] {
            let parts: Vec<String> = parts.into_iter().map(str::to_owned).collect();
            let staged = Committable { epoch: Epoch(1), task: 0, rows: 3, parts: parts.clone() };
            let bytes = payload(&staged);
            assert_eq!(parts_of(&bytes), Ok(parts));
            assert!(bytes.is_empty() || parts_of(&bytes[..bytes.len() - 1]).is_err() || bytes.len() == 4);
        }
    }
}
