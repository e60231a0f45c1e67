//! Joins of random tables against what DuckDB makes of them.
//!
//! `cases.ndjson` holds 300 cases with DuckDB's results, made by `recompute.py` beside it, which also says
//! how to make ten thousand others; `SABOT_JOIN_CASES` names a file of them that is checked as well.

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, StringArray, TimestampSecondArray};
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use sabot::{IntoKey, On, prelude::*};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;

/// What DuckDB's null is in the results.
const NONE: i64 = -1;

fn table(rows: &Value, side: &str) -> RecordBatch {
    let rows = rows.as_array().unwrap();
    let column = |index: usize| rows.iter().map(move |row| &row[index]);
    let float = |value: &Value| value.as_str().map(|text| text.parse::<f64>().unwrap());
    let columns: [(&str, ArrayRef); 5] = [
        ("k", Arc::new(column(0).map(Value::as_i64).collect::<Int64Array>())),
        ("f", Arc::new(column(1).map(float).collect::<Float64Array>())),
        ("s", Arc::new(column(2).map(Value::as_str).collect::<StringArray>())),
        ("t", Arc::new(column(3).map(Value::as_i64).collect::<TimestampSecondArray>())),
        ("v", Arc::new(column(4).map(Value::as_i64).collect::<Int64Array>())),
    ];
    let named = columns.into_iter().map(|(name, column)| (format!("{side}{name}"), column, true));
    RecordBatch::try_from_iter_with_nullable(named).unwrap()
}

fn condition(name: &str) -> Option<Expr> {
    Some(match name {
        "less" => col("lv").lt(col("rv")),
        "sum" => (col("lk") + col("rv")).gt(4),
        "differ" => col("ls").not_eq(col("rs")),
        "greater" => col("lf").gt(col("rf")),
        "either" => col("lk").eq(1).or(col("rs").is_null()),
        "" => return None,
        other => panic!("no condition is called {other}"),
    })
}

fn key(case: &Value) -> Option<On> {
    let keys = case["keys"].as_array().unwrap();
    let pair = |key: &Value| {
        let name = key.as_str().unwrap();
        (format!("l{name}").into_key(), format!("r{name}").into_key())
    };
    let mut pairs = keys.iter().map(pair);
    let (left, right) = pairs.next()?;
    let all = pairs.fold(on(left, right), |all, (left, right)| all.and(left, right));
    let all = match condition(case["condition"].as_str().unwrap()) {
        Some(condition) => all.filter(condition),
        None => all,
    };
    Some(match case["kind"].as_str().unwrap() {
        "inner" => all.inner(),
        "left" => all.left(),
        "right" => all.right(),
        "full" => all.full(),
        "semi" => all.semi(),
        "anti" => all.anti(),
        other => panic!("no join is called {other}"),
    })
}

/// The numbers of the rows of a result, in order.
fn numbers(rows: &[RecordBatch]) -> Vec<Vec<i64>> {
    let mut all = Vec::new();
    for batch in rows {
        let columns = ["lv", "rv"].map(|name| batch.column_by_name(name));
        let value = |column: &ArrayRef, row| {
            let column = column.as_primitive::<Int64Type>();
            column.iter().nth(row).flatten().unwrap_or(NONE)
        };
        let row = |row| columns.iter().flatten().map(|column| value(column, row)).collect();
        all.extend((0..batch.num_rows()).map(row));
    }
    all.sort();
    all
}

fn run(case: &Value, engine: &Engine, broadcast: bool) -> sabot::Result<Vec<Vec<i64>>> {
    let left = Stream::from_batches([table(&case["left"], "l")])?;
    let right = Stream::from_batches([table(&case["right"], "r")])?;
    let joined = match (key(case), case["asof"].as_str().unwrap()) {
        (Some(on), "") if broadcast => left.join(&right, on.broadcast())?,
        (Some(on), "") => left.join(&right, on)?,
        (Some(on), "backward") => left.asof_join(&right, ("lt", "rt"), on)?,
        (Some(on), _) => left.asof_join(&right, ("lt", "rt"), on.forward())?,
        // Without keys by a key that is always equal, so that there are all kinds.
        (None, _) => {
            let one = |stream: Stream, name: &str| stream.with_columns([lit(1).alias(name)]);
            let with_key =
                serde_json::json!({"keys": ["1"], "kind": case["kind"], "condition": case["condition"]});
            one(left, "l1")?.join(&one(right, "r1")?, key(&with_key).unwrap())?
        }
    };
    Ok(numbers(&joined.collect_on(engine)?))
}

fn check(file: &Path) -> usize {
    let text = std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let engine = Engine::builder().workers(2).build().unwrap();
    let mut rows = 0;
    for (number, line) in text.lines().enumerate() {
        let case: Value = serde_json::from_str(line).unwrap();
        let expected: Vec<Vec<i64>> = serde_json::from_value(case["expected"].clone()).unwrap();
        for broadcast in [false, true] {
            let got = run(&case, &engine, broadcast).unwrap_or_else(|e| panic!("case {number}: {e}\n{line}"));
            assert_eq!(got, expected, "case {number} of {}, broadcast: {broadcast}\n{line}", file.display());
        }
        rows += expected.len();
    }
    assert!(rows > text.lines().count(), "{rows} rows prove little");
    text.lines().count()
}

#[test]
fn joins_are_what_duckdb_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/joins");
    assert_eq!(check(&folder.join("cases.ndjson")), 300);
}

/// Any number of further cases. Where there are none it says so, and shows nothing.
#[test]
#[allow(clippy::print_stderr, reason = "a test that shows nothing says so")]
fn joins_of_another_file_are_what_duckdb_says() {
    match std::env::var_os("SABOT_JOIN_CASES") {
        Some(file) => drop(check(Path::new(&file))),
        None => eprintln!("skipped: SABOT_JOIN_CASES is not set"),
    }
}
