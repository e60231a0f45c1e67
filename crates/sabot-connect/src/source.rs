//! The life cycle of a source: claim, discover partitions, open one at a position, poll it.
//!
//! The invariant: a partition is a fixed sequence of rows, numbered from 0. Whatever the projection,
//! the pruning, the size of morsels or the number of threads, a reader delivers that sequence in order,
//! and [`PartitionReader::position`] names the place after the last item, so that a reader opened there
//! goes on exactly with the next row.

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use sabot_common::limits::MORSEL_ROWS_DEFAULT;
use sabot_common::list_names;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Debug};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::{ConnectError, DeadLetters, PruneFilter, Spawner};

/// Whether a source ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Boundedness {
    /// It has a last row.
    Bounded,
    /// It may go on for ever.
    Unbounded,
}

/// The name of a partition inside its source: a path, `topic/3`, `0`.
///
/// ```
/// # use sabot_connect::PartitionId;
/// assert_eq!(PartitionId::new("topic/3").as_str(), "topic/3");
/// assert_eq!(PartitionId::from("0").to_string(), "0");
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PartitionId(Arc<str>);

impl PartitionId {
    /// A partition with this name.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name, shared.
    pub fn name(&self) -> Arc<str> {
        self.0.clone()
    }
}

impl From<&str> for PartitionId {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartitionId({})", self.0)
    }
}

/// A place between two rows of a partition.
///
/// `row` has one meaning everywhere. `offset` belongs to the connector: a byte offset in a text file, an
/// offset in a log, zero where the row says it all. A position is only given back to the source that it
/// came from.
///
/// ```
/// # use sabot_connect::Position;
/// assert!(Position::START < Position::at_row(1));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// Rows of the partition before this place, skipped ones included.
    pub row: u64,
    /// The connector's own address of this place.
    pub offset: u64,
}

impl Position {
    /// Before the first row.
    pub const START: Position = Position { row: 0, offset: 0 };

    /// The place before row `row`, for sources that need no other address.
    pub fn at_row(row: u64) -> Self {
        Self { row, offset: 0 }
    }
}

/// What a job wants from a partition. Column numbers are those of [`Source::schema`], everywhere.
///
/// ```
/// # use arrow::datatypes::{DataType, Field, Schema};
/// # use sabot_connect::ReadRequest;
/// let schema = Schema::new(vec![Field::new("a", DataType::Int64, false), Field::new("b", DataType::Utf8, true)]);
/// let request = ReadRequest { projection: Some(vec![1]), ..ReadRequest::default() };
/// assert_eq!(request.output_schema("a.csv", &schema)?.fields().len(), 1);
/// let wrong = ReadRequest { projection: Some(vec![2]), ..ReadRequest::default() };
/// assert!(wrong.columns("a.csv", &schema).is_err());
/// # Ok::<(), sabot_connect::ConnectError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ReadRequest {
    /// The columns to deliver, in this order; all when `None`. An empty list delivers row counts.
    pub projection: Option<Vec<usize>>,
    /// Rows for which this is not true may be left out, in runs that are reported as
    /// [`SourceItem::Skipped`]. A hint: the filter is evaluated again above the source.
    pub filter: Option<PruneFilter>,
    /// The largest number of rows of a batch; 0 counts as 1.
    pub morsel_rows: usize,
    /// Decoded bytes that a reader may hold ahead of its consumer. One unit of decoding is always
    /// allowed, however large it is.
    pub look_ahead_bytes: usize,
    /// The event-time column, when there is one: rows are left out only where the exact maximum of this
    /// column over them is known.
    pub event_time: Option<usize>,
    /// String columns to deliver as `Dictionary(Int32, <their type>)`. Every source obeys; where
    /// [`Source::reads_dictionaries`] is false it costs a conversion.
    pub strings_as_dictionary: Vec<usize>,
    /// Where to put records that cannot be read; without it the first one is an error. Then all columns
    /// are checked, read or not, so that what is malformed does not depend on the request.
    pub dead_letters: Option<Arc<dyn DeadLetters>>,
}

impl Default for ReadRequest {
    /// All columns, no pruning, the default morsel, 64 MiB of look-ahead.
    fn default() -> Self {
        Self {
            projection: None,
            filter: None,
            morsel_rows: MORSEL_ROWS_DEFAULT,
            look_ahead_bytes: 64 << 20,
            event_time: None,
            strings_as_dictionary: Vec::new(),
            dead_letters: None,
        }
    }
}

impl ReadRequest {
    /// The columns to deliver, as numbers of `schema`.
    ///
    /// # Errors
    /// [`ConnectError::ColumnOutOfRange`] when the request names a column that is not there.
    pub fn columns(&self, name: &str, schema: &Schema) -> Result<Vec<usize>, ConnectError> {
        let columns = schema.fields().len();
        let all = self.projection.clone().unwrap_or_else(|| (0..columns).collect());
        let named = all.iter().chain(&self.event_time).chain(&self.strings_as_dictionary);
        match named.copied().find(|index| *index >= columns) {
            Some(index) => Err(ConnectError::ColumnOutOfRange { name: name.to_owned(), index, columns }),
            None => Ok(all),
        }
    }

    /// The schema of the batches that a reader delivers for this request.
    ///
    /// # Errors
    /// [`ConnectError::ColumnOutOfRange`] when the request names a column that is not there.
    pub fn output_schema(&self, name: &str, schema: &Schema) -> Result<SchemaRef, ConnectError> {
        let fields: Vec<Field> = self
            .columns(name, schema)?
            .into_iter()
            .map(|index| {
                let field = schema.field(index).clone();
                let wanted = self.delivered_type(index, field.data_type());
                field.with_data_type(wanted)
            })
            .collect();
        Ok(Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone())))
    }

    /// The type in which column `index`, of type `stored`, is delivered.
    pub fn delivered_type(&self, index: usize, stored: &DataType) -> DataType {
        match stored {
            DataType::Utf8 | DataType::LargeUtf8 if self.strings_as_dictionary.contains(&index) => {
                DataType::Dictionary(Box::new(DataType::Int32), Box::new(stored.clone()))
            }
            other => other.clone(),
        }
    }
}

/// What a reader has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadCounters {
    /// Row groups, or whatever the format's unit of pruning is, whose rows were delivered or asked for.
    pub row_groups_read: u64,
    /// Row groups that were left out without being read.
    pub row_groups_pruned: u64,
    /// Rows delivered; skipped rows do not count.
    pub rows: u64,
    /// Bytes read from the medium; in memory, the bytes of the batches delivered.
    pub bytes: u64,
    /// Records put aside because they cannot be read.
    pub dead_letters: u64,
}

/// What a reader delivers.
#[derive(Clone, Debug)]
pub enum SourceItem {
    /// Rows of the partition.
    Rows {
        /// The rows; never empty of rows.
        batch: RecordBatch,
        /// The number of the first of them in the partition, from 0.
        first_row: u64,
    },
    /// A run of rows that the filter refuses as a whole, or of records that are dead letters. They keep
    /// their numbers: the rows behind them are numbered as if these had been delivered.
    Skipped {
        /// The number of the first of them.
        first_row: u64,
        /// How many.
        rows: u64,
        /// The largest value of the event-time column over them, in the column's own unit. `None` when
        /// the request names no such column, or when all its values here are null or cannot be read.
        event_time_max: Option<i64>,
    },
}

/// A source of rows: partitions that can be opened at a position.
///
/// ```
/// # use arrow::array::{ArrayRef, Int64Array, RecordBatch};
/// # use sabot_connect::*;
/// # use std::sync::Arc;
/// # use std::task::{Context, Poll, Waker};
/// # let batch = RecordBatch::try_from_iter([("a", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef)])?;
/// let source = MemorySource::new("numbers", batch.schema(), vec![vec![batch]])?;
/// assert_eq!((source.name().as_str(), source.schema().fields().len()), ("numbers", 1));
/// assert!(source.replayable() && !source.reads_dictionaries());
/// assert_eq!(source.boundedness(), Boundedness::Bounded);
/// assert_eq!(source.rows(), Some(2));
/// assert!(!source.may_grow());
/// source.on_growth(Waker::noop().clone()); // never woken: a bounded source has its partitions
///
/// assert!(source.dead_letters()?.is_none()); // a record that cannot be read would be an error
/// source.claim()?;
/// let partitions = source.discover()?;
/// let spawner: Arc<dyn Spawner> = Arc::new(InlineSpawner);
/// let mut reader = source.open(&partitions[0], None, &ReadRequest::default(), &spawner)?;
/// let mut context = Context::from_waker(Waker::noop());
/// let item = reader.poll_next(&mut context)?;
/// assert!(matches!(item, Poll::Ready(Some(SourceItem::Rows { first_row: 0, .. }))));
/// assert_eq!(reader.position(), Position::at_row(2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Source: Debug + Send + Sync {
    /// The name for messages: a path, a channel's name.
    fn name(&self) -> String;

    /// The schema of the rows before any projection.
    fn schema(&self) -> SchemaRef;

    /// Whether the source ends.
    fn boundedness(&self) -> Boundedness;

    /// Whether its rows can be read again. If not, one job alone may claim it.
    fn replayable(&self) -> bool;

    /// Rows of all partitions together, where that is known without reading them.
    fn rows(&self) -> Option<u64> {
        None
    }

    /// Whether strings are delivered as dictionaries without a conversion.
    fn reads_dictionaries(&self) -> bool {
        false
    }

    /// Takes the source for a job. A replayable source can be claimed any number of times.
    ///
    /// # Errors
    /// [`ConnectError::AlreadyClaimed`] when the source can be read once and a job has it.
    fn claim(&self) -> Result<(), ConnectError>;

    /// Where the records go that cannot be read: a place of its own for each job, which belongs to the
    /// job like its sinks. `None` where the first such record is an error.
    ///
    /// # Errors
    /// [`ConnectError`] when it cannot be written to, or another job is writing it.
    fn dead_letters(&self) -> Result<Option<Arc<dyn DeadLetters>>, ConnectError> {
        Ok(None)
    }

    /// Whether [`Source::discover`] may name partitions later that it does not name now. It is asked
    /// before `discover`; once it has said no it never says yes again, and the source ends with its
    /// partitions. A source that may grow is unbounded.
    fn may_grow(&self) -> bool {
        false
    }

    /// Wakes `waker` whenever a partition has come, or none can come any more, where the source knows by
    /// itself. Sources that may grow are asked from time to time all the same.
    fn on_growth(&self, _waker: Waker) {}

    /// The partitions that there are now, in the order of the source. Where the source may grow, later
    /// calls may return more behind them; those that were there stay.
    ///
    /// # Errors
    /// Whatever keeps the source from looking.
    fn discover(&self) -> Result<Vec<PartitionId>, ConnectError>;

    /// Opens a partition, at its start or at a position that a reader of it returned earlier.
    ///
    /// # Errors
    /// [`ConnectError`] when the partition, the position or a column of the request does not exist, or
    /// the medium cannot be opened.
    fn open(
        &self,
        partition: &PartitionId,
        from: Option<&Position>,
        request: &ReadRequest,
        spawner: &Arc<dyn Spawner>,
    ) -> Result<Box<dyn PartitionReader>, ConnectError>;
}

/// A partition that is being read. Dropping it ends the reading; jobs under way finish unseen.
pub trait PartitionReader: Send {
    /// The next item, `None` at the end of the partition and ever after.
    ///
    /// It never waits for another thread: when nothing is ready it returns `Pending`, and the waker is
    /// woken when something is. While the reader is paused it returns `Pending`. After an error the
    /// reader is of no further use.
    ///
    /// # Errors
    /// [`ConnectError`] when a row cannot be read.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<SourceItem>, ConnectError>>;

    /// The place after the last item returned; opening there continues with the next row.
    fn position(&self) -> Position;

    /// Stops delivering until [`PartitionReader::resume`]; work already begun may go on within the
    /// look-ahead.
    fn pause(&mut self);

    /// Delivers again, and wakes the waker of a poll that found the reader paused.
    fn resume(&mut self);

    /// What the reader has done so far.
    fn counters(&self) -> ReadCounters;
}

/// The error for a partition that `name` does not have.
pub fn unknown_partition(name: &str, partition: &PartitionId, known: &[PartitionId]) -> ConnectError {
    ConnectError::UnknownPartition {
        name: name.to_owned(),
        partition: partition.to_string(),
        known: list_names(known.iter().map(PartitionId::as_str)),
    }
}
