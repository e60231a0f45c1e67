//! The Parquet source: files, their schema, and the plan of what to read of each.

use arrow::datatypes::SchemaRef;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::errors::ParquetError;
use sabot_connect::{
    Blob, ConnectError, PartitionId, PartitionReader, Position, ReadRequest, Spawner, check_schema,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use super::EXTENSIONS;
use super::chunks::Chunks;
use super::parquet_error;
use super::reader::ParquetReader;
use crate::compression::Compression;
use crate::input::{Input, inputs};
use crate::source::{FileFormat, supported_schema};
use crate::{FileSource, Location};

impl FileSource {
    /// Parquet files.
    ///
    /// Footers are read when the source is made, so that the schema is known and a broken file is found
    /// before a job starts. Only the columns of a request are read. A row group whose statistics show that
    /// the filter refuses all its rows is neither read nor decoded. Row groups are decoded ahead, in
    /// parallel, within the look-ahead, and delivered in order.
    ///
    /// ```
    /// use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    /// use sabot_common::Epoch;
    /// use sabot_connect::{Sink, Source};
    /// use sabot_files::{FileSink, FileSource};
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("orders.parquet");
    /// let a: ArrayRef = std::sync::Arc::new(Int64Array::from(vec![1, 2]));
    /// let batch = RecordBatch::try_from_iter([("a", a)])?;
    /// let sink = FileSink::parquet(&path)?;
    /// let mut writer = sink.open(batch.schema(), 0)?;
    /// writer.write(&batch.into())?;
    /// let staged = writer.stage(Epoch::FIRST)?;
    /// sink.commit(Epoch::FIRST, &[staged])?;
    /// assert!(!path.exists());
    /// sink.finish()?;
    /// assert_eq!(FileSource::parquet(&path)?.rows(), Some(2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ConnectError`] when there is nothing at the path, or a file cannot be read, is no Parquet file, has
    /// a column of a type that Sabot does not support, or has other columns than the first.
    pub fn parquet(location: impl Into<Location>) -> Result<Self, ConnectError> {
        let location = location.into();
        let inputs = inputs(&location, EXTENSIONS, Some(Compression::None))?;
        let files = inputs.iter().map(read_footer).collect::<Result<Vec<_>, _>>()?;
        let Some(first) = files.first() else {
            let hint = "name at least one file".to_owned();
            return Err(ConnectError::NotFound { path: location.path().to_owned(), hint });
        };
        let schema = first.metadata.schema().clone();
        for file in &files {
            check_schema(file.id.as_str(), &schema, file.metadata.schema())?;
        }
        let format = ParquetFiles { schema, files };
        Ok(FileSource::new(location.path().display().to_string(), inputs, Box::new(format), None))
    }
}

#[derive(Debug)]
struct ParquetFiles {
    schema: SchemaRef,
    files: Vec<ParquetFile>,
}

/// One file with its footer.
#[derive(Clone, Debug)]
pub(super) struct ParquetFile {
    pub(super) id: PartitionId,
    pub(super) path: Arc<Path>,
    pub(super) blob: Arc<dyn Blob>,
    /// The footer, with the schema of the source.
    pub(super) metadata: ArrowReaderMetadata,
}

fn read_footer(input: &Input) -> Result<ParquetFile, ConnectError> {
    let path = input.path();
    let Some(blob) = input.blob() else {
        let expected = "a file: Parquet is read from its end".to_owned();
        let found = format!("\"{}\"", path.display());
        return Err(ConnectError::BadOption {
            kind: "parquet".to_owned(),
            option: "path".to_owned(),
            expected,
            found,
        });
    };
    let file = Chunks::of_footer(&**blob)?;
    // A damaged footer can make the library panic; for a user it is one more broken file.
    let found =
        catch_unwind(AssertUnwindSafe(|| ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())))
            .unwrap_or_else(|_| Err(ParquetError::General("it makes the decoder panic".to_owned())))
            .map_err(|error| parquet_error(path, "footer", error))?;
    let schema = supported_schema(input.id().as_str(), found.schema())?;
    let metadata = with_schema(path, &found, schema)?;
    Ok(ParquetFile { id: input.id().clone(), path: path.clone(), blob: blob.clone(), metadata })
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

impl FileFormat for ParquetFiles {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn reads_dictionaries(&self) -> bool {
        true
    }

    fn rows(&self) -> Option<u64> {
        let rows = |f: &ParquetFile| f.metadata.metadata().file_metadata().num_rows();
        Some(self.files.iter().map(|f| u64::try_from(rows(f)).unwrap_or(0)).sum())
    }

    fn open(
        &self,
        number: usize,
        from: Position,
        request: &ReadRequest,
        spawner: Arc<dyn Spawner>,
    ) -> Result<Box<dyn PartitionReader>, ConnectError> {
        Ok(Box::new(ParquetReader::new(&self.files[number], from.row, request, spawner)?))
    }
}
