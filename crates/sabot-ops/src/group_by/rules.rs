//! Which types an aggregate function takes, and which its result and its partial state have.

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Field};
use sabot_batch::key_hash;
use sabot_expr::types::{decoded_type, is_float, is_integer, is_plain_string, is_unsigned_integer};
use std::sync::Arc;

use super::AggregateFunction;

/// The type of exact 128-bit integer sums.
pub(crate) const SUM_TYPE: DataType = DataType::Decimal128(38, 0);

/// Digits of decimals up to which a 128-bit sum cannot overflow with fewer than 2⁶³ values.
const NARROW_DIGITS: u8 = 19;

/// Digits that an average of decimals has more than its argument, as far as there is room.
const AVERAGE_DIGITS: u8 = 4;

/// What comes out of a function for arguments of certain types.
pub(super) struct Shape {
    pub(super) result: DataType,
    pub(super) nullable: bool,
    /// Name, type and nullability of each column of partial state.
    pub(super) state: Vec<(String, DataType, bool)>,
}

impl Shape {
    fn new(result: DataType, nullable: bool, state: &[(&str, DataType, bool)]) -> Self {
        let state = state.iter().map(|(name, t, nullable)| ((*name).to_owned(), t.clone(), *nullable));
        Self { result, nullable, state: state.collect() }
    }
}

/// The shape of a function over arguments of these types; `None` when it does not take them. A user
/// function takes what it was bound to.
pub(super) fn shape(function: &AggregateFunction, arguments: &[DataType]) -> Option<Shape> {
    use AggregateFunction as F;
    let count = ("count", DataType::Int64, false);
    match (function, arguments) {
        (F::Count, [] | [_]) => Some(Shape::new(DataType::Int64, false, &[count])),
        (F::Sum, [t]) => sum(t),
        (F::Avg, [t]) => avg(t),
        (F::Min | F::Max, [t]) => {
            let result = ordered_type(t)?;
            Some(Shape::new(result.clone(), true, &[("value", result, true)]))
        }
        (F::BoolAnd | F::BoolOr, [t @ DataType::Boolean]) => {
            Some(Shape::new(t.clone(), true, &[("value", t.clone(), true)]))
        }
        (F::CountDistinct, [t]) if key_hash::supports_key(t) => {
            let values = ("values", list_of(decoded_type(t)), false);
            Some(Shape::new(DataType::Int64, false, &[values]))
        }
        (F::First | F::Last, [t]) => {
            let t = decoded_type(t);
            let state = [("value", t.clone(), true), ("order", DataType::Binary, true)];
            Some(Shape::new(t.clone(), true, &state))
        }
        (F::ArrayAgg, [t]) => {
            let list = list_of(decoded_type(t));
            Some(Shape::new(list.clone(), true, &[("values", list, false), orders()]))
        }
        (F::StringAgg { .. }, [t]) => {
            let t = decoded_type(t);
            let list = list_of(t);
            let is_text = is_plain_string(t) || t == &DataType::Utf8View;
            is_text.then(|| Shape::new(t.clone(), true, &[("values", list, false), orders()]))
        }
        (F::VarSamp | F::VarPop | F::StddevSamp | F::StddevPop, [t]) => moments(&[t], false),
        (F::CovarSamp | F::CovarPop, [x, y]) => moments(&[x, y], false),
        (F::Corr, [x, y]) => moments(&[x, y], true),
        (F::ApproxCountDistinct, [t]) if key_hash::supports_key(t) => {
            Some(Shape::new(DataType::Int64, false, &[("sketch", DataType::Binary, false)]))
        }
        (F::ApproxQuantile { quantile }, [t]) if is_measure(t) && quantile.is_share() => {
            Some(Shape::new(DataType::Float64, true, &[("sketch", DataType::Binary, false)]))
        }
        (F::User(function), _) => {
            let (result, state) = (function.returns()?.clone(), function.state()?);
            let part = |(i, t)| (format!("part{i}"), t, true);
            Some(Shape { result, nullable: true, state: state.into_iter().enumerate().map(part).collect() })
        }
        _ => None,
    }
}

fn sum(t: &DataType) -> Option<Shape> {
    let exact = |result| Some(Shape::new(result, true, &[("sum", SUM_TYPE, true)]));
    match t {
        t if is_float(t) => Some(Shape::new(DataType::Float64, true, &[("sum", DataType::Float64, true)])),
        t if is_unsigned_integer(t) => exact(DataType::UInt64),
        t if is_integer(t) => exact(DataType::Int64),
        DataType::Decimal128(_, scale) => {
            let result = DataType::Decimal128(DECIMAL128_MAX_PRECISION, *scale);
            Some(Shape::new(result, true, &[("sum", decimal_sum_type(t)?, true)]))
        }
        DataType::Duration(_) => exact(t.clone()),
        _ => None,
    }
}

fn avg(t: &DataType) -> Option<Shape> {
    let count = ("count", DataType::Int64, false);
    let of = |result, sum| Some(Shape::new(result, true, &[("sum", sum, true), count]));
    match t {
        t if is_float(t) => of(DataType::Float64, DataType::Float64),
        t if is_integer(t) || t == &DataType::Boolean => of(DataType::Float64, SUM_TYPE),
        DataType::Decimal128(precision, scale) => {
            let more = (DECIMAL128_MAX_PRECISION - precision).min(AVERAGE_DIGITS);
            let result = DataType::Decimal128(precision + more, scale + more as i8);
            of(result, decimal_sum_type(t)?)
        }
        DataType::Timestamp(..) | DataType::Duration(_) => of(t.clone(), SUM_TYPE),
        _ => None,
    }
}

/// The type in which decimals of a type are added up: 256 bits where 128 could overflow.
fn decimal_sum_type(t: &DataType) -> Option<DataType> {
    match t {
        DataType::Decimal128(precision, scale) if *precision <= NARROW_DIGITS => {
            Some(DataType::Decimal128(38, *scale))
        }
        DataType::Decimal128(_, scale) => Some(DataType::Decimal256(76, *scale)),
        _ => None,
    }
}

/// Variance, covariance and correlation: exact sums over integers, means and central moments else.
fn moments(arguments: &[&DataType], both_squares: bool) -> Option<Shape> {
    if !arguments.iter().all(|t| is_measure(t)) {
        return None;
    }
    let exact = arguments.iter().all(|t| is_integer(t));
    let pair = arguments.len() == 2;
    let squares = if pair && !both_squares { &[][..] } else { &["x", "y"][..arguments.len()] };
    let mut state = vec![("count".to_owned(), DataType::Int64, false)];
    let mut add = |name: String, t: &DataType| state.push((name, t.clone(), false));
    for x in &["x", "y"][..arguments.len()] {
        match exact {
            true => add(format!("sum_{x}"), &SUM_TYPE),
            false => add(format!("mean_{x}"), &DataType::Float64),
        }
    }
    let products = squares.iter().map(|x| format!("{x}{x}")).chain(pair.then(|| "xy".to_owned()));
    for product in products {
        match exact {
            true => {
                add(format!("sum_{product}_high"), &SUM_TYPE);
                add(format!("sum_{product}_low"), &SUM_TYPE);
            }
            false => add(format!("moment_{product}"), &DataType::Float64),
        }
    }
    Some(Shape { result: DataType::Float64, nullable: true, state })
}

/// A number that statistics can be made of: as a double, where it is none.
fn is_measure(t: &DataType) -> bool {
    is_integer(t) || is_float(t) || matches!(t, DataType::Decimal128(..))
}

fn orders() -> (&'static str, DataType, bool) {
    ("orders", DataType::List(Arc::new(Field::new_list_field(DataType::Binary, false))), false)
}

fn list_of(t: &DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(t.clone(), true)))
}

/// The type of the least and greatest value of a type; `None` where values have no order.
fn ordered_type(t: &DataType) -> Option<DataType> {
    match t {
        DataType::Boolean
        | DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Date32
        | DataType::Date64
        | DataType::Time32(_)
        | DataType::Time64(_)
        | DataType::Duration(_)
        | DataType::Decimal128(..)
        | DataType::Timestamp(..) => Some(t.clone()),
        DataType::Dictionary(_, value) if is_plain_string(value) => Some(value.as_ref().clone()),
        t if is_integer(t) || is_float(t) => Some(t.clone()),
        _ => None,
    }
}
