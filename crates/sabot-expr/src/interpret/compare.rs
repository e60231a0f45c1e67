//! The order of values that comparison, IN, BETWEEN, and later keys and sorting share.

use std::cmp::Ordering;

use crate::expr::BinaryOp;
use crate::scalar::Scalar;

/// How two values of one type compare; `None` when one is null, or when the types differ or have no order.
///
/// Floats are in total order: −0.0 equals 0.0, all NaNs are equal and greater than every number. Strings
/// compare by their bytes, which is the order of their Unicode scalar values. False is less than true.
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
        (Scalar::Float32(_), Scalar::Float32(_)) | (Scalar::Float64(_), Scalar::Float64(_)) => {
            Some(compare_floats(left.as_float()?, right.as_float()?))
        }
        (Scalar::Utf8(a), Scalar::Utf8(b)) | (Scalar::LargeUtf8(a), Scalar::LargeUtf8(b)) => Some(a.cmp(b)),
        (Scalar::Date32(a), Scalar::Date32(b)) => Some(a.cmp(b)),
        (Scalar::Timestamp { value: a, unit: u, .. }, Scalar::Timestamp { value: b, unit: v, .. })
            if u == v =>
        {
            Some(a.cmp(b))
        }
        _ if left.data_type() == right.data_type() => Some(left.as_integer()?.cmp(&right.as_integer()?)),
        _ => None,
    }
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
