//! How many different values there are, exactly and about.

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Int64Array, ListArray, make_comparator};
use arrow::buffer::OffsetBuffer;
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, FieldRef};
use sabot_batch::key_hash::{KeyValue, reference_hash};
use sabot_expr::RowErrorKind;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::state::{Row, State, column};
use crate::reference::internal;
use crate::reference::key::{Canonical, canonical_column};
use crate::sketch::{HLL_SEED, HyperLogLog};
use crate::{AggregateSpec, Failure};

/// Every value once.
pub(super) struct Distinct {
    values: BTreeMap<Canonical, ArrayRef>,
    item: FieldRef,
}

impl Distinct {
    pub(super) fn new(aggregate: &AggregateSpec) -> Result<Self, Failure> {
        let state = aggregate.state_fields().map_err(internal)?;
        let DataType::List(item) = state[0].data_type() else {
            return Err(internal("a set that is no list"));
        };
        Ok(Self { values: BTreeMap::new(), item: item.clone() })
    }

    fn insert(&mut self, value: &ArrayRef) -> Result<(), Failure> {
        if value.is_valid(0) {
            let canonical = canonical_column(value)?;
            let key = KeyValue::from_array(canonical.as_ref(), 0).map_err(internal)?;
            self.values.entry(Canonical::from(&key)).or_insert(canonical);
        }
        Ok(())
    }
}

impl State for Distinct {
    fn add(&mut self, row: &Row<'_>) -> Result<(), Failure> {
        self.insert(&row.arguments[0])
    }

    fn merge(&mut self, parts: &[ArrayRef]) -> Result<(), Failure> {
        let items = parts[0].as_list::<i32>().value(0);
        (0..items.len()).try_for_each(|i| self.insert(&items.slice(i, 1)))
    }

    /// The values in their order.
    fn parts(&self) -> Result<Vec<ArrayRef>, Failure> {
        let values: Vec<ArrayRef> = self.values.values().cloned().collect();
        let all = column(self.item.data_type(), &values)?;
        let compare = make_comparator(&all, &all, SortOptions::default()).map_err(internal)?;
        let mut order: Vec<usize> = (0..all.len()).collect();
        order.sort_by(|a, b| compare(*a, *b));
        let sorted: Vec<ArrayRef> = order.into_iter().map(|i| all.slice(i, 1)).collect();
        Ok(vec![one_list(&self.item, &sorted)?])
    }

    fn result(&self) -> Result<Result<ArrayRef, RowErrorKind>, Failure> {
        let count = i64::try_from(self.values.len()).map_err(internal)?;
        Ok(Ok(Arc::new(Int64Array::from(vec![count]))))
    }
}

/// An array of one list.
pub(super) fn one_list(item: &FieldRef, items: &[ArrayRef]) -> Result<ArrayRef, Failure> {
    let offsets = OffsetBuffer::from_lengths([items.len()]);
    let values = column(item.data_type(), items)?;
    Ok(Arc::new(ListArray::try_new(item.clone(), offsets, values, None).map_err(internal)?))
}

/// A sketch of the values.
#[derive(Default)]
pub(super) struct Hll(HyperLogLog);

impl State for Hll {
    fn add(&mut self, row: &Row<'_>) -> Result<(), Failure> {
        if row.arguments[0].logical_nulls().is_none_or(|nulls| nulls.is_valid(0)) {
            let key = KeyValue::from_array(row.arguments[0].as_ref(), 0).map_err(internal)?;
            self.0.add_hash(reference_hash(HLL_SEED, &[key]));
        }
        Ok(())
    }

    fn merge(&mut self, parts: &[ArrayRef]) -> Result<(), Failure> {
        let bytes = parts[0].as_binary::<i32>().value(0);
        self.0.merge(&HyperLogLog::from_bytes(bytes).map_err(internal)?);
        Ok(())
    }

    fn parts(&self) -> Result<Vec<ArrayRef>, Failure> {
        Ok(vec![Arc::new(BinaryArray::from_vec(vec![&self.0.to_bytes()]))])
    }

    fn result(&self) -> Result<Result<ArrayRef, RowErrorKind>, Failure> {
        Ok(Ok(Arc::new(Int64Array::from(vec![self.0.estimate()]))))
    }
}
