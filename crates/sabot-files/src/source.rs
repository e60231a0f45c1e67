//! Files as sources, whatever their format.
//!
//! A [`FileSource`] is a list of files, one partition each, and a format that opens them. Partitions,
//! claims and dead letters are the same for all formats and live here.

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use sabot_connect::{
    Boundedness, ConnectError, DeadLetters, PartitionId, PartitionReader, Position, ReadRequest, Source,
    Spawner, ThreadSpawner, unknown_partition,
};
use sabot_expr::types::{SUPPORTED_TYPES, check_type, type_name};
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::dead_letters::{DeadLetterFile, DeadLetterOptions};
use crate::input::Input;
use crate::not_null::{NotNull, without_nulls};

/// Files of one format, whose columns are known.
pub(crate) trait FileFormat: Debug + Send + Sync {
    /// The columns, the same in all files.
    fn schema(&self) -> &SchemaRef;

    /// Whether strings come as dictionaries without a conversion.
    fn reads_dictionaries(&self) -> bool {
        false
    }

    /// Rows of all files together, where that is known without reading them.
    fn rows(&self) -> Option<u64> {
        None
    }

    /// Opens the file with this number.
    fn open(
        &self,
        number: usize,
        from: Position,
        request: &ReadRequest,
        spawner: Arc<dyn Spawner>,
    ) -> Result<Box<dyn PartitionReader>, ConnectError>;
}

/// A bounded source of files, one partition each, in the order of their names.
///
/// A path is a file; a folder, which stands for the files in it with an extension of the format, also
/// compressed ones; a pattern (`flights-*.csv`, `2001/**/*.ndjson`); or `-`, the standard input. All files
/// must have the same columns. They must not change while they are read.
///
/// Files can be read any number of times and from any position. The standard input, and whatever else at a
/// path is no regular file, can be read once, by one job; it is read by a thread of its own, which ends
/// when the input does or at the next bytes after the job has ended.
///
/// The formats: [`FileSource::csv`], [`FileSource::ndjson`], [`FileSource::arrow`],
/// [`FileSource::parquet`].
#[derive(Debug)]
pub struct FileSource {
    name: String,
    inputs: Vec<Input>,
    format: Box<dyn FileFormat>,
    /// The format's, but for columns in which a null is an error.
    schema: SchemaRef,
    not_null: Vec<usize>,
    dead_letters: Option<DeadLetterOptions>,
    claimed: AtomicBool,
}

impl FileSource {
    pub(crate) fn new(
        name: String,
        inputs: Vec<Input>,
        format: Box<dyn FileFormat>,
        dead_letters: Option<DeadLetterOptions>,
    ) -> Self {
        let schema = format.schema().clone();
        Self {
            name,
            inputs,
            format,
            schema,
            not_null: Vec::new(),
            dead_letters,
            claimed: AtomicBool::new(false),
        }
    }

    /// Makes a null in one of these columns an error, with the file and the row, where the column is read. The
    /// schema says that they have none. Of text the columns that are given say so themselves.
    ///
    /// # Errors
    /// The name of a column that the source does not have.
    pub(crate) fn not_null(mut self, names: &[String]) -> Result<Self, (Self, String)> {
        for name in names {
            match self.schema.index_of(name) {
                Ok(column) => self.not_null.push(column),
                Err(_) => return Err((self, name.clone())),
            }
        }
        self.schema = without_nulls(self.format.schema(), &self.not_null);
        Ok(self)
    }
}

impl Source for FileSource {
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
        !self.inputs.iter().any(Input::is_live)
    }

    /// Parquet and Arrow say so at the end of their files, text does not.
    fn rows(&self) -> Option<u64> {
        self.format.rows()
    }

    fn reads_dictionaries(&self) -> bool {
        self.format.reads_dictionaries()
    }

    fn claim(&self) -> Result<(), ConnectError> {
        match self.claimed.swap(true, Ordering::AcqRel) && !self.replayable() {
            true => Err(ConnectError::AlreadyClaimed { name: self.name() }),
            false => Ok(()),
        }
    }

    fn dead_letters(&self) -> Result<Option<Arc<dyn DeadLetters>>, ConnectError> {
        let Some(options) = &self.dead_letters else { return Ok(None) };
        Ok(Some(Arc::new(DeadLetterFile::new(options)?)))
    }

    fn discover(&self) -> Result<Vec<PartitionId>, ConnectError> {
        Ok(self.inputs.iter().map(|input| input.id().clone()).collect())
    }

    fn open(
        &self,
        partition: &PartitionId,
        from: Option<&Position>,
        request: &ReadRequest,
        spawner: &Arc<dyn Spawner>,
    ) -> Result<Box<dyn PartitionReader>, ConnectError> {
        let Some(number) = self.inputs.iter().position(|input| input.id() == partition) else {
            return Err(unknown_partition(&self.name, partition, &self.discover()?));
        };
        // Whoever waits for a pipe or a network must not hold one of the engine's threads.
        let spawner = match self.inputs[number].waits() {
            true => Arc::new(ThreadSpawner),
            false => spawner.clone(),
        };
        let reader = self.format.open(number, from.copied().unwrap_or(Position::START), request, spawner)?;
        let delivered = request.columns(&self.name, &self.schema)?;
        let columns: Vec<usize> =
            (0..).zip(&delivered).filter(|(_, c)| self.not_null.contains(c)).map(|(i, _)| i).collect();
        if columns.is_empty() {
            return Ok(reader);
        }
        let schema = request.output_schema(&self.name, &self.schema)?;
        Ok(Box::new(NotNull { reader, partition: partition.name(), schema, columns }))
    }
}

/// The schema in types that Sabot reads: views are read as what they view, a type that is not well-formed is
/// refused by name.
pub(crate) fn supported_schema(name: &str, schema: &Schema) -> Result<SchemaRef, ConnectError> {
    let mut fields: Vec<Field> = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let data_type = match field.data_type() {
            DataType::Utf8View => DataType::Utf8,
            DataType::BinaryView => DataType::Binary,
            other => other.clone(),
        };
        check_type(&data_type).map_err(|_| ConnectError::UnsupportedType {
            name: name.to_owned(),
            column: field.name().clone(),
            type_name: type_name(&data_type),
            supported: SUPPORTED_TYPES.to_owned(),
        })?;
        fields.push(field.as_ref().clone().with_data_type(data_type));
    }
    Ok(Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone())))
}
