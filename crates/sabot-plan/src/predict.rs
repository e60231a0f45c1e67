//! The words for what a trained model says of rows: `rows.predict(&model, [prediction().alias("score")])`.

use sabot_expr::ExprError;
use sabot_ops::{PredictColumn, PredictSpec, PredictValue, TreeModel};
use std::sync::Arc;

use crate::derive::check_names;
use crate::{ChangeMode, NodeRef, PlanError, Properties};

const OPERATOR: &str = "predict";

/// One of the things that can be had of a model for each row, with the name of its column.
///
/// ```
/// use sabot_plan::{margin, prediction, reasons};
/// assert_eq!(prediction().output_name(), "prediction");
/// assert_eq!(margin().alias("log_odds").output_name(), "log_odds");
/// assert_eq!(reasons(3).output_name(), "reasons");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PredictExpr {
    value: PredictValue,
    name: Option<String>,
}

/// What is predicted, as float64: a probability where the model's objective is logistic, else a number.
///
/// ```
/// use sabot_plan::prediction;
/// assert_eq!(prediction().alias("score").output_name(), "score");
/// ```
pub fn prediction() -> PredictExpr {
    PredictValue::Prediction.into()
}

/// The sum of the model's trees, before its objective makes something of it, as float64: log-odds where that is
/// logistic.
///
/// ```
/// use sabot_plan::margin;
/// assert_eq!(margin().output_name(), "margin");
/// ```
pub fn margin() -> PredictExpr {
    PredictValue::Margin.into()
}

/// At most so many features that contributed most to the margin, largest first, as a list of
/// `{feature, contribution}`: by path attribution, see [`PredictValue::Reasons`].
///
/// ```
/// use sabot_plan::reasons;
/// assert_eq!(reasons(3).alias("why").output_name(), "why");
/// ```
pub fn reasons(most: u32) -> PredictExpr {
    PredictValue::Reasons { most }.into()
}

impl From<PredictValue> for PredictExpr {
    fn from(value: PredictValue) -> Self {
        Self { value, name: None }
    }
}

impl PredictExpr {
    /// Names the column.
    #[must_use]
    pub fn alias(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The column's name: that which it was given, else what it is.
    pub fn output_name(&self) -> String {
        let default = match self.value {
            PredictValue::Prediction => "prediction",
            PredictValue::Margin => "margin",
            PredictValue::Reasons { .. } => "reasons",
        };
        self.name.clone().unwrap_or_else(|| default.to_owned())
    }
}

/// A model over the columns that have the names of its features.
pub(crate) fn spec(
    input: &NodeRef,
    model: &Arc<TreeModel>,
    values: &[PredictExpr],
) -> Result<PredictSpec, PlanError> {
    let schema = input.schema();
    let names = || schema.fields().iter().map(|field| field.name().as_str());
    let place = |feature: &String| {
        let unknown = |_| PlanError::expression(OPERATOR, ExprError::unknown_column(feature, names()));
        schema.index_of(feature).map_err(unknown)
    };
    let features = model.features.iter().map(place).collect::<Result<Vec<usize>, PlanError>>()?;
    let column = |value: &PredictExpr| PredictColumn { name: value.output_name(), value: value.value };
    Ok(PredictSpec { model: model.clone(), features, columns: values.iter().map(column).collect() })
}

pub(crate) fn derive_predict(spec: &PredictSpec, input: &NodeRef) -> Result<Properties, PlanError> {
    if spec.columns.is_empty() {
        return Err(PlanError::NoColumns { operator: OPERATOR.to_owned() });
    }
    let names = input.schema().fields().iter().map(|field| field.name().as_str());
    check_names(OPERATOR, names.chain(spec.columns.iter().map(|column| column.name.as_str())))?;
    Ok(Properties {
        schema: spec.output_schema(input.schema())?,
        accepts: ChangeMode::Changelog,
        order_sensitive: false,
        ..input.properties().clone()
    })
}

/// A model of these features that always answers its base.
#[cfg(test)]
pub(crate) fn without_trees(features: &[&str]) -> Arc<TreeModel> {
    use sabot_ops::{Forest, Nodes, Objective};
    let (roots, feature, threshold, left, missing, value) = Default::default();
    let forest = Forest::Double(Nodes { roots, feature, threshold, left, missing, value });
    let features = features.iter().map(|name| (*name).to_owned()).collect();
    let (objective, attributes) = (Objective::Identity, Default::default());
    Arc::new(TreeModel { features, base: 0.5, divisor: 1, objective, forest, attributes })
}
