//! What users write, seen through how it prints, and storage of what they wrote.

use super::*;
use crate::expr::TruncUnit;

#[test]
fn expressions_print_as_sql_with_few_parentheses() {
    let (a, b, c) = (|| col("a"), || col("b"), || col("c"));
    for (expr, text) in [
        (a() + b() * c(), "a + b * c"),
        ((a() + b()) * c(), "(a + b) * c"),
        (a() - (b() - c()), "a - (b - c)"),
        (a() - b() - c(), "a - b - c"),
        (a() / (b() * c()), "a / (b * c)"),
        (5 - a() % 3, "5 - a % 3"),
        (-(a() + 1), "-(a + 1)"),
        (-lit(-1), "-(-1)"),
        (-(-a()), "-(-a)"),
        (a().gt(1).and(b().lt_eq(2)).or(c()), "a > 1 AND b <= 2 OR c"),
        (a().or(b()).and(c()), "(a OR b) AND c"),
        (a().and(b().and(c())), "a AND (b AND c)"),
        (!a().eq(b()), "NOT a = b"),
        (!(a().and(b())), "NOT (a AND b)"),
        (a().gt(b()).eq(c().not_eq(true)), "(a > b) = (c <> TRUE)"),
        (a().gt_eq(1).is_null(), "(a >= 1) IS NULL"),
        ((a() + 1).is_not_null(), "a + 1 IS NOT NULL"),
        (a().between(1, b() + 1), "a BETWEEN 1 AND b + 1"),
        (a().not_between(lit(1), 2).not(), "NOT a NOT BETWEEN 1 AND 2"),
        (a().in_list([1, 2]), "a IN (1, 2)"),
        (a().not_in_list(["x"]), "a NOT IN ('x')"),
        (a().like("S%"), "a LIKE 'S%'"),
        (a().not_like("S%"), "a NOT LIKE 'S%'"),
        (a().like_escaped("S!%", '!'), "a LIKE 'S!%' ESCAPE '!'"),
        (a().starts_with("S").and(a().ends_with(b())), "starts_with(a, 'S') AND ends_with(a, b)"),
        (a().contains(String::from("F")), "contains(a, 'F')"),
        (a().cast(DataType::Int64) + 1, "CAST(a AS int64) + 1"),
        (a().try_cast(DataType::Date32), "TRY_CAST(a AS date32)"),
        (a().wrapping_add(1).wrapping_sub(b()).wrapping_mul(2), "(a +% 1 -% b) *% 2"),
        (a().abs().sqrt().round().ln().exp(), "exp(ln(round(sqrt(abs(a)))))"),
        (a().hour(), "date_part('hour', a)"),
        (a().date_trunc(TruncUnit::Week), "date_trunc('week', a)"),
        (a().date_trunc_in(TruncUnit::Day, "Asia/Tokyo"), "date_trunc('day', a, 'Asia/Tokyo')"),
        (a().not_ilike("x%"), "a NOT ILIKE 'x%'"),
        (a().log(2), "log(2, a)"),
        (a().regexp_replace_all("x", "y"), "regexp_replace(a, 'x', 'y', 'g')"),
        (concat_ws("-", [a(), lit(1)]), "concat_ws('-', a, 1)"),
        (pi(), "pi()"),
        (call("f", 2, [a(), lit(1)]), "f(a, 1)"),
        (coalesce([a(), null()]), "coalesce(a, NULL)"),
        (when(a()).then(1).end(), "CASE WHEN a THEN 1 END"),
        (
            when(a()).then(1).otherwise(when(b()).then(2)),
            "CASE WHEN a THEN 1 ELSE CASE WHEN b THEN 2 END END",
        ),
        (col("two words").eq(col("say \"hi\"")), "\"two words\" = \"say \"\"hi\"\"\""),
        (col("1st").alias("first one"), "\"1st\" AS \"first one\""),
        (col("größe") + 1, "größe + 1"),
    ] {
        assert_eq!(expr.to_string(), text);
    }
}

#[test]
fn literals_keep_the_type_of_the_rust_value() {
    assert_eq!(lit(1), Expr::Literal(Scalar::Int32(1)));
    assert_eq!(1u64.into_expr(), Expr::Literal(Scalar::UInt64(1)));
    assert_eq!("x".into_expr(), Expr::Literal(Scalar::from("x")));
    assert_eq!(1.5f32.into_expr(), Expr::Literal(Scalar::Float32(1.5)));
}

#[test]
fn stored_expressions_come_back_equal() {
    let everything = when(col("a").between(1, 2).or(!col("b").in_list(["x", "y"])))
        .then(
            col("c")
                .cast(DataType::Timestamp(arrow::datatypes::TimeUnit::Nanosecond, Some("UTC".into())))
                .year(),
        )
        .when(col("s").like_escaped("%!_", '!').and(col("s").starts_with("p").is_null()))
        .then(call("f", 3, [col("a"), -col("a") % 3, lit(f64::NAN).round(), null()]))
        .otherwise(coalesce([col("d").date_trunc(TruncUnit::Quarter).try_cast(DataType::Int64), lit(1i64)]))
        .alias("all");
    let text = serde_json::to_string(&everything).unwrap();
    assert_eq!(serde_json::from_str::<Expr>(&text).unwrap(), everything);
    assert_eq!(
        serde_json::to_string(&col("a").gt(15)).unwrap(),
        r#"{"binary":{"op":"gt","left":{"column":"a"},"right":{"literal":{"int32":15}}}}"#
    );
}

#[test]
fn columns_and_depth_see_every_operand() {
    let expr =
        when(col("a").gt(1)).then(coalesce([col("b"), col("c") + 1])).otherwise(call("f", 1, [col("d")]));
    assert_eq!(expr.columns().into_iter().collect::<Vec<_>>(), ["a", "b", "c", "d"]);
    assert_eq!((col("a").depth(), expr.depth()), (1, 4));
}
