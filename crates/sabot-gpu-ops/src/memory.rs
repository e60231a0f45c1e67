//! The account of a device's memory, and buffers that are used again.
//!
//! Admission comes before allocation: what does not fit the budget is refused here, without asking the driver. Buffers
//! come in powers of two, so that those of one morsel serve the next.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::counters::Counters;
use crate::device::{Device, DeviceBuffer, Fault};

/// The smallest buffer: the granularity in which drivers give memory out anyway.
const SMALLEST: usize = 4096;

/// Memory of one device, shared by all its kernels.
#[derive(Debug)]
pub(crate) struct Memory {
    device: Arc<dyn Device>,
    counters: Arc<Counters>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes of all buffers, free ones included.
    bytes: usize,
    /// Bytes of the free ones.
    free_bytes: usize,
    /// Buffers that nobody uses, by their size.
    free: BTreeMap<usize, Vec<Arc<dyn DeviceBuffer>>>,
}

impl State {
    fn trim(&mut self) -> bool {
        let had = self.free_bytes > 0;
        self.bytes -= self.free_bytes;
        self.free_bytes = 0;
        self.free.clear();
        had
    }
}

impl Memory {
    pub(crate) fn new(device: Arc<dyn Device>, counters: Arc<Counters>) -> Arc<Self> {
        Arc::new(Self { device, counters, state: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that are in use.
    pub(crate) fn used(&self) -> usize {
        let state = self.lock();
        state.bytes - state.free_bytes
    }

    /// A buffer of at least so many bytes, with anything in it.
    ///
    /// # Errors
    /// [`Fault::OutOfMemory`] when the budget or the device has no room, also without the free buffers.
    pub(crate) fn take(self: &Arc<Self>, bytes: usize) -> Result<Held, Fault> {
        let class =
            bytes.max(SMALLEST).next_power_of_two().min(self.device.limits().buffer_bytes_max.max(bytes));
        let mut state = self.lock();
        if let Some(buffer) = state.free.get_mut(&class).and_then(Vec::pop) {
            state.free_bytes -= class;
            return Ok(Held { buffer, class, memory: self.clone() });
        }
        let limit = self.device.limits().memory_bytes;
        if state.bytes + class > limit && state.trim() {
            self.counters.trimmed.fetch_add(1, Ordering::Relaxed);
        }
        if state.bytes + class > limit {
            return Err(Fault::OutOfMemory { bytes: class });
        }
        let buffer = match self.device.allocate(class) {
            Err(Fault::OutOfMemory { .. }) if state.trim() => {
                self.counters.trimmed.fetch_add(1, Ordering::Relaxed);
                self.device.allocate(class)?
            }
            other => other?,
        };
        state.bytes += class;
        Ok(Held { buffer, class, memory: self.clone() })
    }
}

/// A buffer in use; free again when dropped.
#[derive(Debug)]
pub(crate) struct Held {
    buffer: Arc<dyn DeviceBuffer>,
    class: usize,
    memory: Arc<Memory>,
}

impl Deref for Held {
    type Target = Arc<dyn DeviceBuffer>;

    fn deref(&self) -> &Self::Target {
        &self.buffer
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.memory.lock();
        state.free_bytes += self.class;
        state.free.entry(self.class).or_default().push(self.buffer.clone());
    }
}
