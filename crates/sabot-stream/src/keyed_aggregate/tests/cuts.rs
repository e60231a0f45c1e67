//! Any history, broken off at any time and gone on with from the newest cut that is stored, gives what it gives without.

use super::*;
use crate::cut_checks::{self, CutCheck};
use crate::{CutPart, KeyedOperator};
use sabot_common::Epoch;
use sabot_state::Needed;
use std::collections::BTreeMap;

/// What a store has of a task.
#[derive(Clone, Default)]
struct Stored {
    cuts: BTreeMap<Epoch, Vec<RecordBatch>>,
    head: Vec<RecordBatch>,
}

/// What a task has given of a cut: rows, and the end with head and the epochs that are needed when it is there.
type Given = (Vec<RecordBatch>, Option<(Vec<RecordBatch>, Needed)>);

/// A cut under way.
struct Cutting {
    epoch: Epoch,
    /// The events before it, the results of these, and how many rows were late.
    at: (usize, usize, u64),
    tasks: Vec<Given>,
}

/// A cut from which can be gone on.
#[derive(Clone)]
struct Point {
    epoch: Epoch,
    at: (usize, usize, u64),
    tasks: Vec<Stored>,
}

/// What a test does wrong on purpose.
#[derive(Clone, Copy, PartialEq)]
enum Wrong {
    Nothing,
    /// The oldest cut that is needed is let go.
    LosesOldest,
    /// Cuts are restored from the oldest on.
    Backwards,
    /// An epoch that was given up counts as stored.
    StoresNone,
}

impl Tasks {
    fn late(&self) -> u64 {
        self.late_rows + self.tasks.iter().map(KeyedAggregate::late_rows).sum::<u64>()
    }

    fn begin_cut(&mut self, epoch: Epoch, stored: Option<Epoch>, event: usize) -> Cutting {
        let at = (event, self.results.len(), self.late());
        let cut = |task: &mut KeyedAggregate| {
            task.begin_cut(epoch, stored).unwrap();
            (Vec::new(), None)
        };
        Cutting { epoch, at, tasks: self.tasks.iter_mut().map(cut).collect() }
    }

    /// Gives a piece of each task's cut; whether all have ended.
    fn give(&mut self, cutting: &mut Cutting, rows: usize) -> bool {
        for (task, (given, end)) in self.tasks.iter_mut().zip(&mut cutting.tasks) {
            if end.is_some() {
                continue;
            }
            match task.next_of_cut(rows).unwrap() {
                CutPart::Rows(batches) => given.extend(batches),
                CutPart::End { head, needed } => *end = Some((head, needed)),
            }
        }
        cutting.tasks.iter().all(|(_, end)| end.is_some())
    }

    fn go_on(&mut self, point: &Point, parallelism: usize, wrong: Wrong) {
        self.start(parallelism);
        self.late_rows = point.at.2;
        self.results.truncate(point.at.1);
        let mut snapshots = Vec::new();
        for Stored { cuts, head } in &point.tasks {
            let mut rows: Vec<&RecordBatch> = match wrong {
                Wrong::Backwards => cuts.values().flatten().collect(),
                _ => cuts.values().rev().flatten().collect(),
            };
            if wrong == Wrong::LosesOldest && cuts.len() > 1 {
                rows.retain(|batch| {
                    !cuts.values().next().unwrap().iter().any(|old| std::ptr::eq(old, *batch))
                });
            }
            // The metadata of an epoch stand in its head.
            let schema = head[0].schema();
            snapshots.extend(rows.into_iter().map(|rows| rows.clone().with_schema(schema.clone()).unwrap()));
            snapshots.extend(head.iter().cloned());
        }
        self.tasks.iter_mut().for_each(|task| task.restore(&snapshots).unwrap());
    }
}

/// The next point, from the one before.
fn stored(before: Option<&Point>, cutting: Cutting) -> Point {
    let part = |(number, (rows, end)): (usize, Given)| {
        let (head, needed) = end.unwrap();
        let before = before.and_then(|point| point.tasks.get(number)).cloned().unwrap_or_default();
        let mut cuts = before.cuts;
        cuts.insert(cutting.epoch, rows);
        cuts.retain(|of, _| *of == cutting.epoch || needed.contains("", *of));
        Stored { cuts, head }
    };
    let tasks = cutting.tasks.into_iter().enumerate().map(part).collect();
    Point { epoch: cutting.epoch, at: cutting.at, tasks }
}

/// Whether random events with cuts and breaks among them give what they should; also how often it was gone on from cuts,
/// and of how many cuts at most.
fn survives(seed: u64, wrong: Wrong) -> (bool, usize, usize) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let shape = random_shape(&mut rng);
    let mut events = random_events(&mut rng);
    events.retain(|event| !matches!(event, Event::Rescale(_)));
    let drain = rng.random_bool(0.7);
    let mut tasks = Tasks::new(shape, rng.random_range(1..4), [1, 3, 1000][rng.random_range(0..3)]);
    let (mut next, mut epoch) = (0, Epoch(0));
    let (mut point, mut cutting): (Option<Point>, Option<Cutting>) = (None, None);
    let (mut breaks, mut deepest) = (0, 0);
    while next < events.len() {
        match rng.random_range(0..20) {
            0..8 => {
                match &events[next] {
                    Event::Rows(rows) => tasks.rows(rows),
                    Event::Watermark(watermark) => tasks.watermark(*watermark),
                    Event::Rescale(_) => {}
                }
                next += 1;
            }
            8..18 => {
                let Some(under_way) = &mut cutting else {
                    epoch = epoch.next();
                    // What this run has stored; another one's is not the operators'.
                    let newest = point.as_ref().map(|point| point.epoch);
                    cutting = Some(tasks.begin_cut(epoch, newest, next));
                    continue;
                };
                let all = tasks.give(under_way, rng.random_range(1..40));
                if all && let Some(ended) = cutting.take() {
                    match rng.random_range(0..5) {
                        0 if wrong == Wrong::StoresNone => {
                            let parts = point.as_mut().map(|point| &mut point.epoch);
                            parts.into_iter().for_each(|of| *of = ended.epoch);
                        }
                        0 => {}
                        _ => point = Some(stored(point.as_ref(), ended)),
                    }
                }
            }
            18 if rng.random_bool(0.3) => cutting = None, // given up
            _ => {
                if let Some(point) = point.as_ref().filter(|_| breaks < 6) {
                    breaks += 1;
                    deepest = point.tasks.iter().map(|task| task.cuts.len()).max().unwrap().max(deepest);
                    cutting = None;
                    tasks.go_on(point, rng.random_range(1..5), wrong);
                    next = point.at.0;
                }
            }
        }
    }
    tasks.end(drain);
    let (expected, expected_late) = expected(&events, shape, drain, Fault::None);
    let late = tasks.late();
    let same_late = if shape.raw { late == expected_late } else { (late == 0) == (expected_late == 0) };
    let same = tasks.results() == expected && same_late;
    assert!(same || wrong != Wrong::Nothing, "seed {seed}: {shape:?}");
    (same, breaks, deepest)
}

#[test]
fn any_history_is_gone_on_with_from_cuts() {
    let runs: Vec<_> = (0..200).map(|seed| survives(seed, Wrong::Nothing)).collect();
    let breaks: usize = runs.iter().map(|run| run.1).sum();
    let deep = runs.iter().filter(|run| run.2 > 2).count();
    assert!(breaks > 200 && deep > 15, "{breaks} breaks, {deep} of more than two cuts");
}

#[test]
fn canaries_wrong_cuts_are_noticed() {
    for wrong in [Wrong::LosesOldest, Wrong::Backwards, Wrong::StoresNone] {
        // A state that is missing may also be found to be wrong on the way.
        let fails = |seed| std::panic::catch_unwind(|| survives(seed, wrong).0).map_or(true, |same| !same);
        let noticed = (0..80).filter(|seed| fails(*seed)).count();
        assert!(noticed > 2, "{noticed} of 80 were noticed");
    }
}

/// Many sessions, of which most have fired, so that keys get other ids while cuts are given.
#[test]
fn sessions_are_cut_while_their_keys_move() {
    let (planned, output) = stage(session(20));
    cut_checks::hold(3, 2, |seed, loses_oldest| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut tasks = Tasks::new(session(20), 1, 1000);
        let (mut check, groups) = (CutCheck::new(loses_oldest), tasks.groups);
        let fresh = || -> Box<dyn KeyedOperator> {
            Box::new(KeyedAggregate::new(&planned, &output, groups, groups.all()).unwrap())
        };
        let (mut most, mut moved) = (0, false);
        for step in 0..90 {
            let mut some =
                || row(step * 10 + rng.random_range(0..10), &rng.random_range(0..3000).to_string(), 1);
            let rows: Vec<Row> = (0..100).map(|_| some()).collect();
            tasks.rows(&rows);
            check.step(&mut rng, &mut tasks.tasks[0], groups.all(), fresh);
            tasks.watermark(step * 10 - 15);
            check.step(&mut rng, &mut tasks.tasks[0], groups.all(), fresh);
            let keys = match &tasks.tasks[0].store {
                Store::Sessions(sessions) => sessions.keys.len(),
                _ => 0,
            };
            (most, moved) = (most.max(keys), moved || keys < most);
        }
        assert!(moved, "keys never moved");
        check.checked
    });
}
