//! Joins: by key, and by key and time.

use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;
use sabot::{On, col, on};
use std::collections::HashMap;

use super::{column, int, rows};
use crate::checksum::Row;
use crate::suite::Query;

/// What is joined: the kind, as Sabot says it, in SQL, and in Polars.
pub(super) struct Kind {
    name: &'static str,
    on: fn(On) -> On,
    sql: &'static str,
    polars: &'static str,
}

pub(super) const KINDS: [Kind; 4] = [
    Kind { name: "inner", on: On::inner, sql: "JOIN keys ON k1m = k", polars: "inner" },
    Kind { name: "left", on: On::left, sql: "LEFT JOIN keys ON k1m = k", polars: "left" },
    Kind {
        name: "semi",
        on: On::semi,
        sql: "WHERE EXISTS (SELECT 1 FROM keys WHERE k = k1m)",
        polars: "semi",
    },
    Kind {
        name: "anti",
        on: On::anti,
        sql: "WHERE NOT EXISTS (SELECT 1 FROM keys WHERE k = k1m)",
        polars: "anti",
    },
];

/// Many rows against a table of unique keys, half of which are met.
pub(super) fn by_key(kind: Kind) -> Query {
    let given = matches!(kind.name, "inner" | "left");
    let columns = if given { "id, v, w" } else { "id, v" };
    let mut reads = vec!["ints.id", "ints.k1m", "ints.v", "keys.k"];
    if given {
        reads.push("keys.w");
    }
    Query {
        name: format!("join/{}", kind.name),
        reads,
        ordered: false,
        sabot: Box::new(move |tables| {
            let on = (kind.on)(on("k1m", "k")).unique();
            tables["ints"].clone().join(&tables["keys"], on)?.select(columns.split(", ").map(col))
        }),
        sql: format!("SELECT {columns} FROM ints {}", kind.sql),
        polars: format!(
            "ints.join(keys, left_on='k1m', right_on='k', how='{}').select({})",
            kind.polars,
            columns.split(", ").map(|c| format!("'{c}'")).collect::<Vec<_>>().join(", ")
        ),
        naive: Box::new(move |tables, facts| {
            let known: HashMap<i64, i64> =
                rows(tables, "keys").map(|(b, row)| (int(b, "k", row), int(b, "w", row))).collect();
            for (batch, row) in rows(tables, "ints") {
                let found = known.get(&int(batch, "k1m", row));
                let exact = Row::new().int(int(batch, "id", row)).int(int(batch, "v", row));
                match (kind.name, found) {
                    ("inner" | "left", Some(w)) => facts.row(exact.int(*w), &[]),
                    ("left", None) => facts.row(exact.null(), &[]),
                    ("semi", Some(_)) | ("anti", None) => facts.row(exact, &[]),
                    _ => {}
                }
            }
        }),
    }
}

/// For each event the last quote of its key that is not later.
pub(super) fn asof() -> Query {
    Query {
        name: "join/asof".to_owned(),
        reads: vec!["events.t", "events.k1k", "events.v", "quotes.t", "quotes.k1k", "quotes.price"],
        ordered: false,
        sabot: Box::new(|tables| {
            let on = on("k1k", "k1k").suffix("_quote").left();
            let joined = tables["events"].clone().asof_join(&tables["quotes"], ("t", "t"), on)?;
            joined.select([col("k1k"), col("v"), col("price")])
        }),
        sql:
            "SELECT e.k1k, e.v, q.price FROM events e ASOF LEFT JOIN quotes q ON e.k1k = q.k1k AND e.t >= q.t"
                .to_owned(),
        polars: "events.join_asof(quotes, on='t', by='k1k', strategy='backward').select('k1k', 'v', 'price')"
            .to_owned(),
        naive: Box::new(|tables, facts| {
            let at = |batch, row| column(batch, "t").as_primitive::<TimestampMicrosecondType>().value(row);
            let mut quotes = rows(tables, "quotes").peekable();
            let mut last: HashMap<i64, i64> = HashMap::new();
            for (batch, row) in rows(tables, "events") {
                let now = at(batch, row);
                while let Some((quote, r)) = quotes.next_if(|(quote, r)| at(quote, *r) <= now) {
                    last.insert(int(quote, "k1k", r), int(quote, "price", r));
                }
                let key = int(batch, "k1k", row);
                let exact = Row::new().int(key).int(int(batch, "v", row));
                let exact = match last.get(&key) {
                    Some(price) => exact.int(*price),
                    None => exact.null(),
                };
                facts.row(exact, &[]);
            }
        }),
    }
}
