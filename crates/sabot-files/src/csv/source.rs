//! The CSV source.

use arrow::array::timezone::Tz;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use sabot_connect::ConnectError;
use std::sync::Arc;

use super::EXTENSIONS;
use super::split::{Cells, CsvSplitter};
use crate::input::{Input, inputs};
use crate::text::{
    Column, Fault, Guess, RowParser, Splitter, TextFormat, TextOptions, TextSource, expected, sample, shown,
};
use crate::{FileSource, Location};

/// As long as a record may be unless told otherwise: what follows an open quote is lost up to here.
const MAX_RECORD_BYTES: usize = 2 << 20;

/// How a CSV file is to be read.
#[derive(Clone, Debug)]
pub struct CsvOptions {
    /// Whether the first line names the columns. Without one they are `column_1`, `column_2`, …, or those
    /// of the schema.
    pub header: bool,
    /// What stands between cells: `,` unless told otherwise.
    pub delimiter: u8,
    /// What all text formats can be told. A record is at most 2 MiB long unless told otherwise.
    pub text: TextOptions,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self { header: true, delimiter: b',', text: TextOptions::default() }
    }
}

impl FileSource {
    /// CSV files.
    ///
    /// Cells may be quoted with `"`, and a quote inside is doubled. An empty cell is null. Lines end in
    /// `\n`, `\r\n` or `\r`; those without a byte are passed over. Types come from a schema or are inferred
    /// from the first records of each file: bool (`true`, `false`), int64, float64, date32
    /// (`2001-12-31`), timestamp (ISO 8601 with `T` or a blank; µs, or ns where a fraction needs it; in UTC
    /// where every cell names an offset), otherwise utf8. Whole numbers with a leading zero and integers
    /// beyond 64 bits stay text. With a header, all files must have the same one.
    ///
    /// A record with too few or too many cells, with a cell that is not of its column's type, with a quote
    /// that is never closed or text behind one that is, or one that is too long, is
    /// [`ConnectError::Malformed`] or [`ConnectError::MalformedRecord`] with file, row (the first row of
    /// data is row 1) and column; or a dead letter, where there is a place for them. Only the columns that
    /// are read are checked, and all of them where there are dead letters.
    ///
    /// ```
    /// use sabot_connect::Source;
    /// use sabot_files::{CsvOptions, FileSource};
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("flights.csv");
    /// std::fs::write(&path, "origin,delay\nSFO,12\n")?;
    /// let source = FileSource::csv(&path, CsvOptions::default())?;
    /// assert_eq!(source.schema().field(1).data_type(), &arrow::datatypes::DataType::Int64);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ConnectError`] when there is nothing at the path, a file cannot be read, the schema has a type
    /// that has no text, headers are not those of the schema, or two columns have one name.
    pub fn csv(location: impl Into<Location>, options: CsvOptions) -> Result<Self, ConnectError> {
        let location = location.into();
        let inputs = inputs(&location, EXTENSIONS, options.text.compression)?;
        let name = location.path().display().to_string();
        let format = CsvFormat { header: options.header, delimiter: options.delimiter };
        let text = &options.text;
        let max_record_bytes = text.max_record_bytes.unwrap_or(MAX_RECORD_BYTES);
        let schema = match &text.schema {
            Some(schema) if !format.header => schema.clone(),
            Some(schema) => {
                let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
                look(&format, &inputs, max_record_bytes, 0, Some(names))?;
                schema.clone()
            }
            None => {
                let limit = text.infer_rows();
                let (names, guesses) = look(&format, &inputs, max_record_bytes, limit, None)?;
                let fields =
                    names.iter().zip(&guesses).map(|(name, guess)| Field::new(name, guess.data_type(), true));
                Arc::new(Schema::new(fields.collect::<Vec<Field>>()))
            }
        };
        let dead_letters = text.dead_letters.clone();
        let source = TextSource::new(&name, inputs.clone(), Arc::new(format), schema, max_record_bytes)?;
        Ok(FileSource::new(name, inputs, Box::new(source), dead_letters))
    }
}

/// Looks at the beginning of each file: checks that all headers are the same, or are these, and guesses
/// types from so many rows of each.
fn look(
    format: &CsvFormat,
    inputs: &[Input],
    max_record_bytes: usize,
    rows: usize,
    wanted: Option<Vec<String>>,
) -> Result<(Vec<String>, Vec<Guess>), ConnectError> {
    let mut names = wanted;
    let mut guesses: Vec<Guess> = Vec::new();
    let mut cells = Cells::default();
    for input in inputs {
        let corrupt = |reason: &str| {
            let (path, reason) = (input.path().to_path_buf(), reason.to_owned());
            Err(ConnectError::Corrupt { path, format: "CSV", reason })
        };
        let mut seen = 0;
        let limit = rows.saturating_add(usize::from(format.header));
        sample(input, format, max_record_bytes, limit, |record| {
            seen += 1;
            let cut = cells.cut(record.content, format.delimiter);
            let whole = cut.is_ok() && record.flaw.is_none();
            if seen == 1 && (format.header || names.is_none()) {
                if format.header && !whole {
                    return corrupt("its header has a quote that is not closed where a cell ends");
                }
                let found = (0..cells.len()).map(|i| match format.header {
                    true => column_name(i, &String::from_utf8_lossy(cells.get(i, record.content))),
                    false => column_name(i, ""),
                });
                let found: Vec<String> = found.collect();
                match &names {
                    Some(names) => check_header(input, &found, names)?,
                    None => names = Some(found),
                }
            }
            if whole && (seen > 1 || !format.header) {
                let utc = utc(input)?;
                guesses.resize_with(names.as_ref().map_or(0, Vec::len), || Guess::new(utc));
                for (i, guess) in guesses.iter_mut().enumerate().take(cells.len()) {
                    // Text that is no UTF-8 is reported where it is read; a guess needs no more than this.
                    guess.text(&String::from_utf8_lossy(cells.get(i, record.content)));
                }
            }
            Ok(())
        })?;
        if seen == 0 && (format.header || names.is_none()) {
            return corrupt("it is empty; give a schema, or a file with a header")
                .map(|()| Default::default());
        }
    }
    let Some(names) = names else {
        return Err(ConnectError::NotFound { path: "".into(), hint: "name at least one file".to_owned() });
    };
    if let Some(input) = inputs.first() {
        let utc = utc(input)?;
        guesses.resize_with(names.len(), || Guess::new(utc));
    }
    Ok((names, guesses))
}

fn utc(input: &Input) -> Result<Tz, ConnectError> {
    "UTC".parse().map_err(|error| ConnectError::arrow(input.id().as_str(), error))
}

fn column_name(index: usize, name: &str) -> String {
    if name.is_empty() { format!("column_{}", index + 1) } else { name.to_owned() }
}

/// Checks that a header names these columns.
fn check_header(input: &Input, header: &[String], wanted: &[String]) -> Result<(), ConnectError> {
    let name = input.id().to_string();
    if header.len() != wanted.len() {
        let difference = format!("expected {} columns, the header has {}", wanted.len(), header.len());
        return Err(ConnectError::SchemaMismatch { name, difference });
    }
    match header.iter().zip(wanted).position(|(found, wanted)| found != wanted) {
        None => Ok(()),
        Some(i) => {
            let (want, got) = (&wanted[i], &header[i]);
            let difference = format!("column {}: expected \"{want}\", the header says \"{got}\"", i + 1);
            Err(ConnectError::SchemaMismatch { name, difference })
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct CsvFormat {
    pub(crate) header: bool,
    pub(crate) delimiter: u8,
}

impl TextFormat for CsvFormat {
    fn name(&self) -> &'static str {
        "CSV"
    }

    fn splitter(&self) -> Box<dyn Splitter> {
        Box::new(CsvSplitter::new(self.delimiter))
    }

    fn holds(&self, data_type: &DataType) -> bool {
        !data_type.is_nested()
    }

    fn has_header(&self) -> bool {
        self.header
    }

    fn parser(&self, schema: &SchemaRef, columns: &[usize]) -> Box<dyn RowParser> {
        let (schema, columns) = (schema.clone(), columns.to_vec());
        Box::new(CsvParser { schema, columns, delimiter: self.delimiter, cells: Cells::default() })
    }
}

struct CsvParser {
    schema: SchemaRef,
    columns: Vec<usize>,
    delimiter: u8,
    cells: Cells,
}

impl CsvParser {
    fn fault(&self, column: usize, expected: impl Into<String>, found: impl Into<String>) -> Fault {
        Fault { column: Some(column), expected: expected.into(), found: found.into() }
    }
}

impl RowParser for CsvParser {
    fn parse(&mut self, content: &[u8], _row: usize, columns: &mut [Column]) -> Result<(), Fault> {
        let wanted = self.schema.fields().len();
        if let Err(column) = self.cells.cut(content, self.delimiter) {
            let expected = "the end of the cell behind its closing quote";
            return Err(self.fault(column.min(wanted.saturating_sub(1)), expected, shown(content)));
        }
        if self.cells.len() != wanted {
            let column = self.cells.len().min(wanted.saturating_sub(1));
            return Err(self.fault(column, count(wanted), count(self.cells.len())));
        }
        for (column, number) in columns.iter_mut().zip(&self.columns) {
            let cell = self.cells.get(*number, content);
            let Ok(text) = std::str::from_utf8(cell) else {
                return Err(self.fault(*number, "UTF-8 text", shown(cell)));
            };
            if !column.text(text) {
                return Err(self.fault(*number, expected(self.schema.field(*number)), shown(cell)));
            }
        }
        Ok(())
    }
}

fn count(cells: usize) -> String {
    if cells == 1 { "a row of 1 cell".to_owned() } else { format!("a row of {cells} cells") }
}
