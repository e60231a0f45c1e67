//! Partition: rows to the tasks that own their keys.
//!
//! Hashes are computed once for the whole morsel, or read when rows bring them along. A counting sort
//! by target gives one list of indices, each column is taken once in that order, and each target gets a
//! slice of the result.

use arrow::array::{Array, AsArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{Schema, SchemaRef, UInt64Type};
use sabot_batch::key_hash::KeyHasher;
use sabot_batch::{RowKinds, hidden, unpaired};
use sabot_common::KeyGroups;
use sabot_ops::{Failure, PartitionSpec};
use std::sync::Arc;

use crate::backend::Halt;
use crate::expr::arrow_bug;
use crate::rows::Rows;

/// A partition step, with memory for the hashes of a morsel.
#[derive(Clone, Debug)]
pub(crate) struct Partition {
    keys: Vec<usize>,
    hasher: KeyHasher,
    /// Where the input carries key hashes.
    given: Option<usize>,
    groups: KeyGroups,
    /// The task of each key group: a look-up instead of a division per row.
    owners: Arc<[u32]>,
    targets: usize,
    hashes: Vec<u64>,
}

impl Partition {
    pub(crate) fn new(spec: &PartitionSpec, input: &SchemaRef) -> Self {
        let targets = spec.parallelism as usize;
        // Tasks are counted by a u32 in the spec.
        let task = |group: u16| spec.key_groups.task_of_group(group, targets) as u32;
        Self {
            keys: spec.keys.clone(),
            hasher: KeyHasher::new(spec.seed),
            given: input.index_of(hidden::HASH).ok(),
            groups: spec.key_groups,
            owners: (0..spec.key_groups.count()).map(task).collect(),
            targets,
            hashes: Vec::new(),
        }
    }

    /// The rows of each target that has any, in the order of targets; within one, in their own order.
    ///
    /// # Errors
    /// Only when the rows are not of the step's input schema.
    pub(crate) fn apply(&mut self, mut rows: Rows) -> Result<Vec<(u32, Rows)>, Halt> {
        if self.targets == 1 {
            return Ok(vec![(0, rows)]);
        }
        // Pairs are told by their neighbours, which only dense rows have in the right places.
        if rows.is_sparse() || matches!(rows.kinds(), RowKinds::PerRow(_)) {
            rows = rows.compact()?;
        }
        if u32::try_from(rows.len()).is_err() {
            return Err(Halt::internal(format!(
                "{} rows in one morsel; at most {} are possible",
                rows.len(),
                u32::MAX
            )));
        }
        let targets = self.targets_of(&rows)?;
        let (ends, order) = sort_by_target(&targets, &rows, self.targets);
        if let Some(only) = ends.iter().position(|end| *end == rows.live())
            && (only == 0 || ends[only - 1] == 0)
        {
            return Ok(vec![(only as u32, rows)]);
        }
        let order = UInt32Array::from(order);
        let columns = rows.columns().iter().map(|c| take(c, &order, None)).collect::<Result<Vec<_>, _>>();
        let columns = columns.map_err(arrow_bug)?;
        let mut parts = Vec::with_capacity(self.targets);
        let mut start = 0;
        for (target, end) in ends.into_iter().enumerate() {
            if end > start {
                let length = end - start;
                let slices = columns.iter().map(|c| c.slice(start, length)).collect();
                let kinds = kinds_of(rows.kinds(), &order.values()[start..end], &targets);
                parts.push((target as u32, Rows::dense(slices, length, kinds)));
            }
            start = end;
        }
        Ok(parts)
    }

    /// The target of each row, dead ones included.
    fn targets_of(&mut self, rows: &Rows) -> Result<Vec<u32>, Failure> {
        let hashes = match self.given {
            Some(index) => {
                let column = rows.columns().get(index).and_then(|c| c.as_primitive_opt::<UInt64Type>());
                let missing =
                    || Failure::Internal(format!("partition without a uint64 column {}", hidden::HASH));
                column.ok_or_else(missing)?.values().as_ref()
            }
            None => {
                let batch = self.key_batch(rows)?;
                let all: Vec<usize> = (0..self.keys.len()).collect();
                let hashed = self.hasher.hash_batch_columns(&batch, &all, &mut self.hashes);
                hashed.map_err(|e| Failure::Internal(format!("partition: {e}")))?;
                self.hashes.as_slice()
            }
        };
        Ok(hashes.iter().map(|hash| self.owners[usize::from(self.groups.group_of(*hash))]).collect())
    }

    /// The key columns alone, as a batch that knows its rows even without columns.
    fn key_batch(&self, rows: &Rows) -> Result<RecordBatch, Failure> {
        let mut fields = Vec::with_capacity(self.keys.len());
        let mut columns = Vec::with_capacity(self.keys.len());
        for index in &self.keys {
            let missing = || Failure::Internal(format!("partition by column {index}, which is not there"));
            let column = rows.columns().get(*index).ok_or_else(missing)?;
            fields.push(arrow::datatypes::Field::new(index.to_string(), column.data_type().clone(), true));
            columns.push(column.clone());
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        RecordBatch::try_new_with_options(Schema::new(fields).into(), columns, &options).map_err(arrow_bug)
    }
}

/// Where each target's rows end in the sorted order, and the live rows in that order.
fn sort_by_target(targets: &[u32], rows: &Rows, count: usize) -> (Vec<usize>, Vec<u32>) {
    let mut next = vec![0usize; count];
    each_live(rows, |row| next[targets[row] as usize] += 1);
    // From counts to the first place of each target.
    let mut start = 0;
    for place in &mut next {
        start += std::mem::replace(place, start);
    }
    let mut order = vec![0u32; rows.live()];
    each_live(rows, |row| {
        let place = &mut next[targets[row] as usize];
        order[*place] = row as u32; // Rows are fewer than 2^32: checked by the caller.
        *place += 1;
    });
    (next, order)
}

fn each_live(rows: &Rows, mut f: impl FnMut(usize)) {
    match rows.alive() {
        Some(alive) => alive.set_indices().for_each(&mut f),
        None => (0..rows.len()).for_each(&mut f),
    }
}

/// Kinds of the rows of one target. An update pair stays one only if both halves go there.
fn kinds_of(kinds: &RowKinds, rows: &[u32], targets: &[u32]) -> RowKinds {
    match kinds {
        RowKinds::AllInsert => RowKinds::AllInsert,
        RowKinds::PerRow(kinds) => {
            let kind = |row: &u32| {
                let row = *row as usize;
                unpaired(kinds, row, |other| targets[other] == targets[row])
            };
            RowKinds::PerRow(rows.iter().map(kind).collect())
        }
    }
}
