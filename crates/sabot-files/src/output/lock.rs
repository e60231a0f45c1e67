//! One job at a time for an output.

use sabot_connect::ConnectError;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// A lock on a hidden file, held while a run writes an output. The operating system gives it up when the
/// process dies, so a killed job blocks nobody; the file itself goes with the lock.
#[derive(Debug)]
pub(super) struct OutputLock {
    path: PathBuf,
    file: File,
}

impl OutputLock {
    /// Takes the lock of the output that messages call `name`.
    pub(super) fn take(path: PathBuf, name: &str) -> Result<Self, ConnectError> {
        loop {
            let file = File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)
                .map_err(|error| ConnectError::io("create", &path, error))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(ConnectError::OutputBusy { path: PathBuf::from(name) });
                }
                // Some network file systems have no locks; there the user must keep jobs apart.
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
                Err(TryLockError::Error(error)) => return Err(ConnectError::io("lock", &path, error)),
            }
            // The holder before may have removed the file between the opening and the locking. Then this
            // lock is on a file that nobody else can find, and must be taken again.
            if is_still_at(&file, &path) {
                return Ok(Self { path, file });
            }
        }
    }

    /// Gives the lock up as a process that dies does: the file stays.
    #[cfg(test)]
    pub(super) fn die(self) {
        self.file.unlock().unwrap();
        std::mem::forget(self);
    }
}

#[cfg(unix)]
fn is_still_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), fs::metadata(path)) {
        (Ok(held), Ok(found)) => (held.dev(), held.ino()) == (found.dev(), found.ino()),
        _ => false,
    }
}

/// Elsewhere a file that is open cannot be removed.
#[cfg(not(unix))]
fn is_still_at(_file: &File, _path: &Path) -> bool {
    true
}

impl Drop for OutputLock {
    fn drop(&mut self) {
        // Removed while still locked; a failure leaves an empty hidden file and harms nobody.
        let _ = fs::remove_file(&self.path);
        let _ = self.file.unlock();
    }
}
