//! Columns held against the reference, to the bit, over random models and rows.

use super::walk::BLOCK;
use super::*;
use arrow::array::{Decimal128Array, Float32Array, Int64Array, UInt8Array};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sabot_ops::conformance::{THRESHOLDS, tree_model};
use sabot_ops::{Nodes, Objective, PredictColumn, TreeModel, reference};

const FEATURES: usize = 5;

fn model(rng: &mut ChaCha8Rng) -> TreeModel {
    let model = tree_model(rng, (0..FEATURES).map(|feature| format!("f{feature}")).collect());
    model.check().unwrap();
    model
}

/// Features of several types, with nulls over numbers that would lead elsewhere.
fn batch(rng: &mut ChaCha8Rng, rows: usize) -> RecordBatch {
    let dense = rng.random_ratio(1, 4);
    let some = |rng: &mut ChaCha8Rng| dense || rng.random_ratio(5, 6);
    let float = |rng: &mut ChaCha8Rng| match rng.random_ratio(1, 9) {
        true => f64::NAN,
        false => *THRESHOLDS.choose(rng).unwrap(),
    };
    let doubles: Float64Array = (0..rows).map(|_| some(rng).then(|| float(rng))).collect();
    let singles: Float32Array = (0..rows).map(|_| some(rng).then(|| float(rng) as f32)).collect();
    let ints: Int64Array = (0..rows)
        .map(|_| some(rng).then(|| *[0, 1, -1, 7, 16_777_217, i64::MAX].choose(rng).unwrap()))
        .collect();
    let bytes: UInt8Array = (0..rows).map(|_| some(rng).then(|| rng.random_range(0..9))).collect();
    let decimals: Decimal128Array =
        (0..rows).map(|_| some(rng).then(|| *[0, 1, 15, -15, 20, 70].choose(rng).unwrap())).collect();
    let decimals = decimals.with_precision_and_scale(10, 1).unwrap();
    let columns: [ArrayRef; FEATURES] =
        [Arc::new(doubles), Arc::new(singles), Arc::new(ints), Arc::new(bytes), Arc::new(decimals)];
    let named = columns.into_iter().enumerate().map(|(n, column)| (format!("c{n}"), column, true));
    RecordBatch::try_from_iter_with_nullable(named).unwrap()
}

fn spec(rng: &mut ChaCha8Rng, model: TreeModel) -> PredictSpec {
    let values = [
        PredictValue::Margin,
        PredictValue::Prediction,
        PredictValue::Reasons { most: 2 },
        PredictValue::Reasons { most: 9 },
    ];
    let wanted = rng.random_range(0..values.len()) + 1;
    let column = |value| PredictColumn { name: format!("{value:?}"), value };
    let mut features: Vec<usize> = (0..FEATURES).collect();
    features.rotate_left(rng.random_range(0..FEATURES));
    PredictSpec {
        model: Arc::new(model),
        features,
        columns: values[..wanted].iter().copied().map(column).collect(),
    }
}

/// Equality of bits, so that −0 is not 0.
fn assert_same(spec: &PredictSpec, rows: &RecordBatch, what: &str) {
    let got = PredictStep::new(spec, &rows.schema()).unwrap().run(rows).unwrap();
    let expected = reference::predict(spec, rows).unwrap();
    assert_eq!(got.len(), expected.len());
    for ((got, expected), column) in got.iter().zip(&expected).zip(&spec.columns) {
        assert_eq!(got, expected, "{what}: {}", column.name);
        assert_eq!(got.data_type(), &column.value.data_type());
        if let Some(got) = got.as_primitive_opt::<Float64Type>() {
            let bits =
                |floats: &Float64Array| floats.values().iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(got), bits(expected.as_primitive()), "{what}: {}", column.name);
        }
    }
}

#[test]
fn columns_are_those_of_the_reference() {
    for seed in 0..300 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let model = model(&mut rng);
        let spec = spec(&mut rng, model);
        let rows = rng.random_range(0..150);
        assert_same(&spec, &batch(&mut rng, rows), &format!("seed {seed}"));
    }
}

#[test]
fn every_size_and_offset_is_the_same() {
    for rows in [0, 1, 31, 32, 33, BLOCK - 1, BLOCK, BLOCK + 1, 1023, 1025, 5 * BLOCK] {
        let mut rng = ChaCha8Rng::seed_from_u64(rows as u64);
        let model = model(&mut rng);
        let spec = spec(&mut rng, model);
        let rows = batch(&mut rng, rows + 3).slice(2, rows);
        assert_same(&spec, &rows, &format!("{} rows", rows.num_rows()));
    }
}

#[test]
fn a_model_without_features_or_trees_answers_its_base() {
    let (roots, feature, threshold, left, missing, value) = Default::default();
    let nodes = Nodes { roots, feature, threshold, left, missing, value };
    let (base, objective) = (0.25, Objective::Identity);
    let (forest, attributes) = (Forest::Double(nodes), Default::default());
    let mut model = TreeModel { features: vec![], base, divisor: 1, objective, forest, attributes };
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let rows = batch(&mut rng, 3);
    let columns = vec![
        PredictColumn { name: "p".to_owned(), value: PredictValue::Prediction },
        PredictColumn { name: "r".to_owned(), value: PredictValue::Reasons { most: 1 } },
    ];
    let spec = |model: &TreeModel| PredictSpec {
        model: Arc::new(model.clone()),
        features: vec![],
        columns: columns.clone(),
    };
    assert_same(&spec(&model), &rows, "no trees");
    let (roots, feature, threshold) = (vec![0], vec![0], vec![0.0]);
    let (left, missing, value) = (vec![0], vec![0], vec![0.5]);
    model.forest = Forest::Double(Nodes { roots, feature, threshold, left, missing, value });
    assert_same(&spec(&model), &rows, "a leaf");
    let step = PredictStep::new(&spec(&model), &rows.schema()).unwrap();
    assert_eq!(step.run(&rows).unwrap()[0].as_primitive::<Float64Type>().values(), &[0.75; 3]);
}
