//! Arithmetic of points in time and spans of time, by the functions of [`sabot_expr::temporal`].

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, IntervalMonthDayNanoArray};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType};
use sabot_batch::key_index::words;
use sabot_expr::BinaryOp;
use sabot_expr::temporal::{Interval, add_interval};
use sabot_ops::Failure;
use std::borrow::Cow;
use std::sync::Arc;

use super::value::{Value, both_valid, is_valid};
use super::{Active, Scope, arrow_bug, wrong_type};

impl Scope<'_> {
    /// `left op right` of operands as the resolver leaves them: a timestamp first where there is one, else a span.
    pub(super) fn spans(
        &self,
        op: BinaryOp,
        data_type: &DataType,
        left: &Value,
        right: &Value,
        active: Active<'_>,
    ) -> Result<Value, Failure> {
        let outcome = Outcome::new(left, right);
        let types = (left.array().data_type(), right.array().data_type());
        if let DataType::Interval(_) = data_type {
            let a = intervals(left.array());
            let values = match types.1 {
                DataType::Interval(_) => {
                    let b = intervals(right.array());
                    let part = if op == BinaryOp::Sub { i64::checked_sub } else { i64::checked_add };
                    outcome.rows(|l, r| a(l).zip(b(r), part))
                }
                _ => {
                    let factors = right.array().as_primitive::<Int64Type>().values();
                    outcome.rows(|l, r| a(l).times(factors[r]))
                }
            };
            let spans = values.values.into_iter().map(|v| v.map_or_else(Default::default, to_span));
            let array: ArrayRef =
                Arc::new(IntervalMonthDayNanoArray::new(spans.collect(), outcome.nulls.clone()));
            return self.finish(&outcome, array, &values.failed, active);
        }
        let a = ticks(left.array())?;
        let sign = if op == BinaryOp::Sub { -1 } else { 1 };
        let values = match types {
            (DataType::Timestamp(unit, _), DataType::Interval(_)) => {
                let b = intervals(right.array());
                outcome.rows(|l, r| add_interval(a[l], *unit, b(r), sign))
            }
            _ => {
                let b = ticks(right.array())?;
                match op {
                    BinaryOp::Add => outcome.rows(|l, r| a[l].checked_add(b[r])),
                    BinaryOp::Sub => outcome.rows(|l, r| a[l].checked_sub(b[r])),
                    BinaryOp::Mul => outcome.rows(|l, r| a[l].checked_mul(b[r])),
                    BinaryOp::Div => outcome.rows(|l, r| a[l].checked_div(b[r])),
                    _ => return Err(wrong_type(op.symbol(), types.0)),
                }
            }
        };
        let plain: Vec<i64> = values.values.iter().map(|v| v.unwrap_or(0)).collect();
        let array =
            cast(&Int64Array::new(plain.into(), outcome.nulls.clone()), data_type).map_err(arrow_bug)?;
        self.finish(&outcome, array, &values.failed, active)
    }

    /// A duration or an interval with its sign turned.
    pub(super) fn negate_span(&self, input: &Value, active: Active<'_>) -> Result<Value, Failure> {
        let outcome = Outcome::new(input, input);
        let data_type = input.array().data_type();
        if let DataType::Interval(_) = data_type {
            let a = intervals(input.array());
            let values = outcome.rows(|row, _| a(row).times(-1));
            let spans = values.values.into_iter().map(|v| v.map_or_else(Default::default, to_span));
            let array: ArrayRef =
                Arc::new(IntervalMonthDayNanoArray::new(spans.collect(), outcome.nulls.clone()));
            return self.finish(&outcome, array, &values.failed, active);
        }
        let a = ticks(input.array())?;
        let values = outcome.rows(|row, _| a[row].checked_neg());
        let plain: Vec<i64> = values.values.iter().map(|v| v.unwrap_or(0)).collect();
        let array =
            cast(&Int64Array::new(plain.into(), outcome.nulls.clone()), data_type).map_err(arrow_bug)?;
        self.finish(&outcome, array, &values.failed, active)
    }

    fn finish(
        &self,
        outcome: &Outcome,
        array: ArrayRef,
        failed: &[usize],
        active: Active<'_>,
    ) -> Result<Value, Failure> {
        if !failed.is_empty() {
            self.fail_where(active, outcome.constant, |row| failed.binary_search(&row).is_ok());
        }
        Ok(Value::of(array, outcome.constant))
    }
}

/// Which rows there are to compute.
struct Outcome {
    rows: usize,
    constant: bool,
    constants: [bool; 2],
    nulls: Option<NullBuffer>,
}

/// What came of them; rows without result are listed, in order.
struct Computed<T> {
    values: Vec<Option<T>>,
    failed: Vec<usize>,
}

impl Outcome {
    fn new(left: &Value, right: &Value) -> Self {
        let constants = [left.is_constant(), right.is_constant()];
        let rows = if constants[0] { right.array().len() } else { left.array().len() };
        Self { rows, constant: constants[0] && constants[1], constants, nulls: both_valid(left, right) }
    }

    /// `f` of the rows of both operands, for every row that is not null.
    fn rows<T>(&self, f: impl Fn(usize, usize) -> Option<T>) -> Computed<T> {
        let mut failed = Vec::new();
        let at = |side: usize, row: usize| if self.constants[side] { 0 } else { row };
        let one = |row: usize| {
            if !is_valid(self.nulls.as_ref(), row) {
                return None;
            }
            let value = f(at(0, row), at(1, row));
            if value.is_none() {
                failed.push(row);
            }
            value
        };
        Computed { values: (0..self.rows).map(one).collect(), failed }
    }
}

/// Timestamps, durations and int64 as what they count.
fn ticks(array: &ArrayRef) -> Result<Cow<'_, [i64]>, Failure> {
    match array.data_type() {
        DataType::Timestamp(..) | DataType::Duration(_) | DataType::Int64 => words::encode(array.as_ref())
            .map(|words| words.values)
            .ok_or_else(|| wrong_type("ticks", array.data_type())),
        other => Err(wrong_type("ticks", other)),
    }
}

fn intervals(array: &ArrayRef) -> impl Fn(usize) -> Interval + '_ {
    let spans = array.as_primitive::<IntervalMonthDayNanoType>().values();
    move |row| {
        let IntervalMonthDayNano { months, days, nanoseconds } = spans[row];
        Interval { months, days, nanoseconds }
    }
}

fn to_span(interval: Interval) -> IntervalMonthDayNano {
    IntervalMonthDayNano::new(interval.months, interval.days, interval.nanoseconds)
}
