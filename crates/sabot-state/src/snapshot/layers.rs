//! A part of a checkpoint that consists of cuts: the rows that had changed, epoch by epoch.

use arrow::array::RecordBatch;
use sabot_checkpoint::BlockRef;
use sabot_common::{Epoch, KeyGroupRange};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::series;
use crate::PART;
use crate::block::{self, BlockError, Builder, Header, Origin};

/// Bytes of a block, about. Each is a file that is synced, and no block is read but as a whole.
const BLOCK_BYTES: usize = 8 << 20;

/// Batches with fewer rows are put together: a schema and an index stand before each.
const BATCH_ROWS_MIN: usize = 4096;

/// The cuts of one task of an operator that a checkpoint needs, newest first in the blocks of its part.
///
/// ```
/// # use arrow::array::{ArrayRef, Int64Array, RecordBatch, UInt16Array};
/// # use sabot_common::{Epoch, KeyGroups};
/// # use sabot_state::{BlockMemory, GROUP, Layer, Layers, Needed, block::Origin, join_snapshot};
/// # use std::collections::HashMap;
/// # use std::sync::Arc;
/// # let rows = |groups: [u16; 2], total| {
/// #     let groups: ArrayRef = Arc::new(UInt16Array::from(groups.to_vec()));
/// #     let totals: ArrayRef = Arc::new(Int64Array::from(vec![10, total]));
/// #     RecordBatch::try_from_iter([(GROUP, groups), ("total", totals)])
/// # };
/// let (first, changed) = (rows([3, 90], 20)?, rows([3, 90], 21)?.slice(1, 1));
/// let head = [first.slice(0, 0)];
/// let mut layers = Layers::default();
/// let (mut kept, memory) = (HashMap::new(), BlockMemory::default());
/// for (epoch, rows) in [(1, &first), (2, &changed)] {
///     let origin = Origin { generation: 1, epoch: Epoch(epoch) };
///     let mut layer = Layer::new(KeyGroups::default().all(), origin, &memory);
///     kept.extend(layer.add(rows.clone())?.map(|(block, bytes)| (block.id, bytes.to_vec())));
///     let (next, last) = layers.end(layer, &Needed::Since(Epoch(1)), &head, &["sabot.watermark"])?;
///     kept.extend(last.into_iter().map(|(block, bytes)| (block.id, bytes.to_vec())));
///     layers = next; // once its manifest is written
/// }
/// let blocks = layers.blocks().map(|block| kept[&block.id].clone()).collect();
/// let back = join_snapshot(blocks, KeyGroups::default().all())?;
/// assert_eq!(back, [changed, first]); // of two rows with one key the first counts
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// What the newest epoch says of itself.
    head: Option<BlockRef>,
    /// Oldest first: what a cut has of a kind of rows.
    layers: VecDeque<(Epoch, String, Vec<BlockRef>)>,
}

/// The cuts that a restore needs beside the newest one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Needed {
    /// Those since this epoch's.
    Since(Epoch),
    /// Those of these epochs.
    These(Vec<Epoch>),
    /// For each kind of rows, by [`PART`], others.
    Kinds(Vec<(&'static str, Needed)>),
}

impl Needed {
    /// Whether what the cut of this epoch has of a kind of rows is needed.
    pub fn contains(&self, kind: &str, epoch: Epoch) -> bool {
        match self {
            Needed::Since(since) => epoch >= *since,
            Needed::These(epochs) => epochs.contains(&epoch),
            Needed::Kinds(kinds) => {
                let of = kinds.iter().find(|(of, _)| *of == kind);
                of.is_none_or(|(_, needed)| needed.contains(kind, epoch))
            }
        }
    }
}

/// A block to be written. Its memory is used again once it is dropped.
#[derive(Debug, Default)]
pub struct NewBlock {
    memory: Vec<u8>,
    /// Where it begins.
    start: usize,
    home: Option<BlockMemory>,
}

impl Deref for NewBlock {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.start..]
    }
}

impl Drop for NewBlock {
    fn drop(&mut self) {
        if let Some(home) = &self.home {
            let mut free = home.free();
            if free.len() < FREE_MAX {
                free.push(std::mem::take(&mut self.memory));
            }
        }
    }
}

/// Where blocks are made: memory of those that are written. The same memory each time, which would be cleared each time
/// were it given back to the system in between, and at places from which a disk takes it as it is.
#[derive(Clone, Debug, Default)]
pub struct BlockMemory(Arc<Mutex<Vec<Vec<u8>>>>);

impl BlockMemory {
    fn free(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        // A vector is whole whoever has panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Memory of blocks that is kept for later ones. While a disk cannot keep up more of them wait than are ever made at a time.
const FREE_MAX: usize = 8;

/// What blocks lie at a multiple of: the largest that disks ask for.
const BLOCK_ALIGNMENT: usize = 4096;

/// A cut on its way into blocks.
#[derive(Debug)]
pub struct Layer {
    groups: KeyGroupRange,
    origin: Origin,
    memory: BlockMemory,
    kinds: BTreeMap<String, Rows>,
}

/// What a cut has of a kind of rows. Kinds do not share blocks, because they are not needed for as long.
#[derive(Debug, Default)]
struct Rows {
    blocks: Vec<BlockRef>,
    /// The next block.
    next: Option<Builder>,
    /// Rows of batches that are too small to stand by themselves.
    small: Vec<RecordBatch>,
    small_rows: usize,
}

impl Layers {
    /// Ends the cut of an epoch that needs others beside it: what is kept once its manifest is written, and the last
    /// blocks to be written for that. `head` has a batch for each kind of rows, without rows, whose metadata are the
    /// epoch's; under the keys `changing` they differ from epoch to epoch.
    ///
    /// # Errors
    /// [`BlockError::Rows`] for what cannot be a block.
    pub fn end(
        &self,
        mut layer: Layer,
        needed: &Needed,
        head: &[RecordBatch],
        changing: &[&str],
    ) -> Result<(Layers, Vec<(BlockRef, NewBlock)>), BlockError> {
        let (common, kinds) = series::split(head, changing)?;
        let batches: Vec<RecordBatch> = std::iter::once(series::bare(common)).chain(kinds).collect();
        let bytes = block::encode(&batches, KeyGroupRange { start: 0, end: 0 }, layer.origin)?;
        let head = Header::block_ref(&bytes)?;
        let mut new = Vec::new();
        let place = (layer.groups, layer.origin, &layer.memory);
        for rows in layer.kinds.values_mut() {
            new.extend(rows.flush(place)?);
        }
        new.push((head, NewBlock { memory: bytes, start: 0, home: None }));
        let is_needed = |(epoch, kind, _): &&(Epoch, String, _)| needed.contains(kind, *epoch);
        let mut layers: VecDeque<_> = self.layers.iter().filter(is_needed).cloned().collect();
        let kinds = layer.kinds.into_iter().filter(|(_, rows)| !rows.blocks.is_empty());
        layers.extend(kinds.map(|(kind, rows)| (layer.origin.epoch, kind, rows.blocks)));
        Ok((Layers { head: Some(head), layers }, new))
    }

    /// The blocks of the part, in the order of the manifest.
    pub fn blocks(&self) -> impl Iterator<Item = BlockRef> {
        let rows = self.layers.iter().rev().flat_map(|(_, _, blocks)| blocks);
        self.head.iter().chain(rows).copied()
    }

    /// The blocks of rows of this epoch's cut and of later ones.
    pub fn blocks_since(&self, epoch: Epoch) -> impl Iterator<Item = BlockRef> {
        let layers = self.layers.iter().rev().take_while(move |(of, _, _)| *of >= epoch);
        layers.flat_map(|(_, _, blocks)| blocks).copied()
    }
}

/// What blocks of a cut have in common.
type Place<'a> = (KeyGroupRange, Origin, &'a BlockMemory);

impl Layer {
    /// Begins the cut of an epoch.
    pub fn new(groups: KeyGroupRange, origin: Origin, memory: &BlockMemory) -> Self {
        Self { groups, origin, memory: memory.clone(), kinds: BTreeMap::new() }
    }

    /// Takes in rows, ascending by key group; gives a block when there are enough.
    ///
    /// # Errors
    /// [`BlockError::Rows`] for what cannot be a block.
    pub fn add(&mut self, rows: RecordBatch) -> Result<Option<(BlockRef, NewBlock)>, BlockError> {
        let place = (self.groups, self.origin, &self.memory);
        let kind = rows.schema_ref().metadata().get(PART).map_or("", String::as_str);
        let kind = match self.kinds.get_mut(kind) {
            Some(known) => known,
            None => self.kinds.entry(kind.to_owned()).or_default(),
        };
        kind.add(place, rows)?;
        if kind.next.as_ref().is_none_or(|next| next.bytes() < BLOCK_BYTES) {
            return Ok(None);
        }
        kind.flush(place)
    }
}

impl Rows {
    fn add(&mut self, place: Place<'_>, rows: RecordBatch) -> Result<(), BlockError> {
        match rows.num_rows() {
            0 => {}
            more @ 1..BATCH_ROWS_MIN => {
                self.small_rows += more;
                self.small.push(rows);
            }
            _ => self.write(place, &rows)?,
        }
        if self.small_rows >= 4 * BATCH_ROWS_MIN {
            self.join_small(place)?;
        }
        Ok(())
    }

    fn write(&mut self, (groups, origin, memory): Place<'_>, rows: &RecordBatch) -> Result<(), BlockError> {
        let begin = || {
            let mut memory = memory.free().pop().unwrap_or_default();
            memory.clear();
            memory.reserve(BLOCK_BYTES + BLOCK_BYTES / 4);
            Builder::new(groups, origin, BLOCK_ALIGNMENT, memory)
        };
        self.next.get_or_insert_with(begin).add(rows)
    }

    fn flush(&mut self, place: Place<'_>) -> Result<Option<(BlockRef, NewBlock)>, BlockError> {
        self.join_small(place)?;
        let Some(next) = self.next.take() else { return Ok(None) };
        let (memory, start) = next.finish()?;
        let block = Header::block_ref(&memory[start..])?;
        self.blocks.push(block);
        Ok(Some((block, NewBlock { memory, start, home: Some(place.2.clone()) })))
    }

    /// Makes one batch of those of one schema.
    fn join_small(&mut self, place: Place<'_>) -> Result<(), BlockError> {
        self.small_rows = 0;
        let mut small = std::mem::take(&mut self.small);
        while let Some(first) = small.first() {
            let schema = first.schema();
            let (same, others): (Vec<_>, Vec<_>) =
                small.into_iter().partition(|rows| *rows.schema_ref() == schema);
            small = others;
            for rows in series::join(&schema, same)? {
                self.write(place, &rows)?;
            }
        }
        Ok(())
    }
}
