//! Which manifests and blocks may go.
//!
//! The invariant: whatever somebody may still open, stays. That is the newest manifest, from which the job
//! goes on; the newest cuts, should that one be damaged; and what somebody asked for by a savepoint.
//!
//! Manifests go from the oldest on, so that among those that stay no number is free: a writer that has slept
//! through a take-over could fill it, and what it writes would be taken for one of the cuts to keep.
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

/// How many take-overs and skipped epochs may lie between the cuts that stay. Only a job that starts again and
/// again, and never completes an epoch, has more; then the oldest of them go.
const COPIES_MAX: usize = 64;

/// The manifests that may be deleted when the newest `keep` cuts are to stay: those before the oldest of these,
/// savepoints excepted.
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
    let is_old = |epoch: Epoch| oldest.is_some_and(|oldest| epoch < oldest);
    let is_savepoint = |kept: &Kept| kept.kind == Some(ManifestKind::Savepoint);
    let is_copy = |kept: &Kept| matches!(kept.kind, Some(ManifestKind::TakeOver | ManifestKind::Skipped));
    let old = manifests.iter().filter(|(epoch, kept)| is_old(**epoch) && !is_savepoint(kept));
    let copies =
        manifests.iter().rev().filter(|(epoch, kept)| !is_old(**epoch) && is_copy(kept)).skip(COPIES_MAX);
    let epochs: BTreeSet<Epoch> = old.chain(copies).map(|(epoch, _)| *epoch).collect();
    epochs.into_iter().collect()
}

/// Of `candidates`, the blocks that no manifest refers to.
pub(crate) fn unreferenced(
    candidates: &BTreeSet<BlockId>,
    manifests: &BTreeMap<Epoch, Kept>,
) -> Vec<BlockId> {
    let named = |id: &BlockId| manifests.values().any(|kept| kept.blocks.contains(id));
    candidates.iter().filter(|id| !named(id)).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_never_completes_an_epoch_does_not_fill_the_store() {
        let of = |kind| Kept { kind: Some(kind), blocks: Arc::default() };
        let cut = (Epoch(1), of(ManifestKind::Checkpoint));
        let starts = (2..102).map(|epoch| (Epoch(epoch), of(ManifestKind::TakeOver)));
        let gone = superfluous(&std::iter::once(cut).chain(starts).collect(), 2);
        assert_eq!(gone, (2..38).map(Epoch).collect::<Vec<_>>());
    }

    #[test]
    fn what_cannot_be_read_goes_when_it_is_old() {
        let kinds = [None, Some(ManifestKind::Checkpoint), None, Some(ManifestKind::Checkpoint), None];
        let manifests =
            (1..).map(Epoch).zip(kinds.map(|kind| Kept { kind, blocks: Arc::default() })).collect();
        assert_eq!(superfluous(&manifests, 0), [Epoch(1)]);
    }
}
