//! What a model says of a transaction.

use sabot::prelude::*;
use sabot::{ModelError, PredictExpr, TreeModel};
use std::path::Path;
use std::sync::Arc;

use crate::pipeline::FLAGS;

/// How many features are named as reasons of a score.
pub const REASONS: u32 = 3;

/// The attribute of a model in which its trainer wrote from which score on there should be an alert.
pub const THRESHOLD: &str = "threshold";
/// Where a model does not say: what it thinks more likely a fraud than not.
const THRESHOLD_DEFAULT: f64 = 0.5;

/// Part of the program, so that it works wherever it is. How it was made stands beside it.
const SHIPPED: &str = include_str!("../model/fraud.json");
const SHIPPED_PATH: &str = "model/fraud.json";

/// Boosted trees over [`feature_names`](crate::pipeline::feature_names), or some of them, and the score from which on
/// there should be an alert.
#[derive(Clone, Debug)]
pub struct Model {
    trees: Arc<TreeModel>,
    threshold: f64,
}

impl Model {
    /// The one that comes with the program.
    ///
    /// ```
    /// let model = fraud_detection::score::Model::shipped()?;
    /// assert!(model.threshold() > 0.0 && model.threshold() < 1.0);
    /// # Ok::<(), sabot::Error>(())
    /// ```
    ///
    /// # Errors
    /// None, unless the program was built with another file.
    pub fn shipped() -> sabot::Result<Self> {
        let trees = TreeModel::from_text(SHIPPED);
        trees.and_then(|trees| Self::new(Arc::new(trees))).map_err(of_file(SHIPPED_PATH.as_ref()))
    }

    /// One of a file: XGBoost's JSON or LightGBM's text.
    ///
    /// # Errors
    /// When the file cannot be read or holds no model.
    pub fn read(path: &Path) -> sabot::Result<Self> {
        Self::new(read_model(path)?).map_err(of_file(path))
    }

    /// A model, and the threshold that stands in its attributes; 0.5 where none does.
    ///
    /// # Errors
    /// When that is no number.
    pub fn new(trees: Arc<TreeModel>) -> Result<Self, ModelError> {
        let threshold = match trees.attributes.get(THRESHOLD) {
            None => THRESHOLD_DEFAULT,
            Some(text) => {
                let number = text.parse().ok().filter(|threshold: &f64| threshold.is_finite());
                number.ok_or_else(|| ModelError::Malformed {
                    format: "XGBoost JSON",
                    place: format!("learner.attributes.{THRESHOLD}"),
                    message: format!("{text:?} is no score"),
                })?
            }
        };
        Ok(Self { trees, threshold })
    }

    /// The score from which on there should be an alert.
    pub fn threshold(&self) -> f64 {
        self.threshold
    }

    fn ask(&self, rows: Stream, what: PredictExpr) -> sabot::Result<Stream> {
        let flags = FLAGS.map(|flag| col(flag).cast(DataType::Boolean).alias(flag));
        numeric(rows)?.predict(&self.trees, [what])?.with_columns(flags)
    }
}

fn of_file(path: &Path) -> impl FnOnce(ModelError) -> sabot::Error {
    move |error| sabot::Error::Model { path: path.to_owned(), error }
}

/// Features as trees know them: true is 1 and false is 0.
///
/// # Errors
/// When columns are missing.
pub fn numeric(features: Stream) -> sabot::Result<Stream> {
    features.with_columns(FLAGS.map(|flag| col(flag).cast(DataType::Int8).alias(flag)))
}

// ANCHOR: score
/// Adds to features a `score`: the probability of a fraud, as the model sees it.
///
/// # Errors
/// When the model asks for features that there are not.
pub fn scored(features: Stream, model: &Model) -> sabot::Result<Stream> {
    model.ask(features, prediction().alias("score"))
}

/// Adds to features `reasons`: those that contributed most to the score, with their contributions to its log-odds.
///
/// To find them costs more than the score does, so it is done for alerts only.
///
/// # Errors
/// When the model asks for features that there are not.
pub fn explained(alerts: Stream, model: &Model) -> sabot::Result<Stream> {
    model.ask(alerts, reasons(REASONS).alias("reasons"))
}
// ANCHOR_END: score
