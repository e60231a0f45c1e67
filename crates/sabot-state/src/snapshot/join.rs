//! A part of a checkpoint as batches again.

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use sabot_common::KeyGroupRange;
use std::collections::HashMap;
use std::sync::Arc;

use crate::block::{self, BlockError};

/// The batches of a part of a checkpoint: of its blocks in the order of the manifest, the rows of some key
/// groups. Of each kind of rows there is a batch, though it may be empty, with the metadata of its epoch. Blocks are as a
/// store gives them, which has checked their names.
///
/// # Errors
/// [`BlockError`] for blocks that are damaged, or not those of one part.
pub fn join_snapshot(blocks: Vec<Vec<u8>>, groups: KeyGroupRange) -> Result<Vec<RecordBatch>, BlockError> {
    let mut blocks = blocks.into_iter();
    let mut joiner = SnapshotJoiner::new(blocks.next(), groups)?;
    let mut rows = Vec::new();
    for block in blocks {
        rows.extend(joiner.block(block)?);
    }
    rows.extend(joiner.rest());
    Ok(rows)
}

/// As [`join_snapshot`], block by block as they are read.
#[derive(Debug)]
pub struct SnapshotJoiner {
    groups: KeyGroupRange,
    /// What the epoch says of itself.
    common: HashMap<String, String>,
    /// The schemas of the kinds, as blocks have them and with what the epoch says; and whether there were rows.
    kinds: Vec<(SchemaRef, SchemaRef, bool)>,
}

impl SnapshotJoiner {
    /// Begins with the first block of a part.
    ///
    /// # Errors
    /// [`BlockError`] when it is not a head, or damaged.
    pub fn new(head: Option<Vec<u8>>, groups: KeyGroupRange) -> Result<Self, BlockError> {
        let none = || BlockError::damaged("the part has no head");
        let head = block::decode_named(head.ok_or_else(none)?, groups)?;
        let (common, kinds) = head.split_first().ok_or_else(none)?;
        let common = common.schema_ref().metadata().clone();
        let mut joiner = Self { groups, common, kinds: Vec::new() };
        for kind in kinds {
            joiner.kind_of(kind.schema_ref());
        }
        Ok(joiner)
    }

    /// The batches of the next block.
    ///
    /// # Errors
    /// [`BlockError`] when it is damaged.
    pub fn block(&mut self, block: Vec<u8>) -> Result<Vec<RecordBatch>, BlockError> {
        let batches =
            block::decode_named(block, self.groups)?.into_iter().filter(|batch| batch.num_rows() > 0);
        let with_common = |batch: RecordBatch| {
            let kind = self.kind_of(batch.schema_ref());
            let (_, schema, has_rows) = &mut self.kinds[kind];
            *has_rows = true;
            batch.with_schema(schema.clone()).map_err(BlockError::damaged)
        };
        batches.map(with_common).collect()
    }

    /// An empty batch of each kind that had no rows.
    pub fn rest(self) -> impl Iterator<Item = RecordBatch> {
        let missing = self.kinds.into_iter().filter(|(_, _, has_rows)| !has_rows);
        missing.map(|(_, schema, _)| RecordBatch::new_empty(schema))
    }

    fn kind_of(&mut self, schema: &SchemaRef) -> usize {
        if let Some(known) = self.kinds.iter().position(|(of, _, _)| of == schema) {
            return known;
        }
        let mut metadata = schema.metadata().clone();
        metadata.extend(self.common.clone());
        let whole = Arc::new(Schema::new(schema.fields().clone()).with_metadata(metadata));
        self.kinds.push((schema.clone(), whole, false));
        self.kinds.len() - 1
    }
}
