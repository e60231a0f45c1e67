//! Single operators over tables in memory, beside those who do the same.
//!
//! The rules are those of a fair race. Everybody gets the same bytes, written once, and may put them into
//! the form that suits best before any clock runs. Nobody is timed before the judge, who computes every
//! result naively, has found the own result right; a wrong one ends the whole run without a figure. Then
//! all take turns, one at a time, so that a busy minute hits everyone; the first turn does not count.

mod child;
mod report;
pub(crate) mod venv;

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::workspace::{Result, build, root, say};
use child::Child;
use report::{Dropped, Entry, Query, Report};

/// The peers, by the names that their script knows.
const PEERS: [&str; 4] = ["duckdb", "polars-streaming", "polars-in-memory", "datafusion"];

#[derive(Args)]
pub(crate) struct Options {
    /// Rows of each table.
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    rows: u64,
    /// Measured runs of each engine and query; one more comes before, unmeasured.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(5..))]
    runs: u32,
    /// Threads of each engine. [default: one for each processor]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    workers: Option<u32>,
    /// Run DuckDB, Polars and DataFusion, too; the first time they are installed below the target folder.
    #[arg(long)]
    peers: bool,
    /// Only queries whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// The Python that peers are installed with.
    #[arg(long, default_value = "python3")]
    python: PathBuf,
    /// Cargo's profile; figures of any other than release mean nothing.
    #[arg(long, default_value = "release")]
    profile: String,
}

/// What the judge says of a query.
#[derive(Deserialize, Serialize)]
struct Listed {
    name: String,
    tables: Vec<String>,
    sql: String,
    polars: String,
}

#[derive(Deserialize)]
struct Version {
    version: String,
}

#[derive(Deserialize)]
struct Seconds {
    seconds: f64,
}

#[derive(Deserialize)]
struct Bandwidth {
    bytes_per_second: f64,
}

/// What the judge says of a result.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Verdict {
    rows: u64,
    bytes: u64,
    checksum: String,
    problem: Option<String>,
}

/// An engine that takes part.
struct Engine {
    child: Child,
    version: String,
}

/// Runs the suite, prints its table and writes it below the target folder, with all figures as JSON.
///
/// # Errors
/// When something cannot be built, installed or started, when Sabot fails, or a result is wrong.
pub(crate) fn run(options: &Options) -> Result<()> {
    let program = build("sabot-benches", "suite", &options.profile)?;
    let target = program.ancestors().nth(2).ok_or("the program lies in no target folder")?;
    let folder = target.join("bench").join(format!("operators-{}", options.rows));
    let workers = options.workers.unwrap_or_else(processors);

    let mut judge = Child::start("the judge", &mut Command::new(&program))?;
    say(format!("tables of {} rows in {}", options.rows, folder.display()));
    judge.ask::<Version>(&json!({"do": "write", "folder": folder, "rows": options.rows}))?;
    judge.ask::<Version>(&json!({"do": "open", "folder": folder, "threads": workers}))?;
    let listed: Vec<Listed> = judge.ask(&json!({"do": "list"}))?;
    let wanted: Vec<Listed> = listed.into_iter().filter(|query| query.name.contains(&options.only)).collect();
    if wanted.is_empty() {
        return Err(format!("no query's name contains \"{}\"", options.only));
    }

    let mut engines = vec![start("sabot", &mut Command::new(&program), &folder, workers)?];
    if options.peers {
        let python = venv::python(&options.python, &target.join("bench").join("venv"))?;
        for peer in PEERS {
            let mut command = Command::new(&python);
            command.arg(root().join("benches/peers/python/operators.py")).arg(peer);
            engines.push(start(peer, &mut command, &folder, workers)?);
        }
    }

    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let before = bandwidth(&mut judge, workers)?;
    let mut queries = Vec::new();
    for query in &wanted {
        say(format!("{} ...", query.name));
        queries.push(contest(query, &mut judge, &mut engines, &folder, options.runs)?);
    }
    let after = bandwidth(&mut judge, workers)?;

    let report = Report {
        suite: "operators",
        profile: options.profile.clone(),
        rows: options.rows,
        workers,
        runs: options.runs,
        processor: processor_name(),
        load_before: load.split(' ').next().unwrap_or_default().to_owned(),
        bandwidth_before: before,
        bandwidth_after: after,
        engines: engines.iter().map(|e| (e.child.name().to_owned(), e.version.clone())).collect(),
        peak_memory_bytes: engines
            .iter()
            .map(|e| (e.child.name().to_owned(), e.child.peak_bytes()))
            .collect(),
        queries,
    };
    let text = report.markdown();
    let json = serde_json::to_string_pretty(&report.json()).map_err(|error| error.to_string())?;
    for (ending, content) in [("md", &text), ("json", &json)] {
        let path = folder.with_extension(ending);
        std::fs::write(&path, content).map_err(|error| format!("{}: {error}", path.display()))?;
        say(format!("written: {}", path.display()));
    }
    say(text);
    Ok(())
}

fn start(name: &str, command: &mut Command, folder: &Path, workers: u32) -> Result<Engine> {
    let mut child = Child::start(name, command)?;
    let request = json!({"do": "open", "folder": folder, "threads": workers});
    let Version { version } = child.ask(&request)?;
    Ok(Engine { child, version })
}

fn bandwidth(judge: &mut Child, workers: u32) -> Result<f64> {
    let request = json!({"do": "bandwidth", "threads": workers});
    judge.ask::<Bandwidth>(&request).map(|answer| answer.bytes_per_second)
}

/// One query: everybody's result first, then everybody's times.
fn contest(
    query: &Listed,
    judge: &mut Child,
    engines: &mut [Engine],
    folder: &Path,
    runs: u32,
) -> Result<Query> {
    let mut dropped = Vec::new();
    let mut found: Option<Verdict> = None;
    let mut racing: Vec<&mut Engine> = Vec::new();
    for engine in engines {
        let name = engine.child.name().to_owned();
        let result = folder.join(format!("result-{name}.arrow"));
        let request = json!({
            "do": "prepare", "query": query.name, "tables": query.tables, "sql": query.sql,
            "polars": query.polars, "result": result,
        });
        if let Err(reason) = engine.child.ask::<Seconds>(&request) {
            // A peer that cannot do it is left out by name; Sabot has to.
            if name == "sabot" {
                return Err(reason);
            }
            dropped.push(Dropped { engine: name, reason });
            continue;
        }
        let verdict: Verdict = judge.ask(&json!({"do": "judge", "query": query.name, "result": result}))?;
        let removed = std::fs::remove_file(&result);
        removed.map_err(|error| format!("{}: {error}", result.display()))?;
        accept(&query.name, &name, &verdict)?;
        found.get_or_insert(verdict);
        racing.push(engine);
    }
    let verdict = found.ok_or("nobody had a result")?;

    let mut seconds = vec![Vec::new(); racing.len()];
    let mut cpu = vec![None; racing.len()];
    for turn in 0..=runs {
        for (i, engine) in racing.iter_mut().enumerate() {
            let before = engine.child.cpu_seconds();
            let Seconds { seconds: time } = engine.child.ask(&json!({"do": "run"}))?;
            if turn > 0 {
                seconds[i].push(time);
                let used = engine.child.cpu_seconds().zip(before).map(|(after, before)| after - before);
                cpu[i] = used.map(|used| cpu[i].unwrap_or(0.0) + used);
            }
        }
    }
    let entries = racing.iter().zip(seconds).zip(cpu).map(|((engine, seconds), cpu)| Entry {
        engine: engine.child.name().to_owned(),
        seconds,
        cpu_seconds: cpu.map(|total: f64| total / f64::from(runs)),
    });
    Ok(Query {
        name: query.name.clone(),
        result_rows: verdict.rows,
        checksum: verdict.checksum,
        bytes: verdict.bytes,
        entries: entries.collect(),
        dropped,
    })
}

/// Refuses a wrong result: figures of unequal work must not stand side by side.
fn accept(query: &str, engine: &str, verdict: &Verdict) -> Result<()> {
    match &verdict.problem {
        None => Ok(()),
        Some(problem) => {
            Err(format!("{query}: the result of {engine} is wrong: {problem}; nothing is reported"))
        }
    }
}

fn processors() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX))
}

/// What the system calls the processor.
fn processor_name() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    line.and_then(|line| line.split(": ").nth(1)).unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_result_is_refused() {
        let verdict = |problem: Option<&str>| Verdict {
            rows: 1,
            bytes: 8,
            checksum: String::new(),
            problem: problem.map(str::to_owned),
        };
        assert_eq!(accept("q", "duckdb", &verdict(None)), Ok(()));
        let refused = accept("q", "duckdb", &verdict(Some("3 rows, expected 4"))).unwrap_err();
        assert_eq!(refused, "q: the result of duckdb is wrong: 3 rows, expected 4; nothing is reported");
    }
}
