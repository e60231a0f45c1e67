//! Results against what other engines say, row for row.
//!
//! Each module has its goldens, and beside them the script that makes them anew.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

mod flights;
mod joins;
mod over;
