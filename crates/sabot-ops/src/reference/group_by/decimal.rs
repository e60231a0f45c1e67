//! Sums and averages of decimals.

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Decimal256Array, Int64Array, new_null_array};
use arrow::datatypes::{
    DataType, Decimal128Type, Decimal256Type, Decimal256Type as Wide, DecimalType, Int64Type, i256,
};
use sabot_expr::RowErrorKind;
use std::sync::Arc;

use super::basic::{more, sum_overflow};
use super::state::{Row, State};
use crate::reference::internal;
use crate::{AggregateFunction, AggregateSpec, Failure};

/// A sum in 256 bits, and how many values it is of.
pub(super) struct DecimalSum {
    sum: Option<i256>,
    count: i64,
    /// For an average; the sum alone has no count in its state.
    with_count: bool,
    argument: (u8, i8),
    state: DataType,
    returns: DataType,
}

impl DecimalSum {
    pub(super) fn new(aggregate: &AggregateSpec) -> Result<Self, Failure> {
        let types = aggregate.argument_types();
        let Some(DataType::Decimal128(precision, scale)) = types.first() else {
            return Err(internal("a sum of decimals without decimals"));
        };
        let state = aggregate.state_fields().map_err(internal)?;
        Ok(Self {
            sum: None,
            count: 0,
            with_count: aggregate.function == AggregateFunction::Avg,
            argument: (*precision, *scale),
            state: state[0].data_type().clone(),
            returns: aggregate.result_field().map_err(internal)?.data_type().clone(),
        })
    }

    fn plus(&mut self, value: i256) -> Result<(), Failure> {
        let sum = self.sum.unwrap_or(i256::ZERO).checked_add(value);
        self.sum = Some(sum.ok_or_else(|| internal("a sum of decimals beyond 256 bits"))?);
        Ok(())
    }
}

impl State for DecimalSum {
    fn add(&mut self, row: &Row<'_>) -> Result<(), Failure> {
        let values = row.arguments[0].as_primitive::<Decimal128Type>();
        if values.is_valid(0) {
            self.plus(i256::from_i128(values.value(0)))?;
            self.count = more(self.count, 1)?;
        }
        Ok(())
    }

    fn merge(&mut self, parts: &[ArrayRef]) -> Result<(), Failure> {
        if parts[0].is_valid(0) {
            self.plus(match parts[0].as_primitive_opt::<Decimal128Type>() {
                Some(narrow) => i256::from_i128(narrow.value(0)),
                None => parts[0].as_primitive::<Decimal256Type>().value(0),
            })?;
        }
        if self.with_count {
            self.count = more(self.count, parts[1].as_primitive::<Int64Type>().value(0))?;
        }
        Ok(())
    }

    fn parts(&self) -> Result<Vec<ArrayRef>, Failure> {
        let sum: ArrayRef = match (self.sum, &self.state) {
            (None, state) => new_null_array(state, 1),
            (Some(sum), DataType::Decimal128(..)) => {
                let narrow = sum.to_i128().ok_or_else(|| internal("a sum of decimals beyond 128 bits"))?;
                Arc::new(Decimal128Array::from(vec![narrow]).with_data_type(self.state.clone()))
            }
            (Some(sum), _) => Arc::new(Decimal256Array::from(vec![sum]).with_data_type(self.state.clone())),
        };
        let count = self.with_count.then(|| Arc::new(Int64Array::from(vec![self.count])) as ArrayRef);
        Ok([sum].into_iter().chain(count).collect())
    }

    fn result(&self) -> Result<Result<ArrayRef, RowErrorKind>, Failure> {
        let Some(sum) = self.sum else { return Ok(Ok(new_null_array(&self.returns, 1))) };
        let DataType::Decimal128(precision, scale) = self.returns else {
            return Err(internal("a sum of decimals is no decimal"));
        };
        let value = if self.with_count {
            // More digits, then the nearest quotient; halves away from zero.
            let count = i256::from_i128(self.count.into());
            let more = i256::from_i128(10).wrapping_pow((scale - self.argument.1).unsigned_abs().into());
            let beyond = || internal("a sum of decimals beyond 256 bits");
            let (quotient, rest) = (sum.wrapping_div(count), sum.wrapping_rem(count));
            let whole = quotient.checked_mul(more).ok_or_else(beyond)?;
            let rest = rest.checked_mul(more).ok_or_else(beyond)?;
            let (digits, last) = (rest.wrapping_div(count), rest.wrapping_rem(count));
            let up = last.wrapping_abs().wrapping_mul(i256::from_i128(2)) >= count;
            let away = if up { sum.signum() } else { i256::ZERO };
            whole.wrapping_add(digits).wrapping_add(away)
        } else {
            sum
        };
        let limit = i256::from_i128(10).wrapping_pow(precision.into());
        match value.to_i128().filter(|_| value.wrapping_abs() < limit) {
            Some(value) => {
                Ok(Ok(Arc::new(Decimal128Array::from(vec![value]).with_data_type(self.returns.clone()))))
            }
            None => Ok(Err(sum_overflow(Wide::format_decimal(sum, 76, self.argument.1), &self.returns))),
        }
    }
}
