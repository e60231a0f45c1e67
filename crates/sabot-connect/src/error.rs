//! What can go wrong between Sabot and the world outside, with the place where it went wrong.
//!
//! Every variant carries enough to find the culprit without a debugger: a path and what the operating
//! system said, a row and a column and what was expected there, a name and the names that exist.

use arrow::error::ArrowError;
use sabot_batch::MorselError;
use sabot_common::{Epoch, RowLocation};
use std::io;
use std::path::PathBuf;

/// A source or a sink could not do what was asked of it.
///
/// ```
/// # use sabot_connect::ConnectError;
/// let error = ConnectError::io("open", "a.csv", std::io::Error::other("the disk is on fire"));
/// assert_eq!(error.to_string(), "cannot open a.csv: the disk is on fire");
/// let error = ConnectError::arrow("a.csv", arrow::error::ArrowError::DivideByZero);
/// assert_eq!(error.to_string(), "a.csv: Divide by zero error");
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The operating system refused something about a file.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: `open`, `write`, `rename`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// There is no file or folder at a path.
    #[error("{} does not exist; {hint}", path.display())]
    NotFound {
        /// The path that was given.
        path: PathBuf,
        /// What would be right, such as a name nearby.
        hint: String,
    },
    /// The name of a file, or of a folder above it, is not UTF-8, which plans and positions are.
    #[error("{path:?} is no text: the names of files must be UTF-8; rename it")]
    NameNotUtf8 {
        /// The path.
        path: PathBuf,
    },
    /// Somebody may not do what was tried: the credentials are missing, wrong, or allow less.
    #[error("no permission to {action} {}: {reason}; check the credentials and what they allow", path.display())]
    Denied {
        /// What was tried: `read`, `list`, `write`.
        action: &'static str,
        /// The URL.
        path: PathBuf,
        /// What the store said.
        reason: String,
    },
    /// A file was replaced while it was read.
    #[error(
        "{} changed while it was read, before byte {offset}; write new data under a new name, and read again",
        path.display()
    )]
    Changed {
        /// The URL.
        path: PathBuf,
        /// The byte that was to be read next, in the file as it is stored.
        offset: u64,
    },
    /// No store has URLs of this kind.
    #[error("{} is no path of this machine, and {hint}", url.display())]
    NoStore {
        /// The URL.
        url: PathBuf,
        /// What would be right.
        hint: String,
    },
    /// A row of a source cannot be read.
    #[error("{location}: column \"{column}\": expected {expected}, found {found}")]
    Malformed {
        /// The file or partition, and the row in it.
        location: RowLocation,
        /// The column.
        column: String,
        /// What would be right.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// A record of a source is wrong as a whole: too long, or no record of its format.
    #[error("{location}: expected {expected}, found {found}")]
    MalformedRecord {
        /// The file or partition, and the record in it.
        location: RowLocation,
        /// What would be right.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// More records were put aside as dead letters than the source allows.
    #[error(
        "{name}: more than {max} records cannot be read, the last one at {location}: {reason}; raise max_dead_letters, or mend the input"
    )]
    TooManyDeadLetters {
        /// Where dead letters are written.
        name: String,
        /// How many are allowed.
        max: u64,
        /// The first record beyond that.
        location: RowLocation,
        /// What is wrong with it.
        reason: String,
    },
    /// A file is not in the format that it should have, or a part of it is broken.
    #[error("{} is not a readable {format} file: {reason}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The format: `Parquet`, `CSV`.
        format: &'static str,
        /// What the decoder said.
        reason: String,
    },
    /// A column has a type that Sabot does not compute with.
    #[error("{name}: column \"{column}\" has type {type_name}; supported: {supported}")]
    UnsupportedType {
        /// The source or sink.
        name: String,
        /// The column.
        column: String,
        /// Its type.
        type_name: String,
        /// The types that would be right.
        supported: String,
    },
    /// Two schemas that must be equal are not.
    #[error("{name}: {difference}")]
    SchemaMismatch {
        /// The source or sink.
        name: String,
        /// The first difference, in words.
        difference: String,
    },
    /// A read request or an event-time column points at a column that is not there.
    #[error("{name} has {columns} columns; column number {index} does not exist")]
    ColumnOutOfRange {
        /// The source.
        name: String,
        /// The number asked for, from 0.
        index: usize,
        /// How many columns there are.
        columns: usize,
    },
    /// A source that can be read once is asked for a second time.
    #[error(
        "{name} is already claimed by a job, and its rows cannot be read twice; put several sinks into one job instead"
    )]
    AlreadyClaimed {
        /// The source or sink.
        name: String,
    },
    /// The other side of a channel is gone.
    #[error("channel {name} is closed: its {side} was dropped")]
    ChannelClosed {
        /// The channel.
        name: String,
        /// The side that is gone: `receiver` or `reader`.
        side: &'static str,
    },
    /// The job that feeds a channel ended before its input did.
    #[error("{name} ended early: its job was aborted or failed")]
    Aborted {
        /// The sink.
        name: String,
    },
    /// A source was asked for a partition that it does not have.
    #[error("{name} has no partition \"{partition}\"; partitions: {known}")]
    UnknownPartition {
        /// The source.
        name: String,
        /// The partition asked for.
        partition: String,
        /// Those that there are.
        known: String,
    },
    /// A reader cannot start at a position.
    #[error("{name} cannot be read from row {row}: {reason}")]
    BadPosition {
        /// The source or file.
        name: String,
        /// The row of the position, from 0.
        row: u64,
        /// Why not.
        reason: String,
    },
    /// A sink that takes only inserts was given updates or deletes.
    #[error("{name} takes only inserted rows; it was given updates or deletes")]
    ChangesRefused {
        /// The sink.
        name: String,
    },
    /// A sink is used out of its life cycle.
    #[error("{name}: {reason}")]
    LifeCycle {
        /// The sink.
        name: String,
        /// What was done too early, too late or twice.
        reason: String,
    },
    /// A staged part is not there when its epoch is committed.
    #[error("{name}: the part {} of epoch {epoch} is gone", part.display())]
    PartMissing {
        /// The sink.
        name: String,
        /// The part.
        part: PathBuf,
        /// Its epoch.
        epoch: Epoch,
    },
    /// An output folder holds files of another run.
    #[error("{} already holds {found}; name an empty folder, or remove the old output", path.display())]
    OutputExists {
        /// The folder.
        path: PathBuf,
        /// A file found there.
        found: String,
    },
    /// Another job writes the same output.
    #[error("{} is being written by another job", path.display())]
    OutputBusy {
        /// The file or folder.
        path: PathBuf,
    },
    /// A sink cannot go on after a crash, so a job with checkpoints cannot write there.
    #[error(
        "{name} cannot be taken up again after a crash: {reason}; write to a disk, or without checkpoints"
    )]
    NotRecoverable {
        /// The sink.
        name: String,
        /// Why not.
        reason: String,
    },
    /// No connector has this kind.
    #[error("unknown {what} kind \"{kind}\"{near}; kinds: {known}")]
    UnknownKind {
        /// `source` or `sink`.
        what: &'static str,
        /// The kind asked for.
        kind: String,
        /// `; did you mean "csv"?`, or nothing.
        near: String,
        /// The kinds that there are.
        known: String,
    },
    /// An option of a connector is missing, unknown or has a value that means nothing.
    #[error("{kind}: option \"{option}\": expected {expected}, found {found}")]
    BadOption {
        /// The connector's kind.
        kind: String,
        /// The option.
        option: String,
        /// What would be right.
        expected: String,
        /// What was given.
        found: String,
    },
    /// Arrow could not build or convert a batch.
    #[error("{name}: {source}")]
    Arrow {
        /// The source or sink.
        name: String,
        /// What Arrow said.
        source: ArrowError,
    },
    /// Rows of a morsel could not be brought to the host or together.
    #[error("{name}: {source}")]
    Morsel {
        /// The sink.
        name: String,
        /// What failed.
        source: MorselError,
    },
    /// The reader that an application handed in failed.
    #[error("{name}: the record batch reader failed: {source}")]
    Reader {
        /// The source.
        name: String,
        /// What it said.
        source: ArrowError,
    },
}

impl ConnectError {
    /// An error of the operating system about a path; or the error that [`ConnectError::into_io`] has put
    /// into `source`, which says more.
    pub fn io(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        source.downcast().unwrap_or_else(|source| Self::Io { action, path: path.into(), source })
    }

    /// The same error for an interface that knows only errors of I/O. [`ConnectError::io`] takes it out. What
    /// reads through a decoder tells by it what the store said from what the decoder says.
    ///
    /// ```
    /// # use sabot_connect::ConnectError;
    /// let error = ConnectError::Changed { path: "s3://bucket/a.csv".into(), offset: 7 };
    /// let through = ConnectError::io("read", "a.csv", error.into_io());
    /// assert!(matches!(through, ConnectError::Changed { offset: 7, .. }));
    /// let lost = ConnectError::io("read", "s3://bucket/a.csv", std::io::ErrorKind::TimedOut.into());
    /// let through = lost.into_io();
    /// assert_eq!(through.kind(), std::io::ErrorKind::TimedOut);
    /// assert!(ConnectError::io("decode", "a.csv", through).to_string().starts_with("cannot read s3://bucket/"));
    /// ```
    pub fn into_io(self) -> io::Error {
        let kind = match &self {
            Self::Io { source, .. } => source.kind(),
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, self)
    }

    /// An error of Arrow in a source or sink.
    pub fn arrow(name: impl Into<String>, source: ArrowError) -> Self {
        Self::Arrow { name: name.into(), source }
    }
}
