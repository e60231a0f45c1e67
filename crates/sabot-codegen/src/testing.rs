//! Random programs, for the tests of printers and devices.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, IntervalUnit, Schema, TimeUnit};
use rand::Rng;
use sabot_expr::TypedExpr;
use sabot_ops::{FilterProjectSpec, Projection};
use sabot_testkit::array::{Spread, random_array};
use sabot_testkit::expr::{random_expr, random_predicate};
use std::sync::Arc;

use crate::{Program, lower_filter_projects};

/// The types that kernels compute with.
const TYPES: [DataType; 18] = [
    DataType::Boolean,
    DataType::Int8,
    DataType::Int16,
    DataType::Int32,
    DataType::Int64,
    DataType::UInt8,
    DataType::UInt16,
    DataType::UInt32,
    DataType::UInt64,
    DataType::Float32,
    DataType::Float64,
    DataType::Date32,
    DataType::Date64,
    DataType::Time32(TimeUnit::Millisecond),
    DataType::Timestamp(TimeUnit::Microsecond, None),
    DataType::Timestamp(TimeUnit::Second, None),
    DataType::Duration(TimeUnit::Microsecond),
    DataType::Interval(IntervalUnit::YearMonth),
];

/// Rows of six columns of such types.
pub fn random_batch(rng: &mut impl Rng, rows: usize) -> RecordBatch {
    let columns: Vec<(Field, ArrayRef)> = (0..6)
        .map(|number| {
            let data_type = &TYPES[rng.random_range(0..TYPES.len())];
            let nullable = rng.random_bool(0.6);
            let spread = if rng.random_bool(0.5) { Spread::Narrow } else { Spread::Wide };
            let density = if nullable { 0.2 } else { 0.0 };
            let array = random_array(rng, data_type, rows, density, spread);
            (Field::new(format!("c{number}"), data_type.clone(), nullable), array)
        })
        .collect();
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
    let schema = Arc::new(Schema::new(fields));
    // Columns that were drawn for their fields.
    RecordBatch::try_new(schema.clone(), arrays).unwrap_or_else(|_| RecordBatch::new_empty(schema))
}

/// A filter-project whose expressions all have programs, of which `prints` says yes to each.
pub fn random_spec(
    rng: &mut impl Rng,
    schema: &Schema,
    prints: impl Fn(&Program) -> bool,
) -> FilterProjectSpec {
    let lowers = |spec: &FilterProjectSpec| {
        lower_filter_projects(&[spec]).is_ok_and(|lowered| prints(&lowered.program))
    };
    let spec = |predicate: Option<TypedExpr>, exprs: Vec<TypedExpr>| FilterProjectSpec {
        predicate,
        projections: exprs
            .into_iter()
            .enumerate()
            .map(|(number, expr)| Projection { name: format!("p{number}"), expr })
            .collect(),
        carried: Vec::new(),
    };
    let mut predicate = None;
    while predicate.is_none() && rng.random_bool(0.9) {
        let depth = rng.random_range(1..4);
        let drawn = spec(Some(random_predicate(rng, schema, depth)), Vec::new());
        if lowers(&drawn) {
            predicate = drawn.predicate;
        }
    }
    let mut exprs = Vec::new();
    while exprs.len() < 2 {
        let depth = rng.random_range(1..4);
        let expr = random_expr(rng, schema, depth);
        if expr.as_column().is_none() && lowers(&spec(None, vec![expr.clone()])) {
            exprs.push(expr);
        }
    }
    spec(predicate, exprs)
}
