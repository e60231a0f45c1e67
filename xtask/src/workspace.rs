//! The workspace as a command sees it: where it is, how to run things in it, how to talk to the terminal.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What went wrong, in words: these commands are for people.
pub(crate) type Result<T> = std::result::Result<T, String>;

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Runs a command in the root and gives what it printed; what it reports as an error stays visible.
///
/// # Errors
/// When it cannot be started, fails, or prints something that is no text.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = format!("{} {}", command.get_program().display(), arguments(command));
    let output = command.current_dir(root()).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("{shown}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{shown}: {}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|error| format!("{shown}: {error}"))
}

fn arguments(command: &Command) -> String {
    command.get_args().map(|a| a.display().to_string()).collect::<Vec<_>>().join(" ")
}

/// Prints a line for whoever ran the command.
#[allow(clippy::print_stdout, reason = "a command talks to its terminal")]
pub(crate) fn say(line: impl AsRef<str>) {
    println!("{}", line.as_ref());
}

/// Prints a complaint.
#[allow(clippy::print_stderr, reason = "a command talks to its terminal")]
pub(crate) fn complain(line: impl AsRef<str>) {
    eprintln!("xtask: {}", line.as_ref());
}
