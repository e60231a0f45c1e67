//! Where the bytes of a source come from: files, and streams that can be read once.
//!
//! A file is opened as often as it is wanted and at any place. The standard input, and anything else at a
//! path that is no regular file (a pipe, a terminal), can be read once: what is looked at to learn the
//! columns is kept for whoever reads the rows.

use sabot_connect::{Blob, ByteStream, ConnectError, Found, PartitionId, Position};
use std::fmt;
use std::fs::File;
use std::io::{self, Cursor, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::Location;
use crate::compression::Compression;
use crate::paths::input_files;

/// The path that stands for the standard input and output.
pub(crate) const STDIO: &str = "-";

/// One input, which is one partition.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    id: PartitionId,
    path: Arc<Path>,
    compression: Compression,
    bytes: Bytes,
}

#[derive(Clone, Debug)]
enum Bytes {
    /// That can be read any number of times.
    Blob(Arc<dyn Blob>),
    /// That can be read once.
    Stream(Arc<Stream>),
}

/// Bytes that can be read once.
struct Stream(Mutex<State>);

enum State {
    Closed,
    /// What was looked at, and what follows.
    Open(Vec<u8>, Box<dyn Read + Send>),
    Taken,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stream")
    }
}

/// The inputs that a location stands for: `-`, a file, a folder, or a pattern.
pub(crate) fn inputs(
    location: &Location,
    extensions: &[&str],
    compression: Option<Compression>,
) -> Result<Vec<Input>, ConnectError> {
    if location.path() == Path::new(STDIO) {
        return Ok(vec![Input::new("stdin", STDIO.into(), compression, Found::Once)]);
    }
    let (store, path) = location.resolve()?;
    let found = input_files(&*store, &path, extensions)?;
    let input =
        |(path, found): (PathBuf, Found)| Input::new(&path.display().to_string(), path, compression, found);
    Ok(found.into_iter().map(input).collect())
}

impl Input {
    fn new(id: &str, path: PathBuf, compression: Option<Compression>, found: Found) -> Self {
        let compression = compression.unwrap_or_else(|| Compression::of_path(&path));
        let bytes = match found {
            Found::Blob(blob) => Bytes::Blob(blob),
            Found::Once | Found::Folder => Bytes::Stream(Arc::new(Stream(Mutex::new(State::Closed)))),
        };
        Self { id: PartitionId::new(id), path: path.into(), compression, bytes }
    }

    pub(crate) fn id(&self) -> &PartitionId {
        &self.id
    }

    pub(crate) fn path(&self) -> &Arc<Path> {
        &self.path
    }

    /// What can be read any number of times.
    pub(crate) fn blob(&self) -> Option<&Arc<dyn Blob>> {
        match &self.bytes {
            Bytes::Blob(blob) => Some(blob),
            Bytes::Stream(_) => None,
        }
    }

    /// Whether it can be read once, and more may come while it is read.
    pub(crate) fn is_live(&self) -> bool {
        self.blob().is_none()
    }

    /// Whether reading waits for somebody other than a disk.
    pub(crate) fn waits(&self) -> bool {
        self.blob().is_none_or(|blob| blob.is_remote())
    }

    /// Looks at the beginning. Whoever opens it afterwards finds all of it.
    pub(crate) fn peek<T>(
        &self,
        look: impl FnOnce(Box<dyn ByteStream>) -> Result<T, ConnectError>,
    ) -> Result<T, ConnectError> {
        let stream = match &self.bytes {
            Bytes::Blob(blob) => return look(self.decompressed(blob.stream(0)?)?),
            Bytes::Stream(stream) => stream,
        };
        let (head, rest) = self.take(stream)?;
        let tee = Arc::new(Mutex::new(Tee { seen: head, at: 0, rest }));
        let found = self.decompressed(Box::new(InOrder(Shared(tee.clone())))).and_then(look);
        // `look` is over, and with it the other handle.
        if let Some(tee) = Arc::into_inner(tee) {
            let Tee { seen, rest, .. } = tee.into_inner().unwrap_or_else(PoisonError::into_inner);
            *stream.0.lock().unwrap_or_else(PoisonError::into_inner) = State::Open(seen, rest);
        }
        found
    }

    /// The text from a position on, and the byte before it.
    pub(crate) fn open_at(&self, from: Position) -> Result<(Box<dyn ByteStream>, Option<u8>), ConnectError> {
        let bad =
            |reason: String| ConnectError::BadPosition { name: self.id.to_string(), row: from.row, reason };
        let blob = match &self.bytes {
            Bytes::Blob(blob) => blob,
            Bytes::Stream(_) if from.offset > 0 => {
                return Err(bad("its rows cannot be read twice".to_owned()));
            }
            Bytes::Stream(stream) => {
                let (head, rest) = self.take(stream)?;
                return Ok((self.decompressed(Box::new(InOrder(Cursor::new(head).chain(rest))))?, None));
            }
        };
        let Some(skip) = from.offset.checked_sub(1) else {
            return Ok((self.decompressed(blob.stream(0)?)?, None));
        };
        let mut text = match self.compression {
            Compression::None => blob.stream(skip)?,
            _ => {
                let mut text = self.decompressed(blob.stream(0)?)?;
                text.skip(skip).map_err(|error| self.read_error(error))?;
                text
            }
        };
        let mut before = [0];
        match text.read_exact(&mut before) {
            Ok(()) => Ok((text, Some(before[0]))),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof && !is_of_store(&error) => {
                Err(bad(format!("the file ends before byte {}", from.offset)))
            }
            Err(error) => Err(self.read_error(error)),
        }
    }

    /// Refuses a position that is plainly beyond the end. How long compressed text is, nobody knows before
    /// it is read.
    pub(crate) fn check_offset(&self, from: Position) -> Result<(), ConnectError> {
        let Some(blob) = self.blob().filter(|_| self.compression == Compression::None) else {
            return Ok(());
        };
        if from.offset <= blob.length()? {
            return Ok(());
        }
        let reason = format!("the file ends before byte {}", from.offset);
        Err(ConnectError::BadPosition { name: self.id.to_string(), row: from.row, reason })
    }

    /// What a store or a decompressor said about reading.
    pub(crate) fn read_error(&self, error: io::Error) -> ConnectError {
        let format = match self.compression {
            Compression::None => return self.io("read", error),
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        };
        match error.kind() {
            ErrorKind::InvalidData
            | ErrorKind::InvalidInput
            | ErrorKind::UnexpectedEof
            | ErrorKind::Other
                if !is_of_store(&error) =>
            {
                ConnectError::Corrupt { path: self.path.to_path_buf(), format, reason: error.to_string() }
            }
            _ => self.io("read", error),
        }
    }

    fn io(&self, action: &'static str, error: io::Error) -> ConnectError {
        ConnectError::io(action, &*self.path, error)
    }

    fn decompressed(&self, bytes: Box<dyn ByteStream>) -> Result<Box<dyn ByteStream>, ConnectError> {
        if self.compression == Compression::None {
            return Ok(bytes);
        }
        let text = self.compression.decompress(Box::new(bytes)).map_err(|error| self.read_error(error))?;
        Ok(Box::new(InOrder(text)))
    }

    /// Takes what can be read once: what was looked at, and the rest.
    fn take(&self, stream: &Stream) -> Result<(Vec<u8>, Box<dyn Read + Send>), ConnectError> {
        let mut state = stream.0.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *state, State::Taken) {
            State::Open(head, rest) => Ok((head, rest)),
            State::Closed if *self.path == *Path::new(STDIO) => Ok((Vec::new(), Box::new(io::stdin()))),
            State::Closed => {
                let file = File::open(&self.path).map_err(|error| self.io("open", error))?;
                Ok((Vec::new(), Box::new(file)))
            }
            State::Taken => Err(ConnectError::AlreadyClaimed { name: self.id.to_string() }),
        }
    }
}

/// Whether the bytes could not be had, in contrast to bytes that are wrong.
fn is_of_store(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<ConnectError>())
}

/// Bytes that can only be read one after the other.
struct InOrder<R>(R);

impl<R: Read> Read for InOrder<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl<R: Read + Send> ByteStream for InOrder<R> {
    fn skip(&mut self, bytes: u64) -> io::Result<u64> {
        io::copy(&mut self.0.by_ref().take(bytes), &mut io::sink())
    }
}

/// Keeps what is read.
struct Tee {
    seen: Vec<u8>,
    at: usize,
    rest: Box<dyn Read + Send>,
}

struct Shared(Arc<Mutex<Tee>>);

impl Read for Shared {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut tee = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Tee { seen, at, rest } = &mut *tee;
        let mut bytes = (&seen[*at..]).read(into)?;
        if bytes == 0 {
            bytes = rest.read(into)?;
            seen.extend_from_slice(&into[..bytes]);
        }
        *at += bytes;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Disk;
    use sabot_connect::Store;
    use std::fs;
    use std::io::Write;

    fn text(mut from: Box<dyn ByteStream>, bytes: usize) -> String {
        let mut text = vec![0; bytes];
        let read = from.read(&mut text).unwrap();
        text.truncate(read);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_stream_can_be_looked_at_and_read_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text");
        fs::write(&path, "hello").unwrap();
        let input = Input::new("text", path, None, Found::Once);
        assert_eq!(input.peek(|from| Ok(text(from, 2))).unwrap(), "he");
        assert_eq!(input.peek(|from| Ok(text(from, 2))).unwrap(), "he");
        assert_eq!(input.peek(|from| Ok(io::read_to_string(from).unwrap())).unwrap(), "hello");
        let (whole, before) = input.open_at(Position::START).unwrap();
        assert_eq!((io::read_to_string(whole).unwrap().as_str(), before), ("hello", None));
        let again = input.open_at(Position::START).err().unwrap();
        assert!(matches!(again, ConnectError::AlreadyClaimed { .. }));
    }

    /// A blob whose stream breaks off as a connection does.
    #[derive(Debug)]
    struct Lost(Vec<u8>);

    struct LostStream(Cursor<Vec<u8>>);

    impl Read for LostStream {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            match self.0.read(into)? {
                0 => {
                    Err(ConnectError::io("read", "s3://b/a", io::Error::other("connection reset")).into_io())
                }
                bytes => Ok(bytes),
            }
        }
    }

    impl ByteStream for LostStream {
        fn skip(&mut self, bytes: u64) -> io::Result<u64> {
            io::copy(&mut self.by_ref().take(bytes), &mut io::sink())
        }
    }

    impl Blob for Lost {
        fn length(&self) -> Result<u64, ConnectError> {
            Ok(self.0.len() as u64 + 1)
        }

        fn stream(&self, _from: u64) -> Result<Box<dyn ByteStream>, ConnectError> {
            Ok(Box::new(LostStream(Cursor::new(self.0.clone()))))
        }

        fn range(&self, _range: std::ops::Range<u64>) -> Result<bytes::Bytes, ConnectError> {
            panic!("text is streamed")
        }

        fn prepared(&self, _ranges: &[std::ops::Range<u64>]) -> Result<Arc<dyn Blob>, ConnectError> {
            panic!("text is streamed")
        }

        fn is_remote(&self) -> bool {
            true
        }
    }

    #[test]
    fn a_lost_connection_is_no_broken_file() {
        let folder = tempfile::tempdir().unwrap();
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let path = folder.path().join(format!("text{}", compression.suffix()));
            let mut to = compression.compress(Box::new(File::create(&path).unwrap())).unwrap();
            to.write_all(b"hello, world").unwrap();
            to.finish().unwrap();
            let bytes = fs::read(&path).unwrap();
            for kept in [0, 5, bytes.len() - 3] {
                let blob = Found::Blob(Arc::new(Lost(bytes[..kept].to_vec())));
                let input = Input::new("s3://b/a", "s3://b/a".into(), Some(compression), blob);
                // zstd wants some bytes when it is opened.
                let error = match input.open_at(Position::START) {
                    Ok((mut text, _)) => input.read_error(io::copy(&mut text, &mut io::sink()).unwrap_err()),
                    Err(error) => error,
                };
                assert_eq!(error.to_string(), "cannot read s3://b/a: connection reset", "{compression}");
                assert!(matches!(error, ConnectError::Io { .. }));
            }
        }
    }

    #[test]
    fn compressed_text_is_read_from_any_byte_and_broken_text_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let path = folder.path().join(format!("text{}", compression.suffix()));
            for part in ["hello, ", "world"] {
                // Two members, one behind the other.
                let file = File::options().create(true).append(true).open(&path).unwrap();
                let mut to = compression.compress(Box::new(file)).unwrap();
                to.write_all(part.as_bytes()).unwrap();
                to.finish().unwrap();
            }
            let input = Input::new("text", path.clone(), None, Disk.look(&path).unwrap().unwrap());
            assert_eq!(input.peek(|from| Ok(io::read_to_string(from).unwrap())).unwrap(), "hello, world");
            for offset in 1..=12 {
                let (rest, before) = input.open_at(Position { row: 1, offset }).unwrap();
                let at = usize::try_from(offset).unwrap();
                assert_eq!(io::read_to_string(rest).unwrap(), "hello, world"[at..]);
                assert_eq!(before, Some("hello, world".as_bytes()[at - 1]));
            }
            let past = input.open_at(Position { row: 1, offset: 13 }).err().unwrap().to_string();
            assert!(past.ends_with("the file ends before byte 13"), "{past}");
            if compression != Compression::None {
                let bytes = fs::read(&path).unwrap();
                fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
                let (mut cut, _) = input.open_at(Position::START).unwrap();
                let error = io::copy(&mut cut, &mut io::sink()).unwrap_err();
                let message = input.read_error(error).to_string();
                assert!(message.contains(&format!("is not a readable {compression} file")), "{message}");
            }
        }
    }
}
