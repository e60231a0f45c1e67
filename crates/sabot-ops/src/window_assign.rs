//! Window-assign: which window a row belongs to, and whether it still may.

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use sabot_batch::hidden;
use sabot_common::Span;
use sabot_time::Windows;
use serde::{Deserialize, Serialize};
use std::fmt;

use crate::SpecError;

/// Appends the hidden column [`hidden::WINDOW`]: the start of the slice that holds the row's event time
/// ([`hidden::TIME`]), in µs. A slice is a stretch of time that no window divides
/// ([`Windows::slice_of`]): with tumbling and calendar windows it is the window itself, with overlapping
/// ones a part of all that hold it, and with windows that the rows of a key make it is the row's own time.
///
/// A row whose lateness ([`hidden::LATE`]) exceeds `allowed_lateness` is dropped from the main output
/// and stands, with all its input columns, in the late side output. A row that is in time and lies in no
/// window, because windows leave gaps, is dropped and stands nowhere. Both hidden columns are never
/// null. Order is kept in both outputs. An update pair of which one half leaves becomes a plain delete or
/// a plain insert. It never fails on data: where the start of a window would lie before the first point
/// in time, that point is its start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WindowAssignSpec {
    /// The windows.
    pub window: Windows,
    /// How far behind the bound of its source partition a row may be.
    pub allowed_lateness: Span,
}

impl WindowAssignSpec {
    /// The input with the window column at its end.
    ///
    /// # Errors
    /// [`SpecError`] when the input has no event time, or a window column already, or the allowed lateness
    /// is negative.
    pub fn output_schema(&self, input: &SchemaRef) -> Result<SchemaRef, SpecError> {
        const OPERATOR: &str = "window-assign";
        if self.allowed_lateness < Span::ZERO {
            return Err(SpecError::Invalid {
                operator: OPERATOR,
                message: format!("allowed lateness {}; it must be 0 or more", self.allowed_lateness),
            });
        }
        for name in [hidden::TIME, hidden::LATE] {
            let field = input.field_with_name(name).map_err(|_| SpecError::Invalid {
                operator: OPERATOR,
                message: format!("the input has no column {name}; declare event_time on its source"),
            })?;
            if field.data_type() != &DataType::Int64 || field.is_nullable() {
                return Err(SpecError::ColumnType {
                    operator: OPERATOR,
                    role: "event time",
                    column: name.to_owned(),
                    got: field.data_type().clone(),
                    expected: "int64 microseconds and never null".to_owned(),
                });
            }
        }
        let mut fields: Vec<_> = input.fields().iter().cloned().collect();
        fields.push(Field::new(hidden::WINDOW, DataType::Int64, false).into());
        crate::spec::unique_names(OPERATOR, Schema::new(fields))
    }
}

impl fmt::Display for WindowAssignSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "window {}", self.window)?;
        if self.allowed_lateness != Span::ZERO {
            write!(f, " allowing {} late", self.allowed_lateness)?;
        }
        Ok(())
    }
}
