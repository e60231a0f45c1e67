//! Counts, sums of integers and floats, least and greatest values.

use arrow::array::{Array, ArrayRef, Int64Array, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use sabot_expr::{RowErrorKind, Scalar, compare, types};
use std::cmp::Ordering;
use std::sync::Arc;

use super::state::{Row, State};
use crate::group_by::SUM_TYPE;
use crate::reference::{ExactSum, internal};
use crate::{AggregateFunction, AggregateSpec, Failure};

/// The state, and the type of what comes of it.
pub(super) struct Basic {
    state: Kind,
    returns: DataType,
}

enum Kind {
    Count(i64),
    /// Sum and number of integers; the sum is null when no value was seen.
    Integers {
        sum: Option<i128>,
        count: i64,
        with_count: bool,
    },
    Floats {
        sum: Option<ExactSum>,
        count: i64,
        with_count: bool,
    },
    /// The best value so far, and whether the smallest or the largest is wanted.
    Best {
        value: Scalar,
        wanted: Ordering,
    },
}

impl Basic {
    pub(super) fn new(aggregate: &AggregateSpec) -> Result<Self, Failure> {
        use AggregateFunction as F;
        let with_count = aggregate.function == F::Avg;
        let floats = aggregate.arguments.first().is_some_and(|a| types::is_float(&a.data_type));
        let returns = aggregate.result_field().map_err(internal)?.data_type().clone();
        let best = |wanted| Kind::Best { value: Scalar::Null(returns.clone()), wanted };
        let state = match aggregate.function {
            F::Count => Kind::Count(0),
            F::Sum | F::Avg if floats => Kind::Floats { sum: None, count: 0, with_count },
            F::Sum | F::Avg => Kind::Integers { sum: None, count: 0, with_count },
            // False is less than true.
            F::Min | F::BoolAnd => best(Ordering::Less),
            F::Max | F::BoolOr => best(Ordering::Greater),
            _ => return Err(internal("a function of another family")),
        };
        Ok(Self { state, returns })
    }
}

impl State for Basic {
    fn add(&mut self, row: &Row<'_>) -> Result<(), Failure> {
        if let Kind::Count(count) = &mut self.state {
            // Without an argument every row counts.
            let is_null = |a: &ArrayRef| a.logical_nulls().is_some_and(|nulls| nulls.is_null(0));
            if !row.arguments.first().is_some_and(is_null) {
                *count = more(*count, 1)?;
            }
            return Ok(());
        }
        // Times are added up as counts of units.
        let count = |a: &ArrayRef| match (&self.state, a.data_type()) {
            (Kind::Integers { .. }, DataType::Timestamp(..) | DataType::Duration(_)) => {
                cast(a, &DataType::Int64)
            }
            _ => Ok(a.clone()),
        };
        let argument = row.arguments.first().map(count).transpose().map_err(internal)?;
        let argument = argument.map(|a| Scalar::from_array(a.as_ref(), 0));
        let argument = argument.transpose().map_err(internal)?;
        if argument.as_ref().is_some_and(Scalar::is_null) {
            return Ok(());
        }
        match (&mut self.state, &argument) {
            (Kind::Integers { sum, count, .. }, Some(value)) => {
                *sum = Some(wider(sum.unwrap_or(0), whole(value).ok_or_else(|| unfit(value))?)?);
                *count = more(*count, 1)?;
            }
            (Kind::Floats { sum, count, .. }, Some(value)) => {
                sum.get_or_insert_default().add(value.as_float().ok_or_else(|| unfit(value))?);
                *count = more(*count, 1)?;
            }
            (Kind::Best { value: best, wanted }, Some(value)) => better(best, value, *wanted),
            _ => return Err(internal("an aggregate without its argument")),
        }
        Ok(())
    }

    fn merge(&mut self, parts: &[ArrayRef]) -> Result<(), Failure> {
        let parts = parts.iter().map(|part| Scalar::from_array(part.as_ref(), 0));
        let parts = parts.collect::<Result<Vec<_>, _>>().map_err(internal)?;
        let count_of = |part: Option<&Scalar>| {
            let value = part.and_then(Scalar::as_integer).and_then(|n| i64::try_from(n).ok());
            value.ok_or_else(|| internal("partial state without its count"))
        };
        let first = parts.first().ok_or_else(|| internal("partial state without columns"))?;
        match &mut self.state {
            Kind::Count(count) => *count = more(*count, count_of(Some(first))?)?,
            Kind::Integers { sum, count, with_count } => {
                if let Scalar::Decimal128 { value, .. } = first {
                    *sum = Some(wider(sum.unwrap_or(0), *value)?);
                }
                if *with_count {
                    *count = more(*count, count_of(parts.get(1))?)?;
                }
            }
            Kind::Floats { sum, count, with_count } => {
                if let Some(value) = first.as_float() {
                    sum.get_or_insert_default().add(value);
                }
                if *with_count {
                    *count = more(*count, count_of(parts.get(1))?)?;
                }
            }
            Kind::Best { value, wanted } => better(value, first, *wanted),
        }
        Ok(())
    }

    fn parts(&self) -> Result<Vec<ArrayRef>, Failure> {
        let (sum, count, with_count) = match &self.state {
            Kind::Count(count) => return arrays(&[Scalar::Int64(*count)]),
            Kind::Best { value, .. } => return arrays(std::slice::from_ref(value)),
            Kind::Integers { sum, count, with_count } => {
                let sum = match sum {
                    Some(value) => Scalar::Decimal128 { value: *value, precision: 38, scale: 0 },
                    None => Scalar::Null(SUM_TYPE),
                };
                (sum, count, with_count)
            }
            Kind::Floats { sum, count, with_count } => {
                (float_or_null(sum.as_ref().map(ExactSum::value)), count, with_count)
            }
        };
        let both = [sum, Scalar::Int64(*count)];
        arrays(if *with_count { &both } else { &both[..1] })
    }

    fn result(&self) -> Result<Result<ArrayRef, RowErrorKind>, Failure> {
        let value = match &self.state {
            Kind::Count(count) => Scalar::Int64(*count),
            Kind::Best { value, .. } => value.clone(),
            Kind::Floats { sum, count, with_count } => {
                let sum = sum.as_ref().map(ExactSum::value);
                // A count is far below 2^53, where every integer is a double.
                float_or_null(if *with_count { sum.map(|s| s / *count as f64) } else { sum })
            }
            Kind::Integers { sum: None, .. } => return Ok(Ok(new_null_array(&self.returns, 1))),
            Kind::Integers { sum: Some(sum), count, with_count: true } => match &self.returns {
                DataType::Float64 => Scalar::Float64(*sum as f64 / *count as f64),
                time => {
                    // The mean of times lies between them.
                    let mean = i64::try_from(rounded_quotient(*sum, i128::from(*count))).map_err(internal)?;
                    return Ok(Ok(time_of(mean, time)?));
                }
            },
            Kind::Integers { sum: Some(sum), .. } if matches!(self.returns, DataType::Duration(_)) => {
                return match i64::try_from(*sum) {
                    Ok(sum) => Ok(Ok(time_of(sum, &self.returns)?)),
                    Err(_) => Ok(Err(sum_overflow(sum.to_string(), &self.returns))),
                };
            }
            Kind::Integers { sum: Some(sum), .. } => match Scalar::from_integer(*sum, &self.returns) {
                Some(value) => value,
                None => return Ok(Err(sum_overflow(sum.to_string(), &self.returns))),
            },
        };
        Ok(Ok(value.to_array(1).map_err(internal)?))
    }
}

/// An integer, or the number of a truth value.
fn whole(value: &Scalar) -> Option<i128> {
    value.as_integer().or(value.as_bool().map(i128::from))
}

/// So many units of time.
fn time_of(units: i64, data_type: &DataType) -> Result<ArrayRef, Failure> {
    let units: ArrayRef = Arc::new(Int64Array::from(vec![units]));
    cast(&units, data_type).map_err(internal)
}

/// The integer nearest to a quotient, halves away from zero; the divisor is positive.
pub(super) fn rounded_quotient(sum: i128, count: i128) -> i128 {
    let (quotient, rest) = (sum / count, sum % count);
    quotient + if 2 * rest.abs() >= count { sum.signum() } else { 0 }
}

pub(super) fn sum_overflow(sum: String, data_type: &DataType) -> RowErrorKind {
    let op = AggregateFunction::Sum.info().name;
    RowErrorKind::Overflow { op, left: sum, right: None, data_type: data_type.clone() }
}

fn arrays(values: &[Scalar]) -> Result<Vec<ArrayRef>, Failure> {
    values.iter().map(|value| value.to_array(1).map_err(internal)).collect()
}

fn better(best: &mut Scalar, value: &Scalar, wanted: Ordering) {
    if !value.is_null() && compare(value, best).is_none_or(|order| order == wanted) {
        *best = value.clone();
    }
}

fn float_or_null(value: Option<f64>) -> Scalar {
    value.map_or(Scalar::Null(DataType::Float64), Scalar::Float64)
}

pub(super) fn more(count: i64, by: i64) -> Result<i64, Failure> {
    count.checked_add(by).ok_or_else(|| internal("a count beyond int64"))
}

fn wider(sum: i128, by: i128) -> Result<i128, Failure> {
    sum.checked_add(by).ok_or_else(|| internal("an integer sum beyond 128 bits"))
}

fn unfit(value: &Scalar) -> Failure {
    internal(format!("an aggregate cannot take {value}"))
}
