//! The local disk as a store.

use bytes::Bytes;
use sabot_connect::{Blob, ByteStream, ConnectError, Entry, Found, Store};
use std::fs::{self, File, Metadata};
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::paths::parent;

/// The files of this machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Disk;

impl Store for Disk {
    fn look(&self, path: &Path) -> Result<Option<Found>, ConnectError> {
        match fs::metadata(path) {
            Ok(metadata) => Ok(Some(found(path, &metadata))),
            Err(error) if is_absence(&error) => Ok(None),
            Err(error) => Err(ConnectError::io("open", path, error)),
        }
    }

    fn list(&self, folder: &Path) -> Result<Vec<Entry>, ConnectError> {
        let failed = |error| ConnectError::io("list", folder, error);
        let here = if folder == Path::new("") { Path::new(".") } else { folder };
        let entries = match fs::read_dir(here) {
            Err(error) if is_absence(&error) => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let mut list = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let path = folder.join(entry.file_name());
            let linked = entry.file_type().map_err(failed)?.is_symlink();
            // A link that leads nowhere, or a file that has gone meanwhile, is not there.
            if let Ok(metadata) = fs::metadata(&path) {
                list.push(Entry { name: entry.file_name(), found: found(&path, &metadata), linked });
            }
        }
        Ok(list)
    }

    fn check_output(&self, kind: &str, path: &Path) -> Result<(), ConnectError> {
        let text = path.to_string_lossy();
        if text.ends_with(std::path::is_separator) {
            return Ok(());
        }
        if path.is_dir() {
            return Err(ConnectError::BadOption {
                kind: kind.to_owned(),
                option: "path".to_owned(),
                expected: format!("a file, but it is a folder; for files in it write \"{text}/\""),
                found: format!("\"{text}\""),
            });
        }
        let folder = parent(path);
        if !folder.is_dir() {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let hint = format!("create the folder before writing {name}");
            return Err(ConnectError::NotFound { path: folder, hint });
        }
        Ok(())
    }

    fn on_disk(&self, folder: &Path) -> Option<PathBuf> {
        Some(folder.to_owned())
    }

    fn publish(&self, file: &Path, path: &Path) -> Result<(), ConnectError> {
        fs::rename(file, path).map_err(|error| ConnectError::io("rename to", path, error))
    }

    /// Where folders cannot be opened as files, as on Windows, the file system does that by itself.
    fn settle(&self, folder: &Path) -> Result<(), ConnectError> {
        if cfg!(not(unix)) {
            return Ok(());
        }
        File::open(folder)
            .and_then(|handle| handle.sync_all())
            .map_err(|error| ConnectError::io("flush", folder, error))
    }
}

fn found(path: &Path, metadata: &Metadata) -> Found {
    match metadata {
        folder if folder.is_dir() => Found::Folder,
        file if file.is_file() => Found::Blob(Arc::new(DiskFile(path.into()))),
        _ => Found::Once,
    }
}

/// Whether nothing is at a path: also not the folder that it should be in.
fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// The bytes of a file of this machine.
pub(crate) fn stream(path: &Path) -> Result<Box<dyn ByteStream>, ConnectError> {
    DiskFile(path.into()).stream(0)
}

/// A file, opened whenever it is read.
#[derive(Debug)]
struct DiskFile(Arc<Path>);

impl DiskFile {
    fn opened(&self) -> Result<OpenFile, ConnectError> {
        let file = File::open(&self.0).map_err(|error| ConnectError::io("open", &*self.0, error))?;
        Ok(OpenFile { path: self.0.clone(), file })
    }
}

impl Blob for DiskFile {
    fn length(&self) -> Result<u64, ConnectError> {
        let metadata = fs::metadata(&self.0).map_err(|error| ConnectError::io("open", &*self.0, error))?;
        Ok(metadata.len())
    }

    fn stream(&self, from: u64) -> Result<Box<dyn ByteStream>, ConnectError> {
        let mut file = self.opened()?.file;
        if from > 0 {
            file.seek(SeekFrom::Start(from)).map_err(|error| ConnectError::io("read", &*self.0, error))?;
        }
        Ok(Box::new(FileStream(file)))
    }

    fn range(&self, range: Range<u64>) -> Result<Bytes, ConnectError> {
        self.opened()?.range(range)
    }

    /// The operating system reads ahead by itself; a handle of its own is all that a reader needs.
    fn prepared(&self, _ranges: &[Range<u64>]) -> Result<Arc<dyn Blob>, ConnectError> {
        Ok(Arc::new(self.opened()?))
    }

    fn is_remote(&self) -> bool {
        false
    }
}

/// A file that is open. Its streams and ranges share one place in the file, so one thread reads it, and one
/// stream at a time.
#[derive(Debug)]
struct OpenFile {
    path: Arc<Path>,
    file: File,
}

impl OpenFile {
    fn handle_at(&self, offset: u64) -> io::Result<File> {
        let mut handle = self.file.try_clone()?;
        handle.seek(SeekFrom::Start(offset))?;
        Ok(handle)
    }

    fn read_error(&self, error: io::Error) -> ConnectError {
        ConnectError::io("read", &*self.path, error)
    }
}

impl Blob for OpenFile {
    fn length(&self) -> Result<u64, ConnectError> {
        self.file.metadata().map(|metadata| metadata.len()).map_err(|error| self.read_error(error))
    }

    fn stream(&self, from: u64) -> Result<Box<dyn ByteStream>, ConnectError> {
        let handle = self.handle_at(from).map_err(|error| self.read_error(error))?;
        Ok(Box::new(BufReader::new(FileStream(handle))))
    }

    fn range(&self, range: Range<u64>) -> Result<Bytes, ConnectError> {
        let wanted = range.end.saturating_sub(range.start);
        let mut bytes = Vec::with_capacity(usize::try_from(wanted).unwrap_or(0));
        let read = self.handle_at(range.start).and_then(|from| from.take(wanted).read_to_end(&mut bytes));
        match read.map_err(|error| self.read_error(error))? as u64 {
            all if all == wanted => Ok(bytes.into()),
            _ => Err(self.read_error(ErrorKind::UnexpectedEof.into())),
        }
    }

    fn prepared(&self, ranges: &[Range<u64>]) -> Result<Arc<dyn Blob>, ConnectError> {
        DiskFile(self.path.clone()).prepared(ranges)
    }

    fn is_remote(&self) -> bool {
        false
    }
}

struct FileStream(File);

impl Read for FileStream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl ByteStream for FileStream {
    fn skip(&mut self, bytes: u64) -> io::Result<u64> {
        let left = self.0.metadata()?.len().saturating_sub(self.0.stream_position()?);
        let skipped = bytes.min(left);
        self.0.seek(SeekFrom::Current(i64::try_from(skipped).unwrap_or(i64::MAX)))?;
        Ok(skipped)
    }
}
