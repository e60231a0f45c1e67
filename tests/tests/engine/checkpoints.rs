//! Jobs that are broken off, and go on as if nothing had happened.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sabot::prelude::*;
use sabot_tests::interrupted::{
    PIPELINES, ROWS, engine, from_environment, input, rows, undisturbed, with_breaks,
};
use std::fs;
use std::thread::sleep;
use std::time::Duration;

/// `SABOT_BREAK_SEED` is where random numbers come from, and `SABOT_BREAK_RUNS` how often each pipeline is run.
#[test]
fn what_is_broken_off_goes_on() {
    let mut random = ChaCha8Rng::seed_from_u64(from_environment("SABOT_BREAK_SEED", 0x5eed));
    let runs = from_environment("SABOT_BREAK_RUNS", 3);
    let (mut broken_off, mut went_on) = (0, 0);
    for (name, pipeline) in PIPELINES {
        let folder = tempfile::tempdir().unwrap();
        input(folder.path(), random.random());
        let wanted = undisturbed(pipeline, folder.path());
        for run in 0..runs {
            let (kept, output) =
                (folder.path().join(format!("kept-{run}")), folder.path().join(format!("{run}.csv")));
            let job = || {
                let checkpoints = Checkpoints::folder(&kept).every_rows(5_000);
                let job = Job::new("copy").write(&pipeline(folder.path()).unwrap(), csv(&output)).unwrap();
                job.checkpoints(checkpoints)
            };
            let ran = with_breaks(job, &mut random);
            broken_off += u64::from(ran.starts) - 1;
            went_on += u64::from(ran.rows_read < ROWS);
            let found = fs::read_to_string(&output).unwrap();
            let apart = found.lines().zip(wanted.lines()).position(|(a, b)| a != b);
            assert!(
                found == wanted,
                "{name}: {} and {} lines, apart from {apart:?}",
                found.lines().count(),
                wanted.lines().count()
            );
        }
    }
    // Else nothing was shown: a job may end before it is broken off, and begin anew before there is a checkpoint.
    let all = PIPELINES.len() as u64 * runs;
    assert!(broken_off >= all && went_on >= all / 2, "{broken_off} breaks, {went_on} of {all} went on");
    println!("{broken_off} breaks, {went_on} of {all} went on");
}

/// What stops at a savepoint goes on from it, also with other workers, and shows no window twice.
#[test]
fn what_is_suspended_goes_on() {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    for (name, pipeline) in PIPELINES {
        let folder = tempfile::tempdir().unwrap();
        input(folder.path(), random.random());
        let wanted = undisturbed(pipeline, folder.path());
        let (kept, output) = (folder.path().join("kept"), folder.path().join("out.csv"));
        let job = || {
            let job = Job::new("copy").write(&pipeline(folder.path()).unwrap(), csv(&output)).unwrap();
            job.checkpoints(Checkpoints::folder(&kept))
        };
        let mut rows_read = 0;
        for workers in [2, 1, 3] {
            let handle = engine(workers).start(job()).unwrap();
            while handle.metrics().rows_read < 8_000 && !handle.is_finished() {
                sleep(Duration::from_micros(200));
            }
            handle.stop(Stop::Suspend);
            rows_read += handle.wait().unwrap().rows_read;
            assert!(!output.exists() || rows_read >= ROWS, "{name}");
        }
        rows_read += engine(2).start(job()).unwrap().wait().unwrap().rows_read;
        assert!(fs::read_to_string(&output).unwrap() == wanted, "{name}");
        if !name.ends_with("join") {
            // No row was let in twice. (A join reads what makes its table anew.)
            assert_eq!(rows_read, ROWS, "{name}");
        }
    }
}

#[test]
fn what_cannot_go_on_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    input(folder.path(), 1);
    let (kept, output) = (folder.path().join("kept"), folder.path().join("out.csv"));
    let job = |name: &str, stream: Stream| {
        let checkpoints = Checkpoints::folder(&kept).every_rows(5_000);
        Job::new(name).write(&stream, csv(&output)).unwrap().checkpoints(checkpoints)
    };
    let totals = |column: &str| {
        let totals = rows(folder.path()).unwrap().group_by(["key"]).unwrap();
        totals.aggregate([sum(col(column)).alias("total")]).unwrap()
    };
    let refused = |job: Job| engine(2).start(job).unwrap_err().to_string();

    let handle = engine(2).start(job("totals", totals("n"))).unwrap();
    handle.stop(Stop::Suspend);
    handle.wait().unwrap();
    let error = refused(job("other", totals("n")));
    assert!(error.contains("checkpoints of the job \"totals\", not of \"other\""), "{error}");
    let error = refused(job("totals", totals("key")));
    assert!(error.contains("\n  dropped       operator  aggregate-"), "{error}");
    fs::rename(folder.path().join("in-1.csv"), folder.path().join("elsewhere.csv")).unwrap();
    let error = refused(job("totals", totals("n")));
    assert!(error.contains("in-1.csv is gone"), "{error}");

    let (_sender, channel) = sabot::input_channel("numbers", 4, totals("n").schema().clone());
    let copy = Job::new("copy").write(&Stream::from_channel(channel).unwrap(), to_channel(4).0).unwrap();
    let error = refused(copy.checkpoints(Checkpoints::folder(folder.path().join("others"))));
    assert!(error.contains("it cannot be read again"), "{error}");

    // Output that is there without a checkpoint that it belongs to would be mixed with that of this run.
    let folder_of_files = format!("{}/", folder.path().join("parts").display());
    fs::create_dir(&folder_of_files).unwrap();
    fs::write(format!("{folder_of_files}2-0.csv"), "key,total\n").unwrap();
    let parts = Job::new("parts").write(&totals("n"), csv(&folder_of_files)).unwrap();
    let error = refused(parts.checkpoints(Checkpoints::folder(folder.path().join("of parts"))));
    assert!(error.contains("holds output already"), "{error}");
}

/// A channel delivers at once, so a run that stops at a savepoint ends it like any other end.
#[test]
fn a_channel_ends_well_at_a_savepoint() {
    let folder = tempfile::tempdir().unwrap();
    input(folder.path(), 3);
    let (sink, mut received) = to_channel(1_000);
    let job = Job::new("to a channel").write(&rows(folder.path()).unwrap(), sink).unwrap();
    let handle = engine(2).start(job.checkpoints(Checkpoints::folder(folder.path().join("kept")))).unwrap();
    while handle.metrics().rows_written == 0 {
        sleep(Duration::from_micros(200));
    }
    handle.stop(Stop::Suspend);
    let written = handle.wait().unwrap().rows_written;
    let mut rows = 0;
    // Also for those who take their time.
    while let Some(batch) = received.recv_blocking().unwrap() {
        rows += batch.num_rows() as u64;
    }
    assert_eq!(rows, written);
}

#[test]
fn a_second_run_is_refused_while_the_first_has_the_outputs() {
    let folder = tempfile::tempdir().unwrap();
    input(folder.path(), 4);
    let job = || {
        let rows = rows(folder.path()).unwrap();
        let (sink, received) = to_channel(1);
        let job = Job::new("twice").write(&rows, csv(folder.path().join("out.csv"))).unwrap();
        let job = job.write(&rows, sink).unwrap();
        (job.checkpoints(Checkpoints::folder(folder.path().join("kept"))), received)
    };
    // It cannot come to its end before somebody takes its rows.
    let (first, mut received) = job();
    let first = engine(1).start(first).unwrap();
    let refused = engine(1).start(job().0).unwrap_err().to_string();
    assert!(refused.contains("out.csv"), "{refused}");
    while received.recv_blocking().unwrap().is_some() {}
    first.wait().unwrap();
}

/// Records that cannot be read are put aside once, however often the job is broken off.
#[test]
fn dead_letters_come_once() {
    let mut random = ChaCha8Rng::seed_from_u64(9);
    let folder = tempfile::tempdir().unwrap();
    input(folder.path(), 9);
    for number in 0..2 {
        let path = folder.path().join(format!("in-{number}.csv"));
        let text = fs::read_to_string(&path).unwrap();
        let broken = text.lines().enumerate().map(|(row, line)| match row % 50 {
            17 => format!("{line}x\n"),
            _ => format!("{line}\n"),
        });
        fs::write(&path, broken.collect::<String>()).unwrap();
    }
    let letters = |name: &str| {
        let text = fs::read_to_string(folder.path().join(name)).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let rows = |dead: &str| {
        let read =
            csv(folder.path().join("in-*.csv")).option("schema", "at timestamp(us), key int64, n int64");
        let read = read.dead_letters(folder.path().join(dead));
        Stream::read(read).unwrap().event_time("at", out_of_orderness(seconds(1))).unwrap()
    };
    let straight = folder.path().join("straight.csv");
    let metrics = Job::new("straight").write(&rows("dead.ndjson"), csv(&straight)).unwrap().run().unwrap();
    let wanted = letters("dead.ndjson");
    assert_eq!((wanted.len() as u64, metrics.dead_letters), (ROWS / 50, ROWS / 50));
    let mut went_on = 0;
    for run in 0..6 {
        let path = |name: &str| folder.path().join(format!("{name}-{run}"));
        let (kept, output, dead) = (path("kept"), path("out.csv"), format!("dead-{run}.ndjson"));
        let job = || {
            let job = Job::new("letters").write(&rows(&dead), csv(output.with_extension("csv"))).unwrap();
            job.checkpoints(Checkpoints::folder(&kept).every_rows(2_000))
        };
        let ran = with_breaks(job, &mut random);
        went_on += u32::from(ran.rows_read < ROWS / 50 * 49);
        assert_eq!(letters(&dead), wanted, "after {} starts", ran.starts);
        let found = fs::read_to_string(output.with_extension("csv")).unwrap();
        assert!(found == fs::read_to_string(&straight).unwrap(), "after {} starts", ran.starts);
    }
    assert!(went_on > 0);

    // It is not known from which of two readings a letter is.
    let read = csv(folder.path().join("in-*.csv")).option("schema", "at timestamp(us), key int64, n int64");
    let plain = Stream::read(read.dead_letters(folder.path().join("twice.ndjson"))).unwrap();
    let timed = plain.clone().event_time("at", out_of_orderness(seconds(1))).unwrap();
    let to = |name: &str| csv(folder.path().join(name));
    let job =
        Job::new("twice").write(&plain, to("plain.csv")).unwrap().write(&timed, to("timed.csv")).unwrap();
    let refused = job.checkpoints(Checkpoints::folder(folder.path().join("kept twice"))).run().unwrap_err();
    assert!(refused.to_string().contains("reads it more than once"), "{refused}");
}
