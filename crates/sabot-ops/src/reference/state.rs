//! The state of one aggregate of one group.

use arrow::datatypes::DataType;
use sabot_expr::{RowErrorKind, Scalar, compare, types};
use std::cmp::Ordering;

use super::internal;
use super::sum::ExactSum;
use crate::group_by::SUM_TYPE;
use crate::{AggregateFunction, AggregateSpec, Failure};

/// What has been seen of a group's values.
#[derive(Clone, Debug)]
pub(super) enum State {
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

impl State {
    /// The state of no rows.
    pub(super) fn new(aggregate: &AggregateSpec) -> Result<State, Failure> {
        use AggregateFunction as F;
        let with_count = aggregate.function == F::Avg;
        let floats = aggregate.input_type.as_ref().is_some_and(types::is_float);
        let result = aggregate.result_field().map_err(internal)?;
        let none = || Scalar::Null(result.data_type().clone());
        Ok(match aggregate.function {
            F::Count => State::Count(0),
            F::Sum | F::Avg if floats => State::Floats { sum: None, count: 0, with_count },
            F::Sum | F::Avg => State::Integers { sum: None, count: 0, with_count },
            F::Min => State::Best { value: none(), wanted: Ordering::Less },
            F::Max => State::Best { value: none(), wanted: Ordering::Greater },
        })
    }

    /// One more row; without an argument every row counts.
    pub(super) fn add(&mut self, argument: Option<&Scalar>) -> Result<(), Failure> {
        if argument.is_some_and(Scalar::is_null) {
            return Ok(());
        }
        match (self, argument) {
            (State::Count(count), _) => *count = more(*count, 1)?,
            (State::Integers { sum, count, .. }, Some(value)) => {
                let value =
                    value.as_integer().or(value.as_bool().map(i128::from)).ok_or_else(|| unfit(value))?;
                *sum = Some(wider(sum.unwrap_or(0), value)?);
                *count = more(*count, 1)?;
            }
            (State::Floats { sum, count, .. }, Some(value)) => {
                sum.get_or_insert_default().add(value.as_float().ok_or_else(|| unfit(value))?);
                *count = more(*count, 1)?;
            }
            (State::Best { value: best, wanted }, Some(value)) => better(best, value, *wanted),
            (_, None) => return Err(internal("an aggregate without its argument")),
        }
        Ok(())
    }

    /// The state of other rows of the group, as it stands in its columns.
    pub(super) fn merge(&mut self, parts: &[Scalar]) -> Result<(), Failure> {
        let count_of = |part: Option<&Scalar>| {
            let value = part.and_then(Scalar::as_integer).and_then(|n| i64::try_from(n).ok());
            value.ok_or_else(|| internal("partial state without its count"))
        };
        let first = parts.first().ok_or_else(|| internal("partial state without columns"))?;
        match self {
            State::Count(count) => *count = more(*count, count_of(Some(first))?)?,
            State::Integers { sum, count, with_count } => {
                if let Scalar::Decimal128 { value, .. } = first {
                    *sum = Some(wider(sum.unwrap_or(0), *value)?);
                }
                if *with_count {
                    *count = more(*count, count_of(parts.get(1))?)?;
                }
            }
            State::Floats { sum, count, with_count } => {
                if let Some(value) = first.as_float() {
                    sum.get_or_insert_default().add(value);
                }
                if *with_count {
                    *count = more(*count, count_of(parts.get(1))?)?;
                }
            }
            State::Best { value, wanted } => better(value, first, *wanted),
        }
        Ok(())
    }

    /// The state as it stands in its columns.
    pub(super) fn values(&self) -> Result<Vec<Scalar>, Failure> {
        let (sum, count, with_count) = match self {
            State::Count(count) => return Ok(vec![Scalar::Int64(*count)]),
            State::Best { value, .. } => return Ok(vec![value.clone()]),
            State::Integers { sum, count, with_count } => {
                let sum = match sum {
                    Some(value) => Scalar::Decimal128 { value: *value, precision: 38, scale: 0 },
                    None => Scalar::Null(SUM_TYPE),
                };
                (sum, count, with_count)
            }
            State::Floats { sum, count, with_count } => {
                (float_or_null(sum.as_ref().map(ExactSum::value)), count, with_count)
            }
        };
        Ok(if *with_count { vec![sum, Scalar::Int64(*count)] } else { vec![sum] })
    }

    /// The value of the aggregate, or why the row has none.
    pub(super) fn result(&self, aggregate: &AggregateSpec) -> Result<Result<Scalar, RowErrorKind>, Failure> {
        let data_type = aggregate.result_field().map_err(internal)?.data_type().clone();
        Ok(Ok(match self {
            State::Count(count) => Scalar::Int64(*count),
            State::Best { value, .. } => value.clone(),
            State::Floats { sum, count, with_count } => {
                let sum = sum.as_ref().map(ExactSum::value);
                // A count is far below 2^53, where every integer is a double.
                float_or_null(if *with_count { sum.map(|s| s / *count as f64) } else { sum })
            }
            State::Integers { sum, count, with_count: true } => {
                float_or_null(sum.map(|s| s as f64 / *count as f64))
            }
            State::Integers { sum: None, .. } => Scalar::Null(data_type),
            State::Integers { sum: Some(sum), .. } => match Scalar::from_integer(*sum, &data_type) {
                Some(value) => value,
                None => {
                    let (op, left) = (AggregateFunction::Sum.name(), sum.to_string());
                    return Ok(Err(RowErrorKind::Overflow { op, left, right: None, data_type }));
                }
            },
        }))
    }
}

fn better(best: &mut Scalar, value: &Scalar, wanted: Ordering) {
    if !value.is_null() && compare(value, best).is_none_or(|order| order == wanted) {
        *best = value.clone();
    }
}

fn float_or_null(value: Option<f64>) -> Scalar {
    value.map_or(Scalar::Null(DataType::Float64), Scalar::Float64)
}

fn more(count: i64, by: i64) -> Result<i64, Failure> {
    count.checked_add(by).ok_or_else(|| internal("a count beyond int64"))
}

fn wider(sum: i128, by: i128) -> Result<i128, Failure> {
    sum.checked_add(by).ok_or_else(|| internal("an integer sum beyond 128 bits"))
}

fn unfit(value: &Scalar) -> Failure {
    internal(format!("an aggregate cannot take {value}"))
}
