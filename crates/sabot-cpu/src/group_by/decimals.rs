//! Decimals: sums of long ones in 256 bits, and the least and greatest of them.

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Decimal256Array, Int64Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, DecimalType, Int64Type, i256};
use sabot_ops::{AggregateFunction, AggregateSpec};
use std::sync::Arc;

use super::AccumulateError;
use super::family::{GroupState, RowsOf};

/// The decimal nearest to a quotient, `digits` digits further to the right, halves away from zero. 0 for
/// no values; `None` beyond 128 bits, which a mean of decimals never is.
pub(super) fn mean(sum: i256, count: i64, digits: u32) -> Option<i128> {
    if count == 0 {
        return Some(0);
    }
    let (count, power) = (i256::from_i128(count.into()), i256::from_i128(10i128.checked_pow(digits)?));
    let (whole, rest) = (sum.checked_div(count)?, sum.checked_rem(count)?);
    let rest = rest.checked_mul(power)?;
    let (more, last) = (rest.checked_div(count)?, rest.checked_rem(count)?);
    let half = last.checked_abs()?.checked_mul(i256::from_i128(2))? >= count;
    let near = whole.checked_mul(power)?.checked_add(more)?;
    near.checked_add(if half { sum.signum() } else { i256::ZERO })?.to_i128()
}

/// Whether a value has no more digits than its type.
pub(super) fn fits(value: i128, precision: u8) -> bool {
    10u128.checked_pow(precision.into()).is_none_or(|limit| value.unsigned_abs() < limit)
}

/// Sums or averages of decimals that 128 bits may be too few for.
#[derive(Debug)]
pub(super) struct WideSums {
    name: String,
    average: bool,
    argument_scale: i8,
    state: DataType,
    returns: (u8, i8),
    sums: Vec<i256>,
    /// Values seen; for a sum without count in its state only whether there were any.
    counts: Vec<i64>,
}

impl WideSums {
    /// Whether the state of this sum takes 256 bits.
    pub(super) fn are_for(spec: &AggregateSpec) -> Result<bool, AccumulateError> {
        let state = spec.state_fields()?;
        Ok(matches!(state.first().map(|f| f.data_type()), Some(DataType::Decimal256(..))))
    }

    pub(super) fn new(spec: &AggregateSpec) -> Result<Self, AccumulateError> {
        let (state, result) = (spec.state_fields()?, spec.result_field()?);
        let state = state.first().map_or(DataType::Null, |f| f.data_type().clone());
        let (DataType::Decimal256(_, argument_scale), DataType::Decimal128(precision, scale)) =
            (&state, result.data_type())
        else {
            return Err(AccumulateError::type_of(&spec.name, result.data_type()));
        };
        Ok(Self {
            name: spec.name.clone(),
            average: spec.function == AggregateFunction::Avg,
            argument_scale: *argument_scale,
            returns: (*precision, *scale),
            state,
            sums: Vec::new(),
            counts: Vec::new(),
        })
    }

    fn add(&mut self, id: u32, value: i256, count: i64) -> Result<(), AccumulateError> {
        let beyond = || AccumulateError::Beyond { aggregate: self.name.clone() };
        let id = id as usize;
        self.sums[id] = self.sums[id].checked_add(value).ok_or_else(beyond)?;
        self.counts[id] = self.counts[id].checked_add(count).ok_or_else(beyond)?;
        Ok(())
    }

    fn nulls(&self, ids: &[u32]) -> Option<NullBuffer> {
        let present: NullBuffer = ids.iter().map(|id| self.counts[*id as usize] > 0).collect();
        Some(present).filter(|nulls| nulls.null_count() > 0)
    }
}

impl GroupState for WideSums {
    fn resize(&mut self, groups: usize) {
        self.sums.resize(groups, i256::ZERO);
        self.counts.resize(groups, 0);
    }

    fn clear(&mut self) {
        self.sums.clear();
        self.counts.clear();
    }

    fn bytes(&self) -> usize {
        self.sums.capacity() * size_of::<i256>() + self.counts.capacity() * size_of::<i64>()
    }

    fn update(&mut self, rows: &RowsOf<'_>) -> Result<(), AccumulateError> {
        for (id, value) in rows.ids.iter().zip(rows.argument()?.as_primitive::<Decimal128Type>()) {
            if let Some(value) = value {
                self.add(*id, i256::from_i128(value), 1)?;
            }
        }
        Ok(())
    }

    fn merge(&mut self, ids: &[u32], state: &[ArrayRef]) -> Result<(), AccumulateError> {
        let sums = state[0].as_primitive::<Decimal256Type>();
        let counts = state.get(1).map(|counts| counts.as_primitive::<Int64Type>().values());
        for (row, id) in ids.iter().enumerate().filter(|(row, _)| sums.is_valid(*row)) {
            self.add(*id, sums.value(row), counts.map_or(1, |counts| counts[row]))?;
        }
        Ok(())
    }

    fn state(&self, ids: &[u32]) -> Result<Vec<ArrayRef>, AccumulateError> {
        let values: Vec<i256> = ids.iter().map(|id| self.sums[*id as usize]).collect();
        let sums = Decimal256Array::new(values.into(), self.nulls(ids)).with_data_type(self.state.clone());
        let mut columns: Vec<ArrayRef> = vec![Arc::new(sums)];
        if self.average {
            let counts = ids.iter().map(|id| self.counts[*id as usize]);
            columns.push(Arc::new(Int64Array::from_iter_values(counts)));
        }
        Ok(columns)
    }

    fn result(&self, ids: &[u32]) -> Result<ArrayRef, AccumulateError> {
        let (precision, scale) = self.returns;
        let data_type = DataType::Decimal128(precision, scale);
        let mut values = Vec::with_capacity(ids.len());
        for (position, id) in ids.iter().enumerate() {
            let (sum, count) = (self.sums[*id as usize], self.counts[*id as usize]);
            let value = match self.average {
                true => mean(sum, count, (scale - self.argument_scale).unsigned_abs().into()),
                false => sum.to_i128(),
            };
            let value = value.filter(|value| fits(*value, precision));
            values.push(value.ok_or_else(|| AccumulateError::Overflow {
                aggregate: self.name.clone(),
                position,
                sum: Decimal256Type::format_decimal(sum, 76, self.argument_scale),
                data_type: data_type.clone(),
            })?);
        }
        let array = Decimal128Array::new(values.into(), self.nulls(ids));
        Ok(Arc::new(array.with_data_type(data_type)))
    }
}

/// The least or the greatest decimal of each group.
#[derive(Debug)]
pub(super) struct DecimalExtremes {
    largest: bool,
    returns: DataType,
    best: Vec<Option<i128>>,
}

impl DecimalExtremes {
    pub(super) fn new(spec: &AggregateSpec) -> Result<Self, AccumulateError> {
        let returns = spec.result_field()?.data_type().clone();
        Ok(Self { largest: spec.function == AggregateFunction::Max, returns, best: Vec::new() })
    }
}

impl GroupState for DecimalExtremes {
    fn resize(&mut self, groups: usize) {
        self.best.resize(groups, None);
    }

    fn clear(&mut self) {
        self.best.clear();
    }

    fn bytes(&self) -> usize {
        self.best.capacity() * size_of::<Option<i128>>()
    }

    fn update(&mut self, rows: &RowsOf<'_>) -> Result<(), AccumulateError> {
        self.merge(rows.ids, std::slice::from_ref(rows.argument()?))
    }

    fn merge(&mut self, ids: &[u32], state: &[ArrayRef]) -> Result<(), AccumulateError> {
        for (id, value) in ids.iter().zip(state[0].as_primitive::<Decimal128Type>()) {
            let best = &mut self.best[*id as usize];
            *best = match (*best, value) {
                (Some(a), Some(b)) => Some(if self.largest { a.max(b) } else { a.min(b) }),
                (a, b) => a.or(b),
            };
        }
        Ok(())
    }

    fn state(&self, ids: &[u32]) -> Result<Vec<ArrayRef>, AccumulateError> {
        Ok(vec![self.result(ids)?])
    }

    fn result(&self, ids: &[u32]) -> Result<ArrayRef, AccumulateError> {
        let values: Decimal128Array = ids.iter().map(|id| self.best[*id as usize]).collect();
        Ok(Arc::new(values.with_data_type(self.returns.clone())))
    }
}
