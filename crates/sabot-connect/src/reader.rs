//! An application's `RecordBatchReader` as a source.

use arrow::array::RecordBatchReader;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use crate::pull::{Pull, PullReader, only_from_start};
use crate::shape::Shaper;
use crate::source::unknown_partition;
use crate::{
    Boundedness, ConnectError, PartitionId, PartitionReader, Position, ReadRequest, Source, Spawner,
};

/// A bounded source of one partition that pulls batches from a reader, one each time it has nothing left
/// to cut. It can be read once. The reader runs on the engine's threads, so one that waits for something
/// outside holds a worker while it does; such input belongs into a channel.
pub struct ReaderSource {
    name: Arc<str>,
    schema: SchemaRef,
    claimed: AtomicBool,
    reader: Mutex<Option<Box<dyn RecordBatchReader + Send>>>,
}

impl ReaderSource {
    /// A source of what `reader` yields.
    pub fn new(name: impl Into<Arc<str>>, reader: Box<dyn RecordBatchReader + Send>) -> Self {
        let schema = reader.schema();
        Self { name: name.into(), schema, claimed: false.into(), reader: Mutex::new(Some(reader)) }
    }
}

impl fmt::Debug for ReaderSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReaderSource").field("name", &self.name).field("schema", &self.schema).finish()
    }
}

impl Source for ReaderSource {
    fn name(&self) -> String {
        format!("reader {}", self.name)
    }

    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }

    fn replayable(&self) -> bool {
        false
    }

    fn claim(&self) -> Result<(), ConnectError> {
        match self.claimed.swap(true, Ordering::AcqRel) {
            false => Ok(()),
            true => Err(ConnectError::AlreadyClaimed { name: self.name() }),
        }
    }

    fn discover(&self) -> Result<Vec<PartitionId>, ConnectError> {
        Ok(vec![PartitionId::new(self.name.clone())])
    }

    fn open(
        &self,
        partition: &PartitionId,
        from: Option<&Position>,
        request: &ReadRequest,
        _spawner: &Arc<dyn Spawner>,
    ) -> Result<Box<dyn PartitionReader>, ConnectError> {
        if partition.as_str() != &*self.name {
            return Err(unknown_partition(&self.name(), partition, &self.discover()?));
        }
        only_from_start(self.name(), "reader", from)?;
        let shaper = Shaper::new(self.name(), &self.schema, request)?;
        let taken = self.reader.lock().unwrap_or_else(PoisonError::into_inner).take();
        let reader = taken.ok_or_else(|| ConnectError::AlreadyClaimed { name: self.name() })?;
        Ok(Box::new(PullReader::new(Pulled { name: self.name(), reader: Some(reader) }, shaper, request)))
    }
}

struct Pulled {
    name: String,
    /// Gone after its end, so that it is never asked again.
    reader: Option<Box<dyn RecordBatchReader + Send>>,
}

impl Pull for Pulled {
    fn poll_batch(&mut self, _cx: &mut Context<'_>) -> Poll<Result<Option<RecordBatch>, ConnectError>> {
        let next = self.reader.as_mut().and_then(Iterator::next).transpose();
        if !matches!(next, Ok(Some(_))) {
            self.reader = None;
        }
        Poll::Ready(next.map_err(|source| ConnectError::Reader { name: self.name.clone(), source }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::InlineSpawner;
    use crate::testing::{drain, int_batch, ints};
    use arrow::array::RecordBatchIterator;
    use arrow::error::ArrowError;

    fn open(source: &ReaderSource) -> Result<Box<dyn PartitionReader>, ConnectError> {
        let spawner: Arc<dyn Spawner> = Arc::new(InlineSpawner);
        let request = ReadRequest { morsel_rows: 2, ..Default::default() };
        source.open(&source.discover()?[0], None, &request, &spawner)
    }

    #[test]
    fn batches_are_pulled_cut_and_read_once() {
        let batches = vec![Ok(int_batch(&[1, 2, 3])), Ok(int_batch(&[])), Ok(int_batch(&[4]))];
        let reader = RecordBatchIterator::new(batches, int_batch(&[]).schema());
        let source = ReaderSource::new("mine", Box::new(reader));
        source.claim().unwrap();
        let refused = source.claim().unwrap_err().to_string();
        assert!(refused.starts_with("reader mine is already claimed by a job"), "{refused}");
        let items = drain(&mut *open(&source).unwrap()).unwrap();
        let rows: Vec<(u64, Vec<i64>)> = items.iter().map(|(first, b)| (*first, ints(b))).collect();
        assert_eq!(rows, [(0, vec![1, 2]), (2, vec![3]), (3, vec![4])]);
        assert!(matches!(open(&source), Err(ConnectError::AlreadyClaimed { .. })));
    }

    #[test]
    fn an_error_of_the_reader_names_it_and_ends_it() {
        let batches = vec![Err(ArrowError::ComputeError("disk on fire".into())), Ok(int_batch(&[1]))];
        let reader = RecordBatchIterator::new(batches, int_batch(&[]).schema());
        let source = ReaderSource::new("mine", Box::new(reader));
        let mut reader = open(&source).unwrap();
        let failed = drain(&mut *reader).unwrap_err().to_string();
        assert!(failed.contains("reader mine") && failed.contains("disk on fire"), "{failed}");
        assert!(drain(&mut *reader).unwrap().is_empty());
    }
}
