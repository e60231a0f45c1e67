//! Cutting batches of any size into morsels.

use arrow::record_batch::RecordBatch;

/// Holds one batch and hands it out in slices of at most so many rows, without copying.
///
/// ```
/// # use arrow::array::{ArrayRef, Int64Array, RecordBatch};
/// # use sabot_connect::Cutter;
/// # let batch = RecordBatch::try_from_iter([("a", std::sync::Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef)])?;
/// let mut cutter = Cutter::new(2);
/// cutter.put(batch);
/// assert_eq!(cutter.cut().map(|slice| slice.num_rows()), Some(2));
/// assert_eq!(cutter.cut().map(|slice| slice.num_rows()), Some(1));
/// assert!(cutter.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Cutter {
    rows: usize,
    rest: Option<RecordBatch>,
}

impl Cutter {
    /// Slices of at most `rows` rows; 0 counts as 1.
    pub fn new(rows: usize) -> Self {
        Self { rows: rows.max(1), rest: None }
    }

    /// Whether nothing is left to cut.
    pub fn is_empty(&self) -> bool {
        self.rest.is_none()
    }

    /// Takes the next batch; what was left of the one before is forgotten.
    pub fn put(&mut self, batch: RecordBatch) {
        self.rest = Some(batch).filter(|batch| batch.num_rows() > 0);
    }

    /// The next slice.
    pub fn cut(&mut self) -> Option<RecordBatch> {
        let batch = self.rest.take()?;
        if batch.num_rows() <= self.rows {
            return Some(batch);
        }
        let slice = batch.slice(0, self.rows);
        self.rest = Some(batch.slice(self.rows, batch.num_rows() - self.rows));
        Some(slice)
    }
}
