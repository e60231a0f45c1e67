//! The operator stepped by hand: against nested loops, over any cut, and through a snapshot.

use arrow::array::{ArrayRef, AsArray, Int64Array, UInt32Array, UInt64Array};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sabot_batch::hidden;
use sabot_ops::{JoinColumn, JoinKind, JoinSource, JoinSpec, reference};
use std::sync::Arc;

use super::*;
use crate::cut_checks::{Checked, CutCheck};

const KINDS: [JoinKind; 6] =
    [JoinKind::Inner, JoinKind::Left, JoinKind::Right, JoinKind::Full, JoinKind::Semi, JoinKind::Anti];

fn side(rng: &mut ChaCha8Rng, name: &str, rows: usize) -> RecordBatch {
    let ints = |values: Vec<Option<i64>>| Arc::new(Int64Array::from(values)) as ArrayRef;
    let key = (0..rows).map(|_| rng.random_bool(0.9).then(|| rng.random_range(0..12))).collect();
    let fields = vec![
        Field::new(name, DataType::Int64, true),
        Field::new("n", DataType::Int64, true),
        hidden::field(hidden::PARTITION).unwrap(),
        hidden::field(hidden::ROW).unwrap(),
    ];
    let columns = vec![
        ints(key),
        ints((0..rows as i64).map(Some).collect()),
        Arc::new(UInt32Array::from(vec![0; rows])) as ArrayRef,
        Arc::new(UInt64Array::from_iter_values(0..rows as u64)),
    ];
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn stage(kind: JoinKind, probe: &RecordBatch, build: &RecordBatch, gated: bool) -> JoinStage {
    let column = |name: &str, source| JoinColumn { name: name.to_owned(), source };
    let mut columns = vec![column("l", JoinSource::Probe(1))];
    if kind.gives_build() {
        columns.push(column("r", JoinSource::Build(1)));
    }
    columns.push(column(hidden::PARTITION, JoinSource::Probe(2)));
    columns.push(column(hidden::ROW, JoinSource::Probe(3)));
    if kind.gives_build() {
        columns.push(column(hidden::KEY, JoinSource::Order { probe: None, time: None }));
    }
    let spec = JoinSpec {
        kind,
        keys: vec![(0, 0)],
        nearest: None,
        condition: None,
        unique: false,
        seed: 9,
        columns,
        ordinal: 3,
    };
    JoinStage { spec, probe: probe.schema(), build: build.schema(), gated }
}

fn groups() -> KeyGroups {
    KeyGroups::default()
}

fn operator(stage: &JoinStage, task: usize, tasks: usize) -> KeyedJoin {
    let output = stage.spec.output_schema(&stage.probe, &stage.build).unwrap();
    KeyedJoin::new(stage, &output, groups(), groups().range_of_task(task, tasks)).unwrap()
}

/// The rows of a side that belong to a task.
fn part(operator: &KeyedJoin, rows: &RecordBatch, input: usize) -> RecordBatch {
    let mine = operator.groups(rows, input).unwrap();
    let mine: arrow::array::BooleanArray = mine.iter().map(|g| Some(operator.owned.contains(*g))).collect();
    arrow::compute::filter_record_batch(rows, &mine).unwrap()
}

fn drain(operator: &mut KeyedJoin, max_rows: usize, out: &mut Vec<RecordBatch>) {
    while let Some(morsel) = operator.next_output(max_rows) {
        let batch = morsel.unwrap().into_dense_host().unwrap();
        assert!((1..=max_rows).contains(&batch.num_rows()));
        out.push(batch);
    }
}

/// Feeds a side in pieces.
fn feed(
    operator: &mut KeyedJoin,
    input: usize,
    rows: &RecordBatch,
    rng: &mut ChaCha8Rng,
    out: &mut Vec<RecordBatch>,
) {
    let mut at = 0;
    while at < rows.num_rows() {
        let n = rng.random_range(1..=rows.num_rows() - at);
        operator.on_morsel(input, Morsel::new(rows.slice(at, n))).unwrap();
        drain(operator, 5, out);
        at += n;
    }
}

/// A row: its place, then its numbers.
type Placed = (u32, u64, Vec<u8>, Vec<Option<i64>>);

/// Rows as numbers, in the total order of an ordered sink.
fn rows(batches: &[RecordBatch], schema: &SchemaRef) -> Vec<Placed> {
    let all = concat_batches(schema, batches).unwrap();
    let keys = hidden::keys(&all);
    let columns: Vec<_> = (0..all.num_columns())
        .filter(|i| !hidden::is_hidden(all.schema_ref().field(*i).name()))
        .map(|i| all.column(i).as_primitive::<arrow::datatypes::Int64Type>().clone())
        .collect();
    let mut rows: Vec<_> = (0..all.num_rows())
        .map(|row| {
            (
                hidden::partitions(&all).unwrap().value(row),
                hidden::row_numbers(&all).unwrap().value(row),
                keys.map_or(Vec::new(), |k| k.value(row).to_vec()),
                columns.iter().map(|c| c.iter().nth(row).flatten()).collect(),
            )
        })
        .collect();
    rows.sort();
    rows
}

#[test]
fn any_parallelism_any_cut_and_a_snapshot_anywhere_give_what_nested_loops_give() {
    let mut given = 0;
    for seed in 0..150 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let kind = KINDS[seed as usize % KINDS.len()];
        let sizes = [0, 1, 31, 33, 65, 130];
        let (left, right) = (*sizes.choose(&mut rng).unwrap(), *sizes.choose(&mut rng).unwrap());
        let (probe, build) = (side(&mut rng, "a", left), side(&mut rng, "b", right));
        let early = rng.random_bool(0.5);
        let stage = stage(kind, &probe, &build, !early);
        let expected = reference::join(&stage.spec, &probe, &build).unwrap();
        let (before, after) = (rng.random_range(1..4), rng.random_range(1..5));
        let cut = rng.random_range(0..=probe.num_rows());
        let snapshot_early = rng.random_bool(0.5);

        let mut out = Vec::new();
        let mut snapshots = Vec::new();
        let tasks: Vec<KeyedJoin> = (0..before).map(|task| operator(&stage, task, before)).collect();
        for mut task in tasks {
            let (mine, table) = (part(&task, &probe.slice(0, cut), PROBE), part(&task, &build, BUILD));
            if early {
                let before = out.len();
                feed(&mut task, PROBE, &mine, &mut rng, &mut out);
                assert_eq!(out.len(), before, "nothing before the build side is complete");
            }
            feed(&mut task, BUILD, &table, &mut rng, &mut out);
            if !snapshot_early {
                task.on_input_end(BUILD).unwrap();
                drain(&mut task, 5, &mut out);
            }
            if !early && !snapshot_early {
                feed(&mut task, PROBE, &mine, &mut rng, &mut out);
            }
            drain(&mut task, 5, &mut out);
            // By range, as when key groups move apart.
            let half = groups().count() / 2;
            for range in
                [KeyGroupRange { start: 0, end: half }, KeyGroupRange { start: half, end: groups().count() }]
            {
                snapshots.extend(task.snapshot(range).unwrap());
            }
        }
        for number in 0..after {
            let mut task = operator(&stage, number, after);
            task.restore(&snapshots).unwrap();
            if snapshot_early {
                task.on_input_end(BUILD).unwrap();
                drain(&mut task, 5, &mut out);
            }
            let from = if early || !snapshot_early { cut } else { 0 };
            let mine = part(&task, &probe.slice(from, probe.num_rows() - from), PROBE);
            feed(&mut task, PROBE, &mine, &mut rng, &mut out);
            task.on_end(true).unwrap();
            drain(&mut task, 5, &mut out);
        }
        let schema = expected.schema();
        assert_eq!(rows(&out, &schema), rows(&[expected], &schema), "seed {seed}, {kind}");
        given += rows(&out, &schema).len();
    }
    assert!(given > 10_000, "{given} rows prove little");
}

#[test]
fn the_watermark_waits_for_rows_that_wait() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let (probe, build) = (side(&mut rng, "a", 10), side(&mut rng, "b", 10));
    let stage = stage(JoinKind::Left, &probe, &build, false);
    let mut task = operator(&stage, 0, 1);
    assert!(task.wants(PROBE), "rows that cannot wait at their source are kept here");
    task.on_morsel(PROBE, Morsel::new(probe)).unwrap();
    assert_eq!(task.on_watermark(EventTime(7)).unwrap(), EventTime::MIN);
    assert!(task.next_output(10).is_none() && task.state_bytes() > 0);
    task.on_input_end(BUILD).unwrap();
    let mut out = Vec::new();
    drain(&mut task, 100, &mut out);
    assert_eq!(out.iter().map(RecordBatch::num_rows).sum::<usize>(), 10);
    assert_eq!(task.on_watermark(EventTime(8)).unwrap(), EventTime(8));
}

#[test]
fn steps_in_a_wrong_order_and_wrong_rows_are_refused() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let (probe, build) = (side(&mut rng, "a", 4), side(&mut rng, "b", 4));
    let gated = stage(JoinKind::Inner, &probe, &build, true);
    let mut task = operator(&gated, 0, 1);
    assert!(!task.wants(PROBE) && task.wants(BUILD));
    let wrong = probe.project(&[0]).unwrap();
    assert!(matches!(task.on_morsel(PROBE, Morsel::new(wrong)), Err(OperatorError::Input { .. })));
    task.on_input_end(BUILD).unwrap();
    let late = task.on_morsel(BUILD, Morsel::new(build.clone()));
    assert!(matches!(late, Err(OperatorError::Order { .. })));
    task.on_morsel(PROBE, Morsel::new(probe.clone())).unwrap();
    assert!(matches!(task.snapshot(groups().range_of_task(0, 1)), Err(OperatorError::Order { .. })));

    let mut task = operator(&gated, 0, 1);
    task.on_end(true).unwrap();
    assert!(matches!(task.on_end(true), Err(OperatorError::Order { .. })));
    assert!(matches!(task.on_morsel(PROBE, Morsel::new(probe)), Err(OperatorError::Order { .. })));
    assert!(operator(&gated, 0, 1).restore(&[build]).is_err(), "rows are no snapshot");
}

/// Random rows, with cuts between them.
fn cuts(seed: u64, loses_oldest: bool) -> Checked {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let kind = *KINDS.choose(&mut rng).unwrap();
    let (probe, build) = (side(&mut rng, "a", 150), side(&mut rng, "b", 300));
    let stage = stage(kind, &probe, &build, false);
    let (mut task, owned) = (operator(&stage, 0, 1), groups().all());
    let mut check = CutCheck::new(loses_oldest);
    let fresh = || -> Box<dyn KeyedOperator> { Box::new(operator(&stage, 0, 1)) };
    let (mut at, mut out) = ([0, 0], Vec::new());
    while at != [150, 300] {
        let input = if at[PROBE] == 150 || at[BUILD] < 300 && rng.random() { BUILD } else { PROBE };
        let rows = [&probe, &build][input];
        let len = rng.random_range(1..=(rows.num_rows() - at[input]).min(9));
        task.on_morsel(input, Morsel::new(rows.slice(at[input], len))).unwrap();
        task.on_watermark(EventTime((at[0] + at[1]) as i64)).unwrap();
        at[input] += len;
        if at[BUILD] == 300 && task.table.is_none() {
            check.step(&mut rng, &mut task, owned, fresh);
            task.on_input_end(BUILD).unwrap();
        }
        drain(&mut task, 50, &mut out);
        check.step(&mut rng, &mut task, owned, fresh);
    }
    check.checked
}

#[test]
fn cuts_have_what_snapshots_have() {
    crate::cut_checks::hold(100, 8, cuts);
}
