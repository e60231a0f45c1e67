//! CSV files as source and sink.

mod columns;
mod decode;
mod encode;
mod infer;
mod sink;
mod source;
#[cfg(test)]
mod tests;

pub use sink::CsvSink;
pub use source::{CsvOptions, CsvSource};
