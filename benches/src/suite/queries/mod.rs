//! The queries. Each function is one operator; its arguments are its variants.

mod join;
mod order;
mod window;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type};
use sabot::{avg, col, count, max, min, sum};
use std::collections::HashMap;

use super::{Query, Tables};
use crate::checksum::Row;
use crate::suite::tables::V_END;

/// Every query of the suite, in the order in which they are run.
pub fn queries() -> Vec<Query> {
    let mut all: Vec<Query> = [1, 50, 99].into_iter().map(filter_project).collect();
    let keys = [
        ("ints", "k10"),
        ("ints", "k1k"),
        ("ints", "k1m"),
        ("strings", "s10"),
        ("strings", "s1k"),
        ("strings", "s1m"),
    ];
    all.extend(keys.map(|(table, key)| group_by(table, key)));
    all.extend(join::KINDS.map(join::by_key));
    all.push(join::asof());
    all.extend([order::sort(), order::top_k(), order::distinct()]);
    all.extend(["k1k", "k1m"].map(order::row_number));
    all.push(order::moving_sum());
    all.extend([window::tumbling(), window::hopping(), window::ranked()]);
    all
}

/// A column of a batch; the suite's tables have those that its queries name.
fn column<'a>(batch: &'a RecordBatch, name: &str) -> &'a ArrayRef {
    batch.column_by_name(name).expect("a column of the suite's tables")
}

fn int(batch: &RecordBatch, name: &str, row: usize) -> i64 {
    column(batch, name).as_primitive::<Int64Type>().value(row)
}

fn float(batch: &RecordBatch, name: &str, row: usize) -> Option<f64> {
    let column = column(batch, name).as_primitive::<Float64Type>();
    column.is_valid(row).then(|| column.value(row))
}

/// Every row of a table.
fn rows<'a>(tables: &'a Tables, name: &str) -> impl Iterator<Item = (&'a RecordBatch, usize)> {
    let batches = tables.get(name).expect("a table of the suite").iter();
    batches.flat_map(|batch| (0..batch.num_rows()).map(move |row| (batch, row)))
}

/// Keeps so many percent of the rows, and computes two columns of those.
fn filter_project(percent: i64) -> Query {
    let below = V_END / 100 * percent;
    Query {
        name: format!("filter-project/{percent}%"),
        reads: vec!["ints.id", "ints.v", "ints.x"],
        ordered: false,
        sabot: Box::new(move |tables| {
            let projections = [col("id"), (col("v") * 2 + 1).alias("w"), (col("x") * 0.5).alias("y")];
            tables["ints"].clone().filter(col("v").lt(below))?.select(projections)
        }),
        sql: format!("SELECT id, v * 2 + 1 AS w, x * 0.5 AS y FROM ints WHERE v < {below}"),
        polars: format!(
            "ints.filter(pl.col('v') < {below}).select('id', w=pl.col('v') * 2 + 1, y=pl.col('x') * 0.5)"
        ),
        naive: Box::new(move |tables, facts| {
            for (batch, row) in rows(tables, "ints") {
                let v = int(batch, "v", row);
                if v < below {
                    let exact = Row::new().int(int(batch, "id", row)).int(v * 2 + 1);
                    facts.row(exact, &[float(batch, "x", row).map(|x| x * 0.5)]);
                }
            }
        }),
    }
}

/// What a group comes to.
struct Group {
    rows: i64,
    sum: i64,
    min: i64,
    max: i64,
    floats: i64,
    float_sum: f64,
}

/// Counts, sums and averages by one key.
fn group_by(table: &'static str, key: &'static str) -> Query {
    let kind = if table == "ints" { "int" } else { "string" };
    let reads = match table {
        "ints" => ["ints.k10", "ints.k1k", "ints.k1m", "ints.v", "ints.x"],
        _ => ["strings.s10", "strings.s1k", "strings.s1m", "strings.v", "strings.x"],
    };
    let wanted = |read: &&str| read.ends_with(".v") || read.ends_with(".x") || read.ends_with(key);
    Query {
        name: format!("group-by/{kind}-{}", &key[1..]),
        reads: reads.into_iter().filter(wanted).collect(),
        ordered: false,
        sabot: Box::new(move |tables| {
            tables[table].clone().group_by([key])?.aggregate([
                count().alias("n"),
                sum(col("v")).alias("total"),
                min(col("v")).alias("least"),
                max(col("v")).alias("most"),
                avg(col("x")).alias("mean"),
            ])
        }),
        sql: format!(
            "SELECT {key}, count(*) AS n, sum(v) AS total, min(v) AS least, max(v) AS most, avg(x) AS mean \
             FROM {table} GROUP BY {key}"
        ),
        polars: format!(
            "{table}.group_by('{key}').agg(n=pl.len(), total=pl.col('v').sum(), least=pl.col('v').min(), \
             most=pl.col('v').max(), mean=pl.col('x').mean())"
        ),
        naive: Box::new(move |tables, facts| {
            let mut groups: HashMap<u64, (Row, Group)> = HashMap::new();
            for (batch, row) in rows(tables, table) {
                let key = match table {
                    "ints" => Row::new().int(int(batch, key, row)),
                    _ => Row::new().text(column(batch, key).as_string::<i32>().value(row)),
                };
                let (v, x) = (int(batch, "v", row), float(batch, "x", row));
                let new = || (key, Group { rows: 0, sum: 0, min: v, max: v, floats: 0, float_sum: 0.0 });
                let (_, group) = groups.entry(key.finish()).or_insert_with(new);
                group.rows += 1;
                group.sum += v;
                (group.min, group.max) = (group.min.min(v), group.max.max(v));
                group.floats += i64::from(x.is_some());
                group.float_sum += x.unwrap_or(0.0);
            }
            for (key, group) in groups.into_values() {
                let exact = key.int(group.rows).int(group.sum).int(group.min).int(group.max);
                let mean = (group.floats > 0).then(|| group.float_sum / group.floats as f64);
                facts.row(exact, &[mean]);
            }
        }),
    }
}
