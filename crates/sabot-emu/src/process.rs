//! A kernel's process.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use crate::compiler::Executable;

/// A launch.
pub(crate) struct Request {
    pub(crate) seed: u32,
    pub(crate) blocks: u32,
    pub(crate) threads: u32,
    pub(crate) entry: u32,
    pub(crate) input: Vec<u32>,
    pub(crate) output: Vec<u32>,
    pub(crate) parameters: Vec<u32>,
    pub(crate) status: Vec<u32>,
    pub(crate) wide: Vec<u32>,
}

/// What it has left.
pub(crate) struct Answer {
    pub(crate) output: Vec<u32>,
    pub(crate) status: Vec<u32>,
    pub(crate) wide: Vec<u32>,
}

/// A process that runs one kernel again and again. It starts with the first launch and is ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    program: Arc<Executable>,
    child: Option<Child>,
}

impl Process {
    pub(crate) fn new(program: Arc<Executable>) -> Self {
        Self { program, child: None }
    }

    /// Runs the kernel.
    ///
    /// # Errors
    /// In words, when the process came to its end instead: what it said, and how it ended.
    pub(crate) fn run(&mut self, request: &Request) -> Result<Answer, String> {
        self.exchange(request).map_err(|error| self.post_mortem(&error))
    }

    fn exchange(&mut self, request: &Request) -> std::io::Result<Answer> {
        let child = match &mut self.child {
            Some(child) => child,
            none => {
                let mut command = Command::new(&self.program.runtime);
                command.arg(&self.program.kernel);
                command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
                // The leak checker would stop at every exit, and stacks are switched by hand.
                command.env("ASAN_OPTIONS", "detect_leaks=0:detect_stack_use_after_return=0");
                none.insert(command.spawn()?)
            }
        };
        let (Some(to), Some(from)) = (&mut child.stdin, &mut child.stdout) else {
            return Err(std::io::Error::other("a process without pipes"));
        };
        let Request { seed, blocks, threads, entry, input, output, parameters, status, wide } = request;
        let parts = [input, output, parameters, status, wide];
        let mut header = vec![*seed, *blocks, *threads, self.program.first + *entry];
        header.extend(parts.map(|part| part.len() as u32));
        let mut message: Vec<u8> = Vec::new();
        for part in std::iter::once(&header).chain(parts) {
            message.extend_from_slice(bytemuck::cast_slice(part));
        }
        // It reads all of it before it writes.
        to.write_all(&message)?;
        to.flush()?;
        let [output, status, wide] = [output, status, wide].map(|part| vec![0; part.len()]);
        let mut answer = Answer { output, status, wide };
        for part in [&mut answer.output, &mut answer.status, &mut answer.wide] {
            from.read_exact(bytemuck::cast_slice_mut(part))?;
        }
        Ok(answer)
    }

    /// Why the process is no more.
    fn post_mortem(&mut self, error: &std::io::Error) -> String {
        let Some(mut child) = self.child.take() else { return error.to_string() };
        drop(child.stdin.take());
        let mut said = String::new();
        if let Some(stderr) = &mut child.stderr {
            // What cannot be read is not said.
            let _ = stderr.read_to_string(&mut said);
        }
        let end = child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        format!("the kernel's process ended ({end}): {}", said.trim())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
