//! The Arrow sink.

use arrow::array::{ArrayRef, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::writer::{DictionaryHandling, FileWriter, IpcWriteOptions, StreamWriter};
use arrow::record_batch::RecordBatch;
use sabot_connect::ConnectError;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use super::arrow_error;
use super::messages::Messages;
use super::words::Words;
use crate::Location;
use crate::disk;
use crate::input::STDIO;
use crate::output::{Destination, Encoder, FileSink, Format, Parts};

impl FileSink {
    /// A sink of Arrow IPC: a stream where the path ends in `.arrows` or is `-`, else a file. Every batch
    /// that is written is one in the file. A file has one dictionary for a column, over all batches.
    ///
    /// # Errors
    /// [`ConnectError::BadOption`] when the path has neither an extension nor a trailing slash,
    /// [`ConnectError::NotFound`] when the folder of a file does not exist.
    pub fn arrow(location: impl Into<Location>) -> Result<Self, ConnectError> {
        let location = location.into();
        let path = location.path();
        let stream = path == Path::new(STDIO)
            || path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("arrows"));
        Self::new(&location, Box::new(ArrowFormat { stream }), None)
    }
}

#[derive(Debug)]
struct ArrowFormat {
    stream: bool,
}

impl Format for ArrowFormat {
    fn kind(&self) -> &'static str {
        "arrow"
    }

    fn extension(&self) -> &'static str {
        if self.stream { "arrows" } else { "arrow" }
    }

    fn is_text(&self) -> bool {
        false
    }

    fn streams(&self) -> bool {
        self.stream
    }

    fn encoder(
        &self,
        path: &Path,
        to: Box<dyn Destination>,
        schema: &SchemaRef,
    ) -> Result<Box<dyn Encoder>, ConnectError> {
        let made: Result<Box<dyn Encoder>, ArrowError> = match self.stream {
            true => StreamWriter::try_new(to, schema)
                .map(|writer| Box::new(StreamEncoder { path: path.to_owned(), writer }) as Box<dyn Encoder>),
            false => FileEncoder::new(path, to, schema).map(|encoder| Box::new(encoder) as Box<dyn Encoder>),
        };
        made.map_err(|error| arrow_error(path, error))
    }

    /// Batches are decoded and written again: their dictionaries must become one.
    fn join(
        &self,
        parts: &Parts<'_>,
        to: Box<dyn Destination>,
    ) -> Result<Box<dyn Destination>, ConnectError> {
        let mut whole = self.encoder(parts.whole, to, parts.schema)?;
        for part in parts.paths {
            let bytes = Box::new(BufReader::new(disk::stream(part)?));
            let mut messages = Messages::new(part.as_path().into(), bytes)?;
            while let Some(header) = messages.next_header()? {
                whole.write(&messages.decode(&header)?)?;
            }
        }
        whole.finish()
    }
}

struct StreamEncoder {
    path: PathBuf,
    writer: StreamWriter<Box<dyn Destination>>,
}

impl Encoder for StreamEncoder {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), ConnectError> {
        self.writer.write(batch).map_err(|error| arrow_error(&self.path, error))
    }

    fn flush(&mut self) -> Result<(), ConnectError> {
        self.writer.flush().map_err(|error| arrow_error(&self.path, error))
    }

    fn finish(self: Box<Self>) -> Result<Box<dyn Destination>, ConnectError> {
        let Self { path, writer } = *self;
        writer.into_inner().map_err(|error| arrow_error(&path, error))
    }
}

struct FileEncoder {
    path: PathBuf,
    writer: FileWriter<Box<dyn Destination>>,
    schema: SchemaRef,
    /// For each column that is a dictionary.
    words: Vec<Option<Words>>,
}

impl FileEncoder {
    fn new(path: &Path, to: Box<dyn Destination>, schema: &SchemaRef) -> Result<Self, ArrowError> {
        let options = IpcWriteOptions::default().with_dictionary_handling(DictionaryHandling::Delta);
        let writer = FileWriter::try_new_with_options(to, schema, options)?;
        let words = schema.fields().iter().map(|f| Words::new(f.data_type())).collect::<Result<_, _>>()?;
        Ok(Self { path: path.to_owned(), writer, schema: schema.clone(), words })
    }

    fn adopt(&mut self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let adopted = batch.columns().iter().zip(&mut self.words).map(|(column, words)| match words {
            Some(words) => words.adopt(column),
            None => Ok(column.clone()),
        });
        let columns: Vec<ArrayRef> = adopted.collect::<Result<_, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
    }
}

impl Encoder for FileEncoder {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), ConnectError> {
        let written = self.adopt(batch).and_then(|batch| self.writer.write(&batch));
        written.map_err(|error| arrow_error(&self.path, error))
    }

    fn flush(&mut self) -> Result<(), ConnectError> {
        self.writer.flush().map_err(|error| arrow_error(&self.path, error))
    }

    fn finish(self: Box<Self>) -> Result<Box<dyn Destination>, ConnectError> {
        let Self { path, writer, .. } = *self;
        writer.into_inner().map_err(|error| arrow_error(&path, error))
    }
}
