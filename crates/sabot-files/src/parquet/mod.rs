//! Parquet files as source and sink.

mod chunks;
mod group;
mod reader;
mod sink;
mod source;
mod stats;
#[cfg(test)]
mod tests;

use parquet::errors::ParquetError;
use sabot_connect::ConnectError;
use std::io;
use std::path::Path;

/// Extensions that mean the format, and are read when a folder is named.
pub(crate) const EXTENSIONS: &[&str] = &["parquet", "pq"];

/// What the Parquet library said about a file, with `place` inside it.
fn parquet_error(path: &Path, place: &str, error: ParquetError) -> ConnectError {
    let inner = match error {
        ParquetError::External(inner) => inner,
        other => return corrupt(path, place, &other.to_string()),
    };
    match inner.downcast::<ConnectError>().map_err(|inner| inner.downcast::<io::Error>()) {
        Ok(by_store) => *by_store,
        Err(Ok(error)) => ConnectError::io("read", path, *error),
        Err(Err(other)) => corrupt(path, place, &other.to_string()),
    }
}

fn corrupt(path: &Path, place: &str, reason: &str) -> ConnectError {
    ConnectError::Corrupt { path: path.to_owned(), format: "Parquet", reason: format!("{place}: {reason}") }
}
