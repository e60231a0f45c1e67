//! One aggregate of a group-by: function, arguments, filter.

use arrow::datatypes::{DataType, Field};
use sabot_expr::type_name;
use serde::{Deserialize, Serialize};
use std::fmt;

use super::rules::{self, Shape};
use super::{AggregateFunction, OPERATOR};
use crate::SpecError;

/// One aggregate.
///
/// ```
/// # use arrow::datatypes::DataType;
/// # use sabot_ops::{AggregateFunction, AggregateSpec};
/// let mean = AggregateSpec::new(AggregateFunction::Avg, [(1, DataType::Int64)], "mean");
/// assert_eq!(mean.result_field()?.data_type(), &DataType::Float64);
/// let state: Vec<String> = mean.state_fields()?.iter().map(|f| f.name().clone()).collect();
/// assert_eq!(state, ["mean.sum", "mean.count"]);
/// # Ok::<(), sabot_ops::SpecError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AggregateSpec {
    /// The function.
    pub function: AggregateFunction,
    /// What it reads; nothing for `count(*)`.
    pub arguments: Vec<ArgumentSpec>,
    /// A boolean column: rows for which it is not true do not take part.
    pub filter: Option<usize>,
    /// Name of the result column.
    pub name: String,
}

/// A column that an aggregate reads, and its type, so that state and result are known without the input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArgumentSpec {
    /// The column. Over partial state an aggregate reads its own state, and this says nothing.
    pub column: usize,
    /// Its type.
    #[serde(rename = "type", with = "sabot_expr::types::type_serde")]
    pub data_type: DataType,
}

impl AggregateSpec {
    /// A function of some columns, over all rows.
    pub fn new(
        function: AggregateFunction,
        arguments: impl IntoIterator<Item = (usize, DataType)>,
        name: impl Into<String>,
    ) -> Self {
        let argument = |(column, data_type)| ArgumentSpec { column, data_type };
        let arguments = arguments.into_iter().map(argument).collect();
        Self { function, arguments, filter: None, name: name.into() }
    }

    /// `count(*)`.
    pub fn count(name: impl Into<String>) -> Self {
        Self::new(AggregateFunction::Count, [], name)
    }

    /// The same over rows for which a boolean column is true.
    #[must_use]
    pub fn filtered(mut self, column: usize) -> Self {
        self.filter = Some(column);
        self
    }

    /// The types of the arguments.
    pub fn argument_types(&self) -> Vec<DataType> {
        self.arguments.iter().map(|a| a.data_type.clone()).collect()
    }

    /// The field of the result.
    ///
    /// # Errors
    /// [`SpecError::Invalid`] when the function does not take arguments of these types.
    pub fn result_field(&self) -> Result<Field, SpecError> {
        let Shape { result, nullable, .. } = self.shape()?;
        Ok(Field::new(&self.name, result, nullable))
    }

    /// The fields of the partial state, named `<result>.<part>`.
    ///
    /// # Errors
    /// As [`AggregateSpec::result_field`].
    pub fn state_fields(&self) -> Result<Vec<Field>, SpecError> {
        let part =
            |(part, data_type, nullable)| Field::new(format!("{}.{part}", self.name), data_type, nullable);
        Ok(self.shape()?.state.into_iter().map(part).collect())
    }

    fn shape(&self) -> Result<Shape, SpecError> {
        rules::shape(&self.function, &self.argument_types()).ok_or_else(|| self.type_error())
    }

    fn type_error(&self) -> SpecError {
        let (function, expected) = (self.function.name(), self.function.info().arguments);
        let types: Vec<String> = self.arguments.iter().map(|a| type_name(&a.data_type)).collect();
        let message = match (&self.function, types.as_slice()) {
            (AggregateFunction::User(function), _) => {
                format!("{function:?}; bind the plan to a function registry that has it")
            }
            (AggregateFunction::ApproxQuantile { quantile }, _) if !quantile.is_share() => {
                format!("{function} at {quantile}; a quantile is a share from 0 to 1, such as 0.95 for 95 %")
            }
            (_, []) => format!("{function} needs an argument: {expected}"),
            _ => format!("{function} of {} as \"{}\"; it takes {expected}", types.join(" and "), self.name),
        };
        SpecError::Invalid { operator: OPERATOR, message }
    }
}

impl fmt::Display for AggregateSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let filter = if self.filter.is_some() { " filtered" } else { "" };
        write!(f, "{}{filter} as {}", self.function.name(), self.name)
    }
}
