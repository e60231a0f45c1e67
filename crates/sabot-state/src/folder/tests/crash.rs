//! Crashes at every call, and disks that fail at every call: what was acknowledged is there, and nothing is
//! ever there in part.

use super::simulated::{SimulatedDisk, Skipped, Unsynced};
use crate::folder::FolderStore;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sabot_checkpoint::{
    BlockRef, CheckpointStore, Created, Manifest, ManifestKind, OperatorState, StatePart, StoreError,
    StoreErrorKind, read_manifest,
};
use sabot_common::{Epoch, KeyGroups};
use std::collections::BTreeSet;
use std::io::ErrorKind;

const EPOCHS: u64 = 5;

fn open(disk: &SimulatedDisk) -> Result<FolderStore, StoreError> {
    FolderStore::on("/data/checkpoints".into(), Box::new(disk.clone()))
}

/// The blocks of an epoch: two of its own and one that changes with every third epoch.
fn blocks_of(epoch: u64, generation: u64) -> Vec<Vec<u8>> {
    let own = |name| format!("{name} of epoch {epoch}, generation {generation}").repeat(20).into_bytes();
    vec![own("first"), own("second"), format!("shared by {}", epoch / 3).repeat(30).into_bytes()]
}

fn manifest_of(epoch: u64, generation: u64) -> Manifest {
    let blocks = blocks_of(epoch, generation).iter().map(|bytes| BlockRef::of(bytes)).collect();
    let groups = KeyGroups::default().all();
    let part = StatePart { task: 0, groups, blocks };
    let state =
        OperatorState { id: "count".into(), kind: "group_by".into(), shape: "n".into(), parts: vec![part] };
    Manifest {
        epoch: Epoch(epoch),
        generation,
        kind: ManifestKind::Checkpoint,
        operators: vec![state],
        ..Manifest::first("job", 7, KeyGroups::default())
    }
}

/// A job writes epochs and keeps the last two. `acknowledged` is the last epoch that it was told is there.
fn write_epochs(
    store: &FolderStore,
    from: u64,
    generation: u64,
    acknowledged: &mut u64,
) -> Result<(), StoreError> {
    for epoch in from..from + EPOCHS {
        let manifest = manifest_of(epoch, generation);
        let there: BTreeSet<_> = store.blocks()?.into_iter().collect();
        for bytes in blocks_of(epoch, generation) {
            let block = BlockRef::of(&bytes);
            // What an earlier epoch of this job holds is not written again.
            if epoch == from || !there.contains(&block.id) {
                store.put_block(block.id, &bytes)?;
            }
        }
        let bytes = manifest.to_bytes().unwrap();
        let created = store.create_manifest(Epoch(epoch), &bytes)?;
        assert_eq!(created, Created::Written);
        *acknowledged = epoch;

        let epochs = store.manifests()?;
        assert_eq!(epochs.last(), Some(&Epoch(epoch)));
        let (old, kept) = epochs.split_at(epochs.len().saturating_sub(2));
        for epoch in old {
            store.delete_manifest(*epoch)?;
        }
        let mut used = BTreeSet::new();
        for epoch in kept {
            used.extend(read_manifest(store, *epoch)?.blocks());
        }
        for block in store.blocks()?.into_iter().filter(|block| !used.contains(block)) {
            store.delete_block(block)?;
        }
    }
    Ok(())
}

/// The last epoch; every epoch that is listed can be opened with all of its blocks.
fn check(disk: &SimulatedDisk, acknowledged: u64) -> Result<u64, String> {
    let said = |error: StoreError| error.to_string();
    let store = open(disk).map_err(said)?;
    let epochs = store.manifests().map_err(said)?;
    for epoch in &epochs {
        let manifest = read_manifest(&store, *epoch).map_err(said)?;
        for block in manifest.blocks() {
            store.block(block).map_err(said)?;
        }
    }
    match epochs.last().map_or(0, |epoch| epoch.0) {
        last if last < acknowledged => Err(format!("epoch {acknowledged} is lost; the last one is {last}")),
        last => Ok(last),
    }
}

/// Calls that a job makes on a sound disk.
fn calls() -> usize {
    let disk = SimulatedDisk::new();
    write_epochs(&open(&disk).unwrap(), 1, 1, &mut 0).unwrap();
    disk.calls()
}

fn fates(seeds: u64) -> impl Iterator<Item = Unsynced> {
    let random = (0..seeds).map(Unsynced::random);
    [Unsynced::Lost, Unsynced::Kept].into_iter().chain(random)
}

/// Cuts power at every call. Returns how often, and the first thing that was wrong.
fn cut_power_everywhere(skipped: Skipped, seeds: u64) -> (usize, Result<(), String>) {
    let mut cuts = 0;
    let all = calls();
    for call in 0..=all {
        for mut fate in fates(seeds) {
            let disk = SimulatedDisk::new().skip(skipped);
            disk.stop_at(call);
            let mut acknowledged = 0;
            let written = open(&disk).and_then(|store| write_epochs(&store, 1, 1, &mut acknowledged));
            assert_eq!(written.is_ok(), call >= all, "{written:?}");
            disk.cut_power(&mut fate);
            cuts += 1;
            let checked = check(&disk, acknowledged).and_then(|last| {
                // And the job goes on from there.
                let mut next = last;
                let store = open(&disk).map_err(|error| error.to_string())?;
                write_epochs(&store, last + 1, 2, &mut next).map_err(|error| error.to_string())?;
                disk.cut_power(&mut Unsynced::Lost);
                check(&disk, next).map(|_| ())
            });
            if let Err(problem) = checked {
                return (cuts, Err(format!("power cut at call {call}, {fate:?}: {problem}")));
            }
        }
    }
    (cuts, Ok(()))
}

/// Kills the process at every call, looks what the last epoch is, as whoever takes over does, and cuts power
/// then or some calls later.
fn kill_everywhere(skipped: Skipped, seeds: u64) -> (usize, Result<(), String>) {
    let mut kills = 0;
    let all = calls();
    for call in 0..=all {
        for (seed, mut fate) in (0u64..).zip(fates(seeds)) {
            let disk = SimulatedDisk::new().skip(skipped);
            disk.stop_at(call);
            let mut acknowledged = 0;
            let _ = open(&disk).and_then(|store| write_epochs(&store, 1, 1, &mut acknowledged));
            disk.kill();
            kills += 1;
            let mut later = ChaCha8Rng::seed_from_u64(seed ^ call as u64);
            let checked = check(&disk, acknowledged).and_then(|last| {
                // What was seen counts: its outputs are committed now.
                let mut acknowledged = last;
                if later.random_bool(0.5) {
                    disk.stop_at(later.random_range(0..all));
                    let _ =
                        open(&disk).and_then(|store| write_epochs(&store, last + 1, 2, &mut acknowledged));
                }
                disk.cut_power(&mut fate);
                check(&disk, acknowledged)
            });
            if let Err(problem) = checked {
                return (kills, Err(format!("killed at call {call}, {fate:?}: {problem}")));
            }
        }
    }
    (kills, Ok(()))
}

#[test]
fn what_was_acknowledged_survives_a_loss_of_power_at_every_call() {
    let (cuts, result) = cut_power_everywhere(|_, _, _| false, 24);
    result.unwrap();
    println!("power was cut {cuts} times, at each of {} calls", calls());
    assert!(cuts > 26 * 150, "{cuts}");
}

#[test]
fn what_was_seen_after_a_kill_survives_a_loss_of_power() {
    let (kills, result) = kill_everywhere(|_, _, _| false, 24);
    result.unwrap();
    println!("killed {kills} times, at each of {} calls", calls());
    assert!(kills > 26 * 150, "{kills}");
}

#[test]
fn canary_every_sync_is_needed() {
    let canaries: [(&str, Skipped); 6] = [
        ("the bytes of a block", |_, call, path| call == "sync" && path.contains("blocks")),
        ("the bytes of a manifest", |_, call, path| call == "sync" && path.contains("epochs")),
        ("the name of a block", |last, call, path| {
            (last, call) == ("rename", "sync folder") && path.contains("blocks/")
        }),
        ("the folder of a block", |_, call, path| call == "sync folder" && path.ends_with("blocks")),
        ("the name of a manifest", |last, call, _| (last, call) == ("link", "sync folder")),
        ("the removal of a manifest", |last, call, path| {
            (last, call) == ("remove", "sync folder") && path.ends_with("epochs")
        }),
    ];
    for (what, skipped) in canaries {
        let (_, result) = cut_power_everywhere(skipped, 24);
        assert!(result.is_err(), "{what} need not be synced");
    }
    let listed: Skipped =
        |last, call, path| (last, call) == ("list", "sync folder") && path.ends_with("epochs");
    assert!(kill_everywhere(listed, 24).1.is_err(), "a listed manifest need not be synced");
}

#[test]
fn a_disk_that_fails_at_any_call_gives_an_error_or_the_epoch() {
    let mut failures = 0;
    for kind in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded, ErrorKind::Other] {
        for call in 0..calls() {
            for mut fate in fates(6) {
                let disk = SimulatedDisk::new();
                disk.fail_at(call, kind);
                let mut acknowledged = 0;
                let written = open(&disk).and_then(|store| write_epochs(&store, 1, 1, &mut acknowledged));
                if let Err(error) = &written {
                    failures += 1;
                    let text = error.to_string();
                    assert!(text.contains("/data/checkpoints"), "{text}");
                    let is_full = error.kind == StoreErrorKind::Full;
                    assert!(!is_full || kind != ErrorKind::Other, "{text}");
                    assert!(is_full || matches!(error.kind, StoreErrorKind::Io { .. }), "{text}");
                    // The epoch that was tried is not there where that is said.
                    let epochs = open(&disk).unwrap().manifests().unwrap();
                    let last = epochs.last().map_or(0, |epoch| epoch.0);
                    assert!(last == acknowledged || !error.nothing_happened(), "{text}: {last}");
                }
                let last = check(&disk, acknowledged).unwrap();
                // Trying again in the same process succeeds, and what it says is so.
                let store = open(&disk).unwrap();
                let mut next = last;
                write_epochs(&store, last + 1, 2, &mut next).unwrap();
                disk.cut_power(&mut fate);
                check(&disk, next)
                    .unwrap_or_else(|problem| panic!("{kind}, call {call}, {fate:?}: {problem}"));
            }
        }
    }
    println!("{failures} failures of the disk");
    assert!(failures > 2 * 8 * 150, "{failures}");
}

#[test]
fn a_call_that_failed_can_be_repeated() {
    // As above, but the same call is made again, of the same store, and power is cut after its answer.
    let bytes = b"a block".repeat(40);
    let block = BlockRef::of(&bytes);
    for kind in [ErrorKind::StorageFull, ErrorKind::Other] {
        for call in 0..12 {
            for mut fate in fates(12) {
                let disk = SimulatedDisk::new();
                let store = open(&disk).unwrap();
                disk.fail_at(call, kind);
                let first = store.put_block(block.id, &bytes);
                if first.is_err() {
                    store.put_block(block.id, &bytes).unwrap();
                }
                let created = store.create_manifest(Epoch(1), b"one");
                if created.is_err() {
                    store.create_manifest(Epoch(1), b"one").unwrap();
                }
                disk.cut_power(&mut fate);
                let store = open(&disk).unwrap();
                assert_eq!(store.block(block.id).unwrap(), bytes, "{kind}, call {call}, {fate:?}");
                assert_eq!(store.manifest(Epoch(1)).unwrap(), b"one", "{kind}, call {call}, {fate:?}");
            }
        }
    }
}
