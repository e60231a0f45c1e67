//! Drives one partition of a source: rows in, watermarks made, orders obeyed.

use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatchOptions, UInt32Array, UInt64Array};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use sabot_batch::{Morsel, RowOrigin, TimeBounds, hidden};
use sabot_common::{Clock, EventTime, OperatorId};
use sabot_connect::{PartitionReader, ReadCounters, SourceItem};
use sabot_time::{IdleDetector, PartitionClock};
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use crate::element::{Charged, Element};
use crate::error::JobError;
use crate::event_times::EventTimes;
use crate::job::{JobCore, SourceControl, Stop};
use crate::outputs::Outputs;
use crate::scheduler::{Step, Task};
use crate::timers::Timers;
use sabot_plan::Port;

/// Morsels let in during one step.
const MORSELS_PER_STEP: usize = 4;

pub(crate) struct SourceTask {
    pub(crate) operator: OperatorId,
    pub(crate) partition: Arc<str>,
    /// Number of the partition in the plan, for the total order at sinks.
    pub(crate) ordinal: u32,
    pub(crate) job: Arc<JobCore>,
    pub(crate) waker: Waker,
    pub(crate) control: Arc<SourceControl>,
    pub(crate) reader: Box<dyn PartitionReader>,
    pub(crate) output: SchemaRef,
    pub(crate) outputs: Outputs,
    pub(crate) event_time: Option<SourceClock>,
    /// Read, and not let in yet for want of memory.
    pub(crate) waiting: Option<Morsel>,
    pub(crate) stopping: Option<Stop>,
    pub(crate) counted: ReadCounters,
}

/// Event time of one partition.
pub(crate) struct SourceClock {
    pub(crate) times: EventTimes,
    pub(crate) clock: PartitionClock,
    pub(crate) sent: EventTime,
    pub(crate) idle: Option<Idleness>,
}

/// Idleness of one partition.
pub(crate) struct Idleness {
    pub(crate) detector: IdleDetector,
    pub(crate) now: Arc<dyn Clock>,
    pub(crate) timers: Arc<Timers>,
    /// The timer that is set, or that has rung.
    pub(crate) alarm: Option<Arc<Alarm>>,
}

/// A timer of a source. What the injected clock says when it rings is another matter: a clock that
/// stands still is asked again.
pub(crate) struct Alarm {
    rang: AtomicBool,
    waker: Waker,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.rang.store(true, Ordering::SeqCst);
        self.waker.wake_by_ref();
    }
}

enum Next {
    Moved,
    Wait,
    Ended,
}

impl SourceTask {
    fn run(&mut self) -> Result<Step, JobError> {
        let mut moved = false;
        for _ in 0..MORSELS_PER_STEP {
            if self.control.pending.swap(false, Ordering::SeqCst) {
                self.obey();
            }
            // A morsel that was read and waits for memory is drained; a suspended run leaves it unread.
            let settled = self.waiting.is_none() || self.stopping == Some(Stop::Suspend);
            if let Some(stop) = self.stopping
                && settled
            {
                self.end(stop == Stop::Drain);
                return Ok(Step::Finished);
            }
            match self.next()? {
                Next::Moved => moved = true,
                Next::Wait => return Ok(if moved { Step::Progress } else { Step::Blocked }),
                Next::Ended => {
                    self.end(true);
                    return Ok(Step::Finished);
                }
            }
        }
        Ok(Step::Progress)
    }

    /// Carries out the job's orders. A barrier leaves at once, full queue or not.
    fn obey(&mut self) {
        let mut orders = self.control.orders.lock().unwrap_or_else(PoisonError::into_inner);
        for barrier in std::mem::take(&mut orders.barriers) {
            self.outputs.control(&Element::Barrier(barrier));
        }
        self.stopping = orders.stop;
    }

    fn end(&mut self, drain: bool) {
        if drain {
            self.outputs.control(&Element::Watermark(EventTime::MAX));
        }
        self.outputs.control(&Element::End);
        self.count();
    }

    fn next(&mut self) -> Result<Next, JobError> {
        if !self.outputs.has_room() {
            self.held_back();
            return Ok(Next::Wait);
        }
        if let Some(morsel) = self.waiting.take() {
            return Ok(self.admit(morsel));
        }
        if let Some(idle) = self.event_time.as_mut().and_then(|e| e.idle.as_mut()) {
            idle.detector.on_resume(idle.now.now());
        }
        self.job.counters.read_begins();
        match self.reader.poll_next(&mut Context::from_waker(&self.waker)) {
            Poll::Pending => {
                self.count();
                Ok(self.quiet())
            }
            Poll::Ready(Err(error)) => Err(JobError::connect(&self.operator, error)),
            Poll::Ready(Ok(None)) => Ok(Next::Ended),
            Poll::Ready(Ok(Some(SourceItem::Rows { batch, first_row }))) => {
                let morsel = self.morsel(&batch, first_row)?;
                Ok(self.admit(morsel))
            }
            Poll::Ready(Ok(Some(SourceItem::Skipped { event_time_max, .. }))) => {
                if let (Some(event_time), Some(max)) = (&mut self.event_time, event_time_max) {
                    event_time.clock.raise(event_time.times.time_of(max));
                }
                self.watermark();
                Ok(Next::Moved)
            }
        }
    }

    /// Lets a morsel into the job, or keeps it until there is memory.
    fn admit(&mut self, morsel: Morsel) -> Next {
        match self.job.account.admit(morsel.bytes(), &self.waker) {
            None => {
                self.held_back();
                self.waiting = Some(morsel);
                Next::Wait
            }
            Some(charge) => {
                self.job.counters.rows_read.fetch_add(morsel.rows() as u64, Ordering::Relaxed);
                self.active();
                self.outputs.rows(Port::Main, 0, &Charged::admitted(morsel, charge));
                self.watermark();
                Next::Moved
            }
        }
    }

    /// The engine itself holds the partition back: that is not idleness.
    fn held_back(&mut self) {
        if let Some(idle) = self.event_time.as_mut().and_then(|e| e.idle.as_mut()) {
            idle.detector.on_pause();
        }
    }

    /// Rows have come. A partition that was idle repeats its watermark first: the rows may all be
    /// filtered out on the way to those who must wait for it again.
    fn active(&mut self) {
        if let Some(event_time) = &mut self.event_time
            && let Some(idle) = &mut event_time.idle
            && idle.detector.on_rows(idle.now.now()).is_some()
        {
            self.outputs.control(&Element::Watermark(event_time.sent));
        }
    }

    /// Nothing to read for now.
    fn quiet(&mut self) -> Next {
        if let Some(idle) = self.event_time.as_mut().and_then(|e| e.idle.as_mut()) {
            let now = idle.now.now();
            if idle.detector.check(now).is_some() {
                self.outputs.control(&Element::Idle);
            } else if let Some(deadline) = idle.detector.deadline()
                && idle.alarm.as_ref().is_none_or(|alarm| alarm.rang.load(Ordering::SeqCst))
            {
                let alarm = Arc::new(Alarm { rang: AtomicBool::new(false), waker: self.waker.clone() });
                idle.alarm = Some(alarm.clone());
                idle.timers.wake_after(deadline.saturating_sub(now), alarm.into());
            }
        }
        Next::Wait
    }

    fn watermark(&mut self) {
        if let Some(event_time) = &mut self.event_time {
            let watermark = event_time.clock.watermark();
            if watermark > event_time.sent {
                event_time.sent = watermark;
                self.outputs.control(&Element::Watermark(watermark));
            }
        }
    }

    fn morsel(&mut self, batch: &RecordBatch, first_row: u64) -> Result<Morsel, JobError> {
        let rows = batch.num_rows();
        let mut bounds = None;
        let (mut times, mut lateness) = (None, None);
        if let Some(event_time) = &mut self.event_time {
            let found = event_time.times.of(batch).map_err(|wrong| JobError::EventTime {
                operator: self.operator.clone(),
                location: RowOrigin { partition: self.partition.clone(), first_row }.locate(wrong.row),
                column: event_time.times.column().to_owned(),
                found: wrong.found,
            })?;
            let mut late = Vec::new();
            let behind = event_time.clock.observe(found.values(), &mut late);
            lateness =
                Some(if behind > 0 { Arc::new(Int64Array::from(late)) } else { hidden::all_on_time(rows) });
            bounds = min_max(found.values());
            times = Some(found);
        }
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.output.fields().len());
        for field in self.output.fields() {
            columns.push(match field.name().as_str() {
                hidden::TIME => Arc::new(times.clone().unwrap_or_else(|| Int64Array::from(vec![0; rows]))),
                hidden::LATE => lateness.clone().unwrap_or_else(|| hidden::all_on_time(rows)),
                hidden::PARTITION => Arc::new(UInt32Array::from(vec![self.ordinal; rows])),
                hidden::ROW => {
                    Arc::new(UInt64Array::from_iter_values((0..rows as u64).map(|i| first_row + i)))
                }
                hidden::KEY => Arc::new(BinaryArray::from_iter_values(std::iter::repeat_n([0u8; 0], rows))),
                name => batch.column_by_name(name).cloned().ok_or_else(|| {
                    JobError::internal(&self.operator, format!("the source delivers no column \"{name}\""))
                })?,
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(self.output.clone(), columns, &options)
            .map_err(|e| JobError::internal(&self.operator, e))?;
        let origin = RowOrigin { partition: self.partition.clone(), first_row };
        Ok(Morsel::new(batch).with_time_bounds(bounds).with_origin(Some(origin)))
    }

    fn count(&mut self) {
        let now = self.reader.counters();
        let counters = &self.job.counters;
        let before = std::mem::replace(&mut self.counted, now);
        counters.row_groups_read.fetch_add(now.row_groups_read - before.row_groups_read, Ordering::Relaxed);
        counters
            .row_groups_pruned
            .fetch_add(now.row_groups_pruned - before.row_groups_pruned, Ordering::Relaxed);
    }
}

fn min_max(times: &[i64]) -> Option<TimeBounds> {
    let min = times.iter().min()?;
    let max = times.iter().max()?;
    Some(TimeBounds { min: EventTime(*min), max: EventTime(*max) })
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
