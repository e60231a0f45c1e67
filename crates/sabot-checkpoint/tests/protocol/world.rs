//! One job, its store and its sinks, and the processes that all believe to be its writer.
//!
//! The job is small and still has everything that can go wrong: each task reads a partition of its own, counts
//! rows in keyed state, and writes every row to the first sink; rows with an odd number also go to the second
//! one, as poison goes to a dead-letter output.

use sabot_checkpoint::{
    Attempts, BlockId, BlockRef, CheckpointConfig, Coordinator, Cut, Endpoint, KeyedOperator, Manifest, Now,
    Recovery, Staged, Topology,
};
use sabot_common::{Epoch, KeyGroups, OperatorId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// A way in which the protocol is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// Output becomes visible before the manifest is written.
    CommitBeforeManifest,
    /// Retention deletes the blocks of a manifest that goes, whoever else needs them.
    DeleteReferenced,
    /// A manifest replaces the one that is there.
    NoFencing,
    /// Whoever creates a manifest does not look whether it is the newest.
    NoNewestCheck,
    /// What others have staged is removed before they are fenced.
    CleanBeforeFence,
    /// What later generations have staged is removed as well.
    CleanEverybody,
    /// What was staged for an epoch that was given up is removed.
    AbortOnGiveUp,
    /// Numbers of epochs that were given up stay free.
    LeaveGaps,
    /// Recovery does not finish interrupted commits.
    ForgetCommits,
    /// A task takes its state before it has worked off what came before the barrier.
    SnapshotEarly,
}

/// The size of the world, and what may go wrong in it.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) topology: Arc<Topology>,
    pub(crate) checkpoints: CheckpointConfig,
    /// Rows of each task's partition, at most 16.
    pub(crate) rows: Vec<u8>,
    pub(crate) broken: Option<Broken>,
    /// Calls that are done as soon as they are made, and whole: nobody else comes in between. What is at once in
    /// one search is not in another.
    pub(crate) at_once: AtOnce,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AtOnce {
    /// Reading manifests, after they were listed.
    pub(crate) reads: bool,
    /// Looking whether a manifest is the newest.
    pub(crate) newest: bool,
    /// Deleting.
    pub(crate) deletes: bool,
    /// The files of one commit.
    pub(crate) commits: bool,
    /// Writing blocks.
    pub(crate) puts: bool,
}

impl AtOnce {
    pub(crate) const ALL: Self = Self { reads: true, newest: true, deletes: true, commits: true, puts: true };
}

impl Config {
    pub(crate) fn new(rows: &[u8], sinks: u32) -> Self {
        let tasks = u32::try_from(rows.len()).unwrap();
        let id = |name: String| OperatorId::new(name);
        let topology = Topology {
            job: "j".to_owned(),
            hash_seed: 0,
            key_groups: KeyGroups::new(8).unwrap(),
            sources: vec![Endpoint { id: id("r".to_owned()), tasks }],
            operators: vec![KeyedOperator {
                id: id("k".to_owned()),
                kind: String::new(),
                shape: String::new(),
                tasks,
            }],
            sinks: (0..sinks).map(|n| Endpoint { id: id(n.to_string()), tasks }).collect(),
        };
        let attempts = Attempts { max: 2, first: Duration::ZERO, longest: Duration::ZERO };
        let checkpoints = CheckpointConfig {
            interval: None,
            rows: Some(1),
            min_pause: Duration::ZERO,
            timeout: Duration::from_secs(1),
            keep: 2,
            failures_tolerated: 1,
            attempts,
        };
        Self {
            topology: topology.into(),
            checkpoints,
            rows: rows.to_vec(),
            broken: None,
            at_once: AtOnce::default(),
        }
    }

    pub(crate) fn is_broken(&self, broken: Broken) -> bool {
        self.broken == Some(broken)
    }
}

/// What may still go wrong or be started: each of these happens at most so often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    /// Writers beyond the first, started whatever the others do.
    pub(crate) writers: u8,
    /// Writers that are started only when no other is left.
    pub(crate) restarts: u8,
    /// Epochs that start before the rows end.
    pub(crate) epochs: u8,
    /// Calls whose answer is lost. The call itself may be done at any later time, or never.
    pub(crate) lost: u8,
    /// Calls that fail for want of space.
    pub(crate) full: u8,
    /// Epochs whose time is over.
    pub(crate) timeouts: u8,
    /// Manifests of which half is written before the writer dies.
    pub(crate) torn: u8,
    /// Snapshots or stages that fail.
    pub(crate) failing: u8,
    /// Requests to suspend.
    pub(crate) suspends: u8,
    /// Deaths. A writer that is never stepped again is as dead, so that only liveness needs them.
    pub(crate) crashes: u8,
}

/// What a task has staged for a sink: a file with some of its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Part {
    pub(crate) generation: u8,
    pub(crate) epoch: u8,
    pub(crate) task: u8,
    /// Its rows, a bit each.
    pub(crate) rows: u16,
}

impl Part {
    pub(crate) fn to_staged(self) -> Staged {
        let [low, high] = self.rows.to_le_bytes();
        Staged {
            task: u32::from(self.task),
            epoch: Epoch(u64::from(self.epoch)),
            payload: vec![self.generation, self.epoch, low, high],
            rows: u64::from(self.rows.count_ones()),
        }
    }

    pub(crate) fn of(staged: &Staged) -> Self {
        let [generation, epoch, low, high] = staged.payload[..] else { panic!("{staged:?}") };
        let task = u8::try_from(staged.task).unwrap();
        Self { generation, epoch, task, rows: u16::from_le_bytes([low, high]) }
    }
}

/// A block of a task's state: how many rows it has counted.
pub(crate) fn block(generation: u64, epoch: Epoch, task: usize, count: u8) -> BlockRef {
    let mut name = [0; 32];
    let byte = |n: u64| u8::try_from(n).unwrap();
    name[..4].copy_from_slice(&[byte(generation), byte(epoch.0), byte(task as u64), count]);
    BlockRef { id: BlockId::from(name), bytes: 1 }
}

pub(crate) fn count_of(block: &BlockRef) -> u8 {
    block.id.as_bytes()[3]
}

/// The rows from `from` to `to`.
pub(crate) fn rows_between(from: u8, to: u8) -> u16 {
    let below = |n: u8| if n >= 16 { u16::MAX } else { (1 << n) - 1 };
    below(to) & !below(from)
}

/// Those of `rows` that go to a sink.
pub(crate) fn rows_of_sink(sink: usize, rows: u16) -> u16 {
    if sink == 0 { rows } else { rows & 0xaaaa }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct StoreWorld {
    /// Manifests; none where one is torn.
    pub(crate) manifests: BTreeMap<Epoch, Option<Arc<Manifest>>>,
    pub(crate) blocks: BTreeSet<BlockId>,
}

impl StoreWorld {
    pub(crate) fn newest_usable(&self) -> Option<&Arc<Manifest>> {
        self.manifests.values().rev().flatten().next()
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct SinkWorld {
    pub(crate) staged: BTreeSet<Part>,
    pub(crate) visible: BTreeSet<Part>,
    pub(crate) finished: bool,
}

/// A call to the outside that a writer waits for, or that goes on without it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Call {
    List,
    Read(Epoch),
    ListBlocks,
    Ask {
        after: Epoch,
    },
    Put {
        task: usize,
        epoch: Epoch,
        block: BlockRef,
    },
    /// Creating, and then looking whether it is the newest: two steps.
    Create(Arc<Manifest>),
    Newest(Arc<Manifest>),
    /// One file after the other.
    Commit {
        sink: u32,
        epoch: Epoch,
        parts: Vec<Part>,
    },
    Finish {
        sink: u32,
    },
    Clean {
        generation: u64,
    },
    DeleteManifests(Vec<Epoch>),
    DeleteBlocks(Vec<BlockId>),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TaskWorld {
    /// Rows that it has read.
    pub(crate) read: u8,
    /// Rows before the last stage.
    pub(crate) staged: u8,
    pub(crate) block: Option<BlockRef>,
    pub(crate) barriers: VecDeque<(Epoch, Cut)>,
    /// The epoch that is open.
    pub(crate) epoch: Epoch,
    pub(crate) ended: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::large_enum_variant, reason = "each is behind a pointer of its own")]
pub(crate) enum Writer {
    Recovering { machine: Recovery, calls: Vec<Call> },
    Running { machine: Coordinator, generation: u64, tasks: Vec<TaskWorld>, calls: Vec<Call> },
    Gone(Gone),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Gone {
    Crashed,
    /// Recovery found nothing to do.
    NothingToDo,
    /// Recovery refused.
    Refused,
    Finished,
    Suspended,
    Fenced,
    Failed,
}

/// What the invariants need to know of the past.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Past {
    /// The generation that wrote the manifest of each epoch, from the first; none where it was torn.
    pub(crate) writers: Vec<Option<u64>>,
    /// Rows of each task that the newest manifest has taken in.
    pub(crate) positions: Vec<u8>,
}

#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) config: Arc<Config>,
    pub(crate) budget: Budget,
    pub(crate) now: Now,
    pub(crate) store: Arc<StoreWorld>,
    pub(crate) sinks: Vec<Arc<SinkWorld>>,
    pub(crate) writers: Vec<Arc<Writer>>,
    /// Calls that were given up by their writers and may still be done.
    pub(crate) adrift: Vec<Call>,
    pub(crate) past: Arc<Past>,
}

impl World {
    pub(crate) fn new(config: &Arc<Config>, budget: Budget) -> Self {
        let sinks = config.topology.sinks.len();
        let past = Past { writers: Vec::new(), positions: vec![0; config.rows.len()] };
        let mut world = World {
            config: config.clone(),
            budget,
            now: Now::default(),
            store: Arc::default(),
            sinks: vec![Arc::default(); sinks],
            writers: Vec::new(),
            adrift: Vec::new(),
            past: past.into(),
        };
        world.add_writer();
        world
    }

    pub(crate) fn add_writer(&mut self) {
        let attempts = self.config.checkpoints.attempts;
        let machine = Recovery::new(self.config.topology.clone(), attempts, self.writers.len() as u64);
        self.writers.push(Writer::Recovering { machine, calls: Vec::new() }.into());
    }

    /// Whether the job has come to its end, and somebody knows.
    pub(crate) fn is_finished(&self) -> bool {
        let finished = |w: &Arc<Writer>| matches!(&**w, Writer::Gone(Gone::NothingToDo | Gone::Finished));
        self.writers.iter().any(finished)
    }
}
