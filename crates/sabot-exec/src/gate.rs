//! Sources that wait for others to end.
//!
//! A join has no use for rows of its probe side before its build side is there. Rows that were read all
//! the same would fill queues and the memory budget, and could keep out the very rows that are waited
//! for. So the sources of the probe side are not read until those of the build side have ended by
//! themselves, or because nobody wants more of them. One that was stopped opens nothing: what would be joined then is a part of a table.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;

/// Closed until every task that it waits for has ended.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Tasks that have not ended.
    open: AtomicUsize,
    waiting: Mutex<Vec<Waker>>,
}

impl Gate {
    /// A gate before the ends of so many tasks.
    pub(crate) fn new(tasks: usize) -> Self {
        Self { open: AtomicUsize::new(tasks), waiting: Mutex::default() }
    }

    /// Names a task that is woken when the gate opens.
    pub(crate) fn add_waiting(&self, waker: Waker) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(waker);
    }

    /// Whether one may go through.
    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::SeqCst) == 0
    }

    /// One of the tasks has ended.
    pub(crate) fn ended(&self) {
        if self.open.fetch_sub(1, Ordering::SeqCst) == 1 {
            let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
            waiting.iter().for_each(Waker::wake_by_ref);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn the_last_end_opens_and_wakes() {
        let woken = Arc::new(Count::default());
        let gate = Gate::new(2);
        gate.add_waiting(woken.clone().into());
        gate.ended();
        assert!(!gate.is_open());
        assert_eq!(woken.0.load(Ordering::SeqCst), 0);
        gate.ended();
        assert!(gate.is_open());
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
        assert!(Gate::new(0).is_open());
    }
}
