//! Rank: each of the operators that are one, over every type that has an order or can be a key.

use arrow::datatypes::{DataType, SchemaRef};
use sabot_batch::hidden;
use sabot_expr::type_name;

use super::Cases;
use crate::conformance::bench::Checked;
use crate::conformance::data::{Values, key_types, payload_types, schema_of, with_hidden};
use crate::conformance::keyed::KeyedBench;
use crate::{RankSpec, SortKey, is_sortable};

/// Every direction with every place of nulls.
pub(super) fn orders(column: usize) -> [SortKey; 4] {
    [(false, false), (false, true), (true, false), (true, true)].map(|(descending, nulls_first)| SortKey {
        column,
        descending,
        nulls_first,
    })
}

/// The types that values can be sorted by.
pub(super) fn sortable_types() -> Vec<DataType> {
    payload_types().into_iter().filter(is_sortable).collect()
}

pub(super) fn add(cases: &mut Cases) {
    for data_type in sortable_types() {
        let name = type_name(&data_type);
        for key in orders(0) {
            let (order, rows) = (vec![key], schema(&data_type));
            let spec = RankSpec { order, ..RankSpec::default() };
            case(cases, format!("rank/sort/{name}"), &spec, &rows);
            let spec = RankSpec { skip: 2, fetch: Some(20), ..spec };
            case(cases, format!("rank/top-k/{name}"), &spec, &rows);
            let spec = RankSpec { groups: vec![1], skip: 0, fetch: Some(2), ..spec };
            case(cases, format!("rank/top-n/value/{name}"), &spec, &rows);
        }
    }
    for data_type in key_types() {
        let (name, rows) = (type_name(&data_type), schema(&data_type));
        let by_key = RankSpec { groups: vec![0], fetch: Some(1), ..RankSpec::default() };
        let spec = RankSpec { order: vec![SortKey::descending(1)], fetch: Some(3), ..by_key.clone() };
        case(cases, format!("rank/top-n/key/{name}"), &spec, &rows);
        let spec = RankSpec { groups: vec![0, 1], ..by_key.clone() };
        case(cases, format!("rank/distinct/{name}"), &spec, &rows);
        for backwards in [false, true] {
            let spec = RankSpec { backwards, ..by_key.clone() };
            case(cases, format!("rank/dedup/{name}"), &spec, &rows);
        }
    }
    let rows = schema(&DataType::Utf8);
    for (skip, fetch) in [(0, Some(0)), (0, Some(1)), (0, Some(40)), (31, Some(2)), (33, None), (0, None)] {
        for backwards in [false, true] {
            let spec = RankSpec { skip, fetch, backwards, ..RankSpec::default() };
            case(cases, "rank/limit".to_owned(), &spec, &rows);
        }
    }
    // The order of the stream decides between equals, by each of the columns that make it.
    let order = [hidden::TIME, hidden::LATE, hidden::PARTITION, hidden::ROW, hidden::KEY];
    let rows = with_hidden(schema_of(&[("x", DataType::Float32), ("k", DataType::Boolean)]), &order);
    for key in orders(0) {
        for backwards in [false, true] {
            for (groups, fetch) in [(vec![], None), (vec![], Some(9)), (vec![1], None), (vec![1], Some(4))] {
                let spec = RankSpec { order: vec![key], groups, backwards, fetch, skip: 0 };
                case(cases, "rank/ties".to_owned(), &spec, &rows);
            }
        }
    }
    let types = [DataType::Float64, DataType::Utf8, DataType::Int16, DataType::Boolean];
    let columns: Vec<(&str, DataType)> = ["a", "b", "c", "d"].into_iter().zip(types).collect();
    let rows = with_hidden(schema_of(&columns), &[hidden::ROW]);
    for (first, second) in orders(0).into_iter().zip(orders(2).into_iter().rev()) {
        for groups in [vec![], vec![3], vec![1, 3]] {
            let spec = RankSpec { order: vec![first, second], groups, ..RankSpec::default() };
            case(cases, "rank/keys".to_owned(), &spec, &rows);
        }
    }
}

/// A column of the type, one to tell groups apart or to sort by, and the place in the stream.
fn schema(data_type: &DataType) -> SchemaRef {
    with_hidden(schema_of(&[("value", data_type.clone()), ("other", DataType::Int8)]), &[hidden::ROW])
}

fn case(cases: &mut Cases, cell: String, spec: &RankSpec, rows: &SchemaRef) {
    let (spec, rows) = (spec.clone(), rows.clone());
    cases.keyed(cell, spec.to_string(), move |bench| check(bench, &spec, &rows));
}

fn check(bench: &mut KeyedBench<'_>, spec: &RankSpec, schema: &SchemaRef) -> Checked {
    for values in [Values::Few, Values::Wild] {
        for rows in bench.batches(schema, &|i| if i == 0 { values } else { Values::Few })? {
            bench.check_rank(spec, &rows)?;
        }
    }
    Ok(())
}
