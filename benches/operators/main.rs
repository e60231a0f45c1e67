//! The benchmarks, one module an operator.
//!
//! `cargo bench -p sabot-benches` measures, `cargo test -p sabot-benches` runs each of them once on small
//! input. Either way a result with a wrong checksum ends the program.
#![forbid(unsafe_code)]
#![allow(clippy::expect_used, reason = "a benchmark whose data cannot be set up has nothing to measure")]

mod aggregates;
mod exchange;
mod filter_project;
mod flights;
mod group_by;
mod hash;

criterion::criterion_group!(
    operators,
    filter_project::benchmarks,
    group_by::benchmarks,
    aggregates::benchmarks,
    hash::benchmarks,
    exchange::benchmarks,
    flights::benchmarks
);
criterion::criterion_main!(operators);
