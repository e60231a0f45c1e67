//! The reference implementations behind the contract of a backend.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::concat_batches;
use sabot_batch::Morsel;
use sabot_common::DeviceId;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::conformance::KeyedOperators;
use crate::reference::RankedRow;
use crate::{
    Backend, CompileError, CompileJob, Failure, Fragment, JoinSpec, Kernel, Output, OverSpec, Program,
    Progress, RankSpec, Support, TaskContext, Ticket, reference,
};

/// Runs every fragment with [`reference::run`], inside `submit`.
///
/// Results are cut into morsels of at most [`TaskContext::morsel_rows`] rows, and handed over a few at a
/// time through [`Output::more`], so that whoever drives it meets both.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReferenceBackend;

/// Morsels in one part of an output: few, so that a small test already meets a second part.
const MORSELS_PER_PART: usize = 2;

impl ReferenceBackend {
    /// The backend; its device is called `reference`.
    pub fn new() -> Self {
        Self
    }
}

impl Backend for ReferenceBackend {
    fn device(&self) -> DeviceId {
        DeviceId::new("reference")
    }

    fn supports(&self, _fragment: &Fragment) -> Support {
        Support::Yes
    }

    fn compile(&self, fragment: &Fragment) -> Result<CompileJob, CompileError> {
        Ok(CompileJob::Ready(Arc::new(ReferenceProgram { fragment: Arc::new(fragment.clone()) })))
    }
}

/// Joins come in batches of the size that is asked for.
impl KeyedOperators for ReferenceBackend {
    fn device(&self) -> DeviceId {
        Backend::device(self)
    }

    fn join(
        &self,
        spec: &JoinSpec,
        probe: &[RecordBatch],
        build: &[RecordBatch],
        max_rows: usize,
    ) -> Result<Vec<RecordBatch>, Failure> {
        let whole = reference::join(spec, &concat(probe)?, &concat(build)?)?;
        let starts = (0..whole.num_rows()).step_by(max_rows);
        Ok(starts.map(|at| whole.slice(at, max_rows.min(whole.num_rows() - at))).collect())
    }

    fn rank(&self, spec: &RankSpec, rows: &[RecordBatch]) -> Result<Vec<RankedRow>, Failure> {
        reference::rank(spec, &concat(rows)?)
    }

    fn over(&self, spec: &OverSpec, rows: &[RecordBatch]) -> Result<(RecordBatch, Vec<ArrayRef>), Failure> {
        reference::over(spec, &concat(rows)?)
    }

    fn rolling(&self, spec: &OverSpec, rows: &[RecordBatch]) -> Result<Vec<ArrayRef>, Failure> {
        reference::rolling(spec, &concat(rows)?)
    }
}

fn concat(batches: &[RecordBatch]) -> Result<RecordBatch, Failure> {
    let first = batches.first().ok_or_else(|| Failure::Internal("no batch of rows".to_owned()))?;
    concat_batches(&first.schema(), batches).map_err(|e| Failure::Internal(e.to_string()))
}

struct ReferenceProgram {
    fragment: Arc<Fragment>,
}

impl Program for ReferenceProgram {
    fn kernel(&self) -> Box<dyn Kernel> {
        Box::new(ReferenceKernel { fragment: self.fragment.clone(), done: BTreeMap::new(), next: 0 })
    }
}

struct ReferenceKernel {
    fragment: Arc<Fragment>,
    done: BTreeMap<Ticket, Result<Output, Failure>>,
    next: u64,
}

impl ReferenceKernel {
    fn ticket(&mut self, result: Result<Output, Failure>) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        self.done.insert(ticket, result);
        ticket
    }
}

impl Kernel for ReferenceKernel {
    fn submit(&mut self, input: Morsel, cx: &mut TaskContext<'_>) -> Ticket {
        let result = reference::run(&self.fragment, &input).and_then(|output| cut(output, cx.morsel_rows));
        self.ticket(result)
    }

    fn poll(&mut self, ticket: Ticket, _cx: &mut TaskContext<'_>) -> Progress {
        match self.done.remove(&ticket) {
            Some(Ok(mut output)) => {
                if output.morsels.len() > MORSELS_PER_PART {
                    let rest = output.morsels.split_off(MORSELS_PER_PART);
                    output.more = Some(self.ticket(Ok(Output { morsels: rest, ..Output::default() })));
                }
                Progress::Done(output)
            }
            Some(Err(failure)) => Progress::Failed(failure),
            None => Progress::Failed(Failure::Internal(format!("{ticket:?} is not open"))),
        }
    }

    fn flush(&mut self, _cx: &mut TaskContext<'_>) -> Ticket {
        self.ticket(Ok(Output::default()))
    }
}

fn cut(output: Output, rows: usize) -> Result<Output, Failure> {
    let mut morsels = Vec::with_capacity(output.morsels.len());
    for (target, morsel) in output.morsels {
        morsels.extend(morsel.split(rows)?.into_iter().map(|piece| (target, piece)));
    }
    let mut late = Vec::with_capacity(output.late.len());
    for morsel in output.late {
        late.extend(morsel.split(rows)?);
    }
    Ok(Output { morsels, late, ..output })
}
