//! Transactions from files: which columns there must be, and as what they are read.

use sabot::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use sabot::prelude::*;
use sabot::{Span, null};
use std::path::Path;

use crate::generate;

/// Columns that a file may lack: what is known of frauds.
const LABELS: [&str; 2] = ["is_fraud", "fraud_scenario"];

/// Where transactions are read from.
#[derive(Clone, Debug)]
pub struct Input {
    /// The columns of [`generate::schema`], in order of event time but for what may be out of order.
    pub transactions: Stream,
    /// Whether it is known which of them are frauds.
    pub has_labels: bool,
}

/// Transactions of a file, in the format of its extension.
///
/// `delay` is how far a row may be behind the latest one before it. `dead_letters` is as in [`open`].
///
/// # Errors
/// When there is no such file, or a column is missing or of another kind.
pub fn from_file(path: &Path, delay: Span, dead_letters: Option<&Path>) -> sabot::Result<Input> {
    from_stream(open(path, dead_letters)?, delay)
}

/// The rows of a file as they are.
///
/// Text is read with the types that the columns have, whatever its first rows look like. Records of it that cannot be
/// read end the job with file, row and column, or go into the file `dead_letters`. A null in a column that must be
/// known ends it with file, row and column, whatever the format.
///
/// # Errors
/// When there is no such file.
pub fn open(path: &Path, dead_letters: Option<&Path>) -> sabot::Result<Stream> {
    let found = Stream::read(file(path))?;
    let Some(text) = Text::of(path) else {
        // A column that is missing is named when it is looked for.
        let known = generate::schema();
        let required = known.fields().iter().map(|field| field.name().as_str());
        let required =
            required.filter(|name| !LABELS.contains(name) && found.schema().index_of(name).is_ok());
        return Stream::read(file(path).not_null(required));
    };
    let source = file(path).schema(&text.columns(found.schema()));
    Stream::read(match dead_letters {
        Some(dead) => source.dead_letters(dead),
        None => source,
    })
}

/// Whether a file's records are text, which alone can be malformed one by one.
///
/// ```
/// use fraud_detection::input::is_text;
/// assert!(is_text("day.csv.gz".as_ref()) && is_text("day.ndjson".as_ref()));
/// assert!(!is_text("day.parquet".as_ref()));
/// ```
pub fn is_text(path: &Path) -> bool {
    Text::of(path).is_some()
}

/// Transactions of a source that has their columns.
///
/// # Errors
/// When a column is missing or of another kind.
pub fn from_stream(source: Stream, delay: Span) -> sabot::Result<Input> {
    let found = source.schema().clone();
    let has_labels = found.index_of(LABELS[0]).is_ok();
    let columns = generate::schema();
    let column = |field: &Field| {
        let name = field.name();
        match found.field_with_name(name) {
            Ok(as_found) if as_found.data_type() == field.data_type() => col(name),
            Err(_) if LABELS.contains(&name.as_str()) => null().cast(field.data_type().clone()).alias(name),
            // One that is missing is named by the error that this makes.
            _ => col(name).cast(field.data_type().clone()).alias(name),
        }
    };
    let columns: Vec<Expr> = columns.fields().iter().map(|field| column(field)).collect();
    let extra = found.index_of(FED).is_ok().then(|| col(FED));
    // ANCHOR: time
    let timed = source.event_time("event_time", out_of_orderness(delay))?;
    // ANCHOR_END: time
    Ok(Input { transactions: timed.select(columns.into_iter().chain(extra))?, has_labels })
}

/// A column that paced input has beside those of a transaction: the row's number, from which follows when it was due.
pub const FED: &str = "fed";

/// How a format of text takes columns that nobody knows.
#[derive(Clone, Copy)]
enum Text {
    /// The header must be named as a whole.
    Csv,
    /// Members that are not named are passed over.
    Json,
}

impl Text {
    fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
        let plain = name.strip_suffix(".gz").or(name.strip_suffix(".zst")).unwrap_or(&name);
        match plain.rsplit_once('.')?.1 {
            "csv" => Some(Text::Csv),
            "ndjson" | "jsonl" => Some(Text::Json),
            _ => None,
        }
    }

    /// The columns of a file with the types of a transaction. What is known of frauds may be missing in single
    /// rows too.
    fn columns(self, found: &SchemaRef) -> Schema {
        let known = generate::schema();
        let column = |field: &Field| match known.field_with_name(field.name()) {
            Ok(known) => Some(known.clone().with_nullable(LABELS.contains(&field.name().as_str()))),
            Err(_) => match self {
                Text::Csv => Some(Field::new(field.name(), DataType::Utf8, true)),
                Text::Json => None,
            },
        };
        Schema::new(found.fields().iter().filter_map(|field| column(field)).collect::<Vec<_>>())
    }
}
