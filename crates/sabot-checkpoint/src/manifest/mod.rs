//! The manifest: everything that a job needs to go on from an epoch, as one small file.
//!
//! An epoch exists when its manifest does. So the manifest holds what must exist together or not at all:
//! the positions of the sources, the blocks of state, and what the sinks have staged. Writing it is the
//! point of commit, and what is staged becomes visible only afterwards; whoever opens the job next reads
//! from here what has to be finished.
//!
//! Every number from the first to the newest epoch has had a manifest, so that two writers of one job
//! cannot pass each other: both want the next number, and a manifest is created only where there is none.

mod error;
mod text;

pub use error::ManifestError;

use sabot_common::{Epoch, KeyGroupRange, OperatorId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

use crate::{BlockId, BlockRef, hex};

/// Why a manifest was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ManifestKind {
    /// A cut through the running job.
    Checkpoint,
    /// A cut that somebody asked for. Retention never deletes it.
    Savepoint,
    /// A writer has started. It holds the state that the writer starts from, and ends whoever wrote before.
    TakeOver,
    /// The epoch was given up, and its number is used up so that no other writer can have it. It holds the
    /// state of the epoch before.
    Skipped,
}

impl ManifestKind {
    /// Whether it holds a cut of its own, and not that of an earlier manifest.
    pub fn is_cut(self) -> bool {
        matches!(self, ManifestKind::Checkpoint | ManifestKind::Savepoint)
    }
}

/// All that a job needs to go on from an epoch.
///
/// ```
/// # use sabot_checkpoint::Manifest;
/// # use sabot_common::KeyGroups;
/// let manifest = Manifest::first("frauds", 7, KeyGroups::default());
/// let bytes = manifest.to_bytes()?;
/// assert!(bytes.starts_with(b"sabot-manifest 1 sha256:"));
/// assert_eq!(Manifest::from_bytes(&bytes)?, manifest);
/// # Ok::<(), sabot_checkpoint::ManifestError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The job.
    pub job: String,
    /// Rises with every start of a writer, so that what an earlier one left behind can be told apart.
    pub generation: u64,
    /// A number that the writer has drawn at random when it started. Two writers that start at the same moment
    /// would otherwise write the same bytes, and each would take the other's manifest for its own.
    pub writer: u64,
    /// The epoch that the manifest closes.
    pub epoch: Epoch,
    /// Why it was written.
    pub kind: ManifestKind,
    /// When, in milliseconds since 1970-01-01T00:00:00 UTC. For people; nothing is decided by it.
    pub created_ms: u64,
    /// The seed of the key hash, which decides where a key's state lies.
    pub hash_seed: u64,
    /// Key groups of the job, 1 to 32,768.
    pub key_groups: u16,
    /// Whether the job had come to its end: there is nothing to go on with.
    pub finished: bool,
    /// State, by operator.
    pub operators: Vec<OperatorState>,
    /// How far each source was read.
    pub sources: Vec<SourceState>,
    /// What has to become visible because this manifest exists.
    pub sinks: Vec<SinkState>,
}

/// State of one keyed operator.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorState {
    /// The operator's stable name.
    pub id: OperatorId,
    /// What kind of operator it is: `group_by`.
    pub kind: String,
    /// What its state consists of, as a [`StateShape`](crate::StateShape) is written.
    pub shape: String,
    /// The parts, in order of their key groups; those of a finished task are missing.
    pub parts: Vec<StatePart>,
}

/// What one task held of an operator's state.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatePart {
    /// The task. Where the job goes on with another number of tasks, only the groups count.
    pub task: u32,
    /// Its key groups, `start..end`; empty where a job has more tasks than groups.
    pub groups: KeyGroupRange,
    /// The blocks that hold the state, in the order in which they are applied.
    pub blocks: Vec<BlockRef>,
}

/// How far a source was read.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceState {
    /// The source's stable name.
    pub id: OperatorId,
    /// Its partitions, by ordinal.
    pub partitions: Vec<PartitionState>,
}

/// How far a partition was read.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartitionState {
    /// The partition inside its source: a path, `topic/3`.
    pub name: String,
    /// Its number, by which rows of equal time are ordered; it stays when other partitions come.
    pub ordinal: u32,
    /// The place after the last row of the epoch, in the words of the connector.
    #[serde(with = "hex")]
    pub position: Vec<u8>,
    /// Rows before that place.
    pub rows: u64,
    /// The largest event time before that place, in microseconds; lateness goes on from there.
    pub event_time_max: Option<i64>,
    /// Whether there is nothing behind that place.
    pub ended: bool,
}

/// What a sink has staged and must make visible.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SinkState {
    /// The sink's stable name.
    pub id: OperatorId,
    /// What its tasks staged, in order of epoch and task. An epoch that was given up is committed with the
    /// next one that is not, so several may be named here.
    pub staged: Vec<Staged>,
}

/// What one task of a sink has staged for one epoch.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Staged {
    /// The task.
    pub task: u32,
    /// The epoch under which they were staged: that of the manifest, one before it that was given up, or the
    /// next one where the task came to its end before it saw the barrier.
    pub epoch: Epoch,
    /// Enough to commit with, in the words of the connector.
    #[serde(with = "hex")]
    pub payload: Vec<u8>,
    /// How many rows.
    pub rows: u64,
}

impl Manifest {
    /// The newest format that this version reads, and the one that it writes.
    pub const FORMAT: u32 = 1;

    /// The manifest of a job that has read nothing yet: what its first writer takes over from nobody.
    pub fn first(job: &str, hash_seed: u64, key_groups: sabot_common::KeyGroups) -> Self {
        Self {
            job: job.to_owned(),
            generation: 1,
            writer: 0,
            epoch: Epoch::FIRST,
            kind: ManifestKind::TakeOver,
            created_ms: 0,
            hash_seed,
            key_groups: key_groups.into(),
            finished: false,
            operators: Vec::new(),
            sources: Vec::new(),
            sinks: Vec::new(),
        }
    }

    /// The same state as the manifest of a later epoch, with nothing left to commit in any sink.
    #[must_use]
    pub(crate) fn again(&self, epoch: Epoch, kind: ManifestKind, created_ms: u64) -> Self {
        let sinks = self.sinks.iter().map(|sink| SinkState { id: sink.id.clone(), staged: Vec::new() });
        Self { epoch, kind, created_ms, sinks: sinks.collect(), ..self.clone() }
    }

    /// All blocks that the manifest refers to.
    pub fn blocks(&self) -> BTreeSet<BlockId> {
        let parts = self.operators.iter().flat_map(|operator| &operator.parts);
        parts.flat_map(|part| &part.blocks).map(|block| block.id).collect()
    }
}

#[cfg(test)]
pub(crate) mod tests;
