//! Filter-project: SQL's WHERE and SELECT in one step.

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use sabot_expr::{TypedExpr, type_name};
use serde::{Deserialize, Serialize};
use std::fmt;

use crate::SpecError;
use crate::spec::{column, unique_names};

const OPERATOR: &str = "filter-project";

/// Keeps the rows for which the predicate is true, and computes the projections of those rows.
///
/// * Rows for which the predicate is false or null are dropped. Without a predicate all rows stay.
/// * Output columns are the projections and then the carried columns. There may be none at all; rows
///   are then counted and nothing else.
/// * Projections are computed for the kept rows only: a projection that would fail on a dropped row
///   does not fail. A projection that is a bare column keeps its values bit for bit and its dictionary.
/// * Order of rows is kept; row kinds go with their rows, and an update pair of which one half is kept
///   becomes a plain insert or delete.
/// * An error is that of the first row, in row order, that fails; within a row, the predicate's before
///   the projections', and those in their order.
///
/// ```
/// # use arrow::datatypes::{DataType, Field, Schema};
/// # use sabot_expr::{FunctionRegistry, col, resolve};
/// # use sabot_ops::{FilterProjectSpec, Projection};
/// # use std::sync::Arc;
/// let input = Arc::new(Schema::new(vec![Field::new("delay", DataType::Int64, false)]));
/// let typed = |expr| resolve(&expr, &input, &FunctionRegistry::new());
/// let spec = FilterProjectSpec {
///     predicate: Some(typed(col("delay").gt(15))?),
///     projections: vec![Projection { name: "hours".into(), expr: typed(col("delay") / 60)? }],
///     carried: Vec::new(),
/// };
/// assert_eq!(spec.to_string(), "filter delay > 15 project [delay / 60 as hours]");
/// assert_eq!(spec.output_schema(&input)?.field(0).name(), "hours");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FilterProjectSpec {
    /// A boolean expression over the input, or none to keep every row.
    pub predicate: Option<TypedExpr>,
    /// The output columns in order; each is an expression over the input.
    pub projections: Vec<Projection>,
    /// Input columns that go through untouched, behind the projections and under their own names: the
    /// engine's hidden columns, which may be of types that expressions do not know.
    pub carried: Vec<usize>,
}

/// One output column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Projection {
    /// Its name.
    pub name: String,
    /// Its values.
    pub expr: TypedExpr,
}

impl FilterProjectSpec {
    /// The schema of the projections and the carried columns.
    ///
    /// # Errors
    /// [`SpecError`] when the predicate is not boolean, a column is missing or not of the type and
    /// nullability that an expression was resolved with, or names collide.
    pub fn output_schema(&self, input: &SchemaRef) -> Result<SchemaRef, SpecError> {
        let exprs = self.predicate.iter().chain(self.projections.iter().map(|p| &p.expr));
        for expr in exprs {
            check_columns(OPERATOR, expr, input)?;
        }
        if let Some(predicate) = &self.predicate
            && predicate.data_type() != &DataType::Boolean
        {
            return Err(SpecError::Invalid {
                operator: OPERATOR,
                message: format!(
                    "the predicate {predicate} is {}; it must be bool",
                    type_name(predicate.data_type())
                ),
            });
        }
        let mut fields: Vec<Field> = self
            .projections
            .iter()
            .map(|p| Field::new(&p.name, p.expr.data_type().clone(), p.expr.nullable()))
            .collect();
        for index in &self.carried {
            let field = column(OPERATOR, input, *index)?;
            fields.push(Field::new(field.name(), field.data_type().clone(), field.is_nullable()));
        }
        unique_names(OPERATOR, Schema::new(fields))
    }
}

/// Checks that every column an expression reads is the one that it was resolved against.
pub(crate) fn check_columns(
    operator: &'static str,
    expr: &TypedExpr,
    input: &Schema,
) -> Result<(), SpecError> {
    let mut open = vec![expr];
    while let Some(node) = open.pop() {
        open.extend(node.children());
        let Some(index) = node.as_column() else { continue };
        let field = column(operator, input, index)?;
        let mark = |nullable: bool| if nullable { ", nullable" } else { "" };
        if field.data_type() != node.data_type() || (field.is_nullable() && !node.nullable()) {
            return Err(SpecError::Invalid {
                operator,
                message: format!(
                    "column \"{}\" is {}{}, but `{expr}` was resolved with {}{}",
                    field.name(),
                    type_name(field.data_type()),
                    mark(field.is_nullable()),
                    type_name(node.data_type()),
                    mark(node.nullable())
                ),
            });
        }
    }
    Ok(())
}

impl fmt::Display for FilterProjectSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(predicate) = &self.predicate {
            write!(f, "filter {predicate}")?;
        }
        let visible: Vec<String> = self
            .projections
            .iter()
            .filter(|p| !sabot_batch::hidden::is_hidden(&p.name))
            .map(|p| {
                let text = p.expr.to_string();
                if text == p.name { text } else { format!("{text} as {}", p.name) }
            })
            .collect();
        if self.predicate.is_some() {
            f.write_str(" ")?;
        }
        write!(f, "project [{}]", visible.join(", "))
    }
}
