//! The Parquet sink.

use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, IntervalUnit, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use sabot_connect::ConnectError;
use sabot_expr::decimal::precision_and_scale;
use sabot_expr::types::{decoded_type, is_decimal, is_encoded, list_item, type_name};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::parquet_error;
use crate::Location;
use crate::output::{Destination, Encoder, FileSink, Format, Parts};

/// Rows of a row group: large enough for the encodings to pay, small enough that the writer holds a few
/// megabytes and that a reader can decode several at once.
const ROW_GROUP_ROWS: usize = 131_072;

impl FileSink {
    /// A sink of Parquet. Columns are compressed with zstd at level 1, with dictionaries and statistics.
    ///
    /// Columns of every type are written, but for unions, structs without fields and intervals of months,
    /// days and nanoseconds, and decimals with a negative scale, which Parquet does not have: they are refused
    /// by name when the sink is opened. Runs are written as their values, and read back as such.
    ///
    /// # Errors
    /// [`ConnectError::BadOption`] when the path has neither an extension nor a trailing slash,
    /// [`ConnectError::NotFound`] when the folder of a file does not exist.
    pub fn parquet(location: impl Into<Location>) -> Result<Self, ConnectError> {
        Self::new(&location.into(), Box::new(ParquetFormat), None)
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

/// The type in which a column is written: the words of a dictionary not as views, which the writer cannot take.
fn written_as(data_type: &DataType) -> DataType {
    let DataType::Dictionary(key, word) = data_type else { return data_type.clone() };
    match word.as_ref() {
        DataType::Utf8View => DataType::Dictionary(key.clone(), Box::new(DataType::Utf8)),
        DataType::BinaryView => DataType::Dictionary(key.clone(), Box::new(DataType::Binary)),
        _ => data_type.clone(),
    }
}

fn written_schema(schema: &SchemaRef) -> SchemaRef {
    let field = |field: &FieldRef| field.as_ref().clone().with_data_type(written_as(field.data_type()));
    let fields: Vec<Field> = schema.fields().iter().map(field).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// Whether Parquet has a form for values of a type.
fn is_carried(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, word) if matches!(**word, DataType::Utf8View | DataType::BinaryView) => false,
        DataType::Union(..) | DataType::Interval(IntervalUnit::MonthDayNano) => false,
        decimal if is_decimal(decimal) => precision_and_scale(decimal).is_some_and(|(_, scale)| scale >= 0),
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

    fn extension(&self) -> &'static str {
        "parquet"
    }

    fn is_text(&self) -> bool {
        false
    }

    fn check(&self, name: &str, schema: &SchemaRef) -> Result<(), ConnectError> {
        let Some(field) = schema.fields().iter().find(|f| !is_carried(&written_as(f.data_type()))) else {
            return Ok(());
        };
        Err(ConnectError::UnsupportedType {
            name: name.to_owned(),
            column: field.name().clone(),
            type_name: type_name(field.data_type()),
            supported: "every type that neither is nor holds a union, a struct without fields, an \
                        interval(month_day_nano) or a decimal with a negative scale, or holds a dictionary of views"
                .to_owned(),
        })
    }

    fn encoder(
        &self,
        path: &Path,
        to: Box<dyn Destination>,
        schema: &SchemaRef,
    ) -> Result<Box<dyn Encoder>, ConnectError> {
        let schema = written_schema(schema);
        let writer = ArrowWriter::try_new(to, schema.clone(), Some(properties()))
            .map_err(|error| parquet_error(path, "header", error))?;
        Ok(Box::new(ParquetEncoder { path: path.to_owned(), schema, writer }))
    }

    fn join(
        &self,
        parts: &Parts<'_>,
        to: Box<dyn Destination>,
    ) -> Result<Box<dyn Destination>, ConnectError> {
        let mut joined: Option<Writer> = None;
        let mut into = Some(to);
        for part in parts.paths {
            let failed = |error| parquet_error(part, "part", error);
            let file = File::open(part).map_err(|error| ConnectError::io("open", part, error))?;
            let metadata = ParquetMetaDataReader::new()
                .with_page_index_policy(PageIndexPolicy::Optional)
                .parse_and_finish(&file)
                .map_err(failed)?;
            if let Some(to) = into.take() {
                joined = Some(begin_joined(&metadata, to).map_err(failed)?);
            }
            if let Some(writer) = &mut joined {
                append(writer, &file, &metadata).map_err(failed)?;
            }
        }
        let path = parts.whole;
        match (joined, into) {
            (Some(writer), _) => writer.into_inner().map_err(|error| parquet_error(path, "footer", error)),
            (None, Some(untouched)) => Ok(untouched),
            (None, None) => {
                Err(ConnectError::NotFound { path: path.to_owned(), hint: "no parts".to_owned() })
            }
        }
    }
}

type Writer = SerializedFileWriter<Box<dyn Destination>>;

/// A writer with the schema and the key-value metadata (Arrow's schema among it) of the first part.
fn begin_joined(first: &ParquetMetaData, to: Box<dyn Destination>) -> Result<Writer, ParquetError> {
    let properties = properties()
        .into_builder()
        .set_key_value_metadata(first.file_metadata().key_value_metadata().cloned())
        .build();
    SerializedFileWriter::new(
        to,
        first.file_metadata().schema_descr().root_schema_ptr(),
        Arc::new(properties),
    )
}

/// Appends the row groups of a part as they are: their pages are copied, not decoded.
fn append(writer: &mut Writer, part: &File, metadata: &ParquetMetaData) -> Result<(), ParquetError> {
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
    schema: SchemaRef,
    writer: ArrowWriter<Box<dyn Destination>>,
}

impl ParquetEncoder {
    /// The rows in the types in which they are written.
    fn converted(&self, batch: &RecordBatch) -> Result<RecordBatch, ParquetError> {
        let fields = self.schema.fields().iter();
        let columns =
            batch.columns().iter().zip(fields).map(|(column, field)| cast(column, field.data_type()));
        Ok(RecordBatch::try_new(self.schema.clone(), columns.collect::<Result<_, _>>()?)?)
    }
}

impl Encoder for ParquetEncoder {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), ConnectError> {
        let written = match batch.schema_ref() == &self.schema {
            true => self.writer.write(batch),
            false => self.converted(batch).and_then(|batch| self.writer.write(&batch)),
        };
        written.map_err(|error| parquet_error(&self.path, "rows", error))
    }

    fn flush(&mut self) -> Result<(), ConnectError> {
        self.writer.flush().map_err(|error| parquet_error(&self.path, "rows", error))
    }

    fn finish(self: Box<Self>) -> Result<Box<dyn Destination>, ConnectError> {
        let Self { path, writer, .. } = *self;
        writer.into_inner().map_err(|error| parquet_error(&path, "footer", error))
    }
}
