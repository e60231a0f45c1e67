//! XGBoost's JSON model, as `Booster.save_model("model.json")` writes it.
//!
//! Numbers are kept as text until it is known that they are float32, because reading them as float64 first
//! could round twice.

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

use super::grow::{Node, Tree, missing_goes};
use super::{Forest, ModelError, Nodes, Objective, TreeModel};

const FORMAT: &str = "XGBoost JSON";
const MODEL: &str = "learner.gradient_booster.model";
/// More is taken for a mistake: features without names are given some, which would take all memory.
const FEATURES_MAX: usize = 1 << 20;

type Raw = Box<RawValue>;
type Object = BTreeMap<String, Raw>;

impl TreeModel {
    /// Reads the JSON that XGBoost writes (versions 1.0 to 3.2 are known; UBJSON and the old binary format
    /// are not read).
    ///
    /// Supported are trees with numeric splits (`gbtree`, boosted forests among them) with the objectives
    /// `binary:logistic` and `reg:squarederror`. All trees are used, as `Booster.predict` does; a model that
    /// was stopped early must be cut to its best iteration before it is saved. The learner's attributes become the
    /// model's.
    ///
    /// # Errors
    /// [`ModelError`] with the place in the text or the path in the model.
    ///
    /// ```
    /// use sabot_ops::{ModelError, TreeModel};
    ///
    /// let refused = TreeModel::from_xgboost(r#"{"learner": {"feature_names": []}}"#).unwrap_err();
    /// assert_eq!(refused.to_string(), "XGBoost JSON: learner: there is no gradient_booster");
    /// let cut = TreeModel::from_xgboost("{\n\"learner\": {").unwrap_err();
    /// assert!(matches!(cut, ModelError::Malformed { place, .. } if place == "line 2, column 12"));
    /// ```
    pub fn from_xgboost(text: &str) -> Result<TreeModel, ModelError> {
        let whole: Object = serde_json::from_str(text).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            malformed(place, format!("{}; a model saved as .json is expected", sentence(&error)))
        })?;
        let learner: Object = field(&whole, "", "learner")?;
        let booster: Object = field(&learner, "learner", "gradient_booster")?;
        let name: String = field(&booster, "learner.gradient_booster", "name")?;
        if name != "gbtree" {
            let what = format!("the booster {name} is");
            return Err(unsupported("learner.gradient_booster.name", what, "gbtree is"));
        }
        let parameters: Object = field(&learner, "learner", "learner_model_param")?;
        let (features, base, objective) = describe(&learner, &parameters)?;
        let model: Object = field(&booster, "learner.gradient_booster", "model")?;
        let trees: Vec<Object> = field(&model, MODEL, "trees")?;
        let mut nodes = Nodes::new();
        for (number, tree) in trees.iter().enumerate() {
            let place = format!("{MODEL}.trees[{number}]");
            let tree = read_tree(tree, &place, features.len())?;
            nodes.grow(&tree, |x| x as f32, |message| malformed(place.clone(), message))?;
        }
        let attributes = match learner.contains_key("attributes") {
            true => field(&learner, "learner", "attributes")?,
            false => BTreeMap::new(),
        };
        let (base, forest) = (f64::from(base), Forest::Single(nodes));
        let model = TreeModel { features, base, divisor: 1, objective, forest, attributes };
        model.check()?;
        Ok(model)
    }
}

/// Features, base margin and objective.
fn describe(learner: &Object, parameters: &Object) -> Result<(Vec<String>, f32, Objective), ModelError> {
    const PLACE: &str = "learner.learner_model_param";
    for (name, most, what) in
        [("num_class", 1, "several classes are"), ("num_target", 1, "several targets are")]
    {
        if parameters.contains_key(name) && number::<u32>(parameters, PLACE, name)? > most {
            return Err(unsupported(&join(PLACE, name), what.to_owned(), "one number a row is"));
        }
    }
    let count: usize = number(parameters, PLACE, "num_feature")?;
    if count > FEATURES_MAX {
        let message = format!("{count} features; at most {FEATURES_MAX} are possible");
        return Err(malformed(join(PLACE, "num_feature"), message));
    }
    let names: Vec<String> = match learner.contains_key("feature_names") {
        true => field(learner, "learner", "feature_names")?,
        false => Vec::new(),
    };
    if !names.is_empty() && names.len() != count {
        let message = format!("{} names of {count} features", names.len());
        return Err(malformed("learner.feature_names".to_owned(), message));
    }
    // As the library names features that were given no names.
    let features = if names.is_empty() { (0..count).map(|n| format!("f{n}")).collect() } else { names };
    let objective: Object = field(learner, "learner", "objective")?;
    let objective: String = field(&objective, "learner.objective", "name")?;
    let place = join(PLACE, "base_score");
    let score: String = field(parameters, PLACE, "base_score")?;
    // Since 3.1 it is a list with one number for each target.
    let score = score.trim_start_matches('[').trim_end_matches(']');
    let score: f32 =
        score.parse().map_err(|_| malformed(place.clone(), format!("{score:?} is no number")))?;
    match objective.as_str() {
        "reg:squarederror" => Ok((features, score, Objective::Identity)),
        "binary:logistic" if score > 0.0 && score < 1.0 => {
            // In the library's steps; the logarithm is that of float64, rounded, because those of float32
            // differ between platforms.
            let odds = 1.0 / score - 1.0;
            Ok((features, -f64::from(odds).ln() as f32, Objective::Logistic { slope: 1.0 }))
        }
        "binary:logistic" => Err(malformed(place, format!("{score} is no probability between 0 and 1"))),
        other => {
            let what = format!("the objective {other} is");
            Err(unsupported("learner.objective.name", what, "binary:logistic and reg:squarederror are"))
        }
    }
}

fn read_tree(tree: &Object, place: &str, features: usize) -> Result<Tree<f32>, ModelError> {
    if let Some(parameters) = tree.get("tree_param") {
        let (path, parameters) = (join(place, "tree_param"), parse::<Object>(parameters, place)?);
        let leaf = "size_leaf_vector";
        if parameters.contains_key(leaf) && number::<u32>(&parameters, &path, leaf)? > 1 {
            let what = "leaves with several values are".to_owned();
            return Err(unsupported(&join(&path, leaf), what, "one number a leaf is"));
        }
    }
    let left: Vec<i64> = field(tree, place, "left_children")?;
    let right: Vec<i64> = field(tree, place, "right_children")?;
    let feature: Vec<u32> = field(tree, place, "split_indices")?;
    let condition: Vec<Raw> = field(tree, place, "split_conditions")?;
    // Booleans in older versions, 0 and 1 in newer ones.
    let default_left: Vec<Raw> = field(tree, place, "default_left")?;
    let cover: Vec<f64> = field(tree, place, "sum_hessian")?;
    let kind: Vec<u8> = match tree.contains_key("split_type") {
        true => field(tree, place, "split_type")?,
        false => vec![0; left.len()],
    };
    let lengths = [
        ("right_children", right.len()),
        ("split_indices", feature.len()),
        ("split_conditions", condition.len()),
        ("default_left", default_left.len()),
        ("sum_hessian", cover.len()),
        ("split_type", kind.len()),
    ];
    if let Some((name, length)) = lengths.iter().find(|(_, length)| *length != left.len()) {
        let message = format!("{length} values for {} nodes", left.len());
        return Err(malformed(join(place, name), message));
    }
    let mut nodes = Vec::with_capacity(left.len());
    for node in 0..left.len() {
        let at = |name: &str| format!("{place}.{name}[{node}]");
        let text = condition[node].get();
        let value = text.parse().ok().filter(|value: &f32| value.is_finite());
        let value = value.ok_or_else(|| {
            malformed(at("split_conditions"), format!("{text}, where a finite float32 is expected"))
        })?;
        // Nodes that were pruned keep what they had; as leaves that nothing leads to they do no harm.
        if left[node] < 0 {
            nodes.push(Node::Leaf(value));
            continue;
        }
        if kind[node] != 0 {
            let what = "a categorical split is".to_owned();
            return Err(unsupported(&at("split_type"), what, "splits of numbers are"));
        }
        if feature[node] as usize >= features {
            let message = format!("feature {}, but the model has {features}", feature[node]);
            return Err(malformed(at("split_indices"), message));
        }
        let child = |children: &[i64], name: &str| {
            let child = usize::try_from(children[node]);
            child.map_err(|_| malformed(at(name), "a node has two children or none".to_owned()))
        };
        let goes_left = match default_left[node].get() {
            "1" | "true" => true,
            "0" | "false" => false,
            other => return Err(malformed(at("default_left"), format!("{other} is neither 0 nor 1"))),
        };
        nodes.push(Node::Split {
            feature: feature[node],
            threshold: value,
            left: child(&left, "left_children")?,
            right: child(&right, "right_children")?,
            missing: missing_goes(goes_left),
        });
    }
    Ok(Tree { nodes, cover })
}

/// A field of an object.
fn field<T: DeserializeOwned>(object: &Object, place: &str, name: &str) -> Result<T, ModelError> {
    let place_or = |place: &str| if place.is_empty() { "the model".to_owned() } else { place.to_owned() };
    let raw = object.get(name);
    let raw = raw.ok_or_else(|| malformed(place_or(place), format!("there is no {name}")))?;
    parse(raw, &join(place, name))
}

fn parse<T: DeserializeOwned>(raw: &RawValue, place: &str) -> Result<T, ModelError> {
    T::deserialize(raw).map_err(|error| malformed(place.to_owned(), sentence(&error)))
}

/// What is wrong, without the position: for a field it would be one in the field and not in the text.
fn sentence(error: &serde_json::Error) -> String {
    error.to_string().split(" at line ").next().unwrap_or_default().to_owned()
}

/// A number, which stands in the text as a string.
fn number<T: std::str::FromStr>(object: &Object, place: &str, name: &str) -> Result<T, ModelError> {
    let text: String = field(object, place, name)?;
    text.parse().map_err(|_| malformed(join(place, name), format!("{text:?} is no number of this kind")))
}

fn join(place: &str, name: &str) -> String {
    if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") }
}

fn malformed(place: String, message: String) -> ModelError {
    ModelError::Malformed { format: FORMAT, place, message }
}

fn unsupported(place: &str, what: String, supported: &'static str) -> ModelError {
    ModelError::Unsupported { format: FORMAT, place: place.to_owned(), what, supported }
}
