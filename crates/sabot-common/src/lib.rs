//! Ids, event time, epochs, limits, the clock trait and small helpers for messages.
//!
//! Every other crate stands on this one, so it holds only what has one meaning everywhere: what a
//! point in event time is, how an operator is named, how many key groups there may be. Nothing here
//! does I/O, and nothing here knows Arrow.
#![forbid(unsafe_code)]

mod clock;
mod failpoint;
mod ids;
mod near_miss;
mod time;
mod work;

pub use clock::{Clock, ManualClock, SystemClock};
pub use failpoint::FailPoint;
pub use ids::{DeviceId, Epoch, KeyGroupRange, KeyGroups, KeyGroupsError, OperatorId, RowLocation};
pub use near_miss::{did_you_mean, list_names};
pub use time::{EventTime, Span};
pub use work::RowWork;

/// Limits that several crates share. Each is a promise to users or a guard against nonsense input.
pub mod limits {
    /// Key groups of a pipeline when the user names no number.
    pub const KEY_GROUPS_DEFAULT: u16 = 128;
    /// The largest number of key groups; a pipeline's parallelism can never exceed its key groups.
    pub const KEY_GROUPS_MAX: u16 = 32_768;
    /// Rows of a CPU morsel when nothing else is asked: 16 Ki rows keep a handful of live 8-byte
    /// columns inside a typical 1–2 MiB L2 cache.
    pub const MORSEL_ROWS_DEFAULT: usize = 16_384;
    /// Bytes that are copied to a device and back for one piece of its work, as far as there are rows: enough that a copy
    /// takes longer than it takes to begin one, and few enough that the first result comes soon.
    pub const SHIPPED_BYTES_TARGET: usize = 16 << 20;
    /// Rows that a piece of a device's work has at most, however little of them is copied.
    pub const SHIPPED_ROWS_MAX: usize = 4 << 20;
    /// Bytes of morsels that are joined for a piece of a device's work, with columns that only pass: what joining copies.
    pub const GATHERED_BYTES_MAX: usize = 64 << 20;
    /// The share of rows that a filter is taken to keep, where nobody knows yet.
    pub const KEPT_SHARE_ASSUMED: f64 = 0.5;
    /// Morsels that an edge queue holds before its producer waits.
    pub const QUEUE_MORSELS_DEFAULT: usize = 8;
}
