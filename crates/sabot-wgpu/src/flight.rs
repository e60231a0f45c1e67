//! Work in flight: results that are copied when they have landed.
//!
//! wgpu calls nobody by itself: somebody has to poll the device, which is the thread of a [`Watch`]. It never waits inside of
//! wgpu: version 30 panics when a wait times out at the moment in which another thread submits ("if the queue is empty, the
//! current submission index should be at least ...").

use sabot_gpu_ops::{Fault, Finished, InFlight, Landing, Slab, Watch};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use wgpu::{Buffer, MapMode};

/// Which results have landed.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    state: Mutex<ArrivalsState>,
}

#[derive(Debug, Default)]
struct ArrivalsState {
    wanted: usize,
    landed: usize,
    failed: bool,
    waker: Option<Waker>,
}

impl Arrivals {
    fn lock(&self) -> MutexGuard<'_, ArrivalsState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Landing for Arrivals {
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
    landing: Arc<Arrivals>,
    uploaded: Vec<Box<dyn Slab>>,
    arrivals: Vec<Arrival>,
}

impl WgpuWork {
    pub(crate) fn new(watch: Arc<Watch>, uploaded: Vec<Box<dyn Slab>>, arrivals: Vec<Arrival>) -> Self {
        let landing = Arc::new(Arrivals::default());
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
            drop(state);
            // It may have been lost before there was somebody to wake.
            return self.watch.lost().map_or(Ok(None), |reason| Err(Fault::Lost(reason)));
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
