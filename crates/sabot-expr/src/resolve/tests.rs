//! What resolving gives, and every message that refusing gives.

use super::*;
use crate::builder::{call, coalesce, col, concat, function, greatest, hash, lit, null, when};
use crate::expr::{DatePart, TruncUnit};
use crate::registry::{ClosureFunction, FunctionError, ScalarFunction};
use arrow::array::{ArrayRef, Float64Array};
use arrow::datatypes::{Field, TimeUnit};
use std::sync::Arc;

fn schema() -> Schema {
    let at = |unit, zone: Option<&str>| DataType::Timestamp(unit, zone.map(Into::into));
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let columns = [
        ("i8", DataType::Int8),
        ("i32", DataType::Int32),
        ("i64", DataType::Int64),
        ("u8", DataType::UInt8),
        ("u64", DataType::UInt64),
        ("f32", DataType::Float32),
        ("f64", DataType::Float64),
        ("flag", DataType::Boolean),
        ("s", DataType::Utf8),
        ("large", DataType::LargeUtf8),
        ("dict", dictionary),
        ("day", DataType::Date32),
        ("ts_s", at(TimeUnit::Second, None)),
        ("ts_us", at(TimeUnit::Microsecond, Some("UTC"))),
        ("tokyo", at(TimeUnit::Second, Some("Asia/Tokyo"))),
        ("price", DataType::Decimal128(10, 2)),
        ("blob", DataType::Binary),
        ("map", map_type()),
        ("wide", DataType::Decimal256(50, 4)),
        ("view", DataType::Utf8View),
        ("half", DataType::Float16),
        ("wait", DataType::Duration(TimeUnit::Millisecond)),
    ];
    let mut fields: Vec<Field> = columns.iter().map(|(name, t)| Field::new(*name, t.clone(), true)).collect();
    fields.push(Field::new("id", DataType::Int64, false));
    fields.push(Field::new("twin", DataType::Int64, false));
    fields.push(Field::new("twin", DataType::Int64, false));
    Schema::new(fields)
}

fn registry() -> FunctionRegistry {
    let mut registry = FunctionRegistry::new();
    for version in [1, 2] {
        let function =
            ClosureFunction::new("half", version, [DataType::Float64], DataType::Float64, |_, rows| {
                Ok(Arc::new(Float64Array::from(vec![0.5; rows])) as ArrayRef)
            });
        registry.register(Arc::new(function)).unwrap();
    }
    let upper =
        ClosureFunction::new("upper", 1, [DataType::Utf8], DataType::Utf8, |args, _| Ok(args[0].clone()));
    registry.register(Arc::new(upper.infallible())).unwrap();
    registry.register(Arc::new(Dice)).unwrap();
    registry
}

struct Dice;

impl ScalarFunction for Dice {
    fn name(&self) -> &str {
        "dice"
    }
    fn version(&self) -> u32 {
        1
    }
    fn return_type(&self, _: &[DataType]) -> Result<DataType, FunctionError> {
        Ok(DataType::Float64)
    }
    fn evaluate(&self, _: &[ArrayRef], rows: usize) -> Result<ArrayRef, FunctionError> {
        Ok(Arc::new(Float64Array::from(vec![4.0; rows])))
    }
    fn deterministic(&self) -> bool {
        false
    }
}

fn typed(expr: Expr) -> TypedExpr {
    resolve(&expr, &schema(), &registry()).unwrap_or_else(|e| panic!("{expr}: {e}"))
}

fn refused(expr: Expr) -> String {
    match resolve(&expr, &schema(), &registry()) {
        Ok(typed) => panic!("{expr} was accepted as {typed}"),
        Err(error) => error.to_string(),
    }
}

fn map_type() -> DataType {
    let entry = vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Int32, true)];
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entry.into()), false)), false)
}

fn span(text: &str) -> Expr {
    lit(text).cast(DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano))
}

fn no_args() -> [Expr; 0] {
    []
}

#[test]
fn types_and_implicit_casts_are_written_out() {
    for (expr, text, data_type) in [
        (col("i8") + 1, "i8 + 1", "int8"),
        (col("i8") + 1000, "CAST(i8 AS int32) + 1000", "int32"),
        (col("i8") + lit(1).cast(DataType::Int64), "CAST(i8 AS int64) + 1", "int64"),
        (lit(1) + lit(2i64), "1 + 2", "int64"),
        (col("i8") + col("i32"), "CAST(i8 AS int32) + i32", "int32"),
        (col("i8") + col("u8"), "CAST(i8 AS int16) + CAST(u8 AS int16)", "int16"),
        (col("u64") + 1, "u64 + 1", "uint64"),
        (col("i32") / 2.0, "CAST(i32 AS float64) / 2.0", "float64"),
        (col("f32") * 2, "f32 * 2.0", "float32"),
        (col("f32") * 0.5, "CAST(f32 AS float64) * 0.5", "float64"),
        (col("f32") * 0.5f32, "f32 * 0.5", "float32"),
        (col("f32") + col("i8"), "CAST(f32 AS float64) + CAST(i8 AS float64)", "float64"),
        (col("f32") % col("f32"), "f32 % f32", "float32"),
        (-col("i8"), "-i8", "int8"),
        (col("i8").gt(-lit(5)), "i8 > -5", "bool"),
        (col("i8").gt(1000), "CAST(i8 AS int32) > 1000", "bool"),
        (col("s").eq(col("large")), "CAST(s AS large_utf8) = large", "bool"),
        (col("dict").eq("SFO"), "CAST(dict AS utf8) = 'SFO'", "bool"),
        (col("large").eq("SFO"), "large = 'SFO'", "bool"),
        (col("day").gt_eq("2001-01-31"), "day >= DATE '2001-01-31'", "bool"),
        (col("ts_us").lt("2001-01-31"), "ts_us < TIMESTAMP '2001-01-31T00:00:00Z'", "bool"),
        (col("day").lt(col("ts_s")), "CAST(day AS timestamp(s)) < ts_s", "bool"),
        (col("ts_s").eq(col("ts_us")), "CAST(ts_s AS timestamp(us)) = CAST(ts_us AS timestamp(us))", "bool"),
        (col("flag").and(null()), "flag AND NULL", "bool"),
        (col("i8").eq(null()), "i8 = NULL", "bool"),
        (null().is_null(), "NULL IS NULL", "bool"),
        (col("price").is_not_null(), "price IS NOT NULL", "bool"),
        (coalesce([col("price"), null()]), "coalesce(price, NULL)", "decimal128(10, 2)"),
        (coalesce([col("i8"), lit(0)]), "coalesce(i8, 0)", "int8"),
        (coalesce([col("dict"), lit("?")]), "coalesce(CAST(dict AS utf8), '?')", "utf8"),
        (
            when(col("flag")).then(col("i8")).otherwise(0.5),
            "CASE WHEN flag THEN CAST(i8 AS float64) ELSE 0.5 END",
            "float64",
        ),
        (
            when(col("flag")).then(null()).otherwise(col("price")),
            "CASE WHEN flag THEN NULL ELSE price END",
            "decimal128(10, 2)",
        ),
        (col("i8").in_list([lit(1), lit(1000)]), "CAST(i8 AS int32) IN (1, 1000)", "bool"),
        (col("u8").between(1, 300), "u8 >= 1 AND CAST(u8 AS int32) <= 300", "bool"),
        (col("u8").not_between(1, 3), "NOT (u8 >= 1 AND u8 <= 3)", "bool"),
        (col("dict").like("S%"), "CAST(dict AS utf8) LIKE 'S%'", "bool"),
        (col("large").starts_with(col("s")), "starts_with(large, s)", "bool"),
        (col("ts_us").hour(), "date_part('hour', ts_us)", "int64"),
        (col("day").date_trunc(TruncUnit::Month), "date_trunc('month', day)", "date32"),
        (col("tokyo").hour(), "date_part('hour', tokyo)", "int64"),
        (col("tokyo").date_trunc(TruncUnit::Day), "date_trunc('day', tokyo)", "timestamp(s, Asia/Tokyo)"),
        (col("dict").lower(), "lower(CAST(dict AS utf8))", "utf8"),
        (concat([col("s"), col("large"), col("i8")]), "concat(s, large, CAST(i8 AS utf8))", "large_utf8"),
        (col("s").left(col("i8")), "left(s, CAST(i8 AS int64))", "utf8"),
        (col("i8").bitwise_and(col("i32")), "bitwise_and(CAST(i8 AS int32), i32)", "int32"),
        (col("i8").bitwise_or(1), "bitwise_or(i8, 1)", "int8"),
        (col("f32").power(2), "power(f32, 2.0)", "float32"),
        (col("f32").power(0.5), "power(CAST(f32 AS float64), 0.5)", "float64"),
        (col("i32").atan2(col("f32")), "atan2(CAST(i32 AS float64), CAST(f32 AS float64))", "float64"),
        (col("i32").round_to(-2), "round(i32, -2)", "int32"),
        (col("u8").abs(), "u8", "uint8"),
        (col("i8").floor(), "i8", "int8"),
        (greatest([col("i8"), col("i32"), lit(1)]), "greatest(CAST(i8 AS int32), i32, 1)", "int32"),
        (col("i8").nullif(0), "nullif(i8, 0)", "int8"),
        (hash([col("s"), col("dict")]), "hash(s, CAST(dict AS utf8))", "uint64"),
        (null().lower(), "lower(NULL)", "utf8"),
        (col("i32").sqrt(), "sqrt(CAST(i32 AS float64))", "float64"),
        (col("f32").ln(), "ln(f32)", "float32"),
        (lit(4).sqrt(), "sqrt(4.0)", "float64"),
        (col("u8").abs(), "u8", "uint8"),
        (col("i32").round(), "i32", "int32"),
        (col("i32").wrapping_mul(2), "i32 *% 2", "int32"),
        (call("half", 2, [col("f64")]), "half(f64)", "float64"),
        (call("upper", 1, [col("dict")]), "upper(CAST(dict AS utf8))", "utf8"),
        (lit("2001-01-31").cast(DataType::Date32), "DATE '2001-01-31'", "date32"),
        (lit("soon").cast(DataType::Date32), "CAST('soon' AS date32)", "date32"),
        (lit("soon").try_cast(DataType::Date32), "NULL", "date32"),
        (null().cast(DataType::Int16), "NULL", "int16"),
        (col("id").cast(DataType::Int64), "id", "int64"),
        (col("i8").alias("x"), "i8", "int8"),
        (col("dict"), "dict", "dictionary(int32, utf8)"),
    ] {
        let written = expr.to_string();
        let result = typed(expr);
        assert_eq!(
            (result.to_string().as_str(), type_name(result.data_type()).as_str()),
            (text, data_type),
            "{written}"
        );
    }
}

#[test]
fn nullability_follows_the_operands() {
    for (expr, nullable) in [
        (col("id"), false),
        (col("i8"), true),
        (col("id") + 1, false),
        (col("id") + col("i8"), true),
        (col("i8").is_null(), false),
        (coalesce([col("i64"), col("id")]), false),
        (coalesce([col("i64"), col("i8")]), true),
        (when(col("flag")).then(col("id")).otherwise(1), false),
        (when(col("flag")).then(col("id")).end(), true),
        (col("id").try_cast(DataType::Int8), true),
        (col("id").try_cast(DataType::Float64), false),
        (col("id").in_list([lit(1), null()]), true),
        (col("id").in_list([1, 2]), false),
        (null().cast(DataType::Int8), true),
        (call("half", 1, [lit(1.0)]), true),
    ] {
        let text = expr.to_string();
        assert_eq!(typed(expr).nullable(), nullable, "{text}");
    }
}

#[test]
fn what_can_fail_is_known() {
    for (expr, can_fail) in [
        (col("id").gt(1), false),
        (col("id") + 1, true),
        (col("f64") / 0.0, false),
        (col("id").wrapping_add(1), false),
        (col("id") / 10, false),
        (col("id") % 10, false),
        (col("id") / 0, true),
        (col("id") / -1, true),
        (col("id") / col("i64"), true),
        (col("id") / null(), false),
        (-col("id"), true),
        (-col("f64"), false),
        (col("id").abs(), true),
        (col("f64").abs().sqrt().ln(), false),
        (col("id").cast(DataType::Int32), true),
        (col("id").try_cast(DataType::Int32), false),
        (col("i32").cast(DataType::Int64), false),
        (col("i8").gt(1000), false),
        (col("s").cast(DataType::Int64), true),
        (col("id").cast(DataType::Utf8), false),
        (col("ts_s").eq(col("ts_us")), true),
        (col("ts_us").eq("2001-01-01"), false),
        (col("ts_us").date_trunc(TruncUnit::Hour), true),
        (col("ts_us").date_trunc(TruncUnit::Microsecond), false),
        (col("day").date_trunc(TruncUnit::Hour), false),
        (col("day").date_trunc(TruncUnit::Year), true),
        (col("ts_us").year(), false),
        (call("half", 1, [col("f64")]), true),
        (call("upper", 1, [col("s")]), false),
        (col("flag").and((col("id") + 1).gt(0)), true),
        (when(col("flag")).then(col("id") + 1).end(), true),
        (col("s").like("%x"), false),
    ] {
        let text = expr.to_string();
        assert_eq!(typed(expr).can_fail(), can_fail, "{text}");
    }
}

#[test]
fn unknown_names_come_with_near_misses() {
    assert!(
        refused(col("tz_us").year())
            .starts_with("unknown column \"tz_us\"; did you mean \"ts_us\"? columns: i8, i32")
    );
    assert!(
        refused(col("nothing_like_it").eq(1)).starts_with("unknown column \"nothing_like_it\"; columns: i8,")
    );
    assert_eq!(
        refused(col("twin").eq(1)),
        "column \"twin\" is ambiguous: the input has 2 columns of that name; rename them first"
    );
    let functions = "functions: dice version 1, half version 1, half version 2, upper version 1";
    for (name, version, message) in [
        ("hlaf", 2, "unknown function hlaf version 2; did you mean half version 2?"),
        ("half", 7, "unknown function half version 7; did you mean half version 2?"),
        ("zzzzzz", 1, "unknown function zzzzzz version 1;"),
    ] {
        assert_eq!(refused(call(name, version, [col("f64")])), format!("{message} {functions}"));
    }
}

#[test]
fn type_errors_name_both_types_and_the_expression() {
    let holds_both = "no integer type holds both; cast one side, for example .cast(DataType::Int64)";
    let cast_one = "cast one side to the other's type";
    for (expr, message) in [
        (col("u64") + col("i8"), format!("cannot combine uint64 and int8 in `u64 + i8`; {holds_both}")),
        (col("u64").gt(-1), format!("cannot combine uint64 and int32 in `u64 > -1`; {holds_both}")),
        (col("s").eq(1), format!("cannot combine utf8 and int32 in `s = 1`; {cast_one}")),
        (col("flag").lt(col("day")), format!("cannot combine bool and date32 in `flag < day`; {cast_one}")),
        (coalesce([col("i8"), lit("x")]), format!("cannot combine int8 and utf8 in `coalesce(i8, 'x')`; {cast_one}")),
        (col("i8").in_list([lit(1), lit("x")]), format!("cannot combine int8 and utf8 in `i8 IN (1, 'x')`; {cast_one}")),
        (
            coalesce([col("price"), lit(true)]),
            format!("cannot combine decimal128(10, 2) and bool in `coalesce(price, TRUE)`; {cast_one}"),
        ),
        (
            col("tokyo").lt(col("ts_s")),
            "cannot combine timestamp(s, Asia/Tokyo) and timestamp(s) in `tokyo < ts_s`; a timestamp without \
             zone is UTC; cast one side to the other's zone if that is what it means"
                .to_owned(),
        ),
        (col("s") + 1, "`s + 1` needs numbers, got utf8".to_owned()),
        (col("flag") * 2, "`flag * 2` needs numbers, got bool".to_owned()),
        (col("f64").wrapping_add(1), "`f64 +% 1` needs integers, got float64".to_owned()),
        (-col("u8"), "`-u8` needs a signed number, got uint8".to_owned()),
        (!col("i8"), "`NOT i8` needs a truth value, got int8".to_owned()),
        (col("flag").and(col("s")), "`flag AND s` needs a truth value, got utf8".to_owned()),
        (when(col("i8")).then(1).end(), "`CASE WHEN i8 THEN 1 END` needs a truth value, got int8".to_owned()),
        (col("i8").like("1%"), "`i8 LIKE '1%'` needs a string, got int8".to_owned()),
        (col("s").contains(1), "`contains(s, 1)` needs a string, got int32".to_owned()),
        (col("s").year(), "`date_part('year', s)` needs a date or timestamp, got utf8".to_owned()),
        (col("s").sqrt(), "`sqrt(s)` needs numbers, got utf8".to_owned()),
    ] {
        assert_eq!(refused(expr), message);
    }
}

#[test]
fn decimals_and_times_keep_or_get_the_types_of_the_tables() {
    for (expr, text, data_type) in [
        (col("price") + col("price"), "price + price", "decimal128(11, 2)"),
        (col("price") * 2, "price * 2", "decimal128(11, 2)"),
        (col("price") * -25, "price * -25", "decimal128(12, 2)"),
        (1 / col("price"), "1 / price", "decimal128(14, 11)"),
        (col("price") + col("i8"), "price + CAST(i8 AS decimal128(3, 0))", "decimal128(11, 2)"),
        (col("price") / col("wide"), "CAST(price AS decimal256(10, 2)) / wide", "decimal256(65, 53)"),
        (col("price") + 0.5, "CAST(price AS float64) + 0.5", "float64"),
        (col("price") + null(), "price + NULL", "decimal128(11, 2)"),
        (-col("price"), "-price", "decimal128(10, 2)"),
        (col("price").gt("1.5"), "price > 1.50", "bool"),
        (col("price").eq(3), "price = 3.00", "bool"),
        (col("price").lt(col("wide")), "CAST(price AS decimal256(50, 4)) < wide", "bool"),
        (col("half") * col("half"), "CAST(half AS float32) * CAST(half AS float32)", "float32"),
        (col("half").lt(1), "CAST(half AS float32) < 1.0", "bool"),
        (col("view").eq("x"), "view = 'x'", "bool"),
        (col("view").eq(col("s")), "view = CAST(s AS utf8_view)", "bool"),
        (col("blob").eq(col("blob")), "blob = blob", "bool"),
        (col("ts_us") + span("1 day"), "ts_us + INTERVAL '1 day'", "timestamp(us, UTC)"),
        (span("1 day") + col("day"), "CAST(day AS timestamp(us)) + INTERVAL '1 day'", "timestamp(us)"),
        (col("ts_s") - col("wait"), "CAST(ts_s AS timestamp(ms)) - wait", "timestamp(ms)"),
        (col("day") - col("day"), "CAST(day AS timestamp(s)) - CAST(day AS timestamp(s))", "duration(s)"),
        (col("ts_us") - col("ts_us"), "ts_us - ts_us", "duration(us)"),
        (col("wait") + col("wait"), "wait + wait", "duration(ms)"),
        (col("wait") * 2, "wait * 2", "duration(ms)"),
        (2 * col("wait"), "wait * 2", "duration(ms)"),
        (-col("wait"), "-wait", "duration(ms)"),
        (span("1 day").eq(span("24:00:00")), "INTERVAL '1 day' = INTERVAL '24:00:00'", "bool"),
    ] {
        let typed = typed(expr);
        assert_eq!((typed.to_string().as_str(), type_name(typed.data_type()).as_str()), (text, data_type));
    }
    assert!(!typed(col("price") + col("price")).can_fail(), "the result has room");
    assert!(typed(col("price") / col("price")).can_fail());
    assert!(typed(col("ts_us") + span("1 day")).can_fail());
}

#[test]
fn what_is_not_there_yet_is_refused_by_name() {
    for (expr, message) in [
        (
            col("ts_us") + col("ts_us"),
            "`ts_us + ts_us` is not supported: there is no timestamp(us, UTC) + timestamp(us, UTC); a duration or an \
             interval is added to and taken from a point in time, a point in time is taken from another, and spans \
             are added, taken from each other, and multiplied by an integer",
        ),
        (
            col("tokyo") + span("1 month"),
            "`tokyo + CAST('1 month' AS interval(month_day_nano))` is not supported: timestamp(s, Asia/Tokyo) is in a zone other than UTC, where \
             days and months have other lengths; cast it to UTC first, or add a duration",
        ),
        (
            span("1 day").lt(span("2 days")),
            "`CAST('1 day' AS interval(month_day_nano)) < CAST('2 days' AS interval(month_day_nano))` is not supported: values of type interval(month_day_nano) have no \
             order; only = and <> compare them",
        ),
        (col("price").wrapping_add(1), "`price +% 1` needs integers, got decimal128(10, 2)"),
        (
            col("map").in_list([col("map")]),
            "`map IN (map)` is not supported: values of type map(entries: struct(key: utf8 not null, value: int32) not \
             null) are not compared",
        ),
        (
            call("half", 1, [col("price")]),
            "function half version 1: takes (float64), got (decimal128(10, 2))",
        ),
        (
            col("price").cast(DataType::Date32),
            "cannot cast decimal128(10, 2) to date32 in `CAST(price AS date32)`",
        ),
        (col("flag").cast(DataType::Date32), "cannot cast bool to date32 in `CAST(flag AS date32)`"),
        (
            call("dice", 1, no_args()).between(1, 6),
            "`dice() BETWEEN 1 AND 6` is not supported: BETWEEN reads its operand twice, and this one may change in between",
        ),
        (call("half", 1, [col("s")]), "function half version 1: takes (float64), got (utf8)"),
    ] {
        assert_eq!(refused(expr), message);
    }
    assert!(
        refused(lit(Scalar::Decimal128 { value: 1, precision: 77, scale: 0 })).contains("decimal128(77, 0)")
    );
}

#[test]
fn calls_that_cannot_be_are_refused() {
    let zone = "zones have the form 'Europe/Zurich' or '+01:00'";
    for (expr, message) in [
        (
            function("substring", [col("s")]),
            "`substring(s)` has 1 arguments; the function is substring(text, start[, length])",
        ),
        (function("pi", [col("s")]), "`pi(s)` has 1 arguments; the function is pi()"),
        (col("i8").lower(), "`lower(i8)` needs a string, got int8"),
        (col("s").left("x"), "`left(s, 'x')` needs an integer, got utf8"),
        (col("s").left(1.5), "`left(s, 1.5)` needs an integer, got float64"),
        (col("f64").bitwise_not(), "`bitwise_not(f64)` needs integers, got float64"),
        (
            function("date_part", [lit("yaer"), col("day")]),
            "literal 'yaer' is not a valid date part: did you mean 'year'? known: year, quarter, month, week, day, \
             day_of_week, day_of_year, hour, minute, second, millisecond, microsecond, nanosecond, iso_year, decade, \
             century, millennium, epoch, utc_offset",
        ),
        (
            function("date_part", [col("s"), col("day")]),
            "`date_part(s, day)` needs a literal date part, got utf8",
        ),
        (
            col("ts_s").date_part_in(DatePart::Hour, "Europe/Zurch"),
            &format!("literal 'Europe/Zurch' is not a valid time zone: {zone}"),
        ),
        (col("s").regexp_matches("a("), "literal 'a(' is not a valid regular expression: unclosed group"),
        (
            function("regexp_matches", [col("s"), lit("a"), lit("ix")]),
            "literal 'ix' is not a valid list of options: there is no option x; options: c, i, s, l",
        ),
        (col("s").regexp_extract("(a)", 2), "literal 2 is not a valid group: the pattern '(a)' has 1"),
        (
            col("s").regexp_replace("a", "\\1"),
            "literal '\\1' is not a valid replacement: \\1 stands for a group, and the pattern has 0",
        ),
        (
            greatest([col("i8"), col("s")]),
            "cannot combine int8 and utf8 in `greatest(i8, s)`; cast one side to the other's type",
        ),
    ] {
        assert_eq!(refused(expr), message);
    }
    assert!(refused(function("lowr", [col("s")])).starts_with("unknown function lowr; did you mean lower?"));
    // A pattern that is not a literal is known only with its rows.
    assert!(typed(col("s").regexp_matches(col("large"))).can_fail());
    assert!(!typed(col("s").regexp_matches("a")).can_fail());
    assert!(!typed(col("s").regexp_extract("(a)", 1)).can_fail());
    assert!(typed(col("s").regexp_extract("(a)", col("id"))).can_fail());
}

#[test]
fn literals_that_cannot_be_are_refused() {
    assert_eq!(
        refused(col("day").gt("yesterday")),
        "literal 'yesterday' is not a valid date32: `day > 'yesterday'` needs the form 2001-01-31"
    );
    let untyped = "literal NULL is not a valid typed value: nothing here gives NULL a type; cast it to the type you mean";
    assert_eq!(refused(null()), untyped);
    assert_eq!(refused(call("half", 1, [null()])), untyped);
    assert!(refused(coalesce([null(), null()])).contains("nothing here gives NULL a type"));
    assert!(refused(null() + null()).contains("nothing here gives NULL a type"));
    assert_eq!(refused(coalesce(no_args())), "`coalesce()` is incomplete: coalesce needs at least one value");
    assert_eq!(
        refused(col("i8").in_list(no_args())),
        "`i8 IN ()` is incomplete: IN needs at least one value"
    );
    let empty = Expr::Case { whens: vec![], otherwise: None };
    assert_eq!(refused(empty), "`CASE END` is incomplete: a CASE needs at least one WHEN");
}

#[test]
fn depth_is_limited() {
    let nested = |levels| (1..levels).fold(col("flag"), |expr: Expr, _| expr.not());
    assert!(resolve(&nested(DEPTH_MAX), &schema(), &registry()).is_ok());
    let error = resolve(&nested(DEPTH_MAX + 1), &schema(), &registry()).unwrap_err();
    assert_eq!(error, ExprError::TooDeep { depth: DEPTH_MAX + 1, limit: DEPTH_MAX });
}

#[test]
fn nested_betweens_do_not_explode() {
    let nested = |levels| (0..levels).fold(col("flag"), |expr: Expr, _| expr.between(false, true));
    assert!(typed(nested(5)).nodes() < 1_000);
    let message = refused(nested(40));
    assert!(message.ends_with("this one is too large for that"), "{message}");
}

#[test]
fn stored_expressions_run_again_once_they_are_bound() {
    let expr =
        typed(when(col("s").like("%x")).then(call("half", 1, [col("f64")])).otherwise(col("i8") / 2.5));
    let text = serde_json::to_string(&expr).unwrap();
    let mut back: TypedExpr = serde_json::from_str(&text).unwrap();
    assert_eq!(back, expr);
    assert!(format!("{back:?}").contains("half version 1 (unbound)"));
    back.bind(&registry()).unwrap();
    assert!(!format!("{back:?}").contains("(unbound)"));
    assert!(matches!(back.bind(&FunctionRegistry::new()), Err(ExprError::UnknownFunction { .. })));

    let mut changed = FunctionRegistry::new();
    let other =
        ClosureFunction::new("half", 1, [DataType::Float64], DataType::Int64, |args, _| Ok(args[0].clone()));
    changed.register(Arc::new(other)).unwrap();
    assert_eq!(
        back.bind(&changed).unwrap_err().to_string(),
        "function half version 1: returns int64; the plan was built when it returned float64"
    );
}

#[test]
fn columns_are_found_and_moved() {
    let expr = typed(coalesce([col("i8"), col("i32") + col("id")]).between(col("i8"), 7));
    assert_eq!(expr.columns().into_iter().collect::<Vec<_>>(), [0, 1, 22]);
    let moved = expr.clone().map_columns(&|index| index + 100);
    assert_eq!(moved.columns().into_iter().collect::<Vec<_>>(), [100, 101, 122]);
    assert_eq!(moved.map_columns(&|index| index - 100), expr);
}

#[test]
fn functions_are_registered_once_per_version() {
    let mut registry = registry();
    let again = registry.register(Arc::new(Dice)).unwrap_err();
    assert_eq!(
        again.to_string(),
        "function dice version 1: already registered; a changed function needs a new version"
    );
    assert!(!typed(call("dice", 1, no_args())).is_deterministic());
    assert!(typed(col("i8") + 1).is_deterministic());
}
