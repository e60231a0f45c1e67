//! A stopped or dropped engine leaves no thread.
//!
//! Other tests of this binary run engines at the same time, so each test runs itself again as a child
//! process and counts there.

use sabot::{Engine, Job, Stream, in_order};
use sabot_connect::input_channel;
use sabot_tests::sinks;
use std::process::Command;
use std::time::Duration;

use crate::kit::{events, wait_for};

const CHILD: &str = "SABOT_TEST_THREADS_CHILD";

/// Runs `body` in a child process in which nothing else runs.
fn alone(name: &str, body: impl FnOnce()) {
    if std::env::var_os(CHILD).is_some() {
        return body();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("threads::{name}"), "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// Names of this process's threads that belong to an engine.
fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let name =
        |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
    tasks.map(|task| name(task.unwrap()).trim().to_owned()).filter(|name| name.starts_with("sabot")).collect()
}

/// No thread is left. A thread that was joined may be listed for another moment, until the system has
/// cleared it away; one that was left behind is there for good.
fn none_left() {
    wait_for("the end of the threads", threads, Vec::is_empty);
}

/// A job over a channel that goes on until it is stopped; it uses the timers, too.
fn endless() -> (sabot_connect::ChannelSender, Job) {
    let (sender, source) = input_channel("endless", 4, events(&[]).schema());
    let options = in_order().idle_timeout(Duration::from_millis(1));
    let stream = Stream::from_channel(source).unwrap().event_time("t", options).unwrap();
    (sender, Job::new("endless").write(&stream, sinks::ordered().0).unwrap())
}

#[test]
fn a_dropped_engine_leaves_no_thread() {
    alone("a_dropped_engine_leaves_no_thread", || {
        assert_eq!(threads(), Vec::<String>::new());
        let engine = Engine::builder().workers(3).build().unwrap();
        assert_eq!(wait_for("threads", threads, |t| t.len() == 3).len(), 3);
        drop(engine);
        none_left();
    });
}

#[test]
fn an_engine_dropped_in_the_middle_of_a_job_leaves_no_thread() {
    alone("an_engine_dropped_in_the_middle_of_a_job_leaves_no_thread", || {
        for handle_first in [true, false] {
            let engine = Engine::builder().workers(2).build().unwrap();
            let (sender, job) = endless();
            let handle = engine.start(job).unwrap();
            sender.send_blocking(events(&[(1, "a", 1)])).unwrap();
            // Two workers, and the timers that the idle time-out needs.
            wait_for("the timers", threads, |t| t.len() == 3);
            match handle_first {
                true => {
                    drop(handle);
                    drop(engine);
                }
                false => {
                    drop(engine);
                    drop(handle);
                }
            }
            none_left();
        }
    });
}

/// `Job::run` and `Stream::collect` have an engine of their own, which ends with them.
#[test]
fn a_job_with_an_engine_of_its_own_leaves_no_thread() {
    alone("a_job_with_an_engine_of_its_own_leaves_no_thread", || {
        let stream = Stream::from_batches([events(&[(1, "a", 1)])]).unwrap();
        assert_eq!(stream.collect().unwrap().len(), 1);
        none_left();
        let (sender, job) = endless();
        let handle = job.start().unwrap();
        drop(sender);
        handle.wait().unwrap();
        drop(handle);
        none_left();
    });
}
