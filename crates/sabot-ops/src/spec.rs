//! The closed set of operators, and what can be wrong with one.

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use sabot_expr::type_name;
use serde::{Deserialize, Serialize};
use std::fmt;

use crate::{
    FilterProjectSpec, GroupBySpec, PartitionSpec, PredictSpec, UnionSpec, UnnestSpec, WindowAssignSpec,
};

/// One operator of a fragment, as plain data.
///
/// ```
/// # use arrow::datatypes::Schema;
/// # use sabot_ops::{OperatorSpec, UnionSpec};
/// # use std::sync::Arc;
/// let schema = Arc::new(Schema::empty());
/// let step = OperatorSpec::from(UnionSpec { schema: schema.clone() });
/// assert_eq!(step.name(), "union");
/// assert_eq!(step.output_schema(&schema)?, schema);
/// # Ok::<(), sabot_ops::SpecError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum OperatorSpec {
    /// Keep the rows for which a predicate is true, and compute columns of them.
    FilterProject(FilterProjectSpec),
    /// Give each row the start of its window, and set rows aside that come too late.
    WindowAssign(WindowAssignSpec),
    /// Aggregate by key.
    GroupBy(GroupBySpec),
    /// Send rows to the task that owns their key group.
    Partition(PartitionSpec),
    /// Rows of several streams as one.
    Union(UnionSpec),
    /// Give one row for each element of a list.
    Unnest(UnnestSpec),
    /// Add what a trained model says of each row.
    Predict(PredictSpec),
}

impl OperatorSpec {
    /// The operator's name as it stands in `explain`, docs and module names.
    pub fn name(&self) -> &'static str {
        match self {
            OperatorSpec::FilterProject(_) => "filter-project",
            OperatorSpec::WindowAssign(_) => "window-assign",
            OperatorSpec::GroupBy(_) => "group-by",
            OperatorSpec::Partition(_) => "partition",
            OperatorSpec::Union(_) => "union",
            OperatorSpec::Unnest(_) => "unnest",
            OperatorSpec::Predict(_) => "predict",
        }
    }

    /// The schema that comes out when `input` goes in.
    ///
    /// # Errors
    /// [`SpecError`] when the spec does not fit the schema.
    pub fn output_schema(&self, input: &SchemaRef) -> Result<SchemaRef, SpecError> {
        match self {
            OperatorSpec::FilterProject(spec) => spec.output_schema(input),
            OperatorSpec::WindowAssign(spec) => spec.output_schema(input),
            OperatorSpec::GroupBy(spec) => spec.output_schema(input),
            OperatorSpec::Partition(spec) => spec.output_schema(input),
            OperatorSpec::Union(spec) => spec.output_schema(input),
            OperatorSpec::Unnest(spec) => spec.output_schema(input),
            OperatorSpec::Predict(spec) => spec.output_schema(input),
        }
    }
}

macro_rules! operator_from {
    ($($spec:ty => $variant:ident),* $(,)?) => {$(
        impl From<$spec> for OperatorSpec {
            fn from(spec: $spec) -> Self {
                OperatorSpec::$variant(spec)
            }
        }
    )*};
}

operator_from!(FilterProjectSpec => FilterProject, WindowAssignSpec => WindowAssign, GroupBySpec => GroupBy,
    PartitionSpec => Partition, UnionSpec => Union, UnnestSpec => Unnest,
    PredictSpec => Predict);

impl fmt::Display for OperatorSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OperatorSpec::FilterProject(spec) => spec.fmt(f),
            OperatorSpec::WindowAssign(spec) => spec.fmt(f),
            OperatorSpec::GroupBy(spec) => spec.fmt(f),
            OperatorSpec::Partition(spec) => spec.fmt(f),
            OperatorSpec::Union(spec) => spec.fmt(f),
            OperatorSpec::Unnest(spec) => spec.fmt(f),
            OperatorSpec::Predict(spec) => spec.fmt(f),
        }
    }
}

/// A spec that does not fit the schema it is given.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SpecError {
    /// A column index beyond the schema.
    #[error("{operator}: column {index} of a schema with {columns} columns")]
    ColumnIndex {
        /// The operator.
        operator: &'static str,
        /// The index.
        index: usize,
        /// Columns there are.
        columns: usize,
    },
    /// A column has a type that the operator cannot take there.
    #[error("{operator}: {role} \"{column}\" is {}; it must be {expected}", type_name(got))]
    ColumnType {
        /// The operator.
        operator: &'static str,
        /// What the column is for: `key`, `sum argument`, `event time`.
        role: &'static str,
        /// The column's name.
        column: String,
        /// Its type.
        got: DataType,
        /// What would be right, in words.
        expected: String,
    },
    /// Two output columns with one name.
    #[error("{operator}: two output columns are named \"{name}\"; give one of them another name with alias")]
    DuplicateName {
        /// The operator.
        operator: &'static str,
        /// The name.
        name: String,
    },
    /// Something else is wrong; the text says what and what would be right.
    #[error("{operator}: {message}")]
    Invalid {
        /// The operator.
        operator: &'static str,
        /// What is wrong.
        message: String,
    },
}

/// Checks that column `index` is there.
pub(crate) fn column<'a>(
    operator: &'static str,
    schema: &'a Schema,
    index: usize,
) -> Result<&'a FieldRef, SpecError> {
    schema.fields().get(index).ok_or(SpecError::ColumnIndex {
        operator,
        index,
        columns: schema.fields().len(),
    })
}

/// Checks that no two output columns share a name.
pub(crate) fn unique_names(operator: &'static str, schema: Schema) -> Result<SchemaRef, SpecError> {
    let mut seen = std::collections::HashSet::new();
    for field in schema.fields() {
        if !seen.insert(field.name().as_str()) {
            return Err(SpecError::DuplicateName { operator, name: field.name().clone() });
        }
    }
    Ok(schema.into())
}

/// A schema in one line for messages: `origin utf8?, delay int32`; `?` marks a column that may be null.
pub(crate) fn describe(schema: &Schema) -> String {
    let columns: Vec<String> = schema.fields().iter().map(|f| describe_field(f)).collect();
    format!("[{}]", columns.join(", "))
}

fn describe_field(field: &Field) -> String {
    let mark = if field.is_nullable() { "?" } else { "" };
    format!("{} {}{mark}", field.name(), type_name(field.data_type()))
}

/// Whether two schemas have the same columns: names, types and nullability. Metadata is the user's and
/// says nothing that an operator could depend on.
pub(crate) fn same_columns(a: &Schema, b: &Schema) -> bool {
    let same = |(a, b): (&FieldRef, &FieldRef)| {
        a.name() == b.name() && a.data_type() == b.data_type() && a.is_nullable() == b.is_nullable()
    };
    a.fields().len() == b.fields().len() && a.fields().iter().zip(b.fields()).all(same)
}
