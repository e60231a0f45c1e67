//! Window functions, sorts, limits and distinct rows of random tables against what DuckDB makes of them.
//!
//! `cases.ndjson` holds 300 cases with DuckDB's results, made by `recompute.py` beside it, which also says
//! how to make ten thousand others; `SABOT_OVER_CASES` names a file of them that is checked as well.

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, StringArray};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use arrow::record_batch::RecordBatch;
use sabot::{OverExpr, OverFunctionExpr, SortExpr, prelude::*};
use sabot_ops::{Distance, Frame, FrameBound, FrameUnits};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;

/// A row's number, and the value that was asked for.
type Answer = (i64, Option<String>);

fn table(rows: &Value) -> RecordBatch {
    let rows = rows.as_array().unwrap();
    let column = |index: usize| rows.iter().map(move |row| &row[index]);
    let float = |value: &Value| value.as_str().map(|text| text.parse::<f64>().unwrap());
    let columns: [(&str, ArrayRef); 4] = [
        ("k", Arc::new(column(0).map(Value::as_i64).collect::<Int64Array>())),
        ("f", Arc::new(column(1).map(float).collect::<Float64Array>())),
        ("s", Arc::new(column(2).map(Value::as_str).collect::<StringArray>())),
        ("v", Arc::new(Int64Array::from_iter_values(0..rows.len() as i64))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}

fn order(case: &Value) -> Vec<SortExpr> {
    let key = |key: &Value| {
        let name = key[0].as_str().unwrap();
        let key_of = if key[1].as_bool().unwrap() { desc(name) } else { asc(name) };
        if key[2].as_bool().unwrap() { key_of.nulls_first() } else { key_of }
    };
    case["order"].as_array().unwrap().iter().map(key).collect()
}

fn names(case: &Value) -> Vec<&str> {
    case["partition"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect()
}

fn frame(case: &Value) -> Frame {
    let bound = |bound: &Value| {
        let distance = Distance::Count(bound[1].as_u64().unwrap_or(0));
        match bound[0].as_str().unwrap() {
            "unbounded preceding" => FrameBound::UnboundedPreceding,
            "preceding" => FrameBound::Preceding(distance),
            "current row" => FrameBound::CurrentRow,
            "following" => FrameBound::Following(distance),
            "unbounded following" => FrameBound::UnboundedFollowing,
            other => panic!("no bound is called {other}"),
        }
    };
    let frame = &case["frame"];
    let units = if frame["units"] == "range" { FrameUnits::Range } else { FrameUnits::Rows };
    Frame { units, start: bound(&frame["start"]), end: bound(&frame["end"]) }
}

fn value(case: &Value) -> OverExpr {
    let (argument, n) = (case["argument"].as_str().unwrap(), case["rows"].as_u64().unwrap());
    let number = |function: OverFunctionExpr| function.over(names(case), frame(case));
    let over = match case["function"].as_str().unwrap() {
        "row_number" => number(row_number()),
        "rank" => number(rank()),
        "dense_rank" => number(dense_rank()),
        "lag" => number(lag(argument, n)),
        "lead" => number(lead(argument, n)),
        "first_value" => number(first_value(argument)),
        "last_value" => number(last_value(argument)),
        "count" => count_of(col(argument)).over(names(case), frame(case)),
        "sum" => sum(col(argument)).over(names(case), frame(case)),
        "avg" => avg(col(argument)).over(names(case), frame(case)),
        "min" => min(col(argument)).over(names(case), frame(case)),
        "max" => max(col(argument)).over(names(case), frame(case)),
        other => panic!("no function is called {other}"),
    };
    over.order_by(order(case)).alias("value")
}

/// The answer to a case: for sorts in their order, else by number.
fn run(case: &Value, engine: &Engine) -> sabot::Result<Vec<Answer>> {
    let rows = Stream::from_batches([table(&case["table"])])?;
    let (skip, fetch) = (case["skip"].as_u64().unwrap_or(0), case["fetch"].as_u64().unwrap_or(0));
    let none = || lit(0i64).alias("value");
    let asked = case["ask"].as_str().unwrap();
    let stream = match asked {
        "over" => rows.with_columns([value(case)])?,
        "sort" => rows.sort(order(case))?.with_columns([none()])?,
        "limit" => rows.sort(order(case))?.slice(skip, fetch)?.with_columns([none()])?,
        "top_n" => {
            rows.top_n_by(names(case), fetch, order(case))?.with_columns([col("rank").alias("value")])?
        }
        "first" => rows.unique(names(case), Keep::First)?.with_columns([none()])?,
        "last" => rows.unique(names(case), Keep::Last)?.with_columns([none()])?,
        "distinct" => {
            let kinds = rows.select(names(case).into_iter().map(col))?.distinct()?;
            kinds.group_by::<&str>([])?.aggregate([count().alias("v")])?.with_columns([none()])?
        }
        other => panic!("nobody can ask for {other}"),
    };
    let mut answers = Vec::new();
    for batch in stream.collect_on(engine)? {
        let numbers = batch.column_by_name("v").unwrap().as_primitive::<Int64Type>().clone();
        let values = batch.column_by_name("value").unwrap().clone();
        answers.extend((0..batch.num_rows()).map(|row| (numbers.value(row), text(&values, row))));
    }
    if !matches!(asked, "sort" | "limit") {
        answers.sort();
    }
    Ok(answers)
}

fn text(column: &ArrayRef, row: usize) -> Option<String> {
    (!column.is_null(row)).then(|| match column.data_type() {
        DataType::Float64 => float(column.as_primitive::<Float64Type>().value(row)),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
        _ => column.as_string::<i32>().value(row).to_owned(),
    })
}

/// One text for both zeros.
fn float(x: f64) -> String {
    format!("{:?}", if x == 0.0 { 0.0 } else { x })
}

/// What DuckDB says, in the same form.
fn expected(case: &Value) -> Vec<Answer> {
    let of_floats = case["ask"] == "over"
        && match case["function"].as_str().unwrap() {
            "avg" => true,
            "lag" | "lead" | "first_value" | "last_value" | "sum" | "min" | "max" => case["argument"] == "f",
            _ => false,
        };
    let answer = |row: &Value| {
        let value = row[1].as_str().map(|text| match of_floats {
            true => float(text.parse().unwrap()),
            false => text.to_owned(),
        });
        (row[0].as_i64().unwrap(), value)
    };
    case["expected"].as_array().unwrap().iter().map(answer).collect()
}

fn check(file: &Path) -> usize {
    let lines = std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let engines = [1, 3].map(|keyed| {
        let builder = Engine::builder().workers(2).keyed_parallelism(keyed).morsel_rows(4 * keyed - 1);
        builder.build().unwrap()
    });
    let mut rows = 0;
    for (number, line) in lines.lines().enumerate() {
        let case: Value = serde_json::from_str(line).unwrap();
        let expected = expected(&case);
        for engine in &engines {
            let got = run(&case, engine).unwrap_or_else(|e| panic!("case {number}: {e}\n{line}"));
            assert_eq!(got, expected, "case {number} of {}\n{line}", file.display());
        }
        rows += expected.len();
    }
    assert!(rows > lines.lines().count(), "{rows} rows prove little");
    lines.lines().count()
}

#[test]
fn values_over_rows_and_orders_are_what_duckdb_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/over");
    assert_eq!(check(&folder.join("cases.ndjson")), 300);
}

/// Any number of further cases. Where there are none it says so, and shows nothing.
#[test]
#[allow(clippy::print_stderr, reason = "a test that shows nothing says so")]
fn values_of_another_file_are_what_duckdb_says() {
    match std::env::var_os("SABOT_OVER_CASES") {
        Some(file) => drop(check(Path::new(&file))),
        None => eprintln!("skipped: SABOT_OVER_CASES is not set"),
    }
}
