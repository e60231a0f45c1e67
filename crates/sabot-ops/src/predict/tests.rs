//! Models against what their libraries predict, and texts that are none.

use super::*;
use crate::reference;
use arrow::array::{Array, ArrayRef, AsArray, Float32Array, Float64Array, RecordBatch};
use arrow::datatypes::Float64Type;
use std::path::Path;

const XGBOOST: [&str; 4] = ["logistic", "forest", "regression", "constant"];
const LIGHTGBM: [&str; 6] = ["binary", "regression", "zeros", "no-missing", "forest", "constant"];

fn text(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/predict/golden").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A model, rows, and behind the features of each what the library says of it.
fn golden(file: &str) -> (TreeModel, Vec<Vec<Option<f64>>>) {
    let model = match file.starts_with("xgboost") {
        true => TreeModel::from_xgboost(&text(&format!("{file}.json"))).unwrap(),
        false => TreeModel::from_lightgbm(&text(&format!("{file}.txt"))).unwrap(),
    };
    let number = |cell: &str| (!cell.is_empty()).then(|| cell.parse().unwrap());
    let table = text(&format!("{file}.csv"));
    let rows: Vec<Vec<_>> = table.lines().map(|line| line.split(',').map(number).collect()).collect();
    assert!(rows.len() >= 90, "{} rows prove little", rows.len());
    (model, rows)
}

/// The margins, the predictions, and the contributions by name.
fn predicted(model: TreeModel, rows: &[Vec<Option<f64>>]) -> (Vec<f64>, Vec<f64>, ArrayRef) {
    let column = |feature: usize| rows.iter().map(move |row| row[feature]);
    let columns = (0..model.features.len()).map(|feature| -> (String, ArrayRef) {
        let array: ArrayRef = match model.forest {
            Forest::Single(_) => {
                Arc::new(Float32Array::from_iter(column(feature).map(|x| x.map(|x| x as f32))))
            }
            Forest::Double(_) => Arc::new(Float64Array::from_iter(column(feature))),
        };
        (model.features[feature].clone(), array)
    });
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true))).unwrap();
    let most = PredictValue::Reasons { most: 99 };
    let columns = [PredictValue::Margin, PredictValue::Prediction, most];
    let named = |value| PredictColumn { name: format!("{value:?}"), value };
    let features = (0..model.features.len()).collect();
    let spec = PredictSpec { model: Arc::new(model), features, columns: columns.map(named).to_vec() };
    let results = reference::predict(&spec, &batch).unwrap();
    let floats = |column: &ArrayRef| column.as_primitive::<Float64Type>().values().to_vec();
    (floats(&results[0]), floats(&results[1]), results[2].clone())
}

fn assert_close(got: f64, expected: f64, bound: f64, what: &str) {
    let error = (got - expected).abs() / expected.abs().max(1e-30);
    assert!(error <= bound, "{what}: {got} is not {expected}, off by {error:e}");
}

#[test]
fn xgboost_predicts_the_same() {
    for name in XGBOOST {
        let (model, rows) = golden(&format!("xgboost-{name}"));
        let (features, names) = (model.features.len(), model.features.clone());
        let (margins, predictions, reasons) = predicted(model, &rows);
        for (row, values) in rows.iter().enumerate() {
            let what = format!("{name}, row {row}");
            let expected: Vec<f64> = values[features..].iter().map(|value| value.unwrap()).collect();
            assert_eq!(margins[row], expected[0], "{what}");
            assert_close(predictions[row], expected[1], 4e-7, &what);
            let reasons = reasons.as_list::<i32>().value(row);
            let (reasons, mut rest) = (reasons.as_struct(), margins[row]);
            let mut found = vec![0.0; features];
            for reason in 0..reasons.len() {
                let name = reasons.column(0).as_string::<i32>().value(reason);
                let contribution = reasons.column(1).as_primitive::<Float64Type>().value(reason);
                found[names.iter().position(|n| n == name).unwrap()] = contribution;
                rest -= contribution;
            }
            // The library's contributions are sums of float32; what they are of is the scale of their error.
            let scale = expected[2..].iter().fold(1.0_f64, |scale, x| scale.max(x.abs()));
            for (feature, contribution) in found.iter().enumerate() {
                assert!((contribution - expected[2 + feature]).abs() <= 2e-6 * scale, "{what}: {feature}");
            }
            assert!((rest - expected[2 + features]).abs() <= 2e-6 * scale, "{what}: the constant part");
        }
    }
}

#[test]
fn lightgbm_predicts_the_same() {
    for name in LIGHTGBM {
        let (model, rows) = golden(&format!("lightgbm-{name}"));
        let (features, divisor) = (model.features.len(), f64::from(model.divisor));
        let (margins, predictions, _) = predicted(model, &rows);
        for (row, values) in rows.iter().enumerate() {
            let what = format!("{name}, row {row}");
            // Its raw score of a mean is the sum.
            assert_eq!(margins[row], values[features].unwrap() / divisor, "{what}");
            assert_close(predictions[row], values[features + 1].unwrap(), 1e-15, &what);
        }
    }
}

/// The goldens would not see a fault that no row meets.
#[test]
fn goldens_meet_what_differs() {
    let differs = |file: &str, change: fn(&mut TreeModel)| {
        let (mut model, rows) = golden(file);
        let margins = predicted(model.clone(), &rows).0;
        change(&mut model);
        assert_ne!(margins, predicted(model, &rows).0, "{file}");
    };
    fn double(model: &mut TreeModel, change: fn(&mut Nodes<f64>)) {
        if let Forest::Double(nodes) = &mut model.forest {
            change(nodes);
        }
    }

    // `<` instead of `<=`, and the other way round.
    differs("lightgbm-binary", |model| {
        double(model, |nodes| nodes.threshold.iter_mut().for_each(|t| *t = t.next_down()));
    });
    differs("xgboost-logistic", |model| {
        if let Forest::Single(nodes) = &mut model.forest {
            nodes.threshold.iter_mut().for_each(|t| *t = t.next_up());
        }
    });
    differs("lightgbm-zeros", |model| {
        double(model, |nodes| nodes.missing.iter_mut().for_each(|bits| *bits &= !ZERO_IS_MISSING));
    });
    differs("lightgbm-no-missing", |model| {
        double(model, |nodes| nodes.missing.iter_mut().for_each(|bits| *bits ^= MISSING_RIGHT));
    });
    differs("xgboost-regression", |model| {
        if let Forest::Single(nodes) = &mut model.forest {
            nodes.missing.iter_mut().for_each(|bits| *bits ^= MISSING_RIGHT);
        }
    });
}

#[test]
fn models_come_back_from_storage_to_the_bit() {
    for file in
        XGBOOST.map(|n| format!("xgboost-{n}")).iter().chain(&LIGHTGBM.map(|n| format!("lightgbm-{n}")))
    {
        let (model, _) = golden(file);
        let back: TreeModel = serde_json::from_str(&serde_json::to_string(&model).unwrap()).unwrap();
        assert_eq!(back, model, "{file}");
        back.check().unwrap();
    }
}

#[test]
fn attributes_of_xgboost_are_kept() {
    let json = text("xgboost-logistic.json");
    let attributes = |with: &str| {
        let empty = r#""attributes":{}"#;
        assert!(json.contains(empty));
        TreeModel::from_xgboost(&json.replacen(empty, with, 1))
    };
    assert!(attributes(r#""attributes":{}"#).unwrap().attributes.is_empty());
    assert!(attributes(r#""others":{}"#).unwrap().attributes.is_empty());
    let model = attributes(r#""attributes":{"threshold":"0.25","by":""}"#).unwrap();
    let told: Vec<(&str, &str)> =
        model.attributes.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    assert_eq!(told, [("by", ""), ("threshold", "0.25")]);
    let stored = serde_json::to_string(&model).unwrap();
    assert_eq!(serde_json::from_str::<TreeModel>(&stored).unwrap(), model);
    // Models that were stored before there were attributes.
    let older = stored.replacen(r#","attributes":{"by":"","threshold":"0.25"}"#, "", 1);
    assert_ne!(older, stored);
    assert!(serde_json::from_str::<TreeModel>(&older).unwrap().attributes.is_empty());
    let refused = attributes(r#""attributes":{"threshold":0.25}"#).unwrap_err().to_string();
    assert!(refused.starts_with("XGBoost JSON: learner.attributes: invalid type"), "{refused}");
}

#[test]
fn what_is_not_supported_is_named() {
    let (json, lines) = (text("xgboost-logistic.json"), text("lightgbm-binary.txt"));
    let xgboost = |from: &str, to: &str| {
        assert!(json.contains(from), "{from}");
        TreeModel::from_xgboost(&json.replacen(from, to, 1)).unwrap_err().to_string()
    };
    let lightgbm = |from: &str, to: &str| {
        assert!(lines.contains(from), "{from}");
        TreeModel::from_lightgbm(&lines.replacen(from, to, 1)).unwrap_err().to_string()
    };
    let text = "XGBoost JSON: learner.gradient_booster.name: the booster dart is not supported; gbtree is";
    assert_eq!(xgboost(r#""name":"gbtree""#, r#""name":"dart""#), text);
    let refused = xgboost("binary:logistic", "rank:ndcg");
    assert!(refused.contains("the objective rank:ndcg is not supported; binary:logistic and"), "{refused}");
    let refused = xgboost(r#""num_class":"0""#, r#""num_class":"3""#);
    assert!(
        refused.contains("learner_model_param.num_class: several classes are not supported"),
        "{refused}"
    );
    let refused = xgboost(r#""num_target":"1""#, r#""num_target":"2""#);
    assert!(refused.contains("several targets are not supported"), "{refused}");
    let refused = xgboost(r#""size_leaf_vector":"1""#, r#""size_leaf_vector":"2""#);
    assert!(
        refused.contains("trees[0].tree_param.size_leaf_vector: leaves with several values"),
        "{refused}"
    );
    let refused = xgboost(r#""split_type":[0"#, r#""split_type":[1"#);
    assert!(refused.contains("trees[0].split_type[0]: a categorical split is not supported"), "{refused}");
    let refused = xgboost(r#""left_children":[1"#, r#""left_children":[99"#);
    assert!(refused.contains("model.trees[0]: no node 99 among"), "{refused}");
    let refused = xgboost(r#""left_children":[1"#, r#""left_children":[0"#);
    assert!(refused.contains("model.trees[0]: two ways lead to node 0; a tree has one"), "{refused}");
    let refused = xgboost(r#""split_indices":["#, r#""split_indices":[77,"#);
    assert!(refused.contains("trees[0].split_indices: "), "{refused}");
    let names = r#"["distance","delay","hour","seats","wind","price"]"#;
    let nameless =
        json.replacen(names, "[]", 1).replace(r#""num_feature":"6""#, r#""num_feature":"99999999999""#);
    let refused = TreeModel::from_xgboost(&nameless).unwrap_err().to_string();
    assert!(refused.contains("num_feature: 99999999999 features; at most"), "{refused}");
    let conditions = r#""split_conditions":["#;
    let (before, behind) = json.split_once(conditions).unwrap();
    let (_, behind) = behind.split_once(',').unwrap();
    let beyond = format!("{before}{conditions}1e99,{behind}");
    let refused = TreeModel::from_xgboost(&beyond).unwrap_err().to_string();
    assert!(refused.contains("split_conditions[0]: 1e99, where a finite float32"), "{refused}");
    let refused = xgboost(r#""base_score":"["#, r#""base_score":"[1"#);
    assert!(refused.ends_with("is no probability between 0 and 1"), "{refused}");

    let refused = lightgbm("objective=binary sigmoid:0.7", "objective=poisson");
    assert!(refused.contains("line 7: the objective \"poisson\" is not supported; binary and"), "{refused}");
    let refused = lightgbm("objective=binary sigmoid:0.7", "objective=regression sqrt");
    assert!(refused.contains("the objective \"regression sqrt\" is"), "{refused}");
    let refused = lightgbm("num_cat=0", "num_cat=2");
    assert!(refused.contains("categorical splits are not supported"), "{refused}");
    let refused = lightgbm("is_linear=0", "is_linear=1");
    assert!(refused.contains("linear trees are not supported"), "{refused}");
    let refused = lightgbm("decision_type=10", "decision_type=11");
    assert!(refused.contains("a categorical split is not supported"), "{refused}");
    let refused = lightgbm("decision_type=10", "decision_type=12");
    assert!(refused.contains("12 is no decision_type"), "{refused}");
    let refused = lightgbm("threshold=", "threshold=1 ");
    assert!(refused.contains("15 values of threshold, where 14 are expected"), "{refused}");
    let refused = lightgbm("leaf_value=", "leaf_value=x");
    assert!(refused.contains("in leaf_value is no number of its kind"), "{refused}");
    let (before, behind) = lines.split_once("leaf_value=").unwrap();
    let (_, behind) = behind.split_once(' ').unwrap();
    let refused =
        TreeModel::from_lightgbm(&format!("{before}leaf_value=nan {behind}")).unwrap_err().to_string();
    assert!(refused.contains("NaN in leaf_value; it must be finite"), "{refused}");
    let refused = lightgbm("end of trees", "");
    assert!(refused.contains("the text ends before \"end of trees\""), "{refused}");
}

/// Cut anywhere and with any byte changed, a text gives a model or an error.
#[test]
fn broken_texts_are_errors_and_never_panics() {
    use rand::{Rng, SeedableRng};
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    type Read = fn(&str) -> Result<TreeModel, ModelError>;
    let readers: [(&str, Read); 2] = [
        ("xgboost-regression.json", TreeModel::from_xgboost),
        ("lightgbm-zeros.txt", TreeModel::from_lightgbm),
    ];
    for (file, read) in readers {
        let whole = text(file);
        let mut refused = 0;
        for _ in 0..400 {
            let mut bytes = whole.clone().into_bytes();
            match rng.random_bool(0.2) {
                true => bytes.truncate(rng.random_range(0..bytes.len())),
                false => {
                    for _ in 0..rng.random_range(1..4) {
                        let at = rng.random_range(0..bytes.len());
                        bytes[at] = *b"0129-.,=[]{}\" \nex".get(rng.random_range(0..17)).unwrap();
                    }
                }
            }
            let changed = String::from_utf8(bytes).unwrap();
            match read(&changed) {
                Ok(model) => model.check().unwrap(),
                Err(error) => refused += usize::from(!error.to_string().is_empty()),
            }
        }
        assert!(refused > 100, "{file}: {refused}");
    }
}

#[test]
fn data_that_is_no_model_is_found() {
    let (model, _) = golden("xgboost-regression");
    let broken = |change: fn(&mut Nodes<f32>)| {
        let mut model = model.clone();
        if let Forest::Single(nodes) = &mut model.forest {
            change(nodes);
        }
        model.check().unwrap_err().to_string()
    };
    assert_eq!(broken(|n| n.left[0] = 2), "tree model: node 1: its children are those of another node too");
    assert_eq!(
        broken(|n| n.left[1] = 0),
        "tree model: node 1: its children must stand behind it in its tree"
    );
    assert_eq!(
        broken(|n| n.left[1] = 9999),
        "tree model: node 1: its children must stand behind it in its tree"
    );
    assert_eq!(broken(|n| n.left[1] = 1), "tree model: node 3: nothing leads to it");
    assert_eq!(broken(|n| n.feature[0] = 6), "tree model: node 0: feature 6 of 6");
    assert_eq!(
        broken(|n| n.roots[1] += 1),
        "tree model: node 15: its children must stand behind it in its tree"
    );
    assert_eq!(broken(|n| n.roots.clear()), "tree model: node 0: it is of no tree");
    assert!(broken(|n| n.threshold[0] = f32::NAN).contains("its threshold is NaN"));
    assert!(broken(|n| n.value[3] = f32::INFINITY).contains("its value must be finite"));
    assert!(broken(|n| n.missing.truncate(3)).contains("one length"));
}

#[test]
fn predict_says_what_does_not_fit() {
    let (model, _) = golden("xgboost-constant");
    let number = |name: &str| Field::new(name, DataType::Int64, true);
    let schema = Schema::new(vec![number("a"), Field::new("s", DataType::Utf8, true)]);
    let column = PredictColumn { name: "a".to_owned(), value: PredictValue::Margin };
    let spec = |features: Vec<usize>| PredictSpec {
        model: Arc::new(model.clone()),
        features,
        columns: vec![column.clone()],
    };
    let refused = |features| spec(features).result_fields(&schema).unwrap_err().to_string();
    let text = "predict: 1 columns for 6 features; the model takes distance, delay, hour, seats, wind, price";
    assert_eq!(refused(vec![0]), text);
    assert_eq!(refused(vec![0, 0, 0, 7, 0, 0]), "predict: column 7 of a schema with 2 columns");
    let text = "predict: feature \"s\" is utf8; it must be a number, as the model's feature \"delay\" is";
    assert_eq!(refused(vec![0, 1, 0, 0, 0, 0]), text);
    let twice = spec(vec![0; 6]).output_schema(&Arc::new(schema)).unwrap_err();
    let text = "predict: two output columns are named \"a\"; give one of them another name with alias";
    assert_eq!(twice.to_string(), text);
}
