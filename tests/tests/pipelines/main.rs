//! Every pipeline gives what the reference gives, however it is run.
//!
//! A pipeline is built over one and over four source partitions with one row in a hundred late, and run
//! for workers 1, 2, 4 × keyed parallelism 1, 4 × queue capacity 1 and default × morsels of 1, 7 and 4096
//! rows. Each run is held against the slow reference: rows of ordered sinks as sequences, of others as
//! multisets, float sums within their bound, and the count of late rows. Results that equal the reference
//! equal each other. Then all of it again on a device that is late and on one that refuses and fails.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

mod aggregate_docs;
mod arrival;
mod channels;
mod coverage;
mod devices;
mod errors;
mod everywhere;
mod joins;
mod named;
mod objects;
mod order;
mod plans;
mod predict;
mod random;
mod stored;
mod unnest;
