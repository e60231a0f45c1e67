//! Jobs that are killed: the tests of `tests/tests/chaos/checkpoints.rs` with many more kills, at random times and where
//! something is half done.

use clap::Args;
use std::process::Command;

use crate::workspace::{Result, root};

/// How much is killed.
#[derive(Args)]
pub(crate) struct Options {
    /// How many kills
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    cycles: u64,

    /// Where random numbers come from
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
}

/// Runs the test on the build of all tests, which is optimised as well.
///
/// # Errors
/// When it cannot be built, or finds that something was lost, came twice or is wrong.
pub(crate) fn run(options: &Options) -> Result<()> {
    let tests = ["checkpoints::what_is_killed_goes_on", "checkpoints::every_failpoint_is_survived"];
    let test = ["--", "--exact", "--nocapture", "--test-threads=1", tests[0], tests[1]];
    let status = Command::new(env!("CARGO"))
        .args(["test", "--test", "chaos"])
        .args(test)
        .current_dir(root())
        .env("SABOT_CHAOS_CYCLES", options.cycles.to_string())
        .env("SABOT_CHAOS_FAILPOINTS", options.cycles.div_ceil(50).to_string())
        .env("SABOT_CHAOS_SEED", options.seed.to_string())
        .status()
        .map_err(|error| format!("cargo: {error}"))?;
    if status.success() { Ok(()) } else { Err("the test failed".to_owned()) }
}
