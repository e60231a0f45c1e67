//! The thread that carries out what the coordinator of a job asks for.

use sabot_checkpoint::{Action, Answer, Coordinator, Cut, Event, Outcome, Staged, Start, TaskId};
use sabot_common::{Epoch, FailPoint};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::recover::{Watch, commit};
use super::state::{Parts, payload};
use super::writer::let_workers_go_first;
use super::{Asker, Checkpoints, Message, Places, Report};
use crate::error::JobError;
use crate::job::JobCore;
use crate::scheduler::panic_message;

/// How often rows are counted where epochs are due by rows.
const COUNTING: Duration = Duration::from_millis(10);

/// A job's checkpoints while it runs.
pub(crate) struct Driver {
    job: Arc<JobCore>,
    checkpoints: Checkpoints,
    coordinator: Coordinator,
    parts: Parts,
    from: Receiver<Message>,
    watch: Watch,
    rows: u64,
    /// The newest epoch of this run whose manifest is written.
    stored: Option<Epoch>,
    /// Who waits for a savepoint, and its epoch once it has begun.
    waiting: Vec<(Option<Epoch>, Asker)>,
    /// No task is left.
    gone: bool,
    outcome: Option<Outcome>,
}

impl Driver {
    pub(crate) fn new(
        job: Arc<JobCore>,
        checkpoints: Checkpoints,
        places: &Places,
        start: Start,
        from: Receiver<Message>,
    ) -> Self {
        let watch = Watch::start();
        let parts = Parts::new(&checkpoints.store);
        let coordinator = Coordinator::new(places.topology.clone(), checkpoints.config, start, watch.now());
        Self {
            job,
            checkpoints,
            coordinator,
            parts,
            from,
            watch,
            rows: 0,
            stored: None,
            waiting: Vec::new(),
            gone: false,
            outcome: None,
        }
    }

    /// Starts the thread, which ends with the job.
    pub(crate) fn launch(mut self) -> Result<(), JobError> {
        let thread = std::thread::Builder::new().name("sabot-epochs".to_owned());
        let started = thread.spawn(move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| self.run()))
                .unwrap_or_else(|panic| Err(JobError::Checkpoint { reason: panic_message(panic.as_ref()) }));
            if let Err(error) = &outcome {
                self.job.fail(error.clone());
            }
            while !self.gone && self.from.recv().is_ok_and(|message| !matches!(message, Message::Gone)) {}
            self.job.conclude(outcome);
        });
        started.map(drop).map_err(|error| JobError::Start { message: error.to_string() })
    }

    fn run(&mut self) -> Result<(), JobError> {
        let_workers_go_first();
        let mut events = VecDeque::from([Event::Tick]);
        loop {
            while let Some(event) = events.pop_front() {
                for action in self.coordinator.step(event, self.watch.now()) {
                    events.extend(self.act(action));
                }
            }
            match &self.outcome {
                Some(Outcome::Finished | Outcome::Suspended) if self.gone => return Ok(()),
                Some(Outcome::Fenced) => return Err(JobError::TakenOver),
                Some(Outcome::Failed { reason }) => {
                    return Err(JobError::Checkpoint { reason: reason.clone() });
                }
                _ => {}
            }
            if self.gone
                && let Some(error) = self.job.failure()
            {
                return Err(error);
            }
            events.extend(self.wait());
        }
    }

    /// What comes next: what a task says, or that time has passed.
    fn wait(&mut self) -> Option<Event> {
        let due = self.coordinator.deadline().map(|at| self.watch.until(at));
        let by_rows = self.checkpoints.config.rows.map(|_| COUNTING);
        let wait = [due, by_rows].into_iter().flatten().min();
        let message = match wait {
            Some(wait) => self.from.recv_timeout(wait),
            None => self.from.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match message {
            Ok(message) => self.event(message),
            Err(RecvTimeoutError::Timeout) if due.is_none_or(|due| wait < Some(due)) => Some(self.count()),
            Err(RecvTimeoutError::Timeout) => Some(Event::Tick),
            Err(RecvTimeoutError::Disconnected) => {
                self.gone = true;
                Some(Event::Tick)
            }
        }
    }

    fn count(&mut self) -> Event {
        let read = self.job.counters.rows_read.load(Ordering::Relaxed);
        let new = read - std::mem::replace(&mut self.rows, read);
        Event::Rows(new)
    }

    fn event(&mut self, message: Message) -> Option<Event> {
        match message {
            Message::Block { task, epoch, block, bytes } => {
                self.parts.add((task, epoch), block, bytes);
                // Time passes while blocks are written, and so may an epoch's.
                Some(Event::Tick)
            }
            Message::Answered { task, epoch, report } => Some(self.answered(task, epoch, report)),
            Message::Ended { task, passed, last } => {
                let last = match last {
                    Report::Positions(positions) => Answer::Positions(positions),
                    // What is left is not kept.
                    Report::Nothing { groups } | Report::Cut { groups, .. } => {
                        Answer::State { groups, blocks: Vec::new() }
                    }
                    Report::Staged(staged) => Answer::Staged(self::staged(staged)),
                };
                Some(Event::Ended { task, passed, last })
            }
            Message::Requested(cut) => Some(Event::Requested(cut)),
            Message::Savepoint(asker) => {
                self.waiting.push((None, asker));
                Some(Event::Requested(Cut::Savepoint))
            }
            Message::Gone => {
                self.gone = true;
                None
            }
        }
    }

    fn answered(&mut self, task: TaskId, epoch: Epoch, report: Report) -> Event {
        let answer = match report {
            Report::Positions(positions) => Answer::Positions(positions),
            Report::Staged(staged) => Answer::Staged(self::staged(staged)),
            Report::Nothing { groups } => Answer::State { groups, blocks: Vec::new() },
            Report::Cut { groups, layer, head, needed } => {
                match self.parts.end((task, epoch), layer, &head, &needed) {
                    Ok(blocks) => Answer::State { groups, blocks },
                    Err(reason) => return Event::CouldNot { task, epoch, reason },
                }
            }
        };
        Event::Answered { task, epoch, answer }
    }

    /// Tells those who wait for a savepoint of this epoch, or of one before, what has become of it.
    fn answer(&mut self, epoch: Epoch, answer: impl Fn(Epoch) -> Result<Epoch, String>) {
        let due = |(of, _): &mut (Option<Epoch>, _)| of.is_some_and(|of| of <= epoch);
        for (of, asker) in self.waiting.extract_if(.., due) {
            // Whoever has stopped waiting need not know.
            let _ = asker.send(answer(of.unwrap_or(epoch)));
        }
    }

    /// A savepoint that was asked for while another one was under way is still to come.
    fn asks_again(&self) -> Option<Event> {
        let is_open = self.waiting.iter().any(|(of, _)| of.is_none());
        is_open.then_some(Event::Requested(Cut::Savepoint))
    }

    fn act(&mut self, action: Action) -> Option<Event> {
        if matches!(action, Action::WriteManifest(_)) {
            FailPoint::ManifestBegun.pass();
        }
        if let Some(answer) = action.on_store(&*self.checkpoints.store) {
            match action {
                Action::WriteManifest(_) => FailPoint::ManifestWritten.pass(),
                Action::DeleteManifests(_) => FailPoint::ManifestsDeleted.pass(),
                _ => FailPoint::BlocksDeleted.pass(),
            }
            return Some(answer);
        }
        match action {
            Action::InjectBarrier { epoch, cut } => {
                if matches!(cut, Cut::Savepoint | Cut::Suspend) {
                    self.waiting.iter_mut().for_each(|(of, _)| *of = of.or(Some(epoch)));
                }
                self.job.inject(epoch, cut, self.stored);
                FailPoint::BarrierSent.pass();
            }
            Action::Commit { sink, epoch, staged } => {
                FailPoint::CommitBegun.pass();
                let result = self.job.at_sink(sink, |to| commit(to, epoch, &staged));
                FailPoint::Committed.pass();
                return Some(Event::SinkCommitted { sink, epoch, result });
            }
            Action::Finish { sink } => {
                FailPoint::FinishBegun.pass();
                let result = self.job.at_sink(sink, |to| to.finish().map_err(|error| error.to_string()));
                FailPoint::Finished.pass();
                return Some(Event::SinkFinished { sink, result });
            }
            Action::Committed { epoch } => {
                self.job.counters.checkpoints.fetch_add(1, Ordering::Relaxed);
                self.parts.committed(epoch);
                self.stored = Some(epoch);
                self.answer(epoch, Ok);
                return self.asks_again();
            }
            Action::GaveUp { epoch, reason } => {
                self.job.counters.checkpoints_given_up.fetch_add(1, Ordering::Relaxed);
                self.parts.given_up(epoch);
                tracing::warn!(job = %self.job.name, %epoch, reason, "an epoch was given up");
                self.answer(epoch, |epoch| Err(format!("epoch {epoch} was given up: {reason}")));
                return self.asks_again();
            }
            Action::Stop(outcome) => self.outcome = Some(outcome),
            // Those of the store are done.
            Action::WriteManifest(_) | Action::DeleteManifests(_) | Action::DeleteBlocks(_) => {}
        }
        None
    }
}

fn staged(staged: sabot_connect::Committable) -> Option<Staged> {
    let payload = payload(&staged);
    let (task, epoch, rows) = (staged.task, staged.epoch, staged.rows);
    // Some sinks know what they have staged without names of parts.
    (!staged.parts.is_empty() || rows > 0).then_some(Staged { task, epoch, payload, rows })
}
