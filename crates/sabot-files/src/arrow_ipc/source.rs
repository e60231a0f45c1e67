//! The Arrow source.

use arrow::array::{ArrayRef, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use sabot_connect::{ConnectError, Cutter, PartitionReader, Position, ReadRequest, Spawner, check_schema};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::EXTENSIONS;
use super::corrupt;
use super::messages::Messages;
use crate::ahead::{Decode, Piece};
use crate::compression::Compression;
use crate::input::{Input, inputs};
use crate::reader::SequentialReader;
use crate::source::{FileFormat, supported_schema};
use crate::{FileSource, Location};

impl FileSource {
    /// Files and streams of Arrow IPC, told apart by their first bytes; the buffers in them may be
    /// compressed with lz4 or zstd.
    ///
    /// The messages are looked at when the source is made, so that a broken file is found before a job
    /// starts. String views are read as strings. Dictionaries must stand before the batches that use them.
    /// Only the columns of a request are decoded.
    ///
    /// ```
    /// use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    /// use sabot_connect::Source;
    /// use sabot_files::FileSource;
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("orders.arrow");
    /// let a: ArrayRef = std::sync::Arc::new(Int64Array::from(vec![1, 2]));
    /// let batch = RecordBatch::try_from_iter([("a", a)])?;
    /// let mut writer = arrow::ipc::writer::FileWriter::try_new(std::fs::File::create(&path)?, &batch.schema())?;
    /// writer.write(&batch)?;
    /// writer.finish()?;
    /// assert_eq!(FileSource::arrow(&path)?.rows(), Some(2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ConnectError`] when there is nothing at the path, or a file cannot be read, is no Arrow file or
    /// stream, has a column of a type that Sabot does not support, or has other columns than the first.
    pub fn arrow(location: impl Into<Location>) -> Result<Self, ConnectError> {
        let location = location.into();
        let inputs = inputs(&location, EXTENSIONS, Some(Compression::None))?;
        let (mut schema, mut rows): (Option<SchemaRef>, _) = (None, Some(0));
        for input in &inputs {
            let (found, counted) = look(input)?;
            match &schema {
                Some(wanted) => check_schema(input.id().as_str(), wanted, &found)?,
                None => schema = Some(found),
            }
            rows = rows.zip(counted).map(|(rows, counted): (u64, u64)| rows + counted);
        }
        let Some(schema) = schema else {
            let hint = "name at least one file".to_owned();
            return Err(ConnectError::NotFound { path: location.path().to_owned(), hint });
        };
        let format = ArrowFiles { schema, inputs: inputs.clone(), rows };
        Ok(FileSource::new(location.path().display().to_string(), inputs, Box::new(format), None))
    }
}

/// The columns of an input, and how many rows it has if it is a file.
fn look(input: &Input) -> Result<(SchemaRef, Option<u64>), ConnectError> {
    let path = input.path().clone();
    input.peek(|bytes| {
        // What is broken can make the library panic; for a user it is one more broken file.
        let found = catch_unwind(AssertUnwindSafe(|| {
            let mut messages = Messages::new(path.clone(), bytes)?;
            let schema = supported_schema(input.id().as_str(), messages.schema())?;
            let mut rows = 0;
            while !input.is_live()
                && let Some(header) = messages.next_header()?
            {
                messages.skip(&header)?;
                rows += header.rows;
            }
            Ok((schema, (!input.is_live()).then_some(rows)))
        }));
        found.unwrap_or_else(|_| Err(corrupt(&path, "it makes the decoder panic")))
    })
}

#[derive(Debug)]
struct ArrowFiles {
    schema: SchemaRef,
    inputs: Vec<Input>,
    rows: Option<u64>,
}

impl FileFormat for ArrowFiles {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn rows(&self) -> Option<u64> {
        self.rows
    }

    fn open(
        &self,
        number: usize,
        from: Position,
        request: &ReadRequest,
        spawner: Arc<dyn Spawner>,
    ) -> Result<Box<dyn PartitionReader>, ConnectError> {
        let input = &self.inputs[number];
        let name = input.id().as_str();
        let wanted = request.columns(name, &self.schema)?;
        let mut columns = wanted.clone();
        columns.sort_unstable();
        columns.dedup();
        let order = wanted.iter().map(|column| columns.partition_point(|c| c < column)).collect();
        let decoder = ArrowDecoder {
            input: input.clone(),
            columns,
            order,
            delivered: request.output_schema(name, &self.schema)?,
            cutter: Cutter::new(request.morsel_rows),
            row: from.row,
            messages: None,
        };
        Ok(SequentialReader::boxed(input, number, "Arrow", Box::new(decoder), from, request, spawner))
    }
}

/// Decodes a file from a row on.
struct ArrowDecoder {
    input: Input,
    /// The columns to decode, ascending, and for each column to deliver its place among them.
    columns: Vec<usize>,
    order: Vec<usize>,
    delivered: SchemaRef,
    cutter: Cutter,
    /// Row of the file that comes next.
    row: u64,
    messages: Option<Messages>,
}

impl ArrowDecoder {
    /// Reads up to the row to begin with.
    fn open(&mut self) -> Result<Messages, ConnectError> {
        let (bytes, _) = self.input.open_at(Position::START)?;
        let messages = Messages::new(self.input.path().clone(), bytes)?;
        let mut messages = messages.with_projection(self.columns.clone());
        let mut before = 0;
        while before < self.row {
            let Some(header) = messages.next_header()? else {
                let (name, reason) = (self.input.id().to_string(), format!("the file has {before} rows"));
                return Err(ConnectError::BadPosition { name, row: self.row, reason });
            };
            if before + header.rows <= self.row {
                messages.skip(&header)?;
            } else {
                let batch = self.shape(&messages.decode(&header)?)?;
                let gone = usize::try_from(self.row - before).unwrap_or(usize::MAX).min(batch.num_rows());
                self.cutter.put(batch.slice(gone, batch.num_rows() - gone));
            }
            before += header.rows;
        }
        Ok(messages)
    }

    fn shape(&self, batch: &RecordBatch) -> Result<RecordBatch, ConnectError> {
        let columns = self.order.iter().zip(self.delivered.fields()).map(|(place, field)| {
            let column = batch.column(*place);
            match column.data_type() == field.data_type() {
                true => Ok(column.clone()),
                false => cast(column, field.data_type()),
            }
        });
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        columns
            .collect::<Result<Vec<ArrayRef>, _>>()
            .and_then(|columns| RecordBatch::try_new_with_options(self.delivered.clone(), columns, &options))
            .map_err(|error| ConnectError::arrow(self.input.id().as_str(), error))
    }
}

impl Decode for ArrowDecoder {
    fn next(&mut self) -> Result<Option<(Piece, Position)>, ConnectError> {
        let mut messages = match self.messages.take() {
            Some(messages) => messages,
            None => self.open()?,
        };
        while self.cutter.is_empty() {
            let Some(header) = messages.next_header()? else { return Ok(None) };
            let batch = self.shape(&messages.decode(&header)?)?;
            self.cutter.put(batch);
        }
        self.messages = Some(messages);
        Ok(self.cutter.cut().map(|batch| {
            self.row += batch.num_rows() as u64;
            (Piece::Rows(batch), Position::at_row(self.row))
        }))
    }
}
