//! Filter-project: SQL's WHERE and SELECT in one step.

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use sabot_expr::TypedExpr;
use serde::{Deserialize, Serialize};
use std::fmt;

use crate::SpecError;
use crate::spec::unique_names;

/// Keeps the rows for which the predicate is true, and computes the projections of those rows.
///
/// * Rows for which the predicate is false or null are dropped. Without a predicate all rows stay.
/// * Projections are computed for the kept rows only: a projection that would fail on a dropped row
///   does not fail. Order of rows is kept; row kinds go with their rows, and an update pair of which
///   one half is kept becomes a plain insert or delete.
/// * An error is that of the first row, in row order, that fails; within a row, the predicate's before
///   the projections', and those in their order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FilterProjectSpec {
    /// A boolean expression over the input, or none to keep every row.
    pub predicate: Option<TypedExpr>,
    /// The output columns in order; each is an expression over the input.
    pub projections: Vec<Projection>,
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
    /// The schema of the projections.
    ///
    /// # Errors
    /// [`SpecError`] when the predicate is not boolean, a column is missing, or names collide.
    pub fn output_schema(&self, input: &SchemaRef) -> Result<SchemaRef, SpecError> {
        const OPERATOR: &str = "filter-project";
        let exprs = self.predicate.iter().chain(self.projections.iter().map(|p| &p.expr));
        for expr in exprs {
            for index in expr.columns() {
                crate::spec::column(OPERATOR, input, index)?;
            }
        }
        if let Some(predicate) = &self.predicate
            && predicate.data_type() != &DataType::Boolean
        {
            return Err(SpecError::Invalid {
                operator: OPERATOR,
                message: format!("the predicate {predicate} is {}; it must be boolean", predicate.data_type()),
            });
        }
        let fields: Vec<Field> = self
            .projections
            .iter()
            .map(|p| Field::new(&p.name, p.expr.data_type().clone(), p.expr.nullable()))
            .collect();
        unique_names(OPERATOR, Schema::new(fields))
    }
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
