//! Predict: for each row what a trained model makes of it.
//!
//! The models are ensembles of decision trees, as XGBoost and LightGBM train them. [`TreeModel`] is one as
//! data, with the nodes in flat arrays that a kernel on any device takes as they are. What differs between the
//! two libraries (how a threshold is compared, in which width, what a missing value is) is settled when a model
//! is read, and stated in [`Forest`].

mod error;
mod grow;
mod lightgbm;
mod model;
#[cfg(test)]
mod tests;
mod xgboost;

pub use error::ModelError;
pub use model::{Forest, MISSING_RIGHT, Nodes, Number, Objective, TreeModel, ZERO, ZERO_IS_MISSING};

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use sabot_expr::types::{is_decimal, is_numeric};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

use crate::SpecError;
use crate::spec::{column, unique_names};

const OPERATOR: &str = "predict";

/// Adds columns with what a model says of each row.
///
/// * Features are numbers of any type: integers, floats, decimals. They are rounded to the nearest float32 or
///   float64, whichever the model's [`Forest`] has; what is beyond float32 becomes an infinity.
/// * Null and NaN are one thing: the feature is missing, and each node has a direction for that. A value that
///   stands for a missing one (−999) must be made null before. −0 is 0, an infinity is a number like any other.
/// * Results are float64, whatever the model: a float32 is the same number as a float64, and a pipeline keeps
///   its types when one model takes the place of another. They are never null.
/// * Margins are the library's to the bit: leaves are added in its order and its width. On every backend they
///   are equal to the bit.
/// * Probabilities are computed in float64. They are within 4 · 10⁻⁷ of XGBoost's, relatively, which computes
///   them in float32, and within 10⁻¹⁵ of LightGBM's; between backends they differ by at most 4 ULP.
/// * Rows keep their order, kinds and other columns; no row can fail. A model without trees predicts its base.
///
/// ```
/// use arrow::array::{ArrayRef, Float64Array, Int32Array, RecordBatch};
/// use sabot_ops::{PredictColumn, PredictSpec, PredictValue, TreeModel, reference};
/// use std::sync::Arc;
///
/// let text = "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nmax_feature_idx=1\n\
///             objective=regression\nfeature_names=delay wind\n\n\
///             Tree=0\nnum_leaves=2\nnum_cat=0\nsplit_feature=0\nthreshold=10\ndecision_type=10\n\
///             left_child=-1\nright_child=-2\nleaf_value=1.5 40\nleaf_count=3 1\ninternal_count=4\n\n\
///             end of trees\n";
/// let column = |name: &str, value| PredictColumn { name: name.to_owned(), value };
/// let spec = PredictSpec {
///     model: Arc::new(TreeModel::from_lightgbm(text)?),
///     features: vec![0, 1],
///     columns: vec![
///         column("expected", PredictValue::Prediction),
///         column("why", PredictValue::Reasons { most: 1 }),
///     ],
/// };
/// assert_eq!(spec.to_string(), "predict expected, why by 1 trees of 2 features");
///
/// let delay: ArrayRef = Arc::new(Int32Array::from(vec![Some(10), Some(11), None]));
/// let wind: ArrayRef = Arc::new(Float64Array::from(vec![0.0; 3]));
/// let rows = RecordBatch::try_from_iter([("delay", delay), ("wind", wind)])?;
/// let results = reference::predict(&spec, &rows)?;
/// let expected: ArrayRef = Arc::new(Float64Array::from(vec![1.5, 40.0, 1.5]));
/// assert_eq!(&results[0], &expected);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PredictSpec {
    /// The model.
    pub model: Arc<TreeModel>,
    /// The column of each of its features, in their order.
    pub features: Vec<usize>,
    /// What is added behind the columns of the rows, in this order.
    pub columns: Vec<PredictColumn>,
}

/// One column that is added.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PredictColumn {
    /// Its name.
    pub name: String,
    /// What stands in it.
    pub value: PredictValue,
}

/// What can be had of a model for a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PredictValue {
    /// float64: the sum of the trees, before the objective makes something of it: log-odds where that is
    /// logistic.
    Margin,
    /// float64: what is predicted, a probability where the objective is logistic.
    Prediction,
    /// list of struct {feature: utf8, contribution: float64}: the features that contributed most to the
    /// margin, by *path attribution*.
    ///
    /// A tree says what it would answer at each node of a row's path (the mean of the leaves below, see
    /// [`Nodes::value`]). A step from a node to its child changes that answer, and the change is counted for
    /// the feature that the node asked for. Over all trees, the contributions of all features and the answers of
    /// the roots make up the margin. (Saabas, "Interpreting random forests", 2014; XGBoost has the same
    /// numbers as `approx_contribs`.) It is cheap and depends on the order in which a tree asks; Shapley values
    /// do not, and are another method.
    ///
    /// Largest absolute contributions first, and the model's order among equals. Features that contributed
    /// nothing are not named, so a list may be shorter than asked for. Contributions are added in float64 in
    /// the order of the trees, and equal to the bit on every backend.
    Reasons {
        /// The largest number of features.
        most: u32,
    },
}

impl PredictSpec {
    /// The columns that are added to rows of this schema.
    ///
    /// # Errors
    /// [`SpecError`] when the model is none, features and columns are not equally many, or a column is missing
    /// or no number.
    pub fn result_fields(&self, input: &Schema) -> Result<Vec<Field>, SpecError> {
        let invalid = |message: String| SpecError::Invalid { operator: OPERATOR, message };
        self.model.check().map_err(|error| invalid(error.to_string()))?;
        let (columns, features) = (self.features.len(), &self.model.features);
        if columns != features.len() {
            let names = features.join(", ");
            return Err(invalid(format!(
                "{columns} columns for {} features; the model takes {names}",
                features.len()
            )));
        }
        for (index, feature) in self.features.iter().zip(features) {
            let field = column(OPERATOR, input, *index)?;
            if !is_numeric(field.data_type()) && !is_decimal(field.data_type()) {
                return Err(SpecError::ColumnType {
                    operator: OPERATOR,
                    role: "feature",
                    column: field.name().clone(),
                    got: field.data_type().clone(),
                    expected: format!("a number, as the model's feature \"{feature}\" is"),
                });
            }
        }
        let field = |column: &PredictColumn| Field::new(&column.name, column.value.data_type(), false);
        Ok(self.columns.iter().map(field).collect())
    }

    /// The rows' columns and behind them those that are added.
    ///
    /// # Errors
    /// As [`result_fields`](Self::result_fields), and when two columns share a name.
    pub fn output_schema(&self, input: &SchemaRef) -> Result<SchemaRef, SpecError> {
        let added = self.result_fields(input)?.into_iter().map(Arc::new);
        unique_names(OPERATOR, Schema::new(input.fields().iter().cloned().chain(added).collect::<Vec<_>>()))
    }
}

impl PredictValue {
    /// The type of the column.
    pub fn data_type(self) -> DataType {
        match self {
            PredictValue::Margin | PredictValue::Prediction => DataType::Float64,
            PredictValue::Reasons { .. } => {
                let reason = DataType::Struct(reason_fields());
                DataType::List(Arc::new(Field::new_list_field(reason, false)))
            }
        }
    }
}

/// The fields of one reason.
pub fn reason_fields() -> Fields {
    Fields::from(vec![
        Field::new("feature", DataType::Utf8, false),
        Field::new("contribution", DataType::Float64, false),
    ])
}

/// `predict risk by 100 trees of 6 features`.
impl fmt::Display for PredictSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        let (trees, features) = (self.model.trees(), self.model.features.len());
        write!(f, "{OPERATOR} {} by {trees} trees of {features} features", names.join(", "))
    }
}
