//! Fragments: chains of specs that run as one.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};
use std::fmt;

use crate::{Failure, OperatorSpec, SpecError, schema_serde};

/// A chain of operators between two pipeline breakers: the unit of compilation and of placement.
///
/// A morsel runs through all steps before the next one starts, and nothing in between is
/// materialised unless a step needs it. Row by row: the error of a fragment is that of the first row, in
/// row order, that fails in any of its steps. A group-by needs all its rows before its first group, so
/// what stands before it fails before what stands behind it. `Display` prints the steps in one line, for `explain`.
///
/// A fragment that is read back is checked like a new one; its output schema is not stored.
///
/// ```
/// # use arrow::datatypes::{DataType, Field, Schema};
/// # use sabot_ops::{Fragment, UnionSpec};
/// # use std::sync::Arc;
/// let input = Arc::new(Schema::new(vec![Field::new("delay", DataType::Int64, false)]));
/// let fragment = Fragment::new(input.clone(), vec![UnionSpec { schema: input.clone() }.into()])?;
/// assert_eq!((fragment.input(), fragment.output()), (&input, &input));
/// assert_eq!((fragment.steps().len(), fragment.targets(), fragment.late()), (1, 1, None));
/// assert_eq!(fragment.to_string(), "union");
/// # Ok::<(), sabot_ops::SpecError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Fragment {
    input: SchemaRef,
    steps: Vec<OperatorSpec>,
    output: SchemaRef,
}

/// What a plan keeps of a fragment.
#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(with = "schema_serde")]
    input: SchemaRef,
    steps: Vec<OperatorSpec>,
}

impl TryFrom<Stored> for Fragment {
    type Error = SpecError;
    fn try_from(stored: Stored) -> Result<Self, SpecError> {
        Fragment::new(stored.input, stored.steps)
    }
}

impl From<Fragment> for Stored {
    fn from(fragment: Fragment) -> Self {
        Stored { input: fragment.input, steps: fragment.steps }
    }
}

impl Fragment {
    /// A fragment from its input schema and steps; every step is checked against the schema it sees.
    ///
    /// # Errors
    /// [`SpecError`] of the first step that does not fit; also of a partition or an unnest step that is not
    /// the last, because only the end of a fragment has targets and results in parts, and of a second window
    /// step, because late rows have one schema.
    pub fn new(input: SchemaRef, steps: Vec<OperatorSpec>) -> Result<Self, SpecError> {
        let mut output = input.clone();
        for step in &steps {
            output = step.output_schema(&output)?;
        }
        for early in steps.iter().rev().skip(1) {
            let reason = match early {
                OperatorSpec::Partition(_) => "only the end of a fragment has targets",
                OperatorSpec::Unnest(_) => "only what leaves a fragment comes in parts",
                _ => continue,
            };
            let message = format!("not the last step of its fragment; {reason}");
            return Err(SpecError::Invalid { operator: early.name(), message });
        }
        if let Some(second) = steps.iter().filter(|s| matches!(s, OperatorSpec::WindowAssign(_))).nth(1) {
            let message = "second window step of a fragment; late rows would have two schemas".into();
            return Err(SpecError::Invalid { operator: second.name(), message });
        }
        Ok(Self { input, steps, output })
    }

    /// Whether a batch has columns of the types that go in: those of others would be taken for what they are not.
    ///
    /// ```
    /// # use arrow::array::{ArrayRef, Float64Array, RecordBatch};
    /// # use arrow::datatypes::{DataType, Field, Schema};
    /// # use sabot_ops::Fragment;
    /// # use std::sync::Arc;
    /// let input = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
    /// let column: ArrayRef = Arc::new(Float64Array::from(vec![1.0]));
    /// let other = RecordBatch::try_from_iter([("n", column)]).unwrap();
    /// assert!(Fragment::new(input, Vec::new())?.check(&other).is_err());
    /// # Ok::<(), sabot_ops::SpecError>(())
    /// ```
    ///
    /// # Errors
    /// [`Failure::Internal`]: whoever made the morsel and whoever made the fragment do not agree.
    pub fn check(&self, batch: &RecordBatch) -> Result<(), Failure> {
        let (wanted, found) = (&self.input, batch.schema());
        let fits = wanted.fields().len() == found.fields().len()
            && wanted.fields().iter().zip(found.fields()).all(|(a, b)| a.data_type() == b.data_type());
        if fits {
            return Ok(());
        }
        Err(Failure::Internal(format!("a morsel with the columns {found} for a fragment of {wanted}")))
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

    /// The schema of late rows: what goes into the window step. `None` without such a step.
    pub fn late(&self) -> Option<SchemaRef> {
        let mut schema = self.input.clone();
        for step in &self.steps {
            if matches!(step, OperatorSpec::WindowAssign(_)) {
                return Some(schema);
            }
            // Every step was checked against this schema when the fragment was made.
            schema = step.output_schema(&schema).ok()?;
        }
        None
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
