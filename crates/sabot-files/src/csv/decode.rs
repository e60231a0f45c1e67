//! CSV text into batches, with the place of every row.

use arrow::array::{ArrayRef, RecordBatchOptions};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use csv::{ByteRecord, ReaderBuilder};
use sabot_common::RowLocation;
use sabot_connect::{ConnectError, Position};
use sabot_expr::type_name;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;
use std::sync::Arc;

use super::CsvOptions;
use super::columns::{ColumnBuilder, TYPES, builder};
use crate::ahead::Decode;

/// Bytes read from the file at a time.
const READ_BYTES: usize = 256 << 10;

/// Longest part of a malformed cell that a message shows.
const SHOWN_CHARS: usize = 60;

pub(super) fn text_reader<R: Read>(options: &CsvOptions, input: R) -> csv::Reader<R> {
    // The header is read like any other line, and the number of cells is checked here, so that messages
    // can name the column.
    ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(options.delimiter)
        .buffer_capacity(READ_BYTES)
        .from_reader(input)
}

/// What the csv library said about reading a file.
pub(super) fn read_error(path: &Path, error: csv::Error) -> ConnectError {
    let text = error.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(error) => ConnectError::io("read", path, error),
        _ => ConnectError::Corrupt { path: path.to_owned(), format: "CSV", reason: text },
    }
}

/// What all decoders of a reader have in common.
#[derive(Clone, Debug)]
pub(super) struct CsvPlan {
    pub(super) path: Arc<Path>,
    pub(super) options: CsvOptions,
    /// All columns of the file.
    pub(super) stored: SchemaRef,
    /// The columns to deliver, and the schema that they then have.
    pub(super) columns: Vec<usize>,
    pub(super) delivered: SchemaRef,
    pub(super) batch_rows: usize,
}

/// Decodes a file from a position on.
pub(super) struct CsvDecoder {
    plan: CsvPlan,
    next: Position,
    open: Option<Open>,
}

struct Open {
    reader: csv::Reader<File>,
    record: ByteRecord,
    builders: Vec<Box<dyn ColumnBuilder>>,
}

impl CsvDecoder {
    pub(super) fn new(plan: CsvPlan, from: Position) -> Self {
        Self { plan, next: from, open: None }
    }

    fn open(&mut self) -> Result<Open, ConnectError> {
        let path = &self.plan.path;
        let mut file = File::open(path).map_err(|error| ConnectError::io("open", &**path, error))?;
        let at_start = self.next.offset == 0;
        file.seek(std::io::SeekFrom::Start(self.next.offset))
            .map_err(|error| ConnectError::io("read", &**path, error))?;
        let mut reader = text_reader(&self.plan.options, file);
        let mut record = ByteRecord::new();
        if at_start && self.plan.options.header {
            reader.read_byte_record(&mut record).map_err(|error| read_error(path, error))?;
        }
        let builders = self
            .plan
            .columns
            .iter()
            .zip(self.plan.delivered.fields())
            .map(|(index, field)| {
                // Nullability is that of the stored column, the type that of the delivered one.
                let stored = self.plan.stored.field(*index).clone();
                builder(&stored.with_data_type(field.data_type().clone())).ok_or_else(|| {
                    ConnectError::UnsupportedType {
                        name: path.display().to_string(),
                        column: field.name().clone(),
                        type_name: type_name(field.data_type()),
                        supported: TYPES.to_owned(),
                    }
                })
            })
            .collect::<Result<_, _>>()?;
        self.next.offset += reader.position().byte();
        Ok(Open { reader, record, builders })
    }

    /// Appends up to a batch of rows to the builders; the number of rows.
    fn fill(&mut self, open: &mut Open) -> Result<usize, ConnectError> {
        let start = open.reader.position().byte();
        let mut rows = 0;
        while rows < self.plan.batch_rows {
            let more = open
                .reader
                .read_byte_record(&mut open.record)
                .map_err(|error| read_error(&self.plan.path, error))?;
            if !more {
                break;
            }
            self.append(open, self.next.row + rows as u64)?;
            rows += 1;
        }
        self.next.row += rows as u64;
        self.next.offset += open.reader.position().byte() - start;
        Ok(rows)
    }

    fn append(&self, open: &mut Open, row: u64) -> Result<(), ConnectError> {
        let record = &open.record;
        let wanted = self.plan.stored.fields().len();
        if record.len() != wanted {
            let column = record.len().min(wanted.saturating_sub(1));
            let (expected, found) = (cells(wanted), cells(record.len()));
            return Err(self.malformed(row, column, expected, found));
        }
        for (builder, index) in open.builders.iter_mut().zip(&self.plan.columns) {
            let cell = record.get(*index).unwrap_or_default();
            let Ok(text) = std::str::from_utf8(cell) else {
                return Err(self.malformed(row, *index, "UTF-8 text".to_owned(), shown(cell)));
            };
            if !builder.append(text) {
                let field = self.plan.stored.field(*index);
                let optional = if field.is_nullable() { "" } else { ", not empty" };
                let expected = format!("{}{optional}", type_name(field.data_type()));
                return Err(self.malformed(row, *index, expected, shown(cell)));
            }
        }
        Ok(())
    }

    fn malformed(&self, row: u64, column: usize, expected: String, found: String) -> ConnectError {
        let partition = self.plan.path.display().to_string().into();
        let column = self.plan.stored.fields().get(column).map_or_else(String::new, |f| f.name().clone());
        ConnectError::Malformed { location: RowLocation { partition, row }, column, expected, found }
    }

    fn batch(&self, open: &mut Open, rows: usize) -> Result<RecordBatch, ConnectError> {
        let columns: Result<Vec<ArrayRef>, _> = open.builders.iter_mut().map(|b| b.finish()).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        columns
            .and_then(|columns| {
                RecordBatch::try_new_with_options(self.plan.delivered.clone(), columns, &options)
            })
            .map_err(|error| ConnectError::arrow(self.plan.path.display().to_string(), error))
    }
}

impl Decode for CsvDecoder {
    fn next(&mut self) -> Result<Option<(RecordBatch, Position)>, ConnectError> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.open()?,
        };
        let rows = self.fill(&mut open)?;
        if rows == 0 {
            return Ok(None);
        }
        let batch = self.batch(&mut open, rows)?;
        self.open = Some(open);
        Ok(Some((batch, self.next)))
    }
}

fn cells(count: usize) -> String {
    if count == 1 { "a row of 1 cell".to_owned() } else { format!("a row of {count} cells") }
}

/// A cell as a message shows it: in quotes, cut if it is long.
fn shown(cell: &[u8]) -> String {
    let text = String::from_utf8_lossy(cell);
    let cut: String = text.chars().take(SHOWN_CHARS).collect();
    let more = if cut.len() < text.len() { "…" } else { "" };
    format!("\"{cut}{more}\"")
}

/// Checks that a header names the columns of a schema.
pub(super) fn check_header(path: &Path, header: &[String], schema: &Schema) -> Result<(), ConnectError> {
    let name = path.display().to_string();
    let wanted = schema.fields();
    if header.len() != wanted.len() {
        let difference = format!("expected {} columns, the header has {}", wanted.len(), header.len());
        return Err(ConnectError::SchemaMismatch { name, difference });
    }
    match header.iter().zip(wanted).position(|(found, field)| found != field.name()) {
        None => Ok(()),
        Some(i) => {
            let (want, got) = (wanted[i].name(), &header[i]);
            let difference = format!("column {}: expected \"{want}\", the header says \"{got}\"", i + 1);
            Err(ConnectError::SchemaMismatch { name, difference })
        }
    }
}
