//! Sabot's side of `cargo xtask bench fraud`: the features of transactions, and nothing else.
//!
//! `fraud-features FILE WORKERS RUNS` reads transactions and lets each batch of features go as soon as it has come;
//! the first run, which is not measured, adds up every column. It prints one JSON object with rows, the seconds of
//! each run, the columns' sums, and the most memory that the process ever had.

use fraud_detection::{input, pipeline};
use sabot::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use sabot::arrow::compute::cast;
use sabot::arrow::datatypes::{DataType, Float64Type};
use sabot::prelude::*;
use serde::Serialize;
use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::time::Instant;

/// The peers bring an allocator of their own as well.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Batches on their way.
const BATCHES_AHEAD: usize = 16;

/// A column's values, added up.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Sum {
    values: u64,
    sum: f64,
}

#[derive(Serialize)]
struct Report {
    rows: u64,
    seconds: Vec<f64>,
    columns: BTreeMap<String, Sum>,
    peak_memory_bytes: u64,
}

#[allow(clippy::print_stdout, reason = "printing results is what the program is for")]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, workers, runs] = arguments.as_slice() else {
        return Err("fraud-features FILE WORKERS RUNS".into());
    };
    let (workers, runs): (usize, usize) = (workers.parse()?, runs.parse()?);
    let mut columns: BTreeMap<String, Sum> = BTreeMap::new();
    let mut rows = 0;
    run(Path::new(file), workers, |batch| {
        rows += batch.num_rows() as u64;
        for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
            let sum = columns.entry(field.name().clone()).or_default();
            add(sum, column)?;
        }
        Ok(())
    })?;
    let mut seconds = Vec::with_capacity(runs);
    for _ in 0..runs {
        let mut again = 0;
        let start = Instant::now();
        run(Path::new(file), workers, |batch| {
            again += batch.num_rows() as u64;
            Ok(())
        })?;
        seconds.push(start.elapsed().as_secs_f64());
        if again != rows {
            return Err(format!("{again} rows, and {rows} before").into());
        }
    }
    let report = Report { rows, seconds, columns, peak_memory_bytes: peak()? };
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

/// One run; each batch of features is given to `take` as it comes.
fn run(
    file: &Path,
    workers: usize,
    mut take: impl FnMut(&RecordBatch) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let input = input::from_file(file, seconds(0), None)?;
    let features = pipeline::features(&input)?.rows;
    let features = features.select(pipeline::feature_names().into_iter().map(col))?;
    let (sink, mut batches) = to_channel(BATCHES_AHEAD);
    let engine = Engine::builder().workers(workers).build()?;
    let handle = engine.start(Job::new("features").write(&features, sink)?)?;
    while let Some(batch) = batches.recv_blocking()? {
        take(&batch)?;
    }
    handle.wait()?;
    Ok(())
}

fn add(sum: &mut Sum, column: &ArrayRef) -> Result<(), Box<dyn Error>> {
    let numbers = match column.data_type() {
        DataType::Boolean => cast(&cast(column, &DataType::Int8)?, &DataType::Float64)?,
        _ => cast(column, &DataType::Float64)?,
    };
    sum.values += (numbers.len() - numbers.null_count()) as u64;
    sum.sum += numbers.as_primitive::<Float64Type>().iter().flatten().sum::<f64>();
    Ok(())
}

/// The most memory that this process ever had, as Linux tells it.
fn peak() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes: u64 = line.ok_or("no VmHWM")?.trim().trim_end_matches(" kB").trim().parse()?;
    Ok(kilobytes * 1024)
}
