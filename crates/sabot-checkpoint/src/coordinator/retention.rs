//! Which manifests and blocks may go.
//!
//! The invariant: whatever somebody may still open, stays. That is the newest manifest, from which the job
//! goes on; the newest cuts, should that one be damaged; and what somebody asked for by a savepoint.
//!
//! A block goes when a manifest that named it has gone, or an epoch that wrote it was given up, and no manifest
//! names it that is left. That no *later* manifest will name it, not even one of a writer that has taken over
//! in the meantime, follows from two rules: a manifest refers to blocks of the one before it and to new ones,
//! and the name of a new block was never there before (see [`crate::BlockId`]).

use sabot_common::Epoch;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::{BlockId, Manifest, ManifestKind};

/// A manifest in the store, as far as retention cares.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kept {
    /// Why it was written; none when it cannot be read.
    pub kind: Option<ManifestKind>,
    /// The blocks that it refers to.
    pub blocks: Arc<BTreeSet<BlockId>>,
}

impl From<&Manifest> for Kept {
    fn from(manifest: &Manifest) -> Self {
        Self { kind: Some(manifest.kind), blocks: Arc::new(manifest.blocks()) }
    }
}

/// The manifests that may be deleted when the newest `keep` cuts are to stay.
///
/// ```
/// # use sabot_checkpoint::{Kept, ManifestKind::{self, *}, superfluous};
/// # use sabot_common::Epoch;
/// let kept = |kind: ManifestKind| Kept { kind: Some(kind), blocks: Default::default() };
/// let kinds = [TakeOver, Savepoint, Checkpoint, Skipped, Checkpoint, Checkpoint];
/// let manifests = (1..).map(Epoch).zip(kinds.map(kept)).collect();
/// assert_eq!(superfluous(&manifests, 2), [Epoch(1), Epoch(3), Epoch(4)]);
/// ```
pub fn superfluous(manifests: &BTreeMap<Epoch, Kept>, keep: u32) -> Vec<Epoch> {
    let keep = usize::try_from(keep.max(2)).unwrap_or(usize::MAX);
    let is_cut = |kept: &Kept| kept.kind.is_some_and(ManifestKind::is_cut);
    let oldest =
        manifests.iter().rev().filter(|(_, kept)| is_cut(kept)).nth(keep - 1).map(|(epoch, _)| *epoch);
    let newest = manifests.keys().next_back().copied();
    let goes = |epoch: Epoch, kind: Option<ManifestKind>| match kind {
        _ if Some(epoch) == newest => false,
        Some(ManifestKind::Savepoint) => false,
        // A copy of what an earlier manifest holds, and no longer the place to go on from.
        Some(ManifestKind::TakeOver | ManifestKind::Skipped) => true,
        Some(ManifestKind::Checkpoint) | None => oldest.is_some_and(|oldest| epoch < oldest),
    };
    manifests.iter().filter(|(epoch, kept)| goes(**epoch, kept.kind)).map(|(epoch, _)| *epoch).collect()
}

/// Of `candidates`, the blocks that no manifest refers to.
pub(crate) fn unreferenced(
    candidates: &BTreeSet<BlockId>,
    manifests: &BTreeMap<Epoch, Kept>,
) -> Vec<BlockId> {
    let named = |id: &BlockId| manifests.values().any(|kept| kept.blocks.contains(id));
    candidates.iter().filter(|id| !named(id)).copied().collect()
}
