//! How source files look.

use crate::repository::{self, File};

/// Lines of a source file, its tests not counted. A file that grows beyond becomes a folder.
const SOURCE_LINES_MAX: usize = 600;
/// Lines of a file's tests, whether they lie in it or beside it.
const TEST_LINES_MAX: usize = 650;
/// The crates whose SIMD kernels, and whose C library, need `unsafe`.
const MAY_BE_UNSAFE: &[&str] = &["crates/sabot-cpu/src/lib.rs", "crates/sabot-cuda/src/lib.rs"];
/// Beginnings of paths that exist on one machine only.
const MACHINE_PATHS: &[&str] = &["/home/", "/root/", "/tmp/", "/work/", "/Users/"];
/// Words for work that was left undone: it belongs into an issue, where it is seen.
const UNDONE: &[&str] = &["TODO", "FIXME", "XXX", "HACK"];

/// Lines of source and lines of tests.
fn lines(file: &File) -> (usize, usize) {
    let total = file.text.lines().count();
    let name = file.path.rsplit('/').next().unwrap_or_default();
    let all_tests =
        name.ends_with("tests.rs") || file.path.contains("/tests/") || file.path.starts_with("tests/");
    if all_tests {
        return (0, total);
    }
    // An inline module of tests is the last thing in a file.
    let inline = file.text.find("#[cfg(test)]\nmod tests {");
    let source = inline.map_or(total, |start| file.text[..start].lines().count());
    (source, total - source)
}

/// Every rule that a Rust source breaks, as a sentence.
fn violations(file: &File) -> Vec<String> {
    let path = &file.path;
    let mut found = Vec::new();
    let (source, tests) = lines(file);
    if source > SOURCE_LINES_MAX {
        found.push(format!("{path} has {source} lines of source, at most {SOURCE_LINES_MAX} are allowed"));
    }
    if tests > TEST_LINES_MAX {
        found.push(format!("{path} has {tests} lines of tests, at most {TEST_LINES_MAX} are allowed"));
    }
    if !file.text.starts_with("//! ") {
        found.push(format!("{path} does not open with `//!`: say what problem it solves"));
    }
    let crate_root = path.starts_with("crates/") && path.ends_with("/src/lib.rs");
    if crate_root
        && !MAY_BE_UNSAFE.contains(&path.as_str())
        && !file.text.contains("\n#![forbid(unsafe_code)]\n")
    {
        found.push(format!("{path} lacks #![forbid(unsafe_code)]"));
    }
    found.extend(undone(file));
    found
}

fn undone(file: &File) -> Vec<String> {
    let comments = file.text.lines().enumerate().filter_map(|(number, line)| {
        let comment = &line[line.find("//")?..];
        let words = || comment.split(|c: char| !c.is_alphanumeric());
        let word = UNDONE.iter().find(|word| words().any(|w| w == **word))?;
        Some(format!("{}:{} says {word}: do it, or open an issue", file.path, number + 1))
    });
    comments.collect()
}

/// Paths that only one machine has, in any text file.
fn machine_paths(file: &File) -> Vec<String> {
    let lines = file.text.lines().enumerate().filter_map(|(number, line)| {
        let path = MACHINE_PATHS.iter().find(|path| line.contains(*path))?;
        Some(format!("{}:{} names a path of one machine: {path}", file.path, number + 1))
    });
    lines.collect()
}

#[test]
fn sources_keep_the_rules() {
    let files = repository::files(&[".rs"]);
    assert!(files.len() > 100, "only {} sources were found", files.len());
    let found: Vec<String> = files.iter().flat_map(violations).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn nothing_names_a_path_of_one_machine() {
    // This file has to say what it looks for.
    let own = |file: &File| file.path.ends_with("tidy/sources.rs");
    let files = repository::files(&[".rs", ".toml", ".md", ".py", ".json", "run"]);
    let found: Vec<String> = files.iter().filter(|f| !own(f)).flat_map(machine_paths).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

fn file(path: &str, text: &str) -> File {
    File { path: path.to_owned(), text: text.to_owned() }
}

#[test]
fn a_planted_source_breaks_each_rule() {
    let long = "let x = 1;\n".repeat(SOURCE_LINES_MAX + 1);
    assert_eq!(violations(&file("crates/a/src/b.rs", &format!("//! Doc.\n{long}"))).len(), 1);
    assert_eq!(violations(&file("crates/a/src/b.rs", "fn f() {}\n")).len(), 1);
    assert_eq!(violations(&file("crates/a/src/lib.rs", "//! Doc.\n")).len(), 1);
    // Spelled in two parts, so that this file does not break the rule itself.
    let later = concat!("//! Doc.\n// TO", "DO: later\n");
    assert_eq!(violations(&file("crates/a/src/b.rs", later)).len(), 1);
    assert_eq!(machine_paths(&file("a.md", "see /home/somebody/file")).len(), 1);
}

#[test]
fn tests_do_not_count_as_source() {
    let tests = "// a test\n".repeat(SOURCE_LINES_MAX);
    let inline = format!("//! Doc.\nfn f() {{}}\n\n#[cfg(test)]\nmod tests {{\n{tests}}}\n");
    assert_eq!(violations(&file("crates/a/src/b.rs", &inline)), [""; 0]);
    assert_eq!(lines(&file("crates/a/src/b.rs", &inline)), (3, SOURCE_LINES_MAX + 3));
    assert_eq!(lines(&file("crates/a/src/b/tests.rs", "//! Doc.\n")), (0, 1));
}
