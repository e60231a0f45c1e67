//! Looking into checkpoints: what there is, how large it is, and the state itself as batches. Nothing is changed, so a job
//! may be running on the same store.

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Int64Type, SchemaRef, UInt16Type};
use arrow::error::ArrowError;
use arrow::row::{OwnedRow, RowConverter, SortField};
use sabot_checkpoint::{
    BlockId, CheckpointStore, Manifest, OperatorState, StoreError, StoreErrorKind, read_manifest,
};
use sabot_common::KeyGroupRange;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use crate::block::BlockError;
use crate::{FIRST, GROUP, KEY_COLUMNS, PART, join_snapshot};

/// Why something cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A block, or several that should belong together.
    #[error("operator {operator}: {error}")]
    Block {
        /// Whose state it is.
        operator: String,
        /// What is wrong.
        error: BlockError,
    },
}

/// An epoch that can be gone on from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochFound {
    /// Its manifest.
    pub manifest: Manifest,
    /// Bytes of all blocks that it refers to.
    pub bytes: u64,
    /// Bytes of those that the epoch before it, of the ones that are kept, does not refer to.
    pub bytes_new: u64,
}

/// The epochs of a store, oldest first. What is deleted meanwhile is left out, and what is torn or damaged: no job goes on
/// from that either.
///
/// # Errors
/// [`StoreError`] when the store cannot be read, or a manifest was written by a newer version.
pub fn epochs(store: &dyn CheckpointStore) -> Result<Vec<EpochFound>, StoreError> {
    let mut epochs = store.manifests()?;
    epochs.sort_unstable();
    let mut found: Vec<EpochFound> = Vec::new();
    let mut before: HashSet<BlockId> = HashSet::new();
    for epoch in epochs {
        let manifest = match read_manifest(store, epoch) {
            Ok(manifest) => manifest,
            Err(error) if error.is_of_this_manifest() => continue,
            Err(error) => return Err(error),
        };
        let parts = manifest.operators.iter().flat_map(|operator| &operator.parts);
        // A block may be named more than once, and is one file.
        let blocks: BTreeMap<BlockId, u64> =
            parts.flat_map(|part| &part.blocks).map(|block| (block.id, block.bytes)).collect();
        let bytes = blocks.values().sum();
        let bytes_new = blocks.iter().filter(|(id, _)| !before.contains(id)).map(|(_, bytes)| bytes).sum();
        before = blocks.into_keys().collect();
        found.push(EpochFound { manifest, bytes, bytes_new });
    }
    Ok(found)
}

/// The state of some key groups of an operator, by the kind of rows; of operators with one kind alone under its name.
///
/// Of rows with one key the newest is there. What only the operator knows is left as it stands: rows that waited and that the
/// watermark has passed since may still be among those of older cuts, and a window of no rows is one that has fired.
///
/// ```
/// # use arrow::array::{ArrayRef, Int64Array, RecordBatch, UInt16Array};
/// # use sabot_checkpoint::{CheckpointStore, MemoryStore, OperatorState, StatePart};
/// # use sabot_common::{Epoch, KeyGroups, OperatorId};
/// # use sabot_state::{BlockMemory, GROUP, Layer, Layers, Needed, block::Origin, inspect};
/// # use std::sync::Arc;
/// # let groups = KeyGroups::default().all();
/// # let columns: [(&str, ArrayRef); 2] = [
/// #     (GROUP, Arc::new(UInt16Array::from(vec![3, 90]))),
/// #     ("total", Arc::new(Int64Array::from(vec![10, 20]))),
/// # ];
/// # let rows = RecordBatch::try_from_iter(columns)?;
/// # let mut layer = Layer::new(groups, Origin { generation: 1, epoch: Epoch(1) }, &BlockMemory::default());
/// # layer.add(rows.clone())?;
/// # let head = [rows.slice(0, 0)];
/// # let (layers, new) = Layers::default().end(layer, &Needed::Since(Epoch(1)), &head, &[])?;
/// # let store = MemoryStore::default();
/// # new.iter().try_for_each(|(block, bytes)| store.put_block(block.id, bytes))?;
/// # let blocks = layers.blocks().collect();
/// # let (id, kind, shape) = (OperatorId::new("totals"), String::new(), String::new());
/// # let operator = OperatorState { id, kind, shape, parts: vec![StatePart { task: 0, groups, blocks }] };
/// let kinds = inspect::rows(&store, &operator, groups)?;
/// assert_eq!(kinds[inspect::UNNAMED].iter().map(RecordBatch::num_rows).sum::<usize>(), 2);
/// assert_eq!(inspect::rows_by_group(&kinds[inspect::UNNAMED]).into_iter().collect::<Vec<_>>(), [(3, 1), (90, 1)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`InspectError`] when a block cannot be read.
pub fn rows(
    store: &dyn CheckpointStore,
    operator: &OperatorState,
    groups: KeyGroupRange,
) -> Result<BTreeMap<String, Vec<RecordBatch>>, InspectError> {
    let mut kinds: BTreeMap<String, Vec<RecordBatch>> = BTreeMap::new();
    for part in &operator.parts {
        if part.groups.start >= groups.end || groups.start >= part.groups.end {
            continue;
        }
        let blocks = part.blocks.iter().map(|block| store.block(block.id));
        let blocks = blocks.collect::<Result<Vec<_>, _>>()?;
        let batches = join_snapshot(blocks, groups)
            .map_err(|error| InspectError::Block { operator: operator.id.to_string(), error })?;
        for batch in batches {
            let name = batch.schema_ref().metadata().get(PART).map_or(UNNAMED, String::as_str).to_owned();
            kinds.entry(name).or_default().push(batch);
        }
    }
    for batches in kinds.values_mut() {
        *batches = in_force(std::mem::take(batches)).map_err(|error| InspectError::Block {
            operator: operator.id.to_string(),
            error: BlockError::damaged(error),
        })?;
    }
    Ok(kinds)
}

/// Of rows that come from several cuts, newest first, those that count.
fn in_force(batches: Vec<RecordBatch>) -> Result<Vec<RecordBatch>, ArrowError> {
    let mut seen: HashSet<OwnedRow> = HashSet::new();
    let mut converters: HashMap<SchemaRef, RowConverter> = HashMap::new();
    let mut rows = Vec::with_capacity(batches.len());
    for batch in batches {
        let said = |key: &str| batch.schema_ref().metadata().get(key);
        let (keys, first) = (said(KEY_COLUMNS).and_then(|keys| columns_of(keys)), said(FIRST));
        let mut stays = vec![true; batch.num_rows()];
        if let Some((column, first)) = first.and_then(|first| column_and_first(first))
            && let Some(starts) =
                batch.columns().get(column).and_then(|column| column.as_primitive_opt::<Int64Type>())
        {
            stays.iter_mut().zip(starts.values()).for_each(|(stays, start)| *stays = *start >= first);
        }
        let Some(keys) = keys else {
            rows.push(filter_record_batch(&batch, &stays.into())?);
            continue;
        };
        let keys: &[ArrayRef] = batch.columns().get(keys).unwrap_or(batch.columns());
        let schema = batch.schema_ref();
        let converter = match converters.entry(schema.clone()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let fields = keys.iter().map(|key| SortField::new(key.data_type().clone()));
                new.insert(RowConverter::new(fields.collect())?)
            }
        };
        let keys = converter.convert_columns(keys)?;
        let keys: Vec<OwnedRow> = keys.iter().map(|key| key.owned()).collect();
        stays.iter_mut().zip(&keys).for_each(|(stays, key)| *stays = *stays && !seen.contains(key));
        // A key may have several rows in a cut, all of them in one batch.
        seen.extend(keys);
        rows.push(filter_record_batch(&batch, &stays.into())?);
    }
    Ok(rows)
}

/// The columns that [`KEY_COLUMNS`] names.
fn columns_of(text: &str) -> Option<Range<usize>> {
    let (start, end) = text.split_once("..").unwrap_or(("0", text));
    Some(start.parse().ok()?..end.parse().ok()?)
}

/// The column that [`FIRST`] is about, and its least value.
fn column_and_first(text: &str) -> Option<(usize, i64)> {
    let (column, first) = text.split_once(':').unwrap_or(("0", text));
    Some((column.parse().ok()?, first.parse().ok()?))
}

/// Copies an epoch with all of its blocks into a store that has none: from there a job goes on by itself. What was staged
/// for the epoch is not part of the copy, nor are the sinks: whoever wrote the epoch has committed it, or will.
///
/// # Errors
/// [`StoreError`] when a store fails, or `to` has epochs already.
pub fn export(
    from: &dyn CheckpointStore,
    manifest: &Manifest,
    to: &dyn CheckpointStore,
) -> Result<(), StoreError> {
    if !to.manifests()?.is_empty() {
        let problem = "it has epochs already; an empty one takes the copy".to_owned();
        return Err(StoreError::new("export an epoch", format!("{to:?}"), StoreErrorKind::Io { problem }));
    }
    for id in manifest.blocks() {
        to.put_block(id, &from.block(id)?)?;
    }
    // It is there when all of its blocks are.
    let copy = Manifest { sinks: Vec::new(), ..manifest.clone() };
    let bytes = copy.to_bytes().map_err(|error| {
        StoreError::new("export an epoch", format!("{to:?}"), StoreErrorKind::Manifest { error })
    })?;
    to.create_manifest(manifest.epoch, &bytes).map(drop)
}

/// What rows are called that have no name.
pub const UNNAMED: &str = "rows";

/// How many rows each key group has, of those that have any.
pub fn rows_by_group(batches: &[RecordBatch]) -> BTreeMap<u16, u64> {
    let mut counts = BTreeMap::new();
    for batch in batches {
        let groups = batch.column_by_name(GROUP).and_then(|groups| groups.as_primitive_opt::<UInt16Type>());
        for group in groups.into_iter().flat_map(|groups| groups.values()) {
            *counts.entry(*group).or_default() += 1;
        }
    }
    counts
}
