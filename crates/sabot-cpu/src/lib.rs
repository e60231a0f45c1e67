//! The CPU backend: vectorised kernels with SIMD variants chosen at run time.
//!
//! It runs every fragment there is, always, on every machine; other backends may refuse one, and their
//! work then comes here. [`CpuBackend`] compiles a fragment into steps; a kernel runs a morsel through
//! them inside `submit` and has no threads of its own. Rows that a filter drops stay where they are
//! until a step needs them gone, so a chain of steps moves each surviving row at most once or twice.
//!
//! What an operator means is said in `sabot-ops`. When a row fails, the morsel is handed to the slow
//! reference implementation there, which makes the exact error; so there is one place that decides
//! which row is to blame and what the message says.
#![deny(unsafe_code)]

mod backend;
#[cfg(test)]
mod conformance;
mod expr;
mod filter_project;
pub mod group_by;
mod grouping;
pub mod join;
pub mod over;
mod partition;
pub mod predict;
pub mod rank;
mod rows;
mod simd;
mod unnest;
mod window_assign;

pub use backend::CpuBackend;
pub use simd::{SIMD_VARIABLE, SimdError, SimdVariant};
