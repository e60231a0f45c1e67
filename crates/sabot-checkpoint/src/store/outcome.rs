//! Creating a manifest, with an answer that can be acted on.
//!
//! Two things are not said by the call alone. When an answer was lost, the manifest may be there: it is
//! asked for again, and its bytes tell whose it is. And a number that was used once is free again when
//! retention has deleted its manifest, so that a writer who slept through a take-over could get it: whoever
//! creates a manifest therefore looks whether it is the newest one. Retention never deletes the newest, so a
//! later one is there in that case.

use sabot_common::Epoch;

use super::{CheckpointStore, Created, StoreError, StoreErrorKind};

/// What came of writing a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum WriteOutcome {
    /// It is there, it is ours, and it is the newest: the epoch is committed.
    Written,
    /// Somebody else has this epoch or a later one: the job has another writer.
    Taken,
    /// It is certain that the manifest is not there and will not come.
    Failed {
        /// Why.
        reason: String,
    },
    /// It may be there or come later; the same bytes must be written again until that is known.
    Unknown {
        /// Why.
        reason: String,
    },
}

/// Creates the manifest of an epoch and finds out what came of it.
///
/// ```
/// # use sabot_checkpoint::{MemoryStore, WriteOutcome, write_manifest};
/// # use sabot_common::Epoch;
/// let store = MemoryStore::new();
/// assert_eq!(write_manifest(&store, Epoch(1), b"mine"), WriteOutcome::Written);
/// assert_eq!(write_manifest(&store, Epoch(1), b"mine"), WriteOutcome::Written); // the answer was lost, say
/// assert_eq!(write_manifest(&store, Epoch(1), b"yours"), WriteOutcome::Taken);
/// ```
pub fn write_manifest(store: &dyn CheckpointStore, epoch: Epoch, bytes: &[u8]) -> WriteOutcome {
    let created = match store.create_manifest(epoch, bytes) {
        Ok(created) => created,
        Err(error) if error.nothing_happened() => return WriteOutcome::Failed { reason: error.to_string() },
        Err(error) => return WriteOutcome::Unknown { reason: error.to_string() },
    };
    match created {
        Created::Written => {}
        Created::Exists => match store.manifest(epoch) {
            Ok(found) if found == bytes => {}
            // Deleted since: there are later ones.
            Err(StoreError { kind: StoreErrorKind::NotFound, .. }) | Ok(_) => return WriteOutcome::Taken,
            Err(error) => return WriteOutcome::Unknown { reason: error.to_string() },
        },
    }
    match store.manifests() {
        Ok(epochs) if epochs.last() == Some(&epoch) => WriteOutcome::Written,
        Ok(_) => WriteOutcome::Taken,
        Err(error) => WriteOutcome::Unknown { reason: error.to_string() },
    }
}
