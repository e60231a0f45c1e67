//! Files as sinks: staged under hidden names, visible by renaming.
//!
//! A path with an extension is one file. What is written is staged in parts beside it, named
//! `.<file>.sabot-<task>-<n>`, and the file appears whole when the job has ended well: one part is
//! renamed, several are joined. A path that ends in `/` is a folder of `<epoch>-<task>.<extension>`,
//! each file of which appears when its epoch is committed. `-` is the standard output, where rows stand at
//! once, as in a channel.
//!
//! Where the output is no folder of a disk, parts are staged on the disk all the same, in a folder of their own,
//! and become visible by being sent: `docs/decisions/0035-outputs-are-staged-on-the-disk.md`.
//!
//! A sink is a format's [`Encoder`] and this life cycle, which is the same for all formats.
//!
//! The invariant: a file under its real name is complete and on the disk. Parts are flushed to the disk
//! before they are renamed, and the folder after. Whatever ends a job early (an abort, a dropped handle,
//! a killed process) leaves no file under a real name; hidden parts that a killed process leaves are
//! removed by the next job with the same output. Those of a job with checkpoints are not: it may go on from
//! them, as [`recover`] says.

mod disk;
mod lock;
mod names;
mod recover;
mod staging;
#[cfg(test)]
mod tests;
mod writer;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use sabot_common::Epoch;
use sabot_connect::{Committable, ConnectError, Entry, Sink, SinkOrder, SinkWriter, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Location;
use crate::compression::Compression;
use crate::disk::Disk;
use crate::input::STDIO;
use crate::paths::parent;
use disk::remove_if_there;
use lock::OutputLock;
use names::{Hidden, visible_epoch};
use recover::Resumed;
use staging::Staging;
use writer::FileWriter;

/// A file format that can be written.
pub(crate) trait Format: Debug + Send + Sync + 'static {
    /// The kind, as in messages and the registry.
    fn kind(&self) -> &'static str;

    /// The extension of files in folders.
    fn extension(&self) -> &'static str;

    /// Whether it is text, which is compressed as a whole.
    fn is_text(&self) -> bool;

    /// Whether rows can be read before the end of a file is written.
    fn streams(&self) -> bool {
        self.is_text()
    }

    /// Refuses columns that the format has no place for, by name.
    fn check(&self, _name: &str, _schema: &SchemaRef) -> Result<(), ConnectError> {
        Ok(())
    }

    /// An encoder into an empty file.
    fn encoder(
        &self,
        path: &Path,
        to: Box<dyn Destination>,
        schema: &SchemaRef,
    ) -> Result<Box<dyn Encoder>, ConnectError>;

    /// Writes the rows of several complete files of this format, in order, into an empty one.
    fn join(&self, parts: &Parts<'_>, to: Box<dyn Destination>)
    -> Result<Box<dyn Destination>, ConnectError>;
}

/// Complete files that are to become one.
pub(crate) struct Parts<'a> {
    pub(crate) paths: &'a [PathBuf],
    pub(crate) compression: Compression,
    pub(crate) schema: &'a SchemaRef,
    /// The file that they become, for messages.
    pub(crate) whole: &'a Path,
}

/// Writes batches into one file.
pub(crate) trait Encoder: Send {
    /// Writes the rows of a batch.
    fn write(&mut self, batch: &RecordBatch) -> Result<(), ConnectError>;

    /// Hands over what was written, as far as the format allows it before the end of a file.
    fn flush(&mut self) -> Result<(), ConnectError>;

    /// Ends the file and gives back where it went, with everything handed over.
    fn finish(self: Box<Self>) -> Result<Box<dyn Destination>, ConnectError>;
}

/// Where the bytes of a file go.
pub(crate) trait Destination: Write + Send {
    /// Ends the writing: everything is safe when this returns.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

impl Destination for File {
    fn finish(self: Box<Self>) -> io::Result<()> {
        self.sync_all()
    }
}

struct StandardOutput;

impl Write for StandardOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stdout().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}

impl Destination for StandardOutput {
    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.flush()
    }
}

/// Where the output goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// One file, in a folder.
    File { folder: PathBuf, name: String },
    /// A folder of files.
    Folder { folder: PathBuf },
    /// The standard output.
    Stdout,
}

impl Target {
    /// What a path means: a trailing `/` is a folder, an extension is a file.
    pub(crate) fn of(path: &Path, store: &dyn Store, format: &dyn Format) -> Result<Self, ConnectError> {
        let text = path.to_string_lossy();
        let bad = |expected: String| ConnectError::BadOption {
            kind: format.kind().to_owned(),
            option: "path".to_owned(),
            expected,
            found: format!("\"{text}\""),
        };
        if path == Path::new(STDIO) {
            return match format.streams() {
                true => Ok(Target::Stdout),
                false => Err(bad(format!("a file: {} has no place for rows before its end", format.kind()))),
            };
        }
        if text.ends_with(['/', std::path::MAIN_SEPARATOR]) {
            store.check_output(format.kind(), path)?;
            return Ok(Target::Folder { folder: path.to_owned() });
        }
        let extension = format.extension();
        let (Some(name), Some(_)) = (path.file_name(), path.extension()) else {
            return Err(bad(format!(
                "a file such as \"{text}.{extension}\", or a folder with a trailing slash, \"{text}/\""
            )));
        };
        store.check_output(format.kind(), path)?;
        let folder = parent(path);
        Ok(Target::File { folder, name: name.to_string_lossy().into_owned() })
    }

    fn folder(&self) -> &Path {
        match self {
            Target::File { folder, .. } | Target::Folder { folder } => folder,
            Target::Stdout => Path::new("."),
        }
    }

    /// What the names of everything hidden start with.
    fn hidden_prefix(&self) -> String {
        match self {
            Target::File { name, .. } => format!(".{name}.sabot-"),
            Target::Folder { .. } | Target::Stdout => ".sabot-".to_owned(),
        }
    }
}

/// Refuses a folder that holds files named like output: mixed with those of this run, nobody could tell
/// them apart.
fn refuse_old_output(store: &dyn Store, folder: &Path, extension: &str) -> Result<(), ConnectError> {
    for Entry { name, .. } in store.list(folder)? {
        // What is no text is not named like output.
        let Ok(name) = name.into_string() else { continue };
        if visible_epoch(&name, extension).is_some() {
            return Err(ConnectError::OutputExists { path: folder.to_owned(), found: name });
        }
    }
    Ok(())
}

/// A sink of one file, or of a folder of files if the path ends in `/`, or of the standard output, `-`.
///
/// One file appears whole when the job has ended well; files in a folder appear with their epoch. The file
/// that had the name before is there until then. What goes to the standard output is there at once, in
/// the order in which it comes, and what a job has written there before it failed remains.
///
/// Text whose name ends in `.gz` or `.zst` is compressed.
///
/// A job with checkpoints goes on after a crash, and its output is that of a run without one: one file, or a
/// folder. Until the file appears, the parts of it lie hidden beside it. A folder must keep the files of
/// an epoch until the next one is there. On the standard output rows after the last checkpoint come twice,
/// and object stores are refused.
///
/// The formats: [`FileSink::csv`], [`FileSink::ndjson`], [`FileSink::arrow`], [`FileSink::parquet`], or the
/// one that the extension names, [`FileSink::of_path`].
#[derive(Debug)]
pub struct FileSink {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    name: String,
    target: Target,
    store: Arc<dyn Store>,
    staging: Staging,
    format: Box<dyn Format>,
    compression: Compression,
    state: Mutex<State>,
}

/// What one run of a job has done with the sink. A new run begins with the first writer that is opened
/// after the last one ended.
#[derive(Debug, Default)]
struct State {
    running: Option<OutputLock>,
    schema: Option<SchemaRef>,
    tasks: BTreeSet<u32>,
    parts: u64,
    /// Every hidden part of this run that is still there.
    hidden: BTreeSet<String>,
    /// Parts of a one-file sink that belong to the output, by epoch and in the order of their tasks.
    committed: BTreeMap<Epoch, Vec<String>>,
    finished: bool,
    /// What a run with checkpoints knows besides. Such a run keeps its committed parts on the disk alone.
    resumed: Option<Resumed>,
}

impl FileSink {
    /// A sink for a path, compressed as its name says or as told.
    pub(crate) fn new(
        location: &Location,
        format: Box<dyn Format>,
        compression: Option<Compression>,
    ) -> Result<Self, ConnectError> {
        let (store, path) = match location.path() == Path::new(STDIO) {
            true => (Arc::new(Disk) as Arc<dyn Store>, PathBuf::from(STDIO)),
            false => location.resolve()?,
        };
        let target = Target::of(&path, &*store, &*format)?;
        let compression = compression.unwrap_or_else(|| Compression::of_path(&path));
        let refused = match &target {
            _ if compression == Compression::None => None,
            Target::Stdout => Some("none: the output can be piped through the tool"),
            _ if !format.is_text() => Some("none: the format compresses inside of the file"),
            _ => None,
        };
        if let Some(expected) = refused {
            return Err(ConnectError::BadOption {
                kind: format.kind().to_owned(),
                option: "compression".to_owned(),
                expected: expected.to_owned(),
                found: compression.to_string(),
            });
        }
        let name = location.path().display().to_string();
        let staging = Staging::of(&*store, target.folder());
        let shared = Shared { name, target, store, staging, format, compression, state: Mutex::default() };
        Ok(Self { shared: Arc::new(shared) })
    }
}

/// The name of a committed file in a folder.
fn visible_name(part: &Committable, i: usize, extension: &str) -> String {
    let more = if i == 0 { String::new() } else { format!("-{i}") };
    format!("{}-{}{more}.{extension}", part.epoch, part.task)
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state names what is on the disk and is changed after the disk: it is whole after a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn life_cycle(&self, reason: impl Into<String>) -> ConnectError {
        ConnectError::LifeCycle { name: self.name.clone(), reason: reason.into() }
    }

    /// What files in a folder end in.
    fn extension(&self) -> String {
        format!("{}{}", self.format.extension(), self.compression.suffix())
    }

    /// Whether rows are visible as soon as they are written.
    fn is_live(&self) -> bool {
        self.target == Target::Stdout
    }

    /// An encoder into a new file.
    fn encoder(&self, path: &Path, schema: &SchemaRef) -> Result<Box<dyn Encoder>, ConnectError> {
        self.format.encoder(path, self.create(path)?, schema)
    }

    fn create(&self, path: &Path) -> Result<Box<dyn Destination>, ConnectError> {
        let file: io::Result<Box<dyn Destination>> = match self.target {
            Target::Stdout => Ok(Box::new(StandardOutput)),
            _ => File::create(path).map(|file| Box::new(file) as Box<dyn Destination>),
        };
        file.and_then(|file| self.compression.compress(file))
            .map_err(|error| ConnectError::io("create", path, error))
    }

    /// Takes the output for a run, and removes what a killed one has left.
    fn begin(&self, state: &mut State) -> Result<(), ConnectError> {
        if matches!(self.target, Target::Stdout) {
            return Ok(());
        }
        self.staging.create()?;
        let lock = OutputLock::take(self.hidden(Hidden::Lock), &self.name)?;
        let kept: BTreeSet<&String> = state.committed.values().flatten().collect();
        // A job with checkpoints may go on with its files, and lose rows if they are gone.
        let is_kept = |hidden: Hidden| hidden == Hidden::Lock || hidden.is_recoverable();
        self.remove_hidden(|name, hidden| !hidden.is_some_and(is_kept) && !kept.contains(name))?;
        if let Target::Folder { folder } = &self.target {
            refuse_old_output(&*self.store, folder, &self.extension())?;
        }
        *state = State {
            running: Some(lock),
            committed: std::mem::take(&mut state.committed),
            ..State::default()
        };
        Ok(())
    }

    fn hidden(&self, hidden: Hidden) -> PathBuf {
        self.staging.folder().join(format!("{}{hidden}", self.target.hidden_prefix()))
    }

    /// Removes hidden files of this output, by name and meaning.
    fn remove_hidden(&self, goes: impl Fn(&String, Option<Hidden>) -> bool) -> Result<(), ConnectError> {
        let folder = self.staging.folder();
        let mut files = disk::hidden_files(folder, &self.target.hidden_prefix())?;
        files.retain(|(name, hidden)| goes(name, *hidden));
        files.iter().try_for_each(|(name, _)| remove_if_there(&folder.join(name)))
    }

    /// A name for a new part, known to the run from now on.
    fn new_part(&self, task: u32) -> Result<(String, PathBuf), ConnectError> {
        if self.is_live() {
            return Ok((String::new(), PathBuf::from(&self.name)));
        }
        let mut state = self.lock();
        let n = state.parts;
        let hidden = match &state.resumed {
            None => Hidden::Part { task, n },
            Some(run) => Hidden::Staged { generation: self.generation(run)?, task, n },
        };
        state.parts += 1;
        let path = self.hidden(hidden);
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        state.hidden.insert(name.clone());
        Ok((name, path))
    }

    fn drop_part(&self, name: &str) -> Result<(), ConnectError> {
        let known = self.lock().hidden.remove(name);
        if known { remove_if_there(&self.staging.folder().join(name)) } else { Ok(()) }
    }

    fn commit_to_folder(&self, part: &Committable, extension: &str) -> Result<(), ConnectError> {
        let folder = self.target.folder();
        for (i, name) in part.parts.iter().enumerate() {
            let visible = folder.join(visible_name(part, i, extension));
            let hidden = self.staging.folder().join(name);
            if hidden.exists() {
                self.store.publish(&hidden, &visible)?;
                remove_if_there(&hidden)?;
            } else if self.store.look(&visible)?.is_none() {
                return Err(self.missing(hidden, part.epoch));
            }
            self.lock().hidden.remove(name);
        }
        Ok(())
    }

    fn missing(&self, part: PathBuf, epoch: Epoch) -> ConnectError {
        ConnectError::PartMissing { name: self.name.clone(), part, epoch }
    }

    /// Makes the one file out of the committed parts.
    fn publish(&self, folder: &Path, name: &str, parts: &[String]) -> Result<(), ConnectError> {
        let paths: Vec<PathBuf> = parts.iter().map(|part| self.staging.folder().join(part)).collect();
        let whole = match paths.as_slice() {
            [only] => only.clone(),
            several => self.join(several)?,
        };
        self.store.publish(&whole, &folder.join(name))?;
        for path in paths.iter().chain([&whole]) {
            remove_if_there(path)?;
        }
        self.store.settle(folder)
    }

    /// Several parts as one, or a file without rows when there are none.
    fn join(&self, parts: &[PathBuf]) -> Result<PathBuf, ConnectError> {
        let Some(schema) = self.lock().schema.clone() else {
            return Err(self.life_cycle("it was never opened, so its columns are not known"));
        };
        let path = self.hidden(Hidden::Whole);
        let written = match parts {
            [] => self.encoder(&path, &schema)?.finish()?,
            paths => {
                let parts = Parts { paths, compression: self.compression, schema: &schema, whole: &path };
                self.format.join(&parts, self.create(&path)?)?
            }
        };
        written.finish().map_err(|error| ConnectError::io("flush", &path, error))?;
        Ok(path)
    }
}

impl Sink for FileSink {
    fn name(&self) -> String {
        self.shared.name.clone()
    }

    fn order(&self) -> SinkOrder {
        match self.shared.target {
            Target::File { .. } => SinkOrder::Ordered,
            // Whoever reads a pipe wants rows as they come.
            Target::Folder { .. } | Target::Stdout => SinkOrder::Multiset,
        }
    }

    fn accepts_changes(&self) -> bool {
        false
    }

    fn is_transactional(&self) -> bool {
        !self.shared.is_live()
    }

    fn resume(&self, schema: SchemaRef) -> Result<(), ConnectError> {
        self.shared.resume(schema)
    }

    fn visible_after(&self, epoch: Epoch) -> Result<bool, ConnectError> {
        self.shared.visible_after(epoch)
    }

    fn clean(&self, generation: u64) -> Result<(), ConnectError> {
        self.shared.clean(generation)
    }

    fn open(&self, schema: SchemaRef, task: u32) -> Result<Box<dyn SinkWriter>, ConnectError> {
        self.shared.format.check(&self.shared.name, &schema)?;
        let mut state = self.shared.lock();
        let resumed = self.shared.is_resumed(&state)?;
        if !resumed && state.running.is_none() {
            self.shared.begin(&mut state)?;
        }
        if !state.tasks.insert(task) {
            return Err(self.shared.life_cycle(format!("task {task} has a writer already")));
        }
        state.schema = Some(schema.clone());
        drop(state);
        Ok(Box::new(FileWriter::new(self.shared.clone(), schema, task, resumed)))
    }

    fn commit(&self, epoch: Epoch, staged: &[Committable]) -> Result<(), ConnectError> {
        let resumed = self.shared.is_resumed(&self.shared.lock())?;
        if resumed {
            return self.shared.commit_resumed(staged);
        }
        let mut staged: Vec<&Committable> = staged.iter().filter(|part| part.epoch == epoch).collect();
        staged.sort_by_key(|part| part.task);
        match &self.shared.target {
            Target::Stdout => Ok(()),
            Target::Folder { folder } => {
                for part in staged {
                    self.shared.commit_to_folder(part, &self.shared.extension())?;
                }
                self.shared.store.settle(folder)
            }
            Target::File { .. } => {
                let folder = self.shared.staging.folder();
                let mut state = self.shared.lock();
                if state.finished {
                    return Ok(());
                }
                let parts: Vec<String> = staged.iter().flat_map(|part| part.parts.iter().cloned()).collect();
                if let Some(gone) = parts.iter().map(|part| folder.join(part)).find(|path| !path.exists()) {
                    return Err(self.shared.missing(gone, epoch));
                }
                state.committed.insert(epoch, parts);
                Ok(())
            }
        }
    }

    fn finish(&self) -> Result<(), ConnectError> {
        let (parts, begun) = {
            let state = self.shared.lock();
            if state.finished {
                return Ok(());
            }
            if self.shared.is_resumed(&state)? {
                drop(state);
                return self.shared.finish_resumed();
            }
            let parts: Vec<String> = state.committed.values().flatten().cloned().collect();
            (parts, state.running.is_some())
        };
        if let Target::File { folder, name } = &self.shared.target
            && (begun || !parts.is_empty())
        {
            self.shared.publish(folder, name, &parts)?;
        }
        let mut state = self.shared.lock();
        for name in std::mem::take(&mut state.hidden) {
            remove_if_there(&self.shared.staging.folder().join(name))?;
        }
        *state = State { finished: true, ..State::default() };
        Ok(())
    }

    fn abort(&self) -> Result<(), ConnectError> {
        let mut state = self.shared.lock();
        if state.resumed.is_some() {
            recover::leave(&mut state);
            return Ok(());
        }
        let folder = self.shared.staging.folder();
        let committed = std::mem::take(&mut state.committed).into_values().flatten();
        let hidden: BTreeSet<String> =
            std::mem::take(&mut state.hidden).into_iter().chain(committed).collect();
        for name in hidden {
            remove_if_there(&folder.join(name))?;
        }
        if state.running.is_some() {
            remove_if_there(&self.shared.hidden(Hidden::Whole))?;
        }
        let finished = state.finished;
        *state = State { finished, ..State::default() };
        Ok(())
    }
}

impl Drop for FileSink {
    fn drop(&mut self) {
        // Nobody is left to tell of a failure; the next job with this output removes what remains.
        let _ = self.abort();
    }
}
