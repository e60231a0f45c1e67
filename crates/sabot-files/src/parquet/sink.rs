//! The Parquet sink.

use arrow::datatypes::{DataType, IntervalUnit, SchemaRef};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use sabot_common::Epoch;
use sabot_connect::{Committable, ConnectError, Sink, SinkOrder, SinkWriter};
use sabot_expr::types::{decoded_type, is_encoded, list_item, type_name};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::parquet_error;
use crate::output::{Encoder, FileSink, Format};

/// Rows of a row group: large enough for the encodings to pay, small enough that the writer holds a few
/// megabytes and that a reader can decode several at once.
const ROW_GROUP_ROWS: usize = 131_072;

/// A sink of Parquet: one file, or a folder of files if the path ends in `/`.
///
/// Columns are compressed with zstd at level 1, with dictionaries and statistics. One file appears whole
/// when the job has ended well; files in a folder appear with their epoch. The file that had the name
/// before is there until then.
///
/// Columns of every type are written, but for unions, structs without fields and intervals of months, days and
/// nanoseconds, which Parquet does not have: they are refused by name when the sink is opened.
#[derive(Debug)]
pub struct ParquetSink(FileSink);

impl ParquetSink {
    /// A sink for a path.
    ///
    /// # Errors
    /// [`ConnectError::BadOption`] when the path has neither an extension nor a trailing slash,
    /// [`ConnectError::NotFound`] when the folder of a file does not exist.
    pub fn new(path: impl AsRef<Path>) -> Result<Self, ConnectError> {
        FileSink::new(path.as_ref(), Box::new(ParquetFormat)).map(Self)
    }
}

impl Sink for ParquetSink {
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
struct ParquetFormat;

fn properties() -> WriterProperties {
    // Level 1 always exists; without compression the file would be larger and as right.
    let zstd = ZstdLevel::try_new(1).map_or(Compression::UNCOMPRESSED, Compression::ZSTD);
    WriterProperties::builder()
        .set_compression(zstd)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .build()
}

/// Whether Parquet has a form for values of a type.
fn is_carried(data_type: &DataType) -> bool {
    match data_type {
        DataType::Union(..) | DataType::Interval(IntervalUnit::MonthDayNano) => false,
        DataType::Struct(fields) => !fields.is_empty() && fields.iter().all(|f| is_carried(f.data_type())),
        DataType::Map(entries, _) => is_carried(entries.data_type()),
        encoded if is_encoded(encoded) => is_carried(decoded_type(encoded)),
        other => list_item(other).is_none_or(|item| is_carried(item.data_type())),
    }
}

impl Format for ParquetFormat {
    fn kind(&self) -> &'static str {
        "parquet"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["parquet", "pq"]
    }

    fn encoder(&self, path: &Path, file: File, schema: &SchemaRef) -> Result<Box<dyn Encoder>, ConnectError> {
        if let Some(field) = schema.fields().iter().find(|f| !is_carried(f.data_type())) {
            return Err(ConnectError::UnsupportedType {
                name: path.display().to_string(),
                column: field.name().clone(),
                type_name: type_name(field.data_type()),
                supported: "every type that neither is nor holds a union, a struct without fields or an \
                            interval(month_day_nano)"
                    .to_owned(),
            });
        }
        let writer = ArrowWriter::try_new(file, schema.clone(), Some(properties()))
            .map_err(|error| parquet_error(path, "header", error))?;
        Ok(Box::new(ParquetEncoder { path: path.to_owned(), writer }))
    }

    fn join(
        &self,
        parts: &[PathBuf],
        _schema: &SchemaRef,
        path: &Path,
        into: File,
    ) -> Result<File, ConnectError> {
        let mut joined: Option<SerializedFileWriter<File>> = None;
        let mut into = Some(into);
        for part in parts {
            let failed = |error| parquet_error(part, "part", error);
            let file = File::open(part).map_err(|error| ConnectError::io("open", part, error))?;
            let metadata = ParquetMetaDataReader::new()
                .with_page_index_policy(PageIndexPolicy::Optional)
                .parse_and_finish(&file)
                .map_err(failed)?;
            if let Some(file) = into.take() {
                joined = Some(begin_joined(&metadata, file).map_err(failed)?);
            }
            if let Some(writer) = &mut joined {
                append(writer, &file, &metadata).map_err(failed)?;
            }
        }
        match (joined, into) {
            (Some(writer), _) => writer.into_inner().map_err(|error| parquet_error(path, "footer", error)),
            (None, Some(untouched)) => Ok(untouched),
            (None, None) => {
                Err(ConnectError::NotFound { path: path.to_owned(), hint: "no parts".to_owned() })
            }
        }
    }
}

/// A writer with the schema and the key-value metadata (Arrow's schema among it) of the first part.
fn begin_joined(first: &ParquetMetaData, file: File) -> Result<SerializedFileWriter<File>, ParquetError> {
    let properties = properties()
        .into_builder()
        .set_key_value_metadata(first.file_metadata().key_value_metadata().cloned())
        .build();
    SerializedFileWriter::new(
        file,
        first.file_metadata().schema_descr().root_schema_ptr(),
        Arc::new(properties),
    )
}

/// Appends the row groups of a part as they are: their pages are copied, not decoded.
fn append(
    writer: &mut SerializedFileWriter<File>,
    part: &File,
    metadata: &ParquetMetaData,
) -> Result<(), ParquetError> {
    for (g, group) in metadata.row_groups().iter().enumerate() {
        let rows = u64::try_from(group.num_rows()).unwrap_or(0);
        let mut into = writer.next_row_group()?;
        for (c, column) in group.columns().iter().enumerate() {
            let close = ColumnCloseResult {
                bytes_written: u64::try_from(column.compressed_size()).unwrap_or(0),
                rows_written: rows,
                metadata: column.clone(),
                bloom_filter: None,
                column_index: metadata.column_index().map(|index| index[g][c].clone()),
                offset_index: metadata.offset_index().map(|index| index[g][c].clone()),
            };
            into.append_column(part, close)?;
        }
        into.close()?;
    }
    Ok(())
}

struct ParquetEncoder {
    path: PathBuf,
    writer: ArrowWriter<File>,
}

impl Encoder for ParquetEncoder {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), ConnectError> {
        self.writer.write(batch).map_err(|error| parquet_error(&self.path, "rows", error))
    }

    fn finish(self: Box<Self>) -> Result<File, ConnectError> {
        let Self { path, writer } = *self;
        writer.into_inner().map_err(|error| parquet_error(&path, "footer", error))
    }
}
