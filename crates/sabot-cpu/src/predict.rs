//! Predict: many rows down one tree at a time, without a branch that depends on a row.
//!
//! A walk down a tree is a chain of loads, each of which needs the one before; what a processor can do is many
//! chains at once. So a block of rows takes each step together: all are at some node, and each goes to `left +
//! went_right`, which is arithmetic and no jump that could be guessed wrong. A leaf is its own left child and
//! its threshold is NaN, to whose right nothing lies, so rows that have arrived stay where they are until all
//! have. The loop over blocks is the outer one: the features of a block stay in the first cache while all trees
//! go past, and a tree that was loaded serves all rows of the block.

#[cfg(test)]
mod tests;
mod walk;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, ListArray, RecordBatch, StringBuilder, StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{ArrowPrimitiveType, DataType, Field, Float32Type, Float64Type, SchemaRef};
use sabot_ops::{Failure, Forest, PredictSpec, PredictValue, reason_fields};
use std::sync::Arc;

use crate::expr::converted;
use walk::{Answers, Feature, Trees};

/// Computes what a spec adds to rows of one schema.
#[derive(Clone, Debug)]
pub struct PredictStep {
    spec: PredictSpec,
    forest: Compiled,
}

#[derive(Clone, Debug)]
enum Compiled {
    Single(Trees<f32>),
    Double(Trees<f64>),
}

impl PredictStep {
    /// A step for rows of this schema.
    ///
    /// # Errors
    /// [`Failure::Internal`] when the spec does not fit the schema.
    pub fn new(spec: &PredictSpec, input: &SchemaRef) -> Result<Self, Failure> {
        spec.result_fields(input).map_err(|error| Failure::Internal(error.to_string()))?;
        let forest = match &spec.model.forest {
            Forest::Single(nodes) => Compiled::Single(Trees::new(nodes)),
            Forest::Double(nodes) => Compiled::Double(Trees::new(nodes)),
        };
        Ok(Self { spec: spec.clone(), forest })
    }

    /// The columns that are added to these rows.
    ///
    /// # Errors
    /// Only when the rows are not of the step's schema.
    pub fn run(&self, rows: &RecordBatch) -> Result<Vec<ArrayRef>, Failure> {
        let reasons = |value: PredictValue| matches!(value, PredictValue::Reasons { .. });
        let attribute = self.spec.columns.iter().any(|column| reasons(column.value));
        let (base, count) = (self.spec.model.base, rows.num_rows());
        let mut answers = match &self.forest {
            // The base of a single forest is a float32.
            Compiled::Single(trees) => {
                trees.answers(&self.features::<Float32Type>(rows)?, count, base as f32, attribute)
            }
            Compiled::Double(trees) => {
                trees.answers(&self.features::<Float64Type>(rows)?, count, base, attribute)
            }
        };
        let divisor = f64::from(self.spec.model.divisor);
        answers.margins.iter_mut().for_each(|margin| *margin /= divisor);
        answers.contributions.iter_mut().for_each(|contribution| *contribution /= divisor);
        let column = |value| match value {
            PredictValue::Margin => floats(answers.margins.iter().copied()),
            PredictValue::Prediction => {
                let objective = self.spec.model.objective;
                floats(answers.margins.iter().map(|margin| objective.prediction(*margin)))
            }
            PredictValue::Reasons { most } => self.reasons(&answers, most),
        };
        Ok(self.spec.columns.iter().map(|added| column(added.value)).collect())
    }

    /// The features as columns in the width of the model, NaN where one is missing.
    fn features<T>(&self, rows: &RecordBatch) -> Result<Vec<Vec<T::Native>>, Failure>
    where
        T: ArrowPrimitiveType,
        T::Native: Feature,
    {
        let column = |index: &usize| {
            let column = rows.columns().get(*index);
            let column =
                column.ok_or_else(|| Failure::Internal(format!("no column {index} to predict from")))?;
            let numbers = match column.data_type() == &T::DATA_TYPE {
                true => column.clone(),
                false => converted(column, &T::DATA_TYPE)?,
            };
            let numbers = numbers.as_primitive::<T>();
            let mut values = numbers.values().to_vec();
            if let Some(nulls) = numbers.nulls() {
                let nulls = values.iter_mut().zip(nulls).filter(|(_, valid)| !valid);
                nulls.for_each(|(x, _)| *x = T::Native::NAN);
            }
            Ok(values)
        };
        self.spec.features.iter().map(column).collect()
    }

    fn reasons(&self, answers: &Answers, most: u32) -> ArrayRef {
        let names = &self.spec.model.features;
        let (mut features, mut contributions) = (StringBuilder::new(), Vec::new());
        let mut lengths = Vec::with_capacity(answers.margins.len());
        let mut order: Vec<usize> = Vec::with_capacity(names.len());
        for row in 0..answers.margins.len() {
            let of_row = &answers.contributions[row * answers.width..][..names.len()];
            order.clear();
            order.extend((0..names.len()).filter(|feature| of_row[*feature] != 0.0));
            order.sort_by(|a, b| of_row[*b].abs().total_cmp(&of_row[*a].abs()));
            order.truncate(most as usize);
            for feature in &order {
                features.append_value(&names[*feature]);
                contributions.push(of_row[*feature]);
            }
            lengths.push(order.len());
        }
        let columns: Vec<ArrayRef> = vec![Arc::new(features.finish()), floats(contributions.into_iter())];
        let item = Field::new_list_field(DataType::Struct(reason_fields()), false);
        let reasons = StructArray::new(reason_fields(), columns, None);
        Arc::new(ListArray::new(Arc::new(item), OffsetBuffer::from_lengths(lengths), Arc::new(reasons), None))
    }
}

fn floats(values: impl Iterator<Item = f64>) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values(values))
}
