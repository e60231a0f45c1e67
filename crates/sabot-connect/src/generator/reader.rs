//! Reading a partition of a generator.

use arrow::array::RecordBatchOptions;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::column::{Maker, Rows};
use crate::shape::{PauseGate, Shaper, batch_bytes};
use crate::{ConnectError, PartitionReader, Position, ReadCounters, ReadRequest, SourceItem};

pub(super) struct GeneratorReader {
    makers: Arc<[Maker]>,
    /// The columns to make, as numbers of the makers, and the schema that they have then.
    columns: Vec<usize>,
    made: SchemaRef,
    shaper: Shaper,
    /// The partition and the number of partitions.
    place: (u64, u64),
    row: u64,
    end: Option<u64>,
    morsel_rows: usize,
    gate: PauseGate,
    counters: ReadCounters,
}

impl GeneratorReader {
    pub(super) fn new(
        name: &str,
        schema: &SchemaRef,
        makers: &Arc<[Maker]>,
        place: (u64, u64),
        row: u64,
        end: Option<u64>,
        request: &ReadRequest,
    ) -> Result<Self, ConnectError> {
        let columns = request.columns(name, schema)?;
        let made = Schema::new(columns.iter().map(|i| schema.field(*i).clone()).collect::<Vec<_>>());
        // What is made is the projection already; only the dictionaries are left to the shaper.
        let words = &request.strings_as_dictionary;
        let words = (0..columns.len()).filter(|i| words.contains(&columns[*i])).collect();
        let rest = ReadRequest { strings_as_dictionary: words, ..ReadRequest::default() };
        Ok(Self {
            makers: makers.clone(),
            shaper: Shaper::new(name, &made, &rest)?,
            made: Arc::new(made),
            columns,
            place,
            row,
            end,
            morsel_rows: request.morsel_rows.max(1),
            gate: PauseGate::default(),
            counters: ReadCounters::default(),
        })
    }

    fn make(&self, count: usize) -> Result<RecordBatch, ConnectError> {
        let (offset, step) = self.place;
        let rows = Rows { first: self.row, count, offset, step };
        let columns = self.columns.iter().map(|i| self.makers[*i].make(rows)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let batch = RecordBatch::try_new_with_options(self.made.clone(), columns, &options)
            .map_err(|error| ConnectError::arrow("generator", error))?;
        self.shaper.shape(&batch)
    }
}

impl PartitionReader for GeneratorReader {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<SourceItem>, ConnectError>> {
        if self.gate.holds(cx) {
            return Poll::Pending;
        }
        let left = self.end.map_or(u64::MAX, |end| end - self.row);
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(self.morsel_rows);
        if count == 0 {
            return Poll::Ready(Ok(None));
        }
        let batch = self.make(count)?;
        let first_row = self.row;
        self.row += count as u64;
        self.counters.rows += count as u64;
        self.counters.bytes += batch_bytes(&batch);
        Poll::Ready(Ok(Some(SourceItem::Rows { batch, first_row })))
    }

    fn position(&self) -> Position {
        Position::at_row(self.row)
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
