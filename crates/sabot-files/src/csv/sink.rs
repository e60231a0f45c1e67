//! The CSV sink.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use sabot_common::Epoch;
use sabot_connect::{Committable, ConnectError, Sink, SinkOrder, SinkWriter};
use sabot_expr::types::{decoded_type, type_name};
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::encode::{append_header, append_rows};
use crate::output::{Encoder, FileSink, Format};

/// Text is handed to the operating system in pieces of about this size.
const WRITE_BYTES: usize = 1 << 20;

/// A sink of CSV: one file, or a folder of files if the path ends in `/`.
///
/// A header, commas, quotes only where a cell needs them, lines that end in `\n`. A null is an empty
/// cell, and so is an empty string. Floats are the shortest text that reads back as the same value; times
/// are ISO 8601, `2001-01-01T00:00:00`, with a fraction of 3, 6 or 9 digits only where there is one, and
/// with `Z` or an offset only where the type has a zone. Bytes are hexadecimal digits. Lists, structs, maps and
/// unions have no cell to stand in and are refused by name when the sink is opened.
///
/// One file appears whole when the job has ended well; files in a folder appear with their epoch. The
/// file that had the name before is there until then.
#[derive(Debug)]
pub struct CsvSink(FileSink);

impl CsvSink {
    /// A sink for a path.
    ///
    /// # Errors
    /// [`ConnectError::BadOption`] when the path has neither an extension nor a trailing slash,
    /// [`ConnectError::NotFound`] when the folder of a file does not exist.
    pub fn new(path: impl AsRef<Path>) -> Result<Self, ConnectError> {
        FileSink::new(path.as_ref(), Box::new(CsvFormat)).map(Self)
    }
}

impl Sink for CsvSink {
    fn name(&self) -> String {
        self.0.name()
    }

    fn order(&self) -> SinkOrder {
        self.0.order()
    }

    fn accepts_changes(&self) -> bool {
        self.0.accepts_changes()
    }

    fn open(&self, schema: SchemaRef, task: u32) -> Result<Box<dyn SinkWriter>, ConnectError> {
        self.0.open(schema, task)
    }

    fn commit(&self, epoch: Epoch, staged: &[Committable]) -> Result<(), ConnectError> {
        self.0.commit(epoch, staged)
    }

    fn finish(&self) -> Result<(), ConnectError> {
        self.0.finish()
    }

    fn abort(&self) -> Result<(), ConnectError> {
        self.0.abort()
    }
}

#[derive(Debug)]
struct CsvFormat;

impl Format for CsvFormat {
    fn kind(&self) -> &'static str {
        "csv"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["csv"]
    }

    fn encoder(&self, path: &Path, file: File, schema: &SchemaRef) -> Result<Box<dyn Encoder>, ConnectError> {
        if let Some(field) = schema.fields().iter().find(|f| decoded_type(f.data_type()).is_nested()) {
            return Err(ConnectError::UnsupportedType {
                name: path.display().to_string(),
                column: field.name().clone(),
                type_name: type_name(field.data_type()),
                supported: "every type but lists, structs, maps and unions".to_owned(),
            });
        }
        let mut text = Vec::with_capacity(WRITE_BYTES + WRITE_BYTES / 4);
        append_header(schema, &mut text);
        Ok(Box::new(CsvEncoder { path: path.to_owned(), file, text }))
    }

    fn join(
        &self,
        parts: &[PathBuf],
        schema: &SchemaRef,
        path: &Path,
        mut into: File,
    ) -> Result<File, ConnectError> {
        let mut header = Vec::new();
        append_header(schema, &mut header);
        let write = |error| ConnectError::io("write", path, error);
        into.write_all(&header).map_err(write)?;
        for part in parts {
            let mut file = File::open(part).map_err(|error| ConnectError::io("open", part, error))?;
            // Every part begins with the same header.
            file.seek(SeekFrom::Start(header.len() as u64))
                .map_err(|error| ConnectError::io("read", part, error))?;
            io::copy(&mut file, &mut into).map_err(write)?;
        }
        Ok(into)
    }
}

struct CsvEncoder {
    path: PathBuf,
    file: File,
    text: Vec<u8>,
}

impl CsvEncoder {
    fn hand_over(&mut self) -> Result<(), ConnectError> {
        self.file.write_all(&self.text).map_err(|error| ConnectError::io("write", &self.path, error))?;
        self.text.clear();
        Ok(())
    }
}

impl Encoder for CsvEncoder {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), ConnectError> {
        append_rows(batch, &mut self.text)
            .map_err(|error| ConnectError::arrow(self.path.display().to_string(), error))?;
        if self.text.len() >= WRITE_BYTES { self.hand_over() } else { Ok(()) }
    }

    fn finish(mut self: Box<Self>) -> Result<File, ConnectError> {
        self.hand_over()?;
        Ok(self.file)
    }
}
