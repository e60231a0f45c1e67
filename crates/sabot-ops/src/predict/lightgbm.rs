//! LightGBM's text model, as `Booster.save_model("model.txt")` writes it.
//!
//! It is lines of `name=values`: some about the model, then a block for each tree that begins with `Tree=`.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;

use super::grow::{Node, Tree, missing_goes};
use super::model::ZERO_IS_MISSING;
use super::{Forest, ModelError, Nodes, Objective, TreeModel};

const FORMAT: &str = "LightGBM text";

// The bits of decision_type.
const CATEGORICAL: u8 = 1;
const DEFAULT_LEFT: u8 = 2;
const MISSING_SHIFT: u8 = 2;

/// The lines of the model's head or of a tree, by name.
struct Block<'a> {
    /// The line that it begins with, from 1.
    line: usize,
    fields: HashMap<&'a str, (usize, &'a str)>,
}

impl TreeModel {
    /// Reads the text that LightGBM writes (`version=v3` and `version=v4`).
    ///
    /// Supported are trees with numeric splits, boosted or averaged (random forests), with the objectives
    /// `binary` and `regression`. All trees are used; a model that was stopped early is saved by the library
    /// with those up to its best iteration. The margin of an averaged model is the mean, of which the
    /// prediction is made; `raw_score` in the library is the sum.
    ///
    /// # Errors
    /// [`ModelError`] with the line.
    ///
    /// ```
    /// use sabot_ops::TreeModel;
    ///
    /// let text = "tree\nversion=v4\nnum_class=3\nnum_tree_per_iteration=3\n";
    /// let refused = TreeModel::from_lightgbm(text).unwrap_err();
    /// let message = "LightGBM text: line 3: several classes are not supported; one number a row is";
    /// assert_eq!(refused.to_string(), message);
    /// ```
    pub fn from_lightgbm(text: &str) -> Result<TreeModel, ModelError> {
        let (head, trees) = blocks(text)?;
        for (name, what) in [
            ("num_class", "several classes are"),
            ("num_tree_per_iteration", "several trees an iteration are"),
        ] {
            let (line, count) = head.number::<u32>(name)?;
            if count != 1 {
                return Err(unsupported(line, what, "one number a row is"));
            }
        }
        let (line, highest) = head.number::<usize>("max_feature_idx")?;
        let (_, names) = head.field("feature_names")?;
        let features: Vec<String> = names.split_ascii_whitespace().map(str::to_owned).collect();
        if highest.checked_add(1) != Some(features.len()) {
            let message = format!("{} feature_names, but the highest index is {highest}", features.len());
            return Err(malformed(line, message));
        }
        let objective = objective(&head)?;
        let mut nodes = Nodes::new();
        for block in &trees {
            let tree = read_tree(block, features.len())?;
            nodes.grow(&tree, |x| x, |message| malformed(block.line, message))?;
        }
        let averaged = head.fields.contains_key("average_output");
        let divisor = if averaged { u32::try_from(trees.len()).unwrap_or(u32::MAX).max(1) } else { 1 };
        let (forest, attributes) = (Forest::Double(nodes), BTreeMap::new());
        let model = TreeModel { features, base: 0.0, divisor, objective, forest, attributes };
        model.check()?;
        Ok(model)
    }
}

/// The head and the trees. What stands behind the trees is about their training.
fn blocks(text: &str) -> Result<(Block<'_>, Vec<Block<'_>>), ModelError> {
    let mut lines = text.lines().enumerate().map(|(number, line)| (number + 1, line.trim()));
    if lines.next().map(|(_, line)| line) != Some("tree") {
        let message = "the first line must be \"tree\"; a model saved as text is expected";
        return Err(malformed(1, message.to_owned()));
    }
    let mut head = Block { line: 1, fields: HashMap::new() };
    let mut trees: Vec<Block<'_>> = Vec::new();
    let mut last = 1;
    for (number, line) in lines {
        last = number;
        if line == "end of trees" {
            return Ok((head, trees));
        }
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        if name == "Tree" {
            trees.push(Block { line: number, fields: HashMap::new() });
        } else if !name.is_empty() {
            trees.last_mut().unwrap_or(&mut head).fields.insert(name, (number, value));
        }
    }
    // A head that already says what is not supported is refused for that.
    match trees.is_empty() {
        true => Ok((head, trees)),
        false => Err(malformed(last, "the text ends before \"end of trees\"; it was cut".to_owned())),
    }
}

fn objective(head: &Block<'_>) -> Result<Objective, ModelError> {
    const SUPPORTED: &str = "binary and regression are";
    let (line, text) = head.field("objective")?;
    let mut words = text.split_ascii_whitespace();
    let name = words.next().unwrap_or_default();
    match (name, words.next(), words.next()) {
        ("regression", None, None) => Ok(Objective::Identity),
        ("binary", Some(word), None) => {
            let slope = word.strip_prefix("sigmoid:").and_then(|slope| slope.parse().ok());
            let slope = slope.filter(|slope: &f64| slope.is_finite() && *slope > 0.0);
            let message = || format!("{word:?}, where sigmoid:<number above 0> is expected");
            slope.map(|slope| Objective::Logistic { slope }).ok_or_else(|| malformed(line, message()))
        }
        _ => Err(unsupported(line, &format!("the objective \"{text}\" is"), SUPPORTED)),
    }
}

fn read_tree(block: &Block<'_>, features: usize) -> Result<Tree<f64>, ModelError> {
    let (line, leaves) = block.number::<usize>("num_leaves")?;
    let Some(splits) = leaves.checked_sub(1) else {
        return Err(malformed(line, "a tree has at least one leaf".to_owned()));
    };
    for (name, what) in [("num_cat", "categorical splits are"), ("is_linear", "linear trees are")] {
        if block.fields.contains_key(name) {
            let (line, count) = block.number::<u32>(name)?;
            if count != 0 {
                return Err(unsupported(line, what, "trees with splits of numbers and constant leaves are"));
            }
        }
    }
    let values = block.finite("leaf_value", leaves)?;
    if splits == 0 {
        return Ok(Tree { nodes: values.into_iter().map(Node::Leaf).collect(), cover: vec![1.0] });
    }
    let feature: Vec<u32> = block.list("split_feature", splits)?;
    let threshold = block.finite("threshold", splits)?;
    let decision: Vec<u8> = block.list("decision_type", splits)?;
    let left: Vec<i64> = block.list("left_child", splits)?;
    let right: Vec<i64> = block.list("right_child", splits)?;
    let mut cover: Vec<f64> = block.list("internal_count", splits)?;
    cover.extend(block.list::<f64>("leaf_count", leaves)?);
    let mut nodes = Vec::with_capacity(splits + leaves);
    for split in 0..splits {
        if feature[split] as usize >= features {
            let (line, _) = block.field("split_feature")?;
            return Err(malformed(line, format!("feature {}, but the model has {features}", feature[split])));
        }
        let (line, _) = block.field("decision_type")?;
        let missing = missing(decision[split], threshold[split]).map_err(|fault| fault.at(line))?;
        // Leaves stand behind the splits; −1 is the first of them.
        let child = |child: i64| usize::try_from(child).unwrap_or(splits.saturating_add((!child) as usize));
        nodes.push(Node::Split {
            feature: feature[split],
            threshold: threshold[split],
            left: child(left[split]),
            right: child(right[split]),
            missing,
        });
    }
    nodes.extend(values.into_iter().map(Node::Leaf));
    Ok(Tree { nodes, cover })
}

/// Why a decision type cannot be taken.
enum DecisionFault {
    Categorical,
    Unknown(u8),
}

impl DecisionFault {
    fn at(self, line: usize) -> ModelError {
        match self {
            DecisionFault::Categorical => {
                unsupported(line, "a categorical split is", "splits of numbers are")
            }
            DecisionFault::Unknown(bits) => {
                malformed(line, format!("{bits} is no decision_type; it is a number below 12"))
            }
        }
    }
}

/// What happens to missing values. Where the library has none of them it reads NaN as 0, which goes to one
/// side of a threshold that is known: so there, too, a missing value has a direction.
fn missing(decision: u8, threshold: f64) -> Result<u8, DecisionFault> {
    if decision & CATEGORICAL != 0 {
        return Err(DecisionFault::Categorical);
    }
    let default = missing_goes(decision & DEFAULT_LEFT != 0);
    match decision >> MISSING_SHIFT {
        0 => Ok(missing_goes(0.0 <= threshold)),
        1 => Ok(default | ZERO_IS_MISSING),
        2 => Ok(default),
        _ => Err(DecisionFault::Unknown(decision)),
    }
}

impl<'a> Block<'a> {
    fn field(&self, name: &str) -> Result<(usize, &'a str), ModelError> {
        let missing = || malformed(self.line, format!("the part that begins here has no {name}"));
        self.fields.get(name).copied().ok_or_else(missing)
    }

    fn number<T: FromStr>(&self, name: &str) -> Result<(usize, T), ModelError> {
        let (line, text) = self.field(name)?;
        let number = text.trim().parse();
        Ok((line, number.map_err(|_| malformed(line, format!("{name} {text:?} is no number of its kind")))?))
    }

    fn list<T: FromStr>(&self, name: &str, length: usize) -> Result<Vec<T>, ModelError> {
        let (line, text) = self.field(name)?;
        let parse = |word: &str| {
            let number = word.parse();
            number.map_err(|_| malformed(line, format!("{word:?} in {name} is no number of its kind")))
        };
        let values = text.split_ascii_whitespace().map(parse).collect::<Result<Vec<T>, ModelError>>()?;
        if values.len() != length {
            let message = format!("{} values of {name}, where {length} are expected", values.len());
            return Err(malformed(line, message));
        }
        Ok(values)
    }

    fn finite(&self, name: &str, length: usize) -> Result<Vec<f64>, ModelError> {
        let values = self.list(name, length)?;
        match values.iter().find(|value: &&f64| !value.is_finite()) {
            Some(value) => {
                let (line, _) = self.field(name)?;
                Err(malformed(line, format!("{value} in {name}; it must be finite")))
            }
            None => Ok(values),
        }
    }
}

fn malformed(line: usize, message: String) -> ModelError {
    ModelError::Malformed { format: FORMAT, place: format!("line {line}"), message }
}

fn unsupported(line: usize, what: &str, supported: &'static str) -> ModelError {
    let (place, what) = (format!("line {line}"), what.to_owned());
    ModelError::Unsupported { format: FORMAT, place, what, supported }
}
