//! Functions of values of any type.

use sabot_batch::key_hash::{KeyValue, reference_hash};
use std::cmp::Ordering;

use super::Call;
use crate::error::RowErrorKind;
use crate::functions::{GeneralFunction, HASH_SEED};
use crate::interpret::compare;
use crate::scalar::Scalar;

impl Call<'_> {
    pub(super) fn general_function(&self, function: GeneralFunction) -> Result<Scalar, RowErrorKind> {
        match function {
            GeneralFunction::Nullif => {
                let (value, other) = (self.arg(0)?, self.arg(1)?);
                Ok(if compare(value, other) == Some(Ordering::Equal) { self.null() } else { value.clone() })
            }
            GeneralFunction::Greatest => Ok(self.extreme(Ordering::Greater)),
            GeneralFunction::Least => Ok(self.extreme(Ordering::Less)),
            GeneralFunction::Hash => {
                let key = self.args.iter().map(|arg| self.key(arg)).collect::<Result<Vec<_>, _>>()?;
                Ok(Scalar::UInt64(reference_hash(HASH_SEED, &key)))
            }
        }
    }

    /// The first value that none of the others is in an order to.
    fn extreme(&self, order: Ordering) -> Scalar {
        let mut best = self.null();
        for value in self.args.iter().filter(|value| !value.is_null()) {
            if best.is_null() || compare(value, &best) == Some(order) {
                best = value.clone();
            }
        }
        best
    }

    fn key(&self, value: &Scalar) -> Result<KeyValue, RowErrorKind> {
        let array = value.to_array(1).map_err(|error| self.bug(error.to_string()))?;
        KeyValue::from_array(array.as_ref(), 0).map_err(|error| self.bug(error.to_string()))
    }
}
