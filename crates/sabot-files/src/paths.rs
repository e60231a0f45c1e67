//! Paths that users give: a file, or a folder of files.

use sabot_common::did_you_mean;
use sabot_connect::ConnectError;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The files that a path stands for: itself, or the files of a folder with this extension, by name.
/// Names that start with `.` or `_` are bookkeeping of some writer and are passed over.
pub(crate) fn input_files(path: &Path, extension: &str) -> Result<Vec<PathBuf>, ConnectError> {
    let found = fs::metadata(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => not_found(path),
        _ => ConnectError::io("open", path, error),
    })?;
    if !found.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let list = |error| ConnectError::io("list", path, error);
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(list)? {
        let file = entry.map_err(list)?.path();
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let wanted = file.extension().is_some_and(|found| found.eq_ignore_ascii_case(extension));
        if wanted && !name.starts_with(['.', '_']) && file.is_file() {
            files.push(file);
        }
    }
    if files.is_empty() {
        let hint = format!("the folder is there, but no file in it ends in .{extension}");
        return Err(ConnectError::NotFound { path: path.join(format!("*.{extension}")), hint });
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
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
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
        for name in ["b.csv", "a.CSV", "c.txt", ".hidden.csv", "_metadata.csv"] {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        let files = input_files(folder.path(), "csv").unwrap();
        let names: Vec<_> = files.iter().map(|f| f.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["a.CSV", "b.csv"]);
        let none = input_files(folder.path(), "parquet").unwrap_err().to_string();
        assert!(none.ends_with("no file in it ends in .parquet"), "{none}");
    }

    #[test]
    fn a_path_that_is_not_there_gets_a_near_miss() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("flights.csv"), "x").unwrap();
        let near = input_files(&folder.path().join("fligths.csv"), "csv").unwrap_err().to_string();
        assert!(near.contains("does not exist; did you mean") && near.contains("flights.csv"), "{near}");
        let far = input_files(&folder.path().join("no/such.csv"), "csv").unwrap_err().to_string();
        assert!(far.ends_with("is no folder either"), "{far}");
    }
}
