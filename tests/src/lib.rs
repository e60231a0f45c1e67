//! Tests that no single crate can hold: each tier is one test binary under `tests/tests/`, with modules.
//!
//! | tier | question |
//! |---|---|
//! | `tidy` | does the repository keep its own rules: dependencies, sources, documents? |
#![forbid(unsafe_code)]
