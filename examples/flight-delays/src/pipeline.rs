//! The pipeline: from flights to windows.

use sabot::prelude::*;
use std::path::{Path, PathBuf};

/// Hourly windows by origin: `window_start, window_end, origin, flights, average_delay, share_late`.
pub(crate) fn hourly_delays(flights: Stream) -> sabot::Result<Stream> {
    // Cast to an integer, true is 1: the average is an exact sum divided by the count.
    let late = col("delay").gt(15).cast(DataType::Int64);
    flights.event_time("date", in_order())?.window(tumbling(hours(1)))?.group_by(["origin"])?.aggregate([
        count().alias("flights"),
        avg(col("delay")).alias("average_delay"),
        avg(late).alias("share_late"),
    ])
}

/// A file by its extension.
pub(crate) fn file(path: &Path) -> Result<sabot::FileOptions, String> {
    match path.extension().and_then(|e| e.to_str()) {
        Some("parquet") => Ok(parquet(path)),
        Some("csv") => Ok(csv(path)),
        _ => Err(format!("{}: the name must end in .parquet or .csv", path.display())),
    }
}

/// The sample that travels with this example: found beside its manifest, or from the workspace's root.
pub(crate) fn sample() -> PathBuf {
    const SAMPLE: &str = "data/flights-200k.parquet";
    match std::env::var_os("CARGO_MANIFEST_DIR") {
        Some(manifest) => Path::new(&manifest).join(SAMPLE),
        None => Path::new("examples/flight-delays").join(SAMPLE),
    }
}
