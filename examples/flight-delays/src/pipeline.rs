//! The pipelines: what is made of one stream of flights.
//!
//! All of them begin with the stream that [`flights`] gives, so that a job with several of them reads its
//! input once.

use sabot::CalendarUnit;
use sabot::prelude::*;
use std::path::Path;

/// A flight is late that leaves more than so many minutes behind its time.
const LATE_MINUTES_MIN: i64 = 15;
/// Windows with fewer flights say little and are not shown among the worst.
const SHOWN_FLIGHTS_MIN: i64 = 10;
/// Rows of every ranking.
const FIRST: u64 = 10;

// ANCHOR: flights
/// The flights of a file in order of time, with a column `late` that is 1 where a flight was late and 0
/// where it was not, or where nobody knows.
pub(crate) fn flights(input: &Path) -> sabot::Result<Stream> {
    let late = coalesce([col("delay").gt(LATE_MINUTES_MIN), lit(false)]);
    Stream::read(file(input))?
        .event_time("date", in_order())?
        // As an integer it can be summed, and its average is an exact sum that is divided once.
        .with_columns([late.cast(DataType::Int64).alias("late")])
}
// ANCHOR_END: flights

// ANCHOR: windows
/// Windows of three hours every hour, by origin, with the airport's name and city where it is known:
/// `window_start, window_end, origin, name, city, flights, average_delay, share_late`.
pub(crate) fn windows(flights: &Stream, airports: &Table) -> sabot::Result<Stream> {
    let columns =
        ["window_start", "window_end", "origin", "name", "city", "flights", "average_delay", "share_late"];
    flights
        .clone()
        .window(hopping(hours(3), hours(1)))?
        .group_by(["origin"])?
        .aggregate([
            count().alias("flights"),
            avg(col("delay")).alias("average_delay"),
            avg(col("late")).alias("share_late"),
        ])?
        .lookup_join(airports, on("origin", "iata").unique(), ["name", "city"])?
        .select(columns.map(col))
}
// ANCHOR_END: windows

// ANCHOR: ranking
/// The origins with the most late flights of each day, ten at most, by rank:
/// `day, rank, origin, name, late_flights, flights`.
pub(crate) fn ranking(flights: &Stream, airports: &Table) -> sabot::Result<Stream> {
    let day = col("window_start").cast(DataType::Date32).alias("day");
    let columns = ["rank", "origin", "name", "late_flights", "flights"].map(col);
    flights
        .clone()
        .window(calendar(CalendarUnit::Day))?
        .group_by(["origin"])?
        .aggregate([sum(col("late")).alias("late_flights"), count().alias("flights")])?
        .filter(col("late_flights").gt(0))?
        .top_n(FIRST, [desc("late_flights"), asc("origin")])?
        .lookup_join(airports, on("origin", "iata").unique(), ["name"])?
        .select(std::iter::once(day).chain(columns))
}
// ANCHOR_END: ranking

/// Flights, and late ones, by origin and hour of the day: `origin, hour, flights, late_flights`.
pub(crate) fn hours_of_day(flights: &Stream) -> sabot::Result<Stream> {
    flights
        .clone()
        .group_by([col("origin"), col("date").hour().alias("hour")])?
        .aggregate([count().alias("flights"), sum(col("late")).alias("late_flights")])
}

/// The windows with the highest average delay.
pub(crate) fn worst_windows(windows: &Stream) -> sabot::Result<Stream> {
    windows
        .clone()
        .filter(col("flights").gt_eq(SHOWN_FLIGHTS_MIN))?
        .top_k(FIRST, [desc("average_delay"), asc("window_start"), asc("origin")])
}

/// The days on which an origin had the most late flights.
pub(crate) fn worst_days(ranking: &Stream) -> sabot::Result<Stream> {
    ranking.clone().top_k(FIRST, [desc("late_flights"), asc("day"), asc("origin")])
}
