//! The account of memory in flight: what stops producers before the machine runs out.
//!
//! Every morsel between two tasks carries a [`Charge`]; dropping the morsel gives its bytes back.
//! Sources ask before they let a morsel in and wait when the answer is no. Operators are never
//! refused: they turn one charged morsel into another, and stopping them could stop what would free
//! the memory. Half of the budget is therefore kept for them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

/// A limit on the bytes of morsels in flight, shared by the jobs of an engine.
#[derive(Debug)]
pub struct MemoryBudget {
    limit: usize,
    used: AtomicUsize,
    peak: AtomicUsize,
    waiting: Mutex<Vec<Waker>>,
}

impl MemoryBudget {
    /// A budget of `limit` bytes.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            waiting: Mutex::default(),
        })
    }

    /// The limit in bytes.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Bytes charged now.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::SeqCst)
    }

    /// The most bytes that were ever charged at one time.
    pub fn peak(&self) -> usize {
        self.peak.load(Ordering::SeqCst)
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::SeqCst);
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        for waker in waiting {
            waker.wake();
        }
    }
}

/// What one job has in flight, within the engine's budget.
///
/// A job can always have one morsel in flight, whatever other jobs hold: else two jobs on one engine,
/// of which one waits for the other, could stop each other for good.
#[derive(Debug)]
pub(crate) struct JobAccount {
    engine: Arc<MemoryBudget>,
    used: AtomicUsize,
}

impl JobAccount {
    pub(crate) fn new(engine: Arc<MemoryBudget>) -> Arc<Self> {
        Arc::new(Self { engine, used: AtomicUsize::new(0) })
    }

    /// Lets `bytes` in from a source, or says no and wakes `waker` when memory is given back. A morsel
    /// that is larger than the share of sources comes in alone, when its job has nothing else in flight.
    pub(crate) fn admit(self: &Arc<Self>, bytes: usize, waker: &Waker) -> Option<Charge> {
        if let Some(charge) = self.try_admit(bytes) {
            return Some(charge);
        }
        self.engine.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(waker.clone());
        // Memory may have been given back between the refusal and the registration.
        self.try_admit(bytes)
    }

    fn try_admit(self: &Arc<Self>, bytes: usize) -> Option<Charge> {
        let share = self.engine.limit / 2;
        let alone = self.used.load(Ordering::SeqCst) == 0;
        let fits =
            |used: usize| (alone || used.saturating_add(bytes) <= share).then(|| used.saturating_add(bytes));
        let before = self.engine.used.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fits).ok()?;
        Some(self.charged(before, bytes))
    }

    /// Charges what an operator made.
    pub(crate) fn charge(self: &Arc<Self>, bytes: usize) -> Charge {
        let before = self.engine.used.fetch_add(bytes, Ordering::SeqCst);
        self.charged(before, bytes)
    }

    fn charged(self: &Arc<Self>, before: usize, bytes: usize) -> Charge {
        self.used.fetch_add(bytes, Ordering::SeqCst);
        self.engine.peak.fetch_max(before.saturating_add(bytes), Ordering::SeqCst);
        Charge(Arc::new(ChargeInner { bytes, account: self.clone() }))
    }
}

/// Bytes charged to a job until the last clone is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Charge(#[allow(dead_code, reason = "held for its Drop")] Arc<ChargeInner>);

#[derive(Debug)]
struct ChargeInner {
    bytes: usize,
    account: Arc<JobAccount>,
}

impl Drop for ChargeInner {
    fn drop(&mut self) {
        self.account.used.fetch_sub(self.bytes, Ordering::SeqCst);
        self.account.engine.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;
    use std::task::Wake;

    struct Flag(AtomicBool);
    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    #[test]
    fn sources_wait_and_are_woken_when_memory_comes_back() {
        let flag = Arc::new(Flag(AtomicBool::new(false)));
        let waker = Waker::from(flag.clone());
        let budget = MemoryBudget::new(100);
        let job = JobAccount::new(budget.clone());
        let first = job.admit(50, &waker).unwrap();
        assert!(job.admit(1, &waker).is_none());
        let made = job.charge(40);
        assert_eq!((budget.used(), budget.peak()), (90, 90));
        let shared = first.clone();
        drop(first);
        assert!(!flag.0.load(Ordering::SeqCst));
        drop(shared);
        assert!(flag.0.load(Ordering::SeqCst));
        drop(made);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_morsel_larger_than_the_share_comes_in_alone() {
        let job = JobAccount::new(MemoryBudget::new(100));
        let large = job.admit(1_000, Waker::noop()).unwrap();
        assert!(job.admit(1, Waker::noop()).is_none());
        drop(large);
        assert!(job.admit(1, Waker::noop()).is_some());
    }

    #[test]
    fn a_job_gets_one_morsel_in_whatever_others_hold() {
        let budget = MemoryBudget::new(100);
        let (a, b) = (JobAccount::new(budget.clone()), JobAccount::new(budget));
        let _held = a.admit(50, Waker::noop()).unwrap();
        let one = b.admit(10, Waker::noop()).unwrap();
        assert!(b.admit(10, Waker::noop()).is_none());
        drop(one);
        assert!(b.admit(10, Waker::noop()).is_some());
    }
}
