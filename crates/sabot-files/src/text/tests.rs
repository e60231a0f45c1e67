//! Malformed text: every record is a row or a dead letter, and no byte is lost.

use super::decode::{Fault, RowParser, TextFormat};
use super::*;
use crate::csv::CsvFormat;
use crate::input::inputs;
use crate::ndjson::NdjsonFormat;
use crate::testing::{drain, rows};
use crate::{DeadLetterOptions, FileSource, NdjsonOptions, TextOptions};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, UInt64Type};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sabot_common::Epoch;
use sabot_connect::{
    ConnectError, InlineSpawner, Position, ReadRequest, Source, SourceItem, Spawner, ThreadSpawner,
};
use std::fs;
use std::path::Path;
use std::sync::Arc;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("name", DataType::Utf8, true),
        Field::new("day", DataType::Date32, true),
        Field::new("ratio", DataType::Float64, true),
    ]))
}

const MAX_RECORD_BYTES: usize = 200;

fn source(path: &Path, format: Arc<dyn TextFormat>, dead: Option<&Path>) -> FileSource {
    let inputs = inputs(&path.into(), &["txt"], None).unwrap();
    let text = TextSource::new("text", inputs.clone(), format, schema(), MAX_RECORD_BYTES).unwrap();
    let dead = dead.map(|path| DeadLetterOptions { path: path.into(), max: None });
    FileSource::new("text".to_owned(), inputs, Box::new(text), dead)
}

/// A dead letter as it stands in the file.
#[derive(Clone, Debug, PartialEq)]
struct Letter {
    record: u64,
    offset: usize,
    column: Option<String>,
    bytes: Vec<u8>,
}

fn unbase64(text: &str) -> Vec<u8> {
    let value = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => 0,
    };
    let bits = |chunk: &[u8]| chunk.iter().fold(0u32, |bits, c| bits << 6 | u32::from(value(*c)));
    let bytes = text.as_bytes().chunks(4).flat_map(|chunk| {
        let padding = chunk.iter().filter(|c| **c == b'=').count();
        bits(chunk).to_be_bytes()[1..4 - padding].to_vec()
    });
    bytes.collect()
}

fn letters(path: &Path) -> Vec<Letter> {
    let columns = "file utf8, record uint64, offset uint64, column utf8, reason utf8, text utf8, base64 utf8";
    let schema = Some(crate::parse_columns(columns).unwrap());
    let text = TextOptions { schema, ..Default::default() };
    let file = FileSource::ndjson(path, NdjsonOptions { text }).unwrap();
    let mut found = Vec::new();
    for batch in read(&file, &ReadRequest::default(), None).unwrap().rows {
        for row in 0..batch.num_rows() {
            let text = |column: usize| {
                let texts = batch.column(column).as_string::<i32>();
                texts.is_valid(row).then(|| texts.value(row).to_owned())
            };
            let number = |column: usize| batch.column(column).as_primitive::<UInt64Type>().value(row);
            assert!(text(4).unwrap().starts_with("expected ") && text(0).unwrap().ends_with("data.txt"));
            let bytes = text(5).map(String::into_bytes).or_else(|| text(6).map(|text| unbase64(&text)));
            found.push(Letter {
                record: number(1),
                offset: usize::try_from(number(2)).unwrap(),
                column: text(3),
                bytes: bytes.unwrap(),
            });
        }
    }
    found
}

struct Read {
    rows: Vec<RecordBatch>,
    /// Numbers of the rows, from 0.
    numbers: Vec<u64>,
    positions: Vec<Position>,
}

fn read(source: &FileSource, request: &ReadRequest, from: Option<Position>) -> Result<Read, ConnectError> {
    let spawner: Arc<dyn Spawner> = match request.morsel_rows % 2 {
        0 => Arc::new(ThreadSpawner),
        _ => Arc::new(InlineSpawner),
    };
    let partition = source.discover()?.remove(0);
    let mut reader = source.open(&partition, from.as_ref(), request, &spawner)?;
    let mut found = Read { rows: Vec::new(), numbers: Vec::new(), positions: Vec::new() };
    let mut next = from.map_or(0, |from| from.row);
    while let Some(item) = crate::testing::next_item(&mut *reader)? {
        let (first, rows) = match item {
            SourceItem::Rows { batch, first_row } => {
                let rows = batch.num_rows() as u64;
                found.numbers.extend(first_row..first_row + rows);
                found.rows.push(batch);
                (first_row, rows)
            }
            SourceItem::Skipped { first_row, rows, .. } => (first_row, rows),
        };
        assert_eq!(first, next, "numbers have a gap");
        next += rows;
        found.positions.push(reader.position());
    }
    assert_eq!(
        reader.counters().rows + reader.counters().dead_letters,
        next - from.map_or(0, |from| from.row)
    );
    drop(drain(&mut *reader)?);
    Ok(found)
}

/// Reads a text with dead letters and says what about it is wrong.
fn check(text: &[u8], format: &Arc<dyn TextFormat>, seed: u64) -> Result<(Read, Vec<Letter>), String> {
    let folder = tempfile::tempdir().unwrap();
    let (path, dead) = (folder.path().join("data.txt"), folder.path().join("dead.ndjson"));
    fs::write(&path, text).unwrap();
    let file = source(&path, format.clone(), Some(&dead));
    let run = |from: Option<Position>, morsel_rows| {
        let aside = file.dead_letters().unwrap().unwrap();
        aside.take().unwrap();
        let request = ReadRequest { morsel_rows, dead_letters: Some(aside.clone()), ..Default::default() };
        let found = read(&file, &request, from).map_err(|error| format!("it fails: {error}"))?;
        drop(request);
        aside.commit(Epoch::FIRST, &[]).unwrap();
        aside.finish().unwrap();
        Ok::<_, String>((found, letters(&dead)))
    };
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (found, letters) = run(None, random.random_range(1..40))?;
    // Every record is a row or a letter.
    let mut numbers: Vec<u64> = letters.iter().map(|letter| letter.record - 1).collect();
    numbers.extend(&found.numbers);
    numbers.sort_unstable();
    if numbers != (0..numbers.len() as u64).collect::<Vec<_>>() {
        return Err("the numbers of rows and letters have a gap or overlap".to_owned());
    }
    // Letters are what stands in the text, in order; what remains is the same rows, and no letters.
    let (mut remaining, mut end) = (Vec::new(), 0);
    for letter in &letters {
        let to = letter.offset + letter.bytes.len();
        if letter.offset < end || text.get(letter.offset..to) != Some(&letter.bytes[..]) {
            return Err(format!("the letter of record {} is not what stands in the text", letter.record));
        }
        remaining.extend_from_slice(&text[end..letter.offset]);
        end = to;
    }
    remaining.extend_from_slice(&text[end..]);
    fs::write(&path, &remaining).unwrap();
    let clean = read(&source(&path, format.clone(), None), &ReadRequest::default(), None)
        .map_err(|error| format!("what remains is not clean: {error}"))?;
    if rows(&clean.rows) != rows(&found.rows) {
        return Err("what remains has other rows".to_owned());
    }
    // The rest from some position is what it was.
    fs::write(&path, text).unwrap();
    if let Some(at) = (!found.positions.is_empty()).then(|| random.random_range(0..found.positions.len())) {
        let from = found.positions[at];
        let (rest, rest_letters) = run(Some(from), random.random_range(1..40))?;
        let rows_before = found.numbers.iter().filter(|number| **number < from.row).count();
        let wanted: Vec<&Letter> = letters.iter().filter(|l| l.record > from.row).collect();
        if rows(&rest.rows) != rows(&found.rows)[rows_before..] || rest_letters.iter().ne(wanted) {
            return Err(format!("from {from:?} the rest differs"));
        }
    }
    Ok((found, letters))
}

/// A record with its line end, and the column that is wrong with it.
fn csv_record(random: &mut ChaCha8Rng, id: i64, bad: bool) -> (Vec<u8>, Option<&'static str>) {
    let end: &[u8] = [&b"\n"[..], b"\r\n", b"\n\n"][random.random_range(0..3)];
    let good = format!("{id},\"n, {}\",2001-01-{:02},{}.5", id % 7, id % 28 + 1, id);
    let (text, wrong): (Vec<u8>, _) = match bad.then(|| random.random_range(0..8)) {
        None => (good.into_bytes(), None),
        Some(0) => (format!("x{id},n,,").into_bytes(), Some("id")),
        Some(1) => (format!("{id},n,2001-13-01,").into_bytes(), Some("day")),
        Some(2) => (format!("{id},n,,1.5.2").into_bytes(), Some("ratio")),
        Some(3) => (format!("{id},n").into_bytes(), Some("day")),
        Some(4) => (format!("{id},n,,,,").into_bytes(), Some("ratio")),
        Some(5) => ([format!("{id},").as_bytes(), b"\xff\xfe,,"].concat(), Some("name")),
        Some(6) => (format!("{id},\"n\"x,,").into_bytes(), Some("name")),
        Some(_) => (format!("{id},{}", "y".repeat(MAX_RECORD_BYTES)).into_bytes(), Some("")),
    };
    ([&text, end].concat(), wrong)
}

fn json_record(random: &mut ChaCha8Rng, id: i64, bad: bool) -> (Vec<u8>, Option<&'static str>) {
    let end: &[u8] = [&b"\n"[..], b"\r\n", b"\n \n"][random.random_range(0..3)];
    let good = format!(
        "{{\"id\":{id}, \"name\":\"n, \\u0041{}\",\"day\":\"2001-01-{:02}\",\"more\":[{{}}],\"ratio\":{id}.5}}",
        id % 7,
        id % 28 + 1
    );
    let (text, wrong): (Vec<u8>, _) = match bad.then(|| random.random_range(0..11)) {
        None => (good.into_bytes(), None),
        Some(0) => (format!("{{\"id\":\"{id}\"}}").into_bytes(), Some("id")),
        Some(1) => (format!("{{\"id\":{id}.0}}").into_bytes(), Some("id")),
        Some(2) => (format!("{{\"id\":{id},\"day\":\"2001-13-01\"}}").into_bytes(), Some("day")),
        Some(3) => (format!("{{\"id\":{id},\"ratio\":[1]}}").into_bytes(), Some("ratio")),
        Some(4) => (format!("{{\"id\":{id},\"ratio\":1e999}}").into_bytes(), Some("ratio")),
        Some(5) => (format!("{{\"id\":{id},\"id\":{id}}}").into_bytes(), Some("id")),
        Some(6) => (b"{\"name\":\"n\"}".to_vec(), Some("id")),
        Some(7) => (format!("{{\"id\":{id},\"name\":\"\\ud800\"}}").into_bytes(), Some("name")),
        Some(8) => ([format!("{{\"id\":{id},\"x\":\"").as_bytes(), b"\xff\"}"].concat(), Some("")),
        Some(9) => {
            let broken = ["{", "[1]", "1", "null", "{\"id\":1}}", "{\"id\":01}", "{id:1}", "{\"id\":1,}"];
            (broken[random.random_range(0..broken.len())].as_bytes().to_vec(), Some(""))
        }
        Some(_) => (format!("{{\"id\":{id},\"n\":\"{}", "y".repeat(MAX_RECORD_BYTES)).into_bytes(), Some("")),
    };
    ([&text, end].concat(), wrong)
}

type Make = fn(&mut ChaCha8Rng, i64, bool) -> (Vec<u8>, Option<&'static str>);

/// A text of records whose fate is known, and what must come of it.
fn known(make: Make, header: &[u8], format: &Arc<dyn TextFormat>, seed: u64) -> Result<usize, String> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut text = header.to_vec();
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for id in 0..100 {
        // Mostly malformed, in runs and alone.
        let malformed = random.random_bool([0.1, 0.8, 1.0][(seed % 3) as usize]);
        let (bytes, wrong) = make(&mut random, id, malformed);
        match wrong {
            None => good.push(vec![
                id.to_string(),
                if header.is_empty() { format!("n, A{}", id % 7) } else { format!("n, {}", id % 7) },
                format!("2001-01-{:02}", id % 28 + 1),
                format!("{id}.5"),
            ]),
            Some(column) => bad.push((text.len(), bytes.clone(), column)),
        }
        text.extend(bytes);
    }
    let (found, letters) = check(&text, format, seed)?;
    if rows(&found.rows) != good {
        return Err("the good rows are not those that were written".to_owned());
    }
    // A record that is too long is several letters, one behind the other.
    let mut letters = letters.into_iter().peekable();
    for (offset, bytes, column) in &bad {
        let Some(letter) = letters.next() else { return Err("letters are missing".to_owned()) };
        let mut whole = letter.bytes.clone();
        while letter.offset + whole.len() < offset + bytes.len()
            && let Some(more) = letters.next()
        {
            whole.extend(more.bytes);
        }
        if letter.offset != *offset || whole != *bytes || letter.column.as_deref().unwrap_or("") != *column {
            return Err(format!("letter {letter:?}, wanted {column:?} at byte {offset}"));
        }
    }
    if letters.next().is_some() { Err("there are too many letters".to_owned()) } else { Ok(bad.len()) }
}

fn csv_format() -> Arc<dyn TextFormat> {
    Arc::new(CsvFormat { header: true, delimiter: b',' })
}

fn json_format() -> Arc<dyn TextFormat> {
    Arc::new(NdjsonFormat)
}

const HEADER: &[u8] = b"id,name,day,ratio\n";

#[test]
fn ten_thousand_malformed_records_of_csv_are_dead_letters_to_the_byte() {
    let bad: usize = (0..170)
        .map(|seed| {
            known(csv_record, HEADER, &csv_format(), seed).unwrap_or_else(|why| panic!("seed {seed}: {why}"))
        })
        .sum();
    assert!(bad >= 10_000, "{bad}");
}

#[test]
fn ten_thousand_malformed_records_of_json_are_dead_letters_to_the_byte() {
    let bad: usize = (0..170)
        .map(|seed| {
            known(json_record, b"", &json_format(), seed).unwrap_or_else(|why| panic!("seed {seed}: {why}"))
        })
        .sum();
    assert!(bad >= 10_000, "{bad}");
}

/// Bytes of every kind, quotes that swallow what follows among them: whatever it means, no byte is lost.
#[test]
fn random_bytes_are_rows_or_dead_letters() {
    let words: [&[u8]; 20] = [
        b"1",
        b"2,a,,\n",
        b"7,\"b\nc\",2001-01-01,1\r\n",
        b",",
        b"\"",
        b"\"\"",
        b"\n",
        b"\r",
        b"\r\n",
        b" ",
        b"\xc3",
        b"{\"id\":3}\n",
        b"{\"id\":",
        b"}",
        b"\\",
        b"null",
        b"{\"id\":4,\"name\":\"\\\"\"}\n",
        b"\x00",
        b"\xef\xbb\xbf",
        b"-1,,,\n",
    ];
    let (mut rejected, mut read) = (0, 0);
    for seed in 0..400 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let json = random.random_bool(0.5);
        let mut text = if json { Vec::new() } else { HEADER.to_vec() };
        (0..random.random_range(0..120))
            .for_each(|_| text.extend(words[random.random_range(0..words.len())]));
        let format = if json { json_format() } else { csv_format() };
        let (found, letters) =
            check(&text, &format, seed).unwrap_or_else(|why| panic!("seed {seed}: {why}: {text:?}"));
        rejected += letters.len();
        read += found.numbers.len();
    }
    assert!(rejected > 5_000 && read > 1_000, "{rejected} rejected, {read} read");
}

/// A format that takes a record it cannot read for a row of nulls, every other time.
#[derive(Debug)]
struct Lenient(Arc<dyn TextFormat>);

struct LenientParser(Box<dyn RowParser>, bool);

impl TextFormat for Lenient {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn splitter(&self) -> Box<dyn Splitter> {
        self.0.splitter()
    }

    fn holds(&self, data_type: &DataType) -> bool {
        self.0.holds(data_type)
    }

    fn has_header(&self) -> bool {
        self.0.has_header()
    }

    fn parser(&self, schema: &SchemaRef, columns: &[usize]) -> Box<dyn RowParser> {
        Box::new(LenientParser(self.0.parser(schema, columns), false))
    }
}

impl RowParser for LenientParser {
    fn parse(&mut self, content: &[u8], row: usize, columns: &mut [Column]) -> Result<(), Fault> {
        let parsed = self.0.parse(content, row, columns);
        self.1 ^= parsed.is_err();
        if self.1 {
            columns.iter_mut().for_each(|column| column.fill(row + 1));
            return Ok(());
        }
        parsed
    }
}

#[test]
fn a_parser_that_swallows_faults_is_found() {
    for (format, make, header) in
        [(csv_format(), csv_record as Make, HEADER), (json_format(), json_record as Make, &b""[..])]
    {
        let lenient: Arc<dyn TextFormat> = Arc::new(Lenient(format));
        assert!((0..3).all(|seed| known(make, header, &lenient, seed).is_err()));
    }
}
