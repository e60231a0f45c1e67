//! A process that is killed before its job commits leaves no output file.
//!
//! The test runs itself once more as a child, which starts a job over a channel, says when rows have
//! arrived at the sink, and waits to be killed.

use arrow::array::{ArrayRef, AsArray, Int64Array, TimestampMicrosecondArray};
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use sabot::prelude::*;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const OUTPUT: &str = "SABOT_TEST_KILL_OUTPUT";
const READY: &str = "rows are at the sink";

fn batch(first: i64) -> RecordBatch {
    let n: Int64Array = (first..first + 1_000).collect::<Vec<_>>().into();
    let t: TimestampMicrosecondArray = (first..first + 1_000).collect::<Vec<_>>().into();
    RecordBatch::try_from_iter([("n", Arc::new(n) as ArrayRef), ("t", Arc::new(t))]).unwrap()
}

/// Rows of a channel. With event time, an ordered sink need not wait for the end to write some.
fn numbers(source: sabot::ChannelSource) -> Stream {
    Stream::from_channel(source).unwrap().event_time("t", in_order()).unwrap()
}

/// Rows of a file with a malformed record, beside an output.
fn with_dead_letters(output: &Path) -> Stream {
    let input = output.with_file_name("in.csv");
    std::fs::write(&input, "n\n1\nx\n").unwrap();
    let dead = output.with_file_name("dead.ndjson");
    Stream::read(csv(input).option("schema", "n int64").dead_letters(dead)).unwrap()
}

/// The child: writes some thousands of rows and never ends.
fn child(output: &Path) {
    let (sender, source) = sabot_connect::input_channel("endless", 4, batch(0).schema());
    let numbers = numbers(source);
    let job = Job::new("endless").write(&numbers, csv(output)).unwrap();
    let job = job.write(&with_dead_letters(output), csv(output.with_file_name("good.csv"))).unwrap();
    let handle = Engine::builder().workers(2).build().unwrap().start(job).unwrap();
    (0..20).for_each(|i| sender.send_blocking(batch(i * 1_000)).unwrap());
    // The last row waits for a watermark that says that no other of its time can follow.
    while handle.metrics().rows_written < 19_999 || handle.metrics().dead_letters < 1 {
        assert!(!handle.is_finished(), "{:?}", handle.wait());
        // A barrier brings what is due to the writer, which stages it.
        handle.barrier();
        std::thread::sleep(Duration::from_millis(1));
    }
    std::io::stdout().write_all(format!("{READY}\n").as_bytes()).unwrap();
    std::thread::sleep(Duration::from_secs(600));
}

#[test]
fn a_killed_job_leaves_no_output_file() {
    if let Some(output) = std::env::var_os(OUTPUT) {
        return child(&PathBuf::from(output));
    }
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.csv");
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::a_killed_job_leaves_no_output_file", "--nocapture"])
        .env(OUTPUT, &output)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(process.stdout.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap().contains(READY)), "the child ended early");
    // SIGKILL: nothing of the child's runs after this.
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(!output.exists(), "a job that never committed left {}", output.display());
    let dead = output.with_file_name("dead.ndjson");
    assert!(!dead.exists(), "a job that never committed left {}", dead.display());

    // What it left beside the output must not be in the way of the next job, nor end up in its file.
    let numbers = Stream::from_batches([batch(7)]).unwrap();
    let again = Job::new("again").write(&numbers, csv(&output)).unwrap();
    again.write(&with_dead_letters(&output), csv(output.with_file_name("good.csv"))).unwrap().run().unwrap();
    assert_eq!(std::fs::read_to_string(&dead).unwrap().lines().count(), 1);
    let read = Stream::read(csv(&output)).unwrap().collect().unwrap();
    let values: Vec<i64> =
        read.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
    assert_eq!(values, (7..1_007).collect::<Vec<_>>());
}

/// The same without a kill: dropped and aborted jobs clean up after themselves, to the last file.
#[test]
fn an_aborted_job_leaves_nothing_at_all() {
    let folder = tempfile::tempdir().unwrap();
    for dropped in [true, false] {
        let (sender, source) = sabot_connect::input_channel("endless", 4, batch(0).schema());
        let numbers = numbers(source);
        let job = Job::new("endless").write(&numbers, csv(folder.path().join("out.csv"))).unwrap();
        let job = job.write(&numbers, parquet(folder.path().join("out.parquet"))).unwrap();
        let engine = Engine::builder().workers(2).build().unwrap();
        let handle = engine.start(job).unwrap();
        (0..5).for_each(|i| sender.send_blocking(batch(i * 1_000)).unwrap());
        let begun = Instant::now();
        while handle.metrics().rows_written < 2 * 4_999 {
            assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", handle.metrics());
            handle.barrier();
            std::thread::sleep(Duration::from_millis(1));
        }
        match dropped {
            true => drop(handle),
            false => {
                handle.abort();
                let error = handle.wait().unwrap_err().to_string();
                assert_eq!(
                    error,
                    "the job was aborted before it finished; nothing it had not committed remains"
                );
            }
        }
        drop(engine);
        let left: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(left, Vec::<PathBuf>::new());
    }
}
