//! From the batches that a source has to the batches that a request asks for.
//!
//! Connectors whose medium knows nothing of projections or dictionaries pass every batch through a
//! [`Shaper`], so that a request means the same at every source. Columns are shared, not copied; only a
//! string that must become a dictionary costs work.

use arrow::array::{ArrayRef, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use std::task::{Context, Waker};

use crate::{ConnectError, ReadRequest};

/// Projects batches of one schema and turns the strings that a request names into dictionaries.
///
/// ```
/// # use arrow::array::{ArrayRef, Int64Array, RecordBatch};
/// # use sabot_connect::{ReadRequest, Shaper};
/// # use std::sync::Arc;
/// # let column = || Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef;
/// let batch = RecordBatch::try_from_iter([("a", column()), ("b", column())])?;
/// let request = ReadRequest { projection: Some(vec![1]), ..ReadRequest::default() };
/// let shaper = Shaper::new("a.csv", &batch.schema(), &request)?;
/// assert_eq!(shaper.shape(&batch)?.schema(), *shaper.schema());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Shaper {
    name: String,
    columns: Vec<usize>,
    schema: SchemaRef,
}

impl Shaper {
    /// For batches of `schema`, read from `name`.
    ///
    /// # Errors
    /// [`ConnectError::ColumnOutOfRange`] when the request names a column that is not there.
    pub fn new(
        name: impl Into<String>,
        schema: &Schema,
        request: &ReadRequest,
    ) -> Result<Self, ConnectError> {
        let name = name.into();
        let columns = request.columns(&name, schema)?;
        let schema = request.output_schema(&name, schema)?;
        Ok(Self { name, columns, schema })
    }

    /// The schema of shaped batches.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The batch as the request wants it, with as many rows as before.
    ///
    /// # Errors
    /// [`ConnectError::Arrow`] when the batch has not the schema that the shaper was made for.
    pub fn shape(&self, batch: &RecordBatch) -> Result<RecordBatch, ConnectError> {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.columns.len());
        for (index, field) in self.columns.iter().zip(self.schema.fields()) {
            let column = batch.columns().get(*index).ok_or(ConnectError::ColumnOutOfRange {
                name: self.name.clone(),
                index: *index,
                columns: batch.num_columns(),
            })?;
            columns.push(match field.data_type() {
                wanted @ DataType::Dictionary(..) if wanted != column.data_type() => {
                    cast(column, wanted).map_err(|e| ConnectError::arrow(&self.name, e))?
                }
                _ => column.clone(),
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|e| ConnectError::arrow(&self.name, e))
    }
}

/// Whether a reader is paused, and whom to wake when it no longer is.
#[derive(Debug, Default)]
pub struct PauseGate {
    paused: bool,
    waiting: Option<Waker>,
}

impl PauseGate {
    /// Whether a poll must return `Pending`; the waker is then kept for [`PauseGate::resume`].
    pub fn holds(&mut self, cx: &Context<'_>) -> bool {
        if self.paused {
            self.waiting = Some(cx.waker().clone());
        }
        self.paused
    }

    /// Closes the gate.
    pub fn pause(&mut self) {
        self.paused = true;
    }

    /// Opens the gate and wakes the poll that found it closed.
    pub fn resume(&mut self) {
        self.paused = false;
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }
}

/// A batch of `rows` rows without columns, which is what an empty projection leaves.
pub(crate) fn rows_only(schema: &SchemaRef, rows: usize) -> Result<RecordBatch, ConnectError> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema.clone(), Vec::new(), &options)
        .map_err(|e| ConnectError::arrow("rows", e))
}

/// Bytes that the rows of a batch take, slices charged for their own rows.
pub fn batch_bytes(batch: &RecordBatch) -> u64 {
    sabot_batch::Morsel::new(batch.clone()).bytes() as u64
}
