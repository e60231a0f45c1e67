//! What may happen next in a world, and what comes of it.

use sabot_checkpoint::{
    Action, Answer, Coordinator, Cut, Event, Manifest, ManifestKind, Now, Outcome, PartitionState, Recovered,
    RecoveryAction, RecoveryEvent, TaskId, WriteOutcome,
};
use sabot_common::{Epoch, KeyGroups};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::calls::{Progress, Reply, failed, perform};
use crate::invariants;
use crate::world::{
    Broken, Call, Gone, Part, SinkWorld, TaskWorld, World, Writer, block, count_of, rows_between,
    rows_of_sink,
};

/// Something that may happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Choice {
    /// A call is done, or one step of it.
    Do {
        writer: usize,
        call: usize,
    },
    /// The answer of a call is lost. The call may still be done.
    Lose {
        writer: usize,
        call: usize,
    },
    /// A call finds no space.
    Refuse {
        writer: usize,
        call: usize,
    },
    /// Half of a manifest is written, and the writer dies.
    Tear {
        writer: usize,
        call: usize,
    },
    /// A call of which nobody knows any more is done.
    Drift {
        call: usize,
    },
    /// A task reads up to a row, and then takes the barrier.
    Pass {
        writer: usize,
        task: usize,
        upto: u8,
    },
    /// A task takes the barrier, and cannot keep its state or stage its rows.
    Fail {
        writer: usize,
        task: usize,
        stage: bool,
    },
    /// A task reads to the end.
    End {
        writer: usize,
        task: usize,
    },
    /// It is time for an epoch.
    Trigger {
        writer: usize,
    },
    Suspend {
        writer: usize,
    },
    /// A deadline has come.
    Tick {
        writer: usize,
    },
    /// Time runs out for the epoch that is being collected.
    TimeUp {
        writer: usize,
    },
    Crash {
        writer: usize,
    },
    /// Another writer of the job starts.
    Start,
}

impl Choice {
    /// Whether this goes wrong. Without such choices every world must come to its end.
    pub(crate) fn is_fault(self) -> bool {
        use Choice as C;
        matches!(
            self,
            C::Lose { .. }
                | C::Refuse { .. }
                | C::Tear { .. }
                | C::TimeUp { .. }
                | C::Fail { .. }
                | C::Crash { .. }
        )
    }
}

/// After so long every epoch has run out of time.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Everything that may happen next.
pub(crate) fn choices(world: &World, out: &mut Vec<Choice>) {
    out.clear();
    let budget = &world.budget;
    for (writer, state) in world.writers.iter().enumerate() {
        let calls = match &**state {
            Writer::Gone(_) => continue,
            Writer::Recovering { machine, calls, .. } => {
                let due = machine.deadline().is_some_and(|at| at <= world.now.elapsed);
                if due || calls.is_empty() && machine.deadline().is_none() {
                    out.push(Choice::Tick { writer });
                }
                calls
            }
            Writer::Running { machine, tasks, calls, .. } => {
                let due = machine.deadline().is_some_and(|at| at <= world.now.elapsed);
                if due {
                    out.push(Choice::Tick { writer });
                }
                if budget.epochs > 0 && machine.is_idle() {
                    out.push(Choice::Trigger { writer });
                }
                if budget.suspends > 0 {
                    out.push(Choice::Suspend { writer });
                }
                if budget.timeouts > 0 && tasks.iter().any(|task| !task.barriers.is_empty()) {
                    out.push(Choice::TimeUp { writer });
                }
                for (task, state) in tasks.iter().enumerate().filter(|(_, state)| !state.ended) {
                    let encoding = |call: &Call| matches!(call, Call::Put { task: of, .. } if *of == task);
                    if calls.iter().any(encoding) {
                        continue;
                    }
                    if !state.barriers.is_empty() {
                        let rows = world.config.rows[task];
                        out.extend((state.read..=rows).map(|upto| Choice::Pass { writer, task, upto }));
                        if budget.failing > 0 {
                            out.extend([false, true].map(|stage| Choice::Fail { writer, task, stage }));
                        }
                    }
                    out.push(Choice::End { writer, task });
                }
                calls
            }
        };
        for (call, what) in calls.iter().enumerate() {
            out.push(Choice::Do { writer, call });
            if budget.lost > 0 {
                out.push(Choice::Lose { writer, call });
            }
            if budget.full > 0 && matches!(what, Call::Create(_) | Call::Put { .. }) {
                out.push(Choice::Refuse { writer, call });
            }
            if budget.torn > 0 && matches!(what, Call::Create(_)) {
                out.push(Choice::Tear { writer, call });
            }
        }
        if budget.crashes > 0 {
            out.push(Choice::Crash { writer });
        }
    }
    out.extend((0..world.adrift.len()).map(|call| Choice::Drift { call }));
    let gone = world.writers.iter().all(|writer| matches!(&**writer, Writer::Gone(_)));
    if budget.writers > 0 || gone && budget.restarts > 0 && !world.is_finished() {
        out.push(Choice::Start);
    }
}

/// Takes a step, and those that follow at once.
pub(crate) fn apply(world: &mut World, choice: Choice) -> Result<(), String> {
    let (store, sinks) = (world.store.clone(), world.sinks.clone());
    take(world, choice)?;
    while let Some((writer, call)) = due_at_once(world) {
        take(world, Choice::Do { writer, call })?;
    }
    match Arc::ptr_eq(&store, &world.store) && sinks.iter().zip(&world.sinks).all(same_sink) {
        true => Ok(()),
        false => invariants::check(world),
    }
}

fn same_sink((a, b): (&Arc<SinkWorld>, &Arc<SinkWorld>)) -> bool {
    Arc::ptr_eq(a, b)
}

/// A call that nobody comes before.
fn due_at_once(world: &World) -> Option<(usize, usize)> {
    let of = world.config.at_once;
    let due = |call: &Call| match call {
        Call::Read(_) => of.reads,
        Call::Newest(_) => of.newest,
        Call::DeleteManifests(_) | Call::DeleteBlocks(_) => of.deletes,
        Call::Put { .. } => of.puts,
        _ => false,
    };
    world.writers.iter().enumerate().find_map(|(writer, state)| {
        let calls = match &**state {
            Writer::Recovering { calls, .. } | Writer::Running { calls, .. } => calls,
            Writer::Gone(_) => return None,
        };
        calls.iter().position(due).map(|call| (writer, call))
    })
}

fn take(world: &mut World, choice: Choice) -> Result<(), String> {
    match choice {
        Choice::Do { writer, call } => {
            let what = calls(world, writer).remove(call);
            match perform(world, what)? {
                Progress::More(rest) => calls(world, writer).insert(call, rest),
                Progress::Done(reply) => answer(world, writer, reply)?,
            }
        }
        Choice::Lose { writer, call } => {
            world.budget.lost -= 1;
            let what = calls(world, writer).remove(call);
            let reply = failed(&what, false);
            if !matches!(
                what,
                Call::List | Call::Read(_) | Call::ListBlocks | Call::Ask { .. } | Call::Newest(_)
            ) {
                world.adrift.push(what);
            }
            answer(world, writer, reply)?;
        }
        Choice::Refuse { writer, call } => {
            world.budget.full -= 1;
            let what = calls(world, writer).remove(call);
            let reply = failed(&what, true);
            answer(world, writer, reply)?;
        }
        Choice::Tear { writer, call } => {
            world.budget.torn -= 1;
            let Call::Create(manifest) = calls(world, writer).remove(call) else { return Ok(()) };
            if !world.store.manifests.contains_key(&manifest.epoch) {
                invariants::created(world, manifest.epoch, None)?;
                Arc::make_mut(&mut world.store).manifests.insert(manifest.epoch, None);
            }
            gone(world, writer, Gone::Crashed);
        }
        Choice::Drift { call } => {
            let what = world.adrift.remove(call);
            match perform(world, what)? {
                // Nobody looks any more whether it was the newest.
                Progress::More(Call::Newest(_)) | Progress::Done(_) => {}
                Progress::More(rest) => world.adrift.insert(call, rest),
            }
        }
        Choice::Pass { writer, task, upto } => pass(world, writer, task, upto, None)?,
        Choice::Fail { writer, task, stage } => {
            world.budget.failing -= 1;
            pass(world, writer, task, 0, Some(stage))?;
        }
        Choice::End { writer, task } => end(world, writer, task)?,
        Choice::Trigger { writer } => {
            world.budget.epochs -= 1;
            tell(world, writer, Event::Rows(1), world.now)?;
        }
        Choice::Suspend { writer } => {
            world.budget.suspends -= 1;
            tell(world, writer, Event::Requested(Cut::Suspend), world.now)?;
        }
        Choice::Tick { writer } => match &*world.writers[writer] {
            Writer::Recovering { .. } => tell_recovery(world, writer, RecoveryEvent::Tick)?,
            _ => tell(world, writer, Event::Tick, world.now)?,
        },
        Choice::TimeUp { writer } => {
            world.budget.timeouts -= 1;
            world.now.elapsed += TIMEOUT;
            tell(world, writer, Event::Tick, world.now)?;
        }
        Choice::Crash { writer } => {
            world.budget.crashes -= 1;
            gone(world, writer, Gone::Crashed);
        }
        Choice::Start => {
            match world.budget.writers {
                0 => world.budget.restarts -= 1,
                _ => world.budget.writers -= 1,
            }
            world.add_writer();
        }
    }
    Ok(())
}

fn gone(world: &mut World, writer: usize, how: Gone) {
    world.writers[writer] = Writer::Gone(how).into();
}

fn calls(world: &mut World, writer: usize) -> &mut Vec<Call> {
    match Arc::make_mut(&mut world.writers[writer]) {
        Writer::Recovering { calls, .. } | Writer::Running { calls, .. } => calls,
        Writer::Gone(_) => panic!("a dead writer has no calls"),
    }
}

fn tasks(world: &mut World, writer: usize) -> Option<(&mut Vec<TaskWorld>, u64)> {
    match Arc::make_mut(&mut world.writers[writer]) {
        Writer::Running { tasks, generation, .. } => Some((tasks, *generation)),
        _ => None,
    }
}

/// Hands a reply to the machine that waits for it.
fn answer(world: &mut World, writer: usize, reply: Reply) -> Result<(), String> {
    let running = matches!(&*world.writers[writer], Writer::Running { .. });
    if !running {
        let event = match reply {
            Reply::Listed(result) => RecoveryEvent::Listed(result),
            Reply::Read(epoch, found) => RecoveryEvent::Read { epoch, found },
            Reply::Blocks(result) => RecoveryEvent::BlocksListed(result),
            Reply::Visible(result) => RecoveryEvent::Visible(result),
            Reply::Committed(_, _, result) => RecoveryEvent::SinkCommitted(result),
            Reply::Finished(_, result) => RecoveryEvent::SinkFinished(result),
            Reply::Wrote(_, outcome) => RecoveryEvent::Wrote(outcome),
            Reply::Cleaned(result) => RecoveryEvent::Cleaned(result),
            Reply::Put(..) | Reply::Deleted(_) => return Ok(()),
        };
        return tell_recovery(world, writer, event);
    }
    let event = match reply {
        Reply::Put(task, epoch, Ok(block)) => {
            if let Some((tasks, _)) = tasks(world, writer) {
                tasks[task].block = Some(block);
            }
            state_answer(world, task, epoch, vec![block])
        }
        Reply::Put(task, epoch, Err(reason)) => {
            Event::CouldNot { task: TaskId::state(0, number(task)), epoch, reason }
        }
        Reply::Wrote(epoch, outcome) => Event::Wrote { epoch, outcome },
        Reply::Committed(sink, epoch, result) => Event::SinkCommitted { sink, epoch, result },
        Reply::Finished(sink, result) => Event::SinkFinished { sink, result },
        Reply::Deleted(all) => Event::Deleted { all },
        _ => return Ok(()),
    };
    tell(world, writer, event, world.now)
}

fn number(task: usize) -> u32 {
    u32::try_from(task).unwrap()
}

fn state_answer(world: &World, task: usize, epoch: Epoch, blocks: Vec<sabot_checkpoint::BlockRef>) -> Event {
    let groups = KeyGroups::new(8).unwrap().range_of_task(task, world.config.rows.len());
    Event::Answered { task: TaskId::state(0, number(task)), epoch, answer: Answer::State { groups, blocks } }
}

fn tell_recovery(world: &mut World, writer: usize, event: RecoveryEvent) -> Result<(), String> {
    let now = world.now;
    let Writer::Recovering { machine, .. } = Arc::make_mut(&mut world.writers[writer]) else { return Ok(()) };
    for action in machine.step(event, now) {
        let call = match action {
            RecoveryAction::ListManifests => {
                if world.config.is_broken(Broken::CleanBeforeFence) {
                    clean_unnamed(world);
                }
                Call::List
            }
            RecoveryAction::ReadManifest(epoch) => Call::Read(epoch),
            RecoveryAction::ListBlocks => Call::ListBlocks,
            RecoveryAction::AskVisible { after } => Call::Ask { after },
            RecoveryAction::Commit { sink, epoch, staged } => {
                if world.config.is_broken(Broken::ForgetCommits) {
                    tell_recovery(world, writer, RecoveryEvent::SinkCommitted(Ok(())))?;
                    continue;
                }
                Call::Commit { sink, epoch, parts: staged.iter().map(Part::of).collect() }
            }
            RecoveryAction::Finish { sink } => Call::Finish { sink },
            RecoveryAction::WriteManifest(manifest) => Call::Create(manifest),
            RecoveryAction::Clean { generation } => Call::Clean { generation },
            RecoveryAction::Done(Recovered::Ready(start)) => {
                let tasks = restore(world, &start.manifest)?;
                let generation = start.manifest.generation;
                let machine =
                    Coordinator::new(world.config.topology.clone(), world.config.checkpoints, start, now);
                let running = Writer::Running { machine, generation, tasks, calls: Vec::new() };
                world.writers[writer] = running.into();
                return tell(world, writer, Event::Tick, now);
            }
            RecoveryAction::Done(Recovered::Finished(_)) => {
                gone(world, writer, Gone::NothingToDo);
                return invariants::finished(world);
            }
            RecoveryAction::Done(Recovered::Failed(_)) => {
                gone(world, writer, Gone::Refused);
                return Ok(());
            }
        };
        calls(world, writer).push(call);
    }
    Ok(())
}

/// Removes what is staged and in no manifest.
fn clean_unnamed(world: &mut World) {
    let newest = world.store.newest_usable().cloned();
    for (index, sink) in world.sinks.iter_mut().enumerate() {
        let named =
            newest.iter().filter_map(|m| m.sinks.get(index)).flat_map(|s| s.staged.iter().map(Part::of));
        let named: Vec<Part> = named.collect();
        Arc::make_mut(sink).staged.retain(|part| named.contains(part));
    }
}

/// The tasks of a job that starts from a manifest.
fn restore(world: &World, manifest: &Manifest) -> Result<Vec<TaskWorld>, String> {
    let read = invariants::positions(manifest, world.config.rows.len());
    let mut tasks: Vec<TaskWorld> = read
        .iter()
        .map(|&read| TaskWorld {
            read,
            staged: read,
            block: None,
            barriers: VecDeque::new(),
            epoch: manifest.epoch.next(),
            ended: false,
        })
        .collect();
    for part in manifest.operators.iter().flat_map(|operator| &operator.parts) {
        tasks[part.task as usize].block = part.blocks.last().copied();
    }
    for partition in manifest.sources.iter().flat_map(|source| &source.partitions).filter(|p| !p.ended) {
        let task = &tasks[partition.ordinal as usize];
        let count = task.block.as_ref().map_or(0, count_of);
        if count != task.read {
            return Err(format!("I6: {} rows are read and {count} are in the state", task.read));
        }
    }
    Ok(tasks)
}

fn tell(world: &mut World, writer: usize, event: Event, now: Now) -> Result<(), String> {
    let Writer::Running { machine, generation, .. } = Arc::make_mut(&mut world.writers[writer]) else {
        return Ok(());
    };
    let generation = *generation;
    for action in machine.step(event, now) {
        match action {
            Action::InjectBarrier { epoch, cut } => {
                let (tasks, _) = tasks(world, writer).unwrap();
                tasks
                    .iter_mut()
                    .filter(|task| !task.ended)
                    .for_each(|task| task.barriers.push_back((epoch, cut)));
            }
            Action::WriteManifest(manifest) => {
                if world.config.is_broken(Broken::CommitBeforeManifest) {
                    for sink in &mut world.sinks {
                        let sink = Arc::make_mut(sink);
                        sink.visible.append(&mut sink.staged);
                    }
                }
                if world.config.is_broken(Broken::LeaveGaps) && manifest.kind == ManifestKind::Skipped {
                    let outcome = WriteOutcome::Written;
                    return tell(world, writer, Event::Wrote { epoch: manifest.epoch, outcome }, now);
                }
                calls(world, writer).push(Call::Create(manifest));
            }
            Action::Commit { sink, epoch, staged } => {
                let parts = staged.iter().map(Part::of).collect();
                calls(world, writer).push(Call::Commit { sink, epoch, parts });
            }
            Action::Finish { sink } => calls(world, writer).push(Call::Finish { sink }),
            Action::DeleteManifests(epochs) => calls(world, writer).push(Call::DeleteManifests(epochs)),
            Action::DeleteBlocks(blocks) => calls(world, writer).push(Call::DeleteBlocks(blocks)),
            Action::Committed { epoch } => invariants::committed(world, epoch, generation)?,
            Action::GaveUp { epoch, .. } => {
                if world.config.is_broken(Broken::AbortOnGiveUp) {
                    for sink in &mut world.sinks {
                        Arc::make_mut(sink).staged.retain(|part| u64::from(part.epoch) != epoch.0);
                    }
                }
            }
            Action::Stop(outcome) => {
                let how = match outcome {
                    Outcome::Finished => Gone::Finished,
                    Outcome::Suspended => Gone::Suspended,
                    Outcome::Fenced => Gone::Fenced,
                    Outcome::Failed { .. } => Gone::Failed,
                };
                gone(world, writer, how);
                return if how == Gone::Finished { invariants::finished(world) } else { Ok(()) };
            }
        }
    }
    Ok(())
}

/// What a task says of its partition.
fn partition(world: &World, task: usize, read: u8) -> PartitionState {
    PartitionState {
        name: task.to_string(),
        ordinal: number(task),
        position: vec![read],
        rows: u64::from(read),
        event_time_max: None,
        ended: read == world.config.rows[task],
    }
}

/// Stages what a task has written since the last time, for one sink.
fn stage(world: &mut World, sink: usize, part: Part) -> Answer {
    let part = Part { rows: rows_of_sink(sink, part.rows), ..part };
    if part.rows == 0 {
        return Answer::Staged(None);
    }
    Arc::make_mut(&mut world.sinks[sink]).staged.insert(part);
    Answer::Staged(Some(part.to_staged()))
}

/// A task takes a barrier.
fn pass(world: &mut World, writer: usize, task: usize, upto: u8, fail: Option<bool>) -> Result<(), String> {
    let now = world.now;
    let early = world.config.is_broken(Broken::SnapshotEarly);
    let Some((tasks, generation)) = tasks(world, writer) else { return Ok(()) };
    let state = &mut tasks[task];
    let Some((epoch, cut)) = state.barriers.pop_front() else { return Ok(()) };
    let before = state.read;
    state.read = state.read.max(upto);
    let (from, to) = (state.staged, state.read);
    state.staged = to;
    state.epoch = epoch.next();
    state.ended = cut == Cut::Suspend;
    let known = state.block;
    let count = if early { before } else { to };

    let positions = Answer::Positions(vec![partition(world, task, to)]);
    let said = |answer, of: TaskId| Event::Answered { task: of, epoch, answer };
    tell(world, writer, said(positions.clone(), TaskId::source(0, number(task))), now)?;
    let part = Part {
        generation: u8::try_from(generation).unwrap(),
        epoch: u8::try_from(epoch.0).unwrap(),
        task: u8::try_from(task).unwrap(),
        rows: rows_between(from, to),
    };
    for sink in 0..world.sinks.len() {
        let of = TaskId::sink(number(sink), number(task));
        let event = match fail {
            Some(true) => Event::CouldNot { task: of, epoch, reason: "x".to_owned() },
            _ => said(stage(world, sink, part), of),
        };
        tell(world, writer, event, now)?;
    }
    let state = TaskId::state(0, number(task));
    match known {
        _ if fail == Some(false) => {
            tell(world, writer, Event::CouldNot { task: state, epoch, reason: "x".to_owned() }, now)?
        }
        _ if count == 0 => tell(world, writer, state_answer(world, task, epoch, vec![]), now)?,
        Some(known) if count_of(&known) == count => {
            tell(world, writer, state_answer(world, task, epoch, vec![known]), now)?;
        }
        _ if matches!(&*world.writers[writer], Writer::Running { .. }) => {
            let block = block(generation, epoch, task, count);
            calls(world, writer).push(Call::Put { task, epoch, block });
        }
        _ => {}
    }
    if cut == Cut::Suspend {
        say_end(world, writer, (task, epoch), positions, |_, _| Answer::Staged(None))?;
    }
    Ok(())
}

/// A task reads to its end, and does not see barriers that are still on their way.
fn end(world: &mut World, writer: usize, task: usize) -> Result<(), String> {
    let rows = world.config.rows[task];
    let Some((tasks, generation)) = tasks(world, writer) else { return Ok(()) };
    let state = &mut tasks[task];
    let part = Part {
        generation: u8::try_from(generation).unwrap(),
        epoch: u8::try_from(state.epoch.0).unwrap(),
        task: u8::try_from(task).unwrap(),
        rows: rows_between(state.staged, rows),
    };
    (state.read, state.staged, state.block, state.ended) = (rows, rows, None, true);
    state.barriers.clear();
    let positions = Answer::Positions(vec![partition(world, task, rows)]);
    let passed = Epoch(u64::from(part.epoch) - 1);
    say_end(world, writer, (task, passed), positions, |world, sink| stage(world, sink, part))
}

fn say_end(
    world: &mut World,
    writer: usize,
    (task, passed): (usize, Epoch),
    positions: Answer,
    staged: impl Fn(&mut World, usize) -> Answer,
) -> Result<(), String> {
    let now = world.now;
    tell(
        world,
        writer,
        Event::Ended { task: TaskId::source(0, number(task)), passed, last: positions },
        now,
    )?;
    let groups = KeyGroups::new(8).unwrap().range_of_task(task, world.config.rows.len());
    let state = Answer::State { groups, blocks: Vec::new() };
    tell(world, writer, Event::Ended { task: TaskId::state(0, number(task)), passed, last: state }, now)?;
    for sink in 0..world.sinks.len() {
        let last = staged(world, sink);
        tell(
            world,
            writer,
            Event::Ended { task: TaskId::sink(number(sink), number(task)), passed, last },
            now,
        )?;
    }
    Ok(())
}
