//! Least and greatest values of types that are compared as arrays.

use arrow::array::{Array, ArrayRef, make_comparator, new_null_array};
use arrow::compute::SortOptions;
use arrow::datatypes::DataType;
use sabot_expr::RowErrorKind;
use std::cmp::Ordering;

use super::state::{Row, State};
use crate::reference::internal;
use crate::{AggregateFunction, AggregateSpec, Failure};

/// The best value so far.
pub(super) struct Extreme {
    best: Option<ArrayRef>,
    wanted: Ordering,
    returns: DataType,
}

impl Extreme {
    pub(super) fn new(aggregate: &AggregateSpec) -> Result<Self, Failure> {
        let wanted = match aggregate.function {
            AggregateFunction::Min => Ordering::Less,
            _ => Ordering::Greater,
        };
        let returns = aggregate.result_field().map_err(internal)?.data_type().clone();
        Ok(Self { best: None, wanted, returns })
    }
}

impl State for Extreme {
    fn add(&mut self, row: &Row<'_>) -> Result<(), Failure> {
        self.merge(row.arguments)
    }

    fn merge(&mut self, parts: &[ArrayRef]) -> Result<(), Failure> {
        let value = &parts[0];
        if value.is_null(0) {
            return Ok(());
        }
        let better = match &self.best {
            Some(best) => {
                let compare = make_comparator(value, best, SortOptions::default()).map_err(internal)?;
                compare(0, 0) == self.wanted
            }
            None => true,
        };
        if better {
            self.best = Some(value.clone());
        }
        Ok(())
    }

    fn parts(&self) -> Result<Vec<ArrayRef>, Failure> {
        Ok(vec![self.best.clone().unwrap_or_else(|| new_null_array(&self.returns, 1))])
    }

    fn result(&self) -> Result<Result<ArrayRef, RowErrorKind>, Failure> {
        Ok(Ok(self.parts()?.remove(0)))
    }
}
