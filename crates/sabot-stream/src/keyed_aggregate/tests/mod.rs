//! The operator against a map, under any cut of the rows, any place of watermarks, any number of tasks,
//! and a change of that number in the middle.

mod counts;
mod cuts;
mod model;

use super::*;
use arrow::array::{
    Array, ArrayRef, BinaryArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
    UInt32Array, UInt64Array,
};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, Float64Type, Schema, TimeUnit, TimestampMicrosecondType};
use model::{Event, Fault, Key, Result1, Row, Shape, expected, random_events, random_shape, tumbling};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sabot_batch::key_hash::KeyHasher;
use sabot_batch::{RowKinds, hidden};
use sabot_common::Span;
use sabot_ops::{AggregateFunction, AggregateSpec, GroupByMode};
use sabot_plan::KeyedWindow;
use sabot_time::{CountWindow, HoppingWindow, SessionWindow};
use std::sync::Arc;

const SEED: u64 = 99;
const SIZE: i64 = 10;
const ORDINAL: u32 = 3;

fn raw_schema(shape: Shape) -> SchemaRef {
    let mut fields = vec![
        Field::new("name", DataType::Utf8, true),
        Field::new("level", DataType::Float64, true),
        Field::new("value", DataType::Int64, true),
    ];
    if shape.windows.is_some() {
        fields.push(Field::new(hidden::WINDOW, DataType::Int64, false));
    }
    Arc::new(Schema::new(fields))
}

fn stage(shape: Shape) -> (AggregateStage, SchemaRef) {
    let raw = raw_schema(shape);
    let of_value = |function, name: &str| AggregateSpec::new(function, [(2, DataType::Int64)], name);
    let first = usize::from(shape.windows.is_some());
    let partial = GroupBySpec {
        keys: (0..first).map(|_| 3).chain(0..shape.keys).collect(),
        hashed: (first..first + shape.keys).collect(),
        seed: SEED,
        aggregates: vec![
            AggregateSpec::count("rows"),
            of_value(AggregateFunction::Sum, "sum"),
            of_value(AggregateFunction::Max, "largest"),
        ],
        mode: GroupByMode::Partial,
    };
    let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut fields = Vec::new();
    if shape.windows.is_some() {
        fields.push(Field::new("window_start", instant.clone(), false));
        fields.push(Field::new("window_end", instant, false));
    }
    fields.extend(raw.fields()[..shape.keys].iter().map(|f| f.as_ref().clone()));
    fields.extend(partial.aggregates.iter().map(|a| a.result_field().unwrap()));
    let hidden_columns = [hidden::TIME, hidden::LATE, hidden::PARTITION, hidden::ROW, hidden::KEY];
    let hidden_columns = hidden_columns.iter().filter(|n| shape.windows.is_some() || **n != hidden::TIME);
    fields.extend(hidden_columns.map(|n| hidden::field(n).unwrap()));
    let late: Vec<usize> = if shape.raw { vec![2, 0] } else { vec![] };
    let keyed = AggregateStage {
        window: shape.windows.map(|window| KeyedWindow { window, allowed_lateness: Span(shape.lateness) }),
        partial_schema: partial.partial_schema(&raw).unwrap(),
        partial,
        input: if shape.raw { KeyedInput::Raw } else { KeyedInput::Partial },
        ordinal: ORDINAL,
        late: shape.raw.then(|| Arc::new(raw.project(&late).unwrap())),
        late_columns: late,
        window_start: shape.windows.is_some().then(|| "window_start".to_owned()),
        window_end: shape.windows.is_some().then(|| "window_end".to_owned()),
        time_zone: Some("UTC".into()),
    };
    (keyed, Arc::new(Schema::new(fields)))
}

fn batch_of(rows: &[Row], shape: Shape) -> RecordBatch {
    let rows: Vec<&Row> = rows.iter().filter(|row| shape.holds(row.time)).collect();
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|r| r.key.0.as_deref()).collect::<StringArray>()),
        Arc::new(rows.iter().map(|r| r.key.1).collect::<Float64Array>()),
        Arc::new(rows.iter().map(|r| r.value).collect::<Int64Array>()),
    ];
    if let Some(windows) = shape.windows {
        let starts = rows.iter().map(|r| windows.slice_of(EventTime(r.time)).start.micros());
        columns.push(Arc::new(Int64Array::from_iter_values(starts)));
    }
    RecordBatch::try_new(raw_schema(shape), columns).unwrap()
}

/// The tasks of a stage with an exchange in front.
struct Tasks {
    shape: Shape,
    groups: KeyGroups,
    tasks: Vec<KeyedAggregate>,
    late_rows: u64,
    max_rows: usize,
    results: Vec<RecordBatch>,
}

impl Tasks {
    fn new(shape: Shape, parallelism: usize, max_rows: usize) -> Self {
        let groups = KeyGroups::new(8).unwrap();
        let mut this = Self { shape, groups, tasks: Vec::new(), late_rows: 0, max_rows, results: Vec::new() };
        this.start(parallelism);
        this
    }

    fn start(&mut self, parallelism: usize) {
        let (stage, output) = stage(self.shape);
        self.late_rows += self.tasks.iter().map(KeyedAggregate::late_rows).sum::<u64>();
        let range = |task| self.groups.range_of_task(task, parallelism);
        let task = |task| KeyedAggregate::new(&stage, &output, self.groups, range(task)).unwrap();
        self.tasks = (0..parallelism).map(task).collect();
    }

    fn rows(&mut self, rows: &[Row]) {
        let batch = batch_of(rows, self.shape);
        let batch = match self.shape.raw {
            true => batch,
            false => {
                GroupByStep::new(&stage(self.shape).0.partial, &batch.schema()).unwrap().run(&batch).unwrap()
            }
        };
        let first = if self.shape.raw { 0 } else { usize::from(self.shape.windows.is_some()) };
        let mut hashes = Vec::new();
        let columns: Vec<usize> = (first..first + self.shape.keys).collect();
        KeyHasher::new(SEED).hash_batch_columns(&batch, &columns, &mut hashes).unwrap();
        let parallelism = self.tasks.len();
        for task in 0..parallelism {
            let mine = |row: &u32| match self.shape.keys {
                0 => task == 0,
                _ => {
                    self.groups.task_of_group(self.groups.group_of(hashes[*row as usize]), parallelism)
                        == task
                }
            };
            let rows: UInt32Array = (0..batch.num_rows() as u32).filter(mine).collect();
            self.tasks[task].on_morsel(Morsel::new(take_record_batch(&batch, &rows).unwrap())).unwrap();
            for late in self.tasks[task].take_late() {
                assert_eq!(late.schema(), stage(self.shape).0.late.unwrap());
            }
        }
    }

    fn watermark(&mut self, watermark: i64) {
        for task in &mut self.tasks {
            let lateness = Span(if self.shape.windows.is_some() { self.shape.lateness } else { 0 });
            let expected = task.watermark().max(EventTime(watermark)).minus(lateness);
            assert_eq!(task.on_watermark(EventTime(watermark)).unwrap(), expected);
        }
        self.collect();
    }

    fn end(&mut self, drain: bool) {
        self.tasks.iter_mut().for_each(|t| t.on_end(drain).unwrap());
        self.collect();
    }

    fn rescale(&mut self, parallelism: usize, fault: Fault) {
        let mut snapshots = Vec::new();
        for task in self.tasks.iter().skip(usize::from(fault == Fault::LoseSnapshot)) {
            // In two halves, as a checkpoint by ranges of groups would take them.
            for range in [0..3, 3..8] {
                snapshots.extend(task.snapshot(self.groups.range(range).unwrap()).unwrap());
            }
        }
        self.start(parallelism);
        self.tasks.iter_mut().for_each(|t| t.restore(&snapshots).unwrap());
    }

    /// Takes all output and merges what the tasks gave by (end, key), as an ordered sink would.
    fn collect(&mut self) {
        let mut parts = Vec::new();
        for task in &mut self.tasks {
            while let Some(morsel) = task.next_output(self.max_rows) {
                let morsel = morsel.unwrap();
                assert!(morsel.rows() > 0 && morsel.rows() <= self.max_rows);
                parts.push(morsel.into_dense_host().unwrap());
            }
            assert!(task.next_output(1).is_none());
        }
        let Some(first) = parts.first() else { return };
        let all = concat_batches(&first.schema(), &parts).unwrap();
        let place = |row: usize| {
            let time = hidden::times(&all).map_or(0, |t| t.value(row));
            (time, hidden::keys(&all).unwrap().value(row).to_vec())
        };
        if self.tasks.len() == 1 {
            assert!((1..all.num_rows()).all(|row| place(row - 1) < place(row)), "out of order");
        }
        let mut order: Vec<u32> = (0..all.num_rows() as u32).collect();
        order.sort_by_key(|row| place(*row as usize));
        self.results.push(take_record_batch(&all, &UInt32Array::from(order)).unwrap());
    }

    fn results(&self) -> Vec<Result1> {
        self.results.iter().flat_map(|batch| read(batch, self.shape)).collect()
    }
}

fn read(batch: &RecordBatch, shape: Shape) -> Vec<Result1> {
    let int = |name: &str| batch.column_by_name(name).unwrap().as_primitive::<Int64Type>().clone();
    let (rows, sum, largest) = (int("rows"), int("sum"), int("largest"));
    assert!(hidden::lateness(batch).unwrap().values().iter().all(|l| *l == 0));
    assert!(hidden::partitions(batch).unwrap().values().iter().all(|p| *p == ORDINAL << 20));
    (0..batch.num_rows())
        .map(|i| {
            let instant = |name: &str| {
                batch.column_by_name(name).map(|c| c.as_primitive::<TimestampMicrosecondType>().value(i))
            };
            let (start, end) = (instant("window_start"), instant("window_end"));
            if shape.windows.is_some() {
                assert_eq!(hidden::times(batch).unwrap().value(i), end.unwrap() - 1);
            }
            let window = end.zip(start).unwrap_or(model::WHOLE);
            let name =
                (shape.keys > 0).then(|| batch.column_by_name("name").unwrap().as_string::<i32>().clone());
            let level = (shape.keys > 1)
                .then(|| batch.column_by_name("level").unwrap().as_primitive::<Float64Type>().clone());
            let key = Key(
                name.filter(|c| c.is_valid(i)).map(|c| c.value(i).to_owned()),
                level.filter(|c| c.is_valid(i)).map(|c| c.value(i)),
            );
            let nullable = |c: &Int64Array| c.is_valid(i).then(|| c.value(i));
            Result1 { window, key, rows: rows.value(i), sum: nullable(&sum), largest: nullable(&largest) }
        })
        .collect()
}

/// Runs random events through random tasks; false when the outcome is not the expected one.
fn agrees(seed: u64, fault: Fault) -> bool {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let shape = random_shape(&mut rng);
    let events = random_events(&mut rng);
    let drain = rng.random_bool(0.7);
    let mut tasks = Tasks::new(shape, rng.random_range(1..4), [1, 3, 1000][rng.random_range(0..3)]);
    for event in &events {
        match event {
            Event::Rows(rows) => tasks.rows(rows),
            Event::Watermark(watermark) => tasks.watermark(*watermark),
            Event::Rescale(parallelism) => tasks.rescale(*parallelism, fault),
        }
    }
    tasks.end(drain);
    let late: u64 = tasks.late_rows + tasks.tasks.iter().map(KeyedAggregate::late_rows).sum::<u64>();
    let (expected, expected_late) = expected(&events, shape, drain, fault);
    // Partial state has fewer rows than there were, but none exactly when none was late.
    let same_late = if shape.raw { late == expected_late } else { (late == 0) == (expected_late == 0) };
    if fault == Fault::None {
        assert_eq!(tasks.results(), expected, "seed {seed}: {shape:?} {events:?}");
        assert!(same_late, "seed {seed}: {late} late rows, should be {expected_late}");
    }
    tasks.results() == expected && same_late
}

#[test]
fn any_history_gives_what_the_map_gives() {
    for seed in 0..400 {
        agrees(seed, Fault::None);
    }
}

#[test]
fn canaries_wrong_histories_are_noticed() {
    for fault in [Fault::MergeLate, Fault::LoseSnapshot, Fault::FireOnSuspend, Fault::OneWindow] {
        let noticed = (0..100).filter(|seed| !agrees(*seed, fault)).count();
        assert!(noticed > 5, "{fault:?} was noticed {noticed} times");
    }
}

fn plain() -> Shape {
    Shape { windows: Some(tumbling()), keys: 1, lateness: 0, raw: false }
}

fn operator(shape: Shape) -> KeyedAggregate {
    let (stage, output) = stage(shape);
    let groups = KeyGroups::new(8).unwrap();
    KeyedAggregate::new(&stage, &output, groups, groups.all()).unwrap()
}

fn row(time: i64, name: &str, value: i64) -> Row {
    Row { time, key: Key(Some(name.to_owned()), None), value: Some(value) }
}

#[test]
fn a_window_fires_at_the_last_instant_in_it() {
    let mut tasks = Tasks::new(plain(), 1, 100);
    tasks.rows(&[row(0, "a", 1), row(9, "a", 2), row(10, "a", 4)]);
    tasks.watermark(8);
    assert!(tasks.results().is_empty());
    tasks.watermark(9);
    assert_eq!(tasks.results().iter().map(|r| r.sum).collect::<Vec<_>>(), [Some(3)]);
    tasks.watermark(i64::MAX);
    assert_eq!(tasks.results().len(), 2);
}

#[test]
fn late_rows_are_handed_out_as_they_came() {
    let shape = Shape { raw: true, ..plain() };
    let mut operator = operator(shape);
    operator.on_watermark(EventTime(25)).unwrap();
    let rows = [row(3, "a", 1), row(21, "b", 2), row(19, "c", 3)];
    operator.on_morsel(Morsel::new(batch_of(&rows, shape))).unwrap();
    assert_eq!(operator.late_rows(), 2);
    assert!(matches!(operator.snapshot(KeyGroups::new(8).unwrap().all()), Err(OperatorError::Order { .. })));
    let late: Vec<_> = operator.take_late().into_iter().map(|m| m.into_dense_host().unwrap()).collect();
    assert_eq!(late[0].column(0).as_ref(), &Int64Array::from(vec![1, 3]));
    assert_eq!(late[0].column(1).as_ref(), &StringArray::from(vec!["a", "c"]));
    assert!(operator.take_late().is_empty());
}

#[test]
fn an_overflowing_sum_names_its_group() {
    let mut operator = operator(Shape { raw: true, ..plain() });
    let rows = [row(3, "ORD", i64::MAX), row(4, "ORD", 1), row(4, "SFO", 1)];
    operator.on_morsel(Morsel::new(batch_of(&rows, Shape { raw: true, ..plain() }))).unwrap();
    operator.on_watermark(EventTime(9)).unwrap();
    let error = operator.next_output(10).unwrap().unwrap_err();
    assert_eq!(
        error.to_string(),
        "sum(9223372036854775808) does not fit Int64 in \"sum\" of window 1970-01-01T00:00:00, name ORD"
    );
}

#[test]
fn what_does_not_belong_here_is_refused() {
    let (stage, output) = stage(plain());
    let groups = KeyGroups::new(8).unwrap();
    let mut half = KeyedAggregate::new(&stage, &output, groups, groups.range(0..1).unwrap()).unwrap();
    let rows: Vec<Row> = (0..64).map(|i| row(1, &i.to_string(), 1)).collect();
    let raw = batch_of(&rows, plain());
    let partial = GroupByStep::new(&stage.partial, &raw.schema()).unwrap().run(&raw).unwrap();
    let error = half.on_morsel(Morsel::new(partial.clone())).unwrap_err();
    assert!(matches!(error, OperatorError::NotOwned { .. }), "{error}");
    let error = half.on_morsel(Morsel::new(raw)).unwrap_err();
    assert!(matches!(error, OperatorError::Input { .. }), "{error}");
    let kinds = RowKinds::PerRow(vec![RowKind::Delete; partial.num_rows()].into());
    let error = half.on_morsel(Morsel::new(partial.clone()).with_kinds(kinds).unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "a -D came into an operator that takes inserts alone");
    half.on_end(false).unwrap();
    assert!(matches!(half.on_morsel(Morsel::new(partial)), Err(OperatorError::Order { .. })));
    assert!(half.on_watermark(EventTime(0)).is_err() && half.on_end(true).is_err());
}

#[test]
fn a_stage_that_does_not_fit_its_output_is_refused() {
    let groups = KeyGroups::new(8).unwrap();
    let (good, output) = stage(plain());
    let refused = |stage: &AggregateStage, output: &Schema| {
        KeyedAggregate::new(stage, &Arc::new(output.clone()), groups, groups.all()).unwrap_err().to_string()
    };
    let short = output.project(&[0, 1, 2]).unwrap();
    assert!(refused(&good, &short).contains("has no place for Aggregate(0)"));
    let swapped = output.project(&[0, 1, 3, 2]).unwrap();
    assert!(refused(&good, &swapped).contains("output column \"rows\" is Int64, not Utf8"));
    let global = AggregateStage { window: None, ..good.clone() };
    assert!(refused(&global, &output).contains("exactly when"));
    let unhashed =
        AggregateStage { partial: GroupBySpec { hashed: vec![0, 1], ..good.partial.clone() }, ..good };
    assert!(refused(&unhashed, &output).contains("hash"));
}

#[test]
fn snapshots_of_different_watermarks_do_not_mix() {
    let all = KeyGroups::new(8).unwrap().all();
    let (mut one, mut two) = (operator(plain()), operator(plain()));
    one.on_watermark(EventTime(5)).unwrap();
    two.on_watermark(EventTime(6)).unwrap();
    let mut both = one.snapshot(all).unwrap();
    both.extend(two.snapshot(all).unwrap());
    let error = operator(plain()).restore(&both).unwrap_err();
    assert!(matches!(error, OperatorError::Epochs { first: EventTime(5), other: EventTime(6) }), "{error}");
    let mut restored = operator(plain());
    restored.restore(&both[..1]).unwrap();
    assert_eq!(restored.watermark(), EventTime(5));
    assert!(restored.restore(&[RecordBatch::new_empty(Arc::new(Schema::empty()))]).is_err());
}

#[test]
fn memory_is_given_back_or_used_again() {
    let mut tasks = Tasks::new(plain(), 1, 1000);
    let mut peak = 0;
    for hour in 0..500 {
        let names: Vec<Row> = (0..50).map(|i| row(hour * SIZE, &format!("key {i}"), 1)).collect();
        tasks.rows(&names);
        tasks.watermark(hour * SIZE);
        let bytes = tasks.tasks[0].state_bytes();
        assert!(bytes > 0);
        if hour == 20 {
            peak = bytes;
        }
        assert!(hour <= 20 || bytes <= peak, "{bytes} bytes after window {hour}, {peak} before");
    }
    assert_eq!(tasks.results().len(), 499 * 50);
}

#[test]
fn keys_without_order_of_their_own_leave_the_key_column_empty() {
    let mut tasks = Tasks::new(Shape { keys: 0, ..plain() }, 1, 10);
    tasks.rows(&[row(1, "a", 1), row(2, "b", 2)]);
    tasks.watermark(100);
    let keys: &BinaryArray = hidden::keys(&tasks.results[0]).unwrap();
    assert_eq!(keys, &BinaryArray::from_vec(vec![b""]));
    let numbers: &UInt64Array = hidden::row_numbers(&tasks.results[0]).unwrap();
    assert_eq!(numbers, &UInt64Array::from(vec![0]));
    let start = tasks.results[0].column(0).as_primitive::<TimestampMicrosecondType>();
    assert_eq!(start, &TimestampMicrosecondArray::from(vec![0]).with_timezone("UTC"));
}

fn hopping(size: i64, slide: i64) -> Shape {
    let windows = HoppingWindow::new(Span(size), Span(slide), Span::ZERO).unwrap();
    Shape { windows: Some(windows.into()), ..plain() }
}

#[test]
fn a_row_counts_in_every_window_that_holds_it() {
    let mut tasks = Tasks::new(hopping(30, 10), 1, 100);
    tasks.rows(&[row(25, "a", 1), row(31, "b", 2)]);
    tasks.watermark(29);
    tasks.rows(&[row(33, "a", 4)]);
    tasks.watermark(i64::MAX);
    let found: Vec<_> =
        tasks.results().into_iter().map(|r| (r.window.1, r.key.0.unwrap(), r.sum.unwrap())).collect();
    let of = |start, key: &str, sum| (start, key.to_owned(), sum);
    assert_eq!(
        found,
        [
            of(0, "a", 1),
            of(10, "a", 5),
            of(10, "b", 2),
            of(20, "a", 5),
            of(20, "b", 2),
            of(30, "a", 4),
            of(30, "b", 2)
        ]
    );
}

#[test]
fn windows_between_distant_rows_are_skipped_and_not_walked_through() {
    let mut tasks = Tasks::new(hopping(3, 1), 1, 100);
    tasks.rows(&[row(0, "a", 1), row(i64::MAX / 2, "a", 2)]);
    tasks.watermark(i64::MAX);
    assert_eq!(tasks.results().len(), 6);
}

/// Rows that come for a window that has fired in part, as from a partition that was idle, count in what
/// has not: also in windows whose slices were put together before.
#[test]
fn rows_behind_the_watermark_count_in_the_windows_that_are_open() {
    let mut tasks = Tasks::new(hopping(30, 10), 1, 100);
    tasks.rows(&[row(5, "a", 1), row(15, "a", 2), row(25, "a", 4)]);
    tasks.watermark(29);
    tasks.rows(&[row(16, "a", 8), row(6, "a", 16)]);
    tasks.watermark(i64::MAX);
    let sums: Vec<_> = tasks.results().iter().map(|r| (r.window.1, r.sum.unwrap())).collect();
    assert_eq!(sums, [(-20, 1), (-10, 3), (0, 7), (10, 14), (20, 4)]);
    assert_eq!(tasks.tasks[0].late_rows(), 1);
}

#[test]
fn results_do_not_depend_on_how_many_fire_at_once() {
    let rows: Vec<Row> = (0..400).map(|i| row(i * 7 % 300, ["a", "b", "c"][i as usize % 3], i)).collect();
    let run = |watermarks: &[i64], max_rows| {
        let mut tasks = Tasks::new(hopping(60, 1), 2, max_rows);
        tasks.rows(&rows);
        watermarks.iter().for_each(|w| tasks.watermark(*w));
        tasks.watermark(i64::MAX);
        tasks.results()
    };
    let all = run(&[], 1000);
    assert!(all.len() > 1000, "{}", all.len());
    assert_eq!(run(&(0..300).collect::<Vec<_>>(), 1000), all);
    assert_eq!(run(&[17, 18, 130], 1), all);
}

fn session(gap: i64) -> Shape {
    Shape { windows: Some(SessionWindow::new(Span(gap)).unwrap().into()), ..plain() }
}

#[test]
fn a_row_between_two_sessions_joins_them() {
    let mut tasks = Tasks::new(session(10), 1, 100);
    tasks.rows(&[row(0, "a", 1), row(18, "a", 2), row(40, "a", 4), row(28, "b", 8)]);
    tasks.watermark(8);
    tasks.rows(&[row(9, "a", 16)]);
    tasks.watermark(48);
    // Ten apart is one too many.
    tasks.rows(&[row(50, "a", 32)]);
    tasks.watermark(i64::MAX);
    let found: Vec<_> =
        tasks.results().into_iter().map(|r| (r.window, r.key.0.unwrap(), r.sum.unwrap())).collect();
    let of = |start, end, key: &str, sum| ((end, start), key.to_owned(), sum);
    assert_eq!(found, [of(0, 28, "a", 19), of(28, 38, "b", 8), of(40, 50, "a", 4), of(50, 60, "a", 32)]);
}

#[test]
fn slots_of_fired_sessions_are_given_back() {
    let mut tasks = Tasks::new(session(10), 2, 1000);
    let mut peak = 0;
    for round in 0..60 {
        let rows: Vec<Row> = (0..500).map(|i| row(round * 20, &format!("key {round} {i}"), 1)).collect();
        tasks.rows(&rows);
        tasks.watermark(round * 20 + 15);
        let bytes: usize = tasks.tasks.iter().map(KeyedAggregate::state_bytes).sum();
        if round == 29 {
            peak = bytes;
        }
        assert!(round < 30 || bytes <= peak * 2, "{bytes} bytes after round {round}, {peak} before");
    }
    assert_eq!(tasks.results().len(), 60 * 500);
}
