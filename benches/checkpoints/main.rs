//! What checkpoints cost a job with much state, and how fast it comes back: `cargo xtask bench checkpoints`.
//!
//! A group-by counts and adds up made-up rows by as many keys as it is told. The job runs with and without checkpoints in
//! turns; throughput is that of the rows behind the first ones, which fill the state. Then it is started once more from
//! its savepoint, with nothing of it in the page cache, beside a program that only reads the same files.

use arrow::array::Array;
use sabot::prelude::*;
use sabot_checkpoint::{CheckpointStore, newest_manifest};
use sabot_state::FolderStore;
use sabot_state::block::{self, Header};
use std::error::Error;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// As the peers of the other benchmarks have allocators of their own, and as README recommends.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Options {
    keys: u64,
    rows: u64,
    every: Duration,
    runs: usize,
    folder: PathBuf,
    /// Nine of ten rows have a key of a tenth of all.
    hot: bool,
}

fn options() -> Result<Options> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [keys, rows, every_ms, runs, spread, folder] = &arguments[..] else {
        return Err("usage: checkpoints KEYS ROWS EVERY_MS RUNS uniform|hot FOLDER".into());
    };
    Ok(Options {
        keys: keys.parse()?,
        rows: rows.parse()?,
        every: Duration::from_millis(every_ms.parse()?),
        runs: runs.parse()?,
        hot: spread == "hot",
        folder: folder.into(),
    })
}

/// One row for each key, then rows whose keys are drawn.
fn job(options: &Options) -> Result<Job> {
    let (last, tenth) = (options.keys - 1, options.keys / 10);
    let columns = format!(
        "id sequence(0, 1); any int(0, {last}); hot int(0, {tenth}); which float(0, 1); n int(-1000, 1000)"
    );
    // No run comes to its end.
    let rows = sabot::generator().option("columns", columns).option("partitions", "2").option("seed", "7");
    let rows = Stream::read(rows.option("rows", (1u64 << 60).to_string()))?;
    let drawn = match options.hot {
        false => col("any"),
        true => when(col("which").lt(0.1)).then(col("any")).otherwise(col("hot")),
    };
    let first = i64::try_from(options.keys)?;
    let key = when(col("id").lt(first)).then(col("id")).otherwise(drawn).alias("key");
    let totals = rows.select([key, col("n")])?.group_by(["key"])?.aggregate([count(), sum(col("n"))])?;
    Ok(Job::new("totals").write(&totals.named("totals")?, csv(options.folder.join("out.csv")))?)
}

#[derive(Debug)]
struct Ran {
    rows_per_second: f64,
    seconds: f64,
    checkpoints: u64,
    pauses: sabot::BarrierPauses,
    written_bytes: u64,
}

fn run(options: &Options, checkpoints: Option<Checkpoints>, suspend: bool) -> Result<Ran> {
    let engine = Engine::builder().memory_budget(16 << 30).build()?;
    let mut job = job(options)?;
    let has_checkpoints = checkpoints.is_some();
    if let Some(checkpoints) = checkpoints {
        job = job.checkpoints(checkpoints);
    }
    let handle = engine.start(job)?;
    let reach = |rows: u64| {
        loop {
            let metrics = handle.metrics();
            if metrics.rows_read >= rows || handle.is_finished() {
                return metrics;
            }
            sleep(Duration::from_millis(1));
        }
    };
    let first = reach(options.keys);
    let (begun, written) = (Instant::now(), written_bytes());
    let last = reach(first.rows_read + options.rows);
    let seconds = begun.elapsed().as_secs_f64();
    let ran = Ran {
        rows_per_second: (last.rows_read - first.rows_read) as f64 / seconds,
        seconds,
        checkpoints: last.checkpoints - first.checkpoints,
        pauses: last.barrier_pauses,
        written_bytes: written_bytes() - written,
    };
    match has_checkpoints && suspend {
        true => {
            handle.stop(Stop::Suspend);
            handle.wait()?;
        }
        false => {
            handle.abort();
            drop(handle.wait());
        }
    }
    Ok(ran)
}

/// Bytes that this process has handed to the system to be written to a medium.
fn written_bytes() -> u64 {
    let text = fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|bytes| bytes.parse().ok()).unwrap_or(0)
}

/// Lets go of the page cache; false where that is not allowed, and figures are those of memory.
fn forget_files() -> bool {
    let synced = std::process::Command::new("sync").status().is_ok_and(|status| status.success());
    synced && fs::write("/proc/sys/vm/drop_caches", "3").is_ok()
}

/// Reads the blocks of the newest checkpoint, and nothing else.
fn read_blocks(kept: &Path) -> Result<(u64, f64)> {
    let newest = newest_manifest(&FolderStore::look(kept)?)?.ok_or("no checkpoint was written")?;
    let (begun, mut bytes) = (Instant::now(), 0);
    let mut buffer = vec![0; 4 << 20];
    for id in newest.blocks() {
        let name = id.to_string();
        let mut file = File::open(kept.join("blocks").join(&name[..2]).join(name))?;
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                read => bytes += read as u64,
            }
        }
    }
    Ok((bytes, begun.elapsed().as_secs_f64()))
}

/// Rows of the newest checkpoint, as often as they are in it, and the bytes that they have as columns in memory.
fn held(kept: &Path) -> Result<(u64, u64)> {
    let store = FolderStore::look(kept)?;
    let newest = newest_manifest(&store)?.ok_or("no checkpoint was written")?;
    let (mut rows, mut bytes) = (0, 0);
    for id in newest.blocks() {
        let block = store.block(id)?;
        let groups = Header::read(&block)?.groups;
        for batch in block::decode(block, groups)? {
            rows += batch.num_rows() as u64;
            for column in batch.columns() {
                bytes += column.to_data().get_slice_memory_size()? as u64;
            }
        }
    }
    Ok((rows, bytes))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() -> Result<()> {
    let options = options()?;
    let kept = options.folder.join("kept");
    let mut out = std::io::stdout();
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for number in 0..options.runs {
        let ran = run(&options, None, false)?;
        writeln!(out, "without: {:.2} M rows/s", ran.rows_per_second / 1e6)?;
        without.push(ran.rows_per_second);
        // What the run before has staged belongs to its checkpoints.
        fs::remove_dir_all(&options.folder)?;
        fs::create_dir_all(&options.folder)?;
        let checkpoints = Checkpoints::folder(&kept).every(options.every);
        let ran = run(&options, Some(checkpoints), number + 1 == options.runs)?;
        writeln!(
            out,
            "with:    {:.2} M rows/s, {} checkpoints in {:.1} s, {:.0} MB written, {} pauses: median {:?}, p99 {:?}, longest {:?}",
            ran.rows_per_second / 1e6,
            ran.checkpoints,
            ran.seconds,
            ran.written_bytes as f64 / 1e6,
            ran.pauses.count,
            ran.pauses.p50,
            ran.pauses.p99,
            ran.pauses.max,
        )?;
        with.push(ran.rows_per_second);
    }
    let ratio = median(with) / median(without);
    writeln!(out, "throughput with checkpoints: {:.1} % of without", 100.0 * ratio)?;

    let cold = forget_files();
    let (bytes, seconds) = read_blocks(&kept)?;
    let read = bytes as f64 / seconds;
    forget_files();
    let begun = Instant::now();
    let engine = Engine::builder().memory_budget(16 << 30).build()?;
    let handle = engine.start(job(&options)?.checkpoints(Checkpoints::folder(&kept)))?;
    while handle.metrics().rows_read == 0 && !handle.is_finished() {
        sleep(Duration::from_millis(1));
    }
    let seconds = begun.elapsed().as_secs_f64();
    handle.abort();
    drop(handle.wait());
    let (rows, held) = held(&kept)?;
    let percent = |bytes: u64| 100.0 * (bytes as f64 / seconds) / read;
    writeln!(
        out,
        "restore ({}): {:.1} M rows, {:.0} MB as columns and {:.0} MB as blocks; read alone {:.0} MB/s, until the first new row {:.2} s: {:.0} % of that rate in columns, {:.0} % in blocks",
        if cold { "nothing in the page cache" } else { "from the page cache" },
        rows as f64 / 1e6,
        held as f64 / 1e6,
        bytes as f64 / 1e6,
        read / 1e6,
        seconds,
        percent(held),
        percent(bytes),
    )?;
    Ok(())
}
