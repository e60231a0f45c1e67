//! Bounded queues between tasks.
//!
//! An edge has one producer and one consumer (the lanes of a stage take turns under the stage's lock).
//! Its capacity counts morsels only: control elements always find room, so that a barrier or a
//! watermark can pass a full queue's producer and no cycle of full queues can form around it.
//! Consecutive watermarks are folded into the latest, which keeps the reserve bounded.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;

use crate::element::Element;

#[derive(Debug)]
pub(crate) struct Edge {
    state: Mutex<State>,
    capacity: usize,
    consumer: OnceLock<Waker>,
    producer: OnceLock<Waker>,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Element>,
    morsels: usize,
    producer_waits: bool,
}

impl Edge {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            state: Mutex::default(),
            capacity: capacity.max(1),
            consumer: OnceLock::new(),
            producer: OnceLock::new(),
        }
    }

    /// Names who is woken when an element arrives. Set once, while the job is built.
    pub(crate) fn set_consumer(&self, waker: Waker) {
        let _ = self.consumer.set(waker);
    }

    /// Names who is woken when room appears. Set once, while the job is built.
    pub(crate) fn set_producer(&self, waker: Waker) {
        let _ = self.producer.set(waker);
    }

    /// Whether one more morsel fits. After a no the producer is woken when one does.
    pub(crate) fn has_room(&self) -> bool {
        let mut state = self.lock();
        let room = state.morsels < self.capacity;
        if !room {
            state.producer_waits = true;
        }
        room
    }

    /// Appends an element. A morsel is pushed only after [`Edge::has_room`] said yes.
    pub(crate) fn push(&self, element: Element) {
        let mut state = self.lock();
        match (&element, state.queue.back_mut()) {
            (Element::Watermark(_), Some(last @ Element::Watermark(_))) => *last = element,
            _ => {
                if matches!(element, Element::Morsel(_)) {
                    debug_assert!(state.morsels < self.capacity, "a morsel was pushed into a full edge");
                    state.morsels += 1;
                }
                state.queue.push_back(element);
            }
        }
        drop(state);
        if let Some(waker) = self.consumer.get() {
            waker.wake_by_ref();
        }
    }

    /// Takes the oldest element.
    pub(crate) fn pop(&self) -> Option<Element> {
        let mut state = self.lock();
        let element = state.queue.pop_front()?;
        if matches!(element, Element::Morsel(_)) {
            state.morsels -= 1;
        }
        let wake = state.producer_waits && state.morsels < self.capacity;
        if wake {
            state.producer_waits = false;
        }
        drop(state);
        if wake && let Some(waker) = self.producer.get() {
            waker.wake_by_ref();
        }
        Some(element)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::{JobAccount, MemoryBudget};
    use crate::element::{Barrier, BarrierKind, Charged};
    use arrow::datatypes::Schema;
    use sabot_batch::Morsel;
    use sabot_common::{Epoch, EventTime};
    use std::sync::Arc;

    fn morsel() -> Element {
        let account = JobAccount::new(MemoryBudget::new(1));
        Element::Morsel(Charged::made(Morsel::empty(&Arc::new(Schema::empty())), &account))
    }

    #[test]
    fn control_elements_pass_a_full_queue_in_order() {
        let edge = Edge::new(1);
        assert!(edge.has_room());
        edge.push(morsel());
        assert!(!edge.has_room());
        edge.push(Element::Watermark(EventTime(1)));
        edge.push(Element::Watermark(EventTime(2)));
        let barrier = Barrier { epoch: Epoch(1), kind: BarrierKind::Checkpoint, stored: None };
        edge.push(Element::Barrier(barrier));
        edge.push(Element::End);
        assert!(matches!(edge.pop(), Some(Element::Morsel(_))));
        assert!(edge.has_room());
        assert!(matches!(edge.pop(), Some(Element::Watermark(EventTime(2)))));
        assert!(matches!(edge.pop(), Some(Element::Barrier(_))));
        assert!(matches!(edge.pop(), Some(Element::End)));
        assert!(edge.pop().is_none());
    }
}
