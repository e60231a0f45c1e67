//! The few things that file sinks do to the disk on which they stage.

use sabot_connect::ConnectError;
use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// Removes a file; that it is not there is as good.
pub(super) fn remove_if_there(path: &Path) -> Result<(), ConnectError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(ConnectError::io("remove", path, error)),
        _ => Ok(()),
    }
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
