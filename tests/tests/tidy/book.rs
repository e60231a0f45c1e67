//! The book under `docs/`: its code is the code of the examples, and nothing of it points nowhere.
//!
//! mdBook would find a missing file while it builds, and would build a missing anchor as an empty block.
//! Here both are found without mdBook: every page is in the table of contents, every include names an
//! anchor that is there, Rust in the guide is included and never typed, every example is shown, and what
//! the page of errors calls a variant is one.

use crate::repository::{self, File};
use std::collections::{BTreeMap, BTreeSet};

/// Folders of documents that are no pages: decisions are read beside the code that they explain.
const NOT_PAGES: &[&str] = &["docs/decisions/"];

/// Where the variants that the page of errors names are defined.
const ERROR_SOURCES: &[&str] = &[
    "crates/sabot/src/error.rs",
    "crates/sabot-plan/src/error.rs",
    "crates/sabot-expr/src/error.rs",
    "crates/sabot-connect/src/error.rs",
    "crates/sabot-exec/src/error.rs",
];

/// What the book consists of, by path.
struct Book {
    files: BTreeMap<String, String>,
}

/// An include: the page, the file that it names and the anchor in it.
#[derive(Debug)]
struct Include {
    page: String,
    path: String,
    anchor: Option<String>,
}

/// The file that a path means in a page.
fn resolve(page: &str, target: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

impl Book {
    fn pages(&self) -> impl Iterator<Item = (&String, &String)> {
        let page = |path: &str| {
            path.starts_with("docs/")
                && path.ends_with(".md")
                && !NOT_PAGES.iter().any(|no| path.starts_with(no))
        };
        self.files.iter().filter(move |(path, _)| page(path))
    }

    /// Pages that the table of contents lacks, and entries of it without a page.
    fn contents(&self) -> Vec<String> {
        const SUMMARY: &str = "docs/SUMMARY.md";
        let text = self.files.get(SUMMARY).map_or("", String::as_str);
        let starts = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let listed: BTreeSet<String> = starts.map(|target| resolve(SUMMARY, target)).collect();
        let pages: BTreeSet<String> =
            self.pages().map(|(path, _)| path.clone()).filter(|path| path != SUMMARY).collect();
        let unlisted = pages.difference(&listed).map(|page| format!("{page} is not in {SUMMARY}"));
        let missing =
            listed.difference(&pages).map(|page| format!("{SUMMARY} names {page}, which is no page"));
        unlisted.chain(missing).collect()
    }

    fn includes(&self) -> Vec<Include> {
        let mut found = Vec::new();
        for (page, text) in self.pages() {
            for rest in text.split("{{#include ").skip(1) {
                let target = rest.split("}}").next().unwrap_or_default().trim();
                let (path, anchor) = match target.split_once(':') {
                    Some((path, anchor)) => (path, Some(anchor.to_owned())),
                    None => (target, None),
                };
                found.push(Include { page: page.clone(), path: resolve(page, path), anchor });
            }
        }
        found
    }

    /// Includes of files or anchors that are not there, or of nothing between the anchors.
    fn broken_includes(&self) -> Vec<String> {
        let broken = self.includes().into_iter().filter_map(|Include { page, path, anchor }| {
            let Some(text) = self.files.get(&path) else {
                return Some(format!("{page} includes {path}, which does not exist"));
            };
            let anchor = anchor?;
            let marks = [format!("ANCHOR: {anchor}"), format!("ANCHOR_END: {anchor}")];
            let line = |mark: &String| text.lines().position(|line| line.trim_end().ends_with(mark));
            match marks.each_ref().map(line) {
                [Some(start), Some(end)] if end > start + 1 => None,
                _ => {
                    Some(format!("{page} includes the anchor {anchor} of {path}, which has none or is empty"))
                }
            }
        });
        broken.collect()
    }

    /// Rust that a page of the guide has of its own.
    fn typed_code(&self) -> Vec<String> {
        let guide = self.pages().filter(|(path, _)| path.starts_with("docs/guide/"));
        let blocks = guide.flat_map(|(path, text)| {
            let blocks = text.split("```rust").skip(1).filter_map(|rest| rest.split("```").next());
            blocks.map(move |block| (path, block))
        });
        let typed =
            |block: &str| block.lines().skip(1).any(|l| !l.is_empty() && !l.starts_with("{{#include "));
        let found = blocks.filter(|(_, block)| typed(block));
        found.map(|(path, block)| format!("{path} has code of its own, which nothing runs:{block}")).collect()
    }

    /// Examples that no page shows.
    fn unshown(&self) -> Vec<String> {
        let folder = |path: &str| path.strip_prefix("examples/")?.split('/').next().map(str::to_owned);
        let examples: BTreeSet<String> = self
            .files
            .keys()
            .filter(|path| path.ends_with("/src/main.rs"))
            .filter_map(|path| folder(path))
            .collect();
        let shown = |name: &String| {
            let text = format!("examples/{name}");
            self.pages().any(|(_, page)| page.contains(&text))
        };
        let unshown = examples.iter().filter(|name| !shown(name));
        unshown.map(|name| format!("examples/{name} is shown on no page of docs/")).collect()
    }

    /// Variants on the page of errors that no enum of errors has.
    fn unknown_variants(&self) -> Vec<String> {
        let mut known = BTreeSet::new();
        for source in ERROR_SOURCES {
            let text = self.files.get(*source).map_or("", String::as_str);
            for line in text.lines().filter_map(|line| line.strip_prefix("    ")) {
                let end = line.find(|c: char| !c.is_alphanumeric()).unwrap_or(line.len());
                if line.starts_with(|c: char| c.is_uppercase()) {
                    known.insert(line[..end].to_owned());
                }
            }
        }
        let page = self.files.get("docs/errors.md").map_or("", String::as_str);
        let cells = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('|').next());
        let names = cells.flat_map(|cell| cell.split('`').map(|name| name.trim_matches([',', ' '])));
        let names = names.filter(|name| !name.is_empty() && !known.contains(*name));
        names.map(|name| format!("docs/errors.md names the variant {name}, which no error has")).collect()
    }
}

fn book() -> Book {
    let files = repository::files(&[".md", ".rs"]);
    Book { files: files.into_iter().map(|File { path, text }| (path, text)).collect() }
}

fn report(found: &[String]) {
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_table_of_contents_has_every_page() {
    let book = book();
    assert!(book.pages().count() > 5, "the pages were not found");
    report(&book.contents());
}

#[test]
fn code_of_the_guide_is_code_of_the_examples() {
    let book = book();
    assert!(book.includes().len() > 5, "the includes were not found");
    report(&book.broken_includes());
    report(&book.typed_code());
}

#[test]
fn every_example_is_shown() {
    report(&book().unshown());
}

#[test]
fn errors_on_their_page_exist() {
    report(&book().unknown_variants());
}

#[test]
fn planted_mistakes_are_found() {
    let files = [
        ("docs/SUMMARY.md", "- [A](guide/a.md)\n- [Gone](gone.md)\n"),
        (
            "docs/guide/a.md",
            "```rust\n{{#include ../../examples/x/src/main.rs:one}}\n```\n```rust\nlet typed = 1;\n```\n\
             ```rust\n{{#include ../../examples/x/src/main.rs:two}}\n{{#include ../no.rs}}\n```\n",
        ),
        ("docs/lost.md", ""),
        ("docs/decisions/0001-a.md", ""),
        ("docs/errors.md", "| variant |\n| `Gone`, `Here` | x |\n"),
        (
            "examples/x/src/main.rs",
            "// ANCHOR: one\nlet a = 1;\n// ANCHOR_END: one\n// ANCHOR: two\n// ANCHOR_END: two\n",
        ),
        ("examples/y/src/main.rs", ""),
        ("crates/sabot/src/error.rs", "pub enum Error {\n    Here {\n"),
    ];
    let book = Book { files: files.map(|(path, text)| (path.to_owned(), text.to_owned())).into() };
    assert_eq!(
        book.contents(),
        [
            "docs/errors.md is not in docs/SUMMARY.md",
            "docs/lost.md is not in docs/SUMMARY.md",
            "docs/SUMMARY.md names docs/gone.md, which is no page",
        ]
    );
    let broken = book.broken_includes();
    assert_eq!(broken.len(), 2, "{broken:?}");
    assert!(broken[0].contains("the anchor two") && broken[1].contains("docs/no.rs, which does not exist"));
    assert_eq!(book.typed_code().len(), 1);
    assert_eq!(book.unshown(), ["examples/y is shown on no page of docs/"]);
    assert_eq!(book.unknown_variants(), ["docs/errors.md names the variant Gone, which no error has"]);
}
