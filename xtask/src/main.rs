//! Commands for developers of Sabot: `cargo xtask --help`.
//!
//! What CI needs is in `.ci/run`, and what a user needs is in the crates. Here is what a developer runs
//! now and then, and what takes more than one line of shell to do right.
#![forbid(unsafe_code)]

mod chaos;
mod checkpoints;
mod flights;
mod fraud;
mod gpu_bundle;
mod operators;
mod startup;
mod state;
mod stats;
mod workspace;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Commands for developers of Sabot.")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures.
    #[command(subcommand)]
    Bench(Bench),
    /// Makes a folder that checks and measures the GPU of a machine without Rust.
    GpuBundle(gpu_bundle::Options),
    /// Kills jobs with checkpoints again and again, and compares what they have written.
    Chaos(chaos::Options),
    /// Looks into a folder of checkpoints: `cargo xtask state --help`.
    #[command(disable_help_flag = true)]
    State {
        /// The folder, and what to show of it
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

#[derive(Subcommand)]
enum Bench {
    /// What checkpoints cost a job with much state, and how fast it comes back.
    Checkpoints(checkpoints::Options),
    /// The flight-delays example from end to end, alone or beside its peers.
    Flights(flights::Options),
    /// The features of the fraud-detection example, alone or beside its peers.
    Fraud(fraud::Options),
    /// Single operators over tables in memory, alone or beside their peers.
    Operators(operators::Options),
    /// From the start of the smallest example to its first printed byte.
    Startup,
}

fn main() -> ExitCode {
    let done = match &Arguments::parse().command {
        Command::Bench(Bench::Checkpoints(options)) => checkpoints::run(options),
        Command::Bench(Bench::Flights(options)) => flights::run(options),
        Command::Bench(Bench::Fraud(options)) => fraud::run(options),
        Command::Bench(Bench::Operators(options)) => operators::run(options),
        Command::Bench(Bench::Startup) => startup::run(),
        Command::GpuBundle(options) => gpu_bundle::run(options),
        Command::Chaos(options) => chaos::run(options),
        Command::State { arguments } => state::run(arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            workspace::complain(&error);
            ExitCode::FAILURE
        }
    }
}
