//! A trained model as XGBoost writes it in JSON, so that whatever reads XGBoost's models reads it.
//!
//! Values are compared as float32 there, and a row goes left where its value is less than the threshold. Thresholds
//! were found among values that are float32 already, so rounding one up to the next float32 sends every value where
//! it went in training. Leaves are float32 in both; XGBoost adds them in float32 too, the trainer in float64.

use forust_ml::GradientBooster;
use forust_ml::tree::Tree;
use fraud_detection::score::THRESHOLD;
use serde::Serialize;
use serde_json::{Value, json};

/// What XGBoost has as the parent of a root.
const NO_PARENT: i32 = 2_147_483_647;

/// The first trees of a model, with names of features and the score from which on there should be an alert.
pub(crate) fn xgboost_json(
    booster: &GradientBooster,
    trees: usize,
    names: &[String],
    threshold: f64,
) -> Result<String, serde_json::Error> {
    let trees = &booster.trees[..trees.min(booster.trees.len())];
    let count = trees.len();
    let base = 1.0 / (1.0 + (-booster.base_score).exp());
    let trees = trees.iter().enumerate().map(|(id, tree)| JsonTree::of(tree, id, names.len()));
    let root = Root {
        learner: Learner {
            attributes: json!({THRESHOLD: threshold.to_string()}),
            feature_names: names,
            feature_types: vec!["float"; names.len()],
            gradient_booster: Booster {
                model: Model {
                    gbtree_model_param: json!({"num_parallel_tree": "1", "num_trees": count.to_string()}),
                    iteration_indptr: (0..=count).collect(),
                    tree_info: vec![0; count],
                    trees: trees.collect(),
                },
                name: "gbtree",
            },
            learner_model_param: json!({
                "base_score": (base as f32).to_string(),
                "boost_from_average": "1",
                "num_class": "0",
                "num_feature": names.len().to_string(),
                "num_target": "1",
            }),
            objective: json!({"name": "binary:logistic", "reg_loss_param": {"scale_pos_weight": "1"}}),
        },
        version: [2, 1, 0],
    };
    serde_json::to_string(&root)
}

// Members have the names and the order that XGBoost gives them. Numbers are written as float32, by their shortest text:
// through `Value` they would become those of the same float64, twice as long.

#[derive(Serialize)]
struct Root<'a> {
    learner: Learner<'a>,
    version: [u32; 3],
}

#[derive(Serialize)]
struct Learner<'a> {
    attributes: Value,
    feature_names: &'a [String],
    feature_types: Vec<&'static str>,
    gradient_booster: Booster,
    learner_model_param: Value,
    objective: Value,
}

#[derive(Serialize)]
struct Booster {
    model: Model,
    name: &'static str,
}

#[derive(Serialize)]
struct Model {
    gbtree_model_param: Value,
    iteration_indptr: Vec<usize>,
    tree_info: Vec<u32>,
    trees: Vec<JsonTree>,
}

#[derive(Serialize)]
struct JsonTree {
    base_weights: Vec<f32>,
    categories: [u32; 0],
    categories_nodes: [u32; 0],
    categories_segments: [u32; 0],
    categories_sizes: [u32; 0],
    default_left: Vec<u8>,
    id: usize,
    left_children: Vec<i32>,
    loss_changes: Vec<f32>,
    parents: Vec<i32>,
    right_children: Vec<i32>,
    split_conditions: Vec<f32>,
    split_indices: Vec<usize>,
    split_type: Vec<u8>,
    sum_hessian: Vec<f32>,
    tree_param: Value,
}

impl JsonTree {
    fn of(tree: &Tree, id: usize, features: usize) -> Self {
        let nodes = &tree.nodes;
        let mut parents = vec![NO_PARENT; nodes.len()];
        for (number, node) in nodes.iter().enumerate().filter(|(_, node)| !node.is_leaf) {
            parents[node.left_child] = number as i32;
            parents[node.right_child] = number as i32;
        }
        let (left_children, right_children) = nodes
            .iter()
            .map(|node| match node.is_leaf {
                true => (-1, -1),
                false => (node.left_child as i32, node.right_child as i32),
            })
            .unzip();
        Self {
            base_weights: nodes.iter().map(|node| node.weight_value).collect(),
            categories: [],
            categories_nodes: [],
            categories_segments: [],
            categories_sizes: [],
            default_left: nodes
                .iter()
                .map(|node| u8::from(!node.is_leaf && node.missing_node == node.left_child))
                .collect(),
            id,
            left_children,
            loss_changes: nodes.iter().map(|node| if node.is_leaf { 0.0 } else { node.split_gain }).collect(),
            parents,
            right_children,
            split_conditions: nodes
                .iter()
                .map(|node| if node.is_leaf { node.weight_value } else { rounded_up(node.split_value) })
                .collect(),
            split_indices: nodes
                .iter()
                .map(|node| if node.is_leaf { 0 } else { node.split_feature })
                .collect(),
            split_type: vec![0; nodes.len()],
            sum_hessian: nodes.iter().map(|node| node.hessian_sum).collect(),
            tree_param: json!({
                "num_deleted": "0",
                "num_feature": features.to_string(),
                "num_nodes": nodes.len().to_string(),
                "size_leaf_vector": "1",
            }),
        }
    }
}

/// The smallest float32 that is not less; the largest one there is for a threshold beyond, which only tells missing
/// values from others.
fn rounded_up(threshold: f64) -> f32 {
    let near = threshold as f32;
    let up = if f64::from(near) < threshold { near.next_up() } else { near };
    up.clamp(f32::MIN, f32::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use super::*;
    use crate::fit::{Trees, fit};
    use crate::rows::Rows;
    use clap::Parser;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use sabot::TreeModel;
    use sabot::arrow::array::{ArrayRef, AsArray, Float64Array, RecordBatch};
    use sabot::arrow::datatypes::Float64Type;
    use sabot::prelude::*;
    use std::sync::Arc;

    #[derive(Parser)]
    struct Options {
        #[command(flatten)]
        trees: Trees,
    }

    #[test]
    fn a_rounded_threshold_sends_every_float32_where_it_went() {
        for threshold in [0.1, 1.0, -0.3, 1e-60, 16_777_217.0, f64::MAX] {
            let rounded = rounded_up(threshold);
            for value in [rounded.next_down(), rounded, rounded.next_up(), 0.0, -1.0, 7.5] {
                if value.is_finite() && value < f32::MAX {
                    assert_eq!(f64::from(value) < threshold, value < rounded, "{value} and {threshold}");
                }
            }
        }
    }

    /// Three features with many equal and some missing values, of which two say something.
    fn drawn(seed: u64, rows: usize) -> Rows {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut columns = vec![Vec::new(); 3];
        let (mut labels, mut scenarios) = (Vec::new(), Vec::new());
        for _ in 0..rows {
            let values: [f64; 3] = std::array::from_fn(|_| f64::from((rng.random_range(-9..9) as f32) * 0.1));
            let missing = rng.random_bool(0.2);
            let odds = if missing { 0.5 } else { 0.1 + 0.4 * f64::from(u8::from(values[0] < 0.3)) };
            let fraud = rng.random_bool(if values[1] > 0.0 { odds } else { odds / 5.0 });
            for (column, value) in columns.iter_mut().zip(values) {
                column.push(value);
            }
            if missing && let Some(last) = columns[0].last_mut() {
                *last = f64::NAN;
            }
            labels.push(f64::from(u8::from(fraud)));
            scenarios.push(u8::from(fraud));
        }
        Rows { features: columns.concat(), labels, scenarios }
    }

    #[test]
    fn the_file_says_what_the_trees_say() {
        let (learned, checked) = (drawn(1, 4_000), drawn(2, 2_000));
        let options = Options::parse_from(["train", "--trees", "20"]).trees;
        let fitted = fit(&options, &learned, &checked).unwrap();
        assert!(fitted.measures.auc.unwrap() > 0.6, "{:?}", fitted.measures);
        let names = ["a", "b", "c"].map(str::to_owned);
        let text = xgboost_json(&fitted.booster, fitted.trees, &names, fitted.threshold).unwrap();
        let model = Arc::new(TreeModel::from_text(&text).unwrap());
        assert_eq!((model.trees(), model.features.as_slice()), (fitted.trees, names.as_slice()));
        assert_eq!(model.attributes[THRESHOLD], fitted.threshold.to_string());

        let columns = names.iter().zip(checked.features.chunks(checked.labels.len()));
        let columns = columns.map(|(name, values)| -> (&str, ArrayRef) {
            (name, Arc::new(Float64Array::from(values.to_vec())))
        });
        let rows = RecordBatch::try_from_iter(columns).unwrap();
        let asked = Stream::from_batches([rows]).unwrap().predict(&model, [margin()]).unwrap();
        let found: Vec<f64> = asked
            .collect()
            .unwrap()
            .iter()
            .flat_map(|batch| batch.column(3).as_primitive::<Float64Type>().values().to_vec())
            .collect();
        let matrix = forust_ml::Matrix::new(&checked.features, checked.labels.len(), 3);
        let wanted = fitted.booster.predict(&matrix, false);
        assert_eq!(found.len(), wanted.len());
        for (row, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
            assert!((found - wanted).abs() < 1e-5, "row {row}: {found}, not {wanted}");
        }
    }
}
