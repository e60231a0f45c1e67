//! The command that finds frauds.

use fraud_detection::alerts::alerts;
use fraud_detection::generate::{self, Transactions};
use fraud_detection::input::{self, Input};
use fraud_detection::pipeline::{by_day, feature_rows, features, judged};
use fraud_detection::score::{Model, scored};
use sabot::arrow::array::{AsArray, RecordBatch};
use sabot::arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use sabot::prelude::*;
use sabot::{ChannelReceiver, JobMetrics, Span, input_channel};
use std::error::Error;
use std::thread;
use std::time::Instant;

use crate::figures::Figures;
use crate::observe::{Observed, observe, observed};
use crate::options::Run;
use crate::paced::{Pace, feed, numbered};
use crate::{chart, progress};

/// Batches on their way between the job and a thread of this program.
const BATCHES_AHEAD: usize = 64;

/// Transactions that have to be sent one by one.
struct Paced {
    batches: Vec<RecordBatch>,
    sender: sabot::ChannelSender,
    pace: Pace,
}

/// Where transactions come from, before the clock starts.
struct From {
    input: Input,
    paced: Option<Paced>,
    generate_seconds: Option<f64>,
    /// The time of the first, where all are known before the clock starts.
    earliest: Option<i64>,
    /// Records that could not be read, where that was known before the clock started.
    dead_letters: u64,
}

#[allow(clippy::print_stdout, reason = "printing results is what the program is for")]
#[allow(clippy::print_stderr, reason = "what is said beside results must not stand among them")]
pub(crate) fn run(options: &Run) -> Result<(), Box<dyn Error>> {
    let model = match &options.model {
        Some(path) => Model::read(path)?,
        None => Model::shipped()?,
    };
    let from = source(options)?;
    // ANCHOR: together
    let found = features(&from.input)?;
    let threshold = options.threshold.unwrap_or(model.threshold());
    let judged = judged(scored(found.rows, &model)?, threshold)?;
    // ANCHOR_END: together
    let mut engine = Engine::builder().devices(options.devices);
    if let Some(workers) = options.workers {
        engine = engine.workers(workers.get());
    }
    let engine = engine.build()?;

    // ANCHOR: job
    let mut job = Job::new("fraud-detection");
    if let Some(path) = &options.features {
        job = job.write(&feature_rows(&judged)?, file(path))?;
    }
    match &options.alerts {
        Some(path) => job = job.write(&alerts(&judged, &model)?, file(path))?,
        None if !options.json => job = job.write_ordered(&alerts(&judged, &model)?, ndjson("-"))?,
        None => {}
    }
    // ANCHOR_END: job
    if let Some(path) = &options.late {
        job = job.write(&found.late, file(path))?;
    }
    let (sink, days) = to_channel(BATCHES_AHEAD);
    job = job.write_ordered(&by_day(&judged)?, sink)?;
    let mut receiver = None;
    if from.input.has_labels || from.paced.is_some() {
        let (sink, rows) = to_channel(BATCHES_AHEAD);
        let observed = observed(&judged)?;
        job = match from.earliest {
            Some(_) => job.write(&observed, sink)?,
            None => job.write_ordered(&observed, sink)?,
        };
        receiver = Some(rows);
    }
    // ANCHOR: keep
    if let Some(checkpoints) = checkpoints(options)? {
        job = job.checkpoints(checkpoints);
    }
    // ANCHOR_END: keep
    // ANCHOR: upgrade
    if options.resume
        && let Some(text) = job.explain_upgrade()?
    {
        eprint!("{text}");
    }
    // ANCHOR_END: upgrade
    if options.explain {
        print!("{}", job.explain_for(&engine)?);
        return Ok(());
    }

    let total =
        from.paced.as_ref().map(|paced| paced.batches.iter().map(|batch| batch.num_rows() as u64).sum());
    let handle = engine.start(job)?;
    let start = Instant::now();
    let pace = from.paced.as_ref().map(|paced| (paced.pace, start));
    let (metrics, seen, days) = thread::scope(|threads| {
        let days = threads.spawn(move || all_of(days));
        let observer = receiver.map(|rows| threads.spawn(move || observe(rows, from.earliest, pace)));
        if let Some(Paced { batches, sender, pace }) = from.paced {
            // The input ends when its sender is dropped.
            threads.spawn(move || feed(&batches, &sender, pace, start));
        }
        let metrics = progress::wait(&handle, "judging", total);
        let seen = observer.map_or_else(|| Ok(Observed::default()), ended);
        (metrics, seen, ended(days))
    });
    let (mut metrics, seen, days) = (metrics?, seen?, days?);
    metrics.dead_letters += from.dead_letters;
    let (measures, curve) = seen.outcomes.measures();
    let mut figures = Figures::new(&metrics, engine.workers(), seen.latency, measures);
    figures.generate_seconds = from.generate_seconds;
    figures.alerts = alerts_of(&days)?;
    if let Some(path) = &options.plot {
        chart::write(path, &days, from.input.has_labels, &curve)?;
    }
    say_what_is_left_out(options, &metrics);
    match options.json {
        true => println!("{}", serde_json::to_string(&figures)?),
        false => eprint!("{figures}"),
    }
    Ok(())
}

// ANCHOR: checkpoints
fn checkpoints(options: &Run) -> Result<Option<Checkpoints>, Box<dyn Error>> {
    let Some(folder) = &options.checkpoint else { return Ok(None) };
    let checkpoints = Checkpoints::folder(folder).every(options.checkpoint_every);
    if !options.resume && checkpoints.exist()? {
        let folder = folder.display();
        return Err(format!(
            "--checkpoint: {folder} holds checkpoints; --resume goes on from them, an empty folder begins anew"
        )
        .into());
    }
    Ok(Some(checkpoints))
}
// ANCHOR_END: checkpoints

fn source(options: &Run) -> Result<From, Box<dyn Error>> {
    let delay = Span(i64::try_from(options.out_of_orderness.as_micros())?);
    if let Some(path) = &options.input {
        if options.dead_letters.is_some() && !input::is_text(path) {
            return Err(
                "--dead-letters: only text has records that cannot be read, and --input is none".into()
            );
        }
        let dead_letters = options.dead_letters.as_deref();
        return match options.rate {
            None => {
                let input = input::from_file(path, delay, dead_letters)?;
                Ok(From { input, paced: None, generate_seconds: None, earliest: None, dead_letters: 0 })
            }
            // Rows that are let in at a rate are read before the clock starts.
            Some(rate) => {
                let (sink, batches) = to_memory();
                let read = Job::new("read").write_ordered(&input::open(path, dead_letters)?, sink)?;
                let dead_letters = Engine::new()?.run(read)?.dead_letters;
                Ok(From { dead_letters, ..paced(batches.take(), rate, delay, None)? })
            }
        };
    }
    let settings = options.settings();
    let bar = progress::bar("generating", Some(settings.transactions));
    let start = Instant::now();
    let mut batches = Vec::new();
    for batch in Transactions::new(&settings)? {
        let batch = batch?;
        bar.inc(batch.num_rows() as u64);
        batches.push(batch);
    }
    bar.finish_and_clear();
    let seconds = Some(start.elapsed().as_secs_f64());
    match options.rate {
        None => {
            let earliest = earliest(&batches);
            let stream = Stream::from_partitions(generate::schema(), vec![batches])?;
            Ok(From {
                earliest,
                input: input::from_stream(stream, delay)?,
                paced: None,
                generate_seconds: seconds,
                dead_letters: 0,
            })
        }
        Some(rate) => paced(batches, rate, delay, seconds),
    }
}

fn paced(
    batches: Vec<RecordBatch>,
    rate: u64,
    delay: Span,
    generate_seconds: Option<f64>,
) -> Result<From, Box<dyn Error>> {
    let batches = numbered(batches)?;
    let rows = batches.iter().map(|batch| batch.num_rows() as u64).sum();
    let Some(first) = batches.first() else { return Err("there are no rows to let in at a rate".into()) };
    let (sender, channel) = input_channel("transactions", BATCHES_AHEAD, first.schema());
    let input = input::from_stream(Stream::from_channel(channel)?, delay)?;
    let earliest = earliest(&batches);
    let paced = Some(Paced { batches, sender, pace: Pace::new(rate, rows) });
    Ok(From { input, paced, generate_seconds, earliest, dead_letters: 0 })
}

/// When the first transaction was.
fn earliest(batches: &[RecordBatch]) -> Option<i64> {
    let of = |batch: &RecordBatch| {
        let times = batch.column_by_name("event_time")?;
        times.as_primitive_opt::<TimestampMicrosecondType>()?.values().iter().copied().min()
    };
    batches.iter().filter_map(of).min()
}

/// What a thread of this program found out.
fn ended<T>(thread: thread::ScopedJoinHandle<'_, Result<T, String>>) -> Result<T, String> {
    thread.join().unwrap_or_else(|_| Err("a thread that takes results has panicked".to_owned()))
}

fn all_of(mut rows: ChannelReceiver) -> Result<Vec<RecordBatch>, String> {
    let mut batches = Vec::new();
    while let Some(batch) = rows.recv_blocking().map_err(|error| error.to_string())? {
        batches.push(batch);
    }
    Ok(batches)
}

fn alerts_of(days: &[RecordBatch]) -> Result<u64, Box<dyn Error>> {
    let of = |batch: &RecordBatch| {
        let alerts = batch.column_by_name("alerts").ok_or("no column alerts")?;
        Ok::<i64, Box<dyn Error>>(alerts.as_primitive::<Int64Type>().values().iter().sum())
    };
    let alerts: i64 = days.iter().map(of).sum::<Result<_, _>>()?;
    Ok(u64::try_from(alerts)?)
}

#[allow(clippy::print_stderr, reason = "what is left out must be seen")]
fn say_what_is_left_out(options: &Run, metrics: &JobMetrics) {
    if metrics.late_rows > 0 {
        let (late, delay) = (metrics.late_rows, humantime::format_duration(options.out_of_orderness));
        let hint = match &options.late {
            Some(path) => format!("they are in {}", path.display()),
            None => "--late FILE keeps them, --out-of-orderness TIME waits longer".to_owned(),
        };
        eprintln!(
            "fraud-detection: {late} transactions were more than {delay} late and were not looked at; {hint}"
        );
    }
    if let (Some(path), 1..) = (&options.dead_letters, metrics.dead_letters) {
        eprintln!("fraud-detection: {} records cannot be read; see {}", metrics.dead_letters, path.display());
    }
}
