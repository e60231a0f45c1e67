//! Batches as CSV text.

use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use crate::text::{Style, TextCells, text_cells};

const STYLE: Style = Style { text: append_text, around_times: "", nests: false, no_number: None };

/// Appends the header line.
pub(super) fn append_header(schema: &Schema, out: &mut Vec<u8>) {
    let alone = schema.fields().len() == 1;
    for (i, field) in schema.fields().iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        append_text(field.name(), out);
        if alone && field.name().is_empty() {
            out.extend_from_slice(b"\"\"");
        }
    }
    out.push(b'\n');
}

/// Appends the rows of a batch. A null is an empty cell, as an empty string is; times are ISO 8601, with
/// a fraction only where there is one.
pub(super) fn append_rows(batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), ArrowError> {
    let mut columns: Vec<Box<dyn TextCells + '_>> =
        batch.columns().iter().map(|column| text_cells(column, STYLE)).collect::<Result<_, _>>()?;
    for row in 0..batch.num_rows() {
        let start = out.len();
        for (i, column) in columns.iter_mut().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            column.append(row, out)?;
        }
        // A line without a byte is no row to any reader.
        if out.len() == start {
            out.extend_from_slice(b"\"\"");
        }
        out.push(b'\n');
    }
    Ok(())
}

/// Appends text, in quotes if it holds a comma, a quote or a line end.
fn append_text(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    if !bytes.iter().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r')) {
        out.extend_from_slice(bytes);
        return;
    }
    out.push(b'"');
    for byte in bytes {
        if *byte == b'"' {
            out.push(b'"');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
