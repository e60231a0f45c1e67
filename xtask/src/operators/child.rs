//! An engine in a process of its own: requests and answers, one JSON object a line.
//!
//! Memory and processor time are read from outside, from the same place for everybody.

use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use crate::workspace::{Result, root};

/// Ticks a second in which Linux tells processor time to programs, on every architecture that Sabot runs
/// on: it is part of the system's interface and not the kernel's own rate.
const TICKS: f64 = 100.0;

/// A running process that answers.
pub(crate) struct Child {
    name: String,
    process: std::process::Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Child {
    /// Starts it.
    ///
    /// # Errors
    /// When the program is not there.
    pub(crate) fn start(name: &str, command: &mut Command) -> Result<Self> {
        let failed = |error: std::io::Error| format!("{name}: {error}");
        command.current_dir(root()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().map_err(failed)?;
        let (Some(requests), Some(answers)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(format!("{name}: its input and output are no pipes"));
        };
        let answers = BufReader::new(answers);
        Ok(Self { name: name.to_owned(), process, requests: Some(requests), answers })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Sends a request and waits for the answer.
    ///
    /// # Errors
    /// When it ends instead, reports an error, or answers something else.
    pub(crate) fn ask<T: DeserializeOwned>(&mut self, request: &Value) -> Result<T> {
        let failed = |error: std::io::Error| format!("{}: {error}", self.name);
        let requests = self.requests.as_mut().ok_or("it was told to end")?;
        writeln!(requests, "{request}").and_then(|()| requests.flush()).map_err(failed)?;
        let mut line = String::new();
        if self.answers.read_line(&mut line).map_err(failed)? == 0 {
            return Err(format!("{} ended without an answer to {request}", self.name));
        }
        answer(&line).map_err(|problem| format!("{}: {problem}", self.name))
    }

    /// Seconds of processor time so far, of all its threads, user and system. `None` where the system
    /// does not say.
    pub(crate) fn cpu_seconds(&self) -> Option<f64> {
        cpu_seconds(&self.file("stat")?)
    }

    /// The most memory that it ever had, in bytes. `None` where the system does not say.
    pub(crate) fn peak_bytes(&self) -> Option<u64> {
        peak_bytes(&self.file("status")?)
    }

    fn file(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(format!("/proc/{}/{name}", self.process.id())).ok()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        drop(self.requests.take()); // the end of its input is the end of its work
        drop(self.process.wait());
    }
}

fn answer<T: DeserializeOwned>(line: &str) -> Result<T> {
    let value: Value = serde_json::from_str(line).map_err(|error| format!("{error}: {line}"))?;
    match value.get("error").and_then(Value::as_str) {
        Some(error) => Err(error.to_owned()),
        None => serde_json::from_value(value).map_err(|error| format!("{error}: {line}")),
    }
}

/// From `/proc/<id>/stat`: the program's name stands in parentheses and may contain anything.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let fields = stat.rsplit_once(')')?.1.split_whitespace();
    let ticks: Vec<f64> = fields.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    (ticks.len() == 2).then(|| (ticks[0] + ticks[1]) / TICKS)
}

/// From `/proc/<id>/status`.
fn peak_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_the_system_are_read() {
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 1 0 1 1 1";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(cpu_seconds("42"), None);
        assert_eq!(peak_bytes("VmPeak:\t 9 kB\nVmHWM:\t    2048 kB\n"), Some(2 << 20));
        assert_eq!(peak_bytes("VmPeak:\t 9 kB\n"), None);
    }

    #[test]
    fn an_error_is_told_from_an_answer() {
        assert_eq!(answer::<Vec<u8>>("[1]"), Ok(vec![1]));
        assert_eq!(answer::<Vec<u8>>("{\"error\": \"no query x\"}"), Err("no query x".to_owned()));
        assert!(answer::<Vec<u8>>("{\"seconds\": 1}").is_err());
    }
}
