//! Times the flight-delays example from end to end, and puts its peers beside it.
//!
//! A ratio is worth something only between runs of the same minute on the same machine. So the example
//! runs before its peers and again after them, and the figures say how far the two halves are apart:
//! where that is more than what the ratio claims, the machine was busy and the ratio says nothing.

use clap::Args;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::stats::{least, median, most};
use crate::workspace::{Result, output, root, say};

#[derive(Args)]
pub(crate) struct Options {
    /// A Parquet file with the columns of the example.
    /// [default: the example's sample]
    #[arg(long, env = "SABOT_FLIGHTS")]
    input: Option<PathBuf>,
    /// Measured runs, half of them before the peers and half after.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..))]
    runs: u32,
    /// Worker threads of Sabot and of each peer.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    workers: u32,
    /// Run DuckDB and Polars on the same file, too.
    #[arg(long)]
    peers: bool,
    /// A Python that has the packages of examples/flight-delays/golden/requirements.txt.
    #[arg(long, default_value = "python3")]
    python: PathBuf,
}

/// What the example prints with `--json`.
#[derive(Clone, Debug, Deserialize)]
struct Run {
    rows: u64,
    windows: u64,
    ranking: u64,
    seconds: f64,
    peak_memory_bytes: u64,
}

/// What the script of the peers prints.
#[derive(Debug, Deserialize)]
struct Peers {
    peers: Vec<Peer>,
}

#[derive(Debug, Deserialize)]
struct Peer {
    peer: String,
    version: String,
    seconds_median: f64,
    seconds_min: f64,
    seconds_max: f64,
    input_rows: u64,
    #[serde(flatten)]
    outputs: Outputs,
    peak_memory_bytes: u64,
}

/// What is known of both outputs: as the goldens say it, and the peers.
#[derive(Clone, Debug, Deserialize, PartialEq)]
struct Outputs {
    windows: OutputRows,
    ranking: OutputRows,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
struct OutputRows {
    rows: u64,
    /// SHA-256 of the rows as a CSV file.
    #[serde(alias = "windows_csv_sha256", alias = "ranking_csv_sha256")]
    csv_sha256: String,
}

/// One line of the table.
#[derive(Clone, Debug)]
struct Line {
    name: String,
    median: f64,
    min: f64,
    max: f64,
    input_rows: u64,
    windows: u64,
    ranking: u64,
    peak: u64,
}

/// Runs the benchmark and prints a table.
///
/// # Errors
/// When something cannot be built or run, or results differ in size.
pub(crate) fn run(options: &Options) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    output(Command::new(&cargo).args(["build", "--release", "--package", "flight-delays"]))?;
    let sample = || root().join("examples/flight-delays/data/flights-200k.parquet");
    let input =
        std::path::absolute(options.input.clone().unwrap_or_else(sample)).map_err(|e| e.to_string())?;
    let example = |files: &[&str]| {
        let mut command = Command::new(&cargo);
        command.args(["run", "--quiet", "--release", "--package", "flight-delays", "--", "--json"]);
        command.arg("--input").arg(&input).args(["--workers", &options.workers.to_string()]).args(files);
        let text = output(&mut command)?;
        serde_json::from_str::<Run>(&text)
            .map_err(|e| format!("the example printed no such object: {e}: {text}"))
    };
    let batch = |count: u32| (0..count).map(|_| example(&[])).collect::<Result<Vec<Run>>>();

    // No figure before the outputs are what they should be; this also fills the page cache.
    let ours = written(example)?;
    if let Some(golden) = golden(&input)? {
        same(&ours, "the golden", &golden)?;
    }
    let before = batch(options.runs / 2)?;
    let peers = if options.peers { run_peers(options, &input)? } else { Vec::new() };
    for peer in &peers {
        same(&ours, &peer.peer, &peer.outputs)?;
    }
    let after = batch(options.runs - options.runs / 2)?;

    let drift = median(&seconds(&after)) / median(&seconds(&before)) - 1.0;
    let mut lines = vec![summary(&before.iter().chain(&after).cloned().collect::<Vec<_>>())?];
    lines.extend(peers.into_iter().map(Line::from));
    check(&lines)?;
    for line in table(&lines) {
        say(line);
    }
    say(format!("sabot's second half against its first: {:+.0} %", drift * 100.0));
    Ok(())
}

/// What the example writes, by its files.
fn written(example: impl Fn(&[&str]) -> Result<Run>) -> Result<Outputs> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (windows, ranking) = (path("windows.csv"), path("ranking.csv"));
    let run = example(&["--windows", &windows, "--ranking", &ranking])?;
    let csv_sha256 = |path: &str| -> Result<String> {
        let bytes = std::fs::read(path).map_err(|e| format!("{path}: {e}"))?;
        Ok(Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect())
    };
    Ok(Outputs {
        windows: OutputRows { rows: run.windows, csv_sha256: csv_sha256(&windows)? },
        ranking: OutputRows { rows: run.ranking, csv_sha256: csv_sha256(&ranking)? },
    })
}

/// What the outputs of an input must be, if it is one that is known.
fn golden(input: &Path) -> Result<Option<Outputs>> {
    let name = input.with_extension("json");
    let Some(name) = name.file_name() else { return Ok(None) };
    let path = root().join("examples/flight-delays/golden").join(name);
    match std::fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).map(Some).map_err(|e| format!("{}: {e}", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

fn same(ours: &Outputs, whose: &str, theirs: &Outputs) -> Result<()> {
    match ours == theirs {
        true => Ok(()),
        false => Err(format!("sabot's outputs are {ours:?}, those of {whose} {theirs:?}")),
    }
}

fn run_peers(options: &Options, input: &Path) -> Result<Vec<Peer>> {
    let mut command = Command::new(&options.python);
    command.arg("benches/peers/python/flights.py").arg(input);
    command.args(["--threads", &options.workers.to_string(), "--runs", &options.runs.to_string()]);
    let text = output(&mut command)?;
    let found: Peers =
        serde_json::from_str(&text).map_err(|e| format!("the peers printed no such object: {e}"))?;
    Ok(found.peers)
}

impl From<Peer> for Line {
    fn from(p: Peer) -> Self {
        Self {
            name: format!("{} {}", p.peer, p.version),
            median: p.seconds_median,
            min: p.seconds_min,
            max: p.seconds_max,
            input_rows: p.input_rows,
            windows: p.outputs.windows.rows,
            ranking: p.outputs.ranking.rows,
            peak: p.peak_memory_bytes,
        }
    }
}

fn seconds(runs: &[Run]) -> Vec<f64> {
    runs.iter().map(|run| run.seconds).collect()
}

/// The example's line.
fn summary(runs: &[Run]) -> Result<Line> {
    let first = runs.first().ok_or("no run was measured")?;
    let work = |run: &Run| (run.rows, run.windows, run.ranking);
    if let Some(other) = runs.iter().find(|run| work(run) != work(first)) {
        return Err(format!("two runs of the example differ: {first:?}, {other:?}"));
    }
    let seconds = seconds(runs);
    Ok(Line {
        name: "sabot".to_owned(),
        median: median(&seconds),
        min: least(&seconds),
        max: most(&seconds),
        input_rows: first.rows,
        windows: first.windows,
        ranking: first.ranking,
        peak: runs.iter().map(|r| r.peak_memory_bytes).max().unwrap_or(0),
    })
}

/// Figures of unequal work must not stand side by side.
fn check(lines: &[Line]) -> Result<()> {
    let work = |line: &Line| (line.input_rows, line.windows, line.ranking);
    let first = lines.first().ok_or("nothing was measured")?;
    match lines.iter().find(|line| work(line) != work(first)) {
        Some(other) => Err(format!("unequal work: {first:?}, {other:?}")),
        None => Ok(()),
    }
}

/// The table, line by line. The last column says how many times as fast as the peer Sabot is.
fn table(lines: &[Line]) -> Vec<String> {
    let header = format!(
        "{:<26} {:>9} {:>9} {:>9} {:>12} {:>9} {:>9} {:>9} {:>7}",
        "", "median_s", "min_s", "max_s", "rows/s", "windows", "ranking", "peak_MiB", "ratio"
    );
    let sabot = lines.first().map_or(f64::NAN, |line| line.median);
    let row = |line: &Line| {
        format!(
            "{:<26} {:>9.3} {:>9.3} {:>9.3} {:>12.0} {:>9} {:>9} {:>9} {:>7.2}",
            line.name,
            line.median,
            line.min,
            line.max,
            line.input_rows as f64 / line.median,
            line.windows,
            line.ranking,
            line.peak >> 20,
            line.median / sabot,
        )
    };
    std::iter::once(header).chain(lines.iter().map(row)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(seconds: f64, windows: u64) -> Run {
        Run { rows: 10, windows, ranking: 1, seconds, peak_memory_bytes: 1 << 20 }
    }

    #[test]
    fn goldens_are_found_and_differences_seen() {
        let golden = golden(Path::new("data/flights-200k.parquet")).unwrap().unwrap();
        assert_eq!((golden.windows.rows, golden.ranking.rows), (41_875, 130));
        assert!(same(&golden, "itself", &golden).is_ok());
        let mut other = golden.clone();
        other.ranking.csv_sha256.replace_range(..1, "x");
        assert!(same(&golden, "another", &other).unwrap_err().contains("those of another"));
        assert_eq!(super::golden(Path::new("mine.parquet")).unwrap(), None);
    }

    #[test]
    fn unequal_work_is_refused() {
        assert!(summary(&[run(1.0, 5), run(1.0, 6)]).is_err());
        let sabot = summary(&[run(1.0, 5), run(3.0, 5), run(2.0, 5)]).unwrap();
        assert_eq!((sabot.median, sabot.min, sabot.max), (2.0, 1.0, 3.0));
        let peer = Line { name: "peer".to_owned(), median: 4.0, ..sabot.clone() };
        assert!(check(&[sabot.clone(), peer.clone()]).is_ok());
        assert!(check(&[sabot.clone(), Line { windows: 6, ..peer.clone() }]).is_err());
        assert!(check(&[sabot.clone(), Line { ranking: 2, ..peer.clone() }]).is_err());
        assert!(table(&[sabot, peer])[2].ends_with("2.00"));
    }
}
