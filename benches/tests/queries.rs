//! Every query against its naive form, small; and mistakes that the digest must see.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Float64Type};
use sabot::Engine;
use sabot_benches::data;
use sabot_benches::suite::{Digest, Facts, Query, Tables, queries, run, streams, tables};
use std::collections::BTreeSet;
use std::sync::Arc;

fn small() -> Tables {
    let table = |name: &str| (name.to_owned(), data::morsels(&tables::make(name, 10_007).unwrap(), 1_000));
    tables::NAMES.into_iter().map(table).collect()
}

fn digest(query: &Query, batches: &[RecordBatch]) -> Digest {
    let mut facts = Facts::new(query.ordered);
    batches.iter().for_each(|batch| facts.batch(batch).unwrap());
    facts.finish()
}

#[test]
fn sabot_computes_what_the_naive_form_does() {
    let tables = small();
    let streams = streams(&tables, 3).unwrap();
    let engine = Engine::builder().workers(2).build().unwrap();
    for query in queries() {
        let result = run(&query, &streams, &engine).unwrap();
        let (found, expected) = (digest(&query, &result), query.expected(&tables));
        assert!(expected.rows > 0, "{}", query.name);
        assert_eq!(found.difference(&expected), None, "{}", query.name);
        assert!(query.bytes(&tables) >= 10_007 * 16, "{} reads two columns", query.name);
    }
}

#[test]
fn names_are_unique_and_tables_exist() {
    let all = queries();
    let names: BTreeSet<&str> = all.iter().map(|query| query.name.as_str()).collect();
    assert_eq!(names.len(), all.len());
    assert!(all.iter().flat_map(Query::tables).all(|table| tables::NAMES.contains(&table)));
}

#[test]
fn tables_are_the_same_after_a_file() {
    let path = std::env::temp_dir().join(format!("sabot-suite-{}.arrow", std::process::id()));
    tables::write("ints", 20_000, &path).unwrap();
    let loaded = tables::load(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(loaded, data::morsels(&tables::make("ints", 20_000).unwrap(), tables::BATCH_ROWS));
}

/// The result of a query with one column put in place of another.
fn with(batch: &RecordBatch, name: &str, column: ArrayRef) -> RecordBatch {
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns()).map(|(field, old)| {
        (field.name().clone(), if field.name() == name { column.clone() } else { old.clone() })
    });
    RecordBatch::try_from_iter(columns.collect::<Vec<_>>()).unwrap()
}

#[test]
fn a_wrong_value_of_one_row_is_seen() {
    let tables = small();
    let engine = Engine::builder().workers(1).build().unwrap();
    let query = queries().into_iter().find(|query| query.name == "group-by/int-1k").unwrap();
    let result = run(&query, &streams(&tables, 1).unwrap(), &engine).unwrap();
    let result = arrow::compute::concat_batches(&result[0].schema(), &result).unwrap();
    let expected = query.expected(&tables);
    let problem = |batch: &RecordBatch| digest(&query, std::slice::from_ref(batch)).difference(&expected);
    assert_eq!(problem(&result), None);

    assert!(
        problem(&result.slice(1, result.num_rows() - 1)).is_some_and(|text| text.contains("rows, expected"))
    );
    let counts = result.column_by_name("n").unwrap();
    let mut wrong = counts.as_primitive::<arrow::datatypes::Int64Type>().values().to_vec();
    wrong[7] += 1;
    let wrong = with(&result, "n", Arc::new(Int64Array::from(wrong)));
    assert!(problem(&wrong).is_some_and(|text| text.contains("checksum")));
    let means = result.column_by_name("mean").unwrap().as_primitive::<Float64Type>();
    let mut swapped = means.values().to_vec();
    swapped.swap(0, 1); // the right values under wrong keys
    let swapped = with(&result, "mean", Arc::new(Float64Array::from(swapped)));
    assert!(problem(&swapped).is_some_and(|text| text.contains("float column 0")));
}

#[test]
fn types_that_mean_the_same_give_the_same_digest() {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(-3)]));
    let of = |to: &DataType| {
        let column = arrow::compute::cast(&column, to).unwrap();
        let mut facts = Facts::new(true);
        facts.batch(&RecordBatch::try_from_iter([("a", column)]).unwrap()).unwrap();
        facts.finish()
    };
    assert_eq!(of(&DataType::Int64), of(&DataType::Int8));
    assert_eq!(of(&DataType::Int64), of(&DataType::Decimal128(38, 0)));
    assert_ne!(of(&DataType::Int64), of(&DataType::Utf8));
    let mut facts = Facts::new(false);
    let large: ArrayRef = Arc::new(arrow::array::UInt64Array::from(vec![u64::MAX]));
    assert!(facts.batch(&RecordBatch::try_from_iter([("a", large)]).unwrap()).is_err());
}

#[test]
fn order_counts_where_it_is_asked_for() {
    let batch = |values: Vec<i64>| {
        RecordBatch::try_from_iter([("a", Arc::new(Int64Array::from(values)) as ArrayRef)])
    };
    let of = |ordered, values| {
        let mut facts = Facts::new(ordered);
        facts.batch(&batch(values).unwrap()).unwrap();
        facts.finish()
    };
    assert_eq!(of(false, vec![1, 2]), of(false, vec![2, 1]));
    assert_ne!(of(true, vec![1, 2]), of(true, vec![2, 1]));
}
