//! Readers of media that hand over batches one after the other and never go back.
//!
//! A channel and an application's reader differ in where the next batch comes from and in nothing else:
//! pausing, shaping, cutting, numbering and counting are done here once.

use arrow::record_batch::RecordBatch;
use std::task::{Context, Poll, ready};

use crate::cut::Cutter;
use crate::shape::{PauseGate, Shaper, batch_bytes};
use crate::{ConnectError, PartitionReader, Position, ReadCounters, ReadRequest, SourceItem};

/// Where the next batch comes from.
pub(crate) trait Pull: Send {
    /// The next batch in the schema of the source, which may be without rows; `None` at the end and ever
    /// after.
    fn poll_batch(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<RecordBatch>, ConnectError>>;
}

/// Reads one partition of what `P` pulls, from its first row on.
pub(crate) struct PullReader<P> {
    from: P,
    shaper: Shaper,
    cutter: Cutter,
    gate: PauseGate,
    counters: ReadCounters,
}

impl<P: Pull> PullReader<P> {
    pub(crate) fn new(from: P, shaper: Shaper, request: &ReadRequest) -> Self {
        let cutter = Cutter::new(request.morsel_rows);
        Self { from, shaper, cutter, gate: PauseGate::default(), counters: ReadCounters::default() }
    }
}

/// Refuses any place but the first row of something that cannot be read twice.
pub(crate) fn only_from_start(name: String, what: &str, from: Option<&Position>) -> Result<(), ConnectError> {
    match from.filter(|position| position.row > 0) {
        Some(position) => {
            let reason = format!("rows of a {what} cannot be read twice");
            Err(ConnectError::BadPosition { name, row: position.row, reason })
        }
        None => Ok(()),
    }
}

impl<P: Pull> PartitionReader for PullReader<P> {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<SourceItem>, ConnectError>> {
        if self.gate.holds(cx) {
            return Poll::Pending;
        }
        // A batch without rows says nothing; the next one is asked for at once.
        while self.cutter.is_empty() {
            match ready!(self.from.poll_batch(cx))? {
                Some(batch) => self.cutter.put(self.shaper.shape(&batch)?),
                None => return Poll::Ready(Ok(None)),
            }
        }
        Poll::Ready(Ok(self.cutter.cut().map(|batch| {
            let first_row = self.counters.rows;
            self.counters.rows += batch.num_rows() as u64;
            self.counters.bytes += batch_bytes(&batch);
            SourceItem::Rows { batch, first_row }
        })))
    }

    fn position(&self) -> Position {
        Position::at_row(self.counters.rows)
    }

    fn pause(&mut self) {
        self.gate.pause();
    }

    fn resume(&mut self) {
        self.gate.resume();
    }

    fn counters(&self) -> ReadCounters {
        self.counters
    }
}
