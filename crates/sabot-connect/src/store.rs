//! Where files lie: a disk, or an object store.
//!
//! Formats read blobs and publish files; they know neither operating systems nor networks. Everything here
//! blocks: a store that speaks to a network keeps its own threads for that and lets its callers wait, so
//! that no async code is needed to read a file. A blob says whether reading it waits for somebody other
//! than a disk, and whoever reads such a blob does so off the engine's threads.
//!
//! Paths are what the user wrote: `data/a.csv`, `s3://bucket/data/a.csv`. Their parts are separated by `/`
//! everywhere.

use bytes::Bytes;
use std::ffi::OsString;
use std::fmt::Debug;
use std::io::{self, BufRead, BufReader, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::ConnectError;

/// The stores that there are, by URL.
pub trait Stores: Debug + Send + Sync {
    /// The store of a URL, such as `s3://bucket/flights.csv`.
    ///
    /// # Errors
    /// [`ConnectError::NoStore`] when no store has such URLs, [`ConnectError::BadOption`] when it cannot be
    /// reached with the options that were given.
    fn store(&self, url: &str) -> Result<Arc<dyn Store>, ConnectError>;
}

/// A tree of files.
pub trait Store: Debug + Send + Sync {
    /// What is at a path; `None` if nothing is.
    ///
    /// # Errors
    /// [`ConnectError`] when that cannot be found out.
    fn look(&self, path: &Path) -> Result<Option<Found>, ConnectError>;

    /// What lies directly in a folder, in any order; nothing if there is no such folder.
    ///
    /// # Errors
    /// [`ConnectError`] when that cannot be found out.
    fn list(&self, folder: &Path) -> Result<Vec<Entry>, ConnectError>;

    /// Refuses a path at which nothing can be published, before anybody computes something to write there.
    /// One that ends in `/` is a folder. `kind` is the kind of the sink, for the message.
    ///
    /// # Errors
    /// [`ConnectError::BadOption`] or [`ConnectError::NotFound`], saying what would be right.
    fn check_output(&self, kind: &str, path: &Path) -> Result<(), ConnectError>;

    /// The folder of the disk that `folder` is, if it is one. What is staged there becomes visible by a
    /// rename; elsewhere parts are staged in a folder of their own, and then sent.
    fn on_disk(&self, folder: &Path) -> Option<PathBuf>;

    /// Makes a complete file of the disk visible at a path, whole or not at all, instead of what is there.
    /// After that nobody needs the file, and it may be gone.
    ///
    /// # Errors
    /// [`ConnectError`] when it could not be done; then the file is still there, and it can be tried again.
    fn publish(&self, file: &Path, path: &Path) -> Result<(), ConnectError>;

    /// When this returns, what was published in a folder survives a loss of power.
    ///
    /// # Errors
    /// [`ConnectError`] when that cannot be promised.
    fn settle(&self, folder: &Path) -> Result<(), ConnectError>;
}

/// What is at a path.
#[derive(Clone, Debug)]
pub enum Found {
    /// Bytes that can be read any number of times.
    Blob(Arc<dyn Blob>),
    /// Something whose bytes can be read once: a pipe, a terminal.
    Once,
    /// A folder.
    Folder,
}

/// What lies in a folder.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name in the folder, which is text in all stores but disks.
    pub name: OsString,
    /// What it is.
    pub found: Found,
    /// Whether it stands for something that lies elsewhere. Such folders are not gone into by `**`.
    pub linked: bool,
}

/// The bytes of a file or an object.
///
/// Where a store tells versions apart, all reads of a blob are of the version that was found, and
/// [`ConnectError::Changed`] once there is another one. Elsewhere files must not change while they are read.
pub trait Blob: Debug + Send + Sync {
    /// How many bytes there are.
    ///
    /// # Errors
    /// [`ConnectError`] when that cannot be found out.
    fn length(&self) -> Result<u64, ConnectError>;

    /// The bytes from an offset on. Its errors of I/O hold a [`ConnectError`] where one says more; see
    /// [`ConnectError::io`].
    ///
    /// # Errors
    /// [`ConnectError`] when they cannot be read.
    fn stream(&self, from: u64) -> Result<Box<dyn ByteStream>, ConnectError>;

    /// Exactly these bytes.
    ///
    /// # Errors
    /// [`ConnectError`] when they cannot be read, or the blob ends before.
    fn range(&self, range: Range<u64>) -> Result<Bytes, ConnectError>;

    /// The same bytes for one reader that is going to ask for these ranges in any pieces: what is worth
    /// fetching beforehand is.
    ///
    /// # Errors
    /// As [`Blob::range`].
    fn prepared(&self, ranges: &[Range<u64>]) -> Result<Arc<dyn Blob>, ConnectError>;

    /// Whether reading waits for somebody other than a disk.
    fn is_remote(&self) -> bool;
}

/// Bytes in order.
pub trait ByteStream: Read + Send {
    /// Passes over bytes; returns how many, fewer only at the end.
    ///
    /// # Errors
    /// As reading.
    fn skip(&mut self, bytes: u64) -> io::Result<u64>;
}

impl<S: ByteStream + ?Sized> ByteStream for Box<S> {
    fn skip(&mut self, bytes: u64) -> io::Result<u64> {
        (**self).skip(bytes)
    }
}

impl<S: ByteStream> ByteStream for BufReader<S> {
    fn skip(&mut self, bytes: u64) -> io::Result<u64> {
        let buffered = usize::try_from(bytes).unwrap_or(usize::MAX).min(self.buffer().len());
        self.consume(buffered);
        let buffered = buffered as u64;
        // The stream itself need not move for what lies in the buffer.
        match bytes - buffered {
            0 => Ok(buffered),
            rest => Ok(buffered + self.get_mut().skip(rest)?),
        }
    }
}
