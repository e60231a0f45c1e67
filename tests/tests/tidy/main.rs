//! The repository's own rules, checked on the repository itself.
//!
//! A rule that only a reviewer knows is kept until the first busy week. These are checked by `cargo test`
//! like everything else: who may depend on whom, which crate owns which heavy library, how long a source
//! file may be, that documents point to files that exist. Each check is a function over data that was
//! read before, so that a test can also plant a violation and see it found: a check that cannot fail
//! proves nothing.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

mod book;
mod dependencies;
mod documents;
mod examples;
mod graph;
mod repository;
mod rules;
mod sources;
