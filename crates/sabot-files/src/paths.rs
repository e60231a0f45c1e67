//! Paths that users give: a file, a folder of files, or a pattern.

use glob::Pattern;
use sabot_common::did_you_mean;
use sabot_connect::{ConnectError, Found, Store};
use std::ffi::OsStr;
use std::path::{Path, PathBuf, is_separator};

use crate::compression::Compression;

/// A path and what is there.
pub(crate) type Place = (PathBuf, Found);

/// The files that a path stands for: itself; the files of a folder with one of these extensions, which may
/// be compressed; or whatever matches a pattern with `*`, `?` or `[…]`. They come in the order of their
/// paths. Names that start with `.` or `_`, of files and of folders, are bookkeeping of some writer and are
/// passed over in folders, and by parts of patterns that do not begin with that character.
pub(crate) fn input_files(
    store: &dyn Store,
    path: &Path,
    extensions: &[&str],
) -> Result<Vec<Place>, ConnectError> {
    let mut files = match store.look(path)? {
        Some(Found::Folder) => folder(store, path, extensions)?,
        Some(found) => vec![(path.to_owned(), found)],
        None if path.to_string_lossy().contains(WILDCARDS) => matching(store, path)?,
        None => return Err(not_found(store, path)),
    };
    // Two of them would have one name as text, and be one partition.
    if let Some((path, _)) = files.iter().find(|(path, _)| path.to_str().is_none()) {
        return Err(ConnectError::NameNotUtf8 { path: path.clone() });
    }
    files.sort_by(|(a, _), (b, _)| a.cmp(b));
    files.dedup_by(|(a, _), (b, _)| a == b);
    Ok(files)
}

/// What makes a path a pattern.
const WILDCARDS: [char; 3] = ['*', '?', '['];

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn is_hidden(name: &OsStr) -> bool {
    matches!(name.as_encoded_bytes().first(), Some(b'.' | b'_'))
}

/// Whether a file's extension is one of these, that of its compression left aside.
fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    let compressed = Compression::of_path(path) != Compression::None;
    let plain = if compressed { path.with_extension("") } else { path.to_owned() };
    let found = plain.extension().map(|found| found.to_string_lossy().into_owned());
    found.is_some_and(|found| extensions.iter().any(|wanted| found.eq_ignore_ascii_case(wanted)))
}

/// The files of a folder.
fn folder(store: &dyn Store, path: &Path, extensions: &[&str]) -> Result<Vec<Place>, ConnectError> {
    let mut files = Vec::new();
    for entry in store.list(path)? {
        let file = path.join(&entry.name);
        let wanted = has_extension(&file, extensions) && !is_hidden(&entry.name);
        if wanted && matches!(entry.found, Found::Blob(_)) {
            files.push((file, entry.found));
        }
    }
    if files.is_empty() {
        let hint = format!("the folder is there, but no file in it ends in .{}", extensions.join(" or ."));
        return Err(ConnectError::NotFound { path: path.join(format!("*.{}", extensions[0])), hint });
    }
    Ok(files)
}

/// The files that match a pattern.
fn matching(store: &dyn Store, path: &Path) -> Result<Vec<Place>, ConnectError> {
    let bad = |hint: String| ConnectError::NotFound { path: path.to_owned(), hint };
    let text = path.to_string_lossy();
    // What stands before the first wildcard need not be searched.
    let wild = text.find(WILDCARDS).unwrap_or(text.len());
    let base = text[..wild].rfind(is_separator).map_or(0, |at| at + 1);
    let parts = text[base..].split(is_separator).filter(|part| !part.is_empty());
    let parts = parts.map(Part::new).collect::<Result<Vec<Part>, _>>();
    let parts = parts.map_err(|error| bad(format!("it is no pattern either: {error}")))?;
    let mut files = Vec::new();
    walk(store, Path::new(&text[..base]), &parts, &mut files)?;
    if files.is_empty() {
        return Err(bad("no file matches this pattern".to_owned()));
    }
    Ok(files)
}

/// What stands between two slashes of a pattern.
enum Part {
    /// `**`: any number of folders.
    Folders,
    /// A name.
    Name(String),
    /// Names that match. Hidden ones do if it says so by its first character.
    Names { pattern: Pattern, hidden: bool },
}

impl Part {
    fn new(text: &str) -> Result<Self, glob::PatternError> {
        if text == "**" {
            return Ok(Part::Folders);
        }
        let pattern = Pattern::new(text)?;
        Ok(match text.contains(WILDCARDS) {
            true => Part::Names { pattern, hidden: is_hidden(text.as_ref()) },
            false => Part::Name(text.to_owned()),
        })
    }
}

/// Gathers the files under a folder that match the parts of a pattern.
fn walk(
    store: &dyn Store,
    folder: &Path,
    parts: &[Part],
    files: &mut Vec<Place>,
) -> Result<(), ConnectError> {
    let Some((part, rest)) = parts.split_first() else { return Ok(()) };
    match part {
        Part::Folders => {
            walk(store, folder, rest, files)?;
            for entry in store.list(folder)? {
                if matches!(entry.found, Found::Folder) && !entry.linked && !is_hidden(&entry.name) {
                    walk(store, &folder.join(&entry.name), parts, files)?;
                }
            }
        }
        Part::Name(name) if rest.is_empty() => {
            let path = folder.join(name);
            if let Some(found @ Found::Blob(_)) = store.look(&path)? {
                files.push((path, found));
            }
        }
        Part::Name(name) => walk(store, &folder.join(name), rest, files)?,
        Part::Names { pattern, hidden } => {
            for entry in store.list(folder)? {
                if !pattern.matches(&entry.name.to_string_lossy()) || (is_hidden(&entry.name) && !hidden) {
                    continue;
                }
                let path = folder.join(&entry.name);
                match entry.found {
                    Found::Folder => walk(store, &path, rest, files)?,
                    Found::Blob(_) if rest.is_empty() => files.push((path, entry.found)),
                    Found::Blob(_) | Found::Once => {}
                }
            }
        }
    }
    Ok(())
}

/// The folder that a path lies in.
pub(crate) fn parent(path: &Path) -> PathBuf {
    let text = path.to_string_lossy();
    // The two slashes of a URL are no parts of a path.
    match (text.contains("://"), path.parent()) {
        (true, _) => PathBuf::from(&text[..text.rfind('/').map_or(0, |at| at + 1)]),
        (false, Some(parent)) if parent != Path::new("") => parent.to_owned(),
        (false, _) => PathBuf::from("."),
    }
}

fn not_found(store: &dyn Store, path: &Path) -> ConnectError {
    let parent = parent(path);
    let Ok(siblings) = store.list(&parent) else {
        // A web server, or somebody who may read and not list: nothing is known of what lies beside it.
        let hint = "there is no such file, and what else there is cannot be listed".to_owned();
        return ConnectError::NotFound { path: path.to_owned(), hint };
    };
    let near = did_you_mean(&name_of(path), siblings.iter().filter_map(|entry| entry.name.to_str()));
    let hint = match near {
        Some(near) => format!("did you mean \"{}\"?", parent.join(near).display()),
        None if matches!(store.look(&parent), Ok(Some(Found::Folder))) => {
            format!("{} has no such file", parent.display())
        }
        None => format!("{} is no folder either", parent.display()),
    };
    ConnectError::NotFound { path: path.to_owned(), hint }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Disk;
    use std::fs;

    fn input_files(path: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>, ConnectError> {
        let files = super::input_files(&Disk, path, extensions)?;
        Ok(files.into_iter().map(|(path, _)| path).collect())
    }

    #[test]
    fn a_folder_stands_for_its_files_by_name() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.csv", "a.CSV", "c.txt", ".hidden.csv", "_metadata.csv", "c.csv.gz", "d.gz"] {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        let files = input_files(folder.path(), &["csv"]).unwrap();
        let names: Vec<_> = files.iter().map(|f| f.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["a.CSV", "b.csv", "c.csv.gz"]);
        let none = input_files(folder.path(), &["parquet", "pq"]).unwrap_err().to_string();
        assert!(none.ends_with("no file in it ends in .parquet or .pq"), "{none}");
    }

    #[test]
    fn a_pattern_stands_for_what_matches_it() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("2001/01")).unwrap();
        for name in ["2001/01/b.csv", "2001/a.csv", "2001/a[1].csv", "2001/.a.csv", "2001/a.txt"] {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        let names = |pattern: &str| -> Vec<String> {
            let files = input_files(&folder.path().join(pattern), &["csv"]).unwrap();
            let name = |file: &PathBuf| file.strip_prefix(folder.path()).unwrap().display().to_string();
            files.iter().map(name).collect()
        };
        assert_eq!(names("2001/*.csv"), ["2001/a.csv", "2001/a[1].csv"]);
        assert_eq!(names("**/?.csv"), ["2001/01/b.csv", "2001/a.csv"]);
        assert_eq!(names("**/**/b.csv"), ["2001/01/b.csv"]);
        assert_eq!(names("*/01//b.csv"), ["2001/01/b.csv"]);
        assert_eq!(names("2001/.*.csv"), ["2001/.a.csv"]);
        // A file that has the name of a pattern is that file.
        assert_eq!(names("2001/a[1].csv"), ["2001/a[1].csv"]);
        let none = input_files(&folder.path().join("*.csv"), &["csv"]).unwrap_err().to_string();
        assert!(none.ends_with("no file matches this pattern"), "{none}");
        let bad = input_files(&folder.path().join("***.csv"), &["csv"]).unwrap_err().to_string();
        assert!(bad.contains("it is no pattern either"), "{bad}");
    }

    #[test]
    fn hidden_folders_are_gone_into_where_a_pattern_says_so() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["day", "_temporary/0", ".cache", "day/_old"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("a.csv"), "x").unwrap();
        }
        let names = |pattern: &str| -> Vec<String> {
            let files = input_files(&folder.path().join(pattern), &["csv"]).unwrap();
            let name = |file: &PathBuf| file.strip_prefix(folder.path()).unwrap().display().to_string();
            files.iter().map(name).collect()
        };
        assert_eq!(names("*/a.csv"), ["day/a.csv"]);
        assert_eq!(names("**/a.csv"), ["day/a.csv"]);
        assert_eq!(names("_*/*/a.csv"), ["_temporary/0/a.csv"]);
        assert_eq!(names("_temporary/**/*.csv"), ["_temporary/0/a.csv"]);
        assert_eq!(names(".cache/*"), [".cache/a.csv"]);
        assert_eq!(names("**/_old/*.csv"), ["day/_old/a.csv"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_name_that_is_no_text_is_an_error_where_it_is_wanted() {
        use std::os::unix::ffi::OsStrExt;
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &[u8]| {
            let path = folder.path().join(OsStr::from_bytes(name));
            // Some file systems have no such names.
            fs::write(&path, "x").is_ok().then_some(path)
        };
        let (Some(path), Some(_)) = (put(b"a\xff.csv"), put(b"a\xfe.csv")) else { return };
        put(b"b.csv").unwrap();
        for wanted in ["", "*.csv"] {
            let said = input_files(&folder.path().join(wanted), &["csv"]).unwrap_err();
            assert!(matches!(said, ConnectError::NameNotUtf8 { .. }), "{said}");
            let said = said.to_string();
            assert!(said.contains("a\\xFE.csv") || said.contains("a\\xFF.csv"), "{said}");
            assert!(said.ends_with("must be UTF-8; rename it"), "{said}");
        }
        let given = crate::Location::from(path).resolve().unwrap_err();
        assert!(matches!(given, ConnectError::NameNotUtf8 { .. }), "{given}");
        // Beside what is wanted it is nobody's concern.
        assert_eq!(input_files(&folder.path().join("b*"), &["csv"]).unwrap().len(), 1);
        fs::write(folder.path().join("c.ndjson"), "x").unwrap();
        assert_eq!(input_files(folder.path(), &["ndjson"]).unwrap().len(), 1);
    }

    #[test]
    fn a_path_that_is_not_there_gets_a_near_miss() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("flights.csv"), "x").unwrap();
        let near = input_files(&folder.path().join("fligths.csv"), &["csv"]).unwrap_err().to_string();
        assert!(near.contains("does not exist; did you mean") && near.contains("flights.csv"), "{near}");
        let far = input_files(&folder.path().join("no/such.csv"), &["csv"]).unwrap_err().to_string();
        assert!(far.ends_with("is no folder either"), "{far}");
    }
}
