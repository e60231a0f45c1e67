//! One waker for the several tasks that share a stage.

use std::sync::{Arc, OnceLock};
use std::task::{Wake, Waker};

/// Wakes every lane of a stage. The lanes are named once they exist.
#[derive(Default)]
pub(crate) struct StageWaker {
    lanes: OnceLock<Vec<Waker>>,
}

impl StageWaker {
    pub(crate) fn set(&self, lanes: Vec<Waker>) {
        let _ = self.lanes.set(lanes);
    }

    pub(crate) fn wake_all(&self) {
        self.lanes.get().into_iter().flatten().for_each(Waker::wake_by_ref);
    }
}

impl Wake for StageWaker {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_all();
    }
}
