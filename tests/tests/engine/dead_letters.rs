//! Malformed records through whole jobs: put aside once, visible with the job, counted.

use arrow::array::AsArray;
use arrow::datatypes::UInt64Type;
use sabot::{Error, Job, JobError, Stream, col, csv, in_order, ndjson, parquet};
use sabot_tests::sinks;
use std::fs;
use std::path::{Path, PathBuf};

use crate::kit::{engine, lines};

/// Three files of a hundred records each, every seventh of them malformed.
fn input(folder: &Path) -> (PathBuf, usize, usize) {
    let input = folder.join("in");
    fs::create_dir(&input).unwrap();
    let mut bad = 0;
    for file in 0..3 {
        let mut text = "n,at\n".to_owned();
        for i in 0..100 {
            let n = file * 100 + i;
            match n % 7 {
                3 => {
                    bad += 1;
                    text += &format!("{n}?,2001-01-01\n");
                }
                _ => text += &format!("{n},2001-01-{:02}\n", i % 28 + 1),
            }
        }
        fs::write(input.join(format!("{file}.csv")), text).unwrap();
    }
    (input, 300 - bad, bad)
}

fn hidden(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with('.')).collect()
}

#[test]
fn dead_letters_appear_with_the_job_once_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let (input, good, bad) = input(folder.path());
    let dead = folder.path().join("dead.parquet");
    let read = csv(&input).option("schema", "n int64, at date32").dead_letters(&dead);
    let rows = Stream::read(read).unwrap();
    // Two stages read the same source: one with event time, one without; neither reads all columns.
    let timed = rows.clone().event_time("at", in_order()).unwrap().select([col("at")]).unwrap();
    let plain = rows.select([col("n")]).unwrap();
    let (first, timed_rows) = sinks::ordered();
    let (second, plain_rows) = sinks::ordered();
    let job = Job::new("dead").write(&timed, first).unwrap().write(&plain, second).unwrap();
    for _ in 0..2 {
        let metrics = engine().run(job.clone()).unwrap();
        assert_eq!(metrics.dead_letters, bad as u64);
        assert_eq!((lines(&timed_rows.take()).len(), lines(&plain_rows.take()).len()), (good, good));
        let letters = Stream::read(parquet(&dead)).unwrap().collect_on(&engine()).unwrap();
        let places: Vec<(String, u64)> = letters
            .iter()
            .flat_map(|batch| {
                let files = batch.column_by_name("file").unwrap().as_string::<i32>();
                let records = batch.column_by_name("record").unwrap().as_primitive::<UInt64Type>();
                let place = |i| (files.value(i).to_owned(), records.value(i));
                (0..batch.num_rows()).map(place).collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(places.len(), bad);
        assert!(places.is_sorted() && places[0].0.ends_with("0.csv") && places[0].1 == 4, "{places:?}");
    }
    assert!(hidden(folder.path()).is_empty());
}

#[test]
fn a_job_that_fails_leaves_no_dead_letters_and_a_limit_makes_it_fail() {
    let folder = tempfile::tempdir().unwrap();
    let (input, _, _) = input(folder.path());
    let dead = folder.path().join("dead.ndjson");
    fs::write(&dead, "of an earlier job\n").unwrap();
    let read = csv(&input).option("schema", "n int64, at date32").dead_letters(&dead);
    let rows = Stream::read(read.clone()).unwrap();
    let broken = rows.select([(col("n") / (col("n") - 250)).alias("x")]).unwrap();
    let error = broken.collect_on(&engine()).unwrap_err();
    assert!(matches!(error, Error::Job(JobError::Row { .. })), "{error}");
    let limited = Stream::read(read.option("max_dead_letters", "5")).unwrap();
    let error = limited.collect_on(&engine()).unwrap_err().to_string();
    assert!(error.contains("more than 5 records cannot be read") && error.contains(".csv, row"), "{error}");
    assert_eq!(fs::read_to_string(&dead).unwrap(), "of an earlier job\n");
    assert!(hidden(folder.path()).is_empty());
}

/// Rows keep the numbers of their records, also behind dead letters.
#[test]
fn errors_behind_dead_letters_name_the_record() {
    let folder = tempfile::tempdir().unwrap();
    let (input, dead) = (folder.path().join("in.ndjson"), folder.path().join("dead.csv"));
    fs::write(&input, "{\"n\":1}\n{\"n\":}\n{\"n\":2}\n[]\n\n{\"n\":0}\n").unwrap();
    let rows = Stream::read(ndjson(&input).option("schema", "n int64").dead_letters(&dead)).unwrap();
    let error = rows.select([(col("n") / col("n")).alias("x")]).unwrap().collect_on(&engine()).unwrap_err();
    assert!(error.to_string().contains("in.ndjson, row 5"), "{error}");
}

#[test]
fn two_jobs_cannot_write_the_same_dead_letters() {
    let folder = tempfile::tempdir().unwrap();
    let (input, _, _) = input(folder.path());
    let dead = folder.path().join("dead.ndjson");
    let rows = Stream::read(csv(&input).option("schema", "n int64, at date32").dead_letters(&dead)).unwrap();
    let (sink, _receiver) = sabot::to_channel(1);
    let engine = sabot::Engine::builder().workers(1).morsel_rows(1).build().unwrap();
    let running = engine.start(Job::new("first").write(&rows, sink).unwrap()).unwrap();
    let refused = engine.start(Job::new("second").write(&rows, csv(folder.path().join("out.csv"))).unwrap());
    let message = refused.err().unwrap().to_string();
    assert!(message.contains("dead.ndjson is being written by another job"), "{message}");
    running.abort();
    assert!(running.wait().is_err());
    assert!(hidden(folder.path()).is_empty() && !dead.exists());
}
