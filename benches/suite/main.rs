//! Sabot's side of `cargo xtask bench operators`, and its judge: requests and answers, one JSON object a
//! line, over standard input and output.
//!
//! The same program is started twice. One process runs Sabot, so that its memory and processor time are
//! Sabot's alone; the other computes what must come out and holds everybody's results against it.

use arrow::array::RecordBatch;
use sabot::Engine;
use sabot_benches::suite::{self, Digest, Facts, Query, Streams, Tables, tables};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Bytes that are read when memory bandwidth is measured: far beyond any cache.
const BANDWIDTH_BYTES: usize = 1 << 30;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum Request {
    /// The queries that there are.
    List,
    /// Makes tables as files in a folder, unless they are there.
    Write { folder: PathBuf, rows: usize },
    /// Names the folder of the tables and the number of worker threads.
    Open { folder: PathBuf, threads: usize },
    /// Runs a query once and keeps its result in a file.
    Prepare { query: String, result: PathBuf },
    /// Runs the prepared query.
    Run,
    /// Holds a result against what must come out.
    Judge { query: String, result: PathBuf },
    /// Measures how fast memory can be read.
    Bandwidth { threads: usize },
}

#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    Queries(Vec<Listed>),
    Version { version: &'static str },
    Seconds { seconds: f64 },
    Verdict { rows: u64, bytes: u64, checksum: String, problem: Option<String> },
    Bandwidth { bytes_per_second: f64 },
    Error { error: String },
}

#[derive(Serialize)]
struct Listed {
    name: String,
    tables: Vec<&'static str>,
    sql: String,
    polars: String,
}

#[derive(Default)]
struct State {
    folder: PathBuf,
    threads: usize,
    tables: Tables,
    streams: Streams,
    engine: Option<Engine>,
    prepared: Option<Query>,
    expected: BTreeMap<String, (Digest, u64)>,
}

fn query(name: &str) -> Result<Query> {
    let known = || suite::queries().into_iter().map(|query| query.name).collect::<Vec<_>>().join(", ");
    let found = suite::queries().into_iter().find(|query| query.name == name);
    found.ok_or_else(|| format!("no query {name}; queries: {}", known()).into())
}

fn table_path(folder: &Path, table: &str) -> PathBuf {
    folder.join(format!("{table}.arrow"))
}

impl State {
    fn answer(&mut self, request: Request) -> Result<Answer> {
        let version = env!("CARGO_PKG_VERSION");
        match request {
            Request::List => {
                let listed =
                    |q: Query| Listed { tables: q.tables(), name: q.name, sql: q.sql, polars: q.polars };
                Ok(Answer::Queries(suite::queries().into_iter().map(listed).collect()))
            }
            Request::Write { folder, rows } => {
                std::fs::create_dir_all(&folder)?;
                for table in tables::NAMES {
                    let path = table_path(&folder, table);
                    if !path.exists() {
                        let part = path.with_extension("part");
                        tables::write(table, rows, &part)?;
                        std::fs::rename(&part, &path)?;
                    }
                }
                Ok(Answer::Version { version })
            }
            Request::Open { folder, threads } => {
                *self = State { folder, threads, ..State::default() };
                Ok(Answer::Version { version })
            }
            Request::Prepare { query: name, result } => {
                let query = query(&name)?;
                self.load(&query)?;
                if self.engine.is_none() {
                    self.engine = Some(Engine::builder().workers(self.threads).build()?);
                }
                self.streams = suite::streams(&self.tables, self.threads)?;
                self.prepared = Some(query);
                let (seconds, batches) = self.run()?;
                tables::save(&result, &batches)?;
                Ok(Answer::Seconds { seconds })
            }
            Request::Run => Ok(Answer::Seconds { seconds: self.run()?.0 }),
            Request::Judge { query: name, result } => self.judge(&name, &result),
            Request::Bandwidth { threads } => Ok(Answer::Bandwidth { bytes_per_second: bandwidth(threads) }),
        }
    }

    /// Reads the tables of a query that are not in memory yet.
    fn load(&mut self, query: &Query) -> Result<()> {
        for table in query.tables() {
            if !self.tables.contains_key(table) {
                self.tables.insert(table.to_owned(), tables::load(&table_path(&self.folder, table))?);
            }
        }
        Ok(())
    }

    fn run(&self) -> Result<(f64, Vec<RecordBatch>)> {
        let (Some(query), Some(engine)) = (&self.prepared, &self.engine) else {
            return Err("no query is prepared".into());
        };
        let start = Instant::now();
        let batches = suite::run(query, &self.streams, engine)?;
        let seconds = start.elapsed().as_secs_f64();
        Ok((seconds, black_box(batches)))
    }

    fn judge(&mut self, name: &str, result: &Path) -> Result<Answer> {
        let query = query(name)?;
        self.load(&query)?;
        if !self.expected.contains_key(name) {
            let known = (query.expected(&self.tables), query.bytes(&self.tables));
            self.expected.insert(name.to_owned(), known);
        }
        let (expected, bytes) = &self.expected[name];
        let mut facts = Facts::new(query.ordered);
        for batch in tables::load(result)? {
            facts.batch(&batch)?;
        }
        let found = facts.finish();
        let checksum = format!("{:016x}", found.exact);
        Ok(Answer::Verdict { rows: found.rows, bytes: *bytes, checksum, problem: found.difference(expected) })
    }
}

/// The best of several passes in which each thread reads its part of a large buffer.
fn bandwidth(threads: usize) -> f64 {
    let words: Vec<u64> = (0..BANDWIDTH_BYTES as u64 / 8).collect();
    let part = words.len().div_ceil(threads.max(1));
    let pass = || {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for part in words.chunks(part) {
                scope.spawn(move || {
                    // Eight sums, so that no addition waits for the one before.
                    let mut sums = [0u64; 8];
                    for eight in part.chunks_exact(8) {
                        sums.iter_mut().zip(eight).for_each(|(sum, word)| *sum = sum.wrapping_add(*word));
                    }
                    black_box(sums)
                });
            }
        });
        BANDWIDTH_BYTES as f64 / start.elapsed().as_secs_f64()
    };
    (0..5).map(|_| pass()).fold(0.0, f64::max)
}

fn main() -> Result<()> {
    let mut state = State::default();
    let mut output = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let answer = match serde_json::from_str(&line?) {
            Ok(request) => state.answer(request),
            Err(error) => Err(error.into()),
        };
        let answer = answer.unwrap_or_else(|error| Answer::Error { error: error.to_string() });
        serde_json::to_writer(&mut output, &answer)?;
        output.write_all(b"\n")?;
        output.flush()?;
    }
    Ok(())
}
