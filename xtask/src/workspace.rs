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

/// Builds a program of a package and gives its path.
///
/// # Errors
/// When it does not compile, or the package has no such program.
pub(crate) fn build(package: &str, program: &str, profile: &str) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--profile", profile, "--package", package, "--bin", program]);
    let messages = output(command.args(["--message-format", "json-render-diagnostics"]))?;
    let values = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut programs = values.filter_map(|value| Some(PathBuf::from(value.get("executable")?.as_str()?)));
    programs.next_back().ok_or_else(|| format!("cargo named no program {program} of the package {package}"))
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
