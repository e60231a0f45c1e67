//! From bytes to records: where one ends and the next begins.
//!
//! A record is what the format's splitter cuts: its content, its line end, and the blank lines behind that
//! (those before the first record of a file belong to it). A record is at most so many bytes long. A longer
//! one is cut there, and what follows up to the next line end is cut likewise; none of these pieces is a
//! row.
//!
//! The invariant: every byte of the input belongs to exactly one record, and records come in the order of
//! their bytes. (White space with nothing else in the file is no record.) A record ends behind a line end,
//! at the end of the input, or where it was cut; so whether an offset lies inside of a record that is too
//! long can be told from the byte before it alone, and reading can begin wherever a record ended.

use memchr::memchr2;
use std::io::{self, Read};
use std::ops::Range;

/// Bytes asked of the input at a time.
const READ_BYTES: usize = 256 << 10;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Where the records of a format end.
pub(crate) trait Splitter: Send {
    /// Goes on in the content of a record: the place of the line end in `bytes`, which follow what was
    /// given before.
    fn line_end(&mut self, bytes: &[u8]) -> Option<usize>;

    /// The next byte begins a record. If the record before ended with the input, what is wrong with that.
    fn reset(&mut self) -> Option<&'static str>;

    /// Whether a byte between two records means nothing. Line ends do not.
    fn is_blank(&self, byte: u8) -> bool;
}

fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// Why a record is no row before anybody looks into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// It is longer than a record may be, and was cut there.
    TooLong,
    /// It is what follows a record that was cut.
    RestOfTooLong,
    /// The input ends inside of it.
    Unfinished(&'static str),
}

/// A record, borrowed from the reader.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    /// Where it begins.
    pub(crate) offset: u64,
    /// All of its bytes.
    pub(crate) bytes: &'a [u8],
    /// Its bytes without line end, blank bytes and byte order mark.
    pub(crate) content: &'a [u8],
    pub(crate) flaw: Option<Flaw>,
}

/// Cuts an input into records.
pub(crate) struct Records {
    input: Box<dyn Read + Send>,
    splitter: Box<dyn Splitter>,
    max_bytes: usize,
    buffer: Vec<u8>,
    /// Of the buffer, the bytes that were read and not yet given out.
    filled: Range<usize>,
    /// Where `filled` begins in the input.
    offset: u64,
    at_end: bool,
    /// The record before was cut inside its content.
    inside: bool,
    /// A record must not wait for what comes behind its line end. Blank lines then belong to the record
    /// behind them unless they came together with the one before.
    live: bool,
}

impl Records {
    /// Records of what `input` has from `offset` on. `before` is the byte before that, if there is one.
    pub(crate) fn new(
        input: Box<dyn Read + Send>,
        splitter: Box<dyn Splitter>,
        max_bytes: usize,
        offset: u64,
        before: Option<u8>,
    ) -> Self {
        let inside = before.is_some_and(|byte| !is_line_end(byte));
        let max_bytes = max_bytes.max(1);
        let (buffer, filled) = (Vec::new(), 0..0);
        Self { input, splitter, max_bytes, buffer, filled, offset, at_end: false, inside, live: false }
    }

    /// For an input of which nobody knows when more will come.
    pub(crate) fn live(self, live: bool) -> Self {
        Self { live, ..self }
    }

    /// Whether a whole line lies ready, so that the next record needs no waiting for input.
    pub(crate) fn has_line(&self) -> bool {
        self.at_end || memchr2(b'\n', b'\r', &self.buffer[self.filled.clone()]).is_some()
    }

    /// Reads more behind what is there; false at the end of the input.
    fn fill(&mut self) -> io::Result<bool> {
        if self.at_end {
            return Ok(false);
        }
        if self.filled.start > 0 {
            self.buffer.copy_within(self.filled.clone(), 0);
            self.filled = 0..self.filled.len();
        }
        if self.buffer.len() < self.filled.end + READ_BYTES {
            self.buffer.resize(self.filled.end + READ_BYTES, 0);
        }
        loop {
            match self.input.read(&mut self.buffer[self.filled.end..]) {
                Ok(0) => {
                    self.at_end = true;
                    return Ok(false);
                }
                Ok(bytes) => {
                    self.filled.end += bytes;
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The byte `at` places behind the beginning of the record, read if need be.
    fn byte(&mut self, at: usize) -> io::Result<Option<u8>> {
        while self.filled.len() <= at {
            if !self.fill()? {
                return Ok(None);
            }
        }
        Ok(Some(self.buffer[self.filled.start + at]))
    }

    /// The end of the blank lines that begin `from` behind the record's beginning, or of the input; of those
    /// that are there already, unless it may `wait`.
    fn blank_lines(&mut self, from: usize, wait: bool) -> io::Result<usize> {
        let (mut at, mut end) = (from, from);
        while at < self.max_bytes {
            if !wait && at == self.filled.len() {
                return Ok(end);
            }
            match self.byte(at)? {
                Some(byte) if self.splitter.is_blank(byte) => at += 1,
                Some(_) => return Ok(end),
                None => return Ok(at),
            }
            if is_line_end(self.buffer[self.filled.start + at - 1]) {
                end = at;
            }
        }
        Ok(end)
    }

    /// The end of the content that begins `from` behind the record's beginning, and what is wrong with it.
    fn content(&mut self, from: usize) -> io::Result<(usize, Option<Flaw>)> {
        self.splitter.reset();
        let mut seen = from;
        loop {
            let limit = self.filled.len().min(self.max_bytes);
            let new = &self.buffer[self.filled.start + seen..self.filled.start + limit];
            let end = match self.inside {
                false => self.splitter.line_end(new),
                true => memchr2(b'\n', b'\r', new),
            };
            let flaw = self.inside.then_some(Flaw::RestOfTooLong);
            if let Some(end) = end {
                self.inside = false;
                return Ok((seen + end, flaw));
            }
            seen = limit;
            if seen == self.max_bytes && self.byte(seen)?.is_some() {
                // Behind a line end nobody could tell that a record was cut, so there it is over.
                self.inside = !is_line_end(self.buffer[self.filled.start + seen - 1]);
                return Ok((seen, flaw.or(Some(Flaw::TooLong))));
            }
            if !self.fill()? {
                self.inside = false;
                let unfinished = self.splitter.reset().map(Flaw::Unfinished);
                return Ok((seen, flaw.or(unfinished)));
            }
        }
    }

    /// The next record; `None` at the end of the input.
    pub(crate) fn next(&mut self) -> io::Result<Option<Record<'_>>> {
        let mut from = 0;
        if self.offset == 0 && self.max_bytes > BYTE_ORDER_MARK.len() {
            self.byte(BYTE_ORDER_MARK.len() - 1)?;
            if self.buffer[self.filled.clone()].starts_with(BYTE_ORDER_MARK) {
                from = BYTE_ORDER_MARK.len();
            }
        }
        if !self.inside {
            from = self.blank_lines(from, true)?;
        }
        if self.byte(from)?.is_none() {
            self.offset += self.filled.len() as u64;
            self.filled.start = self.filled.end;
            return Ok(None);
        }
        let (to, flaw) = self.content(from)?;
        let end = if self.inside { to } else { self.blank_lines(to, !self.live)? };
        let (start, offset) = (self.filled.start, self.offset);
        self.filled.start += end;
        self.offset += end as u64;
        let bytes = &self.buffer[start..start + end];
        Ok(Some(Record { offset, bytes, content: &self.buffer[start + from..start + to], flaw }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::csv::CsvSplitter;
    use crate::ndjson::NdjsonSplitter;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// Gives a few bytes at a time, as pipes do.
    struct Drip(Vec<u8>, usize, usize);

    impl Read for Drip {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let bytes = self.2.min(self.0.len() - self.1).min(into.len());
            into[..bytes].copy_from_slice(&self.0[self.1..self.1 + bytes]);
            self.1 += bytes;
            Ok(bytes)
        }
    }

    type Cut = (u64, Vec<u8>, Vec<u8>, Option<Flaw>);

    fn cut_from(text: &[u8], offset: usize, csv: bool, max: usize, drip: usize) -> Vec<Cut> {
        let splitter: Box<dyn Splitter> =
            if csv { Box::new(CsvSplitter::new(b',')) } else { Box::new(NdjsonSplitter) };
        let before = offset.checked_sub(1).map(|at| text[at]);
        let input = Box::new(Drip(text[offset..].to_vec(), 0, drip));
        let mut records = Records::new(input, splitter, max, offset as u64, before);
        let mut found = Vec::new();
        while let Some(r) = records.next().unwrap() {
            found.push((r.offset, r.bytes.to_vec(), r.content.to_vec(), r.flaw));
        }
        found
    }

    fn contents(text: &str, csv: bool, max: usize) -> Vec<(String, Option<Flaw>)> {
        let cut = cut_from(text.as_bytes(), 0, csv, max, 3);
        cut.into_iter().map(|(_, _, content, flaw)| (String::from_utf8(content).unwrap(), flaw)).collect()
    }

    #[test]
    fn lines_quotes_and_blanks_are_cut_as_the_format_says() {
        let plain = |words: &[&str]| words.iter().map(|w| ((*w).to_owned(), None)).collect::<Vec<_>>();
        assert_eq!(contents("\u{feff}\na,b\r\n\r\n1,2\n3\r4", true, 99), plain(&["a,b", "1,2", "3", "4"]));
        assert_eq!(contents("\"a\nb\",\"c\"\"\n\"\nd", true, 99), plain(&["\"a\nb\",\"c\"\"\n\"", "d"]));
        assert_eq!(contents("a\"b\nc", true, 99), plain(&["a\"b", "c"]));
        assert_eq!(contents("{}\n  \n{\"a\":\"\\n\"}\r\n", false, 99), plain(&["{}", "{\"a\":\"\\n\"}\r"]));
        assert!(contents("\n \r\n", false, 99).is_empty() && contents("", true, 99).is_empty());
        let open = contents("1\n\"2\n3", true, 99);
        assert_eq!(open[1], ("\"2\n3".to_owned(), Some(Flaw::Unfinished("a quote that is never closed"))));
    }

    #[test]
    fn records_that_are_too_long_are_cut_and_the_next_line_is_whole_again() {
        let found = contents("abcdefghij\nkl\n", true, 4);
        let wanted = [
            ("abcd", Some(Flaw::TooLong)),
            ("efgh", Some(Flaw::RestOfTooLong)),
            ("ij", Some(Flaw::RestOfTooLong)),
            ("kl", None),
        ];
        assert_eq!(found, wanted.map(|(text, flaw)| (text.to_owned(), flaw)));
        // As long as a record may be, at the end of the input.
        assert_eq!(contents("abcd", true, 4), [("abcd".to_owned(), None)]);
    }

    /// Every byte once, whatever the cut of the input, and the same from every record's end.
    fn check(text: &[u8], csv: bool, max: usize, drip: usize) -> Result<(), String> {
        let whole = cut_from(text, 0, csv, max, 1 << 20);
        let joined: Vec<u8> = whole.iter().flat_map(|(_, bytes, ..)| bytes.clone()).collect();
        let rest = text.strip_prefix(&joined[..]).ok_or("bytes are lost or doubled")?;
        let rest = rest.strip_prefix(BYTE_ORDER_MARK).unwrap_or(rest);
        // Nothing but white space, or so much of it that it was cut.
        let white = rest.iter().all(|byte| b" \t\r\n".contains(byte));
        if !white || (!rest.is_empty() && !whole.is_empty() && max >= text.len()) {
            return Err("bytes are lost at the end".to_owned());
        }
        if let Some((_, bytes, ..)) =
            whole.iter().find(|(_, bytes, ..)| bytes.len() > max || bytes.is_empty())
        {
            return Err(format!("a record of {} bytes", bytes.len()));
        }
        if cut_from(text, 0, csv, max, drip) != whole {
            return Err("the cut of the input shows".to_owned());
        }
        for (i, (offset, ..)) in whole.iter().enumerate() {
            if *offset > 0 && cut_from(text, *offset as usize, csv, max, drip) != whole[i..] {
                return Err(format!("from byte {offset} the records differ"));
            }
        }
        Ok(())
    }

    fn random_text(random: &mut ChaCha8Rng) -> Vec<u8> {
        let words: [&[u8]; 12] =
            [b"a", b"1", b",", b"\"", b"\"\"", b"\n", b"\r\n", b"\r", b" ", b"\xff", b"{}", b"\"x\ny\""];
        let marked: &[u8] = if random.random_bool(0.1) { BYTE_ORDER_MARK } else { b"" };
        let mut text = marked.to_vec();
        (0..random.random_range(0..40)).for_each(|_| text.extend(words[random.random_range(0..words.len())]));
        text
    }

    #[test]
    fn every_byte_belongs_to_exactly_one_record() {
        for seed in 0..3_000 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let text = random_text(&mut random);
            let (csv, max) = (random.random(), [4usize, 7, 16, 1 << 20][random.random_range(0..4)]);
            let drip = random.random_range(1..9);
            check(&text, csv, max, drip).unwrap_or_else(|why| panic!("seed {seed}: {why}: {text:?}"));
        }
    }

    /// A splitter that forgets, at the border of two reads, that it is inside of quotes.
    struct Forgetful(CsvSplitter);

    impl Splitter for Forgetful {
        fn line_end(&mut self, bytes: &[u8]) -> Option<usize> {
            self.0.reset();
            self.0.line_end(bytes)
        }

        fn reset(&mut self) -> Option<&'static str> {
            self.0.reset()
        }

        fn is_blank(&self, byte: u8) -> bool {
            self.0.is_blank(byte)
        }
    }

    #[test]
    fn a_splitter_that_forgets_is_found() {
        let cut = |text: &[u8], drip| {
            let input = Box::new(Drip(text.to_vec(), 0, drip));
            let splitter = Box::new(Forgetful(CsvSplitter::new(b',')));
            let mut records = Records::new(input, splitter, 1 << 20, 0, None);
            let mut found = Vec::new();
            while let Some(record) = records.next().unwrap() {
                found.push(record.bytes.to_vec());
            }
            found
        };
        let found = (0..300).filter(|seed| {
            let text = random_text(&mut ChaCha8Rng::seed_from_u64(*seed));
            cut(&text, 3) != cut(&text, 1 << 20)
        });
        assert!(found.count() > 10);
    }
}
