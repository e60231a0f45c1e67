//! A sink that keeps its rows in memory.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use sabot_batch::Morsel;
use sabot_common::Epoch;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use crate::sink::{check_schema, dense_rows};
use crate::{Committable, ConnectError, Sink, SinkOrder, SinkWriter};

/// Collects the rows of a job, in order; [`Collected`] has those of the committed epochs.
///
/// What it holds lives in this process. A job that starts again in the same process goes on where its
/// checkpoint says, and every row is there once; in another process only rows after the checkpoint are.
///
/// ```
/// use arrow::array::{ArrayRef, Int64Array, RecordBatch};
/// use sabot_common::Epoch;
/// use sabot_connect::{CollectSink, Sink};
/// let a: ArrayRef = std::sync::Arc::new(Int64Array::from(vec![1, 2]));
/// let batch = RecordBatch::try_from_iter([("a", a)])?;
/// let (sink, collected) = CollectSink::new("result");
/// let mut writer = sink.open(batch.schema(), 0)?;
/// writer.write(&batch.clone().into())?;
/// let staged = writer.stage(Epoch::FIRST)?;
/// assert!(collected.take().is_empty());
/// sink.commit(Epoch::FIRST, &[staged])?;
/// assert_eq!(collected.take(), [batch]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct CollectSink {
    name: Arc<str>,
    shared: Arc<Mutex<State>>,
}

/// The rows that a [`CollectSink`] has collected. Clones share them.
///
/// ```
/// # use arrow::datatypes::Schema;
/// # use sabot_connect::{CollectSink, Sink};
/// let (sink, collected) = CollectSink::new("result");
/// assert_eq!(collected.schema(), None);
/// sink.open(Schema::empty().into(), 0)?;
/// assert_eq!(collected.schema(), Some(Schema::empty().into()));
/// assert!(collected.take().is_empty());
/// # Ok::<(), sabot_connect::ConnectError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Collected {
    shared: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    schema: Option<SchemaRef>,
    staged: BTreeMap<(Epoch, u32), Vec<RecordBatch>>,
    committed: Vec<RecordBatch>,
    /// Whether the run has checkpoints, and the generation that stages, once it is known.
    resumed: Option<Option<u64>>,
}

fn lock(shared: &Mutex<State>) -> MutexGuard<'_, State> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl CollectSink {
    /// A sink and the handle to what it collects.
    #[allow(clippy::new_ret_no_self, reason = "the sink is of no use without the handle to its rows")]
    pub fn new(name: impl Into<Arc<str>>) -> (CollectSink, Collected) {
        let shared: Arc<Mutex<State>> = Arc::default();
        (CollectSink { name: name.into(), shared: shared.clone() }, Collected { shared })
    }
}

impl Collected {
    /// The schema, once a job has opened the sink.
    pub fn schema(&self) -> Option<SchemaRef> {
        lock(&self.shared).schema.clone()
    }

    /// The batches committed since the last call, in order.
    pub fn take(&self) -> Vec<RecordBatch> {
        std::mem::take(&mut lock(&self.shared).committed)
    }
}

impl Sink for CollectSink {
    fn name(&self) -> String {
        self.name.to_string()
    }

    fn order(&self) -> SinkOrder {
        SinkOrder::Ordered
    }

    fn accepts_changes(&self) -> bool {
        false
    }

    fn resume(&self, schema: SchemaRef) -> Result<(), ConnectError> {
        let mut state = lock(&self.shared);
        state.schema = Some(schema);
        state.resumed = Some(None);
        Ok(())
    }

    fn clean(&self, generation: u64) -> Result<(), ConnectError> {
        let mut state = lock(&self.shared);
        if state.resumed != Some(Some(generation)) {
            // Nothing is staged between the beginning of a run and this.
            state.staged.clear();
            state.resumed = Some(Some(generation));
        }
        Ok(())
    }

    fn open(&self, schema: SchemaRef, task: u32) -> Result<Box<dyn SinkWriter>, ConnectError> {
        lock(&self.shared).schema = Some(schema.clone());
        Ok(Box::new(CollectWriter {
            name: self.name(),
            schema,
            task,
            batches: Vec::new(),
            shared: self.shared.clone(),
        }))
    }

    fn commit(&self, epoch: Epoch, staged: &[Committable]) -> Result<(), ConnectError> {
        let mut state = lock(&self.shared);
        let all = state.resumed.is_some();
        let mut staged: Vec<_> = staged.iter().filter(|part| all || part.epoch == epoch).collect();
        staged.sort_by_key(|part| part.epoch);
        // What was committed before is no longer staged, so a second commit finds nothing to add.
        for part in staged {
            let batches = state.staged.remove(&(part.epoch, part.task)).unwrap_or_default();
            state.committed.extend(batches);
        }
        Ok(())
    }

    fn finish(&self) -> Result<(), ConnectError> {
        // The next run may be one without checkpoints.
        lock(&self.shared).resumed = None;
        Ok(())
    }

    fn abort(&self) -> Result<(), ConnectError> {
        let mut state = lock(&self.shared);
        if state.resumed.is_none() {
            state.staged.clear();
        }
        Ok(())
    }
}

struct CollectWriter {
    name: String,
    schema: SchemaRef,
    task: u32,
    batches: Vec<RecordBatch>,
    shared: Arc<Mutex<State>>,
}

impl SinkWriter for CollectWriter {
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn write(&mut self, morsel: &Morsel) -> Result<(), ConnectError> {
        let batch = dense_rows(&self.name, morsel)?;
        check_schema(&self.name, &self.schema, batch.schema_ref())?;
        if batch.num_rows() > 0 {
            self.batches.push(batch);
        }
        Ok(())
    }

    fn stage(&mut self, epoch: Epoch) -> Result<Committable, ConnectError> {
        let batches = std::mem::take(&mut self.batches);
        let rows = batches.iter().map(|batch| batch.num_rows() as u64).sum();
        lock(&self.shared).staged.insert((epoch, self.task), batches);
        Ok(Committable { epoch, task: self.task, rows, parts: Vec::new() })
    }

    fn close(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{int_batch, ints, text_batch};
    use sabot_batch::{RowKind, RowKinds};

    #[test]
    fn epochs_appear_once_and_in_the_order_of_their_commit() {
        let (sink, collected) = CollectSink::new("result");
        let mut writer = sink.open(int_batch(&[]).schema(), 0).unwrap();
        writer.write(&int_batch(&[1, 2]).into()).unwrap();
        let first = writer.stage(Epoch(1)).unwrap();
        writer.write(&int_batch(&[3]).into()).unwrap();
        let second = writer.stage(Epoch(2)).unwrap();
        assert_eq!((first.rows, second.rows), (2, 1));
        for _ in 0..2 {
            sink.commit(Epoch(1), std::slice::from_ref(&first)).unwrap();
        }
        sink.abort().unwrap();
        sink.commit(Epoch(2), &[second]).unwrap();
        let values: Vec<i64> = collected.take().iter().flat_map(ints).collect();
        assert_eq!(values, [1, 2]);
    }

    fn stage(writer: &mut dyn SinkWriter, epoch: u64, values: &[i64]) -> Committable {
        writer.write(&int_batch(values).into()).unwrap();
        writer.stage(Epoch(epoch)).unwrap()
    }

    fn taken(collected: &Collected) -> Vec<i64> {
        collected.take().iter().flat_map(ints).collect()
    }

    #[test]
    fn a_job_that_goes_on_in_the_process_gives_every_row_once() {
        let (sink, collected) = CollectSink::new("result");
        let schema = int_batch(&[]).schema();
        sink.resume(schema.clone()).unwrap();
        sink.clean(1).unwrap();
        let mut writer = sink.open(schema.clone(), 0).unwrap();
        let first = stage(&mut *writer, 2, &[1]);
        for _ in 0..2 {
            sink.commit(Epoch(2), std::slice::from_ref(&first)).unwrap();
        }
        assert_eq!(taken(&collected), [1]);
        // Epoch 3 is given up and comes with the next, which a checkpoint names before the job fails.
        let named = [stage(&mut *writer, 3, &[2]), stage(&mut *writer, 4, &[3])];
        let _lost = stage(&mut *writer, 5, &[4]);
        sink.abort().unwrap();
        sink.resume(schema.clone()).unwrap();
        for _ in 0..2 {
            let swapped = [named[1].clone(), named[0].clone()];
            sink.commit(Epoch(4), &swapped).unwrap();
        }
        sink.clean(2).unwrap();
        let mut writer = sink.open(schema, 0).unwrap();
        // A new try may use the number of an epoch of which no checkpoint came to be.
        let again = stage(&mut *writer, 5, &[5]);
        sink.clean(2).unwrap();
        sink.commit(Epoch(5), &[again]).unwrap();
        sink.finish().unwrap();
        assert_eq!(taken(&collected), [2, 3, 5]);
    }

    #[test]
    fn changes_and_other_columns_are_refused() {
        let (sink, _collected) = CollectSink::new("result");
        let mut writer = sink.open(int_batch(&[]).schema(), 0).unwrap();
        let kinds = RowKinds::PerRow([RowKind::Delete].into());
        let delete = Morsel::new(int_batch(&[1])).with_kinds(kinds).unwrap();
        let refused = writer.write(&delete).unwrap_err().to_string();
        assert_eq!(refused, "result takes only inserted rows; it was given updates or deletes");
        assert!(matches!(writer.write(&text_batch(&["x"]).into()), Err(ConnectError::SchemaMismatch { .. })));
    }
}
