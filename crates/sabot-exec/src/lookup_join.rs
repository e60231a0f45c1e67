//! Look-up joins: one task makes a table, and all tasks of a stage look rows up in it.
//!
//! The table is an immutable replica of a bounded input: made once, then shared without locks. Looking
//! up is a program like that of any fragment, so several lanes work at once and order is kept. A lane
//! that has rows before the table is there asks again when it is; as the sources of these rows wait for
//! those of the table to end, that is a short time.

use arrow::record_batch::RecordBatch;
use sabot_batch::{Morsel, RowKinds, Selection, TimeBounds};
use sabot_common::OperatorId;
use sabot_cpu::join::{JoinError, JoinTable, Joiner, Probe};
use sabot_expr::RowError;
use sabot_ops::{Failure, JoinKind, Kernel, Output, Program, Progress, TaskContext, Ticket};
use sabot_plan::JoinStage;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::Waker;

use crate::element::Charged;
use crate::error::JobError;
use crate::inputs::{Input, Inputs};
use crate::job::JobCore;
use crate::scheduler::{Step, Task};

/// Inputs taken in one step.
const INPUTS_PER_STEP: usize = 16;

/// A table that is being made, or is there.
#[derive(Debug)]
pub(crate) struct Replica {
    joiner: Joiner,
    table: OnceLock<JoinTable>,
    waiting: Mutex<Vec<Waker>>,
}

impl Replica {
    pub(crate) fn new(stage: &JoinStage) -> Result<Self, String> {
        if !matches!(stage.spec.kind, JoinKind::Inner | JoinKind::Left | JoinKind::Semi | JoinKind::Anti) {
            return Err(format!(
                "a {} join cannot be looked up: no task sees all left rows",
                stage.spec.kind
            ));
        }
        let joiner = Joiner::new(stage.spec.clone(), stage.probe.clone(), stage.build.clone());
        let joiner = joiner.map_err(|e| e.to_string())?;
        Ok(Self { joiner, table: OnceLock::new(), waiting: Mutex::default() })
    }

    /// The table; without one the waker is woken when it is there.
    fn get(&self, waker: &Waker) -> Option<&JoinTable> {
        if let Some(table) = self.table.get() {
            return Some(table);
        }
        self.waiting().push(waker.clone());
        // It may have come between the look and the registration.
        self.table.get()
    }

    fn set(&self, table: JoinTable) {
        let _ = self.table.set(table);
        std::mem::take(&mut *self.waiting()).iter().for_each(Waker::wake_by_ref);
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<Waker>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the table of a stage.
pub(crate) struct TableTask {
    pub(crate) operator: OperatorId,
    pub(crate) job: Arc<JobCore>,
    pub(crate) inputs: Inputs,
    pub(crate) replica: Arc<Replica>,
    /// Rows so far, and their bytes.
    pub(crate) rows: Vec<RecordBatch>,
    pub(crate) bytes: usize,
}

impl TableTask {
    fn take(&mut self, input: Input) -> Result<(), JobError> {
        match input {
            Input::Rows(_, rows) => self.keep(rows),
            Input::Through(_) => {
                let rows = std::mem::take(&mut self.rows);
                let table = self.replica.joiner.table(&rows).map_err(|e| self.wrong(e.to_string()))?;
                self.bytes = table.bytes();
                self.check_size()?;
                self.replica.set(table);
                Ok(())
            }
            Input::Failed(error) => Err(error),
            // A table is no state: whoever resumes reads it again. A run that is suspended before it is
            // there has read no row that needs it.
            Input::Watermark(_) | Input::Idle | Input::Barrier(_) | Input::End => Ok(()),
        }
    }

    fn keep(&mut self, rows: Charged) -> Result<(), JobError> {
        if !matches!(rows.morsel.kinds(), RowKinds::AllInsert) {
            return Err(JobError::internal(&self.operator, "a change came into a table of inserts"));
        }
        let batch = rows.morsel.into_dense_host().map_err(|e| self.wrong(e.to_string()))?;
        self.bytes += Morsel::new(batch.clone()).bytes();
        self.rows.push(batch);
        self.check_size()
    }

    fn check_size(&self) -> Result<(), JobError> {
        let (held, limit) = (self.bytes, self.job.state_limit);
        match held > limit {
            true => Err(JobError::StateTooLarge { operator: self.operator.clone(), held, limit }),
            false => Ok(()),
        }
    }

    fn wrong(&self, message: String) -> JobError {
        JobError::Operator { operator: self.operator.clone(), message }
    }
}

impl Task for TableTask {
    fn step(&mut self) -> Step {
        for taken in 0..INPUTS_PER_STEP {
            let Some(input) = self.inputs.next() else {
                return if taken > 0 { Step::Progress } else { Step::Blocked };
            };
            let end = matches!(input, Input::End);
            if let Err(error) = self.take(input) {
                self.job.fail(error);
                return Step::Finished;
            }
            if end {
                return Step::Finished;
            }
        }
        Step::Progress
    }
}

/// Looks rows up.
pub(crate) struct LookupProgram {
    pub(crate) replica: Arc<Replica>,
}

impl Program for LookupProgram {
    fn kernel(&self) -> Box<dyn Kernel> {
        Box::new(LookupKernel { replica: self.replica.clone(), next: 0, open: BTreeMap::new() })
    }
}

struct LookupKernel {
    replica: Arc<Replica>,
    next: u64,
    open: BTreeMap<Ticket, Open>,
}

/// Rows that have not been looked up to their end.
enum Open {
    New(Morsel),
    Started(Started),
}

struct Started {
    probe: Probe,
    bounds: Option<TimeBounds>,
    /// Which rows of the morsel are looked up.
    selection: Option<Selection>,
}

impl Started {
    /// The failure with its row counted over the whole morsel.
    fn failure(&self, error: JoinError) -> Failure {
        match (Failure::from(error), &self.selection) {
            (Failure::Row(error), Some(selection)) => {
                let row = selection.iter().nth(error.row).unwrap_or(error.row);
                Failure::Row(RowError { row, ..error })
            }
            (failure, _) => failure,
        }
    }
}

impl LookupKernel {
    /// The next part of a ticket's result, and what is left of the ticket; none while there is no table.
    fn part(&self, open: Open, cx: &TaskContext<'_>) -> Result<Part, Failure> {
        let Some(table) = self.replica.get(cx.waker) else { return Ok(Part::Later(open)) };
        let mut started = match open {
            Open::Started(started) => started,
            Open::New(morsel) => {
                if !matches!(morsel.kinds(), RowKinds::AllInsert) {
                    return Err(Failure::Internal("a change came into a join of inserts".to_owned()));
                }
                let (bounds, selection) = (morsel.time_bounds(), morsel.selection().cloned());
                let probe = self.replica.joiner.probe(table, morsel.into_dense_host()?)?;
                Started { probe, bounds, selection }
            }
        };
        let next = self.replica.joiner.next(table, &mut started.probe, None, cx.morsel_rows);
        let batch = next.map_err(|error| started.failure(error))?;
        let morsel = batch.map(|batch| Morsel::new(batch).with_time_bounds(started.bounds));
        Ok(Part::Now(morsel, (!started.probe.is_done()).then_some(Open::Started(started))))
    }

    fn ticket(&mut self) -> Ticket {
        self.next += 1;
        Ticket(self.next)
    }
}

enum Part {
    Later(Open),
    Now(Option<Morsel>, Option<Open>),
}

impl Kernel for LookupKernel {
    fn submit(&mut self, input: Morsel, _cx: &mut TaskContext<'_>) -> Ticket {
        let ticket = self.ticket();
        self.open.insert(ticket, Open::New(input));
        ticket
    }

    fn poll(&mut self, ticket: Ticket, cx: &mut TaskContext<'_>) -> Progress {
        let Some(open) = self.open.remove(&ticket) else { return Progress::Done(Output::default()) };
        match self.part(open, cx) {
            Err(failure) => Progress::Failed(failure),
            Ok(Part::Later(open)) => {
                self.open.insert(ticket, open);
                Progress::Pending
            }
            Ok(Part::Now(morsel, rest)) => {
                let more = rest.map(|rest| {
                    let next = self.ticket();
                    self.open.insert(next, rest);
                    next
                });
                let morsels = morsel.into_iter().map(|morsel| (0, morsel)).collect();
                Progress::Done(Output { morsels, more, ..Output::default() })
            }
        }
    }

    fn flush(&mut self, _cx: &mut TaskContext<'_>) -> Ticket {
        self.ticket()
    }
}
