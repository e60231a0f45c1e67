//! Text as a sink: rows are appended to a buffer, and handed over in large pieces.

use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use sabot_connect::ConnectError;
use std::fmt::Debug;
use std::fs::File;
use std::io::{self, Read};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use crate::output::{Destination, Encoder, Format, Parts};

/// Text is handed to the operating system in pieces of about this size.
const WRITE_BYTES: usize = 1 << 20;

/// How a format writes rows.
pub(crate) trait RowText: Debug + Send + Sync + Sized + 'static {
    /// The kind, which is the extension too.
    const KIND: &'static str;

    /// Refuses columns that the format has no place for, by name.
    fn check(name: &str, schema: &SchemaRef) -> Result<(), ConnectError>;

    fn new(schema: &SchemaRef) -> Self;

    /// What stands before the first row of a file.
    fn header(&self) -> Vec<u8>;

    /// Appends the rows of a batch.
    fn append(&self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), ArrowError>;
}

/// Files of text.
#[derive(Debug)]
pub(crate) struct TextFiles<R>(PhantomData<R>);

impl<R: RowText> TextFiles<R> {
    pub(crate) fn boxed() -> Box<dyn Format> {
        Box::new(Self(PhantomData))
    }
}

impl<R: RowText> Format for TextFiles<R> {
    fn kind(&self) -> &'static str {
        R::KIND
    }

    fn extension(&self) -> &'static str {
        R::KIND
    }

    fn is_text(&self) -> bool {
        true
    }

    fn check(&self, name: &str, schema: &SchemaRef) -> Result<(), ConnectError> {
        R::check(name, schema)
    }

    fn encoder(
        &self,
        path: &Path,
        to: Box<dyn Destination>,
        schema: &SchemaRef,
    ) -> Result<Box<dyn Encoder>, ConnectError> {
        let rows = R::new(schema);
        let text = rows.header();
        Ok(Box::new(TextEncoder { path: path.to_owned(), to, text, rows }))
    }

    fn join(
        &self,
        parts: &Parts<'_>,
        to: Box<dyn Destination>,
    ) -> Result<Box<dyn Destination>, ConnectError> {
        join_text::<R>(parts, to)
    }
}

/// Writes rows as text.
struct TextEncoder<R> {
    path: PathBuf,
    to: Box<dyn Destination>,
    text: Vec<u8>,
    rows: R,
}

impl<R: RowText> TextEncoder<R> {
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
fn join_text<R: RowText>(
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
