//! Pipelines on files that tests break off: one of every kind of state that there is.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sabot::JobError;
use sabot::prelude::*;
use std::convert::Infallible;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

/// Rows of the input.
pub const ROWS: u64 = 60_000;

/// Writes two files of rows `at, key, n`, in order of time up to a second.
pub fn input(folder: &Path, seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    for number in 0..2 {
        let mut text = String::from("at,key,n\n");
        for row in 0..ROWS / 2 {
            let at = row * 40 + random.random_range(0..1_000);
            let (key, n) = (random.random_range(0..200), random.random_range(-50..50));
            let (minutes, seconds, millis) = (at / 60_000, at / 1_000 % 60, at % 1_000);
            writeln!(text, "2020-01-01T00:{minutes:02}:{seconds:02}.{millis:03},{key},{n}").unwrap();
        }
        fs::write(folder.join(format!("in-{number}.csv")), text).unwrap();
    }
}

/// The variable with the microseconds that [`rows`] waits before each batch, so that a job makes many checkpoints however
/// slow the disk is.
pub const PAUSE_US: &str = "SABOT_TEST_PAUSE_US";

/// The rows of the input.
pub fn rows(folder: &Path) -> sabot::Result<Stream> {
    let read = csv(folder.join("in-*.csv")).option("schema", "at timestamp(us), key int64, n int64");
    let rows = Stream::read(read)?.event_time("at", out_of_orderness(seconds(1)))?;
    let pause = Duration::from_micros(from_environment(PAUSE_US, 0));
    if pause.is_zero() {
        return Ok(rows);
    }
    let schema = rows.schema().clone();
    rows.map_batches(schema, move |batch| {
        sleep(pause);
        Ok::<_, Infallible>(batch)
    })
}

/// Makes a pipeline of the input in a folder.
pub type Pipeline = fn(&Path) -> sabot::Result<Stream>;

/// The pipelines by name.
pub const PIPELINES: [(&str, Pipeline); 9] = [
    ("map", |folder| {
        rows(folder)?.filter(col("n").gt(0))?.select([col("at"), (col("n") * 2).alias("twice")])
    }),
    ("window", |folder| {
        let windows = rows(folder)?.window(hopping(seconds(20), seconds(5)))?.group_by(["key"])?;
        windows.aggregate([count().alias("rows"), sum(col("n")), max(col("n"))])
    }),
    ("session", |folder| {
        let sessions = rows(folder)?.window(session(seconds(6)))?.group_by(["key"])?;
        sessions.aggregate([count().alias("rows"), first(col("n")), avg(col("n"))])
    }),
    ("group by", |folder| rows(folder)?.group_by(["key"])?.aggregate([count().alias("rows"), sum(col("n"))])),
    ("over", |folder| {
        let before = range(seconds(30));
        rows(folder)?.with_columns([
            count().over(["key"], before).alias("rows"),
            avg(col("n")).over(["key"], before).alias("mean"),
            lag("n", 1).over(["key"], whole()).alias("previous"),
        ])
    }),
    ("join", |folder| {
        let totals = rows(folder)?.group_by(["key"])?.aggregate([sum(col("n")).alias("total")])?;
        rows(folder)?.filter(col("n").gt(25))?.join(&totals, on("key", "key"))
    }),
    ("window by count", |folder| {
        let windows = rows(folder)?.window(count_window(7))?.group_by(["key"])?;
        windows.aggregate([sum(col("n")), last(col("n"))])
    }),
    ("full join", |folder| {
        // Half of the keys of the right side are not on the left.
        let totals = rows(folder)?.group_by(["key"])?.aggregate([sum(col("n")).alias("total")])?;
        let some = rows(folder)?.filter(col("key").lt(100).and(col("n").gt(40)))?;
        some.join(&totals, on("key", "key").full())
    }),
    ("distinct", |folder| {
        rows(folder)?
            .select([col("at"), col("key"), (col("n") / 10).alias("ten")])?
            .unique(["key", "ten"], Keep::First)
    }),
];

/// What a job without checkpoints writes.
pub fn undisturbed(pipeline: Pipeline, folder: &Path) -> String {
    let path = folder.join("undisturbed.csv");
    Job::new("undisturbed").write(&pipeline(folder).unwrap(), csv(&path)).unwrap().run().unwrap();
    fs::read_to_string(path).unwrap()
}

/// A number that the environment may give.
pub fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect(name))
}

/// An engine whose morsels are small.
pub fn engine(workers: usize) -> Engine {
    Engine::builder().workers(workers).morsel_rows(512).build().unwrap()
}

/// How often a job was started, and how many rows its last run has read.
#[derive(Debug)]
pub struct Ran {
    /// How often.
    pub starts: u32,
    /// How many rows.
    pub rows_read: u64,
}

/// Starts the job again and again and breaks it off after some rows, each time with another number of workers, until
/// it comes to its end.
pub fn with_breaks(job: impl Fn() -> Job, random: &mut ChaCha8Rng) -> Ran {
    let mut starts = 0;
    loop {
        starts += 1;
        let handle = engine(random.random_range(1..4)).start(job()).unwrap();
        let enough = random.random_range(1..ROWS);
        while !handle.is_finished() {
            if starts < 8 && handle.metrics().rows_read >= enough {
                handle.abort();
            }
            sleep(Duration::from_micros(200));
        }
        match handle.wait() {
            Ok(metrics) => return Ran { starts, rows_read: metrics.rows_read },
            Err(JobError::Aborted) => {}
            Err(error) => panic!("{error}"),
        }
    }
}
