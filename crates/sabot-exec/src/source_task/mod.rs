//! Drives partitions of a source: rows in, watermarks made, orders obeyed.
//!
//! A task has one partition as a rule. It has several where a source has very many, or where partitions
//! came after the job had started; then they take turns, and the task's watermark is the smallest of
//! theirs. Of a bounded source it reads one after the other, so that a folder of thousands of files
//! needs few of them open; of an unbounded one all at once. Where rows are read does not show in them:
//! their lateness and their place in the total order belong to the partition.

mod growth;
mod partition;

use sabot_batch::Morsel;
use sabot_checkpoint::PartitionState;
use sabot_common::{Epoch, EventTime};
use sabot_connect::{Committable, DeadLetters, SourceItem};
use sabot_time::{MergeEvent, WatermarkMerge};
use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::budget::Place;
use crate::checkpoint::{Report, Reporter};
use crate::element::{Charged, Element};
use crate::error::JobError;
use crate::job::{SourceControl, Stop};
use crate::outputs::Outputs;
use crate::scheduler::{Step, Task};
use crate::timers::Alarm;
use partition::Partition;
use sabot_plan::Port;

pub(crate) use growth::{Growth, PARTITIONS_MAX, deal, number, tasks_of, too_many};
pub(crate) use partition::{NewPartition, Settled, SourceContext};

/// Morsels let in during one step.
const MORSELS_PER_STEP: usize = 4;
/// The watermark input that stands for partitions that have not come yet: idle, so that it holds nothing
/// back, and ended when none can come any more.
const TO_COME: usize = 0;

pub(crate) struct SourceTask {
    context: Arc<SourceContext>,
    waker: Waker,
    control: Arc<SourceControl>,
    outputs: Outputs,
    /// By number within the task; none where a partition has ended.
    partitions: Vec<Option<Partition>>,
    /// Partitions that are not open yet, in order.
    unopened: VecDeque<NewPartition>,
    /// No partition can come any more.
    complete: bool,
    /// Asks the source for further partitions as long as one of its tasks is there.
    _growth: Option<Arc<Growth>>,
    merge: WatermarkMerge,
    /// Whose turn it is to be read.
    turn: usize,
    /// Read, and not let in yet for want of memory.
    waiting: Option<(usize, Morsel)>,
    place: Place,
    /// The timer that is set, or that has rung, for idleness or a pause, and when it rings.
    alarm: Option<(Duration, Alarm)>,
    started: bool,
    stopping: Option<Stop>,
    /// Nobody wants further rows.
    enough: bool,
    /// Where the job has checkpoints, and the task takes part.
    reporter: Option<Reporter>,
    /// Where records go that cannot be read, in a job with checkpoints.
    letters: Option<Letters>,
    /// Partitions that have ended.
    over: Vec<PartitionState>,
}

/// Dead letters that a task stages. They are put there when the rows before them have been let in, so that what was
/// put before a barrier is what its positions are behind.
pub(crate) struct Letters {
    pub(crate) to: Arc<dyn DeadLetters>,
    pub(crate) task: u32,
    pub(crate) reporter: Reporter,
}

/// Where a source task stands in its job.
pub(crate) struct Surroundings {
    pub(crate) waker: Waker,
    pub(crate) control: Arc<SourceControl>,
    pub(crate) outputs: Outputs,
    pub(crate) reporter: Option<Reporter>,
    pub(crate) letters: Option<Letters>,
    /// Partitions that had ended before the job started, for the record.
    pub(crate) over: Vec<PartitionState>,
}

enum Next {
    Moved,
    Wait,
    Ended,
}

impl SourceTask {
    /// A task for these partitions, of which the first is opened now, so that a source that cannot be
    /// read is found before the job starts. With `growth` others may follow.
    pub(crate) fn new(
        context: Arc<SourceContext>,
        partitions: VecDeque<NewPartition>,
        growth: Option<Arc<Growth>>,
        surroundings: Surroundings,
    ) -> Result<Self, JobError> {
        let Surroundings { waker, control, outputs, reporter, letters, over } = surroundings;
        let complete = growth.is_none();
        // Input TO_COME, and one for each partition.
        let merge = WatermarkMerge::new(1 + partitions.len());
        let place = context.job.account.place();
        let mut task = Self {
            context,
            waker,
            control,
            outputs,
            partitions: Vec::new(),
            unopened: partitions,
            complete,
            _growth: growth,
            merge,
            turn: 0,
            waiting: None,
            place,
            alarm: None,
            started: false,
            stopping: None,
            enough: false,
            reporter,
            letters,
            over,
        };
        task.open()?;
        Ok(task)
    }

    fn run(&mut self) -> Result<Step, JobError> {
        if !std::mem::replace(&mut self.started, true) {
            let event = match self.complete {
                true => self.merge.on_end(TO_COME),
                false => self.merge.on_idle(TO_COME),
            };
            self.merged(event);
        }
        let mut moved = false;
        for _ in 0..MORSELS_PER_STEP {
            if self.control.pending.swap(false, Ordering::SeqCst) {
                self.obey()?;
            }
            // A morsel that was read and waits for memory is drained; a suspended run leaves it unread.
            let settled = self.waiting.is_none() || self.stopping == Some(Stop::Suspend);
            if let Some(stop) = self.stopping
                && settled
            {
                self.end(stop == Stop::Drain)?;
                return Ok(Step::Finished);
            }
            if self.enough {
                return self.complete_end();
            }
            if self.context.gate.as_ref().is_some_and(|gate| !gate.is_open()) {
                self.held_back();
                return Ok(Step::Blocked);
            }
            match self.next()? {
                Next::Moved => moved = true,
                Next::Wait => return Ok(if moved { Step::Progress } else { Step::Blocked }),
                Next::Ended => return self.complete_end(),
            }
        }
        Ok(Step::Progress)
    }

    /// Carries out the job's orders. A barrier leaves at once, full queue or not.
    fn obey(&mut self) -> Result<(), JobError> {
        let (barriers, partitions, complete) = {
            let mut orders = self.control.orders.lock().unwrap_or_else(PoisonError::into_inner);
            self.stopping = orders.stop;
            self.enough = orders.enough;
            let partitions = std::mem::take(&mut orders.partitions);
            (std::mem::take(&mut orders.barriers), partitions, orders.complete)
        };
        for barrier in barriers {
            let positions = self.reporter.is_some().then(|| self.positions(false));
            let staged = self.stage_letters(barrier.epoch)?;
            if let (Some(reporter), Some(positions)) = (&mut self.reporter, positions) {
                reporter.answer(barrier.epoch, Report::Positions(positions));
            }
            if let (Some(letters), Some(staged)) = (&mut self.letters, staged) {
                letters.reporter.answer(barrier.epoch, Report::Staged(staged));
            }
            self.outputs.control(&Element::Barrier(barrier));
        }
        for partition in partitions {
            self.unopened.push_back(partition);
            let (_, event) = self.merge.add_input();
            self.merged(event);
        }
        if complete && !std::mem::replace(&mut self.complete, true) {
            let event = self.merge.on_end(TO_COME);
            self.merged(event);
        }
        Ok(())
    }

    /// What could not be read up to here.
    fn stage_letters(&self, epoch: Epoch) -> Result<Option<Committable>, JobError> {
        let Some(Letters { to, task, .. }) = &self.letters else { return Ok(None) };
        let names: Vec<Arc<str>> =
            self.positions(false).into_iter().map(|partition| partition.name.into()).collect();
        let staged = to.stage(*task, &names, epoch);
        staged.map(Some).map_err(|e| JobError::connect(&self.context.operator, e))
    }

    /// All rows that are wanted have been read.
    fn complete_end(&mut self) -> Result<Step, JobError> {
        self.end(true)?;
        self.context.opens.iter().for_each(|gate| gate.ended());
        Ok(Step::Finished)
    }

    fn end(&mut self, drain: bool) -> Result<(), JobError> {
        let staged = self.stage_letters(self.context.job.open_epoch())?;
        if let (Some(letters), Some(staged)) = (&self.letters, staged) {
            letters.reporter.end(Report::Staged(staged));
        }
        if let Some(reporter) = &self.reporter {
            // Of a source that nobody wants more of, nobody will want more later.
            reporter.end(Report::Positions(self.positions(self.enough)));
        }
        if drain {
            self.outputs.control(&Element::Watermark(EventTime::MAX));
        }
        self.outputs.control(&Element::End);
        self.count();
        Ok(())
    }

    /// How far each partition was let in.
    fn positions(&self, ended: bool) -> Vec<PartitionState> {
        let open = self.partitions.iter().flatten().map(|partition| partition.state(ended));
        let unopened = self
            .unopened
            .iter()
            .map(|new| new.from.unwrap_or_default().state(new.id.as_str(), new.number, ended));
        self.over.iter().cloned().chain(open).chain(unopened).collect()
    }

    /// Opens the partitions whose turn has come.
    fn open(&mut self) -> Result<(), JobError> {
        while !(self.context.bounded && self.partitions.iter().any(Option::is_some))
            && let Some(new) = self.unopened.pop_front()
        {
            self.partitions.push(Some(self.context.open(&new)?));
            if new.from.is_some() {
                // Where its rows stop for a while, its watermark is still what it was.
                self.watermark(self.partitions.len() - 1);
            }
        }
        Ok(())
    }

    fn next(&mut self) -> Result<Next, JobError> {
        if !self.outputs.has_room() {
            self.held_back();
            return Ok(Next::Wait);
        }
        if let Some((index, morsel)) = self.waiting.take() {
            return Ok(self.admit(index, morsel));
        }
        self.open()?;
        let n = self.partitions.len();
        for step in 0..n {
            let index = (self.turn + step) % n;
            if let Some(read) = self.read(index)? {
                self.turn = index + 1;
                return Ok(read);
            }
        }
        let over = self.complete && self.unopened.is_empty() && self.partitions.iter().all(Option::is_none);
        Ok(if over { Next::Ended } else { Next::Wait })
    }

    /// Asks a partition for its next item; none when it has nothing, or is over.
    fn read(&mut self, index: usize) -> Result<Option<Next>, JobError> {
        let context = self.context.clone();
        let Some(partition) = &mut self.partitions[index] else { return Ok(None) };
        if let Some(idle) = &mut partition.idle {
            idle.on_resume(context.clock.now());
        }
        if partition.pause.as_mut().is_some_and(|pause| pause.on_read()) {
            partition.reader.resume();
        }
        context.job.counters.read_begins();
        match partition.reader.poll_next(&mut Context::from_waker(&self.waker)) {
            Poll::Pending => {
                partition.count(&context.job);
                self.quiet(index);
                Ok(None)
            }
            Poll::Ready(Err(error)) => Err(JobError::connect(&context.operator, error)),
            Poll::Ready(Ok(None)) => {
                partition.count(&context.job);
                partition.settle();
                self.over.push(partition.state(true));
                self.partitions[index] = None;
                let event = self.merge.on_end(input_of(index));
                self.merged(event);
                Ok(Some(Next::Moved))
            }
            Poll::Ready(Ok(Some(SourceItem::Rows { batch, first_row }))) => {
                let morsel = partition.morsel(&context, &batch, first_row)?;
                Ok(Some(self.admit(index, morsel)))
            }
            Poll::Ready(Ok(Some(SourceItem::Skipped { event_time_max, .. }))) => {
                if let (Some(clock), Some(times), Some(max)) =
                    (&mut partition.clock, &context.times, event_time_max)
                {
                    clock.raise(times.time_of(max));
                }
                partition.settle();
                self.watermark(index);
                Ok(Some(Next::Moved))
            }
        }
    }

    /// Lets a morsel into the job, or keeps it until there is memory.
    fn admit(&mut self, index: usize, morsel: Morsel) -> Next {
        let job = self.context.job.clone();
        match job.account.admit(morsel.bytes(), &mut self.place, &self.waker) {
            None => {
                self.held_back();
                self.waiting = Some((index, morsel));
                Next::Wait
            }
            Some(charge) => {
                let rows = morsel.rows() as u64;
                job.counters.rows_read.fetch_add(rows, Ordering::Relaxed);
                self.context.counters.rows_read.fetch_add(rows, Ordering::Relaxed);
                self.active(index);
                if let Some(Some(partition)) = self.partitions.get_mut(index) {
                    partition.settle();
                }
                self.outputs.rows(Port::Main, 0, &Charged::admitted(morsel, charge));
                self.watermark(index);
                Next::Moved
            }
        }
    }

    /// The engine itself holds the partitions back: that is not idleness, and after a while they are told.
    fn held_back(&mut self) {
        let now = self.context.clock.now();
        let mut deadline = None;
        for partition in self.partitions.iter_mut().flatten() {
            if let Some(idle) = &mut partition.idle {
                idle.on_pause();
            }
            if let Some(pause) = &mut partition.pause {
                if pause.on_held(now) {
                    partition.reader.pause();
                }
                deadline = [deadline, pause.deadline()].into_iter().flatten().min();
            }
        }
        if let Some(deadline) = deadline {
            self.wake_at(deadline);
        }
    }

    /// Rows have come. A task that was idle repeats its watermark first: the rows may all be filtered out
    /// on the way to those who must wait for it again.
    fn active(&mut self, index: usize) {
        let now = self.context.clock.now();
        if let Some(Some(partition)) = self.partitions.get_mut(index)
            && let Some(idle) = &mut partition.idle
            && idle.on_rows(now).is_some()
        {
            let event = self.merge.on_active(input_of(index));
            self.merged(event);
        }
    }

    /// Nothing to read of a partition for now.
    fn quiet(&mut self, index: usize) {
        let now = self.context.clock.now();
        let Some(Some(Partition { idle: Some(idle), .. })) = self.partitions.get_mut(index) else { return };
        if idle.check(now).is_some() {
            let event = self.merge.on_idle(input_of(index));
            self.merged(event);
        } else if let Some(deadline) = idle.deadline() {
            self.wake_at(deadline);
        }
    }

    /// Sets the timer unless it rings before that: a task that looks too early looks again.
    fn wake_at(&mut self, deadline: Duration) {
        if self.alarm.as_ref().is_none_or(|(at, alarm)| deadline < *at || alarm.has_rung()) {
            let after = deadline.saturating_sub(self.context.clock.now());
            self.alarm = Some((deadline, self.context.timers.alarm(after, self.waker.clone())));
        }
    }

    fn watermark(&mut self, index: usize) {
        let partition = self.partitions.get(index).and_then(Option::as_ref);
        if let Some(clock) = partition.and_then(|p| p.clock.as_ref()) {
            let event = self.merge.on_watermark(input_of(index), clock.watermark());
            self.merged(event);
        }
    }

    /// Sends on what the partitions' watermarks come to. Streams without event time have none, and the
    /// final one leaves with the end.
    fn merged(&mut self, event: Option<MergeEvent>) {
        if self.context.event_time.is_none() {
            return;
        }
        let (time, idle) = match event {
            None => return,
            Some(MergeEvent::Watermark(time)) => (Some(time), false),
            Some(MergeEvent::Idle) => (None, true),
            Some(MergeEvent::WatermarkThenIdle(time)) => (Some(time), true),
        };
        if let Some(time) = time.filter(|time| *time < EventTime::MAX) {
            self.outputs.control(&Element::Watermark(time));
        }
        if idle {
            self.outputs.control(&Element::Idle);
        }
    }

    fn count(&mut self) {
        for partition in self.partitions.iter_mut().flatten() {
            partition.count(&self.context.job);
        }
    }
}

/// The watermark input of a partition.
fn input_of(index: usize) -> usize {
    TO_COME + 1 + index
}

impl Task for SourceTask {
    fn step(&mut self) -> Step {
        self.run().unwrap_or_else(|error| {
            // In order behind the rows before it: one of them may fail further downstream.
            self.count();
            self.outputs.control(&Element::Failed(error));
            self.outputs.control(&Element::End);
            Step::Finished
        })
    }
}
