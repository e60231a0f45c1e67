//! A device that is none: the host runs its kernels by hand, and it fails where a script says.
//!
//! It is what the failure ladder is tested with. Calls are counted by kind, and a script names the calls that fail, and
//! how. What a real device would do asynchronously is finished at the second poll.

use sabot_common::DeviceId;
use std::any::Any;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use crate::by_hand;
use crate::device::{
    Device, DeviceBuffer, Dialect, Fault, Finished, InFlight, Limits, LoadedKernel, Part, Slab, WorkStep,
};
use crate::source::KernelSource;

/// A kind of call to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// [`Device::load`].
    Load,
    /// [`Device::allocate`].
    Allocate,
    /// [`Device::slab`].
    Slab,
    /// [`Device::submit`].
    Submit,
    /// A first [`InFlight::poll`].
    Finish,
}

/// How a call fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// It gives this fault.
    Fault(Fault),
    /// The work never comes to its end; for [`Call::Finish`].
    Hang,
}

/// Which calls fail, by kind and number from 0.
///
/// ```
/// # use sabot_gpu_ops::{Call, Fault, FakeDevice, Mishap, Script};
/// let script = Script::default().at(Call::Allocate, 2, Mishap::Fault(Fault::OutOfMemory { bytes: 0 }));
/// let device = FakeDevice::new(script);
/// assert_eq!(device.calls(Call::Allocate), 0);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Script {
    mishaps: BTreeMap<(Call, usize), Mishap>,
    /// Of a kind of call, one in so many.
    every: BTreeMap<Call, (usize, Mishap)>,
}

impl Script {
    /// Also this call fails.
    #[must_use]
    pub fn at(mut self, call: Call, number: usize, mishap: Mishap) -> Self {
        self.mishaps.insert((call, number), mishap);
        self
    }

    /// Also one in so many calls of this kind fails, and each of them with 1.
    #[must_use]
    pub fn every(mut self, call: Call, one_in: usize, mishap: Mishap) -> Self {
        self.every.insert(call, (one_in.max(1), mishap));
        self
    }

    fn mishap(&self, call: Call, number: usize) -> Option<&Mishap> {
        let every = self.every.get(&call).filter(|(one_in, _)| (number + 1).is_multiple_of(*one_in));
        self.mishaps.get(&(call, number)).or(every.map(|(_, mishap)| mishap))
    }
}

/// The device.
#[derive(Debug)]
pub struct FakeDevice {
    script: Script,
    calls: Mutex<BTreeMap<Call, usize>>,
    lost: Arc<AtomicBool>,
    live_buffers: Arc<AtomicUsize>,
    limits: Limits,
}

impl FakeDevice {
    /// A device with a gibibyte of memory that fails as the script says.
    pub fn new(script: Script) -> Arc<Self> {
        let limits = Limits { memory_bytes: 1 << 30, buffer_bytes_max: 128 << 20, workgroups_max: 65_535 };
        Self::with_limits(script, limits)
    }

    /// The same with limits of its own.
    pub fn with_limits(script: Script, limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            script,
            calls: Mutex::default(),
            lost: Arc::default(),
            live_buffers: Arc::default(),
            limits,
        })
    }

    /// How many calls of a kind there have been.
    pub fn calls(&self, call: Call) -> usize {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).get(&call).copied().unwrap_or(0)
    }

    /// How many buffers are allocated.
    pub fn live_buffers(&self) -> usize {
        self.live_buffers.load(Ordering::SeqCst)
    }

    /// Counts a call, and says what goes wrong with it.
    fn enter(&self, call: Call) -> Result<Option<Mishap>, Fault> {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let number = calls.entry(call).or_default();
        let mishap = self.script.mishap(call, *number).cloned();
        *number += 1;
        drop(calls);
        // As with a real one, after the first such fault every call gives it.
        if self.lost.load(Ordering::SeqCst) {
            return Err(Fault::Lost("an earlier call failed".to_owned()));
        }
        match mishap {
            Some(Mishap::Fault(fault)) => {
                self.lost.fetch_or(matches!(fault, Fault::Lost(_)), Ordering::SeqCst);
                Err(fault)
            }
            other => Ok(other),
        }
    }
}

#[derive(Debug)]
struct FakeBuffer {
    words: Mutex<Vec<u32>>,
    live: Arc<AtomicUsize>,
}

impl DeviceBuffer for FakeBuffer {
    fn bytes(&self) -> usize {
        self.words.lock().unwrap_or_else(PoisonError::into_inner).len() * 4
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for FakeBuffer {
    fn drop(&mut self) {
        self.live.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Debug)]
struct FakeKernel(KernelSource);

impl LoadedKernel for FakeKernel {
    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn words(buffer: &Arc<dyn DeviceBuffer>) -> Result<&Mutex<Vec<u32>>, Fault> {
    let own = buffer.as_any().downcast_ref::<FakeBuffer>();
    own.map(|own| &own.words).ok_or_else(|| Fault::Launch("a buffer of another device".to_owned()))
}

impl Device for FakeDevice {
    fn id(&self) -> DeviceId {
        DeviceId::new("fake:0")
    }

    fn dialect(&self) -> Dialect {
        Dialect::Cuda
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn load(&self, source: &KernelSource) -> Result<Arc<dyn LoadedKernel>, Fault> {
        self.enter(Call::Load)?;
        Ok(Arc::new(FakeKernel(source.clone())))
    }

    fn allocate(&self, bytes: usize) -> Result<Arc<dyn DeviceBuffer>, Fault> {
        self.enter(Call::Allocate)?;
        self.live_buffers.fetch_add(1, Ordering::SeqCst);
        // What was there before is none of zero.
        let words = Mutex::new(vec![0xdead_beef; bytes.div_ceil(4)]);
        Ok(Arc::new(FakeBuffer { words, live: self.live_buffers.clone() }))
    }

    fn slab(&self, words: usize) -> Result<Box<dyn Slab>, Fault> {
        self.enter(Call::Slab)?;
        Ok(Box::new(vec![0u32; words]))
    }

    fn submit(&self, work: Vec<WorkStep>) -> Result<Box<dyn InFlight>, Fault> {
        self.enter(Call::Submit)?;
        let mut finished = Finished::default();
        for step in work {
            match step {
                WorkStep::Upload { from, words: count, to } => {
                    let mut to = words(&to)?.lock().unwrap_or_else(PoisonError::into_inner);
                    to[..count].copy_from_slice(&from.words()[..count]);
                    drop(to);
                    finished.uploaded.push(from);
                }
                WorkStep::Clear { buffer, words: count } => {
                    words(&buffer)?.lock().unwrap_or_else(PoisonError::into_inner)[..count].fill(0);
                }
                WorkStep::Launch { kernel, entry, bindings, .. } => {
                    let kernel = kernel.as_any().downcast_ref::<FakeKernel>();
                    let kernel =
                        kernel.ok_or_else(|| Fault::Launch("a kernel of another device".to_owned()))?;
                    let copy = |part: &Part| -> Result<Vec<u32>, Fault> {
                        Ok(words(&part.buffer)?.lock().unwrap_or_else(PoisonError::into_inner)[..part.words]
                            .to_vec())
                    };
                    let (input, parameters) = (copy(&bindings.input)?, copy(&bindings.parameters)?);
                    // Nothing beyond the parts that were named.
                    let (mut output, mut status) = (copy(&bindings.output)?, copy(&bindings.status)?);
                    by_hand::run(&kernel.0, entry, &input, &mut output, &parameters, &mut status);
                    for (part, result) in [(&bindings.output, output), (&bindings.status, status)] {
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
        let fate = self.enter(Call::Finish).map(|mishap| mishap == Some(Mishap::Hang));
        Ok(Box::new(FakeWork { finished: Some(finished), fate, polls: 0 }))
    }
}

struct FakeWork {
    finished: Option<Finished>,
    /// Whether it hangs, or what goes wrong.
    fate: Result<bool, Fault>,
    polls: u32,
}

impl InFlight for FakeWork {
    fn poll(&mut self, waker: &Waker) -> Result<Option<Finished>, Fault> {
        self.polls += 1;
        waker.wake_by_ref();
        match &self.fate {
            _ if self.polls < 2 => Ok(None),
            Ok(true) => Ok(None),
            Ok(false) => Ok(self.finished.take()),
            Err(fault) => Err(fault.clone()),
        }
    }
}
