//! Checkpoints of a running job: what its tasks report, and who listens.
//!
//! The protocol is `sabot-checkpoint`'s, which knows no threads; here it meets the job. A barrier passes the
//! tasks, each of which reports what it holds as of the barrier and goes on: a snapshot is a few batches, and what
//! is slow, encoding them and writing blocks, manifests and output, is done by the job's [`Driver`] on a thread of
//! its own.
//!
//! Stages that only feed the table of a lookup join take no part: the table is read anew by whoever resumes.

mod driver;
mod recover;
mod state;
mod topology;
mod upgrade;
mod writer;

use arrow::record_batch::RecordBatch;
use sabot_checkpoint::{CheckpointConfig, CheckpointStore, Cut, PartitionState, RestartStrategy, TaskId};
use sabot_common::{Epoch, KeyGroupRange};
use sabot_connect::Committable;
use sabot_state::Needed;
use std::sync::Arc;
use std::sync::mpsc::Sender;

pub(crate) use driver::Driver;
pub(crate) use recover::{Begin, Recovering, Watch};
pub(crate) use state::{Restore, Restored, position_bytes, position_of};
pub(crate) use topology::{Places, waiting};
pub use upgrade::upgrade;

/// Where a job keeps its checkpoints, and when it makes them.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    /// Where they are kept. A store belongs to one job.
    pub store: Arc<dyn CheckpointStore>,
    /// When epochs start, how long they may take, and how many are kept.
    pub config: CheckpointConfig,
    /// Whether a job that fails goes on from the newest one by itself.
    pub restart: RestartStrategy,
    /// Whether a job may start that no longer has sources or operators of the newest one, whose positions and state
    /// are then lost.
    pub may_drop: bool,
}

/// What a task holds as of a barrier, or in the end.
#[derive(Debug)]
pub(crate) enum Report {
    Positions(Vec<PartitionState>),
    State {
        groups: KeyGroupRange,
        batches: Vec<RecordBatch>,
    },
    /// The end of a cut whose rows have been sent before, with what [`CutPart::End`](sabot_stream::CutPart::End) has.
    Cut {
        groups: KeyGroupRange,
        head: Vec<RecordBatch>,
        needed: Needed,
    },
    Staged(Committable),
}

/// Where somebody waits to hear of a savepoint.
pub(crate) type Asker = Sender<Result<Epoch, String>>;

/// What the driver is told.
#[derive(Debug)]
pub(crate) enum Message {
    /// Rows of a task's cut, whose end is an answer.
    Rows {
        task: TaskId,
        epoch: Epoch,
        groups: KeyGroupRange,
        rows: Vec<RecordBatch>,
    },
    Answered {
        task: TaskId,
        epoch: Epoch,
        report: Report,
    },
    Ended {
        task: TaskId,
        passed: Epoch,
        last: Report,
    },
    Requested(Cut),
    /// Somebody wants a savepoint, and waits to hear of it.
    Savepoint(Asker),
    /// No task of the job is left.
    Gone,
}

/// A task's line to the driver of its job.
#[derive(Clone, Debug)]
pub(crate) struct Reporter {
    task: TaskId,
    /// The newest epoch whose barrier has passed.
    passed: Epoch,
    to: Sender<Message>,
}

impl Reporter {
    pub(crate) fn new(task: TaskId, to: Sender<Message>) -> Self {
        Self { task, passed: Epoch(0), to }
    }

    /// Some of what the task holds as of a barrier.
    pub(crate) fn rows(&self, epoch: Epoch, groups: KeyGroupRange, rows: Vec<RecordBatch>) {
        let _ = self.to.send(Message::Rows { task: self.task, epoch, groups, rows });
    }

    /// A barrier has passed, and all of what the task held then is said.
    pub(crate) fn answer(&mut self, epoch: Epoch, report: Report) {
        self.passed = epoch;
        // Nobody listens once the job is over, and then nothing of it is kept.
        let _ = self.to.send(Message::Answered { task: self.task, epoch, report });
    }

    /// The task has come to its end.
    pub(crate) fn end(&self, last: Report) {
        let _ = self.to.send(Message::Ended { task: self.task, passed: self.passed, last });
    }
}
