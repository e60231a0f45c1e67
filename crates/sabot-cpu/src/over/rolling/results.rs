//! From intermediate results to the columns that are asked for.

use arrow::array::{ArrayRef, BooleanArray, Decimal128Array, Decimal256Array, Float64Array, Int64Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, i256};
use sabot_ops::{AggregateFunction, AggregateSpec, WideSum};
use std::sync::Arc;

use super::Rolling;
use super::evaluate::{Cells, Column, Picked};
use super::layout::{Cell, Output};
use crate::group_by::{AccumulateError, Accumulators};
use crate::over::bad;

impl Rolling {
    /// The columns of the outputs, from all portions of a batch.
    pub(super) fn results(&self, cells: Cells) -> Result<Vec<ArrayRef>, AccumulateError> {
        let outputs = self.layout.outputs.iter().enumerate();
        outputs.map(|(i, (output, field))| self.result(output, field, &cells, &cells.picked[i])).collect()
    }

    fn result(
        &self,
        output: &Output,
        field: &Field,
        cells: &Cells,
        picked: &Picked,
    ) -> Result<ArrayRef, AccumulateError> {
        match output {
            Output::Count(cell) => Ok(Arc::new(Int64Array::from(cells.counts(*cell)?.to_vec()))),
            Output::Truth { all, truths, values } => {
                let (truths, values) = (cells.counts(*truths)?, cells.counts(*values)?);
                let whole = |(truths, values): (&i64, &i64)| {
                    (*values > 0).then_some(if *all { truths == values } else { *truths > 0 })
                };
                Ok(Arc::new(truths.iter().zip(values).map(whole).collect::<BooleanArray>()))
            }
            Output::Share { truths, values } => {
                let (truths, values) = (cells.counts(*truths)?, cells.counts(*values)?);
                let shares = truths.iter().zip(values).map(|(truths, all)| *truths as f64 / *all as f64);
                Ok(Arc::new(Float64Array::new(shares.collect(), present(values))))
            }
            Output::Aggregate { spec, cell, values } => {
                self.aggregate(spec, field, *cell, &cells.columns[*cell], cells.counts(*values)?)
            }
            Output::Lag { input, .. } | Output::First { input, .. } | Output::Last { input, .. } => {
                let nulls =
                    Some(NullBuffer::from(picked.valid.clone())).filter(|nulls| nulls.null_count() > 0);
                let form = self.layout.inputs[*input].form;
                form.decode(field.data_type(), &picked.words, nulls, self.interned[*input].as_ref())
            }
        }
    }

    fn aggregate(
        &self,
        spec: &AggregateSpec,
        field: &Field,
        cell: usize,
        column: &Column,
        counts: &[i64],
    ) -> Result<ArrayRef, AccumulateError> {
        let average = spec.function == AggregateFunction::Avg;
        let nulls = present(counts);
        let mean_or = |sum: f64, count: i64| if average { sum / count as f64 } else { sum };
        match (column, field.data_type()) {
            (Column::Floats(sums), _) => {
                let values = sums.iter().zip(counts).map(|(sum, count)| mean_or(*sum, *count));
                Ok(Arc::new(Float64Array::new(values.collect(), nulls)))
            }
            (Column::Sums(sums), DataType::Float64) => {
                let values = sums.iter().zip(counts).map(|(sum, count)| mean_or(nearest(*sum), *count));
                Ok(Arc::new(Float64Array::new(values.collect(), nulls)))
            }
            (Column::Sums(sums), DataType::Int64) if !average => {
                let mut values = Vec::with_capacity(sums.len());
                for (position, sum) in sums.iter().enumerate() {
                    values.push(i64::try_from(*sum).map_err(|_| AccumulateError::Overflow {
                        aggregate: spec.name.clone(),
                        position,
                        sum: sum.to_string(),
                        data_type: DataType::Int64,
                    })?);
                }
                Ok(Arc::new(Int64Array::new(values.into(), nulls)))
            }
            (Column::Words(words), data_type) => {
                let Some(Cell::Fold { fold, .. }) = self.layout.cells.get(cell) else {
                    return Err(bad("an aggregate without fold"));
                };
                let input = self.layout.folds[*fold].input;
                let form = self.layout.inputs[input].form;
                form.decode(data_type, words, nulls, self.interned[input].as_ref())
            }
            (Column::Wide(values), data_type) => {
                let array = Decimal128Array::new(values.clone().into(), nulls);
                Ok(Arc::new(array.with_data_type(data_type.clone())))
            }
            _ => finished(spec, column, counts, nulls),
        }
    }
}

/// Which rows had values in their frames; `None` when all had.
fn present(counts: &[i64]) -> Option<NullBuffer> {
    if counts.iter().all(|count| *count > 0) {
        return None;
    }
    Some(counts.iter().map(|count| *count > 0).collect())
}

/// From 64 bits that is one instruction, from 128 bits a call.
fn nearest(sum: i128) -> f64 {
    i64::try_from(sum).map_or_else(|_| sum as f64, |sum| sum as f64)
}

/// An aggregate from its state, as a group-by finishes it: each row is a group of its own.
fn finished(
    spec: &AggregateSpec,
    column: &Column,
    counts: &[i64],
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, AccumulateError> {
    let fields = spec.state_fields()?;
    let wide = |values: Vec<i128>, data_type: &DataType| -> ArrayRef {
        Arc::new(Decimal128Array::new(values.into(), nulls.clone()).with_data_type(data_type.clone()))
    };
    let beyond = || AccumulateError::Beyond { aggregate: spec.name.clone() };
    let first = fields.first().ok_or_else(|| bad("an aggregate without state"))?.data_type();
    let mut state: Vec<ArrayRef> = match (column, first) {
        (Column::Sums(sums), data_type) => vec![wide(sums.clone(), data_type)],
        (Column::WideSums(sums), DataType::Decimal256(..)) => {
            let array = Decimal256Array::new(sums.clone().into(), nulls.clone());
            vec![Arc::new(array.with_data_type(first.clone()))]
        }
        (Column::WideSums(sums), data_type) => {
            let narrow = sums.iter().map(|sum: &i256| sum.to_i128().ok_or_else(beyond));
            vec![wide(narrow.collect::<Result<_, _>>()?, data_type)]
        }
        (Column::Moments(moments), _) => {
            let counts = moments.iter().map(|m| m.count as i64);
            vec![
                Arc::new(Int64Array::from_iter_values(counts)),
                Arc::new(Float64Array::from_iter_values(moments.iter().map(|m| m.mean))),
                Arc::new(Float64Array::from_iter_values(moments.iter().map(|m| m.squares))),
            ]
        }
        (Column::Exact(moments), _) => {
            let squares = moments.iter().map(|m| m.squares.and_then(WideSum::normalised).ok_or_else(beyond));
            let squares = squares.collect::<Result<Vec<_>, _>>()?;
            let whole = |values: Vec<i128>| -> ArrayRef {
                Arc::new(Decimal128Array::from(values).with_data_type(DataType::Decimal128(38, 0)))
            };
            vec![
                Arc::new(Int64Array::from_iter_values(moments.iter().map(|m| m.count as i64))),
                whole(moments.iter().map(|m| m.sum).collect()),
                whole(squares.iter().map(|squares| squares.high).collect()),
                whole(squares.iter().map(|squares| squares.low).collect()),
            ]
        }
        _ => return Err(bad(format!("\"{}\" cannot be finished", spec.name))),
    };
    if state.len() + 1 == fields.len() {
        state.push(Arc::new(Int64Array::from(counts.to_vec())));
    }
    let ids: Vec<u32> = (0..u32::try_from(counts.len()).map_err(bad)?).collect();
    let mut accumulators = Accumulators::new(std::slice::from_ref(spec))?;
    accumulators.resize(ids.len());
    accumulators.merge(&ids, &state)?;
    accumulators.finish(&ids)?.pop().ok_or_else(|| bad("an aggregate without result"))
}
