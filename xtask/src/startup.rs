//! How long the smallest program takes from its start to its first printed byte.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::workspace::{Result, build, say};

/// Runs that are measured.
const RUNS: usize = 20;

/// Builds `examples/first` for release, runs it, and prints minimum, median and maximum.
///
/// # Errors
/// When it cannot be built or run, or prints nothing.
pub(crate) fn run() -> Result<()> {
    let program = build("first", "first", "release")?;
    // One run more, unmeasured, brings the program into the page cache.
    time_to_first_byte(&program)?;
    let mut times = (0..RUNS).map(|_| time_to_first_byte(&program)).collect::<Result<Vec<_>>>()?;
    times.sort();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let (min, median, max) = (ms(times[0]), ms(times[RUNS / 2]), ms(times[RUNS - 1]));
    say(format!("first byte of examples/first in {RUNS} runs: {median:.1} ms (min {min:.1}, max {max:.1})"));
    Ok(())
}

fn time_to_first_byte(program: &Path) -> Result<Duration> {
    let failed = |error: std::io::Error| format!("{}: {error}", program.display());
    let start = Instant::now();
    let mut child = Command::new(program).stdout(Stdio::piped()).spawn().map_err(failed)?;
    let mut printed = child.stdout.take().ok_or("no standard output")?;
    printed.read_exact(&mut [0]).map_err(failed)?;
    let elapsed = start.elapsed();
    std::io::copy(&mut printed, &mut std::io::sink()).map_err(failed)?;
    match child.wait().map_err(failed)?.success() {
        true => Ok(elapsed),
        false => Err(format!("{} failed", program.display())),
    }
}
