//! Made-up rows: the same however they are read, and of the shape asked for.

use super::*;
use crate::testing::{drain, ints, noop_context};
use crate::{InlineSpawner, SourceItem};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{Float64Type, TimestampMicrosecondType};
use std::collections::BTreeMap;
use std::task::Poll;

fn columns() -> Vec<GeneratorColumn> {
    let words = ["a", "b", "c"].map(String::from).to_vec();
    vec![
        GeneratorColumn::new("id", Values::Sequence { start: 10, step: 3 }),
        GeneratorColumn::new("n", Values::Int { min: -3, max: 3 }).with_nulls(0.25),
        GeneratorColumn::new("x", Values::Float { min: 0.0, max: 2.0 }),
        GeneratorColumn::new("ok", Values::Bool { share: 0.9 }),
        GeneratorColumn::new("word", Values::Choice { words, skew: 1.0 }),
        GeneratorColumn::new("key", Values::Label { prefix: "k".into(), distinct: 1000, skew: 0.0 })
            .with_nulls(0.1),
        GeneratorColumn::new("at", Values::Time { start: 5_000_000, rate: 1_000, disorder: Span(10_000) }),
    ]
}

fn source(rows: Option<u64>, partitions: u32) -> GeneratorSource {
    GeneratorSource::new("g", GeneratorSpec { seed: 7, rows, partitions, columns: columns() }).unwrap()
}

fn open(
    source: &GeneratorSource,
    partition: usize,
    from: u64,
    request: &ReadRequest,
) -> Box<dyn PartitionReader> {
    let spawner: Arc<dyn Spawner> = Arc::new(InlineSpawner);
    let id = &source.discover().unwrap()[partition];
    source.open(id, Some(&Position::at_row(from)), request, &spawner).unwrap()
}

fn read(source: &GeneratorSource, partition: usize, from: u64, morsel_rows: usize) -> RecordBatch {
    let request = ReadRequest { morsel_rows, ..Default::default() };
    let items = drain(&mut *open(source, partition, from, &request)).unwrap();
    let parts: Vec<RecordBatch> = items.into_iter().map(|(_, batch)| batch).collect();
    concat_batches(&source.schema(), &parts).unwrap()
}

#[test]
fn rows_do_not_depend_on_cuts_or_on_where_the_reading_began() {
    let source = source(Some(1_000), 3);
    for partition in 0..3usize {
        let whole = read(&source, partition, 0, usize::MAX);
        assert_eq!(whole.num_rows(), [334, 333, 333][partition]);
        for (from, morsel_rows) in [(0usize, 1), (0, 7), (1, 100), (200, 64), (333, 5)] {
            assert_eq!(
                read(&source, partition, from as u64, morsel_rows),
                whole.slice(from, whole.num_rows() - from)
            );
        }
    }
}

#[test]
fn partitions_share_out_the_rows_of_the_whole() {
    let mut ids: Vec<i64> = Vec::new();
    let split = source(Some(1_000), 3);
    (0..3).for_each(|p| ids.extend(ints(&read(&split, p, 0, 100))));
    ids.sort_unstable();
    assert_eq!(ids, ints(&read(&source(Some(1_000), 1), 0, 0, 100)));
    assert_eq!(ids, (0..1_000).map(|i| 10 + 3 * i).collect::<Vec<_>>());
}

#[test]
fn seeds_and_columns_are_unrelated_and_stable() {
    let values = |seed| {
        let two = ["a", "b"].map(|n| GeneratorColumn::new(n, Values::Int { min: 0, max: i64::MAX })).to_vec();
        let spec = GeneratorSpec { seed, rows: Some(3), partitions: 1, columns: two };
        read(&GeneratorSource::new("g", spec).unwrap(), 0, 0, 10)
    };
    assert_ne!(values(1), values(2));
    assert_ne!(values(1).column(0), values(1).column(1));
    // Goldens elsewhere are made with this generator: its values must never change.
    let first = values(1);
    assert_eq!(ints(&first), GOLDEN_VALUES);
}

const GOLDEN_VALUES: [i64; 3] =
    [5_507_450_795_257_616_308, 1_418_516_732_170_959_952, 20_539_872_064_039_327];

#[test]
fn values_have_the_shape_that_was_asked_for() {
    let all = read(&source(Some(20_000), 1), 0, 0, 4096);
    let share = |count: usize| count as f64 / 20_000.0;
    let near =
        |value: f64, wanted: f64| assert!((value - wanted).abs() < 0.02, "{value} is not near {wanted}");
    near(share(all.column(1).null_count()), 0.25);
    near(share(all.column(5).null_count()), 0.1);
    let n = all.column(1).as_primitive::<arrow::datatypes::Int64Type>();
    assert_eq!((n.iter().flatten().min(), n.iter().flatten().max()), (Some(-3), Some(3)));
    let x = all.column(2).as_primitive::<Float64Type>();
    assert!(x.values().iter().all(|v| (0.0..2.0).contains(v)));
    near(x.values().iter().sum::<f64>() / 20_000.0, 1.0);
    near(share(all.column(3).as_boolean().true_count()), 0.9);
    let mut words: BTreeMap<&str, usize> = BTreeMap::new();
    all.column(4).as_string::<i32>().iter().flatten().for_each(|w| *words.entry(w).or_default() += 1);
    // 1 : 1/2 : 1/3 is 6 : 3 : 2.
    [("a", 6.0), ("b", 3.0), ("c", 2.0)].iter().for_each(|(w, odds)| near(share(words[w]), odds / 11.0));
    let keys: std::collections::BTreeSet<_> = all.column(5).as_string::<i32>().iter().flatten().collect();
    assert_eq!(keys.len(), 1_000);
    let at = all.column(6).as_primitive::<TimestampMicrosecondType>();
    let late = |(i, t): (usize, &i64)| 5_000_000 + i as i64 * 1_000 - t;
    let delays: Vec<i64> = at.values().iter().enumerate().map(late).collect();
    assert!(delays.iter().all(|d| (0..=10_000).contains(d)) && delays.iter().any(|d| *d > 9_000));
}

#[test]
fn projections_and_dictionaries_change_no_value() {
    let source = source(Some(100), 1);
    let whole = read(&source, 0, 0, 100);
    let request =
        ReadRequest { projection: Some(vec![4, 0]), strings_as_dictionary: vec![4], ..Default::default() };
    let items = drain(&mut *open(&source, 0, 0, &request)).unwrap();
    let got = &items[0].1;
    assert_eq!(got.schema(), request.output_schema("g", &source.schema()).unwrap());
    assert_eq!(&arrow::compute::cast(got.column(0), &DataType::Utf8).unwrap(), whole.column(4));
    assert_eq!(got.column(1), whole.column(0));
}

#[test]
fn without_a_number_of_rows_there_is_no_end() {
    let source = source(None, 2);
    assert_eq!(source.boundedness(), Boundedness::Unbounded);
    let mut reader = open(&source, 1, 1 << 40, &ReadRequest { morsel_rows: 10, ..Default::default() });
    for _ in 0..3 {
        let item = noop_context(|cx| reader.poll_next(cx));
        assert!(
            matches!(item, Poll::Ready(Ok(Some(SourceItem::Rows { batch, .. }))) if batch.num_rows() == 10)
        );
    }
    assert_eq!(reader.position(), Position::at_row((1 << 40) + 30));
}

#[test]
fn specifications_that_mean_nothing_are_refused() {
    let refuse = |values: Values, wanted: &str| {
        let columns = vec![GeneratorColumn::new("c", values)];
        let spec = GeneratorSpec { seed: 0, rows: Some(1), partitions: 1, columns };
        let message = GeneratorSource::new("g", spec).unwrap_err().to_string();
        assert!(message.contains(wanted), "{message}");
    };
    refuse(Values::Int { min: 2, max: 1 }, "\"c: int\": expected a range that is not empty, found 2 to 1");
    refuse(Values::Float { min: 0.0, max: f64::NAN }, "a finite range");
    refuse(Values::Bool { share: 1.5 }, "a share from 0 to 1, found 1.5");
    refuse(Values::Choice { words: vec![], skew: 0.0 }, "1 to 1048576 values, found 0");
    refuse(Values::Label { prefix: String::new(), distinct: 3, skew: -1.0 }, "a skew from 0 to 10");
    refuse(Values::Time { start: 0, rate: 0, disorder: Span(0) }, "at least 1 row a second");
    let none = GeneratorSpec { seed: 0, rows: Some(1), partitions: 0, columns: vec![] };
    assert!(GeneratorSource::new("g", none).is_err());
}

#[test]
fn specifications_travel_as_data() {
    let spec = source(Some(5), 2).spec;
    let text = serde_json::to_string(&spec).unwrap();
    assert_eq!(serde_json::from_str::<GeneratorSpec>(&text).unwrap(), spec);
}
