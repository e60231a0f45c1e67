//! Every public item of the facade has an example that runs and asserts something.
//!
//! The facade's surface is what its own files define and what they re-export, so both are read: `pub use
//! sabot_expr::{col, ..}` puts `col` into scope wherever in `sabot-expr` it stands. Of each name in scope
//! the item itself must have an example, and so must every public method of its inherent blocks or of its
//! trait, unless the type's own example shows the method. A method of a trait's implementation needs none:
//! the trait has it. What is left out stands in [`ALLOWED`] with a reason, and an entry that is no longer
//! needed is a violation too.

use crate::repository::{self, File};
use std::collections::{BTreeMap, BTreeSet};

/// Items without an example, each with the reason why it needs none.
const ALLOWED: &[(&str, &str)] = &[];

/// Words of a code block's first line that keep rustdoc from running it.
const NOT_RUN: &[&str] = &["text", "ignore", "no_run", "compile_fail", "sh", "toml", "sql", "csv", "json"];

/// What stands before the name of an item that needs an example.
const KINDS: &[&str] = &["fn ", "const fn ", "async fn ", "struct ", "enum ", "trait "];

/// A public item and the documentation above it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Item {
    /// The type or trait that it is a method of.
    owner: Option<String>,
    name: String,
    docs: String,
    place: String,
}

impl Item {
    fn path(&self) -> String {
        self.owner.as_ref().map_or_else(|| self.name.clone(), |owner| format!("{owner}::{}", self.name))
    }
}

/// The identifier that a text starts with.
fn identifier(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

/// The name of the item that a line declares, where it is of a kind that needs an example.
fn declared(line: &str) -> Option<&str> {
    let name = KINDS.iter().find_map(|kind| line.strip_prefix(kind)).map(identifier)?;
    (!name.is_empty()).then_some(name)
}

/// The type whose inherent block a line opens.
fn inherent(line: &str) -> Option<&str> {
    let mut rest = line.strip_prefix("impl")?;
    if rest.starts_with('<') {
        let mut depth = 0;
        let closing = rest.char_indices().find(|(_, c)| {
            depth += i32::from(*c == '<') - i32::from(*c == '>');
            depth == 0
        });
        rest = &rest[closing?.0 + 1..];
    }
    (!rest.contains(" for ")).then(|| identifier(rest.trim_start()))
}

/// The public items of a source file, its tests left out. Sources are formatted by rustfmt, so a block of
/// the first level ends with a `}` at the start of a line.
fn items(file: &File) -> Vec<Item> {
    let source = file.text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let mut found = Vec::new();
    let (mut docs, mut owner, mut of_trait, mut in_macro) = (String::new(), None, false, false);
    let mut in_attribute = false;
    // Types whose methods a macro writes, by the macro.
    let mut macros: BTreeMap<String, String> = BTreeMap::new();
    let mut defined = None;
    for (number, line) in source.lines().enumerate() {
        let (indent, text) = (line.len() - line.trim_start().len(), line.trim_start());
        if in_attribute {
            in_attribute = !text.ends_with(")]");
            continue;
        }
        if let Some(doc) = text.strip_prefix("///") {
            docs.push_str(doc.strip_prefix(' ').unwrap_or(doc));
            docs.push('\n');
            continue;
        }
        if text.starts_with("#[") {
            in_attribute = !text.ends_with(']');
            continue;
        }
        let mut add = |owner: &Option<String>, name: &str| {
            let place = format!("{}:{}", file.path, number + 1);
            found.push(Item { owner: owner.clone(), name: name.to_owned(), docs: docs.clone(), place });
        };
        match indent {
            0 => {
                if text.starts_with(['}', ')']) {
                    (owner, of_trait, in_macro, defined) = (None, false, false, None);
                } else if let Some(name) = text.strip_prefix("macro_rules! ") {
                    defined = Some(identifier(name).to_owned());
                } else if text.starts_with("impl") && text.ends_with('{') {
                    owner = inherent(text).map(str::to_owned);
                } else if let Some(name) = text.strip_prefix("pub ").and_then(declared) {
                    add(&None, name);
                    if text.starts_with("pub trait ") {
                        (owner, of_trait) = (Some(name.to_owned()), true);
                    }
                } else if let Some(name) = text.strip_suffix("! {") {
                    (owner, in_macro) = (macros.get(name).cloned(), true);
                }
            }
            // Methods that a macro writes stand in its call as `/// Docs.` and `year => Year,`.
            4 if in_macro && owner.is_some() && text.contains(" => ") => add(&owner, identifier(text)),
            4 if owner.is_some() => {
                let text = if of_trait { Some(text) } else { text.strip_prefix("pub ") };
                if let Some(name) = text.and_then(declared) {
                    add(&owner, name);
                }
            }
            8 if text.starts_with("impl") && text.ends_with("{$(") => {
                if let (Some(name), Some(of)) = (&defined, inherent(text)) {
                    macros.insert(name.clone(), of.to_owned());
                }
            }
            _ => {}
        }
        docs.clear();
    }
    found
}

/// The names that a crate's files re-export, by the crate or module that they come from.
fn reexports(files: &[File]) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in files {
        for statement in file.text.split("\npub use ").skip(1) {
            let statement = statement.split(';').next().unwrap_or_default();
            let from = identifier(statement);
            let names = match statement.split_once('{') {
                Some((_, names)) => names.trim_end_matches(|c: char| c == '}' || c.is_whitespace()),
                None => statement.rsplit("::").next().unwrap_or_default(),
            };
            let names = names.split(',').map(|name| identifier(name.trim()).to_owned());
            found.entry(from.to_owned()).or_default().extend(names.filter(|name| !name.is_empty()));
        }
    }
    found
}

/// The code of the examples in a documentation that rustdoc runs.
fn examples(docs: &str) -> String {
    let mut code = String::new();
    let mut running = None;
    for line in docs.lines() {
        match (line.trim_start().strip_prefix("```"), running) {
            (Some(words), None) => {
                running = Some(!words.split(',').any(|word| NOT_RUN.contains(&word.trim())));
            }
            (Some(_), Some(_)) => running = None,
            (None, Some(true)) => {
                code.push_str(line);
                code.push('\n');
            }
            (None, _) => {}
        }
    }
    code
}

/// Whether an example calls or writes a method.
fn shows(example: &str, method: &str) -> bool {
    [".", "::", "fn "].iter().any(|before| {
        let wanted = format!("{before}{method}");
        example
            .match_indices(&wanted)
            .any(|(at, _)| example[at + wanted.len()..].starts_with(['(', ':', '<']))
    })
}

/// The items in scope that lack an example, by path, as sentences.
fn missing(items: &[Item], in_scope: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let example_of = |name: &str| -> String {
        items.iter().filter(|i| i.owner.is_none() && i.name == name).map(|i| examples(&i.docs)).collect()
    };
    for item in items {
        if !in_scope(item.owner.as_deref().unwrap_or(&item.name)) {
            continue;
        }
        let own = examples(&item.docs);
        let of_owner = item.owner.as_deref().map(example_of).unwrap_or_default();
        let problem = if own.contains("assert") || shows(&of_owner, &item.name) {
            continue;
        } else if own.is_empty() {
            "has no example that runs"
        } else {
            "has an example that asserts nothing"
        };
        found.insert(item.path(), format!("{} {problem} ({})", item.path(), item.place));
    }
    found
}

/// What is missing without leave, and leave that nothing needs.
fn violations(missing: &BTreeMap<String, String>, allowed: &[(&str, &str)]) -> Vec<String> {
    let excused = |path: &str| allowed.iter().any(|(name, _)| *name == path);
    let unexcused = missing.iter().filter(|(path, _)| !excused(path)).map(|(_, sentence)| sentence.clone());
    let stale = allowed.iter().filter(|(name, _)| !missing.contains_key(*name));
    unexcused
        .chain(stale.map(|(name, _)| format!("{name} is allowed to lack an example and has one")))
        .collect()
}

/// The sources of a crate, its tests left out.
fn sources(all: &[File], name: &str) -> Vec<File> {
    let folder = format!("crates/{name}/src/");
    let source = |file: &&File| {
        file.path.starts_with(&folder) && !file.path.contains("/tests/") && !file.path.ends_with("/tests.rs")
    };
    all.iter().filter(source).cloned().collect()
}

/// The items of a crate that lack an example, of those in scope.
fn missing_in(files: &[File], names: &BTreeSet<String>) -> BTreeMap<String, String> {
    let items: Vec<Item> = files.iter().flat_map(items).collect();
    missing(&items, |name| names.contains(name))
}

#[test]
fn the_facade_has_an_example_for_every_item() {
    let all = repository::files(&[".rs"]);
    let facade = sources(&all, "sabot");
    let mut found = BTreeMap::new();
    let mut own = BTreeSet::new();
    for (from, names) in reexports(&facade) {
        if from.starts_with("sabot_") {
            let files = sources(&all, &from.replace('_', "-"));
            assert!(!files.is_empty(), "{from} has no sources");
            found.extend(missing_in(&files, &names));
        } else {
            own.extend(names);
        }
    }
    found.extend(missing_in(&facade, &own));
    assert!(own.contains("Stream"), "the facade's own names were not understood: {own:?}");
    let found = violations(&found, ALLOWED);
    assert!(found.is_empty(), "{} items:\n{}", found.len(), found.join("\n"));
}

fn file(text: &str) -> File {
    File { path: "a.rs".to_owned(), text: text.to_owned() }
}

const PLANTED: &str = r#"
/// A type.
///
/// ```
/// assert_eq!(Shown::new().shown(), 1);
/// ```
#[derive(
    Clone,
)]
pub struct Shown;

impl<'a, T: Into<Vec<u8>>> Shown {
    /// Made.
    pub const fn new() -> Self {}
    /// Shown above.
    pub fn shown(&self) -> u32 {}
    /// Forgotten.
    pub fn forgotten(&self) {}
    fn private() {}
}

impl Clone for Shown {
    pub fn clone(&self) {}
}

/// ```no_run
/// assert!(waits());
/// ```
pub fn waits() -> bool {}

/// ```
/// let silent = silent();
/// ```
pub fn silent() {}

pub trait Bare {
    /// A step.
    fn step(&self);
}

macro_rules! parts {
    ($($(#[$doc:meta])* $method:ident => $part:ident),* $(,)?) => {
        impl Shown {$(
            pub fn $method(self) {}
        )*}
    };
}

parts! {
    /// The year.
    year => Year,
}

/// Out of scope.
pub fn elsewhere() {}

#[cfg(test)]
mod tests {
    pub fn not_read() {}
}
"#;

#[test]
fn planted_items_without_examples_are_found() {
    let names = ["Shown", "waits", "silent", "Bare"].map(str::to_owned).into();
    let found = missing_in(&[file(PLANTED)], &names);
    let paths: Vec<&str> = found.keys().map(String::as_str).collect();
    assert_eq!(paths, ["Bare", "Bare::step", "Shown::forgotten", "Shown::year", "silent", "waits"]);
    assert!(found["silent"].contains("asserts nothing"), "{found:?}");
    assert!(found["Bare"].contains("a.rs:36"), "{found:?}");

    let allowed = [("Bare", "a reason"), ("Shown", "none")];
    let left = violations(&found, &allowed);
    assert_eq!(left.len(), 6, "{left:?}");
    assert!(left.iter().any(|sentence| sentence == "Shown is allowed to lack an example and has one"));
}

#[test]
fn names_are_read_from_statements_of_every_form() {
    let text = "//! Doc.\npub use arrow;\npub use a::One;\npub use b::{\n    Two, three,\n};\npub(crate) use c::Four;\n";
    let found = reexports(&[file(text)]);
    assert_eq!(found["a"], ["One".to_owned()].into());
    assert_eq!(found["b"], ["Two".to_owned(), "three".to_owned()].into());
    assert!(!found.contains_key("c"));
}
