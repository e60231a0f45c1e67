//! Random expressions over all kinds of nodes, nested, with rows that fail among them.
//!
//! Logarithms and powers are left out: a comparison above one could turn its last bit into a row.

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use sabot_batch::hidden;
use sabot_expr::types::{is_float, is_integer, is_plain_string, is_signed_integer};
use sabot_expr::{
    BinaryOp, CastMode, DatePart, Expr, Scalar, TruncUnit, call, coalesce, col, function, when,
};

use super::Cases;
use super::filter_project::Query;
use crate::Fragment;
use crate::conformance::bench::{Bench, Checked};
use crate::conformance::data::{self, Values, with_hidden};

/// Expressions in one case: enough that a case is worth its data.
const PER_CASE: usize = 6;

pub(super) fn add(cases: &mut Cases, count: usize) {
    for number in 0..count.div_ceil(PER_CASE) {
        cases.case("filter-project/generated", format!("{number}"), check);
    }
}

fn check(bench: &mut Bench<'_>) -> Checked {
    let schema = schema();
    let morsels = bench.morsels(&schema, false, &|_| Values::Mixed)?;
    for _ in 0..PER_CASE / 2 {
        let query = query(&mut bench.rng, 4);
        let (step, columns) = query.step(&schema)?;
        let fragment = Fragment::new(schema.clone(), vec![step])?;
        bench.check(&fragment, &morsels, &columns)?;
    }
    Ok(())
}

/// A column of each type, some of them never null.
pub(in crate::conformance) fn schema() -> SchemaRef {
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let columns = [
        ("i8", DataType::Int8, true),
        ("i32", DataType::Int32, false),
        ("i64", DataType::Int64, true),
        ("u8", DataType::UInt8, true),
        ("u64", DataType::UInt64, false),
        ("f32", DataType::Float32, true),
        ("f64", DataType::Float64, false),
        ("p", DataType::Boolean, true),
        ("q", DataType::Boolean, false),
        ("s", DataType::Utf8, true),
        ("t", DataType::LargeUtf8, false),
        ("d", dictionary, true),
        ("day", DataType::Date32, true),
        ("micros", micros, true),
        ("seconds", DataType::Timestamp(TimeUnit::Second, None), false),
        ("m", DataType::Decimal128(20, 3), true),
    ];
    let fields = columns.into_iter().map(|(name, t, nullable)| Field::new(name, t, nullable));
    with_hidden(Schema::new(fields.collect::<Vec<_>>()), &[hidden::ROW])
}

/// A predicate, or none, and one or two projections.
pub(in crate::conformance) fn query(rng: &mut ChaCha8Rng, depth: usize) -> Query {
    let types = types();
    let mut wanted = || types.choose(rng).cloned().unwrap_or(DataType::Boolean);
    let (first, second) = (wanted(), wanted());
    let query = Query::select([expr(rng, &first, depth), expr(rng, &second, depth - 1)]);
    if rng.random_bool(0.5) { query.filter(expr(rng, &DataType::Boolean, depth)) } else { query }
}

/// The types that generated expressions have.
fn types() -> Vec<DataType> {
    let fields = schema();
    let plain = fields.fields().iter().map(|f| sabot_expr::types::decoded_type(f.data_type()).clone());
    plain.filter(|t| !matches!(t, DataType::Decimal128(_, _) | DataType::UInt32)).collect()
}

/// An expression of a type.
fn expr(rng: &mut ChaCha8Rng, want: &DataType, depth: usize) -> Expr {
    if depth == 0 || rng.random_ratio(1, 8) {
        return leaf(rng, want);
    }
    let below = depth - 1;
    match rng.random_range(0..10) {
        0 => {
            let branches = when(expr(rng, &DataType::Boolean, below)).then(expr(rng, want, below));
            let branches = branches.when(expr(rng, &DataType::Boolean, below)).then(expr(rng, want, below));
            if rng.random() { branches.end() } else { branches.otherwise(expr(rng, want, below)) }
        }
        1 => coalesce([expr(rng, want, below), expr(rng, want, below)]),
        2 => cast(rng, want, below),
        _ => match want {
            DataType::Boolean => truth(rng, below),
            t if is_integer(t) || is_float(t) => number(rng, t, below),
            DataType::Date32 | DataType::Timestamp(_, _) => {
                expr(rng, want, below).date_trunc(one(rng, &TruncUnit::ALL))
            }
            _ => leaf(rng, want),
        },
    }
}

fn leaf(rng: &mut ChaCha8Rng, want: &DataType) -> Expr {
    let schema = schema();
    let is_wanted = |f: &&Field| sabot_expr::types::decoded_type(f.data_type()) == want;
    let columns: Vec<&Field> = schema.fields().iter().map(AsRef::as_ref).filter(is_wanted).collect();
    match columns.choose(rng) {
        Some(field) if rng.random_bool(0.8) => match field.data_type() {
            // Without a cast a bare dictionary column would stay one.
            DataType::Dictionary(_, _) => col(field.name()).cast(want.clone()),
            _ => col(field.name()),
        },
        _ if rng.random_ratio(1, 10) => Expr::Literal(Scalar::Null(want.clone())),
        // A cast keeps a literal from adapting to its neighbour's type.
        _ => Expr::Literal(data::scalar(rng, want, Values::Tame)),
    }
}

fn cast(rng: &mut ChaCha8Rng, want: &DataType, depth: usize) -> Expr {
    let types = types();
    let castable: Vec<&DataType> =
        types.iter().filter(|t| sabot_expr::types::rules::can_cast(t, want)).collect();
    let from = castable.choose(rng).map_or(want, |t| *t).clone();
    // Mostly TRY_CAST: nearly every text would fail the row.
    let mode = if rng.random_bool(0.2) { CastMode::Strict } else { CastMode::Try };
    Expr::Cast { expr: Box::new(expr(rng, &from, depth)), to: want.clone(), mode }
}

fn number(rng: &mut ChaCha8Rng, want: &DataType, depth: usize) -> Expr {
    let boxed = |rng: &mut ChaCha8Rng| Box::new(expr(rng, want, depth));
    match rng.random_range(0..8) {
        0 if is_signed_integer(want) || is_float(want) => Expr::Negate(boxed(rng)),
        1 => function(one(rng, &["abs", "round", "floor", "trunc"]), [expr(rng, want, depth)]),
        2 if is_float(want) => expr(rng, want, depth).sqrt(),
        2 if *want == DataType::Int64 => {
            let time = one(rng, &[DataType::Date32, DataType::Timestamp(TimeUnit::Microsecond, None)]);
            expr(rng, &time, depth).date_part(one(rng, &DatePart::ALL))
        }
        3 if *want == DataType::Int64 => match rng.random() {
            true => call("not_seven", 1, [expr(rng, want, depth)]),
            false => call("length", 2, [expr(rng, &DataType::Utf8, depth)]),
        },
        _ => {
            let checked = [BinaryOp::Add, BinaryOp::Sub, BinaryOp::Mul, BinaryOp::Div, BinaryOp::Mod];
            let wrapping = [BinaryOp::WrappingAdd, BinaryOp::WrappingSub, BinaryOp::WrappingMul];
            // Checked arithmetic of deep operands nearly always overflows somewhere.
            let wraps = is_integer(want) && rng.random_bool(0.7);
            let op = if wraps { one(rng, &wrapping) } else { one(rng, &checked) };
            Expr::Binary { op, left: boxed(rng), right: boxed(rng) }
        }
    }
}

fn truth(rng: &mut ChaCha8Rng, depth: usize) -> Expr {
    let comparable: Vec<DataType> = types();
    let of = one(rng, &comparable);
    let boxed = |rng: &mut ChaCha8Rng, t: &DataType| Box::new(expr(rng, t, depth));
    match rng.random_range(0..9) {
        0 => Expr::Not(boxed(rng, &DataType::Boolean)),
        1 => Expr::IsNull(boxed(rng, &of)),
        2 => Expr::IsNotNull(boxed(rng, &of)),
        3 => {
            let list = (0..rng.random_range(1..4)).map(|_| expr(rng, &of, depth)).collect();
            Expr::InList { expr: boxed(rng, &of), list, negated: rng.random() }
        }
        4 => Expr::Between {
            expr: boxed(rng, &of),
            low: boxed(rng, &of),
            high: boxed(rng, &of),
            negated: rng.random(),
        },
        5 => {
            let text = one(rng, &[DataType::Utf8, DataType::LargeUtf8]);
            debug_assert!(is_plain_string(&text), "LIKE is of strings");
            let pattern = Box::new(Expr::Literal(one(rng, &["%a%", "a_%", "%", "17", "_b%"]).into()));
            let (negated, insensitive) = (rng.random(), rng.random());
            Expr::Like { expr: boxed(rng, &text), pattern, negated, insensitive, escape: '\\' }
        }
        6 => {
            let texts = [expr(rng, &DataType::Utf8, depth), expr(rng, &DataType::Utf8, depth)];
            function(one(rng, &["starts_with", "ends_with", "contains"]), texts)
        }
        7 => {
            let op = if rng.random() { BinaryOp::And } else { BinaryOp::Or };
            Expr::Binary { op, left: boxed(rng, &DataType::Boolean), right: boxed(rng, &DataType::Boolean) }
        }
        _ => {
            let ops: Vec<BinaryOp> = BinaryOp::ALL.into_iter().filter(|op| op.is_comparison()).collect();
            Expr::Binary { op: one(rng, &ops), left: boxed(rng, &of), right: boxed(rng, &of) }
        }
    }
}

/// One of a list; the lists here are never empty.
fn one<T: Clone>(rng: &mut ChaCha8Rng, list: &[T]) -> T {
    list[rng.random_range(0..list.len())].clone()
}
