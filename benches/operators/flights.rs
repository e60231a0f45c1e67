//! The flights example from file to result, through the facade, beside a loop over the same file.
//!
//! `SABOT_FLIGHTS` names the file where something is measured; else it is the example's sample. DuckDB and
//! Polars do the same in `benches/peers/python/flights.py`, which `cargo xtask bench` runs beside the
//! example.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use criterion::Criterion;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use sabot::prelude::*;
use sabot_benches::checksum::{self, Row};
use sabot_benches::{Contest, contest};
use std::collections::HashMap;
use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};

const HOUR_US: i64 = 3_600_000_000;

pub(crate) fn benchmarks(criterion: &mut Criterion) {
    let input = input();
    let windows = by_hash_map(&input).expect("a file of flights");
    let engine = Engine::new().expect("threads can be started");
    let contest = Contest {
        group: "flights",
        name: "hourly delays by origin".to_owned(),
        rows: windows.values().map(|w| w.flights.cast_unsigned()).sum(),
        bytes: std::fs::metadata(&input).expect("the file is there").len(),
        expected: sum_of_windows(&windows),
    };
    let ours = || hourly_delays(&input, &engine).expect("a job that ends well");
    let theirs = || by_hash_map(&input).expect("a file of flights");
    let sum = |batches: &Vec<RecordBatch>| checksum::of_batches(batches.iter().map(|b| (Row::new(), b)));
    contest.with_peer(criterion, (ours, sum), "parquet and HashMap, one thread", (theirs, sum_of_windows));
}

fn input() -> PathBuf {
    let sample =
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/flight-delays/data/flights-200k.parquet");
    let named = std::env::var_os("SABOT_FLIGHTS").filter(|_| contest::measuring());
    named.map_or_else(sample, PathBuf::from)
}

/// The pipeline of examples/flight-delays; planning it is part of the work.
fn hourly_delays(input: &Path, engine: &Engine) -> Result<Vec<RecordBatch>, Box<dyn Error>> {
    let late = col("delay").gt(15).cast(DataType::Int64);
    let windows = Stream::read(parquet(input))?
        .event_time("date", in_order())?
        .window(tumbling(hours(1)))?
        .group_by(["origin"])?
        .aggregate([
            count().alias("flights"),
            avg(col("delay")).alias("average_delay"),
            avg(late).alias("share_late"),
        ])?;
    Ok(windows.collect_on(engine)?)
}

#[derive(Clone, Copy, Default)]
struct Window {
    flights: i64,
    delay: i64,
    late: i64,
}

type Windows = HashMap<(i64, String), Window>;

/// What comes out, by hand: read, floor the time to the hour, look up, add.
fn by_hash_map(input: &Path) -> Result<Windows, Box<dyn Error>> {
    let mut windows = Windows::new();
    for batch in ParquetRecordBatchReaderBuilder::try_new(File::open(input)?)?.build()? {
        let batch = batch?;
        let column = |name: &str| batch.column_by_name(name).ok_or_else(|| format!("no column {name}"));
        let dates = column("date")?.as_primitive::<TimestampMicrosecondType>();
        let delays = column("delay")?.as_primitive::<Int64Type>();
        let origins = column("origin")?.as_string::<i64>();
        for i in 0..batch.num_rows() {
            let start = dates.value(i).div_euclid(HOUR_US) * HOUR_US;
            let window = windows.entry((start, origins.value(i).to_owned())).or_default();
            window.flights += 1;
            window.delay += delays.value(i);
            window.late += i64::from(delays.value(i) > 15);
        }
    }
    Ok(windows)
}

/// Columns as the pipeline has them: window_start, window_end, origin, flights, average_delay, share_late.
fn sum_of_windows(windows: &Windows) -> u64 {
    checksum::of_rows(windows.iter().map(|((start, origin), w)| {
        let per_flight = |sum: i64| sum as f64 / w.flights as f64;
        let row = Row::new().int(*start).int(start + HOUR_US).text(origin).int(w.flights);
        row.float(per_flight(w.delay)).float(per_flight(w.late))
    }))
}
