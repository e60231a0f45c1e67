//! What expressions mean, row by row: above all which rows are in error.

use super::*;
use crate::builder::{IntoExpr, call, coalesce, col, lit, null, when};
use crate::expr::{Expr, TruncUnit};
use crate::registry::{ClosureFunction, FunctionError, FunctionRegistry};
use crate::resolve::resolve;
use arrow::array::{
    Array, AsArray, BooleanArray, Date32Array, DictionaryArray, Float64Array, Int8Array, Int64Array,
    StringArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow::datatypes::IntervalUnit;
use arrow::datatypes::{Field, Int32Type, Int64Type, Schema};
use std::cmp::Ordering;
use std::sync::Arc;

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields = columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    RecordBatch::try_new(schema, columns.into_iter().map(|(_, array)| array).collect()).unwrap()
}

fn one_row() -> RecordBatch {
    batch(vec![("x", Arc::new(Int64Array::from(vec![0])))])
}

fn run(expr: impl IntoExpr, batch: &RecordBatch) -> Vec<Result<Scalar, RowError>> {
    let typed = resolve(&expr.into_expr(), &batch.schema(), &FunctionRegistry::new()).unwrap();
    (0..batch.num_rows()).map(|row| interpret(&typed, batch, row)).collect()
}

/// The value of an expression without columns.
fn value(expr: impl IntoExpr) -> Scalar {
    run(expr, &one_row()).remove(0).unwrap()
}

fn message(expr: impl IntoExpr) -> String {
    run(expr, &one_row()).remove(0).unwrap_err().to_string()
}

fn truths(results: Vec<Result<Scalar, RowError>>) -> Vec<Option<bool>> {
    results.into_iter().map(|result| result.unwrap().as_bool()).collect()
}

/// An expression that is an error wherever it is reached.
fn error() -> Expr {
    (lit(1) / 0).eq(1)
}

#[test]
fn logic_is_three_valued() {
    let (t, f, n) = (|| lit(true), || lit(false), || null().cast(DataType::Boolean));
    let table = [
        (t().and(t()), Some(true)),
        (t().and(f()), Some(false)),
        (t().and(n()), None),
        (f().and(n()), Some(false)),
        (n().and(t()), None),
        (n().and(f()), Some(false)),
        (n().and(n()), None),
        (f().or(f()), Some(false)),
        (f().or(n()), None),
        (t().or(n()), Some(true)),
        (n().or(t()), Some(true)),
        (n().or(f()), None),
        (n().not(), None),
        (t().not(), Some(false)),
        (n().is_null(), Some(true)),
        (n().is_not_null(), Some(false)),
    ];
    for (expr, expected) in table {
        assert_eq!(value(expr.clone()).as_bool(), expected, "{expr}");
    }
}

#[test]
fn errors_exist_only_for_rows_that_reach_them() {
    let guarded =
        |xs: Vec<Option<i64>>, expr: Expr| run(expr, &batch(vec![("x", Arc::new(Int64Array::from(xs)))]));
    let divides = || (10 / col("x")).gt(1);
    let xs = vec![Some(2), Some(0), None, Some(-1)];
    assert_eq!(
        truths(guarded(xs.clone(), col("x").not_eq(0).and(divides()))),
        [Some(true), Some(false), None, Some(false)]
    );
    assert_eq!(
        truths(guarded(xs.clone(), col("x").eq(0).or(divides()))),
        [Some(true), Some(true), None, Some(false)]
    );
    let case = when(col("x").eq(0)).then(-1).otherwise(10 / col("x"));
    let values: Vec<_> = guarded(xs.clone(), case).into_iter().map(|r| r.unwrap().as_integer()).collect();
    assert_eq!(values, [Some(5), Some(-1), None, Some(-10)]);
    // The other order reaches the division first.
    let errors: Vec<_> =
        guarded(xs, divides().and(col("x").not_eq(0))).into_iter().map(|r| r.is_err()).collect();
    assert_eq!(errors, [false, true, false, false]);
}

#[test]
fn short_circuits_are_exactly_those_of_the_language() {
    let unknown = || null().cast(DataType::Boolean);
    let no_error = [
        lit(false).and(error()),
        lit(true).or(error()),
        when(true).then(1).when(error()).then(2).otherwise(lit(1) / 0).eq(1),
        when(false).then(lit(1) / 0).otherwise(1).eq(1),
        coalesce([lit(1), lit(1) / 0]).eq(1),
        lit(1).in_list([lit(1), lit(1) / 0]),
        lit(5).between(7, lit(1) / 0),
    ];
    for expr in no_error {
        assert!(run(expr.clone(), &one_row())[0].is_ok(), "{expr}");
    }
    let reached = [
        lit(true).and(error()),
        unknown().and(error()),
        error().and(false),
        lit(false).or(error()),
        unknown().or(error()),
        error().or(true),
        when(unknown()).then(1).when(error()).then(2).otherwise(3).eq(1),
        coalesce([null(), lit(1) / 0]).eq(1),
        lit(1).in_list([lit(2), null(), lit(1) / 0]),
        null().cast(DataType::Int32).in_list([lit(1), lit(1) / 0]),
        lit(5).between(3, lit(1) / 0),
        (null().cast(DataType::Int32) + lit(1) / 0).eq(1),
        null().eq(lit(1) / 0),
        error().is_null(),
    ];
    for expr in reached {
        assert_eq!(
            run(expr.clone(), &one_row())[0].as_ref().unwrap_err().error,
            RowErrorKind::DivisionByZero { op: "/", left: "1".to_owned() },
            "{expr}"
        );
    }
}

#[test]
fn integers_overflow_into_errors() {
    for (expr, text) in [
        (lit(127i8) + 1i8, "127 + 1 does not fit int8 in `127 + 1`"),
        (lit(0u8) - 1u8, "0 - 1 does not fit uint8 in `0 - 1`"),
        (lit(u64::MAX) * u64::MAX, &format!("{0} * {0} does not fit uint64 in `{0} * {0}`", u64::MAX)),
        (lit(i64::MIN) / -1i64, &format!("{0} / -1 does not fit int64 in `{0} / -1`", i64::MIN)),
        (lit(i8::MIN) % lit(-1i8), "-128 % -1 does not fit int8 in `-128 % -1`"),
        (lit(5) / 0, "division by zero: 5 / 0 in `5 / 0`"),
        (lit(5) % 0, "division by zero: 5 % 0 in `5 % 0`"),
        (-lit(i8::MIN), "-(-128) does not fit int8 in `-(-128)`"),
        (lit(i32::MIN).abs(), "abs(-2147483648) does not fit int32 in `abs(-2147483648)`"),
        (
            lit(1.0) + lit("x").cast(DataType::Float64),
            "cannot cast 'x' from utf8 to float64; try_cast gives null instead in `CAST('x' AS float64)`",
        ),
    ] {
        assert_eq!(message(expr), text);
    }
}

#[test]
fn integers_divide_toward_zero_and_wrap_on_request() {
    for (expr, expected) in [
        (lit(7) / 2, 3),
        (lit(-7) / 2, -3),
        (lit(-7) % 2, -1),
        (lit(7) % -2, 1),
        (lit(i32::MAX).wrapping_add(1), i32::MIN),
        (lit(i32::MIN).wrapping_sub(1), i32::MAX),
        (lit(i32::MAX).wrapping_mul(i32::MAX), 1),
        (lit(-5).abs(), 5),
        (-lit(5), -5),
    ] {
        assert_eq!(value(expr.clone()), Scalar::Int32(expected), "{expr}");
    }
    assert_eq!(value(lit(u64::MAX).wrapping_mul(u64::MAX)), Scalar::UInt64(1));
    assert_eq!(value(lit(0u16).wrapping_sub(1u16)), Scalar::UInt16(u16::MAX));
    assert_eq!(value(lit(1) + null()), Scalar::Null(DataType::Int32));
}

#[test]
fn decimals_are_exact_or_errors() {
    let d = |text: &str, precision, scale| lit(text).cast(DataType::Decimal128(precision, scale));
    for (expr, text, data_type) in [
        (d("1.10", 10, 2) + d("2.205", 10, 3), "3.305", "decimal128(12, 3)"),
        (d("1.10", 10, 2) * d("-2.5", 10, 1), "-2.750", "decimal128(20, 3)"),
        (d("1", 10, 2) / d("3", 10, 2), "0.3333333333333", "decimal128(23, 13)"),
        (d("-2", 10, 2) / d("3", 10, 2), "-0.6666666666667", "decimal128(23, 13)"),
        (d("-7.5", 10, 1) % d("2", 10, 0), "-1.5", "decimal128(10, 1)"),
        (d("1.5", 10, 1) + 1, "2.5", "decimal128(11, 1)"),
        (-d("1.5", 10, 1), "-1.5", "decimal128(10, 1)"),
    ] {
        let value = value(expr.clone());
        assert_eq!(
            (value.to_string().as_str(), type_name(&value.data_type()).as_str()),
            (text, data_type),
            "{expr}"
        );
    }
    assert_eq!(value(d("1.5", 10, 1) + 0.5), Scalar::Float64(2.0));
    assert_eq!(value(d("1.50", 10, 2).eq(d("1.5", 5, 1))), Scalar::Boolean(true));
    assert_eq!(value(d("1.50", 10, 2).gt("1.49")), Scalar::Boolean(true));
    assert!(value(d("1.50", 10, 2) + null()).is_null());
    let nines = "9".repeat(38);
    assert_eq!(
        message(d(&nines, 38, 0) + 1),
        format!("{nines} + 1 does not fit decimal128(38, 0) in `{nines} + 1`")
    );
    assert_eq!(message(d("1.5", 10, 1) / d("0", 5, 1)), "division by zero: 1.5 / 0 in `1.5 / 0.0`");
    assert_eq!(
        message(lit("1e9").cast(DataType::Decimal128(5, 2))),
        "cannot cast '1e9' from utf8 to decimal128(5, 2); try_cast gives null instead in `CAST('1e9' AS decimal128(5, 2))`"
    );
}

#[test]
fn spans_are_added_to_times() {
    let span = |text: &str| lit(text).cast(DataType::Interval(IntervalUnit::MonthDayNano));
    let time = |text: &str, unit| lit(text).cast(DataType::Timestamp(unit, None));
    let wait = |value, unit| lit(Scalar::Duration { value, unit });
    use arrow::datatypes::TimeUnit::{Microsecond, Millisecond, Second};
    for (expr, text) in [
        (time("2001-01-31", Second) + span("1 month"), "TIMESTAMP '2001-02-28T00:00:00'"),
        (time("2001-03-31", Second) - span("1 month 1 day"), "TIMESTAMP '2001-02-27T00:00:00'"),
        (span("12:00:00.5") + time("2001-01-01", Millisecond), "TIMESTAMP '2001-01-01T12:00:00.500'"),
        (lit("2001-01-31").cast(DataType::Date32) + span("1 day"), "TIMESTAMP '2001-02-01T00:00:00'"),
        (time("2001-01-01", Second) + wait(-1, Microsecond), "TIMESTAMP '2000-12-31T23:59:59.999999'"),
        (time("2001-01-02", Second) - time("2001-01-01", Millisecond), "DURATION '86400000ms'"),
        (wait(5, Second) + wait(1, Millisecond), "DURATION '5001ms'"),
        (wait(5, Second) * -3, "DURATION '-15s'"),
        (wait(-7, Second) / 2, "DURATION '-3s'"),
        (-wait(7, Second), "DURATION '-7s'"),
        (span("1 month") + span("1 day"), "INTERVAL '1 month 1 day'"),
        (span("1 month") - span("1 day"), "INTERVAL '1 month -1 day'"),
        (span("1 month -2 days") * 3, "INTERVAL '3 months -6 days'"),
        (-span("1 month"), "INTERVAL '-1 month'"),
    ] {
        assert_eq!(value(expr.clone()).to_string(), text, "{expr}");
    }
    assert_eq!(value(span("1 day").eq(span("24:00:00"))), Scalar::Boolean(false));
    assert!(value(time("2001-01-01", Second) + null()).is_null());
    for (expr, text) in [
        (
            lit(Scalar::Timestamp { value: i64::MAX, unit: Second, zone: None }) + span("1 month"),
            "does not fit timestamp(s)",
        ),
        (wait(i64::MAX, Second) + wait(1, Second), "does not fit duration(s)"),
        (wait(1, Second) / 0, "division by zero: DURATION '1s' / 0"),
        (-wait(i64::MIN, Second), "-(DURATION '-9223372036854775808s') does not fit duration(s)"),
        (span("178956970 years") * 2, "does not fit interval(month_day_nano)"),
    ] {
        let message = message(expr.clone());
        assert!(message.contains(text), "{expr}: {message}");
    }
}

#[test]
fn lists_and_structs_compare_by_what_they_hold() {
    let item = |values: &[Option<i32>]| Scalar::List {
        data_type: DataType::new_list(DataType::Int32, true),
        items: values.iter().map(|v| v.map_or(Scalar::Null(DataType::Int32), Scalar::Int32)).collect(),
    };
    // In ascending order; null is greater than everything.
    let lists = [
        item(&[]),
        item(&[Some(1)]),
        item(&[Some(1), Some(0)]),
        item(&[Some(1), None]),
        item(&[Some(2)]),
        item(&[None]),
    ];
    for (i, a) in lists.iter().enumerate() {
        for (j, b) in lists.iter().enumerate() {
            assert_eq!(compare(a, b), Some(i.cmp(&j)), "{a} {b}");
            assert_eq!(value(lit(a.clone()).lt(b.clone())).as_bool(), Some(i < j));
            assert_eq!(value(lit(a.clone()).eq(b.clone())).as_bool(), Some(i == j));
        }
    }
    assert_eq!(compare(&Scalar::Binary([1].into()), &Scalar::Binary([1, 0].into())), Some(Ordering::Less));
}

#[test]
fn floats_follow_ieee_and_never_fail() {
    for (expr, expected) in [
        (lit(1.0) / 0.0, f64::INFINITY),
        (lit(-1.0) / 0.0, f64::NEG_INFINITY),
        (lit(5.5) % 2.0, 1.5),
        (lit(-5.5) % 2.0, -1.5),
        (lit(2.5).round(), 3.0),
        (lit(-2.5).round(), -3.0),
        (lit(0.0).ln(), f64::NEG_INFINITY),
        (lit(0).exp(), 1.0),
        (lit(9).sqrt(), 3.0),
        (lit(f64::MAX) + f64::MAX, f64::INFINITY),
    ] {
        assert_eq!(value(expr.clone()), Scalar::Float64(expected), "{expr}");
    }
    for expr in [lit(0.0) / 0.0, lit(1.0) % 0.0, lit(-1.0).sqrt(), lit(-1.0).ln()] {
        assert!(value(expr.clone()).as_float().unwrap().is_nan(), "{expr}");
    }
    // Computed in 32 bits, not widened.
    assert_eq!(value(lit(0.1f32) + 0.2f32), Scalar::Float32(0.1f32 + 0.2f32));
}

#[test]
fn comparison_of_floats_is_a_total_order() {
    // In ascending order; equal neighbours share a group.
    let groups: [&[f64]; 7] = [
        &[f64::NEG_INFINITY],
        &[-1.5],
        &[-f64::MIN_POSITIVE],
        &[-0.0, 0.0],
        &[1.5],
        &[f64::INFINITY],
        &[f64::NAN, -f64::NAN, f64::from_bits(0x7ff8_0000_0000_0001)],
    ];
    for (i, left) in groups.iter().enumerate() {
        for (j, right) in groups.iter().enumerate() {
            for (a, b) in left.iter().flat_map(|a| right.iter().map(move |b| (*a, *b))) {
                assert_eq!(compare(&a.into(), &b.into()), Some(i.cmp(&j)), "{a} {b}");
                assert_eq!(value(lit(a).eq(b)).as_bool(), Some(i == j));
                assert_eq!(value(lit(a).not_eq(b)).as_bool(), Some(i != j));
                assert_eq!(value(lit(a).lt(b)).as_bool(), Some(i < j));
                assert_eq!(value(lit(a).gt_eq(b)).as_bool(), Some(i >= j));
                assert_eq!(value(lit(a).in_list([b])).as_bool(), Some(i == j));
                assert_eq!(value(lit(a).between(b, b)).as_bool(), Some(i == j));
            }
        }
    }
    assert_eq!(compare(&f32::NAN.into(), &f32::INFINITY.into()), Some(Ordering::Greater));
    assert_eq!(compare(&1.into(), &1i64.into()), None);
    assert_eq!(compare(&Scalar::Null(DataType::Int32), &1.into()), None);
}

#[test]
fn in_lists_know_nulls() {
    for (expr, expected) in [
        (lit(1).in_list([lit(2), lit(1)]), Some(true)),
        (lit(1).in_list([lit(2), lit(3)]), Some(false)),
        (lit(1).in_list([lit(2), null()]), None),
        (lit(1).in_list([null(), lit(1)]), Some(true)),
        (lit(1).not_in_list([lit(2), null()]), None),
        (lit(1).not_in_list([lit(2)]), Some(true)),
        (null().in_list([lit(1)]), None),
        (lit("b").between("a", "c"), Some(true)),
        (lit(5).between(null(), 3), Some(false)),
        (lit(2).between(null(), 3), None),
        (lit(5).not_between(1, 3), Some(true)),
    ] {
        assert_eq!(value(expr.clone()).as_bool(), expected, "{expr}");
    }
}

#[test]
fn strings_match_by_character() {
    for (expr, expected) in [
        (lit("SFO").like("S_O"), Some(true)),
        (lit("Zürich").like("Z_rich"), Some(true)),
        (lit("100%").like("100\\%"), Some(true)),
        (lit("1000").not_like("100\\%"), Some(true)),
        (lit("a%b").like_escaped("a!%b", '!'), Some(true)),
        (lit("x").like(null()), None),
        (lit("SFO").starts_with("SF"), Some(true)),
        (lit("SFO").ends_with("SF"), Some(false)),
        (lit("SFO").contains(""), Some(true)),
        (null().contains("x"), None),
        (lit("a").lt("é"), Some(true)),
        (lit("Z").lt("a"), Some(true)),
    ] {
        assert_eq!(value(expr.clone()).as_bool(), expected, "{expr}");
    }
}

#[test]
fn columns_of_every_kind_are_read() {
    let origin: DictionaryArray<Int32Type> = vec![Some("SFO"), None, Some("OAK")].into_iter().collect();
    let micros = TimestampMicrosecondArray::from(vec![Some(-1), None, Some(0)]).with_timezone("UTC");
    let input = batch(vec![
        ("origin", Arc::new(origin)),
        ("at", Arc::new(micros)),
        ("day", Arc::new(Date32Array::from(vec![-1, 0, 59]))),
        ("flag", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
        ("id", Arc::new(UInt64Array::from(vec![u64::MAX, 0, 1]))),
    ]);
    assert_eq!(truths(run(col("origin").eq("SFO"), &input)), [Some(true), None, Some(false)]);
    assert_eq!(truths(run(col("origin").like("%K"), &input)), [Some(false), None, Some(true)]);
    assert_eq!(truths(run(!col("flag"), &input)), [Some(false), None, Some(true)]);
    assert_eq!(truths(run(col("at").lt(col("day")), &input)), [Some(false), None, Some(true)]);
    let integers = |expr: Expr| -> Vec<Option<i128>> {
        run(expr, &input).into_iter().map(|r| r.unwrap().as_integer()).collect()
    };
    assert_eq!(integers(col("at").year()), [Some(1969), None, Some(1970)]);
    assert_eq!(integers(col("at").microsecond()), [Some(999_999), None, Some(0)]);
    assert_eq!(integers(col("day").day_of_week()), [Some(3), Some(4), Some(7)]);
    assert_eq!(integers(col("day").hour()), [Some(0); 3]);
    assert_eq!(integers(col("id")), [Some(u64::MAX.into()), Some(0), Some(1)]);
    assert_eq!(
        run(col("day").date_trunc(TruncUnit::Month), &input).remove(0),
        Ok(Scalar::Date32(-31)),
        "1969-12-31 belongs to December 1969"
    );
    assert_eq!(
        run(col("at").date_trunc(TruncUnit::Hour), &input).remove(0).unwrap().to_string(),
        "TIMESTAMP '1969-12-31T23:00:00Z'"
    );
}

#[test]
fn dates_that_cannot_be_floored_or_widened_are_errors() {
    let first =
        Scalar::Timestamp { value: i64::MIN, unit: arrow::datatypes::TimeUnit::Nanosecond, zone: None };
    assert_eq!(
        message(lit(first.clone()).date_trunc(TruncUnit::Year)),
        "date_trunc(TIMESTAMP '1677-09-21T00:12:43.145224192') does not fit timestamp(ns) in \
         `date_trunc('year', TIMESTAMP '1677-09-21T00:12:43.145224192')`"
    );
    let seconds = arrow::array::TimestampSecondArray::from(vec![i64::MAX, 5]);
    let input = batch(vec![("s", Arc::new(seconds))]);
    let compared = run(col("s").gt(first), &input);
    assert!(matches!(compared[0].as_ref().unwrap_err().error, RowErrorKind::CastFailed { .. }));
    assert_eq!(compared[1], Ok(Scalar::Boolean(true)));
}

#[test]
fn casts_fail_or_give_null() {
    let input = batch(vec![("s", Arc::new(StringArray::from(vec![Some("7"), Some("x"), None])))]);
    let strict = run(col("s").cast(DataType::Int8), &input);
    assert_eq!((&strict[0], &strict[2]), (&Ok(Scalar::Int8(7)), &Ok(Scalar::Null(DataType::Int8))));
    let error = strict[1].as_ref().unwrap_err();
    assert_eq!((error.row, error.expression.as_str()), (1, "CAST(s AS int8)"));
    assert_eq!(
        error.to_string(),
        "cannot cast 'x' from utf8 to int8; try_cast gives null instead in `CAST(s AS int8)`"
    );
    let lenient: Vec<_> =
        run(col("s").try_cast(DataType::Int8), &input).into_iter().map(Result::unwrap).collect();
    assert_eq!(lenient, [Scalar::Int8(7), Scalar::Null(DataType::Int8), Scalar::Null(DataType::Int8)]);
}

#[test]
fn whole_batches_keep_types_and_passed_through_bits() {
    let origin: DictionaryArray<Int32Type> = vec![Some("SFO"), None].into_iter().collect();
    let odd_nan = f64::from_bits(0x7ff8_0000_0000_beef);
    let input = batch(vec![
        ("origin", Arc::new(origin)),
        ("f", Arc::new(Float64Array::from(vec![odd_nan, -0.0]))),
        ("n", Arc::new(Int8Array::from(vec![Some(100), None]))),
    ]);
    let whole = |expr: Expr| {
        let typed = resolve(&expr, &input.schema(), &FunctionRegistry::new()).unwrap();
        let array = interpret_batch(&typed, &input);
        if let Ok(array) = &array {
            assert_eq!(array.data_type(), typed.data_type());
        }
        array
    };
    assert!(matches!(whole(col("origin")).unwrap().data_type(), DataType::Dictionary(_, _)));
    let bits = |array: ArrayRef| {
        array
            .as_primitive::<arrow::datatypes::Float64Type>()
            .values()
            .iter()
            .map(|v| v.to_bits())
            .collect::<Vec<_>>()
    };
    let raw = vec![odd_nan.to_bits(), (-0.0f64).to_bits()];
    assert_eq!(bits(whole(col("f")).unwrap()), raw);
    assert_eq!(bits(whole(coalesce([col("f"), lit(1.0)])).unwrap()), raw);
    assert_eq!(whole(col("n") + 1).unwrap().null_count(), 1);
    assert_eq!(whole(col("n") + 100).unwrap_err().row, 0);
    let empty = input.slice(0, 0);
    let typed = resolve(&(col("n") + 100), &input.schema(), &FunctionRegistry::new()).unwrap();
    assert_eq!(interpret_batch(&typed, &empty).unwrap().len(), 0);
}

#[test]
fn a_batch_of_another_shape_is_an_error_and_no_panic() {
    let input =
        batch(vec![("a", Arc::new(Int8Array::from(vec![1]))), ("b", Arc::new(Int8Array::from(vec![1])))]);
    let typed = resolve(&(col("b") + 1), &input.schema(), &FunctionRegistry::new()).unwrap();
    let narrow = input.project(&[0]).unwrap();
    let error = interpret(&typed, &narrow, 0).unwrap_err();
    assert_eq!(error.to_string(), "batch does not fit the expression: column 1 of 1 columns in `b`");
    let error = interpret(&typed, &input, 1).unwrap_err();
    assert_eq!(error.to_string(), "batch does not fit the expression: row 1 of 1 rows in `b + 1`");
    let error = interpret(&typed.map_columns(&|_| 0), &one_row(), 0).unwrap_err();
    assert_eq!(
        error.to_string(),
        "batch does not fit the expression: column 0 is int64, resolved as int8 in `b`"
    );
}

#[test]
fn user_functions_run_report_and_are_checked() {
    let mut registry = FunctionRegistry::new();
    let add = |name: &str, body: fn(&[ArrayRef], usize) -> Result<ArrayRef, FunctionError>| {
        Arc::new(ClosureFunction::new(name, 1, [DataType::Int64], DataType::Int64, body))
    };
    let next = add("next", |args, _| {
        let input = args[0].as_primitive::<Int64Type>();
        if let Some(row) = input.iter().position(|v| v == Some(13)) {
            return Err(FunctionError::at_row(row, "13 brings bad luck"));
        }
        Ok(Arc::new(input.iter().map(|v| v.map(|v| v + 1)).collect::<Int64Array>()))
    });
    let liar = add("liar", |_, rows| Ok(Arc::new(Int8Array::from(vec![1; rows]))));
    for function in [next, liar] {
        registry.register(function).unwrap();
    }
    let input = batch(vec![("x", Arc::new(Int64Array::from(vec![Some(1), Some(13), None])))]);
    let typed = resolve(&call("next", 1, [col("x")]), &input.schema(), &registry).unwrap();
    assert_eq!(interpret(&typed, &input, 0), Ok(Scalar::Int64(2)));
    assert_eq!(interpret(&typed, &input, 2), Ok(Scalar::Null(DataType::Int64)));
    assert_eq!(
        interpret(&typed, &input, 1).unwrap_err().to_string(),
        "function next failed: 13 brings bad luck in `next(x)`"
    );
    let liar = resolve(&call("liar", 1, [col("x")]), &input.schema(), &registry).unwrap();
    assert_eq!(
        interpret(&liar, &input, 0).unwrap_err().to_string(),
        "function liar failed: returned 1 rows of int8, promised 1 rows of int64 in `liar(x)`"
    );
    let stored: TypedExpr = serde_json::from_str(&serde_json::to_string(&typed).unwrap()).unwrap();
    assert!(interpret(&stored, &input, 0).unwrap_err().to_string().contains("not bound"));
}
