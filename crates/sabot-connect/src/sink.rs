//! The life cycle of a sink: open a writer for each task, write, stage an epoch, commit it.
//!
//! The invariant: rows become part of the output by [`Sink::commit`] of their epoch and in no other way
//! (channels, which deliver at once, say so), a commit may be repeated, and after [`Sink::abort`]
//! nothing of what was not committed remains.
//!
//! A job with checkpoints can go on after its process has died. It says so by [`Sink::resume`], and then
//! what was staged outlives the process: a checkpoint may name it. Before rows are written, whoever goes
//! on commits what the last checkpoint names and lets [`Sink::clean`] remove the rest.

use arrow::datatypes::{Field, SchemaRef};
use arrow::record_batch::RecordBatch;
use sabot_batch::Morsel;
use sabot_common::Epoch;
use sabot_expr::type_name;
use serde::{Deserialize, Serialize};
use std::fmt::Debug;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::ConnectError;

/// Whether the order of rows is part of what a sink keeps.
///
/// ```
/// # use sabot_connect::{CollectSink, Sink, SinkOrder, output_channel};
/// assert_eq!(CollectSink::new("rows").0.order(), SinkOrder::Ordered);
/// assert_eq!(output_channel("rows", 1).0.order(), SinkOrder::Multiset);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SinkOrder {
    /// It is: the runtime merges tasks into the defined order and opens one writer. Files, `collect`.
    Ordered,
    /// It is not: every task writes as it goes. Channels, folders.
    Multiset,
}

/// What a task has staged for an epoch: data that a commit record can hold, and enough to commit with.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Committable {
    /// The epoch.
    pub epoch: Epoch,
    /// The task that staged it.
    pub task: u32,
    /// The rows of the epoch, for the record.
    pub rows: u64,
    /// What was staged, in the words of the connector: the file names of parts. Empty when there is
    /// nothing to commit.
    pub parts: Vec<String>,
}

/// Where rows go.
///
/// ```
/// # use arrow::array::{ArrayRef, Int64Array, RecordBatch};
/// # use sabot_common::Epoch;
/// # use sabot_connect::{CollectSink, Sink, SinkOrder};
/// # use std::sync::Arc;
/// # let batch = RecordBatch::try_from_iter([("a", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef)])?;
/// let (sink, rows) = CollectSink::new("result");
/// assert_eq!((sink.name().as_str(), sink.order(), sink.accepts_changes()), ("result", SinkOrder::Ordered, false));
///
/// let mut writer = sink.open(batch.schema(), 0)?;
/// writer.write(&batch.clone().into())?;
/// let staged = writer.stage(Epoch::FIRST)?;
/// sink.commit(Epoch::FIRST, &[staged])?;
/// sink.finish()?;
/// sink.abort()?; // too late to take anything back
/// assert_eq!(rows.take(), [batch.clone()]);
///
/// // A job with checkpoints, which fails before it can commit what its last checkpoint names.
/// assert!(sink.is_transactional());
/// sink.resume(batch.schema())?;
/// assert!(!sink.visible_after(Epoch(0))?);
/// sink.clean(1)?;
/// let mut writer = sink.open(batch.schema(), 0)?;
/// writer.write(&batch.clone().into())?;
/// let named = writer.stage(Epoch(2))?;
/// writer.write(&batch.clone().into())?;
/// let lost = writer.stage(Epoch(3))?;
/// sink.release()?; // or abort, where no other run follows in this process
///
/// // It goes on from there.
/// sink.resume(batch.schema())?;
/// sink.commit(Epoch(2), &[named])?;
/// sink.clean(2)?;
/// sink.commit(Epoch(3), &[lost])?; // nothing of it is left
/// assert_eq!(rows.take(), [batch]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Sink: Debug + Send + Sync {
    /// The name for messages: a path, a channel's name.
    fn name(&self) -> String;

    /// Whether the order of rows matters here.
    fn order(&self) -> SinkOrder;

    /// Whether the sink takes updates and deletes.
    fn accepts_changes(&self) -> bool;

    /// Whether rows become visible by commit alone. Where they do not, as in a channel or on the standard
    /// output, they are there as soon as they are written, and after a crash those since the last
    /// checkpoint come a second time.
    fn is_transactional(&self) -> bool {
        true
    }

    /// A job with checkpoints takes the sink for rows of this schema. Called once before anything else of
    /// a run: before what the checkpoint names is committed or finished, before [`Sink::visible_after`],
    /// [`Sink::clean`] and [`Sink::open`]. A sink that lives longer than a run is resumed again for the
    /// next, after [`Sink::abort`] or [`Sink::finish`].
    ///
    /// It takes the output for this run, removes nothing, and does not refuse a folder that holds output.
    /// From now on abort removes nothing either: what is staged may be named by a checkpoint.
    ///
    /// # Errors
    /// [`ConnectError::OutputBusy`] when another job writes there, [`ConnectError::NotRecoverable`] when
    /// what is staged there goes with the process; [`ConnectError`] when the sink cannot take the schema,
    /// or the medium refuses.
    fn resume(&self, _schema: SchemaRef) -> Result<(), ConnectError> {
        Ok(())
    }

    /// Whether output of an epoch after this one is visible, or committed. A sink that cannot tell says no.
    ///
    /// A job without a checkpoint asks for `Epoch(0)`, and must not begin where the answer is yes: what is
    /// there is of another run, which [`Sink::clean`] could not tell from its own.
    ///
    /// # Errors
    /// [`ConnectError`] when that cannot be found out.
    fn visible_after(&self, _epoch: Epoch) -> Result<bool, ConnectError> {
        Ok(false)
    }

    /// A generation of the job has taken over, and all before it can commit no more: removes what they
    /// have staged and not committed, unfinished parts among it. What is committed stays, and so do parts
    /// of this generation and of later ones. What is staged from now on belongs to this generation.
    /// Doing it again changes nothing.
    ///
    /// # Errors
    /// [`ConnectError`] when something could not be removed, or [`Sink::resume`] was not called; the call
    /// may then be repeated.
    fn clean(&self, _generation: u64) -> Result<(), ConnectError> {
        Ok(())
    }

    /// Opens the writer of a task. All tasks are opened before the first row is written.
    ///
    /// # Errors
    /// [`ConnectError`] when the sink cannot take the schema, the task is open already, or the medium
    /// refuses.
    fn open(&self, schema: SchemaRef, task: u32) -> Result<Box<dyn SinkWriter>, ConnectError>;

    /// Makes an epoch part of the output. Doing it again for the same epoch changes nothing.
    ///
    /// After [`Sink::resume`] it may come many times while rows are written, and `staged` may hold parts of
    /// other epochs: of earlier ones that were given up, and of the next one where a task has ended. All of
    /// them become part of the output, each under its own epoch.
    ///
    /// # Errors
    /// [`ConnectError`] when the medium refuses; the call may then be repeated.
    fn commit(&self, epoch: Epoch, staged: &[Committable]) -> Result<(), ConnectError>;

    /// The job ended well and every epoch is committed: a one-file sink's file appears. Idempotent.
    ///
    /// # Errors
    /// [`ConnectError`] when the medium refuses; the call may then be repeated.
    fn finish(&self) -> Result<(), ConnectError>;

    /// The job failed or was dropped: what was not committed is removed, and a one-file sink leaves no
    /// file. After [`Sink::resume`] nothing is removed, and the output is free for whoever goes on.
    /// Idempotent, and harmless after [`Sink::finish`].
    ///
    /// # Errors
    /// [`ConnectError`] when something could not be removed.
    fn abort(&self) -> Result<(), ConnectError>;

    /// A run of a job with checkpoints has failed, and another one follows in this process unless [`Sink::abort`] is
    /// called: what the run had taken is let go of, and whoever waits for rows goes on waiting. Idempotent.
    ///
    /// # Errors
    /// As [`Sink::abort`].
    fn release(&self) -> Result<(), ConnectError> {
        self.abort()
    }
}

/// One task's end of a sink. Dropping it without [`SinkWriter::close`] means that the task failed.
pub trait SinkWriter: Send {
    /// Whether the next [`SinkWriter::write`] will find room. `Ready` reserves that room for this
    /// writer; `Pending` wakes the waker when there is some.
    ///
    /// # Errors
    /// [`ConnectError::ChannelClosed`] when nobody will ever read.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>>;

    /// Writes the live rows of a morsel that is on the host.
    ///
    /// # Errors
    /// [`ConnectError`] when the rows do not fit the schema, or the medium refuses.
    fn write(&mut self, morsel: &Morsel) -> Result<(), ConnectError>;

    /// Ends the epoch: everything written since the last stage is made durable, but not yet visible.
    ///
    /// # Errors
    /// [`ConnectError`] when the medium refuses.
    fn stage(&mut self, epoch: Epoch) -> Result<Committable, ConnectError>;

    /// No more rows come from this task; receivers see the end once every task has closed.
    fn close(&mut self);
}

/// Refuses a morsel with updates or deletes, for sinks that take inserts alone.
///
/// # Errors
/// [`ConnectError::ChangesRefused`] naming the sink.
pub fn refuse_changes(name: &str, morsel: &Morsel) -> Result<(), ConnectError> {
    match morsel.kinds().is_append_only() {
        true => Ok(()),
        false => Err(ConnectError::ChangesRefused { name: name.to_owned() }),
    }
}

/// The live rows of a morsel of inserts, without gaps.
///
/// ```
/// # use arrow::array::{ArrayRef, Int64Array, RecordBatch};
/// # use sabot_batch::{Morsel, Selection};
/// # use sabot_connect::dense_rows;
/// # let batch = RecordBatch::try_from_iter([("a", std::sync::Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef)])?;
/// let morsel = Morsel::new(batch).with_selection(Selection::from_words(vec![0b10], 2))?;
/// assert_eq!(dense_rows("out.csv", &morsel)?.num_rows(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`ConnectError::ChangesRefused`] for updates and deletes, [`ConnectError::Morsel`] when rows cannot be
/// brought together.
pub fn dense_rows(name: &str, morsel: &Morsel) -> Result<RecordBatch, ConnectError> {
    refuse_changes(name, morsel)?;
    morsel.clone().into_dense_host().map_err(|source| ConnectError::Morsel { name: name.to_owned(), source })
}

/// Checks that a batch has the columns, by name and type, that were promised. Metadata and nullability
/// are not compared: they change no value.
///
/// ```
/// # use arrow::datatypes::{DataType, Field, Schema};
/// # use sabot_connect::check_schema;
/// let of = |data_type| Schema::new(vec![Field::new("a", data_type, true)]).into();
/// let error = check_schema("out.csv", &of(DataType::Int64), &of(DataType::Utf8)).unwrap_err();
/// assert_eq!(error.to_string(), "out.csv: column 1: expected \"a\" int64, got \"a\" utf8");
/// ```
///
/// # Errors
/// [`ConnectError::SchemaMismatch`] with the first difference.
pub fn check_schema(name: &str, wanted: &SchemaRef, found: &SchemaRef) -> Result<(), ConnectError> {
    if Arc::ptr_eq(wanted, found) {
        return Ok(());
    }
    let mismatch = |difference| Err(ConnectError::SchemaMismatch { name: name.to_owned(), difference });
    let (columns, given) = (wanted.fields().len(), found.fields().len());
    if columns != given {
        return mismatch(format!("expected {columns} columns, got {given}"));
    }
    for (i, (want, got)) in wanted.fields().iter().zip(found.fields()).enumerate() {
        if want.name() != got.name() || want.data_type() != got.data_type() {
            let shown = |f: &Field| format!("\"{}\" {}", f.name(), type_name(f.data_type()));
            return mismatch(format!("column {}: expected {}, got {}", i + 1, shown(want), shown(got)));
        }
    }
    Ok(())
}
