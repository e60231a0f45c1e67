//! Text as a sink: rows are appended to a buffer, and handed over in large pieces.

use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use sabot_connect::ConnectError;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::output::{Destination, Encoder, Parts};

/// Text is handed to the operating system in pieces of about this size.
const WRITE_BYTES: usize = 1 << 20;

/// How a format writes rows.
pub(crate) trait RowText: Send + Sized + 'static {
    fn new(schema: &SchemaRef) -> Self;

    /// What stands before the first row of a file.
    fn header(&self) -> Vec<u8>;

    /// Appends the rows of a batch.
    fn append(&self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), ArrowError>;
}

/// Writes rows as text.
pub(crate) struct TextEncoder<R> {
    path: PathBuf,
    to: Box<dyn Destination>,
    text: Vec<u8>,
    rows: R,
}

impl<R: RowText> TextEncoder<R> {
    pub(crate) fn boxed(path: &Path, to: Box<dyn Destination>, schema: &SchemaRef) -> Box<dyn Encoder> {
        let rows = R::new(schema);
        let text = rows.header();
        Box::new(Self { path: path.to_owned(), to, text, rows })
    }

    fn hand_over(&mut self) -> Result<(), ConnectError> {
        self.to.write_all(&self.text).map_err(|error| ConnectError::io("write", &self.path, error))?;
        self.text.clear();
        Ok(())
    }
}

impl<R: RowText> Encoder for TextEncoder<R> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), ConnectError> {
        self.rows
            .append(batch, &mut self.text)
            .map_err(|error| ConnectError::arrow(self.path.display().to_string(), error))?;
        if self.text.len() >= WRITE_BYTES { self.hand_over() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), ConnectError> {
        self.hand_over()?;
        self.to.flush().map_err(|error| ConnectError::io("write", &self.path, error))
    }

    fn finish(mut self: Box<Self>) -> Result<Box<dyn Destination>, ConnectError> {
        self.hand_over()?;
        Ok(self.to)
    }
}

/// The texts of several files as one. Each of them begins with the same header.
pub(crate) fn join_text<R: RowText>(
    parts: &Parts<'_>,
    mut to: Box<dyn Destination>,
) -> Result<Box<dyn Destination>, ConnectError> {
    let header = R::new(parts.schema).header();
    let write = |error| ConnectError::io("write", parts.whole, error);
    to.write_all(&header).map_err(write)?;
    for part in parts.paths {
        let read = |error| ConnectError::io("read", part, error);
        let file = File::open(part).map_err(|error| ConnectError::io("open", part, error))?;
        let mut text = parts.compression.decompress(Box::new(file)).map_err(read)?;
        io::copy(&mut text.by_ref().take(header.len() as u64), &mut io::sink()).map_err(read)?;
        io::copy(&mut text, &mut to).map_err(write)?;
    }
    Ok(to)
}
