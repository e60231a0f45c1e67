//! Joins against nested loops.

use arrow::array::{ArrayRef, BinaryArray, Int64Array, StringArray, UInt32Array, UInt64Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{Field, Schema, TimeUnit};
use rand::Rng;
use rand::SeedableRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;
use sabot_batch::{hidden, key_hash};
use sabot_expr::{FunctionRegistry, Scalar, col, resolve};
use sabot_ops::{Direction, JoinColumn, JoinSource, Nearest, reference};
use sabot_testkit::array::{Spread, random_array, types};
use sabot_testkit::{batch_difference, expr::random_predicate};
use std::sync::Arc;

use super::*;

const KINDS: [JoinKind; 6] =
    [JoinKind::Inner, JoinKind::Left, JoinKind::Right, JoinKind::Full, JoinKind::Semi, JoinKind::Anti];

/// Sizes of the side that is looped over, and of the other; nested loops bound their product.
const SIZES: [(usize, usize); 14] = [
    (0, 0),
    (0, 33),
    (1, 0),
    (1, 1),
    (31, 32),
    (32, 31),
    (33, 65),
    (65, 33),
    (1023, 33),
    (1025, 2),
    (33, 1025),
    (130, 130),
    (2, 1023),
    (2100, 7),
];

struct Case {
    spec: JoinSpec,
    probe: RecordBatch,
    build: RecordBatch,
}

fn plain(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, value) => value,
        DataType::RunEndEncoded(_, value) => value.data_type(),
        other => other,
    }
}

/// One side: keys, a time, a payload, and its place, in any order.
fn side(rng: &mut ChaCha8Rng, name: &str, keys: &[DataType], rows: usize, keyed: bool) -> RecordBatch {
    let mut fields: Vec<Field> = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    let share = [0.0, 0.1, 0.5, 1.0].choose(rng).copied().unwrap_or(0.0);
    let instant = DataType::Timestamp(TimeUnit::Millisecond, None);
    let payload = types().choose(rng).unwrap().clone();
    let all = keys.iter().chain([&instant, &payload]);
    for (i, data_type) in all.enumerate() {
        fields.push(Field::new(format!("{name}{i}"), data_type.clone(), true));
        columns.push(random_array(rng, data_type, rows, share, Spread::Narrow));
    }
    // In disorder: the build side must be put in order.
    let mut order: Vec<u64> = (0..rows as u64).collect();
    if rng.random() {
        order.shuffle(rng);
    }
    let partitions: Vec<u32> = (0..rows).map(|_| rng.random_range(0..3)).collect();
    for (name, column) in [
        (
            hidden::TIME,
            Arc::new(Int64Array::from_iter_values((0..rows).map(|_| rng.random_range(-5..5)))) as ArrayRef,
        ),
        (hidden::LATE, Arc::new(Int64Array::from_iter_values((0..rows).map(|_| rng.random_range(0..2))))),
        (hidden::PARTITION, Arc::new(UInt32Array::from(partitions))),
        (hidden::ROW, Arc::new(UInt64Array::from(order))),
    ] {
        fields.push(hidden::field(name).unwrap());
        columns.push(column);
    }
    if keyed {
        let keys: Vec<Vec<u8>> = (0..rows).map(|_| vec![rng.random(), rng.random()]).collect();
        fields.push(hidden::field(hidden::KEY).unwrap());
        columns.push(Arc::new(BinaryArray::from_iter_values(keys)));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn case(seed: u64) -> Case {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (left, right) = SIZES[seed as usize % SIZES.len()];
    let wanted = rng.random_range(0..=3);
    let can_be: Vec<DataType> = types().into_iter().filter(key_hash::supports_key).collect();
    let keyed: Vec<DataType> = (0..wanted).map(|_| can_be.choose(&mut rng).unwrap().clone()).collect();
    // A dictionary meets its values, and another dictionary; so do runs.
    let other = keyed.iter().map(|t| if rng.random() { plain(t).clone() } else { t.clone() });
    let other: Vec<DataType> = other.collect();
    let kind = KINDS[rng.random_range(0..KINDS.len())];
    let with_key = rng.random();
    let probe = side(&mut rng, "l", &keyed, left, with_key);
    let key_too = rng.random();
    let build = side(&mut rng, "r", &other, right, key_too);
    let nearest = rng.random_bool(0.25).then(|| Nearest {
        probe: wanted,
        build: wanted,
        direction: if rng.random() { Direction::Backward } else { Direction::Forward },
        tolerance: rng.random_bool(0.5).then(|| rng.random_range(0..100_000_000)),
    });
    let both = JoinSpec::condition_schema(&visible(&probe), &visible(&build));
    let condition = rng.random_bool(0.4).then(|| {
        // Over the visible columns, which stand before the hidden ones.
        let shift = probe.num_columns() - hidden::visible_schema(probe.schema_ref()).fields().len();
        let first = hidden::visible_schema(probe.schema_ref()).fields().len();
        random_predicate(&mut rng, &both, 2).map_columns(&|c| if c < first { c } else { c + shift })
    });
    let mut columns = Vec::new();
    let column = |name: &str, source| JoinColumn { name: name.to_owned(), source };
    for (i, field) in probe.schema().fields().iter().enumerate() {
        let hidden_key = field.name() == hidden::KEY;
        let timed = [hidden::TIME, hidden::LATE].contains(&field.name().as_str());
        if !(hidden_key || timed && kind.keeps_build()) {
            columns.push(column(field.name(), JoinSource::Probe(i)));
        }
    }
    if kind.gives_build() {
        for i in 0..wanted + 2 {
            columns.push(column(&format!("r{i}"), JoinSource::Build(i)));
        }
        if let Some(i) = (0..wanted).find(|i| keyed[*i] == other[*i]) {
            columns.push(column("either", JoinSource::Either { probe: i, build: i }));
        }
        let place = |name| probe.schema().index_of(name).ok();
        let time = place(hidden::TIME).zip(place(hidden::LATE)).filter(|_| kind.keeps_build());
        columns.push(column(hidden::KEY, JoinSource::Order { probe: place(hidden::KEY), time }));
    }
    let keys = (0..wanted).map(|i| (i, i)).collect();
    let spec = JoinSpec { kind, keys, nearest, condition, unique: false, seed, columns, ordinal: 5 };
    Case { spec, probe, build }
}

fn visible(batch: &RecordBatch) -> Schema {
    hidden::visible_schema(batch.schema_ref())
}

/// The whole result: the probe side in batches, the results in parts.
fn run(case: &Case, build: &RecordBatch, rng: &mut ChaCha8Rng) -> Result<RecordBatch, JoinError> {
    let joiner = Joiner::new(case.spec.clone(), case.probe.schema(), case.build.schema())?;
    let cut = rng.random_range(0..=build.num_rows());
    let table = joiner.table(&[build.slice(0, cut), build.slice(cut, build.num_rows() - cut)])?;
    assert!(table.bytes() > 0 || build.num_rows() == 0);
    let max_rows = *[1, 2, 7, 1024].choose(rng).unwrap();
    let mut matched = Matched::new(build.num_rows());
    let mut parts = Vec::new();
    let mut at = 0;
    while at < case.probe.num_rows() {
        let rows = rng.random_range(1..=case.probe.num_rows() - at);
        let mut probe = joiner.probe(&table, case.probe.slice(at, rows))?;
        loop {
            let next = joiner.next(&table, &mut probe, Some(&mut matched), max_rows);
            // Rows are counted over the whole input.
            let next = next.map_err(|error| match error {
                JoinError::Row(e) => JoinError::Row(RowError { row: e.row + at, ..e }),
                other => other,
            })?;
            let Some(part) = next else { break };
            assert!((1..=max_rows).contains(&part.num_rows()));
            parts.push(part);
        }
        assert!(probe.is_done());
        at += rows;
    }
    if case.spec.kind.keeps_build() {
        let mut at = 0;
        while let Some(part) = joiner.unmatched(&table, &matched, &mut at, max_rows)? {
            assert!((1..=max_rows).contains(&part.num_rows()));
            parts.push(part);
        }
    }
    Ok(concat_batches(joiner.output_schema(), &parts)?)
}

/// What is wrong with a case, and whether it had rows, or an error.
fn verify(case: &Case, build: &RecordBatch, rng: &mut ChaCha8Rng) -> Result<(usize, bool), String> {
    let expected = reference::join(&case.spec, &case.probe, &case.build);
    match (run(case, build, rng), expected) {
        (Ok(got), Ok(expected)) => match batch_difference(&got, &expected) {
            None => Ok((got.num_rows(), false)),
            Some(difference) => Err(difference),
        },
        (Err(JoinError::Row(got)), Err(Failure::Row(expected))) if got == expected => Ok((0, true)),
        (got, expected) => Err(format!("{got:?} instead of {expected:?}")),
    }
}

#[test]
fn joins_are_what_nested_loops_say() {
    let (mut rows, mut errors) = (0, 0);
    for seed in 0..600 {
        let case = case(seed);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (given, failed) = verify(&case, &case.build, &mut rng)
            .unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}\n{:#?}", case.spec));
        rows += given;
        errors += usize::from(failed);
    }
    assert!(rows > 50_000 && errors > 2, "{rows} rows, {errors} errors: the cases prove little");
}

/// A table that has lost a row is noticed.
#[test]
fn a_lost_row_is_noticed() {
    let mut found = 0;
    for seed in 0..100 {
        let case = case(seed);
        let rows = case.build.num_rows();
        if rows == 0 {
            continue;
        }
        let short = case.build.slice(0, rows - 1);
        found += usize::from(verify(&case, &short, &mut ChaCha8Rng::seed_from_u64(seed)).is_err());
    }
    assert!(found > 10, "only {found} of 100 joins noticed a lost row");
}

fn table_of(keys: Vec<Option<&str>>, unique: bool) -> Result<(Joiner, JoinTable), JoinError> {
    let text = |values| Arc::new(StringArray::from(values)) as ArrayRef;
    let build = RecordBatch::try_from_iter_with_nullable([("iata", text(keys), true)]).unwrap();
    let spec = JoinSpec {
        kind: JoinKind::Inner,
        keys: vec![(0, 0)],
        nearest: None,
        condition: None,
        unique,
        seed: 3,
        columns: vec![JoinColumn { name: "origin".to_owned(), source: JoinSource::Probe(0) }],
        ordinal: 0,
    };
    let probe = Arc::new(Schema::new(vec![Field::new("origin", DataType::Utf8, true)]));
    let joiner = Joiner::new(spec, probe, build.schema())?;
    let table = joiner.table(&[build])?;
    Ok((joiner, table))
}

#[test]
fn a_key_that_should_be_unique_and_is_not_is_named() {
    let keys = vec![Some("SFO"), None, Some("JFK"), None, Some("JFK")];
    let error = table_of(keys.clone(), true).unwrap_err().to_string();
    assert!(error.starts_with("the key (JFK) stands in two rows of the table"), "{error}");
    assert!(table_of(keys, false).is_ok());
    assert!(table_of(vec![Some("SFO"), None, None], true).is_ok(), "a null is no key");
}

/// A key with many matches is given in parts, and the numbers of the matches go on.
#[test]
fn a_heavy_key_makes_no_large_batch() {
    let (joiner, table) = table_of(vec![Some("a"); 10_000], false).unwrap();
    let probe = RecordBatch::try_new(
        joiner.probe_schema().clone(),
        vec![Arc::new(StringArray::from(vec!["a", "b", "a"]))],
    );
    let mut probe = joiner.probe(&table, probe.unwrap()).unwrap();
    let mut parts = Vec::new();
    while let Some(part) = joiner.next(&table, &mut probe, None, 3_000).unwrap() {
        parts.push(part.num_rows());
    }
    assert_eq!(parts.iter().sum::<usize>(), 20_000);
    assert!(parts.iter().all(|rows| *rows <= 3_000), "{parts:?}");
}

#[test]
fn what_does_not_fit_is_refused() {
    let (joiner, table) = table_of(vec![Some("a")], false).unwrap();
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let numbers = RecordBatch::try_from_iter([("origin", numbers)]).unwrap();
    assert!(matches!(joiner.probe(&table, numbers.clone()), Err(JoinError::Internal(_))));
    assert!(matches!(joiner.table(std::slice::from_ref(&numbers)), Err(JoinError::Internal(_))));
    let mut spec = joiner.spec().clone();
    let refused = |spec: &JoinSpec| {
        Joiner::new(spec.clone(), joiner.probe_schema().clone(), numbers.schema()).unwrap_err().to_string()
    };
    assert_eq!(refused(&spec), "join: key \"origin\" is int64; it must be utf8, as \"origin\" is");
    spec.keys = vec![(0, 7)];
    assert_eq!(refused(&spec), "join: column 7 of a schema with 1 columns");
    spec.keys = vec![];
    let both = JoinSpec::condition_schema(&Schema::empty(), numbers.schema_ref());
    spec.condition = Some(resolve(&(col("origin") + 1), &both, &FunctionRegistry::new()).unwrap());
    assert!(refused(&spec).contains("it must be bool"), "{}", refused(&spec));
}

/// A slice at an offset, with poison before and behind it, is joined like a copy.
#[test]
fn slices_are_joined_as_copies_are() {
    for seed in 0..40 {
        let mut case = case(seed);
        let (probe, build) = (case.probe.clone(), case.build.clone());
        if probe.num_rows() < 4 || build.num_rows() < 4 {
            continue;
        }
        case.probe = probe.slice(2, probe.num_rows() - 3);
        case.build = build.slice(1, build.num_rows() - 2);
        verify(&case, &case.build.clone(), &mut ChaCha8Rng::seed_from_u64(seed)).unwrap();
        let all: UInt32Array = (0..case.build.num_rows() as u32).collect();
        case.build = take_record_batch(&case.build, &all).unwrap();
        verify(&case, &case.build.clone(), &mut ChaCha8Rng::seed_from_u64(seed)).unwrap();
    }
}

/// Rows of any type, of slices too, picked with and without nulls among the indices.
#[test]
fn rows_of_every_type_are_gathered() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    for data_type in types() {
        for rows in [0, 1, 40] {
            let array = random_array(&mut rng, &data_type, rows + 7, 0.2, Spread::Narrow).slice(3, rows);
            for share in [0.0, 0.3, 1.0] {
                let mut index =
                    || (rows > 0 && !rng.random_bool(share)).then(|| rng.random_range(0..rows as u32));
                let indices: Vec<Option<u32>> = (0..25).map(|_| index()).collect();
                let got = sabot_batch::gather(&array, &UInt32Array::from(indices.clone())).unwrap();
                assert_eq!(got.data_type(), &data_type);
                got.to_data().validate_full().unwrap();
                for (place, index) in indices.into_iter().enumerate() {
                    let got = Scalar::from_array(&got, place).unwrap();
                    match index {
                        None => assert!(got.is_null(), "{data_type}: {got}"),
                        Some(row) => {
                            let wanted = Scalar::from_array(&array, row as usize).unwrap();
                            assert!(
                                got == wanted || got.to_string() == wanted.to_string(),
                                "{data_type}: {got}"
                            );
                        }
                    }
                }
            }
        }
    }
}
