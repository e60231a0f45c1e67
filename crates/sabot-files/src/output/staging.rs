//! The folder of the disk in which the parts of an output are staged.

use sabot_connect::{ConnectError, Store};
use std::fs::{self, DirBuilder};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Beside the output where that is on a disk, so that a rename makes parts visible; else a folder of its own
/// among the temporary files, which goes with the sink.
#[derive(Debug)]
pub(super) struct Staging {
    folder: PathBuf,
    scratch: bool,
}

impl Staging {
    /// For an output in a folder of a store.
    pub(super) fn of(store: &dyn Store, folder: &Path) -> Self {
        match store.on_disk(folder) {
            Some(folder) => Self { folder, scratch: false },
            None => {
                // Nobody else can know the name before the folder is there and is theirs to look into.
                let number = RandomState::new().hash_one(folder);
                Self { folder: std::env::temp_dir().join(format!("sabot-{number:016x}")), scratch: true }
            }
        }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether what is staged goes with the sink.
    pub(super) fn is_scratch(&self) -> bool {
        self.scratch
    }

    /// Makes the folder if it is not there.
    pub(super) fn create(&self) -> Result<(), ConnectError> {
        let created = match self.scratch {
            false => fs::create_dir_all(&self.folder),
            true => match private().create(&self.folder) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
                created => created,
            },
        };
        created.map_err(|error: io::Error| ConnectError::io("create", &self.folder, error))
    }
}

/// Makes folders that only their owner can look into.
fn private() -> DirBuilder {
    #[cfg_attr(not(unix), allow(unused_mut, reason = "the mode is that of Unix"))]
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

impl Drop for Staging {
    fn drop(&mut self) {
        if self.scratch {
            // What remains is in the folder of temporary files, and its owner knows what to do with them.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}
