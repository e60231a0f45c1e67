//! What users wrote.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use sabot_expr::types::decoded_type;
use sabot_expr::{BoundAggregate, FunctionError, RowError, RowErrorKind, UserState};

use super::state::{Row, State};
use crate::reference::internal;
use crate::{AggregateSpec, Failure, UserFunction};

/// A user's state, and what was promised of it.
pub(super) struct User {
    code: BoundAggregate,
    state: Box<dyn UserState>,
    name: String,
    aggregate: String,
    types: Vec<DataType>,
    returns: DataType,
}

impl User {
    pub(super) fn new(function: &UserFunction, aggregate: &AggregateSpec) -> Result<Self, Failure> {
        let code = function.code().ok_or_else(|| internal(format!("{function:?}")))?.clone();
        let arguments: Vec<DataType> =
            aggregate.arguments.iter().map(|a| decoded_type(&a.data_type).clone()).collect();
        let state = code.start(&arguments);
        let types = function.state().unwrap_or_default();
        let returns = aggregate.result_field().map_err(internal)?.data_type().clone();
        let (name, aggregate) = (function.name().to_owned(), aggregate.name.clone());
        Ok(Self { code, state, name, aggregate, types, returns })
    }

    fn error(&self, error: FunctionError) -> RowErrorKind {
        RowErrorKind::UserFunction { name: self.name.clone(), message: error.message }
    }

    /// The row is filled in by whoever knows it.
    fn failure(&self, error: FunctionError) -> Failure {
        Failure::Row(RowError { row: 0, expression: self.aggregate.clone(), error: self.error(error) })
    }
}

impl State for User {
    fn add(&mut self, row: &Row<'_>) -> Result<(), Failure> {
        self.state.accumulate(row.arguments).map_err(|e| self.failure(e))
    }

    fn merge(&mut self, parts: &[ArrayRef]) -> Result<(), Failure> {
        self.state.merge(parts).map_err(|e| self.failure(e))
    }

    fn parts(&self) -> Result<Vec<ArrayRef>, Failure> {
        let parts = self.code.snapshot(self.state.as_ref(), &self.types).map_err(|e| self.failure(e))?;
        parts.iter().map(|part| part.to_array(1).map_err(internal)).collect()
    }

    fn result(&self) -> Result<Result<ArrayRef, RowErrorKind>, Failure> {
        match self.code.result(self.state.as_ref(), &self.returns) {
            Ok(value) => Ok(Ok(value.to_array(1).map_err(internal)?)),
            Err(error) => Ok(Err(self.error(error))),
        }
    }
}
