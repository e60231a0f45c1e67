//! What a checkpoint is, when it counts, and how a job goes on from one: as data and pure decisions.
//!
//! A job that was killed at any instruction must go on as if nothing had happened. Three things make that
//! so, and each is in one place here:
//!
//! - *An epoch exists when its [`Manifest`] does.* It holds the positions of the sources, the state, and what
//!   the sinks have staged; writing it is the point of commit. Outputs become visible afterwards, and whoever
//!   opens the job next finishes what was interrupted.
//! - *A job has one writer.* Manifests are numbered without gaps and created only where there is none. A
//!   writer starts by taking the next number; from then on nobody who wrote before can commit anything.
//! - *Nothing is deleted that somebody may still open.*
//!
//! The decisions are state machines without I/O, clock or threads. The runtime does what they say and tells
//! them what came of it; tests do the same with a world of their own in which everything that can fail does.
#![forbid(unsafe_code)]

mod alternating;
mod block;
mod coordinator;
mod hex;
mod manifest;
mod moment;
mod recovery;
mod restart;
mod shape;
mod store;
mod topology;
mod upgrade;

pub use alternating::{Alternating, Slot, TransactionAction, TransactionEvent};
pub use block::{BlockHasher, BlockId, BlockIdError, BlockRef};
pub use coordinator::{Action, CheckpointConfig, Coordinator, Cut, Event, Kept, Outcome, superfluous};
pub use manifest::{
    Manifest, ManifestError, ManifestKind, OperatorState, PartitionState, SinkState, SourceState, Staged,
    StatePart,
};
pub use moment::{Attempts, Now};
pub use recovery::{Found, Recovered, Recovery, RecoveryAction, RecoveryError, RecoveryEvent, Start};
pub use restart::{Restart, RestartDecision, RestartStrategy};
pub use shape::{StateColumn, StateShape, StateShapeError};
pub use store::{
    Call, CheckpointStore, Created, Fault, MemoryStore, StoreError, StoreErrorKind, WriteOutcome,
    epoch_of_name, manifest_name, newest_manifest, read_manifest, write_manifest,
};
pub use topology::{Answer, Endpoint, KeyedOperator, Role, TaskId, Topology};
pub use upgrade::{Fate, Piece, Upgrade, UpgradeLine};
