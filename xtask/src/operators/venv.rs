//! The peers' packages, in a folder of their own.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::workspace::{Result, output, root, say};

/// What is installed: versions that the figures name.
const REQUIREMENTS: &str = "benches/peers/python/requirements.txt";

/// The Python of a folder that has the peers; it is made, and made anew when the requirements change.
///
/// # Errors
/// When it cannot be made, or the packages cannot be had.
pub(crate) fn python(with: &Path, folder: &Path) -> Result<PathBuf> {
    let python = folder.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    let requirements = root().join(REQUIREMENTS);
    let read = |path: &Path| std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()));
    let (wanted, stamp) = (read(&requirements)?, folder.join("installed.txt"));
    if read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    say(format!("installing the peers into {}", folder.display()));
    output(Command::new(with).args(["-m", "venv", "--clear"]).arg(folder))?;
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
    output(pip.arg(&requirements))?;
    std::fs::write(&stamp, &wanted).map_err(|error| format!("{}: {error}", stamp.display()))?;
    Ok(python)
}
