//! What checkpoints cost, and how fast a job comes back: the program `checkpoints` of `sabot-benches`.

use clap::{Args, ValueEnum};
use std::process::Command;

use crate::workspace::{Result, root};

#[derive(Args)]
pub(crate) struct Options {
    /// Keys of the state.
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(10..))]
    keys: u64,
    /// Rows that are measured, behind those that fill the state.
    #[arg(long, default_value_t = 100_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    rows: u64,
    /// Milliseconds from one checkpoint to the next.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    every_ms: u64,
    /// Runs with and without checkpoints, in turns.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Which keys rows have.
    #[arg(long, value_enum, default_value_t = Spread::Uniform)]
    spread: Spread,
}

#[derive(Clone, Copy, ValueEnum)]
enum Spread {
    /// All are as likely.
    Uniform,
    /// Nine of ten rows have one of a tenth of them.
    Hot,
}

/// Runs it on a release build.
///
/// # Errors
/// When it cannot be built, or fails.
pub(crate) fn run(options: &Options) -> Result<()> {
    let folder = std::env::temp_dir().join(format!("sabot-bench-checkpoints-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let spread = if matches!(options.spread, Spread::Hot) { "hot" } else { "uniform" };
    let status = Command::new(env!("CARGO"))
        .args(["run", "--release", "--quiet", "--package", "sabot-benches", "--bin", "checkpoints", "--"])
        .args([options.keys, options.rows, options.every_ms, options.runs.into()].map(|n| n.to_string()))
        .arg(spread)
        .arg(&folder)
        .current_dir(root())
        .status()
        .map_err(|error| format!("cargo: {error}"));
    let removed = std::fs::remove_dir_all(&folder);
    removed.map_err(|error| format!("{}: {error}", folder.display()))?;
    if status?.success() { Ok(()) } else { Err("the benchmark failed".to_owned()) }
}
