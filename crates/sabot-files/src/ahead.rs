//! Decoding ahead of the reader, by jobs that never wait.
//!
//! An [`Ahead`] holds one decoder. It is shared between the reader, which takes batches from its front,
//! and the one job that may be decoding. A job decodes until its input ends or the look-ahead is full;
//! then it puts the decoder back and ends, and the reader starts another job when there is room again. So
//! input of any size needs no more memory than the look-ahead and one batch.
//!
//! The invariant that keeps wakes from being lost: a job parks only while a decoded piece lies in front,
//! and the reader, finding neither piece nor job, starts a job.

use arrow::record_batch::RecordBatch;
use sabot_connect::{ConnectError, DeadLetter, Job, Position, batch_bytes};
use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

/// A run of a file's records.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Records that are rows.
    Rows(RecordBatch),
    /// Records that cannot be read.
    Rejected(Vec<DeadLetter>),
}

impl Piece {
    fn bytes(&self) -> u64 {
        match self {
            Piece::Rows(batch) => batch_bytes(batch),
            Piece::Rejected(letters) => letters.iter().map(|letter| letter.bytes.len() as u64).sum(),
        }
    }
}

/// Turns a part of a file into pieces.
pub(crate) trait Decode: Send {
    /// The next piece and the position after it; `None` at the end.
    fn next(&mut self) -> Result<Option<(Piece, Position)>, ConnectError>;
}

/// The look-ahead that all parts of one reader share.
#[derive(Debug)]
pub(crate) struct Budget {
    path: Arc<Path>,
    format: &'static str,
    look_ahead_bytes: u64,
    /// Decoded bytes that have not been taken.
    held_bytes: AtomicU64,
    /// The reader is gone: jobs end at the next batch.
    cancelled: AtomicBool,
}

impl Budget {
    pub(crate) fn new(path: Arc<Path>, format: &'static str, look_ahead_bytes: usize) -> Arc<Self> {
        let look_ahead_bytes = look_ahead_bytes as u64;
        Arc::new(Self { path, format, look_ahead_bytes, held_bytes: 0.into(), cancelled: false.into() })
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.look_ahead_bytes
    }

    /// Whether parked decoders may go on: not before half of the look-ahead is free, since anything
    /// earlier would mean a job for every batch.
    pub(crate) fn has_room(&self) -> bool {
        self.held_bytes.load(Ordering::Relaxed) <= self.look_ahead_bytes / 2
    }

    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

/// A decoder with what it has decoded.
#[derive(Debug)]
pub(crate) struct Ahead {
    budget: Arc<Budget>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    decoder: Decoder,
    ready: VecDeque<(Piece, Position)>,
    failed: Option<ConnectError>,
    waker: Option<Waker>,
}

enum Decoder {
    /// With nobody: a job may take it.
    Parked(Box<dyn Decode>),
    /// With the job that decodes now.
    Running,
    /// At its end, or failed.
    Done,
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Decoder::Parked(_) => "Parked",
            Decoder::Running => "Running",
            Decoder::Done => "Done",
        })
    }
}

/// What the reader finds in front.
pub(crate) enum Front {
    /// A piece and the position after it.
    Piece(Piece, Position),
    /// Nothing, for ever.
    End,
    /// Nothing yet; this job, if any, must be started.
    Wait(Option<Job>),
}

impl Ahead {
    pub(crate) fn new(budget: Arc<Budget>, decoder: Box<dyn Decode>) -> Arc<Self> {
        let decoder = Decoder::Parked(decoder);
        let state = State { decoder, ready: VecDeque::new(), failed: None, waker: None };
        Arc::new(Self { budget, state: Mutex::new(state) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Decoders run outside the lock, so a poisoned state is still a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is in front for the reader.
    pub(crate) fn poll_front(self: &Arc<Self>, cx: &Context<'_>) -> Result<Front, ConnectError> {
        let mut state = self.lock();
        if let Some((piece, position)) = state.ready.pop_front() {
            self.budget.held_bytes.fetch_sub(piece.bytes(), Ordering::Relaxed);
            return Ok(Front::Piece(piece, position));
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
    pub(crate) fn start(self: &Arc<Self>) -> Option<Job> {
        self.start_locked(&mut self.lock())
    }

    fn start_locked(self: &Arc<Self>, state: &mut State) -> Option<Job> {
        match std::mem::replace(&mut state.decoder, Decoder::Running) {
            Decoder::Running => None,
            Decoder::Done => {
                state.decoder = Decoder::Done;
                None
            }
            Decoder::Parked(decoder) => {
                let this = self.clone();
                Some(Box::new(move || this.run(decoder)))
            }
        }
    }

    /// Decodes until the end or until the look-ahead is full. A panic of the decoder, which broken input
    /// can cause in a library, becomes an error: otherwise the reader would wait for ever.
    fn run(&self, decoder: Box<dyn Decode>) {
        let outcome = catch_unwind(AssertUnwindSafe(|| self.decode(decoder))).unwrap_or_else(|_| {
            let reason = "the decoder panicked".to_owned();
            Err(ConnectError::Corrupt {
                path: self.budget.path.to_path_buf(),
                format: self.budget.format,
                reason,
            })
        });
        if let Err(error) = outcome {
            let mut state = self.lock();
            state.decoder = Decoder::Done;
            state.failed = Some(error);
            wake(state);
        }
    }

    fn decode(&self, mut decoder: Box<dyn Decode>) -> Result<(), ConnectError> {
        while !self.budget.cancelled.load(Ordering::Relaxed) {
            let Some((piece, position)) = decoder.next()? else { break };
            let bytes = piece.bytes();
            let held = self.budget.held_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
            let mut state = self.lock();
            state.ready.push_back((piece, position));
            if held >= self.budget.look_ahead_bytes {
                // The piece is there under this lock, so the reader finds it and starts the next job.
                state.decoder = Decoder::Parked(decoder);
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
}

fn wake(mut state: MutexGuard<'_, State>) {
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int64Array};
    use std::task::Context;

    struct Script(Vec<Option<i64>>);

    impl Decode for Script {
        fn next(&mut self) -> Result<Option<(Piece, Position)>, ConnectError> {
            let Some(step) = self.0.pop() else { return Ok(None) };
            let value = step.expect("a planted panic");
            let column: ArrayRef = Arc::new(Int64Array::from(vec![value]));
            let batch = RecordBatch::try_from_iter([("v", column)]).unwrap();
            Ok(Some((Piece::Rows(batch), Position::at_row(1))))
        }
    }

    fn ahead(steps: Vec<Option<i64>>, look_ahead: usize) -> Arc<Ahead> {
        Ahead::new(Budget::new(Path::new("x").into(), "test", look_ahead), Box::new(Script(steps)))
    }

    fn front(ahead: &Arc<Ahead>) -> Result<Front, ConnectError> {
        ahead.poll_front(&Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_job_parks_when_the_look_ahead_is_full_and_is_started_again() {
        let ahead = ahead(vec![Some(1); 5], 16);
        let mut jobs = 0;
        let mut rows = 0;
        loop {
            match front(&ahead).unwrap() {
                Front::Piece(Piece::Rows(batch), _) => rows += batch.num_rows(),
                Front::Piece(Piece::Rejected(_), _) => panic!("nothing is rejected here"),
                Front::End => break,
                Front::Wait(job) => {
                    jobs += 1;
                    job.unwrap()();
                }
            }
        }
        // Two values of eight bytes fill the look-ahead.
        assert_eq!((rows, jobs), (5, 3));
    }

    #[test]
    fn only_one_job_runs_at_a_time() {
        let ahead = ahead(vec![Some(1)], 16);
        let job = ahead.start().unwrap();
        assert!(ahead.start().is_none());
        assert!(matches!(front(&ahead).unwrap(), Front::Wait(None)));
        job();
        assert!(matches!(front(&ahead).unwrap(), Front::Piece(..)));
        assert!(matches!(front(&ahead).unwrap(), Front::End));
    }

    #[test]
    fn a_panic_in_a_decoder_is_an_error_behind_what_was_decoded() {
        let ahead = ahead(vec![None, Some(1)], 1 << 20);
        ahead.start().unwrap()();
        assert!(matches!(front(&ahead).unwrap(), Front::Piece(..)));
        let failed = front(&ahead).err().unwrap().to_string();
        assert_eq!(failed, "x is not a readable test file: the decoder panicked");
    }

    #[test]
    fn cancelled_jobs_end() {
        let ahead = ahead(vec![Some(1); 1000], usize::MAX);
        ahead.budget.cancel();
        ahead.start().unwrap()();
        assert!(matches!(front(&ahead).unwrap(), Front::End));
    }
}
