//! A pipeline that uses a GPU where there is one, and what it says about that.

use sabot::arrow::array::{ArrayRef, AsArray, Int64Array, StringArray, TimestampMicrosecondArray};
use sabot::arrow::datatypes::Int64Type;
use sabot::prelude::*;
use sabot::{ClosureFunction, FunctionRegistry, call};
use std::sync::Arc;

const ROWS: i64 = 400_000;

// ANCHOR: engine
/// An engine on the first device that is there, in this order. A machine without one runs the same on its processors.
#[allow(clippy::print_stderr, reason = "a user wants to know why something else runs")]
fn engine() -> sabot::Result<Engine> {
    for devices in [Devices::Cuda, Devices::Wgpu] {
        // One morsel in sixteen is done a second time by the CPU, and compared.
        match Engine::builder().devices(devices).shadow_check(16).build() {
            Ok(engine) => return Ok(engine),
            Err(error) => eprintln!("{error}"),
        }
    }
    Engine::new()
}
// ANCHOR_END: engine

// ANCHOR: function
/// Cents, rounded down to five. The Rust says what it is; the statements compute the same for one row on a GPU, in CUDA C++ and
/// in WGSL.
fn to_five() -> ClosureFunction {
    let of = |cents: i64| cents / 5 * 5;
    ClosureFunction::new("to_five", 1, [DataType::Int64], DataType::Int64, move |arguments, _rows| {
        Ok(Arc::new(arguments[0].as_primitive::<Int64Type>().unary::<_, Int64Type>(of)) as ArrayRef)
    })
    .on_devices("return a0 / 5 * 5;", "return a0 / 5li * 5li;")
}
// ANCHOR_END: function

// ANCHOR: pipeline
/// Cents by shop and minute, of orders that are not too small.
fn by_minute(orders: Stream) -> Result<Stream, Box<dyn std::error::Error>> {
    let mut functions = FunctionRegistry::new();
    functions.register(Arc::new(to_five()))?;
    let sums = orders
        .with_functions(Arc::new(functions))
        .event_time("time", in_order())?
        .filter(col("cents").gt(500))?
        .with_columns([call("to_five", 1, [col("cents") * 119 / 100]).alias("with_tax")])?
        .window(tumbling(minutes(1)))?
        .group_by(["shop"])?
        .aggregate([
            count().alias("orders"),
            sum(col("with_tax")).alias("cents"),
            max(col("cents")).alias("largest"),
        ])?;
    Ok(sums)
}
// ANCHOR_END: pipeline

/// Orders of some shops, a thousand a second.
fn orders() -> Result<Stream, Box<dyn std::error::Error>> {
    let times = TimestampMicrosecondArray::from_iter_values((0..ROWS).map(|n| n * 1_000));
    let shops: StringArray =
        (0..ROWS).map(|n| Some(["north", "south", "harbour"][(n * n % 3) as usize])).collect();
    let cents = Int64Array::from_iter_values((0..ROWS).map(|n| n * 7_919 % 5_003));
    let columns =
        [("time", Arc::new(times) as ArrayRef), ("shop", Arc::new(shops)), ("cents", Arc::new(cents))];
    Ok(Stream::from_batches([RecordBatch::try_from_iter(columns)?])?)
}

#[allow(clippy::print_stdout, reason = "printing is what the program is for")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let engine = engine()?;
    let (sink, rows) = to_memory();
    // ANCHOR: analyze
    let job = Job::new("devices").write(&by_minute(orders()?)?, sink)?;
    let (metrics, text) = engine.explain_analyze(job)?;
    println!("{text}");
    for (device, morsels) in &metrics.morsels_by_device {
        println!("{device}: {morsels} morsels");
    }
    let (checked, differed) = engine.shadow_checks();
    println!("{checked} were done twice, {differed} differed");
    // ANCHOR_END: analyze
    assert_eq!(
        rows.take().iter().map(RecordBatch::num_rows).sum::<usize>(),
        14,
        "seven minutes and two shops"
    );
    assert_eq!(differed, 0);
    Ok(())
}
