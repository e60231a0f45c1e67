//! Arrow IPC as source and sink: files (`.arrow`, `.ipc`, `.feather`) and streams (`.arrows`).
//!
//! A file is a stream between a magic word and a footer that repeats where its messages lie. Both are read
//! from front to back, message by message, so that a pipe can be read too, and so that no length that a
//! broken file states is believed before the bytes are there.

mod messages;
mod sink;
mod source;
#[cfg(test)]
mod tests;
mod words;

use arrow::error::ArrowError;
use sabot_connect::ConnectError;
use std::path::Path;

/// Extensions that mean the format, and are read when a folder is named.
pub(crate) const EXTENSIONS: &[&str] = &["arrow", "arrows", "ipc", "feather"];

fn corrupt(path: &Path, reason: impl ToString) -> ConnectError {
    ConnectError::Corrupt { path: path.to_owned(), format: "Arrow", reason: reason.to_string() }
}

/// What the Arrow library said about a file.
fn arrow_error(path: &Path, error: ArrowError) -> ConnectError {
    match error {
        ArrowError::IoError(_, error) => ConnectError::io("write", path, error),
        other => corrupt(path, other),
    }
}
