//! The CSV sink.

use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use sabot_connect::ConnectError;
use sabot_expr::types::{decoded_type, type_name};

use super::encode::{append_header, append_rows};
use crate::Location;
use crate::compression::Compression;
use crate::output::FileSink;
use crate::text::{RowText, TextFiles};

impl FileSink {
    /// A sink of CSV.
    ///
    /// A header, commas, quotes only where a cell needs them, lines that end in `\n`. A null is an empty
    /// cell, and so is an empty string. Floats are the shortest text that reads back as the same value;
    /// times are ISO 8601, `2001-01-01T00:00:00`, with a fraction of 3, 6 or 9 digits only where there is
    /// one, and with `Z` or an offset only where the type has a zone. Bytes are hexadecimal digits. Lists, structs, maps and unions have no
    /// cell to stand in and are refused by name when the sink is opened.
    ///
    /// # Errors
    /// [`ConnectError::BadOption`] when the path has neither an extension nor a trailing slash,
    /// [`ConnectError::NotFound`] when the folder of a file does not exist.
    pub fn csv(
        location: impl Into<Location>,
        compression: Option<Compression>,
    ) -> Result<Self, ConnectError> {
        Self::new(&location.into(), TextFiles::<CsvRows>::boxed(), compression)
    }
}

#[derive(Debug)]
struct CsvRows(SchemaRef);

impl RowText for CsvRows {
    const KIND: &'static str = "csv";

    fn check(name: &str, schema: &SchemaRef) -> Result<(), ConnectError> {
        let Some(field) = schema.fields().iter().find(|f| decoded_type(f.data_type()).is_nested()) else {
            return Ok(());
        };
        Err(ConnectError::UnsupportedType {
            name: name.to_owned(),
            column: field.name().clone(),
            type_name: type_name(field.data_type()),
            supported: "every type but lists, structs, maps and unions".to_owned(),
        })
    }

    fn new(schema: &SchemaRef) -> Self {
        Self(schema.clone())
    }

    fn header(&self) -> Vec<u8> {
        let mut header = Vec::new();
        append_header(&self.0, &mut header);
        header
    }

    fn append(&self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        append_rows(batch, out)
    }
}
