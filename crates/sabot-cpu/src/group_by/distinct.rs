//! Different values by group, exactly: one index over pairs of group and value.

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray, UInt32Array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{filter, is_not_null};
use arrow::datatypes::{DataType, FieldRef};
use sabot_batch::key_index::{KeyBatch, KeyIndex};
use sabot_ops::AggregateSpec;
use std::sync::Arc;

use super::AccumulateError;
use super::family::{GroupState, RowsOf};

/// The seed of the index's own hash, which nobody else sees.
const SEED: u64 = 0;

/// The different values of each group.
#[derive(Debug)]
pub(super) struct DistinctSets {
    item: FieldRef,
    types: [DataType; 2],
    pairs: KeyIndex,
    /// The group of each pair, by its id.
    groups: Vec<u32>,
    counts: Vec<i64>,
    hashes: Vec<u64>,
    found: Vec<u32>,
}

impl DistinctSets {
    pub(super) fn new(spec: &AggregateSpec) -> Result<Self, AccumulateError> {
        let state = spec.state_fields()?;
        let Some(DataType::List(item)) = state.first().map(|f| f.data_type()) else {
            return Err(AccumulateError::input("a set that is no list"));
        };
        let types = [DataType::UInt32, item.data_type().clone()];
        Ok(Self {
            item: item.clone(),
            pairs: KeyIndex::new(&types)?,
            types,
            groups: Vec::new(),
            counts: Vec::new(),
            hashes: Vec::new(),
            found: Vec::new(),
        })
    }

    /// Adds values, none of them null: value `i` to group `ids[i]`.
    fn insert(&mut self, ids: &ArrayRef, values: &ArrayRef) -> Result<(), AccumulateError> {
        let columns = [ids.clone(), values.clone()];
        let batch = KeyBatch::new(&self.types, &columns, ids.len())?;
        batch.quick_hashes(SEED, &mut self.hashes);
        self.pairs.upsert_rows(&batch, 0..ids.len(), &self.hashes, &mut self.found)?;
        let ids = ids.as_primitive::<arrow::datatypes::UInt32Type>().values();
        for (group, pair) in ids.iter().zip(&self.found) {
            // Ids of pairs are dense and in order of first appearance.
            if *pair as usize == self.groups.len() {
                self.groups.push(*group);
                self.counts[*group as usize] += 1;
            }
        }
        Ok(())
    }
}

impl GroupState for DistinctSets {
    fn resize(&mut self, groups: usize) {
        self.counts.resize(groups, 0);
    }

    fn clear(&mut self) {
        self.pairs.clear();
        self.groups.clear();
        self.counts.clear();
    }

    fn bytes(&self) -> usize {
        self.pairs.bytes()
            + self.groups.capacity() * size_of::<u32>()
            + self.counts.capacity() * size_of::<i64>()
    }

    fn update(&mut self, rows: &RowsOf<'_>) -> Result<(), AccumulateError> {
        let values = rows.argument()?;
        let ids: ArrayRef = Arc::new(UInt32Array::from(rows.ids.to_vec()));
        // A dictionary may have nulls among its values.
        if values.logical_null_count() == 0 {
            return self.insert(&ids, values);
        }
        let present = match values.logical_nulls() {
            Some(nulls) => arrow::array::BooleanArray::new(nulls.into_inner(), None),
            None => is_not_null(values).map_err(AccumulateError::input)?,
        };
        let ids = filter(&ids, &present).map_err(AccumulateError::input)?;
        let values = filter(values, &present).map_err(AccumulateError::input)?;
        self.insert(&ids, &values)
    }

    fn merge(&mut self, ids: &[u32], state: &[ArrayRef]) -> Result<(), AccumulateError> {
        let lists = state[0].as_list::<i32>();
        let offsets = lists.value_offsets();
        let (start, end) = (offsets[0], offsets[offsets.len() - 1]);
        let values = lists.values().slice(start as usize, (end - start) as usize);
        let repeated = ids.iter().zip(offsets.windows(2));
        let repeated = repeated.flat_map(|(id, ends)| std::iter::repeat_n(*id, (ends[1] - ends[0]) as usize));
        let ids: ArrayRef = Arc::new(UInt32Array::from_iter_values(repeated));
        self.insert(&ids, &values)
    }

    /// The values of each group in their order.
    fn state(&self, ids: &[u32]) -> Result<Vec<ArrayRef>, AccumulateError> {
        let mut sorted = Vec::new();
        // By group, then by value.
        self.pairs.sorted_ids(&mut sorted);
        let mut starts = vec![0usize; self.counts.len() + 1];
        for (group, count) in self.counts.iter().enumerate() {
            starts[group + 1] = starts[group] + *count as usize;
        }
        let mut wanted = Vec::new();
        for id in ids {
            let id = *id as usize;
            wanted.extend_from_slice(&sorted[starts[id]..starts[id + 1]]);
        }
        i32::try_from(wanted.len())
            .map_err(|_| AccumulateError::input("more than 2³¹ different values in one column"))?;
        let mut columns = self.pairs.take(&wanted)?;
        let values = columns.pop().ok_or_else(|| AccumulateError::input("pairs without values"))?;
        let offsets = OffsetBuffer::from_lengths(ids.iter().map(|id| self.counts[*id as usize] as usize));
        let lists = ListArray::try_new(self.item.clone(), offsets, values, None);
        Ok(vec![Arc::new(lists.map_err(AccumulateError::input)?)])
    }

    fn result(&self, ids: &[u32]) -> Result<ArrayRef, AccumulateError> {
        Ok(Arc::new(Int64Array::from_iter_values(ids.iter().map(|id| self.counts[*id as usize]))))
    }
}
