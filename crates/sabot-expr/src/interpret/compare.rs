//! The order of values that comparison, IN, BETWEEN, and later keys and sorting share.

use std::cmp::Ordering;

use crate::expr::BinaryOp;
use crate::scalar::Scalar;
use crate::temporal::Interval;

/// How two values of one type compare; `None` when one is null, or when the types differ or have no order.
///
/// Floats are in total order: −0.0 equals 0.0, all NaNs are equal and greater than every number. Strings
/// compare by their bytes, which is the order of their Unicode scalar values. False is less than true. Intervals
/// compare by months, then days, then nanoseconds. Lists compare item by item, and the one that ends first is less;
/// structs field by field. Inside of them null equals null and is greater than everything else.
///
/// ```
/// use sabot_expr::{Scalar, compare};
/// use std::cmp::Ordering;
/// assert_eq!(compare(&Scalar::Float64(-0.0), &Scalar::Float64(0.0)), Some(Ordering::Equal));
/// assert_eq!(compare(&Scalar::Float64(f64::NAN), &Scalar::Float64(f64::INFINITY)), Some(Ordering::Greater));
/// ```
pub fn compare(left: &Scalar, right: &Scalar) -> Option<Ordering> {
    match (left, right) {
        (Scalar::Boolean(a), Scalar::Boolean(b)) => Some(a.cmp(b)),
        (Scalar::Float16(_), Scalar::Float16(_))
        | (Scalar::Float32(_), Scalar::Float32(_))
        | (Scalar::Float64(_), Scalar::Float64(_)) => {
            Some(compare_floats(left.as_float()?, right.as_float()?))
        }
        (Scalar::Date32(a), Scalar::Date32(b)) => Some(a.cmp(b)),
        (Scalar::Date64(a), Scalar::Date64(b)) => Some(a.cmp(b)),
        (Scalar::Time { value: a, unit: u }, Scalar::Time { value: b, unit: v })
        | (Scalar::Duration { value: a, unit: u }, Scalar::Duration { value: b, unit: v })
            if u == v =>
        {
            Some(a.cmp(b))
        }
        (Scalar::Timestamp { value: a, unit: u, .. }, Scalar::Timestamp { value: b, unit: v, .. })
            if u == v =>
        {
            Some(a.cmp(b))
        }
        (Scalar::List { data_type: t, items: a }, Scalar::List { data_type: u, items: b })
        | (Scalar::Struct { data_type: t, values: a }, Scalar::Struct { data_type: u, values: b })
            if t == u =>
        {
            compare_values(a, b)
        }
        _ if left.data_type() != right.data_type() => None,
        _ => of_one_type(left, right),
    }
}

fn of_one_type(left: &Scalar, right: &Scalar) -> Option<Ordering> {
    if let (Some(a), Some(b)) = (left.as_str(), right.as_str()) {
        return Some(a.cmp(b));
    }
    if let (Some(a), Some(b)) = (left.as_bytes(), right.as_bytes()) {
        return Some(a.cmp(b));
    }
    if let (Some(a), Some(b)) = (left.as_decimal(), right.as_decimal()) {
        return Some(a.0.cmp(&b.0));
    }
    if let (Some(a), Some(b)) = (left.as_interval(), right.as_interval()) {
        let parts = |i: Interval| (i.months, i.days, i.nanoseconds);
        return Some(parts(a).cmp(&parts(b)));
    }
    Some(left.as_integer()?.cmp(&right.as_integer()?))
}

/// The first difference decides, else the length.
fn compare_values(left: &[Scalar], right: &[Scalar]) -> Option<Ordering> {
    for (a, b) in left.iter().zip(right) {
        let order = match (a.is_null(), b.is_null()) {
            (false, false) => compare(a, b)?,
            (a, b) => a.cmp(&b),
        };
        if order.is_ne() {
            return Some(order);
        }
    }
    Some(left.len().cmp(&right.len()))
}

fn compare_floats(a: f64, b: f64) -> Ordering {
    // `partial_cmp` is undecided only when a NaN takes part, and already has −0.0 equal to 0.0.
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// Whether a comparison operator holds for an order.
pub(super) fn holds(op: BinaryOp, order: Ordering) -> bool {
    match op {
        BinaryOp::Eq => order.is_eq(),
        BinaryOp::NotEq => order.is_ne(),
        BinaryOp::Lt => order.is_lt(),
        BinaryOp::LtEq => order.is_le(),
        BinaryOp::Gt => order.is_gt(),
        BinaryOp::GtEq => order.is_ge(),
        _ => false,
    }
}
