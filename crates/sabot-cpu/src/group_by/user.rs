//! Functions that users wrote: one object a group, given all rows of a group in a batch at once.

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::DataType;
use sabot_expr::{BoundAggregate, FunctionError, Scalar, UserState};
use sabot_ops::{AggregateSpec, UserFunction};

use super::AccumulateError;
use super::family::{GroupState, RowsOf, decoded};

/// A user's states.
#[derive(Debug)]
pub(super) struct UserStates {
    code: BoundAggregate,
    function: String,
    aggregate: String,
    arguments: Vec<DataType>,
    state: Vec<DataType>,
    returns: DataType,
    states: Vec<Box<dyn UserState>>,
    heap: usize,
}

impl UserStates {
    pub(super) fn new(function: &UserFunction, spec: &AggregateSpec) -> Result<Self, AccumulateError> {
        let Some(code) = function.code() else {
            let message = format!("{function:?}; bind the plan to a function registry before it runs");
            return Err(AccumulateError::Input { message });
        };
        Ok(Self {
            code: code.clone(),
            function: function.name().to_owned(),
            aggregate: spec.name.clone(),
            arguments: spec
                .arguments
                .iter()
                .map(|a| sabot_expr::types::decoded_type(&a.data_type).clone())
                .collect(),
            state: function.state().unwrap_or_default(),
            returns: spec.result_field()?.data_type().clone(),
            states: Vec::new(),
            heap: 0,
        })
    }

    fn failed(&self, position: usize, error: FunctionError) -> AccumulateError {
        let (aggregate, function) = (self.aggregate.clone(), self.function.clone());
        AccumulateError::Function { aggregate, function, position, message: error.message }
    }

    /// Gives each group its rows of `columns`.
    fn each(
        &mut self,
        ids: &[u32],
        columns: &[ArrayRef],
        take_in: impl Fn(&mut dyn UserState, &[ArrayRef]) -> Result<(), FunctionError>,
    ) -> Result<(), AccumulateError> {
        let rows = u32::try_from(ids.len()).map_err(AccumulateError::input)?;
        let mut order: Vec<u32> = (0..rows).collect();
        order.sort_by_key(|row| ids[*row as usize]);
        let by_group = UInt32Array::from(order.clone());
        let columns = columns.iter().map(|column| take(column, &by_group, None));
        let columns = columns.collect::<Result<Vec<_>, _>>().map_err(AccumulateError::input)?;
        let mut start = 0;
        for run in order.chunk_by(|a, b| ids[*a as usize] == ids[*b as usize]) {
            let id = ids[run[0] as usize] as usize;
            let rows: Vec<ArrayRef> = columns.iter().map(|column| column.slice(start, run.len())).collect();
            start += run.len();
            let state = self.states[id].as_mut();
            let before = state.bytes();
            take_in(state, &rows).map_err(|e| {
                let (aggregate, function) = (self.aggregate.clone(), self.function.clone());
                AccumulateError::Function { aggregate, function, position: id, message: e.message }
            })?;
            self.heap = (self.heap + state.bytes()).saturating_sub(before);
        }
        Ok(())
    }
}

impl GroupState for UserStates {
    fn resize(&mut self, groups: usize) {
        self.states.resize_with(groups, || self.code.start(&self.arguments));
    }

    fn clear(&mut self) {
        self.states.clear();
        self.heap = 0;
    }

    fn bytes(&self) -> usize {
        self.states.capacity() * size_of::<Box<dyn UserState>>() + self.heap
    }

    fn update(&mut self, rows: &RowsOf<'_>) -> Result<(), AccumulateError> {
        let columns = rows.arguments.iter().map(|a| decoded(a)).collect::<Result<Vec<_>, _>>()?;
        self.each(rows.ids, &columns, |state, rows| state.accumulate(rows))
    }

    fn merge(&mut self, ids: &[u32], state: &[ArrayRef]) -> Result<(), AccumulateError> {
        self.each(ids, state, |state, rows| state.merge(rows))
    }

    fn state(&self, ids: &[u32]) -> Result<Vec<ArrayRef>, AccumulateError> {
        let mut parts: Vec<Vec<Scalar>> = vec![Vec::with_capacity(ids.len()); self.state.len()];
        for (position, id) in ids.iter().enumerate() {
            let snapshot = self.code.snapshot(self.states[*id as usize].as_ref(), &self.state);
            let snapshot = snapshot.map_err(|e| self.failed(position, e))?;
            parts.iter_mut().zip(snapshot).for_each(|(column, part)| column.push(part));
        }
        let columns = parts.iter().zip(&self.state).map(|(part, data_type)| Scalar::collect(data_type, part));
        columns.collect::<Result<_, _>>().map_err(AccumulateError::input)
    }

    fn result(&self, ids: &[u32]) -> Result<ArrayRef, AccumulateError> {
        let value = |(position, id): (usize, &u32)| {
            let result = self.code.result(self.states[*id as usize].as_ref(), &self.returns);
            result.map_err(|e| self.failed(position, e))
        };
        let values = ids.iter().enumerate().map(value).collect::<Result<Vec<_>, _>>()?;
        Scalar::collect(&self.returns, &values).map_err(AccumulateError::input)
    }
}
