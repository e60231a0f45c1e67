//! Ranked rows held against the reference, and against orders written down by hand.

use super::*;
use arrow::array::{Float64Array, Int32Array, StringArray, UInt32Array, UInt64Array};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, SchemaRef};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sabot_ops::reference;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("k", DataType::Utf8, true),
        Field::new("x", DataType::Float64, true),
        Field::new("n", DataType::Int32, true),
        hidden::field(hidden::TIME).unwrap(),
        hidden::field(hidden::LATE).unwrap(),
        hidden::field(hidden::PARTITION).unwrap(),
        hidden::field(hidden::ROW).unwrap(),
    ]))
}

/// Few distinct values, so that ties are common; row numbers in no order.
fn batch(rng: &mut ChaCha8Rng, rows: usize) -> RecordBatch {
    let floats = [0.0, -0.0, f64::NAN, -f64::NAN, 1.5, -1.5, f64::INFINITY, f64::NEG_INFINITY];
    let texts = ["", "a", "ab", "b", "Zürich"];
    let k: StringArray =
        (0..rows).map(|_| rng.random_ratio(5, 6).then(|| texts.choose(rng).copied()).flatten()).collect();
    let x: Float64Array =
        (0..rows).map(|_| rng.random_ratio(5, 6).then(|| *floats.choose(rng).unwrap())).collect();
    let n: Int32Array = (0..rows).map(|_| rng.random_ratio(5, 6).then(|| rng.random_range(-2..3))).collect();
    let time = Int64Array::from_iter_values((0..rows).map(|_| rng.random_range(0..3)));
    let late = Int64Array::from_iter_values((0..rows).map(|_| rng.random_range(0..2)));
    let partition = UInt32Array::from_iter_values((0..rows).map(|_| rng.random_range(0..2)));
    let row = UInt64Array::from_iter_values((0..rows).map(|_| rng.random_range(0..40)));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(k),
        Arc::new(x),
        Arc::new(n),
        Arc::new(time),
        Arc::new(late),
        Arc::new(partition),
        Arc::new(row),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

fn spec(rng: &mut ChaCha8Rng) -> RankSpec {
    let keys = |rng: &mut ChaCha8Rng| -> Vec<usize> {
        let many = rng.random_range(0..3);
        (0..many).map(|_| rng.random_range(0..3)).collect()
    };
    let order = |column: usize, rng: &mut ChaCha8Rng| SortKey {
        column,
        descending: rng.random(),
        nulls_first: rng.random(),
    };
    let columns = keys(rng);
    RankSpec {
        groups: keys(rng),
        order: columns.into_iter().map(|column| order(column, rng)).collect(),
        backwards: rng.random(),
        skip: rng.random_range(0..3),
        fetch: rng.random_ratio(2, 3).then(|| rng.random_range(0..6)),
    }
}

/// Groups, numbers and rows as the reference gives them, however the rows are cut.
fn check(spec: &RankSpec, parts: &[RecordBatch]) -> Result<(), String> {
    let all = concat_batches(&schema(), parts).unwrap();
    let expected = reference::rank(spec, &all).unwrap();
    let order = RankOrder::new(spec, &schema()).unwrap();
    let keys: Vec<RankKeys> = parts.iter().map(|part| order.encode(part).unwrap()).collect();
    let starts: Vec<usize> =
        parts.iter().scan(0, |at, part| Some(std::mem::replace(at, *at + part.num_rows()))).collect();
    let got = order.rank(&keys.iter().collect::<Vec<_>>(), false);
    let got: Vec<_> = got
        .iter()
        .map(|r| reference::RankedRow { row: starts[r.batch as usize] + r.row as usize, number: r.number })
        .collect();
    if got == expected { Ok(()) } else { Err(format!("{spec}: {got:?} instead of {expected:?}")) }
}

#[test]
fn random_orders_are_those_of_the_reference() {
    for seed in 0..400 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let parts: Vec<RecordBatch> = (0..rng.random_range(1..4))
            .map(|_| {
                let rows = rng.random_range(0..25);
                batch(&mut rng, rows)
            })
            .collect();
        let spec = spec(&mut rng);
        check(&spec, &parts).unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"));
    }
}

#[test]
fn every_size_and_a_slice() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    for rows in [0, 1, 31, 32, 33, 65, 1023, 1025] {
        let whole = batch(&mut rng, rows + 5);
        let spec = RankSpec {
            order: vec![SortKey::descending(1)],
            skip: 1,
            fetch: Some(700),
            ..RankSpec::default()
        };
        check(&spec, &[whole.slice(3, rows), whole.slice(0, 3)]).unwrap();
    }
}

/// What lies under a null must not matter.
#[test]
fn poisoned_values_under_nulls_and_columns_of_nulls() {
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let base = batch(&mut rng, 65);
    let poisoned = Int32Array::new(
        (0..65).map(|i| i * 7919 % 13).collect(),
        Some((0..65).map(|i| i % 3 != 0).collect()),
    );
    let nulls = Float64Array::new_null(65);
    let mut columns = base.columns().to_vec();
    columns[2] = Arc::new(poisoned);
    columns[1] = Arc::new(nulls);
    let rows = RecordBatch::try_new(schema(), columns).unwrap();
    for nulls_first in [true, false] {
        let order = vec![SortKey { nulls_first, ..SortKey::ascending(2) }, SortKey::ascending(1)];
        check(&RankSpec { order, groups: vec![1], ..RankSpec::default() }, std::slice::from_ref(&rows))
            .unwrap();
    }
}

#[test]
fn nan_is_greatest_and_both_zeros_are_one() {
    let x = [f64::NAN, -0.0, f64::INFINITY, 0.0, -f64::NAN, -1.0];
    let rows = RecordBatch::try_from_iter([
        ("x", Arc::new(Float64Array::from_iter(x.into_iter().map(Some).chain([None]))) as ArrayRef),
        (hidden::ROW, Arc::new(UInt64Array::from_iter_values(0..7))),
    ])
    .unwrap();
    let sorted = |key: SortKey| {
        let order =
            RankOrder::new(&RankSpec { order: vec![key], ..RankSpec::default() }, rows.schema_ref()).unwrap();
        order.rank(&[&order.encode(&rows).unwrap()], false).iter().map(|r| r.row).collect::<Vec<_>>()
    };
    // Ties keep the order of the stream in both directions.
    assert_eq!(sorted(SortKey::ascending(0)), [5, 1, 3, 2, 0, 4, 6]);
    assert_eq!(sorted(SortKey::descending(0)), [0, 4, 2, 1, 3, 5, 6]);
    assert_eq!(sorted(SortKey { nulls_first: true, ..SortKey::ascending(0) }), [6, 5, 1, 3, 2, 0, 4]);
}

/// Runs hold floats as plain columns do, and so do lists that are views.
#[test]
fn groups_of_encoded_floats_have_one_zero_and_one_nan() {
    let x = Float64Array::from(vec![0.0, f64::NAN, -0.0, 1.0, -f64::NAN]);
    let ends = Int32Array::from(vec![1, 2, 3, 4, 5]);
    let runs: ArrayRef = Arc::new(arrow::array::RunArray::try_new(&ends, &x).unwrap());
    let item = Arc::new(Field::new_list_field(DataType::Float64, true));
    let lists = arrow::array::ListViewArray::try_new(
        item,
        (0..5).collect::<Vec<i32>>().into(),
        vec![1; 5].into(),
        Arc::new(x),
        None,
    );
    let place = || Arc::new(UInt64Array::from_iter_values(0..5)) as ArrayRef;
    for groups in [runs, Arc::new(lists.unwrap()) as ArrayRef] {
        let rows = RecordBatch::try_from_iter([("x", groups), (hidden::ROW, place())]).unwrap();
        let spec = RankSpec { groups: vec![0], fetch: Some(1), ..RankSpec::default() };
        let order = RankOrder::new(&spec, rows.schema_ref()).unwrap();
        let kept = order.rank(&[&order.encode(&rows).unwrap()], false);
        assert_eq!(kept.iter().map(|r| r.row).collect::<Vec<_>>(), [0, 3, 1], "{}", rows.schema());
    }
}

/// The comparison is not blind: an order that forgets the stream is found.
#[test]
fn a_planted_fault_is_found() {
    let found = (0..20).any(|seed| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let rows = batch(&mut rng, 30);
        let spec = RankSpec { order: vec![SortKey::ascending(2)], fetch: Some(3), ..RankSpec::default() };
        let all = concat_batches(&schema(), [&rows]).unwrap();
        let expected: Vec<usize> = reference::rank(&spec, &all).unwrap().iter().map(|r| r.row).collect();
        let unstable = RankSpec { backwards: true, ..spec };
        let order = RankOrder::new(&unstable, &schema()).unwrap();
        let got = order.rank(&[&order.encode(&rows).unwrap()], false);
        got.iter().map(|r| r.row as usize).collect::<Vec<_>>() != expected
    });
    assert!(found);
}
