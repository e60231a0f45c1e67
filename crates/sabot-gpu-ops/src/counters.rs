//! How often what happened on a device.

use std::sync::atomic::{AtomicU64, Ordering};

/// How often each rung of the failure ladder was stepped on, and how much work there was.
#[derive(Debug, Default)]
pub struct Counters {
    /// Pieces of work that were started.
    pub started: AtomicU64,
    /// Pieces of work that came to their end.
    pub finished: AtomicU64,
    /// Morsels in which a row failed, so that the reference implementation ran.
    pub row_errors: AtomicU64,
    /// Free buffers were given back to make room.
    pub trimmed: AtomicU64,
    /// Tables of groups that were full, and were made larger.
    pub grown: AtomicU64,
    /// Morsels that were sent back to be cut in two, because memory ran out.
    pub halved: AtomicU64,
    /// Morsels that another device had to take.
    pub fell_back: AtomicU64,
    /// Launches that failed.
    pub launch_errors: AtomicU64,
    /// Work that did not come to its end in time.
    pub timed_out: AtomicU64,
    /// The device was lost.
    pub lost: AtomicU64,
}

impl Counters {
    /// The counters by name.
    ///
    /// ```
    /// # use sabot_gpu_ops::Counters;
    /// assert!(Counters::default().all().iter().all(|(_, count)| *count == 0));
    /// ```
    pub fn all(&self) -> [(&'static str, u64); 10] {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [
            ("started", of(&self.started)),
            ("finished", of(&self.finished)),
            ("row_errors", of(&self.row_errors)),
            ("trimmed", of(&self.trimmed)),
            ("grown", of(&self.grown)),
            ("halved", of(&self.halved)),
            ("fell_back", of(&self.fell_back)),
            ("launch_errors", of(&self.launch_errors)),
            ("timed_out", of(&self.timed_out)),
            ("lost", of(&self.lost)),
        ]
    }
}
