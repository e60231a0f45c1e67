//! An S3 server that fails: what is retried, what is told, what remains.
//!
//! `server.py` counts down what it was told to do to the next requests, at `/_faults`.

use super::{Place, batch, endpoint, joined, s3};
use sabot::{ConnectError, Error, Job, Stream, parquet};
use std::io::{Read, Write};
use std::net::TcpStream;

/// Tells the server to answer requests whose method and path contain `what` with a status, so many times.
pub(super) fn tell(endpoint: &str, method: &str, what: &str, status: u16, times: u32) {
    let host = endpoint.trim_start_matches("http://");
    let mut to = TcpStream::connect(host).unwrap();
    let path = format!("/_faults?method={method}&path={what}&status={status}&times={times}");
    write!(to, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    to.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// Few retries, soon.
const SOON: &[(&str, &str)] = &[("max_retries", "3"), ("retry_timeout", "5s")];

fn write(place: &Place, name: &str) -> Result<u64, Error> {
    let stream = Stream::from_batches([batch(0, 2_000)])?;
    let job = Job::new("up").write(&stream, parquet(place.url(name)).stores(&place.stores))?;
    Ok(job.run()?.rows_written)
}

#[test]
fn throttling_and_faults_of_the_server_are_retried() {
    let Some(endpoint) = endpoint() else { return };
    let place = s3(&endpoint, "retried", SOON);
    for status in [503, 500, 429] {
        let name = format!("retried-{status}.parquet");
        tell(&endpoint, "PUT", &name, status, 2);
        assert_eq!(write(&place, &name).unwrap(), 2_000);
        tell(&endpoint, "GET", &name, status, 2);
        let read = Stream::read(parquet(place.url(&name)).stores(&place.stores)).unwrap();
        assert_eq!(joined(&read.collect().unwrap()), batch(0, 2_000));
    }
}

#[test]
fn a_failing_upload_leaves_nothing_to_be_seen() {
    let Some(endpoint) = endpoint() else { return };
    let place = s3(&endpoint, "failing", SOON);
    tell(&endpoint, "PUT", "whole.parquet", 503, 100);
    let failed = write(&place, "whole.parquet").unwrap_err().to_string();
    assert!(failed.contains("whole.parquet") && failed.contains("3 retries"), "{failed}");
    // In parts, of which the second fails.
    let folder = tempfile::tempdir().unwrap();
    let part = folder.path().join("part");
    std::fs::write(&part, vec![7; 17 << 20]).unwrap();
    let url = place.url("parts.bin");
    let store = sabot_connect::Stores::store(&place.stores, &url).unwrap();
    tell(&endpoint, "PUT", "partNumber=2", 503, 100);
    store.publish(&part, url.as_ref()).unwrap_err();
    tell(&endpoint, "PUT", "partNumber=2", 503, 0);
    tell(&endpoint, "POST", "parts.bin?uploadId", 500, 100);
    store.publish(&part, url.as_ref()).unwrap_err();
    assert_eq!(place.names(""), [""; 0]);
    assert_eq!(uploads(&endpoint), 0, "uploads were aborted");
    // What could not be sent is still there, and is sent by another try.
    tell(&endpoint, "POST", "parts.bin?uploadId", 500, 0);
    store.publish(&part, url.as_ref()).unwrap();
    assert_eq!(place.names(""), ["parts.bin"]);
}

/// Uploads that are begun and neither completed nor aborted, as far as they are of this module.
fn uploads(endpoint: &str) -> usize {
    let host = endpoint.trim_start_matches("http://");
    let mut to = TcpStream::connect(host).unwrap();
    write!(to, "GET /sabot?uploads HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    to.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("ListMultipartUploadsResult"), "{answer}");
    answer.matches("parts.bin</Key>").count()
}

#[test]
fn what_is_not_allowed_and_what_is_not_there_are_told_apart() {
    let Some(endpoint) = endpoint() else { return };
    let place = s3(&endpoint, "denied", SOON);
    write(&place, "denied.parquet").unwrap();
    let read = || Stream::read(parquet(place.url("denied.parquet")).stores(&place.stores));
    for status in [403, 401] {
        tell(&endpoint, "HEAD", "denied.parquet", status, 1);
        assert!(matches!(read(), Err(Error::Connect(ConnectError::Denied { .. }))));
    }
    assert_eq!(read().unwrap().schema().fields().len(), 2);
    let missing = Stream::read(parquet("s3://no-such-bucket/a.parquet").stores(&place.stores));
    match missing {
        Err(Error::Connect(ConnectError::NotFound { hint, .. })) => assert!(!hint.is_empty()),
        other => panic!("{other:?}"),
    }
}
