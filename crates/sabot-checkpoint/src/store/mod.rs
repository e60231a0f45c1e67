//! Where checkpoints lie: blocks and manifests, behind a trait that a folder, an object store or memory keeps.
//!
//! The protocol asks little of a medium: what was acknowledged is still there after power was cut, and a
//! manifest is created by one writer only. All calls block; they are made off the data path.

mod calls;
mod memory;
mod names;
mod outcome;

pub use memory::{Call, Fault, MemoryStore};
pub use names::{epoch_of_name, manifest_name};
pub use outcome::{WriteOutcome, write_manifest};

use sabot_common::Epoch;
use std::fmt::Debug;

use crate::{BlockId, Manifest, ManifestError};

/// What came of creating a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Created {
    /// It was not there and is now.
    Written,
    /// One was there already, and is unchanged.
    Exists,
}

/// A place for blocks and manifests.
///
/// ```
/// # use sabot_checkpoint::{BlockId, CheckpointStore, Created, MemoryStore};
/// # use sabot_common::Epoch;
/// let store = MemoryStore::new();
/// let id = BlockId::of(b"state");
/// store.put_block(id, b"state")?;
/// assert_eq!((store.block(id)?, store.blocks()?), (b"state".to_vec(), vec![id]));
///
/// assert_eq!(store.create_manifest(Epoch(1), b"one")?, Created::Written);
/// assert_eq!(store.create_manifest(Epoch(1), b"two")?, Created::Exists);
/// assert_eq!((store.manifest(Epoch(1))?, store.manifests()?), (b"one".to_vec(), vec![Epoch(1)]));
///
/// store.delete_manifest(Epoch(1))?;
/// store.delete_block(id)?;
/// assert!(store.manifests()?.is_empty() && store.blocks()?.is_empty());
/// # Ok::<(), sabot_checkpoint::StoreError>(())
/// ```
pub trait CheckpointStore: Debug + Send + Sync {
    /// Keeps a block. When it returns, the block survives a loss of power. Doing it again changes nothing. That the
    /// bytes have this name the caller knows, and whoever reads them checks; the [`MemoryStore`] of tests checks it here
    /// as well.
    ///
    /// # Errors
    /// [`StoreError`].
    fn put_block(&self, id: BlockId, bytes: &[u8]) -> Result<(), StoreError>;

    /// The bytes of a block, which are those that were put: the hash is computed again.
    ///
    /// # Errors
    /// [`StoreError`], with [`StoreErrorKind::NotFound`] or [`StoreErrorKind::Damaged`] among them.
    fn block(&self, id: BlockId) -> Result<Vec<u8>, StoreError>;

    /// Creates the manifest of an epoch where there is none. Of several writers one gets
    /// [`Created::Written`], also when they are on different machines. When it returns, the manifest is
    /// whole and survives a loss of power; it is never seen in part.
    ///
    /// # Errors
    /// [`StoreError`]. Unless [`StoreError::nothing_happened`] says otherwise, the manifest may be there all
    /// the same, or appear later.
    fn create_manifest(&self, epoch: Epoch, bytes: &[u8]) -> Result<Created, StoreError>;

    /// The bytes of an epoch's manifest, whatever they are.
    ///
    /// # Errors
    /// [`StoreError`], with [`StoreErrorKind::NotFound`] among them.
    fn manifest(&self, epoch: Epoch) -> Result<Vec<u8>, StoreError>;

    /// The epochs that have a manifest, ascending. A manifest whose creation was acknowledged before the
    /// call, to whomever, is among them unless it was deleted.
    ///
    /// # Errors
    /// [`StoreError`].
    fn manifests(&self) -> Result<Vec<Epoch>, StoreError>;

    /// Deletes a manifest; one that is not there is deleted already.
    ///
    /// # Errors
    /// [`StoreError`]; the call may be repeated.
    fn delete_manifest(&self, epoch: Epoch) -> Result<(), StoreError>;

    /// The blocks that are there, in any order.
    ///
    /// # Errors
    /// [`StoreError`].
    fn blocks(&self) -> Result<Vec<BlockId>, StoreError>;

    /// Deletes a block; one that is not there is deleted already.
    ///
    /// # Errors
    /// [`StoreError`]; the call may be repeated.
    fn delete_block(&self, id: BlockId) -> Result<(), StoreError>;
}

/// The manifest of an epoch, read and checked.
///
/// # Errors
/// [`StoreError`]; what is wrong with the bytes is [`StoreErrorKind::Manifest`].
pub fn read_manifest(store: &dyn CheckpointStore, epoch: Epoch) -> Result<Manifest, StoreError> {
    let bytes = store.manifest(epoch)?;
    let wrong = |error| {
        let what = format!("read the manifest of epoch {epoch}");
        StoreError::new(what, format!("{store:?}"), StoreErrorKind::Manifest { error })
    };
    let manifest = Manifest::from_bytes(&bytes).map_err(wrong)?;
    match manifest.epoch == epoch {
        true => Ok(manifest),
        false => Err(wrong(ManifestError::Field {
            field: "epoch".to_owned(),
            problem: format!("is {} under the name of epoch {epoch}", manifest.epoch),
        })),
    }
}

/// The newest manifest that can be used; what was torn or deleted meanwhile is passed over.
///
/// # Errors
/// [`StoreError`] when the store cannot be read, or the newest one was written by a newer version.
pub fn newest_manifest(store: &dyn CheckpointStore) -> Result<Option<Manifest>, StoreError> {
    let mut epochs = store.manifests()?;
    epochs.sort_unstable();
    for epoch in epochs.into_iter().rev() {
        match read_manifest(store, epoch) {
            Ok(manifest) => return Ok(Some(manifest)),
            Err(error) if error.is_of_this_manifest() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Why a store could not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreErrorKind {
    /// It is not there.
    #[error("it is not there")]
    NotFound,
    /// There is no room; nothing was written.
    #[error("no space is left")]
    Full,
    /// The bytes are not those that were written.
    #[error("it is damaged: {problem}")]
    Damaged {
        /// What was found.
        problem: String,
    },
    /// A manifest that cannot be used.
    #[error("{error}")]
    Manifest {
        /// Why.
        error: ManifestError,
    },
    /// The medium failed, and it is not known what it did.
    #[error("{problem}")]
    Io {
        /// What the medium said.
        problem: String,
    },
}

/// A store could not do what it was asked.
///
/// ```
/// # use sabot_checkpoint::{StoreError, StoreErrorKind};
/// let error = StoreError::new("write a block", "/data/checkpoints", StoreErrorKind::Full);
/// assert_eq!(
///     error.to_string(),
///     "could not write a block in /data/checkpoints: no space is left; make room there, or keep fewer epochs"
/// );
/// assert!(error.nothing_happened());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("could not {what} in {place}: {kind}; {}", self.help())]
pub struct StoreError {
    /// What was to be done: `write block 12ab…`.
    pub what: String,
    /// Where: a path or a URL.
    pub place: String,
    /// What went wrong.
    pub kind: StoreErrorKind,
}

impl StoreError {
    /// An error.
    pub fn new(what: impl Into<String>, place: impl Into<String>, kind: StoreErrorKind) -> Self {
        Self { what: what.into(), place: place.into(), kind }
    }

    /// Whether it is certain that the call changed nothing. Otherwise it may have done all of its work and
    /// only the answer was lost.
    pub fn nothing_happened(&self) -> bool {
        !matches!(self.kind, StoreErrorKind::Io { .. })
    }

    /// What would help.
    pub fn help(&self) -> &'static str {
        match &self.kind {
            StoreErrorKind::NotFound => {
                "check that this is the folder of the job, and that nothing was removed"
            }
            StoreErrorKind::Full => "make room there, or keep fewer epochs",
            StoreErrorKind::Damaged { .. } => "restore the file from a copy, or go back to an earlier epoch",
            StoreErrorKind::Manifest { error: ManifestError::Newer { .. } } => "nothing was changed",
            StoreErrorKind::Manifest { .. } => "restore the file from a copy, or go back to an earlier epoch",
            StoreErrorKind::Io { .. } => "check that the place can be reached and written to",
        }
    }
}

#[cfg(test)]
mod tests;
