//! Functions against DuckDB, on calls that `docs/functions-against-duckdb.py` drew and let DuckDB answer.
//!
//! The answers are large and not kept here; without a file of them the test says so and checks nothing but
//! its own reading of one.

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::Function;
use crate::builder::{function, lit, null};
use crate::{Expr, FunctionRegistry, Scalar, interpret, resolve};

fn float(text: &str) -> f64 {
    text.parse().unwrap_or_else(|_| panic!("{text} is no float"))
}

fn argument(value: &Value) -> Expr {
    match value {
        Value::Null => null(),
        Value::String(text) => lit(text.as_str()),
        Value::Number(number) => lit(number.as_i64().unwrap()),
        object => match object.as_object().unwrap().iter().next().unwrap() {
            (kind, Value::String(text)) if kind == "float" => lit(float(text)),
            (kind, ticks) if kind == "timestamp" => lit(Scalar::Timestamp {
                value: ticks.as_i64().unwrap(),
                unit: TimeUnit::Microsecond,
                zone: None,
            }),
            (_, days) => lit(Scalar::Date32(days.as_i64().unwrap().try_into().unwrap())),
        },
    }
}

fn is_near(a: f64, b: f64, ulp: u32) -> bool {
    let distance = a.to_bits().abs_diff(b.to_bits());
    a == b || (a.is_nan() && b.is_nan()) || (a.signum() == b.signum() && distance <= u64::from(ulp))
}

fn agrees(got: &Result<Scalar, crate::RowError>, answer: &Value, ulp: u32) -> bool {
    match (got, answer) {
        (Err(_), answer) => answer.as_str() == Some("error!"),
        (Ok(Scalar::Null(_)), answer) => answer.is_null(),
        (Ok(Scalar::Boolean(got)), answer) => answer.as_bool() == Some(*got),
        (Ok(Scalar::Utf8(got)), answer) => answer.as_str() == Some(got),
        (Ok(Scalar::Float64(got)), answer) => {
            answer["float"].as_str().is_some_and(|text| is_near(*got, float(text), ulp))
        }
        (Ok(Scalar::Timestamp { value, .. }), answer) => answer["timestamp"].as_i64() == Some(*value),
        (Ok(Scalar::Date32(days)), answer) => answer["date"].as_i64() == Some(i64::from(*days)),
        (Ok(integer), answer) => integer.as_integer() == answer.as_i64().map(i128::from),
    }
}

/// The calls whose answer is another one, and how many calls there were for each function.
fn differing(lines: &str) -> (Vec<String>, BTreeMap<String, usize>) {
    let schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Int64, false)]));
    let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(Int64Array::from(vec![0]))]).unwrap();
    let (mut differing, mut counts) = (Vec::new(), BTreeMap::new());
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let name = line["call"].as_str().unwrap();
        let call = function(name, line["args"].as_array().unwrap().iter().map(argument));
        let typed = match resolve(&call, &schema, &FunctionRegistry::new()) {
            Ok(typed) => typed,
            // Only nulls, for which DuckDB has a type.
            Err(error) if error.to_string().contains("nothing here gives NULL a type") => continue,
            Err(error) => panic!("{call}: {error}"),
        };
        let got = interpret(&typed, &batch, 0);
        let ulp = Function::from_name(name).unwrap().entry().ulp;
        *counts.entry(name.to_owned()).or_default() += 1;
        if !agrees(&got, &line["result"], ulp) {
            differing.push(format!("{call} is {got:?}, DuckDB says {}", line["result"]));
        }
    }
    (differing, counts)
}

#[test]
fn calls_agree_with_duckdb() {
    let sample = concat!(
        r#"{"call": "left", "args": ["Zürich", 2], "result": "Zü"}"#,
        "\n",
        r#"{"call": "shift_left", "args": [1, -1], "result": "error!"}"#,
        "\n",
        r#"{"call": "log", "args": [{"float": "2.0"}, {"float": "-inf"}], "result": {"float": "nan"}}"#,
        "\n",
    );
    assert_eq!(differing(sample).0, [] as [&str; 0]);
    // A wrong answer is noticed.
    assert_eq!(differing(&sample.replace("\"Zü\"", "\"Zur\"").replace("nan", "1.5")).0.len(), 2);

    let Some(path) = std::env::var_os("SABOT_DUCKDB_CALLS") else {
        println!("skipped: SABOT_DUCKDB_CALLS names no file of calls; see docs/functions-against-duckdb.py");
        return;
    };
    let (found, counts) = differing(&std::fs::read_to_string(path).unwrap());
    println!(
        "{} calls of {} functions: {} differ",
        counts.values().sum::<usize>(),
        counts.len(),
        found.len()
    );
    assert!(found.is_empty(), "{}", found[..found.len().min(40)].join("\n"));
}
