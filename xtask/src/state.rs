//! Looking into checkpoints: the example of `sabot-state`, which knows their format.

use std::process::Command;

use crate::workspace::{Result, root};

/// Runs it where the user is, so that paths mean what they say.
///
/// # Errors
/// When it cannot be built, or has complained itself.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let status = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--package", "sabot-state", "--example", "state", "--manifest-path"])
        .arg(root().join("Cargo.toml"))
        .arg("--")
        .args(arguments)
        .status()
        .map_err(|error| format!("cargo: {error}"))?;
    if status.success() { Ok(()) } else { Err("nothing was shown".to_owned()) }
}
