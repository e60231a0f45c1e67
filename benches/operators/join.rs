//! Joins: building the table, and looking rows up in it, with keys that fit caches and keys that do not.

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use criterion::Criterion;
use sabot_benches::checksum::{self, Row};
use sabot_benches::{Contest, Size, data};
use sabot_cpu::join::Joiner;
use sabot_ops::{JoinColumn, JoinKind, JoinSource, JoinSpec};
use std::collections::HashMap;
use std::sync::Arc;

pub(crate) fn benchmarks(criterion: &mut Criterion) {
    // 300 airports, a table that fills L2, one that does not fit; then ten matches a row.
    for (table, distinct) in [(300, 300), (20_000, 20_000), (1_000_000, 1_000_000), (10_000, 1_000)] {
        contest(criterion, table, distinct);
    }
}

fn contest(criterion: &mut Criterion, table: usize, distinct: i64) {
    let Size { rows, morsel_rows } = Size::of_this_run();
    let table = table.min(rows);
    let distinct = distinct.min(table as i64);
    let keys = data::ints(20, rows, 0..distinct);
    let build_keys: Vec<i64> = (0..table as i64).map(|i| i % distinct).collect();
    let (amounts, prices) = (data::floats(21, rows), data::floats(22, table));
    let probe = data::batch([
        ("key", Arc::new(Int64Array::from(keys.clone())) as ArrayRef),
        ("amount", Arc::new(Float64Array::from(amounts.clone()))),
    ]);
    let build = data::batch([
        ("id", Arc::new(Int64Array::from(build_keys.clone())) as ArrayRef),
        ("price", Arc::new(Float64Array::from(prices.clone()))),
    ]);
    let column = |name: &str, source| JoinColumn { name: name.to_owned(), source };
    let spec = JoinSpec {
        kind: JoinKind::Inner,
        keys: vec![(0, 0)],
        nearest: None,
        condition: None,
        unique: false,
        seed: 42,
        columns: vec![
            column("key", JoinSource::Probe(0)),
            column("amount", JoinSource::Probe(1)),
            column("price", JoinSource::Build(1)),
        ],
        ordinal: 0,
    };
    let mut matches: HashMap<i64, Vec<f64>> = HashMap::new();
    build_keys.iter().zip(&prices).for_each(|(key, price)| matches.entry(*key).or_default().push(*price));
    let results = (0..rows).flat_map(|i| {
        let (key, amount) = (keys[i], amounts[i]);
        matches[&key].iter().map(move |price| Row::new().int(key).float(amount).float(*price))
    });
    let morsels = data::morsels(&probe, morsel_rows);
    let bytes = data::bytes(&morsels);
    let contest = Contest {
        group: "join",
        name: format!("{table} rows of {distinct} keys"),
        rows: rows as u64,
        bytes,
        expected: checksum::of_rows(results),
    };
    let joiner = Joiner::new(spec, probe.schema(), build.schema()).expect("a join of these columns");
    let run = || {
        let table = joiner.table(std::slice::from_ref(&build)).expect("a table of these rows");
        let mut results: Vec<RecordBatch> = Vec::new();
        for morsel in &morsels {
            let mut probe = joiner.probe(&table, morsel.clone()).expect("rows that can be looked up");
            while let Some(part) =
                joiner.next(&table, &mut probe, None, morsel_rows).expect("rows can be joined")
            {
                results.push(part);
            }
        }
        results
    };
    let sum = |parts: &Vec<RecordBatch>| checksum::of_batches(parts.iter().map(|batch| (Row::new(), batch)));
    contest.with_ceiling(criterion, (run, sum), "copying the rows", data::copier(bytes));
}
