//! Built-in functions: a cell for each, with calls drawn from its row in the table.
//!
//! Arguments are columns of every type that a parameter takes, and literals, so that each function meets
//! nulls, poison under them, slices and dead rows in every position, and constants too.

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use sabot_batch::hidden;
use sabot_expr::functions::{Function, Need, Parameter, Takes};
use sabot_expr::types::{is_integer, is_numeric, is_plain_string, list_item};
use sabot_expr::{Expr, FunctionRegistry, Scalar, col, resolve};

use super::Cases;
use super::filter_project::Query;
use super::generated;
use crate::Fragment;
use crate::conformance::bench::{Bench, Checked};
use crate::conformance::data::{self, Values, with_hidden};

/// Calls of one function in its case.
const CALLS: usize = 16;

pub(super) fn add(cases: &mut Cases) {
    for function in Function::all() {
        cases.cell(format!("filter-project/function/{function}"), move |bench| check(bench, function));
    }
}

fn check(bench: &mut Bench<'_>, function: Function) -> Checked {
    let schema = schema();
    let registry = FunctionRegistry::new();
    for values in [Values::Tame, Values::Mixed] {
        let morsels = bench.morsels(&schema, false, &|_| values)?;
        let mut calls = Vec::new();
        while calls.len() < CALLS {
            let call = call(&mut bench.rng, function);
            // Literals that do not fit each other are refused, and so are columns that have no common type.
            if resolve(&call, &schema, &registry).is_ok() {
                calls.push(call);
            }
        }
        // One at a time, because a row that fails in one call hides the others.
        for call in calls {
            let (step, columns) = Query::select([call]).step(&schema)?;
            let fragment = Fragment::new(schema.clone(), vec![step])?;
            bench.check(&fragment, &morsels, &columns)?;
        }
    }
    Ok(())
}

/// The columns of generated expressions, and lists and structs.
fn schema() -> SchemaRef {
    let plain = generated::schema();
    let plain = plain.fields().iter().filter(|field| !hidden::is_hidden(field.name()));
    let mut fields: Vec<Field> = plain.map(|field| field.as_ref().clone()).collect();
    let nested = data::payload_types().into_iter().filter(|t| list_item(t).is_some() || is_struct(t));
    fields.extend(nested.enumerate().map(|(i, t)| Field::new(format!("nested{i}"), t, true)));
    with_hidden(Schema::new(fields), &[hidden::ROW])
}

fn is_struct(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Struct(_))
}

/// A call with arguments of some types that the function takes.
fn call(rng: &mut ChaCha8Rng, function: Function) -> Expr {
    let mut args = Vec::new();
    for parameter in function.entry().parameters {
        let times = match parameter.need {
            Need::Once => 1,
            Need::Optional => rng.random_range(0..2),
            Need::Repeated => rng.random_range(1..4),
        };
        args.extend((0..times).map(|_| argument(rng, parameter)));
        if times == 0 {
            break;
        }
    }
    Expr::Function { name: function.name().to_owned(), args }
}

fn argument(rng: &mut ChaCha8Rng, parameter: &Parameter) -> Expr {
    let text = |text: &str| Expr::Literal(Scalar::from(text));
    let number = |t: &DataType| is_numeric(t);
    match parameter.takes {
        Takes::Text if rng.random_bool(0.4) => {
            text(["", "a", " ", "1", "-", "ż", "🐢", "ab", "\\0"].choose(rng).copied().unwrap_or_default())
        }
        Takes::Text => column(rng, is_plain_string),
        Takes::Pattern if rng.random_bool(0.8) => {
            text(["[0-9]+", "(a)|(b)", "^.", "", "(?i)B", "x*"].choose(rng).copied().unwrap_or_default())
        }
        Takes::Pattern => column(rng, is_plain_string),
        Takes::Count if rng.random_bool(0.7) => Expr::Literal(Scalar::Int64(rng.random_range(-3..9))),
        Takes::Count | Takes::Integer => column(rng, is_integer),
        Takes::Number | Takes::Float => column(rng, number),
        Takes::Time => column(rng, |t| matches!(t, DataType::Date32 | DataType::Timestamp(_, _))),
        Takes::Printable | Takes::Key => column(rng, |_| true),
        Takes::Comparable if rng.random_bool(0.7) => column(rng, number),
        Takes::Comparable => column(rng, |_| true),
        Takes::List => column(rng, |t| list_item(t).is_some()),
        Takes::Item if rng.random_bool(0.3) => {
            [text("a"), Expr::Literal(Scalar::Int64(1)), Expr::Literal(Scalar::Null(DataType::Null))]
                .choose(rng)
                .cloned()
                .unwrap_or(text(""))
        }
        Takes::Item => column(rng, |_| true),
        Takes::Struct => column(rng, is_struct),
        Takes::Field => {
            let schema = schema();
            let names = schema.fields().iter().filter_map(|field| match field.data_type() {
                DataType::Struct(fields) => {
                    Some(fields.iter().map(|field| field.name().clone()).collect::<Vec<_>>())
                }
                _ => None,
            });
            text(names.flatten().collect::<Vec<_>>().choose(rng).map_or("", String::as_str))
        }
        Takes::Word { words, .. } => text(words().choose(rng).copied().unwrap_or_default()),
        Takes::Letters(known) => text(&known.chars().filter(|_| rng.random_bool(0.3)).collect::<String>()),
        Takes::Zone => {
            text(["Europe/Zurich", "Australia/Lord_Howe", "-02:30"].choose(rng).copied().unwrap_or("UTC"))
        }
    }
}

/// A column whose type fits, or now and then a literal of that type.
fn column(rng: &mut ChaCha8Rng, wanted: impl Fn(&DataType) -> bool) -> Expr {
    let schema = schema();
    let fields = schema.fields().iter().filter(|f| !hidden::is_hidden(f.name()));
    let fields: Vec<_> = fields.filter(|f| wanted(sabot_expr::types::decoded_type(f.data_type()))).collect();
    match fields.choose(rng) {
        Some(field) if rng.random_bool(0.85) => col(field.name().as_str()),
        Some(field) => {
            let plain = sabot_expr::types::decoded_type(field.data_type());
            Expr::Literal(data::scalar(rng, plain, Values::Tame))
        }
        None => Expr::Literal(Scalar::Null(DataType::Null)),
    }
}
