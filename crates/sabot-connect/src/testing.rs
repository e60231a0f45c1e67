//! What the tests of this crate share: tiny batches, a tiny executor, a way to read a partition dry.

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use crate::{ConnectError, PartitionReader, SourceItem};

pub(crate) fn int_batch(values: &[i64]) -> RecordBatch {
    let column: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
    RecordBatch::try_from_iter([("a", column)]).unwrap()
}

pub(crate) fn text_batch(values: &[&str]) -> RecordBatch {
    let column: ArrayRef = Arc::new(StringArray::from(values.to_vec()));
    RecordBatch::try_from_iter([("s", column)]).unwrap()
}

pub(crate) fn ints(batch: &RecordBatch) -> Vec<i64> {
    batch.column(0).as_primitive::<Int64Type>().values().to_vec()
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread, parked while it waits.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

pub(crate) fn noop_context<T>(f: impl FnOnce(&mut Context<'_>) -> T) -> T {
    f(&mut Context::from_waker(Waker::noop()))
}

/// All rows that a reader still has, each batch with the number of its first row.
pub(crate) fn drain(reader: &mut dyn PartitionReader) -> Result<Vec<(u64, RecordBatch)>, ConnectError> {
    let mut items = Vec::new();
    while let Some(item) = block_on(std::future::poll_fn(|cx| reader.poll_next(cx)))? {
        match item {
            SourceItem::Rows { batch, first_row } => items.push((first_row, batch)),
            SourceItem::Skipped { .. } => panic!("nothing to skip here"),
        }
    }
    Ok(items)
}
