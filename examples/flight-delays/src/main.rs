//! How late do flights leave, by hour and airport?
//!
//! Reads flights (`date`, `delay` in minutes, `distance`, `origin`, `destination`), puts them into
//! tumbling windows of one hour by origin, and writes a row for each window and origin: the number of
//! flights, their average delay, and the share of them that left more than 15 minutes late. Times
//! without a zone are UTC. Without options it reads the sample that lies beside this program.

mod pipeline;
mod ranking;

use clap::Parser;
use sabot::prelude::*;
use std::path::PathBuf;
use std::process::ExitCode;

/// A binary picks its allocator; many small buffers change hands between threads here.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Hourly flight delays by airport of origin.
#[derive(Parser, Debug)]
#[command(version)]
struct Options {
    /// Flights: a .parquet or .csv file with date, delay, distance, origin, destination
    /// [default: the sample of 200,000 flights in this example's folder]
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,

    /// Where to write the windows: a .csv or .parquet file, ordered by window and origin
    #[arg(long, value_name = "FILE")]
    windows: Option<PathBuf>,

    /// Devices that may be used: auto or cpu
    #[arg(long, default_value = "auto")]
    devices: Devices,

    /// Worker threads [default: one for each processor]
    #[arg(long, value_name = "N")]
    workers: Option<usize>,

    /// Print one JSON object with figures, and nothing else
    #[arg(long)]
    json: bool,

    /// Print the plan and stop
    #[arg(long)]
    explain: bool,
}

/// The figures of a run, as `--json` prints them.
#[derive(serde::Serialize)]
struct Figures {
    rows: u64,
    windows: u64,
    /// From the first row asked of the source to the last handed to the sink, decoding included.
    seconds: f64,
    rows_per_second: f64,
    workers: usize,
    peak_memory_bytes: u64,
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

#[allow(clippy::print_stdout, reason = "printing results is what the program is for")]
fn run(options: &Options) -> Result<(), Box<dyn std::error::Error>> {
    let input = options.input.clone().unwrap_or_else(pipeline::sample);
    let windows = pipeline::hourly_delays(Stream::read(pipeline::file(&input)?)?)?;
    let mut engine = Engine::builder().devices(options.devices);
    if let Some(workers) = options.workers {
        engine = engine.workers(workers);
    }
    let engine = engine.build()?;

    let mut job = Job::new("flight-delays");
    if let Some(path) = &options.windows {
        job = job.write(&windows, pipeline::file(path)?)?;
    }
    let mut busy = None;
    if options.windows.is_none() || !options.json {
        let (sink, rows) = to_memory();
        // Only windows that can be ranked are kept, unless the windows go nowhere else.
        let kept = match options.json {
            true => windows.clone(),
            false => windows.clone().filter(col("flights").gt_eq(ranking::FLIGHTS_MIN))?,
        };
        job = job.write(&kept, sink)?;
        busy = Some(rows);
    }
    if options.explain {
        print!("{}", job.explain_for(&engine)?);
        return Ok(());
    }
    let metrics = engine.run(job)?;

    if options.json {
        let seconds = metrics.elapsed.as_secs_f64();
        let figures = Figures {
            rows: metrics.rows_read,
            windows: metrics.rows_written,
            seconds,
            rows_per_second: metrics.rows_read as f64 / seconds.max(f64::EPSILON),
            workers: engine.workers(),
            peak_memory_bytes: peak_memory_bytes(),
        };
        println!("{}", serde_json::to_string(&figures)?);
        return Ok(());
    }
    let top = ranking::worst(&busy.map(|rows| rows.take()).unwrap_or_default())?;
    println!("The ten windows of at least {} flights with the highest average delay:", ranking::FLIGHTS_MIN);
    println!("{top}");
    if let Some(path) = &options.windows {
        println!("all windows: {}", path.display());
    }
    Ok(())
}

/// The most memory that the process has held, in bytes; 0 where the system does not say.
fn peak_memory_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
