//! Backends that are wrong on purpose, to show that the conformance suite notices.

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, make_array};
use sabot_batch::{Morsel, RowKinds};
use sabot_common::DeviceId;
use std::sync::Arc;

use super::compile_wrapped;
use crate::{
    Backend, CompileError, CompileJob, Failure, Fragment, Kernel, Output, Progress, Support, TaskContext,
    Ticket,
};

/// What a [`CanaryBackend`] does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// The last row of the last morsel of an output is missing.
    DropLastRow,
    /// Nulls come out as whatever lies in the value buffer.
    ForgetNulls,
    /// The row of an error is one too high.
    WrongErrorRow,
    /// Dead rows of the input come alive.
    IgnoreSelection,
    /// Late rows vanish.
    LoseLateRows,
    /// Rows go to the next target.
    WrongTarget,
    /// The halves of a broken update pair keep their kinds.
    ForgetKinds,
    /// The rest of an output that is handed over in parts is missing.
    LoseMore,
    /// Polls are pending and nothing ever wakes the waker.
    NeverFinish,
}

impl Sabotage {
    /// Every kind.
    pub const ALL: [Sabotage; 9] = [
        Sabotage::DropLastRow,
        Sabotage::ForgetNulls,
        Sabotage::WrongErrorRow,
        Sabotage::IgnoreSelection,
        Sabotage::LoseLateRows,
        Sabotage::WrongTarget,
        Sabotage::ForgetKinds,
        Sabotage::LoseMore,
        Sabotage::NeverFinish,
    ];
}

/// Another backend with one mistake. Its device is `canary-<inner>`.
#[derive(Debug)]
pub struct CanaryBackend {
    inner: Arc<dyn Backend>,
    sabotage: Sabotage,
}

impl CanaryBackend {
    /// `inner` with this mistake.
    pub fn new(inner: Arc<dyn Backend>, sabotage: Sabotage) -> Self {
        Self { inner, sabotage }
    }
}

impl Backend for CanaryBackend {
    fn device(&self) -> DeviceId {
        DeviceId::new(format!("canary-{}", self.inner.device()))
    }

    fn supports(&self, fragment: &Fragment) -> Support {
        self.inner.supports(fragment)
    }

    fn compile(&self, fragment: &Fragment) -> Result<CompileJob, CompileError> {
        let (sabotage, targets) = (self.sabotage, fragment.targets());
        let wrap = move |inner| -> Box<dyn Kernel> { Box::new(CanaryKernel { inner, sabotage, targets }) };
        compile_wrapped(self.inner.as_ref(), fragment, Arc::new(wrap))
    }
}

struct CanaryKernel {
    inner: Box<dyn Kernel>,
    sabotage: Sabotage,
    targets: u32,
}

impl Kernel for CanaryKernel {
    fn submit(&mut self, input: Morsel, cx: &mut TaskContext<'_>) -> Ticket {
        let input = match self.sabotage {
            Sabotage::IgnoreSelection => without_selection(input),
            _ => input,
        };
        self.inner.submit(input, cx)
    }

    fn poll(&mut self, ticket: Ticket, cx: &mut TaskContext<'_>) -> Progress {
        if self.sabotage == Sabotage::NeverFinish {
            return Progress::Pending;
        }
        match self.inner.poll(ticket, cx) {
            Progress::Done(output) => Progress::Done(self.spoil(output)),
            Progress::Failed(Failure::Row(mut error)) if self.sabotage == Sabotage::WrongErrorRow => {
                error.row += 1;
                Progress::Failed(Failure::Row(error))
            }
            other => other,
        }
    }

    fn flush(&mut self, cx: &mut TaskContext<'_>) -> Ticket {
        self.inner.flush(cx)
    }
}

impl CanaryKernel {
    fn spoil(&self, mut output: Output) -> Output {
        match self.sabotage {
            Sabotage::DropLastRow => {
                if let Some((_, last)) = output.morsels.last_mut()
                    && let Ok(shorter) = last.slice(0, last.rows().saturating_sub(1))
                {
                    *last = shorter;
                }
            }
            Sabotage::ForgetNulls => output.morsels.iter_mut().for_each(|(_, morsel)| forget_nulls(morsel)),
            Sabotage::LoseLateRows => output.late.clear(),
            Sabotage::WrongTarget => {
                output.morsels.iter_mut().for_each(|(target, _)| *target = (*target + 1) % self.targets);
            }
            Sabotage::ForgetKinds => output.morsels.iter_mut().for_each(|(_, morsel)| {
                if let Ok(plain) = morsel.clone().with_kinds(RowKinds::AllInsert) {
                    *morsel = plain;
                }
            }),
            Sabotage::LoseMore => output.more = None,
            Sabotage::WrongErrorRow | Sabotage::IgnoreSelection | Sabotage::NeverFinish => {}
        }
        output
    }
}

fn without_selection(input: Morsel) -> Morsel {
    match input.to_host() {
        Ok(batch) => {
            let (kinds, bounds, origin) =
                (input.kinds().clone(), input.time_bounds(), input.origin().cloned());
            let all = Morsel::new(batch).with_time_bounds(bounds).with_origin(origin);
            all.with_kinds(kinds).unwrap_or(input)
        }
        Err(_) => input,
    }
}

fn forget_nulls(morsel: &mut Morsel) {
    let Some(batch) = morsel.host() else { return };
    let bare = |column: &ArrayRef| {
        let data = column.to_data().into_builder().nulls(None).build();
        data.map(make_array).unwrap_or_else(|_| column.clone())
    };
    let columns = batch.columns().iter().map(bare).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let kinds = morsel.kinds().clone();
    let spoilt = RecordBatch::try_new_with_options(batch.schema(), columns, &options).map(Morsel::new);
    if let Ok(spoilt) = spoilt
        && let Ok(spoilt) = spoilt.with_kinds(kinds)
    {
        *morsel = spoilt;
    }
}
