//! Alerts as somebody reads them: what is suspicious about a transaction.

use sabot::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListBuilder, StringArray, StringBuilder};
use sabot::arrow::datatypes::{Field, Schema, SchemaRef};
use sabot::arrow::error::ArrowError;
use sabot::prelude::*;
use std::sync::Arc;

use crate::pipeline::RULES;
use crate::score::{Model, explained};

/// How contributions of features are found: each step down a tree changes what the tree would answer, and the
/// change belongs to the feature that was asked.
const METHOD: &str = "path attribution";

/// The alerts of judged transactions: `transaction_id, event_time, card_id, terminal_id, amount, score, rules,
/// reasons, method`.
///
/// `rules` are the names of those that are broken, `reasons` the features that contributed most to the score with
/// their contributions to its log-odds, and `method` is how these were found.
///
/// # Errors
/// When columns are missing.
pub fn alerts(judged: &Stream, model: &Model) -> sabot::Result<Stream> {
    let known = ["transaction_id", "event_time", "card_id", "terminal_id", "amount", "score"];
    let columns = known.into_iter().chain(RULES).chain(["reasons"]);
    // ANCHOR: alerts
    let rows = explained(judged.clone().filter(col("alert"))?, model)?
        .select(columns.map(col).collect::<Vec<_>>())?;
    // ANCHOR_END: alerts
    let field = |name: &str| rows.schema().field_with_name(name).cloned();
    let mut fields: Vec<Field> = known.iter().map(|name| field(name)).collect::<Result<_, _>>()?;
    fields.push(Field::new_list("rules", Field::new_list_field(DataType::Utf8, true), false));
    fields.push(field("reasons")?);
    fields.push(Field::new("method", DataType::Utf8, false));
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let told = schema.clone();
    rows.map_batches(schema, move |batch| told_of(&batch, &told))
}

/// The rows with names of rules in the place of flags.
fn told_of(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let flags: Vec<&BooleanArray> =
        RULES.iter().filter_map(|rule| batch.column_by_name(rule)?.as_boolean_opt()).collect();
    let mut rules = ListBuilder::new(StringBuilder::new());
    for row in 0..batch.num_rows() {
        for (rule, _) in RULES.iter().zip(&flags).filter(|(_, flag)| flag.is_valid(row) && flag.value(row)) {
            rules.values().append_value(rule);
        }
        rules.append(true);
    }
    let rules: ArrayRef = Arc::new(rules.finish());
    let method: ArrayRef = Arc::new(StringArray::from(vec![METHOD; batch.num_rows()]));
    let column = |field: &Arc<Field>| match field.name().as_str() {
        "rules" => Some(rules.clone()),
        "method" => Some(method.clone()),
        name => batch.column_by_name(name).cloned(),
    };
    RecordBatch::try_new(schema.clone(), schema.fields().iter().filter_map(column).collect())
}
