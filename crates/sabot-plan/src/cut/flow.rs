//! Rows on their way: the stages they come from and the steps done to them since.

use arrow::datatypes::{Schema, SchemaRef};
use sabot_batch::hidden;
use sabot_common::OperatorId;
use sabot_expr::TypedExpr;
use sabot_ops::{FilterProjectSpec, OperatorSpec, Projection};

use super::demand::HiddenSet;
use crate::{PlanError, StageInput};

/// The beginning of a stage: not yet cut, so that further steps can join it.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    /// Where the rows come from.
    pub(super) inputs: Vec<StageInput>,
    /// Their schema there.
    pub(super) base: SchemaRef,
    /// What is done to them.
    pub(super) steps: Vec<OperatorSpec>,
    /// Their schema after that.
    pub(super) schema: SchemaRef,
    /// The operators that do it.
    pub(super) operators: Vec<OperatorId>,
}

impl Flow {
    pub(super) fn new(inputs: Vec<StageInput>, base: SchemaRef, operators: Vec<OperatorId>) -> Self {
        Self { inputs, schema: base.clone(), base, steps: Vec::new(), operators }
    }

    pub(super) fn push(&mut self, step: OperatorSpec) -> Result<(), PlanError> {
        self.schema = step.output_schema(&self.schema)?;
        self.steps.push(step);
        Ok(())
    }

    /// Whether nothing was done but to put streams together.
    pub(super) fn is_union(&self) -> bool {
        matches!(self.steps.as_slice(), [OperatorSpec::Union(_)])
    }

    /// An expression over the columns of `logical` as one over those of this flow, which has those that
    /// the expression reads under the same names.
    pub(super) fn localise(&self, expr: &TypedExpr, logical: &Schema) -> TypedExpr {
        let place = |column: usize| {
            let field = logical.fields().get(column);
            // A column that is not there is beyond every schema; the step it goes into is then refused.
            field.and_then(|f| self.schema.index_of(f.name()).ok()).unwrap_or(usize::MAX)
        };
        expr.clone().map_columns(&place)
    }

    /// Keeps rows and computes columns; of the hidden ones those of `keep` go on.
    pub(super) fn filter_project(
        &mut self,
        predicate: Option<TypedExpr>,
        projections: Vec<Projection>,
        keep: &HiddenSet,
    ) -> Result<(), PlanError> {
        let carried: Vec<usize> = keep.names().filter_map(|name| self.schema.index_of(name).ok()).collect();
        self.compute(FilterProjectSpec { predicate, projections, carried })
    }

    /// A filter-project step, left out when it would change nothing.
    pub(super) fn compute(&mut self, spec: FilterProjectSpec) -> Result<(), PlanError> {
        let FilterProjectSpec { predicate, projections, carried } = &spec;
        let kept = |(i, p): (usize, &Projection)| {
            let field = self.schema.fields().get(i);
            p.expr.as_column() == Some(i) && field.is_some_and(|f| f.name() == &p.name)
        };
        let unchanged = predicate.is_none()
            && projections.len() + carried.len() == self.schema.fields().len()
            && projections.iter().enumerate().all(kept)
            && carried.iter().enumerate().all(|(i, column)| *column == projections.len() + i);
        if unchanged { Ok(()) } else { self.push(OperatorSpec::FilterProject(spec)) }
    }

    /// Makes the columns those of `wanted`, by name and in that order; hidden ones stand at its end.
    pub(super) fn fit(&mut self, wanted: &Schema, keep: &HiddenSet) -> Result<(), PlanError> {
        let same = |(a, b): (&arrow::datatypes::FieldRef, &arrow::datatypes::FieldRef)| a.name() == b.name();
        let (ours, theirs) = (self.schema.fields(), wanted.fields());
        if ours.len() == theirs.len() && ours.iter().zip(theirs).all(same) {
            return Ok(());
        }
        let visible = hidden::visible_schema(wanted);
        self.project(&visible, keep)
    }

    /// Makes the visible columns those of `wanted`, by name and in that order. More hidden columns than
    /// those of `keep` may stay.
    pub(super) fn fit_visible(&mut self, wanted: &Schema, keep: &HiddenSet) -> Result<(), PlanError> {
        let ours = self.schema.fields().iter().filter(|f| !hidden::is_hidden(f.name()));
        if ours.map(|f| f.name()).eq(wanted.fields().iter().map(|f| f.name())) {
            return Ok(());
        }
        self.project(wanted, keep)
    }

    fn project(&mut self, visible: &Schema, keep: &HiddenSet) -> Result<(), PlanError> {
        let project = |field: &arrow::datatypes::FieldRef| {
            let index = self.schema.index_of(field.name()).unwrap_or(usize::MAX);
            let expr =
                TypedExpr::column(index, &self.schema).map_err(|e| PlanError::expression("project", e))?;
            Ok(Projection { name: field.name().clone(), expr })
        };
        let projections = visible.fields().iter().map(project).collect::<Result<Vec<_>, PlanError>>()?;
        self.filter_project(None, projections, keep)
    }
}
