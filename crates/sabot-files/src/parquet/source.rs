//! The Parquet source: files, their schema, and the plan of what to read of each.

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::errors::ParquetError;
use sabot_connect::{
    Boundedness, ConnectError, PartitionId, PartitionReader, Position, ReadRequest, Source, Spawner,
    check_schema, unknown_partition,
};
use sabot_expr::types::{SUPPORTED_TYPES, check_type, type_name};
use std::fs::File;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::parquet_error;
use super::reader::ParquetReader;
use crate::paths::input_files;

/// A bounded, replayable source of Parquet files, one partition each.
///
/// Footers are read when the source is made, so that the schema is known and a broken file is found
/// before a job starts. Only the columns of a request are read. A row group whose statistics show that
/// the filter refuses all its rows is neither read nor decoded. Row groups are decoded ahead, in
/// parallel, within the look-ahead, and delivered in order. A file must not change while it is read.
///
/// ```
/// use arrow::array::{ArrayRef, Int64Array, RecordBatch};
/// use sabot_common::Epoch;
/// use sabot_connect::{Sink, Source};
/// use sabot_files::{ParquetSink, ParquetSource};
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("orders.parquet");
/// let a: ArrayRef = std::sync::Arc::new(Int64Array::from(vec![1, 2]));
/// let batch = RecordBatch::try_from_iter([("a", a)])?;
/// let sink = ParquetSink::new(&path)?;
/// let mut writer = sink.open(batch.schema(), 0)?;
/// writer.write(&batch.into())?;
/// let staged = writer.stage(Epoch::FIRST)?;
/// sink.commit(Epoch::FIRST, &[staged])?;
/// assert!(!path.exists());
/// sink.finish()?;
/// assert_eq!(ParquetSource::open(&path)?.rows(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ParquetSource {
    name: String,
    schema: SchemaRef,
    files: Vec<ParquetFile>,
}

/// One file with its footer.
#[derive(Clone, Debug)]
pub(super) struct ParquetFile {
    pub(super) id: PartitionId,
    pub(super) path: Arc<Path>,
    /// The footer, with the schema of the source.
    pub(super) metadata: ArrowReaderMetadata,
}

impl ParquetSource {
    /// A source of a file, or of the `.parquet` files of a folder in the order of their names.
    ///
    /// # Errors
    /// As [`ParquetSource::of_files`]; also [`ConnectError::NotFound`] when there is nothing at the path.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ConnectError> {
        let path = path.as_ref();
        let files = input_files(path, "parquet")?;
        Self::new(path.display().to_string(), files)
    }

    /// A source of these files, in this order. All must have the same columns.
    ///
    /// # Errors
    /// [`ConnectError`] when a file cannot be read, is no Parquet file, has a column of a type that
    /// Sabot does not support, or has other columns than the first; or when there are no files.
    pub fn of_files(files: impl IntoIterator<Item = PathBuf>) -> Result<Self, ConnectError> {
        let files: Vec<PathBuf> = files.into_iter().collect();
        let name = match files.as_slice() {
            [] => "(no files)".to_owned(),
            [only] => only.display().to_string(),
            [first, ..] => format!("{} and {} more", first.display(), files.len() - 1),
        };
        Self::new(name, files)
    }

    fn new(name: String, paths: Vec<PathBuf>) -> Result<Self, ConnectError> {
        let files = paths.into_iter().map(read_footer).collect::<Result<Vec<_>, _>>()?;
        let Some(first) = files.first() else {
            let hint = "name at least one file".to_owned();
            return Err(ConnectError::NotFound { path: PathBuf::from(name), hint });
        };
        let schema = first.metadata.schema().clone();
        for file in &files {
            check_schema(file.id.as_str(), &schema, file.metadata.schema())?;
        }
        Ok(Self { name, schema, files })
    }

    /// Rows of all files together, as the footers say.
    pub fn rows(&self) -> u64 {
        let rows = |f: &ParquetFile| f.metadata.metadata().file_metadata().num_rows();
        self.files.iter().map(|f| u64::try_from(rows(f)).unwrap_or(0)).sum()
    }
}

fn read_footer(path: PathBuf) -> Result<ParquetFile, ConnectError> {
    let file = File::open(&path).map_err(|error| ConnectError::io("open", &path, error))?;
    // A damaged footer can make the library panic; for a user it is one more broken file.
    let found = catch_unwind(|| ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()))
        .unwrap_or_else(|_| Err(ParquetError::General("it makes the decoder panic".to_owned())))
        .map_err(|error| parquet_error(&path, "footer", error))?;
    let schema = supported_schema(&path, found.schema())?;
    let metadata = with_schema(&path, &found, schema)?;
    Ok(ParquetFile { id: PartitionId::new(path.display().to_string()), path: path.into(), metadata })
}

/// The footer, read with another Arrow schema for the same columns.
pub(super) fn with_schema(
    path: &Path,
    metadata: &ArrowReaderMetadata,
    schema: SchemaRef,
) -> Result<ArrowReaderMetadata, ConnectError> {
    if *metadata.schema() == schema {
        return Ok(metadata.clone());
    }
    let options = ArrowReaderOptions::new().with_schema(schema);
    ArrowReaderMetadata::try_new(metadata.metadata().clone(), options)
        .map_err(|error| parquet_error(path, "schema", error))
}

/// The schema in types that Sabot reads: views are read as what they view, a type that is not well-formed is
/// refused by name.
fn supported_schema(path: &Path, schema: &Schema) -> Result<SchemaRef, ConnectError> {
    let mut fields: Vec<Field> = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let data_type = match field.data_type() {
            DataType::Utf8View => DataType::Utf8,
            DataType::BinaryView => DataType::Binary,
            other => other.clone(),
        };
        check_type(&data_type).map_err(|_| ConnectError::UnsupportedType {
            name: path.display().to_string(),
            column: field.name().clone(),
            type_name: type_name(&data_type),
            supported: SUPPORTED_TYPES.to_owned(),
        })?;
        fields.push(field.as_ref().clone().with_data_type(data_type));
    }
    Ok(Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone())))
}

impl Source for ParquetSource {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }

    fn replayable(&self) -> bool {
        true
    }

    fn reads_dictionaries(&self) -> bool {
        true
    }

    fn claim(&self) -> Result<(), ConnectError> {
        Ok(())
    }

    fn discover(&self) -> Result<Vec<PartitionId>, ConnectError> {
        Ok(self.files.iter().map(|file| file.id.clone()).collect())
    }

    fn open(
        &self,
        partition: &PartitionId,
        from: Option<&Position>,
        request: &ReadRequest,
        spawner: &Arc<dyn Spawner>,
    ) -> Result<Box<dyn PartitionReader>, ConnectError> {
        let Some(file) = self.files.iter().find(|file| file.id == *partition) else {
            return Err(unknown_partition(&self.name, partition, &self.discover()?));
        };
        let reader = ParquetReader::new(file, from.map_or(0, |p| p.row), request, spawner.clone())?;
        Ok(Box::new(reader))
    }
}
