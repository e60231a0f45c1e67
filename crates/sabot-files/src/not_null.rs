//! Columns of a source in which a null is an error, with the file and the row.

use arrow::array::{Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Schema, SchemaRef};
use sabot_common::RowLocation;
use sabot_connect::{ConnectError, PartitionReader, Position, ReadCounters, SourceItem};
use sabot_expr::type_name;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The schema in which some columns cannot be null.
pub(crate) fn without_nulls(schema: &Schema, columns: &[usize]) -> SchemaRef {
    let field = |(i, field): (usize, &Arc<arrow::datatypes::Field>)| {
        field.as_ref().clone().with_nullable(field.is_nullable() && !columns.contains(&i))
    };
    let fields: Vec<_> = schema.fields().iter().enumerate().map(field).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// Refuses rows with a null where there may be none.
pub(crate) struct NotNull {
    pub(crate) reader: Box<dyn PartitionReader>,
    pub(crate) partition: Arc<str>,
    /// Of the batches that are delivered; the columns that matter are not nullable here.
    pub(crate) schema: SchemaRef,
    /// The places of the columns in these batches.
    pub(crate) columns: Vec<usize>,
}

impl NotNull {
    fn checked(&self, batch: &RecordBatch, first_row: u64) -> Result<RecordBatch, ConnectError> {
        let first_null = |column: &usize| {
            let nulls = batch.column(*column).logical_nulls().filter(|nulls| nulls.null_count() > 0)?;
            (0..nulls.len()).find(|row| nulls.is_null(*row)).map(|row| (row, *column))
        };
        // Of several the first row, and in it the first column.
        if let Some((row, column)) = self.columns.iter().filter_map(first_null).min() {
            let field = self.schema.field(column);
            return Err(ConnectError::Malformed {
                location: RowLocation { partition: self.partition.clone(), row: first_row + row as u64 },
                column: field.name().clone(),
                expected: type_name(field.data_type()),
                found: "null".to_owned(),
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(self.schema.clone(), batch.columns().to_vec(), &options)
            .map_err(|error| ConnectError::arrow(&*self.partition, error))
    }
}

impl PartitionReader for NotNull {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<SourceItem>, ConnectError>> {
        self.reader.poll_next(cx).map(|item| match item? {
            Some(SourceItem::Rows { batch, first_row }) => {
                let batch = self.checked(&batch, first_row)?;
                Ok(Some(SourceItem::Rows { batch, first_row }))
            }
            other => Ok(other),
        })
    }

    fn position(&self) -> Position {
        self.reader.position()
    }

    fn pause(&mut self) {
        self.reader.pause();
    }

    fn resume(&mut self) {
        self.reader.resume();
    }

    fn counters(&self) -> ReadCounters {
        self.reader.counters()
    }
}
