//! Windows by count against a list, over any cut of the rows, any order in which they come, and a change
//! of the number of tasks.

use super::*;
use crate::KeyedOperator;
use crate::cut_checks::{self, CutCheck};

/// A row: time, number within its source, key, value.
#[derive(Clone, Debug)]
struct Counted {
    time: i64,
    number: u64,
    key: &'static str,
    value: i64,
}

fn schema() -> SchemaRef {
    let mut fields =
        vec![Field::new("name", DataType::Utf8, true), Field::new("value", DataType::Int64, true)];
    let carried = [hidden::WINDOW, hidden::PARTITION, hidden::ROW];
    fields.extend(carried.into_iter().map(|name| hidden::field(name).unwrap()));
    Arc::new(Schema::new(fields))
}

fn stage(size: u64, lateness: i64) -> (AggregateStage, SchemaRef) {
    let spec = |function, input: Option<usize>, name: &str| {
        AggregateSpec::new(function, input.map(|column| (column, DataType::Int64)), name)
    };
    let partial = GroupBySpec {
        keys: vec![2, 0],
        hashed: vec![1],
        seed: SEED,
        aggregates: vec![
            spec(AggregateFunction::Count, None, "rows"),
            spec(AggregateFunction::Sum, Some(1), "sum"),
        ],
        mode: GroupByMode::Partial,
    };
    let instant = DataType::Timestamp(TimeUnit::Microsecond, None);
    let mut fields = vec![
        Field::new("window_start", instant.clone(), false),
        Field::new("window_end", instant, false),
        Field::new("name", DataType::Utf8, true),
    ];
    fields.extend(partial.aggregates.iter().map(|a| a.result_field().unwrap()));
    let all = [hidden::TIME, hidden::LATE, hidden::PARTITION, hidden::ROW, hidden::KEY];
    fields.extend(all.into_iter().map(|name| hidden::field(name).unwrap()));
    let window = CountWindow::new(size).unwrap().into();
    let stage = AggregateStage {
        window: Some(KeyedWindow { window, allowed_lateness: Span(lateness) }),
        partial_schema: partial.partial_schema(&schema()).unwrap(),
        partial,
        input: KeyedInput::Raw,
        ordinal: ORDINAL,
        late: None,
        late_columns: Vec::new(),
        window_start: Some("window_start".to_owned()),
        window_end: Some("window_end".to_owned()),
        time_zone: None,
    };
    (stage, Arc::new(Schema::new(fields)))
}

fn batch(rows: &[Counted]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|r| r.key))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.value))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.time))),
        Arc::new(UInt32Array::from_iter_values(rows.iter().map(|r| (r.number % 2) as u32))),
        Arc::new(UInt64Array::from_iter_values(rows.iter().map(|r| r.number / 2))),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

/// Start, end, key, rows, sum.
type Found = (i64, i64, String, i64, i64);

struct Tasks {
    tasks: Vec<KeyedAggregate>,
    groups: KeyGroups,
    shape: (u64, i64),
    found: Vec<Found>,
}

impl Tasks {
    fn new(shape: (u64, i64), parallelism: usize) -> Self {
        let groups = KeyGroups::new(8).unwrap();
        let (stage, output) = stage(shape.0, shape.1);
        let task = |task| {
            let owned = groups.range_of_task(task, parallelism);
            KeyedAggregate::new(&stage, &output, groups, owned).unwrap()
        };
        Self { tasks: (0..parallelism).map(task).collect(), groups, shape, found: Vec::new() }
    }

    fn rows(&mut self, rows: &[Counted]) {
        let mut hashes = Vec::new();
        KeyHasher::new(SEED).hash_batch_columns(&batch(rows), &[0], &mut hashes).unwrap();
        let parallelism = self.tasks.len();
        for (number, task) in self.tasks.iter_mut().enumerate() {
            let target = |hash| self.groups.task_of_group(self.groups.group_of(hash), parallelism);
            let mine = rows.iter().zip(&hashes).filter(|(_, hash)| target(**hash) == number);
            let mine: Vec<Counted> = mine.map(|(row, _)| row.clone()).collect();
            task.on_morsel(Morsel::new(batch(&mine))).unwrap();
        }
    }

    fn collect(&mut self) {
        let mut found: Vec<Found> = Vec::new();
        for task in &mut self.tasks {
            while let Some(morsel) = task.next_output(3) {
                let batch = morsel.unwrap().into_dense_host().unwrap();
                let time = |i: usize| batch.column(i).as_primitive::<TimestampMicrosecondType>().clone();
                let int = |i: usize| batch.column(i).as_primitive::<Int64Type>().clone();
                let (start, end, rows, sum) = (time(0), time(1), int(3), int(4));
                let names = batch.column(2).as_string::<i32>();
                found.extend((0..batch.num_rows()).map(|i| {
                    (start.value(i), end.value(i), names.value(i).to_owned(), rows.value(i), sum.value(i))
                }));
            }
        }
        found.sort_by(|a, b| (a.1, &a.2).cmp(&(b.1, &b.2)));
        self.found.extend(found);
    }

    fn rescale(&mut self, parallelism: usize) {
        let snapshots = self.tasks.iter().flat_map(|task| {
            [0..5, 5..8].into_iter().flat_map(|r| task.snapshot(self.groups.range(r).unwrap()).unwrap())
        });
        let snapshots: Vec<RecordBatch> = snapshots.collect();
        let found = std::mem::take(&mut self.found);
        *self = Self { found, ..Self::new(self.shape, parallelism) };
        self.tasks.iter_mut().for_each(|task| task.restore(&snapshots).unwrap());
    }
}

fn expected(mut rows: Vec<Counted>, size: usize) -> Vec<Found> {
    rows.sort_by_key(|r| (r.key, r.time, r.number % 2, r.number / 2));
    let mut found: Vec<Found> = rows
        .chunk_by(|a, b| a.key == b.key)
        .flat_map(|rows| rows.chunks_exact(size))
        .map(|w| {
            let sum = w.iter().map(|r| r.value).sum();
            (w[0].time, w[size - 1].time + 1, w[0].key.to_owned(), size as i64, sum)
        })
        .collect();
    found.sort_by(|a, b| (a.1, &a.2).cmp(&(b.1, &b.2)));
    found
}

#[test]
fn windows_by_count_are_those_of_the_rows_in_order() {
    for seed in 0..200 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (size, lateness) = ([1, 2, 3, 7][rng.random_range(0..4)], [0, 15][rng.random_range(0..2)]);
        let mut tasks = Tasks::new((size, lateness), rng.random_range(1..4));
        let (mut watermark, mut number, mut all) = (0, 0, Vec::new());
        for _ in 0..rng.random_range(0..30) {
            match rng.random_range(0..6) {
                0..=2 => {
                    let row = |rng: &mut ChaCha8Rng, number| Counted {
                        time: watermark - lateness + rng.random_range(1..20),
                        number,
                        key: ["a", "b", "", "long enough to be no prefix"][rng.random_range(0..4)],
                        value: rng.random_range(-9..9),
                    };
                    let rows: Vec<Counted> =
                        (0..rng.random_range(0..12)).map(|i| row(&mut rng, number + i)).collect();
                    number += rows.len() as u64;
                    tasks.rows(&rows);
                    all.extend(rows);
                }
                3..=4 => {
                    watermark += rng.random_range(0..15);
                    for task in &mut tasks.tasks {
                        let out = task.on_watermark(EventTime(watermark)).unwrap();
                        assert_eq!(out, EventTime(watermark - lateness));
                    }
                    tasks.collect();
                    assert!(tasks.found.iter().all(|f| f.1 - 1 <= watermark - lateness));
                }
                _ => tasks.rescale(rng.random_range(1..5)),
            }
        }
        tasks.tasks.iter_mut().for_each(|task| task.on_end(true).unwrap());
        tasks.collect();
        assert_eq!(tasks.found, expected(all, size as usize), "seed {seed}");
        assert!(tasks.tasks.iter().all(|task| task.late_rows() == 0));
    }
}

#[test]
fn a_row_behind_the_watermark_is_late_and_not_counted() {
    let mut tasks = Tasks::new((2, 5), 1);
    let row = |time, number| Counted { time, number, key: "a", value: 1 };
    tasks.tasks[0].on_watermark(EventTime(20)).unwrap();
    tasks.rows(&[row(15, 0), row(16, 1), row(17, 2)]);
    assert_eq!(tasks.tasks[0].late_rows(), 1);
    tasks.tasks[0].on_watermark(EventTime(22)).unwrap();
    tasks.collect();
    assert_eq!(tasks.found, [(16, 18, "a".to_owned(), 2, 2)]);
}

/// Windows of two or three rows, so many of which fire that keys move.
#[test]
fn cuts_have_what_snapshots_have() {
    let names: Vec<&'static str> =
        (0..400).map(|i| -> &'static str { Box::leak(format!("key {i}").into_boxed_str()) }).collect();
    cut_checks::hold(6, 3, |seed, loses_oldest| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let shape = (rng.random_range(2..4), rng.random_range(0..20));
        let mut tasks = Tasks::new(shape, 1);
        let (planned, output) = stage(shape.0, shape.1);
        let (mut check, groups) = (CutCheck::new(loses_oldest), tasks.groups);
        let fresh = || -> Box<dyn KeyedOperator> {
            Box::new(KeyedAggregate::new(&planned, &output, groups, groups.all()).unwrap())
        };
        let (mut most, mut moved, mut number) = (0, false, 0);
        for step in 0..150 {
            let busy = rng.random_range(1..=names.len());
            let mut some = || {
                number += 1;
                let time = step * 10 + rng.random_range(0..10);
                Counted { time, number, key: names[rng.random_range(0..busy)], value: 1 }
            };
            let rows: Vec<Counted> = (0..150).map(|_| some()).collect();
            tasks.rows(&rows);
            check.step(&mut rng, &mut tasks.tasks[0], groups.all(), fresh);
            tasks.tasks[0].on_watermark(EventTime(step * 10 - 15)).unwrap();
            tasks.collect();
            check.step(&mut rng, &mut tasks.tasks[0], groups.all(), fresh);
            let slots = match &tasks.tasks[0].store {
                Store::Counts(counts) => counts.state.groups(),
                _ => 0,
            };
            (most, moved) = (most.max(slots), moved || slots < most);
        }
        assert!(moved, "keys never moved");
        check.checked
    });
}
