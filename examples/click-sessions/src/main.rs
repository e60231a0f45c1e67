//! Sessions of a click stream: what a visitor did between two long pauses.

use sabot::prelude::*;
use std::path::PathBuf;

fn clicks() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "data", "clicks.csv"].iter().collect()
}

fn main() -> sabot::Result<()> {
    // ANCHOR: sessions
    // Clicks may be two minutes out of order; half an hour without one ends a visit.
    let clicks = Stream::read(csv(clicks()))?.event_time("at", out_of_orderness(minutes(2)))?;
    let bought = when(col("page").eq("checkout")).then(1).otherwise(0);
    let visits = clicks
        .with_columns([bought.alias("bought")])?
        .window(session(minutes(30)))?
        .group_by(["user"])?
        .aggregate([count().alias("clicks"), max(col("bought")).alias("bought")])?;
    // ANCHOR_END: sessions
    visits.show()?;
    assert_eq!(rows(&visits)?, 5, "ada twice, bob twice, cay once");

    // ANCHOR: bought
    let buyers =
        visits.filter(col("bought").eq(1))?.select([col("user"), col("window_start"), col("clicks")])?;
    // ANCHOR_END: bought
    buyers.show()?;
    assert_eq!(rows(&buyers)?, 1, "ada's first visit");
    Ok(())
}

fn rows(stream: &Stream) -> sabot::Result<usize> {
    Ok(stream.collect()?.iter().map(RecordBatch::num_rows).sum())
}
