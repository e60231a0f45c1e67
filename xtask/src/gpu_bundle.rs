//! A folder that checks and measures the GPU of a machine without Rust: the suite on CUDA and on WGSL, an example on every
//! device, kernels over data that lies on the device, and what other libraries do in the same run.

use clap::Args;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::workspace::{Result, output, root, say};

/// Bytes that the folder may have.
const BYTES_MAX: u64 = 60 << 20;

/// Where to.
#[derive(Args)]
pub(crate) struct Options {
    /// The folder; it must not exist
    #[arg(long, value_name = "FOLDER", default_value = "gpu-bundle")]
    output: PathBuf,
}

/// Makes the folder.
///
/// # Errors
/// When something does not compile, cannot be copied, or is too large.
pub(crate) fn run(options: &Options) -> Result<()> {
    let folder = &options.output;
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    fs::create_dir(folder).map_err(failed)?;
    for (package, name) in [("sabot-cuda", "cuda-tests"), ("sabot-wgpu", "wgpu-tests")] {
        take(&["test", "--no-run", "--lib", "--package", package], folder, name)?;
    }
    let release = ["build", "--release", "--package"];
    take(
        &[&release[..], &["sabot-benches", "--features", "gpu", "--bin", "gpu-kernels"]].concat(),
        folder,
        "gpu-kernels",
    )?;
    take(&[&release[..], &["flight-delays", "--features", "cuda,wgpu"]].concat(), folder, "flight-delays")?;
    let data = root().join("examples/flight-delays/data");
    for name in ["flights-200k.parquet", "airports.csv"] {
        fs::copy(data.join(name), folder.join(name)).map_err(failed)?;
    }
    let commit = output(Command::new("git").args(["rev-parse", "HEAD"]))?;
    for (name, text) in [
        ("run.sh", include_str!("gpu_bundle/run.sh")),
        ("baselines.py", include_str!("gpu_bundle/baselines.py")),
        ("report.py", include_str!("gpu_bundle/report.py")),
        ("commit", commit.trim()),
    ] {
        fs::write(folder.join(name), text).map_err(failed)?;
    }
    let sizes =
        fs::read_dir(folder).map_err(failed)?.filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len()));
    let bytes: u64 = sizes.sum();
    if bytes > BYTES_MAX {
        return Err(format!(
            "{} has {} MiB, at most {} are wanted",
            folder.display(),
            bytes >> 20,
            BYTES_MAX >> 20
        ));
    }
    say(format!("{}: {} MiB; on a machine with a GPU: sh {0}/run.sh", folder.display(), bytes >> 20));
    Ok(())
}

/// Builds a program and puts it into the folder, without its symbols, packed.
fn take(arguments: &[&str], folder: &Path, name: &str) -> Result<()> {
    let mut command = Command::new(env!("CARGO"));
    let messages = output(command.args(arguments).args(["--message-format", "json-render-diagnostics"]))?;
    let values = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let built =
        values.filter_map(|value| Some(PathBuf::from(value.get("executable")?.as_str()?))).next_back();
    let built = built.ok_or_else(|| format!("cargo named no program for {name}"))?;
    let folder = fs::canonicalize(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let to = folder.join(name);
    output(Command::new("strip").arg("--strip-all").arg("-o").args([&to, &built]))?;
    output(Command::new("gzip").arg("-9").arg(&to))?;
    Ok(())
}
