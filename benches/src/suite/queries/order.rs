//! Order: sorted rows, the first of them, rows without their like, and values over the rows around.

use sabot::{asc, col, desc, row_number as number, rows as frame, sum, whole};
use std::collections::{HashMap, HashSet, VecDeque};

use super::{int, rows};
use crate::checksum::Row;
use crate::suite::{Query, Tables};

/// Rows that a moving sum covers.
const FRAME_ROWS: usize = 100;
/// Rows of a top-k.
const FIRST: usize = 100;

/// `v` and `id` of every row, in the order of both.
fn sorted(tables: &Tables) -> Vec<(i64, i64)> {
    let mut all: Vec<_> =
        rows(tables, "ints").map(|(b, row)| (int(b, "v", row), int(b, "id", row))).collect();
    all.sort_unstable();
    all
}

/// All rows by two keys.
pub(super) fn sort() -> Query {
    Query {
        name: "sort/two-ints".to_owned(),
        reads: vec!["ints.id", "ints.v"],
        ordered: true,
        sabot: Box::new(|tables| tables["ints"].clone().select([col("v"), col("id")])?.sort(["v", "id"])),
        sql: "SELECT v, id FROM ints ORDER BY v, id".to_owned(),
        polars: "ints.select('v', 'id').sort('v', 'id')".to_owned(),
        naive: Box::new(|tables, facts| {
            sorted(tables).into_iter().for_each(|(v, id)| facts.row(Row::new().int(v).int(id), &[]));
        }),
    }
}

/// The largest values, ties by number.
pub(super) fn top_k() -> Query {
    Query {
        name: format!("top-k/{FIRST}"),
        reads: vec!["ints.id", "ints.v"],
        ordered: true,
        sabot: Box::new(|tables| {
            let rows = tables["ints"].clone().select([col("v"), col("id")])?;
            rows.top_k(FIRST as u64, [desc("v"), asc("id")])
        }),
        sql: format!("SELECT v, id FROM ints ORDER BY v DESC, id LIMIT {FIRST}"),
        polars: format!("ints.select('v', 'id').sort('v', 'id', descending=[True, False]).head({FIRST})"),
        naive: Box::new(|tables, facts| {
            let mut all = sorted(tables);
            all.sort_by_key(|(v, id)| (-v, *id));
            all.into_iter().take(FIRST).for_each(|(v, id)| facts.row(Row::new().int(v).int(id), &[]));
        }),
    }
}

/// Pairs of values, each once.
pub(super) fn distinct() -> Query {
    Query {
        name: "distinct/two-ints".to_owned(),
        reads: vec!["ints.k10", "ints.k1k"],
        ordered: false,
        sabot: Box::new(|tables| tables["ints"].clone().select([col("k10"), col("k1k")])?.distinct()),
        sql: "SELECT DISTINCT k10, k1k FROM ints".to_owned(),
        polars: "ints.select('k10', 'k1k').unique()".to_owned(),
        naive: Box::new(|tables, facts| {
            let pairs: HashSet<_> =
                rows(tables, "ints").map(|(b, row)| (int(b, "k10", row), int(b, "k1k", row))).collect();
            pairs.into_iter().for_each(|(a, b)| facts.row(Row::new().int(a).int(b), &[]));
        }),
    }
}

/// The number of each row among those of its key.
pub(super) fn row_number(key: &'static str) -> Query {
    Query {
        name: format!("over/row-number-{}", &key[1..]),
        reads: vec!["ints.id", if key == "k1k" { "ints.k1k" } else { "ints.k1m" }],
        ordered: false,
        sabot: Box::new(move |tables| {
            let n = number().over([key], whole()).order_by(["id"]).alias("n");
            tables["ints"].clone().with_columns([n])?.select([col("id"), col("n")])
        }),
        sql: format!("SELECT id, row_number() OVER (PARTITION BY {key} ORDER BY id) AS n FROM ints"),
        polars: format!("ints.select('id', n=(pl.col('id').rank('ordinal').over('{key}')))"),
        naive: Box::new(move |tables, facts| {
            // Rows come in the order of their ids.
            let mut numbers: HashMap<i64, i64> = HashMap::new();
            for (batch, row) in rows(tables, "ints") {
                let n = numbers.entry(int(batch, key, row)).or_default();
                *n += 1;
                facts.row(Row::new().int(int(batch, "id", row)).int(*n), &[]);
            }
        }),
    }
}

/// The sum over the rows before, by key.
pub(super) fn moving_sum() -> Query {
    Query {
        name: format!("over/sum-of-{FRAME_ROWS}-rows"),
        reads: vec!["ints.id", "ints.k1k", "ints.v"],
        ordered: false,
        sabot: Box::new(|tables| {
            let total =
                sum(col("v")).over(["k1k"], frame(FRAME_ROWS as u64 - 1)).order_by(["id"]).alias("total");
            tables["ints"].clone().with_columns([total])?.select([col("id"), col("total")])
        }),
        sql: format!(
            "SELECT id, sum(v) OVER (PARTITION BY k1k ORDER BY id ROWS BETWEEN {} PRECEDING AND CURRENT ROW) AS \
             total FROM ints",
            FRAME_ROWS - 1
        ),
        polars: format!(
            "ints.select('id', total=pl.col('v').rolling_sum({FRAME_ROWS}, min_samples=1).over('k1k', order_by='id'))"
        ),
        naive: Box::new(|tables, facts| {
            let mut frames: HashMap<i64, VecDeque<i64>> = HashMap::new();
            for (batch, row) in rows(tables, "ints") {
                let frame = frames.entry(int(batch, "k1k", row)).or_default();
                frame.push_back(int(batch, "v", row));
                if frame.len() > FRAME_ROWS {
                    frame.pop_front();
                }
                facts.row(Row::new().int(int(batch, "id", row)).int(frame.iter().sum()), &[]);
            }
        }),
    }
}
