//! The NDJSON sink.

use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use sabot_connect::ConnectError;
use std::path::Path;

use super::encode::{Names, append_rows};
use crate::compression::Compression;
use crate::output::{Destination, Encoder, FileSink, Format, Parts};
use crate::text::{RowText, TextEncoder, join_text};

impl FileSink {
    /// A sink of newline-delimited JSON: an object for each row, on a line of its own.
    ///
    /// Every column stands in every object, in order; null is `null`. Numbers, decimals among them, are
    /// numbers, with all their digits; floats are the shortest text that reads back as the same value, and
    /// `"NaN"`, `"Infinity"`, `"-Infinity"` where they are none; dates and times are strings as in CSV; lists are lists, structs and maps with keys
    /// of text objects.
    ///
    /// # Errors
    /// [`ConnectError::BadOption`] when the path has neither an extension nor a trailing slash,
    /// [`ConnectError::NotFound`] when the folder of a file does not exist.
    pub fn ndjson(path: impl AsRef<Path>, compression: Option<Compression>) -> Result<Self, ConnectError> {
        Self::new(path.as_ref(), Box::new(NdjsonFormat), compression)
    }
}

#[derive(Debug)]
struct NdjsonFormat;

impl Format for NdjsonFormat {
    fn kind(&self) -> &'static str {
        "ndjson"
    }

    fn extension(&self) -> &'static str {
        "ndjson"
    }

    fn is_text(&self) -> bool {
        true
    }

    fn encoder(
        &self,
        path: &Path,
        to: Box<dyn Destination>,
        schema: &SchemaRef,
    ) -> Result<Box<dyn Encoder>, ConnectError> {
        Ok(TextEncoder::<NdjsonRows>::boxed(path, to, schema))
    }

    fn join(
        &self,
        parts: &Parts<'_>,
        to: Box<dyn Destination>,
    ) -> Result<Box<dyn Destination>, ConnectError> {
        join_text::<NdjsonRows>(parts, to)
    }
}

struct NdjsonRows(Names);

impl RowText for NdjsonRows {
    fn new(schema: &SchemaRef) -> Self {
        Self(Names::new(schema))
    }

    fn header(&self) -> Vec<u8> {
        Vec::new()
    }

    fn append(&self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        append_rows(batch, &self.0, out)
    }
}
