//! What the coordinator is told, and what it asks for.

use sabot_common::Epoch;
use std::sync::Arc;
use std::time::Duration;

use crate::{Answer, Attempts, BlockId, Manifest, Staged, TaskId, WriteOutcome};

/// When epochs start, how long they may take, and how many are kept.
///
/// ```
/// # use sabot_checkpoint::CheckpointConfig;
/// let config = CheckpointConfig::default();
/// assert_eq!((config.interval.map(|d| d.as_secs()), config.keep), (Some(10), 2));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CheckpointConfig {
    /// An epoch starts this long after the one before has started.
    pub interval: Option<Duration>,
    /// An epoch starts after so many rows were read.
    pub rows: Option<u64>,
    /// At least so much time lies between the end of an epoch and the start of the next.
    pub min_pause: Duration,
    /// Tasks that have not answered by then will not: the epoch is given up.
    pub timeout: Duration,
    /// How many cuts stay in the store, the newest included; less than 2 counts as 2.
    pub keep: u32,
    /// How many epochs in a row may be given up before the job fails.
    pub failures_tolerated: u32,
    /// How often a manifest, a commit or a finish is tried.
    pub attempts: Attempts,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self {
            interval: Some(Duration::from_secs(10)),
            rows: None,
            min_pause: Duration::ZERO,
            timeout: Duration::from_secs(600),
            keep: 2,
            failures_tolerated: 3,
            attempts: Attempts::default(),
        }
    }
}

/// Why a cut is made. Where several are asked for at once, the last of these is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cut {
    /// The job goes on, and the cut is the job's.
    Checkpoint,
    /// The job goes on, and the cut is whoever's asked for it.
    Savepoint,
    /// The job stops at the cut without firing windows.
    Suspend,
}

/// What the coordinator is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// Time has passed; due at [`crate::Coordinator::deadline`] at the latest. The first event of all.
    Tick,
    /// So many further rows were read.
    Rows(u64),
    /// Somebody wants a cut: a savepoint, or a savepoint and then the end.
    Requested(Cut),
    /// A task has passed the barrier of an epoch. A task answers epochs in order.
    Answered {
        /// The task.
        task: TaskId,
        /// The epoch.
        epoch: Epoch,
        /// What it contributes.
        answer: Answer,
    },
    /// A task has passed the barrier of an epoch and could not do its part. A sink that could not stage has
    /// lost rows, which fails the job; for others the epoch is given up.
    CouldNot {
        /// The task.
        task: TaskId,
        /// The epoch.
        epoch: Epoch,
        /// Why.
        reason: String,
    },
    /// A task has come to its end. It still answers barriers that it has passed before; for every later epoch its
    /// last answer stands: positions at the end, what was staged since the last barrier. State that is left is
    /// not kept.
    Ended {
        /// The task.
        task: TaskId,
        /// The newest epoch whose barrier it has passed; 0 when there was none.
        passed: Epoch,
        /// Its last answer.
        last: Answer,
    },
    /// What came of [`Action::WriteManifest`], found out by [`crate::write_manifest`].
    Wrote {
        /// The epoch.
        epoch: Epoch,
        /// What came of it.
        outcome: WriteOutcome,
    },
    /// What came of [`Action::Commit`]. An answer that was lost is an error.
    SinkCommitted {
        /// The sink.
        sink: u32,
        /// The epoch.
        epoch: Epoch,
        /// Why not.
        result: Result<(), String>,
    },
    /// What came of [`Action::Finish`]. An answer that was lost is an error.
    SinkFinished {
        /// The sink.
        sink: u32,
        /// Why not.
        result: Result<(), String>,
    },
    /// [`Action::DeleteManifests`] or [`Action::DeleteBlocks`] is over; what could not be deleted is tried
    /// again after a later epoch.
    Deleted {
        /// Whether all of it is gone.
        all: bool,
    },
}

/// What the coordinator asks for. Where an answer is named, the action has exactly one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Send a barrier from every source. Answered by every task, once.
    InjectBarrier {
        /// The epoch that it closes.
        epoch: Epoch,
        /// Why.
        cut: Cut,
    },
    /// Write a manifest with [`crate::write_manifest`]. Answered with [`Event::Wrote`].
    WriteManifest(Arc<Manifest>),
    /// Make what was staged visible. Answered with [`Event::SinkCommitted`]; it may come again, also from
    /// another process at the same time.
    Commit {
        /// The sink.
        sink: u32,
        /// The epoch that is committed.
        epoch: Epoch,
        /// What was staged, by this epoch and by earlier ones that were given up.
        staged: Vec<Staged>,
    },
    /// The job has come to its end and all is committed: complete the sink's output. Answered with
    /// [`Event::SinkFinished`]; it may come again.
    Finish {
        /// The sink.
        sink: u32,
    },
    /// Delete manifests, oldest first. Answered with [`Event::Deleted`].
    DeleteManifests(Vec<Epoch>),
    /// Delete blocks that nobody refers to. Answered with [`Event::Deleted`].
    DeleteBlocks(Vec<BlockId>),
    /// The epoch is in the store for good. Tasks may forget what they kept to repeat it.
    Committed {
        /// The epoch.
        epoch: Epoch,
    },
    /// The epoch will have no manifest of its own; the job goes on. What tasks put into it belongs to the next
    /// one: what a sink has staged is committed with that, and what was dirty is dirty still.
    GaveUp {
        /// The epoch.
        epoch: Epoch,
        /// Why.
        reason: String,
    },
    /// It is over. Nothing may be done to outputs or to the store any more: whatever is left, the next
    /// [`crate::Recovery`] completes or removes.
    Stop(Outcome),
}

/// How a coordinator ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The job has come to its end, and all its output is visible.
    Finished,
    /// The job has stopped at a savepoint.
    Suspended,
    /// The job has another writer.
    Fenced,
    /// The job must start again from its last epoch.
    Failed {
        /// Why.
        reason: String,
    },
}
