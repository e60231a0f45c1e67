//! Random group-bys, for the tests of devices.

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use rand::Rng;
use rand::SeedableRng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use sabot_batch::{Morsel, Selection, hidden};
use sabot_codegen::testing::random_batch;
use sabot_codegen::{Parameters, Tail, lower_fragment};
use sabot_common::{KeyGroups, Span};
use sabot_ops::{
    AggregateFunction, AggregateSpec, Backend, CompileJob, Fragment, GroupByMode, GroupBySpec, OperatorSpec,
    Output, PartitionSpec, Progress, Support, TaskContext, WindowAssignSpec, reference,
};
use sabot_time::{HoppingWindow, TumblingWindow, Windows};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::once::once;
use crate::slab::Layout;
use crate::source::GROUPS;
use crate::{Device, GpuBackend, GpuOptions, KernelSource};

/// How many keys a column has that is made for it.
const CARDINALITIES: [i64; 4] = [1, 40, 3_000, i64::MAX];

/// What random group-bys came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Groups in all.
    pub groups: usize,
    /// Late rows in all.
    pub late: usize,
    /// Tables that were too small at first.
    pub grown: u64,
}

/// Runs random group-bys over so many rows, and holds them against the reference implementation. They are exact: no floats
/// are added up.
///
/// # Errors
/// In words, with the first case that differs.
pub fn check_group_bys(
    device: Arc<dyn Device>,
    cases: usize,
    rows: usize,
    seed: u64,
) -> Result<Checked, String> {
    let backend = GpuBackend::new(device, GpuOptions::default());
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut done, mut checked) = (0, Checked::default());
    while done < cases {
        let batch = with_keys(&mut rng, rows);
        let fragment = fragment(&mut rng, &batch)?;
        // What a device does not have it says by itself.
        if backend.supports(&fragment) != Support::Yes {
            continue;
        }
        done += 1;
        let mut morsel = Morsel::new(batch.clone());
        if rng.random() {
            let words = (0..rows.div_ceil(64)).map(|_| rng.random::<u64>() | rng.random::<u64>()).collect();
            morsel = morsel.with_selection(Selection::from_words(words, rows)).map_err(|e| e.to_string())?;
        }
        let wanted = reference::run(&fragment, &morsel).map_err(|error| error.to_string())?;
        let found = run(&backend, &fragment, morsel)?;
        if let Some(difference) = difference(&wanted, &found)? {
            return Err(format!("case {done}, {rows} rows, {fragment}: {difference}"));
        }
        checked.groups += found.morsels.iter().map(|(_, morsel)| morsel.rows()).sum::<usize>();
        checked.late += found.late.iter().map(Morsel::rows).sum::<usize>();
    }
    checked.grown = backend.counters().grown.load(Ordering::Relaxed);
    match backend.bytes_used() {
        0 => Ok(checked),
        left => Err(format!("{left} bytes are still in use")),
    }
}

/// That a device can be measured, over so many rows: its kernels are compiled and run, whatever the rates are.
///
/// # Errors
/// In words, what the device says, or which rate is none.
pub fn check_measured(device: &dyn Device, rows: usize) -> Result<(), String> {
    let found = crate::measure::over(device, rows).map_err(|fault| fault.to_string())?;
    let rates = [
        found.round_trip_us,
        found.upload_bytes_per_s,
        found.download_bytes_per_s,
        found.memory_bytes_per_s,
        found.operations_per_s,
        found.folds_per_s,
    ];
    match rates.iter().all(|rate| rate.is_finite() && *rate > 0.0) {
        true => Ok(()),
        false => Err(format!("{found:?}")),
    }
}

/// The records of the groups of a fragment, whose kernel's text is edited first: each begins with its first row, and then has the
/// words of what is kept of it.
///
/// # Errors
/// In words, what the device says.
pub fn records_of_groups(
    device: &dyn Device,
    fragment: &Fragment,
    batch: &RecordBatch,
    edit: impl Fn(&str) -> String,
) -> Result<Vec<Vec<u32>>, String> {
    let lowered = lower_fragment(fragment).map_err(|refused| refused.to_string())?;
    let Tail::Groups(groups) = lowered.tail else { return Err("rows stay rows".to_owned()) };
    let record = groups.grouping.record_words(&lowered.program);
    let mut source = KernelSource::group_by(lowered.program, groups.grouping, device.dialect())
        .map_err(|error| error.to_string())?;
    source.text = edit(&source.text);
    let (rows, slots) = (batch.num_rows(), (2 * batch.num_rows()).next_power_of_two());
    let mut layout = Layout::new(&source, batch.columns(), rows, false);
    layout.parameters[Parameters::SLOTS] = slots as u32;
    layout.output_words = slots / 2 * record;
    let ran = once(device, &source, batch.columns(), &layout, u32::MAX);
    let (status, output) = ran.map_err(|fault| fault.to_string())?;
    let count = status[GROUPS] as usize;
    let mut found: Vec<Vec<u32>> = output.chunks(record).take(count).map(<[u32]>::to_vec).collect();
    found.iter_mut().for_each(|record| record[0] = !record[0]);
    found.sort_unstable();
    Ok(found)
}

/// Random columns, and some that are made to be keys and times.
fn with_keys(rng: &mut ChaCha8Rng, rows: usize) -> RecordBatch {
    let random = random_batch(rng, rows);
    let mut fields: Vec<Arc<Field>> = random.schema().fields().iter().cloned().collect();
    let mut columns = random.columns().to_vec();
    let mut add = |name: &str, nullable: bool, column: ArrayRef| {
        fields.push(Arc::new(Field::new(name, column.data_type().clone(), nullable)));
        columns.push(column);
    };
    let many = CARDINALITIES.choose(rng).copied().unwrap_or(1);
    add(
        "number",
        false,
        Arc::new(Int64Array::from_iter_values((0..rows).map(|_| rng.random_range(0..many)))),
    );
    let text = |rng: &mut ChaCha8Rng| rng.random_bool(0.9).then(|| format!("t{}", rng.random_range(0..50)));
    add("text", true, Arc::new((0..rows).map(|_| text(rng)).collect::<StringArray>()));
    let hours: i64 = rng.random_range(1..100);
    let times = (0..rows).map(|_| rng.random_range(-hours * 1_000_000..hours * 1_000_000));
    add(hidden::TIME, false, Arc::new(Int64Array::from_iter_values(times)));
    let late = (0..rows).map(|_| if rng.random_ratio(1, 20) { rng.random_range(0..10) } else { 0 });
    add(hidden::LATE, false, Arc::new(Int64Array::from_iter_values(late)));
    let schema = Arc::new(Schema::new(fields));
    // Columns that were made for their fields.
    RecordBatch::try_new(schema.clone(), columns).unwrap_or_else(|_| RecordBatch::new_empty(schema))
}

fn fragment(rng: &mut ChaCha8Rng, batch: &RecordBatch) -> Result<Fragment, String> {
    let mut steps: Vec<OperatorSpec> = Vec::new();
    let mut schema = batch.schema();
    if rng.random() {
        let (size, slide) = (Span(rng.random_range(1..5_000_000)), Span(rng.random_range(1..3_000_000)));
        let window: Windows = match rng.random() {
            true => TumblingWindow::new(size, slide).map_err(|error| error.to_string())?.into(),
            false => HoppingWindow::new(size, slide, Span::ZERO).map_err(|error| error.to_string())?.into(),
        };
        let step: OperatorSpec =
            WindowAssignSpec { window, allowed_lateness: Span(rng.random_range(0..5)) }.into();
        schema = step.output_schema(&schema).map_err(|error| error.to_string())?;
        steps.push(step);
    }
    let all: Vec<usize> = (0..schema.fields().len()).collect();
    let mut keys: Vec<usize> = all.choose_multiple(rng, rng.clone().random_range(0..3)).copied().collect();
    if !steps.is_empty() && !keys.contains(&(all.len() - 1)) {
        keys.push(all.len() - 1);
    }
    let mut aggregates = Vec::new();
    for number in 0..rng.random_range(0..4) {
        let column = rng.random_range(0..all.len());
        let data_type = schema.field(column).data_type().clone();
        use AggregateFunction as F;
        let functions = [F::Count, F::Sum, F::Avg, F::Min, F::Max, F::BoolAnd];
        let function = functions.choose(rng).cloned().unwrap_or(F::Count);
        let adds = matches!(function, F::Sum | F::Avg) && data_type.is_floating();
        let mut aggregate = AggregateSpec::new(function, [(column, data_type)], format!("a{number}"));
        let bools: Vec<usize> =
            all.iter().copied().filter(|i| schema.field(*i).data_type() == &DataType::Boolean).collect();
        if let Some(filter) = bools.choose(rng).filter(|_| rng.clone().random()) {
            aggregate = aggregate.filtered(*filter);
        }
        if !adds && aggregate.result_field().is_ok() {
            aggregates.push(aggregate);
        }
    }
    let hashed = (0..keys.len()).filter(|_| rng.random_bool(0.8)).collect();
    let step: OperatorSpec =
        GroupBySpec { keys, hashed, seed: 9, aggregates, mode: GroupByMode::Partial }.into();
    schema = step.output_schema(&schema).map_err(|error| error.to_string())?;
    steps.push(step);
    if rng.random() {
        let keys =
            (0..schema.fields().len()).take_while(|i| schema.field(*i).name() != hidden::HASH).collect();
        let parallelism = rng.random_range(1..6);
        steps.push(PartitionSpec { keys, seed: 9, key_groups: KeyGroups::default(), parallelism }.into());
    }
    Fragment::new(batch.schema(), steps).map_err(|error| error.to_string())
}

/// What the backend makes of a morsel.
fn run(backend: &GpuBackend, fragment: &Fragment, morsel: Morsel) -> Result<Output, String> {
    let mut ask = match backend.compile(fragment).map_err(|error| error.to_string())? {
        CompileJob::Ready(_) => return Err("compiled at once".to_owned()),
        CompileJob::Pending(ask) => ask,
    };
    let program = loop {
        match ask() {
            Some(compiled) => break compiled.map_err(|error| error.to_string())?,
            None => std::thread::sleep(Duration::from_micros(50)),
        }
    };
    let mut kernel = program.kernel();
    let mut cx = TaskContext { morsel_rows: usize::MAX, waker: Waker::noop() };
    let (ticket, since) = (kernel.submit(morsel, &mut cx), Instant::now());
    loop {
        match kernel.poll(ticket, &mut cx) {
            Progress::Done(output) => return Ok(output),
            Progress::Failed(failure) => return Err(failure.to_string()),
            Progress::Pending if since.elapsed() > Duration::from_secs(60) => {
                return Err("no result after a minute".to_owned());
            }
            Progress::Pending => std::thread::sleep(Duration::from_micros(50)),
        }
    }
}

/// How two outputs differ: by their targets and rows, and by the rows that are late.
fn difference(wanted: &Output, found: &Output) -> Result<Option<String>, String> {
    let dense = |output: &Output| -> Result<Vec<(u32, RecordBatch)>, String> {
        let late = output.late.iter().map(|morsel| (u32::MAX, morsel));
        let all = output.morsels.iter().map(|(target, morsel)| (*target, morsel)).chain(late);
        let all = all.filter(|(_, morsel)| morsel.live_rows() > 0);
        all.map(|(target, morsel)| {
            Ok((target, morsel.clone().into_dense_host().map_err(|error| error.to_string())?))
        })
        .collect()
    };
    let (wanted, found) = (dense(wanted)?, dense(found)?);
    if wanted == found {
        return Ok(None);
    }
    for ((a, wanted), (b, found)) in wanted.iter().zip(&found) {
        if a != b || wanted.num_rows() != found.num_rows() {
            return Ok(Some(format!(
                "{} rows for task {b}, wanted {} rows for task {a}",
                found.num_rows(),
                wanted.num_rows()
            )));
        }
        for row in 0..wanted.num_rows() {
            let (wanted, found) = (wanted.slice(row, 1), found.slice(row, 1));
            if wanted != found {
                return Ok(Some(format!("row {row}:\nfound {found:?}\nwanted {wanted:?}")));
            }
        }
    }
    Ok(Some(format!("{} parts, wanted {}", found.len(), wanted.len())))
}
