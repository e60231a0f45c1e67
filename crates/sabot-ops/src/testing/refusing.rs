//! A backend that refuses half of the fragments and fails a tenth of the morsels.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sabot_batch::Morsel;
use sabot_common::DeviceId;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::compile_wrapped;
use crate::{
    Backend, CompileError, CompileJob, Failure, Fragment, Kernel, Output, Progress, Retry, Support,
    TaskContext, Ticket,
};

/// Runs fragments on another backend, but not all of them and not always.
///
/// `supports` says no to a seeded half of the fragments: always the same ones, chosen by what the
/// fragment prints. A seeded tenth of the morsels fails with [`Failure::Device`] and
/// [`Retry::Elsewhere`]. Both are counted, so that a test can prove that it happened.
#[derive(Debug)]
pub struct RefusingBackend {
    inner: Arc<dyn Backend>,
    seed: u64,
    kernels: Arc<AtomicU64>,
    /// How often it said no, and how often it failed.
    pub counters: Arc<RefusingCounters>,
}

/// What a [`RefusingBackend`] did, over all fragments and kernels.
#[derive(Debug, Default)]
pub struct RefusingCounters {
    /// Calls of `supports` that were answered with no.
    pub refused: AtomicU64,
    /// Morsels that failed.
    pub failed: AtomicU64,
    /// Morsels that were submitted.
    pub submitted: AtomicU64,
}

impl RefusingBackend {
    /// Refuses and fails by this seed. Its device is `refusing-<inner>`.
    pub fn new(inner: Arc<dyn Backend>, seed: u64) -> Self {
        Self { inner, seed, kernels: Arc::default(), counters: Arc::default() }
    }

    fn refuses(&self, fragment: &Fragment) -> bool {
        // FNV-1a over the text: any hash would do that stays the same in every build.
        let hash = fragment.to_string().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
        ChaCha8Rng::seed_from_u64(hash ^ self.seed).random()
    }
}

impl Backend for RefusingBackend {
    fn device(&self) -> DeviceId {
        DeviceId::new(format!("refusing-{}", self.inner.device()))
    }

    fn supports(&self, fragment: &Fragment) -> Support {
        if self.refuses(fragment) {
            self.counters.refused.fetch_add(1, Ordering::Relaxed);
            return Support::No { reason: format!("seed {} refuses this fragment", self.seed) };
        }
        self.inner.supports(fragment)
    }

    fn compile(&self, fragment: &Fragment) -> Result<CompileJob, CompileError> {
        let (seed, device) = (self.seed, self.device());
        let (kernels, counters) = (self.kernels.clone(), self.counters.clone());
        let wrap = move |inner| -> Box<dyn Kernel> {
            let number = kernels.fetch_add(1, Ordering::Relaxed);
            let rng = ChaCha8Rng::seed_from_u64(seed.wrapping_add(number));
            let (device, counters) = (device.clone(), counters.clone());
            Box::new(RefusingKernel { inner, device, rng, counters, open: BTreeMap::new(), next: 0 })
        };
        compile_wrapped(self.inner.as_ref(), fragment, Arc::new(wrap))
    }
}

struct RefusingKernel {
    inner: Box<dyn Kernel>,
    device: DeviceId,
    rng: ChaCha8Rng,
    counters: Arc<RefusingCounters>,
    /// Tickets by what they stand for: one of the inner kernel, or a failure.
    open: BTreeMap<Ticket, Option<Ticket>>,
    next: u64,
}

impl RefusingKernel {
    fn ticket(&mut self, stands_for: Option<Ticket>) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        self.open.insert(ticket, stands_for);
        ticket
    }
}

impl Kernel for RefusingKernel {
    fn submit(&mut self, input: Morsel, cx: &mut TaskContext<'_>) -> Ticket {
        self.counters.submitted.fetch_add(1, Ordering::Relaxed);
        if self.rng.random_ratio(1, 10) {
            return self.ticket(None);
        }
        let inner = self.inner.submit(input, cx);
        self.ticket(Some(inner))
    }

    fn poll(&mut self, ticket: Ticket, cx: &mut TaskContext<'_>) -> Progress {
        let inner = match self.open.get(&ticket) {
            Some(Some(inner)) => *inner,
            Some(None) => {
                self.open.remove(&ticket);
                self.counters.failed.fetch_add(1, Ordering::Relaxed);
                let reason = "this morsel was chosen to fail".to_owned();
                let device = self.device.clone();
                return Progress::Failed(Failure::Device { device, reason, retry: Retry::Elsewhere });
            }
            None => return Progress::Failed(Failure::Internal(format!("{ticket:?} is not open"))),
        };
        let progress = self.inner.poll(inner, cx);
        if !matches!(progress, Progress::Pending) {
            self.open.remove(&ticket);
        }
        match progress {
            Progress::Done(output) => {
                let more = output.more.map(|more| self.ticket(Some(more)));
                Progress::Done(Output { more, ..output })
            }
            other => other,
        }
    }

    fn flush(&mut self, cx: &mut TaskContext<'_>) -> Ticket {
        let inner = self.inner.flush(cx);
        self.ticket(Some(inner))
    }
}
