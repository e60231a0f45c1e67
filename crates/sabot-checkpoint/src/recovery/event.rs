//! What recovery is told, what it asks for, and how it ends.

use sabot_common::{Epoch, OperatorId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::{BlockId, Kept, Manifest, ManifestError, Staged, Topology, WriteOutcome};

/// What came of reading a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Found {
    /// It is good.
    Manifest(Arc<Manifest>),
    /// It is there and cannot be used.
    Unusable(ManifestError),
    /// It is not there any more.
    Gone,
    /// The store could not be asked.
    Failed {
        /// Why.
        reason: String,
    },
}

/// What recovery is told. Errors are texts: the call is repeated, and in the end they go into a message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RecoveryEvent {
    /// Begin; or time has passed, due at [`crate::Recovery::deadline`].
    Tick,
    /// The epochs that have a manifest.
    Listed(Result<Vec<Epoch>, String>),
    /// What came of reading one.
    Read {
        /// The epoch.
        epoch: Epoch,
        /// What came of it.
        found: Found,
    },
    /// The blocks that are there.
    BlocksListed(Result<Vec<BlockId>, String>),
    /// Whether output is visible that no usable epoch has committed.
    Visible(Result<bool, String>),
    /// What came of committing the sink that was named last.
    SinkCommitted(Result<(), String>),
    /// What came of finishing the sink that was named last.
    SinkFinished(Result<(), String>),
    /// What came of writing the manifest.
    Wrote(WriteOutcome),
    /// What came of removing.
    Cleaned(Result<(), String>),
}

/// What recovery asks for, one call at a time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RecoveryAction {
    /// Answered with [`RecoveryEvent::Listed`].
    ListManifests,
    /// Answered with [`RecoveryEvent::Read`].
    ReadManifest(Epoch),
    /// Answered with [`RecoveryEvent::BlocksListed`].
    ListBlocks,
    /// Whether any sink shows output of an epoch after this one. A sink that cannot tell says no. Answered with
    /// [`RecoveryEvent::Visible`].
    AskVisible {
        /// The epoch.
        after: Epoch,
    },
    /// Make what was staged visible. Answered with [`RecoveryEvent::SinkCommitted`].
    Commit {
        /// The sink's index in the topology.
        sink: u32,
        /// The epoch.
        epoch: Epoch,
        /// What was staged.
        staged: Vec<Staged>,
    },
    /// Complete the sink's output. Answered with [`RecoveryEvent::SinkFinished`].
    Finish {
        /// The sink's index in the topology.
        sink: u32,
    },
    /// Write a manifest with [`crate::write_manifest`]. Answered with [`RecoveryEvent::Wrote`].
    WriteManifest(Arc<Manifest>),
    /// In every sink: make sure that generations before this one can change nothing any more, where the medium
    /// can do that, and remove what they have staged and not committed. Later generations are left alone.
    /// Answered with [`RecoveryEvent::Cleaned`].
    Clean {
        /// The generation that has taken over.
        generation: u64,
    },
    /// Recovery is over.
    Done(Recovered),
}

/// How a recovery ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Recovered {
    /// The job can start, and is its only writer.
    Ready(Start),
    /// The job had come to its end, and all its output is visible.
    Finished(Arc<Manifest>),
    /// It cannot be done.
    Failed(RecoveryError),
}

/// What a job starts from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Start {
    /// The take-over: positions and state to go on from, and the generation of whatever is staged from now on.
    pub manifest: Arc<Manifest>,
    /// All manifests in the store.
    pub kept: BTreeMap<Epoch, Kept>,
    /// Blocks to which no manifest refers, all written before the take-over.
    pub orphans: BTreeSet<BlockId>,
}

impl Start {
    /// The start of a job in an empty store, for tests.
    pub fn fresh(topology: &Topology) -> Self {
        let manifest = Arc::new(Manifest::first(&topology.job, topology.hash_seed, topology.key_groups));
        let kept = BTreeMap::from([(manifest.epoch, Kept::from(&*manifest))]);
        Self { manifest, kept, orphans: BTreeSet::new() }
    }
}

/// Why a job cannot go on from its store.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum RecoveryError {
    /// The newest manifest needs a newer version. Older ones are not opened: output of the newest is visible.
    #[error("epoch {epoch}: {error}")]
    Newer {
        /// The epoch.
        epoch: Epoch,
        /// What the format is.
        error: ManifestError,
    },
    /// The store belongs to another job.
    #[error(
        "these are checkpoints of the job \"{found}\", not of \"{wanted}\"; give each job a place of its own"
    )]
    OtherJob {
        /// The job of the manifest.
        found: String,
        /// The job that wanted to start.
        wanted: String,
    },
    /// There are manifests, and none can be used.
    #[error(
        "none of the epochs {} can be opened; restore their files from a copy, or give the job an empty place to start \
         from the beginning",
        listed(epochs)
    )]
    NothingUsable {
        /// The epochs.
        epochs: Vec<Epoch>,
    },
    /// The newest epochs are damaged, and their output is visible.
    #[error(
        "epoch {usable} is the newest that can be opened, but output of {} is visible already and would come twice; \
         restore their files from a copy, or remove that output",
        listed(unusable)
    )]
    OutputAhead {
        /// The newest epoch that can be opened; 0 when there is none.
        usable: Epoch,
        /// Those that cannot.
        unusable: Vec<Epoch>,
    },
    /// Output is staged for a sink that is not there any more.
    #[error(
        "epoch {epoch} has staged output for \"{sink}\", which the job no longer has; start the job once with that sink, \
         so that its output becomes whole"
    )]
    UnknownSink {
        /// The sink.
        sink: OperatorId,
        /// The epoch.
        epoch: Epoch,
    },
    /// Others took over again and again.
    #[error("{rounds} times another writer of this job was faster; run one of them")]
    Contended {
        /// How often.
        rounds: u32,
    },
    /// A call failed too often.
    #[error("{reason}")]
    Failed {
        /// What the last failure was.
        reason: String,
    },
}

fn listed(epochs: &[Epoch]) -> String {
    epochs.iter().map(Epoch::to_string).collect::<Vec<_>>().join(", ")
}
