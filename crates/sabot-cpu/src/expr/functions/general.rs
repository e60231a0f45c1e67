//! Functions of values of any type.

use arrow::array::{Array, ArrayRef, AsArray, UInt64Array};
use arrow::buffer::NullBuffer;
use arrow::compute::nullif;
use sabot_batch::key_hash::KeyHasher;
use sabot_expr::functions::{GeneralFunction, HASH_SEED};
use sabot_ops::Failure;
use std::sync::Arc;

use super::super::logic::{is_true, select};
use super::super::value::Value;
use super::super::{arrow_bug, wrong_type};
use super::Call;
use crate::simd::compare::Comparison;

impl Call<'_> {
    pub(super) fn general_function(&self, function: GeneralFunction) -> Result<ArrayRef, Failure> {
        match function {
            GeneralFunction::Nullif => {
                let (value, other) = (self.arg(0)?.clone().into_array(self.rows)?, self.arg(1)?);
                let equal = self.scope.compare(Comparison::Eq, &Value::column(value.clone()), other)?;
                let equal = equal.into_array(self.rows)?;
                let equal =
                    equal.as_boolean_opt().ok_or_else(|| wrong_type("truth value", equal.data_type()))?;
                nullif(&value, equal).map_err(arrow_bug)
            }
            GeneralFunction::Greatest => self.extreme(Comparison::Gt),
            GeneralFunction::Least => self.extreme(Comparison::Lt),
            GeneralFunction::Hash => {
                let columns = self.args.iter().map(|arg| arg.clone().into_array(self.rows));
                let columns = columns.collect::<Result<Vec<_>, _>>()?;
                let mut hashes = Vec::new();
                let hashed = KeyHasher::new(HASH_SEED).hash_columns(&columns, &mut hashes);
                hashed.map_err(|error| Failure::Internal(error.to_string()))?;
                Ok(Arc::new(UInt64Array::from(hashes)))
            }
        }
    }

    /// The first value that no later one is beyond.
    fn extreme(&self, beyond: Comparison) -> Result<ArrayRef, Failure> {
        let mut best = self.arg(0)?.clone().into_array(self.rows)?;
        for next in self.args.iter().skip(1).filter(|arg| !arg.is_null_constant()) {
            let better = self.scope.compare(beyond, next, &Value::column(best.clone()))?;
            let mut takes = is_true(&better.into_booleans(self.rows)?);
            // A null is worse than anything.
            if let Some(nulls) = best.nulls() {
                takes = &takes | &!nulls.inner();
            }
            let next = Value::column(next.clone().into_array(self.rows)?);
            best = select(takes, &next, &Value::column(best))?.into_array(self.rows)?;
        }
        Ok(best)
    }

    /// The values, null where `null` says so.
    pub(super) fn null_where(
        &self,
        values: ArrayRef,
        null: impl Fn(usize) -> bool,
    ) -> Result<ArrayRef, Failure> {
        let valid: NullBuffer = (0..self.rows).map(|row| !null(row)).collect();
        if valid.null_count() == 0 {
            return Ok(values);
        }
        let data = values.to_data().into_builder().nulls(Some(valid)).build().map_err(arrow_bug)?;
        Ok(arrow::array::make_array(data))
    }
}
