//! What every store that has names for files or objects does alike.

use sabot_common::Epoch;

use super::{StoreError, StoreErrorKind};
use crate::{BlockId, ManifestError};

const MANIFEST: &str = ".manifest";

/// The name under which the manifest of an epoch is kept; names have the order of their epochs.
///
/// ```
/// # use sabot_checkpoint::{epoch_of_name, manifest_name};
/// # use sabot_common::Epoch;
/// assert_eq!(manifest_name(Epoch(7)), "00000000000000000007.manifest");
/// assert_eq!(epoch_of_name("00000000000000000007.manifest"), Some(Epoch(7)));
/// assert_eq!(epoch_of_name("7.manifest"), None);
/// ```
pub fn manifest_name(epoch: Epoch) -> String {
    format!("{:020}{MANIFEST}", epoch.0)
}

/// The epoch that a name stands for, if [`manifest_name`] gives it.
pub fn epoch_of_name(name: &str) -> Option<Epoch> {
    let digits = name.strip_suffix(MANIFEST)?;
    let is_number = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| digits.parse().ok().map(Epoch)).flatten()
}

impl BlockId {
    /// Whether these are the bytes of the block.
    ///
    /// ```
    /// # use sabot_checkpoint::BlockId;
    /// assert_eq!(BlockId::of(b"state").check(b"state"), Ok(()));
    /// assert!(BlockId::of(b"state").check(b"other").is_err());
    /// ```
    ///
    /// # Errors
    /// [`StoreErrorKind::Damaged`] when they are not.
    pub fn check(self, bytes: &[u8]) -> Result<(), StoreErrorKind> {
        if self.names(bytes) {
            return Ok(());
        }
        let problem = format!("its {} bytes have the hash {}", bytes.len(), BlockId::of(bytes));
        Err(StoreErrorKind::Damaged { problem })
    }
}

impl StoreError {
    /// Whether a manifest could not be read for a reason of its own, so that an older one may be used: it was torn,
    /// damaged, or deleted meanwhile. That of a newer version is no such reason.
    pub fn is_of_this_manifest(&self) -> bool {
        match &self.kind {
            StoreErrorKind::Manifest { error } => !matches!(error, ManifestError::Newer { .. }),
            StoreErrorKind::NotFound | StoreErrorKind::Damaged { .. } => true,
            StoreErrorKind::Full | StoreErrorKind::Io { .. } => false,
        }
    }
}
