//! Output columns that grow group by group, from one table of state or from many.

use arrow::array::{ArrayRef, Decimal128Array, Float64Array, NullBufferBuilder};
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

    pub(super) fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// The column, and an empty builder again.
    fn finish(&mut self) -> Result<ArrayRef, AccumulateError> {
        let nulls = self.nulls.finish();
        Ok(match &mut self.values {
            Values::Words(values) => words::decode(&self.data_type, std::mem::take(values), nulls)
                .ok_or_else(|| AccumulateError::type_of("a column of results", &self.data_type))?,
            Values::Floats(values) => Arc::new(Float64Array::new(std::mem::take(values).into(), nulls)),
            Values::Sums(values) => {
                let array = Decimal128Array::new(std::mem::take(values).into(), nulls);
                Arc::new(array.with_data_type(self.data_type.clone()))
            }
            Values::Texts(builder) => builder.finish(&self.data_type)?,
        })
    }
}

/// Collects results, or partial state, of any number of [`Accumulators`](super::Accumulators) made for
/// the same aggregates.
#[derive(Debug)]
pub struct AggregateBuilder {
    /// The columns of each aggregate: one for a result, one or two for state.
    pub(super) aggregates: Vec<Vec<ColumnBuilder>>,
}

impl AggregateBuilder {
    /// The columns, and an empty builder again.
    ///
    /// # Errors
    /// [`AccumulateError::Text`] when a utf8 column exceeds 2 GiB.
    pub fn finish(&mut self) -> Result<Vec<ArrayRef>, AccumulateError> {
        self.aggregates.iter_mut().flatten().map(ColumnBuilder::finish).collect()
    }
}
