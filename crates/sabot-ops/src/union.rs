//! Union: rows of several streams as one stream.

use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};
use std::fmt;

use crate::spec::describe;
use crate::{SpecError, schema_serde};

/// Passes every row on under one common schema (SQL's UNION ALL).
///
/// Inputs agree in column names, order and types; a column is nullable when it is nullable in any of
/// them. Duplicates stay. Between inputs no order is defined; within one it is kept. Row kinds, the
/// selection and the place in the source go with the rows.
///
/// ```
/// # use arrow::datatypes::{DataType, Field, Schema};
/// # use sabot_ops::UnionSpec;
/// # use std::sync::Arc;
/// let schema = |nullable| Arc::new(Schema::new(vec![Field::new("delay", DataType::Int64, nullable)]));
/// let spec = UnionSpec { schema: schema(true) };
/// assert_eq!(spec.output_schema(&schema(false))?, schema(true));
/// assert!(UnionSpec { schema: schema(false) }.output_schema(&schema(true)).is_err());
/// # Ok::<(), sabot_ops::SpecError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnionSpec {
    /// The common schema.
    #[serde(with = "schema_serde")]
    pub schema: SchemaRef,
}

impl UnionSpec {
    /// The common schema.
    ///
    /// # Errors
    /// [`SpecError::Invalid`] when the input's columns differ from it by name, order or type, or are
    /// nullable where it is not.
    pub fn output_schema(&self, input: &SchemaRef) -> Result<SchemaRef, SpecError> {
        let fits = input.fields().len() == self.schema.fields().len()
            && input.fields().iter().zip(self.schema.fields()).all(|(a, b)| {
                a.name() == b.name()
                    && a.data_type() == b.data_type()
                    && (b.is_nullable() || !a.is_nullable())
            });
        if !fits {
            return Err(SpecError::Invalid {
                operator: "union",
                message: format!(
                    "input {} does not fit the common schema {}",
                    describe(input),
                    describe(&self.schema)
                ),
            });
        }
        Ok(self.schema.clone())
    }
}

impl fmt::Display for UnionSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("union")
    }
}
