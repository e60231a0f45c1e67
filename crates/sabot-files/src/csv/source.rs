//! The CSV source.

use arrow::array::timezone::Tz;
use arrow::datatypes::{Field, Schema, SchemaRef};
use csv::StringRecord;
use sabot_connect::{
    Boundedness, ConnectError, PartitionId, PartitionReader, PauseGate, Position, ReadCounters, ReadRequest,
    Source, SourceItem, Spawner, unknown_partition,
};
use sabot_expr::types::type_name;
use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Poll};

use super::columns::{TYPES, builder};
use super::decode::{CsvDecoder, CsvPlan, check_header, read_error, text_reader};
use super::infer::Guess;
use crate::ahead::{Ahead, Budget, Front};
use crate::paths::input_files;

/// How a CSV file is to be read.
#[derive(Clone, Debug)]
pub struct CsvOptions {
    /// Whether the first line names the columns. Without one they are `column_1`, `column_2`, …, or those
    /// of the schema.
    pub header: bool,
    /// What stands between cells: `,` unless told otherwise.
    pub delimiter: u8,
    /// The columns; inferred when `None`.
    pub schema: Option<SchemaRef>,
    /// Rows from which types are inferred: 1,000 unless told otherwise.
    pub infer_rows: usize,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self { header: true, delimiter: b',', schema: None, infer_rows: 1_000 }
    }
}

/// A bounded, replayable source of CSV files, one partition each.
///
/// Cells may be quoted with `"`, and a quote inside is doubled. An empty cell is null. Lines without a
/// byte are passed over. Types come from a schema or are inferred from the first rows of the first file:
/// bool (`true`, `false`), int64, float64, date32 (`2001-12-31`), timestamp (ISO 8601; µs, or ns where a
/// fraction needs it; in UTC where every cell names an offset), otherwise utf8. Whole numbers with a
/// leading zero and integers beyond 64 bits stay text.
///
/// A row with too few or too many cells, or a cell that is not of its column's type, is
/// [`ConnectError::Malformed`] with file, row (the first row of data is row 1) and column. Only the
/// columns that are read are checked.
///
/// ```
/// use sabot_connect::Source;
/// use sabot_files::CsvSource;
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("flights.csv");
/// std::fs::write(&path, "origin,delay\nSFO,12\n")?;
/// let source = CsvSource::open(&path)?;
/// assert_eq!(source.schema().field(1).data_type(), &arrow::datatypes::DataType::Int64);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct CsvSource {
    name: String,
    schema: SchemaRef,
    options: CsvOptions,
    files: Vec<(PartitionId, Arc<Path>)>,
}

impl CsvSource {
    /// A source of a file with a header, or of the `.csv` files of a folder in the order of their names.
    ///
    /// # Errors
    /// As [`CsvSource::with_options`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ConnectError> {
        Self::with_options(path, CsvOptions::default())
    }

    /// A source of a file, or of the `.csv` files of a folder in the order of their names.
    ///
    /// # Errors
    /// [`ConnectError`] when there is nothing at the path, a file cannot be read, the schema has a type
    /// that Sabot does not support, headers are not those of the schema, or two columns have one name.
    pub fn with_options(path: impl AsRef<Path>, options: CsvOptions) -> Result<Self, ConnectError> {
        let path = path.as_ref();
        let files = input_files(path, "csv")?;
        Self::new(path.display().to_string(), files, options)
    }

    fn new(name: String, paths: Vec<PathBuf>, options: CsvOptions) -> Result<Self, ConnectError> {
        let Some(first) = paths.first() else {
            return Err(ConnectError::NotFound {
                path: name.into(),
                hint: "name at least one file".to_owned(),
            });
        };
        let schema = match &options.schema {
            Some(schema) => schema.clone(),
            None => infer_schema(first, &options)?,
        };
        check_types(&name, &schema)?;
        if options.header {
            for path in &paths {
                let header = read_rows(path, &options, 1)?.pop();
                let names =
                    header.ok_or_else(|| empty_file(path))?.iter().enumerate().map(column_name).collect();
                check_header(path, &Vec::from_iter::<Vec<String>>(names), &schema)?;
            }
        }
        let files =
            paths.into_iter().map(|p| (PartitionId::new(p.display().to_string()), Arc::from(p))).collect();
        Ok(Self { name, schema, options, files })
    }
}

fn check_types(name: &str, schema: &Schema) -> Result<(), ConnectError> {
    let mut names = BTreeSet::new();
    for field in schema.fields() {
        if builder(field).is_none() {
            return Err(ConnectError::UnsupportedType {
                name: name.to_owned(),
                column: field.name().clone(),
                type_name: type_name(field.data_type()),
                supported: TYPES.to_owned(),
            });
        }
        if !names.insert(field.name()) {
            let difference = format!("two columns are named \"{}\"", field.name());
            return Err(ConnectError::SchemaMismatch { name: name.to_owned(), difference });
        }
    }
    Ok(())
}

fn column_name((index, name): (usize, &str)) -> String {
    if name.is_empty() { format!("column_{}", index + 1) } else { name.to_owned() }
}

fn empty_file(path: &Path) -> ConnectError {
    let reason = "it is empty; give a schema, or a file with a header".to_owned();
    ConnectError::Corrupt { path: path.to_owned(), format: "CSV", reason }
}

/// The first lines of a file as they stand, header included.
fn read_rows(path: &Path, options: &CsvOptions, rows: usize) -> Result<Vec<StringRecord>, ConnectError> {
    let file = File::open(path).map_err(|error| ConnectError::io("open", path, error))?;
    let mut reader = text_reader(options, file);
    let found: Result<Vec<_>, _> = reader.byte_records().take(rows).collect();
    let found = found.map_err(|error| read_error(path, error))?;
    // Text that is no UTF-8 is reported where it is read, with its row; a guess needs no more than this.
    Ok(found.into_iter().map(StringRecord::from_byte_record_lossy).collect())
}

fn infer_schema(path: &Path, options: &CsvOptions) -> Result<SchemaRef, ConnectError> {
    let rows = read_rows(path, options, options.infer_rows.saturating_add(usize::from(options.header)))?;
    let first = rows.first().ok_or_else(|| empty_file(path))?;
    let names: Vec<String> = match options.header {
        true => first.iter().enumerate().map(column_name).collect(),
        false => (0..first.len()).map(|i| column_name((i, ""))).collect(),
    };
    let utc: Tz = "UTC".parse().map_err(|error| ConnectError::arrow(path.display().to_string(), error))?;
    let mut guesses = vec![Guess::new(utc); names.len()];
    for row in rows.iter().skip(usize::from(options.header)) {
        guesses.iter_mut().zip(row).for_each(|(guess, cell)| guess.add(cell));
    }
    let fields: Vec<Field> = guesses.iter().zip(&names).map(|(guess, name)| guess.field(name)).collect();
    Ok(Arc::new(Schema::new(fields)))
}

impl Source for CsvSource {
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

    fn claim(&self) -> Result<(), ConnectError> {
        Ok(())
    }

    fn discover(&self) -> Result<Vec<PartitionId>, ConnectError> {
        Ok(self.files.iter().map(|(id, _)| id.clone()).collect())
    }

    fn open(
        &self,
        partition: &PartitionId,
        from: Option<&Position>,
        request: &ReadRequest,
        spawner: &Arc<dyn Spawner>,
    ) -> Result<Box<dyn PartitionReader>, ConnectError> {
        let Some((id, path)) = self.files.iter().find(|(id, _)| id == partition) else {
            return Err(unknown_partition(&self.name, partition, &self.discover()?));
        };
        let from = from.copied().unwrap_or(Position::START);
        let length = path.metadata().map_err(|error| ConnectError::io("open", &**path, error))?.len();
        if from.offset > length {
            let reason = format!("the file ends before byte {}", from.offset);
            return Err(ConnectError::BadPosition { name: id.to_string(), row: from.row, reason });
        }
        let plan = CsvPlan {
            path: path.clone(),
            options: self.options.clone(),
            stored: self.schema.clone(),
            columns: request.columns(id.as_str(), &self.schema)?,
            delivered: request.output_schema(id.as_str(), &self.schema)?,
            batch_rows: request.morsel_rows.max(1),
        };
        let budget = Budget::new(path.clone(), "CSV", request.look_ahead_bytes);
        Ok(Box::new(CsvReader {
            ahead: Ahead::new(budget.clone(), Box::new(CsvDecoder::new(plan, from))),
            budget,
            spawner: spawner.clone(),
            start: from,
            position: from,
            gate: PauseGate::default(),
        }))
    }
}

struct CsvReader {
    ahead: Arc<Ahead>,
    budget: Arc<Budget>,
    spawner: Arc<dyn Spawner>,
    start: Position,
    position: Position,
    gate: PauseGate,
}

impl PartitionReader for CsvReader {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<SourceItem>, ConnectError>> {
        if self.gate.holds(cx) {
            return Poll::Pending;
        }
        loop {
            match self.ahead.poll_front(cx)? {
                Front::Batch(batch, after) => {
                    let first_row = std::mem::replace(&mut self.position, after).row;
                    if self.budget.has_room()
                        && let Some(job) = self.ahead.start()
                    {
                        self.spawner.spawn(job);
                    }
                    return Poll::Ready(Ok(Some(SourceItem::Rows { batch, first_row })));
                }
                Front::End => return Poll::Ready(Ok(None)),
                Front::Wait(None) => return Poll::Pending,
                // The job may have run already; looking again costs nothing.
                Front::Wait(Some(job)) => self.spawner.spawn(job),
            }
        }
    }

    fn position(&self) -> Position {
        self.position
    }

    fn pause(&mut self) {
        self.gate.pause();
    }

    fn resume(&mut self) {
        self.gate.resume();
    }

    fn counters(&self) -> ReadCounters {
        ReadCounters {
            rows: self.position.row - self.start.row,
            bytes: self.position.offset - self.start.offset,
            ..ReadCounters::default()
        }
    }
}

impl Drop for CsvReader {
    fn drop(&mut self) {
        self.budget.cancel();
    }
}
