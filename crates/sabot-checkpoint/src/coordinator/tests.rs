//! One decision after the other. That they fit together is shown by the search in `tests/protocol`.

use super::*;
use crate::{BlockRef, Endpoint, KeyedOperator, PartitionState, Staged};
use sabot_common::{KeyGroups, OperatorId};

const SOURCE: TaskId = TaskId::source(0, 0);
const STATE: TaskId = TaskId::state(0, 0);
const SINK: TaskId = TaskId::sink(0, 0);

fn topology() -> Arc<Topology> {
    let one = |name: &str| vec![Endpoint { id: OperatorId::new(name), tasks: 1 }];
    let (kind, shape) = ("group_by".to_owned(), "n int64".to_owned());
    Arc::new(Topology {
        job: "count".to_owned(),
        hash_seed: 3,
        key_groups: KeyGroups::new(8).unwrap(),
        sources: one("in"),
        operators: vec![KeyedOperator { id: OperatorId::new("count"), kind, shape, tasks: 1 }],
        sinks: one("out"),
    })
}

fn at(secs: u64) -> Now {
    Now { elapsed: Duration::from_secs(secs), unix_ms: secs * 1_000 }
}

/// A coordinator with an epoch every 10 s, that has started at 0.
fn coordinator(change: impl FnOnce(&mut CheckpointConfig)) -> Coordinator {
    let mut config = CheckpointConfig { timeout: Duration::from_secs(5), ..CheckpointConfig::default() };
    config.attempts =
        crate::Attempts { max: 2, first: Duration::from_secs(1), longest: Duration::from_secs(1) };
    change(&mut config);
    let mut coordinator = Coordinator::new(topology(), config, Start::fresh(&topology()), at(0));
    assert_eq!(coordinator.step(Event::Tick, at(0)), []);
    coordinator
}

fn barrier(epoch: u64, cut: Cut) -> Action {
    Action::InjectBarrier { epoch: Epoch(epoch), cut }
}

fn positions(rows: u64) -> Answer {
    let name = "a.csv".to_owned();
    Answer::Positions(vec![PartitionState {
        name,
        ordinal: 0,
        position: vec![],
        rows,
        event_time_max: None,
        ended: false,
    }])
}

fn block(epoch: u64) -> BlockRef {
    BlockRef::of(format!("state of epoch {epoch}").as_bytes())
}

fn staged(epoch: u64) -> Staged {
    Staged { task: 0, epoch: Epoch(epoch), payload: vec![], rows: 1 }
}

fn answer(c: &mut Coordinator, task: TaskId, epoch: u64, now: Now) -> Vec<Action> {
    let answer = match task.role {
        Role::Source => positions(epoch),
        Role::State => Answer::State { groups: KeyGroups::new(8).unwrap().all(), blocks: vec![block(epoch)] },
        Role::Sink => Answer::Staged(Some(staged(epoch))),
    };
    c.step(Event::Answered { task, epoch: Epoch(epoch), answer }, now)
}

/// Answers a barrier with all tasks; the manifest that is to be written.
fn all_answer(c: &mut Coordinator, epoch: u64, now: Now) -> Arc<Manifest> {
    assert_eq!(answer(c, SINK, epoch, now), []);
    assert_eq!(answer(c, SOURCE, epoch, now), []);
    match &answer(c, STATE, epoch, now)[..] {
        [Action::WriteManifest(manifest)] => manifest.clone(),
        other => panic!("{other:?}"),
    }
}

fn wrote(c: &mut Coordinator, epoch: u64, outcome: WriteOutcome, now: Now) -> Vec<Action> {
    c.step(Event::Wrote { epoch: Epoch(epoch), outcome }, now)
}

fn committed(c: &mut Coordinator, epoch: u64, now: Now) -> Vec<Action> {
    c.step(Event::SinkCommitted { sink: 0, epoch: Epoch(epoch), result: Ok(()) }, now)
}

/// A whole epoch, with a barrier that was injected already; what follows its commit.
fn complete(c: &mut Coordinator, epoch: u64, now: Now) -> Vec<Action> {
    all_answer(c, epoch, now);
    wrote(c, epoch, WriteOutcome::Written, now);
    committed(c, epoch, now)
}

fn unknown() -> WriteOutcome {
    WriteOutcome::Unknown { reason: "no answer".to_owned() }
}

fn full() -> WriteOutcome {
    WriteOutcome::Failed { reason: "no space".to_owned() }
}

fn stop_reason(actions: &[Action]) -> &str {
    match actions {
        [.., Action::Stop(Outcome::Failed { reason })] => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn epochs_start_by_time() {
    let mut c = coordinator(|_| {});
    assert_eq!(c.deadline(), Some(at(10).elapsed));
    assert_eq!(c.step(Event::Tick, at(9)), []);
    assert_eq!(c.step(Event::Tick, at(10)), [barrier(2, Cut::Checkpoint)]);
    // From start to start, and not while one is under way.
    assert_eq!(c.step(Event::Rows(1), at(14)), []);
    complete(&mut c, 2, at(14));
    assert_eq!(c.deadline(), Some(at(20).elapsed));
}

#[test]
fn epochs_start_by_rows_and_keep_their_distance() {
    let by_rows = |config: &mut CheckpointConfig| {
        (config.interval, config.rows, config.min_pause) = (None, Some(100), Duration::from_secs(3));
    };
    let mut c = coordinator(by_rows);
    assert_eq!(c.step(Event::Rows(99), at(9)), []);
    assert_eq!(c.deadline(), None);
    assert_eq!(c.step(Event::Rows(1), at(9)), [barrier(2, Cut::Checkpoint)]);
    assert_eq!(c.step(Event::Rows(500), at(9)), []);
    complete(&mut c, 2, at(10));
    assert_eq!(c.deadline(), Some(at(13).elapsed));
    assert_eq!(c.step(Event::Tick, at(13)), [barrier(3, Cut::Checkpoint)]);
}

#[test]
fn a_manifest_holds_what_the_tasks_said() {
    let mut c = coordinator(|_| {});
    c.step(Event::Tick, at(10));
    let manifest = all_answer(&mut c, 2, at(11));
    assert_eq!((manifest.epoch, manifest.generation, manifest.created_ms), (Epoch(2), 1, 11_000));
    assert_eq!((manifest.kind, manifest.finished), (ManifestKind::Checkpoint, false));
    assert_eq!(Answer::Positions(manifest.sources[0].partitions.clone()), positions(2));
    assert_eq!(manifest.operators[0].parts[0].blocks, [block(2)]);
    assert_eq!(manifest.sinks[0].staged, [staged(2)]);
    manifest.to_bytes().unwrap();
    let commit = Action::Commit { sink: 0, epoch: Epoch(2), staged: vec![staged(2)] };
    let actions = wrote(&mut c, 2, WriteOutcome::Written, at(12));
    assert_eq!(actions, [Action::Committed { epoch: Epoch(2) }, commit]);
    assert_eq!(c.committed(), Epoch(2));
}

#[test]
fn what_was_staged_for_an_epoch_that_was_given_up_goes_with_the_next() {
    let mut c = coordinator(|_| {});
    c.step(Event::Tick, at(10));
    answer(&mut c, SINK, 2, at(11));
    let actions = c.step(Event::Tick, at(15));
    assert!(
        matches!(&actions[..], [Action::GaveUp { epoch: Epoch(2), reason }] if reason.contains("2 tasks")),
        "{actions:?}"
    );
    // What comes late is not lost either; what comes twice is not taken twice.
    answer(&mut c, STATE, 2, at(16));
    answer(&mut c, SINK, 2, at(16));
    assert_eq!(c.step(Event::Tick, at(20)), [barrier(3, Cut::Checkpoint)]);
    // The number of the epoch is used up before the next one is written.
    let skipped = all_answer(&mut c, 3, at(21));
    assert_eq!((skipped.epoch, skipped.kind), (Epoch(2), ManifestKind::Skipped));
    let actions = wrote(&mut c, 2, WriteOutcome::Written, at(21));
    let [Action::WriteManifest(manifest)] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!(manifest.sinks[0].staged, [staged(2), staged(3)]);
    wrote(&mut c, 3, WriteOutcome::Written, at(21));
    // The block that was written for nothing goes.
    assert_eq!(committed(&mut c, 3, at(21)), [Action::DeleteBlocks(vec![block(2).id])]);
}

#[test]
fn a_sink_that_cannot_stage_fails_the_job_and_a_snapshot_does_not() {
    let could_not = |task| Event::CouldNot { task, epoch: Epoch(2), reason: "no space".to_owned() };
    let mut c = coordinator(|_| {});
    c.step(Event::Tick, at(10));
    assert!(matches!(&c.clone().step(could_not(STATE), at(11))[..], [Action::GaveUp { .. }]));
    assert_eq!(stop_reason(&c.step(could_not(SINK), at(11))), "out: epoch 2 could not be staged: no space");
}

#[test]
fn epochs_may_be_given_up_so_often_in_a_row() {
    let mut c = coordinator(|config| config.failures_tolerated = 1);
    c.step(Event::Tick, at(10));
    assert!(matches!(&c.step(Event::Tick, at(15))[..], [Action::GaveUp { .. }]));
    c.step(Event::Tick, at(20));
    assert!(stop_reason(&c.step(Event::Tick, at(25))).contains("epoch 3 was given up"));
    assert_eq!(c.step(Event::Tick, at(99)), []);
}

#[test]
fn a_manifest_in_doubt_is_neither_given_up_nor_committed() {
    let mut c = coordinator(|_| {});
    c.step(Event::Tick, at(10));
    let manifest = all_answer(&mut c, 2, at(10));
    assert_eq!(wrote(&mut c, 2, unknown(), at(10)), []);
    assert_eq!(c.deadline(), Some(at(11).elapsed));
    assert_eq!(c.step(Event::Tick, at(11)), [Action::WriteManifest(manifest)]);
    // That the second attempt has certainly failed says nothing about the first.
    let actions = wrote(&mut c, 2, full(), at(11));
    assert!(stop_reason(&actions).contains("not known whether epoch 2 was written"));
}

#[test]
fn a_manifest_that_was_certainly_not_written_is_given_up() {
    let mut c = coordinator(|_| {});
    c.step(Event::Tick, at(10));
    all_answer(&mut c, 2, at(10));
    assert_eq!(wrote(&mut c, 2, full(), at(10)), []);
    assert_eq!(c.step(Event::Tick, at(11)).len(), 1);
    assert!(matches!(&wrote(&mut c, 2, full(), at(11))[..], [Action::GaveUp { .. }]));
}

#[test]
fn an_epoch_that_is_taken_ends_the_writer_without_a_trace() {
    let mut c = coordinator(|_| {});
    c.step(Event::Tick, at(10));
    all_answer(&mut c, 2, at(10));
    assert_eq!(wrote(&mut c, 2, WriteOutcome::Taken, at(10)), [Action::Stop(Outcome::Fenced)]);
    assert_eq!(committed(&mut c, 2, at(10)), []);
}

#[test]
fn commits_are_repeated_and_never_taken_back() {
    let mut c = coordinator(|_| {});
    c.step(Event::Tick, at(10));
    all_answer(&mut c, 2, at(10));
    let commit = wrote(&mut c, 2, WriteOutcome::Written, at(10)).pop().unwrap();
    let fail = |c: &mut Coordinator, epoch, now| {
        c.step(Event::SinkCommitted { sink: 0, epoch: Epoch(epoch), result: Err("refused".to_owned()) }, now)
    };
    assert_eq!(fail(&mut c, 1, at(10)), [], "an answer to another epoch");
    assert_eq!(fail(&mut c, 2, at(10)), []);
    assert_eq!(c.step(Event::Tick, at(11)), [commit]);
    assert_eq!(stop_reason(&fail(&mut c, 2, at(11))), "out: epoch 2 could not be committed: refused");
    assert_eq!(c.committed(), Epoch(2));
}

fn end(c: &mut Coordinator, task: TaskId, passed: u64, last: Answer, now: Now) -> Vec<Action> {
    c.step(Event::Ended { task, passed: Epoch(passed), last }, now)
}

fn state_left() -> Answer {
    Answer::State { groups: KeyGroups::new(8).unwrap().all(), blocks: vec![block(9)] }
}

#[test]
fn the_end_of_the_job_is_an_epoch_of_its_own() {
    let mut c = coordinator(|_| {});
    c.step(Event::Tick, at(10));
    // The source ended before the barrier reached it, the others took it and then ended.
    assert_eq!(end(&mut c, SOURCE, 1, positions(7), at(11)), []);
    answer(&mut c, STATE, 2, at(11));
    end(&mut c, STATE, 2, state_left(), at(11));
    let actions = answer(&mut c, SINK, 2, at(11));
    let [Action::WriteManifest(manifest)] = &actions[..] else { panic!("{actions:?}") };
    assert!(!manifest.finished && manifest.operators[0].parts.len() == 1);
    end(&mut c, SINK, 2, Answer::Staged(Some(staged(3))), at(11));
    wrote(&mut c, 2, WriteOutcome::Written, at(11));
    let actions = committed(&mut c, 2, at(11));
    let [Action::WriteManifest(manifest)] = &actions[..] else { panic!("{actions:?}") };
    assert!(manifest.finished && manifest.operators[0].parts.is_empty(), "{manifest:?}");
    assert_eq!(manifest.sinks[0].staged, [staged(3)]);
    wrote(&mut c, 3, WriteOutcome::Written, at(11));
    assert_eq!(committed(&mut c, 3, at(11)), [Action::Finish { sink: 0 }]);
    let failed = Event::SinkFinished { sink: 0, result: Err("busy".to_owned()) };
    assert_eq!(c.step(failed, at(11)), []);
    assert_eq!(c.step(Event::Tick, at(12)), [Action::Finish { sink: 0 }]);
    let actions = c.step(Event::SinkFinished { sink: 0, result: Ok(()) }, at(12));
    assert_eq!(actions, [Action::DeleteManifests(vec![Epoch(1)])]);
    assert_eq!(c.step(Event::Deleted { all: false }, at(12)), [Action::Stop(Outcome::Finished)]);
}

#[test]
fn a_task_that_ends_still_answers_what_it_has_passed() {
    let mut c = coordinator(|_| {});
    c.step(Event::Requested(Cut::Suspend), at(1));
    answer(&mut c, SOURCE, 2, at(1));
    answer(&mut c, SINK, 2, at(1));
    end(&mut c, SOURCE, 2, positions(2), at(1));
    end(&mut c, SINK, 2, Answer::Staged(None), at(1));
    // Its state is still being written.
    assert_eq!(end(&mut c, STATE, 2, state_left(), at(1)), []);
    let actions = answer(&mut c, STATE, 2, at(2));
    let [Action::WriteManifest(manifest)] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!((manifest.kind, manifest.finished), (ManifestKind::Savepoint, false));
    assert_eq!(manifest.operators[0].parts[0].blocks, [block(2)]);
    wrote(&mut c, 2, WriteOutcome::Written, at(2));
    assert_eq!(committed(&mut c, 2, at(2)), [Action::Stop(Outcome::Suspended)]);
}

#[test]
fn a_request_waits_for_the_epoch_that_is_under_way() {
    let mut c = coordinator(|_| {});
    c.step(Event::Tick, at(10));
    assert_eq!(c.step(Event::Requested(Cut::Suspend), at(11)), []);
    assert_eq!(c.step(Event::Requested(Cut::Savepoint), at(11)), [], "to stop is the stronger wish");
    assert_eq!(complete(&mut c, 2, at(11)), [barrier(3, Cut::Suspend)]);
}

#[test]
fn old_epochs_go_and_what_they_share_with_newer_ones_stays() {
    let mut c = coordinator(|_| {});
    let mut deleted = Vec::new();
    for epoch in 2..6 {
        let now = at(epoch * 10);
        assert_eq!(c.step(Event::Tick, now), [barrier(epoch, Cut::Checkpoint)]);
        let mut actions = complete(&mut c, epoch, now);
        while !actions.is_empty() {
            deleted.append(&mut actions);
            // The first attempt fails: it is made again after the next epoch.
            actions = c.step(Event::Deleted { all: epoch > 3 }, now);
        }
    }
    let manifests = |epochs: &[u64]| Action::DeleteManifests(epochs.iter().copied().map(Epoch).collect());
    assert_eq!(
        deleted,
        [
            manifests(&[1]),
            manifests(&[1, 2]),
            Action::DeleteBlocks(vec![block(2).id]),
            manifests(&[3]),
            Action::DeleteBlocks(vec![block(3).id]),
        ]
    );
}
