//! Records into batches, with the place of every row, and what cannot be read set apart.
//!
//! The records of a batch go into one set of builders, malformed ones as a row that nobody will see; the
//! finished batch is cut into the runs between them. So a file with a malformed record on every page is
//! decoded as fast as one without, and rows keep the numbers of their records.

use arrow::array::{ArrayRef, RecordBatchOptions};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use sabot_common::RowLocation;
use sabot_connect::{ConnectError, DeadLetter, Position, ReadRequest};
use sabot_expr::type_name;
use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::Arc;

use super::columns::{Column, TYPES};
use super::records::{Flaw, Record, Records, Splitter};
use crate::ahead::{Decode, Piece};
use crate::input::Input;

/// Bytes of text in a batch, at which it is ended however few its rows are.
const BATCH_BYTES_MAX: usize = 16 << 20;

/// Longest part of a malformed value that a message shows.
const SHOWN_CHARS: usize = 60;

/// Why a record is no row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Number of the column that is wrong, where it is one.
    pub(crate) column: Option<usize>,
    pub(crate) expected: String,
    pub(crate) found: String,
}

/// Turns the content of records into values.
pub(crate) trait RowParser: Send {
    /// Appends one value to each column, which holds `row` values so far. After a fault, columns may hold
    /// a value more or not.
    fn parse(&mut self, content: &[u8], row: usize, columns: &mut [Column]) -> Result<(), Fault>;
}

/// A format of text.
pub(crate) trait TextFormat: Debug + Send + Sync {
    /// The name in messages.
    fn name(&self) -> &'static str;
    fn splitter(&self) -> Box<dyn Splitter>;
    /// Whether the format has a place for values of a type that has a text.
    fn holds(&self, data_type: &DataType) -> bool;
    /// Whether the first record of a file is no row.
    fn has_header(&self) -> bool;
    /// A parser into columns, the columns of the schema with these numbers.
    fn parser(&self, schema: &SchemaRef, columns: &[usize]) -> Box<dyn RowParser>;
}

/// What is to be read of a file, and how.
#[derive(Clone, Debug)]
pub(crate) struct TextPlan {
    input: Input,
    format: Arc<dyn TextFormat>,
    max_record_bytes: usize,
    /// All columns of the file.
    stored: SchemaRef,
    /// The columns that are parsed.
    parsed: Vec<usize>,
    /// The columns to deliver, as places among the parsed ones, and the schema that they then have.
    delivered: Vec<usize>,
    schema: SchemaRef,
    batch_rows: usize,
    /// Whether malformed records are set apart.
    rejects: bool,
}

impl TextPlan {
    pub(crate) fn new(
        input: Input,
        format: Arc<dyn TextFormat>,
        max_record_bytes: usize,
        stored: SchemaRef,
        request: &ReadRequest,
    ) -> Result<Self, ConnectError> {
        let name = input.id().as_str();
        let wanted = request.columns(name, &stored)?;
        let schema = request.output_schema(name, &stored)?;
        let rejects = request.dead_letters.is_some();
        let parsed: Vec<usize> = match rejects {
            true => (0..stored.fields().len()).collect(),
            false => {
                let mut parsed = wanted.clone();
                parsed.sort_unstable();
                parsed.dedup();
                parsed
            }
        };
        let delivered = wanted.iter().map(|column| parsed.partition_point(|p| p < column)).collect();
        let batch_rows = request.morsel_rows.max(1);
        Ok(Self { input, format, max_record_bytes, stored, parsed, delivered, schema, batch_rows, rejects })
    }

    fn columns(&self) -> Result<Vec<Column>, ConnectError> {
        let column = |(place, number): (usize, &usize)| {
            // Nullability is that of the stored column, the type that of the delivered one.
            let stored = self.stored.field(*number).clone();
            let delivered = self.delivered.iter().position(|d| *d == place);
            let field = match delivered {
                Some(at) => stored.with_data_type(self.schema.field(at).data_type().clone()),
                None => stored,
            };
            Column::new(&field).ok_or_else(|| ConnectError::UnsupportedType {
                name: self.input.id().to_string(),
                column: field.name().clone(),
                type_name: type_name(field.data_type()),
                supported: TYPES.to_owned(),
            })
        };
        self.parsed.iter().enumerate().map(column).collect()
    }
}

/// Decodes a file from a position on.
pub(crate) struct TextDecoder {
    plan: TextPlan,
    next: Position,
    open: Option<Open>,
    /// Pieces of the last batch, each with the position after it.
    ready: VecDeque<(Piece, Position)>,
    /// What ended the reading, behind what was read before.
    failed: Option<ConnectError>,
}

struct Open {
    records: Records,
    parser: Box<dyn RowParser>,
    columns: Vec<Column>,
}

/// Records of one batch that share a fate.
struct Run {
    records: usize,
    /// Where the last of them ends.
    offset: u64,
    letters: Vec<DeadLetter>,
}

impl TextDecoder {
    pub(crate) fn new(plan: TextPlan, from: Position) -> Self {
        Self { plan, next: from, open: None, ready: VecDeque::new(), failed: None }
    }

    fn open(&self) -> Result<Open, ConnectError> {
        let TextPlan { input, format, .. } = &self.plan;
        let (bytes, before) = input.open_at(self.next)?;
        let max = self.plan.max_record_bytes;
        let records = Records::new(bytes, format.splitter(), max, self.next.offset, before);
        let mut records = records.live(input.is_live());
        if self.next.offset == 0 && format.has_header() {
            records.next().map_err(|error| input.read_error(error))?;
        }
        let parser = format.parser(&self.plan.stored, &self.plan.parsed);
        Ok(Open { records, parser, columns: self.plan.columns()? })
    }

    /// Reads the records of a batch.
    fn fill(&mut self, open: &mut Open) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        let (mut rows, mut bytes) = (0, 0);
        while rows < self.plan.batch_rows && bytes < BATCH_BYTES_MAX {
            // Whoever waits at the other end of a pipe should see what came before the next record.
            if rows > 0 && self.plan.input.is_live() && !open.records.has_line() {
                break;
            }
            let record = match open.records.next() {
                Ok(Some(record)) => record,
                Ok(None) => break,
                Err(error) => {
                    self.failed = Some(self.plan.input.read_error(error));
                    break;
                }
            };
            let offset = record.offset + record.bytes.len() as u64;
            bytes += record.bytes.len();
            let parsed = match flaw_fault(&record, self.plan.max_record_bytes) {
                Some(fault) => Err(fault),
                None => open.parser.parse(record.content, rows, &mut open.columns),
            };
            let letter = match parsed {
                Ok(()) => None,
                Err(fault) => {
                    let number = self.next.row + rows as u64;
                    open.columns.iter_mut().for_each(|column| column.fill(rows + 1));
                    if !self.plan.rejects {
                        self.failed = Some(self.malformed(number, fault));
                        break;
                    }
                    Some(self.letter(number, &record, fault))
                }
            };
            rows += 1;
            match runs.last_mut() {
                Some(run) if run.letters.is_empty() == letter.is_none() => {
                    run.records += 1;
                    run.offset = offset;
                    run.letters.extend(letter);
                }
                _ => runs.push(Run { records: 1, offset, letters: letter.into_iter().collect() }),
            }
        }
        runs
    }

    fn malformed(&self, row: u64, fault: Fault) -> ConnectError {
        let location = RowLocation { partition: self.plan.input.id().name(), row };
        let Fault { column, expected, found } = fault;
        match column.and_then(|column| self.column_name(column)) {
            Some(column) => ConnectError::Malformed { location, column, expected, found },
            None => ConnectError::MalformedRecord { location, expected, found },
        }
    }

    fn letter(&self, row: u64, record: &Record<'_>, fault: Fault) -> DeadLetter {
        DeadLetter {
            partition: self.plan.input.id().name(),
            record: row + 1,
            offset: record.offset,
            column: fault.column.and_then(|column| self.column_name(column)),
            reason: format!("expected {}, found {}", fault.expected, fault.found),
            bytes: record.bytes.to_vec(),
        }
    }

    fn column_name(&self, column: usize) -> Option<String> {
        self.plan.stored.fields().get(column).map(|field| field.name().clone())
    }

    /// Cuts what the builders hold into the runs of its records.
    fn cut(&mut self, open: &mut Open, runs: Vec<Run>) -> Result<(), ConnectError> {
        let held = open.columns.first().map(Column::len);
        let batch = self.batch(open, held.unwrap_or_else(|| runs.iter().map(|run| run.records).sum()))?;
        let mut rows = 0;
        for run in runs {
            let piece = match run.letters.is_empty() {
                true => Piece::Rows(batch.slice(rows, run.records)),
                false => Piece::Rejected(run.letters),
            };
            rows += run.records;
            let position = Position { row: self.next.row + run.records as u64, offset: run.offset };
            self.next = position;
            self.ready.push_back((piece, position));
        }
        Ok(())
    }

    fn batch(&self, open: &mut Open, rows: usize) -> Result<RecordBatch, ConnectError> {
        let arrow = |error| ConnectError::arrow(self.plan.input.id().as_str(), error);
        let parsed: Vec<ArrayRef> =
            open.columns.iter_mut().map(Column::finish).collect::<Result<_, _>>().map_err(arrow)?;
        let columns = self.plan.delivered.iter().map(|place| parsed[*place].clone()).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.plan.schema.clone(), columns, &options).map_err(arrow)
    }
}

impl Decode for TextDecoder {
    fn next(&mut self) -> Result<Option<(Piece, Position)>, ConnectError> {
        if self.ready.is_empty() && self.failed.is_none() {
            let mut open = match self.open.take() {
                Some(open) => open,
                None => self.open()?,
            };
            let runs = self.fill(&mut open);
            self.cut(&mut open, runs)?;
            self.open = Some(open);
        }
        match (self.ready.pop_front(), self.failed.take()) {
            (Some(ready), failed) => {
                self.failed = failed;
                Ok(Some(ready))
            }
            (None, Some(failed)) => Err(failed),
            (None, None) => Ok(None),
        }
    }
}

/// The fault of a record that was not even cut as a whole.
fn flaw_fault(record: &Record<'_>, max_bytes: usize) -> Option<Fault> {
    let (expected, found) = match record.flaw? {
        Flaw::TooLong => {
            (format!("a record of at most {max_bytes} bytes (max_record_bytes)"), shown(record.content))
        }
        Flaw::RestOfTooLong => {
            ("a record that begins on a line".to_owned(), "the rest of one that is too long".to_owned())
        }
        Flaw::Unfinished(what) => {
            ("the end of the record before that of the file".to_owned(), what.to_owned())
        }
    };
    Some(Fault { column: None, expected, found })
}

/// A value as a message shows it: in quotes, cut if it is long.
pub(crate) fn shown(value: &[u8]) -> String {
    // A character has at most four bytes, and one that is cut in half does not show.
    let text = String::from_utf8_lossy(&value[..value.len().min(4 * (SHOWN_CHARS + 1))]);
    let cut: String = text.chars().take(SHOWN_CHARS).collect();
    let more = if cut.len() < text.len() { "…" } else { "" };
    format!("\"{cut}{more}\"")
}
