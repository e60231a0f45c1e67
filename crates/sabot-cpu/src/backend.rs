//! The backend: fragments to steps, and kernels that run a morsel through them.

use arrow::datatypes::SchemaRef;
use sabot_batch::{Morsel, RowOrigin, TimeBounds};
use sabot_common::DeviceId;
use sabot_ops::{
    Backend, CompileError, CompileJob, Failure, Fragment, Kernel, OperatorSpec, Output, Program, Progress,
    Support, TaskContext, Ticket, reference,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use crate::filter_project::FilterProject;
use crate::grouping::Grouping;
use crate::partition::Partition;
use crate::predict::PredictStep;
use crate::rows::Rows;
use crate::simd::{Level, SIMD_VARIABLE, SimdError, SimdVariant};
use crate::unnest::{Unnest, Unnesting};
use crate::window_assign::WindowAssign;

/// The backend that is always there. It supports every fragment.
///
/// ```
/// use arrow::array::{ArrayRef, Int64Array, RecordBatch};
/// use sabot_batch::Morsel;
/// use sabot_cpu::CpuBackend;
/// use sabot_expr::{FunctionRegistry, col, resolve};
/// use sabot_ops::{
///     Backend, CompileJob, FilterProjectSpec, Fragment, Progress, Projection, TaskContext,
/// };
/// use std::sync::Arc;
/// use std::task::Waker;
///
/// let delay: ArrayRef = Arc::new(Int64Array::from(vec![5, 20, 40]));
/// let batch = RecordBatch::try_from_iter([("delay", delay)])?;
/// let typed = |expr| resolve(&expr, &batch.schema(), &FunctionRegistry::new());
/// let spec = FilterProjectSpec {
///     predicate: Some(typed(col("delay").gt(15))?),
///     projections: vec![Projection { name: "minutes".into(), expr: typed(col("delay"))? }],
///     carried: vec![],
/// };
/// let fragment = Fragment::new(batch.schema(), vec![spec.into()])?;
///
/// let CompileJob::Ready(program) = CpuBackend::new().compile(&fragment)? else { unreachable!() };
/// let mut kernel = program.kernel();
/// let mut cx = TaskContext { morsel_rows: 1024, waker: Waker::noop() };
/// let ticket = kernel.submit(Morsel::new(batch), &mut cx);
/// let Progress::Done(output) = kernel.poll(ticket, &mut cx) else { unreachable!() };
/// assert_eq!(output.morsels[0].1.rows(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct CpuBackend {
    level: Level,
}

impl CpuBackend {
    /// The backend with the SIMD variant that the environment variable
    /// [`SIMD_VARIABLE`](crate::SIMD_VARIABLE) names, else the newest that this machine has.
    ///
    /// A variable that names no variant, or one that this machine does not have, is ignored with a
    /// warning.
    pub fn new() -> Self {
        let wanted = std::env::var(SIMD_VARIABLE).ok();
        let variant = wanted.map_or(Ok(SimdVariant::Auto), |name| name.parse());
        Self::with_variant_or_auto(variant)
    }

    fn with_variant_or_auto(variant: Result<SimdVariant, SimdError>) -> Self {
        let level = variant.and_then(SimdVariant::level).or_else(|problem| {
            tracing::warn!("{SIMD_VARIABLE} is ignored: {problem}");
            SimdVariant::Auto.level()
        });
        Self { level: level.unwrap_or(Level::SCALAR) }
    }

    /// The backend with this SIMD variant, whatever the environment says.
    ///
    /// # Errors
    /// [`SimdError::Unavailable`] when this machine does not have it.
    pub fn with_variant(variant: SimdVariant) -> Result<Self, SimdError> {
        Ok(Self { level: variant.level()? })
    }

    /// The SIMD variant in use; never [`SimdVariant::Auto`].
    pub fn variant(&self) -> SimdVariant {
        self.level.variant()
    }
}

impl Default for CpuBackend {
    fn default() -> Self {
        Self::new()
    }
}

impl Backend for CpuBackend {
    fn device(&self) -> DeviceId {
        DeviceId::cpu()
    }

    fn supports(&self, _fragment: &Fragment) -> Support {
        Support::Yes
    }

    fn compile(&self, fragment: &Fragment) -> Result<CompileJob, CompileError> {
        let failed =
            |reason: String| CompileError { device: self.device(), fragment: fragment.to_string(), reason };
        let mut schema = fragment.input().clone();
        let mut steps = Vec::with_capacity(fragment.steps().len());
        for spec in fragment.steps() {
            steps.push(Step::new(spec, &schema, self.level).map_err(&failed)?);
            schema = spec.output_schema(&schema).map_err(|e| failed(e.to_string()))?;
        }
        Ok(CompileJob::Ready(Arc::new(CpuProgram { fragment: fragment.clone(), steps })))
    }
}

/// Why a step did not finish.
#[derive(Debug)]
pub(crate) enum Halt {
    /// Some row failed. Which one, and how, the reference implementation says.
    Row,
    /// Something else, which is not a row's fault.
    Other(Failure),
}

impl Halt {
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Halt::Other(Failure::Internal(message.into()))
    }
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Row(_) => Halt::Row,
            other => Halt::Other(other),
        }
    }
}

/// An operator, ready to run.
#[derive(Clone, Debug)]
enum Step {
    FilterProject(FilterProject),
    WindowAssign(WindowAssign),
    GroupBy(Box<Grouping>),
    Partition(Partition),
    /// Only the schema changes.
    Union,
    Unnest(Unnest),
    Predict(PredictStep, SchemaRef),
}

impl Step {
    fn new(spec: &OperatorSpec, input: &SchemaRef, level: Level) -> Result<Self, String> {
        Ok(match spec {
            OperatorSpec::FilterProject(spec) => Step::FilterProject(FilterProject::new(spec, level)),
            OperatorSpec::WindowAssign(spec) => Step::WindowAssign(WindowAssign::new(spec, input, level)),
            OperatorSpec::GroupBy(spec) => {
                Step::GroupBy(Box::new(Grouping::new(spec, input).map_err(|e| e.to_string())?))
            }
            OperatorSpec::Partition(spec) => Step::Partition(Partition::new(spec, input)),
            OperatorSpec::Union(_) => Step::Union,
            OperatorSpec::Unnest(spec) => {
                Step::Unnest(Unnest::new(spec, &spec.output_schema(input).map_err(|e| e.to_string())?))
            }
            OperatorSpec::Predict(spec) => {
                Step::Predict(PredictStep::new(spec, input).map_err(|e| e.to_string())?, input.clone())
            }
        })
    }
}

struct CpuProgram {
    fragment: Fragment,
    steps: Vec<Step>,
}

impl Program for CpuProgram {
    fn kernel(&self) -> Box<dyn Kernel> {
        Box::new(CpuKernel {
            fragment: self.fragment.clone(),
            steps: self.steps.clone(),
            tickets: 0,
            open: BTreeMap::new(),
        })
    }
}

/// A kernel. Work is done inside `submit`; results wait here until they are polled. Of a result in parts
/// only the first is made there, and each further one when it is polled.
struct CpuKernel {
    fragment: Fragment,
    steps: Vec<Step>,
    tickets: u64,
    open: BTreeMap<Ticket, Open>,
}

/// What a ticket stands for.
enum Open {
    Done(Progress),
    Part(Box<Unnesting>),
}

impl Kernel for CpuKernel {
    fn submit(&mut self, input: Morsel, cx: &mut TaskContext<'_>) -> Ticket {
        let started = Instant::now();
        let progress = match self.run(input, cx.morsel_rows) {
            Ok(output) => Progress::Done(Output { elapsed: Some(started.elapsed()), ..output }),
            Err(failure) => Progress::Failed(failure),
        };
        self.ticket(Open::Done(progress))
    }

    fn poll(&mut self, ticket: Ticket, cx: &mut TaskContext<'_>) -> Progress {
        let unknown = || Failure::Internal(format!("ticket {} is unknown or was finished before", ticket.0));
        match self.open.remove(&ticket) {
            Some(Open::Done(progress)) => progress,
            Some(Open::Part(rest)) => {
                let started = Instant::now();
                match self.part(*rest, Output::default(), cx.morsel_rows) {
                    Ok(output) => Progress::Done(Output { elapsed: Some(started.elapsed()), ..output }),
                    Err(failure) => Progress::Failed(failure),
                }
            }
            None => Progress::Failed(unknown()),
        }
    }

    fn flush(&mut self, _cx: &mut TaskContext<'_>) -> Ticket {
        self.ticket(Open::Done(Progress::Done(Output::default())))
    }
}

impl CpuKernel {
    fn ticket(&mut self, open: Open) -> Ticket {
        let ticket = Ticket(self.tickets);
        self.tickets += 1;
        self.open.insert(ticket, open);
        ticket
    }

    /// The next part of a result, behind what there is of it already.
    fn part(&mut self, mut rest: Unnesting, output: Output, morsel_rows: usize) -> Result<Output, Failure> {
        let part = rest.next(morsel_rows)?;
        let more = (!rest.is_done()).then(|| self.ticket(Open::Part(Box::new(rest))));
        Ok(Output { morsels: part.into_iter().map(|morsel| (0, morsel)).collect(), more, ..output })
    }

    fn run(&mut self, input: Morsel, morsel_rows: usize) -> Result<Output, Failure> {
        let input = on_host(input)?;
        let (output, rest) = match self.run_steps(&input) {
            Ok(result) => result,
            // A row that failed once and not again, as user functions may, did not fail.
            Err(Halt::Row) => (reference::run(&self.fragment, &input)?, None),
            Err(Halt::Other(failure)) => return Err(failure),
        };
        let output = bounded(output, morsel_rows)?;
        match rest {
            Some(rest) => self.part(rest, output, morsel_rows),
            None => Ok(output),
        }
    }

    /// What the steps make of a morsel, and what is still to be unnested of it.
    fn run_steps(&mut self, input: &Morsel) -> Result<(Output, Option<Unnesting>), Halt> {
        let batch = input.to_host().map_err(Failure::from)?;
        self.fragment.check(&batch)?;
        let (mut bounds, mut origin) = (input.time_bounds(), input.origin().cloned());
        let mut rows = Rows::new(&batch, input);
        let mut output = Output::default();
        for step in &mut self.steps {
            if rows.live() == 0 {
                return Ok((output, None));
            }
            match step {
                Step::FilterProject(step) => rows = step.apply(rows)?,
                Step::WindowAssign(step) => {
                    let (on_time, late) = step.apply(rows, bounds)?;
                    output.late.extend(late);
                    rows = on_time;
                }
                Step::GroupBy(step) => {
                    bounds = None;
                    if !step.keeps_rows() {
                        origin = None;
                    }
                    rows = step.apply(rows)?;
                }
                Step::Partition(step) => {
                    for (target, part) in step.apply(rows)? {
                        self.emit(&mut output, target, part, bounds, None)?;
                    }
                    return Ok((output, None));
                }
                Step::Union => {}
                Step::Unnest(step) => return Ok((output, Some(step.start(rows, bounds)?))),
                Step::Predict(step, input) => {
                    // A walk down a hundred trees costs more than to move a row.
                    let mut dense = rows.compact()?;
                    let batch = dense.clone().into_batch(input)?;
                    step.run(&batch)?.into_iter().for_each(|column| dense.push_column(column));
                    rows = dense;
                }
            }
        }
        origin = origin.filter(|_| rows.live() == input.rows());
        self.emit(&mut output, 0, rows, bounds, origin)?;
        Ok((output, None))
    }

    fn emit(
        &self,
        output: &mut Output,
        target: u32,
        rows: Rows,
        bounds: Option<TimeBounds>,
        origin: Option<RowOrigin>,
    ) -> Result<(), Failure> {
        if rows.live() > 0 {
            output.morsels.push((target, rows.into_morsel(self.fragment.output(), bounds, origin)?));
        }
        Ok(())
    }
}

/// The morsel with its columns on the host.
fn on_host(input: Morsel) -> Result<Morsel, Failure> {
    if input.host().is_some() {
        return Ok(input);
    }
    let mut host = Morsel::new(input.to_host()?)
        .with_kinds(input.kinds().clone())?
        .with_time_bounds(input.time_bounds())
        .with_origin(input.origin().cloned());
    if let Some(selection) = input.selection() {
        host = host.with_selection(selection.clone())?;
    }
    Ok(host)
}

/// The output with morsels of at most `rows` rows, an update pair aside.
fn bounded(output: Output, rows: usize) -> Result<Output, Failure> {
    let fits = |morsel: &Morsel| morsel.rows() <= rows.max(1);
    let mut morsels = Vec::with_capacity(output.morsels.len());
    for (target, morsel) in output.morsels {
        if fits(&morsel) {
            morsels.push((target, morsel));
        } else {
            morsels.extend(morsel.split(rows)?.into_iter().map(|piece| (target, piece)));
        }
    }
    let mut late = Vec::with_capacity(output.late.len());
    for morsel in output.late {
        if fits(&morsel) { late.push(morsel) } else { late.extend(morsel.split(rows)?) }
    }
    Ok(Output { morsels, late, ..output })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use arrow::datatypes::DataType;
    use sabot_expr::{ClosureFunction, Expr, FunctionError, FunctionRegistry, call, col, resolve};
    use sabot_ops::{FilterProjectSpec, Projection};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Waker;

    fn batch(values: &[i64]) -> RecordBatch {
        let column: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
        RecordBatch::try_from_iter([("x", column)]).unwrap()
    }

    /// Runs one projection over a batch.
    fn project(expr: &Expr, registry: &FunctionRegistry, batch: &RecordBatch) -> Result<Output, Failure> {
        let expr = resolve(expr, &batch.schema(), registry).unwrap();
        let projections = vec![Projection { name: "y".into(), expr }];
        let spec = FilterProjectSpec { predicate: None, projections, carried: vec![] };
        let fragment = Fragment::new(batch.schema(), vec![spec.into()]).unwrap();
        let CompileJob::Ready(program) = CpuBackend::new().compile(&fragment).unwrap() else {
            panic!("not ready")
        };
        let mut kernel = program.kernel();
        let mut cx = TaskContext { morsel_rows: 2, waker: Waker::noop() };
        let ticket = kernel.submit(Morsel::new(batch.clone()), &mut cx);
        let progress = kernel.poll(ticket, &mut cx);
        assert!(
            matches!(kernel.poll(ticket, &mut cx), Progress::Failed(Failure::Internal(_))),
            "polled twice"
        );
        match progress {
            Progress::Done(output) => Ok(output),
            Progress::Failed(failure) => Err(failure),
            Progress::Pending => panic!("the CPU is never pending"),
        }
    }

    #[test]
    fn outputs_are_cut_and_a_ticket_is_finished_once() {
        let output = project(&(col("x") + 1), &FunctionRegistry::new(), &batch(&[1, 2, 3])).unwrap();
        let rows: Vec<usize> = output.morsels.iter().map(|(_, m)| m.rows()).collect();
        assert_eq!(rows, [2, 1]);
        assert!(output.elapsed.is_some());
    }

    #[test]
    fn the_first_failing_row_is_named_with_its_values() {
        let failure = project(&(10 / col("x")), &FunctionRegistry::new(), &batch(&[5, 0, 1, 0])).unwrap_err();
        let Failure::Row(error) = failure else { panic!("{failure}") };
        assert_eq!((error.row, error.to_string().as_str()), (1, "division by zero: 10 / 0 in `10 / x`"));
    }

    #[test]
    fn a_function_that_fails_once_and_not_again_has_not_failed() {
        let failed = AtomicBool::new(false);
        let moody =
            ClosureFunction::new("moody", 1, [DataType::Int64], DataType::Int64, move |args, rows| {
                // The whole batch and then its first row fail; from then on all is well.
                if rows == 1 && !failed.swap(true, Ordering::Relaxed) || rows > 1 {
                    return Err(FunctionError::new("not now"));
                }
                Ok(args[0].clone())
            });
        let mut registry = FunctionRegistry::new();
        registry.register(Arc::new(moody)).unwrap();
        let output = project(&call("moody", 1, [col("x")]), &registry, &batch(&[4, 5])).unwrap();
        let Some((0, morsel)) = output.morsels.into_iter().next() else { panic!("no output") };
        assert_eq!(morsel.into_dense_host().unwrap().column(0).as_ref(), batch(&[4, 5]).column(0).as_ref());
    }

    #[test]
    fn a_variable_that_names_nothing_is_ignored() {
        let auto = CpuBackend::with_variant(SimdVariant::Auto).unwrap();
        assert_eq!(CpuBackend::with_variant_or_auto("sse9".parse()).variant(), auto.variant());
        assert_eq!(CpuBackend::with_variant_or_auto(Ok(SimdVariant::Scalar)).variant(), SimdVariant::Scalar);
    }
}
