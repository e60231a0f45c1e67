//! Trains the model that `fraud-detection` asks, from transactions of which it is known what was a fraud.
//!
//! The features are those of the pipeline itself, computed by the same code: a model is asked what it was taught.
#![forbid(unsafe_code)]

mod fit;
mod model;
mod rows;
mod weeks;

use clap::Parser;
use fraud_detection::generate::{self, Settings, Transactions};
use fraud_detection::input::{self, Input};
use fraud_detection::metrics::Measures;
use fraud_detection::pipeline::{feature_names, features};
use sabot::prelude::*;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use fit::Fitted;
use weeks::{Plan, Weeks};

/// A binary picks its allocator; many small buffers change hands between threads here.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Enough to learn something from, and done in seconds.
const TRANSACTIONS_DEFAULT: u64 = 200_000;

/// Trains a model that tells frauds from other card transactions, and writes it as JSON of XGBoost.
///
/// It learns from some weeks of the transactions and adds trees as long as they help with transactions that it does not
/// learn from: those of the week that begins seven days after. A label is used only if it is at least seven days old
/// when the input ends, because nobody would know it before.
///
/// Without options it makes transactions up, learns from them, and says how good what it has learned is.
#[derive(Parser, Debug)]
#[command(name = "train", version)]
struct Options {
    /// Transactions in order of time, with the columns is_fraud and fraud_scenario, as fraud-detection reads and
    /// generates them [default: 200000 that are made up]
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,

    /// The weeks to learn from, both included; week 1 begins with the first transaction. In the first six it is not
    /// known yet what cards and terminals did before
    #[arg(long, value_name = "A-B", default_value = "7-22")]
    weeks: Weeks,

    /// Where to write the model [default: nowhere]
    #[arg(long, value_name = "FILE.json")]
    output: Option<PathBuf>,

    #[command(flatten)]
    trees: fit::Trees,
}

#[allow(clippy::print_stderr, reason = "a program tells its user what went wrong")]
fn main() -> ExitCode {
    match train(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("train: {error}");
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stdout, reason = "a program says what it has done")]
fn train(options: &Options) -> Result<(), Box<dyn Error>> {
    let input = input(options)?;
    if !input.has_labels {
        return Err("the input does not say what was a fraud: there is no column is_fraud".into());
    }
    let plan = Plan::new(options.weeks, rows::period(&input)?)?;
    let names = feature_names();
    let (learned, checked) = rows::collect(&features(&input)?.rows, &names, &plan)?;
    for (rows, what) in [(&learned, "the weeks to learn from"), (&checked, "the week to check with")] {
        if rows.labels.iter().all(|label| *label == 0.0) {
            return Err(format!("{what} have {} labels and no fraud among them", rows.labels.len()).into());
        }
    }
    println!("learning from {} transactions, checking with {}", learned.labels.len(), checked.labels.len());

    let Fitted { booster, trees, threshold, measures } = fit::fit(&options.trees, &learned, &checked)?;
    println!("{trees} trees, threshold {threshold}");
    println!("of those that were checked with:");
    let Measures { auc, average_precision, recall_by_scenario_at_1_percent: recalls, .. } = measures;
    let recalls =
        recalls.iter().map(|(n, recall)| (format!("recall of scenario {n} at 1 % alerts"), *recall));
    let areas = [("area under the ROC curve", auc), ("average precision", average_precision)];
    for (what, value) in areas.map(|(what, value)| (what.to_owned(), value)).into_iter().chain(recalls) {
        match value {
            Some(value) => println!("  {what}: {value:.4}"),
            None => println!("  {what}: nobody knows"),
        }
    }
    if let Some(path) = &options.output {
        let text = model::xgboost_json(&booster, trees, &names, threshold)?;
        std::fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        println!("the model is in {}", path.display());
    }
    Ok(())
}

fn input(options: &Options) -> Result<Input, Box<dyn Error>> {
    if let Some(path) = &options.input {
        return Ok(input::from_file(path, seconds(0), None)?);
    }
    let made = Transactions::new(&Settings::new(TRANSACTIONS_DEFAULT))?.collect::<Result<Vec<_>, _>>()?;
    let made = Stream::from_partitions(generate::schema(), vec![made])?;
    Ok(input::from_stream(made, seconds(0))?)
}
