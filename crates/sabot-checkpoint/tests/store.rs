//! The state machines over a store that fails: a job of one task is killed at every call, with every fault, and
//! goes on from real bytes.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

use sabot_checkpoint::*;
use sabot_common::{Epoch, KeyGroups, OperatorId};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

const ROWS: u64 = 6;

/// The output: rows that are staged, as `generation-from-to`, and those that can be seen.
#[derive(Default)]
struct Output {
    staged: BTreeSet<Vec<u8>>,
    visible: BTreeSet<Vec<u8>>,
    finished: bool,
}

impl Output {
    fn commit(&mut self, staged: &[Staged]) {
        for part in staged {
            let moved = self.staged.remove(&part.payload);
            assert!(moved || self.visible.contains(&part.payload), "{part:?} is lost");
            self.visible.insert(part.payload.clone());
        }
    }

    /// The rows that can be seen, in order.
    fn rows(&self) -> Vec<u8> {
        let mut rows: Vec<u8> = self.visible.iter().flat_map(|part| part[1]..part[2]).collect();
        rows.sort_unstable();
        rows
    }
}

fn topology() -> Arc<Topology> {
    let one = |name: &str| vec![Endpoint { id: OperatorId::new(name), tasks: 1 }];
    let key_groups = KeyGroups::new(8).unwrap();
    let id = OperatorId::new("count");
    let operators = vec![KeyedOperator { id, kind: "count".into(), shape: "n int64".into(), tasks: 1 }];
    Topology {
        job: "test".into(),
        hash_seed: 1,
        key_groups,
        sources: one("in"),
        operators,
        sinks: one("out"),
    }
    .into()
}

const ATTEMPTS: Attempts = Attempts { max: 3, first: Duration::ZERO, longest: Duration::ZERO };

/// Recovers; none when there is nothing to do any more.
fn recover(store: &MemoryStore, output: &mut Output, writer: u64) -> Result<Option<Start>, String> {
    let mut recovery = Recovery::new(topology(), ATTEMPTS, writer);
    let mut event = RecoveryEvent::Tick;
    loop {
        let actions = recovery.step(event, Now::default());
        let Some(action) = actions.first() else {
            event = RecoveryEvent::Tick;
            continue;
        };
        event = match action {
            RecoveryAction::AskVisible { .. } => RecoveryEvent::Visible(Ok(false)),
            RecoveryAction::Commit { staged, .. } => {
                output.commit(staged);
                RecoveryEvent::SinkCommitted(Ok(()))
            }
            RecoveryAction::Finish { .. } => {
                output.finished = true;
                RecoveryEvent::SinkFinished(Ok(()))
            }
            RecoveryAction::Clean { generation } => {
                output.staged.retain(|part| u64::from(part[0]) >= *generation);
                RecoveryEvent::Cleaned(Ok(()))
            }
            RecoveryAction::Done(Recovered::Ready(start)) => return Ok(Some(start.clone())),
            RecoveryAction::Done(Recovered::Finished(_)) => return Ok(None),
            RecoveryAction::Done(Recovered::Failed(error)) => return Err(error.to_string()),
            of_store => of_store.on_store(store).unwrap(),
        };
    }
}

/// One life of the job: an epoch for each row, until it ends or fails.
fn live(store: &MemoryStore, output: &mut Output, writer: u64) -> Result<(), String> {
    let Some(start) = recover(store, output, writer)? else { return Ok(()) };
    let generation = start.manifest.generation;
    let read = start.manifest.sources.first().map_or(0, |source| source.partitions[0].rows);
    if let Some(block) = start.manifest.operators.first().and_then(|o| o.parts.first()).map(|p| p.blocks[0]) {
        let state = store.block(block.id).map_err(|error| error.to_string())?;
        assert_eq!(state[0], u8::try_from(read).unwrap(), "the state is that of the positions");
    }
    let config =
        CheckpointConfig { interval: None, rows: Some(1), attempts: ATTEMPTS, ..CheckpointConfig::default() };
    let mut coordinator = Coordinator::new(topology(), config, start, Now::default());
    let (mut read, mut staged_to) = (read, read);
    let mut events = VecDeque::from([Event::Tick]);
    loop {
        let event = events.pop_front().unwrap_or_else(|| match read == ROWS {
            true => Event::Tick,
            false => {
                read += 1;
                Event::Rows(1)
            }
        });
        for action in coordinator.step(event, Now::default()) {
            match &action {
                Action::InjectBarrier { epoch, .. } if read == ROWS => {
                    let passed = Epoch(epoch.0 - 1);
                    let last = |answer: Answer, task| Event::Ended { task, passed, last: answer };
                    events.extend(
                        contribute(output, generation, *epoch, staged_to, read).map(|(t, a)| last(a, t)),
                    );
                    events.push_back(Event::Ended {
                        task: TaskId::state(0, 0),
                        passed,
                        last: Answer::Staged(None),
                    });
                    staged_to = read;
                }
                Action::InjectBarrier { epoch, .. } => {
                    let epoch = *epoch;
                    let said = |(task, answer)| Event::Answered { task, epoch, answer };
                    events.extend(contribute(output, generation, epoch, staged_to, read).map(said));
                    staged_to = read;
                    let state =
                        [u8::try_from(read).unwrap(), u8::try_from(generation).unwrap(), epoch.0 as u8];
                    let block = BlockRef::of(&state);
                    let (groups, task) = (KeyGroups::new(8).unwrap().all(), TaskId::state(0, 0));
                    events.push_back(match store.put_block(block.id, &state) {
                        Ok(()) => said((task, Answer::State { groups, blocks: vec![block] })),
                        Err(error) => Event::CouldNot { task, epoch, reason: error.to_string() },
                    });
                }
                Action::Commit { sink, epoch, staged } => {
                    output.commit(staged);
                    events.push_back(Event::SinkCommitted { sink: *sink, epoch: *epoch, result: Ok(()) });
                }
                Action::Finish { sink } => {
                    output.finished = true;
                    events.push_back(Event::SinkFinished { sink: *sink, result: Ok(()) });
                }
                Action::Stop(Outcome::Finished) => return Ok(()),
                Action::Stop(other) => return Err(format!("{other:?}")),
                of_store => events.extend(of_store.on_store(store)),
            }
        }
    }
}

/// What source and sink say at a barrier.
fn contribute(
    output: &mut Output,
    generation: u64,
    epoch: Epoch,
    from: u64,
    to: u64,
) -> [(TaskId, Answer); 2] {
    let position = PartitionState {
        name: "a".into(),
        ordinal: 0,
        position: to.to_le_bytes().to_vec(),
        rows: to,
        event_time_max: None,
        ended: to == ROWS,
    };
    let payload = [generation, from, to].map(|n| u8::try_from(n).unwrap()).to_vec();
    output.staged.insert(payload.clone());
    let staged = Staged { task: 0, epoch, payload, rows: to - from };
    [
        (TaskId::source(0, 0), Answer::Positions(vec![position])),
        (TaskId::sink(0, 0), Answer::Staged(Some(staged))),
    ]
}

fn lives(store: &MemoryStore, told: &str) -> Output {
    let mut output = Output::default();
    for writer in 0..20 {
        if live(store, &mut output, writer).is_ok() {
            assert!(output.finished, "{told}");
            assert_eq!(output.rows(), (0..ROWS as u8).collect::<Vec<_>>(), "{told}");
            return output;
        }
        store.set_full(false);
    }
    panic!("{told}: no end");
}

#[test]
fn every_row_comes_once_whatever_call_fails() {
    let calls = [
        Call::PutBlock,
        Call::Block,
        Call::CreateManifest,
        Call::Manifest,
        Call::Manifests,
        Call::DeleteManifest,
        Call::Blocks,
        Call::DeleteBlock,
    ];
    for call in calls {
        for fault in [Fault::Lost, Fault::AnswerLost, Fault::Full] {
            for after in 0..12 {
                let store = MemoryStore::new();
                store.fail(call, after, fault);
                lives(&store, &format!("{call:?} {after} {fault:?}"));
            }
        }
    }
}

#[test]
fn a_call_that_fails_for_long_ends_a_life_and_not_the_job() {
    for after in 0..12 {
        let store = MemoryStore::new();
        for _ in 0..5 {
            store.fail(Call::CreateManifest, after, Fault::AnswerLost);
        }
        lives(&store, &format!("answers are lost after {after}"));
    }
}

#[test]
fn a_full_store_fails_the_job_which_goes_on_when_there_is_room() {
    let (store, mut output) = (MemoryStore::new(), Output::default());
    assert!(recover(&store, &mut output, 1).unwrap().is_some());
    store.set_full(true);
    assert!(live(&store, &mut output, 2).unwrap_err().contains("no space is left"));
    store.set_full(false);
    assert!(live(&store, &mut output, 3).is_ok());
    assert_eq!(output.rows(), (0..ROWS as u8).collect::<Vec<_>>());
}

#[test]
fn old_files_do_not_pile_up() {
    let store = MemoryStore::new();
    lives(&store, "no fault");
    let epochs = store.manifests().unwrap();
    assert!(epochs.len() <= 2, "{epochs:?}");
    assert!(store.blocks().unwrap().len() <= 2, "{:?}", store.blocks());
    let newest = read_manifest(&store, *epochs.last().unwrap()).unwrap();
    assert!(newest.finished);
}
