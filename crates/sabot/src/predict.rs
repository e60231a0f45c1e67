//! Predict: what a trained model says of each row.

use sabot_connect::ConnectError;
use sabot_ops::TreeModel;
use sabot_plan::PredictExpr;
use std::path::Path;
use std::sync::Arc;

use crate::{Error, Result, Stream};

/// Reads a model of boosted trees from a file: JSON of XGBoost (`booster.save_model("model.json")`) or text of
/// LightGBM (`booster.save_model("model.txt")`), told apart by what is in it.
///
/// ```
/// use sabot::prelude::*;
/// let model = read_model("data/late.txt")?;
/// assert_eq!((model.features.join(", "), model.trees()), ("distance, delay".to_owned(), 2));
///
/// let error = read_model("data/flights.csv").unwrap_err().to_string();
/// let expected = "data/flights.csv: LightGBM text: line 1: the first line must be \"tree\"";
/// assert!(error.starts_with(expected), "{error}");
/// # Ok::<(), sabot::Error>(())
/// ```
///
/// # Errors
/// [`ConnectError::Io`] when the file cannot be read; [`Error::Model`] with the place in it when it holds no model,
/// or one with something that is not supported.
pub fn read_model(path: impl AsRef<Path>) -> Result<Arc<TreeModel>> {
    let path = path.as_ref();
    let text = std::fs::read_to_string(path).map_err(|error| ConnectError::io("read", path, error))?;
    let model = TreeModel::from_text(&text).map_err(|error| Error::Model { path: path.to_owned(), error })?;
    Ok(Arc::new(model))
}

impl Stream {
    /// Adds what a trained model says of each row: [`prediction`](crate::prediction),
    /// [`margin`](crate::margin), and [`reasons`](crate::reasons) for them.
    ///
    /// The model's features are the columns of their names; where those are others,
    /// [`TreeModel::rename`] gives the model yours. They are numbers of any type, rounded as the model's library
    /// would; a null and a NaN are a missing value, for which each tree knows a direction. Results are the
    /// library's own, margins to the bit, see [`PredictSpec`](sabot_ops::PredictSpec). Rows keep their order,
    /// their event time and their other columns; no row can fail.
    ///
    /// ```
    /// use sabot::prelude::*;
    /// # use sabot::arrow::array::{AsArray, Float64Array};
    /// # use sabot::arrow::datatypes::Float64Type;
    /// let model = read_model("data/late.txt")?;
    /// let flights = Stream::read(csv("data/flights.csv"))?
    ///     .with_columns([lit(400).alias("distance")])?
    ///     .predict(&model, [prediction().alias("risk"), reasons(1).alias("why")])?;
    /// let risky = flights.filter(col("risk").gt(0.5))?.select([col("delay"), col("risk")])?;
    /// let risks = risky.collect()?.remove(0).column(1).as_primitive::<Float64Type>().clone();
    /// assert!(risks.iter().flatten().all(|risk| risk > 0.5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`PlanError`](crate::PlanError) when a feature is no column or no number, nothing is asked for, or two
    /// columns would share a name.
    pub fn predict(
        self,
        model: &Arc<TreeModel>,
        values: impl IntoIterator<Item = PredictExpr>,
    ) -> Result<Self> {
        let values: Vec<PredictExpr> = values.into_iter().collect();
        let node = self.builder().predict(self.node(), model, &values)?;
        Ok(self.with_node(node))
    }
}
