//! What a fragment asks of a device, by its steps and types.

use arrow::datatypes::{DataType, SchemaRef};
use sabot_common::RowWork;
use sabot_expr::functions::Function;
use sabot_expr::{TypedExpr, TypedKind};

use crate::{Fragment, OperatorSpec};

/// Bytes of a value whose type does not say: a short string and its offset.
const BYTES_OF_ANY: f64 = 20.0;

/// Operations of a hash of a value.
const HASH: f64 = 4.0;

impl Fragment {
    /// What it asks of a device that its rows are on already, for each of them: the least that some device needs, for
    /// comparisons between devices. Every row is taken to go through all steps.
    ///
    /// ```
    /// # use arrow::datatypes::{DataType, Field, Schema};
    /// # use sabot_expr::{FunctionRegistry, col, resolve};
    /// # use sabot_ops::{FilterProjectSpec, Fragment};
    /// let schema = Schema::new(vec![Field::new("delay", DataType::Int32, false)]);
    /// let predicate = resolve(&(col("delay") + 1).gt(15), &schema, &FunctionRegistry::new())?;
    /// let spec = FilterProjectSpec { predicate: Some(predicate), projections: Vec::new(), carried: vec![0] };
    /// let work = Fragment::new(schema.into(), vec![spec.into()])?.work();
    /// assert_eq!((work.bytes, work.folds, work.bytes_shipped()), (8.0, 0.0, 0.0)); // four in, four out
    /// assert!(work.operations >= 2.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn work(&self) -> RowWork {
        let mut work = RowWork { bytes: row_bytes(self.input()), ..RowWork::default() };
        for step in self.steps() {
            match step {
                OperatorSpec::FilterProject(spec) => {
                    let exprs = spec.projections.iter().map(|projection| &projection.expr);
                    work.operations += exprs.chain(&spec.predicate).map(operations).sum::<f64>();
                }
                OperatorSpec::WindowAssign(_) => work.operations += 4.0,
                OperatorSpec::GroupBy(spec) => {
                    work.folds += 1.0;
                    work.operations += spec.aggregates.len() as f64 + HASH * spec.hashed.len() as f64;
                }
                OperatorSpec::Partition(spec) => work.operations += HASH * spec.keys.len() as f64,
                OperatorSpec::Union(_) | OperatorSpec::Unnest(_) => {}
                // A walk down one tree is some thirty steps that wait for each other.
                OperatorSpec::Predict(_) => work.operations += 1_000.0,
            }
        }
        if work.folds == 0.0 {
            work.bytes += row_bytes(self.output());
        }
        work
    }
}

/// Bytes of a row of such columns, as far as types say.
///
/// ```
/// # use arrow::datatypes::{DataType, Field, Schema};
/// let schema = Schema::new(vec![Field::new("n", DataType::Int32, false), Field::new("b", DataType::Boolean, false)]);
/// assert_eq!(sabot_ops::row_bytes(&schema.into()), 4.125);
/// ```
pub fn row_bytes(schema: &SchemaRef) -> f64 {
    schema.fields().iter().map(|field| bytes_of(field.data_type())).sum()
}

fn bytes_of(data_type: &DataType) -> f64 {
    match data_type {
        DataType::Boolean => 0.125,
        DataType::Dictionary(key, _) => bytes_of(key),
        other => other.primitive_width().map_or(BYTES_OF_ANY, |width| width as f64),
    }
}

/// Operations of an expression for one row, relative to an addition: orders of magnitude, as nobody knows how often a part of it
/// is skipped.
fn operations(expr: &TypedExpr) -> f64 {
    let own = match expr.kind() {
        TypedKind::Column { .. } | TypedKind::Literal(_) => 0.0,
        TypedKind::Function { function, .. } => match function {
            Function::Math(_) => 10.0,
            Function::Bits(_) | Function::General(_) => 1.0,
            Function::Time(_) => 6.0,
            Function::Text(_) | Function::Nested(_) => 40.0,
            Function::Pattern(_) => 200.0,
        },
        TypedKind::Cast { .. } => 2.0,
        _ => 1.0,
    };
    let wide = if expr.data_type().primitive_width().is_some_and(|width| width > 8) { 4.0 } else { 1.0 };
    own * wide + expr.children().into_iter().map(operations).sum::<f64>()
}
