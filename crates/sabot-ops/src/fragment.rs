//! Fragments: chains of specs that run as one.

use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};
use std::fmt;

use crate::{OperatorSpec, SpecError, schema_serde};

/// A chain of operators between two pipeline breakers: the unit of compilation and of placement.
///
/// A morsel runs through all steps before the next one starts, and nothing in between is
/// materialised unless a step needs it. `Display` prints the steps in one line, for `explain`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fragment {
    #[serde(with = "schema_serde")]
    input: SchemaRef,
    steps: Vec<OperatorSpec>,
    #[serde(with = "schema_serde")]
    output: SchemaRef,
}

impl Fragment {
    /// A fragment from its input schema and steps; every step is checked against the schema it sees.
    ///
    /// # Errors
    /// [`SpecError`] of the first step that does not fit.
    pub fn new(input: SchemaRef, steps: Vec<OperatorSpec>) -> Result<Self, SpecError> {
        let mut output = input.clone();
        for step in &steps {
            output = step.output_schema(&output)?;
        }
        Ok(Self { input, steps, output })
    }

    /// The schema of the morsels that go in.
    pub fn input(&self) -> &SchemaRef {
        &self.input
    }

    /// The schema of the morsels that come out.
    pub fn output(&self) -> &SchemaRef {
        &self.output
    }

    /// The steps in order.
    pub fn steps(&self) -> &[OperatorSpec] {
        &self.steps
    }

    /// How many targets its output has: more than one only when it ends in a partition step.
    pub fn targets(&self) -> u32 {
        match self.steps.last() {
            Some(OperatorSpec::Partition(spec)) => spec.parallelism,
            _ => 1,
        }
    }
}

impl fmt::Display for Fragment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.steps.is_empty() {
            return f.write_str("pass");
        }
        for (i, step) in self.steps.iter().enumerate() {
            if i > 0 {
                f.write_str(" → ")?;
            }
            write!(f, "{step}")?;
        }
        Ok(())
    }
}
