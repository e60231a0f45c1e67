//! Checkpoints of a running job: what its tasks report, and who listens.
//!
//! The protocol is `sabot-checkpoint`'s, which knows no threads; here it meets the job. A barrier passes the
//! tasks, each of which reports what it holds as of the barrier and goes on. What is slow, writing blocks, manifests and
//! output, is done by the job's [`Driver`] on threads of its own.
//!
//! Stages that only feed the table of a lookup join take no part: the table is read anew by whoever resumes.

mod driver;
mod recover;
mod state;
mod topology;
mod upgrade;
mod writer;

use arrow::record_batch::RecordBatch;
use sabot_checkpoint::{
    BlockRef, CheckpointConfig, CheckpointStore, Cut, PartitionState, RestartStrategy, TaskId,
};
use sabot_common::{Epoch, KeyGroupRange};
use sabot_connect::Committable;
use sabot_state::block::Origin;
use sabot_state::{BlockMemory, Layer, Needed, NewBlock};
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
    /// No state any more.
    Nothing {
        groups: KeyGroupRange,
    },
    /// The end of a cut whose blocks have been sent before, with what [`CutPart::End`](sabot_stream::CutPart::End) has.
    Cut {
        groups: KeyGroupRange,
        /// Where its blocks were made, or why one could not be.
        layer: Result<Layer, String>,
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
    /// A block of a task's cut, whose end is an answer.
    Block {
        task: TaskId,
        epoch: Epoch,
        block: BlockRef,
        bytes: NewBlock,
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
#[derive(Debug)]
pub(crate) struct Reporter {
    task: TaskId,
    /// The newest epoch whose barrier has passed.
    passed: Epoch,
    line: Line,
    /// The cut that is under way, or why it cannot be stored.
    cut: Option<(Epoch, Result<Layer, String>)>,
}

/// What the tasks of a job share to report.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    to: Sender<Message>,
    /// Of the job's run.
    generation: u64,
    memory: BlockMemory,
}

impl Line {
    pub(crate) fn new(to: Sender<Message>, generation: u64) -> Self {
        Self { to, generation, memory: BlockMemory::default() }
    }
}

impl Reporter {
    pub(crate) fn new(task: TaskId, line: Line) -> Self {
        Self { task, passed: Epoch(0), line, cut: None }
    }

    /// Some of what the task holds as of a barrier.
    ///
    /// It is put into blocks here and not by the driver: rows that were just gathered are still in the cache of this
    /// thread, and their memory is used again for the next ones.
    pub(crate) fn rows(&mut self, epoch: Epoch, groups: KeyGroupRange, rows: Vec<RecordBatch>) {
        let layer = self.cut_of(epoch, groups);
        let Ok(into) = layer else { return };
        let (mut full, mut failed) = (Vec::new(), None);
        for rows in rows {
            match into.add(rows) {
                Ok(block) => full.extend(block),
                Err(error) => failed = failed.or(Some(error.to_string())),
            }
        }
        if let Some(reason) = failed {
            *layer = Err(reason);
        }
        for (block, bytes) in full {
            let _ = self.line.to.send(Message::Block { task: self.task, epoch, block, bytes });
        }
    }

    /// All of the cut of an epoch is said.
    pub(crate) fn end_of_cut(
        &mut self,
        epoch: Epoch,
        groups: KeyGroupRange,
        head: Vec<RecordBatch>,
        needed: Needed,
    ) {
        self.cut_of(epoch, groups);
        if let Some((_, layer)) = self.cut.take() {
            self.answer(epoch, Report::Cut { groups, layer, head, needed });
        }
    }

    fn cut_of(&mut self, epoch: Epoch, groups: KeyGroupRange) -> &mut Result<Layer, String> {
        let Line { generation, memory, .. } = &self.line;
        let begin = || {
            let origin = Origin { generation: *generation, epoch };
            (epoch, Ok(Layer::new(groups, origin, memory)))
        };
        // Of another one nobody waits for more.
        self.cut.take_if(|(of, _)| *of != epoch);
        &mut self.cut.get_or_insert_with(begin).1
    }

    /// A barrier has passed, and all of what the task held then is said.
    pub(crate) fn answer(&mut self, epoch: Epoch, report: Report) {
        self.passed = epoch;
        // Nobody listens once the job is over, and then nothing of it is kept.
        let _ = self.line.to.send(Message::Answered { task: self.task, epoch, report });
    }

    /// The task has come to its end.
    pub(crate) fn end(&self, last: Report) {
        let _ = self.line.to.send(Message::Ended { task: self.task, passed: self.passed, last });
    }
}
