//! Jobs that have changed between two runs.

use arrow::array::AsArray;
use arrow::compute::{cast, sum as sum_of};
use arrow::datatypes::UInt64Type;
use sabot::prelude::*;
use sabot::{AggregateExpr, Error, JobError};
use sabot_checkpoint::ManifestKind;
use sabot_common::KeyGroupRange;
use sabot_state::{FolderStore, inspect};
use sabot_tests::interrupted::{ROWS, input};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::Duration;

/// The rows of the input, with its numbers in a type.
fn rows_as(folder: &Path, number: &str) -> Stream {
    let schema = format!("at timestamp(us), key {number}, n {number}");
    let read = csv(folder.join("in-*.csv")).option("schema", schema);
    Stream::read(read).unwrap().event_time("at", out_of_orderness(seconds(1))).unwrap()
}

/// The same rows, taking their time, so that a job can be stopped among them. What is before an operator does not matter.
fn slowly(rows: Stream) -> Stream {
    let schema = rows.schema().clone();
    let slow = rows.map_batches(schema, |batch| {
        sleep(Duration::from_millis(2));
        Ok::<_, Error>(batch)
    });
    slow.unwrap()
}

fn totals(rows: Stream, aggregates: impl IntoIterator<Item = AggregateExpr>) -> Stream {
    rows.group_by(["key"]).unwrap().aggregate(aggregates).unwrap().named("totals").unwrap()
}

fn job(folder: &Path, stream: &Stream) -> Job {
    let job = Job::new("totals").write(stream, csv(folder.join("out.csv"))).unwrap();
    job.checkpoints(Checkpoints::folder(folder.join("kept")))
}

/// Starts the job and stops it at a savepoint after some rows.
fn suspend(job: Job) {
    let engine = Engine::builder().workers(2).morsel_rows(512).build().unwrap();
    let handle = engine.start(job).unwrap();
    while handle.metrics().rows_read < 20_000 {
        sleep(Duration::from_micros(200));
    }
    handle.stop(Stop::Suspend);
    assert!(handle.wait().unwrap().rows_read < ROWS);
}

fn finish(folder: &Path, job: Job) -> String {
    job.run().unwrap();
    fs::read_to_string(folder.join("out.csv")).unwrap()
}

fn undisturbed(stream: &Stream, folder: &Path) -> String {
    let path = folder.join("undisturbed.csv");
    Job::new("undisturbed").write(stream, csv(&path)).unwrap().run().unwrap();
    fs::read_to_string(path).unwrap()
}

fn folder(seed: u64) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    input(folder.path(), seed);
    folder
}

fn lines(job: &Job) -> Vec<String> {
    let text = job.explain_upgrade().unwrap().unwrap();
    text.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

fn refused(job: Job) -> String {
    match job.run() {
        Err(Error::Job(error @ JobError::Changed { .. })) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

/// Keys and values with more bits go on with what was counted in fewer.
#[test]
fn types_widen() {
    let folder = folder(21);
    let of = |rows| totals(rows, [count(), max(col("n")), first(col("n"))]);
    suspend(job(folder.path(), &of(slowly(rows_as(folder.path(), "int16")))));
    let of = |number| of(rows_as(folder.path(), number));
    let wide = job(folder.path(), &of("int64"));
    let found = lines(&wide);
    let operator = found.iter().find(|line| line.contains("totals")).unwrap();
    assert!(operator.starts_with("restored operator totals: groups/key int16 becomes int64"), "{operator}");
    assert_eq!(finish(folder.path(), wide), undisturbed(&of("int64"), folder.path()));

    // And not back.
    let folder = self::folder(21);
    let of = |rows| totals(rows, [count(), max(col("n"))]);
    suspend(job(folder.path(), &of(slowly(rows_as(folder.path(), "int64")))));
    let error = refused(job(folder.path(), &of(rows_as(folder.path(), "int16"))));
    assert!(error.contains("groups/key is int64 in the checkpoint and int16 in the job"), "{error}");
}

/// What a new column says is of the rows that came since; the others are what they would be anyway.
#[test]
fn columns_that_may_be_null_are_added() {
    let folder = folder(22);
    let rows = || rows_as(folder.path(), "int64");
    suspend(job(folder.path(), &totals(slowly(rows()), [count(), sum(col("n"))])));
    let both = totals(rows(), [count(), sum(col("n")), min(col("n"))]);
    let found = finish(folder.path(), job(folder.path(), &both));
    let wanted = undisturbed(&both, folder.path());
    let first_three =
        |text: &str| text.lines().map(|line| line.rsplit_once(',').unwrap().0.to_owned()).collect::<Vec<_>>();
    assert_eq!(first_three(&found), first_three(&wanted));
    assert_ne!(found, wanted);
}

/// Only what an operator does by itself makes it the one that it was.
#[test]
fn what_is_before_and_behind_an_operator_may_change() {
    let folder = folder(23);
    let of = |rows: Stream, limit: i64| {
        let rows = rows.filter(col("n").gt(limit)).unwrap();
        let totals = rows.group_by(["key"]).unwrap().aggregate([count().alias("rows")]).unwrap();
        totals.with_columns([(col("rows") + limit).alias("more")]).unwrap()
    };
    let rows = || rows_as(folder.path(), "int64");
    suspend(job(folder.path(), &of(slowly(rows()), -100)));
    let other = job(folder.path(), &of(rows(), 100));
    let found = lines(&other);
    assert!(found.len() >= 3 && found.iter().all(|line| line.starts_with("unchanged ")), "{found:?}");
    // Nothing passes the new filter, and what had passed the old one is still there.
    let found = finish(folder.path(), other);
    let counted: u64 =
        found.lines().skip(1).map(|line| line.split(',').nth(1).unwrap().parse::<u64>().unwrap()).sum();
    assert!((20_000..ROWS).contains(&counted), "{counted}");
}

#[test]
fn what_is_dropped_has_to_be_allowed() {
    let folder = folder(24);
    let rows = || rows_as(folder.path(), "int64");
    suspend(job(folder.path(), &totals(slowly(rows()), [count()])));
    let windows = rows().window(tumbling(seconds(10))).unwrap().group_by(["key"]).unwrap();
    let windows = windows.aggregate([count()]).unwrap();
    let error = refused(job(folder.path(), &windows));
    assert!(error.contains("dropped       operator  totals"), "{error}");
    let allowed = Checkpoints::folder(folder.path().join("kept")).allow_dropped();
    let other = job(folder.path(), &windows).checkpoints(allowed);
    let found = lines(&other);
    assert!(found.contains(&"dropped operator totals".to_owned()), "{found:?}");
    assert!(found.iter().any(|line| line.starts_with("new operator aggregate-")), "{found:?}");
    // The source goes on where it was.
    let rows_read = other.run().unwrap().rows_read;
    assert!(rows_read < ROWS - 10_000, "{rows_read}");

    // Another kind of operator under the same name.
    let folder = self::folder(25);
    let rows = || rows_as(folder.path(), "int64");
    suspend(job(folder.path(), &totals(slowly(rows()), [count()])));
    let other = rows().with_columns([count().over(["key"], whole()).alias("rows")]).unwrap().named("totals");
    let error = refused(
        job(folder.path(), &other.unwrap())
            .checkpoints(Checkpoints::folder(folder.path().join("kept")).allow_dropped()),
    );
    assert!(error.contains("it is aggregate in the checkpoint and over "), "{error}");
}

/// Two operators that do the same keep their state when their order in the job changes.
#[test]
fn operators_that_do_the_same_are_not_mixed_up() {
    let folder = folder(26);
    // Told apart by what is above them, so that the same has to be there in both runs.
    let slow = || slowly(rows_as(folder.path(), "int64")).named("slow").unwrap();
    let branch = |slow: &Stream, limit: i64| {
        let rows = slow.clone().filter(col("n").gt(limit)).unwrap();
        rows.group_by(["key"]).unwrap().aggregate([count()]).unwrap()
    };
    let job = |order: [i64; 2]| {
        let to = |limit: i64| csv(folder.path().join(format!("out{limit}.csv")));
        let job = Job::new("branches").checkpoints(Checkpoints::folder(folder.path().join("kept")));
        let slow = slow();
        order.into_iter().fold(job, |job, limit| job.write(&branch(&slow, limit), to(limit)).unwrap())
    };
    suspend(job([0, 40]));
    job([40, 0]).run().unwrap();
    for limit in [0, 40] {
        let found = fs::read_to_string(folder.path().join(format!("out{limit}.csv"))).unwrap();
        assert_eq!(found, undisturbed(&branch(&slow(), limit), folder.path()), "{limit}");
    }
}

/// What is in a folder of checkpoints can be looked at, and is what the job has.
#[test]
fn state_can_be_looked_into() {
    let folder = folder(27);
    suspend(job(folder.path(), &totals(slowly(rows_as(folder.path(), "int64")), [count().alias("rows")])));
    let store = FolderStore::look(folder.path().join("kept")).unwrap();
    let epochs = inspect::epochs(&store).unwrap();
    let newest = &epochs.last().unwrap().manifest;
    assert_eq!(newest.kind, ManifestKind::Savepoint);
    let operator = newest.operators.iter().find(|operator| operator.id.as_str() == "totals").unwrap();
    let all = KeyGroupRange { start: 0, end: newest.key_groups };
    let kinds = inspect::rows(&store, operator, all).unwrap();
    let groups = &kinds["groups"];
    let keys: u64 = inspect::rows_by_group(groups).values().sum();
    assert_eq!(keys, 200);
    let counted: u64 = groups
        .iter()
        .map(|rows| {
            let column = rows.schema().fields().iter().position(|f| f.name().starts_with("rows")).unwrap();
            let counts = cast(rows.column(column), &DataType::UInt64).unwrap();
            sum_of(counts.as_primitive::<UInt64Type>()).unwrap_or(0)
        })
        .sum();
    let read: u64 = newest.sources[0].partitions.iter().map(|partition| partition.rows).sum();
    assert_eq!(counted, read);
}

/// A savepoint is written while the job runs, stays when later checkpoints come, and is all that a job needs elsewhere.
#[test]
fn a_savepoint_is_gone_on_with_elsewhere() {
    let folder = folder(28);
    let written = Arc::new(AtomicBool::new(false));
    // One with state, and one whose rows are out already.
    for (name, with_state) in [("totals", true), ("rows", false)] {
        let stream = || {
            let (rows, written) = (rows_as(folder.path(), "int64"), written.clone());
            let schema = rows.schema().clone();
            // Until the savepoint is there, the job takes its time.
            let rows = rows.map_batches(schema, move |batch| {
                sleep(Duration::from_millis(if written.load(Ordering::Relaxed) { 0 } else { 20 }));
                Ok::<_, Error>(batch)
            });
            let rows = rows.unwrap().filter(col("n").gt(0)).unwrap();
            if with_state { totals(rows, [count(), sum(col("n"))]) } else { rows }
        };
        let kept = folder.path().join(format!("{name}-kept"));
        let path = |part: &str| folder.path().join(format!("{name}-{part}.csv"));
        let to = |part: &str, checkpoints: Checkpoints| {
            let job = Job::new(name).write_ordered(&stream(), csv(path(part))).unwrap();
            job.checkpoints(checkpoints)
        };
        written.store(false, Ordering::Relaxed);
        let engine = Engine::builder().workers(2).morsel_rows(512).build().unwrap();
        let handle = engine.start(to("out", Checkpoints::folder(&kept).every_rows(5_000))).unwrap();
        while handle.metrics().rows_read < 10_000 {
            sleep(Duration::from_micros(200));
        }
        // Several may ask at once, also while one is written.
        let epochs: Vec<_> = scope(|threads| {
            let asking: Vec<_> = (0..3).map(|_| threads.spawn(|| handle.savepoint().unwrap())).collect();
            asking.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        written.store(true, Ordering::Relaxed);
        handle.wait().unwrap();
        let store = FolderStore::look(&kept).unwrap();
        let found = inspect::epochs(&store).unwrap();
        let savepoint = &found.iter().find(|found| found.manifest.epoch == epochs[0]).unwrap().manifest;
        assert_eq!(savepoint.kind, ManifestKind::Savepoint);
        let read: u64 = savepoint.sources[0].partitions.iter().map(|partition| partition.rows).sum();
        assert!((10_000..ROWS).contains(&read), "{read}");

        let elsewhere = folder.path().join(format!("{name}-elsewhere"));
        inspect::export(&store, savepoint, &FolderStore::open(&elsewhere).unwrap()).unwrap();
        let again = inspect::export(&store, savepoint, &FolderStore::open(&elsewhere).unwrap()).unwrap_err();
        assert!(again.to_string().contains("it has epochs already"), "{again}");
        fs::remove_dir_all(&kept).unwrap();
        // A sink is where it writes to; elsewhere nothing is there yet.
        fs::rename(path("out"), path("first")).unwrap();
        let metrics = to("out", Checkpoints::folder(&elsewhere)).run().unwrap();
        assert_eq!(metrics.rows_read, ROWS - read);
        let text = |part: &str| fs::read_to_string(path(part)).unwrap();
        // What the first job had not committed at the savepoint.
        let (whole, rest) = (text("first"), text("out"));
        let rest = if with_state { rest.as_str() } else { rest.split_once('\n').unwrap().1 };
        assert!(whole.ends_with(rest) && rest.len() > 1_000 && (with_state || rest.len() < whole.len()));
    }

    // There is nobody who could write one.
    let rows = rows_as(folder.path(), "int64");
    let handle =
        Job::new("plain").write(&rows, csv(folder.path().join("plain.csv"))).unwrap().start().unwrap();
    let refused = handle.savepoint().unwrap_err().to_string();
    assert!(refused.contains("the job has none"), "{refused}");
    handle.wait().unwrap();
}

/// What a name stands for may not become something else that keeps the same columns.
#[test]
fn another_meaning_of_the_same_columns_is_refused() {
    let stop_as = |folder: &Path, stream: fn(Stream) -> Stream| {
        suspend(job(folder, &stream(slowly(rows_as(folder, "int64")))));
    };
    let folder = folder(29);
    stop_as(folder.path(), |rows| totals(rows, [max(col("n")).alias("x")]));
    let other = totals(rows_as(folder.path(), "int64"), [min(col("n")).alias("x")]);
    let error = refused(job(folder.path(), &other));
    assert!(error.contains("functions/x is max in the checkpoint and min in the job"), "{error}");

    let folder = self::folder(30);
    let sums = |rows: Stream, column: &str| {
        let before = range(seconds(30));
        let rows = rows.with_columns([
            sum(col("n")).over(["key"], before).alias("x"),
            sum(col("key")).over(["key"], before).alias("y"),
        ]);
        rows.unwrap().select([col("at"), col(column)]).unwrap()
    };
    let timed = |limit: i64| rows_as(folder.path(), "int64").filter(col("n").gt(limit)).unwrap();
    let first = job(folder.path(), &sums(timed(-60), "x"));
    let engine = Engine::builder().workers(1).morsel_rows(64).build().unwrap();
    let handle = engine.start(first).unwrap();
    handle.stop(Stop::Suspend);
    handle.wait().unwrap();
    // Only what is read is kept, and it is the other column now.
    let error = refused(job(folder.path(), &sums(timed(-60), "y")));
    assert!(error.contains("it is rolling "), "{error}");
}
