//! Results on their way out in morsels of bounded size.

use arrow::array::RecordBatch;
use sabot_batch::Morsel;
use std::collections::VecDeque;

/// Batches that leave one after another.
#[derive(Debug, Default)]
pub(crate) struct Ready(VecDeque<RecordBatch>);

impl Ready {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn push(&mut self, batch: RecordBatch) {
        if batch.num_rows() > 0 {
            self.0.push_back(batch);
        }
    }

    /// The next rows, at most `max_rows` of them (0 counts as 1), as a slice of their batch.
    pub(crate) fn next(&mut self, max_rows: usize) -> Option<Morsel> {
        let batch = self.0.pop_front()?;
        let rows = batch.num_rows().min(max_rows.max(1));
        if rows < batch.num_rows() {
            self.0.push_front(batch.slice(rows, batch.num_rows() - rows));
        }
        Some(Morsel::new(batch.slice(0, rows)))
    }

    pub(crate) fn bytes(&self) -> usize {
        self.0.iter().map(|batch| Morsel::new(batch.clone()).bytes()).sum()
    }
}
