//! Times the features of the fraud-detection example beside peers that see the whole input at once.
//!
//! Everybody gets the same Parquet file, in a process of its own, and the first run of each adds up every column:
//! there is no figure before these agree. Sabot runs before its peers and again after them.

use clap::Args;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::operators::venv;
use crate::stats::{least, median, most};
use crate::workspace::{Result, build, output, say};

/// Sums of floats may be apart by this, relatively: their order differs. Averages of prices are not exact either.
const APART_MAX: f64 = 1e-9;

#[derive(Args)]
pub(crate) struct Options {
    /// Transactions to make up.
    #[arg(long, default_value_t = 2_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    transactions: u64,
    /// Cards that pay.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    cards: Option<u32>,
    /// A Parquet file to use instead of transactions that are made up.
    #[arg(long, conflicts_with_all = ["transactions", "cards"])]
    input: Option<PathBuf>,
    /// Measured runs of each; Sabot's stand half before the peers and half after.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(2..))]
    runs: u32,
    /// Worker threads of Sabot and of each peer.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    workers: u32,
    /// Run DuckDB and Polars on the same file, too.
    #[arg(long)]
    peers: bool,
    /// The Python with which the peers' folder is made.
    #[arg(long, default_value = "python3")]
    python: PathBuf,
}

/// What each process prints.
#[derive(Clone, Debug, Deserialize)]
struct Report {
    #[serde(default = "sabot")]
    name: String,
    rows: u64,
    seconds: Vec<f64>,
    columns: BTreeMap<String, Sum>,
    peak_memory_bytes: u64,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
struct Sum {
    values: u64,
    sum: f64,
}

/// What the example prints with `--json`.
#[derive(Debug, Deserialize)]
struct Whole {
    transactions: u64,
    seconds: f64,
    peak_memory_bytes: u64,
}

fn sabot() -> String {
    "sabot".to_owned()
}

/// Runs the benchmark and prints a table.
///
/// # Errors
/// When something cannot be built or run, or results differ.
pub(crate) fn run(options: &Options) -> Result<()> {
    let program = build("sabot-benches", "fraud-features", "release")?;
    let example = build("fraud-detection", "fraud-detection", "release")?;
    let target = program.ancestors().nth(2).ok_or("the program lies in no target folder")?;
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let input = match &options.input {
        Some(path) => std::path::absolute(path).map_err(|e| e.to_string())?,
        None => {
            let path = folder.path().join("transactions.parquet");
            let mut command = Command::new(&example);
            command.args(["generate", "--transactions", &options.transactions.to_string()]);
            if let Some(cards) = options.cards {
                command.args(["--cards", &cards.to_string()]);
            }
            output(command.arg("--output").arg(&path))?;
            path
        }
    };
    let ours = |runs: u32| report(Command::new(&program).arg(&input).args(numbers(options.workers, runs)));
    let mut sabot = ours(options.runs / 2)?;
    let mut peers = Vec::new();
    if options.peers {
        let python = venv::python(&options.python, &target.join("bench").join("venv"))?;
        for peer in ["duckdb", "polars"] {
            let mut command = Command::new(&python);
            command.args(["benches/peers/python/fraud.py", peer]).arg(&input);
            let peer = report(command.args(numbers(options.workers, options.runs)))?;
            same(&sabot, &peer)?;
            peers.push(peer);
        }
    }
    let after = ours(options.runs - options.runs / 2)?;
    same(&sabot, &after)?;
    let drift = median(&after.seconds) / median(&sabot.seconds) - 1.0;
    sabot.seconds.extend(after.seconds);
    sabot.peak_memory_bytes = sabot.peak_memory_bytes.max(after.peak_memory_bytes);
    for line in table(&sabot, &peers) {
        say(line);
    }
    say(format!("sabot's second half against its first: {:+.0} %", drift * 100.0));
    say(whole(&example, options, &input, folder.path())?);
    Ok(())
}

fn numbers(workers: u32, runs: u32) -> [String; 2] {
    [workers, runs].map(|number| number.to_string())
}

fn report(command: &mut Command) -> Result<Report> {
    let text = output(command)?;
    serde_json::from_str(&text).map_err(|e| format!("a process printed no such object: {e}: {text}"))
}

/// The example from end to end: features, rules, model, and alerts with their reasons in a file.
fn whole(example: &Path, options: &Options, input: &Path, folder: &Path) -> Result<String> {
    let (mut seconds, mut rows, mut peak) = (Vec::new(), 0, 0);
    for _ in 0..options.runs {
        let mut command = Command::new(example);
        command.arg("--json").arg("--input").arg(input).args(["--workers", &options.workers.to_string()]);
        let text = output(command.arg("--alerts").arg(folder.join("alerts.ndjson")))?;
        let whole: Whole = serde_json::from_str(&text)
            .map_err(|e| format!("the example printed no such object: {e}: {text}"))?;
        seconds.push(whole.seconds);
        rows = whole.transactions;
        peak = whole.peak_memory_bytes.max(peak);
    }
    let (middle, low, high) = (median(&seconds), least(&seconds), most(&seconds));
    let (rate, mebibytes) = (rows as f64 / middle, peak >> 20);
    Ok(format!(
        "features, rules, model, alerts: {rows} transactions in {middle:.2} s ({low:.2}–{high:.2}), \
         {rate:.0} a second, {mebibytes} MiB"
    ))
}

/// Whether two have the same columns, with equally many values, and sums that are as near as can be.
fn same(ours: &Report, theirs: &Report) -> Result<()> {
    let whose = &theirs.name;
    if ours.rows != theirs.rows || !ours.columns.keys().eq(theirs.columns.keys()) {
        let (ours, theirs) = ((ours.rows, ours.columns.keys()), (theirs.rows, theirs.columns.keys()));
        return Err(format!("{whose}: rows and columns are {theirs:?}, and not {ours:?}"));
    }
    for (name, ours) in &ours.columns {
        let theirs = theirs.columns[name];
        let apart = (ours.sum - theirs.sum).abs() / ours.sum.abs().max(f64::MIN_POSITIVE);
        // Of what is no number, nothing is near; of what is counted, nothing but itself.
        let counted = name.contains("_count_") || name.starts_with("is_");
        let near = !counted && apart <= APART_MAX;
        if ours.values != theirs.values || (ours.sum != theirs.sum && !near) {
            return Err(format!("{whose}: {name} adds up to {theirs:?}, and not {ours:?}"));
        }
    }
    Ok(())
}

/// The table, line by line. The last column says how many times as fast as the peer Sabot is.
fn table(sabot: &Report, peers: &[Report]) -> Vec<String> {
    let header = format!(
        "{:<16} {:>9} {:>9} {:>9} {:>12} {:>9} {:>7}",
        "features", "median_s", "min_s", "max_s", "rows/s", "peak_MiB", "ratio"
    );
    let ours = median(&sabot.seconds);
    let row = |report: &Report| {
        let of = &report.seconds;
        format!(
            "{:<16} {:>9.3} {:>9.3} {:>9.3} {:>12.0} {:>9} {:>7.2}",
            report.name,
            median(of),
            least(of),
            most(of),
            report.rows as f64 / median(of),
            report.peak_memory_bytes >> 20,
            median(of) / ours,
        )
    };
    std::iter::once(header).chain(std::iter::once(sabot).chain(peers).map(row)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_that_differ_are_refused() {
        let columns = BTreeMap::from([("amount".to_owned(), Sum { values: 3, sum: 1.5 })]);
        let ours = Report { name: sabot(), rows: 3, seconds: vec![1.0], columns, peak_memory_bytes: 1 << 20 };
        let with = |sum: Sum| Report {
            name: "peer".to_owned(),
            seconds: vec![3.0, 1.0],
            columns: BTreeMap::from([("amount".to_owned(), sum)]),
            ..ours.clone()
        };
        assert!(same(&ours, &with(Sum { values: 3, sum: 1.5 + 1e-12 })).is_ok());
        let refused = same(&ours, &with(Sum { values: 3, sum: 1.5 + 1e-6 })).unwrap_err();
        assert!(refused.starts_with("peer: amount adds up to"), "{refused}");
        assert!(same(&ours, &with(Sum { values: 2, sum: 1.5 })).is_err());
        assert!(same(&ours, &with(Sum { values: 3, sum: f64::NAN })).is_err());
        assert!(same(&ours, &Report { rows: 4, ..ours.clone() }).is_err());
        assert!(same(&ours, &Report { columns: BTreeMap::new(), ..ours.clone() }).is_err());
        let peer = with(Sum { values: 3, sum: 1.5 });
        assert!(table(&ours, &[peer])[2].ends_with("2.00"));
    }
}
