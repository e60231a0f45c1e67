//! The tasks of a job as the coordinator sees them: who must answer a barrier, and with what.

use sabot_common::{KeyGroupRange, KeyGroups, OperatorId};
use std::collections::BTreeSet;

use crate::{BlockRef, PartitionState, Staged};

/// What a task does with a barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Sends it, and answers with positions.
    Source,
    /// Answers with its state.
    State,
    /// Answers with what it has staged.
    Sink,
}

/// A task of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId {
    /// What it does with a barrier.
    pub role: Role,
    /// The stage: its index among those of its role in the [`Topology`].
    pub stage: u32,
    /// The task's number inside the stage.
    pub task: u32,
}

impl TaskId {
    /// A task that reads a source.
    pub const fn source(stage: u32, task: u32) -> Self {
        Self { role: Role::Source, stage, task }
    }

    /// A task that has keyed state.
    pub const fn state(stage: u32, task: u32) -> Self {
        Self { role: Role::State, stage, task }
    }

    /// A task that writes to a sink.
    pub const fn sink(stage: u32, task: u32) -> Self {
        Self { role: Role::Sink, stage, task }
    }
}

/// What a task contributes to an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// Where a source task stands, for each of its partitions.
    Positions(Vec<PartitionState>),
    /// The state of a keyed task: its blocks are in the store already.
    State {
        /// The task's key groups.
        groups: KeyGroupRange,
        /// All blocks of its state, also those that earlier epochs have written.
        blocks: Vec<BlockRef>,
    },
    /// What a sink's task has staged, durably; none when there was nothing.
    Staged(Option<Staged>),
}

/// A source or a sink, and how many tasks it has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Its stable name.
    pub id: OperatorId,
    /// Its tasks. A sink may have none.
    pub tasks: u32,
}

/// A keyed operator.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyedOperator {
    /// Its stable name.
    pub id: OperatorId,
    /// What kind of operator it is: `group_by`.
    pub kind: String,
    /// What its state consists of, as a [`StateShape`](crate::StateShape) is written.
    pub shape: String,
    /// Its tasks.
    pub tasks: u32,
}

/// A job as the coordinator sees it. All of it goes into every manifest.
///
/// ```
/// # use sabot_checkpoint::{Endpoint, Topology};
/// # use sabot_common::{KeyGroups, OperatorId};
/// let one = |name: &str| vec![Endpoint { id: OperatorId::new(name), tasks: 2 }];
/// let copy = Topology {
///     job: "copy".into(),
///     hash_seed: 7,
///     key_groups: KeyGroups::default(),
///     sources: one("a.csv"),
///     operators: vec![],
///     sinks: one("b.csv"),
/// };
/// assert_eq!(copy.tasks().len(), 4);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Topology {
    /// The job's name.
    pub job: String,
    /// The seed of the key hash.
    pub hash_seed: u64,
    /// Key groups.
    pub key_groups: KeyGroups,
    /// Sources, in a fixed order.
    pub sources: Vec<Endpoint>,
    /// Operators with keyed state, in a fixed order.
    pub operators: Vec<KeyedOperator>,
    /// Sinks, in a fixed order.
    pub sinks: Vec<Endpoint>,
}

impl Topology {
    /// All tasks that must answer a barrier.
    pub fn tasks(&self) -> BTreeSet<TaskId> {
        let of = |role, counts: Vec<u32>| {
            counts
                .into_iter()
                .zip(0..)
                .flat_map(move |(tasks, stage)| (0..tasks).map(move |task| TaskId { role, stage, task }))
        };
        let mut tasks: BTreeSet<TaskId> =
            of(Role::Source, self.sources.iter().map(|s| s.tasks).collect()).collect();
        tasks.extend(of(Role::State, self.operators.iter().map(|s| s.tasks).collect()));
        tasks.extend(of(Role::Sink, self.sinks.iter().map(|s| s.tasks).collect()));
        tasks
    }
}
