//! A source that makes up as many bytes as are asked for, one morsel at a time.

use arrow::array::{ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use sabot_connect::{
    Boundedness, ConnectError, PartitionId, PartitionReader, Position, ReadCounters, ReadRequest, Source,
    SourceItem, Spawner,
};
use std::sync::Arc;
use std::task::{Context, Poll};

/// Bytes of a row: a time, two integers, and a string of 32 with its offset.
const ROW_BYTES: usize = 3 * 8 + 32 + 4;
const PARTITIONS: u64 = 4;

/// Rows in four partitions.
#[derive(Debug)]
pub(crate) struct MadeUp {
    rows_per_partition: u64,
    schema: SchemaRef,
}

impl MadeUp {
    /// At least this many bytes.
    pub(crate) fn new(bytes: usize) -> Self {
        let schema = Schema::new(vec![
            Field::new("t", DataType::Timestamp(TimeUnit::Microsecond, None), false),
            Field::new("a", DataType::Int64, false),
            Field::new("b", DataType::Int64, false),
            Field::new("k", DataType::Utf8, false),
        ]);
        let rows = bytes.div_ceil(ROW_BYTES) as u64;
        Self { rows_per_partition: rows.div_ceil(PARTITIONS), schema: Arc::new(schema) }
    }

    pub(crate) fn rows(&self) -> u64 {
        self.rows_per_partition * PARTITIONS
    }
}

impl Source for MadeUp {
    fn name(&self) -> String {
        "made up".to_owned()
    }

    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }

    fn replayable(&self) -> bool {
        true
    }

    fn claim(&self) -> Result<(), ConnectError> {
        Ok(())
    }

    fn discover(&self) -> Result<Vec<PartitionId>, ConnectError> {
        Ok((0..PARTITIONS).map(|i| PartitionId::new(format!("made up/{i}"))).collect())
    }

    fn open(
        &self,
        _partition: &PartitionId,
        from: Option<&Position>,
        request: &ReadRequest,
        _spawner: &Arc<dyn Spawner>,
    ) -> Result<Box<dyn PartitionReader>, ConnectError> {
        let columns = request.columns("made up", &self.schema)?;
        let morsel = request.morsel_rows as u64;
        let next = from.map_or(0, |position| position.row);
        Ok(Box::new(Reader {
            columns,
            schema: self.schema.clone(),
            next,
            rows: self.rows_per_partition,
            morsel,
        }))
    }
}

struct Reader {
    columns: Vec<usize>,
    schema: SchemaRef,
    next: u64,
    rows: u64,
    morsel: u64,
}

impl PartitionReader for Reader {
    fn poll_next(&mut self, _cx: &mut Context<'_>) -> Poll<Result<Option<SourceItem>, ConnectError>> {
        let rows = self.morsel.min(self.rows - self.next);
        if rows == 0 {
            return Poll::Ready(Ok(None));
        }
        let first_row = self.next;
        self.next += rows;
        let numbers = || (first_row..first_row + rows).map(|row| row as i64);
        let all: [ArrayRef; 4] = [
            Arc::new(TimestampMicrosecondArray::from_iter_values(numbers().map(|row| row * 100))),
            Arc::new(Int64Array::from_iter_values(numbers())),
            Arc::new(Int64Array::from_iter_values(numbers().map(|row| row % 1_000))),
            Arc::new(StringArray::from_iter_values(numbers().map(|row| format!("key {:28}", row % 50)))),
        ];
        let batch =
            RecordBatch::try_new(self.schema.clone(), all.to_vec()).and_then(|b| b.project(&self.columns));
        let batch = batch.map_err(|error| ConnectError::arrow("made up", error))?;
        Poll::Ready(Ok(Some(SourceItem::Rows { batch, first_row })))
    }

    fn position(&self) -> Position {
        Position::at_row(self.next)
    }

    fn pause(&mut self) {}

    fn resume(&mut self) {}

    fn counters(&self) -> ReadCounters {
        ReadCounters::default()
    }
}
