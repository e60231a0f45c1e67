//! Histories as rows, and back.

use super::tests::{aggregate, at, last_of, schema, within};
use super::*;
use arrow::array::UInt64Array;
use arrow::compute::take_record_batch;
use sabot_ops::AggregateFunction;

#[test]
fn a_snapshot_of_another_spec_is_refused() {
    let spec = last_of(within(10), aggregate(AggregateFunction::Sum, Some(2)));
    let mut rolling = Rolling::new(&spec, &schema(), Turn::InOrder, 0).unwrap();
    rolling.run(&at(&[(5, "a", 1), (6, "a", 2)])).unwrap();
    let snapshot = rolling.snapshot().unwrap().remove(0);
    let other = last_of(within(10), aggregate(AggregateFunction::Sum, Some(4)));
    let mut other = Rolling::new(&other, &schema(), Turn::InOrder, 0).unwrap();
    assert!(other.restore(&snapshot).unwrap_err().to_string().contains("a snapshot of other values"));
    let mut fresh = Rolling::new(&spec, &schema(), Turn::InOrder, 0).unwrap();
    let error = fresh.restore(&snapshot.slice(1, 1)).unwrap_err().to_string();
    assert!(error.contains("lacks rows before row 1 of a key"), "{error}");
    let order = UInt64Array::from(vec![0u64]);
    fresh = Rolling::new(&spec, &schema(), Turn::InOrder, 0).unwrap();
    fresh.restore(&take_record_batch(&snapshot, &order).unwrap()).unwrap();
    assert!(!fresh.is_empty());
}

#[test]
fn what_is_behind_is_added_and_a_whole_takes_the_place_of_what_is_there() {
    let spec = last_of(within(10), aggregate(AggregateFunction::Sum, Some(2)));
    let mut rolling = Rolling::new(&spec, &schema(), Turn::InOrder, 0).unwrap();
    rolling.run(&at(&[(5, "a", 1), (6, "a", 2), (6, "b", 5)])).unwrap();
    assert_eq!((rolling.rows_of(0), rolling.time_of(0, 1), rolling.time_of(0, 2)), (0..2, Some(6), None));
    let whole = rolling.snapshot().unwrap().remove(0);
    rolling.run(&at(&[(7, "a", 4)])).unwrap();
    let piece = |numbers, is_whole| Piece { key: 0, numbers, is_whole };
    let behind = rolling.write(&[piece(2..3, false)]).unwrap();
    let restored = |newest_first: &[&RecordBatch]| {
        let mut copy = Rolling::new(&spec, &schema(), Turn::InOrder, 1).unwrap();
        let rows: Vec<RecordBatch> = newest_first.iter().map(|rows| (*rows).clone()).collect();
        copy.restore_newest(&rows).map(|()| copy.snapshot().unwrap())
    };
    assert_eq!(restored(&[&behind, &whole]).unwrap(), rolling.snapshot().unwrap());
    let error = restored(&[&behind]).unwrap_err().to_string();
    assert!(error.contains("lacks rows before row 2 of a key"), "{error}");

    // The key begins anew, and what was before is as good as not there: here its whole is, and not what was behind it.
    rolling.run(&at(&[(50, "a", 8)])).unwrap();
    let anew = rolling.write(&[piece(0..1, true)]).unwrap();
    assert_eq!(restored(&[&anew, &behind, &whole]).unwrap(), rolling.snapshot().unwrap());
    assert_eq!(restored(&[&anew, &whole]).unwrap(), rolling.snapshot().unwrap());
}
