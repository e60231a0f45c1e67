//! Hands rows to a sink: in total order where the sink wants one, else as they come.

use sabot_batch::{Morsel, hidden};
use sabot_common::{Epoch, EventTime, KeyGroupRange, OperatorId};
use sabot_connect::SinkWriter;
use sabot_stream::CutPart;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::checkpoint::{Report, Reporter};
use crate::element::{Barrier, Charged};
use crate::error::JobError;
use crate::inputs::{Input, Inputs};
use crate::job::JobCore;
use crate::keyed_task::{CUT_ROWS, PIECES_PER_INPUT};
use crate::order::{OrderBuffer, Release};
use crate::scheduler::{Step, Task};

/// Inputs taken in one step.
const INPUTS_PER_STEP: usize = 16;

pub(crate) struct SinkTask {
    pub(crate) operator: OperatorId,
    /// The sink's index in the job.
    pub(crate) sink: usize,
    pub(crate) job: Arc<JobCore>,
    /// Rows handed to sinks of this name.
    pub(crate) rows: Arc<AtomicU64>,
    pub(crate) waker: Waker,
    pub(crate) inputs: Inputs,
    pub(crate) order: Option<OrderBuffer>,
    pub(crate) writer: Box<dyn SinkWriter>,
    pub(crate) due: VecDeque<Due>,
    pub(crate) ended: bool,
    /// Where the job has checkpoints.
    pub(crate) reporter: Option<Reporter>,
    /// The same for the rows whose turn has not come.
    pub(crate) order_reporter: Option<Reporter>,
    /// All key groups, of which those rows have none.
    pub(crate) groups: KeyGroupRange,
    /// The epoch whose cut of them is being given.
    pub(crate) cutting: Option<Epoch>,
}

/// What goes to the writer next.
pub(crate) enum Due {
    /// Rows as they came.
    Rows(Charged),
    /// So many rows of those that the buffer has let go.
    Ordered(usize),
    Barrier(Barrier),
    End,
}

impl SinkTask {
    fn take(&mut self, input: Input) -> Result<(), JobError> {
        match input {
            Input::Rows(from, rows) => match &mut self.order {
                None => self.due.push_back(Due::Rows(rows)),
                Some(order) => {
                    let bytes = rows.morsel.bytes();
                    let batch = rows.morsel.into_dense_host().map_err(|e| internal(&self.operator, e))?;
                    order.push(from.edge, batch, bytes);
                    self.check_state()?;
                }
            },
            Input::Watermark(EventTime::MAX) => self.release(EventTime::MAX, Release::All),
            Input::Watermark(time) => self.release(time, Release::WhenItPays),
            Input::Idle | Input::Through(_) => {}
            Input::Failed(error) => return Err(error),
            Input::Barrier(barrier) => {
                // What is due belongs to the epoch; what still waits for the watermark does not.
                self.release(EventTime::MIN, Release::Due);
                self.due.push_back(Due::Barrier(barrier));
            }
            Input::End => {
                self.release(EventTime::MAX, Release::All);
                self.due.push_back(Due::End);
            }
        }
        Ok(())
    }

    fn release(&mut self, watermark: EventTime, which: Release) {
        if let Some(order) = &mut self.order {
            let rows = order.release(watermark, self.job.morsel_rows, which);
            if rows > 0 {
                self.due.push_back(Due::Ordered(rows));
            }
        }
    }

    fn check_state(&mut self) -> Result<(), JobError> {
        let limit = self.job.state_limit;
        if self.order.as_ref().is_some_and(|order| order.bytes() > limit) {
            self.release(EventTime::MIN, Release::Due);
        }
        let held = self.order.as_ref().map_or(0, OrderBuffer::bytes);
        match held > limit {
            true => Err(JobError::StateTooLarge { operator: self.operator.clone(), held, limit }),
            false => Ok(()),
        }
    }

    /// Writes what is due; false when the sink asks to wait.
    fn write(&mut self) -> Result<bool, JobError> {
        while !self.due.is_empty() {
            // Barriers and the end need no room: they pass a full sink, and one that nobody reads.
            let needs_room = matches!(self.due.front(), Some(Due::Rows(_) | Due::Ordered(_)));
            match needs_room.then(|| self.writer.poll_ready(&mut Context::from_waker(&self.waker))) {
                Some(Poll::Pending) => return Ok(false),
                Some(Poll::Ready(ready)) => ready.map_err(|e| JobError::connect(&self.operator, e))?,
                None => {}
            }
            match self.due.pop_front() {
                Some(Due::Rows(rows)) => {
                    let dense = rows.morsel.clone().compact().map_err(|e| internal(&self.operator, e))?;
                    let batch = dense.to_host().map_err(|e| internal(&self.operator, e))?;
                    let visible = Morsel::new(hidden::visible_batch(&batch))
                        .with_kinds(dense.kinds().clone())
                        .map_err(|e| internal(&self.operator, e))?;
                    self.hand_over(&visible)?;
                }
                Some(Due::Ordered(rows)) => self.write_ordered(rows)?,
                Some(Due::Barrier(barrier)) => self.stage(Some(barrier))?,
                Some(Due::End) => {
                    self.stage(None)?;
                    self.ended = true;
                }
                None => {}
            }
        }
        Ok(true)
    }

    /// Writes a morsel of the rows that are due; the others keep their place.
    fn write_ordered(&mut self, rows: usize) -> Result<(), JobError> {
        let Some(order) = &mut self.order else { return Ok(()) };
        let batch = order.next(rows.min(self.job.morsel_rows)).map_err(|e| internal(&self.operator, e))?;
        let Some(batch) = batch else { return Ok(()) };
        if batch.num_rows() < rows {
            self.due.push_front(Due::Ordered(rows - batch.num_rows()));
        }
        self.hand_over(&Morsel::new(batch))
    }

    fn hand_over(&mut self, rows: &Morsel) -> Result<(), JobError> {
        let count = rows.live_rows();
        if count > 0 {
            // The time is taken before the writer encodes: what it does then is the sink's own work.
            self.job.counters.wrote(count);
            self.rows.fetch_add(count as u64, Ordering::Relaxed);
            self.writer.write(rows).map_err(|e| JobError::connect(&self.operator, e))?;
        }
        Ok(())
    }

    fn stage(&mut self, barrier: Option<Barrier>) -> Result<(), JobError> {
        let epoch = barrier.map_or_else(|| self.job.open_epoch(), |b| b.epoch);
        let begun = Instant::now();
        let staged = self.writer.stage(epoch).map_err(|e| JobError::connect(&self.operator, e))?;
        let Some(reporter) = &mut self.reporter else {
            self.job.staged(self.sink, staged);
            if let Some(barrier) = barrier {
                self.job.barrier_arrived(self.sink, barrier);
            }
            return Ok(());
        };
        match barrier {
            Some(Barrier { epoch, stored, .. }) => {
                if let Some(order) = &mut self.order {
                    order.begin_cut(epoch, stored);
                    // One that is still being given is one that nobody waits for any more.
                    self.cutting = Some(epoch);
                }
                reporter.answer(epoch, Report::Staged(staged));
                self.job.counters.barrier_pauses.note(begun.elapsed());
            }
            None => {
                reporter.end(Report::Staged(staged));
                while self.give()? {}
                if let Some(order) = &self.order_reporter {
                    order.end(Report::Nothing { groups: self.groups });
                }
            }
        }
        Ok(())
    }

    /// Gives a piece of the cut that is under way; false when there is none.
    fn give(&mut self) -> Result<bool, JobError> {
        let (Some(epoch), Some(order), Some(reporter)) =
            (self.cutting, &mut self.order, &mut self.order_reporter)
        else {
            return Ok(false);
        };
        match order.next_of_cut(CUT_ROWS).map_err(|e| internal(&self.operator, e))? {
            CutPart::Rows(rows) => reporter.rows(epoch, self.groups, rows),
            CutPart::End { head, needed } => {
                self.cutting = None;
                reporter.end_of_cut(epoch, self.groups, head, needed);
            }
        }
        Ok(true)
    }

    /// There is nothing to do, but for a cut.
    fn waits(&mut self) -> Result<Step, JobError> {
        Ok(if self.give()? { Step::Aside } else { Step::Blocked })
    }

    fn run(&mut self) -> Result<Step, JobError> {
        for taken in 0..INPUTS_PER_STEP {
            if !self.write()? {
                return self.waits();
            }
            if self.ended {
                self.writer.close();
                return Ok(Step::Finished);
            }
            for _ in 0..PIECES_PER_INPUT {
                self.give()?;
            }
            match self.inputs.next() {
                Some(input) => self.take(input)?,
                None if taken > 0 => return Ok(Step::Progress),
                None => return self.waits(),
            }
        }
        Ok(Step::Progress)
    }
}

fn internal(operator: &OperatorId, error: impl ToString) -> JobError {
    JobError::internal(operator, error)
}

impl Task for SinkTask {
    fn step(&mut self) -> Step {
        self.run().unwrap_or_else(|error| {
            self.job.fail(error);
            Step::Finished
        })
    }
}
