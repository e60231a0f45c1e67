//! Dependencies point one way, and each heavy library has one owner.

use crate::graph::{self, Locked, Package};
use crate::rules::{FACADE, FREE, LIGHT, ONE_MAJOR, REFUSED, Row, SHARED, TABLE};
use std::collections::{BTreeMap, BTreeSet};

/// All crates that a row allows, directly or through the crates that it names.
fn allowed(table: &[Row], name: &str) -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    let mut open: Vec<&str> = vec![name];
    while let Some(next) = open.pop() {
        let Some(row) = table.iter().find(|row| row.name == next) else { continue };
        for used in row.may_use {
            if found.insert(*used) {
                open.push(used);
            }
        }
    }
    found
}

/// Every edge that the table does not allow, as a sentence.
fn violations(packages: &[Package], table: &[Row]) -> Vec<String> {
    let ours: BTreeSet<&str> = packages.iter().map(|p| p.name.as_str()).collect();
    let mut found = Vec::new();
    for package in packages {
        let name = package.name.as_str();
        let Some(row) = table.iter().find(|row| row.name == name) else {
            found.push(format!("{name} has no row in rules.rs: say what it may depend on"));
            continue;
        };
        let allowed = allowed(table, name);
        for used in &package.uses {
            let used = used.as_str();
            if ours.contains(used) {
                let is_leaf = table.iter().any(|row| row.name == used && row.leaf);
                if is_leaf && name != FACADE {
                    found.push(format!("{name} depends on the leaf {used}: only {FACADE} may"));
                } else if !allowed.contains(used) {
                    found.push(format!("{name} depends on {used}, which is not below it"));
                }
            } else if !FREE.contains(&used)
                && !LIGHT.iter().any(|(light, _)| *light == used)
                && !row.owns.contains(&used)
            {
                let owner = table.iter().find(|row| row.owns.contains(&used));
                let hint =
                    owner.map_or_else(|| "nobody owns it".to_owned(), |o| format!("{} owns it", o.name));
                found.push(format!("{name} names the library {used}: {hint}"));
            }
        }
    }
    found
}

/// What is wrong with the table itself.
fn table_errors(packages: &[Package], table: &[Row]) -> Vec<String> {
    let mut found = Vec::new();
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    for (index, row) in table.iter().enumerate() {
        if !packages.iter().any(|p| p.name == row.name) {
            found.push(format!("rules.rs has a row for {}, which does not exist", row.name));
        }
        for used in row.may_use {
            if !table[..index].iter().any(|above| above.name == *used) {
                found.push(format!("the row of {} names {used}, which is not above it", row.name));
            }
        }
        for library in row.owns {
            let shared = SHARED.iter().any(|(shared, _)| shared == library);
            if let Some(other) = owners.insert(library, row.name).filter(|_| !shared) {
                found.push(format!("{library} has two owners: {other} and {}", row.name));
            }
        }
    }
    found
}

/// Packages in the lock file that must not be there.
fn lock_errors(locked: &[Locked]) -> Vec<String> {
    let mut found: Vec<String> = locked
        .iter()
        .filter(|p| REFUSED.contains(&p.name.as_str()))
        .map(|p| format!("{} {} needs more than a Rust toolchain and a C compiler", p.name, p.version))
        .collect();
    let major = |version: &str| version.split('.').next().unwrap_or_default().to_owned();
    let family = |p: &&Locked| {
        ONE_MAJOR
            .iter()
            .any(|f| p.name.strip_prefix(f).is_some_and(|rest| rest.is_empty() || rest.starts_with('-')))
    };
    let majors: BTreeSet<String> = locked.iter().filter(family).map(|p| major(&p.version)).collect();
    if majors.len() != 1 {
        found.push(format!("{ONE_MAJOR:?} must be locked with one major version, found {majors:?}"));
    }
    found
}

#[test]
fn the_workspace_keeps_the_table() {
    let packages = graph::packages();
    assert!(packages.len() >= 10, "too few crates were found to prove anything: {packages:?}");
    let found = violations(&packages, TABLE);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_table_is_in_order_and_each_library_has_one_owner() {
    let found = table_errors(&graph::packages(), TABLE);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_lock_file_needs_no_further_tools() {
    let locked = graph::locked();
    assert!(locked.iter().any(|p| p.name == "arrow"), "the lock file was not understood");
    let found = lock_errors(&locked);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// What a change of the real graph adds to what is found in it.
fn added(change: impl FnOnce(&mut Vec<Package>)) -> Vec<String> {
    let mut packages = graph::packages();
    let before = violations(&packages, TABLE);
    change(&mut packages);
    violations(&packages, TABLE).into_iter().filter(|found| !before.contains(found)).collect()
}

/// What one more edge adds.
fn planted(from: &str, to: &str) -> Vec<String> {
    added(|packages| {
        let package = packages.iter_mut().find(|p| p.name == from).expect("the crate exists");
        package.uses.push(to.to_owned());
    })
}

#[test]
fn a_planted_edge_upwards_is_found() {
    assert_eq!(
        planted("sabot-batch", "sabot-exec"),
        ["sabot-batch depends on sabot-exec, which is not below it"]
    );
}

#[test]
fn a_planted_edge_to_a_sibling_is_found() {
    assert_eq!(
        planted("sabot-plan", "sabot-cpu"),
        ["sabot-plan depends on sabot-cpu, which is not below it"]
    );
}

#[test]
fn a_planted_edge_to_a_leaf_is_found() {
    assert_eq!(
        planted("sabot-exec", "sabot-files"),
        ["sabot-exec depends on the leaf sabot-files: only sabot may"]
    );
}

#[test]
fn a_planted_second_user_of_a_heavy_library_is_found() {
    assert_eq!(
        planted("sabot-connect", "tokio"),
        ["sabot-connect names the library tokio: sabot-exec owns it"]
    );
    assert_eq!(planted("sabot-exec", "rocksdb"), ["sabot-exec names the library rocksdb: nobody owns it"]);
}

#[test]
fn an_edge_through_an_allowed_crate_is_allowed() {
    assert_eq!(planted("sabot-exec", "sabot-common"), [""; 0]);
}

#[test]
fn a_crate_without_a_row_is_found() {
    let new = Package { name: "sabot-new".to_owned(), uses: Vec::new() };
    assert_eq!(
        added(|packages| packages.push(new)),
        ["sabot-new has no row in rules.rs: say what it may depend on"]
    );
}

#[test]
fn a_cycle_and_a_second_owner_in_the_table_are_found() {
    let packages = graph::packages();
    let mut table = TABLE.to_vec();
    table[0].may_use = &["sabot-exec"];
    let batch = table.iter_mut().find(|row| row.name == "sabot-batch").unwrap();
    batch.owns = &["rayon"];
    assert_eq!(
        table_errors(&packages, &table),
        [
            "the row of sabot-common names sabot-exec, which is not above it",
            "rayon has two owners: sabot-batch and sabot-exec",
        ]
    );
}

#[test]
fn a_refused_package_and_a_second_major_are_found() {
    let text = "version = 4\n\n[[package]]\nname = \"arrow\"\nversion = \"59.3.2\"\n\n\
                [[package]]\nname = \"arrow-schema\"\nversion = \"58.0.0\"\n\n\
                [[package]]\nname = \"cmake\"\nversion = \"0.1.54\"\n";
    let found = lock_errors(&graph::parse_lock(text));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("cmake") && found[1].contains("58"), "{found:?}");
}
