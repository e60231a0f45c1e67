//! Ensembles of decision trees as flat arrays.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::ModelError;

/// Set in [`Nodes::missing`] where rows without the feature go right.
pub const MISSING_RIGHT: u8 = 1;
/// Set in [`Nodes::missing`] where a feature that is zero counts as missing.
pub const ZERO_IS_MISSING: u8 = 2;
/// How far from zero a feature of a [`Forest::Double`] still is zero: LightGBM's `kZeroThreshold`, a float32.
pub const ZERO: f64 = 1e-35_f32 as f64;

/// Trees whose leaves are added up, and what becomes of the sum.
///
/// The *margin* of a row is (base + leaf of the first tree + leaf of the second …) / divisor, in this order
/// and in the arithmetic of the [`Forest`]; the *prediction* is what [`Objective`] makes of it.
///
/// Models are read with [`TreeModel::from_xgboost`] and [`TreeModel::from_lightgbm`]. As data they go where
/// plans go: floats are written as the integers that have their bits, so that they come back as they were from
/// every format, and what was changed on the way is found by [`check`](TreeModel::check).
///
/// ```
/// use sabot_ops::TreeModel;
/// // One question, whether the distance is less than 100.
/// let text = r#"{"learner": {"attributes": {"by": "hand"}, "feature_names": ["distance"],
///     "gradient_booster": {"name": "gbtree", "model": {"trees": [{"left_children": [1, -1, -1],
///         "right_children": [2, -1, -1], "split_indices": [0, 0, 0], "split_conditions": [100, -1, 2],
///         "default_left": [0, 0, 0], "sum_hessian": [4, 3, 1]}]}},
///     "learner_model_param": {"base_score": "5E-1", "num_feature": "1"}, "objective": {"name": "binary:logistic"}}}"#;
/// let mut model = TreeModel::from_text(text)?;
/// assert_eq!((model.trees(), model.features[0].as_str(), model.attributes["by"].as_str()), (1, "distance", "hand"));
/// assert_eq!(model.objective.prediction(0.0), 0.5);
/// assert!(model.check().is_ok());
/// model.base = f64::NAN;
/// assert!(model.check().is_err());
/// # Ok::<(), sabot_ops::ModelError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TreeModel {
    /// Names of the features, by their number in the nodes.
    pub features: Vec<String>,
    /// What the sum begins with. A float32 where the forest is single.
    #[serde(with = "bits::one")]
    pub base: f64,
    /// What the sum is divided by: 1, or the number of trees whose mean is taken.
    pub divisor: u32,
    /// What the margin means.
    pub objective: Objective,
    /// The trees.
    pub forest: Forest,
    /// What whoever trained the model wrote beside it, by name: XGBoost's attributes (`Booster.set_attr`), such as
    /// the score from which on something should be done. Text of LightGBM has none. No prediction depends on them.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}

/// What is predicted, and how it is made of the margin.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Objective {
    /// A number: the margin itself.
    Identity,
    /// The probability 1 / (1 + exp(−slope · margin)).
    Logistic {
        /// The slope: 1, or LightGBM's parameter `sigmoid`.
        slope: f64,
    },
}

/// The nodes of all trees, in the arithmetic of the library that trained them.
///
/// The arithmetic is part of the model: a threshold learnt from float32 values divides float64 values
/// differently, and a sum of float32 depends on its order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Forest {
    /// XGBoost: features are rounded to float32, go left if `feature < threshold`, and leaves are added in
    /// float32.
    Single(Nodes<f32>),
    /// LightGBM: features are float64, those within [`ZERO`] of zero are zero, they go left if
    /// `feature <= threshold`, and leaves are added in float64.
    Double(Nodes<f64>),
}

/// Nodes as one array for each of their properties: what a kernel on any device takes as it is.
///
/// A tree's nodes stand in one run that begins with its root, every node before its children, and the right
/// child directly behind the left. So whoever walks computes `left + went_right`, and comes to an end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Nodes<T: Number> {
    /// Where each tree begins.
    pub roots: Vec<u32>,
    /// The feature that a node asks for; 0 in a leaf.
    pub feature: Vec<u32>,
    /// What it is compared with; 0 in a leaf.
    #[serde(with = "bits")]
    pub threshold: Vec<T>,
    /// The left child; in a leaf the leaf itself.
    pub left: Vec<u32>,
    /// [`MISSING_RIGHT`] and [`ZERO_IS_MISSING`]; 0 in a leaf.
    pub missing: Vec<u8>,
    /// What a leaf adds to the sum. In other nodes the mean of the leaves below, weighted by how much of the
    /// training data came there: it explains predictions and takes no part in them.
    #[serde(with = "bits")]
    pub value: Vec<T>,
}

/// A float of one of the two widths.
pub trait Number: Copy + PartialEq + std::fmt::Debug + Into<f64> + 'static {
    /// An integer with its bits.
    type Bits: Serialize + DeserializeOwned;
    /// Its bits.
    fn into_bits(self) -> Self::Bits;
    /// The float with these bits.
    fn of_bits(bits: Self::Bits) -> Self;
}

macro_rules! number {
    ($($float:ty, $bits:ty;)*) => {$(
        impl Number for $float {
            type Bits = $bits;
            fn into_bits(self) -> $bits {
                self.to_bits()
            }
            fn of_bits(bits: $bits) -> Self {
                <$float>::from_bits(bits)
            }
        }
    )*};
}

number!(f32, u32; f64, u64;);

impl TreeModel {
    /// Reads XGBoost's JSON or LightGBM's text: JSON begins with a brace.
    ///
    /// ```
    /// use sabot_ops::TreeModel;
    /// let json = TreeModel::from_text("{}").unwrap_err().to_string();
    /// assert!(json.starts_with("XGBoost JSON: "), "{json}");
    /// let text = TreeModel::from_text("tree\nversion=v4\n").unwrap_err().to_string();
    /// assert!(text.starts_with("LightGBM text: "), "{text}");
    /// ```
    ///
    /// # Errors
    /// As [`from_xgboost`](Self::from_xgboost) and [`from_lightgbm`](Self::from_lightgbm).
    pub fn from_text(text: &str) -> Result<TreeModel, ModelError> {
        match text.trim_start().starts_with('{') {
            true => Self::from_xgboost(text),
            false => Self::from_lightgbm(text),
        }
    }

    /// The same model with other names for its features, in their order: those of the columns that it is to be
    /// used on, say, when it was trained on columns without names.
    ///
    /// ```
    /// # use sabot_ops::{Forest, Nodes, Objective, TreeModel};
    /// # let nodes = Nodes { roots: vec![], feature: vec![], threshold: vec![], left: vec![], missing: vec![], value: vec![] };
    /// # let features = vec!["f0".to_owned(), "f1".to_owned()];
    /// # let model = TreeModel { features, base: 0.0, divisor: 1, objective: Objective::Identity, forest: Forest::Double(nodes), attributes: Default::default() };
    /// assert_eq!(model.features, ["f0", "f1"]);
    /// assert_eq!(model.clone().rename(["distance", "delay"])?.features, ["distance", "delay"]);
    /// let text = "tree model: features: 1 name for 2 features: f0, f1";
    /// assert_eq!(model.rename(["delay"]).unwrap_err().to_string(), text);
    /// # Ok::<(), sabot_ops::ModelError>(())
    /// ```
    ///
    /// # Errors
    /// [`ModelError::Malformed`] when there are not as many names as features.
    pub fn rename<S: Into<String>>(
        self,
        names: impl IntoIterator<Item = S>,
    ) -> Result<TreeModel, ModelError> {
        let features: Vec<String> = names.into_iter().map(Into::into).collect();
        if features.len() != self.features.len() {
            let (given, known) = (features.len(), self.features.join(", "));
            let names = if given == 1 { "name" } else { "names" };
            let message = format!("{given} {names} for {} features: {known}", self.features.len());
            return Err(malformed("features".to_owned(), message));
        }
        Ok(TreeModel { features, ..self })
    }

    /// Number of trees.
    pub fn trees(&self) -> usize {
        match &self.forest {
            Forest::Single(nodes) => nodes.roots.len(),
            Forest::Double(nodes) => nodes.roots.len(),
        }
    }

    /// Whether the data is a model: what readers make always is, what came from elsewhere may not be.
    ///
    /// # Errors
    /// [`ModelError::Malformed`] with the first node that breaks a rule, or the number that is none.
    pub fn check(&self) -> Result<(), ModelError> {
        let slope = match self.objective {
            Objective::Identity => 1.0,
            Objective::Logistic { slope } => slope,
        };
        if !self.base.is_finite() || !slope.is_finite() || slope <= 0.0 || self.divisor == 0 {
            let message = "the base must be finite, the slope finite and above 0, the divisor not 0";
            return Err(malformed("model".to_owned(), message));
        }
        match &self.forest {
            Forest::Single(nodes) => nodes.check(self.features.len()),
            Forest::Double(nodes) => nodes.check(self.features.len()),
        }
    }
}

impl Objective {
    /// The prediction for a margin.
    pub fn prediction(self, margin: f64) -> f64 {
        match self {
            Objective::Identity => margin,
            Objective::Logistic { slope } => 1.0 / (1.0 + (-slope * margin).exp()),
        }
    }
}

impl<T: Number> Nodes<T> {
    /// Whether a node is a leaf.
    pub fn is_leaf(&self, node: usize) -> bool {
        self.left[node] as usize == node
    }

    fn check(&self, features: usize) -> Result<(), ModelError> {
        let nodes = self.left.len();
        let lengths = [self.feature.len(), self.threshold.len(), self.missing.len(), self.value.len()];
        if lengths != [nodes; 4] || u32::try_from(nodes).is_err() {
            let message = "its arrays must have one length, below 2³²";
            return Err(malformed("nodes".to_owned(), message));
        }
        let mut ends = self.roots.iter().skip(1).map(|root| *root as usize).chain([nodes]);
        let mut next = 0;
        for (tree, root) in self.roots.iter().enumerate() {
            let end = ends.next().unwrap_or(nodes);
            if *root as usize != next || end <= next || end > nodes {
                return Err(malformed(format!("tree {tree}"), "trees must follow each other without gaps"));
            }
            self.check_tree(next..end, features)?;
            next = end;
        }
        if next == nodes { Ok(()) } else { Err(malformed(format!("node {next}"), "it is of no tree")) }
    }

    /// Children stand in pairs, each pair has one parent, and that stands before it.
    fn check_tree(&self, nodes: std::ops::Range<usize>, features: usize) -> Result<(), ModelError> {
        let (start, end) = (nodes.start, nodes.end);
        let mut has_parent = vec![false; nodes.len()];
        for node in nodes {
            let (left, place) = (self.left[node] as usize, || format!("node {node}"));
            if !self.value[node].into().is_finite() {
                return Err(malformed(place(), "its value must be finite"));
            }
            if left == node {
                continue;
            }
            if left < node || left + 1 >= end {
                return Err(malformed(place(), "its children must stand behind it in its tree"));
            }
            for child in [left, left + 1] {
                if std::mem::replace(&mut has_parent[child - start], true) {
                    return Err(malformed(place(), "its children are those of another node too"));
                }
            }
            if self.feature[node] as usize >= features {
                let message = format!("feature {} of {features}", self.feature[node]);
                return Err(malformed(place(), message));
            }
            if self.threshold[node].into().is_nan() {
                return Err(malformed(place(), "its threshold is NaN, which nothing can be compared with"));
            }
        }
        match has_parent.iter().skip(1).position(|has| !has) {
            Some(orphan) => Err(malformed(format!("node {}", start + 1 + orphan), "nothing leads to it")),
            None => Ok(()),
        }
    }
}

fn malformed(place: String, message: impl Into<String>) -> ModelError {
    ModelError::Malformed { format: "tree model", place, message: message.into() }
}

/// Floats as the integers with their bits: formats of text round them, and JSON has no infinity.
mod bits {
    use super::Number;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<T: Number, S: Serializer>(values: &[T], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(values.iter().map(|value| value.into_bits()))
    }

    pub(super) fn deserialize<'de, T: Number, D: Deserializer<'de>>(from: D) -> Result<Vec<T>, D::Error> {
        let bits = Vec::<T::Bits>::deserialize(from)?;
        Ok(bits.into_iter().map(T::of_bits).collect())
    }

    pub(super) mod one {
        use super::{Deserialize, Deserializer, Serializer};

        pub(in super::super) fn serialize<S: Serializer>(value: &f64, to: S) -> Result<S::Ok, S::Error> {
            to.serialize_u64(value.to_bits())
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
            u64::deserialize(from).map(f64::from_bits)
        }
    }
}
