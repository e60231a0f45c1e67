//! Drives a kernel as the runtime does: submissions and polls interleaved, then a flush, then polls in
//! random order until nothing is open.

use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use sabot_batch::Morsel;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use crate::{Failure, Kernel, Output, Progress, TaskContext, Ticket};

/// How submissions and polls are mixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mix {
    /// Each morsel is submitted, flushed and polled to its end before the next.
    OneByOne,
    /// All morsels are submitted with some polls in between, then flushed.
    ManyOpen,
}

/// Limits of a run.
pub(super) struct Limits {
    pub(super) morsel_rows: usize,
    pub(super) patience: Duration,
}

/// The result of each input, in the order of inputs, with the parts of an output joined.
///
/// # Errors
/// In words, when the kernel breaks the rules of tickets: it hangs, or its flush fails.
pub(super) fn drive(
    kernel: &mut dyn Kernel,
    inputs: &[Morsel],
    mix: Mix,
    limits: &Limits,
    rng: &mut ChaCha8Rng,
) -> Result<Vec<Result<Output, Failure>>, String> {
    let mut driver = Driver { kernel, limits, signal: Arc::default(), open: Vec::new(), results: Vec::new() };
    for input in inputs {
        driver.submit(input.clone());
        match mix {
            Mix::OneByOne => {
                driver.flush();
                driver.finish(rng)?;
            }
            Mix::ManyOpen if rng.random_bool(0.5) => {
                driver.poll_some(rng)?;
            }
            Mix::ManyOpen => {}
        }
    }
    driver.flush();
    driver.finish(rng)?;
    Ok(driver.results)
}

/// What a ticket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    Input(usize),
    Flush,
}

struct Driver<'a> {
    kernel: &'a mut dyn Kernel,
    limits: &'a Limits,
    signal: Arc<Signal>,
    open: Vec<(Ticket, For)>,
    results: Vec<Result<Output, Failure>>,
}

impl Driver<'_> {
    fn with_kernel<T>(&mut self, act: impl FnOnce(&mut dyn Kernel, &mut TaskContext<'_>) -> T) -> T {
        let waker = Waker::from(self.signal.clone());
        let mut cx = TaskContext { morsel_rows: self.limits.morsel_rows, waker: &waker };
        act(self.kernel, &mut cx)
    }

    fn submit(&mut self, input: Morsel) {
        let ticket = self.with_kernel(|kernel, cx| kernel.submit(input, cx));
        self.open.push((ticket, For::Input(self.results.len())));
        self.results.push(Ok(Output::default()));
    }

    fn flush(&mut self) {
        let ticket = self.with_kernel(|kernel, cx| kernel.flush(cx));
        self.open.push((ticket, For::Flush));
    }

    /// Polls a few open tickets.
    fn poll_some(&mut self, rng: &mut ChaCha8Rng) -> Result<(), String> {
        self.open.shuffle(rng);
        for _ in 0..rng.random_range(0..=self.open.len()) {
            self.poll_last()?;
        }
        Ok(())
    }

    /// Polls until nothing is open.
    fn finish(&mut self, rng: &mut ChaCha8Rng) -> Result<(), String> {
        let mut last_progress = Instant::now();
        while !self.open.is_empty() {
            self.open.shuffle(rng);
            let before = self.open.len();
            let mut progress = false;
            for _ in 0..before {
                progress |= self.poll_last()?;
            }
            if progress {
                last_progress = Instant::now();
                continue;
            }
            let left = self.limits.patience.saturating_sub(last_progress.elapsed());
            if !self.signal.wait(left) {
                let open: Vec<For> = self.open.iter().map(|(_, what)| *what).collect();
                return Err(format!(
                    "{open:?} pending after the flush, and nothing finished for {:?}",
                    self.limits.patience
                ));
            }
        }
        Ok(())
    }

    /// Polls the last open ticket; a pending one goes to the front. Says whether it moved.
    fn poll_last(&mut self) -> Result<bool, String> {
        let Some((ticket, what)) = self.open.pop() else { return Ok(false) };
        let progress = self.with_kernel(|kernel, cx| kernel.poll(ticket, cx));
        match (progress, what) {
            (Progress::Pending, _) => {
                self.open.insert(0, (ticket, what));
                return Ok(false);
            }
            (Progress::Done(part), For::Input(index)) => {
                if let Some(more) = part.more {
                    self.open.push((more, what));
                }
                if let Ok(whole) = &mut self.results[index] {
                    whole.morsels.extend(part.morsels);
                    whole.late.extend(part.late);
                }
            }
            (Progress::Failed(failure), For::Input(index)) => self.results[index] = Err(failure),
            (Progress::Done(output), For::Flush) => {
                if !output.morsels.is_empty() || !output.late.is_empty() || output.more.is_some() {
                    return Err("the flush has an output of its own".to_owned());
                }
            }
            (Progress::Failed(failure), For::Flush) => return Err(format!("the flush failed: {failure}")),
        }
        Ok(true)
    }
}

/// Remembers that it was woken.
#[derive(Default)]
struct Signal {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Signal {
    /// Waits until it was woken since the last wait; false when that took too long.
    fn wait(&self, patience: Duration) -> bool {
        let woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(woken, patience, |woken| !*woken);
        let (mut woken, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let was_woken = *woken && !patience.is_zero();
        *woken = false;
        was_woken
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        *self.woken.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }
}
