//! Jobs that fail while they run, and start again by themselves.

use sabot::prelude::*;
use sabot::{Error, JobError, JobMetrics};
use sabot_tests::interrupted::{PIPELINES, Pipeline, ROWS, input, rows, undisturbed};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Fails at every call whose number, counted over all runs of the job, says so.
fn shaky(rows: Stream, fails: impl Fn(u64) -> bool + Send + Sync + 'static) -> Stream {
    let calls = AtomicU64::new(0);
    let schema = rows.schema().clone();
    let rows = rows.map_batches(schema, move |batch| {
        let call = calls.fetch_add(1, Ordering::Relaxed);
        // A panic and an error are as good as each other.
        assert!(!(call.is_multiple_of(2) && fails(call)), "call {call} fails");
        if fails(call) { Err(format!("call {call} fails")) } else { Ok(batch) }
    });
    rows.unwrap().named("shaky").unwrap()
}

fn every(attempts: u32) -> RestartStrategy {
    RestartStrategy::FixedDelay { attempts, delay: Duration::from_millis(1) }
}

fn run(folder: &Path, stream: &Stream, strategy: RestartStrategy) -> Result<JobMetrics, Error> {
    let checkpoints = Checkpoints::folder(folder.join("kept")).every_rows(2_000).restart(strategy);
    let job = Job::new("shaky").write(stream, csv(folder.join("out.csv"))).unwrap().checkpoints(checkpoints);
    Engine::builder().workers(2).morsel_rows(256).build()?.run(job)
}

#[test]
fn what_fails_now_and_then_writes_what_it_should() {
    for (name, pipeline) in PIPELINES {
        let folder = tempfile::tempdir().unwrap();
        input(folder.path(), 11);
        let wanted = undisturbed(pipeline, folder.path());
        let stream = shaky(pipeline(folder.path()).unwrap(), |call| [1, 2, 40].contains(&call));
        let metrics = run(folder.path(), &stream, every(5)).unwrap();
        assert!((1..=3).contains(&metrics.restarts), "{name}: {metrics:?}");
        assert!(fs::read_to_string(folder.path().join("out.csv")).unwrap() == wanted, "{name}");
    }
}

#[test]
fn a_restart_goes_on_from_the_newest_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    input(folder.path(), 12);
    let stream = shaky(rows(folder.path()).unwrap(), |call| {
        // Slow enough for a checkpoint to be written meanwhile.
        sleep(Duration::from_millis(u64::from(call < 200)));
        call == 200
    });
    let metrics = run(folder.path(), &stream, every(1)).unwrap();
    assert!(metrics.restarts == 1 && metrics.rows_read < ROWS, "{metrics:?}");
    assert!(metrics.checkpoints > 0, "{metrics:?}");
}

#[test]
fn what_always_fails_ends_with_the_failure_and_why_it_is_the_last() {
    let folder = tempfile::tempdir().unwrap();
    input(folder.path(), 13);
    let stream = shaky(rows(folder.path()).unwrap(), |_| true);
    let error = run(folder.path(), &stream, every(3)).unwrap_err();
    let Error::Job(JobError::GaveUp { reason, error }) = error else { panic!("{error}") };
    assert_eq!(reason, "it was restarted 3 times already");
    assert!(matches!(*error, JobError::UserFunction { .. } | JobError::Panicked { .. }), "{error}");
    // Without a strategy it is the failure alone.
    let error = run(folder.path(), &stream, RestartStrategy::None).unwrap_err();
    assert!(
        matches!(error, Error::Job(JobError::UserFunction { .. } | JobError::Panicked { .. })),
        "{error}"
    );
}

/// Where rows are shown at once they may come twice, but whoever receives them meets no end before the last.
#[test]
fn a_channel_stays_open_from_run_to_run() {
    let folder = tempfile::tempdir().unwrap();
    input(folder.path(), 14);
    let start = |fails: fn(u64) -> bool| {
        let (sink, received) = to_channel(4);
        let job = Job::new("shaky").write(&shaky(rows(folder.path()).unwrap(), fails), sink).unwrap();
        let kept = tempfile::tempdir_in(folder.path()).unwrap().keep();
        let checkpoints = Checkpoints::folder(kept).every_rows(5_000).restart(every(2));
        let engine = Engine::builder().workers(2).morsel_rows(512).build().unwrap();
        (engine.start(job.checkpoints(checkpoints)).unwrap(), received)
    };
    let (handle, mut received) = start(|call| call == 50);
    let mut count = 0;
    while let Some(batch) = received.recv_blocking().unwrap() {
        count += batch.num_rows() as u64;
    }
    assert_eq!(handle.wait().unwrap().restarts, 1);
    assert!(count >= ROWS, "{count}");

    let (handle, mut received) = start(|call| call > 20);
    while let Ok(batch) = received.recv_blocking() {
        assert!(batch.is_some(), "an end as if all were well");
    }
    assert!(matches!(handle.wait(), Err(JobError::GaveUp { .. })));
}

/// A job that waits for its next run can be told to stop, and to give up.
#[test]
fn a_job_is_told_to_stop_while_it_waits() {
    let long = RestartStrategy::FixedDelay { attempts: 9, delay: Duration::from_secs(3_600) };
    let start = |folder: &Path, strategy, pipeline: Pipeline, fails: fn(u64) -> bool| {
        let stream = shaky(pipeline(folder).unwrap(), fails);
        let job = Job::new("shaky").write(&stream, csv(folder.join("out.csv"))).unwrap();
        let checkpoints = Checkpoints::folder(folder.join("kept")).every_rows(5_000).restart(strategy);
        let engine = Engine::builder().workers(2).morsel_rows(512).build().unwrap();
        (engine.start(job.checkpoints(checkpoints)).unwrap(), engine)
    };
    let folder = tempfile::tempdir().unwrap();
    input(folder.path(), 15);
    let (handle, _engine) = start(folder.path(), long, rows, |call| call == 30);
    while handle.metrics().rows_read < 8_000 {
        sleep(Duration::from_millis(1));
    }
    sleep(Duration::from_millis(100));
    let (handle, begun) = (Arc::new(handle), Instant::now());
    assert!(!handle.is_finished());
    handle.abort();
    assert!(matches!(handle.wait(), Err(JobError::Aborted)));
    assert!(begun.elapsed() < Duration::from_secs(60));

    // Told to stop at a savepoint it does so in the run that follows, which another one goes on from.
    let (name, pipeline) = PIPELINES[1];
    let folder = tempfile::tempdir().unwrap();
    input(folder.path(), 16);
    let wanted = undisturbed(pipeline, folder.path());
    let short = RestartStrategy::FixedDelay { attempts: 9, delay: Duration::from_millis(300) };
    let (handle, _engine) = start(folder.path(), short, pipeline, |call| call == 0);
    while handle.metrics().rows_written == 0 && handle.metrics().restarts == 0 {
        sleep(Duration::from_millis(1));
    }
    handle.stop(Stop::Suspend);
    handle.wait().unwrap();
    assert!(!folder.path().join("out.csv").exists(), "{name}");
    let (handle, _engine) = start(folder.path(), short, pipeline, |_| false);
    handle.wait().unwrap();
    assert!(fs::read_to_string(folder.path().join("out.csv")).unwrap() == wanted, "{name}");
}
