//! Rows come back as they were, equal rows have equal bytes, and nothing but a whole block is read.

mod damage;
mod forms;
mod golden;

use super::*;
use arrow::array::{ArrayRef, RecordBatch, UInt16Array};
use arrow::datatypes::{DataType, Field, Schema};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sabot_common::{Epoch, KeyGroupRange, KeyGroups};
use sabot_testkit::array::{Spread, random_array, types};
use sabot_testkit::assert_batches_equal;
use std::collections::HashMap;
use std::sync::Arc;

pub(super) const ORIGIN: Origin = Origin { generation: 3, epoch: Epoch(14) };

pub(super) fn everything() -> KeyGroupRange {
    KeyGroups::new(32_768).unwrap().all()
}

/// Rows of one column beside their ascending groups.
pub(super) fn batch_of(column: ArrayRef, groups: Vec<u16>) -> RecordBatch {
    let fields = vec![
        Field::new(GROUP, DataType::UInt16, false),
        Field::new("column", column.data_type().clone(), true),
    ];
    let schema = Schema::new(fields).with_metadata(HashMap::from([
        ("sabot.watermark".to_owned(), "-7".to_owned()),
        ("another".to_owned(), "ä".to_owned()),
        ("third".to_owned(), String::new()),
    ]));
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(UInt16Array::from(groups)), column]).unwrap()
}

pub(super) fn ascending(rng: &mut impl Rng, rows: usize, groups: u16) -> Vec<u16> {
    let mut all: Vec<u16> = (0..rows).map(|_| rng.random_range(0..groups)).collect();
    all.sort_unstable();
    all
}

#[test]
fn rows_of_every_type_come_back() {
    for (number, data_type) in types().iter().enumerate() {
        for (seed, rows) in [0usize, 1, 31, 32, 33, 65, 1023, 1025].into_iter().enumerate() {
            let mut rng = ChaCha8Rng::seed_from_u64((number * 100 + seed) as u64);
            for null_share in [0.0, 0.3, 1.0] {
                let column = random_array(&mut rng, data_type, rows, null_share, Spread::Wide);
                let groups = ascending(&mut rng, rows, 40);
                let batch = batch_of(column, groups);
                let block = encode(std::slice::from_ref(&batch), everything(), ORIGIN).unwrap();
                let back = decode(block, everything()).unwrap();
                assert_eq!(back.len(), 1);
                assert_eq!(back[0].schema(), batch.schema());
                assert_batches_equal(&back[0], &batch);
            }
        }
    }
}

#[test]
fn a_reader_gets_the_groups_that_it_asks_for() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    for rows in [0usize, 1, 50, 400] {
        let batches: Vec<RecordBatch> = [DataType::Utf8, DataType::Int64]
            .iter()
            .map(|t| {
                let column = random_array(&mut rng, t, rows, 0.2, Spread::Narrow);
                batch_of(column, ascending(&mut rng, rows, 30))
            })
            .collect();
        let block = encode(&batches, everything(), ORIGIN).unwrap();
        for (start, end) in [(0, 30), (0, 0), (29, 30), (3, 17), (17, 29), (30, 32_768)] {
            let range = KeyGroupRange { start, end };
            let parts = decode(block.as_slice(), range).unwrap();
            assert_eq!(parts.len(), 2);
            for (part, batch) in parts.iter().zip(&batches) {
                let groups = batch.column(0).as_primitive::<UInt16Type>().values();
                let first = groups.partition_point(|g| *g < start);
                let last = groups.partition_point(|g| *g < end);
                assert_eq!(part, &batch.slice(first, last - first));
            }
        }
        assert_eq!(Header::read(&block).unwrap().groups, everything());
    }
}

#[test]
fn rows_without_columns_and_blocks_without_batches() {
    assert!(decode(encode(&[], everything(), ORIGIN).unwrap(), everything()).unwrap().is_empty());
    let only =
        RecordBatch::try_from_iter([(GROUP, Arc::new(UInt16Array::from(vec![5])) as ArrayRef)]).unwrap();
    let back = decode(encode(&[only.clone(), only.slice(0, 0)], everything(), ORIGIN).unwrap(), everything())
        .unwrap();
    assert_eq!(back, [only.clone(), only.slice(0, 0)]);
}

#[test]
fn the_origin_is_in_the_bytes_and_not_in_the_content() {
    let batch = batch_of(Arc::new(UInt16Array::from(vec![1, 2])), vec![0, 1]);
    let first = encode(std::slice::from_ref(&batch), everything(), ORIGIN).unwrap();
    let second = encode(&[batch], everything(), Origin { epoch: Epoch(15), ..ORIGIN }).unwrap();
    assert_ne!(first, second);
    let (a, b) = (Header::read(&first).unwrap(), Header::read(&second).unwrap());
    assert_eq!((a.content, a.origin, b.origin.epoch), (b.content, ORIGIN, Epoch(15)));
}

#[test]
fn rows_out_of_order_are_refused() {
    let column = || Arc::new(UInt16Array::from(vec![1, 2])) as ArrayRef;
    let said = |batch| encode(&[batch], everything(), ORIGIN).unwrap_err().to_string();
    assert!(said(batch_of(column(), vec![4, 3])).contains("key group 3 at row 1 is not in ascending order"));
    assert!(said(batch_of(column(), vec![4, u16::MAX])).contains("key group 65535 in a block of 0..32768"));
    let without = RecordBatch::try_from_iter([("a", column())]).unwrap();
    assert!(said(without).contains("there is no column __sabot.group of uint16"));
    let null = Arc::new(UInt16Array::from(vec![Some(1), None])) as ArrayRef;
    assert!(said(RecordBatch::try_from_iter([(GROUP, null)]).unwrap()).contains("__sabot.group is null"));
}
