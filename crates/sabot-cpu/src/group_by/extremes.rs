//! The least and the greatest value of types that are neither a word nor a plain string.

use arrow::array::{Array, ArrayRef};
use sabot_ops::{AggregateFunction, AggregateSpec};
use std::cmp::Ordering;

use super::AccumulateError;
use super::family::{GroupState, RowsOf, decoded};
use super::values::{At, NOTHING, Values};

/// The least or the greatest value of each group.
#[derive(Debug)]
pub(super) struct Extremes {
    wanted: Ordering,
    values: Values,
    best: Vec<At>,
}

impl Extremes {
    pub(super) fn new(spec: &AggregateSpec) -> Result<Self, AccumulateError> {
        let wanted = match spec.function {
            AggregateFunction::Min => Ordering::Less,
            _ => Ordering::Greater,
        };
        Ok(Self { wanted, values: Values::new(spec.result_field()?.data_type().clone()), best: Vec::new() })
    }
}

impl GroupState for Extremes {
    fn resize(&mut self, groups: usize) {
        self.best.resize(groups, NOTHING);
    }

    fn clear(&mut self) {
        self.best.clear();
        self.values.clear();
    }

    fn bytes(&self) -> usize {
        self.best.capacity() * size_of::<At>() + self.values.bytes()
    }

    fn update(&mut self, rows: &RowsOf<'_>) -> Result<(), AccumulateError> {
        self.merge(rows.ids, &[decoded(rows.argument()?)?])
    }

    fn merge(&mut self, ids: &[u32], state: &[ArrayRef]) -> Result<(), AccumulateError> {
        let array = &state[0];
        let compare = Values::comparator(array, array);
        let chunk = self.values.push(array.clone());
        let nulls = array.logical_nulls();
        let mut changed = Vec::new();
        for (row, id) in ids.iter().enumerate() {
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                continue;
            }
            let best = &mut self.best[*id as usize];
            let better = match *best {
                NOTHING => true,
                (last, old) if last == chunk => compare(row, old) == self.wanted,
                old => self.values.compare((chunk, row), old) == self.wanted,
            };
            if better {
                if best.0 != chunk {
                    changed.push(*id);
                }
                *best = (chunk, row);
            }
        }
        self.values.settle(&mut self.best, &changed)
    }

    fn state(&self, ids: &[u32]) -> Result<Vec<ArrayRef>, AccumulateError> {
        Ok(vec![self.result(ids)?])
    }

    fn result(&self, ids: &[u32]) -> Result<ArrayRef, AccumulateError> {
        self.values.gather(&ids.iter().map(|id| self.best[*id as usize]).collect::<Vec<_>>())
    }
}
