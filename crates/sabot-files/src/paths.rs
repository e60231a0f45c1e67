//! Paths that users give: a file, a folder of files, or a pattern.

use sabot_common::did_you_mean;
use sabot_connect::ConnectError;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::compression::Compression;

/// The files that a path stands for: itself; the files of a folder with one of these extensions, which may
/// be compressed; or whatever matches a pattern with `*`, `?` or `[…]`. They come in the order of their
/// paths. Names that start with `.` or `_` are bookkeeping of some writer and are passed over in folders,
/// and by patterns that do not spell them out.
pub(crate) fn input_files(path: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>, ConnectError> {
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let text = path.to_string_lossy();
            return if text.contains(['*', '?', '[']) { matching(path, &text) } else { Err(not_found(path)) };
        }
        Err(error) => return Err(ConnectError::io("open", path, error)),
    };
    if !found.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let list = |error| ConnectError::io("list", path, error);
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(list)? {
        let file = entry.map_err(list)?.path();
        if has_extension(&file, extensions) && !is_hidden(&file) && file.is_file() {
            files.push(file);
        }
    }
    if files.is_empty() {
        let hint = format!("the folder is there, but no file in it ends in .{}", extensions.join(" or ."));
        return Err(ConnectError::NotFound { path: path.join(format!("*.{}", extensions[0])), hint });
    }
    files.sort();
    Ok(files)
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn is_hidden(path: &Path) -> bool {
    name_of(path).starts_with(['.', '_'])
}

/// Whether a file's extension is one of these, that of its compression left aside.
fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    let compressed = Compression::of_path(path) != Compression::None;
    let plain = if compressed { path.with_extension("") } else { path.to_owned() };
    let found = plain.extension().map(|found| found.to_string_lossy().into_owned());
    found.is_some_and(|found| extensions.iter().any(|wanted| found.eq_ignore_ascii_case(wanted)))
}

/// The files that match a pattern.
fn matching(path: &Path, pattern: &str) -> Result<Vec<PathBuf>, ConnectError> {
    let bad = |hint: String| ConnectError::NotFound { path: path.to_owned(), hint };
    let paths = glob::glob(pattern).map_err(|error| bad(format!("it is no pattern either: {error}")))?;
    let spelled_out = name_of(path).starts_with(['.', '_']);
    let mut files = Vec::new();
    for found in paths {
        let file = found.map_err(|error| {
            let path = error.path().to_owned();
            ConnectError::io("list", path, error.into())
        })?;
        if file.is_file() && (spelled_out || !is_hidden(&file)) {
            files.push(file);
        }
    }
    if files.is_empty() {
        return Err(bad("no file matches this pattern".to_owned()));
    }
    files.sort();
    Ok(files)
}

fn not_found(path: &Path) -> ConnectError {
    let parent = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let siblings: Vec<String> = fs::read_dir(parent)
        .map(|entries| entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect())
        .unwrap_or_default();
    let name = name_of(path);
    let hint = match did_you_mean(&name, siblings.iter().map(String::as_str)) {
        Some(near) => format!("did you mean \"{}\"?", parent.join(near).display()),
        None if parent.is_dir() => format!("{} has no such file", parent.display()),
        None => format!("{} is no folder either", parent.display()),
    };
    ConnectError::NotFound { path: path.to_owned(), hint }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        // A file that has the name of a pattern is that file.
        assert_eq!(names("2001/a[1].csv"), ["2001/a[1].csv"]);
        let none = input_files(&folder.path().join("*.csv"), &["csv"]).unwrap_err().to_string();
        assert!(none.ends_with("no file matches this pattern"), "{none}");
        let bad = input_files(&folder.path().join("***.csv"), &["csv"]).unwrap_err().to_string();
        assert!(bad.contains("it is no pattern either"), "{bad}");
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
