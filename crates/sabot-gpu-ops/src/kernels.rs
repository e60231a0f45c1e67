//! How fast kernels are: the rows of the table in `docs/gpu-results.md`, over data that lies on the device.
//!
//! A launch is measured many times in one piece of work and once in another; the difference is what launches take. The floor
//! of a kernel is the bytes a row that it cannot do without.

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch};
use arrow::datatypes::DataType;
use sabot_batch::hidden;
use sabot_codegen::{Parameters, Tail, lower_fragment};
use sabot_common::Span;
use sabot_expr::{Expr, FunctionRegistry, col, resolve};
use sabot_ops::{
    AggregateFunction, AggregateSpec, FilterProjectSpec, Fragment, GroupByMode, GroupBySpec, OperatorSpec,
    Projection, WindowAssignSpec,
};
use sabot_time::TumblingWindow;
use std::sync::Arc;
use std::time::Instant;

use crate::device::{Device, Fault, Part, WorkStep};
use crate::group_by::SLOTS_MIN;
use crate::once::{bindings, carry_out};
use crate::slab::Layout;
use crate::source::KernelSource;

/// Launches of the longer piece of work.
const LAUNCHES: usize = 9;

/// How often both pieces are measured; the best counts.
const TIMES: usize = 5;

/// What a kernel took.
#[derive(Clone, Debug, PartialEq)]
pub struct KernelTime {
    /// What it does.
    pub name: &'static str,
    /// Rows of a launch.
    pub rows: usize,
    /// Seconds of a launch.
    pub seconds: f64,
    /// Bytes a row that go through the device's memory at least.
    pub floor_bytes: f64,
}

impl KernelTime {
    /// Rows a second.
    pub fn rows_per_s(&self) -> f64 {
        self.rows as f64 / self.seconds
    }

    /// Bytes a second, of those that it cannot do without.
    pub fn bytes_per_s(&self) -> f64 {
        self.rows_per_s() * self.floor_bytes
    }
}

/// A fragment, and what is measured of it.
struct Sample {
    name: &'static str,
    floor_bytes: f64,
    steps: fn(&RecordBatch) -> Result<OperatorSpec, String>,
    window: bool,
}

const SAMPLES: [Sample; 8] = [
    Sample {
        name: "filter int32 to bitmap",
        floor_bytes: 4.125,
        steps: |b| filter(b, col("i").gt(500)),
        window: false,
    },
    Sample {
        name: "project a * b + c int64",
        floor_bytes: 32.0,
        steps: |b| project(b, col("a").wrapping_mul(col("b")).wrapping_add(col("c"))),
        window: false,
    },
    Sample {
        name: "filter and pack int64, one row in two",
        // Read, half of it written, and a bit.
        floor_bytes: 12.125,
        steps: |b| {
            let predicate = Some(typed(col("a").gt(1_i64 << 39), b)?);
            let projections = vec![projection(b, col("a").wrapping_add(1))?];
            Ok(FilterProjectSpec { predicate, projections, carried: Vec::new() }.into())
        },
        window: false,
    },
    Sample {
        name: "filter, project and sum, one group",
        floor_bytes: 8.0,
        steps: |b| groups(b, &[]),
        window: false,
    },
    Sample {
        name: "group by 1,000 keys, sum int64",
        floor_bytes: 12.0,
        steps: |b| groups(b, &["i"]),
        window: false,
    },
    Sample {
        name: "group by 1,000,000 keys, sum int64",
        floor_bytes: 16.0,
        steps: |b| groups(b, &["m"]),
        window: false,
    },
    Sample {
        name: "window and 1,000 keys, sum int64",
        floor_bytes: 20.0,
        steps: |b| groups(b, &["i", hidden::WINDOW]),
        window: true,
    },
    Sample {
        name: "group by 1,000 keys, least and greatest int64",
        floor_bytes: 12.0,
        steps: |b| extremes(b),
        window: false,
    },
];

/// Operations of a longer chain than any that a column is loaded for. Four times as many are not yet nested deeper than
/// expressions may be.
const CHAIN: usize = 48;

/// Operations a second, and rows a second that are looked up in a table of a thousand groups, of kernels over so many rows.
///
/// # Errors
/// [`Fault`] of the device; [`Fault::Launch`] where it has no such kernels.
pub(crate) fn rates(device: &dyn Device, rows: usize) -> Result<(f64, f64), Fault> {
    let batch = batch(rows).map_err(Fault::Launch)?;
    let of = |sample: &Sample, slots_max: usize| -> Result<f64, Fault> {
        let seconds = measured(device, sample, &batch, slots_max)?;
        seconds.ok_or_else(|| Fault::Launch(format!("no kernel for: {}", sample.name)))
    };
    // Chains over the same columns differ in nothing but their length.
    let chain = |name, steps| Sample { name, floor_bytes: 24.0, steps, window: false };
    let short = of(&chain("a short chain", |b| project(b, chained(CHAIN))), 0)?;
    let long = of(&chain("a long chain", |b| project(b, chained(4 * CHAIN))), 0)?;
    let groups = chain("groups", |b| groups(b, &["i"]));
    let groups = of(&groups, SLOTS_MIN)?;
    let operations = 3 * CHAIN * rows;
    // Where memory hides all of them, the device has shown no more than this.
    let seconds = if long > short { long - short } else { long };
    Ok((operations as f64 / seconds, rows as f64 / groups))
}

/// Products and sums, each of the one before.
fn chained(operations: usize) -> Expr {
    let step = |expr: Expr, n: usize| match n % 2 {
        0 => expr.wrapping_mul(col("b")),
        _ => expr.wrapping_add(col("a")),
    };
    (0..operations).fold(col("a"), step)
}

fn typed(expr: Expr, batch: &RecordBatch) -> Result<sabot_expr::TypedExpr, String> {
    resolve(&expr, batch.schema_ref(), &FunctionRegistry::new()).map_err(|error| error.to_string())
}

fn filter(batch: &RecordBatch, predicate: Expr) -> Result<OperatorSpec, String> {
    let predicate = Some(typed(predicate, batch)?);
    Ok(FilterProjectSpec { predicate, projections: Vec::new(), carried: vec![0] }.into())
}

fn project(batch: &RecordBatch, expr: Expr) -> Result<OperatorSpec, String> {
    let projections = vec![projection(batch, expr)?];
    Ok(FilterProjectSpec { predicate: None, projections, carried: Vec::new() }.into())
}

fn projection(batch: &RecordBatch, expr: Expr) -> Result<Projection, String> {
    Ok(Projection { name: "p".to_owned(), expr: typed(expr, batch)? })
}

fn by(batch: &RecordBatch, keys: &[&str], aggregates: Vec<AggregateSpec>) -> Result<OperatorSpec, String> {
    let width = batch.num_columns();
    // The window stands behind the columns of the batch.
    let index =
        |name: &&str| if *name == hidden::WINDOW { Ok(width) } else { batch.schema_ref().index_of(name) };
    let keys = keys.iter().map(index).collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    let hashed = (0..keys.len()).collect();
    Ok(GroupBySpec { keys, hashed, seed: 0, aggregates, mode: GroupByMode::Partial }.into())
}

fn of_a(batch: &RecordBatch, function: AggregateFunction) -> Result<AggregateSpec, String> {
    let column = batch.schema_ref().index_of("a").map_err(|error| error.to_string())?;
    let name = function.name().to_owned();
    Ok(AggregateSpec::new(function, [(column, DataType::Int64)], name))
}

fn groups(batch: &RecordBatch, keys: &[&str]) -> Result<OperatorSpec, String> {
    by(batch, keys, vec![of_a(batch, AggregateFunction::Sum)?])
}

fn extremes(batch: &RecordBatch) -> Result<OperatorSpec, String> {
    let all = [AggregateFunction::Min, AggregateFunction::Max].map(|function| of_a(batch, function));
    by(batch, &["i"], all.into_iter().collect::<Result<_, _>>()?)
}

/// Columns in no order, so that neighbours are of different groups.
fn batch(rows: usize) -> Result<RecordBatch, String> {
    let scattered = |n: i64, below: i64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64).rem_euclid(below);
    let longs = |below: i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values((0..rows as i64).map(|n| scattered(n, below))))
    };
    let i: ArrayRef =
        Arc::new(Int32Array::from_iter_values((0..rows as i64).map(|n| scattered(n, 1_000) as i32)));
    let m: ArrayRef =
        Arc::new(Int32Array::from_iter_values((0..rows as i64).map(|n| scattered(n, 1_000_000) as i32)));
    let times: ArrayRef = Arc::new(Int64Array::from_iter_values((0..rows as i64).map(|n| n * 10)));
    let on_time: ArrayRef = Arc::new(Int64Array::from(vec![0; rows]));
    let columns = [
        ("i", i),
        ("m", m),
        ("a", longs(1 << 40)),
        ("b", longs(1 << 20)),
        ("c", longs(1 << 50)),
        (hidden::TIME, times),
        (hidden::LATE, on_time),
    ];
    RecordBatch::try_from_iter(columns).map_err(|error| error.to_string())
}

/// Measures kernels over so many rows, which lie on the device. What the device has no kernel for is left out.
///
/// # Errors
/// [`Fault`] of the device.
pub fn measure_kernels(device: &dyn Device, rows: usize) -> Result<Vec<KernelTime>, Fault> {
    let batch = batch(rows).map_err(Fault::Launch)?;
    let mut times = Vec::new();
    for sample in &SAMPLES {
        // Room for a million groups.
        if let Some(seconds) = measured(device, sample, &batch, 1 << 22)? {
            times.push(KernelTime { name: sample.name, rows, seconds, floor_bytes: sample.floor_bytes });
        }
    }
    Ok(times)
}

/// Seconds of a launch, with a table of groups of so many slots at most; none where the device has no such kernel.
fn measured(
    device: &dyn Device,
    sample: &Sample,
    batch: &RecordBatch,
    slots_max: usize,
) -> Result<Option<f64>, Fault> {
    let bug = |error: String| Fault::Launch(error);
    let mut steps: Vec<OperatorSpec> = Vec::new();
    if sample.window {
        let window =
            TumblingWindow::new(Span(1_000_000), Span::ZERO).map_err(|error| bug(error.to_string()))?;
        steps.push(WindowAssignSpec { window: window.into(), allowed_lateness: Span::ZERO }.into());
    }
    steps.push((sample.steps)(batch).map_err(bug)?);
    let fragment = Fragment::new(batch.schema(), steps).map_err(|error| bug(error.to_string()))?;
    let lowered = lower_fragment(&fragment).map_err(|refused| bug(refused.to_string()))?;
    let source = match lowered.tail {
        Tail::Rows { .. } => KernelSource::filter_project(lowered.program, device.dialect()),
        Tail::Groups(groups) => KernelSource::group_by(lowered.program, groups.grouping, device.dialect()),
    };
    let Ok(source) = source else { return Ok(None) };
    let rows = batch.num_rows();
    let mut layout = Layout::new(&source, batch.columns(), rows, false);
    if let Some(grouping) = &source.grouping {
        let slots = (2 * rows).next_power_of_two().min(slots_max);
        layout.parameters[Parameters::SLOTS] = slots as u32;
        layout.output_words = slots / 2 * grouping.record_words(&source.program);
    }
    let kernel = device.load(&source)?;
    let bindings = bindings(device, &source, &layout)?;
    let mut columns = device.slab(layout.input_words)?;
    layout.pack(&source, batch.columns(), None, columns.words_mut());
    let mut parameters = device.slab(layout.parameters.len())?;
    parameters.words_mut()[..layout.parameters.len()].copy_from_slice(&layout.parameters);
    let upload = |from, part: &Part| WorkStep::Upload { from, words: part.words, to: part.buffer.clone() };
    carry_out(device, vec![upload(parameters, &bindings.parameters), upload(columns, &bindings.input)])?;
    let groups = (rows as u32).div_ceil(source.tile_rows()).min(device.limits().workgroups_max);
    let groups = if source.grouping.is_some() { groups.min(1_024) } else { groups };
    // Groups are cleared for each launch; what that takes is the launch's.
    let seconds = |launches: usize| -> Result<f64, Fault> {
        let mut work = Vec::new();
        for _ in 0..launches {
            work.extend(bindings.clear());
            let (kernel, bindings) = (kernel.clone(), bindings.clone());
            work.push(WorkStep::Launch { kernel, entry: 0, bindings, groups });
        }
        let from = bindings.status.buffer.clone();
        work.push(WorkStep::Download { from, words: 1, to: device.slab(1)? });
        let since = Instant::now();
        carry_out(device, work)?;
        Ok(since.elapsed().as_secs_f64())
    };
    let mut best = [f64::INFINITY; 2];
    for _ in 0..TIMES {
        for (best, launches) in best.iter_mut().zip([1, LAUNCHES]) {
            *best = best.min(seconds(launches)?);
        }
    }
    // What is too fast to be told apart from nothing is so fast at least.
    Ok(Some(((best[1] - best[0]) / (LAUNCHES - 1) as f64).max(1e-9)))
}
