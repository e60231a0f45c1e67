//! The NDJSON sink.

use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use sabot_connect::ConnectError;

use super::encode::{Names, append_rows};
use crate::Location;
use crate::compression::Compression;
use crate::output::FileSink;
use crate::text::{RowText, TextFiles};

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
    pub fn ndjson(
        location: impl Into<Location>,
        compression: Option<Compression>,
    ) -> Result<Self, ConnectError> {
        Self::new(&location.into(), TextFiles::<NdjsonRows>::boxed(), compression)
    }
}

#[derive(Debug)]
struct NdjsonRows(Names);

impl RowText for NdjsonRows {
    const KIND: &'static str = "ndjson";

    fn check(_name: &str, _schema: &SchemaRef) -> Result<(), ConnectError> {
        Ok(())
    }

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
