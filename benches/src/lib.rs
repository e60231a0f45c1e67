//! What the benchmarks share: seeded data, a driver of kernels, checksums, and the contest itself.
//!
//! The invariant: nothing is timed before its result was held against one that was computed in another
//! way, in the same run, from the same data. See this package's README.md for the rules.
#![forbid(unsafe_code)]
#![allow(clippy::expect_used, reason = "a benchmark whose data cannot be set up has nothing to measure")]

pub mod checksum;
pub mod contest;
pub mod data;
pub mod kernel;
pub mod suite;

pub use contest::{Against, Contest, Size};
