//! A thread that looks whether work is finished, for devices that call nobody by themselves.
//!
//! One for each device. It sleeps while nothing is in flight, and ends with the device.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How late a time-out may be seen.
const LOOK_AROUND: Duration = Duration::from_millis(100);

/// How long the thread sleeps between two looks at the device: a part of how long it has waited already, so that it is late by
/// a small share.
const PAUSE_MIN: Duration = Duration::from_micros(20);
const PAUSE_MAX: Duration = Duration::from_millis(1);
const PAUSE_SHARE: u32 = 8;

/// Work in flight, as the thread sees it.
pub trait Landing: Debug + Send + Sync {
    /// Whether there is something to tell: it is finished, or has failed.
    fn has_landed(&self) -> bool;
    /// Wakes whoever waits for it.
    fn wake(&self);
}

/// What the thread and the work in flight share.
#[derive(Debug, Default)]
pub struct Watch {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Work in flight, the oldest first.
    flying: VecDeque<Arc<dyn Landing>>,
    ended: bool,
    /// Why the device is lost.
    lost: Option<String>,
}

impl Watch {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the device is lost, if it is.
    ///
    /// ```
    /// let watch = sabot_gpu_ops::Watch::default();
    /// watch.lose("unplugged".to_owned());
    /// watch.lose("and once more".to_owned());
    /// assert_eq!(watch.lost().as_deref(), Some("unplugged"));
    /// ```
    pub fn lost(&self) -> Option<String> {
        self.lock().lost.clone()
    }

    /// The device is lost: nothing that flies will land.
    pub fn lose(&self, reason: String) {
        let mut state = self.lock();
        state.lost.get_or_insert(reason);
        let all = std::mem::take(&mut state.flying);
        drop(state);
        all.iter().for_each(|landing| landing.wake());
    }

    /// Looks after work until it has landed, or nobody else holds it.
    pub fn add(&self, landing: Arc<dyn Landing>) {
        self.lock().flying.push_back(landing);
        self.changed.notify_all();
    }

    /// Wakes and forgets what has landed, forgets what is waited for no more, and says whether there was any.
    fn settle(&self) -> bool {
        let all: Vec<Arc<dyn Landing>> = self.lock().flying.iter().cloned().collect();
        // Devices are asked without the lock.
        let landed: Vec<bool> = all.iter().map(|landing| landing.has_landed()).collect();
        let mut state = self.lock();
        let before = state.flying.len();
        state.flying.retain(|landing| match all.iter().position(|known| Arc::ptr_eq(known, landing)) {
            // The list, the copy of it, and somebody who waits, or a callback of the device.
            Some(at) => !landed[at] && Arc::strong_count(landing) > 2,
            // It came in the meantime.
            None => true,
        });
        let settled = state.flying.len() < before;
        drop(state);
        all.iter().zip(landed).filter(|(_, landed)| *landed).for_each(|(landing, _)| landing.wake());
        settled
    }

    /// Wakes everybody, so that time-outs are seen.
    fn wake_all(&self) {
        let all: Vec<Arc<dyn Landing>> = self.lock().flying.iter().cloned().collect();
        all.iter().for_each(|landing| landing.wake());
    }
}

/// The thread. It ends when this is dropped.
#[derive(Debug)]
pub struct Watcher {
    watch: Arc<Watch>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// Starts the thread; before it looks at work it calls `poll`, after an error of which the device is lost.
    ///
    /// # Errors
    /// When the system has no threads left.
    pub fn start(
        watch: Arc<Watch>,
        name: &str,
        poll: impl FnMut() -> Result<(), String> + Send + 'static,
    ) -> std::io::Result<Self> {
        let own = watch.clone();
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || look(&own, poll))?;
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

fn look(watch: &Watch, mut poll: impl FnMut() -> Result<(), String>) {
    let (mut since, mut woken) = (None, Instant::now());
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
        if let Err(reason) = poll() {
            // From now on every call would fail.
            watch.lose(reason);
            return;
        }
        if watch.settle() {
            since = None;
            continue;
        }
        if woken.elapsed() > LOOK_AROUND {
            woken = Instant::now();
            watch.wake_all();
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Work that brings other work when it is looked at for the first time.
    #[derive(Debug, Default)]
    struct Flight {
        watch: OnceLock<Arc<Watch>>,
        next: OnceLock<Arc<Flight>>,
        landed: OnceLock<()>,
        woken: AtomicUsize,
    }

    impl Landing for Flight {
        fn has_landed(&self) -> bool {
            if let (Some(watch), Some(next)) = (self.watch.get(), self.next.get()) {
                watch.add(next.clone());
            }
            self.landed.get().is_some()
        }

        fn wake(&self) {
            self.woken.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn what_comes_while_others_are_looked_at_is_kept_and_what_nobody_waits_for_is_not() {
        let watch = Arc::new(Watch::default());
        let (first, second) = (Arc::new(Flight::default()), Arc::new(Flight::default()));
        first.watch.set(watch.clone()).unwrap();
        first.next.set(second.clone()).unwrap();
        watch.add(first.clone());
        assert!(!watch.settle());
        assert_eq!(watch.lock().flying.len(), 2);
        second.landed.set(()).unwrap();
        assert!(watch.settle());
        assert_eq!(second.woken.load(Ordering::SeqCst), 1);
        watch.add(Arc::new(Flight::default()));
        assert!(watch.settle());
        let _ = first.landed.set(());
        assert!(watch.settle());
        assert_eq!(first.woken.load(Ordering::SeqCst), 1);
    }
}
