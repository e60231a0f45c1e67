//! Files as sources and sinks: CSV, NDJSON, Arrow IPC and Parquet.
//!
//! A source reads a file as one partition, from any position; a folder or a pattern is a source of several.
//! A sink stages what it writes under hidden names and makes it visible by renaming. Records of text that
//! cannot be read are an error, or dead letters in a file of their own. This crate alone knows the file
//! formats' libraries.
#![forbid(unsafe_code)]

mod ahead;
mod arrow_ipc;
mod columns_text;
mod compression;
mod csv;
mod dead_letters;
mod disk;
mod input;
mod location;
mod ndjson;
mod not_null;
mod output;
mod parquet;
mod paths;
mod reader;
mod registry;
mod source;
#[cfg(test)]
mod testing;
mod text;
#[cfg(test)]
mod type_tests;

pub use self::columns_text::{columns_text, names_text, parse_columns};
pub use self::compression::Compression;
pub use self::csv::CsvOptions;
pub use self::dead_letters::DeadLetterOptions;
pub use self::location::{DiskOnly, Location};
pub use self::ndjson::NdjsonOptions;
pub use self::output::FileSink;
pub use self::registry::register;
pub use self::source::FileSource;
pub use self::text::TextOptions;
