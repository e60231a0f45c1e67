//! Window-assign: the start of each row's slice, and late rows to the side.
//!
//! Most morsels lie in one slice and are on time. Then the window column is one number repeated, and
//! the only work per row is one comparison of its lateness. Where windows leave gaps, rows in one are
//! told by the start of their slice, which is looked up once for rows that follow each other in it.

use arrow::array::Int64Array;
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::SchemaRef;
use sabot_batch::{Morsel, TimeBounds, hidden};
use sabot_common::EventTime;
use sabot_ops::WindowAssignSpec;
use std::sync::Arc;

use crate::backend::Halt;
use crate::rows::Rows;
use crate::simd::Level;
use crate::simd::compare::{Comparison, compare_i64};

/// A window-assign step.
#[derive(Clone, Debug)]
pub(crate) struct WindowAssign {
    spec: WindowAssignSpec,
    /// What goes into the step, and what late rows look like.
    input: SchemaRef,
    level: Level,
}

impl WindowAssign {
    pub(crate) fn new(spec: &WindowAssignSpec, input: &SchemaRef, level: Level) -> Self {
        Self { spec: spec.clone(), input: input.clone(), level }
    }

    /// The rows that are on time, with their slice; and those that are late, if there are any.
    ///
    /// # Errors
    /// Only when the rows are not of the step's input schema.
    pub(crate) fn apply(
        &self,
        mut rows: Rows,
        bounds: Option<TimeBounds>,
    ) -> Result<(Rows, Option<Morsel>), Halt> {
        let late = self.late_rows(&mut rows, bounds)?;
        let times = self.column(&rows, hidden::TIME)?.values().clone();
        let one = bounds.and_then(|b| self.spec.window.one_slice(b.min, b.max));
        let starts = match one {
            Some(start) => vec![start.micros(); rows.len()],
            None => {
                let mut starts = Vec::with_capacity(rows.len());
                self.spec.window.assign(&times, &mut starts);
                starts
            }
        };
        if self.spec.window.has_gaps() {
            rows.narrow(&self.in_windows(&starts));
        }
        rows.push_column(Arc::new(Int64Array::from(starts)));
        Ok((rows, late))
    }

    /// Which rows lie in a window, by the start of their slice.
    fn in_windows(&self, starts: &[i64]) -> BooleanBuffer {
        let mut known: Option<(i64, bool)> = None;
        let mut inside = |start: i64| match known {
            Some((same, inside)) if same == start => inside,
            _ => known.insert((start, !self.spec.window.is_gap(EventTime(start)))).1,
        };
        starts.iter().map(|start| inside(*start)).collect()
    }

    /// Takes the late rows out of the live ones.
    fn late_rows(&self, rows: &mut Rows, bounds: Option<TimeBounds>) -> Result<Option<Morsel>, Halt> {
        let behind = self.column(rows, hidden::LATE)?.values();
        let allowed = self.spec.allowed_lateness.micros();
        let words = compare_i64(self.level, Comparison::Gt, behind, allowed);
        if words.iter().all(|word| *word == 0) {
            return Ok(None);
        }
        let too_late = BooleanBuffer::new(words.into(), 0, rows.len());
        let mut late = rows.clone();
        late.narrow(&too_late);
        rows.narrow(&!&too_late);
        if late.live() == 0 {
            return Ok(None);
        }
        Ok(Some(late.into_morsel(&self.input, bounds, None)?))
    }

    fn column<'a>(&self, rows: &'a Rows, name: &str) -> Result<&'a Int64Array, Halt> {
        let index = self.input.index_of(name).ok();
        let column = index.and_then(|i| rows.columns().get(i)?.as_any().downcast_ref());
        column.ok_or_else(|| Halt::internal(format!("window-assign without an int64 column {name}")))
    }
}
