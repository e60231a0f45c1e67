//! Rolling values held against the reference, whatever the cuts, expiries and restarts; and to the bit against
//! themselves.

use super::*;
use arrow::array::{
    AsArray, BooleanArray, Decimal128Array, Float32Array, Float64Array, Int32Array, Int64Array, StringArray,
    UInt64Array,
};
use arrow::compute::concat;
use arrow::datatypes::{Field, Float64Type, Int64Type, Schema};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sabot_common::Span;
use sabot_ops::{
    AggregateFunction, AggregateSpec, Distance, Frame, FrameBound, FrameUnits, OverCall, OverFunction,
    SortKey, reference,
};
use std::sync::Arc;

const KEY: usize = 0;
const BOOL: usize = 6;
const TIME: usize = 10;

pub(super) fn schema() -> SchemaRef {
    let fields = vec![
        Field::new("k", DataType::Utf8, true),
        Field::new("i", DataType::Int32, true),
        Field::new("n", DataType::Int64, false),
        Field::new("x", DataType::Float64, true),
        Field::new("y", DataType::Float64, false),
        Field::new("s", DataType::Utf8, true),
        Field::new("b", DataType::Boolean, true),
        Field::new("d", DataType::Decimal128(30, 2), true),
        Field::new("u", DataType::UInt64, true),
        Field::new("f", DataType::Float32, true),
        Field::new(hidden::TIME, DataType::Int64, false),
        Field::new(hidden::ROW, DataType::UInt64, false),
    ];
    Arc::new(Schema::new(fields))
}

/// Rows in order of time, with many equal times, few keys, and gaps that every frame of time forgets.
fn rows(rng: &mut ChaCha8Rng, count: usize, keys: i32) -> RecordBatch {
    let some = |rng: &mut ChaCha8Rng| rng.random_ratio(6, 7);
    let floats = [0.0, -0.0, f64::NAN, 1.5, 2.5, -1.5, f64::INFINITY, f64::NEG_INFINITY, 1e100];
    let mut time = 0i64;
    let times: Vec<i64> = (0..count)
        .map(|_| {
            time += match rng.random_range(0..12) {
                0..6 => 0,
                6..11 => rng.random_range(0..4),
                _ => rng.random_range(0..40),
            };
            time
        })
        .collect();
    let k: StringArray =
        (0..count).map(|_| some(rng).then(|| format!("key {}", rng.random_range(0..keys)))).collect();
    let i: Int32Array = (0..count).map(|_| some(rng).then(|| rng.random_range(-4..5))).collect();
    let n = Int64Array::from_iter_values((0..count).map(|_| rng.random_range(-9..i64::from(i32::MAX))));
    let x: Float64Array = (0..count).map(|_| some(rng).then(|| *floats.choose(rng).unwrap())).collect();
    let y = Float64Array::from_iter_values((0..count).map(|_| f64::from(rng.random_range(-64..64)) * 0.25));
    let s: StringArray = (0..count)
        .map(|_| some(rng).then(|| *["", "a", "ab", "a longer text than others"].choose(rng).unwrap()))
        .collect();
    let b: BooleanArray = (0..count).map(|_| some(rng).then(|| rng.random())).collect();
    let d: Decimal128Array =
        (0..count).map(|_| some(rng).then(|| rng.random_range(-999..999i128) << 40)).collect();
    let d = d.with_data_type(DataType::Decimal128(30, 2));
    let u: UInt64Array =
        (0..count).map(|_| some(rng).then(|| rng.random_range(0..u64::MAX / 1024))).collect();
    let f: Float32Array = (0..count).map(|_| some(rng).then(|| rng.random_range(-8..8) as f32)).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(k),
        Arc::new(i),
        Arc::new(n),
        Arc::new(x),
        Arc::new(y),
        Arc::new(s),
        Arc::new(b),
        Arc::new(d),
        Arc::new(u),
        Arc::new(f),
        Arc::new(Int64Array::from(times)),
        Arc::new(UInt64Array::from_iter_values(0..count as u64)),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

fn random_frame(rng: &mut ChaCha8Rng) -> Frame {
    let units = if rng.random() { FrameUnits::Rows } else { FrameUnits::Range };
    let bound = |rng: &mut ChaCha8Rng| match (rng.random_range(0..3), units) {
        (0, _) => FrameBound::CurrentRow,
        (_, FrameUnits::Rows) => FrameBound::Preceding(Distance::Count(rng.random_range(0..40))),
        (_, FrameUnits::Range) => FrameBound::Preceding(Distance::Span(Span(rng.random_range(0..30)))),
    };
    let (a, b) = (bound(rng), bound(rng));
    match (a, b) {
        (FrameBound::CurrentRow, FrameBound::Preceding(_)) => Frame { units, start: b, end: a },
        _ => Frame { units, start: a, end: b },
    }
}

pub(super) fn aggregate(function: AggregateFunction, column: Option<usize>) -> OverFunction {
    let schema = schema();
    let argument = column.map(|column| (column, schema.field(column).data_type().clone()));
    OverFunction::Aggregate(AggregateSpec::new(function, argument, "value"))
}

fn functions() -> Vec<OverFunction> {
    use AggregateFunction as F;
    let mut all = vec![aggregate(F::Count, None)];
    for column in 0..=9 {
        all.push(OverFunction::Lag(column, 1));
        all.push(OverFunction::FirstValue(column));
        all.push(OverFunction::LastValue(column));
        for function in [F::Count, F::CountDistinct, F::Min, F::Max] {
            all.push(aggregate(function, Some(column)));
        }
    }
    for column in [1, 2, 3, 4, 7, 8, 9] {
        let moments = [F::VarSamp, F::VarPop, F::StddevSamp, F::StddevPop];
        for function in [F::Sum, F::Avg].into_iter().chain(moments) {
            all.push(aggregate(function, Some(column)));
        }
    }
    for function in [F::BoolAnd, F::BoolOr, F::Avg] {
        all.push(aggregate(function, Some(BOOL)));
    }
    all.push(OverFunction::Lag(5, 0));
    all.push(OverFunction::Lag(1, 7));
    all.push(OverFunction::Lag(1, u64::MAX));
    all
}

fn filtered(function: OverFunction) -> OverFunction {
    match function {
        OverFunction::Aggregate(spec) => OverFunction::Aggregate(spec.filtered(BOOL)),
        other => other,
    }
}

fn random_spec(rng: &mut ChaCha8Rng, calls: usize, units: Option<FrameUnits>) -> OverSpec {
    let functions = functions();
    let call = |i: usize, rng: &mut ChaCha8Rng| loop {
        let function = functions.choose(rng).unwrap().clone();
        let frame = random_frame(rng);
        let counts_rows = matches!(function, OverFunction::Lag(..)) || frame.units == FrameUnits::Rows;
        if units == Some(FrameUnits::Range) && counts_rows {
            continue;
        }
        let function = if rng.random_ratio(1, 4) { filtered(function) } else { function };
        break OverCall { function, frame, name: format!("c{i}") };
    };
    let ties = match rng.random_range(0..3) {
        0 => vec![SortKey { column: 4, descending: rng.random(), nulls_first: rng.random() }],
        _ => vec![],
    };
    OverSpec {
        partition: if rng.random_ratio(4, 5) { vec![KEY] } else { vec![] },
        order: vec![SortKey::ascending(TIME)],
        ties,
        calls: (0..calls).map(|i| call(i, rng)).collect(),
    }
}

/// The rows in the order in which they have their turn, without regard to keys.
fn in_turn(spec: &OverSpec, rows: &RecordBatch) -> RecordBatch {
    let alone = OverSpec { partition: vec![], calls: vec![], ..spec.clone() };
    reference::over(&alone, rows).unwrap().0
}

/// Cuts between times; what is before the cut has come when the watermark is there.
fn portions(rng: &mut ChaCha8Rng, rows: &RecordBatch) -> Vec<RecordBatch> {
    let times = rows.column(TIME).as_primitive::<Int64Type>().values();
    let mut cuts = vec![0];
    for i in 1..rows.num_rows() {
        if times[i] != times[i - 1] && rng.random_ratio(1, 5) {
            cuts.push(i);
        }
    }
    cuts.push(rows.num_rows());
    cuts.windows(2).map(|cut| rows.slice(cut[0], cut[1] - cut[0])).collect()
}

struct Disturbance {
    turn: Turn,
    expire: bool,
    restore: bool,
}

/// Runs portions one after another; the columns of all rows.
fn roll(
    spec: &OverSpec,
    portions: &[RecordBatch],
    disturbance: &Disturbance,
    rng: &mut ChaCha8Rng,
) -> Vec<ArrayRef> {
    let turn = disturbance.turn;
    let mut rolling = Rolling::new(spec, &schema(), turn, 7).unwrap();
    let mut columns: Vec<Vec<ArrayRef>> = vec![Vec::new(); spec.calls.len()];
    for portion in portions {
        let out = rolling.run(portion).unwrap();
        columns.iter_mut().zip(out).for_each(|(all, one)| all.push(one));
        let times = portion.column(TIME).as_primitive::<Int64Type>().values();
        if let Some(last) = times.last().filter(|_| disturbance.expire && rng.random()) {
            rolling.expire(EventTime(*last), rng.random_range(0..8)).unwrap();
        }
        if disturbance.restore && rng.random_ratio(1, 3) {
            let mut next = Rolling::new(spec, &schema(), turn, 8).unwrap();
            for snapshot in rolling.snapshot().unwrap() {
                assert_eq!(snapshot.schema(), rolling.snapshot_schema());
                let half = snapshot.num_rows() / 2;
                next.restore(&snapshot.slice(0, half)).unwrap();
                next.restore(&snapshot.slice(half, snapshot.num_rows() - half)).unwrap();
            }
            rolling = next;
        }
    }
    columns
        .iter()
        .map(|parts| concat(&parts.iter().map(AsRef::as_ref).collect::<Vec<_>>()).unwrap())
        .collect()
}

/// Equal, where sums of floats may differ in their last bits and one NaN is as good as another.
fn close(got: &ArrayRef, expected: &ArrayRef) -> bool {
    let Some(got) = got.as_primitive_opt::<Float64Type>() else { return got == expected };
    let expected = expected.as_primitive::<Float64Type>();
    let close = |(a, b): (Option<f64>, Option<f64>)| match (a, b) {
        (Some(a), Some(b)) => {
            a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1e-3)
        }
        (a, b) => a.is_none() && b.is_none(),
    };
    got.len() == expected.len() && got.iter().zip(expected).all(close)
}

fn bits(column: &ArrayRef) -> Vec<Option<u64>> {
    match column.as_primitive_opt::<Float64Type>() {
        Some(floats) => floats.iter().map(|x| x.map(f64::to_bits)).collect(),
        None => Vec::new(),
    }
}

#[test]
fn random_specs_are_those_of_the_reference() {
    for seed in 0..250 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let units = (seed % 2 == 0).then_some(FrameUnits::Range);
        let spec = random_spec(&mut rng, 6, units);
        let count = rng.random_range(0..160);
        let rows = rows(&mut rng, count, 4);
        let rows = in_turn(&spec, &rows);
        let want = reference::rolling(&spec, &rows).unwrap();
        let cut = portions(&mut rng, &rows);
        let disturbance = Disturbance { turn: Turn::InOrder, expire: seed % 3 > 0, restore: seed % 5 > 2 };
        let got = roll(&spec, &cut, &disturbance, &mut rng);
        for ((call, got), want) in spec.calls.iter().zip(&got).zip(&want) {
            assert!(close(got, want), "seed {seed}: {call:?} of {spec:?}: {got:?} instead of {want:?}");
        }
    }
}

#[test]
fn every_function_over_long_frames_is_that_of_the_reference() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let rows = rows(&mut rng, 700, 1);
    let frame = rows_between(560, 3);
    for function in functions() {
        let call = OverCall { function, frame, name: "c".to_owned() };
        let spec = OverSpec {
            partition: vec![],
            order: vec![SortKey::ascending(TIME)],
            ties: vec![],
            calls: vec![call],
        };
        let want = reference::rolling(&spec, &rows).unwrap();
        let cut = portions(&mut rng, &rows);
        let got =
            roll(&spec, &cut, &Disturbance { turn: Turn::InOrder, expire: true, restore: true }, &mut rng);
        assert!(close(&got[0], &want[0]), "{:?}: {:?} instead of {:?}", spec.calls[0], got[0], want[0]);
    }
}

/// Links lead over every row then.
#[test]
fn values_that_get_worse_have_their_extremes() {
    use AggregateFunction as F;
    for step in [-1, 1] {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let rows = rows(&mut rng, 300, 2);
        let mut columns = rows.columns().to_vec();
        columns[2] = Arc::new(Int64Array::from_iter_values((0..300).map(|n| n * step)));
        let rows = RecordBatch::try_new(schema(), columns).unwrap();
        let calls = [F::Min, F::Max].into_iter().flat_map(|function| {
            [3, 100, 250].map(|far| OverCall {
                function: filtered(aggregate(function.clone(), Some(2))),
                frame: rows_between(far, far / 9),
                name: format!("{function}{far}"),
            })
        });
        let spec = OverSpec { calls: calls.collect(), ..last_of(within(0), functions().remove(0)) };
        let cut = portions(&mut rng, &rows);
        let disturbance = Disturbance { turn: Turn::InOrder, expire: true, restore: true };
        assert_eq!(roll(&spec, &cut, &disturbance, &mut rng), reference::rolling(&spec, &rows).unwrap());
    }
}

#[test]
fn floats_are_the_same_to_the_bit_whatever_the_cuts_and_moves() {
    use AggregateFunction as F;
    for seed in 0..60 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let count = 600;
        let rows = rows(&mut rng, count, 3);
        // Sums of these depend on the order in which they are added.
        let y = Float64Array::from_iter_values((0..count).map(|_| rng.random::<f64>() * 1e6));
        let mut columns = rows.columns().to_vec();
        columns[4] = Arc::new(y);
        let rows = RecordBatch::try_new(schema(), columns).unwrap();
        let calls = [F::Sum, F::Avg, F::VarPop].into_iter().flat_map(|function| {
            [3, 90].map(|far| OverCall {
                function: aggregate(function.clone(), Some(4)),
                frame: within(far),
                name: format!("{function}{far}"),
            })
        });
        let calls = calls.collect();
        let spec =
            OverSpec { partition: vec![KEY], order: vec![SortKey::ascending(TIME)], ties: vec![], calls };
        let calm = roll(
            &spec,
            std::slice::from_ref(&rows),
            &Disturbance { turn: Turn::InOrder, expire: false, restore: false },
            &mut rng,
        );
        let cut = portions(&mut rng, &rows);
        let moved =
            roll(&spec, &cut, &Disturbance { turn: Turn::InOrder, expire: true, restore: true }, &mut rng);
        for (calm, moved) in calm.iter().zip(&moved) {
            assert_eq!(bits(calm), bits(moved), "seed {seed}");
        }
    }
}

pub(super) fn last_of(frame: Frame, function: OverFunction) -> OverSpec {
    let call = OverCall { function, frame, name: "c".to_owned() };
    OverSpec { partition: vec![KEY], order: vec![SortKey::ascending(TIME)], ties: vec![], calls: vec![call] }
}

fn rows_between(from: u64, to: u64) -> Frame {
    let [start, end] = [from, to].map(|far| FrameBound::Preceding(Distance::Count(far)));
    Frame { units: FrameUnits::Rows, start, end }
}

pub(super) fn within(far: i64) -> Frame {
    let start = FrameBound::Preceding(Distance::Span(Span(far)));
    Frame { units: FrameUnits::Range, start, end: FrameBound::CurrentRow }
}

/// Rows of one text key each, at these times.
pub(super) fn at(times: &[(i64, &str, i64)]) -> RecordBatch {
    let count = times.len();
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut columns = rows(&mut rng, count, 1).columns().to_vec();
    columns[0] = Arc::new(StringArray::from_iter_values(times.iter().map(|(_, key, _)| *key)));
    columns[2] = Arc::new(Int64Array::from_iter_values(times.iter().map(|(_, _, n)| *n)));
    columns[TIME] = Arc::new(Int64Array::from_iter_values(times.iter().map(|(time, _, _)| *time)));
    RecordBatch::try_new(schema(), columns).unwrap()
}

#[test]
fn a_sum_beyond_its_type_is_an_error_with_its_row() {
    let spec = last_of(within(10), aggregate(AggregateFunction::Sum, Some(2)));
    let mut rolling = Rolling::new(&spec, &schema(), Turn::InOrder, 0).unwrap();
    let rows = at(&[(0, "a", i64::MAX), (20, "a", 5), (21, "b", 1), (30, "a", i64::MAX)]);
    match rolling.run(&rows).unwrap_err() {
        AccumulateError::Overflow { aggregate, position, sum, .. } => {
            assert_eq!((aggregate.as_str(), position), ("value", 3));
            assert_eq!(sum, "9223372036854775812");
        }
        other => panic!("{other}"),
    }
    let mut rolling = Rolling::new(&spec, &schema(), Turn::InOrder, 0).unwrap();
    let fits = at(&[(0, "a", i64::MAX), (20, "a", 5), (31, "a", i64::MAX)]);
    let sums = rolling.run(&fits).unwrap();
    assert_eq!(sums[0].as_ref(), &Int64Array::from(vec![i64::MAX, 5, i64::MAX]));
}

#[test]
fn on_arrival_a_row_sees_what_came_before() {
    let spec = last_of(within(10), aggregate(AggregateFunction::Sum, Some(2)));
    let rows = at(&[(5, "a", 1), (5, "a", 2), (5, "b", 4), (3, "a", 8), (14, "a", 16), (16, "a", 32)]);
    let mut whole = Rolling::new(&spec, &schema(), Turn::OnArrival, 0).unwrap();
    let sums = whole.run(&rows).unwrap();
    // The row of time 3 stands at 5, where the newest row is; at 16 all of these are gone.
    assert_eq!(sums[0].as_ref(), &Int64Array::from(vec![1, 3, 4, 11, 27, 48]));
    let mut parts = Rolling::new(&spec, &schema(), Turn::OnArrival, 0).unwrap();
    for row in 0..rows.num_rows() {
        let sum = parts.run(&rows.slice(row, 1)).unwrap();
        assert_eq!(&sum[0], &sums[0].slice(row, 1));
    }
    let mut in_order = Rolling::new(&spec, &schema(), Turn::InOrder, 0).unwrap();
    assert!(in_order.run(&rows).unwrap_err().to_string().contains("out of their order"));
}

#[test]
fn keys_are_forgotten_and_memory_stays_bounded() {
    let frame = within(1000);
    let calls =
        [aggregate(AggregateFunction::Sum, Some(4)), aggregate(AggregateFunction::CountDistinct, Some(5))];
    let calls =
        calls.into_iter().map(|function| OverCall { function, frame, name: "c".to_owned() }).collect();
    let spec = OverSpec { partition: vec![KEY], order: vec![SortKey::ascending(TIME)], ties: vec![], calls };
    let mut rolling = Rolling::new(&spec, &schema(), Turn::InOrder, 0).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut most = 0;
    for step in 0..300i64 {
        let rows = rows(&mut rng, 200, 8);
        let shifted = (0..200).map(|i| step * 200 + i);
        let keys = (0..200).map(|_| format!("{} of {}", rng.random_range(0..50), step / 5));
        let mut columns = rows.columns().to_vec();
        columns[0] = Arc::new(StringArray::from_iter_values(keys));
        columns[TIME] = Arc::new(Int64Array::from_iter_values(shifted));
        rolling.run(&RecordBatch::try_new(schema(), columns).unwrap()).unwrap();
        rolling.expire(EventTime(step * 200 + 199), 200).unwrap();
        most = most.max(rolling.histories.len());
        // 1,200 rows in reach, with room for a few more in each of some 100 histories.
        // Time, number, text, flag and link of a row, its share of the blocks, and its value's newest row.
        let room = 1_200 * (5 * 8 + 1 + 57) * 2 + 300_000;
        assert!(rolling.bytes() < room, "{} bytes at step {step}", rolling.bytes());
    }
    assert!(most < 800, "{most} keys at once");
    rolling.expire(EventTime(1_000_000), 1_000).unwrap();
    assert!(rolling.is_empty());
    assert_eq!(rolling.snapshot().unwrap(), []);
}

#[test]
fn an_idle_key_whose_last_row_is_kept_gives_its_memory_back() {
    let mut calls = vec![OverCall {
        function: aggregate(AggregateFunction::CountDistinct, Some(2)),
        frame: within(100),
        name: "c".to_owned(),
    }];
    calls.push(OverCall { function: OverFunction::Lag(2, 1), frame: within(0), name: "before".to_owned() });
    let spec = OverSpec { partition: vec![KEY], order: vec![SortKey::ascending(TIME)], ties: vec![], calls };
    let mut rolling = Rolling::new(&spec, &schema(), Turn::InOrder, 0).unwrap();
    let rows: Vec<(i64, &str, i64)> = (0..1000).map(|i| (i / 10, "a", i % 7)).collect();
    rolling.run(&at(&rows)).unwrap();
    let before = rolling.bytes();
    rolling.expire(EventTime(10_000), 1).unwrap();
    assert!(rolling.bytes() < before / 4, "{before} bytes before, {} behind", rolling.bytes());
    let columns = rolling.run(&at(&[(10_001, "a", 3), (10_002, "a", 4), (10_002, "a", 3)])).unwrap();
    assert_eq!(columns[0].as_ref(), &Int64Array::from(vec![1, 2, 2]));
    assert_eq!(columns[1].as_ref(), &Int64Array::from(vec![999 % 7, 3, 4]));
}

#[test]
fn on_arrival_nothing_depends_on_cuts_and_moves() {
    for seed in 0..40 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let rows = rows(&mut rng, 300, 4);
        // Out of order, but never behind the watermarks that are given.
        let mut columns = rows.columns().to_vec();
        let times = rows.column(TIME).as_primitive::<Int64Type>().values();
        let mut watermark = i64::MIN;
        let late = times.chunks(20).flat_map(|chunk| {
            let shaken: Vec<i64> =
                chunk.iter().map(|time| (time + rng.random_range(-9..9)).max(watermark + 1)).collect();
            watermark = shaken.last().copied().unwrap_or(0).max(watermark);
            shaken
        });
        columns[TIME] = Arc::new(Int64Array::from_iter_values(late.collect::<Vec<_>>()));
        let rows = RecordBatch::try_new(schema(), columns).unwrap();
        let spec = random_spec(&mut rng, 6, (seed % 2 == 0).then_some(FrameUnits::Range));
        let whole = Disturbance { turn: Turn::OnArrival, expire: false, restore: false };
        let calm = roll(&spec, std::slice::from_ref(&rows), &whole, &mut rng);
        let cuts: Vec<RecordBatch> = (0..15).map(|i| rows.slice(i * 20, 20)).collect();
        let moved = Disturbance { turn: Turn::OnArrival, expire: true, restore: true };
        let moved = roll(&spec, &cuts, &moved, &mut rng);
        for ((call, calm), moved) in spec.calls.iter().zip(&calm).zip(&moved) {
            assert_eq!(bits(calm), bits(moved), "seed {seed}: {call:?}");
            assert!(close(calm, moved), "seed {seed}: {call:?}: {calm:?} and {moved:?} of {spec:?}");
        }
    }
}

/// Values of types that are kept once for each different value.
fn interned_columns() -> Vec<ArrayRef> {
    use arrow::array::{DictionaryArray, ListArray, StructArray};
    use arrow::datatypes::{Fields, Int8Type, Int32Type};
    let floats = [-0.0, 0.0, f64::NAN, 1.5, f64::NEG_INFINITY];
    let items = (0..200).map(|i| (i % 7 != 3).then(|| vec![Some(floats[i % 5]), None, Some(i as f64)]));
    let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(items));
    let inner: ArrayRef = Arc::new(Float64Array::from_iter_values((0..200).map(|i| floats[i % 5])));
    let field = Field::new("x", DataType::Float64, true);
    let structs: ArrayRef = Arc::new(StructArray::new(Fields::from(vec![field]), vec![inner.clone()], None));
    let texts: DictionaryArray<Int32Type> = (0..200).map(|i| ["a", "bc", ""].get(i % 4).copied()).collect();
    let keys = arrow::array::Int8Array::from_iter((0..200).map(|i| (i % 9 != 0).then_some((i % 5) as i8)));
    let coded = DictionaryArray::<Int8Type>::new(keys, Arc::new(Float64Array::from(floats.to_vec())));
    vec![lists, structs, Arc::new(texts), Arc::new(coded)]
}

#[test]
fn nested_and_coded_values_come_back_as_they_were() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let rows = rows(&mut rng, 200, 3);
    for column in interned_columns() {
        let mut fields: Vec<Field> = schema().fields().iter().map(|f| f.as_ref().clone()).collect();
        fields[5] = Field::new("s", column.data_type().clone(), true);
        let mut columns = rows.columns().to_vec();
        columns[5] = column.clone();
        let schema = Arc::new(Schema::new(fields));
        let rows = RecordBatch::try_new(schema.clone(), columns).unwrap();
        let frame = within(40);
        let functions = [OverFunction::Lag(5, 1), OverFunction::FirstValue(5), OverFunction::LastValue(5)];
        let distinct = AggregateSpec::new(
            AggregateFunction::CountDistinct,
            [(5, column.data_type().clone())],
            "different",
        );
        let functions = functions.into_iter().chain([OverFunction::Aggregate(distinct)]);
        let calls = functions.map(|function| OverCall { function, frame, name: "c".to_owned() }).collect();
        let spec =
            OverSpec { partition: vec![KEY], order: vec![SortKey::ascending(TIME)], ties: vec![], calls };
        let want = reference::rolling(&spec, &rows).unwrap();
        let mut rolling = Rolling::new(&spec, &schema, Turn::InOrder, 0).unwrap();
        let mut got: Vec<Vec<ArrayRef>> = vec![Vec::new(); 4];
        for portion in portions(&mut rng, &rows) {
            let out = rolling.run(&portion).unwrap();
            got.iter_mut().zip(out).for_each(|(all, one)| all.push(one));
            let mut next = Rolling::new(&spec, &schema, Turn::InOrder, 0).unwrap();
            rolling.snapshot().unwrap().iter().for_each(|snapshot| next.restore(snapshot).unwrap());
            rolling = next;
        }
        for (got, want) in got.iter().zip(&want) {
            let got = concat(&got.iter().map(AsRef::as_ref).collect::<Vec<_>>()).unwrap();
            assert_eq!(got.data_type(), want.data_type());
            // Every zero with its sign, every NaN.
            let text = |column: &ArrayRef| -> Vec<String> {
                let shown = |row| arrow::util::display::array_value_to_string(column, row).unwrap();
                (0..column.len()).map(shown).collect()
            };
            assert_eq!(text(&got), text(want), "{}", column.data_type());
        }
    }
}

#[test]
fn rows_far_apart_are_appended_together() {
    let spec = last_of(within(1), aggregate(AggregateFunction::Count, None));
    let mut rolling = Rolling::new(&spec, &schema(), Turn::InOrder, 0).unwrap();
    let names: Vec<String> = (0..100).map(|i| format!("{}", i % 50)).collect();
    let rows: Vec<(i64, &str, i64)> =
        names.iter().enumerate().map(|(i, name)| (2 * i as i64, name.as_str(), 0)).collect();
    let counts = rolling.run(&at(&rows)).unwrap();
    assert_eq!(counts[0].as_ref(), &Int64Array::from(vec![1; 100]));
    // Each key has two rows, of which the second begins anew.
    assert_eq!(rolling.portions, 2);
}

#[test]
fn different_values_of_the_last_rows_are_counted_for_ever() {
    let frame = Frame {
        units: FrameUnits::Rows,
        start: FrameBound::Preceding(Distance::Count(3)),
        end: FrameBound::CurrentRow,
    };
    let spec = last_of(frame, aggregate(AggregateFunction::CountDistinct, Some(2)));
    let mut rolling = Rolling::new(&spec, &schema(), Turn::InOrder, 0).unwrap();
    for row in 0..500i64 {
        let value = |row: i64| row * row % 7;
        let counts = rolling.run(&at(&[(row, "a", value(row))])).unwrap();
        let last: std::collections::HashSet<i64> = ((row - 3).max(0)..=row).map(value).collect();
        assert_eq!(counts[0].as_ref(), &Int64Array::from(vec![last.len() as i64]), "row {row}");
    }
}
