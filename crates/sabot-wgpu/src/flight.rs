//! Work in flight: a thread that waits for the device, and results that are copied when they are there.
//!
//! wgpu calls nobody by itself: somebody has to poll the device. That is one thread for each device, which sleeps while
//! nothing is in flight and ends with the device.

use sabot_gpu_ops::{Fault, Finished, InFlight, Slab};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use wgpu::{Buffer, Device, MapMode, PollType};

/// How late a time-out may be seen.
const LOOK_AROUND: Duration = Duration::from_millis(100);

/// How long the thread sleeps between two looks at the device: a part of how long it has waited already, so that it is late by
/// a small share. It never waits inside of wgpu: version 30 panics when a wait times out at the moment in which another thread
/// submits ("if the queue is empty, the current submission index should be at least ...").
const PAUSE_MIN: Duration = Duration::from_micros(20);
const PAUSE_MAX: Duration = Duration::from_millis(1);
const PAUSE_SHARE: u32 = 8;

/// What the thread and the work in flight share.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    state: Mutex<WatchState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct WatchState {
    /// Work in flight, the oldest first.
    flying: VecDeque<Arc<Landing>>,
    ended: bool,
    /// Why the device is lost.
    lost: Option<String>,
}

impl Watch {
    fn lock(&self) -> MutexGuard<'_, WatchState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the device is lost, if it is.
    pub(crate) fn lost(&self) -> Option<String> {
        self.lock().lost.clone()
    }

    /// The device is lost: nothing that flies will land.
    pub(crate) fn lose(&self, reason: String) {
        let mut state = self.lock();
        state.lost.get_or_insert(reason);
        let all = std::mem::take(&mut state.flying);
        drop(state);
        all.iter().for_each(|landing| landing.wake());
    }

    fn add(&self, landing: Arc<Landing>) {
        self.lock().flying.push_back(landing);
        self.changed.notify_all();
    }

    /// Forgets what has landed or is waited for no more, and says whether there was any.
    fn forget_landed(&self) -> bool {
        let mut state = self.lock();
        let before = state.flying.len();
        // The callbacks of a result that has not landed hold it too.
        state.flying.retain(|landing| Arc::strong_count(landing) > 1 && !landing.has_landed());
        state.flying.len() < before
    }

    /// Calls everybody, so that time-outs are seen.
    fn call_all(&self) {
        let all: Vec<Arc<Landing>> = self.lock().flying.iter().cloned().collect();
        all.iter().for_each(|landing| landing.wake());
    }
}

/// The thread that polls a device. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Watcher {
    watch: Arc<Watch>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    pub(crate) fn start(device: Device, watch: Arc<Watch>, name: &str) -> std::io::Result<Self> {
        let own = watch.clone();
        let thread =
            std::thread::Builder::new().name(name.to_owned()).spawn(move || poll_all(&device, &own))?;
        Ok(Self { watch, thread: Some(thread) })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.watch.lock().ended = true;
        self.watch.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // It polls and calls wakers, neither of which panics.
            let _ = thread.join();
        }
    }
}

fn poll_all(device: &Device, watch: &Watch) {
    let (mut since, mut called) = (None, Instant::now());
    loop {
        let mut state = watch.lock();
        while !state.ended && state.flying.is_empty() {
            since = None;
            state = watch.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.ended {
            return;
        }
        drop(state);
        if let Err(error) = device.poll(PollType::Poll) {
            // From now on every call would fail at once.
            watch.lose(error.to_string());
            return;
        }
        if watch.forget_landed() {
            since = None;
            continue;
        }
        if called.elapsed() > LOOK_AROUND {
            called = Instant::now();
            watch.call_all();
        }
        let waited = since.get_or_insert_with(Instant::now).elapsed();
        let pause = (waited / PAUSE_SHARE).clamp(PAUSE_MIN, PAUSE_MAX);
        let state = watch.lock();
        if !state.ended {
            // New work, or the end, comes sooner.
            drop(watch.changed.wait_timeout(state, pause));
        }
    }
}

/// Which results have landed.
#[derive(Debug, Default)]
pub(crate) struct Landing {
    state: Mutex<LandingState>,
}

#[derive(Debug, Default)]
struct LandingState {
    wanted: usize,
    landed: usize,
    failed: bool,
    waker: Option<Waker>,
}

impl Landing {
    fn lock(&self) -> MutexGuard<'_, LandingState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_landed(&self) -> bool {
        let state = self.lock();
        state.failed || state.landed == state.wanted
    }

    fn wake(&self) {
        let waker = self.lock().waker.take();
        waker.into_iter().for_each(Waker::wake);
    }
}

/// A result on its way: the buffer that it lands in, and the slab that it is meant for.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) staging: Buffer,
    pub(crate) words: usize,
    pub(crate) to: Box<dyn Slab>,
}

/// Work of a device.
#[derive(Debug)]
pub(crate) struct WgpuWork {
    watch: Arc<Watch>,
    landing: Arc<Landing>,
    uploaded: Vec<Box<dyn Slab>>,
    arrivals: Vec<Arrival>,
}

impl WgpuWork {
    pub(crate) fn new(
        watch: Arc<Watch>,
        uploaded: Vec<Box<dyn Slab>>,
        arrivals: Vec<Arrival>,
    ) -> Self {
        let landing = Arc::new(Landing::default());
        landing.lock().wanted = arrivals.len();
        for arrival in &arrivals {
            let landing = landing.clone();
            arrival.staging.map_async(MapMode::Read, .., move |result| {
                let mut state = landing.lock();
                state.landed += 1;
                state.failed |= result.is_err();
                drop(state);
                landing.wake();
            });
        }
        watch.add(landing.clone());
        Self { watch, landing, uploaded, arrivals }
    }
}

impl InFlight for WgpuWork {
    fn poll(&mut self, waker: &Waker) -> Result<Option<Finished>, Fault> {
        if let Some(reason) = self.watch.lost() {
            return Err(Fault::Lost(reason));
        }
        let mut state = self.landing.lock();
        if state.failed {
            return Err(Fault::Lost("a result could not be mapped".to_owned()));
        }
        if state.landed < self.arrivals.len() {
            state.waker = Some(waker.clone());
            return Ok(None);
        }
        drop(state);
        let mut finished = Finished { uploaded: std::mem::take(&mut self.uploaded), ..Finished::default() };
        for mut arrival in self.arrivals.drain(..) {
            let view = arrival.staging.get_mapped_range(..).map_err(|e| Fault::Lost(e.to_string()))?;
            let bytes: &mut [u8] = bytemuck::cast_slice_mut(arrival.to.words_mut());
            bytes[..arrival.words * 4].copy_from_slice(&view[..arrival.words * 4]);
            drop(view);
            arrival.staging.unmap();
            finished.downloaded.push(arrival.to);
        }
        Ok(Some(finished))
    }
}
