//! Jobs whose checkpoints lie in an object store.

use super::{endpoint, everywhere, faults::tell, s3};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sabot::prelude::*;
use sabot::{Error, JobError};
use sabot_checkpoint::{BlockId, CheckpointStore, Created, StoreErrorKind};
use sabot_common::Epoch;
use sabot_tests::interrupted::{PIPELINES, input, undisturbed, with_breaks};
use std::fs;
use std::thread::scope;

#[test]
fn a_store_keeps_what_it_is_given() {
    everywhere("store", |place| {
        let store = place.stores.checkpoints(&place.url("kept")).unwrap();
        assert!(store.manifests().unwrap().is_empty() && store.blocks().unwrap().is_empty());
        let id = BlockId::of(b"state");
        for _ in 0..2 {
            store.put_block(id, b"state").unwrap();
        }
        assert_eq!(store.blocks().unwrap(), [id]);
        assert_eq!(store.block(id).unwrap(), b"state");
        // Whoever reads finds out that the bytes are others.
        let wrong = BlockId::of(b"wrong");
        store.put_block(wrong, b"other").unwrap();
        assert!(matches!(store.block(wrong).unwrap_err().kind, StoreErrorKind::Damaged { .. }));
        store.delete_block(wrong).unwrap();
        assert_eq!(store.block(BlockId::of(b"none")).unwrap_err().kind, StoreErrorKind::NotFound);
        assert_eq!(store.manifest(Epoch(9)).unwrap_err().kind, StoreErrorKind::NotFound);
        for epoch in [12, 2] {
            assert_eq!(store.create_manifest(Epoch(epoch), b"one").unwrap(), Created::Written);
        }
        assert_eq!(store.manifests().unwrap(), [Epoch(2), Epoch(12)]);
        for _ in 0..2 {
            store.delete_manifest(Epoch(2)).unwrap();
            store.delete_block(id).unwrap();
        }
        assert!(store.blocks().unwrap().is_empty());
        assert_eq!(store.manifest(Epoch(12)).unwrap(), b"one");
    });
}

#[test]
fn of_several_writers_one_creates_a_manifest() {
    everywhere("writers", |place| {
        let store = place.stores.checkpoints(&place.url("kept")).unwrap();
        for epoch in (1..20).map(Epoch) {
            let create = |writer: u8| store.create_manifest(epoch, &[writer; 8]).unwrap();
            let created: Vec<Created> = scope(|threads| {
                let writers: Vec<_> = (0..4).map(|writer| threads.spawn(move || create(writer))).collect();
                writers.into_iter().map(|writer| writer.join().unwrap()).collect()
            });
            let written: Vec<usize> = (0..4).filter(|writer| created[*writer] == Created::Written).collect();
            assert_eq!(written.len(), 1, "{created:?}");
            assert_eq!(store.manifest(epoch).unwrap(), [written[0] as u8; 8]);
        }
    });
}

#[test]
fn a_job_goes_on_from_an_object_store() {
    everywhere("jobs", |place| {
        let mut random = ChaCha8Rng::seed_from_u64(5);
        for (number, (name, pipeline)) in PIPELINES.iter().enumerate() {
            let folder = tempfile::tempdir().unwrap();
            input(folder.path(), random.random());
            let wanted = undisturbed(*pipeline, folder.path());
            let output = folder.path().join("out.csv");
            let url = place.url(&format!("kept-{number}"));
            let job = || {
                let job = Job::new("job").write(&pipeline(folder.path()).unwrap(), csv(&output)).unwrap();
                job.checkpoints(Checkpoints::url(&url, &place.stores).every_rows(4_000))
            };
            let ran = with_breaks(job, &mut random);
            assert!(fs::read_to_string(&output).unwrap() == wanted, "{name}: {ran:?}");
        }
    });
}

/// Requests that fail for a while are repeated, and one that always fails ends the job with what the server said.
#[test]
fn a_store_that_fails_is_asked_again_or_named() {
    let Some(endpoint) = endpoint() else { return };
    let place = s3(&endpoint, "kept-and-failing", &[("max_retries", "3"), ("retry_timeout", "5s")]);
    let folder = tempfile::tempdir().unwrap();
    input(folder.path(), 6);
    let (_, pipeline) = PIPELINES[1];
    let run = |name: &str| {
        let output = folder.path().join(format!("{name}.csv"));
        let job = Job::new(name).write(&pipeline(folder.path()).unwrap(), csv(&output)).unwrap();
        let checkpoints = Checkpoints::url(place.url(name), &place.stores).every_rows(10_000);
        job.checkpoints(checkpoints).run()
    };
    for method in ["PUT", "GET"] {
        tell(&endpoint, method, "again", 503, 2);
        run(&format!("again-{method}")).unwrap();
    }
    tell(&endpoint, "PUT", "never", 403, 1_000);
    let error = run("never").unwrap_err();
    assert!(
        matches!(&error, Error::Job(JobError::Checkpoint { reason }) if reason.contains("never")),
        "{error}"
    );
    tell(&endpoint, "PUT", "never", 403, 0);
}
