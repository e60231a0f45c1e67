//! Runs one operator on the CPU backend, through the same contract as the runtime.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use sabot_batch::Morsel;
use sabot_cpu::CpuBackend;
use sabot_ops::{Backend, CompileJob, Fragment, Kernel, OperatorSpec, Output, Progress, TaskContext};
use std::fmt;
use std::task::Waker;

/// A compiled operator with a kernel of its own.
pub struct Runner {
    kernel: Box<dyn Kernel>,
    output: SchemaRef,
    morsel_rows: usize,
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner").field("output", &self.output).finish_non_exhaustive()
    }
}

impl Runner {
    /// Compiles an operator for rows of a schema. Results are cut to `morsel_rows` rows.
    ///
    /// # Panics
    /// When the operator does not fit the schema.
    pub fn new(input: &SchemaRef, operator: impl Into<OperatorSpec>, morsel_rows: usize) -> Self {
        let fragment =
            Fragment::new(input.clone(), vec![operator.into()]).expect("an operator for this schema");
        let program = match CpuBackend::new().compile(&fragment) {
            Ok(CompileJob::Ready(program)) => Some(program),
            Ok(CompileJob::Pending(_)) | Err(_) => None,
        };
        let kernel = program.expect("the CPU backend compiles every fragment at once").kernel();
        Self { kernel, output: fragment.output().clone(), morsel_rows }
    }

    /// The schema of the results.
    pub fn output(&self) -> &SchemaRef {
        &self.output
    }

    /// Runs morsels through, one after the other. Results are dense: a selection that the kernel leaves
    /// to later steps is applied here, as a peer has to do it too.
    ///
    /// # Panics
    /// When a row fails.
    pub fn run(&mut self, input: &[RecordBatch]) -> Vec<(u32, RecordBatch)> {
        let mut cx = TaskContext { morsel_rows: self.morsel_rows, waker: Waker::noop() };
        let mut results = Vec::with_capacity(input.len());
        for batch in input {
            let mut next = Some(self.kernel.submit(Morsel::new(batch.clone()), &mut cx));
            while let Some(ticket) = next {
                let output = done(self.kernel.poll(ticket, &mut cx));
                next = output.more;
                results.extend(output.morsels.into_iter().map(|(target, morsel)| {
                    (target, morsel.into_dense_host().expect("rows on the host can be brought together"))
                }));
            }
        }
        results
    }

    /// The results of [`Runner::run`] where there is one target.
    ///
    /// # Panics
    /// As [`Runner::run`].
    pub fn rows(&mut self, input: &[RecordBatch]) -> Vec<RecordBatch> {
        self.run(input).into_iter().map(|(_, batch)| batch).collect()
    }
}

fn done(progress: Progress) -> Output {
    let result = match progress {
        Progress::Done(output) => Ok(output),
        Progress::Failed(failure) => Err(failure.to_string()),
        Progress::Pending => Err("pending, but CPU kernels finish inside `submit`".to_owned()),
    };
    result.expect("a morsel that can be computed")
}
