//! Filter-project: the predicate to selection bits, then only the columns that are asked for.
//!
//! A projection that is a bare column is handed on as it is, with the selection beside it. When few
//! rows survive the predicate, the columns that projections read are moved together first, so that
//! nothing is computed for rows that are gone.

use arrow::array::ArrayRef;
use sabot_ops::FilterProjectSpec;
use std::collections::BTreeSet;

use crate::backend::Halt;
use crate::expr::{Patterns, Scope, is_true};
use crate::rows::Rows;
use crate::simd::Level;

/// A filter-project step.
#[derive(Clone, Debug)]
pub(crate) struct FilterProject {
    spec: FilterProjectSpec,
    /// The columns that survive the predicate: those that projections read, and the carried ones.
    needed: BTreeSet<usize>,
    /// The regular expressions of the predicate and the projections.
    patterns: Patterns,
    level: Level,
}

impl FilterProject {
    pub(crate) fn new(spec: &FilterProjectSpec, level: Level) -> Self {
        let read = spec.projections.iter().flat_map(|p| p.expr.columns());
        let needed = read.chain(spec.carried.iter().copied()).collect();
        let patterns = Patterns::of(spec.predicate.iter().chain(spec.projections.iter().map(|p| &p.expr)));
        Self { spec: spec.clone(), needed, patterns, level }
    }

    /// The projections of the rows that the predicate keeps.
    ///
    /// # Errors
    /// [`Halt::Row`] when a row fails in the predicate or, if that keeps it, in a projection.
    pub(crate) fn apply(&self, mut rows: Rows) -> Result<Rows, Halt> {
        if let Some(predicate) = &self.spec.predicate {
            let scope = Scope::new(rows.columns(), rows.len(), self.level).with_patterns(&self.patterns);
            let keep = scope.evaluate_predicate(predicate, rows.alive())?;
            if scope.failed().is_some() {
                return Err(Halt::Row);
            }
            rows.narrow(&is_true(&keep));
        }
        if rows.is_sparse() {
            rows = rows.compact_needed(|column| self.needed.contains(&column))?;
        }
        let scope = Scope::new(rows.columns(), rows.len(), self.level).with_patterns(&self.patterns);
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.spec.projections.len());
        for projection in &self.spec.projections {
            columns.push(scope.evaluate(&projection.expr, rows.alive())?);
        }
        if scope.failed().is_some() {
            return Err(Halt::Row);
        }
        for index in &self.spec.carried {
            let carried = rows.columns().get(*index).cloned();
            columns.push(carried.ok_or_else(|| Halt::internal(format!("no column {index} to carry")))?);
        }
        Ok(rows.with_columns(columns))
    }
}
