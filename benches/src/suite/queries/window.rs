//! Windows of event time.

use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;
use sabot::{Stream, asc, col, count, desc, hopping as every, in_order, minutes, sum, tumbling as tiled};
use std::collections::BTreeMap;

use super::{column, int, rows};
use crate::checksum::Row;
use crate::suite::{Query, Tables};

const MINUTE_US: i64 = 60_000_000;
/// Length of the windows and, where they overlap, from the start of one to that of the next, in minutes.
const LONG: i64 = 60;
const SLIDE: i64 = 15;
/// Rows of a ranking.
const FIRST: usize = 5;

const READS: [&str; 3] = ["events.t", "events.k1k", "events.v"];

fn events(tables: &crate::suite::Streams) -> sabot::Result<Stream> {
    tables["events"].clone().event_time("t", in_order())
}

/// Count and sum by start of a window and key, for windows that start every so many minutes.
fn naive(tables: &Tables, slide: i64) -> BTreeMap<(i64, i64), (i64, i64)> {
    let mut groups: BTreeMap<(i64, i64), (i64, i64)> = BTreeMap::new();
    for (batch, row) in rows(tables, "events") {
        let t = column(batch, "t").as_primitive::<TimestampMicrosecondType>().value(row);
        let last = t - t.rem_euclid(slide * MINUTE_US);
        for start in (0..LONG / slide).map(|n| last - n * slide * MINUTE_US) {
            let group = groups.entry((start, int(batch, "k1k", row))).or_default();
            *group = (group.0 + 1, group.1 + int(batch, "v", row));
        }
    }
    groups
}

/// An hour, one after the other.
pub(super) fn tumbling() -> Query {
    Query {
        name: "window/tumbling".to_owned(),
        reads: READS.to_vec(),
        ordered: false,
        sabot: Box::new(|tables| {
            let windows = events(tables)?.window(tiled(minutes(LONG)))?.group_by(["k1k"])?;
            let totals = windows.aggregate([count().alias("n"), sum(col("v")).alias("total")])?;
            totals.select(["window_start", "k1k", "n", "total"].map(col))
        }),
        sql: "SELECT date_trunc('hour', t) AS window_start, k1k, count(*) AS n, sum(v) AS total FROM events \
              GROUP BY 1, 2"
            .to_owned(),
        polars:
            "events.group_by(pl.col('t').dt.truncate('1h').alias('window_start'), 'k1k').agg(n=pl.len(), \
                 total=pl.col('v').sum())"
                .to_owned(),
        naive: Box::new(|tables, facts| {
            for ((start, key), (n, total)) in naive(tables, LONG) {
                facts.row(Row::new().int(start).int(key).int(n).int(total), &[]);
            }
        }),
    }
}

/// An hour, every quarter of one.
pub(super) fn hopping() -> Query {
    Query {
        name: "window/hopping".to_owned(),
        reads: READS.to_vec(),
        ordered: false,
        sabot: Box::new(|tables| {
            let windows = events(tables)?.window(every(minutes(LONG), minutes(SLIDE)))?.group_by(["k1k"])?;
            let totals = windows.aggregate([count().alias("n"), sum(col("v")).alias("total")])?;
            totals.select(["window_start", "k1k", "n", "total"].map(col))
        }),
        // Each quarter once, and then four quarters an hour.
        // DuckDB and DataFusion have no function of time in common that does this: whole numbers do it.
        sql: "WITH quarters AS (SELECT us - us % 900000000 AS q, k1k, count(*) AS n, sum(v) AS total \
              FROM events GROUP BY 1, 2), \
              shifts AS (SELECT * FROM (VALUES (0), (900000000), (1800000000), (2700000000)) AS s(shift)) \
              SELECT q - shift AS window_start, k1k, sum(n) AS n, sum(total) AS total FROM quarters, shifts \
              GROUP BY 1, 2"
            .to_owned(),
        // `group_by_dynamic` leaves out windows that start before the first row.
        polars: "events.group_by((pl.col('us') - pl.col('us') % 900000000).alias('q'), 'k1k').agg(n=pl.len(), \
                 total=pl.col('v').sum()).join(pl.LazyFrame({'shift': [0, 900000000, 1800000000, 2700000000]}), \
                 how='cross').group_by((pl.col('q') - pl.col('shift')).alias('window_start'), 'k1k').agg(\
                 pl.col('n').sum(), pl.col('total').sum())"
            .to_owned(),
        naive: Box::new(|tables, facts| {
            for ((start, key), (n, total)) in naive(tables, SLIDE) {
                facts.row(Row::new().int(start).int(key).int(n).int(total), &[]);
            }
        }),
    }
}

/// The keys with the largest sums of each hour.
pub(super) fn ranked() -> Query {
    Query {
        name: format!("window/top-{FIRST}"),
        reads: READS.to_vec(),
        ordered: false,
        sabot: Box::new(|tables| {
            let windows = events(tables)?.window(tiled(minutes(LONG)))?.group_by(["k1k"])?;
            let totals = windows.aggregate([sum(col("v")).alias("total")])?;
            let first = totals.top_n(FIRST as u64, [desc("total"), asc("k1k")])?;
            first.select(["window_start", "rank", "k1k", "total"].map(col))
        }),
        sql: format!(
            "WITH totals AS (SELECT date_trunc('hour', t) AS window_start, k1k, sum(v) AS total FROM events \
             GROUP BY 1, 2), ranked AS (SELECT window_start, row_number() OVER (PARTITION BY window_start \
             ORDER BY total DESC, k1k) AS rank, k1k, total FROM totals) SELECT * FROM ranked WHERE rank <= {FIRST}"
        ),
        polars: format!(
            "events.group_by(pl.col('t').dt.truncate('1h').alias('window_start'), 'k1k').agg(total=pl.col('v')\
             .sum()).sort('window_start', 'total', 'k1k', descending=[False, True, False]).select(\
             'window_start', pl.int_range(1, pl.len() + 1).over('window_start').alias('rank'), 'k1k', 'total')\
             .filter(pl.col('rank') <= {FIRST})"
        ),
        naive: Box::new(|tables, facts| {
            let mut hours: BTreeMap<i64, Vec<(i64, i64)>> = BTreeMap::new();
            for ((start, key), (_, total)) in naive(tables, LONG) {
                hours.entry(start).or_default().push((-total, key));
            }
            for (start, mut keys) in hours {
                keys.sort_unstable();
                for (rank, (total, key)) in (1..).zip(keys.into_iter().take(FIRST)) {
                    facts.row(Row::new().int(start).int(rank).int(key).int(-total), &[]);
                }
            }
        }),
    }
}
