//! The table against itself, its page and its examples.

use super::page::{families, markers, table};
use super::*;
use crate::builder::function;
use crate::{FunctionRegistry, Scalar, interpret, resolve};
use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

#[test]
fn names_are_words_and_unique() {
    let names: BTreeSet<&str> = Function::all().map(Function::name).collect();
    assert_eq!(names.len(), Function::all().count());
    for function in Function::all() {
        let name = function.name();
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'), "{name}");
        assert_eq!(Function::from_name(name).unwrap(), function);
        let stored = serde_json::to_string(&function).unwrap();
        assert_eq!(stored, format!("\"{name}\""));
        assert_eq!(serde_json::from_str::<Function>(&stored).unwrap(), function);
    }
    let unknown = serde_json::from_str::<Function>("\"regex_matches\"").unwrap_err().to_string();
    assert!(unknown.starts_with("unknown function regex_matches; did you mean regexp_matches?"), "{unknown}");
}

#[test]
fn rows_are_complete() {
    for function in Function::all() {
        let entry = function.entry();
        assert!(entry.about.ends_with('.'), "{function} says what it gives");
        if entry.errors.when.is_empty() {
            assert!(!(entry.errors.possible)(&[]), "{function} fails and does not say when");
        }
        let needs: Vec<Need> = entry.parameters.iter().map(|parameter| parameter.need).collect();
        let order = |need: &Need| match need {
            Need::Once => 0,
            Need::Optional => 1,
            Need::Repeated => 2,
        };
        assert!(needs.is_sorted_by_key(order), "{function}: {needs:?}");
        assert!(needs.iter().filter(|need| **need == Need::Repeated).count() <= 1, "{function}: {needs:?}");
        if let Returns::SameAs(at) = entry.returns {
            assert_ne!(entry.parameters[at].need, Need::Optional, "{function}");
        }
    }
    let substring = Function::Text(TextFunction::Substring).entry();
    assert_eq!(substring.signature(), "substring(text, start[, length])");
    assert_eq!([1, 2, 3, 4].map(|count| substring.takes_count(count)), [false, true, true, false]);
    let concat = Function::Text(TextFunction::Concat).entry();
    assert_eq!(concat.signature(), "concat(value, …)");
    assert_eq!([0, 1, 9].map(|count| concat.takes_count(count)), [false, true, true]);
}

/// Whether two results are the same, floats within the row's units in the last place.
fn same(a: &Scalar, b: &Scalar, ulp: u32) -> bool {
    match (a, b) {
        (Scalar::Float64(x), Scalar::Float64(y)) if x != y => {
            x.is_sign_positive() == y.is_sign_positive()
                && x.to_bits().abs_diff(y.to_bits()) <= u64::from(ulp)
        }
        _ => a == b,
    }
}

#[test]
fn every_example_gives_its_result() {
    let schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Int64, false)]));
    let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(Int64Array::from(vec![0]))]).unwrap();
    for of in Function::all() {
        let (args, result) = (of.entry().example)();
        let call = function(of.name(), args);
        let typed =
            resolve(&call, &schema, &FunctionRegistry::new()).unwrap_or_else(|e| panic!("{call}: {e}"));
        let value = interpret(&typed, &batch, 0).unwrap();
        assert!(same(&value, &result, of.entry().ulp), "{call} is {value}, the table says {result}");
        assert_eq!(value.data_type(), *typed.data_type(), "{call}");
    }
    assert!(!same(&Scalar::Float64(1.0), &Scalar::Float64(1.0000001), 4));
}

/// The page lists every function as the table does. `SABOT_WRITE_DOCS=1` writes the page anew.
#[test]
fn the_page_is_the_table() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/functions.md");
    let mut page = std::fs::read_to_string(&path).unwrap();
    let mut differing = Vec::new();
    for family in families() {
        let (start, end) = markers(family);
        let from = page.find(&start).unwrap_or_else(|| panic!("no {start}")) + start.len();
        let to = from + page[from..].find(&end).unwrap_or_else(|| panic!("no {end}"));
        let wanted = table(family);
        if page[from..to] != wanted {
            differing.push(family);
            page.replace_range(from..to, &wanted);
        }
    }
    if std::env::var_os("SABOT_WRITE_DOCS").is_some() {
        std::fs::write(&path, page).unwrap();
        return;
    }
    assert!(
        differing.is_empty(),
        "docs/functions.md differs from the table in {differing:?}; \
         SABOT_WRITE_DOCS=1 cargo test -p sabot-expr the_page writes it anew"
    );
}
