//! A table of counters against a map.

use super::*;
use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int64Type, UInt16Type};
use arrow::error::ArrowError;
use sabot_batch::key_hash::KeyHasher;
use sabot_batch::key_index::KeyBatch;
use sabot_common::KeyGroups;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The simplest state there is: one number a key, added up.
#[derive(Debug, Default)]
struct Totals(Vec<i64>);

impl StateColumns for Totals {
    type Error = ArrowError;

    fn fields(&self) -> Vec<Field> {
        vec![Field::new("total", DataType::Int64, false)]
    }

    fn resize(&mut self, len: usize) {
        self.0.resize(len, 0);
    }

    fn snapshot(&self, ids: &[u32]) -> Result<Vec<ArrayRef>, ArrowError> {
        let picked = ids.iter().map(|id| self.0[*id as usize]);
        Ok(vec![Arc::new(Int64Array::from_iter_values(picked))])
    }

    fn merge(&mut self, ids: &[u32], columns: &[ArrayRef]) -> Result<(), ArrowError> {
        for (id, value) in ids.iter().zip(columns[0].as_primitive::<Int64Type>().values()) {
            self.0[*id as usize] += value;
        }
        Ok(())
    }

    fn clear(&mut self) {
        self.0.clear();
    }

    fn bytes(&self) -> usize {
        self.0.capacity() * 8
    }
}

fn table(groups: u16) -> KeyedTable<Totals> {
    let keys = [Field::new("name", DataType::Utf8, true)];
    KeyedTable::new(&keys, Keying::new(KeyGroups::new(groups).unwrap(), 5), Totals::default()).unwrap()
}

fn add(table: &mut KeyedTable<Totals>, names: &[Option<&str>]) {
    let column: ArrayRef = Arc::new(StringArray::from(names.to_vec()));
    let (mut hashes, mut ids) = (Vec::new(), Vec::new());
    KeyHasher::new(5).hash_columns(std::slice::from_ref(&column), &mut hashes).unwrap();
    let keys = [column];
    let batch = KeyBatch::new(table.keys().types(), &keys, names.len()).unwrap();
    table.upsert(&batch, 0..names.len(), &hashes, &mut ids).unwrap();
    ids.iter().for_each(|id| table.state_mut().0[*id as usize] += 1);
}

fn totals(batch: &RecordBatch) -> BTreeMap<Option<String>, i64> {
    let names = batch.column_by_name("name").unwrap().as_string::<i32>();
    let totals = batch.column_by_name("total").unwrap().as_primitive::<Int64Type>();
    names.iter().map(|n| n.map(str::to_owned)).zip(totals.values().iter().copied()).collect()
}

fn filled(groups: u16) -> (KeyedTable<Totals>, BTreeMap<Option<String>, i64>) {
    let mut table = table(groups);
    let mut expected = BTreeMap::new();
    let mut number = 7u64;
    for _ in 0..20 {
        let names: Vec<Option<String>> = (0..50)
            .map(|_| {
                number = number.wrapping_mul(6364136223846793005).wrapping_add(1);
                (number >> 60 != 0).then(|| format!("key number {}", (number >> 33) % 300))
            })
            .collect();
        names.iter().for_each(|n| *expected.entry(n.clone()).or_insert(0) += 1);
        add(&mut table, &names.iter().map(|n| n.as_deref()).collect::<Vec<_>>());
    }
    (table, expected)
}

#[test]
fn snapshots_are_contiguous_by_group_and_cover_everything_once() {
    for groups in [1, 2, 128, 32_768] {
        let (table, expected) = filled(groups);
        let key_groups = KeyGroups::new(groups).unwrap();
        for parallelism in [1, 3, 5] {
            let parts: Vec<RecordBatch> = (0..parallelism)
                .map(|task| {
                    let range = key_groups.range_of_task(task, parallelism);
                    let batch = table.snapshot(range).unwrap();
                    let groups = batch.column(0).as_primitive::<UInt16Type>();
                    assert!(groups.values().is_sorted());
                    assert!(groups.values().iter().all(|g| range.contains(*g)));
                    batch
                })
                .collect();
            let all = concat_batches(table.snapshot_schema(), &parts).unwrap();
            assert_eq!(all.num_rows(), table.len());
            assert_eq!(totals(&all), expected);
        }
    }
}

#[test]
fn restoring_slices_in_any_order_gives_the_state_back() {
    let (first, expected) = filled(128);
    let groups = KeyGroups::new(128).unwrap();
    let mut second = table(128);
    for (start, end) in [(100, 128), (0, 0), (3, 100), (0, 3)] {
        second.restore(&first.snapshot(groups.range(start..end).unwrap()).unwrap()).unwrap();
    }
    assert_eq!(totals(&second.snapshot(groups.all()).unwrap()), expected);
    // Adding the same rows again must find the restored keys.
    add(&mut second, &[None]);
    let doubled = totals(&second.snapshot(groups.all()).unwrap());
    assert_eq!(doubled[&None], expected[&None] + 1);
    assert_eq!(doubled.len(), expected.len());
}

#[test]
fn canary_a_slice_left_out_is_missed() {
    let (first, expected) = filled(128);
    let groups = KeyGroups::new(128).unwrap();
    let mut second = table(128);
    second.restore(&first.snapshot(groups.range(0..64).unwrap()).unwrap()).unwrap();
    assert_ne!(totals(&second.snapshot(groups.all()).unwrap()), expected);
}

#[test]
fn clearing_keeps_the_memory() {
    let (mut table, _) = filled(128);
    let bytes = table.bytes();
    table.clear();
    assert!(table.is_empty());
    assert!(table.bytes() > bytes / 2);
    add(&mut table, &[Some("a")]);
    assert_eq!((table.len(), table.state().0.as_slice()), (1, [1].as_slice()));
}

#[test]
fn snapshots_of_something_else_are_refused() {
    let (first, _) = filled(128);
    let all = KeyGroups::new(128).unwrap().all();
    let batch = first.snapshot(all).unwrap();
    let error = table(64).restore(&batch).unwrap_err();
    assert!(matches!(error, StateError::Group { groups: 64, .. }), "{error}");
    let error = table(128).restore(&batch.project(&[0, 2, 1]).unwrap()).unwrap_err();
    assert!(error.to_string().contains("total Int64, name Utf8"), "{error}");
}

#[test]
fn the_empty_key_belongs_to_the_first_group() {
    let groups = KeyGroups::new(128).unwrap();
    let mut table = KeyedTable::new(&[], Keying::new(groups, 5), Totals::default()).unwrap();
    let batch = KeyBatch::new(&[], &[], 2).unwrap();
    let mut ids = Vec::new();
    table.upsert(&batch, 0..2, &[u64::MAX; 2], &mut ids).unwrap();
    assert_eq!(ids, [0, 0]);
    let first = table.snapshot(groups.range(0..1).unwrap()).unwrap();
    assert_eq!(first.num_rows(), 1);
    let mut second = KeyedTable::new(&[], Keying::new(groups, 5), Totals::default()).unwrap();
    second.restore(&first).unwrap();
    assert_eq!(second.len(), 1);
}
