//! Live rows on their way through the steps, with what must not get lost on the way.

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use sabot_batch::{Morsel, RowKind, RowKinds, RowOrigin, TimeBounds};

use super::{internal, pick_values};
use crate::Failure;

/// Dense rows. The three parts have one length.
pub(super) struct Rows {
    pub(super) batch: RecordBatch,
    pub(super) kinds: Vec<RowKind>,
    /// Which row of the submitted morsel each row comes from.
    pub(super) places: Vec<usize>,
}

impl Rows {
    /// The live rows of a morsel.
    pub(super) fn of(morsel: &Morsel) -> Result<Self, Failure> {
        let rows = morsel.rows();
        let kinds = (0..rows).map(|i| morsel.kinds().get(i).unwrap_or(RowKind::Insert)).collect();
        let all = Rows { batch: morsel.to_host()?, kinds, places: (0..rows).collect() };
        match morsel.selection() {
            Some(selection) => all.pick(&selection.iter().collect::<Vec<_>>()),
            None => Ok(all),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// The rows at these ascending places. An update pair that loses a half becomes a delete or insert.
    pub(super) fn pick(&self, kept: &[usize]) -> Result<Self, Failure> {
        let columns =
            self.batch.columns().iter().map(|c| pick_values(c, kept)).collect::<Result<Vec<_>, _>>()?;
        let batch = batch_of(&self.batch.schema(), columns, kept.len())?;
        let kind = |row: usize| match (self.kinds[row], self.other_half(row)) {
            (RowKind::UpdateBefore, other) if other.is_none_or(|o| kept.binary_search(&o).is_err()) => {
                RowKind::Delete
            }
            (RowKind::UpdateAfter, other) if other.is_none_or(|o| kept.binary_search(&o).is_err()) => {
                RowKind::Insert
            }
            (kind, _) => kind,
        };
        Ok(Rows {
            batch,
            kinds: kept.iter().map(|row| kind(*row)).collect(),
            places: kept.iter().map(|row| self.places[*row]).collect(),
        })
    }

    /// The row with the other half of an update pair: directly behind a before, directly before an after.
    fn other_half(&self, row: usize) -> Option<usize> {
        let (other, wanted) = match self.kinds[row] {
            RowKind::UpdateBefore => (row + 1, RowKind::UpdateAfter),
            RowKind::UpdateAfter => (row.checked_sub(1)?, RowKind::UpdateBefore),
            RowKind::Insert | RowKind::Delete => return None,
        };
        (self.kinds.get(other) == Some(&wanted)).then_some(other)
    }

    /// The same rows under a schema with the same column types.
    pub(super) fn under(self, schema: &SchemaRef) -> Result<Self, Failure> {
        let batch = batch_of(schema, self.batch.columns().to_vec(), self.len())?;
        Ok(Rows { batch, ..self })
    }

    /// The same rows with further columns behind theirs.
    pub(super) fn with_columns(self, added: Vec<ArrayRef>, schema: &SchemaRef) -> Result<Self, Failure> {
        let columns = self.batch.columns().iter().cloned().chain(added).collect();
        let batch = batch_of(schema, columns, self.len())?;
        Ok(Rows { batch, ..self })
    }

    pub(super) fn into_morsel(
        self,
        bounds: Option<TimeBounds>,
        origin: Option<RowOrigin>,
    ) -> Result<Morsel, Failure> {
        let kinds = match self.kinds.iter().all(|k| *k == RowKind::Insert) {
            true => RowKinds::AllInsert,
            false => RowKinds::PerRow(self.kinds.into()),
        };
        Ok(Morsel::new(self.batch).with_time_bounds(bounds).with_origin(origin).with_kinds(kinds)?)
    }
}

/// A batch that knows its rows even when it has no columns.
pub(crate) fn batch_of(
    schema: &SchemaRef,
    columns: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch, Failure> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options).map_err(internal)
}
