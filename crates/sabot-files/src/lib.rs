//! Parquet and CSV files as sources and sinks.
//!
//! Sources read a file as one partition, from any position; sinks stage what they write under hidden
//! names and make it visible by renaming. This crate alone knows the file formats' libraries.
#![forbid(unsafe_code)]

mod ahead;
pub mod csv;
mod output;
pub mod parquet;
mod paths;
mod registry;
#[cfg(test)]
mod testing;

pub use self::csv::{CsvOptions, CsvSink, CsvSource};
pub use self::parquet::{ParquetSink, ParquetSource};
pub use self::registry::register;
