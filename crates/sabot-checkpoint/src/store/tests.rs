//! The store in memory keeps the trait's promises, and breaks them where it is told to.

use super::*;

#[test]
fn a_block_must_have_its_name() {
    let store = MemoryStore::new();
    let id = BlockId::of(b"a");
    let error = store.put_block(id, b"b").unwrap_err();
    assert!(matches!(error.kind, StoreErrorKind::Damaged { .. }), "{error}");
    assert_eq!(store.block(id).unwrap_err().kind, StoreErrorKind::NotFound);
    store.put_block(id, b"a").unwrap();
    store.damage_block(id, b"b");
    assert!(matches!(store.block(id).unwrap_err().kind, StoreErrorKind::Damaged { .. }));
}

#[test]
fn the_call_that_was_named_fails_once() {
    let store = MemoryStore::new();
    store.fail(Call::CreateManifest, 1, Fault::Full);
    store.fail(Call::CreateManifest, 2, Fault::Lost);
    assert_eq!(store.create_manifest(Epoch(1), b"1").unwrap(), Created::Written);
    assert_eq!(store.create_manifest(Epoch(2), b"2").unwrap_err().kind, StoreErrorKind::Full);
    assert!(!store.create_manifest(Epoch(2), b"2").unwrap_err().nothing_happened());
    assert_eq!(store.manifests().unwrap(), [Epoch(1)]);
    assert_eq!(store.create_manifest(Epoch(2), b"2").unwrap(), Created::Written);
}

#[test]
fn a_full_store_still_reads_and_deletes() {
    let store = MemoryStore::new();
    store.create_manifest(Epoch(1), b"1").unwrap();
    store.set_full(true);
    assert_eq!(store.put_block(BlockId::of(b"a"), b"a").unwrap_err().kind, StoreErrorKind::Full);
    assert_eq!(store.manifest(Epoch(1)).unwrap(), b"1");
    store.delete_manifest(Epoch(1)).unwrap();
    store.set_full(false);
    store.put_block(BlockId::of(b"a"), b"a").unwrap();
}

#[test]
fn a_manifest_is_read_under_its_own_number_only() {
    let store = MemoryStore::new();
    let manifest = crate::manifest::tests::full();
    store.create_manifest(Epoch(42), &manifest.to_bytes().unwrap()).unwrap();
    assert_eq!(read_manifest(&store, Epoch(42)).unwrap(), manifest);
    store.create_manifest(Epoch(43), &manifest.to_bytes().unwrap()).unwrap();
    let error = read_manifest(&store, Epoch(43)).unwrap_err();
    assert!(error.to_string().contains("epoch is 42 under the name of epoch 43"), "{error}");
}

#[test]
fn what_came_of_a_write_is_found_out() {
    let lost = |call, fault| {
        let store = MemoryStore::new();
        store.fail(call, 0, fault);
        let first = write_manifest(&store, Epoch(1), b"a");
        (matches!(first, WriteOutcome::Unknown { .. }), write_manifest(&store, Epoch(1), b"a"))
    };
    assert_eq!(lost(Call::CreateManifest, Fault::Lost), (true, WriteOutcome::Written));
    assert_eq!(lost(Call::CreateManifest, Fault::AnswerLost), (true, WriteOutcome::Written));
    assert_eq!(lost(Call::Manifests, Fault::Lost), (true, WriteOutcome::Written));
    assert_eq!(lost(Call::CreateManifest, Fault::Full), (false, WriteOutcome::Written));
    // A half file under the name is nobody's: the number is gone.
    let store = MemoryStore::new();
    store.fail(Call::CreateManifest, 0, Fault::Torn);
    assert!(matches!(write_manifest(&store, Epoch(1), b"ab"), WriteOutcome::Unknown { .. }));
    assert_eq!(write_manifest(&store, Epoch(1), b"ab"), WriteOutcome::Taken);
}

#[test]
fn a_number_that_retention_has_freed_is_taken_all_the_same() {
    let store = MemoryStore::new();
    for epoch in [1, 2, 3] {
        assert_eq!(write_manifest(&store, Epoch(epoch), b"successor"), WriteOutcome::Written);
    }
    store.delete_manifest(Epoch(1)).unwrap();
    assert_eq!(write_manifest(&store, Epoch(1), b"sleeper"), WriteOutcome::Taken);
}
