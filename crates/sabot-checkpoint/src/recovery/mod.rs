//! From what a crash has left to a job that runs: which epoch to open, and how to become the only writer.
//!
//! In this order, each step one call that may be repeated:
//!
//! 1. Read all manifests, then list all blocks, then look whether the newest manifest is still the newest. If so it
//!    is what was read: a number that retention has freed can be filled again by a writer that slept, but never the
//!    newest. The newest manifest that can be read and whose blocks are all there is the one to go on from.
//! 2. Where a newer one cannot be used, its writing was torn and nobody acted on it, or it was damaged later.
//!    In the second case its output may be visible and would come a second time: ask, and refuse.
//! 3. Finish what it has begun: commit what its sinks have staged. If the job had come to its end, that is all.
//! 4. Take over: write the same state as the next epoch, with a generation of its own. If somebody was faster,
//!    begin again. From here on no earlier writer can commit.
//! 5. Remove what earlier generations have staged and can no longer commit. Not sooner: until it is fenced, the
//!    writer before may be about to write a manifest that names it.
//!
//! What blocks nobody refers to is known from step 1, before anybody who comes later can have written one: so
//! they may be deleted, even by a writer that is fenced while it does it.

mod event;

pub use event::{Found, Recovered, RecoveryAction, RecoveryError, RecoveryEvent, Start};

use sabot_common::Epoch;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::moment::{Constant, Trying};
use crate::{
    Attempts, BlockId, Kept, Manifest, ManifestError, ManifestKind, Now, SinkState, Topology, WriteOutcome,
};

/// How often recovery begins again because others write at the same time, before it says so.
const ROUNDS_MAX: u32 = 100;

/// A job on its way from the store to its start.
///
/// ```
/// # use sabot_checkpoint::*;
/// # use sabot_common::{Epoch, KeyGroups};
/// # let topology = Topology {
/// #     job: "copy".into(), hash_seed: 0, key_groups: KeyGroups::default(), operators: vec![], sources: vec![], sinks: vec![],
/// # };
/// let now = Now::default();
/// let mut recovery = Recovery::new(topology.into(), Attempts::default(), 0x5eed);
/// assert_eq!(recovery.step(RecoveryEvent::Tick, now), [RecoveryAction::ListManifests]);
/// assert_eq!(recovery.step(RecoveryEvent::Listed(Ok(vec![])), now), [RecoveryAction::ListBlocks]);
/// assert_eq!(recovery.step(RecoveryEvent::BlocksListed(Ok(vec![])), now), [RecoveryAction::ListManifests]);
/// let actions = recovery.step(RecoveryEvent::Listed(Ok(vec![])), now);
/// assert!(matches!(&actions[..], [RecoveryAction::WriteManifest(first)] if first.epoch == Epoch(1)));
/// let actions = recovery.step(RecoveryEvent::Wrote(WriteOutcome::Written), now);
/// assert_eq!(actions, [RecoveryAction::Clean { generation: 1 }]);
/// let actions = recovery.step(RecoveryEvent::Cleaned(Ok(())), now);
/// assert!(matches!(&actions[..], [RecoveryAction::Done(Recovered::Ready(start))] if start.manifest.generation == 1));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Recovery {
    setup: Constant<(Arc<Topology>, Attempts)>,
    writer: u64,
    phase: Phase,
    trying: Trying,
    rounds: u32,
    /// What was listed and is not read yet; the newest comes last.
    unread: Vec<Epoch>,
    read: BTreeMap<Epoch, Result<Arc<Manifest>, ManifestError>>,
    blocks: BTreeSet<BlockId>,
    base: Option<Arc<Manifest>>,
}

/// The call that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Phase {
    New,
    Listing,
    Reading(Epoch),
    ListingBlocks,
    LookingAgain,
    Asking {
        after: Epoch,
    },
    /// The sinks to commit or finish, the current one first.
    Committing(VecDeque<u32>),
    Finishing(VecDeque<u32>),
    Writing(Arc<Manifest>),
    Cleaning(Arc<Manifest>),
    Done,
}

impl Recovery {
    /// A recovery that has done nothing yet; it begins with the first [`RecoveryEvent::Tick`]. `writer` is drawn
    /// at random for each.
    pub fn new(topology: Arc<Topology>, attempts: Attempts, writer: u64) -> Self {
        Self {
            setup: Constant((topology, attempts)),
            writer,
            phase: Phase::New,
            trying: Trying::default(),
            rounds: 0,
            unread: Vec::new(),
            read: BTreeMap::new(),
            blocks: BTreeSet::new(),
            base: None,
        }
    }

    /// When [`RecoveryEvent::Tick`] is due; none while a call is under way.
    pub fn deadline(&self) -> Option<Duration> {
        self.trying.deadline()
    }

    /// Takes an event and says what to do next. An event that does not fit the call under way changes nothing.
    pub fn step(&mut self, event: RecoveryEvent, now: Now) -> Vec<RecoveryAction> {
        use RecoveryEvent as E;
        let mut out = Vec::new();
        match (&mut self.phase, event) {
            (Phase::New, E::Tick) => self.list(&mut out),
            (_, E::Tick) => {
                let due = self.trying.due(now);
                out.extend(due.then(|| self.call()).flatten());
            }
            (Phase::Listing, E::Listed(Ok(mut epochs))) => {
                epochs.sort_unstable();
                epochs.dedup();
                self.unread = epochs;
                self.read_next(&mut out);
            }
            (Phase::Reading(wanted), E::Read { epoch, found }) if *wanted == epoch => {
                self.on_read(epoch, found, now, &mut out)
            }
            (Phase::ListingBlocks, E::BlocksListed(Ok(blocks))) => {
                self.blocks = blocks.into_iter().collect();
                self.enter(Phase::LookingAgain, &mut out);
            }
            (Phase::LookingAgain, E::Listed(Ok(epochs))) => {
                match epochs.iter().max() == self.read.keys().next_back() {
                    true => self.choose(now, &mut out),
                    false => self.list_again(&mut out),
                }
            }
            (Phase::Asking { after }, E::Visible(Ok(visible))) => {
                let after = *after;
                match visible {
                    true => self.fail(self.output_ahead(after), &mut out),
                    false => self.finish_base(now, &mut out),
                }
            }
            (Phase::Committing(open), E::SinkCommitted(Ok(()))) => {
                open.pop_front();
                self.commit_next(now, &mut out);
            }
            (Phase::Finishing(open), E::SinkFinished(Ok(()))) => {
                open.pop_front();
                self.finish_next(&mut out);
            }
            (Phase::Writing(_), E::Wrote(outcome)) => self.on_wrote(outcome, now, &mut out),
            (Phase::Cleaning(manifest), E::Cleaned(Ok(()))) => {
                let manifest = manifest.clone();
                self.ready(manifest, &mut out);
            }
            (Phase::Listing | Phase::LookingAgain, E::Listed(Err(reason)))
            | (Phase::ListingBlocks, E::BlocksListed(Err(reason)))
            | (Phase::Asking { .. }, E::Visible(Err(reason)))
            | (Phase::Committing(_), E::SinkCommitted(Err(reason)))
            | (Phase::Finishing(_), E::SinkFinished(Err(reason)))
            | (Phase::Cleaning(_), E::Cleaned(Err(reason))) => self.again(reason, now, &mut out),
            _ => {}
        }
        out
    }

    /// The call of the phase.
    fn call(&self) -> Option<RecoveryAction> {
        Some(match &self.phase {
            Phase::New | Phase::Done => return None,
            Phase::Listing | Phase::LookingAgain => RecoveryAction::ListManifests,
            Phase::Reading(epoch) => RecoveryAction::ReadManifest(*epoch),
            Phase::ListingBlocks => RecoveryAction::ListBlocks,
            Phase::Asking { after } => RecoveryAction::AskVisible { after: *after },
            Phase::Committing(open) => {
                let (sink, base) = (*open.front()?, self.base.as_ref()?);
                let id = &self.setup.0.0.sinks.get(sink as usize)?.id;
                let staged =
                    base.sinks.iter().find(|state| state.id == *id).map(|state| state.staged.clone());
                RecoveryAction::Commit { sink, epoch: base.epoch, staged: staged.unwrap_or_default() }
            }
            Phase::Finishing(open) => RecoveryAction::Finish { sink: *open.front()? },
            Phase::Writing(manifest) => RecoveryAction::WriteManifest(manifest.clone()),
            Phase::Cleaning(manifest) => RecoveryAction::Clean { generation: manifest.generation },
        })
    }

    fn enter(&mut self, phase: Phase, out: &mut Vec<RecoveryAction>) {
        self.phase = phase;
        self.trying = Trying::default();
        out.extend(self.call());
    }

    /// The call has failed: once more, later, or the end.
    fn again(&mut self, reason: String, now: Now, out: &mut Vec<RecoveryAction>) {
        if !self.trying.failed(&self.setup.0.1, now) {
            self.fail(RecoveryError::Failed { reason }, out);
        }
    }

    fn fail(&mut self, error: RecoveryError, out: &mut Vec<RecoveryAction>) {
        self.end(Recovered::Failed(error), out);
    }

    fn end(&mut self, recovered: Recovered, out: &mut Vec<RecoveryAction>) {
        self.phase = Phase::Done;
        self.trying = Trying::default();
        out.push(RecoveryAction::Done(recovered));
    }
}

/// Finding the epoch to open.
impl Recovery {
    fn list(&mut self, out: &mut Vec<RecoveryAction>) {
        self.read.clear();
        self.base = None;
        self.enter(Phase::Listing, out);
    }

    /// Others write at the same time: what was read is old.
    fn list_again(&mut self, out: &mut Vec<RecoveryAction>) {
        self.rounds += 1;
        match self.rounds >= ROUNDS_MAX {
            true => self.fail(RecoveryError::Contended { rounds: self.rounds }, out),
            false => self.list(out),
        }
    }

    fn read_next(&mut self, out: &mut Vec<RecoveryAction>) {
        match self.unread.pop() {
            Some(epoch) => self.enter(Phase::Reading(epoch), out),
            None => self.enter(Phase::ListingBlocks, out),
        }
    }

    fn on_read(&mut self, epoch: Epoch, found: Found, now: Now, out: &mut Vec<RecoveryAction>) {
        let read = match found {
            Found::Manifest(manifest) => Ok(manifest),
            Found::Unusable(error) => Err(error),
            Found::Gone => return self.list_again(out),
            Found::Failed { reason } => return self.again(reason, now, out),
        };
        self.read.insert(epoch, read);
        self.read_next(out);
    }

    /// Chooses the manifest to go on from, among those that were read.
    fn choose(&mut self, now: Now, out: &mut Vec<RecoveryAction>) {
        let complete = |manifest: &Manifest| manifest.blocks().is_subset(&self.blocks);
        let mut unusable = false;
        for (epoch, read) in self.read.iter().rev() {
            match read {
                Err(error @ ManifestError::Newer { .. }) => {
                    let error = RecoveryError::Newer { epoch: *epoch, error: error.clone() };
                    return self.fail(error, out);
                }
                Ok(manifest) if manifest.job != self.setup.0.0.job => {
                    let (found, wanted) = (manifest.job.clone(), self.setup.0.0.job.clone());
                    return self.fail(RecoveryError::OtherJob { found, wanted }, out);
                }
                Ok(manifest) if complete(manifest) => {
                    self.base = Some(manifest.clone());
                    break;
                }
                Ok(_) | Err(_) => unusable = true,
            }
        }
        if let Some(error) = self.unknown_sink() {
            return self.fail(error, out);
        }
        let after = self.base.as_ref().map_or(Epoch(0), |base| base.epoch);
        match (&self.base, self.read.len()) {
            // The very first one was torn: the job has not begun. More of them, and something has happened.
            (None, 2..) => {
                self.fail(RecoveryError::NothingUsable { epochs: self.read.keys().copied().collect() }, out)
            }
            _ if unusable => self.enter(Phase::Asking { after }, out),
            _ => self.finish_base(now, out),
        }
    }

    /// A sink that the job no longer has, and whose output is still to be committed.
    fn unknown_sink(&self) -> Option<RecoveryError> {
        let base = self.base.as_ref()?;
        let known = |state: &&SinkState| self.setup.0.0.sinks.iter().any(|sink| sink.id == state.id);
        // One that has staged no rows loses nothing.
        let has_rows = |state: &&SinkState| state.staged.iter().any(|staged| staged.rows > 0);
        let unknown = base.sinks.iter().find(|state| !known(state) && has_rows(state))?;
        Some(RecoveryError::UnknownSink { sink: unknown.id.clone(), epoch: base.epoch })
    }

    fn output_ahead(&self, after: Epoch) -> RecoveryError {
        let unusable = self.read.range(after.next()..).map(|(epoch, _)| *epoch).collect();
        RecoveryError::OutputAhead { usable: after, unusable }
    }
}

/// Finishing what was begun, and taking over.
impl Recovery {
    fn finish_base(&mut self, now: Now, out: &mut Vec<RecoveryAction>) {
        let Some(base) = &self.base else { return self.take_over(now, out) };
        let has_staged = |id| base.sinks.iter().any(|state| state.id == id && !state.staged.is_empty());
        let sinks = self.setup.0.0.sinks.iter().zip(0..).filter(|(sink, _)| has_staged(sink.id.clone()));
        let open = sinks.map(|(_, index)| index).collect();
        self.phase = Phase::Committing(open);
        self.commit_next(now, out);
    }

    fn commit_next(&mut self, now: Now, out: &mut Vec<RecoveryAction>) {
        let finished = self.base.as_ref().is_some_and(|base| base.finished);
        match &self.phase {
            Phase::Committing(open) if !open.is_empty() => {
                self.trying = Trying::default();
                out.extend(self.call());
            }
            _ if finished => {
                self.phase = Phase::Finishing((0..).take(self.setup.0.0.sinks.len()).collect());
                self.finish_next(out);
            }
            _ => self.take_over(now, out),
        }
    }

    fn finish_next(&mut self, out: &mut Vec<RecoveryAction>) {
        match (&self.phase, &self.base) {
            (Phase::Finishing(open), _) if !open.is_empty() => {
                self.trying = Trying::default();
                out.extend(self.call());
            }
            (_, Some(base)) => self.end(Recovered::Finished(base.clone()), out),
            _ => {}
        }
    }

    fn take_over(&mut self, now: Now, out: &mut Vec<RecoveryAction>) {
        let newest = self.read.keys().next_back().copied().unwrap_or(Epoch(0));
        let base = self.base.as_ref();
        // One that cannot be read may have been a take-over of which the generation is not known.
        let unusable = self.read.range(base.map_or(Epoch(0), |base| base.epoch).next()..).count() as u64;
        let generation = base.map_or(0, |base| base.generation) + 1 + unusable;
        let fresh =
            || Manifest::first(&self.setup.0.0.job, self.setup.0.0.hash_seed, self.setup.0.0.key_groups);
        let state = base.map_or_else(|| Arc::new(fresh()), Arc::clone);
        let taken_over = state.again(newest.next(), ManifestKind::TakeOver, now.unix_ms);
        let manifest = Manifest { generation, writer: self.writer, ..taken_over };
        self.enter(Phase::Writing(manifest.into()), out);
    }

    fn on_wrote(&mut self, outcome: WriteOutcome, now: Now, out: &mut Vec<RecoveryAction>) {
        let Phase::Writing(manifest) = &self.phase else { return };
        match outcome {
            WriteOutcome::Written => {
                let manifest = manifest.clone();
                self.enter(Phase::Cleaning(manifest), out);
            }
            WriteOutcome::Taken => self.list_again(out),
            WriteOutcome::Failed { reason } | WriteOutcome::Unknown { reason } => {
                self.again(reason, now, out)
            }
        }
    }

    fn ready(&mut self, manifest: Arc<Manifest>, out: &mut Vec<RecoveryAction>) {
        let mut kept: BTreeMap<Epoch, Kept> = BTreeMap::new();
        for (epoch, read) in &self.read {
            let unreadable = Kept { kind: None, blocks: Arc::default() };
            kept.insert(*epoch, read.as_ref().map_or(unreadable, |manifest| Kept::from(&**manifest)));
        }
        kept.insert(manifest.epoch, Kept::from(&*manifest));
        let named = |id: &BlockId| kept.values().any(|kept| kept.blocks.contains(id));
        let orphans = self.blocks.iter().filter(|id| !named(id)).copied().collect();
        self.end(Recovered::Ready(Start { manifest, kept, orphans }), out);
    }
}

#[cfg(test)]
mod tests;
