//! How a reader gets work done without blocking whoever polls it.
//!
//! A reader is polled on an engine worker that must step other tasks as well, so anything longer than
//! cutting a slice is handed to a [`Spawner`] as a job, and the job wakes the reader's waker when its
//! result is there. The engine's spawner puts jobs on the engine's own pool; the two here need no
//! engine.

use std::fmt::Debug;
use std::num::NonZero;
use std::thread;

/// A piece of work that runs once, somewhere else.
pub type Job = Box<dyn FnOnce() + Send>;

/// Runs jobs for readers.
///
/// A job never waits for another job, so any number of threads will do, one included. A spawner may
/// run the job before `spawn` returns: callers hold no lock across `spawn`.
pub trait Spawner: Debug + Send + Sync {
    /// Runs `job`, soon. Jobs that are spawned first should begin first: a reader spawns them in the order
    /// in which it needs their results.
    fn spawn(&self, job: Job);

    /// How many jobs can run at the same time; readers begin little more than that.
    fn threads(&self) -> usize {
        thread::available_parallelism().map_or(1, NonZero::get)
    }
}

/// Runs every job at once on the thread that spawns it: no look-ahead, no threads.
///
/// ```
/// # use sabot_connect::{InlineSpawner, Spawner};
/// let (done, doing) = std::sync::mpsc::channel();
/// InlineSpawner.spawn(Box::new(move || drop(done.send(1))));
/// assert_eq!(doing.try_recv(), Ok(1));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct InlineSpawner;

impl Spawner for InlineSpawner {
    fn spawn(&self, job: Job) {
        job();
    }

    fn threads(&self) -> usize {
        1
    }
}

/// Runs every job on a thread of its own, for tests and tools without an engine.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThreadSpawner;

impl Spawner for ThreadSpawner {
    fn spawn(&self, job: Job) {
        // The thread ends with its job; whoever spawned it learns of that through its waker.
        drop(thread::spawn(job));
    }
}
