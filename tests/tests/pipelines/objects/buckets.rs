//! S3 as it need not be: what marks folders, and how many requests there are.

use super::joined;
use super::server::{Answer, Request, Server};
use arrow::array::{Int64Array, RecordBatch};
use sabot::{ConnectError, Error, ObjectStores, Stream, csv};
use sabot_connect::{Found, Stores};
use std::path::Path;

/// Keys and texts of the bucket, in order.
type Bucket = [(&'static str, &'static str)];

/// Lists a page of two keys at a time.
fn page(request: &Request, bucket: &Bucket) -> String {
    let prefix = request.query("prefix").unwrap_or_default().replace("%2F", "/");
    let from = request.query("continuation-token").unwrap_or_default();
    let is_flat = request.query("delimiter").is_none();
    let found = bucket.iter().filter(|(key, _)| key.starts_with(&*prefix) && *key.replace('/', "-") > *from);
    let (mut text, mut last) = (String::new(), None);
    for (i, (key, body)) in found.enumerate() {
        if i == 2 {
            let token: String = last.unwrap_or_default();
            text.push_str(&format!("<NextContinuationToken>{token}</NextContinuationToken>"));
            break;
        }
        last = Some(key.replace('/', "-"));
        match key[prefix.len()..].split_once('/') {
            Some((folder, _)) if !is_flat => {
                text.push_str(&format!("<CommonPrefixes><Prefix>{prefix}{folder}/</Prefix></CommonPrefixes>"));
            }
            _ => text.push_str(&format!(
                "<Contents><Key>{key}</Key><Size>{}</Size><LastModified>2019-01-02T10:00:00.000Z</LastModified>\
                 <ETag>&quot;1&quot;</ETag></Contents>",
                body.len()
            )),
        }
    }
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult>{text}</ListBucketResult>")
}

fn serve(bucket: &'static Bucket) -> Server {
    Server::start(move |request| {
        let path = request.path.split('?').next().unwrap_or_default();
        if request.query("list-type").is_some() {
            return Answer::of(&Request::default(), page(request, bucket).as_bytes());
        }
        match bucket.iter().find(|(key, _)| path == format!("/b/{key}")) {
            Some((_, body)) => Answer::of(request, body.as_bytes())
                .with("ETag", "\"1\"")
                .with("Last-Modified", "Wed, 02 Jan 2019 10:00:00 GMT"),
            None => Answer::status(404),
        }
    })
}

fn read(stores: &ObjectStores, path: &str) -> Result<Vec<i64>, Error> {
    let rows = joined(&Stream::read(csv(path).stores(stores))?.collect()?);
    let column = |rows: &RecordBatch| rows.column(0).as_any().downcast_ref::<Int64Array>().unwrap().clone();
    Ok(column(&rows).values().to_vec())
}

#[test]
fn what_marks_a_folder_is_no_file() {
    let server = serve(&[
        ("in/", ""),
        ("in/a.csv", "a\n1\n"),
        ("in/b.csv/", ""),
        ("in/b.csv/c.csv", "a\n2\n"),
        ("none/", ""),
    ]);
    let stores = server.s3();
    assert_eq!(read(&stores, "s3://b/in").unwrap(), [1]);
    assert_eq!(read(&stores, "s3://b/in/").unwrap(), [1]);
    assert_eq!(read(&stores, "s3://b/in/*").unwrap(), [1]);
    assert_eq!(read(&stores, "s3://b/in/**/*").unwrap(), [1, 2]);
    assert_eq!(read(&stores, "s3://b/in/*.csv/*").unwrap(), [2]);
    // It is a folder all the same, without files.
    for path in ["s3://b/none", "s3://b/none/"] {
        match read(&stores, path) {
            Err(Error::Connect(ConnectError::NotFound { hint, .. })) => {
                assert!(hint.starts_with("the folder is there"), "{hint}");
            }
            other => panic!("{path}: {other:?}"),
        }
    }
}

#[test]
fn one_page_says_that_a_folder_is_there() {
    let server = serve(&[("in/a", ""), ("in/b", ""), ("in/c", ""), ("in/d", ""), ("in/e/f", "")]);
    let store = server.s3().store("s3://b/in").unwrap();
    for (path, is_there) in
        [("s3://b/in", true), ("s3://b/in/", true), ("s3://b/in/e", true), ("s3://b/i", false)]
    {
        let found = store.look(Path::new(path)).unwrap();
        assert_eq!(matches!(found, Some(Found::Folder)), is_there, "{path}: {found:?}");
        let lists = server.seen().iter().filter(|asked| asked.query("list-type").is_some()).count();
        assert_eq!(lists, 1, "{path}");
    }
    assert_eq!(store.list(Path::new("s3://b/in")).unwrap().len(), 5);
    assert_eq!(server.seen().len(), 3, "pages");
}
