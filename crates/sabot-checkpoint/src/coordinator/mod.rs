//! The coordinator of a running job: when an epoch starts, when it is committed, and what may be deleted.
//!
//! One epoch at a time goes through these phases:
//!
//! ```text
//! idle ─due─► collecting ─all answered─► writing ─written─► committing ─all sinks─► (finishing) ─► deleting ─► idle
//!               │ timeout, a snapshot failed   │ certainly not written                                       └► stop
//!               └──────────────► given up ◄────┘                        somebody else has the number ─► stop: fenced
//! ```
//!
//! *Written* is the point of commit. Before it, an epoch may be given up: then what its sinks have staged is
//! committed with the next epoch, because the rows have been read and will not come again. Its number is used
//! up by a manifest of kind [`ManifestKind::Skipped`], written before the next one, so that numbers have no
//! gaps in which another writer could pass unseen. After it, a commit is repeated until it succeeds or the
//! job starts again, and then recovery goes on repeating it.
//!
//! While it is not known whether a manifest was written, nothing that it names may be removed and nothing else
//! may be written: the same bytes are tried again. If that does not end, the job fails, and recovery finds out
//! by reading.

mod cut;
mod event;
mod retention;

pub use event::{Action, CheckpointConfig, Cut, Event, Outcome};
pub use retention::{Kept, superfluous};

use sabot_common::Epoch;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::moment::{Constant, Trying};
use crate::{Answer, BlockId, Manifest, ManifestKind, Now, Role, Start, TaskId, Topology, WriteOutcome};
use cut::{Collecting, Contributions, Last};

/// The coordinator of a running job.
///
/// ```
/// # use sabot_checkpoint::*;
/// # use sabot_common::{Epoch, KeyGroups, OperatorId};
/// # let topology = Topology {
/// #     job: "copy".into(), hash_seed: 0, key_groups: KeyGroups::default(), operators: vec![],
/// #     sources: vec![Endpoint { id: OperatorId::new("in"), tasks: 1 }],
/// #     sinks: vec![Endpoint { id: OperatorId::new("out"), tasks: 1 }],
/// # };
/// let config = CheckpointConfig { interval: None, rows: Some(100), ..CheckpointConfig::default() };
/// let start = Start::fresh(&topology); // what recovery has found and taken over
/// let now = Now::default();
/// let mut coordinator = Coordinator::new(topology.into(), config, start, now);
///
/// let barrier = Action::InjectBarrier { epoch: Epoch(2), cut: Cut::Checkpoint };
/// assert_eq!(coordinator.step(Event::Rows(100), now), [barrier]);
///
/// let answered = |task, answer| Event::Answered { task, epoch: Epoch(2), answer };
/// assert!(coordinator.step(answered(TaskId::source(0, 0), Answer::Positions(vec![])), now).is_empty());
/// let actions = coordinator.step(answered(TaskId::sink(0, 0), Answer::Staged(None)), now);
/// assert!(matches!(&actions[..], [Action::WriteManifest(manifest)] if manifest.epoch == Epoch(2)));
///
/// let actions = coordinator.step(Event::Wrote { epoch: Epoch(2), outcome: WriteOutcome::Written }, now);
/// assert_eq!(actions[1], Action::Commit { sink: 0, epoch: Epoch(2), staged: vec![] });
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Coordinator {
    setup: Constant<Setup>,
    phase: Phase,
    /// The newest manifest that is a cut or a take-over: the state to go on from.
    last: Arc<Manifest>,
    /// The number of the newest epoch, given up or not.
    newest: Epoch,
    /// Numbers that were used and have no manifest yet.
    gaps: BTreeSet<Epoch>,
    contributions: Contributions,
    /// The newest epoch that each task has answered.
    answered: BTreeMap<TaskId, Epoch>,
    kept: BTreeMap<Epoch, Kept>,
    /// Blocks that may have to go.
    candidates: BTreeSet<BlockId>,
    /// What earlier writers have left is still to be deleted.
    fresh: bool,
    failures: u32,
    rows: u64,
    requested: Option<Cut>,
    started_at: Duration,
    not_before: Duration,
}

/// What does not change while the job runs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Setup {
    topology: Arc<Topology>,
    tasks: Arc<BTreeSet<TaskId>>,
    config: CheckpointConfig,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Phase {
    Idle,
    Collecting(Collecting),
    /// A manifest is written: that of `then` itself, or first one that fills a gap.
    Writing {
        manifest: Arc<Manifest>,
        then: Then,
        trying: Trying,
        /// An attempt may yet turn out to have succeeded.
        in_doubt: bool,
    },
    /// Sinks that have not committed.
    Committing {
        then: Then,
        open: BTreeMap<u32, Trying>,
    },
    /// Sinks that have not finished.
    Finishing {
        open: BTreeMap<u32, Trying>,
    },
    DeletingManifests {
        epochs: Vec<Epoch>,
        then: Next,
    },
    DeletingBlocks {
        blocks: Vec<BlockId>,
        then: Next,
    },
    Stopped,
}

/// The epoch on its way through writing and committing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Then {
    collected: Collecting,
    manifest: Arc<Manifest>,
}

/// What follows when an epoch is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Next {
    GoOn,
    Finished,
    Suspended,
}

impl Coordinator {
    /// The coordinator of a job that has taken over. Its first action may be to delete what the writers
    /// before it have left.
    pub fn new(topology: Arc<Topology>, config: CheckpointConfig, start: Start, now: Now) -> Self {
        let tasks = Arc::new(topology.tasks());
        let setup = Constant(Setup { topology, tasks, config });
        Self {
            setup,
            newest: start.manifest.epoch,
            last: start.manifest,
            phase: Phase::Idle,
            gaps: BTreeSet::new(),
            contributions: Contributions::default(),
            answered: BTreeMap::new(),
            kept: start.kept,
            candidates: start.orphans,
            fresh: true,
            failures: 0,
            rows: 0,
            requested: None,
            started_at: now.elapsed,
            not_before: now.elapsed,
        }
    }

    /// The newest epoch to which the job would go back.
    pub fn committed(&self) -> Epoch {
        self.last.epoch
    }

    /// Whether no epoch is under way.
    pub fn is_idle(&self) -> bool {
        self.phase == Phase::Idle
    }

    /// How many epochs in a row were given up.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// When [`Event::Tick`] is due; none when only another event can change something.
    pub fn deadline(&self) -> Option<Duration> {
        match &self.phase {
            Phase::Idle => self.starts_at(),
            Phase::Collecting(collecting) => Some(collecting.until),
            Phase::Writing { trying, .. } => trying.deadline(),
            Phase::Committing { open, .. } | Phase::Finishing { open } => {
                open.values().filter_map(Trying::deadline).min()
            }
            Phase::DeletingManifests { .. } | Phase::DeletingBlocks { .. } | Phase::Stopped => None,
        }
    }

    /// Takes an event and says what to do. Events that do not fit, such as an answer that comes twice, change
    /// nothing; after [`Action::Stop`] nothing does.
    pub fn step(&mut self, event: Event, now: Now) -> Vec<Action> {
        let mut out = Vec::new();
        if self.phase != Phase::Stopped {
            match event {
                Event::Tick => {}
                Event::Rows(rows) => self.rows = self.rows.saturating_add(rows),
                // To stop is the stronger wish.
                Event::Requested(cut) => {
                    self.requested = self.requested.max(Some(cut));
                }
                Event::Answered { task, epoch, answer } => self.on_answer(task, epoch, answer),
                Event::CouldNot { task, epoch, reason } => {
                    self.on_could_not(task, epoch, reason, now, &mut out)
                }
                Event::Ended { task, passed, last } => {
                    if self.setup.0.tasks.contains(&task) {
                        let last = Last { answer: last, passed, used: false };
                        self.contributions.ended.entry(task).or_insert(last);
                    }
                }
                Event::Wrote { epoch, outcome } => self.on_wrote(epoch, outcome, now, &mut out),
                Event::SinkCommitted { sink, epoch, result } => {
                    self.on_sink(sink, Some(epoch), result, now, &mut out);
                }
                Event::SinkFinished { sink, result } => self.on_sink(sink, None, result, now, &mut out),
                Event::Deleted { all } => self.on_deleted(all, now, &mut out),
            }
            self.advance(now, &mut out);
        }
        out
    }

    /// Does what has become possible, or due.
    fn advance(&mut self, now: Now, out: &mut Vec<Action>) {
        match &mut self.phase {
            Phase::Idle => {
                if std::mem::take(&mut self.fresh) {
                    self.delete(Next::GoOn, now, out);
                }
                let idle = self.phase == Phase::Idle;
                if idle && self.starts_at().is_some_and(|at| now.elapsed >= at) {
                    self.start(now, out);
                }
            }
            Phase::Collecting(collecting) => {
                let waiting = collecting.waits_for(&self.setup.0.tasks, &self.contributions.ended);
                if waiting == 0 {
                    self.collected(now, out);
                } else if now.elapsed >= collecting.until {
                    let reason =
                        format!("{waiting} tasks did not answer in {:?}", self.setup.0.config.timeout);
                    self.give_up(reason, now, out);
                }
            }
            Phase::Writing { manifest, trying, .. } => {
                if trying.due(now) {
                    out.push(Action::WriteManifest(manifest.clone()));
                }
            }
            Phase::Committing { then, open } => {
                for (sink, trying) in open {
                    if trying.due(now) {
                        out.push(commit(&then.manifest, *sink));
                    }
                }
            }
            Phase::Finishing { open } => {
                out.extend(
                    open.iter_mut().filter_map(|(sink, trying)| {
                        trying.due(now).then_some(Action::Finish { sink: *sink })
                    }),
                );
            }
            Phase::DeletingManifests { .. } | Phase::DeletingBlocks { .. } | Phase::Stopped => {}
        }
    }
}

/// Starting and collecting an epoch.
impl Coordinator {
    fn all_ended(&self) -> bool {
        self.setup.0.tasks.iter().all(|task| self.contributions.ended.contains_key(task))
    }

    /// When the next epoch starts, if nothing happens until then.
    fn starts_at(&self) -> Option<Duration> {
        let rows = self.setup.0.config.rows.is_some_and(|rows| self.rows >= rows);
        let at_once = self.all_ended() || self.requested.is_some() || rows;
        let by_time = self.setup.0.config.interval.map(|interval| self.started_at.saturating_add(interval));
        let at = if at_once { Some(Duration::ZERO) } else { by_time };
        at.map(|at| at.max(self.not_before))
    }

    fn start(&mut self, now: Now, out: &mut Vec<Action>) {
        let cut = match self.all_ended() {
            true => Cut::Checkpoint,
            false => self.requested.unwrap_or(Cut::Checkpoint),
        };
        let epoch = self.newest.next();
        self.newest = epoch;
        self.rows = 0;
        self.started_at = now.elapsed;
        let until = now.plus(self.setup.0.config.timeout);
        self.phase = Phase::Collecting(Collecting { epoch, cut, until, answers: BTreeMap::new() });
        match self.all_ended() {
            true => self.collected(now, out),
            false => out.push(Action::InjectBarrier { epoch, cut }),
        }
    }

    fn on_answer(&mut self, task: TaskId, epoch: Epoch, answer: Answer) {
        let late = self.answered.get(&task).is_some_and(|newest| epoch <= *newest);
        if late || epoch > self.newest || !self.setup.0.tasks.contains(&task) {
            return;
        }
        self.answered.insert(task, epoch);
        match &mut self.phase {
            Phase::Collecting(collecting) if collecting.epoch == epoch => {
                collecting.answers.insert(task, answer);
            }
            _ => self.carry(task, answer),
        }
    }

    /// An answer to an epoch that was given up.
    fn carry(&mut self, task: TaskId, answer: Answer) {
        match answer {
            Answer::Staged(Some(staged)) => drop(self.contributions.carried.insert((task.stage, staged))),
            Answer::State { blocks, .. } => self.candidates.extend(blocks.iter().map(|block| block.id)),
            Answer::Staged(None) | Answer::Positions(_) => {}
        }
    }

    fn on_could_not(&mut self, task: TaskId, epoch: Epoch, reason: String, now: Now, out: &mut Vec<Action>) {
        if task.role == Role::Sink {
            let sink =
                self.setup.0.topology.sinks.get(task.stage as usize).map_or("?", |sink| sink.id.as_str());
            self.fail(format!("{sink}: epoch {epoch} could not be staged: {reason}"), out);
        } else if matches!(&self.phase, Phase::Collecting(collecting) if collecting.epoch == epoch) {
            self.give_up(reason, now, out);
        }
    }

    /// Everybody has answered: the manifest can be written, behind those of epochs that were given up.
    fn collected(&mut self, now: Now, out: &mut Vec<Action>) {
        let Phase::Collecting(collected) = std::mem::replace(&mut self.phase, Phase::Idle) else { return };
        let manifest =
            collected.manifest(&self.setup.0.topology, &self.contributions, &self.last, now.unix_ms).into();
        self.write(Then { collected, manifest }, now, out);
    }

    fn write(&mut self, then: Then, now: Now, out: &mut Vec<Action>) {
        let manifest = match self.gaps.first() {
            None => then.manifest.clone(),
            Some(gap) => self.last.again(*gap, ManifestKind::Skipped, now.unix_ms).into(),
        };
        out.push(Action::WriteManifest(manifest.clone()));
        self.phase = Phase::Writing { manifest, then, trying: Trying::default(), in_doubt: false };
    }

    fn give_up(&mut self, reason: String, now: Now, out: &mut Vec<Action>) {
        let collecting = match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Collecting(collecting) => collecting,
            Phase::Writing { then, .. } => then.collected,
            other => {
                self.phase = other;
                return;
            }
        };
        for (task, answer) in collecting.answers {
            self.carry(task, answer);
        }
        self.gaps.insert(collecting.epoch);
        self.failures = self.failures.saturating_add(1);
        self.not_before = now.plus(self.setup.0.config.min_pause);
        // After a barrier that ends the job nobody is left who could answer another one.
        if self.failures > self.setup.0.config.failures_tolerated || collecting.cut == Cut::Suspend {
            return self.fail(format!("epoch {} was given up: {reason}", collecting.epoch), out);
        }
        out.push(Action::GaveUp { epoch: collecting.epoch, reason });
    }

    fn fail(&mut self, reason: String, out: &mut Vec<Action>) {
        self.stop(Outcome::Failed { reason }, out);
    }

    fn stop(&mut self, outcome: Outcome, out: &mut Vec<Action>) {
        self.phase = Phase::Stopped;
        out.push(Action::Stop(outcome));
    }
}

/// Writing, committing and deleting.
impl Coordinator {
    fn on_wrote(&mut self, epoch: Epoch, outcome: WriteOutcome, now: Now, out: &mut Vec<Action>) {
        let Phase::Writing { manifest, trying, in_doubt, .. } = &mut self.phase else { return };
        if manifest.epoch != epoch || !trying.under_way() {
            return;
        }
        let unknown = matches!(outcome, WriteOutcome::Unknown { .. });
        match outcome {
            WriteOutcome::Written => self.written(now, out),
            WriteOutcome::Taken => self.stop(Outcome::Fenced, out),
            WriteOutcome::Failed { reason } | WriteOutcome::Unknown { reason } => {
                // Once an attempt is in doubt, a later one that has certainly failed says nothing about it.
                *in_doubt |= unknown;
                if trying.failed(&self.setup.0.config.attempts, now) {
                    // The same bytes again.
                } else if *in_doubt {
                    self.fail(format!("it is not known whether epoch {epoch} was written: {reason}"), out);
                } else {
                    self.give_up(reason, now, out);
                }
            }
        }
    }

    fn written(&mut self, now: Now, out: &mut Vec<Action>) {
        let Phase::Writing { manifest, then, .. } = std::mem::replace(&mut self.phase, Phase::Idle) else {
            return;
        };
        self.kept.insert(manifest.epoch, Kept::from(&*manifest));
        if self.gaps.remove(&manifest.epoch) {
            return self.write(then, now, out);
        }
        self.failures = 0;
        if self.requested == Some(then.collected.cut) {
            self.requested = None;
        }
        then.collected.mark_used(&mut self.contributions);
        out.push(Action::Committed { epoch: manifest.epoch });
        let sinks = 0..u32::try_from(manifest.sinks.len()).unwrap_or(u32::MAX);
        out.extend(sinks.clone().map(|sink| commit(&manifest, sink)));
        self.last = manifest;
        self.phase = Phase::Committing { then, open: sinks.map(|sink| (sink, Trying::default())).collect() };
        self.committed_all(now, out);
    }

    /// A commit of `epoch`, or a finish where there is none, is answered.
    fn on_sink(
        &mut self,
        sink: u32,
        epoch: Option<Epoch>,
        result: Result<(), String>,
        now: Now,
        out: &mut Vec<Action>,
    ) {
        let open = match (&mut self.phase, epoch) {
            (Phase::Committing { then, open }, Some(epoch)) if then.manifest.epoch == epoch => open,
            (Phase::Finishing { open }, None) => open,
            _ => return,
        };
        let Some(trying) = open.get_mut(&sink).filter(|trying| trying.under_way()) else { return };
        match result {
            Ok(()) => {
                open.remove(&sink);
                self.committed_all(now, out);
            }
            Err(reason) if !trying.failed(&self.setup.0.config.attempts, now) => {
                let name =
                    self.setup.0.topology.sinks.get(sink as usize).map_or("?", |sink| sink.id.as_str());
                self.fail(format!("{name}: epoch {} could not be committed: {reason}", self.last.epoch), out);
            }
            Err(_) => {}
        }
    }

    fn committed_all(&mut self, now: Now, out: &mut Vec<Action>) {
        match &self.phase {
            Phase::Committing { then, open } if open.is_empty() => {
                let (finished, cut) = (then.manifest.finished, then.collected.cut);
                match (finished, cut) {
                    (true, _) => {
                        let sinks = 0..u32::try_from(self.setup.0.topology.sinks.len()).unwrap_or(u32::MAX);
                        out.extend(sinks.clone().map(|sink| Action::Finish { sink }));
                        let open = sinks.map(|sink| (sink, Trying::default())).collect();
                        self.phase = Phase::Finishing { open };
                        self.committed_all(now, out);
                    }
                    (false, Cut::Suspend) => self.delete(Next::Suspended, now, out),
                    (false, _) => self.delete(Next::GoOn, now, out),
                }
            }
            Phase::Finishing { open } if open.is_empty() => self.delete(Next::Finished, now, out),
            _ => {}
        }
    }

    fn delete(&mut self, then: Next, now: Now, out: &mut Vec<Action>) {
        let epochs = superfluous(&self.kept, self.setup.0.config.keep);
        if epochs.is_empty() {
            return self.delete_blocks(then, now, out);
        }
        out.push(Action::DeleteManifests(epochs.clone()));
        self.phase = Phase::DeletingManifests { epochs, then };
    }

    fn delete_blocks(&mut self, then: Next, now: Now, out: &mut Vec<Action>) {
        let blocks = retention::unreferenced(&self.candidates, &self.kept);
        self.candidates.retain(|id| blocks.binary_search(id).is_ok());
        if blocks.is_empty() {
            return self.over(then, now, out);
        }
        out.push(Action::DeleteBlocks(blocks.clone()));
        self.phase = Phase::DeletingBlocks { blocks, then };
    }

    fn on_deleted(&mut self, all: bool, now: Now, out: &mut Vec<Action>) {
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::DeletingManifests { epochs, then } => {
                if !all {
                    // Until it is certain that they are gone, their blocks are not touched.
                    return self.over(then, now, out);
                }
                for epoch in epochs {
                    let gone = self.kept.remove(&epoch);
                    self.candidates.extend(gone.iter().flat_map(|kept| kept.blocks.iter()));
                }
                self.delete_blocks(then, now, out);
            }
            Phase::DeletingBlocks { blocks, then } => {
                if all {
                    for block in blocks {
                        self.candidates.remove(&block);
                    }
                }
                self.over(then, now, out);
            }
            other => self.phase = other,
        }
    }

    fn over(&mut self, then: Next, now: Now, out: &mut Vec<Action>) {
        self.phase = Phase::Idle;
        self.not_before = now.plus(self.setup.0.config.min_pause);
        match then {
            Next::GoOn => {}
            Next::Finished => self.stop(Outcome::Finished, out),
            Next::Suspended => self.stop(Outcome::Suspended, out),
        }
    }
}

fn commit(manifest: &Manifest, sink: u32) -> Action {
    let staged = manifest.sinks.get(sink as usize).map(|sink| sink.staged.clone()).unwrap_or_default();
    Action::Commit { sink, epoch: manifest.epoch, staged }
}

#[cfg(test)]
mod tests;
