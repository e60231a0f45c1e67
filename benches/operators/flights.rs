//! The flights example from files to both its outputs, through the facade, beside loops over the same file.
//!
//! `SABOT_FLIGHTS` names the file where something is measured; else it is the example's sample. DuckDB and
//! Polars do the same in `benches/peers/python/flights.py`, which `cargo xtask bench` runs beside the
//! example.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimestampMicrosecondType};
use criterion::Criterion;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use sabot::prelude::{Engine, Job, Stream, Table, csv, to_memory};
use sabot_benches::checksum::{self, Row};
use sabot_benches::{Contest, contest};
use std::collections::HashMap;
use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The very pipelines of the example.
#[path = "../../examples/flight-delays/src/pipeline.rs"]
#[allow(dead_code, reason = "what the program shows beside its outputs is not measured")]
mod pipeline;

const HOUR_US: i64 = 3_600_000_000;
const RANKS: usize = 10;

pub(crate) fn benchmarks(criterion: &mut Criterion) {
    let input = input();
    let expected = by_hash_map(&input).expect("a file of flights");
    let engine = Engine::new().expect("threads can be started");
    let contest = Contest {
        group: "flights",
        name: "windows and ranking".to_owned(),
        rows: expected.flights,
        bytes: std::fs::metadata(&input).expect("the file is there").len(),
        expected: expected.checksum(),
    };
    let ours = || by_sabot(&input, &engine).expect("a job that ends well");
    let theirs = || by_hash_map(&input).expect("a file of flights");
    let sum = |batches: &Vec<RecordBatch>| checksum::of_batches(batches.iter().map(|b| (Row::new(), b)));
    let peer = "parquet and HashMap, one thread";
    contest.with_peer(criterion, (ours, sum), peer, (theirs, Outputs::checksum));
}

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/flight-delays/data")
}

fn input() -> PathBuf {
    let named = std::env::var_os("SABOT_FLIGHTS").filter(|_| contest::measuring());
    named.map_or_else(|| example().join("flights-200k.parquet"), PathBuf::from)
}

/// Both outputs in one job; planning it is part of the work.
fn by_sabot(input: &Path, engine: &Engine) -> Result<Vec<RecordBatch>, Box<dyn Error>> {
    let flights: Stream = pipeline::flights(input)?;
    let airports = Table::read(csv(example().join("airports.csv")))?;
    let ((windows, windows_rows), (ranking, ranking_rows)) = (to_memory(), to_memory());
    let job = Job::new("flights")
        .write(&pipeline::windows(&flights, &airports)?, windows)?
        .write(&pipeline::ranking(&flights, &airports)?, ranking)?;
    engine.run(job)?;
    Ok([windows_rows.take(), ranking_rows.take()].concat())
}

#[derive(Clone, Copy, Default)]
struct Counts {
    flights: i64,
    delay: i64,
    late: i64,
}

impl Counts {
    fn add(&mut self, other: Counts) {
        self.flights += other.flights;
        self.delay += other.delay;
        self.late += other.late;
    }
}

type Airports = HashMap<String, (String, String)>;

/// What comes out, by hand.
struct Outputs {
    airports: Airports,
    flights: u64,
    windows: HashMap<(i64, String), Counts>,
    /// Of each day the first origins, by rank.
    ranking: HashMap<i64, Vec<(String, Counts)>>,
}

/// Read, floor the time to the hour, look up, add; then put hours together.
fn by_hash_map(input: &Path) -> Result<Outputs, Box<dyn Error>> {
    let mut hours: HashMap<(i64, String), Counts> = HashMap::new();
    for batch in ParquetRecordBatchReaderBuilder::try_new(File::open(input)?)?.build()? {
        let batch = batch?;
        let column = |name: &str| batch.column_by_name(name).ok_or_else(|| format!("no column {name}"));
        let dates = column("date")?.as_primitive::<TimestampMicrosecondType>();
        let delays = column("delay")?.as_primitive::<Int64Type>();
        let origins = column("origin")?.as_string::<i64>();
        for i in 0..batch.num_rows() {
            let (hour, delay) = (dates.value(i).div_euclid(HOUR_US), delays.value(i));
            let counts = Counts { flights: 1, delay, late: i64::from(delay > 15) };
            hours.entry((hour, origins.value(i).to_owned())).or_default().add(counts);
        }
    }
    let (mut windows, mut days) = (HashMap::new(), HashMap::<i64, HashMap<String, Counts>>::new());
    for ((hour, origin), counts) in &hours {
        for back in 0..3 {
            let window: &mut Counts = windows.entry((hour - back, origin.clone())).or_default();
            window.add(*counts);
        }
        days.entry(hour.div_euclid(24)).or_default().entry(origin.clone()).or_default().add(*counts);
    }
    let first = |origins: HashMap<String, Counts>| {
        let mut late: Vec<_> = origins.into_iter().filter(|(_, counts)| counts.late > 0).collect();
        late.sort_by(|(a, x), (b, y)| y.late.cmp(&x.late).then_with(|| a.cmp(b)));
        late.truncate(RANKS);
        late
    };
    let ranking = days.into_iter().map(|(day, origins)| (day, first(origins))).collect();
    let flights = hours.values().map(|counts| counts.flights.cast_unsigned()).sum();
    Ok(Outputs { airports: airports()?, flights, windows, ranking })
}

/// Name and city by code.
fn airports() -> Result<Airports, Box<dyn Error>> {
    let names = ["iata", "name", "city", "state", "country", "latitude", "longitude"];
    let fields = names.map(|name| Field::new(name, DataType::Utf8, false));
    let reader = arrow::csv::ReaderBuilder::new(Arc::new(Schema::new(fields.to_vec()))).with_header(true);
    let mut airports = Airports::new();
    for batch in reader.build(File::open(example().join("airports.csv"))?)? {
        let batch = batch?;
        let [iata, name, city] = [0, 1, 2].map(|i| batch.column(i).as_string::<i32>());
        for i in 0..batch.num_rows() {
            airports.insert(iata.value(i).to_owned(), (name.value(i).to_owned(), city.value(i).to_owned()));
        }
    }
    Ok(airports)
}

impl Outputs {
    /// Columns as the pipelines have them.
    fn checksum(&self) -> u64 {
        let or_null =
            |row: Row, text: Option<&String>| text.map_or_else(|| row.null(), |text| row.text(text));
        let windows = self.windows.iter().map(|((hour, origin), counts)| {
            let per_flight = |sum: i64| sum as f64 / counts.flights as f64;
            let airport = self.airports.get(origin);
            let row = Row::new().int(hour * HOUR_US).int((hour + 3) * HOUR_US).text(origin);
            let row = or_null(or_null(row, airport.map(|a| &a.0)), airport.map(|a| &a.1));
            row.int(counts.flights).float(per_flight(counts.delay)).float(per_flight(counts.late))
        });
        let ranked = |(day, origins): (&i64, &Vec<(String, Counts)>)| -> Vec<Row> {
            let row = |(rank, (origin, counts)): (i64, &(String, Counts))| {
                let row = Row::new().int(*day).int(rank).text(origin);
                or_null(row, self.airports.get(origin).map(|a| &a.0)).int(counts.late).int(counts.flights)
            };
            (1..).zip(origins).map(row).collect()
        };
        checksum::of_rows(windows).wrapping_add(checksum::of_rows(self.ranking.iter().flat_map(ranked)))
    }
}
