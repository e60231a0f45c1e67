//! What an engine promises around the rows: how jobs stop, fail and clean up, and what is refused.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

mod barriers;
mod checkpoints;
mod dead_letters;
mod failures;
mod files;
mod gpu;
mod idle;
mod joins;
mod kit;
mod limits;
mod partitions;
mod pipes;
mod refusals;
mod restarts;
mod stop;
mod streams;
mod threads;
mod upgrades;
