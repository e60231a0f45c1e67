//! Paths and URLs that users give.

use sabot_connect::{ConnectError, Store, Stores};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::Disk;

/// Where files are read or written: a path of this machine (`data/*.csv`, `file:///data/a.csv`, `-`), or a
/// URL of an object store (`s3://bucket/flights/*.parquet`) with the stores that know it.
///
/// Every path is a location, without stores beside the disk.
///
/// ```
/// use sabot_files::{CsvOptions, FileSource, Location};
/// let remote = FileSource::csv(Location::from("s3://bucket/a.csv"), CsvOptions::default());
/// assert!(remote.unwrap_err().to_string().contains("feature \"object-store\""));
/// ```
#[derive(Clone, Debug)]
pub struct Location {
    path: PathBuf,
    stores: Arc<dyn Stores>,
}

impl Location {
    /// A path or URL, with the stores that know URLs.
    pub fn new(path: impl AsRef<Path>, stores: Arc<dyn Stores>) -> Self {
        Self { path: path.as_ref().to_owned(), stores }
    }

    /// The path or URL as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The store, and the path in it.
    pub(crate) fn resolve(&self) -> Result<(Arc<dyn Store>, PathBuf), ConnectError> {
        let Some(text) = self.path.to_str() else {
            return Err(ConnectError::NameNotUtf8 { path: self.path.clone() });
        };
        match scheme(text) {
            None => Ok((Arc::new(Disk), self.path.clone())),
            Some("file") => Ok((Arc::new(Disk), path_of_file_url(text)?)),
            Some(_) => Ok((self.stores.store(text)?, self.path.clone())),
        }
    }
}

impl<P: AsRef<Path>> From<P> for Location {
    fn from(path: P) -> Self {
        Self::new(path, Arc::new(DiskOnly))
    }
}

impl PartialEq for Location {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path && Arc::ptr_eq(&self.stores, &other.stores)
    }
}

impl Eq for Location {}

/// The stores of a build without object stores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskOnly;

impl Stores for DiskOnly {
    fn store(&self, url: &str) -> Result<Arc<dyn Store>, ConnectError> {
        let hint = "this build reads no other: enable the feature \"object-store\" of the crate sabot";
        Err(ConnectError::NoStore { url: url.into(), hint: hint.to_owned() })
    }
}

/// The scheme of a URL, in what may be a path.
fn scheme(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once("://")?;
    let mut letters = scheme.bytes();
    let first = letters.next().is_some_and(|byte| byte.is_ascii_alphabetic());
    let rest = letters.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    (first && rest).then_some(scheme)
}

/// The path that a URL with the scheme `file` means (RFC 8089).
fn path_of_file_url(url: &str) -> Result<PathBuf, ConnectError> {
    let bad = |expected: &str| ConnectError::BadOption {
        kind: "file".to_owned(),
        option: "path".to_owned(),
        expected: expected.to_owned(),
        found: format!("\"{url}\""),
    };
    let rest = url.strip_prefix("file://").unwrap_or(url);
    let path = match rest.strip_prefix("localhost") {
        Some(path) if path.starts_with('/') => path,
        _ if rest.starts_with('/') => rest,
        _ => return Err(bad("a path of this machine, with three slashes: file:///data/a.csv")),
    };
    let decoded = percent_decoded(path).ok_or_else(|| bad("UTF-8 behind every %, or %25 for a % itself"))?;
    // A drive, as Windows has it: file:///c:/data/a.csv.
    let drive = cfg!(windows) && decoded.as_bytes().get(2) == Some(&b':');
    Ok(PathBuf::from(if drive { &decoded[1..] } else { &decoded[..] }))
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        // Parsing a number would take a sign too.
        let digits = part.get(..2).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_are_told_from_paths() {
        for (text, wanted) in [
            ("s3://bucket/a.csv", Some("s3")),
            ("memory:///a.csv", Some("memory")),
            ("a+b://x", Some("a+b")),
            ("data/a.csv", None),
            ("-", None),
            ("c:\\data\\a.csv", None),
            ("odd name://a", None),
            ("://a", None),
        ] {
            assert_eq!(scheme(text), wanted, "{text}");
        }
        let refused = Location::from("gs://bucket/a.csv").resolve().unwrap_err().to_string();
        assert!(refused.starts_with("gs://bucket/a.csv is no path of this machine"), "{refused}");
    }

    #[test]
    fn urls_of_files_are_paths() {
        let path = |url: &str| Location::from(url).resolve().map(|(_, path)| path);
        assert_eq!(path("file:///data/a%20b/%C3%A9.csv").unwrap(), Path::new("/data/a b/é.csv"));
        assert_eq!(path("file://localhost/a.csv").unwrap(), Path::new("/a.csv"));
        for (url, why) in [
            ("file://server/a.csv", "three slashes"),
            ("file://localhosts/a.csv", "three slashes"),
            ("file:///a%2", "%25 for a % itself"),
            ("file:///a%zz", "%25 for a % itself"),
            ("file:///a%+f", "%25 for a % itself"),
            ("file:///a%ff", "UTF-8"),
        ] {
            let message = path(url).unwrap_err().to_string();
            assert!(message.contains(why), "{message}");
        }
    }
}
