//! The bounded queue under every channel, for threads and for futures alike.
//!
//! One mutex guards everything; a waiting thread sleeps on a condition variable, a waiting future leaves
//! its waker. Batches are large and few, so a lock per batch is nothing, and one lock is easy to be sure
//! of. Invariant: queued batches plus reserved places never exceed the capacity, except where a producer
//! pushes without having asked for a place.

use arrow::record_batch::RecordBatch;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::ConnectError;

#[derive(Debug)]
pub(super) struct Queue {
    name: Arc<str>,
    /// What the consuming end is called in messages.
    consumer: &'static str,
    capacity: usize,
    state: Mutex<State>,
    room: Condvar,
    items: Condvar,
}

#[derive(Debug, Default)]
struct State {
    batches: VecDeque<RecordBatch>,
    reserved: usize,
    producers: usize,
    /// Some producer was there: only then does "no producers" mean the end.
    begun: bool,
    finished: bool,
    aborted: bool,
    consumer_gone: bool,
    consumer_waker: Option<Waker>,
    /// Producers that wait for room, each under a number of its own.
    producer_wakers: Vec<(u64, Waker)>,
    next_waiter: u64,
}

/// A producer's place among the waiting; [`Queue::leave`] gives it back.
#[derive(Debug, Default)]
pub(super) struct Waiter(Option<u64>);

impl State {
    fn full(&self, capacity: usize) -> bool {
        self.batches.len() + self.reserved >= capacity
    }

    fn ended(&self) -> bool {
        self.finished || (self.begun && self.producers == 0)
    }

    /// What the consumer finds now; `None` when it must wait.
    fn next(&mut self, name: &str) -> Option<Result<Option<RecordBatch>, ConnectError>> {
        if let Some(batch) = self.batches.pop_front() {
            return Some(Ok(Some(batch)));
        }
        if self.aborted {
            return Some(Err(ConnectError::Aborted { name: name.to_owned() }));
        }
        self.ended().then_some(Ok(None))
    }
}

impl Queue {
    pub(super) fn new(name: Arc<str>, consumer: &'static str, capacity: usize) -> Arc<Self> {
        let capacity = capacity.max(1);
        let (room, items) = (Condvar::new(), Condvar::new());
        Arc::new(Self { name, consumer, capacity, state: Mutex::default(), room, items })
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code of others runs under the lock, so a poisoned state is still a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn closed(&self) -> ConnectError {
        ConnectError::ChannelClosed { name: self.name.to_string(), side: self.consumer }
    }

    pub(super) fn add_producer(&self) {
        let mut state = self.lock();
        state.producers += 1;
        state.begun = true;
    }

    pub(super) fn remove_producer(&self) {
        let mut state = self.lock();
        state.producers = state.producers.saturating_sub(1);
        self.wake_consumer(state);
    }

    /// No more batches will come, whoever may still be there.
    pub(super) fn finish(&self) {
        let mut state = self.lock();
        state.finished = true;
        self.wake_consumer(state);
    }

    /// Unless the end was reached well, the consumer meets an error behind the last batch.
    pub(super) fn abort(&self) {
        let mut state = self.lock();
        state.aborted = !state.finished;
        self.wake_consumer(state);
    }

    /// Nobody will take a batch any more: those queued are dropped, producers learn of it.
    pub(super) fn close_consumer(&self) {
        let mut state = self.lock();
        state.consumer_gone = true;
        state.batches.clear();
        self.wake_producers(state);
    }

    /// Reserves a place, waiting for one on this thread.
    pub(super) fn reserve_blocking(&self) -> Result<(), ConnectError> {
        let mut state = self.lock();
        while !state.consumer_gone && state.full(self.capacity) {
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        self.reserve(&mut state)
    }

    /// Reserves a place if there is one.
    pub(super) fn try_reserve(&self) -> Result<bool, ConnectError> {
        let mut state = self.lock();
        if !state.consumer_gone && state.full(self.capacity) {
            return Ok(false);
        }
        self.reserve(&mut state).map(|()| true)
    }

    /// Reserves a place, or leaves the waker to be woken when there is one.
    pub(super) fn poll_reserve(
        &self,
        cx: &Context<'_>,
        waiter: &mut Waiter,
    ) -> Poll<Result<(), ConnectError>> {
        let mut state = self.lock();
        if state.consumer_gone || !state.full(self.capacity) {
            forget(&mut state, waiter);
            return Poll::Ready(self.reserve(&mut state));
        }
        forget(&mut state, waiter);
        let number = state.next_waiter;
        state.next_waiter += 1;
        state.producer_wakers.push((number, cx.waker().clone()));
        waiter.0 = Some(number);
        Poll::Pending
    }

    fn reserve(&self, state: &mut State) -> Result<(), ConnectError> {
        if state.consumer_gone {
            return Err(self.closed());
        }
        state.reserved += 1;
        Ok(())
    }

    /// Gives up waiting, and the reserved place if there is one.
    pub(super) fn leave(&self, waiter: &mut Waiter, reserved: bool) {
        let mut state = self.lock();
        forget(&mut state, waiter);
        if reserved {
            state.reserved = state.reserved.saturating_sub(1);
            self.wake_producers(state);
        }
    }

    /// Appends a batch, into a reserved place or beyond the capacity.
    pub(super) fn push(&self, batch: RecordBatch, reserved: bool) -> Result<(), ConnectError> {
        let mut state = self.lock();
        if reserved {
            state.reserved = state.reserved.saturating_sub(1);
        }
        if state.consumer_gone {
            return Err(self.closed());
        }
        state.batches.push_back(batch);
        self.wake_consumer(state);
        Ok(())
    }

    pub(super) fn pop_blocking(&self) -> Result<Option<RecordBatch>, ConnectError> {
        let mut state = self.lock();
        loop {
            if let Some(found) = state.next(&self.name) {
                self.wake_producers(state);
                return found;
            }
            state = self.items.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(super) fn poll_pop(&self, cx: &Context<'_>) -> Poll<Result<Option<RecordBatch>, ConnectError>> {
        let mut state = self.lock();
        match state.next(&self.name) {
            Some(found) => {
                self.wake_producers(state);
                Poll::Ready(found)
            }
            None => {
                state.consumer_waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn wake_consumer(&self, mut state: MutexGuard<'_, State>) {
        let waker = state.consumer_waker.take();
        drop(state);
        self.items.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Wakes all that wait for room: a waiter that was chosen alone could be gone, and its wake lost.
    fn wake_producers(&self, mut state: MutexGuard<'_, State>) {
        let wakers = std::mem::take(&mut state.producer_wakers);
        drop(state);
        self.room.notify_all();
        wakers.into_iter().for_each(|(_, waker)| waker.wake());
    }
}

fn forget(state: &mut State, waiter: &mut Waiter) {
    if let Some(number) = waiter.0.take() {
        state.producer_wakers.retain(|(other, _)| *other != number);
    }
}
