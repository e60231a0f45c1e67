//! What of an action is a call of the store, and what it is answered with.
//!
//! Whoever runs the state machines has threads, sinks and tasks of its own; how an answer of the store is
//! understood is the same everywhere, and getting it wrong loses data. So it is here, once.

use std::sync::Arc;

use super::{CheckpointStore, StoreError, StoreErrorKind, WriteOutcome, read_manifest, write_manifest};
use crate::{Action, Event, Found, Manifest, ManifestError, RecoveryAction, RecoveryEvent};

impl Action {
    /// Does the action if it is one of the store's, and gives the answer; none for actions of sinks and tasks.
    /// Blocks as long as the store does.
    ///
    /// ```
    /// # use sabot_checkpoint::{Action, CheckpointStore, Event, Manifest, MemoryStore, WriteOutcome};
    /// # use sabot_common::{Epoch, KeyGroups};
    /// let store = MemoryStore::new();
    /// let first = Manifest::first("copy", 7, KeyGroups::default());
    /// let answer = Action::WriteManifest(first.into()).on_store(&store);
    /// assert_eq!(answer, Some(Event::Wrote { epoch: Epoch(1), outcome: WriteOutcome::Written }));
    /// assert_eq!(store.manifests()?, [Epoch(1)]);
    /// assert_eq!(Action::Finish { sink: 0 }.on_store(&store), None);
    /// # Ok::<(), sabot_checkpoint::StoreError>(())
    /// ```
    pub fn on_store(&self, store: &dyn CheckpointStore) -> Option<Event> {
        match self {
            Action::WriteManifest(manifest) => {
                Some(Event::Wrote { epoch: manifest.epoch, outcome: write(store, manifest) })
            }
            Action::DeleteManifests(epochs) => {
                let all = epochs.iter().try_for_each(|epoch| store.delete_manifest(*epoch)).is_ok();
                Some(Event::Deleted { all })
            }
            Action::DeleteBlocks(blocks) => {
                // One that cannot be deleted does not keep the others.
                let failed = blocks.iter().filter(|id| store.delete_block(**id).is_err()).count();
                Some(Event::Deleted { all: failed == 0 })
            }
            Action::InjectBarrier { .. }
            | Action::Commit { .. }
            | Action::Finish { .. }
            | Action::Committed { .. }
            | Action::GaveUp { .. }
            | Action::Stop(_) => None,
        }
    }
}

impl RecoveryAction {
    /// Does the action if it is one of the store's, and gives the answer; none for actions of sinks. Blocks as
    /// long as the store does.
    ///
    /// ```
    /// # use sabot_checkpoint::{MemoryStore, RecoveryAction, RecoveryEvent};
    /// let answer = RecoveryAction::ListManifests.on_store(&MemoryStore::new());
    /// assert_eq!(answer, Some(RecoveryEvent::Listed(Ok(vec![]))));
    /// ```
    pub fn on_store(&self, store: &dyn CheckpointStore) -> Option<RecoveryEvent> {
        let text = |error: StoreError| error.to_string();
        match self {
            RecoveryAction::ListManifests => Some(RecoveryEvent::Listed(store.manifests().map_err(text))),
            RecoveryAction::ListBlocks => Some(RecoveryEvent::BlocksListed(store.blocks().map_err(text))),
            RecoveryAction::ReadManifest(epoch) => {
                let found = match read_manifest(store, *epoch) {
                    Ok(manifest) => Found::Manifest(Arc::new(manifest)),
                    Err(error) => unread(error),
                };
                Some(RecoveryEvent::Read { epoch: *epoch, found })
            }
            RecoveryAction::WriteManifest(manifest) => Some(RecoveryEvent::Wrote(write(store, manifest))),
            RecoveryAction::AskVisible { .. }
            | RecoveryAction::Commit { .. }
            | RecoveryAction::Finish { .. }
            | RecoveryAction::Clean { .. }
            | RecoveryAction::Done(_) => None,
        }
    }
}

fn write(store: &dyn CheckpointStore, manifest: &Manifest) -> WriteOutcome {
    match manifest.to_bytes() {
        Ok(bytes) => write_manifest(store, manifest.epoch, &bytes),
        Err(error) => WriteOutcome::Failed { reason: error.to_string() },
    }
}

/// A manifest that cannot be had is not one that is damaged: only of the latter an older one may be opened.
fn unread(error: StoreError) -> Found {
    match error.kind {
        StoreErrorKind::NotFound => Found::Gone,
        StoreErrorKind::Manifest { error } => Found::Unusable(error),
        StoreErrorKind::Damaged { problem } => Found::Unusable(ManifestError::Syntax { problem }),
        StoreErrorKind::Full | StoreErrorKind::Io { .. } => Found::Failed { reason: error.to_string() },
    }
}
