//! Predict, row by row and tree by tree: the path from the root is written down, and everything is read off it.

use arrow::array::{
    ArrayRef, Float64Array, Float64Builder, ListBuilder, RecordBatch, StringBuilder, StructBuilder,
};
use arrow::datatypes::{DataType, Field};
use sabot_expr::Scalar;
use sabot_expr::cast::cast_scalar;
use std::sync::Arc;

use super::internal;
use crate::predict::reason_fields;
use crate::{
    Failure, Forest, MISSING_RIGHT, Nodes, Number, PredictSpec, PredictValue, TreeModel, ZERO,
    ZERO_IS_MISSING,
};

/// What the model says of one row.
struct Answer {
    margin: f64,
    /// By feature.
    contributions: Vec<f64>,
}

/// The columns that `spec` adds to these rows.
///
/// # Errors
/// [`Failure::Internal`] for a spec that does not fit; no row can fail.
pub fn predict(spec: &PredictSpec, rows: &RecordBatch) -> Result<Vec<ArrayRef>, Failure> {
    spec.result_fields(rows.schema_ref()).map_err(internal)?;
    let mut answers = Vec::with_capacity(rows.num_rows());
    for row in 0..rows.num_rows() {
        let features = spec.features.iter().map(|column| number(spec, rows, *column, row));
        answers.push(answer(&spec.model, &features.collect::<Result<Vec<f64>, Failure>>()?));
    }
    let margins = answers.iter().map(|answer| answer.margin);
    let column = |value: PredictValue| -> ArrayRef {
        match value {
            PredictValue::Margin => Arc::new(Float64Array::from_iter_values(margins.clone())),
            PredictValue::Prediction => {
                let predictions = margins.clone().map(|margin| spec.model.objective.prediction(margin));
                Arc::new(Float64Array::from_iter_values(predictions))
            }
            PredictValue::Reasons { most } => reasons(&spec.model, &answers, most),
        }
    };
    Ok(spec.columns.iter().map(|added| column(added.value)).collect())
}

/// A feature, rounded as the model wants it; NaN where it is missing.
fn number(spec: &PredictSpec, rows: &RecordBatch, column: usize, row: usize) -> Result<f64, Failure> {
    let value = Scalar::from_array(rows.column(column).as_ref(), row).map_err(internal)?;
    let (to, zero) = match spec.model.forest {
        Forest::Single(_) => (DataType::Float32, 0.0),
        Forest::Double(_) => (DataType::Float64, ZERO),
    };
    let number = cast_scalar(&value, &to).and_then(|number| number.as_float()).unwrap_or(f64::NAN);
    Ok(if number.abs() <= zero { 0.0 } else { number })
}

fn answer(model: &TreeModel, row: &[f64]) -> Answer {
    let mut contributions = vec![0.0; row.len()];
    let sum = match &model.forest {
        Forest::Single(nodes) => {
            let mut sum = model.base as f32;
            for root in &nodes.roots {
                let path = path(nodes, *root, row, |x, threshold| x < threshold);
                sum += nodes.value[path[path.len() - 1]];
                attribute(nodes, &path, &mut contributions);
            }
            f64::from(sum)
        }
        Forest::Double(nodes) => {
            let mut sum = model.base;
            for root in &nodes.roots {
                let path = path(nodes, *root, row, |x, threshold| x <= threshold);
                sum += nodes.value[path[path.len() - 1]];
                attribute(nodes, &path, &mut contributions);
            }
            sum
        }
    };
    let divisor = f64::from(model.divisor);
    contributions.iter_mut().for_each(|contribution| *contribution /= divisor);
    // A mean of float32 would be rounded once more; no library takes one.
    Answer { margin: sum / divisor, contributions }
}

/// The nodes from the root to the leaf of a row. The comparison of two float32 is that of the same numbers as
/// float64.
fn path<T: Number>(nodes: &Nodes<T>, root: u32, row: &[f64], is_left: fn(f64, f64) -> bool) -> Vec<usize> {
    let mut path = vec![root as usize];
    loop {
        let node = path[path.len() - 1];
        if nodes.is_leaf(node) {
            return path;
        }
        let x = row[nodes.feature[node] as usize];
        let is_missing = x.is_nan() || (nodes.missing[node] & ZERO_IS_MISSING != 0 && x == 0.0);
        let goes_left = match is_missing {
            true => nodes.missing[node] & MISSING_RIGHT == 0,
            false => is_left(x, nodes.threshold[node].into()),
        };
        path.push(nodes.left[node] as usize + usize::from(!goes_left));
    }
}

/// Counts each step of a path for the feature that was asked for.
fn attribute<T: Number>(nodes: &Nodes<T>, path: &[usize], contributions: &mut [f64]) {
    for step in path.windows(2) {
        let (before, behind): (f64, f64) = (nodes.value[step[0]].into(), nodes.value[step[1]].into());
        contributions[nodes.feature[step[0]] as usize] += behind - before;
    }
}

fn reasons(model: &TreeModel, answers: &[Answer], most: u32) -> ArrayRef {
    let reason = StructBuilder::new(
        reason_fields(),
        vec![Box::new(StringBuilder::new()), Box::new(Float64Builder::new())],
    );
    let item = Field::new_list_field(DataType::Struct(reason_fields()), false);
    let mut lists = ListBuilder::new(reason).with_field(item);
    for answer in answers {
        let mut by_size: Vec<usize> = (0..answer.contributions.len()).collect();
        by_size.retain(|feature| answer.contributions[*feature] != 0.0);
        let size = |feature: &usize| answer.contributions[*feature].abs();
        by_size.sort_by(|a, b| size(b).total_cmp(&size(a)));
        for feature in by_size.into_iter().take(most as usize) {
            let reason = lists.values();
            if let Some(names) = reason.field_builder::<StringBuilder>(0) {
                names.append_value(&model.features[feature]);
            }
            if let Some(contributions) = reason.field_builder::<Float64Builder>(1) {
                contributions.append_value(answer.contributions[feature]);
            }
            reason.append(true);
        }
        lists.append(true);
    }
    Arc::new(lists.finish())
}
