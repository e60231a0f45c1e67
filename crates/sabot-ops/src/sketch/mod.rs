//! Sketches: what a few kilobytes can tell of any number of values.
//!
//! Both are exact in this sense: the bytes of a sketch depend on the values that went in and on nothing
//! else, neither on their order nor on how they were divided into sketches that were merged. No float is
//! added up and no logarithm taken on the way in, so every device makes the same bytes. The formats are
//! part of checkpoints: golden bytes in the tests here must never change, and another format gets another
//! first byte.

mod ddsketch;
mod hll;

pub use ddsketch::DdSketch;
pub use hll::{HLL_SEED, HyperLogLog};

/// Bytes that are no sketch of the kind that was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{sketch} of {bytes} bytes: {problem}")]
pub struct SketchError {
    /// What it should have been.
    pub sketch: &'static str,
    /// How many bytes there are.
    pub bytes: usize,
    /// What is wrong with them.
    pub problem: &'static str,
}
