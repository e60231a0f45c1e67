//! A device that is none: the host runs its kernels by hand, and it fails where a script says.
//!
//! It is what the failure ladder is tested with. Calls are counted by kind, and a script names the calls that fail, and
//! how. What a real device would do asynchronously is finished at the second poll.

use sabot_codegen::{Bitmap, NOWHERE, Parameters, Program, Storage, evaluate_with};
use sabot_common::DeviceId;
use std::any::Any;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use crate::device::{
    Device, DeviceBuffer, Dialect, Fault, Finished, InFlight, Limits, LoadedKernel, Slab, WorkStep,
};
use crate::slab::load;
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
}

impl Script {
    /// Also this call fails.
    #[must_use]
    pub fn at(mut self, call: Call, number: usize, mishap: Mishap) -> Self {
        self.mishaps.insert((call, number), mishap);
        self
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
        let mishap = self.script.mishaps.get(&(call, *number)).cloned();
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
                WorkStep::Launch { kernel, bindings, .. } => {
                    let kernel = kernel.as_any().downcast_ref::<FakeKernel>();
                    let kernel =
                        kernel.ok_or_else(|| Fault::Launch("a kernel of another device".to_owned()))?;
                    let [input, output, parameters, status] =
                        [&bindings.input, &bindings.output, &bindings.parameters, &bindings.status]
                            .map(words);
                    let lock = |words: &Mutex<Vec<u32>>| {
                        words.lock().unwrap_or_else(PoisonError::into_inner).clone()
                    };
                    let (input, parameters) = (lock(input?), lock(parameters?));
                    let mut output = output?.lock().unwrap_or_else(PoisonError::into_inner);
                    let mut status = status?.lock().unwrap_or_else(PoisonError::into_inner);
                    filter_project(&kernel.0, &input, &mut output, &parameters, &mut status[0]);
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

/// What the skeleton of filter-project does.
fn filter_project(
    source: &KernelSource,
    input: &[u32],
    output: &mut [u32],
    parameters: &[u32],
    status: &mut u32,
) {
    let (program, at): (&Program, Parameters) = (&source.program, source.parameters());
    let rows = parameters[Parameters::ROWS] as usize;
    let bit = |offset: u32, row: usize| {
        offset == NOWHERE || input[offset as usize + row / 32] >> (row % 32) & 1 == 1
    };
    for number in 0..source.bitmaps.len() {
        let first = parameters[at.bitmap(number)] as usize;
        output[first..first + rows.div_ceil(32)].fill(0);
    }
    let bytes: &[u8] = bytemuck::cast_slice(input);
    for row in (0..rows).filter(|row| bit(parameters[Parameters::LIVE], *row)) {
        let load = |number: usize| {
            load(bytes, parameters[at.input(number)] as usize, program.inputs()[number].storage, row)
        };
        let valid = |number: usize| bit(parameters[at.input_valid(number)], row);
        let result = evaluate_with(program, load, valid);
        *status |= u32::from(result.failed);
        for (number, bitmap) in source.bitmaps.iter().enumerate() {
            let set = match *bitmap {
                Bitmap::Keep => result.keep,
                Bitmap::Values(output) => result.outputs[output].is_some_and(|bits| bits != 0),
                Bitmap::Valid(output) => result.outputs[output].is_some(),
            };
            output[parameters[at.bitmap(number)] as usize + row / 32] |= u32::from(set) << (row % 32);
        }
        for (number, storage) in source.stored.iter().enumerate().filter(|(_, s)| **s != Storage::Bit) {
            let value = result.outputs[number].unwrap_or(0);
            let width = storage.bits() / 8;
            let at = parameters[at.output(number)] as usize * 4 + row * width;
            let bytes: &mut [u8] = bytemuck::cast_slice_mut(output);
            bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
        }
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
