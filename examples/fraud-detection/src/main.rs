//! Which card transactions are fraudulent, and why.
//!
//! Reads transactions or makes them up, computes for each what its card and its terminal did before, asks rules and a
//! model, and writes alerts that say what was suspicious. The pipeline itself is in the library of this package.
#![forbid(unsafe_code)]

mod chart;
mod figures;
mod observe;
mod options;
mod paced;
mod progress;
mod run;

use clap::Parser;
use fraud_detection::generate::Transactions;
use sabot::prelude::*;
use std::error::Error;
use std::process::ExitCode;

use options::{Command, Generate, Options};

#[allow(clippy::print_stderr, reason = "a program tells its user what went wrong")]
fn main() -> ExitCode {
    let Options { command, run } = Options::parse();
    let outcome = match &command {
        Some(Command::Generate(generate)) => write_generated(generate),
        Some(Command::Run(run)) => run::run(run),
        None => run::run(&run),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fraud-detection: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Writes transactions while they are made: a day of them is in memory, not all.
fn write_generated(options: &Generate) -> Result<(), Box<dyn Error>> {
    let transactions = Transactions::new(&options.made.settings(options.transactions))?;
    // With event time a file's rows leave as the watermark passes; otherwise their order is known at the end only,
    // and all would wait for it.
    let stream = Stream::from_reader(transactions)?.event_time("event_time", in_order())?;
    let job = Job::new("generate").write(&stream, file(&options.output))?.start()?;
    progress::wait(&job, "generating", Some(options.transactions))?;
    Ok(())
}
