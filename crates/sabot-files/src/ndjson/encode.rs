//! Batches as NDJSON text.

use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use crate::text::{JsonCells, Style};

const STYLE: Style =
    Style { text: append_string, around_times: "\"", nests: true, no_number: Some(no_number) };

/// What JSON has no numbers for, in the words of Protocol Buffers' mapping to JSON.
fn no_number(value: f64) -> &'static str {
    match value {
        value if value.is_nan() => "\"NaN\"",
        value if value > 0.0 => "\"Infinity\"",
        _ => "\"-Infinity\"",
    }
}

/// The names of columns, ready to stand before their values.
#[derive(Clone, Debug)]
pub(super) struct Names(Vec<Vec<u8>>);

impl Names {
    pub(super) fn new(schema: &Schema) -> Self {
        let mut names = Vec::new();
        for (i, field) in schema.fields().iter().enumerate() {
            let mut text = vec![if i == 0 { b'{' } else { b',' }];
            append_string(field.name(), &mut text);
            text.push(b':');
            names.push(text);
        }
        Self(names)
    }
}

/// Appends an object for each row of a batch, on a line of its own. Every column stands in it, null or
/// not.
pub(super) fn append_rows(batch: &RecordBatch, names: &Names, out: &mut Vec<u8>) -> Result<(), ArrowError> {
    let mut columns = Vec::with_capacity(names.0.len());
    for (array, name) in batch.columns().iter().zip(&names.0) {
        columns.push((name, JsonCells::new(array, STYLE)?));
    }
    for row in 0..batch.num_rows() {
        if columns.is_empty() {
            out.push(b'{');
        }
        for (name, column) in &mut columns {
            out.extend_from_slice(name);
            column.append(row, out)?;
        }
        out.extend_from_slice(b"}\n");
    }
    Ok(())
}

/// Appends a string in quotes, escaped as RFC 8259 asks.
fn append_string(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let mut plain = 0;
    for (i, byte) in text.bytes().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..=0x1f => &[b'\\', b'u', b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]],
            _ => continue,
        };
        out.extend_from_slice(&text.as_bytes()[plain..i]);
        out.extend_from_slice(escape);
        plain = i + 1;
    }
    out.extend_from_slice(&text.as_bytes()[plain..]);
    out.push(b'"');
}
