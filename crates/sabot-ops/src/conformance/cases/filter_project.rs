//! Filter-project: every kind of expression node over every type that it takes.

use arrow::array::ArrayRef;
use arrow::array::{AsArray, Int64Array};
use arrow::datatypes::{DataType, Int64Type, IntervalUnit, SchemaRef, TimeUnit};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sabot_batch::hidden;
use sabot_expr::types::{is_encoded, is_integer, is_signed_integer, rules};
use sabot_expr::{
    BinaryOp, ClosureFunction, DatePart, Expr, ExprError, FunctionError, FunctionRegistry, Scalar, TruncUnit,
    TypedExpr, TypedKind, call, coalesce, col, lit, resolve, type_name, when,
};
use std::sync::Arc;

use super::Cases;
use crate::conformance::Equality;
use crate::conformance::bench::{Bench, Checked};
use crate::conformance::data::{
    Values, all_types, floats, numbers, payload_types, scalar, schema_of, strings, times, with_hidden,
};
use crate::{FilterProjectSpec, Fragment, OperatorSpec, Projection};

pub(super) fn add(cases: &mut Cases) {
    for data_type in payload_types() {
        columns_and_branches(cases, &data_type);
    }
    for data_type in all_types() {
        casts(cases, &data_type);
    }
    for data_type in payload_types() {
        other_casts(cases, &data_type);
    }
    for data_type in numbers() {
        arithmetic(cases, &data_type);
        negation(cases, &data_type);
    }
    for data_type in strings() {
        patterns(cases, &data_type);
    }
    for data_type in times() {
        dates(cases, &data_type);
    }
    decimals(cases);
    spans(cases);
    logic(cases);
    functions(cases);
    shapes(cases);
    errors(cases);
}

/// A predicate and projections as they are written.
#[derive(Clone, Debug, Default)]
pub(in crate::conformance) struct Query {
    pub(super) predicate: Option<Expr>,
    pub(super) projections: Vec<Expr>,
}

impl Query {
    pub(super) fn select(projections: impl IntoIterator<Item = Expr>) -> Self {
        Query { predicate: None, projections: projections.into_iter().collect() }
    }

    pub(super) fn filter(self, predicate: Expr) -> Self {
        Query { predicate: Some(predicate), ..self }
    }

    /// The step, with hidden columns carried along, and what its columns are held to.
    pub(in crate::conformance) fn step(
        &self,
        input: &SchemaRef,
    ) -> Result<(OperatorSpec, Vec<Equality>), ExprError> {
        let registry = registry()?;
        let predicate = self.predicate.as_ref().map(|p| resolve(p, input, &registry)).transpose()?;
        let (mut projections, mut columns) = (Vec::new(), Vec::new());
        for (i, expr) in self.projections.iter().enumerate() {
            let expr = resolve(expr, input, &registry)?;
            columns.push(equality(&expr));
            projections.push(Projection { name: format!("p{i}"), expr });
        }
        let is_hidden = |i: &usize| hidden::is_hidden(input.field(*i).name());
        let carried: Vec<usize> = (0..input.fields().len()).filter(is_hidden).collect();
        columns.extend(carried.iter().map(|_| Equality::Bits));
        Ok((FilterProjectSpec { predicate, projections, carried }.into(), columns))
    }
}

/// Bits for what is passed through, as many units as functions may be off, exactness for the rest.
fn equality(expr: &TypedExpr) -> Equality {
    fn units(expr: &TypedExpr) -> u32 {
        let own = match expr.kind() {
            TypedKind::Function { function, .. } => function.entry().ulp,
            _ => 0,
        };
        expr.children().into_iter().map(units).fold(own, u32::max)
    }
    match (expr.kind(), units(expr)) {
        (TypedKind::Column { .. }, _) => Equality::Bits,
        (_, 0) => Equality::Exact,
        (_, units) => Equality::Ulp(units),
    }
}

/// The user functions of the suite: one that fails for multiples of 7, one that never fails, and one that GPUs compute too.
pub(super) fn registry() -> Result<FunctionRegistry, ExprError> {
    let not_seven =
        ClosureFunction::new("not_seven", 1, [DataType::Int64], DataType::Int64, |args, _rows| {
            let values = args[0].as_primitive::<Int64Type>();
            if let Some(row) = values.iter().position(|v| v.is_some_and(|v| v % 7 == 0)) {
                return Err(FunctionError::at_row(row, "a multiple of 7"));
            }
            Ok(args[0].clone())
        });
    let length = ClosureFunction::new("length", 2, [DataType::Utf8], DataType::Int64, |args, _rows| {
        let lengths: Int64Array =
            args[0].as_string::<i32>().iter().map(|text| text.map(|t| t.chars().count() as i64)).collect();
        Ok(Arc::new(lengths) as ArrayRef)
    });
    let hailstone =
        ClosureFunction::new("hailstone", 1, [DataType::Int64], DataType::Int64, |args, _rows| {
            let next = |n: i64| if n % 2 == 0 { n / 2 } else { n.wrapping_mul(3).wrapping_add(1) };
            Ok(Arc::new(args[0].as_primitive::<Int64Type>().unary::<_, Int64Type>(next)) as ArrayRef)
        });
    let hailstone = hailstone.on_devices(
        "if (a0 % 2 == 0) return a0 / 2;\n  return static_cast<long long>(static_cast<unsigned long long>(a0) * 3 + 1);",
        "if (a0 % 2li == 0li) { return a0 / 2li; }\n  return a0 * 3li + 1li;",
    );
    let mut registry = FunctionRegistry::new();
    registry.register(Arc::new(hailstone))?;
    registry.register(Arc::new(not_seven))?;
    registry.register(Arc::new(length.infallible()))?;
    Ok(registry)
}

/// Columns `a` and `b` of a type, booleans `f` and `g`, and two hidden columns.
fn schema(data_type: &DataType) -> SchemaRef {
    let columns = schema_of(&[
        ("a", data_type.clone()),
        ("b", data_type.clone()),
        ("f", DataType::Boolean),
        ("g", DataType::Boolean),
    ]);
    with_hidden(columns, &[hidden::ROW, hidden::KEY])
}

/// Runs queries over the schema of `data_type`, with values that seldom and that often are extreme.
fn run(bench: &mut Bench<'_>, data_type: &DataType, queries: &[Query]) -> Checked {
    let schema = schema(data_type);
    for values in [Values::Tame, Values::Mixed, Values::Few] {
        let morsels = bench.morsels(&schema, false, &|_| values)?;
        for query in queries {
            let (step, columns) = query.step(&schema)?;
            let fragment = Fragment::new(schema.clone(), vec![step])?;
            bench.check(&fragment, &morsels, &columns)?;
        }
    }
    Ok(())
}

fn columns_and_branches(cases: &mut Cases, data_type: &DataType) {
    let name = |node: &str| format!("filter-project/{node}/{}", type_name(data_type));
    let mut cell = |node: &str, queries: Vec<Query>| {
        let data_type = data_type.clone();
        cases.cell(name(node), move |bench| run(bench, &data_type, &queries));
    };
    let (a, b, f, g) = (col("a"), col("b"), col("f"), col("g"));
    cell("column", vec![Query::select([b.clone(), a.clone(), a.clone()])]);
    cell("filter", vec![Query::select([a.clone(), b.clone()]).filter(f.clone())]);
    cell(
        "is-null",
        vec![
            Query::select([a.clone().is_null(), a.clone().is_not_null(), f.clone().is_null()]),
            Query::select([b.clone()]).filter(a.clone().is_not_null()),
        ],
    );
    // A NULL has no type of its own, and neither has what is chosen among such.
    if *data_type == DataType::Null {
        return;
    }
    let case = when(f.clone()).then(a.clone()).when(g).then(b.clone());
    cell(
        "case",
        vec![
            Query::select([case.clone().end(), case.otherwise(a.clone())]),
            Query::select([when(f.clone()).then(null_of(data_type)).otherwise(a.clone())]),
        ],
    );
    cell(
        "coalesce",
        vec![Query::select([coalesce([a.clone(), b.clone()]), coalesce([null_of(data_type), a.clone()])])],
    );
    if !is_encoded(data_type) {
        let value = sample(data_type);
        cell("literal", vec![Query::select([value.clone(), null_of(data_type)]).filter(f.clone())]);
    }
    if rules::is_comparable(data_type) {
        let value = sample(data_type);
        let ordered = rules::is_ordered(data_type);
        let compared: Vec<Expr> = BinaryOp::ALL
            .into_iter()
            .filter(|op| op.is_comparison() && (ordered || matches!(op, BinaryOp::Eq | BinaryOp::NotEq)))
            .flat_map(|op| [binary(op, a.clone(), b.clone()), binary(op, a.clone(), value.clone())])
            .collect();
        let mut queries = vec![Query::select(compared)];
        if ordered {
            queries.push(Query::select([a.clone()]).filter(a.clone().lt_eq(b.clone())));
            queries.push(Query::select([
                a.clone().between(b.clone(), value.clone()),
                a.clone().not_between(value.clone(), b.clone()),
            ]));
        }
        cell("compare", queries);
        let list = || vec![value.clone(), b.clone(), null_of(data_type)];
        cell(
            "in",
            vec![
                Query::select([a.clone().in_list(list()), a.clone().not_in_list(list())]),
                Query::select([a.clone().in_list([value.clone(), b.clone()])])
                    .filter(a.clone().not_in_list([value.clone()])),
            ],
        );
    }
}

/// The casts that [`casts`] leaves out, those of a type in one cell.
fn other_casts(cases: &mut Cases, from: &DataType) {
    let (some, from) = (all_types(), from.clone());
    let is_new = |to: &DataType| !some.contains(to) || !some.contains(&from);
    let targets: Vec<DataType> = payload_types()
        .into_iter()
        .filter(|to| !is_encoded(to) && *to != from && rules::can_cast(&from, to) && is_new(to))
        .collect();
    if from == DataType::Null || targets.is_empty() {
        return;
    }
    cases.cell(format!("filter-project/casts/{}", type_name(&from)), move |bench| {
        let schema = schema(&from);
        let morsels = bench.morsels(&schema, false, &|_| Values::Mixed)?;
        let mut queries = vec![Query::select(targets.iter().map(|to| col("a").try_cast(to.clone())))];
        queries.extend(targets.iter().map(|to| Query::select([col("a").cast(to.clone())])));
        for query in queries {
            let (step, columns) = query.step(&schema)?;
            let fragment = Fragment::new(schema.clone(), vec![step])?;
            bench.check(&fragment, &morsels, &columns)?;
        }
        Ok(())
    });
}

/// A value of the type as a literal, one that occurs among the values that are drawn where they are few.
fn sample(data_type: &DataType) -> Expr {
    let plain = sabot_expr::types::decoded_type(data_type);
    Expr::Literal(match plain {
        DataType::Boolean => Scalar::Boolean(true),
        DataType::Float32 => Scalar::Float32(1.5),
        DataType::Float64 => Scalar::Float64(1.5),
        DataType::Utf8 => Scalar::Utf8("ab".into()),
        DataType::LargeUtf8 => Scalar::LargeUtf8("ab".into()),
        DataType::Date32 => Scalar::Date32(1),
        DataType::Timestamp(unit, zone) => Scalar::Timestamp { value: 1, unit: *unit, zone: zone.clone() },
        integer if is_integer(integer) => {
            Scalar::from_integer(3, integer).unwrap_or(Scalar::Null(integer.clone()))
        }
        other => scalar(&mut ChaCha8Rng::seed_from_u64(5), other, Values::Few),
    })
}

fn null_of(data_type: &DataType) -> Expr {
    Expr::Literal(Scalar::Null(sabot_expr::types::decoded_type(data_type).clone()))
}

fn binary(op: BinaryOp, left: Expr, right: Expr) -> Expr {
    Expr::Binary { op, left: Box::new(left), right: Box::new(right) }
}

fn arithmetic(cases: &mut Cases, data_type: &DataType) {
    for op in BinaryOp::ALL.into_iter().filter(|op| op.is_arithmetic()) {
        if op.is_wrapping() && !is_integer(data_type) {
            continue;
        }
        let (data_type, name) = (data_type.clone(), type_name(data_type));
        cases.cell(format!("filter-project/{}/{name}", op_name(op)), move |bench| {
            let (a, b) = (col("a"), col("b"));
            let both = binary(op, a.clone(), b.clone());
            let guarded = when(b.clone().not_eq(null_safe_zero(&data_type))).then(both.clone()).end();
            let queries = [
                Query::select([both.clone()]),
                Query::select([binary(op, a.clone(), sample(&data_type)), a.clone()]),
                Query::select([guarded]),
                Query::select([both]).filter(col("f")),
            ];
            run(bench, &data_type, &queries)
        });
    }
}

/// Arithmetic of decimals of one and of different types, and with integers and floats.
fn decimals(cases: &mut Cases) {
    use DataType::{Decimal32, Decimal128, Decimal256, Float64, Int32};
    for (left, right) in [
        (Decimal128(20, 3), Decimal128(20, 3)),
        (Decimal128(38, 10), Decimal128(38, 2)),
        (Decimal128(12, -3), Decimal32(7, 2)),
        (Decimal256(60, 5), Decimal128(20, 3)),
        (Decimal128(10, 2), Int32),
        (Float64, Decimal128(10, 2)),
    ] {
        for op in [BinaryOp::Add, BinaryOp::Sub, BinaryOp::Mul, BinaryOp::Div, BinaryOp::Mod] {
            let (left, right) = (left.clone(), right.clone());
            let cell =
                format!("filter-project/{}/{} and {}", op_name(op), type_name(&left), type_name(&right));
            cases.cell(cell, move |bench| {
                let (a, b) = (col("a"), col("b"));
                let both = binary(op, a.clone(), b.clone());
                let guarded = when(b.clone().not_eq(0)).then(both.clone()).end();
                two_types(
                    bench,
                    [&left, &right],
                    &[
                        Query::select([both.clone(), a.clone()]),
                        Query::select([guarded, -a.clone()]),
                        Query::select([binary(op, a.clone(), lit(3)), binary(op, lit(7), b.clone())]),
                        Query::select([a.clone().gt(b.clone()), a.in_list([b])]).filter(both.is_not_null()),
                    ],
                )
            });
        }
    }
}

/// What is added to and taken from times.
fn spans(cases: &mut Cases) {
    use DataType::{Date32, Date64, Duration, Int64, Interval, Timestamp};
    use TimeUnit::{Millisecond, Nanosecond, Second};
    let (second, milli) = (Timestamp(Second, None), Timestamp(Millisecond, Some("UTC".into())));
    let interval = Interval(IntervalUnit::MonthDayNano);
    for (op, left, right) in [
        (BinaryOp::Add, second.clone(), interval.clone()),
        (BinaryOp::Sub, milli.clone(), Interval(IntervalUnit::DayTime)),
        (BinaryOp::Add, Timestamp(Nanosecond, None), Interval(IntervalUnit::YearMonth)),
        (BinaryOp::Add, Date32, interval.clone()),
        (BinaryOp::Sub, milli.clone(), Duration(Nanosecond)),
        (BinaryOp::Add, Duration(Millisecond), second.clone()),
        (BinaryOp::Sub, second, milli),
        (BinaryOp::Sub, Date32, Date64),
        (BinaryOp::Add, Duration(Second), Duration(Millisecond)),
        (BinaryOp::Mul, Duration(Second), Int64),
        (BinaryOp::Div, Duration(Second), Int64),
        (BinaryOp::Sub, interval.clone(), Interval(IntervalUnit::DayTime)),
        (BinaryOp::Mul, Int64, interval),
    ] {
        let cell = format!("filter-project/{}/{} and {}", op_name(op), type_name(&left), type_name(&right));
        cases.cell(cell, move |bench| {
            let both = binary(op, col("a"), col("b"));
            let some = when(col("f")).then(both.clone()).end();
            two_types(
                bench,
                [&left, &right],
                &[Query::select([both.clone()]), Query::select([some, both.is_null()])],
            )
        });
    }
}

/// As [`run`], with columns `a` and `b` of different types.
fn two_types(bench: &mut Bench<'_>, [left, right]: [&DataType; 2], queries: &[Query]) -> Checked {
    let columns = [("a", left.clone()), ("b", right.clone()), ("f", DataType::Boolean)];
    let schema = with_hidden(schema_of(&columns), &[hidden::ROW]);
    for values in [Values::Tame, Values::Mixed, Values::Few] {
        let morsels = bench.morsels(&schema, false, &|_| values)?;
        for query in queries {
            let (step, columns) = query.step(&schema)?;
            let fragment = Fragment::new(schema.clone(), vec![step])?;
            bench.check(&fragment, &morsels, &columns)?;
        }
    }
    Ok(())
}

fn op_name(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Add => "add",
        BinaryOp::Sub => "sub",
        BinaryOp::Mul => "mul",
        BinaryOp::Div => "div",
        BinaryOp::Mod => "mod",
        BinaryOp::WrappingAdd => "wrapping-add",
        BinaryOp::WrappingSub => "wrapping-sub",
        BinaryOp::WrappingMul => "wrapping-mul",
        other => other.symbol(),
    }
}

fn null_safe_zero(data_type: &DataType) -> Expr {
    match data_type {
        DataType::Float32 => lit(0.0f32),
        DataType::Float64 => lit(0.0f64),
        integer => Expr::Literal(Scalar::from_integer(0, integer).unwrap_or(Scalar::Null(integer.clone()))),
    }
}

fn negation(cases: &mut Cases, data_type: &DataType) {
    if is_signed_integer(data_type) || floats().contains(data_type) {
        let (data_type, name) = (data_type.clone(), type_name(data_type));
        cases.cell(format!("filter-project/negate/{name}"), move |bench| {
            run(bench, &data_type, &[Query::select([Expr::Negate(Box::new(col("a")))])])
        });
    }
}

fn casts(cases: &mut Cases, from: &DataType) {
    let plain = all_types().into_iter().filter(|t| !matches!(t, DataType::Dictionary(_, _)));
    for to in plain.filter(|to| rules::can_cast(from, to) && to != from) {
        let (from, names) = (from.clone(), (type_name(from), type_name(&to)));
        cases.cell(format!("filter-project/cast/{}/{}", names.0, names.1), move |bench| {
            let queries = [
                Query::select([col("a").cast(to.clone())]),
                Query::select([col("a").try_cast(to.clone())]),
                Query::select([col("b").cast(to.clone())]).filter(col("a").try_cast(to.clone()).is_null()),
            ];
            run(bench, &from, &queries)
        });
    }
}

fn patterns(cases: &mut Cases, data_type: &DataType) {
    let (a, b) = (col("a"), col("b"));
    let name = type_name(data_type);
    let like = ["%a%", "a_%", "%b", "", "%", "_", "12%8", r"a\%b", "%🐢", "ż___ _"];
    let mut likes: Vec<Expr> = like.into_iter().map(|pattern| a.clone().like(pattern)).collect();
    likes.push(a.clone().like_escaped("a!%b", '!'));
    likes.push(a.clone().not_like("%c%"));
    likes.push(a.clone().like(b.clone()));
    likes.extend(["%A%", "Ż___ _"].map(|pattern| a.clone().ilike(pattern)));
    likes.push(a.clone().not_ilike(b.clone()));
    let of_type = data_type.clone();
    cases.cell(format!("filter-project/like/{name}"), move |bench| {
        run(bench, &of_type, &[Query::select(likes.clone())])
    });
}

fn dates(cases: &mut Cases, data_type: &DataType) {
    let name = type_name(data_type);
    let of_type = data_type.clone();
    cases.cell(format!("filter-project/date-part/{name}"), move |bench| {
        let parts = DatePart::ALL.into_iter().map(|part| col("a").date_part(part));
        run(bench, &of_type, &[Query::select(parts)])
    });
    let of_type = data_type.clone();
    cases.cell(format!("filter-project/date-trunc/{name}"), move |bench| {
        let units = TruncUnit::ALL.into_iter().map(|unit| Query::select([col("a").date_trunc(unit)]));
        run(bench, &of_type, &units.collect::<Vec<_>>())
    });
}

fn logic(cases: &mut Cases) {
    cases.cell("filter-project/logic/bool", |bench| {
        let (a, b, f) = (col("a"), col("b"), col("f"));
        let queries = [
            Query::select([
                a.clone().and(b.clone()),
                a.clone().or(b.clone()),
                a.clone().not(),
                a.clone().and(b.clone()).or(f.clone().not()).not(),
                a.clone().and(Expr::Literal(Scalar::Null(DataType::Boolean))),
                a.clone().or(Expr::Literal(Scalar::Null(DataType::Boolean))),
            ]),
            Query::select([f.clone()]).filter(a.clone().and(b.clone())),
            Query::select([f.clone()]).filter(a.clone().or(b).not()),
            Query::select([f]).filter(lit(true).and(a)),
        ];
        run(bench, &DataType::Boolean, &queries)
    });
}

fn functions(cases: &mut Cases) {
    cases.cell("filter-project/call/fallible", |bench| {
        let queries = [
            Query::select([call("not_seven", 1, [col("a")])]),
            Query::select([call("not_seven", 1, [col("a")])]).filter((col("a") % 7).not_eq(0)),
            Query::select([when((col("a") % 7).eq(0)).then(lit(0i64)).otherwise(call(
                "not_seven",
                1,
                [col("a")],
            ))]),
        ];
        run(bench, &DataType::Int64, &queries)
    });
    cases.cell("filter-project/call/on-devices", |bench| {
        let next = |expr: Expr| call("hailstone", 1, [expr]);
        let queries = [
            Query::select([next(col("a")), next(next(col("b"))) % 10]),
            Query::select([col("f"), next(col("a"))]).filter(next(col("a")).gt(next(col("b")))),
        ];
        run(bench, &DataType::Int64, &queries)
    });
    cases.cell("filter-project/call/infallible", |bench| {
        let length = call("length", 2, [col("a")]);
        run(
            bench,
            &DataType::Utf8,
            &[Query::select([length.clone(), length.clone() + 1]).filter(length.gt(1))],
        )
    });
}

fn shapes(cases: &mut Cases) {
    cases.cell("filter-project/no-columns", |bench| {
        let schema = Arc::new(schema_of(&[("f", DataType::Boolean)]));
        let morsels = bench.morsels(&schema, false, &|_| Values::Tame)?;
        for query in [Query::default(), Query::default().filter(col("f"))] {
            let fragment = Fragment::new(schema.clone(), vec![query.step(&schema)?.0])?;
            bench.check(&fragment, &morsels, &[])?;
        }
        Ok(())
    });
    cases.cell("filter-project/row-kinds", |bench| {
        let schema = schema(&DataType::Int32);
        let morsels = bench.morsels(&schema, true, &|_| Values::Tame)?;
        let (a, f) = (col("a"), col("f"));
        for query in [Query::select([a.clone() + 1]), Query::select([a]).filter(f)] {
            let (step, columns) = query.step(&schema)?;
            bench.check(&Fragment::new(schema.clone(), vec![step])?, &morsels, &columns)?;
        }
        Ok(())
    });
}

/// Who fails, and who must not although a careless kernel would.
fn errors(cases: &mut Cases) {
    let (a, b, f) = (col("a"), col("b"), col("f"));
    let by = |x: &Expr| lit(10) / x.clone();
    let zero = |x: &Expr| x.clone().eq(0);
    let queries = [
        ("dropped rows", Query::select([by(&a)]).filter(a.clone().not_eq(0))),
        ("in the predicate", Query::select([b.clone()]).filter(by(&a).gt(0))),
        ("behind AND", Query::select([b.clone()]).filter(a.clone().not_eq(0).and(by(&a).gt(1)))),
        ("behind OR", Query::select([f.clone().or(by(&a).gt(1)), zero(&a).or(by(&a).gt(1))])),
        ("before AND", Query::select([by(&a).gt(1).and(f.clone())])),
        ("second projection", Query::select([by(&a), by(&b)])),
        ("predicate before projection", Query::select([by(&b)]).filter(by(&a).gt(-20))),
        (
            "behind CASE",
            Query::select([when(zero(&a)).then(0).otherwise(by(&a)), when(by(&a).gt(0)).then(1).end()]),
        ),
        ("behind COALESCE", Query::select([coalesce([b.clone(), by(&a)])])),
        ("behind IN", Query::select([b.clone().in_list([lit(1), by(&a)])])),
        ("beside NULL", Query::select([Expr::Literal(Scalar::Null(DataType::Int32)) + by(&a)])),
        ("literal", Query::select([lit(1) / lit(0)]).filter(f.clone())),
        ("cast of a literal", Query::select([lit("x").cast(DataType::Int32)]).filter(f)),
    ];
    for (detail, query) in queries {
        cases.case("filter-project/errors", detail, move |bench| {
            run(bench, &DataType::Int32, std::slice::from_ref(&query))
        });
    }
    cases.case("filter-project/errors", "two steps", two_steps);
}

/// The first failing row counts, also when a later step finds it.
fn two_steps(bench: &mut Bench<'_>) -> Checked {
    let schema = schema(&DataType::Int32);
    let (first, _) = Query::select([lit(10) / col("a"), col("b")]).step(&schema)?;
    let between = first.output_schema(&schema)?;
    let (second, columns) = Query::select([lit(10) / col("p1"), col("p0")]).step(&between)?;
    let fragment = Fragment::new(schema.clone(), vec![first, second])?;
    let morsels = bench.morsels(&schema, false, &|_| Values::Few)?;
    bench.check(&fragment, &morsels, &columns)
}
