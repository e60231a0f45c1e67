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
    /// What follows, in order, but for pieces.
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

    /// Begins requests until so many are on their way, or the object ends. What the pieces have is not asked for.
    fn ask(&mut self, requests: usize) {
        while self.coming.len() < requests {
            let mut start = self.coming.back().map_or(self.fetched, |last| last.range.end);
            while let Some(piece) = piece_at(&self.pieces, start) {
                start += piece.len() as u64;
            }
            let behind = self.pieces.partition_point(|(piece, _)| *piece <= start);
            let gap_end = self.pieces.get(behind).map_or(u64::MAX, |(piece, _)| *piece);
            let end = self.object.size().min(start.saturating_add(self.next_bytes)).min(gap_end);
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
        if self.coming.front().is_some_and(|next| next.range.start > to) {
            // A piece lies before it, and has what is wanted next.
            self.fetched = to;
            return Ok(to - at);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Secrets;
    use crate::io::Io;
    use crate::remote::Access;
    use object_store::memory::InMemory;
    use object_store::path::Path as Key;
    use object_store::{ObjectStore, ObjectStoreExt};

    const MIB: usize = 1 << 20;

    /// An object whose bytes differ from place to place.
    fn object() -> (Object, Vec<u8>) {
        let bytes: Vec<u8> =
            (0..20 * MIB as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let client: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let (io, key) = (Arc::new(Io::start().unwrap()), Key::from("a"));
        let (to, whole) = (client.clone(), Bytes::from(bytes.clone()));
        let put = async move {
            to.put(&key, whole.into()).await?;
            to.head(&key).await
        };
        let meta = io.wait(put).unwrap().unwrap();
        (Object::new(Access { client, io, secrets: Secrets::default() }, "memory://a".into(), meta), bytes)
    }

    #[test]
    fn pieces_in_memory_and_requests_on_their_way_are_read_once() {
        let (object, bytes) = object();
        let places = [0..10, MIB / 2..MIB, 2 * MIB..3 * MIB, 3 * MIB..3 * MIB + 7, 15 * MIB..16 * MIB];
        let pieces: Arc<Pieces> = places
            .iter()
            .map(|place| (place.start as u64, Bytes::from(bytes[place.clone()].to_vec())))
            .collect();
        let stream = |from| ReadAhead::new(object.clone(), from).with_pieces(pieces.clone());
        for from in [0, 5, MIB - 1, 2 * MIB + 1, 14 * MIB, 20 * MIB] {
            let mut seen = Vec::new();
            stream(from as u64).read_to_end(&mut seen).unwrap();
            assert!(seen == bytes[from..], "from {from}");
        }
        // Passing over what is ready, on its way, in a piece, and not asked for.
        for skip in [1, MIB / 4, MIB / 2, MIB, 5 * MIB / 4, 2 * MIB, 3 * MIB, 14 * MIB] {
            let (mut stream, mut at) = (stream(100), 100);
            while at < bytes.len() {
                let mut seen = vec![0; (bytes.len() - at).min(MIB / 3)];
                stream.read_exact(&mut seen).unwrap();
                assert!(seen == bytes[at..at + seen.len()], "{skip} at {at}");
                at += seen.len();
                let passed = usize::try_from(stream.skip(skip as u64).unwrap()).unwrap();
                assert_eq!(passed, skip.min(bytes.len() - at));
                at += passed;
            }
            assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        }
    }
}
