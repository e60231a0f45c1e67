//! Web servers: what they are asked, and what is made of their answers.

use super::server::{Answer, Request, Server};
use sabot::{ConnectError, Error, Stream, csv};
use sabot_connect::{Blob, Found, Stores};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const DAY: &str = "Wed, 02 Jan 2019 10:00:00 GMT";

/// Text of some requests' length.
fn text() -> Vec<u8> {
    (0..100_000).fold(b"a\n".to_vec(), |mut text, i| {
        text.extend(format!("{i}\n").bytes());
        text
    })
}

fn blob(server: &Server) -> Arc<dyn Blob> {
    let url = server.url("a.csv");
    let found = server.web().store(&url).unwrap().look(Path::new(&url)).unwrap();
    let Some(Found::Blob(blob)) = found else { panic!("{found:?}") };
    blob
}

fn read(server: &Server, path: &str) -> Result<usize, Error> {
    let rows = Stream::read(csv(server.url(path)).stores(&server.web()))?.collect()?;
    Ok(rows.iter().map(|batch| batch.num_rows()).sum())
}

#[test]
fn a_weak_version_is_no_condition() {
    let bytes = text();
    let server = Server::start(move |request| match request.header("if-match") {
        // As servers answer that compare as they should.
        Some(weak) if weak.starts_with("W/") => Answer::status(412),
        _ => Answer::of(request, &bytes).with("ETag", "W/\"1\"").with("Last-Modified", DAY),
    });
    assert_eq!(read(&server, "a.csv").unwrap(), 100_000);
    let gets: Vec<Request> = server.seen().into_iter().filter(|asked| asked.method == "GET").collect();
    assert!(gets.len() > 1 && gets.iter().all(|asked| asked.header("if-match").is_none()), "{gets:?}");
    assert!(gets.iter().all(|asked| asked.header("if-unmodified-since") == Some(DAY)), "{gets:?}");
}

#[test]
fn two_versions_are_not_mixed_where_conditions_are_passed_over() {
    for [name, first, second] in
        [["ETag", "\"1\"", "\"2\""], ["Last-Modified", DAY, "Wed, 02 Jan 2019 10:00:01 GMT"]]
    {
        let (bytes, answered) = (text(), AtomicUsize::new(0));
        let server = Server::start(move |request| {
            // To HEAD, and to the first GET.
            let version = if answered.fetch_add(1, Ordering::Relaxed) < 2 { first } else { second };
            Answer::of(request, &bytes).with(name, version)
        });
        let mut stream = blob(&server).stream(0).unwrap();
        let failed = std::io::copy(&mut stream, &mut std::io::sink()).unwrap_err();
        match ConnectError::io("read", "", failed) {
            ConnectError::Changed { path, offset } => {
                assert_eq!((path, offset), (server.url("a.csv").into(), 256 << 10), "{name}");
            }
            other => panic!("{name}: {other}"),
        }
    }
}

#[test]
fn a_page_that_is_not_there_is_missed_without_a_guess() {
    let server = Server::start(|_| Answer::status(404));
    match read(&server, "data/a.csv") {
        Err(Error::Connect(ConnectError::NotFound { path, hint })) => {
            assert_eq!(path, Path::new(&server.url("data/a.csv")));
            assert_eq!(hint, "there is no such file, and what else there is cannot be listed");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_connection_that_is_lost_is_no_broken_file() {
    for path in ["a.csv", "a.csv.gz", "a.csv.zst"] {
        let server = Server::start(|request| {
            let mut answer = Answer::of(request, &[0x1f; 1000]).with("ETag", "\"1\"");
            answer.cut = Some(0);
            answer
        });
        match read(&server, path) {
            Err(Error::Connect(ConnectError::Io { action: "read", path: found, .. })) => {
                assert_eq!(found, Path::new(&server.url(path)));
            }
            other => panic!("{path}: {other:?}"),
        }
    }
}

#[test]
fn bodies_come_as_they_are_stored() {
    let bytes = text();
    let server = Server::start(move |request| Answer::of(request, &bytes).with("Content-Encoding", "gzip"));
    // What is sent under the name of gzip and is none would be refused, or unpacked.
    assert_eq!(read(&server, "a.csv").unwrap(), 100_000);
    assert!(server.seen().iter().all(|asked| asked.header("accept-encoding").is_none()));
}
