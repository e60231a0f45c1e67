//! Records that cannot be read, put aside instead of ending the job.
//!
//! A source that is told where to put them hands each job a [`DeadLetters`] of its own. The readers of
//! the job put letters into it *when they pass the place of the record*, as they would have delivered the
//! row, and it is committed, finished and aborted with the job's sinks. So a letter is visible exactly
//! when the rows around it are. In a job with checkpoints, what was put before a barrier belongs to the barrier's
//! epoch: the task that reads stages it, and it is committed with the output of that epoch.
//!
//! The invariant: every record of a partition is delivered as a row or put here once, however often the
//! partition is read in a job. What is malformed does not depend on which columns somebody reads, so two
//! readers of a partition find the same letters, and a place that was passed already is passed over.

use sabot_common::Epoch;
use std::sync::Arc;

use crate::{Committable, ConnectError, Sink};

/// A record that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The partition that it stands in: the path of a file.
    pub partition: Arc<str>,
    /// Its number there; the first record of data is 1, as in messages.
    pub record: u64,
    /// Where it begins in the partition, in bytes of uncompressed text.
    pub offset: u64,
    /// The column that is wrong, where it is one.
    pub column: Option<String>,
    /// What is wrong: what was expected, and what was found.
    pub reason: String,
    /// The whole record, byte by byte, its line end included.
    pub bytes: Vec<u8>,
}

/// Where the readers of one job put what they cannot read.
pub trait DeadLetters: Sink {
    /// A job without checkpoints takes the output, before its readers put anything. One with checkpoints does so by
    /// [`Sink::resume`].
    ///
    /// # Errors
    /// [`ConnectError::OutputBusy`] when another job writes there, and whatever else a sink refuses when it is opened.
    fn take(&self) -> Result<(), ConnectError>;

    /// Takes letters of the partition with this number, in order of their offset. Those before the place
    /// up to which the partition has been passed are there already.
    ///
    /// Gives the number of letters that are new.
    ///
    /// # Errors
    /// [`ConnectError::TooManyDeadLetters`] when there are more than the source allows; whatever keeps
    /// them from being written.
    fn put(&self, partition: u32, letters: &[DeadLetter]) -> Result<u64, ConnectError>;

    /// The partition with this number has been read to its end: what is held open for it can be closed.
    ///
    /// # Errors
    /// Whatever keeps its letters from being written.
    fn end(&self, partition: u32) -> Result<(), ConnectError>;

    /// Makes durable, for a job with checkpoints, what was put of some partitions since the last time: those of one
    /// task, by name. It becomes visible by [`Sink::commit`].
    ///
    /// # Errors
    /// Whatever keeps letters from being written.
    fn stage(&self, task: u32, partitions: &[Arc<str>], epoch: Epoch) -> Result<Committable, ConnectError>;
}
