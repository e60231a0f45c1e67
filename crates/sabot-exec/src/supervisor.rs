//! A job that starts again after a failure: a thread that waits for the end of each run, and asks the strategy.
//!
//! A run that fails lets go of its sinks ([`Sink::release`](sabot_connect::Sink::release)); the next one goes on from
//! the newest checkpoint, as another process would. Whoever holds the job's handle sees one job.

use sabot_checkpoint::{Restart, RestartDecision, RestartStrategy};
use sabot_common::OperatorId;
use sabot_plan::PhysicalPlan;
use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::bindings::Bindings;
use crate::checkpoint::{Checkpoints, Watch};
use crate::ending::{Ending, Outcome};
use crate::engine::EngineCore;
use crate::error::JobError;
use crate::job::{JobCore, Stop};
use crate::scheduler::panic_message;

/// All that it takes to start a job once more.
pub(crate) struct Work {
    pub(crate) name: String,
    pub(crate) plan: PhysicalPlan,
    pub(crate) bindings: Bindings,
    pub(crate) checkpoints: Checkpoints,
    /// A job does not keep its engine.
    pub(crate) engine: Weak<EngineCore>,
}

impl Work {
    fn start(&self) -> Result<Arc<JobCore>, JobError> {
        let engine = self.engine.upgrade().ok_or(JobError::Aborted)?;
        engine.begin(&self.name, &self.plan, &self.bindings, Some(&self.checkpoints), true)
    }
}

/// A job over all of its runs.
pub(crate) struct Supervisor {
    state: Mutex<State>,
    changed: Condvar,
    pub(crate) ending: Ending,
}

struct State {
    /// The run that goes on, or the last one.
    current: Arc<JobCore>,
    restarts: u64,
    /// What the job was told, for runs that have not begun.
    stop: Option<Stop>,
    aborted: bool,
}

impl Supervisor {
    /// Watches over a job whose first run has begun.
    pub(crate) fn start(first: Arc<JobCore>, work: Work) -> Result<Arc<Self>, JobError> {
        let state = State { current: first.clone(), restarts: 0, stop: None, aborted: false };
        let (changed, ending) = (Condvar::new(), Ending::default());
        let supervisor = Arc::new(Self { state: Mutex::new(state), changed, ending });
        let watching = supervisor.clone();
        let thread = std::thread::Builder::new().name("sabot-restart".to_owned());
        match thread.spawn(move || watching.watch(&work)) {
            Ok(_) => Ok(supervisor),
            Err(error) => {
                first.abort();
                Err(JobError::Start { message: error.to_string() })
            }
        }
    }

    /// The run that goes on, or the last one.
    pub(crate) fn current(&self) -> Arc<JobCore> {
        self.lock().current.clone()
    }

    /// How often the job was started again.
    pub(crate) fn restarts(&self) -> u64 {
        self.lock().restarts
    }

    /// Also a run that begins later stops.
    pub(crate) fn stop(&self, stop: Stop) {
        let current = {
            let mut state = self.lock();
            state.stop.get_or_insert(stop);
            state.current.clone()
        };
        current.stop(stop);
    }

    /// Also no later run begins.
    pub(crate) fn abort(&self) {
        let current = {
            let mut state = self.lock();
            state.aborted = true;
            state.current.clone()
        };
        self.changed.notify_all();
        current.abort();
    }

    fn watch(&self, work: &Work) {
        let strategy = work.checkpoints.restart;
        // A source or a sink may panic when it is opened again, and somebody waits for the end.
        let outcome = catch_unwind(AssertUnwindSafe(|| self.runs(work, strategy))).unwrap_or_else(|panic| {
            let (operator, message) = (OperatorId::new(work.name.clone()), panic_message(panic.as_ref()));
            Err(JobError::Panicked { operator, message })
        });
        if outcome.is_err() {
            // Runs have only let go of their sinks.
            self.current().abandon();
        }
        self.ending.tell(outcome);
    }

    fn runs(&self, work: &Work, strategy: RestartStrategy) -> Outcome {
        let watch = Watch::start();
        let mut restart = Restart::new(strategy, RandomState::new().hash_one(&work.name));
        restart.on_running(watch.now());
        loop {
            let mut error = match self.current().wait() {
                Ok(mut metrics) => {
                    metrics.restarts = self.restarts();
                    return Ok(metrics);
                }
                Err(error) => error,
            };
            let next = loop {
                if !error.may_pass() {
                    return Err(error);
                }
                let after = match restart.on_failure(watch.now()) {
                    RestartDecision::Retry { after } => after,
                    RestartDecision::GiveUp { reason } => {
                        return Err(JobError::GaveUp { reason, error: Arc::new(error) });
                    }
                };
                tracing::warn!(job = %work.name, %error, ?after, "the job starts again");
                self.pause(after)?;
                match work.start() {
                    Ok(next) => break next,
                    Err(again) => error = again,
                }
            };
            restart.on_running(watch.now());
            self.goes_on(next);
        }
    }

    /// Waits, unless the job is aborted.
    fn pause(&self, after: Duration) -> Result<(), JobError> {
        let begun = Instant::now();
        let mut state = self.lock();
        while !state.aborted {
            let Some(left) = after.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) else {
                return Ok(());
            };
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Err(JobError::Aborted)
    }

    fn goes_on(&self, next: Arc<JobCore>) {
        let (stop, aborted) = {
            let mut state = self.lock();
            state.current = next.clone();
            state.restarts += 1;
            (state.stop, state.aborted)
        };
        if aborted {
            next.abort();
        } else if let Some(stop) = stop {
            next.stop(stop);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
