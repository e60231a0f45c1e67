//! Batches in memory as a source.

use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::shape::{PauseGate, Shaper, batch_bytes};
use crate::sink::check_schema;
use crate::source::unknown_partition;
use crate::{
    Boundedness, ConnectError, PartitionId, PartitionReader, Position, ReadCounters, ReadRequest, Source,
    SourceItem, Spawner,
};

/// A bounded, replayable source of batches in memory.
///
/// Each partition is a list of batches, read as one run of rows and cut anew: every morsel but the last
/// of a partition has exactly the size that was asked for, however the rows were batched. A morsel that
/// lies inside one batch shares its memory.
///
/// ```
/// use arrow::array::{ArrayRef, Int64Array, RecordBatch};
/// use sabot_connect::{MemorySource, Source};
/// let a: ArrayRef = std::sync::Arc::new(Int64Array::from(vec![1, 2]));
/// let batch = RecordBatch::try_from_iter([("a", a)])?;
/// let source = MemorySource::new("orders", batch.schema(), vec![vec![batch.clone()], vec![batch]])?;
/// assert_eq!(source.discover()?.len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct MemorySource {
    name: Arc<str>,
    schema: SchemaRef,
    partitions: Vec<Partition>,
}

#[derive(Debug)]
struct Partition {
    id: PartitionId,
    batches: Arc<[RecordBatch]>,
}

impl MemorySource {
    /// A source of these partitions. Batches without rows are left out.
    ///
    /// # Errors
    /// [`ConnectError::SchemaMismatch`] when a batch has other columns than `schema`.
    pub fn new(
        name: impl Into<Arc<str>>,
        schema: SchemaRef,
        partitions: Vec<Vec<RecordBatch>>,
    ) -> Result<Self, ConnectError> {
        let name = name.into();
        let alone = partitions.len() == 1;
        let mut checked = Vec::with_capacity(partitions.len());
        for (i, batches) in partitions.into_iter().enumerate() {
            let id =
                if alone { PartitionId::new(name.clone()) } else { PartitionId::new(format!("{name}/{i}")) };
            for batch in &batches {
                check_schema(id.as_str(), &schema, batch.schema_ref())?;
            }
            let batches = batches.into_iter().filter(|batch| batch.num_rows() > 0).collect();
            checked.push(Partition { id, batches });
        }
        Ok(Self { name, schema, partitions: checked })
    }
}

impl Source for MemorySource {
    fn name(&self) -> String {
        self.name.to_string()
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

    fn rows(&self) -> Option<u64> {
        let batches = self.partitions.iter().flat_map(|partition| partition.batches.iter());
        Some(batches.map(|batch| batch.num_rows() as u64).sum())
    }

    fn claim(&self) -> Result<(), ConnectError> {
        Ok(())
    }

    fn discover(&self) -> Result<Vec<PartitionId>, ConnectError> {
        Ok(self.partitions.iter().map(|partition| partition.id.clone()).collect())
    }

    fn open(
        &self,
        partition: &PartitionId,
        from: Option<&Position>,
        request: &ReadRequest,
        _spawner: &Arc<dyn Spawner>,
    ) -> Result<Box<dyn PartitionReader>, ConnectError> {
        let Some(found) = self.partitions.iter().find(|p| p.id == *partition) else {
            return Err(unknown_partition(&self.name, partition, &self.discover()?));
        };
        let shaper = Shaper::new(partition.as_str(), &self.schema, request)?;
        let row = from.map_or(0, |position| position.row);
        let Some((batch, offset)) = find_row(&found.batches, row) else {
            let reason = "the partition has fewer rows".to_owned();
            return Err(ConnectError::BadPosition { name: partition.to_string(), row, reason });
        };
        Ok(Box::new(MemoryReader {
            batches: found.batches.clone(),
            batch,
            offset,
            row,
            morsel_rows: request.morsel_rows.max(1),
            shaper,
            gate: PauseGate::default(),
            counters: ReadCounters::default(),
        }))
    }
}

/// The batch that row `row` lies in, and its place there; one past the last row is the end.
fn find_row(batches: &[RecordBatch], row: u64) -> Option<(usize, usize)> {
    let mut before = 0u64;
    for (i, batch) in batches.iter().enumerate() {
        let rows = batch.num_rows() as u64;
        if row < before + rows {
            return usize::try_from(row - before).ok().map(|offset| (i, offset));
        }
        before += rows;
    }
    (row == before).then_some((batches.len(), 0))
}

struct MemoryReader {
    batches: Arc<[RecordBatch]>,
    /// The batch to cut next, and how many of its rows are gone.
    batch: usize,
    offset: usize,
    row: u64,
    morsel_rows: usize,
    shaper: Shaper,
    gate: PauseGate,
    counters: ReadCounters,
}

impl MemoryReader {
    /// The next morsel, in the schema of the request.
    fn cut(&mut self) -> Result<Option<RecordBatch>, ConnectError> {
        let mut pieces: Vec<RecordBatch> = Vec::new();
        let mut wanted = self.morsel_rows;
        while wanted > 0
            && let Some(batch) = self.batches.get(self.batch)
        {
            let take = wanted.min(batch.num_rows() - self.offset);
            pieces.push(self.shaper.shape(&batch.slice(self.offset, take))?);
            wanted -= take;
            self.offset += take;
            if self.offset == batch.num_rows() {
                (self.batch, self.offset) = (self.batch + 1, 0);
            }
        }
        if pieces.len() <= 1 {
            return Ok(pieces.pop());
        }
        let rows = pieces.iter().map(RecordBatch::num_rows).sum();
        if self.shaper.schema().fields().is_empty() {
            return crate::shape::rows_only(self.shaper.schema(), rows).map(Some);
        }
        concat_batches(self.shaper.schema(), &pieces).map(Some).map_err(|e| ConnectError::arrow("memory", e))
    }
}

impl PartitionReader for MemoryReader {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<SourceItem>, ConnectError>> {
        if self.gate.holds(cx) {
            return Poll::Pending;
        }
        Poll::Ready(Ok(self.cut()?.map(|batch| {
            let first_row = self.row;
            self.row += batch.num_rows() as u64;
            self.counters.rows += batch.num_rows() as u64;
            self.counters.bytes += batch_bytes(&batch);
            SourceItem::Rows { batch, first_row }
        })))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::InlineSpawner;
    use crate::testing::{drain, int_batch, ints, noop_context};

    fn source(sizes: &[usize]) -> MemorySource {
        let mut next = 0i64;
        let batches = sizes
            .iter()
            .map(|n| {
                let values: Vec<i64> = (next..).take(*n).collect();
                next += *n as i64;
                int_batch(&values)
            })
            .collect();
        MemorySource::new("numbers", int_batch(&[]).schema(), vec![batches]).unwrap()
    }

    fn open(source: &MemorySource, from: Option<Position>, rows: usize) -> Box<dyn PartitionReader> {
        let spawner: Arc<dyn Spawner> = Arc::new(InlineSpawner);
        let request = ReadRequest { morsel_rows: rows, ..Default::default() };
        let partition = source.discover().unwrap().remove(0);
        source.open(&partition, from.as_ref(), &request, &spawner).unwrap()
    }

    #[test]
    fn morsels_have_the_size_asked_for_whatever_the_batches() {
        let source = source(&[1, 0, 5, 1, 1, 13]);
        for rows in [1usize, 2, 3, 7, 100] {
            let items = drain(&mut *open(&source, None, rows)).unwrap();
            assert!(items[..items.len() - 1].iter().all(|(_, batch)| batch.num_rows() == rows));
            let values: Vec<i64> = items.iter().flat_map(|(_, batch)| ints(batch)).collect();
            assert_eq!(values, (0..21).collect::<Vec<_>>());
        }
    }

    #[test]
    fn every_position_continues_with_the_next_row() {
        let source = source(&[2, 3, 4]);
        for row in 0..=9u64 {
            let items = drain(&mut *open(&source, Some(Position::at_row(row)), 2)).unwrap();
            let values: Vec<i64> = items.iter().flat_map(|(_, batch)| ints(batch)).collect();
            assert_eq!(values, (row as i64..9).collect::<Vec<_>>());
            assert!(items.first().is_none_or(|(first, _)| *first == row));
        }
        let spawner: Arc<dyn Spawner> = Arc::new(InlineSpawner);
        let partition = source.discover().unwrap().remove(0);
        let past = Position::at_row(10);
        let refused = source.open(&partition, Some(&past), &ReadRequest::default(), &spawner).err().unwrap();
        assert_eq!(refused.to_string(), "numbers cannot be read from row 10: the partition has fewer rows");
    }

    #[test]
    fn a_paused_reader_delivers_nothing_until_it_is_resumed() {
        let source = source(&[4]);
        let mut reader = open(&source, None, 2);
        reader.pause();
        noop_context(|cx| assert!(reader.poll_next(cx).is_pending()));
        reader.resume();
        assert_eq!(drain(&mut *reader).unwrap().len(), 2);
        assert_eq!((reader.position(), reader.counters().rows), (Position::at_row(4), 4));
    }

    #[test]
    fn empty_projections_count_rows() {
        let source = source(&[2, 3]);
        let spawner: Arc<dyn Spawner> = Arc::new(InlineSpawner);
        let request = ReadRequest { projection: Some(vec![]), ..Default::default() };
        let partition = source.discover().unwrap().remove(0);
        let mut reader = source.open(&partition, None, &request, &spawner).unwrap();
        let items = drain(&mut *reader).unwrap();
        assert_eq!((items.len(), items[0].1.num_rows(), items[0].1.num_columns()), (1, 5, 0));
    }

    #[test]
    fn batches_of_another_schema_are_refused() {
        let wanted = crate::testing::text_batch(&["x"]).schema();
        let refused = MemorySource::new("m", wanted, vec![vec![int_batch(&[1])]]).unwrap_err();
        assert_eq!(refused.to_string(), "m: column 1: expected \"s\" utf8, got \"a\" int64");
    }
}
