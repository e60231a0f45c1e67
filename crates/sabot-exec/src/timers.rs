//! Wakes tasks after a while: for idle partitions, pauses, and later for deadlines.
//!
//! The one thread behind it starts with the first timer and ends with the engine; a job without timers
//! never starts it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

#[derive(Default)]
pub(crate) struct Timers {
    running: Mutex<Option<Running>>,
}

struct Running {
    handle: Handle,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

/// A timer that is set, or that has rung. Dropping it takes it back, so that it keeps nothing alive.
#[derive(Debug)]
pub(crate) struct Alarm {
    rang: Arc<AtomicBool>,
    timer: Option<AbortHandle>,
}

impl Alarm {
    /// Whether the time has passed. What the injected clock says then is another matter: a clock that
    /// stands still is asked again.
    pub(crate) fn has_rung(&self) -> bool {
        self.rang.load(Ordering::SeqCst)
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if let Some(timer) = &self.timer {
            timer.abort();
        }
    }
}

impl Timers {
    /// Wakes `waker` once `after` has passed. When no timer thread can be started it wakes at once:
    /// the task then asks its clock too often, which is slow and not wrong.
    pub(crate) fn alarm(&self, after: Duration, waker: Waker) -> Alarm {
        let rang = Arc::new(AtomicBool::new(false));
        let rings = rang.clone();
        let ring = move || {
            rings.store(true, Ordering::SeqCst);
            waker.wake();
        };
        let mut running = self.lock();
        if running.is_none() {
            *running = start();
        }
        let timer = match running.as_ref() {
            Some(running) => Some(running.handle.spawn(async move {
                tokio::time::sleep(after).await;
                ring();
            })),
            None => {
                ring();
                None
            }
        };
        Alarm { rang, timer: timer.map(|timer| timer.abort_handle()) }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Wake;
    use std::time::Instant;

    struct Owner;
    impl Wake for Owner {
        fn wake(self: Arc<Self>) {}
    }

    fn wait_until(what: &str, holds: impl Fn() -> bool) {
        let start = Instant::now();
        while !holds() {
            assert!(start.elapsed() < Duration::from_secs(10), "waited in vain for {what}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn an_alarm_rings_once_its_time_has_passed() {
        let timers = Timers::default();
        let start = Instant::now();
        let alarm = timers.alarm(Duration::from_millis(20), Waker::noop().clone());
        wait_until("the alarm", || alarm.has_rung());
        assert!(start.elapsed() >= Duration::from_millis(20));
    }

    /// A job that has ended must not be kept until the last of its timers would have rung.
    #[test]
    fn an_alarm_that_is_dropped_keeps_nobody_alive() {
        let timers = Timers::default();
        let owner = Arc::new(Owner);
        let alarm = timers.alarm(Duration::from_secs(3600), owner.clone().into());
        assert_eq!(Arc::strong_count(&owner), 2);
        drop(alarm);
        wait_until("the timer to let go", || Arc::strong_count(&owner) == 1);
    }
}
