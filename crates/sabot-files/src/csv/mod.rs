//! CSV files as source and sink.

mod encode;
mod sink;
mod source;
mod split;
#[cfg(test)]
mod tests;

pub use source::CsvOptions;

#[cfg(test)]
pub(crate) use source::CsvFormat;
#[cfg(test)]
pub(crate) use split::CsvSplitter;

/// Extensions that mean the format, and are read when a folder is named.
pub(crate) const EXTENSIONS: &[&str] = &["csv"];
