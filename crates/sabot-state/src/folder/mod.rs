//! Checkpoints in a folder of a local file system.
//!
//! ```text
//! <folder>/blocks/<2 digits>/<name>          a block, under the first two digits of its name
//! <folder>/epochs/<20 digits>.manifest       the manifest of an epoch
//! <folder>/…/.sabot-tmp-<number>-<number>    a file that is being written, or was when somebody was killed
//! ```
//!
//! What the store keeps, whatever happens to process, machine or medium:
//!
//! - *A name is there with all of its bytes or not at all.* Files are written under another name and synced,
//!   and get their own name in one step: blocks by a rename, manifests by a link, which fails where there is
//!   one already.
//! - *What was answered stays.* The folder is synced before an answer, also before saying that something is
//!   there already, or is listed: a name that a killed process has left can be seen long before it is on the
//!   medium, and whoever acts upon it must not lose it afterwards.
//! - *A manifest goes before its blocks do.* Its removal is synced, so that it cannot come back without them.
//!   Blocks may come back; they are listed then, and deleted again.
//! - *What cannot be trusted is written anew.* After a failed sync nothing is known of a file, so a repeated
//!   call never goes on with it.
//!
//! The file system must know hard links and must not promise what it does not do: a disk whose cache forgets
//! what it has acknowledged loses epochs, and no program can help that.

mod disk;
#[cfg(test)]
mod tests;

use sabot_checkpoint::{
    BlockId, CheckpointStore, Created, StoreError, StoreErrorKind, epoch_of_name, manifest_name,
};
use sabot_common::{Epoch, FailPoint};
use std::collections::BTreeSet;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use disk::{Disk, RealDisk};

const BLOCKS: &str = "blocks";
const EPOCHS: &str = "epochs";
const TEMPORARY: &str = ".sabot-tmp-";
/// A temporary file that nobody has written to for this long is nobody's: the longest write of one file is
/// that of a block of some MiB.
const LEFT_OVER: Duration = Duration::from_secs(3600);

/// Blocks and manifests in a folder. Several processes may use the same one.
///
/// ```
/// # use sabot_checkpoint::{BlockId, CheckpointStore, Created};
/// # use sabot_common::Epoch;
/// # use sabot_state::FolderStore;
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// let store = FolderStore::open(folder)?;
/// let id = BlockId::of(b"state");
/// store.put_block(id, b"state")?;
/// assert_eq!(store.create_manifest(Epoch(1), b"manifest")?, Created::Written);
///
/// let again = FolderStore::open(folder)?;
/// assert_eq!(again.manifests()?, [Epoch(1)]);
/// assert_eq!(again.block(id)?, b"state");
/// assert!(folder.join("epochs/00000000000000000001.manifest").exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct FolderStore {
    folder: PathBuf,
    disk: Box<dyn Disk>,
    /// Folders of blocks that are known to be on the medium.
    made: Mutex<BTreeSet<PathBuf>>,
    /// What makes names of temporary files unlike those of other processes, and of other calls.
    process: u64,
    calls: AtomicU64,
}

impl fmt::Debug for FolderStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.folder.display())
    }
}

impl FolderStore {
    /// The store in a folder, which is made if it is not there. Temporary files that were left there are
    /// removed once they are old.
    ///
    /// # Errors
    /// [`StoreError`] where the folder cannot be made or read.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, StoreError> {
        Self::on(absolute(folder.into())?, Box::new(RealDisk))
    }

    /// The store in a folder, to look into: nothing is made or tidied up.
    ///
    /// ```
    /// # use sabot_checkpoint::{CheckpointStore, StoreErrorKind};
    /// # use sabot_state::FolderStore;
    /// let nowhere = FolderStore::look("no folder of this name")?;
    /// assert_eq!(nowhere.manifests().unwrap_err().kind, StoreErrorKind::NotFound);
    /// # Ok::<(), sabot_checkpoint::StoreError>(())
    /// ```
    ///
    /// # Errors
    /// [`StoreError`] for a path that cannot be made absolute. What is not there is noticed when it is read.
    pub fn look(folder: impl Into<PathBuf>) -> Result<Self, StoreError> {
        Ok(Self::new(absolute(folder.into())?, Box::new(RealDisk)))
    }

    fn new(folder: PathBuf, disk: Box<dyn Disk>) -> Self {
        // Two processes with the same number would be one accident; a file that is there is not overwritten.
        let process = RandomState::new().hash_one(std::process::id());
        Self { folder, disk, made: Mutex::default(), process, calls: AtomicU64::new(0) }
    }

    fn on(folder: PathBuf, disk: Box<dyn Disk>) -> Result<Self, StoreError> {
        let store = Self::new(folder, disk);
        store.make_root().map_err(|error| store.error("make the folder", &store.folder, error))?;
        for folder in [store.epochs(), store.folder.join(BLOCKS)] {
            store.make_folder(&folder).map_err(|error| store.error("make the folder", &folder, error))?;
        }
        let epochs = store.epochs();
        store.remove_left_overs(&epochs).map_err(|error| store.error("tidy up", &epochs, error))?;
        for folder in store.block_folders()? {
            store.remove_left_overs(&folder).map_err(|error| store.error("tidy up", &folder, error))?;
        }
        Ok(store)
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn epochs(&self) -> PathBuf {
        self.folder.join(EPOCHS)
    }

    fn manifest_path(&self, epoch: Epoch) -> PathBuf {
        self.epochs().join(manifest_name(epoch))
    }

    fn block_path(&self, id: BlockId) -> PathBuf {
        let name = id.to_string();
        self.folder.join(BLOCKS).join(&name[..2]).join(name)
    }

    fn block_folders(&self) -> Result<Vec<PathBuf>, StoreError> {
        let blocks = self.folder.join(BLOCKS);
        let names = self.disk.list(&blocks).map_err(|error| self.error("list blocks", &blocks, error))?;
        let is_ours = |name: &String| name.len() == 2 && name.bytes().all(|b| b.is_ascii_hexdigit());
        Ok(names.into_iter().filter(is_ours).map(|name| blocks.join(name)).collect())
    }

    /// A folder that is on the medium. Those above it, where they were there, are as they were.
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        let created = self.disk.create_folder(folder);
        match created {
            Err(error) if error.kind() == ErrorKind::NotFound && folder.parent().is_some() => {
                self.make_folder(parent_of(folder))?;
                self.disk.create_folder(folder)?;
            }
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        // Also where it was there: whoever made it may have been killed before it was synced.
        self.disk.sync_folder(parent_of(folder))
    }

    /// The folder of the store, on the medium with all that are above it: an earlier process may have made
    /// some of them and have been killed before it synced them.
    fn make_root(&self) -> io::Result<()> {
        match self.disk.create_folder(&self.folder) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            _ => return self.make_folder(&self.folder),
        }
        for above in self.folder.ancestors().map(parent_of) {
            match self.disk.sync_folder(above) {
                // Whoever may not look into a folder has not made another one in it.
                Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
                synced => synced?,
            }
        }
        Ok(())
    }

    fn remove_left_overs(&self, folder: &Path) -> io::Result<()> {
        for name in self.disk.list(folder)?.iter().filter(|name| name.starts_with(TEMPORARY)) {
            let path = folder.join(name);
            let is_old = self.disk.age(&path).is_ok_and(|age| age >= LEFT_OVER);
            match if is_old { self.disk.remove(&path) } else { Ok(()) } {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Bytes on the medium, under a name of their own in a folder.
    fn write_temporary(&self, folder: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("{TEMPORARY}{:016x}-{call}", self.process));
        let written = self.disk.create(&path).and_then(|mut file| {
            file.write(bytes)?;
            FailPoint::FileWritten.pass();
            file.sync()?;
            FailPoint::FileSynced.pass();
            Ok(())
        });
        match written {
            Ok(()) => Ok(path),
            Err(error) => {
                self.forget(&path);
                Err(error)
            }
        }
    }

    /// Removes a temporary file; what remains of it is removed when the store is opened.
    fn forget(&self, temporary: &Path) {
        let _ = self.disk.remove(temporary);
    }

    /// An error before anything could be seen by others.
    fn error(&self, what: impl Into<String>, path: &Path, error: io::Error) -> StoreError {
        let kind = match error.kind() {
            ErrorKind::NotFound => StoreErrorKind::NotFound,
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StoreErrorKind::Full,
            _ => StoreErrorKind::Io { problem: error.to_string() },
        };
        StoreError::new(what, path.display().to_string(), kind)
    }

    /// An error of a sync that came after others could see what was done: it may last or not.
    fn unsure(&self, what: impl Into<String>, path: &Path, error: io::Error) -> StoreError {
        StoreError::new(what, path.display().to_string(), StoreErrorKind::Io { problem: error.to_string() })
    }

    fn made(&self, folder: &Path) -> bool {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).contains(folder)
    }
}

impl CheckpointStore for FolderStore {
    fn put_block(&self, id: BlockId, bytes: &[u8]) -> Result<(), StoreError> {
        let what = || format!("write block {id}");
        let path = self.block_path(id);
        let folder = path.parent().unwrap_or(&self.folder);
        if !self.made(folder) {
            self.make_folder(folder).map_err(|error| self.error(what(), &path, error))?;
            self.made.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_owned());
        }
        let temporary =
            self.write_temporary(folder, bytes).map_err(|error| self.error(what(), &path, error))?;
        if let Err(error) = self.disk.rename(&temporary, &path) {
            self.forget(&temporary);
            return Err(self.error(what(), &path, error));
        }
        FailPoint::FileNamed.pass();
        self.disk.sync_folder(folder).map_err(|error| self.unsure(what(), &path, error))
    }

    fn block(&self, id: BlockId) -> Result<Vec<u8>, StoreError> {
        let what = || format!("read block {id}");
        let path = self.block_path(id);
        let bytes = self.disk.read(&path).map_err(|error| self.error(what(), &path, error))?;
        id.check(&bytes).map_err(|kind| StoreError::new(what(), path.display().to_string(), kind))?;
        Ok(bytes)
    }

    fn create_manifest(&self, epoch: Epoch, bytes: &[u8]) -> Result<Created, StoreError> {
        let what = || format!("create the manifest of epoch {epoch}");
        let (folder, path) = (self.epochs(), self.manifest_path(epoch));
        let temporary =
            self.write_temporary(&folder, bytes).map_err(|error| self.error(what(), &path, error))?;
        let created = match self.disk.link(&temporary, &path) {
            Ok(()) => Created::Written,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Created::Exists,
            Err(error) => {
                self.forget(&temporary);
                return Err(self.error(what(), &path, error));
            }
        };
        FailPoint::FileNamed.pass();
        let synced = self.disk.sync_folder(&folder);
        self.forget(&temporary);
        synced.map_err(|error| self.unsure(what(), &path, error))?;
        Ok(created)
    }

    fn manifest(&self, epoch: Epoch) -> Result<Vec<u8>, StoreError> {
        let path = self.manifest_path(epoch);
        let what = || format!("read the manifest of epoch {epoch}");
        self.disk.read(&path).map_err(|error| self.error(what(), &path, error))
    }

    fn manifests(&self) -> Result<Vec<Epoch>, StoreError> {
        let folder = self.epochs();
        let names = self.disk.list(&folder).map_err(|error| self.error("list manifests", &folder, error))?;
        self.disk.sync_folder(&folder).map_err(|error| self.unsure("list manifests", &folder, error))?;
        let mut epochs: Vec<Epoch> = names.iter().filter_map(|name| epoch_of_name(name)).collect();
        epochs.sort_unstable();
        Ok(epochs)
    }

    fn delete_manifest(&self, epoch: Epoch) -> Result<(), StoreError> {
        let what = || format!("delete the manifest of epoch {epoch}");
        let path = self.manifest_path(epoch);
        match self.disk.remove(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(self.error(what(), &path, error)),
            _ => self.disk.sync_folder(&self.epochs()).map_err(|error| self.unsure(what(), &path, error)),
        }
    }

    fn blocks(&self) -> Result<Vec<BlockId>, StoreError> {
        let mut blocks = Vec::new();
        for folder in self.block_folders()? {
            let names = self.disk.list(&folder).map_err(|error| self.error("list blocks", &folder, error))?;
            blocks.extend(names.iter().filter_map(|name| name.parse::<BlockId>().ok()));
        }
        Ok(blocks)
    }

    fn delete_block(&self, id: BlockId) -> Result<(), StoreError> {
        let path = self.block_path(id);
        match self.disk.remove(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(self.error(format!("delete block {id}"), &path, error))
            }
            _ => Ok(()),
        }
    }
}

/// Folders above it are synced as well, up to the root; of a bare name there are none.
fn absolute(folder: PathBuf) -> Result<PathBuf, StoreError> {
    std::path::absolute(&folder).map_err(|error| {
        let kind = StoreErrorKind::Io { problem: error.to_string() };
        StoreError::new("find the folder", folder.display().to_string(), kind)
    })
}

/// The folder above; of a bare name the one in which the process is.
fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}
