//! Operands of arithmetic: numbers in their common type, decimals by the rules of SQL, and what is added to and taken
//! from times. Which operands there are is said by the tables of [`rules`].

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit, i256};

use super::operand::Operand;
use super::{check_number, pair, unsupported, wrong_type};
use crate::decimal;
use crate::error::ExprError;
use crate::expr::{BinaryOp, Expr};
use crate::scalar::Scalar;
use crate::typed::TypedExpr;
use crate::types::rules::{self, finer, is_any_float};
use crate::types::{decoded_type, is_decimal, is_integer, is_utc, type_name};

type Resolved = (TypedExpr, TypedExpr, DataType);

/// Both operands as the operator takes them, and the type of its result.
pub(super) fn resolve(whole: &Expr, op: BinaryOp, operands: Vec<Operand>) -> Result<Resolved, ExprError> {
    let is_time = |operand: &Operand| {
        use DataType::{Date32, Date64, Duration, Interval, Time32, Time64, Timestamp};
        let data_type = decoded_type(operand.expr.data_type());
        matches!(
            data_type,
            Date32 | Date64 | Time32(_) | Time64(_) | Timestamp(..) | Duration(_) | Interval(_)
        )
    };
    if operands.iter().any(is_time) {
        return time(whole, op, operands);
    }
    for operand in &operands {
        check_number(whole, operand, op.is_wrapping())?;
    }
    let is = |test: fn(&DataType) -> bool| operands.iter().any(|o| test(decoded_type(o.expr.data_type())));
    if is(is_decimal) {
        if is(is_any_float) {
            return both(whole, operands, &DataType::Float64, DataType::Float64);
        }
        return decimals(whole, op, operands);
    }
    let (left, right, data_type) = pair(whole, operands)?;
    if data_type != DataType::Float16 {
        return Ok((left, right, data_type));
    }
    both(whole, vec![left.into(), right.into()], &DataType::Float32, DataType::Float32)
}

/// The operand of a change of sign.
pub(super) fn negated_operand(whole: &Expr, operand: Operand) -> Result<Operand, ExprError> {
    let wanted = match decoded_type(operand.expr.data_type()) {
        DataType::Float16 => DataType::Float32,
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => DataType::Decimal128(*p, *s),
        DataType::Interval(_) => month_day_nano(),
        DataType::Duration(unit) => DataType::Duration(*unit),
        plain => {
            check_number(whole, &operand, false)?;
            plain.clone()
        }
    };
    // A literal stays free to adapt.
    if *operand.expr.data_type() == wanted {
        return Ok(operand);
    }
    Ok(operand.coerce(whole, &wanted)?.into())
}

fn month_day_nano() -> DataType {
    DataType::Interval(IntervalUnit::MonthDayNano)
}

fn both(
    whole: &Expr,
    operands: Vec<Operand>,
    to: &DataType,
    result: DataType,
) -> Result<Resolved, ExprError> {
    each(whole, operands, [to, to], result)
}

fn each(
    whole: &Expr,
    operands: Vec<Operand>,
    to: [&DataType; 2],
    result: DataType,
) -> Result<Resolved, ExprError> {
    let mut coerced = operands.into_iter().zip(to).map(|(operand, to)| operand.coerce(whole, to));
    match (coerced.next(), coerced.next()) {
        (Some(left), Some(right)) => Ok((left?, right?, result)),
        _ => Err(super::incomplete(whole, "an operator needs two operands")),
    }
}

/// Decimals keep their own precision and scale; only their width is that of the result.
fn decimals(whole: &Expr, op: BinaryOp, operands: Vec<Operand>) -> Result<Resolved, ExprError> {
    let decimal_of = |operand: &Operand| {
        if let Some(value) = operand.as_free_literal().and_then(Scalar::as_integer) {
            // An integer literal has as many digits as it has.
            let digits = u8::try_from(value.unsigned_abs().max(1).ilog10() + 1).unwrap_or(20);
            return Some(DataType::Decimal128(digits, 0));
        }
        decimal::decimal_of(decoded_type(operand.expr.data_type()))
    };
    let mut types: Vec<Option<DataType>> = operands.iter().map(decimal_of).collect();
    // A NULL has the type of the other side.
    let known = types.iter().flatten().next().cloned();
    types.iter_mut().for_each(|t| *t = t.take().or_else(|| known.clone()));
    let [Some(left), Some(right)] = types.as_slice() else {
        return Err(wrong_type(whole, "numbers", operands[0].expr.data_type()));
    };
    let Some(result) = decimal::result_type(op, left, right) else {
        return Err(unsupported(whole, "decimals do not wrap; an overflow is an error of the row"));
    };
    let wide = matches!(result, DataType::Decimal256(..));
    let widened = |data_type: &DataType| {
        let (precision, scale) = decimal::precision_and_scale(data_type).unwrap_or((1, 0));
        if wide { DataType::Decimal256(precision, scale) } else { DataType::Decimal128(precision, scale) }
    };
    let (left, right) = (widened(left), widened(right));
    let coerced =
        |operand: Operand, to: &DataType| match operand.as_free_literal().and_then(Scalar::as_integer) {
            Some(value) => {
                let literal = Scalar::from_decimal(i256::from_i128(value), to);
                Ok(TypedExpr::literal(literal.unwrap_or_else(|| Scalar::Null(to.clone()))))
            }
            None => operand.coerce(whole, to),
        };
    let mut operands = operands.into_iter();
    match (operands.next(), operands.next()) {
        (Some(a), Some(b)) => Ok((coerced(a, &left)?, coerced(b, &right)?, result)),
        _ => Err(super::incomplete(whole, "an operator needs two operands")),
    }
}

/// Arithmetic with a time or a span of time on one side at least.
fn time(whole: &Expr, op: BinaryOp, mut operands: Vec<Operand>) -> Result<Resolved, ExprError> {
    use BinaryOp::{Add, Div, Mul, Sub};
    use DataType::{Date32, Date64, Duration, Interval, Null, Timestamp};
    let types: Vec<DataType> = operands.iter().map(|o| decoded_type(o.expr.data_type()).clone()).collect();
    let is_point = |t: &DataType| matches!(t, Date32 | Date64 | Timestamp(..));
    let [left, right] = types.as_slice() else {
        return Err(super::incomplete(whole, "an operator needs two operands"));
    };
    // The order of the operands of a sum or a product does not matter; the point, or the span, comes first.
    let swaps = match op {
        Add => is_point(right) && !is_point(left),
        Mul => matches!(right, Duration(_) | Interval(_)),
        _ => false,
    };
    if swaps {
        operands.swap(0, 1);
        let (left, right, data_type) = time(whole, op, operands)?;
        return Ok((left, right, data_type));
    }
    let interval = month_day_nano();
    match (op, left, right) {
        (Add | Sub, point, Duration(unit)) if is_point(point) => {
            let (common, zone) = match point {
                Timestamp(own, zone) => (finer(*own, *unit), zone.clone()),
                _ => (*unit, None),
            };
            let point = Timestamp(common, zone);
            each(whole, operands, [&point, &Duration(common)], point.clone())
        }
        (Add | Sub, point, Interval(_) | Null) if is_point(point) => {
            let point = match point {
                Timestamp(_, zone) if !is_utc(zone.as_deref()) => {
                    let reason = format!(
                        "{} is in a zone other than UTC, where days and months have other lengths; cast it to UTC \
                         first, or add a duration",
                        type_name(point)
                    );
                    return Err(unsupported(whole, &reason));
                }
                Timestamp(..) => point.clone(),
                _ => Timestamp(TimeUnit::Microsecond, None),
            };
            each(whole, operands, [&point, &interval], point.clone())
        }
        (Sub, a, b) if is_point(a) && is_point(b) => {
            let common = match rules::common_type(a, b) {
                Some(Timestamp(unit, zone)) => Timestamp(unit, zone),
                Some(Date64) => Timestamp(TimeUnit::Millisecond, None),
                Some(_) => Timestamp(TimeUnit::Second, None),
                None => return pair(whole, operands),
            };
            let unit = if let Timestamp(unit, _) = &common { *unit } else { TimeUnit::Second };
            both(whole, operands, &common, Duration(unit))
        }
        (Add | Sub, Duration(a), Duration(b)) => {
            let common = Duration(finer(*a, *b));
            both(whole, operands, &common, common.clone())
        }
        (Add | Sub, Duration(_), Null) | (Add | Sub, Null, Duration(_)) => pair(whole, operands),
        (Add | Sub, Interval(_), Interval(_) | Null) | (Add | Sub, Null, Interval(_)) => {
            both(whole, operands, &interval, interval.clone())
        }
        (Mul | Div, Duration(_), factor) if is_integer(factor) && *factor != DataType::UInt64 => {
            each(whole, operands, [left, &DataType::Int64], left.clone())
        }
        (Mul, Interval(_), factor) if is_integer(factor) && *factor != DataType::UInt64 => {
            each(whole, operands, [&interval, &DataType::Int64], interval.clone())
        }
        _ => {
            let reason = format!(
                "there is no {} {} {}; a duration or an interval is added to and taken from a point in time, a point \
                 in time is taken from another, and spans are added, taken from each other, and multiplied by an integer",
                type_name(left),
                op.symbol(),
                type_name(right)
            );
            Err(unsupported(whole, &reason))
        }
    }
}
