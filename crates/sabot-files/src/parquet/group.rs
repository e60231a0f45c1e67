//! One row group, decoded by jobs in slices of the look-ahead.
//!
//! A [`Group`] is shared between the reader, which takes batches from its front, and the one job that
//! may be decoding it. A job decodes until the row group ends or the reader's look-ahead is full; then it
//! puts the decoder back and ends, and the reader starts another when there is room again. So no job ever
//! waits, and a row group of any size needs no more memory than the look-ahead.
//!
//! The invariant that keeps wakes from being lost: a job parks only while a decoded batch lies in the
//! group, and the reader, finding none and no job, starts one.

use arrow::record_batch::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use sabot_connect::{ConnectError, Job, batch_bytes};
use std::collections::VecDeque;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use super::{corrupt, parquet_error};

/// What all row groups of a reader share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) path: Arc<Path>,
    pub(super) metadata: ArrowReaderMetadata,
    /// The columns to read, which come out in the order of the file.
    pub(super) columns: Vec<usize>,
    /// For each column to deliver, its place among those read.
    pub(super) order: Vec<usize>,
    pub(super) batch_rows: usize,
    pub(super) look_ahead_bytes: u64,
    /// Decoded bytes that lie in row groups and have not been taken.
    pub(super) held_bytes: AtomicU64,
    /// The reader is gone: jobs end at the next batch.
    pub(super) cancelled: AtomicBool,
}

/// A row group that is being decoded.
#[derive(Debug)]
pub(super) struct Group {
    shared: Arc<Shared>,
    index: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    decoder: Decoder,
    ready: VecDeque<RecordBatch>,
    failed: Option<ConnectError>,
    waker: Option<Waker>,
}

enum Decoder {
    /// Not begun; the first rows are to be left out.
    New { skip_rows: usize },
    /// Between two jobs.
    Parked(Box<ParquetRecordBatchReader>),
    /// With the job that decodes now.
    Running,
    /// At its end, or failed.
    Done,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Decoder::New { .. } => "New",
            Decoder::Parked(_) => "Parked",
            Decoder::Running => "Running",
            Decoder::Done => "Done",
        })
    }
}

/// What the reader finds at the front of a group.
pub(super) enum Front {
    Batch(RecordBatch),
    End,
    /// Nothing yet; this job, if any, must be started.
    Wait(Option<Job>),
}

impl Group {
    pub(super) fn new(shared: Arc<Shared>, index: usize, skip_rows: usize) -> Arc<Self> {
        let decoder = Decoder::New { skip_rows };
        let state = State { decoder, ready: VecDeque::new(), failed: None, waker: None };
        Arc::new(Self { shared, index, state: Mutex::new(state) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Decoders run outside the lock, so a poisoned state is still a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next batch for the reader.
    pub(super) fn poll_front(self: &Arc<Self>, cx: &Context<'_>) -> Result<Front, ConnectError> {
        let mut state = self.lock();
        if let Some(batch) = state.ready.pop_front() {
            self.shared.held_bytes.fetch_sub(batch_bytes(&batch), Ordering::Relaxed);
            return Ok(Front::Batch(batch));
        }
        if let Some(error) = state.failed.take() {
            return Err(error);
        }
        if matches!(state.decoder, Decoder::Done) {
            return Ok(Front::End);
        }
        state.waker = Some(cx.waker().clone());
        Ok(Front::Wait(self.start_locked(&mut state)))
    }

    /// A job that decodes on, if there is something to decode and no job does.
    pub(super) fn start(self: &Arc<Self>) -> Option<Job> {
        self.start_locked(&mut self.lock())
    }

    fn start_locked(self: &Arc<Self>, state: &mut State) -> Option<Job> {
        let decoder = match std::mem::replace(&mut state.decoder, Decoder::Running) {
            Decoder::Running => return None,
            Decoder::Done => {
                state.decoder = Decoder::Done;
                return None;
            }
            runnable => runnable,
        };
        let group = self.clone();
        Some(Box::new(move || group.run(decoder)))
    }

    /// Decodes until the end or until the look-ahead is full. A panic of the decoder, which broken input
    /// can cause, becomes an error: otherwise the reader would wait for ever.
    fn run(&self, decoder: Decoder) {
        let outcome = catch_unwind(AssertUnwindSafe(|| self.decode(decoder)))
            .unwrap_or_else(|_| Err(corrupt(&self.shared.path, &self.place(), "the decoder panicked")));
        if let Err(error) = outcome {
            let mut state = self.lock();
            state.decoder = Decoder::Done;
            state.failed = Some(error);
            wake(state);
        }
    }

    fn decode(&self, decoder: Decoder) -> Result<(), ConnectError> {
        let mut reader = match decoder {
            Decoder::New { skip_rows } => Box::new(self.open(skip_rows)?),
            Decoder::Parked(reader) => reader,
            Decoder::Running | Decoder::Done => return Ok(()),
        };
        while !self.shared.cancelled.load(Ordering::Relaxed) {
            let Some(batch) = reader.next() else { break };
            let batch = batch
                .and_then(|batch| batch.project(&self.shared.order))
                .map_err(|error| corrupt(&self.shared.path, &self.place(), &error.to_string()))?;
            let bytes = batch_bytes(&batch);
            let held = self.shared.held_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
            let mut state = self.lock();
            state.ready.push_back(batch);
            // The batch is there under this lock, so the reader will find it and start the next job.
            if held >= self.shared.look_ahead_bytes {
                state.decoder = Decoder::Parked(reader);
                wake(state);
                return Ok(());
            }
            wake(state);
        }
        let mut state = self.lock();
        state.decoder = Decoder::Done;
        wake(state);
        Ok(())
    }

    fn open(&self, skip_rows: usize) -> Result<ParquetRecordBatchReader, ConnectError> {
        let shared = &self.shared;
        // A handle of its own: the clones of one handle share their place in the file.
        let file = File::open(&shared.path).map_err(|e| ConnectError::io("open", &*shared.path, e))?;
        let mask = ProjectionMask::roots(shared.metadata.parquet_schema(), shared.columns.iter().copied());
        ParquetRecordBatchReaderBuilder::new_with_metadata(file, shared.metadata.clone())
            .with_row_groups(vec![self.index])
            .with_projection(mask)
            .with_offset(skip_rows)
            .with_batch_size(shared.batch_rows)
            .build()
            .map_err(|error| parquet_error(&shared.path, &self.place(), error))
    }

    fn place(&self) -> String {
        format!("row group {}", self.index)
    }
}

fn wake(mut state: MutexGuard<'_, State>) {
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}
