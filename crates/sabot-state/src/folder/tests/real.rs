//! On the file system of the machine.

use super::simulated::SimulatedDisk;
use crate::folder::{FolderStore, LEFT_OVER};
use sabot_checkpoint::{BlockId, CheckpointStore, Created, StoreErrorKind};
use sabot_common::Epoch;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

#[test]
fn what_was_put_is_there_for_everybody() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("a/b/checkpoints");
    let (one, two) = (FolderStore::open(&folder).unwrap(), FolderStore::open(&folder).unwrap());
    let blocks: Vec<Vec<u8>> = (0..300).map(|i| format!("block {i}").into_bytes()).collect();
    for bytes in blocks.iter().chain(&blocks[..10]) {
        one.put_block(BlockId::of(bytes), bytes).unwrap();
    }
    let mut ids: Vec<BlockId> = blocks.iter().map(|bytes| BlockId::of(bytes)).collect();
    let mut found = two.blocks().unwrap();
    ids.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, ids);
    assert_eq!(two.block(BlockId::of(b"block 7")).unwrap(), b"block 7");

    for epoch in [3, 1, u64::MAX, 2] {
        assert_eq!(one.create_manifest(Epoch(epoch), b"mine").unwrap(), Created::Written);
        assert_eq!(two.create_manifest(Epoch(epoch), b"yours").unwrap(), Created::Exists);
    }
    assert_eq!(two.manifests().unwrap(), [Epoch(1), Epoch(2), Epoch(3), Epoch(u64::MAX)]);
    assert_eq!(two.manifest(Epoch(3)).unwrap(), b"mine");

    for _ in 0..2 {
        two.delete_manifest(Epoch(2)).unwrap();
        two.delete_block(ids[0]).unwrap();
    }
    assert_eq!(one.manifests().unwrap().len(), 3);
    assert_eq!(one.blocks().unwrap().len(), 299);
    assert!(temporaries(&folder).is_empty());
}

#[test]
fn a_path_may_be_relative() {
    let here = tempfile::tempdir_in(".").unwrap();
    let path = Path::new(here.path().file_name().unwrap()).join("kept");
    for _ in 0..2 {
        FolderStore::open(&path).unwrap();
    }
    assert!(FolderStore::open("").is_err());
}

#[test]
fn of_several_writers_one_creates_a_manifest() {
    let folder = tempfile::tempdir().unwrap();
    for epoch in 1..20 {
        let written: usize = std::thread::scope(|scope| {
            let create = |writer: u8| {
                let store = FolderStore::open(folder.path()).unwrap();
                let bytes = vec![writer; 10_000];
                usize::from(store.create_manifest(Epoch(epoch), &bytes).unwrap() == Created::Written)
            };
            let writers: Vec<_> = (0..4).map(|writer| scope.spawn(move || create(writer))).collect();
            writers.into_iter().map(|writer| writer.join().unwrap()).sum()
        });
        assert_eq!(written, 1);
        let bytes = FolderStore::open(folder.path()).unwrap().manifest(Epoch(epoch)).unwrap();
        assert!(bytes.len() == 10_000 && bytes.iter().all(|b| *b == bytes[0]));
    }
}

#[test]
fn errors_name_the_path_and_what_helps() {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderStore::open(folder.path()).unwrap();
    let id = BlockId::of(b"state");
    let error = store.block(id).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::NotFound);
    let text = error.to_string();
    let path = folder.path().join(format!("blocks/{}/{id}", &id.to_string()[..2]));
    assert!(text.contains(&format!("could not read block {id} in {}", path.display())), "{text}");
    assert!(text.contains("check that this is the folder of the job"), "{text}");
    assert_eq!(store.manifest(Epoch(9)).unwrap_err().kind, StoreErrorKind::NotFound);

    store.put_block(id, b"state").unwrap();
    for damaged in [b"stat".as_slice(), b"stale", b""] {
        fs::write(&path, damaged).unwrap();
        let error = store.block(id).unwrap_err();
        assert!(matches!(error.kind, StoreErrorKind::Damaged { .. }), "{error}");
    }
    // Putting it again mends it.
    store.put_block(id, b"state").unwrap();
    assert_eq!(store.block(id).unwrap(), b"state");

    fs::write(folder.path().join("file"), b"").unwrap();
    let error = FolderStore::open(folder.path().join("file")).unwrap_err();
    assert!(matches!(error.kind, StoreErrorKind::Io { .. }), "{error}");
    assert!(error.to_string().contains("file/epochs"), "{error}");
}

#[test]
fn other_files_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderStore::open(folder.path()).unwrap();
    store.put_block(BlockId::of(b"state"), b"state").unwrap();
    let others =
        ["epochs/1.manifest", "epochs/notes.txt", "epochs/000000000000000000001.manifest", "blocks/readme"];
    for other in others {
        fs::write(folder.path().join(other), b"").unwrap();
    }
    let store = FolderStore::open(folder.path()).unwrap();
    assert_eq!((store.manifests().unwrap(), store.blocks().unwrap().len()), (vec![], 1));
    assert!(others.iter().all(|other| folder.path().join(other).exists()));
}

#[test]
fn temporary_files_are_removed_once_they_are_old() {
    let folder = tempfile::tempdir().unwrap();
    FolderStore::open(folder.path()).unwrap().put_block(BlockId::of(b"state"), b"state").unwrap();
    let block = BlockId::of(b"state").to_string();
    let in_use = ["epochs/.sabot-tmp-1-1".to_owned(), format!("blocks/{}/.sabot-tmp-1-2", &block[..2])];
    let left = ["epochs/.sabot-tmp-1-3".to_owned(), format!("blocks/{}/.sabot-tmp-1-4", &block[..2])];
    for name in in_use.iter().chain(&left) {
        fs::write(folder.path().join(name), b"half").unwrap();
    }
    let long_ago = SystemTime::now() - LEFT_OVER - Duration::from_secs(1);
    for name in &left {
        let file = fs::File::options().write(true).open(folder.path().join(name)).unwrap();
        file.set_modified(long_ago).unwrap();
    }
    let store = FolderStore::open(folder.path()).unwrap();
    assert!(in_use.iter().all(|name| folder.path().join(name).exists()));
    assert!(left.iter().all(|name| !folder.path().join(name).exists()));
    assert_eq!((store.manifests().unwrap().len(), store.blocks().unwrap().len()), (0, 1));
}

#[test]
fn a_file_system_without_links_says_so() {
    let disk = SimulatedDisk::new();
    let store = FolderStore::on("/data".into(), Box::new(disk.clone())).unwrap();
    disk.set_age(Duration::ZERO);
    // Creating a temporary file, writing and syncing it come before the link.
    disk.fail_at(3, std::io::ErrorKind::Unsupported);
    let error = store.create_manifest(Epoch(1), b"one").unwrap_err();
    assert!(error.to_string().contains("unsupported"), "{error}");
    assert!(store.manifests().unwrap().is_empty());
}

/// Large blocks take another way to the medium, which has its own idea of how long they are.
#[test]
fn large_blocks_come_back_whatever_their_length() {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderStore::open(folder.path()).unwrap();
    let bytes: Vec<u8> = (0..(5 << 20) + 1u32).map(|i| (i / 7) as u8).collect();
    for length in [(1 << 20) - 1, 1 << 20, (1 << 20) + 1, (2 << 20) + 4096, 3_333_333, bytes.len()] {
        let block = &bytes[..length];
        let id = BlockId::of(block);
        store.put_block(id, block).unwrap();
        assert!(store.block(id).unwrap() == block, "{length} bytes");
    }
}

/// A folder that version 1 has written; it opens for ever. What is in the files is the affair of their formats.
#[test]
fn the_folder_of_version_1_opens() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/folder-1");
    let blocks = [b"a block".as_slice(), b"another block", b""];
    let manifests = [(Epoch(41), b"manifest 41".as_slice()), (Epoch(42), b"manifest 42")];
    // Opening syncs and tidies up; the golden one stays as it is.
    let folder = tempfile::tempdir().unwrap();
    copy(&golden, folder.path());
    let store = FolderStore::open(folder.path()).unwrap();
    assert_eq!(store.manifests().unwrap(), manifests.map(|(epoch, _)| epoch));
    for (epoch, bytes) in manifests {
        assert_eq!(store.manifest(epoch).unwrap(), bytes);
    }
    // Names were of another hash then.
    let found = store.blocks().unwrap();
    assert!(blocks.iter().all(|bytes| !found.contains(&BlockId::of(bytes))));
    let mut found: Vec<Vec<u8>> = found.into_iter().map(|id| store.block(id).unwrap()).collect();
    found.sort_unstable();
    assert_eq!(found, [b"".as_slice(), b"a block", b"another block"]);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &to) } else { fs::copy(&path, &to).map(|_| ()).unwrap() }
    }
}

fn temporaries(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(temporaries(&path));
        } else if path.file_name().unwrap().to_string_lossy().starts_with('.') {
            found.push(path.display().to_string());
        }
    }
    found
}
