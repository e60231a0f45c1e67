//! What recovery opens, and what it refuses. That it takes over safely is shown by the search in
//! `tests/protocol`.

use super::*;
use crate::{BlockRef, Endpoint, OperatorState, Staged, StatePart};
use sabot_common::{KeyGroups, OperatorId};

fn topology() -> Topology {
    Topology {
        job: "count".to_owned(),
        hash_seed: 3,
        key_groups: KeyGroups::new(8).unwrap(),
        sources: Vec::new(),
        operators: Vec::new(),
        sinks: vec![Endpoint { id: OperatorId::new("out"), tasks: 1 }],
    }
}

fn manifest(epoch: u64) -> Manifest {
    let first = Manifest::first("count", 3, KeyGroups::new(8).unwrap());
    let groups = KeyGroups::new(8).unwrap().all();
    let part = StatePart { task: 0, groups, blocks: vec![BlockRef::of(&epoch.to_le_bytes())] };
    let id = OperatorId::new("count");
    let operators = vec![OperatorState { id, kind: String::new(), shape: String::new(), parts: vec![part] }];
    let staged = vec![Staged { task: 0, epoch: Epoch(epoch), payload: vec![], rows: 1 }];
    let sinks = vec![SinkState { id: OperatorId::new("out"), staged }];
    Manifest { epoch: Epoch(epoch), kind: ManifestKind::Checkpoint, generation: 4, operators, sinks, ..first }
}

fn damaged() -> Found {
    Found::Unusable(ManifestError::Damaged { wanted: "a".to_owned(), found: "b".to_owned() })
}

fn good(manifest: Manifest) -> Found {
    Found::Manifest(manifest.into())
}

/// Runs a recovery over these manifests with their blocks, but for one, and with output visible or not.
fn recover(found: &[(u64, Found)], missing: Option<u64>, visible: bool) -> (Vec<RecoveryAction>, Recovered) {
    let mut recovery = Recovery::new(topology().into(), Attempts::default(), 9);
    let (mut event, mut log) = (RecoveryEvent::Tick, Vec::new());
    for _ in 0..100 {
        let actions = recovery.step(event, Now { elapsed: Duration::ZERO, unix_ms: 77 });
        let [action] = &actions[..] else { panic!("{actions:?} after {log:?}") };
        event = match action {
            RecoveryAction::ListManifests => {
                RecoveryEvent::Listed(Ok(found.iter().map(|(epoch, _)| Epoch(*epoch)).collect()))
            }
            RecoveryAction::ReadManifest(epoch) => {
                let (_, found) = found.iter().find(|(e, _)| *e == epoch.0).unwrap();
                RecoveryEvent::Read { epoch: *epoch, found: found.clone() }
            }
            RecoveryAction::ListBlocks => {
                let there = (1u64..20).filter(|epoch| Some(*epoch) != missing);
                RecoveryEvent::BlocksListed(Ok(there
                    .map(|epoch| BlockId::of(&epoch.to_le_bytes()))
                    .collect()))
            }
            RecoveryAction::AskVisible { .. } => RecoveryEvent::Visible(Ok(visible)),
            RecoveryAction::Commit { .. } => RecoveryEvent::SinkCommitted(Ok(())),
            RecoveryAction::Finish { .. } => RecoveryEvent::SinkFinished(Ok(())),
            RecoveryAction::WriteManifest(_) => RecoveryEvent::Wrote(WriteOutcome::Written),
            RecoveryAction::Clean { .. } => RecoveryEvent::Cleaned(Ok(())),
            RecoveryAction::Done(recovered) => return (log, recovered.clone()),
        };
        let reads = |a: &RecoveryAction| {
            matches!(
                a,
                RecoveryAction::ListManifests | RecoveryAction::ReadManifest(_) | RecoveryAction::ListBlocks
            )
        };
        log.extend(actions.into_iter().filter(|action| !reads(action)));
    }
    panic!("no end: {log:?}");
}

fn refused(found: &[(u64, Found)], visible: bool) -> RecoveryError {
    match recover(found, None, visible) {
        (log, Recovered::Failed(error)) => {
            let writes = |a: &RecoveryAction| !matches!(a, RecoveryAction::AskVisible { .. });
            assert!(!log.iter().any(writes), "refused after {log:?}");
            error
        }
        (log, other) => panic!("{other:?} after {log:?}"),
    }
}

#[test]
fn the_newest_epoch_is_finished_and_then_taken_over() {
    let (log, recovered) = recover(&[(5, good(manifest(5))), (6, good(manifest(6)))], None, false);
    let Recovered::Ready(start) = recovered else { panic!("{recovered:?}") };
    let staged = manifest(6).sinks[0].staged.clone();
    assert_eq!(
        log,
        [
            RecoveryAction::Commit { sink: 0, epoch: Epoch(6), staged },
            RecoveryAction::WriteManifest(start.manifest.clone()),
            RecoveryAction::Clean { generation: 5 },
        ]
    );
    let taken = &start.manifest;
    assert_eq!((taken.epoch, taken.kind, taken.generation), (Epoch(7), ManifestKind::TakeOver, 5));
    assert_eq!((taken.writer, taken.created_ms, taken.sinks.len()), (9, 77, 1));
    assert!(taken.sinks[0].staged.is_empty());
    assert_eq!(taken.operators, manifest(6).operators);
    assert_eq!(start.kept.keys().map(|epoch| epoch.0).collect::<Vec<_>>(), [5, 6, 7]);
    assert_eq!(start.orphans.len(), 17, "all blocks but those of epochs 5 and 6");
}

#[test]
fn what_cannot_be_used_is_passed_by_if_nobody_has_seen_it() {
    // Torn, or without one of its blocks: both times the epoch before is opened, and no number is used twice.
    let torn = recover(&[(5, good(manifest(5))), (6, damaged())], None, false);
    let incomplete = recover(&[(5, good(manifest(5))), (6, good(manifest(6)))], Some(6), false);
    for (log, recovered) in [torn, incomplete] {
        let Recovered::Ready(start) = recovered else { panic!("{recovered:?}") };
        assert_eq!(log[0], RecoveryAction::AskVisible { after: Epoch(5) });
        assert_eq!((start.manifest.epoch, start.manifest.generation), (Epoch(7), 6));
        assert_eq!(start.manifest.operators, manifest(5).operators);
    }
}

#[test]
fn output_never_comes_twice_because_of_damage() {
    let error = refused(&[(5, good(manifest(5))), (6, damaged())], true);
    assert_eq!(error, RecoveryError::OutputAhead { usable: Epoch(5), unusable: vec![Epoch(6)] });
    assert!(error.to_string().contains("output of 6 is visible already"), "{error}");
}

#[test]
fn a_newer_format_is_refused_and_nothing_is_changed() {
    let newer = Found::Unusable(ManifestError::Newer { format: 2 });
    let error = refused(&[(5, good(manifest(5))), (6, newer)], false);
    assert!(
        error.to_string().starts_with("epoch 6: written by a newer version of Sabot (format 2"),
        "{error}"
    );
}

#[test]
fn other_jobs_and_lost_sinks_are_refused() {
    let other = Manifest { job: "frauds".to_owned(), ..manifest(5) };
    assert!(matches!(refused(&[(5, good(other))], false), RecoveryError::OtherJob { .. }));
    let mut lost = manifest(5);
    lost.sinks[0].id = OperatorId::new("gone");
    assert!(matches!(refused(&[(5, good(lost.clone()))], false), RecoveryError::UnknownSink { .. }));
    // With no row staged nobody misses it.
    lost.sinks[0].staged.iter_mut().for_each(|staged| staged.rows = 0);
    assert!(matches!(recover(&[(5, good(lost.clone()))], None, false).1, Recovered::Ready(_)));
    lost.sinks[0].staged.clear();
    assert!(matches!(recover(&[(5, good(lost))], None, false).1, Recovered::Ready(_)));
}

#[test]
fn a_store_with_nothing_usable_is_not_taken_for_an_empty_one() {
    let error = refused(&[(1, damaged()), (2, damaged())], false);
    assert_eq!(error, RecoveryError::NothingUsable { epochs: vec![Epoch(1), Epoch(2)] });
    // But the very first write of all may have been torn.
    let Recovered::Ready(start) = recover(&[(1, damaged())], None, false).1 else { panic!() };
    assert_eq!((start.manifest.epoch, start.manifest.generation), (Epoch(2), 2));
    assert!(matches!(refused(&[(1, damaged())], true), RecoveryError::OutputAhead { .. }));
}

#[test]
fn a_job_that_has_ended_is_completed_and_not_started() {
    let ended = Manifest { finished: true, ..manifest(6) };
    let (log, recovered) = recover(&[(6, good(ended.clone()))], None, false);
    assert_eq!(recovered, Recovered::Finished(ended.into()));
    assert_eq!(log.last(), Some(&RecoveryAction::Finish { sink: 0 }));
    assert!(!log.iter().any(|action| matches!(action, RecoveryAction::WriteManifest(_))));
}

#[test]
fn calls_are_repeated_and_in_the_end_recovery_fails() {
    let attempts = Attempts { max: 2, first: Duration::from_secs(1), longest: Duration::from_secs(1) };
    let mut recovery = Recovery::new(topology().into(), attempts, 9);
    let at = |secs| Now { elapsed: Duration::from_secs(secs), unix_ms: 0 };
    recovery.step(RecoveryEvent::Tick, at(0));
    let failed = || RecoveryEvent::Listed(Err("no route".to_owned()));
    assert_eq!(recovery.step(failed(), at(0)), []);
    assert_eq!(recovery.deadline(), Some(at(1).elapsed));
    assert_eq!(recovery.step(RecoveryEvent::Tick, at(1)), [RecoveryAction::ListManifests]);
    let reason = "no route".to_owned();
    let error = RecoveryAction::Done(Recovered::Failed(RecoveryError::Failed { reason }));
    assert_eq!(recovery.step(failed(), at(1)), [error]);
    assert_eq!(recovery.step(RecoveryEvent::Tick, at(9)), []);
}

fn list_nothing(recovery: &mut Recovery, now: Now) {
    let nothing = || RecoveryEvent::Listed(Ok(vec![]));
    recovery.step(nothing(), now);
    recovery.step(RecoveryEvent::BlocksListed(Ok(vec![])), now);
    recovery.step(nothing(), now);
}

/// Epoch 3 was taken over, and deleted because there are later ones; then a writer that had slept filled the
/// number. Whoever has listed manifests before all that must not believe what stands there now.
#[test]
fn a_manifest_that_is_not_the_newest_any_more_is_not_believed() {
    let mut recovery = Recovery::new(topology().into(), Attempts::default(), 9);
    let now = Now::default();
    recovery.step(RecoveryEvent::Tick, now);
    recovery.step(RecoveryEvent::Listed(Ok(vec![Epoch(3)])), now);
    recovery.step(RecoveryEvent::Read { epoch: Epoch(3), found: good(manifest(3)) }, now);
    let blocks = vec![BlockId::of(&3u64.to_le_bytes())];
    assert_eq!(recovery.step(RecoveryEvent::BlocksListed(Ok(blocks)), now), [RecoveryAction::ListManifests]);
    let listed = RecoveryEvent::Listed(Ok(vec![Epoch(3), Epoch(4)]));
    assert_eq!(recovery.step(listed.clone(), now), [RecoveryAction::ListManifests]);
    assert_eq!(recovery.step(listed, now), [RecoveryAction::ReadManifest(Epoch(4))]);
}

#[test]
fn whoever_is_slower_begins_again() {
    let mut recovery = Recovery::new(topology().into(), Attempts::default(), 9);
    let now = Now::default();
    recovery.step(RecoveryEvent::Tick, now);
    for _ in 1..ROUNDS_MAX {
        list_nothing(&mut recovery, now);
        let actions = recovery.step(RecoveryEvent::Wrote(WriteOutcome::Taken), now);
        assert_eq!(actions, [RecoveryAction::ListManifests]);
    }
    list_nothing(&mut recovery, now);
    let actions = recovery.step(RecoveryEvent::Wrote(WriteOutcome::Taken), now);
    let contended = RecoveryError::Contended { rounds: ROUNDS_MAX };
    assert_eq!(actions, [RecoveryAction::Done(Recovered::Failed(contended))]);
}
