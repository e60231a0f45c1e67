//! Runs a fragment over the morsels of one edge, on several workers at once, in order.
//!
//! A stage has lanes: tasks that take turns at the input, each with a kernel of its own. Every element
//! gets a sequence number when it is taken, and a slot. Results wait in their slots until all earlier
//! ones have left, so order is kept and control elements never overtake rows, whether work finishes
//! early on another worker or late on a device. The input of an open ticket is kept until it is done;
//! what a device cannot finish, the CPU backend does.

use sabot_batch::Morsel;
use sabot_common::{DeviceId, OperatorId};
use sabot_ops::{Failure, Kernel, Output, Program, Progress, Retry, TaskContext, Ticket};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::edge::Edge;
use crate::element::{Charged, Element};
use crate::error::JobError;
use crate::gathering::{Gathering, joined};
use crate::job::JobCore;
use crate::metrics::StageCounters;
use crate::outputs::Outputs;
use crate::programs::{Compiled, Programs};
use crate::scheduler::{Step, Task};
use crate::slots::{Item, Piece, Slot, half_of};
use crate::stage_waker::StageWaker;
use sabot_plan::Port;

/// Morsels a lane works on before it lets another task have the worker.
const MORSELS_PER_STEP: usize = 4;

/// What the lanes of a stage share.
pub(crate) struct FragmentStage {
    pub(crate) operator: OperatorId,
    pub(crate) job: Arc<JobCore>,
    pub(crate) programs: Arc<Programs>,
    pub(crate) waker: Arc<StageWaker>,
    counters: Arc<StageCounters>,
    input: Arc<Edge>,
    /// Slots that may be open at once: enough to keep the lanes busy while the first is slow.
    window: usize,
    sequencer: Mutex<Sequencer>,
    /// Rows that the device would rather have at once; 0 where it does not matter, or there is none yet.
    rows_wanted: AtomicUsize,
    /// Control elements taken so far: a lane that sees a new one flushes its kernel.
    controls: AtomicUsize,
}

struct Sequencer {
    slots: VecDeque<Slot>,
    /// Sequence number of the first slot.
    head: u64,
    outputs: Outputs,
    /// Rows that wait for company.
    gathering: Option<Gathering>,
    /// A morsel that was taken and could not join the others.
    next: Option<Element>,
    /// Tickets that the device has, and rows on their way to it.
    on_device: usize,
    /// A lane found the window full, or results of its own that have not left, and sleeps until some have.
    starved: bool,
    ended: bool,
}

impl Sequencer {
    /// A slot behind all others; gives its sequence number.
    fn open(&mut self, items: VecDeque<Item>, complete: bool) -> u64 {
        let sequence = self.head + self.slots.len() as u64;
        self.slots.push_back(Slot { pieces: vec![Piece { id: 0, items, complete }] });
        sequence
    }
}

impl FragmentStage {
    pub(crate) fn new(
        (operator, counters): (OperatorId, Arc<StageCounters>),
        job: Arc<JobCore>,
        programs: Arc<Programs>,
        waker: Arc<StageWaker>,
        (input, outputs): (Arc<Edge>, Outputs),
        lanes: usize,
    ) -> Arc<Self> {
        let sequencer = Sequencer {
            slots: VecDeque::new(),
            head: 0,
            outputs,
            gathering: None,
            next: None,
            on_device: 0,
            starved: false,
            ended: false,
        };
        let window = lanes * 2 + programs.depth();
        Arc::new(Self {
            operator,
            job,
            programs,
            waker,
            counters,
            input,
            window,
            sequencer: Mutex::new(sequencer),
            rows_wanted: AtomicUsize::new(0),
            controls: AtomicUsize::new(0),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Sequencer> {
        self.sequencer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends on what is due. True when something left.
    fn release(&self, sequencer: &mut Sequencer) -> bool {
        let mut moved = false;
        while let Some(slot) = sequencer.slots.front_mut() {
            while let Some(piece) = slot.pieces.first_mut() {
                while let Some(item) = piece.items.pop_front() {
                    match item {
                        Item::Rows(port, target, rows) => {
                            if !sequencer.outputs.has_room() {
                                piece.items.push_front(Item::Rows(port, target, rows));
                                return moved;
                            }
                            sequencer.outputs.rows(port, target, &rows);
                        }
                        Item::Control(element) => {
                            sequencer.ended |= matches!(element, Element::End);
                            sequencer.outputs.control(&element);
                        }
                        Item::Failed(error) => sequencer.outputs.control(&Element::Failed(error)),
                    }
                    moved = true;
                }
                if !piece.complete {
                    return moved;
                }
                slot.pieces.remove(0);
            }
            sequencer.slots.pop_front();
            sequencer.head += 1;
            moved = true;
        }
        moved
    }

    /// Takes the next element if there is room for its results. Where a device wants many rows, morsels are taken until there are
    /// as many, or nothing more is there and the device has nothing to do.
    fn accept(&self, sequencer: &mut Sequencer) -> Option<Accepted> {
        if sequencer.ended {
            return None;
        }
        let wanted = self.rows_wanted.load(Ordering::Relaxed);
        loop {
            if sequencer.gathering.as_ref().is_some_and(|gathering| gathering.is_full(wanted)) {
                return self.gathered(sequencer);
            }
            if sequencer.gathering.is_none() && sequencer.slots.len() >= self.window {
                sequencer.starved = true;
                return None;
            }
            let next = sequencer.next.take();
            let Some(element) = next.or_else(|| self.input.pop()) else {
                let is_idle = sequencer.on_device == 0;
                return if is_idle { self.gathered(sequencer) } else { None };
            };
            match (element, &mut sequencer.gathering) {
                (Element::Morsel(rows), None) => {
                    let sequence = sequencer.open(VecDeque::new(), false);
                    let suffices = rows.morsel.rows() >= wanted;
                    sequencer.gathering = Some(Gathering::new(sequence, rows));
                    if suffices {
                        return self.gathered(sequencer);
                    }
                }
                (Element::Morsel(rows), Some(gathering)) => {
                    if let Err(rows) = gathering.join(rows) {
                        sequencer.next = Some(Element::Morsel(rows));
                        return self.gathered(sequencer);
                    }
                }
                (watermark @ Element::Watermark(_), Some(gathering)) => gathering.watermark = Some(watermark),
                (control, Some(_)) => {
                    sequencer.next = Some(control);
                    return self.gathered(sequencer);
                }
                (control, None) => {
                    self.control(sequencer, control);
                    return Some(Accepted::Control);
                }
            }
        }
    }

    /// The rows that have waited for each other; the watermark that came with them follows them.
    fn gathered(&self, sequencer: &mut Sequencer) -> Option<Accepted> {
        let Gathering { sequence, parts, watermark, .. } = sequencer.gathering.take()?;
        if let Some(watermark) = watermark {
            self.control(sequencer, watermark);
        }
        // Counted before they are joined and copied: meanwhile others gather.
        sequencer.on_device += 1;
        Some(Accepted::Rows(sequence, parts))
    }

    fn control(&self, sequencer: &mut Sequencer, element: Element) {
        self.controls.fetch_add(1, Ordering::SeqCst);
        sequencer.open(VecDeque::from([Item::Control(element)]), true);
    }

    fn fill(&self, sequence: u64, piece: u32, items: impl IntoIterator<Item = Item>, complete: bool) {
        let mut sequencer = self.lock();
        let head = sequencer.head;
        let index = usize::try_from(sequence - head).unwrap_or(usize::MAX);
        let slot = sequencer.slots.get_mut(index);
        if let Some(found) = slot.and_then(|slot| slot.pieces.iter_mut().find(|p| p.id == piece)) {
            found.items.extend(items);
            found.complete |= complete;
        }
    }

    /// Whether all results of a piece have left that are there. If not, whoever lets them go wakes the lanes.
    fn has_left(&self, sequence: u64, piece: u32) -> bool {
        let mut sequencer = self.lock();
        let index = usize::try_from(sequence - sequencer.head).unwrap_or(usize::MAX);
        let slot = sequencer.slots.get(index);
        let left =
            slot.and_then(|s| s.pieces.iter().find(|p| p.id == piece)).is_none_or(|p| p.items.is_empty());
        sequencer.starved |= !left;
        left
    }

    /// Puts several unfinished pieces in the place of one.
    fn cut(&self, sequence: u64, piece: u32, ids: Range<u32>) {
        let mut sequencer = self.lock();
        let index = usize::try_from(sequence - sequencer.head).unwrap_or(usize::MAX);
        if let Some(slot) = sequencer.slots.get_mut(index)
            && let Some(at) = slot.pieces.iter().position(|p| p.id == piece)
        {
            let open = |id| Piece { id, items: VecDeque::new(), complete: false };
            slot.pieces.splice(at..=at, ids.map(open));
        }
    }
}

enum Accepted {
    /// Morsels whose results are those of one.
    Rows(u64, Vec<Charged>),
    Control,
}

/// A ticket that is not done, with what is needed to do its work elsewhere.
struct Open {
    ticket: Ticket,
    on_primary: bool,
    sequence: u64,
    piece: u32,
    input: Charged,
    /// As how many morsels it counts.
    morsels: u64,
    /// A part of the result has been taken already, so the input must not run again.
    started: bool,
}

/// The device that was chosen, what it has compiled, and the lane's kernel of it.
type Primary = (DeviceId, Arc<dyn Program>, Box<dyn Kernel>);

/// One lane.
pub(crate) struct FragmentLane {
    stage: Arc<FragmentStage>,
    waker: Waker,
    compiled: Compiled,
    primary: Option<Primary>,
    cpu: Option<Box<dyn Kernel>>,
    open: Vec<Open>,
    flushes: Vec<Ticket>,
    controls_seen: usize,
    /// The primary kernel was given work since it was last flushed.
    unflushed: bool,
    next_piece: u32,
    done_on_primary: u64,
    done_on_cpu: u64,
}

impl FragmentLane {
    pub(crate) fn new(stage: Arc<FragmentStage>, waker: Waker) -> Self {
        let compiled = stage.programs.start();
        let controls_seen = 0;
        Self {
            stage,
            waker,
            compiled,
            primary: None,
            cpu: None,
            open: Vec::new(),
            flushes: Vec::new(),
            controls_seen,
            unflushed: false,
            next_piece: 1,
            done_on_primary: 0,
            done_on_cpu: 0,
        }
    }

    fn work(&mut self, sequence: u64, mut parts: Vec<Charged>) {
        if self.primary.is_none()
            && let Some((device, program)) = self.compiled.poll()
        {
            let kernel = program.kernel();
            self.primary = Some((device, program, kernel));
            self.want_rows();
        }
        let on_primary = self.primary.is_some();
        let morsels = parts.len() as u64;
        if parts.len() > 1
            && let Some(all) = joined(&parts)
        {
            parts = vec![Charged::made(all, &self.stage.job.account)];
        }
        match parts.len() {
            1 => parts.into_iter().for_each(|rows| self.submit(on_primary, (sequence, 0), rows, morsels)),
            count => {
                let ids = self.pieces(count);
                self.stage.cut(sequence, 0, ids.clone());
                for (id, rows) in ids.zip(parts) {
                    self.submit(on_primary, (sequence, id), rows, 1);
                }
            }
        }
        self.stage.lock().on_device -= 1;
    }

    /// A device that is lost wants no rows any more.
    fn want_rows(&self) {
        let wanted = self.primary.as_ref().and_then(|(_, program, _)| program.rows_wanted());
        self.stage.rows_wanted.store(wanted.unwrap_or(0), Ordering::Relaxed);
    }

    /// Numbers for so many new pieces.
    fn pieces(&mut self, count: usize) -> Range<u32> {
        let first = self.next_piece;
        self.next_piece += count as u32;
        first..self.next_piece
    }

    fn submit(&mut self, on_primary: bool, (sequence, piece): (u64, u32), input: Charged, morsels: u64) {
        let mut cx = TaskContext { morsel_rows: self.stage.job.morsel_rows, waker: &self.waker };
        let kernel = match (&mut self.primary, on_primary) {
            (Some((.., kernel)), true) => kernel,
            _ => self.cpu.get_or_insert_with(|| self.stage.programs.cpu().kernel()),
        };
        let ticket = kernel.submit(input.morsel.clone(), &mut cx);
        self.unflushed |= on_primary;
        if on_primary {
            self.stage.lock().on_device += 1;
        }
        self.open.push(Open { ticket, on_primary, sequence, piece, input, morsels, started: false });
    }

    /// Asks for every open ticket; true when one came to something.
    fn poll(&mut self) -> bool {
        let mut moved = false;
        let mut index = 0;
        while index < self.open.len() {
            let open = &self.open[index];
            let (ticket, on_primary) = (open.ticket, open.on_primary);
            // A result that comes in parts comes as it is taken: the next part is asked for when the last
            // one has left, or one morsel could fill the memory with what it is joined to.
            if open.started && !self.stage.has_left(open.sequence, open.piece) {
                index += 1;
                continue;
            }
            match self.ask(ticket, on_primary) {
                Progress::Pending => index += 1,
                Progress::Done(output) => {
                    moved = true;
                    // The next part of a large result waits for the next turn.
                    index += usize::from(output.more.is_some());
                    self.done(index - usize::from(output.more.is_some()), output);
                }
                Progress::Failed(failure) => {
                    moved = true;
                    let open = self.close(index);
                    self.failed(open, failure);
                }
            }
        }
        let flushes = std::mem::take(&mut self.flushes);
        for ticket in flushes {
            if matches!(self.ask(ticket, true), Progress::Pending) {
                self.flushes.push(ticket);
            }
        }
        moved
    }

    fn ask(&mut self, ticket: Ticket, on_primary: bool) -> Progress {
        let mut cx = TaskContext { morsel_rows: self.stage.job.morsel_rows, waker: &self.waker };
        let kernel = match (&mut self.primary, on_primary) {
            (Some((.., kernel)), true) => Some(kernel),
            _ => self.cpu.as_mut(),
        };
        kernel.map_or(Progress::Done(Output::default()), |kernel| kernel.poll(ticket, &mut cx))
    }

    fn done(&mut self, index: usize, output: Output) {
        let account = self.stage.job.account.clone();
        let late: usize = output.late.iter().map(Morsel::live_rows).sum();
        if late > 0 {
            self.stage.job.counters.late_rows.fetch_add(late as u64, Ordering::Relaxed);
        }
        let reads_late = late > 0 && self.stage.lock().outputs.is_read(Port::Late);
        let late = output.late.into_iter().filter(|_| reads_late);
        let rows_out = output.morsels.iter().map(|(_, m)| m.live_rows()).sum();
        let rows_in = if output.more.is_none() { self.open[index].input.morsel.live_rows() } else { 0 };
        self.stage.counters.done(rows_in, rows_out, output.elapsed);
        let rows = output.morsels.into_iter().filter(|(_, m)| m.live_rows() > 0);
        let items = late
            .map(|m| Item::Rows(Port::Late, 0, Charged::made(m, &account)))
            .chain(rows.map(|(target, m)| Item::Rows(Port::Main, target, Charged::made(m, &account))));
        let open = &mut self.open[index];
        self.stage.fill(open.sequence, open.piece, items, output.more.is_none());
        match output.more {
            Some(ticket) => {
                open.ticket = ticket;
                open.started = true;
            }
            None => {
                match open.on_primary {
                    true => self.done_on_primary += open.morsels,
                    false => self.done_on_cpu += open.morsels,
                }
                self.close(index);
            }
        }
    }

    /// Takes out a ticket that is no more.
    fn close(&mut self, index: usize) -> Open {
        let open = self.open.swap_remove(index);
        if open.on_primary {
            self.stage.lock().on_device -= 1;
        }
        open
    }

    fn failed(&mut self, open: Open, failure: Failure) {
        let retry = failure.retry();
        if open.on_primary && !open.started {
            match retry {
                Retry::Smaller if half_of(&open.input.morsel).is_some() => return self.halve(open),
                Retry::Smaller | Retry::Elsewhere => {
                    tracing::debug!(operator = %self.stage.operator, %failure, "morsel goes to the CPU");
                    self.want_rows();
                    self.stage.job.counters.fallback_morsels.fetch_add(open.morsels, Ordering::Relaxed);
                    return self.submit(false, (open.sequence, open.piece), open.input, open.morsels);
                }
                Retry::Never => {}
            }
        }
        if matches!(failure, Failure::Row(_)) && open.morsels > 1 && !open.started {
            return self.part(open);
        }
        let error = self.error(&open, failure);
        self.stage.fill(open.sequence, open.piece, [Item::Failed(error)], true);
    }

    /// Does joined morsels once more, one by one: rows before the one that fails go on, as they had without the others.
    fn part(&mut self, open: Open) {
        let parts = match open.input.morsel.split(self.stage.job.morsel_rows) {
            Ok(parts) => parts,
            Err(error) => {
                let error = self.error(&open, error.into());
                return self.stage.fill(open.sequence, open.piece, [Item::Failed(error)], true);
            }
        };
        let (pieces, account) = (self.pieces(parts.len()), self.stage.job.account.clone());
        self.stage.cut(open.sequence, open.piece, pieces.clone());
        for (piece, part) in pieces.zip(parts) {
            self.submit(false, (open.sequence, piece), Charged::made(part, &account), 1);
        }
    }

    fn halve(&mut self, open: Open) {
        let rows = open.input.morsel.rows();
        let half = half_of(&open.input.morsel).unwrap_or(rows);
        let pieces = self.pieces(2);
        let account = self.stage.job.account.clone();
        let morsel = &open.input.morsel;
        let (first, second) = match (morsel.slice(0, half), morsel.slice(half, rows - half)) {
            (Ok(first), Ok(second)) => (first, second),
            (Err(error), _) | (_, Err(error)) => {
                let error = self.error(&open, error.into());
                return self.stage.fill(open.sequence, open.piece, [Item::Failed(error)], true);
            }
        };
        self.stage.cut(open.sequence, open.piece, pieces.clone());
        // A half of several morsels counts as half of them.
        let morsels = [open.morsels - open.morsels / 2, (open.morsels / 2).max(1)];
        for ((piece, half), morsels) in pieces.zip([first, second]).zip(morsels) {
            self.submit(true, (open.sequence, piece), Charged::made(half, &account), morsels);
        }
    }

    fn error(&self, open: &Open, failure: Failure) -> JobError {
        let operator = &self.stage.operator;
        match failure {
            Failure::Row(error) => {
                // The piece's origin moves with the cut, so the row inside the piece is the right one.
                let location = open.input.morsel.origin().map(|origin| origin.locate(error.row));
                JobError::Row { operator: operator.clone(), location, error }
            }
            Failure::Device { .. } => {
                JobError::Operator { operator: operator.clone(), message: failure.to_string() }
            }
            Failure::Internal(message) => self.stage.programs.internal(operator, message),
        }
    }

    /// Flushes the kernel when a control element went by since the last time, or when the lane has
    /// nothing else to do: work that a kernel holds back for company could wait for ever. True when
    /// there was something to flush.
    fn flush(&mut self, idle: bool) -> bool {
        let controls = self.stage.controls.load(Ordering::SeqCst);
        let passed = std::mem::replace(&mut self.controls_seen, controls) != controls;
        if !self.unflushed || !(passed || idle) {
            return false;
        }
        self.unflushed = false;
        if let Some((.., kernel)) = &mut self.primary {
            let mut cx = TaskContext { morsel_rows: self.stage.job.morsel_rows, waker: &self.waker };
            self.flushes.push(kernel.flush(&mut cx));
        }
        true
    }

    fn report(&mut self) {
        let counters = &self.stage.job.counters;
        if let Some((device, ..)) = &self.primary
            && self.done_on_primary > 0
        {
            counters.ran_on(&self.stage.counters, device, std::mem::take(&mut self.done_on_primary));
        }
        if self.done_on_cpu > 0 {
            counters.ran_on(&self.stage.counters, &DeviceId::cpu(), std::mem::take(&mut self.done_on_cpu));
        }
    }
}

impl Task for FragmentLane {
    fn step(&mut self) -> Step {
        let stage = self.stage.clone();
        let mut progress = false;
        for _ in 0..MORSELS_PER_STEP {
            let (accepted, released, wake, ended) = {
                let mut sequencer = stage.lock();
                let released = stage.release(&mut sequencer);
                let accepted = stage.accept(&mut sequencer);
                let released = stage.release(&mut sequencer) || released;
                let wake = released && std::mem::take(&mut sequencer.starved);
                (accepted, released, wake, sequencer.ended)
            };
            progress |= released;
            if wake {
                stage.waker.wake_all();
            }
            let took = accepted.is_some();
            match accepted {
                Some(Accepted::Rows(sequence, rows)) => self.work(sequence, rows),
                // The other lanes have kernels to flush, too.
                Some(Accepted::Control) => stage.waker.wake_all(),
                None if ended => {
                    self.report();
                    stage.waker.wake_all();
                    return Step::Finished;
                }
                None => {}
            }
            self.flush(false);
            let moved = self.poll();
            if !(moved || released || took) {
                break;
            }
            progress = true;
        }
        progress = progress || self.flush(true);
        if !progress {
            self.report();
        }
        if progress { Step::Progress } else { Step::Blocked }
    }
}
