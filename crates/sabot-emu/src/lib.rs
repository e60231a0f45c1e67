//! CUDA kernels without a GPU: compiled as C++ and run on the CPU.
//!
//! The text of a kernel is the one that a GPU gets. In front of it comes a header that plays CUDA, and behind it a
//! runtime that gives every thread of a block a fiber, runs warps in seeded random order, and checks collectives and barriers.
//! It shows wrong logic, accesses out of bounds (under a sanitizer), missing barriers and deadlocks. It shows nothing of weak
//! memory, and nothing of speed.
//!
//! A kernel runs in a process of its own, which is told what to do through pipes. So one that crashes ends its process, and
//! the device is lost as a real one would be.
#![forbid(unsafe_code)]

mod compiler;
mod process;
#[cfg(test)]
mod tests;

pub use compiler::{EmuError, EmuOptions};

use sabot_common::DeviceId;
use sabot_gpu_ops::{
    Device, DeviceBuffer, Dialect, Fault, Finished, InFlight, KernelSource, Limits, LoadedKernel, Part, Slab,
    TILE, WorkStep,
};
use std::any::Any;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::Waker;

use crate::compiler::Compiler;
use crate::process::{Process, Request};

/// A device that is a compiler and the CPU.
#[derive(Debug)]
pub struct EmuDevice {
    compiler: Compiler,
    seeds: AtomicU32,
    lost: OnceLock<String>,
}

impl EmuDevice {
    /// The device.
    ///
    /// # Errors
    /// [`EmuError`] where there is no C++ compiler.
    pub fn new(options: EmuOptions) -> Result<Arc<Self>, EmuError> {
        let compiler = Compiler::new(options)?;
        Ok(Arc::new(Self { compiler, seeds: AtomicU32::new(options.seed), lost: OnceLock::new() }))
    }

    /// Compiles many kernels at once, in a fraction of the time; loading each afterwards costs nothing.
    ///
    /// # Errors
    /// [`EmuError`] when the compiler does not accept one of them.
    pub fn compile_together(&self, sources: &[KernelSource]) -> Result<(), EmuError> {
        self.compiler.compile_together(sources)
    }

    fn alive(&self) -> Result<(), Fault> {
        self.lost.get().map_or(Ok(()), |reason| Err(Fault::Lost(reason.clone())))
    }
}

#[derive(Debug)]
struct EmuBuffer(Mutex<Vec<u32>>);

impl DeviceBuffer for EmuBuffer {
    fn bytes(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len() * 4
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn words(buffer: &Arc<dyn DeviceBuffer>) -> Result<&Mutex<Vec<u32>>, Fault> {
    let own = buffer.as_any().downcast_ref::<EmuBuffer>();
    own.map(|own| &own.0).ok_or_else(|| Fault::Launch("a buffer of another device".to_owned()))
}

#[derive(Debug)]
struct EmuKernel(Mutex<Process>);

impl LoadedKernel for EmuKernel {
    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Device for EmuDevice {
    fn id(&self) -> DeviceId {
        DeviceId::new("cuda-emulated:0")
    }

    fn dialect(&self) -> Dialect {
        Dialect::Cuda
    }

    fn limits(&self) -> Limits {
        Limits { memory_bytes: 1 << 30, buffer_bytes_max: 128 << 20, workgroups_max: 65_535 }
    }

    fn load(&self, source: &KernelSource) -> Result<Arc<dyn LoadedKernel>, Fault> {
        self.alive()?;
        let program = self.compiler.compile(source).map_err(|error| Fault::Launch(error.to_string()))?;
        Ok(Arc::new(EmuKernel(Mutex::new(Process::new(program)))))
    }

    fn allocate(&self, bytes: usize) -> Result<Arc<dyn DeviceBuffer>, Fault> {
        self.alive()?;
        // What was there before is none of zero.
        Ok(Arc::new(EmuBuffer(Mutex::new(vec![0xdead_beef; bytes.div_ceil(4)]))))
    }

    fn slab(&self, words: usize) -> Result<Box<dyn Slab>, Fault> {
        Ok(Box::new(vec![0u32; words]))
    }

    fn submit(&self, work: Vec<WorkStep>) -> Result<Box<dyn InFlight>, Fault> {
        self.alive()?;
        let mut finished = Finished::default();
        for step in work {
            match step {
                WorkStep::Upload { from, words: count, to } => {
                    words(&to)?.lock().unwrap_or_else(PoisonError::into_inner)[..count]
                        .copy_from_slice(&from.words()[..count]);
                    finished.uploaded.push(from);
                }
                WorkStep::Clear { buffer, words: count } => {
                    words(&buffer)?.lock().unwrap_or_else(PoisonError::into_inner)[..count].fill(0);
                }
                WorkStep::Launch { kernel, entry, bindings, groups } => {
                    let kernel = kernel.as_any().downcast_ref::<EmuKernel>();
                    let kernel =
                        kernel.ok_or_else(|| Fault::Launch("a kernel of another device".to_owned()))?;
                    // What a kernel reads beyond its part is an error.
                    let copy = |part: &Part| -> Result<Vec<u32>, Fault> {
                        let words = words(&part.buffer)?.lock().unwrap_or_else(PoisonError::into_inner);
                        Ok(words[..part.words].to_vec())
                    };
                    let request = Request {
                        seed: self.seeds.fetch_add(1, Ordering::Relaxed),
                        blocks: groups,
                        threads: TILE,
                        entry: entry as u32,
                        input: copy(&bindings.input)?,
                        output: copy(&bindings.output)?,
                        parameters: copy(&bindings.parameters)?,
                        status: copy(&bindings.status)?,
                        wide: bindings.wide.as_ref().map(copy).transpose()?.unwrap_or_default(),
                    };
                    let answer = kernel.0.lock().unwrap_or_else(PoisonError::into_inner).run(&request);
                    let answer = answer.map_err(|reason| {
                        // Nothing works any more after such a fault, as on a real device.
                        Fault::Lost(self.lost.get_or_init(|| reason).clone())
                    })?;
                    let parts = [
                        (Some(&bindings.output), answer.output),
                        (Some(&bindings.status), answer.status),
                        (bindings.wide.as_ref(), answer.wide),
                    ];
                    for (part, result) in parts.into_iter().filter_map(|(part, result)| Some((part?, result)))
                    {
                        let mut to = words(&part.buffer)?.lock().unwrap_or_else(PoisonError::into_inner);
                        to[..result.len()].copy_from_slice(&result);
                    }
                }
                WorkStep::Download { from, words: count, mut to } => {
                    let from = words(&from)?.lock().unwrap_or_else(PoisonError::into_inner);
                    to.words_mut()[..count].copy_from_slice(&from[..count]);
                    drop(from);
                    finished.downloaded.push(to);
                }
            }
        }
        Ok(Box::new(EmuWork(Some(finished))))
    }
}

/// Work that was finished when it was submitted.
struct EmuWork(Option<Finished>);

impl InFlight for EmuWork {
    fn poll(&mut self, _waker: &Waker) -> Result<Option<Finished>, Fault> {
        Ok(self.0.take())
    }
}
