//! Compressed text.
//!
//! Only text is compressed as a whole; Parquet and Arrow compress inside of the file. Several gzip members
//! or zstd frames one behind the other are one text, as the tools of these formats have it.

use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use std::fmt;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;
use std::str::FromStr;

use crate::output::Destination;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// It is not.
    #[default]
    None,
    /// gzip (RFC 1952), `.gz`.
    Gzip,
    /// Zstandard (RFC 8878), `.zst`.
    Zstd,
}

/// Bytes read from a compressed file at a time.
const READ_BYTES: usize = 64 << 10;

impl Compression {
    /// What the last extension of a path says.
    ///
    /// ```
    /// use sabot_files::Compression;
    /// assert_eq!(Compression::of_path("flights.csv.gz".as_ref()), Compression::Gzip);
    /// assert_eq!(Compression::of_path("flights.csv".as_ref()), Compression::None);
    /// ```
    pub fn of_path(path: &Path) -> Self {
        match path.extension() {
            Some(gz) if gz.eq_ignore_ascii_case("gz") => Compression::Gzip,
            Some(zst) if zst.eq_ignore_ascii_case("zst") => Compression::Zstd,
            _ => Compression::None,
        }
    }

    /// What the names of such files end in, behind the extension of their format.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Compression::None => "",
            Compression::Gzip => ".gz",
            Compression::Zstd => ".zst",
        }
    }

    /// The text of compressed bytes.
    pub(crate) fn decompress(self, bytes: Box<dyn Read + Send>) -> io::Result<Box<dyn Read + Send>> {
        let buffered = |bytes| BufReader::with_capacity(READ_BYTES, bytes);
        Ok(match self {
            Compression::None => bytes,
            Compression::Gzip => Box::new(MultiGzDecoder::new(buffered(bytes))),
            Compression::Zstd => Box::new(zstd::Decoder::with_buffer(buffered(bytes))?),
        })
    }

    /// Compresses what is written. The levels are those of the tools: 6 and 3.
    pub(crate) fn compress(self, to: Box<dyn Destination>) -> io::Result<Box<dyn Destination>> {
        Ok(match self {
            Compression::None => to,
            Compression::Gzip => Box::new(Gzip(GzEncoder::new(to, flate2::Compression::new(6)))),
            Compression::Zstd => Box::new(Zstd(zstd::Encoder::new(to, 3)?)),
        })
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        })
    }
}

impl FromStr for Compression {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Compression::None, Compression::Gzip, Compression::Zstd]
            .into_iter()
            .find(|known| known.to_string() == text)
            .ok_or(())
    }
}

struct Gzip(GzEncoder<Box<dyn Destination>>);

impl Write for Gzip {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Destination for Gzip {
    fn finish(self: Box<Self>) -> io::Result<()> {
        self.0.finish()?.finish()
    }
}

struct Zstd(zstd::Encoder<'static, Box<dyn Destination>>);

impl Write for Zstd {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Destination for Zstd {
    fn finish(self: Box<Self>) -> io::Result<()> {
        self.0.finish()?.finish()
    }
}
