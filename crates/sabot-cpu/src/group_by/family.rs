//! Families of aggregate functions whose state is more than a word or a string a group.
//!
//! Each family is a module with its state by dense id; [`start`] says which function belongs to which. They
//! are reached by one dynamic call a batch and column; loops over rows are inside.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use sabot_expr::types::decoded_type;
use sabot_ops::{AggregateFunction, AggregateSpec, Places};
use std::fmt::Debug;

use super::AccumulateError;
use super::basic::Accumulator;
use super::decimals::{DecimalExtremes, WideSums};
use super::distinct::DistinctSets;
use super::extremes::Extremes;
use super::moments::{IntegerMoments, Moments};
use super::ordered::{Ends, Lists};
use super::sketches::{Cardinalities, Quantiles};
use super::user::UserStates;

/// The state of one aggregate of any number of groups.
pub(super) trait GroupState: Debug + Send + Sync {
    /// Adds groups that have seen nothing until there are `groups`.
    fn resize(&mut self, groups: usize);

    /// Forgets all groups.
    fn clear(&mut self);

    /// Allocated bytes.
    fn bytes(&self) -> usize;

    /// Takes in rows.
    fn update(&mut self, rows: &RowsOf<'_>) -> Result<(), AccumulateError>;

    /// Takes in partial state: row `i` belongs to group `ids[i]`.
    fn merge(&mut self, ids: &[u32], state: &[ArrayRef]) -> Result<(), AccumulateError>;

    /// The partial state of these groups.
    fn state(&self, ids: &[u32]) -> Result<Vec<ArrayRef>, AccumulateError>;

    /// The values of these groups. An error about a group says which of `ids` it is.
    fn result(&self, ids: &[u32]) -> Result<ArrayRef, AccumulateError>;
}

/// Rows as one aggregate sees them.
pub(super) struct RowsOf<'a> {
    /// The group of each row.
    pub(super) ids: &'a [u32],
    /// The arguments, dictionaries as they are.
    pub(super) arguments: Vec<&'a ArrayRef>,
    pub(super) batch: &'a RecordBatch,
}

impl<'a> RowsOf<'a> {
    /// The only argument, or the first.
    pub(super) fn argument(&self) -> Result<&'a ArrayRef, AccumulateError> {
        self.arguments
            .first()
            .copied()
            .ok_or_else(|| AccumulateError::input("an aggregate without its argument"))
    }

    /// Where each row stands.
    pub(super) fn places(&self) -> Result<Places<'a>, AccumulateError> {
        Places::of(self.batch).ok_or_else(|| AccumulateError::input("rows do not say where they stand"))
    }
}

/// The state of a function that belongs to a family; `None` for those that [`super::basic`] keeps.
pub(super) fn start(spec: &AggregateSpec) -> Result<Option<Box<dyn GroupState>>, AccumulateError> {
    use AggregateFunction as F;
    let types = spec.argument_types();
    let decimal = matches!(types.first(), Some(DataType::Decimal128(..)));
    Ok(Some(match &spec.function {
        F::Min | F::Max if decimal => Box::new(DecimalExtremes::new(spec)?),
        F::Min | F::Max if !Accumulator::keeps_extremes_of(spec.result_field()?.data_type()) => {
            Box::new(Extremes::new(spec)?)
        }
        F::Sum | F::Avg if decimal && WideSums::are_for(spec)? => Box::new(WideSums::new(spec)?),
        F::Count | F::Sum | F::Avg | F::Min | F::Max | F::BoolAnd | F::BoolOr => return Ok(None),
        F::CountDistinct => Box::new(DistinctSets::new(spec)?),
        F::ApproxCountDistinct => Box::new(Cardinalities::default()),
        F::ApproxQuantile { quantile } => Box::new(Quantiles::new(*quantile)),
        F::First | F::Last => Box::new(Ends::new(spec)?),
        F::ArrayAgg | F::StringAgg { .. } => Box::new(Lists::new(spec)?),
        F::VarSamp | F::VarPop | F::StddevSamp | F::StddevPop | F::CovarSamp | F::CovarPop | F::Corr => {
            match types.iter().all(DataType::is_integer) {
                true => Box::new(IntegerMoments::new(spec)),
                false => Box::new(Moments::new(spec)),
            }
        }
        F::User(function) => Box::new(UserStates::new(function, spec)?),
    }))
}

/// The column with dictionaries looked up.
pub(super) fn decoded(array: &ArrayRef) -> Result<ArrayRef, AccumulateError> {
    match decoded_type(array.data_type()) {
        plain if plain == array.data_type() => Ok(array.clone()),
        plain => cast(array, plain).map_err(AccumulateError::input),
    }
}

/// The column as doubles.
pub(super) fn doubles(array: &ArrayRef) -> Result<ArrayRef, AccumulateError> {
    cast(array, &DataType::Float64).map_err(AccumulateError::input)
}
