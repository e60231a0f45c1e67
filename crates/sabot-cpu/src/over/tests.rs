//! Columns held against the reference, for every function and kind of frame.

use super::*;
use crate::rank::RankOrder;
use arrow::array::{AsArray, Date32Array, Float64Array, Int32Array, StringArray, TimestampMillisecondArray};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Float64Type};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sabot_batch::hidden;
use sabot_common::Span;
use sabot_ops::{
    AggregateFunction, AggregateSpec, Distance, Frame, FrameBound, FrameUnits, SortKey, reference,
};

/// Columns: k a key, i integers, x floats, t times, d dates, the row's number.
fn batch(rng: &mut ChaCha8Rng, rows: usize) -> RecordBatch {
    let floats = [0.0, -0.0, f64::NAN, -f64::NAN, 1.5, 2.5, -1.5, f64::INFINITY, f64::NEG_INFINITY];
    let texts = ["a", "b", ""];
    let some = |rng: &mut ChaCha8Rng| rng.random_ratio(6, 7);
    let k: StringArray = (0..rows).map(|_| some(rng).then(|| *texts.choose(rng).unwrap())).collect();
    let i: Int32Array = (0..rows).map(|_| some(rng).then(|| rng.random_range(-4..5))).collect();
    let x: Float64Array = (0..rows).map(|_| some(rng).then(|| *floats.choose(rng).unwrap())).collect();
    let t: TimestampMillisecondArray = (0..rows).map(|_| some(rng).then(|| rng.random_range(0..9))).collect();
    let d: Date32Array = (0..rows).map(|_| some(rng).then(|| rng.random_range(-2..3))).collect();
    let columns: [(&str, ArrayRef); 6] = [
        ("k", Arc::new(k)),
        ("i", Arc::new(i)),
        ("x", Arc::new(x)),
        ("t", Arc::new(t)),
        ("d", Arc::new(d)),
        (hidden::ROW, Arc::new(UInt64Array::from_iter_values(0..rows as u64))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(n, c)| {
        let nullable = n != hidden::ROW;
        (n, c, nullable)
    }))
    .unwrap()
}

fn distance(rng: &mut ChaCha8Rng, units: FrameUnits, column: Option<usize>) -> Option<Distance> {
    let n = rng.random_range(0..4);
    match (units, column) {
        (FrameUnits::Rows, _) | (FrameUnits::Range, Some(1)) => Some(Distance::Count(n)),
        (FrameUnits::Range, Some(2)) => {
            Some(if rng.random() { Distance::Count(n) } else { Distance::Float(n as f64 * 0.5) })
        }
        (FrameUnits::Range, Some(3)) => Some(Distance::Span(Span(n as i64 * 1000))),
        (FrameUnits::Range, Some(4)) => Some(Distance::Span(Span::from_secs(n as i64 * 86_400))),
        _ => None,
    }
}

fn frame(rng: &mut ChaCha8Rng, order: &[SortKey]) -> Frame {
    let units = if rng.random() { FrameUnits::Rows } else { FrameUnits::Range };
    let column = match order {
        [key] => Some(key.column),
        _ => None,
    };
    let bound = |rng: &mut ChaCha8Rng| match (rng.random_range(0..5), distance(rng, units, column)) {
        (0, _) => FrameBound::UnboundedPreceding,
        (1, Some(distance)) => FrameBound::Preceding(distance),
        (2, Some(distance)) => FrameBound::Following(distance),
        (3, _) => FrameBound::UnboundedFollowing,
        _ => FrameBound::CurrentRow,
    };
    Frame { units, start: bound(rng), end: bound(rng) }
}

fn aggregate(function: AggregateFunction, input: Option<(usize, DataType)>) -> OverFunction {
    OverFunction::Aggregate(AggregateSpec::new(function, input, "value"))
}

fn functions() -> Vec<OverFunction> {
    use AggregateFunction as F;
    vec![
        OverFunction::RowNumber,
        OverFunction::Rank,
        OverFunction::DenseRank,
        OverFunction::Lag(0, 1),
        OverFunction::Lag(2, 0),
        OverFunction::Lead(1, 2),
        OverFunction::Lead(1, u64::MAX),
        OverFunction::FirstValue(0),
        OverFunction::LastValue(2),
        aggregate(F::Count, None),
        aggregate(F::Count, Some((1, DataType::Int32))),
        aggregate(F::Sum, Some((1, DataType::Int32))),
        aggregate(F::Avg, Some((1, DataType::Int32))),
        aggregate(F::Sum, Some((2, DataType::Float64))),
        aggregate(F::Min, Some((0, DataType::Utf8))),
        aggregate(F::Max, Some((2, DataType::Float64))),
    ]
}

fn spec(rng: &mut ChaCha8Rng) -> OverSpec {
    let keys = rng.random_range(0..3);
    let key = |rng: &mut ChaCha8Rng| SortKey {
        column: rng.random_range(0..5),
        descending: rng.random(),
        nulls_first: rng.random(),
    };
    let order: Vec<SortKey> = (0..keys).map(|_| key(rng)).collect();
    let name = |i: usize| format!("c{i}");
    let calls = functions().into_iter().enumerate().map(|(i, function)| OverCall {
        function,
        frame: frame(rng, &order),
        name: name(i),
    });
    let calls = calls.collect();
    let ties = if rng.random() { vec![key(rng)] } else { vec![] };
    OverSpec { partition: if rng.random() { vec![0] } else { vec![] }, order, ties, calls }
}

/// As reference and step compute it; `None` where the frames of the spec are refused.
fn both(spec: &OverSpec, rows: &RecordBatch) -> Option<(Vec<ArrayRef>, Vec<ArrayRef>)> {
    let step = OverStep::new(spec, &rows.schema()).ok()?;
    let (sorted, expected) = reference::over(spec, rows).unwrap();
    let order = RankOrder::new(&spec.ranking(), rows.schema_ref()).unwrap();
    let ranked = order.rank(&[&order.encode(rows).unwrap()], false);
    let places = UInt64Array::from_iter_values(ranked.iter().map(|r| u64::from(r.row)));
    let mine = take_record_batch(rows, &places).unwrap();
    assert_eq!(mine.column(5), sorted.column(5), "the order itself");
    let mut starts: Vec<usize> = (0..ranked.len()).filter(|i| ranked[*i].number == 0).collect();
    starts.push(ranked.len());
    let partitions: Vec<Range<usize>> = starts.windows(2).map(|p| p[0]..p[1]).collect();
    Some((step.run(&mine, &partitions).unwrap(), expected))
}

/// Sums of these floats are exact, so they must be equal; one NaN is as good as another.
fn same(got: &ArrayRef, expected: &ArrayRef) -> bool {
    match got.as_primitive_opt::<Float64Type>() {
        Some(got) => {
            let expected = expected.as_primitive::<Float64Type>();
            let equal = |(a, b): (Option<f64>, Option<f64>)| match (a, b) {
                (Some(a), Some(b)) => a == b || (a.is_nan() && b.is_nan()),
                (a, b) => a.is_none() && b.is_none(),
            };
            got.len() == expected.len() && got.iter().zip(expected).all(equal)
        }
        None => got == expected,
    }
}

#[test]
fn random_calls_are_those_of_the_reference() {
    let mut checked = 0;
    for seed in 0..700 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let spec = spec(&mut rng);
        let rows = rng.random_range(0..40);
        let rows = batch(&mut rng, rows);
        // One call with a frame that cannot be must not hide the others.
        for call in &spec.calls {
            let one = OverSpec { calls: vec![call.clone()], ..spec.clone() };
            if let Some((got, expected)) = both(&one, &rows) {
                checked += 1;
                assert!(
                    same(&got[0], &expected[0]),
                    "seed {seed}: {} over {} by {:?}: {:?} instead of {:?}",
                    call.function.name(),
                    call.frame,
                    spec.order,
                    got[0],
                    expected[0]
                );
            }
        }
    }
    assert!(checked > 4_000, "only {checked} calls had a frame that can be");
}

#[test]
fn every_size() {
    for rows in [0, 1, 31, 32, 33, 65, 257] {
        let mut rng = ChaCha8Rng::seed_from_u64(rows as u64);
        let rows = batch(&mut rng, rows + 3).slice(2, rows);
        let frame = Frame {
            units: FrameUnits::Rows,
            start: FrameBound::Preceding(Distance::Count(20)),
            end: FrameBound::Following(Distance::Count(3)),
        };
        let calls =
            functions().into_iter().map(|function| OverCall { function, frame, name: "c".to_owned() });
        let spec = OverSpec {
            partition: vec![],
            order: vec![SortKey::ascending(1)],
            ties: vec![],
            calls: calls.collect(),
        };
        let (got, expected) = both(&spec, &rows).unwrap();
        assert!(got.iter().zip(&expected).all(|(got, expected)| same(got, expected)));
    }
}

#[test]
fn floats_that_leave_a_frame_leave_nothing_behind() {
    let x: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 1e300, -1e300, f64::NAN, 2.0, 3.0]));
    let rows = RecordBatch::try_from_iter([
        ("x", x),
        (hidden::ROW, Arc::new(UInt64Array::from_iter_values(0..6)) as ArrayRef),
    ])
    .unwrap();
    let frame = Frame {
        units: FrameUnits::Rows,
        start: FrameBound::Preceding(Distance::Count(1)),
        end: FrameBound::CurrentRow,
    };
    let function = aggregate(AggregateFunction::Sum, Some((0, DataType::Float64)));
    let spec = OverSpec {
        partition: vec![],
        order: vec![],
        ties: vec![],
        calls: vec![OverCall { function, frame, name: "s".to_owned() }],
    };
    let whole = 0..6;
    let sums = OverStep::new(&spec, &rows.schema()).unwrap().run(&rows, &[whole]).unwrap();
    let sums = sums[0].as_primitive::<Float64Type>();
    assert_eq!((sums.value(0), sums.value(1), sums.value(2)), (1.0, 1e300, 0.0));
    assert_eq!(sums.value(5), 5.0);
}

#[test]
fn frames_that_cannot_be_are_refused_with_what_would_be_right() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let schema = batch(&mut rng, 1).schema();
    let refused = |order: Vec<SortKey>, units, start, end| {
        let frame = Frame { units, start, end };
        let call = OverCall { function: OverFunction::FirstValue(0), frame, name: "c".to_owned() };
        let spec = OverSpec { partition: vec![], order, ties: vec![], calls: vec![call] };
        spec.result_fields(&schema).unwrap_err().to_string()
    };
    let (rows, range, here) = (FrameUnits::Rows, FrameUnits::Range, FrameBound::CurrentRow);
    let two = FrameBound::Following(Distance::Count(2));
    assert!(refused(vec![], rows, two, here).contains("ends before it begins"));
    assert!(refused(vec![], range, here, two).contains("exactly one sort key and not 0"));
    let by_time = vec![SortKey::ascending(3)];
    assert!(refused(by_time.clone(), range, here, two).contains("distances of times are spans"));
    let back = FrameBound::Preceding(Distance::Span(Span(-1)));
    assert!(refused(by_time, range, back, here).contains("negative"));
}
