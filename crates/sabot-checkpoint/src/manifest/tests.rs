//! Manifests come back as they were written, and whatever is wrong with one has its own error.

use super::*;
use sabot_common::KeyGroups;
use sha2::{Digest, Sha256};

/// A manifest with something in every field.
pub(crate) fn full() -> Manifest {
    let part = |task, start, end, text: &[u8]| StatePart {
        task,
        groups: KeyGroupRange { start, end },
        blocks: vec![BlockRef::of(text), BlockRef::of(b"both")],
    };
    let partition = |name: &str, ordinal, ended: bool| PartitionState {
        name: name.to_owned(),
        ordinal,
        position: vec![0, 0x1f, 0xff, u8::try_from(ordinal).unwrap()],
        rows: u64::MAX,
        event_time_max: (!ended).then_some(i64::MIN + 1),
        ended,
    };
    let staged = |task, epoch| Staged { task, epoch: Epoch(epoch), payload: b"3-0.csv".to_vec(), rows: 17 };
    Manifest {
        job: "frauds \"é\"\n".to_owned(),
        generation: 3,
        writer: 0xfeed_beef_0000_0001,
        epoch: Epoch(42),
        kind: ManifestKind::Savepoint,
        created_ms: 1_764_324_000_123,
        hash_seed: u64::MAX - 1,
        key_groups: 128,
        finished: false,
        operators: vec![OperatorState {
            id: OperatorId::new("count by card"),
            kind: "group_by".to_owned(),
            shape: "card utf8, count int64".to_owned(),
            parts: vec![part(0, 0, 64, b"a"), part(1, 64, 128, b"b"), part(2, 128, 128, b"c")],
        }],
        sources: vec![SourceState {
            id: OperatorId::new("payments"),
            partitions: vec![partition("a.csv", 0, true), partition("topic/3", 7, false)],
        }],
        sinks: vec![SinkState { id: OperatorId::new("alerts"), staged: vec![staged(0, 41), staged(0, 42)] }],
    }
}

/// The bytes of a manifest with `change` applied to its text, and a hash that fits.
fn rewritten(change: impl FnOnce(String) -> String) -> Vec<u8> {
    use sha2::Digest;
    let text = String::from_utf8(full().to_bytes().unwrap()).unwrap();
    let body = change(text.split_once('\n').unwrap().1.to_owned());
    let hash = hex::encode(&sha2::Sha256::digest(&body));
    format!("sabot-manifest 1 sha256:{hash}\n{body}").into_bytes()
}

#[test]
fn a_manifest_comes_back() {
    let manifest = full();
    assert_eq!(Manifest::from_bytes(&manifest.to_bytes().unwrap()).unwrap(), manifest);
    assert_eq!(manifest.blocks().len(), 4);
}

/// This file was written by the first version, and every later one reads it.
#[test]
fn version_1_loads_for_ever() {
    let golden = include_bytes!("../../tests/golden/manifest-1.txt");
    let mut expected = full();
    // Names of blocks were SHA-256 then.
    for block in expected.operators.iter_mut().flat_map(|o| &mut o.parts).flat_map(|part| &mut part.blocks) {
        let texts = [b"a".as_slice(), b"b", b"c", b"both"];
        let text = texts.into_iter().find(|text| BlockRef::of(text) == *block).unwrap();
        block.id = BlockId::from(<[u8; 32]>::from(Sha256::digest(text)));
        assert!(block.id.names(text));
    }
    assert_eq!(Manifest::from_bytes(golden).unwrap(), expected);
}

#[test]
fn every_torn_manifest_is_noticed() {
    let bytes = full().to_bytes().unwrap();
    for length in 0..bytes.len() {
        let error = Manifest::from_bytes(&bytes[..length]).unwrap_err();
        assert!(
            matches!(error, ManifestError::NotAManifest | ManifestError::Damaged { .. }),
            "{length}: {error}"
        );
    }
}

#[test]
fn every_changed_byte_is_noticed() {
    let bytes = full().to_bytes().unwrap();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(Manifest::from_bytes(&changed).is_err(), "byte {at}");
    }
}

#[test]
fn newer_formats_are_refused_before_their_content_is_looked_at() {
    let error = Manifest::from_bytes(b"sabot-manifest 2 sha256:what? and more\nnot JSON").unwrap_err();
    assert_eq!(error, ManifestError::Newer { format: 2 });
    for other in
        ["sabot-manifest 0 sha256:a\n", "sabot-manifest x sha256:a\n", "manifest 1 sha256:a\n", "{}\n"]
    {
        assert_eq!(Manifest::from_bytes(other.as_bytes()), Err(ManifestError::NotAManifest), "{other}");
    }
}

#[test]
fn fields_that_this_version_does_not_know_are_refused() {
    let bytes = rewritten(|body| body.replacen("\"finished\"", "\"later\": 1, \"finished\"", 1));
    let error = Manifest::from_bytes(&bytes).unwrap_err();
    assert!(matches!(&error, ManifestError::Syntax { problem } if problem.contains("later")), "{error}");
}

/// The field that a change of the full manifest makes wrong, when it is read and when it is written.
fn wrong_field(change: impl FnOnce(&mut Manifest)) -> String {
    let mut manifest = full();
    change(&mut manifest);
    let written = manifest.to_bytes().unwrap_err();
    let body = serde_json::to_string(&manifest).unwrap();
    assert_eq!(Manifest::from_bytes(&rewritten(|_| body)).unwrap_err(), written);
    match written {
        ManifestError::Field { field, .. } => field,
        other => panic!("{other}"),
    }
}

#[test]
fn fields_that_make_no_sense_are_named() {
    let groups = "operators[\"count by card\"].parts[1].groups";
    assert_eq!(wrong_field(|m| m.epoch = Epoch(0)), "epoch");
    assert_eq!(wrong_field(|m| m.generation = 0), "generation");
    assert_eq!(wrong_field(|m| m.key_groups = 0), "key_groups");
    assert_eq!(wrong_field(|m| m.operators[0].parts[1].groups.start = 63), groups);
    assert_eq!(wrong_field(|m| m.operators[0].parts[1].groups.end = 129), groups);
    assert_eq!(wrong_field(|m| m.operators.push(m.operators[0].clone())), "operators");
    assert_eq!(wrong_field(|m| m.sources[0].partitions[1].ordinal = 0), "sources[\"payments\"].partitions");
    assert_eq!(wrong_field(|m| m.sinks.push(m.sinks[0].clone())), "sinks");
}

#[test]
fn a_manifest_again_has_nothing_to_commit() {
    let again = full().again(Epoch(43), ManifestKind::Skipped, 5);
    let ids = |manifest: &Manifest| manifest.sinks.iter().map(|sink| sink.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&again), ids(&full()));
    assert!(again.sinks.iter().all(|sink| sink.staged.is_empty()));
    assert_eq!((again.epoch, again.generation, again.created_ms), (Epoch(43), 3, 5));
    assert_eq!((again.sources, again.operators), (full().sources, full().operators));
    assert_eq!(Manifest::first("a", 0, KeyGroups::default()).epoch, Epoch::FIRST);
}
