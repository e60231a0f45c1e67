//! A backend whose results are compared with those of another one, now and then.
//!
//! Every so many morsels are given to both. Where results differ, that of the second one counts, an error is logged, and the
//! first is not used any more: a device that computes something else is worse than none.
//!
//! Floats are compared to six digits, because functions have bounds and not one result, and sums of floats not at all: how far
//! two orders of adding may lie apart depends on what cancels.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Float64Type};
use sabot_batch::Morsel;
use sabot_common::{DeviceId, RowWork};
use sabot_ops::{
    AggregateFunction, Backend, CompileError, CompileJob, Compiled, Failure, Fragment, Kernel, OperatorSpec,
    Output, Program, Progress, Retry, Support, TaskContext, Ticket,
};
use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Digits to which floats are compared, as a share.
const FLOAT_TOLERANCE: f64 = 1e-6;

/// How many morsels were compared, and how many of them differed.
#[derive(Debug, Default)]
pub struct ShadowCounters {
    checked: AtomicU64,
    differed: AtomicU64,
}

impl ShadowCounters {
    /// Both numbers.
    ///
    /// ```
    /// assert_eq!(sabot_exec::ShadowCounters::default().report(), (0, 0));
    /// ```
    pub fn report(&self) -> (u64, u64) {
        (self.checked.load(Ordering::Relaxed), self.differed.load(Ordering::Relaxed))
    }
}

/// A backend that is checked by another one.
pub struct Shadowed {
    device: Arc<dyn Backend>,
    oracle: Arc<dyn Backend>,
    watch: Arc<Watch>,
}

/// What the kernels of a backend share.
struct Watch {
    device: DeviceId,
    one_in: u64,
    /// Morsels so far.
    morsels: AtomicU64,
    counters: Arc<ShadowCounters>,
    /// Why the device is not used any more.
    quarantine: OnceLock<String>,
}

impl fmt::Debug for Shadowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shadowed").field("device", &self.device).finish_non_exhaustive()
    }
}

impl Shadowed {
    /// `device`, of which one in so many morsels is also done by `oracle`.
    pub fn new(
        device: Arc<dyn Backend>,
        oracle: Arc<dyn Backend>,
        one_in: NonZeroU32,
        counters: Arc<ShadowCounters>,
    ) -> Self {
        let watch = Watch {
            device: device.device(),
            one_in: u64::from(one_in.get()),
            morsels: AtomicU64::new(0),
            counters,
            quarantine: OnceLock::new(),
        };
        Self { device, oracle, watch: Arc::new(watch) }
    }
}

impl Backend for Shadowed {
    fn device(&self) -> DeviceId {
        self.watch.device.clone()
    }

    fn supports(&self, fragment: &Fragment) -> Support {
        match (self.watch.quarantine.get(), self.oracle.supports(fragment)) {
            (Some(reason), _) => Support::No { reason: reason.clone() },
            (None, Support::Yes) => self.device.supports(fragment),
            (None, no) => no,
        }
    }

    fn work(&self, fragment: &Fragment) -> RowWork {
        self.device.work(fragment)
    }

    fn compile(&self, fragment: &Fragment) -> Result<CompileJob, CompileError> {
        let mut device = Some(self.device.compile(fragment)?);
        let mut oracle = Some(self.oracle.compile(fragment)?);
        let (watch, inexact) = (self.watch.clone(), Arc::new(inexact(fragment)));
        let (mut first, mut second) = (None, None);
        Ok(CompileJob::Pending(Box::new(move || {
            first = first.take().or_else(|| poll(&mut device));
            second = second.take().or_else(|| poll(&mut oracle));
            match (&first, &second) {
                (Some(Ok(device)), Some(Ok(oracle))) => Some(Ok(Arc::new(ShadowProgram {
                    device: device.clone(),
                    oracle: oracle.clone(),
                    watch: watch.clone(),
                    inexact: inexact.clone(),
                }) as Arc<dyn Program>)),
                (Some(Err(error)), _) | (_, Some(Err(error))) => Some(Err(error.clone())),
                _ => None,
            }
        })))
    }
}

fn poll(job: &mut Option<CompileJob>) -> Option<Compiled> {
    match job.as_mut()? {
        CompileJob::Ready(program) => Some(Ok(program.clone())),
        CompileJob::Pending(ask) => ask(),
    }
}

/// The output columns that are sums of floats, or made of such.
fn inexact(fragment: &Fragment) -> Vec<usize> {
    let Some(spec) = fragment.steps().iter().find_map(|step| match step {
        OperatorSpec::GroupBy(spec) => Some(spec),
        _ => None,
    }) else {
        return Vec::new();
    };
    let exact =
        |function: &AggregateFunction| matches!(function, AggregateFunction::Min | AggregateFunction::Max);
    let states = spec.aggregates.iter().flat_map(|aggregate| {
        let fields = aggregate.state_fields().unwrap_or_default();
        let exact = exact(&aggregate.function);
        fields.into_iter().map(move |field| (field.name().clone(), !exact && field.data_type().is_floating()))
    });
    let names: Vec<String> = states.filter(|(_, inexact)| *inexact).map(|(name, _)| name).collect();
    let fields = fragment.output().fields().iter().enumerate();
    fields.filter(|(_, field)| names.contains(field.name())).map(|(index, _)| index).collect()
}

struct ShadowProgram {
    device: Arc<dyn Program>,
    oracle: Arc<dyn Program>,
    watch: Arc<Watch>,
    inexact: Arc<Vec<usize>>,
}

impl Program for ShadowProgram {
    fn rows_wanted(&self) -> Option<usize> {
        self.device.rows_wanted()
    }

    fn kernel(&self) -> Box<dyn Kernel> {
        Box::new(ShadowKernel {
            device: self.device.kernel(),
            oracle: self.oracle.kernel(),
            watch: self.watch.clone(),
            inexact: self.inexact.clone(),
            tickets: 0,
            open: BTreeMap::new(),
            unwanted: Vec::new(),
        })
    }
}

struct ShadowKernel {
    device: Box<dyn Kernel>,
    oracle: Box<dyn Kernel>,
    watch: Arc<Watch>,
    inexact: Arc<Vec<usize>>,
    tickets: u64,
    open: BTreeMap<Ticket, Open>,
    /// Tickets of the oracle whose results nobody wants: they are polled to their ends.
    unwanted: Vec<Ticket>,
}

/// What a ticket stands for.
enum Open {
    /// The device is not used any more.
    Refused,
    /// One of them alone, or the rest of what it gives in parts.
    One(Side, Ticket),
    Both(Box<Both>),
}

/// Whose a ticket is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Device,
    Oracle,
}

/// A morsel that both do: their tickets, or what has come of them.
struct Both {
    device: Result<Ticket, Progress>,
    oracle: Result<Ticket, Progress>,
}

impl ShadowKernel {
    fn ticket(&mut self, open: Open) -> Ticket {
        let ticket = Ticket(self.tickets);
        self.tickets += 1;
        self.open.insert(ticket, open);
        ticket
    }

    /// A result, whose rest, if it comes in parts, has a ticket here.
    fn passed_on(&mut self, side: Side, progress: Progress) -> Progress {
        match progress {
            Progress::Done(Output { more: Some(more), morsels, late, elapsed }) => {
                let more = Some(self.ticket(Open::One(side, more)));
                Progress::Done(Output { morsels, late, more, elapsed })
            }
            done => done,
        }
    }

    fn poll_unwanted(&mut self, cx: &mut TaskContext<'_>) {
        for ticket in std::mem::take(&mut self.unwanted) {
            match self.oracle.poll(ticket, cx) {
                Progress::Pending => self.unwanted.push(ticket),
                Progress::Done(Output { more: Some(more), .. }) => self.unwanted.push(more),
                _ => {}
            }
        }
    }

    /// Whose result counts.
    fn judge(&self, device: &Progress, oracle: &Progress) -> Side {
        let difference = match (device, oracle) {
            // Its own troubles are not the data's.
            (Progress::Failed(Failure::Device { .. }), _) | (_, Progress::Failed(Failure::Device { .. })) => {
                return Side::Device;
            }
            (Progress::Done(a), Progress::Done(b)) if a.more.is_none() && b.more.is_none() => {
                difference(a, b, &self.inexact)
            }
            // Results in parts are not compared.
            (Progress::Done(_), Progress::Done(_)) => return Side::Device,
            (Progress::Failed(a), Progress::Failed(b)) if a.to_string() == b.to_string() => None,
            (Progress::Failed(failure), _) => Some(format!("it failed: {failure}")),
            (_, Progress::Failed(failure)) => Some(format!("it did not fail: {failure}")),
            _ => None,
        };
        let Watch { device: id, counters, quarantine, .. } = &*self.watch;
        counters.checked.fetch_add(1, Ordering::Relaxed);
        let Some(difference) = difference else { return Side::Device };
        counters.differed.fetch_add(1, Ordering::Relaxed);
        tracing::error!(device = %id, difference, "a result differs from that of the CPU; the device is not used any more");
        quarantine.get_or_init(|| format!("a result differed from that of the CPU: {difference}"));
        Side::Oracle
    }
}

impl Kernel for ShadowKernel {
    fn submit(&mut self, input: Morsel, cx: &mut TaskContext<'_>) -> Ticket {
        if self.watch.quarantine.get().is_some() {
            return self.ticket(Open::Refused);
        }
        let number = self.watch.morsels.fetch_add(1, Ordering::Relaxed);
        let open = if number.is_multiple_of(self.watch.one_in) {
            let oracle = Ok(self.oracle.submit(input.clone(), cx));
            Open::Both(Box::new(Both { device: Ok(self.device.submit(input, cx)), oracle }))
        } else {
            Open::One(Side::Device, self.device.submit(input, cx))
        };
        self.ticket(open)
    }

    fn poll(&mut self, ticket: Ticket, cx: &mut TaskContext<'_>) -> Progress {
        self.poll_unwanted(cx);
        match self.open.remove(&ticket) {
            Some(Open::Refused) => {
                let reason = self.watch.quarantine.get().cloned().unwrap_or_default();
                let device = self.watch.device.clone();
                Progress::Failed(Failure::Device { device, reason, retry: Retry::Elsewhere })
            }
            Some(Open::One(side, inner)) => {
                let kernel = if side == Side::Device { &mut self.device } else { &mut self.oracle };
                match kernel.poll(inner, cx) {
                    Progress::Pending => {
                        self.open.insert(ticket, Open::One(side, inner));
                        Progress::Pending
                    }
                    done => self.passed_on(side, done),
                }
            }
            Some(Open::Both(both)) => {
                let Both { device, oracle } = *both;
                let device = device.and_then(|inner| settled(inner, self.device.poll(inner, cx)));
                let oracle = oracle.and_then(|inner| settled(inner, self.oracle.poll(inner, cx)));
                match (device, oracle) {
                    (Err(device), Err(oracle)) => match self.judge(&device, &oracle) {
                        Side::Oracle => self.passed_on(Side::Oracle, oracle),
                        Side::Device => {
                            if let Progress::Done(Output { more: Some(more), .. }) = oracle {
                                self.unwanted.push(more);
                            }
                            self.passed_on(Side::Device, device)
                        }
                    },
                    (device, oracle) => {
                        self.open.insert(ticket, Open::Both(Box::new(Both { device, oracle })));
                        Progress::Pending
                    }
                }
            }
            None => Progress::Failed(Failure::Internal(format!(
                "ticket {} is unknown or was finished before",
                ticket.0
            ))),
        }
    }

    fn flush(&mut self, cx: &mut TaskContext<'_>) -> Ticket {
        // What the oracle holds back is started; its ticket has nothing to say.
        let unwanted = self.oracle.flush(cx);
        self.unwanted.push(unwanted);
        let flush = self.device.flush(cx);
        self.ticket(Open::One(Side::Device, flush))
    }
}

/// A ticket that is still open, or what came of it.
fn settled(ticket: Ticket, progress: Progress) -> Result<Ticket, Progress> {
    match progress {
        Progress::Pending => Ok(ticket),
        done => Err(done),
    }
}

/// How two outputs differ, in words.
fn difference(a: &Output, b: &Output, inexact: &[usize]) -> Option<String> {
    let (a, b) = match (parts(a), parts(b)) {
        (Ok(a), Ok(b)) => (a, b),
        (Err(error), _) | (_, Err(error)) => return Some(error),
    };
    if !a.keys().eq(b.keys()) {
        return Some(format!("rows for {:?} instead of {:?}", a.keys(), b.keys()));
    }
    a.iter().zip(b.values()).find_map(|((target, a), b)| {
        if a.num_rows() != b.num_rows() {
            return Some(format!("{} rows for {target} instead of {}", a.num_rows(), b.num_rows()));
        }
        let columns = a.columns().iter().zip(b.columns()).enumerate();
        let mut differing =
            columns.filter(|(index, (a, b))| !inexact.contains(index) && !same(a, b)).map(|(index, _)| index);
        differing
            .next()
            .map(|index| format!("column \"{}\" has other values", a.schema().field(index).name()))
    })
}

/// The rows of each target, and the late ones, as one batch each.
fn parts(output: &Output) -> Result<BTreeMap<String, RecordBatch>, String> {
    let mut parts: BTreeMap<String, Vec<RecordBatch>> = BTreeMap::new();
    let late = output.late.iter().map(|morsel| ("late rows".to_owned(), morsel));
    let rows = output.morsels.iter().map(|(target, morsel)| (format!("task {target}"), morsel));
    for (target, morsel) in rows.chain(late).filter(|(_, morsel)| morsel.live_rows() > 0) {
        let batch = morsel.clone().into_dense_host().map_err(|error| error.to_string())?;
        parts.entry(target).or_default().push(batch);
    }
    let joined = |(target, batches): (String, Vec<RecordBatch>)| {
        let schema = batches.first().map(RecordBatch::schema).ok_or("no rows")?;
        Ok((target, concat_batches(&schema, &batches).map_err(|error| error.to_string())?))
    };
    parts.into_iter().map(joined).collect()
}

fn same(a: &ArrayRef, b: &ArrayRef) -> bool {
    if a.as_ref() == b.as_ref() {
        return true;
    }
    if !a.data_type().is_floating() || a.data_type() != b.data_type() {
        return false;
    }
    let (Ok(a), Ok(b)) = (cast(a, &DataType::Float64), cast(b, &DataType::Float64)) else { return false };
    let (a, b) = (a.as_primitive::<Float64Type>(), b.as_primitive::<Float64Type>());
    a.iter().zip(b.iter()).all(|pair| match pair {
        (Some(a), Some(b)) => {
            let near = || (a - b).abs() <= FLOAT_TOLERANCE * a.abs().max(b.abs());
            (a.is_nan() && b.is_nan()) || a == b || (a.is_finite() && b.is_finite() && near())
        }
        (None, None) => true,
        _ => false,
    })
}
