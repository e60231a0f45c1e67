//! What can be asked of the program.

use clap::{Args, Parser, Subcommand};
use fraud_detection::generate::Settings;
use sabot::Devices;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use crate::chart;

/// Transactions where nothing else is said: enough to see something, and done in seconds.
const TRANSACTIONS_DEFAULT: u64 = 200_000;

/// Finds fraudulent card transactions as they happen, and says why it thinks so.
///
/// For every transaction it looks at what the card and the terminal did before, asks three rules and a model, and
/// writes an alert where a rule is broken or the model's score is high. Without options it makes up transactions
/// with known frauds, so that it can also say how many of them it found:
///
///     fraud-detection --transactions 2000000 --json
///
/// Files are read and written in the format of their extension: .csv, .ndjson, .arrow or .parquet.
#[derive(Parser, Debug)]
#[command(version, args_conflicts_with_subcommands = true, verbatim_doc_comment)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    #[command(flatten)]
    pub(crate) run: Run,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Compute features, ask rules and model, write alerts: what is done where no command is named
    Run(Box<Run>),
    /// Write made-up transactions with known frauds to a file
    Generate(Generate),
}

/// Makes up card transactions, among them known frauds, and writes them to a file.
///
/// The same options give the same rows, on every machine. The model is that of the Fraud Detection Handbook
/// (fraud-detection-handbook.github.io, chapter 3) with some differences, which README.md of this example lists.
#[derive(Args, Debug)]
pub(crate) struct Generate {
    /// How many transactions to make
    #[arg(long, value_name = "N")]
    pub(crate) transactions: u64,

    #[command(flatten)]
    pub(crate) made: Made,

    /// Where to write them
    #[arg(long, value_name = "FILE")]
    pub(crate) output: PathBuf,
}

/// Who pays, where, and for how long.
#[derive(Args, Debug)]
pub(crate) struct Made {
    /// Cards that pay [default: one for each two transactions a day]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    cards: Option<u32>,

    /// Terminals at which they pay [default: 10000, or two per card if that is fewer]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    terminals: Option<u32>,

    /// Days over which transactions are spread, from 2018-04-01 [default: 183]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    days: Option<u32>,

    /// What all random numbers come from
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
}

impl Made {
    pub(crate) fn settings(&self, transactions: u64) -> Settings {
        Settings::with(transactions, self.cards, self.terminals, self.days).seed(self.seed)
    }
}

/// Where transactions come from, and what is made of them.
#[derive(Args, Debug)]
pub(crate) struct Run {
    /// How many transactions to make up [default: 200000]
    #[arg(long, value_name = "N")]
    transactions: Option<u64>,

    #[command(flatten)]
    made: Made,

    /// Transactions to read instead, in order of time: transaction_id, event_time, card_id, terminal_id,
    /// amount_cents, terminal_x, terminal_y, and is_fraud and fraud_scenario where they are known (in .ndjson they
    /// are if one of the first 1000 records has them)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["transactions", "cards", "terminals", "days", "seed"])]
    pub(crate) input: Option<PathBuf>,

    /// How far a transaction may be behind the latest one before it, such as 30s or 5m; those that are further behind
    /// are late, and no other transaction sees them
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = humantime::parse_duration)]
    pub(crate) out_of_orderness: Duration,

    /// Where to write late transactions, which otherwise are only counted
    #[arg(long, value_name = "FILE")]
    pub(crate) late: Option<PathBuf>,

    /// Where to write records of a text file that cannot be read, instead of stopping at the first one
    #[arg(long, value_name = "FILE", requires = "input")]
    pub(crate) dead_letters: Option<PathBuf>,

    /// Where to write every transaction's features and score
    #[arg(long, value_name = "FILE")]
    pub(crate) features: Option<PathBuf>,

    /// Where to write alerts [default: the standard output, a JSON object a line; with --json they are counted]
    #[arg(long, value_name = "FILE")]
    pub(crate) alerts: Option<PathBuf>,

    /// The model to ask, as JSON of XGBoost or text of LightGBM; the program train of the package fraud-training makes
    /// one [default: one that is part of the program]
    #[arg(long, value_name = "FILE")]
    pub(crate) model: Option<PathBuf>,

    /// The score from which on there is an alert [default: the attribute threshold of the model, else 0.5]
    #[arg(long, value_name = "SCORE", value_parser = score)]
    pub(crate) threshold: Option<f64>,

    /// Transactions to let in each second, to measure how long it takes from when a transaction is due until its score
    /// is out [default: as fast as they are taken]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) rate: Option<u64>,

    /// Worker threads [default: one for each processor]
    #[arg(long, value_name = "N")]
    pub(crate) workers: Option<NonZeroUsize>,

    /// Devices that may be used: auto, cpu, cuda or wgpu (if built with `--features cuda` or `wgpu`)
    #[arg(long, default_value = "auto")]
    pub(crate) devices: Devices,

    /// Keep checkpoints in a folder, so that a run that is killed can be gone on with; --features and --alerts then hold
    /// each transaction once, whatever happens, and figures are those of the last run alone
    #[arg(long, value_name = "FOLDER", conflicts_with = "rate")]
    pub(crate) checkpoint: Option<PathBuf>,

    /// How often to make a checkpoint
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = humantime::parse_duration)]
    #[arg(requires = "checkpoint")]
    pub(crate) checkpoint_every: Duration,

    /// Go on from the newest checkpoint, with the same options as before but for --workers
    #[arg(long, requires = "checkpoint")]
    pub(crate) resume: bool,

    /// Where to draw alerts and frauds by day, and precision against recall
    #[arg(long, value_name = "FILE.svg", value_parser = chart::path)]
    pub(crate) plot: Option<PathBuf>,

    /// Print one JSON object with figures on the standard output, and nothing else
    #[arg(long)]
    pub(crate) json: bool,

    /// Print the plan and stop
    #[arg(long)]
    pub(crate) explain: bool,
}

impl Run {
    pub(crate) fn settings(&self) -> Settings {
        self.made.settings(self.transactions.unwrap_or(TRANSACTIONS_DEFAULT))
    }
}

/// A score that can be reached or not.
fn score(text: &str) -> Result<f64, String> {
    let score = text.parse().ok().filter(|score: &f64| score.is_finite());
    score.ok_or_else(|| "a finite number such as 0.5 is expected".to_owned())
}
