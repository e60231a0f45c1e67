//! A store in memory, for tests: it fails where it is told to.

use sabot_common::Epoch;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{CheckpointStore, Created, StoreError, StoreErrorKind};
use crate::BlockId;

/// The calls of a [`CheckpointStore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// [`CheckpointStore::put_block`].
    PutBlock,
    /// [`CheckpointStore::block`].
    Block,
    /// [`CheckpointStore::create_manifest`].
    CreateManifest,
    /// [`CheckpointStore::manifest`].
    Manifest,
    /// [`CheckpointStore::manifests`].
    Manifests,
    /// [`CheckpointStore::delete_manifest`].
    DeleteManifest,
    /// [`CheckpointStore::blocks`].
    Blocks,
    /// [`CheckpointStore::delete_block`].
    DeleteBlock,
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Nothing is done, and nobody knows.
    Lost,
    /// All is done, and the answer does not arrive.
    AnswerLost,
    /// Nothing is done for want of space. Calls that write nothing are not affected.
    Full,
    /// Half of the bytes are written, under their name, and the answer does not arrive. No store may do
    /// that; a file system that lies does.
    Torn,
}

/// A store in memory. Clones share what they hold, as two processes share a folder.
///
/// ```
/// # use sabot_checkpoint::{Call, CheckpointStore, Fault, MemoryStore, WriteOutcome, write_manifest};
/// # use sabot_common::Epoch;
/// let store = MemoryStore::new();
/// store.fail(Call::CreateManifest, 0, Fault::AnswerLost);
/// assert!(matches!(write_manifest(&store, Epoch(1), b"a"), WriteOutcome::Unknown { .. }));
/// assert_eq!(store.manifests()?, [Epoch(1)]);
/// assert_eq!(write_manifest(&store, Epoch(1), b"a"), WriteOutcome::Written);
/// # Ok::<(), sabot_checkpoint::StoreError>(())
/// ```
#[derive(Clone, Default)]
pub struct MemoryStore {
    held: Arc<Mutex<Held>>,
}

#[derive(Default)]
struct Held {
    blocks: BTreeMap<BlockId, Vec<u8>>,
    manifests: BTreeMap<Epoch, Vec<u8>>,
    /// Faults to come: of which call, after how many more of it, and which.
    faults: Vec<(Call, u64, Fault)>,
    full: bool,
}

impl Held {
    /// Counts a call and takes the fault that it was waiting for.
    fn fault(&mut self, call: Call) -> Option<Fault> {
        let writes = matches!(call, Call::PutBlock | Call::CreateManifest);
        let due = self.faults.iter().position(|(of, left, _)| *of == call && *left == 0);
        let fault = due.map(|at| self.faults.remove(at).2);
        for (_, left, _) in self.faults.iter_mut().filter(|(of, ..)| *of == call) {
            *left = left.saturating_sub(1);
        }
        let full = fault == Some(Fault::Full) || (fault.is_none() && self.full);
        if full { writes.then_some(Fault::Full) } else { fault }
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets a call fail, once, after `after` further ones of its kind.
    pub fn fail(&self, call: Call, after: u64, fault: Fault) {
        self.held().faults.push((call, after, fault));
    }

    /// Whether there is no space from now on.
    pub fn set_full(&self, full: bool) {
        self.held().full = full;
    }

    /// Replaces the bytes of a manifest behind everybody's back.
    pub fn damage_manifest(&self, epoch: Epoch, bytes: &[u8]) {
        self.held().manifests.insert(epoch, bytes.to_vec());
    }

    /// Replaces the bytes of a block behind everybody's back.
    pub fn damage_block(&self, id: BlockId, bytes: &[u8]) {
        self.held().blocks.insert(id, bytes.to_vec());
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does a call, or fails as it was told to. `act` is given the share of its bytes that it may write.
    fn call<T>(
        &self,
        call: Call,
        what: impl Fn() -> String,
        act: impl FnOnce(&mut Held, Option<usize>) -> Result<T, StoreErrorKind>,
    ) -> Result<T, StoreError> {
        let error = |kind| StoreError::new(what(), "memory", kind);
        let io = |problem: &str| error(StoreErrorKind::Io { problem: problem.to_owned() });
        let mut held = self.held();
        match held.fault(call) {
            None => act(&mut held, None).map_err(error),
            Some(Fault::Full) => Err(error(StoreErrorKind::Full)),
            Some(Fault::Lost) => Err(io("the request was lost")),
            Some(Fault::AnswerLost) => {
                act(&mut held, None).map_err(error).and(Err(io("the answer was lost")))
            }
            Some(Fault::Torn) => act(&mut held, Some(2)).map_err(error).and(Err(io("the power was cut"))),
        }
    }
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("memory")
    }
}

/// The first `1/share` of the bytes.
fn first(bytes: &[u8], share: Option<usize>) -> Vec<u8> {
    bytes[..bytes.len() / share.unwrap_or(1).max(1)].to_vec()
}

impl CheckpointStore for MemoryStore {
    fn put_block(&self, id: BlockId, bytes: &[u8]) -> Result<(), StoreError> {
        self.call(
            Call::PutBlock,
            || format!("write block {id}"),
            |held, share| {
                id.check(bytes)?;
                held.blocks.insert(id, first(bytes, share));
                Ok(())
            },
        )
    }

    fn block(&self, id: BlockId) -> Result<Vec<u8>, StoreError> {
        self.call(
            Call::Block,
            || format!("read block {id}"),
            |held, _| {
                let bytes = held.blocks.get(&id).ok_or(StoreErrorKind::NotFound)?;
                id.check(bytes)?;
                Ok(bytes.clone())
            },
        )
    }

    fn create_manifest(&self, epoch: Epoch, bytes: &[u8]) -> Result<Created, StoreError> {
        self.call(
            Call::CreateManifest,
            || format!("create the manifest of epoch {epoch}"),
            |held, share| {
                if held.manifests.contains_key(&epoch) {
                    return Ok(Created::Exists);
                }
                held.manifests.insert(epoch, first(bytes, share));
                Ok(Created::Written)
            },
        )
    }

    fn manifest(&self, epoch: Epoch) -> Result<Vec<u8>, StoreError> {
        self.call(
            Call::Manifest,
            || format!("read the manifest of epoch {epoch}"),
            |held, _| held.manifests.get(&epoch).cloned().ok_or(StoreErrorKind::NotFound),
        )
    }

    fn manifests(&self) -> Result<Vec<Epoch>, StoreError> {
        self.call(
            Call::Manifests,
            || "list manifests".to_owned(),
            |held, _| Ok(held.manifests.keys().copied().collect()),
        )
    }

    fn delete_manifest(&self, epoch: Epoch) -> Result<(), StoreError> {
        self.call(
            Call::DeleteManifest,
            || format!("delete the manifest of epoch {epoch}"),
            |held, _| {
                held.manifests.remove(&epoch);
                Ok(())
            },
        )
    }

    fn blocks(&self) -> Result<Vec<BlockId>, StoreError> {
        self.call(
            Call::Blocks,
            || "list blocks".to_owned(),
            |held, _| Ok(held.blocks.keys().copied().collect()),
        )
    }

    fn delete_block(&self, id: BlockId) -> Result<(), StoreError> {
        self.call(
            Call::DeleteBlock,
            || format!("delete block {id}"),
            |held, _| {
                held.blocks.remove(&id);
                Ok(())
            },
        )
    }
}
