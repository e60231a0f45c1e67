//! What accumulators read: arguments of rows, and columns of partial state.

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, Int64Type, UInt64Type};
use sabot_batch::key_index::text::Texts;
use sabot_batch::key_index::words::{self, Words};
use sabot_ops::{AggregateFunction, AggregateSpec};
use std::borrow::Cow;

use super::AccumulateError;
use super::basic::Accumulator;
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
    /// Decimals whose sum fits 128 bits.
    Decimals {
        values: &'a [i128],
        nulls: Option<&'a NullBuffer>,
    },
}

impl<'a> Argument<'a> {
    pub(super) fn new(spec: &AggregateSpec, array: Option<&'a ArrayRef>) -> Result<Self, AccumulateError> {
        use AggregateFunction as F;
        let Some(array) = array else { return Ok(Argument::Rows) };
        let array = array.as_ref();
        if matches!((&spec.function, array.data_type()), (F::Sum | F::Avg, DataType::Duration(_))) {
            let counts = array.to_data().into_builder().data_type(DataType::Int64).build();
            let counts = Int64Array::from(counts.map_err(AccumulateError::input)?);
            let (_, values, nulls) = counts.into_parts();
            return Ok(Argument::Words(Words { values: Cow::Owned(values.to_vec()), nulls }));
        }
        match (&spec.function, array.data_type()) {
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
            (F::Sum | F::Avg, DataType::Decimal128(..)) => {
                let decimals = array.as_primitive::<Decimal128Type>();
                let nulls = decimals.nulls().filter(|n| n.null_count() > 0);
                Ok(Argument::Decimals { values: decimals.values(), nulls })
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
    Sums {
        values: &'a [i128],
        nulls: Option<&'a NullBuffer>,
        largest: u128,
        counts: Option<&'a [i64]>,
    },
    Floats {
        values: &'a [f64],
        nulls: Option<&'a NullBuffer>,
        counts: Option<&'a [i64]>,
    },
    Words(Words<'a>),
    Texts(Texts<'a>),
    /// The columns as they are, for a family of functions.
    Columns(&'a [ArrayRef]),
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
        let mut rest = columns;
        let mut states = Vec::with_capacity(aggregates.len());
        for spec in aggregates {
            let fields = spec.state_fields()?;
            let Some((mine, others)) = rest.split_at_checked(fields.len()) else {
                let message = format!("partial state of \"{}\" is not there", spec.name);
                return Err(AccumulateError::Input { message });
            };
            if let Some((_, other)) = fields.iter().zip(mine).find(|(f, c)| f.data_type() != c.data_type()) {
                return Err(AccumulateError::type_of(&spec.name, other.data_type()));
            }
            states.push(State::new(spec, mine)?);
            rest = others;
        }
        if !rest.is_empty() || columns.iter().any(|c| c.len() != rows) {
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
    /// `columns` are the function's state columns, of the right types.
    fn new(spec: &AggregateSpec, columns: &'a [ArrayRef]) -> Result<Self, AccumulateError> {
        use AggregateFunction as F;
        let [first, others @ ..] = columns else { return Ok(State::Columns(columns)) };
        let unfit = |column: &ArrayRef| AccumulateError::type_of(&spec.name, column.data_type());
        let counts_of = |column: &'a ArrayRef| {
            let counts = column.as_primitive_opt::<Int64Type>().filter(|c| c.null_count() == 0);
            counts.map(|c| c.values().as_ref()).ok_or_else(|| unfit(column))
        };
        Ok(match (&spec.function, first.data_type()) {
            (F::Count, _) => State::Counts(counts_of(first)?),
            (F::Min | F::Max | F::BoolAnd | F::BoolOr, data_type)
                if Accumulator::keeps_extremes_of(data_type) =>
            {
                match Texts::new(first.as_ref())? {
                    Some(texts) => State::Texts(texts),
                    None => State::Words(words::encode(first.as_ref()).ok_or_else(|| unfit(first))?),
                }
            }
            (F::Sum | F::Avg, DataType::Decimal128(..)) => {
                let sums = first.as_primitive::<Decimal128Type>();
                let (values, nulls) = (sums.values().as_ref(), sums.nulls());
                let counts = others.first().map(counts_of).transpose()?;
                State::Sums { values, nulls, largest: magnitude_of_sums(values), counts }
            }
            (F::Sum | F::Avg, DataType::Float64) => {
                let floats = first.as_primitive::<Float64Type>();
                let counts = others.first().map(counts_of).transpose()?;
                State::Floats { values: floats.values(), nulls: floats.nulls(), counts }
            }
            _ => State::Columns(columns),
        })
    }
}
