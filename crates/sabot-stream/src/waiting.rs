//! Rows that wait until the watermark passes them.

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use sabot_batch::Morsel;
use std::fmt;

use crate::OperatorError;
use crate::row_cuts::InCut;

/// Where the rows of a batch stand in time.
type Places = dyn Fn(&RecordBatch) -> Result<Vec<i64>, OperatorError> + Send + Sync;

/// Batches of rows, each with the places of its first and its last row.
pub(crate) struct Waiting {
    places: Box<Places>,
    batches: Vec<Held>,
    rows: usize,
}

#[derive(Debug)]
struct Held {
    batch: RecordBatch,
    cut: InCut,
    bytes: usize,
    first: i64,
    last: i64,
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").field("batches", &self.batches).finish_non_exhaustive()
    }
}

impl Waiting {
    pub(crate) fn new(
        places: impl Fn(&RecordBatch) -> Result<Vec<i64>, OperatorError> + Send + Sync + 'static,
    ) -> Self {
        Self { places: Box::new(places), batches: Vec::new(), rows: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn bytes(&self) -> usize {
        self.batches.iter().map(|held| held.bytes).sum()
    }

    pub(crate) fn batches(&self) -> Vec<&RecordBatch> {
        self.batches.iter().map(|held| &held.batch).collect()
    }

    /// The rows, with the cuts that have them.
    pub(crate) fn in_cuts(&mut self) -> impl Iterator<Item = (&mut InCut, &RecordBatch)> {
        self.batches.iter_mut().map(|held| (&mut held.cut, &held.batch))
    }

    pub(crate) fn push(&mut self, batch: RecordBatch) -> Result<(), OperatorError> {
        self.hold(batch, InCut::default())
    }

    /// Takes in the rows behind a place.
    pub(crate) fn push_behind(&mut self, batch: &RecordBatch, place: i64) -> Result<(), OperatorError> {
        let behind: BooleanArray = (self.places)(batch)?.iter().map(|row| Some(*row > place)).collect();
        self.push(filter_record_batch(batch, &behind).map_err(OperatorError::input)?)
    }

    fn hold(&mut self, batch: RecordBatch, cut: InCut) -> Result<(), OperatorError> {
        let places = (self.places)(&batch)?;
        if let (Some(first), Some(last)) = (places.iter().min(), places.iter().max()) {
            let bytes = Morsel::new(batch.clone()).bytes();
            self.rows += batch.num_rows();
            self.batches.push(Held { bytes, first: *first, last: *last, batch, cut });
        }
        Ok(())
    }

    /// Takes everything.
    pub(crate) fn take(&mut self) -> Vec<RecordBatch> {
        self.rows = 0;
        std::mem::take(&mut self.batches).into_iter().map(|held| held.batch).collect()
    }

    /// Takes the rows at places up to this one, in the order in which they were held.
    pub(crate) fn take_up_to(&mut self, place: i64) -> Result<Vec<RecordBatch>, OperatorError> {
        let mut due = Vec::new();
        for held in std::mem::take(&mut self.batches) {
            if held.first > place {
                self.batches.push(held);
                continue;
            }
            self.rows -= held.batch.num_rows();
            if held.last <= place {
                due.push(held.batch);
            } else {
                let passed: BooleanArray =
                    (self.places)(&held.batch)?.iter().map(|row| Some(*row <= place)).collect();
                due.push(filter_record_batch(&held.batch, &passed).map_err(OperatorError::input)?);
                let rest = BooleanArray::new(!passed.values(), None);
                // A cut that has the batch has these rows.
                self.hold(filter_record_batch(&held.batch, &rest).map_err(OperatorError::input)?, held.cut)?;
            }
        }
        Ok(due)
    }
}
