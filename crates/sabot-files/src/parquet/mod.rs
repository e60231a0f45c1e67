//! Parquet files as source and sink.

mod group;
mod reader;
mod sink;
mod source;
mod stats;
#[cfg(test)]
mod tests;

use parquet::errors::ParquetError;
use sabot_connect::ConnectError;
use std::path::Path;

/// Extensions that mean the format, and are read when a folder is named.
pub(crate) const EXTENSIONS: &[&str] = &["parquet", "pq"];

/// What the Parquet library said about a file, with `place` inside it.
fn parquet_error(path: &Path, place: &str, error: ParquetError) -> ConnectError {
    match error {
        ParquetError::External(inner) if inner.is::<std::io::Error>() => {
            match inner.downcast::<std::io::Error>() {
                Ok(io) => ConnectError::io("read", path, *io),
                Err(other) => corrupt(path, place, &other.to_string()),
            }
        }
        other => corrupt(path, place, &other.to_string()),
    }
}

fn corrupt(path: &Path, place: &str, reason: &str) -> ConnectError {
    ConnectError::Corrupt { path: path.to_owned(), format: "Parquet", reason: format!("{place}: {reason}") }
}
