//! The account of memory in flight: what stops producers before the machine runs out.
//!
//! Every morsel between two tasks carries a [`Charge`]; dropping the morsel gives its bytes back.
//! Sources ask before they let a morsel in and wait when the answer is no, in the order in which they
//! asked, so that small morsels cannot keep a large one out for ever. Operators are never refused: they turn one charged morsel into another, and stopping them could stop what would free
//! the memory. Half of the budget is therefore kept for them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// A limit on the bytes of morsels in flight, shared by the jobs of an engine.
#[derive(Debug)]
pub struct MemoryBudget {
    limit: usize,
    used: AtomicUsize,
    peak: AtomicUsize,
    waiting: Mutex<Waiting>,
}

/// Sources that wait for memory, in the order in which they asked.
#[derive(Debug, Default)]
struct Waiting {
    wakers: BTreeMap<u64, Waker>,
    next: u64,
}

/// A source's place among those that wait for memory; dropping it leaves the queue.
#[derive(Debug)]
pub(crate) struct Place {
    budget: Arc<MemoryBudget>,
    number: Option<u64>,
}

impl Place {
    fn leave(&mut self, waiting: &mut Waiting) {
        let left = self.number.take().and_then(|number| waiting.wakers.remove(&number));
        if left.is_some() {
            // Whoever is first now may fit.
            waiting.wakers.values().for_each(Waker::wake_by_ref);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let budget = self.budget.clone();
        self.leave(&mut budget.lock());
    }
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

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
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
        // Not only the first: another may be the only one of its job.
        self.lock().wakers.values().for_each(Waker::wake_by_ref);
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

    /// Where a source stands in the queue for memory: nowhere yet.
    pub(crate) fn place(&self) -> Place {
        Place { budget: self.engine.clone(), number: None }
    }

    /// Lets `bytes` in from a source, or says no, gives the source a place in the queue and wakes `waker`
    /// when memory is given back. A morsel that is larger than the share of sources comes in alone, when
    /// its job has nothing else in flight.
    pub(crate) fn admit(self: &Arc<Self>, bytes: usize, place: &mut Place, waker: &Waker) -> Option<Charge> {
        let mut waiting = self.engine.lock();
        let first = waiting.wakers.keys().next().copied();
        if let Some(charge) = self.try_admit(bytes, first.is_none() || first == place.number) {
            place.leave(&mut waiting);
            return Some(charge);
        }
        let number = *place.number.get_or_insert_with(|| {
            waiting.next += 1;
            waiting.next
        });
        waiting.wakers.insert(number, waker.clone());
        None
    }

    fn try_admit(self: &Arc<Self>, bytes: usize, first: bool) -> Option<Charge> {
        let share = self.engine.limit / 2;
        let alone = self.used.load(Ordering::SeqCst) == 0;
        let fits = |used: usize| {
            let fits = alone || (first && used.saturating_add(bytes) <= share);
            fits.then(|| used.saturating_add(bytes))
        };
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
        let mut place = job.place();
        let first = job.admit(50, &mut place, &waker).unwrap();
        assert!(job.admit(1, &mut place, &waker).is_none());
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
        let mut place = job.place();
        let large = job.admit(1_000, &mut place, Waker::noop()).unwrap();
        assert!(job.admit(1, &mut place, Waker::noop()).is_none());
        drop(large);
        assert!(job.admit(1, &mut place, Waker::noop()).is_some());
    }

    #[test]
    fn a_job_gets_one_morsel_in_whatever_others_hold() {
        let budget = MemoryBudget::new(100);
        let (a, b) = (JobAccount::new(budget.clone()), JobAccount::new(budget));
        let (mut of_a, mut of_b) = (a.place(), b.place());
        let _held = a.admit(50, &mut of_a, Waker::noop()).unwrap();
        assert!(a.admit(10, &mut of_a, Waker::noop()).is_none(), "a stands in the queue, first");
        let one = b.admit(10, &mut of_b, Waker::noop()).unwrap();
        assert!(b.admit(10, &mut of_b, Waker::noop()).is_none());
        drop(one);
        assert!(b.admit(10, &mut of_b, Waker::noop()).is_some());
    }

    #[test]
    fn small_morsels_do_not_keep_a_large_one_out() {
        let flag = Arc::new(Flag(AtomicBool::new(false)));
        let waker = Waker::from(flag.clone());
        let job = JobAccount::new(MemoryBudget::new(100));
        let (mut large, mut small) = (job.place(), job.place());
        let held = job.admit(20, &mut small, Waker::noop()).unwrap();
        assert!(job.admit(45, &mut large, &waker).is_none());
        assert!(job.admit(20, &mut small, &waker).is_none(), "it fits, and has to wait for its turn");
        drop(held);
        let held = job.admit(45, &mut large, &waker).unwrap();
        assert!(job.admit(20, &mut small, &waker).is_none());
        flag.0.store(false, Ordering::SeqCst);
        drop(held);
        assert!(flag.0.load(Ordering::SeqCst));
        assert!(job.admit(20, &mut small, &waker).is_some());
    }

    #[test]
    fn a_source_that_ends_leaves_the_queue() {
        let flag = Arc::new(Flag(AtomicBool::new(false)));
        let waker = Waker::from(flag.clone());
        let job = JobAccount::new(MemoryBudget::new(100));
        let (mut large, mut small) = (job.place(), job.place());
        let _held = job.admit(20, &mut small, Waker::noop()).unwrap();
        assert!(job.admit(45, &mut large, Waker::noop()).is_none());
        assert!(job.admit(20, &mut small, &waker).is_none());
        drop(large);
        assert!(flag.0.load(Ordering::SeqCst));
        assert!(job.admit(20, &mut small, &waker).is_some());
    }
}
