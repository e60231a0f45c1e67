//! What the tests of this crate share: a tiny executor, a way to read a partition dry, batches as text.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use sabot_connect::{ConnectError, PartitionReader, SourceItem};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The next item, waiting on this thread.
pub(crate) fn next_item(reader: &mut dyn PartitionReader) -> Result<Option<SourceItem>, ConnectError> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    loop {
        match reader.poll_next(&mut cx) {
            Poll::Ready(item) => return item,
            Poll::Pending => thread::park(),
        }
    }
}

/// All items that a reader still has.
pub(crate) fn drain(reader: &mut dyn PartitionReader) -> Result<Vec<SourceItem>, ConnectError> {
    std::iter::from_fn(|| next_item(reader).transpose()).collect()
}

/// The batches among items, after checking that row numbers have no gap and no overlap from `row` on.
pub(crate) fn batches(items: &[SourceItem], mut row: u64) -> Vec<RecordBatch> {
    let mut batches = Vec::new();
    for item in items {
        match item {
            SourceItem::Rows { batch, first_row } => {
                assert_eq!(*first_row, row);
                row += batch.num_rows() as u64;
                batches.push(batch.clone());
            }
            SourceItem::Skipped { first_row, rows, .. } => {
                assert_eq!(*first_row, row);
                row += rows;
            }
        }
    }
    batches
}

/// All batches as one; of the first one's schema.
pub(crate) fn joined(batches: &[RecordBatch]) -> RecordBatch {
    concat_batches(&batches[0].schema(), batches).unwrap()
}

/// Each row as its values in Arrow's display form, `null` for null.
pub(crate) fn rows(batches: &[RecordBatch]) -> Vec<Vec<String>> {
    let options = FormatOptions::default().with_null("null");
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap())
            .collect();
        rows.extend((0..batch.num_rows()).map(|i| columns.iter().map(|c| c.value(i).to_string()).collect()));
    }
    rows
}
