//! Newline-delimited JSON as source and sink: one object a line.

mod encode;
mod infer;
mod object;
mod sink;
mod source;
#[cfg(test)]
mod tests;

pub use source::NdjsonOptions;

pub(crate) use object::{items, members, value};

#[cfg(test)]
pub(crate) use source::{NdjsonFormat, NdjsonSplitter};

/// Extensions that mean the format, and are read when a folder is named.
pub(crate) const EXTENSIONS: &[&str] = &["ndjson", "jsonl"];
