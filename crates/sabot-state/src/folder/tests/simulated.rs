//! A disk that keeps what was synced, and of the rest whatever it likes.
//!
//! It models what POSIX allows and file systems do: bytes of a file and names in a folder are in the cache
//! until they are synced, each for itself. When power is cut, every change of a name that is still pending
//! is kept or lost independently of the others, and a file with unsynced bytes is as it was, as it should be,
//! shortened, or zeros. After a failed sync of a file its pages count as clean and are never written: a second
//! sync says that all is well, as it does on Linux.

use crate::folder::disk::{Disk, DiskFile};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Component, Path};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// What becomes of unsynced changes when power is cut.
pub(crate) enum Unsynced {
    Lost,
    Kept,
    Random { seed: u64, rng: Box<ChaCha8Rng> },
}

impl Unsynced {
    pub(crate) fn random(seed: u64) -> Self {
        Unsynced::Random { seed, rng: Box::new(ChaCha8Rng::seed_from_u64(seed)) }
    }
}

impl fmt::Debug for Unsynced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unsynced::Lost => f.write_str("all unsynced changes lost"),
            Unsynced::Kept => f.write_str("all unsynced changes kept"),
            Unsynced::Random { seed, .. } => write!(f, "unsynced changes by seed {seed}"),
        }
    }
}

/// Which syncs do nothing: of a call before it and the path. For canaries.
pub(crate) type Skipped = fn(before: &str, call: &str, path: &str) -> bool;

#[derive(Clone)]
pub(crate) struct SimulatedDisk {
    world: Arc<Mutex<World>>,
}

struct World {
    files: Vec<Inode>,
    folders: Vec<Folder>,
    calls: usize,
    last: &'static str,
    off: bool,
    power_cut_at: Option<usize>,
    fault: Option<(usize, ErrorKind)>,
    skipped: Skipped,
    age: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    File(usize),
    Folder(usize),
}

#[derive(Default)]
struct Inode {
    now: Vec<u8>,
    kept: Vec<u8>,
    dirty: bool,
    /// A sync has failed: what was written until then will never be on the medium.
    given_up: bool,
}

#[derive(Default)]
struct Folder {
    now: BTreeMap<String, Node>,
    kept: BTreeMap<String, Node>,
    pending: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Add(String, Node),
    Remove(String),
    Move { from: String, to: String, node: Node },
}

impl Change {
    fn apply(self, names: &mut BTreeMap<String, Node>) {
        match self {
            Change::Add(name, node) => {
                names.insert(name, node);
            }
            Change::Remove(name) => {
                names.remove(&name);
            }
            Change::Move { from, to, node } => {
                names.remove(&from);
                names.insert(to, node);
            }
        }
    }
}

impl fmt::Debug for SimulatedDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("simulated disk")
    }
}

impl SimulatedDisk {
    pub(crate) fn new() -> Self {
        let world = World {
            files: Vec::new(),
            folders: vec![Folder::default()],
            calls: 0,
            last: "",
            off: false,
            power_cut_at: None,
            fault: None,
            skipped: |_, _, _| false,
            age: Duration::from_secs(7200),
        };
        Self { world: Arc::new(Mutex::new(world)) }
    }

    pub(crate) fn skip(self, skipped: Skipped) -> Self {
        self.world().skipped = skipped;
        self
    }

    /// Calls so far.
    pub(crate) fn calls(&self) -> usize {
        self.world().calls
    }

    /// The call with this number, from now, and all later ones fail; [`SimulatedDisk::cut_power`] or
    /// [`SimulatedDisk::kill`] bring the disk back.
    pub(crate) fn stop_at(&self, call: usize) {
        let mut world = self.world();
        world.power_cut_at = Some(world.calls + call);
    }

    /// The call with this number, from now, fails once; a write has then written half.
    pub(crate) fn fail_at(&self, call: usize, kind: ErrorKind) {
        let mut world = self.world();
        world.fault = Some((world.calls + call, kind));
    }

    pub(crate) fn set_age(&self, age: Duration) {
        self.world().age = age;
    }

    /// The process is gone; what it wrote is still in the cache, and no more on the medium than before.
    pub(crate) fn kill(&self) {
        let mut world = self.world();
        (world.off, world.power_cut_at, world.fault) = (false, None, None);
    }

    /// The machine is gone and comes back.
    pub(crate) fn cut_power(&self, unsynced: &mut Unsynced) {
        self.kill();
        let mut world = self.world();
        for folder in &mut world.folders {
            for change in std::mem::take(&mut folder.pending) {
                let is_kept = match unsynced {
                    Unsynced::Lost => false,
                    Unsynced::Kept => true,
                    Unsynced::Random { rng, .. } => rng.random_bool(0.5),
                };
                if is_kept {
                    change.apply(&mut folder.kept);
                }
            }
            folder.now = folder.kept.clone();
        }
        for file in world.files.iter_mut().filter(|file| file.dirty || file.given_up) {
            let now = std::mem::take(&mut file.now);
            file.now = match unsynced {
                Unsynced::Lost => file.kept.clone(),
                Unsynced::Kept if file.given_up => file.kept.clone(),
                Unsynced::Kept => now,
                Unsynced::Random { rng, .. } => {
                    let half = now[..rng.random_range(0..=now.len())].to_vec();
                    let zeros = vec![0; now.len()];
                    [file.kept.clone(), now, half, zeros].choose(rng).unwrap().clone()
                }
            };
            (file.kept, file.dirty, file.given_up) = (file.now.clone(), false, false);
        }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }
}

impl World {
    /// Counts a call; fails where it is to. True: a sync that is to do nothing.
    fn call(&mut self, call: &'static str, path: &Path) -> io::Result<bool> {
        if self.off || self.power_cut_at == Some(self.calls) {
            self.off = true;
            return Err(io::Error::other("the power was cut"));
        }
        let number = self.calls;
        self.calls += 1;
        let is_skipped = (self.skipped)(self.last, call, &path.to_string_lossy());
        self.last = call;
        if let Some((at, kind)) = self.fault
            && at == number
        {
            self.fault = None;
            return Err(kind.into());
        }
        Ok(is_skipped)
    }

    fn node(&self, path: &Path) -> io::Result<Node> {
        let mut node = Node::Folder(0);
        for part in path.components() {
            let Component::Normal(name) = part else { continue };
            let Node::Folder(folder) = node else { return Err(ErrorKind::NotADirectory.into()) };
            let found = self.folders[folder].now.get(name.to_str().unwrap());
            node = *found.ok_or(ErrorKind::NotFound)?;
        }
        Ok(node)
    }

    fn folder(&mut self, path: &Path) -> io::Result<&mut Folder> {
        match self.node(path)? {
            Node::Folder(folder) => Ok(&mut self.folders[folder]),
            Node::File(_) => Err(ErrorKind::NotADirectory.into()),
        }
    }

    fn change(&mut self, path: &Path, change: impl FnOnce(String) -> Change) -> io::Result<()> {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let folder = self.folder(path.parent().unwrap())?;
        let change = change(name);
        change.clone().apply(&mut folder.now);
        folder.pending.push(change);
        Ok(())
    }

    fn must_not_exist(&self, path: &Path) -> io::Result<()> {
        match self.node(path) {
            Ok(_) => Err(ErrorKind::AlreadyExists.into()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Disk for SimulatedDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut world = self.world();
        world.call("create", path)?;
        world.must_not_exist(path)?;
        let inode = world.files.len();
        world.change(path, |name| Change::Add(name, Node::File(inode)))?;
        world.files.push(Inode::default());
        Ok(Box::new(OpenFile { disk: self.clone(), inode, path: path.to_owned() }))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut world = self.world();
        world.call("read", path)?;
        match world.node(path)? {
            Node::File(file) => Ok(world.files[file].now.clone()),
            Node::Folder(_) => Err(ErrorKind::IsADirectory.into()),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.call("rename", to)?;
        assert_eq!(from.parent(), to.parent(), "a rename between folders is not modelled");
        let node = world.node(from)?;
        let from = from.file_name().unwrap().to_str().unwrap().to_owned();
        world.change(to, |to| Change::Move { from, to, node })
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.call("link", to)?;
        world.must_not_exist(to)?;
        let node = world.node(from)?;
        world.change(to, |name| Change::Add(name, node))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.call("remove", path)?;
        world.node(path)?;
        world.change(path, Change::Remove)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.call("create folder", path)?;
        world.must_not_exist(path)?;
        let folder = world.folders.len();
        world.change(path, |name| Change::Add(name, Node::Folder(folder)))?;
        world.folders.push(Folder::default());
        Ok(())
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        if world.call("sync folder", path)? {
            return Ok(());
        }
        let folder = world.folder(path)?;
        folder.pending.clear();
        folder.kept = folder.now.clone();
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut world = self.world();
        world.call("list", path)?;
        Ok(world.folder(path)?.now.keys().cloned().collect())
    }

    fn age(&self, _: &Path) -> io::Result<Duration> {
        Ok(self.world().age)
    }
}

struct OpenFile {
    disk: SimulatedDisk,
    inode: usize,
    path: std::path::PathBuf,
}

impl DiskFile for OpenFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut world = self.disk.world();
        let result = world.call("write", &self.path);
        let written = match &result {
            Ok(_) => bytes,
            Err(_) if world.off => return result.map(|_| ()),
            Err(_) => &bytes[..bytes.len() / 2],
        };
        let file = &mut world.files[self.inode];
        file.now.extend_from_slice(written);
        file.dirty = true;
        result.map(|_| ())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut world = self.disk.world();
        let result = world.call("sync", &self.path);
        let is_off = world.off;
        let file = &mut world.files[self.inode];
        match result {
            Ok(false) if !file.given_up => {
                file.kept = file.now.clone();
                file.dirty = false;
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(error) => {
                file.given_up |= !is_off;
                Err(error)
            }
        }
    }
}
