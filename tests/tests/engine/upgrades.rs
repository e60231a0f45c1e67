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
use std::thread::sleep;
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
    assert!(error.contains("it is aggregate in the checkpoint and over in the job"), "{error}");
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
