//! Rows on their way through the steps of a fragment.
//!
//! Dropped rows are only marked; columns are moved when most rows are gone, or when a step needs dense
//! rows. The invariant: selection and kinds are as long as the columns, and an update pair of which one
//! half is dropped no longer counts as a pair once rows are moved.

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, new_empty_array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::FilterBuilder;
use arrow::datatypes::{DataType, SchemaRef};
use sabot_batch::{Morsel, RowKinds, RowOrigin, TimeBounds, unpaired};
use sabot_ops::Failure;

use crate::expr::arrow_bug;

/// Rows are moved early when fewer than one in this many is alive: computing a column for dead rows then
/// is more work than moving the live ones once more. The bound is the design's, not yet measured here.
const SPARSE: usize = 4;

/// Columns with a selection and row kinds.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    columns: Vec<ArrayRef>,
    len: usize,
    /// Which rows are alive and how many; `None` when all are.
    alive: Option<(BooleanBuffer, usize)>,
    kinds: RowKinds,
}

impl Rows {
    /// The rows of a batch on the host, with the selection and kinds of the morsel it came from.
    pub(crate) fn new(batch: &RecordBatch, morsel: &Morsel) -> Self {
        let alive = morsel.selection().filter(|s| s.alive() < s.rows());
        Self {
            columns: batch.columns().to_vec(),
            len: batch.num_rows(),
            alive: alive.map(|s| (s.to_array().values().clone(), s.alive())),
            kinds: morsel.kinds().clone(),
        }
    }

    /// Rows, dead ones included.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Rows that are alive.
    pub(crate) fn live(&self) -> usize {
        self.alive.as_ref().map_or(self.len, |(_, live)| *live)
    }

    /// Which rows are alive; `None` when all are.
    pub(crate) fn alive(&self) -> Option<&BooleanBuffer> {
        self.alive.as_ref().map(|(bits, _)| bits)
    }

    pub(crate) fn columns(&self) -> &[ArrayRef] {
        &self.columns
    }

    pub(crate) fn kinds(&self) -> &RowKinds {
        &self.kinds
    }

    /// Keeps of the live rows only those in `mask`.
    pub(crate) fn narrow(&mut self, mask: &BooleanBuffer) {
        let bits = match &self.alive {
            Some((bits, _)) => bits & mask,
            None => mask.clone(),
        };
        let live = bits.count_set_bits();
        self.alive = (live < self.len).then_some((bits, live));
    }

    /// The same rows with other columns, each as long as the old ones.
    pub(crate) fn with_columns(self, columns: Vec<ArrayRef>) -> Self {
        debug_assert!(columns.iter().all(|c| c.len() == self.len));
        Self { columns, ..self }
    }

    pub(crate) fn push_column(&mut self, column: ArrayRef) {
        debug_assert_eq!(column.len(), self.len);
        self.columns.push(column);
    }

    /// Whether so few rows are alive that moving them pays.
    pub(crate) fn is_sparse(&self) -> bool {
        self.live() < self.len / SPARSE
    }

    /// Moves the live rows together.
    pub(crate) fn compact(self) -> Result<Self, Failure> {
        self.compact_needed(|_| true)
    }

    /// Moves the live rows together in the needed columns; the others are let go and must not be read.
    pub(crate) fn compact_needed(self, needed: impl Fn(usize) -> bool) -> Result<Self, Failure> {
        let Some((alive, live)) = self.alive else { return Ok(self) };
        let kinds = match &self.kinds {
            RowKinds::AllInsert => RowKinds::AllInsert,
            RowKinds::PerRow(kinds) => RowKinds::PerRow(
                alive.set_indices().map(|row| unpaired(kinds, row, |r| alive.value(r))).collect(),
            ),
        };
        let alive = BooleanArray::new(alive, None);
        let filter = FilterBuilder::new(&alive).optimize().build();
        let keep = |(index, column): (usize, &ArrayRef)| {
            if needed(index) { filter.filter(column) } else { Ok(new_empty_array(&DataType::Null)) }
        };
        let columns = self.columns.iter().enumerate().map(keep).collect::<Result<Vec<_>, _>>();
        Ok(Self { columns: columns.map_err(arrow_bug)?, len: live, alive: None, kinds })
    }

    /// The live rows as a batch of this schema. Batches know their rows also without columns.
    pub(crate) fn into_batch(self, schema: &SchemaRef) -> Result<RecordBatch, Failure> {
        let rows = self.compact()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len));
        RecordBatch::try_new_with_options(schema.clone(), rows.columns, &options).map_err(arrow_bug)
    }

    /// The live rows as a morsel of this schema.
    pub(crate) fn into_morsel(
        self,
        schema: &SchemaRef,
        bounds: Option<TimeBounds>,
        origin: Option<RowOrigin>,
    ) -> Result<Morsel, Failure> {
        let rows = self.compact()?;
        let kinds = rows.kinds.clone();
        let morsel = Morsel::new(rows.into_batch(schema)?).with_kinds(kinds)?;
        Ok(morsel.with_time_bounds(bounds).with_origin(origin))
    }

    /// Dense rows from their parts, which have one length.
    pub(crate) fn dense(columns: Vec<ArrayRef>, len: usize, kinds: RowKinds) -> Self {
        Self { columns, len, alive: None, kinds }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::{Field, Int64Type, Schema};
    use sabot_batch::RowKind;
    use std::sync::Arc;

    fn rows(kinds: &[RowKind]) -> (Rows, SchemaRef) {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..kinds.len() as i64));
        let schema: SchemaRef = Schema::new(vec![Field::new("a", DataType::Int64, false)]).into();
        (Rows::dense(vec![column], kinds.len(), RowKinds::PerRow(kinds.into())), schema)
    }

    #[test]
    fn half_a_pair_becomes_a_plain_row() {
        use RowKind::{Delete, Insert, UpdateAfter, UpdateBefore};
        let (mut rows, schema) =
            rows(&[UpdateBefore, UpdateAfter, UpdateBefore, UpdateAfter, UpdateBefore, UpdateAfter]);
        rows.narrow(&BooleanBuffer::from(vec![true, true, true, false, false, true]));
        let morsel = rows.into_morsel(&schema, None, None).unwrap();
        let wanted = [UpdateBefore, UpdateAfter, Delete, Insert];
        assert_eq!(morsel.kinds(), &RowKinds::PerRow(wanted.into()));
        let values = morsel.host().unwrap().column(0).as_primitive::<Int64Type>();
        assert_eq!(values.values(), &[0, 1, 2, 5]);
    }

    #[test]
    fn rows_without_columns_are_still_counted() {
        let mut rows = Rows::dense(Vec::new(), 5, RowKinds::AllInsert);
        rows.narrow(&BooleanBuffer::from(vec![true, false, true, false, false]));
        let schema = Arc::new(Schema::empty());
        assert_eq!(rows.into_morsel(&schema, None, None).unwrap().rows(), 2);
    }
}
