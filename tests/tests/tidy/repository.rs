//! Where the repository is, and which files it has.

use std::path::{Path, PathBuf};

/// A text file, with its path relative to the root.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the root").to_owned()
}

/// The text of a file.
pub(crate) fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files whose name ends in one of `endings`, in order of path. Build outputs, hidden folders other
/// than `.ci` and `.cargo`, and workspaces of their own under `benches/peers` do not count.
pub(crate) fn files(endings: &[&str]) -> Vec<File> {
    let root = root();
    let mut paths = Vec::new();
    let mut open = vec![root.clone()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the repository can be read") {
            let path = entry.expect("an entry can be read").path();
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
            if path.is_dir() {
                let hidden = name.starts_with('.') && name != ".ci" && name != ".cargo";
                if !hidden && name != "target" && name != "peers" && name != "proptest-regressions" {
                    open.push(path);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                paths.push(path);
            }
        }
    }
    paths.sort();
    let relative = |path: &Path| path.strip_prefix(&root).expect("below the root").display().to_string();
    paths.iter().map(|path| File { path: relative(path), text: read(path) }).collect()
}
