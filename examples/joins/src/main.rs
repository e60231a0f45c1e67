//! Joins: what a row says, and what is known elsewhere about it.

use sabot::arrow::array::{Array, AsArray};
use sabot::prelude::*;
use std::path::PathBuf;

fn data(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "data", name].iter().collect()
}

fn main() -> sabot::Result<()> {
    // ANCHOR: lookup
    // A table is read whole before the first row of the stream, and shared by all tasks.
    let airports = Table::read(csv(data("airports.csv")))?;
    let flights = Stream::read(csv(data("flights.csv")))?;
    let named = flights
        .clone()
        .lookup_join(&airports, on("origin", "iata"), [col("city").alias("from")])?
        .lookup_join(&airports, on("destination", "iata"), [col("city").alias("to")])?;
    // ANCHOR_END: lookup
    named.show()?;
    let rows = named.collect()?;
    assert_eq!(count_rows(&rows), 4, "a row that matches nothing is kept");
    let from = rows[0].column_by_name("from").map(|column| column.as_string::<i32>().null_count());
    assert_eq!(from, Some(1), "and has a null: nobody knows XNA");

    // ANCHOR: join
    // Flights that go back where another one came from.
    let back = flights.clone().select([col("origin"), col("destination"), col("date").alias("back")])?;
    let pairs = flights.clone().join(
        &back,
        on("origin", "destination")
            .and("destination", "origin")
            .suffix("_back")
            .filter(col("back").gt(col("date"))),
    )?;
    // ANCHOR_END: join
    pairs.show()?;
    assert_eq!(count_rows(&pairs.collect()?), 1, "SFO to JFK, and back");

    // ANCHOR: anti
    // Flights whose origin is in no table: SQL's NOT EXISTS.
    let unknown = flights.join(&airports.stream(), on("origin", "iata").anti())?;
    // ANCHOR_END: anti
    unknown.show()?;
    assert_eq!(count_rows(&unknown.collect()?), 1, "from XNA");
    Ok(())
}

fn count_rows(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}
