//! What accumulators read: arguments of rows, and columns of partial state.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, Int64Type, UInt64Type};
use sabot_batch::key_index::text::Texts;
use sabot_batch::key_index::words::{self, Words};
use sabot_ops::{AggregateFunction, AggregateSpec};
use std::borrow::Cow;

use super::AccumulateError;
use super::sums::magnitude_of_sums;

/// An aggregate's argument, one value a row.
pub(super) enum Argument<'a> {
    /// None: every row counts.
    Rows,
    /// Only which rows are null matters.
    Presence(Option<NullBuffer>),
    /// Integers and booleans to add; or, for min and max, ordered words of any fixed-width type.
    Words(Words<'a>),
    /// Unsigned integers of which one at least is beyond int64.
    Large {
        values: &'a [u64],
        nulls: Option<&'a NullBuffer>,
    },
    Floats {
        values: Cow<'a, [f64]>,
        nulls: Option<&'a NullBuffer>,
    },
    Texts(Texts<'a>),
}

impl<'a> Argument<'a> {
    pub(super) fn new(spec: &AggregateSpec, array: Option<&'a ArrayRef>) -> Result<Self, AccumulateError> {
        use AggregateFunction as F;
        let Some(array) = array else { return Ok(Argument::Rows) };
        let array = array.as_ref();
        match (spec.function, array.data_type()) {
            (F::Count, _) => {
                Ok(Argument::Presence(array.logical_nulls().filter(|nulls| nulls.null_count() > 0)))
            }
            (F::Sum | F::Avg, DataType::Float64) => {
                let floats = array.as_primitive::<Float64Type>();
                Ok(Argument::Floats { values: Cow::Borrowed(floats.values()), nulls: floats.nulls() })
            }
            (F::Sum | F::Avg, DataType::Float32) => {
                let floats = array.as_primitive::<Float32Type>();
                let values = floats.values().iter().map(|v| f64::from(*v)).collect();
                Ok(Argument::Floats { values: Cow::Owned(values), nulls: floats.nulls() })
            }
            (F::Sum | F::Avg, DataType::UInt64) => {
                let large = array.as_primitive::<UInt64Type>();
                let (values, nulls) = (large.values(), large.nulls());
                // Most unsigned columns hold numbers that int64 holds too.
                if values.iter().fold(0, |bits, v| bits | v) > i64::MAX as u64 {
                    return Ok(Argument::Large { values, nulls });
                }
                let values = values.iter().map(|v| *v as i64).collect();
                Ok(Argument::Words(Words { values: Cow::Owned(values), nulls: nulls.cloned() }))
            }
            (F::Min | F::Max, DataType::Utf8 | DataType::LargeUtf8 | DataType::Dictionary(_, _)) => {
                let texts = Texts::new(array)?;
                texts
                    .map(Argument::Texts)
                    .ok_or_else(|| AccumulateError::type_of(&spec.name, array.data_type()))
            }
            (_, data_type) => words::encode(array)
                .map(Argument::Words)
                .ok_or_else(|| AccumulateError::type_of(&spec.name, data_type)),
        }
    }
}

/// Columns of partial state, prepared once so that any range of rows can be merged afterwards.
pub struct PartialState<'a> {
    pub(super) aggregates: Vec<State<'a>>,
    pub(super) rows: usize,
}

/// The state of one aggregate, one row a group.
pub(super) enum State<'a> {
    Counts(&'a [i64]),
    Sums { values: &'a [i128], nulls: Option<&'a NullBuffer>, largest: u128, counts: Option<&'a [i64]> },
    Floats { values: &'a [f64], nulls: Option<&'a NullBuffer>, counts: Option<&'a [i64]> },
    Words(Words<'a>),
    Texts(Texts<'a>),
}

impl<'a> PartialState<'a> {
    /// Prepares the state columns of these aggregates, in the order of
    /// [`AggregateSpec::state_fields`]. `rows` is their length, which no column may say when there is no
    /// aggregate.
    ///
    /// # Errors
    /// [`AccumulateError::Input`] when a column is missing or has another type.
    pub fn new(
        aggregates: &[AggregateSpec],
        columns: &'a [ArrayRef],
        rows: usize,
    ) -> Result<Self, AccumulateError> {
        let mut rest = columns.iter();
        let mut states = Vec::with_capacity(aggregates.len());
        for spec in aggregates {
            states.push(State::new(spec, &mut rest)?);
        }
        if rest.len() > 0 || columns.iter().any(|c| c.len() != rows) {
            return Err(AccumulateError::Input {
                message: format!(
                    "{} columns of partial state are left over or not {rows} rows long",
                    rest.len()
                ),
            });
        }
        Ok(Self { aggregates: states, rows })
    }
}

impl<'a> State<'a> {
    fn new(
        spec: &AggregateSpec,
        columns: &mut impl Iterator<Item = &'a ArrayRef>,
    ) -> Result<Self, AccumulateError> {
        let mut next = || {
            let message = || format!("partial state of \"{}\" is not there", spec.name);
            columns.next().ok_or_else(|| AccumulateError::Input { message: message() })
        };
        let first = next()?;
        let unfit = |column: &ArrayRef| AccumulateError::type_of(&spec.name, column.data_type());
        let counts_of = |column: &'a ArrayRef| {
            let counts = column.as_primitive_opt::<Int64Type>().filter(|c| c.null_count() == 0);
            counts.map(|c| c.values().as_ref()).ok_or_else(|| unfit(column))
        };
        if spec.function == AggregateFunction::Count {
            return Ok(State::Counts(counts_of(first)?));
        }
        if matches!(spec.function, AggregateFunction::Min | AggregateFunction::Max) {
            if let Some(texts) = Texts::new(first.as_ref())? {
                return Ok(State::Texts(texts));
            }
            return words::encode(first.as_ref()).map(State::Words).ok_or_else(|| unfit(first));
        }
        let counts = match spec.function {
            AggregateFunction::Avg => Some(counts_of(next()?)?),
            _ => None,
        };
        if let Some(sums) = first.as_primitive_opt::<Decimal128Type>() {
            let (values, nulls) = (sums.values().as_ref(), sums.nulls());
            return Ok(State::Sums { values, nulls, largest: magnitude_of_sums(values), counts });
        }
        let Some(floats) = first.as_primitive_opt::<Float64Type>() else { return Err(unfit(first)) };
        Ok(State::Floats { values: floats.values(), nulls: floats.nulls(), counts })
    }
}
