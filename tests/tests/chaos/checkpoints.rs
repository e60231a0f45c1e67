//! Processes that are killed at any moment, and whose work is gone on with.
//!
//! The test runs itself once more as a child, which runs a pipeline with checkpoints, and kills it; again and again, each
//! time with another number of workers, until the child comes to its end. `SABOT_CHAOS_CYCLES` is how many kills there
//! have to be, `SABOT_CHAOS_SEED` where random numbers come from.

use arrow::util::display::array_value_to_string;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sabot::prelude::*;
use sabot_common::FailPoint;
use sabot_tests::interrupted::{PAUSE_US, PIPELINES, from_environment, input, undisturbed};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

const CHILD: &str = "SABOT_TEST_CHAOS_CHILD";

/// How a child writes.
#[derive(Clone, Copy, PartialEq)]
enum How {
    /// One file.
    File,
    /// A folder of files.
    Folder,
    /// By itself, what comes out of a channel: as if nothing were staged and committed.
    ByItself,
}

/// The child: pipeline, workers, how it writes, and the folder of it all.
fn child(order: &str) {
    let [pipeline, workers, how, folder] = order.split('|').collect::<Vec<_>>()[..] else {
        panic!("{order}")
    };
    let (_, pipeline) = PIPELINES[pipeline.parse::<usize>().unwrap()];
    let folder = Path::new(folder);
    let rows = pipeline(folder.parent().unwrap()).unwrap();
    let checkpoints = Checkpoints::folder(folder.join("kept")).every_rows(2_000);
    let job = Job::new("killed").checkpoints(checkpoints);
    let engine = Engine::builder().workers(workers.parse().unwrap()).morsel_rows(256).build().unwrap();
    match how {
        "file" => drop(engine.run(job.write(&rows, csv(folder.join("out.csv"))).unwrap()).unwrap()),
        "folder" => {
            let out = format!("{}/", folder.join("out").display());
            drop(engine.run(job.write_ordered(&rows, csv(out)).unwrap()).unwrap());
        }
        _ => by_itself(&engine, job, &rows, folder),
    }
}

fn by_itself(engine: &Engine, job: Job, rows: &Stream, folder: &Path) {
    let (sink, mut rows_out) = to_channel(4);
    let handle = engine.start(job.write(rows, sink).unwrap()).unwrap();
    let mut file = fs::File::options().create(true).append(true).open(folder.join("out.csv")).unwrap();
    while let Some(batch) = rows_out.recv_blocking().unwrap() {
        let mut text = String::new();
        for row in 0..batch.num_rows() {
            let values = batch.columns().iter().map(|column| array_value_to_string(column, row).unwrap());
            text.push_str(&values.collect::<Vec<_>>().join(","));
            text.push('\n');
        }
        file.write_all(text.as_bytes()).unwrap();
    }
    handle.wait().unwrap();
}

/// The time within which a child is killed, about as long as it takes to come to its end, whatever the machine: less after
/// each that came to its end before, more after each that did not.
struct Within(Duration);

impl Within {
    fn new() -> Self {
        Self(Duration::from_millis(200))
    }

    fn came_to_its_end(&mut self, it_did: bool) {
        self.0 = self.0.mul_f64(if it_did { 0.7 } else { 1.1 });
    }
}

/// How often a pipeline was killed until it came to its end, and how often it went on from a checkpoint of its own.
#[derive(Default)]
struct Ran {
    kills: u32,
    went_on: u32,
}

/// Runs a pipeline until it comes to its end, killed up to `kills_max` times.
fn run(
    pipeline: usize,
    how: How,
    folder: &Path,
    (random, within): (&mut ChaCha8Rng, &mut Within),
    kills_max: u32,
) -> Ran {
    let how = match how {
        How::File => "file",
        How::Folder => "folder",
        How::ByItself => "by itself",
    };
    let mut ran = Ran::default();
    loop {
        let order = format!("{pipeline}|{}|{how}|{}", random.random_range(1..5), folder.display());
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "checkpoints::what_is_killed_goes_on", "--nocapture"])
            .env(CHILD, order)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let is_due = ran.kills < kills_max;
        if is_due {
            sleep(within.0.mul_f64(random.random_range(0.02..1.0)));
            // It may have come to its end.
            let _ = process.kill();
        }
        let status = process.wait().unwrap();
        if is_due {
            within.came_to_its_end(status.success());
        }
        if status.success() {
            return ran;
        }
        // Killed by a signal it has no code.
        assert!(status.code().is_none(), "the child failed by itself: {status}");
        ran.kills += 1;
        // State is written with every checkpoint, and with nothing else.
        let blocks = fs::read_dir(folder.join("kept/blocks")).map_or(0, Iterator::count);
        ran.went_on += u32::from(blocks > 0);
    }
}

/// What is visible of the output, in the order of its files.
fn output(folder: &Path) -> String {
    let one = folder.join("out.csv");
    if one.exists() {
        return fs::read_to_string(one).unwrap();
    }
    let files = fs::read_dir(folder.join("out")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "csv")).collect();
    let epoch = |path: &Path| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        name.split('-').next().unwrap().parse::<u64>().unwrap()
    };
    files.sort_by_key(|path| epoch(path));
    let mut text = String::new();
    for file in files {
        let part = fs::read_to_string(file).unwrap();
        // Each file has a header.
        text.push_str(if text.is_empty() { &part } else { part.split_once('\n').unwrap().1 });
    }
    text
}

/// Lines that are missing, that come too often, and that should not be there.
#[derive(Debug, Default, PartialEq)]
struct Damage {
    lost: usize,
    duplicate: usize,
    wrong: usize,
}

/// Nothing is lost, duplicate or wrong, and the order is the same.
fn assert_whole(wanted: &str, found: &str, what: &str) {
    assert_eq!(damage(wanted, found), Damage::default(), "{what}");
    assert!(found == wanted, "{what}: the order of lines is another one");
}

fn damage(wanted: &str, found: &str) -> Damage {
    let mut counts: HashMap<&str, i64> = HashMap::new();
    wanted.lines().for_each(|line| *counts.entry(line).or_default() += 1);
    let known: Vec<&str> = counts.keys().copied().collect();
    found.lines().for_each(|line| *counts.entry(line).or_default() -= 1);
    let known: std::collections::HashSet<&str> = known.into_iter().collect();
    let mut damage = Damage::default();
    for (line, left) in counts {
        match left {
            1.. => damage.lost += left as usize,
            ..=-1 if known.contains(line) => damage.duplicate += left.unsigned_abs() as usize,
            ..=-1 => damage.wrong += left.unsigned_abs() as usize,
            0 => {}
        }
    }
    damage
}

#[test]
fn what_is_killed_goes_on() {
    if let Ok(order) = std::env::var(CHILD) {
        return child(&order);
    }
    let cycles = from_environment("SABOT_CHAOS_CYCLES", 50) as u32;
    let mut random = ChaCha8Rng::seed_from_u64(from_environment("SABOT_CHAOS_SEED", 0x5eed));
    let folder = tempfile::tempdir().unwrap();
    input(folder.path(), random.random());
    let wanted: Vec<String> =
        PIPELINES.iter().map(|(_, pipeline)| undisturbed(*pipeline, folder.path())).collect();
    let (mut kills, mut went_on, mut runs) = (0, 0, 0);
    let mut within = Within::new();
    while kills < cycles {
        let pipeline = runs as usize % PIPELINES.len();
        let how = if runs / 6 % 2 == 0 { How::File } else { How::Folder };
        let own = folder.path().join(format!("run-{runs}"));
        fs::create_dir(&own).unwrap();
        let ran = run(pipeline, how, &own, (&mut random, &mut within), 6);
        let killed = ran.kills;
        let name = PIPELINES[pipeline].0;
        assert_whole(&wanted[pipeline], &output(&own), &format!("{name} after {killed} kills, run {runs}"));
        fs::remove_dir_all(&own).unwrap();
        (kills, went_on, runs) = (kills + killed, went_on + ran.went_on, runs + 1);
    }
    assert!(cycles < 10 || went_on > 0, "nothing was ever gone on with");
    println!("{kills} kills in {runs} runs, {went_on} gone on with: 0 lost, 0 duplicate, 0 wrong");
}

/// A job dies at every place where something is half done, and is gone on with. `SABOT_CHAOS_FAILPOINTS` is how often each
/// place is tried; pipelines, workers, outputs and the time at which it is passed change from one to the next.
#[test]
fn every_failpoint_is_survived() {
    let times = from_environment("SABOT_CHAOS_FAILPOINTS", 2);
    let mut random = ChaCha8Rng::seed_from_u64(from_environment("SABOT_CHAOS_SEED", 0xfa11));
    let folder = tempfile::tempdir().unwrap();
    input(folder.path(), random.random());
    let wanted: Vec<String> =
        PIPELINES.iter().map(|(_, pipeline)| undisturbed(*pipeline, folder.path())).collect();
    let mut deaths: BTreeMap<FailPoint, u64> = FailPoint::ALL.iter().map(|point| (*point, 0)).collect();
    let mut run = 0u64;
    // Some are passed by few pipelines, and after several checkpoints: they are tried until one dies there, and each of
    // these tries reads more slowly, for on a slow disk there are few checkpoints in the time that a quick job takes.
    let pause_us = |number: u64| (100 * number.saturating_sub(times)).min(2_000);
    let enough = |tries: u64, deaths: u64| tries >= times && (deaths > 0 || tries >= times + 40);
    let tries =
        FailPoint::ALL.into_iter().flat_map(|point| (0..times + 40).map(move |number| (point, number)));
    for (point, number) in tries {
        if enough(number, deaths[&point]) {
            continue;
        }
        run += 1;
        let pipeline = random.random_range(0..PIPELINES.len());
        // Only one file is made of parts.
        let how = if point >= FailPoint::WholeJoined || run.is_multiple_of(2) { "file" } else { "folder" };
        let own = folder.path().join(format!("point-{run}"));
        fs::create_dir(&own).unwrap();
        // Every place is passed once; some are passed no second time.
        let time = if number == 0 || number >= times { 1 } else { random.random_range(1..4) };
        let mut dies = Some(format!("{point:?}@{time}"));
        loop {
            let order = format!("{pipeline}|{}|{how}|{}", random.random_range(1..5), own.display());
            let mut process = Command::new(std::env::current_exe().unwrap());
            process.args(["--exact", "checkpoints::what_is_killed_goes_on", "--nocapture"]).env(CHILD, order);
            process.env(PAUSE_US, pause_us(number).to_string());
            if let Some(dies) = dies.take() {
                process.env(FailPoint::VARIABLE, dies);
            }
            let output = process.stdout(Stdio::null()).output().unwrap();
            if output.status.success() {
                break;
            }
            // Ended by a signal it has no code.
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.code().is_none(), "{point:?}: the child failed by itself: {said}");
            *deaths.entry(point).or_default() += 1;
        }
        let name = PIPELINES[pipeline].0;
        assert_whole(&wanted[pipeline], &output(&own), &format!("{name}, {point:?} for the {time}. time"));
        fs::remove_dir_all(&own).unwrap();
    }
    let never: Vec<_> = deaths.iter().filter(|(_, deaths)| **deaths == 0).map(|(point, _)| point).collect();
    assert!(never.is_empty(), "nothing ever died at {never:?}");
    println!(
        "{} deaths at {} places: 0 lost, 0 duplicate, 0 wrong",
        deaths.values().sum::<u64>(),
        deaths.len()
    );
}

/// The comparison finds what a job does that shows its rows at once.
#[test]
fn rows_that_are_shown_at_once_are_caught() {
    let (mut random, mut within) = (ChaCha8Rng::seed_from_u64(1), Within::new());
    let folder = tempfile::tempdir().unwrap();
    input(folder.path(), 1);
    let wanted = undisturbed(PIPELINES[0].1, folder.path());
    let lines = |folder: &Path| fs::read_to_string(folder.join("out.csv")).unwrap().lines().count();
    // Without a header, and in the words of another writer.
    let wanted = wanted.lines().count() - 1;
    let own = folder.path().join("undisturbed");
    fs::create_dir(&own).unwrap();
    assert_eq!((run(0, How::ByItself, &own, (&mut random, &mut within), 0).kills, lines(&own)), (0, wanted));
    let mut caught = false;
    for attempt in 0..20 {
        let own = folder.path().join(format!("run-{attempt}"));
        fs::create_dir(&own).unwrap();
        let kills = run(0, How::ByItself, &own, (&mut random, &mut within), 6).kills;
        caught |= kills > 0 && lines(&own) != wanted;
        if caught {
            break;
        }
    }
    assert!(caught, "killed again and again, it never showed a row twice");
}
