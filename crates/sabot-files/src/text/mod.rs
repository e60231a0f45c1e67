//! What the text formats have in common: records, columns, guesses, and reading with dead letters.
//!
//! A format says where records end ([`Splitter`]) and what a record means ([`RowParser`]). Everything else
//! (positions, batches, malformed records, projections) is done here once.

mod columns;
mod decode;
mod infer;
mod nested_columns;
mod nested_values;
mod records;
mod sink;
mod source;
#[cfg(test)]
mod tests;
mod values;

pub(crate) use columns::{Column, Json, expected};
pub(crate) use decode::{Fault, RowParser, TextFormat, shown};
pub(crate) use infer::Guess;
pub(crate) use nested_values::JsonCells;
#[cfg(test)]
pub(crate) use records::Records;
pub(crate) use records::Splitter;
pub(crate) use sink::{RowText, TextFiles};
pub(crate) use source::{TextSource, sample};
pub(crate) use values::{Style, TextCells, text_cells};

use arrow::datatypes::SchemaRef;

use crate::compression::Compression;
use crate::dead_letters::DeadLetterOptions;

/// What all text formats can be told.
#[derive(Clone, Debug, Default)]
pub struct TextOptions {
    /// The columns; inferred when `None`.
    pub schema: Option<SchemaRef>,
    /// Records of each file from which types are inferred; 1,000 when `None`.
    pub infer_rows: Option<usize>,
    /// The longest that a record may be, in bytes; the format's own limit when `None`.
    pub max_record_bytes: Option<usize>,
    /// How the files are compressed; what their names end in says so when `None`.
    pub compression: Option<Compression>,
    /// Where records go that cannot be read; the first one is an error when `None`.
    pub dead_letters: Option<DeadLetterOptions>,
}

impl TextOptions {
    pub(crate) fn infer_rows(&self) -> usize {
        self.infer_rows.unwrap_or(1_000)
    }
}
