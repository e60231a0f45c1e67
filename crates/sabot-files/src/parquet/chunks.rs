//! A blob as the Parquet library reads files.

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};
use sabot_connect::{Blob, ByteStream, ConnectError};
use std::ops::Range;
use std::sync::Arc;

/// The end of a file that is read at once: the footers of most files fit.
const FOOTER_BYTES: u64 = 64 << 10;

/// A blob for one reader.
#[derive(Debug)]
pub(super) struct Chunks {
    blob: Arc<dyn Blob>,
    length: u64,
}

impl Chunks {
    /// For one that is going to read these ranges.
    pub(super) fn of_ranges(
        blob: &dyn Blob,
        ranges: &[Range<u64>],
    ) -> std::result::Result<Self, ConnectError> {
        let blob = blob.prepared(ranges)?;
        Ok(Self { length: blob.length()?, blob })
    }

    /// For one that is going to read the footer.
    pub(super) fn of_footer(blob: &dyn Blob) -> std::result::Result<Self, ConnectError> {
        let length = blob.length()?;
        let footer = length.saturating_sub(FOOTER_BYTES)..length;
        Self::of_ranges(blob, std::slice::from_ref(&footer))
    }
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.length
    }
}

fn external(error: ConnectError) -> ParquetError {
    ParquetError::External(Box::new(error))
}

impl ChunkReader for Chunks {
    type T = Box<dyn ByteStream>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        self.blob.stream(start).map_err(external)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        // What a broken file states may lie behind its end.
        let end = start.saturating_add(length as u64);
        if end > self.length {
            return Err(ParquetError::EOF(format!("bytes {start} to {end} of {} are missing", self.length)));
        }
        self.blob.range(start..end).map_err(external)
    }
}
