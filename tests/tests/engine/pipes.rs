//! The standard input and output: a process in a pipeline, which sees rows before the input has ended.
//!
//! The test runs itself once more as a child whose input and output are pipes.

use sabot::{Job, Stream, col, csv, ndjson};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use crate::kit::engine;

const CHILD: &str = "SABOT_TEST_PIPES_CHILD";

fn child() {
    let rows = Stream::read(csv("-").option("schema", "n int64, word utf8")).unwrap();
    let even = rows.filter((col("n") % 2).eq(0)).unwrap();
    // Bounded, and its rows cannot be read twice.
    let job = Job::new("pipe").write(&even, ndjson("-")).unwrap();
    engine().run(job.clone()).unwrap();
    assert!(engine().run(job).unwrap_err().to_string().contains("already claimed"));
}

#[test]
fn rows_pass_through_a_pipe_as_they_come() {
    if std::env::var_os(CHILD).is_some() {
        return child();
    }
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "pipes::rows_pass_through_a_pipe_as_they_come", "--nocapture"])
        .env(CHILD, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut to = process.stdin.take().unwrap();
    // The test harness prints lines of its own.
    let mut from =
        BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap).filter_map(|line| {
            let start = line.find('{')?;
            Some(line[start..].to_owned())
        });
    to.write_all(b"n,word\n1,a\n2,b\n").unwrap();
    to.flush().unwrap();
    // Nothing has followed the second row yet, not even an end.
    assert_eq!(from.next().unwrap(), "{\"n\":2,\"word\":\"b\"}");
    to.write_all(b"\n4,\"c\nd\"\n5,e\n6,f").unwrap();
    drop(to);
    assert_eq!(from.next().unwrap(), "{\"n\":4,\"word\":\"c\\nd\"}");
    assert_eq!(from.next().unwrap(), "{\"n\":6,\"word\":\"f\"}");
    assert_eq!(from.next(), None);
    assert!(process.wait().unwrap().success());
}
