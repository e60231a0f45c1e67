//! What a folder store does to a file system, as a trait: tests put a disk behind it that loses what was not
//! synced, tears writes and runs full.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// A file system. Nothing but what was synced survives a loss of power: a file's bytes by
/// [`DiskFile::sync`], its name, its removal and its other names by [`Disk::sync_folder`] of its folder.
pub(crate) trait Disk: Debug + Send + Sync {
    /// A new file, which must not be there.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// All bytes of a file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Gives a file another name in one step, instead of a file that has the name already.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file a second name in one step; [`io::ErrorKind::AlreadyExists`] where that is taken.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a name.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes a folder in a folder that is there; [`io::ErrorKind::AlreadyExists`] where it is there itself.
    fn create_folder(&self, path: &Path) -> io::Result<()>;

    /// Waits until the names in a folder are on the medium as they are now.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;

    /// The names in a folder that are text, in any order.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;

    /// For how long a file has not been written to; zero where that cannot be known.
    fn age(&self, path: &Path) -> io::Result<Duration>;
}

/// A file that is being written.
pub(crate) trait DiskFile {
    /// Writes all bytes of the file; it is called once.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Waits until the bytes are on the medium.
    fn sync(&mut self) -> io::Result<()>;
}

/// The file system of the machine.
#[derive(Debug)]
pub(crate) struct RealDisk;

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        Ok(Box::new(RealFile { file, path: path.to_owned() }))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match read_direct(path)? {
            Some(bytes) => Ok(bytes),
            None => fs::read(path),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        // Windows keeps names in a journal of its own, and cannot open a folder as a file.
        if cfg!(windows) { Ok(()) } else { File::open(path)?.sync_all() }
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(path)? {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn age(&self, path: &Path) -> io::Result<Duration> {
        let written = fs::metadata(path)?.modified()?;
        Ok(SystemTime::now().duration_since(written).unwrap_or_default())
    }
}

/// A file, and where it is.
struct RealFile {
    file: File,
    path: PathBuf,
}

impl DiskFile for RealFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() >= DIRECT_BYTES_MIN && write_direct(&self.path, bytes)? {
            return self.file.set_len(bytes.len() as u64);
        }
        self.file.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_all()
    }
}

/// Files with more bytes go to the medium, and come from there, without a copy in the page cache: nobody reads them before
/// the job starts again, and then each task that has key groups in it once; they are synced at once; and copying takes a core 0.45 s for a GB, against 0.05 s
/// (development machine, `dd bs=8M conv=fdatasync` with and without `oflag=direct`).
const DIRECT_BYTES_MIN: usize = 1 << 20;

/// What such writes are aligned to, in memory and in the file, and how much is written at once.
#[cfg(target_os = "linux")]
const DIRECT_BLOCK: usize = 4096;
#[cfg(target_os = "linux")]
const DIRECT_CHUNK: usize = 1 << 20;

/// Writes an empty file past the page cache, its last block filled up with zeros; false where that cannot be done.
#[cfg(target_os = "linux")]
fn write_direct(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let Some(mut file) = open_direct(OpenOptions::new().write(true), path) else { return Ok(false) };
    // What is aligned already, as large allocations often are, is written from where it is.
    let whole = if bytes.as_ptr().align_offset(DIRECT_BLOCK) == 0 { bytes.len() / DIRECT_BLOCK } else { 0 };
    let (aligned, rest) = bytes.split_at(whole * DIRECT_BLOCK);
    if !written(file.write_all(aligned))? {
        return Ok(false);
    }
    // A part of a buffer that is aligned. A chunk stays in the second-level cache.
    let mut buffer = vec![0u8; DIRECT_CHUNK.min(rest.len().next_multiple_of(DIRECT_BLOCK)) + DIRECT_BLOCK];
    let start = buffer.as_ptr().align_offset(DIRECT_BLOCK);
    let Some(aligned) = buffer.get_mut(start..) else { return Ok(false) };
    for chunk in rest.chunks(DIRECT_CHUNK) {
        let filled = chunk.len().next_multiple_of(DIRECT_BLOCK);
        aligned[..chunk.len()].copy_from_slice(chunk);
        aligned[chunk.len()..filled].fill(0);
        if !written(file.write_all(&aligned[..filled]))? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether bytes were taken; where they were refused for how they lie, all are written the other way, from the start.
#[cfg(target_os = "linux")]
fn written(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(false),
        result => result.map(|()| true),
    }
}

/// All bytes of a large file, past the page cache; nothing of a small one, and where that cannot be done.
#[cfg(target_os = "linux")]
fn read_direct(path: &Path) -> io::Result<Option<Vec<u8>>> {
    use std::io::Read;

    let Some(mut file) = open_direct(OpenOptions::new().read(true), path) else { return Ok(None) };
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    if length < DIRECT_BYTES_MIN {
        return Ok(None);
    }
    // The last read asks for more than there is, and is where the file ends.
    let mut bytes = vec![0; length.next_multiple_of(DIRECT_BLOCK) + 2 * DIRECT_BLOCK];
    let start = bytes.as_ptr().align_offset(DIRECT_BLOCK);
    let Some(aligned) = bytes.get_mut(start..) else { return Ok(None) };
    let mut read = 0usize;
    while read.is_multiple_of(DIRECT_BLOCK) && read < aligned.len() {
        let end = aligned.len() / DIRECT_BLOCK * DIRECT_BLOCK;
        match file.read(&mut aligned[read..end]) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // The other way reports what is wrong, if something is.
            Err(_) => return Ok(None),
        }
    }
    if read < length {
        return Ok(None);
    }
    if start > 0 {
        bytes.copy_within(start..start + read, 0);
    }
    bytes.truncate(read);
    Ok(Some(bytes))
}

/// A file past the page cache; nothing where that cannot be, and whoever opens it the other way hears why.
#[cfg(target_os = "linux")]
fn open_direct(options: &mut OpenOptions, path: &Path) -> Option<File> {
    use std::os::unix::fs::OpenOptionsExt;

    options.custom_flags(libc::O_DIRECT).open(path).ok()
}

#[cfg(not(target_os = "linux"))]
fn read_direct(_path: &Path) -> io::Result<Option<Vec<u8>>> {
    Ok(None)
}

#[cfg(not(target_os = "linux"))]
fn write_direct(_path: &Path, _bytes: &[u8]) -> io::Result<bool> {
    Ok(false)
}
