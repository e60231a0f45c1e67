//! What is known of one aggregate of one group: one kind of state for each family of functions.
//!
//! A value is an array of one row, so that every type has values.

use arrow::array::{Array, ArrayRef, new_empty_array};
use arrow::compute::concat;
use arrow::datatypes::DataType;
use sabot_expr::RowErrorKind;

use super::basic::Basic;
use super::decimal::DecimalSum;
use super::distinct::{Distinct, Hll};
use super::extreme::Extreme;
use super::moments::{Exact, Moments};
use super::ordered::{End, Listed};
use super::quantile::Quantiles;
use super::user::User;
use crate::reference::internal;
use crate::{AggregateFunction, AggregateSpec, Failure, Place};

/// A row as one aggregate sees it.
pub(super) struct Row<'a> {
    /// Its arguments, dictionaries looked up.
    pub(super) arguments: &'a [ArrayRef],
    /// Where it stands, for aggregates to which that matters.
    pub(super) place: Option<Place>,
}

/// What has been seen of a group's values.
pub(super) trait State {
    /// One more row.
    fn add(&mut self, row: &Row<'_>) -> Result<(), Failure>;

    /// The state of other rows of the group, as it stands in its columns.
    fn merge(&mut self, parts: &[ArrayRef]) -> Result<(), Failure>;

    /// The state as it stands in its columns.
    fn parts(&self) -> Result<Vec<ArrayRef>, Failure>;

    /// The value of the aggregate, or why the group has none.
    fn result(&self) -> Result<Result<ArrayRef, RowErrorKind>, Failure>;
}

/// The state of no rows.
pub(super) fn start(aggregate: &AggregateSpec) -> Result<Box<dyn State>, Failure> {
    use AggregateFunction as F;
    let types = aggregate.argument_types();
    let decimal = matches!(types.first(), Some(DataType::Decimal128(..)));
    Ok(match &aggregate.function {
        F::Sum | F::Avg if decimal => Box::new(DecimalSum::new(aggregate)?),
        F::Min | F::Max if types.first().is_some_and(is_compared_as_array) => {
            Box::new(Extreme::new(aggregate)?)
        }
        F::Count | F::Sum | F::Avg | F::Min | F::Max | F::BoolAnd | F::BoolOr => {
            Box::new(Basic::new(aggregate)?)
        }
        F::CountDistinct => Box::new(Distinct::new(aggregate)?),
        F::ApproxCountDistinct => Box::new(Hll::default()),
        F::First | F::Last => Box::new(End::new(aggregate)?),
        F::ArrayAgg | F::StringAgg { .. } => Box::new(Listed::new(aggregate)?),
        F::VarSamp | F::VarPop | F::StddevSamp | F::StddevPop | F::CovarSamp | F::CovarPop | F::Corr => {
            match types.iter().all(DataType::is_integer) {
                true => Box::new(Exact::new(aggregate)),
                false => Box::new(Moments::new(aggregate)),
            }
        }
        F::ApproxQuantile { quantile } => Box::new(Quantiles::new(*quantile)),
        F::User(function) => Box::new(User::new(function, aggregate)?),
    })
}

/// One column of many values.
pub(super) fn column(data_type: &DataType, values: &[ArrayRef]) -> Result<ArrayRef, Failure> {
    if let Some(other) = values.iter().find(|v| v.data_type() != data_type) {
        return Err(internal(format!("a value of {} in a column of {data_type}", other.data_type())));
    }
    let values: Vec<&dyn Array> = values.iter().map(AsRef::as_ref).collect();
    match values.is_empty() {
        true => Ok(new_empty_array(data_type)),
        false => concat(&values).map_err(internal),
    }
}

/// Types without NaN or zeros of both signs, and which are no plain scalars.
fn is_compared_as_array(data_type: &DataType) -> bool {
    use DataType::{Date64, Decimal128, Duration, Time32, Time64, Utf8View};
    matches!(data_type, Decimal128(..) | Utf8View | Date64 | Time32(_) | Time64(_) | Duration(_))
}
