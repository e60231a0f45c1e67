//! State out of tasks into blocks, and back.

use arrow::array::{RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{FieldRef, Schema};
use arrow::error::ArrowError;
use sabot_checkpoint::{
    BlockId, BlockRef, CheckpointStore, Fate, Manifest, OperatorState, PartitionState, SourceState,
    StatePart, StoreError, TaskId, Topology, Upgrade, UpgradeLine, newest_manifest,
};
use sabot_common::{Epoch, FailPoint, KeyGroupRange, OperatorId};
use sabot_connect::{Committable, Position};
use sabot_state::{FIRST, Layer, Layers, Needed, NewBlock, PART, ROWS, SnapshotJoiner};
use sabot_stream::KeptRows;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use super::Checkpoints;
use super::writer::BlockWriter;
use crate::error::JobError;

/// Blocks that are read before they are taken in.
const BLOCKS_AHEAD: usize = 4;

/// What changes in the metadata of snapshots from epoch to epoch.
const CHANGING: [&str; 4] = ["sabot.watermark", "sabot.complete", FIRST, ROWS];

/// The state of all tasks on its way into the store.
#[derive(Debug)]
pub(crate) struct Parts {
    /// The cuts of each task.
    layers: BTreeMap<TaskId, Layered>,
    /// The newest epoch that was given up.
    given_up: Epoch,
    writer: BlockWriter,
}

/// The cuts of a task.
#[derive(Debug, Default)]
struct Layered {
    /// As of the newest manifest.
    stored: Layers,
    /// The cut whose blocks are coming in, and those that have come.
    open: Option<(Epoch, Vec<BlockId>)>,
    /// The cuts as of a manifest that is still to be written.
    next: Option<(Epoch, Layers)>,
}

impl Parts {
    pub(crate) fn new(store: &Arc<dyn CheckpointStore>) -> Self {
        Self { layers: BTreeMap::new(), given_up: Epoch(0), writer: BlockWriter::new(store.clone()) }
    }

    /// Takes in a block of a task's cut.
    pub(crate) fn add(&mut self, (task, epoch): (TaskId, Epoch), block: BlockRef, bytes: NewBlock) {
        if epoch <= self.given_up {
            return;
        }
        let Layered { open, .. } = self.layers.entry(task).or_default();
        match open {
            Some((of, blocks)) if *of == epoch => blocks.push(block.id),
            _ => *open = Some((epoch, vec![block.id])),
        }
        self.writer.write((task, epoch), block, bytes);
    }

    /// Ends a task's cut; the blocks of all its state.
    pub(crate) fn end(
        &mut self,
        (task, epoch): (TaskId, Epoch),
        layer: Result<Layer, String>,
        head: &[RecordBatch],
        needed: &Needed,
    ) -> Result<Vec<BlockRef>, String> {
        if epoch <= self.given_up {
            return Err("it was given up before".to_owned());
        }
        let Layered { stored, open, next } = self.layers.entry(task).or_default();
        let open = open.take().filter(|(of, _)| *of == epoch);
        let mut written = open.map_or_else(Vec::new, |(_, blocks)| blocks);
        let end = |layer| stored.end(layer, needed, head, &CHANGING).map_err(|error| error.to_string());
        let ended = layer.and_then(end).map(|(layers, blocks)| {
            // Not the head, which other tasks may have alike.
            written.extend(blocks.iter().rev().skip(1).map(|(block, _)| block.id));
            blocks.into_iter().for_each(|(block, bytes)| self.writer.write((task, epoch), block, bytes));
            layers
        });
        let stored = self.writer.wait((task, epoch));
        let ended = ended.and_then(|layers| stored.map(|()| layers));
        let layers = ended.inspect_err(|_| self.writer.remove(written.into_iter()))?;
        FailPoint::StateStored.pass();
        let blocks = layers.blocks().collect();
        *next = Some((epoch, layers));
        Ok(blocks)
    }

    /// The manifest of an epoch is written: later ones can name its blocks.
    pub(crate) fn committed(&mut self, epoch: Epoch) {
        for layered in self.layers.values_mut() {
            if let Some((_, layers)) = layered.next.take_if(|(of, _)| *of == epoch) {
                layered.stored = layers;
            }
        }
    }

    /// An epoch was given up: what was written of its cuts goes, for no manifest will ever name it and the next cuts, which
    /// are whole, need the room. Heads, which tasks may have alike, are the coordinator's to delete.
    pub(crate) fn given_up(&mut self, epoch: Epoch) {
        self.given_up = self.given_up.max(epoch);
        for (task, layered) in &mut self.layers {
            if let Some((_, blocks)) = layered.open.take_if(|(of, _)| *of <= epoch) {
                let _ = self.writer.wait((*task, epoch));
                self.writer.remove(blocks.into_iter());
            }
            if let Some((of, layers)) = layered.next.take_if(|(of, _)| *of <= epoch) {
                self.writer.remove(layers.blocks_since(of).map(|block| block.id));
            }
        }
    }
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
    /// All that it had.
    All,
}

impl Restore {
    /// What `manifest` holds for a job; nothing when the job has not read anything.
    pub(crate) fn new(
        manifest: &Arc<Manifest>,
        checkpoints: &Checkpoints,
        topology: &Topology,
    ) -> Result<Option<Self>, JobError> {
        if manifest.sources.is_empty() && manifest.operators.is_empty() {
            return Ok(None);
        }
        fits(manifest, checkpoints, topology)?;
        Ok(Some(Self { manifest: manifest.clone(), store: checkpoints.store.clone() }))
    }

    /// Whether a job can go on from the newest manifest, before anything is touched.
    pub(crate) fn check(name: &str, checkpoints: &Checkpoints, topology: &Topology) -> Result<(), JobError> {
        let newest = newest_manifest(&*checkpoints.store);
        match newest.map_err(|error| JobError::Checkpoint { reason: error.to_string() })? {
            // That it is another job's, recovery says.
            Some(manifest) if manifest.job == name && !manifest.sources.is_empty() => {
                fits(&manifest, checkpoints, topology)
            }
            _ => Ok(()),
        }
    }

    /// How far a source was read.
    pub(crate) fn source(&self, id: &OperatorId) -> Option<&SourceState> {
        self.manifest.sources.iter().find(|source| source.id == *id)
    }

    /// Hands the state of some key groups of an operator, with the columns that it has now, to `take`. Blocks are read
    /// while those before are taken in.
    pub(crate) fn state(
        &self,
        id: &OperatorId,
        owned: KeyGroupRange,
        kept: &[KeptRows],
        take: impl FnOnce(&mut dyn Iterator<Item = RecordBatch>) -> Result<(), JobError>,
    ) -> Result<Restored, JobError> {
        let operator: Option<&OperatorState> = self.manifest.operators.iter().find(|found| found.id == *id);
        let Some(operator) = operator.filter(|_| owned.start < owned.end) else {
            return Ok(Restored::Nothing);
        };
        let has_some = |part: &&StatePart| part.groups.start < owned.end && owned.start < part.groups.end;
        let parts: Vec<&StatePart> = operator.parts.iter().filter(has_some).collect();
        if parts.is_empty() {
            return Ok(Restored::Ended);
        }
        let store = &*self.store;
        let mut failed = None;
        let taken = std::thread::scope(|scope| {
            let (ahead, read) = sync_channel(BLOCKS_AHEAD);
            let blocks = parts.iter().flat_map(|part| part.blocks.iter().enumerate());
            scope.spawn(move || {
                for (number, block) in blocks {
                    let block = store.block(block.id).map(|bytes| (number == 0, bytes));
                    // Nobody waits for more once something is wrong.
                    if ahead.send(block).is_err() {
                        return;
                    }
                }
            });
            let mut rows = Rows { read, owned, kept, joiner: None, batches: VecDeque::new() };
            take(&mut std::iter::from_fn(|| match rows.next() {
                Ok(next) => next,
                Err(reason) => {
                    failed = Some(reason);
                    None
                }
            }))
        });
        match failed {
            // What was taken in is not all, so whatever was made of it means nothing.
            Some(reason) => {
                Err(JobError::Checkpoint { reason: format!("the state of operator {id}: {reason}") })
            }
            None => taken.map(|()| Restored::All),
        }
    }
}

/// The rows of blocks that are being read.
struct Rows<'a> {
    /// Blocks in their order, and whether each is the head of a part.
    read: Receiver<Result<(bool, Vec<u8>), StoreError>>,
    owned: KeyGroupRange,
    kept: &'a [KeptRows],
    joiner: Option<SnapshotJoiner>,
    batches: VecDeque<RecordBatch>,
}

impl Rows<'_> {
    fn next(&mut self) -> Result<Option<RecordBatch>, String> {
        loop {
            if let Some(rows) = self.batches.pop_front() {
                return as_kept(rows, self.kept).map(Some).map_err(|error| error.to_string());
            }
            let read = self.read.recv().ok().transpose().map_err(|error| error.to_string())?;
            if read.as_ref().is_none_or(|(is_head, _)| *is_head) {
                self.batches.extend(self.joiner.take().into_iter().flat_map(SnapshotJoiner::rest));
            }
            let is_done = read.is_none();
            match read {
                Some((false, block)) if let Some(joiner) = &mut self.joiner => {
                    self.batches.extend(joiner.block(block).map_err(|error| error.to_string())?);
                }
                Some((_, head)) => {
                    let joiner = SnapshotJoiner::new(Some(head), self.owned);
                    self.joiner = Some(joiner.map_err(|error| error.to_string())?);
                }
                None => {}
            }
            if is_done && self.batches.is_empty() {
                return Ok(None);
            }
        }
    }
}

/// Whether a job can go on from a manifest, changed as it may be.
fn fits(manifest: &Manifest, checkpoints: &Checkpoints, topology: &Topology) -> Result<(), JobError> {
    let upgrade = Upgrade::of(manifest, topology);
    for line in &upgrade.lines {
        tracing::debug!(job = %topology.job, epoch = %manifest.epoch, "{line}");
    }
    // One that had come to its end has nothing more to say, to a new sink neither.
    let is_late = |line: &UpgradeLine| manifest.finished && line.fate == Fate::New;
    let against = |line: &UpgradeLine| line.stands_against(checkpoints.may_drop) || is_late(line);
    match upgrade.lines.iter().any(against) {
        true => Err(JobError::Changed { upgrade: Arc::new(upgrade) }),
        false => Ok(()),
    }
}

/// Rows of a snapshot with the columns that their kind has now, which [`StateShape`] has found to be possible.
///
/// [`StateShape`]: sabot_checkpoint::StateShape
fn as_kept(rows: RecordBatch, kept: &[KeptRows]) -> Result<RecordBatch, ArrowError> {
    let metadata = rows.schema_ref().metadata();
    let part = metadata.get(PART);
    // Some operators keep rows as they came in, of which they do not know the columns before.
    let Some(wanted) = kept.iter().find(|kept| part.is_some_and(|part| part == kept.part)) else {
        return Ok(rows);
    };
    if wanted.schema.fields() == rows.schema_ref().fields() {
        return Ok(rows);
    }
    let schema = Arc::new(Schema::new(wanted.schema.fields().clone()).with_metadata(metadata.clone()));
    if rows.num_rows() == 0 {
        return Ok(RecordBatch::new_empty(schema));
    }
    let column = |field: &FieldRef| match rows.column_by_name(field.name()) {
        Some(column) if column.data_type() == field.data_type() => Ok(column.clone()),
        Some(column) => cast(column, field.data_type()),
        None => Ok(new_null_array(field.data_type(), rows.num_rows())),
    };
    let columns = wanted.schema.fields().iter().map(column).collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(schema, columns, &options)
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
    use arrow::array::{ArrayRef, UInt16Array, UInt64Array};
    use sabot_checkpoint::MemoryStore;
    use sabot_state::block::Origin;
    use sabot_state::{BlockMemory, GROUP};

    #[test]
    fn what_was_written_for_an_epoch_that_was_given_up_goes_at_once() {
        let groups = KeyGroupRange { start: 0, end: 1 };
        let store: Arc<dyn CheckpointStore> = Arc::new(MemoryStore::new());
        let mut parts = Parts::new(&store);
        let rows = |of: u64| {
            // A block's worth, so that it is written before the end.
            let values: ArrayRef =
                Arc::new(UInt64Array::from_iter_values((0..1 << 21).map(|row| (row * of) << 16)));
            let group: ArrayRef = Arc::new(UInt16Array::from(vec![0; values.len()]));
            RecordBatch::try_from_iter([(GROUP, group), ("value", values)]).unwrap()
        };
        let cut = |parts: &mut Parts, task: u32, epoch: u64, ends: bool| {
            let (of, rows) = ((TaskId::state(0, task), Epoch(epoch)), rows(epoch + u64::from(task)));
            let mut layer =
                Layer::new(groups, Origin { generation: 1, epoch: of.1 }, &BlockMemory::default());
            let (block, bytes) = layer.add(rows.clone()).unwrap().unwrap();
            parts.add(of, block, bytes);
            let head = [rows.slice(0, 0)];
            ends.then(|| parts.end(of, Ok(layer), &head, &Needed::Since(Epoch(1))).unwrap())
        };
        let first = cut(&mut parts, 0, 1, true).unwrap();
        parts.committed(Epoch(1));
        cut(&mut parts, 0, 2, true);
        cut(&mut parts, 1, 2, false);
        parts.writer.wait((TaskId::state(0, 1), Epoch(2))).unwrap();
        assert!(store.blocks().unwrap().len() > first.len() + 2);
        parts.given_up(Epoch(2));
        let left = store.blocks().unwrap();
        assert!(first.iter().all(|block| left.contains(&block.id)));
        // A head may be that of other tasks, and goes with what the coordinator deletes.
        assert_eq!(left.len(), first.len() + 1);
        let third = cut(&mut parts, 0, 3, true).unwrap();
        assert!(third.iter().all(|block| !left.contains(&block.id) || first.contains(block)));
    }

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
