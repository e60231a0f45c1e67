//! Drives a keyed operator: the single-threaded owner of a range of key groups.

use sabot_batch::Morsel;
use sabot_common::{Epoch, EventTime, KeyGroupRange, OperatorId};
use sabot_plan::Port;
use sabot_stream::{CutPart, KeyedOperator, OperatorError};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::checkpoint::{Report, Reporter};
use crate::element::{Barrier, Charged, Element};
use crate::error::JobError;
use crate::inputs::{Input, Inputs};
use crate::job::{JobCore, SourceControl};
use crate::outputs::Outputs;
use crate::scheduler::{Step, Task};

/// Inputs taken in one step.
const INPUTS_PER_STEP: usize = 16;
/// Rows of a piece of a cut: each of the columns that are made of them fits the first-level cache, and is small enough for an
/// allocator to keep at hand. With 16,384 rows clearing pages took 6 % of all time instead of 1.5.
pub(crate) const CUT_ROWS: usize = 1 << 12;
/// Pieces between two inputs: 131,072 rows, 2 to 3 ms, which is what a morsel takes. A piece goes through columns from front
/// to back, and takes a fraction of the time of rows that must be given because they are about to change.
pub(crate) const PIECES_PER_INPUT: usize = 32;

pub(crate) struct KeyedTask {
    pub(crate) operator: OperatorId,
    pub(crate) task: u32,
    pub(crate) job: Arc<JobCore>,
    pub(crate) inputs: Inputs,
    pub(crate) state: Box<dyn KeyedOperator>,
    pub(crate) owned: KeyGroupRange,
    pub(crate) outputs: Outputs,
    /// Control elements that wait until the operator's results have left.
    pub(crate) held: VecDeque<Element>,
    /// The final watermark has come: windows fire, and the end is a real one.
    pub(crate) drained: bool,
    /// This task's share of what the operator may hold.
    pub(crate) state_limit: usize,
    pub(crate) late_seen: u64,
    /// Late rows that wait for room.
    pub(crate) late: VecDeque<Morsel>,
    /// The sources that are read for this operator alone and need not be once it has all it wants.
    pub(crate) feeders: Vec<Arc<SourceControl>>,
    /// The operator has all it wants, and has said so to those behind it; what still comes is let go.
    pub(crate) through: bool,
    /// All inputs have ended.
    pub(crate) ended: bool,
    /// Where the job has checkpoints, and the task takes part.
    pub(crate) reporter: Option<Reporter>,
    /// The epoch whose cut is being given.
    pub(crate) cutting: Option<Epoch>,
}

impl KeyedTask {
    fn take(&mut self, input: Input) -> Result<(), OperatorError> {
        match input {
            Input::Rows(from, rows) => {
                self.state.on_morsel(from.input, rows.morsel)?;
                self.count_late();
            }
            Input::Watermark(time) => {
                let out = self.state.on_watermark(time)?;
                if time == EventTime::MAX && !self.drained {
                    self.drained = true;
                    self.state.on_end(true)?;
                }
                self.held.push_back(Element::Watermark(out));
                if !self.through && !self.state.wants_more() {
                    self.through = true;
                    self.feeders.drain(..).for_each(|source| source.enough());
                    self.held.extend([Element::Watermark(EventTime::MAX), Element::End]);
                }
            }
            Input::Through(input) => self.state.on_input_end(input)?,
            Input::Failed(error) => self.job.fail(error),
            Input::Idle => self.held.push_back(Element::Idle),
            Input::Barrier(barrier) => {
                let begun = Instant::now();
                self.pass(barrier)?;
                self.job.counters.barrier_pauses.note(begun.elapsed());
                self.held.push_back(Element::Barrier(barrier));
            }
            Input::End => {
                self.ended = true;
                while self.give()? {}
                if !self.drained {
                    self.state.on_end(false)?;
                }
                if let Some(reporter) = &self.reporter {
                    reporter.end(Report::Nothing { groups: self.owned });
                }
                self.held.push_back(Element::End);
            }
        }
        Ok(())
    }

    /// Takes note of a barrier: what the operator holds now belongs to its epoch.
    fn pass(&mut self, barrier: Barrier) -> Result<(), OperatorError> {
        if self.reporter.is_none() {
            let state = self.state.snapshot(self.owned)?.into_iter().map(Into::into).collect();
            self.job.snapshot(barrier.epoch, &self.operator, self.task, state);
            return Ok(());
        };
        // A cut that is still being given is one that nobody waits for any more.
        self.state.begin_cut(barrier.epoch, barrier.stored)?;
        self.cutting = Some(barrier.epoch);
        Ok(())
    }

    /// Gives a piece of the cut that is under way; false when there is none.
    fn give(&mut self) -> Result<bool, OperatorError> {
        let (Some(epoch), Some(reporter)) = (self.cutting, &mut self.reporter) else { return Ok(false) };
        match self.state.next_of_cut(CUT_ROWS)? {
            CutPart::Rows(rows) => reporter.rows(epoch, self.owned, rows),
            CutPart::End { head, needed } => {
                self.cutting = None;
                reporter.end_of_cut(epoch, self.owned, head, needed);
            }
        }
        Ok(true)
    }

    fn count_late(&mut self) {
        self.late.extend(self.state.take_late());
        let late = self.state.late_rows();
        let new = late - self.late_seen;
        if new > 0 {
            self.late_seen = late;
            self.job.counters.late_rows.fetch_add(new, Ordering::Relaxed);
        }
    }

    /// Sends results, then the control elements behind them; false when there is no room.
    fn send(&mut self) -> Result<bool, OperatorError> {
        loop {
            if !self.outputs.has_room() {
                return Ok(false);
            }
            if let Some(late) = self.late.pop_front() {
                self.outputs.rows(Port::Late, 0, &Charged::made(late, &self.job.account));
                continue;
            }
            match self.state.next_output(self.job.morsel_rows).transpose()? {
                Some(morsel) => self.outputs.rows(Port::Main, 0, &Charged::made(morsel, &self.job.account)),
                None => break,
            }
        }
        while let Some(element) = self.held.pop_front() {
            // Once this operator has said its end nobody is there any more.
            self.outputs.control(&element);
            if matches!(element, Element::End) {
                self.outputs = Outputs::default();
            }
        }
        Ok(true)
    }

    /// There is nothing to do, but for a cut.
    fn waits(&self) -> Step {
        if self.cutting.is_some() { Step::Aside } else { Step::Blocked }
    }

    fn run(&mut self) -> Result<Step, OperatorError> {
        if !self.send()? {
            self.give()?;
            return Ok(self.waits());
        }
        for taken in 0..INPUTS_PER_STEP {
            for _ in 0..PIECES_PER_INPUT {
                self.give()?;
            }
            let Some(input) = self.inputs.next_of(|input| self.state.wants(input)) else {
                return Ok(if taken > 0 { Step::Progress } else { self.waits() });
            };
            let end = matches!(input, Input::End);
            self.take(input)?;
            if !self.send()? {
                // The end is still held: it leaves with the last results.
                return Ok(self.waits());
            }
            if end {
                return Ok(Step::Finished);
            }
        }
        Ok(Step::Progress)
    }
}

impl Task for KeyedTask {
    fn step(&mut self) -> Step {
        let step = self.run();
        let held = self.state.state_bytes();
        if held > self.state_limit {
            let (operator, limit) = (self.operator.clone(), self.state_limit);
            self.job.fail(JobError::StateTooLarge { operator, held, limit });
            return Step::Finished;
        }
        match step {
            Ok(Step::Blocked | Step::Progress | Step::Aside) if self.ended && self.held.is_empty() => {
                Step::Finished
            }
            Ok(step) => step,
            Err(error) => {
                let (operator, message) = (self.operator.clone(), error.to_string());
                self.job.fail(JobError::Operator { operator, message });
                Step::Finished
            }
        }
    }
}
