//! Quantiles of numbers.

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Float64Array};
use sabot_expr::RowErrorKind;
use std::sync::Arc;

use super::moments::double;
use super::state::{Row, State};
use crate::reference::internal;
use crate::sketch::DdSketch;
use crate::{Failure, Quantile};

/// A sketch of the values.
pub(super) struct Quantiles {
    sketch: DdSketch,
    quantile: Quantile,
}

impl Quantiles {
    pub(super) fn new(quantile: Quantile) -> Self {
        Self { sketch: DdSketch::default(), quantile }
    }
}

impl State for Quantiles {
    fn add(&mut self, row: &Row<'_>) -> Result<(), Failure> {
        if row.arguments[0].is_valid(0) {
            self.sketch.add(double(&row.arguments[0])?);
        }
        Ok(())
    }

    fn merge(&mut self, parts: &[ArrayRef]) -> Result<(), Failure> {
        let other = DdSketch::from_bytes(parts[0].as_binary::<i32>().value(0)).map_err(internal)?;
        self.sketch.merge(&other).ok_or_else(|| internal("a bucket's count beyond 64 bits"))
    }

    fn parts(&self) -> Result<Vec<ArrayRef>, Failure> {
        Ok(vec![Arc::new(BinaryArray::from_vec(vec![&self.sketch.to_bytes()]))])
    }

    fn result(&self) -> Result<Result<ArrayRef, RowErrorKind>, Failure> {
        Ok(Ok(Arc::new(Float64Array::from(vec![self.sketch.quantile(self.quantile)]))))
    }
}
