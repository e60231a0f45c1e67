//! Filter-project: only the columns that expressions read go to the device, and bitmaps and computed columns come
//! back. A column that goes through as it is stays where it is.

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use sabot_batch::{Morsel, Selection};
use sabot_codegen::ColumnSource;
use sabot_ops::{Failure, Fragment, Kernel, Output, Progress, Retry, TaskContext, Ticket, reference};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::time::Instant;

use crate::backend::Shared;
use crate::device::{Bindings, DeviceBuffer, Fault, Finished, InFlight, LoadedKernel, WorkStep};
use crate::memory::Held;
use crate::slab::Layout;
use crate::source::{KernelSource, TILE};

/// A compiled filter-project.
#[derive(Debug)]
pub(crate) struct FilterProject {
    pub(crate) fragment: Fragment,
    pub(crate) source: KernelSource,
    /// Where the columns of the output come from.
    pub(crate) columns: Vec<ColumnSource>,
    pub(crate) loaded: Arc<dyn LoadedKernel>,
}

impl FilterProject {
    /// Columns of other types would be taken for what they are not.
    fn check(&self, batch: &RecordBatch) -> Result<(), String> {
        let (wanted, found) = (self.fragment.input(), batch.schema());
        let fits = wanted.fields().len() == found.fields().len()
            && wanted.fields().iter().zip(found.fields()).all(|(a, b)| a.data_type() == b.data_type());
        if fits {
            Ok(())
        } else {
            Err(format!("a morsel with the columns {found} for a fragment of {wanted}"))
        }
    }

    /// The result of a morsel, from what the device has left in the slab.
    fn output(
        &self,
        input: &Morsel,
        layout: &Layout,
        slab: &[u32],
        rows_max: usize,
    ) -> Result<Output, Failure> {
        let bug = |message: String| Failure::Internal(message);
        let batch = input.to_host()?;
        let schema = self.fragment.output();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
        for (source, field) in self.columns.iter().zip(schema.fields()) {
            let column = match *source {
                ColumnSource::Passed(index) => {
                    batch.columns().get(index).cloned().ok_or_else(|| format!("no column {index} to pass on"))
                }
                ColumnSource::Computed(number) => {
                    layout.unpack(&self.source, number, (field.data_type(), field.is_nullable()), slab)
                }
            };
            columns.push(column.map_err(bug)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let rows = RecordBatch::try_new_with_options(schema.clone(), columns, &options)
            .map_err(|error| bug(error.to_string()))?;
        let mut morsel = Morsel::new(rows)
            .with_kinds(input.kinds().clone())?
            .with_time_bounds(input.time_bounds())
            .with_origin(input.origin().cloned());
        if let Some(selection) = input.selection() {
            morsel = morsel.with_selection(selection.clone())?;
        }
        if let Some(kept) = layout.kept(&self.source, slab) {
            let words = kept.bit_chunks().iter_padded().collect();
            morsel = morsel.with_selection(Selection::from_words(words, batch.num_rows()))?;
        }
        let morsel = morsel.compact()?;
        let pieces = if morsel.rows() > rows_max { morsel.split(rows_max)? } else { vec![morsel] };
        let morsels = pieces.into_iter().filter(|piece| piece.rows() > 0).map(|piece| (0, piece)).collect();
        Ok(Output { morsels, ..Output::default() })
    }
}

/// The kernel of a task.
pub(crate) struct FilterProjectKernel {
    shared: Arc<Shared>,
    step: Arc<FilterProject>,
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
    input: Morsel,
    layout: Layout,
    work: Box<dyn InFlight>,
    since: Instant,
    /// Their memory is the device's until the work is over.
    _buffers: [Held; 4],
}

/// Where a device finds a morsel, the work itself, and the memory that it needs.
type Submitted = (Layout, Box<dyn InFlight>, [Held; 4]);

/// Why a morsel did not start.
enum NotStarted {
    /// There will be room when what is in flight is over.
    Later(Morsel),
    /// The device cannot.
    Never(Fault, Morsel),
    /// The morsel is not to be had.
    Input(Failure),
}

impl FilterProjectKernel {
    pub(crate) fn new(shared: Arc<Shared>, step: Arc<FilterProject>) -> Self {
        Self { shared, step, tickets: 0, open: BTreeMap::new(), waiting: VecDeque::new() }
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
        let mut lost: Option<String> = None;
        for open in self.open.values_mut() {
            let Open::Running(running) = open else { continue };
            let fault = match running.poll(&self.shared, cx.waker) {
                Ok(None) => continue,
                Ok(Some(finished)) => {
                    self.shared.moved();
                    *open = Open::Done(self.step.finish(&self.shared, running, finished, cx.morsel_rows));
                    continue;
                }
                Err(fault) => fault,
            };
            if let Fault::Lost(reason) = &fault {
                lost = Some(reason.clone());
            }
            *open = Open::Done(Progress::Failed(self.shared.failure(&fault, running.input.rows())));
        }
        if let Some(reason) = lost {
            self.shared.lose(&reason);
        }
        let mut running = self.running();
        while let Some((ticket, morsel)) = self.waiting.pop_front() {
            if running >= self.shared.options.slots {
                self.waiting.push_front((ticket, morsel));
                break;
            }
            let open = match self.start(morsel, running > 0) {
                Ok(work) => {
                    running += 1;
                    // Its first poll says where to call when it is finished.
                    let mut work = Box::new(work);
                    match work.poll(&self.shared, cx.waker) {
                        Ok(None) => Open::Running(work),
                        Ok(Some(finished)) => {
                            running -= 1;
                            self.shared.moved();
                            Open::Done(self.step.finish(&self.shared, &work, finished, cx.morsel_rows))
                        }
                        Err(fault) => {
                            running -= 1;
                            Open::Done(self.failed(&fault, work.input.rows()))
                        }
                    }
                }
                Err(NotStarted::Later(morsel)) => {
                    self.waiting.push_front((ticket, morsel));
                    break;
                }
                Err(NotStarted::Never(fault, morsel)) => Open::Done(self.failed(&fault, morsel.rows())),
                Err(NotStarted::Input(failure)) => Open::Done(Progress::Failed(failure)),
            };
            self.open.insert(ticket, open);
        }
    }

    fn failed(&self, fault: &Fault, rows: usize) -> Progress {
        if let Fault::Lost(reason) = fault {
            self.shared.lose(reason);
        }
        Progress::Failed(self.shared.failure(fault, rows))
    }

    /// Sends a morsel to the device.
    fn start(&self, input: Morsel, others_run: bool) -> Result<Running, NotStarted> {
        if let Some(reason) = self.shared.dead() {
            return Err(NotStarted::Never(Fault::Lost(reason.to_owned()), input));
        }
        let batch = input.to_host().map_err(|error| NotStarted::Input(error.into()))?;
        self.step.check(&batch).map_err(|message| NotStarted::Input(Failure::Internal(message)))?;
        match self.submit_to_device(&input, &batch) {
            Ok((layout, work, buffers)) => {
                self.shared.counters.started.fetch_add(1, Ordering::Relaxed);
                Ok(Running { input, layout, work, since: Instant::now(), _buffers: buffers })
            }
            Err(Fault::OutOfMemory { .. }) if others_run => Err(NotStarted::Later(input)),
            Err(fault) => Err(NotStarted::Never(fault, input)),
        }
    }

    fn submit_to_device(&self, input: &Morsel, batch: &RecordBatch) -> Result<Submitted, Fault> {
        let (device, source) = (&self.shared.device, &self.step.source);
        let selection = input.selection().filter(|s| s.alive() < s.rows());
        let layout = Layout::new(source, batch.columns(), batch.num_rows(), selection.is_some());
        let bytes_max = device.limits().buffer_bytes_max;
        let words_max = layout.input_words.max(layout.output_words);
        if words_max * 4 > bytes_max {
            return Err(Fault::OutOfMemory { bytes: words_max * 4 });
        }
        let memory = &self.shared.memory;
        let buffers = [
            memory.take(layout.input_words * 4)?,
            memory.take(layout.output_words * 4)?,
            memory.take(layout.parameters.len() * 4)?,
            memory.take(4)?,
        ];
        let [on_input, on_output, on_parameters, on_status] =
            [0, 1, 2, 3].map(|at: usize| -> Arc<dyn DeviceBuffer> { Arc::clone(&buffers[at]) });
        let mut columns = device.slab(layout.input_words)?;
        layout.pack(source, batch.columns(), selection, columns.words_mut());
        let mut parameters = device.slab(layout.parameters.len())?;
        parameters.words_mut()[..layout.parameters.len()].copy_from_slice(&layout.parameters);
        let mut zero = device.slab(1)?;
        zero.words_mut()[0] = 0;
        let groups = (batch.num_rows() as u32).div_ceil(TILE).min(device.limits().workgroups_max).max(1);
        let bindings = Bindings {
            input: on_input.clone(),
            output: on_output.clone(),
            parameters: on_parameters.clone(),
            status: on_status.clone(),
        };
        let work = device.submit(vec![
            WorkStep::Upload { from: parameters, words: layout.parameters.len(), to: on_parameters },
            WorkStep::Upload { from: zero, words: 1, to: on_status.clone() },
            WorkStep::Upload { from: columns, words: layout.input_words, to: on_input },
            WorkStep::Launch { kernel: self.step.loaded.clone(), bindings, groups },
            WorkStep::Download { from: on_status, words: 1, to: device.slab(1)? },
            WorkStep::Download {
                from: on_output,
                words: layout.output_words,
                to: device.slab(layout.output_words)?,
            },
        ])?;
        Ok((layout, work, buffers))
    }
}

impl Running {
    fn poll(&mut self, shared: &Shared, waker: &Waker) -> Result<Option<Finished>, Fault> {
        let finished = self.work.poll(waker)?;
        // Work may wait for that of others, which is no fault of the device.
        let waited = self.since.elapsed().min(shared.still());
        if finished.is_none() && waited > shared.options.timeout {
            shared.counters.timed_out.fetch_add(1, Ordering::Relaxed);
            return Err(Fault::Lost(format!("no result after {waited:.0?}")));
        }
        Ok(finished)
    }
}

impl FilterProject {
    /// What finished work comes to.
    fn finish(&self, shared: &Shared, running: &Running, finished: Finished, rows_max: usize) -> Progress {
        let [status, output] = &finished.downloaded[..] else {
            return Progress::Failed(Failure::Internal("a device gave back too few slabs".to_owned()));
        };
        let result = if status.words()[0] == 0 {
            self.output(&running.input, &running.layout, output.words(), rows_max)
        } else {
            // Which row it was, and in which words, the reference implementation says.
            shared.counters.row_errors.fetch_add(1, Ordering::Relaxed);
            reference::run(&self.fragment, &running.input)
        };
        match result {
            Ok(output) => Progress::Done(Output { elapsed: finished.elapsed, ..output }),
            Err(failure) => Progress::Failed(failure),
        }
    }
}

impl Shared {
    /// What a fault means for a morsel of so many rows: the ladder.
    pub(crate) fn failure(&self, fault: &Fault, rows: usize) -> Failure {
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

impl Kernel for FilterProjectKernel {
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
