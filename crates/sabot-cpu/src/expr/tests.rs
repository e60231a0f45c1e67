//! The evaluator against the interpreter, on random expressions and on cases with a known answer.

use super::*;
use crate::simd::SimdVariant;
use arrow::array::{Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sabot_expr::functions::{Function, Takes};
use sabot_expr::{Expr, FunctionRegistry, Scalar, col, concat, function, interpret, lit, resolve, when};
use sabot_testkit::batch::SIZES;
use sabot_testkit::expr::random_expr;
use sabot_testkit::{random_batch, random_schema};
use std::sync::Arc;

/// Random expressions to try; the environment variable asks for more.
fn cases() -> u64 {
    std::env::var("SABOT_EXPR_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(2_000)
}

fn levels() -> Vec<Level> {
    SimdVariant::ALL.into_iter().filter_map(|v| v.level().ok()).collect()
}

fn same(a: &Scalar, b: &Scalar) -> bool {
    match (a, b) {
        (Scalar::Float32(x), Scalar::Float32(y)) if x.is_nan() => y.is_nan(),
        (Scalar::Float64(x), Scalar::Float64(y)) if x.is_nan() => y.is_nan(),
        // Null in a union is a value of one of its types, whichever.
        _ if a.is_null() => b.is_null() && a.data_type() == b.data_type(),
        _ => a == b,
    }
}

/// Evaluates over the active rows and holds every one of them against the interpreter's answers.
fn check(expr: &TypedExpr, batch: &RecordBatch, level: Level, active: Option<&[bool]>, about: &str) -> usize {
    let mask = active.map(|rows| BooleanBuffer::from(rows.to_vec()));
    let scope = Scope::new(batch.columns(), batch.num_rows(), level);
    let array = scope.evaluate(expr, mask.as_ref()).unwrap_or_else(|e| panic!("{about}\n{expr}\n{e}"));
    assert_eq!((array.len(), array.data_type()), (batch.num_rows(), expr.data_type()), "{about}\n{expr}");

    let mut checked = 0;
    for row in (0..batch.num_rows()).filter(|row| active.is_none_or(|rows| rows[*row])) {
        match interpret(expr, batch, row) {
            Err(error) => {
                assert_eq!(scope.failed(), Some(row), "{about}\n{expr}\nthe interpreter fails: {error}");
                return checked;
            }
            Ok(wanted) => {
                assert_ne!(scope.failed(), Some(row), "{about}\n{expr}\nrow {row} is {wanted}");
                let got = Scalar::from_array(array.as_ref(), row).unwrap();
                assert!(
                    same(&got, &wanted),
                    "{about}\n{expr}\nrow {row}: {got}, expected {wanted}\n{batch:?}"
                );
                checked += 1;
            }
        }
    }
    assert_eq!(scope.failed(), None, "{about}\n{expr}\nfails on a row that the interpreter computes");
    checked
}

#[test]
fn random_expressions_equal_the_interpreter() {
    let levels = levels();
    let mut checked = 0;
    for seed in 0..cases() {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let schema = random_schema(&mut rng);
        let depth = rng.random_range(1..5);
        let expr = random_expr(&mut rng, &schema, depth);
        let rows = [0, 1, 7, 63, 64, 65, 130].choose(&mut rng).copied().unwrap();
        let batch = random_batch(&mut rng, &schema, rows);
        let level = levels.choose(&mut rng).copied().unwrap();
        let about = format!("seed {seed}, {level:?}, {rows} rows");

        checked += check(&expr, &batch, level, None, &about);
        let some: Vec<bool> = (0..rows).map(|_| rng.random_bool(0.7)).collect();
        checked += check(&expr, &batch, level, Some(&some), &about);
        // Only rows that can be computed: then nothing may fail, whatever the others hold.
        let sound: Vec<bool> = (0..rows).map(|row| interpret(&expr, &batch, row).is_ok()).collect();
        checked += check(&expr, &batch, level, Some(&sound), &about);
    }
    assert!(checked > 20 * usize::try_from(cases()).unwrap(), "only {checked} values: the test says little");
}

/// The size list, sliced at odd offsets, with nulls that have values under them, in every variant.
#[test]
fn comparisons_with_a_literal_are_the_same_in_every_variant() {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let timestamp = DataType::Timestamp(TimeUnit::Microsecond, None);
    let at_zero = Scalar::Timestamp { value: 0, unit: TimeUnit::Microsecond, zone: None };
    let literals = [
        (DataType::Int64, Scalar::Int64(3)),
        (DataType::Float64, Scalar::Float64(f64::NAN)),
        (timestamp, at_zero),
    ];
    for (data_type, literal) in literals {
        let schema: SchemaRef = Schema::new(vec![Field::new("x", data_type, true)]).into();
        let value = || lit(literal.clone());
        let comparisons =
            [col("x").eq(value()), col("x").lt(value()), value().lt_eq(col("x")), col("x").not_eq(value())];
        for (rows, expr) in SIZES.into_iter().flat_map(|rows| comparisons.iter().map(move |e| (rows, e))) {
            let expr = resolve(expr, &schema, &FunctionRegistry::new()).unwrap();
            let batch = random_batch(&mut rng, &schema, rows);
            for level in levels() {
                assert_eq!(check(&expr, &batch, level, None, &format!("{level:?}, {rows} rows")), rows);
            }
        }
    }
}

fn numbers() -> RecordBatch {
    let x = Int64Array::from(vec![Some(5), Some(0), None, Some(2), Some(0)]);
    let s = StringArray::from(vec![Some("7"), Some("x"), Some("8"), None, Some("9")]);
    let schema =
        Schema::new(vec![Field::new("x", DataType::Int64, true), Field::new("s", DataType::Utf8, true)]);
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(x), Arc::new(s)]).unwrap()
}

/// The first row that fails when all are active.
fn first_failure(expr: Expr) -> Option<usize> {
    let batch = numbers();
    let typed = resolve(&expr, &batch.schema(), &FunctionRegistry::new()).unwrap();
    let scope = Scope::new(batch.columns(), batch.num_rows(), Level::SCALAR);
    scope.evaluate(&typed, None).unwrap();
    scope.failed()
}

#[test]
fn errors_exist_only_where_they_are_reached() {
    let quotient = || lit(10i64) / col("x");
    assert_eq!(first_failure(quotient()), Some(1));
    assert_eq!(first_failure(col("x").not_eq(0i64).and(quotient().gt(1i64))), None);
    assert_eq!(first_failure(col("x").eq(0i64).or(quotient().gt(1i64))), None);
    // The other way round the division comes first.
    assert_eq!(first_failure(quotient().gt(1i64).and(col("x").not_eq(0i64))), Some(1));
    assert_eq!(first_failure(when(col("x").eq(0i64)).then(0i64).otherwise(quotient())), None);
    // A condition that is null does not take its branch, and NULL AND reaches the right side.
    assert_eq!(
        first_failure(when(col("x").gt(1i64)).then(quotient()).otherwise(lit(1i64) / (col("x") - col("x")))),
        Some(1)
    );
    assert_eq!(first_failure(sabot_expr::coalesce([col("x") * 2i64, col("s").cast(DataType::Int64)])), None);
    assert_eq!(first_failure(col("s").cast(DataType::Int64)), Some(1));
    assert_eq!(first_failure(col("s").try_cast(DataType::Int64)), None);
}

#[test]
fn a_failing_constant_fails_the_first_row_that_reaches_it() {
    let one_by_zero = || lit(1i64) / lit(0i64);
    assert_eq!(first_failure(one_by_zero()), Some(0));
    assert_eq!(first_failure(when(col("x").is_null()).then(one_by_zero()).otherwise(1i64)), Some(2));
}

#[test]
fn columns_that_do_not_fit_are_internal_failures() {
    let batch = numbers();
    let typed = resolve(&col("x"), &batch.schema(), &FunctionRegistry::new()).unwrap();
    let scope = Scope::new(&batch.columns()[1..], batch.num_rows(), Level::SCALAR);
    let failure = scope.evaluate(&typed, None).unwrap_err();
    assert!(matches!(failure, Failure::Internal(message) if message.contains("column 0 \"x\"")));
}

/// Examples of functions with their arguments as constants and, but for those that must be literals, as
/// columns of a sliced batch.
#[test]
fn every_example_of_a_function_gives_its_result() {
    for of in Function::all() {
        let (args, result) = (of.entry().example)();
        let (mut columns, mut fields, mut calls) = (Vec::new(), Vec::new(), vec![args.clone()]);
        let mut open = Vec::new();
        for (i, arg) in args.into_iter().enumerate() {
            let takes = of.entry().parameter(i).unwrap().takes;
            let literal =
                matches!(takes, Takes::Word { .. } | Takes::Letters(_) | Takes::Zone | Takes::Field);
            match &arg {
                Expr::Literal(value) if !literal && *value != Scalar::Null(DataType::Null) => {
                    let array = value.to_array(5).unwrap().slice(2, 3);
                    fields.push(Field::new(format!("a{i}"), array.data_type().clone(), true));
                    columns.push(array);
                    open.push(col(format!("a{i}")));
                }
                _ => open.push(arg),
            }
        }
        calls.push(open);
        let options = RecordBatchOptions::new().with_row_count(Some(3));
        let schema: SchemaRef = Schema::new(fields).into();
        let batch = RecordBatch::try_new_with_options(schema.clone(), columns, &options).unwrap();
        for args in calls {
            let expr = resolve(&function(of.name(), args), &schema, &FunctionRegistry::new()).unwrap();
            assert_eq!(check(&expr, &batch, Level::SCALAR, None, of.name()), 3);
            let scope = Scope::new(batch.columns(), 3, Level::SCALAR);
            let got = Scalar::from_array(scope.evaluate(&expr, None).unwrap().as_ref(), 2).unwrap();
            match (&got, &result) {
                // The interpreter of this very machine gives the same bits.
                (Scalar::Float64(a), Scalar::Float64(b)) => assert!((a - b).abs() < 1e-12, "{expr}: {got}"),
                _ => assert_eq!(got, result, "{expr}"),
            }
        }
    }
}

/// Patterns that are literals are compiled with the kernel; a scope that was not told compiles them itself.
#[test]
fn regular_expressions_are_compiled_once() {
    let batch = numbers();
    let expr = col("s").regexp_matches("^[0-9]+$").or(col("s").regexp_matches(col("s")));
    let typed = resolve(&expr, &batch.schema(), &FunctionRegistry::new()).unwrap();
    let patterns = Patterns::of([&typed]);
    assert_eq!(patterns.len(), 1);
    let known = Scope::new(batch.columns(), batch.num_rows(), Level::SCALAR).with_patterns(&patterns);
    let unknown = Scope::new(batch.columns(), batch.num_rows(), Level::SCALAR);
    assert_eq!(&known.evaluate(&typed, None).unwrap(), &unknown.evaluate(&typed, None).unwrap());
}

/// Strings that would take too much memory fail their row, and only rows that are reached.
#[test]
fn long_strings_fail_their_row() {
    let long = lit("x").repeat(1i64 << 24);
    assert_eq!(first_failure(long.clone()), None);
    assert_eq!(first_failure(lit("x").repeat((1i64 << 24) + 1)), Some(0));
    assert_eq!(first_failure(lit("").repeat(i64::MAX)), None);
    assert_eq!(first_failure(lit("x").lpad(i64::MAX, "y")), Some(0));
    assert_eq!(first_failure(concat([long.clone(), col("s")])), Some(0));
    assert_eq!(first_failure(long.clone().replace("x", "xy")), Some(0));
    assert_eq!(first_failure(long.regexp_replace_all("x", "\\0\\0")), Some(0));
    let guarded = when(col("x").gt(5i64)).then(lit("x").repeat(col("x") * 100_000_000i64)).otherwise("");
    assert_eq!(first_failure(guarded), None);
    assert_eq!(first_failure(lit("x").repeat(col("x") * 100_000_000i64)), Some(0));
}
