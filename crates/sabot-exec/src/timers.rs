//! Wakes tasks after a while: for idle partitions, and later for deadlines.
//!
//! The one thread behind it starts with the first timer and ends with the engine; a job without timers
//! never starts it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

#[derive(Default)]
pub(crate) struct Timers {
    running: Mutex<Option<Running>>,
}

struct Running {
    handle: Handle,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Timers {
    /// Wakes `waker` once `after` has passed. When no timer thread can be started it wakes at once:
    /// the task then asks its clock too often, which is slow and not wrong.
    pub(crate) fn wake_after(&self, after: Duration, waker: Waker) {
        let mut running = self.lock();
        if running.is_none() {
            *running = start();
        }
        match running.as_ref() {
            Some(running) => drop(running.handle.spawn(async move {
                tokio::time::sleep(after).await;
                waker.wake();
            })),
            None => waker.wake(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn start() -> Option<Running> {
    let runtime = Builder::new_current_thread().enable_time().build().ok()?;
    let handle = runtime.handle().clone();
    let (stop, stopped) = oneshot::channel::<()>();
    let body = move || {
        // The sender is dropped with the engine, which ends the wait just as well.
        let _ = runtime.block_on(stopped);
    };
    let thread = std::thread::Builder::new().name("sabot-timers".to_owned()).spawn(body).ok()?;
    Some(Running { handle, stop, thread })
}

impl Drop for Timers {
    fn drop(&mut self) {
        let running = self.lock().take();
        if let Some(Running { stop, thread, .. }) = running {
            let _ = stop.send(());
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}
