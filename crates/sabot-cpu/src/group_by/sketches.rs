//! Sketches by group: how many different values, and where values lie.

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Float64Array, Int64Array};
use arrow::datatypes::Float64Type;
use sabot_batch::key_hash::KeyHasher;
use sabot_ops::Quantile;
use sabot_ops::sketch::{DdSketch, HLL_SEED, HyperLogLog};
use std::sync::Arc;

use super::AccumulateError;
use super::family::{GroupState, RowsOf, doubles};

/// One HyperLogLog a group.
#[derive(Debug, Default)]
pub(super) struct Cardinalities {
    sketches: Vec<HyperLogLog>,
    /// What the sketches have allocated.
    heap: usize,
}

impl Cardinalities {
    fn change(&mut self, id: u32, change: impl FnOnce(&mut HyperLogLog)) {
        let sketch = &mut self.sketches[id as usize];
        let before = sketch.allocated_bytes();
        change(sketch);
        self.heap = self.heap + sketch.allocated_bytes() - before;
    }
}

impl GroupState for Cardinalities {
    fn resize(&mut self, groups: usize) {
        self.sketches.resize_with(groups, HyperLogLog::default);
    }

    fn clear(&mut self) {
        self.sketches.clear();
        self.heap = 0;
    }

    fn bytes(&self) -> usize {
        self.sketches.capacity() * size_of::<HyperLogLog>() + self.heap
    }

    fn update(&mut self, rows: &RowsOf<'_>) -> Result<(), AccumulateError> {
        let values = rows.argument()?;
        let mut hashes = Vec::new();
        let hashed = KeyHasher::new(HLL_SEED).hash_columns(std::slice::from_ref(values), &mut hashes);
        hashed.map_err(AccumulateError::input)?;
        let nulls = values.logical_nulls();
        for (row, (id, hash)) in rows.ids.iter().zip(hashes).enumerate() {
            if nulls.as_ref().is_none_or(|n| n.is_valid(row)) {
                self.change(*id, |sketch| sketch.add_hash(hash));
            }
        }
        Ok(())
    }

    fn merge(&mut self, ids: &[u32], state: &[ArrayRef]) -> Result<(), AccumulateError> {
        let sketches = state[0].as_binary::<i32>();
        for (id, bytes) in ids.iter().zip(sketches.iter()) {
            let other = HyperLogLog::from_bytes(bytes.unwrap_or_default()).map_err(AccumulateError::input)?;
            self.change(*id, |sketch| sketch.merge(&other));
        }
        Ok(())
    }

    fn state(&self, ids: &[u32]) -> Result<Vec<ArrayRef>, AccumulateError> {
        let bytes = ids.iter().map(|id| self.sketches[*id as usize].to_bytes());
        Ok(vec![Arc::new(BinaryArray::from_iter_values(bytes))])
    }

    fn result(&self, ids: &[u32]) -> Result<ArrayRef, AccumulateError> {
        let estimates = ids.iter().map(|id| self.sketches[*id as usize].estimate());
        Ok(Arc::new(Int64Array::from_iter_values(estimates)))
    }
}

/// One DDSketch a group.
#[derive(Debug)]
pub(super) struct Quantiles {
    quantile: Quantile,
    sketches: Vec<DdSketch>,
    heap: usize,
}

impl Quantiles {
    pub(super) fn new(quantile: Quantile) -> Self {
        Self { quantile, sketches: Vec::new(), heap: 0 }
    }

    fn change<T>(&mut self, id: u32, change: impl FnOnce(&mut DdSketch) -> T) -> T {
        let sketch = &mut self.sketches[id as usize];
        let before = sketch.allocated_bytes();
        let changed = change(sketch);
        self.heap = self.heap + sketch.allocated_bytes() - before;
        changed
    }
}

impl GroupState for Quantiles {
    fn resize(&mut self, groups: usize) {
        self.sketches.resize_with(groups, DdSketch::default);
    }

    fn clear(&mut self) {
        self.sketches.clear();
        self.heap = 0;
    }

    fn bytes(&self) -> usize {
        self.sketches.capacity() * size_of::<DdSketch>() + self.heap
    }

    fn update(&mut self, rows: &RowsOf<'_>) -> Result<(), AccumulateError> {
        let values = doubles(rows.argument()?)?;
        let values = values.as_primitive::<Float64Type>();
        for (id, value) in rows.ids.iter().zip(values) {
            if let Some(value) = value {
                self.change(*id, |sketch| sketch.add(value));
            }
        }
        Ok(())
    }

    fn merge(&mut self, ids: &[u32], state: &[ArrayRef]) -> Result<(), AccumulateError> {
        let sketches = state[0].as_binary::<i32>();
        for (id, bytes) in ids.iter().zip(sketches.iter()) {
            let other = DdSketch::from_bytes(bytes.unwrap_or_default()).map_err(AccumulateError::input)?;
            let merged = self.change(*id, |sketch| sketch.merge(&other));
            merged.ok_or_else(|| AccumulateError::input("a bucket of a sketch counts beyond 64 bits"))?;
        }
        Ok(())
    }

    fn state(&self, ids: &[u32]) -> Result<Vec<ArrayRef>, AccumulateError> {
        let bytes = ids.iter().map(|id| self.sketches[*id as usize].to_bytes());
        Ok(vec![Arc::new(BinaryArray::from_iter_values(bytes))])
    }

    fn result(&self, ids: &[u32]) -> Result<ArrayRef, AccumulateError> {
        let values = ids.iter().map(|id| self.sketches[*id as usize].quantile(self.quantile));
        Ok(Arc::new(values.collect::<Float64Array>()))
    }
}
