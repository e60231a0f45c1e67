//! The windows with the highest average delay, as a table.

use sabot::arrow::array::{Array, AsArray, RecordBatch, UInt64Array};
use sabot::arrow::compute::{concat_batches, take_record_batch};
use sabot::arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use sabot::arrow::error::ArrowError;
use sabot::arrow::util::pretty::pretty_format_batches;

/// Windows with fewer flights say little and are not ranked.
pub(crate) const FLIGHTS_MIN: i64 = 10;
const ROWS: usize = 10;

/// The ten worst windows: by average delay, ties by window and origin.
pub(crate) fn worst(windows: &[RecordBatch]) -> Result<String, ArrowError> {
    let Some(first) = windows.first() else { return Ok("(no windows)".to_owned()) };
    let all = concat_batches(&first.schema(), windows)?;
    let missing = |name: &str| ArrowError::SchemaError(format!("no column {name}"));
    let delays = all.column_by_name("average_delay").ok_or_else(|| missing("average_delay"))?;
    let delays = delays.as_primitive::<Float64Type>();
    let flights = all.column_by_name("flights").ok_or_else(|| missing("flights"))?;
    let flights = flights.as_primitive::<Int64Type>();
    let starts = all.column_by_name("window_start").ok_or_else(|| missing("window_start"))?;
    let starts = starts.as_primitive::<TimestampMicrosecondType>();

    let ranked = |row: &usize| delays.is_valid(*row) && flights.value(*row) >= FLIGHTS_MIN;
    let mut order: Vec<usize> = (0..all.num_rows()).filter(ranked).collect();
    // The rows come ordered by window and origin, and the sort is stable.
    order.sort_by(|a, b| {
        delays.value(*b).total_cmp(&delays.value(*a)).then(starts.value(*a).cmp(&starts.value(*b)))
    });
    let top: UInt64Array = order.iter().take(ROWS).map(|row| *row as u64).collect();
    Ok(pretty_format_batches(&[take_record_batch(&all, &top)?])?.to_string())
}
