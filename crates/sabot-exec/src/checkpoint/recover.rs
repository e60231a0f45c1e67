//! Before a job starts: which epoch it goes on from, and that it is the only one that does.

use sabot_checkpoint::{Now, Recovered, Recovery, RecoveryAction, RecoveryEvent, Staged, Start, Topology};
use sabot_common::{Epoch, FailPoint};
use sabot_connect::{Committable, ConnectError, Sink};
use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::Checkpoints;
use super::state::parts_of;
use crate::error::JobError;

/// Time as the protocol is given it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch(Instant);

impl Watch {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(self) -> Now {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let unix_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        Now { elapsed: self.0.elapsed(), unix_ms }
    }

    /// How long it is until then.
    pub(crate) fn until(self, deadline: Duration) -> Duration {
        deadline.saturating_sub(self.0.elapsed())
    }
}

/// How a job begins.
pub(crate) enum Begin {
    From(Start),
    /// It had come to its end before.
    Finished,
}

/// A job with its sinks, in the order of the topology, before it starts.
pub(crate) struct Recovering<'a> {
    pub(crate) checkpoints: &'a Checkpoints,
    pub(crate) topology: Arc<Topology>,
    pub(crate) sinks: Vec<Arc<dyn Sink>>,
}

impl Recovering<'_> {
    /// Finishes what an earlier run has begun, and takes over.
    pub(crate) fn run(&self) -> Result<Begin, JobError> {
        let watch = Watch::start();
        // Two runs that begin at the same moment must not draw the same number.
        let writer = RandomState::new().hash_one((std::process::id(), watch.now().unix_ms));
        let mut recovery = Recovery::new(self.topology.clone(), self.checkpoints.config.attempts, writer);
        let mut events = VecDeque::from([RecoveryEvent::Tick]);
        loop {
            let event = events.pop_front().unwrap_or_else(|| {
                std::thread::sleep(recovery.deadline().map_or(Duration::ZERO, |at| watch.until(at)));
                RecoveryEvent::Tick
            });
            for action in recovery.step(event, watch.now()) {
                if let RecoveryAction::Done(recovered) = action {
                    return self.done(recovered);
                }
                let takes_over = matches!(action, RecoveryAction::WriteManifest(_));
                if takes_over {
                    FailPoint::BaseFinished.pass();
                }
                let answer = action.on_store(&*self.checkpoints.store).or_else(|| self.on_sinks(&action));
                match action {
                    RecoveryAction::WriteManifest(_) => FailPoint::TakenOver.pass(),
                    RecoveryAction::Clean { .. } => FailPoint::Cleaned.pass(),
                    _ => {}
                }
                events.extend(answer);
            }
        }
    }

    fn done(&self, recovered: Recovered) -> Result<Begin, JobError> {
        match recovered {
            Recovered::Ready(start) if start.manifest.sources.is_empty() => {
                // No run of the job has committed anything: what is visible is of somebody else.
                match self.visible_after(Epoch(0)) {
                    Ok(None) => Ok(Begin::From(start)),
                    Ok(Some(sink)) => Err(JobError::Checkpoint {
                        reason: format!(
                            "{sink} holds output already, and there is no checkpoint that it belongs to; remove the \
                             output, or write somewhere else"
                        ),
                    }),
                    Err(reason) => Err(JobError::Checkpoint { reason }),
                }
            }
            Recovered::Ready(start) => Ok(Begin::From(start)),
            Recovered::Finished(_) => Ok(Begin::Finished),
            Recovered::Failed(error) => Err(JobError::Checkpoint { reason: error.to_string() }),
        }
    }

    /// The name of a sink with output of later epochs.
    fn visible_after(&self, epoch: Epoch) -> Result<Option<String>, String> {
        for sink in &self.sinks {
            if sink.visible_after(epoch).map_err(|error| error.to_string())? {
                return Ok(Some(sink.name()));
            }
        }
        Ok(None)
    }

    fn on_sinks(&self, action: &RecoveryAction) -> Option<RecoveryEvent> {
        let text = |error: ConnectError| error.to_string();
        let sink =
            |index: u32| self.sinks.get(index as usize).ok_or_else(|| format!("there is no sink {index}"));
        Some(match action {
            RecoveryAction::AskVisible { after } => {
                RecoveryEvent::Visible(self.visible_after(*after).map(|found| found.is_some()))
            }
            RecoveryAction::Commit { sink: index, epoch, staged } => {
                RecoveryEvent::SinkCommitted(sink(*index).and_then(|sink| commit(&**sink, *epoch, staged)))
            }
            RecoveryAction::Finish { sink: index } => {
                RecoveryEvent::SinkFinished(sink(*index).and_then(|sink| sink.finish().map_err(text)))
            }
            RecoveryAction::Clean { generation } => {
                let clean = self.sinks.iter().try_for_each(|sink| sink.clean(*generation));
                RecoveryEvent::Cleaned(clean.map_err(text))
            }
            _ => return None,
        })
    }
}

/// Makes visible what a manifest names.
pub(crate) fn commit(sink: &dyn Sink, epoch: Epoch, staged: &[Staged]) -> Result<(), String> {
    let part = |staged: &Staged| {
        let parts = parts_of(&staged.payload)?;
        Ok::<_, String>(Committable { epoch: staged.epoch, task: staged.task, rows: staged.rows, parts })
    };
    let staged = staged.iter().map(part).collect::<Result<Vec<_>, _>>()?;
    sink.commit(epoch, &staged).map_err(|error| error.to_string())
}
