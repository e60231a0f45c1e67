//! An object as bytes to be read, always those of one version.

use bytes::Bytes;
use object_store::path::Path as Key;
use object_store::{GetOptions, GetRange, ObjectMeta};
use sabot_connect::{Blob, ByteStream, ConnectError};
use std::collections::VecDeque;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::io::Work;
use crate::remote::Access;
use crate::stream::{Pieces, ReadAhead};

/// Ranges with less than this between them are one request: sending that much takes less time than waiting
/// for an answer.
const GAP_BYTES: u64 = 256 << 10;

/// A request for more is cut: several connections are faster than one.
const REQUEST_BYTES: u64 = 8 << 20;

/// Requests of one reader at the same time.
const REQUESTS_IN_FLIGHT: usize = 8;

#[derive(Clone, Debug)]
pub(crate) struct Object {
    access: Access,
    path: Arc<Path>,
    meta: Arc<ObjectMeta>,
}

impl Object {
    pub(crate) fn new(access: Access, path: PathBuf, meta: ObjectMeta) -> Self {
        Self { access, path: path.into(), meta: Arc::new(meta) }
    }

    pub(crate) fn size(&self) -> u64 {
        self.meta.size
    }

    /// Begins to fetch a range, which must not be empty.
    pub(crate) fn fetch(&self, range: Range<u64>) -> Fetch {
        let meta = &self.meta;
        // Of a weak one nobody may ask for bytes (RFC 9110, 13.1.1), and servers answer that it does not match.
        let version = meta.e_tag.clone().filter(|e_tag| !e_tag.starts_with("W/"));
        let options = GetOptions {
            range: Some(GetRange::Bounded(range.clone())),
            // Where there are no versions, the time is the next best. That of 1970 is none.
            if_unmodified_since: (version.is_none() && meta.last_modified.timestamp() != 0)
                .then_some(meta.last_modified),
            if_match: version,
            ..GetOptions::default()
        };
        let (client, key, meta): (_, Key, _) =
            (self.access.client.clone(), meta.location.clone(), meta.clone());
        let work = self.access.io.spawn(async move {
            let found = client.get_opts(&key, options).await?;
            let same = is_same_version(&meta, &found.meta);
            Ok((same, found.bytes().await?))
        });
        Fetch { object: self.clone(), range, work }
    }
}

/// Whether two answers are about the same version of an object. Servers need not know conditions, and some
/// pass over them.
fn is_same_version(first: &ObjectMeta, second: &ObjectMeta) -> bool {
    // Lists and answers of the same server differ in quotes (Azure); what compresses on the way makes a version
    // weak; and times are those of headers, in seconds, or of lists, in milliseconds (Google).
    fn bare(meta: &ObjectMeta) -> Option<&str> {
        meta.e_tag.as_deref().map(|e_tag| e_tag.trim_start_matches("W/").trim_matches('"'))
    }
    let same_version = match (bare(first), bare(second)) {
        (Some(first), Some(second)) => first == second,
        _ => first.last_modified.timestamp() == second.last_modified.timestamp(),
    };
    same_version && first.size == second.size
}

/// A range that is on its way.
pub(crate) struct Fetch {
    object: Object,
    pub(crate) range: Range<u64>,
    work: Work<object_store::Result<(bool, Bytes)>>,
}

impl Fetch {
    pub(crate) fn wait(self) -> Result<Bytes, ConnectError> {
        let Object { access, path, .. } = &self.object;
        let offset = self.range.start;
        let answer = self.work.wait().map_err(|error| ConnectError::io("read", &**path, error))?;
        let (same, bytes) = answer.map_err(|error| access.secrets.explain("read", path, offset, error))?;
        match same && bytes.len() as u64 == self.range.end - offset {
            true => Ok(bytes),
            false => Err(ConnectError::Changed { path: path.to_path_buf(), offset }),
        }
    }
}

impl Blob for Object {
    fn length(&self) -> Result<u64, ConnectError> {
        Ok(self.size())
    }

    fn stream(&self, from: u64) -> Result<Box<dyn ByteStream>, ConnectError> {
        Ok(Box::new(ReadAhead::new(self.clone(), from)))
    }

    fn range(&self, range: Range<u64>) -> Result<Bytes, ConnectError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        self.fetch(range).wait()
    }

    fn prepared(&self, ranges: &[Range<u64>]) -> Result<Arc<dyn Blob>, ConnectError> {
        let mut pieces = Vec::new();
        let mut fetching: VecDeque<Fetch> = VecDeque::new();
        for request in requests(ranges, self.size()) {
            fetching.push_back(self.fetch(request));
            if fetching.len() == REQUESTS_IN_FLIGHT
                && let Some(oldest) = fetching.pop_front()
            {
                pieces.push((oldest.range.start, oldest.wait()?));
            }
        }
        for fetch in fetching {
            pieces.push((fetch.range.start, fetch.wait()?));
        }
        Ok(Arc::new(Prepared { object: self.clone(), pieces: pieces.into() }))
    }

    fn is_remote(&self) -> bool {
        true
    }
}

/// What to ask for to have these ranges: in order, without overlaps, and within `size` bytes.
fn requests(ranges: &[Range<u64>], size: u64) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = ranges.iter().map(|r| r.start.min(size)..r.end.min(size)).collect();
    ranges.retain(|range| !range.is_empty());
    ranges.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(GAP_BYTES) => {
                last.end = last.end.max(range.end)
            }
            _ => merged.push(range),
        }
    }
    let cut = |range: Range<u64>| {
        let starts = (range.start..range.end).step_by(usize::try_from(REQUEST_BYTES).unwrap_or(usize::MAX));
        starts.map(move |start| start..range.end.min(start + REQUEST_BYTES)).collect::<Vec<_>>()
    };
    merged.into_iter().flat_map(cut).collect()
}

/// An object of which some pieces are in memory.
#[derive(Debug)]
struct Prepared {
    object: Object,
    /// In order, each with its offset.
    pieces: Arc<[(u64, Bytes)]>,
}

impl Blob for Prepared {
    fn length(&self) -> Result<u64, ConnectError> {
        self.object.length()
    }

    fn stream(&self, from: u64) -> Result<Box<dyn ByteStream>, ConnectError> {
        Ok(Box::new(ReadAhead::new(self.object.clone(), from).with_pieces(self.pieces.clone())))
    }

    fn range(&self, range: Range<u64>) -> Result<Bytes, ConnectError> {
        let mut found = piece_at(&self.pieces, range.start).filter(|piece| !piece.is_empty());
        let wanted = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
        match found.take() {
            Some(piece) if piece.len() >= wanted => Ok(piece.slice(..wanted)),
            Some(piece) => {
                // The rest lies behind a cut.
                let mut bytes = Vec::from(piece);
                bytes.extend(self.range(range.start + bytes.len() as u64..range.end)?);
                Ok(bytes.into())
            }
            None => self.object.range(range),
        }
    }

    fn prepared(&self, ranges: &[Range<u64>]) -> Result<Arc<dyn Blob>, ConnectError> {
        self.object.prepared(ranges)
    }

    fn is_remote(&self) -> bool {
        true
    }
}

/// What the pieces have from an offset on, up to the end of one of them.
pub(crate) fn piece_at(pieces: &Pieces, offset: u64) -> Option<Bytes> {
    let behind = pieces.partition_point(|(start, _)| *start <= offset);
    let (start, bytes) = pieces.get(behind.checked_sub(1)?)?;
    let skip = usize::try_from(offset - start).ok()?;
    (skip < bytes.len()).then(|| bytes.slice(skip..))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime};

    #[test]
    fn versions_are_compared_as_servers_write_them() {
        let meta = |e_tag: Option<&str>, millis: u64, size: u64| ObjectMeta {
            location: Key::from("a"),
            last_modified: (SystemTime::UNIX_EPOCH + Duration::from_millis(millis)).into(),
            size,
            e_tag: e_tag.map(str::to_owned),
            version: None,
        };
        for (first, second, same) in [
            (meta(Some("\"1\""), 0, 7), meta(Some("\"1\""), 5_000, 7), true),
            (meta(Some("\"1\""), 0, 7), meta(Some("\"2\""), 0, 7), false),
            (meta(Some("1"), 0, 7), meta(Some("W/\"1\""), 0, 7), true),
            (meta(None, 5_999, 7), meta(None, 5_000, 7), true),
            (meta(Some("1"), 5_999, 7), meta(None, 6_000, 7), false),
            (meta(None, 0, 7), meta(None, 0, 8), false),
        ] {
            assert_eq!(is_same_version(&first, &second), same, "{first:?} {second:?}");
        }
    }

    #[test]
    fn ranges_become_few_requests_of_bounded_size() {
        let mib = 1 << 20;
        let asked = [10 * mib..10 * mib + 5, 0..4, 4..9, 10 * mib + 100..20 * mib, 50 * mib..60 * mib, 3..3];
        let wanted = [0..9, 10 * mib..18 * mib, 18 * mib..20 * mib, 50 * mib..52 * mib];
        assert_eq!(requests(&asked, 52 * mib), wanted);
        // What a broken file states.
        assert_eq!(requests(&[u64::MAX - 1..u64::MAX, 7..7], 100), []);
    }
}
