//! What the workspace depends on, read once: the manifests through `cargo metadata`, the lock file.

use crate::repository;
use cargo_metadata::{DependencyKind, MetadataCommand};

/// A package of the workspace that lies under `crates/`.
#[derive(Clone, Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// Names of all packages that its manifest depends on when it is built by a user: normal and build
    /// dependencies, optional ones and those of other platforms included. Development dependencies are
    /// free: they reach nobody else.
    pub(crate) uses: Vec<String>,
}

/// Name and version of a package in the lock file.
#[derive(Clone, Debug)]
pub(crate) struct Locked {
    pub(crate) name: String,
    pub(crate) version: String,
}

/// The packages under `crates/`, as their manifests have it.
pub(crate) fn packages() -> Vec<Package> {
    let root = repository::root();
    // Without `no_deps`, cargo would resolve for all platforms and download what this one never builds.
    let metadata = MetadataCommand::new().manifest_path(root.join("Cargo.toml")).no_deps().exec().unwrap();
    let crates = root.join("crates");
    let mut packages: Vec<Package> = metadata
        .packages
        .iter()
        .filter(|p| p.manifest_path.as_std_path().starts_with(&crates))
        .map(|p| {
            let used = p.dependencies.iter().filter(|d| d.kind != DependencyKind::Development);
            Package { name: p.name.to_string(), uses: used.map(|d| d.name.clone()).collect() }
        })
        .collect();
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    packages
}

/// What `Cargo.lock` holds.
pub(crate) fn locked() -> Vec<Locked> {
    let text = repository::read(&repository::root().join("Cargo.lock"));
    parse_lock(&text)
}

/// The packages of a lock file's text: the two lines that follow each `[[package]]`.
pub(crate) fn parse_lock(text: &str) -> Vec<Locked> {
    let field = |line: Option<&str>, key: &str| -> Option<String> {
        Some(line?.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"')?.to_owned())
    };
    let blocks = text.split("[[package]]\n").skip(1);
    blocks
        .map(|block| {
            let mut lines = block.lines();
            let name = field(lines.next(), "name").expect("a package in Cargo.lock starts with its name");
            let version = field(lines.next(), "version").expect("its version follows");
            Locked { name, version }
        })
        .collect()
}
