//! What must hold under the worst of conditions: the least room, the oddest graph, the sudden end.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

mod checkpoints;
mod deadlock;
mod kill;
