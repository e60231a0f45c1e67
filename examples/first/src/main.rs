//! The smallest pipeline: rows in memory, a window, a table on the terminal.

use sabot::arrow::array::{ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray};
use sabot::prelude::*;
use std::sync::Arc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let minute = 60_000_000;
    let orders = RecordBatch::try_from_iter([
        (
            "time",
            Arc::new(TimestampMicrosecondArray::from_iter_values((0..6).map(|i| i * 25 * minute)))
                as ArrayRef,
        ),
        ("shop", Arc::new(StringArray::from(vec!["north", "south", "north", "north", "south", "north"]))),
        ("cents", Arc::new(Int64Array::from(vec![1250, 800, 2400, 310, 95, 1775]))),
    ])?;
    // ANCHOR: pipeline
    let hourly = Stream::from_batches([orders])?
        .event_time("time", in_order())?
        .filter(col("cents").gt(100))?
        .window(tumbling(hours(1)))?
        .group_by(["shop"])?
        .aggregate([count().alias("orders"), sum(col("cents")).alias("cents")])?;
    hourly.show()?;
    // ANCHOR_END: pipeline
    let rows = hourly.collect()?;
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 4, "an hour and a shop each");
    Ok(())
}
