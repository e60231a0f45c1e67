//! The few things that file sinks do to a disk.

use sabot_connect::ConnectError;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;

/// Renames, replacing what has the name.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), ConnectError> {
    fs::rename(from, to).map_err(|error| ConnectError::io("rename to", to, error))
}

/// Removes a file; that it is not there is as good.
pub(super) fn remove_if_there(path: &Path) -> Result<(), ConnectError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(ConnectError::io("remove", path, error)),
        _ => Ok(()),
    }
}

/// Makes renames in a folder survive a loss of power. Where folders cannot be opened as files, as on
/// Windows, the file system does that by itself.
pub(super) fn sync_folder(folder: &Path) -> Result<(), ConnectError> {
    if cfg!(not(unix)) {
        return Ok(());
    }
    File::open(folder)
        .and_then(|handle| handle.sync_all())
        .map_err(|error| ConnectError::io("flush", folder, error))
}

/// Removes hidden files that an earlier run has left, but neither the lock nor parts that are kept.
pub(super) fn remove_left_overs(
    folder: &Path,
    prefix: &str,
    lock: &Path,
    kept: &BTreeSet<&String>,
) -> Result<(), ConnectError> {
    let list = |error| ConnectError::io("list", folder, error);
    for entry in fs::read_dir(folder).map_err(list)? {
        let path = entry.map_err(list)?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with(prefix) && path != lock && !kept.contains(&name) {
            remove_if_there(&path)?;
        }
    }
    Ok(())
}

/// Refuses a folder that holds files named like output: mixed with those of this run, nobody could tell
/// them apart.
pub(super) fn refuse_old_output(folder: &Path, extension: &str) -> Result<(), ConnectError> {
    let list = |error| ConnectError::io("list", folder, error);
    for entry in fs::read_dir(folder).map_err(list)? {
        let name = entry.map_err(list)?.file_name().to_string_lossy().into_owned();
        let stem = name.strip_suffix(extension).and_then(|rest| rest.strip_suffix('.'));
        let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if stem.is_some_and(|stem| stem.contains('-') && stem.split('-').all(number)) {
            return Err(ConnectError::OutputExists { path: folder.to_owned(), found: name });
        }
    }
    Ok(())
}
