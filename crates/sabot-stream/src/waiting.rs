//! Rows that wait until the watermark passes them.

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use sabot_batch::Morsel;

use crate::OperatorError;

/// Where the rows of a batch stand in time.
pub(crate) type Places = fn(&RecordBatch) -> Result<Vec<i64>, OperatorError>;

/// Batches of rows, each with the places of its first and its last row.
#[derive(Debug)]
pub(crate) struct Waiting {
    places: Places,
    batches: Vec<Held>,
    rows: usize,
}

#[derive(Debug)]
struct Held {
    batch: RecordBatch,
    bytes: usize,
    first: i64,
    last: i64,
}

impl Waiting {
    pub(crate) fn new(places: Places) -> Self {
        Self { places, batches: Vec::new(), rows: 0 }
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

    pub(crate) fn push(&mut self, batch: RecordBatch) -> Result<(), OperatorError> {
        let places = (self.places)(&batch)?;
        if let (Some(first), Some(last)) = (places.iter().min(), places.iter().max()) {
            let bytes = Morsel::new(batch.clone()).bytes();
            self.rows += batch.num_rows();
            self.batches.push(Held { bytes, first: *first, last: *last, batch });
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
                self.push(filter_record_batch(&held.batch, &rest).map_err(OperatorError::input)?)?;
            }
        }
        Ok(due)
    }
}
