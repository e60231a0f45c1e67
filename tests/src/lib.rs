//! Tests that no single crate can hold: each tier is one test binary under `tests/tests/`, with modules.
//!
//! | tier | question |
//! |---|---|
//! | `tidy` | does the repository keep its own rules: dependencies, sources, documents? |
//! | `pipelines` | does every pipeline give what a slow reference gives, however it is run? |
//! | `engine` | does an engine keep its promises: stop, abort, panics, refusals, files, threads? |
//! | `chaos` | does any graph come to an end with the least room, does a killed job leave nothing, and go on where it has checkpoints? |
//! | `memory` | does a source larger than memory stay within the budget? |
//! | `golden` | does the flights pipeline give what two other engines give? |
//!
//! This library is what the tiers share: the [`reference`](mod@reference) of a whole pipeline, a
//! [`Case`] that is run in every [`Setting`] and held against it, seeded [`data`], [`random`] plans, and
//! sinks that tests look into.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test kit fails tests by panicking"
)]

mod case;
pub mod compare;
pub mod data;
pub mod interrupted;
pub mod random;
pub mod reference;
mod settings;
pub mod sinks;

pub use case::{Case, CaseBuilder, Run, function};
pub use settings::{Device, Setting, Settings};
