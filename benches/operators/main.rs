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
mod functions;
mod group_by;
mod hash;
mod join;
mod over;
mod predict;
mod rank;
mod rolling;
mod text;
mod unnest;
mod windows;

criterion::criterion_group!(
    operators,
    filter_project::benchmarks,
    functions::benchmarks,
    group_by::benchmarks,
    aggregates::benchmarks,
    hash::benchmarks,
    join::benchmarks,
    exchange::benchmarks,
    flights::benchmarks,
    over::benchmarks,
    predict::benchmarks,
    rank::benchmarks,
    rolling::benchmarks,
    text::benchmarks,
    unnest::benchmarks,
    windows::benchmarks,
);
criterion::criterion_main!(operators);
