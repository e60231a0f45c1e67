//! Output columns that grow group by group, from one table of state or from many.

use arrow::array::{
    Array, ArrayRef, Decimal128Array, Float64Array, Int64Array, NullBufferBuilder, new_empty_array,
};
use arrow::compute::{cast, concat};
use arrow::datatypes::DataType;
use sabot_batch::key_index::text::TextBuilder;
use sabot_batch::key_index::words;
use std::sync::Arc;

use super::AccumulateError;

/// One column of results or of partial state.
#[derive(Debug)]
pub(super) struct ColumnBuilder {
    data_type: DataType,
    pub(super) values: Values,
    pub(super) nulls: NullBufferBuilder,
}

/// What a column is built from. Integers, booleans, dates and timestamps are words.
#[derive(Debug)]
pub(super) enum Values {
    Words(Vec<i64>),
    Floats(Vec<f64>),
    Sums(Vec<i128>),
    /// Keeps its own nulls.
    Texts(TextBuilder),
    /// Pieces of the column, nulls and all.
    Arrays(Vec<ArrayRef>),
}

impl ColumnBuilder {
    fn new(data_type: DataType, values: Values) -> Self {
        Self { data_type, values, nulls: NullBufferBuilder::new(0) }
    }

    pub(super) fn words(data_type: DataType) -> Self {
        Self::new(data_type, Values::Words(Vec::new()))
    }

    pub(super) fn floats() -> Self {
        Self::new(DataType::Float64, Values::Floats(Vec::new()))
    }

    pub(super) fn sums(data_type: DataType) -> Self {
        Self::new(data_type, Values::Sums(Vec::new()))
    }

    pub(super) fn texts(data_type: DataType) -> Self {
        Self::new(data_type, Values::Texts(TextBuilder::default()))
    }

    pub(super) fn arrays(data_type: DataType) -> Self {
        Self::new(data_type, Values::Arrays(Vec::new()))
    }

    /// Appends a piece of the column.
    pub(super) fn append_array(&mut self, array: ArrayRef) -> Result<(), AccumulateError> {
        match &mut self.values {
            Values::Arrays(pieces) if array.data_type() == &self.data_type => {
                pieces.push(array);
                Ok(())
            }
            _ => Err(AccumulateError::type_of("a column of results", array.data_type())),
        }
    }

    pub(super) fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// The column, and an empty builder again.
    pub(super) fn finish(&mut self) -> Result<ArrayRef, AccumulateError> {
        let nulls = self.nulls.finish();
        Ok(match &mut self.values {
            Values::Words(values) => {
                let values = std::mem::take(values);
                match &self.data_type {
                    // No key and no expression has words of these.
                    DataType::Duration(_) => {
                        let counts: ArrayRef = Arc::new(Int64Array::new(values.into(), nulls));
                        cast(&counts, &self.data_type).map_err(AccumulateError::input)?
                    }
                    data_type => words::decode(data_type, values, nulls)
                        .ok_or_else(|| AccumulateError::type_of("a column of results", data_type))?,
                }
            }
            Values::Floats(values) => Arc::new(Float64Array::new(std::mem::take(values).into(), nulls)),
            Values::Sums(values) => {
                let array = Decimal128Array::new(std::mem::take(values).into(), nulls);
                Arc::new(array.with_data_type(self.data_type.clone()))
            }
            Values::Texts(builder) => builder.finish(&self.data_type)?,
            Values::Arrays(pieces) => match pieces.as_slice() {
                [] => new_empty_array(&self.data_type),
                several => {
                    let several: Vec<&dyn Array> = several.iter().map(AsRef::as_ref).collect();
                    let whole = concat(&several).map_err(AccumulateError::input)?;
                    pieces.clear();
                    whole
                }
            },
        })
    }
}

/// Collects results of any number of [`Accumulators`](super::Accumulators) made for the same aggregates.
#[derive(Debug)]
pub struct AggregateBuilder {
    /// The column of each aggregate.
    pub(super) aggregates: Vec<ColumnBuilder>,
}

impl AggregateBuilder {
    /// The columns, and an empty builder again.
    ///
    /// # Errors
    /// [`AccumulateError::Text`] when a utf8 column exceeds 2 GiB.
    pub fn finish(&mut self) -> Result<Vec<ArrayRef>, AccumulateError> {
        self.aggregates.iter_mut().map(ColumnBuilder::finish).collect()
    }
}
