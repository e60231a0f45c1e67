//! The NDJSON source.

use arrow::array::timezone::Tz;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use memchr::memchr;
use sabot_connect::ConnectError;
use std::collections::HashMap;
use std::sync::Arc;

use super::EXTENSIONS;
use super::infer::Members;
use super::object::{members, value};
use crate::input::{Input, inputs};
use crate::text::{
    Column, Fault, RowParser, Splitter, TextFormat, TextOptions, TextSource, expected, sample, shown,
};
use crate::{FileSource, Location};

/// As long as a record may be unless told otherwise.
const MAX_RECORD_BYTES: usize = 16 << 20;

/// How an NDJSON file is to be read.
#[derive(Clone, Debug, Default)]
pub struct NdjsonOptions {
    /// What all text formats can be told. A record is at most 16 MiB long unless told otherwise.
    pub text: TextOptions,
}

impl FileSource {
    /// Files of newline-delimited JSON: an object on each line, whose members are the columns.
    ///
    /// A member that is missing or `null` is null; one that is no column is passed over; one that stands
    /// twice is malformed. Lines of white space alone are passed over too. Columns and types come from a
    /// schema, or from the first objects of each file: members in the order in which they appear first;
    /// bool, int64, float64, date32 and timestamp by the rules for CSV, dates and times as strings; lists and
    /// structs where all values are lists or objects, whose items and members are typed by the same rules;
    /// otherwise utf8, in which numbers, objects and lists stand as they are written. Into columns of other
    /// types go: numbers that fit, nothing rounded; decimals also as strings; into floats also `"NaN"`,
    /// `"Infinity"`, `"-Infinity"`; into timestamps also whole numbers, which count units since 1970; lists
    /// and objects into lists and structs whose parts fit.
    ///
    /// A line that is no JSON object, or has a value that is not of its column's type, or is too long, is
    /// [`ConnectError::Malformed`] or [`ConnectError::MalformedRecord`] with file, row and column; or a dead
    /// letter, where there is a place for them. Only the columns that are read are checked, and all of them
    /// where there are dead letters.
    ///
    /// ```
    /// use sabot_connect::Source;
    /// use sabot_files::{FileSource, NdjsonOptions};
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("flights.ndjson");
    /// std::fs::write(&path, "{\"origin\":\"SFO\",\"delay\":12}\n{\"origin\":\"JFK\"}\n")?;
    /// let source = FileSource::ndjson(&path, NdjsonOptions::default())?;
    /// assert_eq!(source.schema().field(1).data_type(), &arrow::datatypes::DataType::Int64);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ConnectError`] when there is nothing at the path, a file cannot be read, the schema has a type
    /// that has no text, two columns have one name, or no object is there to infer columns from.
    pub fn ndjson(location: impl Into<Location>, options: NdjsonOptions) -> Result<Self, ConnectError> {
        let location = location.into();
        let text = options.text;
        let inputs = inputs(&location, EXTENSIONS, text.compression)?;
        let name = location.path().display().to_string();
        let max_record_bytes = text.max_record_bytes.unwrap_or(MAX_RECORD_BYTES);
        let schema = match &text.schema {
            Some(schema) => schema.clone(),
            None => infer(&name, &inputs, max_record_bytes, text.infer_rows())?,
        };
        let format = Arc::new(NdjsonFormat);
        let source = TextSource::new(&name, inputs.clone(), format, schema, max_record_bytes)?;
        Ok(FileSource::new(name, inputs, Box::new(source), text.dead_letters))
    }
}

/// The columns that the first objects of each file have.
fn infer(name: &str, inputs: &[Input], max: usize, limit: usize) -> Result<SchemaRef, ConnectError> {
    let utc: Tz = "UTC".parse().map_err(|error| ConnectError::arrow(name, error))?;
    let mut columns = Members::of_records(utc);
    for input in inputs {
        sample(input, &NdjsonFormat, max, limit, |record| {
            columns.object(record.content);
            Ok(())
        })?;
    }
    let fields = columns.fields();
    match inputs.first() {
        Some(input) if fields.is_empty() => {
            let reason = "no JSON object with a member is in its first lines; give a schema".to_owned();
            Err(ConnectError::Corrupt { path: input.path().to_path_buf(), format: "NDJSON", reason })
        }
        _ => Ok(Arc::new(Schema::new(fields))),
    }
}

/// Cuts records at `\n`: JSON has no line ends inside of strings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NdjsonSplitter;

impl Splitter for NdjsonSplitter {
    fn line_end(&mut self, bytes: &[u8]) -> Option<usize> {
        memchr(b'\n', bytes)
    }

    fn reset(&mut self) -> Option<&'static str> {
        None
    }

    fn is_blank(&self, byte: u8) -> bool {
        matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct NdjsonFormat;

impl TextFormat for NdjsonFormat {
    fn name(&self) -> &'static str {
        "NDJSON"
    }

    fn splitter(&self) -> Box<dyn Splitter> {
        Box::new(NdjsonSplitter)
    }

    fn holds(&self, _data_type: &DataType) -> bool {
        true
    }

    fn has_header(&self) -> bool {
        false
    }

    fn parser(&self, schema: &SchemaRef, columns: &[usize]) -> Box<dyn RowParser> {
        let name = |number: &usize| schema.field(*number).name().clone();
        let names: Vec<String> = columns.iter().map(name).collect();
        let places = names.iter().cloned().zip(0..).collect();
        Box::new(NdjsonParser { schema: schema.clone(), numbers: columns.to_vec(), names, places })
    }
}

struct NdjsonParser {
    schema: SchemaRef,
    /// Of each column that is parsed: its number in the schema, and its name.
    numbers: Vec<usize>,
    names: Vec<String>,
    places: HashMap<String, usize>,
}

impl NdjsonParser {
    /// The place of a column. Objects mostly have their members in the same order, so the one behind the
    /// last found is tried first.
    fn place(&self, name: &str, hint: usize) -> Option<usize> {
        match self.names.get(hint) {
            Some(hinted) if hinted == name => Some(hint),
            _ => self.places.get(name).copied(),
        }
    }

    fn fault(&self, place: usize, found: String) -> Fault {
        let number = self.numbers[place];
        Fault { column: Some(number), expected: expected(self.schema.field(number)), found }
    }
}

impl RowParser for NdjsonParser {
    fn parse(&mut self, content: &[u8], row: usize, columns: &mut [Column]) -> Result<(), Fault> {
        let mut hint = 0;
        members(content, |name, raw| {
            let Some(place) = self.place(name, hint) else { return Ok(()) };
            hint = place + 1;
            let column = &mut columns[place];
            if column.len() > row {
                let (expected, found) = ("one value".to_owned(), "two".to_owned());
                return Err(Fault { column: Some(self.numbers[place]), expected, found });
            }
            match value(raw).is_some_and(|value| column.json(&value)) {
                true => Ok(()),
                false => Err(self.fault(place, shown(raw.get().as_bytes()))),
            }
        })?;
        for (place, column) in columns.iter_mut().enumerate() {
            if column.len() == row && !column.json(&crate::text::Json::Null) {
                return Err(self.fault(place, "no such member".to_owned()));
            }
        }
        Ok(())
    }
}
