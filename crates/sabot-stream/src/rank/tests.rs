//! A stepped ranking held against the reference, with state moved between tasks on the way.

use super::*;
use arrow::array::{
    ArrayRef, AsArray, Float64Array, Int32Array, Int64Array, StringArray, UInt32Array, UInt64Array,
};
use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, UInt64Type};
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sabot_batch::key_hash::KeyHasher;
use sabot_ops::{RankSpec, SortKey, reference};
use sabot_plan::{KeyedStage, RankResult};

use crate::cut_checks::{Checked, CutCheck};
use crate::keyed_operator;
use std::sync::Arc;

const SEED: u64 = 42;

fn rows_schema() -> SchemaRef {
    let hidden = [hidden::TIME, hidden::LATE, hidden::PARTITION, hidden::ROW];
    let mut fields = vec![
        Field::new("k", DataType::Utf8, true),
        Field::new("x", DataType::Float64, true),
        Field::new("n", DataType::Int32, true),
    ];
    fields.extend(hidden.iter().map(|name| hidden::field(name).unwrap()));
    Arc::new(Schema::new(fields))
}

fn stage(spec: RankSpec, windowed: bool, result: RankResult) -> (RankStage, SchemaRef) {
    let rows = rows_schema();
    let mut output: Vec<Field> = rows.fields()[..3].iter().map(|f| f.as_ref().clone()).collect();
    output.push(Field::new("rank", DataType::Int64, false));
    let hidden: &[&str] = match result {
        RankResult::AsBefore => &[hidden::TIME, hidden::LATE, hidden::PARTITION, hidden::ROW],
        RankResult::Ranked if windowed => {
            &[hidden::TIME, hidden::LATE, hidden::PARTITION, hidden::ROW, hidden::KEY]
        }
        RankResult::Sorted | RankResult::Ranked => &[hidden::PARTITION, hidden::ROW, hidden::KEY],
    };
    output.extend(hidden.iter().map(|name| hidden::field(name).unwrap()));
    let stage = RankStage {
        rows,
        spec,
        windowed,
        as_it_goes: false,
        feeders: Vec::new(),
        kept: 3,
        numbered: true,
        result,
        hash_seed: SEED,
        ordinal: 5,
    };
    (stage, Arc::new(Schema::new(output)))
}

/// Rows of four windows in random order, with few distinct values.
fn rows(rng: &mut ChaCha8Rng, count: usize) -> RecordBatch {
    let texts = ["", "a", "b", "Zürich"];
    let floats = [0.0, -0.0, f64::NAN, 1.5, f64::NEG_INFINITY];
    let mut numbers: Vec<u64> = (0..count as u64).collect();
    numbers.shuffle(rng);
    let k: StringArray =
        (0..count).map(|_| rng.random_ratio(5, 6).then(|| *texts.choose(rng).unwrap())).collect();
    let x: Float64Array =
        (0..count).map(|_| rng.random_ratio(5, 6).then(|| *floats.choose(rng).unwrap())).collect();
    let n: Int32Array = (0..count).map(|_| rng.random_ratio(5, 6).then(|| rng.random_range(-2..3))).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(k),
        Arc::new(x),
        Arc::new(n),
        Arc::new(Int64Array::from_iter_values((0..count).map(|_| rng.random_range(1..5) * 10 - 1))),
        hidden::all_on_time(count),
        Arc::new(UInt32Array::from_iter_values((0..count).map(|_| rng.random_range(0..2)))),
        Arc::new(UInt64Array::from(numbers)),
    ];
    RecordBatch::try_new(rows_schema(), columns).unwrap()
}

fn spec(rng: &mut ChaCha8Rng) -> RankSpec {
    let order = (0..rng.random_range(0..3)).map(|_| SortKey {
        column: rng.random_range(0..3),
        descending: rng.random(),
        nulls_first: rng.random(),
    });
    let order = order.collect();
    RankSpec {
        groups: (0..rng.random_range(0..3)).map(|_| rng.random_range(0..3)).collect(),
        order,
        backwards: rng.random(),
        skip: rng.random_range(0..3),
        fetch: rng.random_ratio(3, 4).then(|| rng.random_range(0..6)),
    }
}

/// The rows of one event time.
fn at(rows: &RecordBatch, time: i64) -> RecordBatch {
    let times = hidden::times(rows).unwrap();
    let mask = times.values().iter().map(|t| Some(*t == time)).collect();
    filter_record_batch(rows, &mask).unwrap()
}

/// The user's columns with the number, one text a row.
fn lines(batch: &RecordBatch) -> Vec<String> {
    let show = |c: &ArrayRef, row| arrow::util::display::array_value_to_string(c, row).unwrap();
    (0..batch.num_rows())
        .map(|row| batch.columns()[..4].iter().map(|c| show(c, row)).collect::<Vec<_>>().join("|"))
        .collect()
}

fn expected(spec: &RankSpec, rows: &RecordBatch) -> Vec<String> {
    let kept = reference::rank(spec, rows).unwrap();
    let indices = UInt64Array::from_iter_values(kept.iter().map(|r| r.row as u64));
    let picked = take_record_batch(rows, &indices).unwrap();
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(kept.iter().map(|r| r.number as i64 + 1)));
    let columns = picked.columns()[..3].iter().cloned().chain([numbers]);
    let (stage, schema) = stage(spec.clone(), false, RankResult::AsBefore);
    let schema = Arc::new(schema.project(&[0, 1, 2, 3]).unwrap());
    assert!(stage.numbered);
    lines(&RecordBatch::try_new(schema, columns.collect()).unwrap())
}

/// Tasks that share the key groups, as the exchange in front of them would feed them.
struct Tasks {
    tasks: Vec<Box<dyn KeyedOperator>>,
    groups: KeyGroups,
    spec: RankSpec,
    out: Vec<Vec<RecordBatch>>,
    morsel: usize,
}

impl Tasks {
    fn new(stage: &RankStage, output: &SchemaRef, count: usize, morsel: usize) -> Self {
        let groups = KeyGroups::new(16).unwrap();
        let planned = KeyedStage::Rank(stage.clone());
        let task = |i| keyed_operator(&planned, output, groups, groups.range_of_task(i, count)).unwrap();
        let (tasks, out) = ((0..count).map(task).collect(), vec![Vec::new(); count]);
        Self { tasks, groups, spec: stage.spec.clone(), out, morsel }
    }

    fn push(&mut self, rows: &RecordBatch) {
        let mut hashes = Vec::new();
        KeyHasher::new(SEED).hash_batch_columns(rows, &self.spec.groups, &mut hashes).unwrap();
        let count = self.tasks.len();
        for (i, task) in self.tasks.iter_mut().enumerate() {
            let mine = |hash: &u64| match self.spec.groups.is_empty() {
                true => i == 0,
                false => self.groups.task_of_group(self.groups.group_of(*hash), count) == i,
            };
            let mask = hashes.iter().map(|hash| Some(mine(hash))).collect();
            task.on_morsel(0, Morsel::new(filter_record_batch(rows, &mask).unwrap())).unwrap();
        }
    }

    fn watermark(&mut self, time: EventTime) {
        for task in &mut self.tasks {
            task.on_watermark(time).unwrap();
            if time == EventTime::MAX {
                task.on_end(true).unwrap();
            }
        }
        self.take();
    }

    fn take(&mut self) {
        for (task, out) in self.tasks.iter_mut().zip(&mut self.out) {
            while let Some(morsel) = task.next_output(self.morsel) {
                let batch = morsel.unwrap().into_dense_host().unwrap();
                assert!(batch.num_rows() <= self.morsel);
                out.push(batch);
            }
        }
    }

    /// The same state in other tasks.
    fn moved(self, stage: &RankStage, output: &SchemaRef, count: usize) -> Self {
        let mut snapshots = Vec::new();
        for (i, task) in self.tasks.iter().enumerate() {
            snapshots.extend(task.snapshot(self.groups.range_of_task(i, self.tasks.len())).unwrap());
        }
        let mut moved = Tasks::new(stage, output, count, self.morsel);
        moved.tasks.iter_mut().for_each(|task| task.restore(&snapshots).unwrap());
        // What has left is not state.
        moved.out[0].extend(self.out.into_iter().flatten());
        moved
    }

    fn results(&self, output: &SchemaRef) -> RecordBatch {
        concat_batches(output, self.out.iter().flatten()).unwrap()
    }
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

/// Random rankings of windows, in random cuts, with a snapshot and restore at another parallelism.
#[test]
fn windows_are_ranked_as_in_the_reference() {
    for seed in 0..150 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let spec = spec(&mut rng);
        let (stage, output) = stage(spec.clone(), true, RankResult::Ranked);
        let all = {
            let count = rng.random_range(0..120);
            rows(&mut rng, count)
        };
        let several = if spec.groups.is_empty() { 1 } else { 3 };
        let morsel = rng.random_range(1..9);
        let mut tasks = Tasks::new(&stage, &output, several, morsel);
        let mut wanted = Vec::new();
        for time in [9, 19, 29, 39] {
            let window = at(&all, time);
            let mut next = 0;
            while next < window.num_rows() {
                let len = rng.random_range(1..=window.num_rows() - next);
                tasks.push(&window.slice(next, len));
                next += len;
            }
            if time == 19 {
                // Rows of a later window are in the state that moves.
                tasks.push(&at(&all, 29));
                tasks = tasks.moved(&stage, &output, if several == 1 { 1 } else { 5 });
            }
            tasks.watermark(EventTime(time - 1));
            tasks.watermark(EventTime(time));
            let mut rows = window;
            if time == 29 {
                rows = concat_batches(&rows_schema(), [&rows, &rows]).unwrap();
            }
            wanted.extend(expected(&spec, &rows));
        }
        tasks.watermark(EventTime::MAX);
        assert_eq!(sorted(lines(&tasks.results(&output))), sorted(wanted), "seed {seed}: {spec}");
    }
}

/// Enough rows that those which are not wanted are let go on the way.
#[test]
fn what_cannot_be_wanted_is_let_go() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for groups in [vec![], vec![0]] {
        let spec = RankSpec {
            groups: groups.clone(),
            order: vec![SortKey::descending(1)],
            skip: 2,
            fetch: Some(5),
            ..RankSpec::default()
        };
        let (stage, output) = stage(spec.clone(), false, RankResult::AsBefore);
        let all = rows(&mut rng, 30_000);
        let mut tasks = Tasks::new(&stage, &output, 1, 100);
        let mut most = 0;
        for start in (0..30_000).step_by(100) {
            tasks.push(&all.slice(start, 100));
            most = most.max(tasks.tasks[0].state_bytes());
        }
        assert!(most < Morsel::new(all.clone()).bytes() / 2, "{most} bytes were held");
        tasks.watermark(EventTime::MAX);
        assert_eq!(lines(&tasks.results(&output)), expected_fast(&spec, &all));
    }
}

/// The reference is quadratic; for many rows the groups are few and the wanted fewer.
fn expected_fast(spec: &RankSpec, all: &RecordBatch) -> Vec<String> {
    let order = RankOrder::new(spec, all.schema_ref()).unwrap();
    let keys = order.encode(all).unwrap();
    let ranked = order.rank(&[&keys], false);
    let rows: Vec<RecordBatch> = ranked.iter().map(|r| all.slice(r.row as usize, 1)).collect();
    let numbers: ArrayRef =
        Arc::new(Int64Array::from_iter_values(ranked.iter().map(|r| r.number as i64 + 1)));
    let picked = concat_batches(all.schema_ref(), &rows).unwrap();
    let columns: Vec<ArrayRef> = picked.columns()[..3].iter().cloned().chain([numbers]).collect();
    let (_, schema) = stage(spec.clone(), false, RankResult::AsBefore);
    lines(&RecordBatch::try_new(Arc::new(schema.project(&[0, 1, 2, 3]).unwrap()), columns).unwrap())
}

#[test]
fn sorted_rows_are_numbered_anew() {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let spec = RankSpec { order: vec![SortKey::ascending(2)], ..RankSpec::default() };
    let (stage, output) = stage(spec.clone(), false, RankResult::Sorted);
    let all = rows(&mut rng, 40);
    let mut tasks = Tasks::new(&stage, &output, 1, 7);
    tasks.push(&all);
    assert_eq!(tasks.tasks[0].on_watermark(EventTime(100)).unwrap(), EventTime::MIN, "rows are still here");
    tasks.take();
    assert!(tasks.out[0].is_empty());
    tasks.watermark(EventTime::MAX);
    let got = tasks.results(&output);
    assert_eq!(lines(&got), expected(&spec, &all));
    let numbers = got.column_by_name(hidden::ROW).unwrap().as_primitive::<UInt64Type>().values().to_vec();
    assert_eq!(numbers, (0..40).collect::<Vec<u64>>());
    assert!(hidden::partitions(&got).unwrap().values().iter().all(|p| *p == 5 << 20));
}

#[test]
fn results_of_windows_stand_in_the_order_of_time_group_and_number() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let spec = RankSpec {
        groups: vec![0],
        order: vec![SortKey::descending(2)],
        fetch: Some(2),
        ..RankSpec::default()
    };
    let (stage, output) = stage(spec, true, RankResult::Ranked);
    let mut tasks = Tasks::new(&stage, &output, 1, 3);
    tasks.push(&rows(&mut rng, 80));
    tasks.watermark(EventTime::MAX);
    let got = tasks.results(&output);
    let (times, keys) = (hidden::times(&got).unwrap(), hidden::keys(&got).unwrap());
    let places: Vec<(i64, &[u8])> = (0..got.num_rows()).map(|i| (times.value(i), keys.value(i))).collect();
    assert!(places.windows(2).all(|pair| pair[0] < pair[1]), "{places:?}");
    let ranks = got.column(3).as_primitive::<Int64Type>().values();
    assert!(ranks.contains(&1) && ranks.contains(&2) && !ranks.contains(&3));
}

#[test]
fn rows_behind_the_watermark_are_counted_and_not_ranked() {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let spec = RankSpec { order: vec![SortKey::ascending(2)], ..RankSpec::default() };
    let (stage, output) = stage(spec, true, RankResult::Ranked);
    let mut tasks = Tasks::new(&stage, &output, 1, 100);
    let all = rows(&mut rng, 60);
    tasks.watermark(EventTime(19));
    tasks.push(&all);
    let late = at(&all, 9).num_rows() + at(&all, 19).num_rows();
    assert_eq!(tasks.tasks[0].late_rows(), late as u64);
    tasks.watermark(EventTime::MAX);
    assert_eq!(tasks.results(&output).num_rows(), 60 - late);
}

#[test]
fn what_does_not_belong_here_is_refused() {
    let spec = RankSpec { order: vec![SortKey::ascending(2)], ..RankSpec::default() };
    let (stage, output) = stage(spec, false, RankResult::Sorted);
    let groups = KeyGroups::new(16).unwrap();
    let new = || KeyedRank::new(&stage, &output, groups, groups.all()).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let some = rows(&mut rng, 3);

    let mut operator = new();
    let wrong = operator.on_morsel(0, Morsel::new(some.project(&[0, 1]).unwrap())).unwrap_err();
    assert!(wrong.to_string().contains("was planned"), "{wrong}");
    operator.on_morsel(0, Morsel::new(some.clone())).unwrap();
    let elsewhere = operator.snapshot(groups.all()).unwrap();
    operator.on_end(false).unwrap();
    assert!(operator.next_output(10).is_none(), "a suspended input fires nothing");
    assert!(operator.on_morsel(0, Morsel::new(some.clone())).is_err());

    let mut other = new();
    let foreign = elsewhere[0].project(&[0, 1, 2]).unwrap();
    assert!(other.restore(&[foreign]).unwrap_err().to_string().contains("another operator"));
    let mut later = new();
    later.on_watermark(EventTime(3)).unwrap();
    let later = later.snapshot(groups.all()).unwrap();
    let mixed = [elsewhere[0].clone(), later[0].clone()];
    assert!(matches!(new().restore(&mixed).unwrap_err(), OperatorError::Epochs { .. }));

    let (_, windows) = self::stage(RankSpec::default(), true, RankResult::Ranked);
    assert!(
        KeyedRank::new(&stage, &windows, groups, groups.all())
            .unwrap_err()
            .to_string()
            .contains("cannot give")
    );
}

/// Rows that leave as they go are those that would be kept at the end, in any cut, moved between tasks on
/// the way; and they do leave.
#[test]
fn rows_leave_as_the_watermark_passes_them() {
    let mut left_early = 0;
    for seed in 0..150 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let spec = RankSpec { order: Vec::new(), backwards: false, ..spec(&mut rng) };
        let (stage, output) = stage(spec.clone(), false, RankResult::AsBefore);
        let stage = RankStage { as_it_goes: true, ..stage };
        let count = rng.random_range(0..120);
        let all = rows(&mut rng, count);
        let several = if spec.groups.is_empty() { 1 } else { 3 };
        let mut tasks = Tasks::new(&stage, &output, several, rng.random_range(1..9));
        for time in [9, 19, 29, 39] {
            let window = at(&all, time);
            let mut next = 0;
            while next < window.num_rows() {
                let len = rng.random_range(1..=window.num_rows() - next);
                tasks.push(&window.slice(next, len));
                next += len;
            }
            if rng.random() {
                tasks = tasks.moved(&stage, &output, if several == 1 { 1 } else { rng.random_range(1..6) });
            }
            tasks.watermark(EventTime(time - 1));
            tasks.watermark(EventTime(time));
            left_early += tasks.out.iter().flatten().count();
        }
        tasks.watermark(EventTime::MAX);
        let got = sorted(lines(&tasks.results(&output)));
        assert_eq!(got, sorted(expected(&spec, &all)), "seed {seed}: {spec}");
    }
    assert!(left_early > 0);
}

/// Where the watermark does not come, no more rows are held than could be wanted.
#[test]
fn rows_with_enough_before_them_do_not_wait() {
    for groups in [vec![], vec![0, 1]] {
        let spec = RankSpec { groups, skip: 1, fetch: Some(3), ..RankSpec::default() };
        let (stage, output) = stage(spec.clone(), false, RankResult::AsBefore);
        let stage = RankStage { as_it_goes: true, ..stage };
        let all = rows(&mut ChaCha8Rng::seed_from_u64(11), 30_000);
        let mut tasks = Tasks::new(&stage, &output, 1, 100);
        let mut most = 0;
        for start in (0..30_000).step_by(100) {
            tasks.push(&all.slice(start, 100));
            most = most.max(tasks.tasks[0].state_bytes());
        }
        assert!(most < Morsel::new(all.clone()).bytes() / 2, "{most} bytes were held");
        tasks.watermark(EventTime::MAX);
        assert_eq!(sorted(lines(&tasks.results(&output))), sorted(expected(&spec, &all)), "{spec}");
    }
}

/// Random rows, with cuts between them.
fn cuts(seed: u64, loses_oldest: bool) -> Checked {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (spec, windowed) = (spec(&mut rng), rng.random());
    let (stage, output) = stage(spec, windowed, RankResult::AsBefore);
    let all = rows(&mut rng, 400);
    let mut tasks = Tasks::new(&stage, &output, 1, 50);
    let mut check = CutCheck::new(loses_oldest);
    for time in [9, 19, 29, 39] {
        let rows = at(&all, time);
        let mut next = 0;
        while next < rows.num_rows() {
            let len = rng.random_range(1..=(rows.num_rows() - next).min(12));
            tasks.push(&rows.slice(next, len));
            next += len;
            let owned = tasks.groups.all();
            let planned = KeyedStage::Rank(stage.clone());
            let fresh = || keyed_operator(&planned, &output, tasks.groups, owned).unwrap();
            check.step(&mut rng, tasks.tasks[0].as_mut(), owned, fresh);
        }
        // The window before leaves.
        tasks.watermark(EventTime(time - 10));
    }
    check.checked
}

#[test]
fn cuts_have_what_snapshots_have() {
    crate::cut_checks::hold(100, 8, cuts);
}

/// As `cuts`, of rows that leave as they go.
fn cuts_of_first(seed: u64, loses_oldest: bool) -> Checked {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let groups = if rng.random() { vec![0] } else { vec![0, 2] };
    let spec = RankSpec { groups, fetch: Some(rng.random_range(1..4)), ..RankSpec::default() };
    let (mut stage, output) = stage(spec, false, RankResult::AsBefore);
    stage.as_it_goes = true;
    let mut tasks = Tasks::new(&stage, &output, 1, 50);
    let (mut check, owned) = (CutCheck::new(loses_oldest), tasks.groups.all());
    let (planned, key_groups) = (KeyedStage::Rank(stage.clone()), tasks.groups);
    let fresh = || keyed_operator(&planned, &output, key_groups, owned).unwrap();
    for step in 0..90 {
        let count = rng.random_range(0..12);
        let batch = rows(&mut rng, count);
        // Four times in each step, and a watermark among them.
        let times = hidden::times(&batch).unwrap().values().iter().map(|time| step * 20 + time);
        let mut columns = batch.columns().to_vec();
        columns[3] = Arc::new(Int64Array::from_iter_values(times));
        let batch = RecordBatch::try_new(batch.schema(), columns).unwrap();
        tasks.push(&batch);
        tasks.watermark(EventTime(step * 20 - 5));
        check.step(&mut rng, tasks.tasks[0].as_mut(), owned, fresh);
    }
    check.checked
}

#[test]
fn cuts_of_rows_that_leave_as_they_go_have_what_snapshots_have() {
    crate::cut_checks::hold(100, 3, cuts_of_first);
}
