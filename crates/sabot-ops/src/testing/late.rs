//! A backend whose tickets finish late, out of order and in parts.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sabot_batch::Morsel;
use sabot_common::DeviceId;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::compile_wrapped;
use crate::{
    Backend, CompileError, CompileJob, Failure, Fragment, Kernel, Output, Progress, Support, TaskContext,
    Ticket,
};

/// The longest delay of a ticket, in polls of it and submissions behind it.
const DELAY_MAX: u32 = 7;

/// Runs fragments on another backend and hands the results over late.
///
/// A ticket is pending for a seeded number of steps; a poll of it is a step, and so is a later
/// submission to the same kernel. Each pending poll wakes the waker at once, so whoever drives it gets
/// on. Every other result comes in several parts. Results are those of the inner backend.
#[derive(Debug)]
pub struct LateBackend {
    inner: Arc<dyn Backend>,
    seed: u64,
    holds: bool,
    kernels: Arc<AtomicU64>,
    /// How late it was.
    pub counters: Arc<LateCounters>,
}

/// What a [`LateBackend`] did, over all its kernels.
#[derive(Debug, Default)]
pub struct LateCounters {
    /// Polls that were answered with pending.
    pub pending: AtomicU64,
    /// Tickets that finished while an earlier one of the same kernel was open.
    pub overtakes: AtomicU64,
    /// Tickets that were held back until a flush.
    pub held: AtomicU64,
    /// Results of which a part was kept for a later poll.
    pub parts: AtomicU64,
}

impl LateBackend {
    /// Late tickets; all finish when they are polled often enough. Its device is `late-<inner>`.
    pub fn new(inner: Arc<dyn Backend>, seed: u64) -> Self {
        Self { inner, seed, holds: false, kernels: Arc::default(), counters: Arc::default() }
    }

    /// The same, and a third of the tickets does not finish before the kernel is flushed, as with a
    /// kernel that collects small morsels. A driver that polls without ever flushing waits for ever.
    pub fn holding(inner: Arc<dyn Backend>, seed: u64) -> Self {
        Self { holds: true, ..Self::new(inner, seed) }
    }
}

impl Backend for LateBackend {
    fn device(&self) -> DeviceId {
        DeviceId::new(format!("late-{}", self.inner.device()))
    }

    fn supports(&self, fragment: &Fragment) -> Support {
        self.inner.supports(fragment)
    }

    fn compile(&self, fragment: &Fragment) -> Result<CompileJob, CompileError> {
        let (seed, holds) = (self.seed, self.holds);
        let (kernels, counters) = (self.kernels.clone(), self.counters.clone());
        let wrap = move |inner| -> Box<dyn Kernel> {
            let number = kernels.fetch_add(1, Ordering::Relaxed);
            let rng = ChaCha8Rng::seed_from_u64(seed.wrapping_add(number));
            Box::new(LateKernel {
                inner,
                holds,
                rng,
                counters: counters.clone(),
                open: BTreeMap::new(),
                next: 0,
            })
        };
        compile_wrapped(self.inner.as_ref(), fragment, Arc::new(wrap))
    }
}

struct LateKernel {
    inner: Box<dyn Kernel>,
    holds: bool,
    rng: ChaCha8Rng,
    counters: Arc<LateCounters>,
    open: BTreeMap<Ticket, Open>,
    next: u64,
}

struct Open {
    work: Work,
    steps_left: u32,
    held: bool,
}

/// What comes out of a ticket.
enum Work {
    /// What the inner kernel makes.
    Inner(Ticket),
    /// The rest of what it made.
    Rest(Output),
}

impl LateKernel {
    fn ticket(&mut self, work: Work, held: bool) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        if held {
            self.counters.held.fetch_add(1, Ordering::Relaxed);
        }
        self.open.insert(ticket, Open { work, steps_left: self.rng.random_range(0..=DELAY_MAX), held });
        ticket
    }

    /// Every other result is cut behind its first morsel, or in the middle of its only one.
    fn cut(&mut self, mut output: Output) -> Output {
        if self.rng.random_ratio(1, 2) {
            return output;
        }
        let mut rest = output.morsels.split_off(output.morsels.len().min(1));
        if rest.is_empty()
            && let [(target, morsel)] = output.morsels.as_slice()
            && morsel.rows() > 1
            // The halves of an update stay together.
            && morsel.kinds().is_append_only()
        {
            let (target, half) = (*target, morsel.rows() / 2);
            let halves = (morsel.slice(0, half), morsel.slice(half, morsel.rows() - half));
            if let (Ok(first), Ok(second)) = halves {
                rest = vec![(target, second)];
                output.morsels = vec![(target, first)];
            }
        }
        if rest.is_empty() {
            return output;
        }
        self.counters.parts.fetch_add(1, Ordering::Relaxed);
        let more = output.more.take();
        let rest = Output { morsels: rest, more, ..Output::default() };
        Output { more: Some(self.ticket(Work::Rest(rest), false)), ..output }
    }

    fn finish(&mut self, ticket: Ticket) {
        self.open.remove(&ticket);
        if self.open.keys().next().is_some_and(|earliest| *earliest < ticket) {
            self.counters.overtakes.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Kernel for LateKernel {
    fn submit(&mut self, input: Morsel, cx: &mut TaskContext<'_>) -> Ticket {
        for open in self.open.values_mut() {
            open.steps_left = open.steps_left.saturating_sub(1);
        }
        let inner = self.inner.submit(input, cx);
        let held = self.holds && self.rng.random_ratio(1, 3);
        self.ticket(Work::Inner(inner), held)
    }

    fn poll(&mut self, ticket: Ticket, cx: &mut TaskContext<'_>) -> Progress {
        let Some(open) = self.open.get_mut(&ticket) else {
            return Progress::Failed(Failure::Internal(format!("{ticket:?} is not open")));
        };
        if open.held || open.steps_left > 0 {
            open.steps_left = open.steps_left.saturating_sub(1);
            if !open.held {
                cx.waker.wake_by_ref();
            }
            self.counters.pending.fetch_add(1, Ordering::Relaxed);
            return Progress::Pending;
        }
        let inner = match &mut open.work {
            Work::Inner(inner) => *inner,
            Work::Rest(rest) => {
                let rest = std::mem::take(rest);
                self.finish(ticket);
                return Progress::Done(self.cut(rest));
            }
        };
        match self.inner.poll(inner, cx) {
            Progress::Pending => Progress::Pending,
            Progress::Done(output) => {
                self.finish(ticket);
                let more = output.more.map(|more| self.ticket(Work::Inner(more), false));
                Progress::Done(self.cut(Output { more, ..output }))
            }
            Progress::Failed(failure) => {
                self.finish(ticket);
                Progress::Failed(failure)
            }
        }
    }

    fn flush(&mut self, cx: &mut TaskContext<'_>) -> Ticket {
        self.open.values_mut().for_each(|open| open.held = false);
        cx.waker.wake_by_ref();
        let inner = self.inner.flush(cx);
        self.ticket(Work::Inner(inner), false)
    }
}
