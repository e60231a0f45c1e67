//! What the outside does when it is called: a store, and sinks.

use sabot_checkpoint::{BlockId, BlockRef, Found, ManifestError, WriteOutcome};
use sabot_common::Epoch;
use std::sync::Arc;

use crate::invariants;
use crate::world::{Broken, Call, Part, World};

/// What comes of a call.
pub(crate) enum Reply {
    Listed(Result<Vec<Epoch>, String>),
    Read(Epoch, Found),
    Blocks(Result<Vec<BlockId>, String>),
    Visible(Result<bool, String>),
    Put(usize, Epoch, Result<BlockRef, String>),
    Wrote(Epoch, WriteOutcome),
    Committed(u32, Epoch, Result<(), String>),
    Finished(u32, Result<(), String>),
    Cleaned(Result<(), String>),
    Deleted(bool),
}

/// What a writer is told when a call has failed.
pub(crate) fn failed(call: &Call, known: bool) -> Reply {
    let reason = "x".to_owned();
    match call {
        Call::List => Reply::Listed(Err(reason)),
        Call::Read(epoch) => Reply::Read(*epoch, Found::Failed { reason }),
        Call::ListBlocks => Reply::Blocks(Err(reason)),
        Call::Ask { .. } => Reply::Visible(Err(reason)),
        Call::Put { task, epoch, .. } => Reply::Put(*task, *epoch, Err(reason)),
        Call::Create(manifest) | Call::Newest(manifest) => {
            let outcome =
                if known { WriteOutcome::Failed { reason } } else { WriteOutcome::Unknown { reason } };
            Reply::Wrote(manifest.epoch, outcome)
        }
        Call::Commit { sink, epoch, .. } => Reply::Committed(*sink, *epoch, Err(reason)),
        Call::Finish { sink } => Reply::Finished(*sink, Err(reason)),
        Call::Clean { .. } => Reply::Cleaned(Err(reason)),
        Call::DeleteManifests(_) | Call::DeleteBlocks(_) => Reply::Deleted(false),
    }
}

/// What a step of a call leads to.
pub(crate) enum Progress {
    More(Call),
    Done(Reply),
}

/// Does a call, or one step of it.
pub(crate) fn perform(world: &mut World, call: Call) -> Result<Progress, String> {
    let config = world.config.clone();
    let reply = match call {
        Call::List => Reply::Listed(Ok(world.store.manifests.keys().copied().collect())),
        Call::Read(epoch) => {
            let torn = || ManifestError::Damaged { wanted: String::new(), found: String::new() };
            let found = match world.store.manifests.get(&epoch) {
                None => Found::Gone,
                Some(None) => Found::Unusable(torn()),
                Some(Some(manifest)) => Found::Manifest(manifest.clone()),
            };
            Reply::Read(epoch, found)
        }
        Call::ListBlocks => Reply::Blocks(Ok(world.store.blocks.iter().copied().collect())),
        Call::Ask { after } => {
            let later = |part: &Part| u64::from(part.epoch) > after.0;
            Reply::Visible(Ok(world.sinks.iter().any(|sink| sink.visible.iter().any(later))))
        }
        Call::Put { task, epoch, block } => {
            Arc::make_mut(&mut world.store).blocks.insert(block.id);
            Reply::Put(task, epoch, Ok(block))
        }
        Call::Create(manifest) => {
            let epoch = manifest.epoch;
            let there = world.store.manifests.get(&epoch);
            match there {
                Some(found) if found.as_ref() != Some(&manifest) && !config.is_broken(Broken::NoFencing) => {
                    Reply::Wrote(epoch, WriteOutcome::Taken)
                }
                _ => {
                    if there.is_none() {
                        invariants::created(world, epoch, Some(&manifest))?;
                    }
                    Arc::make_mut(&mut world.store).manifests.insert(epoch, Some(manifest.clone()));
                    if config.is_broken(Broken::NoNewestCheck) {
                        Reply::Wrote(epoch, WriteOutcome::Written)
                    } else {
                        return Ok(Progress::More(Call::Newest(manifest)));
                    }
                }
            }
        }
        Call::Newest(manifest) => {
            let newest = world.store.manifests.keys().next_back() == Some(&manifest.epoch);
            let outcome = if newest { WriteOutcome::Written } else { WriteOutcome::Taken };
            Reply::Wrote(manifest.epoch, outcome)
        }
        Call::Commit { sink, epoch, mut parts } => {
            let files = Arc::make_mut(&mut world.sinks[sink as usize]);
            while let Some(part) = parts.pop() {
                if files.staged.remove(&part) {
                    files.visible.insert(part);
                } else if !files.visible.contains(&part) {
                    return Err(format!("I2: {part:?} of sink {sink} is to be committed and was removed"));
                }
                if !config.at_once.commits {
                    break;
                }
            }
            if !parts.is_empty() {
                return Ok(Progress::More(Call::Commit { sink, epoch, parts }));
            }
            Reply::Committed(sink, epoch, Ok(()))
        }
        Call::Finish { sink } => {
            Arc::make_mut(&mut world.sinks[sink as usize]).finished = true;
            Reply::Finished(sink, Ok(()))
        }
        Call::Clean { generation } => {
            let everybody = config.is_broken(Broken::CleanEverybody);
            for sink in &mut world.sinks {
                let stays = |part: &Part| {
                    let of = u64::from(part.generation);
                    if everybody { of == generation } else { of >= generation }
                };
                Arc::make_mut(sink).staged.retain(stays);
            }
            Reply::Cleaned(Ok(()))
        }
        Call::DeleteManifests(mut epochs) => {
            let store = Arc::make_mut(&mut world.store);
            let gone =
                (!epochs.is_empty()).then(|| store.manifests.remove(&epochs.remove(0))).flatten().flatten();
            if let Some(manifest) = gone.filter(|_| config.is_broken(Broken::DeleteReferenced)) {
                for block in manifest.blocks() {
                    store.blocks.remove(&block);
                }
            }
            if !epochs.is_empty() {
                return Ok(Progress::More(Call::DeleteManifests(epochs)));
            }
            Reply::Deleted(true)
        }
        Call::DeleteBlocks(blocks) => {
            let store = Arc::make_mut(&mut world.store);
            for block in blocks {
                store.blocks.remove(&block);
            }
            Reply::Deleted(true)
        }
    };
    Ok(Progress::Done(reply))
}
