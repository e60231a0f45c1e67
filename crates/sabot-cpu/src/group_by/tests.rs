//! Against the reference implementation, on keys and arguments of every type.

use super::*;
use arrow::array::{
    AsArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, DurationMillisecondArray,
    Float32Array, Float64Array, Int8Array, Int32Array, Int64Array, StringArray, StringViewArray,
    Time64MicrosecondArray, TimestampMicrosecondArray, UInt32Array, UInt64Array,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{FieldRef, Float64Type, Int8Type, Int32Type, Schema};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sabot_batch::{Morsel, hidden};
use sabot_ops::{AggregateFunction, AggregateSpec, Fragment, Quantile, reference};

const TEXTS: [&str; 6] = ["", "a", "a\0", "Bremen", "a rather long string", "a rather long strinh"];

/// Rows in which keys repeat, run, are null and are equal without being identical.
fn rows(count: usize, rng: &mut ChaCha8Rng) -> RecordBatch {
    let null = |rng: &mut ChaCha8Rng| rng.random_bool(0.1);
    let mut window = 0i64;
    let windows: Int64Array = (0..count)
        .map(|_| {
            if rng.random_bool(0.05) {
                window += rng.random_range(-2..5) * 3_600_000_000;
            }
            Some(window)
        })
        .collect();
    let dictionary = StringArray::from(vec![Some("ORD"), Some("SFO"), None, Some("ORD"), Some(TEXTS[4])]);
    let codes: Int8Array = (0..count).map(|_| (!null(rng)).then(|| rng.random_range(0..5))).collect();
    let origin = DictionaryArray::<Int8Type>::try_new(codes, Arc::new(dictionary)).unwrap();
    let text: StringArray =
        (0..count).map(|_| (!null(rng)).then(|| TEXTS[rng.random_range(0..TEXTS.len())])).collect();
    let floats = [-0.0, 0.0, f64::NAN, -f64::NAN, f64::INFINITY, 1.5, -3.25];
    let float: Float64Array =
        (0..count).map(|_| (!null(rng)).then(|| floats[rng.random_range(0..7)])).collect();
    let small: Int32Array = (0..count).map(|_| (!null(rng)).then(|| rng.random_range(-9..9))).collect();
    let large: Int64Array =
        (0..count).map(|_| (!null(rng)).then(|| rng.random_range(-2..3) * (i64::MAX / 3))).collect();
    let unsigned: UInt64Array =
        (0..count).map(|_| (!null(rng)).then(|| u64::MAX >> rng.random_range(0..60))).collect();
    let measured: Float64Array = (0..count).map(|_| Some(rng.random_range(-1e3..1e3))).collect();
    let half: Float32Array =
        (0..count).map(|_| (!null(rng)).then(|| rng.random_range(-8..8) as f32 / 2.0)).collect();
    let flag: BooleanArray = (0..count).map(|_| (!null(rng)).then(|| rng.random_bool(0.3))).collect();
    let date: Date32Array = (0..count).map(|_| (!null(rng)).then(|| rng.random_range(-5..5))).collect();
    let time: TimestampMicrosecondArray = (0..count).map(|_| Some(rng.random_range(-5..5))).collect();
    let money: Decimal128Array = (0..count).map(|_| (!null(rng)).then(|| rng.random_range(-5..5))).collect();
    let price: Decimal128Array =
        (0..count).map(|_| (!null(rng)).then(|| rng.random_range(-500..500))).collect();
    let span: DurationMillisecondArray =
        (0..count).map(|_| (!null(rng)).then(|| rng.random_range(-7..70))).collect();
    let view: StringViewArray =
        (0..count).map(|_| (!null(rng)).then(|| TEXTS[rng.random_range(0..TEXTS.len())])).collect();
    let clock: Time64MicrosecondArray =
        (0..count).map(|_| (!null(rng)).then(|| rng.random_range(0..86_400))).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("window", Arc::new(windows)),
        ("origin", Arc::new(origin)),
        ("text", Arc::new(text)),
        ("float", Arc::new(float)),
        ("small", Arc::new(small)),
        ("large", Arc::new(large)),
        ("unsigned", Arc::new(unsigned)),
        ("measured", Arc::new(measured)),
        ("half", Arc::new(half)),
        ("flag", Arc::new(flag)),
        ("date", Arc::new(date)),
        ("time", Arc::new(time.with_timezone("UTC"))),
        ("money", Arc::new(money)),
        ("price", Arc::new(price.with_precision_and_scale(9, 2).unwrap())),
        ("span", Arc::new(span)),
        ("view", Arc::new(view)),
        ("clock", Arc::new(clock)),
        // Few places, so that many rows share one.
        (hidden::TIME, Arc::new(Int64Array::from_iter_values((0..count).map(|_| rng.random_range(-2..3))))),
        (
            hidden::PARTITION,
            Arc::new(UInt32Array::from_iter_values((0..count).map(|_| rng.random_range(0..2)))),
        ),
        (hidden::ROW, Arc::new(UInt64Array::from_iter_values((0..count).map(|_| rng.random_range(0..20))))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let nullable = |f: &FieldRef| f.as_ref().clone().with_nullable(!hidden::is_hidden(f.name()));
    let fields: Vec<_> = batch.schema().fields().iter().map(nullable).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), batch.columns().to_vec()).unwrap()
}

fn aggregate(
    schema: &Schema,
    function: AggregateFunction,
    input: Option<usize>,
    name: String,
) -> AggregateSpec {
    AggregateSpec::new(function, input.map(|i| (i, schema.field(i).data_type().clone())), name)
}

/// Some aggregates of everything that they take, filtered now and then.
fn aggregates(schema: &Schema, rng: &mut ChaCha8Rng) -> Vec<AggregateSpec> {
    use AggregateFunction as F;
    let mut specs = vec![aggregate(schema, F::Count, None, "rows".to_owned())];
    let separator = "-".to_owned();
    let functions =
        [F::Count, F::Sum, F::Avg, F::Min, F::Max, F::CountDistinct, F::BoolOr, F::First, F::Last]
            .into_iter()
            .chain([
                F::ArrayAgg,
                F::StringAgg { separator },
                F::ApproxCountDistinct,
                F::VarPop,
                F::StddevSamp,
            ])
            .chain([F::ApproxQuantile { quantile: Quantile(0.7) }]);
    for function in functions {
        for column in 0..schema.fields().len() {
            let name = format!("{}{column}", function.name());
            let mut spec = aggregate(schema, function.clone(), Some(column), name);
            // What rounds has bounds of its own, which the conformance suite knows.
            let moment = matches!(function, F::VarPop | F::StddevSamp);
            if moment && !schema.field(column).data_type().is_integer() {
                continue;
            }
            // Sets and sketches are of keys, and views are none here.
            let of_keys = matches!(function, F::CountDistinct | F::ApproxCountDistinct);
            if of_keys && schema.field(column).data_type() == &DataType::Utf8View {
                continue;
            }
            if spec.result_field().is_ok() && rng.random_bool(0.15) {
                spec.filter = rng.random_bool(0.2).then_some(9);
                specs.push(spec);
            }
        }
    }
    specs
}

fn specs(schema: &Schema, rng: &mut ChaCha8Rng) -> GroupBySpec {
    let keys: Vec<usize> = match rng.random_range(0..6) {
        0 => vec![],
        1 => vec![0, 1],
        2 => vec![1],
        3 => vec![9, 10, 1],
        _ => (0..rng.random_range(1..4)).map(|_| rng.random_range(0..13)).collect(),
    };
    let mut keys = keys;
    keys.sort_unstable();
    keys.dedup();
    let hashed = (0..keys.len()).filter(|_| rng.random_bool(0.7)).collect();
    GroupBySpec {
        keys,
        hashed,
        seed: rng.random(),
        aggregates: aggregates(schema, rng),
        mode: GroupByMode::Partial,
    }
}

fn slow(spec: &GroupBySpec, batch: &RecordBatch) -> Result<RecordBatch, Failure> {
    let fragment = Fragment::new(batch.schema(), vec![spec.clone().into()]).unwrap();
    let output = reference::run(&fragment, &Morsel::new(batch.clone()))?;
    let batches: Vec<RecordBatch> =
        output.morsels.into_iter().map(|(_, m)| m.into_dense_host().unwrap()).collect();
    Ok(concat_batches(fragment.output(), &batches).unwrap())
}

/// Equal; float sums within twice the bound that each side keeps.
fn assert_same(fast: &RecordBatch, slow: &RecordBatch, keys: usize, context: &str) {
    assert_eq!(fast.schema(), slow.schema(), "{context}");
    assert_eq!(fast.num_rows(), slow.num_rows(), "{context}");
    for (i, field) in fast.schema().fields().iter().enumerate() {
        let (a, b) = (fast.column(i), slow.column(i));
        let rounded = field.name().starts_with("sum") || field.name().starts_with("avg");
        match a.as_primitive_opt::<Float64Type>() {
            // Of equal zeros min and max may return either.
            Some(a) if i >= keys => {
                let bound = if rounded { 1e-7 } else { 0.0 };
                for (x, y) in a.iter().zip(b.as_primitive::<Float64Type>().iter()) {
                    let near = match (x, y) {
                        (Some(x), Some(y)) => x == y || x.is_nan() && y.is_nan() || (x - y).abs() < bound,
                        (x, y) => x == y,
                    };
                    assert!(near, "{context}: {} is {x:?}, should be {y:?}", field.name());
                }
            }
            _ => assert_eq!(a, b, "{context}: column {}", field.name()),
        }
    }
}

/// Partial of two batches, merge of both, values; each held against the reference. `spoil` may change
/// the batch that only the fast side sees.
fn check(seed: u64, count: usize, spoil: impl Fn(RecordBatch) -> RecordBatch) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let schema = rows(0, &mut rng).schema();
    let spec = specs(&schema, &mut rng);
    let keys = spec.keys.len();
    let mut step = GroupByStep::new(&spec, &schema).unwrap();
    let mut partial = Vec::new();
    for _ in 0..2 {
        let batch = rows(count + 5, &mut rng).slice(5, count);
        let fast = step.run(&spoil(batch.clone())).unwrap();
        assert_same(&fast, &slow(&spec, &batch).unwrap(), keys, &format!("seed {seed}: {spec:?}"));
        partial.push(fast);
    }
    let merge = spec.to_merge();
    let all = concat_batches(step.output(), &partial).unwrap();
    let merged = GroupByStep::new(&merge, &all.schema()).unwrap().run(&all).unwrap();
    assert_same(&merged, &slow(&merge, &all).unwrap(), keys, &format!("merge, seed {seed}"));
    let finish = spec.to_final();
    let values = GroupByStep::new(&finish, &all.schema()).unwrap().run(&merged);
    match (values, slow(&finish, &merged)) {
        (Ok(fast), Ok(slow)) => assert_same(&fast, &slow, keys, &format!("final, seed {seed}")),
        (Err(Failure::Row(fast)), Err(Failure::Row(slow))) => assert_eq!(fast, slow),
        (fast, slow) => panic!("seed {seed}: {fast:?} against {slow:?}"),
    }
}

#[test]
fn all_modes_agree_with_the_reference() {
    for seed in 0..150 {
        check(seed, [0, 1, 31, 33, 64, 300][seed as usize % 6], |batch| batch);
    }
}

#[test]
#[should_panic(expected = "seed")]
fn canary_a_changed_row_is_noticed() {
    for seed in 0..20 {
        check(seed, 64, |batch| {
            concat_batches(&batch.schema(), &[batch.slice(1, 63), batch.slice(0, 1)]).unwrap()
        });
    }
}

#[test]
fn sums_leave_64_bits_and_come_back() {
    let schema = Schema::new(vec![arrow::datatypes::Field::new("large", DataType::Int64, true)]);
    let sum = aggregate(&schema, AggregateFunction::Sum, Some(0), "total".to_owned());
    let mut state = Accumulators::new(std::slice::from_ref(&sum)).unwrap();
    state.resize(1);
    let mut add = |values: Vec<i64>| {
        let batch =
            RecordBatch::try_new(Arc::new(schema.clone()), vec![Arc::new(Int64Array::from(values.clone()))]);
        state.update(&vec![0; values.len()], &batch.unwrap()).unwrap();
        state.finish(&[0])
    };
    assert_eq!(add(vec![i64::MAX]).unwrap()[0].as_ref(), &Int64Array::from(vec![i64::MAX]));
    let error = add(vec![i64::MAX, 2]).unwrap_err();
    let AccumulateError::Overflow { aggregate, position: 0, sum, .. } = &error else { panic!("{error}") };
    assert_eq!((aggregate.as_str(), sum), ("total", &(i128::from(i64::MAX) * 2 + 2).to_string()));
    let back = add(vec![-i64::MAX, i64::MIN, i64::MIN]).unwrap();
    assert_eq!(back[0].as_ref(), &Int64Array::from(vec![-i64::MAX]));
}

#[test]
fn an_unfit_batch_is_an_internal_failure() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let batch = rows(3, &mut rng);
    let mut state =
        Accumulators::new(&[aggregate(&batch.schema(), AggregateFunction::Sum, Some(4), "s".to_owned())])
            .unwrap();
    state.resize(1);
    assert!(matches!(state.update(&[0, 0, 1], &batch), Err(AccumulateError::Input { .. })));
    assert!(matches!(state.update(&[0, 0], &batch), Err(AccumulateError::Input { .. })));
    assert!(matches!(
        state.update(&[0; 3], &batch.project(&[0]).unwrap()),
        Err(AccumulateError::Input { .. })
    ));
    let text = batch.project(&[2, 2, 2, 2, 2]).unwrap();
    assert!(matches!(state.update(&[0; 3], &text), Err(AccumulateError::Input { .. })));
    assert!(state.merge(&[0; 3], &[]).is_err());
    let spec = specs(&batch.schema(), &mut rng);
    let mut step = GroupByStep::new(&spec, &batch.schema()).unwrap();
    assert!(matches!(step.run(&batch.project(&[0]).unwrap()), Err(Failure::Internal(_))));
}

#[test]
fn direct_addressing_gives_up_and_tries_again() {
    let mut dense = DenseKeys::default();
    let (mut ids, mut firsts) = (Vec::new(), Vec::new());
    let many: ArrayRef = Arc::new(Int64Array::from((0..1000).collect::<Vec<i64>>()));
    let few: ArrayRef = Arc::new(Int64Array::from(vec![7, 7, 8, 7]));
    assert!(!dense.assign(&[many], &mut ids, &mut firsts));
    let mut pauses = 0;
    while !dense.assign(std::slice::from_ref(&few), &mut ids, &mut firsts) {
        pauses += 1;
    }
    assert!(pauses > 0);
    assert_eq!((ids, firsts), (vec![0, 0, 1, 0], vec![0, 2]));
}

#[test]
fn a_new_dictionary_is_not_taken_for_the_old_one() {
    let mut dense = DenseKeys::default();
    let (mut ids, mut firsts) = (Vec::new(), Vec::new());
    let keys = Int32Array::from(vec![0, 1, 0]);
    for values in [["a", "b"], ["c", "c"], ["d", "e"]] {
        let array: ArrayRef = Arc::new(
            DictionaryArray::<Int32Type>::try_new(keys.clone(), Arc::new(StringArray::from(values.to_vec())))
                .unwrap(),
        );
        assert!(dense.assign(&[array], &mut ids, &mut firsts));
        assert_eq!(ids, if values[0] == values[1] { [0, 0, 0] } else { [0, 1, 0] });
    }
}
