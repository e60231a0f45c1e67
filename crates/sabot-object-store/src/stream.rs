//! Reading an object from front to back, a bounded way ahead.
//!
//! The first request is small, since whoever looks at the columns of a file reads little, and nothing is
//! fetched ahead before a second one is needed. Then requests grow, and two of them are on their way while
//! what the last one brought is read. So a reader holds three requests' bytes at most.

use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::io::{self, Read};

use sabot_connect::{ByteStream, ConnectError};
use std::sync::Arc;

use crate::object::{Fetch, Object, piece_at};

/// Size of the first request, and of the largest; each is four times as large as the one before.
const FIRST_BYTES: u64 = 256 << 10;
const LARGEST_BYTES: u64 = 8 << 20;

/// Requests on their way while a reader reads.
const AHEAD: usize = 2;

/// Parts of an object that are in memory, in order, each with its offset.
pub(crate) type Pieces = [(u64, Bytes)];

pub(crate) struct ReadAhead {
    object: Object,
    pieces: Arc<Pieces>,
    /// What was fetched and not yet read.
    ready: Bytes,
    /// Where `ready` ends.
    fetched: u64,
    /// What follows, in order.
    coming: VecDeque<Fetch>,
    next_bytes: u64,
}

impl ReadAhead {
    pub(crate) fn new(object: Object, from: u64) -> Self {
        let (ready, coming) = (Bytes::new(), VecDeque::new());
        Self { object, pieces: Arc::new([]), ready, fetched: from, coming, next_bytes: FIRST_BYTES }
    }

    /// With parts that need not be fetched.
    pub(crate) fn with_pieces(self, pieces: Arc<Pieces>) -> Self {
        Self { pieces, ..self }
    }

    /// Begins requests until so many are on their way, or the object ends.
    fn ask(&mut self, requests: usize) {
        while self.coming.len() < requests {
            let start = self.coming.back().map_or(self.fetched, |last| last.range.end);
            let end = self.object.size().min(start.saturating_add(self.next_bytes));
            if start >= end {
                return;
            }
            self.coming.push_back(self.object.fetch(start..end));
            self.next_bytes = LARGEST_BYTES.min(self.next_bytes * 4);
        }
    }

    /// Makes bytes ready, if there are more.
    fn advance(&mut self) -> Result<(), ConnectError> {
        if let Some(piece) = piece_at(&self.pieces, self.fetched) {
            self.fetched += piece.len() as u64;
            self.ready = piece;
            return Ok(());
        }
        self.ask(if self.next_bytes == FIRST_BYTES { 1 } else { 1 + AHEAD });
        let Some(fetch) = self.coming.pop_front() else { return Ok(()) };
        let end = fetch.range.end;
        self.ready = fetch.wait()?;
        self.fetched = end;
        Ok(())
    }
}

impl Read for ReadAhead {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.ready.is_empty() {
            self.advance().map_err(ConnectError::into_io)?;
        }
        let bytes = self.ready.len().min(into.len());
        self.ready.copy_to_slice(&mut into[..bytes]);
        Ok(bytes)
    }
}

impl ByteStream for ReadAhead {
    /// What is not needed is not fetched, unless it is on its way already.
    fn skip(&mut self, bytes: u64) -> io::Result<u64> {
        let at = self.fetched - self.ready.len() as u64;
        let to = at.saturating_add(bytes).min(self.object.size()).max(at);
        if to <= self.fetched {
            self.ready.advance(usize::try_from(to - at).unwrap_or(usize::MAX).min(self.ready.len()));
            return Ok(to - at);
        }
        self.ready.clear();
        while let Some(fetch) = self.coming.front()
            && fetch.range.end <= to
        {
            self.fetched = fetch.range.end;
            self.coming.pop_front();
        }
        match self.coming.pop_front() {
            // What is on its way has what is wanted next.
            Some(fetch) => {
                let range = fetch.range.clone();
                let mut ready = fetch.wait().map_err(ConnectError::into_io)?;
                ready.advance(usize::try_from(to - range.start).unwrap_or(usize::MAX).min(ready.len()));
                (self.ready, self.fetched) = (ready, range.end);
            }
            None => {
                (self.fetched, self.next_bytes) = (to, FIRST_BYTES);
            }
        }
        Ok(to - at)
    }
}
