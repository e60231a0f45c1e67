//! How something came out, and whoever waits to know.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::error::JobError;
use crate::metrics::JobMetrics;

/// What a job is to those who wait for it.
pub(crate) type Outcome = Result<JobMetrics, JobError>;

/// An outcome that comes once, and those who wait for it, be they threads or futures.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    state: Mutex<State>,
    told: Condvar,
}

#[derive(Debug, Default)]
struct State {
    outcome: Option<Outcome>,
    wakers: Vec<Waker>,
}

impl Ending {
    /// Tells everybody. The first outcome counts.
    pub(crate) fn tell(&self, outcome: Outcome) {
        let wakers = {
            let mut state = self.lock();
            state.outcome.get_or_insert(outcome);
            std::mem::take(&mut state.wakers)
        };
        self.told.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn is_known(&self) -> bool {
        self.lock().outcome.is_some()
    }

    /// Waits on this thread.
    pub(crate) fn wait(&self) -> Outcome {
        let mut state = self.lock();
        loop {
            if let Some(outcome) = &state.outcome {
                return outcome.clone();
            }
            state = self.told.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits without a thread; it may be asked again.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<Outcome> {
        let mut state = self.lock();
        if let Some(outcome) = &state.outcome {
            return Poll::Ready(outcome.clone());
        }
        if !state.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.wakers.push(cx.waker().clone());
        }
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
