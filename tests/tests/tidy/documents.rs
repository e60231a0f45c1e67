//! Documents that stay true: links lead somewhere, the code map has every crate, CI runs what README says.

use crate::graph;
use crate::repository::{self, File};

/// Targets of the Markdown links of a text that are neither addresses nor anchors in the same page.
fn links(text: &str) -> Vec<&str> {
    let starts = text.match_indices("](").map(|(at, found)| at + found.len());
    let targets = starts.filter_map(|start| Some(&text[start..start + text[start..].find(')')?]));
    let files = targets.map(|target| target.split('#').next().unwrap_or_default());
    files.filter(|target| !target.is_empty() && !target.contains("://") && !target.contains(' ')).collect()
}

/// Links of a document to files that do not exist.
fn broken(file: &File, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let missing = links(&file.text).into_iter().filter(|target| {
        let path = if folder.is_empty() { (*target).to_owned() } else { format!("{folder}/{target}") };
        !exists(&path)
    });
    missing.map(|target| format!("{} links to {target}, which does not exist", file.path)).collect()
}

/// The commands of a document: lines of its `sh` blocks.
fn commands(text: &str) -> Vec<&str> {
    let blocks = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.flat_map(str::lines).filter(|line| !line.trim().is_empty()).collect()
}

#[test]
fn links_lead_to_files() {
    let root = repository::root();
    let files = repository::files(&[".md"]);
    assert!(files.iter().any(|f| f.path == "README.md"), "documents were not found");
    let exists = |path: &str| root.join(path).exists();
    let found: Vec<String> = files.iter().flat_map(|file| broken(file, exists)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_broken_link_is_found() {
    let file = File {
        path: "docs/a.md".to_owned(),
        text: "see [b](b.md#part), [c](https://c.example), [d](#d), [e](../e.md)".to_owned(),
    };
    assert_eq!(
        broken(&file, |path| path == "docs/b.md"),
        ["docs/a.md links to ../e.md, which does not exist"]
    );
}

#[test]
fn the_code_map_has_every_crate() {
    let map = repository::read(&repository::root().join("ARCHITECTURE.md"));
    for package in graph::packages() {
        assert!(
            map.contains(&format!("`{}`", package.name)),
            "ARCHITECTURE.md does not name {}",
            package.name
        );
    }
}

#[test]
fn ci_runs_the_commands_of_the_readme() {
    let root = repository::root();
    let readme = repository::read(&root.join("README.md"));
    let ci = repository::read(&root.join(".ci/run"));
    let commands = commands(&readme);
    let wanted = ["cargo run --release -p fraud-detection -- --transactions 2000000 --json", "cargo test"];
    assert_eq!(commands, wanted, "README has two commands");
    for command in commands {
        assert!(ci.lines().any(|line| line.trim().ends_with(command)), ".ci/run does not run `{command}`");
    }
}

#[test]
fn commands_are_the_lines_of_shell_blocks() {
    assert_eq!(commands("a\n```sh\nx y\n\nz\n```\nb\n```rust\nno\n```\n"), ["x y", "z"]);
}
