//! Rows that come too late: which still count, which do not, and where those go.

use sabot::arrow::array::{ArrayRef, Int64Array, TimestampSecondArray};
use sabot::prelude::*;
use std::sync::Arc;

/// Readings of a sensor in the order in which they arrived: minute after midnight, and value.
const ARRIVED: [(i64, i64); 7] = [(1, 20), (4, 21), (12, 22), (8, 23), (40, 24), (9, 25), (41, 26)];

fn readings() -> Result<RecordBatch, Box<dyn std::error::Error>> {
    let times: TimestampSecondArray =
        ARRIVED.iter().map(|(minute, _)| minute * 60).collect::<Vec<_>>().into();
    let values: Int64Array = ARRIVED.iter().map(|(_, value)| *value).collect::<Vec<_>>().into();
    let columns = [("time", Arc::new(times) as ArrayRef), ("value", Arc::new(values))];
    Ok(RecordBatch::try_from_iter(columns)?)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // ANCHOR: pipeline
    // A reading may be one minute behind the latest one before it; windows wait five minutes more.
    let readings = Stream::from_batches([readings()?])?.event_time("time", out_of_orderness(minutes(1)))?;
    let windows = tumbling(minutes(10)).allowed_lateness(minutes(5));
    let averages = readings
        .window(windows)?
        .aggregate([count().alias("readings"), avg(col("value")).alias("average")])?;

    // The windows' results, and the rows that came too late for theirs.
    let (averages, late) = averages.split_late()?;
    // ANCHOR_END: pipeline

    // ANCHOR: job
    let ((results, averages_rows), (dead, late_rows)) = (to_memory(), to_memory());
    let metrics = Job::new("readings").write(&averages, results)?.write(&late, dead)?.run()?;
    // ANCHOR_END: job

    averages.show()?;
    late.show()?;
    // 8 came after 12, which is within one minute and five. 9 came after 40, when its window was long gone.
    let (averages, late) = (averages_rows.take(), late_rows.take());
    assert_eq!(rows(&averages), 3, "from 00:00, from 00:10, from 00:40");
    assert_eq!((rows(&late), metrics.late_rows), (1, 1), "the reading of 00:09");
    Ok(())
}

fn rows(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}
