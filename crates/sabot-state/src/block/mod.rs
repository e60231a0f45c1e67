//! The one format of state outside operators: what snapshots, spilled state and cold state are kept in.
//!
//! A block holds rows of one operator, of a range of key groups, and nothing is needed to read it but the
//! block. What it keeps:
//!
//! - *Equal rows have equal bytes*, apart from the [`Origin`] in the header. [`Header::content`] names the
//!   rows, so that what has not changed since the last epoch is found and not written again. How columns are
//!   made equal says the module `canonical`.
//! - *A block is whole or an error.* Length, checksum and hash are checked before anything is decoded, the last two by the
//!   store where a block comes from one; and a format that this version does not know is refused by its number.
//! - *A reader takes the key groups it owns.* Rows are contiguous and ascending by group, and an index says
//!   where each group begins: after a change of parallelism the others are passed over.
//!
//! The body is an Arrow IPC stream for each batch, with its schema and the metadata of that, and a table of contents:
//! columns are used where they lie, without a copy, apart from those that were made narrower. The table stands behind the
//! streams, and so a block is written from front to back while its batches come. Up to format 2 it stood before them.
//!
//! Whole numbers take as few bytes as those of a batch need (module `narrow`; up to format 3 all that their type has): rows
//! of a count and a sum by an integer take 8 bytes instead of 50, for 1 ns a row. It is not compressed beyond that. Of a
//! million keys with counts and sums as they are LZ4 leaves 0.6 of the bytes and Zstandard 0.45, at a half and a sixth of
//! the rate at which they are written without (one core of the development machine); and then bytes, and with them the names
//! of blocks, depend on the version of a compressor.
//!
//! | body | what |
//! |---|---|
//! | for each batch | its stream, padded with 0 to a multiple of 16 |
//! | u32 | batches |
//! | u32 | 0 |
//! | for each batch: u64, u32, u32 | length of its stream without padding, rows, entries of its index |
//! | for each entry: u16, u16, u32 | key group, 0, its first row |
//! | to a multiple of 16 | 0 |
//! | u64 | length of the table, from the number of batches to here (from format 3 on) |
//! | u64 | 0 (from format 3 on) |

mod canonical;
mod contents;
mod error;
mod header;
mod narrow;
#[cfg(test)]
mod tests;

pub use error::BlockError;
pub use header::{FORMAT, Header, Origin};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::buffer::Buffer;
use arrow::datatypes::UInt16Type;
use arrow::ipc::MetadataVersion;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use sabot_checkpoint::{BlockHasher, BlockId};
use sabot_common::KeyGroupRange;

use crate::GROUP;
use contents::{Contents, Entry, Part};

/// Streams and the buffers in them begin at multiples of this many bytes, which is enough for every type.
const ALIGNMENT: usize = 16;

/// Bytes of a body that are hashed at once, from a multiple of them on: a tree of hashes is made of aligned parts, and what
/// was written is still in the second-level cache.
const HASHED_BYTES: usize = 128 << 10;

/// What a stream has beside its columns, for a few of them. No more than a guess of what to allocate.
const STREAM_BYTES: usize = 2048;

/// The block of some rows, which are all that there are of some key groups. Each batch has a column [`GROUP`]
/// without nulls, ascending; a group need not have rows.
///
/// ```
/// # use arrow::array::{ArrayRef, Int64Array, RecordBatch, UInt16Array};
/// # use sabot_common::{Epoch, KeyGroups};
/// # use sabot_state::{GROUP, block::{self, Origin}};
/// # use std::sync::Arc;
/// let groups: ArrayRef = Arc::new(UInt16Array::from(vec![3, 3, 7]));
/// let totals: ArrayRef = Arc::new(Int64Array::from(vec![10, 20, 30]));
/// let rows = RecordBatch::try_from_iter([(GROUP, groups), ("total", totals)])?;
///
/// let origin = Origin { generation: 1, epoch: Epoch(1) };
/// let groups = KeyGroups::default().range(0..8)?;
/// let bytes = block::encode(&[rows.clone(), rows.slice(1, 2)], groups, origin)?;
/// let some = KeyGroups::default().range(0..4)?;
/// let [first, second] = block::decode(bytes, some)?.try_into().unwrap();
/// assert_eq!((first, second), (rows.slice(0, 2), rows.slice(1, 1)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`BlockError::Rows`] when there is no such column, for rows of other groups, and for what Arrow cannot write: 2³² rows in a batch, a
/// dictionary inside of a dictionary.
pub fn encode(batches: &[RecordBatch], groups: KeyGroupRange, origin: Origin) -> Result<Vec<u8>, BlockError> {
    let streams: usize = batches.iter().map(|batch| bytes_of(batch) + STREAM_BYTES).sum();
    let mut block = Builder::new(groups, origin, 1, Vec::with_capacity(Header::BYTES + streams));
    batches.iter().try_for_each(|batch| block.add(batch))?;
    block.finish().map(|(block, _)| block)
}

/// A block that is being made, batch by batch: each is written where it stays and hashed while it is in a cache, and then
/// nothing is needed of it any more.
#[derive(Debug)]
pub(crate) struct Builder {
    groups: KeyGroupRange,
    origin: Origin,
    contents: Contents,
    /// The block stands behind `start`.
    memory: Vec<u8>,
    start: usize,
    hasher: BlockHasher,
    /// Bytes of the body that are hashed.
    hashed: usize,
}

impl Builder {
    /// A block without rows, in memory that is used again; it begins at a place that is aligned as `at` says, unless there is
    /// too little.
    pub(crate) fn new(groups: KeyGroupRange, origin: Origin, at: usize, mut memory: Vec<u8>) -> Self {
        memory.clear();
        memory.reserve(at + Header::BYTES);
        let start = memory.as_ptr().align_offset(at);
        memory.resize(start + Header::BYTES, 0);
        let contents = Contents { parts: Vec::new() };
        Self { groups, origin, contents, memory, start, hasher: BlockId::hasher(), hashed: 0 }
    }

    /// # Errors
    /// As [`encode`].
    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<(), BlockError> {
        let rows = u32::try_from(batch.num_rows()).map_err(BlockError::rows)?;
        let index = index(batch, self.groups)?;
        let before = self.memory.len();
        stream(batch, &mut self.memory)?;
        let bytes = self.memory.len() - before;
        self.contents.parts.push(Part { bytes: bytes as u64, rows, index });
        self.memory.resize(before + bytes.next_multiple_of(ALIGNMENT), 0);
        self.hash(HASHED_BYTES);
        Ok(())
    }

    /// How long the block is so far.
    pub(crate) fn bytes(&self) -> usize {
        self.memory.len() - self.start
    }

    /// Hashes what is there, up to a multiple of so many bytes.
    fn hash(&mut self, of: usize) {
        let body = &self.memory[self.start + Header::BYTES..];
        let end = body.len() / of * of;
        self.hasher.update(&body[self.hashed..end]);
        self.hashed = end;
    }

    /// The block, and where it begins in the memory.
    ///
    /// # Errors
    /// As [`encode`].
    pub(crate) fn finish(mut self) -> Result<(Vec<u8>, usize), BlockError> {
        self.contents.write(&mut self.memory)?;
        self.hash(1);
        let hash = self.hasher.finish();
        Header::write(&mut self.memory[self.start..], self.groups, self.origin, &hash);
        Ok((self.memory, self.start))
    }
}

/// The rows of some key groups: as many batches as were written, with their schemas, the rest of each left
/// out. The columns share the memory of the block.
///
/// # Errors
/// [`BlockError`] for bytes that are not those of a whole block of a known format.
pub fn decode(block: impl Into<Buffer>, groups: KeyGroupRange) -> Result<Vec<RecordBatch>, BlockError> {
    let block: Buffer = block.into();
    Header::check(&block)?;
    decode_checked(&block, groups)
}

/// As [`decode`] of a block whose name was checked, and with that all of its bytes.
pub(crate) fn decode_named(block: Vec<u8>, groups: KeyGroupRange) -> Result<Vec<RecordBatch>, BlockError> {
    let block: Buffer = block.into();
    Header::check_length(&block)?;
    decode_checked(&block, groups)
}

fn decode_checked(block: &Buffer, groups: KeyGroupRange) -> Result<Vec<RecordBatch>, BlockError> {
    let body = block.slice(Header::BYTES);
    let has_contents_first = u16::from_le_bytes(header::array(&block[8..10])) < 3;
    let (contents, streams) = match has_contents_first {
        true => Contents::read(&body)?,
        false => (Contents::read_behind(&body)?, 0),
    };
    let mut batches = Vec::with_capacity(contents.parts.len());
    let mut at = streams;
    for part in &contents.parts {
        let bytes = usize::try_from(part.bytes).map_err(BlockError::damaged)?;
        if body.len() - at < bytes {
            return Err(BlockError::damaged("a batch ends behind the block"));
        }
        let batch = read_stream(body.slice_with_length(at, bytes))?;
        if batch.num_rows() as u64 != u64::from(part.rows) {
            return Err(BlockError::damaged("a batch has another number of rows than the index"));
        }
        let rows = part.rows_of(groups);
        batches.push(narrow::widen(batch.slice(rows.start, rows.len()))?);
        at = (at + bytes).next_multiple_of(ALIGNMENT).min(body.len());
    }
    Ok(batches)
}

/// About the bytes of a batch, without what a slice leaves out.
pub(crate) fn bytes_of(batch: &RecordBatch) -> usize {
    let bytes = |column: &ArrayRef| {
        let exact = column.to_data().get_slice_memory_size();
        exact.unwrap_or_else(|_| column.get_array_memory_size())
    };
    batch.columns().iter().map(bytes).sum()
}

/// Where each key group begins.
fn index(batch: &RecordBatch, range: KeyGroupRange) -> Result<Vec<Entry>, BlockError> {
    let column = batch.column_by_name(GROUP).and_then(|column| column.as_primitive_opt::<UInt16Type>());
    let column = column.ok_or_else(|| BlockError::rows(format!("there is no column {GROUP} of uint16")))?;
    if column.null_count() > 0 {
        return Err(BlockError::rows(format!("{GROUP} is null")));
    }
    let mut index: Vec<Entry> = Vec::new();
    let groups = column.values();
    let mut row = 0;
    while let Some(group) = groups.get(row).copied() {
        if index.last().is_some_and(|last| last.group >= group) {
            return Err(BlockError::rows(format!(
                "key group {group} at row {row} is not in ascending order"
            )));
        }
        if !range.contains(group) {
            let KeyGroupRange { start, end } = range;
            return Err(BlockError::rows(format!("key group {group} in a block of {start}..{end}")));
        }
        index.push(Entry { group, first_row: u32::try_from(row).map_err(BlockError::rows)? });
        row += groups[row..].iter().take_while(|next| **next == group).count();
    }
    Ok(index)
}

/// Appends a batch in canonical form as an Arrow stream.
fn stream(batch: &RecordBatch, streams: &mut Vec<u8>) -> Result<(), BlockError> {
    let columns = batch.columns().iter().map(canonical::canonical).collect::<Result<Vec<_>, _>>();
    let columns = columns.map_err(BlockError::rows)?;
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let batch =
        RecordBatch::try_new_with_options(batch.schema(), columns, &rows).map_err(BlockError::rows)?;
    let batch = narrow::narrow(batch)?;
    let options =
        IpcWriteOptions::try_new(ALIGNMENT, false, MetadataVersion::V5).map_err(BlockError::rows)?;
    let writer = StreamWriter::try_new_with_options(streams, batch.schema_ref(), options);
    let mut writer = writer.map_err(BlockError::rows)?;
    writer.write(&batch).map_err(BlockError::rows)?;
    writer.finish().map_err(BlockError::rows)
}

/// The one batch of a stream.
fn read_stream(mut stream: Buffer) -> Result<RecordBatch, BlockError> {
    let read = move || {
        let mut decoder = StreamDecoder::new();
        let batch = decoder.decode(&mut stream).map_err(BlockError::damaged)?;
        let batch = batch.ok_or_else(|| BlockError::damaged("a stream without a batch"))?;
        match decoder.decode(&mut stream).map_err(BlockError::damaged)? {
            Some(_) => Err(BlockError::damaged("a stream with a second batch")),
            None => decoder.finish().map_err(BlockError::damaged).map(|()| batch),
        }
    };
    // Arrow's reader checks what it decodes, and in places does so by a panic. It has nothing but its own state.
    let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(read));
    read.unwrap_or_else(|_| Err(BlockError::damaged("a stream that Arrow cannot read")))
}
