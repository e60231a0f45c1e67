//! The few things that file sinks do to the disk on which they stage.

use sabot_connect::ConnectError;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;

use super::names::Hidden;

/// Removes a file; that it is not there is as good.
pub(super) fn remove_if_there(path: &Path) -> Result<(), ConnectError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(ConnectError::io("remove", path, error)),
        _ => Ok(()),
    }
}

/// An empty file, its existence safe as soon as its folder is.
pub(super) fn create_empty(path: &Path) -> Result<(), ConnectError> {
    File::create(path)
        .and_then(|file| file.sync_all())
        .map_err(|error| ConnectError::io("create", path, error))
}

/// The names of the hidden files in a folder that start with `prefix`, and what they mean.
pub(super) fn hidden_files(
    folder: &Path,
    prefix: &str,
) -> Result<Vec<(String, Option<Hidden>)>, ConnectError> {
    let list = |error| ConnectError::io("list", folder, error);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(list)? {
        let name = entry.map_err(list)?.file_name().to_string_lossy().into_owned();
        let hidden = name.strip_prefix(prefix).map(Hidden::parse);
        found.extend(hidden.map(|hidden| (name, hidden)));
    }
    Ok(found)
}
