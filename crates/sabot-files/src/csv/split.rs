//! The two things to know about CSV text: where a record ends, and where its cells do.
//!
//! A quote means something only as the first byte of a cell, and up to the quote that closes it; a doubled
//! quote inside stands for one. Both functions here follow that rule, so that they cannot disagree on
//! whether a line end or a delimiter lies inside of quotes.

use memchr::{memchr, memchr_iter, memchr3};

use crate::text::Splitter;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    CellStart,
    Cell,
    Quoted,
    /// Behind a quote in a quoted cell: it closes the cell, or another one follows and stands for both.
    Quote,
}

/// Cuts records at line ends that are not in quotes: `\n`, `\r\n` or `\r`.
#[derive(Debug)]
pub(crate) struct CsvSplitter {
    delimiter: u8,
    at: At,
}

impl CsvSplitter {
    pub(crate) fn new(delimiter: u8) -> Self {
        Self { delimiter, at: At::CellStart }
    }
}

impl Splitter for CsvSplitter {
    fn line_end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut from = 0;
        while from < bytes.len() {
            let rest = &bytes[from..];
            match self.at {
                At::Quoted => match memchr(b'"', rest) {
                    Some(quote) => (self.at, from) = (At::Quote, from + quote + 1),
                    None => return None,
                },
                At::Quote => {
                    self.at = match rest[0] {
                        b'\n' | b'\r' => return Some(from),
                        b'"' => At::Quoted,
                        byte if byte == self.delimiter => At::CellStart,
                        _ => At::Cell,
                    };
                    from += 1;
                }
                At::CellStart | At::Cell => {
                    let Some(found) = memchr3(b'\n', b'\r', b'"', rest) else {
                        let last = rest[rest.len() - 1];
                        self.at = if last == self.delimiter { At::CellStart } else { At::Cell };
                        return None;
                    };
                    if rest[found] != b'"' {
                        return Some(from + found);
                    }
                    let opens = match found.checked_sub(1) {
                        Some(before) => rest[before] == self.delimiter,
                        None => self.at == At::CellStart,
                    };
                    (self.at, from) = (if opens { At::Quoted } else { At::Cell }, from + found + 1);
                }
            }
        }
        None
    }

    fn reset(&mut self) -> Option<&'static str> {
        let before = std::mem::replace(&mut self.at, At::CellStart);
        (before == At::Quoted).then_some("a quote that is never closed")
    }

    fn is_blank(&self, byte: u8) -> bool {
        matches!(byte, b'\n' | b'\r')
    }
}

/// The cells of one record; its memory is used again for the next one.
#[derive(Debug, Default)]
pub(super) struct Cells {
    /// Where each cell lies: in the record, or among those that had to be unescaped.
    places: Vec<Place>,
    unescaped: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    start: usize,
    end: usize,
    unescaped: bool,
}

impl Cells {
    /// Cuts the content of a record. The number of the cell in which something follows the closing quote,
    /// if there is one; then only the cells before it are there.
    pub(super) fn cut(&mut self, content: &[u8], delimiter: u8) -> Result<(), usize> {
        self.places.clear();
        self.unescaped.clear();
        if memchr(b'"', content).is_none() {
            let mut start = 0;
            for end in memchr_iter(delimiter, content) {
                self.places.push(Place { start, end, unescaped: false });
                start = end + 1;
            }
            self.places.push(Place { start, end: content.len(), unescaped: false });
            return Ok(());
        }
        let mut start = 0;
        loop {
            let end = match content.get(start) {
                Some(b'"') => self.quoted(content, start + 1)?,
                _ => {
                    let end = memchr(delimiter, &content[start..]).map_or(content.len(), |at| start + at);
                    self.places.push(Place { start, end, unescaped: false });
                    end
                }
            };
            match content.get(end) {
                None => return Ok(()),
                Some(byte) if *byte == delimiter => start = end + 1,
                Some(_) => {
                    self.places.pop();
                    return Err(self.places.len());
                }
            }
        }
    }

    /// A quoted cell whose text begins at `start`; the place behind its closing quote.
    fn quoted(&mut self, content: &[u8], start: usize) -> Result<usize, usize> {
        let begun = self.unescaped.len();
        let mut from = start;
        loop {
            let Some(quote) = memchr(b'"', &content[from..]) else { return Err(self.places.len()) };
            let quote = from + quote;
            if content.get(quote + 1) == Some(&b'"') {
                self.unescaped.extend_from_slice(&content[from..=quote]);
                from = quote + 2;
                continue;
            }
            if from == start {
                self.places.push(Place { start, end: quote, unescaped: false });
            } else {
                self.unescaped.extend_from_slice(&content[from..quote]);
                self.places.push(Place { start: begun, end: self.unescaped.len(), unescaped: true });
            }
            return Ok(quote + 1);
        }
    }

    /// How many cells there are.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// The cell with this number, out of the record that was cut.
    pub(super) fn get<'a>(&'a self, index: usize, content: &'a [u8]) -> &'a [u8] {
        match self.places.get(index) {
            Some(Place { start, end, unescaped: false }) => &content[*start..*end],
            Some(Place { start, end, unescaped: true }) => &self.unescaped[*start..*end],
            None => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn cells(content: &str) -> Result<Vec<String>, usize> {
        let mut cells = Cells::default();
        cells.cut(content.as_bytes(), b',')?;
        let texts = (0..cells.len()).map(|i| cells.get(i, content.as_bytes()).to_vec());
        Ok(texts.map(|text| String::from_utf8(text).unwrap()).collect())
    }

    #[test]
    fn cells_are_cut_and_unescaped() {
        assert_eq!(cells("a,,c").unwrap(), ["a", "", "c"]);
        assert_eq!(cells("").unwrap(), [""]);
        assert_eq!(cells("\"a,\nb\",\"\",\"\"\"\"").unwrap(), ["a,\nb", "", "\""]);
        assert_eq!(cells("\"x\"\"y\"\"\",a\"b").unwrap(), ["x\"y\"", "a\"b"]);
        assert_eq!(cells("a,\"b\"c,d"), Err(1));
        assert_eq!(cells("a,b,\"c"), Err(2));
    }

    /// Against the csv library, which takes text behind a closing quote as a part of the cell.
    #[test]
    fn records_and_cells_are_those_of_the_csv_library() {
        let (mut compared, mut refused) = (0, 0);
        for seed in 0..2_000 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let alphabet = ["a", "b", ",", ",", "\"", "\"\"", "\n", "\r\n", "\"c,\n\"", "é"];
            let words = (0..random.random_range(0..20)).map(|_| alphabet[random.random_range(0..10)]);
            let text: String = words.collect();
            let mut reader =
                csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
            let wanted: Vec<Vec<String>> =
                reader.records().map(|r| r.unwrap().iter().map(str::to_owned).collect()).collect();
            let splitter = Box::new(CsvSplitter::new(b','));
            let input = Box::new(std::io::Cursor::new(text.clone().into_bytes()));
            let mut records = crate::text::Records::new(input, splitter, 1 << 20, 0, None);
            let mut found = Vec::new();
            let mut strict = true;
            while let Some(record) = records.next().unwrap() {
                match cells(std::str::from_utf8(record.content).unwrap()) {
                    Ok(cells) => found.push(cells),
                    Err(_) => strict = false,
                }
            }
            if strict {
                compared += 1;
                assert_eq!(found, wanted, "seed {seed}: {text:?}");
            } else {
                refused += 1;
            }
        }
        assert!(compared > 500 && refused > 200, "{compared} compared, {refused} refused");
    }
}
