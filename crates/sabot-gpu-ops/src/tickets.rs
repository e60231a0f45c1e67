//! Tickets: what a task has handed over, what is in flight, and what becomes of faults.
//!
//! All operators share this. An [`Operation`] starts work for a morsel and says what its results come to, which may be more
//! work.

use sabot_batch::{Morsel, MorselError};
use sabot_ops::{Failure, Kernel, Output, Progress, Retry, TaskContext, Ticket};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::time::Instant;

use crate::backend::Shared;
use crate::device::{Fault, Finished, InFlight};
use crate::memory::Held;

/// What a compiled fragment does with a morsel.
pub(crate) trait Operation: Send + Sync {
    /// Starts its work. Results have at most `rows_max` rows.
    fn start(self: Arc<Self>, shared: &Shared, input: &Morsel, rows_max: usize) -> Result<Next, Stop>;
}

/// What comes next.
pub(crate) enum Next {
    /// Work in flight.
    Work(Work),
    /// The result.
    Done(Output),
}

/// Work in flight, and what its results come to.
pub(crate) struct Work {
    pub(crate) work: Box<dyn InFlight>,
    pub(crate) then: Then,
    /// Their memory is the device's until the work is over.
    pub(crate) buffers: Vec<Held>,
}

/// What to do with results, and with the buffers that they come from.
pub(crate) type Then = Box<dyn FnOnce(&Shared, Finished, Vec<Held>) -> Result<Next, Stop> + Send>;

/// Why there is no result.
pub(crate) enum Stop {
    /// The device cannot.
    Fault(Fault),
    /// The morsel is at fault.
    Failure(Failure),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Stop::Fault(fault)
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Stop::Failure(failure)
    }
}

impl From<MorselError> for Stop {
    fn from(error: MorselError) -> Self {
        Stop::Failure(error.into())
    }
}

/// A mistake of this crate or of a device.
pub(crate) fn bug(message: impl Into<String>) -> Stop {
    Stop::Failure(Failure::Internal(message.into()))
}

/// The kernel of a task.
pub(crate) struct Tickets {
    shared: Arc<Shared>,
    operation: Arc<dyn Operation>,
    tickets: u64,
    open: BTreeMap<Ticket, Open>,
    /// Morsels whose turn has not come, in order.
    waiting: VecDeque<(Ticket, Morsel)>,
}

/// What a ticket stands for.
enum Open {
    Waiting,
    Running(Box<Running>),
    Done(Progress),
}

/// Work in flight.
struct Running {
    rows: usize,
    work: Work,
    since: Instant,
}

impl Tickets {
    pub(crate) fn new(shared: Arc<Shared>, operation: Arc<dyn Operation>) -> Self {
        Self { shared, operation, tickets: 0, open: BTreeMap::new(), waiting: VecDeque::new() }
    }

    fn ticket(&mut self, open: Open) -> Ticket {
        let ticket = Ticket(self.tickets);
        self.tickets += 1;
        self.open.insert(ticket, open);
        ticket
    }

    fn running(&self) -> usize {
        self.open.values().filter(|open| matches!(open, Open::Running(_))).count()
    }

    /// Takes in what is finished, and starts what has waited for its place.
    fn advance(&mut self, cx: &mut TaskContext<'_>) {
        for open in self.open.values_mut() {
            if let Open::Running(_) = open
                && let Open::Running(running) = std::mem::replace(open, Open::Waiting)
            {
                *open = self.shared.pursue(*running, cx.waker);
            }
        }
        let mut running = self.running();
        while let Some((ticket, morsel)) = self.waiting.pop_front() {
            if running >= self.shared.options.slots {
                self.waiting.push_front((ticket, morsel));
                break;
            }
            let open = match self.start(&morsel, cx) {
                Err(Stop::Fault(Fault::OutOfMemory { .. })) if running > 0 => {
                    // There will be room when what is in flight is over.
                    self.waiting.push_front((ticket, morsel));
                    break;
                }
                Err(stop) => self.shared.stopped(stop, morsel.rows()),
                Ok(Next::Done(output)) => Open::Done(Progress::Done(output)),
                Ok(Next::Work(work)) => {
                    let running = Running { rows: morsel.rows(), work, since: Instant::now() };
                    // Its first poll says where to call when it is finished.
                    self.shared.pursue(running, cx.waker)
                }
            };
            running += usize::from(matches!(open, Open::Running(_)));
            self.open.insert(ticket, open);
        }
    }

    /// Sends a morsel to the device.
    fn start(&self, input: &Morsel, cx: &TaskContext<'_>) -> Result<Next, Stop> {
        if let Some(reason) = self.shared.dead() {
            return Err(Fault::Lost(reason.to_owned()).into());
        }
        self.operation.clone().start(&self.shared, input, cx.morsel_rows)
    }
}

impl Shared {
    /// How far work has come.
    fn pursue(&self, mut running: Running, waker: &Waker) -> Open {
        loop {
            let finished = match running.poll(self, waker) {
                Ok(None) => return Open::Running(Box::new(running)),
                Ok(Some(finished)) => finished,
                Err(fault) => return self.stopped(fault.into(), running.rows),
            };
            self.moved();
            let Running { rows, work: Work { then, buffers, .. }, .. } = running;
            match then(self, finished, buffers) {
                Ok(Next::Done(output)) => return Open::Done(Progress::Done(output)),
                Ok(Next::Work(work)) => running = Running { rows, work, since: Instant::now() },
                Err(stop) => return self.stopped(stop, rows),
            }
        }
    }

    fn stopped(&self, stop: Stop, rows: usize) -> Open {
        Open::Done(Progress::Failed(match stop {
            Stop::Failure(failure) => failure,
            Stop::Fault(fault) => self.failure(&fault, rows),
        }))
    }

    /// What a fault means for a morsel of so many rows: the ladder.
    fn failure(&self, fault: &Fault, rows: usize) -> Failure {
        if let Fault::Lost(reason) = fault {
            self.lose(reason);
        }
        let counters = &self.counters;
        let retry = match fault {
            Fault::OutOfMemory { .. } if rows > self.options.halve_rows_min => {
                counters.halved.fetch_add(1, Ordering::Relaxed);
                Retry::Smaller
            }
            Fault::Launch(_) => {
                counters.launch_errors.fetch_add(1, Ordering::Relaxed);
                Retry::Elsewhere
            }
            _ => Retry::Elsewhere,
        };
        if retry == Retry::Elsewhere {
            counters.fell_back.fetch_add(1, Ordering::Relaxed);
        }
        Failure::Device { device: self.device.id(), reason: fault.to_string(), retry }
    }
}

impl Running {
    fn poll(&mut self, shared: &Shared, waker: &Waker) -> Result<Option<Finished>, Fault> {
        let finished = self.work.work.poll(waker)?;
        // Work may wait for that of others, which is no fault of the device.
        let waited = self.since.elapsed().min(shared.still());
        if finished.is_none() && waited > shared.options.timeout {
            shared.counters.timed_out.fetch_add(1, Ordering::Relaxed);
            if !self.work.work.abandon() {
                std::mem::take(&mut self.work.buffers).into_iter().for_each(std::mem::forget);
            }
            return Err(Fault::Lost(format!("no result after {waited:.0?}")));
        }
        Ok(finished)
    }
}

impl Kernel for Tickets {
    fn submit(&mut self, input: Morsel, cx: &mut TaskContext<'_>) -> Ticket {
        if input.rows() == 0 {
            return self.ticket(Open::Done(Progress::Done(Output::default())));
        }
        let ticket = self.ticket(Open::Waiting);
        self.waiting.push_back((ticket, input));
        self.advance(cx);
        ticket
    }

    fn poll(&mut self, ticket: Ticket, cx: &mut TaskContext<'_>) -> Progress {
        self.advance(cx);
        match self.open.remove(&ticket) {
            Some(Open::Done(progress)) => progress,
            Some(open) => {
                self.open.insert(ticket, open);
                Progress::Pending
            }
            None => Progress::Failed(Failure::Internal(format!(
                "ticket {} is unknown or was finished before",
                ticket.0
            ))),
        }
    }

    fn flush(&mut self, cx: &mut TaskContext<'_>) -> Ticket {
        // Nothing is held back: what waits for a slot starts when one is free, whoever is polled.
        self.advance(cx);
        self.ticket(Open::Done(Progress::Done(Output::default())))
    }
}
