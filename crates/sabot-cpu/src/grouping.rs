//! Group-by as a step of a fragment: it needs dense rows, and rows that are inserts.

use arrow::datatypes::SchemaRef;
use sabot_batch::RowKinds;
use sabot_ops::{GroupByMode, GroupBySpec, SpecError};

use crate::backend::Halt;
use crate::group_by::GroupByStep;
use crate::rows::Rows;

/// A group-by step. Cloning copies the spec; tables are made by the clone when it first runs.
#[derive(Debug)]
pub(crate) struct Grouping {
    spec: GroupBySpec,
    input: SchemaRef,
    step: Option<GroupByStep>,
}

impl Clone for Grouping {
    fn clone(&self) -> Self {
        Self { spec: self.spec.clone(), input: self.input.clone(), step: None }
    }
}

impl Grouping {
    pub(crate) fn new(spec: &GroupBySpec, input: &SchemaRef) -> Result<Self, SpecError> {
        let step = GroupByStep::new(spec, input)?;
        Ok(Self { spec: spec.clone(), input: input.clone(), step: Some(step) })
    }

    /// Whether each row in gives one row out, in the same order.
    pub(crate) fn keeps_rows(&self) -> bool {
        self.spec.mode == GroupByMode::Final
    }

    /// The groups of the live rows, or their values.
    ///
    /// # Errors
    /// [`Halt::Row`] when a row cannot be computed; an internal failure when rows that are no inserts
    /// would have to be aggregated.
    pub(crate) fn apply(&mut self, rows: Rows) -> Result<Rows, Halt> {
        let rows = rows.compact()?;
        let kinds = match self.keeps_rows() {
            true => rows.kinds().clone(),
            false if rows.kinds().is_append_only() => RowKinds::AllInsert,
            false => return Err(Halt::internal("group-by of rows that are not all inserts")),
        };
        let batch = rows.into_batch(&self.input)?;
        let step = match &mut self.step {
            Some(step) => step,
            none => none.insert(
                GroupByStep::new(&self.spec, &self.input).map_err(|e| Halt::internal(e.to_string()))?,
            ),
        };
        let groups = step.run(&batch)?;
        Ok(Rows::dense(groups.columns().to_vec(), groups.num_rows(), kinds))
    }
}
