//! How late do flights leave, from which airports, and at which hours?
//!
//! Reads flights (`date`, `delay` in minutes, `distance`, `origin`, `destination`) and airports (`iata`,
//! `name`, `city`, ...), and makes of them, in one job that reads the flights once:
//!
//! - windows of three hours every hour by origin: flights, their average delay, and the share of them that
//!   left more than 15 minutes late;
//! - for each day the ten origins with the most late flights;
//! - a chart: the share of late flights by hour of the day, for the ten busiest origins.
//!
//! Times without a zone are UTC. Without options it reads the sample that lies beside this program.

mod chart;
mod figures;
mod pipeline;
mod progress;

use clap::Parser;
use sabot::arrow::util::pretty::pretty_format_batches_with_schema;
use sabot::prelude::*;
use sabot::{Collected, JobMetrics};
use std::error::Error;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use figures::Figures;

/// A binary picks its allocator; many small buffers change hands between threads here.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Flight delays by airport: in windows of three hours, by day, and by hour of the day.
///
/// Files are read and written in the format of their extension: .csv, .ndjson, .arrow or .parquet.
#[derive(Parser, Debug)]
#[command(version)]
struct Options {
    /// Flights in order of time: date, delay, distance, origin, destination
    /// [default: the sample of 200,000 flights in this example's folder]
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,

    /// Airports: iata, name, city, and what else there is
    /// [default: airports.csv in this example's folder]
    #[arg(long, value_name = "FILE")]
    airports: Option<PathBuf>,

    /// Where to write windows of three hours every hour, in order of window and origin
    #[arg(long, value_name = "FILE")]
    windows: Option<PathBuf>,

    /// Where to write the ten origins with the most late flights of each day, by day and rank
    #[arg(long, value_name = "FILE")]
    ranking: Option<PathBuf>,

    /// Where to draw the share of late flights by hour of the day, for the ten busiest origins
    #[arg(long, value_name = "FILE.svg", value_parser = chart::path)]
    chart: Option<PathBuf>,

    /// Devices that may be used: auto, cpu, cuda or wgpu (if built with `--features cuda` or `wgpu`)
    #[arg(long, default_value = "auto")]
    devices: Devices,

    /// Worker threads [default: one for each processor]
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroUsize>,

    /// Print one JSON object with figures, and nothing else
    #[arg(long)]
    json: bool,

    /// Print the plan and stop
    #[arg(long)]
    explain: bool,
}

#[allow(clippy::print_stderr, reason = "a program tells its user what went wrong")]
fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("flight-delays: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Where the rows of a stream go.
enum Output {
    File(PathBuf),
    Memory(Collected),
}

impl Output {
    /// To a file if one is named, else to memory.
    fn of(mut job: Job, stream: &Stream, path: Option<&Path>) -> sabot::Result<(Job, Self)> {
        let output = match path {
            Some(path) => {
                job = job.write(stream, file(path))?;
                Output::File(path.to_owned())
            }
            None => {
                let (sink, rows) = to_memory();
                job = job.write(stream, sink)?;
                Output::Memory(rows)
            }
        };
        Ok((job, output))
    }

    fn rows(&self, metrics: &JobMetrics) -> u64 {
        match self {
            Output::File(path) => metrics.sinks.get(&path.display().to_string()).copied().unwrap_or(0),
            Output::Memory(rows) => rows.take().iter().map(|batch| batch.num_rows() as u64).sum(),
        }
    }
}

#[allow(clippy::print_stdout, reason = "printing results is what the program is for")]
#[allow(clippy::print_stderr, reason = "what is left out must be seen")]
fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let input = options.input.clone().unwrap_or_else(|| beside_this_program("flights-200k.parquet"));
    let airports = options.airports.clone().unwrap_or_else(|| beside_this_program("airports.csv"));
    let flights = pipeline::flights(&input)?;
    let airports = Table::read(file(airports))?;
    let windows = pipeline::windows(&flights, &airports)?;
    let ranking = pipeline::ranking(&flights, &airports)?;
    let mut engine = Engine::builder().devices(options.devices);
    if let Some(workers) = options.workers {
        engine = engine.workers(workers.get());
    }
    let engine = engine.build()?;

    let (mut job, (mut outputs, mut tables)) = (Job::new("flight-delays"), (Vec::new(), Vec::new()));
    for (stream, path) in [(&windows, &options.windows), (&ranking, &options.ranking)] {
        // Figures are those of all the work; tables need no rows that nobody looks at.
        if options.json || path.is_some() {
            let (with, output) = Output::of(job, stream, path.as_deref())?;
            job = with;
            outputs.push(output);
        }
    }
    if !options.json {
        let worst = [
            ("The three hours with the highest average delay:", pipeline::worst_windows(&windows)?),
            ("The days with the most late flights of an origin:", pipeline::worst_days(&ranking)?),
        ];
        for (title, stream) in worst {
            let (sink, rows) = to_memory();
            job = job.write(&stream, sink)?;
            tables.push((title, stream.schema().clone(), rows));
        }
    }
    let mut chart = None;
    if let Some(path) = &options.chart {
        let (sink, rows) = to_memory();
        job = job.write(&pipeline::hours_of_day(&flights)?, sink)?;
        chart = Some((path, rows));
    }
    if options.explain {
        print!("{}", job.explain_for(&engine)?);
        return Ok(());
    }

    let source = input.display().to_string();
    let metrics = progress::wait(&engine.start(job)?, &source)?;
    if let Some((path, rows)) = chart {
        chart::write(path, &rows.take())?;
    }
    if metrics.late_rows > 0 {
        eprintln!("flight-delays: {source} is not in order of time; flights that came too late are left out");
    }
    if options.json {
        let rows: Vec<u64> = outputs.iter().map(|output| output.rows(&metrics)).collect();
        let [windows, ranking] = rows[..] else { return Err("two outputs were expected".into()) };
        let figures = Figures::new(&metrics, &source, (windows, ranking), engine.workers());
        println!("{}", serde_json::to_string(&figures)?);
        return Ok(());
    }
    for (title, schema, rows) in tables {
        println!("{title}\n{}\n", pretty_format_batches_with_schema(schema, &rows.take())?);
    }
    let named = [("windows", &options.windows), ("ranking", &options.ranking), ("chart", &options.chart)];
    for (what, path) in named {
        if let Some(path) = path {
            println!("{what}: {}", path.display());
        }
    }
    Ok(())
}

/// A file that travels with this example: found beside its manifest, or from the workspace's root.
fn beside_this_program(name: &str) -> PathBuf {
    let folder = match std::env::var_os("CARGO_MANIFEST_DIR") {
        Some(manifest) => PathBuf::from(manifest),
        None => PathBuf::from("examples/flight-delays"),
    };
    folder.join("data").join(name)
}
