//! An operator's snapshot as blocks, of which those that have not changed are not written again.
//!
//! A part of a checkpoint, what one task holds of one operator, is a list of blocks: the *head* and behind it
//! the rows. Three things decide what an epoch costs:
//!
//! - *What changes with every epoch stands in the head.* Snapshots carry the watermark in the metadata of their
//!   schemas; left with the rows it would make every block another one. The head has no rows and some hundred
//!   bytes.
//! - *Blocks are cut at key groups*, into ranges that come from halving aligned ranges: growth in one place cuts
//!   blocks there and moves no boundary elsewhere. A range is cut above [`BlockSizes::split_above`] and joined
//!   with its other half below [`BlockSizes::merge_below`]; the distance of the two keeps it from doing both in
//!   turns. A group that is too large is cut into runs of rows, so that a block never grows with a heavy key,
//!   and of rows that are only added to the full runs stay.
//! - *Ranges without change are not looked at.* [`SnapshotCutter::ranges`] says which ranges an operator has to
//!   snapshot, given the groups that have changed; of the others the last blocks are named again.
//!
//! Why a few MiB: each block is a file that is synced, 10 ms on the development machine, in which the same disk
//! writes 2 MB; so of blocks below that most of the time is waiting. And one changed row writes a
//! whole block, so larger ones write more than has changed. If rows change everywhere, all blocks do, and an
//! epoch writes the whole state.
//!
//! Operators that know which *rows* have changed do better: of these a part consists of [`Layers`], the newest first,
//! each with the rows that had changed in its epoch; of two rows with the same key the first counts.

mod join;
mod layers;
mod layout;
mod series;
#[cfg(test)]
mod tests;

use arrow::array::RecordBatch;
use sabot_checkpoint::{BlockId, BlockRef};
use sabot_common::KeyGroupRange;
use std::collections::HashMap;

use crate::block::{self, BlockError, Header, Origin};
pub use join::{SnapshotJoiner, join_snapshot};
pub use layers::{BlockMemory, Layer, Layers, Needed, NewBlock};
use layout::Piece;
use series::Series;

/// How large blocks are, in bytes of encoded rows; an estimate by the bytes of the columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockSizes {
    /// A range of key groups with more is cut in two.
    pub split_above: u64,
    /// Two halves with less than this together become one range. At most half of `split_above`.
    pub merge_below: u64,
}

impl Default for BlockSizes {
    fn default() -> Self {
        Self { split_above: 4 << 20, merge_below: 1 << 20 }
    }
}

/// Cuts the snapshots of one task of an operator, epoch after epoch.
///
/// ```
/// # use arrow::array::{ArrayRef, Int64Array, RecordBatch, UInt16Array};
/// # use sabot_common::{Epoch, KeyGroups};
/// # use sabot_state::{BlockSizes, GROUP, SnapshotCutter, block::Origin, join_snapshot};
/// # use std::sync::Arc;
/// # let rows = |total| {
/// #     let groups: ArrayRef = Arc::new(UInt16Array::from(vec![3, 90]));
/// #     let totals: ArrayRef = Arc::new(Int64Array::from(vec![10, total]));
/// #     RecordBatch::try_from_iter([(GROUP, groups), ("total", totals)])
/// # };
/// let owned = KeyGroups::default().all();
/// let sizes = BlockSizes { split_above: 16, merge_below: 4 }; // to see something with two rows
/// let mut cutter = SnapshotCutter::new(owned, sizes, &["sabot.watermark"]);
///
/// let first = cutter.cut(&cutter.ranges(|_| true), &[rows(20)?], Origin { generation: 1, epoch: Epoch(1) })?;
/// assert_eq!(first.blocks.iter().filter(|block| block.bytes.is_some()).count(), 3); // the head, and two
/// cutter.stored(&first); // once its manifest is written
///
/// // Only group 90 has changed; its row is all that is snapshot, and written.
/// let dirty = cutter.ranges(|group| group == 90);
/// let second = cutter.cut(&dirty, &[rows(21)?.slice(1, 1)], Origin { generation: 1, epoch: Epoch(2) })?;
/// assert_eq!(second.blocks.iter().filter(|block| block.bytes.is_some()).count(), 1);
///
/// let bytes = |at: usize| second.blocks[at].bytes.clone().or_else(|| first.blocks[at].bytes.clone());
/// let blocks = (0..3).filter_map(bytes).collect();
/// let back = join_snapshot(blocks, owned)?;
/// assert_eq!(arrow::compute::concat_batches(back[0].schema_ref(), &back)?, rows(21)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SnapshotCutter {
    owned: KeyGroupRange,
    sizes: BlockSizes,
    changing: Vec<String>,
    last: Layout,
}

/// What the last epoch that was stored consists of.
#[derive(Clone, Debug, Default)]
struct Layout {
    head: Option<Known>,
    /// They tile the owned range.
    pieces: Vec<Piece>,
}

/// A block that is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    content: [u8; 32],
    block: BlockRef,
}

/// A snapshot as blocks.
#[derive(Clone, Debug)]
pub struct Cut {
    /// The head, then the rows, ascending by key group: the blocks of a part of the manifest, in its order.
    pub blocks: Vec<CutBlock>,
    layout: Layout,
}

/// A block of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CutBlock {
    /// As the manifest names it.
    pub block: BlockRef,
    /// The bytes to write; `None` of a block that an earlier epoch has written.
    pub bytes: Option<Vec<u8>>,
}

impl Cut {
    /// Bytes that have to be written.
    pub fn bytes_to_write(&self) -> u64 {
        self.blocks.iter().filter(|block| block.bytes.is_some()).map(|block| block.block.bytes).sum()
    }
}

impl SnapshotCutter {
    /// A cutter that knows of no epoch. `changing` are the keys of the schemas' metadata that change from epoch
    /// to epoch and are the same in all batches of one, such as the watermark.
    pub fn new(owned: KeyGroupRange, sizes: BlockSizes, changing: &[&str]) -> Self {
        let changing = changing.iter().map(|key| (*key).to_owned()).collect();
        let last = Layout { head: None, pieces: layout::unknown(owned) };
        Self { owned, sizes, changing, last }
    }

    /// A cutter that goes on from an epoch: with the blocks of one or more parts in their order, as far as they
    /// hold key groups that are owned here and nothing else. What else was restored is written anew.
    #[must_use]
    pub fn resume(mut self, blocks: &[(BlockRef, Header)]) -> Self {
        let known = |(block, header): &(BlockRef, Header)| {
            (header.groups, Known { content: header.content, block: *block })
        };
        self.last = Layout { head: None, pieces: layout::of_blocks(self.owned, blocks.iter().map(known)) };
        self
    }

    /// The key groups that have to be snapshot, given those that have changed since the last epoch that was
    /// stored: whole blocks, joined where they follow each other. With no change there are none, and a snapshot
    /// of an empty range still says what the watermark is.
    pub fn ranges(&self, is_dirty: impl Fn(u16) -> bool) -> Vec<KeyGroupRange> {
        let mut ranges: Vec<KeyGroupRange> = Vec::new();
        for piece in &self.last.pieces {
            let KeyGroupRange { start, end } = piece.groups;
            if piece.blocks.is_some() && !(start..end).any(&is_dirty) {
                continue;
            }
            match ranges.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => ranges.push(piece.groups),
            }
        }
        ranges
    }

    /// Cuts the batches that an operator has given of `covered`, some ranges of [`SnapshotCutter::ranges`].
    /// Each batch has its rows ascending by key group; batches of equal schemas become one.
    ///
    /// # Errors
    /// [`BlockError::Rows`] for rows of other groups, for metadata that differs between batches though it
    /// is the epoch's, and for what [`block::encode`] refuses.
    pub fn cut(
        &self,
        covered: &[KeyGroupRange],
        batches: &[RecordBatch],
        origin: Origin,
    ) -> Result<Cut, BlockError> {
        let (common, series) = Series::sort(batches, &self.changing)?;
        layout::check_cover(&self.last.pieces, covered)?;
        series::check_rows(&series, covered)?;
        let known = self.known();
        let mut blocks = Vec::new();
        let mut encode = |batches: &[RecordBatch], groups| {
            let bytes = block::encode(batches, groups, origin)?;
            let content = Header::read(&bytes)?.content;
            let (block, bytes) = match known.get(&content) {
                Some(block) => (*block, None),
                None => (Header::block_ref(&bytes)?, Some(bytes)),
            };
            blocks.push(CutBlock { block, bytes });
            Ok::<Known, BlockError>(Known { content, block })
        };

        let mut head = vec![series::bare(common)?];
        head.extend(series.iter().map(Series::empty));
        let head = Some(encode(&head, KeyGroupRange { start: 0, end: 0 })?);
        let size_of = |groups| series.iter().map(|series| series.bytes_of(groups)).sum();
        let mut pieces = Vec::new();
        for mut piece in layout::cut(&self.last.pieces, covered, self.sizes, &size_of) {
            if piece.blocks.is_none() {
                let rows = series::pieces(&series, piece.groups, self.sizes.split_above)?;
                let encoded = rows.iter().map(|batches| encode(batches, piece.groups));
                piece.blocks = Some(encoded.collect::<Result<_, _>>()?);
            }
            pieces.push(piece);
        }
        let layout = Layout { head, pieces };
        Ok(Cut { blocks: in_order(&layout, blocks), layout })
    }

    /// Takes note that the manifest with these blocks is written, so that the next epoch can name them again.
    /// An epoch that was given up is not noted, and its groups are still dirty.
    pub fn stored(&mut self, cut: &Cut) {
        self.last = cut.layout.clone();
    }

    fn known(&self) -> HashMap<[u8; 32], BlockRef> {
        let rows = self.last.pieces.iter().flat_map(|piece| piece.blocks.iter().flatten());
        rows.chain(&self.last.head).map(|known| (known.content, known.block)).collect()
    }
}

/// All blocks of an epoch in the order of the manifest, with the bytes of those that are new.
fn in_order(layout: &Layout, encoded: Vec<CutBlock>) -> Vec<CutBlock> {
    let bytes = encoded.into_iter().filter_map(|block| Some((block.block.id, block.bytes?)));
    let mut bytes: HashMap<BlockId, Vec<u8>> = bytes.collect();
    let rows = layout.pieces.iter().flat_map(|piece| piece.blocks.iter().flatten());
    let all = layout.head.iter().chain(rows).map(|known| known.block);
    all.map(|block| CutBlock { block, bytes: bytes.remove(&block.id) }).collect()
}
